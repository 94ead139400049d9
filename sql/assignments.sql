/*
 * assignments.sql
 *	  Scopes, and who has which role where: what a principal holds, that nobody gives what he does not hold, and that a
 *	  tenant keeps an administrator.
 *
 * Security: what is held is worked out here from the rows, not asked of the compiled rights: these answer whether, not
 * until when, and know no patterns. What break-glass or an operator's role adds is not held, so it cannot be given on.
 */

-- ---------------------------------------------------------------------------------------------------------------
-- What somebody holds
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._groups_above(tenant uuid, group_name text)
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(name) AS (
		SELECT $2 COLLATE "C"
		UNION
		SELECT m.group_name FROM up JOIN multitenant.group_member m
			ON m.tenant_id = $1 AND m.is_group AND m.member = up.name)
	SELECT up.name FROM up;
END;
COMMENT ON FUNCTION multitenant._groups_above(uuid, text) IS
'Internal: the group and every group that contains it.';

CREATE FUNCTION multitenant._members_below(tenant uuid, group_name text)
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE down(is_group, name) AS (
		SELECT true, $2 COLLATE "C"
		UNION
		SELECT m.is_group, m.member FROM down JOIN multitenant.group_member m
			ON m.tenant_id = $1 AND m.group_name = down.name
			WHERE down.is_group)
	SELECT down.name FROM down WHERE NOT down.is_group;
END;
COMMENT ON FUNCTION multitenant._members_below(uuid, text) IS
'Internal: the principals in a group and in the groups that it contains.';

CREATE FUNCTION multitenant._scopes_above(tenant uuid, scope text)
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(id) AS (
		SELECT s.id FROM multitenant.scope s WHERE s.tenant_id = $1 AND s.id = $2
		UNION
		SELECT s.parent_id FROM up JOIN multitenant.scope s ON s.tenant_id = $1 AND s.id = up.id
			WHERE s.parent_id IS NOT NULL)
	SELECT up.id FROM up;
END;
COMMENT ON FUNCTION multitenant._scopes_above(uuid, text) IS
'Internal: the scope and every scope that it lies in.';

CREATE FUNCTION multitenant._assignments_of(tenant uuid, principal text)
RETURNS SETOF multitenant.role_assignment
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT a.* FROM multitenant.role_assignment a
		WHERE a.tenant_id = $1 AND NOT a.is_group AND a.assignee = $2
		AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
	UNION ALL
	SELECT a.* FROM (
		SELECT DISTINCT g.name FROM multitenant.group_member m, LATERAL multitenant._groups_above($1, m.group_name) AS g(name)
		WHERE m.tenant_id = $1 AND NOT m.is_group AND m.member = $2) g
	JOIN multitenant.role_assignment a ON a.tenant_id = $1 AND a.is_group AND a.assignee = g.name
	WHERE a.expires_at IS NULL OR a.expires_at > clock_timestamp();
END;
COMMENT ON FUNCTION multitenant._assignments_of(uuid, text) IS
'Internal: what is assigned to a principal and to its groups and has not expired, whatever its state.';

