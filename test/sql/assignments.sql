-- Scopes, and who has which role where: what each function does and records, that nobody gives what he does not hold,
-- separation of duties, and the last administrator.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\i sql/rights.inc
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_provisioner LOGIN;
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.create_tenant('asg-a', number => 9501, id => 'a0000000-0000-4000-8000-000000000051') AS a \gset
SELECT multitenant.create_tenant('asg-b', number => 9502, id => 'b0000000-0000-4000-8000-000000000052') AS b \gset
SELECT count(multitenant.create_permission(p, 'Test.')) FROM unnest('{vm:read,vm:create,vm:delete,disk:read,ledger:write,ledger:approve}'::text[]) p;
SELECT multitenant.create_role_template('viewer', permissions => '{vm:read,disk:read}') IS NOT NULL,
	multitenant.create_role_template('engineer', permissions => '{vm:*}', inherits => '{viewer}') IS NOT NULL,
	multitenant.create_role_template('manager', permissions => '{role:assign}', inherits => '{viewer}') IS NOT NULL,
	multitenant.create_role_template('clerk', permissions => '{ledger:write}') IS NOT NULL,
	multitenant.create_role_template('approver', permissions => '{ledger:approve}') IS NOT NULL;
SELECT people('asg-a', '{alice,bob,carol,dora,site}'), people('asg-b', '{bert}');
INSERT INTO multitenant.member_group (tenant_id, name) VALUES (:'a', 'team'), (:'a', 'everybody'), (:'b', 'theirs');
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES (:'a', true, 'team', 'everybody'), (:'a', false, 'carol', 'team');

