-- The same in a function's SET clause
-- naive: none, servers from 15 on let functions keep no setting that no library has defined
-- ours: refused 42501
-- attack
CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql SET {context} = '{beta}' AS 'SELECT secret FROM public.account';
SELECT pg_temp.f();
