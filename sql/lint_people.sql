/*
 * lint_people.sql
 *	  Findings about people and rights: too much in one hand, what nobody looks after, what is left over.
 *
 * Security: whoever reads findings comes from outside a tenant. Tenants and templates are named, people and a tenant's own
 * roles are counted.
 */

CREATE FUNCTION multitenant._lint_rights() RETURNS SETOF multitenant._finding
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	RETURN QUERY
	SELECT 'excluding_roles_held', format('%s:%s', x.tenant_id, x.pair), NULL::name, 'medium',
		format('%s member(s) of tenant %s have two roles that exclude each other%s.', count(DISTINCT x.principal), x.tenant_id,
			   coalesce(': ' || nullif(x.pair, 'own'), '')),
		'-- An administrator of the tenant sees them in multitenant.review_access() and takes one of the roles away.',
		jsonb_build_object('tenant', x.tenant_id, 'members', count(DISTINCT x.principal))
	FROM (
		WITH RECURSIVE carrier(excluding, role_id) AS (
			SELECT e.id, e.id FROM (SELECT x.role_id FROM multitenant.role_exclusion x UNION SELECT x.excluded_id FROM multitenant.role_exclusion x) e(id)
			UNION
			SELECT c.excluding, p.role_id FROM carrier c JOIN multitenant.role_parent p ON p.parent_id = c.role_id
		), held(tenant_id, excluding, is_group, name) AS (
			SELECT a.tenant_id, c.excluding, a.is_group, a.assignee FROM carrier c JOIN multitenant.role_assignment a ON a.role_id = c.role_id
			WHERE a.expires_at IS NULL OR a.expires_at > now()
			UNION
			SELECT h.tenant_id, h.excluding, m.is_group, m.member
			FROM held h JOIN multitenant.group_member m ON m.tenant_id = h.tenant_id AND m.group_name = h.name WHERE h.is_group
		)
		SELECT h.tenant_id, h.name AS principal, CASE WHEN e.tenant_id = '00000000-0000-0000-0000-000000000000'
			THEN least(r.name, o.name) || ' and ' || greatest(r.name, o.name) ELSE 'own' END AS pair
		FROM multitenant.role_exclusion e
		JOIN held h ON h.excluding = e.role_id AND NOT h.is_group AND e.tenant_id IN (h.tenant_id, '00000000-0000-0000-0000-000000000000')
		JOIN held k ON k.excluding = e.excluded_id AND NOT k.is_group AND k.tenant_id = h.tenant_id AND k.name = h.name
		JOIN multitenant.role r ON r.id = e.role_id JOIN multitenant.role o ON o.id = e.excluded_id) x
	GROUP BY x.tenant_id, x.pair;
	RETURN QUERY
	WITH RECURSIVE wild(role_id) AS (
		SELECT p.role_id FROM multitenant.role_permission p WHERE strpos(p.permission, '*') > 0
		UNION
		SELECT p.role_id FROM wild w JOIN multitenant.role_parent p ON p.parent_id = w.role_id
	)
	SELECT 'unlimited_machine_rights', a.tenant_id::text, NULL::name, 'medium',
		format('%s machine(s) have roles with a wildcard in tenant %s without an end.', count(DISTINCT a.assignee), a.tenant_id),
		'-- An administrator of the tenant gives them roles that name what they need, or an end.',
		jsonb_build_object('tenant', a.tenant_id, 'machines', count(DISTINCT a.assignee))
	FROM multitenant.role_assignment a JOIN multitenant.principal p ON p.id = a.assignee AND p.kind = 'machine'
	WHERE NOT a.is_group AND a.expires_at IS NULL AND a.tenant_id <> '00000000-0000-0000-0000-000000000000'
	  AND a.role_id IN (SELECT w.role_id FROM wild w)
	GROUP BY a.tenant_id;
	RETURN QUERY
	SELECT 'expired_assignment_left', a.tenant_id::text, NULL::name, 'info',
		format('%s assignment(s) of roles in tenant %s ended more than 30 days ago.', count(*), a.tenant_id),
		format('DELETE FROM multitenant.role_assignment WHERE tenant_id = %L AND expires_at < now() - interval ''30 days''', a.tenant_id),
		jsonb_build_object('tenant', a.tenant_id, 'assignments', count(*))
	FROM multitenant.role_assignment a WHERE a.expires_at < now() - interval '30 days' GROUP BY a.tenant_id;
	RETURN QUERY
	WITH RECURSIVE able(permission, role_id) AS (
		SELECT w.permission, p.role_id FROM multitenant.role_permission p
		JOIN (VALUES ('role:assign'), ('member:manage')) AS w(permission) ON multitenant._covers(p.permission, w.permission)
		UNION
		SELECT b.permission, p.role_id FROM able b JOIN multitenant.role_parent p ON p.parent_id = b.role_id
	), held(tenant_id, permission, is_group, name) AS (
		SELECT a.tenant_id, b.permission, a.is_group, a.assignee FROM able b JOIN multitenant.role_assignment a ON a.role_id = b.role_id
		WHERE a.scope_id IS NULL AND a.expires_at IS NULL
		UNION
		SELECT h.tenant_id, h.permission, m.is_group, m.member
		FROM held h JOIN multitenant.group_member m ON m.tenant_id = h.tenant_id AND m.group_name = h.name WHERE h.is_group
	), administered AS (
		SELECT h.tenant_id FROM held h
		JOIN multitenant.member m ON m.tenant_id = h.tenant_id AND m.principal = h.name AND m.state = 'active' AND m.expires_at IS NULL
		WHERE NOT h.is_group AND NOT EXISTS (SELECT FROM multitenant.principal p WHERE p.id = h.name AND p.state <> 'active') GROUP BY h.tenant_id, h.name HAVING count(DISTINCT h.permission) = 2
	)
	SELECT 'tenant_without_administrator', t.id::text, NULL::name, 'medium',
		format('Tenant %s has assigned roles, and no active member holds role:assign and member:manage in all of it without an end.', t.id),
		format('-- As a superuser, in a transaction: SELECT multitenant.use_tenant(%L::uuid); SELECT multitenant.assign_role(.., ''administrator'')', t.id),
		jsonb_build_object('tenant', t.id)
	FROM multitenant.tenant t
	WHERE t.state <> 'deleted' AND EXISTS (SELECT FROM multitenant.role_assignment a WHERE a.tenant_id = t.id)
	  AND t.id NOT IN (SELECT d.tenant_id FROM administered d);
	RETURN QUERY
	SELECT 'invitation_overdue', m.tenant_id::text, NULL::name, 'low',
		format('%s invitation(s) of tenant %s have run out.', count(*), m.tenant_id),
		format('DELETE FROM multitenant.member WHERE tenant_id = %L AND state = ''invited'' AND expires_at <= now()', m.tenant_id),
		jsonb_build_object('tenant', m.tenant_id, 'invitations', count(*))
	FROM multitenant.member m WHERE m.state = 'invited' AND m.expires_at <= now() GROUP BY m.tenant_id;
