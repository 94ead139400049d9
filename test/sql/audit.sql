-- The audit record: events of applications, who reads what, append-only.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_auditor;
CREATE ROLE regress_mt_trusted;
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('alpha', id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', id => '00000000-0000-0000-0000-0000000000b1');

-- an application's events; tenant, role and source are set by the engine
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT multitenant.audit('invoice.approved', '{"invoice": 7, "note": "It''s \"quoted\"\nand long"}');
SELECT multitenant.audit('plain');
SELECT multitenant.audit(repeat('e', 128));
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('beta');
SELECT multitenant.audit('invoice.approved', '{"invoice": 8}');
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('beta');
SELECT multitenant.audit('rolled.back');
ROLLBACK;
SELECT multitenant.audit('no.tenant');
-- a transaction that cannot write: to the log only
BEGIN READ ONLY;
SELECT multitenant.use_tenant('alpha');
SELECT multitenant.audit('read.only');
COMMIT;

-- a tenant reads its own
SELECT event FROM multitenant.audit_log; \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('alpha');
SELECT left(event, 20), source, outcome, tenant_id, principal, session_role = 'regress_mt_trusted', object, detail FROM multitenant.audit_log ORDER BY at;
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('beta');
SELECT event, tenant_id, detail FROM multitenant.audit_log ORDER BY at;
COMMIT;

-- names of the engine
SELECT multitenant.audit('tenant.create'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('Tenant'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('ACCESS.grant'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('audit.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('role.assign'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('scope.move'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('permission.create'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('supervision'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('member.add'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('principal.disable'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('purpose.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('context.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('credential.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('isolation.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('key.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('multitenant.x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('tenants.are.not.reserved');
SELECT multitenant.audit(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('x', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('x', '[]'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit(repeat('e', 129)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit('two words'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit(' tenant.create'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit(E'x\ny'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.audit(U&'t\0435nant.create'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._audit('tenant.create', NULL, 'x', 'done', '{}'); \echo :LAST_ERROR_SQLSTATE

-- the table itself is nobody's
SELECT * FROM multitenant.audit_event; \echo :LAST_ERROR_SQLSTATE
INSERT INTO multitenant.audit_event (at, event, source, outcome, session_role, "current_role", detail)
	VALUES (now(), 'x', 'engine', 'done', 'x', 'x', '{}'); \echo :LAST_ERROR_SQLSTATE
DELETE FROM multitenant.audit_log; \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT count(*) FROM multitenant.audit_log; \echo :LAST_ERROR_SQLSTATE

-- an auditor reads all of it, and no more
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT left(event, 20), source, tenant_id, session_role = 'regress_mt_trusted' FROM multitenant.audit_log ORDER BY at;
SELECT count(*) FROM multitenant.audit_event; \echo :LAST_ERROR_SQLSTATE

-- whose event it is: the session's role and the one that it has taken, never the definer of a function around it
RESET SESSION AUTHORIZATION;
CREATE FUNCTION pg_temp.note(event text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ SELECT multitenant.audit(event) $$;
GRANT regress_mt_app TO regress_mt_trusted;
SET SESSION AUTHORIZATION regress_mt_trusted;
SELECT pg_temp.note('by.definer');
SET ROLE regress_mt_app;
SELECT multitenant.audit('by.role');
SELECT pg_temp.note('by.both');
RESET SESSION AUTHORIZATION;
SELECT event, session_role, "current_role" FROM multitenant.audit_event WHERE event LIKE 'by.%' ORDER BY at;

-- append-only, also for a superuser
UPDATE multitenant.audit_event SET event = 'x'; \echo :LAST_ERROR_SQLSTATE
DELETE FROM multitenant.audit_event WHERE false; \echo :LAST_ERROR_SQLSTATE
TRUNCATE multitenant.audit_event; \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.audit_event WHERE event IN ('rolled.back', 'read.only', 'x');

DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_auditor, regress_mt_trusted;
