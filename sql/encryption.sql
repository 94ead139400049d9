-- Encrypted values: keys of tenants, types, and functions that encrypt and
-- decrypt. C reads and writes the tables by column position
-- (src/keys/keytable.c): new columns come last. No function returns a key.

CREATE TABLE multitenant.kek (
	kek_id bigint NOT NULL CONSTRAINT kek_pkey PRIMARY KEY,
	-- No foreign key: a parallel restore loads the extension's tables in any order.
	tenant_id uuid NOT NULL,
	version integer NOT NULL,
	mek_id text COLLATE "C" NOT NULL,
	wrapped bytea,
	share text COLLATE "C",
	state text COLLATE "C" NOT NULL,
	created_at timestamptz NOT NULL,
	changed_at timestamptz NOT NULL,
	state_reason text,
	CONSTRAINT kek_tenant_id_version_key UNIQUE (tenant_id, version),
	CONSTRAINT kek_id_check CHECK (kek_id > 0),
	CONSTRAINT kek_state_check CHECK (state IN ('active', 'suspended', 'retired', 'destroyed')),
	CONSTRAINT kek_wrapped_check CHECK ((wrapped IS NULL) = (state = 'destroyed'))
	-- Room for one rotation of all of them, which changes no index then.
) WITH (fillfactor = 50);
COMMENT ON TABLE multitenant.kek IS
'One key for each tenant (and those it had), wrapped with a master key. A row without a wrapped key tells that it was destroyed.';
CREATE UNIQUE INDEX kek_current ON multitenant.kek (tenant_id) WHERE state IN ('active', 'suspended');

CREATE TABLE multitenant.cek (
	cek_id bigint NOT NULL CONSTRAINT cek_pkey PRIMARY KEY,
	tenant_id uuid NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	class text COLLATE "C" NOT NULL,
	version integer NOT NULL,
	kek_id bigint NOT NULL,
	wrapped bytea,
	kcv bytea,
	state text COLLATE "C" NOT NULL,
	uses bigint NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL,
	changed_at timestamptz NOT NULL,
	CONSTRAINT cek_version_key UNIQUE (tenant_id, purpose, class, version),
	CONSTRAINT cek_id_check CHECK (cek_id > 0),
	CONSTRAINT cek_purpose_check CHECK (purpose ~ '^[a-z0-9._-]{1,63}$'),
	CONSTRAINT cek_class_check CHECK (class IN ('data', 'deterministic', 'blind_index')),
	CONSTRAINT cek_state_check CHECK (state IN ('active', 'retired', 'destroyed')),
	CONSTRAINT cek_wrapped_check CHECK ((wrapped IS NULL) = (state = 'destroyed'))
) WITH (fillfactor = 70);
COMMENT ON TABLE multitenant.cek IS
'Keys for values: one for each tenant, purpose and class (and those before), wrapped with the tenant''s key. uses: values encrypted with it, as last counted.';
CREATE UNIQUE INDEX cek_active ON multitenant.cek (tenant_id, purpose, class) WHERE state = 'active';
CREATE INDEX cek_kek_id ON multitenant.cek (kek_id);

CREATE TRIGGER kek_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.kek
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();
CREATE TRIGGER cek_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.cek
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();

-- Statistics would show wrapped keys to pg_read_all_data.
ALTER TABLE multitenant.kek ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.cek ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.kek ALTER COLUMN wrapped SET STATISTICS 0;
ALTER TABLE multitenant.cek ALTER COLUMN wrapped SET STATISTICS 0;
ALTER TABLE multitenant.cek ALTER COLUMN kcv SET STATISTICS 0;

