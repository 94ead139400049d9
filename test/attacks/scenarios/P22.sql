-- A rule that writes another tenant's row with its owner's rights
-- naive: leak
-- ours: refused 42501
-- setup
SET ROLE regress_mt_owner;
CREATE TABLE guestbook (entry text);
GRANT INSERT ON guestbook TO regress_mt_app;
RESET ROLE;
CREATE RULE r AS ON INSERT TO guestbook DO ALSO INSERT INTO account (id, tenant_id, secret) VALUES (200, '{beta}', new.entry);
-- attack
{enter acme}
INSERT INTO guestbook VALUES ('planted');
COMMIT;
-- after
SELECT 'LEAK' FROM account WHERE id = 200;
