-- observe(): nothing is refused, no plan changes, everything is counted; to enforcement and back; legacy roles.
-- requires: preload
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_old BYPASSRLS;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application');
SELECT multitenant.create_tenant('observe-a', number => 961, id => '00000000-0000-0000-0000-0000000000a6') IS NOT NULL;
SELECT multitenant.create_tenant('observe-b', number => 962, id => '00000000-0000-0000-0000-0000000000b6') IS NOT NULL;
CREATE SCHEMA mt_observe AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_observe TO regress_mt_app, regress_mt_old;
CREATE FUNCTION public.report(OUT finding text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' | ', replace(table_name, 'mt_observe.', ''), mode, statements, role_name,
		nullif(without_context, 0) || ' without context', nullif(bypassing, 0) || ' bypassing', nullif(legacy, 0) || ' legacy',
		nullif(foreign_rows_read, 0) || ' foreign read', nullif(foreign_rows_written, 0) || ' foreign written',
		nullif(rows_without_tenant, 0) || ' without tenant', nullif(unseen_scans, 0) || ' unseen', first_statement,
		left(hint, 24))
	FROM multitenant.adoption_report()
	ORDER BY table_name COLLATE "C", role_name, first_statement COLLATE "C"
$$;
SET ROLE regress_mt_owner;
SET search_path = mt_observe, public;
CREATE TABLE customer (id int PRIMARY KEY, tenant_id int, email text UNIQUE);
CREATE TABLE orders (id int PRIMARY KEY, tenant_id int, customer_id int REFERENCES customer, note text);
CREATE INDEX ON orders (tenant_id, id);
CREATE TABLE slugged (tenant_id varchar, id bigint PRIMARY KEY, n int) PARTITION BY RANGE (id);
CREATE TABLE slugged_1 PARTITION OF slugged FOR VALUES FROM (0) TO (100);
CREATE TABLE slugged_2 (n int, id bigint NOT NULL, tenant_id varchar);
ALTER TABLE slugged ATTACH PARTITION slugged_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE wide (id int PRIMARY KEY, tenant_id uuid, n bigint);
CREATE TABLE country (code text PRIMARY KEY);
INSERT INTO customer SELECT i, 961 + i % 2, 'c' || i FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, 961 + i % 2, 1 + i % 10, 'secret ' || i FROM generate_series(1, 100) i;
INSERT INTO slugged SELECT CASE i % 2 WHEN 0 THEN 'observe-a' ELSE 'observe-b' END, i, i FROM generate_series(1, 199) i;
INSERT INTO wide SELECT i, CASE i % 2 WHEN 0 THEN '00000000-0000-0000-0000-0000000000a6'
	ELSE '00000000-0000-0000-0000-0000000000b6' END::uuid, i FROM generate_series(1, 10) i;
ANALYZE customer, orders, slugged, wide;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mt_observe TO regress_mt_app, regress_mt_old;
REVOKE SELECT ON wide FROM regress_mt_app;
GRANT SELECT (id) ON wide TO regress_mt_app;

-- plans before
CREATE FUNCTION plans() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	query text;
BEGIN
	FOREACH query IN ARRAY '{SELECT * FROM orders,SELECT count(*) FROM orders,SELECT note FROM orders WHERE id = 7,
		SELECT id FROM orders WHERE tenant_id = 961 AND id < 50,SELECT o.note FROM orders o JOIN customer c ON c.id = o.customer_id WHERE c.email = $m$c1$m$,
		SELECT * FROM slugged WHERE n > 5,SELECT * FROM slugged WHERE id = 150,SELECT * FROM orders TABLESAMPLE SYSTEM (100),
		SELECT * FROM orders WHERE ctid = $m$(0\,1)$m$,UPDATE orders SET note = note WHERE id = 5,DELETE FROM slugged WHERE id > 3,
		INSERT INTO slugged VALUES ($m$observe-a$m$\, 1),WITH w AS (UPDATE orders SET note = 1 RETURNING id) SELECT * FROM customer WHERE id IN (SELECT id FROM w)}'::text[]
	LOOP
		RETURN QUERY EXECUTE 'EXPLAIN (VERBOSE) ' || query;
	END LOOP;
