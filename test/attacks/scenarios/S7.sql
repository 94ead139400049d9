-- Literals of other sessions' utility statements in pg_stat_statements
-- needs: pg_stat_statements
-- naive: leak
-- ours: lint raw_access_extension
-- setup
CREATE EXTENSION pg_stat_statements;
-- victim
-- not SET: from 18 on its literals are left out
DO $$ BEGIN PERFORM 'SECRET-BETA'; END $$;
-- attack
{enter acme}
SELECT query FROM pg_stat_statements;
