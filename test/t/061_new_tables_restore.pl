# New tables and restores: the mode comes along in a dump and waits for post_restore(); a table that is restored alone is
# noticed and mended. On a server that preloads the library, and on one that does not.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $owner) = qw(regress_mt_app regress_mt_owner);
my $read = 'SELECT note FROM invoice';
my $mt = MtTest->new('source', conf => "multitenant.audience = 'app'");
my $dir = PostgreSQL::Test::Utils::tempdir();

$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE TABLE undecided (id int PRIMARY KEY);
CREATE TABLE ledger (tenant_id uuid, day int, note text) PARTITION BY RANGE (day);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (10);
SELECT multitenant.protect('ledger');
CREATE TABLE template (tenant_id uuid, note text);
INSERT INTO template VALUES (NULL, 'for all'), ('00000000-0000-0000-0000-00000000000a', 'SECRET-ACME');
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM undecided;
RESET ROLE;
SELECT multitenant.shared_rows('template');
SELECT multitenant.set_new_tables('error', '{public}', 'tenant_id');
SQL
$mt->refused($owner, 'CREATE TABLE another (id int)', 'MT010', 'the source refuses a table without a class');
foreach my $dump ([ 'plain' ], [ 'custom', '-Fc' ], [ 'directory', '-Fd', '-j2' ])
{
	my ($name, @options) = @$dump;
	$mt->node->command_ok([ 'pg_dump', '-f', "$dir/$name", @options, 'app' ], "pg_dump $name");
}
$mt->node->command_ok([ 'pg_dumpall', '-f', "$dir/roles", '--roles-only' ], 'pg_dumpall of the roles');
my $bare = MtTest->new('bare', preload => 'none', bare => 1, conf => "multitenant.audience = 'app'");
run_command([ 'psql', '-X', '-q', '-d', $bare->node->connstr('postgres'), '-f', "$dir/roles" ]);

sub value
{
	my ($world, $database, $query) = @_;
	my ($out, $err) = ('', '');
	$world->node->psql($database, $query, stdout => \$out, stderr => \$err);
	return $err =~ /ERROR/ ? $err : $out;
}

sub create
{
	my ($world, $database, @sql) = @_;
	$world->node->safe_psql('postgres', "DROP DATABASE IF EXISTS $database");
	$world->node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$world->node->safe_psql($database, join(';', "GRANT CREATE ON SCHEMA public TO $owner", @sql));
	return;
}

sub silent
{
	my ($name, @command) = @_;
	my ($out, $err) = ('', '');
	my $result = IPC::Run::run(\@command, '>', \$out, '2>', \$err);
	return ok($result && $err eq '', "$name: without an error") || diag($err);
}

sub restore
{
	my ($world, $database, $name, @options) = @_;
	my $connection = $world->node->connstr($database);
	return silent("psql < $name", 'psql', '-X', '-q', '-o', '/dev/null', '-d', $connection, '-f', "$dir/$name") if $name eq 'plain';
	return silent("pg_restore @options $name", 'pg_restore', '-d', $connection, @options, "$dir/$name");
}

my $rule = "SELECT mode || ' ' || schemas::text || ' ' || is_in_force FROM multitenant._new_tables()";

