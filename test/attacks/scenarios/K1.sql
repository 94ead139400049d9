-- A function that decrypts with whatever key the ciphertext names
-- needs: pgcrypto
-- naive: leak
-- ours: refused MT021
-- setup naive
CREATE EXTENSION pgcrypto;
CREATE TABLE app_key (id uuid, key text);
INSERT INTO app_key VALUES ('{acme}', 'key of acme'), ('{beta}', 'key of beta');
CREATE TABLE sealed AS SELECT k.id AS key_id, pgp_sym_encrypt('SECRET-BETA', k.key) AS sealed FROM app_key k WHERE k.id = '{beta}';
GRANT SELECT, UPDATE ON sealed TO regress_mt_app;
CREATE FUNCTION unseal(key_id uuid, sealed bytea) RETURNS text LANGUAGE sql SECURITY DEFINER AS
	'SELECT pgp_sym_decrypt($2, k.key) FROM app_key k WHERE k.id = $1';
-- attack naive
{enter acme}
SELECT unseal(key_id, sealed) FROM sealed;
-- setup ours
CREATE TABLE sealed (sealed multitenant.encrypted);
GRANT SELECT, UPDATE ON sealed TO regress_mt_app;
{enter beta}
INSERT INTO sealed VALUES (multitenant.encrypt('SECRET-BETA'));
COMMIT;
CREATE FUNCTION unseal(sealed multitenant.encrypted) RETURNS text LANGUAGE sql SECURITY DEFINER AS
	'SELECT multitenant.decrypt_text($1)';
-- attack ours
{enter acme}
SELECT unseal(sealed) FROM sealed;
