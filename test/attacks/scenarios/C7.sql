-- Resetting the tenant and reading without one
-- naive: none, without a tenant no row is seen
-- ours: refused MT001
-- attack
{enter acme}
RESET {context};
SELECT secret FROM account;
ROLLBACK;
DISCARD ALL;
SELECT secret FROM account;
