/*
 * isolation.sql
 *	  Moving one tenant of a partitioned table into a partition of its own.
 *
 * isolate_tenant() copies the tenant's rows in batches into a table that is not attached yet, and that nobody reads
 * through the partitioned one. Then, in one transaction under the lock, it makes the copy equal to what is there, takes
 * the rows out of the shared partition and attaches the copy. So a row is seen once at every time, and whatever happens
 * before that transaction has committed has changed nothing that anybody sees. How far a copy has come is written in
 * its label: a crash leaves it there, and the next call goes on.
 *
 * Security: as in table.sql. Rows are read and written as the owner of the table in the context of the tenant that is
 * moved: the policies themselves keep the move from touching anybody else's rows. Nothing is exempt from the guard.
 */

-- ---------------------------------------------------------------------------------------------------------------
-- Partitions and tenants
-- ---------------------------------------------------------------------------------------------------------------

-- The DEFAULT partition: where the rows of tenants are that have none of their own. NULL without one.
CREATE FUNCTION multitenant._shared_partition(rel regclass) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.partdefid::regclass FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = rel AND p.partdefid <> 0
$$;

-- What the rows of the table have in the tenant column for a tenant: id, number or slug.
CREATE FUNCTION multitenant._value_of_tenant(rel regclass, tenant uuid) RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE multitenant._accessor(a.atttypid) WHEN 'multitenant.current_tenant()' THEN t.id::text
		WHEN 'multitenant.current_tenant_slug()' THEN t.slug ELSE t.number::text END
	FROM multitenant.tenants t
	JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attname = multitenant._tenant_column(rel)
	WHERE t.id = tenant
$$;

CREATE FUNCTION multitenant._tenant_literal(rel regclass, tenant uuid) RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%L::%s', multitenant._value_of_tenant(rel, tenant), format_type(a.atttypid, NULL))
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attname = multitenant._tenant_column(rel)
$$;

