/*
 * explain_access.sql
 *	  Why a row is, or is not, there for a role: every layer that is asked, in the order in which it is asked.
 *
 * Security: no oracle.  multitenant._explain() uses the rights of its caller only: catalogs that everybody reads, the
 * caller's own context, and one query under row security.  What that query does not return is described in the same words,
 * whatever the reason, and the key stands in no text.  What an administrator learns beyond that comes from
 * multitenant._rows_by_key() and _try(), which check for themselves that he is one and give his rights to no user's code.
 */

CREATE TYPE multitenant._layer AS (step int, layer text, verdict text, detail text);

-- A policy that a command asks. "phase" is the command it is for, "all" for every one; "value" is what it says of the row:
-- true, false, null, or unknown, and then "reason" says why.
CREATE TYPE multitenant._policy AS (
	policy oid,
	name name,
	is_permissive boolean,
	is_generated boolean,
	phase text,
	expression text,
	description text,
	value text,
	reason text
);

CREATE FUNCTION multitenant._try(
	role name, tenant uuid, command text, keep boolean DEFAULT false, unasked boolean DEFAULT false,
	OUT sqlstate text, OUT message text, OUT rows bigint, OUT value text)
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_try';
COMMENT ON FUNCTION multitenant._try(name, uuid, text, boolean, boolean) IS
'Internal: what comes of a command when a role runs it under the context of a tenant, or of none; undone unless keep. unasked: permissions of tables are not asked. Superusers only.';

CREATE FUNCTION multitenant._rows_by_key(
	table_name regclass, key_columns text[], key_values text[], tenant_column text,
	OUT found_in regclass, OUT row_text text, OUT tenant text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_rows_by_key';
COMMENT ON FUNCTION multitenant._rows_by_key(regclass, text[], text[], text) IS
'Internal: rows with a key, of whatever tenant. Superusers only; recorded.';

CREATE FUNCTION multitenant._is_volatile_policy(policy oid) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_is_volatile_policy';
COMMENT ON FUNCTION multitenant._is_volatile_policy(oid) IS
'Internal: does a policy call volatile functions?';

-- ---------------------------------------------------------------------------------------------------------------
-- The key
-- ---------------------------------------------------------------------------------------------------------------

-- The columns of the primary key without the tenant's; NULL without a primary key.
CREATE FUNCTION multitenant._row_key_columns(rel regclass) RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(a.attname ORDER BY k.position) FROM pg_catalog.pg_constraint c
	CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, position)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
	WHERE c.conrelid = rel AND c.contype = 'p' AND a.attname IS DISTINCT FROM multitenant._tenant_column(rel)
$$;

-- The key as an object of columns and values.
CREATE FUNCTION multitenant._key_object(rel regclass, key jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns name[] := multitenant._row_key_columns(rel);
	unknown text;
BEGIN
	IF key IS NULL OR jsonb_typeof(key) = 'null' THEN
		RAISE EXCEPTION 'the key must not be null'
			USING ERRCODE = '22023', HINT = 'Pass the primary key of the row.';
	ELSIF jsonb_typeof(key) <> 'object' THEN
		IF cardinality(columns) IS DISTINCT FROM 1 THEN
			RAISE EXCEPTION 'the primary key of table % is not one column', rel
				USING ERRCODE = '22023', HINT = 'Pass the key as jsonb: {"column": value, ...}.';
		END IF;
		RETURN jsonb_build_object(columns[1], key);
	END IF;
	SELECT k.name INTO unknown FROM jsonb_each(key) AS k(name, value)
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
						  WHERE a.attrelid = rel AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped) LIMIT 1;
	IF key = '{}' THEN
		RAISE EXCEPTION 'the key names no column'
			USING ERRCODE = '22023', HINT = 'Pass the key as jsonb: {"column": value, ...}.';
	ELSIF FOUND THEN
		RAISE EXCEPTION 'column "%" of table % does not exist', unknown, rel
			USING ERRCODE = '42703', HINT = 'Pass the key as jsonb: {"column": value, ...}.';
	END IF;
	RETURN key;
END
$$;

