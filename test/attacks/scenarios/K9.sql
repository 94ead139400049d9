-- Names of keys guessed
-- naive: none, it has no credentials
-- ours: refused MT002
-- attack ours
BEGIN;
SELECT multitenant.authenticate('{unknown beta}');
SELECT secret FROM account;
