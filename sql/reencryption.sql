-- Encrypting values again with the current key of their tenant and purpose, in batches.

CREATE TABLE multitenant.reencryption (
	table_name text COLLATE "C" NOT NULL,
	column_name name NOT NULL,
	tenant_id uuid NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	last_key jsonb,
	rows_done bigint NOT NULL,
	state text NOT NULL,
	error text,
	started_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	CONSTRAINT reencryption_pkey PRIMARY KEY (table_name, column_name, tenant_id, purpose)
);
COMMENT ON TABLE multitenant.reencryption IS
'How far multitenant.reencrypt() has come; not dumped, for a restored table is looked at from its beginning.';
ALTER TABLE multitenant.reencryption ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.reencryption', 'WHERE false');

CREATE FUNCTION multitenant._reencrypt_progress() RETURNS SETOF multitenant.reencryption
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('see_tenants', 'reading the progress of re-encryption');
	RETURN QUERY SELECT * FROM multitenant.reencryption r;
END
$$;
COMMENT ON FUNCTION multitenant._reencrypt_progress() IS
'Internal: behind the view multitenant.reencrypt_progress.';

CREATE VIEW multitenant.reencrypt_progress WITH (security_barrier = true) AS
	SELECT r.table_name, r.column_name, r.tenant_id, r.purpose, r.rows_done, r.state, r.error, r.started_at, r.updated_at
	FROM multitenant._reencrypt_progress() r;
COMMENT ON VIEW multitenant.reencrypt_progress IS
'How far multitenant.reencrypt() has come, for each tenant and purpose. state: running (or stopped: see updated_at), done, failed with the error. For profiles that see the list of tenants.';

CREATE FUNCTION multitenant._note_reencryption(
	table_name text, column_name name, tenant uuid, purpose text, last_key jsonb, rows bigint, state text, error text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('isolation', 'encrypting values again');
	INSERT INTO multitenant.reencryption AS r VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp(), clock_timestamp())
	ON CONFLICT ON CONSTRAINT reencryption_pkey DO UPDATE SET
		last_key = excluded.last_key, state = excluded.state, error = excluded.error, updated_at = excluded.updated_at,
		rows_done = CASE WHEN r.state = 'done' THEN 0 ELSE r.rows_done END + excluded.rows_done,
		started_at = CASE WHEN r.state = 'done' THEN excluded.started_at ELSE r.started_at END;
END
$$;
COMMENT ON FUNCTION multitenant._note_reencryption(text, name, uuid, text, jsonb, bigint, text, text) IS
'Internal: notes how far a re-encryption has come.';

-- Retired keys of tenants that have a current one, with where the re-encryption of that table column stopped.
CREATE FUNCTION multitenant._retired_keys(class text) RETURNS TABLE(tenant uuid, purpose text, keys bigint[])
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('isolation', 'encrypting values again');
	RETURN QUERY
		SELECT c.tenant_id, c.purpose, array_agg(c.cek_id) FROM multitenant.cek c
		WHERE c.state = 'retired' AND c.class = $1 GROUP BY 1, 2 ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION multitenant._retired_keys(text) IS
'Internal: retired keys by tenant and purpose.';

CREATE FUNCTION multitenant._replica_lag() RETURNS interval
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('isolation', 'encrypting values again');
	RETURN (SELECT max(r.replay_lag) FROM pg_stat_replication r);
END
$$;
COMMENT ON FUNCTION multitenant._replica_lag() IS
'Internal: how far behind the slowest replica is; null without any, or where all are idle.';

