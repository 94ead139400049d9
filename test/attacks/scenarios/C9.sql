-- A policy that opens when no tenant is set
-- naive: leak
-- ours: refused MT001
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE POLICY colleague ON account USING (current_setting('app.tenant', true) IS NULL);
-- attack
SELECT secret FROM account;
