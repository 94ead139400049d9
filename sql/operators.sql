/*
 * operators.sql
 *	  Who looks after tenants from outside: master accounts, links and operators; what a tenant lets them see, and what
 *	  they may ask it for.
 *
 * From outside, profile provisioner says who looks after whom; how much that is worth is the tenant's affair: its
 * visibility and its approvals. Security: what an operator calls runs as a principal without a tenant, and answers every
 * reason for "no" with the same error.
 */

CREATE FUNCTION multitenant._outside_principal()
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_outside_principal';
COMMENT ON FUNCTION multitenant._outside_principal() IS
'Internal: the principal of a context without a tenant, if its credential holds; else null.';

-- For views: whoever lacks the permission sees no rows there.
CREATE FUNCTION multitenant._tenant_permitting(permission text)
RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._tenant_in('tenant');
BEGIN
	IF tenant IS NULL THEN
		RETURN NULL;
	ELSIF multitenant.current_principal() IS NULL THEN
		RETURN CASE WHEN multitenant._has('superuser') THEN tenant END;
	END IF;
	RETURN CASE WHEN multitenant.has_permission($1) THEN tenant END;
END
$$;
COMMENT ON FUNCTION multitenant._tenant_permitting(text) IS
'Internal: the tenant of a context of its own whose principal has the permission; else null.';

CREATE FUNCTION multitenant._require_outside_principal()
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	principal text := multitenant._outside_principal();
	current_state text;
BEGIN
	IF principal IS NULL THEN
		SELECT c.state INTO current_state FROM multitenant._context() c;
		IF current_state IN ('tenant', 'system') THEN
			RAISE EXCEPTION 'this transaction already has another context'
				USING ERRCODE = 'MT005', HINT = 'Authenticate in a new transaction with a credential that names only its principal.';
		END IF;
		RAISE EXCEPTION 'no principal that looks after tenants'
			USING ERRCODE = 'MT001', HINT = 'Call multitenant.authenticate() with a credential that holds and names only its principal.';
	END IF;
	RETURN principal;
END
$$;
COMMENT ON FUNCTION multitenant._require_outside_principal() IS
'Internal: the principal of a context without a tenant; raises MT001 without one, MT005 in another context.';

CREATE FUNCTION multitenant._raise_no_operator()
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'this principal may not look into this tenant'
		USING ERRCODE = 'MT008',
		HINT = 'It takes an operator of a service provider that the tenant is linked to, and the tenant''s consent: visibility "supervised", or a request that it has approved and that has not ended.';
END
$$;
COMMENT ON FUNCTION multitenant._raise_no_operator() IS
'Internal: raises MT008.';

-- Null instead of an error: whoever asks has no right to know whether there is such a tenant.
CREATE FUNCTION multitenant._tenant_named(tenant text)
RETURNS uuid
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT t.id FROM multitenant.tenant t WHERE t.slug = $1 OR t.id::text = lower($1);
END;
COMMENT ON FUNCTION multitenant._tenant_named(text) IS
'Internal: the id of a tenant by slug or id, null if there is none.';

