-- Shredding: a tenant's keys are destroyed, and it is told what still separates that from being final.

CREATE TABLE multitenant.shred_certificate (
	id uuid NOT NULL CONSTRAINT shred_certificate_pkey PRIMARY KEY,
	tenant_id uuid NOT NULL,
	-- What is signed: the text of this value.
	content jsonb NOT NULL,
	-- Null where no master key was there to sign with.
	signed_with text COLLATE "C",
	signer bytea,
	signature bytea,
	CONSTRAINT shred_certificate_signature_check CHECK (num_nulls(signed_with, signer, signature) IN (0, 3))
);
COMMENT ON TABLE multitenant.shred_certificate IS
'One row for each time that the keys of a tenant were destroyed.';

CREATE TABLE multitenant.shred_confirmation (
	kind text COLLATE "C" NOT NULL,
	-- The id of a certificate, or of a master key.
	subject text COLLATE "C" NOT NULL,
	confirmed_at timestamptz NOT NULL,
	confirmed_by name NOT NULL,
	reason text NOT NULL,
	CONSTRAINT shred_confirmation_pkey PRIMARY KEY (kind, subject),
	CONSTRAINT shred_confirmation_kind_check CHECK (kind IN ('backups_expired', 'master_key_destroyed', 'share_destroyed'))
);
COMMENT ON TABLE multitenant.shred_confirmation IS
'What people have confirmed that the database cannot see.';

ALTER TABLE multitenant.shred_certificate ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.shred_confirmation ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.shred_certificate', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.shred_confirmation', '');

CREATE FUNCTION multitenant._refuse_shred_change()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'certificates and confirmations of shredding are append-only'
		USING ERRCODE = 'MT010', HINT = 'Disable the trigger first; that is logged as DDL.';
END
$$;
COMMENT ON FUNCTION multitenant._refuse_shred_change() IS
'Internal: refuses UPDATE, DELETE and TRUNCATE.';

CREATE TRIGGER shred_certificate_append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON multitenant.shred_certificate
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._refuse_shred_change();
CREATE TRIGGER shred_confirmation_append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON multitenant.shred_confirmation
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._refuse_shred_change();

CREATE FUNCTION multitenant._sign_certificate(content text, OUT signed_with text, OUT signer bytea, OUT signature bytea)
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_sign_certificate';
COMMENT ON FUNCTION multitenant._sign_certificate(text) IS
'Internal: signs with a key pair derived from the current master key. MT020 without one.';

CREATE FUNCTION multitenant._check_certificate(content text, signed_with text, signer bytea, signature bytea) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_check_certificate';
COMMENT ON FUNCTION multitenant._check_certificate(text, text, bytea, bytea) IS
'Internal: valid; unconfirmed: the signature is right, but that master key is not loaded; forged.';

CREATE FUNCTION multitenant._make_shared_tenant_key(tenant uuid) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_make_shared_tenant_key';
COMMENT ON FUNCTION multitenant._make_shared_tenant_key(uuid) IS
'Internal: the id of a tenant''s own key, made with a share; 55000 if there is one already.';

CREATE FUNCTION multitenant.create_tenant_key(tenant uuid, share boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id bigint;
BEGIN
	PERFORM multitenant._require_read_committed('making the key of a tenant');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'tenant and share');
	PERFORM multitenant._require('manage_tenants', 'making a key');
	PERFORM multitenant._require_tenant($1);
	IF $2 THEN
		-- The key that create_tenant() made, if nothing was ever wrapped with it.
		PERFORM multitenant._lock_keys($1);
		IF NOT EXISTS (SELECT FROM multitenant.cek c WHERE c.tenant_id = $1) THEN
			PERFORM multitenant._assert_wraps_nothing(k.kek_id) FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.share IS NULL;
			DELETE FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.share IS NULL;
		END IF;
	END IF;
	new_id := CASE WHEN $2 THEN multitenant._make_shared_tenant_key($1) ELSE multitenant._make_tenant_key($1) END;
	PERFORM multitenant._audit('key.create_tenant_key', $1, $1::text, 'done', jsonb_build_object('share', $2, 'key', new_id));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_tenant_key(uuid, boolean) IS
'Makes a tenant''s own key, so that the first use need not, and returns its id. share: the key also needs the share that multitenant.share_command prints for the tenant, each time that a session loads a key; who destroys that share has destroyed the key in every backup at once. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, MT020 master key or share not available, 55000 share for a tenant that has keys for values already, or not READ COMMITTED.';

