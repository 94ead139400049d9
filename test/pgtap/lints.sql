-- Every lint has its texts, and docs/reference/lints.md says the same as the database: its part below the marker is the
-- query "page" below. To write it anew, in a database with the extension:
--	psql -XAtq -f test/pgtap/lints.sql -v write=1	and put the output in place of the old part
\if :{?write}
\else
BEGIN;
SELECT no_plan();
\endif

SELECT string_agg(CASE WHEN is_first THEN E'\n## ' || initcap(category) || E'\n' ELSE '' END
	|| format(E'\n### %s\n\n%s. *%s*\n\n%s\n\nTo do: %s\n', name, title, array_to_string(levels, ', '), description, fix), '' ORDER BY n) AS page
FROM (SELECT l.*, l.categories[2] AS category, l.categories[2] IS DISTINCT FROM lag(l.categories[2]) OVER (ORDER BY n) AS is_first
	FROM multitenant._lints() WITH ORDINALITY AS l(name, levels, facing, categories, title, description, fix, n)) l
\gset
\if :{?write}
\echo :page
\q
\endif

\set file `cat docs/reference/lints.md`
SELECT is(regexp_replace(:'file', '^.*<!-- made from multitenant\._lints\(\) -->', ''), rtrim(:'page', E'\n'), 'the page says what the database says');

SELECT is_empty($$ SELECT name FROM multitenant._lints() WHERE name !~ '^[a-z_]{5,40}$' $$, 'names are words');
SELECT is((SELECT count(DISTINCT name) FROM multitenant._lints()), (SELECT count(*) FROM multitenant._lints()), 'and each is there once');
SELECT is_empty($$ SELECT name FROM multitenant._lints() WHERE NOT levels <@ '{critical,high,medium,low,info}' OR cardinality(levels) = 0 $$, 'levels are levels');
SELECT is_empty($$ SELECT name FROM multitenant._lints() WHERE facing NOT IN ('EXTERNAL', 'INTERNAL') $$, 'facing is as elsewhere');
SELECT is_empty($$ SELECT name FROM multitenant._lints() WHERE title !~ '^[A-Z].*[^.]$' OR description !~ '^["A-Z].*\.$' OR fix !~ '^[A-Z].*\.$' $$,
	'titles are titles, the rest are sentences');

-- What is found has texts: lint() joins them and would lose it.
SELECT is_empty($$ SELECT DISTINCT m[1] FROM pg_proc p, regexp_matches(p.prosrc, '(?:SELECT|WHEN [^\n]* THEN|ELSE|UNION ALL\s+SELECT) ''([a-z_]{8,40})'',? ', 'g') m
	WHERE p.pronamespace = 'multitenant'::regnamespace AND p.proname ~ '^_lint_' AND p.proname NOT IN ('_lint_state', '_lint_tables', '_lint_roles')
	AND m[1] ~ '_' AND m[1] NOT IN (SELECT name FROM multitenant._lints()) AND m[1] NOT IN (SELECT policy FROM unnest(multitenant._policy_names()) policy)
	AND m[1] NOT IN ('shared_rows', 'password_encryption', 'pg_stat_statements') $$, 'every finding that a query can yield has its texts');
SELECT is_empty($$ SELECT name FROM multitenant._lints() l WHERE name !~ '^(truncate|references|trigger|maintain)_privilege$' AND NOT EXISTS (SELECT FROM pg_proc p
	WHERE p.pronamespace = 'multitenant'::regnamespace AND p.proname ~ '^_lint_' AND p.prosrc ~ ('''' || l.name || '''')) $$, 'and every text has a query');

-- ---- the order of levels ----
SELECT results_eq($$ SELECT level FROM unnest('{info,low,critical,medium,high}'::text[]) level ORDER BY multitenant._level_rank(level) $$,
	'{critical,high,medium,low,info}'::text[], 'critical is worst');
SELECT is(multitenant._level_rank('severe'), NULL, 'other words are no levels');

SELECT * FROM finish();
ROLLBACK;
