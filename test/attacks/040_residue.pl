# Rows S1, S2, S4, C16 and S3 of the catalogue: what an attacker leaves in a pooled session for the next tenant's client, or
# finds there of the last one. One psql session stands for the pooled one; test/clients/020_pooling.pl uses a pooler.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('residue');
my $app = 'regress_mt_app';

$mt->superuser(<<'SQL');
CREATE SCHEMA evil;
GRANT USAGE, CREATE ON SCHEMA evil TO regress_mt_app;
CREATE ROLE regress_mt_strict LOGIN;
ALTER ROLE regress_mt_strict SET multitenant.session_hygiene = strict;
CREATE ROLE regress_mt_holder LOGIN;
SELECT multitenant.grant_access('regress_mt_holder', 'application', allow => '{held_cursors}');
GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO regress_mt_strict, regress_mt_holder;
SQL

sub begin
{
	my ($tenant) = @_;
	return "BEGIN;\nSELECT multitenant.authenticate('" . $mt->token($tenant, exp => time + 1800) . "') AS _ \\gset\n";
}
sub whole { return begin($_[0]) . "$_[1];\nCOMMIT" }

# What the attacker leaves, and what the victim's client does with the session in its own transaction
sub poisoned
{
	my ($name, $leave, $sql, $wanted, %options) = @_;
	my $role = $options{role} || $app;
	# The connection has had a first context. Under the attacker's context, in no context, and in one that is rolled back.
	$mt->steps("$name: under a context", $role, {}, whole('beta', 'SELECT') => '', whole('acme', $leave) => '', begin('beta') . $sql => $wanted);
	$mt->steps("$name: without a context", $role, {}, whole('beta', 'SELECT') => '', $leave => '', begin('beta') . $sql => $wanted);
	$mt->steps("$name: in a transaction without a context", $role, {}, whole('beta', 'SELECT') => '', "BEGIN; $leave; COMMIT" => '', begin('beta') . $sql => $wanted);
	$mt->steps("$name: after the victim's transaction failed", $role, {}, whole('beta', 'SELECT') => '', whole('acme', $leave) => '',
		begin('beta') . 'SELECT 1/0' => '22012', 'ROLLBACK' => '', begin('beta') . $sql => $wanted);
	$mt->steps("$name: in a procedure's transaction", $role, {},
		"CREATE PROCEDURE pg_temp.leave() LANGUAGE plpgsql AS \$p\$ BEGIN EXECUTE \$e\$$leave\$e\$; COMMIT; END \$p\$" => '',
		whole('beta', 'SELECT') => '', 'CALL pg_temp.leave()' => '', begin('beta') . $sql => $wanted) unless $options{is_many};
	return;
}

# ---- S1: objects that take the place of the table ----
my $mine = "INSERT INTO invoice (note) VALUES ('new'); SELECT count(*) FROM public.invoice WHERE note = 'new'";
poisoned('S1: a temporary table takes the INSERT', 'CREATE TEMP TABLE invoice (id uuid, tenant_id uuid, note text)', $mine, '1');
poisoned('S1: a temporary view answers the query', "CREATE TEMP VIEW invoice AS SELECT 'planted' AS note", 'SELECT note FROM invoice', 'SECRET-BETA');
poisoned('S1: a temporary view on a temporary table takes the INSERT',
	'CREATE TEMP TABLE taken (id uuid, tenant_id uuid, note text); CREATE TEMP VIEW invoice AS SELECT * FROM taken', $mine, '1', is_many => 1);
poisoned('S1: a function of the temporary schema', "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS \$f\$SELECT 'planted'\$f\$", 'SELECT pg_temp.f()', '42883');
poisoned('S1: a temporary type', 'CREATE TYPE pg_temp.uuid AS (x int)', 'SELECT (NULL::uuid) IS NULL', 't');
poisoned('S1: a table in a schema of the attacker, by search_path',
	'CREATE TABLE IF NOT EXISTS evil.invoice (id uuid, tenant_id uuid, note text); SET search_path = evil, public', 'SELECT note FROM invoice', 'SECRET-BETA', is_many => 1);
poisoned('S1: by set_config()', "SELECT FROM (SELECT set_config('search_path', 'evil, public', false)) s WHERE false", 'SELECT note FROM invoice', 'SECRET-BETA');
poisoned('S1: by a function', "DO \$d\$ BEGIN PERFORM set_config('search_path', 'evil, public', false); END \$d\$", 'SELECT note FROM invoice', 'SECRET-BETA');
$mt->steps('S1: by an aggregate that sets', $app, {},
	"CREATE AGGREGATE pg_temp.setter(text, boolean) (sfunc = set_config, stype = text, initcond = 'search_path')" => '',
	whole('beta', 'SELECT') => '', "SELECT pg_temp.setter('evil, public', false)" => 'evil, public', begin('beta') . 'SELECT note FROM invoice' => 'SECRET-BETA');
