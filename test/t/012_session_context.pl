# Roles with session_context: the context lasts until it is replaced, reset, revoked or expired.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('session_context');
my $keep = 'regress_mt_keep';
my $keep_name = 'regress_mt_keep_name';
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');
my $rows = 'SELECT note FROM invoice';
my ($acme, $beta) = ('SECRET-ACME', 'SECRET-BETA');
my $source = "SELECT state || ' ' || coalesce(tenant_slug, '-') || ' ' || coalesce(source, '-') FROM multitenant.context";

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }
sub use_tenant { return "SELECT multitenant.use_tenant('$_[0]')" }

# Statements in one session, each with what it must print, or the SQLSTATE with which it must be refused.
sub steps
{
	my ($name, $role, $options, @steps) = @_;
	my (@statements, @wanted, %seen);
	while (my ($statement, $wanted) = splice(@steps, 0, 2))
	{
		push @statements, "$statement;\n\\echo '#' :SQLSTATE\n";
		push @wanted, $wanted;
	}
	my ($out, $err) = $mt->run($role, join('', @statements), %$options);
	my @got = map { /^(.*?)\n?# (\w+)$/s ? ($2 eq '00000' ? $1 : $2) : $_ } "$out\n" =~ /\G(.*?# \w+)\n/gs;
	my $ok = is_deeply(\@got, \@wanted, $name);
	diag(join('', map { "$statements[$_] wanted: $wanted[$_], got: " . ($got[$_] // 'nothing') . "\n" }
		grep { ($got[$_] // '') ne $wanted[$_] } 0 .. $#wanted), $err) unless $ok;
	return $ok;
}

# A session that stays: ask() returns what a statement printed, or the SQLSTATE with which it was refused.
sub session
{
	my ($role, %options) = @_;
	local $ENV{PGOPTIONS} = $options{pgoptions} if defined $options{pgoptions};
	return $mt->node->background_psql($options{database} || 'app', on_error_stop => 0,
		extra_params => [ '-U', $role, '-v', 'VERBOSITY=sqlstate' ]);
}

sub ask
{
	my ($session, $statement) = @_;
	my $out = $session->query($statement);
	my ($state) = $session->{stderr} =~ /(?:ERROR|FATAL): +(\w{5})/;
	$session->{stderr} = '';
	return $state // $out;
}

$mt->superuser(<<'SQL');
CREATE ROLE regress_mt_keep LOGIN;
CREATE ROLE regress_mt_keep_name LOGIN;
GRANT SELECT, INSERT ON invoice TO regress_mt_keep, regress_mt_keep_name;
SELECT multitenant.grant_access('regress_mt_keep', 'application', session_context => true);
SELECT multitenant.grant_access('regress_mt_keep_name', 'trusted_application', session_context => true);
GRANT regress_mt_app TO regress_mt_keep;
CREATE FUNCTION enter(token text) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN RETURN multitenant.authenticate(token); END $$;
SQL

# ---- it lasts ----

steps('the context lasts', $keep, {}, $rows => 'MT001', authenticate('acme') => $id{acme}, $source => 'tenant acme session',
	$rows => $acme, 'BEGIN' => '', $rows => $acme, 'COMMIT' => '', 'BEGIN' => '', 'SELECT 1/0' => '22012', 'ROLLBACK' => '',
	$rows => $acme);
steps('by name, too', $keep_name, {}, use_tenant('beta') => $id{beta}, $rows => $beta, 'BEGIN' => '', $rows => $beta, 'COMMIT' => '',
	$rows => $beta);
steps('set in a function with a SET clause', $keep, {}, "SELECT enter('" . $mt->token('beta') . "')" => $id{beta}, $rows => $beta);
steps('set in a DO block that commits', $keep_name, {}, <<'SQL' => '', $rows => $acme);
DO $$ BEGIN PERFORM multitenant.use_tenant('beta'); COMMIT; PERFORM multitenant.use_tenant('acme'); COMMIT; END $$
SQL
steps('cached plans and cursors follow it', $keep, {}, 'SET plan_cache_mode = force_generic_plan' => '', "PREPARE q AS $rows" => '',
	authenticate('acme') => $id{acme}, 'EXECUTE q' => $acme, authenticate('beta') => $id{beta}, 'EXECUTE q' => $beta,
	'BEGIN' => '', "DECLARE c CURSOR FOR $rows" => '', 'FETCH c' => $beta, 'COMMIT' => '');
steps('it belongs to one session', $keep, {}, $source => 'none - -', $rows => 'MT001');
steps('a role that was not granted it has none', 'regress_mt_app', {}, authenticate('acme') => $id{acme}, $rows => 'MT001');

# ---- it is replaced ----

steps('in a later transaction', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, authenticate('beta') => $id{beta},
	$rows => $beta, 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme, 'COMMIT' => '', $rows => $acme);
steps('not after it was used in this transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', $rows => $acme,
	authenticate('beta') => 'MT005', 'ROLLBACK' => '', $rows => 'MT001');
steps('not twice in one transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', authenticate('beta') => $id{beta},
	authenticate('acme') => 'MT005', 'ROLLBACK' => '', $rows => $acme);
steps('a function with a SET clause replaces it', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', 'SELECT 1' => '1',
	"SELECT enter('" . $mt->token('beta') . "')" => $id{beta}, $rows => $beta, 'COMMIT' => '', $rows => $beta);
# In a pool, the next client must not go on as the one before, because its own credential was refused.
foreach my $refused ([ authenticate('gamma'), 'MT006' ], [ "SELECT multitenant.authenticate('eyJ.x.y')", 'MT002' ], [ authenticate('nobody'), 'MT008' ])
{
	steps("a refused credential ends it: $refused->[1]", $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, @$refused,
		$rows => 'MT001', 'BEGIN' => '', $rows => 'MT001', 'ROLLBACK' => '', authenticate('beta') => $id{beta}, $rows => $beta);
}
steps('a refused name ends it', $keep_name, {}, use_tenant('acme') => $id{acme}, $rows => $acme, use_tenant('nobody') => 'MT008', $rows => 'MT001',
	use_tenant('acme') => $id{acme}, $rows => $acme);
steps('a rolled back one leaves the older', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', authenticate('beta') => $id{beta},
	$rows => $beta, 'ROLLBACK' => '', $source => 'tenant acme session', $rows => $acme);
steps('a rolled back first one leaves none', $keep, {}, 'BEGIN' => '', authenticate('beta') => $id{beta}, 'ROLLBACK' => '',
	$source => 'none - -', $rows => 'MT001');
steps('undone by ROLLBACK TO: neither tenant for the rest of the transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	'SAVEPOINT s' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'ROLLBACK TO s' => '', $rows => 'MT001', 'ROLLBACK' => '',
	$rows => $acme);
steps('the same, with the older one taken up before the savepoint', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	'SELECT 1' => '1', 'SAVEPOINT s' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'ROLLBACK TO s' => '', $rows => 'MT005',
	'ROLLBACK' => '', $rows => $acme);

# ---- it ends ----

steps('with RESET ALL', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'RESET ALL' => '', $source => 'none - -', $rows => 'MT001');
steps('with DISCARD ALL', $keep, {}, authenticate('acme') => $id{acme}, $rows => $acme, 'DISCARD ALL' => '', $source => 'none - -', $rows => 'MT001');
steps('with reset_tenant', $keep, {}, authenticate('acme') => $id{acme}, 'SELECT multitenant.reset_tenant()' => '', $source => 'none - -',
	$rows => 'MT001', authenticate('beta') => $id{beta}, $rows => $beta);
steps('with reset_tenant in a transaction', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '',
	'SELECT multitenant.reset_tenant()' => '', $rows => 'MT001', 'ROLLBACK' => '', $rows => $acme,
	'BEGIN' => '', 'SELECT multitenant.reset_tenant()' => '', 'COMMIT' => '', $rows => 'MT001');
steps('RESET ALL in a transaction: from its end on', $keep, {}, authenticate('acme') => $id{acme}, 'BEGIN' => '', $rows => $acme,
	'RESET ALL' => '', $rows => $acme, authenticate('beta') => 'MT005', 'ROLLBACK' => '', $rows => $acme,
	'BEGIN' => '', 'RESET ALL' => '', 'COMMIT' => '', $rows => 'MT001');
steps('not with RESET of its name: that is for nobody', $keep, {}, authenticate('acme') => $id{acme},
	'RESET multitenant.session_context' => '42501', "SET multitenant.session_context = ''" => '42501', $rows => $acme);
steps('under a role that has not been granted it', $keep, {}, authenticate('acme') => $id{acme}, 'SET ROLE regress_mt_app' => '',
	$rows => 'MT001', 'RESET ROLE' => '', $rows => $acme);
steps('with its token', $keep, {}, authenticate('acme', exp => time + 2) => $id{acme}, $rows => $acme,
	"SELECT pg_sleep_until(expires_at + '20 ms') FROM multitenant.context" => '', $rows => 'MT003', 'BEGIN' => '', $rows => 'MT003', 'ROLLBACK' => '',
	authenticate('acme') => $id{acme}, $rows => $acme);
steps('a later token of the same tenant goes on, in the transaction and after it', $keep, {}, authenticate('acme', exp => time + 2) => $id{acme},
	"SELECT pg_sleep_until(expires_at + '20 ms') FROM multitenant.context" => '', 'BEGIN' => '', authenticate('acme') => $id{acme},
	$rows => $acme, 'COMMIT' => '', $rows => $acme);

my $session = session($keep);
is(ask($session, authenticate('acme')), $id{acme}, 'a session that stays');
$mt->superuser("SELECT multitenant.suspend_tenant('acme', 'test')");
is(ask($session, $rows), 'MT006', 'a suspension ends it');
is(ask($session, authenticate('beta')), $id{beta}, 'and another tenant can take its place');
$mt->superuser("SELECT multitenant.resume_tenant('acme')");
is(ask($session, $rows), $beta, 'the other stays after the first is resumed');
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

$session = session($keep_name);
$mt->superuser("SELECT multitenant.grant_access('$keep_name', 'trusted_application', session_context => true, expires_at => clock_timestamp() + '2 s')");
is(ask($session, use_tenant('acme')), $id{acme}, 'a profile that runs out');
is(ask($session, $rows), $acme, 'before');
$mt->superuser("SELECT pg_sleep_until(expires_at + '20 ms') FROM multitenant.access WHERE role_name = '$keep_name'");
is(ask($session, $rows), 'MT001', 'after: no context');
is(ask($session, use_tenant('acme')), '42501', 'after: no right to set one');
$session->quit;

$mt->intact('all is as it was');
done_testing();
