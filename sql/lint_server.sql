/*
 * lint_server.sql
 *	  Findings about the server, its settings and the installation of the extension.
 */

-- The oldest minor release of each major version that has every known fix an application's SQL could otherwise use
-- against isolation; the releases of a day get the same fixes under different numbers.
--
-- To extend: when PostgreSQL announces minor releases with security fixes, raise the minors of all majors and replace
-- the date and the CVEs that matter here; when a new major version is tested with this extension, add a line. A newer
-- minor than the one listed is as good; a major that is not listed is a finding.
CREATE FUNCTION multitenant._minimum_minors()
RETURNS TABLE(major integer, minor integer, released date, cves text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT m.major, m.minor, '2026-11-12'::date,
		'{CVE-2026-120154,CVE-2026-116327,CVE-2026-116311,CVE-2026-16237,CVE-2026-14666,CVE-2026-6471,CVE-2026-6473}'::text[]
	FROM (VALUES (15, 20), (16, 16), (17, 12), (18, 6)) AS m(major, minor)
$$;

-- What is to be said of a server of that version (server_version_num).
CREATE FUNCTION multitenant._lint_version(version integer) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'server_minor_outdated', coalesce(m.major || '.' || m.minor, (version / 10000)::text), NULL::name,
		CASE WHEN m.major IS NULL THEN 'high' ELSE 'critical' END,
		CASE WHEN m.major IS NULL
			THEN format('This version of the extension knows nothing of PostgreSQL %s.', version / 10000)
			ELSE format('The server is %s.%s; %s.%s of %s fixes %s.', m.major, version % 10000, m.major, m.minor, to_char(m.released, 'YYYY-MM-DD'),
						array_to_string(m.cves, ', ')) END,
		CASE WHEN m.major IS NULL THEN '-- Use a version of the extension that was tested with this server.'
			ELSE format('-- Install PostgreSQL %s.%s or later and restart the server.', m.major, m.minor) END,
		jsonb_build_object('version', version, 'cves', m.cves)
	FROM (SELECT 1) AS one LEFT JOIN multitenant._minimum_minors() m ON m.major = version / 10000
	WHERE m.major IS NULL OR version % 10000 < m.minor
$$;

CREATE FUNCTION multitenant._lint_library() RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'library_not_preloaded', 'server', NULL::name, CASE l.loaded WHEN 'late' THEN 'critical' ELSE 'medium' END,
		CASE l.loaded WHEN 'late'
			THEN 'The library came with a statement of this session; sessions that call none of its functions have no guard.'
			ELSE 'The library is in session_preload_libraries: the guard works, the sessions of a tenant cannot be ended.' END,
		'-- Put multitenant into shared_preload_libraries and restart the server.', jsonb_build_object('loaded', l.loaded)
	FROM multitenant._library() l WHERE l.loaded <> 'shared'
	UNION ALL
	SELECT 'guard_disabled', 'server', NULL, 'critical', 'multitenant.guard_enabled is off in this session.',
		CASE WHEN p.source IN ('session', 'client') THEN 'SET multitenant.guard_enabled = on'
			ELSE format('-- It is set in: %s. Reset it there.', coalesce(p.sourcefile, p.source)) END,
		jsonb_build_object('source', p.source)
	FROM multitenant._library() l LEFT JOIN pg_catalog.pg_settings p ON p.name = 'multitenant.guard_enabled'
	WHERE NOT l.is_guard_on
	UNION ALL
	SELECT 'extension_version_outdated', e.extname, NULL,
		CASE e.extname WHEN 'multitenant' THEN 'medium' ELSE 'low' END,
		format('%s is at version %s; %s is installed on the server.', e.extname, e.extversion, v.newest),
		format('ALTER EXTENSION %I UPDATE', e.extname), jsonb_build_object('installed', e.extversion, 'available', v.newest)
	FROM pg_catalog.pg_extension e
	JOIN LATERAL (SELECT CASE e.extname WHEN 'multitenant' THEN (SELECT l.version FROM multitenant._library() l)
		ELSE (SELECT a.default_version FROM pg_available_extensions() a WHERE a.name = e.extname) END) AS v(newest)
		ON v.newest <> e.extversion
	UNION ALL
	-- CVE-2024-4317: a catalog made before 15.7 keeps the old view until a script is run by hand.
	SELECT 'pg_stats_ext_unfixed', c.relname, NULL, 'medium',
		format('The view %s was made by a server before the fix of CVE-2024-4317.', c.relname),
		'-- Run fix-CVE-2024-4317.sql of the server''s share directory in every database.', NULL
	FROM pg_catalog.pg_class c WHERE c.oid IN ('pg_catalog.pg_stats_ext'::regclass, 'pg_catalog.pg_stats_ext_exprs'::regclass)
	  AND strpos(pg_get_viewdef(c.oid), 'pg_has_role') = 0
$$;

-- A setting kept for a role or a database is there for everybody to read, and one that turns off the guard turns it off.
CREATE FUNCTION multitenant._lint_kept_settings() RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH kept AS MATERIALIZED (
		SELECT * FROM multitenant._kept_settings()
	)
	SELECT 'secret_in_setting', format('%s:%s', k.place, k.name), NULL::name,
		CASE k.name WHEN 'multitenant.token' THEN 'critical' ELSE 'medium' END,
		format('%s keeps a value for %s that everybody can read in pg_db_role_setting.', k.place, k.name),
		format('ALTER %s RESET %s', k.place, multitenant._setting_name(k.name)), NULL::jsonb
	FROM kept k
	WHERE k.name ~* '(secret|passw|token|api_?key|private_?key|master_?key|encryption_?key|credential)' AND k.value <> ''
	  AND k.name NOT IN ('password_encryption')
	UNION ALL
	SELECT 'guard_disabled', format('%s:%s', k.place, k.name), NULL, 'critical',
		format('%s turns the guard off for its sessions.', k.place),
		format('ALTER %s RESET %s', k.place, multitenant._setting_name(k.name)), jsonb_build_object('value', k.value)
	FROM kept k
	WHERE (k.name = 'multitenant.guard_enabled' AND lower(k.value) IN ('off', 'false', 'no', '0', 'f', 'n', 'of', 'fal', 'fals', 'fa'))
	   OR (k.name = 'session_preload_libraries' AND k.value !~ '\mmultitenant\M'
		   AND current_setting('session_preload_libraries') ~ '\mmultitenant\M'
		   AND current_setting('shared_preload_libraries') !~ '\mmultitenant\M')
	UNION ALL
	SELECT 'session_hygiene_off', format('%s:%s', k.place, k.name), NULL, 'high',
		format('%s leaves in its sessions what one tenant put there for the next.', k.place),
		format('ALTER %s RESET %s', k.place, multitenant._setting_name(k.name)), NULL
	FROM kept k WHERE k.name = 'multitenant.session_hygiene' AND lower(k.value) = 'off'
$$;

-- Modes of the extension, as they hold in this session; null where the library does not know the setting.
CREATE FUNCTION multitenant._lint_modes(session_hygiene text, new_table_mode text) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'session_hygiene_off', 'server', NULL::name, 'high',
		'multitenant.session_hygiene is off: what one tenant leaves in a pooled session is there for the next.',
		coalesce(CASE WHEN p.source IN ('session', 'client') THEN 'RESET multitenant.session_hygiene' END,
			'-- Set multitenant.session_hygiene to clean or strict, then SELECT pg_reload_conf().'), NULL::jsonb
	FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_settings p ON p.name = 'multitenant.session_hygiene'
	WHERE session_hygiene = 'off'
	UNION ALL
	SELECT 'new_tables_unwatched', 'database', NULL, 'low', 'New tables are neither protected nor refused: nothing happens until lint() is asked again.',
		'-- Let new tables be warned about, protected or refused.', NULL
	WHERE new_table_mode = 'off'
$$;

-- Master keys, as the key keeper tells of them.
CREATE FUNCTION multitenant._lint_master_keys(keys multitenant._master_key[]) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'master_key_in_data_directory', format('version:%s', k.version), NULL::name, 'high',
		format('The file of master key version %s is inside the data directory: every backup has it.', k.version),
		'-- Move it elsewhere, set multitenant.key_file, and load the keys again with multitenant.reload_master_keys().', NULL::jsonb
	FROM unnest(keys) k WHERE k.is_in_data_directory
	UNION ALL
	SELECT 'master_key_not_loaded', format('version:%s', coalesce(k.version::text, 'any')), NULL,
		CASE WHEN k.id IS NULL THEN 'medium' ELSE 'low' END,
		CASE WHEN k.id IS NULL THEN format('Master key version %s is not loaded: %s', coalesce(k.version::text, 'any'), coalesce(k.error, 'It has not been tried yet.'))
			ELSE format('Master key version %s is loaded, but could not be loaded again: %s', k.version, k.error) END,
		'-- Mend what multitenant.mek_status shows; it is tried again by itself.',
		jsonb_build_object('provider', k.provider, 'state', k.state)
	FROM unnest(keys) k WHERE k.state <> 'off' AND (k.id IS NULL OR k.error IS NOT NULL)
	UNION ALL
	SELECT 'memory_not_locked', 'server', NULL, 'medium',
		'The memory of the master keys is not locked: it can be written to swap space.',
		'-- Raise the limit of locked memory (ulimit -l, LimitMEMLOCK= of systemd) and restart the server.', NULL
	FROM unnest(keys[1:1]) k WHERE k.state <> 'off' AND NOT k.is_locked
	UNION ALL
	SELECT 'memory_not_hidden', 'server', NULL, 'medium',
		'The memory of the server''s processes is not hidden: pg_read_binary_file(''/proc/self/mem'', ..) finds master keys.',
		'-- Set multitenant.hide_memory to on and restart the server.', NULL
	FROM unnest(keys[1:1]) k WHERE k.state <> 'off' AND NOT k.is_hidden
$$;

-- The name of a setting as ALTER ROLE .. RESET takes it.
CREATE FUNCTION multitenant._setting_name(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(quote_ident(p), '.' ORDER BY n) FROM unnest(string_to_array(name, '.')) WITH ORDINALITY AS x(p, n)
$$;

CREATE FUNCTION multitenant._lint_settings(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'log_statement_secrets', p.name, NULL::name, 'medium',
		format('%s is %s: statements go to the log with the values of every tenant in them.', p.name, p.setting),
		CASE WHEN p.source IN ('session', 'client') THEN format('RESET %s', p.name)
			ELSE format('-- ALTER SYSTEM SET %s = %L, then SELECT pg_reload_conf().', p.name, p.boot_val) END,
		jsonb_build_object('setting', p.setting, 'source', p.source)
	FROM pg_catalog.pg_settings p
	WHERE (p.name = 'log_statement' AND p.setting IN ('mod', 'all'))
	   OR (p.name = 'log_min_duration_statement' AND p.setting = '0')
	UNION ALL
	SELECT 'superuser_access_unrecorded', p.name, NULL, 'low',
		'multitenant.superuser_access is allow: what superusers do with protected tables is not recorded.',
		'-- ALTER SYSTEM SET multitenant.superuser_access = ''audit'', then SELECT pg_reload_conf().', NULL
	FROM pg_catalog.pg_settings p WHERE p.name = 'multitenant.superuser_access' AND p.setting = 'allow'
	UNION ALL
	SELECT 'prepared_transactions_enabled', p.name, NULL,
		multitenant._level_unless_closed('prepared_transactions' = ANY (s.open_channels), 'high', 'info'),
		format('%s is %s: prepared transactions belong to no tenant.', p.name, p.setting),
		'-- Set max_prepared_transactions to 0 and restart, unless a transaction manager needs them.',
		jsonb_build_object('setting', p.setting)
	FROM pg_catalog.pg_settings p WHERE p.name = 'max_prepared_transactions' AND p.setting <> '0'
	UNION ALL
	SELECT 'large_objects_used', 'database', NULL,
		multitenant._level_unless_closed('large_objects' = ANY (s.open_channels), 'high', 'info'),
		'This database has large objects, which belong to no tenant.',
		'-- Move them into bytea columns of protected tables, then lo_unlink() them.', NULL
	WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
$$;

-- Rights on settings that only superusers have by default.
CREATE FUNCTION multitenant._lint_parameters(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'dangerous_parameter_grant', format('%s:%s', p.parname, g.grantee_name), NULL::name,
		CASE WHEN p.parname ~ '^multitenant\.' THEN 'critical'
			WHEN p.parname IN ('session_replication_role', 'session_preload_libraries', 'shared_preload_libraries',
				'dynamic_library_path', 'allow_system_table_mods', 'lo_compat_privileges', 'ignore_system_indexes',
				'archive_command', 'restore_command', 'archive_library', 'ssl_passphrase_command') THEN 'high'
			ELSE 'medium' END,
		format('%s may set %s.', g.grantee_name, p.parname),
		format('REVOKE %s ON PARAMETER %s FROM %s', g.privileges, multitenant._setting_name(p.parname), g.grantee_name),
		jsonb_build_object('privileges', g.privileges)
	FROM pg_catalog.pg_parameter_acl p
	CROSS JOIN LATERAL (
		SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END,
			string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type)
		FROM aclexplode(p.paracl) x LEFT JOIN unnest(s.roles) r ON r.id = x.grantee
		WHERE x.grantee = 0 OR (r.is_exposed AND NOT r.is_superuser) GROUP BY 1) AS g(grantee_name, privileges)
$$;

-- Extensions that read the server's files and pages, past everything.
CREATE FUNCTION multitenant._lint_raw_access(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'raw_access_extension', format('%s:%s', e.extname, g.grantee_name), n.nspname, x.level,
		format('%s may execute %s function(s) of the extension %s, such as %s.', g.grantee_name, count(*), e.extname,
			   min(p.oid::regprocedure::text)),
		format('REVOKE EXECUTE ON FUNCTION %s FROM %s',
			   string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text COLLATE "C"), g.grantee_name),
		jsonb_build_object('functions', count(*))
	FROM pg_catalog.pg_extension e
	JOIN (VALUES ('pageinspect', 'high'), ('pg_walinspect', 'high'), ('pg_surgery', 'high'), ('adminpack', 'high'),
		('dblink', 'high'), ('pg_stat_statements', 'high'), ('pg_buffercache', 'medium'), ('pgstattuple', 'medium'), ('pgrowlocks', 'medium'),
		('pg_visibility', 'medium'), ('amcheck', 'medium'), ('pg_freespacemap', 'medium'), ('pg_prewarm', 'low')) AS x(extname, level)
		ON x.extname = e.extname
	JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
	JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
		AND d.deptype = 'e' AND d.classid = 'pg_catalog.pg_proc'::regclass
	JOIN pg_catalog.pg_proc p ON p.oid = d.objid
	CROSS JOIN LATERAL (
		SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END
		FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN unnest(s.roles) r ON r.id = a.grantee
		WHERE a.grantee = 0 OR (r.is_exposed AND r.id >= 16384 AND NOT r.is_superuser)) AS g(grantee_name)
	WHERE (e.extname <> 'dblink' OR p.proname = 'dblink_connect_u')
	  AND (e.extname <> 'pg_stat_statements' OR p.proname ~ '^pg_stat_statements')
	GROUP BY e.extname, n.nspname, g.grantee_name, x.level
$$;

CREATE FUNCTION multitenant._lint_languages(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'untrusted_language', p.oid::regprocedure::text, n.nspname, 'medium',
		format('Function %s is in the untrusted language %s: it can do with the server''s files what the server can.',
			   p.oid::regprocedure, l.lanname),
		format('REVOKE EXECUTE ON ROUTINE %s FROM %s', p.oid::regprocedure, g.grantees), jsonb_build_object('language', l.lanname)
	FROM pg_catalog.pg_language l
	JOIN pg_catalog.pg_proc p ON p.prolang = l.oid
	JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
	CROSS JOIN LATERAL (
		SELECT string_agg(CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END, ', ')
		FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN unnest(s.roles) r ON r.id = a.grantee
		WHERE a.privilege_type = 'EXECUTE' AND (a.grantee = 0 OR (r.is_exposed AND a.grantee <> p.proowner))) AS g(grantees)
	WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c') AND g.grantees IS NOT NULL
	  AND p.oid NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_proc'))
	UNION ALL
	SELECT 'trusted_pl_shared_state', format('%s:%s', l.lanname, g.grantee_name), NULL, 'medium',
		format('%s may use %s, whose shared variables outlive the tenant in a pooled session.', g.grantee_name, l.lanname),
		format('REVOKE USAGE ON LANGUAGE %I FROM %s', l.lanname, g.grantee_name), NULL
	FROM pg_catalog.pg_language l
	CROSS JOIN LATERAL (
		SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END
		FROM aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a LEFT JOIN unnest(s.roles) r ON r.id = a.grantee
		WHERE a.grantee = 0 OR (r.is_exposed AND a.grantee <> l.lanowner)) AS g(grantee_name)
	WHERE l.lanpltrusted AND l.lanname IN ('plperl', 'pltcl', 'plv8', 'plpython3', 'plr', 'pllua')
$$;

-- A server that leads back to this database gives its statements another role.
CREATE FUNCTION multitenant._lint_mappings(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'fdw_loopback_mapping', format('%s:%s', v.srvname, m.grantee_name), NULL::name,
		CASE WHEN o.is_loopback THEN 'high' ELSE 'medium' END,
		format('%s has a user mapping for the foreign server %s%s.', m.grantee_name, v.srvname,
			   CASE WHEN o.is_loopback THEN ', which leads back to this database' ELSE '' END),
		format('DROP USER MAPPING FOR %s SERVER %I', m.grantee_name, v.srvname), jsonb_build_object('loopback', o.is_loopback)
	FROM pg_catalog.pg_user_mappings u
	JOIN pg_catalog.pg_foreign_server v ON v.oid = u.srvid
	JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = v.srvfdw AND w.fdwname IN ('postgres_fdw', 'dblink_fdw')
	LEFT JOIN unnest(s.roles) r ON r.id = u.umuser
	CROSS JOIN LATERAL (SELECT CASE WHEN u.umuser = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END) AS m(grantee_name)
	CROSS JOIN LATERAL (
		SELECT coalesce(max(split_part(x, '=', 2)) FILTER (WHERE x ~ '^dbname='), current_database()) = current_database()
			AND coalesce(max(split_part(x, '=', 2)) FILTER (WHERE x ~ '^host='), '/') ~ '^(/|localhost$|127\.|::1$|@)'
		FROM unnest(v.srvoptions) x) AS o(is_loopback)
	WHERE u.umuser = 0 OR (r.is_exposed AND NOT r.is_superuser)
$$;

-- The extension's own defences, which a superuser can have turned off.
CREATE FUNCTION multitenant._lint_own_objects(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'own_object_exposed', c.relname::text, 'multitenant'::name, 'critical',
		format('The extension''s table %s has no row security: a role that may read tables reads it.', c.relname),
		format('ALTER TABLE multitenant.%I ENABLE ROW LEVEL SECURITY', c.relname), NULL::jsonb
	FROM pg_catalog.pg_class c
	WHERE c.relnamespace = 'multitenant'::regnamespace AND c.relkind = 'r' AND NOT c.relrowsecurity
	UNION ALL
	SELECT 'own_object_exposed', format('%s:%s', c.relname, p.polname), 'multitenant', 'critical',
		format('The policy %s opens the extension''s table %s.', p.polname, c.relname),
		format('DROP POLICY %I ON multitenant.%I', p.polname, c.relname), NULL
	FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
	WHERE c.relnamespace = 'multitenant'::regnamespace
	UNION ALL
	-- What was granted beyond what the extension itself grants.
	SELECT 'own_object_exposed', format('%s:%s', o.name, g.grantee_name), 'multitenant', 'high',
		format('%s has %s on %s, which is for the extension alone.', g.grantee_name, g.privileges, o.name),
		format('REVOKE %s ON %s %s FROM %s', g.privileges, o.kind, o.name, g.grantee_name), NULL
	FROM (
		SELECT 'pg_catalog.pg_proc'::regclass AS catalog, f.oid, 'FUNCTION' AS kind, f.oid::regprocedure::text AS name,
			f.proacl AS acl, f.proowner AS owner
		FROM pg_catalog.pg_proc f WHERE f.pronamespace = 'multitenant'::regnamespace
		UNION ALL
		SELECT 'pg_catalog.pg_class'::regclass, c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('multitenant.%I', c.relname),
			c.relacl, c.relowner
		FROM pg_catalog.pg_class c WHERE c.relnamespace = 'multitenant'::regnamespace AND c.relkind IN ('r', 'S')
		UNION ALL
		SELECT 'pg_catalog.pg_namespace'::regclass, n.oid, 'SCHEMA', 'multitenant', n.nspacl, n.nspowner
		FROM pg_catalog.pg_namespace n WHERE n.nspname = 'multitenant') o
	-- The accessors have no access list, and are for everybody.
	JOIN pg_catalog.pg_init_privs i ON i.classoid = o.catalog AND i.objoid = o.oid AND i.objsubid = 0
	CROSS JOIN LATERAL (
		SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END,
			string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
		FROM aclexplode(o.acl) a LEFT JOIN unnest(s.roles) r ON r.id = a.grantee
		WHERE (a.grantee = 0 OR (a.grantee <> o.owner AND NOT r.is_superuser))
		  AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) x WHERE x.grantee = a.grantee AND x.privilege_type = a.privilege_type)
		GROUP BY 1) AS g(grantee_name, privileges)
	UNION ALL
	SELECT 'own_trigger_disabled', format('%s:%s', c.relname, t.tgname), 'multitenant', 'high',
		format('The trigger %s of the extension''s table %s is disabled: its changes do not reach other sessions, or the audit '
			   'record can be changed.', t.tgname, c.relname),
		format('ALTER TABLE multitenant.%I ENABLE TRIGGER %I', c.relname, t.tgname), NULL
	FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
	WHERE c.relnamespace = 'multitenant'::regnamespace AND NOT t.tgisinternal AND t.tgenabled IN ('D', 'R')
	UNION ALL
	SELECT 'own_trigger_disabled', e.evtname, NULL, 'medium',
		format('The event trigger %s is disabled.', e.evtname), format('ALTER EVENT TRIGGER %I ENABLE', e.evtname), NULL
	FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc f ON f.oid = e.evtfoid
	WHERE f.pronamespace = 'multitenant'::regnamespace AND e.evtenabled IN ('D', 'R')
$$;
