-- Tables that ask for permissions, and filter rows by scope.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_migrator;
SELECT multitenant.grant_access('regress_mt_migrator', 'migrator');
GRANT regress_mt_owner TO regress_mt_migrator;
SELECT multitenant.create_tenant('perm-a', number => 911, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('perm-b', number => 912, id => '00000000-0000-0000-0000-0000000000b1');
CREATE SCHEMA mt_perm AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_perm TO regress_mt_app;

-- who there is: dora does everything, rick reads, cleo does everything in cluster 1 and what is below it, ines only creates
INSERT INTO multitenant.permission (name, description) VALUES ('vm:read', ''), ('vm:create', ''), ('vm:update', ''), ('vm:delete', ''),
	('disk:read', ''), ('disk:create', ''), ('disk:update', ''), ('disk:delete', ''), ('half:read', '');
INSERT INTO multitenant.principal (id) VALUES ('dora'), ('rick'), ('cleo'), ('ines'), ('nora'), ('gone');
INSERT INTO multitenant.member (tenant_id, principal) SELECT '00000000-0000-0000-0000-0000000000a1', p.id FROM multitenant.principal p;
INSERT INTO multitenant.role (id, tenant_id, name) VALUES
	('00000000-0000-0000-0000-00000000aa01', '00000000-0000-0000-0000-000000000000', 'doer'),
	('00000000-0000-0000-0000-00000000aa02', '00000000-0000-0000-0000-000000000000', 'reader'),
	('00000000-0000-0000-0000-00000000aa03', '00000000-0000-0000-0000-000000000000', 'creator');
INSERT INTO multitenant.role_permission (role_id, tenant_id, permission) VALUES
	('00000000-0000-0000-0000-00000000aa01', '00000000-0000-0000-0000-000000000000', 'vm:*'),
	('00000000-0000-0000-0000-00000000aa02', '00000000-0000-0000-0000-000000000000', 'vm:read'),
	('00000000-0000-0000-0000-00000000aa03', '00000000-0000-0000-0000-000000000000', 'vm:create');
INSERT INTO multitenant.scope (tenant_id, id, parent_id) VALUES
	('00000000-0000-0000-0000-0000000000a1', '1', NULL), ('00000000-0000-0000-0000-0000000000a1', '11', '1'),
	('00000000-0000-0000-0000-0000000000a1', '2', NULL), ('00000000-0000-0000-0000-0000000000b1', '3', NULL);
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id) VALUES
	('00000000-0000-0000-0000-0000000000a1', false, 'dora', '00000000-0000-0000-0000-00000000aa01', NULL),
	('00000000-0000-0000-0000-0000000000a1', false, 'rick', '00000000-0000-0000-0000-00000000aa02', NULL),
	('00000000-0000-0000-0000-0000000000a1', false, 'cleo', '00000000-0000-0000-0000-00000000aa01', '1'),
	('00000000-0000-0000-0000-0000000000a1', false, 'cleo', '00000000-0000-0000-0000-00000000aa02', '2'),
	('00000000-0000-0000-0000-0000000000a1', false, 'ines', '00000000-0000-0000-0000-00000000aa03', NULL);

SET ROLE regress_mt_owner;
CREATE TABLE mt_perm.vm (tenant_id int, id int, cluster_id int, name text, PRIMARY KEY (tenant_id, id));
INSERT INTO mt_perm.vm VALUES (911, 1, 1, 'a in 1'), (911, 2, 11, 'a in 11'), (911, 3, 2, 'a in 2'), (911, 4, NULL, 'a nowhere'),
	(911, 5, 77, 'a in no tree'), (912, 1, 1, 'b in 1'), (912, 2, 3, 'b in 3');
GRANT ALL ON ALL TABLES IN SCHEMA mt_perm TO regress_mt_app;

-- what cannot be asked for
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'VM'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => ''); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'vm:read'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => repeat('v', 64)); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'none'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'half'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', scope_column => 'cluster_id'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'vm', scope_column => 'none'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'vm', scope_column => 'tenant_id'); \echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_perm.vm ADD COLUMN at date, ADD COLUMN twice int GENERATED ALWAYS AS (cluster_id * 2) STORED;
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'vm', scope_column => 'at'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'vm', scope_column => 'twice'); \echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_perm.vm DROP COLUMN at, DROP COLUMN twice;

