-- Signing keys of credentials and the identity of this installation. C reads
-- both tables by column position (src/crypto/keyring.c). No secret is stored in
-- the clear: public keys, paths of files that hold symmetric secrets, and
-- symmetric secrets wrapped with the master key.

CREATE TABLE multitenant.signing_key (
	kid text COLLATE "C" NOT NULL CONSTRAINT signing_key_pkey PRIMARY KEY,
	algorithm text NOT NULL,
	public_key text,
	secret_file text,
	kinds text[] NOT NULL,
	tenants uuid[],
	roles text[],
	max_lifetime integer NOT NULL,
	not_before timestamptz,
	not_after timestamptz,
	revoked_at timestamptz,
	revoked_reason text,
	created_at timestamptz NOT NULL DEFAULT now(),
	wrapped_secret bytea,
	CONSTRAINT signing_key_kid_check CHECK (kid ~ '^[A-Za-z0-9._~-]{1,64}$'),
	CONSTRAINT signing_key_algorithm_check CHECK (algorithm IN ('EdDSA', 'ES256', 'RS256', 'HS256')),
	CONSTRAINT signing_key_source_check CHECK (
		(algorithm = 'HS256') = (num_nonnulls(secret_file, wrapped_secret) = 1)
		AND (algorithm = 'HS256' OR num_nonnulls(secret_file, wrapped_secret) = 0)
		AND (algorithm <> 'HS256') = (public_key IS NOT NULL)),
	CONSTRAINT signing_key_kinds_check CHECK (
		kinds <@ '{tenant,supervised,system}' AND cardinality(kinds) > 0),
	CONSTRAINT signing_key_lifetime_check CHECK (max_lifetime BETWEEN 1 AND 86400)
);
COMMENT ON TABLE multitenant.signing_key IS
'Keys whose signature on a token is accepted, and what each may vouch for.';

CREATE TABLE multitenant.installation (
	system_identifier text NOT NULL,
	database_name name NOT NULL
);
COMMENT ON TABLE multitenant.installation IS
'Where the signing keys were added: credentials are refused anywhere else.';

CREATE TRIGGER signing_key_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.signing_key
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();
CREATE TRIGGER installation_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.installation
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();

ALTER TABLE multitenant.signing_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.installation ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.signing_key ALTER COLUMN public_key SET STATISTICS 0;
ALTER TABLE multitenant.signing_key ALTER COLUMN secret_file SET STATISTICS 0;
ALTER TABLE multitenant.signing_key ALTER COLUMN wrapped_secret SET STATISTICS 0;

