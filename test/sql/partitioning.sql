-- Partitioning by tenant: what survives, what is refused, and tenants that get partitions of their own.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_reader;
CREATE ROLE regress_mt_migrator;
GRANT regress_mt_owner TO regress_mt_migrator;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_migrator', 'migrator');
SELECT multitenant.create_tenant('part-a', number => 951, id => '00000000-0000-0000-0000-000000000951');
SELECT multitenant.create_tenant('part-b', number => 952, id => '00000000-0000-0000-0000-000000000952');
SELECT multitenant.create_tenant('part-c', number => 953, id => '00000000-0000-0000-0000-000000000953');
SELECT multitenant.create_tenant('part-d', number => 954, id => '00000000-0000-0000-0000-000000000954');
SELECT multitenant.suspend_tenant('part-d', 'unpaid');
CREATE SCHEMA mt_part AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_part TO regress_mt_app, regress_mt_reader;

-- everything that a table can have
SET ROLE regress_mt_owner;
CREATE TABLE mt_part.customer (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL);
CREATE TABLE mt_part.orders (
	gone int, id uuid PRIMARY KEY, tenant_id uuid NOT NULL,
	n int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5 MAXVALUE 90000), m serial,
	customer uuid REFERENCES mt_part.customer ON DELETE SET NULL, parent uuid REFERENCES mt_part.orders,
	code text CONSTRAINT orders_code UNIQUE DEFERRABLE INITIALLY DEFERRED, price numeric DEFAULT 3 NOT NULL,
	twice numeric GENERATED ALWAYS AS (price * 2) STORED, "odd name" text COLLATE "C" DEFAULT 'it''s',
	CONSTRAINT orders_price CHECK (price > 0)) WITH (fillfactor = 80, toast.autovacuum_enabled = false);
ALTER TABLE mt_part.orders DROP COLUMN gone, ALTER code SET STATISTICS 33, ALTER code SET (n_distinct = -0.5),
	ALTER "odd name" SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
CREATE INDEX orders_price_idx ON mt_part.orders (price DESC) INCLUDE (code) WHERE price > 5;
CREATE INDEX "Odd index" ON mt_part.orders (lower("odd name"));
CREATE UNIQUE INDEX orders_name ON mt_part.orders (lower("odd name")) WHERE price > 100000;
CREATE STATISTICS mt_part.orders_stat ON code, price FROM mt_part.orders;
CREATE TABLE mt_part.line (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL,
	orders uuid CONSTRAINT line_orders REFERENCES mt_part.orders ON DELETE CASCADE);
COMMENT ON CONSTRAINT line_orders ON mt_part.line IS 'on the key of another';
INSERT INTO mt_part.customer (tenant_id) SELECT t FROM unnest('{00000000-0000-0000-0000-000000000951,00000000-0000-0000-0000-000000000952}'::uuid[]) t;
INSERT INTO mt_part.orders (id, tenant_id, customer, code, price)
	SELECT gen_random_uuid(), c.tenant_id, c.id, c.tenant_id::text || g, g FROM mt_part.customer c, generate_series(1, 100) g;
INSERT INTO mt_part.line (tenant_id, orders) SELECT tenant_id, id FROM mt_part.orders;
CREATE VIEW mt_part.dear WITH (security_barrier) AS SELECT o.*, c.id AS c FROM mt_part.orders o JOIN mt_part.customer c ON o.customer = c.id WHERE price > 50;
CREATE VIEW mt_part.dearest AS SELECT * FROM mt_part.dear WHERE price > 90;
CREATE FUNCTION mt_part.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.price := NEW.price + 1; RETURN NEW; END $$;
CREATE FUNCTION mt_part.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
RESET ROLE;
CREATE TRIGGER before_insert BEFORE INSERT ON mt_part.orders FOR EACH ROW WHEN (NEW.price < 4) EXECUTE FUNCTION mt_part.fired();
CREATE TRIGGER after_all AFTER INSERT OR UPDATE OR DELETE ON mt_part.orders FOR EACH STATEMENT EXECUTE FUNCTION mt_part.nothing('an argument');
CREATE TRIGGER after_off AFTER DELETE ON mt_part.orders FOR EACH ROW EXECUTE FUNCTION mt_part.nothing();
ALTER TABLE mt_part.orders ENABLE ALWAYS TRIGGER after_all, DISABLE TRIGGER after_off;

