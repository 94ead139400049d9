-- Rules of purposes: who may decrypt and encrypt, whose rule holds, and who is never asked or never may.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS multitenant;
RESET client_min_messages;
\i sql/master_key.inc
\i sql/tokens.inc
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null NULL
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_trusted LOGIN;
CREATE ROLE regress_mt_migrator LOGIN;
CREATE ROLE regress_mt_provisioner LOGIN;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_migrator', 'migrator');
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.create_tenant('pr-a', number => 9601, id => 'a0000000-0000-4000-8000-000000000061');
SELECT multitenant.create_tenant('pr-b', number => 9602, id => 'b0000000-0000-4000-8000-000000000062');
\set a 'a0000000-0000-4000-8000-000000000061'
\set b 'b0000000-0000-4000-8000-000000000062'

-- ann is the administrator of both, rob manages roles, dora decrypts, nora has nothing.
INSERT INTO multitenant.principal (id) SELECT unnest('{ann,rob,dora,nora}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) SELECT :'a', unnest('{ann,rob,dora,nora}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) SELECT :'b', unnest('{ann,nora}'::text[]);
INSERT INTO multitenant.permission (name, description) VALUES ('payroll:open', 'See salaries.');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES
	('a0000000-0000-4000-8000-0000000000f1', :'a', 'reader'), ('a0000000-0000-4000-8000-0000000000f2', :'a', 'managing'),
	('a0000000-0000-4000-8000-0000000000f3', :'a', 'writer');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES
	('a0000000-0000-4000-8000-0000000000f1', 'secret:decrypt', :'a'), ('a0000000-0000-4000-8000-0000000000f2', 'role:manage', :'a'),
	('a0000000-0000-4000-8000-0000000000f3', 'secret:encrypt', :'a');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES
	(:'a', false, 'ann', '00000000-0000-0000-0000-000000000001'), (:'b', false, 'ann', '00000000-0000-0000-0000-000000000001'),
	(:'a', false, 'rob', 'a0000000-0000-4000-8000-0000000000f2'), (:'a', false, 'dora', 'a0000000-0000-4000-8000-0000000000f1');
CREATE TABLE public.pr_values (slug text, purpose text, value multitenant.encrypted);
GRANT SELECT, INSERT ON public.pr_values TO PUBLIC;

SET SESSION AUTHORIZATION regress_mt_app;
-- ---- without a rule the context is enough ----
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
INSERT INTO pr_values VALUES ('pr-a', 'pii', multitenant.encrypt('born 1970', 'pii')), ('pr-a', 'note', multitenant.encrypt('hello', 'note'));
SELECT multitenant.decrypt_text(value) FROM pr_values ORDER BY purpose;
SELECT multitenant.put_secret('smtp', 'hunter1');
SELECT * FROM multitenant.purpose_rules;
COMMIT;

