-- test_isolation(): what it tries, that it fails where isolation is broken, and that nothing of it stays.
-- requires: preload
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_reader;
CREATE ROLE regress_mt_free BYPASSRLS;
SELECT multitenant.create_tenant('alpha', number => 701, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', number => 702, id => '00000000-0000-0000-0000-0000000000b1');
SELECT multitenant.create_tenant('it''s # 3', number => 703, id => '00000000-0000-0000-0000-0000000000c1');
SELECT multitenant.create_tenant('gone', number => 704, id => '00000000-0000-0000-0000-0000000000d1');
SELECT multitenant.suspend_tenant('gone', 'unpaid');
CREATE SCHEMA mt_trial AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE TABLE mt_trial.customer (tenant_id uuid, id int PRIMARY KEY, name text);
CREATE TABLE mt_trial.invoice (tenant_id uuid, id serial PRIMARY KEY, customer int REFERENCES mt_trial.customer, note text);
INSERT INTO mt_trial.customer VALUES ('00000000-0000-0000-0000-0000000000a1', 1, 'x'), ('00000000-0000-0000-0000-0000000000b1', 2, 'y');
INSERT INTO mt_trial.invoice (tenant_id, customer) VALUES ('00000000-0000-0000-0000-0000000000a1', 1), ('00000000-0000-0000-0000-0000000000b1', 2);
SELECT count(*) > 0 FROM multitenant.protect_schema('mt_trial', dry_run => false);
GRANT USAGE ON SCHEMA mt_trial TO regress_mt_app, regress_mt_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mt_trial TO regress_mt_app;
GRANT SELECT ON mt_trial.invoice TO regress_mt_reader;
RESET ROLE;

-- only where it is allowed, and to superusers
SELECT multitenant.test_isolation('mt_trial.invoice');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', confirm => 'production');
\echo :LAST_ERROR_SQLSTATE
SET multitenant.test_database = on;
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.test_isolation('mt_trial.invoice');
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SET multitenant.test_database = off;

-- what is well: everything is tried; a table, a sequence and the transaction stay as they were
BEGIN;
SELECT multitenant.test_isolation('mt_trial.invoice', confirm => current_database());
SELECT current_user = session_user, state FROM multitenant.context;
SELECT multitenant.use_tenant('beta');
COMMIT;
SET multitenant.test_database = on;
SELECT last_value FROM mt_trial.invoice_id_seq;
SELECT t::text FROM mt_trial.invoice t ORDER BY id;
CREATE FUNCTION mt_trial.rest(table_name regclass, tenants text[] DEFAULT NULL, role name DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT l FROM multitenant.test_isolation($1, $2, $3) l WHERE l !~ '^ok' OR l ~ '# SKIP' $$;
-- three tenants in a row, one without rows; names that TAP would misread
SELECT multitenant.test_isolation('mt_trial.invoice', '{alpha,it''s # 3,702}'::text[]);
\echo :LAST_ERROR_SQLSTATE
SELECT mt_trial.rest('mt_trial.invoice', '{alpha,it''s # 3,beta}');
-- who may less
SELECT mt_trial.rest('mt_trial.invoice', role => 'regress_mt_reader');

-- a table that asks for permissions: nobody's are asked here, or every attempt would be refused for the wrong reason
INSERT INTO multitenant.permission (name, description) SELECT 'note:' || a, '' FROM unnest('{read,create,update,delete}'::text[]) a;
SELECT multitenant.set_permissions('mt_trial.invoice', 'note', 'customer');
SELECT mt_trial.rest('mt_trial.invoice');
SET multitenant.guard_enabled = off;
SELECT mt_trial.rest('mt_trial.invoice');
SET SESSION AUTHORIZATION regress_mt_owner;
SELECT multitenant._maintain_tenant('00000000-0000-0000-0000-0000000000a1');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._try('regress_mt_app', '00000000-0000-0000-0000-0000000000a1', 'TABLE mt_trial.invoice', false, true);
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
RESET multitenant.guard_enabled;
SELECT multitenant.set_permissions('mt_trial.invoice', NULL);

-- what is broken is found, as a role that is no superuser: with the guard, because nothing can be read any more ..
SET multitenant.guard_enabled = off;
DROP POLICY multitenant_isolation ON mt_trial.invoice;
DROP POLICY multitenant_access ON mt_trial.invoice;
CREATE POLICY everything ON mt_trial.invoice USING (true);
RESET multitenant.guard_enabled;
SELECT mt_trial.rest('mt_trial.invoice');
-- .. and without it, because everything can be crossed
SET multitenant.guard_enabled = off;
SELECT multitenant.test_isolation('mt_trial.invoice');
DROP POLICY everything ON mt_trial.invoice;
SELECT count(*) > 0 FROM multitenant.repair('mt_trial.invoice');
SELECT mt_trial.rest('mt_trial.invoice');
-- row security off
ALTER TABLE mt_trial.invoice DISABLE ROW LEVEL SECURITY;
SELECT l FROM multitenant.test_isolation('mt_trial.invoice') l WHERE l ~ '^(not ok|1\.\.)';
ALTER TABLE mt_trial.invoice ENABLE ROW LEVEL SECURITY;
-- not forced: it is the owner who crosses
ALTER TABLE mt_trial.invoice NO FORCE ROW LEVEL SECURITY;
SELECT mt_trial.rest('mt_trial.invoice');
ALTER TABLE mt_trial.invoice FORCE ROW LEVEL SECURITY;
RESET multitenant.guard_enabled;
-- a foreign key without the tenant
ALTER TABLE mt_trial.invoice DROP CONSTRAINT invoice_customer_fkey;
ALTER TABLE mt_trial.invoice ADD CONSTRAINT crossing FOREIGN KEY (customer) REFERENCES mt_trial.customer (id) DEFERRABLE INITIALLY DEFERRED;
SELECT mt_trial.rest('mt_trial.invoice');
ALTER TABLE mt_trial.invoice DROP CONSTRAINT crossing;
-- TRUNCATE, where a role has the right and is allowed it
GRANT TRUNCATE ON mt_trial.invoice TO regress_mt_app;
SELECT mt_trial.rest('mt_trial.invoice');
SELECT multitenant.grant_access('regress_mt_app', 'application', allow => '{truncate}');
SELECT mt_trial.rest('mt_trial.invoice');
SELECT multitenant.revoke_access('regress_mt_app');
SELECT count(*) FROM mt_trial.invoice;
-- paused, and not protected at all
SELECT multitenant.pause_protection('mt_trial.customer', 'test', now() + interval '1 hour');
SELECT l FROM multitenant.test_isolation('mt_trial.customer') l WHERE l ~ '^(not ok 1 |# The)';
SELECT count(*) > 0 FROM multitenant.repair('mt_trial.customer');
CREATE TABLE mt_trial.plain (id int);
GRANT SELECT ON mt_trial.plain TO regress_mt_app;
SELECT multitenant.test_isolation('mt_trial.plain');

-- rows are made where there are none; no sequence moves
SET ROLE regress_mt_owner;
CREATE TABLE mt_trial.empty (tenant_id int, id bigserial PRIMARY KEY, code smallint GENERATED ALWAYS AS IDENTITY UNIQUE, u uuid DEFAULT gen_random_uuid(), twice text GENERATED ALWAYS AS ('x' || 'y') STORED);
CREATE TABLE mt_trial.strict (tenant_id text, id int, name text NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE mt_trial.parted (tenant_id uuid, id int DEFAULT 1, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id);
CREATE TABLE mt_trial.parted_0 PARTITION OF mt_trial.parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE mt_trial.parted_1 PARTITION OF mt_trial.parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT count(*) > 0 FROM multitenant.protect('mt_trial.empty');
SELECT count(*) > 0 FROM multitenant.protect('mt_trial.strict');
SELECT count(*) > 0 FROM multitenant.protect('mt_trial.parted');
GRANT SELECT, INSERT, UPDATE, DELETE ON mt_trial.empty, mt_trial.strict, mt_trial.parted TO regress_mt_app;
RESET ROLE;
SELECT mt_trial.rest('mt_trial.empty');
SELECT mt_trial.rest('mt_trial.parted');
SELECT mt_trial.rest('mt_trial.strict');
SELECT count(*) FROM mt_trial.empty;
SELECT is_called FROM mt_trial.empty_id_seq UNION ALL SELECT is_called FROM mt_trial.empty_code_seq;
-- rows of everybody
CREATE TABLE mt_trial.template (tenant_id uuid, id int PRIMARY KEY, body text);
INSERT INTO mt_trial.template VALUES (NULL, 1, 'all'), ('00000000-0000-0000-0000-0000000000a1', 2, 'a'), ('00000000-0000-0000-0000-0000000000b1', 3, 'b');
GRANT SELECT, INSERT, UPDATE, DELETE ON mt_trial.template TO regress_mt_app;
ALTER TABLE mt_trial.template OWNER TO regress_mt_owner;
SELECT multitenant.shared_rows('mt_trial.template');
SELECT mt_trial.rest('mt_trial.template');

-- triggers: deferred ones run, one that puts the tenant right is no crossing, one that fails is a reason to skip
SET ROLE regress_mt_owner;
CREATE FUNCTION mt_trial.right_tenant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.tenant_id := multitenant.current_tenant(); RETURN NEW; END $$;
CREATE FUNCTION mt_trial.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no # invoices % today', current_user; END $$;
CREATE FUNCTION mt_trial.writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mt_trial.written VALUES (current_user); RETURN NULL; END $$;
CREATE TABLE mt_trial.written (by_role name);
GRANT INSERT ON mt_trial.written TO PUBLIC;
RESET ROLE;
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON mt_trial.invoice FOR EACH ROW EXECUTE FUNCTION mt_trial.right_tenant();
CREATE CONSTRAINT TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON mt_trial.invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mt_trial.writes();
SELECT l FROM multitenant.test_isolation('mt_trial.invoice') l WHERE l ~ 'not ok|SKIP|cannot';
SELECT count(*) FROM mt_trial.written;
CREATE TRIGGER c BEFORE INSERT ON mt_trial.invoice FOR EACH ROW EXECUTE FUNCTION mt_trial.fails();
SELECT mt_trial.rest('mt_trial.invoice');

-- the command that is tried: a tenant there must be, what it does to the transaction is refused, what interrupts goes on
SELECT * FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-0000000000f1', 'SELECT 1');
\echo :LAST_ERROR_SQLSTATE
SELECT sqlstate, message, rows, value FROM multitenant._try('regress_mt_app', NULL, 'COMMIT');
SELECT multitenant._try('regress_mt_app', NULL, NULL) IS NULL;
BEGIN;
SELECT sqlstate, value FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-0000000000a1', 'SELECT multitenant.current_tenant()');
SAVEPOINT s;
SELECT * FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-0000000000a1', 'DO $$ BEGIN ASSERT false; END $$');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SET LOCAL statement_timeout = '50ms';
SELECT * FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-0000000000a1', 'SELECT pg_sleep(600)');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT state, current_user = session_user FROM multitenant.context;
COMMIT;
-- what is deferred comes first, and may fail
CREATE TABLE mt_trial.unique_later (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO mt_trial.unique_later VALUES (1), (1);
SELECT sqlstate, value FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-0000000000a1', 'SELECT 1');
SELECT state, current_user = session_user FROM multitenant.context;
ROLLBACK;

-- errors
SELECT multitenant.test_isolation(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', '{alpha}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', '{alpha,alpha}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', '{alpha,gone}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', '{alpha,nobody}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', role => 'regress_mt_free');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice', role => 'regress_mt_nobody');
\echo :LAST_ERROR_SQLSTATE
REVOKE ALL ON mt_trial.written FROM regress_mt_owner;
SELECT multitenant.test_isolation('mt_trial.written');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.test_isolation('mt_trial.invoice_id_seq');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT multitenant.test_isolation('mt_trial.invoice');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA mt_trial CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner, regress_mt_app, regress_mt_reader, regress_mt_free;
