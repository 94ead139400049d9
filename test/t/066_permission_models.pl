# Policies as two other permission systems would have them - role-based access with domains and path wildcards, and
# relationship tuples with userset rewrites - evaluated by a small program of this file, and asked of has_permission().
# The evaluators know nothing of the extension: where both say the same for every question, the translation is right.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $app = 'regress_mt_app';
my $mt = MtTest->new('permission_models');
my %id = (acme => '00000000-0000-0000-0000-00000000000a', beta => '00000000-0000-0000-0000-00000000000b');

# Runs it inside a tenant as its administrator, who was let in from outside.
sub in_tenant
{
	my ($tenant, @statements) = @_;
	my ($out, $err) = $mt->run($app, $mt->begin($tenant, sub => 'root') . join('', map { "SELECT $_;\n" } @statements) . 'COMMIT;');
	die "$tenant: $err" if $err =~ /ERROR/;
	return;
}

# All questions [principal, permission, scope or undef] of one tenant; the answers as a list of 0 and 1.
sub answers
{
	my ($tenant, @questions) = @_;
	my (%of, @answer);
	push @{ $of{ $questions[$_][0] } }, $_ foreach 0 .. $#questions;
	foreach my $principal (sort keys %of)
	{
		my $sql = join('', map { my (undef, $permission, $scope) = @{ $questions[$_] };
			"SELECT $_ || ' ' || multitenant.has_permission('$permission', " . (defined $scope ? "'$scope'" : 'NULL') . ")::int;\n" } @{ $of{$principal} });
		my ($out, $err) = $mt->run($app, $mt->begin($tenant, sub => $principal) . $sql . 'COMMIT;');
		die "$principal in $tenant: $err" if $err =~ /ERROR/;
		$answer[$1] = $2 while $out =~ /^(\d+) ([01])$/mg;
	}
	return @answer;
}

