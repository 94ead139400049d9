-- set_new_tables(): what happens to tables that come, by every way in which one can; decided before the commit.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_other;
CREATE SCHEMA mt_new AUTHORIZATION regress_mt_owner;
CREATE SCHEMA mt_free AUTHORIZATION regress_mt_owner;
GRANT ALL ON SCHEMA mt_free TO regress_mt_other;
GRANT CREATE ON DATABASE :DBNAME TO regress_mt_owner;
SELECT multitenant.grant_access('regress_mt_owner', 'migrator');
SELECT multitenant.create_tenant('acme', id => '00000000-0000-0000-0000-00000000000a');
CREATE VIEW mt_free.class AS SELECT table_name, class, is_intact FROM multitenant.tables ORDER BY table_name COLLATE "C";
GRANT SELECT ON mt_free.class TO PUBLIC;

-- ---- the rule itself ----
SELECT * FROM multitenant._new_tables();
SELECT multitenant.set_new_tables('loud');
SELECT multitenant.set_new_tables(NULL);
SELECT multitenant.set_new_tables('error', '{}');
SELECT multitenant.set_new_tables('error', '{mt_new,nowhere}');
SELECT multitenant.set_new_tables('error', '{mt_new,NULL}');
SELECT multitenant.set_new_tables('error', '{pg_catalog}');
SELECT multitenant.set_new_tables('error', '{multitenant}');
SELECT multitenant.set_new_tables('error', NULL, NULL);
SET ROLE regress_mt_owner;
SELECT multitenant.set_new_tables('off');
SELECT multitenant.pre_restore();
SELECT count(*) FROM multitenant.post_restore();
INSERT INTO multitenant.new_table_rule (mode, tenant_column) VALUES ('off', 'x');
INSERT INTO multitenant.pending_protection DEFAULT VALUES;
RESET ROLE;
SELECT * FROM multitenant._new_tables();

-- ---- off ----
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE mt_new.old (id int, tenant_id uuid);
CREATE TABLE mt_new.plain (id int);
CREATE TABLE mt_new.parted (id int) PARTITION BY RANGE (id);

-- ---- warn ----
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_new_tables('warn', '{mt_new}');
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE mt_new.w (id int);
CREATE TABLE mt_free.w (id int);
BEGIN;
CREATE TABLE mt_new.w2 (id int);
CREATE TABLE mt_new.w3 (id int, tenant_id uuid);
DROP TABLE mt_new.w;
COMMIT;
DROP TABLE mt_new.w2, mt_new.w3, mt_free.w;