-- permissions alone: once for each statement, and an error
SELECT command FROM multitenant.protect('mt_perm.vm', permissions => 'vm') WHERE command ~ 'LABEL|POLICY';
SELECT table_name, class, is_intact, permissions, scope_column FROM multitenant.tables WHERE table_name = 'mt_perm.vm';
RESET ROLE;
\set as 'BEGIN; SET LOCAL ROLE regress_mt_app; SELECT regress_mt_tokens.enter(''perm-a'', :''who''); SAVEPOINT s;'
\set who dora
:as
SELECT count(*) FROM mt_perm.vm;
INSERT INTO mt_perm.vm (id, name) VALUES (9, 'new');
UPDATE mt_perm.vm SET name = 'newer' WHERE id = 9;
SELECT id FROM mt_perm.vm WHERE id = 9 FOR UPDATE;
DELETE FROM mt_perm.vm WHERE id = 9;
ROLLBACK;
\set VERBOSITY default
\set who rick
:as
SELECT count(*) FROM mt_perm.vm;
INSERT INTO mt_perm.vm (id, name) VALUES (9, 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
\set VERBOSITY terse
UPDATE mt_perm.vm SET name = 'newer' WHERE id = 1;
ROLLBACK TO s;
DELETE FROM mt_perm.vm WHERE id = 1;
ROLLBACK TO s;
-- nor where no row is concerned
DELETE FROM mt_perm.vm WHERE false;
ROLLBACK TO s;
SELECT id FROM mt_perm.vm WHERE id = 1 FOR UPDATE;
ROLLBACK TO s;
SELECT id FROM mt_perm.vm WHERE id = 1 FOR KEY SHARE;
ROLLBACK TO s;
MERGE INTO mt_perm.vm USING (VALUES (1)) AS n(id) ON vm.id = n.id WHEN MATCHED THEN DELETE;
ROLLBACK TO s;
COPY mt_perm.vm (id, name) FROM stdin;
9	new
\.
ROLLBACK TO s;
COPY mt_perm.vm (name) TO stdout;
WITH w AS (UPDATE mt_perm.vm SET name = 'x' RETURNING id) SELECT 1;
ROLLBACK TO s;
EXPLAIN (ANALYZE, COSTS off) UPDATE mt_perm.vm SET name = 'newer';
ROLLBACK;
\set who ines
:as
INSERT INTO mt_perm.vm (id, name) VALUES (9, 'new');
INSERT INTO mt_perm.vm (id, name) VALUES (8, 'new') RETURNING id;
ROLLBACK TO s;
INSERT INTO mt_perm.vm (id, name) VALUES (8, 'new') ON CONFLICT (tenant_id, id) DO UPDATE SET name = 'x';
ROLLBACK TO s;
INSERT INTO mt_perm.vm (id, name) VALUES (8, 'new') ON CONFLICT DO NOTHING;
COPY mt_perm.vm (id, name) FROM stdin;
7	new
\.
SELECT count(*) FROM mt_perm.vm;
ROLLBACK TO s;
SELECT 1 FROM (SELECT count(*) FROM mt_perm.vm) x;
ROLLBACK TO s;
-- every way to TRUNCATE is denied to applications anyway
TRUNCATE mt_perm.vm;
ROLLBACK;
-- a member without a role, somebody unknown, somebody of no tenant, nobody
\set who nora
:as
SELECT count(*) FROM mt_perm.vm;
ROLLBACK;
\set who stranger
:as
SELECT count(*) FROM mt_perm.vm;
ROLLBACK;
\set VERBOSITY default
BEGIN; SET LOCAL ROLE regress_mt_app; SELECT regress_mt_tokens.enter('perm-a', NULL);
SELECT count(*) FROM mt_perm.vm;
ROLLBACK;
\set VERBOSITY terse
BEGIN; SET LOCAL ROLE regress_mt_app; SELECT regress_mt_tokens.enter('perm-b', 'dora');
SELECT count(*) FROM mt_perm.vm;
ROLLBACK;
-- what a view or a function lends is nobody's permission
CREATE VIEW mt_perm.invoker WITH (security_invoker) AS SELECT * FROM mt_perm.vm;
ALTER VIEW mt_perm.invoker OWNER TO regress_mt_owner;
CREATE VIEW mt_perm.definer AS SELECT * FROM mt_perm.vm;
ALTER VIEW mt_perm.definer OWNER TO regress_mt_owner;
CREATE FUNCTION mt_perm.definer_count() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM mt_perm.vm';
ALTER FUNCTION mt_perm.definer_count() OWNER TO regress_mt_owner;
GRANT ALL ON mt_perm.invoker, mt_perm.definer TO regress_mt_app;
\set who nora
:as
SELECT count(*) FROM mt_perm.invoker;
ROLLBACK TO s;
SELECT count(*) FROM mt_perm.definer;
ROLLBACK TO s;
SELECT mt_perm.definer_count();
ROLLBACK;
\set who rick
:as
SELECT count(*) FROM mt_perm.invoker;
SELECT count(*) FROM mt_perm.definer;
SELECT mt_perm.definer_count();
UPDATE mt_perm.definer SET name = 'x';
ROLLBACK;
-- superusers and the owner without a context
SELECT count(*) FROM mt_perm.vm;
-- prepared by one, executed by another; a revocation between two executions
PREPARE reading AS SELECT count(*) FROM mt_perm.vm;
\set who dora
SET multitenant.session_hygiene = off;
:as
EXECUTE reading;
ROLLBACK;
\set who nora
:as
EXECUTE reading;
ROLLBACK;
DEALLOCATE reading;
RESET multitenant.session_hygiene;

-- with a scope column
SELECT multitenant.set_permissions('mt_perm.vm', 'vm', 'cluster_id');
SELECT polname, polpermissive, polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
	FROM pg_policy WHERE polrelid = 'mt_perm.vm'::regclass ORDER BY 1;
SELECT objtype, label FROM pg_seclabels WHERE objname ~ '^mt_perm' ORDER BY 1, 2;
SELECT class, tenant_column, is_intact, finding, permissions, scope_column FROM multitenant._protection('mt_perm.vm');
SELECT * FROM multitenant.repair('mt_perm.vm');
SELECT * FROM multitenant.protect('mt_perm.vm', permissions => 'vm', scope_column => 'cluster_id');
SELECT * FROM multitenant.protect('mt_perm.vm');
\set who dora
:as
SELECT id, name FROM mt_perm.vm ORDER BY id;
ROLLBACK;
\set who cleo
:as
SELECT id, name FROM mt_perm.vm ORDER BY id;
SELECT id FROM mt_perm.vm ORDER BY id FOR UPDATE;
UPDATE mt_perm.vm SET name = upper(name) RETURNING id, name;
INSERT INTO mt_perm.vm (id, cluster_id, name) VALUES (20, 11, 'new') RETURNING id;
SAVEPOINT s;
INSERT INTO mt_perm.vm (id, cluster_id, name) VALUES (21, 2, 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO mt_perm.vm (id, name) VALUES (21, 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO mt_perm.vm (id, cluster_id, name) VALUES (21, 78, 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO mt_perm.vm (id, cluster_id, name) VALUES (3, 1, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET name = 'x'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- to another scope: the permission in both
UPDATE mt_perm.vm SET cluster_id = 11 WHERE id = 1 RETURNING id;
UPDATE mt_perm.vm SET cluster_id = 2 WHERE id = 1; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE mt_perm.vm SET cluster_id = NULL WHERE id = 1; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE mt_perm.vm SET cluster_id = 1 WHERE id = 3 RETURNING id;
DELETE FROM mt_perm.vm WHERE id = 3 RETURNING id;
MERGE INTO mt_perm.vm USING (VALUES (2), (3), (30)) AS n(id) ON vm.id = n.id
	WHEN MATCHED THEN UPDATE SET name = 'merged' WHEN NOT MATCHED THEN INSERT (id, cluster_id, name) VALUES (n.id, 1, 'merged');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COPY mt_perm.vm (id, cluster_id, name) FROM stdin;
22	2	new
\.
ROLLBACK TO s;
COPY mt_perm.vm (id, name) TO stdout;
DELETE FROM mt_perm.vm RETURNING id;
ROLLBACK;
SELECT count(*) FROM mt_perm.vm;

-- in_scope() itself
\set who cleo
:as
SELECT multitenant.in_scope(1, 'vm:read'), multitenant.in_scope(11::bigint, 'vm:read'), multitenant.in_scope('2'::text, 'vm:read'),
	multitenant.in_scope(2, 'vm:update'), multitenant.in_scope(3, 'vm:read'), multitenant.in_scope(NULL::int, 'vm:read'),
	multitenant.in_scope(gen_random_uuid(), 'vm:read'), multitenant.in_scope(repeat('1', 300), 'vm:read'),
	multitenant.in_scope('01'::text, 'vm:read'), multitenant.in_scope('1 '::text, 'vm:read'), multitenant.in_scope(-1, 'vm:read');
SELECT multitenant.in_scope(1, 'vm:reed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.in_scope(1, repeat('v', 200)); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.in_scope(1, NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT p, multitenant.in_scope(2, p) FROM unnest('{vm:read,vm:update,vm:read,vm:delete}'::text[]) p;
ROLLBACK;
\set who dora
:as
SELECT multitenant.in_scope(3, 'vm:read'), multitenant.in_scope(NULL::text, 'vm:read'), multitenant.in_scope(gen_random_uuid(), 'vm:read');
ROLLBACK;
SELECT multitenant.in_scope(1, 'vm:read');

-- why, and why not
\set who rick
:as
SELECT layer, verdict, detail FROM multitenant.explain_access('mt_perm.vm', 1) WHERE layer NOT IN ('privilege', 'context');
SELECT layer, verdict, detail FROM multitenant.explain_access('mt_perm.vm', 1, 'update') WHERE layer IN ('permission', 'row', 'advice');
ROLLBACK;
\set who cleo
:as
SELECT layer, verdict, detail FROM multitenant.explain_access('mt_perm.vm', 3, 'delete') WHERE layer IN ('permission', 'row', 'advice') OR layer ~ 'scope';
SELECT layer, verdict, detail FROM multitenant.explain_access('mt_perm.vm', '{"id": 50, "cluster_id": 2}'::jsonb, 'insert') WHERE layer IN ('permission', 'advice') OR layer ~ 'scope';
ROLLBACK;
-- a permission that is gone
BEGIN;
DELETE FROM multitenant.permission WHERE name = 'vm:update';
SELECT name, level, cache_key, detail, remediation FROM multitenant.lint('mt_perm') WHERE name ~ '^table_permission';
SET LOCAL ROLE regress_mt_app; SELECT regress_mt_tokens.enter('perm-a', 'cleo');
SELECT count(*) FROM mt_perm.vm;
UPDATE mt_perm.vm SET name = 'x';
ROLLBACK;

-- other types of the column, a collation that knows no case
SET ROLE regress_mt_owner;
CREATE COLLATION mt_perm.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE mt_perm.of_text (tenant_id int, scope text COLLATE mt_perm.caseless);
CREATE TABLE mt_perm.of_varchar (tenant_id int, scope varchar(20));
CREATE TABLE mt_perm.of_bigint (tenant_id int, scope bigint);
CREATE TABLE mt_perm.of_uuid (tenant_id int, scope uuid);
INSERT INTO mt_perm.of_text VALUES (911, 'site-a'), (911, 'SITE-A'), (911, NULL);
INSERT INTO mt_perm.of_varchar VALUES (911, 'site-a'), (911, 'site-b');
INSERT INTO mt_perm.of_bigint VALUES (911, 1), (911, 2), (911, 4294967297);
INSERT INTO mt_perm.of_uuid VALUES (911, '00000000-0000-0000-0000-00000000c001'), (911, '00000000-0000-0000-0000-00000000c002');
GRANT ALL ON ALL TABLES IN SCHEMA mt_perm TO regress_mt_app;
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.of_text', permissions => 'vm', scope_column => 'scope');
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.of_varchar', permissions => 'vm', scope_column => 'scope');
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.of_bigint', permissions => 'vm', scope_column => 'scope');
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.of_uuid', permissions => 'vm', scope_column => 'scope');
RESET ROLE;
SELECT table_name, is_intact, scope_column FROM multitenant.tables WHERE table_name ~ '^mt_perm' ORDER BY 1;
INSERT INTO multitenant.scope (tenant_id, id) VALUES ('00000000-0000-0000-0000-0000000000a1', 'site-a'),
	('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-00000000c001');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id) VALUES
	('00000000-0000-0000-0000-0000000000a1', false, 'cleo', '00000000-0000-0000-0000-00000000aa02', 'site-a'),
	('00000000-0000-0000-0000-0000000000a1', false, 'cleo', '00000000-0000-0000-0000-00000000aa02', '00000000-0000-0000-0000-00000000c001');
\set who cleo
:as
SELECT scope FROM mt_perm.of_text;
SELECT scope FROM mt_perm.of_varchar;
SELECT scope FROM mt_perm.of_bigint;
SELECT scope FROM mt_perm.of_uuid;
ROLLBACK;

-- a restrictive policy of the owner's narrows further; a permissive one is refused
SET ROLE regress_mt_owner;
CREATE POLICY zzz ON mt_perm.vm AS RESTRICTIVE USING (id <> 2);
CREATE POLICY wide ON mt_perm.vm USING (true); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
:as
SELECT id FROM mt_perm.vm ORDER BY id;
ROLLBACK;
DROP POLICY zzz ON mt_perm.vm;

-- rights change: the next statement of the same transaction knows
:as
SELECT count(*) FROM mt_perm.vm;
RESET ROLE;
DELETE FROM multitenant.role_assignment WHERE assignee = 'cleo' AND scope_id = '1';
SET LOCAL ROLE regress_mt_app;
SELECT count(*) FROM mt_perm.vm;
UPDATE mt_perm.vm SET name = 'x';
ROLLBACK;
:as
SELECT count(*) FROM mt_perm.vm;
DECLARE c CURSOR FOR SELECT id FROM mt_perm.vm ORDER BY id;
FETCH 1 FROM c;
RESET ROLE;
DELETE FROM multitenant.role_assignment WHERE assignee = 'cleo';
SET LOCAL ROLE regress_mt_app;
FETCH 1 FROM c;
ROLLBACK;

-- changing it: who may, and what protect() leaves to set_permissions()
SET ROLE regress_mt_owner;
SELECT multitenant.set_permissions('mt_perm.vm', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_permissions('mt_perm.vm', 'disk'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'disk'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.protect('mt_perm.vm', permissions => 'vm'); \echo :LAST_ERROR_SQLSTATE
CREATE TABLE mt_perm.plain (tenant_id int, id int);
GRANT ALL ON mt_perm.plain TO regress_mt_app;
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.plain');
SELECT count(*) FROM multitenant.protect('mt_perm.plain', permissions => 'disk'); \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_migrator;
SELECT command FROM multitenant.protect('mt_perm.plain', permissions => 'disk');
SELECT count(*) FROM multitenant.protect('mt_perm.plain', permissions => 'disk');
SELECT multitenant.set_permissions('mt_perm.plain', 'vm', 'id');
SELECT permissions, scope_column, is_intact FROM multitenant._protection('mt_perm.plain');
SELECT multitenant.set_permissions('mt_perm.plain', 'disk');
SELECT permissions, scope_column, is_intact FROM multitenant._protection('mt_perm.plain');
SELECT multitenant.set_permissions('mt_perm.plain', NULL);
SELECT permissions, scope_column, is_intact FROM multitenant._protection('mt_perm.plain');
SELECT label FROM pg_seclabels WHERE objname = 'mt_perm.plain';
SELECT count(*) FROM pg_policy WHERE polrelid = 'mt_perm.plain'::regclass;
SELECT multitenant.set_permissions('mt_perm.plain', NULL, 'id'); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
CREATE TABLE mt_perm.nothing (id int);
SELECT multitenant.set_permissions('mt_perm.nothing', 'vm'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_permissions(NULL, 'vm'); \echo :LAST_ERROR_SQLSTATE

-- labels: what they may say
SECURITY LABEL FOR multitenant ON TABLE mt_perm.nothing IS 'shared_rows {"permissions": "vm"}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.nothing IS 'tenant {"permissions": "V"}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.nothing IS 'tenant {"permissions": null}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.nothing IS 'tenant {"permissions": ["vm"]}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.nothing IS 'tenant {"permissions": "vm", "scoped": false}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.nothing IS 'tenant {"scoped": true}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON COLUMN mt_perm.nothing.id IS 'scope'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON COLUMN mt_perm.vm.tenant_id IS 'scope_column'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON COLUMN mt_perm.vm.name IS 'scope_column'; \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_owner;
SECURITY LABEL FOR multitenant ON COLUMN mt_perm.vm.cluster_id IS NULL; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.vm IS 'tenant'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.vm IS 'tenant {"permissions": "vm"}'; \echo :LAST_ERROR_SQLSTATE
-- the library's policies, and the column
DROP POLICY multitenant_scope_select ON mt_perm.vm; \echo :LAST_ERROR_SQLSTATE
ALTER POLICY multitenant_scope_insert ON mt_perm.vm WITH CHECK (true); \echo :LAST_ERROR_SQLSTATE
ALTER POLICY multitenant_scope_update ON mt_perm.vm RENAME TO other; \echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_perm.vm DROP COLUMN cluster_id CASCADE; \echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_perm.vm RENAME COLUMN cluster_id TO cluster;
SELECT permissions, scope_column, is_intact FROM multitenant._protection('mt_perm.vm');
ALTER TABLE mt_perm.vm RENAME COLUMN cluster TO cluster_id;
RESET ROLE;

-- broken by force: each piece closes the table, and repair() brings it back
\set guard_off 'SET multitenant.guard_enabled = off; SET ROLE regress_mt_owner;'
\set guard_on 'RESET ROLE; RESET multitenant.guard_enabled; SELECT is_intact, finding FROM multitenant._protection(''mt_perm.vm''); SELECT * FROM multitenant.repair(''mt_perm.vm''); SELECT is_intact, finding, permissions, scope_column FROM multitenant._protection(''mt_perm.vm'');'
:guard_off
DROP POLICY multitenant_scope_select ON mt_perm.vm;
:guard_on
:guard_off
DROP POLICY multitenant_scope_insert ON mt_perm.vm;
:guard_on
:guard_off
DROP POLICY multitenant_scope_update ON mt_perm.vm;
:guard_on
:guard_off
DROP POLICY multitenant_scope_delete ON mt_perm.vm;
:guard_on
:guard_off
ALTER POLICY multitenant_scope_select ON mt_perm.vm USING (multitenant.in_scope(cluster_id, 'vm:delete'));
:guard_on
:guard_off
ALTER POLICY multitenant_scope_select ON mt_perm.vm USING (multitenant.in_scope(cluster_id, 'disk:read'));
:guard_on
:guard_off
ALTER POLICY multitenant_scope_select ON mt_perm.vm USING (multitenant.in_scope(id, 'vm:read'));
:guard_on
:guard_off
ALTER POLICY multitenant_scope_select ON mt_perm.vm USING (multitenant.in_scope(cluster_id + 0, 'vm:read'));
:guard_on
:guard_off
ALTER POLICY multitenant_scope_select ON mt_perm.vm USING (multitenant.in_scope(cluster_id, 'vm:' || 'read'));
:guard_on
:guard_off
ALTER POLICY multitenant_scope_select ON mt_perm.vm TO regress_mt_app;
:guard_on
:guard_off
ALTER POLICY multitenant_scope_update ON mt_perm.vm WITH CHECK (true);
:guard_on
:guard_off
DROP POLICY multitenant_scope_delete ON mt_perm.vm;
CREATE POLICY multitenant_scope_delete ON mt_perm.vm FOR DELETE USING (multitenant.in_scope(cluster_id, 'vm:delete'));
:guard_on
SECURITY LABEL FOR multitenant ON COLUMN mt_perm.vm.cluster_id IS NULL;
:guard_on
SECURITY LABEL FOR multitenant ON TABLE mt_perm.vm IS 'tenant {"permissions": "vm"}';
:guard_on
SELECT multitenant.set_permissions('mt_perm.vm', 'vm', 'cluster_id');
SECURITY LABEL FOR multitenant ON TABLE mt_perm.vm IS 'tenant';
:guard_on
SELECT multitenant.set_permissions('mt_perm.vm', 'vm', 'cluster_id');
-- the label lost altogether, as by a restore without the library: the policies say what it said
SECURITY LABEL FOR multitenant ON TABLE mt_perm.vm IS NULL;
:guard_on
SECURITY LABEL FOR multitenant ON TABLE mt_perm.vm IS NULL;
SECURITY LABEL FOR multitenant ON COLUMN mt_perm.vm.cluster_id IS NULL;
:guard_on
-- a policy that looks like one of the library's on a table without scopes
:guard_off
CREATE POLICY multitenant_scope_select ON mt_perm.plain AS RESTRICTIVE USING (true);
RESET ROLE; RESET multitenant.guard_enabled;
SELECT is_intact, finding FROM multitenant._protection('mt_perm.plain');
SELECT * FROM multitenant.repair('mt_perm.plain');
SELECT is_intact, finding FROM multitenant._protection('mt_perm.plain');
-- the column gone, past the guard
BEGIN;
SET LOCAL multitenant.guard_enabled = off;
ALTER TABLE mt_perm.vm DROP COLUMN cluster_id CASCADE;
SELECT is_intact, finding FROM multitenant._protection('mt_perm.vm');
SAVEPOINT s;
SELECT * FROM multitenant.repair('mt_perm.vm'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- partitions, and children
SET ROLE regress_mt_owner;
CREATE TABLE mt_perm.part (tenant_id int NOT NULL, id int, cluster_id int) PARTITION BY LIST (tenant_id);
CREATE TABLE mt_perm.part_a PARTITION OF mt_perm.part FOR VALUES IN (911);
CREATE TABLE mt_perm.part_b PARTITION OF mt_perm.part DEFAULT;
INSERT INTO mt_perm.part VALUES (911, 1, 1), (911, 2, 2), (912, 1, 1);
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.part', permissions => 'vm', scope_column => 'cluster_id');
GRANT ALL ON mt_perm.part, mt_perm.part_a, mt_perm.part_b TO regress_mt_app;
SELECT table_name, is_intact, permissions, scope_column FROM multitenant.tables WHERE table_name ~ '^mt_perm.part' ORDER BY 1;
RESET ROLE;
:as
SELECT * FROM mt_perm.part ORDER BY id;
SELECT * FROM mt_perm.part_a ORDER BY id;
ROLLBACK;
\set who nora
:as
SELECT * FROM mt_perm.part_a;
ROLLBACK;
\set who cleo
-- one that comes later: closed under its own name until repair(), read through the parent
SET ROLE regress_mt_owner;
CREATE TABLE mt_perm.part_c PARTITION OF mt_perm.part FOR VALUES IN (913);
SELECT is_intact, permissions, finding FROM multitenant._protection('mt_perm.part_c');
SELECT count(*) > 0 FROM multitenant.repair('mt_perm.part');
SELECT is_intact, permissions, scope_column FROM multitenant._protection('mt_perm.part_c');
-- one that asks for something else
CREATE TABLE mt_perm.part_d (LIKE mt_perm.part);
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.part_d', permissions => 'disk', scope_column => 'cluster_id');
ALTER TABLE mt_perm.part ATTACH PARTITION mt_perm.part_d FOR VALUES IN (914); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT multitenant.set_permissions('mt_perm.part_d', 'vm', 'id');
ALTER TABLE mt_perm.part ATTACH PARTITION mt_perm.part_d FOR VALUES IN (914); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_permissions('mt_perm.part_d', 'vm', 'cluster_id');
SET ROLE regress_mt_owner;
ALTER TABLE mt_perm.part ATTACH PARTITION mt_perm.part_d FOR VALUES IN (914);
SELECT table_name, is_intact, permissions, scope_column, finding FROM multitenant.tables WHERE table_name ~ '^mt_perm.part' ORDER BY 1;
RESET ROLE;
SELECT multitenant.set_permissions('mt_perm.part', 'vm');
SELECT table_name, is_intact, permissions, scope_column, finding FROM multitenant.tables WHERE table_name ~ '^mt_perm.part' ORDER BY 1;
SELECT multitenant.set_permissions('mt_perm.part', NULL);
SELECT table_name, is_intact, permissions, scope_column, finding FROM multitenant.tables WHERE table_name ~ '^mt_perm.part' ORDER BY 1;
-- a child that asks for more than its parent would be read past it
CREATE TABLE mt_perm.child () INHERITS (mt_perm.plain);
ALTER TABLE mt_perm.child OWNER TO regress_mt_owner;
SELECT count(*) > 0 FROM multitenant.repair('mt_perm.plain');
SELECT multitenant.set_permissions('mt_perm.child', 'vm'); \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_perm.child IS 'tenant {"permissions": "vm"}';
SELECT is_intact, finding FROM multitenant._protection('mt_perm.plain');
SELECT is_intact, finding FROM multitenant._protection('mt_perm.child');
DROP TABLE mt_perm.child;

-- foreign keys that change rows which ask for something else
SET ROLE regress_mt_owner;
CREATE TABLE mt_perm.host (tenant_id int, id int, cluster_id int, PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, id, cluster_id));
CREATE TABLE mt_perm.disk (tenant_id int, host_id int, cluster_id int, above int, PRIMARY KEY (tenant_id, above));
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.host');
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.disk', permissions => 'disk');
RESET ROLE;
CREATE VIEW mt_perm.past AS SELECT level, cache_key, detail, remediation FROM multitenant.lint('mt_perm') WHERE name = 'fk_action_without_permission';
-- who deletes a host needs no permission, and takes disks along
ALTER TABLE mt_perm.disk ADD CONSTRAINT f FOREIGN KEY (tenant_id, host_id) REFERENCES mt_perm.host ON DELETE CASCADE;
SELECT * FROM mt_perm.past;
SELECT multitenant.set_permissions('mt_perm.host', 'vm');
SELECT * FROM mt_perm.past;
-- the same permissions
SELECT multitenant.set_permissions('mt_perm.host', 'disk');
SELECT * FROM mt_perm.past;
-- .. but another action
ALTER TABLE mt_perm.disk DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (tenant_id, host_id) REFERENCES mt_perm.host ON DELETE SET NULL (host_id);
SELECT * FROM mt_perm.past;
ALTER TABLE mt_perm.disk DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (tenant_id, host_id) REFERENCES mt_perm.host ON UPDATE CASCADE;
SELECT * FROM mt_perm.past;
-- .. but scopes, unless the key contains them
SELECT multitenant.set_permissions('mt_perm.disk', 'disk', 'cluster_id');
SELECT * FROM mt_perm.past;
SELECT multitenant.set_permissions('mt_perm.host', 'disk', 'cluster_id');
SELECT detail FROM mt_perm.past;
ALTER TABLE mt_perm.disk DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (tenant_id, host_id, cluster_id) REFERENCES mt_perm.host (tenant_id, id, cluster_id) ON UPDATE CASCADE ON DELETE CASCADE;
SELECT * FROM mt_perm.past;
SELECT multitenant.set_permissions('mt_perm.host', 'vm', 'cluster_id');
SELECT detail FROM mt_perm.past;
-- without an action nothing is changed
ALTER TABLE mt_perm.disk DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (tenant_id, host_id) REFERENCES mt_perm.host;
SELECT * FROM mt_perm.past;
DROP VIEW mt_perm.past;
DROP TABLE mt_perm.disk, mt_perm.host;

-- pausing, observing, giving back
SELECT multitenant.pause_protection('mt_perm.vm', 'test', now() + interval '1 hour');
\set who nora
:as
SELECT count(*) > 0 FROM mt_perm.vm;
ROLLBACK;
SELECT count(*) FROM multitenant.repair('mt_perm.vm');
SELECT is_intact, permissions, scope_column FROM multitenant._protection('mt_perm.vm');
SELECT multitenant.observe('mt_perm.vm');
SELECT label FROM pg_seclabels WHERE objname ~ '^mt_perm.vm' ORDER BY 1;
:as
SELECT count(*) > 0 FROM mt_perm.vm;
ROLLBACK;
SELECT count(*) > 0 FROM multitenant.protect('mt_perm.vm');
SELECT is_intact, permissions, scope_column FROM multitenant._protection('mt_perm.vm');
SELECT multitenant.unprotect('mt_perm.vm');
SELECT count(*) FROM pg_seclabels WHERE objname ~ '^mt_perm.vm';
SELECT count(*) FROM pg_policy WHERE polrelid = 'mt_perm.vm'::regclass;
SELECT class FROM multitenant._protection('mt_perm.vm');

SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
DROP SCHEMA mt_perm CASCADE;
DROP EXTENSION multitenant CASCADE;
DROP OWNED BY regress_mt_owner, regress_mt_app, regress_mt_migrator;
DROP ROLE regress_mt_owner, regress_mt_app, regress_mt_migrator;
\i sql/tokens_off.inc
