-- What a superuser has broken, or declared in another way than the extension does: an error or the strictest reading,
-- never a crash.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\set library '''$libdir/multitenant'''
LOAD 'multitenant';

-- C functions without the extension
CREATE FUNCTION pg_temp.authenticate(text) RETURNS uuid LANGUAGE c AS :library, 'mt_authenticate';
CREATE FUNCTION pg_temp.use_tenant(bigint) RETURNS uuid LANGUAGE c AS :library, 'mt_use_tenant_number';
CREATE FUNCTION pg_temp.switch_tenant(uuid) RETURNS uuid LANGUAGE c AS :library, 'mt_switch_tenant_uuid';
CREATE FUNCTION pg_temp.protection(regclass, OUT a text, OUT b name, OUT c text, OUT d boolean, OUT e text) LANGUAGE c AS :library, 'mt_protection';
CREATE FUNCTION pg_temp.current_tenant() RETURNS uuid LANGUAGE c AS :library, 'mt_current_tenant';
SELECT pg_temp.authenticate('nonsense');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.use_tenant(1);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.switch_tenant('00000000-0000-0000-0000-0000000000a1');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.current_tenant();
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.protection('pg_class') IS NULL;

CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app;
CREATE SCHEMA mt_damage AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_damage TO regress_mt_app;
SELECT multitenant.create_tenant('damage-a', number => 901, id => '00000000-0000-0000-0000-0000000000a1');
SET ROLE regress_mt_owner;
CREATE TABLE mt_damage.orders (tenant_id uuid NOT NULL, item text);
INSERT INTO mt_damage.orders VALUES ('00000000-0000-0000-0000-0000000000a1', 'cup');
SELECT count(*) > 0 FROM multitenant.protect('mt_damage.orders');
CREATE TABLE mt_damage.template (tenant_id uuid, item text);
GRANT SELECT ON mt_damage.orders, mt_damage.template TO regress_mt_app;
RESET ROLE;
SELECT count(*) > 0 FROM multitenant.shared_rows('mt_damage.template');

-- C functions of another type, or called where they have nothing to do
CREATE FUNCTION pg_temp.refuse_removal() RETURNS text LANGUAGE c AS :library, 'mt_refuse_removal';
CREATE FUNCTION pg_temp.own_table_changed() RETURNS text LANGUAGE c AS :library, 'mt_own_table_changed';
CREATE FUNCTION pg_temp.library() RETURNS text LANGUAGE c AS :library, 'mt_library';
CREATE FUNCTION pg_temp.context() RETURNS text LANGUAGE c AS :library, 'mt_context';
CREATE FUNCTION pg_temp.protection_text(regclass) RETURNS text LANGUAGE c AS :library, 'mt_protection';
SELECT pg_temp.refuse_removal();
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.own_table_changed();
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.library();
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.context();
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.protection_text('mt_damage.orders');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._protection(0) IS NULL;

-- internal functions, called by hand
SELECT multitenant._audit(NULL, NULL, NULL, 'done', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._audit('tenant.test', NULL, NULL, NULL, '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._audit('tenant.test', NULL, NULL, 'done', NULL);
SELECT event, object IS NULL, outcome, detail FROM multitenant.audit_event WHERE event = 'tenant.test';
SELECT multitenant._run_as_owner('mt_damage.orders', NULL) IS NULL;
SELECT multitenant._query_as_owner(0, 'SELECT 1');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._query_as_owner('mt_damage.orders', 'SELECT NULL') IS NULL;
SELECT multitenant._run_as_owner(NULL, 'ALTER MATERIALIZED VIEW mt_damage.orders SET (fillfactor = 50)');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE mt_damage.orders SET SCHEMA public');
\echo :LAST_ERROR_SQLSTATE
GRANT USAGE ON SCHEMA multitenant TO regress_mt_app;
GRANT EXECUTE ON FUNCTION multitenant._check_signing_key(text, text, text) TO regress_mt_app;
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant._check_signing_key('HS256', NULL, '/etc/passwd');
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;

-- an index or a table of the extension is missing
BEGIN;
ALTER TABLE multitenant.tenant DROP CONSTRAINT tenant_slug_key;
SELECT multitenant.use_tenant('damage-a');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
ALTER TABLE multitenant.tenant RENAME TO tenant_2;
CREATE SCHEMA mt_damage_2;
SELECT multitenant.use_tenant('damage-a');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('damage-a');
ROLLBACK;

-- the schema has another name: nothing is found, and nothing of it is dropped
BEGIN;
ALTER SCHEMA multitenant RENAME TO mt_other;
DROP OWNED BY regress_mt_app;
ROLLBACK;

-- a policy of shared rows, changed by hand: nobody can while the guard is on
ALTER POLICY multitenant_access ON mt_damage.template USING (true);
\echo :LAST_ERROR_SQLSTATE
SET multitenant.guard_enabled = off;
SELECT is_intact FROM multitenant._protection('mt_damage.template');
CREATE FUNCTION mt_damage.try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE command;
	SELECT class || ': ' || coalesce(finding, 'intact') INTO result FROM multitenant._protection('mt_damage.template');
	RAISE EXCEPTION USING MESSAGE = result, ERRCODE = 'P0099';
EXCEPTION WHEN SQLSTATE 'P0099' THEN
	RETURN SQLERRM;
END $$;
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template USING (true)');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template USING (tenant_id = multitenant.current_tenant())');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template USING (tenant_id = multitenant.current_tenant() OR item IS NULL)');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template USING (tenant_id = multitenant.current_tenant() OR tenant_id IS NOT NULL)');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template USING (tenant_id = multitenant.current_tenant() OR true)');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template USING (tenant_id = multitenant.current_tenant() OR (tenant_id::text) IS NULL)');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template TO regress_mt_app');
SELECT mt_damage.try('ALTER POLICY multitenant_access ON mt_damage.template TO regress_mt_app, regress_mt_owner');
SELECT mt_damage.try('DROP POLICY multitenant_access ON mt_damage.template');
SELECT mt_damage.try('ALTER TABLE mt_damage.template NO FORCE ROW LEVEL SECURITY');
SELECT mt_damage.try('ALTER TABLE mt_damage.template DISABLE ROW LEVEL SECURITY');

