/*
 * encrypted_columns.sql
 *	  Columns of tenants' tables that are kept encrypted: what is known of them, and the view that the application goes
 *	  on with. Converting them: column_conversion.sql.
 *
 * encrypt_column('app.customer', 'ssn', ..) renames the table to app.customer_encrypted and makes a view app.customer,
 * so that the application's statements stay as they are and none of them can put plaintext into the table. The view
 * decrypts; its trigger encrypts.
 *
 * What is known of an encrypted table is the first argument of the trigger "~multitenant_encryption" on it: it follows
 * renames of the table, dumps and restores. Triggers fire in the order of their names, and this one comes last: what
 * others make of the columns that a value is bound to comes before. Its other arguments, and those of the view's trigger, are statements that
 * src/keys/encryptedrow.c runs with the rights of whoever writes; _refresh_encryption() writes them.
 *
 * Security: as in table.sql. Statements for triggers run under the search_path of others: every name and operator in
 * them is qualified.
 */

-- ---------------------------------------------------------------------------------------------------------------
-- What is known of an encrypted table
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._encrypted_row() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_encrypted_row';
COMMENT ON FUNCTION multitenant._encrypted_row() IS
'Internal: the trigger of tables with encrypted columns and of their views.';

-- The columns in a trigger's first argument; NULL for one that encrypt_column() has not written.
-- Security: everybody may call the trigger's function, for whoever adds a partition makes a trigger. What another one
-- says must not stop who reads those of the database.
CREATE FUNCTION multitenant._registration(arguments bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns jsonb;
BEGIN
	columns := convert_from(substring(arguments FROM 1 FOR position('\x00'::bytea IN arguments) - 1), getdatabaseencoding())::jsonb
		-> 'columns';
	IF jsonb_typeof(columns) = 'object' THEN
		IF NOT EXISTS (SELECT FROM jsonb_each(columns) c WHERE jsonb_typeof(c.value) <> 'object'
					   OR jsonb_typeof(c.value -> 'context_columns') IS DISTINCT FROM 'array') THEN
			RETURN columns;
		END IF;
	END IF;
	RETURN NULL;
EXCEPTION
	WHEN OTHERS THEN
		RETURN NULL;
END
$$;

-- The name of the table's own trigger, which has the registration.
CREATE FUNCTION multitenant._registration_trigger() RETURNS name
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT '~multitenant_encryption'::name
$$;

-- For each encrypted column how it is encrypted; NULL for a table without one.
CREATE FUNCTION multitenant._encryption(rel regclass) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._registration(t.tgargs)
	FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
	WHERE t.tgrelid = rel AND t.tgname = multitenant._registration_trigger()
	  AND t.tgfoid = 'multitenant._encrypted_row()'::regprocedure AND t.tgnargs > 0
$$;

-- The view that encrypt_column() has made of a table, NULL without one.
CREATE FUNCTION multitenant._encryption_view(base regclass) RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT v.oid::regclass FROM pg_catalog.pg_depend d
	JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
	JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
	JOIN pg_catalog.pg_trigger t ON t.tgrelid = v.oid AND t.tgname = 'multitenant_encryption'
		AND t.tgfoid = 'multitenant._encrypted_row()'::regprocedure
	WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = base
	LIMIT 1
$$;

-- The table behind such a view; the relation itself otherwise.
CREATE FUNCTION multitenant._encryption_base(rel regclass) RETURNS regclass
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce((
		SELECT d.refobjid::regclass FROM pg_catalog.pg_class v
		JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
		JOIN pg_catalog.pg_depend d ON d.objid = r.oid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
			AND d.refclassid = 'pg_catalog.pg_class'::regclass
		WHERE v.oid = rel AND v.relkind = 'v' AND multitenant._encryption(d.refobjid) IS NOT NULL
		LIMIT 1), rel)
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Expressions
-- ---------------------------------------------------------------------------------------------------------------

-- How a column's values become bytes: as text, bytea or jsonb. NULL for a type whose text depends on settings, or that
-- has none worth the name. An enum's label may be renamed, which an encrypted one would not follow.
CREATE FUNCTION multitenant._encryption_form(column_type oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE base(oid, typtype, typbasetype, typcategory) AS (
		SELECT t.oid, t.typtype, t.typbasetype, t.typcategory FROM pg_catalog.pg_type t WHERE t.oid = column_type
		UNION ALL
		SELECT t.oid, t.typtype, t.typbasetype, t.typcategory FROM pg_catalog.pg_type t
		JOIN base b ON b.typtype = 'd' AND t.oid = b.typbasetype
	)
	SELECT CASE
		WHEN b.oid IN ('bytea'::regtype, 'jsonb'::regtype) THEN b.oid::regtype::text
		WHEN b.oid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN 'time'
		WHEN b.typcategory = 'S' OR b.oid IN ('json'::regtype, 'uuid'::regtype, 'numeric'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
						 'bool'::regtype, 'time'::regtype, 'inet'::regtype, 'cidr'::regtype, 'macaddr'::regtype) THEN 'text' END
	FROM base b WHERE b.typtype <> 'd'
$$;

-- What a value is bound to: LABEL:VALUE, with several columns LABEL:LENGTH.VALUE:LENGTH.VALUE, so that no two rows have
-- the same.
-- source: what stands before the columns' names, such as "t."
CREATE FUNCTION multitenant._context_expression(settings jsonb, source text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%L::pg_catalog.text', settings ->> 'context') || coalesce(string_agg(
		CASE WHEN jsonb_array_length(settings -> 'context_columns') = 1
			THEN format(' OPERATOR(pg_catalog.||) '':'' OPERATOR(pg_catalog.||) %1$s%2$I::pg_catalog.text', source, c.name)
			ELSE format(' OPERATOR(pg_catalog.||) '':'' OPERATOR(pg_catalog.||) pg_catalog.octet_length(%1$s%2$I::pg_catalog.text)::pg_catalog.text'
						' OPERATOR(pg_catalog.||) ''.'' OPERATOR(pg_catalog.||) %1$s%2$I::pg_catalog.text', source, c.name)
		END, '' ORDER BY c.n), '')
	FROM jsonb_array_elements_text(settings -> 'context_columns') WITH ORDINALITY AS c(name, n)
$$;

-- What the values of a column are bound to, as an expression over a row of the table; NULL for a column that
-- encrypt_column() has not made.
CREATE FUNCTION multitenant._column_context(table_name regclass, column_name name) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._context_expression(multitenant._encryption(table_name) -> column_name::text, '')
$$;

-- A column's value as text, whatever the session's settings are.
CREATE FUNCTION multitenant._text_expression(settings jsonb, value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE settings ->> 'form' WHEN 'text' THEN format('(%s)::pg_catalog.text', value)
		WHEN 'time' THEN format('(pg_catalog.to_json(%s) OPERATOR(pg_catalog.#>>) ''{}'')', value)
		ELSE value END
$$;

CREATE FUNCTION multitenant._encrypt_expression(settings jsonb, value text, source text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('multitenant.encrypt(%s, %L, %s)', multitenant._text_expression(settings, value), settings ->> 'purpose',
				  multitenant._context_expression(settings, source || '.'))
$$;

CREATE FUNCTION multitenant._decrypt_expression(settings jsonb, value text, context text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('multitenant.decrypt_%s(%s, %s)::%s%s',
				  CASE WHEN settings ->> 'form' IN ('bytea', 'jsonb') THEN settings ->> 'form' ELSE 'text' END,
				  value, context, settings ->> 'type', coalesce(' COLLATE ' || (settings ->> 'collation'), ''))
$$;

CREATE FUNCTION multitenant._blind_expression(settings jsonb, value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('multitenant.blind_index(%s, %L)',
				  CASE WHEN settings ? 'normalizer'
					THEN format('%s(%s)', settings ->> 'normalizer', multitenant._text_expression(settings, value))
					ELSE multitenant._text_expression(settings, value) END, settings ->> 'purpose')
$$;

-- What the view shows of an encrypted column of the table "t".
CREATE FUNCTION multitenant._shown_expression(column_name text, settings jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN settings ? 'plaintext'
		THEN format('CASE WHEN t.%I IS NULL THEN t.%I ELSE %s END', column_name, settings ->> 'plaintext', d.expression)
		ELSE d.expression END
	FROM (SELECT multitenant._decrypt_expression(settings, format('t.%I', column_name),
												 multitenant._context_expression(settings, 't.'))) AS d(expression)
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- The view and the triggers
-- ---------------------------------------------------------------------------------------------------------------

-- The columns of the view in their order: those that it has, then what has come to the table. An encrypted column stands
-- where its plaintext stood.
CREATE FUNCTION multitenant._view_columns(base regclass, view_name regclass, columns jsonb)
RETURNS TABLE(n bigint, name text, expression text, is_generated boolean, is_encrypted boolean)
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH plaintext(name, shown) AS (
		SELECT c.value ->> 'plaintext', c.key FROM jsonb_each(columns) c WHERE c.value ? 'plaintext'
	), shown AS (
		SELECT coalesce(p.shown, a.attname::text) AS name, a.attnum, a.attgenerated <> '' AS is_generated,
			-- Hashes come last: what the application had keeps its place.
			EXISTS (SELECT FROM jsonb_each(columns) c WHERE c.value ->> 'blind_index' = a.attname) AS is_hash
		FROM pg_catalog.pg_attribute a LEFT JOIN plaintext p ON p.name = a.attname
		WHERE a.attrelid = base AND a.attnum > 0 AND NOT a.attisdropped
		  AND a.attname NOT IN (SELECT x.shown FROM plaintext x)
		  AND NOT EXISTS (SELECT FROM jsonb_each(columns) c WHERE c.value ->> 'leaving' = a.attname)
	)
	SELECT row_number() OVER (ORDER BY v.attnum, s.is_hash, s.attnum), s.name,
		CASE WHEN columns ? s.name THEN multitenant._shown_expression(s.name, columns -> s.name) ELSE format('t.%I', s.name) END,
		s.is_generated, columns ? s.name
	FROM shown s LEFT JOIN pg_catalog.pg_attribute v ON v.attrelid = view_name AND v.attname = s.name AND NOT v.attisdropped
$$;

-- What is written into the table for each column, with the names of the columns of the table.
CREATE FUNCTION multitenant._written_columns(base regclass, columns jsonb, is_update boolean)
RETURNS TABLE(name text, expression text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH e AS (
		SELECT c.key AS name, c.value AS settings, c.value ->> 'plaintext' AS plaintext, c.value ->> 'blind_index' AS blind_index,
			coalesce(c.value ->> 'direction' = 'decrypting', false) AS is_decrypting,
			-- An unchanged value keeps its ciphertext.
			CASE WHEN is_update THEN format('ROW(new.%1$I)::pg_catalog.record OPERATOR(pg_catalog.*=) ROW(old.%1$I)::pg_catalog.record%2$s',
				c.key, CASE WHEN c.value ? 'plaintext' THEN format(' AND t.%I IS NULL', c.value ->> 'plaintext') END) END AS is_same
		FROM jsonb_each(columns) c
	)
	SELECT e.name, CASE WHEN e.is_decrypting THEN 'NULL'
		WHEN is_update THEN format('CASE WHEN %s THEN t.%I ELSE %s END', e.is_same, e.name,
								   multitenant._encrypt_expression(e.settings, format('new.%I', e.name), 'new'))
		ELSE multitenant._encrypt_expression(e.settings, format('new.%I', e.name), 'new') END
	FROM e
	UNION ALL
	SELECT e.blind_index, CASE WHEN e.is_decrypting THEN 'NULL'
		WHEN is_update THEN format('CASE WHEN %s THEN t.%I ELSE %s END', e.is_same, e.blind_index,
								   multitenant._blind_expression(e.settings, format('new.%I', e.name)))
		ELSE multitenant._blind_expression(e.settings, format('new.%I', e.name)) END
	FROM e WHERE e.blind_index IS NOT NULL
	UNION ALL
	SELECT e.plaintext, CASE WHEN e.is_decrypting THEN format('new.%I', e.name) ELSE 'NULL' END
	FROM e WHERE e.plaintext IS NOT NULL
	UNION ALL
	SELECT a.attname, format('new.%I', a.attname) FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = base AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
	  AND NOT EXISTS (SELECT FROM e WHERE a.attname IN (e.name, e.blind_index, e.plaintext, e.settings ->> 'leaving'))
$$;

-- "t.key = old.key AND .." with the equality of the primary key's index.
CREATE FUNCTION multitenant._is_written_row(base regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('t.%1$I OPERATOR(%2$I.%3$s) old.%1$I', a.attname, n.nspname, o.oprname), ' AND ' ORDER BY k.n)
	FROM pg_catalog.pg_index i
	CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k(attnum, class, n)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
	JOIN pg_catalog.pg_opclass oc ON oc.oid = k.class
	JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
		AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
	JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
	JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
	WHERE i.indrelid = base AND i.indisprimary AND k.n <= i.indnkeyatts
$$;

-- The commands of the view's trigger and the table's. "columns" is what will be known of the table.
CREATE FUNCTION multitenant._view_trigger_command(base regclass, view_name regclass, columns jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH v AS (
		SELECT string_agg(format('%s AS %I', c.expression, c.name), ', ' ORDER BY c.n) AS shown,
			string_agg(c.expression, ', ' ORDER BY c.n) FILTER (WHERE NOT c.is_generated) AS compared,
			string_agg(format('old.%I', c.name), ', ' ORDER BY c.n) FILTER (WHERE NOT c.is_generated) AS old
		FROM multitenant._view_columns(base, view_name, columns) c
	), unchanged AS (
		SELECT format('%s AND ROW(%s)::pg_catalog.record OPERATOR(pg_catalog.*=) ROW(%s)::pg_catalog.record',
					  multitenant._is_written_row(base), v.compared, v.old) AS condition FROM v
	)
	SELECT format('CREATE OR REPLACE TRIGGER multitenant_encryption INSTEAD OF INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW '
				  'EXECUTE FUNCTION multitenant._encrypted_row(%L, %L, %L, %L, %L)', view_name, '{}',
		(SELECT format('INSERT INTO %s AS t (%s) VALUES (%s) RETURNING %s', base, string_agg(format('%I', w.name), ', '),
					   string_agg(w.expression, ', '), v.shown) FROM multitenant._written_columns(base, columns, false) w),
		(SELECT format('UPDATE %s AS t SET %s WHERE %s RETURNING %s', base,
					   string_agg(format('%I = %s', w.name, w.expression), ', '), u.condition, v.shown)
		 FROM multitenant._written_columns(base, columns, true) w),
		format('DELETE FROM %s AS t WHERE %s', base, u.condition),
		format('SELECT FROM %s AS t WHERE %s', base, multitenant._is_written_row(base)))
	FROM v CROSS JOIN unchanged u
$$;

-- The table's own trigger sees what is written past the view: plaintext while a column is being converted, and rows
-- whose context changes.
CREATE FUNCTION multitenant._table_trigger_command(base regclass, columns jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH e AS (
		SELECT c.key AS name, c.value AS settings, c.value ->> 'plaintext' AS plaintext, c.value ->> 'blind_index' AS blind_index,
			CASE WHEN NOT c.value ? 'plaintext' THEN 'done' ELSE c.value ->> 'direction' END AS phase,
			multitenant._context_expression(c.value, 'new.') AS new_context,
			multitenant._context_expression(c.value, 'old.') AS old_context,
			format('new.%1$I::pg_catalog.bytea OPERATOR(pg_catalog.=) old.%1$I::pg_catalog.bytea', c.key) AS is_same,
			jsonb_array_length(c.value -> 'context_columns') > 0 AS has_context
		FROM jsonb_each(columns) c
	), moved AS (
		SELECT e.name, e.phase, e.plaintext, e.blind_index, e.settings, e.new_context, e.old_context, e.is_same, e.has_context,
			CASE WHEN e.has_context THEN
				format(' WHEN %s AND (%s) OPERATOR(pg_catalog.<>) (%s) THEN multitenant.encrypt(multitenant.decrypt_bytea(old.%I, %s), %L, %s)',
					   e.is_same, e.old_context, e.new_context, e.name, e.old_context, e.settings ->> 'purpose', e.new_context) END
				AS rebind
		FROM e
	), computed(name, on_insert, on_update) AS (
		SELECT m.name, CASE m.phase
				WHEN 'encrypting' THEN format('CASE WHEN new.%I IS NOT NULL THEN %s ELSE new.%I END', m.plaintext,
					multitenant._encrypt_expression(m.settings, format('new.%I', m.plaintext), 'new'), m.name)
				WHEN 'decrypting' THEN 'NULL::multitenant.encrypted' END,
			CASE m.phase
				WHEN 'encrypting' THEN format('CASE WHEN new.%I IS NOT NULL THEN %s%s ELSE new.%I END', m.plaintext,
					multitenant._encrypt_expression(m.settings, format('new.%I', m.plaintext), 'new'), coalesce(m.rebind, ''), m.name)
				WHEN 'decrypting' THEN 'NULL::multitenant.encrypted'
				ELSE CASE WHEN m.rebind IS NOT NULL THEN format('CASE%s ELSE new.%I END', m.rebind, m.name) END END
		FROM moved m
		UNION ALL
		SELECT m.blind_index, x.expression, x.expression FROM moved m CROSS JOIN LATERAL (SELECT CASE m.phase
				WHEN 'encrypting' THEN format('CASE WHEN new.%I IS NOT NULL THEN %s ELSE new.%I END', m.plaintext,
					multitenant._blind_expression(m.settings, format('new.%I', m.plaintext)), m.blind_index)
				WHEN 'decrypting' THEN 'NULL::pg_catalog.bytea' END) AS x(expression)
		WHERE m.blind_index IS NOT NULL
		UNION ALL
		SELECT m.plaintext, CASE m.phase
				WHEN 'encrypting' THEN format('NULL::%s', m.settings ->> 'type')
				ELSE format('CASE WHEN new.%I IS NOT NULL THEN %s ELSE new.%I END', m.name,
					multitenant._decrypt_expression(m.settings, format('new.%I', m.name), m.new_context), m.plaintext) END,
			CASE m.phase
				WHEN 'encrypting' THEN format('NULL::%s', m.settings ->> 'type')
				ELSE format('CASE WHEN new.%I IS NOT NULL THEN %s ELSE new.%I END', m.name,
					multitenant._decrypt_expression(m.settings, format('new.%I', m.name),
						format('CASE WHEN %s THEN %s ELSE %s END', m.is_same, m.old_context, m.new_context)), m.plaintext) END
		FROM moved m WHERE m.plaintext IS NOT NULL
	)
	SELECT format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT OR UPDATE ON %s FOR EACH ROW '
				  'EXECUTE FUNCTION multitenant._encrypted_row(%L, %L, %L)', multitenant._registration_trigger(), base, jsonb_build_object('columns', columns),
		coalesce('SELECT ' || string_agg(format('%s AS %I', c.on_insert, c.name), ', ') FILTER (WHERE c.on_insert IS NOT NULL), ''),
		coalesce('SELECT ' || string_agg(format('%s AS %I', c.on_update, c.name), ', ') FILTER (WHERE c.on_update IS NOT NULL), ''))
	FROM computed c
$$;

-- Defaults of the table's columns, which a view does not inherit; those of encrypted columns are known to the
-- registration alone.
CREATE FUNCTION multitenant._view_defaults(base regclass, view_name regclass, columns jsonb) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('ALTER VIEW %s ALTER COLUMN %I %s', view_name, c.name, coalesce('SET DEFAULT ' || d.expression, 'DROP DEFAULT'))
	FROM multitenant._view_columns(base, view_name, columns) c
	CROSS JOIN LATERAL (SELECT CASE
		WHEN c.is_encrypted THEN columns -> c.name ->> 'default'
		ELSE coalesce(multitenant._default_of(base, c.name::name), (
			SELECT format('nextval(%L::regclass)', pg_get_serial_sequence(base::text, c.name))
			FROM pg_catalog.pg_attribute a WHERE a.attrelid = base AND a.attname = c.name AND a.attidentity <> '')) END) AS d(expression)
	WHERE NOT c.is_generated
	  AND d.expression IS DISTINCT FROM multitenant._default_of(view_name, c.name::name)
$$;

-- Who has a privilege on one relation gets the same on another.
CREATE FUNCTION multitenant._grants_like(source regclass, target text) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('GRANT %s ON TABLE %s TO %s%s', g.privilege_type, target,
				  CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
				  CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
	FROM pg_catalog.pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
	WHERE c.oid = source AND g.grantee <> c.relowner AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
$$;

-- Identity sequences: the table itself uses them unasked, the view's default does not.
CREATE FUNCTION multitenant._sequence_grants(base regclass) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('GRANT USAGE ON SEQUENCE %s TO %s', pg_get_serial_sequence(base::text, a.attname)::regclass,
				  CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
	FROM pg_catalog.pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
	JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> '' AND NOT a.attisdropped
	WHERE c.oid = base AND g.grantee <> c.relowner AND g.privilege_type = 'INSERT'
$$;

-- Makes view and triggers say what "columns" says. The view is made where there is none, under the name that is given.
CREATE FUNCTION multitenant._refresh_encryption(base regclass, columns jsonb, new_view name DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	shown regclass := multitenant._encryption_view(base);
	schema_name name;
	query text;
	command text;
BEGIN
	SELECT c.relnamespace::regnamespace::text INTO schema_name FROM pg_catalog.pg_class c WHERE c.oid = base;
	SELECT format('SELECT %s FROM %s AS t', string_agg(format('%s AS %I', c.expression, c.name), ', ' ORDER BY c.n), base) INTO query
		FROM multitenant._view_columns(base, shown, columns) c;
	IF shown IS NULL THEN
		PERFORM multitenant._run_as_owner(base, format('CREATE VIEW %s.%I WITH (security_invoker = true, security_barrier = true) AS %s',
													   schema_name, new_view, query));
		shown := format('%s.%I', schema_name, new_view)::regclass;
		FOR command IN SELECT g FROM multitenant._grants_like(base, shown::text) g
				UNION ALL SELECT g FROM multitenant._sequence_grants(base) g LOOP
			PERFORM multitenant._run_as_owner(NULL, command);
		END LOOP;
	ELSE
		PERFORM multitenant._run_as_owner(shown, format('CREATE OR REPLACE VIEW %s WITH (security_invoker = true, security_barrier = true) AS %s',
														shown, query));
	END IF;
	PERFORM multitenant._run_as_owner(base, multitenant._table_trigger_command(base, columns));
	PERFORM multitenant._run_as_owner(shown, multitenant._view_trigger_command(base, shown, columns));
	FOR command IN SELECT d FROM multitenant._view_defaults(base, shown, columns) d LOOP
		PERFORM multitenant._run_as_owner(shown, command);
	END LOOP;
END
$$;

CREATE FUNCTION multitenant.repair_encryption(table_name regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	base regclass := multitenant._encryption_base(table_name);
BEGIN
	PERFORM multitenant._check_table(base);
	IF multitenant._encryption(base) IS NULL THEN
		RAISE EXCEPTION 'table % has no encrypted columns', base
			USING ERRCODE = '55000', HINT = 'See the view multitenant.encrypted_columns.';
	END IF;
	PERFORM multitenant._refresh_encryption(base, multitenant._encryption(base),
		(SELECT c.relname || '_decrypted' FROM pg_catalog.pg_class c WHERE c.oid = base)::name);
END
$$;
COMMENT ON FUNCTION multitenant.repair_encryption(regclass) IS
'Makes the view and the triggers of a table with encrypted columns anew: after the table was renamed, or got a column or another default. A view that is gone is made as TABLE_decrypted. For the owner. Errors: 42501, 55000 no encrypted columns.';
