-- protect(): the steps, what they make, doing it again, every type and shape of table. All as a plain owner.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application');
SELECT multitenant.create_tenant('protect-a', number => 901, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('protect-b', number => 902, id => '00000000-0000-0000-0000-0000000000b1');
CREATE SCHEMA mt_protect AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_protect TO regress_mt_app;

-- a session that has not called the library yet
\c -
SET ROLE regress_mt_owner;
CREATE TABLE mt_protect.orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, item text);
INSERT INTO mt_protect.orders (tenant_id, item) VALUES
	('00000000-0000-0000-0000-0000000000a1', 'of a'), ('00000000-0000-0000-0000-0000000000b1', 'of b');
GRANT SELECT, INSERT, UPDATE, DELETE ON mt_protect.orders TO regress_mt_app;

-- a dry run prints and changes nothing
SELECT * FROM multitenant.protect('mt_protect.orders', dry_run => true);
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'mt_protect.orders'::regclass;
SELECT count(*) FROM pg_seclabel WHERE objoid = 'mt_protect.orders'::regclass;

-- protect() does what the dry run printed; a second call has nothing to do
SELECT step, command FROM multitenant.protect('mt_protect.orders');
SELECT * FROM multitenant.protect('mt_protect.orders');
SELECT * FROM multitenant.protect('mt_protect.orders', dry_run => true);
SELECT * FROM multitenant._protection('mt_protect.orders');
SELECT polname, polpermissive, polcmd, polroles, pg_get_expr(polqual, polrelid), polwithcheck FROM pg_policy
	WHERE polrelid = 'mt_protect.orders'::regclass ORDER BY polname;

-- what it is for
SET ROLE regress_mt_app;
SELECT count(*) FROM mt_protect.orders;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('protect-a');
INSERT INTO mt_protect.orders (item) VALUES ('new') RETURNING tenant_id, item;
SELECT tenant_id, item FROM mt_protect.orders ORDER BY item;
SAVEPOINT s;
EXPLAIN (COSTS OFF) SELECT * FROM mt_protect.orders WHERE item = 'new';
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE mt_protect.orders SET item = 'mine' WHERE item = 'of b';
DELETE FROM mt_protect.orders WHERE item = 'of b';
SAVEPOINT s;
INSERT INTO mt_protect.orders (tenant_id, item) VALUES ('00000000-0000-0000-0000-0000000000b1', 'forged');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE mt_protect.orders SET tenant_id = '00000000-0000-0000-0000-0000000000b1';
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- allowed to look at plans, it sees one condition
RESET ROLE;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application', allow => '{explain}');
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('protect-a');
EXPLAIN (COSTS OFF) SELECT * FROM mt_protect.orders WHERE item = 'new';
ROLLBACK;

-- the owner is a role like any other
SET ROLE regress_mt_owner;
SELECT count(*) FROM mt_protect.orders;
\echo :LAST_ERROR_SQLSTATE

-- one of each type of column
CREATE TABLE mt_protect.by_int8 (tenant_id int8 NOT NULL);
CREATE TABLE mt_protect.by_int4 (tenant_id int4 NOT NULL);
CREATE TABLE mt_protect.by_text (tenant_id text NOT NULL);
CREATE TABLE mt_protect.by_varchar (tenant_id varchar(20) COLLATE "C" NOT NULL);
SELECT t, command FROM unnest('{mt_protect.by_int8,mt_protect.by_int4,mt_protect.by_text,mt_protect.by_varchar}'::regclass[]) t,
	multitenant.protect(t) WHERE command ~ 'DEFAULT|RESTRICTIVE';
SELECT table_name, class, column_type, is_intact FROM multitenant.tables WHERE table_name ~ '^mt_protect.by' ORDER BY 1;
GRANT INSERT, SELECT ON mt_protect.by_int8, mt_protect.by_int4, mt_protect.by_text, mt_protect.by_varchar TO regress_mt_app;
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('protect-b');
INSERT INTO mt_protect.by_int8 DEFAULT VALUES RETURNING tenant_id;
INSERT INTO mt_protect.by_int4 DEFAULT VALUES RETURNING tenant_id;
INSERT INTO mt_protect.by_text DEFAULT VALUES RETURNING tenant_id;
INSERT INTO mt_protect.by_varchar DEFAULT VALUES RETURNING tenant_id;
SELECT * FROM mt_protect.by_varchar;
ROLLBACK;
SET ROLE regress_mt_owner;

