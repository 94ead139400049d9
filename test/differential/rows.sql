-- The rows of one tenant: uuid, number, slug. Keys are the same for every tenant, values differ, and so do counts. Run by
-- a superuser, before what belongs to everybody (everybody.sql). For test/differential/run.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO shop.customer
	SELECT :'uuid', i, nullif(i / 2, 0), 'name ' || (i * (:number + 4)) % 9, CASE WHEN i % 5 > 0 THEN 'n' || i % 7 || '@t' || :number || '.example' END,
		(i * (:number + 2)) % 11, DATE '2024-01-01' + (i * 7 * :number) % 90, ARRAY['tag' || i % 4, 'tag' || (i + :number) % 6],
		jsonb_build_object('n', i % 8 + :number, 'k', 'k' || i % 5, 'list', jsonb_build_array(i % 3, :number)),
		to_tsvector('simple', 'word' || i % 6 || ' term' || (i * :number) % 4)
	FROM generate_series(1, 18 + 3 * :number) i;
INSERT INTO shop.orders (tenant_id, id, customer_id, status, placed, total, note)
	SELECT :'uuid', i, 1 + (i * (:number + 6)) % (18 + 3 * :number), (ARRAY['open', 'paid', 'sent'])[1 + (i + :number) % 3],
		TIMESTAMP '2024-01-01' + (i * :number) % 80 * interval '1 day', 10 * ((i * :number) % 13) + 0.25 * :number, CASE WHEN i % 4 > 0 THEN 'note ' || (i + :number) % 6 END
	FROM generate_series(1, 40 + 4 * :number) i;
INSERT INTO shop.line
	SELECT :'uuid', i, CASE WHEN i % 9 > 0 THEN 1 + (i * (:number + 2)) % 40 END, 'article ' || (i * :number) % 10, i % 7, (i * :number) % 50 + 0.5
	FROM generate_series(1, 60 + 6 * :number) i;
INSERT INTO shop.event
	SELECT :number, i, 1 + (i * :number) % 20, TIMESTAMP '2024-01-01' + (i * 3) % 70 * interval '1 day', jsonb_build_object('n', i % 9 * :number, 'k', 'k' || i % 4), 'name ' || i % 9
	FROM generate_series(1, 20 + :number) i;
INSERT INTO shop.event_detail
	SELECT :number, i, 1 + (i * :number) % 20, TIMESTAMP '2024-02-01' + (i * 3) % 70 * interval '1 day', jsonb_build_object('n', i % 9 * :number, 'k', 'k' || i % 4), 'name ' || i % 7,
		'note ' || i % 5, i % 12 * :number
	FROM generate_series(101, 115 + 2 * :number) i;
INSERT INTO shop.document
	SELECT :'slug', i, 'article ' || (i + :number) % 10, to_tsvector('simple', 'word' || i % 6 || ' term' || (i + :number) % 4), 'k' || i % 5, (i * :number) % 30
	FROM generate_series(1, 22 + 2 * :number) i;
INSERT INTO shop.metric
	SELECT :number, i, DATE '2024-01-01' + (i * 5 * :number) % 70, 'tag' || i % 6, (i * :number) % 40 + 0.75, jsonb_build_object('n', i % 6, 'k', 'k' || (i + :number) % 5)
	FROM generate_series(1, 30 + 2 * :number) i;
INSERT INTO shop.journal
	SELECT :'uuid', i, DATE '2024-01-01' + (i * 4 * :number) % 80, 'note ' || i % 6, (i * :number) % 25
	FROM generate_series(1, 30 + 3 * :number) i;
INSERT INTO shop.file
	SELECT :'slug', i, 'article ' || i % 8 || '/' || :number, (i * (:number + 3)) % 35, jsonb_build_object('n', i % 5 + :number, 'k', 'k' || i % 3)
	FROM generate_series(1, 24 + 2 * :number) i;
INSERT INTO shop.template SELECT :'uuid', i, 'article ' || (i + :number) % 8, i * :number FROM generate_series(11, 14 + :number) i;
COMMIT;
