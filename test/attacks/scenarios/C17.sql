-- A wrapper declared IMMUTABLE, folded into a plan that the next tenant uses
-- naive: leak
-- ours: filtered
-- setup
CREATE FUNCTION my_tenant() RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN {filter}; END $$;
-- setup naive
DROP POLICY tenant ON account;
CREATE POLICY tenant ON account USING (tenant_id = my_tenant());
-- attack
{enter beta}
SET plan_cache_mode = force_generic_plan;
PREPARE p AS SELECT secret FROM account WHERE tenant_id = my_tenant();
EXECUTE p \g /dev/null
COMMIT;
{enter acme}
EXECUTE p;
