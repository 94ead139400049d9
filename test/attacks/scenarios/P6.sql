-- A policy for DELETE alone that lets everything in
-- naive: leak
-- ours: filtered
-- setup
CREATE POLICY colleague ON account FOR DELETE USING (true);
CREATE POLICY colleague_too ON account FOR INSERT WITH CHECK (true);
-- attack
{enter acme}
DELETE FROM orders;
DELETE FROM account;
COMMIT;
-- after
SELECT 'LEAK' WHERE (SELECT count(*) FROM account WHERE tenant_id = '{beta}') <> 10;
