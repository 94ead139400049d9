/*
 * adopt.sql
 *	  Bringing an existing schema in: the column filled in batches, whole schemas, and scripts for big tables.
 */

-- Tables of a schema that can have a class, parents of foreign keys before their children. A circle is entered at its
-- first table by name; protect() copes with either order, the order only makes its output easier to read.
CREATE FUNCTION multitenant._schema_tables(schema_name name) RETURNS regclass[]
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	todo regclass[];
	done regclass[] := '{}';
	free regclass[];
BEGIN
	IF to_regnamespace(quote_ident(schema_name)) IS NULL THEN
		RAISE EXCEPTION 'schema % does not exist', quote_ident(schema_name)
			USING ERRCODE = '3F000', HINT = 'Name the schema that holds the application''s tables.';
	END IF;
	todo := ARRAY(SELECT c.oid::regclass FROM pg_catalog.pg_class c
				  WHERE c.relnamespace = to_regnamespace(quote_ident(schema_name)) AND c.relkind IN ('r', 'p')
					AND c.relpersistence <> 't'
					AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
					AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
									AND d.objid = c.oid AND d.deptype = 'e')
				  ORDER BY c.relname);
	WHILE cardinality(todo) > 0 LOOP
		free := ARRAY(SELECT t FROM unnest(todo) WITH ORDINALITY AS x(t, n) WHERE NOT EXISTS (
			SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conrelid = t AND f.confrelid <> t
			AND f.confrelid = ANY (todo)) ORDER BY n);
		IF cardinality(free) = 0 THEN
			free := todo[1:1];
		END IF;
		done := done || free;
		todo := ARRAY(SELECT t FROM unnest(todo) WITH ORDINALITY AS x(t, n) WHERE NOT t = ANY (free) ORDER BY n);
	END LOOP;
	RETURN done;
END
$$;

CREATE FUNCTION multitenant._has_column(rel regclass, column_name name) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute a
				   WHERE a.attrelid = rel AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped)
$$;

