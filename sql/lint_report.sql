/*
 * lint_report.sql
 *	  lint() and assert_isolated(), and findings that somebody has accepted.
 *
 * Accepting says that a finding is known, why, and until when. It is no repair: whoever relies on isolation has to name
 * it again in assert_isolated().
 */

CREATE TABLE multitenant.accepted_finding (
	cache_key text COLLATE "C" NOT NULL CONSTRAINT accepted_finding_pkey PRIMARY KEY,
	reason text NOT NULL,
	expires_at timestamptz NOT NULL,
	accepted_by name NOT NULL DEFAULT session_user,
	accepted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE multitenant.accepted_finding IS
'Findings of lint() that are known and may stay for a time; change it through accept_finding() and revoke_acceptance().';
ALTER TABLE multitenant.accepted_finding ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.accepted_finding', '');

CREATE FUNCTION multitenant._accepted_findings() RETURNS SETOF multitenant.accepted_finding
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	RETURN QUERY SELECT * FROM multitenant.accepted_finding a WHERE a.expires_at > now();
END
$$;

CREATE FUNCTION multitenant._accepted_finding_count() RETURNS bigint
LANGUAGE sql STABLE PARALLEL RESTRICTED STRICT SECURITY DEFINER
BEGIN ATOMIC
	SELECT count(*) FROM multitenant.accepted_finding a WHERE a.expires_at > now();
END;
COMMENT ON FUNCTION multitenant._accepted_finding_count() IS
'Internal: how many findings are accepted at the moment.';

-- Levels from bad to harmless; NULL for a word that is none.
CREATE FUNCTION multitenant._level_rank(level text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER
BEGIN ATOMIC
	SELECT array_position('{critical,high,medium,low,info}'::text[], level);
END;

CREATE FUNCTION multitenant._check_level(level text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF multitenant._level_rank(level) IS NULL THEN
		RAISE EXCEPTION 'there is no level "%"', level
			USING ERRCODE = '22023', HINT = 'The levels are critical, high, medium, low and info.';
	END IF;
END
$$;

CREATE FUNCTION multitenant._findings(s multitenant._lint_state) RETURNS SETOF multitenant._finding
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- One statement each: a plan over all of them takes longer to make than to run.
	RETURN QUERY SELECT * FROM multitenant._lint_version(current_setting('server_version_num')::integer);
	RETURN QUERY SELECT * FROM multitenant._lint_library();
	RETURN QUERY SELECT * FROM multitenant._lint_kept_settings();
	RETURN QUERY SELECT * FROM multitenant._lint_master_keys(ARRAY(SELECT k FROM multitenant._mek_status() k));
	RETURN QUERY SELECT * FROM multitenant._lint_modes(current_setting('multitenant.session_hygiene', true),
													   current_setting('multitenant.new_table_mode', true));
	RETURN QUERY SELECT * FROM multitenant._lint_settings(s);
	RETURN QUERY SELECT * FROM multitenant._lint_parameters(s);
	RETURN QUERY SELECT * FROM multitenant._lint_raw_access(s);
	RETURN QUERY SELECT * FROM multitenant._lint_languages(s);
	RETURN QUERY SELECT * FROM multitenant._lint_mappings(s);
	RETURN QUERY SELECT * FROM multitenant._lint_own_objects(s);
	RETURN QUERY SELECT * FROM multitenant._lint_attributes(s);
	RETURN QUERY SELECT * FROM multitenant._lint_memberships(s);
	RETURN QUERY SELECT * FROM multitenant._lint_owners(s);
	RETURN QUERY SELECT * FROM multitenant._lint_create(s);
	RETURN QUERY SELECT * FROM multitenant._lint_privileges(s);
	RETURN QUERY SELECT * FROM multitenant._lint_profiles();
	RETURN QUERY SELECT * FROM multitenant._lint_unprotected(s);
	RETURN QUERY SELECT * FROM multitenant._lint_broken(s);
	RETURN QUERY SELECT * FROM multitenant._lint_columns(s);
	RETURN QUERY SELECT * FROM multitenant._lint_permissions(s);
	RETURN QUERY SELECT * FROM multitenant._lint_copies(s);
	RETURN QUERY SELECT * FROM multitenant._lint_policies(s);
	RETURN QUERY SELECT * FROM multitenant._lint_policy_functions(s);
	RETURN QUERY SELECT * FROM multitenant._lint_unique(s);
	RETURN QUERY SELECT * FROM multitenant._lint_foreign_keys(s);
	RETURN QUERY SELECT * FROM multitenant._lint_actions(s);
	RETURN QUERY SELECT * FROM multitenant._lint_indexes(s);
	RETURN QUERY SELECT * FROM multitenant._lint_sequences(s);
	RETURN QUERY SELECT * FROM multitenant._lint_views(s);
	RETURN QUERY SELECT * FROM multitenant._lint_functions(s);
	RETURN QUERY SELECT * FROM multitenant._lint_partitions(s);
	RETURN QUERY SELECT * FROM multitenant._lint_encryption('90 days');
	RETURN QUERY SELECT * FROM multitenant._lint_break_glass();
	RETURN QUERY SELECT * FROM multitenant._lint_rights();
	RETURN QUERY SELECT * FROM multitenant._lint_operators();
	RETURN QUERY SELECT * FROM multitenant._lint_orphans();
	RETURN QUERY SELECT * FROM multitenant._lint_duties(s);
END
$$;

CREATE FUNCTION multitenant.lint(schema_filter name DEFAULT NULL, minimum_level text DEFAULT NULL, with_accepted boolean DEFAULT true)
RETURNS TABLE(name text, title text, level text, facing text, categories text[], description text, detail text, remediation text,
			  metadata jsonb, cache_key text)
-- Every query is short and its estimates are guesses: compiling it would be all that takes time.
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	s multitenant._lint_state;
BEGIN
	PERFORM multitenant._require('lint', 'reading findings');
	PERFORM multitenant._check_level(coalesce($2, 'info'));
	IF $1 IS NOT NULL AND to_regnamespace(quote_ident($1)) IS NULL THEN
		RAISE EXCEPTION 'schema % does not exist', quote_ident($1)
			USING ERRCODE = '3F000', HINT = 'Name a schema of this database, or none for all of it.';
	END IF;
	s := multitenant._lint_state();
	RETURN QUERY
	SELECT c.name, c.title, f.level, c.facing, c.categories, c.description, f.detail,
		-- Security: a name with a line break in it would end the comment that a sentence is.
		CASE WHEN starts_with(f.remediation, '--') THEN regexp_replace(f.remediation, '[\n\r]', ' ', 'g') ELSE f.remediation END,
		jsonb_strip_nulls(coalesce(f.metadata, '{}') || jsonb_build_object('object', f.object, 'schema', f.schema_name,
			'accepted', CASE WHEN a.cache_key IS NOT NULL THEN
				jsonb_build_object('by', a.accepted_by, 'reason', a.reason, 'until', a.expires_at) END)),
		f.lint || ':' || f.object
	FROM multitenant._findings(s) f
	JOIN multitenant._lints() c ON c.name = f.lint
	LEFT JOIN multitenant._accepted_findings() a ON a.cache_key = f.lint || ':' || f.object
	WHERE ($1 IS NULL OR f.schema_name = $1)
	  AND multitenant._level_rank(f.level) <= multitenant._level_rank(coalesce($2, 'info'))
	  AND (coalesce($3, true) OR a.cache_key IS NULL)
	ORDER BY multitenant._level_rank(f.level), c.name COLLATE "C", f.object COLLATE "C";
END
$$;
COMMENT ON FUNCTION multitenant.lint(name, text, boolean) IS
'What is wrong with the isolation of this database: one row for each finding, the worst first. level: critical and high, the attack behind it succeeds or an outage has begun; medium, only the guard or a habit stands in its way; low and info, know it. remediation: a command that makes the finding go away, or a sentence that starts with "--". cache_key: names the finding for accept_finding() and assert_isolated(), the same after a dump.
schema_filter: only what lies in that schema (null: everything, the server included). minimum_level: nothing more harmless. with_accepted: also those that somebody has accepted; metadata says so.
For superusers and profiles migrator, operator and auditor. It shows structure, never rows. Errors: 42501 profile, 22023 no such level, 3F000 no such schema.';

CREATE FUNCTION multitenant.assert_isolated(level text DEFAULT 'high', except_findings text[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present text[];
	keys text[];
	gone text;
BEGIN
	PERFORM multitenant._check_level($1);
	SELECT array_agg(f.cache_key ORDER BY f.n), array_agg(f.cache_key ORDER BY f.n) FILTER (
		WHERE multitenant._level_rank(f.level) <= multitenant._level_rank($1) AND NOT f.cache_key = ANY (coalesce($2, '{}')))
		INTO present, keys
		FROM multitenant.lint() WITH ORDINALITY
			AS f(name, title, level, facing, categories, description, detail, remediation, metadata, cache_key, n);
	FOREACH gone IN ARRAY coalesce($2, '{}') LOOP
		IF NOT coalesce(gone = ANY (present), false) THEN
			RAISE NOTICE 'finding "%" is excepted and not there', gone;
		END IF;
	END LOOP;
	IF keys IS NOT NULL THEN
		RAISE EXCEPTION 'isolation has % finding(s) of level % or worse', cardinality(keys), $1
			USING ERRCODE = '55000',
			DETAIL = array_to_string(keys[1:20], E'\n') || CASE WHEN cardinality(keys) > 20 THEN E'\n...' ELSE '' END,
			HINT = 'SELECT * FROM multitenant.lint() explains them and says what to do.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant.assert_isolated(text, text[]) IS
'For CI and health checks: raises 55000, its detail the keys of the findings, unless lint() has none at this level or worse. An accepted finding counts like any other; only what except_findings names (as cache_key) is passed over, and a NOTICE says which of these are not there. Errors: 55000, 42501 profile, 22023 no such level.';

CREATE FUNCTION multitenant.accept_finding(cache_key text, reason text, expires_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), ''), $3), 'the finding, the reason and the end');
	PERFORM multitenant._require('superuser', 'accepting a finding');
	IF $3 <= now() THEN
		RAISE EXCEPTION 'expires_at has passed'
			USING ERRCODE = '22023', HINT = 'Give a time in the future at which somebody looks at it again.';
	END IF;
	IF NOT EXISTS (SELECT FROM multitenant.lint() f WHERE f.cache_key = $1) THEN
		RAISE EXCEPTION 'there is no finding "%"', $1
			USING ERRCODE = '42704', HINT = 'Give its cache_key as multitenant.lint() shows it.';
	END IF;
	INSERT INTO multitenant.accepted_finding (cache_key, reason, expires_at) VALUES ($1, btrim($2), $3)
		ON CONFLICT ON CONSTRAINT accepted_finding_pkey DO UPDATE
		SET reason = excluded.reason, expires_at = excluded.expires_at, accepted_by = session_user, accepted_at = now();
	PERFORM multitenant._audit('isolation.accept', NULL, $1, 'done', jsonb_build_object('reason', btrim($2), 'expires_at', $3));
END
$$;
COMMENT ON FUNCTION multitenant.accept_finding(text, text, timestamptz) IS
'Records that a finding is known and may stay until then. lint() says so, status() counts it, and assert_isolated() fails all the same unless it is told of it. cache_key: of the finding, as lint() shows it. Superusers only; audited. Errors: 42501, 42704 no such finding, 22023 no reason, or no time in the future.';

CREATE FUNCTION multitenant.revoke_acceptance(cache_key text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the finding');
	PERFORM multitenant._require('superuser', 'revoking an acceptance');
	DELETE FROM multitenant.accepted_finding a WHERE a.cache_key = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'finding "%" is not accepted', $1
			USING ERRCODE = '42704', HINT = 'Look at multitenant.accepted_finding for those that are.';
	END IF;
	PERFORM multitenant._audit('isolation.revoke_acceptance', NULL, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.revoke_acceptance(text) IS
'Ends the acceptance of a finding before its time, also where the finding is gone. Superusers only; audited. Errors: 42501, 42704 not accepted.';
