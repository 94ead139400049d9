-- TRUNCATE, where somebody granted everything
-- naive: leak
-- ours: refused MT010
-- setup
GRANT ALL ON account, orders TO regress_mt_app;
-- attack
{enter acme}
TRUNCATE account CASCADE;
COMMIT;
-- after
SELECT 'LEAK' WHERE NOT EXISTS (SELECT FROM account WHERE tenant_id = '{beta}');
