# What works, what is refused and what status() says when the library is loaded by the server, by the session or late;
# databases without the extension; the extension made, dropped and made again under running sessions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our $mt;
my $app = 'regress_mt_app';
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');
my $rows = 'SELECT note FROM invoice';
my ($acme, $beta) = ('SECRET-ACME', 'SECRET-BETA');

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }
sub use_tenant { return "SELECT multitenant.use_tenant('$_[0]')" }

sub status
{
	my ($role, $item) = @_;
	return ($mt->run($role, "SELECT value || ' ' || ok || ' ' || coalesce(hint, '-') FROM multitenant.status() WHERE item = '$item'"))[0];
}

# ---- three tiers ----

my %loaded = (
	shared => 'shared true -',
	session => 'session false Put multitenant into shared_preload_libraries to be able to end the sessions of a tenant.',
	none => 'late false Put multitenant into shared_preload_libraries; until then the guard misses the first statements of a session.');

foreach my $tier (qw(shared session none))
{
	$mt = MtTest->new("tier_$tier", preload => $tier);
	my $preloaded = $tier ne 'none';
	$mt->superuser(<<'SQL');
CREATE ROLE regress_mt_bound LOGIN;
GRANT SELECT ON invoice TO regress_mt_bound;
SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme');
SET ROLE regress_mt_owner;
CREATE TABLE broken (LIKE invoice);
SELECT multitenant.protect('broken');
GRANT SELECT ON broken TO regress_mt_app;
CREATE TABLE empty (tenant_id uuid);
SELECT multitenant.protect('empty');
GRANT SELECT ON empty TO regress_mt_app;
RESET ROLE;
INSERT INTO broken SELECT * FROM invoice;
SQL
	$mt->past_guard('regress_mt_owner', 'ALTER TABLE broken DISABLE ROW LEVEL SECURITY');
	is(status($app, 'loaded'), $loaded{$tier}, "$tier: status() says how the library was loaded");
	is(status($app, 'guard'), 'on true -', "$tier: the guard is on");
	my ($version) = slurp_file("$FindBin::Bin/../../multitenant.control") =~ /^default_version = '(.*)'/m;
	is(status($app, 'library'), "$version true -", "$tier: library and SQL are of version $version");

	$mt->steps("$tier: contexts and rows", $app, {}, $rows => 'MT001', 'BEGIN' => '', authenticate('acme') => $id{acme}, $rows => $acme,
		"UPDATE invoice SET tenant_id = '$id{beta}'" => '42501', 'ROLLBACK' => '', $rows => 'MT001');
	$mt->steps("$tier: the first statement brings a context", $app, {}, 'BEGIN' => '', authenticate('beta') => $id{beta}, $rows => $beta, 'COMMIT' => '');
	$mt->refused($app, $rows, 'MT001', "$tier: the first statement has none");
	$mt->refused($app, 'SELECT count(*) FROM empty', 'MT001', "$tier: also on an empty table");
	$mt->refused($app, "COPY invoice TO STDOUT", 'MT001', "$tier: COPY");
	$mt->steps("$tier: a table whose row security is off", $app, {}, 'BEGIN' => '', authenticate('acme') => $id{acme}, 'SELECT note FROM broken' => 'MT007', 'ROLLBACK' => '');
	$mt->refused($app, 'SELECT note FROM broken', 'MT007', "$tier: as the first statement") if $preloaded;

	# Late, the first statement of a bound session comes before the guard: refused, and never answered for nobody.
	$mt->steps("$tier: a bound role", 'regress_mt_bound', {}, $rows => $preloaded ? $acme : 'MT001', $rows => $acme, authenticate('beta') => 'MT005', $rows => $acme);
	$mt->steps("$tier: a startup token", $app, { pgoptions => '-c multitenant.token=' . $mt->token('beta') },
		$rows => $preloaded ? $beta : 'MT001', $rows => $beta);

	# Permissions of a table are asked by the guard, which comes, late, with the first call of the library. A statement that brings both the
	# library and a context finds none: policies are asked while it is planned.
	$mt->superuser(<<"SQL");
INSERT INTO multitenant.permission (name, description) SELECT 'vm:' || a, '' FROM unnest('{read,create,update,delete}'::text[]) a;
INSERT INTO multitenant.principal (id) VALUES ('nora');
INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$id{acme}', 'nora');
SET ROLE regress_mt_owner;
CREATE TABLE vm AS SELECT '$id{acme}'::uuid AS tenant_id, 1 AS id, 'x' AS site UNION ALL SELECT '$id{beta}', 2, 'x';
CREATE TABLE sited AS TABLE vm;
SELECT multitenant.protect('vm', permissions => 'vm');
SELECT multitenant.protect('sited', permissions => 'vm', scope_column => 'site');
GRANT SELECT, INSERT ON vm, sited TO regress_mt_app;
SQL
	my $nora = "SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'nora') . "')";
	foreach my $table (qw(vm sited))
	{
		my $at_once = "SELECT 'rows ' || string_agg(v.id::text, ',') FROM multitenant.authenticate('" . $mt->token('acme', sub => 'nora')
			. "') a(id), LATERAL (SELECT id FROM $table WHERE a.id IS NOT NULL OFFSET 0) v";
		$mt->steps("$tier: without permission on $table", $app, {}, 'BEGIN' => '', $nora => $id{acme}, "SELECT id FROM $table" => '42501', 'ROLLBACK' => '');
		$mt->steps("$tier: without permission on $table, with the first statement", $app, {}, $at_once => 'MT001',
			'BEGIN' => '', $nora => $id{acme}, "SELECT id FROM $table" => '42501', 'ROLLBACK' => '');
	}
	is($mt->superuser("SELECT count(*) FROM multitenant.lint() WHERE name = 'table_permission_unasked'"), $preloaded ? 0 : 2, "$tier: lint() says so");

	# Before the library is there, anybody can give its settings values; they must not count once it is.
	my ($out, $err) = $mt->run($app, "SET multitenant.context = '1 2 0 3 1 9223372036854775807 x0000000000000000000000000000000a x61636d65 x x';
		SET multitenant.guard_enabled = off; SET multitenant.audience = 'elsewhere'; SET multitenant.superuser_access = 'allow';
		SELECT state FROM multitenant.context; SELECT 'guard ' || value FROM multitenant.status() WHERE item = 'guard';
		SELECT 'access ' || current_setting('multitenant.superuser_access');
		$rows; BEGIN; " . authenticate('acme') . "; $rows; SELECT note FROM broken; ROLLBACK;");
	is($out, "none\nguard on\naccess audit\n$id{acme}\n$acme", "$tier: settings made up by the client do not count");
	like($err, qr/MT001.*MT007/s, "$tier: no context and no lack of guard comes from them");

	my $session = $mt->session($app);
	ask($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
	is(ask($session, authenticate('acme')), $id{acme}, "$tier: an open transaction");
	is(ask($session, $rows), $acme, "$tier: sees its row");
	$mt->steps("$tier: suspend_tenant with terminate", 'regress_mt_operator', {},
		"SELECT multitenant.suspend_tenant('beta', 'test', terminate => true)" => $tier eq 'shared' ? '' : '55000',
		"SELECT state FROM multitenant.tenants WHERE slug = 'beta'" => $tier eq 'shared' ? 'suspended' : 'active');
	is(ask($session, $rows), $acme, "$tier: the transaction of another tenant goes on");
	$mt->steps("$tier: suspend_tenant without", 'regress_mt_operator', {}, "SELECT multitenant.suspend_tenant('acme', 'test')" => '');
	is(ask($session, $rows), 'MT006', "$tier: stops the open transaction");

	# Without shared memory it is the invalidations alone that tell a session.
	my $file = $mt->node->basedir . '/hs.secret';
	$mt->superuser("SELECT multitenant.add_signing_key('k2', 'HS256', secret_file => '$file')");
	my $known = $mt->session($app);
	my $named = $mt->session('regress_mt_trusted');
	my $token = authenticate('acme', kid => 'k2');
	$mt->superuser("SELECT multitenant.resume_tenant('acme')");
	is(ask($known, $token), $id{acme}, "$tier: a token verified");
	is(ask($named, use_tenant('acme')), $id{acme}, "$tier: a tenant named");
	$mt->superuser("SELECT multitenant.revoke_signing_key('k2')");
	is(ask($known, $token), 'MT004', "$tier: refused after its key was revoked");
	$mt->superuser("SELECT multitenant.revoke_access('regress_mt_trusted')");
	is(ask($named, use_tenant('acme')), '42501', "$tier: refused after the profile was revoked");
	$_->quit foreach $session, $known, $named;
	$mt->node->stop;
}

# ---- the guard switched off, and versions that differ ----

$mt = MtTest->new('switch');
$mt->superuser(<<'SQL');
SET ROLE regress_mt_owner;
CREATE TABLE broken (LIKE invoice);
SELECT multitenant.protect('broken');
GRANT SELECT ON broken TO regress_mt_app;
SQL
$mt->past_guard('regress_mt_owner', 'ALTER TABLE broken DISABLE ROW LEVEL SECURITY');
$mt->refused($app, 'SELECT note FROM broken', 'MT007', 'guard on: a table without row security is refused');
$mt->refused($app, 'SET multitenant.guard_enabled = off', '42501', 'guard: not for an application to switch off');
like(($mt->run($app, 'SELECT 1', pgoptions => '-c multitenant.guard_enabled=off'))[1], qr/FATAL:  permission denied to set parameter/, 'guard: nor at startup');
$mt->refused('regress_mt_owner', 'SET multitenant.guard_enabled = off', '42501', 'guard: nor for an owner');
my $session = $mt->session($app);
is(ask($session, 'SELECT note FROM broken'), 'MT007', 'guard on: in a session that stays');
$mt->log_since;
$mt->node->append_conf('postgresql.conf', 'multitenant.guard_enabled = off');
$mt->node->reload;
$mt->node->poll_query_until('app', "SELECT current_setting('multitenant.guard_enabled') = 'off'") or die 'no reload';
like($mt->log_since, qr/multitenant\.guard_enabled is now off/, 'guard off: logged');
is(status($app, 'guard'), 'off false Set multitenant.guard_enabled to on.', 'guard off: status() says so');
ok($session->query('SELECT note FROM broken') eq '' && $session->{stderr} eq '', 'guard off: only row security is left');
$mt->refused($app, $rows, 'MT001', 'guard off: row security still needs a context');
$mt->allowed($app, $mt->begin('acme') . $rows, $acme, 'guard off: row security still filters', tenant => 'acme');
$mt->refused($app, $mt->begin('acme') . "UPDATE invoice SET tenant_id = '$id{beta}'", '42501', 'guard off: row security still checks');
$mt->node->append_conf('postgresql.conf', 'multitenant.guard_enabled = on');
$mt->node->reload;
$mt->node->poll_query_until('app', "SELECT current_setting('multitenant.guard_enabled') = 'on'") or die 'no reload';
is(ask($session, 'SELECT note FROM broken'), 'MT007', 'guard on again: in the same session');
$session->quit;

$mt->superuser("UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'multitenant'");
like(status($app, 'library'), qr/ false The SQL side is version 0\.0\.1: run ALTER EXTENSION multitenant UPDATE\./, 'status() tells versions apart');
$mt->allowed($app, $mt->begin('acme') . $rows, $acme, 'the library serves an older SQL side', tenant => 'acme');

# ---- databases without the extension ----

my $node = $mt->node;
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->safe_psql('plain', "CREATE TABLE t (tenant_id uuid, n int); INSERT INTO t VALUES ('$id{acme}', 1), ('$id{beta}', 2);
	ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (n = 1); GRANT ALL ON t TO $app");
my %plain = (database => 'plain');
$mt->steps('plain: nothing is asked for', $app, \%plain, 'SELECT n FROM t' => '1', 'INSERT INTO t (n) VALUES (1)' => '', 'COPY t (n) TO STDOUT' => "1\n1",
	'SELECT count(*) > 0 FROM pg_stat_activity' => 't', 'BEGIN' => '', 'SELECT pg_cancel_backend(0)' => 'f', 'ROLLBACK' => '',
	'SELECT multitenant.current_tenant()' => '3F000');
$mt->steps('plain: nor with a startup token', $app, { %plain, pgoptions => '-c multitenant.token=' . $mt->token('acme') }, 'SELECT n FROM t' => "1\n1");
$mt->steps('plain: the owner may drop what he likes', 'postgres', \%plain, 'SELECT n FROM t ORDER BY n' => "1\n1\n2", 'DROP TABLE t' => '', 'CREATE SCHEMA multitenant' => '',
	'DROP SCHEMA multitenant' => '');

# Labels outlive the extension and can be taken away without it; a statement that names no provider does not mean ours.
$mt->steps('plain: labels', 'postgres', \%plain, 'CREATE TABLE labelled (n int)' => '', "SECURITY LABEL ON TABLE labelled IS 'tenant'" => '22023',
	"SECURITY LABEL FOR multitenant ON TABLE labelled IS 'tenant'" => '', 'SECURITY LABEL FOR multitenant ON TABLE labelled IS NULL' => '');
$mt->steps('elsewhere it does', 'postgres', {}, 'CREATE TABLE labelled (n int)' => '', "SECURITY LABEL ON TABLE labelled IS 'shared'" => '',
	'SELECT provider FROM pg_seclabels WHERE objname = \'labelled\'' => 'multitenant');

# ---- the extension comes, goes and comes back under running sessions ----

$node->safe_psql('postgres', 'CREATE DATABASE late');
$node->safe_psql('late', 'CREATE TABLE t (tenant_id uuid NOT NULL, n int)');
my $world = <<"SQL";
CREATE EXTENSION multitenant;
SELECT multitenant.create_tenant('acme', id => '$id{acme}'), multitenant.create_tenant('beta', id => '$id{beta}');
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.protect('t');
SQL
$node->safe_psql('late', "GRANT SELECT ON t TO PUBLIC; INSERT INTO t VALUES ('$id{acme}', 1), ('$id{beta}', 2)");
my $early = $mt->session('regress_mt_trusted', database => 'late');
my $prepared = 'PREPARE q AS SELECT n FROM t ORDER BY n';
is(ask($early, "$prepared; SET plan_cache_mode = force_generic_plan; EXECUTE q"), "1\n2", 'late: a session before the extension');
ok($node->psql('late', "BEGIN; $world ROLLBACK", on_error_stop => 1) == 0, 'late: CREATE EXTENSION rolled back');
is(ask($early, 'EXECUTE q'), "1\n2", 'late: changes nothing');
$node->safe_psql('late', $world);
is(ask($early, 'EXECUTE q'), 'MT001', 'late: CREATE EXTENSION and protect() act on it at once');
is(ask($early, 'BEGIN; ' . use_tenant('acme') . '; EXECUTE q; COMMIT'), "$id{acme}\n1", 'late: contexts too');

my $admin = $mt->session('postgres', database => 'late');
is(ask($admin, 'BEGIN; ' . use_tenant('beta') . '; COMMIT'), $id{beta}, 'late: a session that used the extension');
is(ask($admin, 'DROP EXTENSION multitenant'), 'MT010', 'late: not dropped while a table depends on it');
is(ask($admin, 'DROP EXTENSION multitenant CASCADE'), 'MT010', 'late: nor with CASCADE');
is(ask($early, 'EXECUTE q'), 'MT001', 'late: still protected');
is(ask($admin, 'SELECT multitenant.unprotect_all()'), '', 'late: unprotect_all()');
is(ask($early, 'EXECUTE q'), "1\n2", 'late: unprotected');
is(ask($admin, 'BEGIN; DROP EXTENSION multitenant; ROLLBACK; BEGIN; ' . use_tenant('acme') . '; COMMIT'), $id{acme}, 'late: DROP EXTENSION rolled back');
is(ask($admin, 'DROP EXTENSION multitenant'), '', 'late: dropped');
is(ask($early, use_tenant('acme')), '3F000', 'late: gone for the other session');
is(ask($early, 'EXECUTE q'), "1\n2", 'late: which goes on');
ask($admin, $world);
is(ask($admin, 'BEGIN; ' . use_tenant('beta') . '; COMMIT'), $id{beta}, 'late: made again by the session that dropped it');
is(ask($early, 'EXECUTE q'), 'MT001', 'late: protected again');
is(ask($early, 'BEGIN; ' . use_tenant('beta') . '; EXECUTE q; COMMIT'), "$id{beta}\n2", 'late: with contexts again');
is(ask($admin, 'DROP EXTENSION multitenant'), 'MT010', 'late: guarded again');
$_->quit foreach $early, $admin;

done_testing();
