-- The context of the transaction: setting and reading it.

CREATE FUNCTION multitenant.authenticate(credential text)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_authenticate';
COMMENT ON FUNCTION multitenant.authenticate(text) IS
'Sets the context of this transaction from a signed token and returns the tenant (null for a token that names only a principal). Valid until the transaction ends. Errors: MT002 invalid, MT003 expired, MT004 key revoked or not permitted, MT005 another context is set, MT006 tenant not active, MT008 unknown tenant.';

CREATE FUNCTION multitenant._maintain_tenant(tenant uuid)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_maintain_tenant';
COMMENT ON FUNCTION multitenant._maintain_tenant(uuid) IS
'Internal: as use_tenant(uuid), for procedures that go through tables: the permissions that tables ask for are not asked. For superusers and profile migrator.';

CREATE FUNCTION multitenant.use_tenant(tenant text)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_use_tenant_text';
COMMENT ON FUNCTION multitenant.use_tenant(text) IS
'Sets the context of this transaction by name: the id or slug of a tenant. For roles of profile trusted_application or migrator. Errors: 42501 profile, MT005 another context is set, MT006 tenant not active, MT008 unknown tenant.';

CREATE FUNCTION multitenant.use_tenant(tenant uuid)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_use_tenant_uuid';
COMMENT ON FUNCTION multitenant.use_tenant(uuid) IS
'As use_tenant(text), by id.';

CREATE FUNCTION multitenant.use_tenant(tenant bigint)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_use_tenant_number';
COMMENT ON FUNCTION multitenant.use_tenant(bigint) IS
'As use_tenant(text), by number.';

CREATE FUNCTION multitenant.use_tenant(tenant text, principal text)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_use_tenant_text';
COMMENT ON FUNCTION multitenant.use_tenant(text, text) IS
'As use_tenant(text), on behalf of a principal, which must be an active member of the tenant; the context ends with the membership. Not recorded, since applications begin each transaction with it. Errors: 42501 profile, MT005 another context is set, MT006 tenant not active, MT008 unknown tenant or not an active member.';

CREATE FUNCTION multitenant.use_tenant(tenant uuid, principal text)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_use_tenant_uuid';
COMMENT ON FUNCTION multitenant.use_tenant(uuid, text) IS
'As use_tenant(text, text), by id.';

CREATE FUNCTION multitenant.use_tenant(tenant bigint, principal text)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_use_tenant_number';
COMMENT ON FUNCTION multitenant.use_tenant(bigint, text) IS
'As use_tenant(text, text), by number.';

CREATE FUNCTION multitenant.switch_tenant(tenant text)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_switch_tenant_text';
COMMENT ON FUNCTION multitenant.switch_tenant(text) IS
'Takes the authenticated principal into one of its tenants: the id or slug; recorded. It must be an active member; when it ceases to be, the next statement on protected tables is MT008. Errors: MT001 nobody has authenticated, MT005 another tenant is set, MT006 tenant not active, MT008 unknown tenant or not an active member.';

CREATE FUNCTION multitenant.switch_tenant(tenant uuid)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_switch_tenant_uuid';
COMMENT ON FUNCTION multitenant.switch_tenant(uuid) IS
'As switch_tenant(text), by id.';

CREATE FUNCTION multitenant.switch_tenant(tenant bigint)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_switch_tenant_number';
COMMENT ON FUNCTION multitenant.switch_tenant(bigint) IS
'As switch_tenant(text), by number.';

CREATE FUNCTION multitenant.reset_tenant()
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_reset_tenant';
COMMENT ON FUNCTION multitenant.reset_tenant() IS
'Ends the context of this transaction, and the one the session keeps. Another tenant can be entered only in a new transaction.';

CREATE FUNCTION multitenant.system_context(reason text)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_system_context';
COMMENT ON FUNCTION multitenant.system_context(text) IS
'Declares this transaction to be maintenance, with a reason that is recorded. It widens no row policy. For profiles migrator, bypass, bypass_read and superusers. Errors: 42501 profile, 22023 empty reason, MT005 another context is set.';

-- The accessors stand in policies and column defaults.

CREATE FUNCTION multitenant.current_tenant()
RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_current_tenant';
COMMENT ON FUNCTION multitenant.current_tenant() IS
'The id of the tenant of this transaction. Errors: MT001 without a tenant.';

CREATE FUNCTION multitenant.current_tenant_or_null()
RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_current_tenant_or_null';
COMMENT ON FUNCTION multitenant.current_tenant_or_null() IS
'The id of the tenant of this transaction, null without one. Not for policies.';

CREATE FUNCTION multitenant.current_tenant_number()
RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_current_tenant_number';
COMMENT ON FUNCTION multitenant.current_tenant_number() IS
'The number of the tenant of this transaction. Errors: MT001 without a tenant.';

CREATE FUNCTION multitenant.current_tenant_int4()
RETURNS integer
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_current_tenant_int4';
COMMENT ON FUNCTION multitenant.current_tenant_int4() IS
'The number of the tenant of this transaction, for integer columns. Errors: MT001 without a tenant, 22003 if it does not fit.';

