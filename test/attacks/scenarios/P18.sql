-- A foreign table that leads back to the database as another role
-- needs: postgres_fdw
-- naive: leak
-- ours: lint fdw_loopback_mapping
-- setup
CREATE EXTENSION postgres_fdw;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', port '{port}', dbname '{database}');
CREATE USER MAPPING FOR regress_mt_app SERVER loop OPTIONS (user 'postgres', password_required 'false');
CREATE FOREIGN TABLE account_remote (tenant_id uuid, secret text) SERVER loop OPTIONS (schema_name 'public', table_name 'account');
GRANT SELECT ON account_remote TO regress_mt_app;
-- attack
{enter acme}
SELECT secret FROM account_remote;
