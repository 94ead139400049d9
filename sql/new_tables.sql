/*
 * new_tables.sql
 *	  What happens to tables that come after the decision: warn, protect, refuse; and how a restore is left alone.
 *
 * src/policy/newtable.c notes what each transaction makes and looks at it before the commit. The rule is a row of the
 * extension, so dumps carry it; a row that comes by INSERT or COPY waits for post_restore().
 */

-- C reads the table by column position: new columns come last.
CREATE TABLE multitenant.new_table_rule (
	is_only boolean NOT NULL DEFAULT true CONSTRAINT new_table_rule_pkey PRIMARY KEY,
	mode text COLLATE "C" NOT NULL,
	tenant_column name NOT NULL,
	-- Names; null: every schema of the application.
	schemas text[],
	is_in_force boolean NOT NULL DEFAULT false,
	CONSTRAINT new_table_rule_only_check CHECK (is_only),
	CONSTRAINT new_table_rule_mode_check CHECK (mode IN ('off', 'warn', 'auto', 'error'))
);
COMMENT ON TABLE multitenant.new_table_rule IS
'One row at most: what happens to new tables; change it through set_new_tables(), pre_restore() and post_restore().';

CREATE TRIGGER new_table_rule_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.new_table_rule
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();

-- A restore makes tables one transaction at a time and labels them in the next.
CREATE FUNCTION multitenant._await_post_restore()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.is_in_force := false;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION multitenant._await_post_restore() IS
'Internal: a rule that is loaded is not in force.';

CREATE TRIGGER new_table_rule_waits
	BEFORE INSERT ON multitenant.new_table_rule
	FOR EACH ROW EXECUTE FUNCTION multitenant._await_post_restore();
ALTER TABLE multitenant.new_table_rule ENABLE ALWAYS TRIGGER new_table_rule_waits;

-- Empty after every transaction: a row is how mode auto gets to act at the end of the transaction, where protect() can
-- still run.
CREATE TABLE multitenant.pending_protection (
	noted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE multitenant.pending_protection IS
'Internal: transactions that have new tables to protect before they commit.';

CREATE FUNCTION multitenant._protect_new_tables()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_protect_new_tables';
COMMENT ON FUNCTION multitenant._protect_new_tables() IS
'Internal: protects what this transaction has made, each table with the rights of its owner.';

CREATE CONSTRAINT TRIGGER pending_protection_due
	AFTER INSERT ON multitenant.pending_protection DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION multitenant._protect_new_tables();
ALTER TABLE multitenant.pending_protection ENABLE ALWAYS TRIGGER pending_protection_due;

ALTER TABLE multitenant.new_table_rule ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.pending_protection ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.new_table_rule', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.pending_protection', 'WHERE false');

-- ---------------------------------------------------------------------------------------------------------------
-- Setting the rule
-- ---------------------------------------------------------------------------------------------------------------

-- Whoever commits tables holds a ROW SHARE lock from its look at the rule on; so what commits after the rule has
-- changed was looked at by the rule as it is. Readers, pg_dump among them, do not wait.
CREATE FUNCTION multitenant._lock_new_table_rule() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._require('superuser', 'deciding about new tables');
	LOCK TABLE multitenant.new_table_rule IN EXCLUSIVE MODE;
END
$$;

CREATE FUNCTION multitenant.set_new_tables(mode text, schemas text[] DEFAULT NULL, tenant_column name DEFAULT 'tenant_id')
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	stranger text;
BEGIN
	PERFORM multitenant._lock_new_table_rule();
	IF $1 IS NULL OR $1 NOT IN ('off', 'warn', 'auto', 'error') THEN
		RAISE EXCEPTION 'unknown mode "%"', $1
			USING ERRCODE = '22023', HINT = 'The modes are off, warn, auto and error.';
	ELSIF coalesce($3, '') = '' THEN
		RAISE EXCEPTION 'no tenant column given'
			USING ERRCODE = '22023', HINT = 'Name the column that carries the tenant in new tables, or leave it out for tenant_id.';
	ELSIF $2 = '{}' THEN
		RAISE EXCEPTION 'no schemas given'
			USING ERRCODE = '22023', HINT = 'Name the schemas to be watched, or give null for all schemas of the application.';
	END IF;
	SELECT s.name INTO stranger FROM unnest($2) AS s(name)
	WHERE s.name IS NULL OR NOT multitenant._is_application_schema(s.name)
	   OR to_regnamespace(quote_ident(s.name)) IS NULL LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'there is no schema "%" of the application', coalesce(stranger, 'null')
			USING ERRCODE = '3F000', HINT = 'Name schemas that exist and hold the application''s tables.';
	END IF;
	INSERT INTO multitenant.new_table_rule (mode, tenant_column, schemas) VALUES ($1, $3, $2)
		ON CONFLICT (is_only) DO UPDATE
		SET mode = excluded.mode, tenant_column = excluded.tenant_column, schemas = excluded.schemas;
	UPDATE multitenant.new_table_rule SET is_in_force = true;
	PERFORM multitenant._audit('isolation.new_tables', NULL, NULL, 'done',
		jsonb_build_object('mode', $1, 'schemas', $2, 'tenant_column', $3));
END
$$;

COMMENT ON FUNCTION multitenant.set_new_tables(text, text[], name) IS
'Says what happens to tables that come from now on, also by CREATE TABLE AS, SELECT INTO, ADD COLUMN of the tenant column, SET SCHEMA, or by leaving a protected parent. It is looked at before the commit: a table that has a class by then passes.
mode: off; warn, a WARNING for each table without a class; auto, protect() with the rights of its owner where the table has the tenant column, otherwise as error; error, the commit is refused. schemas: those watched, null for all of the application. tenant_column: its name in new tables.
Dumps carry it; after a restore it waits for post_restore(). Superusers only. Errors: 42501; 22023 unknown mode, no column, empty list; 3F000 no such schema.';

