-- Settings that stay for the session's next tenant
-- naive: leak
-- leak: ^off$
-- ours: filtered
-- attack
{enter acme}
SET standard_conforming_strings = off;
SET search_path = pg_temp, public;
SET statement_timeout = '1h';
COMMIT;
{enter beta}
SHOW standard_conforming_strings;
