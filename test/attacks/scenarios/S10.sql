-- LOCK TABLE stops every tenant
-- naive: leak
-- ours: refused MT010
-- attack
{enter acme}
LOCK TABLE account IN ACCESS EXCLUSIVE MODE;
SELECT upper('leak') FROM pg_locks WHERE relation = 'account'::regclass AND mode = 'AccessExclusiveLock';
