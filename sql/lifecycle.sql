-- Tenants: creating them and changing their state.

-- An action whose argument is null must not look like one that was done.
CREATE FUNCTION multitenant._refuse_nulls(null_count integer, what text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF null_count > 0 THEN
		RAISE EXCEPTION '% must not be null or empty', what
			USING ERRCODE = '22023', HINT = 'Nothing was done; give every argument.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._refuse_nulls(integer, text) IS
'Internal: raises 22023 if there is a null.';

-- Security: what is compared must be what is added. An interval's months and days are as long as the session's time zone makes
-- them, which anybody sets; its seconds are the same everywhere.
CREATE FUNCTION multitenant._seconds(duration interval)
RETURNS interval
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seconds constant numeric := extract(epoch FROM $1);
BEGIN
	-- A hundred years: nothing here takes longer, and the clock can add them.
	IF abs(seconds) > 3155760000 THEN
		RAISE EXCEPTION 'the interval is out of range'
			USING ERRCODE = '22023', HINT = 'Give hours, days or years, such as ''2 hours'': a hundred years at most.';
	END IF;
	RETURN make_interval(secs => seconds);
END
$$;
COMMENT ON FUNCTION multitenant._seconds(interval) IS
'Internal: the same duration in seconds alone, whatever the time zone: a day has 24 hours, a month 30 days, a year 365.25. Errors: 22023 infinite, or more than a hundred years.';

CREATE FUNCTION multitenant._raise_unknown_tenant(tenant text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'tenant "%" does not exist', tenant
		USING ERRCODE = 'MT008',
		HINT = 'Look at the view multitenant.tenants, or call multitenant.create_tenant().';
END
$$;
COMMENT ON FUNCTION multitenant._raise_unknown_tenant(text) IS
'Internal: raises MT008.';

CREATE FUNCTION multitenant._require_tenant(tenant uuid)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM multitenant.tenant t WHERE t.id = $1) THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_tenant(uuid) IS
'Internal: raises MT008 unless there is that tenant.';

CREATE FUNCTION multitenant.tenant_id(tenant text)
RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id uuid;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._require('see_tenants', 'looking up tenants');
	IF tenant ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
		SELECT t.id INTO found_id FROM multitenant.tenant t WHERE t.id = $1::uuid;
	ELSE
		SELECT t.id INTO found_id FROM multitenant.tenant t WHERE t.slug = $1;
	END IF;
	IF found_id IS NULL THEN
		PERFORM multitenant._raise_unknown_tenant($1);
	END IF;
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION multitenant.tenant_id(text) IS
'The id of the tenant of that slug or id. Errors: 42501 profile, MT008 unknown tenant.';

CREATE FUNCTION multitenant.tenant_id(number bigint)
RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id uuid;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._require('see_tenants', 'looking up tenants');
	SELECT t.id INTO found_id FROM multitenant.tenant t WHERE t.number = $1;
	IF found_id IS NULL THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	END IF;
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION multitenant.tenant_id(bigint) IS
'The id of the tenant of that number. Errors: 42501 profile, MT008 unknown tenant.';

CREATE FUNCTION multitenant.create_tenant(
	slug text, name text DEFAULT NULL, number bigint DEFAULT NULL, id uuid DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id uuid := coalesce($4, gen_random_uuid());
	new_number bigint := $3;
BEGIN
	PERFORM multitenant._require('manage_tenants', 'creating a tenant');
	IF $1 IS NULL OR octet_length($1) NOT BETWEEN 1 AND 128 OR $1 ~ '[[:cntrl:]]'
	   OR $1 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
		RAISE EXCEPTION 'invalid slug'
			USING ERRCODE = '22023',
			HINT = 'A slug has 1 to 128 bytes, no control characters, and does not look like a uuid.';
	END IF;
	-- Numbers that were given by hand lie in the way of the sequence.
	WHILE new_number IS NULL LOOP
		new_number := nextval('multitenant.tenant_number_seq');
		IF EXISTS (SELECT FROM multitenant.tenant t WHERE t.number = new_number) THEN
			new_number := NULL;
		END IF;
	END LOOP;
	BEGIN
		INSERT INTO multitenant.tenant (id, number, slug, name)
			VALUES (new_id, new_number, $1, coalesce($2, $1));
	EXCEPTION WHEN unique_violation THEN
		RAISE EXCEPTION 'a tenant with this id, number or slug exists already'
			USING ERRCODE = '23505',
			HINT = 'Look at the view multitenant.tenants; deleted tenants keep their names until they are purged.';
	END;
	PERFORM multitenant._audit('tenant.create', new_id, $1, 'done',
		jsonb_build_object('number', new_number));
	-- Without a master key the first value that is encrypted makes it.
	IF EXISTS (SELECT FROM multitenant._master_keys() k WHERE k.is_current AND k.id IS NOT NULL) THEN
		PERFORM multitenant._first_tenant_key(new_id);
	END IF;
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.create_tenant(text, text, bigint, uuid) IS
'Creates a tenant and returns its id; its encryption key, too, if a master key is loaded. slug: 1 to 128 bytes, unique; name: for people (default: the slug); number and id: given if existing data already uses them. For profile provisioner. Errors: 42501 profile, 22023 invalid slug, 23505 exists already.';

CREATE FUNCTION multitenant.alter_tenant(tenant uuid, name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'tenant and name');
	PERFORM multitenant._require('manage_tenants', 'changing a tenant');
	UPDATE multitenant.tenant t SET name = $2 WHERE t.id = $1;
	IF NOT FOUND THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	END IF;
	PERFORM multitenant._audit('tenant.alter', $1, $1::text, 'done', jsonb_build_object('name', $2));
END
$$;
COMMENT ON FUNCTION multitenant.alter_tenant(uuid, text) IS
'Changes the name of a tenant. Its id, number and slug never change: rows and tokens name it by them. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant.';

-- Security: the capability is an argument, so this is not for PUBLIC to call.
CREATE FUNCTION multitenant._change_state(
	tenant uuid, capability text, allowed_states text[], new_state text, reason text, purge_after timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old_state text;
BEGIN
	PERFORM multitenant._require(capability, 'changing the state of a tenant');
	SELECT t.state INTO old_state FROM multitenant.tenant t WHERE t.id = $1 FOR UPDATE;
	IF old_state IS NULL THEN
		PERFORM multitenant._raise_unknown_tenant($1::text);
	END IF;
	IF old_state <> ALL (allowed_states) THEN
		RAISE EXCEPTION 'the tenant is %', old_state
			USING ERRCODE = '55000',
			HINT = format('This is possible for a tenant that is %s.', array_to_string(allowed_states, ' or '));
	END IF;
	UPDATE multitenant.tenant t
		SET state = coalesce(new_state, t.state_before_deletion),
			state_reason = reason,
			state_changed_at = now(),
			state_before_deletion = CASE WHEN new_state = 'deleted' THEN t.state END,
			purge_after = $6
		WHERE t.id = $1;
	PERFORM multitenant._audit('tenant.' || coalesce(new_state, 'undelete'), $1, $1::text, 'done',
		jsonb_build_object('from', old_state, 'reason', reason));
END
$$;
COMMENT ON FUNCTION multitenant._change_state(uuid, text, text[], text, text, timestamptz) IS
'Internal: the one place where the state of a tenant changes.';

CREATE FUNCTION multitenant._end_sessions(tenant uuid)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_end_sessions';
COMMENT ON FUNCTION multitenant._end_sessions(uuid) IS
'Internal: ends the sessions of a tenant when this transaction commits.';

CREATE FUNCTION multitenant.suspend_tenant(tenant uuid, reason text, terminate boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), ''), $3), 'tenant, reason and terminate');
	PERFORM multitenant._change_state($1, 'suspend', '{active}', 'suspended', $2, NULL);
	IF terminate THEN
		PERFORM multitenant._end_sessions($1);
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant.suspend_tenant(uuid, text, boolean) IS
'Suspends a tenant: from the commit on every new statement under its context is refused with MT006, also in transactions that are open. terminate: also ends its sessions with what they are running (needs shared_preload_libraries). For profiles provisioner and operator. Errors: 42501 profile, MT008 unknown tenant, 55000 not active or no preload.';

