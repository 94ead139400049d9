-- Forged audit records
-- naive: leak
-- ours: refused 42501
-- setup naive
CREATE TABLE audit_log (at timestamptz DEFAULT now(), who text DEFAULT session_user, what text);
GRANT INSERT ON audit_log TO regress_mt_app;
-- attack naive
INSERT INTO audit_log VALUES ('1999-01-01', 'somebody else', 'forged');
-- attack ours
{enter acme}
INSERT INTO multitenant.audit_event (event) VALUES ('forged');
-- after naive
SELECT 'LEAK' FROM audit_log WHERE who = 'somebody else';
