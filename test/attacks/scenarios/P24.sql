-- What PUBLIC may do by default: temporary tables, code in DO blocks
-- naive: leak
-- ours: lint app_role_temp_privilege
-- attack
CREATE TEMP TABLE t (x int);
DO 'BEGIN INSERT INTO t VALUES (1); RAISE NOTICE ''%'', upper(''leak''); END';
