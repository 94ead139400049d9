-- Two tenants in every shape of table that protect() knows, for test/random/run.
-- Every value of acme is marked: 'OWN', 555nnnn, acceacce-..., the year 2555; every value of beta 'QUOKKA', 777nnnn,
-- cafecafe-..., 2777. Values of both repeat, so that random joins find partners.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
CREATE ROLE random_owner NOLOGIN;
CREATE ROLE random_app LOGIN;
SELECT multitenant.create_tenant('own-acme', id => 'acceacce-0000-4000-8000-000000000000', number => 5550000);
SELECT multitenant.create_tenant('quokka-beta', id => 'cafecafe-0000-4000-8000-000000000000', number => 7770000);
-- A bound role has its tenant in every transaction, also in those that the generator makes to look around.
SELECT multitenant.grant_access('random_app', 'tenant', tenant => 'own-acme');
SELECT multitenant.grant_access('random_owner', 'migrator');
CREATE SCHEMA shop AUTHORIZATION random_owner;
GRANT USAGE ON SCHEMA shop TO random_app;
SET ROLE random_owner;

CREATE TABLE shop.customer (
	tenant_id uuid NOT NULL, id uuid NOT NULL, name text NOT NULL, mail varchar(80), rating int, born date,
	tags text[], extra jsonb, PRIMARY KEY (tenant_id, id));
CREATE TABLE shop.orders (
	tenant_id uuid NOT NULL, id int NOT NULL, customer_id uuid NOT NULL, placed timestamptz, total numeric(20, 2),
	note text, PRIMARY KEY (tenant_id, id));
CREATE TABLE shop.line (
	tenant_id uuid NOT NULL, order_id int NOT NULL, position int NOT NULL, article text, amount float8,
	PRIMARY KEY (tenant_id, order_id, position)) PARTITION BY HASH (tenant_id);
CREATE TABLE shop.line_0 PARTITION OF shop.line FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.line_1 PARTITION OF shop.line FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.event (tenant_id int NOT NULL, id bigint NOT NULL, happened timestamp, payload jsonb, search tsvector, raw bytea);
CREATE TABLE shop.event_detail (detail text) INHERITS (shop.event);
CREATE TABLE shop.document (tenant_id text NOT NULL, id int NOT NULL, title text, kind char(8), weight real);
CREATE TABLE shop.template (tenant_id uuid, id int NOT NULL, title text);
CREATE TABLE shop.country (code text PRIMARY KEY, name text);

CREATE INDEX ON shop.customer (mail);
CREATE INDEX ON shop.customer (lower(name));
CREATE INDEX ON shop.orders (placed);
CREATE INDEX ON shop.event USING gin (payload);
CREATE INDEX ON shop.event USING gin (search);
CREATE STATISTICS shop.orders_stats ON customer_id, total FROM shop.orders;

CREATE VIEW shop.order_overview WITH (security_invoker = true) AS
	SELECT o.id, o.placed, o.total, c.name, (SELECT count(*) FROM shop.line l WHERE l.order_id = o.id) AS lines
	FROM shop.orders o JOIN shop.customer c ON c.id = o.customer_id;
CREATE FUNCTION shop.revenue(of uuid) RETURNS numeric LANGUAGE sql STABLE AS
	'SELECT sum(total) FROM shop.orders WHERE customer_id = of';
CREATE FUNCTION shop.owner_sees(of int) RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
	'SELECT note FROM shop.orders WHERE id = of';

SELECT count(*) FROM multitenant.protect('shop.customer');
SELECT count(*) FROM multitenant.protect('shop.orders');
SELECT count(*) FROM multitenant.protect('shop.line');
SELECT count(*) FROM multitenant.protect('shop.event');
SELECT count(*) FROM multitenant.protect('shop.document');
ALTER TABLE shop.orders ADD FOREIGN KEY (tenant_id, customer_id) REFERENCES shop.customer ON DELETE CASCADE;
ALTER TABLE shop.line ADD FOREIGN KEY (tenant_id, order_id) REFERENCES shop.orders ON UPDATE CASCADE ON DELETE CASCADE;
RESET ROLE;
SELECT multitenant.shared_rows('shop.template');
SELECT multitenant.share('shop.country');
INSERT INTO shop.country VALUES ('CH', 'Switzerland'), ('DE', 'Germany');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO random_app;
