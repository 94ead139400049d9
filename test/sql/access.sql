-- Access profiles of roles: granting and revoking them, and what each permits.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_x;
CREATE ROLE "regress_mt_It's ""quoted""";
CREATE ROLE regress_mt_a234567890123456789012345678901234567890123456789012;
SELECT multitenant.create_tenant('alpha', id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', id => '00000000-0000-0000-0000-0000000000b1');

-- what a session of each profile may do
CREATE TEMP TABLE capability (n serial, name text);
INSERT INTO capability (name) VALUES ('authenticate'), ('name_tenant'), ('system'), ('manage_tenants'), ('suspend'), ('see_tenants'),
	('isolation'), ('audit'), ('superuser');
GRANT SELECT ON capability TO PUBLIC;
CREATE FUNCTION pg_temp.capabilities() RETURNS text LANGUAGE sql AS
	$$ SELECT coalesce(string_agg(name, ' ' ORDER BY n) FILTER (WHERE multitenant._has(name)), 'none') FROM capability $$;
SELECT pg_temp.capabilities();
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'no profile: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'application');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'application: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'trusted_application');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'trusted_application: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'tenant', tenant => 'alpha');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'tenant: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'provisioner');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'provisioner: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'operator');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'operator: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'auditor');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'auditor: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'migrator');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'migrator: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'bypass', reason => 'nightly dump');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'bypass: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'bypass_read', reason => 'reports');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'bypass_read: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;

-- the last grant is the one that counts, and who gave it is known
SELECT role_name, profile, tenant_id, session_context, expires_at, reason, granted_by = session_user FROM multitenant.access;

-- a profile of a newer version, or one that has run out, permits nothing at all
UPDATE multitenant.access SET profile = 'administrator' WHERE role_name = 'regress_mt_x';
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'unknown: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
UPDATE multitenant.access SET profile = 'provisioner', expires_at = now() - interval '1 second' WHERE role_name = 'regress_mt_x';
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'expired: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'provisioner', expires_at => 'infinity');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT 'infinity: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;

-- SET ROLE takes away and never adds: the intersection of both
GRANT regress_mt_app TO regress_mt_x;
SET SESSION AUTHORIZATION regress_mt_x;
SET ROLE regress_mt_app;
SELECT 'provisioner as application: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
REVOKE regress_mt_app FROM regress_mt_x;
GRANT regress_mt_x TO regress_mt_app;
SET SESSION AUTHORIZATION regress_mt_app;
SET ROLE regress_mt_x;
SELECT 'application as provisioner: ' || pg_temp.capabilities();
RESET SESSION AUTHORIZATION;
SET ROLE regress_mt_x;
SELECT 'superuser as provisioner: ' || pg_temp.capabilities();
RESET ROLE;

-- names
SELECT multitenant.grant_access('regress_mt_It''s "quoted"', 'operator');
SELECT multitenant.grant_access('regress_mt_a234567890123456789012345678901234567890123456789012', 'auditor');
SET ROLE "regress_mt_It's ""quoted""";
SELECT pg_temp.capabilities();
SET ROLE regress_mt_a234567890123456789012345678901234567890123456789012;
SELECT pg_temp.capabilities();
RESET ROLE;

-- a role of that name that comes later, and one that is renamed
DROP ROLE "regress_mt_It's ""quoted""";
SELECT multitenant.grant_access('regress_mt_It''s "quoted"', 'operator'); \echo :LAST_ERROR_SQLSTATE
ALTER ROLE regress_mt_a234567890123456789012345678901234567890123456789012 RENAME TO regress_mt_renamed;
SET ROLE regress_mt_renamed;
SELECT pg_temp.capabilities();
RESET ROLE;

-- bindings
SELECT multitenant.grant_access('regress_mt_x', 'tenant', tenant => '00000000-0000-0000-0000-0000000000b1');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT multitenant.current_tenant_slug();
SELECT state, tenant_slug, principal, kind, scope, expires_at, source FROM multitenant.context;
RESET SESSION AUTHORIZATION;
SELECT multitenant.grant_access('regress_mt_x', 'application');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT multitenant.current_tenant_slug(); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;

-- refused
SELECT multitenant.grant_access('regress_mt_nobody', 'application'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access(NULL, 'application'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'tenant'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'application', tenant => 'alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'tenant', tenant => 'nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'bypass'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'bypass_read', reason => '  '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'provisioner', session_context => true); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'tenant', tenant => 'alpha', session_context => true); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'application', expires_at => now()); \echo :LAST_ERROR_SQLSTATE
SELECT profile, tenant_id FROM multitenant.access WHERE role_name = 'regress_mt_x';

-- revoking
SELECT multitenant.revoke_access('regress_mt_x');
SELECT multitenant.revoke_access('regress_mt_x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.revoke_access(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.revoke_access('regress_mt_It''s "quoted"');
SELECT role_name FROM multitenant.access ORDER BY 1;

-- superusers only
SELECT multitenant.grant_access('regress_mt_x', 'migrator');
SET SESSION AUTHORIZATION regress_mt_x;
SELECT multitenant.grant_access('regress_mt_x', 'bypass', reason => 'please'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.revoke_access('regress_mt_app'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.access; \echo :LAST_ERROR_SQLSTATE
INSERT INTO multitenant.access (role_name, profile) VALUES ('regress_mt_app', 'bypass'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._has('nonsense'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._require('superuser', 'a test'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._require('system', 'a test');
RESET SESSION AUTHORIZATION;
SET ROLE regress_mt_x;
SELECT multitenant.grant_access('regress_mt_x', 'bypass', reason => 'please'); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- recorded
SELECT event, object, outcome, tenant_id, detail - 'expires_at' FROM multitenant.audit_event WHERE event LIKE 'access.%' ORDER BY at DESC LIMIT 4;

DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_x, regress_mt_renamed;
