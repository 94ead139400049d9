-- What the planner may use of tables of tenants: multitenant.index_exposure, multitenant.statistics_exposure.
-- requires: preload
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
-- Plans for any tenant: with the tenant's own estimates an index without it hardly ever wins.
SET multitenant.fold_plans = off;
-- Its prepared statements outlive contexts.
SET multitenant.session_hygiene = off;
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application', allow => '{explain}');
SELECT multitenant.grant_access('regress_mt_owner', 'trusted_application', allow => '{explain}');
SELECT multitenant.create_tenant('exposure-a', number => 911) IS NOT NULL;
SELECT multitenant.create_tenant('exposure-b', number => 912) IS NOT NULL;
CREATE SCHEMA mt_exposure AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_exposure TO regress_mt_app;
SET search_path = mt_exposure;
-- Which index a plan uses, "none", and the estimate of its rows if that is asked for.
CREATE FUNCTION mt_exposure.plan(query text, with_rows boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE j json; t text;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO j;
	t := coalesce((SELECT string_agg(DISTINCT m[1], ', ' ORDER BY m[1]) FROM regexp_matches(j::text, '"Index Name": "([^"]*)"', 'g') m), 'none');
	RETURN t || CASE WHEN with_rows THEN ', rows ' || (j -> 0 -> 'Plan' ->> 'Plan Rows') ELSE '' END;
END $$;

SET ROLE regress_mt_owner;
CREATE TABLE customer (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id int NOT NULL, email text, city text) WITH (autovacuum_enabled = off);
INSERT INTO customer (tenant_id, email, city)
	SELECT 911 + i % 2, format('c%s@example.org', i), CASE WHEN i % 2 = 1 AND i < 3000 THEN 'paris' ELSE 'town ' || i END FROM generate_series(1, 6000) i;
SELECT count(*) > 0 FROM multitenant.protect('customer');
CREATE INDEX customer_email ON customer (email);
CREATE INDEX customer_lower ON customer (lower(city));
CREATE INDEX customer_tenant_email ON customer (tenant_id, email);
CREATE STATISTICS customer_expressions ON (city || email) FROM customer;
CREATE TABLE ledger (city text, day int, tenant_id int NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE ledger_1 (tenant_id int NOT NULL, day int, city text);
ALTER TABLE ledger ATTACH PARTITION ledger_1 FOR VALUES FROM (0) TO (10000);
INSERT INTO ledger SELECT 'town ' || i, i, 911 + i % 2 FROM generate_series(1, 6000) i;
SELECT count(*) > 0 FROM multitenant.protect('ledger');
CREATE INDEX ledger_day ON ledger (day);
CREATE INDEX ledger_tenant_day ON ledger (tenant_id, day);
CREATE TABLE plain (id int PRIMARY KEY, tenant_id int, city text);
INSERT INTO plain SELECT i, 911, 'public' FROM generate_series(1, 6000) i;
CREATE INDEX plain_lower ON plain (lower(city));
CREATE TABLE own_rules (id int PRIMARY KEY, city text);
INSERT INTO own_rules SELECT i, 'town ' || i FROM generate_series(1, 6000) i;
ALTER TABLE own_rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY ours ON own_rules USING (id > 0);
CREATE TABLE reading (tenant_id int NOT NULL, day int);
INSERT INTO reading SELECT 911 + i % 2, i FROM generate_series(1, 6000) i;
SELECT count(*) > 0 FROM multitenant.protect('reading');
CREATE INDEX reading_day ON reading USING brin (day);
GRANT ALL ON customer, ledger, ledger_1, reading, plain, own_rules TO regress_mt_app;
ANALYZE customer, ledger, reading, plain, own_rules;
RESET ROLE;
SELECT multitenant.exempt('plain', 'a list for everybody');

-- allowed: any index
SHOW multitenant.index_exposure;
SET SESSION AUTHORIZATION regress_mt_app;
SET enable_seqscan = off;
SET multitenant.index_exposure = 'hide';
\echo :LAST_ERROR_SQLSTATE
SET multitenant.statistics_exposure = 'hide';
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
SELECT plan($$SELECT FROM customer WHERE email = 'c2@example.org'$$);
SELECT plan($$SELECT FROM customer WHERE id = '00000000-0000-0000-0000-000000000001'$$);
SELECT plan('SELECT FROM ledger WHERE day = 7');
SELECT plan('SELECT FROM ledger_1 WHERE day = 7');
-- a plan that is kept
SET plan_cache_mode = force_generic_plan;
PREPARE by_id AS SELECT email FROM customer WHERE id = $1;
SELECT plan($$EXECUTE by_id('00000000-0000-0000-0000-000000000001')$$);
COMMIT;
RESET SESSION AUTHORIZATION;

-- hidden: those that begin with the tenant
SET multitenant.index_exposure = 'hide';
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
SELECT plan($$SELECT FROM customer WHERE email = 'c2@example.org'$$);
SELECT plan($$SELECT FROM customer WHERE id = '00000000-0000-0000-0000-000000000001'$$);
SELECT plan($$SELECT FROM customer WHERE lower(city) = 'paris'$$);
SELECT plan('SELECT FROM ledger WHERE day = 7');
SELECT plan('SELECT FROM ledger_1 WHERE day = 7');
SELECT plan($$UPDATE customer SET city = 'x' WHERE email = 'c2@example.org'$$);
SELECT plan($$SELECT FROM customer WHERE email = 'a' UNION ALL SELECT FROM customer WHERE email = 'b'$$);
SELECT plan($$SELECT FROM (SELECT email FROM customer UNION ALL SELECT 'x') u WHERE email = 'c2@example.org'$$);
-- also in plans that were kept
SELECT plan($$EXECUTE by_id('00000000-0000-0000-0000-000000000001')$$);
-- not those of other tables
SELECT plan('SELECT FROM plain WHERE id = 7');
SELECT plan('SELECT FROM own_rules WHERE id = 7');
SELECT plan('SELECT FROM pg_class WHERE oid = 1259');
-- keys work as before
INSERT INTO customer (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'one@example.org');
INSERT INTO customer (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'two@example.org') ON CONFLICT (id) DO NOTHING;
INSERT INTO customer (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'three@example.org') ON CONFLICT (id) DO UPDATE SET email = excluded.email;
SELECT email FROM customer WHERE id = '00000000-0000-0000-0000-000000000001';
INSERT INTO customer (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'four@example.org');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- who is not filtered is not concerned; the owner is filtered
SET enable_seqscan = off;
SELECT plan($$SELECT FROM customer WHERE email = 'c2@example.org' AND city <> 'x'$$) ~ 'customer_email';
SET SESSION AUTHORIZATION regress_mt_owner;
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
SELECT plan($$SELECT FROM customer WHERE id = '00000000-0000-0000-0000-000000000001'$$);
COMMIT;
RESET SESSION AUTHORIZATION;
-- and back
RESET multitenant.index_exposure;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
SELECT plan($$EXECUTE by_id('00000000-0000-0000-0000-000000000001')$$);
COMMIT;

-- statistics: values of another tenant's change the estimate
RESET enable_seqscan;
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
SELECT plan($$SELECT FROM customer WHERE city = 'paris'$$, true) = plan($$SELECT FROM customer WHERE city = 'nowhere'$$, true);
SELECT plan($$SELECT FROM customer WHERE lower(city) = 'paris'$$, true) = plan($$SELECT FROM customer WHERE lower(city) = 'nowhere'$$, true);
SELECT plan($$SELECT FROM ledger WHERE day > 5000$$, true) = plan($$SELECT FROM ledger WHERE day > 9000$$, true);
COMMIT;
RESET SESSION AUTHORIZATION;
SET multitenant.statistics_exposure = 'hide';
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
SELECT plan($$SELECT FROM customer WHERE city = 'paris'$$, true) = plan($$SELECT FROM customer WHERE city = 'nowhere'$$, true);
SELECT plan($$SELECT FROM customer WHERE lower(city) = 'paris'$$, true) = plan($$SELECT FROM customer WHERE lower(city) = 'nowhere'$$, true);
SELECT plan($$SELECT FROM ledger WHERE day > 5000$$, true) = plan($$SELECT FROM ledger WHERE day > 9000$$, true);
-- BRIN asks for them in its own way
SELECT plan($$SELECT FROM reading WHERE day > 5000$$, true) = plan($$SELECT FROM reading WHERE day > 5900$$, true);
-- other tables keep theirs
SELECT plan('SELECT FROM plain WHERE id < 10', true) = plan('SELECT FROM plain WHERE id < 1000', true);
SELECT plan($$SELECT FROM plain WHERE lower(city) = 'public'$$, true) = plan($$SELECT FROM plain WHERE lower(city) = 'nowhere'$$, true);
SELECT plan('SELECT FROM own_rules WHERE id < 10', true) = plan('SELECT FROM own_rules WHERE id < 1000', true);
-- also beside one whose statistics are hidden
SELECT plan($$SELECT FROM customer c, plain p WHERE lower(p.city) = 'public'$$, true) = plan($$SELECT FROM customer c, plain p WHERE lower(p.city) = 'nowhere'$$, true);
COMMIT;
RESET SESSION AUTHORIZATION;
RESET multitenant.statistics_exposure;
SELECT plan($$SELECT FROM customer WHERE city = 'paris'$$, true) = plan($$SELECT FROM customer WHERE city = 'nowhere'$$, true);

-- what the server closes by itself: the planner calls nobody's operator with values of filtered tables
GRANT CREATE ON SCHEMA mt_exposure TO regress_mt_app;
CREATE VIEW invoker WITH (security_invoker = true) AS SELECT * FROM customer;
GRANT SELECT ON invoker TO regress_mt_app;
SET SESSION AUTHORIZATION regress_mt_app;
CREATE FUNCTION spy(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN false; END $$;
CREATE OPERATOR === (leftarg = text, rightarg = text, procedure = spy, restrict = eqsel, join = eqjoinsel);
CREATE OPERATOR <<< (leftarg = text, rightarg = text, procedure = spy, restrict = scalarltsel, join = scalarltjoinsel);
CREATE OPERATOR ~~~ (leftarg = text, rightarg = text, procedure = spy, restrict = matchingsel, join = matchingjoinsel);
BEGIN;
SELECT multitenant.use_tenant('exposure-a') IS NOT NULL;
DO $$
DECLARE op text; source text; shown json;
BEGIN
	FOREACH op IN ARRAY '{===,<<<,~~~}'::text[] LOOP
		FOREACH source IN ARRAY '{customer WHERE city,customer WHERE lower(city),customer WHERE (city || email),invoker WHERE city,ledger WHERE city,ledger_1 WHERE city}'::text[] LOOP
			EXECUTE format('EXPLAIN (FORMAT json) SELECT FROM %s OPERATOR(mt_exposure.%s) ''x''', source, op) INTO shown;
		END LOOP;
	END LOOP;
	RAISE NOTICE 'nothing seen before';
END $$;
SELECT count(*) FROM pg_catalog.pg_stats WHERE schemaname = 'mt_exposure' AND tablename <> 'plain';
SELECT count(*) FROM pg_catalog.pg_stats_ext_exprs WHERE schemaname = 'mt_exposure';
COMMIT;
RESET SESSION AUTHORIZATION;
-- (the same operator sees values where rows are not filtered)
SET SESSION AUTHORIZATION regress_mt_app;
DO $$
DECLARE shown json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT FROM mt_exposure.plain WHERE city OPERATOR(mt_exposure.===) ''x''' INTO shown;
END $$;
RESET SESSION AUTHORIZATION;

SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
DROP SCHEMA mt_exposure CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_owner;
