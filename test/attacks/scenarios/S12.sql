-- Rolling back another tenant's prepared transaction
-- naive: leak
-- ours: refused MT010
-- attack
{enter beta}
INSERT INTO account (id, tenant_id, secret) VALUES (200, '{beta}', 'paid');
PREPARE TRANSACTION 'invoice-42';
{enter acme}
COMMIT;
ROLLBACK PREPARED 'invoice-42';
\if :ERROR
\else
SELECT upper('leak');
\endif
