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

-- Everything here walks over ids, each once, and remembers one way on from each: people can make graphs of roles, groups
-- and scopes with more ways through them than there is room for.

-- As src/rbac/ decides it: a scope in a circle is in no tree, and what hangs on it begins there. UNION yields the chain in
-- the order in which it finds it.
CREATE FUNCTION multitenant._scope_path(tenant uuid, scope text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(id, parent_id) AS (
		SELECT s.id, s.parent_id FROM multitenant.scope s WHERE s.tenant_id = $1 AND s.id = $2
		UNION
		SELECT s.id, s.parent_id FROM up JOIN multitenant.scope s ON s.tenant_id = $1 AND s.id = up.parent_id)
	SELECT coalesce(p.path[:array_position(p.path, p.above) - 1], p.path)
		FROM (SELECT array_agg(u.id ORDER BY u.n) AS path, (array_agg(u.parent_id ORDER BY u.n DESC))[1] AS above
			FROM (SELECT up.id, up.parent_id, row_number() OVER () AS n FROM up) u) p;
END;
COMMENT ON FUNCTION multitenant._scope_path(uuid, text) IS
'Internal: the scope and those above it, upwards; null or empty if it is not in the tree.';

-- Found from the patterns down to the roles that inherit them, the nearest first: so the way on from a role is to a parent
-- that was found before it.
CREATE FUNCTION multitenant._role_ways(tenant uuid, permission text)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE own AS MATERIALIZED (
		SELECT r.id, r.tenant_id, r.name, min(p.permission) AS pattern FROM multitenant.role r
			JOIN multitenant.role_permission p ON p.role_id = r.id AND p.tenant_id = r.tenant_id
			WHERE r.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000') AND multitenant._covers(p.permission, $2)
			GROUP BY r.id),
	able(id, tenant_id, name) AS (
		SELECT o.id, o.tenant_id, o.name FROM own o
		UNION
		SELECT r.id, r.tenant_id, r.name FROM able
			JOIN multitenant.role_parent p ON p.parent_id = able.id
			JOIN multitenant.role r ON r.id = p.role_id AND r.tenant_id = p.tenant_id
			WHERE r.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
				AND able.tenant_id IN (r.tenant_id, '00000000-0000-0000-0000-000000000000')),
	found AS MATERIALIZED (
		SELECT able.id, able.tenant_id, able.name, row_number() OVER () AS n FROM able),
	way AS (
		SELECT DISTINCT ON (f.id) f.id, p.parent_id FROM found f
			JOIN multitenant.role_parent p ON p.role_id = f.id AND p.tenant_id = f.tenant_id
			JOIN found a ON a.id = p.parent_id AND a.n < f.n AND a.tenant_id IN (f.tenant_id, '00000000-0000-0000-0000-000000000000')
			ORDER BY f.id, a.n)
	SELECT coalesce(jsonb_object_agg(f.id, jsonb_build_array(f.name, CASE WHEN o.pattern IS NULL THEN w.parent_id END, o.pattern)), '{}')
		FROM found f LEFT JOIN own o ON o.id = f.id LEFT JOIN way w ON w.id = f.id;
END;
COMMENT ON FUNCTION multitenant._role_ways(uuid, text) IS
'Internal: the roles of the tenant and the templates that permit it, by id: name, the parent that it comes from by the shortest way, or the pattern of its own.';

CREATE FUNCTION multitenant._role_way(ways jsonb, role uuid)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id text := $2::text;
	step jsonb;
	names text[] := '{}';
BEGIN
	LOOP
		step := $1 -> id;
		EXIT WHEN step IS NULL;
		names := array_append(names, 'role ' || (step ->> 0));
		id := step ->> 1;
		IF id IS NULL THEN
			names := array_append(names, step ->> 2);
			EXIT;
		END IF;
	END LOOP;
	RETURN array_to_string(names, ' > ');
END
$$;
COMMENT ON FUNCTION multitenant._role_way(jsonb, uuid) IS
'Internal: the way from a role to its pattern, out of what _role_ways() has found.';

CREATE FUNCTION multitenant._group_ways(tenant uuid, principal text)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE direct AS MATERIALIZED (
		SELECT g.group_name AS name FROM multitenant.group_member g WHERE g.tenant_id = $1 AND NOT g.is_group AND g.member = $2),
	up(name) AS (
		SELECT d.name FROM direct d
		UNION
		SELECT g.group_name FROM up JOIN multitenant.group_member g ON g.tenant_id = $1 AND g.is_group AND g.member = up.name),
	found AS MATERIALIZED (
		SELECT up.name, row_number() OVER () AS n FROM up),
	way AS (
		SELECT DISTINCT ON (f.name) f.name, b.name AS below FROM found b
			JOIN multitenant.group_member g ON g.tenant_id = $1 AND g.is_group AND g.member = b.name
			JOIN found f ON f.name = g.group_name AND b.n < f.n
			ORDER BY f.name, b.n)
	SELECT coalesce(jsonb_object_agg(f.name, CASE WHEN d.name IS NULL THEN w.below END), '{}')
		FROM found f LEFT JOIN direct d ON d.name = f.name LEFT JOIN way w ON w.name = f.name;
END;
COMMENT ON FUNCTION multitenant._group_ways(uuid, text) IS
'Internal: the groups that a principal is in, each with the group in it that the shortest way comes from; null: the principal itself.';

CREATE FUNCTION multitenant._group_way(ways jsonb, group_name text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := $2;
	names text[] := '{}';
BEGIN
	WHILE name IS NOT NULL LOOP
		names := array_append(names, 'group ' || name);
		name := $1 ->> name;
	END LOOP;
	RETURN (SELECT string_agg(u.name, ' > ' ORDER BY u.n DESC) FROM unnest(names) WITH ORDINALITY AS u(name, n));
END
$$;
COMMENT ON FUNCTION multitenant._group_way(jsonb, text) IS
'Internal: the way from the principal to a group, out of what _group_ways() has found.';

-- Everything that could give the principal a role in the tenant, whether it counts now or not.
CREATE FUNCTION multitenant._role_sources(tenant uuid, principal text, is_operator boolean, groups jsonb)
RETURNS TABLE(role_id uuid, via text, group_name text, scope_id text, expires_at timestamptz, obstacle text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT a.role_id, format('principal %s', $2), NULL, a.scope_id, a.expires_at, NULL FROM multitenant.role_assignment a
		WHERE NOT $3 AND a.tenant_id = $1 AND NOT a.is_group AND a.assignee = $2
	UNION ALL
	SELECT a.role_id, format('principal %s', $2), a.assignee, a.scope_id, a.expires_at, NULL
		FROM jsonb_object_keys($4) AS g(name)
		JOIN multitenant.role_assignment a ON a.tenant_id = $1 AND a.is_group AND a.assignee = g.name
		WHERE NOT $3
	UNION ALL
	SELECT b.role_id, format('principal %s > break-glass', $2), NULL, NULL, b.ends_at,
			CASE WHEN b.holds_from IS NULL OR b.holds_from > clock_timestamp() THEN 'break-glass does not hold yet' END
		FROM multitenant.break_glass b
		WHERE NOT $3 AND b.tenant_id = $1 AND b.principal = $2 AND b.closed_at IS NULL AND b.ends_at > clock_timestamp()
	UNION ALL
	SELECT o.role_id, format('operator %s', $2), NULL, NULL, o.expires_at,
			CASE WHEN NOT EXISTS (SELECT FROM multitenant.master_tenant l WHERE l.tenant_id = $1 AND l.master_id = o.master_id)
				THEN 'the master account does not look after this tenant' END
		FROM multitenant.operator o WHERE $3 AND o.tenant_id = $1 AND o.principal = $2;
END;
COMMENT ON FUNCTION multitenant._role_sources(uuid, text, boolean, jsonb) IS
'Internal: assignments, groups'' assignments and break-glass of a principal, or the role of an operator.';

-- Why nothing that is assigned to him counts; null if it does.
CREATE FUNCTION multitenant._standing_obstacle(tenant uuid, principal text, is_operator boolean)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT CASE
		WHEN NOT $3 AND m.principal IS NULL THEN 'the principal is not a member'
		-- Security: of whom a tenant has only invited it learns nothing that others know.
		WHEN NOT $3 AND m.state = 'invited' THEN 'the member is invited'
		WHEN p.state <> 'active' THEN 'the principal is ' || p.state
		WHEN $3 THEN NULL
		WHEN m.state <> 'active' THEN 'the member is ' || m.state
		WHEN m.expires_at <= clock_timestamp() THEN 'the membership has expired' END
	FROM (SELECT) one
	LEFT JOIN multitenant.principal p ON p.id = $2
	LEFT JOIN multitenant.member m ON m.tenant_id = $1 AND m.principal = $2;
END;
COMMENT ON FUNCTION multitenant._standing_obstacle(uuid, text, boolean) IS
'Internal: why a principal has no rights at all in the tenant, null if it may have some.';

-- What begins with the principal: what grants it; if nothing does, what ends before. A hundred of them at most.
CREATE FUNCTION multitenant._permission_paths(tenant uuid, principal text, is_operator boolean, permission text, scope text)
RETURNS TABLE(path text, scope_id text, expires_at timestamptz, obstacle text)
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	roles jsonb := multitenant._role_ways($1, $4);
	groups jsonb := CASE WHEN $3 THEN '{}' ELSE multitenant._group_ways($1, $2) END;
	wanted text[] := multitenant._scope_path($1, $5);
	standing text := multitenant._standing_obstacle($1, $2, $3);
	source record;
	is_granted boolean := false;
BEGIN
	FOR source IN
		SELECT f.*, f.obstacle IS NULL AND (f.scope_id IS NULL OR f.place IS NOT NULL) AS grants
		FROM (SELECT s.role_id, s.via, s.group_name, s.scope_id, s.expires_at, t.place, CASE
				WHEN standing IS NOT NULL THEN standing
				WHEN s.obstacle IS NOT NULL THEN s.obstacle
				WHEN s.expires_at <= clock_timestamp() THEN 'it has expired' END AS obstacle
			FROM multitenant._role_sources($1, $2, $3, groups) s
			LEFT JOIN unnest(wanted) WITH ORDINALITY AS t(id, place) ON t.id = s.scope_id
			WHERE roles ? s.role_id::text) f
		ORDER BY grants DESC, f.scope_id NULLS FIRST, f.group_name NULLS FIRST, f.role_id LIMIT 100
	LOOP
		is_granted := is_granted OR source.grants;
		EXIT WHEN is_granted AND NOT source.grants;
		path := concat_ws(' > ', source.via, multitenant._group_way(groups, source.group_name), multitenant._role_way(roles, source.role_id),
			'scope ' || coalesce(array_to_string(wanted[:source.place], ' in '), source.scope_id));
		scope_id := source.scope_id;
		expires_at := source.expires_at;
		obstacle := CASE
			WHEN source.obstacle IS NOT NULL THEN source.obstacle
			WHEN source.grants THEN NULL
			WHEN coalesce(cardinality(multitenant._scope_path($1, source.scope_id)), 0) = 0 THEN 'it is held in a scope that is not in the tree'
			WHEN $5 IS NULL THEN 'it is held in this scope, not in the whole tenant'
			WHEN coalesce(cardinality(wanted), 0) = 0 THEN 'the scope that was asked for is not in the tree'
			ELSE 'it is held in another scope' END;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._permission_paths(uuid, text, boolean, text, text) IS
'Internal: what gives a principal the permission; if nothing does, what keeps it from doing so.';

-- What others have that would give it.
CREATE FUNCTION multitenant._permission_elsewhere(tenant uuid, permission text)
RETURNS TABLE(path text, scope_id text, expires_at timestamptz, obstacle text)
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	roles jsonb := multitenant._role_ways($1, $2);
BEGIN
	RETURN QUERY
	SELECT format('group %s > %s%s', g.assignee, multitenant._role_way(roles, g.role_id), ' > scope ' || g.scope_id), g.scope_id, g.expires_at,
			'the principal is not in this group'
		FROM (SELECT a.assignee, a.role_id, a.scope_id, a.expires_at FROM multitenant.role_assignment a
			WHERE a.tenant_id = $1 AND a.is_group AND roles ? a.role_id::text AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
			ORDER BY a.assignee, a.scope_id NULLS FIRST, a.role_id LIMIT 100) g;
	RETURN QUERY
	SELECT multitenant._role_way(roles, k.id), NULL::text, NULL::timestamptz, 'the principal does not have this role'
		FROM (SELECT r.id::uuid FROM jsonb_each(roles) AS r(id, way) ORDER BY r.way ->> 0, r.id LIMIT 100) k;
END
$$;
COMMENT ON FUNCTION multitenant._permission_elsewhere(uuid, text) IS
'Internal: groups that have the permission, and roles that permit it, a hundred of each at most.';

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
		SELECT p.obstacle IS NULL, p.path, p.scope_id, p.expires_at, p.obstacle
		FROM multitenant._permission_paths(tenant, who, is_operator, $1, $2) p
		ORDER BY CASE WHEN p.obstacle IS NULL THEN p.scope_id END NULLS FIRST, p.path;
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
'Why a principal (null: the current one) has the permission in a scope (null: in the whole tenant), or why not. Rows with is_granted: for each assignment that gives it, the shortest way from the principal over groups, roles and their parents to a pattern that covers it, where and until when. Otherwise the ways that end before: reason says at what. With access:review or role:read also groups and roles that it would come with. At most a hundred rows of each. For another principal one needs access:review; superusers without a principal may ask for everybody. Errors as has_permission(); 42501 without access:review.';
