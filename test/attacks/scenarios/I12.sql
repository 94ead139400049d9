-- A table of the attacker's that refers to another's value, and follows its changes
-- naive: leak
-- ours: refused MT010
-- setup
GRANT REFERENCES ON account TO regress_mt_app;
GRANT CREATE ON SCHEMA public TO regress_mt_app;
-- setup ours
ALTER TABLE account DROP CONSTRAINT account_email_key;
SET multitenant.guard_enabled = off;
ALTER TABLE account ADD CONSTRAINT account_email_key UNIQUE (email);
RESET multitenant.guard_enabled;
-- attack
CREATE TABLE probe (email text REFERENCES account (email) ON UPDATE CASCADE);
INSERT INTO probe VALUES ('b1@example.org');
{enter beta}
UPDATE account SET email = upper('secret-beta') WHERE id = 101;
COMMIT;
TABLE probe;
