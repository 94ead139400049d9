/*
 * protect.sql
 *	  Making a user's table a tenant's table: what protect() does, as a list of steps.
 *
 * There is one generator, multitenant._protect_steps().  protect() executes the steps it yields, protect(.., dry_run)
 * prints them, plan() prints the preparation that lets protect() do without long locks.  A rule yields a step only
 * where the catalog says that it is still needed; so everything here may be run again, and a second protect() of an
 * intact table does nothing.
 *
 * Security: as in table.sql.
 */

-- One step. "target" is the table whose label keeps "undo"; "scans" is the table that the command reads in full, NULL
-- where it is quick whatever the size; "preparation" are the commands that, run beforehand, make it quick.
CREATE TYPE multitenant._step AS (
	command text,
	lock_level text,
	in_transaction boolean,
	note text,
	undo jsonb,
	target regclass,
	scans regclass,
	preparation text[]
);

-- ---------------------------------------------------------------------------------------------------------------
-- Rules: the column and its index
-- ---------------------------------------------------------------------------------------------------------------

-- Is NOT NULL proved by a valid CHECK, so that SET NOT NULL need not scan?
CREATE FUNCTION multitenant._is_checked_not_null(rel regclass, column_name name) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint c
				   WHERE c.conrelid = rel AND c.contype = 'c' AND c.convalidated
					 AND pg_get_expr(c.conbin, c.conrelid) = format('(%I IS NOT NULL)', column_name))
$$;

CREATE FUNCTION multitenant._has_staged_check(rel regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = rel AND c.contype = 'c'
				   AND c.conname = 'multitenant_staged_not_null')
$$;

-- A CHECK that is validated under a weak lock lets SET NOT NULL do without its own scan.
CREATE FUNCTION multitenant._not_null_preparation(rel regclass, column_name name) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_remove(ARRAY[
		CASE WHEN NOT multitenant._has_staged_check(rel) THEN
			format('ALTER TABLE %s ADD CONSTRAINT multitenant_staged_not_null CHECK (%I IS NOT NULL) NOT VALID', rel,
				   column_name) END,
		format('ALTER TABLE %s VALIDATE CONSTRAINT multitenant_staged_not_null', rel)], NULL)
$$;

-- A row without a tenant is nobody's: NOT NULL. On the parent the command reaches the whole tree; what it changes in
-- each member is for that member's label to remember.
CREATE FUNCTION multitenant._not_null_steps(rel regclass, column_name name) RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	is_covered boolean := false;	-- by the command on the parent
BEGIN
	FOR m IN SELECT t.member, t.depth FROM multitenant._tree(rel) t
			 JOIN pg_catalog.pg_attribute a ON a.attrelid = t.member AND a.attname = column_name
			 WHERE NOT a.attnotnull ORDER BY t.depth LOOP
		RETURN NEXT (CASE WHEN NOT is_covered THEN
						format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', m.member, column_name) END,
					 'ACCESS EXCLUSIVE', true, NULL, jsonb_build_object('kind', 'not_null'), m.member,
					 CASE WHEN NOT multitenant._is_checked_not_null(m.member, column_name) THEN m.member END,
					 multitenant._not_null_preparation(m.member, column_name))::multitenant._step;
		is_covered := is_covered OR m.depth = 0;
	END LOOP;
	-- From PostgreSQL 18 on NOT NULL may be there without having been validated.
	FOR m IN SELECT c.conname, t.member FROM multitenant._tree(rel) t
			 JOIN pg_catalog.pg_attribute a ON a.attrelid = t.member AND a.attname = column_name
			 JOIN pg_catalog.pg_constraint c ON c.conrelid = t.member AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum]
			 WHERE NOT c.convalidated AND c.coninhcount = 0 ORDER BY t.depth LOOP
		RETURN NEXT (format('ALTER TABLE %s VALIDATE CONSTRAINT %I', m.member, m.conname), 'SHARE UPDATE EXCLUSIVE', true,
					 NULL, NULL, m.member, m.member, NULL)::multitenant._step;
	END LOOP;
	IF multitenant._has_staged_check(rel) THEN
		RETURN NEXT (format('ALTER TABLE %s DROP CONSTRAINT multitenant_staged_not_null', rel),
					 'ACCESS EXCLUSIVE', true, NULL, NULL, rel, NULL, NULL)::multitenant._step;
	END IF;
END
$$;

-- The default makes INSERTs work that do not name the column. Never in ADD COLUMN, which would stamp the old rows.
-- ONLY, because each member of a tree may have had a default of its own.
CREATE FUNCTION multitenant._default_steps(rel regclass, column_name name) RETURNS SETOF multitenant._step
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(format('ALTER TABLE ONLY %s ALTER COLUMN %I SET DEFAULT %s', t.member, column_name, w.accessor),
			   'ACCESS EXCLUSIVE', true,
			   CASE WHEN w.present IS NOT NULL THEN format('replaces the default %s', w.present) END,
			   jsonb_build_object('kind', 'default', 'expression', w.present), t.member, NULL, NULL)::multitenant._step
	FROM multitenant._tree(rel) t
	JOIN pg_catalog.pg_attribute a ON a.attrelid = t.member AND a.attname = column_name
	CROSS JOIN LATERAL (SELECT multitenant._accessor(a.atttypid), multitenant._default_of(t.member, column_name))
		AS w(accessor, present)
	WHERE w.present IS DISTINCT FROM w.accessor
	ORDER BY t.depth, t.member::text COLLATE "C"