-- not before it is protected
SELECT multitenant.partition_by_tenant('mt_part.orders');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) > 0 FROM multitenant.protect_schema('mt_part', dry_run => false);
SET ROLE regress_mt_owner;
CREATE POLICY only_cheap ON mt_part.orders AS RESTRICTIVE FOR SELECT TO regress_mt_app, regress_mt_reader USING (price < 1000);
GRANT SELECT, INSERT, UPDATE, DELETE ON mt_part.orders TO regress_mt_app WITH GRANT OPTION;
GRANT SELECT (code, price) ON mt_part.orders TO regress_mt_reader;
GRANT SELECT, INSERT, DELETE ON mt_part.line, mt_part.customer TO regress_mt_app;
GRANT SELECT ON mt_part.dear, mt_part.dearest TO regress_mt_app;
GRANT USAGE ON SEQUENCE mt_part.orders_m_seq TO regress_mt_app;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_mt_owner IN SCHEMA mt_part GRANT SELECT ON TABLES TO regress_mt_reader;
COMMENT ON TABLE mt_part.orders IS 'the orders';
COMMENT ON COLUMN mt_part.orders.code IS 'of the order';
COMMENT ON CONSTRAINT orders_price ON mt_part.orders IS 'not for nothing';
COMMENT ON CONSTRAINT orders_code ON mt_part.orders IS 'a key';
COMMENT ON INDEX mt_part."Odd index" IS 'odd';
COMMENT ON TRIGGER after_all ON mt_part.orders IS 'fires always';
COMMENT ON POLICY only_cheap ON mt_part.orders IS 'no luxury';
RESET ROLE;

-- what one can tell of a table, by names
CREATE FUNCTION mt_part.traits(rel regclass) RETURNS TABLE(trait text) LANGUAGE sql STABLE AS $$
	SELECT concat_ws(' ', 'column', a.attnum - (SELECT count(*) FROM pg_attribute d WHERE d.attrelid = rel AND d.attisdropped AND d.attnum < a.attnum AND d.attnum > 0),
		a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation, a.attstorage,
		CASE WHEN a.attstattarget > 0 THEN a.attstattarget END, (SELECT string_agg(o, ',') FROM unnest(a.attoptions) o WHERE o !~ '^pg_'),
		pg_get_expr(d.adbin, d.adrelid), a.attacl::text, col_description(rel, a.attnum))
	FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL SELECT concat_ws(' ', 'constraint', k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated, obj_description(k.oid, 'pg_constraint'))
	FROM pg_constraint k WHERE k.conrelid = rel AND k.conparentid = 0 AND k.contype <> 'n'
	UNION ALL SELECT concat_ws(' ', 'referred to by', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid), k.convalidated, obj_description(k.oid, 'pg_constraint'))
	FROM pg_constraint k WHERE k.confrelid = rel AND k.conparentid = 0
	UNION ALL SELECT concat_ws(' ', 'index', replace(pg_get_indexdef(i.indexrelid), ' ONLY ', ' '), i.indisvalid, obj_description(i.indexrelid, 'pg_class')) FROM pg_index i WHERE i.indrelid = rel
	UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(g.oid), g.tgenabled, obj_description(g.oid, 'pg_trigger')) FROM pg_trigger g WHERE g.tgrelid = rel AND NOT g.tgisinternal
	UNION ALL SELECT concat_ws(' ', 'policy', p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, rel), pg_get_expr(p.polwithcheck, rel), obj_description(p.oid, 'pg_policy'))
	FROM pg_policy p WHERE p.polrelid = rel
	UNION ALL SELECT concat_ws(' ', 'table', c.relowner::regrole, replace(c.relacl::text, 'Dxtm', 'Dxt'), c.relrowsecurity, c.relforcerowsecurity, c.relreplident, obj_description(rel, 'pg_class')) FROM pg_class c WHERE c.oid = rel
	UNION ALL SELECT concat_ws(' ', 'view', v.viewname, v.viewowner, replace(v.definition, E'\n', ''), c.reloptions, replace(c.relacl::text, 'Dxtm', 'Dxt'))
	FROM pg_views v JOIN pg_class c ON c.oid = format('%I.%I', v.schemaname, v.viewname)::regclass WHERE v.schemaname = 'mt_part'
	UNION ALL SELECT concat_ws(' ', 'sequence of', a.attname, s.seqstart, s.seqincrement, s.seqmax, c.relacl) FROM pg_attribute a
	JOIN pg_sequence s ON s.seqrelid = pg_get_serial_sequence(rel::text, a.attname)::regclass JOIN pg_class c ON c.oid = s.seqrelid WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL SELECT concat_ws(' ', 'statistics on', pg_get_statisticsobjdef_columns(x.oid)) FROM pg_statistic_ext x WHERE x.stxrelid = rel
