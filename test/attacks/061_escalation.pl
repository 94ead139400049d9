# Members of a tenant who want more than they have: directly, by groups, roles, inheritance, wildcards, scopes and
# accomplices, with rights that are over, from other tenants and from outside. Each attempt is refused, and afterwards
# nobody has more than before.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use Test::More;

my ($app, $trusted, $provisioner) = qw(regress_mt_app regress_mt_trusted regress_mt_provisioner);
my $mt = MtTest->new('attack_escalation');
my %id = map { $_->[0] => $_->[1] } map { [ split(/\|/) ] } split(/\n/, $mt->superuser('SELECT slug, id FROM multitenant.tenant'));

# root administers; mallory may assign, manage roles and scopes, and sees machines, in the whole tenant; brief the same
# until the year 2098; site may assign and sees machines in paris; ally has nothing and helps.
my $setup = <<"SQL";
SELECT multitenant.create_permission(p, 'Test.') FROM unnest('{vm:read,vm:create,secret:open}'::text[]) p;
SELECT multitenant.create_role_template('viewer', permissions => '{vm:read}');
SELECT multitenant.create_role_template('engineer', permissions => '{vm:create}', inherits => '{viewer}');
SELECT multitenant.create_role_template('every vm', permissions => '{vm:*}');
INSERT INTO multitenant.principal (id) SELECT unnest('{root,mallory,brief,site,ally,gone,hr,other,pat}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) SELECT '$id{acme}', unnest('{root,mallory,brief,site,ally,gone,hr}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$id{beta}', 'other'), ('$id{beta}', 'mallory'), ('$id{gamma}', 'pat');
INSERT INTO multitenant.member_group (tenant_id, name) VALUES ('$id{acme}', 'engineers'), ('$id{acme}', 'crew');
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES ('$id{acme}', false, 'mallory', 'crew');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES
	('$id{acme}', false, 'root', '00000000-0000-0000-0000-000000000001'), ('$id{beta}', false, 'other', '00000000-0000-0000-0000-000000000001'),
	('$id{gamma}', false, 'pat', '00000000-0000-0000-0000-000000000001');
BEGIN;
SELECT multitenant.use_tenant('acme');
SELECT multitenant.create_scope('paris'), multitenant.create_scope('rome');
SELECT multitenant.create_scope('vault', 'rome');
SELECT multitenant.create_role('lead', permissions => '{role:assign,role:manage,role:read,scope:manage}', inherits => '{viewer}');
SELECT multitenant.create_role('local', permissions => '{role:assign}', inherits => '{viewer}');
SELECT multitenant.create_role('openers', permissions => '{secret:open}');
SELECT multitenant.create_role('staff', permissions => '{member:manage}');
SELECT multitenant.assign_role('hr', 'staff');
SELECT multitenant.exclude_roles('lead', 'openers');
SELECT multitenant.assign_role('mallory', 'lead'), multitenant.assign_role('brief', 'lead', expires_at => '2098-01-01 00:00+00'),
	multitenant.assign_role('site', 'local', 'paris'), multitenant.assign_role_to_group('engineers', 'engineer'),
	multitenant.assign_role('mallory', 'engineer', 'paris'), multitenant.assign_role('gone', 'lead');
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('beta');
SELECT multitenant.create_role('betas', permissions => '{vm:*}');
COMMIT;
SQL
$mt->superuser($setup);
my $rights = "SELECT string_agg(to_jsonb(a)::text, ' ' ORDER BY a.id) || (SELECT string_agg(to_jsonb(p)::text, ' ' ORDER BY p.role_id, p.permission) FROM multitenant.role_permission p)
	|| coalesce((SELECT string_agg(to_jsonb(p)::text, ' ' ORDER BY p.role_id, p.parent_id) FROM multitenant.role_parent p), '')
	|| (SELECT string_agg(to_jsonb(s)::text, ' ' ORDER BY s.tenant_id, s.id) FROM multitenant.scope s)
	|| (SELECT string_agg(to_jsonb(r)::text, ' ' ORDER BY r.id) FROM multitenant.role r)
	|| coalesce((SELECT string_agg(to_jsonb(g)::text, ' ' ORDER BY g.group_name, g.member) FROM multitenant.group_member g), '')
	FROM multitenant.role_assignment a";
my $before = $mt->superuser($rights);

# One attempt of a principal in a tenant; others see nothing of what a refused statement did.
sub attempt
{
	my ($who, $statement, $state, $name, %options) = @_;
	my $tenant = $options{tenant} // 'acme';
	return $mt->refused($app, $mt->begin($tenant, sub => $who, %{ $options{claims} || {} }) . "SELECT multitenant.$statement; COMMIT;", $state, $name);
}

# ---- it works at all ----
$mt->allowed($app, $mt->begin('acme', sub => 'mallory') . "SELECT 'given ' || (multitenant.assign_role('ally', 'viewer') IS NOT NULL); ROLLBACK;", 'given true', 'P0: who holds a role gives it');
$mt->allowed($app, $mt->begin('acme', sub => 'site') . "SELECT 'given ' || (multitenant.assign_role('ally', 'viewer', 'paris') IS NOT NULL); ROLLBACK;", 'given true', 'P0: in a scope, too');

# ---- oneself ----
attempt('mallory', "assign_role('mallory', 'administrator')", '42501', 'P1: nobody makes himself an administrator');
attempt('mallory', "assign_role('mallory', 'engineer')", '42501', 'P1: nor takes what he lacks in the whole tenant');
attempt('mallory', "assign_role('mallory', 'openers')", '42501', 'P1: nor a role that only permits something else');
attempt('ally', "assign_role('ally', 'viewer')", '42501', 'P1: who may not assign assigns nothing');
attempt('ally', "create_role('own', permissions => '{vm:read}')", '42501', 'P1: nor makes roles');
attempt('ally', "grant_permission('lead', 'vm:read')", '42501', 'P1: nor edits them');

# ---- the scope ----
attempt('site', "assign_role('site', 'viewer')", '42501', 'P2: the whole tenant by somebody of one scope');
attempt('site', "assign_role('site', 'viewer', 'rome')", '42501', 'P2: another scope');
attempt('site', "assign_role('site', 'local')", '42501', 'P2: the right to assign, more widely');
attempt('mallory', "assign_role('mallory', 'engineer', 'rome')", '42501', 'P2: a role that is held elsewhere');
attempt('mallory', "assign_role('ally', 'engineer', 'nowhere')", '42704', 'P2: a scope that does not exist');

# ---- the end ----
attempt('brief', "assign_role('brief', 'lead')", '42501', 'P3: one\'s own end is not taken away');
attempt('brief', "assign_role('brief', 'lead', expires_at => '2098-01-01 00:00:01+00')", '42501', 'P3: nor put off');
attempt('brief', "assign_role('ally', 'lead', expires_at => 'infinity')", '42501', 'P3: nor avoided by an accomplice');
attempt('brief', "create_role('own', permissions => '{vm:read}')", '42501', 'P3: nor by a role that stays');

# ---- groups ----
attempt('mallory', "assign_role_to_group('crew', 'engineer')", '42501', 'P4: a group is given no more than a person');
attempt('mallory', "assign_role_to_group('crew', 'administrator', 'paris')", '42501', 'P4: nor in a scope');
attempt('hr', "add_to_group('engineers', 'hr')", '42501', 'P4: who comes into a group is given what it has');
attempt('hr', "add_group_to_group('engineers', 'crew')", '42501', 'P4: so is a group');

# ---- roles that one has ----
attempt('mallory', "grant_permission('lead', 'vm:create')", '42501', 'P5: one\'s role does not come to permit what one lacks');
attempt('mallory', "grant_permission('lead', 'secret:open')", '42501', 'P5: nor what one holds nowhere');
attempt('mallory', "inherit_role('lead', 'administrator')", '42501', 'P6: nor inherits the administrator');
attempt('mallory', "inherit_role('lead', 'openers')", '42501', 'P6: nor another role of the tenant');
attempt('mallory', "inherit_role('lead', 'engineer')", '42501', 'P6: nor what is held in a scope');
attempt('mallory', "create_role('own', inherits => '{engineer}')", '42501', 'P6: nor by a new role');
attempt('root', "inherit_role('viewer', 'lead')", '42501', 'P6: nor a template');
attempt('root', "inherit_role('lead', 'lead')", '22023', 'P6: nor itself, in a circle');
attempt('mallory', "grant_permission('lead', 'vm:*')", '42501', 'P7: no wildcard by somebody who holds single permissions');
attempt('mallory', "grant_permission('lead', '*:read')", '42501', 'P7: nor the other half');
attempt('mallory', "grant_permission('lead', '*:*')", '42501', 'P7: nor both');
attempt('mallory', "assign_role('ally', 'every vm')", '42501', 'P7: nor a role that has one');
attempt('mallory', "create_role('own', permissions => '{role:*}')", '42501', 'P7: nor over what one may nearly all');

# ---- scopes that move ----
attempt('mallory', "move_scope('vault', 'paris')", '42501', 'P8: no scope comes to where one has more');
attempt('mallory', "move_scope('rome', 'paris')", '42501', 'P8: nor one above it');
attempt('mallory', "create_scope('unclaimed', 'paris')", '42501', 'P8: nor are rows claimed that have no scope yet');
attempt('site', "move_scope('vault', 'paris')", '42501', 'P8: nor by somebody of that scope');
attempt('mallory', "move_scope('rome', 'vault')", '22023', 'P8: nor in a circle');

# ---- accomplices ----
attempt('mallory', "assign_role('ally', 'administrator')", '42501', 'P9: an accomplice is given no more than oneself');
$mt->refused($app, $mt->begin('acme', sub => 'mallory') . "SELECT multitenant.assign_role('ally', 'lead'); COMMIT;\n" . $mt->begin('acme', sub => 'ally') .
	"SELECT multitenant.assign_role('mallory', 'administrator');", '42501', 'P9: two together have no more than each');
attempt('ally', "assign_role('brief', 'engineer')", '42501', 'P9: nor for a third');
$mt->superuser("DELETE FROM multitenant.role_assignment WHERE assignee = 'ally'");

# ---- taking away ----
attempt('mallory', "unassign_role('root', 'administrator')", '55000', 'P10: the last administrator stays');
attempt('root', "assign_role('root', 'administrator', expires_at => '2098-01-01 00:00+00')", '55000', 'P10: and without an end');
attempt('site', "unassign_role('mallory', 'lead')", '42501', 'P10: nobody takes away outside his scope');

# ---- rights that are over, in an open session ----
foreach my $case (
	[ 'an expired right', "UPDATE multitenant.role_assignment SET expires_at = clock_timestamp() WHERE assignee = 'gone'", '42501' ],
	[ 'a role taken away', "DELETE FROM multitenant.role_assignment WHERE assignee = 'gone'", '42501' ],
	[ 'a permission taken from the role', "DELETE FROM multitenant.role_permission WHERE permission = 'role:assign' AND tenant_id = '$id{acme}'", '42501' ],
	[ 'a suspended member', "UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'gone'", '42501|MT008' ],
	[ 'a removed member', "DELETE FROM multitenant.member WHERE principal = 'gone'", '42501|MT008' ],
	[ 'a disabled principal', "UPDATE multitenant.principal SET state = 'disabled' WHERE id = 'gone'", '42501|MT008' ],
	[ 'a suspended tenant', "SELECT multitenant.suspend_tenant('acme', 'test')", 'MT006' ])
{
	my ($name, $change, $state) = @$case;
	foreach my $level ('READ COMMITTED', 'REPEATABLE READ')
	{
		my $saved = $mt->superuser("CREATE TABLE saved_assignment AS SELECT * FROM multitenant.role_assignment; CREATE TABLE saved_permission AS SELECT * FROM multitenant.role_permission;
			CREATE TABLE saved_member AS SELECT * FROM multitenant.member");
		my $session = $mt->session($app);
		ask($session, "BEGIN ISOLATION LEVEL $level");
		ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'gone') . "')");
		ask($session, 'SAVEPOINT s');
		is(ask($session, "SELECT multitenant.assign_role('ally', 'viewer') IS NOT NULL"), 't', "P11: $name: it was there ($level)");
		ask($session, 'ROLLBACK TO s');
		$mt->superuser($change);
		like(ask($session, "SELECT multitenant.assign_role('ally', 'viewer') IS NOT NULL"), qr/^(?:$state)$/, "P11: $name assigns nothing with the next statement ($level)");
		ask($session, 'ROLLBACK');
		$session->quit;
		$mt->superuser("SELECT multitenant.resume_tenant('acme') FROM multitenant.tenant WHERE slug = 'acme' AND state = 'suspended';
			UPDATE multitenant.principal SET state = 'active' WHERE state <> 'active';
			DELETE FROM multitenant.role_assignment; INSERT INTO multitenant.role_assignment SELECT * FROM saved_assignment;
			DELETE FROM multitenant.role_permission; INSERT INTO multitenant.role_permission SELECT * FROM saved_permission;
			DELETE FROM multitenant.member; INSERT INTO multitenant.member SELECT * FROM saved_member;
			DROP TABLE saved_assignment, saved_permission, saved_member");
	}
}
$before = $mt->superuser($rights);
attempt('pat', "assign_role('pat', 'viewer')", 'MT006', 'P11: nobody enters a tenant that is suspended', tenant => 'gamma');

# ---- other tenants ----
my $betas = $mt->superuser("SELECT id FROM multitenant.role WHERE name = 'betas'");
my $lead = $mt->superuser("SELECT id FROM multitenant.role WHERE name = 'lead'");
attempt('root', "assign_role('root', '$betas')", '42704', 'P12: another tenant\'s role by its id');
attempt('root', "grant_permission('$betas', 'vm:read')", '42704', 'P12: nor is it edited');
attempt('root', "inherit_role('lead', '$betas')", '42704', 'P12: nor inherited');
attempt('root', "drop_role('$betas')", '42704', 'P12: nor dropped');
attempt('other', "assign_role('root', 'viewer')", 'MT008', 'P12: people of another tenant are no members', tenant => 'beta');
attempt('other', "assign_role('other', 'viewer', 'paris')", '42704', 'P12: nor are its scopes there', tenant => 'beta');
attempt('other', "move_scope('vault', NULL)", '42704', 'P12: nor moved', tenant => 'beta');
attempt('other', "unassign_role('mallory', '$lead')", '42704', 'P12: nor is anything taken there', tenant => 'beta');
attempt('mallory', "assign_role('mallory', 'viewer')", '42501', 'P12: rights of one tenant are none in another', tenant => 'beta');
attempt('other', "assign_role('other', 'viewer')", '42501', 'P12: who is no member has none, whatever the token says');
$mt->refused($app, $mt->begin('beta', sub => 'other') . "SELECT multitenant.authenticate('" . $mt->token('acme', sub => 'other') . "'); SELECT multitenant.assign_role('other', 'viewer');", 'MT005', 'P12: one transaction is one tenant');

# ---- templates ----
attempt('root', "grant_permission('viewer', 'secret:open')", '42501', 'P13: a tenant changes no template');
attempt('root', "inherit_role('viewer', 'administrator')", '42501', 'P13: nor what it inherits');
attempt('root', "alter_role('viewer', 'mine')", '42501', 'P13: nor its name');
attempt('root', "drop_role('every vm')", '42501', 'P13: nor drops one');
attempt('root', "revoke_permission('administrator', '*:*')", '42501', 'P13: least of all the administrator');
attempt('root', "create_role('administrator')", '42710', 'P13: nor takes its name');
attempt('root', "create_role_template('mine', permissions => '{*:*}')", '42501', 'P13: nor makes one');
attempt('root', "create_permission('all:things', 'x')", '42501', 'P13: nor a permission');
attempt('root', "assign_system_role('root', 'administrator')", '42501', 'P13: nor a role of the system');

# ---- from outside ----
attempt('root', "assign_role('ally', 'viewer')", '(?:42501|MT008)', 'P14: a supervised session assigns nothing', claims => { kind => 'supervised' });
attempt('root', "create_role('x')", '(?:42501|MT008)', 'P14: nor makes roles', claims => { kind => 'supervised' });
attempt('root', "review_access()", '(?:42501|MT008)', 'P14: nor sees who has what', claims => { kind => 'supervised' });
foreach my $statement (qw{assign_role('ally','viewer') assign_role_to_group('crew','viewer') unassign_role('mallory','lead') create_role('x') grant_permission('lead','vm:read') inherit_role('lead','viewer')
	create_scope('x') move_scope('vault',NULL) drop_scope('vault') review_access() access_as_of('root',now()) exclude_roles('lead','local')})
{
	$mt->refused($app, "SELECT multitenant.$statement", 'MT001', "P15: without a context: $statement");
	$mt->refused($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); SELECT multitenant.$statement", '42501', "P15: with a tenant and nobody in it: $statement");
	$mt->refused($provisioner, "SELECT multitenant.$statement", 'MT001', "P15: by a provisioner: $statement");
}
foreach my $view (qw(roles role_permissions role_exclusions scopes assignments))
{
	$mt->refused($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); SELECT count(*) FROM multitenant.$view", '42501', "P15: with a tenant and nobody in it: $view") unless $view eq 'role_exclusions';
	$mt->refused($app, $mt->begin('acme', sub => 'root', kind => 'supervised') . "SELECT count(*) FROM multitenant.$view", '(?:42501|MT008)', "P15: in a supervised session: $view") unless $view eq 'role_exclusions';
}

# ---- past the functions ----
foreach my $table (qw(permission role role_parent role_permission role_exclusion scope role_assignment rights_version rights_history))
{
	$mt->refused($app, $mt->begin('acme', sub => 'root') . "SELECT * FROM multitenant.$table", '42501', "P16: the table $table is not read");
	$mt->refused($app, $mt->begin('acme', sub => 'root') . "DELETE FROM multitenant.$table", '42501', "P16: nor emptied: $table");
}
$mt->refused($app, $mt->begin('acme', sub => 'mallory') . "SET search_path = pg_temp, public; CREATE TEMP TABLE x (i int); CREATE FUNCTION pg_temp.has_permission(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
	SELECT multitenant.assign_role('mallory', 'administrator')", '42501', 'P16: no function of one\'s own is asked');
$mt->refused($app, $mt->begin('acme', sub => 'mallory') . "SELECT multitenant._put_assignment('$id{acme}', false, 'mallory', NULL, NULL, NULL, NULL)", '42501', 'P16: nor what is internal');
# A view with a function that tells what it sees is given rows of one's own tenant only.
$mt->allowed($app, $mt->begin('beta', sub => 'other') . "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''seen %'', \$1; RETURN true; END';
	SELECT 'done' FROM multitenant.roles WHERE pg_temp.tell(name) AND name = 'betas'", 'done', 'P17: the views are barriers') ;
my ($out, $err) = $mt->run($app, $mt->begin('beta', sub => 'other') . "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''seen %'', \$1; RETURN true; END';
	SELECT count(*) FROM multitenant.roles WHERE pg_temp.tell(name); SELECT count(*) FROM multitenant.assignments WHERE pg_temp.tell(principal); SELECT count(*) FROM multitenant.scopes WHERE pg_temp.tell(id);");
unlike($err, qr/seen (?:lead|local|openers|root|ally|paris)/, 'P17: and show nothing of another tenant');

# ---- separate duties ----
attempt('root', "assign_role('mallory', 'openers')", '55000', 'P18: nobody is given roles that exclude each other');
attempt('root', "assign_role('mallory', 'openers', 'rome')", '55000', 'P18: nor in a scope');
attempt('root', "assign_role_to_group('crew', 'openers')", '55000', 'P18: nor by a group');
attempt('mallory', "drop_exclusion('viewer', 'openers')", '42704', 'P18: what excludes nothing is not ended');

is($mt->superuser($rights), $before, 'after all of it nobody has more than before');
$mt->intact('and nobody\'s rows were touched');
done_testing();
