/*
 * repair.sql
 *	  The other classes of tables, pausing, and repair.
 *
 * Whoever may change a class passes multitenant._require('isolation') and, once more, the check of the label provider
 * itself; the label is the record that counts.
 */

CREATE FUNCTION multitenant._set_label(rel regclass, label text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('SECURITY LABEL FOR multitenant ON TABLE %s IS %L', rel, label);
END
$$;

-- Gives a table a class that is nothing but a label.
CREATE FUNCTION multitenant._set_class(rel regclass, class text, label text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._check_table(rel);
	PERFORM multitenant._require('isolation', 'changing the class of a table');
	IF coalesce(multitenant._class_of(rel) <> class, false) THEN
		RAISE EXCEPTION 'table % already is of class %', rel, multitenant._class_of(rel)
			USING ERRCODE = '55000', HINT = format('Give it back with multitenant.unprotect(%L) first.', rel);
	ELSIF multitenant._is_observed(rel) THEN
		RAISE EXCEPTION 'table % is observed', rel
			USING ERRCODE = '55000', HINT = format('End that with multitenant.unprotect(%L) first.', rel);
	ELSIF multitenant._label(rel) IS DISTINCT FROM label THEN
		PERFORM multitenant._set_label(rel, label);
	END IF;
END
$$;

CREATE FUNCTION multitenant.share(table_name regclass) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._set_class(table_name, 'shared', 'shared')
$$;

COMMENT ON FUNCTION multitenant.share(regclass) IS
'Declares a table to be everybody''s: every tenant reads all rows, no tenant writes (the guard refuses it). Nothing on the table itself is changed.
table_name: a table of the caller without a tenant.
Errors: 42501 not the owner, or not superuser or profile migrator; 42809, 22023 no table of the application; 55000 the table has another class.';

CREATE FUNCTION multitenant.exempt(table_name regclass, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(btrim(reason), '') = '' THEN
		RAISE EXCEPTION 'no reason given'
			USING ERRCODE = '22023', HINT = 'Say why the table is outside tenancy; an auditor will ask.';
	END IF;
	PERFORM multitenant._set_class(table_name, 'exempt', 'exempt: ' || btrim(reason));
END
$$;

COMMENT ON FUNCTION multitenant.exempt(regclass, text) IS
'Declares that a table is outside tenancy, for example a migration tool''s own bookkeeping. Nothing on the table is changed or guarded.
table_name: a table of the caller. reason: why, not empty.
Errors: 22023 no reason; 42501 not the owner, or not superuser or profile migrator; 42809, 22023 no table of the application; 55000 the table has another class.';

-- What makes a table of shared rows. The column may be NULL, and keys stay: NULL has no place in a composite one.
CREATE FUNCTION multitenant._shared_rows_steps(rel regclass, column_name name) RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	steps multitenant._step[];
BEGIN
	steps := ARRAY(SELECT s FROM multitenant._default_steps(rel, column_name) s)
		|| ARRAY(SELECT s FROM multitenant._index_steps(rel, column_name, '{}') s)
		|| ARRAY(SELECT s FROM multitenant._policy_steps(rel, 'shared_rows', column_name) s)
		|| ARRAY(SELECT s FROM multitenant._row_security_steps(rel) s)
		|| ARRAY(SELECT s FROM multitenant._view_steps(rel) s);
	RETURN QUERY SELECT s.* FROM unnest(steps) s;
	RETURN QUERY SELECT * FROM multitenant._column_label_steps(rel, column_name);
	RETURN QUERY SELECT * FROM multitenant._label_steps(rel, 'shared_rows', steps);
END
$$;

CREATE FUNCTION multitenant.shared_rows(table_name regclass, tenant_column name DEFAULT 'tenant_id') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	steps multitenant._step[];
	s multitenant._step;
BEGIN
	PERFORM multitenant._check_table(table_name);
	PERFORM multitenant._require('isolation', 'changing the class of a table');
	PERFORM multitenant._check_column(table_name, tenant_column);
	PERFORM multitenant._check_class(table_name, 'shared_rows', tenant_column);
	PERFORM multitenant._check_tree(table_name);
	PERFORM multitenant._check_policies(table_name, 'shared_rows');
	steps := ARRAY(SELECT p FROM multitenant._shared_rows_steps(table_name, tenant_column) p);
	PERFORM multitenant._check_size(steps, tenant_column);
	IF NOT multitenant._is_protected(table_name) AND NOT multitenant._is_large(table_name) THEN
		PERFORM multitenant._check_rows(table_name, tenant_column, true);
	END IF;
	FOREACH s IN ARRAY steps LOOP
		IF s.command IS NOT NULL THEN
			PERFORM multitenant._execute_step(s);
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION multitenant.shared_rows(regclass, name) IS
'Makes a table whose rows belong to the tenant in tenant_column or, where that is NULL, to everybody: a tenant reads both and writes its own.
table_name: a table of the caller; partitions follow their parent. tenant_column: uuid, bigint, integer, text or varchar. Keys stay as they are.
Errors: those of protect(), and 42501 not superuser or profile migrator.';

-- ---------------------------------------------------------------------------------------------------------------
-- Pause and repair
-- ---------------------------------------------------------------------------------------------------------------

-- Longest pause in days: a week covers an incident with a weekend in it; whoever needs longer decides anew.
CREATE FUNCTION multitenant.pause_protection(table_name regclass, reason text, until timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
BEGIN
	PERFORM multitenant._check_table(table_name);
	PERFORM multitenant._require('isolation', 'changing the class of a table');
	IF coalesce(btrim(reason), '') = '' THEN
		RAISE EXCEPTION 'no reason given' USING ERRCODE = '22023', HINT = 'Say why protection has to be paused.';
	ELSIF until IS NULL OR until <= now() OR until > now() + interval '168 hours' THEN
		RAISE EXCEPTION 'the pause must end within seven days from now'
			USING ERRCODE = '22023', HINT = 'Give the third argument as, for example, now() + interval ''1 hour''.';
	ELSIF coalesce(multitenant._label_class(table_name), '') NOT IN ('tenant', 'shared_rows')
		  OR multitenant._is_observed(table_name) THEN
		RAISE EXCEPTION 'table % is not protected', table_name
			USING ERRCODE = '55000', HINT = 'Only a protected and labelled table can be paused; see the view multitenant.tables.';
	END IF;
	PERFORM multitenant._check_tree(table_name);
	FOR m IN SELECT t.member FROM multitenant._tree(table_name) t WHERE multitenant._label(t.member) IS NOT NULL LOOP
		PERFORM multitenant._set_label(m.member, multitenant._label_class(m.member) || ' '
			|| (multitenant._label_json(m.member) || jsonb_build_object('mode', 'paused', 'reason', btrim(reason), 'until',
				to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00"')))::text);
		PERFORM multitenant._run_as_owner(m.member,
			format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', m.member));
	END LOOP;
END
$$;

COMMENT ON FUNCTION multitenant.pause_protection(regclass, text, timestamptz) IS
'The kill switch: until the given time every role with privileges on the table reaches all of its rows. Policies stay but do not act; multitenant.repair() ends the pause. When the time is over and the table was not repaired, the guard refuses every statement on it (MT007).
table_name: a protected table of the caller. reason: not empty. until: in the future, at most 7 days ahead.
Errors: 22023 no reason or no such time; 42501 not the owner, or not superuser or profile migrator; 55000 the table is not protected.';

-- The tenant column of a table that lost policies and default: the only column that is called tenant_id or looks like
-- nothing else.
CREATE FUNCTION multitenant._column_to_repair(rel regclass) RETURNS name
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	result name := multitenant._tenant_column(rel);
BEGIN
	-- Security: the labelled column was dropped. One of the same name that came since holds whatever its default stamped.
	IF multitenant._label_class(rel) IN ('tenant', 'shared_rows') AND multitenant._estimated_rows(rel) > 0
	   AND NOT EXISTS (SELECT FROM pg_catalog.pg_seclabel s WHERE s.objoid = rel AND s.provider = 'multitenant'
					   AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid > 0 AND s.label <> 'scope_column') THEN
		RAISE EXCEPTION 'the tenant column of table % is gone', rel
			USING ERRCODE = '55000',
				  HINT = 'Bring its values back from a backup. A role of profile migrator can then call unprotect() and protect().';
	END IF;
	IF result IS NULL AND multitenant._is_protected(rel) THEN
		SELECT a.attname INTO result FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = rel AND a.attname = 'tenant_id' AND NOT a.attisdropped
		  AND multitenant._accessor(a.atttypid) IS NOT NULL;
	END IF;
	IF result IS NULL THEN
		RAISE EXCEPTION 'nothing on table % says which column carries the tenant', rel
			USING ERRCODE = '55000',
				  HINT = format('Protect the table with multitenant.protect(%L, tenant_column).', rel);
	END IF;
	RETURN result;
END
$$;

-- What of protection is missing, keys and views aside: those are no part of what the guard asks for.
CREATE FUNCTION multitenant._repair_steps(rel regclass, class text, column_name name) RETURNS SETOF multitenant._step
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	steps multitenant._step[] := '{}';
	m regclass;
	rest jsonb;
	resource text;
	scope name;
BEGIN
	IF class = 'tenant' THEN
		SELECT p.resource, p.scope INTO resource, scope FROM multitenant._permissions_of(rel) p;
		steps := ARRAY(SELECT s FROM multitenant._not_null_steps(rel, column_name) s);
	END IF;
	steps := steps || ARRAY(SELECT s FROM multitenant._default_steps(rel, column_name) s)
		|| ARRAY(SELECT s FROM multitenant._index_steps(rel, column_name, '{}') s)
		|| ARRAY(SELECT s FROM multitenant._policy_steps(rel, class, column_name, resource, scope) s)
		|| ARRAY(SELECT s FROM multitenant._row_security_steps(rel) s);
	RETURN QUERY SELECT s.* FROM unnest(steps) s;
	RETURN QUERY SELECT * FROM multitenant._column_label_steps(rel, column_name);
	IF class = 'tenant' THEN
		RETURN QUERY SELECT * FROM multitenant._scope_label_steps(rel, scope);
	END IF;
	RETURN QUERY SELECT * FROM multitenant._label_steps(rel, class, steps, resource, scope);
	FOR m IN SELECT t.member FROM multitenant._tree(rel) t WHERE multitenant._label_json(t.member) ->> 'mode' = 'paused' LOOP
		rest := multitenant._label_json(m) - '{mode,until,reason}'::text[];
		RETURN NEXT (format('SECURITY LABEL FOR multitenant ON TABLE %s IS %L', m,
							class || CASE WHEN rest = '{}' THEN '' ELSE ' ' || rest::text END),
					 'SHARE UPDATE EXCLUSIVE', true, NULL, NULL, m, NULL, NULL)::multitenant._step;
	END LOOP;
END
$$;

CREATE FUNCTION multitenant.repair(table_name regclass) RETURNS TABLE(command text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	class text;
	column_name name;
	s multitenant._step;
BEGIN
	PERFORM multitenant._check_table(table_name);
	PERFORM multitenant._check_tree(table_name);
	-- Nothing is missing where nothing has been made yet.
	IF multitenant._is_observed(table_name) AND NOT multitenant._is_protected(table_name) THEN
		RETURN;
	END IF;
	class := coalesce(multitenant._class_of(table_name), 'tenant');
	IF class NOT IN ('tenant', 'shared_rows') THEN
		RETURN;
	END IF;
	PERFORM multitenant._check_policies(table_name, class);
	column_name := multitenant._column_to_repair(table_name);
	PERFORM multitenant._check_column(table_name, column_name);
	-- Without label and policies a tenant's table still has NOT NULL; what has not was one of shared rows, or is none.
	IF multitenant._class_of(table_name) IS NULL AND NOT multitenant._is_large(table_name)
	   AND (SELECT NOT a.attnotnull FROM pg_catalog.pg_attribute a WHERE a.attrelid = table_name AND a.attname = column_name)
	   AND multitenant._query_as_owner(table_name, format('SELECT count(*) FROM ONLY %s WHERE %I IS NULL', table_name,
														  column_name))::bigint > 0 THEN
		RAISE EXCEPTION 'column % of table % contains null values', quote_ident(column_name), table_name
			USING ERRCODE = '23502',
				  HINT = format('If those rows are everybody''s, call multitenant.shared_rows(%L, %L); else give every row its tenant.',
								table_name, column_name);
	END IF;
	FOREACH s IN ARRAY ARRAY(SELECT p FROM multitenant._repair_steps(table_name, class, column_name) p) LOOP
		CONTINUE WHEN s.command IS NULL;
		-- Isolation must not wait for an index.
		IF s.scans IS NOT NULL AND multitenant._is_large(s.scans) THEN
			RAISE NOTICE 'left for multitenant.plan(), the table is large: %', s.command;
			CONTINUE;
		END IF;
		PERFORM multitenant._execute_step(s);
		command := s.command;
		RETURN NEXT;
	END LOOP;
END
$$;

COMMENT ON FUNCTION multitenant.repair(regclass) IS
'Brings back whatever of a table''s protection is missing: policies, row security, NOT NULL, default, index, labels; and ends a pause.
table_name: a table of the caller. Returns the commands it executed, no rows when everything was there.
The tenant column is known from its label; where the table has no label either, from the policies that are left, else from the default, else by its name tenant_id. A default is enough to know that a table of which nothing else is left was protected, as after pg_restore --table.
Errors: 42501 not the owner, or ending a pause or labelling the column of a labelled table without being superuser or profile migrator; 55000 nothing says which column carries the tenant, the labelled column of a table with rows is gone, or a restrictive policy sorts before ours; 23502 rows without a tenant.';