-- ---- who may do nothing here ----
SELECT administrator('asg-a', 'alice'), administrator('asg-b', 'bert');
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.assign_system_role('alice', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unassign_system_role('alice', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.assign_role('bob', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_system_role('alice', 'viewer'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
-- who is disabled, and who is a member no longer
UPDATE multitenant.principal SET state = 'disabled' WHERE id = 'alice';
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer')$$);
UPDATE multitenant.principal SET state = 'active' WHERE id = 'alice';
UPDATE multitenant.member SET expires_at = now() - interval '1 second' WHERE principal = 'alice';
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer')$$);
UPDATE multitenant.member SET expires_at = '2098-01-01 00:00+00' WHERE principal = 'alice';
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer')$$);
UPDATE multitenant.member SET expires_at = NULL WHERE principal = 'alice';

-- ---- scopes ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.create_scope('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.move_scope('x', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_scope('x'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.scopes; \echo :LAST_ERROR_SQLSTATE
SELECT try('asg-a', 'bob', $$SELECT multitenant.create_scope('x')$$);
SELECT try('asg-a', 'bob', $$SELECT count(*) FROM multitenant.scopes$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('paris', NULL, 'site', 'Paris')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('rome', kind => 'site')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('p-rack', 'paris', 'rack')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('p-cluster', 'p-rack', 'cluster')$$);
SELECT try('asg-a', 'alice', $$SELECT length(multitenant.create_scope(NULL, 'p-rack'))$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('paris')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('x', 'nowhere')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope(E'a\nb')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope(repeat('x', 256))$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('paris', 'p-cluster')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('paris', 'paris')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('nowhere', 'paris')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('paris', 'nowhere')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope(NULL, 'paris')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('p-cluster', 'rome')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('p-cluster', 'p-rack')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_scope('p-rack')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_scope('nowhere')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_scope(NULL)$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_scope(id) FROM multitenant.scopes WHERE id !~ '^[pr]'$$);
SELECT try('asg-a', 'alice', $$SELECT string_agg(format('%s<%s %s %s', id, parent_id, kind, name), ', ' ORDER BY id) FROM multitenant.scopes$$);
-- another tenant's are not there, and its own may be called the same
SELECT try('asg-b', 'bert', $$SELECT count(*) FROM multitenant.scopes$$);
SELECT try('asg-b', 'bert', $$SELECT multitenant.drop_scope('rome')$$);
SELECT try('asg-b', 'bert', $$SELECT multitenant.create_scope('x', 'paris')$$);
SELECT try('asg-b', 'bert', $$SELECT multitenant.create_scope('paris')$$);

-- ---- assigning ----
SELECT multitenant.assign_role('bob', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_role_to_group('team', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unassign_role('bob', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unassign_role_from_group('team', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.assignments; \echo :LAST_ERROR_SQLSTATE
SELECT try('asg-a', 'bob', $$SELECT multitenant.assign_role('bob', 'viewer')$$);
SELECT try('asg-a', 'bob', $$SELECT count(*) FROM multitenant.assignments$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'engineer', 'paris', '2099-01-01 00:00+00', 'on call') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role_to_group('everybody', 'viewer') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bert', 'viewer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'nothing')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer', 'nowhere')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer', expires_at => now() - interval '1 second')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer', expires_at => '-infinity')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role(NULL, 'viewer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', NULL)$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role_to_group('theirs', 'viewer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role_to_group(NULL, 'viewer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('bob', 'engineer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('bob', 'viewer', 'paris')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('carol', 'viewer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_scope('p-cluster')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_scope('p-cluster', 'p-rack', 'cluster')$$);
-- again: another end, the same assignment
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'engineer', 'paris', 'infinity', 'for good') = (SELECT id FROM multitenant.assignments WHERE principal = 'bob')$$);
SELECT try('asg-a', 'alice', $$SELECT string_agg(format('%s%s %s %s %s %s %s', principal, group_name, role, scope_id, expires_at, assigned_by, reason), ', ' ORDER BY role) FROM multitenant.assignments$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_scope('paris')$$);
SELECT try('asg-a', 'bob', $$SELECT multitenant.has_permission('vm:create', 'p-cluster') || ' ' || multitenant.has_permission('vm:create', 'rome') || ' ' || multitenant.has_permission('vm:create')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.has_permission('vm:read', 'rome') || ' ' || multitenant.has_permission('vm:create')$$);
SELECT try('asg-b', 'bert', $$SELECT count(*) FROM multitenant.assignments$$);
SELECT try('asg-b', 'bert', $$SELECT multitenant.unassign_role('bob', 'engineer', 'paris')$$);

-- ---- delegation: what one holds, there or more widely, and as long ----
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('site', 'manager', 'paris', '2098-01-01 00:00+00') IS NOT NULL$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'viewer', 'p-cluster', '2097-01-01 00:00+00') IS NOT NULL$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'viewer', 'paris', '2098-01-01 00:00+00') IS NOT NULL$$);
-- longer
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'viewer', 'paris', '2098-01-01 00:00:01+00')$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'viewer', 'paris')$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('site', 'manager', 'paris')$$);
-- more widely, or elsewhere
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'viewer', 'rome', '2097-01-01 00:00+00')$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'viewer', NULL, '2097-01-01 00:00+00')$$);
-- more: a role that permits it, also by inheritance or a wildcard
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'engineer', 'paris', '2097-01-01 00:00+00')$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role('dora', 'administrator', 'paris', '2097-01-01 00:00+00')$$);
-- to a group
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role_to_group('team', 'viewer', 'paris', '2097-01-01 00:00+00') IS NOT NULL$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.assign_role_to_group('team', 'engineer', 'paris', '2097-01-01 00:00+00')$$);
-- taking away does not need it, in one's scope
SELECT try('asg-a', 'site', $$SELECT multitenant.unassign_role('bob', 'engineer', 'paris')$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.unassign_role('alice', 'administrator')$$);
SELECT try('asg-a', 'site', $$SELECT multitenant.unassign_role_from_group('everybody', 'viewer')$$);
-- a wildcard is held through a wildcard
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('all vms', permissions => '{role:assign,role:manage,vm:read,vm:create,vm:delete}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('dora', 'all vms') IS NOT NULL$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.create_role('every vm', permissions => '{vm:*}')$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.create_role('three', permissions => '{vm:read,vm:create,vm:delete}') IS NOT NULL$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.grant_permission('three', 'vm:*')$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.grant_permission('three', '*:read')$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.grant_permission('all vms', 'disk:read')$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.inherit_role('all vms', 'viewer')$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.inherit_role('all vms', 'three')$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.create_role('heir', inherits => '{administrator}')$$);
-- with an end one edits no role: others may have it longer
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('dora', 'all vms', expires_at => '2098-01-01 00:00+00') IS NOT NULL$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.create_role('four', permissions => '{vm:read}')$$);
-- nor in a part of the tenant
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('dora', 'all vms')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('dora', 'all vms', 'paris') IS NOT NULL$$);
SELECT try('asg-a', 'dora', $$SELECT multitenant.create_role('four')$$);