$mt->steps('S1: by a function in FROM', $app, {},
	whole('beta', 'SELECT') => '', "SELECT * FROM set_config('search_path', 'evil, public', false)" => 'evil, public', begin('beta') . 'SELECT note FROM invoice' => 'SECRET-BETA');

# ---- S1: planted in a connection that had no context yet, where it counts as the connection's ----
$mt->steps('S1: a table of a fresh connection takes the INSERT, and COMMIT is refused', $app, {},
	'CREATE TEMP TABLE invoice (id uuid, tenant_id uuid, note text)' => '', begin('beta') . "INSERT INTO invoice (note) VALUES ('new')" => '', 'COMMIT' => 'MT010',
	'SELECT count(*) FROM invoice' => '0');
$mt->steps('S1: or the first context, with strict', 'regress_mt_strict', {},
	'CREATE TEMP TABLE invoice (id uuid, tenant_id uuid, note text)' => '', "BEGIN; SELECT multitenant.authenticate('" . $mt->token('beta', exp => time + 1800) . "')" => 'MT010');

# ---- S1: planted after DISCARD ALL, which begins anew ----
sub discarded
{
	my ($name, $leave, $sql, $wanted) = @_;
	$mt->steps("$name after DISCARD ALL", $app, {}, whole('acme', 'SELECT') => '', 'DISCARD ALL' => '', $leave => '', begin('beta') . $sql => $wanted);
	return;
}
discarded('S1: a temporary view', "CREATE TEMP VIEW invoice AS SELECT 'planted' AS note", 'SELECT note FROM invoice', 'SECRET-BETA');
discarded('S1: a temporary table', 'CREATE TEMP TABLE invoice (id uuid, tenant_id uuid, note text)', $mine, '1');
discarded('S2: a prepared statement', "PREPARE by_pool AS SELECT 'planted'", 'EXECUTE by_pool', '26000');

# ---- S1: data that is carried ----
foreach my $case (
	'CREATE TEMP TABLE carried AS SELECT note FROM invoice', 'SELECT note INTO TEMP carried FROM invoice',
	'CREATE TEMP TABLE carried (note text); INSERT INTO carried SELECT note FROM invoice',
	"CREATE TEMP TABLE carried (note text); WITH i AS (INSERT INTO carried SELECT note FROM invoice RETURNING 1) SELECT FROM i WHERE false",
	"DO \$d\$ DECLARE n text; BEGIN SELECT note INTO n FROM invoice; EXECUTE format('CREATE TEMP TABLE carried AS SELECT %L AS note', n); END \$d\$",
	"CREATE TEMP TABLE carried (note text); SAVEPOINT a; INSERT INTO carried SELECT note FROM invoice; RELEASE a; SAVEPOINT b; ROLLBACK TO b")
{
	$mt->steps("S1: carried by $case", $app, {}, whole('beta', 'SELECT') => '', begin('acme') . $case => '', 'COMMIT' => 'MT010', 'SELECT * FROM carried' => '42P01');
}
$mt->steps('S1: carried in a table that was there before', $app, {}, whole('beta', 'SELECT') => '', whole('acme', 'CREATE TEMP TABLE carried (note text)') => '',
	begin('acme') . 'INSERT INTO carried SELECT note FROM invoice' => '', 'COMMIT' => 'MT010', 'SELECT * FROM carried' => '');
$mt->steps('S1: carried after the context was given up', $app, {},
	begin('acme') . "SELECT note FROM invoice \\gset\nSELECT multitenant.reset_tenant() AS _ \\gset\nCREATE TEMP TABLE carried AS SELECT :'note' AS note" => '',
	'COMMIT' => 'MT010', 'SELECT * FROM carried' => '42P01');

# ---- S2: statements ----
poisoned('S2: a prepared statement', "PREPARE by_pool AS SELECT 'planted'", 'EXECUTE by_pool', '26000');
poisoned('S2: by a block', "DO \$d\$ BEGIN EXECUTE 'PREPARE by_pool AS SELECT 1'; END \$d\$", 'EXECUTE by_pool', '26000');
$mt->steps('S2: in the place of one of the connection', $app, {}, "PREPARE by_pool AS SELECT 'right'" => '', whole('beta', 'SELECT') => '',
	"DEALLOCATE by_pool; PREPARE by_pool AS SELECT 'planted'" => '', begin('beta') . 'EXECUTE by_pool' => '26000');
