/*
 * supervision.sql
 *	  Looking into a tenant from outside: for a while, with a reason, recorded, and reading only; one query in all of them;
 *	  and what can be seen of tenants without looking in.
 */

CREATE FUNCTION multitenant._enter_supervised(tenant uuid)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_enter_supervised';
COMMENT ON FUNCTION multitenant._enter_supervised(uuid) IS
'Internal: takes the principal of the context into a tenant, to look.';

CREATE FUNCTION multitenant.begin_supervised(tenant uuid, reason text, duration interval DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	looker text := multitenant._require_outside_principal();
	maximum constant interval := multitenant._seconds(current_setting('multitenant.maximum_supervision')::interval);
	operator record;
	approved record;
	-- What is decided against it from here on counts more.
	beginning constant timestamptz := clock_timestamp();
	ending timestamptz;
	new_id uuid := gen_random_uuid();
BEGIN
	PERFORM multitenant._check_reason($2);
	duration := multitenant._seconds(coalesce(duration, maximum));
	IF $3 <= interval '0' OR $3 > maximum THEN
		RAISE EXCEPTION 'a supervision lasts for more than no time, and for % at most', current_setting('multitenant.maximum_supervision')
			USING ERRCODE = '22023', HINT = 'Ask for as long as the work takes; the setting is multitenant.maximum_supervision.';
	END IF;
	SELECT o.expires_at, o.since, t.visibility, t.supervised_from INTO operator FROM multitenant.operator o
		JOIN multitenant.master_tenant m ON m.tenant_id = o.tenant_id AND m.master_id = o.master_id
		JOIN multitenant.tenant t ON t.id = o.tenant_id AND t.state = 'active' AND t.visibility <> 'none'
		WHERE o.tenant_id = $1 AND o.principal = looker AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp());
	IF NOT FOUND THEN
		PERFORM multitenant._raise_no_operator();
	END IF;
	SELECT r.id, r.ends_at INTO approved FROM multitenant.access_request r
		WHERE operator.visibility <> 'supervised' AND r.tenant_id = $1 AND r.principal = looker
		AND multitenant._request_state(r) = 'approved' AND r.ends_at > clock_timestamp()
		AND r.decided_at > greatest(operator.supervised_from, operator.since)
		ORDER BY r.ends_at DESC LIMIT 1;
	IF operator.visibility <> 'supervised' AND approved.id IS NULL THEN
		PERFORM multitenant._raise_no_operator();
	END IF;
	IF NOT pg_is_in_recovery() AND current_setting('transaction_read_only')::boolean THEN
		RAISE EXCEPTION 'a supervision cannot begin in a read-only transaction'
			USING ERRCODE = '25006', HINT = 'It is kept in a table: begin it in a transaction that may write. Afterwards only reading is possible.';
	END IF;
	ending := least(beginning + $3, approved.ends_at, operator.expires_at);

	-- Security: recorded and committed before the first row can be read, whatever becomes of this transaction.
	PERFORM multitenant._audit_durably('supervised.begin', $1, $2, 'allowed',
		jsonb_build_object('supervision', new_id, 'ends_at', ending, 'request', approved.id));
	PERFORM multitenant._end_supervisions($1, looker);
	INSERT INTO multitenant.supervision (id, tenant_id, principal, began_at, ends_at, reason, request_id)
		VALUES (new_id, $1, looker, beginning, ending, $2, approved.id);
	PERFORM multitenant._enter_supervised($1);
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.begin_supervised(uuid, text, interval) IS
'An operator begins to look into a tenant that consents, and the transaction does so from here on, reading only; later transactions of the principal come back with switch_tenant() until the time is over. Returns the supervision''s id. reason: recorded for the tenant, even if this transaction is rolled back; duration: at most multitenant.maximum_supervision (null: that), and never longer than the approval. In a context of a principal without a tenant. Errors: MT001, MT005, MT008 no operator of such a tenant, or it does not consent; 22023, 25006 read-only transaction or standby, 55000 the record cannot be written.';

