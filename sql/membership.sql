/*
 * membership.sql
 *	  Who belongs to a tenant: from outside, inside, and by the principals themselves.
 *
 * What changes members takes the tenant's turn first (_renew_rights), so that two sessions cannot each remove the other
 * administrator. But whoever has no rights to manage takes no turn, with which he could hold up that his rights are taken:
 * what somebody takes back of his own he does under the lock of his row in member alone, for which he does not wait, and
 * who takes it away from him, under the turn, ends the session that has that lock (_claim_member()). Nothing here tells a
 * tenant anything of a principal that is not its own doing: neither whether it is known, nor whether it is disabled, nor
 * whether it is a member elsewhere.
 */

-- ---------------------------------------------------------------------------------------------------------------
-- What the functions share
-- ---------------------------------------------------------------------------------------------------------------

-- In all of the tenant, and can use it now.
CREATE FUNCTION multitenant._holders(tenant uuid, permissions text[])
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	WITH RECURSIVE granting(id) AS (
		SELECT p.role_id FROM multitenant.role_permission p, unnest($2) AS w(name)
		WHERE p.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
			AND multitenant._covers(p.permission, w.name)
		UNION
		SELECT p.role_id FROM multitenant.role_parent p JOIN granting g ON g.id = p.parent_id
		WHERE p.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
	), holding(is_group, name) AS (
		SELECT a.is_group, a.assignee FROM multitenant.role_assignment a JOIN granting g ON g.id = a.role_id
		WHERE a.tenant_id = $1 AND a.scope_id IS NULL
			AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
		UNION
		SELECT m.is_group, m.member FROM multitenant.group_member m JOIN holding h ON h.is_group AND h.name = m.group_name
		WHERE m.tenant_id = $1
	)
	SELECT DISTINCT h.name FROM holding h
		JOIN multitenant.member m ON m.tenant_id = $1 AND m.principal = h.name
	WHERE NOT h.is_group AND m.state = 'active' AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
		AND NOT EXISTS (SELECT FROM multitenant.principal p WHERE p.id = m.principal AND p.state <> 'active');
END;
COMMENT ON FUNCTION multitenant._holders(uuid, text[]) IS
'Internal: the members that hold one of the permissions.';

-- 2: it has an administrator; 1: somebody who manages its members.
CREATE FUNCTION multitenant._managed(tenant uuid)
RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE WHEN multitenant._has_administrator($1) THEN 2
		WHEN EXISTS (SELECT FROM multitenant._holders($1, '{member:manage}')) THEN 1
		ELSE 0 END;
END
$$;
COMMENT ON FUNCTION multitenant._managed(uuid) IS
'Internal: how well a tenant can manage itself.';

-- Security: a tenant that nobody manages would need help from outside, which could then choose its administrator.
CREATE FUNCTION multitenant._keep_managed(tenant uuid, before integer)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF multitenant._managed($1) < before AND NOT multitenant._is_unlimited() THEN
		RAISE EXCEPTION 'nobody would be left to manage this tenant'
			USING ERRCODE = '55000',
			HINT = 'Give another member the permissions member:manage and role:assign first, in the whole tenant and without an end.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._keep_managed(uuid, integer) IS
'Internal: raises 55000 if a change has taken away the last administrator, or the last who manages members; superusers may do that.';

CREATE FUNCTION multitenant._end_session_of_member(tenant uuid, principal text)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_end_session_of_member';
COMMENT ON FUNCTION multitenant._end_session_of_member(uuid, text) IS
'Internal: ends the session whose open transaction has changed or locked the row of this member; false if there is none, or it is a superuser''s.';

CREATE FUNCTION multitenant._raise_busy_member()
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'the membership is just being changed by another session'
		USING ERRCODE = '55000', HINT = 'Nothing was changed; try again when that session has ended its transaction.';
END
$$;
COMMENT ON FUNCTION multitenant._raise_busy_member() IS
'Internal: raises 55000.';

