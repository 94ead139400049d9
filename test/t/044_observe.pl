# Observing: what is counted in shared memory comes from every session, read-only transactions and parallel workers
# included, holds no literals and no credentials, and has an end; without shared memory nothing can be observed. The mode
# is in dumps.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_app';
my $acme = '00000000-0000-0000-0000-00000000000a';
my $beta = '00000000-0000-0000-0000-00000000000b';
my $mt = MtTest->new('observe', conf => "max_connections = 30\nautovacuum = off");
my $node = $mt->node;

sub report
{
	my ($columns, $where) = @_;
	return $mt->superuser("SELECT $columns FROM multitenant.adoption_report() WHERE " . ($where // 'role_name IS NOT NULL'));
}

sub forget { return $mt->superuser('SELECT multitenant.forget_observations()') }

$mt->superuser(<<"SQL");
SET ROLE regress_mt_owner;
CREATE TABLE ledger (id int PRIMARY KEY, tenant_id uuid, note text) WITH (parallel_workers = 2);
INSERT INTO ledger SELECT i, CASE i % 4 WHEN 0 THEN '$acme' ELSE '$beta' END::uuid, 'note ' || i FROM generate_series(1, 20000) i;
GRANT ALL ON ledger TO $app;
SELECT multitenant.observe('ledger');
SQL
$node->safe_psql('app', 'VACUUM ANALYZE ledger');

is($mt->superuser("SELECT level FROM multitenant.lint() WHERE cache_key = 'table_observed:public.ledger'"), 'critical',
	'lint() knows that nothing protects an observed table');

# ---- read-only transactions, other sessions, applications ----

$mt->allowed($app, 'BEGIN READ ONLY; SELECT count(*) FROM ledger; COMMIT', '20000', 'read-only without a context: not refused');
is(report('role_name, without_context, first_statement'), "$app|1|SELECT count(*) FROM ledger", 'and counted');
$mt->run($app, "SET application_name = 'billing'; SELECT count(*) FROM ledger");
$mt->run($app, 'BEGIN READ ONLY; SELECT count(*) FROM ledger; ROLLBACK');
is(report("application_name = 'billing', without_context", "role_name IS NOT NULL ORDER BY 1"), "f|2\nt|1", 'each application has a row; what was rolled back counts');
forget();
is(report('count(*)'), '0', 'forgotten');

# ---- parallel workers count once ----

my $force = "SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL max_parallel_workers_per_gather = 2";
my $session = $mt->session($app);
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme') . "')");
ask($session, $force);
is(ask($session, 'SELECT count(note) FROM ledger'), '20000', 'a parallel scan');
is(ask($session, "SELECT sum(foreign_rows_read) FROM multitenant.adoption_report()"), '42501', 'the report is not for the application');
ask($session, 'ROLLBACK');
$session->quit;
is(report('sum(foreign_rows_read), sum(without_context), bool_and(mode = \'observe\')'), '15000|0|t', 'the rows of workers and leader, each once; no worker is a statement');
my $used = $mt->superuser("SELECT sum(statements) FROM (SELECT DISTINCT table_name, statements FROM multitenant.adoption_report()) s");
is($used, '1', 'one statement');
forget();
$mt->run($app, "BEGIN; $force; SELECT count(note) FROM ledger; COMMIT");
is(report('without_context'), '1', 'without a context neither');
forget();

# ---- nothing secret is kept ----

my $token = $mt->token('acme');
$mt->run($app, "SET application_name = '$token'; SELECT note FROM ledger WHERE note = 'HUSH' AND id = 4711 /* HUSH */");
my $kept = report('application_name, first_statement');
unlike($kept, qr/HUSH|4711|\Q$token\E/, 'no literal, no comment');
like($kept, qr/SELECT note FROM ledger WHERE note = \? AND id = \?/, 'the statement');
$mt->run($app, qq{SELECT note AS "$token" FROM ledger LIMIT 1});
unlike(report('application_name, first_statement'), qr/\Q$token\E/, 'no credential, not even as a name');
forget();
# The library looks at 64 kB; one byte of this name is the last of them.
my $begin = 'SELECT note /*';
$mt->run($app, $begin . 'x' x (65535 - length($begin) - 4) . "*/ \"\xc3\xa9\" FROM ledger LIMIT 1");
is(report('first_statement'), 'SELECT note "', 'nor half a character, which would break the report');
forget();

# ---- there is an end, and it is told ----

$mt->superuser("CREATE FUNCTION flood() RETURNS void LANGUAGE plpgsql AS 'BEGIN FOR i IN 1..1200 LOOP EXECUTE format(''SELECT 1 AS a%s FROM ledger LIMIT 0'', i); END LOOP; END'; GRANT EXECUTE ON FUNCTION flood() TO $app");
$mt->run($app, 'SELECT flood()');
my ($status, $out, $err) = $node->psql('app', 'SELECT count(*) FROM multitenant.adoption_report()');
is($out, '895', 'as many statements as there is room for');
like($err, qr/WARNING:  the report is not complete: 305 statements or rows found no room/, 'and how many there was none for');
forget();
$mt->run($app, 'SELECT count(*) FROM ledger');
is(report('without_context'), '1', 'room again');

# ---- a session that waits, and one that is ended ----

$session = $mt->session($app);
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme') . "')");
ask($session, 'DECLARE c CURSOR FOR SELECT note FROM ledger AS held');
ask($session, 'FETCH 8 FROM c');
forget();
ask($session, 'FETCH 8 FROM c');
ask($session, 'COMMIT');
is(report('count(*)', "first_statement LIKE '%held%'"), '0', 'what a running statement had counted before is forgotten with the rest');
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme') . "')");
ask($session, 'DECLARE c CURSOR FOR SELECT note FROM ledger AS dying');
ask($session, 'FETCH 8 FROM c');
$mt->superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$app'");
$node->poll_query_until('app', "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = '$app'") or die 'still there';
is(report('foreign_rows_read', "first_statement LIKE '%dying%'"), '6', 'a session that is ended counts what it read');