SELECT pg_catalog.pg_extension_config_dump('multitenant.signing_key', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.installation', '');

CREATE FUNCTION multitenant._check_signing_key(algorithm text, public_key text, secret_file text)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_check_signing_key';
COMMENT ON FUNCTION multitenant._check_signing_key(text, text, text) IS
'Internal: raises 22023 unless a key can be made of the arguments.';

CREATE FUNCTION multitenant._wrap_signing_secret(kid text, secret_file text, wrapped_secret bytea, created_at timestamptz)
RETURNS bytea
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_wrap_signing_secret';
COMMENT ON FUNCTION multitenant._wrap_signing_secret(text, text, bytea, timestamptz) IS
'Internal: the secret of a signing key wrapped with the current master key.';

CREATE FUNCTION multitenant._here(OUT system_identifier text, OUT database_name name)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT c.system_identifier::text, current_database() FROM pg_control_system() c;
END;
COMMENT ON FUNCTION multitenant._here() IS
'Internal: what multitenant.installation says of the place where it is written.';

CREATE FUNCTION multitenant.add_signing_key(
	kid text,
	algorithm text,
	public_key text DEFAULT NULL,
	secret_file text DEFAULT NULL,
	kinds text[] DEFAULT '{tenant}',
	tenants text[] DEFAULT NULL,
	roles name[] DEFAULT NULL,
	max_lifetime interval DEFAULT '5 minutes',
	not_before timestamptz DEFAULT NULL,
	not_after timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant_ids uuid[];
BEGIN
	PERFORM multitenant._require('superuser', 'adding a signing key');
	PERFORM multitenant._check_signing_key($2, $3, $4);
	IF EXISTS (SELECT FROM multitenant.signing_key k WHERE k.kid = $1) THEN
		RAISE EXCEPTION 'signing key "%" already exists', $1
			USING ERRCODE = '42710',
			HINT = 'Give every key its own id; a key is replaced by adding another and revoking the old one.';
	END IF;
	IF $6 IS NOT NULL THEN
		SELECT array_agg(multitenant.tenant_id(t)) INTO tenant_ids FROM unnest($6) t;
		tenant_ids := coalesce(tenant_ids, '{}');
	END IF;
	IF NOT EXISTS (SELECT FROM multitenant.installation) THEN
		INSERT INTO multitenant.installation SELECT * FROM multitenant._here();
	ELSIF NOT EXISTS (SELECT FROM multitenant.installation i, multitenant._here() h
					  WHERE i.system_identifier = h.system_identifier
					  AND i.database_name = h.database_name) THEN
		RAISE EXCEPTION 'this database is a copy of another'
			USING ERRCODE = '55000',
			HINT = 'Call multitenant.adopt_clone() first.';
	END IF;
	BEGIN
		INSERT INTO multitenant.signing_key
			(kid, algorithm, public_key, secret_file, kinds, tenants, roles, max_lifetime, not_before, not_after)
		VALUES ($1, $2, $3, $4, $5, tenant_ids, $7::text[],
				extract(epoch FROM multitenant._seconds($8))::integer, $9, $10);
	EXCEPTION WHEN check_violation OR not_null_violation OR numeric_value_out_of_range THEN
		RAISE EXCEPTION 'an argument of the signing key is out of range'
			USING ERRCODE = '22023',
			HINT = 'kid: 1 to 64 of A-Z a-z 0-9 . _ ~ -; kinds: of tenant, supervised, system; max_lifetime: 1 second to 24 hours; a public key or a secret file, not both.';
	END;
	PERFORM multitenant._audit('key.add', NULL, $1, 'done',
		jsonb_build_object('algorithm', $2, 'kinds', $5, 'tenants', $6, 'roles', $7));
END
$$;
COMMENT ON FUNCTION multitenant.add_signing_key(text, text, text, text, text[], text[], name[], interval, timestamptz, timestamptz) IS
'Accepts tokens signed by a key. kid: 1 to 64 of A-Z a-z 0-9 . _ ~ -; algorithm: EdDSA, ES256, RS256 (public_key in PEM form) or HS256 (secret_file, a path on the server); kinds: of tenant, supervised, system; tenants: ids or slugs it may name (null: any); roles: session users that may present its tokens (null: any); max_lifetime: of a token, at most 24 hours; not_before, not_after: when the key is valid. Superusers only. Errors: 42501, 42710 key id exists, 22023 no usable key or a value out of range, 55000 in a copied database.';

CREATE FUNCTION multitenant.wrap_signing_secret(kid text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key multitenant.signing_key;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'kid');
	PERFORM multitenant._require('superuser', 'wrapping a signing secret');
	SELECT * INTO key FROM multitenant.signing_key k WHERE k.kid = $1 FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'signing key "%" does not exist', $1
			USING ERRCODE = '42704',
			HINT = 'Look at multitenant.signing_key for the ids of the keys.';
	END IF;
	IF key.algorithm <> 'HS256' THEN
		RAISE EXCEPTION 'signing key "%" has no secret', $1
			USING ERRCODE = '22023',
			HINT = 'Only keys of algorithm HS256 have one; of others the server knows the public key.';
	END IF;
	UPDATE multitenant.signing_key k
		SET wrapped_secret = multitenant._wrap_signing_secret(key.kid, key.secret_file, key.wrapped_secret, key.created_at),
			secret_file = NULL
		WHERE k.kid = $1;
	PERFORM multitenant._audit('key.wrap', NULL, $1, 'done', jsonb_build_object('secret_file', key.secret_file));
	IF key.secret_file IS NOT NULL THEN
		RAISE NOTICE 'the server does not need the file "%" of signing key "%" any more', key.secret_file, $1
			USING HINT = 'Commit, see that tokens are accepted, then delete it.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant.wrap_signing_secret(text) IS
'Takes the secret of a key of algorithm HS256 from its file into the database, wrapped with the current master key; of a key whose secret is wrapped already, wraps it again with the current one. Superusers only. Errors: 42501, 42704 unknown key, 22023 not HS256, 55000 the secret cannot be read, MT020 no master key.';

CREATE FUNCTION multitenant.revoke_signing_key(kid text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('superuser', 'revoking a signing key');
	UPDATE multitenant.signing_key k
		SET revoked_at = coalesce(k.revoked_at, now()), revoked_reason = coalesce(k.revoked_reason, $2)
		WHERE k.kid = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'signing key "%" does not exist', $1
			USING ERRCODE = '42704',
			HINT = 'Look at multitenant.signing_key for the ids of the keys.';
	END IF;
	PERFORM multitenant._audit('key.revoke', NULL, $1, 'done', jsonb_build_object('reason', $2));
END
$$;
COMMENT ON FUNCTION multitenant.revoke_signing_key(text, text) IS
'Refuses every token of a key from the commit on, also tokens verified before, and what sessions keep of them; a transaction that has authenticated already goes on, until its token expires at most. Superusers only. Errors: 42501, 42704 unknown key.';

CREATE FUNCTION multitenant.adopt_clone(rotate_keys boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'rotate_keys');
	PERFORM multitenant._require('superuser', 'adopting a copied database');
	DELETE FROM multitenant.installation;
	INSERT INTO multitenant.installation SELECT * FROM multitenant._here();
	IF rotate_keys THEN
		UPDATE multitenant.signing_key SET revoked_at = now(), revoked_reason = 'database was copied'
			WHERE revoked_at IS NULL;
	END IF;
	PERFORM multitenant._audit('key.adopt_clone', NULL, current_database(), 'done',
		jsonb_build_object('rotate_keys', rotate_keys));
END
$$;
COMMENT ON FUNCTION multitenant.adopt_clone(boolean) IS
'Makes a copied or restored database accept credentials. rotate_keys: true revokes every signing key, so that tokens of the original are worthless here; false is for a database that has moved. Superusers only. Errors: 42501.';
