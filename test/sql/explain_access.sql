-- explain_access(): every layer with its verdict, for applications and for administrators, and no oracle.
-- requires: preload
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_clerk;
CREATE ROLE regress_mt_bound;
CREATE ROLE regress_mt_free BYPASSRLS;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application');
SELECT multitenant.create_tenant('alpha', number => 801, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', number => 802, id => '00000000-0000-0000-0000-0000000000b1');
SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'beta');
CREATE SCHEMA mt_explain AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE TABLE mt_explain.invoice (tenant_id uuid, id int PRIMARY KEY, state text DEFAULT 'open', note text);
INSERT INTO mt_explain.invoice VALUES
	('00000000-0000-0000-0000-0000000000a1', 1, 'open', 'SECRET-ALPHA'),
	('00000000-0000-0000-0000-0000000000a1', 2, 'hidden', 'SECRET-ALPHA'),
	('00000000-0000-0000-0000-0000000000a1', 3, 'closed', 'SECRET-ALPHA'),
	('00000000-0000-0000-0000-0000000000b1', 4, 'open', 'SECRET-BETA');
CREATE TABLE mt_explain.line (tenant_id int, invoice int, "line #" int, PRIMARY KEY (tenant_id, invoice, "line #"));
INSERT INTO mt_explain.line VALUES (801, 1, 1), (802, 1, 1), (802, 1, 2);
CREATE TABLE mt_explain.plain (id int PRIMARY KEY);
INSERT INTO mt_explain.plain VALUES (1);
CREATE TABLE mt_explain.country (code text PRIMARY KEY);
CREATE TABLE mt_explain.no_key (tenant_id uuid);
CREATE VIEW mt_explain.a_view AS SELECT 1 AS id;
SELECT count(*) > 0 FROM multitenant.protect('mt_explain.invoice');
SELECT count(*) > 0 FROM multitenant.protect('mt_explain.line');
SELECT count(*) > 0 FROM multitenant.protect('mt_explain.no_key');
CREATE POLICY no_hidden ON mt_explain.invoice AS RESTRICTIVE FOR SELECT USING (state <> 'hidden');
CREATE POLICY only_open ON mt_explain.invoice AS RESTRICTIVE FOR UPDATE USING (state = 'open') WITH CHECK (note <> '');
GRANT USAGE ON SCHEMA mt_explain TO regress_mt_app, regress_mt_bound, regress_mt_free;
GRANT SELECT, INSERT, UPDATE ON mt_explain.invoice, mt_explain.line, mt_explain.plain, mt_explain.no_key TO regress_mt_app, regress_mt_bound;
GRANT SELECT, UPDATE ON mt_explain.country TO regress_mt_app;
GRANT SELECT ON mt_explain.invoice TO regress_mt_free;
RESET ROLE;
SELECT multitenant.share('mt_explain.country');

-- an application: without a context, with one
SET SESSION AUTHORIZATION regress_mt_app;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1);
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1);
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 3, 'UPDATE');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, 'update') WHERE step > 6;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, 'delete');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', NULL::jsonb, 'insert') WHERE step > 5;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', '{"id": 9, "note": "new"}'::jsonb, 'insert') WHERE step > 5;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', '{"id": 9, "tenant_id": "00000000-0000-0000-0000-0000000000b1"}'::jsonb, 'insert') WHERE step > 5;
-- other keys, other classes
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.line', '{"invoice": 1, "line #": 1}'::jsonb) WHERE layer IN ('row', 'advice');
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.line', '{"invoice": 1, "line #": 2}'::jsonb) WHERE layer IN ('row', 'advice');
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.no_key', '{"tenant_id": "00000000-0000-0000-0000-0000000000b1"}'::jsonb) WHERE layer IN ('row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.plain', 1);
SELECT * FROM multitenant.explain_access('mt_explain.country', 'ch', 'update');
SELECT * FROM multitenant.explain_access('mt_explain.country', 'ch');
COMMIT;

-- no oracle: a row that is not there, one of another tenant, one that a policy hides: the same bytes, for every command
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT c, count(DISTINCT answer), min(answer) ~ 'none, it is another tenant''s, or a policy hides it' FROM (
	SELECT c, k, string_agg(e::text, E'\n' ORDER BY e.step) FROM unnest('{select,update}'::text[]) c, unnest('{4,99,2}'::int[]) k,
		multitenant.explain_access('mt_explain.invoice', k, c) e GROUP BY c, k) AS v(c, k, answer) GROUP BY c ORDER BY c;
