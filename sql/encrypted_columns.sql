/*
 * encrypted_columns.sql
 *	  Columns of tenants' tables that are kept encrypted: converting them, and the view that the application goes on with.
 *
 * encrypt_column('app.customer', 'ssn', ..) renames the table to app.customer_encrypted and makes a view app.customer,
 * so that the application's statements stay as they are and none of them can put plaintext into the table. The view
 * decrypts; its trigger encrypts. That is done first, and only then are the old rows converted, batch by batch: until the
 * end the view shows what is converted and what is not alike.
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

-- ---------------------------------------------------------------------------------------------------------------
-- What must hold before
-- ---------------------------------------------------------------------------------------------------------------

-- What hangs on a column and would not know what to do with a ciphertext.
CREATE FUNCTION multitenant._column_dependents(base regclass, column_name name) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) COLLATE "C" FROM pg_catalog.pg_depend d
	JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
	WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = base AND a.attname = column_name
	  -- its own default and NOT NULL
	  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attrdef x WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND x.oid = d.objid
					  AND x.adrelid = base AND x.adnum = a.attnum AND a.attgenerated = '')
	  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint x WHERE d.classid = 'pg_catalog.pg_constraint'::regclass
					  AND x.oid = d.objid AND x.contype = 'n')
	  AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite x WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
					  AND x.oid = d.objid AND x.ev_class = multitenant._encryption_view(base))
	UNION
	-- Functions that take or return rows of the table, and tables that hold some.
	SELECT pg_describe_object(d.classid, d.objid, d.objsubid) COLLATE "C" FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid = c.reltype
		AND d.deptype = 'n'
	WHERE c.oid = base
	ORDER BY 1
$$;

CREATE FUNCTION multitenant._raise_encryption(message text, code text, hint text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION '%', message USING ERRCODE = code, HINT = hint;
END
$$;

-- A trigger that could change a row after it was encrypted.
CREATE FUNCTION multitenant._later_trigger(base regclass) RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	-- 1, 2: FOR EACH ROW, BEFORE; 4, 16: INSERT, UPDATE.
	SELECT t.tgname FROM pg_catalog.pg_trigger t
	WHERE t.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(base) p UNION ALL SELECT base)
	  AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgname > multitenant._registration_trigger()
	ORDER BY t.tgname LIMIT 1
$$;

-- The table of the rules that a table has to keep to.
CREATE FUNCTION multitenant._check_encryptable_table(base regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	later name;
BEGIN
	PERFORM multitenant._check_table(base);
	PERFORM multitenant._require('isolation', 'encrypting a column');
	IF multitenant._label_class(base) IS DISTINCT FROM 'tenant' OR NOT multitenant._is_protected(base) THEN
		PERFORM multitenant._raise_encryption(format('table %s is not a tenant''s table', base), '55000',
			format('Protect it first: SELECT * FROM multitenant.protect(%L).', base));
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = base)
	   OR EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhparent
				  WHERE i.inhparent = base AND c.relkind = 'r') THEN
		PERFORM multitenant._raise_encryption(format('table %s is part of an inheritance tree', base), '0A000',
			'A partition is encrypted with the partitioned table; other inheritance is not supported.');
	END IF;
	IF multitenant._is_written_row(base) IS NULL THEN
		PERFORM multitenant._raise_encryption(format('table %s has no primary key', base), '55000',
			'Add one: rows are converted in its order, and values are bound to it.');
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = base AND a.attidentity = 'a' AND NOT a.attisdropped) THEN
		PERFORM multitenant._raise_encryption(format('table %s has a column that is generated always as identity', base), '0A000',
			'Use ALTER TABLE .. ALTER COLUMN .. SET GENERATED BY DEFAULT: the view''s trigger has to give the value.');
	END IF;
	later := multitenant._later_trigger(base);
	IF later IS NOT NULL THEN
		PERFORM multitenant._raise_encryption(format('trigger "%s" of table %s comes after "%s"', later, base,
			multitenant._registration_trigger()), '55000',
			'Triggers fire in the order of their names; what it does to the columns that values are bound to would come too late. Rename it.');
	END IF;
END
$$;

CREATE FUNCTION multitenant._check_encryptable_column(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a record;
	dependents text;
BEGIN
	SELECT t.atttypid, t.attgenerated, t.attidentity, format_type(t.atttypid, t.atttypmod) AS type INTO a
		FROM pg_catalog.pg_attribute t WHERE t.attrelid = base AND t.attname = column_name AND t.attnum > 0 AND NOT t.attisdropped;
	IF NOT FOUND THEN
		PERFORM multitenant._raise_encryption(format('column "%s" of table %s does not exist', column_name, base), '42703',
			'Name a column of the table.');
	END IF;
	IF column_name = multitenant._tenant_column(base) OR a.attgenerated <> '' OR a.attidentity <> '' THEN
		PERFORM multitenant._raise_encryption(format('column "%s" of table %s cannot be encrypted', column_name, base), '22023',
			'Neither the tenant column nor generated columns can be.');
	END IF;
	IF multitenant._encryption_form(a.atttypid) IS NULL THEN
		PERFORM multitenant._raise_encryption(format('values of type %s cannot be kept encrypted in a column', a.type), '0A000',
			'Possible are text and its like, bytea, json, jsonb, uuid, numeric, integers, boolean, dates and times, network addresses. Encrypt others with multitenant.encrypt(value::text); make an enum a text with a CHECK first.');
	END IF;
	SELECT string_agg(d, ', ') INTO dependents FROM multitenant._column_dependents(base, column_name) d;
	IF dependents IS NOT NULL THEN
		RAISE EXCEPTION 'other objects depend on column "%" of table %', column_name, base
			USING ERRCODE = '2BP01', DETAIL = format('These: %s.', dependents),
				  HINT = 'Drop them; instead of an index on the value have a blind index made, and instead of a view on the table make one on the view that this leaves.';
	END IF;
END
$$;

-- How the column will be encrypted: what is known of it from then on.
CREATE FUNCTION multitenant._encryption_settings(base regclass, column_name name, purpose text, context_columns name[],
	blind_index name, normalizer text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a record;
	wrong name;
	bound name[] := context_columns;
	normalizing regprocedure := to_regprocedure(normalizer || CASE WHEN strpos(normalizer, '(') = 0 THEN '(text)' ELSE '' END);
BEGIN
	SELECT t.atttypid, t.atttypmod, t.attnotnull, t.attcollation, y.typcollation, n.nspname, c.relname INTO a
		FROM pg_catalog.pg_attribute t JOIN pg_catalog.pg_type y ON y.oid = t.atttypid
		JOIN pg_catalog.pg_class c ON c.oid = coalesce(multitenant._encryption_view(base), base)
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE t.attrelid = base AND t.attname = column_name;
	IF purpose IS NULL OR purpose !~ '^[a-z0-9._-]{1,63}$' THEN
		PERFORM multitenant._raise_encryption('invalid purpose', '22023', 'A purpose has 1 to 63 of a-z 0-9 . _ -, such as "pii".');
	END IF;
	IF bound IS NULL THEN
		bound := ARRAY(SELECT k.attname FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS x(attnum, n)
			JOIN pg_catalog.pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = x.attnum
			WHERE i.indrelid = base AND i.indisprimary AND x.n <= i.indnkeyatts AND k.attname <> multitenant._tenant_column(base)
			ORDER BY x.n);
	END IF;
	SELECT b.name INTO wrong FROM unnest(bound) AS b(name)
		LEFT JOIN pg_catalog.pg_attribute t ON t.attrelid = base AND t.attname = b.name AND t.attnum > 0 AND NOT t.attisdropped
		WHERE t.attname IS NULL OR NOT t.attnotnull OR t.attgenerated <> '' OR t.attname = column_name
		   OR t.atttypid NOT IN ('uuid'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype)
		LIMIT 1;
	IF FOUND THEN
		PERFORM multitenant._raise_encryption(format('values cannot be bound to column "%s"', wrong), '22023',
			'Context columns are uuid, integers, text or varchar, and NOT NULL; ''{}'' binds values to the column only.');
	END IF;
	IF normalizer IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_proc p WHERE p.oid = normalizing AND p.prorettype = 'text'::regtype AND p.provolatile = 'i'
			AND p.pronargs = 1 AND p.proargtypes[0] = 'text'::regtype AND p.prokind = 'f' AND NOT p.proretset) THEN
		PERFORM multitenant._raise_encryption(format('function %s cannot normalise values', normalizer), '22023',
			'A normalizer takes one text, returns a text, and is IMMUTABLE; name it with its schema.');
	END IF;
	IF normalizer IS NOT NULL AND blind_index IS NULL THEN
		PERFORM multitenant._raise_encryption('a normalizer is for a blind index', '22023', 'Give blind_index, too.');
	END IF;
	IF blind_index IS NOT NULL AND multitenant._encryption_form(a.atttypid) IN ('bytea', 'jsonb') THEN
		PERFORM multitenant._raise_encryption('this type has no blind index', '0A000', 'Leave blind_index out.');
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = base AND t.attname = blind_index) THEN
		PERFORM multitenant._raise_encryption(format('column "%s" of table %s exists already', blind_index, base), '42701',
			'Give blind_index the name of a new column.');
	END IF;
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'type', format_type(a.atttypid, a.atttypmod), 'form', multitenant._encryption_form(a.atttypid),
		'collation', CASE WHEN a.attcollation <> a.typcollation THEN a.attcollation::regcollation::text END,
		'purpose', purpose, 'context', format('%s.%s.%s', a.nspname, a.relname, column_name),
		'context_columns', to_jsonb(bound), 'blind_index', blind_index,
		'normalizer', (SELECT format('%I.%I', n.nspname, p.proname) FROM pg_catalog.pg_proc p
					   JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = normalizing),
		'required', CASE WHEN a.attnotnull THEN true END, 'default', multitenant._default_of(base, column_name)));
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Progress
-- ---------------------------------------------------------------------------------------------------------------

CREATE TABLE multitenant.encryption_job (
	schema_name name NOT NULL,
	table_name name NOT NULL,
	column_name name NOT NULL,
	direction text COLLATE "C" NOT NULL,
	tenants_done bigint NOT NULL,
	tenants_total bigint NOT NULL,
	rows_done bigint NOT NULL,
	rows_estimated bigint NOT NULL,
	started_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	finished_at timestamptz,
	CONSTRAINT encryption_job_pkey PRIMARY KEY (schema_name, table_name, column_name)
);
COMMENT ON TABLE multitenant.encryption_job IS
'How far encrypt_column() and decrypt_column() are; nothing depends on it.';
ALTER TABLE multitenant.encryption_job ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.encryption_job', '');

CREATE FUNCTION multitenant._note_encryption(base regclass, column_name name, direction text, tenants_done bigint,
	tenants_total bigint, rows_done bigint, rows_estimated bigint, is_finished boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('isolation', 'encrypting a column');
	INSERT INTO multitenant.encryption_job AS j
		SELECT n.nspname, c.relname, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp(),
			CASE WHEN is_finished THEN clock_timestamp() END
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = base
	ON CONFLICT ON CONSTRAINT encryption_job_pkey DO UPDATE
		SET direction = excluded.direction, tenants_done = excluded.tenants_done, tenants_total = excluded.tenants_total,
			rows_done = excluded.rows_done, rows_estimated = excluded.rows_estimated, updated_at = excluded.updated_at,
			finished_at = excluded.finished_at,
			started_at = CASE WHEN j.finished_at IS NULL AND j.direction = excluded.direction THEN j.started_at ELSE excluded.started_at END;
	IF is_finished THEN
		PERFORM multitenant._audit(CASE direction WHEN 'encrypting' THEN 'key.encrypt_column' ELSE 'key.decrypt_column' END, NULL, base::text,
			'done', jsonb_build_object('column', column_name, 'rows', rows_done));
	END IF;
END
$$;

CREATE VIEW multitenant.encryption_progress WITH (security_barrier = true) AS
	SELECT schema_name, table_name, column_name, direction, tenants_done, tenants_total, rows_done, rows_estimated, started_at,
		updated_at, finished_at
	FROM multitenant.encryption_job WHERE multitenant._has('isolation');
COMMENT ON VIEW multitenant.encryption_progress IS
'How far each call of encrypt_column() and decrypt_column() is: tenants and rows done in this call, of how many (an estimate), direction encrypting or decrypting; finished_at null: it runs, or was stopped and goes on when called again. For superusers and profile migrator.';

CREATE VIEW multitenant.encrypted_columns WITH (security_invoker = true) AS
	SELECT n.nspname AS schema_name, b.relname AS table_name, v.relname AS view_name, e.key AS column_name,
		e.value ->> 'purpose' AS purpose, e.value ->> 'context' AS context,
		ARRAY(SELECT pg_catalog.jsonb_array_elements_text(e.value -> 'context_columns')) AS context_columns,
		e.value ->> 'blind_index' AS blind_index, e.value ->> 'normalizer' AS normalizer,
		CASE WHEN e.value ? 'plaintext' THEN e.value ->> 'direction' ELSE 'encrypted' END AS state
	FROM pg_catalog.pg_trigger t
	JOIN pg_catalog.pg_class b ON b.oid = t.tgrelid AND b.relkind IN ('r', 'p')
	JOIN pg_catalog.pg_namespace n ON n.oid = b.relnamespace
	LEFT JOIN pg_catalog.pg_class v ON v.oid = multitenant._encryption_view(b.oid)
	CROSS JOIN LATERAL pg_catalog.jsonb_each(multitenant._encryption(b.oid)) e
	-- Security: a label says that who has made it may protect tables; anybody may make a trigger.
	WHERE t.tgname = multitenant._registration_trigger() AND t.tgparentid = 0 AND multitenant._label_class(b.oid) = 'tenant';
COMMENT ON VIEW multitenant.encrypted_columns IS
'Columns that are kept encrypted: the table that has them, the view that the application uses, purpose of the key, what values are bound to (context, and the columns whose values follow it after ":"), blind index and its normalizer. state: encrypted, encrypting, decrypting.';

-- ---------------------------------------------------------------------------------------------------------------
-- Converting
-- ---------------------------------------------------------------------------------------------------------------

-- A name made of two, clipped, not yet taken in the schema of the table.
CREATE FUNCTION multitenant._derived_name(rel regclass, stem text, tail text) RETURNS name
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name_taken boolean;
BEGIN
	LOOP
		WHILE octet_length(stem || tail) > 63 LOOP
			stem := left(stem, -1);
		END LOOP;
		SELECT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = stem || tail
					   AND c.relnamespace = (SELECT x.relnamespace FROM pg_catalog.pg_class x WHERE x.oid = rel))
			OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attname = stem || tail) INTO name_taken;
		EXIT WHEN NOT name_taken;
		tail := tail || '_';
	END LOOP;
	RETURN stem || tail;
END
$$;

CREATE FUNCTION multitenant._raise_encrypted(base regclass, column_name name) RETURNS void
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._raise_encryption(format('column "%s" of table %s is encrypted already', column_name, base), '55000',
		'See the view multitenant.encrypted_columns. To encrypt it otherwise, call multitenant.decrypt_column() first.')
$$;

-- A key that is first made by the conversion could be lost with a batch that fails, and values that a trigger of the
-- table has kept elsewhere with it: they are made beforehand, in a transaction of their own.
CREATE FUNCTION multitenant._make_column_keys(tenant uuid, purpose text, has_blind_index boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('isolation', 'encrypting a column');
	PERFORM multitenant._make_key(tenant, purpose, 'data');
	IF has_blind_index THEN
		PERFORM multitenant._make_key(tenant, purpose, 'blind_index');
	END IF;
END
$$;

-- Takes the table for the rest of the transaction. All that is queued behind a lock that is waited for waits, too: the
-- attempts are short, and others come in between.
-- Security: see add_tenant_column() about search_path in a procedure that commits.
CREATE PROCEDURE multitenant._lock_shortly(base regclass)
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	is_locked boolean := false;
	shown regclass;
BEGIN
	FOR attempt IN 1 .. 100 LOOP
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		PERFORM pg_catalog.set_config('lock_timeout', '2s', true);
		BEGIN
			-- In the order in which statements on the view lock the two.
			shown := multitenant._encryption_view(base);
			IF shown IS NOT NULL THEN
				PERFORM multitenant._run_as_owner(shown, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', shown));
			END IF;
			PERFORM multitenant._run_as_owner(base, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', base));
			is_locked := true;
		EXCEPTION
			WHEN lock_not_available THEN
				NULL;
		END;
		EXIT WHEN is_locked;
		COMMIT;
		PERFORM pg_catalog.pg_sleep(0.5);
	END LOOP;
	IF NOT is_locked THEN
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		RAISE EXCEPTION 'table % is in use', base
			USING ERRCODE = '55P03', HINT = 'Some transaction has it open all the time: see pg_locks. Call this again later; it goes on where it stopped.';
	END IF;
END
$$;

-- The first step of encrypting, in one transaction: from here on no plaintext comes into the table.
CREATE FUNCTION multitenant._begin_encryption(base regclass, column_name name, settings jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns jsonb;
	plaintext name;
	view_name name;
	hash name := settings ->> 'blind_index';
	command text;
BEGIN
	PERFORM multitenant._run_as_owner(base, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', base));
	-- What has come meanwhile: another session may have changed another column of the table, or this one.
	columns := coalesce(multitenant._encryption(base), '{}');
	IF columns ? column_name::text THEN
		PERFORM multitenant._raise_encrypted(base, column_name);
	END IF;
	PERFORM multitenant._check_encryptable_table(base);
	PERFORM multitenant._check_encryptable_column(base, column_name);
	plaintext := multitenant._derived_name(base, column_name, '_plaintext');
	settings := settings || jsonb_build_object('plaintext', plaintext, 'direction', 'encrypting');
	FOR command IN
		SELECT format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', base, column_name) WHERE settings ? 'default'
		UNION ALL SELECT format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', base, column_name) WHERE settings ? 'required'
		UNION ALL SELECT format('ALTER TABLE %s RENAME COLUMN %I TO %I', base, column_name, plaintext)
		UNION ALL SELECT format('ALTER TABLE %s ADD COLUMN %I multitenant.encrypted', base, column_name)
		UNION ALL SELECT format('ALTER TABLE %s ADD COLUMN %I pg_catalog.bytea', base, hash) WHERE hash IS NOT NULL
		UNION ALL SELECT format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%I IS NOT NULL OR %I IS NOT NULL) NOT VALID', base,
			plaintext || '_required', column_name, plaintext) WHERE settings ? 'required' LOOP
		PERFORM multitenant._run_as_owner(base, command);
	END LOOP;
	IF multitenant._encryption_view(base) IS NULL THEN
		SELECT c.relname INTO view_name FROM pg_catalog.pg_class c WHERE c.oid = base;
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s RENAME TO %I', base,
			multitenant._derived_name(base, view_name, '_encrypted')));
	END IF;
	PERFORM multitenant._refresh_encryption(base, columns || jsonb_build_object(column_name, settings), view_name);
END
$$;

CREATE FUNCTION multitenant._index_hash(base regclass, hash name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	command text := format('ON %s (%I, %I) WHERE %I IS NOT NULL', base, multitenant._tenant_column(base), hash, hash);
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
			   WHERE i.indrelid = base AND a.attname = hash) THEN
		RETURN;
	ELSIF multitenant._is_large(base) THEN
		RAISE NOTICE 'the blind index has no index yet: table % is too large to make one under a lock', base
			USING HINT = 'CREATE INDEX CONCURRENTLY ' || command;
	ELSE
		PERFORM multitenant._run_as_owner(base, 'CREATE INDEX ' || command);
	END IF;
END
$$;

-- The key of the last of the next rows of the current tenant that are not converted, as a JSON array of texts; NULL for none.
CREATE FUNCTION multitenant._next_batch(base regclass, waiting name, after jsonb, size integer, OUT last_key jsonb, OUT row_filter text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key_columns text;
	key_texts text;
	key_backwards text;
	tenant_filter text := format('%I = %s AND %I IS NOT NULL', multitenant._tenant_column(base),
		(SELECT multitenant._accessor(a.atttypid) FROM pg_catalog.pg_attribute a
		 WHERE a.attrelid = base AND a.attname = multitenant._tenant_column(base)), waiting);
BEGIN
	SELECT string_agg(format('%I', a.attname), ', ' ORDER BY k.n), string_agg(format('%I::text', a.attname), ', ' ORDER BY k.n),
		string_agg(format('%I DESC', a.attname), ', ' ORDER BY k.n)
		INTO key_columns, key_texts, key_backwards
		FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = base AND i.indisprimary AND k.n <= i.indnkeyatts;
	IF after IS NOT NULL THEN
		tenant_filter := format('%s AND (%s) > (%s)', tenant_filter, key_columns, multitenant._row_literals(base, after));
	END IF;
	last_key := multitenant._query_as_owner(base, format(
		'SELECT (SELECT pg_catalog.json_build_array(%s) FROM (SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT %s) AS s ORDER BY %s LIMIT 1)::text',
		key_texts, key_columns, base, tenant_filter, key_columns, size, key_backwards))::jsonb;
	row_filter := format('%s AND (%s) <= (%s)', tenant_filter, key_columns, multitenant._row_literals(base, last_key));
END
$$;

CREATE FUNCTION multitenant._row_literals(base regclass, key jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('%L::%s', key ->> (k.n::int - 1), format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.n)
	FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
	WHERE i.indrelid = base AND i.indisprimary AND k.n <= i.indnkeyatts
$$;

-- Constraints that prove, for the table with all its tenants, that a column is empty and that the other one is not. A
-- constraint reads past the policies. They are added without a look (NOT VALID), validated while everybody works on, and
-- dropped with the last step.
CREATE FUNCTION multitenant._proofs(base regclass, waiting name, staying name, is_required boolean)
RETURNS TABLE(name name, condition text, is_made boolean, is_valid boolean)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.name, p.condition, c.oid IS NOT NULL, coalesce(c.convalidated, false)
	-- By the column's number: more than one may be converted at a time, and their names may be as long as names can be.
	FROM pg_catalog.pg_attribute a
	CROSS JOIN LATERAL (VALUES (format('multitenant_converted_%s', a.attnum)::name, format('%I IS NULL', waiting), true),
		(format('multitenant_required_%s', a.attnum)::name, format('%I IS NOT NULL', staying), is_required)) AS p(name, condition, is_needed)
	LEFT JOIN pg_catalog.pg_constraint c ON c.conrelid = base AND c.conname = p.name AND c.contype = 'c'
	WHERE a.attrelid = base AND a.attname = waiting AND p.is_needed
$$;

CREATE FUNCTION multitenant._proofs_of(base regclass, column_name name)
RETURNS TABLE(name name, condition text, is_made boolean, is_valid boolean)
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.name, p.condition, p.is_made, p.is_valid
	FROM (SELECT multitenant._encryption(base) -> column_name::text) AS e(settings)
	CROSS JOIN LATERAL (SELECT (e.settings ->> 'plaintext')::name, e.settings ->> 'direction' = 'encrypting') AS c(plaintext, is_encrypting)
	CROSS JOIN LATERAL multitenant._proofs(base, CASE WHEN c.is_encrypting THEN c.plaintext ELSE column_name END,
		CASE WHEN c.is_encrypting THEN column_name ELSE c.plaintext END, e.settings ? 'required') p
$$;

CREATE FUNCTION multitenant._add_proofs(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	proof record;
BEGIN
	FOR proof IN SELECT p.name, p.condition FROM multitenant._proofs_of(base, column_name) p WHERE NOT p.is_made LOOP
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s) NOT VALID', base, proof.name,
			proof.condition));
	END LOOP;
END
$$;

CREATE FUNCTION multitenant._drop_proofs(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	proof record;
BEGIN
	FOR proof IN SELECT p.name FROM multitenant._proofs_of(base, column_name) p WHERE p.is_made LOOP
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s DROP CONSTRAINT %I', base, proof.name));
	END LOOP;
END
$$;

-- Leaves those not valid that do not hold.
CREATE FUNCTION multitenant._validate_proofs(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	proof record;
BEGIN
	FOR proof IN SELECT p.name FROM multitenant._proofs_of(base, column_name) p WHERE p.is_made AND NOT p.is_valid LOOP
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s VALIDATE CONSTRAINT %I', base, proof.name));
	END LOOP;
EXCEPTION WHEN check_violation THEN
	NULL;
END
$$;

CREATE FUNCTION multitenant._is_proven(base regclass, column_name name) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(bool_and(p.is_made AND p.is_valid), false) FROM multitenant._proofs_of(base, column_name) p
$$;

-- The last step, in one transaction under the lock: the column that is empty goes.
CREATE FUNCTION multitenant._end_encryption(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns jsonb := multitenant._encryption(base);
	settings jsonb := columns -> column_name;
	plaintext name := settings ->> 'plaintext';
	proofs name[] := ARRAY(SELECT p.name FROM multitenant._proofs_of(base, column_name) p);
	proof name;
BEGIN
	-- Nothing may hang on the column any more when it goes.
	columns := columns || jsonb_build_object(column_name, settings - 'plaintext' - 'direction');
	PERFORM multitenant._refresh_encryption(base, jsonb_set(columns, ARRAY[column_name, 'leaving'], to_jsonb(plaintext::text)));
	IF settings ? 'required' THEN
		-- It has been proven: the server does not look.
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', base, column_name));
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s DROP CONSTRAINT %I', base, plaintext || '_required'));
	END IF;
	FOREACH proof IN ARRAY proofs LOOP
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s DROP CONSTRAINT %I', base, proof));
	END LOOP;
	PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s DROP COLUMN %I', base, plaintext));
	PERFORM multitenant._refresh_encryption(base, columns);
END
$$;

CREATE FUNCTION multitenant._raise_not_encrypted(base regclass, column_name name) RETURNS void
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._raise_encryption(format('column "%s" of table %s is not encrypted', column_name, base), '55000',
		'See the view multitenant.encrypted_columns.')
$$;

CREATE FUNCTION multitenant._begin_decryption(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns jsonb;
	settings jsonb;
	plaintext name;
BEGIN
	PERFORM multitenant._run_as_owner(base, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', base));
	-- Not before: another session may have changed what is known of the table.
	columns := multitenant._encryption(base);
	settings := columns -> column_name;
	IF settings IS NULL THEN
		PERFORM multitenant._raise_not_encrypted(base, column_name);
	ELSIF settings ->> 'direction' = 'decrypting' THEN
		RETURN;
	END IF;
	PERFORM multitenant._drop_proofs(base, column_name);
	plaintext := coalesce(settings ->> 'plaintext', multitenant._derived_name(base, column_name, '_plaintext'));
	IF NOT settings ? 'plaintext' THEN
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s ADD COLUMN %I %s%s', base, plaintext, settings ->> 'type',
			coalesce(' COLLATE ' || (settings ->> 'collation'), '')));
		IF settings ? 'required' THEN
			PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', base, column_name));
			PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%I IS NOT NULL OR %I IS NOT NULL) NOT VALID',
				base, plaintext || '_required', column_name, plaintext));
		END IF;
	END IF;
	PERFORM multitenant._refresh_encryption(base, columns || jsonb_build_object(column_name,
		settings || jsonb_build_object('plaintext', plaintext, 'direction', 'decrypting')));
END
$$;

CREATE FUNCTION multitenant._end_decryption(base regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns jsonb := multitenant._encryption(base);
	settings jsonb := columns -> column_name;
	plaintext name := settings ->> 'plaintext';
	shown regclass := multitenant._encryption_view(base);
	proofs name[] := ARRAY(SELECT p.name FROM multitenant._proofs_of(base, column_name) p);
	view_name name;
	grants text[] := ARRAY(SELECT g FROM multitenant._grants_like(shown, shown::text) g);
	command text;
BEGIN
	SELECT c.relname INTO view_name FROM pg_catalog.pg_class c WHERE c.oid = shown;
	-- The view would hold on to the column: it is made again, or its name is the table's once more.
	PERFORM multitenant._run_as_owner(shown, format('DROP VIEW %s', shown));
	IF columns = jsonb_build_object(column_name, settings) THEN
		PERFORM multitenant._run_as_owner(base, format('DROP TRIGGER %I ON %s', multitenant._registration_trigger(), base));
	END IF;
	FOR command IN
		SELECT format('ALTER TABLE %s DROP COLUMN %I', base, settings ->> 'blind_index') WHERE settings ? 'blind_index'
		UNION ALL SELECT format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', base, plaintext) WHERE settings ? 'required'
		UNION ALL SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', base, p) FROM unnest(proofs) p
		UNION ALL SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', base, plaintext || '_required') WHERE settings ? 'required'
		UNION ALL SELECT format('ALTER TABLE %s DROP COLUMN %I', base, column_name)
		UNION ALL SELECT format('ALTER TABLE %s RENAME COLUMN %I TO %I', base, plaintext, column_name)
		UNION ALL SELECT format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', base, column_name, settings ->> 'default')
			WHERE settings ? 'default' LOOP
		PERFORM multitenant._run_as_owner(base, command);
	END LOOP;
	IF columns = jsonb_build_object(column_name, settings) THEN
		PERFORM multitenant._run_as_owner(base, format('ALTER TABLE %s RENAME TO %I', base, view_name));
	ELSE
		PERFORM multitenant._refresh_encryption(base, columns - column_name::text, view_name);
		FOREACH command IN ARRAY grants LOOP
			PERFORM multitenant._run_as_owner(NULL, command);
		END LOOP;
	END IF;
END
$$;

CREATE FUNCTION multitenant._active_tenants() RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ARRAY(SELECT t.id FROM multitenant.tenants t WHERE t.state = 'active' ORDER BY t.number)
$$;

-- One batch of the current tenant: how many rows.
-- Security: the plaintext goes with it, so each row is read back as it was stored. Not even a trigger, a rule or an
-- operator that nobody has thought of can make it one that has nothing left.
CREATE FUNCTION multitenant._convert_batch(base regclass, column_name name, waiting name, row_filter text, direction text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN multitenant._run_as_owner(base, format('UPDATE %s SET %I = %I WHERE %s', base, waiting, waiting, row_filter)
		|| CASE direction WHEN 'encrypting' THEN format(' RETURNING multitenant.decrypt_bytea(%I, %s) IS NULL', column_name,
														multitenant._column_context(base, column_name)) ELSE '' END);
EXCEPTION WHEN SQLSTATE 'MT021' THEN
	RAISE EXCEPTION 'a row of table % could not be read after it was converted', base
		USING ERRCODE = '55000', DETAIL = 'It is left as it was.',
			  HINT = 'Does a trigger of the table change columns that values are bound to? Then it must come before the trigger "~multitenant_encryption".';
END
$$;

-- Converts all rows of active tenants, in either direction. A row is converted by the table's trigger when it is touched.
-- Security: see add_tenant_column() about search_path in a procedure that commits.
CREATE PROCEDURE multitenant._convert_column(base regclass, column_name name, direction text, batch integer)
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	settings jsonb;
	waiting name;
	tenants uuid[];
	last_key jsonb;
	row_filter text;
	estimated bigint;
	done bigint := 0;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	settings := multitenant._encryption(base) -> column_name;
	waiting := CASE direction WHEN 'encrypting' THEN settings ->> 'plaintext' ELSE column_name END;
	tenants := multitenant._active_tenants();
	estimated := multitenant._estimated_rows(base);
	FOR i IN 1 .. cardinality(tenants) LOOP
		last_key := NULL;
		LOOP
			PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
			PERFORM multitenant.use_tenant(tenants[i]);
			-- Deferred triggers would not fire as the owner, but at COMMIT as the caller; the server refuses that.
			SET CONSTRAINTS ALL IMMEDIATE;
			SELECT b.last_key, b.row_filter INTO last_key, row_filter
				FROM multitenant._next_batch(base, waiting, last_key, batch) b;
			EXIT WHEN last_key IS NULL;
			done := done + multitenant._convert_batch(base, column_name, waiting, row_filter, direction);
			PERFORM multitenant._note_encryption(base, column_name, direction, i - 1, cardinality(tenants), done,
				greatest(estimated, done), false);
			COMMIT;
			RAISE NOTICE '%', format('%s of about %s rows', done, greatest(estimated, done));
		END LOOP;
		COMMIT;
	END LOOP;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	CALL multitenant._lock_shortly(base);
	-- Another session may have finished it, or turned round.
	IF multitenant._encryption(base) -> column_name ->> 'direction' = direction THEN
		PERFORM multitenant._add_proofs(base, column_name);
	END IF;
	COMMIT;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM multitenant._validate_proofs(base, column_name);
	COMMIT;

	CALL multitenant._lock_shortly(base);
	IF multitenant._encryption(base) -> column_name ->> 'direction' = direction THEN
		IF NOT multitenant._is_proven(base, column_name) THEN
			PERFORM multitenant._drop_proofs(base, column_name);
			COMMIT;
			PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
			RAISE EXCEPTION 'rows of table % are not converted: they belong to tenants that are not active', base
				USING ERRCODE = '55000',
					  HINT = 'Everything else is done, and the view shows all rows as before. Resume those tenants or delete their rows, then call this again.';
		END IF;
		IF direction = 'encrypting' THEN
			PERFORM multitenant._end_encryption(base, column_name);
		ELSE
			PERFORM multitenant._end_decryption(base, column_name);
		END IF;
		PERFORM multitenant._note_encryption(base, column_name, direction, cardinality(tenants), cardinality(tenants), done,
			greatest(estimated, done), true);
	END IF;
	COMMIT;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;

CREATE PROCEDURE multitenant.encrypt_column(table_name regclass, column_name name, purpose text,
	context_columns name[] DEFAULT NULL, blind_index name DEFAULT NULL, normalizer text DEFAULT NULL,
	batch integer DEFAULT 5000)
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	base regclass;
	settings jsonb;
	tenant uuid;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	base := multitenant._encryption_base(table_name);
	IF coalesce(batch, 0) < 1 THEN
		RAISE EXCEPTION 'batch must be positive' USING ERRCODE = '22023', HINT = 'Omit it to use 5000 rows.';
	END IF;
	PERFORM multitenant._check_encryptable_table(base);
	settings := multitenant._encryption(base) -> column_name;
	IF settings IS NOT NULL AND settings ->> 'direction' IS DISTINCT FROM 'encrypting' THEN
		PERFORM multitenant._raise_encrypted(base, column_name);
	ELSIF settings IS NULL THEN
		PERFORM multitenant._check_encryptable_column(base, column_name);
		settings := multitenant._encryption_settings(base, column_name, purpose, context_columns, blind_index, normalizer);
		FOREACH tenant IN ARRAY multitenant._active_tenants() LOOP
			PERFORM multitenant._make_column_keys(tenant, purpose, blind_index IS NOT NULL);
			COMMIT;
			PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		END LOOP;
		CALL multitenant._lock_shortly(base);
		PERFORM multitenant._begin_encryption(base, column_name, settings);
		IF EXISTS (SELECT FROM pg_catalog.pg_publication_tables p JOIN pg_catalog.pg_class c ON c.oid = base
				   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = p.schemaname WHERE p.tablename = c.relname) THEN
			RAISE NOTICE 'table % is published, from now on under this name', base
				USING HINT = 'Rename the subscribers'' table and give it the column of type multitenant.encrypted.';
		END IF;
		IF EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = base AND a.attacl IS NOT NULL AND NOT a.attisdropped) THEN
			RAISE NOTICE 'privileges on single columns of table % do not hold for the view', base
				USING HINT = 'Who uses the view needs the privilege on the whole table and the view.';
		END IF;
	ELSE
		RAISE NOTICE 'encrypting column "%" of table % goes on where it stopped', column_name, base;
	END IF;
	COMMIT;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	IF settings ? 'blind_index' THEN
		PERFORM multitenant._index_hash(base, settings ->> 'blind_index');
		COMMIT;
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	END IF;
	CALL multitenant._convert_column(base, column_name, 'encrypting', batch);
	RAISE NOTICE 'column "%" of table % is encrypted; what it was before is still in dead rows, statistics, write-ahead logs and backups',
		column_name, base
		USING HINT = format('VACUUM FULL %s, pg_catalog.pg_statistic; then CHECKPOINT. WAL archives, backups and replicas'' slots from before keep the plaintext until they expire.', base);
END
$$;
COMMENT ON PROCEDURE multitenant.encrypt_column(regclass, name, text, name[], name, text, integer) IS
'Encrypts a column of a tenant''s table while everybody works on. The table is renamed to TABLE_encrypted, its column becomes one of type multitenant.encrypted, and a view with the table''s name takes its place: it decrypts, and its trigger encrypts what is inserted and updated. Old rows follow, tenant by tenant; commits after every batch; stopped at any point it goes on when called again. See multitenant.encryption_progress.
table_name: of class tenant, with a primary key; or the view, for another column. purpose: which key, see encrypt(). context_columns: values are bound to these columns'' values, so that they cannot be moved to another row (null: the primary key; {}: to the column only); when one of them changes, the value is encrypted again. blind_index: name for a new column with multitenant.blind_index() of the value, with an index, to find rows by. normalizer: IMMUTABLE function of a text that is applied before, with its schema, such as lower or app.digits. batch: rows per transaction.
Keys of active tenants are made first. The table is locked (ACCESS EXCLUSIVE) three times, without being read; a lock that is not had after 2 s is tried for again later. Call it outside a transaction. For a superuser, or the owner with profile migrator.
Errors: 42501; 22023 arguments; 42703 no such column; 42701 blind index exists; 0A000 type, identity, inheritance; 2BP01 something depends on the column; 55000 not a tenant''s table, no primary key, a trigger that comes later, encrypted already, rows of tenants that are not active; 55P03 the table is in use; MT020 key unavailable.';

CREATE PROCEDURE multitenant.decrypt_column(table_name regclass, column_name name, batch integer DEFAULT 5000)
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
	base regclass;
	settings jsonb;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	base := multitenant._encryption_base(table_name);
	IF coalesce(batch, 0) < 1 THEN
		RAISE EXCEPTION 'batch must be positive' USING ERRCODE = '22023', HINT = 'Omit it to use 5000 rows.';
	END IF;
	PERFORM multitenant._check_encryptable_table(base);
	settings := multitenant._encryption(base) -> column_name;
	IF settings IS NULL THEN
		PERFORM multitenant._raise_not_encrypted(base, column_name);
	ELSIF settings ->> 'direction' IS DISTINCT FROM 'decrypting' THEN
		CALL multitenant._lock_shortly(base);
		PERFORM multitenant._begin_decryption(base, column_name);
	ELSE
		RAISE NOTICE 'decrypting column "%" of table % goes on where it stopped', column_name, base;
	END IF;
	COMMIT;
	CALL multitenant._convert_column(base, column_name, 'decrypting', batch);
END
$$;
COMMENT ON PROCEDURE multitenant.decrypt_column(regclass, name, integer) IS
'The way back from multitenant.encrypt_column(), also from one that was stopped: the column holds plaintext again, at the end of the table. With the last encrypted column the view goes and the table gets its name back. In the same manner: batches, resumable, three short locks. Errors: as encrypt_column(); 2BP01 something depends on the view.';
