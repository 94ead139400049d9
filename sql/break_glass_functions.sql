/*
 * break_glass_functions.sql
 *	  Break-glass: a member of a tenant gets the rights of one role for a while, with a reason, and answers for it later.
 *
 * It is the tenant's own. Everything here asks for a context of kind tenant, of a principal that is an active member:
 * who looks after a tenant from outside has none, whatever its profile and whatever its roles.
 * Four rules keep it from being a way to lasting power: what governs it cannot be changed under it, nobody approves or
 * reviews his own, a record of the opening stays when the transaction is rolled back, and what it permits is not enough
 * for any function that changes people, rights or consent (_require_held_permission()).
 */

-- Security: not the rights of the context but membership, which operators and what they supervise never have.
CREATE FUNCTION multitenant._require_member(what text) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_own_tenant(what);
BEGIN
	IF NOT multitenant._is_active_member(tenant, multitenant.current_principal()) THEN
		PERFORM multitenant._audit('access.member_only', tenant, what, 'refused', '{}');
		RAISE EXCEPTION '% is for members of the tenant alone', what
			USING ERRCODE = '42501',
			HINT = 'Authenticate as an active member of the tenant; supervised and system contexts, and those without a principal, have no access.';
	END IF;
	RETURN tenant;
END
$$;
COMMENT ON FUNCTION multitenant._require_member(text) IS
'Internal: the current tenant, as _require_own_tenant(); 42501 unless its context is that of an active member, too.';

CREATE FUNCTION multitenant._is_active_member(tenant uuid, principal text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM multitenant.member m
		WHERE m.tenant_id = $1 AND m.principal = $2 AND m.state = 'active' AND coalesce(m.expires_at > clock_timestamp(), true)
		AND NOT EXISTS (SELECT FROM multitenant.principal p WHERE p.id = $2 AND p.state <> 'active'));
END;
COMMENT ON FUNCTION multitenant._is_active_member(uuid, text) IS
'Internal: is the principal an active member of the tenant?';

-- Holding or not, while it can still be used or approved.
CREATE FUNCTION multitenant._is_break_glass_open(g multitenant.break_glass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT (g).closed_at IS NULL AND (g).ends_at > clock_timestamp();
END;
COMMENT ON FUNCTION multitenant._is_break_glass_open(multitenant.break_glass) IS
'Internal: neither closed nor past its end.';

-- Security: what is held under break-glass only must not make anything that outlasts it, nor let anybody else in.
CREATE FUNCTION multitenant._refuse_under_break_glass(tenant uuid, what text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM multitenant.break_glass g WHERE g.tenant_id = $1 AND g.principal = multitenant.current_principal()
			   AND g.holds_from IS NOT NULL AND multitenant._is_break_glass_open(g)) THEN
		RAISE EXCEPTION '% is not possible under break-glass', what
			USING ERRCODE = '42501', HINT = 'Call multitenant.close_break_glass() first; your own rights must be enough.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._refuse_under_break_glass(uuid, text) IS
'Internal: raises 42501 while the current principal acts under break-glass.';

-- Who decides what break-glass and keys of purposes may do in a tenant. These change one after the other with its rights.
CREATE FUNCTION multitenant._govern(permission text, what text) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_member(what);
BEGIN
	PERFORM multitenant._change_rights($1);
	PERFORM multitenant._refuse_under_break_glass(tenant, what);
	RETURN tenant;
END
$$;
COMMENT ON FUNCTION multitenant._govern(text, text) IS
'Internal: the current tenant, of a member that holds the permission and does not act under break-glass; 42501 otherwise.';

-- ---- how it works in a tenant ----

CREATE FUNCTION multitenant.set_break_glass(role text, maximum interval DEFAULT '1 hour', needs_approval boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._govern('break_glass:manage', 'setting break-glass');
	its_role multitenant.role;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3), 'role, maximum and needs_approval');
	maximum := multitenant._seconds(maximum);
	IF $2 <= interval '0' OR $2 > interval '24 hours' THEN
		RAISE EXCEPTION 'break-glass is for more than nothing and at most 24 hours'
			USING ERRCODE = '22023', HINT = 'Give an interval such as ''1 hour''; it can be opened again.';
	END IF;
	its_role := multitenant._find_role(tenant, $1);
	PERFORM multitenant._hold_role(its_role);
	-- Security: who lets others have a role for a while gives it away as much as who assigns it.
	PERFORM multitenant._require_grantable(its_role.id, NULL, NULL);
	PERFORM multitenant._refuse_joined_duties(tenant, its_role.id);
	INSERT INTO multitenant.break_glass_rule (tenant_id, role_id, needs_approval, maximum) VALUES (tenant, its_role.id, $3, $2)
		ON CONFLICT ON CONSTRAINT break_glass_rule_pkey DO UPDATE
		SET role_id = excluded.role_id, needs_approval = excluded.needs_approval, maximum = excluded.maximum;
	PERFORM multitenant._audit('access.set_break_glass', tenant, its_role.name, 'done',
		jsonb_build_object('role', its_role.id, 'maximum', $2, 'needs_approval', $3));
