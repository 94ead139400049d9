-- Keys: unique within the tenant, references within the tenant.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_owner', 'trusted_application');
SELECT multitenant.create_tenant('keys-a', number => 901) IS NOT NULL;
SELECT multitenant.create_tenant('keys-b', number => 902) IS NOT NULL;
CREATE SCHEMA mt_keys AUTHORIZATION regress_mt_owner;
-- (what the server makes for partitions has names that differ between its versions)
CREATE FUNCTION mt_keys.keys(rel regclass) RETURNS TABLE(key text) LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN conparentid = 0 OR contype <> 'f' THEN conname ELSE 'a part of it' END || ': ' || pg_get_constraintdef(oid)
		FROM pg_constraint WHERE conrelid = rel AND contype IN ('p', 'u', 'f')
		ORDER BY contype DESC, conparentid <> 0, conname $$;

-- foreign keys to protected tables are for roles that are allowed them
\set may_refer 'RESET ROLE; SELECT multitenant.grant_access(''regress_mt_owner'', ''trusted_application'', allow => ''{references}''); SET ROLE regress_mt_owner;'
\set may_not_refer 'RESET ROLE; SELECT multitenant.grant_access(''regress_mt_owner'', ''trusted_application''); SET ROLE regress_mt_owner;'
SET ROLE regress_mt_owner;
-- unique keys: what is converted, and what stays and is said
CREATE TABLE mt_keys.customer (
	id serial PRIMARY KEY, tenant_id int NOT NULL, email text, code text, phone text,
	CONSTRAINT customer_email UNIQUE (email) INCLUDE (code) WITH (fillfactor = 70),
	CONSTRAINT customer_code UNIQUE NULLS NOT DISTINCT (code) DEFERRABLE INITIALLY DEFERRED,
	CONSTRAINT customer_good UNIQUE (phone, tenant_id));
CREATE UNIQUE INDEX customer_lower ON mt_keys.customer (lower(email) text_pattern_ops DESC, code) WHERE code IS NOT NULL;
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.customer') WHERE command ~ 'UNIQUE|INDEX' OR command IS NULL;
SELECT mt_keys.keys('mt_keys.customer');
SELECT pg_get_indexdef('mt_keys.customer_lower'::regclass);
-- natural primary keys become composite, uuid ones stay, replica identity and dependents hold theirs
CREATE TABLE mt_keys.product (sku text PRIMARY KEY, tenant_id int NOT NULL);
SELECT command, note FROM multitenant.protect('mt_keys.product') WHERE command ~ 'KEY';
CREATE TABLE mt_keys.by_uuid (a uuid, b uuid, tenant_id int NOT NULL, PRIMARY KEY (a, b));
SELECT command, note FROM multitenant.protect('mt_keys.by_uuid') WHERE coalesce(command, 'KEY') ~ 'KEY';
CREATE TABLE mt_keys.held (tenant_id int NOT NULL, a text NOT NULL UNIQUE, b text PRIMARY KEY, c tstzrange,
	EXCLUDE USING gist (c WITH &&));
