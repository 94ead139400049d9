# Attacks C1 to C22 of docs/internals/attacks.md: forging, moving and keeping a context.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('forging', conf => "max_prepared_transactions = 2\nmax_worker_processes = 8");
my $node = $mt->node;
my $app = 'regress_mt_app';
my $see = "SELECT note FROM invoice;\n";

# Whose secrets the output of the SQL shows, in their order, and which errors: "ACME BETA / MT005".
sub outcome
{
	my ($role, $sql, %options) = @_;
	my ($out, $err) = $mt->run($role, $sql, %options);
	my $seen = join(' ', "$out\n$err" =~ /SECRET-(\w+)/g);
	my $states = join(' ', $err =~ /(?:ERROR|FATAL): +(\w{5}):/g);
	return $states eq '' ? $seen : "$seen / $states";
}

sub shows
{
	my ($role, $sql, $wanted, $name, %options) = @_;
	return is(outcome($role, $sql, %options), $wanted, $name);
}

# The startup option must make the connection fail.
sub no_connection
{
	my ($role, $options, $name) = @_;
	my ($out, $err) = $mt->run($role, $see, pgoptions => $options, single => 1);
	my $ok = ok(($out eq '' and $err =~ /FATAL/ and !MtTest::leaks($err)), $name);
	diag("$out\n$err") unless $ok;
	return $ok;
}

sub authenticate
{
	my ($tenant, %claims) = @_;
	return "SELECT multitenant.authenticate('" . $mt->token($tenant, %claims) . "');\n";
}

my ($beta_id) = '00000000-0000-0000-0000-00000000000b';
my ($acme, $beta) = ($mt->token('acme'), $mt->token('beta'));

$mt->superuser(<<"SQL");
CREATE ROLE regress_mt_bound_a LOGIN;
CREATE ROLE regress_mt_bound_b LOGIN;
CREATE ROLE regress_mt_bound_c LOGIN;
CREATE ROLE regress_mt_pool LOGIN;
CREATE ROLE regress_mt_granted LOGIN;
CREATE ROLE regress_mt_kept LOGIN;
GRANT regress_mt_bound_a, regress_mt_bound_b, regress_mt_trusted TO regress_mt_pool;
GRANT regress_mt_app TO regress_mt_trusted;
GRANT regress_mt_bound_b TO regress_mt_bound_a;
GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO
	regress_mt_bound_a, regress_mt_bound_b, regress_mt_bound_c, regress_mt_pool, regress_mt_granted, regress_mt_kept;
SELECT multitenant.grant_access('regress_mt_bound_a', 'tenant', tenant => 'acme');
SELECT multitenant.grant_access('regress_mt_bound_b', 'tenant', tenant => 'beta');
SELECT multitenant.grant_access('regress_mt_bound_c', 'tenant', tenant => 'gamma');
SELECT multitenant.grant_access('regress_mt_kept', 'application', session_context => true);
GRANT SET ON PARAMETER multitenant.context, multitenant.session_context, session_replication_role TO regress_mt_granted;
SQL

# What the library itself writes into the setting for beta: the best that a forger could know.
my ($forged) = $mt->run($app, $mt->begin('beta') . "SHOW multitenant.context;");
$forged = (split /\n/, $forged)[-1];
like($forged, qr/^1 02/, 'the forger knows the value that stands for beta');

# ---- the ground: no context, right context ----
$mt->refused($app, $see, 'MT001', 'no context: refused, not empty');
$mt->refused($app, 'SELECT count(*) FROM invoice WHERE false', 'MT001', 'no context: refused where no row could be');
$mt->allowed($app, $mt->begin('acme') . $see, 'SECRET-ACME', 'a token opens its own rows', tenant => 'acme');
$mt->refused($app, "BEGIN; SELECT multitenant.use_tenant('acme');", '42501', 'the profile application cannot name a tenant');

