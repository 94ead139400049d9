-- The transaction's own counters do the same
-- naive: leak
-- ours: refused MT010
-- attack
{enter acme}
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*) FROM account WHERE email = 'b1@example.org';
SELECT upper('leak') WHERE pg_stat_get_xact_tuples_returned((SELECT indexrelid FROM pg_index WHERE indrelid = 'account'::regclass
	AND pg_get_indexdef(indexrelid) ~ 'email')) > 0;