-- The key as a condition on the table under its own name. Not qualified: it is for a query with the session's search_path.
CREATE FUNCTION multitenant._key_condition(rel regclass, key jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(CASE WHEN k.value IS NULL THEN format('%I.%I IS NULL', c.relname, a.attname)
						   ELSE format('%I.%I = %L::%s', c.relname, a.attname, k.value, format_type(a.atttypid, NULL)) END,
					  ' AND ' ORDER BY a.attnum)
	FROM jsonb_each_text(key) AS k(name, value)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attname = k.name
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Policies
-- ---------------------------------------------------------------------------------------------------------------

-- The policies that the server asks of a role and a command. Who changes or removes a row looks for it first.
CREATE FUNCTION multitenant._policies_for(rel regclass, role name, command text) RETURNS SETOF multitenant._policy
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.oid, p.polname, p.polpermissive, p.polname = ANY (multitenant._policy_names()), f.phase,
		CASE WHEN command = 'insert' THEN coalesce(e.checks, e.uses) ELSE e.uses END,
		format('%s FOR %s%s%s', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, upper(f.phase),
			   ' USING (' || e.uses || ')',
			   ' WITH CHECK (' || e.checks || ')'),
		'unknown', NULL
	FROM pg_catalog.pg_policy p
	CROSS JOIN LATERAL (SELECT pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) AS e(uses, checks)
	CROSS JOIN LATERAL (SELECT CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete'
						ELSE 'all' END) AS f(phase)
	WHERE p.polrelid = rel
	  AND (f.phase IN ('all', command) OR (f.phase = 'select' AND command IN ('update', 'delete')))
	  AND EXISTS (SELECT FROM unnest(p.polroles) AS r(id) WHERE r.id = 0 OR pg_has_role(role, r.id, 'USAGE'))
	ORDER BY p.polpermissive, p.polname
$$;

-- What all of them say together: every restrictive one must be true, and one permissive one, for each phase.
CREATE FUNCTION multitenant._verdict(policies multitenant._policy[], command text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN bool_or(v.verdict = 'refused') THEN 'refused' WHEN bool_or(v.verdict = 'unknown') THEN 'unknown' ELSE 'allowed' END
	FROM (
		SELECT CASE
			WHEN bool_or(NOT p.is_permissive AND p.value IN ('false', 'null')) THEN 'refused'
			WHEN NOT coalesce(bool_or(p.is_permissive AND p.value IN ('true', 'unknown')), false) THEN 'refused'
			WHEN bool_or(NOT p.is_permissive AND p.value = 'unknown') THEN 'unknown'
			WHEN NOT bool_or(p.is_permissive AND p.value = 'true') THEN 'unknown'
			ELSE 'allowed' END
		FROM unnest(CASE WHEN command IN ('update', 'delete') THEN ARRAY['select', command] ELSE ARRAY[command] END) AS f(phase)
		LEFT JOIN unnest(policies) p ON p.phase IN ('all', f.phase)
		GROUP BY f.phase) AS v(verdict)
$$;

-- The layers that policies are.
CREATE FUNCTION multitenant._policy_layers(policies multitenant._policy[]) RETURNS SETOF multitenant._layer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT NULL::int, 'policy ' || quote_ident(p.name), p.value, p.description || coalesce('; not evaluated: ' || p.reason, '')
	FROM unnest(policies) WITH ORDINALITY AS p(policy, name, is_permissive, is_generated, phase, expression, description, value, reason, position)
	ORDER BY p.position
$$;

-- Asks each policy about a source of one row, with the caller's rights. Volatile ones are not called for an explanation.
CREATE FUNCTION multitenant._ask_policies(policies multitenant._policy[], source text, new_row jsonb) RETURNS SETOF multitenant._policy
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p multitenant._policy;
	safe_path text := current_setting('search_path');
	session_path text := (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name = 'search_path');
BEGIN
	FOREACH p IN ARRAY policies LOOP
		IF source IS NULL THEN
			NULL;
		ELSIF p.expression IS NULL THEN
			p.value := 'true';
		ELSIF multitenant._is_volatile_policy(p.policy) THEN
			p.reason := 'it calls a volatile function';
		ELSE
			BEGIN
				PERFORM set_config('search_path', session_path, true);
				EXECUTE format('SELECT CASE (%s) WHEN true THEN ''true'' WHEN false THEN ''false'' ELSE ''null'' END FROM %s LIMIT 1',
							   p.expression, source) INTO p.value USING new_row;
				PERFORM set_config('search_path', safe_path, true);
				IF p.value IS NULL THEN
					p.value := 'unknown';
				END IF;
			EXCEPTION
				WHEN OTHERS THEN
					p.value := 'unknown';
					p.reason := format('error %s', SQLSTATE);
			END;
		END IF;
		RETURN NEXT p;
	END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- The layers, with the caller's rights
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._explain_privilege(rel regclass, command text) RETURNS multitenant._layer
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	schema_name name;
	missing text[];
BEGIN
	SELECT n.nspname INTO schema_name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = rel;
	IF NOT has_schema_privilege(schema_name, 'USAGE') THEN
		missing := missing || format('USAGE ON SCHEMA %I', schema_name);
	END IF;
	IF NOT (has_table_privilege(rel, command) OR (command <> 'delete' AND has_any_column_privilege(rel, command))) THEN
		missing := missing || format('%s ON %s', upper(command), rel);
	END IF;
	-- Whoever names a row of his own choice reads it.
	IF command IN ('update', 'delete') AND NOT has_any_column_privilege(rel, 'select') THEN
		missing := missing || format('SELECT ON %s', rel);
	END IF;
	RETURN (1, 'privilege', CASE WHEN missing IS NULL THEN 'pass' ELSE 'stop' END,
		CASE WHEN missing IS NOT NULL THEN format('42501: role %I lacks %s', current_user, array_to_string(missing, ' and '))
			 WHEN has_table_privilege(rel, command) THEN format('role %I has %s ON %s', current_user, upper(command), rel)
			 ELSE format('role %I has %s on some columns of %s', current_user, upper(command), rel) END)::multitenant._layer;
END
$$;

CREATE FUNCTION multitenant._explain_protection(rel regclass, command text) RETURNS multitenant._layer
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p record;
	verdict text := 'pass';
	detail text;
BEGIN
	SELECT * INTO p FROM multitenant._protection(rel);
	CASE
		WHEN p.mode = 'observe' THEN
			detail := 'the table is only observed: nothing is refused on it';
		WHEN p.class IS NULL OR p.class = 'none' THEN
			detail := 'the table is not protected: its rows belong to no tenant';
		WHEN p.class = 'exempt' THEN
			detail := 'the table is exempt: its rows belong to no tenant';
		WHEN p.class = 'shared' AND command <> 'select' AND NOT multitenant._has('write_shared') THEN
			verdict := 'stop';
			detail := 'MT010: the table is shared, read-only for this session';
		WHEN p.class = 'shared' THEN
			detail := 'the table is shared: everybody reads all of its rows';
		WHEN p.mode = 'paused' THEN
			detail := format('class %s, tenant column %I; the protection is paused', p.class, p.tenant_column);
		WHEN NOT p.is_intact THEN
			verdict := 'stop';
			detail := 'MT007: ' || p.finding;
		ELSE
			detail := format('class %s, tenant column %I%s%s, intact', p.class, p.tenant_column,
							 ', permissions ' || p.permissions, ', scope column ' || quote_ident(p.scope_column));
	END CASE;
	RETURN (2, 'protection', verdict, detail)::multitenant._layer;
END
$$;

CREATE FUNCTION multitenant._explain_row_security(rel regclass) RETURNS multitenant._layer
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF row_security_active(rel) THEN
		RETURN (3, 'row security', 'pass', format('it filters role %I', current_user))::multitenant._layer;
	ELSIF (SELECT p.class FROM multitenant._protection(rel) p) NOT IN ('tenant', 'shared_rows') THEN
		RETURN (3, 'row security', 'pass', format('it does not filter role %I', current_user))::multitenant._layer;
	ELSIF (SELECT c.state FROM multitenant.context c) = 'tenant' THEN
		RETURN (3, 'row security', 'stop', format('MT007: it does not filter role %I, and the context is that of one tenant',
												  current_user))::multitenant._layer;
	ELSIF multitenant._has('bypass_read') THEN
		RETURN (3, 'row security', 'pass', format('it does not filter role %I, whose bypass is recorded', current_user))::multitenant._layer;
	END IF;
	RETURN (3, 'row security', 'stop', format('MT007: it does not filter role %I, which has no recorded bypass', current_user))::multitenant._layer;
END
$$;

CREATE FUNCTION multitenant._explain_context(command text) RETURNS SETOF multitenant._layer
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c record;
	tenant_state text;
BEGIN
	SELECT * INTO c FROM multitenant.context;
	IF c.state <> 'tenant' THEN
		RETURN NEXT (4, 'context', 'stop', CASE c.state WHEN 'none' THEN 'MT001: this transaction has no context'
						   ELSE format('MT001: this transaction has the context of a %s, without a tenant', c.state) END)::multitenant._layer;
		RETURN;
	ELSIF c.expires_at + current_setting('multitenant.clock_leeway')::interval <= statement_timestamp() THEN
		RETURN NEXT (4, 'context', 'stop', 'MT003: the credential of this context has expired')::multitenant._layer;
		RETURN;
	ELSIF c.kind = 'supervised' AND command <> 'select' THEN
		RETURN NEXT (4, 'context', 'stop', '25006: a supervised context is read-only')::multitenant._layer;
	ELSE
		RETURN NEXT (4, 'context', 'pass', format('tenant %s (%s), by %s', quote_ident(c.tenant_slug), c.tenant_id, c.source))::multitenant._layer;
	END IF;
	SELECT t.state INTO tenant_state FROM multitenant.tenants t WHERE t.id = c.tenant_id;
	IF tenant_state = 'active' THEN
		RETURN NEXT (5, 'tenant', 'pass', 'active')::multitenant._layer;
	ELSE
		RETURN NEXT (5, 'tenant', 'stop', 'MT006: ' || coalesce(tenant_state, 'gone'))::multitenant._layer;
	END IF;
END
$$;

-- What the table asks of the principal, where it asks for anything. Asked after the context, which says who that is.
CREATE FUNCTION multitenant._explain_permission(rel regclass, command text) RETURNS SETOF multitenant._layer
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p record;
	message text := multitenant._missing_permission(rel, command);
	action text := CASE command WHEN 'select' THEN 'read' WHEN 'insert' THEN 'create' ELSE command END;
BEGIN
	SELECT * INTO p FROM multitenant._protection(rel);
	IF p.permissions IS NULL THEN
		RETURN;
	ELSIF message IS NOT NULL THEN
		RETURN NEXT (6, 'permission', 'stop', '42501: ' || message)::multitenant._layer;
	ELSE
		RETURN NEXT (6, 'permission', 'pass', format('the principal has %s:%s', p.permissions, action)
			|| CASE WHEN p.scope_column IS NOT NULL THEN ' in the tenant or in some of its scopes; policies ask for that of the row' ELSE '' END)::multitenant._layer;
	END IF;
END
$$;

-- Is a row with the key there for the caller? Where the caller is not filtered nothing is asked: a query would lend his
-- rights to what the owner of the table has attached to it.
CREATE FUNCTION multitenant._explain_row(rel regclass, key jsonb, INOUT layer multitenant._layer)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	safe_path text := current_setting('search_path');
	session_path text := (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name = 'search_path');
	query text := format('SELECT true FROM %s AS %I WHERE %s LIMIT 1', rel, (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = rel),
						 multitenant._key_condition(rel, key));
	is_there boolean;
BEGIN
	IF (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) THEN
		layer := (6, 'row', 'unknown', 'not looked for: this role is not filtered');
		RETURN;
	END IF;
	BEGIN
		PERFORM set_config('search_path', session_path, true);
		EXECUTE query INTO is_there;
		PERFORM set_config('search_path', safe_path, true);
	EXCEPTION
		WHEN OTHERS THEN
			layer := (6, 'row', 'unknown', format('error %s: %s', SQLSTATE, SQLERRM));
			RETURN;
	END;
	IF is_there THEN
		layer := (6, 'row', 'pass', 'a row with this key is visible');
	ELSE
		layer := (6, 'row', 'stop', 'no row with this key is visible'
			|| CASE WHEN row_security_active(rel) THEN ': there is none, it is another tenant''s, or a policy hides it' ELSE '' END);
	END IF;
END
$$;

-- The sentence of advice for the first layer that stops.
CREATE FUNCTION multitenant._advice(stopped multitenant._layer, verdict text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN (stopped).layer = 'privilege' THEN 'Let the owner GRANT the role what it lacks.'
		WHEN (stopped).layer = 'protection' AND (stopped).detail ~ '^MT010' THEN 'Change shared data with a role of profile migrator.'
		WHEN (stopped).layer = 'protection' THEN 'Let the owner of the table call multitenant.repair().'
		WHEN (stopped).layer = 'row security' THEN 'Use a role without SUPERUSER and BYPASSRLS.'
		WHEN (stopped).layer = 'context' AND (stopped).detail ~ '^25006' THEN 'Write with a credential of the tenant itself.'
		WHEN (stopped).layer = 'context' AND (stopped).detail ~ '^MT003' THEN 'Get a new credential and start a new transaction with it.'
		WHEN (stopped).layer = 'context' THEN 'Call multitenant.authenticate() first in this transaction.'
		WHEN (stopped).layer = 'tenant' THEN 'Ask the operator of this service why the tenant is not active.'
		WHEN (stopped).layer = 'permission' THEN 'Have a role assigned to the principal that has this permission.'
		WHEN (stopped).layer = 'row' AND (stopped).detail ~ '^no row' THEN
			'Check the key and the tenant; an administrator who asks in the name of this role and tenant learns more.'
		WHEN (stopped).layer = 'row' AND (stopped).detail ~ '^there is no' THEN 'Check the key: no tenant has such a row.'
		WHEN (stopped).layer = 'row' THEN 'Use a credential of the tenant whose row it is, if that is what is meant.'
		WHEN (stopped).layer ~ '^policy ' THEN format('Look at %s: it decides against this row.', (stopped).layer)
		WHEN verdict = 'refused' THEN 'No permissive policy lets this row through: look at the policies above.'
		WHEN verdict = 'unknown' THEN 'Run the command itself: not every layer could be asked beforehand.'
		ELSE 'Nothing stands in the way; constraints and triggers are not asked here.' END
$$;

-- The layers with the advice behind them, numbered. A permissive policy that says no stops nothing by itself.
CREATE FUNCTION multitenant._with_advice(layers multitenant._layer[], policies multitenant._policy[], verdict text) RETURNS SETOF multitenant._layer
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	l multitenant._layer;
	stopped multitenant._layer;
	number int := 0;
BEGIN
	FOREACH l IN ARRAY layers || ARRAY(SELECT multitenant._policy_layers(policies)) LOOP
		number := number + 1;
		IF stopped.layer IS NULL AND (l.verdict = 'stop' OR (l.verdict IN ('false', 'null') AND l.detail ~ '^RESTRICTIVE')) THEN
			stopped := l;
		END IF;
		RETURN NEXT (number, l.layer, l.verdict, l.detail)::multitenant._layer;
	END LOOP;
	RETURN NEXT (number + 1, 'advice', verdict, multitenant._advice(stopped, verdict))::multitenant._layer;
END
$$;

CREATE FUNCTION multitenant._explain(rel regclass, key jsonb, command text) RETURNS SETOF multitenant._layer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	layers multitenant._layer[];
	policies multitenant._policy[];
	row_layer multitenant._layer;
	is_protected boolean := coalesce((SELECT p.class IN ('tenant', 'shared_rows') FROM multitenant._protection(rel) p), false);
	column_name name := multitenant._tenant_column(rel);
	relation_name name := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = rel);
	source text;
	verdict text;
BEGIN
	layers := ARRAY[multitenant._explain_privilege(rel, command), multitenant._explain_protection(rel, command),
					multitenant._explain_row_security(rel)];
	IF is_protected AND layers[3].detail !~ 'it does not filter' THEN
		layers := layers || ARRAY(SELECT multitenant._explain_context(command));
		IF NOT 'stop' = ANY (SELECT (l).verdict FROM unnest(layers) l) THEN
			layers := layers || ARRAY(SELECT multitenant._explain_permission(rel, command));
		END IF;
	END IF;
	SELECT array_agg(p) INTO policies FROM multitenant._policies_for(rel, current_user, command) p WHERE row_security_active(rel);
	policies := coalesce(policies, '{}');

	IF 'stop' = ANY (SELECT (l).verdict FROM unnest(layers) l) THEN
		IF command <> 'insert' THEN
			layers := layers || (6, 'row', 'unknown', 'not looked for')::multitenant._layer;
		END IF;
		RETURN QUERY SELECT * FROM multitenant._with_advice(layers, policies, 'refused');
		RETURN;
	END IF;
	IF command = 'insert' THEN
		-- As the default does.
		IF row_security_active(rel) AND NOT key ? column_name AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = rel AND a.attname = column_name AND multitenant._accessor(a.atttypid) = multitenant._default_of(rel, column_name)) THEN
			EXECUTE format('SELECT $1 || jsonb_build_object(%L, %s)', column_name, multitenant._default_of(rel, column_name)) INTO key USING key;
		END IF;
		source := format('pg_catalog.jsonb_populate_record(NULL::%s, $1) AS %I', rel, relation_name);
		verdict := CASE WHEN key IS NULL THEN 'unknown' END;
	ELSE
		row_layer := multitenant._explain_row(rel, key, NULL);
		layers := layers || row_layer;
		source := format('%s AS %I WHERE %s', rel, relation_name, multitenant._key_condition(rel, key));
		verdict := CASE row_layer.verdict WHEN 'stop' THEN 'refused' WHEN 'unknown' THEN 'unknown' END;
	END IF;
	IF verdict IS NULL AND row_security_active(rel) THEN
		policies := ARRAY(SELECT multitenant._ask_policies(policies, source, key));
		verdict := multitenant._verdict(policies, command);
	END IF;
	RETURN QUERY SELECT * FROM multitenant._with_advice(layers, policies, coalesce(verdict, 'allowed'));
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- What an administrator learns beyond that
-- ---------------------------------------------------------------------------------------------------------------

-- A role whose access is worth a question: an application that may do most with the table.
CREATE FUNCTION multitenant._application_role(rel regclass) RETURNS name
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT r.rolname FROM pg_catalog.pg_roles r
	JOIN pg_catalog.pg_class c ON c.oid = rel
	LEFT JOIN multitenant.access a ON a.role_name = r.rolname
	WHERE NOT r.rolsuper AND NOT r.rolbypassrls AND r.rolname !~ '^pg_'
	  AND multitenant._is_application(a.profile)
	  AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE') AND has_any_column_privilege(r.oid, rel, 'SELECT')
	ORDER BY (SELECT count(*) FROM unnest('{INSERT,UPDATE,DELETE}'::text[]) AS p(privilege) WHERE has_table_privilege(r.oid, rel, p.privilege))
			 - CASE WHEN pg_has_role(r.oid, c.relowner, 'USAGE') THEN 4 ELSE 0 END DESC,
		r.rolcanlogin DESC, r.rolname
	LIMIT 1
$$;

-- A tenant as a column of its type names it, as text.
CREATE FUNCTION multitenant._tenant_value(rel regclass, column_name name, tenant uuid) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE multitenant._accessor(a.atttypid)
		WHEN 'multitenant.current_tenant()' THEN t.id::text
		WHEN 'multitenant.current_tenant_slug()' THEN t.slug
		ELSE t.number::text END
	FROM pg_catalog.pg_attribute a, multitenant.tenant t WHERE a.attrelid = rel AND a.attname = column_name AND t.id = tenant
$$;

-- What the policies say of a row that was found, asked as the role. Code of users is not shown another tenant's rows: the
-- generated policies, which come first, get the tenant's column only, because a whole row calls the checks of its domains.
CREATE FUNCTION multitenant._ask_policies_as(policies multitenant._policy[], role name, tenant uuid, found_in regclass, row_text text,
	relation_name name, column_name name, row_tenant text)
RETURNS SETOF multitenant._policy
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p multitenant._policy;
	trial record;
	is_foreign boolean := tenant IS NOT NULL AND row_tenant <> multitenant._tenant_value(found_in, column_name, tenant);
	only_tenant text := (SELECT format('SELECT %L::%s AS %I', row_tenant, format_type(a.atttypid, NULL), a.attname)
		FROM pg_catalog.pg_attribute a WHERE a.attrelid = found_in AND a.attname = column_name);
	is_virtual boolean := EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = found_in AND a.attgenerated = 'v');
