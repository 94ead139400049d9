-- Rows by their place, samples, extremes
-- naive: none, the policy applies
-- ours: filtered
-- attack
{enter acme}
SELECT secret FROM account TABLESAMPLE system (100);
SELECT secret FROM account WHERE ctid = ANY (SELECT format('(0,%s)', i)::tid FROM generate_series(1, 40) i);
SELECT max(secret), min(secret) FROM account;
