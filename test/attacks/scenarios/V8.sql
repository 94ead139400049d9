-- A function with side effects in the condition
-- naive: none, it is called after the policy
-- ours: filtered
-- attack
CREATE FUNCTION pg_temp.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';
{enter acme}
SELECT count(*) FROM account WHERE pg_temp.spy(secret);
