# Contexts that a session brings along: a role bound to a tenant, and a token given when the connection starts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('bound', conf => "log_statement = 'all'\nlog_connections = on\nmax_prepared_transactions = 2\nmultitenant.clock_leeway = 1");
my $app = 'regress_mt_app';
my $bound = 'regress_mt_bound';
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');
my $rows = 'SELECT note FROM invoice';
# what runs out soon, in seconds: 2, or as many times more as the server may be slower
my $soon = int($PostgreSQL::Test::Utils::timeout_default / 90);
my ($acme, $beta) = ('SECRET-ACME', 'SECRET-BETA');
my $source = "SELECT state || ' ' || coalesce(tenant_slug, '-') || ' ' || coalesce(source, '-') FROM multitenant.context";

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }
sub startup { return { pgoptions => '-c multitenant.token=' . $mt->token(@_) } }

$mt->superuser(<<'SQL');
CREATE ROLE regress_mt_bound LOGIN;
CREATE ROLE regress_mt_bound_beta LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO regress_mt_bound, regress_mt_bound_beta;
SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme', allow => '{prepared_transactions}');
SELECT multitenant.grant_access('regress_mt_bound_beta', 'tenant', tenant => 'beta');
GRANT regress_mt_bound_beta TO regress_mt_bound, regress_mt_app;
GRANT regress_mt_trusted TO regress_mt_bound;
SQL

# ---- a bound role ----

$mt->steps('bound: every statement is in its tenant', $bound, {}, $rows => $acme, 'SELECT multitenant.current_tenant_slug()' => 'acme',
	$source => 'tenant acme binding', 'BEGIN' => '', $rows => $acme, 'ROLLBACK' => '',
	"INSERT INTO invoice (note) VALUES ('new') RETURNING tenant_id" => $id{acme}, "UPDATE invoice SET note = note RETURNING note" => "$acme\nnew",
	"DELETE FROM invoice WHERE note = 'new' RETURNING note" => 'new', "DO \$\$ BEGIN ASSERT (SELECT count(*) FROM invoice) = 1; END \$\$" => '',
	"PREPARE q AS $rows" => '', 'SET plan_cache_mode = force_generic_plan' => '', 'EXECUTE q' => $acme, 'BEGIN' => '',
	"DECLARE c CURSOR FOR $rows" => '', 'FETCH c' => $acme, 'COMMIT' => '', 'SELECT slug FROM multitenant.tenants' => 'acme');
$mt->steps('bound: COPY TO', $bound, {}, 'COPY invoice (note) TO STDOUT' => $acme, 'BEGIN' => '', 'COPY invoice (note) TO STDOUT' => $acme, 'COMMIT' => '');
$mt->steps('bound: the first statement may be any', $bound, {}, "INSERT INTO invoice (tenant_id, note) VALUES ('$id{beta}', 'forged')" => '42501',
	"UPDATE invoice SET tenant_id = '$id{beta}'" => '42501', "DELETE FROM invoice WHERE tenant_id = '$id{beta}'" => '', $rows => $acme);
$mt->steps('bound: resets change nothing', $bound, {}, 'RESET ALL' => '', $rows => $acme, 'DISCARD ALL' => '', $rows => $acme,
	'SELECT multitenant.reset_tenant()' => '', $rows => $acme, 'BEGIN' => '', 'SELECT multitenant.reset_tenant()' => '', $rows => $acme,
	'SELECT multitenant.reset_tenant()' => '', $rows => $acme, 'SAVEPOINT s' => '', $rows => $acme, 'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('bound: first touched in a savepoint that is rolled back', $bound, {}, 'BEGIN' => '', 'SAVEPOINT s' => '', $rows => $acme,
	'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('bound: in chained and prepared transactions', $bound, {}, 'BEGIN' => '', $rows => $acme, 'COMMIT AND CHAIN' => '', $rows => $acme,
	'ROLLBACK AND CHAIN' => '', $rows => $acme, "PREPARE TRANSACTION 'mt_bound'" => '', $rows => $acme, "ROLLBACK PREPARED 'mt_bound'" => '');
