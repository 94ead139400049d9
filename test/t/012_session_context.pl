# Roles with session_context: the context lasts until it is replaced, reset, revoked or expired, and no longer than until
# somebody tries to replace it: the next client of a pooled session must not go on as the one before.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our $TODO;

my $mt = MtTest->new('session_context', conf => 'multitenant.clock_leeway = 1');
my $keep = 'regress_mt_keep';
my $keep_name = 'regress_mt_keep_name';
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');
my $rows = 'SELECT note FROM invoice';
my ($acme, $beta) = ('SECRET-ACME', 'SECRET-BETA');
# Until it counts as expired, the leeway of the clocks included.
my $until_expiry = "SELECT pg_sleep_until(expires_at + '1020 ms') FROM multitenant.context";
my $source = "SELECT state || ' ' || coalesce(tenant_slug, '-') || ' ' || coalesce(source, '-') FROM multitenant.context";

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }
sub use_tenant { return "SELECT multitenant.use_tenant('$_[0]')" }

$mt->superuser(<<'SQL');
CREATE ROLE regress_mt_keep LOGIN;
CREATE ROLE regress_mt_keep_name LOGIN;
GRANT SELECT, INSERT ON invoice TO regress_mt_keep, regress_mt_keep_name;
SELECT multitenant.grant_access('regress_mt_keep', 'application', session_context => true);
SELECT multitenant.grant_access('regress_mt_keep_name', 'trusted_application', session_context => true);
GRANT regress_mt_app TO regress_mt_keep;
CREATE TABLE late_parent (id int PRIMARY KEY);
CREATE TABLE late_child (id int REFERENCES late_parent DEFERRABLE INITIALLY DEFERRED);
GRANT INSERT ON late_child TO regress_mt_keep;
CREATE FUNCTION enter(token text) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN RETURN multitenant.authenticate(token); END $$;
SQL

# ---- it lasts ----

$mt->steps('the context lasts', $keep, {}, $rows => 'MT001', authenticate('acme') => $id{acme}, $source => 'tenant acme session',
	$rows => $acme, 'BEGIN' => '', $rows => $acme, 'COMMIT' => '', 'BEGIN' => '', 'SELECT 1/0' => '22012', 'ROLLBACK' => '',
	$rows => $acme);
$mt->steps('by name, too', $keep_name, {}, use_tenant('beta') => $id{beta}, $rows => $beta, 'BEGIN' => '', $rows => $beta, 'COMMIT' => '',
	$rows => $beta);
$mt->steps('set in a function with a SET clause', $keep, {}, "SELECT enter('" . $mt->token('beta') . "')" => $id{beta}, $rows => $beta);
$mt->steps('set in a DO block that commits', $keep_name, {}, <<'SQL' => '', $rows => $acme);
DO $$ BEGIN PERFORM multitenant.use_tenant('beta'); COMMIT; PERFORM multitenant.use_tenant('acme'); COMMIT; END $$
SQL
$mt->steps('cached plans and cursors follow it', $keep, {}, 'SET plan_cache_mode = force_generic_plan' => '', "PREPARE q AS $rows" => '',
	authenticate('acme') => $id{acme}, 'EXECUTE q' => $acme, authenticate('beta') => $id{beta}, 'EXECUTE q' => $beta,
	'BEGIN' => '', "DECLARE c CURSOR FOR $rows" => '', 'FETCH c' => $beta, 'COMMIT' => '');
$mt->steps('it belongs to one session', $keep, {}, $source => 'none - -', $rows => 'MT001');
$mt->steps('a role that was not granted it has none', 'regress_mt_app', {}, authenticate('acme') => $id{acme}, $rows => 'MT001');

# ---- it is replaced ----

$mt->steps('in a later transaction', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, authenticate('beta') => $id{beta},
	$rows => $beta, 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme, 'COMMIT' => '', $rows => $acme);
$mt->steps('not after it was used in this transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', $rows => $acme,
	authenticate('beta') => 'MT005', 'ROLLBACK' => '', $rows => 'MT001');
$mt->steps('not twice in one transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', authenticate('beta') => $id{beta},
	authenticate('acme') => 'MT005', 'ROLLBACK' => '', $rows => 'MT001');
$mt->steps('a function with a SET clause replaces it', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', 'SELECT 1' => '1',
	"SELECT enter('" . $mt->token('beta') . "')" => $id{beta}, $rows => $beta, 'COMMIT' => '', $rows => $beta);
foreach my $refused ([ authenticate('gamma'), 'MT006' ], [ "SELECT multitenant.authenticate('eyJ.x.y')", 'MT002' ], [ authenticate('nobody'), 'MT008' ])
{
	$mt->steps("a refused credential ends it: $refused->[1]", $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, @$refused,
		$rows => 'MT001', 'BEGIN' => '', $rows => 'MT001', 'ROLLBACK' => '', authenticate('beta') => $id{beta}, $rows => $beta);
}
$mt->steps('a refused name ends it', $keep_name, {}, use_tenant('acme') => $id{acme}, $rows => $acme, use_tenant('nobody') => 'MT008', $rows => 'MT001',
	use_tenant('acme') => $id{acme}, $rows => $acme);
