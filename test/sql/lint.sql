-- lint(): for every lint a cause is planted, that finding appears, its remediation is run, it is gone.
-- requires: preload
\set SHOW_CONTEXT never
\set VERBOSITY default
\pset format unaligned
\pset tuples_only on
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_owner;
CREATE ROLE regress_mt_app LOGIN;
CREATE ROLE regress_mt_other LOGIN;
CREATE ROLE regress_mt_group;
SELECT multitenant.create_tenant('lint-a') IS NOT NULL;
CREATE SCHEMA mt_lint;
CREATE SCHEMA mt_shop AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA mt_shop TO regress_mt_app;
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
SET ROLE regress_mt_owner;
CREATE TABLE mt_shop.orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL, item text, "from" date);
CREATE TABLE mt_shop.line (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL,
	order_id uuid REFERENCES mt_shop.orders ON DELETE CASCADE, n int);
CREATE TABLE mt_shop."It's ""a"" log" (id uuid, tenant_id uuid NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE mt_shop.log_2026 PARTITION OF mt_shop."It's ""a"" log" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE mt_shop.country (code text PRIMARY KEY);
CREATE VIEW mt_shop.orders_view AS SELECT * FROM mt_shop.orders;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mt_shop TO regress_mt_app;
SELECT count(*) > 0 FROM multitenant.protect_schema('mt_shop', dry_run => false);
RESET ROLE;
SELECT multitenant.share('mt_shop.country');

-- a freshly protected database has nothing that is critical or high
SELECT level, cache_key FROM multitenant.lint(minimum_level => 'high') WHERE name <> 'server_minor_outdated';

-- what the server and the fixture have is left out from now on
CREATE TABLE mt_lint.known (cache_key text);
SELECT multitenant.exempt('mt_lint.known', 'test');
INSERT INTO mt_lint.known SELECT cache_key FROM multitenant.lint();
CREATE VIEW mt_lint.found AS
	SELECT level, cache_key, CASE WHEN remediation LIKE '--%' THEN 'sentence' ELSE 'command' END AS remediation
	FROM multitenant.lint() WHERE cache_key NOT IN (SELECT cache_key FROM mt_lint.known);
-- runs what is proposed, the worst first and as long as it is found, and shows what is still found
CREATE FUNCTION mt_lint.mend() RETURNS SETOF mt_lint.found LANGUAGE plpgsql AS $$
DECLARE
	command text;
	tried text[] := '{}';
BEGIN
	LOOP
		SELECT l.remediation INTO command FROM multitenant.lint() l
			WHERE l.remediation NOT LIKE '--%' AND l.cache_key NOT IN (SELECT k.cache_key FROM mt_lint.known k) AND l.remediation <> ALL (tried) LIMIT 1;
		EXIT WHEN NOT FOUND;
		EXECUTE command;
		tried := tried || command;
	END LOOP;
	RETURN QUERY SELECT * FROM mt_lint.found;
END
$$;

-- ---- server ----
SELECT f.level, f.object, f.detail, f.remediation FROM unnest('{140020,150000,150018,150019,150020,150021,160015,160016,170011,170012,180005,180006,990000}'::int[]) v
	CROSS JOIN LATERAL multitenant._lint_version(v) f;
BEGIN; SET LOCAL multitenant.guard_enabled = off; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE regress_mt_app SET multitenant.guard_enabled = off; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER DATABASE :"DBNAME" SET "my.Api_Key" = 'x'; SELECT level, replace(cache_key, :'DBNAME', 'DB') FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE ALL SET "my.secret" = 'x'; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
-- master keys: none, good ones, and everything wrong with them
SELECT count(*) FROM multitenant._lint_master_keys(ARRAY[ROW(NULL, NULL, false, NULL, 'off', 'off', NULL, NULL, false, false, false)::multitenant._master_key]);
SELECT count(*) FROM multitenant._lint_master_keys(ARRAY[ROW(1, '01', true, now(), 'file', 'loaded', NULL, NULL, true, true, false)::multitenant._master_key]);
SELECT f.lint, f.level, f.object, f.detail FROM multitenant._lint_master_keys(ARRAY[
	ROW(1, '01', false, now(), 'file', 'failing', 'It is gone.', now(), false, false, true),
	ROW(2, NULL, false, NULL, 'file', 'failing', 'It is short.', now(), false, false, false),
	ROW(3, NULL, false, NULL, 'file', 'starting', NULL, NULL, false, false, false)]::multitenant._master_key[]) f;
-- modes, also of a library that does not have them yet
SELECT f.lint, f.level, f.object FROM (VALUES ('off', 'off'), ('clean', 'warn'), ('strict', 'error'), (NULL, NULL)) AS m CROSS JOIN LATERAL multitenant._lint_modes(m.column1, m.column2) f;
BEGIN; ALTER ROLE regress_mt_app SET "old.token" = 'x'; UPDATE pg_db_role_setting SET setconfig = '{multitenant.session_hygiene=off}' WHERE setrole = 'regress_mt_app'::regrole; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
-- a mode holds if nothing else is kept
BEGIN; SET LOCAL my.mode = 'on'; SELECT multitenant._is_set_everywhere('my.mode', '{on,strict}'), multitenant._is_set_everywhere('my.mode', '{strict}'), multitenant._is_set_everywhere('my.other', '{on}');
	ALTER ROLE regress_mt_app SET my.mode = 'STRICT'; SELECT multitenant._is_set_everywhere('my.mode', '{on,strict}'); ALTER ROLE regress_mt_app SET my.mode = 'off'; SELECT multitenant._is_set_everywhere('my.mode', '{on,strict}'); ROLLBACK;
-- a token that was kept before the library was loaded
BEGIN; ALTER ROLE regress_mt_app SET "old.token" = 'x'; UPDATE pg_db_role_setting SET setconfig = '{multitenant.token=x}' WHERE setrole = 'regress_mt_app'::regrole; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SET LOCAL log_statement = 'all'; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SET LOCAL log_min_duration_statement = 0; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'multitenant'; SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'plpgsql'; SELECT * FROM mt_lint.found; ROLLBACK;
-- a view as initdb made it before the fix of CVE-2024-4317
BEGIN; SET LOCAL allow_system_table_mods = on;
DO $$ BEGIN EXECUTE format('CREATE OR REPLACE VIEW pg_catalog.pg_stats_ext WITH (security_barrier) AS %s',
	regexp_replace(pg_get_viewdef('pg_stats_ext'::regclass), 'pg_has_role\([^)]*\)', 'true')); END $$;
SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; SELECT lo_create(0) > 0; SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; GRANT SET ON PARAMETER multitenant.guard_enabled, session_replication_role, log_statement TO regress_mt_app;
	GRANT ALTER SYSTEM ON PARAMETER work_mem TO PUBLIC; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE LANGUAGE regress_mt_lang HANDLER plpgsql_call_handler; CREATE FUNCTION mt_shop.raw() RETURNS int LANGUAGE regress_mt_lang AS 'begin return 1; end';
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE TRUSTED LANGUAGE plr HANDLER plpgsql_call_handler; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; UPDATE pg_extension SET extname = 'pageinspect' WHERE extname = 'plpgsql'; SELECT * FROM mt_lint.found WHERE cache_key ~ '^raw';
	SELECT remediation FROM multitenant.lint() WHERE name = 'raw_access_extension' \gexec
	SELECT * FROM mt_lint.found WHERE cache_key ~ '^raw'; ROLLBACK;
BEGIN; CREATE FOREIGN DATA WRAPPER postgres_fdw; CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'localhost'); CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'far.example');
	CREATE USER MAPPING FOR PUBLIC SERVER loop; CREATE USER MAPPING FOR regress_mt_app SERVER far OPTIONS (password 'secret'); CREATE USER MAPPING FOR regress_mt_owner SERVER far;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER TABLE multitenant.tenant DISABLE ROW LEVEL SECURITY; CREATE POLICY p ON multitenant.member; GRANT EXECUTE ON FUNCTION multitenant._end_sessions(uuid) TO regress_mt_app;
	GRANT SELECT, TRUNCATE ON multitenant.access TO PUBLIC; GRANT CREATE ON SCHEMA multitenant TO regress_mt_app;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER TABLE multitenant.access DISABLE TRIGGER access_changed; ALTER EVENT TRIGGER multitenant_removal DISABLE;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;

