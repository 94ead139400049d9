-- Master keys: which are loaded, and loading them again. No function returns a key.

-- A version of the master key that is listed; without a version: none is. "is_locked", "is_hidden": the memory of all keys,
-- and of this process.
CREATE TYPE multitenant._master_key AS (
	version integer,
	id text,
	is_current boolean,
	loaded_at timestamptz,
	provider text,
	state text,
	error text,
	next_try timestamptz,
	is_locked boolean,
	is_hidden boolean,
	is_in_data_directory boolean
);

CREATE FUNCTION multitenant._master_keys() RETURNS SETOF multitenant._master_key
LANGUAGE c VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_master_keys';
COMMENT ON FUNCTION multitenant._master_keys() IS
'Internal: versions of the master key that are listed, with what the key keeper says of each.';

CREATE FUNCTION multitenant._reload_master_keys()
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_reload_master_keys';
COMMENT ON FUNCTION multitenant._reload_master_keys() IS
'Internal: multitenant.reload_master_keys() without the record.';

CREATE FUNCTION multitenant._mek_status() RETURNS SETOF multitenant._master_key
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading the state of the master keys');
	RETURN QUERY SELECT * FROM multitenant._master_keys();
END
$$;
COMMENT ON FUNCTION multitenant._mek_status() IS
'Internal: behind the view multitenant.mek_status, and its lints.';

CREATE VIEW multitenant.mek_status WITH (security_barrier = true) AS
	SELECT k.version, k.id, k.is_current, k.loaded_at, k.provider, k.state, k.error, k.next_try
	FROM multitenant._mek_status() k;
COMMENT ON VIEW multitenant.mek_status IS
'Master keys, one row for each version that multitenant.key_versions lists (none: one row without a version). id: key check value, null if not loaded; is_current: new keys are wrapped with it; state: of the key keeper: starting, off, loaded, failing; error: why the last try failed; next_try: when it will be made again. Needs the capability "lint".';

CREATE FUNCTION multitenant.reload_master_keys()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('superuser', 'reloading the master keys');
	PERFORM multitenant._reload_master_keys();
	PERFORM multitenant._audit('key.reload_master_keys', NULL, NULL, 'done', NULL);
END
$$;
COMMENT ON FUNCTION multitenant.reload_master_keys() IS
'Reads the settings multitenant.key_* again, loads every version that is listed, wipes the others, and waits until that was tried. Superusers only. Errors: 42501, 55000 without shared_preload_libraries, MT020 a version could not be loaded: DETAIL says why, and what was loaded before stays.';
