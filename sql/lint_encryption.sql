/*
 * lint_encryption.sql
 *	  Findings about the keys of tenants: what will fail, what is left of a rotation.
 */

-- The uses of a key are counted to half of 2^32 before it is replaced by itself.
CREATE FUNCTION multitenant._lint_encryption(old interval) RETURNS SETOF multitenant._finding
LANGUAGE sql VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH k AS MATERIALIZED (SELECT * FROM multitenant._key_status()), m AS MATERIALIZED (SELECT * FROM multitenant.mek_status)
	SELECT 'key_near_limit', format('%s:%s', k.tenant_id, k.purpose), NULL::name, CASE WHEN k.percent_of_limit >= 90 THEN 'high' ELSE 'medium' END,
		format('The key of tenant %s for purpose "%s" has encrypted %s values, %s %% of what a key may, and was not replaced.', k.tenant_id, k.purpose,
			   k.uses, k.percent_of_limit),
		format('SELECT multitenant.rotate_cek(%L::uuid, %L)', k.tenant_id, k.purpose), jsonb_build_object('tenant', k.tenant_id, 'uses', k.uses)
	FROM k WHERE k.class = 'data' AND k.state = 'active' AND k.percent_of_limit >= 60
	UNION ALL
	SELECT 'older_master_key', o.mek_id, NULL, CASE WHEN EXISTS (SELECT FROM m WHERE m.id = o.mek_id) THEN 'low' ELSE 'high' END,
		format('%s tenants and %s signing keys still need master key %s%s.', o.tenant_keys, o.signing_keys, o.mek_id,
			   CASE WHEN EXISTS (SELECT FROM m WHERE m.id = o.mek_id) THEN '' ELSE ', which is not loaded' END),
		CASE WHEN EXISTS (SELECT FROM m WHERE m.id = o.mek_id) THEN 'CALL multitenant.rotate_mek()'
			ELSE '-- Load its version again (multitenant.key_versions), then CALL multitenant.rotate_mek().' END,
		jsonb_build_object('tenant_keys', o.tenant_keys, 'signing_keys', o.signing_keys)
	FROM multitenant._older_master_keys() o WHERE EXISTS (SELECT FROM m WHERE m.is_current AND m.id IS NOT NULL)
	UNION ALL
	SELECT 'tenant_keys_suspended', k.tenant_id::text, NULL, 'info',
		format('The keys of tenant %s are suspended since %s: %s', k.tenant_id, to_char(k.changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), coalesce(k.state_reason, 'no reason given')),
		format('SELECT multitenant.resume_tenant_keys(%L::uuid)', k.tenant_id), jsonb_build_object('tenant', k.tenant_id)
	FROM k WHERE k.class = 'tenant' AND k.state = 'suspended'
	UNION ALL
	SELECT 'retired_key_kept', format('%s:%s', k.purpose, k.class), NULL, 'low',
		format('%s keys for purpose "%s" were replaced more than %s ago and still decrypt.', count(*), k.purpose, old),
		CASE k.class WHEN 'data' THEN '-- CALL multitenant.reencrypt() for its columns, then multitenant.destroy_retired_keys() for each tenant.'
			ELSE '-- Fill the columns of this purpose anew, then call multitenant.destroy_retired_keys() for each tenant.' END,
		jsonb_build_object('keys', count(*))
	FROM k WHERE k.state = 'retired' AND k.changed_at < now() - old GROUP BY k.purpose, k.class
$$;
