-- A ciphertext moved to another row
-- needs: pgcrypto
-- naive: leak
-- ours: documented encrypts nothing
-- setup naive
CREATE EXTENSION pgcrypto;
CREATE TABLE sealed AS SELECT i AS id, pgp_sym_encrypt('owes ' || i, 'key') AS sealed FROM generate_series(1, 2) i;
GRANT SELECT, UPDATE ON sealed TO regress_mt_app;
-- attack naive
UPDATE sealed SET sealed = (SELECT s.sealed FROM sealed s WHERE s.id = 1) WHERE id = 2;
SELECT upper('leak') FROM sealed WHERE id = 2 AND pgp_sym_decrypt(sealed, 'key') = 'owes 1';
