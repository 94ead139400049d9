-- A copy made by the owner for a migration
-- naive: leak
-- ours: refused MT001
-- role: regress_mt_owner
-- attack
CREATE TABLE account_copy AS SELECT * FROM account;
GRANT SELECT ON account_copy TO regress_mt_app;
\c - regress_mt_app
{enter acme}
SELECT secret FROM account_copy;
