# Attacks on people: members, invitations, groups and the views of them; by applications, other tenants, operators who
# look in, and the service's own staff.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('people');
my $app = 'regress_mt_app';
my $trusted = 'regress_mt_trusted';
my $provisioner = 'regress_mt_provisioner';
my $see = "SELECT note FROM invoice;\n";
my $acme = '00000000-0000-0000-0000-00000000000a';
my $beta = '00000000-0000-0000-0000-00000000000b';
my $delta = '00000000-0000-0000-0000-0000000000d4';

$mt->superuser("SELECT multitenant.add_member('acme', 'ann', 'administrator'), multitenant.add_member('acme', 'bob'),
	multitenant.add_member('beta', 'SECRET-BETA-boss', 'administrator'), multitenant.add_member('beta', 'SECRET-BETA-both'),
	multitenant.add_member('acme', 'SECRET-BETA-both');
	SELECT multitenant.create_principal('SECRET-BETA-known', 'SECRET-BETA-name');
	UPDATE multitenant.tenant SET visibility = 'supervised' WHERE slug = 'acme';
	SELECT multitenant.add_signing_key('acme_only', 'HS256', secret_file => '$mt->{secret_file}', tenants => '{acme}');
	INSERT INTO multitenant.member_group (tenant_id, name) VALUES ('$beta', 'SECRET-BETA-group');
	INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES ('$beta', false, 'SECRET-BETA-boss', 'SECRET-BETA-group');
	INSERT INTO multitenant.member (tenant_id, principal, state) VALUES ('$beta', 'bob', 'invited')");

# What somebody says of himself, and in a tenant.
sub as { my ($who, %claims) = @_; return 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => $who, %claims) . "');\n" }
sub in { my ($tenant, $who, %claims) = @_; return $mt->begin($tenant, sub => $who, %claims) }
sub switch { return "SELECT multitenant.switch_tenant('$_[0]');\n" }
sub members { return $mt->superuser("SELECT string_agg(principal || ' ' || state, ', ' ORDER BY principal COLLATE \"C\") FROM multitenant.member WHERE tenant_id = '$_[0]'") }
my ($acme_before, $beta_before) = (members($acme), members($beta));

# ---- every function, in every context that must not do ----

my @inside = (
	"invite_member('eve')", "withdraw_invitation('bob')", "add_member('eve')", "suspend_member('ann', 'x')",
	"resume_member('ann')", "remove_member('bob')", "create_group('mine')", "drop_group('mine')",
	"add_to_group('mine', 'bob')", "remove_from_group('mine', 'bob')", "add_group_to_group('mine', 'mine')",
	"remove_group_from_group('mine', 'mine')");
my @own = ("accept_invitation('beta')", "decline_invitation('beta')");
my @outside = (
	"create_principal('eve')", "alter_principal('ann', 'x')", "disable_principal('ann', 'x')", "enable_principal('ann')",
	"add_member('$beta'::uuid, 'bob')", "add_member('beta', 'bob')", "add_member('$beta'::uuid, 'bob', 'administrator')",
	"remove_member('$beta'::uuid, 'SECRET-BETA-boss')", "remove_member('beta', 'SECRET-BETA-boss')",
	"set_membership_mode('single')");
my @internal = (
	"_join('$beta', 'bob', NULL)", "_part('$beta', 'SECRET-BETA-boss')", "_know_principal('eve')",
	"_change_principal('ann', 'disabled', 'x')", "_change_member('$beta', 'SECRET-BETA-boss', 'suspended')",
	"_assign_first_role('$beta', 'bob', 'administrator')", "_renew_rights('{$beta}')", "_is_single_membership()",
	"_put_into_group('$beta', 'SECRET-BETA-group', 'bob', false)", "_take_from_group('$beta', 'SECRET-BETA-group', 'SECRET-BETA-boss', false)",
	"_holders('$beta', '{member:manage}')", "_claim_member('$beta', 'SECRET-BETA-boss')", "_end_session_of_member('$beta', 'SECRET-BETA-boss')",
	"_strip_member('$beta', 'SECRET-BETA-boss')", "_forget_former_member('$beta', 'SECRET-BETA-boss')", "_refuse_self_governed('$beta')",
	"_managed('$beta')", "_begin_answer('bob', 'beta')");
