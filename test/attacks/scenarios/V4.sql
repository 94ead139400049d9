-- A materialized view
-- naive: leak
-- ours: lint matview_on_tenant_table
-- setup
CREATE MATERIALIZED VIEW kept AS SELECT * FROM account;
GRANT SELECT ON kept TO regress_mt_app;
-- attack
{enter acme}
SELECT secret FROM kept;
