-- What application roles are denied beyond rows: hardening(), and what grant_access() allows again.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
RESET client_min_messages;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_x;
CREATE ROLE regress_mt_operator;
CREATE ROLE regress_mt_auditor;
SELECT multitenant.grant_access('regress_mt_operator', 'operator');
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');

-- the list: each entry says what, why and at which cost; in the order of names, the names fit a command
SELECT name, is_denied, denies FROM multitenant.hardening('regress_mt_app');
SELECT count(*) FROM multitenant.hardening('regress_mt_app') WHERE length(reason) < 20 OR length(cost) < 20 OR reason !~ '\.$' OR cost !~ '\.$';
SELECT count(*) FROM multitenant.hardening('regress_mt_app') WHERE name !~ '^[a-z_]+$';
-- by profile: managers of tenants do not look into the server, bypass_read empties nothing
SELECT string_agg(name, ' ') FROM multitenant.hardening('regress_mt_auditor') WHERE is_denied;
SELECT count(*) FROM multitenant.hardening('regress_mt_operator') WHERE is_denied;
SELECT count(*) FROM multitenant.hardening() WHERE is_denied;
SELECT multitenant.grant_access('regress_mt_x', 'bypass_read', reason => 'dump');
SELECT string_agg(name, ' ') FROM multitenant.hardening('regress_mt_x') WHERE is_denied;
SELECT multitenant.grant_access('regress_mt_x', 'migrator');
SELECT count(*) FROM multitenant.hardening('regress_mt_x') WHERE is_denied;

-- allowed by name, replaced as a whole, gone with the profile
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{notify,lock}');
SELECT string_agg(name, ' ') FROM multitenant.hardening('regress_mt_x') WHERE NOT is_denied;
SELECT multitenant.grant_access('regress_mt_x', 'trusted_application', allow => '{explain}');
SELECT string_agg(name, ' ') FROM multitenant.hardening('regress_mt_x') WHERE NOT is_denied;
SELECT allowed FROM multitenant.access WHERE role_name = 'regress_mt_x';
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{}');
SELECT allowed IS NULL FROM multitenant.access WHERE role_name = 'regress_mt_x';
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => (SELECT array_agg(name) FROM multitenant.hardening('regress_mt_x')));
SELECT count(*) FROM multitenant.hardening('regress_mt_x') WHERE is_denied;
SELECT multitenant.revoke_access('regress_mt_x');
SELECT count(*) = (SELECT count(*) FROM multitenant._hardenings()) FROM multitenant.hardening('regress_mt_x') WHERE is_denied;
-- not beyond its time
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{notify}', expires_at => now() + interval '1 day');
UPDATE multitenant.access SET expires_at = '2020-01-01' WHERE role_name = 'regress_mt_x';
SELECT is_denied FROM multitenant.hardening('regress_mt_x') WHERE name = 'notify';
-- a name that this library does not know, left by a later one, allows nothing
UPDATE multitenant.access SET expires_at = NULL, allowed = '{telepathy,NULL,notify}' WHERE role_name = 'regress_mt_x';
SELECT string_agg(name, ' ') FROM multitenant.hardening('regress_mt_x') WHERE NOT is_denied;

-- errors
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{notify,telepathy}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{notify,NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{NOTIFY}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.hardening('regress_mt_nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT DISTINCT is_denied FROM multitenant.hardening(NULL);
SELECT detail -> 'allow' FROM multitenant.audit_event WHERE event = 'access.grant' ORDER BY at DESC LIMIT 1;

-- everybody may ask about himself, who may read the audit about others
SET SESSION AUTHORIZATION regress_mt_x;
SELECT string_agg(name, ' ') FROM multitenant.hardening() WHERE NOT is_denied;
SELECT bool_or(is_denied) FROM multitenant.hardening('regress_mt_app');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant.grant_access('regress_mt_x', 'application', allow => '{lock}');
\echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT count(*) > 0 FROM multitenant.hardening('regress_mt_app') WHERE is_denied;
RESET SESSION AUTHORIZATION;

-- nothing is denied before something is protected, and once nothing is protected any more
CREATE TABLE public.mt_hardening (tenant_id int NOT NULL);
GRANT ALL ON public.mt_hardening TO regress_mt_app;
SET SESSION AUTHORIZATION regress_mt_app;
LOCK TABLE public.mt_hardening;
\echo :LAST_ERROR_SQLSTATE
LISTEN anything;
SELECT pg_relation_size('public.mt_hardening');
RESET SESSION AUTHORIZATION;
SELECT count(*) > 0 FROM multitenant.protect('public.mt_hardening');
SET SESSION AUTHORIZATION regress_mt_app;
LISTEN anything;
\echo :LAST_ERROR_SQLSTATE
SELECT pg_relation_size('public.mt_hardening');
\echo :LAST_ERROR_SQLSTATE
SELECT multitenant._blocks_of('public.mt_hardening') IS NULL;
UNLISTEN *;
SELECT pg_advisory_unlock_all();
RESET SESSION AUTHORIZATION;
-- also where the label was lost
SECURITY LABEL FOR multitenant ON TABLE public.mt_hardening IS NULL;
SECURITY LABEL FOR multitenant ON COLUMN public.mt_hardening.tenant_id IS NULL;
SET SESSION AUTHORIZATION regress_mt_app;
LISTEN anything;
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
SET SESSION AUTHORIZATION regress_mt_app;
LISTEN anything;
UNLISTEN *;
RESET SESSION AUTHORIZATION;

DROP TABLE public.mt_hardening;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_x, regress_mt_operator, regress_mt_auditor;
