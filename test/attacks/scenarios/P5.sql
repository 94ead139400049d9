-- A colleague's policy that lets everything in
-- naive: leak
-- ours: filtered
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE POLICY colleague ON account USING (true);
-- attack
{enter acme}
SELECT secret FROM account;
