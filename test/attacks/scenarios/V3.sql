-- A view that filters tenants itself, and a function called with what it leaves out
-- naive: leak
-- ours: filtered
-- setup
SET ROLE regress_mt_owner;
CREATE TABLE bare (tenant_id uuid NOT NULL, secret text);
INSERT INTO bare VALUES ('{acme}', 'SECRET-ACME'), ('{beta}', 'SECRET-BETA');
CREATE VIEW mine AS SELECT * FROM bare WHERE tenant_id = {filter};
GRANT SELECT ON mine TO regress_mt_app;
-- setup ours
SELECT count(*) FROM multitenant.protect('bare');
GRANT SELECT ON bare TO regress_mt_app;
-- attack
CREATE FUNCTION pg_temp.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';
{enter acme}
SELECT count(*) FROM mine WHERE pg_temp.spy(secret);
