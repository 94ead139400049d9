-- Parallel workers that do not know the tenant
-- naive: none, settings are copied to workers
-- ours: filtered
-- attack
{enter acme}
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT secret FROM account;
