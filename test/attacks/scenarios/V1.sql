-- A view without security_invoker
-- naive: leak
-- ours: refused MT007
-- setup
CREATE VIEW all_accounts AS SELECT * FROM account;
GRANT SELECT ON all_accounts TO regress_mt_app;
-- attack
{enter acme}
SELECT secret FROM all_accounts;