-- ---- error: every way to make a table ----
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_new_tables('error', '{mt_new}');
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE mt_new.t (id int);
CREATE TABLE mt_new.t (id int, tenant_id uuid);
CREATE UNLOGGED TABLE mt_new.t (id int);
CREATE TABLE mt_new.t AS SELECT 1 AS id;
SELECT 1 AS id INTO mt_new.t;
CREATE TABLE mt_new.t (LIKE mt_new.plain);
CREATE TABLE mt_new.t (id int) PARTITION BY LIST (id);
CREATE TABLE mt_new.t () INHERITS (mt_new.plain);
CREATE TYPE mt_free.row AS (id int);
CREATE TABLE mt_new.t OF mt_free.row;
DO $$ BEGIN EXECUTE 'CREATE TABLE mt_new.t (id int)'; END $$;
SET search_path = mt_new;
CREATE TABLE t (id int);
RESET search_path;
SELECT count(*) FROM pg_class WHERE relname = 't' AND relnamespace = 'mt_new'::regnamespace;
-- what is no new table of the application
CREATE TEMP TABLE t (id int);
DROP TABLE t;
CREATE TABLE mt_free.t (id int);
CREATE VIEW mt_new.v AS SELECT 1;
CREATE MATERIALIZED VIEW mt_new.m AS SELECT 1;
CREATE SEQUENCE mt_new.s;
CREATE INDEX ON mt_new.plain (id);
CREATE TABLE mt_new.parted_1 PARTITION OF mt_new.parted FOR VALUES FROM (0) TO (10);
ALTER TABLE mt_new.parted ADD COLUMN note text;
ALTER TABLE mt_new.old ALTER tenant_id SET DEFAULT gen_random_uuid(), ADD COLUMN note text, ALTER id TYPE bigint;
ALTER TABLE mt_new.plain RENAME TO plane;
ALTER TABLE mt_new.plane RENAME TO plain;
ALTER TABLE mt_new.plain SET (fillfactor = 90);
ALTER TABLE mt_new.parted DETACH PARTITION mt_new.parted_1;
ALTER TABLE mt_new.parted ATTACH PARTITION mt_new.parted_1 FOR VALUES FROM (0) TO (10);
TRUNCATE mt_new.plain;
VACUUM FULL mt_new.plain;
-- the tenant column comes to a table that nobody has decided about
ALTER TABLE mt_new.plain ADD COLUMN tenant_id uuid;
ALTER TABLE mt_new.plain ADD COLUMN tenant uuid;
ALTER TABLE mt_new.plain RENAME tenant TO tenant_id;
ALTER TABLE mt_new.plain DROP COLUMN tenant;
BEGIN;
ALTER TABLE mt_new.plain ADD COLUMN tenant_id uuid;
SELECT count(*) > 0 FROM multitenant.protect('mt_new.plain');
COMMIT;
-- a table comes into a schema that is watched
ALTER TABLE mt_free.t SET SCHEMA mt_new;
BEGIN;
ALTER TABLE mt_free.t RENAME TO t2;
ALTER TABLE mt_free.t2 SET SCHEMA mt_new;
ALTER TABLE mt_new.t2 SET SCHEMA mt_free;
COMMIT;
BEGIN;
ALTER SCHEMA mt_new RENAME TO mt_was;
ALTER SCHEMA mt_free RENAME TO mt_new;
COMMIT;
-- below a parent that is decided, until it leaves
CREATE TABLE mt_new.child (n int) INHERITS (mt_new.plain);
ALTER TABLE mt_new.child NO INHERIT mt_new.plain;
SELECT table_name, class, is_intact FROM multitenant.tables WHERE table_name = 'mt_new.child';
DROP TABLE mt_new.child;

-- ---- error: decided in the same transaction ----
BEGIN;
CREATE TABLE mt_new.mine (id int PRIMARY KEY, tenant_id uuid);
CREATE TABLE mt_new.country (code text);
CREATE TABLE mt_new.log (note text);
CREATE TABLE mt_new.some (tenant_id uuid);
CREATE TABLE mt_new.gone (id int);
SAVEPOINT s;
CREATE TABLE mt_new.undone (id int);
ROLLBACK TO s;
SELECT count(*) > 0 FROM multitenant.protect('mt_new.mine');
SELECT multitenant.share('mt_new.country');
SELECT multitenant.exempt('mt_new.log', 'a test');
SELECT multitenant.shared_rows('mt_new.some');
DROP TABLE mt_new.gone;
COMMIT;
SELECT * FROM mt_free.class;
BEGIN;
SAVEPOINT s;
CREATE TABLE mt_new.kept (id int);
RELEASE s;
SAVEPOINT s2;
CREATE TABLE mt_new.undone (id int);
ROLLBACK TO s2;
COMMIT;
BEGIN;
CREATE SCHEMA mt_made CREATE TABLE inside (id int);
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_new_tables('error');
CREATE SCHEMA mt_made CREATE TABLE inside (id int);
CREATE TABLE mt_free.t3 (id int);
CREATE TABLE pg_temp.t (id int);
SET ROLE regress_mt_other;
CREATE TABLE mt_free.t4 (id int);
RESET ROLE;
-- members of extensions
BEGIN;
CREATE TABLE mt_new.member (id int);
ALTER EXTENSION plpgsql ADD TABLE mt_new.member;
COMMIT;
ALTER EXTENSION plpgsql DROP TABLE mt_new.member;
BEGIN;
ALTER EXTENSION plpgsql DROP TABLE mt_new.member;
DROP TABLE mt_new.member;
COMMIT;

-- what comes to an extension, or leaves it, and is no table
CREATE FUNCTION mt_new.member() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER EXTENSION plpgsql ADD FUNCTION mt_new.member();
ALTER EXTENSION plpgsql DROP FUNCTION mt_new.member();
DROP FUNCTION mt_new.member();
-- the triggers are nothing that can be called
SELECT multitenant._before_ddl();
SELECT multitenant._after_ddl();
SELECT multitenant._protect_new_tables();

