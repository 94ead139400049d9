# pg_dump and pg_restore of people: members, invitations, groups, roles and what was assigned come back as they were, in
# whichever order the tables are loaded, with triggers and without; who was kept out stays out.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_trusted';
my $acme = '00000000-0000-0000-0000-00000000000a';
my $mt = MtTest->new('source', conf => "multitenant.audience = 'app'");
my $node = $mt->node;

$mt->superuser("SELECT multitenant.add_member('acme', 'ann', 'administrator'), multitenant.add_member('acme', 'bob'),
	multitenant.add_member('acme', 'cid'), multitenant.add_member('acme', 'dan'), multitenant.add_member('acme', 'gone'),
	multitenant.add_member('beta', 'bea', 'administrator')");
$mt->allowed($app, "BEGIN; SELECT multitenant.use_tenant('acme', 'ann');
	SELECT multitenant.suspend_member('cid', 'holidays'), multitenant.invite_member('eve');
	SELECT multitenant.create_group('staff', 'All of them'), multitenant.create_group('guards'), multitenant.create_group('board');
	SELECT multitenant.add_group_to_group('staff', 'guards'), multitenant.add_to_group('guards', 'bob');
	SELECT multitenant.create_role('clerk'), multitenant.grant_permission('clerk', 'member:read');
	SELECT multitenant.assign_role_to_group('staff', 'clerk'), multitenant.remove_member('gone'); COMMIT;", '', 'the source has people');
$mt->superuser("SELECT multitenant.disable_principal('dan', 'left'); SELECT multitenant.set_membership_mode('single')");

my %facts = map { $_ => "SELECT x::text FROM multitenant.$_ x ORDER BY x::text COLLATE \"C\"" }
	qw(principal member member_group group_member membership_rule role role_parent role_permission role_assignment rights_history);
# What comes with the extension is there since the restore.
$facts{role} =~ s/ORDER/WHERE NOT is_builtin ORDER/;
$facts{role_permission} =~ s/ORDER/WHERE tenant_id = '$acme' ORDER/;
sub facts { my ($database) = @_; return { map { $_ => $node->safe_psql($database, $facts{$_}) } keys %facts } }
my $wanted = facts('app');
like($wanted->{member}, qr/suspended.*t,ann,|invited.*ann/s, 'members of every state');
like($wanted->{role_assignment}, qr/staff/, 'and a group that has a role');

my $dir = PostgreSQL::Test::Utils::tempdir();
my %dumps = (plain => [], custom => ['-Fc'], directory => [ '-Fd', '-j2' ], data => [ '-Fc', '-a' ]);
$node->command_ok([ 'pg_dump', '-f', "$dir/$_", @{ $dumps{$_} }, 'app' ], "pg_dump $_") foreach sort keys %dumps;

# An archive's tables, the last first.
my ($list) = run_command([ 'pg_restore', '-l', "$dir/data" ]);
append_to_file("$dir/reverse", join("\n", reverse grep { !/^;/ } split(/\n/, $list)) . "\n");

my %roads = (
	plain => [ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain", '-d' ],
	custom => [ 'pg_restore', "$dir/custom", '-d' ],
	parallel => [ 'pg_restore', '-j4', "$dir/directory", '-d' ],
	one_transaction => [ 'pg_restore', '-1', "$dir/custom", '-d' ],
	data_only => [ 'pg_restore', '-a', "$dir/data", '-d' ],
	data_reversed => [ 'pg_restore', '-a', '-L', "$dir/reverse", "$dir/data", '-d' ],
	without_triggers => [ 'pg_restore', '-a', '--disable-triggers', "$dir/data", '-d' ]);
foreach my $road (sort keys %roads)
{
	$node->safe_psql('postgres', "CREATE DATABASE $road TEMPLATE template0");
	if ($road =~ /data|without/)
	{
		$node->command_ok([ 'pg_restore', '-s', '-d', $node->connstr($road), "$dir/custom" ], "$road: the schema first");
	}
	$node->command_ok([ @{ $roads{$road} }, $node->connstr($road) ], "$road: restored");
	my $got = facts($road);
	is($got->{$_}, $wanted->{$_}, "$road: $_ as it was") foreach sort keys %facts;
	$node->safe_psql($road, 'SELECT multitenant.adopt_clone(false)') if $node->safe_psql($road, "SELECT count(*) FROM pg_proc WHERE oid = to_regprocedure('multitenant.adopt_clone(boolean)')");
	my %here = (database => $road);
	my $use = sub { return "BEGIN; SELECT multitenant.use_tenant('acme', '$_[0]');\n" };
	$mt->allowed($app, $use->('bob') . 'SELECT note FROM invoice; SELECT count(*) FROM multitenant.members;', 'SECRET-ACME', "$road: a member is in", tenant => 'acme', %here);
	$mt->allowed($app, $use->('bob') . "SELECT 'has ' || multitenant.has_permission('member:read');", 'has true', "$road: with what its group's group has", %here);
	$mt->allowed($app, $use->('bob') . "SELECT 'has ' || multitenant.has_permission('member:manage');", 'has false', "$road: and no more", %here);
	$mt->refused($app, $use->($_) . 'SELECT note FROM invoice;', 'MT008', "$road: $_ is not", %here) foreach qw(cid dan eve gone bea);
	$mt->refused($app, $use->('ann') . "SELECT multitenant.add_member('frank');", '55000', "$road: one tenant for each", %here);
	$mt->allowed($app, $use->('ann') . "SELECT multitenant.resume_member('cid'); COMMIT;" . $use->('cid') . 'SELECT note FROM invoice;', 'SECRET-ACME', "$road: and it goes on from there", tenant => 'acme', %here);
}

# Nothing changes when time passes, but for this: seen without one more look at the tables.
my $session = $mt->session($app);
MtTest::ask($session, 'BEGIN');
MtTest::ask($session, "SELECT multitenant.use_tenant('acme', 'bob')");
$mt->superuser("UPDATE multitenant.member SET expires_at = clock_timestamp() + interval '4 seconds' WHERE principal = 'bob'");
is(MtTest::ask($session, 'SELECT note FROM invoice'), 'SECRET-ACME', 'a membership that ends soon');
$node->poll_query_until('app', "SELECT clock_timestamp() > expires_at FROM multitenant.member WHERE principal = 'bob'");
is(MtTest::ask($session, 'SELECT note FROM invoice'), 'MT008', 'a membership that ends by itself has ended');
$session->quit;
done_testing();