END
$$;

CREATE FUNCTION multitenant._lint_operators() RETURNS SETOF multitenant._finding
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	RETURN QUERY
	SELECT 'operator_role_too_wide', r.name::text, NULL::name, CASE WHEN w.has_wildcard THEN 'medium' ELSE 'low' END,
		format('%s operator(s) have the role "%s", which permits more than reading: %s.', count(*), r.name, w.more),
		'-- Assign them a role that permits reading what they look after; a supervised session writes nothing anyway.',
		jsonb_build_object('operators', count(*), 'tenants', count(DISTINCT o.tenant_id))
	FROM multitenant.operator o
	JOIN multitenant.role r ON r.id = o.role_id AND r.tenant_id = '00000000-0000-0000-0000-000000000000'
	CROSS JOIN LATERAL (
		SELECT string_agg(p.pattern, ', ' ORDER BY p.pattern) AS more, bool_or(split_part(p.pattern, ':', 2) = '*') AS has_wildcard
		FROM multitenant._role_patterns(o.role_id) AS p(pattern) WHERE split_part(p.pattern, ':', 2) NOT IN ('read', 'list')) w
	WHERE w.more IS NOT NULL GROUP BY r.name, w.more, w.has_wildcard;
	RETURN QUERY
	SELECT 'operator_is_member', o.tenant_id::text, NULL::name, 'medium',
		format('%s operator(s) of tenant %s are members of it, too: what they do as members is not supervised.', count(*), o.tenant_id),
		'-- Unassign the operator, or remove the member.', jsonb_build_object('tenant', o.tenant_id, 'operators', count(*))
	FROM multitenant.operator o JOIN multitenant.member m ON m.tenant_id = o.tenant_id AND m.principal = o.principal
	GROUP BY o.tenant_id;
END
$$;

