/*
 * lint_code.sql
 *	  Findings about views, rules and functions: code that runs with the rights of somebody else.
 */

CREATE FUNCTION multitenant._lint_views(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'view_without_security_invoker', format('%I.%I', n.nspname, c.relname), n.nspname,
		CASE WHEN o.is_filtered OR s.is_guarded THEN 'medium' ELSE 'critical' END,
		format('The view %I.%I reads %s as %s%s.', n.nspname, c.relname, v.base, o.name,
			   CASE WHEN o.is_filtered THEN '' WHEN s.is_guarded THEN ', whom row security does not filter; the guard refuses it'
				ELSE ', whom row security does not filter' END),
		format('ALTER VIEW %I.%I SET (security_invoker = true)', n.nspname, c.relname), jsonb_build_object('owner', o.name)
	FROM multitenant._views_over(s.tables) v
	JOIN pg_catalog.pg_class c ON c.oid = v.id AND c.relkind = 'v' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN unnest(s.roles) o ON o.id = c.relowner
	WHERE NOT multitenant._is_security_invoker(c.reloptions)
	UNION ALL
	-- A view that filters by itself: the functions of whoever reads it may come before its filter.
	SELECT 'view_filter_without_barrier', format('%I.%I', n.nspname, c.relname), n.nspname, 'medium',
		format('The view %I.%I filters by the context and is no security_barrier: a function in a query on it sees the other rows.',
			   n.nspname, c.relname),
		format('ALTER VIEW %I.%I SET (security_barrier = true)', n.nspname, c.relname), NULL
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND multitenant._is_application_schema(n.nspname)
	JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
	WHERE c.relkind = 'v' AND NOT coalesce(c.reloptions && '{security_barrier=true,security_barrier=on,security_barrier=1}', false)
	  AND c.oid NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_class'))
	  AND (strpos(r.ev_action::text, format(':funcid %s ', 'pg_catalog.current_setting(text)'::regprocedure::oid)) > 0
		   OR strpos(r.ev_action::text, format(':funcid %s ', 'pg_catalog.current_setting(text, boolean)'::regprocedure::oid)) > 0
		   OR EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
					  AND d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid = ANY (multitenant._accessors())))
	UNION ALL
	SELECT 'rule_on_tenant_table', format('%s:%s', t.name, r.rulename), t.schema_name, 'high',
		format('The rule %s acts when %s is written, with the rights of the table''s owner.', r.rulename, t.name),
		format('DROP RULE %I ON %s', r.rulename, t.name), NULL
	FROM unnest(s.tables) t JOIN pg_catalog.pg_rewrite r ON r.ev_class = t.id AND r.ev_enabled <> 'D'
	WHERE t.class IN ('tenant', 'shared_rows')
$$;

CREATE FUNCTION multitenant._lint_functions(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH f AS MATERIALIZED (
		SELECT p.oid, n.nspname, p.prosrc, p.proleakproof, p.prosecdef, p.prosqlbody IS NOT NULL AS is_parsed, p.prokind,
			r.name AS owner, r.is_filtered, p.oid::regprocedure::text AS signature,
			EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN unnest(s.roles) g ON g.id = a.grantee
					WHERE a.grantee = 0 OR (g.is_exposed AND NOT g.is_superuser)) AS is_callable
		FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN unnest(s.roles) r ON r.id = p.proowner
		WHERE p.oid >= 16384 AND (p.proleakproof OR p.prosecdef) AND multitenant._is_application_schema(n.nspname)
		  AND p.oid NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_proc'))
	)
	SELECT 'leakproof_function', f.signature, f.nspname, 'high',
		format('%s is LEAKPROOF: it is called with rows that the policies have not seen.', f.signature),
		format('ALTER FUNCTION %s NOT LEAKPROOF', f.signature), NULL::jsonb
	FROM f WHERE f.proleakproof
	UNION ALL
	SELECT 'security_definer_touches_tenant_table', f.signature, f.nspname,
		multitenant._level_unless_closed(NOT s.is_guarded, 'high', 'low'),
		format('%s runs as %s, whom row security does not filter, and names %s%s.', f.signature, f.owner, x.tables,
			   CASE WHEN s.is_guarded THEN '; the guard refuses that' ELSE '' END),
		format('ALTER %s %s SECURITY INVOKER', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.signature),
		jsonb_build_object('owner', f.owner)
	FROM f CROSS JOIN LATERAL (
		SELECT string_agg(t.name, ', ' ORDER BY t.name) FROM unnest(s.tables) t
		WHERE t.class IN ('tenant', 'shared_rows') AND t.id = t.root AND CASE WHEN f.is_parsed
			THEN EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid
						 AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = t.id)
			-- Cheap first: most functions name none.
			ELSE strpos(lower(f.prosrc), lower(t.relname)) > 0
				AND f.prosrc ~* format('(^|\W)%s(\W|$)', regexp_replace(t.relname, '(\W)', '\\\1', 'g')) END) AS x(tables)
	WHERE f.prosecdef AND f.is_callable AND NOT f.is_filtered AND x.tables IS NOT NULL
$$;
