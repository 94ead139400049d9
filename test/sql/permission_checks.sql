-- Permission checks: every function, every error, and each way in which a right is there or is not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null NULL
CREATE ROLE regress_mt_app LOGIN;
SELECT multitenant.create_tenant('pc-a', number => 9401, id => 'a0000000-0000-4000-8000-000000000041');
SELECT multitenant.create_tenant('pc-b', number => 9402, id => 'b0000000-0000-4000-8000-000000000042');
\set a '''a0000000-0000-4000-8000-000000000041''::uuid'
\set b '''b0000000-0000-4000-8000-000000000042''::uuid'
\set nil '''00000000-0000-0000-0000-000000000000''::uuid'

-- One principal for each way: direct, by groups of groups, by a template, a role's parents, in scopes, expired ..
INSERT INTO multitenant.permission (name, description)
	SELECT r || ':' || a, 'test' FROM unnest('{vm,disk}'::text[]) r, unnest('{read,create,update,delete}'::text[]) a;
INSERT INTO multitenant.principal (id)
	SELECT unnest('{pc-ann,pc-bob,pc-cat,pc-dan,pc-eve,pc-fay,pc-gus,pc-hal,pc-ida,pc-sys}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal)
	SELECT :a, unnest('{pc-ann,pc-bob,pc-cat,pc-dan,pc-eve,pc-fay,pc-gus,pc-hal,pc-sys}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) VALUES (:b, 'pc-ann');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES
	('00000000-0000-4000-8000-00000000f001', :a, 'vm viewer'), ('00000000-0000-4000-8000-00000000f002', :a, 'vm editor'),
	('00000000-0000-4000-8000-00000000f003', :nil, 'auditor of disks'), ('00000000-0000-4000-8000-00000000f004', :b, 'of another tenant'),
	('00000000-0000-4000-8000-00000000f005', :a, 'circle 1'), ('00000000-0000-4000-8000-00000000f006', :a, 'circle 2'),
	('00000000-0000-4000-8000-00000000f007', :a, 'heir of another tenant'), ('00000000-0000-4000-8000-00000000f008', :a, 'unused'),
	('00000000-0000-4000-8000-00000000f009', :nil, 'template with a tenant''s parent'), ('00000000-0000-4000-8000-00000000f00a', :nil, 'staff');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES
	('00000000-0000-4000-8000-00000000f001', 'vm:read', :a), ('00000000-0000-4000-8000-00000000f002', 'vm:*', :a),
	('00000000-0000-4000-8000-00000000f003', '*:read', :nil), ('00000000-0000-4000-8000-00000000f004', '*:*', :b),
	('00000000-0000-4000-8000-00000000f005', 'vm:create', :a), ('00000000-0000-4000-8000-00000000f006', 'vm:update', :a),
	('00000000-0000-4000-8000-00000000f008', 'disk:delete', :a), ('00000000-0000-4000-8000-00000000f00a', 'disk:update', :nil),
	-- of a role of another tenant, and a permission that is not in the catalogue
	('00000000-0000-4000-8000-00000000f001', 'disk:delete', :b), ('00000000-0000-4000-8000-00000000f001', 'net:read', :a);
INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id) VALUES
	('00000000-0000-4000-8000-00000000f002', '00000000-0000-4000-8000-00000000f003', :a),
	('00000000-0000-4000-8000-00000000f005', '00000000-0000-4000-8000-00000000f006', :a),
	('00000000-0000-4000-8000-00000000f006', '00000000-0000-4000-8000-00000000f005', :a),
	('00000000-0000-4000-8000-00000000f007', '00000000-0000-4000-8000-00000000f004', :a),
	('00000000-0000-4000-8000-00000000f009', '00000000-0000-4000-8000-00000000f002', :nil);
INSERT INTO multitenant.member_group (tenant_id, name) SELECT :a, unnest('{inner,outer,round,aside}'::text[]);
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES
	(:a, false, 'pc-bob', 'inner'), (:a, true, 'inner', 'outer'), (:a, true, 'outer', 'round'), (:a, true, 'round', 'inner');
-- dc > rack-1 > 00..51 (a uuid), dc > rack-2 > 7 (a number); loop-1 <> loop-2 > under; lost hangs on what is not there
INSERT INTO multitenant.scope (tenant_id, id, parent_id, kind, name) VALUES
	(:a, 'dc', NULL, 'site', 'Data centre'), (:a, 'rack-1', 'dc', 'rack', 'First'), (:a, 'rack-2', 'dc', 'rack', 'Second'),
	(:a, '00000000-0000-4000-8000-000000000051', 'rack-1', 'cluster', NULL), (:a, '7', 'rack-2', 'cluster', NULL),
	(:a, 'loop-1', 'loop-2', NULL, NULL), (:a, 'loop-2', 'loop-1', NULL, NULL), (:a, 'under', 'loop-1', NULL, NULL),
	(:a, 'lost', 'nowhere', NULL, NULL), (:b, 'dc', NULL, NULL, NULL);
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id, expires_at) VALUES
	(:a, false, 'pc-ann', '00000000-0000-0000-0000-000000000001', NULL, NULL),
	(:a, true, 'round', '00000000-0000-4000-8000-00000000f002', NULL, NULL),
	(:a, true, 'aside', '00000000-0000-4000-8000-00000000f008', NULL, NULL),
	(:a, false, 'pc-cat', '00000000-0000-4000-8000-00000000f001', 'rack-1', NULL),
	(:a, false, 'pc-cat', '00000000-0000-4000-8000-00000000f001', 'loop-1', NULL),
	(:a, false, 'pc-cat', '00000000-0000-4000-8000-00000000f001', 'lost', NULL),
	(:a, false, 'pc-cat', '00000000-0000-4000-8000-00000000f008', 'nowhere', NULL),
	(:a, false, 'pc-dan', '00000000-0000-4000-8000-00000000f004', NULL, NULL),
	(:a, false, 'pc-dan', '00000000-0000-4000-8000-00000000f007', NULL, NULL),
	(:a, false, 'pc-dan', '00000000-0000-4000-8000-00000000f009', NULL, NULL),
	(:a, false, 'pc-eve', '00000000-0000-4000-8000-00000000f002', NULL, now() - interval '1 second'),
	(:a, false, 'pc-eve', '00000000-0000-4000-8000-00000000f005', NULL, now() + interval '1 day'),
	(:a, false, 'pc-fay', '00000000-0000-4000-8000-00000000f002', NULL, NULL),
	(:a, false, 'pc-gus', '00000000-0000-4000-8000-00000000f002', NULL, NULL),
	(:a, false, 'pc-ida', '00000000-0000-4000-8000-00000000f002', NULL, NULL),
	(:b, false, 'pc-ann', '00000000-0000-4000-8000-00000000f003', NULL, NULL),
	(:nil, false, 'pc-sys', '00000000-0000-4000-8000-00000000f00a', NULL, NULL);
UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'pc-fay';
UPDATE multitenant.principal SET state = 'disabled' WHERE id = 'pc-gus';

-- What each has, in the whole tenant, in rack-1, in the cluster below it, in rack-2.
CREATE FUNCTION regress_mt_tokens.held(scope text) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT coalesce(string_agg(p.name, ' ' ORDER BY p.name), '-') FROM multitenant.permission p
	WHERE p.name ~ '^(vm|disk):' AND multitenant.has_permission(p.name, scope) $$;
CREATE FUNCTION regress_mt_tokens.of(principal text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM regress_mt_tokens.enter('pc-a', principal);
	RETURN NEXT format('%s: whole %s; rack-1 %s; its cluster %s; rack-2 %s', principal, regress_mt_tokens.held(NULL),
		regress_mt_tokens.held('rack-1'), regress_mt_tokens.held('00000000-0000-4000-8000-000000000051'), regress_mt_tokens.held('rack-2'));
END $$;
BEGIN; SELECT regress_mt_tokens.of('pc-ann'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-bob'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-cat'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-dan'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-eve'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-hal'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-ida'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-sys'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-nobody'); COMMIT;

-- scopes that are in a circle, under one, without a parent, unknown, of another tenant
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-cat');
SELECT s, multitenant.has_permission('vm:read', s), multitenant.has_permission_anywhere('vm:read')
	FROM unnest('{loop-1,loop-2,under,lost,nowhere,dc,"",RACK-1,7}'::text[]) s;
SELECT multitenant.has_permission_anywhere('disk:delete');
SELECT * FROM multitenant.list_accessible('vm:read');
SELECT count(*) FROM multitenant.list_accessible('disk:read');
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT * FROM multitenant.list_accessible('vm:read');
SELECT multitenant.has_permission('vm:read', 'loop-1'), multitenant.has_permission('vm:read', 'nowhere');
COMMIT;
-- the same principal elsewhere
BEGIN;
SELECT regress_mt_tokens.enter('pc-b', 'pc-ann');
SELECT multitenant.has_permission('vm:read'), multitenant.has_permission('vm:create'), multitenant.has_permission('vm:create', 'dc');
SELECT * FROM multitenant.list_accessible('vm:read');
COMMIT;

-- require_permission
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-cat');
SELECT multitenant.require_permission('vm:read', 'rack-1') IS NOT NULL;
SAVEPOINT s;
SELECT multitenant.require_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.require_permission('vm:read', 'rack-2'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.require_permission('disk:read', 'rack-1'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.require_permission('vm:raed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission('something:else'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission('vm:*'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission('net:read'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission(''); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission(repeat('ü', 10000)); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission_anywhere(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.require_permission(NULL, 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_system_permission(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.list_accessible('vm:raed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission_of('pc-ann', 'vm:read'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;

-- no tenant, no principal, no context
SELECT multitenant.has_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.has_permission_anywhere('vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.require_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.has_permission_of('pc-ann', 'vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.list_accessible('vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.has_system_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('pc-a') IS NOT NULL;
SELECT multitenant.has_permission('vm:read'), multitenant.has_permission_anywhere('vm:read'), multitenant.has_system_permission('disk:update');
SELECT multitenant.require_permission('vm:read'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.system_context('test');
SELECT multitenant.has_system_permission('disk:update');
SELECT multitenant.has_permission('disk:update'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- the system: with a tenant and without, and in no tenant
BEGIN;
SELECT regress_mt_tokens.enter(NULL, 'pc-sys');
SELECT multitenant.has_system_permission('disk:update'), multitenant.has_system_permission('disk:read');
SELECT multitenant.switch_tenant('pc-a') IS NOT NULL;
SELECT multitenant.has_system_permission('disk:update'), multitenant.has_permission('disk:update');
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT multitenant.has_system_permission('disk:update'), multitenant.has_permission('disk:update');
COMMIT;

-- of others
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT p, multitenant.has_permission_of(p, 'vm:read'), multitenant.has_permission_of(p, 'vm:read', 'rack-1'), multitenant.has_permission_of(p, 'vm:create', '7')
	FROM unnest('{pc-ann,pc-bob,pc-cat,pc-dan,pc-eve,pc-fay,pc-gus,pc-hal,pc-ida,pc-nobody}'::text[]) p;
-- and in between the current principal's own
SELECT multitenant.has_permission('vm:delete'), multitenant.has_permission_of('pc-hal', 'vm:delete'), multitenant.has_permission('vm:delete');
SAVEPOINT s;
SELECT multitenant.has_permission_of(NULL, 'vm:read'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission_of('pc-ann', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.has_permission_of('pc-ann', 'vm:raed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- changes in the same transaction, and what a rollback to a savepoint takes back
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-hal');
SELECT multitenant.has_permission('vm:read');
SAVEPOINT s;
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES (:a, false, 'pc-hal', '00000000-0000-4000-8000-00000000f001');
SELECT multitenant.has_permission('vm:read');
SAVEPOINT t;
DELETE FROM multitenant.role_permission WHERE permission = 'vm:read' AND tenant_id = :a;
SELECT multitenant.has_permission('vm:read');
ROLLBACK TO t;
SELECT multitenant.has_permission('vm:read');
ROLLBACK TO s;
SELECT multitenant.has_permission('vm:read');
-- the next change has a version of its own
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES (:a, false, 'pc-hal', 'aside');
SELECT multitenant.has_permission('vm:read'), multitenant.has_permission('disk:delete');
-- the catalogue: a permission that is new, one that goes and comes back
INSERT INTO multitenant.permission (name, description) VALUES ('disk:format', 'test');
SELECT multitenant.has_permission('disk:format');
DELETE FROM multitenant.permission WHERE name = 'disk:delete';
SAVEPOINT u;
SELECT multitenant.has_permission('disk:delete'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO u;
INSERT INTO multitenant.permission (name, description) VALUES ('disk:delete', 'test');
SELECT multitenant.has_permission('disk:delete');
ROLLBACK;
-- who somebody is
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
UPDATE multitenant.member SET state = 'suspended' WHERE tenant_id = :a AND principal = 'pc-bob';
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
UPDATE multitenant.member SET state = 'active', expires_at = now() WHERE tenant_id = :a AND principal = 'pc-bob';
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
UPDATE multitenant.member SET expires_at = now() + interval '1 hour' WHERE tenant_id = :a AND principal = 'pc-bob';
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
DELETE FROM multitenant.principal WHERE id = 'pc-bob';
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
INSERT INTO multitenant.principal (id, state) VALUES ('pc-bob', 'disabled');
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
UPDATE multitenant.principal SET state = 'active' WHERE id = 'pc-bob';
SELECT multitenant.has_permission_of('pc-bob', 'vm:read');
ROLLBACK;

-- in parallel workers
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-cat');
CREATE TABLE regress_mt_many AS SELECT CASE i % 3 WHEN 0 THEN 'rack-1' WHEN 1 THEN 'rack-2' ELSE '7' END AS scope FROM generate_series(1, 3000) i;
ANALYZE regress_mt_many;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM regress_mt_many WHERE multitenant.has_permission('vm:read', scope);
SELECT count(*) FROM regress_mt_many WHERE multitenant.has_permission('vm:read', scope);
ROLLBACK;

-- break-glass: its role in the whole tenant, while it is open
INSERT INTO multitenant.break_glass (tenant_id, principal, role_id, duration, holds_from, ends_at, closed_at, reason) VALUES
	(:a, 'pc-hal', '00000000-0000-4000-8000-00000000f002', '1 hour', now() - interval '1 minute', now() + interval '1 hour', NULL, 'holds'),
	(:a, 'pc-cat', '00000000-0000-4000-8000-00000000f002', '1 hour', NULL, now() + interval '1 hour', NULL, 'not approved'),
	(:a, 'pc-cat', '00000000-0000-4000-8000-00000000f002', '1 hour', now() + interval '1 minute', now() + interval '1 hour', NULL, 'later'),
	(:a, 'pc-cat', '00000000-0000-4000-8000-00000000f002', '1 hour', now() - interval '1 hour', now() - interval '1 minute', NULL, 'over'),
	(:a, 'pc-cat', '00000000-0000-4000-8000-00000000f002', '1 hour', now() - interval '1 hour', now() + interval '1 hour', now(), 'closed'),
	(:a, 'pc-ida', '00000000-0000-4000-8000-00000000f002', '1 hour', now() - interval '1 minute', now() + interval '1 hour', NULL, 'no member'),
	(:b, 'pc-cat', '00000000-0000-4000-8000-00000000f002', '1 hour', now() - interval '1 minute', now() + interval '1 hour', NULL, 'elsewhere');
BEGIN; SELECT regress_mt_tokens.of('pc-hal'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-cat'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of('pc-ida'); COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-hal');
SELECT is_granted, path, scope_id, expires_at IS NOT NULL, reason FROM multitenant.explain_permission('vm:delete');
COMMIT;

-- operators: their one role, as long as the tenant is linked; not what they have as members, nor break-glass
INSERT INTO multitenant.master_account (id, name) VALUES ('c0000000-0000-4000-8000-000000000043', 'pc-msp');
INSERT INTO multitenant.master_tenant (tenant_id, master_id) VALUES (:a, 'c0000000-0000-4000-8000-000000000043');
INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES
	(:a, 'pc-hal', 'c0000000-0000-4000-8000-000000000043', '00000000-0000-4000-8000-00000000f005');
INSERT INTO multitenant.access_request (tenant_id, principal, state, ends_at, decided_at, reason, duration) VALUES
	(:a, 'pc-hal', 'approved', now() + interval '1 hour', clock_timestamp(), 'test', '1 hour');
INSERT INTO multitenant.supervision (tenant_id, principal, ends_at, reason, request_id)
	SELECT tenant_id, principal, ends_at, reason, id FROM multitenant.access_request WHERE principal = 'pc-hal';
CREATE FUNCTION regress_mt_tokens.of_operator(principal text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM regress_mt_tokens.enter('pc-a', principal, 'supervised');
	RETURN regress_mt_tokens.held(NULL);
EXCEPTION WHEN OTHERS THEN
	RETURN '-';
END $$;
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); SELECT * FROM multitenant.explain_permission('vm:update'); COMMIT;
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); SELECT multitenant.has_permission_of('pc-hal', 'vm:update'); \echo :LAST_ERROR_SQLSTATE
COMMIT;
BEGIN; SELECT regress_mt_tokens.of_operator('pc-bob'); COMMIT;
UPDATE multitenant.operator SET role_id = '00000000-0000-4000-8000-00000000f001' WHERE principal = 'pc-hal';
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); COMMIT;
UPDATE multitenant.operator SET role_id = '00000000-0000-4000-8000-00000000f004' WHERE principal = 'pc-hal';
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); COMMIT;
UPDATE multitenant.operator SET role_id = '00000000-0000-4000-8000-00000000f001', expires_at = now() WHERE principal = 'pc-hal';
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); COMMIT;
UPDATE multitenant.operator SET expires_at = NULL WHERE principal = 'pc-hal';
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); COMMIT;
DELETE FROM multitenant.master_tenant WHERE tenant_id = :a;
BEGIN; SELECT regress_mt_tokens.of_operator('pc-hal'); COMMIT;

-- what explains itself
DELETE FROM multitenant.break_glass;
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT * FROM multitenant.explain_permission('vm:read');
\echo
SELECT * FROM multitenant.explain_permission('disk:read', principal => 'pc-bob');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', '00000000-0000-4000-8000-000000000051', 'pc-cat');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', 'rack-2', 'pc-cat');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-cat');
\echo
SELECT * FROM multitenant.explain_permission('disk:delete', 'rack-1', 'pc-cat');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', 'loop-1', 'pc-cat');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-dan');
\echo
SELECT is_granted, path, scope_id, expires_at IS NOT NULL, reason FROM multitenant.explain_permission('disk:read', principal => 'pc-eve');
\echo
SELECT is_granted, path, scope_id, expires_at > now(), reason FROM multitenant.explain_permission('vm:update', principal => 'pc-eve');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-fay');
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-gus');
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-ida');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-hal');
\echo
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-nobody');
\echo
SAVEPOINT s;
SELECT * FROM multitenant.explain_permission('vm:raed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.explain_permission(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-hal');
SELECT * FROM multitenant.explain_permission('vm:read');
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-hal');
SAVEPOINT s;
SELECT * FROM multitenant.explain_permission('vm:read', principal => 'pc-ann'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('pc-a') IS NOT NULL;
SELECT * FROM multitenant.explain_permission('vm:read');
SELECT * FROM multitenant.explain_permission('vm:create', principal => 'pc-ann');
ROLLBACK;

-- what is explained agrees with what is decided
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT count(*) FILTER (WHERE e.is_granted) > 0, count(*) FILTER (WHERE NOT e.is_granted) > 0,
		count(*) FILTER (WHERE e.is_granted <> multitenant.has_permission_of(p, n.name, s.scope))
	FROM unnest('{pc-ann,pc-bob,pc-cat,pc-dan,pc-eve,pc-fay,pc-gus,pc-hal,pc-ida,pc-nobody}'::text[]) p
	CROSS JOIN (SELECT name FROM multitenant.permission WHERE name ~ '^(vm|disk):' OR name = 'role:assign') n
	CROSS JOIN (SELECT NULL AS scope UNION ALL SELECT id FROM multitenant.scope UNION ALL SELECT 'nowhere') s
	CROSS JOIN LATERAL (SELECT bool_or(is_granted) AS is_granted FROM multitenant.explain_permission(n.name, s.scope, p)) e
;
ROLLBACK;

-- two ways on from each role and each group, 2^30 in all: the answer is one of them
BEGIN;
SET LOCAL statement_timeout = '1min';
INSERT INTO multitenant.role (id, tenant_id, name)
	SELECT ('00000000-0000-4000-8000-00000000' || lpad(l::text, 2, '0') || 'd' || k)::uuid, :a, format('layer %s-%s', l, k)
	FROM generate_series(1, 30) l, generate_series(0, 1) k;
INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id)
	SELECT r.id, p.id, :a FROM multitenant.role r JOIN multitenant.role p
		ON r.name LIKE 'layer %' AND p.name LIKE 'layer ' || substring(r.name, '([0-9]+)-')::int + 1 || '-_';
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id)
	SELECT id, 'vm:read', :a FROM multitenant.role WHERE name LIKE 'layer 30-_';
INSERT INTO multitenant.member_group (tenant_id, name) SELECT :a, format('g%s-%s', l, k) FROM generate_series(1, 30) l, generate_series(0, 1) k;
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name)
	SELECT :a, true, format('g%s-%s', l, k), format('g%s-%s', l + 1, j) FROM generate_series(1, 29) l, generate_series(0, 1) k, generate_series(0, 1) j
	UNION ALL SELECT :a, false, 'pc-hal', 'g1-0';
-- long chains, too
INSERT INTO multitenant.scope (tenant_id, id, parent_id) SELECT :a, 's' || i, nullif('s' || i - 1, 's0') FROM generate_series(1, 5000) i;
SELECT regress_mt_tokens.enter('pc-a', 'pc-hal');
SELECT * FROM multitenant.explain_permission('vm:read');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id)
	SELECT :a, true, 'g30-1', id, 's1' FROM multitenant.role WHERE name = 'layer 1-0';
SELECT is_granted, length(path), left(path, 40), right(path, 62), scope_id, reason FROM multitenant.explain_permission('vm:read', 's3');
SELECT multitenant.has_permission('vm:read', 's5000'), length(path) FROM multitenant.explain_permission('vm:read', 's5000');
-- a hundred rows at most
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id)
	SELECT :a, false, 'pc-hal', '00000000-0000-4000-8000-00000000f001', 's' || i FROM generate_series(1, 150) i;
SELECT is_granted, count(*) FROM multitenant.explain_permission('vm:read', 's200') GROUP BY 1;
SELECT is_granted, count(*), count(DISTINCT reason), min(reason) FROM multitenant.explain_permission('vm:read') GROUP BY 1;
SELECT is_granted, count(*) FROM multitenant.explain_permission('disk:delete', 's200') GROUP BY 1;
ROLLBACK;

-- what ends in the middle of a message is over, in the same transaction and in the next
CREATE FUNCTION regress_mt_tokens.until_over(permission text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 100 LOOP
		EXIT WHEN NOT multitenant.has_permission($1);
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN multitenant.has_permission($1);
END $$;
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, expires_at)
	VALUES (:a, false, 'pc-hal', '00000000-0000-4000-8000-00000000f001', clock_timestamp() + interval '1 second');
DO $$
BEGIN
	PERFORM regress_mt_tokens.enter('pc-a', 'pc-hal');
	RAISE NOTICE 'an assignment: %', regress_mt_tokens.until_over('vm:read');
END $$;
INSERT INTO multitenant.break_glass (tenant_id, principal, role_id, duration, holds_from, ends_at, reason) VALUES
	(:a, 'pc-hal', '00000000-0000-4000-8000-00000000f001', '1 hour', now() - interval '1 minute', clock_timestamp() + interval '1 second', 'short');
DO $$
BEGIN
	PERFORM regress_mt_tokens.enter('pc-a', 'pc-hal');
	RAISE NOTICE 'break-glass: %', regress_mt_tokens.until_over('vm:read');
	COMMIT;
	PERFORM regress_mt_tokens.enter('pc-a', 'pc-hal');
	RAISE NOTICE 'the next transaction: %', multitenant.has_permission('vm:read');
END $$;
DELETE FROM multitenant.break_glass;
DELETE FROM multitenant.role_assignment WHERE assignee = 'pc-hal';

-- who cannot be a principal is not remembered
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-ann');
SELECT multitenant.has_permission_of(repeat('x', 1000000), 'vm:read');
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'multitenant rights%' AND total_bytes > 1000000;
SELECT multitenant.has_permission_of(repeat('x', 1000000), 'vm:raed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- an application role asks, and reads no table
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-cat');
SELECT multitenant.has_permission('vm:read', 'rack-1'), multitenant.has_permission('vm:read');
SELECT count(*) FROM multitenant.list_accessible('vm:read');
SELECT * FROM multitenant.explain_permission('vm:read', 'rack-1');
SAVEPOINT s;
SELECT count(*) FROM multitenant.role_assignment; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant._permission_paths(:a, 'pc-ann', false, 'vm:read', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;

-- a refusal in a block that goes on
BEGIN;
SELECT regress_mt_tokens.enter('pc-a', 'pc-hal');
DO $$ BEGIN PERFORM multitenant.require_permission('vm:read', 'a "quoted" scope'); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE '%', SQLERRM; END $$;
ROLLBACK;

\i sql/tokens_off.inc
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app;
