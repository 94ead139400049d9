-- Change streams, by a role that may replicate
-- needs: test_decoding
-- naive: leak
-- ours: lint replication_role
-- setup
ALTER ROLE regress_mt_app REPLICATION;
-- attack
SELECT slot_name FROM pg_create_logical_replication_slot('matrix', 'test_decoding');
{enter beta}
INSERT INTO account (id, tenant_id, secret) VALUES (200, '{beta}', upper('secret-beta'));
COMMIT;
{enter acme}
SELECT data FROM pg_logical_slot_get_changes('matrix', NULL, NULL);
COMMIT;
-- after
SELECT pg_drop_replication_slot('matrix');
