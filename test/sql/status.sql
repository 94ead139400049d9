-- status(): what it counts and what it advises. How the library was loaded is left out: that is the server's matter.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_owner;
CREATE SCHEMA mt_status AUTHORIZATION regress_mt_owner;
CREATE VIEW mt_status.status AS SELECT item, CASE item WHEN 'library' THEN 'version' ELSE value END, ok, hint FROM multitenant.status()
	WHERE item NOT IN ('loaded', 'superuser_access');
SELECT item, value <> '' FROM multitenant.status();
SELECT * FROM mt_status.status;
SELECT l.version = e.extversion, l.loaded IN ('shared', 'session', 'late'), l.is_guard_on
	FROM multitenant._library() l, pg_extension e WHERE e.extname = 'multitenant';

-- one of each, with names that need quotes
SET ROLE regress_mt_owner;
CREATE TABLE mt_status."It's ""a"" table" (tenant_id uuid NOT NULL, n int);
CREATE TABLE mt_status.broken (tenant_id uuid NOT NULL);
CREATE TABLE mt_status.paused (tenant_id uuid NOT NULL);
CREATE TABLE mt_status.a23456789012345678901234567890123456789012345678901234567890123 (tenant_id uuid NOT NULL);
CREATE TABLE mt_status.country (code text);
CREATE TABLE mt_status.migration (version text);
CREATE TABLE mt_status.plain (n int);
SELECT count(*) > 0 FROM multitenant.protect('mt_status."It''s ""a"" table"');
SELECT count(*) > 0 FROM multitenant.protect('mt_status.broken');
SELECT count(*) > 0 FROM multitenant.protect('mt_status.paused');
SELECT count(*) > 0 FROM multitenant.protect('mt_status.a23456789012345678901234567890123456789012345678901234567890123');
RESET ROLE;
SET multitenant.guard_enabled = off;
DROP POLICY multitenant_isolation ON mt_status.broken;
RESET multitenant.guard_enabled;
SELECT multitenant.share('mt_status.country');
SELECT multitenant.exempt('mt_status.migration', 'bookkeeping');
SELECT multitenant.pause_protection('mt_status.paused', 'test', now() + interval '1 hour');
SELECT table_name, class, tenant_column, column_type, mode, is_intact, finding FROM multitenant.tables ORDER BY table_name;
SELECT * FROM mt_status.status;

-- anybody may look
GRANT USAGE ON SCHEMA mt_status TO regress_mt_app;
SET ROLE regress_mt_app;
SELECT item, value, ok FROM multitenant.status() WHERE item LIKE 'tables %';
SELECT count(*) FROM multitenant.tables;
SELECT multitenant._is_copy();
RESET ROLE;

-- repaired
SELECT count(*) > 0 FROM multitenant.repair('mt_status.broken');
SELECT count(*) > 0 FROM multitenant.repair('mt_status.paused');
SELECT * FROM mt_status.status WHERE NOT ok;

-- versions that differ
BEGIN;
UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'multitenant';
SELECT item, ok, hint FROM mt_status.status WHERE NOT ok;
ROLLBACK;

-- a copy of another database
INSERT INTO multitenant.installation VALUES ('1', 'elsewhere');
SELECT multitenant._is_copy();
SELECT * FROM mt_status.status WHERE NOT ok;
SELECT multitenant.adopt_clone(false);
SELECT multitenant._is_copy();
SELECT * FROM mt_status.status WHERE NOT ok;

-- the guard switched off
SET multitenant.guard_enabled = off;
SELECT * FROM mt_status.status WHERE NOT ok;
RESET multitenant.guard_enabled;

SELECT multitenant.unprotect_all();
SELECT item, value FROM mt_status.status WHERE item LIKE 'tables %';
SET client_min_messages = warning;
DROP SCHEMA mt_status CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_owner;
