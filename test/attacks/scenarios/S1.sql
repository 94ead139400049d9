-- A temporary table of the same name catches what the session's next tenant writes
-- naive: leak
-- ours: filtered
-- attack
{enter acme}
CREATE TEMP TABLE account (LIKE public.account);
COMMIT;
{enter beta}
INSERT INTO account (id, tenant_id, secret) VALUES (200, '{beta}', upper('secret-beta'));
COMMIT;
{enter acme}
SELECT secret FROM pg_temp.account;
