-- Other sessions' statements in pg_stat_activity
-- naive: leak
-- ours: refused MT010
-- victim
BEGIN;
{set beta}
SELECT count(*) FROM account WHERE secret = 'SECRET-BETA';
-- attack
{enter acme}
SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid();
