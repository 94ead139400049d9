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
	-- Names of hardening(); null: none.
	allowed text[],
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

CREATE FUNCTION multitenant._check_role(role name) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = role) THEN
		RAISE EXCEPTION 'role "%" does not exist', role
			USING ERRCODE = '42704', HINT = 'Create the role first.';
	END IF;
END
$$;

-- Is it the profile of an application, from which arbitrary SQL may come? Without one, a role is an application.
-- Security: a profile that this list does not know is one, too.
CREATE FUNCTION multitenant._is_application(profile text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT coalesce(profile NOT IN ('provisioner', 'operator', 'auditor', 'migrator', 'bypass', 'bypass_read', 'legacy'), true);
END;

CREATE FUNCTION multitenant.grant_access(
	role name, profile text, tenant text DEFAULT NULL, reason text DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL, session_context boolean DEFAULT false, allow text[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	profiles constant text[] := '{application,trusted_application,tenant,provisioner,operator,auditor,migrator,bypass,bypass_read,legacy}';
	bound_tenant uuid;
	unknown text;
BEGIN
	PERFORM multitenant._require('superuser', 'granting access');
	PERFORM multitenant._check_role($1);
	IF $2 IS NULL OR $2 <> ALL (profiles) THEN
		RAISE EXCEPTION 'unknown profile "%"', $2
			USING ERRCODE = '22023', HINT = format('The profiles are %s.', array_to_string(profiles, ', '));
	END IF;
	IF ($2 = 'tenant') <> ($3 IS NOT NULL) THEN
		RAISE EXCEPTION 'profile "tenant" needs a tenant, and no other profile has one'
			USING ERRCODE = '22023', HINT = 'A role of profile tenant is bound to the tenant that is given.';
	END IF;
	IF $2 IN ('bypass', 'bypass_read', 'legacy') AND coalesce(btrim($4), '') = '' THEN
		RAISE EXCEPTION 'a bypass needs a reason'
			USING ERRCODE = '22023', HINT = 'Say what the role is for, such as ''nightly dump''; it is recorded.';
	END IF;
	IF $6 AND $2 NOT IN ('application', 'trusted_application') THEN
		RAISE EXCEPTION 'session_context is only for applications'
			USING ERRCODE = '22023', HINT = 'Leave session_context out for this profile.';
	END IF;
	IF $5 <= now() THEN
		RAISE EXCEPTION 'expires_at has passed'
			USING ERRCODE = '22023', HINT = 'Give a time in the future, or none.';
	END IF;
	-- Security: an application that reaches every tenant is no profile to stay with.
	IF $2 = 'legacy' AND ($5 IS NULL OR $5 > now() + interval '8784 hours') THEN
		RAISE EXCEPTION 'profile "legacy" ends within a year'
			USING ERRCODE = '22023', HINT = 'Give expires_at: the day on which the application has been adapted.';
	END IF;
	IF $2 = 'legacy' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = $1 AND r.rolbypassrls) THEN
		RAISE WARNING 'role "%" has no BYPASSRLS, so statements without a tenant stay refused on protected tables', $1
			USING HINT = format('ALTER ROLE %I BYPASSRLS, and take it away when the application has been adapted.', $1);
	END IF;
	SELECT a.name INTO unknown FROM unnest($7) AS a(name)
		WHERE NOT EXISTS (SELECT FROM multitenant._hardenings() h WHERE h.name = a.name) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION '"%" cannot be allowed: there is no such hardening', coalesce(unknown, 'null')
			USING ERRCODE = '22023', HINT = 'SELECT name FROM multitenant.hardening(role) lists what can.';
	END IF;
	IF $3 IS NOT NULL THEN
		bound_tenant := multitenant.tenant_id($3);
	END IF;
	INSERT INTO multitenant.access (role_name, profile, tenant_id, session_context, expires_at, allowed, reason)
		VALUES ($1, $2, bound_tenant, coalesce($6, false), $5, nullif($7, '{}'), $4)
		ON CONFLICT (role_name) DO UPDATE
		SET profile = excluded.profile, tenant_id = excluded.tenant_id,
			session_context = excluded.session_context, expires_at = excluded.expires_at,
			allowed = excluded.allowed, reason = excluded.reason, granted_by = session_user, granted_at = now();
	PERFORM multitenant._audit('access.grant', bound_tenant, $1::text, 'done',
		jsonb_build_object('profile', $2, 'reason', $4, 'expires_at', $5, 'session_context', $6, 'allow', $7));
END
$$;
COMMENT ON FUNCTION multitenant.grant_access(name, text, text, text, timestamptz, boolean, text[]) IS
'Gives a role a profile: application (the default of every role), trusted_application, tenant (bound to the tenant given), provisioner, operator, auditor, migrator, bypass, bypass_read, legacy (an application not adapted yet, with BYPASSRLS: it reaches every tenant, is counted in adoption_report(), and ends within a year). reason: required for a bypass and legacy; expires_at: afterwards the role may do nothing, required for legacy; session_context: the context of an application lasts until it is replaced or the session is reset; allow: names of hardening() that are not denied to an application role. Superusers only. Errors: 42501, 42704 unknown role, 22023 arguments do not fit, MT008 unknown tenant.';

CREATE FUNCTION multitenant.revoke_access(role name)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the role');
	PERFORM multitenant._require('superuser', 'revoking access');
	DELETE FROM multitenant.access a WHERE a.role_name = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'role "%" has no profile of its own', $1
			USING ERRCODE = '42704', HINT = 'Such a role is an application.';
	END IF;
	PERFORM multitenant._audit('access.revoke', NULL, $1::text, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.revoke_access(name) IS
'Takes a role''s profile away; it is an application then. Superusers only. Errors: 42501, 42704 no profile.';

CREATE FUNCTION multitenant._hardenings()
RETURNS TABLE(name text, denies text, reason text, cost text)
LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_hardenings';
COMMENT ON FUNCTION multitenant._hardenings() IS
'Internal: what application roles are denied beyond rows.';

CREATE FUNCTION multitenant._allows(role name, hardening text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_allows';
COMMENT ON FUNCTION multitenant._allows(name, text) IS
'Internal: does the profile of a role allow what a hardening denies to applications?';

CREATE FUNCTION multitenant.hardening(role name DEFAULT session_user)
RETURNS TABLE(name text, is_denied boolean, denies text, reason text, cost text)
LANGUAGE sql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT h.name, NOT multitenant._allows($1, h.name), h.denies, h.reason, h.cost FROM multitenant._hardenings() h ORDER BY h.name COLLATE "C";
END;
COMMENT ON FUNCTION multitenant.hardening(name) IS
'What is denied to a role beyond the rows of other tenants, once the database has a protected table: name (for grant_access(.., allow)), whether it is denied to this role, what is denied, why, and what that costs. Nothing is denied where the library is not loaded with its hooks. Errors: 42704 unknown role.';
