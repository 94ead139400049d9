-- Findings about people and rights: a cause is planted, the finding appears, its remediation or the tenant's own act ends it.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_one LOGIN;
CREATE ROLE regress_mt_two;
SELECT multitenant.create_tenant('lip-a', id => 'a0000000-0000-4000-8000-000000000071') AS a \gset
SELECT multitenant.create_tenant('lip-b', id => 'b0000000-0000-4000-8000-000000000072') AS b \gset
SELECT count(multitenant.create_permission(p, 'Test.')) FROM unnest('{vm:read,vm:create,ledger:write,ledger:approve}'::text[]) p;
SELECT multitenant.create_role_template('viewer', permissions => '{vm:read}') AS viewer, multitenant.create_role_template('builder', permissions => '{vm:create}', inherits => '{viewer}') AS builder,
	multitenant.create_role_template('all vms', permissions => '{vm:*}') AS all_vms, multitenant.create_role_template('clerk', permissions => '{ledger:write}') AS clerk,
	multitenant.create_role_template('head', inherits => '{clerk}') AS head, multitenant.create_role_template('approver', permissions => '{ledger:approve}') AS approver \gset
INSERT INTO multitenant.principal (id, kind) VALUES ('alice', 'person'), ('bob', 'person'), ('robot', 'machine'), ('olga', 'person');
INSERT INTO multitenant.member (tenant_id, principal) VALUES (:'a', 'alice'), (:'a', 'bob'), (:'a', 'robot');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES (:'a', false, 'alice', '00000000-0000-0000-0000-000000000001');
CREATE VIEW public.found AS SELECT cache_key, level, detail, left(remediation, 2) = '--' AS is_sentence, metadata - 'accepted' AS metadata FROM multitenant.lint()
	WHERE name IN (SELECT name FROM multitenant._lints() WHERE 'PEOPLE' = ANY (categories)) ORDER BY cache_key;
CREATE FUNCTION public.mend() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	FOR command IN SELECT remediation FROM multitenant.lint() l WHERE remediation !~ '^--' AND l.cache_key IN (SELECT cache_key FROM public.found) LOOP
		EXECUTE command;
	END LOOP;
	RETURN QUERY SELECT cache_key FROM public.found;
END
$$;
SELECT * FROM found;

-- ---- roles that exclude each other: directly, by inheritance and by a group; the tenant's own are not named ----
INSERT INTO multitenant.member_group (tenant_id, name) VALUES (:'a', 'team');
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES (:'a', false, 'bob', 'team');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES (:'a', false, 'bob', :'head'), (:'a', true, 'team', :'approver');
SELECT * FROM found;
SELECT multitenant.exclude_role_templates('clerk', 'approver');
INSERT INTO multitenant.role_exclusion (role_id, excluded_id, tenant_id) VALUES (least(:'head'::uuid, :'approver'), greatest(:'head'::uuid, :'approver'), :'a'),
	(least(:'head'::uuid, :'approver'), greatest(:'head'::uuid, :'approver'), :'b');
SELECT * FROM found;
UPDATE multitenant.role_assignment SET expires_at = now() - interval '1 day' WHERE role_id = :'approver';
SELECT * FROM found;
DELETE FROM multitenant.role_assignment WHERE assignee IN ('bob', 'team');

-- ---- a machine with a wildcard; an assignment that ended long ago ----
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES (:'a', false, 'robot', :'builder');
SELECT * FROM found;
INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id) VALUES (:'builder', :'all_vms', '00000000-0000-0000-0000-000000000000');
SELECT * FROM found;
UPDATE multitenant.role_assignment SET expires_at = now() + interval '1 day' WHERE assignee = 'robot';
SELECT * FROM found;
UPDATE multitenant.role_assignment SET expires_at = now() - interval '29 days' WHERE assignee = 'robot';
SELECT * FROM found;
UPDATE multitenant.role_assignment SET expires_at = now() - interval '31 days' WHERE assignee = 'robot';
SELECT * FROM found;
SELECT mend();

