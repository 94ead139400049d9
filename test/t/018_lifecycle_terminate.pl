# Suspending, ending sessions, deleting and bringing back tenants, seen from the sessions that work for them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('lifecycle', conf => "max_prepared_transactions = 4");
my $app = 'regress_mt_app';
my $operator = 'regress_mt_operator';
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');
my $rows = 'SELECT note FROM invoice';
my ($acme, $beta) = ('SECRET-ACME', 'SECRET-BETA');
my $suspend = "SELECT multitenant.suspend_tenant('acme', 'unpaid')";
my $terminate = "SELECT multitenant.suspend_tenant('acme', 'unpaid', terminate => true)";
my $resume = "SELECT multitenant.resume_tenant('acme')";

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }
sub use_tenant { return "SELECT multitenant.use_tenant('$_[0]')" }

# A session in an open transaction of a tenant; returns it and its process id.
sub busy
{
	my ($role, $tenant, %options) = @_;
	my $session = $mt->session($role, %options);
	my $pid = ask($session, 'SELECT pg_backend_pid()');
	ask($session, 'BEGIN');
	is(ask($session, authenticate($tenant, aud => $options{database} || 'app')), $id{$tenant}, "$role works for $tenant");
	return ($session, $pid);
}

sub is_gone
{
	my ($pid) = @_;
	return $mt->node->poll_query_until('app', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
}

# ---- terminate ----

$mt->node->safe_psql('postgres', 'CREATE DATABASE other');
my $file = $mt->node->basedir . '/hs.secret';
$mt->node->safe_psql('other', "CREATE EXTENSION multitenant; SELECT multitenant.create_tenant('acme', id => '$id{acme}');
	SELECT multitenant.add_signing_key('hs', 'HS256', secret_file => '$file', max_lifetime => '1 hour')");
$mt->superuser("CREATE ROLE regress_mt_bound LOGIN; GRANT SELECT ON invoice TO regress_mt_bound;
	SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme')");

my ($idle, $idle_pid) = busy($app, 'acme');
my ($running, $running_pid) = busy($app, 'acme');
my ($named, $named_pid) = ($mt->session('regress_mt_trusted'));
$named_pid = ask($named, 'SELECT pg_backend_pid()');
ask($named, 'BEGIN; ' . use_tenant('acme') . '; SAVEPOINT s');
my ($of_beta) = busy($app, 'beta');
my ($elsewhere) = busy($app, 'acme', database => 'other');
my $bound = $mt->session('regress_mt_bound');
is(ask($bound, $rows), $acme, 'a bound session between two transactions');
my $former = $mt->session($app);
ask($former, 'BEGIN; ' . authenticate('acme') . "; $rows; COMMIT");
my $undone = $mt->session($app);
ask($undone, 'BEGIN; SAVEPOINT s; ' . authenticate('acme') . '; ROLLBACK TO s');

$running->query_until(qr/started/, "\\echo started\nSELECT pg_sleep(600);\n");
$mt->node->poll_query_until('app', "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $running_pid") or die 'not running';

$mt->refused($app, $terminate, '42501', 'terminate: not for an application');
$mt->refused('regress_mt_auditor', $terminate, '42501', 'terminate: nor for an auditor');
$mt->refused($operator, 'SELECT multitenant._end_sessions(NULL); SELECT 1/0', '22012', 'terminate: no tenant, nothing ended');
$mt->steps('terminate: a rollback ends nothing', $operator, {}, 'BEGIN' => '', $terminate => '', 'ROLLBACK' => '',
	"SELECT state FROM multitenant.tenants WHERE slug = 'acme'" => 'active');
is(ask($idle, $rows), $acme, 'terminate: the session is still there');
$mt->steps('terminate: cannot be prepared', $operator, {}, 'BEGIN' => '', $terminate => '', "PREPARE TRANSACTION 'mt_terminate'" => '0A000',
	"SELECT state FROM multitenant.tenants WHERE slug = 'acme'" => 'active');
is(ask($idle, $rows), $acme, 'terminate: and then does nothing');

$mt->allowed($operator, $terminate, undef, 'terminate');
ok(is_gone($idle_pid), 'terminate: ends the session that is idle in its transaction');
ok(is_gone($running_pid), 'terminate: ends the session that is running');
ok(is_gone($named_pid), 'terminate: ends the session that named the tenant');
is(ask($of_beta, $rows), $beta, 'terminate: the session of another tenant goes on');
is(ask($elsewhere, "SELECT multitenant.current_tenant_slug()"), 'acme', 'terminate: so does that of a tenant of the same id in another database');
is(ask($undone, 'SELECT 1'), '1', 'terminate: and one whose context was undone');
is(ask($bound, $rows), 'MT006', 'terminate: a session between two transactions stays, and is refused');
is(ask($former, authenticate('acme')), 'MT006', 'terminate: so is a token of a session that stays');
is(ask($former, 'BEGIN; ' . authenticate('beta') . "; $rows; COMMIT"), "$id{beta}\n$beta", 'terminate: the session can work for another tenant');
eval { $_->quit } foreach $idle, $running, $named;
$_->quit foreach $of_beta, $elsewhere, $bound, $former, $undone;
$mt->allowed($operator, $resume, undef, 'resumed');
$mt->allowed($app, $mt->begin('acme') . $rows, $acme, 'resumed: new sessions work', tenant => 'acme');

# Who suspends the tenant he works for is not ended himself.
$mt->steps('terminate: not the session that asks for it', 'postgres', {}, 'BEGIN' => '', use_tenant('acme') => $id{acme}, $terminate => '', 'COMMIT' => '',
	'SELECT 1' => '1', $resume => '');

# The list of one transaction is bounded.
$mt->superuser("SELECT multitenant.create_tenant('many' || n) FROM generate_series(1, 65) n");
$mt->steps('terminate: too many in one transaction', $operator, {},
	"SELECT count(multitenant.suspend_tenant('many' || n, 'test', true)) FROM generate_series(1, 65) n" => '54000',
	"SELECT count(*) FROM multitenant.tenants WHERE slug LIKE 'many%' AND state = 'active'" => '65',
	"SELECT count(multitenant.suspend_tenant('many' || n, 'test', true)) FROM generate_series(1, 64) n" => '64',
	"SELECT count(multitenant.resume_tenant('many' || n)) FROM generate_series(1, 64) n" => '64');

# ---- without terminate: the next statement ----

my $session = $mt->session($app);
ask($session, 'SET plan_cache_mode = force_generic_plan');
ask($session, "PREPARE q AS $rows");
sub open_transaction
{
	ask($session, 'ROLLBACK');
	ask($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
	ask($session, authenticate('acme'));
	is(ask($session, 'EXECUTE q'), $acme, "an open transaction: $_[0]");
	ask($session, 'DECLARE c CURSOR FOR SELECT note FROM invoice, generate_series(1, 100)');
	is(ask($session, 'FETCH c'), $acme, 'with an open cursor');
	return;
}

open_transaction('cached plan');
$mt->steps('a suspension rolled back', $operator, {}, 'BEGIN' => '', $suspend => '', "SELECT state FROM multitenant.tenants WHERE slug = 'acme'" => 'suspended',
	'ROLLBACK' => '');
is(ask($session, 'EXECUTE q'), $acme, 'does nothing');
is(ask($session, 'FETCH c'), $acme, 'nor to the cursor');
$mt->allowed($operator, $suspend, undef, 'suspended');
is(ask($session, 'EXECUTE q'), 'MT006', 'the cached plan is refused');
open_transaction('cursor') if $mt->allowed($operator, $resume, undef, 'resumed');
$mt->allowed($operator, $suspend, undef, 'suspended');
is(ask($session, 'FETCH c'), 'MT006', 'the FETCH is refused');
open_transaction('savepoint') if $mt->allowed($operator, $resume, undef, 'resumed');
ask($session, 'SAVEPOINT s');
$mt->allowed($operator, $suspend, undef, 'suspended');
is(ask($session, "INSERT INTO invoice (note) VALUES ('late')"), 'MT006', 'writing is refused');
ask($session, 'ROLLBACK TO s');
is(ask($session, $rows), 'MT006', 'and reading after ROLLBACK TO');
ask($session, 'ROLLBACK TO s');
$mt->allowed($operator, $resume, undef, 'resumed');
is(ask($session, $rows), $acme, 'the same transaction goes on when the tenant is resumed');
is(ask($session, 'FETCH c'), $acme, 'and its cursor');
ask($session, 'COMMIT');

# Two-phase commit: at COMMIT PREPARED, not before.
open_transaction('two-phase');
$mt->steps('a suspension that is prepared', $operator, {}, 'BEGIN' => '', $suspend => '', "PREPARE TRANSACTION 'mt_suspend'" => '');
is(ask($session, 'EXECUTE q'), $acme, 'does nothing yet');
$mt->superuser("COMMIT PREPARED 'mt_suspend'");
is(ask($session, 'EXECUTE q'), 'MT006', 'acts at COMMIT PREPARED');
$mt->allowed($operator, $resume, undef, 'resumed');

# Inside one running function: from its next statement on. The suspension happens in between, on another connection.
my $connection = 'host=' . $mt->node->host . ' port=' . $mt->node->port . ' dbname=app user=postgres';
$mt->superuser(<<"SQL");
CREATE EXTENSION dblink;
CREATE FUNCTION suspend_now() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS \$\$
BEGIN
	RETURN public.dblink_exec('$connection', 'DO \$a\$ BEGIN PERFORM multitenant.suspend_tenant(''acme'', ''test''); END \$a\$');
END \$\$;
CREATE FUNCTION work() RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	seen text;
	next text;
BEGIN
	SELECT note INTO seen FROM public.invoice;
	PERFORM public.suspend_now();
	SELECT note INTO next FROM public.invoice;
	RETURN seen || next;
END \$\$;
SQL
$mt->steps('inside a function: its next statement', $app, {}, 'BEGIN ISOLATION LEVEL REPEATABLE READ' => '', authenticate('acme') => $id{acme}, $rows => $acme,
	'SELECT work()' => 'MT006', 'ROLLBACK' => '');
is($mt->superuser("SELECT state FROM multitenant.tenants WHERE slug = 'acme'"), 'suspended', 'suspended meanwhile');
$mt->allowed($operator, $resume, undef, 'resumed');

# What a transaction has not committed counts for itself alone, and for nobody once it is rolled back.
$mt->steps('own changes, rolled back', 'postgres', {}, 'BEGIN' => '', $suspend => '', 'SAVEPOINT s' => '', use_tenant('acme') => 'MT006', 'ROLLBACK' => '',
	use_tenant('acme') => $id{acme}, 'BEGIN' => '', 'SAVEPOINT a' => '', $suspend => '', 'SAVEPOINT b' => '', use_tenant('acme') => 'MT006',
	'ROLLBACK TO a' => '', use_tenant('acme') => $id{acme}, 'ROLLBACK' => '', 'BEGIN' => '', "SELECT multitenant.create_tenant('brief') IS NULL" => 'f',
	"SELECT multitenant.use_tenant('brief') IS NULL" => 'f', 'ROLLBACK' => '', use_tenant('brief') => 'MT008');

# No reason is no suspension, and must not look like one.
$mt->steps('a suspension without a reason is refused', $operator, {}, "SELECT multitenant.suspend_tenant('acme', NULL)" => '22023',
	"SELECT multitenant.suspend_tenant('$id{acme}'::uuid, NULL)" => '22023', "SELECT multitenant.suspend_tenant('acme', ' ')" => '22023',
	"SELECT multitenant.suspend_tenant(NULL::uuid, 'unpaid')" => '22023', "SELECT multitenant.suspend_tenant(NULL::text, 'unpaid')" => '22023',
	"SELECT multitenant.suspend_tenant('acme', 'unpaid', NULL)" => '22023',
	"SELECT state FROM multitenant.tenants WHERE slug = 'acme'" => 'active');

# ---- delete and undelete ----

my $of_acme = "SELECT state || ' ' || (purge_after - state_changed_at)::text FROM multitenant.tenants WHERE slug = 'acme'";
open_transaction('delete');
$mt->steps('deleted, softly', 'regress_mt_provisioner', {}, "SELECT multitenant.delete_tenant('acme', 'contract ended', grace => '7 days')" => '',
	$of_acme => 'deleted 7 days', $suspend => '55000', $resume => '55000', "SELECT multitenant.delete_tenant('acme')" => '55000',
	"SELECT multitenant.create_tenant('acme')" => '23505');
is(ask($session, 'FETCH c'), 'MT006', 'deleted: the open cursor is refused');
$mt->refused($app, authenticate('acme'), 'MT006', 'deleted: a token is refused');
is($mt->superuser("SELECT count(*) FROM invoice WHERE tenant_id = '$id{acme}'"), '1', 'deleted: the rows stay');
$mt->refused($operator, "SELECT multitenant.undelete_tenant('acme')", '42501', 'undelete: not for an operator');
$mt->steps('brought back', 'regress_mt_provisioner', {}, "SELECT multitenant.undelete_tenant('acme')" => '',
	"SELECT state, purge_after IS NULL FROM multitenant.tenants WHERE slug = 'acme'" => 'active|t', "SELECT multitenant.undelete_tenant('acme')" => '55000');
$mt->allowed($app, $mt->begin('acme') . $rows, $acme, 'brought back: works', tenant => 'acme');
$mt->steps('a suspended tenant comes back suspended', 'regress_mt_provisioner', {}, "SELECT multitenant.delete_tenant('gamma')" => '',
	"SELECT multitenant.undelete_tenant('gamma')" => '', "SELECT state FROM multitenant.tenants WHERE slug = 'gamma'" => 'suspended');
$session->quit;

# ---- the cache of tenants is bounded ----

$mt->superuser("SELECT multitenant.create_tenant('t' || n) FROM generate_series(1, 3000) n");
my $size = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'multitenant registry'";
my $walk = sub { return "DO \$\$ BEGIN FOR n IN $_[0] LOOP PERFORM multitenant.use_tenant('t' || n);
	ASSERT multitenant.current_tenant_slug() = 't' || n; COMMIT; END LOOP; END \$\$" };
my @sizes = split(/\n/, ($mt->run('postgres', join(";\n", $walk->('1 .. 1100'), $size, $walk->('1101 .. 3000'), $size, $walk->('1 .. 3000'), $size)))[0]);
is(scalar @sizes, 3, 'three rounds through 3000 tenants, each as itself');
note("bytes: @sizes");
cmp_ok($sizes[0], '<', 600_000, 'the cache stays small');
cmp_ok($sizes[2], '<=', $sizes[0] * 1.5, 'and does not grow');

$mt->intact('all is as it was');
done_testing();
