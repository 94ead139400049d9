# The cache of compiled rights: bounded, whoever is asked for; right after what is no change of a table - time, a version
# that begins again - and on a standby.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $principals = $ENV{MT_RIGHTS_PRINCIPALS} || 100000;
my $mt = MtTest->new('rights', init => { allows_streaming => 1 }, conf => 'max_prepared_transactions = 2');
my $node = $mt->node;
my $acme = '00000000-0000-0000-0000-00000000000a';
my $role = '00000000-0000-4000-8000-00000000f001';

my $people = <<"SQL";
INSERT INTO multitenant.permission (name, description) SELECT 'thing' || i || ':read', 'test' FROM generate_series(1, 200) i;
INSERT INTO multitenant.role (id, tenant_id, name) VALUES ('$role', '$acme', 'reader');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES ('$role', '*:read', '$acme');
INSERT INTO multitenant.principal (id) VALUES ('adm'), ('ann');
INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$acme', 'adm'), ('$acme', 'ann');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES
	('$acme', false, 'adm', '00000000-0000-0000-0000-000000000001'), ('$acme', false, 'ann', '$role');
SQL
$mt->superuser($people);

sub superuser_session
{
	my ($of) = @_;
	return $of->background_psql('app', on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
}

sub enter
{
	my ($session, $principal) = @_;
	ask($session, 'BEGIN');
	return ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme', sub => $principal) . "') IS NULL");
}

# ---- memory ----
my $asker = superuser_session($node);
my $kb = q{SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts
	WHERE name ~ '^multitenant (rights|roles|scopes|permissions|principals with rights|tenants with rights)'};
$mt->superuser("INSERT INTO multitenant.principal (id) SELECT 'p' || i FROM generate_series(1, $principals) i;
	INSERT INTO multitenant.member (tenant_id, principal) SELECT '$acme', 'p' || i FROM generate_series(1, $principals) i;
	INSERT INTO multitenant.scope (tenant_id, id) SELECT '$acme', 's' || i FROM generate_series(0, 99) i;
	INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id)
		SELECT '$acme', false, 'p' || i, '$role', CASE WHEN i % 10 = 0 THEN 's' || i % 100 END FROM generate_series(1, $principals) i;");
foreach my $size (1024, 8192)
{
	ask($asker, "SET multitenant.permission_cache_size = $size");
	enter($asker, 'adm');
	my $count = $size == 8192 ? $principals : $principals / 10;
	is(ask($asker, "SELECT count(*) FILTER (WHERE multitenant.has_permission_of('p' || i, 'thing7:read', 's' || i % 100)) FROM generate_series(1, $count) i"),
		$count, "$count principals, each with its right");
	my $used = ask($asker, $kb);
	cmp_ok($used, '<=', $size * 17 / 16 + 256, "permission_cache_size = $size kB bounds what they take");
	cmp_ok($used, '>=', $size * 0.75, 'and is made use of');
	note("$size kB: $used kB used");
	is(ask($asker, "SELECT multitenant.has_permission('thing7:read')"), 't', 'the own rights are still there');
	is(ask($asker, "SELECT multitenant.has_permission_of('p1', 'thing7:read'), multitenant.has_permission_of('p10', 'thing7:read')"), 't|f', 'and those of who was removed come again');
	ask($asker, 'COMMIT');
}

# ---- time ----
enter($asker, 'ann');
is(ask($asker, "SELECT multitenant.has_permission('thing1:read')"), 't', 'what is assigned');
$mt->superuser("UPDATE multitenant.role_assignment SET expires_at = clock_timestamp() + interval '1 second' WHERE assignee = 'ann'");
my $answer = ask($asker, "SELECT multitenant.has_permission('thing1:read')");
foreach (1 .. 100)
{
	last if $answer eq 'f';
	ask($asker, 'SELECT pg_sleep(0.1)');
	$answer = ask($asker, "SELECT multitenant.has_permission('thing1:read')");
}
is($answer, 'f', 'ends in the middle of a transaction, with nobody changing anything');
ask($asker, 'COMMIT');

# ---- of others ----
enter($asker, 'ann');
is(ask($asker, "SELECT multitenant.has_permission_of('adm', 'thing1:read')"), '42501', 'what others may do is for who reviews access');
ask($asker, 'ROLLBACK');

# ---- in two phases ----
$mt->superuser("UPDATE multitenant.role_assignment SET expires_at = NULL WHERE assignee = 'ann'");
enter($asker, 'ann');
is(ask($asker, "SELECT multitenant.has_permission('thing1:read')"), 't', 'assigned again');
$mt->superuser("BEGIN; DELETE FROM multitenant.role_assignment WHERE assignee = 'ann'; PREPARE TRANSACTION 'revoke'");
is(ask($asker, "SELECT multitenant.has_permission('thing1:read')"), 't', 'a revocation that is prepared does not count');
$mt->superuser("COMMIT PREPARED 'revoke'");
is(ask($asker, "SELECT multitenant.has_permission('thing1:read')"), 'f', 'it counts when it is committed');
ask($asker, 'COMMIT');

# ---- a standby ----
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $reader = superuser_session($standby);
my $assign = "INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES ('$acme', false, 'ann', '$role')";
enter($reader, 'ann');
is(ask($reader, "SELECT multitenant.has_permission('thing1:read')"), 'f', 'on a standby: not assigned');
$mt->superuser($assign);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(ask($reader, "SELECT multitenant.has_permission('thing1:read')"), 't', 'assigned on the primary');
$mt->superuser("DELETE FROM multitenant.role_assignment WHERE assignee = 'ann'");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(ask($reader, "SELECT multitenant.has_permission('thing1:read')"), 'f', 'revoked on the primary, in the same transaction');
ask($reader, 'COMMIT');
$reader->quit;

# ---- the extension made anew: versions begin with 1 again, in a session that knows the old ones ----
$mt->superuser($assign);
enter($asker, 'ann');
is(ask($asker, "SELECT multitenant.has_permission('thing1:read')"), 't', 'before the extension is dropped');
ask($asker, 'COMMIT');
my $versions = $mt->superuser("SELECT string_agg(format('(%L, %s)', tenant_id, version), ', ') FROM multitenant.rights_version");
my $again = "SELECT multitenant.unprotect_all(); DROP EXTENSION multitenant; CREATE EXTENSION multitenant;
	SELECT multitenant.create_tenant('acme', number => 1, id => '$acme');
	SELECT multitenant.add_signing_key('hs', 'HS256', secret_file => '$mt->{secret_file}', max_lifetime => '1 hour');
	$people";
$mt->superuser($again);
$mt->superuser("DELETE FROM multitenant.role_assignment WHERE assignee = 'ann'");
# As far as the old extension had got, so that the numbers are the same ones.
$mt->superuser("DELETE FROM multitenant.rights_version; INSERT INTO multitenant.rights_version VALUES $versions");
enter($asker, 'ann');
is(ask($asker, "SELECT multitenant.has_permission('thing1:read')"), 'f', 'nothing of the old one counts in the new one');
ask($asker, 'COMMIT');
$asker->quit;
done_testing();
