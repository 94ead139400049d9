/*
 * access_review.sql
 *	  Who has what, and who had it then.
 *
 * A tenant reviews its own people. Who looks after tenants from outside learns how many have which role, never who.
 */

-- The rows of a table of rights as they were: those that are there since, and those that have gone since.
CREATE FUNCTION multitenant._rights_as_of(table_name text, tenant uuid, at timestamptz)
RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- Of the tenant by index: other tenants have any number of rows. The catalogue of permissions is everybody's.
	RETURN QUERY EXECUTE format('SELECT to_jsonb(t) FROM multitenant.%I t WHERE %s t.since <= $2', $1,
		CASE WHEN $1 <> 'permission' THEN 't.tenant_id IN ($1, $3) AND' ELSE '' END)
		USING $2, $3, '00000000-0000-0000-0000-000000000000'::uuid;
	RETURN QUERY
		SELECT h.row_data FROM multitenant.rights_history h
		WHERE h.table_name = $1 AND h.tenant_id IN ($2, '00000000-0000-0000-0000-000000000000')
		AND h.valid_from <= $3 AND h.valid_to > $3;
END
$$;
COMMENT ON FUNCTION multitenant._rights_as_of(text, uuid, timestamptz) IS
'Internal: the rows of one table of rights at a time, of a tenant and of none.';

CREATE FUNCTION multitenant.access_as_of(principal text, at timestamptz)
RETURNS TABLE(permission text, scope_id text, via text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid;
BEGIN
	-- Security: about oneself one may always ask, about others with the permission.
	IF $1 = multitenant.current_principal() THEN
		tenant := multitenant._require_own_tenant('looking back at rights');
	ELSE
		tenant := multitenant._require_permission('access:review');
	END IF;
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'principal and time');
	IF $2 > clock_timestamp() THEN
		RAISE EXCEPTION 'the time has not come'
			USING ERRCODE = '22023', HINT = 'has_permission_of() and review_access() tell what is now.';
	END IF;
	-- Who was not known was active.
	IF EXISTS (SELECT FROM multitenant.principal p WHERE p.id = $1 AND p.state <> 'active' AND p.since <= $2)
	   OR EXISTS (SELECT FROM multitenant.rights_history h
				  WHERE h.table_name = 'principal' AND h.row_data ->> 'id' = $1 AND h.row_data ->> 'state' <> 'active' AND h.valid_from <= $2 AND h.valid_to > $2)
	   OR NOT EXISTS (SELECT FROM multitenant._rights_as_of('member', tenant, $2) AS m(r)
					  WHERE m.r ->> 'principal' = $1 AND m.r ->> 'state' = 'active'
					  AND coalesce((m.r ->> 'expires_at')::timestamptz > $2, true)) THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH RECURSIVE gm AS MATERIALIZED (
		SELECT g.* FROM multitenant._rights_as_of('group_member', tenant, $2) AS r(x),
			jsonb_populate_record(NULL::multitenant.group_member, r.x) g),
	groups(name) AS (
		SELECT gm.group_name FROM gm WHERE NOT gm.is_group AND gm.member = $1
		UNION
		SELECT gm.group_name FROM groups JOIN gm ON gm.is_group AND gm.member = groups.name),
	assigned AS MATERIALIZED (
		SELECT DISTINCT a.* FROM multitenant._rights_as_of('role_assignment', tenant, $2) AS r(x),
			jsonb_populate_record(NULL::multitenant.role_assignment, r.x) a
		WHERE a.tenant_id = tenant AND coalesce(a.expires_at > $2, true)
		AND CASE WHEN a.is_group THEN a.assignee IN (SELECT g.name FROM groups g) ELSE a.assignee = $1 END),
	rp AS MATERIALIZED (
		SELECT p.* FROM multitenant._rights_as_of('role_parent', tenant, $2) AS r(x),
			jsonb_populate_record(NULL::multitenant.role_parent, r.x) p),
	closed(assigned_id, id) AS (
		SELECT DISTINCT a.role_id, a.role_id FROM assigned a
		UNION
		SELECT c.assigned_id, rp.parent_id FROM closed c JOIN rp ON rp.role_id = c.id),
	role AS MATERIALIZED (
		SELECT o.id, o.name FROM multitenant._rights_as_of('role', tenant, $2) AS r(x),
			jsonb_populate_record(NULL::multitenant.role, r.x) o),
	pattern AS MATERIALIZED (
		SELECT p.* FROM multitenant._rights_as_of('role_permission', tenant, $2) AS r(x),
			jsonb_populate_record(NULL::multitenant.role_permission, r.x) p),
	catalogue AS MATERIALIZED (
		SELECT r.x ->> 'name' AS name FROM multitenant._rights_as_of('permission', tenant, $2) AS r(x))
	SELECT DISTINCT k.name, a.scope_id,
		format('role "%s"', own.name) || CASE WHEN c.id <> c.assigned_id THEN format(', which inherits "%s"', above.name) ELSE '' END
			|| CASE WHEN a.is_group THEN format(', of group "%s"', a.assignee) ELSE '' END
	FROM assigned a JOIN closed c ON c.assigned_id = a.role_id
	JOIN pattern p ON p.role_id = c.id
	JOIN catalogue k ON multitenant._covers(p.permission, k.name)
	LEFT JOIN role own ON own.id = a.role_id LEFT JOIN role above ON above.id = c.id
	ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION multitenant.access_as_of(text, timestamptz) IS
