-- Machines in a tree of scopes, one tenant's million among others', variables "tenant", "rows". Whoever has what is in
-- databases with the library only. Loaded once and copied for every variant.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE FUNCTION tenant_of(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
	RETURN md5('tenant ' || n)::uuid;

CREATE TABLE machines (tenant_id uuid NOT NULL, id integer NOT NULL, scope text NOT NULL, a integer NOT NULL);
INSERT INTO machines
	SELECT tenant, i, 's' || i::bigint * 7919 % 1111, i % 1000
	FROM (SELECT :'tenant'::uuid, :rows UNION ALL SELECT tenant_of(n), 100 FROM generate_series(1, 9) n WHERE tenant_of(n) <> :'tenant') v(tenant, number),
		generate_series(1, number) i;
ALTER TABLE machines ADD PRIMARY KEY (tenant_id, id);
CREATE TABLE disks (LIKE machines);
INSERT INTO disks SELECT * FROM machines WHERE id <= 200;
ALTER TABLE disks ADD PRIMARY KEY (tenant_id, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bench_app, bench_trusted, bench_explain;
VACUUM (FREEZE, ANALYZE);