ALTER TABLE mt_keys.held REPLICA IDENTITY USING INDEX held_a_key;
CREATE VIEW mt_keys.held_view AS SELECT b, c, count(*) FROM mt_keys.held GROUP BY b;
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.held') WHERE coalesce(command, 'KEY') ~ 'KEY';
-- two tenants may have the same value, one may not have it twice
BEGIN;
SELECT multitenant.use_tenant('keys-a') IS NOT NULL;
INSERT INTO mt_keys.customer (email, code) VALUES ('x@y', 1) RETURNING tenant_id;
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('keys-b') IS NOT NULL;
INSERT INTO mt_keys.customer (email, code) VALUES ('x@y', 1) RETURNING tenant_id;
INSERT INTO mt_keys.customer (email, code) VALUES ('x@y', 2) ON CONFLICT (tenant_id, email) DO NOTHING;
INSERT INTO mt_keys.customer (email, code) VALUES ('x@y', 3);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- foreign keys to protected tables are not an application's to make, in no way; the library may make its own composite
CREATE TABLE mt_keys.invoice (id uuid, a int REFERENCES mt_keys.customer);
\echo :LAST_ERROR_SQLSTATE
CREATE TABLE mt_keys.invoice (id uuid, a int);
ALTER TABLE mt_keys.invoice ADD FOREIGN KEY (a) REFERENCES mt_keys.customer NOT VALID;
\echo :LAST_ERROR_SQLSTATE
DROP TABLE mt_keys.invoice;
-- foreign keys: parent first, child second; every action
:may_refer
CREATE TABLE mt_keys.invoice (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id int NOT NULL,
	a int REFERENCES mt_keys.customer ON DELETE SET NULL ON UPDATE CASCADE,
	b int REFERENCES mt_keys.customer (id) MATCH FULL ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED,
	c int REFERENCES mt_keys.customer ON DELETE CASCADE ON UPDATE RESTRICT,
	d int CONSTRAINT d REFERENCES mt_keys.customer ON DELETE RESTRICT,
	e int REFERENCES mt_keys.customer ON UPDATE SET NULL,
	parent uuid REFERENCES mt_keys.invoice ON DELETE CASCADE);
ALTER TABLE mt_keys.invoice ADD CONSTRAINT f FOREIGN KEY (d) REFERENCES mt_keys.customer NOT VALID,
	ADD CONSTRAINT e_again FOREIGN KEY (e) REFERENCES mt_keys.customer ON UPDATE SET NULL;
:may_not_refer
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.invoice') WHERE coalesce(command, 'KEY') ~ 'KEY|CONSTRAINT|FORCE';
SELECT mt_keys.keys('mt_keys.invoice');
SELECT mt_keys.keys('mt_keys.customer');
SELECT * FROM multitenant.protect('mt_keys.invoice');
SELECT * FROM multitenant.protect('mt_keys.customer');
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name ~ 'customer|invoice' ORDER BY 1;

-- child first, parent second: protecting the second table converts the key between them; a natural key goes along
CREATE TABLE mt_keys.brand (name text, country text, tenant_id int NOT NULL, PRIMARY KEY (name, country));
CREATE TABLE mt_keys.car (id int PRIMARY KEY, tenant_id int NOT NULL, name text, country text,
	CONSTRAINT brand FOREIGN KEY (country, name) REFERENCES mt_keys.brand (country, name) ON DELETE SET NULL (name));
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.car') WHERE coalesce(command, 'KEY') ~ 'KEY|CONSTRAINT';
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.brand') WHERE coalesce(command, 'KEY') ~ 'KEY|CONSTRAINT';
SELECT mt_keys.keys('mt_keys.car');
SELECT mt_keys.keys('mt_keys.brand');
-- MATCH FULL of several columns keeps its old key for the all-or-nothing
CREATE TABLE mt_keys.place (x int, y int, tenant_id int NOT NULL, PRIMARY KEY (x, y));
CREATE TABLE mt_keys.visit (tenant_id int NOT NULL, x int, y int, FOREIGN KEY (x, y) REFERENCES mt_keys.place MATCH FULL);
SELECT count(*) > 0 FROM multitenant.protect('mt_keys.place');
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.visit') WHERE coalesce(command, 'KEY') ~ 'KEY|CONSTRAINT';
SELECT mt_keys.keys('mt_keys.visit');
SELECT * FROM multitenant.protect('mt_keys.visit');
-- left alone: no tenant's table, already tied, another type, a column used otherwise
CREATE TABLE mt_keys.country (code text PRIMARY KEY);
:may_refer
CREATE TABLE mt_keys.tied (tenant_id int NOT NULL, id int, country text REFERENCES mt_keys.country,
	FOREIGN KEY (tenant_id, id) REFERENCES mt_keys.customer (tenant_id, id));
CREATE TABLE mt_keys.slugged (tenant_id text NOT NULL, customer int REFERENCES mt_keys.customer);
CREATE TABLE mt_keys.odd (tenant_id int NOT NULL REFERENCES mt_keys.customer);
:may_not_refer
SELECT t, coalesce(command, '- ' || note) FROM unnest('{mt_keys.tied,mt_keys.slugged,mt_keys.odd}'::regclass[]) t,
	multitenant.protect(t) WHERE coalesce(command, 'KEY') ~ 'KEY|CONSTRAINT';
