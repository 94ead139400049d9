/*
 * unprotect.sql
 *	  Giving tables back as they were before protect().
 *
 * What protect() changed is written in the label as data: kinds and names. From these and the present catalog the
 * commands are rebuilt here.
 *
 * Security: a label is written by the table's owner, unprotect() may be run by a superuser. So nothing of a label is
 * executed as SQL, with one exception, the text of a former default, which runs as the table's owner
 * (multitenant._run_as_owner). What a label says of another table counts only if the labelled table's owner has the
 * rights of that table's owner. Names may have become stale by a rename; then there is a NOTICE and no harm.
 */

-- What one label remembers, in the order of doing, and about which table.
CREATE FUNCTION multitenant._undo_of(rel regclass) RETURNS TABLE(labelled regclass, about regclass, kind text, entry jsonb)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT rel, a.about, e.entry ->> 'kind', e.entry
	FROM jsonb_path_query(multitenant._label_json(rel), '$.undo[*]') WITH ORDINALITY AS e(entry, n)
	CROSS JOIN LATERAL (SELECT multitenant._resolve(e.entry, rel)) AS a(about)
	JOIN pg_catalog.pg_class o ON o.oid = rel
	LEFT JOIN pg_catalog.pg_class t ON t.oid = a.about
	WHERE t.oid IS NULL OR pg_has_role(o.relowner, t.relowner, 'USAGE')
	ORDER BY e.n
$$;

-- The same of every label in the database.
CREATE FUNCTION multitenant._undo_entries() RETURNS TABLE(labelled regclass, about regclass, kind text, entry jsonb)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT u.* FROM pg_catalog.pg_seclabel s CROSS JOIN LATERAL multitenant._undo_of(s.objoid::regclass) u
	WHERE s.provider = 'multitenant' AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0
$$;

-- The constraint of that name; NULL if it is gone or was renamed.
CREATE FUNCTION multitenant._constraint(rel regclass, con_name name) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.oid FROM pg_catalog.pg_constraint c WHERE c.conrelid = rel AND c.conname = con_name
$$;

CREATE FUNCTION multitenant._index(rel regclass, index_name name) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.indexrelid::regclass FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE i.indrelid = rel AND c.relname = index_name
$$;

