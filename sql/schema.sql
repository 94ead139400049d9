-- The schema. Created here, not by the control file: with the schema in the
-- control file a schema that somebody else has created before would be used.

CREATE SCHEMA multitenant;
COMMENT ON SCHEMA multitenant IS
'Tenant isolation in the database engine. Start with multitenant.status().';