$$;
CREATE TABLE mt_part.before AS SELECT * FROM mt_part.traits('mt_part.orders');
SELECT multitenant.exempt('mt_part.before', 'of this test');

-- by whom, how, and in which state
\set dry 'SELECT count(*) FROM multitenant.partition_by_tenant(''mt_part.orders'', dry_run => true);'
SET ROLE regress_mt_owner;
:dry
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_app;
:dry
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT multitenant.partition_by_tenant('mt_part.orders', 'hash');
SELECT multitenant.partition_by_tenant(NULL);
SELECT multitenant.partition_by_tenant('mt_part.dear');
BEGIN;
SELECT multitenant.use_tenant('part-a') IS NOT NULL;
:dry
ROLLBACK;
CALL multitenant.isolate_tenant('part-a', 'mt_part.orders');
SELECT multitenant.set_partition_strategy('mt_part.orders', 'shared');

-- what cannot be carried over is named, all of it
BEGIN;
ALTER TABLE mt_part.orders ADD CONSTRAINT one CHECK (price < 10000) NOT VALID, ADD CONSTRAINT two CHECK (price < 20000) NO INHERIT,
	ADD CONSTRAINT three EXCLUDE USING btree (m WITH =);
CREATE TABLE mt_part.child () INHERITS (mt_part.orders);
CREATE RULE four AS ON DELETE TO mt_part.orders DO NOTHING;
CREATE TRIGGER five AFTER UPDATE ON mt_part.orders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION mt_part.nothing();
CREATE MATERIALIZED VIEW mt_part.six AS SELECT code FROM mt_part.orders WITH NO DATA;
CREATE FUNCTION mt_part.seven() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM mt_part.orders; END;
CREATE FUNCTION mt_part.eight(mt_part.orders) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW mt_part.nine AS SELECT o FROM mt_part.orders o;
CREATE TABLE mt_part.ten (a int, o uuid REFERENCES mt_part.orders);
SELECT multitenant.exempt('mt_part.ten', 'no tenant');
CREATE POLICY ten ON mt_part.customer AS RESTRICTIVE USING (id IN (SELECT customer FROM mt_part.orders));
SET LOCAL client_min_messages = error;
CREATE PUBLICATION eleven FOR TABLE mt_part.orders;
CREATE RULE twelve AS ON INSERT TO mt_part.before DO ALSO SELECT 1 FROM mt_part.orders;
:dry
ROLLBACK;
BEGIN;
ALTER TABLE mt_part.orders REPLICA IDENTITY USING INDEX orders_pkey;
:dry
ROLLBACK;
BEGIN;
CREATE UNLOGGED TABLE mt_part.u (tenant_id uuid NOT NULL);
SELECT count(*) > 0 FROM multitenant.protect('mt_part.u');
SELECT count(*) FROM multitenant.partition_by_tenant('mt_part.u');
ROLLBACK;
BEGIN;
ALTER TABLE mt_part.customer OWNER TO regress_mt_app;
ALTER TABLE mt_part.dear OWNER TO regress_mt_reader;
SET ROLE regress_mt_migrator;
:dry
ROLLBACK;
-- large tables are not read under the lock: the key that has to be made anew is prepared before
BEGIN;
SET LOCAL multitenant.maximum_inline_rows = 10;
SELECT count(*) FROM multitenant.partition_by_tenant('mt_part.orders');
ROLLBACK;

-- the steps, and that a dry run takes none
SELECT coalesce(command, '') || coalesce(' -- ' || note, '') FROM multitenant.partition_by_tenant('mt_part.orders', dry_run => true);
SELECT * FROM mt_part.before EXCEPT SELECT * FROM mt_part.traits('mt_part.orders');

