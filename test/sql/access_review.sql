-- Who has what, and who had it then: the tenant's own review, looking back, and what an auditor from outside learns.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\i sql/rights.inc
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_auditor LOGIN;
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
CREATE ROLE regress_mt_operator LOGIN;
SELECT multitenant.grant_access('regress_mt_operator', 'operator');
SELECT multitenant.create_tenant('rev-a', number => 9601, id => 'a0000000-0000-4000-8000-000000000061') AS a \gset
SELECT multitenant.create_tenant('rev-b', number => 9602, id => 'b0000000-0000-4000-8000-000000000062') AS b \gset
SELECT count(multitenant.create_permission(p, 'Test.')) FROM unnest('{vm:read,vm:create,ledger:write,ledger:approve}'::text[]) p;
SELECT multitenant.create_role_template('viewer', permissions => '{vm:read}') IS NOT NULL,
	multitenant.create_role_template('engineer', permissions => '{vm:create}', inherits => '{viewer}') IS NOT NULL,
	multitenant.create_role_template('clerk', permissions => '{ledger:write}') IS NOT NULL,
	multitenant.create_role_template('approver', permissions => '{ledger:approve}') IS NOT NULL;
UPDATE multitenant.tenant SET visibility = 'supervised' WHERE slug = 'rev-a';
SELECT people('rev-a', '{alice,bob,carol,dora}'), people('rev-b', '{bert,bob}'), administrator('rev-a', 'alice'), administrator('rev-b', 'bert');
INSERT INTO multitenant.member_group (tenant_id, name) VALUES (:'a', 'team'), (:'a', 'all');
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES (:'a', true, 'team', 'all'), (:'a', false, 'carol', 'team');
UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'dora';
INSERT INTO multitenant.audit_event (id, at, event, source, outcome, tenant_id, principal, session_role, "current_role", detail) VALUES
	(gen_random_uuid(), now() - interval '100 days', 'test', 'application', 'done', :'a', 'bob', 'x', 'x', '{}'),
	(gen_random_uuid(), now() - interval '1 day', 'test', 'engine', 'refused', :'a', 'bob', 'x', 'x', '{}'),
	(gen_random_uuid(), now(), 'test', 'application', 'done', :'b', 'bob', 'x', 'x', '{}');

