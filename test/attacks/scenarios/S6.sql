-- Ending other sessions
-- naive: leak
-- ours: refused MT010
-- victim
BEGIN;
{set beta}
SELECT count(*) FROM account;
-- attack
{enter acme}
SELECT upper('leak') FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid() AND pg_terminate_backend(pid);
