-- Row estimates come from every tenant's values
-- naive: leak
-- leak: rows=[0-9]{2}
-- ours: refused MT010
-- setup
INSERT INTO orders (id, tenant_id, account_id, note) SELECT i, '{beta}', 101, 'paris' FROM generate_series(1000, 2000) i;
ANALYZE orders;
-- attack
{enter acme}
EXPLAIN SELECT 1 FROM orders WHERE note = 'paris';
