-- Principals: making them known, naming, disabling.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_provisioner;
CREATE ROLE regress_mt_operator;
CREATE ROLE regress_mt_trusted;
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.grant_access('regress_mt_operator', 'operator');
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('alpha', id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', id => '00000000-0000-0000-0000-0000000000b1');
CREATE TABLE line (tenant_id uuid, n int);
INSERT INTO line VALUES ('00000000-0000-0000-0000-0000000000a1', 1);
SELECT multitenant.protect('line');
GRANT SELECT ON line TO regress_mt_trusted;

-- by profile provisioner
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.create_principal('ann');
SELECT multitenant.create_principal('pump-7', 'Pump "7"', 'machine');
SELECT multitenant.create_principal(repeat('p', 255)) = repeat('p', 255);
SELECT multitenant.alter_principal('ann', 'Ann O''Hara');
SELECT multitenant.add_member('alpha', 'bob');
SELECT multitenant.disable_principal('bob', 'left');
SELECT multitenant.enable_principal('bob');
-- refused
SELECT multitenant.create_principal('ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_principal(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_principal(repeat('p', 256)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_principal(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_principal('x', kind => NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_principal('x', kind => 'robot'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_principal('nobody', 'N'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_principal('ann', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disable_principal('nobody', 'left'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disable_principal('bob', ' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disable_principal(NULL, 'left'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.enable_principal('bob'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.enable_principal(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._change_principal('bob', 'disabled', NULL); \echo :LAST_ERROR_SQLSTATE

-- by others
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT multitenant.create_principal('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_principal('ann', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disable_principal('ann', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.enable_principal('ann'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.principal; \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT left(id, 10), kind, name, state FROM multitenant.principal ORDER BY id;

-- a disabled principal can do nothing, in every tenant
SELECT multitenant.add_member('beta', 'bob');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'bob');
SELECT n FROM line;
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT multitenant.disable_principal('bob', 'left');
SET SESSION AUTHORIZATION regress_mt_trusted;
SELECT multitenant.use_tenant('alpha', 'bob'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('beta', 'bob'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('nowhere', 'bob'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT multitenant.enable_principal('bob');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'bob');
SELECT n FROM line;
COMMIT;
-- a member whose principal is not known is active; it can be named and disabled, and who is no member is not known
RESET SESSION AUTHORIZATION;
SELECT multitenant.add_member('alpha', 'zoe'), multitenant.add_member('alpha', 'yan');
SELECT id FROM multitenant.principal WHERE id IN ('zoe', 'yan');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'zoe');
SELECT n FROM line;
COMMIT;
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.enable_principal('zoe'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disable_principal('zoe', 'left');
SELECT multitenant.alter_principal('yan', 'Yan');
SET SESSION AUTHORIZATION regress_mt_trusted;
SELECT multitenant.use_tenant('alpha', 'zoe'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT id, state, name FROM multitenant.principal WHERE id IN ('zoe', 'yan') ORDER BY id;

TRUNCATE multitenant.principal; \echo :LAST_ERROR_SQLSTATE
-- what was done is recorded, of no tenant
SELECT event, left(object, 6), outcome, tenant_id IS NULL, session_role = 'regress_mt_provisioner', detail FROM multitenant.audit_event
	WHERE event LIKE '%principal' AND octet_length(object) < 255 ORDER BY at;
SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
DROP TABLE line;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_provisioner, regress_mt_operator, regress_mt_trusted;
