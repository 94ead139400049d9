-- A foreign key answers which rows exist
-- naive: leak
-- ours: refused 23503
-- attack
{enter acme}
INSERT INTO orders (id, tenant_id, account_id) VALUES (200, '{acme}', 101) RETURNING upper('leak');
COMMIT;
