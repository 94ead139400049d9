-- Credentials in the server's log, where statements are logged
-- naive: leak
-- leak: KEY-OF-BETA|eyJhbGci
-- ours: masked in the log
-- setup
ALTER DATABASE {database} SET log_statement = 'all';
-- attack naive
SELECT set_config('app.key', 'KEY-OF-BETA', false);
-- attack ours
{enter beta}
SELECT 1 / 0;
