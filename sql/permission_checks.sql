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

-- ---------------------------------------------------------------------------------------------------------------
-- Why, or why not
-- ---------------------------------------------------------------------------------------------------------------

-- As src/rbac/ decides it: a scope in a circle is in no tree, and what hangs on it begins there.
CREATE FUNCTION multitenant._scope_path(tenant uuid, scope text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(id, parent_id, path) AS (
		SELECT s.id, s.parent_id, ARRAY[s.id] FROM multitenant.scope s WHERE s.tenant_id = $1 AND s.id = $2
		UNION ALL
		SELECT s.id, s.parent_id, up.path || s.id FROM up
			JOIN multitenant.scope s ON s.tenant_id = $1 AND s.id = up.parent_id
			WHERE s.id <> ALL (up.path))
	SELECT CASE WHEN up.parent_id = ANY (up.path) THEN up.path[:array_position(up.path, up.parent_id) - 1] ELSE up.path END
		FROM up ORDER BY cardinality(up.path) DESC LIMIT 1;
END;
COMMENT ON FUNCTION multitenant._scope_path(uuid, text) IS
'Internal: the scope and those above it, upwards; null or empty if it is not in the tree.';

-- Does a pattern of a role permit it?
CREATE FUNCTION multitenant._permits(pattern text, permission text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT split_part($1, ':', 1) IN ('*', split_part($2, ':', 1)) AND split_part($1, ':', 2) IN ('*', split_part($2, ':', 2));
END;
COMMENT ON FUNCTION multitenant._permits(text, text) IS
'Internal: does the pattern of a role cover the permission?';

-- From each role that may be used in the tenant to a pattern that covers the permission, upwards through its parents.
CREATE FUNCTION multitenant._permitting_roles(tenant uuid, permission text)
RETURNS TABLE(role_id uuid, path text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(start, role_id, role_tenant, seen, path) AS (
		SELECT r.id, r.id, r.tenant_id, ARRAY[r.id], format('role %s', r.name) FROM multitenant.role r
			WHERE r.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
		UNION ALL
		SELECT up.start, r.id, r.tenant_id, up.seen || r.id, format('%s > role %s', up.path, r.name) FROM up
			JOIN multitenant.role_parent p ON p.role_id = up.role_id AND p.tenant_id = up.role_tenant
			JOIN multitenant.role r ON r.id = p.parent_id
				AND r.tenant_id IN (up.role_tenant, '00000000-0000-0000-0000-000000000000')
			WHERE r.id <> ALL (up.seen))
	SELECT up.start, format('%s > %s', up.path, p.permission) FROM up
		JOIN multitenant.role_permission p ON p.role_id = up.role_id AND p.tenant_id = up.role_tenant
			AND multitenant._permits(p.permission, $2);
END;
COMMENT ON FUNCTION multitenant._permitting_roles(uuid, text) IS
'Internal: each role of the tenant, and each template, that permits it, with every way through its parents.';

CREATE FUNCTION multitenant._groups_with_path(tenant uuid, principal text)
RETURNS TABLE(group_name text, path text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(group_name, seen, path) AS (
		SELECT g.group_name, ARRAY[g.group_name], format('group %s', g.group_name) FROM multitenant.group_member g
			WHERE g.tenant_id = $1 AND NOT g.is_group AND g.member = $2
		UNION ALL
		SELECT g.group_name, up.seen || g.group_name, format('%s > group %s', up.path, g.group_name) FROM up
			JOIN multitenant.group_member g ON g.tenant_id = $1 AND g.is_group AND g.member = up.group_name
			WHERE g.group_name <> ALL (up.seen))
	SELECT up.group_name, up.path FROM up;
END;
COMMENT ON FUNCTION multitenant._groups_with_path(uuid, text) IS
'Internal: the groups that a principal is in, with every way to each.';

-- Everything that could give the principal a role in the tenant, whether it counts now or not.
CREATE FUNCTION multitenant._role_sources(tenant uuid, principal text, is_operator boolean)
RETURNS TABLE(role_id uuid, path text, scope_id text, expires_at timestamptz, obstacle text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT a.role_id, format('principal %s', $2), a.scope_id, a.expires_at, NULL FROM multitenant.role_assignment a
		WHERE NOT $3 AND a.tenant_id = $1 AND NOT a.is_group AND a.assignee = $2
	UNION ALL
	SELECT a.role_id, format('principal %s > %s', $2, g.path), a.scope_id, a.expires_at, NULL
		FROM multitenant._groups_with_path($1, $2) g
		JOIN multitenant.role_assignment a ON a.tenant_id = $1 AND a.is_group AND a.assignee = g.group_name
		WHERE NOT $3
	UNION ALL
	SELECT b.role_id, format('principal %s > break-glass', $2), NULL, b.ends_at,
			CASE WHEN b.holds_from IS NULL OR b.holds_from > statement_timestamp() THEN 'break-glass does not hold yet' END
		FROM multitenant.break_glass b
		WHERE NOT $3 AND b.tenant_id = $1 AND b.principal = $2 AND b.closed_at IS NULL AND b.ends_at > statement_timestamp()
	UNION ALL
	SELECT o.role_id, format('operator %s', $2), NULL, o.expires_at,
			CASE WHEN NOT EXISTS (SELECT FROM multitenant.master_tenant l WHERE l.tenant_id = $1 AND l.master_id = o.master_id)
				THEN 'the master account does not look after this tenant' END
		FROM multitenant.operator o WHERE $3 AND o.tenant_id = $1 AND o.principal = $2;
END;
COMMENT ON FUNCTION multitenant._role_sources(uuid, text, boolean) IS
'Internal: assignments, groups'' assignments and break-glass of a principal, or the role of an operator.';

-- Why nothing that is assigned to him counts; null if it does.
CREATE FUNCTION multitenant._standing_obstacle(tenant uuid, principal text, is_operator boolean)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT CASE
		WHEN p.id IS NULL THEN CASE WHEN $3 OR m.principal IS NOT NULL THEN 'the principal is not known' ELSE 'the principal is not a member' END
		WHEN NOT $3 AND m.principal IS NULL THEN 'the principal is not a member'
		WHEN p.state <> 'active' THEN 'the principal is ' || p.state
		WHEN $3 THEN NULL
		WHEN m.state <> 'active' THEN 'the member is ' || m.state
		WHEN m.expires_at <= statement_timestamp() THEN 'the membership has expired' END
	FROM (SELECT) one
	LEFT JOIN multitenant.principal p ON p.id = $2
	LEFT JOIN multitenant.member m ON m.tenant_id = $1 AND m.principal = $2;
END;
COMMENT ON FUNCTION multitenant._standing_obstacle(uuid, text, boolean) IS
'Internal: why a principal has no rights at all in the tenant, null if it may have some.';

-- Every way to the permission that begins with the principal, whether it gets there or not.
CREATE FUNCTION multitenant._permission_paths(tenant uuid, principal text, is_operator boolean, permission text, scope text)
RETURNS TABLE(path text, scope_id text, expires_at timestamptz, obstacle text)
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT format('%s > %s%s', s.path, r.path, ' > scope ' || CASE
			WHEN s.scope_id = ANY (u.path) THEN array_to_string(u.path[:array_position(u.path, s.scope_id)], ' in ')
			ELSE s.scope_id END),
		s.scope_id, s.expires_at,
		CASE
			WHEN w.obstacle IS NOT NULL THEN w.obstacle
			WHEN s.obstacle IS NOT NULL THEN s.obstacle
			WHEN s.expires_at <= statement_timestamp() THEN 'it has expired'
			WHEN s.scope_id IS NULL OR s.scope_id = ANY (u.path) THEN NULL
			WHEN coalesce(cardinality(o.path), 0) = 0 THEN 'it is held in a scope that is not in the tree'
			WHEN $5 IS NULL THEN 'it is held in this scope, not in the whole tenant'
			WHEN coalesce(cardinality(u.path), 0) = 0 THEN 'the scope that was asked for is not in the tree'
			ELSE 'it is held in another scope' END
	FROM multitenant._role_sources($1, $2, $3) s
	JOIN multitenant._permitting_roles($1, $4) r ON r.role_id = s.role_id
	CROSS JOIN multitenant._standing_obstacle($1, $2, $3) w(obstacle)
	CROSS JOIN multitenant._scope_path($1, $5) u(path)
	CROSS JOIN LATERAL multitenant._scope_path($1, s.scope_id) o(path);
END;
COMMENT ON FUNCTION multitenant._permission_paths(uuid, text, boolean, text, text) IS
'Internal: what gives a principal the permission, and what keeps it from doing so.';

-- What others have that would give it.
CREATE FUNCTION multitenant._permission_elsewhere(tenant uuid, permission text)
RETURNS TABLE(path text, scope_id text, expires_at timestamptz, obstacle text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT format('group %s > %s%s', a.assignee, r.path, ' > scope ' || a.scope_id), a.scope_id, a.expires_at,
			'the principal is not in this group'
		FROM multitenant._permitting_roles($1, $2) r
		JOIN multitenant.role_assignment a ON a.tenant_id = $1 AND a.is_group AND a.role_id = r.role_id
		WHERE a.expires_at IS NULL OR a.expires_at > statement_timestamp()
	UNION ALL
	SELECT r.path, NULL, NULL, 'the principal does not have this role' FROM multitenant._permitting_roles($1, $2) r;
END;
COMMENT ON FUNCTION multitenant._permission_elsewhere(uuid, text) IS
'Internal: groups that have the permission, and roles that permit it.';

CREATE FUNCTION multitenant.explain_permission(permission text, scope text DEFAULT NULL, principal text DEFAULT NULL)
RETURNS TABLE(is_granted boolean, path text, scope_id text, expires_at timestamptz, reason text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	asker record;
	tenant uuid;
	who text;
	is_operator boolean;
	may_review boolean;
BEGIN
	-- Security: also the check of the context, and of the permission's name.
	PERFORM multitenant.has_permission($1, $2);
	SELECT c.tenant_id, c.principal, c.kind INTO asker FROM multitenant._context() c;
	tenant := asker.tenant_id;
	who := coalesce($3, asker.principal);
	is_operator := asker.kind = 'supervised';
	may_review := NOT is_operator AND (multitenant.has_permission('access:review')
		OR (asker.principal IS NULL AND multitenant._has('superuser')));
	-- Security: what others may do is told to who reviews access alone.
	IF who IS DISTINCT FROM asker.principal AND NOT may_review THEN
		RAISE EXCEPTION 'permission denied: access:review'
			USING ERRCODE = '42501', HINT = 'Leave the principal out to have your own permission explained.';
	ELSIF who IS NULL THEN
		RETURN QUERY SELECT false, NULL::text, NULL::text, NULL::timestamptz, 'the context has no principal';
		RETURN;
	END IF;
	RETURN QUERY
		SELECT true, p.path, p.scope_id, p.expires_at, NULL::text
		FROM multitenant._permission_paths(tenant, who, is_operator, $1, $2) p
		WHERE p.obstacle IS NULL ORDER BY p.scope_id NULLS FIRST, p.path;
	IF FOUND THEN
		RETURN;
	END IF;
	RETURN QUERY
		SELECT false, p.path, p.scope_id, p.expires_at, p.obstacle
		FROM multitenant._permission_paths(tenant, who, is_operator, $1, $2) p ORDER BY p.path;
	IF FOUND THEN
		RETURN;
	END IF;
	-- Security: which roles and groups there are is for those who may see them.
	IF may_review OR (NOT is_operator AND multitenant.has_permission('role:read')) THEN
		RETURN QUERY
			SELECT false, e.path, e.scope_id, e.expires_at, coalesce(multitenant._standing_obstacle(tenant, who, is_operator), e.obstacle)
			FROM multitenant._permission_elsewhere(tenant, $1) e ORDER BY e.path;
		IF FOUND THEN
			RETURN;
		END IF;
	END IF;
	RETURN QUERY SELECT false, NULL::text, NULL::text, NULL::timestamptz,
		coalesce(multitenant._standing_obstacle(tenant, who, is_operator), 'nothing that the principal has permits it');
END
$$;
COMMENT ON FUNCTION multitenant.explain_permission(text, text, text) IS
'Why a principal (null: the current one) has the permission in a scope (null: in the whole tenant), or why not. Rows with is_granted: every way from the principal over groups, roles and their parents to a pattern that covers it, where and until when. Otherwise the ways that end before: reason says at what. With access:review or role:read also groups and roles that it would come with. For another principal one needs access:review; superusers without a principal may ask for everybody. Errors as has_permission(); 42501 without access:review.';