SELECT mt_keys.keys('mt_keys.tied');

-- what the keys do
BEGIN;
SELECT multitenant.use_tenant('keys-a') IS NOT NULL;
INSERT INTO mt_keys.customer (id, email, code) VALUES (11, 'a1', 'a1'), (12, 'a2', 'a2');
INSERT INTO mt_keys.invoice (a, c, e) VALUES (11, 12, 11);
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('keys-b') IS NOT NULL;
INSERT INTO mt_keys.customer (id, email) VALUES (21, 'b1');
SAVEPOINT s;
-- a row of another tenant looks like one that does not exist
INSERT INTO mt_keys.invoice (a) VALUES (11);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO mt_keys.invoice (a) VALUES (999);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- nor through the key that had to stay
INSERT INTO mt_keys.invoice (e) VALUES (11);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('keys-a') IS NOT NULL;
SELECT tenant_id, a, c, e FROM mt_keys.invoice;
UPDATE mt_keys.customer SET id = 13 WHERE id = 11;
SELECT tenant_id, a, c, e FROM mt_keys.invoice;
DELETE FROM mt_keys.customer WHERE id = 13;
SELECT tenant_id, a, c, e FROM mt_keys.invoice;
DELETE FROM mt_keys.customer WHERE id = 12;
SELECT tenant_id, a, c, e FROM mt_keys.invoice;
ROLLBACK;

-- orphans under the composite rule: counted, nothing half-done
CREATE TABLE mt_keys.p (id int PRIMARY KEY, tenant_id int NOT NULL);
CREATE TABLE mt_keys.c (id int PRIMARY KEY, tenant_id int NOT NULL, p int REFERENCES mt_keys.p);
INSERT INTO mt_keys.p VALUES (1, 901), (2, 902);
INSERT INTO mt_keys.c VALUES (1, 901, 1), (2, 902, 1), (3, 901, 2);
SELECT multitenant.protect_schema('mt_keys', dry_run => false);
\echo :LAST_ERROR_SQLSTATE
-- also when the parent is protected and cannot be counted: under no context, and under one that hides the orphan
SELECT count(*) > 0 FROM multitenant.protect('mt_keys.p');
SELECT multitenant.protect('mt_keys.c');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('keys-a') IS NOT NULL;
UPDATE mt_keys.c SET p = 1 WHERE id = 3;
SELECT multitenant.protect('mt_keys.c');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT mt_keys.keys('mt_keys.c');
SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid IN ('mt_keys.p'::regclass, 'mt_keys.c'::regclass) ORDER BY 1;
UPDATE mt_keys.c SET p = NULL WHERE id <> 1;
SELECT count(*) > 0 FROM multitenant.protect('mt_keys.c');
SELECT mt_keys.keys('mt_keys.c');
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name IN ('mt_keys.p', 'mt_keys.c') ORDER BY 1;

-- partitioned tables: keys on the parent, references from and to it
CREATE TABLE mt_keys.day (id int, at date, tenant_id int NOT NULL, note text, PRIMARY KEY (id, at), UNIQUE (note, at))
	PARTITION BY RANGE (at);
CREATE TABLE mt_keys.day_1 PARTITION OF mt_keys.day FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE mt_keys.hour (id int PRIMARY KEY, at date, day int, tenant_id int NOT NULL,
	FOREIGN KEY (day, at) REFERENCES mt_keys.day);
SELECT count(*) > 0 FROM multitenant.protect('mt_keys.day');
SELECT command FROM multitenant.protect('mt_keys.hour') WHERE command ~ 'KEY|CONSTRAINT|UNIQUE';
SELECT mt_keys.keys('mt_keys.day');
SELECT mt_keys.keys('mt_keys.day_1');
SELECT mt_keys.keys('mt_keys.hour');