CREATE FUNCTION multitenant.pre_restore() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._lock_new_table_rule();
	UPDATE multitenant.new_table_rule SET is_in_force = false;
	PERFORM multitenant._audit('isolation.pre_restore', NULL, NULL, 'done', '{}');
END
$$;

COMMENT ON FUNCTION multitenant.pre_restore() IS
'Suspends what set_new_tables() has said until post_restore(), so that tables can be restored into this database. A restore into an empty database needs no call: it begins suspended. Superusers only. Errors: 42501.';

-- ---------------------------------------------------------------------------------------------------------------
-- What there is to say about tables
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._new_tables(
	OUT mode text, OUT tenant_column name, OUT schemas text[], OUT is_in_force boolean)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY DEFINER
BEGIN ATOMIC
	SELECT r.mode, r.tenant_column, r.schemas, r.is_in_force FROM multitenant.new_table_rule r
	UNION ALL
	SELECT 'off', 'tenant_id', NULL, true WHERE NOT EXISTS (SELECT FROM multitenant.new_table_rule);
END;
COMMENT ON FUNCTION multitenant._new_tables() IS
'Internal: what set_new_tables() has said, one row, and whether it is in force or waits for post_restore().';

-- Tables about which nobody has decided. was_protected: what is left on it says that it was protected once, in a
-- database from which only the table itself came; then repair() mends it.
CREATE FUNCTION multitenant._undecided_tables()
RETURNS TABLE(table_name text, kind text, is_watched boolean, tenant_column name, was_protected boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%I.%I', n.nspname, c.relname),
		CASE c.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END,
		r.mode <> 'off' AND (r.schemas IS NULL OR n.nspname = ANY (r.schemas)),
		coalesce(t.traced, (SELECT a.attname FROM pg_catalog.pg_attribute a
							WHERE a.attrelid = c.oid AND a.attname = r.tenant_column AND NOT a.attisdropped)),
		c.relkind <> 'f' AND t.traced IS NOT NULL
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	CROSS JOIN multitenant._new_tables() r
	CROSS JOIN LATERAL (SELECT multitenant._tenant_column(c.oid)) AS t(traced)
	WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND NOT c.relispartition
	AND multitenant._is_application_schema(n.nspname)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
					AND d.objid = c.oid AND d.deptype = 'e')
	AND EXISTS (SELECT FROM multitenant._protection(c.oid) p WHERE p.class = 'none' AND p.mode <> 'observe')
$$;
COMMENT ON FUNCTION multitenant._undecided_tables() IS
'Internal: tables without a class; whether set_new_tables() watches their schema, which column could be the tenant''s, and whether the table lost a protection that it had.';

CREATE FUNCTION multitenant.post_restore() RETURNS TABLE(table_name text, finding text, hint text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._lock_new_table_rule();
	UPDATE multitenant.new_table_rule SET is_in_force = true;
	PERFORM multitenant._audit('isolation.post_restore', NULL, NULL, 'done', '{}');
	RETURN QUERY
		SELECT f.* FROM (
			SELECT t.table_name, t.finding, format('SELECT multitenant.repair(%L);', t.table_name)
			FROM multitenant.tables t WHERE NOT t.is_intact AND t.mode <> 'paused'
			UNION ALL
			SELECT u.table_name, 'its label and policies are missing', format('SELECT multitenant.repair(%L);', u.table_name)
			FROM multitenant._undecided_tables() u WHERE u.was_protected
			UNION ALL
			SELECT u.table_name, format('the %s has no class', u.kind), CASE WHEN u.kind = 'table' THEN
				format('Decide with multitenant.protect(%1$L), share(%1$L) or exempt(%1$L, reason).', u.table_name)
				ELSE 'Move it to a schema that is not watched.' END
			FROM multitenant._undecided_tables() u WHERE u.is_watched AND NOT u.was_protected
		) AS f(table_name, finding, hint) ORDER BY f.table_name COLLATE "C", f.finding COLLATE "C";
END
$$;

COMMENT ON FUNCTION multitenant.post_restore() IS
'Puts what set_new_tables() has said into force after a restore, and says what the restore has left to do: one row for each table whose protection is not intact or lost, or that has no class in a schema that is watched; hint is the next step. No rows: nothing.
Superusers only. Errors: 42501.';

-- ---------------------------------------------------------------------------------------------------------------
-- The triggers
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._before_ddl()
RETURNS event_trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_before_ddl';
COMMENT ON FUNCTION multitenant._before_ddl() IS
'Internal: has the library there before a statement that makes tables or labels.';

CREATE FUNCTION multitenant._after_ddl()
RETURNS event_trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_after_ddl';
COMMENT ON FUNCTION multitenant._after_ddl() IS
'Internal: notes what the library does not hear of by itself, and has new tables protected.';

CREATE EVENT TRIGGER multitenant_before_ddl ON ddl_command_start
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA',
		'CREATE SCHEMA', 'ALTER TABLE', 'ALTER FOREIGN TABLE', 'SECURITY LABEL')
	EXECUTE FUNCTION multitenant._before_ddl();
ALTER EVENT TRIGGER multitenant_before_ddl ENABLE ALWAYS;

CREATE EVENT TRIGGER multitenant_after_ddl ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA',
		'CREATE SCHEMA', 'ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA', 'ALTER EXTENSION')
	EXECUTE FUNCTION multitenant._after_ddl();
ALTER EVENT TRIGGER multitenant_after_ddl ENABLE ALWAYS;
