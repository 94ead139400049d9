-- The same, declared LEAKPROOF by a superuser
-- naive: leak
-- ours: lint leakproof_function
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE FUNCTION spy(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF COST 0.0001 AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';
-- attack
{enter acme}
SELECT count(*) FROM account WHERE spy(secret);
