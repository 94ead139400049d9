/*
 * table.sql
 *	  What the catalog says of one table, the names of what is made for it, and what must hold before it gets a class.
 *
 * Security: every function is SECURITY INVOKER. Names enter commands only through format('%I') and regclass, whose text
 * is qualified because search_path is pg_catalog throughout. Nothing here or in the files that build on it reads or
 * changes a user's table with the caller's rights: that is left to _run_as_owner() and _query_as_owner(), because a
 * table brings code of its owner along. Labels alone are written by the caller.
 */

-- ---------------------------------------------------------------------------------------------------------------
-- What the catalog says of one table
-- ---------------------------------------------------------------------------------------------------------------

-- The label of our provider, NULL without one.
CREATE FUNCTION multitenant._label(rel regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.label FROM pg_catalog.pg_seclabel s
	WHERE s.objoid = rel AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0
	  AND s.provider = 'multitenant'
$$;

-- tenant, shared, shared_rows or exempt; NULL without a label.
CREATE FUNCTION multitenant._label_class(rel regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT rtrim(split_part(multitenant._label(rel), ' ', 1), ':')
$$;

-- The JSON part of a label of class tenant or shared_rows; an empty object where there is none, or one that cannot be
-- read: JSON that was nested as deeply as the stack allowed when it was written may be too deep here.
CREATE FUNCTION multitenant._label_json(rel regclass) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	members text := substring(multitenant._label(rel) FROM '^(?:tenant|shared_rows) +(\{.*)$');
BEGIN
	IF members IS NULL THEN
		RETURN '{}';
	END IF;
	RETURN members::jsonb;
EXCEPTION
	WHEN OTHERS THEN
		RETURN '{}';
END
$$;

-- Is the label one that only observes the table?
CREATE FUNCTION multitenant._is_observed(rel regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(multitenant._label_json(rel) ->> 'mode' = 'observe', false)
$$;

-- The column that is labelled as the scope's; NULL without one.
CREATE FUNCTION multitenant._labelled_scope(rel regclass) RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT a.attname FROM pg_catalog.pg_seclabel s
	JOIN pg_catalog.pg_attribute a ON a.attrelid = s.objoid AND a.attnum = s.objsubid
	WHERE s.objoid = rel AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid <> 0
	  AND s.provider = 'multitenant' AND s.label = 'scope_column'
	ORDER BY a.attnum LIMIT 1
$$;

-- The column that is labelled as the tenant's; NULL without one.
CREATE FUNCTION multitenant._labelled_column(rel regclass) RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT a.attname FROM pg_catalog.pg_seclabel s
	JOIN pg_catalog.pg_attribute a ON a.attrelid = s.objoid AND a.attnum = s.objsubid
	WHERE s.objoid = rel AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid <> 0
	  AND s.provider = 'multitenant' AND s.label <> 'scope_column'
	ORDER BY a.attnum LIMIT 1
$$;

-- The table itself first, then everything below it: partitions and inheritance children of any depth. UNION, because
-- each of several ways to a child would be followed otherwise.
CREATE FUNCTION multitenant._tree(rel regclass) RETURNS TABLE(member regclass, depth int)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE t(member, depth) AS (
		SELECT rel::oid, 0
		UNION
		SELECT i.inhrelid, t.depth + 1 FROM pg_catalog.pg_inherits i JOIN t ON i.inhparent = t.member
	)
	SELECT t.member::regclass, max(t.depth) FROM t JOIN pg_catalog.pg_class c ON c.oid = t.member
	GROUP BY t.member, c.relname ORDER BY max(t.depth), c.relname
$$;

-- The accessor whose result has the type of the tenant column; NULL for a type that cannot carry a tenant.
CREATE FUNCTION multitenant._accessor(column_type oid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE column_type
		WHEN 'pg_catalog.uuid'::regtype THEN 'multitenant.current_tenant()'
		WHEN 'pg_catalog.int8'::regtype THEN 'multitenant.current_tenant_number()'
		WHEN 'pg_catalog.int4'::regtype THEN 'multitenant.current_tenant_int4()'
		WHEN 'pg_catalog.text'::regtype THEN 'multitenant.current_tenant_slug()'
		WHEN 'pg_catalog.varchar'::regtype THEN 'multitenant.current_tenant_slug()'
	END
$$;

-- The expression of a column's default as the server prints it; NULL without one.
CREATE FUNCTION multitenant._default_of(rel regclass, column_name name) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attrelid = rel AND a.attname = column_name
$$;

-- Names that only our policies bear.
CREATE FUNCTION multitenant._policy_names() RETURNS name[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT '{multitenant_isolation,multitenant_isolation_insert,multitenant_isolation_update,'
		'multitenant_isolation_delete,multitenant_access,multitenant_scope_select,multitenant_scope_insert,'
		'multitenant_scope_update,multitenant_scope_delete}'::name[]
$$;

-- The tenant column of a protected table: the one labelled so. That label lost, it is the column that the policies
-- depend on; they lost as well, the one whose default is one of our accessors.
CREATE FUNCTION multitenant._tenant_column(rel regclass) RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(multitenant._labelled_column(rel), (
		SELECT c.attname FROM (
			SELECT 1, a.attname, a.attnum FROM pg_catalog.pg_policy p
			JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
				AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = p.polrelid AND d.refobjsubid > 0
			JOIN pg_catalog.pg_attribute a ON a.attrelid = p.polrelid AND a.attnum = d.refobjsubid
			WHERE p.polrelid = rel AND p.polname = ANY (multitenant._policy_names()) AND p.polname !~ '^multitenant_scope_'
			UNION ALL
			SELECT 2, a.attname, a.attnum FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.atthasdef
			  AND multitenant._default_of(rel, a.attname) = multitenant._accessor(a.atttypid)
		) AS c(preference, attname, attnum)
		ORDER BY c.preference, c.attnum LIMIT 1))
$$;

-- Whose permissions statements on the table need, and which column has the scope of a row. A label decides, if there is
-- one; where a restore lost it, the policies do.
CREATE FUNCTION multitenant._permissions_of(rel regclass, OUT resource text, OUT scope name)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	members jsonb := multitenant._label_json(rel);
	found_resource text;
	found_column name;
BEGIN
	SELECT substring(pg_get_expr(p.polqual, p.polrelid) FROM ', .([a-z][a-z0-9_.-]*):read.::text\)$'), a.attname
	INTO found_resource, found_column
	FROM pg_catalog.pg_policy p
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
		AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = p.polrelid AND d.refobjsubid > 0
	JOIN pg_catalog.pg_attribute a ON a.attrelid = p.polrelid AND a.attnum = d.refobjsubid
	WHERE p.polrelid = rel AND p.polname = 'multitenant_scope_select' ORDER BY a.attnum LIMIT 1;
	IF multitenant._label(rel) IS NULL THEN
		resource := found_resource;
		scope := CASE WHEN found_resource IS NOT NULL THEN found_column END;
	ELSE
		resource := members ->> 'permissions';
		scope := CASE WHEN members ? 'scoped' THEN coalesce(multitenant._labelled_scope(rel), found_column) END;
		IF members ? 'scoped' AND scope IS NULL THEN
			RAISE EXCEPTION 'the scope column of table % is gone', rel
				USING ERRCODE = '55000',
					  HINT = format('Bring it back, and name it: multitenant.set_permissions(%L, %L, scope_column).', rel, resource);
		END IF;
	END IF;
END
$$;

-- Is the table itself protected: by a label that not only observes it or by one of our policies? (Ancestors are the
-- caller's business.)
CREATE FUNCTION multitenant._is_protected(rel regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(multitenant._label_class(rel) IN ('tenant', 'shared_rows') AND NOT multitenant._is_observed(rel), false)
		OR EXISTS (SELECT FROM pg_catalog.pg_policy p
				   WHERE p.polrelid = rel AND p.polname = ANY (multitenant._policy_names()))
$$;

-- May the caller alter the table?
CREATE FUNCTION multitenant._is_owner(rel regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid = rel
$$;

CREATE FUNCTION multitenant._owner(rel regclass) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = rel
$$;

-- About how many rows the table and everything below it hold. The planner's own way: rows per page as of the last
-- ANALYZE, times the pages of now; a table never analysed is taken to have rows of 100 bytes. Nothing of tables that are
-- not the caller's.
CREATE FUNCTION multitenant._estimated_rows(rel regclass) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(sum(CASE
		WHEN c.reltuples >= 0 AND c.relpages > 0
			THEN c.reltuples / c.relpages * multitenant._blocks_of(c.oid)
		ELSE multitenant._blocks_of(c.oid) * current_setting('block_size')::int / 100 END), 0)::bigint
	FROM multitenant._tree(rel) t JOIN pg_catalog.pg_class c ON c.oid = t.member
	WHERE c.relkind = 'r'
$$;

-- Is the table larger than what may be scanned in one go?
CREATE FUNCTION multitenant._is_large(rel regclass) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._estimated_rows(rel)
		> coalesce(nullif(current_setting('multitenant.maximum_inline_rows', true), ''), '1000000')::bigint
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Names of what is made
-- ---------------------------------------------------------------------------------------------------------------

-- A name in the server's own manner (table_columns_suffix), clipped to 63 bytes, not yet taken in the schema.
CREATE FUNCTION multitenant._free_name(rel regclass, columns name[], suffix text) RETURNS name
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	stem text;
	tail text := '_' || suffix;
	schema_oid oid;
	attempt int := 0;
BEGIN
	SELECT c.relname || '_' || array_to_string(columns, '_'), c.relnamespace INTO stem, schema_oid
	FROM pg_catalog.pg_class c WHERE c.oid = rel;
	LOOP
		WHILE octet_length(stem || tail) > 63 LOOP
			stem := left(stem, -1);
		END LOOP;
		EXIT WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_class c
							  WHERE c.relnamespace = schema_oid AND c.relname = stem || tail)
			  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c
							  WHERE c.conrelid = rel AND c.conname = stem || tail);
		attempt := attempt + 1;
		tail := '_' || suffix || attempt;
	END LOOP;
	RETURN stem || tail;
END
$$;

-- The name under which plan() prepares something. It is computed, not chosen: planning again and protect() must
-- recognise what an earlier run has prepared.
CREATE FUNCTION multitenant._staged_name(rel regclass, purpose text) RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ('multitenant_staged_' || lpad(to_hex(hashtextextended(rel::text || ' ' || purpose, 0)), 16, '0'))::name
$$;

-- The index of that name on that table; NULL when there is none.
CREATE FUNCTION multitenant._staged_index(rel regclass, purpose text) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.indexrelid::regclass FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE i.indrelid = rel AND c.relname = multitenant._staged_name(rel, purpose)
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Preconditions
-- ---------------------------------------------------------------------------------------------------------------

-- A table that may have a class at all: the caller's own, ordinary or partitioned, permanent, nobody's internal.
CREATE FUNCTION multitenant._check_table(rel regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c record;
BEGIN
	-- Where the library is not preloaded, the first C function loads it, and with it the label provider and the guard.
	PERFORM multitenant._library();
	IF rel IS NULL THEN
		RAISE EXCEPTION 'no table given'
			USING ERRCODE = '22004', HINT = 'Name the table, for example multitenant.protect(''app.orders'').';
	END IF;
	SELECT r.relkind, r.relpersistence, r.relispartition, n.nspname INTO c
	FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = rel;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'relation with OID % does not exist', rel::oid
			USING ERRCODE = '42P01', HINT = 'Name an existing table.';
	ELSIF c.relkind NOT IN ('r', 'p') THEN
		RAISE EXCEPTION '% is not a table', rel
			USING ERRCODE = '42809', HINT = 'Name an ordinary or partitioned table; views follow the tables they read.';
	ELSIF c.relpersistence = 't' THEN
		RAISE EXCEPTION '% is a temporary table', rel
			USING ERRCODE = '22023', HINT = 'Name a permanent table; a temporary one is seen by its session alone.';
	ELSIF NOT multitenant._is_application_schema(c.nspname) THEN
		RAISE EXCEPTION '% is a system table', rel
			USING ERRCODE = '22023', HINT = 'Name a table of the application.';
	ELSIF c.relispartition THEN
		RAISE EXCEPTION '% is a partition', rel
			USING ERRCODE = '42809',
				  HINT = format('Name the partitioned table %s; its partitions follow it.',
					(SELECT a.relid FROM pg_partition_ancestors(rel) a ORDER BY a.relid = pg_partition_root(rel) DESC LIMIT 1));
	ELSIF NOT multitenant._is_owner(rel) THEN
		RAISE EXCEPTION 'must be owner of table %', rel
			USING ERRCODE = '42501', HINT = 'Run this as the table''s owner or as a member of that role.';
	END IF;
END
$$;

-- A column that can carry the tenant.
CREATE FUNCTION multitenant._check_column(rel regclass, column_name name) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a record;
BEGIN
	IF column_name IS NULL THEN
		RAISE EXCEPTION 'no tenant column given'
			USING ERRCODE = '22004', HINT = 'Name the column that says whose a row is, or leave the argument out for tenant_id.';
	END IF;
	SELECT t.atttypid, t.attgenerated, t.attidentity, coalesce(l.collisdeterministic, true) AS is_deterministic INTO a
	FROM pg_catalog.pg_attribute t LEFT JOIN pg_catalog.pg_collation l ON l.oid = t.attcollation
	WHERE t.attrelid = rel AND t.attname = column_name AND t.attnum > 0 AND NOT t.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'column % of table % does not exist', quote_ident(column_name), rel
			USING ERRCODE = '42703',
				  HINT = format('Add it with CALL multitenant.add_tenant_column(%L, %L), or name the tenant column in the '
								'second argument.', rel, column_name);
	ELSIF multitenant._accessor(a.atttypid) IS NULL THEN
		RAISE EXCEPTION 'column % of table % has type %', quote_ident(column_name), rel, format_type(a.atttypid, NULL)
			USING ERRCODE = '42804', HINT = 'The tenant column must be of type uuid, bigint, integer, text or varchar.';
	ELSIF a.attgenerated <> '' OR a.attidentity <> '' THEN
		RAISE EXCEPTION 'column % of table % is generated', quote_ident(column_name), rel
			USING ERRCODE = '22023', HINT = 'Use a plain column; its default has to be the tenant of the transaction.';
	ELSIF NOT a.is_deterministic THEN
		RAISE EXCEPTION 'column % of table % has a nondeterministic collation', quote_ident(column_name), rel
			USING ERRCODE = '42804',
				  HINT = 'Give the column a deterministic collation; otherwise two tenants could compare equal.';
	END IF;
END
$$;

-- That there are the permissions of a resource, and a column that can carry a scope.
CREATE FUNCTION multitenant._check_permissions(rel regclass, column_name name, resource text, scope name) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a record;
	missing text[];
BEGIN
	IF resource IS NULL AND scope IS NOT NULL THEN
		RAISE EXCEPTION 'a scope column says nothing without permissions'
			USING ERRCODE = '22023', HINT = 'Name the resource whose permissions statements need, for example permissions => ''vm''.';
	ELSIF resource !~ '^[a-z][a-z0-9_.-]{0,62}$' THEN
		RAISE EXCEPTION '"%" is not the name of a resource', resource
			USING ERRCODE = '22023',
				  HINT = 'Name what stands before the colon of its permissions: lower case letters, digits, "_", "." and "-", at most 63.';
	END IF;
	missing := ARRAY(SELECT p.name FROM unnest(ARRAY['read', 'create', 'update', 'delete']) WITH ORDINALITY AS x(action, n)
					 CROSS JOIN LATERAL (SELECT resource || ':' || x.action) AS p(name)
					 WHERE NOT EXISTS (SELECT FROM multitenant.permissions k WHERE k.name = p.name) ORDER BY x.n);
	IF resource IS NOT NULL AND cardinality(missing) > 0 THEN
		RAISE EXCEPTION 'there is no permission %', array_to_string(missing, ', ')
			USING ERRCODE = '42704',
				  HINT = format('Create each of them first: SELECT multitenant.create_permission(%L, description).', missing[1]);
	ELSIF scope IS NULL THEN
		RETURN;
	END IF;
	SELECT t.atttypid, t.attgenerated INTO a FROM pg_catalog.pg_attribute t
	WHERE t.attrelid = rel AND t.attname = scope AND t.attnum > 0 AND NOT t.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'column % of table % does not exist', quote_ident(scope), rel
			USING ERRCODE = '42703', HINT = 'Name the column that says in which scope a row is.';
	ELSIF scope = column_name THEN
		RAISE EXCEPTION 'column % of table % is the tenant column', quote_ident(scope), rel
			USING ERRCODE = '22023', HINT = 'Name the column that says in which scope of its tenant a row is.';
	ELSIF multitenant._accessor(a.atttypid) IS NULL THEN
		RAISE EXCEPTION 'column % of table % has type %', quote_ident(scope), rel, format_type(a.atttypid, NULL)
			USING ERRCODE = '42804', HINT = 'The scope column must be of type uuid, bigint, integer, text or varchar.';
	ELSIF a.attgenerated <> '' THEN
		RAISE EXCEPTION 'column % of table % is generated', quote_ident(scope), rel
			USING ERRCODE = '22023', HINT = 'Use a plain column.';
	END IF;
END
$$;

-- Nobody's class is changed silently, nor a tenant column replaced by another.
CREATE FUNCTION multitenant._check_class(rel regclass, class text, column_name name) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present_class text := multitenant._label_class(rel);
	present_column name := multitenant._tenant_column(rel);
BEGIN
	IF present_class <> class THEN
		RAISE EXCEPTION 'table % already is of class %', rel, present_class
			USING ERRCODE = '55000', HINT = format('Give it back with multitenant.unprotect(%L) first.', rel);
	ELSIF (multitenant._is_protected(rel) OR multitenant._is_observed(rel)) AND present_column <> column_name THEN
		RAISE EXCEPTION 'table % already is % by its column %', rel,
			CASE WHEN multitenant._is_protected(rel) THEN 'protected' ELSE 'observed' END, quote_ident(present_column)
			USING ERRCODE = '55000',
				  HINT = format('Name that column, or give the table back with multitenant.unprotect(%L) first.', rel);
	ELSIF multitenant._label_json(rel) ->> 'mode' = 'paused' THEN
		RAISE EXCEPTION 'protection of table % is paused', rel
			USING ERRCODE = '55000', HINT = format('End the pause with multitenant.repair(%L).', rel);
	END IF;
END
$$;

-- Everything below the table must be able to have row security, and belong to the role that the table belongs to:
-- commands on the table reach below it with that role's rights, and run code that others have attached there.
CREATE FUNCTION multitenant._check_tree(rel regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
BEGIN
	FOR m IN SELECT t.member, c.relkind, c.relowner, t.depth FROM multitenant._tree(rel) t
			 JOIN pg_catalog.pg_class c ON c.oid = t.member WHERE t.depth > 0 LOOP
		IF m.relkind NOT IN ('r', 'p') THEN
			RAISE EXCEPTION '% below table % is a foreign table', m.member, rel
				USING ERRCODE = '42809', HINT = 'Detach it; a foreign table cannot have row level security.';
		ELSIF m.relowner <> multitenant._owner(rel) THEN
			RAISE EXCEPTION 'table %, which is below %, belongs to another role', m.member, rel
				USING ERRCODE = '42501',
					  HINT = format('Give it to the owner of the whole tree: ALTER TABLE %s OWNER TO %s.', m.member,
									multitenant._owner(rel)::regrole);
		END IF;
	END LOOP;
END
$$;

-- A foreign key is validated, and followed by add_tenant_column(), with the rights of the referring table's owner; the
-- planner runs code that belongs to the referenced table's owner meanwhile. A superuser's table must not lend itself.
CREATE FUNCTION multitenant._check_trust(child regclass, parent regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = multitenant._owner(child))
	   AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = multitenant._owner(parent)) THEN
		RAISE EXCEPTION 'table % of a superuser refers to table % of another role', child, parent
			USING ERRCODE = '42501',
				  HINT = format('Give both to one owner, for example: ALTER TABLE %s OWNER TO %s.', child,
								multitenant._owner(parent)::regrole);
	END IF;
END
$$;

-- Restrictive policies act in the order of their names, as bytes, and one that comes before ours sees every row.
CREATE FUNCTION multitenant._check_policies(rel regclass, class text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p record;
	last_name name := CASE class WHEN 'shared_rows' THEN 'multitenant_isolation_update' ELSE 'multitenant_scope_update' END;
BEGIN
	FOR p IN SELECT t.member, x.polname FROM multitenant._tree(rel) t
			 JOIN pg_catalog.pg_policy x ON x.polrelid = t.member
			 WHERE NOT x.polpermissive AND x.polname < last_name AND NOT x.polname = ANY (multitenant._policy_names())
			 ORDER BY t.depth, x.polname LIMIT 1 LOOP
		RAISE EXCEPTION 'restrictive policy % of table % is evaluated before those that separate tenants',
			quote_ident(p.polname), p.member
			USING ERRCODE = '55000',
				  HINT = format('Rename it so that it sorts after %s: ALTER POLICY %I ON %s RENAME TO %I.', last_name,
								p.polname, p.member, ('zzz_' || p.polname)::name);
	END LOOP;
END
$$;

-- How many of the values name no registered tenant. Only for who may look up tenants; others see none of them.
CREATE FUNCTION multitenant._count_unregistered(column_type oid, vals text[]) RETURNS bigint
LANGUAGE sql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT count(*) FROM unnest(vals) AS v(value)
	WHERE NOT CASE multitenant._accessor(column_type)
		WHEN 'multitenant.current_tenant()' THEN EXISTS (SELECT FROM multitenant.tenants t WHERE t.id = v.value::uuid)
		WHEN 'multitenant.current_tenant_slug()' THEN EXISTS (SELECT FROM multitenant.tenants t WHERE t.slug = v.value)
		ELSE EXISTS (SELECT FROM multitenant.tenants t WHERE t.number = v.value::bigint) END
$$;

-- What the rows themselves say against protection. Only for a table that is not protected yet, which its owner can
-- therefore read, and not for one too large to scan.
CREATE FUNCTION multitenant._check_rows(rel regclass, column_name name, may_be_null boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bad bigint;
	vals text[];
BEGIN
	IF NOT may_be_null THEN
		bad := multitenant._query_as_owner(rel, format('SELECT count(*) FROM %s WHERE %I IS NULL', rel, column_name));
		IF bad > 0 THEN
			RAISE EXCEPTION 'column % of table % contains null values', quote_ident(column_name), rel
				USING ERRCODE = '23502',
					  DETAIL = format('Rows without a tenant: %s.', bad),
					  HINT = format('Give every row its tenant, for example with CALL multitenant.add_tenant_column(%L, %L).',
									rel, column_name);
		END IF;
	END IF;
	-- Security: for everybody else the answer would tell which tenants exist. _report_steps() says that it is missing.
	IF NOT multitenant._has('see_tenants') THEN
		RETURN;
	END IF;
	vals := multitenant._query_as_owner(rel, format('SELECT array_agg(DISTINCT %1$I::text) FROM %2$s WHERE %1$I IS NOT NULL',
													column_name, rel));
	bad := multitenant._count_unregistered(
		(SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attname = column_name), vals);
	IF bad > 0 THEN
		RAISE EXCEPTION 'rows of table % name a tenant that is not registered', rel
			USING ERRCODE = '23503',
				  DETAIL = format('Values of column %I that are no tenant: %s.', column_name, bad),
				  HINT = 'Register each of them with multitenant.create_tenant(), or correct the rows.';
	END IF;
END
$$;