-- The tenant column as the server compares it.
CREATE FUNCTION multitenant._tenant_expression(rel regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT quote_ident(a.attname) || CASE WHEN a.atttypid = 'pg_catalog.varchar'::regtype THEN '::text' ELSE '' END
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attname = multitenant._tenant_column(rel)
$$;

-- Which partition lists which values. The server prints integers bare and everything else as literals.
CREATE FUNCTION multitenant._listed_tenants(rel regclass) RETURNS TABLE(part regclass, value text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.inhrelid::regclass, CASE WHEN starts_with(e.item[1], '''')
		THEN replace(substr(e.item[1], 2, length(e.item[1]) - 2), '''''', '''') ELSE e.item[1] END
	FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
	CROSS JOIN LATERAL regexp_matches(substring(pg_get_expr(c.relpartbound, c.oid) FROM '^FOR VALUES IN \((.*)\)$'),
									  '(''(?:[^'']|'''')*''|[^'', ]+)', 'g') AS e(item)
	WHERE i.inhparent = rel AND c.relispartition AND e.item[1] <> 'NULL'
$$;

-- The partition of the tenant's own; NULL if its rows are in the shared one.
CREATE FUNCTION multitenant._partition_of(rel regclass, tenant uuid) RETURNS regclass
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT l.part FROM multitenant._listed_tenants(rel) l WHERE l.value = multitenant._value_of_tenant(rel, tenant) LIMIT 1
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Copies that are under way
-- ---------------------------------------------------------------------------------------------------------------

-- What the label of a table says of the move that it is the copy of; all NULL where it is none. Names, because labels live
-- in dumps. Security: an owner can have written the label. So it counts only for tables of the same owner, and nonsense
-- is nothing.
CREATE FUNCTION multitenant._isolation_of(copy regclass, OUT rel regclass, OUT tenant uuid, OUT phase text, OUT rows_copied bigint,
	OUT rows_expected bigint, OUT blocks_read bigint, OUT blocks_expected bigint, OUT started_at timestamptz, OUT updated_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	says jsonb := multitenant._label_json(copy) -> 'isolation';
BEGIN
	rel := to_regclass(says ->> 'table');
	IF multitenant._owner(rel) = multitenant._owner(copy) THEN
		tenant := (says ->> 'tenant')::uuid;
		phase := says ->> 'phase';
		rows_copied := (says ->> 'rows')::bigint;
		rows_expected := (says ->> 'of_rows')::bigint;
		blocks_read := (says ->> 'block')::bigint;
		blocks_expected := (says ->> 'of_blocks')::bigint;
		started_at := (says ->> 'since')::timestamptz;
		updated_at := (says ->> 'at')::timestamptz;
	ELSE
		rel := NULL;
	END IF;
EXCEPTION
	WHEN OTHERS THEN
		rel := NULL;
END
$$;

CREATE VIEW multitenant.isolations WITH (security_invoker = true) AS
	SELECT i.rel::text AS table_name, i.tenant AS tenant_id, format('%I.%I', n.nspname, c.relname) AS partition_name,
		i.phase, i.rows_copied, i.rows_expected, i.blocks_read, i.blocks_expected, i.started_at, i.updated_at
	FROM (SELECT c.oid, c.relname, c.relnamespace FROM pg_catalog.pg_class c
		  WHERE c.relkind = 'r' AND NOT c.relispartition AND multitenant._label(c.oid) LIKE '%"isolation"%'
			AND multitenant._has('see_tenants') OFFSET 0) AS c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	CROSS JOIN LATERAL multitenant._isolation_of(c.oid) i
	WHERE i.rel IS NOT NULL;
COMMENT ON VIEW multitenant.isolations IS
'Tenants that isolate_tenant() is moving, or has stopped moving: phase is copying, or ready (the copy is complete and waits for the lock); rows and pages of the shared partition done and expected; updated_at: the last batch. For profiles that see the list of tenants.';

-- The copy of that tenant's rows; NULL if there is none.
CREATE FUNCTION multitenant._copy_of(rel regclass, tenant uuid) RETURNS regclass
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.partition_name::regclass FROM multitenant.isolations i
	WHERE i.table_name = rel::text AND i.tenant_id = tenant LIMIT 1
$$;

CREATE FUNCTION multitenant._note_isolation(copy regclass, changes jsonb) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._set_label(copy, 'tenant ' || (j || jsonb_build_object('isolation',
		coalesce(j -> 'isolation', '{}') || changes || jsonb_build_object('at', clock_timestamp())))::text)
	FROM multitenant._label_json(copy) j
$$;

-- Options of the table and of its TOAST table, as CREATE TABLE takes them; empty without any.
CREATE FUNCTION multitenant._storage_clauses(rel regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ' USING ' || quote_ident(m.amname)
		|| coalesce(' WITH (' || nullif(concat_ws(', ', multitenant._option_list(c.reloptions), (
			SELECT string_agg(format('toast.%I = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')
			FROM unnest(t.reloptions) o)), '') || ')', '')
		|| coalesce(' TABLESPACE ' || quote_ident(s.spcname), '')
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am m ON m.oid = c.relam
	LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace
	WHERE c.oid = rel
$$;

-- What a replica tells rows apart by, as in the shared partition.
CREATE FUNCTION multitenant._replica_identity_command(copy regclass, shared regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('ALTER TABLE %s REPLICA IDENTITY ', copy) || CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
		WHEN 'i' THEN 'USING INDEX ' || (
			SELECT quote_ident(x.relname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_index o
				ON o.indrelid = shared AND o.indisreplident
			JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = copy AND i.indisunique AND i.indpred IS NULL
			  AND multitenant._key_columns(i.indexrelid) = multitenant._key_columns(o.indexrelid) LIMIT 1) END
	FROM pg_catalog.pg_class c WHERE c.oid = shared
$$;

-- The indexes of the parent that the copy does not have yet. (Constraints are named as their indexes.)
CREATE FUNCTION multitenant._index_commands(rel regclass, copy regclass) RETURNS TABLE(command text, is_primary boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	i record;
	table_name name := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = rel);
	copy_name name := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = copy);
	new_name name;
	head text;
	taken text[] := '{}';
BEGIN
	FOR i IN SELECT o.*, pg_get_indexdef(o.index_oid) AS definition, pg_get_constraintdef(o.con_oid) AS con_definition
			 FROM multitenant._own_indexes(rel) o LOOP
		new_name := multitenant._free_relation_name(copy, copy_name || '_' || CASE WHEN starts_with(i.index_name, table_name || '_')
			THEN substr(i.index_name, length(table_name) + 2) ELSE i.index_name END, '', taken);
		taken := taken || new_name::text;
		is_primary := i.is_primary;
		IF i.con_oid IS NOT NULL THEN
			command := format('ALTER TABLE %s ADD CONSTRAINT %I %s', copy, new_name, i.con_definition);
		ELSE
			-- How the server's text begins can be foretold; if it ever cannot, this is an error and not a guess.
			head := format('CREATE %sINDEX %I ON ONLY %s USING ', CASE WHEN i.is_unique THEN 'UNIQUE ' ELSE '' END, i.index_name, rel);
			IF NOT starts_with(i.definition, head) THEN
				RAISE EXCEPTION 'cannot read the definition of index %', i.index_oid::regclass
					USING ERRCODE = '55000', DETAIL = i.definition, HINT = 'Make the tenant''s partition by hand.';
			END IF;
			command := format('CREATE %sINDEX %I ON %s USING ', CASE WHEN i.is_unique THEN 'UNIQUE ' ELSE '' END, new_name, copy)
				|| substr(i.definition, length(head) + 1);
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;

-- The copy gets what it lacks for being attached in no time. Until now it had its primary key only: that is faster, and
-- rows that have not been brought up to date yet cannot be in the way of others.
CREATE FUNCTION multitenant._complete_copy(rel regclass, copy regclass, shared regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	command text;
BEGIN
	FOR command IN SELECT c.command FROM multitenant._index_commands(rel, copy) c WHERE NOT c.is_primary LOOP
		PERFORM multitenant._run_as_owner(copy, command);
	END LOOP;
	command := multitenant._replica_identity_command(copy, shared);
	IF command IS NOT NULL THEN
		PERFORM multitenant._run_as_owner(copy, command);
	END IF;
END
$$;

-- Waits a little, until the deadline. For where a failed attempt has given back its locks.
CREATE FUNCTION multitenant._wait_or_give_up(deadline timestamptz, rel regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF clock_timestamp() > deadline THEN
		RAISE EXCEPTION 'table % is in use', rel
			USING ERRCODE = '55P03',
				  HINT = 'What has been copied stays; call isolate_tenant() again when there is less traffic, or give it more patience. '
					'Look for long transactions in pg_stat_activity.';
	END IF;
	PERFORM pg_sleep(0.1 + random() * 0.2);
END
$$;

-- Gives the copy the foreign keys of the table, for each of which the server locks the table that it refers to: all at
-- once, or none and again, so that nobody who writes there queues for longer than half a second.
CREATE FUNCTION multitenant._add_references(rel regclass, copy regclass, patience interval) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	command text;
	deadline timestamptz := clock_timestamp() + patience;
BEGIN
	LOOP
		BEGIN
			PERFORM set_config('lock_timeout', '500ms', true);
			FOR command IN SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', copy, k.conname, pg_get_constraintdef(k.oid))
					FROM pg_catalog.pg_constraint k
					WHERE k.conrelid = rel AND k.contype = 'f' AND k.conparentid = 0 AND k.confrelid <> rel LOOP
				PERFORM multitenant._run_as_owner(copy, command);
			END LOOP;
			RETURN;
		EXCEPTION
			WHEN lock_not_available THEN
				PERFORM multitenant._wait_or_give_up(deadline, rel);
		END;
	END LOOP;
END
$$;

-- Makes the table that is to become the partition: empty, protected, with the columns, checks, primary key and foreign
-- keys of its parent.
CREATE FUNCTION multitenant._create_copy(rel regclass, shared regclass, tenant uuid, patience interval) RETURNS regclass
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	column_name name := multitenant._tenant_column(rel);
	copy regclass;
	copy_name text;
	command text;
	s multitenant._step;
BEGIN
	SELECT format('%I.%I', n.nspname, multitenant._free_relation_name(rel, c.relname, '_tenant_' || t.number, '{}')) INTO copy_name
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, multitenant.tenants t
	WHERE c.oid = rel AND t.id = tenant;
	PERFORM multitenant._run_as_owner(rel, format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING '
		'CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING STATISTICS)%s', copy_name, rel,
		multitenant._storage_clauses(shared)));
	copy := copy_name::regclass;
	FOR command IN
		SELECT c.command FROM multitenant._index_commands(rel, copy) c WHERE c.is_primary
		UNION ALL
		SELECT format('ALTER TABLE %s ADD CONSTRAINT multitenant_only_tenant CHECK (%I = %s)', copy, column_name,
					  multitenant._tenant_literal(rel, tenant))
		UNION ALL SELECT * FROM multitenant._column_setting_commands(rel, copy_name)
		UNION ALL SELECT * FROM multitenant._grant_commands(shared, copy_name) LOOP
		CONTINUE WHEN command IS NULL;
		PERFORM multitenant._run_as_owner(copy, command);
	END LOOP;
	FOREACH s IN ARRAY ARRAY(SELECT p FROM multitenant._policy_steps(copy, 'tenant', column_name) p)
		|| ARRAY(SELECT p FROM multitenant._row_security_steps(copy) p)
		|| ARRAY(SELECT p FROM multitenant._column_label_steps(copy, column_name) p) LOOP
		PERFORM multitenant._execute_step(s);
	END LOOP;
	PERFORM multitenant._set_label(copy, 'tenant ' || jsonb_build_object('isolation', jsonb_build_object('table', rel::text,
		'tenant', tenant, 'phase', 'copying', 'rows', 0, 'block', 0, 'since', clock_timestamp()))::text);
	PERFORM multitenant._assert_intact(copy);
	PERFORM multitenant._add_references(rel, copy, patience);
	RETURN copy;
END
$$;

-- That the copy is as it was made. It belongs to the owner of the table, who can have changed it, or the table, since.
CREATE FUNCTION multitenant._check_copy(rel regclass, copy regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_text text;
BEGIN
	WITH columns AS (
		SELECT a.attrelid, a.attname, ROW(a.atttypid, a.atttypmod, a.attcollation, a.attgenerated) AS kind
		FROM pg_catalog.pg_attribute a WHERE a.attrelid IN (rel, copy) AND a.attnum > 0 AND NOT a.attisdropped
	), differences AS (
		SELECT format('column %I', coalesce(p.attname, c.attname)) AS what
		FROM (SELECT * FROM columns WHERE attrelid = rel) AS p
		FULL JOIN (SELECT * FROM columns WHERE attrelid = copy) AS c ON c.attname = p.attname
		WHERE p.kind IS DISTINCT FROM c.kind
		UNION ALL
		SELECT format('trigger %I', g.tgname) FROM pg_catalog.pg_trigger g WHERE g.tgrelid = copy AND NOT g.tgisinternal
		UNION ALL
		SELECT format('rule %I', r.rulename) FROM pg_catalog.pg_rewrite r WHERE r.ev_class = copy
		UNION ALL
		SELECT format('policy %I', p.polname) FROM pg_catalog.pg_policy p
		WHERE p.polrelid = copy AND NOT p.polname = ANY (multitenant._policy_names())
	)
	SELECT string_agg(d.what, ', ' ORDER BY d.what COLLATE "C") INTO found_text FROM differences d;
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'the copy % is not as table % is', copy, rel
			USING ERRCODE = '55000', DETAIL = format('Different: %s.', found_text),
				  HINT = format('Nothing was changed. DROP TABLE %s, and call isolate_tenant() again.', copy);
	END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Preconditions
-- ---------------------------------------------------------------------------------------------------------------

-- That the owner sees every row of the tenant, and only those: policies of others could hide some from the move.
CREATE FUNCTION multitenant._check_isolation(rel regclass, tenant uuid) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	shared regclass;
	found_text text;
BEGIN
	PERFORM multitenant._check_partitioned(rel);
	shared := multitenant._shared_partition(rel);
	IF shared IS NULL THEN
		RAISE EXCEPTION 'table % has no DEFAULT partition to move a tenant out of', rel
			USING ERRCODE = '55000', HINT = 'Attach one, or make the tenant''s partition by hand.';
	ELSIF (SELECT c.relkind <> 'r' FROM pg_catalog.pg_class c WHERE c.oid = shared) THEN
		RAISE EXCEPTION 'the shared partition % is partitioned itself', shared
			USING ERRCODE = '55000', HINT = 'Isolate tenants before partitioning the shared partition further, or by hand.';
	ELSIF (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.oid = multitenant._owner(rel)) THEN
		RAISE EXCEPTION 'table % belongs to a role that row level security does not filter', rel
			USING ERRCODE = '55000',
				  HINT = 'Give it to a role without SUPERUSER and BYPASSRLS: the policies see to it that only this tenant''s rows move.';
	END IF;
	SELECT string_agg(quote_ident(p.polname), ', ' ORDER BY p.polname) INTO found_text FROM pg_catalog.pg_policy p
	WHERE p.polrelid = shared AND NOT p.polname = ANY (multitenant._policy_names());
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'policies of the shared partition % could hide rows from the move', shared
			USING ERRCODE = '55000', DETAIL = format('Policies: %s.', found_text),
				  HINT = format('Create them on %s, whose policies decide for everybody who names it, and drop them here.', rel);
	END IF;
	IF (SELECT p.permissions FROM multitenant._protection(rel) p) IS NOT NULL THEN
		RAISE EXCEPTION 'table % asks for permissions, which a move has not', rel
			USING ERRCODE = '55000',
				  HINT = 'Move the tenant before the table is given permissions; attach partitions of new tenants while they are empty.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = shared AND i.indisprimary AND i.indimmediate) THEN
		RAISE EXCEPTION 'table % has no primary key that is checked at once', rel
			USING ERRCODE = '55000', HINT = 'Give it one with the tenant column in it: by that the copy is compared with the original.';
	END IF;
	SELECT string_agg(format('%I of %s', r.con_name, r.child), ', ' ORDER BY r.con_name) INTO found_text
	FROM multitenant._incoming_references(rel) r WHERE NOT multitenant._is_owner(r.child);
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'foreign keys to table % have to be made again, and belong to other roles', rel
			USING ERRCODE = '42501', DETAIL = format('Foreign keys: %s.', found_text),
				  HINT = 'Run this as a superuser, or as a role that has the rights of all the owners.';
	END IF;
	-- A subscriber would be told of the DELETE, and not of rows that came into a table which was no partition yet.
	SELECT string_agg(quote_ident(p.pubname), ', ' ORDER BY p.pubname) INTO found_text FROM pg_catalog.pg_publication p
	WHERE (p.pubinsert OR p.pubdelete OR p.pubupdate) AND (p.puballtables
		OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel x JOIN pg_catalog.pg_partition_ancestors(shared) a ON a.relid = x.prrelid
				   WHERE x.prpubid = p.oid)
		OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace x
				   JOIN pg_catalog.pg_class c ON c.relnamespace = x.pnnspid
				   JOIN pg_catalog.pg_partition_ancestors(shared) a ON a.relid = c.oid WHERE x.pnpubid = p.oid));
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'table % is published', rel
			USING ERRCODE = '55000', DETAIL = format('Publications: %s. Subscribers would lose the rows that are moved.', found_text),
				  HINT = 'Take the table out of the publication and add it again afterwards; subscribers have to copy it anew.';
	END IF;
	SELECT t.state INTO found_text FROM multitenant.tenants t WHERE t.id = tenant;
	IF found_text IS DISTINCT FROM 'active' THEN
		RAISE EXCEPTION 'the tenant is %', found_text
			USING ERRCODE = '55000', HINT = 'A tenant is moved in its own context, which only an active one has.';
	END IF;
END
$$;

CREATE FUNCTION multitenant._confirm_absence(table_name regclass, constraint_name name) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_confirm_absence';
COMMENT ON FUNCTION multitenant._confirm_absence(regclass, name) IS
'Internal: validates a CHECK (tenant column <> constant) by an index, under an ACCESS EXCLUSIVE lock; false if that cannot be done, or a row has the constant.';

-- ---------------------------------------------------------------------------------------------------------------
-- The move
-- ---------------------------------------------------------------------------------------------------------------

-- That s, of the shared partition, and c, of the copy, have the same primary key. Its operators are named, because nobody's
-- search_path is in force.
CREATE FUNCTION multitenant._same_key(shared regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('s.%1$I OPERATOR(%2$I.%3$s) c.%1$I', a.attname, n.nspname, o.oprname), ' AND ' ORDER BY x.n)
	FROM pg_catalog.pg_index i
	CROSS JOIN LATERAL unnest((i.indkey::int2[])[0:i.indnkeyatts - 1], i.indclass::oid[]) WITH ORDINALITY AS x(number, class, n)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.number
	JOIN pg_catalog.pg_opclass oc ON oc.oid = x.class
	JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
		AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
	JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
	WHERE i.indrelid = shared AND i.indisprimary
$$;

-- INSERT of the tenant's rows that the copy does not have, of those for which "range" holds.
CREATE FUNCTION multitenant._copy_command(copy regclass, shared regclass, tenant_filter text, range text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('INSERT INTO %s (%s) SELECT %s FROM ONLY %s AS s WHERE s.%s AND %s ON CONFLICT (%s) DO NOTHING', copy,
		multitenant._quoted_list(c.columns),
		(SELECT string_agg(format('s.%I', x), ', ' ORDER BY n) FROM unnest(c.columns) WITH ORDINALITY AS u(x, n)),
		shared, tenant_filter, range, (SELECT multitenant._quoted_list(multitenant._key_columns(i.indexrelid))
									   FROM pg_catalog.pg_index i WHERE i.indrelid = copy AND i.indisprimary))
	FROM (SELECT multitenant._live_columns(shared, false)) AS c(columns)
$$;

-- That s, of the shared partition, and c, of the copy, are the same row, byte for byte.
CREATE FUNCTION multitenant._same_row(shared regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%s AND ROW(%s)::record OPERATOR(pg_catalog.*=) ROW(%s)::record', multitenant._same_key(shared),
		string_agg(format('s.%I', x), ', ' ORDER BY n), string_agg(format('c.%I', x), ', ' ORDER BY n))
	FROM unnest(multitenant._live_columns(shared, false)) WITH ORDINALITY AS u(x, n)
$$;

-- Makes the copy equal to what is there: DELETE what is not there (any more), INSERT what is missing. One statement,
-- because both have to see the same: a value of a unique key can have gone from one row to another in between.
CREATE FUNCTION multitenant._catch_up_command(copy regclass, shared regclass, tenant_filter text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('WITH gone AS (DELETE FROM %s AS c WHERE NOT EXISTS (SELECT FROM ONLY %s AS s WHERE s.%s AND %s) RETURNING 1) ',
				  copy, shared, tenant_filter, e.is_same)
		-- (asking for the number of those that are gone has them go first)
		|| multitenant._copy_command(copy, shared, tenant_filter, format('(SELECT count(*) FROM gone) IS NOT NULL AND NOT EXISTS '
			'(SELECT FROM %s AS c WHERE %s)', copy, e.is_same))
	FROM (SELECT multitenant._same_row(shared)) AS e(is_same)
$$;

-- Returns the number of rows that the copy lacked.
CREATE FUNCTION multitenant._catch_up(copy regclass, shared regclass, tenant_filter text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Hash joins over all of the tenant's rows, the last time under a lock.
	PERFORM set_config('work_mem', current_setting('maintenance_work_mem'), true);
	RETURN multitenant._run_as_owner(copy, multitenant._catch_up_command(copy, shared, tenant_filter));
END
$$;

-- Locks everything that the exchange changes. Only for the first lock is it waited, half a second at a time; what then
-- is not free makes it let go of all and try again: nobody is ever waited for under a lock, so there is no deadlock, and
-- no queue behind this for longer. What cannot be locked beforehand, because it is another role's, is waited for half a
-- second, too; then the exchange is given up.
--
-- The first lock is on the table itself. Without it a statement that has looked up the partitions already would wait for
-- the shared one, and find the rows gone from there and no partition where they are.
CREATE FUNCTION multitenant._lock_for_exchange(rel regclass, shared regclass, patience interval) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	other regclass;
	deadline timestamptz := clock_timestamp() + patience;
BEGIN
	LOOP
		BEGIN
			PERFORM set_config('lock_timeout', '500ms', true);
			PERFORM multitenant._run_as_owner(rel, format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', rel));
			-- From here on no foreign key comes or goes.
			IF EXISTS (SELECT FROM multitenant._incoming_references(rel)) THEN
				PERFORM multitenant._run_as_owner(rel, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', rel));
			ELSE
				PERFORM multitenant._run_as_owner(shared, format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', shared));
			END IF;
			FOR other IN SELECT DISTINCT r.child FROM multitenant._incoming_references(rel) r WHERE NOT r.is_self LOOP
				PERFORM multitenant._run_as_owner(other, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', other));
			END LOOP;
			-- ATTACH does this for the foreign keys that the partition gets.
			FOR other IN SELECT DISTINCT k.confrelid::regclass FROM pg_catalog.pg_constraint k
						 WHERE k.conrelid = rel AND k.contype = 'f' AND k.conparentid = 0 AND k.confrelid <> rel
						   AND multitenant._is_owner(k.confrelid) LOOP
				PERFORM multitenant._run_as_owner(other, format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE NOWAIT', other));
			END LOOP;
			RETURN;
		EXCEPTION
			WHEN lock_not_available THEN
				PERFORM multitenant._wait_or_give_up(deadline, rel);
		END;
	END LOOP;
END
$$;

-- The exchange, in one transaction: afterwards the tenant's rows are in its own partition and nowhere else. Foreign keys
-- to the table are taken away for it, because to the server the rows leave and do not come back; that they hold
-- afterwards follows from that the copy is equal, and nothing is read for it.
CREATE FUNCTION multitenant._exchange(rel regclass, copy regclass, tenant uuid, patience interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	shared regclass := multitenant._shared_partition(rel);
	column_name name := multitenant._tenant_column(rel);
	literal text := multitenant._tenant_literal(rel, tenant);
	tenant_filter text := format('%I = %s', column_name, literal);
	triggers_off text[];
	after_delete text[];
	references_away text[];
	references_again text[];
	comments text[];
	command text;
	present bigint;
	copied bigint;
	equal bigint;
	moved bigint;
BEGIN
	PERFORM multitenant._lock_for_exchange(rel, shared, patience);
	PERFORM multitenant._check_isolation(rel, tenant);
	PERFORM multitenant._check_copy(rel, copy);
	PERFORM multitenant._catch_up(copy, shared, tenant_filter);
	present := multitenant._query_as_owner(shared, format('SELECT count(*) FROM ONLY %s WHERE %s', shared, tenant_filter));
	copied := multitenant._query_as_owner(copy, format('SELECT count(*) FROM %s', copy));
	-- (What the owner has attached to the copy has run since.)
	equal := multitenant._query_as_owner(shared, format('SELECT count(*) FROM ONLY %s AS s JOIN %s AS c ON %s WHERE s.%s', shared, copy,
		multitenant._same_row(shared), tenant_filter));
	-- Triggers have seen these rows when they came; the foreign keys' own stay on.
	SELECT coalesce(array_agg(format('ALTER TABLE %s DISABLE TRIGGER %I', shared, g.tgname) ORDER BY g.tgname), '{}'),
		coalesce(array_agg(format('ALTER TABLE %s ENABLE %sTRIGGER %I', shared,
			CASE g.tgenabled WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END, g.tgname) ORDER BY g.tgname), '{}')
	INTO triggers_off, after_delete
	FROM pg_catalog.pg_trigger g WHERE g.tgrelid = shared AND NOT g.tgisinternal AND g.tgenabled <> 'D';
	SELECT coalesce(array_agg(r.drop_command ORDER BY r.n), '{}'), coalesce(array_agg(r.add_command ORDER BY r.n), '{}'),
		coalesce(array_agg(r.comment_command ORDER BY r.n) FILTER (WHERE r.comment_command IS NOT NULL), '{}')
	INTO references_away, references_again, comments
	FROM multitenant._incoming_references(rel) WITH ORDINALITY AS r(con, con_name, child, is_self, drop_command, add_command, comment_command, n);
	FOREACH command IN ARRAY triggers_off || references_away LOOP
		PERFORM multitenant._run_as_owner(NULL, command);
	END LOOP;
	moved := multitenant._run_as_owner(shared, format('DELETE FROM ONLY %s WHERE %s', shared, tenant_filter));
	IF moved <> present OR moved <> copied OR moved <> equal THEN
		RAISE EXCEPTION 'the copy % does not have the rows that are to be moved', copy
			USING ERRCODE = '55000', DETAIL = format('There are %s rows; the copy has %s, of which %s are the same, and %s would be moved.',
				present, copied, equal, moved),
				  HINT = 'Nothing was changed. Drop the copy, and call isolate_tenant() again.';
	END IF;
	-- With this the server need not read what all the others have in the shared partition.
	PERFORM multitenant._run_as_owner(shared, format('ALTER TABLE %s ADD CONSTRAINT multitenant_not_tenant CHECK (%s <> %L) NOT VALID',
		shared, multitenant._tenant_expression(rel), multitenant._value_of_tenant(rel, tenant)));
	IF NOT multitenant._confirm_absence(shared, 'multitenant_not_tenant') AND multitenant._is_large(shared) THEN
		RAISE EXCEPTION 'table % is too large to be read under a lock', shared
			USING ERRCODE = '55000', HINT = format('Create an index on it that begins with %I, then call isolate_tenant() again.', column_name);
	END IF;
	FOREACH command IN ARRAY after_delete
		|| format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN (%s)', rel, copy, literal)
		|| format('ALTER TABLE %s DROP CONSTRAINT multitenant_only_tenant', copy)
		|| format('ALTER TABLE %s DROP CONSTRAINT multitenant_not_tenant', shared) LOOP
		PERFORM multitenant._run_as_owner(NULL, command);
	END LOOP;
	FOREACH command IN ARRAY references_again LOOP
		PERFORM multitenant._add_checked_reference(command);
	END LOOP;
	FOREACH command IN ARRAY comments LOOP
		PERFORM multitenant._run_as_owner(NULL, command);
	END LOOP;
	-- By this a transaction whose snapshot is older knows that it must not look (src/guard/permission.c).
	PERFORM multitenant._set_label(rel, 'tenant '
		|| (multitenant._label_json(rel) || jsonb_build_object('last_isolation', clock_timestamp()))::text);
	PERFORM multitenant._set_label(copy, multitenant._partition_label(shared, '{not_null,default,row_security}', '{}'));
	PERFORM multitenant._assert_intact(rel);
	PERFORM multitenant._assert_intact(copy);
	RETURN moved;
END
$$;

-- Security: see add_tenant_column() about search_path in a procedure that commits. The context ends with each
-- transaction and is entered again in the next.
CREATE PROCEDURE multitenant.isolate_tenant(tenant text, table_name regclass, batch_size int DEFAULT 10000,
											patience interval DEFAULT '30 seconds')
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	tenant_uuid uuid;
	shared regclass;
	copy regclass;
	tenant_filter text;
	progress record;
	width bigint;
	batch bigint;
	total bigint;
	is_small boolean;
	is_up_to_date boolean := false;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	IF coalesce(batch_size, 0) < 1 OR patience IS NULL THEN
		RAISE EXCEPTION 'batch_size and patience must be positive'
			USING ERRCODE = '22023', HINT = 'Omit them to use 10000 rows and 30 seconds.';
	END IF;
	patience := multitenant._seconds(patience);
	PERFORM multitenant._check_partitioned(table_name);
	tenant_uuid := multitenant.tenant_id(tenant);
	IF multitenant._partition_of(table_name, tenant_uuid) IS NOT NULL THEN
		RAISE NOTICE 'tenant % has its partition already: %', tenant, multitenant._partition_of(table_name, tenant_uuid);
		RETURN;
	END IF;
	PERFORM multitenant._check_isolation(table_name, tenant_uuid);
	PERFORM multitenant._maintain_tenant(tenant_uuid);
	-- Deferred keys would be checked at COMMIT, as the caller; the server refuses that.
	SET CONSTRAINTS ALL IMMEDIATE;
	shared := multitenant._shared_partition(table_name);
	tenant_filter := format('%I = %s', multitenant._tenant_column(table_name), multitenant._tenant_literal(table_name, tenant_uuid));
	total := multitenant._query_as_owner(shared, format('SELECT count(*) FROM ONLY %s WHERE %s', shared, tenant_filter));
	is_small := total <= batch_size;
	-- One session makes the copy; those that come at the same time go on with it.
	PERFORM multitenant._run_as_owner(table_name, format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', table_name));
	IF multitenant._partition_of(table_name, tenant_uuid) IS NOT NULL THEN
		RETURN;
	END IF;
	copy := multitenant._copy_of(table_name, tenant_uuid);
	IF copy IS NULL THEN
		copy := multitenant._create_copy(table_name, shared, tenant_uuid, patience);
	END IF;
	PERFORM multitenant._note_isolation(copy, jsonb_build_object('of_rows', total, 'of_blocks', multitenant._blocks_of(shared)));
	COMMIT;

	width := NULL;
	LOOP
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		EXIT WHEN multitenant._copy_of(table_name, tenant_uuid) IS DISTINCT FROM copy;	-- somebody else has finished it
		-- One session at a time.
		PERFORM multitenant._run_as_owner(copy, format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', copy));
		EXIT WHEN multitenant._copy_of(table_name, tenant_uuid) IS DISTINCT FROM copy;
		PERFORM multitenant._check_copy(table_name, copy);
		PERFORM multitenant._maintain_tenant(tenant_uuid);
		SET CONSTRAINTS ALL IMMEDIATE;
		SELECT i.phase, i.rows_copied, i.blocks_read, i.blocks_expected INTO progress FROM multitenant._isolation_of(copy) i;
		IF progress.phase = 'ready' AND is_up_to_date THEN
			total := multitenant._exchange(table_name, copy, tenant_uuid, patience);
			RAISE NOTICE '%', format('%s rows of tenant %s are in partition %s', total, tenant, copy);
			EXIT;
		END IF;
		width := coalesce(width, multitenant._blocks_for(shared, batch_size));
		IF progress.phase = 'ready' THEN
			-- What has changed since a former call.
			batch := multitenant._catch_up(copy, shared, tenant_filter);
			PERFORM multitenant._note_isolation(copy, jsonb_build_object('rows', progress.rows_copied + batch));
			is_up_to_date := true;
		ELSIF is_small OR progress.blocks_read >= progress.blocks_expected THEN
			-- What came behind the end meanwhile, or changed: most of it is done before the lock.
			batch := multitenant._catch_up(copy, shared, tenant_filter);
			PERFORM multitenant._complete_copy(table_name, copy, shared);
			PERFORM multitenant._note_isolation(copy, jsonb_build_object('phase', 'ready', 'rows', progress.rows_copied + batch,
																		 'block', progress.blocks_expected));
			is_up_to_date := true;
		ELSE
			batch := multitenant._run_as_owner(copy, multitenant._copy_command(copy, shared, tenant_filter,
				format('s.ctid >= ''(%s,0)'' AND s.ctid < ''(%s,0)''', progress.blocks_read, progress.blocks_read + width)));
			PERFORM multitenant._note_isolation(copy, jsonb_build_object('rows', progress.rows_copied + batch,
																		 'block', least(progress.blocks_read + width, progress.blocks_expected)));
			IF batch > 0 THEN
				RAISE NOTICE '%', format('%s of about %s rows', progress.rows_copied + batch, greatest(total, progress.rows_copied + batch));
			END IF;
		END IF;
		COMMIT;
	END LOOP;
END
$$;

COMMENT ON PROCEDURE multitenant.isolate_tenant(text, regclass, int, interval) IS
'Moves the rows of one tenant out of the shared partition into a partition of its own, named TABLE_tenant_NUMBER. Rows are copied in batches while everybody works on; then one transaction brings the copy up to date, takes the rows out of the shared partition and attaches the copy. Everybody sees each row once at every time. Commits after every batch; stopped at any point, it goes on where it was when called again. See the view multitenant.isolations for progress; to give up, drop the copy.
tenant: slug or id of an active tenant. table_name: partitioned by tenant, see partition_by_tenant(), with a primary key; the tenant need not have rows yet. batch_size: rows of the shared partition for each transaction (about; default 10000). patience: how long to try for the lock (default 30 seconds); it is waited for half a second at a time.
The last transaction locks the table and its shared partition (ACCESS EXCLUSIVE), where other tables refer to the table also all partitions and those, and against writing what the table refers to, for as long as it takes to compare and delete this tenant''s rows. Deferred keys, and triggers on the shared partition, do not fire for the move. Call it outside a transaction.
Profile migrator. Errors: 42501; 22023 batch_size; MT008 unknown tenant; 55000 not partitioned by tenant, no primary key, with permissions, tenant not active, table published, policies on the shared partition, owner past row security, copy changed; 55P03 the lock was not to be had, the copy is kept.';

-- ---------------------------------------------------------------------------------------------------------------
-- New tenants
-- ---------------------------------------------------------------------------------------------------------------

-- Tenants that should have a partition by the strategy of the table and have none.
CREATE FUNCTION multitenant._missing_partitions() RETURNS TABLE(rel regclass, tenant uuid)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH dedicated AS MATERIALIZED (
		SELECT c.oid::regclass AS rel, multitenant._accessor(a.atttypid) AS accessor
		FROM pg_catalog.pg_partitioned_table p JOIN pg_catalog.pg_class c ON c.oid = p.partrelid
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = multitenant._tenant_column(c.oid)
		WHERE multitenant._label(c.oid) LIKE '%"new_tenants"%' AND multitenant._label_json(c.oid) ->> 'new_tenants' = 'dedicated'
		  AND multitenant._is_partitioned_by_tenant(c.oid)
	), listed AS MATERIALIZED (
		SELECT d.rel, l.value FROM dedicated d CROSS JOIN LATERAL multitenant._listed_tenants(d.rel) l
	), wanted AS (
		-- _value_of_tenant() for all at once: there can be a million
		SELECT d.rel, t.id, t.number, CASE d.accessor WHEN 'multitenant.current_tenant()' THEN t.id::text
			WHEN 'multitenant.current_tenant_slug()' THEN t.slug ELSE t.number::text END AS value
		FROM dedicated d CROSS JOIN multitenant.tenants t WHERE t.state = 'active'
	)
	SELECT w.rel, w.id FROM wanted w
	WHERE NOT EXISTS (SELECT FROM listed l WHERE l.rel = w.rel AND l.value = w.value)
	ORDER BY w.rel::text COLLATE "C", w.number
$$;

CREATE PROCEDURE multitenant.isolate_new_tenants(table_name regclass DEFAULT NULL, patience interval DEFAULT '30 seconds')
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	tables regclass[];
	tenants uuid[];
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM multitenant._require('isolation', 'partitioning a table');
	SELECT coalesce(array_agg(m.rel), '{}'), coalesce(array_agg(m.tenant), '{}') INTO tables, tenants
	FROM multitenant._missing_partitions() m
	WHERE CASE WHEN table_name IS NULL THEN multitenant._is_owner(m.rel) ELSE m.rel = table_name END;
	FOR i IN 1 .. cardinality(tables) LOOP
		COMMIT;
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		CALL multitenant.isolate_tenant(tenants[i]::text, tables[i], 10000, patience);
	END LOOP;
END
$$;

COMMENT ON PROCEDURE multitenant.isolate_new_tenants(regclass, interval) IS
'Gives every active tenant its partition in the tables whose strategy is dedicated, with isolate_tenant(). To be called after create_tenant(), or from time to time; until then the tenant''s rows are in the shared partition, and nothing waits for a lock.
table_name: this table only; null: all that the caller has the rights of the owner for. patience: for each lock, as in isolate_tenant().
Profile migrator. Errors: those of isolate_tenant().';

-- ---------------------------------------------------------------------------------------------------------------
-- Findings
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._lint_partitions(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'isolation_unfinished', t.name, t.schema_name, 'low',
		format('%s holds %s rows of a tenant that is to move out of %s; the last batch was at %s.', t.name, i.rows_copied, i.table_name,
			   date_trunc('second', i.updated_at)),
		format('CALL multitenant.isolate_tenant(%L, %L)', i.tenant_id, i.table_name),
		jsonb_build_object('tenant', i.tenant_id, 'table', i.table_name, 'phase', i.phase)
	FROM multitenant.isolations i JOIN unnest(s.tables) t ON t.id = i.partition_name::regclass
	UNION ALL
	SELECT 'partition_missing', t.name, t.schema_name, 'info',
		format('%s active tenants have no partition of their own in %s, and new tenants are to get one.', m.count, t.name),
		format('CALL multitenant.isolate_new_tenants(%L)', t.name), jsonb_build_object('tenants', m.count)
	FROM (SELECT x.rel, count(*) FROM multitenant._missing_partitions() x GROUP BY x.rel) AS m(rel, count)
	JOIN unnest(s.tables) t ON t.id = m.rel
$$;
