-- SET ROLE to a role with BYPASSRLS
-- naive: leak
-- ours: refused MT007
-- setup
CREATE ROLE regress_mt_all BYPASSRLS;
GRANT regress_mt_all TO regress_mt_app;
GRANT SELECT ON account TO regress_mt_all;
-- attack
SET ROLE regress_mt_all;
{enter acme}
SELECT secret FROM account;