-- ---- foreign tables cannot be decided about ----
SELECT multitenant.set_new_tables('error', '{mt_new}');
CREATE FOREIGN DATA WRAPPER regress_mt_wrapper;
CREATE SERVER regress_mt_server FOREIGN DATA WRAPPER regress_mt_wrapper;
CREATE FOREIGN TABLE mt_new.f (id int) SERVER regress_mt_server;
CREATE FOREIGN TABLE mt_free.f (id int) SERVER regress_mt_server;
ALTER FOREIGN TABLE mt_free.f SET SCHEMA mt_new;
DROP FOREIGN DATA WRAPPER regress_mt_wrapper CASCADE;

-- ---- auto ----
SELECT multitenant.set_new_tables('auto', '{mt_new}');
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE mt_new.a1 (id int PRIMARY KEY, tenant_id uuid);
CREATE TABLE mt_new.a2 (id int);
CREATE TABLE mt_new.a3 (id int PRIMARY KEY, parent int REFERENCES mt_new.a1, tenant_id uuid);
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'mt_new.a3'::regclass AND contype = 'f';
CREATE TABLE mt_new.a4 AS SELECT '00000000-0000-0000-0000-00000000000a'::uuid AS tenant_id, 1 AS n;
CREATE TABLE mt_new.a5 AS SELECT NULL::uuid AS tenant_id, 1 AS n;
CREATE TABLE mt_new.a5 (tenant_id date);
BEGIN;
CREATE TABLE mt_new.a5 (tenant_id uuid);
SAVEPOINT s;
CREATE TABLE mt_new.a6 (tenant_id uuid);
ROLLBACK TO s;
CREATE TABLE mt_new.a7 (tenant_id uuid, n int) PARTITION BY LIST (n);
CREATE TABLE mt_new.a7_1 PARTITION OF mt_new.a7 FOR VALUES IN (1);
CREATE TABLE mt_new.a8 (tenant_id uuid);
CREATE TABLE mt_new.a9 () INHERITS (mt_new.a8);
SELECT multitenant.shared_rows('mt_new.a5');
COMMIT;
-- keys in a circle, added afterwards as migrations do
BEGIN;
CREATE TABLE mt_new.b1 (id int PRIMARY KEY, tenant_id uuid, other int);
CREATE TABLE mt_new.b2 (id int PRIMARY KEY, tenant_id uuid, other int REFERENCES mt_new.b1);
ALTER TABLE mt_new.b1 ADD FOREIGN KEY (other) REFERENCES mt_new.b2 DEFERRABLE INITIALLY DEFERRED;
COMMIT;
SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ('mt_new.b1'::regclass, 'mt_new.b2'::regclass) AND contype = 'f'
	ORDER BY conrelid::regclass::text;
-- at once, for who wants that
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE TABLE mt_new.c1 (tenant_id uuid);
SELECT class FROM mt_free.class WHERE table_name = 'mt_new.c1';
COMMIT;
ALTER TABLE mt_new.old RENAME tenant_id TO t;
ALTER TABLE mt_new.old RENAME t TO tenant_id;
-- above and below a savepoint
BEGIN;
CREATE TABLE mt_new.c2 (tenant_id uuid);
SAVEPOINT s;
CREATE TABLE mt_new.c3 (tenant_id uuid);
ROLLBACK TO s;
COMMIT;
DO $$ BEGIN
	CREATE TABLE mt_new.c4 (tenant_id uuid);
	BEGIN CREATE TABLE mt_new.c5 (tenant_id uuid); RAISE 'undone'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN CREATE TABLE mt_new.c6 (tenant_id uuid); EXCEPTION WHEN OTHERS THEN NULL; END;
