-- The rows of one tenant, made anew: mark (OWN or QUOKKA), base (5550000 or 7770000), uuid (acceacce or cafecafe) and
-- year (2555 or 2777) say whose they are. Run by a superuser. For test/random/run.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
DELETE FROM shop.line WHERE tenant_id = multitenant.tenant_id(:'slug');
DELETE FROM shop.orders WHERE tenant_id = multitenant.tenant_id(:'slug');
DELETE FROM shop.customer WHERE tenant_id = multitenant.tenant_id(:'slug');
DELETE FROM shop.event WHERE tenant_id = :base;
DELETE FROM shop.document WHERE tenant_id = :'slug';
DELETE FROM shop.template WHERE tenant_id = multitenant.tenant_id(:'slug');
INSERT INTO shop.customer
	SELECT multitenant.tenant_id(:'slug'), format('%s-0000-4000-8000-%s', :'uuid', lpad(i::text, 12, '0'))::uuid, :'mark' || ' customer ' || i % 4,
		:'mark' || i || '@example.com', :base + i, make_date(:year, 1 + i % 12, 1), ARRAY[:'mark', :'mark' || i],
		jsonb_build_object(:'mark', i, 'name', :'mark')
	FROM generate_series(0, 9) i;
INSERT INTO shop.orders
	SELECT multitenant.tenant_id(:'slug'), :base + i, format('%s-0000-4000-8000-%s', :'uuid', lpad((i % 10)::text, 12, '0'))::uuid,
		make_timestamptz(:year, 1 + i % 12, 1, 0, 0, 0), :base + i % 3, :'mark' || ' order ' || i % 4
	FROM generate_series(0, 19) i;
INSERT INTO shop.line
	SELECT multitenant.tenant_id(:'slug'), :base + i % 20, :base + i / 20, :'mark' || ' article ' || i % 4, :base + i % 3
	FROM generate_series(0, 39) i;
INSERT INTO shop.event
	SELECT :base, :base + i, make_timestamp(:year, 1 + i % 12, 1, 0, 0, 0), jsonb_build_object('text', :'mark', 'n', :base + i),
		to_tsvector('simple', :'mark'), convert_to(:'mark', 'UTF8')
	FROM generate_series(0, 14) i;
INSERT INTO shop.event_detail
	SELECT :base, :base + i, make_timestamp(:year, 1 + i % 12, 1, 0, 0, 0), jsonb_build_object('text', :'mark', 'n', :base + i),
		to_tsvector('simple', :'mark'), convert_to(:'mark', 'UTF8'), :'mark' || ' detail'
	FROM generate_series(15, 29) i;
INSERT INTO shop.document
	SELECT :'slug', :base + i, :'mark' || ' title ' || i % 4, :'mark', :base + i % 3
	FROM generate_series(0, 9) i;
INSERT INTO shop.template SELECT multitenant.tenant_id(:'slug'), :base + i, :'mark' || ' template' FROM generate_series(0, 4) i;
COMMIT;
ANALYZE shop.customer, shop.orders, shop.line, shop.event, shop.document, shop.template;
