-- A weaker algorithm asked for: of a ciphertext, or of a token
-- naive: none, it has no credentials and encrypts nothing
-- ours: refused MT002
-- attack ours
BEGIN;
SELECT multitenant.authenticate('{weak beta}');
SELECT secret FROM account;
