-- Keys of tenants after they were made: each kind is replaced, nothing is lost, and what is retired or destroyed says so.
-- requires: preload
CREATE EXTENSION IF NOT EXISTS multitenant;
\i sql/master_key.inc
CREATE ROLE regress_mt_trusted LOGIN;
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_provisioner LOGIN;
CREATE ROLE regress_mt_operator LOGIN;
CREATE ROLE regress_mt_migrator LOGIN;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\o /dev/null
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application'), multitenant.grant_access('regress_mt_provisioner', 'provisioner'),
	multitenant.grant_access('regress_mt_operator', 'operator'), multitenant.grant_access('regress_mt_migrator', 'migrator');
SELECT multitenant.create_tenant('rot-a', number => 9201, id => 'a0000000-0000-4000-8000-000000000001');
SELECT multitenant.create_tenant('rot-b', number => 9202, id => 'b0000000-0000-4000-8000-000000000002');
GRANT CREATE ON SCHEMA public TO regress_mt_migrator;
SET ROLE regress_mt_migrator;
CREATE TABLE vault (tenant_id uuid, id int, tail text, value multitenant.encrypted, det multitenant.encrypted_det, hash bytea, note text,
	PRIMARY KEY (tenant_id, id, tail));
SELECT multitenant.protect('vault');
GRANT ALL ON vault TO regress_mt_trusted;
RESET ROLE;
\o

-- A tenant has its own key from the beginning; the others come with their first use.
SELECT t.slug, k.class, k.version, k.state, k.wrapped_with = m.id AS under_current FROM multitenant.key_status k
	JOIN multitenant.tenant t ON t.id = k.tenant_id JOIN multitenant.mek_status m ON m.is_current ORDER BY 1;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
INSERT INTO vault SELECT multitenant.current_tenant(), n, 'it''s ' || n % 3, multitenant.encrypt('a' || n, 'pii', 'vault:' || n),
	multitenant.encrypt_deterministic('d' || n, 'pii'), multitenant.blind_index('a' || n, 'pii'), 'n' FROM generate_series(1, 50) n;
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('rot-b') IS NOT NULL;
INSERT INTO vault SELECT multitenant.current_tenant(), n, 'x', multitenant.encrypt('b' || n, 'pii', 'vault:' || n), NULL, NULL, 'n' FROM generate_series(1, 20) n;
COMMIT;
RESET SESSION AUTHORIZATION;
CREATE VIEW keys AS SELECT t.slug, k.purpose, k.class, k.version, k.state, k.state_reason, k.uses FROM multitenant.key_status k
	JOIN multitenant.tenant t ON t.id = k.tenant_id;
SELECT * FROM keys ORDER BY 1, 2 NULLS FIRST, 3, 4;
-- What a session of the tenant can read.
\set everything 'SELECT multitenant.current_tenant_slug(), count(multitenant.decrypt_text(value, ''vault:'' || id)), count(DISTINCT multitenant.key_id(value)) AS keys, bool_and(multitenant.is_current(value)) AS are_current FROM vault;'