-- Rows without what they belong to: a restore of parts, or a change past the functions. What comes back under the old name
-- has the old rights.
CREATE FUNCTION multitenant._lint_orphans() RETURNS SETOF multitenant._finding
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	place record;
	orphans bigint;
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	FOR place IN SELECT * FROM (VALUES
		('role_assignment', 'member', 'NOT x.is_group AND x.tenant_id <> ''00000000-0000-0000-0000-000000000000'' AND NOT EXISTS (SELECT FROM multitenant.member y WHERE y.tenant_id = x.tenant_id AND y.principal = x.assignee)'),
		('role_assignment', 'group', 'x.is_group AND NOT EXISTS (SELECT FROM multitenant.member_group y WHERE y.tenant_id = x.tenant_id AND y.name = x.assignee)'),
		('role_assignment', 'role', 'NOT EXISTS (SELECT FROM multitenant.role y WHERE y.id = x.role_id AND y.tenant_id IN (x.tenant_id, ''00000000-0000-0000-0000-000000000000''))'),
		('role_assignment', 'scope', 'x.scope_id IS NOT NULL AND NOT EXISTS (SELECT FROM multitenant.scope y WHERE y.tenant_id = x.tenant_id AND y.id = x.scope_id)'),
		('operator', 'role', 'NOT EXISTS (SELECT FROM multitenant.role y WHERE y.id = x.role_id AND y.tenant_id = ''00000000-0000-0000-0000-000000000000'')'),
		('operator', 'tenant', 'NOT EXISTS (SELECT FROM multitenant.tenant y WHERE y.id = x.tenant_id)'),
		('break_glass_rule', 'role', 'NOT EXISTS (SELECT FROM multitenant.role y WHERE y.id = x.role_id AND y.tenant_id IN (x.tenant_id, ''00000000-0000-0000-0000-000000000000''))'),
		('role_permission', 'role', 'NOT EXISTS (SELECT FROM multitenant.role y WHERE y.id = x.role_id AND y.tenant_id = x.tenant_id)'),
		('role_permission', 'permission', 'strpos(x.permission, ''*'') = 0 AND NOT EXISTS (SELECT FROM multitenant.permission y WHERE y.name = x.permission)'),
		('role_parent', 'role', 'NOT EXISTS (SELECT FROM multitenant.role y WHERE y.id = x.role_id AND y.tenant_id = x.tenant_id) OR NOT EXISTS (SELECT FROM multitenant.role y WHERE y.id = x.parent_id AND y.tenant_id IN (x.tenant_id, ''00000000-0000-0000-0000-000000000000''))'),
		('group_member', 'group', 'NOT EXISTS (SELECT FROM multitenant.member_group y WHERE y.tenant_id = x.tenant_id AND y.name = x.group_name)'),
		('group_member', 'member', 'NOT x.is_group AND NOT EXISTS (SELECT FROM multitenant.member y WHERE y.tenant_id = x.tenant_id AND y.principal = x.member)'),
		('member', 'tenant', 'NOT EXISTS (SELECT FROM multitenant.tenant y WHERE y.id = x.tenant_id)'),
		('role', 'tenant', 'x.tenant_id <> ''00000000-0000-0000-0000-000000000000'' AND NOT EXISTS (SELECT FROM multitenant.tenant y WHERE y.id = x.tenant_id)'),
		('scope', 'tenant', 'NOT EXISTS (SELECT FROM multitenant.tenant y WHERE y.id = x.tenant_id)'),
		('scope', 'scope', 'x.parent_id IS NOT NULL AND NOT EXISTS (SELECT FROM multitenant.scope y WHERE y.tenant_id = x.tenant_id AND y.id = x.parent_id)')
		) v(table_name, lost, condition)
	LOOP
		EXECUTE format('SELECT count(*) FROM multitenant.%I x WHERE %s', place.table_name, place.condition) INTO orphans;
		IF orphans > 0 THEN
			RETURN NEXT ROW('orphaned_rights', format('%s:%s', place.table_name, place.lost), NULL::name,
				CASE WHEN place.table_name IN ('role_assignment', 'operator', 'break_glass_rule') THEN 'medium' ELSE 'low' END,
				format('%s row(s) of %s belong to a %s that is gone.', orphans, place.table_name, place.lost),
				format('DELETE FROM multitenant.%I x WHERE %s', place.table_name, place.condition),
				jsonb_build_object('rows', orphans))::multitenant._finding;
		END IF;
	END LOOP;
END
$$;

-- Duties of the provider's own roles. The profile of a session is never the sum of two; what one person can be one after
-- the other is.
CREATE FUNCTION multitenant._lint_duties(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE reached(id, id_of) AS (
		SELECT r.id, r.id FROM unnest(s.roles) r WHERE r.can_login AND NOT r.is_superuser
		UNION
		SELECT c.id, m.granted FROM reached c JOIN multitenant._memberships() m ON m.member = c.id_of
	), duty AS MATERIALIZED (
		SELECT c.id, r.profile, r.name FROM reached c JOIN unnest(s.roles) r ON r.id = c.id_of
		WHERE r.is_recorded AND r.profile IN ('provisioner', 'operator', 'auditor', 'migrator')
	)
	SELECT 'excluding_profiles_reachable', r.name::text, NULL::name, 'medium',
		format('%s can be %s.', r.name, string_agg(format('%s (%s)', d.profile, d.name), ' and ' ORDER BY d.profile, d.name)),
		format('-- REVOKE one of these roles from %I: who changes, who looks after and who examines are different people.', r.name),
		jsonb_build_object('profiles', jsonb_agg(DISTINCT d.profile))
	FROM duty d JOIN unnest(s.roles) r ON r.id = d.id
	GROUP BY r.name HAVING count(DISTINCT d.profile) > 1
$$;
