-- Advisory locks and listeners that stay
-- naive: leak
-- ours: refused MT010
-- attack
{enter acme}
SELECT pg_advisory_lock(42);
LISTEN secrets;
COMMIT;
{enter beta}
SELECT upper('leak') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT upper('leak') FROM pg_listening_channels();
