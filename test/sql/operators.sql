-- Who looks after tenants from outside: master accounts, operators, visibility, requests.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\i sql/rights.inc
\set VERBOSITY terse
CREATE ROLE regress_mt_provisioner LOGIN; CREATE ROLE regress_mt_operator LOGIN; CREATE ROLE regress_mt_auditor LOGIN; CREATE ROLE regress_mt_app LOGIN;
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.grant_access('regress_mt_operator', 'operator');
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
CREATE FUNCTION regress_mt_rights.request(who text, tenant text, duration interval DEFAULT '1 hour') RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	PERFORM regress_mt_tokens.enter(NULL, who);
	RETURN multitenant.request_access(tenant, 'ticket 7', duration);
END $$;

-- ---- the provider's side: profile provisioner, which has no rights of its own ----
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.create_master_account('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.link_tenant(gen_random_uuid(), gen_random_uuid()); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unlink_tenant(gen_random_uuid(), gen_random_uuid()); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(gen_random_uuid(), 'olga', gen_random_uuid(), 'watcher'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unassign_operator('olga', gen_random_uuid()); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility('ffffffff-0000-0000-0000-000000000000'::uuid, 'none'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT multitenant.create_master_account('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility('ffffffff-0000-0000-0000-000000000000'::uuid, 'none'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.create_tenant('acme', id => '00000000-0000-0000-0000-00000000000a');
SELECT multitenant.create_tenant('beta', id => '00000000-0000-0000-0000-00000000000b');
SELECT multitenant.create_role_template('watcher', 'Looks.', '{member:read}') IS NOT NULL;
SELECT multitenant.create_master_account('Northern Services') AS north \gset
SELECT multitenant.create_master_account('Southern Services') AS south \gset
SELECT multitenant.create_master_account('Northern Services'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_master_account(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_master_account(' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_master_account(E'a\nb'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_master_account(repeat('x', 129)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.link_tenant(NULL, 'acme'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.link_tenant(gen_random_uuid(), 'acme'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.link_tenant(:'north', 'nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(:'north', 'olga', 'acme', 'watcher'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.link_tenant(:'north', 'acme');
SELECT multitenant.link_tenant(:'north', '00000000-0000-0000-0000-00000000000a'::uuid);
SELECT multitenant.link_tenant(:'south', 'acme');
SELECT multitenant.assign_operator(:'north', NULL, 'acme', 'watcher'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(:'north', '', 'acme', 'watcher'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(:'north', 'olga', 'acme', 'nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(:'north', 'olga', 'acme', 'watcher', '2001-01-01'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(:'north', 'olga', 'acme', 'watcher', now() + '1 day');
SELECT multitenant.assign_operator(:'north', 'olga', 'acme', 'watcher');
SELECT multitenant.assign_operator(:'south', 'olga', 'acme', 'watcher'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.assign_operator(:'south', 'oskar', '00000000-0000-0000-0000-00000000000a'::uuid, 'watcher');
SELECT tenant, master, principal, role, expires_at, is_current FROM multitenant.operators ORDER BY principal;
-- The first administrators; rights are the tenant's own affair from then on.
RESET SESSION AUTHORIZATION;
SELECT regress_mt_rights.people('acme', '{alice,bob}');
SELECT regress_mt_rights.people('beta', '{bert}');
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.add_member('acme', 'alice', 'administrator'), multitenant.add_member('beta', 'bert', 'administrator');

-- ---- visibility: from outside it can only be lowered ----
SELECT multitenant.set_visibility('acme', 'supervised'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility('acme', 'all'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility('acme', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility(NULL::uuid, 'none'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility('ffffffff-0000-0000-0000-000000000000'::uuid, 'none'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_visibility('acme', 'none');
SELECT multitenant.set_visibility('acme', 'metadata'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.set_visibility('none'); \echo :LAST_ERROR_SQLSTATE
SELECT try('acme', 'bob', $$SELECT multitenant.set_visibility('metadata')$$);
SELECT try('acme', 'alice', $$SELECT multitenant.set_visibility('whatever')$$);
-- Tenants of "none" cannot even be asked; whether there is such a tenant is the same error.
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', '1 hour') IS NOT NULL$$);
SELECT try('acme', 'alice', $$SELECT multitenant.set_visibility('metadata')$$);

-- ---- requests ----
SELECT multitenant.request_access('acme', 'ticket 7', '1 hour'); \echo :LAST_ERROR_SQLSTATE
SELECT try('acme', 'alice', $$SELECT multitenant.request_access('acme', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('beta', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('nobody', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access(NULL::uuid, 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'mallory', $$SELECT multitenant.request_access('acme', 'ticket 7', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', ' ', '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', repeat('x', 1001), '1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', '0 hours')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', '31 days')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', NULL)$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', '1200 mons -36000 days 1 hour')$$);
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', '101 years')$$);
RESET SESSION AUTHORIZATION;
SELECT request('olga', 'acme') AS first \gset
SELECT request('olga', '00000000-0000-0000-0000-00000000000a', '2 hours') AS second \gset
SELECT request('olga', 'acme') AS third \gset
SELECT request('oskar', 'acme') AS oskars \gset
SET SESSION AUTHORIZATION regress_mt_app;
-- Ten of one operator may wait.
SELECT try(NULL, 'oskar', $$SELECT count(multitenant.request_access('acme', 'ticket ' || i, '1 hour')) FROM generate_series(2, 10) i$$);
SELECT try(NULL, 'oskar', $$SELECT multitenant.request_access('acme', 'ticket 11', '1 hour')$$);
-- Who decides: the tenant's own people with the permission, and not about themselves.
SELECT try('acme', 'bob', format('SELECT multitenant.approve_access(%L)', :'first'));
SELECT try('acme', 'bob', format('SELECT multitenant.deny_access(%L)', :'first'));
SELECT try('acme', 'bob', format('SELECT multitenant.revoke_approval(%L)', :'first'));
SELECT try('beta', 'bert', format('SELECT multitenant.approve_access(%L)', :'first'));
SELECT try(NULL, 'olga', format('SELECT multitenant.approve_access(%L)', :'first'));
SELECT try('acme', 'alice', format('SELECT multitenant.approve_access(%L, %L)', :'first', '2 hours'));
SELECT try('acme', 'alice', format('SELECT multitenant.approve_access(%L, %L)', :'first', '0'));
SELECT try('acme', 'alice', $$SELECT multitenant.approve_access(gen_random_uuid())$$);
SELECT try('acme', 'alice', $$SELECT multitenant.approve_access(NULL)$$);
SELECT try('acme', 'alice', format('SELECT multitenant.approve_access(%L, %L)', :'first', '10 minutes'));
SELECT try('acme', 'alice', format('SELECT multitenant.approve_access(%L)', :'first'));
SELECT try('acme', 'alice', format('SELECT multitenant.deny_access(%L, %L)', :'second', 'Ask again on Monday.'));
SELECT try('acme', 'alice', format('SELECT multitenant.revoke_approval(%L)', :'second'));
SELECT try(NULL, 'oskar', format('SELECT multitenant.withdraw_request(%L)', :'third'));
SELECT try(NULL, 'olga', format('SELECT multitenant.withdraw_request(%L)', :'third'));
SELECT try(NULL, 'olga', format('SELECT multitenant.withdraw_request(%L)', :'third'));
-- What each sees: an operator his own, and none of the tenant's people.
BEGIN; SELECT regress_mt_tokens.enter(NULL, 'olga');
SELECT tenant, principal, state, reason, duration, ends_at - decided_at BETWEEN '9 minutes' AND '11 minutes' AS ends, note, decided_by FROM multitenant.access_requests ORDER BY requested_at;
SELECT tenant, master, principal, role FROM multitenant.operators;
COMMIT;
BEGIN; SELECT regress_mt_tokens.enter('acme', 'alice');
SELECT principal, state, count(*), min(decided_by) FROM multitenant.access_requests GROUP BY 1, 2 ORDER BY 1, 2;
SELECT tenant, master, principal, role FROM multitenant.operators ORDER BY principal;
COMMIT;
BEGIN; SELECT regress_mt_tokens.enter('acme', 'bob');
SELECT count(*) FROM multitenant.access_requests;
SELECT count(*) FROM multitenant.operators;
COMMIT;
BEGIN; SELECT regress_mt_tokens.enter('beta', 'bert');
SELECT count(*) FROM multitenant.access_requests;
SELECT count(*) FROM multitenant.operators;
COMMIT;
SELECT count(*) FROM multitenant.access_requests;
SELECT count(*) FROM multitenant.operators;
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT count(*) FROM multitenant.operators;
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT count(*) FROM multitenant.operators;
-- Nobody approves his own request, also not as a member.
RESET SESSION AUTHORIZATION;
SELECT multitenant.assign_operator(:'north', 'alice', 'acme', 'watcher');
SELECT request('alice', 'acme') AS own \gset
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try('acme', 'alice', format('SELECT multitenant.approve_access(%L)', :'own'));
-- Taking back.
SELECT try('acme', 'alice', format('SELECT multitenant.revoke_approval(%L)', :'first'));

-- ---- the end ----
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.unassign_operator('alice', 'acme');
SELECT multitenant.unassign_operator('alice', 'acme'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unlink_tenant(:'south', 'beta'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.unlink_tenant(:'south', 'acme');
SELECT multitenant.unlink_tenant(:'south', '00000000-0000-0000-0000-00000000000a'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT principal FROM multitenant.operators;
SELECT multitenant.suspend_tenant('acme', 'unpaid');
SET SESSION AUTHORIZATION regress_mt_app;
SELECT try(NULL, 'olga', $$SELECT multitenant.request_access('acme', 'ticket 7', '1 hour')$$);
RESET SESSION AUTHORIZATION;
-- No grants on the tables.
SELECT has_table_privilege('regress_mt_provisioner', 'multitenant.operator', 'SELECT'), has_table_privilege('regress_mt_operator', 'multitenant.supervision', 'SELECT');
SELECT event, CASE WHEN tenant_id IS NULL THEN '-' ELSE 'acme' END AS tenant, principal, CASE WHEN event ~ '^(master|operator|tenant)' THEN object END AS object, outcome,
	detail - 'master' - 'ends_at' - 'expires_at' AS detail FROM multitenant.audit_event WHERE event ~ '^(master|operator|access[.](request|approve|deny|revoke_a|withdraw))|visibility' AND principal IS DISTINCT FROM 'oskar' ORDER BY at, event;

\i sql/tokens_off.inc
SET client_min_messages = warning;
DROP SCHEMA regress_mt_rights CASCADE;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_provisioner, regress_mt_operator, regress_mt_auditor, regress_mt_app;