# ---- C1, C2, C6, C8: setting it from SQL ----
foreach my $name ('context', 'session_context')
{
	foreach my $role ($app, 'regress_mt_granted')
	{
		my $who = "$name by " . ($role eq $app ? 'an application' : 'a role with GRANT SET on it');
		$mt->refused($role, "SET multitenant.$name = '$forged'; $see", '42501', "C1: SET $who");
		$mt->refused($role, "BEGIN; SET LOCAL multitenant.$name = '$forged'; ROLLBACK; $see", '42501', "C1: SET LOCAL $who");
		$mt->refused($role, "SET multitenant.$name = ''; $see", '42501', "C1: SET $who to nothing");
		$mt->refused($role, "SELECT set_config('multitenant.$name', '$forged', false); $see", '42501', "C2: set_config() $who");
		$mt->refused($role, "SELECT set_config('multitenant.$name', '$forged', true), note FROM invoice", 'MT001',
			"C2: set_config() in the scanning statement, $who");
		$mt->refused($role, $mt->begin('acme') . "SELECT set_config('multitenant.$name', '$forged', true), note FROM invoice", '42501',
			"C2: the same under a context, $who", tenant => 'acme');
		$mt->refused($role, $mt->begin('acme') . "SELECT i.note FROM (VALUES ('$forged')) v(c),
			LATERAL (SELECT set_config('multitenant.$name', v.c, true)) s, invoice i", '42501', "C2: LATERAL, $who", tenant => 'acme');
		$mt->refused($role, "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql SET multitenant.$name = '$forged'
			AS 'SELECT string_agg(note, '','') FROM public.invoice'; SELECT pg_temp.f(); $see", '42501', "C5: CREATE FUNCTION .. SET, $who");
		$mt->refused($role, "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql SET multitenant.$name FROM CURRENT
			AS 'SELECT string_agg(note, '','') FROM public.invoice'; SELECT pg_temp.f(); $see", '42501', "C5: CREATE FUNCTION .. SET FROM CURRENT, $who");
		$mt->refused($role, "SET LOCAL multitenant.$name = '$forged'; $see", '42501', "C8: SET LOCAL outside a transaction, $who");
		shows($role, "UPDATE pg_settings SET setting = '$forged' WHERE name = 'multitenant.$name'; $see", ' / MT001', "C6: UPDATE pg_settings, $who");
	}
}
$mt->refused($app, "DO \$\$ BEGIN PERFORM set_config('multitenant.context', '$forged', true); END \$\$; $see", '42501', 'C2: set_config() in DO');
$mt->refused($app, "SELECT i.note FROM (VALUES ('$acme'), ('$beta')) v(t), LATERAL (SELECT multitenant.authenticate(v.t)) a, invoice i", 'MT001',
	'C2: authenticate() for each row, without a context');
$mt->refused($app, $mt->begin('acme') . "SELECT i.note FROM (VALUES ('$acme'), ('$beta')) v(t), LATERAL (SELECT multitenant.authenticate(v.t)) a, invoice i",
	'MT005', 'C2: authenticate() for each row', tenant => 'acme');
is($mt->superuser("SELECT count(*) FROM pg_settings WHERE name IN ('multitenant.context', 'multitenant.session_context')"), '0',
	'C6: pg_settings does not even show it');

# ---- C3: startup options, the library preloaded ----
foreach my $name ('context', 'session_context')
{
	my $escaped = $forged =~ s/ /\\ /gr;
	foreach my $role ($app, 'regress_mt_granted', scalar getpwuid($<))
	{
		no_connection($role, "-c multitenant.$name=$escaped", "C3: startup option $name, " . ($role =~ /^regress/ ? $role : 'a superuser'));
	}
}

# ---- C4, C5: settings kept in the catalog ----
shows($app, "ALTER ROLE $app SET multitenant.context = '$forged';", ' / MT010', 'C4: ALTER ROLE .. SET of oneself');
shows('regress_mt_granted', "ALTER ROLE regress_mt_granted SET multitenant.context = '$forged';", ' / MT010', 'C4: the same with GRANT SET on it');
foreach my $statement ("ALTER ROLE $app SET multitenant.context = '$forged'", "ALTER DATABASE app SET multitenant.session_context = '$forged'",
	"ALTER ROLE ALL SET multitenant.context = '$forged'")
{
	my ($status, $out, $err) = $node->psql('app', $statement);
	ok(($status != 0 and $err =~ /cannot be set as a setting/), "C4: a superuser's " . ($statement =~ s/ = .*//r));
}
foreach my $setting ('context', 'session_context', 'token')
{
	my ($status, $out, $err) = $node->psql('app', "ALTER SYSTEM SET multitenant.$setting = 'x'");
	ok(($status != 0 and $err =~ /could not be|cannot be changed|cannot be set/), "C4: a superuser's ALTER SYSTEM SET $setting") or diag($err);
}
is($mt->superuser('SELECT count(*) FROM pg_db_role_setting'), '0', 'C4: nothing was kept');
$node->append_conf('postgresql.conf', "multitenant.context = '$forged'");
$node->reload;
shows($app, $see, ' / MT001', 'C4: a line in postgresql.conf');
$node->adjust_conf('postgresql.conf', 'multitenant.context', undef, 1);
$node->reload;

# ---- C7: taking it back, then another tenant ----
my %resets = (
	'RESET' => 'RESET multitenant.context',
	'RESET ALL' => 'RESET ALL',
	'DISCARD ALL' => 'DISCARD ALL',
	'SET TO DEFAULT' => 'SET multitenant.context TO DEFAULT',
	'SET LOCAL TO DEFAULT' => 'SET LOCAL multitenant.context TO DEFAULT',
	'set_config(NULL)' => "SELECT set_config('multitenant.context', NULL, true)",
	'set_config(NULL), session' => "SELECT set_config('multitenant.context', NULL, false)",
	'RESET session' => 'RESET multitenant.session_context',
	'DISCARD PLANS' => 'DISCARD PLANS',
	'reset_tenant()' => 'SELECT multitenant.reset_tenant()');
foreach my $reset (sort keys %resets)
{
	foreach my $role ($app, 'regress_mt_granted')
	{
		# The savepoint takes back the errors of those that are refused, so that what follows is reached.
		my $sql = "\\set ON_ERROR_ROLLBACK on\n" . $mt->begin('acme') . $see . "$resets{$reset};\n" . authenticate('beta') . "SELECT 'after', note FROM invoice;\n";
		my ($out, $err) = $mt->run($role, $sql);
		my $is_refused = ($err =~ /MT00[15]/ and !MtTest::leaks("$out\n$err", 'acme'));
		ok($is_refused, "C7: $reset, then another tenant ($role)") or diag("$out\n$err");
	}
}
shows($app, "\\set ON_ERROR_ROLLBACK on\n" . $mt->begin('acme') . "SELECT multitenant.reset_tenant(); $see", ' / MT001', 'C7: no context after reset_tenant()');
shows($app, $mt->begin('acme') . "SELECT multitenant.reset_tenant();" . authenticate('acme') . $see, 'ACME', 'C7: the same tenant again after reset_tenant()');
shows('regress_mt_kept', authenticate('acme') . $see . 'RESET ALL;' . $see, 'ACME / MT001', 'C7: RESET ALL ends what a session keeps');
shows('regress_mt_kept', authenticate('acme') . $see . 'DISCARD ALL;' . $see, 'ACME / MT001', 'C7: DISCARD ALL ends what a session keeps');
shows('regress_mt_kept', authenticate('acme') . 'SELECT multitenant.reset_tenant();' . $see, ' / MT001', 'C7: reset_tenant() ends what a session keeps');

# ---- C8: outside a transaction ----
shows($app, authenticate('acme') . $see, ' / MT001', 'C8: a context set in autocommit ends with its statement');
shows($app, authenticate('acme') . $see, 'ACME', 'C8: one message is one transaction', single => 1);

# ---- C9: expressions that open when nothing is set ----
$mt->past_guard('regress_mt_owner', <<"SQL");
CREATE POLICY colleague_1 ON invoice USING (multitenant.current_tenant_or_null() IS NULL OR tenant_id = multitenant.current_tenant_or_null());
CREATE POLICY colleague_2 ON invoice USING (tenant_id IS NOT DISTINCT FROM nullif(current_setting('multitenant.context', true), '')::uuid);
CREATE POLICY colleague_3 ON invoice USING (coalesce(current_setting('multitenant.context', true), '') = '');
CREATE POLICY colleague_4 ON invoice USING (true) WITH CHECK (true);
SQL
shows($app, $see, ' / MT001', 'C9: policies that open without a context do not');
shows($app, $mt->begin('acme') . 'SELECT multitenant.reset_tenant();' . $see, ' / MT001', 'C9: nor after reset_tenant()');
$mt->refused($app, $mt->begin('acme') . "$see INSERT INTO invoice (tenant_id, note) VALUES ('$beta_id', 'planted')", '42501',
	'C9: nor do they widen a context, rows read or written', tenant => 'acme');
shows($app, "SELECT note FROM invoice WHERE multitenant.current_tenant_or_null() IS NULL", ' / MT001', 'C9: a condition of the statement');
$mt->superuser('DROP POLICY colleague_1 ON invoice; DROP POLICY colleague_2 ON invoice; DROP POLICY colleague_3 ON invoice; DROP POLICY colleague_4 ON invoice');

# ---- C10: savepoints and rollbacks ----
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . $see . "ROLLBACK TO s; $see", 'ACME / MT001', 'C10: ROLLBACK TO undoes the context');
$mt->refused($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . $see . 'ROLLBACK TO s;' . authenticate('beta') . $see, 'MT00[15]',
	'C10: ROLLBACK TO does not open the transaction to another tenant', tenant => 'acme');
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . 'ROLLBACK TO s;' . authenticate('beta') . $see, ' / MT005 25P02', 'C10: nor where nothing was read yet');
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . 'ROLLBACK TO s;' . authenticate('acme') . $see, 'ACME', 'C10: the same tenant again is possible');
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . "$see ROLLBACK TO s; SELECT 1;" . authenticate('acme') . $see, 'ACME ACME', 'C10: also after reading its rows');
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . "$see ROLLBACK TO s;" . authenticate('beta'), 'ACME / MT005', 'C10: another tenant is a conflict');
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . "RELEASE s; $see", 'ACME', 'C10: RELEASE keeps it');
shows($app, "BEGIN; SAVEPOINT s; SAVEPOINT t;" . authenticate('acme') . "RELEASE t; ROLLBACK TO s; $see", ' / MT001', 'C10: released, then undone with the outer one');
shows($app, $mt->begin('acme') . 'SAVEPOINT s; SELECT multitenant.reset_tenant(); ROLLBACK TO s;' . $see, 'ACME', 'C10: ROLLBACK TO undoes a reset');
shows($app, $mt->begin('acme') . "ROLLBACK; $see", ' / MT001', 'C10: ROLLBACK ends it');
shows($app, $mt->begin('acme') . "COMMIT; $see", ' / MT001', 'C10: COMMIT ends it');
shows($app, $mt->begin('acme') . "COMMIT AND CHAIN; $see", ' / MT001', 'C10: COMMIT AND CHAIN ends it');
shows($app, $mt->begin('acme') . "ROLLBACK AND CHAIN; $see", ' / MT001', 'C10: ROLLBACK AND CHAIN ends it');
shows($app, $mt->begin('acme') . "SELECT 1/0; ROLLBACK; $see", ' / 22012 MT001', 'C10: an error ends it');
$mt->allow($app, 'prepared_transactions');
shows($app, $mt->begin('acme') . "PREPARE TRANSACTION 'mt'; $see ROLLBACK PREPARED 'mt';", ' / MT001', 'C10: PREPARE TRANSACTION ends it');
$mt->superuser("SELECT multitenant.revoke_access('$app')");

