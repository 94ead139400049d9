/*
 * test_isolation.sql
 *	  Attempts to cross from one tenant to another in a table, as an application would make them, reported as TAP.
 *
 * Security: superusers only, and in a test database, because triggers run and what they do outside the database, or to
 * sequences, cannot be undone.  Each command is a trial (multitenant._try()): it runs as the application's role and is rolled
 * back; all of it is, once more, by the error that ends the block in test_isolation().  The superuser himself neither reads
 * nor writes the table.
 */

-- A row of a tenant that attempts are made with; "problem" says why there is none.
CREATE TYPE multitenant._sample AS (
	tenant uuid,
	name text,
	value text,
	row_text text,
	condition text,
	problem text
);

-- Text that TAP does not take for a directive or the next line.
CREATE FUNCTION multitenant._tap_text(words text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT regexp_replace(regexp_replace(words, '[[:cntrl:]]+', ' ', 'g'), '([\\#])', '\\\1', 'g')
$$;

-- A result, with what it is about. A result that is null is skipped, for the reason given.
CREATE FUNCTION multitenant._tap(is_ok boolean, name text, reason text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_remove(ARRAY[
		CASE WHEN is_ok IS FALSE THEN 'not ok - ' ELSE 'ok - ' END || multitenant._tap_text(name)
			|| CASE WHEN is_ok IS NULL THEN ' # SKIP ' || multitenant._tap_text(reason) ELSE '' END,
		CASE WHEN is_ok IS FALSE THEN '# ' || regexp_replace(reason, '[[:cntrl:]]+', ' ', 'g') END], NULL)
$$;

-- An attempt at something that must not succeed: to be refused (is_refused), or to find nothing. Another error is no
-- proof: it came before, or instead of, what keeps tenants apart. "returned" is what a row that is the tenant's own returns.
CREATE FUNCTION multitenant._attempt(
	name text, role name, tenant uuid, command text, is_refused boolean, returned text DEFAULT NULL, allowed text[] DEFAULT '{}')
RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	trial record := multitenant._try(role, tenant, command, unasked => true);
BEGIN
	IF trial.sqlstate = ANY ('{42501,MT001,MT007,MT010}' || allowed) THEN
		RETURN multitenant._tap(true, format('%s (%s)', name, trial.sqlstate), NULL);
	ELSIF trial.sqlstate = '00000' AND NOT is_refused AND trial.rows = 0 THEN
		RETURN multitenant._tap(true, name, NULL);
	ELSIF trial.sqlstate = '00000' AND trial.value = returned THEN
		RETURN multitenant._tap(true, format('%s (it stays the tenant''s own)', name), NULL);
	ELSIF trial.sqlstate = '00000' THEN
		RETURN multitenant._tap(false, name, format('It succeeded, with %s row(s).', trial.rows));
	END IF;
	RETURN multitenant._tap(false, name, format('No isolation refused it, another error came: %s %s', trial.sqlstate, trial.message));
END
$$;

-- Why the harmless variant of an attempt fails; null if it works. What constraints say comes after policies.
CREATE FUNCTION multitenant._control(role name, tenant uuid, command text, allowed text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	trial record := multitenant._try(role, tenant, command, unasked => true);
BEGIN
	RETURN CASE
		WHEN trial.sqlstate = '00000' AND trial.rows = 0 THEN 'the tenant''s own row cannot be reached either'
		WHEN trial.sqlstate <> '00000' AND trial.sqlstate !~ allowed THEN
			format('not even the tenant''s own row: %s %s', trial.sqlstate, trial.message) END;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Rows to try with
-- ---------------------------------------------------------------------------------------------------------------

-- "column = value", for the table under the alias t.
CREATE FUNCTION multitenant._is_tenants(rel regclass, column_name name, value text, comparison text DEFAULT '=') RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('t.%I OPERATOR(pg_catalog.%s) %L::%s', column_name, comparison, value, format_type(a.atttypid, NULL))
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attname = column_name
$$;

-- A row of the tenant, as the role reads it.
CREATE FUNCTION multitenant._find_sample(rel regclass, column_name name, role name, INOUT sample multitenant._sample)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	trial record;
	is_own text := multitenant._is_tenants(rel, column_name, sample.value);
	key_columns name[] := multitenant._key_columns(rel);
BEGIN
	trial := multitenant._try(role, sample.tenant, format(
		'SELECT pg_catalog.jsonb_build_object(''row'', (t.*)::pg_catalog.text, ''key'', pg_catalog.jsonb_build_object(%s)) FROM %s AS t WHERE %s LIMIT 1',
		(SELECT string_agg(format('%L, t.%1$I::pg_catalog.text', k), ', ') FROM unnest(key_columns) k), rel, is_own), unasked => true);
	IF trial.sqlstate <> '00000' THEN
		sample.problem := format('role %s cannot read rows of %s: %s %s', role, sample.name, trial.sqlstate, trial.message);
	ELSIF trial.value IS NULL THEN
		sample.problem := format('%s has no row', sample.name);
	ELSE
		sample.problem := NULL;
		sample.row_text := trial.value::jsonb ->> 'row';
		sample.condition := is_own || coalesce((
			SELECT string_agg(format(' AND t.%I = %L::%s', a.attname, k.value, format_type(a.atttypid, NULL)), '')
			FROM jsonb_each_text(trial.value::jsonb -> 'key') AS k(name, value)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attname = k.name), '');
	END IF;
END
$$;

-- Inserts a row of the tenant from the defaults of the columns. Sequences are left alone: their columns get a number of ours.
CREATE FUNCTION multitenant._insert_sample(rel regclass, column_name name, role name, number int, INOUT sample multitenant._sample)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c record;
	columns text[] := ARRAY[quote_ident(column_name)];
	literals text[] := ARRAY[quote_literal(sample.value)];
	trial record;
BEGIN
	FOR c IN SELECT a.attname, a.atttypid, a.attnotnull, a.atthasdef,
				a.attidentity <> '' OR coalesce(multitenant._default_of(rel, a.attname) ~ '\mnextval\(', false) AS is_numbered
			 FROM pg_catalog.pg_attribute a
			 WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> column_name
			 ORDER BY a.attnum LOOP
		IF c.is_numbered THEN
			columns := columns || quote_ident(c.attname);
			literals := literals || format('%L', CASE WHEN c.atttypid = 'int2'::regtype THEN -32000 ELSE -2000000000 END - number);
		ELSIF c.attnotnull AND NOT c.atthasdef THEN
			sample.problem := format('%s has no row, and column %I has no default to make one', sample.name, c.attname);
			RETURN;
		END IF;
	END LOOP;
	trial := multitenant._try(role, sample.tenant, format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)', rel,
							  array_to_string(columns, ', '), array_to_string(literals, ', ')), true, true);
	IF trial.sqlstate <> '00000' THEN
		sample.problem := format('%s has no row, and none could be inserted: %s %s', sample.name, trial.sqlstate, trial.message);
		RETURN;
	END IF;
	sample := multitenant._find_sample(rel, column_name, role, sample);
END
$$;

CREATE FUNCTION multitenant._sample_of(rel regclass, column_name name, role name, tenant_id uuid, number int) RETURNS multitenant._sample
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	sample multitenant._sample;
BEGIN
	sample.tenant := tenant_id;
	sample.name := (SELECT t.slug FROM multitenant.tenant t WHERE t.id = tenant_id);
	sample.value := multitenant._tenant_value(rel, column_name, tenant_id);
	sample := multitenant._find_sample(rel, column_name, role, sample);
	IF sample.problem ~ 'has no row$' THEN
		sample := multitenant._insert_sample(rel, column_name, role, number, sample);
	END IF;
	RETURN sample;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Attempts
-- ---------------------------------------------------------------------------------------------------------------

-- INSERT of all the values of a row, the tenant's replaced if one is given.
CREATE FUNCTION multitenant._insert_of(rel regclass, column_name name, row_text text, tenant_value text DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('INSERT INTO %s AS t (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM (SELECT (%L::%s).*) AS r', rel,
		string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
		string_agg(CASE WHEN a.attname = column_name AND tenant_value IS NOT NULL THEN format('%L::%s', tenant_value, format_type(a.atttypid, NULL))
						ELSE format('r.%I', a.attname) END, ', ' ORDER BY a.attnum),
		row_text, rel)
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
$$;

-- Have rows a trigger that may change them before policies and keys are checked?
CREATE FUNCTION multitenant._has_before_trigger(rel regclass, event_bit int) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = rel AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
				   AND t.tgtype::int & 3 = 3 AND t.tgtype::int & event_bit <> 0)
$$;

-- A unique key without the tenant's column, as ON CONFLICT names it.
CREATE FUNCTION multitenant._global_key(rel regclass, column_name name) RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT k.columns FROM pg_catalog.pg_index i
	CROSS JOIN LATERAL (SELECT array_agg(a.attname ORDER BY a.attnum) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS n(attnum, position)
						JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attnum = n.attnum WHERE n.position <= i.indnkeyatts) AS k(columns)
	WHERE i.indrelid = rel AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indexprs IS NULL AND i.indpred IS NULL
	  AND column_name <> ALL (k.columns)
	ORDER BY NOT i.indisprimary, i.indexrelid LIMIT 1
$$;

CREATE FUNCTION multitenant._try_reading(rel regclass, column_name name, role name, own multitenant._sample, other multitenant._sample) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	is_others text := multitenant._is_tenants(rel, column_name, other.value);
	owner_role record;
	lines text[];
BEGIN
	lines := multitenant._attempt(format('%s selects nothing of %s', own.name, other.name), role, own.tenant,
								  format('SELECT 1 FROM %s AS t WHERE %s', rel, is_others), false)
		|| multitenant._attempt(format('%s counts rows of its own only', own.name), role, own.tenant,
								format('SELECT 1 FROM %s AS t WHERE %s', rel, multitenant._is_tenants(rel, column_name, own.value, '<>')), false);
	lines := lines || CASE WHEN other.problem IS NOT NULL THEN
			multitenant._tap(NULL, format('%s finds no row of %s by its key', own.name, other.name), other.problem)
		ELSE multitenant._attempt(format('%s finds no row of %s by its key', own.name, other.name), role, own.tenant,
								  format('SELECT 1 FROM %s AS t WHERE %s', rel, other.condition), false) END;
	SELECT r.rolname, r.rolsuper OR r.rolbypassrls AS is_free INTO owner_role FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
		WHERE c.oid = rel;
	RETURN lines || CASE WHEN owner_role.is_free THEN
			multitenant._tap(NULL, format('nor does the owner of the table see %s as %s', other.name, own.name), 'the owner is a superuser or has BYPASSRLS')
		ELSE multitenant._attempt(format('nor does the owner of the table see %s as %s', other.name, own.name), owner_role.rolname, own.tenant,
								  format('SELECT 1 FROM %s AS t WHERE %s', rel, is_others), false) END;
END
$$;

CREATE FUNCTION multitenant._try_inserting(rel regclass, column_name name, role name, own multitenant._sample, other multitenant._sample) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	names text[] := ARRAY[format('%s cannot insert a row of %s', own.name, other.name),
						  format('%s cannot overwrite a row of %s with ON CONFLICT', own.name, other.name)];
	problem text := coalesce(own.problem, other.problem);
	global_key name[] := multitenant._global_key(rel, column_name);
	lines text[] := '{}';
BEGIN
	IF problem IS NULL AND NOT has_table_privilege(role, rel, 'INSERT') THEN
		problem := format('role %s may not insert into all columns', role);
	END IF;
	problem := coalesce(problem, multitenant._control(role, own.tenant, multitenant._insert_of(rel, column_name, own.row_text), '^23'));
	IF problem IS NOT NULL THEN
		RETURN multitenant._tap(NULL, names[1], problem) || multitenant._tap(NULL, names[2], problem);
	END IF;
	-- After a trigger has put the row right its key is still the other's.
	lines := multitenant._attempt(names[1], role, own.tenant,
		multitenant._insert_of(rel, column_name, other.row_text) || format(' RETURNING t.%I', column_name), true, own.value,
		CASE WHEN multitenant._has_before_trigger(rel, 4) THEN '{23505}'::text[] ELSE '{}' END);
	IF global_key IS NULL THEN
		RETURN lines || multitenant._tap(NULL, names[2], 'every unique key of the table contains the tenant');
	ELSIF NOT has_any_column_privilege(role, rel, 'UPDATE') THEN
		RETURN lines || multitenant._tap(NULL, names[2], format('role %s may not update the table', role));
	END IF;
	RETURN lines || multitenant._attempt(names[2], role, own.tenant,
		multitenant._insert_of(rel, column_name, other.row_text, own.value)
			|| (SELECT format(' ON CONFLICT (%s) DO UPDATE SET %I = excluded.%2$I', string_agg(quote_ident(k), ', '),
							  multitenant._updatable_column(rel, column_name, role)) FROM unnest(global_key) k), true);
END
$$;

-- A column that the role may update, the tenant's if it may.
CREATE FUNCTION multitenant._updatable_column(rel regclass, column_name name, role name) RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT a.attname FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
	  AND has_column_privilege(role, rel, a.attnum, 'UPDATE')
	ORDER BY a.attname <> column_name, a.attnum LIMIT 1
$$;

CREATE FUNCTION multitenant._try_updating(rel regclass, column_name name, role name, own multitenant._sample, other multitenant._sample) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	names text[] := ARRAY[format('%s cannot give its own row to %s', own.name, other.name),
						  format('%s updates no row of %s', own.name, other.name),
						  format('%s locks no row of %s', own.name, other.name)];
	problem text := coalesce(own.problem, other.problem);
	chosen name := multitenant._updatable_column(rel, column_name, role);
	lines text[];
BEGIN
	IF problem IS NULL AND chosen IS NULL THEN
		problem := format('role %s may not update the table', role);
	END IF;
	problem := coalesce(problem, multitenant._control(role, own.tenant, format('UPDATE %s AS t SET %I = t.%2$I WHERE %s', rel, chosen, own.condition), '^23'));
	IF problem IS NOT NULL THEN
		RETURN multitenant._tap(NULL, names[1], problem) || multitenant._tap(NULL, names[2], problem) || multitenant._tap(NULL, names[3], problem);
	END IF;
	lines := CASE WHEN chosen <> column_name THEN multitenant._tap(NULL, names[1], format('role %s may not update the tenant''s column', role))
		ELSE multitenant._attempt(names[1], role, own.tenant, format('UPDATE %s AS t SET %I = %L WHERE %s RETURNING t.%2$I', rel, column_name,
																	 other.value, own.condition), true, own.value) END;
	RETURN lines
		|| multitenant._attempt(names[2], role, own.tenant, format('UPDATE %s AS t SET %I = t.%2$I WHERE %s', rel, chosen, other.condition), false)
		|| multitenant._attempt(names[3], role, own.tenant, format('SELECT 1 FROM %s AS t WHERE %s FOR UPDATE', rel, other.condition), false);
END
$$;

CREATE FUNCTION multitenant._try_deleting(rel regclass, column_name name, role name, own multitenant._sample, other multitenant._sample) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text := format('%s deletes no row of %s', own.name, other.name);
	problem text := coalesce(own.problem, other.problem);
BEGIN
	IF problem IS NULL AND NOT has_table_privilege(role, rel, 'DELETE') THEN
		problem := format('role %s may not delete from the table', role);
	END IF;
	problem := coalesce(problem, multitenant._control(role, own.tenant, format('DELETE FROM %s AS t WHERE %s', rel, own.condition), '^23'));
	IF problem IS NOT NULL THEN
		RETURN multitenant._tap(NULL, name, problem);
	END IF;
	RETURN multitenant._attempt(name, role, own.tenant, format('DELETE FROM %s AS t WHERE %s', rel, other.condition), false);
END
$$;

-- The tenant's row is made to refer to another tenant's: through one foreign key to a protected table.
CREATE FUNCTION multitenant._try_reference(rel regclass, role name, own multitenant._sample, other multitenant._sample, key record) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text := format('%s cannot refer to a row of %s through %s', own.name, other.name, key.conname);
	referenced regclass := key.confrelid;
	referenced_column name := multitenant._tenant_column(key.confrelid);
	pairs text;			-- column, column, value
	trial record;
BEGIN
	IF own.problem IS NOT NULL THEN
		RETURN multitenant._tap(NULL, name, own.problem);
	END IF;
	-- A key of the other tenant ..
	trial := multitenant._try(role, other.tenant, format('SELECT pg_catalog.jsonb_agg(v.k) FROM (SELECT pg_catalog.jsonb_build_object(%s) FROM %s AS t WHERE %s LIMIT 100) AS v(k)',
		(SELECT string_agg(format('%L, t.%I::pg_catalog.text', p.local, p.remote), ', ')
		 FROM unnest(key.local_columns, key.remote_columns) AS p(local, remote)),
		referenced, multitenant._is_tenants(referenced, referenced_column, multitenant._tenant_value(referenced, referenced_column, other.tenant))), unasked => true);
	IF trial.sqlstate <> '00000' OR trial.value IS NULL THEN
		RETURN multitenant._tap(NULL, name, CASE WHEN trial.sqlstate = '00000' THEN format('%s has no row in %s', other.name, referenced)
											ELSE format('role %s cannot read %s: %s %s', role, referenced, trial.sqlstate, trial.message) END);
	END IF;
	-- .. that the tenant has not itself.
	trial := multitenant._try(role, own.tenant, format('SELECT v.k FROM pg_catalog.jsonb_array_elements(%L) AS v(k) WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s AND %s) LIMIT 1',
		trial.value, referenced, multitenant._is_tenants(referenced, referenced_column, multitenant._tenant_value(referenced, referenced_column, own.tenant)),
		(SELECT string_agg(format('t.%I::pg_catalog.text OPERATOR(pg_catalog.=) (v.k OPERATOR(pg_catalog.->>) %L)', p.remote, p.local), ' AND ')
		 FROM unnest(key.local_columns, key.remote_columns) AS p(local, remote))), unasked => true);
	IF trial.sqlstate <> '00000' OR trial.value IS NULL THEN
		RETURN multitenant._tap(NULL, name, format('%s has no row in %s with a key that %s has not', other.name, referenced, own.name));
	END IF;
	SELECT string_agg(format('%I = %L', v.name, v.value), ', ') INTO pairs FROM jsonb_each_text(trial.value::jsonb) AS v(name, value);
	IF EXISTS (SELECT FROM unnest(key.local_columns) c WHERE NOT has_column_privilege(role, rel, c, 'UPDATE')) THEN
		RETURN multitenant._tap(NULL, name, format('role %s may not update its columns', role));
	END IF;
	RETURN multitenant._attempt(name, role, own.tenant, format('UPDATE %s AS t SET %s WHERE %s', rel, pairs, own.condition), true, NULL, '{23503}');
END
$$;

CREATE FUNCTION multitenant._try_references(rel regclass, column_name name, role name, own multitenant._sample, other multitenant._sample) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key record;
	lines text[] := '{}';
BEGIN
	FOR key IN
		SELECT c.conname, c.confrelid, k.local_columns, k.remote_columns FROM pg_catalog.pg_constraint c
		CROSS JOIN LATERAL (SELECT array_agg(a.attname ORDER BY n.position), array_agg(f.attname ORDER BY n.position)
			FROM unnest(c.conkey, c.confkey) WITH ORDINALITY AS n(local, remote, position)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = n.local
			JOIN pg_catalog.pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = n.remote
			WHERE a.attname <> column_name) AS k(local_columns, remote_columns)
		WHERE c.conrelid = rel AND c.contype = 'f' AND c.conparentid = 0 AND k.local_columns IS NOT NULL
		  AND multitenant._is_protected(c.confrelid) AND multitenant._tenant_column(c.confrelid) IS NOT NULL
		ORDER BY c.conname
	LOOP
		lines := lines || multitenant._try_reference(rel, role, own, other, key);
	END LOOP;
	RETURN lines;
END
$$;

-- What needs no other tenant.
CREATE FUNCTION multitenant._try_without_context(rel regclass, column_name name, role name, sample multitenant._sample) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN multitenant._attempt('without a context nothing is read', role, NULL, format('SELECT 1 FROM %s AS t', rel), true)
		|| CASE WHEN sample.problem IS NOT NULL THEN multitenant._tap(NULL, 'without a context nothing is inserted', sample.problem)
		   ELSE multitenant._attempt('without a context nothing is inserted', role, NULL,
									 multitenant._insert_of(rel, column_name, sample.row_text), true) END
		|| multitenant._attempt('the table cannot be emptied with TRUNCATE', role, sample.tenant, format('TRUNCATE %s', rel), true)
		|| multitenant._tap(NULL, 'COPY crosses nothing', 'COPY to and from the client cannot be tried inside a function');
END
$$;

CREATE FUNCTION multitenant._try_all(rel regclass, role name, tenants uuid[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p record;
	column_name name := multitenant._tenant_column(rel);
	samples multitenant._sample[];
	own multitenant._sample;
	other multitenant._sample;
	lines text[];
BEGIN
	SELECT * INTO p FROM multitenant._protection(rel);
	lines := ARRAY[multitenant._tap_text(format('# table %s, as role %s', rel, role))] || multitenant._tap(
		p.class IN ('tenant', 'shared_rows') AND p.is_intact AND p.mode = 'enforce', 'the table is protected, and the protection intact',
		CASE WHEN p.mode = 'observe' THEN 'It is only observed.'
			 WHEN p.class NOT IN ('tenant', 'shared_rows') THEN format('Its class is %s.', p.class)
			 WHEN p.mode <> 'enforce' THEN 'The protection is paused.' ELSE format('Finding: %s.', p.finding) END);
	lines[1] := regexp_replace(lines[1], '^\\#', '#');
	IF column_name IS NULL THEN
		RETURN lines;
	END IF;
	FOR i IN 1 .. cardinality(tenants) LOOP
		samples := samples || multitenant._sample_of(rel, column_name, role, tenants[i], i);
	END LOOP;
	lines := lines || multitenant._try_without_context(rel, column_name, role, samples[1]);
	FOR i IN 1 .. cardinality(tenants) LOOP
		own := samples[i];
		other := samples[i % cardinality(tenants) + 1];
		-- Whoever reads nothing at all crosses nothing, and is of no use.
		lines := lines || CASE WHEN own.problem ~ 'has no row' THEN multitenant._tap(NULL, format('%s reads a row of its own', own.name), own.problem)
				ELSE multitenant._tap(own.problem IS NULL, format('%s reads a row of its own', own.name), own.problem) END
			|| multitenant._try_reading(rel, column_name, role, own, other)
			|| multitenant._try_inserting(rel, column_name, role, own, other)
			|| multitenant._try_updating(rel, column_name, role, own, other)
			|| multitenant._try_deleting(rel, column_name, role, own, other)
			|| multitenant._try_references(rel, column_name, role, own, other);
	END LOOP;
	RETURN lines;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- The function
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._tested_tenants(tenants text[]) RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	ids uuid[];
BEGIN
	IF tenants IS NULL THEN
		ids := ARRAY(SELECT t.id FROM multitenant.tenant t WHERE t.state = 'active' ORDER BY t.number, t.id LIMIT 2);
	ELSE
		ids := ARRAY(SELECT multitenant.tenant_id(n.name) FROM unnest(tenants) WITH ORDINALITY AS n(name, position) ORDER BY n.position);
	END IF;
	IF cardinality(ids) < 2 OR cardinality(ids) <> (SELECT count(DISTINCT i) FROM unnest(ids) i)
	   OR EXISTS (SELECT FROM multitenant.tenant t WHERE t.id = ANY (ids) AND t.state <> 'active') THEN
		RAISE EXCEPTION 'a test takes two or more different tenants that are active'
			USING ERRCODE = '22023', HINT = 'Make them with multitenant.create_tenant().';
	END IF;
	RETURN ids;
END
$$;

CREATE FUNCTION multitenant._tested_role(rel regclass, role name) RETURNS name
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF role IS NULL THEN
		role := multitenant._application_role(rel);
	ELSE
		PERFORM multitenant._check_role(role);
	END IF;
	IF role IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = role AND (r.rolsuper OR r.rolbypassrls)) THEN
		RAISE EXCEPTION 'there is no application role to test table % with', rel
			USING ERRCODE = '22023', HINT = 'Name a role that is neither superuser nor has BYPASSRLS, and GRANT it SELECT on the table.';
	END IF;
	RETURN role;
END
$$;

CREATE FUNCTION multitenant.test_isolation(
	table_name regclass, tenants text[] DEFAULT NULL, role name DEFAULT NULL, confirm name DEFAULT NULL)
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	ids uuid[];
	as_role name;
	lines text[];
	line text;
	number int := 0;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the table');
	PERFORM multitenant._require('superuser', 'testing isolation');
	IF NOT current_setting('multitenant.test_database')::boolean AND $4 IS DISTINCT FROM current_database() THEN
		RAISE EXCEPTION 'database "%" is not marked as one for tests', current_database()
			USING ERRCODE = '55000', DETAIL = 'Triggers of the table run; what they do outside the database, or to sequences, is not undone.',
				HINT = format('ALTER DATABASE %I SET multitenant.test_database = on, or pass confirm => %L.', current_database(), current_database());
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = $1 AND c.relkind IN ('r', 'p')) THEN
		RAISE EXCEPTION '"%" is not a table', $1 USING ERRCODE = '42809', HINT = 'Test the table that a view reads.';
	END IF;
	ids := multitenant._tested_tenants($2);
	as_role := multitenant._tested_role($1, $3);
	BEGIN
		lines := multitenant._try_all($1, as_role, ids);
		-- Nothing of it stays.
		RAISE EXCEPTION 'test_isolation() rolls back' USING ERRCODE = 'MT099', HINT = 'This is caught.';
	EXCEPTION
		WHEN SQLSTATE 'MT099' THEN
			NULL;
	END;
	RETURN NEXT '1..' || (SELECT count(*) FROM unnest(lines) l WHERE l !~ '^#');
	FOREACH line IN ARRAY lines LOOP
		IF line !~ '^#' THEN
			number := number + 1;
			line := regexp_replace(line, '^(not ok|ok) ', format('\1 %s ', number));
		END IF;
		RETURN NEXT line;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant.test_isolation(regclass, text[], name, name) IS
'Tries to cross from each of the tenants to the next in a table, as an application role, and returns TAP: a plan, then ok and not ok lines. All is rolled back. tenants: two or more ids or slugs (default: the first two active ones); role: default an application role with rights on the table; confirm: the name of this database, needed unless multitenant.test_database is on. For superusers. Errors: 22023, 42501, 42704, 42809, 55000 no test database, MT005 the transaction has a context, MT008 unknown tenant.';
