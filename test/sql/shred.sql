-- Shredding a tenant: who may, when, what is gone, what the certificate is worth, and when it is final.
-- requires: preload
CREATE EXTENSION multitenant;
\i sql/master_key.inc
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null NULL
CREATE ROLE regress_mt_trusted LOGIN;
CREATE ROLE regress_mt_provisioner LOGIN;
CREATE ROLE regress_mt_auditor LOGIN;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.grant_access('regress_mt_provisioner', 'provisioner');
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');
SELECT multitenant.create_tenant('shr-a', number => 9401, id => 'a0000000-0000-4000-8000-000000000041');
SELECT multitenant.create_tenant('shr-b', number => 9402, id => 'b0000000-0000-4000-8000-000000000042');
SELECT multitenant.create_tenant('shr-c', number => 9403, id => 'c0000000-0000-4000-8000-000000000043');
CREATE TABLE shredded (tenant_id uuid, value multitenant.encrypted);
GRANT ALL ON shredded TO PUBLIC;
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('shr-a') IS NOT NULL;
INSERT INTO shredded SELECT multitenant.current_tenant(), multitenant.encrypt('of a', 'pii');
SELECT length(multitenant.blind_index('of a', 'pii')), multitenant.put_secret('s', 'secret of a');
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('shr-b') IS NOT NULL;
INSERT INTO shredded SELECT multitenant.current_tenant(), multitenant.encrypt('of b', 'pii');
COMMIT;

