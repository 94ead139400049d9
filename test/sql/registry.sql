-- Tenants: creating, changing, suspending, deleting and looking them up; members.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_auditor;
CREATE ROLE regress_mt_operator;
CREATE ROLE regress_mt_provisioner;
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
SELECT multitenant.grant_access('regress_mt_operator', 'operator');
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');

-- creating; numbers given by hand are passed over
SET ROLE regress_mt_provisioner;
SELECT multitenant.create_tenant('alpha', 'Alpha & Sons', 2, '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta') IS NOT NULL;
SELECT multitenant.create_tenant('gamma', number => 9223372036854775807) IS NOT NULL;
SELECT multitenant.create_tenant('delta', id => '00000000-0000-0000-0000-0000000000d1');
SELECT number, slug, name, state, state_reason, purge_after FROM multitenant.tenants ORDER BY number;

-- slugs: anything of 1 to 128 bytes that is no id
SELECT multitenant.create_tenant('It''s "quoted"; DROP TABLE x --') IS NOT NULL;
SELECT multitenant.create_tenant(' two  spaces ') IS NOT NULL;
SELECT multitenant.create_tenant(U&'Z\00FCrich \6771\4EAC') IS NOT NULL;
SELECT multitenant.create_tenant(repeat('x', 63)) IS NOT NULL;
SELECT multitenant.create_tenant(repeat('y', 128)) IS NOT NULL;
SELECT multitenant.create_tenant('42', number => 4242) IS NOT NULL;
SELECT multitenant.create_tenant('ALPHA') IS NOT NULL;
SELECT slug, name = slug FROM multitenant.tenants WHERE number > 4 AND number < 4000 ORDER BY number;
SELECT multitenant.create_tenant(repeat('z', 129)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant(repeat(U&'\6771', 43)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant(''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant(E'line\nbreak'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('00000000-0000-0000-0000-0000000000e1'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('ABCDEF00-0000-0000-0000-0000000000E1'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('other', number => 2); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('other', id => '00000000-0000-0000-0000-0000000000a1'); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.tenants;

-- looking up
SELECT multitenant.tenant_id('alpha');
SELECT multitenant.tenant_id('00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.tenant_id(upper('00000000-0000-0000-0000-0000000000a1'));
SELECT multitenant.tenant_id(2);
SELECT multitenant.tenant_id('42') = multitenant.tenant_id(4242);
SELECT multitenant.tenant_id(NULL::text); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.tenant_id(NULL::bigint); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.tenant_id('nobody "x"'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.tenant_id('00000000-0000-0000-0000-0000000000ff'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.tenant_id(-1); \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_auditor;
SELECT multitenant.tenant_id('alpha');
SET ROLE regress_mt_operator;
SELECT multitenant.tenant_id(2);

-- an application learns nothing, not even whether a tenant exists
SET ROLE regress_mt_app;
SELECT multitenant.tenant_id('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.tenant_id('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.tenant_id(2); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('new'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_tenant('alpha', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_tenant('00000000-0000-0000-0000-0000000000a1'::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('alpha', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('00000000-0000-0000-0000-0000000000a1'::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('00000000-0000-0000-0000-0000000000a1'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.delete_tenant('00000000-0000-0000-0000-0000000000a1'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.undelete_tenant('00000000-0000-0000-0000-0000000000a1'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('00000000-0000-0000-0000-0000000000a1'::uuid, 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('00000000-0000-0000-0000-0000000000a1'::uuid, 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._change_state('00000000-0000-0000-0000-0000000000a1', 'authenticate', '{active}', 'deleted', NULL, now()); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._end_sessions('00000000-0000-0000-0000-0000000000a1'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.tenants;
SELECT * FROM multitenant.tenant; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.member; \echo :LAST_ERROR_SQLSTATE
INSERT INTO multitenant.tenant (slug, name) VALUES ('new', 'new'); \echo :LAST_ERROR_SQLSTATE
SELECT nextval('multitenant.tenant_number_seq'); \echo :LAST_ERROR_SQLSTATE

-- a definer function of a provisioner lends its caller nothing
RESET ROLE;
CREATE SCHEMA mt_registry;
CREATE FUNCTION mt_registry.lend() RETURNS uuid LANGUAGE sql SECURITY DEFINER AS $$ SELECT multitenant.create_tenant('lent') $$;
ALTER FUNCTION mt_registry.lend() OWNER TO regress_mt_provisioner;
GRANT USAGE ON SCHEMA mt_registry TO PUBLIC;
SET ROLE regress_mt_app;
SELECT mt_registry.lend(); \echo :LAST_ERROR_SQLSTATE

-- changing
SET ROLE regress_mt_provisioner;
SELECT multitenant.alter_tenant('alpha', 'Alpha');
SELECT multitenant.alter_tenant('00000000-0000-0000-0000-0000000000d1'::uuid, name => 'It''s "Delta"');
SELECT slug, name FROM multitenant.tenants WHERE id IN ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000d1') ORDER BY 1;
SELECT multitenant.alter_tenant('nobody', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_tenant('00000000-0000-0000-0000-0000000000ff'::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_operator;
SELECT multitenant.alter_tenant('alpha', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('new'); \echo :LAST_ERROR_SQLSTATE

-- rows and tokens name a tenant by id, number or slug for ever
RESET ROLE;
UPDATE multitenant.tenant SET number = 77 WHERE slug = 'alpha'; \echo :LAST_ERROR_SQLSTATE
UPDATE multitenant.tenant SET id = gen_random_uuid() WHERE slug = 'alpha'; \echo :LAST_ERROR_SQLSTATE
UPDATE multitenant.tenant SET slug = 'alpha2' WHERE slug = 'alpha'; \echo :LAST_ERROR_SQLSTATE

-- suspending and resuming
SET ROLE regress_mt_operator;
SELECT multitenant.suspend_tenant('alpha', 'unpaid "invoices"');
SELECT slug, state, state_reason FROM multitenant.tenants WHERE slug = 'alpha';
SELECT multitenant.suspend_tenant('alpha', 'again'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('nobody', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('00000000-0000-0000-0000-0000000000ff'::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('alpha');
SELECT slug, state, state_reason FROM multitenant.tenants WHERE slug = 'alpha';
SELECT multitenant.resume_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('00000000-0000-0000-0000-0000000000a1'::uuid, 'by id');
SELECT multitenant.resume_tenant('00000000-0000-0000-0000-0000000000a1'::uuid);
SELECT multitenant.delete_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.undelete_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', 'ann'); \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_auditor;
SELECT multitenant.suspend_tenant('alpha', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE

-- deleting and bringing back
SET ROLE regress_mt_provisioner;
SELECT multitenant.delete_tenant('alpha', 'contract ended', '10 days');
SELECT state, state_reason, purge_after - state_changed_at FROM multitenant.tenants WHERE slug = 'alpha';
SELECT multitenant.delete_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('alpha', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.undelete_tenant('alpha');
SELECT state, state_reason, purge_after FROM multitenant.tenants WHERE slug = 'alpha';
SELECT multitenant.undelete_tenant('alpha'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('alpha', 'unpaid');
SELECT multitenant.delete_tenant('00000000-0000-0000-0000-0000000000a1'::uuid);
SELECT state, purge_after - state_changed_at FROM multitenant.tenants WHERE slug = 'alpha';
SELECT multitenant.undelete_tenant('00000000-0000-0000-0000-0000000000a1'::uuid);
SELECT state FROM multitenant.tenants WHERE slug = 'alpha';
SELECT multitenant.delete_tenant('alpha', grace => '0');
SELECT multitenant.undelete_tenant('alpha');
SELECT multitenant.delete_tenant('alpha', grace => '-1 second'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.delete_tenant('alpha', grace => NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.delete_tenant('alpha', grace => '101 years'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.delete_tenant('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.undelete_tenant('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('alpha');

-- members
SELECT multitenant.add_member('alpha', 'ann');
SELECT multitenant.add_member('alpha', 'ann');
SELECT multitenant.add_member('00000000-0000-0000-0000-0000000000a1'::uuid, 'O''Brien "x"@example.com');
SELECT multitenant.add_member('alpha', repeat('p', 255));
SELECT multitenant.add_member('alpha', repeat('p', 256)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', ''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('nobody', 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('00000000-0000-0000-0000-0000000000ff'::uuid, 'ann'); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT t.slug, left(m.principal, 20) FROM multitenant.member m JOIN multitenant.tenant t ON t.id = m.tenant_id ORDER BY 2;
SET ROLE regress_mt_provisioner;
SELECT multitenant.remove_member('alpha', 'ann');
SELECT multitenant.remove_member('alpha', 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('beta', 'O''Brien "x"@example.com'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('nobody', 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('00000000-0000-0000-0000-0000000000a1'::uuid, 'O''Brien "x"@example.com');

-- a null does nothing and says so
SELECT multitenant.alter_tenant(NULL::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_tenant(NULL::text, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_tenant('alpha', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.alter_tenant('00000000-0000-0000-0000-0000000000a1'::uuid, NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant(NULL::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant(NULL::text, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('alpha', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('alpha', ''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('00000000-0000-0000-0000-0000000000a1'::uuid, ' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('alpha', 'x', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant(NULL::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant(NULL::text); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.delete_tenant(NULL::text); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.delete_tenant(NULL::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.undelete_tenant(NULL::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.undelete_tenant(NULL::text); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member(NULL::uuid, 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member(NULL::text, 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member(NULL::uuid, 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member(NULL::text, 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('alpha', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT name, state FROM multitenant.tenants WHERE slug = 'alpha';

-- what was done is recorded
RESET ROLE;
SELECT event, object = '00000000-0000-0000-0000-0000000000a1' AS is_alpha, outcome, session_role = session_user, detail
	FROM multitenant.audit_event WHERE tenant_id = '00000000-0000-0000-0000-0000000000a1' AND event <> 'tenant.alter' ORDER BY at LIMIT 12;
SELECT event, left(object, 10), outcome, detail FROM multitenant.audit_event WHERE event LIKE 'tenant.%member' ORDER BY at;
SELECT event, outcome, detail FROM multitenant.audit_event WHERE event = 'tenant.alter' ORDER BY at;

SET client_min_messages = warning;
DROP SCHEMA mt_registry CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_auditor, regress_mt_operator, regress_mt_provisioner;