$mt->steps('bound: in a block that commits', $bound, {}, <<'SQL' => '', $rows => $acme);
DO $$ BEGIN FOR n IN 1 .. 3 LOOP ASSERT (SELECT string_agg(note, ',') FROM invoice) = 'SECRET-ACME'; COMMIT; END LOOP; END $$
SQL
# An expression alone is neither planned again nor started: it takes nothing up, and says so.
$mt->steps('bound: expressions in a block that commits', $bound, {}, <<'SQL' => 'MT001', $rows => $acme);
DO $$ DECLARE slug text; BEGIN FOR n IN 1 .. 3 LOOP slug := multitenant.current_tenant_slug(); COMMIT; END LOOP; END $$
SQL
$mt->steps('bound: expressions in a block that catches errors', $bound, {}, <<'SQL' => '');
DO $$ DECLARE slug text; BEGIN FOR n IN 1 .. 3 LOOP
	BEGIN slug := multitenant.current_tenant_slug(); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;
	ASSERT slug = 'acme'; slug := NULL;
END LOOP; END $$
SQL
$mt->steps('bound: a token of its tenant changes nothing', $bound, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'BEGIN' => '',
	authenticate('acme') => $id{acme}, $rows => $acme, authenticate('acme') => $id{acme}, 'COMMIT' => '');