-- Of the schema's tables those that protect() is to take: with the column, and not declared to be something else.
CREATE FUNCTION multitenant._schema_candidates(schema_name name, column_name name) RETURNS regclass[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(array_agg(t ORDER BY n), '{}')
	FROM unnest(multitenant._schema_tables(schema_name)) WITH ORDINALITY AS x(t, n)
	WHERE multitenant._has_column(t, column_name) AND coalesce(multitenant._class_of(t), 'tenant') = 'tenant'
$$;

-- Tables about which nobody has decided yet.
CREATE FUNCTION multitenant._undecided(schema_name name, column_name name) RETURNS TABLE(rel regclass, note text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT t, format('no column %I: decide with multitenant.share(), exempt() or add_tenant_column()', column_name)
	FROM unnest(multitenant._schema_tables(schema_name)) WITH ORDINALITY AS x(t, n)
	WHERE NOT multitenant._has_column(t, column_name) AND multitenant._class_of(t) IS NULL ORDER BY n
$$;

CREATE FUNCTION multitenant.protect_schema(schema_name name, tenant_column name DEFAULT 'tenant_id',
										   dry_run boolean DEFAULT true)
RETURNS TABLE(table_name text, step int, command text, lock_level text, in_transaction boolean, note text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	tables regclass[] := multitenant._schema_candidates(schema_name, tenant_column);
	t regclass;
	s multitenant._step;
	u record;
BEGIN
	FOREACH t IN ARRAY tables LOOP
		PERFORM multitenant._check_protect(t, tenant_column, tables, dry_run);
	END LOOP;
	FOREACH t IN ARRAY tables LOOP
		step := 0;
		FOREACH s IN ARRAY ARRAY(SELECT p FROM multitenant._protect_steps(t, tenant_column, tables) p) LOOP
			CONTINUE WHEN s.command IS NULL AND s.note IS NULL;
			IF s.command IS NOT NULL AND NOT dry_run THEN
				PERFORM multitenant._execute_step(s);
			END IF;
			step := step + 1;
			table_name := t::text;
			command := s.command;
			lock_level := s.lock_level;
			in_transaction := s.in_transaction;
			note := s.note;
			RETURN NEXT;
		END LOOP;
	END LOOP;
	FOR u IN SELECT * FROM multitenant._undecided(schema_name, tenant_column) LOOP
		table_name := u.rel::text;
		step := NULL; command := NULL; lock_level := NULL; in_transaction := NULL;
		note := u.note;
		RETURN NEXT;
	END LOOP;
END
$$;

COMMENT ON FUNCTION multitenant.protect_schema(name, name, boolean) IS
'Protects every table of a schema that has the tenant column and no other class, all or none; foreign keys among them become composite. Tables without the column are reported.
schema_name: the schema. tenant_column: the column''s name in all of them. dry_run: true (default) prints the steps, false executes them.
Returns per table the steps that protect() would; a row without step is about a table that was left alone.
Errors: those of protect(); 3F000 no such schema.';

-- ---------------------------------------------------------------------------------------------------------------
-- Scripts for big tables
-- ---------------------------------------------------------------------------------------------------------------

-- The lock that a command of a preparation takes, told from how it begins.
CREATE FUNCTION multitenant._lock_of(command text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN command ~ '^ALTER TABLE .* VALIDATE CONSTRAINT [^ ]+$' THEN 'SHARE UPDATE EXCLUSIVE'
		WHEN command ~ ' CONCURRENTLY ' THEN 'SHARE UPDATE EXCLUSIVE'
		WHEN command ~ ' FOREIGN KEY ' THEN 'SHARE ROW EXCLUSIVE'
		WHEN command ~ '^ALTER INDEX' THEN 'ACCESS EXCLUSIVE'
		WHEN command ~ '^CREATE INDEX' THEN 'SHARE'
		ELSE 'ACCESS EXCLUSIVE' END
$$;

-- What can be done beforehand so that protecting this table scans nothing. Without a command: what cannot.
CREATE FUNCTION multitenant._preparation(steps multitenant._step[])
RETURNS TABLE(table_name text, command text, lock_level text, in_transaction boolean, note text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.scans::text, p.command, multitenant._lock_of(p.command), p.command !~ ' CONCURRENTLY ',
		CASE WHEN s.preparation IS NULL
			THEN format('cannot be prepared because of partitions; protect_schema() will scan: %s', s.command) END
	FROM unnest(steps) WITH ORDINALITY
		AS s(command, lock_level, in_transaction, note, undo, target, scans, preparation, n)
	LEFT JOIN LATERAL unnest(s.preparation) WITH ORDINALITY AS p(command, m) ON true
	WHERE s.command IS NOT NULL AND s.scans IS NOT NULL AND (s.preparation IS NULL OR p.command IS NOT NULL)
	ORDER BY s.n, p.m
$$;

-- The whole script, not numbered yet.
CREATE FUNCTION multitenant._script(schema_name name, column_name name)
RETURNS TABLE(table_name text, command text, lock_level text, in_transaction boolean, note text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	tables regclass[] := multitenant._schema_candidates(schema_name, column_name);
	is_pending boolean := false;
	steps multitenant._step[];
	t regclass;
BEGIN
	FOREACH t IN ARRAY tables LOOP
		PERFORM multitenant._check_table(t);
		PERFORM multitenant._check_column(t, column_name);
		PERFORM multitenant._check_class(t, 'tenant', column_name);
		PERFORM multitenant._check_tree(t);
		PERFORM multitenant._check_policies(t, 'tenant');
		steps := ARRAY(SELECT p FROM multitenant._protect_steps(t, column_name, tables) p WHERE p.command IS NOT NULL);
		CONTINUE WHEN cardinality(steps) = 0;
		IF NOT is_pending THEN
			RETURN QUERY SELECT NULL, 'SET lock_timeout = ''5s''', NULL, true,
				'run it all in one session as the owner of the tables, whose code validation runs; a step that gives up can be run again, and so can plan()';
			is_pending := true;
		END IF;
		RETURN QUERY SELECT * FROM multitenant._preparation(steps);
	END LOOP;
	IF is_pending THEN
		RETURN QUERY SELECT NULL, format('SELECT * FROM multitenant.protect_schema(%L, %L, dry_run => false)', schema_name,
				column_name), 'ACCESS EXCLUSIVE', true, 'uses what is prepared and scans nothing; all tables or none';
		RETURN QUERY SELECT NULL, 'RESET lock_timeout', NULL, true, NULL;
	END IF;
	RETURN QUERY SELECT u.rel::text, NULL, NULL, NULL::boolean, u.note
		FROM multitenant._undecided(schema_name, column_name) u;
END
$$;

CREATE FUNCTION multitenant.plan(schema_name name, tenant_column name DEFAULT 'tenant_id')
RETURNS TABLE(table_name text, step int, command text, lock_level text, in_transaction boolean, note text)
LANGUAGE sql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.table_name, CASE WHEN s.command IS NOT NULL THEN count(s.command) OVER (ORDER BY s.n)::int END,
		s.command, s.lock_level, s.in_transaction, s.note
	FROM multitenant._script(schema_name, tenant_column) WITH ORDINALITY
		AS s(table_name, command, lock_level, in_transaction, note, n)
	ORDER BY s.n
$$;

COMMENT ON FUNCTION multitenant.plan(name, name) IS
'Prints the script that protects a schema of big tables without long locks: what needs a scan is prepared first (indexes CONCURRENTLY, constraints NOT VALID and then validated), the call of protect_schema() at the end finds it prepared. Run the commands one by one in the session that called this (without preloading, that is what loads the guard, which a foreign key to a table already protected needs to be validated), those with in_transaction = false outside a transaction. Steps already done are left out when it is called again; no rows: nothing is left to do.
schema_name: the schema. tenant_column: the column''s name in all of its tables.
Errors: those of protect() that need no scan; 3F000 no such schema.';

-- ---------------------------------------------------------------------------------------------------------------
-- The tenant column of a table that has none
-- ---------------------------------------------------------------------------------------------------------------

-- Foreign keys of the table whose other end carries the tenant: a protected table, or one with a column of that name.
CREATE FUNCTION multitenant._tenant_sources(rel regclass, column_name name, through name)
RETURNS TABLE(con oid, con_name name, parent regclass, parent_column name, is_mandatory boolean)
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT f.oid, f.conname, f.confrelid::regclass, p.parent_column,
		NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
					WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey) AND NOT a.attnotnull)
	FROM pg_catalog.pg_constraint f
	CROSS JOIN LATERAL (SELECT coalesce(multitenant._tenant_column(f.confrelid),
		CASE WHEN multitenant._has_column(f.confrelid, column_name) THEN column_name END)) AS p(parent_column)
	WHERE f.contype = 'f' AND f.conparentid = 0 AND f.conrelid = rel AND f.confrelid <> rel
	  AND (through IS NULL OR f.conname = through) AND p.parent_column IS NOT NULL
	  AND coalesce(multitenant._class_of(f.confrelid), 'tenant') = 'tenant'
	ORDER BY f.conname
$$;

-- The nearest table on a path of foreign keys that carries the tenant; the one before it has to be filled first.
CREATE FUNCTION multitenant._first_to_fill(rel regclass, column_name name) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE path(table_name, visited, depth) AS (
		SELECT rel::oid, ARRAY[rel::oid], 0
		UNION ALL
		SELECT f.confrelid, p.visited || f.confrelid, p.depth + 1 FROM path p
		JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND f.conrelid = p.table_name AND f.conparentid = 0
		WHERE NOT f.confrelid = ANY (p.visited) AND p.depth < 8
	)
	SELECT p.table_name::regclass FROM path p
	WHERE p.depth > 0 AND EXISTS (SELECT FROM multitenant._tenant_sources(p.table_name, column_name, NULL))
	ORDER BY p.depth, p.table_name::regclass::text COLLATE "C" LIMIT 1
$$;

-- The one foreign key that the tenant is derived through. A mandatory one wins over those that may be NULL.
CREATE FUNCTION multitenant._choose_source(rel regclass, column_name name, through name, OUT con oid, OUT con_name name,
										   OUT parent regclass, OUT parent_column name)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	names text;
	count_all int;
	count_mandatory int;
	first_table regclass;
BEGIN
	SELECT string_agg(quote_ident(s.con_name), ', ' ORDER BY s.con_name), count(*), count(*) FILTER (WHERE s.is_mandatory)
	INTO names, count_all, count_mandatory FROM multitenant._tenant_sources(rel, column_name, through) s;
	IF count_all = 0 AND through IS NOT NULL THEN
		RAISE EXCEPTION 'foreign key % of table % does not lead to a table with a tenant', quote_ident(through), rel
			USING ERRCODE = '42704', HINT = 'Name a foreign key whose referenced table has the tenant column.';
	ELSIF count_all = 0 THEN
		first_table := multitenant._first_to_fill(rel, column_name);
		RAISE EXCEPTION 'no foreign key of table % leads to a table with a tenant', rel
			USING ERRCODE = '55000', HINT = CASE WHEN first_table IS NULL
				THEN 'Add and fill the column yourself, then protect the table; or declare it with multitenant.share() or exempt().'
				ELSE format('Begin with CALL multitenant.add_tenant_column(%L, %L), which lies on the way.', first_table,
							column_name) END;
	ELSIF count_all > 1 AND count_mandatory <> 1 THEN
		RAISE EXCEPTION 'several foreign keys of table % lead to a table with a tenant', rel
			USING ERRCODE = '42725', DETAIL = format('Foreign keys: %s.', names),
				  HINT = 'Name the one that decides whose a row is in the argument "through".';
	END IF;
	SELECT s.con, s.con_name, s.parent, s.parent_column INTO con, con_name, parent, parent_column
	FROM multitenant._tenant_sources(rel, column_name, through) s WHERE count_all = 1 OR s.is_mandatory;
	IF multitenant._is_protected(parent) AND coalesce(multitenant._label_json(parent) ->> 'mode', '') <> 'paused' THEN
		RAISE EXCEPTION 'table % is protected, its rows cannot all be read', parent
			USING ERRCODE = '55000',
				  HINT = format('Run this before protecting %s, or while it is paused: multitenant.pause_protection(%L, reason, '
								'until).', parent, parent);
	END IF;
	PERFORM multitenant._check_trust(rel, parent);
END
$$;

-- Adds the column as the parent has it, or checks the one that is there.
CREATE FUNCTION multitenant._add_column(rel regclass, column_name name, parent regclass, parent_column name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	wanted text;
	present text;
BEGIN
	PERFORM multitenant._check_column(parent, parent_column);
	SELECT format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation NOT IN (0, 100)
			THEN format(' COLLATE %I.%I', n.nspname, l.collname) ELSE '' END INTO wanted
	FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
	LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
	WHERE a.attrelid = parent AND a.attname = parent_column;
	SELECT format_type(a.atttypid, a.atttypmod) INTO present FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = rel AND a.attname = column_name AND NOT a.attisdropped;
	IF present IS NULL THEN
		PERFORM multitenant._run_as_owner(rel, format('ALTER TABLE %s ADD COLUMN %I %s', rel, column_name, wanted));
	ELSIF wanted NOT LIKE present || '%' THEN
		RAISE EXCEPTION 'column % of table % has type %, that of % has type %', quote_ident(column_name), rel, present, parent,
			wanted
			USING ERRCODE = '42804', HINT = 'Give the column the type of the referenced table''s tenant column.';
	END IF;
END
$$;

-- UPDATE of the rows without a tenant. With a range of blocks added it is a TID Range Scan, so no block is read twice.
CREATE FUNCTION multitenant._fill_command(leaf regclass, column_name name, con oid, parent regclass, parent_column name)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('UPDATE ONLY %1$s AS c SET %2$I = p.%3$I FROM %4$s AS p'
				  ' WHERE c.%2$I IS NULL AND p.%3$I IS NOT NULL AND %5$s', leaf, column_name, parent_column, parent,
		string_agg(format('p.%I OPERATOR(%I.%s) c.%I', b.attname, n.nspname, o.oprname, a.attname), ' AND '))
	FROM pg_catalog.pg_constraint f
	CROSS JOIN LATERAL unnest(f.conkey, f.confkey, f.conpfeqop) AS x(child_number, parent_number, operator)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = x.child_number
	JOIN pg_catalog.pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = x.parent_number
	JOIN pg_catalog.pg_operator o ON o.oid = x.operator JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
	WHERE f.oid = con
$$;

-- How many blocks hold about so many rows.
CREATE FUNCTION multitenant._blocks_for(leaf regclass, row_count int) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT greatest(1, row_count::numeric * multitenant._blocks_of(leaf)
		/ greatest(1, (SELECT CASE WHEN c.reltuples > 0 AND c.relpages > 0
			THEN c.reltuples / c.relpages * multitenant._blocks_of(leaf) ELSE multitenant._blocks_of(leaf) * current_setting('block_size')::int / 100 END
			FROM pg_catalog.pg_class c WHERE c.oid = leaf))::numeric)::bigint
$$;

-- Security: a procedure that commits cannot have a SET clause. So search_path is the caller's at every BEGIN of a
-- transaction, and is set again before anything in it is resolved; set_config itself is called by its full name.
CREATE PROCEDURE multitenant.add_tenant_column(table_name regclass, tenant_column name DEFAULT 'tenant_id',
											   through name DEFAULT NULL, batch_size int DEFAULT 10000)
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	source record;
	leaf regclass;
	leaves regclass[];
	fill text;
	first_block bigint;
	end_block bigint;
	width bigint;
	batch bigint;
	filled bigint;
	total bigint;
	missing bigint;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM multitenant._check_table(table_name);
	PERFORM multitenant._check_tree(table_name);
	IF coalesce(batch_size, 0) < 1 THEN
		RAISE EXCEPTION 'batch_size must be positive' USING ERRCODE = '22023', HINT = 'Omit it to use 10000 rows.';
	ELSIF multitenant._class_of(table_name) IS NOT NULL THEN
		RAISE EXCEPTION 'table % already is of class %', table_name, multitenant._class_of(table_name)
			USING ERRCODE = '55000', HINT = format('Give it back with multitenant.unprotect(%L) first.', table_name);
	END IF;
	SELECT * INTO source FROM multitenant._choose_source(table_name, tenant_column, through);
	PERFORM multitenant._add_column(table_name, tenant_column, source.parent, source.parent_column);
	leaves := ARRAY(SELECT t.member FROM multitenant._tree(table_name) t JOIN pg_catalog.pg_class c ON c.oid = t.member
					WHERE c.relkind = 'r');
	total := multitenant._estimated_rows(table_name);
	filled := 0;
	COMMIT;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

	FOREACH leaf IN ARRAY leaves LOOP
		fill := multitenant._fill_command(leaf, tenant_column, source.con, source.parent, source.parent_column);
		width := multitenant._blocks_for(leaf, batch_size);
		-- What an UPDATE writes goes behind this end and has its tenant already.
		end_block := multitenant._blocks_of(leaf);
		first_block := 0;
		WHILE first_block < end_block LOOP
			-- Deferred triggers would not fire as the owner, but at COMMIT as the caller; the server refuses that.
			SET CONSTRAINTS ALL IMMEDIATE;
			batch := multitenant._run_as_owner(leaf, fill || format(' AND c.ctid >= ''(%s,0)'' AND c.ctid < ''(%s,0)''',
																	first_block, first_block + width));
			COMMIT;
			PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
			filled := filled + batch;
			first_block := first_block + width;
			IF batch > 0 THEN
				RAISE NOTICE '%', format('%s of about %s rows', filled, greatest(total, filled));
			END IF;
		END LOOP;
	END LOOP;

	missing := multitenant._query_as_owner(table_name, format('SELECT count(*) FROM %s WHERE %I IS NULL', table_name,
															   tenant_column));
	IF missing > 0 THEN
		RAISE EXCEPTION 'rows of table % have no tenant to derive', table_name
			USING ERRCODE = '23502',
				  DETAIL = format('Rows that refer to nothing through %I, or to a row without a tenant: %s.', source.con_name, missing),
				  HINT = format('Set column %I of these rows yourself or delete them, then call this again; the other rows are done.',
								tenant_column);
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = table_name AND a.attname = tenant_column
			   AND a.attnotnull) THEN
		RETURN;
	END IF;
	FOR fill IN SELECT p.command FROM unnest(multitenant._not_null_preparation(table_name, tenant_column)) AS p(command) LOOP
		PERFORM multitenant._run_as_owner(table_name, fill);
		COMMIT;
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	END LOOP;
	PERFORM multitenant._run_as_owner(table_name, format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', table_name,
														 tenant_column));
	PERFORM multitenant._run_as_owner(table_name, format('ALTER TABLE %s DROP CONSTRAINT multitenant_staged_not_null',
														 table_name));
END
$$;

COMMENT ON PROCEDURE multitenant.add_tenant_column(regclass, name, name, int) IS
'Adds the tenant column to a table that has none and fills it through a foreign key from the table that has one; then makes it NOT NULL. Commits after every batch, reports progress as NOTICEs, and goes on where it stopped when called again. Call it outside a transaction and before protecting the referenced table. Triggers of the table fire with the rights of its owner, deferred ones at once, in an operation that may not change roles or make temporary tables.
table_name: a table of the caller. tenant_column: its new column, of the type of the referenced table''s tenant column; no default. through: the foreign key that decides whose a row is; NULL finds it. batch_size: rows per transaction.
Errors: 42501 not the owner, or the owner may not read the referenced table; 55000 no foreign key leads to a tenant (the HINT names the table to begin with), or the referenced table is protected already and not paused; 42725 several do; 42704 the named one does not; 42804 the column has another type; 23502 some rows have no tenant to derive (the others stay filled); 22023 batch_size not positive.';
