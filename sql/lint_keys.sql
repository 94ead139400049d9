/*
 * lint_keys.sql
 *	  Findings about keys and indexes: what answers questions about other tenants' rows although nobody may see them.
 *
 * protect() makes keys composite; what it has to leave, or what came later, is found here. It is also what mends it.
 */

-- Unique indexes of tenants' tables that do without the tenant. One uuid as the key cannot be guessed. "is_free":
-- nothing depends on it, so that protect() can convert it.
CREATE FUNCTION multitenant._lint_unique(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH u AS MATERIALIZED (
		SELECT t.name, t.schema_name, t.tenant_column, r.name AS root_name, c.relname, i.indexrelid, i.indisprimary, i.indisexclusion,
			i.indisreplident OR i.indisclustered AS is_held, k.types, x.oid AS con, x.conname
		FROM unnest(s.tables) t
		JOIN unnest(s.tables) r ON r.id = t.root
		JOIN pg_catalog.pg_index i ON i.indrelid = t.id AND (i.indisunique OR i.indisexclusion) AND i.indisvalid
		JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition AND c.relname !~ '^multitenant_staged_'
		LEFT JOIN pg_catalog.pg_constraint x ON x.conindid = i.indexrelid AND x.contype IN ('p', 'u', 'x')
		CROSS JOIN LATERAL (
			SELECT array_agg(a.atttypid) FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = t.id AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS k(types)
		WHERE t.class = 'tenant' AND t.tenant_number IS NOT NULL
		  AND NOT t.tenant_number = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
	), f AS MATERIALIZED (
		SELECT u.*, u.indisprimary AND u.types <@ '{uuid}'::regtype[]::oid[] AS is_random,
			u.indisprimary AND cardinality(u.types) = 1 AND u.types <@ '{int2,int4,int8}'::regtype[]::oid[] AS is_number,
			NOT u.is_held AND NOT EXISTS (
				SELECT FROM pg_catalog.pg_depend d
				WHERE d.deptype = 'n' AND ((d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = u.indexrelid)
					OR (d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.refobjid = u.con))) AS is_free
		FROM u
	)
	SELECT CASE WHEN f.indisexclusion THEN 'exclusion_without_tenant' WHEN f.is_number THEN 'guessable_key' ELSE 'unique_without_tenant' END,
		format('%s:%s', f.name, f.relname), f.schema_name, 'high',
		CASE WHEN f.indisexclusion THEN format('The exclusion constraint %s of %s compares the rows of all tenants.', f.relname, f.name)
			WHEN f.is_number THEN format('The primary key %s of %s is a number that can be guessed: an INSERT tells whether a tenant has it.', f.relname, f.name)
			ELSE format('%s of %s is unique over all tenants: an INSERT tells whether another has the value, and keeps it from having it.',
						f.relname, f.name) END,
		CASE WHEN f.indisexclusion THEN format('-- Make it anew with "%s WITH =" in front (extension btree_gist).', f.tenant_column)
			WHEN NOT f.is_free THEN format('-- Something depends on it (see protect(%L, dry_run => true)): make that go by the tenant first.', f.root_name)
			WHEN f.is_number THEN format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', f.name, f.conname, f.conname,
				multitenant._unique_definition(f.indexrelid, f.tenant_column || multitenant._key_columns(f.indexrelid)))
			ELSE format('SELECT * FROM multitenant.protect(%L, %L)', f.root_name, f.tenant_column) END,
		NULL::jsonb
	FROM f WHERE NOT f.is_random
$$;

-- Foreign keys that can point at another tenant's row.
CREATE FUNCTION multitenant._lint_foreign_keys(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH k AS MATERIALIZED (
		SELECT x.oid, x.conname, x.conkey, x.confkey, x.confupdtype, x.confdeltype, x.confmatchtype, x.conrelid, x.confrelid,
			c.name AS child, c.schema_name, c.class AS child_class, c.tenant_number AS child_number, c.tenant_column AS child_tenant,
			cr.name AS child_root, c.is_reachable, p.name AS parent, p.class AS parent_class, p.tenant_number AS parent_number,
			p.tenant_column AS parent_tenant,
			-- which column goes with which: as one number a pair, so that sets of them can be compared
			ARRAY(SELECT u.c * 65536 + u.p FROM unnest(x.conkey::int[], x.confkey::int[]) AS u(c, p)) AS pairs,
			multitenant._is_temporal(x) AS is_temporal
		FROM pg_catalog.pg_constraint x
		JOIN unnest(s.tables) c ON c.id = x.conrelid JOIN unnest(s.tables) cr ON cr.id = c.root
		JOIN unnest(s.tables) p ON p.id = x.confrelid
		-- What is not enforced tells nothing, and ties nothing either.
		WHERE x.contype = 'f' AND x.conparentid = 0 AND x.conname !~ '^multitenant_staged_' AND multitenant._is_enforced(x)
	)
	SELECT 'fk_without_tenant', format('%s:%s', k.child, k.conname), k.schema_name, 'high',
		format('The foreign key %s of %s leads to %s without the tenant: it tells which rows other tenants have there, and holds them.',
			   k.conname, k.child, k.parent),
		CASE WHEN k.is_temporal OR k.child_number = ANY (k.conkey) OR k.parent_number = ANY (k.confkey)
				OR NOT multitenant._are_comparable(k.conrelid, k.child_tenant, k.confrelid, k.parent_tenant)
			THEN format('-- It cannot be made composite by protect() (see protect(%L, dry_run => true)): make it anew with the tenant columns.', k.child_root)
			ELSE format('SELECT * FROM multitenant.protect(%L, %L)', k.child_root, k.child_tenant) END,
		jsonb_build_object('references', k.parent)
	FROM k
	WHERE k.child_class = 'tenant' AND k.parent_class = 'tenant' AND NOT EXISTS (
		SELECT FROM k o WHERE o.conrelid = k.conrelid AND o.confrelid = k.confrelid
		  AND o.pairs @> (k.pairs || (k.child_number::int * 65536 + k.parent_number)))
	UNION ALL
	SELECT 'fk_without_tenant', format('%s:%s', k.child, k.conname), k.schema_name, 'medium',
		format('%s is no tenant''s table and refers to %s: who may write it learns which rows tenants have there.', k.child, k.parent),
		format('-- Protect %s, or give it no foreign key to %s.', k.child, k.parent), jsonb_build_object('references', k.parent)
	FROM k WHERE k.child_class IN ('none', 'exempt') AND k.parent_class IN ('tenant', 'shared_rows') AND k.is_reachable
	UNION ALL
	-- Actions of foreign keys run where row security is not forced, and so do the triggers below them.
	SELECT 'cascade_fires_trigger', format('%s:%s', k.child, g.tgname), k.schema_name,
		multitenant._level_unless_closed(NOT s.is_guarded, 'high', 'low'),
		format('The trigger %s of %s also fires when the foreign key %s acts, where row security is not forced.', g.tgname, k.child,
			   min(k.conname)),
		format('-- See that %s changes no tenant column, then accept this finding.', g.tgfoid::regprocedure),
		jsonb_build_object('function', g.tgfoid::regprocedure::text)
	FROM k JOIN pg_catalog.pg_trigger g ON g.tgrelid = k.conrelid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
	WHERE k.child_class IN ('tenant', 'shared_rows')
	  AND ((g.tgtype & 8 <> 0 AND k.confdeltype = 'c')
		   OR (g.tgtype & 16 <> 0 AND (k.confdeltype IN ('n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))))
	  AND g.tgfoid NOT IN (SELECT multitenant._extension_members('pg_catalog.pg_proc'))
	GROUP BY k.child, g.tgname, k.schema_name, g.tgfoid
$$;

-- Foreign keys whose actions change rows of a table that would ask for another permission, or look at the scope of each row. The
-- server asks for neither: an action runs with the rights of the table's owner. Where the key contains the scope of both
-- tables, the rows that it takes along are in the same scope.
CREATE FUNCTION multitenant._lint_actions(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH k AS MATERIALIZED (
		SELECT x.conname, x.confdeltype, x.confupdtype, c.name AS child, c.schema_name, p.name AS parent, cp.permissions AS wanted,
			pp.permissions AS asked, EXISTS (SELECT FROM unnest(x.conkey, x.confkey) AS u(c, p)
				JOIN pg_catalog.pg_attribute ca ON ca.attrelid = x.conrelid AND ca.attnum = u.c AND ca.attname = cp.scope_column
				JOIN pg_catalog.pg_attribute pa ON pa.attrelid = x.confrelid AND pa.attnum = u.p AND pa.attname = pp.scope_column)
				OR cp.scope_column IS NULL AS is_within_scope
		FROM pg_catalog.pg_constraint x
		JOIN unnest(s.tables) c ON c.id = x.conrelid JOIN unnest(s.tables) p ON p.id = x.confrelid
		CROSS JOIN LATERAL multitenant._protection(x.conrelid) cp CROSS JOIN LATERAL multitenant._protection(x.confrelid) pp
		WHERE x.contype = 'f' AND x.conparentid = 0 AND x.conname !~ '^multitenant_staged_'
		  AND (x.confdeltype IN ('c', 'n', 'd') OR x.confupdtype IN ('c', 'n', 'd'))
		  AND multitenant._is_enforced(x) AND c.class = 'tenant' AND cp.permissions IS NOT NULL
	)
	SELECT 'fk_action_without_permission', format('%s:%s', k.child, k.conname), k.schema_name, 'medium',
		format('%s of %s %s rows of %s without asking for %s%s.', CASE e.on_event WHEN 'DELETE' THEN 'A DELETE' ELSE 'An UPDATE' END, k.parent,
			   CASE WHEN e.action = 'c' AND e.on_event = 'DELETE' THEN 'deletes' ELSE 'changes' END, k.child, e.permission,
			   CASE WHEN k.is_within_scope THEN '' ELSE ' in their scopes' END),
		format('-- Make %s anew without ON %s %s, or let only those have %s whom that may happen to; then accept the finding.', k.conname, e.on_event,
			   CASE e.action WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END,
			   CASE WHEN k.asked IS NULL THEN format('the privilege to %s in %s', lower(e.on_event), k.parent) ELSE e.asked END),
		jsonb_build_object('references', k.parent, 'permission', e.permission)
	FROM k CROSS JOIN LATERAL (
		-- One finding a key: deleting is the worse.
		SELECT * FROM (
			SELECT 'DELETE', k.confdeltype, k.wanted || CASE k.confdeltype WHEN 'c' THEN ':delete' ELSE ':update' END, k.asked || ':delete', 1
			UNION ALL
			SELECT 'UPDATE', k.confupdtype, k.wanted || ':update', k.asked || ':update', 2
		) AS v(on_event, action, permission, asked, n)
		WHERE v.action IN ('c', 'n', 'd') AND (v.permission IS DISTINCT FROM v.asked OR NOT k.is_within_scope)
		ORDER BY v.n LIMIT 1) AS e
$$;

-- Indexes through which the server looks before it asks the policy. Where the table is partitioned by tenant it looks
-- into one tenant's partition only. EXPLAIN and the counters of the transaction show what it found.
CREATE FUNCTION multitenant._lint_indexes(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'index_without_tenant_prefix', format('%s:%s', t.name, c.relname), t.schema_name,
		multitenant._level_unless_closed(NOT s.are_indexes_hidden
			AND ('explain' = ANY (s.open_channels) OR 'statistics' = ANY (s.open_channels)), 'high', 'low'),
		format('%s of %s does not start with %s: the server compares with other tenants'' values before it asks the policy.',
			   c.relname, t.name, t.tenant_column),
		-- Only a definition that starts as foretold is rewritten: names may look like anything.
		CASE WHEN i.indisunique OR i.indkey[0] = 0 OR NOT starts_with(d.definition, d.head) OR EXISTS (
				SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid)
			THEN format('-- Make it anew with %I as its first column.', t.tenant_column)
			ELSE format('DROP INDEX %I.%I; %s%I, %s', t.schema_name, c.relname, d.head, t.tenant_column, substr(d.definition, length(d.head) + 1)) END,
		NULL::jsonb
	FROM unnest(s.tables) t
	JOIN pg_catalog.pg_index i ON i.indrelid = t.id AND i.indisvalid AND i.indkey[0] <> t.tenant_number
	JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition AND c.relname !~ '^multitenant_staged_'
	JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname IN ('btree', 'hash', 'brin')
	CROSS JOIN LATERAL (SELECT pg_get_indexdef(c.oid), format('CREATE INDEX %I ON %s USING btree (', c.relname, t.name)) AS d(definition, head)
	LEFT JOIN pg_catalog.pg_partitioned_table y ON y.partrelid = t.root
	WHERE t.class IN ('tenant', 'shared_rows') AND NOT t.is_partition
	  -- Unique ones without the tenant have findings of their own, or are random.
	  AND NOT (i.indisunique AND NOT t.tenant_number = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
	  AND (y.partrelid IS NULL OR y.partattrs[0] <> t.tenant_number)
$$;

CREATE FUNCTION multitenant._lint_sequences(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH q AS MATERIALIZED (
		SELECT DISTINCT c.oid AS id, format('%I.%I', n.nspname, c.relname) AS name, t.name AS table_name, t.schema_name, a.attname
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
			AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
		JOIN unnest(s.tables) t ON t.id = d.refobjid
		JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum = d.refobjsubid
		WHERE c.relkind = 'S' AND t.class IN ('tenant', 'shared_rows')
	)
	SELECT 'global_identity_key', format('%s:%s', q.table_name, q.attname), q.schema_name, 'low',
		format('%s of %s counts over all tenants: its numbers tell how much others do.', q.attname, q.table_name),
		'-- Use uuids, or a counter for each tenant.', NULL::jsonb
	FROM q
	UNION ALL
	SELECT 'sequence_update_privilege', format('%s:%s', q.name, g.grantee), q.schema_name, 'medium',
		format('%s may set the sequence %s back, and then every tenant''s inserts into %s fail.', g.grantee, q.name, q.table_name),
		format('REVOKE UPDATE ON SEQUENCE %s FROM %s', q.name, g.grantee), NULL
	FROM q JOIN multitenant._exposed_grants(s.roles, 'S') g ON g.rel = q.id WHERE g.privilege = 'UPDATE'
$$;
