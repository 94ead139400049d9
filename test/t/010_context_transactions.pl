# The right context after everything that a transaction can do: savepoints, exceptions, commits inside procedures,
# two-phase commit, cached plans, cursors, resets, parallel workers, pipelines, and on a hot standby.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our $mt = MtTest->new('transactions', init => { allows_streaming => 1 },
	conf => "multitenant.clock_leeway = 1\nmax_prepared_transactions = 4\nmax_worker_processes = 16\nmax_parallel_workers = 8");
my $app = 'regress_mt_app';
my $trusted = 'regress_mt_trusted';
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');
my $rows = 'SELECT note FROM invoice';
# Until it counts as expired, the leeway of the clocks included.
my $until_expiry = "SELECT pg_sleep_until(expires_at + '1020 ms') FROM multitenant.context";
my $state = "SELECT state || ' ' || coalesce(tenant_slug, '-') FROM multitenant.context";
my ($acme, $beta) = ('SECRET-ACME', 'SECRET-BETA');

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }
sub use_tenant { return "SELECT multitenant.use_tenant('$_[0]')" }

# ---- what the tests work with ----

$mt->superuser(<<'SQL');
CREATE EXTENSION dblink;
GRANT CREATE ON SCHEMA public TO regress_mt_app, regress_mt_trusted;
SET ROLE regress_mt_owner;
CREATE TABLE big (tenant_id uuid NOT NULL, n int NOT NULL, note text NOT NULL);
INSERT INTO big SELECT t::uuid, n, s || '-' || n FROM generate_series(1, 10000) n,
	(VALUES ('00000000-0000-0000-0000-00000000000a', 'acme'), ('00000000-0000-0000-0000-00000000000b', 'beta')) v (t, s);
SELECT multitenant.protect('big');
GRANT SELECT ON big TO PUBLIC;
ANALYZE big;
RESET ROLE;
CREATE ROLE regress_mt_bound LOGIN;
SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme');
GRANT SELECT ON invoice TO regress_mt_bound;
CREATE ROLE regress_mt_authenticator LOGIN NOINHERIT;
CREATE ROLE regress_mt_anon;
GRANT regress_mt_anon TO regress_mt_authenticator;
GRANT SELECT ON invoice TO regress_mt_anon;
CREATE FUNCTION pre_request() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant.authenticate(current_setting('request.token'));
END $$;
CREATE FUNCTION enter(token text) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN RETURN multitenant.authenticate(token); END $$;
CREATE FUNCTION enter_without_set(token text) RETURNS uuid LANGUAGE sql AS
	$$ SELECT multitenant.authenticate(token) $$;
SELECT multitenant.add_member('acme', 'ann');
CREATE FUNCTION enter_tenant(tenant text) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN RETURN multitenant.switch_tenant(tenant); END $$;
CREATE FUNCTION enter_in_parallel(token text) RETURNS uuid LANGUAGE sql PARALLEL SAFE AS
	$$ SELECT multitenant.authenticate(token) $$;
