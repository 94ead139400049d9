-- An old ciphertext of the same cell put back
-- needs: pgcrypto
-- naive: leak
-- ours: documented an old encrypted value put back in its place
-- setup naive
CREATE EXTENSION pgcrypto;
CREATE TABLE sealed AS SELECT 1 AS id, pgp_sym_encrypt('limit 10', 'key') AS sealed;
GRANT SELECT, UPDATE ON sealed TO regress_mt_app;
-- attack naive
CREATE TEMP TABLE old AS SELECT * FROM sealed;
UPDATE sealed SET sealed = pgp_sym_encrypt('limit 5', 'key');
UPDATE sealed SET sealed = (SELECT sealed FROM old);
SELECT upper('leak') FROM sealed WHERE pgp_sym_decrypt(sealed, 'key') = 'limit 10';