-- ---- operators ----
INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES (:'a', 'olga', gen_random_uuid(), :'viewer');
SELECT * FROM found;
UPDATE multitenant.operator SET role_id = :'clerk';
SELECT * FROM found;
UPDATE multitenant.operator SET role_id = :'builder', principal = 'bob';
SELECT * FROM found;
DELETE FROM multitenant.operator;

-- ---- nobody administers ----
UPDATE multitenant.role_assignment SET scope_id = 'paris' WHERE assignee = 'alice';
SELECT cache_key, level, detail FROM found;
UPDATE multitenant.role_assignment SET scope_id = NULL, expires_at = now() + interval '1 day' WHERE assignee = 'alice';
SELECT cache_key, level FROM found;
UPDATE multitenant.role_assignment SET expires_at = NULL, is_group = true, assignee = 'team' WHERE assignee = 'alice';
SELECT cache_key, level FROM found;
UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'bob';
SELECT cache_key, level FROM found;
UPDATE multitenant.role_assignment SET is_group = false, assignee = 'alice' WHERE assignee = 'team';
UPDATE multitenant.principal SET state = 'disabled' WHERE id = 'alice';
SELECT cache_key, level FROM found;
UPDATE multitenant.principal SET state = 'active' WHERE id = 'alice';
SELECT cache_key, level FROM found;

-- ---- left over ----
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id) VALUES
	(:'a', false, 'nobody', :'viewer', NULL), (:'a', true, 'nobodies', :'viewer', NULL), (:'a', false, 'alice', gen_random_uuid(), NULL), (:'a', false, 'alice', :'viewer', 'nowhere');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES ('c0000000-0000-4000-8000-000000000079', 'c0000000-0000-4000-8000-000000000078', 'gone');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES (gen_random_uuid(), 'vm:read', :'a'), (:'viewer', 'vm:gone', '00000000-0000-0000-0000-000000000000');
INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id) VALUES (:'viewer', gen_random_uuid(), '00000000-0000-0000-0000-000000000000');
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES (:'a', false, 'alice', 'nowhere'), (:'a', false, 'nobody', 'team');
INSERT INTO multitenant.member (tenant_id, principal) VALUES ('c0000000-0000-4000-8000-000000000078', 'alice');
INSERT INTO multitenant.scope (tenant_id, id, parent_id) VALUES (:'a', 'x', 'gone'), ('c0000000-0000-4000-8000-000000000078', 'y', NULL);
INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES
	(:'a', 'olga', gen_random_uuid(), gen_random_uuid()), ('c0000000-0000-4000-8000-000000000078', 'olga', gen_random_uuid(), :'viewer');
INSERT INTO multitenant.break_glass_rule (tenant_id, role_id, maximum) VALUES (:'a', gen_random_uuid(), '1 hour');
SELECT cache_key, level, detail FROM found;
SELECT mend();
SELECT mend();

-- ---- invitations ----
INSERT INTO multitenant.member (tenant_id, principal, state, expires_at) VALUES (:'a', 'late', 'invited', now() - interval '1 day'), (:'a', 'soon', 'invited', now() + interval '1 day');
SELECT cache_key, level, detail FROM found;
SELECT mend();
SELECT principal FROM multitenant.member WHERE state = 'invited';

-- ---- the provider's own ----
SELECT multitenant.grant_access('regress_mt_one', 'provisioner');
SELECT multitenant.grant_access('regress_mt_two', 'auditor');
SELECT cache_key, level FROM found;
GRANT regress_mt_two TO regress_mt_one;
SELECT * FROM found;
REVOKE regress_mt_two FROM regress_mt_one;
SELECT cache_key, level FROM found;

-- ---- who may, and what is said ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT * FROM multitenant._lint_rights(); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant._lint_operators(); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant._lint_orphans(); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;

DROP VIEW public.found CASCADE;
DROP FUNCTION public.mend();
SET client_min_messages = warning;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_one, regress_mt_two;
