/*
 * unprotect.sql
 *	  Giving tables back as they were before protect().
 *
 * What protect() changed is written in the label as data: kinds and names. From these and the present catalog the
 * commands are rebuilt here.
 *
 * Security: a label is written by the table's owner, unprotect() may be run by a superuser. So what is executed runs as
 * the owner of the table that it changes (multitenant._run_as_owner), and of a label only elements of the known shape
 * count: a hostile label must not keep others from giving back their tables. What it says of another table counts only
 * if the labelled table's owner has the rights of that table's owner. Names may have become stale by a rename; then there
 * is a NOTICE and no harm.
 */

-- Is this an element of undo as protect() writes them? Everything that is read of it later has the type it needs.
CREATE FUNCTION multitenant._is_undo(entry jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN jsonb_typeof(entry) <> 'object' THEN false ELSE
		coalesce(entry ->> 'kind' IN ('not_null', 'default', 'row_security')
			OR (entry ->> 'kind' IN ('index', 'key', 'unique', 'unique_index', 'foreign_key', 'companion') AND entry ? 'name')
			OR (entry ->> 'kind' = 'view' AND entry ? 'table'), false)
		AND (entry ? 'schema') = (entry ? 'table')
		AND NOT EXISTS (
			SELECT FROM jsonb_each(entry) AS m(name, value)
			WHERE NOT CASE
				WHEN m.name IN ('kind', 'name', 'schema', 'table') THEN jsonb_typeof(m.value) = 'string'
				WHEN m.name IN ('enabled', 'forced', 'partial', 'set_columns', 'match_full') THEN jsonb_typeof(m.value) = 'boolean'
				WHEN m.name = 'expression' THEN jsonb_typeof(m.value) IN ('string', 'null')
				WHEN m.name = 'options' THEN multitenant._is_array_of(m.value, 'string')
				WHEN m.name = 'members' THEN multitenant._is_array_of(m.value, 'object')
				ELSE true END)
		END
$$;

-- An array of values of that type only, or null.
CREATE FUNCTION multitenant._is_array_of(value jsonb, element_type text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_typeof(value) = 'null' OR (jsonb_typeof(value) = 'array' AND NOT EXISTS (
		SELECT FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) AS e(element)
		WHERE jsonb_typeof(e.element) <> element_type))
$$;

-- What one label remembers, in the order of doing, and about which table.
CREATE FUNCTION multitenant._undo_of(rel regclass) RETURNS TABLE(labelled regclass, about regclass, kind text, entry jsonb)
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT rel, a.about, e.entry ->> 'kind', e.entry
	FROM jsonb_path_query(multitenant._label_json(rel), '$.undo[*]') WITH ORDINALITY AS e(entry, n)
	CROSS JOIN LATERAL (SELECT CASE WHEN multitenant._is_undo(e.entry) THEN multitenant._resolve(e.entry, rel) END) AS a(about)
	JOIN pg_catalog.pg_class o ON o.oid = rel
	LEFT JOIN pg_catalog.pg_class t ON t.oid = a.about
	WHERE multitenant._is_undo(e.entry) AND (t.oid IS NULL OR pg_has_role(o.relowner, t.relowner, 'USAGE'))
	ORDER BY e.n
$$;

-- The same of every label that can say something about these tables: theirs, those of tables that refer to them, and
-- those in which the name of one of these occurs. Others are not even parsed.
CREATE FUNCTION multitenant._undo_entries(members regclass[])
RETURNS TABLE(labelled regclass, about regclass, kind text, entry jsonb)
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH near(rel, quoted_name) AS MATERIALIZED (
		SELECT c.oid, to_jsonb(c.relname)::text FROM pg_catalog.pg_class c
		WHERE c.oid = ANY (members) OR c.oid IN (
			SELECT f.conrelid FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.confrelid = ANY (members))
	), labels(rel) AS MATERIALIZED (
		SELECT s.objoid FROM pg_catalog.pg_seclabel s
		WHERE s.provider = 'multitenant' AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0
		  AND EXISTS (SELECT FROM near n WHERE n.rel = s.objoid OR strpos(s.label, n.quoted_name) > 0)
	)
	SELECT u.* FROM labels l CROSS JOIN LATERAL multitenant._undo_of(l.rel::regclass) u
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
-- (the other table was given back before) is no longer ours; one to a table that is partitioned by tenant can be no other.
CREATE FUNCTION multitenant._composite_references(members regclass[])
RETURNS TABLE(child regclass, parent regclass, parent_columns name[], con_name name, definition text)
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT ON (u.about, c.conname) u.about, c.confrelid::regclass,
		(multitenant._column_names(c.confrelid, c.confkey))[2:], c.conname,
		CASE WHEN u.kind = 'foreign_key' THEN
			multitenant._foreign_key_definition(c.oid, NULL, NULL, false, coalesce((u.entry ->> 'set_columns')::boolean, false),
												coalesce((u.entry ->> 'match_full')::boolean, false)) END
	FROM multitenant._undo_entries(members) u
	JOIN pg_catalog.pg_constraint c ON c.conrelid = u.about AND c.conname = u.entry ->> 'name' AND c.contype = 'f'
	WHERE u.kind IN ('foreign_key', 'companion') AND (u.about = ANY (members) OR c.confrelid = ANY (members))
	  AND cardinality(c.conkey) > 1 AND NOT multitenant._is_partitioned_by_tenant(c.confrelid)
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
	ELSIF multitenant._is_partitioned_by_tenant(rel) THEN
		RAISE NOTICE 'unique index % keeps the tenant column: the table is partitioned by it', index_name;
		RETURN;
	END IF;
	holder := multitenant._holder_of(index_name, '{}');
	IF holder IS NOT NULL THEN
		RAISE NOTICE 'unique index % keeps the tenant column: % depends on it', index_name, holder;
		RETURN;
	END IF;
	IF entry ->> 'kind' = 'unique' THEN
		PERFORM multitenant._run_as_owner(rel, format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I %s', rel,
			entry ->> 'name', multitenant._unique_definition(index_name, columns[2:])));
	ELSE
		definition := multitenant._unique_index_definition(index_name, columns[1], false);
		PERFORM multitenant._run_as_owner(rel, format('DROP INDEX %s', index_name));
		PERFORM multitenant._run_as_owner(rel, format('CREATE UNIQUE INDEX %I %s', entry ->> 'name', definition));
	END IF;
	FOR m IN SELECT jsonb_array_elements(nullif(entry -> 'members', 'null')) LOOP
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
	WHERE i.indrelid = multitenant._resolve(part, parent_index);
	IF jsonb_typeof(part -> 'name') = 'string' AND present_name <> part ->> 'name' THEN
		PERFORM multitenant._run_as_owner(NULL, format('ALTER INDEX %s RENAME TO %I', present, part ->> 'name'));
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
	FOR u IN SELECT * FROM multitenant._undo_entries(members) e
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
			PERFORM multitenant._run_as_owner(u.about, format('ALTER TABLE %s DROP CONSTRAINT %I', u.about, u.entry ->> 'name'));
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
	dropping text := format('ALTER TABLE ONLY %s ALTER COLUMN %s DROP DEFAULT', rel, quote_ident(column_name));
