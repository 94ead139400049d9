-- A tenant column compared by pattern, so that acme sees acme2
-- naive: leak
-- ours: filtered
-- setup ours
SELECT multitenant.create_tenant('acme2');
-- setup
CREATE TABLE memo (tenant text NOT NULL, secret text);
INSERT INTO memo VALUES ('acme', 'SECRET-ACME'), ('acme2', 'SECRET-BETA');
ALTER TABLE memo OWNER TO regress_mt_owner;
GRANT SELECT ON memo TO regress_mt_app;
-- setup naive
ALTER TABLE memo ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memo USING (tenant LIKE current_setting('app.tenant', true) || '%');
-- setup ours
SELECT count(*) FROM multitenant.protect('memo', 'tenant');
-- attack naive
SET app.tenant = 'acme';
SELECT secret FROM memo;
-- attack ours
{enter acme}
SELECT secret FROM memo;