CREATE FUNCTION multitenant.begin_supervised(tenant text, reason text, duration interval DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN multitenant.begin_supervised(multitenant._tenant_named($1), $2, $3);
END
$$;
COMMENT ON FUNCTION multitenant.begin_supervised(text, text, interval) IS
'As begin_supervised(uuid, ..), by slug.';

CREATE FUNCTION multitenant.end_supervised(tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	looker text := multitenant._require_outside_principal();
BEGIN
	IF multitenant._end_supervisions($1, looker) = 0 OR $1 IS NULL THEN
		RAISE EXCEPTION 'this principal has no open supervision of such a tenant'
			USING ERRCODE = 'MT008', HINT = 'It may have ended by itself; the view multitenant.supervisions lists them.';
	END IF;
	PERFORM multitenant._audit('supervised.end', $1, NULL, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.end_supervised(uuid) IS
'An operator ends looking into a tenant before the time is over. In a context of a principal without a tenant, so not in the transaction that looks in. Errors: MT001, MT005, MT008 nothing open.';

CREATE FUNCTION multitenant.end_supervised(tenant text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant.end_supervised(multitenant._tenant_named($1));
END
$$;
COMMENT ON FUNCTION multitenant.end_supervised(text) IS
'As end_supervised(uuid), by slug.';

CREATE FUNCTION multitenant.across_tenants(query text, reason text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_across_tenants';
COMMENT ON FUNCTION multitenant.across_tenants(text, text) IS
'Runs one SELECT in each tenant that the operator may look into at this moment, one after the other by slug, reading only and with the caller''s rights, and returns the tenant''s id and the query''s columns: SELECT * FROM multitenant.across_tenants(''SELECT count(*) FROM orders'', ''monthly report'') AS t(tenant_id uuid, orders bigint). A tenant where it fails fails the whole. Recorded with the reason, the query without literals and the tables it names or reaches through views, in the record of each tenant, before the first is read and even if the transaction is rolled back. In a context of a principal without a tenant, which enters no tenant afterwards in this transaction. Errors: MT001, MT003, MT005 another context, or inside of itself; MT008 there is no such tenant; 22023 not one SELECT that reads, longer than 64 kB, or than 4000 bytes without its literals; 42804 other columns, 25006 it would write; 55000 the record cannot be written; what the query itself raises.';

-- ---------------------------------------------------------------------------------------------------------------
-- Who sees what without looking in
-- ---------------------------------------------------------------------------------------------------------------

-- Which supervisions count, as src/rbac/supervision.c says it, except for the consent of now: here, and in the view below.
CREATE FUNCTION multitenant._open_supervisions(tenant uuid)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT count(*) FROM multitenant.supervision s
	JOIN multitenant.tenant t ON t.id = s.tenant_id AND s.began_at > coalesce(t.supervised_from, '-infinity')
	JOIN multitenant.operator o ON o.tenant_id = s.tenant_id AND o.principal = s.principal AND o.since <= s.began_at
	LEFT JOIN multitenant.access_request r ON r.id = s.request_id
	LEFT JOIN multitenant.access_withdrawal w ON w.request_id = s.request_id
	WHERE s.tenant_id = $1 AND s.ended_at IS NULL AND s.ends_at > clock_timestamp()
		AND (s.request_id IS NULL OR (r.state = 'approved' AND w.request_id IS NULL));
END;
COMMENT ON FUNCTION multitenant._open_supervisions(uuid) IS
'Internal: how many supervisions of a tenant are neither ended, nor over, nor of a decision of the tenant or an assignment that is.';

CREATE VIEW multitenant.supervisions WITH (security_barrier = true) AS
	SELECT s.id, s.tenant_id, t.slug AS tenant, s.principal, s.reason, s.began_at, s.ends_at, s.ended_at,
		s.ended_at IS NULL AND s.ends_at > clock_timestamp() AND s.began_at > coalesce(t.supervised_from, '-infinity')
			AND o.since IS NOT NULL AND (s.request_id IS NULL OR (r.state = 'approved' AND w.request_id IS NULL)) AS is_open
	FROM multitenant.supervision s
	JOIN multitenant.tenant t ON t.id = s.tenant_id
	LEFT JOIN multitenant.operator o ON o.tenant_id = s.tenant_id AND o.principal = s.principal AND o.since <= s.began_at
	LEFT JOIN multitenant.access_request r ON r.id = s.request_id
	LEFT JOIN multitenant.access_withdrawal w ON w.request_id = s.request_id
	WHERE (SELECT multitenant._has('audit'))
		OR s.tenant_id = (SELECT multitenant._tenant_permitting('access:approve'))
		OR s.principal = (SELECT multitenant._outside_principal());
COMMENT ON VIEW multitenant.supervisions IS
'When operators look, or looked, into tenants, and why: a tenant''s own to its principals with access:approve, an operator''s own to him, all to profile auditor.';

-- Which tenants the caller sees from outside, or is in; how much of them.
CREATE FUNCTION multitenant._visible_tenants()
RETURNS TABLE(tenant_id uuid, sees_metadata boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_id constant uuid := multitenant._tenant_in('tenant');
	looked_into constant uuid := multitenant._tenant_in('supervised');
	looker constant text := multitenant._outside_principal();
BEGIN
	IF own_id IS NOT NULL THEN
		RETURN QUERY SELECT own_id, true;
	ELSIF looked_into IS NOT NULL THEN
		RETURN QUERY SELECT t.id, t.visibility <> 'none' FROM multitenant.tenant t WHERE t.id = looked_into;
	ELSIF looker IS NOT NULL THEN
		RETURN QUERY SELECT t.id, t.visibility <> 'none' FROM multitenant.operator o
			JOIN multitenant.master_tenant m ON m.tenant_id = o.tenant_id AND m.master_id = o.master_id
			JOIN multitenant.tenant t ON t.id = o.tenant_id
			WHERE o.principal = looker AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp());
	ELSIF multitenant._has('see_tenants') THEN
		RETURN QUERY SELECT t.id, t.visibility <> 'none' FROM multitenant.tenant t
			WHERE EXISTS (SELECT FROM multitenant.master_tenant m WHERE m.tenant_id = t.id);
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._visible_tenants() IS
'Internal: the tenant of the context; without one, those that the principal looks after; without a principal, for profiles that see tenants, those that are linked.';

-- Security: no name that an application chose leaves the tenant, nor that somebody is under break-glass at this moment.
CREATE FUNCTION multitenant._event_class(event text, source text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT CASE WHEN $2 <> 'engine' THEN 'application' WHEN split_part($1, '.', 1) = 'break_glass' THEN 'access'
		ELSE split_part($1, '.', 1) END;
END;
COMMENT ON FUNCTION multitenant._event_class(text, text) IS
'Internal: the first word of an event of the engine, break-glass among access; application for any other.';

CREATE FUNCTION multitenant._audit_metadata()
RETURNS TABLE(tenant_id uuid, event_class text, hour timestamptz, events bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- Inside a tenant, who may not read the record does not count it either.
	IF multitenant._tenant_in('tenant') IS NOT NULL THEN
		PERFORM multitenant._tenant_of_record();
	END IF;
	-- Security: hours of UTC. Those of a time zone of one's choice could begin at any minute.
	RETURN QUERY SELECT e.tenant_id, multitenant._event_class(e.event, e.source), date_trunc('hour', e.at, 'UTC'), count(*)
		FROM multitenant.audit_event e
		JOIN multitenant._visible_tenants() v ON v.tenant_id = e.tenant_id AND v.sees_metadata
		GROUP BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION multitenant._audit_metadata() IS
'Internal: the rows of the view audit_metadata.';

CREATE VIEW multitenant.audit_metadata WITH (security_barrier = true) AS
	SELECT * FROM multitenant._audit_metadata();
COMMENT ON VIEW multitenant.audit_metadata IS
'How many events of which class each hour of UTC had, and nothing else of them: for operators and profiles operator, provisioner and auditor of linked tenants whose visibility is not none; for a tenant its own.';

CREATE FUNCTION multitenant._tenant_overview()
RETURNS TABLE(tenant_id uuid, tenant text, name text, state text, since timestamptz, visibility text, members bigint,
	pending_requests bigint, open_supervisions bigint, keys text, events_of_a_day bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT t.id, t.slug, t.name, t.state, n.since, n.visibility, n.members, n.requests, n.supervisions, n.keys, n.events
		FROM multitenant._visible_tenants() v
		JOIN multitenant.tenant t ON t.id = v.tenant_id
		LEFT JOIN LATERAL (SELECT t.state_changed_at AS since, t.visibility,
			(SELECT count(*) FROM multitenant.member m WHERE m.tenant_id = t.id AND m.state = 'active') AS members,
			(SELECT count(*) FROM multitenant.access_request r
				WHERE r.tenant_id = t.id AND multitenant._request_state(r) = 'pending') AS requests,
			multitenant._open_supervisions(t.id) AS supervisions,
			coalesce((SELECT k.state FROM multitenant.kek k WHERE k.tenant_id = t.id AND k.state IN ('active', 'suspended')),
				(SELECT min(k.state) FROM multitenant.kek k WHERE k.tenant_id = t.id), 'none') AS keys,
			(SELECT count(*) FROM multitenant.audit_event e
				WHERE e.tenant_id = t.id AND e.at > clock_timestamp() - interval '24 hours') AS events
			WHERE v.sees_metadata) n ON true;
END
$$;
COMMENT ON FUNCTION multitenant._tenant_overview() IS
'Internal: the rows of the view tenant_overview.';

CREATE VIEW multitenant.tenant_overview WITH (security_barrier = true) AS
	SELECT * FROM multitenant._tenant_overview();
COMMENT ON VIEW multitenant.tenant_overview IS
'One row for each tenant that the caller looks after: an operator''s own, for profiles operator, provisioner and auditor every linked one; inside a tenant its own. Counts only; of a tenant with visibility none its name and state.';