SELECT pg_catalog.pg_extension_config_dump('multitenant.kek', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.cek', '');

-- ---- types ----------------------------------------------------------------------------------------------------------

CREATE TYPE multitenant.encrypted;

CREATE FUNCTION multitenant.encrypted_in(cstring) RETURNS multitenant.encrypted
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_in';
COMMENT ON FUNCTION multitenant.encrypted_in(cstring) IS
'Reads an encrypted value in the form \x...; 22P02 for anything else.';

CREATE FUNCTION multitenant.encrypted_out(multitenant.encrypted) RETURNS cstring
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_out';
COMMENT ON FUNCTION multitenant.encrypted_out(multitenant.encrypted) IS
'The encrypted value in the form \x...';

CREATE FUNCTION multitenant.encrypted_recv(internal) RETURNS multitenant.encrypted
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_recv';
COMMENT ON FUNCTION multitenant.encrypted_recv(internal) IS
'Reads an encrypted value in binary form; 22P03 for anything else.';

CREATE FUNCTION multitenant.encrypted_send(multitenant.encrypted) RETURNS bytea
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'byteasend';
COMMENT ON FUNCTION multitenant.encrypted_send(multitenant.encrypted) IS
'The encrypted value in binary form.';

-- External storage: what is encrypted does not compress. Preferred: a parameter without a type is
-- taken for this one where functions of both types have one name.
CREATE TYPE multitenant.encrypted (
	INPUT = multitenant.encrypted_in, OUTPUT = multitenant.encrypted_out,
	RECEIVE = multitenant.encrypted_recv, SEND = multitenant.encrypted_send,
	CATEGORY = 'e', PREFERRED = true, INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = external);
COMMENT ON TYPE multitenant.encrypted IS
'A value encrypted with a key of its tenant (AES-256-GCM), 38 bytes longer than it. Made by multitenant.encrypt(); the same value is another ciphertext each time, so there is no "=".';

CREATE CAST (multitenant.encrypted AS bytea) WITHOUT FUNCTION;

CREATE TYPE multitenant.encrypted_det;

CREATE FUNCTION multitenant.encrypted_det_in(cstring) RETURNS multitenant.encrypted_det
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_det_in';
COMMENT ON FUNCTION multitenant.encrypted_det_in(cstring) IS
'Reads a deterministically encrypted value in the form \x...; 22P02 for anything else.';

CREATE FUNCTION multitenant.encrypted_det_out(multitenant.encrypted_det) RETURNS cstring
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_out';
COMMENT ON FUNCTION multitenant.encrypted_det_out(multitenant.encrypted_det) IS
'The encrypted value in the form \x...';

CREATE FUNCTION multitenant.encrypted_det_recv(internal) RETURNS multitenant.encrypted_det
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_det_recv';
COMMENT ON FUNCTION multitenant.encrypted_det_recv(internal) IS
'Reads a deterministically encrypted value in binary form; 22P03 for anything else.';

CREATE FUNCTION multitenant.encrypted_det_send(multitenant.encrypted_det) RETURNS bytea
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'byteasend';
COMMENT ON FUNCTION multitenant.encrypted_det_send(multitenant.encrypted_det) IS
'The encrypted value in binary form.';

CREATE TYPE multitenant.encrypted_det (
	INPUT = multitenant.encrypted_det_in, OUTPUT = multitenant.encrypted_det_out,
	RECEIVE = multitenant.encrypted_det_recv, SEND = multitenant.encrypted_det_send,
	CATEGORY = 'e', INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = external);
COMMENT ON TYPE multitenant.encrypted_det IS
'A value encrypted so that equal values of one tenant, purpose and context are equal ciphertexts (AES-256-SIV), 26 bytes longer than it. Who sees the column sees which rows have equal values; a blind index beside a type "encrypted" shows less.';

CREATE CAST (multitenant.encrypted_det AS bytea) WITHOUT FUNCTION;

-- Order and equality are those of the bytes: enough for indexes, joins and GROUP BY. The operators are in
-- pg_catalog, or "=" would need schema multitenant in every search_path.
CREATE FUNCTION multitenant.encrypted_det_eq(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS boolean
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'byteaeq';
COMMENT ON FUNCTION multitenant.encrypted_det_eq(multitenant.encrypted_det, multitenant.encrypted_det) IS 'Implements =.';
CREATE FUNCTION multitenant.encrypted_det_ne(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS boolean
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'byteane';
COMMENT ON FUNCTION multitenant.encrypted_det_ne(multitenant.encrypted_det, multitenant.encrypted_det) IS 'Implements <>.';
CREATE FUNCTION multitenant.encrypted_det_lt(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS boolean
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'bytealt';
COMMENT ON FUNCTION multitenant.encrypted_det_lt(multitenant.encrypted_det, multitenant.encrypted_det) IS 'Implements <, for indexes: the order says nothing of the values.';
CREATE FUNCTION multitenant.encrypted_det_le(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS boolean
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'byteale';
COMMENT ON FUNCTION multitenant.encrypted_det_le(multitenant.encrypted_det, multitenant.encrypted_det) IS 'Implements <=, for indexes.';
CREATE FUNCTION multitenant.encrypted_det_ge(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS boolean
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'byteage';
COMMENT ON FUNCTION multitenant.encrypted_det_ge(multitenant.encrypted_det, multitenant.encrypted_det) IS 'Implements >=, for indexes.';
CREATE FUNCTION multitenant.encrypted_det_gt(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS boolean
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'byteagt';
COMMENT ON FUNCTION multitenant.encrypted_det_gt(multitenant.encrypted_det, multitenant.encrypted_det) IS 'Implements >, for indexes.';
CREATE FUNCTION multitenant.encrypted_det_cmp(multitenant.encrypted_det, multitenant.encrypted_det) RETURNS integer
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER LEAKPROOF AS 'byteacmp';
COMMENT ON FUNCTION multitenant.encrypted_det_cmp(multitenant.encrypted_det, multitenant.encrypted_det) IS 'For btree indexes.';
CREATE FUNCTION multitenant.encrypted_det_hash(multitenant.encrypted_det) RETURNS integer
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER AS 'hashvarlena';
COMMENT ON FUNCTION multitenant.encrypted_det_hash(multitenant.encrypted_det) IS 'For hash indexes, hash joins and GROUP BY.';

CREATE OPERATOR pg_catalog.= (
	LEFTARG = multitenant.encrypted_det, RIGHTARG = multitenant.encrypted_det, FUNCTION = multitenant.encrypted_det_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR pg_catalog.<> (
	LEFTARG = multitenant.encrypted_det, RIGHTARG = multitenant.encrypted_det, FUNCTION = multitenant.encrypted_det_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR pg_catalog.< (
	LEFTARG = multitenant.encrypted_det, RIGHTARG = multitenant.encrypted_det, FUNCTION = multitenant.encrypted_det_lt,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR pg_catalog.<= (
	LEFTARG = multitenant.encrypted_det, RIGHTARG = multitenant.encrypted_det, FUNCTION = multitenant.encrypted_det_le,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR pg_catalog.>= (
	LEFTARG = multitenant.encrypted_det, RIGHTARG = multitenant.encrypted_det, FUNCTION = multitenant.encrypted_det_ge,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel);
CREATE OPERATOR pg_catalog.> (
	LEFTARG = multitenant.encrypted_det, RIGHTARG = multitenant.encrypted_det, FUNCTION = multitenant.encrypted_det_gt,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel);

CREATE OPERATOR CLASS multitenant.encrypted_det_ops DEFAULT FOR TYPE multitenant.encrypted_det USING btree AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 multitenant.encrypted_det_cmp(multitenant.encrypted_det, multitenant.encrypted_det),
	FUNCTION 4 pg_catalog.btequalimage(oid);
CREATE OPERATOR CLASS multitenant.encrypted_det_hash_ops DEFAULT FOR TYPE multitenant.encrypted_det USING hash AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 multitenant.encrypted_det_hash(multitenant.encrypted_det);

-- ---- values ---------------------------------------------------------------------------------------------------------
-- Volatile or stable, never immutable: an index or a statistic of what was
-- decrypted would be plaintext on disk. Not leakproof: errors tell of the key.

CREATE FUNCTION multitenant.encrypt(value text, purpose text DEFAULT 'default', context text DEFAULT NULL)
RETURNS multitenant.encrypted
LANGUAGE c VOLATILE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_encrypt_bytes';
COMMENT ON FUNCTION multitenant.encrypt(text, text, text) IS
'Encrypts a value for the current tenant; another ciphertext each time, 38 bytes longer. purpose: which of the tenant''s keys, 1 to 63 of a-z 0-9 . _ -, made at its first use; context: what the value belongs to, such as ''customer.ssn:42'', must be said again to decrypt it (null: nothing). Null for null. Where the first use of a purpose is rolled back, by ROLLBACK or as a part of the transaction (a savepoint, an exception that is caught), its key goes with it, and a value that was kept elsewhere meanwhile can never be decrypted: multitenant.create_key() makes keys beforehand. Errors: MT001, MT003, MT006 as for protected tables; MT020 key suspended, destroyed or master key not loaded; 22023 purpose; 25006 on a standby, or where the first use cannot write; 42501 supervised and system contexts; 54000 value too large or key used up.';

CREATE FUNCTION multitenant.encrypt(value bytea, purpose text DEFAULT 'default', context text DEFAULT NULL)
RETURNS multitenant.encrypted
LANGUAGE c VOLATILE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_encrypt_bytes';
COMMENT ON FUNCTION multitenant.encrypt(bytea, text, text) IS
'The same of bytes; multitenant.decrypt_bytea() gives them back.';

CREATE FUNCTION multitenant.encrypt(value jsonb, purpose text DEFAULT 'default', context text DEFAULT NULL)
RETURNS multitenant.encrypted
LANGUAGE c VOLATILE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_encrypt_jsonb';
COMMENT ON FUNCTION multitenant.encrypt(jsonb, text, text) IS
'The same of JSON, as its text; multitenant.decrypt_jsonb() gives it back.';

CREATE FUNCTION multitenant.decrypt_text(value multitenant.encrypted, context text DEFAULT NULL)
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_decrypt_text';
COMMENT ON FUNCTION multitenant.decrypt_text(multitenant.encrypted, text) IS
'Decrypts a value of the current tenant. context: as it was encrypted with. Errors: MT001, MT003, MT006, MT020 as multitenant.encrypt(); MT021 for whatever is wrong with the value: another tenant''s, another context, changed; 22021 not text of this encoding; 42501 supervised and system contexts.';

CREATE FUNCTION multitenant.decrypt_bytea(value multitenant.encrypted, context text DEFAULT NULL)
RETURNS bytea
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_decrypt_bytea';
COMMENT ON FUNCTION multitenant.decrypt_bytea(multitenant.encrypted, text) IS
'The same, as bytes; reads what was encrypted as text or JSON, too.';

CREATE FUNCTION multitenant.decrypt_jsonb(value multitenant.encrypted, context text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_decrypt_jsonb';
COMMENT ON FUNCTION multitenant.decrypt_jsonb(multitenant.encrypted, text) IS
'The same, as JSON; 22P02 if it is none.';

CREATE FUNCTION multitenant.try_decrypt_text(value multitenant.encrypted, context text DEFAULT NULL)
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_try_decrypt_text';
COMMENT ON FUNCTION multitenant.try_decrypt_text(multitenant.encrypted, text) IS
'Like multitenant.decrypt_text(), but null and a warning for a value that names a key of this tenant and was changed or belongs to another context. Any other error stays one.';

CREATE FUNCTION multitenant.try_decrypt_bytea(value multitenant.encrypted, context text DEFAULT NULL)
RETURNS bytea
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_try_decrypt_bytea';
COMMENT ON FUNCTION multitenant.try_decrypt_bytea(multitenant.encrypted, text) IS
'The same of multitenant.decrypt_bytea().';

CREATE FUNCTION multitenant.try_decrypt_jsonb(value multitenant.encrypted, context text DEFAULT NULL)
RETURNS jsonb
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_try_decrypt_jsonb';
COMMENT ON FUNCTION multitenant.try_decrypt_jsonb(multitenant.encrypted, text) IS
'The same of multitenant.decrypt_jsonb().';

CREATE FUNCTION multitenant.encrypt_deterministic(value text, purpose text DEFAULT 'default', context text DEFAULT NULL)
RETURNS multitenant.encrypted_det
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_encrypt_deterministic';
COMMENT ON FUNCTION multitenant.encrypt_deterministic(text, text, text) IS
'Encrypts a value of at most 1 MB so that equal ones are equal ciphertexts, 26 bytes longer. Shows which rows have equal values. Arguments and errors as of multitenant.encrypt().';

CREATE FUNCTION multitenant.encrypt_deterministic(value bytea, purpose text DEFAULT 'default', context text DEFAULT NULL)
RETURNS multitenant.encrypted_det
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_encrypt_deterministic';
COMMENT ON FUNCTION multitenant.encrypt_deterministic(bytea, text, text) IS
'The same of bytes.';

CREATE FUNCTION multitenant.decrypt_text(value multitenant.encrypted_det, context text DEFAULT NULL)
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_decrypt_text';
COMMENT ON FUNCTION multitenant.decrypt_text(multitenant.encrypted_det, text) IS
'Decrypts what multitenant.encrypt_deterministic() made; errors as of the other decrypt_text().';

CREATE FUNCTION multitenant.decrypt_bytea(value multitenant.encrypted_det, context text DEFAULT NULL)
RETURNS bytea
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_decrypt_bytea';
COMMENT ON FUNCTION multitenant.decrypt_bytea(multitenant.encrypted_det, text) IS
'The same, as bytes.';

CREATE FUNCTION multitenant.blind_index(value text, purpose text DEFAULT 'default', bits integer DEFAULT 128)
RETURNS bytea
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER COST 5
AS 'MODULE_PATHNAME', 'mt_blind_index';
COMMENT ON FUNCTION multitenant.blind_index(text, text, integer) IS
'A keyed hash (HMAC-SHA256) by which an encrypted value is found: store it beside the value, with an index, and compare it with the hash of what is sought. Normalise first (case, blanks). Equal values of one tenant and purpose have equal hashes, those of two tenants never. bits: 8 to 256; 128 where values are unique, few where several values should share one hash, with the decrypted value compared besides. Errors as of multitenant.encrypt().';

CREATE FUNCTION multitenant.key_id(value multitenant.encrypted)
RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_key_id';
COMMENT ON FUNCTION multitenant.key_id(multitenant.encrypted) IS
'Which key a value was encrypted with (multitenant.key_status); needs no key.';

CREATE FUNCTION multitenant.key_id(value multitenant.encrypted_det)
RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_key_id';
COMMENT ON FUNCTION multitenant.key_id(multitenant.encrypted_det) IS
'Which key a value was encrypted with (multitenant.key_status); needs no key.';

CREATE FUNCTION multitenant.is_current(value multitenant.encrypted)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_is_current';
COMMENT ON FUNCTION multitenant.is_current(multitenant.encrypted) IS
'Was a value of the current tenant encrypted with the key that new values get? Errors as of multitenant.decrypt_text().';

CREATE FUNCTION multitenant._require_purpose(purpose text, use text)
RETURNS void
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_require_purpose';
COMMENT ON FUNCTION multitenant._require_purpose(text, text) IS
'Internal: raises what using a key of that purpose would; use: decrypt or encrypt.';

-- ---- making keys ----------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._make_key(tenant uuid, purpose text, class text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_make_key';
COMMENT ON FUNCTION multitenant._make_key(uuid, text, text) IS
'Internal: the id of a tenant''s active key for a purpose and class, made if there is none.';

CREATE FUNCTION multitenant._make_tenant_key(tenant uuid) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_make_tenant_key';
COMMENT ON FUNCTION multitenant._make_tenant_key(uuid) IS
'Internal: the id of a tenant''s own key, made if there is none.';

CREATE FUNCTION multitenant._first_tenant_key(tenant uuid) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_first_tenant_key';
COMMENT ON FUNCTION multitenant._first_tenant_key(uuid) IS
'Internal: makes the key of a tenant that this transaction creates.';

CREATE FUNCTION multitenant.create_key(tenant uuid, purpose text, class text DEFAULT 'data') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id bigint;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3), 'tenant, purpose and class');
	PERFORM multitenant._require('manage_tenants', 'making a key');
	PERFORM multitenant._require_tenant($1);
	new_id := multitenant._make_key($1, $2, $3);
	PERFORM multitenant._audit('key.create', $1, $2, 'done', jsonb_build_object('class', $3, 'key', new_id));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_key(uuid, text, text) IS
'Makes the key of a tenant for a purpose, so that the first use need not, and returns its id; the existing one''s if there is one. class: data, deterministic or blind_index. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, MT020 master key not loaded, 22023 purpose or class.';
