-- What the library knows about protected tables.

CREATE FUNCTION multitenant._protection(
	table_name regclass,
	OUT class text, OUT tenant_column name, OUT mode text, OUT is_intact boolean, OUT finding text,
	OUT permissions text, OUT scope_column name)
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_protection';
COMMENT ON FUNCTION multitenant._protection(regclass) IS
'Internal: what the guard knows about a table.';

CREATE FUNCTION multitenant._run_as_owner(table_name regclass, command text)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_run_as_owner';
COMMENT ON FUNCTION multitenant._run_as_owner(regclass, text) IS
'Internal: runs one command that changes the table with the rights of its owner; returns the number of rows changed.';

CREATE FUNCTION multitenant._add_checked_reference(command text)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_add_checked_reference';
COMMENT ON FUNCTION multitenant._add_checked_reference(text) IS
'Internal: adds a foreign key, as the owner of the table, whose rows were checked by the one that it replaces.';

CREATE FUNCTION multitenant._query_as_owner(table_name regclass, query text)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_query_as_owner';
COMMENT ON FUNCTION multitenant._query_as_owner(regclass, text) IS
'Internal: the one value that a SELECT on the table yields, read with the rights of its owner.';

CREATE FUNCTION multitenant._blocks_of(table_name regclass)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_blocks_of';
COMMENT ON FUNCTION multitenant._blocks_of(regclass) IS
'Internal: the pages of one relation without those below it; null for who does not own it.';

-- Stands in the policies of tables whose rows belong to scopes.
CREATE FUNCTION multitenant.in_scope(scope uuid, permission text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_in_scope_uuid';
COMMENT ON FUNCTION multitenant.in_scope(uuid, text) IS
'Has the principal of this context the permission in that scope: in the scope itself, in one above it, or in the whole tenant? Of no scope (null), and of one that is not in the tree: in the whole tenant? For policies; protect() makes them. False without a context. Errors: 22004 no permission given, 42704 no such permission.';

CREATE FUNCTION multitenant.in_scope(scope bigint, permission text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_in_scope_int8';
COMMENT ON FUNCTION multitenant.in_scope(bigint, text) IS
'As in_scope(uuid, text), of a scope that is a number.';

CREATE FUNCTION multitenant.in_scope(scope integer, permission text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_in_scope_int4';
COMMENT ON FUNCTION multitenant.in_scope(integer, text) IS
'As in_scope(uuid, text), of a scope that is a number.';

CREATE FUNCTION multitenant.in_scope(scope text, permission text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_in_scope_text';
COMMENT ON FUNCTION multitenant.in_scope(text, text) IS
'As in_scope(uuid, text), of a scope that is a text; compared byte by byte, whatever the collation.';

CREATE FUNCTION multitenant._missing_permission(table_name regclass, command text)
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_missing_permission';
COMMENT ON FUNCTION multitenant._missing_permission(regclass, text) IS
'Internal: what the guard would say to the principal of this context if it ran the command; null if nothing.';

-- Neither the server's nor ours?
CREATE FUNCTION multitenant._is_application_schema(schema_name name) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT schema_name !~ '^pg_' AND schema_name NOT IN ('information_schema', 'multitenant');
END;

CREATE VIEW multitenant.tables WITH (security_invoker = true) AS
	SELECT format('%I.%I', n.nspname, c.relname) AS table_name,
		CASE WHEN p.mode = 'observe' THEN 'tenant' ELSE p.class END AS class,
		p.tenant_column,
		format_type(a.atttypid, NULL) AS column_type,
		p.mode,
		p.is_intact,
		p.finding,
		p.permissions,
		p.scope_column
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	CROSS JOIN LATERAL multitenant._protection(c.oid) p
	LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = p.tenant_column
	WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
	AND multitenant._is_application_schema(n.nspname)
	AND (p.class <> 'none' OR p.mode = 'observe');
COMMENT ON VIEW multitenant.tables IS
'Every table that is protected, shared or exempt, and whether its protection is intact.';