-- What is known of the column; raises what speaks against encrypting it again.
CREATE FUNCTION multitenant._check_reencryption(table_name regclass, column_name name, OUT qualified_name text, OUT key_columns text[], OUT key_types text[])
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	column_type oid;
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'table and column');
	PERFORM multitenant._require('isolation', 'encrypting values again');
	SELECT coalesce(nullif(multitenant._base_type(a.atttypid), 0), a.atttypid) INTO column_type FROM pg_attribute a
		WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped;
	IF column_type IS NULL THEN
		RAISE EXCEPTION 'column % of table % does not exist', quote_ident($2), $1
			USING ERRCODE = '42703', HINT = 'Name a column of type multitenant.encrypted.';
	ELSIF column_type = 'multitenant.encrypted_det'::regtype THEN
		RAISE EXCEPTION 'column % is encrypted deterministically', quote_ident($2)
			USING ERRCODE = '55000',
			HINT = 'Another key would change what equal values look like while some rows still have the old one. Add a column of another purpose, fill it, search both meanwhile, then drop the old one.';
	ELSIF column_type = 'bytea'::regtype THEN
		RAISE EXCEPTION 'column % holds bytes, not encrypted values', quote_ident($2)
			USING ERRCODE = '55000',
			HINT = 'A blind index is computed anew from the decrypted value: add a column of another purpose, fill it, search both meanwhile, then drop the old one.';
	ELSIF column_type <> 'multitenant.encrypted'::regtype THEN
		RAISE EXCEPTION 'column % is not encrypted', quote_ident($2)
			USING ERRCODE = '55000', HINT = 'Name a column of type multitenant.encrypted.';
	END IF;
	SELECT format('%I.%I', n.nspname, c.relname) INTO qualified_name
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 AND c.relkind IN ('r', 'p');
	SELECT array_agg(quote_ident(a.attname) ORDER BY k.place), array_agg(format_type(a.atttypid, NULL) ORDER BY k.place)
		INTO key_columns, key_types
		FROM pg_index i CROSS JOIN LATERAL unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, place)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = $1 AND i.indisprimary;
	IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = $1), 'USAGE') THEN
		RAISE EXCEPTION 'must be owner of table %', $1
			USING ERRCODE = '42501', HINT = 'Let its owner, or a superuser, call the procedure.';
	END IF;
	IF qualified_name IS NULL OR key_columns IS NULL THEN
		RAISE EXCEPTION '% is no table with a primary key', $1
			USING ERRCODE = '55000', HINT = 'Its rows are gone through in the order of the primary key; add one.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._check_reencryption(regclass, name) IS
'Internal: raises what speaks against encrypting a column again.';

CREATE FUNCTION multitenant._base_type(type oid) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE types AS (
		SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = $1
		UNION ALL
		SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t JOIN types u ON u.typtype = 'd' AND t.oid = u.typbasetype
	)
	SELECT t.oid FROM types t WHERE t.typtype <> 'd'
$$;

