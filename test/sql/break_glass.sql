-- Break-glass: how a tenant sets it up, who opens, approves, closes and reviews it, and who does not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/tokens.inc
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null NULL
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_trusted LOGIN;
CREATE ROLE regress_mt_provisioner LOGIN;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.create_tenant('bg-a', number => 9501, id => 'a0000000-0000-4000-8000-000000000051');
SELECT multitenant.create_tenant('bg-b', number => 9502, id => 'b0000000-0000-4000-8000-000000000052');
\set a 'a0000000-0000-4000-8000-000000000051'
\set b 'b0000000-0000-4000-8000-000000000052'

-- ann is the administrator of both; otto may open, adam approves, rita reviews, nora may nothing.
INSERT INTO multitenant.principal (id) SELECT unnest('{ann,otto,adam,rita,nora,mole}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) SELECT :'a', unnest('{ann,otto,adam,rita,nora}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) VALUES (:'b', 'ann'), (:'b', 'otto');
INSERT INTO multitenant.permission (name, description) VALUES ('vault:open', 'Open the vault.'), ('vault:burn', 'Burn it.');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES
	('a0000000-0000-4000-8000-0000000000e1', :'a', 'emergency'), ('a0000000-0000-4000-8000-0000000000e2', :'a', 'staff'),
	('a0000000-0000-4000-8000-0000000000e3', :'a', 'approver'), ('a0000000-0000-4000-8000-0000000000e4', :'a', 'reviewer'),
	('a0000000-0000-4000-8000-0000000000e5', :'a', 'manager'), ('b0000000-0000-4000-8000-0000000000e1', :'b', 'other');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES
	('a0000000-0000-4000-8000-0000000000e1', 'vault:*', :'a'), ('a0000000-0000-4000-8000-0000000000e1', 'break_glass:*', :'a'),
	('a0000000-0000-4000-8000-0000000000e2', 'break_glass:open', :'a'), ('a0000000-0000-4000-8000-0000000000e3', 'break_glass:approve', :'a'),
	('a0000000-0000-4000-8000-0000000000e4', 'break_glass:review', :'a'), ('a0000000-0000-4000-8000-0000000000e5', 'break_glass:manage', :'a');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES
	(:'a', false, 'ann', '00000000-0000-0000-0000-000000000001'), (:'b', false, 'ann', '00000000-0000-0000-0000-000000000001'),
	(:'a', false, 'otto', 'a0000000-0000-4000-8000-0000000000e2'), (:'a', false, 'adam', 'a0000000-0000-4000-8000-0000000000e3'),
	(:'a', false, 'adam', 'a0000000-0000-4000-8000-0000000000e2'), (:'a', false, 'rita', 'a0000000-0000-4000-8000-0000000000e4'),
	(:'a', false, 'nora', 'a0000000-0000-4000-8000-0000000000e5'), (:'b', false, 'otto', '00000000-0000-0000-0000-000000000001');