'What a principal could do in the current tenant at a time: each permission, where (scope_id null: in the whole tenant), and by which role and group; a permission that came by two ways is there twice. No rows: nothing, or no active member then. Break-glass is not part of it; the view of its uses is. A change counts from the moment on at which it was made; other sessions see it from its commit on. Needs access:review, about oneself nothing. Errors: MT001; 42501; 22023 null or a time to come.';

CREATE FUNCTION multitenant.review_access(expiring interval DEFAULT '30 days')
RETURNS TABLE(principal text, kind text, member_state text, role text, scope_id text, via_group text, assigned_by text,
			  reason text, since timestamptz, expires_at timestamptz, is_expired boolean, is_expiring boolean, last_used date,
			  excluded_with text[])
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_permission('access:review');
	have_exclusions boolean;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'expiring');
	have_exclusions := EXISTS (SELECT FROM multitenant.role_exclusion e
							   WHERE e.tenant_id IN (tenant, '00000000-0000-0000-0000-000000000000'));
	RETURN QUERY
	WITH RECURSIVE of_group(principal, name) AS (
		SELECT g.member, g.group_name FROM multitenant.group_member g WHERE g.tenant_id = tenant AND NOT g.is_group
		UNION
		SELECT o.principal, g.group_name FROM of_group o
			JOIN multitenant.group_member g ON g.tenant_id = tenant AND g.is_group AND g.member = o.name),
	has AS MATERIALIZED (
		SELECT a.assignee AS principal, NULL::text AS via, a.* FROM multitenant.role_assignment a
			WHERE a.tenant_id = tenant AND NOT a.is_group
		UNION ALL
		SELECT o.principal, a.assignee, a.* FROM of_group o
			JOIN multitenant.role_assignment a ON a.tenant_id = tenant AND a.is_group AND a.assignee = o.name),
	used AS MATERIALIZED (
		SELECT e.principal, (max(e.at) AT TIME ZONE 'UTC')::date AS last_used FROM multitenant.audit_event e
		WHERE e.tenant_id = tenant AND e.outcome IN ('done', 'allowed') GROUP BY e.principal)
	-- Security: of whom a tenant has only invited it learns nothing that others know.
	SELECT m.principal, CASE WHEN m.state <> 'invited' THEN coalesce(w.kind, 'person') END, m.state, r.name, h.scope_id, h.via, h.assigned_by, h.reason, h.since, h.expires_at,
		coalesce(h.expires_at <= clock_timestamp(), false),
		coalesce(h.expires_at > clock_timestamp() AND h.expires_at <= clock_timestamp() + multitenant._seconds($1), false), u.last_used,
		CASE WHEN have_exclusions AND h.role_id IS NOT NULL THEN (
			SELECT array_agg(DISTINCT x.name ORDER BY x.name) FROM (
				SELECT e.role_id, e.excluded_id FROM multitenant._excluding_roles(tenant, m.principal) e
				UNION ALL SELECT e.excluded_id, e.role_id FROM multitenant._excluding_roles(tenant, m.principal) e) e(own, other)
			JOIN multitenant.role x ON x.id = e.other
			WHERE e.own IN (SELECT multitenant._role_closure(h.role_id))) END
	FROM multitenant.member m
	LEFT JOIN multitenant.principal w ON w.id = m.principal
	LEFT JOIN has h ON h.principal = m.principal
	LEFT JOIN multitenant.role r ON r.id = h.role_id
	LEFT JOIN used u ON u.principal = m.principal
	WHERE m.tenant_id = tenant
	ORDER BY m.principal, r.name, h.scope_id NULLS FIRST, h.via NULLS FIRST;
