-- A policy that reads its own table and so denies it to everybody
-- naive: leak
-- leak: 42P17
-- ours: lint policy_references_self
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE POLICY colleague ON account USING (id IN (SELECT a.id FROM account a));
-- attack
{enter beta}
SELECT count(*) FROM account;
