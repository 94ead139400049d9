-- Bringing an existing schema in: the column through foreign keys, whole schemas, plan().
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
SELECT multitenant.create_tenant('adopt-a', number => 901) IS NOT NULL;
SELECT multitenant.create_tenant('adopt-b', number => 902) IS NOT NULL;
CREATE SCHEMA mt_adopt AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE TABLE mt_adopt.account (id int PRIMARY KEY, tenant_id int8 NOT NULL, email text UNIQUE);
CREATE TABLE mt_adopt.orders (id serial PRIMARY KEY, account_id int NOT NULL REFERENCES mt_adopt.account,
	approved_by int REFERENCES mt_adopt.account);
CREATE TABLE mt_adopt.line (id serial PRIMARY KEY, order_id int REFERENCES mt_adopt.orders, note text)
	PARTITION BY RANGE (id);
CREATE TABLE mt_adopt.line_1 PARTITION OF mt_adopt.line FOR VALUES FROM (0) TO (500);
CREATE TABLE mt_adopt.line_2 PARTITION OF mt_adopt.line DEFAULT;
-- progress is told from the size alone
ALTER TABLE mt_adopt.orders SET (autovacuum_enabled = off);
ALTER TABLE mt_adopt.line_1 SET (autovacuum_enabled = off);
ALTER TABLE mt_adopt.line_2 SET (autovacuum_enabled = off);
CREATE TABLE mt_adopt.country (code text PRIMARY KEY);
INSERT INTO mt_adopt.account VALUES (1, 901, 'a'), (2, 902, 'b');
INSERT INTO mt_adopt.orders (account_id, approved_by) SELECT i % 2 + 1, i % 2 + 1 FROM generate_series(1, 300) i;
INSERT INTO mt_adopt.line (order_id, note) SELECT (i - 1) % 300 + 1, repeat('x', 60) FROM generate_series(1, 1000) i;
UPDATE mt_adopt.line SET order_id = NULL WHERE id IN (7, 900);

-- a table on the way must come first; two ways must be told apart, unless one is the only mandatory one
CALL multitenant.add_tenant_column('mt_adopt.line');
\echo :LAST_ERROR_SQLSTATE
CALL multitenant.add_tenant_column('mt_adopt.country');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_adopt.orders ALTER account_id DROP NOT NULL;
CALL multitenant.add_tenant_column('mt_adopt.orders');
\echo :LAST_ERROR_SQLSTATE
CALL multitenant.add_tenant_column('mt_adopt.orders', through => 'nonsense');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE mt_adopt.orders ALTER account_id SET NOT NULL;
BEGIN;
CALL multitenant.add_tenant_column('mt_adopt.orders');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
CALL multitenant.add_tenant_column('mt_adopt.orders', batch_size => 100000);
\d mt_adopt.orders
SELECT tenant_id, count(*) FROM mt_adopt.orders GROUP BY 1 ORDER BY 1;
-- batches; rows that lead nowhere are counted, the rest stays done; calling again goes on
CALL multitenant.add_tenant_column('mt_adopt.line', batch_size => 200);
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_id, count(*) FROM mt_adopt.line GROUP BY 1 ORDER BY 1;
UPDATE mt_adopt.line SET order_id = 1 WHERE id = 7;
UPDATE mt_adopt.line SET tenant_id = 902 WHERE id = 900;
CALL multitenant.add_tenant_column('mt_adopt.line', batch_size => 200);
SELECT tenant_id, count(*) FROM mt_adopt.line GROUP BY 1 ORDER BY 1;
\d mt_adopt.line
SHOW search_path;
-- again: nothing to do
CALL multitenant.add_tenant_column('mt_adopt.line');
CALL multitenant.add_tenant_column('mt_adopt.orders');

-- a whole schema: dry run, then for real, then nothing is left
SELECT table_name, step, coalesce(command, '- ' || note) FROM multitenant.protect_schema('mt_adopt')
	WHERE command !~ 'POLICY|ROW LEVEL' OR command IS NULL;
CREATE TEMP TABLE printed AS SELECT table_name, step, command FROM multitenant.protect_schema('mt_adopt');
CREATE TEMP TABLE done AS SELECT table_name, step, command FROM multitenant.protect_schema('mt_adopt', dry_run => false);
-- it did what it printed
(TABLE printed EXCEPT TABLE done) UNION ALL (TABLE done EXCEPT TABLE printed);
SELECT table_name, coalesce(command, '- ' || note) FROM multitenant.protect_schema('mt_adopt');
DROP TABLE printed, done;
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name ~ '^mt_adopt' ORDER BY 1;
RESET ROLE;
SELECT multitenant.unprotect_all();

-- the parent is protected already: its rows cannot all be read
SET ROLE regress_mt_owner;
CREATE TABLE mt_adopt.late (account_id int NOT NULL REFERENCES mt_adopt.account);
SELECT count(*) > 0 FROM multitenant.protect('mt_adopt.account');
CALL multitenant.add_tenant_column('mt_adopt.late');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
CALL multitenant.add_tenant_column('mt_adopt.late');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.pause_protection('mt_adopt.account', 'to fill a child', now() + interval '1 hour');
-- it runs as the owner; a trigger that is deferred fires with the batch
CREATE FUNCTION mt_adopt.who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% fired as %', TG_NAME, current_user; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON mt_adopt.late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mt_adopt.who();
INSERT INTO mt_adopt.late VALUES (1);
CALL multitenant.add_tenant_column('mt_adopt.late');
SELECT * FROM mt_adopt.late;
SELECT count(*) > 0 FROM multitenant.repair('mt_adopt.account');
SELECT multitenant.unprotect_all();

