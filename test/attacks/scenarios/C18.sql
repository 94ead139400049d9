-- A prepared statement used by another tenant
-- naive: none, the setting is read at each execution
-- ours: filtered
-- attack
{enter beta}
SET plan_cache_mode = force_generic_plan;
PREPARE p AS SELECT secret FROM account;
EXECUTE p \g /dev/null
COMMIT;
{enter acme}
EXECUTE p;
