-- Setting the tenant outside a transaction, so that the previous one stays
-- naive: leak
-- ours: refused MT001
-- attack naive
SET app.tenant = '{beta}';
SET LOCAL app.tenant = '{acme}';
SELECT secret FROM account;
-- attack ours
{enter beta}
COMMIT;
SELECT multitenant.authenticate('{token acme}') \g /dev/null
SELECT secret FROM account;
