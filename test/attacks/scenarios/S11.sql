-- Advisory locks block other tenants and fill the lock table
-- naive: leak
-- ours: refused MT010
-- attack
{enter acme}
SELECT DISTINCT upper('leak') FROM generate_series(1, 1000) i WHERE pg_try_advisory_xact_lock(i);