CREATE FUNCTION multitenant._holdings(tenant uuid, principal text)
RETURNS TABLE(pattern text, scope_id text, expires_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT p.pattern, a.scope_id, least(a.expires_at, m.expires_at)
	FROM multitenant.member m,
	LATERAL multitenant._assignments_of($1, $2) a, LATERAL multitenant._role_patterns(a.role_id) AS p(pattern)
	WHERE m.tenant_id = $1 AND m.principal = $2 AND m.state = 'active' AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
	AND NOT EXISTS (SELECT FROM multitenant.principal w WHERE w.id = $2 AND w.state <> 'active');
END;
COMMENT ON FUNCTION multitenant._holdings(uuid, text) IS
'Internal: what an active member holds, where and until when.';

-- Security: delegation. A wildcard is held through a wildcard only: it permits also what will be added to the catalogue.
CREATE FUNCTION multitenant._require_held(patterns text[], scope text, until timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant.current_tenant();
	lacking text;
BEGIN
	IF multitenant._is_unlimited() THEN
		RETURN;
	END IF;
	WITH held AS MATERIALIZED (SELECT h.* FROM multitenant._holdings(tenant, multitenant.current_principal()) h),
	line AS MATERIALIZED (SELECT a.id FROM multitenant._scopes_above(tenant, $2) AS a(id))
	SELECT w.pattern INTO lacking FROM unnest($1) AS w(pattern)
		WHERE NOT EXISTS (
			SELECT FROM held h
			WHERE multitenant._covers(h.pattern, w.pattern)
			AND (h.scope_id IS NULL OR h.scope_id IN (SELECT l.id FROM line l))
			AND (h.expires_at IS NULL OR h.expires_at >= $3))
		ORDER BY w.pattern LIMIT 1;
	IF FOUND THEN
		PERFORM multitenant._audit('role.delegate', tenant, lacking, 'refused',
			jsonb_strip_nulls(jsonb_build_object('scope', $2, 'until', $3)));
		RAISE EXCEPTION 'you cannot give "%"', coalesce(lacking, 'null')
			USING ERRCODE = '42501',
			HINT = 'Everybody gives only what he holds himself: there or more widely, and at least as long. Break-glass does not count.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_held(text[], text, timestamptz) IS
'Internal: raises 42501 unless the current principal holds all of that in the scope (null: in the whole tenant), at least until then (null: without an end).';

CREATE FUNCTION multitenant._require_grantable(role uuid, scope text, until timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require_held(ARRAY(SELECT multitenant._role_patterns($1)), $2, $3);
END
$$;
COMMENT ON FUNCTION multitenant._require_grantable(uuid, text, timestamptz) IS
'Internal: raises 42501 unless the current principal holds everything that the role permits, with what it inherits, in the scope and at least until then.';

-- Security: who comes into a group gains what it has, and what the groups have that contain it.
CREATE FUNCTION multitenant._require_grantable_of_group(group_name text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant.current_tenant();
	gained multitenant.role_assignment;
BEGIN
	FOR gained IN SELECT a.* FROM multitenant.role_assignment a
		WHERE a.tenant_id = tenant AND a.is_group AND a.assignee IN (SELECT multitenant._groups_above(tenant, $1))
		AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
	LOOP
		PERFORM multitenant._require_grantable(gained.role_id, gained.scope_id, gained.expires_at);
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._require_grantable_of_group(text) IS
'Internal: raises 42501 unless the current principal could give everything that is assigned to the group and to those that contain it.';

-- Security: who has rights in a line of scopes gains them on what is put below it. From: where that was before, null: in
-- no scope.
CREATE FUNCTION multitenant._require_grantable_below(new_parent text, old_parent text, moved text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant.current_tenant();
	gained multitenant.role_assignment;
BEGIN
	FOR gained IN SELECT a.* FROM multitenant.role_assignment a
		WHERE a.tenant_id = tenant AND a.scope_id IN (
			SELECT multitenant._scopes_above(tenant, $1) EXCEPT SELECT multitenant._scopes_above(tenant, $2))
		AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
	LOOP
		PERFORM multitenant._require_grantable(gained.role_id, $3, gained.expires_at);
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._require_grantable_below(text, text, text) IS
'Internal: raises 42501 unless the current principal could give, on what is moved (null: what is in no scope yet), everything that is assigned at its new place and was not at its old one.';

-- ---------------------------------------------------------------------------------------------------------------
-- Administrators, and duties that are separate
-- ---------------------------------------------------------------------------------------------------------------

-- Read from the roles down to the people, so that only those few are looked at who can be one.
CREATE FUNCTION multitenant._administrators(tenant uuid)
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE assigned AS MATERIALIZED (
		SELECT a.role_id, a.is_group, a.assignee FROM multitenant.role_assignment a
		WHERE a.tenant_id = $1 AND a.scope_id IS NULL AND a.expires_at IS NULL),
	able AS MATERIALIZED (
		SELECT r.role_id, w.permission
		FROM (SELECT DISTINCT a.role_id FROM assigned a) r
		CROSS JOIN (VALUES ('role:assign'), ('member:manage')) AS w(permission)
		WHERE EXISTS (SELECT FROM multitenant._role_patterns(r.role_id) AS p(pattern) WHERE multitenant._covers(p.pattern, w.permission))),
	held(permission, is_group, name) AS (
		SELECT b.permission, a.is_group, a.assignee FROM able b JOIN assigned a ON a.role_id = b.role_id
		UNION
		SELECT h.permission, m.is_group, m.member
		FROM held h JOIN multitenant.group_member m ON m.tenant_id = $1 AND m.group_name = h.name
		WHERE h.is_group)
	SELECT h.name FROM held h
	JOIN multitenant.member m ON m.tenant_id = $1 AND m.principal = h.name AND m.state = 'active' AND m.expires_at IS NULL
	WHERE NOT h.is_group AND NOT EXISTS (SELECT FROM multitenant.principal w WHERE w.id = h.name AND w.state <> 'active')
	GROUP BY h.name HAVING count(DISTINCT h.permission) = 2;
END;
COMMENT ON FUNCTION multitenant._administrators(uuid) IS
'Internal: active members who hold role:assign and member:manage in the whole tenant, without an end.';

CREATE FUNCTION multitenant._has_administrator(tenant uuid)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM multitenant._administrators($1));
END;
COMMENT ON FUNCTION multitenant._has_administrator(uuid) IS
'Internal: has the tenant an administrator?';

-- Security: a tenant that nobody can administer any more would have to be helped from outside. Not _keep_managed(): who only
-- assigns roles must be able to take them from the last who only manages members.
CREATE FUNCTION multitenant._keep_administrator(tenant uuid, had_one boolean)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF $2 AND NOT multitenant._is_unlimited() AND NOT multitenant._has_administrator($1) THEN
		RAISE EXCEPTION 'the tenant would be left without an administrator'
			USING ERRCODE = '55000',
			HINT = 'Give somebody else a role that permits role:assign and member:manage first, in the whole tenant and without an end.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._keep_administrator(uuid, boolean) IS
'Internal: raises 55000 if the tenant had an administrator (_has_administrator() before the change) and has none now; superusers may do that.';

CREATE FUNCTION multitenant._excluding_roles(tenant uuid, principal text)
RETURNS TABLE(role_id uuid, excluded_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH held AS MATERIALIZED (
		SELECT DISTINCT c.id FROM multitenant._assignments_of($1, $2) a, LATERAL multitenant._role_closure(a.role_id) AS c(id))
	SELECT e.role_id, e.excluded_id FROM multitenant.role_exclusion e
	WHERE e.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
	AND e.role_id IN (SELECT h.id FROM held h) AND e.excluded_id IN (SELECT h.id FROM held h);
END;
COMMENT ON FUNCTION multitenant._excluding_roles(uuid, text) IS
'Internal: pairs of roles that a principal has although they exclude each other.';

-- Called after the change, under the lock. What was so before, with other roles, is for lint() to say.
CREATE FUNCTION multitenant._require_separate_duties(tenant uuid, principals text[], roles uuid[])
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given uuid[];
	clash record;
BEGIN
	given := ARRAY(SELECT DISTINCT c.id FROM unnest($3) AS r(id), LATERAL multitenant._role_closure(r.id) AS c(id));
	IF NOT EXISTS (SELECT FROM multitenant.role_exclusion e
				   WHERE e.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
				   AND (e.role_id = ANY (given) OR e.excluded_id = ANY (given))) THEN
		RETURN;
	END IF;
	SELECT w.principal, least(r.name, o.name) AS role, greatest(r.name, o.name) AS other INTO clash
		FROM (SELECT p.name FROM unnest($2) AS p(name)
			  UNION SELECT m.principal FROM multitenant.member m WHERE $2 IS NULL AND m.tenant_id = $1) AS w(principal),
		LATERAL multitenant._excluding_roles($1, w.principal) x
		JOIN multitenant.role r ON r.id = x.role_id JOIN multitenant.role o ON o.id = x.excluded_id
		WHERE x.role_id = ANY (given) OR x.excluded_id = ANY (given)
		ORDER BY 1, 2, 3 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'principal "%" would have the roles "%" and "%", which exclude each other', clash.principal, clash.role, clash.other
			USING ERRCODE = '55000', HINT = 'Take one of them away first, also from groups; the view role_exclusions lists what excludes what.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_separate_duties(uuid, text[], uuid[]) IS
'Internal: raises 55000 if one of the principals (null: of all members) has, as it is now, two roles that exclude each other, one of them through the roles given.';

-- ---------------------------------------------------------------------------------------------------------------
-- Scopes
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._require_scope(tenant uuid, scope text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF $2 IS NOT NULL AND NOT EXISTS (SELECT FROM multitenant.scope s WHERE s.tenant_id = $1 AND s.id = $2) THEN
		RAISE EXCEPTION 'there is no scope "%"', $2
			USING ERRCODE = '42704', HINT = 'The view multitenant.scopes lists them; create_scope() makes one.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_scope(uuid, text) IS
'Internal: raises 42704 unless the tenant has that scope, or it is null.';

CREATE FUNCTION multitenant.create_scope(id text, parent text DEFAULT NULL, kind text DEFAULT NULL, name text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('scope:manage', $2);
	new_id text := coalesce($1, gen_random_uuid()::text);
BEGIN
	IF octet_length(new_id) NOT BETWEEN 1 AND 255 OR new_id ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'invalid id of a scope'
			USING ERRCODE = '22023', HINT = 'Give what the scope column of your tables contains, as text: 1 to 255 bytes, no control characters.';
	END IF;
	PERFORM multitenant._require_scope(tenant, $2);
	-- Security: rows that carry this id already were covered by rights in the whole tenant only. An id that nobody could
	-- know has no rows.
	IF $1 IS NOT NULL THEN
		PERFORM multitenant._require_grantable_below($2, NULL, NULL);
	END IF;
	INSERT INTO multitenant.scope (tenant_id, id, parent_id, kind, name) VALUES (tenant, new_id, $2, $3, $4)
		ON CONFLICT ON CONSTRAINT scope_pkey DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'scope "%" exists already', new_id
			USING ERRCODE = '42710', HINT = 'move_scope() puts it elsewhere.';
	END IF;
	PERFORM multitenant._audit('scope.create', tenant, new_id, 'done', jsonb_strip_nulls(jsonb_build_object('parent', $2, 'kind', $3)));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_scope(text, text, text, text) IS
'Adds a part of the current tenant that rights can be limited to, and returns its id. id: what the scope column of rows contains, as text; null makes a new one. parent: the scope it lies in, null for none; kind, name: for people. Needs scope:manage in the parent. Rows may carry the id already: then whoever has rights in the parent gains them, so an id that is given also needs that the caller holds, in the whole tenant, what is assigned there. Errors: MT001; 42501 permission, or not held; 42704 no such parent; 42710 exists already; 22023 invalid id.';

CREATE FUNCTION multitenant.move_scope(id text, parent text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('scope:manage');
	old_parent text;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the scope');
	PERFORM multitenant._require_scope(tenant, $1);
	PERFORM multitenant._require_scope(tenant, $2);
	-- Under the lock of the tenant: nobody else moves the other half of a cycle.
	IF $1 IN (SELECT multitenant._scopes_above(tenant, $2)) THEN
		RAISE EXCEPTION 'scope "%" would lie in itself', $1
			USING ERRCODE = '22023', HINT = 'The new parent is a part of it.';
	END IF;
	SELECT s.parent_id INTO old_parent FROM multitenant.scope s WHERE s.tenant_id = tenant AND s.id = $1;
	PERFORM multitenant._require_grantable_below($2, old_parent, $1);
	UPDATE multitenant.scope s SET parent_id = $2 WHERE s.tenant_id = tenant AND s.id = $1;
	PERFORM multitenant._audit('scope.move', tenant, $1, 'done', jsonb_build_object('from', old_parent, 'to', $2));
END
$$;
COMMENT ON FUNCTION multitenant.move_scope(text, text) IS
'Puts a scope of the current tenant, with what lies in it, into another (null: into none). Whoever has rights there gains them on it, whoever had them through the old place loses them. Needs scope:manage in the whole tenant, and that the caller holds on the moved scope what is assigned at the new place. Errors: MT001; 42501 permission, or not held; 42704 no such scope; 22023 it would lie in itself.';

CREATE FUNCTION multitenant.drop_scope(id text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant.current_tenant();
	old_parent text;
BEGIN
	SELECT s.parent_id INTO old_parent FROM multitenant.scope s WHERE s.tenant_id = tenant AND s.id = $1;
	-- Security: '' is no scope, so only rights in the whole tenant cover it; and who is refused does not learn by another
	-- answer whether there is such a scope.
	tenant := multitenant._change_rights('scope:manage', coalesce(old_parent, ''));
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the scope');
	-- Security: somewhere else, now that nobody moves it any more, another permission counts.
	PERFORM FROM multitenant.scope s WHERE s.tenant_id = tenant AND s.id = $1 AND s.parent_id IS DISTINCT FROM old_parent;
	IF FOUND THEN
		RAISE EXCEPTION 'scope "%" is being moved', $1
			USING ERRCODE = '55000', HINT = 'Try again.';
	END IF;
	PERFORM multitenant._require_scope(tenant, $1);
	IF EXISTS (SELECT FROM multitenant.scope s WHERE s.tenant_id = tenant AND s.parent_id = $1)
	   OR EXISTS (SELECT FROM multitenant.role_assignment a WHERE a.tenant_id = tenant AND a.scope_id = $1
				  AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())) THEN
		RAISE EXCEPTION 'scope "%" is in use', $1
			USING ERRCODE = '55000', HINT = 'Move or drop what lies in it, and unassign the roles that are assigned there.';
	END IF;
	-- What has expired. Security: whoever has it may be leaving, and is not waited for.
	PERFORM multitenant._claim_member(tenant, a.assignee) FROM multitenant.role_assignment a
		WHERE a.tenant_id = tenant AND a.scope_id = $1 AND NOT a.is_group;
	DELETE FROM multitenant.role_assignment a WHERE a.tenant_id = tenant AND a.scope_id = $1;
	DELETE FROM multitenant.scope s WHERE s.tenant_id = tenant AND s.id = $1;
	PERFORM multitenant._audit('scope.drop', tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_scope(text) IS
'Removes a scope of the current tenant; rows that carry its id are covered by rights in the whole tenant only, then. Needs scope:manage in the scope that it lies in. Errors: MT001; 42501 permission; 42704 no such scope; 55000 scopes lie in it, or roles are assigned there.';

-- ---------------------------------------------------------------------------------------------------------------
-- Assigning
-- ---------------------------------------------------------------------------------------------------------------

-- The caller holds the role (_hold_role()), and has asked who may behind that.
CREATE FUNCTION multitenant._put_assignment(
	tenant uuid, is_group boolean, assignee text, role multitenant.role, scope text, expires_at timestamptz, reason text)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- Null where somebody helps from outside: the tenant reads that column.
	given_by text := multitenant.current_principal();
	new_id uuid;
BEGIN
	IF $6 <= clock_timestamp() THEN
		RAISE EXCEPTION 'expires_at has passed'
			USING ERRCODE = '22023', HINT = 'Give a time in the future, or none.';
	END IF;
	INSERT INTO multitenant.role_assignment AS a (tenant_id, is_group, assignee, role_id, scope_id, expires_at, assigned_by, reason)
		VALUES ($1, $2, $3, $4.id, $5, $6, given_by, $7)
		ON CONFLICT ON CONSTRAINT role_assignment_key DO UPDATE
		SET expires_at = excluded.expires_at, assigned_by = excluded.assigned_by, reason = excluded.reason
		RETURNING a.id INTO new_id;
	PERFORM multitenant._audit('role.assign', nullif($1, '00000000-0000-0000-0000-000000000000'), $3, 'done',
		jsonb_strip_nulls(jsonb_build_object('role', $4.name, 'group', nullif($2, false), 'scope', $5, 'expires_at', $6, 'reason', $7)));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant._put_assignment(uuid, boolean, text, multitenant.role, text, timestamptz, text) IS
'Internal: assigns a role, or changes until when it is assigned.';

CREATE FUNCTION multitenant._assign(is_group boolean, assignee text, role text, scope text, expires_at timestamptz, reason text)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:assign', $4);
	had_administrator boolean := multitenant._has_administrator(tenant);
	until timestamptz := nullif($5, 'infinity');
	given multitenant.role;
	new_id uuid;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($2, $3), 'the principal or group, and the role');
	-- The lock: whoever is just leaving, without the turn, must not come to be the administrator that is counted on.
	IF NOT $1 THEN
		PERFORM multitenant._claim_member(tenant, $2);
	END IF;
	IF NOT $1 AND NOT EXISTS (SELECT FROM multitenant.member m WHERE m.tenant_id = tenant AND m.principal = $2) THEN
		RAISE EXCEPTION 'the principal is not a member of this tenant'
			USING ERRCODE = 'MT008', HINT = 'Invite it first; only members have roles.';
	ELSIF $1 AND NOT EXISTS (SELECT FROM multitenant.member_group g WHERE g.tenant_id = tenant AND g.name = $2) THEN
		RAISE EXCEPTION 'there is no group "%"', $2
			USING ERRCODE = '42704', HINT = 'create_group() makes one.';
	END IF;
	given := multitenant._find_role(tenant, $3);
	PERFORM multitenant._hold_role(given);
	PERFORM multitenant._require_scope(tenant, $4);
	PERFORM multitenant._require_grantable(given.id, $4, until);
	new_id := multitenant._put_assignment(tenant, $1, $2, given, $4, until, $6);
	PERFORM multitenant._require_separate_duties(tenant,
		CASE WHEN $1 THEN ARRAY(SELECT multitenant._members_below(tenant, $2)) ELSE ARRAY[$2] END, ARRAY[given.id]);
	-- An assignment that gets an end may have been the last without one.
	PERFORM multitenant._keep_administrator(tenant, had_administrator);
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant._assign(boolean, text, text, text, timestamptz, text) IS
'Internal: assign_role() and assign_role_to_group().';

CREATE FUNCTION multitenant.assign_role(
	principal text, role text, scope text DEFAULT NULL, expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN multitenant._assign(false, $1, $2, $3, $4, $5);
END
$$;
COMMENT ON FUNCTION multitenant.assign_role(text, text, text, timestamptz, text) IS
'Gives a member of the current tenant a role and returns the id of the assignment. role: its name or id, also of a template; scope: where, null: in the whole tenant; expires_at: until when, null: without an end. Assigning again changes end and reason. Needs role:assign in the scope, and that the caller holds everything the role permits, there and as long. Errors: MT001; 42501 permission, or not held; MT008 not a member; 42704 no such role or scope; 22023 end in the past; 55000 roles that exclude each other, or the last administrator would get an end.';

CREATE FUNCTION multitenant.assign_role_to_group(
	group_name text, role text, scope text DEFAULT NULL, expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN multitenant._assign(true, $1, $2, $3, $4, $5);
END
$$;
COMMENT ON FUNCTION multitenant.assign_role_to_group(text, text, text, timestamptz, text) IS
'As assign_role(), for everybody in a group of the current tenant and in the groups that it contains, now and later. Errors: as assign_role(); 42704 no such group.';

CREATE FUNCTION multitenant._unassign(is_group boolean, assignee text, role text, scope text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:assign', $4);
	had_administrator boolean := multitenant._has_administrator(tenant);
	taken multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($2, $3), 'the principal or group, and the role');
	taken := multitenant._find_role(tenant, $3);
	IF NOT $1 THEN
		PERFORM multitenant._claim_member(tenant, $2);
	END IF;
	-- Security: a role and a template of one name go together; else whoever took the one would think both gone.
	DELETE FROM multitenant.role_assignment a
		WHERE a.tenant_id = tenant AND a.is_group = $1 AND a.assignee = $2
		AND a.role_id IN (SELECT r.id FROM multitenant.role r
						  WHERE r.tenant_id IN (tenant, '00000000-0000-0000-0000-000000000000') AND (r.name = $3 OR r.id::text = lower($3)))
		AND a.scope_id IS NOT DISTINCT FROM $4;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the role "%" is not assigned to "%" there', taken.name, $2
			USING ERRCODE = '42704', HINT = 'Name the scope as it was assigned; the view multitenant.assignments lists them.';
	END IF;
	PERFORM multitenant._keep_administrator(tenant, had_administrator);
	PERFORM multitenant._audit('role.unassign', tenant, $2, 'done',
		jsonb_strip_nulls(jsonb_build_object('role', taken.name, 'group', nullif($1, false), 'scope', $4)));
END
$$;
COMMENT ON FUNCTION multitenant._unassign(boolean, text, text, text) IS
'Internal: unassign_role() and unassign_role_from_group().';

CREATE FUNCTION multitenant.unassign_role(principal text, role text, scope text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._unassign(false, $1, $2, $3);
END
$$;
COMMENT ON FUNCTION multitenant.unassign_role(text, text, text) IS
'Takes a role from a principal of the current tenant where it was assigned (scope null: in the whole tenant), by a name that a role and a template share both; it counts for the next statement of every session. Needs role:assign in the scope; what the role permits, the caller need not hold. Errors: MT001; 42501 permission; 42704 no such role, or not assigned there; 55000 the tenant would be left without an administrator.';

CREATE FUNCTION multitenant.unassign_role_from_group(group_name text, role text, scope text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._unassign(true, $1, $2, $3);
END
$$;
COMMENT ON FUNCTION multitenant.unassign_role_from_group(text, text, text) IS
'As unassign_role(), for a group. Errors: as unassign_role().';

-- ---------------------------------------------------------------------------------------------------------------
-- Roles of the system
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant.assign_system_role(principal text, role text, expires_at timestamptz DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given multitenant.role;
BEGIN
	PERFORM multitenant._require('superuser', 'assigning a role of the system');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'principal and role');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	IF NOT EXISTS (SELECT FROM multitenant.principal p WHERE p.id = $1) THEN
		RAISE EXCEPTION 'there is no principal "%"', $1
			USING ERRCODE = '42704', HINT = 'create_principal() makes one known.';
	END IF;
	given := multitenant._find_role('00000000-0000-0000-0000-000000000000', $2);
	PERFORM multitenant._hold_role(given);
	RETURN multitenant._put_assignment('00000000-0000-0000-0000-000000000000', false, $1, given, NULL, nullif($3, 'infinity'), NULL);
END
$$;
COMMENT ON FUNCTION multitenant.assign_system_role(text, text, timestamptz) IS
'Gives a principal a template as a role of the system: an answer to questions about the provider''s own affairs, asked without a tenant. It permits nothing inside any tenant. Superusers only. Errors: 42501, 42704 no such principal or template, 22023 end in the past.';

CREATE FUNCTION multitenant.unassign_system_role(principal text, role text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	taken multitenant.role;
BEGIN
	PERFORM multitenant._require('superuser', 'unassigning a role of the system');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'principal and role');
	taken := multitenant._find_role('00000000-0000-0000-0000-000000000000', $2);
	DELETE FROM multitenant.role_assignment a
		WHERE a.tenant_id = '00000000-0000-0000-0000-000000000000' AND NOT a.is_group AND a.assignee = $1 AND a.role_id = taken.id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the role "%" is not assigned to "%"', taken.name, $1
			USING ERRCODE = '42704', HINT = 'Nothing was changed; check principal and role.';
	END IF;
	PERFORM multitenant._audit('role.unassign', NULL, $1, 'done', jsonb_build_object('role', taken.name));
END
$$;
COMMENT ON FUNCTION multitenant.unassign_system_role(text, text) IS
'Ends what assign_system_role() began. Superusers only. Errors: 42501, 42704 no such template, or not assigned.';

-- ---------------------------------------------------------------------------------------------------------------
-- What people see of it
-- ---------------------------------------------------------------------------------------------------------------

CREATE VIEW multitenant.scopes WITH (security_barrier = true) AS
	SELECT s.id, s.parent_id, s.kind, s.name, s.since
	FROM multitenant.scope s WHERE s.tenant_id = (SELECT multitenant._require_permission('role:read'));
COMMENT ON VIEW multitenant.scopes IS
'The tree of scopes of the current tenant. Needs role:read; errors: MT001, 42501.';

CREATE VIEW multitenant.assignments WITH (security_barrier = true) AS
	SELECT a.id, CASE WHEN NOT a.is_group THEN a.assignee END AS principal, CASE WHEN a.is_group THEN a.assignee END AS group_name,
		r.name AS role, a.role_id, a.scope_id, a.expires_at, coalesce(a.expires_at <= clock_timestamp(), false) AS is_expired,
		a.assigned_by, a.reason, a.since
	FROM multitenant.role_assignment a LEFT JOIN multitenant.role r ON r.id = a.role_id
	WHERE a.tenant_id = (SELECT multitenant._require_permission('role:read'));
COMMENT ON VIEW multitenant.assignments IS
'Who has been assigned which role of the current tenant: a principal or a group, where (scope_id null: in the whole tenant), until when, by whom. Needs role:read; errors: MT001, 42501.';
