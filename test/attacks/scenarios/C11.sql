-- A role for each tenant, moved between with SET ROLE
-- naive: leak
-- ours: refused MT001
-- setup
CREATE ROLE regress_mt_of_beta;
GRANT regress_mt_of_beta TO regress_mt_app;
GRANT SELECT ON account TO regress_mt_of_beta;
-- setup naive
CREATE POLICY of_beta ON account TO regress_mt_of_beta USING (tenant_id = '{beta}');
-- setup ours
SELECT multitenant.grant_access('regress_mt_of_beta', 'tenant', tenant => 'beta');
-- attack
SET ROLE regress_mt_of_beta;
SELECT secret FROM account;