BEGIN
	FOR p IN SELECT * FROM unnest(policies) q ORDER BY NOT q.is_generated, q.is_permissive, q.name LOOP
		IF p.expression IS NULL THEN
			p.value := 'true';
		ELSIF is_foreign AND NOT p.is_generated THEN
			p.reason := 'the row is not this tenant''s';
		ELSIF is_virtual AND NOT p.is_generated THEN
			p.reason := 'the table has virtual columns';
		ELSIF multitenant._is_volatile_policy(p.policy) THEN
			p.reason := 'it calls a volatile function';
		ELSE
			trial := multitenant._try(role, tenant, format(
				'SELECT CASE (%s) WHEN true THEN ''true'' WHEN false THEN ''false'' ELSE ''null'' END FROM (%s) AS %I', p.expression,
				CASE WHEN p.is_generated THEN only_tenant ELSE format('SELECT (%L::%s).*', row_text, found_in) END, relation_name));
			IF trial.sqlstate = '00000' THEN
				p.value := trial.value;
				is_foreign := is_foreign OR (p.is_generated AND p.value <> 'true');
			ELSE
				p.reason := format('error %s', trial.sqlstate);
			END IF;
		END IF;
		RETURN NEXT p;
	END LOOP;
END
$$;

-- The answer to a superuser: the role's own, and what is true of the row.
CREATE FUNCTION multitenant._explain_to_administrator(rel regclass, key jsonb, command text, role name, asked_tenant uuid)
RETURNS SETOF multitenant._layer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	trial record;
	layers multitenant._layer[];
	verdict text;
	policies multitenant._policy[] := '{}';
	position int;
	column_name name := multitenant._tenant_column(rel);
	found record;
	owner_name text;
