-- A signature guessed
-- naive: none, it has no credentials
-- ours: refused MT002
-- attack ours
BEGIN;
SELECT multitenant.authenticate('{forged beta}');
SELECT secret FROM account;
