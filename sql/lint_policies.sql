/*
 * lint_policies.sql
 *	  Findings about policies that are not the generated ones, on protected tables and on those that should be.
 *
 * On a protected table the restrictive policy keeps tenants apart whatever others say. What is left to a policy that is
 * evaluated with it is to call a function with rows it should not see: with ON CONFLICT DO UPDATE the server asks
 * permissive policies first.
 */

-- Policies, each with what it says and whether the generated ones stand in its way.
CREATE FUNCTION multitenant._foreign_policies(s multitenant._lint_state)
RETURNS TABLE(id oid, name name, rel oid, table_name text, schema_name name, is_permissive boolean, command "char", roles oid[],
			  expression text, write_expression text, is_self_reading boolean, is_contained boolean, tenant_column name, class text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.oid, p.polname, t.id, t.name, t.schema_name, p.polpermissive, p.polcmd, p.polroles,
		concat_ws(' AND ', e.using_expr, e.check_expr),
		CASE WHEN p.polcmd = 'r' THEN NULL WHEN p.polcmd = 'd' THEN e.using_expr ELSE coalesce(e.check_expr, e.using_expr) END,
		strpos(concat(p.polqual::text, p.polwithcheck::text), format(':relid %s ', t.id)) > 0,
		t.class IN ('tenant', 'shared_rows') AND t.is_intact, t.tenant_column, t.class
	FROM unnest(s.tables) t JOIN pg_catalog.pg_policy p ON p.polrelid = t.id
	CROSS JOIN LATERAL (SELECT pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) AS e(using_expr, check_expr)
	WHERE NOT p.polname = ANY (multitenant._policy_names())
	  AND (t.class IN ('tenant', 'shared_rows') OR (t.class = 'none' AND t.tenant_column IS NOT NULL))
$$;

-- Functions that a policy calls and that are neither the server's nor ours.
CREATE FUNCTION multitenant._policy_functions()
RETURNS TABLE(policy oid, function oid, name text, schema_name name, is_immutable boolean, reads_context boolean, is_open boolean)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT d.objid, f.oid, f.oid::regprocedure::text, n.nspname, f.provolatile = 'i',
		f.prosrc ~* '(current_setting|current_tenant|current_user|session_user|current_principal)'
			OR pg_get_functiondef(f.oid) ~* '(current_setting|current_tenant|current_principal)',
		-- What it names is looked up again at every call: in temporary schemas first, unless they are said to be last.
		l.lanname NOT IN ('c', 'internal') AND f.prosqlbody IS NULL
			AND NOT EXISTS (SELECT FROM unnest(f.proconfig) c WHERE c ~ '^search_path=(.*[ ,])?"?pg_temp"?$')
	FROM pg_catalog.pg_depend d
	JOIN pg_catalog.pg_proc f ON f.oid = d.refobjid AND f.prokind = 'f'
	JOIN pg_catalog.pg_language l ON l.oid = f.prolang JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
	WHERE d.classid = 'pg_catalog.pg_policy'::regclass AND d.refclassid = 'pg_catalog.pg_proc'::regclass
	  AND f.pronamespace <> 'multitenant'::regnamespace
$$;

CREATE FUNCTION multitenant._lint_policies(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH p AS MATERIALIZED (
		SELECT x.*, format('DROP POLICY %I ON %s', x.name, x.table_name) AS removal, format('Policy %s of %s', x.name, x.table_name) AS what
		FROM multitenant._foreign_policies(s) x
	), always AS MATERIALIZED (
		SELECT p.id FROM p WHERE p.is_permissive AND (p.expression ~* '\mtrue\M' AND p.expression ~* '^\(?true\)?( AND \(?true\)?)?$'
			OR p.write_expression ~* '^\(?true\)?$')
	)
	SELECT f.lint, format('%s:%s', p.table_name, p.name), p.schema_name,
		CASE WHEN p.is_contained THEN f.contained_level ELSE f.level END, format('%s %s.', p.what, f.says),
		coalesce(f.remediation, p.removal), NULL::jsonb
	FROM p CROSS JOIN LATERAL (
		SELECT 'policy_always_true' AS lint, 'high' AS level, 'medium' AS contained_level, 'lets every row through' AS says, NULL AS remediation
		WHERE p.id IN (SELECT always.id FROM always)
		UNION ALL
		SELECT 'policy_extra_permissive', 'high', CASE WHEN EXISTS (SELECT FROM multitenant._policy_functions() c WHERE c.policy = p.id)
			THEN 'high' ELSE 'medium' END, 'is permissive: it can only widen what is seen', NULL
		WHERE p.is_permissive AND p.class <> 'none' AND p.id NOT IN (SELECT always.id FROM always)
		UNION ALL
		SELECT 'policy_fail_open', 'critical', 'medium', 'lets rows through where there is no context', NULL
		WHERE p.expression ~* '(current_setting|current_tenant)' AND p.expression ~* '(IS NULL|COALESCE|IS NOT DISTINCT FROM)'
		UNION ALL
		SELECT 'policy_uses_raw_guc', 'critical', 'medium', 'asks a setting that everybody can set', NULL
		WHERE p.expression ~* '\mcurrent_setting\('
		UNION ALL
		SELECT 'policy_references_self', 'medium', 'medium', 'reads its own table, which ends in an error for everybody', NULL
		WHERE p.is_self_reading
		UNION ALL
		SELECT 'policy_shared_rows_writable', 'high', 'medium', 'lets tenants write the rows that belong to everybody', NULL
		WHERE p.write_expression ~* format('\m%s IS NULL', regexp_replace(quote_ident(p.tenant_column), '(\W)', '\\\1', 'g'))
		UNION ALL
		SELECT 'policy_names_app_role', 'medium', 'medium', 'is for named roles: it goes, or stays in cached plans, with them',
			format('ALTER POLICY %I ON %s TO PUBLIC', p.name, p.table_name)
		WHERE p.roles <> '{0}'
	) f
$$;

-- What the functions of policies may do to them, and commands that no policy speaks of.
CREATE FUNCTION multitenant._lint_policy_functions(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH p AS MATERIALIZED (
		SELECT * FROM multitenant._foreign_policies(s)
	), f AS MATERIALIZED (
		SELECT DISTINCT c.function, c.name, c.schema_name, c.is_immutable, c.reads_context, c.is_open, bool_and(p.is_contained) AS is_contained
		FROM p JOIN multitenant._policy_functions() c ON c.policy = p.id
		WHERE c.function NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_proc')) GROUP BY 1, 2, 3, 4, 5, 6
	)
	SELECT 'policy_function_immutable', f.name, f.schema_name, CASE WHEN f.is_contained THEN 'medium' ELSE 'critical' END,
		format('%s reads the context and says that it is immutable: a plan keeps the answer of the tenant it was made for.', f.name),
		format('ALTER FUNCTION %s STABLE', f.name), NULL::jsonb
	FROM f WHERE f.is_immutable AND f.reads_context
	UNION ALL
	SELECT 'policy_function_search_path', f.name, f.schema_name, CASE WHEN f.is_contained THEN 'medium' ELSE 'critical' END,
		format('%s, which a policy calls, looks its tables and functions up where its caller says.', f.name),
		format('ALTER FUNCTION %s SET search_path = %s', f.name,
			   coalesce((SELECT regexp_replace(c, '^search_path=', '') || ', pg_temp' FROM pg_catalog.pg_proc o, unnest(o.proconfig) c
						 -- Security: FROM CURRENT keeps what looks like no name at all; such a path is replaced.
						 WHERE o.oid = f.function AND c ~ '^search_path=[A-Za-z0-9_]+(, *[A-Za-z0-9_]+)*$' LIMIT 1),
						format('pg_catalog, %I, pg_temp', f.schema_name))), NULL
	FROM f WHERE f.is_open
	UNION ALL
	SELECT 'policy_command_gap', t.name, t.schema_name, 'medium',
		format('No policy of %s allows %s; what others check differs from what they show.', t.name, g.commands),
		format('SELECT * FROM multitenant.protect(%L, %L)', t.name, t.tenant_column), NULL
	FROM unnest(s.tables) t
	CROSS JOIN LATERAL (
		SELECT string_agg(c.word, ', ' ORDER BY c.n)
		FROM (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'), (4, 'd', 'DELETE')) AS c(n, command, word)
		WHERE NOT EXISTS (SELECT FROM p WHERE p.rel = t.id AND p.is_permissive AND p.command::text IN ('*', c.command))) AS g(commands)
	WHERE t.class = 'none' AND t.tenant_column IS NOT NULL AND t.has_row_security AND t.id = t.root AND g.commands IS NOT NULL
	  AND EXISTS (SELECT FROM p WHERE p.rel = t.id)
$$;
