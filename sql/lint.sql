/*
 * lint.sql
 *	  What the lints look at: the guard, roles and tables as a whole, read once for all of them.
 *
 * A lint is a query over the catalogs that yields findings (multitenant._finding). Its texts are in lint_catalog.sql, the
 * queries in lint_*.sql by subject; lint() and assert_isolated() in lint_report.sql put them together. Everything works
 * on sets: a lint that asked the catalog table by table would take minutes where there are thousands.
 *
 * How bad a finding is follows from whether the attack behind it succeeds: critical or high if it does, less where the
 * guard closes it. So the level of many depends on whether the guard is on for every session, and on what
 * grant_access(.., allow) has given away.
 *
 * Security: structure is shown, never rows. Everything runs with the caller's rights, except what reads the extension's
 * own tables: those functions ask for the capability first. The name of an object is in the cache_key, never its OID, so
 * that an acceptance survives a dump.
 */

-- "object" makes the finding's key, together with the lint's name; "schema_name" is what lint() filters by.
CREATE TYPE multitenant._finding AS (
	lint text,
	object text,
	schema_name name,
	level text,
	detail text,
	remediation text,
	metadata jsonb
);

-- A role. "is_application": its profile is that of an application, so arbitrary SQL may come from it. "is_exposed": its
-- rights are those of an application, or an application's for the taking, through membership.
CREATE TYPE multitenant._lint_role AS (
	id oid,
	name name,
	profile text,
	is_recorded boolean,
	is_application boolean,
	is_exposed boolean,
	can_login boolean,
	is_superuser boolean,
	is_filtered boolean,
	allowed text[]
);

-- A table of the application. "tenant_column" of one that is not protected is the column that looks like it; "root" is
-- the topmost of its tree.
CREATE TYPE multitenant._lint_table AS (
	id oid,
	name text,
	schema_name name,
	relname name,
	owner oid,
	kind "char",
	class text,
	mode text,
	is_intact boolean,
	finding text,
	tenant_column name,
	tenant_number int2,
	is_labelled boolean,
	is_partition boolean,
	has_row_security boolean,
	is_forced boolean,
	root oid,
	is_reachable boolean
);

-- All of that. "open_channels": names of hardenings that do not hold for every application. "are_indexes_hidden",
-- "is_residue_removed": no session of the database is told otherwise.
CREATE TYPE multitenant._lint_state AS (
	is_guarded boolean,
	roles multitenant._lint_role[],
	tables multitenant._lint_table[],
	open_channels text[],
	are_indexes_hidden boolean,
	is_residue_removed boolean
);

-- Is the guard there for every statement of every session?
CREATE FUNCTION multitenant._is_guarded() RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT l.loaded <> 'late' AND l.is_guard_on FROM multitenant._library() l
$$;

-- Settings that ALTER ROLE and ALTER DATABASE keep for sessions of this database; "place" as ALTER would name it.
CREATE FUNCTION multitenant._kept_settings() RETURNS TABLE(name text, value text, place text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT split_part(c.item, '=', 1), substr(c.item, strpos(c.item, '=') + 1),
		CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ROLE ALL'
			WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
			WHEN s.setdatabase = 0 THEN format('ROLE %I', r.rolname)
			ELSE format('ROLE %I IN DATABASE %I', r.rolname, d.datname) END
	FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(item)
	LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
	LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
	WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.datname = current_database())
$$;

-- Has the setting one of these values, here and wherever another is kept? No, if there is no such setting.
CREATE FUNCTION multitenant._is_set_everywhere(setting text, wanted text[]) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(lower(current_setting(setting, true)) = ANY (wanted), false) AND NOT EXISTS (
		SELECT FROM multitenant._kept_settings() k WHERE k.name = setting AND NOT lower(k.value) = ANY (wanted))
$$;

-- Memberships through which one role has another's rights, or may take them. From version 16 on a grant says which.
CREATE FUNCTION multitenant._memberships() RETURNS TABLE(granted oid, member oid)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT m.roleid, m.member FROM pg_catalog.pg_auth_members m
	WHERE m.admin_option OR coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)
		OR coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)
$$;

