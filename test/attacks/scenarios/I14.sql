-- Locks of other tenants' serializable transactions
-- naive: leak
-- ours: refused MT010
-- victim
BEGIN ISOLATION LEVEL SERIALIZABLE;
{set beta}
SELECT count(*) FROM account;
-- attack
{enter acme}
SELECT DISTINCT upper('leak') FROM pg_locks WHERE mode = 'SIReadLock' AND pid <> pg_backend_pid();
