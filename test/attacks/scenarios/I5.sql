-- pg_stats and its kin
-- naive: none, the views leave out tables whose row security applies
-- ours: filtered
-- setup
INSERT INTO account (id, tenant_id, secret) SELECT i, '{beta}', 'SECRET-BETA' FROM generate_series(1000, 1200) i;
CREATE STATISTICS account_values (mcv) ON tenant_id, secret FROM account;
CREATE STATISTICS account_lower ON (lower(secret) || secret) FROM account;
ANALYZE account;
-- attack
{enter acme}
SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'account';
SELECT most_common_vals FROM pg_stats_ext WHERE tablename = 'account';
SELECT most_common_vals FROM pg_stats_ext_exprs WHERE tablename = 'account';