-- done, by a migrator who has the rights of the owner; what is different from before
SET ROLE regress_mt_migrator;
SELECT count(*) > 50 FROM multitenant.partition_by_tenant('mt_part.orders');
RESET ROLE;
SELECT '- ' || trait FROM (SELECT * FROM mt_part.before EXCEPT SELECT * FROM mt_part.traits('mt_part.orders')) AS x ORDER BY trait COLLATE "C";
SELECT '+ ' || trait FROM (SELECT * FROM mt_part.traits('mt_part.orders') EXCEPT SELECT * FROM mt_part.before) AS x ORDER BY trait COLLATE "C";
SELECT trait FROM mt_part.traits('mt_part.orders_shared_tenants') WHERE trait ~ '^(table|policy)' ORDER BY trait COLLATE "C";
SELECT reloptions FROM pg_class WHERE relname = 'orders_shared_tenants';
SELECT table_name, class, mode, is_intact FROM multitenant.tables WHERE table_name ~ 'orders' ORDER BY 1;
SELECT objname, label FROM pg_seclabels WHERE provider = 'multitenant' AND objname ~ 'mt_part.orders' ORDER BY objname;
SELECT count(*) FROM multitenant.partition_by_tenant('mt_part.orders');
SELECT * FROM multitenant.repair('mt_part.orders');

-- it works as before
SET ROLE regress_mt_app;
SELECT count(*) FROM mt_part.orders;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('part-a');
SAVEPOINT s;
SELECT count(*) FROM mt_part.orders_shared_tenants;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT count(*), count(DISTINCT tenant_id) FROM mt_part.orders;
SELECT count(*) FROM mt_part.dear;
SELECT count(*) FROM mt_part.dearest;
INSERT INTO mt_part.orders (id, code) VALUES ('00000000-0000-0000-0000-000000000001', 'new') RETURNING tenant_id, n, m, price, twice, "odd name", tableoid::regclass;
INSERT INTO mt_part.line (orders) VALUES ('00000000-0000-0000-0000-000000000001') RETURNING tenant_id;
DELETE FROM mt_part.orders WHERE code = 'new';
SELECT count(*) FROM mt_part.line;
SAVEPOINT s;
INSERT INTO mt_part.line (orders) VALUES ('00000000-0000-0000-0000-000000000001');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO mt_part.orders (id, tenant_id, code) VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000952', 'x');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET ROLE;

-- tenants with partitions of their own: not in every state
CALL multitenant.isolate_tenant('nobody', 'mt_part.orders');
CALL multitenant.isolate_tenant('part-d', 'mt_part.orders');
CALL multitenant.isolate_tenant('part-a', 'mt_part.orders', 0);
CALL multitenant.isolate_tenant('part-a', 'mt_part.line');
SET ROLE regress_mt_owner;
CALL multitenant.isolate_tenant('part-a', 'mt_part.orders');
CALL multitenant.isolate_new_tenants();
SELECT multitenant.set_partition_strategy('mt_part.orders', 'dedicated');
CREATE POLICY zz_hidden ON mt_part.orders_shared_tenants AS RESTRICTIVE USING (price > 3);
RESET ROLE;
CALL multitenant.isolate_tenant('part-a', 'mt_part.orders');
DROP POLICY zz_hidden ON mt_part.orders_shared_tenants;
ALTER ROLE regress_mt_owner BYPASSRLS;
CALL multitenant.isolate_tenant('part-a', 'mt_part.orders');
ALTER ROLE regress_mt_owner NOBYPASSRLS;
CREATE TABLE mt_part.without_key (tenant_id uuid NOT NULL);
ALTER TABLE mt_part.without_key OWNER TO regress_mt_owner;
SELECT count(*) > 0 FROM multitenant.protect('mt_part.without_key');
SELECT count(*) > 0 FROM multitenant.partition_by_tenant('mt_part.without_key');
CALL multitenant.isolate_tenant('part-a', 'mt_part.without_key');
DROP TABLE mt_part.without_key;