CREATE FUNCTION multitenant.resume_tenant(tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._change_state($1, 'suspend', '{suspended}', 'active', NULL, NULL);
END
$$;
COMMENT ON FUNCTION multitenant.resume_tenant(uuid) IS
'Ends the suspension of a tenant. For profiles provisioner and operator. Errors: 42501 profile, MT008 unknown tenant, 55000 not suspended.';

CREATE FUNCTION multitenant.delete_tenant(tenant uuid, reason text DEFAULT NULL, grace interval DEFAULT '30 days')
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	grace := multitenant._seconds(grace);
	IF $3 IS NULL OR $3 < interval '0' THEN
		RAISE EXCEPTION 'the grace period must not be negative'
			USING ERRCODE = '22023', HINT = 'Give an interval such as ''30 days''.';
	END IF;
	PERFORM multitenant._change_state($1, 'manage_tenants', '{active,suspended}', 'deleted', $2, now() + $3);
END
$$;
COMMENT ON FUNCTION multitenant.delete_tenant(uuid, text, interval) IS
'Marks a tenant as deleted: its context is refused with MT006, its rows stay, and undelete_tenant() brings it back. grace: how long the rows must stay at least; a day is 24 hours, a month 30 days. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, 55000 deleted already, 22023 negative or infinite grace.';

CREATE FUNCTION multitenant.undelete_tenant(tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._change_state($1, 'manage_tenants', '{deleted}', NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION multitenant.undelete_tenant(uuid) IS
'Brings a deleted tenant back in the state it had before. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, 55000 not deleted.';

-- The same by slug (or id as text), so that a literal works as an argument.

CREATE FUNCTION multitenant.alter_tenant(tenant text, name text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.alter_tenant(multitenant.tenant_id($1), $2);
END;
COMMENT ON FUNCTION multitenant.alter_tenant(text, text) IS
'As alter_tenant(uuid, ..), by slug.';

CREATE FUNCTION multitenant.suspend_tenant(tenant text, reason text, terminate boolean DEFAULT false)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.suspend_tenant(multitenant.tenant_id($1), $2, $3);
END;
COMMENT ON FUNCTION multitenant.suspend_tenant(text, text, boolean) IS
'As suspend_tenant(uuid, ..), by slug.';

CREATE FUNCTION multitenant.resume_tenant(tenant text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.resume_tenant(multitenant.tenant_id($1));
END;
COMMENT ON FUNCTION multitenant.resume_tenant(text) IS
'As resume_tenant(uuid), by slug.';

CREATE FUNCTION multitenant.delete_tenant(tenant text, reason text DEFAULT NULL, grace interval DEFAULT '30 days')
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.delete_tenant(multitenant.tenant_id($1), $2, $3);
END;
COMMENT ON FUNCTION multitenant.delete_tenant(text, text, interval) IS
'As delete_tenant(uuid, ..), by slug.';

CREATE FUNCTION multitenant.undelete_tenant(tenant text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.undelete_tenant(multitenant.tenant_id($1));
END;
COMMENT ON FUNCTION multitenant.undelete_tenant(text) IS
'As undelete_tenant(uuid), by slug.';