$$;

-- A usable index that starts with the tenant column?
CREATE FUNCTION multitenant._has_tenant_index(rel regclass, column_name name) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (
		SELECT FROM pg_catalog.pg_index i
		JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam
		WHERE i.indrelid = rel AND a.attname = column_name AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
		  AND c.relname !~ '^multitenant_staged_')
$$;

-- Tables that need an index of their own: the root, and inheritance children, which inherit none.
CREATE FUNCTION multitenant._indexed_tables(rel regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT t.member FROM multitenant._tree(rel) t JOIN pg_catalog.pg_class c ON c.oid = t.member
	WHERE NOT c.relispartition ORDER BY t.depth, t.member::text COLLATE "C"
$$;

-- Indexes of partitions that plan() prepared get the names that CREATE INDEX on the parent would have given them.
CREATE FUNCTION multitenant._index_name_steps(staged regclass, column_name name, target regclass)
RETURNS SETOF multitenant._step
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(format('ALTER INDEX %s RENAME TO %I', t.member,
					  multitenant._free_name(i.indrelid, ARRAY[column_name], 'idx')),
			   'SHARE UPDATE EXCLUSIVE', true, NULL, NULL, target, NULL, NULL)::multitenant._step
	FROM multitenant._tree(staged) t JOIN pg_catalog.pg_index i ON i.indexrelid = t.member
	WHERE t.depth > 0 ORDER BY t.depth, t.member::text COLLATE "C"
$$;

-- The index every tenant's query starts from. "covered" are tables that a key step of the same run gives one.
CREATE FUNCTION multitenant._index_steps(rel regclass, column_name name, covered regclass[])
RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member regclass;
	index_name name;
	staged regclass;
BEGIN
	FOR member IN SELECT multitenant._indexed_tables(rel) LOOP
		CONTINUE WHEN member = ANY (covered) OR multitenant._has_tenant_index(member, column_name);
		index_name := multitenant._free_name(member, ARRAY[column_name], 'idx');
		staged := multitenant._valid_staged_index(member, 'index');
		RETURN NEXT (CASE WHEN staged IS NULL
						THEN format('CREATE INDEX %I ON %s USING btree (%I)', index_name, member, column_name)
						ELSE format('ALTER INDEX %s RENAME TO %I', staged, index_name) END,
					 CASE WHEN staged IS NULL THEN 'SHARE' ELSE 'SHARE UPDATE EXCLUSIVE' END, true, NULL,
					 jsonb_build_object('kind', 'index', 'name', index_name), member,
					 CASE WHEN staged IS NULL THEN member END,
					 multitenant._index_preparation(member, column_name))::multitenant._step;
		RETURN QUERY SELECT * FROM multitenant._index_name_steps(staged, column_name, member);
	END LOOP;
END
$$;

-- The same index without a lock against writers. A partitioned table's is put together from its partitions'.
CREATE FUNCTION multitenant._index_preparation(rel regclass, column_name name) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	result text[] := '{}';
BEGIN
	FOR m IN SELECT t.member, c.relkind, c.relnamespace::regnamespace AS schema_name, i.inhparent::regclass AS parent,
				pc.relnamespace::regnamespace AS parent_schema
			 FROM multitenant._tree(rel) t JOIN pg_catalog.pg_class c ON c.oid = t.member
			 LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = t.member
			 LEFT JOIN pg_catalog.pg_class pc ON pc.oid = i.inhparent
			 WHERE t.depth = 0 OR c.relispartition ORDER BY t.depth DESC, t.member::text COLLATE "C" LOOP
		IF m.relkind = 'p' THEN
			result := multitenant._staged_index_command(m.member, 'index', 'INDEX',
				format('ON ONLY %s USING btree (%I)', m.member, column_name)) || result;
		ELSE
			result := multitenant._staged_index_command(m.member, 'index', 'INDEX CONCURRENTLY',
				format('ON %s USING btree (%I)', m.member, column_name)) || result;
		END IF;
		IF m.member <> rel AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i
										   WHERE i.inhrelid = multitenant._staged_index(m.member, 'index')) THEN
			result := result || format('ALTER INDEX %s.%I ATTACH PARTITION %s.%I', m.parent_schema,
				multitenant._staged_name(m.parent, 'index'), m.schema_name, multitenant._staged_name(m.member, 'index'));
		END IF;
	END LOOP;
	RETURN result;
END
$$;

-- As _staged_index(), but one that a failed CREATE INDEX CONCURRENTLY left behind does not count.
CREATE FUNCTION multitenant._valid_staged_index(rel regclass, purpose text) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.indexrelid::regclass FROM pg_catalog.pg_index i
	WHERE i.indexrelid = multitenant._staged_index(rel, purpose) AND i.indisvalid
$$;