CREATE FUNCTION multitenant._notice_gone(entry jsonb, labelled regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE NOTICE '% "%" that protect() left on % is not there any more: skipped', replace(entry ->> 'kind', '_', ' '),
		coalesce(entry ->> 'name', entry ->> 'table'), coalesce(multitenant._resolve(entry, labelled), labelled);
END
$$;

-- Foreign keys of these tables that protect() made composite, with the definition they had. A key that is simple again
-- (the other table was given back before) is no longer ours.
CREATE FUNCTION multitenant._composite_references(members regclass[])
RETURNS TABLE(child regclass, parent regclass, parent_columns name[], con_name name, definition text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT ON (u.about, c.conname) u.about, c.confrelid::regclass,
		(multitenant._column_names(c.confrelid, c.confkey))[2:], c.conname,
		CASE WHEN u.kind = 'foreign_key' THEN
			multitenant._foreign_key_definition(c.oid, NULL, NULL, false, coalesce((u.entry ->> 'set_columns')::boolean, false),
												coalesce((u.entry ->> 'match_full')::boolean, false)) END
	FROM multitenant._undo_entries() u
	JOIN pg_catalog.pg_constraint c ON c.conrelid = u.about AND c.conname = u.entry ->> 'name' AND c.contype = 'f'
	WHERE u.kind IN ('foreign_key', 'companion') AND (u.about = ANY (members) OR c.confrelid = ANY (members))
	  AND cardinality(c.conkey) > 1
	  AND (multitenant._column_names(c.conrelid, c.conkey))[1] = multitenant._tenant_column(u.about)
	ORDER BY u.about, c.conname
$$;

-- Takes the tenant out of one unique key again.
CREATE FUNCTION multitenant._revert_unique(rel regclass, entry jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	index_name regclass := multitenant._index(rel, (entry ->> 'name')::name);
	columns name[] := multitenant._key_columns(index_name);
	holder text;
	definition text;
	m jsonb;
BEGIN
	IF index_name IS NULL THEN
		PERFORM multitenant._notice_gone(entry, rel);
		RETURN;
	ELSIF columns[1] IS DISTINCT FROM multitenant._tenant_column(rel) THEN
		RETURN;
	END IF;
	holder := multitenant._holder_of(index_name, '{}');
	IF holder IS NOT NULL THEN
		RAISE NOTICE 'unique index % keeps the tenant column: % depends on it', index_name, holder;
		RETURN;
	END IF;
	IF entry ->> 'kind' = 'unique' THEN
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I %s', rel, entry ->> 'name',
					   multitenant._unique_definition(index_name, columns[2:]));
	ELSE
		definition := multitenant._unique_index_definition(index_name, columns[1], false);
		EXECUTE format('DROP INDEX %s', index_name);
		EXECUTE format('CREATE UNIQUE INDEX %I %s', entry ->> 'name', definition);
	END IF;
	FOR m IN SELECT jsonb_array_elements(entry -> 'members') LOOP
		PERFORM multitenant._rename_member_index(multitenant._index(rel, (entry ->> 'name')::name), m);
	END LOOP;
END
$$;

-- A partition's part of a recreated index gets its former name back.
CREATE FUNCTION multitenant._rename_member_index(parent_index regclass, part jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present regclass;
	present_name name;
BEGIN
	SELECT i.indexrelid::regclass, c.relname INTO present, present_name
	FROM multitenant._tree(parent_index) t JOIN pg_catalog.pg_index i ON i.indexrelid = t.member
	JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE i.indrelid = to_regclass(format('%I.%I', part ->> 'schema', part ->> 'table'));
	IF present_name <> part ->> 'name' THEN
		EXECUTE format('ALTER INDEX %s RENAME TO %I', present, part ->> 'name');
	END IF;
END
$$;

-- Unique keys: those of the tables, and those elsewhere that these tables' labels remember.
CREATE FUNCTION multitenant._revert_keys(members regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	u record;
	key oid;
BEGIN
	FOR u IN SELECT * FROM multitenant._undo_entries() e
			 WHERE e.kind IN ('key', 'unique', 'unique_index') AND (e.about = ANY (members) OR e.labelled = ANY (members)) LOOP
		IF u.kind IN ('unique', 'unique_index') AND u.about IS NOT NULL THEN
			PERFORM multitenant._revert_unique(u.about, u.entry);
			CONTINUE;
		END IF;
		SELECT c.conindid INTO key FROM pg_catalog.pg_constraint c
		WHERE c.oid = multitenant._constraint(u.about, (u.entry ->> 'name')::name);
		IF key IS NULL THEN
			PERFORM multitenant._notice_gone(u.entry, u.labelled);
		ELSIF multitenant._holder_of(key, '{}') IS NULL THEN
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', u.about, u.entry ->> 'name');
		END IF;
	END LOOP;
END
$$;

-- The default it had before; one that was changed since then is the owner's and stays.
CREATE FUNCTION multitenant._revert_default(rel regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	former text;
	accessor text;
BEGIN
	SELECT multitenant._accessor(a.atttypid) INTO accessor FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = rel AND a.attname = column_name;
	IF accessor IS NULL OR multitenant._default_of(rel, column_name) IS DISTINCT FROM accessor THEN
		RETURN;
	END IF;
	SELECT u.entry ->> 'expression' INTO former FROM multitenant._undo_of(rel) u WHERE u.about = rel AND u.kind = 'default';
	EXECUTE format('ALTER TABLE ONLY %s ALTER COLUMN %I DROP DEFAULT', rel, column_name);
	IF former IS NOT NULL THEN
		PERFORM multitenant._run_as_owner(rel, format('ALTER TABLE ONLY %s ALTER COLUMN %I SET DEFAULT %s', rel, column_name,
													  former));
	END IF;
EXCEPTION
	-- What it calls may be gone, or the label was not written by protect().
	WHEN OTHERS THEN
		EXECUTE format('ALTER TABLE ONLY %s ALTER COLUMN %I DROP DEFAULT', rel, column_name);
		RAISE NOTICE 'the former default of column % of % cannot be given back: %', quote_ident(column_name), rel, SQLERRM;
END
$$;

-- DROP NOT NULL on the root reaches the whole tree; members that had NOT NULL on their own account get it again.
CREATE FUNCTION multitenant._revert_not_null(root regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	changed regclass[] := ARRAY(SELECT u.labelled FROM multitenant._tree(root) t
								CROSS JOIN LATERAL multitenant._undo_of(t.member) u WHERE u.kind = 'not_null');
	m regclass;
BEGIN
	IF column_name IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = root AND i.indisprimary
			   AND column_name = ANY (multitenant._key_columns(i.indexrelid))) THEN
		RETURN;		-- the primary key wants it so
	ELSIF root = ANY (changed) THEN
		EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', root, column_name);
	END IF;
	FOR m IN SELECT t.member FROM multitenant._tree(root) t WHERE t.depth > 0 ORDER BY t.depth LOOP
		IF root = ANY (changed) AND NOT m = ANY (changed) THEN
			EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', m, column_name);
		ELSIF NOT root = ANY (changed) AND m = ANY (changed) THEN
			EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', m, column_name);
		END IF;
	END LOOP;
END
$$;

-- Options of a view exactly as they were; SET puts all that it names at the end, so their order is restored, too.
CREATE FUNCTION multitenant._revert_view(entry jsonb, labelled regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v regclass := multitenant._resolve(entry, labelled);
	present text[];
	former text;
BEGIN
	SELECT c.reloptions INTO present FROM pg_catalog.pg_class c WHERE c.oid = v AND c.relkind = 'v';
	IF NOT FOUND THEN
		PERFORM multitenant._notice_gone(entry, labelled);
		RETURN;
	ELSIF NOT multitenant._is_security_invoker(present) THEN
		RETURN;
	END IF;
	SELECT string_agg(format('%I = %L', split_part(o, '=', 1), split_part(o, '=', 2)), ', ' ORDER BY n) INTO former
	FROM jsonb_array_elements_text(nullif(entry -> 'options', 'null')) WITH ORDINALITY AS x(o, n);
	EXECUTE format('ALTER VIEW %s RESET (security_invoker)', v);
	IF former IS NOT NULL THEN
		EXECUTE format('ALTER VIEW %s SET (%s)', v, former);
	END IF;
END
$$;

-- Our policies go, row security becomes what it was.
CREATE FUNCTION multitenant._revert_row_security(rel regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	policy name;
	former jsonb;
BEGIN
	SELECT u.entry INTO former FROM multitenant._undo_of(rel) u WHERE u.about = rel AND u.kind = 'row_security';
	EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY, %s ROW LEVEL SECURITY', rel,
				   CASE WHEN (former ->> 'enabled')::boolean THEN 'ENABLE' ELSE 'DISABLE' END,
				   CASE WHEN (former ->> 'forced')::boolean THEN 'FORCE' ELSE 'NO FORCE' END);
	FOR policy IN SELECT p.polname FROM pg_catalog.pg_policy p
				  WHERE p.polrelid = rel AND p.polname = ANY (multitenant._policy_names()) LOOP
		EXECUTE format('DROP POLICY %I ON %s', policy, rel);
	END LOOP;
END
$$;

-- Everything of one tree that is not a key.
CREATE FUNCTION multitenant._revert_table(root regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	u record;
	index_name regclass;
	root_column name := multitenant._tenant_column(root);
BEGIN
	IF multitenant._is_protected(root) AND multitenant._label(root) IS NULL THEN
		RAISE NOTICE 'table % has lost its label: NOT NULL and indexes stay as they are', root;
	END IF;
	FOR m IN SELECT t.member, multitenant._tenant_column(t.member) AS column_name FROM multitenant._tree(root) t
			 WHERE multitenant._is_protected(t.member) LOOP
		PERFORM multitenant._revert_row_security(m.member);
		PERFORM multitenant._revert_default(m.member, m.column_name);
	END LOOP;
	PERFORM multitenant._revert_not_null(root, root_column);
	FOR u IN SELECT e.* FROM multitenant._tree(root) t CROSS JOIN LATERAL multitenant._undo_of(t.member) e LOOP
		IF u.kind = 'view' THEN
			PERFORM multitenant._revert_view(u.entry, u.labelled);
		ELSIF u.kind = 'index' THEN
			index_name := multitenant._index(u.about, (u.entry ->> 'name')::name);
			IF index_name IS NULL THEN
				PERFORM multitenant._notice_gone(u.entry, u.labelled);
			ELSE
				EXECUTE format('DROP INDEX %s', index_name);
			END IF;
		END IF;
	END LOOP;
	FOR m IN SELECT t.member FROM multitenant._tree(root) t WHERE multitenant._label(t.member) IS NOT NULL LOOP
		EXECUTE format('SECURITY LABEL FOR multitenant ON TABLE %s IS NULL', m.member);
	END LOOP;
END
$$;

-- One foreign key as it was. The other table may still be protected, see _unforced().
CREATE FUNCTION multitenant._restore_reference(child regclass, parent regclass, parent_columns name[], con_name name,
											   definition text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	unforced regclass[] := ARRAY(SELECT multitenant._unforced(ARRAY[child, parent]));
	u regclass;
BEGIN
	IF NOT multitenant._has_key(parent, parent_columns) THEN
		RAISE EXCEPTION 'foreign key % of % cannot be given back: the key of % still has the tenant in it',
			quote_ident(con_name), child, parent
			USING ERRCODE = '55000',
				  HINT = format('Give back the other tables that refer to %s first, or all with multitenant.unprotect_all().',
								parent);
	END IF;
	FOREACH u IN ARRAY unforced LOOP
		EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', u);
	END LOOP;
	EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', child, con_name, definition);
	FOREACH u IN ARRAY unforced LOOP
		EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', u);
	END LOOP;
END
$$;

-- Several trees at once, in phases: a key can go only when no foreign key holds on to it.
CREATE FUNCTION multitenant._unprotect(roots regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	members regclass[];
	keys jsonb;
	r record;
	root regclass;
BEGIN
	FOREACH root IN ARRAY roots LOOP
		PERFORM multitenant._check_table(root);
		PERFORM multitenant._check_tree(root);
	END LOOP;
	members := ARRAY(SELECT t.member FROM unnest(roots) x CROSS JOIN LATERAL multitenant._tree(x) t);
	SELECT jsonb_agg(jsonb_build_object('child', f.child::oid, 'parent', f.parent::oid, 'columns', f.parent_columns,
										'name', f.con_name, 'definition', f.definition)) INTO keys
	FROM multitenant._composite_references(members) f;
	FOR r IN SELECT * FROM jsonb_to_recordset(keys) AS k(child oid, name name) LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.child::regclass, r.name);
	END LOOP;
	PERFORM multitenant._revert_keys(members);
	FOREACH root IN ARRAY roots LOOP
		PERFORM multitenant._revert_table(root);
	END LOOP;
	FOR r IN SELECT * FROM jsonb_to_recordset(keys)
				AS k(child oid, parent oid, columns name[], name name, definition text) LOOP
		CONTINUE WHEN r.definition IS NULL;		-- a companion
		PERFORM multitenant._restore_reference(r.child, r.parent, r.columns, r.name, r.definition);
	END LOOP;
END
$$;

CREATE FUNCTION multitenant.unprotect(table_name regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._check_table(table_name);
	PERFORM multitenant._require('isolation', 'changing the class of a table');
	IF multitenant._class_of(table_name) IS NULL THEN
		RAISE EXCEPTION 'table % has no class', table_name
			USING ERRCODE = '55000', HINT = 'Nothing is to be given back; see the view multitenant.tables.';
	END IF;
	PERFORM multitenant._unprotect(ARRAY[table_name]);
END
$$;

COMMENT ON FUNCTION multitenant.unprotect(regclass) IS
'Takes a table out of tenancy and gives back its columns, keys, indexes, views and row security as they were before; the label goes, whatever its class.
table_name: a table of the caller; partitions follow their parent. Foreign keys to tables that stay protected become simple again.
Errors: 42501 not the owner, or not superuser or profile migrator; 42809, 22023 no table of the application; 55000 the table has no class, or a key is still needed by another protected table.';

CREATE FUNCTION multitenant.unprotect_all() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	roots regclass[];
BEGIN
	PERFORM multitenant._require('isolation', 'changing the class of a table');
	WITH known(rel) AS (
		SELECT s.objoid::regclass FROM pg_catalog.pg_seclabel s
		WHERE s.provider = 'multitenant' AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0
		UNION
		SELECT p.polrelid::regclass FROM pg_catalog.pg_policy p WHERE p.polname = ANY (multitenant._policy_names())
	)
	SELECT coalesce(array_agg(k.rel ORDER BY k.rel::text COLLATE "C"), '{}') INTO roots FROM known k
	WHERE NOT EXISTS (SELECT FROM known o CROSS JOIN LATERAL multitenant._tree(o.rel) t
					  WHERE t.member = k.rel AND t.depth > 0);
	PERFORM multitenant._unprotect(roots);
END
$$;

COMMENT ON FUNCTION multitenant.unprotect_all() IS
'Gives back every table of this database that has a class or one of our policies, as unprotect() does; needed before DROP EXTENSION.
Errors: 42501 not the owner of each of them, or not superuser or profile migrator.';