-- ---- moving a scope gives what is assigned at its new place ----
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('mover', permissions => '{scope:manage,vm:read}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'mover') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'engineer', 'rome') IS NOT NULL$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.move_scope('p-cluster', 'rome')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.create_scope('new', 'rome')$$);
SELECT try('asg-a', 'carol', $$SELECT length(multitenant.create_scope(NULL, 'rome', name => 'own'))$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.move_scope(id, NULL) FROM multitenant.scope WHERE name = 'own'$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.create_scope('oslo')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.move_scope('oslo', 'rome')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.move_scope('p-cluster', NULL)$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.move_scope('p-cluster', 'rome')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.has_permission('vm:delete', 'p-cluster')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('carol', 'engineer', 'rome')$$);
-- who manages scopes in one of them makes new ones there
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('carol', 'mover')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'mover', 'rome') IS NOT NULL$$);
SELECT try('asg-a', 'carol', $$SELECT length(multitenant.create_scope(NULL, 'rome'))$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.create_scope('guessed', 'rome')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.create_scope(NULL, 'paris')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.create_scope(NULL)$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.move_scope('p-cluster', 'paris')$$);
-- one answer for what is there, at the top or below, and what is not
SELECT try('asg-a', 'eve', $$SELECT multitenant.drop_scope('rome')$$) = try('asg-a', 'eve', $$SELECT multitenant.drop_scope('nowhere')$$),
	try('asg-a', 'eve', $$SELECT multitenant.drop_scope('p-cluster')$$) = try('asg-a', 'eve', $$SELECT multitenant.drop_scope('nowhere')$$),
	try('asg-a', 'eve', $$SELECT multitenant.drop_scope('nowhere')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.drop_scope('rome')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.drop_scope('p-cluster')$$);

-- ---- separate duties ----
SELECT try('asg-a', 'alice', $$SELECT multitenant.exclude_roles('clerk', 'approver')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.exclude_roles('approver', 'clerk')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.exclude_roles('clerk', 'clerk')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.exclude_roles('engineer', 'viewer')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'clerk') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'approver')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'approver', 'rome')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('head', inherits => '{approver}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'head')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'clerk') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role_to_group('everybody', 'approver')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role_to_group('everybody', 'clerk') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('carol', 'clerk')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'approver')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('innocent') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'innocent') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.inherit_role('innocent', 'head')$$);
SELECT try('asg-a', 'alice', $$SELECT string_agg(role || ' ' || other || ' ' || is_everywhere, ', ') FROM multitenant.role_exclusions$$);
SELECT try('asg-b', 'bert', $$SELECT count(*) FROM multitenant.role_exclusions$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_exclusion('approver', 'clerk')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_exclusion('approver', 'clerk')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'approver') IS NOT NULL$$);
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.exclude_role_templates('clerk', 'approver');
SELECT multitenant.exclude_role_templates('clerk', 'approver'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'approver')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_exclusion('clerk', 'approver')$$);
-- who has both keeps them, and may be given more
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer') IS NOT NULL$$);
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.drop_template_exclusion('approver', 'clerk');
SELECT multitenant.drop_template_exclusion('approver', 'clerk'); \echo :LAST_ERROR_SQLSTATE

