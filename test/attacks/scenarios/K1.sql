-- A function that decrypts with whatever key the ciphertext names
-- needs: pgcrypto
-- naive: leak
-- ours: documented encrypts nothing
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
