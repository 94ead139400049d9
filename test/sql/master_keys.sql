-- Master keys where no provider is chosen; with one: test/t/050, 052 and 054.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_auditor;
SELECT multitenant.grant_access('regress_mt_auditor', 'auditor');

-- the settings
SELECT name, setting, unit, context FROM pg_settings
	WHERE name ~ '^multitenant\.(hide_memory|key_|pkcs11_|require_locked)' AND name NOT IN ('multitenant.hide_memory', 'multitenant.require_locked_memory') ORDER BY name COLLATE "C";
SELECT name, setting FROM pg_settings WHERE name IN ('multitenant.hide_memory', 'multitenant.require_locked_memory') ORDER BY name COLLATE "C";
SET multitenant.key_provider = 'file'; \echo :LAST_ERROR_SQLSTATE
SET multitenant.key_command = 'true'; \echo :LAST_ERROR_SQLSTATE
ALTER SYSTEM SET multitenant.key_provider = 'vault'; \echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
ALTER SYSTEM SET multitenant.key_versions = '1,1';
\set VERBOSITY terse

-- the state
SELECT version, id, is_current, loaded_at, provider, state, error, next_try FROM multitenant.mek_status;
SET ROLE regress_mt_auditor;
SELECT provider, state FROM multitenant.mek_status;
SELECT * FROM multitenant._master_keys(); \echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mt_app;
SELECT provider, state FROM multitenant.mek_status; \echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
SHOW multitenant.key_file;
\set VERBOSITY terse
SELECT multitenant.reload_master_keys(); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._reload_master_keys(); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- nothing can be wrapped without a key
INSERT INTO multitenant.signing_key (kid, algorithm, secret_file, kinds, max_lifetime) VALUES ('k', 'HS256', '/nonexistent/secret', '{tenant}', 60);
\set VERBOSITY default
SELECT multitenant.wrap_signing_secret('k'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.wrap_signing_secret('none'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.wrap_signing_secret(NULL); \echo :LAST_ERROR_SQLSTATE
INSERT INTO multitenant.signing_key (kid, algorithm, public_key, kinds, max_lifetime) VALUES ('p', 'EdDSA', 'x', '{tenant}', 60);
SELECT multitenant.wrap_signing_secret('p'); \echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
-- one source of a secret, and none for others
INSERT INTO multitenant.signing_key (kid, algorithm, secret_file, wrapped_secret, kinds, max_lifetime) VALUES ('a', 'HS256', '/x', '\x00', '{tenant}', 60);
INSERT INTO multitenant.signing_key (kid, algorithm, kinds, max_lifetime) VALUES ('a', 'HS256', '{tenant}', 60);
INSERT INTO multitenant.signing_key (kid, algorithm, public_key, wrapped_secret, kinds, max_lifetime) VALUES ('a', 'EdDSA', 'x', '\x00', '{tenant}', 60);
SET ROLE regress_mt_app;
SELECT multitenant.wrap_signing_secret('k'); \echo :LAST_ERROR_SQLSTATE
RESET ROLE;

SELECT multitenant.revoke_access('regress_mt_auditor');
DELETE FROM multitenant.signing_key;
DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_auditor;
