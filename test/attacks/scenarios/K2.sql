-- A ciphertext moved to another row
-- needs: pgcrypto
-- naive: leak
-- ours: refused MT021
-- setup naive
CREATE EXTENSION pgcrypto;
CREATE TABLE sealed AS SELECT i AS id, pgp_sym_encrypt('owes ' || i, 'key') AS sealed FROM generate_series(1, 2) i;
GRANT SELECT, UPDATE ON sealed TO regress_mt_app;
-- attack naive
UPDATE sealed SET sealed = (SELECT s.sealed FROM sealed s WHERE s.id = 1) WHERE id = 2;
SELECT upper('leak') FROM sealed WHERE id = 2 AND pgp_sym_decrypt(sealed, 'key') = 'owes 1';
-- setup ours
CREATE TABLE sealed (id int, sealed multitenant.encrypted);
GRANT SELECT, UPDATE ON sealed TO regress_mt_app;
{enter beta}
INSERT INTO sealed SELECT i, multitenant.encrypt('owes ' || i, 'debt', 'sealed:' || i) FROM generate_series(1, 2) i;
COMMIT;
-- attack ours
{enter beta}
UPDATE sealed SET sealed = (SELECT s.sealed FROM sealed s WHERE s.id = 1) WHERE id = 2;
SELECT upper('leak') FROM sealed WHERE id = 2 AND multitenant.decrypt_text(sealed, 'sealed:' || id) = 'owes 1';
