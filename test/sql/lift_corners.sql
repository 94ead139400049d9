-- Indexes for conditions that are not leakproof, in places where few plans come along: what must be lifted, and what not.
-- requires: preload
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET multitenant.session_hygiene = off;
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_app', 'trusted_application', allow => '{explain}');
SELECT multitenant.create_tenant('corner-a', number => 941, id => '00000000-0000-0000-0000-00000000941a') IS NOT NULL;
SELECT multitenant.create_tenant('corner-b', number => 3000000942, id => '00000000-0000-0000-0000-00000000942b') IS NOT NULL;
CREATE SCHEMA mt_lift AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_lift TO regress_mt_app;
SET search_path = mt_lift, public;
SELECT set_config('mt_lift.a', '00000000-0000-0000-0000-00000000941a', false) <> '', set_config('mt_lift.b', '00000000-0000-0000-0000-00000000942b', false) <> '';

-- Nodes that read tables, with their index conditions.
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO j;
	RETURN QUERY SELECT CASE WHEN m[1] IS NULL THEN 'on ' || replace(m[2], '\"', '"') ELSE m[1] END
		FROM regexp_matches(j::text, '"Node Type": "(Merge Append|Subquery Scan|Seq Scan)"|"Index Cond": "((?:[^"\\]|\\.)*)"', 'g') WITH ORDINALITY AS r(m, n) ORDER BY n;
