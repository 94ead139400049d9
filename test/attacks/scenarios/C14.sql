-- Turning triggers, and so foreign keys, off
-- naive: none, the server refuses
-- ours: refused 42501
-- attack
SET session_replication_role = replica;