my %contexts = (
	'no context' => [ '', 'MT001' ],
	'a principal only' => [ as('ann'), 'MT001' ],
	'a tenant without principal' => [ $mt->begin('acme'), '42501' ],
	'a member without the permission' => [ in('acme', 'bob'), '42501' ],
	'a member after switching' => [ as('bob') . switch('acme'), '42501' ],
	'no member of the tenant' => [ in('acme', 'SECRET-BETA-boss'), '42501' ],
	'an administrator, supervised' => [ in('acme', 'ann', kind => 'supervised'), '42501' ],
	'another tenant\'s administrator' => [ in('beta', 'ann'), '42501' ]);
foreach my $context (sort keys %contexts)
{
	my ($begin, $state) = @{ $contexts{$context} };
	$mt->refused($app, "$begin SELECT multitenant.$_;", $state, "P1: $context: $_", tenant => 'acme') foreach @inside;
	$mt->refused($app, "$begin SELECT * FROM multitenant.$_;", $state, "P1: $context: view $_") foreach qw(members groups group_members);
	$mt->refused($app, "$begin SELECT multitenant.$_;", '42501', "P1: $context: $_") foreach @outside;
	# Granted to nobody's tables, whatever they come to first.
	$mt->refused($app, "$begin SELECT multitenant.$_;", '(?:42501|MT001|25006)', "P1: $context: $_") foreach @internal;
}
foreach my $null ("invite_member(NULL)", "invite_member('eve', NULL)", "add_member(NULL::text)", "suspend_member(NULL, 'x')", "suspend_member('bob', NULL)",
	"remove_member(NULL::text)", "create_group(NULL)")
{
	$mt->refused($app, in('acme', 'ann') . "SELECT multitenant.$null;", '22023', "P1: nulls: $null");
}
# A bound role is in its tenant and is nobody there.
$mt->superuser("CREATE ROLE regress_mt_bound LOGIN; SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'acme')");
$mt->refused('regress_mt_bound', "SELECT multitenant.$_;", '42501', "P1: a bound role: $_") foreach @inside;
is(members($acme), $acme_before, 'P1: acme has the members that it had');
is(members($beta), $beta_before, 'P1: and beta');
is($mt->superuser("SELECT count(*) FROM multitenant.principal WHERE id = 'eve'"), '0', 'P1: nobody became known');

# ---- the staff of the service ----

$mt->refused($provisioner, "SELECT multitenant.add_member('acme', 'bob', 'administrator')", '42501', 'P2: a provisioner makes no second administrator');
$mt->refused($provisioner, "SELECT multitenant.remove_member('acme', 'ann')", '55000', 'P2: nor removes the first one');
$mt->refused($provisioner, "BEGIN; SELECT multitenant.disable_principal('ann', 'x'); SELECT multitenant.add_member('acme', 'bob', 'administrator')", '42501',
	'P2: nor by disabling the first one');
