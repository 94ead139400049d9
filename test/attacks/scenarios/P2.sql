-- The owner takes row security away
-- naive: leak
-- ours: refused MT010
-- setup
GRANT CREATE ON SCHEMA public TO regress_mt_app;
ALTER TABLE account OWNER TO regress_mt_app;
-- attack
ALTER TABLE account NO FORCE ROW LEVEL SECURITY;
ALTER TABLE account DISABLE ROW LEVEL SECURITY;
{enter acme}
SELECT secret FROM account;