CREATE FUNCTION leave() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN PERFORM multitenant.reset_tenant(); END $$;
CREATE FUNCTION enter_and_fail(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM multitenant.authenticate(token);
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		RETURN coalesce(multitenant.current_tenant_or_null()::text, 'none');
	END;
END $$;
CREATE FUNCTION enter_in_block(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM multitenant.authenticate(token);
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RETURN multitenant.current_tenant_slug();
END $$;
CREATE PROCEDURE note_all_tenants(INOUT seen text DEFAULT '') LANGUAGE plpgsql AS $$
DECLARE
	slug text;
BEGIN
	FOREACH slug IN ARRAY '{acme,beta,acme}'::text[] LOOP
		PERFORM multitenant.use_tenant(slug);
		seen := seen || slug || '=' || (SELECT string_agg(note, ',') FROM invoice) || ' ';
		COMMIT;
	END LOOP;
	seen := seen || coalesce(multitenant.current_tenant_or_null()::text, 'none');
END $$;
CREATE PROCEDURE rolling_back() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM multitenant.use_tenant('acme');
	ROLLBACK;
	PERFORM multitenant.use_tenant('beta');
	RAISE NOTICE '%', (SELECT string_agg(note, ',') FROM invoice);
END $$;
SQL

# ---- the end of a transaction ----

$mt->steps('COMMIT ends the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme,
	'COMMIT' => '', $state => 'none -', $rows => 'MT001');
$mt->steps('ROLLBACK ends the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme,
	'ROLLBACK' => '', $state => 'none -', $rows => 'MT001');
$mt->steps('an error ends the context with its transaction', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	'SELECT 1/0' => '22012', $rows => '25P02', 'COMMIT' => '', $rows => 'MT001');
$mt->steps('outside a transaction block it lasts for its statement', $app, {}, authenticate('acme') => $id{acme},
	$rows => 'MT001');
$mt->steps('COMMIT AND CHAIN ends the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme,
	'COMMIT AND CHAIN' => '', $state => 'none -', authenticate('beta') => $id{beta}, $rows => $beta, 'COMMIT' => '');
$mt->steps('ROLLBACK AND CHAIN ends the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme,
	'ROLLBACK AND CHAIN' => '', $rows => 'MT001', 'ROLLBACK' => '');
$mt->steps('the next transaction may be another tenant', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	$rows => $acme, 'COMMIT' => '', 'BEGIN' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'COMMIT' => '');
$mt->steps('a READ ONLY transaction', $app, {}, 'BEGIN READ ONLY' => '', authenticate('acme') => $id{acme}, $rows => $acme,
	"INSERT INTO invoice (note) VALUES ('x')" => '25006', 'ROLLBACK' => '');
$mt->steps('isolation levels can be set after the context is not', $app, {}, 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE' => '',
	authenticate('acme') => $id{acme}, $rows => $acme, 'COMMIT' => '');

# ---- savepoints ----

$mt->steps('set before a savepoint: survives ROLLBACK TO', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	'SAVEPOINT s' => '', $rows => $acme, 'SELECT 1/0' => '22012', 'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('set inside a savepoint: undone by ROLLBACK TO', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	authenticate('acme') => $id{acme}, $rows => $acme, 'ROLLBACK TO s' => '', $rows => 'MT001', 'ROLLBACK' => '');
$mt->steps('set inside a savepoint: undone by ROLLBACK TO, and the lock stays', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	authenticate('acme') => $id{acme}, $rows => $acme, 'ROLLBACK TO s' => '', $state => 'none -',
	'SAVEPOINT r' => '', $rows => 'MT001', 'ROLLBACK TO r' => '', authenticate('beta') => 'MT005', 'ROLLBACK TO r' => '',
	authenticate('acme') => $id{acme}, $rows => $acme, 'COMMIT' => '');
$mt->steps('set inside a savepoint, not used: the lock stays all the same', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	authenticate('acme') => $id{acme}, 'ROLLBACK TO s' => '', authenticate('beta') => 'MT005', 'ROLLBACK' => '');
$mt->steps('set inside a savepoint: survives RELEASE', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	authenticate('acme') => $id{acme}, 'RELEASE s' => '', $rows => $acme, 'COMMIT' => '', $rows => 'MT001');
$mt->steps('released into a savepoint that is rolled back: undone', $app, {}, 'BEGIN' => '', 'SAVEPOINT a' => '', 'SAVEPOINT b' => '',
	authenticate('acme') => $id{acme}, 'RELEASE b' => '', $rows => $acme, 'ROLLBACK TO a' => '', $rows => 'MT001',
	'ROLLBACK' => '');
$mt->steps('another tenant is refused in a savepoint, the first stays', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	'SAVEPOINT s' => '', authenticate('beta') => 'MT005', 'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('a failed attempt does not lock', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '', authenticate('gamma') => 'MT006',
	'ROLLBACK TO s' => '', "SELECT multitenant.authenticate('eyJ.x.y')" => 'MT002', 'ROLLBACK TO s' => '',
	authenticate('nobody') => 'MT008', 'ROLLBACK TO s' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'COMMIT' => '');
$mt->steps('reset_tenant inside a savepoint is undone with it', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	'SAVEPOINT s' => '', 'SELECT multitenant.reset_tenant()' => '', $state => 'none -', 'ROLLBACK TO s' => '',
	$rows => $acme, 'COMMIT' => '');
$mt->steps('reset_tenant ends the context, not the identity of the transaction', $app, {}, 'BEGIN' => '',
	authenticate('acme') => $id{acme}, 'SELECT multitenant.reset_tenant()' => '', 'SAVEPOINT s' => '', $rows => 'MT001',
	'ROLLBACK TO s' => '', authenticate('beta') => 'MT005', 'ROLLBACK TO s' => '', authenticate('acme') => $id{acme},
	$rows => $acme, 'COMMIT' => '');

# ---- functions, exception blocks, procedures ----

my ($token_acme, $token_beta) = ($mt->token('acme'), $mt->token('beta'));
$mt->steps('an exception block that fails undoes the context, not the lock', $app, {}, 'BEGIN' => '',
	"SELECT enter_and_fail('$token_acme')" => 'none', $state => 'none -', 'SAVEPOINT s' => '',
	"SELECT enter_and_fail('$token_beta')" => 'MT005', 'ROLLBACK TO s' => '', "SELECT enter_in_block('$token_acme')" => 'acme',
	$rows => $acme, 'COMMIT' => '');
$mt->steps('an exception block that succeeds keeps the context', $app, {}, 'BEGIN' => '',
	"SELECT enter_in_block('$token_acme')" => 'acme', $rows => $acme, 'COMMIT' => '', $rows => 'MT001');
$mt->steps('a wrapper keeps the context', $app, {}, 'BEGIN' => '', "SELECT enter_without_set('$token_acme')" => $id{acme},
	$rows => $acme, 'COMMIT' => '');
$mt->steps('a function with a SET clause keeps the context', $app, {}, 'BEGIN' => '', "SELECT enter('$token_acme')" => $id{acme},
	$state => 'tenant acme', $rows => $acme, 'SAVEPOINT s' => '', $rows => $acme, 'ROLLBACK TO s' => '', $rows => $acme,
	"SELECT enter('$token_beta')" => 'MT005', 'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '', $rows => 'MT001');
$mt->steps('a function with a SET clause in a savepoint: undone by ROLLBACK TO', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	"SELECT enter('$token_acme')" => $id{acme}, $rows => $acme, 'ROLLBACK TO s' => '', $rows => 'MT001', 'ROLLBACK' => '');
$mt->steps('a function with a SET clause that fails: nothing set', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	"SELECT enter('eyJ.x.y')" => 'MT002', 'ROLLBACK TO s' => '', $state => 'none -', $rows => 'MT001', 'ROLLBACK' => '');
$mt->steps('a function with a SET clause ends the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	'SELECT leave()' => '', $state => 'none -', $rows => 'MT001', 'ROLLBACK' => '');
$mt->steps('a function with a SET clause enters the tenant of a principal', $app, {}, 'BEGIN' => '',
	authenticate(undef, sub => 'ann') => '', "SELECT enter_tenant('acme')" => $id{acme}, $state => 'tenant acme', $rows => $acme, 'COMMIT' => '');
$mt->steps('DO with COMMIT in a loop: each round its tenant', $trusted, {}, 'CALL note_all_tenants()' =>
	"acme=$acme beta=$beta acme=$acme none", $state => 'none -', $rows => 'MT001');
# What it has seen outlives its transactions in a temporary table.
$mt->superuser("ALTER ROLE $trusted SET multitenant.session_hygiene = off");
$mt->steps('an anonymous block with COMMIT', $trusted, {}, <<'SQL' => '', 'SELECT string_agg(seen, \' \' ORDER BY n) FROM seen' => "$acme $beta");
CREATE TEMP TABLE seen (n serial, seen text);
DO $$
DECLARE
	slug text;
BEGIN
	FOREACH slug IN ARRAY '{acme,beta}'::text[] LOOP
		PERFORM multitenant.use_tenant(slug);
		INSERT INTO seen (seen) SELECT note FROM invoice;
		COMMIT;
	END LOOP;
END $$
SQL
$mt->superuser("ALTER ROLE $trusted RESET multitenant.session_hygiene");
$mt->steps('ROLLBACK in a procedure opens the way for another tenant', $trusted, {}, 'CALL rolling_back()' => '', $rows => 'MT001');
$mt->allowed($trusted, 'SET client_min_messages = notice; CALL rolling_back()', undef, 'and it sees only that one', tenant => 'beta');
$mt->steps('no COMMIT, no second tenant', $trusted, {}, "DO \$\$ BEGIN PERFORM multitenant.use_tenant('acme'); PERFORM multitenant.use_tenant('beta'); END \$\$" => 'MT005',
	$rows => 'MT001');

# ---- two-phase commit ----

$mt->allow($app, 'prepared_transactions');
$mt->steps('PREPARE TRANSACTION ends the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	"INSERT INTO invoice (note) VALUES ('prepared')" => '', "PREPARE TRANSACTION 'mt_prepared'" => '', $state => 'none -',
	$rows => 'MT001', 'BEGIN' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'COMMIT' => '');
$mt->steps('COMMIT PREPARED needs and makes no context', $app, {}, "COMMIT PREPARED 'mt_prepared'" => '', $state => 'none -',
	$rows => 'MT001', 'BEGIN' => '', authenticate('acme') => $id{acme},
	"DELETE FROM invoice WHERE note = 'prepared' RETURNING tenant_id" => $id{acme}, 'COMMIT' => '');
$mt->intact('nothing of it went to another tenant');

# ---- cached plans ----

foreach my $mode (qw(force_generic_plan force_custom_plan auto))
{
	my @tenants = map { ('BEGIN' => '', authenticate($_) => $id{$_}, 'EXECUTE q(1)' => "SECRET-\U$_", 'COMMIT' => '') }
		qw(acme beta acme beta acme beta acme beta);
	$mt->steps("a prepared statement serves one tenant after another: $mode", $app, {}, "SET plan_cache_mode = $mode" => '',
		"PREPARE q(int) AS SELECT note FROM invoice WHERE \$1 = 1" => '', @tenants, 'EXECUTE q(1)' => 'MT001',
		"SELECT (generic_plans > 0)::text || (custom_plans > 0) FROM pg_prepared_statements" =>
		{ force_generic_plan => 'truefalse', force_custom_plan => 'falsetrue', auto => 'truetrue' }->{$mode});
}
$mt->superuser(<<'SQL');
CREATE FUNCTION notes() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT note FROM public.invoice; END $$;
SQL
$mt->steps('plans inside functions serve one tenant after another', $app, {}, 'SET plan_cache_mode = force_generic_plan' => '',
	(map { ('BEGIN' => '', authenticate($_) => $id{$_}, 'SELECT notes()' => "SECRET-\U$_", 'COMMIT' => '') } qw(acme beta acme)),
	'SELECT notes()' => 'MT001');
$mt->superuser("ALTER ROLE $app SET multitenant.session_hygiene = off");
$mt->steps('a statement prepared under one tenant runs under another', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	"PREPARE q AS $rows" => '', 'EXECUTE q' => $acme, 'COMMIT' => '', 'BEGIN' => '', authenticate('beta') => $id{beta},
	'EXECUTE q' => $beta, 'COMMIT' => '');
$mt->superuser("ALTER ROLE $app RESET multitenant.session_hygiene");

# ---- cursors ----

$mt->superuser("SET ROLE regress_mt_owner; CREATE TABLE line (tenant_id uuid, n int);
	INSERT INTO line SELECT t::uuid, n FROM unnest('{$id{acme},$id{beta}}'::text[]) t, generate_series(1, 5) n;
	SELECT multitenant.protect('line'); GRANT SELECT ON line TO PUBLIC");
my $declare = 'DECLARE c CURSOR FOR SELECT n FROM line ORDER BY n';
$mt->steps('FETCH after ROLLBACK TO a savepoint behind the context', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	$declare => '', 'FETCH c' => '1', 'SAVEPOINT s' => '', 'FETCH c' => '2', 'ROLLBACK TO s' => '', 'FETCH c' => '3', 'COMMIT' => '');
$mt->steps('FETCH after ROLLBACK TO that undid the context: the cursor is gone', $app, {}, 'BEGIN' => '', 'SAVEPOINT s' => '',
	authenticate('acme') => $id{acme}, $declare => '', 'FETCH c' => '1', 'ROLLBACK TO s' => '', 'FETCH c' => '34000', 'ROLLBACK' => '');
$mt->steps('FETCH after reset_tenant', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, $declare => '', 'FETCH c' => '1',
	'SELECT multitenant.reset_tenant()' => '', 'FETCH c' => 'MT001', 'ROLLBACK' => '');
$mt->steps('FETCH of a cursor never read, after reset_tenant', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, $declare => '',
	'SELECT multitenant.reset_tenant()' => '', 'FETCH c' => 'MT001', 'ROLLBACK' => '');
$mt->steps('FETCH after the credential has expired', $app, {}, 'BEGIN' => '', authenticate('acme', exp => time + 2) => $id{acme},
	$declare => '', 'FETCH c' => '1', $until_expiry => '',
	'FETCH c' => 'MT003', 'ROLLBACK' => '');

# ---- resets ----

$mt->steps('RESET ALL keeps the context of the transaction', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, 'RESET ALL' => '',
	$rows => $acme, authenticate('beta') => 'MT005', 'ROLLBACK' => '');
$mt->steps('DISCARD ALL is not for transactions, and leaves nothing', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	'DISCARD ALL' => '25001', 'ROLLBACK' => '', 'DISCARD ALL' => '', $state => 'none -', $rows => 'MT001');
$mt->steps('DISCARD PLANS and SEQUENCES keep it', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, 'DISCARD PLANS' => '',
	'DISCARD SEQUENCES' => '', $rows => $acme, 'COMMIT' => '');

# ---- expiry ----

$mt->steps('exp ends new statements', $app, {}, 'BEGIN' => '', authenticate('acme', exp => time + 2) => $id{acme}, $rows => $acme,
	$until_expiry => '', $rows => 'MT003', 'ROLLBACK' => '', $rows => 'MT001');
$mt->steps('exp does not end a running statement', $app, {}, 'BEGIN' => '', authenticate('acme', exp => time + 2) => $id{acme},
	"WITH s AS MATERIALIZED ($until_expiry) SELECT note FROM s, invoice" => $acme, $rows => 'MT003', 'ROLLBACK' => '');
$mt->steps('a later token of the same tenant goes on', $app, {}, 'BEGIN' => '', authenticate('acme', exp => time + 2) => $id{acme},
	$until_expiry => '', authenticate('acme') => $id{acme}, $rows => $acme, 'COMMIT' => '');
$mt->steps('an earlier one takes nothing away', $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme},
	authenticate('acme', exp => time + 1) => $id{acme}, 'SELECT pg_sleep(2.1)' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('a later token given to a function with a SET clause goes on', $app, {}, 'BEGIN' => '',
	authenticate('acme', exp => time + 2) => $id{acme}, "SELECT enter('$token_acme')" => $id{acme}, 'SELECT pg_sleep(3.1)' => '',
	$rows => $acme, 'COMMIT' => '');

# Within the leeway of the clocks, a token that has expired is good for authenticate() and for what comes after it.
$mt->node->append_conf('postgresql.conf', 'multitenant.clock_leeway = 30');
$mt->node->reload;
$mt->node->poll_query_until('app', "SELECT current_setting('multitenant.clock_leeway') = '30s'") or die 'no reload';
$mt->steps('expired within the leeway', $app, {}, 'BEGIN' => '', authenticate('acme', iat => time - 60, exp => time - 1) => $id{acme}, $rows => $acme,
	$declare => '', 'FETCH c' => '1', 'COMMIT' => '');
$mt->steps('expired beyond the leeway', $app, {}, 'BEGIN' => '', authenticate('acme', iat => time - 160, exp => time - 31) => 'MT003', 'ROLLBACK' => '');
$mt->node->append_conf('postgresql.conf', 'multitenant.clock_leeway = 1');
$mt->node->reload;
$mt->node->poll_query_until('app', "SELECT current_setting('multitenant.clock_leeway') = '1s'") or die 'no reload';

# ---- parallel workers ----

my @parallel = ('SET parallel_setup_cost = 0' => '', 'SET parallel_tuple_cost = 0' => '', 'SET min_parallel_table_scan_size = 0' => '',
	'SET min_parallel_index_scan_size = 0' => '', 'SET max_parallel_workers_per_gather = 2' => '', 'SET enable_indexscan = off' => '',
	'SET enable_bitmapscan = off' => '');
my $count = "SELECT count(*) || ' ' || min(note) || ' ' || count(*) FILTER (WHERE note LIKE multitenant.current_tenant_slug() || '-%') FROM big";
# How many workers ran, and whether each of them found rows
my $launched = "DO \$\$ DECLARE line text; found text := ''; BEGIN
	FOR line IN EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF) $count LOOP
		found := found || (CASE WHEN line ~ 'Workers Launched: [12]' THEN 'launched ' ELSE '' END);
	END LOOP;
	IF found <> 'launched ' THEN RAISE EXCEPTION 'no worker was launched'; END IF; END \$\$";

sub parallel_steps
{
	my ($name, $role, $options, $tenant, @before) = @_;
	return $mt->steps("parallel: $name", $role, $options, @parallel, @before, $count => "10000 $tenant-1 10000", $launched => '');
}
$mt->superuser(q{SELECT multitenant.grant_access('regress_mt_app', 'application', allow => '{explain}');
	SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application', allow => '{explain}');
	SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme', allow => '{explain}')});
parallel_steps('authenticated', $app, {}, 'acme', 'BEGIN' => '', authenticate('acme') => $id{acme});
parallel_steps('authenticated as the other', $app, {}, 'beta', 'BEGIN' => '', authenticate('beta') => $id{beta});
parallel_steps('in a savepoint', $app, {}, 'beta', 'BEGIN' => '', 'SAVEPOINT s' => '', authenticate('beta') => $id{beta});
parallel_steps('after a function with a SET clause', $app, {}, 'beta', 'BEGIN' => '', "SELECT enter('$token_beta')" => $id{beta});
parallel_steps('by name', $trusted, {}, 'beta', 'BEGIN' => '', use_tenant('beta') => $id{beta});
parallel_steps('bound role, no call at all', 'regress_mt_bound', {}, 'acme');
parallel_steps('startup token, no call at all', $app, { pgoptions => '-c multitenant.token=' . $mt->token('beta') }, 'beta');
$mt->steps('parallel: without a context', $app, {}, @parallel, $count => 'MT001');
$mt->steps('parallel: the token expires before the workers start', $app, {}, @parallel, 'BEGIN' => '',
	authenticate('acme', exp => time + 2) => $id{acme},
	"WITH s AS MATERIALIZED ($until_expiry) SELECT count(*) FROM s, big WHERE note LIKE 'acme-%'" => '10000',
	$count => 'MT003', 'ROLLBACK' => '');
$mt->steps('parallel: a function that claims to be parallel safe cannot set a context', $app, {}, @parallel, 'BEGIN' => '',
	authenticate('acme') => $id{acme}, 'SAVEPOINT s' => '',
	"SELECT count(*) FROM big WHERE note = coalesce(enter_in_parallel('$token_beta')::text, '')" => '55000', 'ROLLBACK TO s' => '',
	"SELECT count(*) FROM big WHERE note = coalesce(enter_in_parallel('$token_acme')::text, '')" => '55000', 'ROLLBACK TO s' => '',
	$rows => $acme, 'ROLLBACK' => '');

# ---- several statements in one message ----

my ($out) = $mt->run($app, authenticate('acme') . "; $rows", single => 1);
is($out, "$id{acme}\n$acme", 'one simple query message is one transaction');
$mt->refused($app, authenticate('acme') . "; COMMIT; $rows", 'MT001', 'a COMMIT inside the message ends it', single => 1);
$mt->refused($app, "BEGIN; " . authenticate('acme') . "; ROLLBACK; $rows", 'MT001', 'so does a ROLLBACK', single => 1);
$mt->refused($app, authenticate('acme') . "; $rows; " . authenticate('beta') . "; $rows", 'MT005', 'no second tenant in it', single => 1, tenant => 'acme');

sub pipeline
{
	my ($name, $status, $error, $script) = @_;
	local $ENV{PGUSER} = $app;
	$mt->node->pgbench('-n -t 1 -M extended', $status, [qr//], [$error], $name, { "mt_$name" => $script }, 'app');
	return;
}
# pgbench prints no rows: what was seen is written down
$mt->superuser("CREATE TABLE seen (what text); GRANT INSERT ON seen TO $app");
pipeline('pipeline', 0, qr/^$/, "\\startpipeline\n" . authenticate('acme') . ";\nINSERT INTO seen SELECT note FROM invoice;\n\\endpipeline\n");
is($mt->superuser('DELETE FROM seen RETURNING what'), $acme, 'a pipeline is one transaction');
pipeline('pipeline_block', 0, qr/^$/, "\\startpipeline\nBEGIN;\n" . authenticate('acme') . ";\nINSERT INTO seen SELECT note FROM invoice;\nCOMMIT;\n" .
	"BEGIN;\n" . authenticate('beta') . ";\nINSERT INTO seen SELECT note FROM invoice;\nCOMMIT;\n\\endpipeline\n");
is($mt->superuser('DELETE FROM seen RETURNING what'), "$acme\n$beta", 'transactions in a pipeline: each its tenant');
pipeline('pipeline_end', 2, qr/no tenant context/, "\\startpipeline\n" . authenticate('acme') . ";\n\\endpipeline\n" .
	"\\startpipeline\nINSERT INTO seen SELECT note FROM invoice;\n\\endpipeline\n");
pipeline('pipeline_conflict', 2, qr/already has another context/, "\\startpipeline\n" . authenticate('acme') . ";\n" . authenticate('beta') .
	";\nINSERT INTO seen SELECT note FROM invoice;\n\\endpipeline\n");
is($mt->superuser('SELECT count(*) FROM seen'), '0', 'the refused pipelines wrote nothing');

# ---- as PostgREST does it ----

$mt->steps('SET LOCAL ROLE, pre_request(), query', 'regress_mt_authenticator', {}, map { (
	'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY' => '', 'SET LOCAL ROLE regress_mt_anon' => '',
	"SELECT set_config('request.token', '" . $mt->token($_) . "', true) <> ''" => 't', 'SELECT pre_request()' => '',
	$rows => "SECRET-\U$_", 'COMMIT' => '', 'SELECT current_user' => 'regress_mt_authenticator', $state => 'none -') } qw(acme beta));
$mt->steps('without a token the request is refused', 'regress_mt_authenticator', {}, 'BEGIN' => '', 'SET LOCAL ROLE regress_mt_anon' => '',
	"SELECT set_config('request.token', '', true)" => '', 'SELECT pre_request()' => 'MT002', 'ROLLBACK' => '');

# ---- hot standby ----

my $primary = $mt->node;
$primary->backup('base');
my $standby_node = PostgreSQL::Test::Cluster->new('standby');
$standby_node->init_from_backup($primary, 'base', has_streaming => 1);
$standby_node->start;
$primary->wait_for_catchup($standby_node, 'replay', $primary->lsn('insert'));
my $standby = bless { %$mt, node => $standby_node }, 'MtTest';
{
	local $mt = $standby;
	$mt->steps('standby: a context', $app, {}, 'SELECT pg_is_in_recovery()' => 't', $rows => 'MT001', 'BEGIN' => '', authenticate('acme') => $id{acme},
		$rows => $acme, 'COMMIT' => '', $rows => 'MT001');
	parallel_steps('on a standby', $app, {}, 'beta', 'BEGIN' => '', authenticate('beta') => $id{beta});
	$mt->steps('standby: by name, bound and refused', $trusted, {}, 'BEGIN' => '', use_tenant('beta') => $id{beta}, $rows => $beta,
		use_tenant('acme') => 'MT005', 'ROLLBACK' => '', use_tenant('gamma') => 'MT006');
	$mt->steps('standby: bound role', 'regress_mt_bound', {}, $rows => $acme);
}
# The standby learns of a suspension from the log, also in a transaction whose snapshot is older.
my $session = $standby_node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app, '-v', 'VERBOSITY=sqlstate' ]);
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$session->query_safe(authenticate('acme'));
is($session->query($rows), $acme, 'standby: an open transaction');
$mt->superuser("SELECT multitenant.suspend_tenant('acme', 'test')");
$primary->wait_for_catchup($standby_node, 'replay', $primary->lsn('insert'));
is($session->query($rows), '', 'standby: a suspension on the primary stops it');
like($session->{stderr}, qr/MT006/, 'standby: with MT006');
$session->{stderr} = '';
$session->query('ROLLBACK');
$mt->superuser("SELECT multitenant.resume_tenant('acme')");
$primary->wait_for_catchup($standby_node, 'replay', $primary->lsn('insert'));
is($session->query("BEGIN; " . authenticate('acme') . "; $rows"), "$id{acme}\n$acme", 'standby: resumed');
$session->quit;
$standby_node->stop;

$mt->intact('all is as it was');
done_testing();