-- plan(): the same tables twice, once by the script, once by protect_schema(); both must be the same in the end
CREATE SCHEMA mt_plan_1 AUTHORIZATION regress_mt_owner;
CREATE SCHEMA mt_plan_2 AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
SET search_path = mt_plan_1;
\set ECHO none
SELECT $$
CREATE TABLE customer (id int PRIMARY KEY, tenant_id int, email text UNIQUE, code text, parent int REFERENCES customer ON DELETE SET NULL);
CREATE UNIQUE INDEX customer_code ON customer (lower(code)) WHERE code IS NOT NULL;
CREATE TABLE product (sku text PRIMARY KEY, tenant_id int);
CREATE TABLE orders (id uuid PRIMARY KEY, tenant_id int DEFAULT 901, customer_id int REFERENCES customer,
	sku text REFERENCES product ON UPDATE CASCADE DEFERRABLE, other int REFERENCES customer ON UPDATE SET NULL);
CREATE TABLE event (id int, tenant_id int, at date) PARTITION BY RANGE (at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY RANGE (at);
CREATE TABLE event_2a PARTITION OF event_2 DEFAULT;
CREATE TABLE note (body text);
INSERT INTO customer VALUES (1, 901, 'a'), (2, 902, 'b');
INSERT INTO product VALUES ('x', 901);
INSERT INTO orders VALUES (gen_random_uuid(), 901, 1, 'x');
INSERT INTO event VALUES (1, 901, '2020-02-02'), (2, 902, '2021-02-02');
$$ AS ddl \gset
\set ECHO all
:ddl
SET search_path = mt_plan_2;
:ddl
RESET search_path;
CREATE FUNCTION mt_adopt.fingerprint(schema_name regnamespace) RETURNS SETOF text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
	SELECT replace(x, schema_name::text, 'S') FROM (
		SELECT c.relname || ' ' || c.relkind::text || ' ' || c.relrowsecurity || ' ' || c.relforcerowsecurity FROM pg_class c WHERE c.relnamespace = schema_name
		UNION ALL SELECT c.conrelid::regclass || ' ' || c.conname || ' ' || c.convalidated || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c WHERE c.connamespace = schema_name
		UNION ALL SELECT pg_get_indexdef(i.indexrelid) || i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = schema_name
		UNION ALL SELECT p.polname || c.relname || pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = schema_name
		UNION ALL SELECT c.relname || a.attname || a.attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), '') FROM pg_attribute a
			JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE c.relnamespace = schema_name AND c.relkind IN ('r', 'p') AND a.attnum > 0
		UNION ALL SELECT s.objname || s.label FROM pg_seclabels s WHERE s.objnamespace = schema_name) AS s(x) $$;
SET multitenant.maximum_inline_rows = 0;
SELECT table_name, step, coalesce(command, '- ' || note), lock_level, in_transaction FROM multitenant.plan('mt_plan_1');
-- half of it, then the plan of what is left
SELECT command FROM multitenant.plan('mt_plan_1') WHERE step BETWEEN 1 AND 9 ORDER BY step \gexec
SELECT min(step), max(step) FROM multitenant.plan('mt_plan_1');
SELECT table_name, step, command FROM multitenant.plan('mt_plan_1') WHERE step BETWEEN 1 AND 4;
-- the rest, every command by itself
\t off
SELECT command FROM multitenant.plan('mt_plan_1') WHERE step IS NOT NULL ORDER BY step \gexec
\t on
SELECT table_name, coalesce(command, '- ' || note) FROM multitenant.plan('mt_plan_1');
RESET multitenant.maximum_inline_rows;
SELECT count(*) > 0 FROM multitenant.protect_schema('mt_plan_2', dry_run => false);
SELECT count(*) > 50 FROM mt_adopt.fingerprint('mt_plan_1');
SELECT '1 ' || f FROM (SELECT mt_adopt.fingerprint('mt_plan_1') EXCEPT SELECT mt_adopt.fingerprint('mt_plan_2')) AS x(f) ORDER BY f;
SELECT '2 ' || f FROM (SELECT mt_adopt.fingerprint('mt_plan_2') EXCEPT SELECT mt_adopt.fingerprint('mt_plan_1')) AS x(f) ORDER BY f;
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name ~ '^mt_plan' ORDER BY 1;

RESET ROLE;
SELECT multitenant.unprotect_all();
SELECT '1 ' || f FROM (SELECT mt_adopt.fingerprint('mt_plan_1') EXCEPT SELECT mt_adopt.fingerprint('mt_plan_2')) AS x(f) ORDER BY f;
SELECT '2 ' || f FROM (SELECT mt_adopt.fingerprint('mt_plan_2') EXCEPT SELECT mt_adopt.fingerprint('mt_plan_1')) AS x(f) ORDER BY f;
SET client_min_messages = warning;
DROP SCHEMA mt_adopt, mt_plan_1, mt_plan_2 CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner;