END $$;
CREATE TABLE plan_before (n bigint, line text);
CREATE TABLE plan_after (n bigint, line text);
GRANT ALL ON plan_before, plan_after TO regress_mt_app;
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('observe-a') IS NOT NULL;
INSERT INTO plan_before SELECT n, line FROM plans() WITH ORDINALITY AS p(line, n);
COMMIT;

-- what can be observed, and by whom
RESET ROLE;
SET ROLE regress_mt_owner;
SELECT multitenant.observe('orders', 'nothing'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.observe('slugged_1'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.observe_schema('mt_observe');
SELECT * FROM multitenant.observe_schema('mt_observe');
SELECT table_name, class, tenant_column, mode, is_intact FROM multitenant.tables WHERE table_name LIKE 'mt_observe.%' ORDER BY 1;
SELECT label FROM pg_seclabel WHERE objoid = 'orders'::regclass ORDER BY objsubid;
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'orders'::regclass;
SELECT * FROM multitenant.repair('orders');
SELECT multitenant.observe('orders', 'customer_id'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.adoption_report(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.forget_observations(); \echo :LAST_ERROR_SQLSTATE
-- the owner may not stop it, nor say something else
SECURITY LABEL FOR multitenant ON TABLE orders IS NULL; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE orders IS 'exempt: mine'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE orders IS 'tenant {"mode": "observe", "undo": []}'; \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT multitenant.share('mt_observe.orders'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.pause_protection('mt_observe.orders', 'why', now() + interval '1 hour'); \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_observe.country IS 'shared_rows {"mode": "observe"}'; \echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_observe.country IS 'tenant {"mode": "watch"}'; \echo :LAST_ERROR_SQLSTATE

-- plans afterwards: the same, costs included; nothing is refused in a database that is only observed
SELECT multitenant.forget_observations();
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('observe-a') IS NOT NULL;
INSERT INTO plan_after SELECT n, line FROM plans() WITH ORDINALITY AS p(line, n);
SELECT count(*) > 40 FROM plan_after;
(TABLE plan_before EXCEPT TABLE plan_after) UNION ALL (TABLE plan_after EXCEPT TABLE plan_before);
LOCK TABLE orders IN ROW SHARE MODE;
NOTIFY observe_test;
COMMIT;
RESET ROLE;
SELECT count(*) FROM report() WHERE finding ~ 'mt_observe.|foreign|context|unseen';
SELECT multitenant.forget_observations();

-- statements without a context
SET ROLE regress_mt_app;
SELECT count(*) FROM orders;
SELECT count(*) FROM orders WHERE note = 'secret 5';
SELECT count(*) FROM orders WHERE note = 'secret 6' -- and what it says
;
SELECT count(*) FROM customer WHERE id IN (1, 2, 3) AND email LIKE 'c%';
UPDATE orders SET note = note WHERE id = 1;
COPY (SELECT id FROM orders WHERE id < 3) TO STDOUT;
COPY customer FROM STDIN;
11	961	c11
\.
-- once for a table, however often the statement names it
SELECT count(*) FROM orders a JOIN orders b USING (id) JOIN customer c ON c.id = a.id;
INSERT INTO orders VALUES (2, 961, 1, 'x') ON CONFLICT (id) DO UPDATE SET note = excluded.note WHERE orders.id < 0;
-- what a function does, too
DO $$ BEGIN PERFORM 1 FROM slugged; END $$;
RESET ROLE;
SELECT * FROM report();
SELECT multitenant.forget_observations();

-- rows read, in every kind of scan; only what a scan returns counts
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('observe-a') IS NOT NULL;
SELECT count(note) FROM orders AS seq;
SELECT count(*) FROM orders AS filtered WHERE tenant_id = 961;
SELECT note FROM orders AS index_scan WHERE id = 7;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT count(*) FROM orders AS index_only WHERE tenant_id IN (961, 962);
SELECT count(*) FROM orders AS index_only_own WHERE tenant_id = 961 AND id < 5;
SELECT count(id) FROM orders AS index_only_unseen WHERE id < 5;
SET LOCAL enable_bitmapscan = on;
SET LOCAL enable_indexscan = off;
SELECT count(note) FROM orders AS bitmap WHERE id < 5 OR id = 7;
RESET enable_seqscan;
SELECT count(note) FROM orders AS tid WHERE ctid = '(0,3)';
SELECT count(note) FROM orders AS tid_range WHERE ctid < '(0,4)';
SELECT count(note) FROM orders AS sample TABLESAMPLE SYSTEM (100);
SELECT count(*) FROM slugged AS partitions;
SELECT count(id) FROM wide AS without_right;
SELECT count(*) FROM customer c, LATERAL (SELECT o.note FROM orders o WHERE o.customer_id = c.id AND o.tenant_id = 961 OFFSET 0) o
	WHERE c.tenant_id = 961;
WITH w AS MATERIALIZED (SELECT * FROM orders WHERE id = 2) SELECT count(*), (SELECT count(*) FROM orders sub WHERE id = 3) FROM w cte;
PREPARE p AS SELECT count(*) FROM customer AS prepared WHERE id < $1;
SET LOCAL plan_cache_mode = force_generic_plan;
EXECUTE p(3);
EXECUTE p(3);
DECLARE c CURSOR FOR SELECT id FROM orders AS fetched WHERE note LIKE 'secret%' ORDER BY id;
FETCH 1 FROM c;
CLOSE c;
-- a statement that fails has been counted, too
SAVEPOINT s;
SELECT 1 / (id - 50) FROM orders AS failing WHERE id IN (49, 50) ORDER BY id; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
DELETE FROM wide;
COPY wide (id) TO STDOUT;
COMMIT;
RESET ROLE;
SELECT * FROM report();
SELECT multitenant.forget_observations();

-- rows written: inserts, updates, upserts, MERGE, partitions, COPY; after triggers BEFORE the row
SET ROLE regress_mt_owner;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.tenant_id := coalesce(NEW.tenant_id, 961); RETURN NEW; END $$;
CREATE TRIGGER fill BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION fill();
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('observe-a') IS NOT NULL;
INSERT INTO customer VALUES (20, NULL, 'filled'), (21, 961, 'own');
INSERT INTO customer VALUES (22, 962, 'foreign');
INSERT INTO orders VALUES (201, NULL, 1, 'nobody''s');
UPDATE orders SET tenant_id = 962 WHERE id = 2;
INSERT INTO orders VALUES (2, 961, 1, 'x') ON CONFLICT (id) DO UPDATE SET tenant_id = 962;
MERGE INTO orders o USING (VALUES (202), (4)) v(id) ON o.id = v.id
	WHEN MATCHED THEN UPDATE SET tenant_id = 962 WHEN NOT MATCHED THEN INSERT VALUES (v.id, 962, 1, 'merged');
INSERT INTO slugged VALUES ('observe-b', 0, 1), ('observe-a', 200 - 1, 1) ON CONFLICT DO NOTHING;
INSERT INTO slugged_2 VALUES (1, 102, 'observe-b') ON CONFLICT DO NOTHING;
UPDATE slugged SET n = 5, tenant_id = 'observe-b' WHERE id = 150;
WITH w AS (INSERT INTO wide VALUES (30, '00000000-0000-0000-0000-0000000000b6', 1) RETURNING id) SELECT count(*) FROM w;
INSERT INTO wide SELECT i, '00000000-0000-0000-0000-0000000000a6', i FROM generate_series(31, 33) i;
COPY wide FROM STDIN;
40	00000000-0000-0000-0000-0000000000a6	1
41	00000000-0000-0000-0000-0000000000b6	1
42	\N	1
\.
-- a COPY that fails has been counted, too
COPY slugged (id, tenant_id) FROM STDIN;
0	observe-b
\.
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('observe-a') IS NOT NULL;
COPY orders FROM STDIN WHERE id > 300;
301	962	1	of b
12	962	1	not written
\.
ROLLBACK;
RESET ROLE;
SELECT * FROM report();
SELECT multitenant.forget_observations();

-- rights past row security: a superuser's view, a role with BYPASSRLS; superusers and recorded bypasses as such do not count
CREATE VIEW mt_observe.all_orders AS SELECT * FROM mt_observe.orders;
GRANT SELECT ON mt_observe.all_orders TO regress_mt_app;
SELECT count(*) FROM orders;
SET ROLE regress_mt_app;
SELECT count(*) FROM all_orders;
SELECT count(*) FROM all_orders a, all_orders b, orders c WHERE a.id = b.id AND b.id = c.id;
RESET ROLE;
SET ROLE regress_mt_old;
SELECT count(*) FROM orders AS without_record;
RESET ROLE;
SELECT multitenant.grant_access('regress_mt_old', 'bypass_read', reason => 'reports');
SET ROLE regress_mt_old;
SELECT count(*) FROM orders AS with_record;
RESET ROLE;
SELECT * FROM report();
DROP VIEW mt_observe.all_orders;
SELECT multitenant.forget_observations();

-- on to enforcement: cached plans notice
SELECT multitenant.grant_access('regress_mt_owner', 'migrator');
PREPARE q AS SELECT count(*) FROM orders WHERE note LIKE 'secret%';
SET plan_cache_mode = force_generic_plan;
SET ROLE regress_mt_app;
EXECUTE q;
SET ROLE regress_mt_owner;
SELECT count(*) > 5 FROM multitenant.protect('orders');
SELECT label FROM pg_seclabel WHERE objoid = 'orders'::regclass AND objsubid = 0;
SET ROLE regress_mt_app;
EXECUTE q; \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('observe-a') IS NOT NULL;
EXECUTE q;
COMMIT;
SELECT count(*) FROM customer;
-- a parent that is observed does not open what is protected
SET ROLE regress_mt_owner;
SELECT table_name, mode FROM multitenant.tables WHERE table_name LIKE 'mt_observe.%' ORDER BY 1;

-- and back
SELECT multitenant.observe('orders');
SELECT mode, is_intact FROM multitenant.tables WHERE table_name = 'mt_observe.orders';
SELECT count(*) FROM pg_policy WHERE polrelid = 'orders'::regclass;
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'orders'::regclass;
SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'orders'::regclass;
SET ROLE regress_mt_app;
EXECUTE q;
INSERT INTO orders VALUES (400, 962, 2, 'x');
SET ROLE regress_mt_owner;
-- forth again, then all as it was
SELECT count(*) > 3 FROM multitenant.protect('orders');
SELECT * FROM multitenant.protect('orders');
SELECT multitenant.unprotect('orders');
SELECT count(*) FROM pg_seclabel WHERE objoid = 'orders'::regclass;
\d orders
-- an observe label protects nothing less than policies do
SELECT count(*) > 3 FROM multitenant.protect('orders');
SECURITY LABEL FOR multitenant ON TABLE orders IS 'tenant {"mode": "observe"}';
SET ROLE regress_mt_app;
SELECT count(*) FROM orders; \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_owner;
SELECT * FROM multitenant.repair('orders');
SELECT mode, is_intact FROM multitenant.tables WHERE table_name = 'mt_observe.orders';
-- an observed partition of a protected table is protected, a protected one below an observed parent closes that
RESET ROLE;
SELECT count(*) > 3 FROM multitenant.protect('mt_observe.slugged');
SET ROLE regress_mt_owner;
CREATE TABLE slugged_3 PARTITION OF slugged FOR VALUES FROM (200) TO (300);
SECURITY LABEL FOR multitenant ON TABLE slugged_3 IS 'tenant {"mode": "observe"}';
SELECT class, mode, is_intact, finding FROM multitenant.tables WHERE table_name = 'mt_observe.slugged_3';
SELECT count(*) FROM slugged_3; \echo :LAST_ERROR_SQLSTATE
CREATE TABLE parent (id int, tenant_id int);
CREATE TABLE child (CHECK (id > 0)) INHERITS (parent);
SELECT multitenant.observe('parent');
SELECT count(*) > 3 FROM multitenant.protect('child');
SELECT count(*) FROM parent; \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.observe('child');
SELECT count(*) FROM parent;
RESET ROLE;

-- legacy roles: until a date, on protected tables, counted
SELECT multitenant.grant_access('regress_mt_old', 'legacy', reason => 'old reports'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_old', 'legacy', expires_at => now() + interval '1 day'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_old', 'legacy', reason => 'x', expires_at => now() + interval '400 days'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_app', 'legacy', reason => 'x', expires_at => now() + interval '1 day');
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_old', 'legacy', reason => 'old reports', expires_at => now() + interval '1 day');
SET ROLE regress_mt_old;
SELECT count(*) FROM orders AS old_report;
UPDATE orders SET note = note WHERE id = 1;
SELECT count(*) FROM orders a JOIN orders b USING (id);
SELECT multitenant.use_tenant('observe-a'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.adoption_report(); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT finding FROM report() WHERE finding LIKE '%legacy%';
UPDATE multitenant.access SET expires_at = now() - interval '1 second' WHERE role_name = 'regress_mt_old';
SET ROLE regress_mt_old;
SELECT count(*) FROM orders AS old_report; \echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- what is observed is not protected, whoever asks; but somebody has decided about it
SET ROLE regress_mt_owner;
CREATE TABLE fresh (id int PRIMARY KEY, tenant_id int NOT NULL);
GRANT SELECT ON fresh TO regress_mt_app;
SELECT multitenant.observe('fresh');
RESET ROLE;
SELECT class, mode FROM multitenant.tables WHERE table_name = 'mt_observe.fresh';
SELECT class, mode FROM multitenant._protection('fresh');
SELECT level, remediation FROM multitenant.lint() WHERE cache_key = 'table_observed:mt_observe.fresh';
SELECT layer, verdict, detail FROM multitenant.explain_access('fresh', 1, 'select', role => 'regress_mt_app', tenant => 'observe-a') WHERE step BETWEEN 2 AND 3;
SELECT line FROM multitenant.test_isolation('fresh', '{observe-a,observe-b}', 'regress_mt_app', confirm => current_database()) AS line LIMIT 4;
SELECT count(*) FROM multitenant._undecided_tables() WHERE table_name = 'mt_observe.fresh';
SELECT multitenant.set_new_tables('error', '{mt_observe}');
SET ROLE regress_mt_owner;
BEGIN;
CREATE TABLE fresher (id int PRIMARY KEY, tenant_id int NOT NULL);
SELECT multitenant.observe('fresher');
COMMIT;
CREATE TABLE freshest (id int PRIMARY KEY, tenant_id int NOT NULL); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT multitenant.set_new_tables('off');

SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
SELECT multitenant.forget_observations();
SELECT count(*) FROM multitenant.adoption_report() WHERE table_name LIKE 'mt_observe.%';
RESET search_path;
DROP SCHEMA mt_observe CASCADE;
DROP FUNCTION public.report();
SELECT multitenant.revoke_access(role_name) FROM multitenant.access WHERE role_name LIKE 'regress_mt_%';
DROP ROLE regress_mt_app, regress_mt_old, regress_mt_owner;
