-- Keys of tenants after they were made: suspending them, replacing each of the three kinds, encrypting values again,
-- destroying what nothing needs any more, and looking whether all of it can be opened.

-- ---- what C does ----------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._lock_keys(tenant uuid) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_lock_keys';
COMMENT ON FUNCTION multitenant._lock_keys(uuid) IS
'Internal: until the end of the transaction nobody else makes or replaces keys of the tenant.';

CREATE FUNCTION multitenant._next_tenant_key(tenant uuid) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_next_tenant_key';
COMMENT ON FUNCTION multitenant._next_tenant_key(uuid) IS
'Internal: makes the next version of a tenant''s own key, whose place must be free.';

CREATE FUNCTION multitenant._next_key(tenant uuid, purpose text, class text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_next_key';
COMMENT ON FUNCTION multitenant._next_key(uuid, text, text) IS
'Internal: makes the next version of a key for values, whose place must be free.';

CREATE FUNCTION multitenant._rewrap_tenant_key(kek_id bigint) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_rewrap_tenant_key';
COMMENT ON FUNCTION multitenant._rewrap_tenant_key(bigint) IS
'Internal: puts a tenant''s key under the current master key.';

CREATE FUNCTION multitenant._rewrap_key(cek_id bigint, kek_id bigint) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_rewrap_key';
COMMENT ON FUNCTION multitenant._rewrap_key(bigint, bigint) IS
'Internal: puts a key for values under another version of its tenant''s key.';

CREATE FUNCTION multitenant._assert_wraps_nothing(kek_id bigint) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_assert_wraps_nothing';
COMMENT ON FUNCTION multitenant._assert_wraps_nothing(bigint) IS
'Internal: 55000 if a key for values that is not destroyed is under this version of its tenant''s key, whatever the caller''s snapshot.';

CREATE FUNCTION multitenant._check_key(cek_id bigint) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_check_key';
COMMENT ON FUNCTION multitenant._check_key(bigint) IS
'Internal: why a key for values cannot be used; null if it can.';

CREATE FUNCTION multitenant._check_tenant_key(kek_id bigint) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_check_tenant_key';
COMMENT ON FUNCTION multitenant._check_tenant_key(bigint) IS
'Internal: why a tenant''s key cannot be used; null if it can.';

CREATE FUNCTION multitenant._rows_of_keys(table_name regclass, column_number smallint, keys bigint[]) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_rows_of_keys';
COMMENT ON FUNCTION multitenant._rows_of_keys(regclass, smallint, bigint[]) IS
'Internal: how many rows hold values of these keys, past row security.';

CREATE FUNCTION multitenant._open_transactions() RETURNS text[]
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_open_transactions';
COMMENT ON FUNCTION multitenant._open_transactions() IS
'Internal: virtual ids of the other transactions of this database, prepared ones too.';

CREATE FUNCTION multitenant._await_transaction(virtualxid text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_await_transaction';
COMMENT ON FUNCTION multitenant._await_transaction(text) IS
'Internal: waits until a transaction has ended; 55P03 after lock_timeout.';

CREATE FUNCTION multitenant._whose_transaction(virtualxid text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_whose_transaction';
COMMENT ON FUNCTION multitenant._whose_transaction(text) IS
'Internal: the process that is in a transaction; null if there is none.';

CREATE FUNCTION multitenant._unwritten_uses(cek_id bigint) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_unwritten_uses';
COMMENT ON FUNCTION multitenant._unwritten_uses(bigint) IS
'Internal: uses of a key that are counted and not in its row yet.';

CREATE FUNCTION multitenant._key_cache(
	OUT entries bigint, OUT ready bigint, OUT hits bigint, OUT misses bigint, OUT evictions bigint, OUT uncounted_uses bigint)
LANGUAGE c VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_key_cache';
COMMENT ON FUNCTION multitenant._key_cache() IS
'Internal: behind the view multitenant.key_cache.';

CREATE VIEW multitenant.key_cache WITH (security_barrier = true) AS
	SELECT k.entries, k.ready, k.hits, k.misses, k.evictions, k.uncounted_uses FROM multitenant._key_cache() k;
COMMENT ON VIEW multitenant.key_cache IS
'Keys that this session holds, unwrapped. entries: all; ready: with what is computed of them; hits, misses: how often another key than the last one was needed and was there, or had to be read; evictions: removed for want of room (multitenant.key_cache_size). uncounted_uses: of the whole server, uses of keys that found no room to be counted. Needs the capability "lint": the keys of a session that is shared are those of every tenant that it has worked for.';

-- ---- in which transactions ------------------------------------------------------------------------------------------

-- Security: a key that was made after a transaction's snapshot is not in what its statements find; what follows from that
-- it was not, such as destroying, must not happen there.
CREATE FUNCTION multitenant._require_read_committed(what text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION '% needs a transaction that is READ COMMITTED', $1
			USING ERRCODE = '55000',
			DETAIL = format('This one is %s: it does not see keys that others make meanwhile.', upper(current_setting('transaction_isolation'))),
			HINT = 'SET default_transaction_isolation = ''read committed'', or begin with BEGIN ISOLATION LEVEL READ COMMITTED.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._require_read_committed(text) IS
'Internal: 55000 in transactions that keep their first snapshot.';

-- ---- suspending -----------------------------------------------------------------------------------------------------

-- Security: the caller has asked for the right.
CREATE FUNCTION multitenant._change_key_state(tenant uuid, old_state text, new_state text, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_state text;
BEGIN
	-- A first key that is being made is waited for; an existing one is not, whoever uses it.
	IF NOT EXISTS (SELECT FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.state IN ('active', 'suspended')) THEN
		PERFORM multitenant._lock_keys($1);
	END IF;
	UPDATE multitenant.kek k SET state = new_state, state_reason = $4, changed_at = clock_timestamp()
		WHERE k.tenant_id = $1 AND k.state = old_state;
	IF FOUND THEN
		PERFORM multitenant._audit(CASE new_state WHEN 'suspended' THEN 'key.suspend' ELSE 'key.resume' END, $1, $1::text, 'done',
			jsonb_build_object('reason', $4));
		RETURN;
	END IF;
	PERFORM multitenant._require_tenant($1);
	SELECT k.state INTO found_state FROM multitenant.kek k WHERE k.tenant_id = $1 ORDER BY k.version DESC LIMIT 1;
	RAISE EXCEPTION 'the encryption keys of the tenant are not %', old_state
		USING ERRCODE = '55000',
		DETAIL = CASE WHEN found_state IS NULL THEN 'It has none yet.' ELSE format('They are %s.', found_state) END,
		HINT = CASE WHEN found_state IS NULL THEN 'To keep the tenant out altogether call multitenant.suspend_tenant().'
			ELSE 'Nothing was changed.' END;
END
$$;
COMMENT ON FUNCTION multitenant._change_key_state(uuid, text, text, text) IS
'Internal: suspends or resumes the keys of a tenant.';

CREATE FUNCTION multitenant.suspend_tenant_keys(tenant uuid, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'tenant and reason');
	PERFORM multitenant._require('suspend', 'suspending the keys of a tenant');
	PERFORM multitenant._change_key_state($1, 'active', 'suspended', $2);
END
$$;
COMMENT ON FUNCTION multitenant.suspend_tenant_keys(uuid, text) IS
'Makes what a tenant has encrypted unreadable until resume_tenant_keys(): from the commit on every use of its keys fails with MT020, also in statements that are running; on a standby from the replay on. The tenant itself goes on. For profiles provisioner and operator. Errors: 42501 profile, MT008 unknown tenant, 55000 suspended already, or it has no keys.';

CREATE FUNCTION multitenant.resume_tenant_keys(tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._require('suspend', 'resuming the keys of a tenant');
	PERFORM multitenant._change_key_state($1, 'suspended', 'active', NULL);
END
$$;
COMMENT ON FUNCTION multitenant.resume_tenant_keys(uuid) IS
'Ends suspend_tenant_keys(). For profiles provisioner and operator. Errors: 42501 profile, MT008 unknown tenant, 55000 not suspended.';

CREATE FUNCTION multitenant.suspend_tenant_keys(tenant text, reason text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.suspend_tenant_keys(multitenant.tenant_id($1), $2);
END;
COMMENT ON FUNCTION multitenant.suspend_tenant_keys(text, text) IS
'As suspend_tenant_keys(uuid, ..), by slug.';

CREATE FUNCTION multitenant.resume_tenant_keys(tenant text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.resume_tenant_keys(multitenant.tenant_id($1));
END;
COMMENT ON FUNCTION multitenant.resume_tenant_keys(text) IS
'As resume_tenant_keys(uuid), by slug.';

-- ---- replacing keys for values --------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._replace_key(tenant uuid, purpose text, class text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old_id bigint;
	new_id bigint;
BEGIN
	PERFORM multitenant._lock_keys($1);
	UPDATE multitenant.cek c SET state = 'retired', changed_at = clock_timestamp()
		WHERE c.tenant_id = $1 AND c.purpose = $2 AND c.class = $3 AND c.state = 'active'
		RETURNING c.cek_id INTO old_id;
	IF old_id IS NULL THEN
		RAISE EXCEPTION 'the tenant has no key of this class for purpose "%"', $2
			USING ERRCODE = '55000', HINT = 'Look at multitenant.key_status; the first use, or multitenant.create_key(), makes one.';
	END IF;
	new_id := multitenant._next_key($1, $2, $3);
	PERFORM multitenant._audit('key.rotate', $1, $2, 'done', jsonb_build_object('class', $3, 'from', old_id, 'to', new_id));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant._replace_key(uuid, text, text) IS
'Internal: retires the active key for a purpose and makes the next version.';

CREATE FUNCTION multitenant.rotate_cek(tenant uuid, purpose text, class text DEFAULT 'data')
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id bigint;
BEGIN
	PERFORM multitenant._require_read_committed('replacing a key');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3), 'tenant, purpose and class');
	PERFORM multitenant._require('manage_tenants', 'replacing a key');
	PERFORM multitenant._require_tenant($1);
	new_id := multitenant._replace_key($1, $2, $3);
	IF $3 <> 'data' THEN
		RAISE WARNING 'values made with the old key are no longer found by those made with the new one'
			USING HINT = 'Fill the columns of this purpose anew before they are searched again.';
	END IF;
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.rotate_cek(uuid, text, text) IS
'Makes the next version of a tenant''s key for a purpose and returns its id. New values get it from the commit on; the old one is retired: it decrypts and encrypts nothing any more, until reencrypt() and destroy_retired_keys(). class: data, deterministic or blind_index; the latter two only with a plan, for what they find changes. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, MT020 keys suspended or master key not loaded, 55000 no such key, or transaction not READ COMMITTED, 22023 class.';

CREATE FUNCTION multitenant.rotate_cek(tenant text, purpose text, class text DEFAULT 'data')
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.rotate_cek(multitenant.tenant_id($1), $2, $3);
END;
COMMENT ON FUNCTION multitenant.rotate_cek(text, text, text) IS
'As rotate_cek(uuid, ..), by slug.';

CREATE FUNCTION multitenant._replace_used_keys(soft_limit bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	used record;
BEGIN
	FOR used IN
		SELECT c.tenant_id, c.purpose, c.class, c.uses FROM multitenant.cek c
		JOIN multitenant.kek k ON k.kek_id = c.kek_id AND k.state = 'active'
		WHERE c.state = 'active' AND c.class = 'data' AND c.uses >= $1
		ORDER BY c.cek_id
	LOOP
		BEGIN
			PERFORM multitenant._replace_key(used.tenant_id, used.purpose, used.class);
			RAISE LOG 'key of tenant % for purpose "%" was replaced after % values', used.tenant_id, used.purpose, used.uses;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'key of tenant % for purpose "%" is used up and was not replaced: %', used.tenant_id, used.purpose, SQLERRM
				USING HINT = 'Call multitenant.rotate_cek() for this tenant and purpose.';
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._replace_used_keys(bigint) IS
'Internal: called by the process that writes the uses of keys.';

-- ---- replacing a tenant's own key -----------------------------------------------------------------------------------

CREATE FUNCTION multitenant.rotate_kek(tenant uuid)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old_key multitenant.kek;
	new_id bigint;
	wrapped_id bigint;
BEGIN
	PERFORM multitenant._require_read_committed('replacing the key of a tenant');
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the tenant');
	PERFORM multitenant._require('manage_tenants', 'replacing the key of a tenant');
	PERFORM multitenant._require_tenant($1);
	PERFORM multitenant._lock_keys($1);
	SELECT * INTO old_key FROM multitenant.kek k WHERE k.tenant_id = $1 AND k.state IN ('active', 'suspended') FOR UPDATE;
	IF NOT FOUND OR old_key.state <> 'active' THEN
		RAISE EXCEPTION 'the encryption keys of the tenant are not active'
			USING ERRCODE = '55000', HINT = 'Look at multitenant.key_status; multitenant.resume_tenant_keys() ends a suspension.';
	END IF;
	UPDATE multitenant.kek k SET state = 'retired', changed_at = clock_timestamp() WHERE k.kek_id = old_key.kek_id;
	new_id := multitenant._next_tenant_key($1);
	FOR wrapped_id IN
		SELECT c.cek_id FROM multitenant.cek c WHERE c.kek_id = old_key.kek_id AND c.state <> 'destroyed' ORDER BY c.cek_id FOR UPDATE
	LOOP
		PERFORM multitenant._rewrap_key(wrapped_id, new_id);
	END LOOP;
	PERFORM multitenant._assert_wraps_nothing(old_key.kek_id);
	UPDATE multitenant.kek k SET state = 'destroyed', wrapped = NULL, state_reason = 'replaced', changed_at = clock_timestamp()
		WHERE k.kek_id = old_key.kek_id;
	PERFORM multitenant._audit('key.rotate_kek', $1, $1::text, 'done', jsonb_build_object('from', old_key.kek_id, 'to', new_id));
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION multitenant.rotate_kek(uuid) IS
'Makes the next version of a tenant''s own key, wraps all its keys for values with it, and destroys the old one; returns the new one''s id. No value is touched. All in the caller''s transaction. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, MT020 master key not loaded, 55000 keys not active, or transaction not READ COMMITTED.';

CREATE FUNCTION multitenant.rotate_kek(tenant text)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.rotate_kek(multitenant.tenant_id($1));
END;
COMMENT ON FUNCTION multitenant.rotate_kek(text) IS
'As rotate_kek(uuid), by slug.';

-- ---- replacing the master key ---------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._current_master_key() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id text;
BEGIN
	SELECT k.id INTO found_id FROM multitenant._master_keys() k WHERE k.is_current;
	IF found_id IS NULL THEN
		RAISE EXCEPTION 'the current master key is not loaded'
			USING ERRCODE = 'MT020', HINT = 'Look at multitenant.mek_status.';
	END IF;
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION multitenant._current_master_key() IS
'Internal: the id of the master key that new keys are wrapped with; MT020 if it is not loaded.';

-- Security: only counts; the master keys are named by their check values.
CREATE FUNCTION multitenant._older_master_keys(OUT mek_id text, OUT tenant_keys bigint, OUT signing_keys bigint) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	current_id text;
BEGIN
	PERFORM multitenant._require('lint', 'reading the state of keys');
	SELECT k.id INTO current_id FROM multitenant._master_keys() k WHERE k.is_current;
	RETURN QUERY
		SELECT coalesce(a.id, b.id), coalesce(a.n, 0), coalesce(b.n, 0)
		FROM (SELECT k.mek_id AS id, count(*) AS n FROM multitenant.kek k WHERE k.wrapped IS NOT NULL GROUP BY 1) a
		FULL JOIN (SELECT encode(substr(s.wrapped_secret, 3, 8), 'hex') AS id, count(*) AS n
			FROM multitenant.signing_key s WHERE s.wrapped_secret IS NOT NULL GROUP BY 1) b ON b.id = a.id
		WHERE coalesce(a.id, b.id) IS DISTINCT FROM current_id
		ORDER BY 1;
END
$$;
COMMENT ON FUNCTION multitenant._older_master_keys() IS
'Internal: other master keys than the current one that something in this database needs.';

-- One batch: the last key looked at (null: there was none), how many were rewrapped, and how many could not be.
CREATE FUNCTION multitenant._rewrap_batch(
	after_id bigint, batch integer, current_id text, is_careful boolean, OUT last_id bigint, OUT done bigint, OUT failed bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	next_key record;
BEGIN
	done := 0;
	failed := 0;
	FOR next_key IN
		SELECT k.kek_id, k.tenant_id FROM multitenant.kek k
		WHERE k.kek_id > after_id AND k.mek_id <> current_id AND k.wrapped IS NOT NULL
		ORDER BY k.kek_id LIMIT batch FOR UPDATE
	LOOP
		last_id := next_key.kek_id;
		IF is_careful THEN
			BEGIN
				PERFORM multitenant._rewrap_tenant_key(next_key.kek_id);
				done := done + 1;
			EXCEPTION WHEN SQLSTATE 'MT020' THEN
				failed := failed + 1;
				RAISE WARNING 'the key of tenant % stays as it is: %', next_key.tenant_id, SQLERRM;
			END;
		ELSE
			PERFORM multitenant._rewrap_tenant_key(next_key.kek_id);
			done := done + 1;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._rewrap_batch(bigint, integer, text, boolean) IS
'Internal: one batch of multitenant.rotate_mek().';

CREATE PROCEDURE multitenant.rotate_mek(batch integer DEFAULT 10000)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
	current_id text;
	progress record;
	last_id bigint := 0;
	done bigint := 0;
	failed bigint := 0;
	signing record;
	older record;
	others bigint;
	is_needed boolean := false;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM multitenant._require_read_committed('replacing the master key');
	IF coalesce(batch, 0) < 1 THEN
		RAISE EXCEPTION 'batch must be positive' USING ERRCODE = '22023', HINT = 'Omit it to use 10000 keys.';
	END IF;
	PERFORM multitenant._require('superuser', 'replacing the master key');
	PERFORM multitenant._audit('key.rotate_mek', NULL, multitenant._current_master_key(), 'started', '{}');
	COMMIT;
	LOOP
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		PERFORM multitenant._require('superuser', 'replacing the master key');
		current_id := multitenant._current_master_key();
		BEGIN
			progress := multitenant._rewrap_batch(last_id, batch, current_id, false);
		EXCEPTION WHEN SQLSTATE 'MT020' THEN
			-- One of them cannot be opened: the others are done without it.
			progress := multitenant._rewrap_batch(last_id, batch, current_id, true);
		END;
		EXIT WHEN progress.last_id IS NULL;
		last_id := progress.last_id;
		done := done + progress.done;
		failed := failed + progress.failed;
		RAISE NOTICE 'wrapped the keys of % tenants', done;
		COMMIT;
	END LOOP;
	FOR signing IN
		SELECT k.kid FROM multitenant.signing_key k
		WHERE encode(substr(k.wrapped_secret, 3, 8), 'hex') <> current_id ORDER BY k.kid
	LOOP
		BEGIN
			PERFORM multitenant.wrap_signing_secret(signing.kid);
			RAISE NOTICE 'wrapped the secret of signing key "%"', signing.kid;
		EXCEPTION WHEN SQLSTATE 'MT020' OR SQLSTATE '55000' THEN
			failed := failed + 1;
			RAISE WARNING 'the secret of signing key "%" stays as it is: %', signing.kid, SQLERRM;
		END;
	END LOOP;
	PERFORM multitenant._audit('key.rotate_mek', NULL, current_id, 'done', jsonb_build_object('keys', done, 'failed', failed));
	COMMIT;

	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	FOR older IN SELECT * FROM multitenant._older_master_keys() LOOP
		is_needed := true;
		RAISE NOTICE 'master key % is still needed, for % tenants and % signing keys', older.mek_id, older.tenant_keys, older.signing_keys
			USING HINT = 'Load it again if it was removed from multitenant.key_versions, then call this procedure once more.';
	END LOOP;
	-- Keys that others have made and not committed cannot be seen.
	SELECT count(*) INTO others FROM pg_locks l
		WHERE l.locktype = 'relation' AND l.relation = 'multitenant.kek'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
		  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
		  AND l.pid IS DISTINCT FROM pg_backend_pid();
	IF others > 0 THEN
		is_needed := true;
		RAISE NOTICE '% transactions that made keys of tenants have not ended', others
			USING HINT = 'Call this procedure again when they have.';
	END IF;
	IF NOT is_needed THEN
		RAISE NOTICE 'nothing in this database needs an older master key than %', current_id
			USING HINT = 'Backups made until now still do, and other databases of this server may: rotate there as well before you remove a version from multitenant.key_versions.';
	END IF;
END
$$;
COMMENT ON PROCEDURE multitenant.rotate_mek(integer) IS
'Wraps the key of every tenant, and wrapped signing secrets, with the current master key (the last of multitenant.key_versions; load it first, beside the old one). No value is touched and nobody waits. Commits after each batch; called again, it goes on where it was stopped. Ends by saying whether an older master key is still needed. Superusers only, outside a transaction. Errors: 42501, 22023, 55000 transactions not READ COMMITTED, MT020 current master key not loaded.';

-- ---- destroying -----------------------------------------------------------------------------------------------------

-- Columns of this database whose values name a key.
CREATE FUNCTION multitenant._encrypted_columns() RETURNS TABLE(rel regclass, attnum smallint, attname name)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE types AS (
		SELECT t.oid FROM pg_catalog.pg_type t
		WHERE t.oid IN ('multitenant.encrypted'::regtype, 'multitenant.encrypted_det'::regtype)
		UNION ALL
		SELECT t.oid FROM pg_catalog.pg_type t JOIN types u ON t.typbasetype = u.oid AND t.typtype = 'd'
	)
	SELECT c.oid::regclass, a.attnum, a.attname
	FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
	WHERE a.atttypid IN (SELECT oid FROM types) AND a.attnum > 0 AND NOT a.attisdropped
	  AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
	ORDER BY c.oid, a.attnum
$$;

-- Returns when every transaction that was open has ended; 55000 with what is open when patience is over.
CREATE FUNCTION multitenant._await_transactions(patience interval)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stop_at timestamptz := clock_timestamp() + multitenant._seconds(patience);
	old_timeout text := current_setting('lock_timeout');
	awaited text;
BEGIN
	FOREACH awaited IN ARRAY multitenant._open_transactions() LOOP
		BEGIN
			PERFORM set_config('lock_timeout', greatest(1, ceil(extract(epoch FROM stop_at - clock_timestamp()) * 1000))::bigint::text, true);
			PERFORM multitenant._await_transaction(awaited);
			PERFORM set_config('lock_timeout', old_timeout, true);
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			RAISE EXCEPTION 'transactions that may hold values of retired keys have not ended'
				USING ERRCODE = '55000', DETAIL = format('Open: %s.', coalesce(multitenant._whose_transaction(awaited), 'a prepared transaction, see pg_prepared_xacts')),
				HINT = 'Try again when they have.';
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._await_transactions(interval) IS
'Internal: waits for the other transactions of this database that are open now.';

-- Raises what still needs keys.
CREATE FUNCTION multitenant._assert_unused_keys(class text, keys bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	holder record;
BEGIN
	FOR holder IN SELECT e.rel, e.attname, multitenant._rows_of_keys(e.rel, e.attnum, keys) AS rows
		FROM multitenant._encrypted_columns() e LOOP
		IF holder.rows > 0 THEN
			RAISE EXCEPTION 'retired keys are still needed'
				USING ERRCODE = '55000',
				DETAIL = format('%s rows of %s have values of them in column %I.', holder.rows, holder.rel, holder.attname),
				HINT = CASE $1 WHEN 'data' THEN format('CALL multitenant.reencrypt(%L, %L)', holder.rel, holder.attname)
					ELSE 'Fill the column anew under another purpose and drop this one.' END;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant._assert_unused_keys(text, bigint[]) IS
'Internal: 55000 if a column of this database holds values of these keys.';

CREATE FUNCTION multitenant.destroy_retired_keys(tenant uuid, purpose text, class text DEFAULT 'data', patience interval DEFAULT '10 seconds')
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keys bigint[];
	are_new boolean;
BEGIN
	PERFORM multitenant._require_read_committed('destroying keys');
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2, $3, nullif(multitenant._seconds($4) > interval '0', false)), 'tenant, purpose, class and patience');
	PERFORM multitenant._require('manage_tenants', 'destroying keys');
	PERFORM multitenant._require_tenant($1);
	SELECT array_agg(c.cek_id), bool_or(age(c.xmin) <= 0) INTO keys, are_new FROM multitenant.cek c
		WHERE c.tenant_id = $1 AND c.purpose = $2 AND c.class = $3 AND c.state = 'retired';
	IF keys IS NULL THEN
		RETURN 0;
	ELSIF are_new THEN
		-- Others still seal with them until that is committed.
		RAISE EXCEPTION 'the keys were retired after this transaction began'
			USING ERRCODE = '55000', HINT = 'Destroy them in a transaction of its own.';
	END IF;
	IF $3 = 'blind_index' THEN
		RAISE NOTICE 'blind indexes do not name their key: whether some are left of the old ones cannot be seen'
			USING HINT = 'Values are looked up with the active key alone; a retired one is of no use.';
	ELSE
		-- Who began before a look is waited for, which is why the lock on the tenant's keys comes later; what those have
		-- left is found by the next look, after the second round also what somebody copied of it and has not committed.
		FOR round IN 1 .. 2 LOOP
			PERFORM multitenant._assert_unused_keys($3, keys);
			PERFORM multitenant._await_transactions(patience);
		END LOOP;
	END IF;
	PERFORM multitenant._lock_keys($1);
	SELECT array_agg(c.cek_id) INTO keys FROM multitenant.cek c WHERE c.cek_id = ANY (keys) AND c.state = 'retired';
	IF keys IS NULL THEN
		RETURN 0;
	END IF;
	IF $3 <> 'blind_index' THEN
		PERFORM multitenant._assert_unused_keys($3, keys);
	END IF;
	UPDATE multitenant.cek c SET state = 'destroyed', wrapped = NULL, kcv = NULL, changed_at = clock_timestamp()
		WHERE c.cek_id = ANY (keys);
	PERFORM multitenant._audit('key.destroy', $1, $2, 'done', jsonb_build_object('class', $3, 'keys', to_jsonb(keys)));
	RETURN cardinality(keys);
END
$$;
COMMENT ON FUNCTION multitenant.destroy_retired_keys(uuid, text, text, interval) IS
'Destroys the retired keys of a tenant for a purpose, for good, and returns their number. Refused while a column of type multitenant.encrypted or encrypted_det of this database holds a value of them; values kept as bytea, inside other types, in other databases or in backups are not looked for; temporary tables are not looked at either. patience: how long all transactions of this database that are open, prepared ones too, are waited for: they may hold such values. For profile provisioner. Errors: 42501 profile, MT008 unknown tenant, 55000 still needed, transactions have not ended, keys retired in this transaction, or it is not READ COMMITTED.';

CREATE FUNCTION multitenant.destroy_retired_keys(tenant text, purpose text, class text DEFAULT 'data', patience interval DEFAULT '10 seconds')
RETURNS integer
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
BEGIN ATOMIC
	SELECT multitenant.destroy_retired_keys(multitenant.tenant_id($1), $2, $3, $4);
END;
COMMENT ON FUNCTION multitenant.destroy_retired_keys(text, text, text, interval) IS
'As destroy_retired_keys(uuid, ..), by slug.';

-- ---- what there is --------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._key_status(
	OUT tenant_id uuid, OUT purpose text, OUT class text, OUT version integer, OUT state text, OUT state_reason text, OUT key_id bigint,
	OUT wrapped_with text, OUT uses bigint, OUT percent_of_limit numeric, OUT created_at timestamptz, OUT changed_at timestamptz,
	OUT rotate_by timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading the state of keys');
	RETURN QUERY
		SELECT k.tenant_id, NULL::text, 'tenant', k.version, k.state, k.state_reason, k.kek_id,
			CASE WHEN k.wrapped IS NOT NULL THEN k.mek_id END,
			NULL::bigint, NULL::numeric, k.created_at, k.changed_at, NULL::timestamptz
		FROM multitenant.kek k
		UNION ALL
		SELECT c.tenant_id, c.purpose, c.class, c.version,
			CASE WHEN k.state = 'suspended' AND c.state <> 'destroyed' THEN 'suspended' ELSE c.state END,
			CASE WHEN k.state = 'suspended' AND c.state <> 'destroyed' THEN k.state_reason END, c.cek_id,
			CASE WHEN c.wrapped IS NOT NULL THEN c.kek_id::text END,
			CASE WHEN c.class <> 'blind_index' THEN u.uses END,
			CASE WHEN c.class = 'data' THEN round(100 * u.uses / 4294967296.0, 2) END, c.created_at, c.changed_at,
			-- A year, or when it will have sealed half of what it may if it goes on as until now.
			CASE WHEN c.class = 'data' AND c.state = 'active' THEN
				least(c.created_at + interval '1 year',
					c.created_at + least(2147483648.0 / greatest(u.uses, 1), 1000)::double precision
						* greatest(clock_timestamp() - c.created_at, interval '1 day'))
			END
		FROM multitenant.cek c
		LEFT JOIN multitenant.kek k ON k.kek_id = c.kek_id
		CROSS JOIN LATERAL (SELECT c.uses + multitenant._unwritten_uses(c.cek_id)) AS u(uses);
END
$$;
COMMENT ON FUNCTION multitenant._key_status() IS
'Internal: behind the view multitenant.key_status.';

CREATE VIEW multitenant.key_status WITH (security_barrier = true) AS
	SELECT k.tenant_id, k.purpose, k.class, k.version, k.state, k.state_reason, k.key_id, k.wrapped_with, k.uses, k.percent_of_limit,
		k.created_at, k.changed_at, k.rotate_by
	FROM multitenant._key_status() k;
COMMENT ON VIEW multitenant.key_status IS
'Keys of tenants. class: tenant (the tenant''s own, without a purpose), data, deterministic, blind_index; state: active, retired (decrypts only), suspended, destroyed, with the reason if one was given; wrapped_with: the master key, or the id of the tenant''s key; uses: values encrypted, counted with shared_preload_libraries alone; percent_of_limit: of the 2^32 that one key may, it is replaced by itself at half of them; rotate_by: after a year, or when half of the limit will be reached. Needs the capability "lint".';

CREATE FUNCTION multitenant.verify_keys(OUT tenant_id uuid, OUT purpose text, OUT class text, OUT version integer, OUT problem text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	checked bigint := 0;
	failed bigint := 0;
BEGIN
	PERFORM multitenant._require('lint', 'checking keys');
	FOR key IN
		SELECT k.tenant_id, NULL::text AS purpose, 'tenant' AS class, k.version, k.kek_id AS id FROM multitenant.kek k WHERE k.state <> 'destroyed'
		UNION ALL
		SELECT c.tenant_id, c.purpose, c.class, c.version, c.cek_id FROM multitenant.cek c WHERE c.state <> 'destroyed'
		ORDER BY 1, 2 NULLS FIRST, 3, 4
	LOOP
		checked := checked + 1;
		problem := CASE key.class WHEN 'tenant' THEN multitenant._check_tenant_key(key.id) ELSE multitenant._check_key(key.id) END;
		IF problem IS NOT NULL THEN
			failed := failed + 1;
			tenant_id := key.tenant_id;
			purpose := key.purpose;
			class := key.class;
			version := key.version;
			RETURN NEXT;
		END IF;
	END LOOP;
	RAISE NOTICE '% keys were checked, % failed', checked, failed;
END
$$;
COMMENT ON FUNCTION multitenant.verify_keys() IS
'Unwraps every key that is not destroyed, suspended ones, too, and compares its check value; a row for each that fails, with the reason, none if all is well, and a notice with the numbers. For after a restore, after a rotation, and on standbys. No key leaves the function. For profiles operator, auditor, migrator. Errors: 42501.';
