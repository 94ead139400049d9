-- A credential used again after its time, or made for somebody else
-- naive: none, it has no credentials
-- ours: refused MT003
-- attack ours
BEGIN;
SELECT multitenant.authenticate('{expired beta}');
SELECT secret FROM account;