-- nobody takes a piece away by accident
ALTER TABLE mt_protect.orders NO FORCE ROW LEVEL SECURITY;
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_protect.orders DISABLE ROW LEVEL SECURITY;
\echo :LAST_ERROR_SQLSTATE
DROP POLICY multitenant_isolation ON mt_protect.orders;
\echo :LAST_ERROR_SQLSTATE
ALTER POLICY multitenant_access ON mt_protect.orders USING (true);
\echo :LAST_ERROR_SQLSTATE
ALTER POLICY multitenant_access ON mt_protect.orders TO regress_mt_app;
\echo :LAST_ERROR_SQLSTATE
-- what only a superuser can bring about any more: broken protection
\set guard_off 'RESET ROLE; SET multitenant.guard_enabled = off; SET ROLE regress_mt_owner;'
\set guard_on 'RESET ROLE; RESET multitenant.guard_enabled; SET ROLE regress_mt_owner;'
-- partly done is completed: each piece taken away comes back
:guard_off
ALTER TABLE mt_protect.orders NO FORCE ROW LEVEL SECURITY;
:guard_on
SELECT command FROM multitenant.protect('mt_protect.orders');
:guard_off
ALTER TABLE mt_protect.orders DISABLE ROW LEVEL SECURITY;
:guard_on
SELECT command FROM multitenant.protect('mt_protect.orders');
:guard_off
DROP POLICY multitenant_isolation ON mt_protect.orders;
:guard_on
SELECT command FROM multitenant.protect('mt_protect.orders');
:guard_off
ALTER POLICY multitenant_access ON mt_protect.orders USING (true);
:guard_on
SELECT command, note FROM multitenant.protect('mt_protect.orders');
:guard_off
ALTER POLICY multitenant_access ON mt_protect.orders TO regress_mt_app;
:guard_on
SELECT command FROM multitenant.protect('mt_protect.orders');
ALTER TABLE mt_protect.orders ALTER tenant_id DROP NOT NULL, ALTER tenant_id SET DEFAULT gen_random_uuid();
DROP INDEX mt_protect.orders_tenant_id_idx;
SELECT command FROM multitenant.protect('mt_protect.orders');
-- the column may be renamed
ALTER TABLE mt_protect.orders RENAME tenant_id TO org;
SELECT * FROM multitenant._protection('mt_protect.orders');
SELECT * FROM multitenant.protect('mt_protect.orders', 'org');
ALTER TABLE mt_protect.orders RENAME org TO tenant_id;

-- a policy of the user's own stays, ours are restrictive
CREATE TABLE mt_protect.own_policy (tenant_id uuid NOT NULL, is_public boolean);
CREATE POLICY mine ON mt_protect.own_policy USING (is_public);
ALTER TABLE mt_protect.own_policy ENABLE ROW LEVEL SECURITY;
SELECT command FROM multitenant.protect('mt_protect.own_policy') WHERE command ~ 'SECURITY';

-- an index that serves is enough, one that does not is not
CREATE TABLE mt_protect.indexed (tenant_id uuid NOT NULL, at date);
CREATE INDEX ON mt_protect.indexed (tenant_id, at);
SELECT command FROM multitenant.protect('mt_protect.indexed') WHERE command ~ 'INDEX';
CREATE TABLE mt_protect.badly_indexed (tenant_id uuid NOT NULL, at date);
CREATE INDEX ON mt_protect.badly_indexed (at, tenant_id);
CREATE INDEX ON mt_protect.badly_indexed (tenant_id) WHERE at > '2020-01-01';
CREATE INDEX ON mt_protect.badly_indexed USING hash (tenant_id);
SELECT command FROM multitenant.protect('mt_protect.badly_indexed') WHERE command ~ 'INDEX';

