-- The application is a member of the owner
-- naive: leak
-- ours: filtered
-- setup
GRANT regress_mt_owner TO regress_mt_app;
-- attack
{enter acme}
SELECT secret FROM account;