-- Profiles are in a table that nobody may read.
CREATE FUNCTION multitenant._access_profiles() RETURNS SETOF multitenant.access
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	RETURN QUERY SELECT * FROM multitenant.access;
END
$$;

-- An application that cannot log in and was not recorded as one is just a group, or the owner of tables, until somebody
-- who can log in is a member of it.
CREATE FUNCTION multitenant._lint_roles(is_guarded boolean) RETURNS SETOF multitenant._lint_role
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE r AS MATERIALIZED (
		SELECT a.oid, a.rolname, coalesce(x.profile, 'application') AS profile, x.role_name IS NOT NULL AS is_recorded,
			NOT a.rolsuper AND a.oid >= 16384 AND multitenant._is_application(x.profile) AS is_application,
			a.rolcanlogin, a.rolsuper, NOT a.rolsuper AND NOT a.rolbypassrls AS is_filtered, x.allowed
		FROM pg_catalog.pg_roles a LEFT JOIN multitenant._access_profiles() x ON x.role_name = a.rolname
	), exposed(oid) AS (
		SELECT r.oid FROM r WHERE r.is_application AND (r.rolcanlogin OR r.is_recorded)
		UNION
		SELECT m.granted FROM exposed e JOIN multitenant._memberships() m ON m.member = e.oid
	)
	SELECT r.oid, r.rolname, r.profile, r.is_recorded, r.is_application, e.oid IS NOT NULL, r.rolcanlogin, r.rolsuper,
		r.is_filtered,
		CASE WHEN NOT is_guarded THEN ARRAY(SELECT h.name FROM multitenant._hardenings() h) ELSE coalesce(r.allowed, '{}') END
	FROM r LEFT JOIN exposed e ON e.oid = r.oid
$$;

-- What an application may do with relations: by a grant to it, to a role whose rights it has, or to PUBLIC. Its own
-- relations are another matter. "grantee" as GRANT would spell it.
CREATE FUNCTION multitenant._exposed_grants(roles multitenant._lint_role[], kinds text)
RETURNS TABLE(rel oid, grantee_id oid, grantee text, privilege text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT c.oid, g.grantee, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END, g.privilege_type
	FROM pg_catalog.pg_class c
	CROSS JOIN LATERAL (
		SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) x
		UNION ALL
		SELECT x.grantee, x.privilege_type FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
		WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped AND x.privilege_type <> 'REFERENCES') g
	LEFT JOIN unnest(roles) r ON r.id = g.grantee
	WHERE strpos(kinds, c.relkind::text) > 0 AND c.oid >= 16384 AND g.grantee <> c.relowner AND (g.grantee = 0 OR r.is_exposed)
$$;

-- Objects of other extensions are those extensions' business.
CREATE FUNCTION multitenant._extension_members(catalog regclass) RETURNS SETOF oid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT d.objid FROM pg_catalog.pg_depend d WHERE d.classid = catalog AND d.deptype = 'e'
$$;

-- The topmost table above each that has a parent.
CREATE FUNCTION multitenant._tree_roots() RETURNS TABLE(member oid, root oid)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE up(member, ancestor, depth) AS (
		SELECT i.inhrelid, i.inhparent, 1 FROM pg_catalog.pg_inherits i
		UNION
		SELECT up.member, i.inhparent, up.depth + 1 FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.ancestor
	)
	SELECT DISTINCT ON (up.member) up.member, up.ancestor FROM up ORDER BY up.member, up.depth DESC, up.ancestor
$$;

-- The column of each table that nobody protected, but that looks like a tenant's: it is called as in the protected
-- tables, or has our accessor for its default.
CREATE FUNCTION multitenant._likely_tenant_columns(names name[]) RETURNS TABLE(rel oid, column_name name)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT ON (x.attrelid) x.attrelid, x.attname FROM (
		SELECT a.attrelid, a.attname, 2 AS preference FROM pg_catalog.pg_attribute a
		WHERE a.attname = ANY (names) AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT a.attrelid, a.attname, 1 FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
		JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
		WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_proc'::regclass
		  AND d.refobjid = ANY (multitenant._accessors())
	) x ORDER BY x.attrelid, x.preference, x.attname
$$;