SELECT count(DISTINCT answer) FROM (
	SELECT k, string_agg(e::text, E'\n' ORDER BY e.step) FROM unnest('{4,99}'::int[]) k,
		multitenant.explain_access('mt_explain.invoice', jsonb_build_object('id', k, 'tenant_id', '00000000-0000-0000-0000-0000000000b1')) e GROUP BY k) AS v(k, answer);
-- nothing was written or locked
SELECT pg_current_xact_id_if_assigned() IS NULL;
SAVEPOINT s;
-- others cannot ask for somebody
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, role => 'regress_mt_app');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, tenant => 'beta');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant._rows_by_key('mt_explain.invoice', '{id}', '{4}', 'tenant_id');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant._try('regress_mt_app', NULL, 'SELECT 1');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- also where their functions are called by those who can
GRANT EXECUTE ON FUNCTION multitenant._rows_by_key(regclass, text[], text[], text), multitenant._try(name, uuid, text, boolean, boolean) TO regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE FUNCTION mt_explain.ask(OUT answer text) LANGUAGE sql SECURITY DEFINER AS $$ SELECT row_text FROM multitenant._rows_by_key('mt_explain.invoice', '{id}', '{4}', 'tenant_id') $$;
CREATE FUNCTION mt_explain.act(OUT answer text) LANGUAGE sql SECURITY DEFINER AS $$ SELECT value FROM multitenant._try('postgres', NULL, 'SELECT current_user') $$;
RESET ROLE;
SELECT mt_explain.ask();
\echo :LAST_ERROR_SQLSTATE
SELECT mt_explain.act();
\echo :LAST_ERROR_SQLSTATE

-- privileges and bypasses
SELECT 'mt_explain.invoice'::regclass::oid AS invoice \gset
SET SESSION AUTHORIZATION regress_mt_clerk;
SELECT layer, verdict, replace(detail, :'invoice', '(oid)') FROM multitenant.explain_access(:invoice, 1, 'delete') WHERE layer IN ('privilege', 'row', 'advice');
SELECT layer, verdict, replace(detail, :'invoice', '(oid)') FROM multitenant.explain_access(:invoice, NULL::jsonb, 'insert') WHERE layer IN ('privilege', 'row', 'advice');
SET SESSION AUTHORIZATION regress_mt_free;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1);
RESET SESSION AUTHORIZATION;

-- an administrator: for himself, in the name of others
SELECT regexp_replace(format('%s|%s|%s|%s', step, layer, verdict, detail), 'role ' || quote_ident(current_user), 'role (me)') FROM multitenant.explain_access('mt_explain.invoice', 4);
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.invoice', 99) WHERE layer IN ('row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, tenant => 'alpha');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 2, role => 'regress_mt_app', tenant => 'alpha');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 99, role => 'regress_mt_app', tenant => 'alpha') WHERE step > 5;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 3, 'update', 'regress_mt_app', 'alpha') WHERE step > 5;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, 'update', 'regress_mt_app', 'alpha') WHERE layer IN ('row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, role => 'regress_mt_bound') WHERE layer IN ('context', 'row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, role => 'regress_mt_app') WHERE layer IN ('context', 'row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, role => 'regress_mt_clerk', tenant => 'beta') WHERE layer IN ('privilege', 'row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.line', '{"invoice": 1, "line #": 2}'::jsonb, tenant => 'alpha') WHERE layer IN ('row', 'advice');
SELECT * FROM multitenant.explain_access('mt_explain.line', '{"invoice": 1, "line #": 1}'::jsonb, tenant => 'alpha') WHERE layer IN ('row', 'advice');
SELECT count(*) > 0 FROM multitenant.audit_event WHERE event = 'access.explain' AND object = 'mt_explain.invoice';
SELECT multitenant.suspend_tenant('beta', 'unpaid');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, tenant => 'beta');
SELECT multitenant.resume_tenant('beta');
BEGIN;
SELECT multitenant.system_context('support');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, tenant => 'beta') WHERE layer IN ('context', 'row', 'advice');
SELECT state FROM multitenant.context;
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, tenant => 'beta');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- what is broken
SET multitenant.guard_enabled = off;
DROP POLICY multitenant_isolation ON mt_explain.line;
RESET multitenant.guard_enabled;
SELECT * FROM multitenant.explain_access('mt_explain.line', '{"invoice": 1, "line #": 2}'::jsonb, tenant => 'alpha') WHERE layer IN ('protection', 'row', 'advice');

