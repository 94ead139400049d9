/*
 * observe.sql
 *	  Observing tables before they are protected, and what that found.
 *
 * An observed table has a label and nothing else: nothing is refused on it, and no plan changes. What would be refused is
 * counted in shared memory (src/guard/observe.c).
 */

CREATE FUNCTION multitenant._observe_row(observed internal, tenant "any") RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_observe_row';
COMMENT ON FUNCTION multitenant._observe_row(internal, "any") IS
'Internal: counts a row written to an observed table; always true. Only the library can call it.';

CREATE FUNCTION multitenant._observe_copied(tenant "any") RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_observe_copied';
COMMENT ON FUNCTION multitenant._observe_copied("any") IS
'Internal: counts a row that COPY FROM writes to an observed table; always true.';

CREATE FUNCTION multitenant._observations(
	OUT relid oid, OUT role oid, OUT application text, OUT statement text, OUT first_seen timestamptz, OUT last_seen timestamptz,
	OUT statements bigint, OUT without_context bigint, OUT bypassing bigint, OUT legacy bigint, OUT foreign_rows_read bigint,
	OUT foreign_rows_written bigint, OUT rows_without_tenant bigint, OUT unseen_scans bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_observations';
COMMENT ON FUNCTION multitenant._observations() IS
'Internal: what has been counted in this database; role 0 stands for a table as a whole.';

CREATE FUNCTION multitenant._observations_lost() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_observations_lost';
COMMENT ON FUNCTION multitenant._observations_lost() IS
'Internal: how often something found no room to be counted, in all databases.';

CREATE FUNCTION multitenant._require_observations() RETURNS void
LANGUAGE c STABLE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_require_observations';
COMMENT ON FUNCTION multitenant._require_observations() IS
'Internal: raises 55000 where nothing can be counted.';

CREATE FUNCTION multitenant._forget_observations(table_name regclass) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_forget_observations';
COMMENT ON FUNCTION multitenant._forget_observations(regclass) IS
'Internal: forgets what was counted of a table, or of all with null.';

-- Back from enforcement: policies, row security and default go. Keys, NOT NULL, indexes and views stay as protect() made
-- them, for the label still says how they were: unprotect() gives them back, and protect() finds them made.
CREATE FUNCTION multitenant._stop_enforcing(rel regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
BEGIN
	FOR m IN SELECT t.member, multitenant._tenant_column(t.member) AS column_name FROM multitenant._tree(rel) t
			 WHERE multitenant._is_protected(t.member) LOOP
		PERFORM multitenant._revert_row_security(m.member);
		PERFORM multitenant._revert_default(m.member, m.column_name);
	END LOOP;
END
$$;

CREATE FUNCTION multitenant._observe(rel regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s multitenant._step;
	m regclass;
	label text;
BEGIN
	PERFORM multitenant._check_table(rel);
	PERFORM multitenant._check_column(rel, column_name);
	PERFORM multitenant._check_class(rel, 'tenant', column_name);
	PERFORM multitenant._check_tree(rel);
	IF multitenant._is_protected(rel) THEN
		PERFORM multitenant._require('isolation', 'changing the class of a table');
		PERFORM multitenant._stop_enforcing(rel);
	END IF;
	FOR s IN SELECT * FROM multitenant._column_label_steps(rel, column_name) LOOP
		PERFORM multitenant._execute_step(s);
	END LOOP;
	FOR m IN SELECT t.member FROM multitenant._tree(rel) t ORDER BY t.depth, t.member::text COLLATE "C" LOOP
		label := 'tenant ' || (multitenant._label_json(m) || '{"mode": "observe"}')::text;
		IF multitenant._label(m) IS DISTINCT FROM label THEN
			PERFORM multitenant._set_label(m, label);
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION multitenant.observe(table_name regclass, tenant_column name DEFAULT 'tenant_id') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require_observations();
	PERFORM multitenant._observe(table_name, tenant_column);
END
$$;
COMMENT ON FUNCTION multitenant.observe(regclass, name) IS
'Counts what would be refused on the table if it were protected, and refuses nothing: no policy, no changed plan. adoption_report() shows the counts, protect() goes on to enforcement. On a protected table: back to observing; policies, row security and default go, keys and constraints stay until unprotect().
table_name: an ordinary or partitioned table of the caller; partitions follow their parent. tenant_column: uuid, bigint, integer, text or varchar; it may be NULL in some rows.
Errors: 55000 the library is not in shared_preload_libraries, the table is of another class, observed by another column, or paused; 42501 not the owner, or the table is protected and the caller neither superuser nor of profile migrator; 42809, 22023 no table of the application; 42703 no such column; 42804 wrong type or collation.';

CREATE FUNCTION multitenant.observe_schema(schema_name name, tenant_column name DEFAULT 'tenant_id')
RETURNS TABLE(table_name text, note text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t regclass;
	u record;
BEGIN
	PERFORM multitenant._require_observations();
	FOREACH t IN ARRAY multitenant._schema_candidates(schema_name, tenant_column) LOOP
		CONTINUE WHEN multitenant._is_protected(t);
		table_name := t::text;
		note := CASE WHEN multitenant._is_observed(t) THEN 'observed already' ELSE 'observed' END;
		PERFORM multitenant._observe(t, tenant_column);
		RETURN NEXT;
	END LOOP;
	FOR u IN SELECT * FROM multitenant._undecided(schema_name, tenant_column) LOOP
		table_name := u.rel::text;
		note := u.note;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION multitenant.observe_schema(name, name) IS
'Observes every table of a schema that has the tenant column, no other class and is not protected, all or none. Tables without the column are reported.
schema_name: the schema. tenant_column: the column''s name in all of them.
Errors: those of observe(); 3F000 no such schema.';

-- What an application would get, in the order in which the guard says it.
CREATE FUNCTION multitenant._adoption_hint(without_context bigint, bypassing bigint, legacy bigint, foreign_rows_read bigint,
										   foreign_rows_written bigint, rows_without_tenant bigint, unseen_scans bigint)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN bypassing > 0 THEN 'MT007: it runs with rights that row security does not filter; make views and functions security_invoker, or record a bypass.'
		WHEN without_context > 0 THEN 'MT001: authenticate before this statement, in the same transaction.'
		WHEN rows_without_tenant > 0 THEN 'Rows without a tenant would be in nobody''s reach; fill the column.'
		WHEN foreign_rows_written > 0 THEN '42501: it writes rows of another tenant than that of its context.'
		WHEN foreign_rows_read > 0 THEN 'Rows of other tenants would be missing; harmless where the result leaves them out anyway.'
		WHEN unseen_scans > 0 THEN 'Its rows did not tell their tenant; compare its result with a condition on the tenant.'
		WHEN legacy > 0 THEN 'It will be refused when the legacy role expires.' END
$$;

CREATE FUNCTION multitenant.adoption_report()
RETURNS TABLE(table_name text, mode text, statements bigint, role_name name, application_name text, without_context bigint,
			  bypassing bigint, legacy bigint, foreign_rows_read bigint, foreign_rows_written bigint, rows_without_tenant bigint,
			  unseen_scans bigint, first_seen timestamptz, last_seen timestamptz, first_statement text, hint text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	lost bigint;
BEGIN
	PERFORM multitenant._require_observations();
	lost := multitenant._observations_lost();
	IF lost > 0 THEN
		RAISE WARNING 'the report is not complete: % statements or rows found no room to be counted', lost
			USING HINT = 'Repair or silence what is reported, then call multitenant.forget_observations().';
	END IF;
	RETURN QUERY
	WITH counted AS MATERIALIZED (SELECT * FROM multitenant._observations()),
	known(relid, mode) AS (
		SELECT c.oid, p.mode FROM pg_catalog.pg_class c CROSS JOIN LATERAL multitenant._protection(c.oid) p
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
		  AND (p.mode = 'observe' OR (p.class <> 'none' AND EXISTS (SELECT FROM counted o WHERE o.relid = c.oid AND o.role <> 0)))
	)
	SELECT k.relid::regclass::text, k.mode, coalesce(w.statements, 0), r.rolname, o.application, o.without_context, o.bypassing,
		o.legacy, o.foreign_rows_read, o.foreign_rows_written, o.rows_without_tenant, o.unseen_scans, o.first_seen, o.last_seen,
		o.statement,
		CASE WHEN o.relid IS NOT NULL THEN
			multitenant._adoption_hint(o.without_context, o.bypassing, o.legacy, o.foreign_rows_read, o.foreign_rows_written,
									   o.rows_without_tenant, o.unseen_scans)
		WHEN w.statements > 0 THEN 'Nothing would be refused so far: multitenant.protect() can follow.'
		ELSE 'No statement has used this table yet.' END
	FROM known k
	LEFT JOIN counted w ON w.relid = k.relid AND w.role = 0
	LEFT JOIN counted o ON o.relid = k.relid AND o.role <> 0
	LEFT JOIN pg_catalog.pg_roles r ON r.oid = o.role
	ORDER BY k.relid::regclass::text COLLATE "C", r.rolname, o.application COLLATE "C", o.first_seen, o.statement COLLATE "C";
END
$$;
COMMENT ON FUNCTION multitenant.adoption_report() IS
'What would be refused, or would miss rows, if the observed tables were protected: by table, role, application_name and statement, since the server was started or forget_observations() was called. Observed tables without a finding have one row without a role.
Columns: statements: statements on the table, all of them; without_context, bypassing, legacy: of this statement, how often it ran without a tenant, with rights past row security, by a legacy role; foreign_rows_read, foreign_rows_written: rows of another tenant than that of the context that its scans returned or that it wrote; rows_without_tenant: with NULL in the tenant column; unseen_scans: scans whose rows do not show the tenant; first_statement: without its literals; hint: what enforcement would do.
Errors: 42501 not superuser or profile migrator; 55000 the library is not in shared_preload_libraries.';

CREATE FUNCTION multitenant.forget_observations(table_name regclass DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT multitenant._forget_observations(table_name)
$$;
COMMENT ON FUNCTION multitenant.forget_observations(regclass) IS
'Starts counting anew.
table_name: only what was counted of this table; NULL: everything of this database.
Errors: 42501 not superuser or profile migrator; 55000 the library is not in shared_preload_libraries.';
