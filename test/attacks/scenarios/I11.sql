-- A row that refers to another tenant's keeps him from deleting his
-- naive: leak
-- ours: refused 23503
-- attack
{enter acme}
INSERT INTO orders (id, tenant_id, account_id) VALUES (200, '{acme}', 101);
COMMIT;
-- after
SELECT 'LEAK' FROM orders WHERE tenant_id = '{acme}' AND account_id = 101;