$mt->steps('bound: a token of another tenant is refused', $bound, {}, authenticate('beta') => 'MT005', $rows => $acme, 'BEGIN' => '',
	'SAVEPOINT s' => '', authenticate('beta') => 'MT005', 'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('bound: so is one of a principal alone', $bound, {}, authenticate(undef, sub => 'ann') => 'MT005', $rows => $acme);
$mt->steps('bound: naming a tenant is not for it', $bound, {}, "SELECT multitenant.use_tenant('beta')" => '42501',
	"SELECT multitenant.use_tenant('acme')" => '42501', "SELECT multitenant.system_context('x')" => '42501', $rows => $acme);
$mt->steps('bound: nor under another role', $bound, {}, 'SET ROLE regress_mt_bound_beta' => '', $rows => $acme, 'SET ROLE regress_mt_trusted' => '',
	"SELECT multitenant.use_tenant('beta')" => '42501', $rows => $acme, authenticate('beta') => 'MT005', $rows => $acme);
$mt->steps('bound: SET ROLE to a bound role lends its tenant to nobody', $app, {}, 'SET ROLE regress_mt_bound_beta' => '', $rows => 'MT001',
	authenticate('acme') => $id{acme}, $rows => 'MT001');
$mt->steps('bound: a startup token of its tenant changes nothing', $bound, startup('acme'), $rows => $acme, $source => 'tenant acme binding',
	'BEGIN' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('bound: a startup token of another tenant is refused', $bound, startup('beta'), $rows => 'MT005', 'SELECT 1' => 'MT005',
	"INSERT INTO invoice (note) VALUES ('late')" => 'MT005', 'COPY invoice TO STDOUT' => 'MT005', 'BEGIN' => '', $rows => 'MT005', 'ROLLBACK' => '');
$mt->steps('bound: so is one of a principal alone', $bound, startup(undef, sub => 'ann'), $rows => 'MT005', 'SELECT 1' => 'MT005');
$mt->steps('bound: and one with a wrong signature', $bound, startup('acme', key => 'wrong' x 10), $rows => 'MT002', 'SELECT 1' => 'MT002');

my $session = $mt->session($bound);
ask($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
is(ask($session, $rows), $acme, 'bound: an open transaction');
$mt->superuser("SELECT multitenant.suspend_tenant('acme', 'test')");
is(ask($session, $rows), 'MT006', 'bound: suspended');
ask($session, 'ROLLBACK');
is(ask($session, $rows), 'MT006', 'bound: also in the next transaction');
is(ask($session, "INSERT INTO invoice (note) VALUES ('late')"), 'MT006', 'bound: nothing is written');
$mt->steps('bound: a new connection is refused as well', $bound, {}, $rows => 'MT006', authenticate('beta') => 'MT005');
$mt->superuser("SELECT multitenant.resume_tenant('acme')");
is(ask($session, $rows), $acme, 'bound: resumed');
ask($session, 'BEGIN');
is(ask($session, $rows), $acme, 'bound: a transaction before the binding changes');
$mt->superuser("SELECT multitenant.grant_access('$bound', 'tenant', tenant => 'beta')");
isnt(ask($session, $rows), $beta, 'bound: the transaction does not move');
ask($session, 'ROLLBACK');
is(ask($session, $rows), $beta, 'bound: the next one is in the new tenant');
$mt->superuser("SELECT multitenant.revoke_access('$bound')");
is(ask($session, $rows), 'MT001', 'bound: revoked');
is(ask($session, "BEGIN; " . authenticate('acme') . "; $rows; COMMIT"), "$id{acme}\n$acme", 'bound: then it is an application');
$mt->superuser("SELECT multitenant.grant_access('$bound', 'tenant', tenant => 'acme', expires_at => clock_timestamp() + '$soon s')");
is(ask($session, $rows), $acme, 'bound: until a time');
$mt->superuser("SELECT pg_sleep_until(expires_at + '20 ms') FROM multitenant.access WHERE role_name = '$bound'");
is(ask($session, $rows), 'MT001', 'bound: after it');
is(ask($session, authenticate('acme')), '42501', 'bound: and not an application either');
$mt->superuser("SELECT multitenant.grant_access('$bound', 'tenant', tenant => 'acme'); SELECT multitenant.delete_tenant('acme')");
is(ask($session, $rows), 'MT006', 'bound: deleted');
$mt->superuser("SELECT multitenant.undelete_tenant('acme')");
is(ask($session, $rows), $acme, 'bound: brought back');
$session->quit;

# ---- a startup token ----

$mt->steps('token: every statement is in its tenant', $app, startup('acme'), $rows => $acme, $source => 'tenant acme connection',
	'BEGIN' => '', $rows => $acme, 'COMMIT' => '', 'BEGIN' => '', 'SELECT 1/0' => '22012', 'ROLLBACK' => '', $rows => $acme,
	'RESET ALL' => '', $rows => $acme, 'DISCARD ALL' => '', $rows => $acme, "PREPARE q AS $rows" => '',
	'SET plan_cache_mode = force_generic_plan' => '', 'EXECUTE q' => $acme, "INSERT INTO invoice (note) VALUES ('new') RETURNING tenant_id" => $id{acme},
	"DELETE FROM invoice WHERE note = 'new'" => '', 'BEGIN READ ONLY' => '', $rows => $acme, 'COMMIT' => '');
$mt->steps('token: another credential takes its place for one transaction', $app, startup('acme'), 'BEGIN' => '', authenticate('beta') => $id{beta},
	$rows => $beta, 'COMMIT' => '', $rows => $acme);
$mt->steps('token: not after the first was used', $app, startup('acme'), 'BEGIN' => '', $rows => $acme, authenticate('beta') => 'MT005',
	'ROLLBACK' => '', $rows => $acme);
$mt->steps('token: taken up before a savepoint, replaced inside, undone', $app, startup('acme'), 'BEGIN' => '', 'SELECT 1' => '1', 'SAVEPOINT s' => '',
	authenticate('beta') => $id{beta}, $rows => $beta, 'ROLLBACK TO s' => '', $rows => 'MT005', 'ROLLBACK' => '', $rows => $acme);
$mt->steps('token: COPY TO', $app, startup('acme'), $rows => $acme, 'BEGIN' => '', $rows => $acme, 'COPY invoice (note) TO STDOUT' => $acme, 'COMMIT' => '');
$mt->steps('token: reset_tenant lasts until something is asked', $app, startup('acme'), 'BEGIN' => '', $rows => $acme,
	'SELECT multitenant.reset_tenant()' => '', $rows => $acme, 'COMMIT' => '');
$mt->superuser("SELECT multitenant.add_member('beta', 'ann')");
$mt->steps('token: of a principal, who enters a tenant', $app, startup(undef, sub => 'ann'), $rows => 'MT001', $source => 'principal - connection',
	'BEGIN' => '', "SELECT multitenant.switch_tenant('acme')" => 'MT008', 'ROLLBACK' => '', 'BEGIN' => '',
	"SELECT multitenant.switch_tenant('beta')" => $id{beta}, $rows => $beta, 'COMMIT' => '', $rows => 'MT001');
$mt->steps('token: cannot be read or set later', $app, startup('acme'), 'SHOW multitenant.token' => '42501',
	"SELECT current_setting('multitenant.token')" => '42501', "SET multitenant.token = 'x'" => '55P02', 'RESET multitenant.token' => '55P02',
	"SELECT count(*) FROM pg_settings WHERE name = 'multitenant.token'" => '0', $rows => $acme);

my %refused = (
	MT002 => [ 'not a token', { pgoptions => '-c multitenant.token=nonsense' } ],
	MT003 => [ 'expired', startup('acme', iat => time - 100, exp => time - 40) ],
	MT004 => [ 'of a revoked key', startup('acme', kid => 'old') ],
	MT006 => [ 'of a suspended tenant', startup('gamma') ],
	MT008 => [ 'of no tenant', startup('nobody') ]);
my $file = $mt->node->basedir . '/hs.secret';
$mt->superuser("SELECT multitenant.add_signing_key('old', 'HS256', secret_file => '$file'); SELECT multitenant.revoke_signing_key('old')");
foreach my $sqlstate (sort keys %refused)
{
	my ($what, $options) = @{ $refused{$sqlstate} };
	$mt->steps("token: $what", $app, $options, $rows => $sqlstate, 'SELECT 1' => $sqlstate, 'BEGIN' => '', $rows => $sqlstate, 'ROLLBACK' => '',
		"INSERT INTO invoice (note) VALUES ('late')" => $sqlstate);
}
$mt->steps('token: with a wrong signature', $app, startup('acme', key => 'wrong' x 10), $rows => 'MT002', 'SELECT 1' => 'MT002');
$mt->steps('token: for a role that may present none', 'regress_mt_auditor', startup('acme'), $rows => '42501', 'SELECT 1' => '42501');
$mt->steps('token: for a superuser, whom row security does not filter', 'postgres', startup('acme'), $rows => 'MT007');
$mt->steps('token: expires while the connection stays', $app, startup('acme', exp => time + $soon + 1), $rows => $acme, 'BEGIN' => '', $rows => $acme,
	"SELECT pg_sleep_until(expires_at + '1020 ms') FROM multitenant.context" => '', $rows => 'MT003', 'ROLLBACK' => '', $rows => 'MT003');

# ---- revoking keys ----

$mt->superuser("SELECT multitenant.add_signing_key('k2', 'HS256', secret_file => '$file')");
$session = $mt->session($app, pgoptions => startup('acme', kid => 'k2')->{pgoptions});
my $other = $mt->session($app);
my $token = authenticate('beta', kid => 'k2');
is(ask($session, $rows), $acme, 'revoked key: before');
is(ask($other, $token), $id{beta}, 'revoked key: a token verified before');
$mt->superuser("BEGIN; SELECT multitenant.revoke_signing_key('k2'); ROLLBACK");
is(ask($session, $rows), $acme, 'revoked key: a rollback revokes nothing');
is(ask($other, $token), $id{beta}, 'revoked key: nor for the other');
$mt->superuser("SELECT multitenant.revoke_signing_key('k2', 'leaked')");
is(ask($session, $rows), 'MT004', 'revoked key: the connection is refused');
is(ask($other, $token), 'MT004', 'revoked key: so is the token, though it was verified before');
is(ask($other, authenticate('beta')), $id{beta}, 'revoked key: a token of another key is not');
$session->quit;
$other->quit;

# ---- a system context of the connection ----

my %system = (pgoptions => '-c multitenant.system_reason=nightly');
$mt->steps('reason: a system context without a call', 'regress_mt_migrator', \%system, $source => 'system - connection', $rows => 'MT001');
$mt->steps('reason: not for an application', $app, \%system, 'SELECT 1' => '42501', $rows => '42501');
is($mt->superuser("SELECT count(*) > 0 FROM multitenant.audit_event WHERE event = 'context.system' AND object = 'nightly' AND session_role = 'regress_mt_migrator'"),
	't', 'reason: recorded');

unlike($mt->log_since, qr/eyJ[\w-]{8}/, 'no token in the log');
$mt->intact('all is as it was');
done_testing();
