-- Looking into tenants from outside: begin, come back, end; reading only; one query in all of them; what is seen without.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\i sql/rights.inc
\set VERBOSITY terse
CREATE ROLE regress_mt_provisioner LOGIN; CREATE ROLE regress_mt_operator LOGIN; CREATE ROLE regress_mt_auditor LOGIN;
CREATE ROLE regress_mt_owner LOGIN; CREATE ROLE regress_mt_app LOGIN;
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.grant_access('regress_mt_operator', 'operator');
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
GRANT CREATE ON SCHEMA public TO regress_mt_owner;
SELECT multitenant.create_tenant('acme', number => 9501, id => '00000000-0000-0000-0000-00000000000a');
SELECT multitenant.create_tenant('beta', number => 9502, id => '00000000-0000-0000-0000-00000000000b');
SELECT multitenant.create_tenant('gamma', number => 9503, id => '00000000-0000-0000-0000-00000000000c');
SELECT multitenant.create_tenant('delta', number => 9504, id => '00000000-0000-0000-0000-00000000000d');
SELECT multitenant.create_role_template('watcher', 'Looks.', '{member:read}') IS NOT NULL;
SELECT multitenant.create_master_account('Northern Services') AS north \gset
SELECT multitenant.link_tenant(:'north', t) FROM unnest('{acme,beta,gamma}'::text[]) t;
SELECT multitenant.assign_operator(:'north', 'olga', t, 'watcher') FROM unnest('{acme,beta,gamma}'::text[]) t;
SELECT regress_mt_rights.people(t, '{alice,bob}') FROM unnest('{acme,beta,gamma}'::text[]) t;
SELECT count(multitenant.add_member(t, 'alice', 'administrator')) FROM unnest('{acme,beta,gamma}'::text[]) t;
CREATE FUNCTION regress_mt_rights.look(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
	PERFORM regress_mt_tokens.enter(NULL, 'olga');
	PERFORM multitenant.switch_tenant('acme');
	EXECUTE statement INTO result;
	RETURN coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
CREATE FUNCTION regress_mt_rights.across(query text, columns text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
	PERFORM regress_mt_tokens.enter(NULL, 'olga');
	EXECUTE format('SELECT string_agg(t::text, '' '') FROM multitenant.across_tenants(%L, %L) AS t(%s)', query, 'monthly report', columns) INTO result;
	RETURN coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SET SESSION AUTHORIZATION regress_mt_owner;
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id uuid NOT NULL, note text, secret multitenant.encrypted);
INSERT INTO orders (tenant_id, note) SELECT ('00000000-0000-0000-0000-00000000000' || t)::uuid, 'of ' || t || ' ' || i FROM unnest('{a,b,c,d}'::text[]) WITH ORDINALITY t(t, n), generate_series(1, n) i;
SELECT multitenant.protect('orders');
CREATE TABLE colour (name text); INSERT INTO colour VALUES ('red');
CREATE SEQUENCE counter;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders, colour TO PUBLIC;
GRANT ALL ON SEQUENCE counter TO PUBLIC;
CREATE FUNCTION count_orders() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM orders';
CREATE FUNCTION next_of_counter() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN n := nextval('counter'); RETURN n; END $$;
SET SESSION AUTHORIZATION regress_mt_app;

-- ---- who may ----
SELECT multitenant.begin_supervised('acme', 'ticket 7', '1 hour'); \echo :LAST_ERROR_SQLSTATE
SELECT try('acme', 'alice', $$SELECT multitenant.begin_supervised('acme', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'mallory', $$SELECT multitenant.begin_supervised('acme', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('nobody', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('delta', 'ticket 7', '1 hour')$$);
-- Visibility metadata, and nothing approved.
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('acme')$$);
SELECT try('acme', 'olga', 'SELECT count(*) FROM orders', 'supervised');
SELECT try('acme', 'alice', $$SELECT multitenant.set_visibility('supervised')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', ' ', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 7', '9 hours')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 7', '0')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 7', '1200 mons -36000 days 1 hour')$$);
SET multitenant.maximum_supervision = '1d'; \echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY; SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 7')$$); COMMIT;

-- ---- looking ----
BEGIN;
SELECT regress_mt_tokens.enter(NULL, 'olga');
SELECT multitenant.begin_supervised('acme', 'ticket 7', '1 hour') IS NOT NULL;
SELECT state, tenant_slug, principal, kind, expires_at <= statement_timestamp() + interval '1 hour' FROM multitenant.context;
SELECT note, count_orders() FROM orders;
SHOW transaction_read_only;
SAVEPOINT s;
UPDATE orders SET note = 'x'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT count(*) FROM orders;
SELECT * FROM multitenant.audit_log; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT tenant, state, visibility, members, open_supervisions FROM multitenant.tenant_overview;
SELECT count(*) > 0 FROM multitenant.audit_metadata;
ROLLBACK;
-- The event is there, the supervision is not.
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('acme')$$);
SELECT try('acme', 'alice', $$SELECT string_agg(concat_ws(' ', principal, outcome, object), ', ') FROM multitenant.audit_log WHERE event = 'supervised.begin'$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 8', '1 hour') IS NOT NULL$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('acme')$$);
BEGIN;
SELECT regress_mt_tokens.enter(NULL, 'olga');
SELECT multitenant.switch_tenant('acme');
SELECT multitenant.switch_tenant('acme');
SELECT kind, count_orders() FROM multitenant.context;
SELECT multitenant.end_supervised('acme'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT try(NULL, 'olga', $$SELECT multitenant.end_supervised('beta')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.end_supervised(NULL::uuid)$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.end_supervised('acme')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.end_supervised('acme')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('acme')$$);
SELECT try('acme', 'alice', $$SELECT string_agg(concat_ws(' ', principal, reason, is_open), ', ') FROM multitenant.supervisions$$);
SELECT try('acme', 'bob', $$SELECT count(*) FROM multitenant.supervisions$$);
SELECT try('beta', 'alice', $$SELECT count(*) FROM multitenant.supervisions$$);

-- ---- by a request ----
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('beta', 'ticket 9', '2 hours') IS NOT NULL$$);
SELECT try('beta', 'alice', $$SELECT multitenant.approve_access(id, '10 minutes') FROM multitenant.access_requests$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('beta', 'ticket 9') IS NOT NULL$$);
SELECT try(NULL, 'olga', $$SELECT ends_at - began_at BETWEEN '9 minutes' AND '10 minutes' FROM multitenant.supervisions WHERE is_open$$);
BEGIN; SELECT regress_mt_tokens.enter(NULL, 'olga'); SELECT multitenant.switch_tenant('beta'); SELECT count(*) FROM orders; COMMIT;
SELECT try('beta', 'alice', $$SELECT multitenant.revoke_approval(id) FROM multitenant.access_requests$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('beta')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('beta', 'ticket 9') IS NOT NULL$$);
-- Tokens of kind supervised vouch for the operator, not for the tenant's consent.
BEGIN; SELECT regress_mt_tokens.enter('acme', 'olga', 'supervised'); SELECT count(*) FROM orders; COMMIT;
SELECT try('beta', 'olga', 'SELECT count(*) FROM orders', 'supervised');
-- Lowering ends what is open, and raising does not bring it back.
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 8') IS NOT NULL$$);
SELECT try('acme', 'alice', $$SELECT multitenant.set_visibility('metadata')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('acme')$$);
SELECT try('acme', 'alice', $$SELECT multitenant.set_visibility('supervised')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.switch_tenant('acme')$$);

-- ---- reading only ----
SELECT try(NULL, 'olga', $$SELECT multitenant.begin_supervised('acme', 'ticket 10') IS NOT NULL$$);
SELECT format('SELECT %1$L, look(%1$L)', s) FROM unnest(ARRAY[
	'INSERT INTO orders (note) VALUES (1)', 'DELETE FROM orders', 'INSERT INTO colour VALUES (1)', 'SELECT count(*) FROM colour',
	'SELECT note FROM orders FOR UPDATE', 'SELECT note FROM orders FOR KEY SHARE', 'WITH d AS (DELETE FROM colour RETURNING 1) SELECT count(*) FROM d',
	'SELECT nextval(''counter'')', 'SELECT setval(''counter'', 7)', 'SELECT next_of_counter()', 'SELECT lo_create(0)',
	'SELECT pg_advisory_lock(1)', 'SELECT pg_try_advisory_xact_lock(1)', 'SELECT pg_notify(''a'', ''b'')', 'SELECT pg_export_snapshot()',
	'SELECT random() < 2', 'SELECT clock_timestamp() IS NOT NULL', 'SELECT set_config(''work_mem'', ''1MB'', true)',
	'CREATE TEMP TABLE t AS SELECT * FROM orders', 'SELECT * INTO TEMP t FROM orders', 'CREATE TEMP TABLE t (a int)', 'CREATE TABLE t (a int)',
	'LOCK TABLE orders IN ACCESS SHARE MODE', 'TRUNCATE colour', 'COPY orders TO ''/tmp/x''', 'COPY (SELECT 1) TO PROGRAM ''true''',
	'COPY colour FROM ''/tmp/x''', 'NOTIFY a', 'LISTEN a', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'ANALYZE orders', 'COMMENT ON TABLE orders IS ''x''',
	'SELECT query_to_xml(''DELETE FROM colour'', true, true, '''')', 'SELECT multitenant.audit(''order.seen'', ''{}'')',
	'DO ''BEGIN DELETE FROM colour; END''', 'SELECT multitenant.set_visibility(''supervised'')', 'SELECT multitenant.request_access(''beta'', ''x'', ''1 hour'')',
	'SELECT multitenant.encrypt(''x'', ''orders.secret'')', 'SELECT multitenant.get_secret(''x'')', 'SELECT count(*) FROM multitenant.secrets']) s
\gexec
RESET SESSION AUTHORIZATION;
SELECT last_value, is_called FROM counter;

-- ---- one query in all of them ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('gamma', 'alice', $$SELECT multitenant.set_visibility('supervised')$$);
SELECT * FROM multitenant.across_tenants('SELECT 1', 'x') AS t(tenant_id uuid, n int); \echo :LAST_ERROR_SQLSTATE
SELECT try('acme', 'alice', $$SELECT count(*) FROM multitenant.across_tenants('SELECT 1', 'x') AS t(tenant_id uuid, n int)$$);
SELECT try(NULL, 'mallory', $$SELECT count(*) FROM multitenant.across_tenants('SELECT 1', 'x') AS t(tenant_id uuid, n int)$$);
SELECT try(NULL, 'olga', $$SELECT count(*) FROM multitenant.across_tenants('SELECT 1', ' ') AS t(tenant_id uuid, n int)$$);
SELECT format('SELECT %1$L, across(%1$L, %2$L)', q, c) FROM (VALUES
	('SELECT count(*) FROM orders', 'tenant_id uuid, n bigint'),
	('SELECT count(*), min(note) FROM orders', 'tenant_id uuid, n bigint, note text'),
	('SELECT note FROM orders ORDER BY id', 'tenant_id uuid, note text'),
	('TABLE colour', 'tenant_id uuid, name text'),
	('VALUES (1)', 'tenant_id uuid, n int'),
	('SELECT kind || tenant_slug FROM multitenant.context', 'tenant_id uuid, kind text'),
	('SELECT count(*) FROM orders', 'tenant_id uuid, n int'),
	('SELECT count(*) FROM orders', 'tenant_id uuid'),
	('SELECT count(*) FROM orders', 'n bigint, tenant_id uuid'),
	('SELECT count(*) FROM orders; SELECT 1', 'tenant_id uuid, n bigint'),
	('', 'tenant_id uuid, n bigint'),
	('SELECT 1 FROM nowhere', 'tenant_id uuid, n int'),
	('DELETE FROM orders RETURNING 1', 'tenant_id uuid, n int'),
	('WITH d AS (DELETE FROM orders RETURNING 1) SELECT count(*) FROM d', 'tenant_id uuid, n bigint'),
	('SELECT 1 FROM orders FOR UPDATE', 'tenant_id uuid, n int'),
	('SELECT 1 AS n INTO TEMP x', 'tenant_id uuid, n int'),
	('SHOW work_mem', 'tenant_id uuid, n text'),
	('SELECT next_of_counter()', 'tenant_id uuid, n bigint'),
	('SELECT 1 / (count(*) - 3)::int FROM orders', 'tenant_id uuid, n int'),
	('SELECT n FROM multitenant.across_tenants(''SELECT 1'', ''x'') AS t(tenant_id uuid, n int)', 'tenant_id uuid, n int'),
	('SELECT multitenant.switch_tenant(''beta'')', 'tenant_id uuid, n uuid'),
	('SELECT count(*) FROM multitenant.audit_log', 'tenant_id uuid, n bigint'),
	('SELECT set_config(''myapp.seen'', coalesce(current_setting(''myapp.seen'', true), '''') || (SELECT max(note) FROM orders), false)', 'tenant_id uuid, n text')) v(q, c)
\gexec
-- What follows in the same transaction: the principal enters no tenant.
BEGIN;
SELECT regress_mt_tokens.enter(NULL, 'olga');
SELECT * FROM multitenant.across_tenants('SELECT count(*) FROM orders', 'x') AS t(tenant_id uuid, n bigint);
SELECT state FROM multitenant.context;
SAVEPOINT s;
SELECT count(*) FROM orders; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.begin_supervised('acme', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT object, detail FROM multitenant.audit_event WHERE event = 'supervised.across' AND tenant_id IS NULL ORDER BY at LIMIT 2;
SELECT t.slug, e.object, e.detail FROM multitenant.audit_event e LEFT JOIN multitenant.tenant t ON t.id = e.tenant_id
	WHERE event = 'supervised.query' AND object = 'x' ORDER BY at, slug;

-- ---- what is seen without looking in ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('gamma', 'alice', $$SELECT multitenant.set_visibility('none')$$);
SELECT tenant, name, state, since IS NULL, visibility, members, pending_requests, open_supervisions, keys, events_of_a_day IS NULL FROM multitenant.tenant_overview;
BEGIN; SELECT regress_mt_tokens.enter(NULL, 'olga');
SELECT tenant, name, state, since IS NULL, visibility, members, pending_requests, open_supervisions, keys, events_of_a_day IS NULL FROM multitenant.tenant_overview ORDER BY tenant;
SELECT DISTINCT tenant_id, event_class FROM multitenant.audit_metadata WHERE event_class IN ('tenant', 'supervised', 'application') ORDER BY 1, 2;
COMMIT;
BEGIN; SELECT regress_mt_tokens.enter('beta', 'alice');
SELECT tenant, members FROM multitenant.tenant_overview;
SELECT DISTINCT tenant_id FROM multitenant.audit_metadata;
COMMIT;
BEGIN; SELECT regress_mt_tokens.enter('beta', 'bob');
SELECT tenant, members FROM multitenant.tenant_overview;
SELECT * FROM multitenant.audit_metadata; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN; SELECT regress_mt_tokens.enter('beta', 'bob');
SELECT count(*) FROM multitenant.audit_log; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT tenant, state, members FROM multitenant.tenant_overview ORDER BY tenant;
SELECT DISTINCT tenant_id FROM multitenant.audit_metadata ORDER BY 1;
SELECT count(*) FROM multitenant.supervisions;
SELECT count(*) FROM multitenant.audit_log; \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT count(*) > 3 FROM multitenant.supervisions;
SELECT tenant, members FROM multitenant.tenant_overview ORDER BY tenant;
RESET SESSION AUTHORIZATION;

\i sql/tokens_off.inc
SET client_min_messages = warning;
SET search_path = public;
DROP SCHEMA regress_mt_rights CASCADE;
SELECT multitenant.unprotect('orders');
DROP TABLE orders, colour; DROP SEQUENCE counter; DROP FUNCTION count_orders(), next_of_counter();
DROP EXTENSION multitenant;
REVOKE CREATE ON SCHEMA public FROM regress_mt_owner;
DROP ROLE regress_mt_provisioner, regress_mt_operator, regress_mt_auditor, regress_mt_owner, regress_mt_app;