BEGIN
	IF role IS NULL THEN
		layers := ARRAY(SELECT e FROM multitenant._explain(rel, key, command) e WHERE e.layer <> 'advice');
		verdict := CASE WHEN 'stop' = ANY (SELECT (l).verdict FROM unnest(layers) l) THEN 'refused' ELSE 'allowed' END;
	ELSE
		trial := multitenant._try(role, asked_tenant, format('SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e) ORDER BY e.step) FROM multitenant._explain(%s::pg_catalog.oid::pg_catalog.regclass, %L, %L) e',
													   rel::oid, key, command));
		IF trial.sqlstate = 'MT006' THEN
			RETURN QUERY SELECT * FROM multitenant._with_advice(ARRAY[(1, 'tenant', 'stop', 'MT006: ' || coalesce(
				(SELECT t.state FROM multitenant.tenant t WHERE t.id = asked_tenant), 'gone'))::multitenant._layer], '{}', 'refused');
			RETURN;
		ELSIF trial.sqlstate <> '00000' THEN
			RAISE EXCEPTION '%', trial.message USING ERRCODE = trial.sqlstate, HINT = 'Ask in a transaction that has no context.';
		END IF;
		SELECT array_agg(e ORDER BY e.step) FILTER (WHERE e.layer <> 'advice' AND e.layer !~ '^policy '), min(e.verdict) FILTER (WHERE e.layer = 'advice')
			INTO layers, verdict FROM jsonb_populate_recordset(NULL::multitenant._layer, trial.value::jsonb) e;
	END IF;
	SELECT p.position INTO position FROM unnest(layers) WITH ORDINALITY AS p(step, layer, verdict, detail, position) WHERE p.layer = 'row';
	IF command = 'insert' OR position IS NULL THEN
		IF role IS NULL THEN
			RETURN QUERY SELECT * FROM multitenant._with_advice(layers, '{}', verdict);
		ELSE
			RETURN QUERY SELECT e.* FROM jsonb_populate_recordset(NULL::multitenant._layer, trial.value::jsonb) e ORDER BY e.step;
		END IF;
		RETURN;
	END IF;

	-- A row of the tenant's first, then one of everybody's, then others.
	SELECT r.* INTO found FROM multitenant._rows_by_key(rel, ARRAY(SELECT k.name FROM jsonb_each_text(key) AS k(name, value) ORDER BY k.name),
														ARRAY(SELECT k.value FROM jsonb_each_text(key) AS k(name, value) ORDER BY k.name), column_name) r
		ORDER BY r.tenant IS DISTINCT FROM multitenant._tenant_value(rel, column_name, asked_tenant), r.tenant IS NOT NULL, r.tenant LIMIT 1;
	IF found.found_in IS NULL THEN
		layers[position] := (6, 'row', 'stop', 'there is no row with this key');
		verdict := 'refused';
	ELSE
		SELECT quote_ident(t.slug) INTO owner_name FROM multitenant.tenant t
			WHERE found.tenant IN (t.id::text, t.number::text, t.slug) AND multitenant._tenant_value(rel, column_name, t.id) = found.tenant;
		layers[position] := (6, 'row', CASE WHEN role IS NULL OR layers[position].verdict = 'pass'
									OR found.tenant IS NOT DISTINCT FROM multitenant._tenant_value(rel, column_name, asked_tenant) THEN 'pass' ELSE 'stop' END,
							 CASE WHEN found.tenant IS NULL THEN 'the row is there; it belongs to no tenant'
								  ELSE format('the row is there; it belongs to tenant %s', coalesce(owner_name, 'that the registry does not know')) END);
		IF role IS NOT NULL AND NOT 'stop' = ANY (SELECT (l).verdict FROM unnest(layers[1:position - 1]) l) THEN
			policies := ARRAY(SELECT multitenant._policies_for(rel, role, command));
			policies := ARRAY(SELECT multitenant._ask_policies_as(policies, role, asked_tenant, found.found_in, found.row_text,
																  (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = rel),
																  column_name, found.tenant));
			verdict := multitenant._verdict(policies, command);
		END IF;
	END IF;
	RETURN QUERY SELECT * FROM multitenant._with_advice(layers, policies, verdict);