CREATE FUNCTION multitenant.shred_tenant(tenant uuid, confirm text, dry_run boolean DEFAULT false)
RETURNS TABLE(what text, count bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
	certificate uuid := gen_random_uuid();
	facts jsonb;
	signed record;
	kek_count bigint;
	cek_count bigint;
	secret_count bigint;
BEGIN
	PERFORM multitenant._require_read_committed('shredding a tenant');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3), 'tenant, confirm and dry_run');
	PERFORM multitenant._require('manage_tenants', 'shredding a tenant');
	-- From here on nobody makes or replaces a key of the tenant, nor, once its rows are locked, wraps one again: the
	-- certificate names all that are destroyed, and the master keys that they are under.
	PERFORM multitenant._lock_keys($1);
	SELECT x.slug, x.state INTO t FROM multitenant.tenant x WHERE x.id = $1 FOR UPDATE;
	IF NOT FOUND THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	ELSIF t.slug <> $2 THEN
		RAISE EXCEPTION 'the confirmation is not the slug of the tenant'
			USING ERRCODE = '22023', HINT = 'Give the slug of the tenant whose values are to be unreadable for good.';
	ELSIF t.state NOT IN ('suspended', 'deleted') THEN
		RAISE EXCEPTION 'the tenant is %', t.state
			USING ERRCODE = '55000', HINT = 'Suspend or delete it first, so that nobody is at work with what will be unreadable.';
	END IF;
	PERFORM FROM multitenant.kek k WHERE k.tenant_id = $1 FOR UPDATE;
	PERFORM FROM multitenant.cek c WHERE c.tenant_id = $1 FOR UPDATE;
	SELECT count(*) INTO kek_count FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.state <> 'destroyed';
	SELECT count(*) INTO cek_count FROM multitenant.cek c WHERE c.tenant_id = $1 AND c.state <> 'destroyed';
	SELECT count(*) INTO secret_count FROM multitenant.secret s WHERE s.tenant_id = $1;
	IF kek_count + cek_count + secret_count = 0 THEN
		RAISE EXCEPTION 'the tenant has no keys'
			USING ERRCODE = '55000', HINT = 'Nothing was ever encrypted for it, or it was shredded: see multitenant.shred_status.';
	END IF;

	IF NOT dry_run THEN
		facts := jsonb_build_object('certificate', certificate, 'tenant', $1, 'slug', t.slug,
			'keks', (SELECT jsonb_agg(jsonb_build_object('id', k.kek_id::text, 'version', k.version, 'master_key', k.mek_id, 'share', k.share IS NOT NULL)
									  ORDER BY k.version) FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.state <> 'destroyed'),
			'ceks', (SELECT jsonb_agg(c.cek_id::text ORDER BY c.cek_id) FROM multitenant.cek c
					 WHERE c.tenant_id = $1 AND c.state <> 'destroyed'));
		UPDATE multitenant.cek c SET wrapped = NULL, kcv = NULL, state = 'destroyed', changed_at = clock_timestamp()
			WHERE c.tenant_id = $1 AND c.state <> 'destroyed';
		UPDATE multitenant.kek k SET wrapped = NULL, state = 'destroyed', changed_at = clock_timestamp()
			WHERE k.tenant_id = $1 AND k.state <> 'destroyed';
		DELETE FROM multitenant.secret s WHERE s.tenant_id = $1;
		facts := facts || jsonb_build_object('secrets', secret_count,
			'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'by', session_user,
			'system', (SELECT s.system_identifier::text FROM pg_control_system() s), 'database', current_database(),
			'lsn', pg_current_wal_insert_lsn(),
			'files', jsonb_build_array(pg_relation_filenode('multitenant.kek'), pg_relation_filenode('multitenant.cek')));
		BEGIN
			SELECT s.signed_with, s.signer, s.signature INTO signed FROM multitenant._sign_certificate(facts::text) s;
		EXCEPTION WHEN SQLSTATE 'MT020' THEN
			-- Destroying keys needs no key.
			RAISE WARNING 'the certificate is not signed: no master key is loaded';
			SELECT NULL::text AS signed_with, NULL::bytea AS signer, NULL::bytea AS signature INTO signed;
		END;
		INSERT INTO multitenant.shred_certificate (id, tenant_id, content, signed_with, signer, signature)
			VALUES (certificate, $1, facts, signed.signed_with, signed.signer, signed.signature);
		PERFORM multitenant._audit('tenant.shred', $1, t.slug, 'done', facts);
	END IF;
	IF NOT dry_run AND NOT facts -> 'keks' @> '[{"share": false}]' AND kek_count > 0 THEN
		RAISE NOTICE 'now destroy the share of tenant %', $1
			USING HINT = 'Then call multitenant.confirm_share_destroyed(): that makes it final.';
	END IF;
	RETURN QUERY VALUES ('tenant keys', kek_count), ('keys', cek_count), ('secrets', secret_count);