# ---- dumps ----

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-t', 'ledger', 'app' ], 'pg_dump');
like(slurp_file($dump), qr/SECURITY LABEL FOR multitenant ON TABLE public\.ledger IS 'tenant \{"mode": "observe"\}'/, 'the dump has the mode');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->safe_psql('copy', "CREATE EXTENSION multitenant; SELECT multitenant.create_tenant('acme', id => '$acme')");
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', $dump ], 'restored');
is($node->safe_psql('copy', 'SELECT class, tenant_column, mode, is_intact FROM multitenant.tables'), 'tenant|tenant_id|observe|t', 'and so has the copy');
is($node->safe_psql('copy', 'SELECT count(*) FROM ledger'), '20000', 'with its rows');

# As the owner, who is no migrator: the first label is his to write.
$node->safe_psql('postgres', "CREATE DATABASE owned OWNER regress_mt_owner");
$node->safe_psql('owned', 'CREATE EXTENSION multitenant; GRANT CREATE ON SCHEMA public TO regress_mt_owner');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'regress_mt_owner', '-d', 'owned', '-f', $dump ], 'restored by the owner');
is($node->safe_psql('owned', 'SELECT mode FROM multitenant.tables'), 'observe', 'observed there');

# ---- a restart, and a server without shared memory ----

$node->restart;
is(report('count(*)'), '0', 'a restart forgets the counts');
is($mt->superuser("SELECT mode FROM multitenant.tables WHERE table_name = 'public.ledger'"), 'observe', 'not the mode');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nsession_preload_libraries = 'multitenant'");
$node->restart;
($status, $out, $err) = $node->psql('app', '\set VERBOSITY verbose
SELECT * FROM multitenant.adoption_report()');
like($err, qr/ERROR:  55000: observing tables needs the library in shared_preload_libraries.*HINT:  Add multitenant/s, 'without shared memory: no report');
like(($node->psql('app', "SELECT multitenant.observe('ledger')"))[2], qr/needs the library in shared_preload_libraries/, 'no observing');
$mt->allowed($app, 'SELECT count(*) FROM ledger', '20000', 'what is observed goes on, uncounted');
$mt->allowed($app, $mt->begin('acme') . "INSERT INTO ledger VALUES (0, '$beta', 'x'); SELECT count(*) FROM ledger", '20001', 'writing, too', tenant => 'acme');
is($mt->superuser("SELECT count(*) > 3 FROM multitenant.protect('ledger')"), 't', 'protect() needs no shared memory');
$mt->refused($app, 'SELECT count(*) FROM ledger', 'MT001', 'protected');

done_testing();
