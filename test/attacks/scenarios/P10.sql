-- A trigger that collects what other tenants write
-- naive: leak
-- ours: refused MT010
-- setup
GRANT ALL ON account TO regress_mt_app;
GRANT CREATE ON SCHEMA public TO regress_mt_app;
-- attack
CREATE TABLE loot (t text);
CREATE FUNCTION collect() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO loot VALUES (new.secret); RETURN new; END';
CREATE TRIGGER collect BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION collect();
{enter beta}
INSERT INTO account (id, tenant_id, secret) VALUES (200, '{beta}', upper('secret-beta'));
COMMIT;
TABLE loot;
