-- SECURITY LABEL typed by hand: what the grammar refuses, what it tells, and who may say what before there is an extension.
\set SHOW_CONTEXT never
\set VERBOSITY default
\pset format unaligned
\pset tuples_only on
LOAD 'multitenant';
CREATE ROLE regress_mt_owner;
CREATE SCHEMA mt_label AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE TABLE mt_label.early (tenant_id uuid NOT NULL);
CREATE TABLE mt_label.late (tenant_id uuid NOT NULL, other uuid);
CREATE VIEW mt_label.a_view AS SELECT * FROM mt_label.late;
RESET ROLE;

-- a dump is restored in an order of its own: labels may come before the extension, and only superusers' are weaker
SET SESSION AUTHORIZATION regress_mt_owner;
SECURITY LABEL FOR multitenant ON TABLE mt_label.early IS 'shared';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.early IS 'tenant';
SECURITY LABEL FOR multitenant ON TABLE mt_label.early IS NULL;
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SECURITY LABEL FOR multitenant ON TABLE mt_label.early IS 'shared';
SECURITY LABEL FOR multitenant ON TABLE mt_label.early IS NULL;
CREATE EXTENSION multitenant;

-- what is labelled
SECURITY LABEL FOR multitenant ON SCHEMA mt_label IS 'tenant';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON ROLE regress_mt_owner IS 'tenant';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON VIEW mt_label.a_view IS 'tenant';
\echo :LAST_ERROR_SQLSTATE

-- with what
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS '';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'Tenant';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenants';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'shared {}';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'exempt: ';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant []';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": ';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": "off"}';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": "paused", "reason": "x"}';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": "paused", "reason": "x", "until": "infinity"}';
\echo :LAST_ERROR_SQLSTATE
-- a time that every session reads for itself is none
SET DateStyle = 'SQL, DMY';
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": "paused", "reason": "x", "until": "05-06-2020 00:00:00+00"}';
\echo :LAST_ERROR_SQLSTATE
RESET DateStyle;
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": "paused", "until": "2020-01-01 00:00:00+00"}';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'tenant {"mode": "paused", "reason": "x", "until": "2999-01-01 00:00:00+00"}';
\echo :LAST_ERROR_SQLSTATE
DO $$ BEGIN EXECUTE format('SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS %L', 'tenant {"x": "' || repeat('x', 65536) || '"}'); END $$;
\echo :LAST_ERROR_SQLSTATE
SELECT class FROM multitenant._protection('mt_label.late');
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS 'shared_rows {"mode": "enforce", "unknown": 1}';
SELECT class FROM multitenant._protection('mt_label.late');
SECURITY LABEL FOR multitenant ON TABLE mt_label.late IS NULL;

-- a column
SECURITY LABEL FOR multitenant ON COLUMN mt_label.late.tenant_id IS 'tenant';
\echo :LAST_ERROR_SQLSTATE
SECURITY LABEL FOR multitenant ON COLUMN mt_label.late.tenant_id IS 'tenant_column';
SECURITY LABEL FOR multitenant ON COLUMN mt_label.late.other IS 'tenant_column';
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_owner;
-- the same again changes nothing
SECURITY LABEL FOR multitenant ON COLUMN mt_label.late.tenant_id IS 'tenant_column';
SECURITY LABEL FOR multitenant ON COLUMN mt_label.late.tenant_id IS NULL;
\echo :LAST_ERROR_SQLSTATE
-- a restore labels a table before there is anything in it or below it; later the owner says no more
CREATE TABLE mt_label.parted (tenant_id uuid NOT NULL, id int) PARTITION BY LIST (id);
CREATE TABLE mt_label.part PARTITION OF mt_label.parted FOR VALUES IN (1);
SECURITY LABEL FOR multitenant ON TABLE mt_label.parted IS 'tenant';
SECURITY LABEL FOR multitenant ON COLUMN mt_label.parted.tenant_id IS 'tenant_column';
RESET ROLE;
SECURITY LABEL FOR multitenant ON COLUMN mt_label.parted.tenant_id IS NULL;
SECURITY LABEL FOR multitenant ON TABLE mt_label.parted IS NULL;
INSERT INTO mt_label.parted VALUES ('00000000-0000-0000-0000-0000000000a1', 1);
SECURITY LABEL FOR multitenant ON TABLE mt_label.parted IS 'tenant';
SET ROLE regress_mt_owner;
SECURITY LABEL FOR multitenant ON COLUMN mt_label.parted.tenant_id IS 'tenant_column';
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA mt_label CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner;
