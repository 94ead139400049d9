-- A sequence that the attacker may set, so that others' inserts fail
-- naive: leak
-- leak: 23505
-- ours: lint sequence_update_privilege
-- setup
GRANT ALL ON SEQUENCE account_id_seq TO regress_mt_app;
-- attack
{enter acme}
SELECT setval('account_id_seq', 100);
COMMIT;
{enter beta}
INSERT INTO account (tenant_id, email) VALUES ('{beta}', 'fresh@example.org');