END
$$;
COMMENT ON FUNCTION multitenant.review_access(interval) IS
'Who has what in the current tenant: one row for each member and role it has, directly or by a group (via_group); a member without a role has one row. kind: person or machine, null while somebody is only invited; is_expiring: ends within the interval; last_used: the day (UTC) of the last thing that the audit record has the member do in the tenant, such as switch_tenant() or audit() (null: nothing; entering with a token of the tenant leaves no event); excluded_with: roles it has although this one excludes them. What operators may see from outside is not part of it. Needs access:review. Errors: MT001; 42501; 22023 null.';

-- Security: neither a person nor a name that the tenant gave.
CREATE FUNCTION multitenant.review_tenant_access(tenant uuid, expiring interval DEFAULT '30 days', unused interval DEFAULT '90 days')
RETURNS TABLE(template text, is_own boolean, members bigint, groups bigint, scoped bigint, without_end bigint, is_expiring bigint, unused_members bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('audit', 'reviewing the access to a tenant');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3), 'tenant and intervals');
	PERFORM multitenant._require_tenant($1);
	RETURN QUERY
	SELECT CASE WHEN r.tenant_id = '00000000-0000-0000-0000-000000000000' THEN r.name END, r.tenant_id = $1,
		count(*) FILTER (WHERE NOT a.is_group), count(*) FILTER (WHERE a.is_group), count(a.scope_id),
		count(*) FILTER (WHERE a.expires_at IS NULL), count(*) FILTER (WHERE a.expires_at <= clock_timestamp() + multitenant._seconds($2)),
		count(*) FILTER (WHERE u.last_used < (clock_timestamp() AT TIME ZONE 'UTC')::date - multitenant._seconds($3))
	FROM multitenant.role_assignment a JOIN multitenant.role r ON r.id = a.role_id
	LEFT JOIN (
		SELECT e.principal, (max(e.at) AT TIME ZONE 'UTC')::date AS last_used FROM multitenant.audit_event e
		WHERE e.tenant_id = $1 AND e.outcome IN ('done', 'allowed') GROUP BY e.principal) u ON NOT a.is_group AND u.principal = a.assignee
	WHERE a.tenant_id = $1 AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
	GROUP BY 1, 2 ORDER BY 2, 1;
END
$$;
COMMENT ON FUNCTION multitenant.review_tenant_access(uuid, interval, interval) IS
'How rights are spread in a tenant, seen from outside: for each template, and for the tenant''s own roles together (is_own), how many members and groups have it, how many in a scope only, without an end, ending within the first interval, and members whose last event in the audit record is older than the second one. Neither names of people nor of the tenant''s roles. For profile auditor. Errors: 42501 profile, MT008 unknown tenant, 22023 null.';

CREATE FUNCTION multitenant.review_tenant_access(tenant text, expiring interval DEFAULT '30 days', unused interval DEFAULT '90 days')
RETURNS TABLE(template text, is_own boolean, members bigint, groups bigint, scoped bigint, without_end bigint, is_expiring bigint, unused_members bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT * FROM multitenant.review_tenant_access(multitenant.tenant_id($1), $2, $3);
END;
COMMENT ON FUNCTION multitenant.review_tenant_access(text, interval, interval) IS
'As review_tenant_access(uuid, ..), by slug.';
