-- A function planted where another tenant's unqualified call finds it first
-- naive: leak
-- ours: lint app_role_create_privilege
-- setup
CREATE SCHEMA lib;
GRANT USAGE ON SCHEMA lib TO regress_mt_app;
CREATE FUNCTION lib.normalize_name(text) RETURNS text LANGUAGE sql AS 'SELECT lower($1)';
GRANT CREATE ON SCHEMA public TO regress_mt_app;
-- attack
SET search_path = public, lib;
CREATE TABLE loot (t text);
CREATE FUNCTION public.normalize_name(text) RETURNS text LANGUAGE sql AS 'INSERT INTO loot SELECT secret FROM account; SELECT $1';
{enter beta}
SELECT normalize_name('Beta');
COMMIT;
TABLE loot;
