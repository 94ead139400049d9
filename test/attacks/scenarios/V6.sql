-- A policy's function without search_path, and a temporary table of the same name
-- naive: leak
-- ours: filtered
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE TABLE membership (tenant_id uuid, who name);
INSERT INTO membership VALUES ('{acme}', 'regress_mt_app');
GRANT SELECT ON membership TO regress_mt_app;
CREATE FUNCTION is_mine(uuid) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM membership m WHERE m.tenant_id = $1 AND m.who = session_user)';
CREATE POLICY by_membership ON account USING (is_mine(tenant_id));
-- setup naive
DROP POLICY tenant ON account;
-- attack
CREATE TEMP TABLE membership (tenant_id uuid, who name);
INSERT INTO pg_temp.membership VALUES ('{beta}', 'regress_mt_app');
{enter acme}
SELECT secret FROM account;
