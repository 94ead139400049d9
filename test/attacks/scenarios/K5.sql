-- Keys read by a role that may read everything
-- naive: leak
-- leak: KEY-OF-BETA|hs\.secret
-- ours: filtered
-- setup
GRANT pg_read_all_data TO regress_mt_app;
-- setup naive
CREATE TABLE app_key (tenant_id uuid, key text);
INSERT INTO app_key VALUES ('{beta}', 'KEY-OF-BETA');
-- attack naive
TABLE app_key;
-- attack ours
TABLE multitenant.signing_key;
