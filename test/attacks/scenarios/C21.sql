-- Working on in a transaction whose tenant was suspended
-- naive: leak
-- ours: refused MT006
-- setup naive
CREATE TABLE active AS SELECT DISTINCT tenant_id FROM account;
GRANT SELECT ON active TO regress_mt_app;
CREATE POLICY is_active ON account AS RESTRICTIVE USING (tenant_id IN (SELECT tenant_id FROM active));
-- victim
BEGIN ISOLATION LEVEL REPEATABLE READ;
{set beta}
SELECT count(*) FROM account;
-- admin naive
DELETE FROM active WHERE tenant_id = '{beta}';
-- admin ours
SELECT multitenant.suspend_tenant('beta', 'unpaid');
-- victim after
SELECT secret FROM account;
