-- The context of a transaction: setting it by name, reading it, what is refused. Credentials are in keys.sql.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_trusted;
CREATE ROLE regress_mt_migrator;
CREATE ROLE regress_mt_auditor;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_migrator', 'migrator');
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
SELECT multitenant.create_tenant('alpha', number => 1, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('It''s "b"', number => 2147483648, id => '00000000-0000-0000-0000-0000000000b1');
SELECT multitenant.create_tenant(repeat('c', 128), number => -2147483648, id => '00000000-0000-0000-0000-0000000000c1');
SELECT multitenant.create_tenant('gone', number => 4, id => '00000000-0000-0000-0000-0000000000d1');
SELECT multitenant.create_tenant('1', number => 5, id => '00000000-0000-0000-0000-0000000000e1');
SELECT multitenant.delete_tenant('gone');

-- without one
SET SESSION AUTHORIZATION regress_mt_trusted;
SELECT * FROM multitenant.context;
SELECT multitenant.current_tenant_or_null() IS NULL, multitenant.current_principal() IS NULL;
SELECT multitenant.current_tenant(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.current_tenant_number(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.current_tenant_int4(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.current_tenant_slug(); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.tenants;
SELECT multitenant.reset_tenant();

-- by slug, id and number
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT * FROM multitenant.context;
SELECT multitenant.current_tenant(), multitenant.current_tenant_or_null(), multitenant.current_tenant_number(),
	multitenant.current_tenant_int4(), multitenant.current_tenant_slug(), multitenant.current_principal();
SELECT slug, number FROM multitenant.tenants;
-- the same again, in each form, is no change
SELECT multitenant.use_tenant('00000000-0000-0000-0000-0000000000A1');
SELECT multitenant.use_tenant('00000000-0000-0000-0000-0000000000a1'::uuid);
SELECT multitenant.use_tenant(1);
COMMIT;
SELECT state FROM multitenant.context;
BEGIN;
SELECT multitenant.use_tenant('It''s "b"');
SELECT multitenant.current_tenant_slug(), multitenant.current_tenant_number();
SELECT multitenant.current_tenant_int4(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant(-2147483648);
SELECT length(multitenant.current_tenant_slug()), multitenant.current_tenant_int4();
ROLLBACK;
-- a text is an id or a slug, never a number
BEGIN;
SELECT multitenant.use_tenant('1');
SELECT multitenant.current_tenant_slug();
ROLLBACK;

-- another one in the same transaction
BEGIN;
SELECT multitenant.use_tenant('alpha');
SAVEPOINT s;
SELECT multitenant.use_tenant('1'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.reset_tenant();
SELECT state FROM multitenant.context;
SELECT multitenant.current_tenant(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.current_tenant_slug();
SELECT multitenant.reset_tenant();
SAVEPOINT r;
SELECT multitenant.use_tenant('1'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO r;
SELECT multitenant.use_tenant('alpha');
COMMIT;
-- the hint after a transaction that had one
SELECT multitenant.current_tenant(); \echo :LAST_ERROR_SQLSTATE

-- unknown, not active, nothing
SELECT multitenant.use_tenant('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(repeat('c', 129)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('ALPHA'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('00000000-0000-0000-0000-0000000000ff'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(4711); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('gone'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(NULL::text);
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(NULL::uuid);
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(NULL::bigint);
\echo :LAST_ERROR_SQLSTATE
SELECT state FROM multitenant.context;

-- not while a statement is planned
CREATE FUNCTION pg_temp.folded() RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN multitenant.use_tenant('alpha'); END $$;
SELECT pg_temp.folded(); \echo :LAST_ERROR_SQLSTATE
SELECT state FROM multitenant.context;
DROP FUNCTION pg_temp.folded();

-- it is no setting
SET multitenant.context = ''; \echo :LAST_ERROR_SQLSTATE
SET multitenant.context = '1 2 0 3 1 9223372036854775807 x000000000000000000000000000000a1 x616c706861 x x'; \echo :LAST_ERROR_SQLSTATE
SELECT set_config('multitenant.context', 'x', true); \echo :LAST_ERROR_SQLSTATE
RESET multitenant.context; \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM pg_settings WHERE name LIKE 'multitenant.%context';
SELECT state FROM multitenant.context;

-- nobody to switch
SELECT multitenant.switch_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.switch_tenant('00000000-0000-0000-0000-0000000000a1'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.switch_tenant(1); \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT multitenant.switch_tenant('1'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- maintenance
SELECT multitenant.system_context('x'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_migrator;
BEGIN;
SELECT multitenant.system_context('move to "new" columns');
SELECT * FROM multitenant.context;
SELECT multitenant.current_tenant_or_null() IS NULL;
SAVEPOINT s;
SELECT multitenant.current_tenant(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.use_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.switch_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
SELECT multitenant.system_context(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.system_context(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.system_context(E' \t\n'); \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT multitenant.system_context('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- profiles without the right
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.use_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('00000000-0000-0000-0000-0000000000a1'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(1); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.system_context('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate('nonsense'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT state FROM multitenant.context;
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT multitenant.use_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate('nonsense'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.switch_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;

-- a superuser may name a tenant, and RESET of the setting only takes away
BEGIN;
SELECT multitenant.use_tenant('alpha');
RESET ALL;
SELECT multitenant.current_tenant_slug();
RESET multitenant.context;
SELECT multitenant.use_tenant('1'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET multitenant.context = 'x'; \echo :LAST_ERROR_SQLSTATE

SELECT event, object, session_role FROM multitenant.audit_event WHERE event LIKE 'context.%' OR event LIKE 'credential.%' ORDER BY at;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_trusted, regress_mt_migrator, regress_mt_auditor;
