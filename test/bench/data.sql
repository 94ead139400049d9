-- The data of make bench, loaded once and copied for every variant: 1000 tenants, their rows interleaved as time would
-- interleave them, keys and indexes led by the tenant as the guides recommend. Variable "tenants".
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE FUNCTION tenant_of(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
	RETURN md5('tenant ' || n)::uuid;

CREATE TABLE t (
	tenant_id uuid NOT NULL, id bigint NOT NULL, created timestamptz NOT NULL,
	a integer NOT NULL, b text NOT NULL);
INSERT INTO t
	SELECT tenant_of(n), i, timestamptz '2026-01-01 00:00+00' + i * interval '1 hour', i * 7 % 1000, repeat(md5(n || '.' || i), 2)
	FROM generate_series(1, 200) i, generate_series(1, :tenants) n ORDER BY i, n;
ALTER TABLE t ADD PRIMARY KEY (tenant_id, id);
CREATE INDEX t_created ON t (tenant_id, created);

-- What is written to: rolled back each time, with space for the next version of a row on its page.
CREATE TABLE w (LIKE t) WITH (fillfactor = 70);
ALTER TABLE w ALTER created SET DEFAULT now();
INSERT INTO w SELECT * FROM t WHERE id <= 100;
ALTER TABLE w ADD PRIMARY KEY (tenant_id, id);
CREATE INDEX w_created ON w (tenant_id, created);

CREATE TABLE customers (tenant_id uuid NOT NULL, id integer NOT NULL, name text NOT NULL);
CREATE TABLE products (tenant_id uuid NOT NULL, id integer NOT NULL, name text NOT NULL);
CREATE TABLE orders (tenant_id uuid NOT NULL, id integer NOT NULL, customer_id integer NOT NULL, placed timestamptz NOT NULL);
CREATE TABLE lines (tenant_id uuid NOT NULL, order_id integer NOT NULL, number integer NOT NULL, product_id integer NOT NULL, quantity integer NOT NULL);
INSERT INTO customers SELECT tenant_of(n), i, 'customer ' || i FROM generate_series(1, 20) i, generate_series(1, :tenants) n;
INSERT INTO products SELECT tenant_of(n), i, 'product ' || i FROM generate_series(1, 20) i, generate_series(1, :tenants) n;
INSERT INTO orders SELECT tenant_of(n), i, 1 + i * 3 % 20, timestamptz '2026-01-01 00:00+00' + i * interval '1 hour'
	FROM generate_series(1, 80) i, generate_series(1, :tenants) n;
INSERT INTO lines SELECT tenant_of(n), i, l, 1 + (i * 5 + l) % 20, i % 9 + l
	FROM generate_series(1, 80) i, generate_series(1, 3) l, generate_series(1, :tenants) n;
ALTER TABLE customers ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE products ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE orders ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE lines ADD PRIMARY KEY (tenant_id, order_id, number);

CREATE ROLE bench_app LOGIN;
CREATE ROLE bench_session LOGIN;
CREATE ROLE bench_bound LOGIN;
CREATE ROLE bench_trusted LOGIN;
CREATE ROLE bench_explain LOGIN;
CREATE ROLE bench_superuser LOGIN SUPERUSER;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bench_app, bench_session, bench_bound, bench_trusted, bench_explain;
VACUUM (FREEZE, ANALYZE);