foreach my $world ($mt, $bare)
{
	my $where = $world == $mt ? 'preloaded' : 'not preloaded';

	# ---- the whole database, by every road ----
	my @roads = ([ ['plain'] ], [ ['custom'] ], [ [ 'custom', '-j4' ] ], [ [ 'directory', '-j4' ] ], [ [ 'custom', '-1' ] ],
		[ map { [ 'custom', "--section=$_" ] } qw(pre-data data post-data) ]);
	foreach my $road (@roads)
	{
		my $name = join(', ', map { "@$_" } @$road);
		subtest "$where: $name" => sub {
			create($world, 'copy');
			restore($world, 'copy', @$_) foreach @$road;
			is(value($world, 'copy', $rule), 'error {public} false', 'the mode came along and waits');
			is(value($world, 'copy', "SELECT value || ' ' || ok FROM multitenant.status() WHERE item = 'new tables'"), 'error, suspended false', 'status() says so');
			is(value($world, 'copy', 'SELECT count(*) FROM multitenant.pending_protection'), 0, 'nothing is pending');
			$world->allowed($owner, 'CREATE TABLE another (id int); DROP TABLE another', undef, 'until then tables can be made', database => 'copy');
			is(value($world, 'copy', 'SELECT table_name, finding FROM multitenant.post_restore()'), 'public.undecided|the table has no class',
				'post_restore() finds what was undecided in the source, and nothing else');
			is(value($world, 'copy', $rule), 'error {public} true', 'and puts the mode into force');
			$world->refused($owner, 'CREATE TABLE another (id int)', 'MT010', 'which acts', database => 'copy');
			$world->allowed($owner, "BEGIN; CREATE TABLE another (tenant_id uuid); SELECT multitenant.protect('another'); COMMIT; SELECT 'made'", 'made',
				'and lets a decided table pass', database => 'copy');
		};
	}

	# ---- one table, into a database that watches ----
	subtest "$where: one table, the mode in force" => sub {
		create($world, 'one', 'CREATE EXTENSION multitenant', "SELECT multitenant.set_new_tables('error')");
		my (undef, $err) = run_command([ 'pg_restore', '-d', $world->node->connstr('one'), '-t', 'invoice', "$dir/custom" ]);
		like($err, qr/new table public\.invoice has no class/, 'is refused');
		is(value($world, 'one', "SELECT to_regclass('invoice')"), '', 'and is not there');
		value($world, 'one', 'SELECT multitenant.pre_restore()');
		restore($world, 'one', 'custom', '-t', 'invoice');
		is(value($world, 'one', "SELECT label ~ '^tenant' FROM pg_seclabel WHERE provider = 'multitenant' AND objsubid = 0"), 't', 'its label came along');
		my ($out) = $world->run($app, $read, database => 'one');
		# Without row security nothing but the guard refuses; post_restore() is what tells.
		is($out, '', 'the application gets no row') if $world == $mt;
		like(value($world, 'one', 'SELECT * FROM multitenant.post_restore()'), qr/^public\.invoice\|.*\|SELECT multitenant\.repair\('public\.invoice'\);$/, 'post_restore() points to it');
		like(value($world, 'one', "SELECT string_agg(command, ';') FROM multitenant.repair('invoice')"), qr/CREATE POLICY/, 'repair() mends it');
		is(value($world, 'one', 'SELECT class, is_intact FROM multitenant.tables'), 'tenant|t', 'all of it');
		is(value($world, 'one', 'SELECT count(*) FROM multitenant.post_restore()'), 0, 'nothing is left');
	};

	# ---- one table without its labels ----
	subtest "$where: one table, no label" => sub {
		create($world, 'one', 'CREATE EXTENSION multitenant', "SELECT multitenant.create_tenant('acme', id => '00000000-0000-0000-0000-00000000000a')");
		restore($world, 'one', 'custom', '--no-security-labels', '-t', $_) foreach 'invoice', 'template';
		is(value($world, 'one', 'SELECT count(*) FROM multitenant.tables'), 0, 'nothing says what it is');
		is(value($world, 'one', 'SELECT table_name, tenant_column, was_protected FROM multitenant._undecided_tables() ORDER BY 1'),
			"public.invoice|tenant_id|t\npublic.template|tenant_id|t", 'but it is noticed');
		is(value($world, 'one', 'SELECT table_name, finding FROM multitenant.post_restore()'),
			"public.invoice|its label and policies are missing\npublic.template|its label and policies are missing", 'post_restore() points to it');
		is(value($world, 'one', "SELECT count(*) > 0 FROM multitenant.repair('invoice')"), 't', 'repair() mends it');
		like(value($world, 'one', "SELECT multitenant.repair('template')"), qr/contains null values.*shared_rows/s, 'and makes no tenant\'s table of shared rows');
		value($world, 'one', "SELECT multitenant.shared_rows('template')");
		is(value($world, 'one', 'SELECT table_name, class, is_intact FROM multitenant.tables ORDER BY 1'), "public.invoice|tenant|t\npublic.template|shared_rows|t", 'all is there again');
		$world->refused($app, $read, 'MT001', 'the application needs a context', database => 'one');
	};

	# ---- one table, before the extension ----
	subtest "$where: one table, the extension comes later" => sub {
		create($world, 'one');
		my (undef, $err) = run_command([ 'pg_restore', '-d', $world->node->connstr('one'), '-t', 'invoice', "$dir/custom" ]);
		like($err, qr/schema "multitenant" does not exist/, 'its default needs the extension');
		is(value($world, 'one', "SELECT to_regclass('invoice')"), '', 'so nothing half-protected is there');
	};

	# ---- the extension was forced away and came back: possible only where the library does not know ----
	next if $world == $mt;
	subtest "$where: the extension came back" => sub {
		create($world, 'copy');
		restore($world, 'copy', 'custom');
		value($world, 'copy', "SET session_replication_role = replica; UPDATE pg_event_trigger SET evtenabled = 'D';
			DELETE FROM pg_seclabel WHERE provider = 'multitenant' AND objsubid = 0; DROP EXTENSION multitenant CASCADE");
		is(value($world, 'copy', "SELECT count(*) FROM pg_extension WHERE extname = 'multitenant'"), 0, 'it is gone');
		value($world, 'copy', 'CREATE EXTENSION multitenant');
		is(value($world, 'copy', 'SELECT table_name, was_protected FROM multitenant._undecided_tables() WHERE was_protected ORDER BY 1'),
			"public.invoice|t\npublic.ledger|t\npublic.template|t", 'what was protected is noticed by the label of the column');
		is(value($world, 'copy', "SELECT count(*) > 0 FROM multitenant.repair('invoice')"), 't', 'and mended');
		is(value($world, 'copy', "SELECT class, is_intact FROM multitenant.tables WHERE table_name = 'public.invoice'"), 'tenant|t', 'completely');
	};
}

# ---- without preloading, DDL has the library loaded ----

$bare->node->safe_psql('postgres', "DROP DATABASE IF EXISTS one");
create($bare, 'one', 'CREATE EXTENSION multitenant', "SELECT multitenant.set_new_tables('error')", 'CREATE SCHEMA s');
foreach my $statement ('CREATE TABLE t (id int)', 'CREATE TABLE t AS SELECT 1 AS id', 'SELECT 1 AS id INTO t', 'CREATE TABLE t (tenant_id uuid) PARTITION BY LIST (tenant_id)',
	'CREATE SCHEMA made CREATE TABLE t (id int)', 'DO $$ BEGIN CREATE TABLE t (id int); END $$')
{
	$bare->refused('postgres', $statement, 'MT010', "a new session: $statement", database => 'one');
}
value($bare, 'one', "SELECT multitenant.set_new_tables('auto')");
$bare->allowed('postgres', "CREATE TABLE a (tenant_id uuid); SELECT 'is ' || class FROM multitenant.tables", 'is tenant', 'auto in a new session', database => 'one');
$bare->allowed('postgres', "SECURITY LABEL FOR multitenant ON COLUMN a.tenant_id IS 'tenant_column'", undef, 'a label in a new session', database => 'one');

# ---- the event triggers switched off ----

$mt->superuser("ALTER EVENT TRIGGER multitenant_before_ddl DISABLE; ALTER EVENT TRIGGER multitenant_after_ddl DISABLE");
$mt->refused($owner, 'CREATE TABLE another (id int)', 'MT010', 'without event triggers: error still refuses');
$mt->superuser("SELECT multitenant.set_new_tables('auto')");
$mt->refused($owner, 'CREATE TABLE another (tenant_id uuid)', 'MT010', 'without event triggers: auto refuses what it cannot protect');
$mt->superuser("ALTER EVENT TRIGGER multitenant_before_ddl ENABLE ALWAYS; ALTER EVENT TRIGGER multitenant_after_ddl ENABLE ALWAYS");

# ---- prepared transactions, and two databases of one cluster ----

$mt->node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$mt->node->restart;
$mt->superuser("SELECT multitenant.set_new_tables('error')");
$mt->refused('postgres', "BEGIN; CREATE TABLE p (id int); PREPARE TRANSACTION 'p'", 'MT010', 'PREPARE TRANSACTION is a commit');
$mt->superuser("SELECT multitenant.set_new_tables('auto')");
$mt->allowed('postgres', "BEGIN; CREATE TABLE p (tenant_id uuid); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'; SELECT 'is ' || class FROM multitenant.tables WHERE table_name = 'public.p'",
	'is tenant', 'auto acts before it is prepared');

# ---- a copy by template keeps the mode ----

$mt->node->safe_psql('postgres', 'CREATE DATABASE twin TEMPLATE app');
is(value($mt, 'twin', $rule =~ s/schemas::text/coalesce(schemas::text, 'all')/r), 'auto all true', 'a copy by template is in force at once');

done_testing();