SET SESSION AUTHORIZATION regress_mt_app;
-- ---- the rule ----
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.open_break_glass('before there is any'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.set_break_glass('emergency'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- Who may manage it, but has not what the role permits.
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'nora');
SELECT multitenant.set_break_glass('emergency'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'ann');
SAVEPOINT s;
SELECT multitenant.set_break_glass('other'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_break_glass('emergency', '0'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_break_glass('emergency', '-1 month 40 days'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_break_glass('emergency', '25 hours'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_break_glass('emergency', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_break_glass(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_break_glass('administrator');
SELECT multitenant.set_break_glass('emergency', '30 minutes');
COMMIT;

-- ---- with approval ----
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SAVEPOINT s;
SELECT multitenant.open_break_glass(' '); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.open_break_glass(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.open_break_glass(repeat('x', 2001)); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.open_break_glass('fire', '31 minutes'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.open_break_glass('fire', '-1 minute'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.open_break_glass('fire', '20 minutes') AS id \gset
SELECT multitenant.open_break_glass('again'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.open_break_glass('fire', '20 minutes') AS id \gset
-- It does not hold yet, and its opener cannot make it.
SELECT multitenant.has_permission('vault:open');
SAVEPOINT t;
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO t;
SELECT principal, role, reason, state, duration, holds_from FROM multitenant.break_glass_reviews;
COMMIT;
-- adam may open and approve, but not his own.
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'adam');
SELECT multitenant.open_break_glass('mine') AS own \gset
SAVEPOINT s;
SELECT multitenant.approve_break_glass(:'own'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.deny_break_glass(:'own', 'no'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.approve_break_glass('11111111-1111-1111-1111-111111111111'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.approve_break_glass(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.close_break_glass();
SELECT principal, state, closed_by FROM multitenant.break_glass_reviews ORDER BY opened_at DESC LIMIT 1;
SELECT multitenant.close_break_glass(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.close_break_glass(:'own');
SELECT multitenant.close_break_glass(:'own'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- Another tenant's administrator does not know of it.
BEGIN;
SELECT regress_mt_tokens.enter('bg-b', 'ann');
SELECT count(*) FROM multitenant.break_glass_reviews;
SAVEPOINT s;
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.close_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.review_break_glass(:'id', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- Nor somebody without the permission whether it is there.
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'nora');
SELECT count(*) FROM multitenant.break_glass_reviews;
SAVEPOINT s;
SELECT multitenant.close_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.close_break_glass('11111111-1111-1111-1111-111111111111'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'adam');
SELECT multitenant.approve_break_glass(:'id');
SAVEPOINT s;
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
-- It holds, counted from the approval.
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.has_permission('vault:open'), multitenant.has_permission('vault:burn');
SELECT state, ends_at = holds_from + '20 minutes', approved_by FROM multitenant.break_glass_reviews;
SAVEPOINT s;
-- What governs it cannot be changed under it, although the role permits that.
SELECT multitenant.has_permission('break_glass:manage');
SELECT multitenant.set_break_glass('emergency', '1 hour', false); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_break_glass(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.review_break_glass(:'id', 'all well'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'rita');
SELECT principal, state FROM multitenant.break_glass_reviews;
SELECT multitenant.review_break_glass(:'id', 'too early'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- adam ends it; the next statement of otto's has it no more.
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'adam');
SELECT multitenant.close_break_glass(:'id');
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.has_permission('vault:open');
SELECT multitenant.review_break_glass(:'id', 'all well'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'ann');
SELECT multitenant.review_break_glass(:'id', ''); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'rita');
SELECT multitenant.review_break_glass(:'id', 'the vault was opened once');
SELECT principal, state, reviewed_by, review FROM multitenant.break_glass_reviews;
SELECT multitenant.review_break_glass(:'id', 'changed my mind'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- ---- denied, lapsed, changed meanwhile ----
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.open_break_glass('denied') AS id \gset
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'adam');
SELECT multitenant.deny_break_glass(:'id', 'call me');
SAVEPOINT s;
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT state, closed_by, note FROM multitenant.break_glass_reviews ORDER BY opened_at DESC LIMIT 1;
SELECT multitenant.open_break_glass('lapses') AS id \gset
COMMIT;
RESET SESSION AUTHORIZATION;
UPDATE multitenant.break_glass SET opened_at = opened_at - interval '2 hours', ends_at = ends_at - interval '2 hours' WHERE id = :'id';
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'adam');
SELECT state FROM multitenant.break_glass_reviews WHERE id = :'id';
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.open_break_glass('while the rule changes') AS id \gset
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'ann');
SELECT multitenant.set_break_glass('emergency', '10 minutes', false);
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'adam');
SELECT multitenant.approve_break_glass(:'id'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- ---- without approval: at once, and over by itself ----
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.close_break_glass();
SELECT multitenant.open_break_glass('flood') AS id \gset
SELECT multitenant.has_permission('vault:open');
SELECT state, ends_at - holds_from FROM multitenant.break_glass_reviews WHERE id = :'id';
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT name, level, detail FROM multitenant.lint() WHERE name LIKE 'break_glass%';
UPDATE multitenant.break_glass SET holds_from = holds_from - interval '8 days', ends_at = ends_at - interval '8 days' WHERE id = :'id';
SELECT name, level, detail FROM multitenant.lint() WHERE name LIKE 'break_glass%';
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.has_permission('vault:open');
SELECT state FROM multitenant.break_glass_reviews WHERE id = :'id';
-- Dropping it closes what is open.
SELECT multitenant.open_break_glass('last one') AS id \gset
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'ann');
SELECT multitenant.drop_break_glass();
SELECT state, closed_by FROM multitenant.break_glass_reviews WHERE id = :'id';
SELECT multitenant.set_break_glass('emergency', '10 minutes', false);
COMMIT;
-- What governs it stays as it is also for who may change it otherwise.
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'ann');
SELECT multitenant.open_break_glass('drill') IS NOT NULL;
SAVEPOINT s;
SELECT multitenant.set_break_glass('emergency', '1 hour', false); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_break_glass(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_visibility('none');
ROLLBACK;
-- Read-only transactions cannot open it.
BEGIN READ ONLY;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.open_break_glass('quietly'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- ---- not for others ----
-- No context, another kind of context, no principal, no member, a member who is suspended or disabled.
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.break_glass_reviews; \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'mole');
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', NULL);
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('bg-a') IS NOT NULL;
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.set_break_glass('administrator'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.break_glass_reviews; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.break_glass; \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT multitenant.system_context('regression test');
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'otto' AND tenant_id = :'a';
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('bg-a', 'otto');
SELECT multitenant.open_break_glass('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;

SELECT event, outcome, principal, detail - 'role' AS detail FROM multitenant.audit_event
	WHERE event LIKE 'access.%break_glass' AND (event <> 'access.open_break_glass' OR object IN (SELECT id::text FROM multitenant.break_glass)) ORDER BY at;
SELECT count(*) > 0, bool_and(row_data ->> 'principal' IN ('otto', 'adam')) FROM multitenant.rights_history WHERE table_name = 'break_glass';
TRUNCATE multitenant.break_glass; \echo :LAST_ERROR_SQLSTATE
\i sql/tokens_off.inc
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_trusted, regress_mt_provisioner;
