-- One look at the installation.

CREATE FUNCTION multitenant._library(
	OUT version text, OUT loaded text, OUT is_guard_on boolean)
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_library';
COMMENT ON FUNCTION multitenant._library() IS
'Internal: version of the library, how it was loaded (shared, session, late), and whether the guard is on.';

CREATE FUNCTION multitenant._is_copy()
RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM multitenant.installation)
		AND NOT EXISTS (SELECT FROM multitenant.installation i, multitenant._here() h
						WHERE i.system_identifier = h.system_identifier
						AND i.database_name = h.database_name);
END;
COMMENT ON FUNCTION multitenant._is_copy() IS
'Internal: was this database copied since its signing keys were added?';

CREATE FUNCTION multitenant.status()
RETURNS TABLE (item text, value text, ok boolean, hint text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	library record;
	sql_version text;
	counts record;
	new_tables record;
BEGIN
	SELECT * INTO library FROM multitenant._library();
	SELECT e.extversion INTO sql_version FROM pg_extension e WHERE e.extname = 'multitenant';
	SELECT * INTO new_tables FROM multitenant._new_tables();
	SELECT count(*) FILTER (WHERE t.class IN ('tenant', 'shared_rows') AND t.mode <> 'observe') AS protected,
		count(*) FILTER (WHERE t.mode = 'observe') AS observed,
		count(*) FILTER (WHERE t.class = 'shared') AS shared,
		count(*) FILTER (WHERE t.class = 'exempt') AS exempt,
		count(*) FILTER (WHERE t.mode = 'paused') AS paused,
		count(*) FILTER (WHERE NOT t.is_intact AND t.mode <> 'paused') AS broken,
		multitenant._accepted_finding_count() AS accepted
		INTO counts FROM multitenant.tables t;

	RETURN QUERY VALUES
		('library', library.version, library.version = sql_version,
		 CASE WHEN library.version <> sql_version THEN
			format('The SQL side is version %s: run ALTER EXTENSION multitenant UPDATE.', sql_version) END),
		('loaded', library.loaded, library.loaded = 'shared',
		 CASE library.loaded
			WHEN 'session' THEN 'Put multitenant into shared_preload_libraries to be able to end the sessions of a tenant.'
			WHEN 'late' THEN 'Put multitenant into shared_preload_libraries; until then the guard misses the first statements of a session.'
		 END),
		('guard', CASE WHEN library.is_guard_on THEN 'on' ELSE 'off' END, library.is_guard_on,
		 CASE WHEN NOT library.is_guard_on THEN 'Set multitenant.guard_enabled to on.' END),
		('superuser_access', current_setting('multitenant.superuser_access'),
		 current_setting('multitenant.superuser_access') <> 'allow',
		 CASE WHEN current_setting('multitenant.superuser_access') = 'allow' THEN
			'Set multitenant.superuser_access to audit or deny.' END),
		('credentials', CASE WHEN multitenant._is_copy() THEN 'refused' ELSE 'accepted' END,
		 NOT multitenant._is_copy(),
		 CASE WHEN multitenant._is_copy() THEN
			'This database is a copy: call multitenant.adopt_clone().' END),
		('new tables', new_tables.mode || CASE WHEN new_tables.is_in_force THEN '' ELSE ', suspended' END,
		 new_tables.is_in_force,
		 CASE WHEN NOT new_tables.is_in_force THEN
			'A restore has not been ended: call multitenant.post_restore().' END),
		('tables protected', counts.protected::text, true, NULL),
		('tables observed', counts.observed::text, counts.observed = 0,
		 CASE WHEN counts.observed > 0 THEN 'Nothing is enforced on them: see multitenant.adoption_report(), then call protect().' END),
		('tables shared', counts.shared::text, true, NULL),
		('tables exempt', counts.exempt::text, true, NULL),
		('tables paused', counts.paused::text, counts.paused = 0,
		 CASE WHEN counts.paused > 0 THEN 'Call multitenant.repair() to end a pause.' END),
		('tables not intact', counts.broken::text, counts.broken = 0,
		 CASE WHEN counts.broken > 0 THEN 'Look at the view multitenant.tables and call multitenant.repair().' END),
		('findings accepted', counts.accepted::text, counts.accepted = 0,
		 CASE WHEN counts.accepted > 0 THEN 'Accepting promises nothing: mend them before the acceptance ends.' END);
END
$$;
COMMENT ON FUNCTION multitenant.status() IS
'The state of this installation, one row for each item: ok is false where something should be done, and hint says what.';
