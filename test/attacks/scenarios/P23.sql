-- A secret kept in a setting of a role, in a catalog that everybody reads
-- naive: leak
-- ours: lint secret_in_setting
-- setup
ALTER ROLE regress_mt_owner IN DATABASE {database} SET app.master_key = 'SECRET-BETA';
-- attack
SELECT setconfig FROM pg_db_role_setting;