END
$$;
COMMENT ON FUNCTION multitenant.set_break_glass(text, interval, boolean) IS
'Lets members of the current tenant open break-glass. role: what they get then, a role of the tenant or a template, which the caller must hold itself; maximum: how long at most, up to 24 hours (a day is 24 hours); needs_approval: another member has to approve (dual control). What is open keeps the role and end that it has. For permission break_glass:manage. Errors: MT001; 42501 permission, role not held, under break-glass, or in contexts that are not of a member; 42704 no such role; 22023 maximum or null, or the role has roles that exclude each other.';

CREATE FUNCTION multitenant.drop_break_glass()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._govern('break_glass:manage', 'dropping break-glass');
	closed bigint;
BEGIN
	DELETE FROM multitenant.break_glass_rule r WHERE r.tenant_id = tenant;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the tenant has no break-glass'
			USING ERRCODE = '55000', HINT = 'Nothing was changed.';
	END IF;
	-- Security: whoever has it open is not waited for (membership.sql).
	PERFORM multitenant._claim_member(tenant, g.principal) FROM multitenant.break_glass g
		WHERE g.tenant_id = tenant AND multitenant._is_break_glass_open(g);
	UPDATE multitenant.break_glass g SET closed_at = clock_timestamp(), closed_by = multitenant.current_principal()
		WHERE g.tenant_id = tenant AND multitenant._is_break_glass_open(g);
	GET DIAGNOSTICS closed = ROW_COUNT;
	PERFORM multitenant._audit('access.drop_break_glass', tenant, NULL, 'done', jsonb_build_object('closed', closed));
END
$$;
COMMENT ON FUNCTION multitenant.drop_break_glass() IS
'Ends break-glass in the current tenant; what is open is closed. For permission break_glass:manage. Errors: MT001; 42501 permission, under break-glass, or in contexts that are not of a member; 55000 there is none.';

-- ---- opening and closing ----