CREATE FUNCTION multitenant.current_tenant_slug()
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_current_tenant_slug';
COMMENT ON FUNCTION multitenant.current_tenant_slug() IS
'The slug of the tenant of this transaction. Errors: MT001 without a tenant.';

CREATE FUNCTION multitenant.current_principal()
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_current_principal';
COMMENT ON FUNCTION multitenant.current_principal() IS
'The principal ("sub") of this transaction''s credential, null without one.';

CREATE FUNCTION multitenant._tenant_in(kind text)
RETURNS uuid
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_tenant_in';
COMMENT ON FUNCTION multitenant._tenant_in(text) IS
'Internal: the tenant of a context of that kind (tenant, supervised) that holds; null in any other.';

CREATE FUNCTION multitenant._context(
	OUT state text, OUT tenant_id uuid, OUT tenant_number bigint, OUT tenant_slug text,
	OUT principal text, OUT kind text, OUT scope text, OUT expires_at timestamptz, OUT source text)
LANGUAGE c STABLE PARALLEL SAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_context';
COMMENT ON FUNCTION multitenant._context() IS
'Internal: the row of the view multitenant.context.';

-- Security: what no policy and no key stands in front of must still not be reached by those who come from outside, nor in a
-- context that has ended.
CREATE FUNCTION multitenant._require_own_tenant(what text)
RETURNS uuid
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_require_own_tenant';
COMMENT ON FUNCTION multitenant._require_own_tenant(text) IS
'Internal: the current tenant, for what concerns itself alone. Raises MT001, MT003, MT006, MT008 where no context holds, 42501 in supervised and system contexts.';

CREATE FUNCTION multitenant._require_own_principal()
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_require_own_principal';
COMMENT ON FUNCTION multitenant._require_own_principal() IS
'Internal: the current principal, for what it does for itself in any tenant. Raises MT001, MT003, MT006, MT008 where no context holds, 42501 for a credential of one tenant.';

CREATE VIEW multitenant.context WITH (security_invoker = true) AS
	SELECT * FROM multitenant._context();
COMMENT ON VIEW multitenant.context IS
'Who this transaction is: one row, also without a context (state "none").';

-- Security: the record tells who did what. From outside only its counts are seen (audit_metadata), and once a tenant
-- assigns roles, one of its principals needs the permission.
CREATE FUNCTION multitenant._tenant_of_record()
RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_own_tenant('seeing events');
BEGIN
	IF multitenant.current_principal() IS NOT NULL
	   AND EXISTS (SELECT FROM multitenant.role_assignment a WHERE a.tenant_id = tenant)
	   AND NOT multitenant.has_permission('audit:read') THEN
		RAISE EXCEPTION 'permission "audit:read" is needed'
			USING ERRCODE = '42501', HINT = 'Somebody who may assign roles in this tenant can give a role that has it.';
	END IF;
	RETURN tenant;
END
$$;
COMMENT ON FUNCTION multitenant._tenant_of_record() IS
'Internal: the current tenant, if its record of events may be read in this context. Errors: as _require_own_tenant(), 42501 permission.';

CREATE VIEW multitenant.audit_log WITH (security_barrier = true) AS
	SELECT id, at, event, source, outcome, tenant_id, principal,
		-- Security: how the service calls its staff's roles, and why it did what it did to a tenant, are its own affair.
		CASE WHEN multitenant._has('audit') OR session_role = session_user THEN session_role END AS session_role,
		object,
		CASE WHEN multitenant._has('audit') OR session_role = session_user OR principal IS NOT NULL THEN detail
			ELSE detail - 'reason' END AS detail
	FROM multitenant.audit_event
	-- A sub-select: the planner would call the function for its estimates, also where nobody needs a tenant.
	WHERE multitenant._has('audit') OR tenant_id = (SELECT multitenant._tenant_of_record());
COMMENT ON VIEW multitenant.audit_log IS
'Security events of the current tenant, without the names of roles and the reasons of those who run the service - for its own principals, with permission audit:read where it assigns roles; for profile auditor and superusers those of every tenant. Errors: MT001, MT003, MT006, MT008 no valid context; 42501 permission, or looking in from outside.';

CREATE VIEW multitenant.tenants WITH (security_barrier = true) AS
	SELECT id, number, slug, name, state,
		-- Why is between those who run the service.
		CASE WHEN multitenant._has('see_tenants') THEN state_reason END AS state_reason,
		state_changed_at, purge_after, created_at
	FROM multitenant.tenant
	-- Sub-selects: asked once, and only of who has no such profile. Nothing is shown in a context that has ended.
	WHERE multitenant._has('see_tenants')
		OR id = coalesce((SELECT multitenant._tenant_in('tenant')), (SELECT multitenant._tenant_in('supervised')));
COMMENT ON VIEW multitenant.tenants IS
'The current tenant; for profiles that manage tenants every tenant, and the reason of its state. A context that has ended is refused, as everywhere: MT006, MT008.';
