-- EXPLAIN ANALYZE on an index without the tenant counts hidden rows
-- naive: leak
-- leak: Rows Removed by Filter
-- ours: refused MT010
-- attack
{enter acme}
SET enable_seqscan = off; SET enable_bitmapscan = off;
EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT 1 FROM account WHERE email = 'b1@example.org';
