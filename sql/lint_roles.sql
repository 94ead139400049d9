/*
 * lint_roles.sql
 *	  Findings about roles: what an application can become, what was allowed to it, and what it was granted.
 */

CREATE FUNCTION multitenant._lint_attributes(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'app_role_superuser_or_bypassrls', r.name::text, NULL::name,
		CASE WHEN r.is_superuser THEN 'critical' ELSE multitenant._level_unless_closed(NOT s.is_guarded, 'critical', 'medium') END,
		CASE WHEN r.is_superuser THEN format('%s is a superuser; its profile %s means nothing.', r.name, r.profile)
			ELSE format('%s has BYPASSRLS and no recorded bypass%s.', r.name,
						CASE WHEN s.is_guarded THEN ': the guard refuses all that it does with protected tables' ELSE '' END) END,
		format('ALTER ROLE %I %s', r.name, CASE WHEN r.is_superuser THEN 'NOSUPERUSER NOBYPASSRLS' ELSE 'NOBYPASSRLS' END),
		jsonb_build_object('profile', r.profile)
	FROM unnest(s.roles) r
	WHERE (r.is_superuser AND r.is_recorded) OR (r.is_application AND r.is_exposed AND NOT r.is_filtered)
	UNION ALL
	SELECT 'app_role_createrole', r.name::text, NULL,
		CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'medium'
			WHEN r.is_application THEN 'critical' ELSE 'high' END,
		CASE WHEN current_setting('server_version_num')::int >= 160000 THEN format('%s may make roles.', r.name)
			ELSE format('%s has CREATEROLE, which before PostgreSQL 16 is a way to every role, and from there to the server.', r.name) END,
		format('ALTER ROLE %I NOCREATEROLE', r.name), jsonb_build_object('profile', r.profile)
	FROM unnest(s.roles) r JOIN pg_catalog.pg_roles a ON a.oid = r.id
	WHERE a.rolcreaterole AND NOT r.is_superuser AND (r.is_exposed OR r.is_recorded)
	UNION ALL
	SELECT 'replication_role', r.name::text, NULL, 'high',
		format('%s has REPLICATION: the stream of changes, and a copy of the server, have rows of every tenant.', r.name),
		format('ALTER ROLE %I NOREPLICATION', r.name), jsonb_build_object('profile', r.profile)
	FROM unnest(s.roles) r JOIN pg_catalog.pg_roles a ON a.oid = r.id
	WHERE a.rolreplication AND NOT r.is_superuser AND r.is_application AND r.is_exposed
$$;

-- Memberships that give an application what it must not have. The finding is about the last of a chain: without it,
-- no way is left.
CREATE FUNCTION multitenant._lint_memberships(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH owner AS MATERIALIZED (
		SELECT t.owner AS id, count(*) AS tables FROM unnest(s.tables) t WHERE t.class IN ('tenant', 'shared_rows') GROUP BY 1
	), edge AS MATERIALIZED (
		SELECT g.id, g.name, g.profile, g.is_superuser, g.is_filtered, g.is_recorded, g.is_application, m.name AS member,
			o.tables
		FROM multitenant._memberships() e
		JOIN unnest(s.roles) g ON g.id = e.granted
		JOIN unnest(s.roles) m ON m.id = e.member
		LEFT JOIN owner o ON o.id = g.id
		-- Inside the server's own roles nothing can be revoked; the way into them is what counts.
		WHERE m.is_exposed AND m.id >= 16384 AND NOT m.is_superuser
	)
	SELECT f.lint, format('%s:%s', f.name, f.member), NULL::name, f.level, f.detail,
		format('REVOKE %I FROM %I', f.name, f.member), jsonb_build_object('role', f.name, 'member', f.member)
	FROM (
		SELECT 'bypassrls_reachable' AS lint, e.name, e.member,
			CASE WHEN e.is_superuser THEN 'critical' ELSE multitenant._level_unless_closed(NOT s.is_guarded, 'critical', 'medium') END AS level,
			format('%s can become %s, which %s.', e.member, e.name,
				   CASE WHEN e.is_superuser THEN 'is a superuser' ELSE 'has BYPASSRLS' END) AS detail
		FROM edge e WHERE NOT e.is_filtered
		UNION ALL
		SELECT 'app_role_member_of_owner', e.name, e.member, 'critical',
			format('%s is a member of %s, which owns %s protected table(s) and may change how they are made.', e.member, e.name, e.tables)
		FROM edge e WHERE e.tables > 0 AND NOT e.is_superuser
		UNION ALL
		SELECT 'profile_reachable', e.name, e.member, multitenant._level_unless_closed(NOT s.is_guarded, 'high', 'medium'),
			format('%s can become %s, whose profile is %s%s.', e.member, e.name, e.profile,
				   CASE WHEN s.is_guarded THEN '; the profile is not lent, the privileges are' ELSE '' END)
		FROM edge e
		WHERE e.is_recorded AND e.is_filtered AND coalesce(e.tables, 0) = 0 AND NOT (e.is_application AND e.profile <> 'trusted_application')
		UNION ALL
		SELECT 'predefined_role_granted', e.name, e.member,
			CASE WHEN e.name IN ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files') THEN 'critical'
				WHEN e.name IN ('pg_read_all_data', 'pg_write_all_data', 'pg_monitor', 'pg_read_all_stats', 'pg_create_subscription',
					'pg_signal_backend') THEN 'high'
				WHEN e.name IN ('pg_checkpoint', 'pg_use_reserved_connections', 'pg_signal_autovacuum_worker') THEN 'low'
				ELSE 'medium' END,
			format('%s is a member of %s.', e.member, e.name)
		FROM edge e WHERE e.id < 16384 AND e.is_filtered
	) f
$$;

-- An application that owns what it works with can undo what protects it.
CREATE FUNCTION multitenant._lint_owners(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'app_role_owns_object', r.name::text, NULL::name,
		CASE WHEN r.is_recorded THEN 'critical' ELSE 'high' END,
		format('%s owns %s and %s.', r.name, o.what,
			   CASE WHEN r.is_recorded THEN format('has profile %s', r.profile)
				ELSE 'logs in without a profile, as an application does' END),
		format('-- If %1$I serves requests, give what it owns to a role that does not log in (REASSIGN OWNED BY %1$I TO ..). If it '
			   'runs migrations, record that: SELECT multitenant.grant_access(%1$L, ''migrator'').', r.name),
		jsonb_build_object('profile', r.profile, 'owns', o.what)
	FROM unnest(s.roles) r
	JOIN (
		SELECT x.owner, string_agg(x.what, ', ' ORDER BY x.what) FROM (
			SELECT t.owner, format('%s protected table(s), such as %s', count(*), min(t.name)) FROM unnest(s.tables) t
			WHERE t.class IN ('tenant', 'shared_rows') GROUP BY t.owner
			UNION ALL
			SELECT d.datdba, 'the database' FROM pg_catalog.pg_database d WHERE d.datname = current_database()
			UNION ALL
			SELECT n.nspowner, format('schema %s', string_agg(n.nspname, ', ' ORDER BY n.nspname)) FROM pg_catalog.pg_namespace n
			WHERE multitenant._is_application_schema(n.nspname) GROUP BY n.nspowner) x(owner, what)
		GROUP BY x.owner) AS o(owner, what) ON o.owner = r.id
	WHERE r.is_application AND r.is_exposed AND (r.can_login OR r.is_recorded)
$$;

CREATE FUNCTION multitenant._lint_create(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH g AS MATERIALIZED (
		SELECT x.kind, x.place, x.schema_name, x.privilege, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END AS grantee
		FROM (
			SELECT 'SCHEMA' AS kind, n.nspname AS place, n.nspname AS schema_name, n.nspowner AS owner, a.grantee, a.privilege_type AS privilege
			FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
			WHERE multitenant._is_application_schema(n.nspname)
			  AND n.oid NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_namespace'))
			UNION ALL
			SELECT 'DATABASE', d.datname, NULL, d.datdba, a.grantee, a.privilege_type
			FROM pg_catalog.pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
			WHERE d.datname = current_database()) x
		LEFT JOIN unnest(s.roles) r ON r.id = x.grantee
		WHERE x.grantee = 0 OR (r.is_exposed AND x.grantee <> x.owner AND NOT r.is_superuser)
	)
	SELECT 'app_role_create_privilege', format('%s %s:%s', lower(g.kind), g.place, g.grantee), g.schema_name, 'high',
		format('%s may create objects in %s %s; a function or table of its own is found there by other tenants'' statements.',
			   g.grantee, lower(g.kind), g.place),
		format('REVOKE CREATE ON %s %I FROM %s', g.kind, g.place, g.grantee), NULL::jsonb
	FROM g WHERE g.privilege = 'CREATE'
	UNION ALL
	SELECT 'app_role_temp_privilege', g.grantee, NULL, multitenant._level_unless_closed(NOT s.is_residue_removed, 'high', 'medium'),
		format('%s may make temporary tables in this database: in a pooled session they outlive the tenant, and come before '
			   'the tables they are called like.', g.grantee),
		format('REVOKE TEMPORARY ON DATABASE %I FROM %s', g.place, g.grantee), NULL
	FROM g WHERE g.privilege = 'TEMPORARY'
$$;

-- What a grant on a table reaches that row security does not filter.
CREATE FUNCTION multitenant._lint_privileges(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH g AS MATERIALIZED (
		SELECT t.name, t.schema_name, x.grantee, x.grantee_id, x.privilege,
			CASE x.privilege WHEN 'TRIGGER' THEN 'triggers' ELSE lower(x.privilege) END = ANY (s.open_channels) AS is_open
		FROM unnest(s.tables) t JOIN multitenant._exposed_grants(s.roles, 'rp') x ON x.rel = t.id
		WHERE t.class IN ('tenant', 'shared_rows', 'shared')
	)
	SELECT lower(g.privilege) || '_privilege', format('%s:%s', g.name, g.grantee), g.schema_name,
		CASE g.privilege WHEN 'MAINTAIN' THEN 'medium'
			ELSE multitenant._level_unless_closed(g.is_open, 'high', 'medium') END,
		format('%s has %s on %s.', g.grantee, g.privilege, g.name),
		format('REVOKE %s ON TABLE %s FROM %s', g.privilege, g.name, g.grantee), NULL::jsonb
	FROM g WHERE g.privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
	UNION ALL
	SELECT 'public_grant_on_tenant_table', g.name, g.schema_name, 'medium',
		format('PUBLIC has %s on %s: every role of the server that can connect.', string_agg(g.privilege, ', ' ORDER BY g.privilege), g.name),
		format('REVOKE %s ON TABLE %s FROM PUBLIC', string_agg(g.privilege, ', ' ORDER BY g.privilege), g.name), NULL
	FROM g WHERE g.grantee_id = 0 AND g.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') GROUP BY g.name, g.schema_name
	UNION ALL
	SELECT 'default_privileges_open', format('%s:%s:%s', o.rolname, coalesce(n.nspname, '*'), x.grantee), n.nspname, 'medium',
		format('Tables that %s makes%s are open to %s (%s) before anybody protects them.', o.rolname,
			   coalesce(' in schema ' || n.nspname, ''), x.grantee, x.privileges),
		format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON TABLES FROM %s', o.rolname, coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''),
			   x.privileges, x.grantee), NULL
	FROM pg_catalog.pg_default_acl d
	JOIN pg_catalog.pg_roles o ON o.oid = d.defaclrole
	LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
	CROSS JOIN LATERAL (
		SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
		FROM aclexplode(d.defaclacl) a LEFT JOIN unnest(s.roles) r ON r.id = a.grantee
		WHERE a.grantee <> d.defaclrole
		  AND (a.grantee = 0 OR (r.is_exposed AND a.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')))
		GROUP BY 1) AS x(grantee, privileges)
	WHERE d.defaclobjtype = 'r'
$$;

-- The call that grants what a role has, with these changes.
CREATE FUNCTION multitenant._regrant(present multitenant.access, profile text, session_context boolean, allowed text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' AS $$
	SELECT format('SELECT multitenant.grant_access(%L, %L', present.role_name, profile)
		|| coalesce(', tenant => ' || quote_literal(present.tenant_id), '')
		|| coalesce(', reason => ' || quote_literal(present.reason), '')
		|| coalesce(', expires_at => ' || quote_literal(present.expires_at), '')
		|| CASE WHEN session_context THEN ', session_context => true' ELSE '' END
		|| CASE WHEN cardinality(allowed) > 0 THEN format(', allow => %L', allowed) ELSE '' END || ')'
$$;

-- What grant_access() gave away. A role is granted anew without it.
CREATE FUNCTION multitenant._lint_profiles() RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH p AS MATERIALIZED (
		SELECT a.*, a AS present, r.oid IS NOT NULL AS has_role FROM multitenant._access_profiles() a
		LEFT JOIN pg_catalog.pg_roles r ON r.rolname = a.role_name
	)
	SELECT 'access_role_missing', p.role_name::text, NULL::name,
		CASE WHEN p.profile IN ('application', 'tenant') THEN 'low' ELSE 'medium' END,
		format('The role %s is gone; one of that name that is made later has profile %s.', p.role_name, p.profile),
		format('SELECT multitenant.revoke_access(%L)', p.role_name), jsonb_build_object('profile', p.profile)
	FROM p WHERE NOT p.has_role
	UNION ALL
	SELECT 'trusted_application', p.role_name::text, NULL, 'medium',
		format('%s names its tenants itself: whoever can add a statement to its own reads every tenant.', p.role_name),
		multitenant._regrant(p.present, 'application', p.session_context, p.allowed), NULL
	FROM p WHERE p.has_role AND p.profile = 'trusted_application'
	UNION ALL
	SELECT 'legacy_role', p.role_name::text, NULL, 'high',
		format('%s reaches every tenant until %s.', p.role_name, to_char(p.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')),
		format('SELECT multitenant.revoke_access(%L); ALTER ROLE %I NOBYPASSRLS', p.role_name, p.role_name), NULL
	FROM p WHERE p.has_role AND p.profile = 'legacy' AND p.expires_at > now()
	UNION ALL
	SELECT 'session_context_granted', p.role_name::text, NULL, 'high',
		format('The context of %s outlives its transactions: in a pooled session the next statement may be another tenant''s.', p.role_name),
		multitenant._regrant(p.present, p.profile, false, p.allowed), NULL
	FROM p WHERE p.has_role AND p.session_context
	UNION ALL
	SELECT 'hardening_allowed', format('%s:%s', p.role_name, h.name), NULL,
		CASE WHEN h.name IN ('advisory_locks', 'lock', 'logical_messages', 'notify', 'row_versions', 'signals', 'sizes', 'snapshots') THEN 'medium' ELSE 'high' END,
		format('%s may %s. %s', p.role_name, h.denies, h.reason),
		multitenant._regrant(p.present, p.profile, p.session_context, array_remove(p.allowed, h.name)), jsonb_build_object('hardening', h.name)
	FROM p JOIN multitenant._hardenings() h ON h.name = ANY (p.allowed)
	WHERE p.has_role AND multitenant._is_application(p.profile)
	UNION ALL
	SELECT 'tenant_names_in_catalog', p.role_name::text, NULL, 'low',
		format('%s is bound to one tenant, and everybody can read the names of roles.', p.role_name),
		format('-- If the name tells who the tenant is: ALTER ROLE %I RENAME TO .., and grant the profile to the new name.', p.role_name), NULL
	FROM p WHERE p.has_role AND p.profile = 'tenant'
$$;