-- ---- keys for values ----
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.rotate_cek('rot-a', 'pii') > 0;
SELECT multitenant.rotate_cek('rot-a', 'none'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek('rot-a', 'pii', 'other'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek('nobody', 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek(NULL::uuid, 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek('00000000-0000-4000-8000-00000000ffff'::uuid, 'pii'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.rotate_cek('a0000000-0000-4000-8000-000000000001'::uuid, 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_kek('a0000000-0000-4000-8000-000000000001'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant_keys('a0000000-0000-4000-8000-000000000001'::uuid, 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant_keys('a0000000-0000-4000-8000-000000000001'::uuid); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.destroy_retired_keys('a0000000-0000-4000-8000-000000000001'::uuid, 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.verify_keys(); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.key_status; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.reencrypt_progress; \echo :LAST_ERROR_SQLSTATE
CALL multitenant.rotate_mek(); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt('vault', 'value'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._replace_key('a0000000-0000-4000-8000-000000000001', 'pii', 'data'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rewrap_tenant_key(1); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._rows_of_keys('vault', 4::smallint, '{1}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._lock_keys('a0000000-0000-4000-8000-000000000001'); \echo :LAST_ERROR_SQLSTATE
SELECT entries >= 0 FROM multitenant.key_cache;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
:everything
INSERT INTO vault VALUES (DEFAULT, 51, 'new', multitenant.encrypt('a51', 'pii', 'vault:51'), NULL, NULL, 'n');
:everything
COMMIT;
-- A rotation that is rolled back never was, also for this session.
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
SAVEPOINT s;
SELECT multitenant.rotate_cek('rot-a', 'pii') > 0;
SELECT multitenant.key_id(multitenant.encrypt('x', 'pii')) AS undone \gset
SELECT bool_or(key_id = :undone) FROM multitenant.key_status;
ROLLBACK TO s;
SELECT multitenant.key_id(multitenant.encrypt('x', 'pii')) = :undone AS still_used;
COMMIT;
SELECT * FROM keys WHERE purpose = 'pii' AND class = 'data' ORDER BY slug, version;

-- ---- encrypting again ----
CALL multitenant.reencrypt('vault', 'nothing'); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt('vault', 'note'); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt('vault', 'det'); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt('vault', 'hash'); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt('vault', 'value', 0); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt(NULL, 'value'); \echo :LAST_ERROR_SQLSTATE
CREATE TABLE keyless (value multitenant.encrypted);
CALL multitenant.reencrypt('keyless', 'value'); \echo :LAST_ERROR_SQLSTATE
-- Without the context nothing is changed, and it is said.
CALL multitenant.reencrypt('vault', 'value');
SELECT table_name, column_name, purpose, rows_done, state, error FROM multitenant.reencrypt_progress;
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.destroy_retired_keys('rot-a', 'pii'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_migrator;
CALL multitenant.reencrypt('vault', 'value', 7, max_runtime => '0');
-- An owner's code cannot come in with the context.
\set VERBOSITY sqlstate
CALL multitenant.reencrypt('vault', 'value', 7, context => 'note); DROP TABLE vault; SELECT (note');
\set VERBOSITY default
CALL multitenant.reencrypt('vault', 'value', 7, context => '''vault:'' || id');
SELECT table_name, column_name, purpose, rows_done, state, error FROM multitenant.reencrypt_progress;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; :everything COMMIT;
BEGIN; SELECT multitenant.use_tenant('rot-b') IS NOT NULL; :everything COMMIT;
RESET SESSION AUTHORIZATION;

-- ---- destroying ----
SELECT multitenant.destroy_retired_keys('rot-a', 'pii', patience => '30 seconds');
SELECT multitenant.destroy_retired_keys('rot-a', 'pii');
SELECT * FROM keys WHERE purpose = 'pii' AND class = 'data' ORDER BY slug, version;
-- A value of the destroyed key: made before, kept elsewhere.
SELECT wrapped IS NULL AND kcv IS NULL AS is_gone, cek_id AS destroyed FROM multitenant.cek WHERE state = 'destroyed' \gset
\echo :is_gone
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
SELECT multitenant.decrypt_text(format('\xe501%s%s', lpad(to_hex(:destroyed), 16, '0'), repeat('00', 28))::multitenant.encrypted); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- Deterministic values and blind indexes change what they find.
SELECT multitenant.rotate_cek('rot-a', 'pii', 'deterministic') > 0;
SELECT multitenant.destroy_retired_keys('rot-a', 'pii', 'deterministic'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek('rot-a', 'pii', 'blind_index') > 0;
SELECT multitenant.destroy_retired_keys('rot-a', 'pii', 'blind_index');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
SELECT count(multitenant.decrypt_text(det)), count(*) FILTER (WHERE det = multitenant.encrypt_deterministic('d7', 'pii')) AS found FROM vault;
COMMIT;

-- ---- the tenant's own key ----
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.rotate_kek('rot-a') > 0;
SELECT multitenant.rotate_kek('nobody'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT t.slug, k.class, k.version, k.state, k.state_reason FROM multitenant.key_status k JOIN multitenant.tenants t ON t.id = k.tenant_id
	WHERE k.class = 'tenant' ORDER BY 1, 3;
SELECT * FROM multitenant.verify_keys();
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; :everything COMMIT;
RESET SESSION AUTHORIZATION;
-- A key with a share needs it to be replaced, and the next one needs it, too.
UPDATE multitenant.kek SET share = 'command' WHERE tenant_id = 'b0000000-0000-4000-8000-000000000002';
SELECT multitenant.rotate_kek('rot-b'); \echo :LAST_ERROR_SQLSTATE
UPDATE multitenant.kek SET share = NULL WHERE tenant_id = 'b0000000-0000-4000-8000-000000000002';

-- ---- suspending ----
SET SESSION AUTHORIZATION regress_mt_operator;
SELECT multitenant.suspend_tenant_keys('rot-a', ' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant_keys('rot-a', 'stolen laptop');
SELECT multitenant.suspend_tenant_keys('rot-a', 'again'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant_keys('rot-b'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant_keys('nobody'); \echo :LAST_ERROR_SQLSTATE
SELECT purpose, class, version, state, state_reason FROM multitenant.key_status WHERE tenant_id = 'a0000000-0000-4000-8000-000000000001' ORDER BY 1 NULLS FIRST, 2, 3;
SELECT * FROM multitenant.verify_keys();
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; :everything \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; SELECT multitenant.encrypt('x', 'pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; SELECT multitenant.encrypt('x', 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN; SELECT multitenant.use_tenant('rot-b') IS NOT NULL; :everything COMMIT;
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT multitenant.rotate_kek('rot-a'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek('rot-a', 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant_keys('rot-a');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; :everything COMMIT;
RESET SESSION AUTHORIZATION;

-- ---- findings ----
CREATE VIEW findings AS SELECT replace(name, '_', ' ') AS lint, level, regexp_replace(detail, '\d{4}-\d\d-\d\d|[0-9a-f]{16}', '...') AS detail,
	remediation, cache_key NOT LIKE '%older%' AS is_named FROM multitenant.lint() WHERE 'ENCRYPTION' = ANY (categories);
CREATE PROCEDURE mend() LANGUAGE plpgsql AS $$
DECLARE command text;
BEGIN
	FOR command IN SELECT remediation FROM findings WHERE remediation NOT LIKE '--%' LOOP EXECUTE command; END LOOP;
END $$;
SELECT count(*) FROM findings;
UPDATE multitenant.cek SET uses = 3000000000 WHERE tenant_id = 'a0000000-0000-4000-8000-000000000001' AND purpose = 'pii' AND class = 'data' AND state = 'active';
UPDATE multitenant.cek SET uses = 4000000000 WHERE tenant_id = 'b0000000-0000-4000-8000-000000000002' AND class = 'data' AND state = 'active';
UPDATE multitenant.cek SET uses = 4000000000 WHERE class <> 'data';
SELECT multitenant.suspend_tenant_keys('rot-b', 'theft; DROP TABLE vault');
SELECT * FROM findings ORDER BY lint, level;
SELECT multitenant.resume_tenant_keys('rot-b');
CALL mend();
SELECT * FROM findings ORDER BY lint, level;
SELECT multitenant.suspend_tenant_keys('rot-b', 'again');
CALL mend();
UPDATE multitenant.cek SET changed_at = now() - interval '91 days' WHERE state = 'retired';
SELECT * FROM findings ORDER BY lint, level, detail;
CALL multitenant.reencrypt('vault', 'value', context => '''vault:'' || id');
SELECT multitenant.destroy_retired_keys(t, 'pii') FROM unnest('{rot-a,rot-b}'::text[]) t;

-- ---- tables that ask for permissions, and filter by scopes: nobody's rights are asked, and no row is left out ----
CREATE ROLE regress_mt_owner;
GRANT regress_mt_owner TO regress_mt_migrator;
GRANT CREATE ON SCHEMA public TO regress_mt_owner;
INSERT INTO multitenant.permission (name, description) SELECT 'safe:' || a, '' FROM unnest('{read,create,update,delete}'::text[]) a;
SET ROLE regress_mt_owner;
CREATE TABLE safe (tenant_id uuid, id int PRIMARY KEY, scope text, value multitenant.encrypted);
CREATE TABLE other_safe (tenant_id uuid, id int PRIMARY KEY);
CREATE FUNCTION peek() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM FROM public.other_safe; RETURN NEW; END $$;
SELECT count(*) > 0 FROM multitenant.protect('safe');
SELECT count(*) > 0 FROM multitenant.protect('other_safe');
GRANT ALL ON safe, other_safe TO regress_mt_trusted, regress_mt_migrator;
RESET ROLE;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
INSERT INTO safe SELECT multitenant.current_tenant(), n, 'x' || n, multitenant.encrypt('s' || n, 'safe') FROM generate_series(1, 5) n;
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT multitenant.set_permissions('safe', 'safe', 'scope');
SELECT multitenant.rotate_cek('rot-a', 'safe') > 0;
SET SESSION AUTHORIZATION regress_mt_migrator;
BEGIN;
SELECT multitenant.use_tenant('rot-a') IS NOT NULL;
SELECT count(*) FROM safe; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
CALL multitenant.reencrypt('safe', 'value');
SELECT purpose, rows_done, state, error FROM multitenant.reencrypt_progress WHERE table_name = 'public.safe';
RESET SESSION AUTHORIZATION;
-- .. nor those of a purpose; the code of others than the owner's is asked as ever
SELECT multitenant.rotate_cek('rot-a', 'safe') > 0;
INSERT INTO multitenant.purpose_rule (tenant_id, purpose, decrypt_permission, encrypt_permission) VALUES ('a0000000-0000-4000-8000-000000000001', 'safe', 'safe:read', 'safe:create');
SELECT multitenant.set_permissions('other_safe', 'safe');
ALTER TABLE other_safe OWNER TO regress_mt_provisioner;
GRANT ALL ON other_safe TO regress_mt_owner;
CREATE TRIGGER peek BEFORE UPDATE ON safe FOR EACH ROW EXECUTE FUNCTION peek();
SET SESSION AUTHORIZATION regress_mt_migrator;
CALL multitenant.reencrypt('safe', 'value');
SELECT purpose, rows_done, state, error FROM multitenant.reencrypt_progress WHERE table_name = 'public.safe';
RESET SESSION AUTHORIZATION;
DROP TRIGGER peek ON safe;
SET SESSION AUTHORIZATION regress_mt_migrator;
CALL multitenant.reencrypt('safe', 'value');
SELECT purpose, rows_done, state, error FROM multitenant.reencrypt_progress WHERE table_name = 'public.safe';
RESET SESSION AUTHORIZATION;
DELETE FROM multitenant.purpose_rule;
DROP TABLE safe, other_safe;
DROP FUNCTION peek();
SELECT multitenant.destroy_retired_keys('rot-a', 'safe');
REVOKE CREATE ON SCHEMA public FROM regress_mt_owner;
DROP ROLE regress_mt_owner;

-- ---- only where every key that was made is seen ----
SET default_transaction_isolation = 'repeatable read';
SELECT multitenant.rotate_cek('rot-a', 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_kek('rot-a'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.destroy_retired_keys('rot-a', 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000001', 'rot-a', dry_run => true); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.reencrypt('vault', 'value'); \echo :LAST_ERROR_SQLSTATE
SET default_transaction_isolation = 'serializable';
CALL multitenant.rotate_mek(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_kek('rot-a'); \echo :LAST_ERROR_SQLSTATE
-- What asks before a tenant's key is destroyed sees them everywhere.
BEGIN;
SELECT count(*) > 0 FROM multitenant.cek;
DO $$ BEGIN PERFORM multitenant._assert_wraps_nothing(kek_id) FROM multitenant.kek WHERE state = 'destroyed'; END $$;
DO $$
BEGIN
	PERFORM multitenant._assert_wraps_nothing(kek_id) FROM multitenant.kek WHERE state = 'active' AND tenant_id = 'a0000000-0000-4000-8000-000000000001';
EXCEPTION WHEN SQLSTATE '55000' THEN
	RAISE NOTICE '%', SQLERRM;
END
$$;
ROLLBACK;
RESET default_transaction_isolation;

-- ---- the master key ----
CALL multitenant.rotate_mek(0); \echo :LAST_ERROR_SQLSTATE
ALTER SYSTEM SET multitenant.key_versions = '1,2';
SELECT pg_reload_conf();
SELECT multitenant.reload_master_keys();
SELECT id AS mek2 FROM multitenant.mek_status WHERE is_current \gset
SELECT count(*) FROM multitenant._older_master_keys();
SELECT * FROM findings WHERE lint LIKE 'older%';
-- One key's row was changed: the others go on without it.
UPDATE multitenant.kek SET wrapped = overlay(wrapped PLACING '\x00000000' FROM 30) WHERE tenant_id = 'b0000000-0000-4000-8000-000000000002';
CALL multitenant.rotate_mek();
SELECT t.slug, k.wrapped_with = :'mek2' AS is_new FROM multitenant.key_status k JOIN multitenant.tenant t ON t.id = k.tenant_id
	WHERE k.class = 'tenant' AND k.state = 'active' ORDER BY 1;
SELECT t.slug, k.purpose, k.class, k.version, k.problem FROM multitenant.verify_keys() k JOIN multitenant.tenant t ON t.id = k.tenant_id;
ALTER SYSTEM SET multitenant.key_versions = '2';
SELECT pg_reload_conf();
SELECT multitenant.reload_master_keys();
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN; SELECT multitenant.use_tenant('rot-a') IS NOT NULL; :everything COMMIT;
BEGIN; SELECT multitenant.use_tenant('rot-b') IS NOT NULL; SELECT multitenant.encrypt('x', 'pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT * FROM findings WHERE lint LIKE 'older%';
-- Without a master key a tenant is created all the same, and nothing is rotated.
ALTER SYSTEM SET multitenant.key_provider = 'off';
SELECT pg_reload_conf();
SELECT multitenant.reload_master_keys();
SELECT multitenant.create_tenant('rot-c') IS NOT NULL;
SELECT multitenant.suspend_tenant_keys('rot-c', 'x'); \echo :LAST_ERROR_SQLSTATE
CALL multitenant.rotate_mek(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_cek('rot-a', 'pii'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.rotate_kek('rot-a'); \echo :LAST_ERROR_SQLSTATE
-- verify_keys() says which key it is that is missing.
SELECT count(*), count(DISTINCT replace(problem, :'mek2', 'current')), min(replace(problem, :'mek2', 'current')) FROM multitenant.verify_keys() WHERE tenant_id <> 'b0000000-0000-4000-8000-000000000002';

-- The records of it all.
SELECT event, outcome, count(*) FROM multitenant.audit_log WHERE event LIKE 'key.%' AND event NOT LIKE 'key.%master%' GROUP BY 1, 2 ORDER BY 1, 2;

\i sql/master_key_off.inc
\o /dev/null
SELECT multitenant.unprotect_all();
\o
DROP PROCEDURE mend;
DROP VIEW keys, findings;
DROP TABLE vault, keyless;
SET client_min_messages = warning;
DROP EXTENSION multitenant;
REVOKE CREATE ON SCHEMA public FROM regress_mt_migrator;
DROP ROLE regress_mt_trusted, regress_mt_app, regress_mt_provisioner, regress_mt_operator, regress_mt_migrator;