END
$$;

-- The tenant whose context is asked about: the one that the role is bound to, or the one that is named.
CREATE FUNCTION multitenant._asked_tenant(role name, tenant text) RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bound uuid := (SELECT a.tenant_id FROM multitenant.access a WHERE a.role_name = $1);
	named uuid := CASE WHEN $2 IS NOT NULL THEN multitenant.tenant_id($2) END;
BEGIN
	IF bound <> named THEN
		RAISE EXCEPTION 'role "%" is bound to another tenant', $1
			USING ERRCODE = '22023', HINT = 'Leave the tenant out, or name the one it is bound to.';
	END IF;
	RETURN coalesce(named, bound);
END
$$;

CREATE FUNCTION multitenant.explain_access(
	table_name regclass, key jsonb, command text DEFAULT 'select', role name DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS TABLE(step int, layer text, verdict text, detail text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	asked text := lower($3);
	is_administrator boolean := multitenant._has('superuser')
		AND (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);
	as_role name := $4;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $3), 'the table and the command');
	IF asked NOT IN ('select', 'insert', 'update', 'delete') THEN
		RAISE EXCEPTION 'unknown command "%"', $3
			USING ERRCODE = '22023', HINT = 'The commands are select, insert, update and delete.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = $1 AND c.relkind IN ('r', 'p')) THEN
		RAISE EXCEPTION '"%" is not a table', $1
			USING ERRCODE = '42809', HINT = 'Ask about the table that a view reads.';
	END IF;
	IF asked <> 'insert' OR $2 IS NOT NULL THEN
		$2 := multitenant._key_object($1, $2);
	END IF;
	IF $4 IS NULL AND $5 IS NULL AND NOT is_administrator THEN
		RETURN QUERY SELECT * FROM multitenant._explain($1, $2, asked);
		RETURN;
	END IF;
	PERFORM multitenant._require('superuser', 'asking on behalf of a role');
	IF as_role IS NULL AND $5 IS NOT NULL THEN
		as_role := multitenant._application_role($1);
		IF as_role IS NULL THEN
			RAISE EXCEPTION 'no application role may read table %', $1
				USING ERRCODE = '22023', HINT = 'Name the role that is meant.';
		END IF;
	END IF;
	IF as_role IS NOT NULL THEN
		PERFORM multitenant._check_role(as_role);
	END IF;
	RETURN QUERY SELECT * FROM multitenant._explain_to_administrator($1, $2, asked, as_role, multitenant._asked_tenant(as_role, $5));