-- Security: who takes something of his own back does not wait for the row. Whoever else has it locked is himself, or takes
-- it away from him; a queue of his own sessions would be in front of the next one who does (_claim_member()).
CREATE FUNCTION multitenant._lock_own_member(tenant uuid, principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM multitenant.member m WHERE m.tenant_id = $1 AND m.principal = $2 FOR UPDATE NOWAIT;
EXCEPTION WHEN lock_not_available THEN
	PERFORM multitenant._raise_busy_member();
END
$$;
COMMENT ON FUNCTION multitenant._lock_own_member(uuid, text) IS
'Internal: locks the row of the current principal; 55000 if another session has it locked.';

-- Security: the caller has the tenant's turn, so whoever has this lock takes something of his own back - leaving, an
-- invitation, break-glass - and has not ended his transaction. He must not hold up that it is taken away from him, with
-- however many sessions: none of them waits for the row (_lock_own_member(), _begin_answer()), so there is no queue, and
-- nothing is lost by giving up the place in it after each attempt. When the session that has the row is ended, we are the
-- only one who is woken; another one of his gets in between only if it asks in that very moment, and is ended in its turn.
-- All of it has an end, as the turn is held meanwhile: what a superuser locks by hand, or a prepared transaction, and who
-- wins that race a hundred times, is answered by an error, and the turn is free.
CREATE FUNCTION multitenant._claim_member(tenant uuid, principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	patience text := current_setting('lock_timeout');
BEGIN
	-- Who is just committing needs no help.
	FOR try IN 1..100 LOOP
		BEGIN
			PERFORM set_config('lock_timeout', CASE try WHEN 1 THEN '500ms' ELSE '100ms' END, true);
			PERFORM FROM multitenant.member m WHERE m.tenant_id = $1 AND m.principal = $2 FOR UPDATE;
			PERFORM set_config('lock_timeout', patience, true);
			RETURN;
		EXCEPTION WHEN lock_not_available THEN
			-- That is done whatever becomes of this transaction. Security: who fills the places for processes, so that it
			-- cannot be recorded for good, does not keep his rights with that.
			IF multitenant._end_session_of_member($1, $2) THEN
				BEGIN
					PERFORM multitenant._audit_durably('tenant.end_session', $1, $2, 'done', '{}');
				EXCEPTION WHEN object_not_in_prerequisite_state THEN
					PERFORM multitenant._audit('tenant.end_session', $1, $2, 'done', '{}');
				END;
			END IF;
		END;
	END LOOP;
	PERFORM multitenant._raise_busy_member();
END
$$;
COMMENT ON FUNCTION multitenant._claim_member(uuid, text) IS
'Internal: locks the row of a member, or of an invitation, and ends the session that has it locked; 55000 if that does not come to an end within about ten seconds.';

-- The lock: the mode does not change while members are added.
CREATE FUNCTION multitenant._is_single_membership()
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	LOCK TABLE multitenant.member IN ROW EXCLUSIVE MODE;
	RETURN EXISTS (SELECT FROM multitenant.membership_rule r WHERE r.mode = 'single');
END
$$;
COMMENT ON FUNCTION multitenant._is_single_membership() IS
'Internal: may a principal be a member of one tenant only?';

CREATE FUNCTION multitenant._raise_other_membership()
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'the principal is a member already, and can be one of one tenant only'
		USING ERRCODE = '55000', HINT = 'It leaves the other tenant first, with multitenant.leave_tenant().';
END
$$;
COMMENT ON FUNCTION multitenant._raise_other_membership() IS
'Internal: raises 55000 in membership mode single.';

-- What was given to somebody must not be there again when he comes back.
CREATE FUNCTION multitenant._strip_member(tenant uuid, principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM multitenant.group_member g WHERE g.tenant_id = $1 AND NOT g.is_group AND g.member = $2;
	DELETE FROM multitenant.role_assignment a WHERE a.tenant_id = $1 AND NOT a.is_group AND a.assignee = $2;
	UPDATE multitenant.break_glass b SET closed_at = now()
		WHERE b.tenant_id = $1 AND b.principal = $2 AND b.closed_at IS NULL AND b.ends_at > now();
END
$$;
COMMENT ON FUNCTION multitenant._strip_member(uuid, text) IS
'Internal: takes away what a principal has in a tenant.';

-- Of invitations and memberships alike. The row goes first: what goes after it needs no turn.
CREATE FUNCTION multitenant._part(tenant uuid, principal text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM multitenant.member m WHERE m.tenant_id = $1 AND m.principal = $2;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM multitenant._strip_member($1, $2);
	RETURN true;
END
$$;
COMMENT ON FUNCTION multitenant._part(uuid, text) IS
'Internal: removes a member and what it has in the tenant; false if it is none.';

-- Security: a membership or invitation that has expired is none, and neither is one that was removed by hand.
CREATE FUNCTION multitenant._forget_former_member(tenant uuid, principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM multitenant.member m WHERE m.tenant_id = $1 AND m.principal = $2
				   AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())) THEN
		PERFORM multitenant._strip_member($1, $2);
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._forget_former_member(uuid, text) IS
'Internal: whoever comes into the tenant anew finds nothing of what he had.';

-- Makes an active member; an invitation that is there becomes a membership. The caller has the row, if there is one.
CREATE FUNCTION multitenant._join(tenant uuid, principal text, invited_by text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	is_single boolean := multitenant._is_single_membership();
	found_state text;
BEGIN
	PERFORM multitenant._forget_former_member($1, $2);
	SELECT m.state INTO found_state FROM multitenant.member m WHERE m.tenant_id = $1 AND m.principal = $2 FOR UPDATE;
	IF found_state = 'suspended' THEN
		RAISE EXCEPTION 'the member is suspended'
			USING ERRCODE = '55000', HINT = 'Inside the tenant, multitenant.resume_member() ends that.';
	ELSIF found_state IS NULL THEN
		INSERT INTO multitenant.member (tenant_id, principal, is_sole, invited_by) VALUES ($1, $2, is_single, $3);
	ELSE
		UPDATE multitenant.member m SET state = 'active', is_sole = is_single, expires_at = NULL,
			added_at = CASE m.state WHEN 'invited' THEN now() ELSE m.added_at END
		WHERE m.tenant_id = $1 AND m.principal = $2
			AND (m.state = 'invited' OR m.expires_at <= clock_timestamp());
	END IF;
EXCEPTION WHEN unique_violation THEN
	PERFORM multitenant._raise_other_membership();
END
$$;
COMMENT ON FUNCTION multitenant._join(uuid, text, text) IS
'Internal: makes a principal an active member.';

-- ---------------------------------------------------------------------------------------------------------------
-- From outside
-- ---------------------------------------------------------------------------------------------------------------

-- Security: members and rights are given from outside only as long as the tenant has never given any itself. The mark
-- stays, whatever becomes of whoever was given the first role: else taking that away would open the tenant again. Asked
-- under the turn, which whoever gives a role has.
CREATE FUNCTION multitenant._refuse_self_governed(tenant uuid)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM multitenant.tenant t WHERE t.id = $1 AND t.is_self_governed) AND NOT multitenant._has('superuser') THEN
		RAISE EXCEPTION 'permission denied: the tenant decides itself who is a member'
			USING ERRCODE = '42501', HINT = 'One of its administrators calls multitenant.invite_member() and multitenant.assign_role().';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._refuse_self_governed(uuid) IS
'Internal: raises 42501 where a role has been given in the tenant, but for superusers.';

CREATE FUNCTION multitenant._assign_first_role(tenant uuid, principal text, role text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	template uuid := (multitenant._hold_template($3)).id;
BEGIN
	-- Who assigned it stays null: the tenant reads that column.
	INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES ($1, false, $2, template)
		ON CONFLICT ON CONSTRAINT role_assignment_key DO UPDATE SET expires_at = NULL;
	PERFORM multitenant._require_separate_duties($1, ARRAY[$2], ARRAY[template]);
END
$$;
COMMENT ON FUNCTION multitenant._assign_first_role(uuid, text, text) IS
'Internal: gives a role from outside; the caller has asked whether it may.';

CREATE FUNCTION multitenant.add_member(tenant uuid, principal text, role text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'tenant and principal');
	PERFORM multitenant._require('manage_tenants', 'adding a member');
	PERFORM multitenant._require_tenant($1);
	PERFORM multitenant._check_principal($2);
	PERFORM multitenant._renew_rights(ARRAY[$1]);
	PERFORM multitenant._refuse_self_governed($1);
	PERFORM multitenant._claim_member($1, $2);
	PERFORM multitenant._join($1, $2, NULL);
	PERFORM multitenant._assign_first_role($1, $2, $3);
	PERFORM multitenant._audit('tenant.add_member', $1, $2, 'done', jsonb_strip_nulls(jsonb_build_object('role', $3)));
END
$$;
COMMENT ON FUNCTION multitenant.add_member(uuid, text, text) IS
'Makes a principal a member of a tenant, which it can then switch to. principal: the "sub" of its tokens. role: a template, such as administrator, that it gets in the whole tenant. Only as long as nobody there has ever been given a role: from then on the tenant invites its members itself, and only superusers may. Somebody who is a member already stays one. For profile provisioner. Errors: 42501 profile, or somebody has been given a role; MT008 unknown tenant, 22023 invalid principal, 42704 no such template, 55000 the member is suspended, or a member of another tenant in membership mode single.';

CREATE FUNCTION multitenant.remove_member(tenant uuid, principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	managed integer;
	is_removed boolean;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'tenant and principal');
	PERFORM multitenant._require('manage_tenants', 'removing a member');
	IF EXISTS (SELECT FROM multitenant.member m WHERE m.tenant_id = $1 AND m.principal = $2) THEN
		PERFORM multitenant._renew_rights(ARRAY[$1]);
		PERFORM multitenant._claim_member($1, $2);
		managed := multitenant._managed($1);
		is_removed := multitenant._part($1, $2);
	END IF;
	IF is_removed IS NOT TRUE THEN
		RAISE EXCEPTION 'the principal is not a member of this tenant'
			USING ERRCODE = 'MT008', HINT = 'Nothing was changed; check tenant and principal.';
	END IF;
	-- Security: the question that is asked inside, so that no member opens the tenant to who takes the others away.
	IF NOT multitenant._has('superuser') THEN
		PERFORM multitenant._keep_managed($1, managed);
	END IF;
	PERFORM multitenant._audit('tenant.remove_member', $1, $2, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.remove_member(uuid, text) IS
'Takes a principal, or its invitation, out of a tenant, with its groups and assignments there. For profile provisioner. Errors: 42501 profile, MT008 not a member, 55000 nobody would be left who manages the tenant (superusers may).';

CREATE FUNCTION multitenant.add_member(tenant text, principal text, role text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.add_member(multitenant.tenant_id($1), $2, $3);
END;
COMMENT ON FUNCTION multitenant.add_member(text, text, text) IS
'As add_member(uuid, ..), by slug.';

CREATE FUNCTION multitenant.remove_member(tenant text, principal text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.remove_member(multitenant.tenant_id($1), $2);
END;
COMMENT ON FUNCTION multitenant.remove_member(text, text) IS
'As remove_member(uuid, ..), by slug.';

CREATE FUNCTION multitenant.set_membership_mode(mode text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	several bigint;
BEGIN
	PERFORM multitenant._require('superuser', 'setting the membership mode');
	IF $1 IS NULL OR $1 NOT IN ('single', 'multiple') THEN
		RAISE EXCEPTION 'unknown membership mode'
			USING ERRCODE = '22023', HINT = 'The modes are single and multiple.';
	END IF;
	-- The turn of every tenant, then what _is_single_membership() locks.
	PERFORM multitenant._renew_rights(ARRAY(SELECT t.id FROM multitenant.tenant t));
	LOCK TABLE multitenant.member IN SHARE ROW EXCLUSIVE MODE;
	IF $1 = 'single' THEN
		SELECT count(*) INTO several FROM (
			SELECT FROM multitenant.member m WHERE m.state <> 'invited' GROUP BY m.principal HAVING count(*) > 1) AS p;
		IF several > 0 THEN
			RAISE EXCEPTION '% principals are members of several tenants', several
				USING ERRCODE = '55000', HINT = 'Remove them from all tenants but one first.';
		END IF;
	END IF;
	INSERT INTO multitenant.membership_rule (mode) VALUES ($1)
		ON CONFLICT ON CONSTRAINT membership_rule_pkey DO UPDATE SET mode = excluded.mode;
	UPDATE multitenant.member m SET is_sole = ($1 = 'single') WHERE m.is_sole <> ($1 = 'single');
	PERFORM multitenant._audit('access.set_membership_mode', NULL, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.set_membership_mode(text) IS
'May a principal be a member of several tenants (multiple, the default) or of one only (single)? Invitations do not count until they are accepted. Superusers only. Errors: 42501; 22023 unknown mode; 55000 there are principals with several, and how many.';

-- ---------------------------------------------------------------------------------------------------------------
-- Inside a tenant
-- ---------------------------------------------------------------------------------------------------------------

-- Security: the same for who is unknown, disabled or a member elsewhere; only the principal itself learns it.
CREATE FUNCTION multitenant.invite_member(principal text, expires_at timestamptz DEFAULT now() + interval '7 days')
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'principal and expires_at');
	PERFORM multitenant._check_principal($1);
	IF $2 <= now() THEN
		RAISE EXCEPTION 'expires_at has passed'
			USING ERRCODE = '22023', HINT = 'Give a time in the future.';
	END IF;
	PERFORM multitenant._claim_member(own_tenant, $1);
	PERFORM multitenant._forget_former_member(own_tenant, $1);
	INSERT INTO multitenant.member AS m (tenant_id, principal, state, is_sole, invited_by, expires_at)
		VALUES (own_tenant, $1, 'invited', multitenant._is_single_membership(), multitenant.current_principal(), $2)
		ON CONFLICT ON CONSTRAINT member_pkey DO UPDATE
			SET invited_by = excluded.invited_by, expires_at = excluded.expires_at, added_at = now()
			WHERE m.state = 'invited';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the principal is a member of this tenant already'
			USING ERRCODE = '42710', HINT = 'See the view multitenant.members.';
	END IF;
	PERFORM multitenant._audit('tenant.invite_member', own_tenant, $1, 'done', jsonb_build_object('expires_at', $2));
END
$$;
COMMENT ON FUNCTION multitenant.invite_member(text, timestamptz) IS
'Invites a principal into the current tenant, which becomes a member when it calls accept_invitation(); again: renews the invitation. principal: the "sub" of its tokens, also of one that is not known yet. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 22023 principal or time; 42710 a member already.';

CREATE FUNCTION multitenant.withdraw_invitation(principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the principal');
	PERFORM multitenant._claim_member(own_tenant, $1);
	IF NOT EXISTS (SELECT FROM multitenant.member m
				   WHERE m.tenant_id = own_tenant AND m.principal = $1 AND m.state = 'invited') THEN
		RAISE EXCEPTION 'there is no such invitation'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.members.';
	END IF;
	PERFORM multitenant._part(own_tenant, $1);
	PERFORM multitenant._audit('tenant.withdraw_invitation', own_tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.withdraw_invitation(text) IS
'Takes back an invitation into the current tenant, with the roles that were assigned to it. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such invitation.';

-- Security: in mode single always refused, else it would tell who is a member elsewhere.
CREATE FUNCTION multitenant.add_member(principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the principal');
	PERFORM multitenant._check_principal($1);
	IF multitenant._is_single_membership() THEN
		RAISE EXCEPTION 'members of this tenant can only be invited'
			USING ERRCODE = '55000', HINT = 'Call multitenant.invite_member().';
	END IF;
	PERFORM multitenant._claim_member(own_tenant, $1);
	PERFORM multitenant._join(own_tenant, $1, multitenant.current_principal());
	PERFORM multitenant._audit('tenant.add_member', own_tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.add_member(text) IS
'Makes a principal a member of the current tenant without asking it. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 22023 invalid principal; 55000 the member is suspended, or membership mode single, in which principals are invited.';

CREATE FUNCTION multitenant._raise_unknown_member()
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'there is no such member of this tenant'
		USING ERRCODE = '42704', HINT = 'See the view multitenant.members.';
END
$$;
COMMENT ON FUNCTION multitenant._raise_unknown_member() IS
'Internal: raises 42704.';

-- Security: the state is an argument, so this is not for PUBLIC to call.
CREATE FUNCTION multitenant._change_member(tenant uuid, principal text, new_state text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old_state text;
BEGIN
	PERFORM multitenant._claim_member($1, $2);
	SELECT m.state INTO old_state FROM multitenant.member m
		WHERE m.tenant_id = $1 AND m.principal = $2 AND m.state <> 'invited' FOR UPDATE;
	IF old_state IS NULL THEN
		PERFORM multitenant._raise_unknown_member();
	ELSIF old_state = new_state THEN
		RAISE EXCEPTION 'the member is % already', old_state
			USING ERRCODE = '55000', HINT = 'Nothing was changed.';
	END IF;
	UPDATE multitenant.member m SET state = new_state WHERE m.tenant_id = $1 AND m.principal = $2;
END
$$;
COMMENT ON FUNCTION multitenant._change_member(uuid, text, text) IS
'Internal: the one place where members become suspended and active again.';

CREATE FUNCTION multitenant.suspend_member(principal text, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
	managed integer := multitenant._managed(own_tenant);
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'principal and reason');
	PERFORM multitenant._change_member(own_tenant, $1, 'suspended');
	PERFORM multitenant._keep_managed(own_tenant, managed);
	PERFORM multitenant._audit('tenant.suspend_member', own_tenant, $1, 'done', jsonb_build_object('reason', $2));
END
$$;
COMMENT ON FUNCTION multitenant.suspend_member(text, text) IS
'Keeps a member out of the current tenant for a while, whatever its tokens say; groups and assignments stay for resume_member(). From the commit on its next statement is refused with MT008. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such member; 55000 suspended already, or nobody would be left who manages the tenant.';

CREATE FUNCTION multitenant.resume_member(principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the principal');
	-- Security: it gives him again what he was assigned.
	PERFORM multitenant._require_grantable(a.role_id, a.scope_id, a.expires_at) FROM multitenant._assignments_of(own_tenant, $1) a;
	PERFORM multitenant._change_member(own_tenant, $1, 'active');
	PERFORM multitenant._audit('tenant.resume_member', own_tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.resume_member(text) IS
'Ends the suspension of a member of the current tenant, who has what he had. Needs member:manage, and everything that is assigned to him. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such member; 55000 not suspended.';

CREATE FUNCTION multitenant.remove_member(principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._change_rights('member:manage');
	managed integer := multitenant._managed(own_tenant);
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the principal');
	PERFORM multitenant._claim_member(own_tenant, $1);
	IF NOT EXISTS (SELECT FROM multitenant.member m
				   WHERE m.tenant_id = own_tenant AND m.principal = $1 AND m.state <> 'invited') THEN
		PERFORM multitenant._raise_unknown_member();
	END IF;
	PERFORM multitenant._part(own_tenant, $1);
	PERFORM multitenant._keep_managed(own_tenant, managed);
	PERFORM multitenant._audit('tenant.remove_member', own_tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.remove_member(text) IS
'Takes a member out of the current tenant, with its groups and assignments. From the commit on contexts that it entered with switch_tenant() are refused with MT008, and rights it has none. Needs member:manage. Errors: MT001, MT003, MT006, MT008 no valid context; 42501; 42704 no such member; 55000 nobody would be left who manages the tenant.';

-- ---------------------------------------------------------------------------------------------------------------
-- By the principal itself
-- ---------------------------------------------------------------------------------------------------------------

-- Security: no turn is taken: whoever is invited could hold up the tenant with it. Nothing is locked in a tenant that
-- has not invited the principal, and nothing is waited for (_lock_own_member()).
CREATE FUNCTION multitenant._begin_answer(principal text, tenant text)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	inviting uuid;
BEGIN
	SELECT t.id INTO inviting FROM multitenant.member m JOIN multitenant.tenant t ON t.id = m.tenant_id
		WHERE m.principal = $1 AND m.state = 'invited'
			AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
			AND (t.slug = $2 OR t.id::text = lower($2)) AND t.state <> 'deleted'
		FOR UPDATE OF m NOWAIT;
	IF inviting IS NULL THEN
		RAISE EXCEPTION 'no invitation into such a tenant'
			USING ERRCODE = 'MT008', HINT = 'See the view multitenant.memberships; the invitation may have expired or been withdrawn.';
	END IF;
	RETURN inviting;
EXCEPTION WHEN lock_not_available THEN
	PERFORM multitenant._raise_busy_member();
END
$$;
COMMENT ON FUNCTION multitenant._begin_answer(text, text) IS
'Internal: the tenant that has invited the principal, with the invitation locked; MT008 if there is none, 55000 if another session has it locked.';

CREATE FUNCTION multitenant.accept_invitation(tenant text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_principal text := multitenant._require_own_principal();
	inviting uuid := multitenant._begin_answer(own_principal, $1);
BEGIN
	PERFORM multitenant._join(inviting, own_principal, NULL);
	PERFORM multitenant._audit('tenant.accept_invitation', inviting, own_principal, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.accept_invitation(text) IS
'Makes the current principal a member of a tenant that has invited it: its slug or id. Needs a credential that names the principal only. Errors: MT001, MT003, MT008 no valid context; 42501 a credential of one tenant; MT008 no such tenant, or no invitation; 55000 it is just being changed by another session, or a member of another tenant in membership mode single.';

CREATE FUNCTION multitenant.decline_invitation(tenant text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_principal text := multitenant._require_own_principal();
	inviting uuid := multitenant._begin_answer(own_principal, $1);
BEGIN
	PERFORM multitenant._part(inviting, own_principal);
	PERFORM multitenant._audit('tenant.decline_invitation', inviting, own_principal, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.decline_invitation(text) IS
'Declines an invitation of the current principal: the tenant''s slug or id. Needs a credential that names the principal only. Errors: MT001, MT003, MT008 no valid context; 42501 a credential of one tenant; MT008 no such tenant, or no invitation; 55000 it is just being changed by another session.';

CREATE FUNCTION multitenant.leave_tenant()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_tenant uuid := multitenant._require_own_tenant('leaving a tenant');
	own_principal text := multitenant.current_principal();
	managed integer;
BEGIN
	-- Security: only who manages could be the last one, and may take the turn.
	IF own_principal IN (SELECT multitenant._holders(own_tenant, '{role:assign,member:manage}')) THEN
		PERFORM multitenant._renew_rights(ARRAY[own_tenant]);
		managed := multitenant._managed(own_tenant);
	END IF;
	-- Whoever gives him a role meanwhile ends this session, if it lasts (assignments.sql).
	PERFORM multitenant._lock_own_member(own_tenant, own_principal);
	-- Security: again, behind the lock: who gave him such a role before it may count on him, and leave.
	IF managed IS NULL THEN
		PERFORM multitenant._refuse_old_rights(own_tenant);
		IF own_principal IN (SELECT multitenant._holders(own_tenant, '{role:assign,member:manage}')) THEN
			PERFORM multitenant._raise_busy_member();
		END IF;
	END IF;
	PERFORM FROM multitenant.member m
		WHERE m.tenant_id = own_tenant AND m.principal = own_principal AND m.state <> 'invited' FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the principal is not a member of this tenant'
			USING ERRCODE = 'MT008', HINT = 'Nothing was changed; its credential alone brought it here, or it has just been removed.';
	END IF;
	PERFORM multitenant._part(own_tenant, own_principal);
	PERFORM multitenant._keep_managed(own_tenant, managed);
	PERFORM multitenant._audit('tenant.leave_tenant', own_tenant, own_principal, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.leave_tenant() IS
'Takes the current principal out of the current tenant, with its groups and assignments. Errors: MT001, MT003, MT006, MT008 no valid context, or not a member; 42501 supervised contexts; 55000 the membership is just being changed by another session, or nobody would be left who manages the tenant.';

-- ---------------------------------------------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------------------------------------------

CREATE VIEW multitenant.memberships WITH (security_barrier = true) AS
	SELECT t.id, t.slug, t.name, m.state, m.added_at
	FROM multitenant.member m JOIN multitenant.tenant t ON t.id = m.tenant_id
	-- A sub-select: the planner would call the function for its estimates, also where nobody asks for rows.
	WHERE m.principal = (SELECT multitenant._require_own_principal())
		AND t.state <> 'deleted'
		AND (m.state <> 'invited' OR m.expires_at IS NULL OR m.expires_at > clock_timestamp());
COMMENT ON VIEW multitenant.memberships IS
'The tenants of the current principal, and those that have invited it. Needs a credential that names the principal only.';

CREATE VIEW multitenant.members WITH (security_barrier = true) AS
	SELECT m.principal, m.state, m.added_at, m.invited_by, m.expires_at
	FROM multitenant.member m
	WHERE m.tenant_id = (SELECT multitenant._require_permission('member:read'));
COMMENT ON VIEW multitenant.members IS
'The members of the current tenant, and whom it has invited, for its own principals that have member:read.';
