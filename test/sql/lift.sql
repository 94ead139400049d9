-- Indexes for conditions that are not leakproof: multitenant.lift_conditions.
-- requires: preload
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
-- Its prepared statements outlive contexts.
SET multitenant.session_hygiene = off;
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
CREATE EXTENSION btree_gin;
CREATE EXTENSION pg_trgm;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application', allow => '{explain}');
SELECT multitenant.create_tenant('lift-a', number => 931, id => '00000000-0000-0000-0000-00000000931a') IS NOT NULL;
SELECT multitenant.create_tenant('lift-b', number => 932, id => '00000000-0000-0000-0000-00000000932b') IS NOT NULL;
CREATE SCHEMA mt_lift AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_lift TO regress_mt_app;
SET search_path = mt_lift, public;
SELECT set_config('mt_lift.a', '00000000-0000-0000-0000-00000000931a', false) <> '', set_config('mt_lift.b', '00000000-0000-0000-0000-00000000932b', false) <> '';

-- The conditions that a plan gives to its indexes.
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO j;
	RETURN QUERY SELECT replace(m[1], '\"', '"') FROM regexp_matches(j::text, '"Index Cond": "((?:[^"\\]|\\.)*)"', 'g') WITH ORDINALITY AS r(m, n) ORDER BY n;
END $$;

SET ROLE regress_mt_owner;
CREATE TABLE customer (tenant_id uuid NOT NULL, id int, name text, price numeric, data jsonb, words tsvector, done boolean, PRIMARY KEY (tenant_id, id)) WITH (autovacuum_enabled = off);
INSERT INTO customer SELECT current_setting(CASE WHEN i % 2 = 0 THEN 'mt_lift.a' ELSE 'mt_lift.b' END)::uuid, i, 'name ' || i, i / 10.0,
	jsonb_build_object('n', i), to_tsvector('simple', 'word' || i || ' every'), i % 100 < 98 FROM generate_series(1, 20000) i;
CREATE INDEX customer_name ON customer (tenant_id, name text_pattern_ops);
CREATE INDEX customer_lower ON customer (tenant_id, lower(name));
CREATE INDEX customer_price ON customer (tenant_id, price);
CREATE INDEX customer_data ON customer (tenant_id, data);
CREATE INDEX customer_words ON customer USING gin (tenant_id, words);
CREATE INDEX customer_trgm ON customer USING gin (tenant_id, name gin_trgm_ops);
CREATE INDEX customer_open ON customer (tenant_id, lower(name || '!')) WHERE NOT done;
SELECT count(*) > 0 FROM multitenant.protect('customer');
GRANT ALL ON customer TO regress_mt_app;
ANALYZE customer;
RESET ROLE;

SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('lift-a') IS NOT NULL;
SELECT plan($$SELECT id FROM customer WHERE name LIKE 'name 12%'$$);
SELECT plan($$SELECT id FROM customer WHERE lower(name) = 'name 12'$$);
SELECT plan($$SELECT id FROM customer WHERE price = 1.2$$);
SELECT plan($$SELECT id FROM customer WHERE data = '{"n": 12}'$$);
SELECT plan($$SELECT id FROM customer WHERE words @@ 'word12'$$);
SELECT plan($$SELECT id FROM customer WHERE name LIKE '%e 1212%'$$);
SELECT plan($$SELECT id FROM customer WHERE price = 1.2 OR lower(name) = 'name 14'$$);
SELECT plan($$SELECT id FROM customer WHERE lower(name || '!') = 'name 14' AND NOT done$$);
SELECT plan($$SELECT name FROM customer WHERE price IN (1.2, 1.4) ORDER BY price$$);
SELECT plan($$SELECT price FROM customer WHERE price BETWEEN 1.2 AND 1.3$$);
SELECT plan($$SELECT b.id FROM customer a JOIN customer b ON b.price = a.price + 1 WHERE a.id = 12$$);
SELECT plan($$UPDATE customer SET name = 'x' WHERE price = 1.2$$);
SELECT plan($$DELETE FROM customer WHERE lower(name) = 'name 12'$$);
ROLLBACK;
RESET SESSION AUTHORIZATION;

-- not: where the index does not begin with the tenant, policies say more, a view hides rows, or lifting is switched off
SET ROLE regress_mt_owner;
CREATE INDEX customer_bare ON customer (lower(name || '?'));
CREATE VIEW visible WITH (security_barrier, security_invoker) AS SELECT * FROM customer WHERE done;
CREATE TABLE strict (tenant_id uuid NOT NULL, price numeric, done boolean);
INSERT INTO strict SELECT tenant_id, price, done FROM generate_series(1, 2000) i, LATERAL (SELECT current_setting(CASE WHEN i % 2 = 0 THEN 'mt_lift.a' ELSE 'mt_lift.b' END)::uuid, i / 10.0, i > 9) r(tenant_id, price, done);
CREATE INDEX strict_price ON strict (tenant_id, price);
SELECT count(*) > 0 FROM multitenant.protect('strict');
GRANT ALL ON visible, strict TO regress_mt_app;
RESET ROLE;
CREATE POLICY only_done ON strict AS RESTRICTIVE USING (done);
SET SESSION AUTHORIZATION regress_mt_app;
SET enable_seqscan = off;
BEGIN;
SELECT multitenant.use_tenant('lift-a') IS NOT NULL;
SELECT plan($$SELECT id FROM customer WHERE lower(name || '?') = 'name 12?'$$);
SELECT plan($$SELECT FROM strict WHERE price = 1.2$$);
SELECT plan($$UPDATE visible SET name = 'x' WHERE price = 1.2$$);
COMMIT;
SET multitenant.lift_conditions = off;
\echo :LAST_ERROR_SQLSTATE
PREPARE by_price AS SELECT id FROM customer WHERE price = $1;
SET plan_cache_mode = force_generic_plan;
SET enable_bitmapscan = off;
BEGIN;
SELECT multitenant.use_tenant('lift-a') IS NOT NULL;
SELECT plan($$EXECUTE by_price(1.2)$$);
EXECUTE by_price(1.2);
COMMIT;
RESET SESSION AUTHORIZATION;
SET multitenant.lift_conditions = off;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('lift-a') IS NOT NULL;
SELECT plan($$EXECUTE by_price(1.2)$$);
EXECUTE by_price(1.2);
COMMIT;
RESET SESSION AUTHORIZATION;
RESET multitenant.lift_conditions;

-- The same for any tenant.
SET multitenant.fold_plans = off;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('lift-b') IS NOT NULL;
SELECT plan($$SELECT id FROM customer WHERE price = 1.3$$);
SELECT plan($$SELECT id FROM customer WHERE tenant_id = '00000000-0000-0000-0000-00000000932b' AND price = 1.3$$);
SELECT id FROM customer WHERE price = 1.3;
COMMIT;
RESET SESSION AUTHORIZATION;

SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
DROP SCHEMA mt_lift CASCADE;
DROP EXTENSION multitenant;
DROP EXTENSION pg_trgm, btree_gin;
DROP ROLE regress_mt_app, regress_mt_owner;
