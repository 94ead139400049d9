-- export_wrapped_keys() and import_wrapped_keys(): the way to another installation, and what is refused there.
-- requires: preload
CREATE EXTENSION multitenant;
\i sql/master_key.inc
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
\pset null NULL
ALTER SYSTEM SET multitenant.key_versions = '1,2';
SELECT pg_reload_conf();
SELECT multitenant.reload_master_keys();
CREATE ROLE regress_mt_trusted LOGIN;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('mov-a', number => 9501, id => 'a0000000-0000-4000-8000-000000000051');
SELECT multitenant.create_tenant('mov-b', number => 9502, id => 'b0000000-0000-4000-8000-000000000052');
CREATE TABLE moved (tenant_id uuid, value multitenant.encrypted, hash bytea);
GRANT ALL ON moved TO PUBLIC;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('mov-a') IS NOT NULL;
INSERT INTO moved SELECT multitenant.current_tenant(), multitenant.encrypt('of a', 'pii', 'c'), multitenant.blind_index('of a', 'pii');
COMMIT;
SELECT multitenant.export_wrapped_keys('a0000000-0000-4000-8000-000000000051', '0123456789abcdef'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys('{}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._export_tenant_key(1, ''); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT id AS transport FROM multitenant.mek_status WHERE version = 1 \gset
SELECT multitenant.export_wrapped_keys('a0000000-0000-4000-8000-000000000051', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.export_wrapped_keys('a0000000-0000-4000-8000-000000000051', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.export_wrapped_keys('a0000000-0000-4000-8000-000000000051', '0123456789abcdef'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.export_wrapped_keys('c0000000-0000-4000-8000-000000000051', :'transport'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.export_wrapped_keys('b0000000-0000-4000-8000-000000000052', :'transport'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.export_wrapped_keys('a0000000-0000-4000-8000-000000000051', :'transport') AS bundle \gset
SELECT jsonb_array_length(:'bundle'::jsonb -> 'keks'), jsonb_array_length(:'bundle'::jsonb -> 'ceks'),
	EXISTS (SELECT FROM multitenant.kek WHERE encode(wrapped, 'hex') = :'bundle'::jsonb -> 'keks' -> 0 ->> 'key');
SELECT multitenant.import_wrapped_keys(:'bundle'); \echo :LAST_ERROR_SQLSTATE

-- ---- the other installation: the same tenant, no keys of it, the rows copied ----
DELETE FROM multitenant.cek;
DELETE FROM multitenant.kek;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('mov-a') IS NOT NULL;
SELECT multitenant.decrypt_text(value, 'c') FROM moved; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT multitenant.import_wrapped_keys(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys('[]'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(:'bundle'::jsonb || '{"format": 2}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(:'bundle'::jsonb || '{"tenant": "c0000000-0000-4000-8000-000000000051"}'); \echo :LAST_ERROR_SQLSTATE
-- For another tenant, with any part changed, or as rows of a key table it opens nothing.
SELECT multitenant.import_wrapped_keys(:'bundle'::jsonb || '{"tenant": "b0000000-0000-4000-8000-000000000052"}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(jsonb_set(:'bundle', '{keks,0,version}', '7')); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(jsonb_set(:'bundle', '{keks,0,created_at}', '"2001-01-01"')); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(jsonb_set(:'bundle', '{keks,0,key}', '"00"')); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(jsonb_set(:'bundle', '{ceks,0,purpose}', '"other"')); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(jsonb_set(:'bundle', '{ceks,0,check}', '"0000000000000000"')); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.import_wrapped_keys(jsonb_set(:'bundle', '{ceks,1,key}', :'bundle'::jsonb -> 'ceks' -> 0 -> 'key')); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.kek;
SELECT multitenant.import_wrapped_keys(:'bundle');
SELECT k.mek_id = m.id, m.version FROM multitenant.kek k, multitenant.mek_status m WHERE m.is_current;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('mov-a') IS NOT NULL;
SELECT multitenant.decrypt_text(value, 'c'), hash = multitenant.blind_index('of a', 'pii'), multitenant.is_current(value) FROM moved;
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT event, outcome, detail FROM multitenant.audit_event WHERE event IN ('key.export', 'key.import') ORDER BY at;
DROP TABLE moved;
\i sql/master_key_off.inc
DROP EXTENSION multitenant;
DROP ROLE regress_mt_trusted;