END
$$;
COMMENT ON FUNCTION multitenant.shred_tenant(uuid, text, boolean) IS
'Destroys all keys of a tenant, and its secrets: what was encrypted for it cannot be read again, here from the commit on. confirm: the tenant''s slug; dry_run: only tell how many. The tenant must be suspended or deleted. Copies of the wrapped keys in backups, WAL and standbys are as good as before until multitenant.shred_status says that it is final. Leaves a signed certificate. Not touched: rows, values that were never encrypted. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, 22023 confirm, 55000 tenant active or without keys, or transaction not READ COMMITTED.';

-- Masters that wrapped what a certificate names.
CREATE FUNCTION multitenant._certificate_master_keys(content jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(array_agg(DISTINCT k.value ->> 'master_key'), '{}')
	FROM jsonb_array_elements(CASE WHEN jsonb_typeof(content -> 'keks') = 'array' THEN content -> 'keks' ELSE '[]' END) k
$$;

-- Where this server itself may still have what was destroyed.
CREATE FUNCTION multitenant._shred_residue(content jsonb) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lsn pg_lsn := (content ->> 'lsn')::pg_lsn;
	residue text[];
BEGIN
	IF content ->> 'system' <> (SELECT s.system_identifier::text FROM pg_control_system() s) THEN
		RETURN ARRAY['another server destroyed the keys: ask its shred_status for its WAL and standbys'];
	ELSIF pg_is_in_recovery() THEN
		RETURN ARRAY['this is a standby: ask the primary''s shred_status'];
	END IF;
	SELECT array_agg(format('standby %s has not replayed it', coalesce(nullif(r.application_name, ''), r.pid::text))
					 ORDER BY r.application_name COLLATE "C")
		INTO residue FROM pg_stat_replication r WHERE r.replay_lsn IS NULL OR r.replay_lsn <= lsn;
	residue := residue || ARRAY(
		SELECT format('replication slot %s holds WAL from before', s.slot_name) FROM pg_replication_slots s
		WHERE s.restart_lsn <= lsn ORDER BY s.slot_name);
	IF EXISTS (SELECT FROM pg_ls_waldir() w WHERE w.name ~ '^[0-9A-F]{24}$'
			   AND substr(w.name, 9) <= substr(pg_walfile_name(lsn), 9)) THEN
		residue := residue || 'WAL from before is in pg_wal: it goes with checkpoints, sooner after pg_switch_wal()'::text;
	END IF;
	IF content -> 'files' -> 0 = to_jsonb(pg_relation_filenode('multitenant.kek'))
	   OR content -> 'files' -> 1 = to_jsonb(pg_relation_filenode('multitenant.cek')) THEN
		residue := residue || 'dead rows in the key tables: VACUUM FULL multitenant.kek, multitenant.cek'::text;
	END IF;
	RETURN coalesce(residue, '{}');
END
$$;
COMMENT ON FUNCTION multitenant._shred_residue(jsonb) IS
'Internal: places of this server where wrapped keys may be that a certificate says were destroyed.';

CREATE FUNCTION multitenant._shred_status(OUT tenant_id uuid, OUT slug text, OUT shredded_at timestamptz, OUT certificate uuid,
	OUT master_keys text[], OUT is_final boolean, OUT pending text[])
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	alive text[];
	has_backups boolean;
BEGIN
	PERFORM multitenant._require('see_tenants', 'reading the state of shredded tenants');
	FOR c IN SELECT s.id, s.tenant_id, s.content FROM multitenant.shred_certificate s ORDER BY s.content ->> 'at', s.id LOOP
		tenant_id := c.tenant_id;
		slug := c.content ->> 'slug';
		shredded_at := (c.content ->> 'at')::timestamptz;
		certificate := c.id;
		master_keys := multitenant._certificate_master_keys(c.content);
		alive := ARRAY(SELECT m FROM unnest(master_keys) m WHERE NOT EXISTS (
			SELECT FROM multitenant.shred_confirmation f WHERE f.kind = 'master_key_destroyed' AND f.subject = m) ORDER BY m);
		has_backups := NOT EXISTS (SELECT FROM multitenant.shred_confirmation f
			WHERE f.kind = 'backups_expired' AND f.subject = c.id::text);
		pending := '{}';
		-- The same where each key needed a share that is gone.
		IF jsonb_typeof(c.content -> 'keks') = 'array' AND NOT c.content -> 'keks' @> '[{"share": false}]' AND EXISTS (
			SELECT FROM multitenant.shred_confirmation f WHERE f.kind = 'share_destroyed' AND f.subject = c.id::text) THEN
			alive := '{}';
		END IF;
		-- Without its master key no copy of a wrapped key is worth anything, wherever it is.
		IF alive <> '{}' THEN
			IF has_backups THEN
				pending := pending || format('backups and archived WAL from before %s, until confirm_backups_expired(); or master key %s, until confirm_master_key_destroyed()',
					to_char(shredded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), array_to_string(alive, ', '));
			END IF;
			pending := pending || multitenant._shred_residue(c.content);
		END IF;
		is_final := pending = '{}';
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._shred_status() IS
'Internal: behind the view multitenant.shred_status.';

CREATE VIEW multitenant.shred_status WITH (security_invoker = true) AS
	SELECT s.tenant_id, s.slug, s.shredded_at, s.certificate, s.master_keys, s.is_final, s.pending FROM multitenant._shred_status() s;
COMMENT ON VIEW multitenant.shred_status IS
'Shredded tenants: is_final says whether no copy of the destroyed keys is left that a key of today opens, pending what has to happen until then: backups and WAL archives expire, or the master keys that wrapped the keys are destroyed; standbys, slots, pg_wal and dead rows of this server. For profiles that see tenants. What people have to confirm is believed.';

-- What somebody says of copies of a shredded tenant's keys.
CREATE FUNCTION multitenant._confirm_shred(tenant uuid, kind text, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO multitenant.shred_confirmation (kind, subject, confirmed_at, confirmed_by, reason)
		SELECT $2, c.id::text, clock_timestamp(), session_user, $3
		FROM multitenant.shred_certificate c WHERE c.tenant_id = $1 ON CONFLICT DO NOTHING;
	PERFORM multitenant._audit('tenant.shred_' || $2, $1, $1::text, 'done', jsonb_build_object('reason', $3));
END
$$;
COMMENT ON FUNCTION multitenant._confirm_shred(uuid, text, text) IS
'Internal: records a confirmation for every certificate of a tenant.';

CREATE FUNCTION multitenant.confirm_backups_expired(tenant uuid, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'tenant and reason');
	PERFORM multitenant._require('manage_tenants', 'confirming that backups have expired');
	IF NOT EXISTS (SELECT FROM multitenant.shred_certificate c WHERE c.tenant_id = $1) THEN
		RAISE EXCEPTION 'the tenant was not shredded'
			USING ERRCODE = '55000', HINT = 'Call multitenant.shred_tenant() first.';
	END IF;
	PERFORM multitenant._confirm_shred($1, 'backups_expired', $2);
END
$$;
COMMENT ON FUNCTION multitenant.confirm_backups_expired(uuid, text) IS
'Records that no backup, WAL archive or dump from before the tenant was shredded exists any more. reason: how that is known. Believed, recorded with who said it, audited. For profile provisioner. Errors: 42501 profile, 22023 null, 55000 not shredded.';

CREATE FUNCTION multitenant.confirm_share_destroyed(tenant uuid, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'tenant and reason');
	PERFORM multitenant._require('manage_tenants', 'confirming that a share was destroyed');
	IF NOT EXISTS (SELECT FROM multitenant.shred_certificate c WHERE c.tenant_id = $1 AND c.content -> 'keks' @> '[{"share": true}]') THEN
		RAISE EXCEPTION 'no shredded key of the tenant had a share'
			USING ERRCODE = '55000', HINT = 'See multitenant.shred_status for what is left to be done.';
	END IF;
	PERFORM multitenant._confirm_shred($1, 'share_destroyed', $2);
END
$$;
COMMENT ON FUNCTION multitenant.confirm_share_destroyed(uuid, text) IS
'Records that the share of a shredded tenant does not exist any more where it was kept: then no copy of its keys opens. Believed, recorded with who said it, audited. For profile provisioner. Errors: 42501 profile, 22023 null, 55000 no share.';

CREATE FUNCTION multitenant.confirm_master_key_destroyed(master_key text, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrapped bigint;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'master key and reason');
	PERFORM multitenant._require('superuser', 'confirming that a master key was destroyed');
	IF $1 !~ '^[0-9a-f]{16}$' THEN
		RAISE EXCEPTION 'invalid id of a master key'
			USING ERRCODE = '22023', HINT = 'See master_keys in multitenant.shred_status: 16 hexadecimal digits.';
	ELSIF EXISTS (SELECT FROM multitenant._master_keys() k WHERE k.id = $1) THEN
		RAISE EXCEPTION 'master key % is loaded in this server', $1
			USING ERRCODE = '55000', HINT = 'Take its version out of multitenant.key_versions, call multitenant.reload_master_keys(), and destroy it at its provider.';
	END IF;
	SELECT count(*) INTO wrapped FROM multitenant.kek k WHERE k.mek_id = $1 AND k.state <> 'destroyed';
	IF wrapped > 0 THEN
		RAISE EXCEPTION 'keys of % tenants are wrapped with master key %', wrapped, $1
			USING ERRCODE = '55000', HINT = 'If it really is destroyed, shred these tenants, too; otherwise load it again and call multitenant.rotate_mek().';
	END IF;
	INSERT INTO multitenant.shred_confirmation (kind, subject, confirmed_at, confirmed_by, reason)
		VALUES ('master_key_destroyed', $1, clock_timestamp(), session_user, $2) ON CONFLICT DO NOTHING;
	PERFORM multitenant._audit('key.master_key_destroyed', NULL, $1, 'done', jsonb_build_object('reason', $2));
END
$$;
COMMENT ON FUNCTION multitenant.confirm_master_key_destroyed(text, text) IS
'Records that a master key does not exist any more, neither at its provider nor in a copy: then whatever it wrapped is unreadable in every backup. master_key: its id (multitenant.mek_status, shred_status). Backups from before its rotation lose the other tenants'' keys as well. Believed, recorded, audited. Superusers only. Errors: 42501, 22023, 55000 it is loaded, or keys are still wrapped with it.';

CREATE FUNCTION multitenant.verify_shred_certificate(certificate uuid)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	answer text;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the certificate');
	PERFORM multitenant._require('see_tenants', 'verifying a certificate');
	SELECT s.content, s.signed_with, s.signer, s.signature, s.tenant_id, s.id INTO c
		FROM multitenant.shred_certificate s WHERE s.id = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no such certificate'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.shred_status.';
	END IF;
	IF c.signature IS NULL THEN
		RETURN 'unsigned';
	END IF;
	answer := multitenant._check_certificate(c.content::text, c.signed_with, c.signer, c.signature);
	IF c.content ->> 'certificate' <> c.id::text OR c.content ->> 'tenant' <> c.tenant_id::text THEN
		answer := 'forged';
	END IF;
	IF answer <> 'forged' AND EXISTS (
		SELECT FROM multitenant.kek k WHERE k.wrapped IS NOT NULL
		AND c.content -> 'keks' @> jsonb_build_array(jsonb_build_object('id', k.kek_id::text))) THEN
		RETURN 'contradicted';
	END IF;
	RETURN answer;
END
$$;
COMMENT ON FUNCTION multitenant.verify_shred_certificate(uuid) IS
'Is a certificate what this installation signed? valid; unconfirmed: the signature is right, but its master key is not loaded (any more), so compare signer in multitenant.shred_certificates with what was noted when it was; forged: changed, or signed by somebody else; unsigned: no master key was loaded; contradicted: a key that it says was destroyed is there. For profiles that see tenants. Errors: 42501, 42704.';

CREATE FUNCTION multitenant._shred_certificates() RETURNS SETOF multitenant.shred_certificate
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('see_tenants', 'reading certificates');
	RETURN QUERY SELECT c.* FROM multitenant.shred_certificate c;
END
$$;
COMMENT ON FUNCTION multitenant._shred_certificates() IS
'Internal: behind the view multitenant.shred_certificates.';

CREATE VIEW multitenant.shred_certificates WITH (security_invoker = true) AS
	SELECT c.id, c.tenant_id, c.content, c.content::text AS signed_text, c.signed_with, c.signer, c.signature
	FROM multitenant._shred_certificates() c;
COMMENT ON VIEW multitenant.shred_certificates IS
'Certificates of destroyed keys. signature: Ed25519 of signed_text (UTF-8) under the public key in signer, which is derived from the master key signed_with: anybody can check it with these three. For profiles that see tenants.';
