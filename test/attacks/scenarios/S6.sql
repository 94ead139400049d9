-- Ending other sessions
-- naive: leak
-- ours: refused MT010
-- victim
BEGIN;
{set beta}
SELECT count(*) FROM account;
-- attack
{enter acme}
WITH v AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid())
SELECT upper('leak') FROM v WHERE pg_terminate_backend(pid);