$mt->steps('S2: in a transaction that fails', $app, {}, whole('beta', 'SELECT') => '', begin('acme') . "PREPARE by_pool AS SELECT 'planted'" => '',
	'SELECT 1/0' => '22012', 'ROLLBACK' => '', begin('beta') . 'EXECUTE by_pool' => '26000');

# ---- C16: cursors ----
poisoned('C16: a cursor WITH HOLD', "DECLARE held CURSOR WITH HOLD FOR SELECT 'planted'", 'FETCH ALL FROM held', '34000', role => 'regress_mt_holder');
$mt->steps('C16: a cursor on a copy that is dropped', $app, {}, begin('acme') .
	'CREATE TEMP TABLE copy ON COMMIT DROP AS SELECT note FROM invoice; DECLARE held CURSOR WITH HOLD FOR SELECT note FROM copy' => '',
	'COMMIT' => 'MT010', 'FETCH ALL FROM held' => '34000');
$mt->steps('C16: below a block', $app, {}, begin('acme') .
	"CREATE TEMP TABLE copy ON COMMIT DROP AS SELECT note FROM invoice; DO \$d\$ BEGIN EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT note FROM copy'; END \$d\$" => '',
	'COMMIT' => 'MT010', 'FETCH ALL FROM held' => '34000');

# ---- S2: below EXECUTE, which goes on using what would be removed ----
my $late = "multitenant.authenticate('" . $mt->token('acme', exp => time + 1800) . "')";
$mt->steps('S2: a context that begins below EXECUTE', $app, {}, whole('beta', 'SELECT') => '', "PREPARE p(text) AS SELECT 'run'" => '',
	"EXECUTE p($late)" => 'MT010', "BEGIN; SELECT $late IS NOT NULL" => 't', 'ROLLBACK' => '');
$mt->steps('S2: and below its query', $app, {}, whole('beta', 'SELECT') => '', "PREPARE q AS SELECT $late" => '', 'EXECUTE q' => 'MT010',
	'CREATE TEMP TABLE t ON COMMIT DROP AS EXECUTE q' => 'MT010', whole('acme', 'SELECT') => '', 'EXECUTE q' => '26000');

# ---- S3: settings ----
poisoned('S3: how strings are read', 'SET standard_conforming_strings = off', 'SHOW standard_conforming_strings', 'on');
poisoned('S3: row_security', 'SET row_security = off', 'SELECT note FROM invoice', 'SECRET-BETA');
poisoned('S3: read only', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY', 'SHOW default_transaction_read_only', 'off');
poisoned('S3: a time limit', "SET statement_timeout = '1ms'; SET statement_timeout = '90s'", 'SHOW statement_timeout', '0');
poisoned('S3: what the application keeps in a setting', "SET app.tenant = 'acme'", "SELECT current_setting('app.tenant', true)", '');
$mt->steps('S3: a role that is no other one locks nobody out', $app, {}, whole('beta', 'SELECT') => '', whole('acme', "SET ROLE $app") => '', begin('beta') . 'SELECT note FROM invoice' => 'SECRET-BETA');
$mt->steps('S3: nor where the connection had said so', $app, {}, "SET ROLE $app" => '', whole('beta', 'SELECT') => '', 'SET ROLE NONE' => '', begin('acme') . 'SELECT note FROM invoice' => 'SECRET-ACME');
$mt->steps('S3: nor a setting that cannot be set back', $app, {}, 'SET temp_buffers = 900' => '', whole('beta', 'SELECT') => '',
	'SET temp_buffers = 800; BEGIN; CREATE TEMP TABLE t (i int); INSERT INTO t VALUES (1); ROLLBACK' => '', begin('acme') . 'SELECT note FROM invoice; SHOW temp_buffers' => "SECRET-ACME\n8MB");
my $sow = 'SET seed = 0.25';
my ($known) = $mt->run($app, "$sow; SELECT random()");
poisoned('S3: the seed of random()', $sow, "SELECT random() = $known", 'f');

# ---- the protection itself ----
$mt->refused($app, 'SET multitenant.session_hygiene = off', '42501', 'the mode is not the application\'s to set');
$mt->refused($app, "SELECT set_config('multitenant.session_hygiene', 'off', false)", '42501', 'nor by function');
my ($out, $err) = $mt->run($app, 'SELECT 1', pgoptions => '-c multitenant.session_hygiene=off');
like($err, qr/permission denied to set parameter "multitenant.session_hygiene"/, 'nor as an option of the connection');
$mt->refused($app, "ALTER ROLE $app SET multitenant.session_hygiene = off", 'MT010', 'nor for its role');
$mt->intact('and every tenant has its row');

done_testing();
