-- A partition read directly
-- naive: leak
-- ours: refused MT007
-- setup
SET ROLE regress_mt_owner;
CREATE TABLE ledger (day int, tenant_id uuid NOT NULL, secret text) PARTITION BY RANGE (day);
{protect ledger}
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (10);
GRANT SELECT ON ledger, ledger_1 TO regress_mt_app;
RESET ROLE;
INSERT INTO ledger VALUES (1, '{beta}', 'SECRET-BETA');
-- attack
{enter acme}
SELECT secret FROM ledger_1;
