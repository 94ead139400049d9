-- Volumes in the catalog
-- naive: leak
-- ours: documented row counts
-- setup
INSERT INTO orders (id, tenant_id, account_id, note) SELECT i, '{beta}', 101, 'paris' FROM generate_series(1000, 2000) i;
ANALYZE orders;
-- attack
{enter acme}
SELECT upper('leak') FROM pg_class WHERE oid = 'orders'::regclass AND reltuples > 1000;
