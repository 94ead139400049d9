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
# Some servers' functions on texts leave such a half out by themselves: what is kept, by its bytes.
is($mt->superuser("SELECT DISTINCT encode(textsend(statement), 'hex') FROM multitenant._observations() WHERE statement <> ''"), unpack('H*', 'SELECT note "'),
	'half a character is not even kept');
forget();

# Literals in every spelling that the server takes: what is written, and what is kept of it.
my $off = $mt->major < 19 ? 'SET standard_conforming_strings = off; SET escape_string_warning = off;' : '';
my $long = 'SELECT ' . join(', ', map { "note AS n$_" } 1 .. 200) . ' FROM ledger';
foreach my $case (
	[ 'a backslash that escapes', "SELECT note FROM ledger WHERE note = E'a\\'HUSH'", 'SELECT note FROM ledger WHERE note = E?' ],
	[ 'one that does not', "SELECT name'a\\', note FROM ledger WHERE note = 'HUSH'", 'SELECT name?, note FROM ledger WHERE note = ?' ],
	[ 'a doubled quote', "SELECT note FROM ledger WHERE note = 'a''HUSH'", 'SELECT note FROM ledger WHERE note = ?' ],
	[ 'dollars', 'SELECT note FROM ledger WHERE note = $$HUSH$$', 'SELECT note FROM ledger WHERE note = ?' ],
	[ 'dollars with a tag', 'SELECT note FROM ledger WHERE note = $a_1$HUSH $$ $a$ HUSH$a_1$ AND id = 4711', 'SELECT note FROM ledger WHERE note = ? AND id = ?' ],
	[ 'parameters', 'PREPARE p AS SELECT note FROM ledger WHERE id = $1 AND note <> $2; EXECUTE p (4711, \'HUSH\')',
		'PREPARE p AS SELECT note FROM ledger WHERE id = $1 AND note <> $2' ],
	[ 'a string in two parts', "SELECT note FROM ledger WHERE note = 'HUSH'\n'HUSH'", 'SELECT note FROM ledger WHERE note = ? ?' ],
	[ 'an operator that looks like a literal', "SELECT '{\"HUSH\": 1}'::jsonb ? 'HUSH' FROM ledger", 'SELECT ?::jsonb ? ? FROM ledger' ],
	[ 'a list that ends with a column', "SELECT note FROM ledger WHERE note IN ('HUSH', 'HUSH', note)", 'SELECT note FROM ledger WHERE note IN (?, note)' ],
	[ 'after a closed list', 'SELECT abs(4711), note FROM ledger', 'SELECT abs(?), note FROM ledger' ],
	[ 'lists of one', 'SELECT (4711), (id) FROM ledger', 'SELECT (?), (id) FROM ledger' ],
	[ 'a second list that calculates', 'SELECT (4711), (4711 + id) FROM ledger', 'SELECT (?), (? + id) FROM ledger' ],
	[ 'a second list that ends with a column', 'SELECT (4711, 1), (4711, id) FROM ledger', 'SELECT (?), (?, id) FROM ledger' ],
	[ 'lists alike', 'SELECT note FROM ledger WHERE (id, note) IN ((4711, \'HUSH\'), (4711, \'HUSH\'), (4711, \'HUSH\'))', 'SELECT note FROM ledger WHERE (id, note) IN ((?))' ],
	[ 'a comment before', '/* HUSH */ SELECT note FROM ledger', 'SELECT note FROM ledger' ],
	[ 'statements in one message', "SELECT 'HUSH'; COPY ledger (id) TO STDOUT", 'SELECT ?; COPY ledger (id) TO STDOUT' ],
	[ 'the second statement of a message', "SELECT 'HUSH'; SELECT note FROM ledger", 'SELECT note FROM ledger' ],
	[ 'a long text', $long, substr($long, 0, 1023) ],
	[ 'a literal that goes on behind 64 kB', 'SELECT note FROM ledger WHERE note = $$' . 'HUSH' x 20000 . '$$ AND id = 4711', 'SELECT note FROM ledger WHERE note = ?' ],
	$off ? [ 'a backslash without standard_conforming_strings', "SELECT note FROM ledger WHERE note = 'a\\'HUSH'", 'SELECT note FROM ledger WHERE note = ?' ] : ())
{
	my ($name, $sql, $wording) = @$case;
	$mt->run($app, $name =~ /without standard/ ? "$off $sql" : $sql, single => $name =~ /message|comment before/);
	is(report('first_statement'), $wording, "no literal: $name");
	forget();
}

# ---- which rows are whose, by the type of the tenant column ----

