-- What an application calls and the defaults that protect() sets, in a database of one tenant. For test/differential/run.
\set ON_ERROR_STOP on
CREATE SCHEMA multitenant;
GRANT USAGE ON SCHEMA multitenant TO public;
SELECT format('CREATE FUNCTION multitenant.%s() RETURNS %s LANGUAGE sql STABLE AS %L', name, type, format('SELECT %L::%s', value, type))
FROM (VALUES ('current_tenant', 'uuid', :'uuid'), ('current_tenant_or_null', 'uuid', :'uuid'), ('current_tenant_number', 'bigint', :'number'),
	('current_tenant_int4', 'int', :'number'), ('current_tenant_slug', 'text', :'slug')) f (name, type, value) \gexec
SELECT format('ALTER TABLE shop.%I ALTER tenant_id SET DEFAULT multitenant.%s()', c.relname,
	CASE a.atttypid::regtype::text WHEN 'uuid' THEN 'current_tenant' WHEN 'integer' THEN 'current_tenant_int4'
		WHEN 'bigint' THEN 'current_tenant_number' ELSE 'current_tenant_slug' END)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id' \gexec