sub compare
{
	my ($name, $tenant, $expected, @questions) = @_;
	my @got = answers($tenant, @questions);
	my @wanted = map { $expected->(@$_) ? 1 : 0 } @questions;
	my @wrong = grep { !defined $got[$_] || $got[$_] != $wanted[$_] } 0 .. $#questions;
	my $yes = grep { $_ } @wanted;
	ok(!@wrong && $yes > 0 && $yes < @wanted, "$name: " . scalar(@questions) . " questions, $yes of them yes");
	diag(map { join(' ', 'asked', map({ $_ // '-' } @{ $questions[$_] }), "wanted $wanted[$_] got", $got[$_] // 'nothing') . "\n" } @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]) if @wrong;
	return;
}

# ---- role-based access with domains: g(user, role, domain), p(role, domain, object pattern, action pattern) ----
my @people = qw(alice bob carol dan);
my @objects = qw(invoice invoice-line host vm);
my @actions = qw(read update delete);
my @grouping = (
	# user or role, role, domain
	[ qw(alice admin acme) ], [ qw(bob clerk acme) ], [ qw(carol auditor acme) ], [ qw(bob admin beta) ], [ qw(dan technician beta) ],
	[ qw(admin clerk acme) ], [ qw(clerk auditor acme) ], [ qw(admin technician beta) ]);
my @policies = (
	[ qw(auditor acme invoice read) ], [ qw(auditor acme host read) ], [ qw(clerk acme invoice *) ], [ qw(clerk acme invoice-line update) ], [ qw(admin acme * delete) ],
	[ qw(technician beta host *) ], [ qw(technician beta vm read) ], [ qw(admin beta vm update) ]);

# Everything that a name reaches in its domain, roles of roles included.
sub reaches
{
	my ($name, $domain) = @_;
	my %seen = ($name => 1);
	my @todo = ($name);
	while (defined(my $at = shift @todo))
	{
		push @todo, grep { !$seen{$_}++ } map { $_->[1] } grep { $_->[0] eq $at && $_->[2] eq $domain } @grouping;
	}
	return %seen;
}

# "*" alone matches anything; there is no prefix.
sub matches { my ($text, $pattern) = @_; return $pattern eq '*' || $text eq $pattern; }

sub enforce
{
	my ($domain, $user, $permission) = @_;
	my ($object, $action) = split /:/, $permission;
	my %role = reaches($user, $domain);
	return scalar grep { $role{ $_->[0] } && $_->[1] eq $domain && matches($object, $_->[2]) && matches($action, $_->[3]) } @policies;
}

$mt->superuser(join('', map { "SELECT multitenant.create_permission('$_', 'of a model');\n" }
	(map { my $object = $_; map { "$object:$_" } @actions } @objects), map { ("document:$_", "folder:$_") } qw(view edit share)) .
	join('', map { "SELECT multitenant.add_member('$_'::text, 'root', 'administrator');\n" } sort keys %id));
foreach my $domain (sort keys %id)
{
	my %role = map { $_ => 1 } map { $_->[1] } grep { $_->[2] eq $domain } @grouping;
	my @own = grep { $_->[2] eq $domain } @grouping;
	in_tenant($domain,
		(map { "multitenant.add_member('$_')" } @people),
		(map { "multitenant.create_role('$_')" } sort keys %role),
		(map { "multitenant.grant_permission('$_->[0]', '$_->[2]:$_->[3]')" } grep { $_->[1] eq $domain } @policies),
		(map { "multitenant.inherit_role('$_->[0]', '$_->[1]')" } grep { $role{ $_->[0] } } @own),
		(map { "multitenant.assign_role('$_->[0]', '$_->[1]')" } grep { !$role{ $_->[0] } } @own));
	compare("roles with domains, $domain", $domain, sub { enforce($domain, @_) },
		map { my $who = $_; map { my $object = $_; map { [ $who, "$object:$_" ] } @actions } @objects } @people);
}

# ---- paths with wildcards: p(role, "/site/rack/*", action), as a tree of scopes ----
my %parent = ('/paris' => undef, '/paris/r1' => '/paris', '/paris/r2' => '/paris', '/paris/r1/h1' => '/paris/r1', '/paris/r1/h2' => '/paris/r1',
	'/paris/r2/h3' => '/paris/r2', '/rome' => undef, '/rome/r1' => '/rome');
my @paths = ([ qw(alice /paris/* host:read) ], [ qw(bob /paris/r1/* host:update) ], [ qw(carol /rome/* host:delete) ], [ qw(carol /paris/r2/h3/* host:read) ],
	[ qw(dan /* host:read) ]);

# keyMatch of such systems: "/a/*" matches what lies below /a; here also /a itself, as a right on a node covers the node.
sub key_match { my ($path, $pattern) = @_; my $prefix = $pattern =~ s{/\*$}{}r; return $prefix eq '' || $path eq $prefix || index($path, "$prefix/") == 0; }
sub enforce_path
{
	my ($user, $permission, $path) = @_;
	return scalar grep { $_->[0] eq $user && $_->[2] eq $permission && key_match($path, $_->[1]) } @paths;
}
my $number = 0;
in_tenant('beta', "multitenant.unassign_role('bob', 'admin')", "multitenant.unassign_role('dan', 'technician')",
	(map { "multitenant.create_scope('$_', " . (defined $parent{$_} ? "'$parent{$_}'" : 'NULL') . ')' } sort keys %parent),
	map { my ($who, $pattern, $permission) = @$_; my $scope = $pattern =~ s{/\*$}{}r; my $role = 'path-' . $number++;
		("multitenant.create_role('$role', permissions => '{$permission}')",
		 $scope eq '' ? "multitenant.assign_role('$who', '$role')" : "multitenant.assign_role('$who', '$role', '$scope')") } @paths);
compare('paths with wildcards', 'beta', \&enforce_path,
	map { my $who = $_; map { my $permission = $_; map { [ $who, $permission, $_ ] } sort keys %parent } qw(host:read host:update host:delete) } @people);

# ---- relationship tuples: object#relation@subject, usersets of groups, and relations of the parent ----
#	type folder, document:	viewer = [user, group#member] or editor or viewer from parent
#							editor = [user, group#member] or owner or editor from parent
#							owner  = [user, group#member] or owner from parent
#	can view = viewer, can edit = editor, can share = owner
my @tuples = (
	[ 'folder:top', 'viewer', 'group:all#member' ], [ 'folder:plans', 'editor', 'group:eng#member' ], [ 'document:secret', 'owner', 'user:bob' ],
	[ 'document:draft', 'viewer', 'user:dan' ], [ 'folder:plans', 'owner', 'user:carol' ],
	[ 'folder:plans', 'parent', 'folder:top' ], [ 'document:draft', 'parent', 'folder:plans' ], [ 'document:secret', 'parent', 'folder:vault' ],
	[ 'group:all', 'member', 'group:eng#member' ], [ 'group:all', 'member', 'user:carol' ], [ 'group:eng', 'member', 'user:alice' ]);
my %rewrite = (viewer => [ 'editor' ], editor => [ 'owner' ], owner => [], member => []);
my %relation_of = (view => 'viewer', edit => 'editor', share => 'owner');

sub check
{
	my ($object, $relation, $user, $depth) = @_;
	die "too deep\n" if ($depth // 0) > 20;
	foreach my $tuple (grep { $_->[0] eq $object && $_->[1] eq $relation } @tuples)
	{
		return 1 if $tuple->[2] eq $user;
		return 1 if $tuple->[2] =~ /^(.*)#(.*)$/ && check($1, $2, $user, ($depth // 0) + 1);
	}
	foreach my $wider (@{ $rewrite{$relation} })
	{
		return 1 if check($object, $wider, $user, ($depth // 0) + 1);
	}
	return 0 if $relation eq 'member';
	foreach my $tuple (grep { $_->[0] eq $object && $_->[1] eq 'parent' } @tuples)
	{
		return 1 if check($tuple->[2], $relation, $user, ($depth // 0) + 1);
	}
	return 0;
}

# Folders and documents are scopes; a relation is a role on one, and relations that include others inherit the other way.
my @nodes = qw(folder:top folder:vault folder:plans document:draft document:secret);
my %above = map { $_->[0] => $_->[2] } grep { $_->[1] eq 'parent' } @tuples;
in_tenant('acme',
	(map { "multitenant.unassign_role('$_->[0]', '$_->[1]')" } [ qw(alice admin) ], [ qw(bob clerk) ], [ qw(carol auditor) ]),
	(map { "multitenant.create_scope('$_', " . ($above{$_} ? "'$above{$_}'" : 'NULL') . ')' } @nodes),
	"multitenant.create_role('viewer', permissions => '{document:view}')", "multitenant.create_role('editor', permissions => '{document:edit}', inherits => '{viewer}')",
	"multitenant.create_role('owner', permissions => '{document:share}', inherits => '{editor}')",
	"multitenant.create_group('all')", "multitenant.create_group('eng')",
	(map { my ($object, undef, $subject) = @$_; my $group = $object =~ s/^group://r;
		$subject =~ /^group:(.*)#/ ? "multitenant.add_group_to_group('$group', '$1')" : "multitenant.add_to_group('$group', '" . ($subject =~ s/^user://r) . "')" }
		grep { $_->[1] eq 'member' } @tuples),
	(map { my ($object, $relation, $subject) = @$_;
		$subject =~ /^group:(.*)#/ ? "multitenant.assign_role_to_group('$1', '$relation', '$object')" : "multitenant.assign_role('" . ($subject =~ s/^user://r) . "', '$relation', '$object')" }
		grep { $_->[1] =~ /^(?:viewer|editor|owner)$/ } @tuples));
compare('relationship tuples', 'acme', sub { my ($who, $permission, $scope) = @_; check($scope, $relation_of{ $permission =~ s/.*://r }, "user:$who") },
	map { my $who = $_; map { my $permission = $_; map { [ $who, $permission, $_ ] } @nodes } qw(document:view document:edit document:share) } @people);

# What such systems call the new enemy: taken away and then changed, the old answer must not be given for the new content.
my $session = $mt->session($app);
MtTest::ask($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
MtTest::ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'dan') . "')");
is(MtTest::ask($session, "SELECT multitenant.has_permission('document:view', 'document:draft')"), 't', 'dan sees the draft');
in_tenant('acme', "multitenant.unassign_role('dan', 'viewer', 'document:draft')");
is(MtTest::ask($session, "SELECT multitenant.has_permission('document:view', 'document:draft')"), 'f', 'what was taken away counts for the next statement, whatever the snapshot');
$session->quit;
done_testing();
