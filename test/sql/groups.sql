-- Groups of a tenant: making them, what they contain, and who may put whom where.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_trusted;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('alpha', id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('beta', id => '00000000-0000-0000-0000-0000000000b1');
SELECT multitenant.add_member('alpha', 'ann', 'administrator');
SELECT multitenant.add_member('alpha', 'bob');
SELECT multitenant.add_member('beta', 'bea', 'administrator');
\set as_ann 'BEGIN; SELECT multitenant.use_tenant(''alpha'', ''ann'') IS NOT NULL; SAVEPOINT s;'
\set as_bea 'BEGIN; SELECT multitenant.use_tenant(''beta'', ''bea'') IS NOT NULL; SAVEPOINT s;'
\set as_bob 'BEGIN; SELECT multitenant.use_tenant(''alpha'', ''bob'') IS NOT NULL; SAVEPOINT s;'
SET SESSION AUTHORIZATION regress_mt_trusted;

-- groups
:as_ann
SELECT multitenant.create_group('staff', 'Everybody "inside"');
SELECT multitenant.create_group('night shift');
SELECT multitenant.create_group(repeat('g', 128)) = repeat('g', 128);
SAVEPOINT s;
SELECT multitenant.create_group('staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.create_group(repeat('g', 129)); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.create_group(''); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.create_group(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.create_group(E'a\nb'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_group('nobody'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_group(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_group(repeat('g', 128));
SELECT * FROM multitenant.groups ORDER BY name;
COMMIT;
-- what they contain
:as_ann
SELECT multitenant.invite_member('eve');
SELECT multitenant.add_to_group('night shift', 'bob');
SELECT multitenant.add_group_to_group('staff', 'night shift');
SAVEPOINT s;
SELECT multitenant.add_to_group('night shift', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('night shift', 'eve'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('night shift', 'bea'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('nobody', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('staff', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('staff', 'night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('staff', 'nobody'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- no cycles, of whatever length
SELECT multitenant.add_group_to_group('staff', 'staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('night shift', 'staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.create_group('guards');
SELECT multitenant.add_group_to_group('night shift', 'guards');
SELECT multitenant.add_group_to_group('guards', 'staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.group_members ORDER BY 1, 2;
SELECT multitenant.remove_from_group('staff', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_from_group('staff', 'night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_group_from_group('night shift', 'staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_from_group(NULL, 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_group_from_group('staff', 'night shift');
SELECT multitenant.remove_from_group('night shift', 'bob');
SELECT count(*) FROM multitenant.group_members;
ROLLBACK TO s;
COMMIT;
-- another tenant has none of it, and its own of the same name
:as_bea
SELECT count(*) FROM multitenant.groups;
SELECT count(*) FROM multitenant.group_members;
SELECT multitenant.create_group('staff');
SAVEPOINT s;
SELECT multitenant.drop_group('night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('staff', 'night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
-- who may not
:as_bob
SELECT multitenant.create_group('mine'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_group('staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('staff', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_from_group('night shift', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('night shift', 'staff'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_group_from_group('staff', 'night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.groups; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM multitenant.group_members; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- nobody gives what he has not: bob may manage members, but not assign roles
:as_ann
SELECT multitenant.create_group('board');
SELECT multitenant.create_group('deputies');
SELECT multitenant.add_group_to_group('board', 'deputies');
COMMIT;
RESET SESSION AUTHORIZATION;
INSERT INTO multitenant.role (id, tenant_id, name) VALUES ('00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-0000000000a1', 'clerk');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES ('00000000-0000-0000-0000-0000000000f1', 'member:*', '00000000-0000-0000-0000-0000000000a1');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES
	('00000000-0000-0000-0000-0000000000a1', true, 'staff', '00000000-0000-0000-0000-0000000000f1'),
	('00000000-0000-0000-0000-0000000000a1', true, 'board', '00000000-0000-0000-0000-000000000001');
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bob
SELECT multitenant.create_group('mine');
SELECT multitenant.add_to_group('mine', 'bob');
SAVEPOINT s;
SELECT multitenant.add_to_group('board', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('deputies', 'ann'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('deputies', 'mine'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_group_to_group('board', 'mine'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_group('board'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
:as_ann
SELECT multitenant.add_to_group('deputies', 'ann');
ROLLBACK;
-- the last who manages members does so by a group
RESET SESSION AUTHORIZATION;
DELETE FROM multitenant.role_assignment WHERE NOT is_group AND tenant_id = '00000000-0000-0000-0000-0000000000a1';
SET SESSION AUTHORIZATION regress_mt_trusted;
:as_bob
SELECT principal, state FROM multitenant.members ORDER BY 1;
SAVEPOINT s;
SELECT multitenant.remove_from_group('night shift', 'bob'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.remove_group_from_group('staff', 'night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_group('night shift'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.leave_tenant(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.add_to_group('night shift', 'ann');
SELECT multitenant.remove_from_group('night shift', 'bob');
COMMIT;
-- what was done is recorded
RESET SESSION AUTHORIZATION;
SELECT event, left(object, 12), principal, detail FROM multitenant.audit_event WHERE event LIKE '%group' ORDER BY at;
SET client_min_messages = warning;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_trusted;
