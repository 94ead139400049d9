-- An operator of the same name, found first by a policy's function
-- naive: leak
-- ours: filtered
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE SCHEMA sandbox;
GRANT USAGE, CREATE ON SCHEMA sandbox TO regress_mt_app;
CREATE FUNCTION is_mine(uuid) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT $1 = {filter} $$;
CREATE POLICY by_function ON account USING (is_mine(tenant_id));
-- setup naive
DROP POLICY tenant ON account;
-- attack
CREATE FUNCTION sandbox.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR sandbox.= (leftarg = uuid, rightarg = uuid, procedure = sandbox.yes);
{enter acme}
SET LOCAL search_path = sandbox, pg_catalog, public;
SELECT secret FROM public.account;
