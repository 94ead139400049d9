-- A row without a tenant, read by whoever has none
-- naive: leak
-- ours: refused 42501
-- setup
CREATE TABLE draft (tenant_id uuid, secret text);
ALTER TABLE draft OWNER TO regress_mt_owner;
GRANT SELECT, INSERT ON draft TO regress_mt_app;
-- setup naive
ALTER TABLE draft ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON draft USING (tenant_id IS NOT DISTINCT FROM nullif({filter}::text, '')::uuid) WITH CHECK (true);
-- setup ours
SELECT count(*) FROM multitenant.protect('draft');
-- attack
{enter beta}
INSERT INTO draft (tenant_id, secret) VALUES (NULL, upper('secret-beta'));
COMMIT;
SELECT secret FROM draft;
