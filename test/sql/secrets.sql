-- Secrets of tenants: round trips, versions, what one tenant learns of another's, contexts that are not the tenant's own.
CREATE EXTENSION multitenant;
\i sql/master_key.inc
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null NULL
CREATE ROLE regress_mt_trusted LOGIN;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('sec-a', number => 9301, id => 'a0000000-0000-4000-8000-000000000031');
SELECT multitenant.create_tenant('sec-b', number => 9302, id => 'b0000000-0000-4000-8000-000000000032');

SET SESSION AUTHORIZATION regress_mt_trusted;
SELECT multitenant.put_secret('smtp', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.get_secret('smtp'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.drop_secret('smtp'); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.secrets; \echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT multitenant.use_tenant('sec-a') IS NOT NULL;
SELECT multitenant.put_secret('smtp', 'hunter1', 'mail server');
SELECT multitenant.put_secret('smtp', 'hunter2');
SELECT multitenant.put_secret('it''s "quoted" ü', '');
SELECT multitenant.get_secret('smtp'), multitenant.get_secret('smtp', 1), multitenant.get_secret('it''s "quoted" ü') = '';
SELECT name, version, versions_kept, description, changed_at >= oldest_at, changed_by FROM multitenant.secrets ORDER BY name;
SAVEPOINT s;
SELECT multitenant.get_secret('smtp', 3); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.get_secret(NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.put_secret('', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.put_secret(E'a\nb', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.put_secret('smtp', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.put_secret('smtp', 'x', keep => 0); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.put_secret('smtp', 'hunter3', keep => 2);
SELECT multitenant.get_secret('smtp', 2);
SELECT multitenant.get_secret('smtp', 1); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT max(multitenant.put_secret('many', 'v' || g)) FROM generate_series(1, 8) g;
SELECT version, versions_kept FROM multitenant.secrets WHERE name = 'many';
SELECT value FROM multitenant.secret; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;

-- Another tenant sees nothing, and nothing of its own is in the way.
BEGIN;
SELECT multitenant.use_tenant('sec-b') IS NOT NULL;
SELECT count(*) FROM multitenant.secrets;
SELECT multitenant.put_secret('smtp', 'of b');
SELECT multitenant.get_secret('smtp');
SELECT multitenant.drop_secret('smtp');
SAVEPOINT s;
SELECT multitenant.drop_secret('smtp'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.get_secret('smtp'); \echo :LAST_ERROR_SQLSTATE
COMMIT;

-- The table has ciphertext that is bound to the tenant and the name.
RESET SESSION AUTHORIZATION;
SELECT count(*), bool_and(strpos(value::bytea::text, 'hunter') = 0 AND octet_length(value::bytea) - 38 <= 7) FROM multitenant.secret;
UPDATE multitenant.secret SET name = 'renamed' WHERE name = 'smtp';
UPDATE multitenant.secret SET tenant_id = 'b0000000-0000-4000-8000-000000000032' WHERE version = 1 AND name = 'renamed';
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('sec-a') IS NOT NULL;
SELECT multitenant.get_secret('renamed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('sec-b') IS NOT NULL;
SELECT multitenant.get_secret('renamed'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Maintenance has no access.
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT multitenant.system_context('regression test');
SELECT multitenant.put_secret('smtp', 'x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT event, outcome, object, detail FROM multitenant.audit_event WHERE event LIKE 'secret.%' ORDER BY at;
\i sql/master_key_off.inc
DROP EXTENSION multitenant;
DROP ROLE regress_mt_trusted;