-- and so
CREATE TABLE mt_part.whole AS SELECT * FROM mt_part.orders;
SELECT multitenant.exempt('mt_part.whole', 'of this test');
TRUNCATE mt_part.before;
INSERT INTO mt_part.before SELECT * FROM mt_part.traits('mt_part.orders');
SET client_min_messages = notice;
SET ROLE regress_mt_migrator;
CALL multitenant.isolate_tenant('part-a', 'mt_part.orders');
CALL multitenant.isolate_tenant('00000000-0000-0000-0000-000000000951', 'mt_part.orders');
RESET ROLE;
SELECT tableoid::regclass, count(*) FROM mt_part.orders GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM (SELECT * FROM mt_part.whole EXCEPT SELECT * FROM mt_part.orders) AS x;
(SELECT '- ' || trait FROM (SELECT * FROM mt_part.before EXCEPT SELECT * FROM mt_part.traits('mt_part.orders')) AS x)
UNION ALL (SELECT '+ ' || trait FROM (SELECT * FROM mt_part.traits('mt_part.orders') EXCEPT SELECT * FROM mt_part.before) AS x);
SELECT trait FROM mt_part.traits('mt_part.orders_tenant_951') WHERE trait !~ '^(view|constraint|sequence|column)' ORDER BY trait COLLATE "C";
SELECT reloptions FROM pg_class WHERE relname = 'orders_tenant_951';
SELECT count(*) FROM pg_constraint WHERE conname ~ '^multitenant_';
SELECT objname, regexp_replace(label, '"last_isolation": "[^"]*"', '"last_isolation": then') FROM pg_seclabels WHERE provider = 'multitenant' AND objname ~ 'mt_part.orders' AND objtype = 'table' ORDER BY objname;
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name ~ 'orders' ORDER BY 1;
SET ROLE regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('part-a');
SELECT tableoid::regclass, count(*) FROM mt_part.orders GROUP BY 1;
INSERT INTO mt_part.orders (id, code) VALUES ('00000000-0000-0000-0000-000000000001', 'new') RETURNING n, m, tableoid::regclass;
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('part-b');
SELECT count(*) FROM mt_part.orders WHERE tenant_id = '00000000-0000-0000-0000-000000000951';
SELECT count(*) FROM mt_part.orders_tenant_951;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- the owner is a tenant's role like any other, by whichever name he reads
SET ROLE regress_mt_owner;
SELECT count(*) FROM mt_part.orders_tenant_951;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- new tenants get what the strategy says, when it is called for
SELECT multitenant.set_partition_strategy('mt_part.orders', 'hash');
SELECT multitenant.set_partition_strategy('mt_part.orders', 'dedicated');
SELECT detail, remediation FROM multitenant.lint('mt_part') WHERE name = 'partition_missing';
CALL multitenant.isolate_new_tenants('mt_part.orders');
SELECT count(*) FROM multitenant.lint('mt_part') WHERE name IN ('partition_missing', 'isolation_unfinished');
SELECT part, value FROM multitenant._listed_tenants('mt_part.orders') ORDER BY 2;

-- tenant columns of every type; values that look like lists
SET client_min_messages = warning;
SELECT multitenant.create_tenant('it''s, ''odd''', number => -955) IS NOT NULL;
CREATE TABLE mt_part.by_number (id int, tenant_id bigint, PRIMARY KEY (tenant_id, id));
CREATE TABLE mt_part.by_int (id int, tenant_id int, PRIMARY KEY (tenant_id, id));
CREATE TABLE mt_part.by_slug (id int, tenant_id text COLLATE "C", PRIMARY KEY (tenant_id, id));
CREATE TABLE mt_part.by_varchar (id int, tenant_id varchar(40), PRIMARY KEY (tenant_id, id));
INSERT INTO mt_part.by_number VALUES (1, 951), (2, -955), (3, 953);
INSERT INTO mt_part.by_int SELECT * FROM mt_part.by_number;
INSERT INTO mt_part.by_slug SELECT n.id, t.slug FROM mt_part.by_number n JOIN multitenant.tenant t ON t.number = n.tenant_id;
INSERT INTO mt_part.by_varchar SELECT * FROM mt_part.by_slug;
DO $$ DECLARE t regclass; BEGIN
	FOREACH t IN ARRAY '{mt_part.by_number,mt_part.by_int,mt_part.by_slug,mt_part.by_varchar}'::regclass[] LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO regress_mt_owner', t);
		PERFORM multitenant.protect(t);
		PERFORM multitenant.partition_by_tenant(t, 'dedicated');
	END LOOP;
END $$;
CALL multitenant.isolate_new_tenants();
SELECT tableoid::regclass, * FROM mt_part.by_number ORDER BY 1, 2;
SELECT tableoid::regclass, * FROM mt_part.by_int ORDER BY 1, 2;
SELECT tableoid::regclass, * FROM mt_part.by_slug ORDER BY 1, 2;
SELECT tableoid::regclass, * FROM mt_part.by_varchar ORDER BY 1, 2;
SELECT count(*) FROM multitenant._missing_partitions();