-- ---- roles ----
BEGIN; ALTER ROLE regress_mt_app BYPASSRLS; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE regress_mt_app SUPERUSER; SELECT multitenant.grant_access('regress_mt_app', 'application'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE regress_mt_app CREATEROLE; SELECT replace(level, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'medium' ELSE 'critical' END, 'as the version'), cache_key
	FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE regress_mt_app REPLICATION; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE regress_mt_app REPLICATION BYPASSRLS; SELECT multitenant.grant_access('regress_mt_app', 'bypass_read', reason => 'dump'); SELECT * FROM mt_lint.found; ROLLBACK;
-- by way of a group, which is no application while nobody is in it
BEGIN; ALTER ROLE regress_mt_group BYPASSRLS; GRANT pg_read_all_data TO regress_mt_group; GRANT CREATE ON SCHEMA mt_shop TO regress_mt_group; SELECT * FROM mt_lint.found;
	GRANT regress_mt_group TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT regress_mt_owner TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT regress_mt_owner TO regress_mt_group; GRANT regress_mt_group TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER ROLE regress_mt_owner LOGIN; SELECT * FROM mt_lint.found; SELECT multitenant.grant_access('regress_mt_owner', 'migrator'); SELECT * FROM mt_lint.found;
	SELECT multitenant.grant_access('regress_mt_owner', 'application'); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; SELECT multitenant.grant_access('regress_mt_group', 'operator'); GRANT regress_mt_group TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT pg_execute_server_program, pg_monitor, pg_checkpoint TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT CREATE ON SCHEMA mt_shop TO PUBLIC; GRANT CREATE ON DATABASE :"DBNAME" TO regress_mt_app; SELECT level, replace(cache_key, :'DBNAME', 'DB') FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT TEMPORARY ON DATABASE :"DBNAME" TO regress_mt_app; SELECT level = CASE WHEN multitenant._is_set_everywhere('multitenant.session_hygiene', '{clean,strict}') THEN 'medium' ELSE 'high' END, cache_key, remediation FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT TRUNCATE, REFERENCES, TRIGGER ON mt_shop.orders TO regress_mt_app; SELECT * FROM mt_lint.found;
	SELECT multitenant.grant_access('regress_mt_other', 'application', allow => '{truncate,triggers}'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; GRANT SELECT, INSERT ON mt_shop.orders TO PUBLIC; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER DEFAULT PRIVILEGES FOR ROLE regress_mt_owner IN SCHEMA mt_shop GRANT SELECT ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES FOR ROLE regress_mt_owner GRANT ALL ON TABLES TO regress_mt_app;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE ROLE regress_mt_gone; SELECT multitenant.grant_access('regress_mt_gone', 'migrator'); DROP ROLE regress_mt_gone; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
-- what is granted anew keeps the rest
BEGIN; SELECT multitenant.grant_access('regress_mt_app', 'trusted_application', reason => 'it''s old', expires_at => '2100-01-01 UTC', session_context => true, allow => '{explain,notify}');
	SELECT * FROM mt_lint.found; SELECT remediation FROM multitenant.lint() WHERE name = 'trusted_application'; SELECT * FROM mt_lint.mend();
	SELECT profile, session_context, expires_at = '2100-01-01 UTC', allowed, reason FROM multitenant.access; ROLLBACK;
BEGIN; ALTER ROLE regress_mt_app BYPASSRLS; SELECT multitenant.grant_access('regress_mt_app', 'legacy', reason => 'until release 9', expires_at => now() + interval '1 day'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.grant_access('regress_mt_app', 'application', session_context => true); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.grant_access('regress_mt_app', 'application', allow => (SELECT array_agg(name) FROM multitenant._hardenings())); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; SELECT multitenant.grant_access('regress_mt_app', 'application', allow => '{explain,signals}');
	SELECT remediation FROM multitenant.lint() WHERE cache_key = 'hardening_allowed:regress_mt_app:explain' \gexec
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.grant_access('regress_mt_app', 'tenant', tenant => 'lint-a'); SELECT * FROM mt_lint.found; ROLLBACK;

-- ---- tables ----
BEGIN; CREATE TABLE mt_shop.fresh (tenant_id uuid NOT NULL); ALTER TABLE mt_shop.fresh OWNER TO regress_mt_owner; SELECT * FROM mt_lint.found; GRANT SELECT (tenant_id) ON mt_shop.fresh TO regress_mt_app;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE TABLE mt_shop.fresh (tenant_id char(8)); GRANT SELECT ON mt_shop.fresh TO regress_mt_app; SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; CREATE TABLE mt_shop.fresh (whose uuid NOT NULL DEFAULT multitenant.current_tenant()); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE TABLE mt_shop.fresh (n int); SELECT * FROM mt_lint.found; SELECT multitenant.exempt('mt_shop.fresh', 'test'); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; ALTER TABLE mt_shop.line ADD CONSTRAINT multitenant_staged_not_null CHECK (tenant_id IS NOT NULL) NOT VALID; CREATE INDEX multitenant_staged_1 ON mt_shop.line (n); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
-- levels that depend on a mode
CREATE FUNCTION mt_lint.state(change jsonb, table_change jsonb DEFAULT '{}') RETURNS multitenant._lint_state LANGUAGE sql AS $$
	SELECT jsonb_populate_record(s, change || jsonb_build_object('tables', ARRAY(SELECT CASE t.relname WHEN 'orders' THEN to_jsonb(t) || table_change ELSE to_jsonb(t) END FROM unnest(s.tables) t)))
	FROM multitenant._lint_state() s $$;
SELECT f.lint, f.level, f.detail, f.remediation FROM multitenant._lint_unprotected(mt_lint.state('{}', '{"class": "none", "is_labelled": true}')) f WHERE f.lint <> 'table_unclassified';
BEGIN; CREATE INDEX orders_item ON mt_shop.orders (item); SELECT multitenant.grant_access('regress_mt_app', 'application', allow => '{statistics}');
	SELECT h, f.level, f.object FROM unnest('{f,t}'::boolean[]) h CROSS JOIN LATERAL multitenant._lint_indexes(mt_lint.state(jsonb_build_object('are_indexes_hidden', h))) f WHERE f.object ~ 'orders_item'; ROLLBACK;
BEGIN; GRANT TEMPORARY ON DATABASE :"DBNAME" TO regress_mt_app;
	SELECT h, f.level FROM unnest('{f,t}'::boolean[]) h CROSS JOIN LATERAL multitenant._lint_create(mt_lint.state(jsonb_build_object('is_residue_removed', h))) f WHERE f.lint = 'app_role_temp_privilege'; ROLLBACK;
BEGIN; SELECT multitenant.pause_protection('mt_shop.orders', 'test', now() + interval '1 hour'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.pause_protection('mt_shop.orders', 'test', now() + interval '1 hour');
	SECURITY LABEL FOR multitenant ON TABLE mt_shop.orders IS 'tenant {"mode": "paused", "reason": "test", "until": "2020-01-01T00:00:00+00"}'; SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); ALTER TABLE mt_shop.orders DISABLE ROW LEVEL SECURITY; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); ALTER TABLE mt_shop.orders NO FORCE ROW LEVEL SECURITY; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); DROP POLICY multitenant_isolation ON mt_shop.orders; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); ALTER POLICY multitenant_isolation ON mt_shop.orders USING (true); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