-- ---- refused ----
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-a'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.confirm_backups_expired('a0000000-0000-4000-8000-000000000041', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.confirm_master_key_destroyed('0123456789abcdef', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_status; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_certificates; \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.verify_shred_certificate('a0000000-0000-4000-8000-000000000041'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._sign_certificate('x'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-a'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.suspend_tenant('shr-a', 'contract ended'), multitenant.delete_tenant('shr-c', 'test');
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-b'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-a', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_tenant('e0000000-0000-4000-8000-000000000041', 'shr-a'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.shred_tenant('c0000000-0000-4000-8000-000000000043', 'shr-c'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.confirm_backups_expired('b0000000-0000-4000-8000-000000000042', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.confirm_master_key_destroyed('0123456789abcdef', 'x'); \echo :LAST_ERROR_SQLSTATE

-- ---- first without doing it ----
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-a', dry_run => true);
RESET SESSION AUTHORIZATION;
SELECT count(*) FILTER (WHERE wrapped IS NOT NULL), count(*) FROM multitenant.kek WHERE tenant_id = 'a0000000-0000-4000-8000-000000000041';
SELECT count(*) FROM multitenant.shred_certificate;

-- ---- then for good ----
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-a');
SELECT * FROM multitenant.shred_tenant('a0000000-0000-4000-8000-000000000041', 'shr-a'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.resume_tenant('shr-a');
RESET SESSION AUTHORIZATION;
SELECT DISTINCT state, wrapped, kcv FROM multitenant.cek WHERE tenant_id = 'a0000000-0000-4000-8000-000000000041';
SELECT state, wrapped FROM multitenant.kek WHERE tenant_id = 'a0000000-0000-4000-8000-000000000041';
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('shr-a') IS NOT NULL;
SELECT multitenant.decrypt_text(value) FROM shredded WHERE tenant_id = multitenant.current_tenant(); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('shr-a') IS NOT NULL;
SELECT multitenant.get_secret('s'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('shr-b') IS NOT NULL;
SELECT multitenant.decrypt_text(value) FROM shredded WHERE tenant_id = multitenant.current_tenant();
COMMIT;

-- ---- the certificate ----
SET SESSION AUTHORIZATION regress_mt_auditor;
SELECT id AS certificate FROM multitenant.shred_certificates \gset
SELECT multitenant.verify_shred_certificate(:'certificate');
SELECT multitenant.verify_shred_certificate('a0000000-0000-4000-8000-000000000041'); \echo :LAST_ERROR_SQLSTATE
SELECT content ->> 'slug', content ->> 'by', content ->> 'secrets', jsonb_array_length(content -> 'keks'), jsonb_array_length(content -> 'ceks'),
	octet_length(signer), octet_length(signature), signed_text = content::text FROM multitenant.shred_certificates;
RESET SESSION AUTHORIZATION;
SELECT detail - 'signature' = (SELECT content FROM multitenant.shred_certificate) FROM multitenant.audit_event WHERE event = 'tenant.shred';
UPDATE multitenant.shred_certificate SET content = '{}'; \echo :LAST_ERROR_SQLSTATE
DELETE FROM multitenant.shred_certificate; \echo :LAST_ERROR_SQLSTATE
TRUNCATE multitenant.shred_confirmation; \echo :LAST_ERROR_SQLSTATE
-- Whoever changes it past that is found out.
BEGIN;
ALTER TABLE multitenant.shred_certificate DISABLE TRIGGER shred_certificate_append_only;
SAVEPOINT s;
UPDATE multitenant.shred_certificate SET content = content || '{"by": "somebody else"}';
SELECT multitenant.verify_shred_certificate(:'certificate');
ROLLBACK TO s;
UPDATE multitenant.shred_certificate SET signature = set_byte(signature, 5, get_byte(signature, 5) # 1);
SELECT multitenant.verify_shred_certificate(:'certificate');
ROLLBACK TO s;
-- A signature of another key, of the right form.
UPDATE multitenant.shred_certificate SET signer = '\xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', content = content
	, signature = '\xe5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b';
SELECT multitenant.verify_shred_certificate(:'certificate');
-- RFC 8032, test 1: that signature is right for the empty text, but that is no key of ours.
SELECT multitenant._check_certificate('', signed_with, signer, signature), multitenant._check_certificate('', '0000000000000000', signer, signature),
	multitenant._check_certificate('x', '0000000000000000', signer, signature) FROM multitenant.shred_certificate;
ROLLBACK TO s;
UPDATE multitenant.shred_certificate SET tenant_id = 'b0000000-0000-4000-8000-000000000042';
SELECT multitenant.verify_shred_certificate(:'certificate');
ROLLBACK TO s;
UPDATE multitenant.kek SET state = 'suspended', wrapped = '\x00' WHERE tenant_id = 'a0000000-0000-4000-8000-000000000041';
SELECT multitenant.verify_shred_certificate(:'certificate');
ROLLBACK;

-- ---- when is it final? ----
SET SESSION AUTHORIZATION regress_mt_provisioner;
SELECT slug, is_final, regexp_replace(p, '\d{4}-.*UTC|[0-9a-f]{16}', '..', 'g') FROM multitenant.shred_status, unnest(pending) WITH ORDINALITY AS u(p, n) ORDER BY n;
SELECT multitenant.confirm_backups_expired('a0000000-0000-4000-8000-000000000041', ' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.confirm_backups_expired('a0000000-0000-4000-8000-000000000041', 'retention is 30 days');
SELECT is_final, p FROM multitenant.shred_status, unnest(pending) WITH ORDINALITY AS u(p, n) ORDER BY n;
RESET SESSION AUTHORIZATION;
SELECT pg_create_physical_replication_slot('regress_mt_slot', true) IS NOT NULL;
VACUUM FULL multitenant.kek, multitenant.cek;
DO $$ BEGIN PERFORM pg_switch_wal(); END $$;
CHECKPOINT;
DO $$ BEGIN PERFORM pg_switch_wal(); END $$;
CHECKPOINT;
-- A slot holds WAL from the checkpoint before it on.
SELECT is_final, pending FROM multitenant.shred_status;
SELECT pg_drop_replication_slot('regress_mt_slot');
DO $$ BEGIN PERFORM pg_switch_wal(); END $$;
CHECKPOINT;
DO $$ BEGIN PERFORM pg_switch_wal(); END $$;
CHECKPOINT;
SELECT is_final, pending FROM multitenant.shred_status;
-- The other way: the master key.
SELECT master_keys[1] AS master_key FROM multitenant.shred_status \gset
SELECT multitenant.confirm_master_key_destroyed('x', 'gone'); \echo :LAST_ERROR_SQLSTATE
DO $$
DECLARE
	m text := (SELECT master_keys[1] FROM multitenant.shred_status);
BEGIN
	BEGIN
		PERFORM multitenant.confirm_master_key_destroyed(m, 'not yet');
	EXCEPTION WHEN SQLSTATE '55000' THEN
		RAISE NOTICE '%', replace(SQLERRM, m, '..');
	END;
END
$$;
ALTER SYSTEM SET multitenant.key_versions = '2';
SELECT pg_reload_conf();
SELECT multitenant.reload_master_keys();
-- The signature can still be checked, but not whose key it was.
SELECT multitenant.verify_shred_certificate(:'certificate');
DO $$
DECLARE
	m text := (SELECT master_keys[1] FROM multitenant.shred_status);
BEGIN
	BEGIN
		PERFORM multitenant.confirm_master_key_destroyed(m, 'not yet');
	EXCEPTION WHEN SQLSTATE '55000' THEN
		RAISE NOTICE '%', replace(SQLERRM, m, '..');
	END;
END
$$;
SELECT multitenant.suspend_tenant('shr-b', 'contract ended');
SELECT * FROM multitenant.shred_tenant('b0000000-0000-4000-8000-000000000042', 'shr-b');
SELECT slug, is_final, cardinality(pending) > 1 FROM multitenant.shred_status ORDER BY slug;
SELECT multitenant.confirm_master_key_destroyed(:'master_key', 'ceremony of today');
SELECT slug, is_final, pending FROM multitenant.shred_status ORDER BY slug;
SELECT event, object IS NOT NULL, detail FROM multitenant.audit_event WHERE event IN ('tenant.shred_backups_expired', 'key.master_key_destroyed') ORDER BY at;

-- ---- without a master key it works, too, unsigned ----
SELECT multitenant.create_tenant('shr-d', number => 9404, id => 'd0000000-0000-4000-8000-000000000044');
SELECT multitenant.create_key('d0000000-0000-4000-8000-000000000044', 'pii') <> 0, multitenant.suspend_tenant('shr-d', 'test');
ALTER SYSTEM SET multitenant.key_provider = 'off';
SELECT pg_reload_conf();
SELECT multitenant.reload_master_keys();
SELECT * FROM multitenant.shred_tenant('d0000000-0000-4000-8000-000000000044', 'shr-d');
SELECT multitenant.verify_shred_certificate(certificate) FROM multitenant.shred_status WHERE slug = 'shr-d';

DROP TABLE shredded;
\i sql/master_key_off.inc
DROP EXTENSION multitenant;
DROP ROLE regress_mt_trusted, regress_mt_provisioner, regress_mt_auditor;