-- The functions that say whose the context is.
CREATE FUNCTION multitenant._accessors() RETURNS oid[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(p.oid) FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'multitenant'::regnamespace
	AND p.proname IN ('current_tenant', 'current_tenant_or_null', 'current_tenant_number', 'current_tenant_int4',
					  'current_tenant_slug', 'current_principal')
$$;

CREATE FUNCTION multitenant._lint_tables(roles multitenant._lint_role[]) RETURNS SETOF multitenant._lint_table
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH t AS MATERIALIZED (
		SELECT c.oid, n.nspname, c.relname, c.relowner, c.relkind, coalesce(p.class, 'none') AS class, p.mode, p.is_intact,
			p.finding, c.relispartition, c.relrowsecurity, c.relforcerowsecurity, l.label IS NOT NULL AS is_labelled,
			coalesce(l.column_name, p.tenant_column, CASE WHEN p.class IN ('tenant', 'shared_rows') AND NOT p.is_intact
				THEN multitenant._tenant_column(c.oid) END) AS tenant_column
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL multitenant._protection(c.oid) p
		LEFT JOIN (
			SELECT s.objoid, min(s.label) FILTER (WHERE s.objsubid = 0) AS label, min(a.attname::text) FILTER (WHERE s.label <> 'scope_column')::name AS column_name
			FROM pg_catalog.pg_seclabel s
			LEFT JOIN pg_catalog.pg_attribute a ON s.objsubid > 0 AND a.attrelid = s.objoid AND a.attnum = s.objsubid
			WHERE s.provider = 'multitenant' AND s.classoid = 'pg_catalog.pg_class'::regclass GROUP BY s.objoid
		) l ON l.objoid = c.oid
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND multitenant._is_application_schema(n.nspname)
		  AND c.oid NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_class'))
	), likely AS MATERIALIZED (
		SELECT * FROM multitenant._likely_tenant_columns(
			ARRAY(SELECT t.tenant_column FROM t WHERE t.tenant_column IS NOT NULL UNION SELECT 'tenant_id'))
	), reachable AS MATERIALIZED (
		SELECT DISTINCT g.rel FROM multitenant._exposed_grants(roles, 'rp') g
	)
	SELECT t.oid, format('%I.%I', t.nspname, t.relname), t.nspname, t.relname, t.relowner, t.relkind, t.class, t.mode,
		t.is_intact, t.finding, a.attname, a.attnum, t.is_labelled, t.relispartition, t.relrowsecurity,
		t.relforcerowsecurity, coalesce(r.root, t.oid), g.rel IS NOT NULL OR coalesce(o.is_exposed, false)
	FROM t
	LEFT JOIN likely l ON l.rel = t.oid
	LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attname = coalesce(t.tenant_column, l.column_name)
		AND NOT a.attisdropped
	LEFT JOIN multitenant._tree_roots() r ON r.member = t.oid
	LEFT JOIN reachable g ON g.rel = t.oid
	LEFT JOIN unnest(roles) o ON o.id = t.relowner
$$;

CREATE FUNCTION multitenant._lint_state() RETURNS multitenant._lint_state
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s multitenant._lint_state;
BEGIN
	s.is_guarded := multitenant._is_guarded();
	s.roles := ARRAY(SELECT r FROM multitenant._lint_roles(s.is_guarded) r);
	s.tables := ARRAY(SELECT t FROM multitenant._lint_tables(s.roles) t);
	s.open_channels := ARRAY(SELECT DISTINCT u.name FROM unnest(s.roles) r CROSS JOIN LATERAL unnest(r.allowed) AS u(name)
							 WHERE r.is_application AND r.is_exposed);
	s.are_indexes_hidden := s.is_guarded AND multitenant._is_set_everywhere('multitenant.index_exposure', '{hide}');
	s.is_residue_removed := s.is_guarded AND multitenant._is_set_everywhere('multitenant.session_hygiene', '{clean,strict}');
	RETURN s;
END
$$;

-- The level of a finding whose attack the guard closes, unless it is not there or lets this channel open.
CREATE FUNCTION multitenant._level_unless_closed(is_open boolean, open_level text, closed_level text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT CASE WHEN is_open THEN open_level ELSE closed_level END;
END;
