-- COPY table FROM into protected tables: every policy, default, trigger and constraint applies.
-- requires: preload
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_owner', 'migrator');
SELECT multitenant.create_tenant('copy-a', number => 951, id => '00000000-0000-0000-0000-0000000000a5');
SELECT multitenant.create_tenant('copy-b', number => 952, id => '00000000-0000-0000-0000-0000000000b5');
CREATE SCHEMA "Mt copy" AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA "Mt copy" TO regress_mt_app;
GRANT CREATE ON SCHEMA "Mt copy" TO regress_mt_app;
SET search_path = "Mt copy";
\c -
SET search_path = "Mt copy";
SET client_min_messages = notice;
SET ROLE regress_mt_owner;
CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% % %', lower(TG_WHEN), lower(TG_LEVEL), lower(TG_OP);
	RETURN NEW;
END $$;
CREATE TABLE "Item" (
	tenant_id uuid NOT NULL,
	id integer GENERATED ALWAYS AS IDENTITY,
	gone text,
	"the name" text CHECK ("the name" <> 'forbidden'),
	price integer DEFAULT 7,
	twice integer GENERATED ALWAYS AS (price * 2) STORED,
	PRIMARY KEY (tenant_id, id));
ALTER TABLE "Item" DROP COLUMN gone;
GRANT SELECT ON "Item" TO regress_mt_app;
GRANT INSERT ("the name", id, price, tenant_id) ON "Item" TO regress_mt_app;
SELECT count(*) > 0 FROM multitenant.protect('"Item"');
CREATE TRIGGER a BEFORE INSERT ON "Item" FOR EACH STATEMENT EXECUTE FUNCTION trace();
CREATE TRIGGER b BEFORE INSERT ON "Item" FOR EACH ROW EXECUTE FUNCTION trace();
CREATE TRIGGER c AFTER INSERT ON "Item" FOR EACH STATEMENT EXECUTE FUNCTION trace();

-- without a context nothing is read
SET ROLE regress_mt_app;
\copy "Item" ("the name") FROM '/dev/null'
\echo :LAST_ERROR_SQLSTATE

BEGIN;
SELECT multitenant.use_tenant('copy-a');
-- defaults are evaluated once, the tenant's among them; statement triggers fire once
COPY "Item" ("the name") FROM STDIN;
one
two
\.
-- an identity column takes what is given, WHERE keeps rows out
COPY "Item" (id, "the name", price) FROM STDIN (FORMAT csv, HEADER) WHERE price > 5 AND "the name" <> 'no';
id,the name,price
100,yes,6
101,no,7
102,never,5
\.
-- no rows, and statement triggers fire all the same
COPY "Item" ("the name") FROM STDIN;
\.
SELECT id, "the name", price, twice, tenant_id FROM "Item" ORDER BY id;

-- another tenant's rows, a violated constraint, a wrong value, columns without privilege: nothing of it stays
SAVEPOINT s;
COPY "Item" (tenant_id, id, "the name") FROM STDIN;
00000000-0000-0000-0000-0000000000a5	200	mine
00000000-0000-0000-0000-0000000000b5	201	another tenant's
\.
ROLLBACK TO s;
COPY "Item" ("the name") FROM STDIN;
fine
forbidden
\.
ROLLBACK TO s;
\set SHOW_CONTEXT errors
COPY "Item" ("the name", price) FROM STDIN;
fine	1
wrong	many
\.
\set SHOW_CONTEXT never
ROLLBACK TO s;
\copy "Item" ("the name", twice) FROM '/dev/null'
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- (the server's texts differ between its versions)
\set VERBOSITY sqlstate
COPY "Item" FROM '/nowhere';
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COPY "Item" FROM PROGRAM 'true';
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
ROLLBACK TO s;
\copy "Item" ("the name") FROM '/dev/null' (FREEZE)
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
\copy "Item" ("the name", nothing) FROM '/dev/null'
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- a relation of the name that the rows have for the INSERT changes nothing
CREATE TEMP TABLE multitenant_copied_rows (id integer, "the name" text);
COPY "Item" (id, "the name") FROM STDIN;
300	not from there
\.
SELECT id, "the name" FROM "Item" ORDER BY id;
COMMIT;

-- read only: refused before it reads
BEGIN READ ONLY;
SELECT multitenant.use_tenant('copy-a');
\copy "Item" ("the name") FROM '/dev/null'
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- the other tenant sees none of it
BEGIN;
SELECT multitenant.use_tenant('copy-b');
SELECT count(*) FROM "Item";
COMMIT;

-- who may insert nothing may copy nothing
SET ROLE regress_mt_owner;
REVOKE INSERT ("the name") ON "Item" FROM regress_mt_app;
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('copy-a');
\copy "Item" ("the name") FROM '/dev/null'
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- a trigger that moves the row to another tenant
SET ROLE regress_mt_owner;
GRANT INSERT ON "Item" TO regress_mt_app;
CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.tenant_id := '00000000-0000-0000-0000-0000000000b5';
	RETURN NEW;
END $$;
CREATE TRIGGER d BEFORE INSERT ON "Item" FOR EACH ROW EXECUTE FUNCTION move();
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('copy-a');
COPY "Item" ("the name") FROM STDIN;
moved
\.
ROLLBACK;

-- rules, which COPY ignores and INSERT does not
SET ROLE regress_mt_owner;
DROP TRIGGER d ON "Item";
CREATE RULE r AS ON INSERT TO "Item" DO ALSO NOTHING;
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('copy-a');
\copy "Item" ("the name") FROM '/dev/null'
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- partitioned tables, and rows for everyone
SET client_min_messages = warning;
SET ROLE regress_mt_owner;
CREATE TABLE event (tenant_id uuid NOT NULL, day date, what text) PARTITION BY RANGE (day);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT count(*) > 0 FROM multitenant.protect('event');
GRANT SELECT, INSERT ON event TO regress_mt_app;
RESET ROLE;
CREATE TABLE tag (tenant_id uuid, name text);
INSERT INTO tag VALUES (NULL, 'everyone''s');
SELECT multitenant.shared_rows('tag');
GRANT SELECT, INSERT ON tag TO regress_mt_app;
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('copy-a');
COPY event (day, what) FROM STDIN;
2026-01-15	first
2026-02-15	second
\.
SELECT tableoid::regclass, what FROM event ORDER BY day;
COPY tag (name) FROM STDIN;
mine
\.
SELECT tenant_id, name FROM tag ORDER BY name;
COPY tag (tenant_id, name) FROM STDIN;
\N	for everyone
\.
ROLLBACK;

-- unprotected tables, and roles that row security does not filter, go the server's way
CREATE TABLE plain (tenant_id uuid, name text);
COPY plain FROM STDIN (FREEZE off);
\N	anything
\.
SELECT name FROM plain;
DROP TABLE plain;
RESET ROLE;
COPY tag (tenant_id, name) FROM STDIN;
\N	\N
\.
SELECT count(*) FROM tag WHERE name IS NULL;

DROP SCHEMA "Mt copy" CASCADE;
SELECT multitenant.revoke_access('regress_mt_app');
SELECT multitenant.revoke_access('regress_mt_owner');
DROP OWNED BY regress_mt_owner, regress_mt_app;
DROP ROLE regress_mt_owner, regress_mt_app;
