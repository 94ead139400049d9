/*
 * lint_tables.sql
 *	  Findings about tables: which are not protected, which have lost their protection, and what can be read beside them.
 */

-- Tables that look like a tenant's and are not protected. Partitions follow their root.
CREATE FUNCTION multitenant._lint_unprotected(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH u AS MATERIALIZED (
		SELECT t.*, a.atttypid, coalesce(l.collisdeterministic, true) AND multitenant._accessor(a.atttypid) IS NOT NULL
				AND a.attgenerated = '' AND a.attidentity = '' AS can_be_protected,
			EXISTS (SELECT FROM unnest(s.tables) m WHERE m.root = t.id AND m.is_reachable) AS is_open
		FROM unnest(s.tables) t
		LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum = t.tenant_number
		LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
		WHERE t.class = 'none' AND t.id = t.root
	)
	SELECT CASE WHEN u.is_labelled THEN 'table_observed' WHEN u.can_be_protected THEN 'tenant_table_without_rls'
			ELSE 'tenant_column_type' END, u.name, u.schema_name,
		CASE WHEN u.is_open THEN 'critical' ELSE 'medium' END,
		format('%s has the column %s and is %s%s%s.', u.name, u.tenant_column,
			   CASE WHEN u.is_labelled THEN 'only observed' ELSE 'not protected' END,
			   CASE WHEN u.can_be_protected THEN '' ELSE format(', which its type %s does not allow', format_type(u.atttypid, NULL)) END,
			   CASE WHEN u.is_open THEN '; an application may use it' ELSE '; no application may use it' END),
		CASE WHEN u.can_be_protected THEN format('SELECT * FROM multitenant.protect(%L, %L)', u.name, u.tenant_column)
			ELSE format('-- ALTER TABLE %s ALTER COLUMN %I TYPE uuid, bigint, integer, text or varchar, then multitenant.protect(%L, %L).',
						u.name, u.tenant_column, u.name, u.tenant_column) END,
		jsonb_build_object('column', u.tenant_column, 'type', format_type(u.atttypid, NULL))
	FROM u WHERE u.tenant_column IS NOT NULL
	UNION ALL
	SELECT 'table_unclassified', u.name, u.schema_name, 'low',
		format('Nobody has said what %s is: it has no column that looks like a tenant''s.', u.name),
		format('-- Decide: multitenant.share(%1$L), multitenant.exempt(%1$L, reason), or CALL multitenant.add_tenant_column(%1$L).', u.name),
		NULL
	FROM u WHERE u.tenant_column IS NULL AND EXISTS (SELECT FROM unnest(s.tables) x WHERE x.class <> 'none')
$$;

-- Protected tables of which something is missing. With the guard every statement on them is refused, which is an outage;
-- without it, rows are open.
CREATE FUNCTION multitenant._lint_broken(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH b AS MATERIALIZED (
		SELECT t.*, coalesce(p.names, '{}') AS policies,
			r.name AS root_name, r.class AS root_class,
			multitenant._label_json(CASE WHEN t.mode = 'paused' THEN t.id END) ->> 'until' AS paused_until,
			ARRAY(SELECT w.policy_name FROM multitenant._policies(t.class, '', 'uuid'::regtype) w)
				|| ARRAY(SELECT w.policy_name FROM multitenant._scope_policies('', '', 'uuid'::regtype) w
						 WHERE multitenant._label_json(t.id) ? 'scoped') AS wanted
		FROM unnest(s.tables) t
		JOIN unnest(s.tables) r ON r.id = t.root
		LEFT JOIN (SELECT x.polrelid, array_agg(x.polname) AS names FROM pg_catalog.pg_policy x
				   WHERE x.polname = ANY (multitenant._policy_names()) GROUP BY 1) p ON p.polrelid = t.id
		WHERE t.class IN ('tenant', 'shared_rows') AND (NOT t.is_intact OR t.mode = 'paused')
	), f AS (
		SELECT b.*, CASE
			WHEN b.mode = 'paused' THEN 'protection_paused'
			WHEN NOT b.is_labelled AND b.policies = '{}' AND b.id <> b.root AND b.root_class = b.class THEN 'partition_without_rls'
			WHEN b.finding ~ '^a table below it|parent$' THEN 'tree_inconsistent'
			WHEN NOT b.has_row_security AND b.policies = '{}' THEN 'tenant_table_without_rls'
			WHEN NOT b.has_row_security THEN 'policy_exists_rls_disabled'
			WHEN NOT b.is_forced THEN 'rls_not_forced'
			WHEN b.finding ~ 'sorts before' THEN 'policy_sorts_first'
			WHEN NOT b.wanted <@ b.policies THEN 'guard_policy_missing'
			ELSE 'guard_policy_modified' END AS lint
		FROM b
	)
	SELECT f.lint, f.name, f.schema_name,
		CASE WHEN f.lint = 'protection_paused' THEN
				multitenant._level_unless_closed(NOT s.is_guarded OR f.paused_until::timestamptz > now(), 'critical', 'high')
			WHEN f.lint = 'partition_without_rls' THEN multitenant._level_unless_closed(NOT s.is_guarded, 'high', 'medium')
			ELSE multitenant._level_unless_closed(NOT s.is_guarded, 'critical', 'high') END,
		format('%s: %s%s.', f.name,
			   CASE f.lint WHEN 'protection_paused' THEN format('protection is paused until %s', f.paused_until) ELSE f.finding END,
			   CASE WHEN f.lint = 'protection_paused' OR NOT s.is_guarded THEN ''
				WHEN f.lint = 'partition_without_rls' THEN '; the guard refuses to read it by its own name'
				ELSE '; the guard refuses every statement on it' END),
		CASE WHEN f.lint = 'policy_sorts_first' THEN multitenant._rename_early_policies(f.id, f.name)
			WHEN f.lint = 'tree_inconsistent' THEN
				format('-- Protect the whole tree by one column: multitenant.protect(%L, tenant_column).', f.root_name)
			WHEN f.is_labelled OR f.policies <> '{}' OR f.id <> f.root THEN format('SELECT * FROM multitenant.repair(%L)', f.root_name)
			ELSE format('SELECT * FROM multitenant.protect(%L, %L)', f.root_name, f.tenant_column) END,
		jsonb_build_object('finding', f.finding, 'column', f.tenant_column)
	FROM f
$$;

-- Renames every restrictive policy that acts before ours.
CREATE FUNCTION multitenant._rename_early_policies(rel oid, table_name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('ALTER POLICY %I ON %s RENAME TO %I', p.polname, table_name, ('zzz_' || p.polname)::name), '; ' ORDER BY p.polname)
	FROM pg_catalog.pg_policy p
	WHERE p.polrelid = rel AND NOT p.polpermissive AND NOT p.polname = ANY (multitenant._policy_names())
	  AND p.polname < CASE WHEN multitenant._class_of(rel) = 'shared_rows' THEN 'multitenant_isolation_update' ELSE 'multitenant_scope_update' END
$$;

CREATE FUNCTION multitenant._lint_columns(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'tenant_column_nullable', t.name, t.schema_name, 'medium',
		format('Column %s of %s may be null: such a row is nobody''s, and its foreign keys are not checked.', t.tenant_column, t.name),
		format('SELECT * FROM multitenant.repair(%L)', r.name), NULL::jsonb
	FROM unnest(s.tables) t JOIN unnest(s.tables) r ON r.id = t.root
	JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum = t.tenant_number
	WHERE t.class = 'tenant' AND t.is_intact AND (NOT a.attnotnull
		-- From PostgreSQL 18 on NOT NULL may be there without having been validated.
		OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
				   WHERE k.conrelid = t.id AND k.contype = 'n' AND k.conkey = ARRAY[t.tenant_number] AND NOT k.convalidated))
	UNION ALL
	-- Every statement of a tenant begins with this index.
	SELECT 'tenant_index_missing', t.name, t.schema_name, 'low',
		format('No index of %s starts with %s: every statement reads all tenants'' rows.', t.name, t.tenant_column),
		format('SELECT * FROM multitenant.repair(%L)', r.name), NULL
	FROM unnest(s.tables) t JOIN unnest(s.tables) r ON r.id = t.root
	WHERE t.class IN ('tenant', 'shared_rows') AND t.is_intact AND NOT t.is_partition
	  AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
					  JOIN pg_catalog.pg_am m ON m.oid = c.relam
					  WHERE i.indrelid = t.id AND i.indkey[0] = t.tenant_number AND i.indpred IS NULL AND i.indisvalid
					    AND m.amname = 'btree')
	UNION ALL
	SELECT 'plan_unfinished', format('%s:%s', t.name, x.name), t.schema_name, 'low',
		format('%s of %s was prepared by a plan that was not run to its end.', x.name, t.name),
		CASE WHEN t.class = 'none' AND t.tenant_column IS NOT NULL
			THEN format('-- Run the rest of multitenant.plan(), or: %s.', x.removal) ELSE x.removal END, NULL
	FROM unnest(s.tables) t
	JOIN (
		SELECT k.conrelid, k.conname, format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)
		FROM pg_catalog.pg_constraint k
		WHERE k.conname ~ '^multitenant_staged_' AND k.conrelid <> 0 AND k.conislocal AND k.conparentid = 0
		UNION ALL
		SELECT i.indrelid, c.relname, format('DROP INDEX %s', i.indexrelid::regclass)
		FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
		WHERE c.relname ~ '^multitenant_staged_' AND NOT c.relispartition
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
	) AS x(rel, name, removal) ON x.rel = t.id
	UNION ALL
	SELECT 'check_calls_context', format('%s:%s', t.name, k.conname), t.schema_name, 'medium',
		format('The constraint %s of %s asks for the context: it protects nothing, and a restore has none.', k.conname, t.name),
		format('ALTER TABLE %s DROP CONSTRAINT %I', t.name, k.conname), NULL
	FROM unnest(s.tables) t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.id AND k.contype = 'c' AND k.conislocal
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = k.oid
		AND d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid = ANY (multitenant._accessors())
