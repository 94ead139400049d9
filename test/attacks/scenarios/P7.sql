-- A command without a policy
-- naive: none, what no policy permits is denied
-- ours: filtered
-- setup naive
DROP POLICY tenant ON account;
CREATE POLICY tenant ON account FOR SELECT USING (tenant_id = {filter});
-- attack
{enter acme}
UPDATE account SET balance = -1;
DELETE FROM account;
COMMIT;
-- after
SELECT 'LEAK' WHERE (SELECT count(*) FROM account WHERE tenant_id = '{beta}' AND balance > 0) <> 10;