# Whoever is left with a right to manage keeps the tenant closed, however little it is; and once closed, it stays.
$mt->superuser("SELECT multitenant.create_tenant('delta', id => '$delta')");
$mt->allowed($provisioner, "SELECT multitenant.add_member('delta', 'hilde'), multitenant.add_member('delta', 'alice', 'administrator')", '', 'P2: a tenant that has given no role is filled from outside');
$mt->allowed($app, in('delta', 'alice') . "SELECT multitenant.create_scope('s'), multitenant.create_role('hr', permissions => '{member:manage,member:read}');
	SELECT multitenant.assign_role('hilde', 'hr', 's', expires_at => clock_timestamp() + interval '1 second'), multitenant.invite_member('ina'),
	multitenant.assign_role('ina', 'hr'); COMMIT;", '', 'P2: and governs itself then', tenant => 'delta');
$mt->refused($provisioner, "SELECT multitenant.remove_member('delta', 'alice')", '55000', 'P2: its administrator is not removed because others hold a part');
$mt->allowed($app, in('delta', 'alice') . "SELECT multitenant.assign_role('hilde', 'hr'); COMMIT;", '', 'P2: in the whole tenant', tenant => 'delta');
$mt->refused($provisioner, "SELECT multitenant.remove_member('delta', 'alice')", '55000', 'P2: nor because somebody manages the members');
$mt->refused($provisioner, "SELECT multitenant.add_member('delta', $_)", '42501', "P2: nobody is made a member of it: $_") foreach "'mallory'", "'mallory', 'administrator'", "'hilde'", "'ina'";
$mt->superuser("SELECT multitenant.remove_member('delta', 'alice')");
$mt->superuser("DELETE FROM multitenant.role_assignment WHERE tenant_id = '$delta'");
$mt->refused($provisioner, "SELECT multitenant.add_member('delta', 'mallory', 'administrator')", '42501', 'P2: nor when it has no administrator and no role any more');
# Templates that somebody has are not edited into rights, or out of them.
$mt->superuser("SELECT multitenant.create_tenant('epsilon')");
$mt->allowed($provisioner, "SELECT multitenant.create_role_template('base', permissions => '{member:*}'), multitenant.create_role_template('boss', permissions => '{role:*}', inherits => '{base}'),
	multitenant.alter_role_template('base', permissions => '{member:*,audit:read}'), multitenant.add_member('epsilon', 'emil', 'boss')", '', 'P2: a template that nobody has is the provider\'s to edit');
$mt->refused($provisioner, "SELECT multitenant.$_", '42501', "P2: one that somebody has is not: $_")
	foreach "alter_role_template('boss', permissions => '{member:read}')", "alter_role_template('boss', permissions => '{*:*}')", "alter_role_template('boss', inherits => '{}')",
	"alter_role_template('boss', 'chief')", "alter_role_template('base', permissions => '{*:*}')", "alter_role_template('base', permissions => '{member:read}')", "drop_role_template('boss')";
$mt->allowed($provisioner, "SELECT multitenant.alter_role_template('boss', description => 'Runs the place.')", '', 'P2: but described');
$mt->superuser("SELECT multitenant.alter_role_template('base', permissions => '{member:*}')");
is($mt->superuser("SELECT count(*) FROM multitenant.audit_event e JOIN multitenant.tenant t ON t.id = e.tenant_id WHERE t.slug = 'epsilon' AND e.event = 'role.alter' AND e.object = 'base'"), '1',
	'P2: what a superuser changes is recorded where somebody has it');
foreach my $role ($provisioner, 'regress_mt_operator', 'regress_mt_auditor', 'regress_mt_migrator')
{
	$mt->refused($role, "SELECT * FROM multitenant.$_", 'MT001', "P2: $role sees no $_") foreach qw(members groups group_members memberships);
	$mt->refused($role, "SELECT * FROM multitenant.$_", '42501', "P2: $role reads no table $_")
		foreach qw(member principal member_group group_member membership_rule role_assignment rights_history);
	$mt->refused($role, "SELECT multitenant.$_", 'MT001', "P2: $role: $_") foreach "invite_member('x')", "add_member('x')", "accept_invitation('acme')";
}
$mt->refused($_, "SELECT multitenant.create_principal('x')", '42501', "P2: $_ makes no principals") foreach 'regress_mt_operator', 'regress_mt_auditor', 'regress_mt_migrator';

# ---- a tenant's administrator and what is not his ----

my $ann = in('acme', 'ann');
foreach my $table (qw(member principal member_group group_member membership_rule))
{
	$mt->refused($app, "$ann SELECT * FROM multitenant.$table;", '42501', "P3: reading table $table");
	$mt->refused($app, "$ann DELETE FROM multitenant.$table;", '42501', "P3: deleting from table $table");
}
$mt->refused($app, "$ann INSERT INTO multitenant.members VALUES ('eve', 'active', now(), NULL, NULL);", '42501', 'P3: writing through the view');
$mt->refused($app, "$ann UPDATE multitenant.members SET state = 'active';", '42501', 'P3: changing through the view');
$mt->refused($app, "$ann SELECT multitenant.$_;", '42704', "P3: another tenant's: $_", tenant => 'acme')
	foreach "remove_member('SECRET-BETA-boss')", "suspend_member('SECRET-BETA-boss', 'x')", "resume_member('SECRET-BETA-boss')", "drop_group('SECRET-BETA-group')";
# Everything that the views can be made to show, and what functions see that the planner may call early.
my $leaky = "CREATE FUNCTION pg_temp.peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS \$f\$ BEGIN RAISE WARNING 'saw %', \$1; RETURN true; END \$f\$;\n";
foreach my $view (qw(members groups group_members))
{
	my $column = $view eq 'groups' ? 'name' : $view eq 'members' ? 'principal' : 'member';
	# Without an index nothing but the barrier keeps the function from the others' rows.
	my (undef, $err) = $mt->run($app, "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
		$leaky $ann SELECT * FROM multitenant.$view WHERE pg_temp.peek($column);");
	like($err, qr/saw ann/, 'P3: a leaky function sees what is one\'s own') if $view eq 'members';
	unlike($err, qr/SECRET-BETA-(?:boss|group|known)/, "P3: a leaky function on view $view sees nothing of others");
	my ($out, $err2) = $mt->run($app, "$ann EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM multitenant.$view WHERE $column > 'a';");
	unlike("$out$err2", qr/$beta|SECRET-BETA-(?:boss|group|known)/, "P3: the plan of view $view neither");
	(undef, $err) = $mt->run($app, "$ann SELECT 1/(CASE WHEN $column LIKE 'SECRET-BETA-b%s%' THEN 0 ELSE 1 END) FROM multitenant.$view;");
	unlike($err, qr/22012/, "P3: nor does an error of view $view tell");
}
my ($out, $err) = $mt->run($app, as('SECRET-BETA-both') . switch('acme') . "$leaky SELECT slug FROM multitenant.memberships ORDER BY 1;");
is($out =~ s/^(?!acme|beta).*\n//mgr, "acme\nbeta", 'P3: somebody sees his own tenants');
(undef, $err) = $mt->run($app, "$leaky " . as('ann') . "SELECT * FROM multitenant.memberships WHERE pg_temp.peek(slug);");
unlike($err, qr/saw beta/, 'P3: and a leaky function no others');
# An own function of the same name, or operator, is not called by what runs with the extension's rights.
(undef, $err) = $mt->run($app, "CREATE FUNCTION pg_temp.octet_length(text) RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN RAISE WARNING 'called as %', current_user; RETURN 0; END \$f\$;
	CREATE FUNCTION pg_temp.statement_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS \$f\$ BEGIN RAISE WARNING 'called as %', current_user; RETURN NULL; END \$f\$;
	SET search_path = pg_temp, pg_catalog; $ann SELECT multitenant.invite_member('x'), multitenant.create_group('g'); SELECT * FROM multitenant.members; ROLLBACK;");
unlike($err, qr/ERROR|called as/, 'P3: functions of one\'s own under the names of the server\'s are not called');
# A tenant cannot tell who is known, disabled, or a member elsewhere.
$mt->superuser("SELECT multitenant.create_principal('disabled one'); SELECT multitenant.disable_principal('disabled one', 'x')");
foreach my $mode ('multiple', 'single')
{
	if ($mode eq 'single')
	{
		$mt->refused('regress_mt_migrator', "SELECT multitenant.set_membership_mode('single')", '42501', 'P4: only superusers set the mode');
		$mt->superuser("SELECT multitenant.remove_member('acme', 'SECRET-BETA-both'); SELECT multitenant.set_membership_mode('single')");
	}
	my %answers;
	foreach my $who ('SECRET-BETA-boss', 'SECRET-BETA-known', 'disabled one', 'never heard of')
	{
		foreach my $call ('invite_member', 'add_member')
		{
			my ($out, $err) = $mt->run($app, "$ann SELECT multitenant.$call('$who'); SELECT principal, state, invited_by, expires_at > now() FROM multitenant.members WHERE principal = '$who';");
			$out =~ s/\Q$who\E/X/g;
			s/psql:<stdin>:\d+: // foreach $err;
			$answers{$call}{"$out$err"} .= "$who, ";
		}
	}
	is(scalar(keys %{ $answers{$_} }), 1, "P4: in mode $mode $_() answers the same for everybody") or diag(join("\n", %{ $answers{$_} })) foreach 'invite_member', 'add_member';
}
# Neither does what explains and reviews rights, of whom has only been invited; and no row of everybody's is written.
$mt->superuser("SELECT multitenant.create_principal('a machine', kind => 'machine')");
my %told;
foreach my $who ('SECRET-BETA-boss', 'SECRET-BETA-known', 'disabled one', 'a machine', 'never heard of')
{
	my ($out, $err) = $mt->run($app, "$ann SELECT multitenant.invite_member('$who'), multitenant.assign_role('$who', 'administrator') IS NOT NULL;
		SELECT reason FROM multitenant.explain_permission('member:read', NULL, '$who'); SELECT principal, kind, member_state FROM multitenant.review_access() WHERE principal = '$who';");
	$out =~ s/\Q$who\E/X/g;
	s/psql:<stdin>:\d+: // foreach $err;
	$told{"$out$err"} .= "$who, ";
}
is(scalar(keys %told), 1, 'P4: explain_permission() and review_access() say the same of everybody who is invited') or diag(join("\n", %told));
like((keys %told)[0], qr/the member is invited/, 'P4: namely that');
$mt->allowed($app, "$ann SELECT multitenant.invite_member('SECRET-BETA-boss'); COMMIT;", '', 'P4: somebody of another tenant is invited');
$mt->refused($app, as('SECRET-BETA-boss') . "SELECT multitenant.accept_invitation('acme');", '55000', 'P4: and learns by himself that he is a member elsewhere');
$mt->superuser("SELECT multitenant.set_membership_mode('multiple')");
$mt->allowed($app, "$ann SELECT multitenant.invite_member('hundred and first'), multitenant.add_member('hundred and second'); COMMIT;", '', 'P4: two that nobody knows');
is($mt->superuser("SELECT count(*) FROM multitenant.principal WHERE id LIKE 'hundred%'"), '0', 'P4: a tenant writes nothing about them that is everybody\'s');
$mt->superuser("DELETE FROM multitenant.member WHERE principal LIKE 'hundred%'");

# ---- invitations ----

$mt->refused($app, as('bob') . switch('beta') . $see, 'MT008', 'P5: who is invited is not in');
$mt->refused($app, in('acme', 'bob') . "SELECT multitenant.accept_invitation('beta');", '42501', 'P5: a token of one tenant speaks for nobody in another');
$mt->refused($app, in('acme', 'bob', kid => 'acme_only') . "SELECT multitenant.$_;", '42501', "P5: nor one of a key for that tenant: $_") foreach @own;
$mt->refused($app, in('acme', 'bob', kid => 'acme_only') . 'SELECT * FROM multitenant.memberships;', '42501', 'P5: and it does not see where else somebody is a member');
my %errors;
foreach my $tenant ('acme', 'beta', 'gamma', 'nowhere', $beta, '00000000-0000-0000-0000-0000000000ff')
{
	my (undef, $err) = $mt->run($app, as('ann') . "SELECT multitenant.accept_invitation('$tenant');");
	$errors{ $err =~ s/psql:<stdin>:\d+: //r }++;
}
is(scalar(keys %errors), 1, 'P5: no invitation and no tenant are one error') or diag(join("\n", keys %errors));
like((keys %errors)[0], qr/MT008/, 'P5: namely MT008');
$mt->allowed($app, as('bob') . "SELECT multitenant.accept_invitation('beta'); COMMIT;" . as('bob') . switch('beta') . $see, 'SECRET-BETA', 'P5: who accepts is in', tenant => 'beta');
$mt->superuser("SELECT multitenant.remove_member('beta', 'bob')");

# ---- members that go, in open sessions ----

my $session = $mt->session($app);
my $member = sub {
	ask($session, 'BEGIN');
	my $known = ask($session, "SELECT multitenant.authenticate('" . $mt->token(undef, sub => 'bob') . "') IS NULL");
	return $known eq 't' ? ask($session, "SELECT multitenant.switch_tenant('acme') IS NOT NULL") : $known;
};
my @ends = (
	[ 'removed', "SELECT multitenant.remove_member('acme', 'bob')", "SELECT multitenant.add_member('acme', 'bob')" ],
	[ 'suspended', "UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'bob'", "UPDATE multitenant.member SET state = 'active' WHERE principal = 'bob'" ],
	[ 'disabled', "SELECT multitenant.disable_principal('bob', 'x')", "SELECT multitenant.enable_principal('bob')" ],
	[ 'expired', "UPDATE multitenant.member SET expires_at = now() WHERE principal = 'bob'", "UPDATE multitenant.member SET expires_at = NULL WHERE principal = 'bob'" ]);
foreach my $case (@ends)
{
	my ($name, $end, $again) = @$case;
	is($member->(), 't', "P6: a member that will be $name is in");
	is(ask($session, $see), 'SECRET-ACME', "P6: and sees its tenant's row");
	$mt->superuser($end);
	is(ask($session, $see), 'MT008', "P6: $name, it is refused with the next statement");
	ask($session, 'ROLLBACK');
	is($member->(), 'MT008', "P6: and cannot come in again");
	ask($session, 'ROLLBACK');
	my ($out, $err) = $mt->run($app, in('acme', 'bob') . $see);
	if ($name eq 'suspended' || $name eq 'disabled')
	{
		like($err, qr/MT008/, "P6: nor with a token of the tenant, $name");
	}
	else
	{
		like($out, qr/SECRET-ACME/, "P6: a token of the tenant is enough, $name");
		$mt->superuser('ALTER ROLE regress_mt_app SET multitenant.require_membership = on');
		$mt->refused($app, in('acme', 'bob') . $see, 'MT008', "P6: unless the setting says otherwise, $name");
		$mt->refused($app, 'SET multitenant.require_membership = off;' . in('acme', 'bob') . $see, '42501', "P6: which it cannot turn off, $name");
		$mt->superuser('ALTER ROLE regress_mt_app RESET multitenant.require_membership');
	}
	$mt->refused($app, as('bob') . "SELECT multitenant.accept_invitation('acme');", 'MT008', 'P6: a disabled principal accepts nothing') if $name eq 'disabled';
	$mt->superuser($again);
}
# A token of the tenant in an open session, whose principal is disabled; and one of a principal only.
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'bob') . "')");
is(ask($session, $see), 'SECRET-ACME', 'P6: a token of the tenant');
$mt->superuser("SELECT multitenant.disable_principal('bob', 'x')");
is(ask($session, $see), 'MT008', 'P6: ends with its principal');
ask($session, 'ROLLBACK');
$mt->superuser("SELECT multitenant.enable_principal('bob')");
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.authenticate('" . $mt->token(undef, sub => 'bob') . "')");
is(ask($session, 'SELECT slug FROM multitenant.memberships'), 'acme', 'P6: a principal sees its tenants');
$mt->superuser("SELECT multitenant.disable_principal('bob', 'x')");
is(ask($session, 'SELECT slug FROM multitenant.memberships'), 'MT008', 'P6: until it is disabled');
ask($session, 'ROLLBACK');
$mt->superuser("SELECT multitenant.enable_principal('bob')");
# The same context again does not become one without a membership.
$mt->steps('P6: a member\'s context stays one', $trusted, {},
	'BEGIN' => '', "SELECT multitenant.use_tenant('acme', 'bob') IS NOT NULL" => 't',
	"SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'bob') . "') IS NOT NULL" => 't',
	'SELECT multitenant.leave_tenant()' => '', 'SELECT note FROM invoice' => 'MT008', 'ROLLBACK' => '');
$mt->steps('P6: and a token\'s context becomes one', $trusted, {},
	'BEGIN' => '', "SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'bob') . "') IS NOT NULL" => 't',
	"SELECT multitenant.use_tenant('acme', 'bob') IS NOT NULL" => 't',
	'SELECT multitenant.leave_tenant()' => '', 'SELECT note FROM invoice' => 'MT008', 'ROLLBACK' => '');
$session->quit;

# ---- who has no rights holds nobody up ----

# Whatever he begins and does not end: his session is ended where something is taken away from him.
$mt->superuser("SELECT multitenant.add_member('acme', 'eve'); INSERT INTO multitenant.member (tenant_id, principal, state) VALUES ('$acme', 'oskar', 'invited');
	SELECT multitenant.add_member('acme', 'carl'); INSERT INTO multitenant.role (tenant_id, name) VALUES ('$acme', 'reader');
	INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) SELECT '$acme', false, p, r.id FROM multitenant.role r, unnest('{eve,carl,oskar}'::text[]) p WHERE r.name = 'reader' AND r.tenant_id = '$acme'");
my $soon = in('acme', 'ann') . "SET LOCAL lock_timeout = '8s';";
my @holding = (
	[ 'a member that leaves', in('acme', 'eve'), 'leave_tenant()', "suspend_member('eve', 'x')", "remove_member('eve')", "unassign_role('eve', 'reader')" ],
	[ 'who accepts', as('oskar'), "accept_invitation('acme')", "withdraw_invitation('oskar')", "unassign_role('oskar', 'reader')" ],
	[ 'who declines', as('oskar'), "decline_invitation('acme')", "withdraw_invitation('oskar')", "unassign_role('oskar', 'reader')" ]);
foreach my $case (@holding)
{
	my ($name, $begin, $call, @takes) = @$case;
	foreach my $take (@takes)
	{
		my $holder = $mt->session($app);
		my $pid = ask($holder, 'SELECT pg_backend_pid()');
		ask($holder, $begin);
		is(ask($holder, "SELECT multitenant.$call"), '', "P9: $name: $call");
		$mt->allowed($app, "$soon SELECT multitenant.unassign_role('carl', 'reader'); ROLLBACK;", '', "P9: $name holds up nothing of others");
		$mt->allowed($app, "$soon SELECT multitenant.$take; ROLLBACK;", '', "P9: nor of his own: $take");
		is($mt->superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '0', 'P9: his session is ended');
		eval { $holder->quit };
	}
}
# Nor with many sessions: none waits for another, so none is in front of who removes him.
{
	my @queue = map { $mt->session($app) } 1 .. 6;
	my $pid = ask($queue[0], 'SELECT pg_backend_pid()');
	my $recorded = $mt->superuser("SELECT count(*) FROM multitenant.audit_event WHERE event = 'tenant.end_session' AND object = 'eve'");
	ask($_, in('acme', 'eve')) foreach @queue;
	is(ask($queue[0], 'SELECT multitenant.leave_tenant()'), '', 'P9: a member that leaves in one session');
	is(ask($_, 'SELECT multitenant.leave_tenant()'), '55000', 'P9: does not wait in another') foreach @queue[1 .. $#queue];
	$mt->allowed($app, in('acme', 'ann') . "SET LOCAL lock_timeout = '20s'; SELECT multitenant.remove_member('eve'); COMMIT;", '', 'P9: is removed all the same');
	is($mt->superuser("SELECT count(*) FROM multitenant.member WHERE principal = 'eve' AND tenant_id = '$acme'"), '0', 'P9: and is none');
	is($mt->superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '0', 'P9: the session that held the lock is ended');
	is($mt->superuser("SELECT count(*) - $recorded FROM multitenant.audit_event WHERE event = 'tenant.end_session' AND object = 'eve'"), '1', 'P9: which the record says');
	foreach my $ended (@queue) { eval { $ended->quit } }
}
# Nor does a tenant hold up that somebody is disabled.
{
	my $holder = $mt->session($app);
	ask($holder, in('acme', 'ann'));
	is(ask($holder, "SELECT multitenant.suspend_member('carl', 'x')"), '', 'P9: a tenant with a change that it does not end');
	$mt->allowed($provisioner, "SET lock_timeout = '8s'; BEGIN; SELECT multitenant.disable_principal('carl', 'x'); ROLLBACK;", '', 'P9: does not keep anybody from being disabled');
	$holder->quit;
	$holder = $mt->session($provisioner);
	ask($holder, 'BEGIN');
	ask($holder, "SELECT multitenant.create_role_template('a template')");
	$mt->allowed($provisioner, "SET lock_timeout = '8s'; BEGIN; SELECT multitenant.disable_principal('carl', 'x'); ROLLBACK;", '', 'P9: nor does a change of templates');
	$holder->quit;
}
$mt->superuser("SELECT multitenant.remove_member('acme', p) FROM unnest('{oskar,carl}'::text[]) p");

# ---- the tenant administers itself ----

$mt->refused($app, "$ann SELECT multitenant.$_;", '55000', "P7: the last administrator: $_") foreach "remove_member('ann')", "suspend_member('ann', 'x')", 'leave_tenant()';
$mt->superuser("INSERT INTO multitenant.role (id, tenant_id, name) VALUES ('00000000-0000-0000-0000-0000000000f1', '$acme', 'clerk');
	INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES ('00000000-0000-0000-0000-0000000000f1', 'member:*', '$acme');
	INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES ('$acme', false, 'bob', '00000000-0000-0000-0000-0000000000f1');
	INSERT INTO multitenant.member_group (tenant_id, name) VALUES ('$acme', 'board'), ('$acme', 'deputies'), ('$acme', 'crew');
	INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES ('$acme', true, 'deputies', 'board'), ('$acme', false, 'bob', 'crew');
	INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES ('$acme', true, 'board', '00000000-0000-0000-0000-000000000001')");
my $bob = in('acme', 'bob');
$mt->refused($app, "$bob SELECT multitenant.$_;", '42501', "P7: who manages members does not give himself more: $_")
	foreach "add_to_group('board', 'bob')", "add_to_group('deputies', 'bob')", "add_group_to_group('deputies', 'crew')", "add_group_to_group('board', 'crew')";
$mt->refused($app, "$bob SELECT multitenant.remove_member('ann');", '55000', 'P7: nor removes the last administrator');
$mt->superuser("INSERT INTO multitenant.member (tenant_id, principal, state) VALUES ('$acme', 'exile', 'suspended');
	INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES ('$acme', false, 'exile', '00000000-0000-0000-0000-000000000001')");
$mt->refused($app, "$bob SELECT multitenant.resume_member('exile');", '42501', 'P7: nor gives anybody back what he has not');
$mt->superuser("DELETE FROM multitenant.role_assignment WHERE assignee = 'exile'");
$mt->allowed($app, "$bob SELECT multitenant.resume_member('exile'); ROLLBACK;", undef, 'P7: without that, he does');
$mt->superuser("DELETE FROM multitenant.member WHERE principal = 'exile'");
$mt->allowed($app, "$bob SELECT multitenant.add_to_group('crew', 'ann'); COMMIT;", '', 'P7: a group without roles is his to fill');

# ---- what is told ----

$mt->run($app, as('bob') . switch('acme') . 'COMMIT;');
like($mt->log_since, qr/multitenant audit: event="context\.switch" source="engine" outcome="allowed" tenant="$acme" principal="bob"/, 'P8: a switch is in the log');
is($mt->superuser("SELECT count(*) > 0 FROM multitenant.audit_event WHERE event = 'context.switch' AND tenant_id = '$acme' AND principal = 'bob'"), 't', 'P8: and recorded');
my $count = "SELECT count(*) FROM multitenant.audit_event WHERE event = 'context.switch'";
my $before = $mt->superuser($count);
$mt->run($app, as('bob') . switch('acme') . switch('acme') . 'COMMIT;');
is($mt->superuser($count) - $before, 1, 'P8: once, not again where nothing changes');
$mt->run($app, as('bob') =~ s/BEGIN/BEGIN READ ONLY/r . switch('acme') . 'COMMIT;');
is($mt->superuser($count) - $before, 1, 'P8: a read-only transaction writes no row');
like($mt->log_since, qr/event="context\.switch".*event="context\.switch"/s, 'P8: but its line is in the log');
$mt->superuser("UPDATE multitenant.tenant SET state_reason = 'SECRET-GAMMA difficult' WHERE slug = 'acme'");
$mt->allowed($app, "$ann SELECT * FROM multitenant.tenants;", 'acme', 'P8: a tenant does not see why it has its state', tenant => 'acme');
$mt->superuser("SET SESSION AUTHORIZATION regress_mt_operator; SELECT multitenant.suspend_tenant('acme', 'SECRET-GAMMA unpaid'); SELECT multitenant.resume_tenant('acme')");
($out, $err) = $mt->run($app, "$ann SELECT * FROM multitenant.audit_log;");
like($out, qr/tenant\.suspended/, 'P8: a tenant sees what was done to it');
unlike($out, qr/SECRET-GAMMA|regress_mt_(?:operator|provisioner)|postgres/, 'P8: but neither why, nor how the staff\'s roles are called');
like($out, qr/context\.switch.*\|$app\|/, 'P8: its own role it sees');
$mt->refused($app, in('acme', 'ann', kind => 'supervised') . 'SELECT * FROM multitenant.audit_log;', '42501', 'P8: who looks into a tenant does not see its record');
$mt->allowed('regress_mt_auditor', 'SELECT session_role, detail FROM multitenant.audit_log;', 'SECRET-GAMMA unpaid', 'P8: an auditor sees it');
$mt->intact('every row is still there');
done_testing();
