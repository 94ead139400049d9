-- Who belongs to a tenant: from outside, inside, by the principals themselves; what each may see of it.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_provisioner;
CREATE ROLE regress_mt_auditor;
CREATE ROLE regress_mt_trusted;
CREATE ROLE regress_mt_app;
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('alpha', 'Alpha & "Sons"', number => 1, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', number => 2, id => '00000000-0000-0000-0000-0000000000b1');
SELECT multitenant.create_tenant('gone', number => 3, id => '00000000-0000-0000-0000-0000000000c1');
CREATE TABLE line (tenant_id uuid, n int);
INSERT INTO line VALUES ('00000000-0000-0000-0000-0000000000a1', 1), ('00000000-0000-0000-0000-0000000000b1', 2);
SELECT multitenant.protect('line');
GRANT SELECT ON line TO regress_mt_trusted;
\set as_ann 'BEGIN; SELECT multitenant.use_tenant(''alpha'', ''ann'') IS NOT NULL;'
\set as_bea 'BEGIN; SELECT multitenant.use_tenant(''beta'', ''bea'') IS NOT NULL;'
\set as_bob 'BEGIN; SELECT multitenant.use_tenant(''alpha'', ''bob'') IS NOT NULL;'
\set as_cid 'BEGIN; SELECT multitenant.use_tenant(''beta'', ''cid'') IS NOT NULL;'

-- from outside: members, as long as nobody has been given a role
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.add_member('alpha', 'ann', 'no such role'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', 'bob');
SELECT multitenant.add_member('alpha', 'ann', 'administrator');
-- and from then on none, neither with a role nor without one, nor those that are there
SELECT multitenant.add_member('alpha', 'bob', 'administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', 'mallory'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', 'bob'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('gone', 'cid');
SELECT multitenant.add_member('beta', 'cid');
SELECT multitenant.add_member('00000000-0000-0000-0000-0000000000b1'::uuid, 'bea', role => 'administrator');
-- neither by removing nor by disabling the first one
SELECT multitenant.remove_member('alpha', 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.disable_principal('ann', 'to get in');
SELECT multitenant.add_member('alpha', 'bob', 'administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.enable_principal('ann');
SELECT multitenant.delete_tenant('gone');
-- nor does it see who belongs
SELECT * FROM multitenant.members; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.memberships; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.member; \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT * FROM multitenant.members; \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_member('alpha', 'eve'); \echo :LAST_ERROR_SQLSTATE

-- contexts on behalf of members
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'bob');
SELECT state, tenant_slug, principal, kind, source FROM multitenant.context;
SELECT n FROM line;
-- another principal is another context
SELECT multitenant.use_tenant('alpha', 'ann'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('00000000-0000-0000-0000-0000000000a1'::uuid, 'bob');
SELECT multitenant.use_tenant(1, 'bob');
COMMIT;
SELECT multitenant.use_tenant('alpha', 'bea'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('nobody', 'ann'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('alpha', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('alpha', ''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant('alpha', repeat('ann', 100)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.use_tenant(NULL::uuid, 'ann'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.use_tenant('alpha', 'ann'); \echo :LAST_ERROR_SQLSTATE

-- inside: who may not
SELECT multitenant.invite_member('eve'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha') IS NOT NULL;
SAVEPOINT s;
SELECT multitenant.invite_member('eve'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.members; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.memberships; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.accept_invitation('beta'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
:as_bob
SAVEPOINT s;
SELECT multitenant.invite_member('eve'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.withdraw_invitation('eve'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_member('eve'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.suspend_member('ann', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.resume_member('ann'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_member('ann'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.members; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_member('beta', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- invitations
:as_ann
SELECT multitenant.invite_member('cid');
SELECT multitenant.invite_member('nobody yet', '2999-01-01');
SELECT multitenant.invite_member('cid', now() + interval '1 day');
SAVEPOINT s;
SELECT multitenant.invite_member('bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.invite_member(''); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.invite_member(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.invite_member('eve', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.invite_member('eve', now()); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.withdraw_invitation('bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_member('cid'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.suspend_member('cid', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT principal, state, invited_by, expires_at > now() FROM multitenant.members ORDER BY principal;
SELECT multitenant.withdraw_invitation('nobody yet');
COMMIT;
-- who is invited is not in yet, and accepts by itself
SELECT multitenant.use_tenant('alpha', 'cid'); \echo :LAST_ERROR_SQLSTATE
:as_cid
SELECT * FROM (SELECT slug, name, state FROM multitenant.memberships ORDER BY slug) m;
SAVEPOINT s;
-- one error for those that are not there and those that did not invite
SELECT multitenant.accept_invitation('nowhere'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.accept_invitation('beta'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.accept_invitation('gone'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decline_invitation(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.accept_invitation('alpha');
SELECT multitenant.accept_invitation('alpha'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decline_invitation('00000000-0000-0000-0000-0000000000A1');
SELECT slug FROM multitenant.memberships;
ROLLBACK TO s;
SELECT multitenant.accept_invitation('alpha');
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'cid');
SELECT n FROM line;
COMMIT;
-- one that has expired
:as_ann
SELECT multitenant.invite_member('dan');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT multitenant.add_member('beta', 'dan');
UPDATE multitenant.member SET expires_at = now() - interval '1 second' WHERE principal = 'dan' AND state = 'invited';
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('beta', 'dan');
SELECT slug FROM multitenant.memberships;
SELECT multitenant.accept_invitation('alpha'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- members
:as_ann
SELECT multitenant.add_member('eve');
SELECT multitenant.add_member('dan');
SELECT multitenant.suspend_member('eve', 'holidays');
SAVEPOINT s;
SELECT multitenant.add_member('eve'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.suspend_member('eve', 'again'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.suspend_member('eve', ''); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.suspend_member('bea', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.resume_member('bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_member('bea'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_member(NULL::text); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- the last one who manages members
SELECT multitenant.remove_member('ann'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.suspend_member('ann', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.leave_tenant(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT principal, state, invited_by, expires_at FROM multitenant.members ORDER BY principal;
COMMIT;
SELECT multitenant.use_tenant('alpha', 'eve'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
-- not even from outside
SELECT multitenant.add_member('alpha', 'eve'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_ann
SELECT multitenant.resume_member('eve');
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'eve');
SELECT multitenant.leave_tenant();
SELECT n FROM line; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'eve');
SELECT multitenant.leave_tenant();
COMMIT;
SELECT multitenant.use_tenant('alpha', 'eve'); \echo :LAST_ERROR_SQLSTATE
-- what a member had goes with it
RESET SESSION AUTHORIZATION;
SELECT multitenant.add_member('alpha', 'bob', 'administrator');
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bob
SELECT multitenant.create_group('staff');
SELECT multitenant.add_to_group('staff', 'cid');
SELECT multitenant.add_to_group('staff', 'bob');
SELECT multitenant.remove_member('cid');
SELECT multitenant.remove_member('ann');
SELECT * FROM multitenant.group_members;
SELECT multitenant.leave_tenant(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
:as_bob
SELECT multitenant.remove_member('ann');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT assignee FROM multitenant.role_assignment WHERE tenant_id = '00000000-0000-0000-0000-0000000000a1';
SELECT row_data ->> 'assignee' FROM multitenant.rights_history WHERE table_name = 'role_assignment';
-- superusers may remove the last one
SELECT multitenant.remove_member('alpha', 'bob');
SELECT multitenant.remove_member('alpha', 'bob'); \echo :LAST_ERROR_SQLSTATE
-- and give the tenant another one, then; nobody else does
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.add_member('alpha', 'cid', 'administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('alpha', 'dan');
RESET SESSION AUTHORIZATION;
SELECT multitenant.add_member('alpha', 'cid', 'administrator');

-- a membership that ends by itself
RESET SESSION AUTHORIZATION;
UPDATE multitenant.member SET expires_at = now() - interval '1 second' WHERE principal = 'cid' AND tenant_id = '00000000-0000-0000-0000-0000000000b1';
SET SESSION AUTHORIZATION regress_mt_trusted;
SELECT multitenant.use_tenant('beta', 'cid'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT multitenant.add_member('beta', 'cid');
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_cid
COMMIT;

-- one tenant for each principal
SELECT multitenant.set_membership_mode('single'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_membership_mode(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_membership_mode('both'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_membership_mode('single'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.remove_member('beta', 'cid');
SELECT multitenant.remove_member('gone', 'cid');
SELECT multitenant.set_membership_mode('single');
SELECT bool_and(is_sole) FROM multitenant.member;
SELECT multitenant.add_member('beta', 'cid'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_trusted;
-- the tenant cannot tell who is a member elsewhere
:as_bea
SAVEPOINT s;
SELECT multitenant.add_member('cid'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_member('nobody yet'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.invite_member('cid');
SELECT multitenant.invite_member('nobody yet');
SELECT principal, state, invited_by FROM multitenant.members WHERE state = 'invited' ORDER BY principal;
COMMIT;
-- only who is invited learns it
BEGIN;
SELECT multitenant.use_tenant('alpha', 'cid') IS NOT NULL;
SAVEPOINT s;
SELECT multitenant.accept_invitation('beta'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decline_invitation('beta');
COMMIT;
:as_bea
SELECT multitenant.invite_member('cid');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_membership_mode('multiple');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('alpha', 'cid') IS NOT NULL;
SELECT multitenant.accept_invitation('beta');
COMMIT;

-- what was assigned to an invitation goes with it, whichever way it ends, and is not there when somebody comes back
\set give 'SELECT multitenant.invite_member(''xaver''); SELECT multitenant.assign_role(''xaver'', ''administrator'') IS NOT NULL; COMMIT;'
\set left 'SELECT count(*) FROM multitenant.role_assignment WHERE assignee = ''xaver'';'
:as_bea
:give
:as_bea
SELECT multitenant.withdraw_invitation('xaver');
COMMIT;
RESET SESSION AUTHORIZATION;
:left
SELECT multitenant.add_member('gone', 'xaver'), multitenant.undelete_tenant('gone');
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bea
:give
BEGIN;
SELECT multitenant.use_tenant('gone', 'xaver') IS NOT NULL, multitenant.decline_invitation('beta');
COMMIT;
RESET SESSION AUTHORIZATION;
:left
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bea
:give
RESET SESSION AUTHORIZATION;
UPDATE multitenant.member SET expires_at = now() - interval '1 second' WHERE principal = 'xaver' AND state = 'invited';
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bea
SELECT multitenant.invite_member('xaver');
SELECT count(*) FROM multitenant.assignments WHERE principal = 'xaver';
ROLLBACK;
:as_bea
SELECT multitenant.add_member('xaver');
COMMIT;
RESET SESSION AUTHORIZATION;
:left
SELECT multitenant.remove_member('beta', 'xaver');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id)
	VALUES ('00000000-0000-0000-0000-0000000000b1', false, 'xaver', '00000000-0000-0000-0000-000000000001');
SELECT multitenant.add_member('beta', 'xaver');
:left
SELECT multitenant.remove_member('beta', 'xaver');

-- the reason of a tenant's state is not for the tenant
RESET SESSION AUTHORIZATION;
SELECT multitenant.suspend_tenant('beta', 'unpaid');
SELECT state_reason FROM multitenant.tenants WHERE slug = 'beta';
SELECT multitenant.resume_tenant('beta');
UPDATE multitenant.tenant SET state_reason = 'a difficult customer' WHERE slug = 'beta';
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bea
SELECT slug, state, state_reason FROM multitenant.tenants;
COMMIT;

-- what was done is recorded
RESET SESSION AUTHORIZATION;
SELECT event, tenant_id, principal, object, detail - 'expires_at' FROM multitenant.audit_event
	WHERE (event LIKE 'tenant.%member' OR event LIKE 'tenant.%invitation' OR event LIKE '%tenant' OR event LIKE '%mode')
		AND event <> 'tenant.create' AND principal IS NOT NULL ORDER BY at;
SET client_min_messages = warning;
SELECT multitenant.unprotect_all();
DROP TABLE line;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_provisioner, regress_mt_auditor, regress_mt_trusted, regress_mt_app;