foreach my $attempt ([ 'of another tenant', authenticate('beta'), $id{beta} ], [ 'of the same tenant', authenticate('acme'), $id{acme} ],
	[ 'of a principal', authenticate(undef, sub => 'ann'), '' ], [ 'that is refused', authenticate('gamma'), 'MT006' ],
	[ 'by name, without the right', use_tenant('beta'), '42501' ])
{
	my ($what, $statement, $result) = @$attempt;
	$mt->steps("an attempt $what that is rolled back ends the older", $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'BEGIN' => '',
		$statement => $result, 'ROLLBACK' => '', $source => 'none - -', $rows => 'MT001', authenticate('beta') => $id{beta}, $rows => $beta);
	$mt->steps("an attempt $what in a savepoint that is rolled back ends it", $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme,
		'BEGIN' => '', 'SAVEPOINT s' => '', $statement => $result, 'ROLLBACK TO s' => '', 'COMMIT' => '', $source => 'none - -', $rows => 'MT001');
	$mt->steps("an attempt $what in a transaction that fails ends it", $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme,
		'BEGIN' => '', $statement => $result, 'SELECT 1/0' => $result =~ /^MT|^4/ ? '25P02' : '22012', 'COMMIT' => '', $rows => 'MT001');
	$mt->steps("an attempt $what in a block that catches errors ends it", $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme,
		"DO \$\$ BEGIN PERFORM * FROM (" . ($statement =~ s/^SELECT/SELECT 1 AS one,/r) . ") a; RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN NULL; END \$\$" => '',
		$rows => 'MT001', 'BEGIN' => '', $rows => 'MT001', 'ROLLBACK' => '');
}
$mt->steps('an attempt after it was used, in a savepoint, ends it with the transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	$rows => $acme, 'SAVEPOINT s' => '', authenticate('beta') => 'MT005', 'ROLLBACK TO s' => '', $rows => $acme, 'COMMIT' => '', $rows => 'MT001');
$mt->steps('an attempt whose COMMIT fails ends it', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', authenticate('beta') => $id{beta},
	'INSERT INTO late_child VALUES (1)' => '', 'COMMIT' => '23503', $source => 'none - -', $rows => 'MT001');
$mt->steps('a transaction that fails without an attempt does not', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', $rows => $acme,
	'SAVEPOINT s' => '', 'SELECT 1/0' => '22012', 'ROLLBACK TO s' => '', 'SELECT 1/0' => '22012', 'ROLLBACK' => '', $rows => $acme);
$mt->steps('an attempt with a null ends it', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'SELECT multitenant.authenticate(NULL)' => 'MT002',
	$rows => 'MT001');
$mt->steps('a rolled back first one leaves none', $keep, {}, 'BEGIN' => '', authenticate('beta') => $id{beta}, 'ROLLBACK' => '',
	$source => 'none - -', $rows => 'MT001');
$mt->steps('undone by ROLLBACK TO: neither tenant for the rest of the transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	'SAVEPOINT s' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'ROLLBACK TO s' => '', $rows => 'MT001', 'ROLLBACK' => '',
	$rows => 'MT001');
$mt->steps('the same, with the older one taken up before the savepoint', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	'SELECT 1' => '1', 'SAVEPOINT s' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'ROLLBACK TO s' => '', $rows => 'MT005',
	'ROLLBACK' => '', $rows => 'MT001');

# ---- it ends ----

$mt->steps('with RESET ALL', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'RESET ALL' => '', $source => 'none - -', $rows => 'MT001');
$mt->steps('with DISCARD ALL', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'DISCARD ALL' => '', $source => 'none - -', $rows => 'MT001');
$mt->steps('with reset_tenant', $keep, {}, authenticate('acme') => $id{acme}, 'SELECT multitenant.reset_tenant()' => '', $source => 'none - -',
	$rows => 'MT001', authenticate('beta') => $id{beta}, $rows => $beta);
$mt->steps('with reset_tenant in a transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	'SELECT multitenant.reset_tenant()' => '', $rows => 'MT001', 'ROLLBACK' => '', $rows => 'MT001', authenticate('acme') => $id{acme},
	'BEGIN' => '', 'SELECT multitenant.reset_tenant()' => '', 'COMMIT' => '', $rows => 'MT001');
$mt->steps('RESET ALL in a transaction: from its end on', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', $rows => $acme,
	'RESET ALL' => '', $rows => $acme, 'ROLLBACK' => '', $rows => $acme, 'BEGIN' => '', $rows => $acme, 'RESET ALL' => '',
	authenticate('beta') => 'MT005', 'ROLLBACK' => '', $rows => 'MT001', authenticate('acme') => $id{acme},
	'BEGIN' => '', 'RESET ALL' => '', 'COMMIT' => '', $rows => 'MT001');
$mt->steps('not with RESET of its name: that is for nobody', $keep, {}, authenticate('acme') => $id{acme},
	'RESET multitenant.session_context' => '42501', "SET multitenant.session_context = ''" => '42501', $rows => $acme);
$mt->steps('under a role that has not been granted it', $keep, {}, authenticate('acme') => $id{acme}, 'SET ROLE regress_mt_app' => '',
	$rows => 'MT001', 'RESET ROLE' => '', $rows => $acme);
$mt->steps('with its token', $keep, {}, authenticate('acme', exp => time + 2) => $id{acme}, $rows => $acme,
	$until_expiry => '', $rows => 'MT003', 'BEGIN' => '', $rows => 'MT003', 'ROLLBACK' => '',
	authenticate('acme') => $id{acme}, $rows => $acme);
$mt->steps('not within a message that goes on', $keep, {}, authenticate('acme', exp => time + 2) => $id{acme},
	"DO 'BEGIN PERFORM note FROM invoice; PERFORM pg_sleep_until(expires_at + ''1020 ms'') FROM multitenant.context; PERFORM note FROM invoice; END'" => '', $rows => 'MT003');
$mt->steps('in one message with many transactions, too', $keep, {}, authenticate('acme', exp => time + 2) => $id{acme},
	"DO 'BEGIN PERFORM pg_sleep_until(expires_at + ''1020 ms'') FROM multitenant.context; COMMIT; PERFORM note FROM invoice; END'" => 'MT003');
$mt->steps('a later token of the same tenant goes on, in the transaction and after it', $keep, {}, authenticate('acme', exp => time + 2) => $id{acme},
	$until_expiry => '', 'BEGIN' => '', authenticate('acme') => $id{acme},
	$rows => $acme, 'COMMIT' => '', $rows => $acme);

my $session = $mt->session($keep);
is(ask($session, authenticate('acme')), $id{acme}, 'a session that stays');
$mt->superuser("SELECT multitenant.suspend_tenant('acme', 'test')");
is(ask($session, $rows), 'MT006', 'a suspension ends it');
is(ask($session, authenticate('beta')), $id{beta}, 'and another tenant can take its place');
foreach my $change ("SELECT multitenant.resume_tenant('acme')", "SELECT multitenant.create_tenant('new')", "SELECT multitenant.add_member('beta', 'ann')",
	"SELECT multitenant.grant_access('regress_mt_app', 'application')", 'CREATE TABLE other (i int)', 'ANALYZE invoice', 'CREATE SCHEMA other CREATE TABLE other (i int)',
	# more invalidations than are kept for a session that does nothing: all its caches are emptied
	q{DO $$ BEGIN FOR i IN 1 .. 500 LOOP EXECUTE 'CREATE TABLE other.t' || i || ' (i int PRIMARY KEY)'; END LOOP; END $$})
{
	is(ask($session, authenticate('beta')), $id{beta}, 'a context that what does not concern it does not end');
	$mt->superuser($change);
	is(ask($session, $rows), $beta, $change);
}

my $file = $mt->{secret_file};
my %changes = (
	'a new key' => "SELECT multitenant.add_signing_key('k2', 'HS256', secret_file => '$file')",
	'a revoked key' => "SELECT multitenant.revoke_signing_key('k2')");
foreach my $change (sort keys %changes)
{
	is(ask($session, authenticate('beta')), $id{beta}, "before $change");
	is(ask($session, $rows), $beta, 'it lasts');
	$mt->superuser("BEGIN; $changes{$change}; ROLLBACK");
	is(ask($session, $rows), $beta, "$change, rolled back: it lasts");
	ask($session, 'BEGIN');
	is(ask($session, $rows), $beta, 'an open transaction');
	$mt->superuser($changes{$change});
	is(ask($session, $rows), $beta, "$change: the open transaction goes on");
	ask($session, 'COMMIT');
	is(ask($session, $rows), 'MT001', "$change ends it");
}
ask($session, authenticate('beta'));
ask($session, 'BEGIN');
is(ask($session, $rows), $beta, 'in a transaction');
$mt->superuser("SELECT multitenant.revoke_access('$keep')");
ask($session, 'COMMIT');
is(ask($session, $rows), 'MT001', 'revoke_access ends it');
is(ask($session, authenticate('acme')), $id{acme}, 'the role is an application');
is(ask($session, $rows), 'MT001', 'and keeps no context');
$mt->superuser("SELECT multitenant.grant_access('$keep', 'application', session_context => false)");
is(ask($session, $rows), 'MT001', 'granted without session_context: none');
$session->quit;

$session = $mt->session($keep_name);
$mt->superuser("SELECT multitenant.grant_access('$keep_name', 'trusted_application', session_context => true, expires_at => clock_timestamp() + '2 s')");
is(ask($session, use_tenant('acme')), $id{acme}, 'a profile that runs out');
is(ask($session, $rows), $acme, 'before');
$mt->superuser("SELECT pg_sleep_until(expires_at + '20 ms') FROM multitenant.access WHERE role_name = '$keep_name'");
is(ask($session, $rows), 'MT001', 'after: no context');
is(ask($session, use_tenant('acme')), '42501', 'after: no right to set one');
$session->quit;

$mt->intact('all is as it was');
done_testing();