CREATE FUNCTION multitenant.open_break_glass(reason text, duration interval DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	opened timestamptz;
	tenant uuid := multitenant._require_member('opening break-glass');
	opener text := multitenant.current_principal();
	rule multitenant.break_glass_rule;
	new_id uuid := gen_random_uuid();
BEGIN
	-- Two that open it at the same time: the second one sees the first.
	PERFORM multitenant._change_rights('break_glass:open');
	PERFORM multitenant._refuse_nulls(num_nulls(nullif(btrim($1), '')), 'the reason');
	IF octet_length($1) > 2000 THEN
		RAISE EXCEPTION 'the reason is too long'
			USING ERRCODE = '22023', HINT = 'Say it in 2000 bytes.';
	END IF;
	SELECT * INTO rule FROM multitenant.break_glass_rule r WHERE r.tenant_id = tenant;
	duration := multitenant._seconds(coalesce(duration, rule.maximum));
	IF rule.role_id IS NULL OR NOT EXISTS (SELECT FROM multitenant.role r WHERE r.id = rule.role_id) THEN
		RAISE EXCEPTION 'the tenant has no break-glass'
			USING ERRCODE = '55000', HINT = 'An administrator of the tenant makes it possible with multitenant.set_break_glass().';
	ELSIF $2 <= interval '0' OR $2 > multitenant._seconds(rule.maximum) THEN
		RAISE EXCEPTION 'break-glass is possible for % at most', rule.maximum
			USING ERRCODE = '22023', HINT = 'Give a shorter interval, or none for that one.';
	ELSIF EXISTS (SELECT FROM multitenant.break_glass g
				  WHERE g.tenant_id = tenant AND g.principal = opener AND multitenant._is_break_glass_open(g)) THEN
		RAISE EXCEPTION 'break-glass is open already'
			USING ERRCODE = '55000', HINT = 'Call multitenant.close_break_glass() first; see the view multitenant.break_glass_reviews.';
	END IF;
	-- Security: first the record, which a rollback of this transaction does not take away.
	PERFORM multitenant._audit_durably('access.open_break_glass', tenant, new_id::text, 'done', jsonb_build_object('reason', btrim($1),
		'role', rule.role_id, 'duration', $2, 'needs_approval', rule.needs_approval));
	opened := clock_timestamp();
	INSERT INTO multitenant.break_glass (id, tenant_id, principal, role_id, holds_from, ends_at, reason, duration)
		VALUES (new_id, tenant, opener, rule.role_id, CASE WHEN NOT rule.needs_approval THEN opened END,
			-- Who approves it has an hour.
			opened + CASE WHEN rule.needs_approval THEN interval '1 hour' ELSE $2 END,
			btrim($1), $2);
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.open_break_glass(text, interval) IS
'Opens break-glass for the current principal and returns its id: the role of set_break_glass(), at once, or from approve_break_glass() on where the tenant wants that. reason: recorded, at most 2000 bytes; duration: null for the maximum. It ends by itself. Recorded also when this transaction is rolled back; each protected table that is read or written under it is recorded, too. For permission break_glass:open, and members of the tenant only. Errors: MT001; 42501 permission, or in contexts that are not of a member; 22023 reason or duration; 55000 no break-glass in this tenant, open already, or it cannot be recorded; 25006 read-only transaction.';

-- Somebody else's, to approve or deny: locked. The same answer for what is not there and what is another tenant's.
CREATE FUNCTION multitenant._pending_break_glass(id uuid, what text) RETURNS multitenant.break_glass
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._govern('break_glass:approve', what);
	found_glass multitenant.break_glass;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the id');
	-- Security: as in drop_break_glass().
	PERFORM multitenant._claim_member(tenant, g.principal) FROM multitenant.break_glass g WHERE g.tenant_id = tenant AND g.id = $1;
	SELECT * INTO found_glass FROM multitenant.break_glass g WHERE g.tenant_id = tenant AND g.id = $1 FOR UPDATE;
	IF found_glass.id IS NULL THEN
		RAISE EXCEPTION 'there is no such break-glass'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.break_glass_reviews.';
	ELSIF found_glass.principal = multitenant.current_principal() THEN
		PERFORM multitenant._audit('access.approve_break_glass', tenant, $1::text, 'refused', '{}');
		RAISE EXCEPTION 'whoever opened it cannot decide about it'
			USING ERRCODE = '42501', HINT = 'Ask another member with permission break_glass:approve; close_break_glass() withdraws it.';
	ELSIF found_glass.holds_from IS NOT NULL OR NOT multitenant._is_break_glass_open(found_glass) THEN
		RAISE EXCEPTION 'it does not wait for approval any more'
			USING ERRCODE = '55000', HINT = 'It was approved, denied or closed, or an hour has passed; it can be opened again.';
	END IF;
	RETURN found_glass;
END
$$;
COMMENT ON FUNCTION multitenant._pending_break_glass(uuid, text) IS
'Internal: break-glass that the current principal may approve or deny, locked.';

CREATE FUNCTION multitenant.approve_break_glass(id uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pending multitenant.break_glass := multitenant._pending_break_glass($1, 'approving break-glass');
	tenant uuid := pending.tenant_id;
BEGIN
	IF NOT EXISTS (SELECT FROM multitenant.break_glass_rule r WHERE r.tenant_id = tenant AND r.role_id = pending.role_id
				   AND multitenant._seconds(r.maximum) >= multitenant._seconds(pending.duration)) THEN
		RAISE EXCEPTION 'break-glass of this tenant has changed since it was opened'
			USING ERRCODE = '55000', HINT = 'Deny it; it can be opened again.';
	ELSIF NOT multitenant._is_active_member(tenant, pending.principal) THEN
		RAISE EXCEPTION 'whoever opened it is no active member any more'
			USING ERRCODE = '55000', HINT = 'Deny it.';
	END IF;
	PERFORM multitenant._audit_durably('access.approve_break_glass', tenant, $1::text, 'done', jsonb_build_object('principal', pending.principal));
	UPDATE multitenant.break_glass g SET holds_from = c.moment, ends_at = c.moment + multitenant._seconds(g.duration), approved_by = multitenant.current_principal()
		FROM (SELECT clock_timestamp() AS moment) c
		WHERE g.id = $1;
END
$$;
COMMENT ON FUNCTION multitenant.approve_break_glass(uuid) IS
'Approves break-glass that another member has opened within the last hour: it holds from now on, for as long as was asked for. For permission break_glass:approve. Errors: MT001; 42501 permission, one''s own, under break-glass, or in contexts that are not of a member; 42704 no such break-glass; 55000 not waiting any more, the rule or the membership has changed, or it cannot be recorded.';

CREATE FUNCTION multitenant.deny_break_glass(id uuid, note text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pending multitenant.break_glass := multitenant._pending_break_glass($1, 'denying break-glass');
	tenant uuid := pending.tenant_id;
BEGIN
	UPDATE multitenant.break_glass g SET closed_at = clock_timestamp(), closed_by = multitenant.current_principal(), note = left($2, 2000)
		WHERE g.id = $1;
	PERFORM multitenant._audit('access.deny_break_glass', tenant, $1::text, 'done',
		jsonb_build_object('principal', pending.principal, 'note', left($2, 2000)));
END
$$;
COMMENT ON FUNCTION multitenant.deny_break_glass(uuid, text) IS
'Denies break-glass that another member has opened. note: for whoever opened it, its first 2000 characters. Errors as of approve_break_glass().';

CREATE FUNCTION multitenant.close_break_glass(id uuid DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._require_member('closing break-glass');
	closing multitenant.break_glass;
BEGIN
	-- Security: whoever closes his own takes no turn, with which he could hold up the tenant; who closes another's does
	-- not wait for him (membership.sql).
	IF $1 IS NULL OR EXISTS (SELECT FROM multitenant.break_glass g
							 WHERE g.tenant_id = tenant AND g.id = $1 AND g.principal = multitenant.current_principal()) THEN
		PERFORM multitenant._lock_own_member(tenant, multitenant.current_principal());
	ELSE
		PERFORM multitenant._change_rights('break_glass:approve');
		PERFORM multitenant._claim_member(tenant, g.principal) FROM multitenant.break_glass g WHERE g.tenant_id = tenant AND g.id = $1;
	END IF;
	SELECT * INTO closing FROM multitenant.break_glass g
		WHERE g.tenant_id = tenant AND CASE WHEN $1 IS NULL THEN g.principal = multitenant.current_principal() AND multitenant._is_break_glass_open(g)
			ELSE g.id = $1 END;
	IF closing.id IS NULL THEN
		RAISE EXCEPTION 'there is no such break-glass'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.break_glass_reviews.';
	ELSIF NOT multitenant._is_break_glass_open(closing) THEN
		RAISE EXCEPTION 'it is not open any more'
			USING ERRCODE = '55000', HINT = 'Nothing was changed.';
	END IF;
	UPDATE multitenant.break_glass g SET closed_at = clock_timestamp(), closed_by = multitenant.current_principal() WHERE g.id = closing.id;
	PERFORM multitenant._audit('access.close_break_glass', tenant, closing.id::text, 'done', jsonb_build_object('principal', closing.principal));
END
$$;
COMMENT ON FUNCTION multitenant.close_break_glass(uuid) IS
'Closes break-glass before its end. id: null for the current principal''s own; another''s for permission break_glass:approve. Errors: MT001; 42501 permission, or in contexts that are not of a member; 42704 there is none; 55000 not open any more, or the membership is just being changed by another session.';

-- ---- reviewing ----

CREATE FUNCTION multitenant._sees_break_glass() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN multitenant.has_permission('break_glass:review') OR multitenant.has_permission('break_glass:approve');
END
$$;
COMMENT ON FUNCTION multitenant._sees_break_glass() IS
'Internal: does the current principal see break-glass of others?';

CREATE VIEW multitenant.break_glass_reviews WITH (security_barrier = true) AS
	SELECT g.id, g.principal, (SELECT r.name FROM multitenant.role r WHERE r.id = g.role_id) AS role, g.reason,
		CASE WHEN g.closed_at IS NOT NULL AND g.holds_from IS NOT NULL THEN 'closed'
			WHEN g.closed_at IS NOT NULL AND g.closed_by <> g.principal THEN 'denied'
			WHEN g.closed_at IS NOT NULL THEN 'withdrawn'
			WHEN g.ends_at > clock_timestamp() THEN CASE WHEN g.holds_from IS NOT NULL THEN 'open' ELSE 'waiting' END
			WHEN g.holds_from IS NOT NULL THEN 'ended' ELSE 'lapsed' END AS state,
		g.opened_at, g.duration, g.holds_from, g.ends_at, g.closed_at, g.closed_by, g.approved_by, g.note,
		g.reviewed_by, g.reviewed_at, g.review
	FROM multitenant.break_glass g
	-- Security: the MSP sees nothing of it, also where its role has the permission.
	WHERE g.tenant_id = (SELECT multitenant._require_own_tenant('seeing break-glass'))
		AND (g.principal = (SELECT multitenant.current_principal()) OR (SELECT multitenant._sees_break_glass()));
COMMENT ON VIEW multitenant.break_glass_reviews IS
'Break-glass of the current tenant, and what came of its review. state: waiting, open, closed, ended (by itself), denied, withdrawn, lapsed (not approved in time). For permissions break_glass:review and break_glass:approve; everybody sees his own. Supervised and system contexts are refused with 42501.';

CREATE FUNCTION multitenant.review_break_glass(id uuid, finding text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._govern('break_glass:review', 'reviewing break-glass');
	reviewed multitenant.break_glass;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'id and finding');
	-- Security: as in drop_break_glass().
	PERFORM multitenant._claim_member(tenant, g.principal) FROM multitenant.break_glass g WHERE g.tenant_id = tenant AND g.id = $1;
	SELECT * INTO reviewed FROM multitenant.break_glass g WHERE g.tenant_id = tenant AND g.id = $1 FOR UPDATE;
	IF reviewed.id IS NULL THEN
		RAISE EXCEPTION 'there is no such break-glass'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.break_glass_reviews.';
	ELSIF reviewed.principal = multitenant.current_principal() THEN
		PERFORM multitenant._audit('access.review_break_glass', tenant, $1::text, 'refused', '{}');
		RAISE EXCEPTION 'whoever opened it cannot review it'
			USING ERRCODE = '42501', HINT = 'Ask another member with permission break_glass:review.';
	ELSIF multitenant._is_break_glass_open(reviewed) THEN
		RAISE EXCEPTION 'it is still open'
			USING ERRCODE = '55000', HINT = 'Review it when it has ended; multitenant.close_break_glass() ends it.';
	ELSIF reviewed.reviewed_at IS NOT NULL THEN
		RAISE EXCEPTION 'it was reviewed already'
			USING ERRCODE = '55000', HINT = 'A finding stays as it is; see the view multitenant.break_glass_reviews.';
	END IF;
	UPDATE multitenant.break_glass g SET reviewed_by = multitenant.current_principal(), reviewed_at = now(), review = left(btrim($2), 10000)
		WHERE g.id = $1;
	PERFORM multitenant._audit('access.review_break_glass', tenant, $1::text, 'done', jsonb_build_object('finding', left(btrim($2), 10000)));
END
$$;
COMMENT ON FUNCTION multitenant.review_break_glass(uuid, text) IS
'Records what somebody else found out about break-glass that has ended: once, its first 10000 characters. What was done under it is in the view multitenant.audit_log. For permission break_glass:review. Errors: MT001; 42501 permission, one''s own, under break-glass, or in contexts that are not of a member; 22023 null or empty; 42704 no such break-glass; 55000 still open, or reviewed already.';

-- ---- findings ----

-- Security: how many, not whose: who looks after tenants learns nothing of their emergencies.
CREATE FUNCTION multitenant._lint_break_glass()
RETURNS TABLE(lint text, object text, schema_name name, level text, detail text, remediation text, metadata jsonb)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	RETURN QUERY
	SELECT 'break_glass_unreviewed', 'break-glass', NULL::name, 'low',
		format('Break-glass that ended more than 7 days ago was not reviewed: %s time(s) in %s tenant(s).', count(*), count(DISTINCT g.tenant_id)),
		'-- Ask the tenants to look at the view multitenant.break_glass_reviews and to call multitenant.review_break_glass().',
		jsonb_build_object('count', count(*))
	FROM multitenant.break_glass g
	WHERE g.holds_from IS NOT NULL AND g.reviewed_at IS NULL AND least(g.closed_at, g.ends_at) < now() - interval '7 days'
	HAVING count(*) > 0
	UNION ALL
	SELECT 'break_glass_open', 'break-glass', NULL, 'info',
		format('Break-glass is open in %s tenant(s).', count(DISTINCT g.tenant_id)),
		'-- It ends by itself; the tenants review it then.', jsonb_build_object('count', count(*))
	FROM multitenant.break_glass g
	WHERE g.holds_from IS NOT NULL AND multitenant._is_break_glass_open(g)
	HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION multitenant._lint_break_glass() IS
'Internal: findings about break-glass.';
