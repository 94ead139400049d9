-- The catalogues and roles of test/scenarios/permissions: who may what, where.
BEGIN;
SELECT no_plan();
\o /dev/null
\i test/scenarios/permissions/gatekeeper.sql
\i test/scenarios/permissions/basalt.sql
SELECT multitenant.create_tenant('scn-a', id => 'a0000000-0000-4000-8000-000000000091');
INSERT INTO multitenant.principal (id) SELECT unnest('{root,viewer,netop,analyst,admin,reader,tadmin,clerk,clop,cladmin,sysop}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) SELECT 'a0000000-0000-4000-8000-000000000091', id FROM multitenant.principal
	WHERE id IN ('root', 'viewer', 'netop', 'analyst', 'admin', 'reader', 'tadmin', 'clerk', 'clop', 'cladmin');
SELECT multitenant.assign_system_role('sysop', 'basalt system operator');
SELECT multitenant.use_tenant('scn-a');
SELECT multitenant.create_scope('berlin', kind => 'site'), multitenant.create_scope('oslo', kind => 'site');
SELECT multitenant.create_scope('rack-1', 'berlin', 'rack');
SELECT multitenant.create_scope('c1', 'rack-1', 'cluster'), multitenant.create_scope('c2', 'oslo', 'cluster');
SELECT multitenant.assign_role('viewer', 'gatekeeper viewer'), multitenant.assign_role('netop', 'gatekeeper network operator'),
	multitenant.assign_role('analyst', 'gatekeeper security analyst'), multitenant.assign_role('admin', 'gatekeeper admin'),
	multitenant.assign_role('reader', 'basalt reader'), multitenant.assign_role('tadmin', 'basalt tenant admin'),
	multitenant.assign_role('clerk', 'basalt billing clerk'), multitenant.assign_role('clop', 'basalt cluster operator', 'c1'),
	multitenant.assign_role('cladmin', 'basalt cluster admin', 'berlin');
-- As the questions of an administrator of the tenant: every principal, a permission, a scope (- for none).
CREATE TEMP VIEW may AS
	SELECT p.id AS who, k.name AS permission, s.id AS scope,
		EXISTS (SELECT FROM multitenant._holdings('a0000000-0000-4000-8000-000000000091', p.id) h WHERE multitenant._covers(h.pattern, k.name)
			AND (h.scope_id IS NULL OR h.scope_id IN (SELECT multitenant._scopes_above('a0000000-0000-4000-8000-000000000091', nullif(s.id, '-'))))) AS is_held
	FROM multitenant.principal p, multitenant.permission k, (VALUES ('-'), ('berlin'), ('c1'), ('c2')) AS s(id);
\o

SELECT ok((SELECT count(*) BETWEEN 180 AND 220 FROM multitenant.permissions p WHERE NOT p.is_builtin
	AND split_part(p.name, ':', 1) NOT IN ('dashboard', 'device', 'connection', 'rule', 'alert', 'incident', 'threat_list', 'certificate', 'gateway', 'report')),
	'a catalogue of about 200 permissions');
SELECT is((SELECT count(DISTINCT split_part(p.name, ':', 1))::int FROM multitenant.permissions p WHERE NOT p.is_builtin), 36, 'over 26 resources, and 10 of the gateway');

-- ---- each of the four roles has everything of the one below, and more ----
SELECT is((SELECT count(*) FROM may l JOIN may u USING (permission, scope) WHERE l.who = low AND u.who = high AND l.is_held AND NOT u.is_held), 0::bigint, high || ' has everything of ' || low)
	FROM (VALUES ('viewer', 'netop'), ('netop', 'analyst'), ('analyst', 'admin')) v(low, high);
SELECT ok((SELECT count(*) FROM may l JOIN may u USING (permission, scope) WHERE l.who = low AND u.who = high AND NOT l.is_held AND u.is_held) > 0, high || ' has more than ' || low)
	FROM (VALUES ('viewer', 'netop'), ('netop', 'analyst'), ('analyst', 'admin')) v(low, high);

-- ---- who may what ----
SELECT is((SELECT string_agg(m.who, ' ' ORDER BY m.who) FROM may m WHERE m.permission = v.permission AND m.scope = v.scope AND m.is_held AND m.who <> 'root'), v.who, v.permission || ' in ' || v.scope)
FROM (VALUES
	('dashboard:read', '-', 'admin analyst netop reader tadmin viewer'), ('device:restart', '-', 'admin analyst netop'),
	('rule:delete', '-', 'admin analyst'), ('incident:close', '-', 'admin analyst'), ('certificate:revoke', '-', 'admin'),
	('gateway:configure', '-', 'admin'), ('member:manage', '-', 'admin tadmin'),
	('vm:read', '-', 'reader tadmin'), ('vm:start', '-', 'tadmin'), ('vm:start', 'berlin', 'cladmin tadmin'),
	('vm:start', 'c1', 'cladmin clop tadmin'), ('vm:start', 'c2', 'tadmin'), ('vm:delete', 'c1', 'cladmin tadmin'),
	('role:assign', 'c1', 'admin cladmin tadmin'), ('role:assign', 'c2', 'admin tadmin'),
	('node:read', 'c1', 'cladmin clop reader tadmin'), ('node:drain', 'c1', NULL), ('cluster:upgrade', '-', NULL),
	('invoice:create', '-', 'clerk'), ('invoice:approve', '-', NULL), ('secret:decrypt', '-', NULL)
	) AS v(permission, scope, who);
SELECT is((SELECT count(*) FROM may WHERE who = 'sysop' AND is_held), 0::bigint, 'a role of the system reaches into no tenant');

-- ---- and who may not have both ----
SELECT throws_ok($$ SELECT multitenant.assign_role('clerk', 'basalt billing approver') $$, '55000', NULL, 'who writes invoices approves none');
SELECT * FROM finish();
ROLLBACK;
