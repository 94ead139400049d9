-- A look that ROLLBACK TO takes out of the record
-- naive: leak
-- leak: ^nobody looked$
-- ours: kept in the log, multitenant audit: .*secret\.read
-- setup naive
CREATE TABLE audit_log (at timestamptz DEFAULT now(), who text DEFAULT session_user, what text);
GRANT INSERT ON audit_log TO regress_mt_app;
-- attack naive
{enter acme}
SAVEPOINT s;
INSERT INTO audit_log (what) VALUES ('secret.read');
SELECT secret FROM account;
ROLLBACK TO s;
COMMIT;
-- attack ours
{enter acme}
SAVEPOINT s;
SELECT multitenant.audit('secret.read');
SELECT secret FROM account;
ROLLBACK TO s;
COMMIT;
-- after naive
SELECT 'nobody looked' WHERE NOT EXISTS (SELECT FROM audit_log);
