-- Rows that are everybody's to read, changed by one tenant
-- naive: leak
-- ours: filtered
-- setup
CREATE TABLE template (id int, tenant_id uuid, body text);
ALTER TABLE template OWNER TO regress_mt_owner;
INSERT INTO template VALUES (1, NULL, 'Dear customer');
GRANT SELECT, INSERT, UPDATE, DELETE ON template TO regress_mt_app;
-- setup naive
ALTER TABLE template ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON template USING (tenant_id IS NULL OR tenant_id = {filter});
-- setup ours
SELECT multitenant.shared_rows('template');
-- attack
{enter acme}
UPDATE template SET body = 'LEAK';
COMMIT;
-- after
SELECT body FROM template;
