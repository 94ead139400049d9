-- The application owns its tables
-- naive: leak
-- ours: filtered
-- setup
GRANT CREATE ON SCHEMA public TO regress_mt_app;
ALTER TABLE account OWNER TO regress_mt_app;
-- attack
{enter acme}
SELECT secret FROM account;