END $$;
SELECT * FROM mt_free.class;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM multitenant.pending_protection;
-- with the rights of the table's owner, whoever made it
CREATE TABLE mt_new.d1 (tenant_id uuid);
BEGIN;
CREATE TABLE mt_new.d2 (tenant_id uuid);
ALTER TABLE mt_new.d2 OWNER TO regress_mt_owner;
COMMIT;
SELECT table_name, class FROM mt_free.class WHERE table_name ~ 'd[12]';
-- no recursion, and other columns
SELECT multitenant.set_new_tables('auto', '{mt_new}', 'Kunde');
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE mt_new."E 1" ("Kunde" text);
CREATE TABLE mt_new."E 2" (tenant_id uuid);
CREATE TABLE mt_new."E 3" (id int PRIMARY KEY, up int REFERENCES mt_new."E 1");
SELECT table_name, class, tenant_column FROM multitenant.tables WHERE table_name ~ 'E ';
RESET SESSION AUTHORIZATION;

-- commands of the library itself decide nothing
SELECT multitenant.set_new_tables('off');
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE mt_new.top (id int PRIMARY KEY, tenant_id uuid NOT NULL);
CREATE TABLE mt_new.kid (id int PRIMARY KEY, top int NOT NULL REFERENCES mt_new.top);
INSERT INTO mt_new.top VALUES (1, '00000000-0000-0000-0000-00000000000a');
INSERT INTO mt_new.kid VALUES (1, 1);
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_new_tables('error', '{mt_new}');
SET SESSION AUTHORIZATION regress_mt_owner;
CALL multitenant.add_tenant_column('mt_new.kid');
SELECT * FROM mt_new.kid;
SELECT multitenant.unprotect('mt_new.a3');
-- leaving a parent through which it had its class
CREATE TABLE mt_new.a7_2 PARTITION OF mt_new.a7 FOR VALUES IN (2);
RESET SESSION AUTHORIZATION;
SET multitenant.guard_enabled = off;
ALTER TABLE mt_new.a7 DETACH PARTITION mt_new.a7_2;
RESET multitenant.guard_enabled;
SET SESSION AUTHORIZATION regress_mt_owner;
ALTER TABLE mt_new.a7 DETACH PARTITION mt_new.a7_1;

-- ---- suspended ----
RESET SESSION AUTHORIZATION;
SELECT multitenant.pre_restore();
SELECT * FROM multitenant._new_tables();
SELECT value, ok, hint FROM multitenant.status() WHERE item = 'new tables';
CREATE TABLE mt_new.r1 (id int);
CREATE TABLE mt_new.r2 (tenant_id uuid NOT NULL DEFAULT multitenant.current_tenant());
ALTER TABLE mt_new.r2 FORCE ROW LEVEL SECURITY;
CREATE TABLE mt_new.r3 (tenant_id uuid NOT NULL);
CREATE TABLE mt_free.r4 (tenant_id uuid DEFAULT multitenant.current_tenant());
INSERT INTO mt_free.r4 VALUES (NULL), ('00000000-0000-0000-0000-00000000000a');
SELECT table_name, finding, hint FROM multitenant.post_restore() WHERE table_name ~ '\.r\d';
SELECT table_name, kind, is_watched, tenant_column, was_protected FROM multitenant._undecided_tables() ORDER BY table_name COLLATE "C";
SELECT command FROM multitenant.repair('mt_new.r2');
SELECT command FROM multitenant.repair('mt_free.r4');
SELECT multitenant.shared_rows('mt_free.r4');
SELECT count(*) FROM multitenant._undecided_tables() WHERE was_protected;
SELECT * FROM multitenant._new_tables();
CREATE TABLE mt_new.r5 (id int);
-- a rule that is loaded waits
DELETE FROM multitenant.new_table_rule;
SET session_replication_role = replica;
INSERT INTO multitenant.new_table_rule (mode, tenant_column, is_in_force) VALUES ('error', 'tenant_id', true);
RESET session_replication_role;
SELECT is_in_force FROM multitenant._new_tables();
SELECT count(*) > 0 FROM multitenant.post_restore();
-- triggers that a role turns off for itself
SET session_replication_role = replica;
CREATE TABLE mt_free.x (id int);
RESET session_replication_role;

SELECT multitenant.set_new_tables('off');
CREATE TABLE mt_free.x (id int);
SELECT multitenant.unprotect_all();
DROP SCHEMA mt_new, mt_free CASCADE;
DROP EXTENSION multitenant;
REVOKE CREATE ON DATABASE :DBNAME FROM regress_mt_owner;
DROP ROLE regress_mt_owner, regress_mt_other;
