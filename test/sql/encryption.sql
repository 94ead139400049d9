-- Encrypted values: round trips, what they are bound to, and every error.
SET client_min_messages = warning;
CREATE EXTENSION multitenant;
RESET client_min_messages;
\i sql/master_key.inc
CREATE ROLE regress_mt_trusted LOGIN;
CREATE ROLE regress_mt_app LOGIN;
SELECT multitenant.grant_access('regress_mt_trusted', 'trusted_application');
SELECT multitenant.create_tenant('enc-a', number => 9101, id => 'a0000000-0000-4000-8000-000000000001');
SELECT multitenant.create_tenant('enc-b', number => 9102, id => 'b0000000-0000-4000-8000-000000000002');
CREATE TABLE kept (name text PRIMARY KEY, value multitenant.encrypted, det multitenant.encrypted_det);
GRANT ALL ON kept TO PUBLIC;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

SET SESSION AUTHORIZATION regress_mt_trusted;
-- Without a tenant there is no key.
SELECT multitenant.encrypt('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.decrypt_text('\xe5010000000000000001000102030405060708090a0b000102030405060708090a0b0c0d0e0f'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.blind_index('x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.encrypt_deterministic('x'); \echo :LAST_ERROR_SQLSTATE

BEGIN;
SELECT multitenant.use_tenant('enc-a');
-- Round trips.
SELECT multitenant.decrypt_text(multitenant.encrypt('Grüße'));
SELECT multitenant.decrypt_bytea(multitenant.encrypt('\x00ff00'::bytea));
SELECT multitenant.decrypt_jsonb(multitenant.encrypt('{"a": [1, "ü"]}'::jsonb, 'json'));
SELECT multitenant.decrypt_text(multitenant.encrypt('')) = '' AS empty, length(multitenant.encrypt('')::bytea);
SELECT multitenant.encrypt(NULL::text) IS NULL AND multitenant.decrypt_text(NULL::multitenant.encrypted) IS NULL
	AND multitenant.blind_index(NULL) IS NULL AND multitenant.encrypt_deterministic(NULL::text) IS NULL AS nulls;
SELECT bool_and(multitenant.decrypt_text(multitenant.encrypt(repeat('x', n))) = repeat('x', n)) FROM generate_series(0, 70) n;
SELECT bool_and(multitenant.decrypt_text(multitenant.encrypt_deterministic(repeat('y', n), 'pii')) = repeat('y', n)) FROM generate_series(0, 70) n;
SELECT md5(multitenant.decrypt_text(multitenant.encrypt(repeat('long ', 1000000)))) = md5(repeat('long ', 1000000)) AS five_megabytes;
SELECT length(multitenant.encrypt('12345')::bytea) - 5 AS overhead, length(multitenant.encrypt_deterministic('12345')::bytea) - 5 AS overhead_det;

-- The same value is another ciphertext, unless it is deterministic.
SELECT count(DISTINCT multitenant.encrypt('same')::bytea) FROM generate_series(1, 1000);
SELECT count(DISTINCT multitenant.encrypt_deterministic('same', 'pii')) FROM generate_series(1, 1000);
SELECT multitenant.encrypt_deterministic('same', 'pii') = multitenant.encrypt_deterministic('same', 'pii') AS same,
	multitenant.encrypt_deterministic('same', 'pii') = multitenant.encrypt_deterministic('same', 'other') AS of_another_purpose,
	multitenant.encrypt_deterministic('same', 'pii', 'c') = multitenant.encrypt_deterministic('same', 'pii') AS of_another_context;
SELECT multitenant.encrypt('a') = multitenant.encrypt('a'); \echo :LAST_ERROR_SQLSTATE

ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('enc-a');
INSERT INTO kept VALUES
	('plain', multitenant.encrypt('of a'), multitenant.encrypt_deterministic('of a', 'pii')),
	('bound', multitenant.encrypt('of a', 'pii', 'row:1'), multitenant.encrypt_deterministic('of a', 'pii', 'row:1')),
	('bytes', multitenant.encrypt('\xff00'::bytea), NULL),
	('nul', multitenant.encrypt('{"a": "\u0000"}'), NULL);
COMMIT;

-- A context must be the same again; so must its being there at all.
BEGIN;
SELECT multitenant.use_tenant('enc-a');
SELECT name, multitenant.decrypt_text(value, CASE name WHEN 'bound' THEN 'row:1' END), multitenant.decrypt_text(det, CASE name WHEN 'bound' THEN 'row:1' END)
	FROM kept WHERE det IS NOT NULL ORDER BY name;
SAVEPOINT s;
SELECT multitenant.decrypt_text(value, 'row:2') FROM kept WHERE name = 'bound'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_text(value) FROM kept WHERE name = 'bound'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_text(value, '') FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_text(det, 'row:2') FROM kept WHERE name = 'bound'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_text(det) FROM kept WHERE name = 'bound'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.try_decrypt_text(value, 'row:2') IS NULL AS null_and_warned FROM kept WHERE name = 'bound';
-- What is no text, or no JSON, is not shown by the message that says so.
SELECT multitenant.decrypt_text(value) FROM kept WHERE name = 'bytes'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_jsonb(value) FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_jsonb(value) FROM kept WHERE name = 'nul'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_jsonb(value) FROM kept WHERE name = 'bytes'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_bytea(value) FROM kept WHERE name = 'bytes';
ROLLBACK;

-- Another tenant's value, an unknown key's and a changed one are the same error.
BEGIN;
SELECT multitenant.use_tenant('enc-b');
SAVEPOINT s;
SELECT multitenant.decrypt_text(value) FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.try_decrypt_text(value) FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_text(det) FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.is_current(value) FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.decrypt_text('\xe5010000000000000001000102030405060708090a0b000102030405060708090a0b0c0d0e0f'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Every flipped bit of a value is found.
BEGIN;
SELECT multitenant.use_tenant('enc-a');
CREATE FUNCTION pg_temp.outcome(value bytea, is_det boolean, context text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF is_det THEN
		PERFORM multitenant.decrypt_text(value::text::multitenant.encrypted_det, context);
	ELSE
		PERFORM multitenant.decrypt_text(value::text::multitenant.encrypted, context);
	END IF;
	RETURN 'decrypted';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
SET LOCAL bytea_output = hex;
SELECT k.name, is_det, pg_temp.outcome(set_bit(v.value, bit, 1 - get_bit(v.value, bit)), is_det, CASE k.name WHEN 'bound' THEN 'row:1' END) AS outcome, count(*) > 0 AS some
	FROM kept k, LATERAL (VALUES (false, value::bytea), (true, det::bytea)) v(is_det, value), generate_series(0, length(v.value) * 8 - 1) bit
	WHERE k.det IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- So is every shortened and every lengthened one.
SELECT pg_temp.outcome(substr(value::bytea, 1, n), false, NULL) AS outcome, min(n), max(n) FROM kept, generate_series(0, length(value::bytea) - 1) n
	WHERE name = 'plain' GROUP BY 1 ORDER BY 2;
SELECT pg_temp.outcome(value::bytea || '\x00', false, NULL) FROM kept WHERE name = 'plain';
ROLLBACK;

-- No plaintext becomes a value by itself.
INSERT INTO kept VALUES ('p', 'plaintext', NULL); \echo :LAST_ERROR_SQLSTATE
INSERT INTO kept VALUES ('p', '\xe5', NULL); \echo :LAST_ERROR_SQLSTATE
INSERT INTO kept SELECT 'p', det::text::multitenant.encrypted FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
INSERT INTO kept SELECT 'p', NULL, value::text::multitenant.encrypted_det FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
INSERT INTO kept VALUES ('p', 'text'::text, NULL); \echo :LAST_ERROR_SQLSTATE
INSERT INTO kept VALUES ('p', '\x6162'::bytea, NULL); \echo :LAST_ERROR_SQLSTATE

-- Blind indexes.
BEGIN;
SELECT multitenant.use_tenant('enc-a');
SELECT multitenant.blind_index('v', 'pii') AS of_a, length(multitenant.blind_index('v', 'pii', 256)) AS length_256,
	multitenant.blind_index('v', 'pii') = substr(multitenant.blind_index('v', 'pii', 256), 1, 16) AS is_prefix,
	get_bit(multitenant.blind_index('v', 'pii', 9), 8 + 0) = 0 AS rest_is_zero \gset
SELECT :'length_256' AS length_256, :'is_prefix' AS is_prefix, :'rest_is_zero' AS rest_is_zero;
SELECT multitenant.blind_index('v', 'pii') = :'of_a' AS same, multitenant.blind_index('w', 'pii') = :'of_a' AS of_another_value,
	multitenant.blind_index('v', 'other') = :'of_a' AS of_another_purpose;
SAVEPOINT s;
SELECT multitenant.blind_index('v', 'pii', 7); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.blind_index('v', 'pii', 257); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.blind_index('v', 'pii', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt('x', 'Pii'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt('x', ''); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt('x', repeat('p', 64)); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt('x', NULL); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.encrypt_deterministic(repeat('x', 1024 * 1024 + 1)); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT length(multitenant.encrypt('x', repeat('p', 63))::bytea);
COMMIT;
BEGIN;
SELECT multitenant.use_tenant('enc-b');
SELECT multitenant.blind_index('v', 'pii') = :'of_a' AS of_another_tenant;
ROLLBACK;

-- A key whose row was rolled back seals nothing any more; the next one is another.
BEGIN;
SELECT multitenant.use_tenant('enc-b');
SAVEPOINT s;
SELECT multitenant.key_id(multitenant.encrypt('x', 'rolled')) AS first \gset
ROLLBACK TO s;
SELECT multitenant.key_id(multitenant.encrypt('x', 'rolled')) AS second \gset
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('enc-b');
SELECT multitenant.key_id(multitenant.encrypt('x', 'rolled')) AS third \gset
COMMIT;
SELECT :first <> :second AND :second <> :third AND :first <> :third AS all_different;
BEGIN READ ONLY;
SELECT multitenant.use_tenant('enc-b');
SAVEPOINT s;
SELECT multitenant.key_id(multitenant.encrypt('x', 'rolled')) = :third AS still_the_same;
SELECT multitenant.encrypt('x', 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT multitenant.blind_index('x', 'new'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Who may not.
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT multitenant.system_context('test');
SELECT multitenant.encrypt('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.encrypt('x'); \echo :LAST_ERROR_SQLSTATE
SELECT wrapped FROM multitenant.kek; \echo :LAST_ERROR_SQLSTATE
SELECT wrapped FROM multitenant.cek; \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._make_key('a0000000-0000-4000-8000-000000000001', 'x', 'data'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_key('a0000000-0000-4000-8000-000000000001', 'x', 'data'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
-- Not even who reads everything sees a wrapped key, or guesses one from statistics.
GRANT pg_read_all_data TO regress_mt_app;
ANALYZE multitenant.kek, multitenant.cek;
SET SESSION AUTHORIZATION regress_mt_app;
SELECT count(*) FROM multitenant.kek;
SELECT count(*) FROM multitenant.cek;
SELECT count(*) FROM pg_stats WHERE schemaname = 'multitenant' AND attname IN ('wrapped', 'kcv');
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM pg_statistic WHERE starelid IN ('multitenant.kek'::regclass, 'multitenant.cek'::regclass)
	AND staattnum IN (SELECT attnum FROM pg_attribute WHERE attrelid = starelid AND attname IN ('wrapped', 'kcv'));

-- Keys made beforehand.
SELECT multitenant.create_key('a0000000-0000-4000-8000-000000000001', 'before') = multitenant.create_key('a0000000-0000-4000-8000-000000000001', 'before') AS one_key;
SELECT multitenant.create_key('a0000000-0000-4000-8000-000000000001', 'before', 'kek'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_key('a0000000-0000-4000-8000-000000000001', 'Before'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_key('c0000000-0000-4000-8000-000000000009', 'before'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.create_key(NULL, 'before'); \echo :LAST_ERROR_SQLSTATE
SELECT class, count(*) FROM multitenant.cek WHERE tenant_id = 'a0000000-0000-4000-8000-000000000001' AND purpose IN ('pii', 'before', 'default') GROUP BY 1 ORDER BY 1;

-- Wrapped keys are bound to what they are for: exchanged, changed or renamed they open nothing.
CREATE FUNCTION pg_temp.opens() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN multitenant.decrypt_text(value) FROM public.kept WHERE name = 'plain';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
SELECT multitenant.key_id(value) AS key FROM kept WHERE name = 'plain' \gset
CREATE PROCEDURE pg_temp.try(what text, change text) LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
BEGIN
	PERFORM multitenant.use_tenant('enc-a');
	BEGIN
		EXECUTE change;
		outcome := pg_temp.opens();
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
	END;
	RAISE NOTICE '%: %, and undone: %', what, outcome, pg_temp.opens();
END
$$;
CALL pg_temp.try('nothing', 'SELECT');
CALL pg_temp.try('another key''s bytes', format('UPDATE multitenant.cek SET wrapped = (SELECT wrapped FROM multitenant.cek WHERE purpose = ''before'') WHERE cek_id = %s', :key));
CALL pg_temp.try('purpose', format('UPDATE multitenant.cek SET purpose = ''stolen'' WHERE cek_id = %s', :key));
CALL pg_temp.try('class', format('UPDATE multitenant.cek SET class = ''blind_index'', purpose = ''c'' WHERE cek_id = %s', :key));
CALL pg_temp.try('version', format('UPDATE multitenant.cek SET version = 77 WHERE cek_id = %s', :key));
CALL pg_temp.try('time', format('UPDATE multitenant.cek SET created_at = created_at + interval ''1 microsecond'' WHERE cek_id = %s', :key));
CALL pg_temp.try('tenant', format('UPDATE multitenant.cek SET tenant_id = ''b0000000-0000-4000-8000-000000000002'', version = 78, purpose = ''q'' WHERE cek_id = %s', :key));
CALL pg_temp.try('tenant key''s version', 'UPDATE multitenant.kek SET version = 77 WHERE tenant_id = ''a0000000-0000-4000-8000-000000000001''');
CALL pg_temp.try('tenant key''s tenant', 'UPDATE multitenant.kek SET version = 77, state = ''suspended'', tenant_id = ''d0000000-0000-4000-8000-000000000009'' WHERE tenant_id = ''a0000000-0000-4000-8000-000000000001''');
CALL pg_temp.try('tenant key suspended', 'UPDATE multitenant.kek SET state = ''suspended'' WHERE tenant_id = ''a0000000-0000-4000-8000-000000000001''');
CALL pg_temp.try('tenant key destroyed', 'UPDATE multitenant.kek SET state = ''destroyed'', wrapped = NULL WHERE tenant_id = ''a0000000-0000-4000-8000-000000000001''');
CALL pg_temp.try('key retired', format('UPDATE multitenant.cek SET state = ''retired'' WHERE cek_id = %s', :key));
CALL pg_temp.try('key destroyed', format('UPDATE multitenant.cek SET state = ''destroyed'', wrapped = NULL WHERE cek_id = %s', :key));
CALL pg_temp.try('key used up', format('UPDATE multitenant.cek SET uses = 4294967296 WHERE cek_id = %s', :key));
-- It opens, and seals no more.
BEGIN;
UPDATE multitenant.cek SET uses = 4294967296 WHERE cek_id = :key;
SELECT multitenant.use_tenant('enc-a');
SELECT multitenant.decrypt_text(value) FROM kept WHERE name = 'plain';
SELECT multitenant.encrypt('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- Every bit of both wrapped keys.
DO $$
DECLARE
	bits int := 0;
	found int := 0;
	of_key bigint := (SELECT multitenant.key_id(value) FROM kept WHERE name = 'plain');
BEGIN
	PERFORM multitenant.use_tenant('enc-a');
	FOR b IN 0 .. 70 * 8 - 1 LOOP
		BEGIN
			UPDATE multitenant.cek SET wrapped = set_bit(wrapped, b, 1 - get_bit(wrapped, b)) WHERE cek_id = of_key;
			found := found + (pg_temp.opens() = 'MT020')::int;
			RAISE EXCEPTION 'undo';
		EXCEPTION WHEN raise_exception THEN
		END;
		BEGIN
			UPDATE multitenant.kek SET wrapped = set_bit(wrapped, b, 1 - get_bit(wrapped, b)) WHERE tenant_id = 'a0000000-0000-4000-8000-000000000001';
			found := found + (pg_temp.opens() = 'MT020')::int;
			RAISE EXCEPTION 'undo';
		EXCEPTION WHEN raise_exception THEN
		END;
		bits := bits + 2;
	END LOOP;
	RAISE NOTICE '% bits, % refused', bits, found;
END
$$;

-- A suspended tenant, and a server without the master key.
SELECT multitenant.suspend_tenant('a0000000-0000-4000-8000-000000000001', 'test');
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('enc-a');
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT multitenant.resume_tenant('a0000000-0000-4000-8000-000000000001');
\i sql/master_key_off.inc
\c -
SET SESSION AUTHORIZATION regress_mt_trusted;
BEGIN;
SELECT multitenant.use_tenant('enc-a');
SELECT multitenant.decrypt_text(value) FROM kept WHERE name = 'plain'; \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT multitenant.use_tenant('enc-a');
SELECT multitenant.encrypt('x'); \echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET SESSION AUTHORIZATION;
DROP TABLE kept;
DROP ROLE regress_mt_app;
SELECT multitenant.revoke_access('regress_mt_trusted');
DROP ROLE regress_mt_trusted;
DROP EXTENSION multitenant;