-- One batch of one tenant and purpose, in the tenant's context, as the table's owner: the last key looked at (null: none
-- was left), and how many rows were written. Rows that others hold are left for the next time.
CREATE FUNCTION multitenant._reencrypt_batch(
	rel regclass, qualified_name text, column_name name, key_columns text[], key_types text[], keys bigint[], purpose text, context text,
	batch integer, after_key jsonb, OUT last_key jsonb, OUT done bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- e.g. a, b
	key_list text := array_to_string(key_columns, ', ');
	is_old text := format('multitenant.key_id(%I) = ANY (%L::bigint[])', column_name, keys);
	is_next text := '';
	bound text := coalesce(', (' || context || ')::text', '');
BEGIN
	IF after_key IS NOT NULL THEN
		is_next := format(' AND (%s) > (%s)', key_list, multitenant._key_literals(after_key, key_types));
	END IF;
	last_key := multitenant._query_as_owner(rel, format(
		'SELECT jsonb_build_array(%s) FROM (SELECT %s FROM %s WHERE %s%s ORDER BY %s LIMIT %s) AS k ORDER BY %s LIMIT 1',
		array_to_string(ARRAY(SELECT c || '::text' FROM unnest(key_columns) AS c), ', '), key_list, qualified_name, is_old, is_next, key_list,
		batch, array_to_string(ARRAY(SELECT c || ' DESC' FROM unnest(key_columns) AS c), ', ')))::jsonb;
	done := 0;
	IF last_key IS NOT NULL THEN
		done := multitenant._run_as_owner(rel, format(
			'UPDATE %1$s SET %2$I = multitenant.encrypt(multitenant.decrypt_bytea(%2$I%3$s), %4$L%3$s)
			 WHERE (%5$s) IN (SELECT %5$s FROM %1$s WHERE %6$s%7$s AND (%5$s) <= (%8$s) FOR UPDATE SKIP LOCKED) AND %6$s',
			qualified_name, column_name, bound, purpose, key_list, is_old, is_next, multitenant._key_literals(last_key, key_types)));
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._reencrypt_batch(regclass, text, name, text[], text[], bigint[], text, text, integer, jsonb) IS
'Internal: one batch of multitenant.reencrypt().';

CREATE FUNCTION multitenant._key_literals(key jsonb, key_types text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('%L::%s', key ->> (i - 1)::integer, key_types[i]), ', ' ORDER BY i) FROM generate_subscripts(key_types, 1) AS i
$$;

-- The expression of a column's context, if encrypt_column() has noted one.
CREATE FUNCTION multitenant._noted_context(table_name regclass, column_name name) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_text text;
BEGIN
	IF to_regprocedure('multitenant._column_context(regclass, name)') IS NOT NULL THEN
		EXECUTE 'SELECT multitenant._column_context($1, $2)' INTO found_text USING table_name, column_name;
	END IF;
	RETURN found_text;
END
$$;

CREATE PROCEDURE multitenant.reencrypt(table_name regclass, column_name name, batch integer DEFAULT 1000, max_runtime interval DEFAULT NULL,
									   context text DEFAULT NULL, max_lag interval DEFAULT '30 seconds')
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
	what record;
	step_key jsonb;
	step_done bigint;
	tenants uuid[];
	purposes text[];
	key_lists text[];
	retired bigint[];
	stop_at timestamptz := clock_timestamp() + multitenant._seconds(max_runtime);
	last_key jsonb;
	total bigint := 0;
	pass_done bigint;
	waits integer;
	passes integer;
	failures bigint := 0;
	failure text;
	said_at timestamptz := clock_timestamp();
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM multitenant._require_read_committed('encrypting values again');
	IF coalesce(batch, 0) < 1 OR max_lag IS NULL THEN
		RAISE EXCEPTION 'batch and max_lag must be positive'
			USING ERRCODE = '22023', HINT = 'Omit them to use 1000 rows and 30 seconds.';
	END IF;
	what := multitenant._check_reencryption(table_name, column_name);
	context := coalesce(context, multitenant._noted_context(table_name, column_name));
	SELECT array_agg(k.tenant), array_agg(k.purpose), array_agg(k.keys::text) INTO tenants, purposes, key_lists
		FROM multitenant._retired_keys('data') k;
	FOR i IN 1 .. coalesce(cardinality(tenants), 0) LOOP
		retired := key_lists[i]::bigint[];
		SELECT r.last_key INTO last_key FROM multitenant._reencrypt_progress() r
			WHERE r.table_name = what.qualified_name AND r.column_name = $2 AND r.tenant_id = tenants[i] AND r.purpose = purposes[i];
		pass_done := 0;
		waits := 0;
		passes := 0;
		LOOP
			COMMIT;
			PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
			PERFORM pg_catalog.set_config('lock_timeout', '2s', true);
			WHILE multitenant._replica_lag() > max_lag AND coalesce(clock_timestamp() < stop_at, true) LOOP
				COMMIT;
				PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
				PERFORM pg_sleep(0.5);
			END LOOP;
			IF clock_timestamp() >= stop_at THEN
				RAISE NOTICE 'stopped after % rows', total
					USING HINT = 'Call the procedure again: it goes on from there.';
				RETURN;
			END IF;
			failure := NULL;
			BEGIN
				PERFORM multitenant._maintain_tenant(tenants[i]);
				-- Deferred triggers would not fire as the owner, but at COMMIT as the caller; the server refuses that.
				SET CONSTRAINTS ALL IMMEDIATE;
				SELECT b.last_key, b.done INTO step_key, step_done
				FROM multitenant._reencrypt_batch(table_name, what.qualified_name, column_name, what.key_columns, what.key_types,
					retired, purposes[i], context, batch, last_key) b;
			EXCEPTION
				WHEN lock_not_available OR deadlock_detected THEN
					failure := 'wait';
				WHEN OTHERS THEN
					-- A row of this tenant, or what its table makes of it: the other tenants go on. Not so if the statement
					-- is wrong, as with a wrong context.
					IF SQLSTATE LIKE '42%' AND SQLSTATE <> '42501' THEN
						RAISE;
					END IF;
					failure := SQLERRM;
			END;
			IF failure = 'wait' OR (failure IS NULL AND step_key IS NULL AND last_key IS NOT NULL AND pass_done = 0) THEN
				-- Somebody holds the table, or the rows that are left.
				waits := waits + 1;
				IF waits > 20 THEN
					failure := 'others hold the table or rows of it';
				ELSE
					PERFORM pg_sleep(0.1);
				END IF;
			END IF;
			IF failure IS NOT NULL AND failure <> 'wait' THEN
				failures := failures + 1;
				PERFORM multitenant._note_reencryption(what.qualified_name, $2, tenants[i], purposes[i], NULL, 0, 'failed', failure);
				RAISE WARNING 'values of tenant % for purpose "%" were not all encrypted again: %', tenants[i], purposes[i], failure;
				EXIT;
			ELSIF failure IS NULL THEN
				-- Done is what was looked at from its beginning and had nothing left.
				IF step_key IS NULL AND last_key IS NULL THEN
					PERFORM multitenant._note_reencryption(what.qualified_name, $2, tenants[i], purposes[i], NULL, 0, 'done', NULL);
					EXIT;
				END IF;
				IF step_key IS NULL THEN
					-- Rows that others held, or that came behind: again from the beginning, but not for ever.
					passes := passes + 1;
					IF passes > 20 THEN
						failures := failures + 1;
						failure := 'others go on writing values of retired keys';
						PERFORM multitenant._note_reencryption(what.qualified_name, $2, tenants[i], purposes[i], NULL, 0, 'failed', failure);
						RAISE WARNING 'values of tenant % for purpose "%" were not all encrypted again: %', tenants[i], purposes[i], failure;
						EXIT;
					END IF;
				END IF;
				pass_done := CASE WHEN step_key IS NULL THEN 0 ELSE pass_done + step_done END;
				last_key := step_key;
				total := total + step_done;
				PERFORM multitenant._note_reencryption(what.qualified_name, $2, tenants[i], purposes[i], last_key, step_done, 'running', NULL);
			END IF;
			IF clock_timestamp() > said_at + interval '10 seconds' THEN
				said_at := clock_timestamp();
				RAISE NOTICE 'encrypted % rows again', total;
			END IF;
		END LOOP;
	END LOOP;
	COMMIT;
	RAISE NOTICE 'encrypted % rows of %.% again; failed for % tenants and purposes', total, what.qualified_name, quote_ident(column_name), failures;
END
$$;
COMMENT ON PROCEDURE multitenant.reencrypt(regclass, name, integer, interval, text, interval) IS
'Encrypts values of retired keys again, with the current key of their tenant and purpose. Goes through a table by its primary key, tenant after tenant, as the table''s owner in the context of the tenant; commits after each batch of rows, leaves locked ones for later, waits while a replica is more than max_lag behind, and goes on where it was stopped when it is called again. max_runtime: after which it stops. context: an SQL expression over the row that gives the context its value is bound to; not needed for columns made by encrypt_column(). UPDATE triggers of the table fire. For superusers and owners of profile migrator, outside a transaction. Errors: 42501, 42703, 22023, 55000 not such a column, no primary key, or transactions not READ COMMITTED.';
