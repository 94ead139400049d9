-- Two tenants in one transaction, the first undone with ROLLBACK TO
-- naive: leak
-- ours: refused MT005
-- attack
BEGIN;
SAVEPOINT s;
{set acme}
SELECT count(*) FROM account;
ROLLBACK TO s;
{set beta}
SELECT secret FROM account;
