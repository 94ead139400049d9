-- Extensions that read pages and row locks
-- needs: pgrowlocks
-- naive: leak
-- ours: lint raw_access_extension
-- setup
CREATE EXTENSION pgrowlocks;
-- victim
BEGIN;
{set beta}
SELECT count(*) FROM (SELECT FROM account WHERE id = 101 FOR UPDATE) l;
-- attack
{enter acme}
SELECT upper('leak') FROM pgrowlocks('account') WHERE 'For Update' = ANY (modes);