-- CREATE of one index under its staged name: nothing if it is there, and first away with what a failure left invalid.
-- (An index ON ONLY a partitioned table is invalid by nature until all partitions are attached.)
CREATE FUNCTION multitenant._staged_index_command(rel regclass, purpose text, what text, definition text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN multitenant._staged_index(rel, purpose) IS NULL THEN ARRAY[c.command]
		WHEN what !~ 'CONCURRENTLY' OR multitenant._valid_staged_index(rel, purpose) IS NOT NULL THEN '{}'::text[]
		ELSE ARRAY[format('DROP INDEX CONCURRENTLY %s', multitenant._staged_index(rel, purpose)), c.command] END
	FROM (SELECT format('CREATE %s %I %s', what, multitenant._staged_name(rel, purpose), definition)) AS c(command)
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Rules: policies and row security
-- ---------------------------------------------------------------------------------------------------------------

-- The policies of a class, their expressions spelled as pg_get_expr() prints them. Both policies of class tenant
-- carry the same expression: with "true" in the permissive one, DROP EXTENSION CASCADE would open every row.
CREATE FUNCTION multitenant._policies(class text, column_name name, column_type oid)
RETURNS TABLE(policy_name name, is_permissive boolean, command "char", using_expr text, check_expr text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH e(own) AS (
		SELECT format(CASE WHEN column_type = 'pg_catalog.varchar'::regtype THEN '((%I)::text = %s)' ELSE '(%I = %s)' END,
					  column_name, multitenant._accessor(column_type))
	), o(own, own_or_shared) AS (
		SELECT e.own, format('(%s OR (%I IS NULL))', e.own, column_name) FROM e
	)
	SELECT p.policy_name::name, p.is_permissive, p.command::"char", p.using_expr, p.check_expr
	FROM o CROSS JOIN LATERAL (VALUES
		('tenant', 'multitenant_isolation', false, '*', o.own, NULL),
		('tenant', 'multitenant_access', true, '*', o.own, NULL),
		('shared_rows', 'multitenant_access', true, '*', o.own_or_shared, o.own),
		('shared_rows', 'multitenant_isolation', false, 'r', o.own_or_shared, NULL),
		('shared_rows', 'multitenant_isolation_insert', false, 'a', NULL, o.own),
		('shared_rows', 'multitenant_isolation_update', false, 'w', o.own, o.own),
		('shared_rows', 'multitenant_isolation_delete', false, 'd', o.own, NULL)
	) AS p(class, policy_name, is_permissive, command, using_expr, check_expr)
	WHERE p.class = _policies.class
$$;

-- Those by which a table of scopes filters rows, spelled in the same way. They act after the tenant's, by their names.
CREATE FUNCTION multitenant._scope_policies(resource text, scope name, column_type oid)
RETURNS TABLE(policy_name name, is_permissive boolean, command "char", using_expr text, check_expr text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.policy_name::name, false, p.command::"char", CASE WHEN p.uses THEN e.test END, CASE WHEN p.checks THEN e.test END
	FROM (VALUES
		('multitenant_scope_select', 'r', 'read', true, false),
		('multitenant_scope_insert', 'a', 'create', false, true),
		('multitenant_scope_update', 'w', 'update', true, true),
		('multitenant_scope_delete', 'd', 'delete', true, false)
	) AS p(policy_name, command, action, uses, checks)
	CROSS JOIN LATERAL (SELECT format(CASE WHEN column_type = 'pg_catalog.varchar'::regtype
		THEN 'multitenant.in_scope((%I)::text, %L::text)' ELSE 'multitenant.in_scope(%I, %L::text)' END,
		scope, resource || ':' || p.action)) AS e(test)
$$;

-- The expression of a policy as CREATE POLICY wants it.
CREATE FUNCTION multitenant._in_parentheses(expression text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN starts_with(expression, '(') THEN expression ELSE '(' || expression || ')' END
$$;

-- Missing policies are created; one that was edited is dropped and made anew. Those of scopes go where there are none.
CREATE FUNCTION multitenant._policy_steps(rel regclass, class text, column_name name, resource text DEFAULT NULL,
										  scope name DEFAULT NULL)
RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p record;
BEGIN
	FOR p IN
		SELECT t.member, w.*, x.oid IS NOT NULL AS is_present,
			coalesce(x.polpermissive = w.is_permissive AND x.polcmd = w.command AND x.polroles = '{0}'
				AND pg_get_expr(x.polqual, x.polrelid) IS NOT DISTINCT FROM w.using_expr
				AND pg_get_expr(x.polwithcheck, x.polrelid) IS NOT DISTINCT FROM w.check_expr, false) AS is_intact
		FROM multitenant._tree(rel) t
		JOIN pg_catalog.pg_attribute a ON a.attrelid = t.member AND a.attname = column_name
		LEFT JOIN pg_catalog.pg_attribute sa ON sa.attrelid = t.member AND sa.attname = scope
		CROSS JOIN LATERAL (SELECT * FROM multitenant._policies(class, column_name, a.atttypid)
							UNION ALL SELECT * FROM multitenant._scope_policies(resource, scope, sa.atttypid)) w
		LEFT JOIN pg_catalog.pg_policy x ON x.polrelid = t.member AND x.polname = w.policy_name
		ORDER BY t.depth, t.member::text COLLATE "C", w.is_permissive, w.policy_name
	LOOP
		CONTINUE WHEN p.is_intact;
		IF p.is_present THEN
			RETURN NEXT (format('DROP POLICY %I ON %s', p.policy_name, p.member), 'ACCESS EXCLUSIVE', true,
						 'the policy was changed', NULL, p.member, NULL, NULL)::multitenant._step;
		END IF;
		RETURN NEXT (format('CREATE POLICY %I ON %s AS %s FOR %s TO PUBLIC', p.policy_name, p.member,
							CASE WHEN p.is_permissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
							CASE p.command WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
								WHEN 'd' THEN 'DELETE' ELSE 'ALL' END)
					 || coalesce(' USING ' || multitenant._in_parentheses(p.using_expr), '')
					 || coalesce(' WITH CHECK ' || multitenant._in_parentheses(p.check_expr), ''),
					 'ACCESS EXCLUSIVE', true, NULL, NULL, p.member, NULL, NULL)::multitenant._step;
	END LOOP;
	IF scope IS NULL THEN
		RETURN QUERY SELECT format('DROP POLICY %I ON %s', x.polname, t.member), 'ACCESS EXCLUSIVE', true, NULL, NULL::jsonb,
				t.member, NULL::regclass, NULL::text[]
			FROM multitenant._tree(rel) t JOIN pg_catalog.pg_policy x ON x.polrelid = t.member
			WHERE x.polname = ANY (multitenant._policy_names()) AND x.polname ~ '^multitenant_scope_'
			ORDER BY t.depth, t.member::text COLLATE "C", x.polname;
	END IF;
END
$$;

-- ENABLE, and FORCE because the owner is a tenant's role like any other.
CREATE FUNCTION multitenant._row_security_steps(rel regclass) RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	undo jsonb;
BEGIN
	FOR m IN SELECT t.member, c.relrowsecurity, c.relforcerowsecurity FROM multitenant._tree(rel) t
			 JOIN pg_catalog.pg_class c ON c.oid = t.member ORDER BY t.depth, t.member::text COLLATE "C" LOOP
		-- Off and not forced is how a table is created; only anything else is worth a word in the label, unless it was
		-- us who turned it on.
		undo := CASE WHEN (m.relrowsecurity OR m.relforcerowsecurity) AND NOT multitenant._is_protected(m.member) THEN
			jsonb_build_object('kind', 'row_security', 'enabled', m.relrowsecurity, 'forced', m.relforcerowsecurity) END;
		IF NOT m.relrowsecurity THEN
			RETURN NEXT (format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', m.member), 'ACCESS EXCLUSIVE', true,
						 NULL, undo, m.member, NULL, NULL)::multitenant._step;
		ELSIF undo IS NOT NULL AND (multitenant._label(m.member) IS NULL OR multitenant._is_observed(m.member)) THEN
			RETURN NEXT (NULL, NULL, NULL, NULL, undo, m.member, NULL, NULL)::multitenant._step;
		END IF;
		IF NOT m.relforcerowsecurity THEN
			RETURN NEXT (format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', m.member), 'ACCESS EXCLUSIVE', true,
						 NULL, NULL, m.member, NULL, NULL)::multitenant._step;
		END IF;
	END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Rules: views and what can only be reported
-- ---------------------------------------------------------------------------------------------------------------

-- Views over the table, views over those views included.
CREATE FUNCTION multitenant._dependent_views(rel regclass) RETURNS TABLE(view_name regclass, kind "char", options text[])
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE v(oid) AS (
		SELECT t.member::oid FROM multitenant._tree(rel) t
		UNION
		SELECT r.ev_class FROM v
		JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = v.oid
			AND d.classid = 'pg_catalog.pg_rewrite'::regclass
		JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
	)
	SELECT c.oid::regclass, c.relkind, c.reloptions FROM v JOIN pg_catalog.pg_class c ON c.oid = v.oid
	WHERE c.relkind IN ('v', 'm') ORDER BY c.oid::regclass::text COLLATE "C"
$$;

CREATE FUNCTION multitenant._is_security_invoker(options text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(bool_or(split_part(o, '=', 2)::boolean), false) FROM unnest(options) o
	WHERE split_part(o, '=', 1) = 'security_invoker'
$$;

-- A view reads with its owner's rights; row security would ask about the owner instead of the user.
CREATE FUNCTION multitenant._view_steps(rel regclass) RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v record;
BEGIN
	FOR v IN SELECT * FROM multitenant._dependent_views(rel) LOOP
		IF v.kind = 'm' THEN
			RETURN NEXT (NULL, NULL, NULL, format('materialized view %s keeps a copy of the rows that no policy filters',
						 v.view_name), NULL, rel, NULL, NULL)::multitenant._step;
		ELSIF multitenant._is_security_invoker(v.options) THEN
			CONTINUE;
		-- What the table's owner could not do, unprotect() would not undo.
		ELSIF multitenant._is_owner(v.view_name)
			AND pg_has_role(multitenant._owner(rel), multitenant._owner(v.view_name), 'USAGE') THEN
			RETURN NEXT (format('ALTER VIEW %s SET (security_invoker = true)', v.view_name), 'ACCESS EXCLUSIVE', true,
						 'its users now need privileges on the tables it reads',
						 multitenant._named(v.view_name) || jsonb_build_object('kind', 'view', 'options', v.options), rel, NULL,
						 NULL)::multitenant._step;
		ELSE
			RETURN NEXT (NULL, NULL, NULL, format('view %s belongs to another role and is not security_invoker',
						 v.view_name), NULL, rel, NULL, NULL)::multitenant._step;
		END IF;
	END LOOP;
END
$$;

-- How undo names a relation other than the labelled one. Names, not OIDs: labels live in dumps.
CREATE FUNCTION multitenant._named(rel regclass) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_build_object('schema', n.nspname, 'table', c.relname)
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = rel
$$;

-- Grants that reach past row security, functions that may read the table with somebody else's rights, and what could
-- not be checked.
CREATE FUNCTION multitenant._report_steps(rel regclass) RETURNS SETOF multitenant._step
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(NULL, NULL, NULL, n.note, NULL, rel, NULL, NULL)::multitenant._step FROM (
		SELECT 1, format('%s on %s is granted to %s', string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type),
						 t.member, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
		FROM multitenant._tree(rel) t JOIN pg_catalog.pg_class c ON c.oid = t.member
		CROSS JOIN LATERAL aclexplode(c.relacl) g
		WHERE g.grantee = 0 OR (g.grantee <> c.relowner AND g.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER'))
		GROUP BY t.member, g.grantee
		UNION ALL
		SELECT 2, format('function %s is SECURITY DEFINER, owned by %s, and mentions the table', p.oid::regprocedure,
						 p.proowner::regrole)
		FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_class c ON c.oid = rel
		WHERE p.prosecdef AND p.proowner <> c.relowner
		  AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'multitenant'::regnamespace)
		  AND strpos(lower(p.prosrc), lower(c.relname)) > 0
		UNION ALL
		SELECT 3, 'that every row names a registered tenant was not checked: the profile of this session may not look up tenants'
		WHERE NOT multitenant._is_protected(rel) AND NOT multitenant._has('see_tenants')
	) AS n(sort, note)
	ORDER BY n.sort, n.note
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- The generator
-- ---------------------------------------------------------------------------------------------------------------

-- The tenant column of each member is labelled before the member itself: until then that is its owner's to do.
CREATE FUNCTION multitenant._column_label_steps(rel regclass, column_name name) RETURNS SETOF multitenant._step
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(format('SECURITY LABEL FOR multitenant ON COLUMN %s.%I IS %s', t.member, w.labelled, w.label),
			   'SHARE UPDATE EXCLUSIVE', true, NULL, NULL, t.member, NULL, NULL)::multitenant._step
	FROM multitenant._tree(rel) t
	CROSS JOIN LATERAL (VALUES (1, multitenant._labelled_column(t.member), 'NULL'), (2, column_name, '''tenant_column'''))
		AS w(n, labelled, label)
	WHERE multitenant._labelled_column(t.member) IS DISTINCT FROM column_name AND w.labelled IS NOT NULL
	ORDER BY t.depth, t.member::text COLLATE "C", w.n
$$;

-- The same of the scope column; none where there is to be none.
CREATE FUNCTION multitenant._scope_label_steps(rel regclass, scope name) RETURNS SETOF multitenant._step
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(format('SECURITY LABEL FOR multitenant ON COLUMN %s.%I IS %s', t.member, w.labelled, w.label),
			   'SHARE UPDATE EXCLUSIVE', true, NULL, NULL, t.member, NULL, NULL)::multitenant._step
	FROM multitenant._tree(rel) t
	CROSS JOIN LATERAL (VALUES (1, multitenant._labelled_scope(t.member), 'NULL'), (2, scope, '''scope_column'''))
		AS w(n, labelled, label)
	WHERE multitenant._labelled_scope(t.member) IS DISTINCT FROM scope AND w.labelled IS NOT NULL
	ORDER BY t.depth, t.member::text COLLATE "C", w.n
$$;

-- What an observed table's label remembers from an earlier enforcement, and what of this one it does not; NULL for nothing.
CREATE FUNCTION multitenant._merged_undo(rel regclass, undo jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH old(entry, n) AS (
		SELECT * FROM jsonb_path_query(multitenant._label_json(rel), '$.undo[*]') WITH ORDINALITY
	), new(entry, n) AS (
		SELECT * FROM jsonb_path_query(undo, '$[*]') WITH ORDINALITY
	)
	SELECT jsonb_agg(x.entry ORDER BY x.age, x.n) FROM (
		SELECT 1, entry, n FROM old
		UNION ALL
		SELECT 2, entry, n FROM new WHERE NOT EXISTS (
			SELECT FROM old WHERE (old.entry -> 'kind', old.entry -> 'name', old.entry -> 'schema', old.entry -> 'table')
				IS NOT DISTINCT FROM (new.entry -> 'kind', new.entry -> 'name', new.entry -> 'schema', new.entry -> 'table'))
	) AS x(age, entry, n)
$$;

-- Labels come last, for only then it is known what unprotect() has to give back. A label that is there stays: its
-- owner may not change it, and what it remembers is the older truth; only that the table was observed ends here, and what
-- such a label remembers comes first. A partition that came after its parent was
-- protected had NOT NULL from the parent, and loses it with the parent.
-- Whose permissions the table asks for is the only thing in it that changes.
CREATE FUNCTION multitenant._label_steps(rel regclass, class text, steps multitenant._step[], resource text DEFAULT NULL,
										 scope name DEFAULT NULL)
RETURNS SETOF multitenant._step
LANGUAGE sql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(format('SECURITY LABEL FOR multitenant ON TABLE %s IS %L', t.member,
					  class || coalesce(' ' || nullif(w.kept || w.asked, '{}')::text, '')),
			   'SHARE UPDATE EXCLUSIVE', true, NULL, NULL, t.member, NULL, NULL)::multitenant._step
	FROM multitenant._tree(rel) t
	CROSS JOIN LATERAL (SELECT jsonb_agg(x.undo ORDER BY x.n) FROM (
		SELECT s.undo, s.n
		FROM unnest(steps) WITH ORDINALITY AS s(command, lock_level, in_transaction, note, undo, target, scans, preparation, n)
		WHERE s.target = t.member AND s.undo IS NOT NULL
		UNION ALL
		SELECT '{"kind": "not_null"}', 0
		WHERE t.depth > 0 AND multitenant._label_json(rel) -> 'undo' @> '[{"kind": "not_null"}]') AS x) AS u(undo)
	CROSS JOIN LATERAL (SELECT multitenant._label(t.member) IS NULL OR multitenant._is_observed(t.member),
							   multitenant._merged_undo(t.member, u.undo)) AS n(is_new, undo)
	CROSS JOIN LATERAL (SELECT
		CASE WHEN NOT n.is_new THEN multitenant._label_json(t.member) - '{permissions,scoped}'::text[]
			 WHEN n.undo IS NULL THEN '{}' ELSE jsonb_build_object('undo', n.undo) END,
		CASE WHEN resource IS NULL THEN '{}' ELSE jsonb_build_object('permissions', resource) END
			|| CASE WHEN scope IS NULL THEN '{}'::jsonb ELSE '{"scoped": true}' END) AS w(kept, asked)
	WHERE n.is_new OR (multitenant._label_class(t.member) = 'tenant' AND class = 'tenant'
		AND w.kept || w.asked <> multitenant._label_json(t.member))
	ORDER BY t.depth, t.member::text COLLATE "C"
$$;

-- The steps that still separate the table from being protected, in the order in which they have to be done: keys
-- first, because a foreign key must be validated before row security hides rows from the validation.
-- "together" are tables that the same run protects; foreign keys to and from them count as between tenants' tables.
-- Without a resource the table keeps the permissions that it asks for.
CREATE FUNCTION multitenant._protect_steps(rel regclass, column_name name, together regclass[] DEFAULT '{}',
										   resource text DEFAULT NULL, scope name DEFAULT NULL)
RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	steps multitenant._step[];
	keyed regclass[];
BEGIN
	IF resource IS NULL THEN
		SELECT p.resource, p.scope INTO resource, scope FROM multitenant._permissions_of(rel) p;
	END IF;
	steps := ARRAY(SELECT s FROM multitenant._key_steps(rel, column_name, together) s);
	-- Composite keys of whole tables start with the tenant column and serve as its index.
	SELECT coalesce(array_agg(multitenant._resolve(u.undo, rel)), '{}') INTO keyed
	FROM unnest(steps) u
	WHERE u.undo ->> 'kind' IN ('unique', 'unique_index', 'key') AND u.undo ->> 'partial' IS NULL;
	steps := steps
		|| ARRAY(SELECT s FROM multitenant._not_null_steps(rel, column_name) s)
		|| ARRAY(SELECT s FROM multitenant._default_steps(rel, column_name) s)
		|| ARRAY(SELECT s FROM multitenant._index_steps(rel, column_name, keyed) s)
		|| ARRAY(SELECT s FROM multitenant._policy_steps(rel, 'tenant', column_name, resource, scope) s)
		|| ARRAY(SELECT s FROM multitenant._row_security_steps(rel) s)
		|| ARRAY(SELECT s FROM multitenant._view_steps(rel) s);
	steps := steps || ARRAY(SELECT s FROM multitenant._column_label_steps(rel, column_name) s)
		|| ARRAY(SELECT s FROM multitenant._scope_label_steps(rel, scope) s)
		|| ARRAY(SELECT s FROM multitenant._label_steps(rel, 'tenant', steps, resource, scope) s);
	-- What can only be reported is reported along with a change, and left to lint() otherwise.
	IF EXISTS (SELECT FROM unnest(steps) s WHERE s.command IS NOT NULL) THEN
		steps := steps || ARRAY(SELECT s FROM multitenant._report_steps(rel) s);
		RETURN QUERY SELECT s.* FROM unnest(steps) s;
	END IF;
END
$$;

-- The relation that an element of undo is about: the labelled one unless it names another; NULL if that is gone.
CREATE FUNCTION multitenant._resolve(undo jsonb, labelled regclass) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN NOT undo ? 'table' THEN labelled
		WHEN jsonb_typeof(undo -> 'schema') = 'string' AND jsonb_typeof(undo -> 'table') = 'string'
			THEN to_regclass(format('%I.%I', undo ->> 'schema', undo ->> 'table')) END
$$;

-- Refuses what would keep a table locked for long.
CREATE FUNCTION multitenant._check_size(steps multitenant._step[], column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	large regclass;
	schema_name name;
BEGIN
	SELECT s.scans, c.relnamespace::regnamespace INTO large, schema_name
	FROM unnest(steps) s JOIN pg_catalog.pg_class c ON c.oid = s.scans
	WHERE s.command IS NOT NULL AND multitenant._is_large(s.scans) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'table % is too large to be scanned under a lock', large
			USING ERRCODE = '55000',
				  DETAIL = format('It has about %s rows; multitenant.maximum_inline_rows is %s.',
								  multitenant._estimated_rows(large), current_setting('multitenant.maximum_inline_rows', true)),
				  HINT = format('Run the steps that SELECT * FROM multitenant.plan(%L, %L) prints, or raise the setting '
								'for this session.', schema_name, column_name);
	END IF;
END
$$;

-- Executes one command; where the rows are not what the command needs, says what to do about it. Labels are the
-- caller's to write, and run nobody's code; the rest runs as the owner of what it changes.
CREATE FUNCTION multitenant._execute_step(step multitenant._step) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	msg text;
	det text;
BEGIN
	IF starts_with(step.command, 'SECURITY LABEL ') THEN
		EXECUTE step.command;
	ELSE
		PERFORM multitenant._run_as_owner(NULL, step.command);
	END IF;
EXCEPTION
	WHEN insufficient_privilege THEN
		IF NOT starts_with(step.command, 'SECURITY LABEL ') THEN
			RAISE;
		END IF;
		GET STACKED DIAGNOSTICS msg = MESSAGE_TEXT;
		RAISE EXCEPTION '%', msg
			USING ERRCODE = '42501', DETAIL = format('Command: %s', step.command),
				  HINT = format('Have a superuser or a role with profile migrator call multitenant.repair(%L).', step.target);
	WHEN foreign_key_violation THEN
		GET STACKED DIAGNOSTICS msg = MESSAGE_TEXT, det = PG_EXCEPTION_DETAIL;
		RAISE EXCEPTION '%', msg
			USING ERRCODE = '23503', DETAIL = det,
				  HINT = 'A row refers to a row of another tenant. Correct the tenant of one of them, then try again.';
	WHEN not_null_violation THEN
		GET STACKED DIAGNOSTICS msg = MESSAGE_TEXT, det = PG_EXCEPTION_DETAIL;
		RAISE EXCEPTION '%', msg
			USING ERRCODE = '23502', DETAIL = det, HINT = 'Give every row its tenant, then try again.';
END
$$;

-- All that can be said against protecting the table, before anything is done.
CREATE FUNCTION multitenant._check_protect(rel regclass, column_name name, together regclass[], is_dry boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._check_table(rel);
	PERFORM multitenant._check_column(rel, column_name);
	PERFORM multitenant._check_class(rel, 'tenant', column_name);
	PERFORM multitenant._check_tree(rel);
	PERFORM multitenant._check_policies(rel, 'tenant');
	IF NOT is_dry THEN
		PERFORM multitenant._check_size(ARRAY(SELECT s FROM multitenant._protect_steps(rel, column_name, together) s), column_name);
	END IF;
	IF NOT multitenant._is_protected(rel) AND NOT multitenant._is_large(rel) THEN
		-- Measuring it has waited for whoever was dropping it.
		PERFORM multitenant._check_table(rel);
		PERFORM multitenant._check_rows(rel, column_name, false);
		PERFORM multitenant._check_references(rel, column_name, together);
	END IF;
END
$$;

-- What a table asks for is changed by set_permissions() alone; protect() may give permissions to one that has none.
CREATE FUNCTION multitenant._check_new_permissions(rel regclass, column_name name, resource text, scope name) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present record;
BEGIN
	PERFORM multitenant._check_permissions(rel, column_name, resource, scope);
	IF resource IS NULL THEN
		RETURN;
	END IF;
	SELECT p.* INTO present FROM multitenant._permissions_of(rel) p;
	IF present.resource IS NOT NULL AND (present.resource, present.scope) IS DISTINCT FROM (resource, scope) THEN
		RAISE EXCEPTION 'table % already asks for permissions on %', rel, present.resource
			|| coalesce(' by its column ' || quote_ident(present.scope), '')
			USING ERRCODE = '55000', HINT = format('Change them with multitenant.set_permissions(%L, permissions, scope_column).', rel);
	ELSIF present.resource IS NULL AND multitenant._label(rel) IS NOT NULL AND NOT multitenant._is_observed(rel) THEN
		PERFORM multitenant._require('isolation', 'changing what a protected table asks for');
	END IF;
END
$$;

CREATE FUNCTION multitenant.protect(table_name regclass, tenant_column name DEFAULT 'tenant_id',
									dry_run boolean DEFAULT false, permissions text DEFAULT NULL,
									scope_column name DEFAULT NULL)
RETURNS TABLE(step int, command text, lock_level text, in_transaction boolean, note text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s multitenant._step;
BEGIN
	step := 0;
	PERFORM multitenant._check_protect(table_name, tenant_column, '{}', dry_run);
	PERFORM multitenant._check_new_permissions(table_name, tenant_column, permissions, scope_column);
	FOREACH s IN ARRAY ARRAY(SELECT p FROM multitenant._protect_steps(table_name, tenant_column, '{}', permissions, scope_column) p) LOOP
		CONTINUE WHEN s.command IS NULL AND s.note IS NULL;
		IF s.command IS NOT NULL AND NOT dry_run THEN
			PERFORM multitenant._execute_step(s);
		END IF;
		step := step + 1;
		command := s.command;
		lock_level := s.lock_level;
		in_transaction := s.in_transaction;
		note := s.note;
		RETURN NEXT;
	END LOOP;
END
$$;

COMMENT ON FUNCTION multitenant.protect(regclass, name, boolean, text, name) IS
'Makes a table a tenant''s table: every row belongs to the tenant in tenant_column, and a statement reaches only rows of the tenant of its transaction.
table_name: an ordinary or partitioned table of the caller; partitions follow their parent. tenant_column: uuid, bigint, integer, text or varchar, filled in every row. dry_run: print the steps, execute none. permissions: a resource, for example vm; then a statement needs vm:read, vm:create, vm:update or vm:delete of the principal of its context. scope_column: with permissions, the column that says in which scope a row is; then a statement reaches only rows in scopes where the principal has the permission. A table that is protected already gets them if it has none (by superusers and profile migrator); set_permissions() changes them.
Returns the steps done (or to be done) in order: the command, the lock it takes, whether it may run in a transaction, and a remark; a row without a command is a finding. No rows: nothing was left to do.
Everything runs with the rights of the tables'' owners, whoever calls this.
Errors: 42501 not the owner, or the owner lacks a privilege; 42809, 22023 no table of the application; 42703 no such column; 42804 wrong type or collation; 23502 rows without a tenant; 23503 rows naming an unregistered tenant (told only to profiles that may look up tenants) or another tenant''s row; 42704 no such permission; 22023 no name of a resource, or no column for scopes; 55000 another class or other permissions, a restrictive policy that sorts before ours, or too large to be scanned at once (see multitenant.plan).';

-- Gives a table of tenants permissions, others, or none (resource null).
CREATE FUNCTION multitenant.set_permissions(table_name regclass, permissions text, scope_column name DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	column_name name;
	steps multitenant._step[];
	s multitenant._step;
	broken record;
BEGIN
	PERFORM multitenant._check_table(table_name);
	PERFORM multitenant._require('isolation', 'changing what a protected table asks for');
	IF multitenant._label_class(table_name) IS DISTINCT FROM 'tenant' OR multitenant._is_observed(table_name) THEN
		RAISE EXCEPTION 'table % is not a protected table of tenants', table_name
			USING ERRCODE = '55000', HINT = format('Protect it: multitenant.protect(%L, permissions => %L).', table_name, permissions);
	END IF;
	PERFORM multitenant._check_tree(table_name);
	column_name := multitenant._tenant_column(table_name);
	PERFORM multitenant._check_permissions(table_name, column_name, permissions, scope_column);
	steps := ARRAY(SELECT p FROM multitenant._policy_steps(table_name, 'tenant', column_name, permissions, scope_column) p)
		|| ARRAY(SELECT p FROM multitenant._scope_label_steps(table_name, scope_column) p)
		|| ARRAY(SELECT p FROM multitenant._label_steps(table_name, 'tenant', '{}', permissions, scope_column) p);
	FOREACH s IN ARRAY steps LOOP
		PERFORM multitenant._execute_step(s);
	END LOOP;
	SELECT t.member, p.finding INTO broken FROM multitenant._tree(table_name) t
	CROSS JOIN LATERAL multitenant._protection(t.member) p WHERE NOT p.is_intact AND p.mode <> 'paused' ORDER BY t.depth LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'the protection of table % would not be intact', broken.member
			USING ERRCODE = '55000', DETAIL = format('Finding: %s.', broken.finding),
				  HINT = format('Call multitenant.repair(%L) first; a table below another gets the permissions of that one.', table_name);
	END IF;
END
$$;

COMMENT ON FUNCTION multitenant.set_permissions(regclass, text, name) IS
'Changes whose permissions statements on a protected table need, and by which column they are limited to scopes; null: none any more. Everything as permissions and scope_column of protect().
table_name: a protected table of the caller, of class tenant; partitions follow their parent.
Errors: 42501 not the owner, or not superuser or profile migrator; 22023 no name of a resource, or no column for scopes; 42703 no such column; 42704 no such permission; 42804 wrong type; 55000 not protected, or the protection is not intact.';
