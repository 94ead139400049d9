# isolate_tenant() at its corners: what a reader sees that came in the middle, what it waits for, what was changed since the
# last call, and what it must not move at all.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use IPC::Run ();
use Test::More;

my $mt = MtTest->new('partitioning_moves', conf => "deadlock_timeout = 200ms\nautovacuum = off\nwal_level = logical");
my $node = $mt->node;
my ($owner, $app, $migrator) = qw(regress_mt_owner regress_mt_trusted regress_mt_migrator);
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b', gamma => '00000000-0000-0000-0000-00000000000c');
my $ids = join ',', values %id;
$mt->superuser("GRANT $owner TO $migrator; SELECT multitenant.resume_tenant('gamma')");

# A partitioned table with so many rows of each tenant, and further columns and constraints; what else is to be protected first.
sub create
{
	my ($table, $rows, $more, @first) = @_;
	my $protect = join ' ', map { "SELECT multitenant.protect('$_');" } @first, $table;
	$more = $more ? ", $more" : '';
	$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE TABLE $table (tenant_id uuid, n int, x int, PRIMARY KEY (tenant_id, n)$more);
INSERT INTO $table SELECT t, n, n FROM generate_series(1, $rows) n, unnest('{$ids}'::uuid[]) t;
$protect
GRANT ALL ON $table TO $app;
RESET ROLE;
SELECT multitenant.partition_by_tenant('$table');
SQL
	return;
}

sub isolate { return "CALL multitenant.isolate_tenant('$_[0]', '$_[1]', 10000, '" . ($_[2] || 30) . " s')" }

# How it ends: nothing, or the SQLSTATE; and what was said.
sub outcome
{
	my ($sql, $role) = @_;
	my (undef, $err) = $mt->run($role || $migrator, $sql);
	return ($err =~ /ERROR:  ([0-9A-Z]{5})/ ? $1 : '', $err);
}

# The same in the background.
sub start_move
{
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-U', $migrator, '-d', 'app', '-c', isolate(@_) ],
		'<', \undef, '>', \$out, '2>', \$err);
	return { run => $run, err => \$err };
}

sub as_tenant
{
	my ($tenant, $sql) = @_;
	my ($out) = $mt->run($app, "BEGIN; SELECT multitenant.use_tenant('$tenant'); $sql; COMMIT;");
	return (split /\n/, $out)[-1];
}

# A transaction of the application's that goes on.
sub open_transaction
{
	my ($tenant, $sql) = @_;
	my $session = $mt->session($app);
	ask($session, "BEGIN; SELECT multitenant.use_tenant('$tenant')");
	ask($session, $sql);
	return $session;
}

# A move that has come to the lock and was not given it.
sub make_ready
{
	my ($tenant, $table) = @_;
	my $reader = open_transaction($tenant eq 'gamma' ? 'acme' : 'gamma', "SELECT count(*) FROM $table");
	is((outcome(isolate($tenant, $table, 0.1)))[0], '55P03', "the copy of $tenant in $table is ready");
	ask($reader, 'ROLLBACK');
	return;
}

# ---- a table that nobody refers to ----

# A reader that comes while the exchange is under way finds the rows afterwards, and a writer changes them.
create('alone', 60000);
make_ready('acme', 'alone');
my $mover = start_move('acme', 'alone');
ok($node->poll_query_until('app', "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'alone_shared_tenants'::regclass AND mode = 'AccessExclusiveLock' AND granted)"),
	'the exchange has its lock');
is(as_tenant('acme', 'UPDATE alone SET x = x + 1 WHERE n <= 10; SELECT count(*), sum(x - n), min(tableoid::regclass::text) FROM alone'), '60000|10|alone_tenant_1',
	'who comes in the middle sees and changes every row');
$mover->{run}->finish;
unlike(${ $mover->{err} }, qr/ERROR/, 'and the exchange ends well');

# ---- a snapshot from before, at READ COMMITTED ----

create('late', 10);
$mt->superuser(<<'SQL');
CREATE FUNCTION count_late() RETURNS bigint LANGUAGE plpgsql STABLE SET search_path = public AS
	$$ DECLARE n bigint; BEGIN PERFORM pg_sleep(5); EXECUTE 'SELECT count(*) FROM late' INTO n; RETURN n; END $$;