CREATE FUNCTION regress_mt_rights.had(who text, at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT try('rev-a', 'alice', format('SELECT string_agg(format(''%%s %%s %%s'', permission, coalesce(scope_id, ''-''), via), E''\n'') FROM multitenant.access_as_of(%L, %L)', who, at)) $$;

-- ---- who may ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT * FROM multitenant.review_access(); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.access_as_of('bob', now()); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.review_tenant_access('rev-a'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.review_tenant_access(:'a'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant._rights_as_of('member', :'a', now()); \echo :LAST_ERROR_SQLSTATE
SELECT try('rev-a', 'bob', 'SELECT count(*) FROM multitenant.review_access()');
SELECT try('rev-a', 'bob', $$SELECT count(*) FROM multitenant.access_as_of('alice', now())$$);
SELECT try('rev-a', 'bob', $$SELECT count(*) FROM multitenant.access_as_of('bob', now())$$);
SELECT try('rev-a', 'bert', 'SELECT count(*) FROM multitenant.review_access()');
SELECT try('rev-a', 'alice', 'SELECT count(*) FROM multitenant.review_access()', 'supervised');
SELECT try('rev-a', 'alice', $$SELECT count(*) FROM multitenant.access_as_of('alice', now())$$, 'supervised');
SELECT try('rev-a', 'alice', 'SELECT count(*) FROM multitenant.review_access(NULL)');
SELECT try('rev-a', 'alice', $$SELECT count(*) FROM multitenant.access_as_of(NULL, now())$$);
SELECT try('rev-a', 'alice', $$SELECT count(*) FROM multitenant.access_as_of('bob', NULL)$$);
SELECT try('rev-a', 'alice', $$SELECT count(*) FROM multitenant.access_as_of('bob', now() + '1 day')$$);

-- ---- a history, each step at a time of its own ----
SELECT clock_timestamp() AS t0 \gset
SELECT try('rev-a', 'alice', $$SELECT multitenant.create_scope('paris')$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.assign_role('bob', 'engineer', 'paris', reason => 'on call') IS NOT NULL$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.create_role('own', permissions => '{ledger:*}') IS NOT NULL$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.assign_role_to_group('all', 'own') IS NOT NULL$$);
SELECT clock_timestamp() AS t1 \gset
SELECT try('rev-a', 'alice', $$SELECT multitenant.unassign_role('bob', 'engineer', 'paris')$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.assign_role('bob', 'viewer', expires_at => now() + '10 days') IS NOT NULL$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.revoke_permission('own', 'ledger:*')$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.grant_permission('own', 'ledger:write')$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.inherit_role('own', 'viewer')$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.alter_role('own', 'renamed')$$);
SELECT clock_timestamp() AS t2 \gset
RESET SESSION AUTHORIZATION;
DELETE FROM multitenant.group_member WHERE member = 'carol';
UPDATE multitenant.principal SET state = 'disabled' WHERE id = 'bob';
SELECT clock_timestamp() AS t3 \gset
UPDATE multitenant.principal SET state = 'active' WHERE id = 'bob';
SET SESSION AUTHORIZATION regress_mt_app;
SELECT had('bob', :'t0');
SELECT had('bob', :'t1');
SELECT had('bob', :'t2');
SELECT had('bob', :'t3');
SELECT had('bob', clock_timestamp());
SELECT had('carol', :'t0');
SELECT had('carol', :'t1');
SELECT had('carol', :'t2');
SELECT had('carol', :'t3');
SELECT had('dora', :'t2');
SELECT had('bert', :'t2');
SELECT had('bob', '2020-01-01');
-- what came and went in one transaction held in it
BEGIN;
SELECT try('rev-a', 'alice', $$SELECT multitenant.assign_role('carol', 'engineer') IS NOT NULL$$);
SELECT clock_timestamp() AS within \gset
SELECT try('rev-a', 'alice', $$SELECT multitenant.unassign_role('carol', 'engineer')$$);
COMMIT;
SELECT had('carol', :'within');
SELECT had('carol', clock_timestamp());
-- a database that was restored: rights are older than the extension that is there now
RESET SESSION AUTHORIZATION;
BEGIN;
INSERT INTO multitenant.principal (id, since) VALUES ('old', '2020-01-01');
INSERT INTO multitenant.member (tenant_id, principal, since) VALUES (:'a', 'old', '2020-01-01');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, since) VALUES (:'a', false, 'old', '00000000-0000-0000-0000-000000000001', '2020-01-01');
SELECT regress_mt_tokens.enter('rev-a', 'alice');
SELECT count(*) = (SELECT count(*) FROM multitenant.permission WHERE is_builtin), min(via) FROM multitenant.access_as_of('old', '2020-06-01');
ROLLBACK;
SET SESSION AUTHORIZATION regress_mt_app;
-- one's own, without the permission
SELECT try('rev-a', 'bob', format($$SELECT string_agg(permission, ',') FROM multitenant.access_as_of('bob', %L)$$, :'t1'));
-- what could be done then is what was asked and granted then
SELECT try('rev-a', 'alice', $$SELECT bool_and(multitenant.has_permission_of('bob', p.name, 'paris') = (p.name IN (SELECT permission FROM multitenant.access_as_of('bob', clock_timestamp()))))
	FROM multitenant.permissions p$$);

-- ---- the review ----
RESET SESSION AUTHORIZATION;
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES (:'a', false, 'carol', 'team');
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('rev-a', 'alice', $$SELECT multitenant.assign_role('bob', 'clerk') IS NOT NULL$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.assign_role('bob', 'approver', 'paris') IS NOT NULL$$);
SELECT try('rev-a', 'alice', $$SELECT multitenant.exclude_roles('clerk', 'approver')$$);
RESET SESSION AUTHORIZATION;
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, expires_at)
	SELECT :'a', false, 'carol', id, now() - interval '1 day' FROM multitenant.role WHERE name = 'engineer';
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('rev-a', 'alice', $$SELECT string_agg(format('%s %s %s | %s %s %s | %s %s | %s %s %s | %s %s', principal, kind, member_state, role, scope_id, via_group, assigned_by, reason,
	expires_at IS NOT NULL, is_expired, is_expiring, current_date - last_used, excluded_with), E'\n') FROM multitenant.review_access()$$);
SELECT try('rev-a', 'alice', $$SELECT count(*) FROM multitenant.review_access('1 day') WHERE is_expiring$$);
SELECT try('rev-b', 'bert', $$SELECT string_agg(format('%s %s', principal, role), ', ') FROM multitenant.review_access()$$);

-- ---- what other tenants have costs nothing: by index, and no row of theirs is read ----
RESET SESSION AUTHORIZATION;
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) SELECT gen_random_uuid(), 'vm:read', :'b' FROM generate_series(1, 3000);
INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id) SELECT gen_random_uuid(), gen_random_uuid(), :'b' FROM generate_series(1, 3000);
INSERT INTO multitenant.role (tenant_id, name) SELECT :'b', i FROM generate_series(1, 3000) i;
INSERT INTO multitenant.member (tenant_id, principal) SELECT :'b', i FROM generate_series(1, 3000) i;
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) SELECT :'b', false, i, 'team' FROM generate_series(1, 3000) i;
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) SELECT :'b', false, i, gen_random_uuid() FROM generate_series(1, 3000) i;
INSERT INTO multitenant.rights_history (table_name, tenant_id, row_data, valid_from, valid_to)
	SELECT 'principal', '00000000-0000-0000-0000-000000000000', jsonb_build_object('id', i), now(), 'infinity' FROM generate_series(1, 3000) i;
