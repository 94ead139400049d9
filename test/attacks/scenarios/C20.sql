-- The next client of a pooled connection, who sets no tenant
-- naive: leak
-- ours: refused MT001
-- attack naive
SET app.tenant = '{beta}';
SELECT secret FROM account;
-- attack ours
{enter beta}
SELECT count(*) FROM account;
COMMIT;
SELECT secret FROM account;
