/*
 * keys_fk.sql
 *	  Keys of tenants' tables: what is unique becomes unique within the tenant, what refers stays within the tenant.
 *
 * A UNIQUE without the tenant lets one tenant learn another's values (23505) and keeps it from using them; a foreign
 * key without the tenant lets it point at another's rows. The rules:
 *
 *	 primary key of one uuid		stays, nobody can guess it
 *	 primary key of one integer		stays, programs rely on it; reported
 *	 any other unique key			gets the tenant as its first column, under its old name
 *	 foreign key between tenants' tables	becomes (tenant, columns) -> (tenant, columns), under its old name; the
 *									referenced table gets the unique key that this needs
 *	 MATCH FULL of several columns, ON UPDATE SET NULL or SET DEFAULT
 *									cannot be said with the tenant in the key (the action would clear the tenant, the
 *									match would forbid a row without a reference): the old key stays for its action,
 *									and a composite one beside it keeps the reference within the tenant
 *
 * Both rebuild the old key from the present one by leaving out the tenant column, so undo is only names.
 */

-- The class of a table by its label, or by its policies where a restore lost the label. What is only observed has none.
CREATE FUNCTION multitenant._class_of(rel regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(CASE WHEN NOT multitenant._is_observed(rel) THEN multitenant._label_class(rel) END,
		(SELECT CASE WHEN bool_or(p.polname = 'multitenant_isolation_insert') THEN 'shared_rows'
				WHEN count(*) > 0 THEN 'tenant' END
		 FROM pg_catalog.pg_policy p WHERE p.polrelid = rel AND p.polname = ANY (multitenant._policy_names())))
$$;

-- Names of the columns with these numbers, in that order.
CREATE FUNCTION multitenant._column_names(rel regclass, numbers int2[]) RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(numbers) WITH ORDINALITY AS k(number, n)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attnum = k.number
$$;

CREATE FUNCTION multitenant._quoted_list(columns name[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(quote_ident(c), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS u(c, n)
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Foreign keys
-- ---------------------------------------------------------------------------------------------------------------

-- NOT ENFORCED and PERIOD came with PostgreSQL 18, whose columns earlier catalogs do not have.
CREATE FUNCTION multitenant._is_enforced(c pg_catalog.pg_constraint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
$$;

CREATE FUNCTION multitenant._is_temporal(c pg_catalog.pg_constraint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false)
$$;

-- The tenant column of the other end of a foreign key of rel; NULL where that is no tenant's table (and will not
-- become one in the same run).
CREATE FUNCTION multitenant._tenant_column_at(other regclass, rel regclass, column_name name, together regclass[])
RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN EXISTS (SELECT FROM multitenant._tree(rel) t WHERE t.member = other) THEN column_name
		WHEN multitenant._class_of(other) = 'tenant' THEN multitenant._tenant_column(other)
		WHEN coalesce(pg_partition_root(other), other) = ANY (together) THEN column_name END
$$;

-- A foreign key as one composite with the tenant would be written (with_tenant), or as the present one without its
-- tenant columns. SET NULL and SET DEFAULT are limited to the columns that referred before.
CREATE FUNCTION multitenant._foreign_key_definition(con oid, child_tenant name, parent_tenant name, with_tenant boolean,
													names_set_columns boolean, is_match_full boolean)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c pg_catalog.pg_constraint;
	child_columns name[];
	parent_columns name[];
	set_columns name[];
BEGIN
	SELECT * INTO c FROM pg_catalog.pg_constraint WHERE oid = con;
	child_columns := multitenant._column_names(c.conrelid, c.conkey);
	parent_columns := multitenant._column_names(c.confrelid, c.confkey);
	set_columns := coalesce(multitenant._column_names(c.conrelid, c.confdelsetcols), child_columns);
	IF with_tenant THEN
		child_columns := child_tenant || child_columns;
		parent_columns := parent_tenant || parent_columns;
	ELSE
		child_columns := child_columns[2:];
		parent_columns := parent_columns[2:];
	END IF;
	RETURN format('FOREIGN KEY (%s) REFERENCES %s(%s)', multitenant._quoted_list(child_columns), c.confrelid::regclass,
				  multitenant._quoted_list(parent_columns))
		-- Of one column, MATCH FULL says the same as MATCH SIMPLE; unprotect() says it again.
		|| CASE WHEN is_match_full THEN ' MATCH FULL' ELSE '' END
		|| CASE c.confupdtype WHEN 'c' THEN ' ON UPDATE CASCADE' WHEN 'r' THEN ' ON UPDATE RESTRICT' ELSE '' END
		|| CASE c.confdeltype WHEN 'c' THEN ' ON DELETE CASCADE' WHEN 'r' THEN ' ON DELETE RESTRICT'
			WHEN 'n' THEN ' ON DELETE SET NULL' WHEN 'd' THEN ' ON DELETE SET DEFAULT' ELSE '' END
		|| CASE WHEN c.confdeltype IN ('n', 'd') AND names_set_columns
			THEN format(' (%s)', multitenant._quoted_list(set_columns)) ELSE '' END
		|| CASE WHEN c.condeferrable THEN ' DEFERRABLE' ELSE '' END
		|| CASE WHEN c.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
		|| CASE WHEN NOT c.convalidated THEN ' NOT VALID' ELSE '' END;
END
$$;

-- The composite key beside one that has to stay: it only keeps the reference within the tenant, actions are the
-- other's.
CREATE FUNCTION multitenant._companion_definition(con oid, child_tenant name, parent_tenant name) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('FOREIGN KEY (%s) REFERENCES %s(%s)',
			multitenant._quoted_list(child_tenant || multitenant._column_names(c.conrelid, c.conkey)),
			c.confrelid::regclass,
			multitenant._quoted_list(parent_tenant || multitenant._column_names(c.confrelid, c.confkey)))
		|| CASE WHEN c.condeferrable THEN ' DEFERRABLE' ELSE '' END
		|| CASE WHEN c.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
		|| CASE WHEN NOT c.convalidated THEN ' NOT VALID' ELSE '' END
	FROM pg_catalog.pg_constraint c WHERE c.oid = con
$$;

-- Is there another foreign key that already ties the same columns together with the tenant?
CREATE FUNCTION multitenant._is_tied(con oid, child_tenant name, parent_tenant name) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (
		SELECT FROM pg_catalog.pg_constraint k
		JOIN pg_catalog.pg_constraint o ON o.conrelid = k.conrelid AND o.contype = 'f' AND o.confrelid = k.confrelid
		JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attname = child_tenant
		JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attname = parent_tenant
		WHERE k.oid = con AND o.conname !~ '^multitenant_staged_' AND multitenant._is_enforced(o)
		  AND NOT EXISTS (
				SELECT FROM unnest(k.conkey || a.attnum, k.confkey || b.attnum) AS wanted(child_number, parent_number)
				WHERE NOT EXISTS (SELECT FROM unnest(o.conkey, o.confkey) AS p(child_number, parent_number)
								  WHERE p.child_number = wanted.child_number
									AND p.parent_number = wanted.parent_number)))
$$;

-- The same kind of value, so that one foreign key can compare both?
CREATE FUNCTION multitenant._are_comparable(child regclass, child_column name, parent regclass, parent_column name)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(bool_and(multitenant._accessor(a.atttypid) = multitenant._accessor(b.atttypid)
			OR (a.atttypid IN ('int4'::regtype, 'int8'::regtype) AND b.atttypid IN ('int4'::regtype, 'int8'::regtype))),
		false)
	FROM pg_catalog.pg_attribute a, pg_catalog.pg_attribute b
	WHERE a.attrelid = child AND a.attname = child_column AND b.attrelid = parent AND b.attname = parent_column
$$;

-- A foreign key that does not stay within the tenant yet; "handling" is what is to be done with it: replace, companion
-- or leave.
CREATE TYPE multitenant._reference AS (
	con oid,
	con_name name,
	child regclass,
	child_tenant name,
	parent regclass,
	parent_tenant name,
	parent_columns name[],
	parent_index regclass,
	is_validated boolean,
	handling text,
	note text
);

-- Such foreign keys to and from the table.
CREATE FUNCTION multitenant._references(rel regclass, column_name name, together regclass[])
RETURNS SETOF multitenant._reference
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	members oid[] := ARRAY(SELECT t.member FROM multitenant._tree(rel) t);
	k pg_catalog.pg_constraint;
	r multitenant._reference;
BEGIN
	FOR k IN SELECT c.* FROM pg_catalog.pg_constraint c
			 WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conname !~ '^multitenant_staged_'
			   AND (c.conrelid = ANY (members) OR c.confrelid = ANY (members))
			 ORDER BY c.conrelid::regclass::text COLLATE "C", c.conname LOOP
		r.con := k.oid;
		r.con_name := k.conname;
		r.child := k.conrelid;
		r.parent := k.confrelid;
		r.parent_columns := multitenant._column_names(k.confrelid, k.confkey);
		r.parent_index := k.conindid;
		r.is_validated := k.convalidated;
		r.child_tenant := multitenant._tenant_column_at(r.child, rel, column_name, together);
		r.parent_tenant := multitenant._tenant_column_at(r.parent, rel, column_name, together);
		r.handling := 'leave';
		r.note := NULL;
		-- The table that comes first in a run takes care of what it shares with the later ones.
		CONTINUE WHEN array_position(together, coalesce(pg_partition_root(r.child), r.child)) < array_position(together, rel)
			OR array_position(together, coalesce(pg_partition_root(r.parent), r.parent)) < array_position(together, rel);
		IF r.child_tenant IS NULL OR r.parent_tenant IS NULL THEN
			r.note := format('foreign key %I of %s stays as it is: %s is no tenant''s table', r.con_name, r.child,
							 CASE WHEN r.parent_tenant IS NULL THEN r.parent ELSE r.child END);
		ELSIF NOT multitenant._is_enforced(k) THEN
			r.note := format('foreign key %I of %s stays as it is: it is not enforced', r.con_name, r.child);
		ELSIF multitenant._is_tied(r.con, r.child_tenant, r.parent_tenant) THEN
			CONTINUE;
		ELSIF r.child_tenant = ANY (multitenant._column_names(r.child, k.conkey))
			OR r.parent_tenant = ANY (r.parent_columns) THEN
			r.note := format('foreign key %I of %s stays as it is: it uses a tenant column for something else', r.con_name,
						   r.child);
		ELSIF multitenant._is_temporal(k) THEN
			r.note := format('foreign key %I of %s stays as it is: it compares periods, so its errors tell whether another '
							 'tenant has a value', r.con_name, r.child);
		ELSIF NOT multitenant._are_comparable(r.child, r.child_tenant, r.parent, r.parent_tenant) THEN
			r.note := format('foreign key %I of %s stays as it is: the tenant columns of %s and %s differ in type',
						   r.con_name, r.child, r.child, r.parent);
		ELSIF k.confupdtype IN ('n', 'd') OR (k.confmatchtype = 'f' AND cardinality(k.conkey) > 1) THEN
			r.handling := 'companion';
			r.note := format('foreign key %I of %s stays for its %s, which a key with the tenant in it cannot have; its errors '
							 'tell whether another tenant has a value', r.con_name, r.child,
							 CASE WHEN k.confupdtype IN ('n', 'd') THEN 'ON UPDATE action' ELSE 'MATCH FULL' END);
		ELSE
			r.handling := 'replace';
			IF k.confmatchtype = 'f' THEN
				r.note := 'MATCH FULL of one column is the same as MATCH SIMPLE';
			END IF;
		END IF;
		RETURN NEXT r;
	END LOOP;
END
$$;

-- Rows that refer to another tenant's row, counted before anything is done. Only between tables of one owner, who can
-- still read them in full; otherwise the validation of the new key finds the first of them.
CREATE FUNCTION multitenant._check_references(rel regclass, column_name name, together regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r record;
	bad bigint;
BEGIN
	FOR r IN SELECT f.*, (SELECT string_agg(format('c.%I OPERATOR(%I.%s) p.%I', a.attname, n.nspname, o.oprname, b.attname),
											' AND ')
						  FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS x(child_number, parent_number, operator)
						  JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.child_number
						  JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = x.parent_number
						  JOIN pg_catalog.pg_operator o ON o.oid = x.operator
						  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace) AS join_condition
			 FROM multitenant._references(rel, column_name, together) f JOIN pg_catalog.pg_constraint k ON k.oid = f.con
			 WHERE f.handling <> 'leave' LOOP
		CONTINUE WHEN NOT r.is_validated OR multitenant._is_large(r.child)
			OR multitenant._owner(r.child) <> multitenant._owner(r.parent)
			OR multitenant._is_protected(r.child) OR multitenant._is_protected(r.parent);
		bad := multitenant._query_as_owner(r.child, format('SELECT count(*) FROM %s c JOIN %s p ON %s WHERE c.%I <> p.%I',
			r.child, r.parent, r.join_condition, r.child_tenant, r.parent_tenant));
		IF bad > 0 THEN
			RAISE EXCEPTION 'rows of table % refer to rows of another tenant in table %', r.child, r.parent
				USING ERRCODE = '23503',
					  DETAIL = format('Foreign key %I: rows that cross tenants: %s.', r.con_name, bad),
					  HINT = 'Correct the tenant of the referring or of the referenced rows, then try again.';
		END IF;
	END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Unique keys
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._deferrability(is_deferrable boolean, is_deferred boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN is_deferrable THEN ' DEFERRABLE' ELSE '' END
		|| CASE WHEN is_deferred THEN ' INITIALLY DEFERRED' ELSE '' END
$$;

-- A unique constraint over these columns with everything else as the present index has it.
CREATE FUNCTION multitenant._unique_definition(index_oid oid, columns name[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN i.indisprimary THEN 'PRIMARY KEY' ELSE 'UNIQUE' END
		|| CASE WHEN i.indnullsnotdistinct THEN ' NULLS NOT DISTINCT' ELSE '' END
		|| format(' (%s)', multitenant._quoted_list(columns))
		|| coalesce(' INCLUDE (' || multitenant._quoted_list(
				multitenant._column_names(i.indrelid, (i.indkey::int2[])[i.indnkeyatts:])) || ')', '')
		|| coalesce(' WITH (' || (SELECT string_agg(format('%I = %L', split_part(o, '=', 1), split_part(o, '=', 2)), ', ')
									FROM unnest(x.reloptions) o) || ')', '')
		|| coalesce(' USING INDEX TABLESPACE ' || quote_ident(t.spcname), '')
		|| multitenant._deferrability(k.condeferrable, k.condeferred)
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
	LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = x.reltablespace
	LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
	WHERE i.indexrelid = index_oid
$$;

-- Key columns of an index (an expression has no name and is left out).
CREATE FUNCTION multitenant._key_columns(index_oid oid) RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(multitenant._column_names(i.indrelid, (i.indkey::int2[])[0:i.indnkeyatts - 1]), '{}')
	FROM pg_catalog.pg_index i WHERE i.indexrelid = index_oid
$$;

-- What follows the name in CREATE UNIQUE INDEX, the tenant column put in front (with_tenant) or taken away. pg_get_indexdef() starts with a
-- text that can be foretold to the letter; if it ever does not, this is an error and not a guess.
CREATE FUNCTION multitenant._unique_index_definition(index_oid oid, tenant_column name, with_tenant boolean)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	definition text := pg_get_indexdef(index_oid);
	head text;
	rest text;
	own record;
BEGIN
	SELECT c.relname, i.indrelid::regclass AS rel, c.relkind = 'I' AS is_partitioned INTO own
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indexrelid = index_oid;
	head := format('CREATE UNIQUE INDEX %I ON %s%s USING btree (', own.relname,
				   CASE WHEN own.is_partitioned THEN 'ONLY ' ELSE '' END, own.rel);
	IF NOT with_tenant THEN
		head := head || quote_ident(tenant_column) || ', ';
	END IF;
	IF NOT starts_with(definition, head) THEN
		RAISE EXCEPTION 'cannot read the definition of index %', index_oid::regclass
			USING ERRCODE = '55000', DETAIL = definition, HINT = 'Drop the index, protect the table, and create it again.';
	END IF;
	rest := substr(definition, length(head) + 1);
	RETURN format('ON %s USING btree (%s', own.rel,
				  CASE WHEN with_tenant THEN quote_ident(tenant_column) || ', ' ELSE '' END) || rest;
END
$$;

-- Does anything but foreign keys in "released" hold on to the index or its constraint?
CREATE FUNCTION multitenant._holder_of(index_oid oid, released oid[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
	FROM pg_catalog.pg_depend d
	LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = index_oid AND k.contype IN ('p', 'u')
	LEFT JOIN pg_catalog.pg_constraint f ON d.classid = 'pg_catalog.pg_constraint'::regclass AND f.oid = d.objid
	WHERE ((d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = index_oid)
		OR (d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.refobjid = k.oid))
	  AND d.deptype = 'n' AND NOT coalesce(f.oid = ANY (released) OR f.conparentid = ANY (released), false)
	  AND coalesce(f.conname !~ '^multitenant_staged_', true)
	ORDER BY 1 LIMIT 1
$$;

-- What becomes of one unique index: keep or convert, and what to say about it.
CREATE FUNCTION multitenant._unique_rule(index_oid oid, released oid[], OUT handling text, OUT note text)
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	i record;
	key_types oid[];
	holder text;
BEGIN
	SELECT x.*, x.indrelid::regclass AS rel, c.relname INTO i
	FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid WHERE x.indexrelid = index_oid;
	handling := 'keep';
	key_types := ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a
					   WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]));
	IF i.indisprimary AND key_types <@ ARRAY['uuid'::regtype::oid] THEN
		RETURN;
	ELSIF i.indisprimary AND cardinality(key_types) = 1
		AND key_types <@ ARRAY['int2'::regtype::oid, 'int4'::regtype, 'int8'::regtype] THEN
		note := format('primary key %I of %s stays: numbers can be guessed, an INSERT tells whether another tenant has one',
					   i.relname, i.rel);
		RETURN;
	END IF;
	IF i.indisexclusion THEN
		note := format('exclusion constraint %I of %s stays: it compares the rows of all tenants', i.relname, i.rel);
	ELSIF i.indisreplident OR i.indisclustered THEN
		note := format('unique index %I of %s stays: it is the table''s replica identity or cluster order', i.relname, i.rel);
	ELSE
		holder := multitenant._holder_of(index_oid, released);
		IF holder IS NOT NULL THEN
			note := format('unique index %I of %s stays: %s depends on it', i.relname, i.rel, holder);
		ELSE
			handling := 'convert';
			note := 'unique within a tenant from now on; ON CONFLICT (columns) has to name the tenant column as well';
		END IF;
	END IF;
END
$$;

-- Indexes of partitions below one of their parent: their names do not survive the parent's constraint.
CREATE FUNCTION multitenant._member_indexes(index_oid oid) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_agg(multitenant._named(i.indrelid) || jsonb_build_object('name', c.relname) ORDER BY t.member::text COLLATE "C")
	FROM multitenant._tree(index_oid) t JOIN pg_catalog.pg_index i ON i.indexrelid = t.member
	JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE t.depth > 0
$$;

-- Undo for something on "at" that the label of "target" remembers.
CREATE FUNCTION multitenant._undo_at(kind text, object_name name, at regclass, target regclass) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_build_object('kind', kind, 'name', object_name)
		|| CASE WHEN at = target THEN '{}'::jsonb ELSE multitenant._named(at) END
$$;

-- Puts the tenant in front of one unique key, in its place and under its name.
CREATE FUNCTION multitenant._convert_steps(index_oid oid, tenant_column name, target regclass, remark text)
RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	i record;
	staged regclass;
	undo jsonb;
	preparation text[];
BEGIN
	SELECT x.indrelid::regclass AS rel, x.indpred IS NOT NULL AS is_partial, x.indisprimary, c.relname, k.conname,
		   x.indexrelid::regclass AS index_name, k.condeferrable, k.condeferred, c.relkind
	INTO i FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
	LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = x.indexrelid AND k.contype IN ('p', 'u')
	WHERE x.indexrelid = index_oid;
	staged := multitenant._valid_staged_index(i.rel, 'unique ' || i.relname);
	undo := multitenant._undo_at(CASE WHEN i.conname IS NULL THEN 'unique_index' ELSE 'unique' END,
								 coalesce(i.conname, i.relname), i.rel, target)
		|| jsonb_strip_nulls(jsonb_build_object('partial', nullif(i.is_partial, false),
												'members', multitenant._member_indexes(index_oid)));
	-- A partitioned table's unique index cannot be built concurrently.
	IF i.relkind = 'i' THEN
		preparation := multitenant._staged_index_command(i.rel, 'unique ' || i.relname, 'UNIQUE INDEX CONCURRENTLY',
			multitenant._unique_index_definition(index_oid, tenant_column, true));
	END IF;
	IF i.conname IS NULL THEN
		RETURN NEXT (format('DROP INDEX %s', i.index_name), 'ACCESS EXCLUSIVE', true, NULL, NULL, target, NULL,
					 NULL)::multitenant._step;
		RETURN NEXT (CASE WHEN staged IS NULL
						THEN format('CREATE UNIQUE INDEX %I %s', i.relname,
									multitenant._unique_index_definition(index_oid, tenant_column, true))
						ELSE format('ALTER INDEX %s RENAME TO %I', staged, i.relname) END,
					 CASE WHEN staged IS NULL THEN 'SHARE' ELSE 'SHARE UPDATE EXCLUSIVE' END, true, remark, undo, target,
					 CASE WHEN staged IS NULL THEN i.rel END, preparation)::multitenant._step;
	ELSE
		RETURN NEXT (format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', i.rel, i.conname, i.conname,
			CASE WHEN staged IS NULL
				THEN multitenant._unique_definition(index_oid, tenant_column || multitenant._key_columns(index_oid))
				ELSE format('%s USING INDEX %I%s', CASE WHEN i.indisprimary THEN 'PRIMARY KEY' ELSE 'UNIQUE' END,
							multitenant._staged_name(i.rel, 'unique ' || i.relname),
							multitenant._deferrability(i.condeferrable, i.condeferred)) END),
			'ACCESS EXCLUSIVE', true, remark, undo, target, CASE WHEN staged IS NULL THEN i.rel END, preparation)::multitenant._step;
	END IF;
END
$$;

-- Can a foreign key refer to exactly these columns?
CREATE FUNCTION multitenant._has_key(rel regclass, columns name[]) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (
		SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = rel AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
		  AND i.indexprs IS NULL AND c.relname !~ '^multitenant_staged_'
		  AND multitenant._key_columns(i.indexrelid) @> columns AND i.indnkeyatts = cardinality(columns))
$$;

-- The unique key that a composite foreign key refers to.
CREATE FUNCTION multitenant._add_key_step(parent regclass, columns name[], target regclass) RETURNS multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key_name name := multitenant._free_name(parent, columns, 'key');
	purpose text := 'key ' || array_to_string(columns, ' ');
	staged regclass := multitenant._valid_staged_index(parent, purpose);
BEGIN
	IF NOT multitenant._is_owner(parent) THEN
		RAISE EXCEPTION 'table % needs a unique key on (%)', parent, multitenant._quoted_list(columns)
			USING ERRCODE = '42501', HINT = format('Run this as a role that owns %s too.', parent);
	END IF;
	RETURN (format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE %s', parent, key_name,
				   CASE WHEN staged IS NULL THEN format('(%s)', multitenant._quoted_list(columns))
				   ELSE format('USING INDEX %I', multitenant._staged_name(parent, purpose)) END),
			'ACCESS EXCLUSIVE', true, 'for foreign keys that include the tenant',
			multitenant._undo_at('key', key_name, parent, target), target, CASE WHEN staged IS NULL THEN parent END,
			CASE WHEN (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = parent) = 'r' THEN
				multitenant._staged_index_command(parent, purpose, 'UNIQUE INDEX CONCURRENTLY',
					format('ON %s USING btree (%s)', parent, multitenant._quoted_list(columns))) END)::multitenant._step;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- The order of it all
-- ---------------------------------------------------------------------------------------------------------------

-- Unique indexes that the rules have to look at: the table's own, and those that released foreign keys referred to.
-- Indexes of partitions follow their parent's.
CREATE FUNCTION multitenant._global_keys(rel regclass, column_name name, refs multitenant._reference[])
RETURNS TABLE(index_oid oid, tenant_column name)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.indexrelid, k.tenant FROM (
		SELECT x.indexrelid, column_name FROM multitenant._tree(rel) t JOIN pg_catalog.pg_index x ON x.indrelid = t.member
		UNION
		SELECT r.parent_index::oid, r.parent_tenant FROM unnest(refs) r
		WHERE r.handling = 'replace'
	) AS k(index_oid, tenant)
	JOIN pg_catalog.pg_index i ON i.indexrelid = k.index_oid
	JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE (i.indisunique OR i.indisexclusion) AND NOT c.relispartition AND c.relname !~ '^multitenant_staged_'
	  AND NOT k.tenant = ANY (multitenant._key_columns(i.indexrelid))
	ORDER BY i.indrelid::regclass::text COLLATE "C", c.relname
$$;

-- Validation of a foreign key reads both tables as their owner. Where row security is forced it would see one
-- tenant's rows, or none, and miss the rest; so FORCE is off for the moment, under the lock that the command itself
-- takes, and nobody else ever sees the table without it.
CREATE FUNCTION multitenant._unforced(rels regclass[]) RETURNS SETOF regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT t.member FROM unnest(rels) r CROSS JOIN LATERAL multitenant._tree(r) t
	JOIN pg_catalog.pg_class c ON c.oid = t.member
	WHERE c.relforcerowsecurity AND multitenant._is_owner(t.member)
$$;

-- NOT VALID locks for a moment, VALIDATE CONSTRAINT lets writers go on.
CREATE FUNCTION multitenant._reference_preparation(child regclass, staged name, definition text) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_remove(ARRAY[
		CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = child AND c.conname = staged) THEN
			format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', child, staged, definition) END,
		format('ALTER TABLE %s VALIDATE CONSTRAINT %I', child, staged)], NULL)
$$;

-- Adds one composite foreign key, or takes over the one that plan() had validated.
CREATE FUNCTION multitenant._add_reference_step(r multitenant._reference, target regclass) RETURNS multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	new_name name := r.con_name;
	staged name := multitenant._staged_name(r.child, 'reference ' || r.con_name);
	is_staged boolean;
	undo jsonb;
	definition text := CASE r.handling
		WHEN 'companion' THEN multitenant._companion_definition(r.con, r.child_tenant, r.parent_tenant)
		ELSE multitenant._foreign_key_definition(r.con, r.child_tenant, r.parent_tenant, true, true, false) END;
BEGIN
	PERFORM multitenant._check_trust(r.child, r.parent);
	IF r.handling = 'companion' THEN
		new_name := multitenant._free_name(r.child, ARRAY[r.child_tenant] || multitenant._column_names(r.child,
			(SELECT c.conkey FROM pg_catalog.pg_constraint c WHERE c.oid = r.con)), 'fkey');
		undo := multitenant._undo_at('companion', new_name, r.child, target);
	ELSE
		undo := multitenant._undo_at('foreign_key', new_name, r.child, target) || jsonb_strip_nulls(
			(SELECT jsonb_build_object('set_columns', nullif(c.confdelsetcols IS NOT NULL, false),
									   'match_full', nullif(c.confmatchtype = 'f', false))
			 FROM pg_catalog.pg_constraint c WHERE c.oid = r.con));
	END IF;
	is_staged := EXISTS (SELECT FROM pg_catalog.pg_constraint c
						 WHERE c.conrelid = r.child AND c.conname = staged AND c.convalidated);
	RETURN (CASE WHEN is_staged THEN format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', r.child, staged, new_name)
			ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.child, new_name, definition) END,
			CASE WHEN is_staged THEN 'ACCESS EXCLUSIVE' ELSE 'SHARE ROW EXCLUSIVE' END, true, r.note, undo, target,
			CASE WHEN r.is_validated AND NOT is_staged THEN r.child END,
			CASE WHEN (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = r.child) = 'r' THEN
				multitenant._reference_preparation(r.child, staged, definition) END)::multitenant._step;
END
$$;

CREATE FUNCTION multitenant._companion_text(con oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%s %s %s %s', c.conrelid, c.conkey, c.confrelid, c.confkey)
	FROM pg_catalog.pg_constraint c WHERE c.oid = con
$$;

-- Foreign keys out of the way, unique keys converted or added, foreign keys back.
CREATE FUNCTION multitenant._key_steps(rel regclass, column_name name, together regclass[])
RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	refs multitenant._reference[] := ARRAY(SELECT f FROM multitenant._references(rel, column_name, together) f);
	r multitenant._reference;
	k record;
	rule record;
	s multitenant._step;
	released oid[];
	keys_made text[] := '{}';	-- tables and columns of the keys of this run
	adds multitenant._step[] := '{}';
	touched regclass[] := '{}';
	unforced regclass[];
BEGIN
	released := ARRAY(SELECT f.con FROM unnest(refs) f WHERE f.handling = 'replace');
	FOREACH r IN ARRAY refs LOOP
		-- Two keys over the same columns need one companion.
		CONTINUE WHEN r.handling = 'companion' AND multitenant._companion_text(r.con) = ANY (keys_made);
		IF r.handling = 'companion' THEN
			keys_made := keys_made || multitenant._companion_text(r.con);
		END IF;
		IF r.handling = 'leave' THEN
			RETURN NEXT (NULL, NULL, NULL, r.note, NULL, rel, NULL, NULL)::multitenant._step;
			CONTINUE;
		ELSIF r.handling = 'replace' THEN
			RETURN NEXT (format('ALTER TABLE %s DROP CONSTRAINT %I', r.child, r.con_name), 'ACCESS EXCLUSIVE', true,
						 'added again below, with the tenant in it', NULL, rel, NULL, NULL)::multitenant._step;
		END IF;
		s := multitenant._add_reference_step(r, rel);
		adds := adds || s;
		IF s.scans IS NOT NULL THEN
			touched := touched || r.child || r.parent;
		END IF;
	END LOOP;
	FOR k IN SELECT * FROM multitenant._global_keys(rel, column_name, refs) LOOP
		rule := multitenant._unique_rule(k.index_oid, released);
		IF rule.handling = 'convert' THEN
			RETURN QUERY SELECT * FROM multitenant._convert_steps(k.index_oid, k.tenant_column, rel, rule.note);
			keys_made := keys_made || multitenant._key_text((SELECT i.indrelid FROM pg_catalog.pg_index i
				WHERE i.indexrelid = k.index_oid), k.tenant_column || multitenant._key_columns(k.index_oid));
		ELSIF rule.note IS NOT NULL AND EXISTS (SELECT FROM multitenant._tree(rel) t JOIN pg_catalog.pg_index i
												ON i.indrelid = t.member WHERE i.indexrelid = k.index_oid) THEN
			RETURN NEXT (NULL, NULL, NULL, rule.note, NULL, rel, NULL, NULL)::multitenant._step;
		END IF;
	END LOOP;
	FOREACH r IN ARRAY refs LOOP
		CONTINUE WHEN r.handling = 'leave' OR multitenant._has_key(r.parent, r.parent_tenant || r.parent_columns)
			OR multitenant._key_text(r.parent, r.parent_tenant || r.parent_columns) = ANY (keys_made);
		keys_made := keys_made || multitenant._key_text(r.parent, r.parent_tenant || r.parent_columns);
		s := multitenant._add_key_step(r.parent, r.parent_tenant || r.parent_columns, rel);
		RETURN NEXT s;
	END LOOP;
	unforced := ARRAY(SELECT multitenant._unforced(touched));
	RETURN QUERY SELECT format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', u), 'ACCESS EXCLUSIVE', true,
		'until the foreign keys are validated', NULL::jsonb, rel, NULL::regclass, NULL::text[] FROM unnest(unforced) u ORDER BY u::text COLLATE "C";
	RETURN QUERY SELECT a.* FROM unnest(adds) a;
	RETURN QUERY SELECT format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', u), 'ACCESS EXCLUSIVE', true,
		NULL::text, NULL::jsonb, rel, NULL::regclass, NULL::text[] FROM unnest(unforced) u ORDER BY u::text COLLATE "C";
END
$$;

-- A table and a set of its columns, whatever their order, as one text to compare.
CREATE FUNCTION multitenant._key_text(rel oid, columns name[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%s(%s)', rel::regclass, string_agg(quote_ident(c), ',' ORDER BY c)) FROM unnest(columns) c
$$;
