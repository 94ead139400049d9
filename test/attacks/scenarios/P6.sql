-- A policy for DELETE alone that lets everything in
-- naive: leak
-- ours: filtered
-- setup ours
SET multitenant.guard_enabled = off;
-- setup
CREATE POLICY colleague ON orders FOR DELETE USING (true);
CREATE POLICY colleague_too ON orders FOR INSERT WITH CHECK (true);
-- attack
{enter acme}
DELETE FROM orders;
COMMIT;
-- after
SELECT 'LEAK' WHERE (SELECT count(*) FROM orders WHERE tenant_id = '{beta}') <> 10;
