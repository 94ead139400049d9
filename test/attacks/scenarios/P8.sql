-- Policies are there, but row security was never enabled
-- naive: leak
-- ours: refused MT007
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
ALTER TABLE account DISABLE ROW LEVEL SECURITY;
-- attack
{enter acme}
SELECT secret FROM account;
