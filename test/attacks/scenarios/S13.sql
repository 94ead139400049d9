-- Flooding the server's log for subscribers
-- naive: leak
-- ours: refused MT010
-- attack
{enter acme}
SELECT upper('leak') WHERE pg_logical_emit_message(false, 'x', repeat('x', 1000)) IS NOT NULL;
