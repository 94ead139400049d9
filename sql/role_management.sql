/*
 * role_management.sql
 *	  Who may ask for what in a tenant; the catalogue of permissions, templates of roles, and the roles of a tenant.
 *
 * Security: every change takes the lock of the tenant's version of rights first and asks for the permission again behind
 * it, so that what another session took meanwhile counts. A role is edited by who holds what it gains, in the whole
 * tenant and without an end (assignments.sql): whoever has the role gains it, wherever and however long he has it.
 */

-- Security: the one question of functions and views that show or change rights. Only the tenant's own people have a say;
-- a superuser without a principal repairs what they cannot.
CREATE FUNCTION multitenant._require_permission(permission text, scope text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_own_tenant('seeing or changing people and rights');
	asker text := multitenant.current_principal();
BEGIN
	IF asker IS NULL AND multitenant._has('superuser') THEN
		RETURN tenant;
	END IF;
	IF asker IS NULL OR NOT multitenant.has_permission($1, $2) THEN
		PERFORM multitenant._audit('role.require', tenant, $1, 'refused', jsonb_strip_nulls(jsonb_build_object('scope', $2)));
		RAISE EXCEPTION 'permission "%" is needed%', $1, CASE WHEN $2 IS NULL THEN '' ELSE ' in this scope' END
			USING ERRCODE = '42501', HINT = CASE WHEN asker IS NULL
				THEN 'This session has a tenant and no principal: authenticate with a token that names one.'
				ELSE 'Somebody who may assign roles in this tenant can give a role that has it.' END;
	END IF;
	RETURN tenant;
END
$$;
COMMENT ON FUNCTION multitenant._require_permission(text, text) IS
'Internal: the current tenant, as _require_own_tenant(), if its principal holds the permission (scope null: in the whole tenant); 42501 otherwise.';

-- Security: what is there under break-glass only ends with it, so nothing may come of it that lasts, nor anybody be let in
-- by it. Held is what is assigned (_holdings()); the compiled rights, which have break-glass in them, do not say.
CREATE FUNCTION multitenant._require_held_permission(permission text, scope text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_permission($1, $2);
BEGIN
	IF NOT multitenant._is_unlimited() AND NOT EXISTS (
		SELECT FROM multitenant._holdings(tenant, multitenant.current_principal()) h
		WHERE multitenant._covers(h.pattern, $1)
		AND (h.scope_id IS NULL OR h.scope_id IN (SELECT multitenant._scopes_above(tenant, $2)))) THEN
		PERFORM multitenant._audit('role.require', tenant, $1, 'refused',
			jsonb_strip_nulls(jsonb_build_object('scope', $2, 'held', false)));
		RAISE EXCEPTION 'permission "%" is not enough under break-glass', $1
			USING ERRCODE = '42501', HINT = 'What lasts longer than break-glass takes a role that has been assigned.';
	END IF;
	RETURN tenant;
END
$$;
COMMENT ON FUNCTION multitenant._require_held_permission(text, text) IS
'Internal: as _require_permission(), for what makes rights larger or lasting or lets somebody in: 42501 also where the permission comes from break-glass only.';

CREATE FUNCTION multitenant._change_rights(permission text, scope text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._renew_rights(ARRAY[multitenant._require_permission($1, $2)]);
	-- Security: again, behind the lock: whoever changed rights before us has committed now.
	RETURN multitenant._require_held_permission($1, $2);
END
$$;
COMMENT ON FUNCTION multitenant._change_rights(text, text) IS
'Internal: as _require_held_permission(), for whoever changes rights: other changes in the tenant wait for this transaction. 40001 if its snapshot shows older rights.';

-- Superusers act without a principal; what they do is recorded, not limited.
CREATE FUNCTION multitenant._is_unlimited()
RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.current_principal() IS NULL AND multitenant._has('superuser');
END;
COMMENT ON FUNCTION multitenant._is_unlimited() IS
'Internal: is it a superuser who acts as nobody?';

-- ---------------------------------------------------------------------------------------------------------------
-- What roles contain
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._covers(held text, wanted text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT split_part($1, ':', 1) IN ('*', split_part($2, ':', 1)) AND split_part($1, ':', 2) IN ('*', split_part($2, ':', 2));
END;
COMMENT ON FUNCTION multitenant._covers(text, text) IS
'Internal: is everything that the second permits, now and in the future, permitted by the first?';

CREATE FUNCTION multitenant._role_closure(role uuid)
RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE up(id) AS (
		SELECT $1
		UNION
		SELECT p.parent_id FROM up JOIN multitenant.role_parent p ON p.role_id = up.id)
	SELECT up.id FROM up;
END;
COMMENT ON FUNCTION multitenant._role_closure(uuid) IS
'Internal: the role and every role that it inherits.';

CREATE FUNCTION multitenant._role_patterns(role uuid)
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT DISTINCT p.permission FROM multitenant._role_closure($1) AS c(id) JOIN multitenant.role_permission p ON p.role_id = c.id;
END;
COMMENT ON FUNCTION multitenant._role_patterns(uuid) IS
'Internal: what the role permits, with what it inherits.';

-- ---------------------------------------------------------------------------------------------------------------
-- Names
-- ---------------------------------------------------------------------------------------------------------------

-- Security: a role of another tenant is as unknown as one that does not exist.
CREATE FUNCTION multitenant._find_role(tenant uuid, role text)
RETURNS multitenant.role
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_role multitenant.role;
BEGIN
	SELECT r.* INTO found_role FROM multitenant.role r
		WHERE r.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000') AND (r.name = $2 OR r.id::text = lower($2))
		ORDER BY r.tenant_id <> $1 LIMIT 1;
	IF found_role.id IS NULL THEN
		RAISE EXCEPTION 'there is no role "%"', $2
			USING ERRCODE = '42704', HINT = 'The view multitenant.roles has the names and ids of roles.';
	END IF;
	RETURN found_role;
END
$$;
COMMENT ON FUNCTION multitenant._find_role(uuid, text) IS
'Internal: the role of that name or id, of the tenant, else a template. 42704 if there is none.';

-- A template is not under the lock of the tenant that comes to need it. Security: hold first, then ask what the role
-- permits: whoever was changing it meanwhile has been waited for, and what he has made of it counts.
CREATE FUNCTION multitenant._hold_role(role multitenant.role)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM multitenant.role r WHERE r.id = $1.id FOR KEY SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no role "%"', $1.name
			USING ERRCODE = '42704', HINT = 'It has just been dropped.';
	END IF;
	-- Security: again, as the row is locked and not changed: it does not refuse an old snapshot itself.
	PERFORM multitenant._refuse_old_rights('00000000-0000-0000-0000-000000000000');
END
$$;
COMMENT ON FUNCTION multitenant._hold_role(multitenant.role) IS
'Internal: keeps a role from being dropped, and a template from being changed, until the end of the transaction. 42704 if it has been dropped, 40001 if the snapshot of the transaction is older than templates as they are.';

-- What is given from outside: by its name, and never a role of a tenant.
CREATE FUNCTION multitenant._hold_template(name text)
RETURNS multitenant.role
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held multitenant.role;
BEGIN
	SELECT r.* INTO held FROM multitenant.role r
		WHERE r.tenant_id = '00000000-0000-0000-0000-000000000000' AND r.name = $1
		FOR KEY SHARE;
	IF held.id IS NULL THEN
		RAISE EXCEPTION 'there is no template of a role called "%"', $1
			USING ERRCODE = '42704', HINT = 'The extension brings "administrator"; create_role_template() makes others. A role of a tenant will not do.';
	END IF;
	RETURN held;
END
$$;
COMMENT ON FUNCTION multitenant._hold_template(text) IS
'Internal: the template of that name, kept from being dropped until the end of the transaction. 42704 if there is none.';

-- Security: templates are everybody's, so no tenant changes one.
CREATE FUNCTION multitenant._find_own_role(tenant uuid, role text)
RETURNS multitenant.role
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_role multitenant.role := multitenant._find_role($1, $2);
BEGIN
	IF found_role.is_builtin OR found_role.tenant_id <> $1 THEN
		RAISE EXCEPTION 'the role "%" cannot be changed here', found_role.name
			USING ERRCODE = '42501', HINT = 'It is a template; create a role that inherits it, and change that.';
	END IF;
	RETURN found_role;
END
$$;
COMMENT ON FUNCTION multitenant._find_own_role(uuid, text) IS
'Internal: as _find_role(), only what the tenant (nil: the provider) may change; 42501 otherwise.';

CREATE FUNCTION multitenant._check_role_name(tenant uuid, name text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF $2 IS NULL OR octet_length($2) NOT BETWEEN 1 AND 128 OR $2 ~ '[[:cntrl:]]'
	   OR $2 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
		RAISE EXCEPTION 'invalid name of a role'
			USING ERRCODE = '22023', HINT = 'A name has 1 to 128 bytes, no control characters, and does not look like a uuid.';
	END IF;
	-- Security: a name means one role; else taking the one away by name leaves the other.
	IF EXISTS (SELECT FROM multitenant.role r WHERE r.name = $2
			   AND r.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')) THEN
		RAISE EXCEPTION 'a role "%" exists already', $2
			USING ERRCODE = '42710', HINT = 'Choose another name; those of templates are taken in every tenant.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._check_role_name(uuid, text) IS
'Internal: may a new role be called that? 22023, 42710.';

-- A pattern that matches nothing is a misspelt one.
CREATE FUNCTION multitenant._check_pattern(pattern text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF $1 IS NULL OR octet_length($1) > 128 OR $1 !~ '^([a-z][a-z0-9_.-]*|[*]):([a-z][a-z0-9_.-]*|[*])$' THEN
		RAISE EXCEPTION 'invalid permission "%"', coalesce($1, 'null')
			USING ERRCODE = '22023', HINT = 'A permission is resource:action in lower case, such as vm:read; either may be *.';
	END IF;
	IF NOT EXISTS (SELECT FROM multitenant.permission p WHERE multitenant._covers($1, p.name)) THEN
		RAISE EXCEPTION 'there is no permission "%"', $1
			USING ERRCODE = '42704', HINT = 'The view multitenant.permissions lists them; a provisioner adds one with create_permission().';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._check_pattern(text) IS
'Internal: can a role permit that? 22023 form, 42704 nothing of that name.';

-- ---------------------------------------------------------------------------------------------------------------
-- Changing what a role contains; the caller has the lock and the right
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._add_role_permissions(role multitenant.role, permissions text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pattern text;
BEGIN
	-- Held until the commit, so that drop_permission() sees what comes to need them.
	PERFORM FROM multitenant.permission p WHERE p.name = ANY ($2) FOR KEY SHARE;
	FOREACH pattern IN ARRAY coalesce($2, '{}') LOOP
		PERFORM multitenant._check_pattern(pattern);
	END LOOP;
	-- Security: whoever has the role holds it from now on, so only who holds it himself may say so.
	IF $1.tenant_id <> '00000000-0000-0000-0000-000000000000' THEN
		PERFORM multitenant._require_held($2, NULL, NULL);
	END IF;
	INSERT INTO multitenant.role_permission (role_id, permission, tenant_id)
		SELECT DISTINCT $1.id, p.pattern, $1.tenant_id FROM unnest($2) AS p(pattern)
		ON CONFLICT ON CONSTRAINT role_permission_pkey DO NOTHING;
END
$$;
COMMENT ON FUNCTION multitenant._add_role_permissions(multitenant.role, text[]) IS
'Internal: lets a role permit more.';

-- Security: separate duties must not come together in one role. Asked of the role, if there is one, and of what inherits
-- it, in the tenant (nil: of templates); what a template brings together in tenants' roles is for lint() to say.
CREATE FUNCTION multitenant._refuse_joined_duties(tenant uuid, role uuid)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	joined record;
BEGIN
	IF NOT EXISTS (SELECT FROM multitenant.role_exclusion e WHERE e.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')) THEN
		RETURN;
	END IF;
	WITH RECURSIVE down(id) AS (
		SELECT $2
		UNION
		SELECT p.role_id FROM down JOIN multitenant.role_parent p ON p.parent_id = down.id AND p.tenant_id = $1),
	closed AS MATERIALIZED (
		SELECT down.id, c.id AS has FROM down, LATERAL multitenant._role_closure(down.id) AS c(id))
	SELECT w.name, least(r.name, o.name) AS role, greatest(r.name, o.name) AS other INTO joined
		FROM multitenant.role_exclusion e JOIN closed a ON a.has = e.role_id JOIN closed b ON b.id = a.id AND b.has = e.excluded_id
		JOIN multitenant.role w ON w.id = a.id JOIN multitenant.role r ON r.id = e.role_id JOIN multitenant.role o ON o.id = e.excluded_id
		WHERE e.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
		ORDER BY a.id <> $2, 1, 2, 3 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'the role "%" would have "%" and "%", which exclude each other', joined.name, joined.role, joined.other
			USING ERRCODE = '22023', HINT = 'Nobody could hold it; the view role_exclusions lists what excludes what.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._refuse_joined_duties(uuid, uuid) IS
'Internal: raises 22023 if the role, or one of the tenant (nil: a template) that inherits it, has two roles that exclude each other.';

CREATE FUNCTION multitenant._add_role_parent(role multitenant.role, parent text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	above multitenant.role := multitenant._find_role($1.tenant_id, $2);
BEGIN
	PERFORM multitenant._hold_role(above);
	-- Under the lock of the tenant: nobody else adds the other half of a cycle.
	IF $1.id IN (SELECT multitenant._role_closure(above.id)) THEN
		RAISE EXCEPTION 'the role "%" would inherit itself', $1.name
			USING ERRCODE = '22023', HINT = format('"%s" has everything of "%s" already.', above.name, $1.name);
	END IF;
	IF EXISTS (SELECT FROM multitenant.role_parent p WHERE p.role_id = $1.id AND p.parent_id = above.id) THEN
		RETURN;
	END IF;
	-- Security: as a permission of its own.
	IF $1.tenant_id <> '00000000-0000-0000-0000-000000000000' THEN
		PERFORM multitenant._require_grantable(above.id, NULL, NULL);
	END IF;
	INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id) VALUES ($1.id, above.id, $1.tenant_id);
	PERFORM multitenant._refuse_joined_duties($1.tenant_id, $1.id);
	IF $1.tenant_id <> '00000000-0000-0000-0000-000000000000' THEN
		PERFORM multitenant._require_separate_duties($1.tenant_id, NULL, ARRAY[above.id]);
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._add_role_parent(multitenant.role, text) IS
'Internal: lets a role inherit another. 22023 a cycle, or roles that exclude each other.';

CREATE FUNCTION multitenant._new_role(tenant uuid, name text, description text, permissions text[], inherits text[])
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_role multitenant.role;
	parent text;
BEGIN
	PERFORM multitenant._check_role_name($1, $2);
	INSERT INTO multitenant.role AS r (tenant_id, name, description) VALUES ($1, $2, $3) RETURNING r.* INTO new_role;
	PERFORM multitenant._add_role_permissions(new_role, $4);
	FOREACH parent IN ARRAY coalesce($5, '{}') LOOP
		PERFORM multitenant._add_role_parent(new_role, parent);
	END LOOP;
	RETURN new_role.id;
END
$$;
COMMENT ON FUNCTION multitenant._new_role(uuid, text, text, text[], text[]) IS
'Internal: makes a role (tenant nil: a template).';

CREATE FUNCTION multitenant._roles_with(role uuid)
RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE down(id) AS (
		SELECT $1
		UNION
		SELECT p.role_id FROM down JOIN multitenant.role_parent p ON p.parent_id = down.id)
	SELECT down.id FROM down;
END;
COMMENT ON FUNCTION multitenant._roles_with(uuid) IS
'Internal: the role and every role that inherits it.';

-- An assignment that has expired is none.
CREATE FUNCTION multitenant._use_of_role(role uuid, by_templates boolean)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE
		WHEN EXISTS (SELECT FROM multitenant.role_assignment a WHERE a.role_id = $1
					 AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())) THEN 'is assigned'
		WHEN EXISTS (SELECT FROM multitenant.role_parent p WHERE p.parent_id = $1
					 AND ($2 OR p.tenant_id <> '00000000-0000-0000-0000-000000000000')) THEN 'is inherited by another role'
		WHEN EXISTS (SELECT FROM multitenant.operator o WHERE o.role_id = $1) THEN 'is the role of an operator'
		WHEN EXISTS (SELECT FROM multitenant.break_glass_rule b WHERE b.role_id = $1)
			OR EXISTS (SELECT FROM multitenant.break_glass b WHERE b.role_id = $1 AND b.closed_at IS NULL
					   AND b.ends_at > clock_timestamp()) THEN 'is the role of break-glass' END;
END
$$;
COMMENT ON FUNCTION multitenant._use_of_role(uuid, boolean) IS
'Internal: where a role is in use, also in templates; null if nobody has it.';

-- Security: whoever edits a template that somebody has gives and takes rights inside tenants. Tenants that are just
-- coming to need it hold its row (_hold_role()); they are not waited for, since the caller has the turn of all.
CREATE FUNCTION multitenant._claim_template(role multitenant.role)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	with_it uuid[] := ARRAY(SELECT multitenant._roles_with($1.id));
	used_by text;
BEGIN
	BEGIN
		PERFORM FROM multitenant.role r WHERE r.id = ANY (with_it) FOR UPDATE NOWAIT;
	EXCEPTION WHEN lock_not_available THEN
		RAISE EXCEPTION 'the template "%" is just being used', $1.name
			USING ERRCODE = '55000', HINT = 'Try again, or make a new template with multitenant.create_role_template().';
	END;
	-- A template that inherits it is no use of it, but everything that this one is used for.
	SELECT format('the template "%s" %s', r.name, u.use) INTO used_by
		FROM multitenant.role r, LATERAL multitenant._use_of_role(r.id, false) AS u(use)
		WHERE r.id = ANY (with_it) AND r.tenant_id = $1.tenant_id AND u.use IS NOT NULL ORDER BY r.id <> $1.id, r.name LIMIT 1;
	IF used_by IS NOT NULL AND NOT multitenant._has('superuser') THEN
		PERFORM multitenant._audit('role.alter', NULL, $1.name, 'refused', '{}');
		RAISE EXCEPTION 'permission denied: %', used_by
			USING ERRCODE = '42501', HINT = 'Rights in tenants are their own affair: make a new template with multitenant.create_role_template(). Superusers may change this one.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._claim_template(multitenant.role) IS
'Internal: keeps others from coming to need a template; 42501 if somebody has it, but for superusers; 55000 if somebody is just coming to need it.';

-- Assignments that have expired go with the role; nobody has anything from them.
CREATE FUNCTION multitenant._remove_role(role multitenant.role)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	used_by text := multitenant._use_of_role($1.id, true);
BEGIN
	IF used_by IS NOT NULL THEN
		RAISE EXCEPTION 'the role "%" %', $1.name, used_by
			USING ERRCODE = '55000', HINT = 'Take it away there first; review_access() and the views roles and assignments show where.';
	END IF;
	-- What has expired, as in drop_scope().
	PERFORM multitenant._claim_member(a.tenant_id, a.assignee) FROM multitenant.role_assignment a
		WHERE a.role_id = $1.id AND NOT a.is_group;
	DELETE FROM multitenant.role_assignment a WHERE a.role_id = $1.id;
	DELETE FROM multitenant.role_exclusion e WHERE $1.id IN (e.role_id, e.excluded_id);
	DELETE FROM multitenant.role_parent p WHERE p.role_id = $1.id;
	DELETE FROM multitenant.role_permission p WHERE p.role_id = $1.id;
	DELETE FROM multitenant.role r WHERE r.id = $1.id;
END
$$;
COMMENT ON FUNCTION multitenant._remove_role(multitenant.role) IS
'Internal: drops a role that nobody has. 55000 otherwise.';

CREATE FUNCTION multitenant._add_exclusion(tenant uuid, role multitenant.role, other multitenant.role)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	having_both text;
BEGIN
	IF $2.id IN (SELECT multitenant._role_closure($3.id)) OR $3.id IN (SELECT multitenant._role_closure($2.id)) THEN
		RAISE EXCEPTION 'a role and what it inherits cannot exclude each other'
			USING ERRCODE = '22023', HINT = 'Nobody could hold the one that inherits.';
	END IF;
	-- Security: the other way round, as when a role comes to inherit both. Templates are not the tenant's to change.
	SELECT r.name INTO having_both FROM multitenant.role r
		WHERE r.tenant_id = $1 AND $2.id IN (SELECT multitenant._role_closure(r.id)) AND $3.id IN (SELECT multitenant._role_closure(r.id))
		ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'the role "%" has both', having_both
			USING ERRCODE = '22023', HINT = 'Disinherit one of them there first.';
	END IF;
	INSERT INTO multitenant.role_exclusion (role_id, excluded_id, tenant_id)
		VALUES (least($2.id, $3.id), greatest($2.id, $3.id), $1)
		ON CONFLICT ON CONSTRAINT role_exclusion_pkey DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the roles "%" and "%" exclude each other already', $2.name, $3.name
			USING ERRCODE = '42710', HINT = 'Nothing is left to do.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._add_exclusion(uuid, multitenant.role, multitenant.role) IS
'Internal: lets two roles exclude each other.';

CREATE FUNCTION multitenant._remove_exclusion(tenant uuid, role multitenant.role, other multitenant.role)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM multitenant.role_exclusion e
		WHERE e.tenant_id = $1 AND e.role_id = least($2.id, $3.id) AND e.excluded_id = greatest($2.id, $3.id);
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the roles "%" and "%" do not exclude each other here', $2.name, $3.name
			USING ERRCODE = '42704', HINT = 'What a provider has excluded for templates, only a provisioner allows.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._remove_exclusion(uuid, multitenant.role, multitenant.role) IS
'Internal: ends an exclusion. 42704 if there is none of this tenant.';

-- ---------------------------------------------------------------------------------------------------------------
-- The catalogue and the templates: the provider's
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant.create_permission(name text, description text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing the catalogue of permissions');
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'name and description');
	IF octet_length($1) > 128 OR $1 !~ '^[a-z][a-z0-9_.-]*:[a-z][a-z0-9_.-]*$' THEN
		RAISE EXCEPTION 'invalid name of a permission'
			USING ERRCODE = '22023', HINT = 'A permission is resource:action in lower case, such as vm:read.';
	END IF;
	INSERT INTO multitenant.permission (name, description) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT permission_pkey DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'permission "%" exists already', $1
			USING ERRCODE = '42710', HINT = 'The view multitenant.permissions lists them.';
	END IF;
	PERFORM multitenant._audit('permission.create', NULL, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.create_permission(text, text) IS
'Adds a permission to the catalogue of all tenants. name: resource:action, lower case, such as vm:read; description: for people. Roles with a wildcard that matches permit it at once. For profile provisioner. Errors: 42501 profile, 22023 form or empty, 42710 exists already.';

CREATE FUNCTION multitenant.drop_permission(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asking regclass;
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing the catalogue of permissions');
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the name');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	PERFORM FROM multitenant.permission p WHERE p.name = $1 FOR UPDATE;
	IF EXISTS (SELECT FROM multitenant.permission p WHERE p.name = $1 AND p.is_builtin) THEN
		RAISE EXCEPTION 'permission "%" is one of the extension''s own', $1
			USING ERRCODE = '42501', HINT = 'The functions that manage people and rights ask for it.';
	END IF;
	IF EXISTS (SELECT FROM multitenant.role_permission p WHERE p.permission = $1) THEN
		RAISE EXCEPTION 'permission "%" is part of roles', $1
			USING ERRCODE = '55000', HINT = 'Revoke it from every role and template first.';
	END IF;
	-- Security: what asks for it would refuse everybody afterwards. Whose rule it is stays unsaid.
	IF EXISTS (SELECT FROM multitenant.purpose_rule r WHERE $1 IN (r.decrypt_permission, r.encrypt_permission)) THEN
		RAISE EXCEPTION 'permission "%" is asked for by the rule of a purpose', $1
			USING ERRCODE = '55000', HINT = 'Change the rule first; tenants have rules of their own, and change them themselves.';
	END IF;
	SELECT s.objoid::regclass INTO asking FROM pg_catalog.pg_seclabel s
		WHERE s.provider = 'multitenant' AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0
		AND split_part($1, ':', 2) IN ('read', 'create', 'update', 'delete')
		AND multitenant._label_json(s.objoid::regclass) ->> 'permissions' = split_part($1, ':', 1)
		ORDER BY s.objoid LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'permission "%" is asked for by table %', $1, asking
			USING ERRCODE = '55000', HINT = 'Protect the table with other permissions, or without, first.';
	END IF;
	DELETE FROM multitenant.permission p WHERE p.name = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no permission "%"', $1
			USING ERRCODE = '42704', HINT = 'The view multitenant.permissions lists them.';
	END IF;
	PERFORM multitenant._audit('permission.drop', NULL, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_permission(text) IS
'Removes a permission from the catalogue; afterwards asking for it is 42704. Wildcards do not keep it. For profile provisioner. Errors: 42501 profile or one of the extension''s own, 42704 no such permission, 55000 a role or template has it by name, or the rule of a purpose or a protected table asks for it.';

CREATE FUNCTION multitenant.create_role_template(
	name text, description text DEFAULT NULL, permissions text[] DEFAULT '{}', inherits text[] DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id uuid;
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing templates of roles');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	new_id := multitenant._new_role('00000000-0000-0000-0000-000000000000', $1, $2, $3, $4);
	PERFORM multitenant._audit('role.create', NULL, $1, 'done', jsonb_build_object('permissions', $3, 'inherits', $4));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_role_template(text, text, text[], text[]) IS
'Makes a role that every tenant can assign and inherit and none can change, and returns its id. permissions: resource:action, either may be *; inherits: names or ids of templates. For profile provisioner. Errors: 42501 profile, 22023 name, form or templates that exclude each other, 42704 no such permission or template, 42710 exists already.';

-- Null: none of them, which is what the service's own record says.
CREATE FUNCTION multitenant._tenants_with_role(role uuid)
RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT NULL::uuid
	UNION
	SELECT a.tenant_id FROM multitenant._roles_with($1) AS h(id) JOIN multitenant.role_assignment a ON a.role_id = h.id
		WHERE a.tenant_id <> '00000000-0000-0000-0000-000000000000';
END;
COMMENT ON FUNCTION multitenant._tenants_with_role(uuid) IS
'Internal: null, and the tenants in which the role, or one that inherits it, is assigned.';

CREATE FUNCTION multitenant.alter_role_template(
	template text, name text DEFAULT NULL, description text DEFAULT NULL, permissions text[] DEFAULT NULL, inherits text[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed multitenant.role;
	parent text;
	parents uuid[] := '{}';
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing templates of roles');
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the template');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	changed := multitenant._find_own_role('00000000-0000-0000-0000-000000000000', $1);
	IF num_nulls($2, $4, $5) < 3 THEN
		PERFORM multitenant._claim_template(changed);
	END IF;
	IF $2 <> changed.name THEN
		PERFORM multitenant._check_role_name('00000000-0000-0000-0000-000000000000', $2);
		UPDATE multitenant.role r SET name = $2 WHERE r.id = changed.id;
	END IF;
	-- By itself: with the name, it would wait for every tenant that is just assigning the template (_hold_role()).
	UPDATE multitenant.role r SET description = $3 WHERE r.id = changed.id AND $3 IS NOT NULL;
	IF $4 IS NOT NULL THEN
		DELETE FROM multitenant.role_permission p WHERE p.role_id = changed.id AND p.permission <> ALL ($4);
		PERFORM multitenant._add_role_permissions(changed, $4);
	END IF;
	IF $5 IS NOT NULL THEN
		FOREACH parent IN ARRAY $5 LOOP
			parents := parents || (multitenant._find_role('00000000-0000-0000-0000-000000000000', parent)).id;
		END LOOP;
		DELETE FROM multitenant.role_parent p WHERE p.role_id = changed.id AND p.parent_id <> ALL (parents);
		FOREACH parent IN ARRAY $5 LOOP
			PERFORM multitenant._add_role_parent(changed, parent);
		END LOOP;
	END IF;
	PERFORM multitenant._audit('role.alter', w.tenant_id, changed.name, 'done',
		jsonb_strip_nulls(jsonb_build_object('name', $2, 'description', $3, 'permissions', $4, 'inherits', $5)))
		FROM multitenant._tenants_with_role(changed.id) AS w(tenant_id);
END
$$;
COMMENT ON FUNCTION multitenant.alter_role_template(text, text, text, text[], text[]) IS
'Changes a template. template: its name or id. Null leaves as it is; permissions and inherits replace what was there. Anything but the description only as long as nobody has it, or a template that inherits it, in any tenant, no role of a tenant inherits it and no operator or break-glass has it: else make a new one. Superusers may change it for everybody who has it, with their next statement; it is recorded in every tenant where it is assigned. For profile provisioner. Errors: 42501 profile, somebody has it, or one of the extension''s own; 55000 a tenant is just assigning it; 22023 name, form, a cycle or templates that exclude each other, 42704 no such template or permission, 42710 name exists already.';

CREATE FUNCTION multitenant.drop_role_template(template text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dropped multitenant.role;
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing templates of roles');
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the template');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	dropped := multitenant._find_own_role('00000000-0000-0000-0000-000000000000', $1);
	PERFORM multitenant._claim_template(dropped);
	PERFORM multitenant._remove_role(dropped);
	PERFORM multitenant._audit('role.drop', NULL, dropped.name, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_role_template(text) IS
'Drops a template that nobody has. template: its name or id. For profile provisioner. Errors: 42501 profile, one of the extension''s own, or somebody has it (superusers: 55000); 42704 no such template; 55000 another template inherits it, or a tenant is just assigning it.';

CREATE FUNCTION multitenant.exclude_role_templates(template text, other text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing templates of roles');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'both templates');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	PERFORM multitenant._add_exclusion('00000000-0000-0000-0000-000000000000',
		multitenant._find_role('00000000-0000-0000-0000-000000000000', $1), multitenant._find_role('00000000-0000-0000-0000-000000000000', $2));
	PERFORM multitenant._audit('role.exclude', NULL, $1, 'done', jsonb_build_object('other', $2));
END
$$;
COMMENT ON FUNCTION multitenant.exclude_role_templates(text, text) IS
'Separation of duties in every tenant: from now on nobody is given both templates, directly, by a group or by a role that inherits one. Who has both keeps them; lint() names them. For profile provisioner. Errors: 42501 profile, 42704 no such template, 42710 they exclude each other already, 22023 one inherits the other, or a template has both.';

CREATE FUNCTION multitenant.drop_template_exclusion(template text, other text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing templates of roles');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'both templates');
	PERFORM multitenant._renew_rights(ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
	PERFORM multitenant._remove_exclusion('00000000-0000-0000-0000-000000000000',
		multitenant._find_role('00000000-0000-0000-0000-000000000000', $1), multitenant._find_role('00000000-0000-0000-0000-000000000000', $2));
	PERFORM multitenant._audit('role.drop_exclusion', NULL, $1, 'done', jsonb_build_object('other', $2));
END
$$;
COMMENT ON FUNCTION multitenant.drop_template_exclusion(text, text) IS
'Ends what exclude_role_templates() began. For profile provisioner. Errors: 42501 profile, 42704 no such template or exclusion.';

-- ---------------------------------------------------------------------------------------------------------------
-- Roles of a tenant
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant.create_role(
	name text, description text DEFAULT NULL, permissions text[] DEFAULT '{}', inherits text[] DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	new_id uuid := multitenant._new_role(tenant, $1, $2, $3, $4);
BEGIN
	PERFORM multitenant._audit('role.create', tenant, $1, 'done', jsonb_build_object('permissions', $3, 'inherits', $4));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_role(text, text, text[], text[]) IS
'Makes a role of the current tenant and returns its id. permissions: resource:action, either may be *; inherits: names or ids of roles of the tenant and of templates, whose permissions it has too. All of that the caller must hold himself, in the whole tenant and without an end. Needs role:manage. Errors: MT001; 42501 permission, or not held; 22023 name, form, or roles that exclude each other; 42704 no such permission or role; 42710 exists already.';

CREATE FUNCTION multitenant.alter_role(role text, name text DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	changed multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the role');
	changed := multitenant._find_own_role(tenant, $1);
	IF $2 <> changed.name THEN
		PERFORM multitenant._check_role_name(tenant, $2);
	END IF;
	UPDATE multitenant.role r SET name = coalesce($2, r.name), description = coalesce($3, r.description) WHERE r.id = changed.id;
	PERFORM multitenant._audit('role.alter', tenant, changed.name, 'done',
		jsonb_strip_nulls(jsonb_build_object('name', $2, 'description', $3)));
END
$$;
COMMENT ON FUNCTION multitenant.alter_role(text, text, text) IS
'Changes the name or description of a role of the current tenant; null leaves as it is. role: its name or id. Needs role:manage. Errors: MT001; 42501 permission, or a template; 42704 no such role; 42710 name exists already; 22023 invalid name.';

CREATE FUNCTION multitenant.drop_role(role text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	dropped multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the role');
	dropped := multitenant._find_own_role(tenant, $1);
	PERFORM multitenant._remove_role(dropped);
	PERFORM multitenant._audit('role.drop', tenant, dropped.name, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_role(text) IS
'Drops a role of the current tenant that nobody has. role: its name or id. Needs role:manage. Errors: MT001; 42501 permission, or a template; 42704 no such role; 55000 it is assigned, inherited, or the role of an operator or of break-glass.';

CREATE FUNCTION multitenant.grant_permission(role text, permission text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	changed multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'role and permission');
	changed := multitenant._find_own_role(tenant, $1);
	PERFORM multitenant._add_role_permissions(changed, ARRAY[$2]);
	PERFORM multitenant._audit('role.grant_permission', tenant, changed.name, 'done', jsonb_build_object('permission', $2));
END
$$;
COMMENT ON FUNCTION multitenant.grant_permission(text, text) IS
'Lets a role of the current tenant permit more, for everybody who has it, with their next statement. role: its name or id; permission: resource:action, either may be *; the caller must hold it himself, in the whole tenant and without an end. No error if the role has it. Needs role:manage. Errors: MT001; 42501 permission, not held, or a template; 42704 no such role or permission; 22023 form.';

CREATE FUNCTION multitenant.revoke_permission(role text, permission text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	had_administrator boolean := multitenant._has_administrator(tenant);
	changed multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'role and permission');
	changed := multitenant._find_own_role(tenant, $1);
	DELETE FROM multitenant.role_permission p WHERE p.role_id = changed.id AND p.permission = $2;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the role "%" does not permit "%" itself', changed.name, $2
			USING ERRCODE = '42704', HINT = 'What it inherits or permits by a wildcard is in the view multitenant.role_permissions.';
	END IF;
	PERFORM multitenant._keep_administrator(tenant, had_administrator);
	PERFORM multitenant._audit('role.revoke_permission', tenant, changed.name, 'done', jsonb_build_object('permission', $2));
END
$$;
COMMENT ON FUNCTION multitenant.revoke_permission(text, text) IS
'Takes a permission, literally as it was given, from a role of the current tenant, and so from everybody who has the role, with their next statement. role: its name or id. Needs role:manage. Errors: MT001; 42501 permission, or a template; 42704 no such role, or it has no such permission of its own; 55000 the tenant would be left without an administrator.';

CREATE FUNCTION multitenant.inherit_role(role text, parent text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	changed multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'both roles');
	changed := multitenant._find_own_role(tenant, $1);
	PERFORM multitenant._add_role_parent(changed, $2);
	PERFORM multitenant._audit('role.inherit', tenant, changed.name, 'done', jsonb_build_object('parent', $2));
END
$$;
COMMENT ON FUNCTION multitenant.inherit_role(text, text) IS
'Lets a role of the current tenant have everything that another role of it, or a template, has. Both by name or id; the caller must hold what the parent permits, in the whole tenant and without an end. No error if it inherits it already. Needs role:manage. Errors: MT001; 42501 permission, not held, or a template; 42704 no such role; 22023 a cycle, or the role would have roles that exclude each other; 55000 somebody would.';

CREATE FUNCTION multitenant.disinherit_role(role text, parent text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
	had_administrator boolean := multitenant._has_administrator(tenant);
	changed multitenant.role;
	above multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'both roles');
	changed := multitenant._find_own_role(tenant, $1);
	above := multitenant._find_role(tenant, $2);
	DELETE FROM multitenant.role_parent p WHERE p.role_id = changed.id AND p.parent_id = above.id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the role "%" does not inherit "%" itself', changed.name, above.name
			USING ERRCODE = '42704', HINT = 'The view multitenant.role_permissions says what comes from where.';
	END IF;
	PERFORM multitenant._keep_administrator(tenant, had_administrator);
	PERFORM multitenant._audit('role.disinherit', tenant, changed.name, 'done', jsonb_build_object('parent', above.name));
END
$$;
COMMENT ON FUNCTION multitenant.disinherit_role(text, text) IS
'Ends what inherit_role() began. Needs role:manage. Errors: MT001; 42501 permission, or a template; 42704 no such role, or not inherited; 55000 the tenant would be left without an administrator.';

CREATE FUNCTION multitenant.exclude_roles(role text, other text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'both roles');
	PERFORM multitenant._add_exclusion(tenant, multitenant._find_role(tenant, $1), multitenant._find_role(tenant, $2));
	PERFORM multitenant._audit('role.exclude', tenant, $1, 'done', jsonb_build_object('other', $2));
END
$$;
COMMENT ON FUNCTION multitenant.exclude_roles(text, text) IS
'Separation of duties in the current tenant: from now on nobody is given both roles, directly, by a group or by a role that inherits one. Both by name or id, also templates. Who has both keeps them; review_access() and lint() name them. Needs role:manage. Errors: MT001; 42501 permission; 42704 no such role; 42710 they exclude each other already; 22023 one inherits the other, or a role of the tenant has both.';

CREATE FUNCTION multitenant.drop_exclusion(role text, other text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._change_rights('role:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'both roles');
	PERFORM multitenant._remove_exclusion(tenant, multitenant._find_role(tenant, $1), multitenant._find_role(tenant, $2));
	PERFORM multitenant._audit('role.drop_exclusion', tenant, $1, 'done', jsonb_build_object('other', $2));
END
$$;
COMMENT ON FUNCTION multitenant.drop_exclusion(text, text) IS
'Ends what exclude_roles() began; not what a provider has excluded for templates. Needs role:manage. Errors: MT001; 42501 permission; 42704 no such role or exclusion.';

-- ---------------------------------------------------------------------------------------------------------------
-- What people see of it
-- ---------------------------------------------------------------------------------------------------------------

CREATE VIEW multitenant.permissions WITH (security_barrier = true) AS
	SELECT p.name, p.description, p.is_builtin FROM multitenant.permission p;
COMMENT ON VIEW multitenant.permissions IS
'The catalogue: what can be permitted, the same in every tenant.';

CREATE VIEW multitenant.roles WITH (security_barrier = true) AS
	SELECT r.id, r.name, r.description, r.tenant_id = '00000000-0000-0000-0000-000000000000' AS is_template, r.is_builtin, r.since
	FROM multitenant.role r
	WHERE r.tenant_id IN ((SELECT multitenant._require_permission('role:read')), '00000000-0000-0000-0000-000000000000');
COMMENT ON VIEW multitenant.roles IS
'Roles of the current tenant, and templates. Needs role:read; errors: MT001, 42501.';

CREATE VIEW multitenant.role_permissions WITH (security_barrier = true) AS
	WITH RECURSIVE up(role_id, id) AS (
		SELECT r.id, r.id FROM multitenant.role r
		WHERE r.tenant_id IN ((SELECT multitenant._require_permission('role:read')), '00000000-0000-0000-0000-000000000000')
		UNION
		SELECT up.role_id, p.parent_id FROM up JOIN multitenant.role_parent p ON p.role_id = up.id)
	SELECT up.role_id, r.name AS role, p.permission, CASE WHEN up.id <> up.role_id THEN f.name END AS inherited_from
	FROM up JOIN multitenant.role_permission p ON p.role_id = up.id
	JOIN multitenant.role r ON r.id = up.role_id JOIN multitenant.role f ON f.id = up.id;
COMMENT ON VIEW multitenant.role_permissions IS
'What each role of the current tenant and each template permits; inherited_from: the role that has it, null for itself. Needs role:read; errors: MT001, 42501.';

CREATE VIEW multitenant.role_exclusions WITH (security_barrier = true) AS
	SELECT least(r.name, o.name) AS role, greatest(r.name, o.name) AS other, e.tenant_id = '00000000-0000-0000-0000-000000000000' AS is_everywhere, e.since
	FROM multitenant.role_exclusion e JOIN multitenant.role r ON r.id = e.role_id JOIN multitenant.role o ON o.id = e.excluded_id
	WHERE e.tenant_id IN ((SELECT multitenant._require_permission('role:read')), '00000000-0000-0000-0000-000000000000');
COMMENT ON VIEW multitenant.role_exclusions IS
'Which roles exclude each other, in the current tenant or (is_everywhere) in all. Needs role:read; errors: MT001, 42501.';