CREATE FUNCTION multitenant._check_reason(reason text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(btrim($1, E' \t\r\n'), '') = '' OR octet_length($1) > 1000 THEN
		RAISE EXCEPTION 'a reason is needed, of at most 1000 bytes'
			USING ERRCODE = '22023', HINT = 'Say in a few words what for; the tenant reads it.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._check_reason(text) IS
'Internal: raises 22023 for an empty or overlong reason.';

-- ---------------------------------------------------------------------------------------------------------------
-- Master accounts, links and operators
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant.create_master_account(name text)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id uuid;
BEGIN
	PERFORM multitenant._require('manage_tenants', 'creating a master account');
	IF $1 IS NULL OR octet_length($1) NOT BETWEEN 1 AND 128 OR $1 ~ '[[:cntrl:]]' OR btrim($1) = '' THEN
		RAISE EXCEPTION 'invalid name of a master account'
			USING ERRCODE = '22023', HINT = 'A name has 1 to 128 bytes and no control characters.';
	END IF;
	INSERT INTO multitenant.master_account (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id INTO new_id;
	IF new_id IS NULL THEN
		RAISE EXCEPTION 'a master account of this name exists already'
			USING ERRCODE = '42710', HINT = 'Choose another name.';
	END IF;
	PERFORM multitenant._audit('master.create', NULL, $1, 'done', jsonb_build_object('master', new_id));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_master_account(text) IS
'Makes a master account: a service provider that looks after tenants. Returns its id. name: 1 to 128 bytes. For profile provisioner. Errors: 42501 profile, 22023 invalid name, 42710 name taken.';

CREATE FUNCTION multitenant._require_master(master uuid)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM multitenant.master_account a WHERE a.id = $1) THEN
		RAISE EXCEPTION 'no such master account'
			USING ERRCODE = '42704', HINT = 'multitenant.create_master_account() returns the id of one.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_master(uuid) IS
'Internal: raises 42704 unless there is that master account.';

CREATE FUNCTION multitenant.link_tenant(master uuid, tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'master account and tenant');
	PERFORM multitenant._require('manage_tenants', 'linking a tenant');
	PERFORM multitenant._require_master($1);
	PERFORM multitenant._require_tenant($2);
	INSERT INTO multitenant.master_tenant (tenant_id, master_id) VALUES ($2, $1) ON CONFLICT DO NOTHING;
	PERFORM multitenant._audit('master.link', $2, a.name, 'done', '{}') FROM multitenant.master_account a WHERE a.id = $1;
END
$$;
COMMENT ON FUNCTION multitenant.link_tenant(uuid, uuid) IS
'Lets a master account look after a tenant; what it sees is decided by the tenant (set_visibility). For profile provisioner. Errors: 42501 profile, 42704 no such master account, MT008 unknown tenant.';

-- Security: nobody who takes sight away waits for the operator, who may hold his rows locked. What is skipped counts no
-- more all the same (src/rbac/supervision.c): it began before the tenant's decision (tenant.supervised_from) or the
-- operator's assignment (operator.since), or its request is not approved.
CREATE FUNCTION multitenant._end_supervisions(tenant uuid, principal text DEFAULT NULL, request uuid DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ended integer;
BEGIN
	UPDATE multitenant.supervision s SET ended_at = clock_timestamp()
		WHERE s.id IN (SELECT o.id FROM multitenant.supervision o
			WHERE o.tenant_id = $1 AND o.ended_at IS NULL AND o.ends_at > clock_timestamp()
			AND ($2 IS NULL OR o.principal = $2) AND ($3 IS NULL OR o.request_id = $3)
			FOR NO KEY UPDATE SKIP LOCKED);
	GET DIAGNOSTICS ended = ROW_COUNT;
	RETURN ended;
END
$$;
COMMENT ON FUNCTION multitenant._end_supervisions(uuid, text, uuid) IS
'Internal: ends the open supervisions of a tenant (of one principal, by one request); how many.';

CREATE FUNCTION multitenant.unlink_tenant(master uuid, tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	operator record;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'master account and tenant');
	PERFORM multitenant._require('manage_tenants', 'unlinking a tenant');
	DELETE FROM multitenant.master_tenant m WHERE m.tenant_id = $2 AND m.master_id = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the tenant is not linked to this master account'
			USING ERRCODE = '42704', HINT = 'Nothing was changed; check master account and tenant.';
	END IF;
	-- Who is linked again assigns again.
	FOR operator IN DELETE FROM multitenant.operator o WHERE o.tenant_id = $2 AND o.master_id = $1 RETURNING o.principal LOOP
		PERFORM multitenant._end_supervisions($2, operator.principal);
	END LOOP;
	PERFORM multitenant._audit('master.unlink', $2, a.name, 'done', '{}') FROM multitenant.master_account a WHERE a.id = $1;
END
$$;
COMMENT ON FUNCTION multitenant.unlink_tenant(uuid, uuid) IS
'Ends that a master account looks after a tenant: its operators there are gone, and the next statement of a session that looks in is refused. For profile provisioner. Errors: 42501 profile, 42704 not linked.';

CREATE FUNCTION multitenant.assign_operator(master uuid, principal text, tenant uuid, role text, expires_at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	template uuid;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3, $4), 'master account, principal, tenant and role');
	PERFORM multitenant._require('manage_tenants', 'assigning an operator');
	PERFORM multitenant._require_master($1);
	PERFORM multitenant._require_tenant($3);
	PERFORM multitenant._check_principal($2);
	IF $5 <= clock_timestamp() THEN
		RAISE EXCEPTION 'expires_at has passed'
			USING ERRCODE = '22023', HINT = 'Give a time in the future, or none.';
	END IF;
	-- The lock: unlink_tenant() must not miss an operator.
	PERFORM FROM multitenant.master_tenant m WHERE m.tenant_id = $3 AND m.master_id = $1 FOR KEY SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the tenant is not linked to this master account'
			USING ERRCODE = '55000', HINT = 'Call multitenant.link_tenant() first.';
	END IF;
	template := (multitenant._hold_template($4)).id;
	INSERT INTO multitenant.principal (id) VALUES ($2) ON CONFLICT DO NOTHING;
	INSERT INTO multitenant.operator AS o (tenant_id, principal, master_id, role_id, expires_at, assigned_by)
		VALUES ($3, $2, $1, template, $5, session_user)
		ON CONFLICT ON CONSTRAINT operator_pkey DO UPDATE
		SET role_id = excluded.role_id, expires_at = excluded.expires_at, assigned_by = excluded.assigned_by
		WHERE o.master_id = excluded.master_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'this principal looks after the tenant for another master account'
			USING ERRCODE = '42710', HINT = 'Call multitenant.unassign_operator() first.';
	END IF;
	PERFORM multitenant._renew_rights(ARRAY[$3]);
	PERFORM multitenant._audit('operator.assign', $3, $2, 'done', jsonb_build_object('role', $4, 'expires_at', $5));
END
$$;
COMMENT ON FUNCTION multitenant.assign_operator(uuid, text, uuid, text, timestamptz) IS
'Lets a principal of a master account look after a linked tenant with the rights of a template of a role, until expires_at (null: without an end); again: changes role and end. It looks in only where the tenant consents. For profile provisioner. Errors: 42501 profile, 42704 no such master account or template, MT008 unknown tenant, 55000 not linked, 42710 operator for another master account, 22023.';

CREATE FUNCTION multitenant.unassign_operator(principal text, tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'principal and tenant');
	PERFORM multitenant._require('manage_tenants', 'unassigning an operator');
	DELETE FROM multitenant.operator o WHERE o.tenant_id = $2 AND o.principal = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the principal is no operator of this tenant'
			USING ERRCODE = '42704', HINT = 'Nothing was changed; check principal and tenant.';
	END IF;
	PERFORM multitenant._end_supervisions($2, $1);
	PERFORM multitenant._renew_rights(ARRAY[$2]);
	PERFORM multitenant._audit('operator.unassign', $2, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.unassign_operator(text, uuid) IS
'Ends that a principal looks after a tenant; the next statement of its session there is refused. For profile provisioner. Errors: 42501 profile, 42704 no operator.';

-- ---------------------------------------------------------------------------------------------------------------
-- What a tenant lets them see
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._change_visibility(tenant uuid, visibility text, may_raise boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	levels constant text[] := '{none,metadata,supervised}';
	old_visibility text;
BEGIN
	IF $2 IS NULL OR $2 <> ALL (levels) THEN
		RAISE EXCEPTION 'unknown visibility'
			USING ERRCODE = '22023', HINT = 'It is none, metadata or supervised.';
	END IF;
	SELECT t.visibility INTO old_visibility FROM multitenant.tenant t WHERE t.id = $1 FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	END IF;
	IF array_position(levels, $2) > array_position(levels, old_visibility) AND NOT $3 THEN
		RAISE EXCEPTION 'only the tenant itself can let others see more of it'
			USING ERRCODE = '42501', HINT = 'Ask somebody of the tenant who has the permission visibility:manage.';
	END IF;
	-- Raised as well: what began while it was being lowered does not come back.
	IF $2 <> old_visibility THEN
		UPDATE multitenant.tenant t SET visibility = $2, supervised_from = clock_timestamp() WHERE t.id = $1;
		PERFORM multitenant._end_supervisions($1);
	END IF;
	PERFORM multitenant._audit('tenant.visibility', $1, $2, 'done', jsonb_build_object('before', old_visibility));
END
$$;
COMMENT ON FUNCTION multitenant._change_visibility(uuid, text, boolean) IS
'Internal: sets the visibility of a tenant, and ends what it no longer permits. Errors: 22023, 42501, MT008.';

CREATE FUNCTION multitenant.set_visibility(visibility text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._change_visibility(multitenant._require_held_permission('visibility:manage'), $1, true);
END
$$;
COMMENT ON FUNCTION multitenant.set_visibility(text) IS
'What operators see of the current tenant: none (that it exists), metadata (counts and times), supervised (they may look in without asking, read-only and recorded). Changing it ends every supervision at once. Permission visibility:manage, held otherwise than under break-glass. Errors: MT001 without a tenant, 42501 permission, 22023.';

CREATE FUNCTION multitenant.set_visibility(tenant uuid, visibility text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._require('manage_tenants', 'lowering the visibility of a tenant');
	-- Security: whoever looks after tenants cannot give himself sight.
	PERFORM multitenant._change_visibility($1, $2, multitenant._has('superuser'));
END
$$;
COMMENT ON FUNCTION multitenant.set_visibility(uuid, text) IS
'Lowers the visibility of a tenant from outside; only a superuser can raise it, which is recorded. For profile provisioner. Errors: 42501 profile, or it would be raised; MT008 unknown tenant, 22023.';

-- ---------------------------------------------------------------------------------------------------------------
-- What operators ask for
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._take_turn(tenant uuid, principal text)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_take_turn';
COMMENT ON FUNCTION multitenant._take_turn(uuid, text) IS
'Internal: waits until no other transaction has the turn of this principal in this tenant, and keeps it to its end.';

CREATE FUNCTION multitenant._request_state(request multitenant.access_request)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT CASE WHEN ($1).state <> 'denied' AND EXISTS (SELECT FROM multitenant.access_withdrawal w WHERE w.request_id = ($1).id)
		THEN 'withdrawn' ELSE ($1).state END;
END;
COMMENT ON FUNCTION multitenant._request_state(multitenant.access_request) IS
'Internal: pending, approved, denied or withdrawn.';

CREATE FUNCTION multitenant.request_access(tenant uuid, reason text, duration interval)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asker text := multitenant._require_outside_principal();
	new_id uuid;
BEGIN
	PERFORM multitenant._check_reason($2);
	duration := multitenant._seconds(duration);
	IF $3 IS NULL OR $3 <= interval '0' OR $3 > interval '30 days' THEN
		RAISE EXCEPTION 'a request is for more than no time, and for 30 days at most'
			USING ERRCODE = '22023', HINT = 'Ask for as long as the work takes, such as ''2 hours''.';
	END IF;
	-- Requests of one operator take turns, so that they can be counted. Security: by no row, which whoever unassigns him
	-- would wait for.
	PERFORM multitenant._take_turn($1, asker);
	PERFORM FROM multitenant.operator o
		JOIN multitenant.master_tenant m ON m.tenant_id = o.tenant_id AND m.master_id = o.master_id
		JOIN multitenant.tenant t ON t.id = o.tenant_id AND t.state = 'active' AND t.visibility <> 'none'
		WHERE o.tenant_id = $1 AND o.principal = asker AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp());
	IF NOT FOUND THEN
		PERFORM multitenant._raise_no_operator();
	END IF;
	IF (SELECT count(*) FROM multitenant.access_request r
		WHERE r.tenant_id = $1 AND r.principal = asker AND multitenant._request_state(r) = 'pending') >= 10 THEN
		RAISE EXCEPTION 'ten requests of this principal are waiting already'
			USING ERRCODE = '55000', HINT = 'Withdraw one of them, or wait for the tenant''s answer.';
	END IF;
	INSERT INTO multitenant.access_request (tenant_id, principal, reason, duration)
		VALUES ($1, asker, $2, $3) RETURNING id INTO new_id;
	PERFORM multitenant._audit('access.request', $1, new_id::text, 'done', jsonb_build_object('reason', $2, 'duration', $3));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.request_access(uuid, text, interval) IS
'An operator asks a tenant to let him look in for a while; returns the request''s id. reason: what the tenant reads; duration: up to 30 days, counted from the approval. In a context of a principal without a tenant. Errors: MT001 no principal, MT005 another context, MT008 not an operator of such a tenant, or it does not want to be asked; 22023, 55000 ten requests wait.';

CREATE FUNCTION multitenant.request_access(tenant text, reason text, duration interval)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN multitenant.request_access(multitenant._tenant_named($1), $2, $3);
END
$$;
COMMENT ON FUNCTION multitenant.request_access(text, text, interval) IS
'As request_access(uuid, ..), by slug.';

CREATE FUNCTION multitenant.withdraw_request(id uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asker text := multitenant._require_outside_principal();
	tenant uuid;
BEGIN
	-- Security: a row of his own. The request's is the tenant's, which must not wait for him.
	INSERT INTO multitenant.access_withdrawal (request_id)
		SELECT r.id FROM multitenant.access_request r WHERE r.id = $1 AND r.principal = asker AND r.state IN ('pending', 'approved')
		ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no such request of this principal is pending or approved'
			USING ERRCODE = '42704', HINT = 'The view multitenant.access_requests lists them.';
	END IF;
	SELECT r.tenant_id INTO tenant FROM multitenant.access_request r WHERE r.id = $1;
	PERFORM multitenant._end_supervisions(tenant, asker, $1);
	PERFORM multitenant._audit('access.withdraw', tenant, $1::text, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.withdraw_request(uuid) IS
'Takes an own request back, also one that has been approved. In a context of a principal without a tenant. Errors: MT001, MT005, 42704.';

-- Locks the request: two answers take turns.
CREATE FUNCTION multitenant._request_of(tenant uuid, request uuid, state text)
RETURNS multitenant.access_request
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asked multitenant.access_request;
BEGIN
	SELECT r.* INTO asked FROM multitenant.access_request r WHERE r.id = $2 AND r.tenant_id = $1 FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no such request'
			USING ERRCODE = '42704', HINT = 'The view multitenant.access_requests lists them.';
	END IF;
	IF multitenant._request_state(asked) <> $3 THEN
		RAISE EXCEPTION 'the request is not %', $3
			USING ERRCODE = '55000', HINT = format('It is %s.', multitenant._request_state(asked));
	END IF;
	RETURN asked;
END
$$;
COMMENT ON FUNCTION multitenant._request_of(uuid, uuid, text) IS
'Internal: a request to the tenant in that state, locked. Errors: 42704, 55000.';

CREATE FUNCTION multitenant.approve_access(request uuid, duration interval DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_held_permission('access:approve');
	asked multitenant.access_request := multitenant._request_of(tenant, $1, 'pending');
	approved interval := multitenant._seconds(coalesce($2, asked.duration));
	decided timestamptz := clock_timestamp();
	ending timestamptz := decided + approved;
BEGIN
	IF approved <= interval '0' OR approved > multitenant._seconds(asked.duration) THEN
		RAISE EXCEPTION 'a request is approved for more than no time, and for no longer than it asks'
			USING ERRCODE = '22023', HINT = 'Leave duration out, or give a shorter one.';
	END IF;
	IF asked.principal = multitenant.current_principal() THEN
		RAISE EXCEPTION 'nobody approves his own request'
			USING ERRCODE = '42501', HINT = 'Let somebody else of this tenant decide.';
	END IF;
	UPDATE multitenant.access_request r
		SET state = 'approved', ends_at = ending, decided_by = multitenant.current_principal(), decided_at = decided
		WHERE r.id = $1;
	PERFORM multitenant._audit('access.approve', tenant, $1::text, 'done',
		jsonb_build_object('operator', asked.principal, 'ends_at', ending));
END
$$;
COMMENT ON FUNCTION multitenant.approve_access(uuid, interval) IS
'Lets the operator who asked look into the current tenant, from now on for the duration (null: as asked; never longer). Permission access:approve, held otherwise than under break-glass. Errors: MT001, 42501 permission, or an own request; 42704 no such request, 55000 not pending, 22023.';

CREATE FUNCTION multitenant.deny_access(request uuid, note text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_permission('access:approve');
BEGIN
	PERFORM multitenant._request_of(tenant, $1, 'pending');
	UPDATE multitenant.access_request r
		SET state = 'denied', note = left($2, 1000), decided_by = multitenant.current_principal(), decided_at = clock_timestamp()
		WHERE r.id = $1;
	PERFORM multitenant._audit('access.deny', tenant, $1::text, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.deny_access(uuid, text) IS
'Denies a request of an operator. note: what he reads. Permission access:approve. Errors: MT001, 42501 permission, 42704 no such request, 55000 not pending.';

CREATE FUNCTION multitenant.revoke_approval(request uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_permission('access:approve');
	asked multitenant.access_request := multitenant._request_of(tenant, $1, 'approved');
BEGIN
	UPDATE multitenant.access_request r
		SET state = 'denied', ends_at = NULL, decided_by = multitenant.current_principal(), decided_at = clock_timestamp()
		WHERE r.id = $1;
	PERFORM multitenant._end_supervisions(tenant, asked.principal, $1);
	PERFORM multitenant._audit('access.revoke_approval', tenant, $1::text, 'done', jsonb_build_object('operator', asked.principal));
END
$$;
COMMENT ON FUNCTION multitenant.revoke_approval(uuid) IS
'Takes an approval back: the operator''s next statement is refused. Permission access:approve. Errors: MT001, 42501 permission, 42704 no such request, 55000 not approved.';

-- ---------------------------------------------------------------------------------------------------------------
-- Who sees what of it
-- ---------------------------------------------------------------------------------------------------------------

CREATE VIEW multitenant.operators WITH (security_barrier = true) AS
	SELECT o.tenant_id, t.slug AS tenant, a.name AS master, o.principal, r.name AS role, o.expires_at, o.since,
		EXISTS (SELECT FROM multitenant.master_tenant m WHERE m.tenant_id = o.tenant_id AND m.master_id = o.master_id)
			AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp()) AS is_current
	FROM multitenant.operator o
	JOIN multitenant.tenant t ON t.id = o.tenant_id
	LEFT JOIN multitenant.master_account a ON a.id = o.master_id
	LEFT JOIN multitenant.role r ON r.id = o.role_id
	WHERE (SELECT multitenant._has('manage_tenants') OR multitenant._has('audit'))
		OR o.tenant_id = (SELECT multitenant._tenant_permitting('role:read'))
		OR o.principal = (SELECT multitenant._outside_principal());
COMMENT ON VIEW multitenant.operators IS
'Who looks after tenants from outside: a tenant''s own to its principals with role:read, an operator''s own to him, all to profiles provisioner and auditor. is_current: linked and not expired.';

-- Security: who decided is one of the tenant's people, whom an operator does not see.
CREATE VIEW multitenant.access_requests WITH (security_barrier = true) AS
	SELECT r.id, r.tenant_id, t.slug AS tenant, r.principal,
		CASE WHEN s.state <> 'approved' OR (r.ends_at > clock_timestamp() AND r.decided_at > o.since
				AND r.decided_at > coalesce(t.supervised_from, '-infinity')) THEN s.state ELSE 'ended' END AS state,
		r.reason, r.duration, r.requested_at, CASE WHEN s.state = 'approved' THEN r.ends_at END AS ends_at, r.decided_at, r.note,
		CASE WHEN r.tenant_id = own.tenant_id THEN r.decided_by END AS decided_by
	FROM multitenant.access_request r
	JOIN multitenant.tenant t ON t.id = r.tenant_id
	CROSS JOIN (SELECT multitenant._tenant_permitting('access:approve'), multitenant._outside_principal()) AS own(tenant_id, principal)
	-- An approval of whom was unassigned since, or of before the tenant's last decision, has ended: src/rbac/supervision.c.
	LEFT JOIN multitenant.operator o ON o.tenant_id = r.tenant_id AND o.principal = r.principal
	-- As multitenant._request_state(), which would read with the rights of the caller.
	LEFT JOIN multitenant.access_withdrawal w ON w.request_id = r.id
	CROSS JOIN LATERAL (SELECT CASE WHEN r.state <> 'denied' AND w.request_id IS NOT NULL THEN 'withdrawn' ELSE r.state END) AS s(state)
	WHERE r.tenant_id = own.tenant_id OR r.principal = own.principal;
COMMENT ON VIEW multitenant.access_requests IS
'What operators have asked for, and what came of it. state: pending, approved, denied, withdrawn, or ended: its time is over, or the tenant has changed its visibility since, or the operator was unassigned. A tenant''s own to its principals with access:approve, an operator''s own to him.';

-- ---------------------------------------------------------------------------------------------------------------
-- The same by slug (or id as text), so that a literal works as an argument
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant.link_tenant(master uuid, tenant text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.link_tenant($1, multitenant.tenant_id($2));
END;
COMMENT ON FUNCTION multitenant.link_tenant(uuid, text) IS
'As link_tenant(uuid, uuid), by slug.';

CREATE FUNCTION multitenant.unlink_tenant(master uuid, tenant text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.unlink_tenant($1, multitenant.tenant_id($2));
END;
COMMENT ON FUNCTION multitenant.unlink_tenant(uuid, text) IS
'As unlink_tenant(uuid, uuid), by slug.';

CREATE FUNCTION multitenant.assign_operator(master uuid, principal text, tenant text, role text, expires_at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.assign_operator($1, $2, multitenant.tenant_id($3), $4, $5);
END;
COMMENT ON FUNCTION multitenant.assign_operator(uuid, text, text, text, timestamptz) IS
'As assign_operator(uuid, text, uuid, ..), by slug.';

CREATE FUNCTION multitenant.unassign_operator(principal text, tenant text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.unassign_operator($1, multitenant.tenant_id($2));
END;
COMMENT ON FUNCTION multitenant.unassign_operator(text, text) IS
'As unassign_operator(text, uuid), by slug.';

CREATE FUNCTION multitenant.set_visibility(tenant text, visibility text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.set_visibility(multitenant.tenant_id($1), $2);
END;
COMMENT ON FUNCTION multitenant.set_visibility(text, text) IS
'As set_visibility(uuid, text), by slug.';