END
$$;
COMMENT ON FUNCTION multitenant.explain_access(regclass, jsonb, text, name, text) IS
'Why a row can, or cannot, be read or written: one row for each layer that is asked (privilege, protection, row security, context, tenant, row, each policy), and advice. key: {"column": value, ..}, for insert the new row as far as it is known, or null. command: select, insert, update, delete. role, tenant: for superusers, who to ask for; tenant alone takes an application role. verdict: pass, stop, unknown; of policies true, false, null, unknown; of the advice allowed, refused, unknown. Whoever is not a superuser is told the same of a row that is not there and of one that is another tenant''s. Errors: 22023, 42501, 42703, 42704, 42809, MT005 superuser in a context, MT008 unknown tenant.';

CREATE FUNCTION multitenant.explain_access(
	table_name regclass, key text, command text DEFAULT 'select', role name DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS TABLE(step int, layer text, verdict text, detail text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT * FROM multitenant.explain_access($1, pg_catalog.to_jsonb($2), $3, $4, $5);
END;
COMMENT ON FUNCTION multitenant.explain_access(regclass, text, text, name, text) IS
'As explain_access(regclass, jsonb, ..) for a primary key of one column besides the tenant''s.';

CREATE FUNCTION multitenant.explain_access(
	table_name regclass, key bigint, command text DEFAULT 'select', role name DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS TABLE(step int, layer text, verdict text, detail text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT * FROM multitenant.explain_access($1, pg_catalog.to_jsonb($2), $3, $4, $5);
END;
COMMENT ON FUNCTION multitenant.explain_access(regclass, bigint, text, name, text) IS
'As explain_access(regclass, jsonb, ..) for a primary key of one column besides the tenant''s.';

CREATE FUNCTION multitenant.explain_access(
	table_name regclass, key uuid, command text DEFAULT 'select', role name DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS TABLE(step int, layer text, verdict text, detail text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT * FROM multitenant.explain_access($1, pg_catalog.to_jsonb($2), $3, $4, $5);
END;
COMMENT ON FUNCTION multitenant.explain_access(regclass, uuid, text, name, text) IS
'As explain_access(regclass, jsonb, ..) for a primary key of one column besides the tenant''s.';
