-- A security_invoker view over one that is none
-- naive: leak
-- ours: refused MT007
-- setup
CREATE VIEW inner_accounts AS SELECT * FROM account;
CREATE VIEW outer_accounts WITH (security_invoker = true) AS SELECT * FROM inner_accounts;
GRANT SELECT ON inner_accounts, outer_accounts TO regress_mt_app;
-- attack
{enter acme}
SELECT secret FROM outer_accounts;