-- a policy that compares names under a collation in which other tenants' names can be equal
CREATE COLLATION mt_damage.ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE mt_damage.named (tenant text NOT NULL, item text);
CREATE POLICY multitenant_isolation ON mt_damage.named AS RESTRICTIVE
	USING (tenant = multitenant.current_tenant_slug() COLLATE mt_damage.ignore_case);
CREATE POLICY multitenant_access ON mt_damage.named USING (tenant = multitenant.current_tenant_slug());
ALTER TABLE mt_damage.named ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT class, is_intact FROM multitenant._protection('mt_damage.named');
ALTER POLICY multitenant_isolation ON mt_damage.named USING (tenant = multitenant.current_tenant_slug());
SELECT class, is_intact FROM multitenant._protection('mt_damage.named');
DROP POLICY multitenant_isolation ON mt_damage.named;
DROP POLICY multitenant_access ON mt_damage.named;
ALTER TABLE mt_damage.named ALTER tenant TYPE text COLLATE mt_damage.ignore_case;
CREATE POLICY multitenant_isolation ON mt_damage.named AS RESTRICTIVE USING (tenant = multitenant.current_tenant_slug());
CREATE POLICY multitenant_access ON mt_damage.named USING (tenant = multitenant.current_tenant_slug());
SELECT class, is_intact FROM multitenant._protection('mt_damage.named');

RESET multitenant.guard_enabled;

-- protected by policies that a hand has made, below a table that is not protected
CREATE TABLE mt_damage.plain (tenant_id uuid NOT NULL);
CREATE TABLE mt_damage.below () INHERITS (mt_damage.plain);
CREATE POLICY multitenant_isolation ON mt_damage.below AS RESTRICTIVE USING (tenant_id = multitenant.current_tenant());
CREATE POLICY multitenant_access ON mt_damage.below USING (tenant_id = multitenant.current_tenant());
ALTER TABLE mt_damage.below ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT class, is_intact, finding FROM multitenant._protection('mt_damage.below');
SELECT class, is_intact, finding FROM multitenant._protection('mt_damage.plain');

-- labels that only a change of the catalog by hand can write: read as the strictest class
CREATE FUNCTION mt_damage.relabel(text) RETURNS void LANGUAGE plpgsql SET allow_system_table_mods = on AS $$
BEGIN
	UPDATE pg_seclabel SET label = $1 WHERE objoid = 'mt_damage.orders'::regclass AND objsubid = 0;
	-- what SECURITY LABEL does
	UPDATE pg_class SET relname = relname WHERE oid = 'mt_damage.orders'::regclass;
END $$;
BEGIN;
SELECT mt_damage.relabel('nonsense');
SELECT class, mode, is_intact FROM multitenant._protection('mt_damage.orders');
SELECT mt_damage.relabel('tenant {"mode": "paused", "until": "infinity", "reason": "x"}');
SELECT class, mode, is_intact FROM multitenant._protection('mt_damage.orders');
SELECT mt_damage.relabel('tenant {"mode": ');
SELECT class, mode, is_intact FROM multitenant._protection('mt_damage.orders');
SELECT mt_damage.relabel('exempt:');
SELECT class, mode, is_intact FROM multitenant._protection('mt_damage.orders');
SET SESSION AUTHORIZATION regress_mt_app;
SELECT * FROM mt_damage.orders;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA mt_damage CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_owner, regress_mt_app;
