-- A SECURITY DEFINER function
-- naive: leak
-- ours: refused MT007
-- setup
CREATE FUNCTION all_secrets() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT secret FROM account';
-- attack
{enter acme}
SELECT all_secrets();
