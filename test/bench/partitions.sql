-- Tables with a partition for each of some tenants, variables "counts" (of partitions) and "tenant", which is among them.
-- Loaded once and copied for every variant.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE FUNCTION tenant_of(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
	RETURN md5('tenant ' || n)::uuid;

SELECT format('CREATE TABLE p%s (tenant_id uuid NOT NULL, id bigint NOT NULL, a integer NOT NULL, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id)', n)
	FROM unnest(:'counts'::int[]) n \gexec
SELECT format('CREATE TABLE p%1$s_%2$s PARTITION OF p%1$s FOR VALUES IN (%3$L)', n, i, CASE WHEN i = n AND NOT EXISTS (SELECT FROM generate_series(1, n - 1) j WHERE tenant_of(j) = :'tenant'::uuid) THEN :'tenant'::uuid ELSE tenant_of(i) END)
	FROM unnest(:'counts'::int[]) n, generate_series(1, n) i ORDER BY n, i \gexec
SELECT format('INSERT INTO p%s SELECT tenant, i, i * 7 FROM generate_series(1, 50) i, (SELECT %L::uuid UNION SELECT tenant_of(n) FROM generate_series(1, 9) n) v(tenant)', n, :'tenant')
	FROM unnest(:'counts'::int[]) n \gexec

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bench_app, bench_trusted, bench_explain;
VACUUM (FREEZE, ANALYZE);