-- a table of which a restore brought back the label, or nothing but the column
BEGIN; SELECT multitenant.system_context('test'); DROP POLICY multitenant_isolation ON mt_shop.orders; DROP POLICY multitenant_access ON mt_shop.orders; ALTER TABLE mt_shop.orders DISABLE ROW LEVEL SECURITY;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); CREATE POLICY a_first ON mt_shop.orders AS RESTRICTIVE USING (true); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE TABLE mt_shop.above (tenant_id uuid NOT NULL, n int, id uuid NOT NULL, order_id uuid); ALTER TABLE mt_shop.above OWNER TO regress_mt_owner;
	SELECT multitenant.system_context('test'); ALTER TABLE mt_shop.line INHERIT mt_shop.above; SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; SET LOCAL ROLE regress_mt_owner; CREATE TABLE mt_shop.log_2027 PARTITION OF mt_shop."It's ""a"" log" FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); RESET ROLE;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER TABLE mt_shop.orders ALTER tenant_id DROP NOT NULL; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; DROP INDEX mt_shop.line_tenant_id_idx; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER TABLE mt_shop.orders ADD CONSTRAINT own CHECK (tenant_id = multitenant.current_tenant()) NOT VALID; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE MATERIALIZED VIEW mt_shop.copy AS SELECT * FROM mt_shop.orders_view WITH NO DATA; SELECT * FROM mt_lint.found; GRANT SELECT ON mt_shop.copy TO regress_mt_app, PUBLIC;
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE FOREIGN DATA WRAPPER regress_mt_fdw; CREATE SERVER regress_mt_server FOREIGN DATA WRAPPER regress_mt_fdw; CREATE FOREIGN TABLE mt_shop.far (tenant_id uuid) SERVER regress_mt_server;
	GRANT SELECT ON mt_shop.far TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SET LOCAL client_min_messages = error; CREATE PUBLICATION regress_mt_pub FOR TABLE mt_shop.orders, mt_shop.line WHERE (tenant_id = '00000000-0000-0000-0000-000000000000'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SET LOCAL client_min_messages = error; CREATE PUBLICATION regress_mt_pub FOR TABLES IN SCHEMA mt_shop; SELECT * FROM mt_lint.found; ROLLBACK;

-- ---- policies: on a protected table, and on one that is not ----
BEGIN; CREATE TABLE mt_shop.home_made (tenant_id uuid NOT NULL, n int); GRANT SELECT ON mt_shop.home_made TO regress_mt_app; ALTER TABLE mt_shop.home_made ENABLE ROW LEVEL SECURITY;
	ALTER TABLE mt_shop.home_made OWNER TO regress_mt_owner; CREATE SCHEMA mt_f;
	CREATE FUNCTION mt_f.mine(uuid) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = public AS 'BEGIN RETURN $1::text = current_setting(''app.tenant''); END';
	CREATE POLICY raw ON mt_shop.home_made USING (current_setting('app.tenant', true) IS NULL OR tenant_id::text = current_setting('app.tenant', true));
	CREATE POLICY wide ON mt_shop.home_made FOR INSERT TO regress_mt_app WITH CHECK (true);
	CREATE POLICY own ON mt_shop.home_made FOR SELECT USING (mt_f.mine(tenant_id));
	CREATE POLICY global ON mt_shop.home_made FOR UPDATE USING (tenant_id IS NULL);
	CREATE POLICY recursive ON mt_shop.home_made FOR DELETE USING (n IN (SELECT n FROM mt_shop.home_made));
	SELECT * FROM mt_lint.found; DROP POLICY raw ON mt_shop.home_made; DROP POLICY recursive ON mt_shop.home_made; SELECT cache_key FROM mt_lint.found WHERE cache_key ~ 'gap';
	SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); CREATE POLICY wide ON mt_shop.orders USING (true); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); CREATE POLICY wide ON mt_shop.orders USING (item = 'x'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); CREATE FUNCTION mt_lint.f(text) RETURNS boolean LANGUAGE sql STABLE BEGIN ATOMIC SELECT true; END;
	CREATE POLICY wide ON mt_shop.orders USING (mt_lint.f(item)); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE POLICY zz_narrow ON mt_shop.orders AS RESTRICTIVE USING (current_setting('app.x') = item); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE POLICY zz_narrow ON mt_shop.orders AS RESTRICTIVE TO regress_mt_app USING (item = 'x'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE FUNCTION mt_lint.f(text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true'; CREATE POLICY zz_narrow ON mt_shop.orders AS RESTRICTIVE USING (mt_lint.f(item));
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); SELECT proconfig FROM pg_proc WHERE oid = 'mt_lint.f(text)'::regprocedure; ROLLBACK;
-- a narrower policy of plain expressions is nothing to speak of
BEGIN; CREATE POLICY zz_narrow ON mt_shop.orders AS RESTRICTIVE USING (item <> 'x'); SELECT * FROM mt_lint.found; ROLLBACK;

-- ---- keys ----
BEGIN; ALTER TABLE mt_shop.orders ADD UNIQUE (item); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE UNIQUE INDEX orders_lower ON mt_shop.orders (lower(item)); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; ALTER TABLE mt_shop.orders ADD CONSTRAINT held UNIQUE (item); ALTER TABLE mt_shop.country ADD FOREIGN KEY (code) REFERENCES mt_shop.orders (item); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; SET LOCAL ROLE regress_mt_owner; CREATE TABLE mt_shop.numbered (id serial PRIMARY KEY, tenant_id uuid NOT NULL, note text); RESET ROLE; SELECT count(*) > 0 FROM multitenant.protect('mt_shop.numbered');
	GRANT ALL ON SEQUENCE mt_shop.numbered_id_seq TO regress_mt_app; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend();
	SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'numbered_pkey'; ROLLBACK;
BEGIN; ALTER TABLE mt_shop.orders ADD COLUMN during daterange, ADD CONSTRAINT apart EXCLUDE USING gist (during WITH &&); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; ALTER TABLE mt_shop.line ADD COLUMN other uuid REFERENCES mt_shop.orders; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE TABLE mt_lint.note (order_id uuid REFERENCES mt_shop.orders); SELECT multitenant.exempt('mt_lint.note', 'test'); SELECT * FROM mt_lint.found; GRANT INSERT ON mt_lint.note TO regress_mt_app; SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; CREATE FUNCTION mt_lint.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER gone BEFORE DELETE ON mt_shop.line FOR EACH ROW EXECUTE FUNCTION mt_lint.t();
	CREATE TRIGGER quiet BEFORE INSERT ON mt_shop.line FOR EACH ROW EXECUTE FUNCTION mt_lint.t(); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; INSERT INTO multitenant.permission (name, description) SELECT r || ':' || a, '' FROM unnest('{host,disk}'::text[]) r, unnest('{read,create,update,delete}'::text[]) a;
	SELECT multitenant.set_permissions('mt_shop.line', 'disk'); SELECT * FROM mt_lint.found; SELECT multitenant.set_permissions('mt_shop.orders', 'disk'); SELECT * FROM mt_lint.found; ROLLBACK;
BEGIN; CREATE INDEX orders_item ON mt_shop.orders (item DESC) WHERE item <> ''; SELECT * FROM mt_lint.found; SELECT multitenant.grant_access('regress_mt_app', 'application', allow => '{explain}');
	SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); SELECT pg_get_indexdef('mt_shop.orders_item'::regclass); ROLLBACK;