-- partitions: policies, row security and labels on each; a new one follows with the next call
CREATE TABLE mt_protect.event (tenant_id uuid, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE mt_protect.event_1 PARTITION OF mt_protect.event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE mt_protect.event_2 PARTITION OF mt_protect.event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')
	PARTITION BY RANGE (at);
CREATE TABLE mt_protect.event_2a PARTITION OF mt_protect.event_2 FOR VALUES FROM ('2021-01-01') TO ('2021-07-01');
SELECT command FROM multitenant.protect('mt_protect.event');
CREATE TABLE mt_protect.event_3 PARTITION OF mt_protect.event FOR VALUES FROM ('2022-01-01') TO ('2023-01-01');
SELECT command FROM multitenant.protect('mt_protect.event');
SELECT * FROM multitenant.protect('mt_protect.event');
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name ~ 'event' ORDER BY 1;

-- inheritance
CREATE TABLE mt_protect.base (tenant_id uuid);
CREATE TABLE mt_protect.derived (x int) INHERITS (mt_protect.base);
SELECT command FROM multitenant.protect('mt_protect.base');

-- views and what can only be reported
CREATE TABLE mt_protect.doc (tenant_id uuid NOT NULL, body text);
CREATE VIEW mt_protect.doc_view AS SELECT * FROM mt_protect.doc;
CREATE VIEW mt_protect.doc_view_view WITH (security_barrier) AS SELECT * FROM mt_protect.doc_view;
CREATE VIEW mt_protect.doc_invoker WITH (security_invoker = on) AS SELECT * FROM mt_protect.doc;
CREATE MATERIALIZED VIEW mt_protect.doc_copy AS SELECT * FROM mt_protect.doc;
GRANT SELECT, TRUNCATE ON mt_protect.doc TO regress_mt_app;
GRANT SELECT ON mt_protect.doc TO PUBLIC;
RESET ROLE;
CREATE VIEW mt_protect.foreign_view AS SELECT * FROM mt_protect.doc;
CREATE FUNCTION mt_protect.read_doc() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT body FROM mt_protect.doc';
SET ROLE regress_mt_owner;
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_protect.doc') WHERE command ~ 'VIEW' OR command IS NULL;
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'mt_protect'::regnamespace AND relkind = 'v' ORDER BY 1;

-- names with capitals, spaces, quotes, percent signs and 63 bytes, in such a schema
RESET ROLE;
CREATE SCHEMA "Mt ""Protect"" %s" AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE TABLE "Mt ""Protect"" %s"."It's a ""table"" 100% I"
	(id int PRIMARY KEY, "the 'tenant' %I" text NOT NULL, "e ""mail""" text UNIQUE);
SELECT command FROM multitenant.protect('"Mt ""Protect"" %s"."It''s a ""table"" 100% I"', 'the ''tenant'' %I');
SELECT * FROM multitenant.protect('"Mt ""Protect"" %s"."It''s a ""table"" 100% I"', 'the ''tenant'' %I');
SELECT class, tenant_column, is_intact FROM multitenant._protection('"Mt ""Protect"" %s"."It''s a ""table"" 100% I"');
CREATE TABLE mt_protect.taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
	(id int PRIMARY KEY, caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa uuid NOT NULL,
	 parent int REFERENCES mt_protect.taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa);
SELECT command FROM multitenant.protect('mt_protect.taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
	'caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') WHERE command ~ 'KEY|INDEX';
SELECT * FROM multitenant.protect('mt_protect.taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
	'caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');

-- nothing that was made belongs to the extension
SELECT count(*) FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE d.deptype = 'e' AND c.relnamespace = 'mt_protect'::regnamespace;

RESET ROLE;
SELECT multitenant.unprotect_all();
SELECT count(*) FROM pg_policy WHERE polname ~ 'multitenant';
SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant';
SET client_min_messages = warning;
DROP SCHEMA mt_protect, "Mt ""Protect"" %s" CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner, regress_mt_app;