-- ---- setting one ----
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
SELECT multitenant.set_purpose_rule('pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'rob');
SAVEPOINT s;
SELECT multitenant.set_purpose_rule('PII'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_purpose_rule(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_purpose_rule('pii', 'secret:decrypd'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_purpose_rule('pii', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_purpose_rule('pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_purpose_rule('pii');
SELECT * FROM multitenant.purpose_rules;
-- In the same transaction, and rob decrypts no more.
SAVEPOINT s;
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- He cannot put a permission of his own in its place, nor drop the rule.
SELECT multitenant.set_purpose_rule('pii', 'role:manage'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.set_purpose_rule('pii', NULL, 'role:manage'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_purpose_rule('pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- Asking for more is no way to more.
SELECT multitenant.set_purpose_rule('pii', 'secret:decrypt', 'secret:encrypt');
COMMIT;

-- ---- what it means ----
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
SAVEPOINT s;
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'note';
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
\echo :LAST_ERROR_MESSAGE
ROLLBACK TO s;
SELECT multitenant.decrypt_bytea(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.try_decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt('guess', 'pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt_deterministic('guess', 'pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.blind_index('guess', 'pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- Which key a value has says nothing of it.
SELECT multitenant.is_current(value) FROM pr_values WHERE purpose = 'pii';
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'dora');
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii';
SAVEPOINT s;
SELECT multitenant.blind_index('guess', 'pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
-- No key was made for who may not use it.
RESET SESSION AUTHORIZATION;
SELECT purpose, class FROM multitenant.cek WHERE tenant_id = :'a' ORDER BY 1, 2;
-- A role that is given or taken counts for the next statement; a permission that is gone is one that nobody has.
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES (:'a', false, 'dora', 'a0000000-0000-4000-8000-0000000000f3');
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'dora');
SELECT octet_length(multitenant.blind_index('guess', 'pii'));
COMMIT;
RESET SESSION AUTHORIZATION;
DELETE FROM multitenant.role_assignment WHERE assignee = 'dora' AND role_id = 'a0000000-0000-4000-8000-0000000000f1';
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'dora');
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES (:'a', false, 'dora', 'a0000000-0000-4000-8000-0000000000f1');

-- ---- without a principal ----
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('pr-a') IS NOT NULL;
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- Maintenance of encrypted columns, by who may change what protects them.
SET SESSION AUTHORIZATION regress_mt_migrator;
BEGIN;
SELECT multitenant.use_tenant('pr-a') IS NOT NULL;
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii';
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', NULL);
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- ---- secrets ----
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'ann');
SELECT multitenant.set_purpose_rule('secret', 'secret:decrypt', 'secret:encrypt');
SELECT multitenant.get_secret('smtp');
COMMIT;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
SAVEPOINT s;
SELECT multitenant.get_secret('smtp'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.put_secret('smtp', 'mine'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.drop_secret('smtp'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'dora');
SELECT multitenant.get_secret('smtp');
ROLLBACK;
-- Another tenant's rule is not this one's.
BEGIN;
SELECT regress_mt_tokens.enter('pr-b', 'nora');
SELECT multitenant.put_secret('smtp', 'of b');
INSERT INTO pr_values VALUES ('pr-b', 'pii', multitenant.encrypt('of b', 'pii'));
SELECT multitenant.get_secret('smtp'), (SELECT multitenant.decrypt_text(value) FROM pr_values WHERE slug = 'pr-b');
COMMIT;

-- ---- for all tenants ----
SELECT multitenant.set_purpose_rule_for_all('pii'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.set_purpose_rule_for_all('pii', 'payroll:open', 'payroll:open');
SELECT multitenant.set_purpose_rule_for_all('pii', 'nothing:known'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.decrypt_text(value) FROM pr_values; \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('pr-b', 'nora');
SELECT * FROM multitenant.purpose_rules;
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE slug = 'pr-b'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- A tenant's own rule asks for another permission, and what it leaves out stays as it is for all.
BEGIN;
SELECT regress_mt_tokens.enter('pr-b', 'ann');
SELECT multitenant.set_purpose_rule('pii');
SELECT * FROM multitenant.purpose_rules;
SELECT multitenant.drop_purpose_rule('pii');
SELECT * FROM multitenant.purpose_rules;
COMMIT;
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.drop_purpose_rule_for_all('pii');
SELECT multitenant.drop_purpose_rule_for_all('pii'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
BEGIN;
SELECT regress_mt_tokens.enter('pr-b', 'nora');
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE slug = 'pr-b';
COMMIT;
-- That of the first tenant stays.
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE slug = 'pr-a' AND purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'ann');
SELECT multitenant.drop_purpose_rule('pii');
-- Rolled back to a savepoint, the rule is there again.
ROLLBACK;
BEGIN;
SELECT regress_mt_tokens.enter('pr-a', 'nora');
SELECT multitenant.decrypt_text(value) FROM pr_values WHERE slug = 'pr-a' AND purpose = 'pii'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

RESET SESSION AUTHORIZATION;
SELECT event, outcome, principal, object, detail FROM multitenant.audit_event WHERE event LIKE 'key.%purpose_rule%' ORDER BY at;
DROP TABLE pr_values;
\i sql/tokens_off.inc
\i sql/master_key_off.inc
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_trusted, regress_mt_migrator, regress_mt_provisioner;