-- partitioned by tenant, an index looks into one tenant's rows
BEGIN; SET LOCAL ROLE regress_mt_owner; CREATE TABLE mt_shop.by_tenant (id uuid, tenant_id uuid NOT NULL) PARTITION BY HASH (tenant_id); CREATE TABLE mt_shop.by_tenant_0 PARTITION OF mt_shop.by_tenant FOR VALUES WITH (modulus 1, remainder 0);
	CREATE INDEX ON mt_shop.by_tenant (id); RESET ROLE; SELECT count(*) > 0 FROM multitenant.protect('mt_shop.by_tenant'); SELECT * FROM mt_lint.found; ROLLBACK;

-- ---- code ----
BEGIN; CREATE VIEW mt_shop.past AS SELECT * FROM mt_shop.orders_view; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE VIEW mt_shop.own_country WITH (security_invoker) AS SELECT * FROM mt_shop.country WHERE code = current_setting('app.country'); SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE RULE spy AS ON INSERT TO mt_shop.orders DO ALSO NOTIFY spy; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; SELECT multitenant.system_context('test'); CREATE FUNCTION mt_shop.sees(text) RETURNS boolean LANGUAGE sql LEAKPROOF RETURN true; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE FUNCTION mt_shop.sum() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = mt_shop, pg_temp AS 'SELECT count(*) FROM orders';
	CREATE FUNCTION mt_shop.unrelated() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ''preorders'''; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE PROCEDURE mt_shop.parsed() LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT count(*) FROM mt_shop.orders; END; SELECT * FROM mt_lint.found; SELECT * FROM mt_lint.mend(); ROLLBACK;

-- ---- names that would like to be commands ----
BEGIN; CREATE INDEX "a"" USING btree (x" ON mt_shop.orders (item); SELECT remediation FROM multitenant.lint() WHERE cache_key LIKE 'index%'; SELECT * FROM mt_lint.mend();
	SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'mt_shop.orders'::regclass AND indkey = '2 3'; ROLLBACK;
BEGIN; CREATE TABLE mt_shop."x
DROP TABLE mt_shop.orders; --" (n int); SELECT remediation FROM multitenant.lint() WHERE name = 'table_unclassified'; ROLLBACK;
BEGIN; SET LOCAL search_path = 'public;drop/**/schema/**/mt_shop'; CREATE FUNCTION mt_lint.f(text) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS 'SELECT true'; SET LOCAL search_path = public;
	CREATE POLICY zz_narrow ON mt_shop.orders AS RESTRICTIVE USING (mt_lint.f(item)); SELECT remediation FROM multitenant.lint() WHERE name = 'policy_function_search_path'; SELECT * FROM mt_lint.mend(); ROLLBACK;
BEGIN; CREATE ROLE "regress_mt ""x"";" LOGIN; GRANT TRUNCATE ON mt_shop.orders TO "regress_mt ""x"";"; SELECT remediation FROM multitenant.lint() WHERE name = 'truncate_privilege'; SELECT * FROM mt_lint.mend(); ROLLBACK;

-- ---- without the guard, what it closes is open ----
BEGIN; SET LOCAL multitenant.guard_enabled = off; ALTER ROLE regress_mt_app BYPASSRLS; ALTER ROLE regress_mt_group BYPASSRLS; GRANT regress_mt_group TO regress_mt_other; GRANT TRUNCATE, TRIGGER, REFERENCES ON mt_shop.line TO regress_mt_app;
	ALTER TABLE mt_shop.orders DISABLE ROW LEVEL SECURITY; SELECT multitenant.pause_protection('mt_shop.line', 'test', now() + interval '1 hour'); CREATE VIEW mt_shop.past AS SELECT * FROM mt_shop.line;
	CREATE FUNCTION mt_shop.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM mt_shop.line'; CREATE INDEX line_n ON mt_shop.line (n); SELECT lo_create(0) > 0;
	SET LOCAL ROLE regress_mt_owner; CREATE TABLE mt_shop.log_2027 PARTITION OF mt_shop."It's ""a"" log" FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); RESET ROLE;
	SELECT level, cache_key FROM mt_lint.found; ROLLBACK;

-- ---- columns and filters ----
SELECT count(*) FROM mt_lint.found;
BEGIN; GRANT TRUNCATE ON mt_shop.orders TO regress_mt_app;
\pset expanded on
\pset tuples_only off
SELECT * FROM multitenant.lint('mt_shop', 'medium') WHERE name = 'truncate_privilege';
\pset expanded off
\pset tuples_only on
SELECT count(*) FROM multitenant.lint('mt_shop', 'high');
SELECT count(*) FROM multitenant.lint('mt_lint');
SELECT bool_and(level = any (levels)), count(*) > 0 FROM multitenant.lint() JOIN multitenant._lints() USING (name);
ROLLBACK;
SELECT multitenant.lint('no_such_schema');
SELECT multitenant.lint(minimum_level => 'severe');

-- ---- accepted findings ----
GRANT TRUNCATE ON mt_shop.orders TO regress_mt_app;
SELECT multitenant.accept_finding('truncate_privilege:mt_shop.nothing:regress_mt_app', 'why', now() + interval '1 day');
SELECT multitenant.accept_finding('truncate_privilege:mt_shop.orders:regress_mt_app', ' ', now() + interval '1 day');
SELECT multitenant.accept_finding('truncate_privilege:mt_shop.orders:regress_mt_app', 'why', now());
SELECT multitenant.accept_finding('truncate_privilege:mt_shop.orders:regress_mt_app', 'why', NULL);
SELECT multitenant.accept_finding('truncate_privilege:mt_shop.orders:regress_mt_app', 'old tool', '2100-01-01 UTC');
SELECT multitenant.accept_finding('truncate_privilege:mt_shop.orders:regress_mt_app', 'old tool, gone by then', '2100-01-02 UTC');
SELECT level, cache_key, metadata #>> '{accepted,reason}' FROM multitenant.lint('mt_shop') WHERE metadata ? 'accepted';
SELECT count(*) FROM multitenant.lint('mt_shop', with_accepted => false) WHERE name = 'truncate_privilege';
SELECT item, value, ok, hint FROM multitenant.status() WHERE item = 'findings accepted';
SELECT event, object, detail ->> 'reason' FROM multitenant.audit_event WHERE event ~ '^isolation.accept' ORDER BY at, detail ->> 'reason';
-- accepted is not gone
CREATE FUNCTION mt_lint.others() RETURNS text[] LANGUAGE sql AS $$ SELECT array_agg(cache_key) FROM mt_lint.known $$;
SELECT multitenant.assert_isolated('medium', mt_lint.others());
SELECT multitenant.assert_isolated('medium', mt_lint.others() || 'truncate_privilege:mt_shop.orders:regress_mt_app'::text);
SET client_min_messages = notice;
SELECT multitenant.assert_isolated('critical', '{no_such_finding,truncate_privilege:mt_shop.orders:regress_mt_app}') FROM multitenant.lint() WHERE name = 'server_minor_outdated' HAVING count(*) = 0;
SET client_min_messages = warning;
SELECT multitenant.assert_isolated('severe');
SELECT multitenant.assert_isolated(NULL);
-- nor when it has run out
UPDATE multitenant.accepted_finding SET expires_at = now() - interval '1 second';
SELECT metadata ? 'accepted' FROM multitenant.lint('mt_shop') WHERE name = 'truncate_privilege';
SELECT value FROM multitenant.status() WHERE item = 'findings accepted';
SELECT multitenant.revoke_acceptance('truncate_privilege:mt_shop.orders:regress_mt_app');
SELECT multitenant.revoke_acceptance('truncate_privilege:mt_shop.orders:regress_mt_app');
SELECT multitenant.revoke_acceptance(NULL);
REVOKE TRUNCATE ON mt_shop.orders FROM regress_mt_app;

-- ---- who may ----
CREATE TABLE mt_lint.who (profile text, may boolean);
SELECT multitenant.exempt('mt_lint.who', 'test');
GRANT USAGE ON SCHEMA mt_lint TO regress_mt_other;
DO $$
DECLARE
	p text;
	may boolean;
BEGIN
	FOREACH p IN ARRAY '{application,trusted_application,provisioner,operator,auditor,migrator,bypass,bypass_read}'::text[] LOOP
		PERFORM multitenant.grant_access('regress_mt_other', p, reason => 'test');
		SET LOCAL ROLE regress_mt_other;
		BEGIN
			PERFORM multitenant.lint();
			may := true;
		EXCEPTION WHEN insufficient_privilege THEN
			may := false;
		END;
		RESET ROLE;
		INSERT INTO mt_lint.who VALUES (p, may);
	END LOOP;
END
$$;
SELECT * FROM mt_lint.who;
SET ROLE regress_mt_app;
SELECT multitenant.lint();
SELECT multitenant.assert_isolated();
SELECT multitenant._access_profiles();
SELECT multitenant._accepted_findings();
SELECT multitenant.accept_finding('a', 'b', now() + interval '1 day');
SELECT multitenant.revoke_acceptance('a');
RESET ROLE;
-- the same findings, whoever asks
SELECT multitenant.grant_access('regress_mt_other', 'auditor');
CREATE TABLE mt_lint.superuser AS SELECT cache_key, level, remediation FROM multitenant.lint() WHERE cache_key !~ 'mt_lint';
GRANT SELECT ON mt_lint.superuser TO regress_mt_other;
SET ROLE regress_mt_other;
SELECT count(*) FROM (SELECT cache_key, level, remediation FROM multitenant.lint() WHERE cache_key !~ 'mt_lint' EXCEPT SELECT * FROM mt_lint.superuser) x;
SELECT count(*) FROM (SELECT * FROM mt_lint.superuser EXCEPT SELECT cache_key, level, remediation FROM multitenant.lint()) x;
RESET ROLE;

SELECT multitenant.unprotect_all();
DROP SCHEMA mt_shop, mt_lint CASCADE;
DROP EXTENSION multitenant;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO PUBLIC;
DROP ROLE regress_mt_app, regress_mt_owner, regress_mt_other, regress_mt_group;