ANALYZE multitenant.role_permission, multitenant.role_parent, multitenant.role, multitenant.member, multitenant.group_member, multitenant.role_assignment, multitenant.rights_history;
SET SESSION AUTHORIZATION regress_mt_app;
CREATE FUNCTION pg_temp.read_rows(statement text) RETURNS TABLE (relname name, few boolean) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE before ON COMMIT DROP AS SELECT s.relid, s.seq_tup_read + coalesce(s.idx_tup_fetch, 0) AS n FROM pg_stat_xact_all_tables s WHERE s.schemaname = 'multitenant';
	PERFORM try('rev-a', 'alice', statement);
	RETURN QUERY SELECT s.relname, s.seq_tup_read + coalesce(s.idx_tup_fetch, 0) - coalesce(b.n, 0) < 1000 FROM pg_stat_xact_all_tables s LEFT JOIN before b USING (relid)
		WHERE s.schemaname = 'multitenant' AND s.relname IN ('member', 'group_member', 'role', 'role_parent', 'role_permission', 'role_assignment', 'rights_history')
		ORDER BY s.relname;
END $$;
SELECT * FROM pg_temp.read_rows(format('SELECT count(*) FROM multitenant.access_as_of(%L, %L)', 'bob', :'t1'));
DROP FUNCTION pg_temp.read_rows(text);

-- ---- from outside: numbers ----
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT * FROM multitenant.review_tenant_access('rev-a');
SELECT * FROM multitenant.review_tenant_access('rev-a', '1 day', '200 days') WHERE template = 'viewer' OR unused_members > 0;
SELECT * FROM multitenant.review_tenant_access(NULL::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.review_tenant_access('c0000000-0000-4000-8000-000000000063'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.review_access(); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT * FROM multitenant.review_tenant_access('rev-a'); \echo :LAST_ERROR_SQLSTATE

RESET SESSION AUTHORIZATION;
\i sql/tokens_off.inc
SELECT multitenant.revoke_access('regress_mt_auditor'), multitenant.revoke_access('regress_mt_operator');
SET client_min_messages = warning;
DROP SCHEMA regress_mt_rights CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_auditor, regress_mt_operator;
