/*
 * permission_checks.sql
 *	  Questions about permissions: may the current principal do this, where, and why not?
 */

CREATE FUNCTION multitenant.has_permission(permission text, scope text DEFAULT NULL)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_has_permission';
COMMENT ON FUNCTION multitenant.has_permission(text, text) IS
'Has the current principal the permission (resource:action) in the current tenant: in the scope with that id, or without one in the whole tenant? A right in a scope is one in every scope below it. A context without a principal has none. Errors: MT001 no tenant, MT003, MT006 and MT008 as statements on protected tables; 42704 no such permission; 22023 null.';

CREATE FUNCTION multitenant.has_permission_anywhere(permission text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_has_permission_anywhere';
COMMENT ON FUNCTION multitenant.has_permission_anywhere(text) IS
'Has the current principal the permission in the whole current tenant, or in one scope of it at least? Errors as has_permission().';

CREATE FUNCTION multitenant.require_permission(permission text, scope text DEFAULT NULL)
RETURNS void
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_require_permission';
COMMENT ON FUNCTION multitenant.require_permission(text, text) IS
'Raises 42501 unless has_permission() with the same arguments is true. Errors: those of has_permission(), too.';

CREATE FUNCTION multitenant.has_permission_of(principal text, permission text, scope text DEFAULT NULL)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_has_permission_of';
COMMENT ON FUNCTION multitenant.has_permission_of(text, text, text) IS
'Has this member of the current tenant the permission in the scope, or without one in the whole tenant? False of who is no active member. For principals with access:review in the whole tenant. Errors: 42501 without it; those of has_permission(), too.';

CREATE FUNCTION multitenant.has_system_permission(permission text)
RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_has_system_permission';
COMMENT ON FUNCTION multitenant.has_system_permission(text) IS
'Has the current principal the permission in the system, by an assignment that belongs to no tenant? Such a one counts in no tenant, and none of a tenant counts here; the principal need not have entered a tenant. Errors: MT001 no context, MT003 expired; 42704 no such permission; 22023 null.';

CREATE FUNCTION multitenant.list_accessible(permission text)
RETURNS TABLE(scope_id text, kind text, name text)
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT l.scope_id, l.kind, l.name
	FROM (SELECT NULL::text AS scope_id, NULL::text AS kind, NULL::text AS name
			WHERE multitenant.has_permission($1)
		UNION ALL
		SELECT s.id, s.kind, s.name FROM multitenant.scope s
			WHERE s.tenant_id = (SELECT multitenant.current_tenant()) AND multitenant.has_permission($1, s.id)) l
	ORDER BY l.scope_id COLLATE "C" NULLS FIRST;
END;
COMMENT ON FUNCTION multitenant.list_accessible(text) IS
'Where the current principal has the permission: a first row without a scope if in the whole tenant, then each scope that it has it in, by id. Errors as has_permission().';
