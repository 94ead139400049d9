-- Moving the keys of one tenant to another installation, wrapped all the way.

CREATE FUNCTION multitenant._export_tenant_key(kek bigint, transport_key text) RETURNS bytea
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_export_tenant_key';
COMMENT ON FUNCTION multitenant._export_tenant_key(bigint, text) IS
'Internal: a tenant''s key, wrapped under the master key of that id.';

CREATE FUNCTION multitenant._import_tenant_key(tenant uuid, kek bigint, version integer, created_at timestamptz, exported bytea)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_import_tenant_key';
COMMENT ON FUNCTION multitenant._import_tenant_key(uuid, bigint, integer, timestamptz, bytea) IS
'Internal: makes the row of a key that _export_tenant_key() has wrapped.';

CREATE FUNCTION multitenant.export_wrapped_keys(tenant uuid, transport_key text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bundle jsonb;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'tenant and transport key');
	PERFORM multitenant._require('superuser', 'exporting keys');
	IF $2 !~ '^[0-9a-f]{16}$' THEN
		RAISE EXCEPTION 'invalid id of a master key'
			USING ERRCODE = '22023', HINT = 'See id in multitenant.mek_status: 16 hexadecimal digits.';
	ELSIF NOT EXISTS (SELECT FROM multitenant.tenant t WHERE t.id = $1) THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	ELSIF NOT EXISTS (SELECT FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.state <> 'destroyed') THEN
		RAISE EXCEPTION 'the tenant has no keys'
			USING ERRCODE = '55000', HINT = 'Nothing was ever encrypted for it, or it was shredded.';
	END IF;
	SELECT jsonb_build_object('format', 1, 'tenant', $1, 'transport_key', $2,
		'keks', (SELECT jsonb_agg(jsonb_build_object('id', k.kek_id::text, 'version', k.version, 'state', k.state,
					'created_at', to_char(k.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00',
					'key', encode(multitenant._export_tenant_key(k.kek_id, $2), 'hex')) ORDER BY k.version)
				 FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.state <> 'destroyed'),
		'ceks', coalesce((SELECT jsonb_agg(jsonb_build_object('id', c.cek_id::text, 'purpose', c.purpose, 'class', c.class,
					'version', c.version, 'kek', c.kek_id::text, 'state', c.state, 'uses', c.uses,
					'created_at', to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00',
					'key', encode(c.wrapped, 'hex'), 'check', encode(c.kcv, 'hex')) ORDER BY c.cek_id)
				 FROM multitenant.cek c WHERE c.tenant_id = $1 AND c.state <> 'destroyed'), '[]')) INTO bundle;
	PERFORM multitenant._audit('key.export', $1, $2, 'done', jsonb_build_object('keys', jsonb_array_length(bundle -> 'ceks')));
	RETURN bundle;
END
$$;
COMMENT ON FUNCTION multitenant.export_wrapped_keys(uuid, text) IS
'All keys of a tenant for another installation, as JSON, wrapped under a master key that both servers have loaded (transport_key: its id, multitenant.mek_status). Worth nothing without that master key; with it, everything of the tenant. Superusers only; audited. Errors: 42501, 22023, MT008 unknown tenant, MT020 master key not loaded, 55000 no keys.';

CREATE FUNCTION multitenant.import_wrapped_keys(bundle jsonb)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid;
	k record;
	wrong text;
	key_count integer := 0;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the bundle');
	PERFORM multitenant._require('superuser', 'importing keys');
	IF jsonb_typeof($1) <> 'object' OR $1 -> 'format' IS DISTINCT FROM '1' OR jsonb_typeof($1 -> 'keks') IS DISTINCT FROM 'array'
	   OR jsonb_typeof($1 -> 'ceks') IS DISTINCT FROM 'array' THEN
		RAISE EXCEPTION 'not a bundle of keys'
			USING ERRCODE = '22023', HINT = 'Use what multitenant.export_wrapped_keys() returned, unchanged.';
	END IF;
	tenant := ($1 ->> 'tenant')::uuid;
	IF NOT EXISTS (SELECT FROM multitenant.tenant t WHERE t.id = tenant) THEN
		PERFORM multitenant._raise_unknown_tenant(tenant::text);
	ELSIF EXISTS (SELECT FROM multitenant.kek x WHERE x.tenant_id = tenant AND x.state <> 'destroyed') THEN
		RAISE EXCEPTION 'the tenant has keys here'
			USING ERRCODE = '55000', HINT = 'Import before anything is encrypted for it.';
	END IF;
	-- A version that is current takes the place of one that is: the others come first.
	FOR k IN SELECT * FROM jsonb_to_recordset($1 -> 'keks') AS x(id bigint, version integer, state text, created_at timestamptz, key text)
			ORDER BY x.version LOOP
		PERFORM multitenant._import_tenant_key(tenant, k.id, k.version, k.created_at, decode(k.key, 'hex'));
		UPDATE multitenant.kek x SET state = k.state WHERE x.kek_id = k.id AND x.state <> k.state;
	END LOOP;
	INSERT INTO multitenant.cek (cek_id, tenant_id, purpose, class, version, kek_id, wrapped, kcv, state, uses, created_at, changed_at)
		SELECT x.id, tenant, x.purpose, x.class, x.version, x.kek, decode(x.key, 'hex'), decode(x."check", 'hex'), x.state, x.uses,
			x.created_at, clock_timestamp()
		FROM jsonb_to_recordset($1 -> 'ceks') AS x(id bigint, purpose text, class text, version integer, kek bigint, state text,
			uses bigint, created_at timestamptz, key text, "check" text);
	GET DIAGNOSTICS key_count = ROW_COUNT;
	SELECT multitenant._check_key(c.cek_id) INTO wrong FROM multitenant.cek c
		WHERE c.tenant_id = tenant AND c.state <> 'destroyed' AND multitenant._check_key(c.cek_id) IS NOT NULL LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'a key of the bundle cannot be used'
			USING ERRCODE = 'MT020', DETAIL = wrong, HINT = 'Use what multitenant.export_wrapped_keys() returned, unchanged.';
	END IF;
	PERFORM multitenant._audit('key.import', tenant, $1 ->> 'transport_key', 'done', jsonb_build_object('keys', key_count));
	RETURN key_count;
END
$$;
COMMENT ON FUNCTION multitenant.import_wrapped_keys(jsonb) IS
'Takes in what multitenant.export_wrapped_keys() of another installation returned, for a tenant of the same id that has no keys here; each key is tried before it is kept, and is under this server''s current master key then. Returns how many keys there are. Values that were copied here can be decrypted from the commit on. Superusers only; audited. Errors: 42501, 22023 not a bundle, MT008 unknown tenant, MT020 master key not loaded or bundle changed, 23505 a key is here already, 55000 the tenant has keys.';