-- a key that two tables refer to: it becomes composite with the last of them, and cannot be given back for one alone
CREATE TABLE mt_keys.color (name text PRIMARY KEY, tenant_id int NOT NULL);
CREATE TABLE mt_keys.shirt (tenant_id int NOT NULL, color text REFERENCES mt_keys.color);
CREATE TABLE mt_keys.shoe (tenant_id int NOT NULL, color text REFERENCES mt_keys.color);
SELECT t, coalesce(command, '- ' || note) FROM unnest('{mt_keys.color,mt_keys.shirt,mt_keys.shoe}'::regclass[]) t,
	multitenant.protect(t) WHERE coalesce(command, 'KEY') ~ 'KEY|CONSTRAINT|UNIQUE';
RESET ROLE;
SELECT multitenant.unprotect('mt_keys.shirt');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unprotect('mt_keys.shoe');
SELECT multitenant.unprotect('mt_keys.shirt');
SELECT t, mt_keys.keys(t) FROM unnest('{mt_keys.color,mt_keys.shirt,mt_keys.shoe}'::regclass[]) t;

-- a key on somebody else's table cannot be added
CREATE ROLE regress_mt_other;
GRANT USAGE, CREATE ON SCHEMA mt_keys TO regress_mt_other;
GRANT REFERENCES ON mt_keys.p TO regress_mt_other;
SET ROLE regress_mt_other;
CREATE TABLE mt_keys.guest (tenant_id int NOT NULL, p int REFERENCES mt_keys.p);
\echo :LAST_ERROR_SQLSTATE
-- nor through the library: only with the tenant added to a key that was there
CREATE TABLE mt_keys.guest (tenant_id int NOT NULL, p int);
SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE mt_keys.guest ADD FOREIGN KEY (p) REFERENCES mt_keys.p');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE mt_keys.guest ADD FOREIGN KEY (tenant_id, p) REFERENCES mt_keys.p (tenant_id, id)');
\echo :LAST_ERROR_SQLSTATE
DROP TABLE mt_keys.guest;
RESET ROLE;
SELECT multitenant.grant_access('regress_mt_other', 'application', allow => '{references}');
SET ROLE regress_mt_other;
CREATE TABLE mt_keys.guest (tenant_id int NOT NULL, p int REFERENCES mt_keys.p);
RESET ROLE;
SELECT multitenant.revoke_access('regress_mt_other');
SET ROLE regress_mt_other;
SELECT coalesce(command, '- ' || note) FROM multitenant.protect('mt_keys.guest') WHERE command ~ 'KEY|FORCE';
RESET ROLE;
GRANT REFERENCES ON mt_keys.by_uuid TO regress_mt_other;
SELECT multitenant.grant_access('regress_mt_other', 'application', allow => '{references}');
SET ROLE regress_mt_other;
CREATE TABLE mt_keys.guest_3 (tenant_id int NOT NULL, a uuid, b uuid, FOREIGN KEY (a, b) REFERENCES mt_keys.by_uuid);
RESET ROLE;
SELECT multitenant.revoke_access('regress_mt_other');
SET ROLE regress_mt_other;
SELECT multitenant.protect('mt_keys.guest_3');
\echo :LAST_ERROR_SQLSTATE

-- unprotect() of one table: the keys it shares with tables that stay become simple again
RESET ROLE;
SELECT multitenant.unprotect('mt_keys.customer');
SELECT mt_keys.keys('mt_keys.customer');
SELECT mt_keys.keys('mt_keys.invoice');
SELECT table_name, is_intact FROM multitenant.tables WHERE table_name ~ 'customer|invoice' ORDER BY 1;
-- all at once
SELECT multitenant.unprotect_all();
SELECT mt_keys.keys('mt_keys.invoice');
SELECT mt_keys.keys('mt_keys.car');
SELECT mt_keys.keys('mt_keys.brand');
SELECT mt_keys.keys('mt_keys.visit');
SELECT mt_keys.keys('mt_keys.place');
SELECT mt_keys.keys('mt_keys.day');

SET client_min_messages = warning;
DROP SCHEMA mt_keys CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner, regress_mt_app, regress_mt_other;