-- a table that asks for permissions: its copy would ask for none, so it is not moved
SELECT count(multitenant.create_permission('part:' || action, 'Test.')) FROM unnest('{read,create,update,delete}'::text[]) action;
CREATE TABLE mt_part.asking (id int, tenant_id uuid, place text, PRIMARY KEY (tenant_id, id));
INSERT INTO mt_part.asking SELECT g, ('00000000-0000-0000-0000-00000000095' || 1 + g % 2)::uuid, 'x' FROM generate_series(1, 40) g;
ALTER TABLE mt_part.asking OWNER TO regress_mt_owner;
SELECT count(*) > 0 FROM multitenant.protect('mt_part.asking', permissions => 'part', scope_column => 'place');
SELECT count(*) > 0 FROM multitenant.partition_by_tenant('mt_part.asking');
SET ROLE regress_mt_migrator;
CALL multitenant.isolate_tenant('part-a', 'mt_part.asking');
RESET ROLE;
SELECT tableoid::regclass, count(*), count(DISTINCT tenant_id) FROM mt_part.asking GROUP BY 1 ORDER BY 1;

-- what cannot be proved by an index is not marked as proved
CREATE TABLE mt_part.proof (id int PRIMARY KEY, tenant_id int NOT NULL);
INSERT INTO mt_part.proof VALUES (1, 951);
SELECT count(*) > 0 FROM multitenant.protect('mt_part.proof');
ALTER TABLE mt_part.proof ADD CONSTRAINT absent CHECK (tenant_id <> 952) NOT VALID, ADD CONSTRAINT present CHECK (tenant_id <> 951) NOT VALID,
	ADD CONSTRAINT other CHECK (id <> 5) NOT VALID, ADD CONSTRAINT less CHECK (tenant_id < 0) NOT VALID, ADD CONSTRAINT two CHECK (tenant_id <> 952 AND id <> 1) NOT VALID,
	ADD CONSTRAINT same CHECK (tenant_id = 952) NOT VALID, ADD CONSTRAINT negation CHECK (NOT tenant_id = ANY ('{952}'::int[])) NOT VALID,
	ADD CONSTRAINT computed CHECK (tenant_id <> abs(id)) NOT VALID;
SELECT multitenant._confirm_absence('mt_part.proof', 'absent'), multitenant._confirm_absence('mt_part.proof', 'present');
SELECT multitenant._confirm_absence('mt_part.proof', 'other');
SELECT multitenant._confirm_absence('mt_part.proof', 'less');
SELECT multitenant._confirm_absence('mt_part.proof', 'two');
SELECT multitenant._confirm_absence('mt_part.proof', 'same');
SELECT multitenant._confirm_absence('mt_part.proof', 'negation');
SELECT multitenant._confirm_absence('mt_part.proof', 'computed');
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'mt_part.proof'::regclass AND contype = 'c' ORDER BY 1;
DROP INDEX mt_part.proof_tenant_id_idx;
ALTER TABLE mt_part.proof ADD CONSTRAINT absent_too CHECK (tenant_id <> 953) NOT VALID;
CREATE INDEX ON mt_part.proof (tenant_id) WHERE id > 0;
CREATE INDEX ON mt_part.proof USING hash (tenant_id);
SELECT multitenant._confirm_absence('mt_part.proof', 'absent_too');

-- given back: the partitions stay, and so do keys that they need
SELECT multitenant.unprotect('mt_part.line');
SELECT multitenant.unprotect('mt_part.orders');
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ('mt_part.line'::regclass, 'mt_part.orders'::regclass) AND conparentid = 0 AND contype IN ('p', 'u', 'f') ORDER BY 1;
SELECT count(*) FROM multitenant.tables WHERE table_name ~ 'orders|line';
SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid IN (SELECT member FROM multitenant._tree('mt_part.orders')) ORDER BY 1;

SET client_min_messages = warning;
DROP SCHEMA mt_part CASCADE;
DROP EXTENSION multitenant;
DROP OWNED BY regress_mt_owner, regress_mt_app, regress_mt_reader, regress_mt_migrator;
DROP ROLE regress_mt_owner, regress_mt_app, regress_mt_reader, regress_mt_migrator;
