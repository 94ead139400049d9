-- The catalogue, templates of roles, and the roles of a tenant: what each function does, refuses and records.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\i sql/rights.inc
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_provisioner LOGIN;
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.create_tenant('rol-a', number => 9401, id => 'a0000000-0000-4000-8000-000000000041');
SELECT multitenant.create_tenant('rol-b', number => 9402, id => 'b0000000-0000-4000-8000-000000000042');
UPDATE multitenant.tenant SET visibility = 'supervised' WHERE slug = 'rol-a';
SELECT regress_mt_rights.people('rol-a', '{alice,bob,carol}');
SELECT regress_mt_rights.people('rol-b', '{bert}');
SELECT regress_mt_rights.administrator('rol-a', 'alice'), regress_mt_rights.administrator('rol-b', 'bert');

-- ---- the catalogue: the provider's ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.create_permission('vm:read', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('administrator', description => 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_role_template('administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.exclude_role_templates('a', 'b'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_template_exclusion('a', 'b'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.create_permission(p, 'Test.') FROM unnest('{vm:read,vm:create,vm:update,vm:delete,disk:read,disk:delete}'::text[]) p;
SELECT multitenant.create_permission('vm:read', 'again'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission('vm', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission('vm:*', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission('VM:read', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission('vm:read:own', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission(repeat('v', 128) || ':x', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission('vm:start', ' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_permission(NULL, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission('role:assign'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission('vm:start'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT name, description FROM multitenant.permissions WHERE NOT is_builtin ORDER BY name;
SELECT count(*) > 10 FROM multitenant.permissions WHERE is_builtin;

-- ---- templates ----
SELECT multitenant.create_role_template('viewer', 'Sees everything.', '{*:read}') IS NOT NULL;
SELECT multitenant.create_role_template('operator', 'Runs machines.', '{vm:create,vm:update,vm:update}', '{viewer}') IS NOT NULL;
SELECT multitenant.create_role_template('viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template(E'a\nb'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('00000000-0000-0000-0000-000000000001'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('t', permissions => '{vm:raed}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('t', permissions => '{wm:*}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('t', permissions => '{vm}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('t', permissions => '{NULL}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_role_template('t', inherits => '{nobody}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('administrator', permissions => '{vm:read}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_role_template('administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('viewer', inherits => '{operator}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('viewer', inherits => '{viewer}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('viewer', name => 'operator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('nobody', name => 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_role_template('viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission('vm:update'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('operator', 'engineer', permissions => '{vm:create,vm:delete}', inherits => '{}');
RESET SESSION AUTHORIZATION;
SELECT r.name, r.description, p.permission FROM multitenant.role r JOIN multitenant.role_permission p ON p.role_id = r.id WHERE NOT r.is_builtin ORDER BY 1, 3;
SELECT count(*) FROM multitenant.role_parent;
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.alter_role_template('engineer', description => 'Builds.', inherits => '{viewer}');
SELECT multitenant.drop_permission('vm:update');
SELECT multitenant.create_permission('vm:update', 'Test.');
SELECT multitenant.create_role_template('nothing') IS NOT NULL;
SELECT multitenant.drop_role_template('nothing');

-- ---- roles of a tenant: who may ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.create_role('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role('x', 'y'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_role('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_permission('x', 'vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.revoke_permission('x', 'vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.inherit_role('x', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disinherit_role('x', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.exclude_roles('x', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_exclusion('x', 'viewer'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.roles; \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.role_permissions; \echo :LAST_ERROR_SQLSTATE
SELECT try('rol-a', 'bob', 'SELECT multitenant.create_role(''x'')');
SELECT try('rol-a', 'bob', 'SELECT multitenant.drop_role(''viewer'')');
SELECT try('rol-a', 'bob', 'SELECT count(*) FROM multitenant.roles');
SELECT try('rol-a', 'bob', 'SELECT count(*) FROM multitenant.role_permissions');
SELECT try('rol-a', 'stranger', 'SELECT multitenant.create_role(''x'')');
SELECT try('rol-b', 'alice', 'SELECT multitenant.create_role(''x'')');
SELECT try('rol-a', NULL, 'SELECT multitenant.create_role(''x'')');
SELECT try('rol-a', 'alice', 'SELECT multitenant.create_role(''x'')', 'supervised');

-- ---- and what happens ----
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('dev', 'Develops.', '{vm:read,vm:create}') IS NOT NULL$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('lead', NULL, '{disk:*}', '{dev,engineer}') IS NOT NULL$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('dev')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('administrator')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('x', permissions => '{vm:raed}')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('x', permissions => '{vm:*:*}')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('x', inherits => '{nobody}')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role(NULL)$$);
-- a template's name is not free for a role of one's own: a name means one role
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('viewer', permissions => '{vm:read}') IS NOT NULL$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.drop_role('viewer')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.grant_permission('viewer', 'vm:create')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.revoke_permission('administrator', '*:*')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('viewer', 'dev')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.alter_role('engineer', 'mine')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.grant_permission('dev', '*:delete')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.grant_permission('dev', '*:delete')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.grant_permission('dev', NULL)$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.grant_permission('dev', 'vm:raed')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.revoke_permission('dev', 'vm:delete')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.revoke_permission('dev', '*:delete')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.alter_role('dev', 'developer', 'Writes.')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.alter_role('developer', 'lead')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.alter_role('developer', '')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.alter_role('dev', 'x')$$);
SELECT try('rol-a', 'alice', $$SELECT string_agg(format('%s %s %s', name, description, is_template), ', ' ORDER BY name) FROM multitenant.roles$$);
SELECT try('rol-a', 'alice', $$SELECT string_agg(format('%s %s', permission, coalesce(inherited_from, '')), ', ' ORDER BY permission, inherited_from)
	FROM multitenant.role_permissions WHERE role = 'lead'$$);

-- ---- inheritance ----
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('developer', 'lead')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('lead', 'lead')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('developer', 'viewer')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('developer', 'viewer')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('developer', 'nobody')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.disinherit_role('developer', 'engineer')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.disinherit_role('developer', 'viewer')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.drop_role('developer')$$);
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.drop_role_template('engineer'); \echo :LAST_ERROR_SQLSTATE
-- templates do not inherit what is a tenant's
SELECT multitenant.alter_role_template('engineer', inherits => '{lead}'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
-- roles of another tenant are not there, by name or id
SELECT try('rol-b', 'bert', $$SELECT multitenant.alter_role('lead', 'x')$$);
SELECT try('rol-a', 'alice', $$SELECT id FROM multitenant.roles WHERE name = 'lead'$$) AS lead \gset
SELECT try('rol-b', 'bert', format('SELECT multitenant.drop_role(%L)', :'lead')) = format('42704: there is no role "%s"', :'lead');
SELECT try('rol-b', 'bert', format('SELECT multitenant.create_role(''thief'', inherits => ARRAY[%L])', :'lead')) = format('42704: there is no role "%s"', :'lead');
SELECT try('rol-b', 'bert', 'SELECT string_agg(name, '','' ORDER BY name) FROM multitenant.roles');
SELECT try('rol-a', 'alice', format('SELECT multitenant.alter_role(%L, ''leader'')', upper(:'lead')));
SELECT try('rol-a', 'alice', $$SELECT multitenant.drop_role('leader')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.drop_role('developer')$$);

-- ---- separate duties are not joined in a role ----
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT count(multitenant.create_role_template(n)) FROM unnest('{payer,booker,above}'::text[]) n;
SELECT multitenant.exclude_role_templates('payer', 'booker');
SELECT multitenant.create_role_template('both', inherits => '{payer,booker}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('above', inherits => '{payer,booker}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('above', inherits => '{payer}');
SELECT multitenant.create_role_template('top', inherits => '{above}') IS NOT NULL;
-- nor further up
SELECT multitenant.create_role_template('side', inherits => '{booker}') IS NOT NULL;
SELECT multitenant.alter_role_template('top', inherits => '{above,side}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_role_template('side', inherits => '{}');
SELECT multitenant.alter_role_template('top', inherits => '{above,side}');
SELECT multitenant.alter_role_template('side', inherits => '{booker}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.exclude_role_templates('above', 'side'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('c3', inherits => '{payer,booker}')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('c1', inherits => '{payer}') IS NOT NULL$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('c2', inherits => '{c1}') IS NOT NULL$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('c1', 'booker')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('c2', 'booker')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.create_role('d1') IS NOT NULL$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('c2', 'd1')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.exclude_roles('d1', 'c1')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.disinherit_role('c2', 'd1')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.exclude_roles('d1', 'c1')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.inherit_role('c2', 'd1')$$);
-- templates of which only this tenant says that they exclude each other: not as the role of break-glass either
SELECT try('rol-a', 'alice', $$SELECT multitenant.exclude_roles('above', 'side')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.set_break_glass('top')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.set_break_glass('above')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.drop_break_glass()$$);

-- ---- a permission that something asks for ----
RESET SESSION AUTHORIZATION;
SELECT multitenant.create_permission(p, 'Test.') FROM unnest('{ledger:read,ledger:create,ledger:update,ledger:delete,ledger:lock,payroll:see}'::text[]) p;
CREATE TABLE public.rol_ledger (tenant_id uuid NOT NULL, n int, CONSTRAINT rol_ledger_pkey PRIMARY KEY (tenant_id, n));
SELECT count(*) > 0 FROM multitenant.protect('public.rol_ledger', permissions => 'ledger');
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('rol-a', 'alice', $$SELECT multitenant.set_purpose_rule('pay', 'payroll:see')$$);
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.drop_permission('payroll:see'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission('ledger:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_permission('ledger:lock');
RESET SESSION AUTHORIZATION;
DROP TABLE public.rol_ledger;
-- gone all the same: then the tenant can still change its rule
DELETE FROM multitenant.permission WHERE name = 'payroll:see';
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('rol-a', 'bob', $$SELECT multitenant.drop_purpose_rule('pay')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.set_purpose_rule('pay', 'secret:decrypt')$$);
SELECT try('rol-a', 'alice', $$SELECT multitenant.drop_purpose_rule('pay')$$);
RESET SESSION AUTHORIZATION;
SELECT multitenant.drop_permission('ledger:read');

-- ---- a role that others need ----
RESET SESSION AUTHORIZATION;
SELECT multitenant.create_role_template('spare') AS spare \gset
INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES ('a0000000-0000-4000-8000-000000000041', 'olga', gen_random_uuid(), :'spare');
SELECT multitenant.drop_role_template('spare'); \echo :LAST_ERROR_SQLSTATE
DELETE FROM multitenant.operator WHERE principal = 'olga';
INSERT INTO multitenant.break_glass_rule (tenant_id, role_id, maximum) VALUES ('a0000000-0000-4000-8000-000000000041', :'spare', '1 hour');
SELECT multitenant.drop_role_template('spare'); \echo :LAST_ERROR_SQLSTATE
DELETE FROM multitenant.break_glass_rule WHERE role_id = :'spare';
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, expires_at) VALUES ('a0000000-0000-4000-8000-000000000041', false, 'bob', :'spare', now() + '1 hour');
SELECT multitenant.drop_role_template('spare'); \echo :LAST_ERROR_SQLSTATE
UPDATE multitenant.role_assignment SET expires_at = now() - interval '1 hour' WHERE role_id = :'spare';
SELECT multitenant.drop_role_template('spare');
SELECT count(*) FROM multitenant.role_assignment WHERE role_id = :'spare';

-- ---- a superuser without a principal repairs; without a tenant nothing is meant ----
SELECT multitenant.create_role('x'); \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('rol-a') IS NOT NULL;
SELECT multitenant.create_role('repair', permissions => '{*:*}') IS NOT NULL;
SELECT multitenant.drop_role('repair');
COMMIT;
BEGIN;
SELECT multitenant.system_context('maintenance');
SELECT multitenant.create_role('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- ---- what was recorded ----
SELECT event, CASE WHEN tenant_id IS NULL THEN '-' ELSE 'rol-a' END AS tenant, principal, object, outcome, detail FROM multitenant.audit_event
	WHERE event ~ '^(role|permission)[.]' AND object !~ ':' AND tenant_id IS DISTINCT FROM 'b0000000-0000-4000-8000-000000000042' ORDER BY at, event, object COLLATE "C";

\i sql/tokens_off.inc
SELECT multitenant.revoke_access('regress_mt_provisioner');
SET client_min_messages = warning;
DROP SCHEMA regress_mt_rights CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_provisioner;