SQL
my ($out, $err) = ('', '');
my $late = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-U', $app, '-d', 'app', '-v', 'VERBOSITY=sqlstate', '-c',
		"BEGIN; SELECT multitenant.use_tenant('acme')", '-c', 'SELECT count_late()', '-c', 'ROLLBACK' ], '<', \undef, '>', \$out, '2>', \$err);
ok($node->poll_query_until('app', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '$app' AND wait_event = 'PgSleep')"), 'a statement has begun');
is((outcome(isolate('acme', 'late')))[0], '', 'a tenant is moved before it comes to the table');
$late->finish;
like($err, qr/ERROR:  40001/, 'then it is not answered from its snapshot') or diag($out);

# ---- a table that refers to another ----

$mt->superuser("SET ROLE $owner; CREATE TABLE place (tenant_id uuid, n int, PRIMARY KEY (tenant_id, n));
	INSERT INTO place SELECT t, n FROM generate_series(1, 100) n, unnest('{$ids}'::uuid[]) t; GRANT ALL ON place TO $app");
create('visit', 100, 'FOREIGN KEY (tenant_id, x) REFERENCES place', 'place');
foreach my $phase ('at its beginning', 'at its end')
{
	my $writer = open_transaction('gamma', 'INSERT INTO place (n) VALUES (-1)');
	is((outcome(isolate('beta', 'visit', 0.5)))[0], '55P03', "$phase it gives up where somebody writes to what the table refers to");
	is(ask($writer, 'SELECT count(*) FROM visit'), '100', 'who is in nobody\'s way');
	ask($writer, 'ROLLBACK');
	make_ready('beta', 'visit') if $phase eq 'at its beginning';
}
is((outcome(isolate('beta', 'visit')))[0], '', 'then it is done');
is(as_tenant('beta', 'SELECT count(*), min(tableoid::regclass::text) FROM visit'), '100|visit_tenant_2', 'and all rows are there');

# ---- changed since ----

# The copy belongs to the owner: what he makes of it does not become the tenant's rows.
create('changed', 100);
foreach my $change ('ALTER TABLE changed_tenant_1 DROP COLUMN x, ADD COLUMN x int GENERATED ALWAYS AS (7) STORED', 'ALTER TABLE changed ADD COLUMN y int',
	'CREATE POLICY mine ON changed_tenant_1 AS RESTRICTIVE USING (n < 10)', 'CREATE RULE r AS ON DELETE TO changed_tenant_1 DO INSTEAD NOTHING')
{
	make_ready('acme', 'changed');
	$mt->superuser("BEGIN; SELECT multitenant.system_context('test'); $change; COMMIT");
	my ($code, $said) = outcome(isolate('acme', 'changed'));
	is($code, '55000', "not moved after $change");
	like($said, qr/HINT:.*DROP TABLE public\.changed_tenant_1/, 'it says how to go on');
	is(as_tenant('acme', 'SELECT count(*), sum(x), min(tableoid::regclass::text) FROM changed'), '100|5050|changed_shared_tenants', 'and nothing has changed');
	$mt->superuser('DROP TABLE changed_tenant_1');
}
# Code of his that runs with the last rows and makes others of them.
make_ready('acme', 'changed');
$mt->superuser(<<'SQL');
SET ROLE regress_mt_owner;
CREATE FUNCTION rewrite(int) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN UPDATE public.changed_tenant_1 SET x = 0 WHERE n = $1 - 1 AND x <> 0; RETURN true; END $$;
ALTER TABLE changed_tenant_1 ADD CHECK (rewrite(n)) NOT VALID;
SQL
as_tenant('acme', 'INSERT INTO changed (n, x) VALUES (101, 1)');
is((outcome(isolate('acme', 'changed')))[0], '55000', 'rows that are not the same are not moved');
is(as_tenant('acme', 'SELECT count(*), sum(x), min(tableoid::regclass::text) FROM changed'), '101|5051|changed_shared_tenants', 'and nothing has changed');

# ---- two at once ----

create('twice', 20000, 'UNIQUE (tenant_id, x)');
my @both = map { start_move('acme', 'twice') } 1, 2;
$_->{run}->finish foreach @both;
unlike(${ $_->{err} }, qr/ERROR/, 'of two sessions that move the same tenant none fails') foreach @both;
is(as_tenant('acme', 'SELECT count(*), min(tableoid::regclass::text) FROM twice'), '20000|twice_tenant_1', 'and it is moved once');
is($mt->superuser("SELECT count(*) FROM pg_index WHERE indrelid = 'twice_tenant_1'::regclass"), '2', 'with each index once');

# ---- published ----

create('sent', 10);
foreach my $publication ('FOR TABLE sent WITH (publish_via_partition_root)', 'FOR TABLE sent_shared_tenants', 'FOR TABLES IN SCHEMA public', 'FOR ALL TABLES')
{
	$mt->superuser("CREATE PUBLICATION p $publication");
	my ($code, $said) = outcome(isolate('acme', 'sent'));
	is($code, '55000', "not moved: published $publication");
	like($said, qr/Publications: p\./, 'it says by what');
	$mt->superuser('DROP PUBLICATION p');
}
is((outcome(isolate('acme', 'sent')))[0], '', 'and moved afterwards');

# ---- new tenants ----

# A table of somebody's whose rights the caller does not have keeps nobody's tenants waiting.
$mt->superuser(<<"SQL");
CREATE ROLE regress_mt_stranger;
SELECT multitenant.set_partition_strategy('sent', 'dedicated');
CREATE TABLE a_strange_one (tenant_id uuid, n int, PRIMARY KEY (tenant_id, n));
ALTER TABLE a_strange_one OWNER TO regress_mt_stranger;
GRANT CREATE ON SCHEMA public TO regress_mt_stranger;
SELECT multitenant.protect('a_strange_one');
SELECT multitenant.partition_by_tenant('a_strange_one', 'dedicated');
SQL
is((outcome('CALL multitenant.isolate_new_tenants()'))[0], '', 'others\' tables are left to others');
is($mt->superuser("SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'sent'::regclass"),
	'sent_shared_tenants sent_tenant_1 sent_tenant_2 sent_tenant_3', 'and every tenant has its partition');
is((outcome("CALL multitenant.isolate_new_tenants('a_strange_one')"))[0], '42501', 'who names one is told');

# ---- sequences at their end, and names that somebody else has ----

sub identity_table
{
	my ($table, $options) = @_;
	$mt->superuser("SET ROLE $owner; CREATE TABLE $table (tenant_id uuid, n int GENERATED ALWAYS AS IDENTITY ($options), PRIMARY KEY (tenant_id, n));
		INSERT INTO $table (tenant_id) SELECT '$id{acme}' FROM generate_series(1, 3); SELECT multitenant.protect('$table'); GRANT ALL ON $table TO $app");
	return outcome("SELECT multitenant.partition_by_tenant('$table')");
}
my ($code, $said) = identity_table('used_up', 'MAXVALUE 3');
is($code, '55000', 'an identity column without values left is refused');
like($said, qr/HINT:.*public\.used_up_n_seq/, 'it says which sequence');
$mt->superuser('CREATE DOMAIN goes_round_shared_tenants AS int; CREATE DOMAIN goes_round_tenant_2 AS int');
is((identity_table('goes_round', 'INCREMENT -1 MINVALUE -3 CYCLE'))[0], '', 'one that begins again does so');
is(as_tenant('beta', 'INSERT INTO goes_round DEFAULT VALUES RETURNING n, tableoid::regclass'), '-1|goes_round_shared_tenants1', 'where the server would have gone on');
is((outcome(isolate('beta', 'goes_round')))[0], '', 'a type of the name of a partition is in nobody\'s way');

# ---- no protected table ----

$mt->superuser('CREATE TABLE bare (a int)');
is((outcome("SELECT multitenant.partition_by_tenant('bare')", 'postgres'))[0], '55000', 'a table without a class is refused as such');
is($mt->superuser("SELECT count(*) FROM multitenant.tables WHERE NOT is_intact"), '0', 'every protection is intact');
$node->stop;
done_testing();
