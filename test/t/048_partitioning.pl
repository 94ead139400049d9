# isolate_tenant() while others read and write: each row is seen once at every time; killed, crashed and locked out, it
# goes on where it was.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('partitioning', conf => "deadlock_timeout = 200ms\nautovacuum = off");
my $node = $mt->node;
my $rows = 4000;
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b',
	gamma => '00000000-0000-0000-0000-00000000000c');

# Of each tenant $rows orders, whose amounts add up to nothing, and a line for each.
$mt->superuser(<<"SQL");
SELECT multitenant.resume_tenant('gamma');
SET ROLE regress_mt_owner;
CREATE TABLE place (tenant_id uuid, id int, PRIMARY KEY (tenant_id, id));
INSERT INTO place SELECT t, 1 FROM unnest('{$id{acme},$id{beta},$id{gamma}}'::uuid[]) t;
CREATE TABLE orders (tenant_id uuid, n int, amount int NOT NULL DEFAULT 0, note text, twin int, place int,
	CONSTRAINT orders_pkey PRIMARY KEY (tenant_id, n), UNIQUE (tenant_id, twin) DEFERRABLE INITIALLY DEFERRED,
	FOREIGN KEY (tenant_id, place) REFERENCES place DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE line (id bigserial PRIMARY KEY, tenant_id uuid NOT NULL, n int, FOREIGN KEY (tenant_id, n) REFERENCES orders ON DELETE CASCADE);
CREATE TABLE fired (what text, by_whom text DEFAULT current_user);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
	AS 'BEGIN INSERT INTO fired VALUES (TG_OP); RETURN NULL; END';
-- tenants take turns, so that every page has rows of each
INSERT INTO orders SELECT t, n, 0, repeat('x', 200), n, 1 FROM generate_series(1, $rows) n,
	unnest('{$id{acme},$id{beta},$id{gamma}}'::uuid[]) t ORDER BY n;
INSERT INTO line (tenant_id, n) SELECT tenant_id, n FROM orders;
SELECT multitenant.protect('place');
SELECT multitenant.protect('orders');
SELECT multitenant.protect('line');
GRANT SELECT, INSERT, UPDATE, DELETE ON orders, line TO regress_mt_trusted;
GRANT USAGE ON SEQUENCE line_id_seq TO regress_mt_trusted;
RESET ROLE;
SELECT multitenant.exempt('fired', 'a log');
CREATE TRIGGER log AFTER DELETE ON orders FOR EACH ROW WHEN (OLD.n <= $rows) EXECUTE FUNCTION note_change();
SELECT multitenant.partition_by_tenant('orders');
SQL
$mt->superuser('GRANT regress_mt_owner TO regress_mt_migrator');
sub isolate { return "CALL multitenant.isolate_tenant('$_[0]', 'orders', " . ($_[1] || 300) . ", '60 seconds')" }
sub as_tenant { return "BEGIN; SELECT multitenant.use_tenant('$_[0]'); $_[1]; COMMIT" }

# As the tenant sees it: how many orders, how many of them different, what they add up to, and where they are.
sub state_of
{
	my ($tenant) = @_;
	my ($out) = $mt->run('regress_mt_trusted', as_tenant($tenant, "SELECT count(*), count(DISTINCT n), sum(amount),
		string_agg(DISTINCT tableoid::regclass::text, ' ') FROM orders WHERE n <= $rows") . ';');
	return (split /\n/, $out)[-1];
}

# ---- traffic ----

# Readers check every time what must hold at every time; a division by zero ends them. Writers keep it: they move amounts
# between two orders and have them exchange their twins, put a new order with a line in the place of the last one, and take lines away.
sub script
{
	my ($name, $text) = @_;
	my $file = "${PostgreSQL::Test::Utils::tmp_check}/$name.sql";
	open my $out, '>', $file or die "$file: $!";
	print $out $text;
	close $out;
	return $file;
}
my %reader = map { $_ => script("read_$_", <<"SQL") } keys %id;
BEGIN;
SELECT multitenant.use_tenant('$_');
SELECT 1 / (count(*) = $rows AND count(DISTINCT n) = $rows AND sum(amount) = 0 AND sum(twin) = ${rows}::bigint * ($rows + 1) / 2)::int FROM orders WHERE n <= $rows;
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('$_');
SELECT 1 / (count(*) = (SELECT count(*) FROM line l WHERE l.n <= $rows))::int FROM line l JOIN orders o USING (tenant_id, n) WHERE n <= $rows;
COMMIT;
SQL
my %writer = map { $_ => script("write_$_", <<"SQL") } keys %id;
\\set low random(1, $rows / 2)
\\set high random($rows / 2 + 1, $rows)
\\set own 100000 + :client_id
BEGIN;
SELECT multitenant.use_tenant('$_');
UPDATE orders SET amount = amount + 1, note = repeat('y', :low % 300) WHERE n = :low;
UPDATE orders SET amount = amount - 1 WHERE n = :high;
UPDATE orders o SET twin = p.twin FROM orders p WHERE (o.n = :low AND p.n = :high) OR (o.n = :high AND p.n = :low);
DELETE FROM orders WHERE n = :own;
INSERT INTO orders (n, note, place) VALUES (:own, 'mine', 1);
INSERT INTO line (n) VALUES (:own);
INSERT INTO line (n) VALUES (:low);
COMMIT;
SQL

# Starts pgbench as the application; returns its handle.
sub traffic
{
	my ($seconds, $clients, @scripts) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-U', 'regress_mt_trusted', '-T', $seconds,
			'-c', $clients, '--max-tries=20', (map { ('-f', $_) } @scripts), 'app' ], '<', \undef, '>', \$out, '2>', \$err);
	return { run => $run, out => \$out, err => \$err };
}

sub unharmed
{
	my ($traffic, $name) = @_;
	$traffic->{run}->finish;
	my ($count) = ${ $traffic->{out} } =~ /number of transactions actually processed: (\d+)/;
	ok(defined $count && $count > 0, "$name: it has run (" . (defined $count ? $count : 'not at all') . ')');
	unlike(${ $traffic->{err} }, qr/ERROR|aborted/, "$name: and nobody has noticed anything");
	return;
}

# How isolate_tenant() ends, run by the migrator: nothing, or the SQLSTATE.
sub outcome
{
	my ($sql) = @_;
	my (undef, $err) = $mt->run('regress_mt_migrator', $sql);
	note($err) if $err =~ /ERROR/;
	return $err =~ /ERROR:  ([0-9A-Z]{5})/ ? $1 : '';
}

# ---- a move under traffic ----

my $before = state_of('acme');
is($before, "$rows|$rows|0|orders_shared_tenants", 'all in the shared partition');
my $all = traffic(14, 6, @reader{qw(acme acme beta gamma)}, @writer{qw(acme acme beta)});
sleep 1;
is(outcome(isolate('acme')), '', 'a tenant is moved under traffic');
unharmed($all, 'readers and writers of three tenants');
is(state_of('acme'), "$rows|$rows|0|orders_tenant_1", 'every row is in its partition, once');
is(state_of('beta'), "$rows|$rows|0|orders_shared_tenants", 'and those of the others where they were');
is($mt->superuser('SELECT count(*) FROM fired'), '0', 'no trigger has fired for the move');
is($mt->superuser("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders_shared_tenants'::regclass AND NOT tgisinternal AND tgenabled = 'O'"), '1', 'and it is on again');
is($mt->superuser("SELECT convalidated, confdeltype FROM pg_constraint WHERE conname = 'line_tenant_id_n_fkey'"), 't|c', 'the foreign key is there again');
is($mt->superuser("SELECT count(*) FROM multitenant.tables WHERE NOT is_intact OR mode <> 'enforce' AND class <> 'exempt'"), '0', 'every protection is intact');
is($mt->superuser('SELECT count(*) FROM multitenant.isolations'), '0', 'nothing is under way');
is($mt->superuser("SELECT count(*) FROM pg_constraint WHERE conname ~ '^multitenant_'"), '0', 'no auxiliary constraint is left');

# ---- killed ----

# Starts a move and returns its session once some batches are done.
sub begin_move
{
	my ($tenant, $batch) = @_;
	my $session = $mt->session('regress_mt_migrator');
	my $pid = ask($session, 'SELECT pg_backend_pid()');
	$session->query_until(qr/begun/, "\\echo begun\n" . isolate($tenant, $batch) . ";\n");
	ok($node->poll_query_until('app', "SELECT EXISTS (SELECT FROM multitenant.isolations WHERE tenant_id = '$id{$tenant}' AND blocks_read > 20 AND rows_copied > 0)"),
		"the move of $tenant is under way");
	return ($session, $pid);
}

$all = traffic(12, 4, @reader{qw(acme beta)}, @writer{qw(acme beta)});
my ($mover, $pid) = begin_move('beta', 20);
is($mt->superuser("SELECT pg_terminate_backend($pid, 5000)"), 't', 'it is killed');
my ($phase, $done, $expected) = split /\|/, $mt->superuser("SELECT phase, blocks_read, blocks_expected FROM multitenant.isolations");
is($phase, 'copying', 'the view tells the phase');
cmp_ok($done, '<', $expected, "and how far it has come ($done of $expected)");
is(state_of('beta'), "$rows|$rows|0|orders_shared_tenants", 'nothing of the copy is seen');
$mt->refused('regress_mt_trusted', as_tenant('beta', 'SELECT count(*) FROM orders_tenant_2'), '42501', 'nor may an application read the copy');
is($mt->superuser("SELECT level FROM multitenant.lint() WHERE name = 'isolation_unfinished'"), 'low', 'lint() tells of it');
is(outcome(isolate('beta', 400)), '', 'the next call goes on');
unharmed($all, 'readers and writers meanwhile');
is(state_of('beta'), "$rows|$rows|0|orders_tenant_2", 'and every row is in its partition, once');
$mover->{run}->kill_kill;

# ---- crashed ----

($mover, $pid) = begin_move('gamma', 20);
$node->stop('immediate');
$mover->{run}->kill_kill;
$node->start;
($phase, $done, $expected) = split /\|/, $mt->superuser("SELECT phase, blocks_read, blocks_expected FROM multitenant.isolations");
is($phase, 'copying', 'after a crash it is known what was under way');
cmp_ok($done, '>', 20, 'and what is done stays done');
is(state_of('gamma'), "$rows|$rows|0|orders_shared_tenants", 'nothing is lost and nothing is seen twice');

# What changes between two calls is brought up to date: pages that were read already, too.
$mt->allowed('regress_mt_trusted', as_tenant('gamma', "DELETE FROM line WHERE n = 4; UPDATE orders SET amount = 5 WHERE n = 1; UPDATE orders SET amount = -5 WHERE n = 2; "
		. "DELETE FROM orders WHERE n = 3; INSERT INTO orders (n, amount) VALUES (3, 0); UPDATE orders SET n = 900000 WHERE n = 4; UPDATE orders SET n = 4 WHERE n = 900000; "
		. "DELETE FROM orders WHERE n = 5") . ';', undef, 'a stopped copy is in nobody\'s way');

# ---- locked out ----

my $reader = $mt->session('regress_mt_trusted');
ask($reader, "BEGIN; SELECT multitenant.use_tenant('acme')");
ask($reader, 'SELECT count(*) FROM line');
is(outcome("CALL multitenant.isolate_tenant('gamma', 'orders', 400, '1 second')"), '55P03', 'a transaction that goes on keeps the last step away');
is($mt->superuser('SELECT phase FROM multitenant.isolations'), 'ready', 'the copy is complete and waits');
is(state_of('gamma'), ($rows - 1) . '|' . ($rows - 1) . '|0|orders_shared_tenants', 'nothing has changed');
ask($reader, 'COMMIT');
$mt->allowed('regress_mt_trusted', as_tenant('gamma', 'UPDATE orders SET amount = 6 WHERE n = 1; UPDATE orders SET amount = -6 WHERE n = 2') . ';', undef,
	'and rows go on changing');
# A snapshot from before the move would look for the rows where they are now and see them as they were.
my $old = $mt->session('regress_mt_trusted');
ask($old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT multitenant.use_tenant('gamma')");
is(ask($old, "SELECT 1 FROM invoice"), '1', 'a transaction has taken its snapshot');
is(outcome(isolate('gamma', 400)), '', 'then it is done');
is(ask($old, 'SELECT count(*) FROM orders'), '40001', 'a snapshot from before is not answered from it');
ask($old, 'ROLLBACK');
ask($old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT multitenant.use_tenant('gamma')");
is(ask($old, "SELECT count(*) FROM orders WHERE n <= $rows"), $rows - 1, 'one from after it is');
ask($old, 'COMMIT');
is(state_of('gamma'), ($rows - 1) . '|' . ($rows - 1) . '|0|orders_tenant_3', 'with what has changed meanwhile');
is($mt->superuser("SELECT amount FROM orders_tenant_3 WHERE n IN (1, 2, 3, 4) ORDER BY n"), "6\n-6\n0\n0", 'row by row');
is($mt->superuser('SELECT count(*) FROM orders_shared_tenants'), '0', 'the shared partition is empty');
$node->stop;
done_testing();