-- the code of the table's owner runs as the role that is asked for, and not at all if it is volatile
SET ROLE regress_mt_owner;
CREATE FUNCTION mt_explain.who(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE NOTICE 'called by %', current_user; RETURN true; END $$;
CREATE FUNCTION mt_explain.never() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE NOTICE 'volatile, called by %', current_user; RETURN true; END $$;
CREATE FUNCTION mt_explain.folded(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'folded by %', current_user; RETURN $1; END $$;
CREATE INDEX ON mt_explain.no_key (mt_explain.folded(1));
DROP POLICY no_hidden ON mt_explain.invoice;
CREATE POLICY who ON mt_explain.invoice AS RESTRICTIVE FOR SELECT USING (mt_explain.who(note) AND state <> 'hidden');
CREATE POLICY never ON mt_explain.invoice AS RESTRICTIVE FOR DELETE USING (mt_explain.never());
CREATE DOMAIN mt_explain.checked AS int CHECK (mt_explain.folded(VALUE) > 0);
CREATE TABLE mt_explain.odd (tenant_id uuid, id mt_explain.checked PRIMARY KEY);
SELECT count(*) > 0 FROM multitenant.protect('mt_explain.odd');
GRANT SELECT, DELETE ON mt_explain.odd, mt_explain.invoice TO regress_mt_app;
RESET ROLE;
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.invoice', 2) WHERE layer = 'row';
SET client_min_messages = warning;
SELECT layer, verdict FROM multitenant.explain_access('mt_explain.invoice', 1, 'select', 'regress_mt_app', 'alpha') WHERE step > 5;
RESET client_min_messages;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 2, 'delete', 'regress_mt_app', 'alpha') WHERE step > 5;
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 4, 'delete', 'regress_mt_app', 'alpha') WHERE step > 5;
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.odd', 5) WHERE layer = 'row';
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.no_key', '{"tenant_id": "00000000-0000-0000-0000-0000000000b1"}'::jsonb) WHERE layer = 'row';

-- rows are looked for in partitions, by any columns, by types whose code is nobody's
SET ROLE regress_mt_owner;
CREATE TABLE mt_explain.part (tenant_id uuid, id int, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id);
CREATE TABLE mt_explain.part_0 PARTITION OF mt_explain.part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO mt_explain.part VALUES ('00000000-0000-0000-0000-0000000000a1', 1), ('00000000-0000-0000-0000-0000000000b1', 2);
SELECT count(*) > 0 FROM multitenant.protect('mt_explain.part');
CREATE TABLE mt_explain.typed (tenant_id uuid, document json, list int[], place mt_explain.invoice);
RESET ROLE;
SELECT step, verdict, detail FROM multitenant.explain_access('mt_explain.part', '{"id": 2, "tenant_id": "00000000-0000-0000-0000-0000000000b1"}'::jsonb, tenant => 'alpha') WHERE layer IN ('row', 'advice');
SELECT * FROM multitenant._rows_by_key('mt_explain.part', '{id,tenant_id}', '{1,00000000-0000-0000-0000-0000000000a1}', 'tenant_id');
SELECT * FROM multitenant._rows_by_key('mt_explain.part', '{id}', '{1}', 'tenant_id');
SELECT * FROM multitenant._rows_by_key('mt_explain.part', '{id}', '{1}', NULL);
SELECT * FROM multitenant._rows_by_key('mt_explain.invoice', '{state}', '{hidden}', 'tenant_id');
SELECT count(*) FROM multitenant._rows_by_key('mt_explain.invoice', NULL, '{hidden}', 'tenant_id');
SELECT multitenant._rows_by_key('mt_explain.invoice', '{}', '{}', 'tenant_id');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_by_key('mt_explain.invoice', '{id,state}', '{2}', 'tenant_id');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_by_key('mt_explain.invoice', '{id,NULL}', '{2,3}', 'tenant_id');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_by_key('mt_explain.invoice', '{nowhere}', '{2}', 'tenant_id');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_by_key('mt_explain.typed', '{document}', '{2}', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_by_key('mt_explain.typed', '{list}', '{\{2\}}', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_by_key('mt_explain.typed', '{place}', '{()}', NULL);
\echo :LAST_ERROR_SQLSTATE

-- errors
SELECT * FROM multitenant.explain_access(NULL, 1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', NULL::int);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, 'truncate');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.line', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.no_key', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.line', '{"it": 1}'::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.line', '{}'::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 'one');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.a_view', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, role => 'regress_mt_nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, tenant => 'nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.explain_access('mt_explain.invoice', 1, role => 'regress_mt_bound', tenant => 'alpha');
\echo :LAST_ERROR_SQLSTATE

SET client_min_messages = warning;
DROP SCHEMA mt_explain CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner, regress_mt_app, regress_mt_clerk, regress_mt_bound, regress_mt_free;
