-- The rows that every tenant sees, and a copy of all rows from which a round begins. For test/differential/run.
\set ON_ERROR_STOP on
INSERT INTO shop.template SELECT NULL, i, 'article ' || i, i * 3 FROM generate_series(1, 5) i;
INSERT INTO shop.country SELECT i, 'k' || i, 'name ' || i, i * 10 FROM generate_series(0, 8) i;
SET session_replication_role = replica;
CREATE SCHEMA pristine;
SELECT format('CREATE TABLE pristine.%1$I AS SELECT * FROM ONLY shop.%1$I', relname) FROM pg_class
WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' AND relname NOT IN ('country', 'change') ORDER BY 1 \gexec
SELECT format('ALTER TABLE pristine.%I DROP COLUMN gross', relname) FROM pg_class WHERE relnamespace = 'pristine'::regnamespace AND relname = 'orders' \gexec
ANALYZE;
