-- Secrets of tenants: a vault of named values, reached from the tenant's own context alone.

CREATE TABLE multitenant.secret (
	-- No foreign key: a parallel restore loads the extension's tables in any order.
	tenant_id uuid NOT NULL,
	name text COLLATE "C" NOT NULL,
	version integer NOT NULL,
	value multitenant.encrypted NOT NULL,
	description text,
	created_at timestamptz NOT NULL,
	created_by name NOT NULL,
	CONSTRAINT secret_pkey PRIMARY KEY (tenant_id, name, version),
	CONSTRAINT secret_name_check CHECK (octet_length(name) BETWEEN 1 AND 255 AND name !~ '[[:cntrl:]]'),
	CONSTRAINT secret_version_check CHECK (version > 0)
);
COMMENT ON TABLE multitenant.secret IS
'Values of put_secret(), encrypted for purpose "secret" and bound to their name. Nothing is granted on it.';
ALTER TABLE multitenant.secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.secret ALTER COLUMN value SET STATISTICS 0;
SELECT pg_catalog.pg_extension_config_dump('multitenant.secret', '');

CREATE FUNCTION multitenant.put_secret(name text, value text, description text DEFAULT NULL, keep integer DEFAULT 5)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid;
	new_version integer;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'name and value');
	tenant := multitenant._require_own_tenant('putting a secret');
	IF octet_length($1) NOT BETWEEN 1 AND 255 OR $1 ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'invalid name of a secret'
			USING ERRCODE = '22023', HINT = 'A name has 1 to 255 bytes and no control characters.';
	ELSIF coalesce($4, 0) < 1 THEN
		RAISE EXCEPTION 'at least one version must be kept'
			USING ERRCODE = '22023', HINT = 'Omit keep for five.';
	END IF;
	-- Two that put the same secret at the same time: the second one waits for the first, then takes the next version.
	-- Security: no lock on the tenant's row, which an open transaction of its application would keep from being suspended.
	LOOP
		SELECT coalesce(max(s.version), 0) + 1 INTO new_version FROM multitenant.secret s
			WHERE s.tenant_id = tenant AND s.name = $1;
		INSERT INTO multitenant.secret (tenant_id, name, version, value, description, created_at, created_by)
			SELECT tenant, $1, new_version, multitenant.encrypt($2, 'secret', 'secret:' || $1),
				coalesce($3, (SELECT s.description FROM multitenant.secret s
							  WHERE s.tenant_id = tenant AND s.name = $1 AND s.version = new_version - 1)),
				clock_timestamp(), session_user
			ON CONFLICT ON CONSTRAINT secret_pkey DO NOTHING;
		EXIT WHEN FOUND;
	END LOOP;
	DELETE FROM multitenant.secret s WHERE s.tenant_id = tenant AND s.name = $1 AND s.version <= new_version - $4;
	PERFORM multitenant._audit('key.put_secret', tenant, $1, 'done', jsonb_build_object('version', new_version));
	RETURN new_version;
END
$$;
COMMENT ON FUNCTION multitenant.put_secret(text, text, text, integer) IS
'Keeps a value of the current tenant under a name and returns its version; the versions before it stay, as many as keep says (5, this one included). Encrypted before it is written; pass it as a parameter, so that it is in no statement text. Errors: MT001, MT003, MT006, MT020, 25006 as multitenant.encrypt(); 22023 name, keep or null; 42501 supervised and system contexts, or without the permission that the rule of purpose "secret" asks for.';

CREATE FUNCTION multitenant.get_secret(name text, version integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid;
	found_value multitenant.encrypted;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the name');
	tenant := multitenant._require_own_tenant('reading a secret');
	SELECT s.value INTO found_value FROM multitenant.secret s
		WHERE s.tenant_id = tenant AND s.name = $1 AND s.version = coalesce($2, s.version)
		ORDER BY s.version DESC LIMIT 1;
	IF found_value IS NULL THEN
		RAISE EXCEPTION 'there is no such secret'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.secrets.';
	END IF;
	RETURN multitenant.decrypt_text(found_value, 'secret:' || $1);
END
$$;
COMMENT ON FUNCTION multitenant.get_secret(text, integer) IS
'The value of a secret of the current tenant: its last version, or the one given. Errors: MT001, MT003, MT006, MT020, MT021 as multitenant.decrypt_text(); 42704 no such secret or version; 42501 supervised and system contexts, or without the permission that the rule of purpose "secret" asks for.';

CREATE FUNCTION multitenant.drop_secret(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the name');
	tenant := multitenant._require_own_tenant('dropping a secret');
	PERFORM multitenant._require_purpose('secret', 'encrypt');
	DELETE FROM multitenant.secret s WHERE s.tenant_id = tenant AND s.name = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no such secret'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.secrets.';
	END IF;
	PERFORM multitenant._audit('key.drop_secret', tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_secret(text) IS
'Removes a secret of the current tenant with all its versions; backups keep what they have. Errors: MT001; 42704 no such secret; 42501 as put_secret().';

CREATE VIEW multitenant.secrets WITH (security_barrier = true) AS
	SELECT s.name, max(s.version) AS version, count(*) AS versions_kept,
		(array_agg(s.description ORDER BY s.version DESC))[1] AS description,
		min(s.created_at) AS oldest_at, max(s.created_at) AS changed_at,
		-- Security: how the service calls its other roles is its own affair.
		CASE WHEN (array_agg(s.created_by ORDER BY s.version DESC))[1] = session_user THEN session_user END AS changed_by
	FROM multitenant.secret s
	-- A sub-select: the planner would call the function for its estimates, also where nobody needs a tenant.
	WHERE s.tenant_id = (SELECT multitenant._require_own_tenant('seeing secrets'))
	GROUP BY s.name;
COMMENT ON VIEW multitenant.secrets IS
'Names and dates of the current tenant''s secrets; values come from multitenant.get_secret() alone. changed_by: the role of this session, else null. Errors: MT001 without a tenant, 42501 looking in from outside.';