END $$;
-- An operator of somebody's own in a family of the server's: no index is lifted for it.
CREATE FUNCTION is_price(numeric, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2::numeric; END';
CREATE FUNCTION is_below(numeric, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 < $2::numeric; END';
CREATE FUNCTION compare_price(numeric, text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN numeric_cmp($1, $2::numeric); END';
CREATE OPERATOR === (FUNCTION = is_price, LEFTARG = numeric, RIGHTARG = text);
CREATE FUNCTION is_not_above(numeric, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 <= $2::numeric; END';
CREATE OPERATOR <<= (FUNCTION = is_not_above, LEFTARG = numeric, RIGHTARG = text);
CREATE OPERATOR <<< (FUNCTION = is_below, LEFTARG = numeric, RIGHTARG = text);
ALTER OPERATOR FAMILY numeric_ops USING btree ADD OPERATOR 3 === (numeric, text), OPERATOR 1 <<< (numeric, text), OPERATOR 2 <<= (numeric, text), FUNCTION 1 (numeric, text) compare_price(numeric, text);
CREATE ACCESS METHOD mt_hash TYPE INDEX HANDLER hashhandler;
CREATE OPERATOR CLASS mt_numeric_ops DEFAULT FOR TYPE numeric USING mt_hash AS OPERATOR 1 =, FUNCTION 1 hash_numeric(numeric);

SET ROLE regress_mt_owner;
CREATE FUNCTION fill(name regclass, kind text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %s (tenant_id, id, price, rebate, other) SELECT (CASE WHEN i %% 2 = 0 THEN %L ELSE %L END)::%s, i, i / 10.0, i / 20.0, %L FROM generate_series(1, 4000) i',
		name, CASE kind WHEN 'uuid' THEN current_setting('mt_lift.a') WHEN 'text' THEN 'corner-a' ELSE '941' END,
		CASE kind WHEN 'uuid' THEN current_setting('mt_lift.b') WHEN 'text' THEN 'corner-b' ELSE '942' END, kind, current_setting('mt_lift.a'));
	PERFORM multitenant.protect(name);
	EXECUTE format('GRANT ALL ON %s TO regress_mt_app', name);
	EXECUTE 'ANALYZE ' || name;
END $$;
CREATE TABLE item (tenant_id uuid NOT NULL, id int PRIMARY KEY, price numeric, rebate numeric, other uuid) WITH (autovacuum_enabled = off);
CREATE INDEX item_prices ON item (tenant_id, price, rebate);
CREATE TABLE wide (tenant_id bigint NOT NULL, id int, price numeric, rebate numeric, other uuid) PARTITION BY LIST (tenant_id);
CREATE TABLE wide_a PARTITION OF wide FOR VALUES IN (941) WITH (autovacuum_enabled = off);
CREATE TABLE wide_b PARTITION OF wide FOR VALUES IN (942) WITH (autovacuum_enabled = off);
CREATE INDEX wide_price ON wide (tenant_id, price);
CREATE TABLE small (tenant_id int NOT NULL, id int, price numeric, rebate numeric, other uuid) PARTITION BY LIST (tenant_id);
CREATE TABLE small_a PARTITION OF small FOR VALUES IN (941) WITH (autovacuum_enabled = off);
CREATE TABLE small_b PARTITION OF small FOR VALUES IN (942) WITH (autovacuum_enabled = off);
CREATE INDEX small_price ON small (tenant_id, price);
CREATE TABLE named (tenant_id text COLLATE "C" NOT NULL, id int PRIMARY KEY, price numeric, rebate numeric, other uuid) WITH (autovacuum_enabled = off);
CREATE INDEX named_price ON named (tenant_id, price);
CREATE TABLE parted (tenant_id uuid NOT NULL, id int, price numeric, rebate numeric, other uuid) PARTITION BY LIST (tenant_id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('00000000-0000-0000-0000-00000000941a') WITH (autovacuum_enabled = off);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('00000000-0000-0000-0000-00000000942b') WITH (autovacuum_enabled = off);
CREATE INDEX ON parted (tenant_id, id, price);
SELECT count(fill(t, k)) FROM (VALUES ('item'::regclass, 'uuid'), ('wide', 'bigint'), ('small', 'int'), ('named', 'text'), ('parted', 'uuid')) AS r(t, k);
-- what nobody protects
CREATE TABLE plain (tenant_id uuid, id int, price numeric) PARTITION BY RANGE (id);
CREATE TABLE plain_all PARTITION OF plain DEFAULT WITH (autovacuum_enabled = off);
INSERT INTO plain SELECT current_setting(CASE WHEN i % 2 = 0 THEN 'mt_lift.a' ELSE 'mt_lift.b' END)::uuid, i, i / 10.0 FROM generate_series(1, 4000) i;
CREATE INDEX plain_price ON plain (tenant_id, price);
ANALYZE plain;
GRANT ALL ON plain, wide_b, small_b TO regress_mt_app;
RESET ROLE;

SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
-- An unprotected table beside, also one that the tenant's condition reaches through a join.
SELECT plan('SELECT FROM item JOIN plain ON plain.id = item.id WHERE item.price = 1.2');
SELECT plan('SELECT FROM item JOIN plain USING (tenant_id) WHERE item.price = 1.2 AND plain.price = 1.4');
-- A protected one beside, whose index knows no tenant.
SELECT plan('SELECT FROM item JOIN named ON named.id = item.id WHERE item.price = 1.2');
-- The other types, also where the partition is somebody else's.
SELECT plan('SELECT FROM wide WHERE price = 1.2');
SELECT plan('SELECT FROM wide_b WHERE price = 1.2');
SELECT plan('SELECT FROM small WHERE price = 1.2');
SELECT plan('SELECT FROM small_b WHERE price = 1.2');
SELECT plan('SELECT FROM named WHERE price = 1.2');
-- Operators of somebody's own: not in a row, not in a subquery.
SELECT plan('SELECT FROM item WHERE price = 1.2');
SELECT plan('SELECT FROM item WHERE price === ''1.2''');
SELECT plan('SELECT FROM item WHERE (price, rebate) <<< (''1.2'', ''1'')');
SELECT plan('SELECT FROM (SELECT id FROM item WHERE price === ''1.2'' OFFSET 0) t WHERE id > 7');
COMMIT;
-- no such number in a column of that size
BEGIN;
SELECT multitenant.use_tenant('corner-b') IS NOT NULL;
SELECT FROM small WHERE price = 1.2;
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- The same for any tenant
SET multitenant.fold_plans = off;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
SELECT plan('SELECT FROM named WHERE price = 1.2');
SELECT plan('SELECT FROM named a JOIN named b USING (tenant_id) WHERE a.price = 1.2 AND b.price = 1.4');
COMMIT;
RESET SESSION AUTHORIZATION;
RESET multitenant.fold_plans;

-- A partition of one tenant: any index will do, if the server made its kind, and its first column need not be the tenant.
SET ROLE regress_mt_owner;
DROP INDEX parted_tenant_id_id_price_idx;
CREATE INDEX parted_a_own ON parted_a USING mt_hash (price);
RESET ROLE;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
SELECT plan('SELECT FROM parted WHERE price = 1.2');
COMMIT;
RESET SESSION AUTHORIZATION;
SET ROLE regress_mt_owner;
DROP INDEX parted_a_own;
CREATE INDEX parted_a_part ON parted_a (price) WHERE tenant_id = '00000000-0000-0000-0000-00000000941a';
RESET ROLE;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
SELECT plan('SELECT FROM parted WHERE price = 1.2');
SELECT plan('SELECT FROM item, parted WHERE item.price = 1.2');
COMMIT;
RESET SESSION AUTHORIZATION;
-- not while an older snapshot may have seen another parent
BEGIN;
GRANT SELECT ON parted TO regress_mt_owner WITH GRANT OPTION;
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
SELECT plan('SELECT FROM parted WHERE price = 1.2');
ROLLBACK;
RESET SESSION AUTHORIZATION;
SET ROLE regress_mt_owner;
DROP INDEX parted_a_part;
CREATE INDEX parted_a_other ON parted_a (other, price);
RESET ROLE;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
SELECT plan('SELECT FROM parted WHERE other = ''00000000-0000-0000-0000-00000000941a'' AND price = 1.2');
COMMIT;
RESET SESSION AUTHORIZATION;

RESET enable_seqscan;
RESET enable_bitmapscan;
-- Partitions that came later, their columns in another order: the tenant's column is the parent's. They are merged.
SET ROLE regress_mt_owner;
CREATE TABLE later (dropped int, tenant_id uuid NOT NULL, id int, price numeric, rebate numeric, other uuid) PARTITION BY RANGE (id);
ALTER TABLE later DROP COLUMN dropped;
SELECT count(*) > 0 FROM multitenant.protect('later');
GRANT ALL ON later TO regress_mt_app;
CREATE TABLE later_1 PARTITION OF later FOR VALUES FROM (0) TO (2000);
CREATE TABLE later_2 PARTITION OF later FOR VALUES FROM (2000) TO (10000);
CREATE INDEX ON later (tenant_id, rebate, price);
RESET ROLE;
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT multitenant.use_tenant('corner-a') IS NOT NULL;
-- what is kept, over partitions that no tenant chooses among
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE beside AS SELECT count(*) FROM item JOIN plain USING (id) WHERE item.id = $1;
EXECUTE beside(12);
EXECUTE beside(13);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SELECT plan('SELECT rebate FROM later WHERE price = 1.2 ORDER BY rebate');
COMMIT;
RESET SESSION AUTHORIZATION;

RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;
SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
DROP SCHEMA mt_lift CASCADE;
DROP ACCESS METHOD mt_hash CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_owner;