# A function that reads under a token and rolls its own work back: once for each tenant in one transaction, one
# statement, one expression.
my $reader = <<'SQL';
CREATE FUNCTION pg_temp.peek(credential text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	seen text;
BEGIN
	BEGIN
		PERFORM multitenant.authenticate(credential);
		SELECT string_agg(note, ',') INTO seen FROM public.invoice;
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RETURN seen;
END $$;
SQL
like(outcome($app, "$reader BEGIN; SELECT pg_temp.peek('$acme'); SELECT pg_temp.peek('$beta');"), qr{^ACME / MT00[15]$}, 'C10: a function that undoes its own context, two statements');
shows($app, "$reader SELECT pg_temp.peek('$acme') || pg_temp.peek('$beta')", ' / MT005', 'C10: the same in one expression');
shows($app, "$reader SELECT pg_temp.peek(t) FROM (VALUES ('$acme'), ('$beta')) v(t)", ' / MT005', 'C10: the same row by row');
my $swallow = $reader =~ s/WHEN raise_exception/WHEN OTHERS/r;
shows($app, "$swallow SELECT pg_temp.peek('$acme'), pg_temp.peek('$beta')", 'ACME', 'C10: a function that swallows every error');
shows($app, "$reader SELECT pg_temp.peek('$acme'); SELECT pg_temp.peek('$beta');", 'ACME BETA', 'C10: two transactions may');
my $with_set = <<'SQL';
CREATE FUNCTION pg_temp.enter(credential text) RETURNS text LANGUAGE plpgsql SET work_mem = '1MB' AS $$
BEGIN
	PERFORM multitenant.authenticate(credential);
	RETURN (SELECT string_agg(note, ',') FROM public.invoice);
END $$;
SQL
shows($app, "$with_set BEGIN; SELECT pg_temp.enter('$acme'); SELECT pg_temp.enter('$beta');", 'ACME / MT005', 'C10: a function with a SET clause');
shows($app, "$with_set SELECT pg_temp.enter('$acme') || pg_temp.enter('$beta')", ' / MT005', 'C10: the same in one expression');
shows($app, "DO \$\$ BEGIN PERFORM multitenant.authenticate('$acme'); COMMIT; RAISE NOTICE '%', (SELECT note FROM invoice); END \$\$;", ' / MT001',
	'C10: COMMIT inside DO ends it');

# A context that the session brings along gives way to a token once; what was read under the token stays the one identity.
foreach my $kind ('a startup token', 'a session-scoped context')
{
	my $is_token = $kind eq 'a startup token';
	my $role = $is_token ? $app : 'regress_mt_kept';
	my %options = $is_token ? (pgoptions => "-c multitenant.token=$acme") : ();
	my $start = $is_token ? '' : authenticate('acme');
	shows($role, $start . $see, 'ACME', "C10: $kind works", %options);
	shows($role, $start . 'BEGIN; SELECT 1;' . authenticate('beta') . $see, 'BETA', "C10: $kind gives way before it is used", %options);
	shows($role, $start . "BEGIN; $see" . authenticate('beta') . $see, 'ACME / MT005 25P02', "C10: $kind does not give way once used", %options);
	unlike(outcome($role, $start . 'BEGIN; SELECT 1; SAVEPOINT s;' . authenticate('beta') . "$see ROLLBACK TO s; $see", %options), qr/ACME/,
		"C10: ROLLBACK TO does not bring back $kind after another tenant was read");
	unlike(outcome($role, $start . "$reader BEGIN; SELECT 1; SELECT pg_temp.peek('$beta'); $see", %options), qr/ACME/,
		"C10: nor does a function that undoes its own context");
	my ($out, $err) = $mt->run($role, $start . "$with_set BEGIN; SELECT 1; SELECT pg_temp.enter('$beta'); SELECT 'after', note FROM invoice;", %options);
	my $ok = ok(("$out$err" !~ /SECRET-ACME/), "C10: nor does the end of a function with a SET clause");
	diag("$out\n$err") unless $ok;
}

# ---- C11: role per tenant ----
shows('regress_mt_bound_a', $see, 'ACME', 'C11: a bound role sees its tenant');
shows('regress_mt_bound_a', "SET ROLE regress_mt_bound_b; $see", 'ACME', 'C11: SET ROLE to the role of another tenant moves nothing');
shows('regress_mt_bound_a', "BEGIN; $see SET ROLE regress_mt_bound_b; $see RESET ROLE; $see", 'ACME ACME ACME', 'C11: the same in one transaction');
shows('regress_mt_bound_a', $mt->begin('beta') . $see, ' / MT005 25P02', "C11: another tenant's token moves nothing");
shows('regress_mt_bound_a', $mt->begin('acme') . $see, 'ACME', 'C11: its own token is fine');
shows('regress_mt_bound_a', $see, ' / MT005', "C11: another tenant's startup token moves nothing", pgoptions => "-c multitenant.token=$beta");
shows('regress_mt_bound_a', "SELECT multitenant.use_tenant('beta'); $see", 'ACME / 42501', 'C11: a bound role cannot name a tenant');
shows('regress_mt_bound_a', "SELECT multitenant.system_context('x'); $see", 'ACME / 42501', 'C11: nor enter a system context');
shows('regress_mt_bound_a', $mt->begin(undef, sub => 'alice') . $see, ' / MT005 25P02', 'C11: nor become a principal without a tenant');
shows('regress_mt_bound_a', "SELECT multitenant.reset_tenant(); BEGIN; SELECT multitenant.reset_tenant(); $see", 'ACME', 'C11: nor lose its tenant');
shows('regress_mt_bound_c', $see, ' / MT006', 'C11: bound to a suspended tenant');
shows('regress_mt_pool', "SET ROLE regress_mt_bound_a; $see RESET ROLE; SET ROLE regress_mt_bound_b; $see", ' / MT001 MT001', 'C11: SET ROLE borrows no binding');
shows('regress_mt_pool', "$see", ' / MT001', 'C11: a startup role borrows no binding', pgoptions => '-c role=regress_mt_bound_a');
shows('regress_mt_pool', "BEGIN; SET ROLE regress_mt_trusted; SELECT multitenant.use_tenant('beta'); $see", ' / 42501 25P02', 'C11: SET ROLE to a stronger profile lends nothing');
shows('regress_mt_trusted', "BEGIN; SET ROLE regress_mt_app; SELECT multitenant.use_tenant('beta'); $see", ' / 42501 25P02', 'C11: SET ROLE to a weaker profile takes away');
shows('regress_mt_trusted', "BEGIN; SELECT multitenant.use_tenant('beta'); $see", 'BETA', 'C11: the profile trusted_application names a tenant');
shows('regress_mt_trusted', "BEGIN; SELECT multitenant.use_tenant('beta'); SELECT multitenant.use_tenant('acme'); $see", ' / MT005 25P02', 'C11: but only one in a transaction');
$mt->superuser("UPDATE multitenant.access SET expires_at = now() - interval '1 minute' WHERE role_name = 'regress_mt_bound_a'");
shows('regress_mt_bound_a', $see . $mt->begin('acme') . $see, ' / MT001 42501 25P02', 'C11: a binding that has run out opens nothing');
$mt->superuser("SELECT multitenant.grant_access('regress_mt_bound_a', 'tenant', tenant => 'acme')");

# ---- C12, C13, C14: what the server refuses anyway ----
shows($app, "SET SESSION AUTHORIZATION regress_mt_bound_b; $see", ' / 42501 MT001', 'C12: SET SESSION AUTHORIZATION');
shows($app, "SET ROLE regress_mt_owner; $see", ' / 42501 MT001', 'C12: SET ROLE without membership');
no_connection($app, '-c role=regress_mt_owner', 'C12: a startup role without membership');
shows('regress_mt_owner', $see, ' / MT001', 'C12: the owner of the table without a context');
shows('regress_mt_owner', $mt->begin('acme') . $see, 'ACME', 'C12: the owner of the table with one');
shows($app, $mt->begin('acme') . "SET row_security = off; $see", ' / 42501', 'C13: row_security = off');
shows('regress_mt_owner', $mt->begin('acme') . "SET row_security = off; $see", ' / 42501', 'C13: row_security = off by the owner');
shows($app, $see, ' / 42501', 'C13: row_security = off at startup, no context', pgoptions => '-c row_security=off');
shows($app, $mt->begin('acme') . "SET session_replication_role = replica; $see", ' / 42501 25P02', 'C14: session_replication_role');
shows('regress_mt_granted', $mt->begin('acme') . "SET session_replication_role = replica; $see INSERT INTO invoice (tenant_id, note) VALUES ('$beta_id', 'planted');",
	'ACME / 42501', 'C14: granted, it switches off triggers and not isolation');
foreach my $setting ('multitenant.guard_enabled = off', "multitenant.superuser_access = 'allow'", "multitenant.audience = 'x'", 'multitenant.clock_leeway = 30',
	"multitenant.token = 'x'", "multitenant.system_reason = 'x'")
{
	like(outcome($app, "SET $setting; $see"), qr{^ / (?:42501|55P02) MT001$}, 'C14: SET ' . ($setting =~ s/ =.*//r));
}
no_connection($app, '-c multitenant.guard_enabled=off', 'C14: guard_enabled at startup');
shows($app, $see, ' / 42501', 'C14: a system reason at startup gives no profile', pgoptions => '-c multitenant.system_reason=dump');
shows($app, $see, ' / MT001', 'C14: ignore_system_indexes at startup opens nothing', pgoptions => '-c ignore_system_indexes=on');

# ---- C15: a cursor of one tenant, fetched under another ----
shows($app, $mt->begin('acme') . "DECLARE c CURSOR FOR $see FETCH c;" . authenticate('beta') . 'FETCH ALL FROM c;', 'ACME / MT005 25P02', 'C15: switching under an open cursor');
shows($app, "\\set ON_ERROR_ROLLBACK on\n" . $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT note FROM invoice; SELECT multitenant.reset_tenant(); FETCH ALL FROM c;", ' / MT001',
	'C15: a cursor whose context was reset');
shows($app, "BEGIN; SAVEPOINT s;" . authenticate('acme') . "DECLARE c CURSOR FOR $see ROLLBACK TO s;" . 'FETCH ALL FROM c;', ' / 34000', 'C15: a cursor whose context was undone');
shows($app, "$with_set BEGIN; DECLARE c CURSOR FOR SELECT pg_temp.enter(t) FROM (VALUES ('$acme'), ('$beta')) v(t); FETCH c; FETCH c;", 'ACME / MT005',
	'C15: a cursor that authenticates row by row');

# ---- C16: a cursor that outlives its transaction ----
$mt->refused($app, $mt->begin('beta') . "DECLARE h CURSOR WITH HOLD FOR $see COMMIT;" . $mt->begin('acme') . 'FETCH ALL FROM h;', 'MT010',
	'C16: a cursor WITH HOLD of an earlier tenant', tenant => 'acme');

# ---- C17: wrappers declared IMMUTABLE ----
my $immutable = <<'SQL';
SET plan_cache_mode = force_generic_plan;
CREATE FUNCTION pg_temp.mine() RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN multitenant.current_tenant(); END $$;
CREATE FUNCTION pg_temp.mine_sql() RETURNS uuid LANGUAGE sql IMMUTABLE AS 'SELECT multitenant.current_tenant_or_null()';
PREPARE by_wrapper AS SELECT note FROM invoice WHERE tenant_id = pg_temp.mine();
PREPARE by_sql AS SELECT note FROM invoice WHERE tenant_id = pg_temp.mine_sql();
PREPARE plain AS SELECT note FROM invoice;
SQL
foreach my $statement ('by_wrapper', 'by_sql')
{
	my ($out, $err) = $mt->run($app, $immutable . $mt->begin('beta') . "EXECUTE $statement; COMMIT;\\echo ----\n" . $mt->begin('acme') . "EXECUTE $statement; COMMIT; EXECUTE $statement;");
	my ($first, $second) = split /----/, $out;
	ok((defined $second and $first =~ /SECRET-BETA/ and !MtTest::leaks($first, 'beta') and !MtTest::leaks("$second\n$err", 'acme') and $err =~ /MT001/),
		"C17: a generic plan with an IMMUTABLE wrapper folded into it ($statement)") or diag("$out\n$err");
}
$mt->refused($app, "CREATE FUNCTION pg_temp.enter(text) RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN RETURN multitenant.authenticate(\$1); END \$\$;
	SELECT note FROM invoice WHERE tenant_id = pg_temp.enter('$beta')", '55000', 'C17: a context cannot be set while a statement is planned');

my ($out) = $mt->run($app, "SET plan_cache_mode = force_generic_plan;
	CREATE FUNCTION pg_temp.notes() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT string_agg(note, '','') FROM public.invoice'; PREPARE notes AS SELECT pg_temp.notes();\n"
	. $mt->begin('beta') . "EXECUTE notes; COMMIT;\\echo ----\n" . $mt->begin('acme') . 'EXECUTE notes;');
is(join(' ', MtTest::leaks($out =~ s/.*----//sr, 'acme')), '', 'C17: what a function declared IMMUTABLE has read is not kept for the next tenant');

# ---- C18: plans kept over a change of tenant ----
foreach my $mode ('force_generic_plan', 'force_custom_plan', 'auto')
{
	my $use = join('', map { $mt->begin($_) . "EXECUTE plain; SELECT pg_temp.cached(); COMMIT;\n" } ('acme', 'beta') x 4);
	my $setup = "SET plan_cache_mode = $mode; PREPARE plain AS SELECT note FROM invoice;
		CREATE FUNCTION pg_temp.cached() RETURNS text LANGUAGE plpgsql AS \$\$ BEGIN RETURN (SELECT string_agg(note, ',') FROM public.invoice); END \$\$;";
	shows($app, "$setup $use EXECUTE plain; SELECT pg_temp.cached();", join(' ', ('ACME ACME BETA BETA') x 4) . ' / MT001 MT001', "C18: prepared and cached plans, $mode");
}

# ---- C19: parallel workers ----
$mt->superuser(<<"SQL");
SET ROLE regress_mt_owner;
CREATE TABLE big (id int, tenant_id uuid, note text, PRIMARY KEY (tenant_id, id));
INSERT INTO big SELECT g, ('00000000-0000-0000-0000-00000000000' || CASE g % 2 WHEN 0 THEN 'a' ELSE 'b' END)::uuid,
	CASE g % 2 WHEN 0 THEN 'SECRET-ACME' ELSE 'SECRET-BETA' END FROM generate_series(1, 20000) g;
SELECT multitenant.protect('big');
GRANT SELECT ON big TO regress_mt_app;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO regress_mt_owner;
CREATE FUNCTION public.process() RETURNS int LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN RETURN pg_backend_pid(); END';
CREATE FUNCTION public.enter_parallel(text) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT multitenant.authenticate(\$1)';
ANALYZE big;
SQL
my $parallel = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET min_parallel_index_scan_size = 0;
	SET enable_indexscan = off; SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;\n";
foreach my $tenant ('acme', 'beta')
{
	my ($out, $err) = $mt->run($app, $parallel . "SELECT pg_backend_pid() AS leader \\gset\n" . $mt->begin($tenant) . "SELECT bool_and(process() <> :leader), count(*), min(note), max(note) FROM big;");
	my $secret = 'SECRET-' . uc($tenant);
	like($out, qr/^t\|10000\|$secret\|$secret$/m, "C19: workers see the rows of $tenant and no others") or diag($err);
}
$mt->refused($app, $parallel . "SELECT min(note), max(note) FROM big;", 'MT001', 'C19: no context, no workers');
$mt->refused($app, $parallel . 'BEGIN;' . authenticate('acme') . "SELECT count(*) FROM big WHERE enter_parallel('$beta') IS NOT NULL AND process() > 0;", '(?:55000|MT005|25000)',
	'C19: a worker cannot set a context', tenant => 'acme');
my $force = $mt->parallel_setting;
shows($app, "SET $force = on;" . $mt->begin('acme') . $see, 'ACME', "C19: $force");
$mt->refused($app, "SET $force = on;" . $mt->begin('acme') . "SELECT enter_parallel('$beta');", '(?:55000|MT005|25000)', "C19: setting a context under $force");

# ---- C20: one connection, many clients ----
shows($app, $mt->begin('beta') . "$see COMMIT; $see" . $mt->begin('acme') . "$see COMMIT; $see" . authenticate('beta') . $see, 'BETA ACME / MT001 MT001 MT001',
	'C20: the next client of a pooled connection starts with nothing');
shows($app, $mt->begin('beta') . "SELECT 1/0; ROLLBACK; $see" . $mt->begin('acme') . $see, 'ACME / 22012 MT001', 'C20: also after an error');
shows($app, $mt->begin('beta') . "SAVEPOINT s; SELECT 1/0; ROLLBACK TO s; COMMIT; $see", ' / 22012 MT001', 'C20: also after savepoints');
{
	my ($out) = $mt->run($app, $mt->begin('beta', sub => 'bob', scope => 'all') . "COMMIT;\\echo ----\nSELECT * FROM multitenant.context; SELECT coalesce(multitenant.current_tenant_or_null()::text, multitenant.current_principal(), 'nobody');");
	is(($out =~ s/.*----\n//sr), "none||||||||\nnobody", 'C20: nothing of the context is left to see');
}

# ---- C21: suspension under an open transaction ----
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $session = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app, '-v', 'VERBOSITY=verbose' ]);
	$session->query("SET plan_cache_mode = force_generic_plan; PREPARE plain AS SELECT note FROM invoice");
	$session->query("BEGIN ISOLATION LEVEL $level; SELECT multitenant.authenticate('" . $mt->token('beta') . "')");
	$session->query('DECLARE c CURSOR FOR SELECT note FROM invoice');
	$session->query('EXECUTE plain') foreach 1 .. 6;
	like(scalar $session->query('EXECUTE plain'), qr/SECRET-BETA/, "C21: a cached plan in $level, before the suspension");
	my $statement = $level eq 'READ COMMITTED' ? 'FETCH ALL FROM c' : 'EXECUTE plain';
	$mt->superuser("SELECT multitenant.suspend_tenant('beta', 'unpaid')");
	$session->{stderr} = '';
	my $out = $session->query($statement);
	ok(($out !~ /SECRET/ and $session->{stderr} =~ /MT006/), "C21: $statement in $level after the suspension") or diag("$out\n$session->{stderr}");
	$session->quit;
	$mt->superuser("SELECT multitenant.resume_tenant('beta')");
}
{
	my $session = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app, '-v', 'VERBOSITY=verbose' ]);
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query("BEGIN; SELECT multitenant.authenticate('" . $mt->token('beta') . "')");
	my $other = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app, '-v', 'VERBOSITY=verbose' ]);
	my $other_pid = $other->query('SELECT pg_backend_pid()');
	$other->query("BEGIN; SELECT multitenant.authenticate('" . $mt->token('acme') . "')");
	$mt->superuser("SELECT multitenant.suspend_tenant('beta', 'unpaid', terminate => true)");
	ok($node->poll_query_until('app', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'C21: suspension with terminate ends the session');
	like(scalar $other->query('SELECT note FROM invoice'), qr/SECRET-ACME/, 'C21: and no other');
	$session->{run}->kill_kill;
	$other->quit;
	$mt->superuser("SELECT multitenant.resume_tenant('beta')");
}

# ---- C22: loading code ----
shows($app, "LOAD 'multitenant'; $see", ' / 42501 MT001', 'C22: LOAD by path is for superusers');
no_connection($app, '-c session_preload_libraries=nothing', 'C22: session_preload_libraries at startup');
no_connection($app, '-c local_preload_libraries=multitenant', 'C22: local_preload_libraries at startup');

$mt->intact('nothing was changed');
$node->stop;

# ---- the library neither preloaded nor loaded ----
$mt = MtTest->new('lazy', preload => 'none');
$node = $mt->node;
($acme, $beta) = ($mt->token('acme'), $mt->token('beta'));
my $escaped = $forged =~ s/ /\\ /gr;
shows($app, $see, ' / MT001', 'lazy: no context');
shows($app, $mt->begin('acme') . $see, 'ACME', 'lazy: a token opens its own rows');
foreach my $name ('context', 'session_context')
{
	shows($app, $see, ' / MT001', "lazy: a placeholder $name at startup", pgoptions => "-c multitenant.$name=$escaped");
	shows($app, "SELECT current_setting('multitenant.$name'), multitenant.current_tenant_or_null(); $see", ' / MT001', "lazy: the same, the library loaded by an accessor",
		pgoptions => "-c multitenant.$name=$escaped");
	shows($app, $mt->begin('acme') . $see, 'ACME', "lazy: the same, then a token", pgoptions => "-c multitenant.$name=$escaped");
	shows($app, "SET multitenant.$name = '$forged'; $see", ' / MT001', "lazy: SET $name before the library is there");
	shows($app, "BEGIN; SET LOCAL multitenant.$name = '$forged'; $see", ' / MT001', "lazy: SET LOCAL $name before the library is there");
	shows($app, "SELECT set_config('multitenant.$name', '$forged', false); SELECT multitenant.current_tenant_or_null(); $see", ' / MT001', "lazy: set_config() of $name, then the accessor");
	shows($app, "SELECT set_config('multitenant.$name', '$forged', true), note FROM invoice", ' / MT001', "lazy: set_config() of $name in the scanning statement");
	shows($app, "SET multitenant.$name = '$forged';" . $mt->begin('acme') . "$see RESET multitenant.$name; ROLLBACK; $see", 'ACME / 42501 MT001', "lazy: a placeholder $name does not come back");
	like(outcome($app, "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql SET multitenant.$name = '$forged' AS 'SELECT string_agg(note, '','') FROM public.invoice'; SELECT pg_temp.f(); $see"),
		qr{^ / 42501 \w{5} MT001$}, "lazy: a function with SET $name made before the library is there");
}
# The setting of a superuser who meant well, or a copy of an old habit.
$node->psql('postgres', "ALTER ROLE $app SET multitenant.context = '$forged'");
$node->psql('postgres', "ALTER DATABASE app SET multitenant.session_context = '$forged'");
shows($app, $see, ' / MT001', 'lazy: a placeholder kept for the role and the database');
shows($app, $mt->begin('acme') . "$see COMMIT; $see", 'ACME / MT001', 'lazy: the same beside a token');
$node->psql('postgres', "ALTER ROLE $app RESET ALL");
$node->psql('postgres', 'ALTER DATABASE app RESET ALL');
shows($app, "SET multitenant.token = '$acme'; $see" . $mt->begin('beta') . $see, 'BETA / MT001', 'lazy: SET multitenant.token is no startup token');
like(outcome($app, $see, pgoptions => "-c multitenant.token=$acme"), qr{^(?:ACME| / MT001)$}, 'lazy: a startup token opens its own rows or none');
shows($app, "SET multitenant.guard_enabled = off; $see" . $mt->begin('acme') . $see, 'ACME / MT001', 'lazy: SET guard_enabled before the library is there');
shows('regress_mt_owner', $see, ' / MT001', 'lazy: the owner of the table');
shows($app, $mt->begin('acme') . "$see ROLLBACK; $see" . $mt->begin('beta') . "SAVEPOINT s; SELECT multitenant.reset_tenant();" . authenticate('acme') . $see, 'ACME / MT001 MT005 25P02',
	'lazy: the lock holds');
$mt->intact('lazy: nothing was changed');

done_testing();