$$;

-- Tables that ask for permissions which there are not, or where nobody asks.
CREATE FUNCTION multitenant._lint_permissions(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH t AS MATERIALIZED (
		SELECT t.name, t.schema_name, multitenant._label_json(t.id) ->> 'permissions' AS resource
		FROM unnest(s.tables) t
		WHERE t.class = 'tenant' AND t.id = t.root AND t.is_labelled AND multitenant._label(t.id) ~ '"permissions"'
	)
	SELECT 'table_permission_missing', t.name, t.schema_name, 'medium',
		format('%s asks for the permission %s, which there is not: such statements are refused.', t.name, m.names),
		format('SELECT multitenant.create_permission(%L, %L)', m.first_name, 'What it permits'), NULL::jsonb
	FROM t CROSS JOIN LATERAL (
		SELECT string_agg(p.name, ', ' ORDER BY x.n), min(p.name)
		FROM unnest('{read,create,update,delete}'::text[]) WITH ORDINALITY AS x(action, n)
		CROSS JOIN LATERAL (SELECT t.resource || ':' || x.action) AS p(name)
		WHERE NOT EXISTS (SELECT FROM multitenant.permissions k WHERE k.name = p.name)) AS m(names, first_name)
	WHERE m.names IS NOT NULL
	UNION ALL
	SELECT 'table_permission_unasked', t.name, t.schema_name, 'high',
		format('%s asks for permissions on %s, and without the guard nobody checks them.', t.name, t.resource),
		'-- Put multitenant into shared_preload_libraries and restart.', NULL
	FROM t WHERE NOT s.is_guarded AND t.resource IS NOT NULL
$$;

-- What holds copies of a protected table's rows, or reaches beside it.
CREATE FUNCTION multitenant._lint_copies(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH grants AS MATERIALIZED (
		SELECT g.rel, string_agg(DISTINCT g.grantee, ', ' ORDER BY g.grantee) AS grantees
		FROM multitenant._exposed_grants(s.roles, 'mf') g GROUP BY g.rel
	)
	SELECT 'matview_on_tenant_table', format('%I.%I', n.nspname, c.relname), n.nspname, 'high',
		format('The materialized view %I.%I keeps rows of %s that no policy filters, and %s may read it.', n.nspname, c.relname, v.base, g.grantees),
		format('REVOKE ALL ON TABLE %I.%I FROM %s', n.nspname, c.relname, g.grantees), NULL::jsonb
	FROM multitenant._views_over(s.tables) v
	JOIN pg_catalog.pg_class c ON c.oid = v.id AND c.relkind = 'm' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN grants g ON g.rel = c.oid
	UNION ALL
	SELECT 'foreign_table_exposed', format('%I.%I', n.nspname, c.relname), n.nspname, 'high',
		format('The foreign table %I.%I has the column %s, no policy filters it, and %s may use it.', n.nspname, c.relname, l.column_name, g.grantees),
		format('REVOKE ALL ON TABLE %I.%I FROM %s', n.nspname, c.relname, g.grantees), NULL
	FROM multitenant._likely_tenant_columns(ARRAY(SELECT t.tenant_column FROM unnest(s.tables) t
												  WHERE t.class <> 'none' AND t.tenant_column IS NOT NULL UNION SELECT 'tenant_id')) l
	JOIN pg_catalog.pg_class c ON c.oid = l.rel AND c.relkind = 'f' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN grants g ON g.rel = c.oid
	UNION ALL
	SELECT 'publication_includes_tenant_table', format('%s:%s', p.pubname, t.name), t.schema_name, 'medium',
		format('The publication %s sends the rows of every tenant in %s to its subscribers.', p.pubname, t.name),
		CASE WHEN p.puballtables THEN format('-- Name its tables instead: DROP PUBLICATION %1$I, then CREATE PUBLICATION %1$I FOR TABLE .. WHERE (..).', p.pubname)
			WHEN x.oid IS NULL THEN format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA %I', p.pubname, t.schema_name)
			ELSE format('ALTER PUBLICATION %I DROP TABLE %s', p.pubname, t.name) END, NULL
	FROM pg_catalog.pg_publication p CROSS JOIN unnest(s.tables) t
	LEFT JOIN pg_catalog.pg_publication_rel x ON x.prpubid = p.oid AND x.prrelid = t.id
	JOIN pg_catalog.pg_class c ON c.oid = t.id
	WHERE t.class IN ('tenant', 'shared_rows') AND t.id = t.root AND x.prqual IS NULL
	  AND (p.puballtables OR x.oid IS NOT NULL
		   OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace y WHERE y.pnpubid = p.oid AND y.pnnspid = c.relnamespace))
$$;

-- Views and materialized views over protected tables, through other views as well; "base" is the first such table by
-- name.
CREATE FUNCTION multitenant._views_over(tables multitenant._lint_table[]) RETURNS TABLE(id oid, base text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE read AS MATERIALIZED (
		SELECT DISTINCT r.ev_class AS id, d.refobjid AS source
		FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
			AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
		WHERE r.ev_class >= 16384 AND c.relnamespace <> 'multitenant'::regnamespace
	), v(id, base) AS (
		SELECT read.id, t.name FROM read JOIN unnest(tables) t ON t.id = read.source WHERE t.class IN ('tenant', 'shared_rows')
		UNION
		SELECT read.id, v.base FROM v JOIN read ON read.source = v.id
	)
	SELECT v.id, min(v.base) FROM v WHERE v.id NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_class')) GROUP BY v.id
$$;
