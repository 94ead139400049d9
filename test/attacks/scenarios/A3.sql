-- The record emptied by its owner
-- naive: leak
-- ours: refused MT010
-- role naive: regress_mt_owner
-- role ours: postgres
-- setup naive
CREATE TABLE audit_log (at timestamptz DEFAULT now(), who text DEFAULT session_user, what text);
ALTER TABLE audit_log OWNER TO regress_mt_owner;
INSERT INTO audit_log (what) VALUES ('secret.read');
-- attack naive
DELETE FROM audit_log;
-- attack ours
DELETE FROM multitenant.audit_event;
TRUNCATE multitenant.audit_event;
-- after naive
SELECT 'LEAK' WHERE NOT EXISTS (SELECT FROM audit_log);
