# What one tenant leaves in a session: what its COMMIT refuses, what is gone before the next tenant's context begins, and
# what stays. docs/internals/session-hygiene.md explains each kind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('hygiene');
my $app = 'regress_mt_app';

$mt->superuser(<<'SQL');
CREATE ROLE regress_mt_bound LOGIN;
CREATE ROLE regress_mt_keep LOGIN;
CREATE ROLE regress_mt_holder LOGIN;
CREATE ROLE regress_mt_strict LOGIN;
CREATE ROLE regress_mt_off LOGIN;
CREATE ROLE regress_mt_weak;
GRANT regress_mt_weak TO regress_mt_app;
SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme');
SELECT multitenant.grant_access('regress_mt_keep', 'application', session_context => true);
SELECT multitenant.grant_access('regress_mt_holder', 'application', allow => '{held_cursors}');
ALTER ROLE regress_mt_strict SET multitenant.session_hygiene = strict;
ALTER ROLE regress_mt_off SET multitenant.session_hygiene = off;
GRANT SELECT, INSERT ON invoice TO regress_mt_bound, regress_mt_keep, regress_mt_holder, regress_mt_strict, regress_mt_off;
CREATE FUNCTION enter(token text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$ BEGIN PERFORM multitenant.authenticate(token); END $$;
CREATE TABLE asked (i int);
GRANT INSERT ON asked TO regress_mt_app;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO thing SELECT note FROM invoice; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER fill AFTER INSERT ON asked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fill();
CREATE PROCEDURE count_and_commit(token text) LANGUAGE plpgsql AS
	$$ BEGIN PERFORM multitenant.authenticate(token); PERFORM count(*) FROM invoice; COMMIT; PERFORM 1; COMMIT; END $$;
SQL

# Machines that do much else are slow.
sub token { return $mt->token($_[0], exp => time + 1800) }

# A transaction of a tenant begins, silently.
sub begin
{
	my ($tenant) = @_;
	return "BEGIN;\nSELECT multitenant.authenticate('" . token($tenant) . "') AS _ \\gset\n";
}

# The same, where it is refused
sub asked { return "BEGIN; SELECT multitenant.authenticate('" . token($_[0]) . "')" }

# A whole transaction of a tenant
sub whole
{
	my ($tenant, $sql) = @_;
	return begin($tenant) . ($sql // '') . ";\nCOMMIT";
}

# What a query shows to a tenant
sub seen
{
	my ($tenant, $query, $wanted) = @_;
	return (begin($tenant) . $query => $wanted, 'COMMIT' => '');
}

my $is_there = "SELECT coalesce(to_regclass('pg_temp.thing')::text, to_regtype('pg_temp.thing')::text)";
my $statements = "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements WHERE from_sql";
my $cursors = "SELECT string_agg(name, ' ') FROM pg_cursors WHERE name = 'held'";

# Name, what leaves it, query, what it shows while it is there, what after
my @residue = (
	[ 'a temporary table', 'CREATE TEMP TABLE thing (i int)', $is_there, 'thing', '' ],
	[ 'a temporary table that is emptied', 'CREATE TEMP TABLE thing (i int) ON COMMIT DELETE ROWS; INSERT INTO thing VALUES (1)', $is_there, 'thing', '' ],
	[ 'a temporary view', 'CREATE TEMP VIEW thing AS SELECT 1', $is_there, 'thing', '' ],
	[ 'a view on a table', 'CREATE TEMP TABLE base (i int); CREATE TEMP VIEW thing AS SELECT * FROM base', $is_there, 'thing', '' ],
	[ 'a temporary sequence', 'CREATE TEMP SEQUENCE thing', $is_there, 'thing', '' ],
	[ 'a temporary function', 'CREATE FUNCTION pg_temp.thing() RETURNS int LANGUAGE sql AS $$SELECT 1$$', "SELECT to_regprocedure('pg_temp.thing()') IS NOT NULL", 't', 'f' ],
	[ 'a temporary domain', 'CREATE DOMAIN pg_temp.thing AS int', $is_there, 'thing', '' ],
	[ 'a prepared statement', 'PREPARE left_here AS SELECT 1', $statements, 'left_here', '' ],
	[ 'search_path', 'SET search_path = evil, public', 'SHOW search_path', 'evil, public', '"$user", public' ],
	[ 'search_path by set_config()', "SELECT set_config('search_path', 'evil', false) AS _ \\gset\n", 'SHOW search_path', 'evil', '"$user", public' ],
	[ 'search_path in a block', "DO \$\$ BEGIN SET search_path = evil; END \$\$", 'SHOW search_path', 'evil', '"$user", public' ],
	[ 'search_path through the view', "DO \$\$ BEGIN UPDATE pg_settings SET setting = 'evil' WHERE name = 'search_path'; END \$\$", 'SHOW search_path', 'evil', '"$user", public' ],
	[ 'row_security', 'SET row_security = off', 'SHOW row_security', 'off', 'on' ],
	[ 'the level of isolation', 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'SHOW default_transaction_isolation', 'serializable', 'read committed' ],
	[ 'read only', 'SET default_transaction_read_only = on', 'SHOW default_transaction_read_only', 'on', 'off' ],
	[ 'a time limit', "SET statement_timeout = '93s'", 'SHOW statement_timeout', '93s', '0' ],
	[ 'a factor', 'SET seq_page_cost = 2.5', 'SHOW seq_page_cost', '2.5', '1' ],
	[ 'a setting of the application', "SET app.tenant = 'acme'", "SELECT current_setting('app.tenant', true)", 'acme', '' ]);

# ---- what the next tenant finds ----
foreach my $case (@residue)
{
	my ($name, $leave, $query, $there, $gone) = @$case;
	$mt->steps("$name: goes before another tenant, stays for its own", $app, {},
		whole('beta') => '', whole('acme', $leave) => '', seen('acme', $query, $there), seen('beta', $query, $gone),
		seen('acme', $query, $gone));
	$mt->steps("$name: without a context it is nobody's", $app, {},
		whole('acme') => '', $leave => '', seen('acme', $query, $gone));
	$mt->steps("$name: is there again after ROLLBACK, and goes again", $app, {},
		whole('acme', $leave) => '', begin('beta') . 'ROLLBACK' => '', begin('beta') . "$query;\nROLLBACK" => $gone, seen('beta', $query, $gone),
		seen('acme', $query, $gone));
	$mt->steps("$name: and after ROLLBACK TO", $app, {},
		whole('acme', $leave) => '', 'BEGIN; SAVEPOINT s' => '', substr(begin('beta'), 7) . 'ROLLBACK TO s' => '', 'COMMIT' => '',
		seen('beta', $query, $gone));
	$mt->steps("$name: the same in one transaction", $app, {},
		whole('acme', $leave) => '', 'BEGIN; SAVEPOINT s' => '', substr(begin('beta'), 7) . 'ROLLBACK TO s' => '',
		substr(begin('beta'), 7) . $query => $gone, 'COMMIT' => '');
	$mt->steps("$name: what the connection had before its first context stays", $app, {},
		$leave => '', whole('acme') => '', seen('beta', $query, $there), seen('acme', $query, $there));
	$mt->steps("$name: strict", 'regress_mt_strict', {},
		whole('acme', $leave) => '', seen('acme', $query, $there), asked('beta') => 'MT010', 'ROLLBACK' => '', 'DISCARD ALL' => '', seen('beta', $query, $gone));
	$mt->steps("$name: off", 'regress_mt_off', {}, whole('acme', $leave) => '', seen('beta', $query, $there));
	$mt->steps("$name: of the same transaction", $app, {},
		whole('acme') => '', "BEGIN; $leave" => '', substr(begin('beta'), 7) . $query => $there, 'COMMIT' => '', seen('acme', $query, $gone));
}

$mt->steps('what was made before the first context: strict takes settings, nothing else', 'regress_mt_strict', {},
	"SET statement_timeout = '93s'" => '', whole('acme') => '', 'DISCARD ALL; CREATE TEMP TABLE thing (i int)' => '', asked('acme') => 'MT010',
	'ROLLBACK' => '', 'DISCARD ALL; PREPARE p AS SELECT 1' => '', asked('acme') => 'MT010');

my (undef, $refusal) = $mt->run('regress_mt_strict', whole('acme', 'CREATE TEMP TABLE thing (i int); PREPARE p AS SELECT 1; SET enable_sort = off') . ';' . asked('beta'));
like($refusal, qr/DETAIL:  There are temporary objects, prepared statements, settings\./, 'strict says what there is');
$mt->steps('a temporary table of the same transaction stays, one of an earlier tenant goes', $app, {},
	whole('acme', 'CREATE TEMP TABLE old (i int)') => '', 'BEGIN; CREATE TEMP TABLE thing (i int)' => '',
	substr(begin('beta'), 7) . "SELECT to_regclass('pg_temp.old') IS NULL, to_regclass('pg_temp.thing') IS NULL" => 't|f');

# ---- what does not roll back ----
$mt->steps('a statement prepared in a transaction that fails', $app, {},
	whole('acme') => '', begin('beta') . 'PREPARE left_here AS SELECT 1' => '', 'SELECT 1/0' => '22012', 'ROLLBACK' => '', seen('acme', $statements, ''));
$mt->steps('and before the context of one that fails', $app, {},
	whole('acme') => '', 'BEGIN; PREPARE left_here AS SELECT 1' => '', substr(begin('beta'), 7) . 'ROLLBACK' => '', seen('acme', $statements, ''));
$mt->steps('and without a context', $app, {},
	whole('acme') => '', 'BEGIN; PREPARE left_here AS SELECT 1; ROLLBACK' => '', seen('acme', $statements, ''));
$mt->steps('one that takes the name of an earlier one', $app, {},
	'PREPARE mine AS SELECT 1' => '', whole('acme') => '', 'DEALLOCATE mine; PREPARE mine AS SELECT 2' => '', seen('beta', $statements, ''));
my $random = "SELECT setseed(0.5) AS _ \\gset\nSELECT random() AS first \\gset\nSELECT setseed(0.5) AS _ \\gset\n";
$mt->steps('a seed', $app, {}, whole('acme', $random) => '', seen('beta', "SELECT random() = :first", 'f'));
$mt->steps('a seed stays for its own', $app, {}, whole('acme', $random) => '', seen('acme', "SELECT random() = :first", 't'));
$mt->steps('a seed by SET', $app, {}, whole('acme', "SET seed = 0.5;\nSELECT random() AS first \\gset\nSET seed = 0.5") => '', seen('beta', "SELECT random() = :first", 'f'));

# ---- the baseline ----
$mt->steps('a connect-time SET that a tenant changes or resets', $app, {},
	"SET statement_timeout = '93s'; SET seq_page_cost = 2.5; SET enable_sort = off" => '',
	whole('acme', "SET statement_timeout = '5s'; RESET seq_page_cost; SET enable_sort = on") => '',
	seen('beta', 'SHOW statement_timeout; SHOW seq_page_cost; SHOW enable_sort', "93s\n2.5\noff"));
$mt->steps('one below a SET LOCAL of the first transaction', $app, {},
	"SET statement_timeout = '93s'; SET seq_page_cost = 2.5; SET enable_sort = off; SET plan_cache_mode = force_custom_plan; SET search_path = public, pg_catalog" => '',
	"BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL seq_page_cost = 3; SET LOCAL enable_sort = on; SET LOCAL plan_cache_mode = auto; SET LOCAL search_path = public" => '',
	substr(begin('acme'), 7) . 'COMMIT' => '', whole('acme', 'SET cursor_tuple_fraction = 0.5') => '', whole('beta') => '',
	seen('acme', 'SHOW statement_timeout; SHOW seq_page_cost; SHOW enable_sort; SHOW plan_cache_mode; SHOW search_path', "93s\n2.5\noff\nforce_custom_plan\npublic, pg_catalog"));
$mt->steps('one below two SET LOCAL', $app, {},
	"SET statement_timeout = '93s'; SET quote_all_identifiers = on" => '',
	"BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL quote_all_identifiers = off; SAVEPOINT s; SET LOCAL statement_timeout = '6s'" => '',
	substr(begin('acme'), 7) . 'COMMIT' => '', whole('acme', "SET statement_timeout = '7s'; SET quote_all_identifiers = off") => '',
	seen('beta', 'SHOW statement_timeout; SHOW quote_all_identifiers', "93s\non"));
$mt->steps('RESET to what the connection set anyway: strict', 'regress_mt_strict', {},
	'SET seq_page_cost = 1' => '', whole('acme', 'RESET seq_page_cost') => '', seen('beta', 'SHOW seq_page_cost', '1'));
$mt->steps('options of the connection', $app, { pgoptions => '-c statement_timeout=93s' },
	whole('acme', "SET statement_timeout = '5s'") => '', seen('beta', 'SHOW statement_timeout', '93s'));
$mt->steps('DISCARD ALL begins anew', $app, {},
	"SET statement_timeout = '93s'" => '', whole('acme') => '', 'DISCARD ALL' => '', "SET seq_page_cost = 2.5" => '', whole('beta') => '',
	seen('acme', 'SHOW statement_timeout; SHOW seq_page_cost', "0\n2.5"));
$mt->steps('what is reported to the client stays', $app, {},
	whole('acme', "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET application_name = 'x'") => '',
	seen('beta', 'SHOW TimeZone; SHOW DateStyle; SHOW IntervalStyle; SHOW application_name', "Asia/Tokyo\nGerman, DMY\niso_8601\nx"));

# ---- what a transaction sets for itself ----
$mt->steps('SET LOCAL before the context', $app, {},
	whole('acme', "SET statement_timeout = '5s'") => '', "BEGIN; SET LOCAL statement_timeout = '93s'" => '',
	substr(begin('beta'), 7) . 'SHOW statement_timeout' => '93s', 'COMMIT' => '', seen('beta', 'SHOW statement_timeout', '0'));
$mt->steps('SET before the context', $app, {},
	whole('acme', "SET statement_timeout = '5s'") => '', "BEGIN; SET statement_timeout = '93s'" => '',
	substr(begin('beta'), 7) . 'SHOW statement_timeout' => '93s', 'COMMIT' => '', seen('beta', 'SHOW statement_timeout', '93s'),
	seen('acme', 'SHOW statement_timeout', '0'));
my $enter = "BEGIN;\nSELECT enter('" . token('beta') . "') AS _ \\gset\n";
$mt->steps('a function with a SET clause authenticates', $app, {},
	whole('acme', "SET search_path = evil, public; SET statement_timeout = '5s'") => '', "${enter}SHOW search_path; SHOW statement_timeout" => "\"\$user\", public\n0",
	'COMMIT' => '', 'SHOW search_path' => '"$user", public', seen('beta', 'SHOW search_path', '"$user", public'));
$mt->steps('and is rolled back', $app, {},
	whole('acme', 'SET search_path = evil, public') => '', "${enter}ROLLBACK" => '', "${enter}SHOW search_path" => '"$user", public');
$mt->steps('a function with a SET clause at the first context', $app, {},
	'SET search_path = public, pg_catalog' => '', "${enter}COMMIT" => '', whole('acme') => '', seen('beta', 'SHOW search_path', 'public, pg_catalog'));

$mt->steps('a function with a SET clause, where a tenant has reset what the connection set', $app, {},
	'SET search_path = public, pg_catalog' => '', whole('acme', 'RESET search_path') => '', "${enter}SHOW search_path" => 'public, pg_catalog',
	'COMMIT' => '', seen('acme', 'SHOW search_path', 'public, pg_catalog'));

# ---- role ----
$mt->steps('SET ROLE of another tenant', $app, {},
	whole('acme', 'SET ROLE regress_mt_weak') => '', asked('beta') => 'MT010', 'ROLLBACK; RESET ROLE' => '', seen('beta', 'SELECT current_user', $app));
$mt->steps('SET LOCAL ROLE', $app, {},
	whole('acme', 'SET LOCAL ROLE regress_mt_weak') => '', 'BEGIN; SET LOCAL ROLE regress_mt_weak' => '', substr(begin('beta'), 7) . 'SELECT current_user' => 'regress_mt_weak');
$mt->steps('SET ROLE of the connection', $app, {},
	'SET ROLE regress_mt_weak' => '', whole('acme') => '', seen('beta', 'SELECT current_user', 'regress_mt_weak'));

# ---- what COMMIT refuses: temporary tables ----
my @filled = (
	[ 'CREATE TEMP TABLE AS', 'CREATE TEMP TABLE thing AS SELECT note FROM invoice' ],
	[ 'SELECT INTO', 'SELECT note INTO TEMP thing FROM invoice' ],
	[ 'INSERT', 'CREATE TEMP TABLE thing (note text); INSERT INTO thing SELECT note FROM invoice' ],
	[ 'INSERT into a partition', 'CREATE TEMP TABLE thing (note text) PARTITION BY LIST (note); CREATE TEMP TABLE part PARTITION OF thing DEFAULT; INSERT INTO thing SELECT note FROM invoice' ],
	[ 'a savepoint', "CREATE TEMP TABLE thing (note text); SAVEPOINT s; INSERT INTO thing SELECT note FROM invoice; RELEASE s" ],
	[ 'a block', 'DO $$ BEGIN BEGIN CREATE TEMP TABLE thing AS SELECT note FROM invoice; EXCEPTION WHEN others THEN NULL; END; END $$' ],
	[ 'one of several', 'CREATE TEMP TABLE other AS SELECT 1 AS i; DELETE FROM other; CREATE TEMP TABLE dropped ON COMMIT DROP AS SELECT 1 AS i; CREATE TEMP TABLE thing AS SELECT note FROM invoice' ]);
foreach my $case (@filled)
{
	my ($name, $sql) = @$case;
	foreach my $end ('COMMIT', 'COMMIT AND CHAIN', 'END')
	{
		$mt->steps("$name: $end", $app, {}, begin('acme') . $sql => '', $end => 'MT010', 'SELECT * FROM thing' => '42P01',
			seen('acme', 'SELECT count(*) FROM invoice', '1'));
	}
	$mt->steps("$name: off", 'regress_mt_off', {}, whole('acme', $sql) => '', 'SELECT * FROM thing' => 'SECRET-ACME');
	$mt->steps("$name: strict", 'regress_mt_strict', {}, begin('acme') . $sql => '', 'COMMIT' => 'MT010');
	$mt->steps("$name: a bound role keeps it", 'regress_mt_bound', {}, "BEGIN; $sql; COMMIT" => '', 'SELECT * FROM thing' => 'SECRET-ACME');
}
$mt->steps('a table of an earlier transaction', $app, {}, whole('acme', 'CREATE TEMP TABLE thing (note text)') => '',
	begin('acme') . 'INSERT INTO thing SELECT note FROM invoice' => '', 'COMMIT' => 'MT010', 'SELECT * FROM thing' => '');
$mt->steps('a table of the connection', $app, {}, 'CREATE TEMP TABLE thing (note text)' => '',
	begin('acme') . 'INSERT INTO thing SELECT note FROM invoice' => '', 'COMMIT' => 'MT010', 'SELECT * FROM thing' => '');
$mt->steps('a row that is changed', $app, {}, "CREATE TEMP TABLE thing AS SELECT 'mine' AS note" => '',
	begin('acme') . 'UPDATE thing SET note = invoice.note FROM invoice' => '', 'COMMIT' => 'MT010', 'SELECT * FROM thing' => 'mine');
$mt->steps('after reset_tenant()', $app, {}, begin('acme') . "CREATE TEMP TABLE thing AS SELECT note FROM invoice;\nSELECT multitenant.reset_tenant() AS _ \\gset\n" => '',
	'COMMIT' => 'MT010');
$mt->steps('after a rollback of the context', $app, {}, 'BEGIN; SAVEPOINT s' => '', substr(begin('acme'), 7) . "SELECT note FROM invoice \\gset\nROLLBACK TO s;\nCREATE TEMP TABLE thing AS SELECT :'note' AS note" => '',
	'COMMIT' => 'MT010');
$mt->refused($app, "SELECT multitenant.authenticate('" . token('acme') . "'); CREATE TEMP TABLE thing AS SELECT note FROM invoice", 'MT010',
	'one message', single => 1, tenant => 'acme');
$mt->steps('a procedure that commits', $app, {}, "SET multitenant.session_hygiene = off" => '42501',
	"CALL count_and_commit('" . token('acme') . "')" => '');
$mt->steps('a procedure that copies and commits', $app, {},
	"CREATE PROCEDURE pg_temp.all_in_one(token text) LANGUAGE plpgsql AS \$\$ BEGIN PERFORM multitenant.authenticate(token); CREATE TEMP TABLE thing AS SELECT note FROM invoice; COMMIT; END \$\$" => '',
	"CALL pg_temp.all_in_one('" . token('acme') . "')" => 'MT010', 'SELECT * FROM thing' => '42P01');
$mt->steps('a deferred trigger that fills at COMMIT', $app, {}, 'CREATE TEMP TABLE thing (note text)' => '',
	begin('acme') . 'INSERT INTO asked VALUES (1)' => '', 'COMMIT' => 'MT010', 'SELECT * FROM thing' => '');

# ---- what COMMIT allows ----
foreach my $case (
	[ 'ON COMMIT DROP', 'CREATE TEMP TABLE thing ON COMMIT DROP AS SELECT note FROM invoice', '42P01' ],
	[ 'ON COMMIT DELETE ROWS', 'CREATE TEMP TABLE thing ON COMMIT DELETE ROWS AS SELECT note FROM invoice', '' ],
	[ 'dropped', 'CREATE TEMP TABLE thing AS SELECT note FROM invoice; DROP TABLE thing', '42P01' ],
	[ 'deleted', 'CREATE TEMP TABLE thing AS SELECT note FROM invoice; DELETE FROM thing', '' ],
	[ 'truncated', 'CREATE TEMP TABLE thing AS SELECT note FROM invoice; TRUNCATE thing', '' ],
	[ 'rolled back', 'CREATE TEMP TABLE thing (note text); SAVEPOINT s; INSERT INTO thing SELECT note FROM invoice; ROLLBACK TO s', '' ],
	[ 'empty', 'CREATE TEMP TABLE thing (note text)', '' ])
{
	my ($name, $sql, $after) = @$case;
	$mt->steps("allowed: $name", $app, {}, whole('acme', $sql) => '', 'SELECT * FROM thing' => $after);
	$mt->steps("allowed: $name, strict", 'regress_mt_strict', {}, whole('acme', $sql) => '', 'SELECT * FROM thing' => $after);
}
$mt->steps('allowed: reading one of the connection', $app, {}, "CREATE TEMP TABLE thing AS SELECT 'mine' AS note" => '',
	whole('acme', "INSERT INTO invoice (note) SELECT note FROM thing; DELETE FROM invoice WHERE note = 'mine'") => '', 'SELECT * FROM thing' => 'mine');
$mt->steps('allowed: looking at one of the connection', $app, {}, "CREATE TEMP TABLE thing AS SELECT 'mine' AS note" => '',
	begin('acme') . 'SELECT note FROM thing' => 'mine', 'COMMIT' => '');
$mt->steps('allowed: without a context', $app, {}, whole('acme') => '', "BEGIN; CREATE TEMP TABLE thing AS SELECT 'mine' AS note; COMMIT" => '', 'SELECT * FROM thing' => 'mine');
$mt->steps('allowed: a migrator, under one tenant after another', 'regress_mt_migrator', {},
	"BEGIN;\nSELECT multitenant.use_tenant('acme') AS _ \\gset\nCREATE TEMP TABLE thing AS SELECT note FROM invoice; COMMIT" => '',
	"BEGIN;\nSELECT multitenant.use_tenant('beta') AS _ \\gset\nINSERT INTO thing SELECT note FROM invoice; COMMIT" => '',
	'SELECT string_agg(note, $$ $$ ORDER BY note) FROM thing' => 'SECRET-ACME SECRET-BETA');
$mt->steps('allowed: a session-scoped context', 'regress_mt_keep', {},
	"SELECT multitenant.authenticate('" . token('acme') . "') AS _ \\gset\nCREATE TEMP TABLE thing AS SELECT note FROM invoice" => '',
	'SET statement_timeout = $$93s$$; PREPARE p AS SELECT 1; SELECT note FROM thing' => 'SECRET-ACME', 'SHOW statement_timeout; EXECUTE p' => "93s\n1",
	"SELECT multitenant.authenticate('" . token('beta') . "') AS _ \\gset\nSELECT note FROM thing" => '42P01',
	'SHOW statement_timeout; EXECUTE p' => '26000');

# ---- cursors WITH HOLD ----
foreach my $case (
	[ 'of nothing protected', "DECLARE held CURSOR WITH HOLD FOR SELECT 'x'" ],
	[ 'of a temporary table that is dropped', 'CREATE TEMP TABLE thing ON COMMIT DROP AS SELECT note FROM invoice; DECLARE held CURSOR WITH HOLD FOR SELECT note FROM thing' ])
{
	my ($name, $sql) = @$case;
	$mt->steps("a cursor WITH HOLD $name", $app, {}, begin('acme') . $sql => '', 'COMMIT' => 'MT010', 'FETCH ALL FROM held' => '34000');
	$mt->steps("a cursor WITH HOLD $name: COMMIT AND CHAIN", $app, {}, begin('acme') . $sql => '', 'COMMIT AND CHAIN' => 'MT010', 'FETCH ALL FROM held' => '34000');
	$mt->steps("a cursor WITH HOLD $name: closed", $app, {}, begin('acme') . "$sql; CLOSE held" => '', 'COMMIT' => '');
	$mt->steps("a cursor WITH HOLD $name: rolled back", $app, {}, begin('acme') . "SAVEPOINT s; $sql; ROLLBACK TO s" => '', 'COMMIT' => '');
	$mt->steps("a cursor WITH HOLD $name: where it is allowed, until the next tenant", 'regress_mt_holder', {},
		whole('beta') => '', whole('acme', $sql) => '', seen('acme', $cursors, 'held'), seen('beta', $cursors, ''));
}
$mt->steps('a cursor WITH HOLD without a context', $app, {}, whole('acme') => '', 'DECLARE held CURSOR WITH HOLD FOR SELECT 1' => '',
	seen('acme', $cursors, ''));
$mt->steps('a cursor WITH HOLD of the connection', $app, {}, 'DECLARE held CURSOR WITH HOLD FOR SELECT 1' => '', whole('acme') => '',
	seen('beta', $cursors, 'held'));
$mt->steps('a cursor WITH HOLD: strict', 'regress_mt_strict', {}, whole('acme') => '', 'DECLARE held CURSOR WITH HOLD FOR SELECT 1' => '',
	asked('beta') => 'MT010');

# ---- who is left alone ----
$mt->node->safe_psql('postgres', 'CREATE DATABASE plain');
$mt->node->safe_psql('plain', "CREATE EXTENSION multitenant; SELECT multitenant.create_tenant('acme'); SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application')");
my $named = "BEGIN;\nSELECT multitenant.use_tenant('acme') AS _ \\gset\n";
$mt->steps('a database without protected tables', 'regress_mt_trusted', { database => 'plain' },
	"${named}CREATE TEMP TABLE thing AS SELECT 1 AS i; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT" => '', 'SELECT * FROM thing' => '1');
$mt->steps('superusers', $ENV{PGUSER} // 'postgres', {},
	"${named}CREATE TEMP TABLE thing AS SELECT 1 AS i; SET statement_timeout = '93s'; COMMIT" => '',
	"BEGIN;\nSELECT multitenant.use_tenant('beta') AS _ \\gset\nSHOW statement_timeout; SELECT * FROM thing" => "93s\n1");

# ---- errors in the middle ----
$mt->steps('an error while there is something to clean', $app, {},
	whole('acme', "SET statement_timeout = '5s'; CREATE TEMP VIEW thing AS SELECT 1") => '', begin('beta') . 'SELECT 1/0' => '22012',
	'COMMIT' => '', 'SHOW statement_timeout; SELECT * FROM thing' => "5s\n1", seen('beta', "SHOW statement_timeout; $is_there", "0\n"));
$mt->steps('in a subtransaction after the cleaning', $app, {},
	whole('acme', "SET statement_timeout = '5s'; CREATE TEMP VIEW thing AS SELECT 1") => '', begin('beta') . 'SAVEPOINT s; SELECT 1/0' => '22012',
	"ROLLBACK TO s; SET statement_timeout = '93s'; COMMIT" => '', seen('beta', "SHOW statement_timeout; $is_there", "93s\n"));

done_testing();
