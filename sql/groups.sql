/*
 * groups.sql
 *	  Groups of a tenant: what they contain, members or other groups.
 *
 * A group can be assigned roles, so that whoever comes into it comes into rights: who puts somebody there must be able
 * to give those.
 */

CREATE FUNCTION multitenant._require_group(tenant uuid, name text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM multitenant.member_group g WHERE g.tenant_id = $1 AND g.name = $2) THEN
		RAISE EXCEPTION 'there is no such group in this tenant'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.groups, or call multitenant.create_group().';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_group(uuid, text) IS
'Internal: raises 42704 unless the tenant has that group.';

CREATE FUNCTION multitenant.create_group(name text, description text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	IF coalesce(octet_length($1), 0) NOT BETWEEN 1 AND 128 OR $1 ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'invalid name of a group'
			USING ERRCODE = '22023', HINT = 'A name has 1 to 128 bytes and no control characters.';
	END IF;
	INSERT INTO multitenant.member_group (tenant_id, name, description) VALUES (own_tenant, $1, $2) ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the group exists already'
			USING ERRCODE = '42710', HINT = 'See the view multitenant.groups.';
	END IF;
	PERFORM multitenant._audit('tenant.create_group', own_tenant, $1, 'done', '{}');
	RETURN $1;
END
$$;
COMMENT ON FUNCTION multitenant.create_group(text, text) IS
'Makes a group of members in the current tenant and returns its name. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 22023 invalid name; 42710 exists already.';

CREATE FUNCTION multitenant.drop_group(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
	managed integer := multitenant._managed(own_tenant);
BEGIN
	PERFORM multitenant._require_group(own_tenant, $1);
	-- A group of the same name that is made later must not come into its rights.
	IF EXISTS (SELECT FROM multitenant.role_assignment a
			   WHERE a.tenant_id = own_tenant AND a.is_group AND a.assignee = $1) THEN
		RAISE EXCEPTION 'the group has been assigned roles'
			USING ERRCODE = '55000', HINT = 'Unassign them first.';
	END IF;
	PERFORM multitenant._claim_member(own_tenant, g.member) FROM multitenant.group_member g
		WHERE g.tenant_id = own_tenant AND g.group_name = $1 AND NOT g.is_group;
	DELETE FROM multitenant.group_member m
		WHERE m.tenant_id = own_tenant AND (m.group_name = $1 OR m.is_group AND m.member = $1);
	DELETE FROM multitenant.member_group g WHERE g.tenant_id = own_tenant AND g.name = $1;
	PERFORM multitenant._keep_managed(own_tenant, managed);
	PERFORM multitenant._audit('tenant.drop_group', own_tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_group(text) IS
'Removes a group of the current tenant; its members stay members. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such group; 55000 the group has been assigned roles, or nobody would be left who manages the tenant.';

-- Security: is_group is an argument, and nothing is asked but whether the group can be given away.
CREATE FUNCTION multitenant._put_into_group(tenant uuid, group_name text, member text, is_group boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require_grantable_of_group($2);
	INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES ($1, $4, $3, $2)
		ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'it is in the group already'
			USING ERRCODE = '42710', HINT = 'See the view multitenant.group_members.';
	END IF;
	PERFORM multitenant._require_separate_duties($1,
		CASE WHEN $4 THEN ARRAY(SELECT multitenant._members_below($1, $3)) ELSE ARRAY[$3] END,
		ARRAY(SELECT a.role_id FROM multitenant.role_assignment a
			  WHERE a.tenant_id = $1 AND a.is_group AND a.assignee IN (SELECT multitenant._groups_above($1, $2))));
	PERFORM multitenant._audit('tenant.add_to_group', $1, $2, 'done',
		jsonb_build_object(CASE WHEN $4 THEN 'group' ELSE 'member' END, $3));
END
$$;
COMMENT ON FUNCTION multitenant._put_into_group(uuid, text, text, boolean) IS
'Internal: puts a member or a group into a group.';

CREATE FUNCTION multitenant._take_from_group(tenant uuid, group_name text, member text, is_group boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	managed integer := multitenant._managed($1);
BEGIN
	PERFORM multitenant._require_group($1, $2);
	IF NOT $4 THEN
		PERFORM multitenant._claim_member($1, $3);
	END IF;
	DELETE FROM multitenant.group_member m
		WHERE m.tenant_id = $1 AND m.is_group = $4 AND m.member = $3 AND m.group_name = $2;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'it is not in the group'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.group_members.';
	END IF;
	PERFORM multitenant._keep_managed($1, managed);
	PERFORM multitenant._audit('tenant.remove_from_group', $1, $2, 'done',
		jsonb_build_object(CASE WHEN $4 THEN 'group' ELSE 'member' END, $3));
END
$$;
COMMENT ON FUNCTION multitenant._take_from_group(uuid, text, text, boolean) IS
'Internal: takes a member or a group out of a group.';

CREATE FUNCTION multitenant.add_to_group("group" text, member text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'group and member');
	PERFORM multitenant._require_group(own_tenant, $1);
	-- The lock: as in _assign().
	PERFORM multitenant._claim_member(own_tenant, $2);
	IF NOT EXISTS (SELECT FROM multitenant.member m
				   WHERE m.tenant_id = own_tenant AND m.principal = $2 AND m.state <> 'invited') THEN
		PERFORM multitenant._raise_unknown_member();
	END IF;
	PERFORM multitenant._put_into_group(own_tenant, $1, $2, false);
END
$$;
COMMENT ON FUNCTION multitenant.add_to_group(text, text) IS
'Puts a member into a group of the current tenant, whose roles it has then. Needs member:manage, and that the caller could assign the roles of the group and of those above it. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such group or member; 42710 is in the group already; 55000 somebody would have roles that exclude each other.';

CREATE FUNCTION multitenant.remove_from_group("group" text, member text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'group and member');
	PERFORM multitenant._take_from_group(own_tenant, $1, $2, false);
END
$$;
COMMENT ON FUNCTION multitenant.remove_from_group(text, text) IS
'Takes a member out of a group of the current tenant. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such group, or not in it; 55000 nobody would be left who manages the tenant.';

CREATE FUNCTION multitenant.add_group_to_group("group" text, subgroup text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'group and subgroup');
	PERFORM multitenant._require_group(own_tenant, $1);
	PERFORM multitenant._require_group(own_tenant, $2);
	IF EXISTS (SELECT FROM multitenant._groups_above(own_tenant, $1) AS a(name) WHERE a.name = $2) THEN
		RAISE EXCEPTION 'a group cannot contain itself'
			USING ERRCODE = '22023', HINT = 'The group is in the other one, directly or through groups between them.';
	END IF;
	PERFORM multitenant._put_into_group(own_tenant, $1, $2, true);
END
$$;
COMMENT ON FUNCTION multitenant.add_group_to_group(text, text) IS
'Puts a group into another of the current tenant: its members have the other one''s roles, too. Needs member:manage, and that the caller could assign the roles of the containing group and of those above it. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such group; 42710 is in the group already; 22023 a cycle; 55000 somebody would have roles that exclude each other.';

CREATE FUNCTION multitenant.remove_group_from_group("group" text, subgroup text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'group and subgroup');
	PERFORM multitenant._take_from_group(own_tenant, $1, $2, true);
END
$$;
COMMENT ON FUNCTION multitenant.remove_group_from_group(text, text) IS
'Takes a group out of another of the current tenant. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such group, or not in it; 55000 nobody would be left who manages the tenant.';

CREATE VIEW multitenant.groups WITH (security_barrier = true) AS
	SELECT g.name, g.description
	FROM multitenant.member_group g
	WHERE g.tenant_id = (SELECT multitenant._require_permission('member:read'));
COMMENT ON VIEW multitenant.groups IS
'The groups of the current tenant, for its own principals that have member:read.';

CREATE VIEW multitenant.group_members WITH (security_barrier = true) AS
	SELECT m.group_name, m.member, m.is_group
	FROM multitenant.group_member m
	WHERE m.tenant_id = (SELECT multitenant._require_permission('member:read'));
COMMENT ON VIEW multitenant.group_members IS
'What the groups of the current tenant contain: members, or (is_group) other groups; for its own principals that have member:read.';