my $slug = 'a' x 60;
$mt->superuser(<<"SQL");
SELECT multitenant.create_tenant('$slug', number => 77);
SET ROLE regress_mt_owner;
CREATE TABLE numbered (id int, tenant_id bigint);
CREATE TABLE slugged (id int, tenant_id text, filler text);
ALTER TABLE slugged ALTER filler SET STORAGE PLAIN;
INSERT INTO numbered VALUES (1, 77), (2, 78), (3, 4294967373);
INSERT INTO slugged VALUES (1, '$slug', repeat('x', 2200)), (2, 'b' || substr('$slug', 2), repeat('x', 2200)), (3, 'b', 'x');
SELECT multitenant.observe('numbered');
SELECT multitenant.observe('slugged');
GRANT ALL ON numbered, slugged, ledger TO regress_mt_trusted;
SQL
is($mt->superuser("SELECT string_agg((pg_column_size(tenant_id) < 60)::text, ' ' ORDER BY id) FROM slugged"), 'true true true', 'slugs as short as the server makes them');
forget();

# What is counted of statements under a tenant
sub counted
{
	my ($name, $sql, $wanted) = @_;
	my ($out, $err) = $mt->run('regress_mt_trusted', "BEGIN; SELECT multitenant.use_tenant('$slug'); $sql; COMMIT");
	is("$err" . report("table_name, foreign_rows_read, foreign_rows_written, unseen_scans", "role_name IS NOT NULL ORDER BY table_name"), $wanted, $name);
	forget();
	return;
}

counted('by number', 'SELECT count(*) FROM numbered', 'public.numbered|2|0|0');
counted('by a slug, compressed or not', 'SELECT count(*) FROM slugged', 'public.slugged|2|0|0');
counted('beside tables that are not observed', 'SELECT count(*) FROM numbered, invoice, pg_class', 'public.numbered|2|0|0');
$mt->superuser('SET ROLE regress_mt_owner; ALTER TABLE numbered ALTER tenant_id TYPE numeric');
counted('by what is no tenant: unseen', 'SELECT count(*) FROM numbered', 'public.numbered|0|0|1');
counted('and what is written goes on', "INSERT INTO numbered VALUES (4, 1);\nCOPY numbered FROM STDIN;\n5\t1\n\\.\n", '');
is($mt->superuser('SELECT count(*) FROM numbered'), '5', 'it is there');
$mt->superuser('SECURITY LABEL FOR multitenant ON COLUMN numbered.tenant_id IS NULL');
counted('by a column that is not known: unseen', 'SELECT count(*) FROM numbered', 'public.numbered|0|0|1');

$mt->superuser(<<"SQL");
SET ROLE regress_mt_owner;
CREATE TABLE parted (id int, tenant_id bigint) PARTITION BY LIST (id);
SELECT multitenant.observe('parted');
CREATE TABLE parted_1 (tenant_id bigint, id int);
ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES IN (1);
INSERT INTO parted VALUES (1, 77), (1, 78);
GRANT ALL ON parted, parted_1 TO regress_mt_trusted;
SQL
forget();
counted('a partition that came later, its columns in another order', 'SELECT count(*) FROM parted', 'public.parted|1|0|0');
counted('and by its own name', 'SELECT count(*) FROM parted_1', 'public.parted|1|0|0');
SKIP:
{
	chomp(my $sharedir = `pg_config --sharedir`);
	skip 'no file_fdw', 1 unless -f "$sharedir/extension/file_fdw.control";
	my $file = $node->basedir . '/part.csv';
	append_to_file($file, "2,78\n2,77\n");
	$mt->superuser("CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
		CREATE FOREIGN TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) SERVER files OPTIONS (filename '$file', format 'csv')");
	counted('a foreign partition: unseen', 'SELECT count(*) FROM parted', 'public.parted|1|0|1');
	$mt->superuser('GRANT INSERT ON parted_2 TO regress_mt_trusted');
	$mt->refused('regress_mt_trusted', 'INSERT INTO parted_2 VALUES (2, 77)', '0A000', 'a foreign partition that is written: the server refuses, nothing is appended');
	forget();
	$mt->superuser('DROP EXTENSION file_fdw CASCADE');
}
$mt->superuser('SECURITY LABEL FOR multitenant ON COLUMN parted.tenant_id IS NULL');
counted('below a column that is not known: unseen', 'SELECT count(*) FROM parted_1', 'public.parted|0|0|1');
$mt->superuser('DROP TABLE parted');

$mt->refused('regress_mt_trusted', "BEGIN; SELECT multitenant.use_tenant('$slug'); COPY pg_catalog.pg_description FROM STDIN", '42501', 'COPY into a catalog');

# The counts of one table are forgotten without those of others
$mt->run($app, 'SELECT count(*) FROM ledger; ');
$mt->run('regress_mt_trusted', 'SELECT count(*) FROM slugged');
$mt->superuser("SELECT multitenant.forget_observations('ledger')");
is(report('table_name'), 'public.slugged', 'forgotten for one table');
forget();
$mt->superuser('DROP TABLE numbered, slugged');

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