BEGIN
	SELECT multitenant._accessor(a.atttypid) INTO accessor FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = rel AND a.attname = column_name;
	IF accessor IS NULL OR multitenant._default_of(rel, column_name) IS DISTINCT FROM accessor THEN
		RETURN;
	END IF;
	SELECT u.entry ->> 'expression' INTO former FROM multitenant._undo_of(rel) u WHERE u.about = rel AND u.kind = 'default';
	PERFORM multitenant._run_as_owner(rel, dropping);
	IF former IS NOT NULL THEN
		PERFORM multitenant._run_as_owner(rel, format('ALTER TABLE ONLY %s ALTER COLUMN %I SET DEFAULT %s', rel, column_name,
													  former));
	END IF;
EXCEPTION
	-- What it calls may be gone, or the label was not written by protect().
	WHEN OTHERS THEN
		PERFORM multitenant._run_as_owner(rel, dropping);
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
		PERFORM multitenant._run_as_owner(root, format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', root, column_name));
	END IF;
	FOR m IN SELECT t.member FROM multitenant._tree(root) t WHERE t.depth > 0 ORDER BY t.depth LOOP
		IF root = ANY (changed) AND NOT m = ANY (changed) THEN
			PERFORM multitenant._run_as_owner(m, format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', m, column_name));
		ELSIF NOT root = ANY (changed) AND m = ANY (changed) THEN
			PERFORM multitenant._run_as_owner(m, format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', m, column_name));
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
	PERFORM multitenant._run_as_owner(v, format('ALTER VIEW %s RESET (security_invoker)', v));
	IF former IS NOT NULL THEN
		PERFORM multitenant._run_as_owner(v, format('ALTER VIEW %s SET (%s)', v, former));
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
	PERFORM multitenant._run_as_owner(rel, format('ALTER TABLE %s %s ROW LEVEL SECURITY, %s ROW LEVEL SECURITY', rel,
		CASE WHEN (former ->> 'enabled')::boolean THEN 'ENABLE' ELSE 'DISABLE' END,
		CASE WHEN (former ->> 'forced')::boolean THEN 'FORCE' ELSE 'NO FORCE' END));
	FOR policy IN SELECT p.polname FROM pg_catalog.pg_policy p
				  WHERE p.polrelid = rel AND p.polname = ANY (multitenant._policy_names()) LOOP
		PERFORM multitenant._run_as_owner(rel, format('DROP POLICY %I ON %s', policy, rel));
	END LOOP;
END
$$;

-- By the caller, who has the right to; nobody's code runs here.
CREATE FUNCTION multitenant._remove_labels(rel regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF multitenant._label(rel) IS NOT NULL THEN
		EXECUTE format('SECURITY LABEL FOR multitenant ON TABLE %s IS NULL', rel);
	END IF;
	IF multitenant._labelled_column(rel) IS NOT NULL THEN
		EXECUTE format('SECURITY LABEL FOR multitenant ON COLUMN %s.%I IS NULL', rel, multitenant._labelled_column(rel));
	END IF;
	IF multitenant._labelled_scope(rel) IS NOT NULL THEN
		EXECUTE format('SECURITY LABEL FOR multitenant ON COLUMN %s.%I IS NULL', rel, multitenant._labelled_scope(rel));
	END IF;
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
				PERFORM multitenant._run_as_owner(u.about, format('DROP INDEX %s', index_name));
			END IF;
		END IF;
	END LOOP;
	PERFORM multitenant._remove_labels(t.member) FROM multitenant._tree(root) t;
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
	PERFORM multitenant._check_trust(child, parent);
	FOREACH u IN ARRAY unforced LOOP
		PERFORM multitenant._run_as_owner(u, format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', u));
	END LOOP;
	PERFORM multitenant._run_as_owner(child, format('ALTER TABLE %s ADD CONSTRAINT %I %s', child, con_name, definition));
	FOREACH u IN ARRAY unforced LOOP
		PERFORM multitenant._run_as_owner(u, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', u));
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
		PERFORM multitenant._run_as_owner(r.child, format('ALTER TABLE %s DROP CONSTRAINT %I', r.child::regclass, r.name));
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
	IF multitenant._class_of(table_name) IS NULL AND multitenant._labelled_column(table_name) IS NULL THEN
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

-- What has a label or one of our policies, without what is below another such table.
CREATE FUNCTION multitenant._known_roots() RETURNS regclass[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE known(rel) AS MATERIALIZED (
		SELECT s.objoid FROM pg_catalog.pg_seclabel s
		WHERE s.provider = 'multitenant' AND s.classoid = 'pg_catalog.pg_class'::regclass
		UNION
		SELECT p.polrelid FROM pg_catalog.pg_policy p WHERE p.polname = ANY (multitenant._policy_names())
	), below(rel) AS (
		SELECT i.inhrelid FROM known k JOIN pg_catalog.pg_inherits i ON i.inhparent = k.rel
		UNION
		SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.rel
	)
	SELECT coalesce(array_agg(k.rel::regclass ORDER BY k.rel::regclass::text COLLATE "C"), '{}')
	FROM known k WHERE k.rel NOT IN (SELECT b.rel FROM below b)
$$;

-- The last resort for a tree that cannot be given back: its policies and its labels go.
CREATE FUNCTION multitenant._strip(root regclass, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m regclass;
BEGIN
	RAISE WARNING 'table % is not given back as it was: %', root, reason
		USING HINT = 'Its labels and policies go; look after its keys, indexes and defaults by hand.';
	FOR m IN SELECT t.member FROM multitenant._tree(root) t LOOP
		BEGIN
			PERFORM multitenant._revert_row_security(m);
		EXCEPTION
			WHEN OTHERS THEN
				RAISE WARNING 'row security of table % stays as it is: %', m, SQLERRM;
		END;
		BEGIN
			PERFORM multitenant._remove_labels(m);
		EXCEPTION
			WHEN OTHERS THEN
				RAISE WARNING 'the label of table % stays: %', m, SQLERRM;
		END;
	END LOOP;
END
$$;

-- NULL if the tree could be given back, else why not.
CREATE FUNCTION multitenant._try_unprotect(roots regclass[]) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._unprotect(roots);
	RETURN NULL;
EXCEPTION
	WHEN OTHERS THEN
		RETURN SQLERRM;
END
$$;

-- Security: one table must not keep the others from being given back: its owner decides what its constraints and index
-- expressions do. So all are tried together, because keys hang together; if that fails, one after the other, as long as
-- another one works; what is left over is stripped. Tables are locked before, where none of that can fail: what fails
-- later is not for want of a lock.
CREATE FUNCTION multitenant.unprotect_all() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	roots regclass[] := '{}';
	left_over regclass[];
	failure text;
	r regclass;
BEGIN
	PERFORM multitenant._require('isolation', 'changing the class of a table');
	FOREACH r IN ARRAY multitenant._known_roots() LOOP
		BEGIN
			PERFORM multitenant._check_table(r);
			PERFORM multitenant._check_tree(r);
			roots := roots || r;
		EXCEPTION
			WHEN OTHERS THEN
				PERFORM multitenant._strip(r, SQLERRM);
		END;
	END LOOP;
	FOR r IN SELECT DISTINCT t.member FROM unnest(roots) x CROSS JOIN LATERAL multitenant._tree(x) t ORDER BY t.member LOOP
		BEGIN
			EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', r);
		EXCEPTION
			-- An owner can revoke its own privileges, but not keep itself from altering the table.
			WHEN insufficient_privilege THEN
				NULL;
		END;
	END LOOP;
	IF multitenant._try_unprotect(roots) IS NULL THEN
		RETURN;
	END IF;
	LOOP
		left_over := '{}';
		FOREACH r IN ARRAY roots LOOP
			IF multitenant._try_unprotect(ARRAY[r]) IS NOT NULL THEN
				left_over := left_over || r;
			END IF;
		END LOOP;
		EXIT WHEN cardinality(left_over) IN (0, cardinality(roots));
		roots := left_over;
	END LOOP;
	FOREACH r IN ARRAY left_over LOOP
		failure := multitenant._try_unprotect(ARRAY[r]);
		IF failure IS NOT NULL THEN
			PERFORM multitenant._strip(r, failure);
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION multitenant.unprotect_all() IS
'Gives back every table of this database that has a class or one of our policies, as unprotect() does; needed before DROP EXTENSION. A table that cannot be given back loses its policies and labels, with a WARNING that names it.
Errors: 42501 not superuser or profile migrator.';