-- ---- the last administrator ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('alice', 'administrator')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('alice', 'administrator', expires_at => '2098-01-01 00:00+00')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'administrator', expires_at => '2098-01-01 00:00+00') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('alice', 'administrator')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('dora', 'administrator', 'rome') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('alice', 'administrator')$$);
-- two permissions make one, by whatever roles and groups
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('half', permissions => '{role:assign}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('rest', permissions => '{member:*}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('carol', 'half') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('alice', 'administrator')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('whole', inherits => '{rest}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role_to_group('everybody', 'whole') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('alice', 'administrator')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.unassign_role('carol', 'half')$$);
SELECT try('asg-a', 'carol', $$SELECT multitenant.unassign_role_from_group('everybody', 'whole')$$);
SELECT try('asg-a', 'bob', $$SELECT multitenant.revoke_permission('rest', 'member:*')$$);
SELECT try('asg-a', 'bob', $$SELECT multitenant.revoke_permission('half', 'role:assign')$$);
SELECT try('asg-a', 'bob', $$SELECT multitenant.disinherit_role('whole', 'rest')$$);
-- whoever is suspended is none
RESET SESSION AUTHORIZATION;
UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'carol';
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('asg-a', 'bob', $$SELECT multitenant.revoke_permission('rest', 'member:*')$$);
-- superusers may, and where there was none, nothing is lost
RESET SESSION AUTHORIZATION;
UPDATE multitenant.member SET state = 'active' WHERE principal = 'carol';
BEGIN;
SELECT multitenant.use_tenant('asg-a') IS NOT NULL;
SELECT multitenant.unassign_role('carol', 'half');
SELECT multitenant.assign_role('alice', 'administrator') IS NOT NULL;
COMMIT;

-- ---- the system's own ----
SELECT multitenant.assign_system_role('olga', 'viewer'); \echo :LAST_ERROR_SQLSTATE
INSERT INTO multitenant.principal (id) VALUES ('olga');
SELECT multitenant.assign_system_role('olga', 'half'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_system_role('olga', 'viewer', now() - interval '1 day'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_system_role('olga', 'administrator') IS NOT NULL;
SELECT multitenant.unassign_system_role('olga', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('asg-a', 'olga', $$SELECT multitenant.assign_role('olga', 'viewer')$$);
SELECT try('asg-a', 'olga', $$SELECT multitenant.has_permission('vm:read')$$);
RESET SESSION AUTHORIZATION;
SELECT multitenant.unassign_system_role('olga', 'administrator');

-- ---- a role and a template of one name ----
-- The tenant's came first; by name it is that one, and taking it away takes both.
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('twin', permissions => '{vm:read}') IS NOT NULL$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.assign_role('bob', 'twin') IS NOT NULL$$);
SELECT multitenant.create_role_template('twin', permissions => '{*:*}') AS twin \gset
SELECT try('asg-a', 'alice', format('SELECT multitenant.assign_role(''bob'', %L) IS NOT NULL', :'twin'));
SELECT try('asg-a', 'alice', $$SELECT multitenant.unassign_role('bob', 'twin')$$);
SELECT count(*) FROM multitenant.role_assignment a JOIN multitenant.role r ON r.id = a.role_id WHERE r.name = 'twin';
SELECT try('asg-a', 'alice', $$SELECT multitenant.drop_role('twin')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant.create_role('twin')$$);

-- ---- the tables behind it ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT count(*) FROM multitenant.role_assignment; \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.rights_history; \echo :LAST_ERROR_SQLSTATE
SELECT try('asg-a', 'alice', $$INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) SELECT 'a0000000-0000-4000-8000-000000000051', false, 'bob', '00000000-0000-0000-0000-000000000001'$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant._put_assignment('a0000000-0000-4000-8000-000000000051', false, 'bob', NULL, NULL, NULL, NULL)$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant._renew_rights('{a0000000-0000-4000-8000-000000000051}')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant._holdings('a0000000-0000-4000-8000-000000000051', 'bob')$$);
SELECT try('asg-a', 'alice', $$SELECT multitenant._administrators('a0000000-0000-4000-8000-000000000051')$$);
RESET SESSION AUTHORIZATION;
SELECT row_data ->> 'assignee' AS assignee, row_data ->> 'expires_at' IS NOT NULL AS had_end, valid_from < valid_to AS is_in_order FROM multitenant.rights_history
	WHERE table_name = 'role_assignment' AND row_data ->> 'assignee' = 'bob' ORDER BY valid_to;
SELECT event, principal, object, outcome, detail FROM multitenant.audit_event
	WHERE event IN ('role.assign', 'role.unassign', 'scope.move', 'scope.drop') AND object IN ('bob', 'everybody', 'p-cluster') AND tenant_id = :'a' ORDER BY at;

\i sql/tokens_off.inc
SELECT multitenant.revoke_access('regress_mt_provisioner');
SET client_min_messages = warning;
DROP SCHEMA regress_mt_rights CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_provisioner;
