-- Access profiles of roles. C reads the table by column position
-- (src/tenant/access.c). Roles are named, not referenced: a restore must not
-- fail because a role is missing.

CREATE TABLE multitenant.access (
	role_name name NOT NULL CONSTRAINT access_pkey PRIMARY KEY,
	profile text COLLATE "C" NOT NULL,
	-- No foreign key: a parallel restore loads the extension's tables in any order.
	tenant_id uuid,
	session_context boolean NOT NULL DEFAULT false,
	expires_at timestamptz,
	reason text,
	granted_by name NOT NULL DEFAULT session_user,
	granted_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT access_binding_check CHECK ((profile = 'tenant') = (tenant_id IS NOT NULL))
);
COMMENT ON TABLE multitenant.access IS
'What each role may do; a role without a row is an application.';

CREATE TRIGGER access_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.access
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();

ALTER TABLE multitenant.access ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.access', '');

CREATE FUNCTION multitenant._require(capability text, what text)
RETURNS void
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_require';
COMMENT ON FUNCTION multitenant._require(text, text) IS
'Internal: raises 42501 unless the session''s profile has the capability.';

CREATE FUNCTION multitenant._has(capability text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_has_capability';
COMMENT ON FUNCTION multitenant._has(text) IS
'Internal: does the session''s profile have the capability?';
