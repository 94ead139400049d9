-- What the SQL side promises to those who call it, grant on it and dump it. A change here is a change of the interface.
BEGIN;
SELECT no_plan();

CREATE TEMP VIEW routine AS
	SELECT p.oid, p.proname::text, p.proname !~ '^_' AS is_public, l.lanname, p.prosecdef, p.proisstrict, p.proconfig, p.prosrc, p.prorettype,
		p.proleakproof, pg_get_function_arguments(p.oid) AS arguments, coalesce(pg_get_function_result(p.oid), '') AS result,
		CASE WHEN p.prokind = 'p' THEN 'procedure' WHEN p.provolatile = 'v' THEN 'volatile' WHEN p.provolatile = 's' THEN 'stable'
			ELSE 'immutable' END AS kind,
		CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
		CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END AS rights,
		p.oid::regprocedure::text AS signature, has_function_privilege('public', p.oid, 'EXECUTE') AS is_for_all
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'multitenant'::regnamespace;
CREATE TEMP VIEW relation AS
	SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.reloptions, c.relacl FROM pg_class c
	WHERE c.relnamespace = 'multitenant'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f');

-- ---- the public functions: arguments and defaults, result, volatility, parallel safety, rights ----

SELECT set_eq(
	$$ SELECT proname, arguments, result, kind, parallel, rights FROM routine WHERE is_public $$,
	$$ VALUES
	-- context
	('authenticate', 'credential text', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('use_tenant', 'tenant text', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('use_tenant', 'tenant uuid', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('use_tenant', 'tenant bigint', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('switch_tenant', 'tenant text', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('switch_tenant', 'tenant uuid', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('switch_tenant', 'tenant bigint', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('reset_tenant', '', 'void', 'volatile', 'unsafe', 'invoker'),
	('system_context', 'reason text', 'void', 'volatile', 'unsafe', 'invoker'),
	('current_tenant', '', 'uuid', 'stable', 'safe', 'invoker'),
	('current_tenant_or_null', '', 'uuid', 'stable', 'safe', 'invoker'),
	('current_tenant_number', '', 'bigint', 'stable', 'safe', 'invoker'),
	('current_tenant_int4', '', 'integer', 'stable', 'safe', 'invoker'),
	('current_tenant_slug', '', 'text', 'stable', 'safe', 'invoker'),
	('current_principal', '', 'text', 'stable', 'safe', 'invoker'),
	-- access and keys
	('grant_access', 'role name, profile text, tenant text DEFAULT NULL::text, reason text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, session_context boolean DEFAULT false, allow text[] DEFAULT NULL::text[]', 'void', 'volatile', 'unsafe', 'invoker'),
	('hardening', 'role name DEFAULT SESSION_USER', 'TABLE(name text, is_denied boolean, denies text, reason text, cost text)', 'stable', 'restricted', 'invoker'),
	('revoke_access', 'role name', 'void', 'volatile', 'unsafe', 'invoker'),
	('add_signing_key', 'kid text, algorithm text, public_key text DEFAULT NULL::text, secret_file text DEFAULT NULL::text, kinds text[] DEFAULT ''{tenant}''::text[], tenants text[] DEFAULT NULL::text[], roles name[] DEFAULT NULL::name[], max_lifetime interval DEFAULT ''00:05:00''::interval, not_before timestamp with time zone DEFAULT NULL::timestamp with time zone, not_after timestamp with time zone DEFAULT NULL::timestamp with time zone', 'void', 'volatile', 'unsafe', 'invoker'),
	('revoke_signing_key', 'kid text, reason text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'invoker'),
	('wrap_signing_secret', 'kid text', 'void', 'volatile', 'unsafe', 'invoker'),
	('reload_master_keys', '', 'void', 'volatile', 'unsafe', 'invoker'),
	('adopt_clone', 'rotate_keys boolean', 'void', 'volatile', 'unsafe', 'invoker'),
	-- tenants and members
	('create_tenant', 'slug text, name text DEFAULT NULL::text, number bigint DEFAULT NULL::bigint, id uuid DEFAULT NULL::uuid', 'uuid', 'volatile', 'unsafe', 'definer'),
	('alter_tenant', 'tenant uuid, name text', 'void', 'volatile', 'unsafe', 'definer'),
	('alter_tenant', 'tenant text, name text', 'void', 'volatile', 'unsafe', 'invoker'),
	('suspend_tenant', 'tenant uuid, reason text, terminate boolean DEFAULT false', 'void', 'volatile', 'unsafe', 'definer'),
	('suspend_tenant', 'tenant text, reason text, terminate boolean DEFAULT false', 'void', 'volatile', 'unsafe', 'invoker'),
	('resume_tenant', 'tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('resume_tenant', 'tenant text', 'void', 'volatile', 'unsafe', 'invoker'),
	('delete_tenant', 'tenant uuid, reason text DEFAULT NULL::text, grace interval DEFAULT ''30 days''::interval', 'void', 'volatile', 'unsafe', 'definer'),
	('delete_tenant', 'tenant text, reason text DEFAULT NULL::text, grace interval DEFAULT ''30 days''::interval', 'void', 'volatile', 'unsafe', 'invoker'),
	('undelete_tenant', 'tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('undelete_tenant', 'tenant text', 'void', 'volatile', 'unsafe', 'invoker'),
	('tenant_id', 'tenant text', 'uuid', 'stable', 'restricted', 'definer'),
	('tenant_id', 'number bigint', 'uuid', 'stable', 'restricted', 'definer'),
	('remove_member', 'tenant uuid, principal text', 'void', 'volatile', 'unsafe', 'definer'),
	('remove_member', 'tenant text, principal text', 'void', 'volatile', 'unsafe', 'invoker'),
	-- isolation
	('protect_schema', 'schema_name name, tenant_column name DEFAULT ''tenant_id''::name, dry_run boolean DEFAULT true', 'TABLE(table_name text, step integer, command text, lock_level text, in_transaction boolean, note text)', 'volatile', 'unsafe', 'invoker'),
	('plan', 'schema_name name, tenant_column name DEFAULT ''tenant_id''::name', 'TABLE(table_name text, step integer, command text, lock_level text, in_transaction boolean, note text)', 'stable', 'unsafe', 'invoker'),
	('unprotect', 'table_name regclass', 'void', 'volatile', 'unsafe', 'invoker'),
	('unprotect_all', '', 'void', 'volatile', 'unsafe', 'invoker'),
	('share', 'table_name regclass', 'void', 'volatile', 'unsafe', 'invoker'),
	('shared_rows', 'table_name regclass, tenant_column name DEFAULT ''tenant_id''::name', 'void', 'volatile', 'unsafe', 'invoker'),
	('exempt', 'table_name regclass, reason text', 'void', 'volatile', 'unsafe', 'invoker'),
	('add_tenant_column', 'IN table_name regclass, IN tenant_column name DEFAULT ''tenant_id''::name, IN through name DEFAULT NULL::name, IN batch_size integer DEFAULT 10000', '', 'procedure', 'unsafe', 'invoker'),
	('partition_by_tenant', 'table_name regclass, strategy text DEFAULT ''shared''::text, dry_run boolean DEFAULT false', 'TABLE(step integer, command text, lock_level text, in_transaction boolean, note text)', 'volatile', 'unsafe', 'invoker'),
	('set_partition_strategy', 'table_name regclass, strategy text', 'void', 'volatile', 'unsafe', 'invoker'),
	('isolate_tenant', 'IN tenant text, IN table_name regclass, IN batch_size integer DEFAULT 10000, IN patience interval DEFAULT ''00:00:30''::interval', '', 'procedure', 'unsafe', 'invoker'),
	('isolate_new_tenants', 'IN table_name regclass DEFAULT NULL::regclass, IN patience interval DEFAULT ''00:00:30''::interval', '', 'procedure', 'unsafe', 'invoker'),
	('pause_protection', 'table_name regclass, reason text, until timestamp with time zone', 'void', 'volatile', 'unsafe', 'invoker'),
	('repair', 'table_name regclass', 'TABLE(command text)', 'volatile', 'unsafe', 'invoker'),
	('set_new_tables', 'mode text, schemas text[] DEFAULT NULL::text[], tenant_column name DEFAULT ''tenant_id''::name', 'void', 'volatile', 'unsafe', 'invoker'),
	('pre_restore', '', 'void', 'volatile', 'unsafe', 'invoker'),
	('post_restore', '', 'TABLE(table_name text, finding text, hint text)', 'volatile', 'unsafe', 'invoker'),
	('explain_access', 'table_name regclass, key jsonb, command text DEFAULT ''select''::text, role name DEFAULT NULL::name, tenant text DEFAULT NULL::text', 'TABLE(step integer, layer text, verdict text, detail text)', 'volatile', 'unsafe', 'invoker'),
	('explain_access', 'table_name regclass, key text, command text DEFAULT ''select''::text, role name DEFAULT NULL::name, tenant text DEFAULT NULL::text', 'TABLE(step integer, layer text, verdict text, detail text)', 'volatile', 'unsafe', 'invoker'),
	('explain_access', 'table_name regclass, key bigint, command text DEFAULT ''select''::text, role name DEFAULT NULL::name, tenant text DEFAULT NULL::text', 'TABLE(step integer, layer text, verdict text, detail text)', 'volatile', 'unsafe', 'invoker'),
	('explain_access', 'table_name regclass, key uuid, command text DEFAULT ''select''::text, role name DEFAULT NULL::name, tenant text DEFAULT NULL::text', 'TABLE(step integer, layer text, verdict text, detail text)', 'volatile', 'unsafe', 'invoker'),
	('test_isolation', 'table_name regclass, tenants text[] DEFAULT NULL::text[], role name DEFAULT NULL::name, confirm name DEFAULT NULL::name', 'SETOF text', 'volatile', 'unsafe', 'invoker'),
	('observe', 'table_name regclass, tenant_column name DEFAULT ''tenant_id''::name', 'void', 'volatile', 'unsafe', 'invoker'),
	('observe_schema', 'schema_name name, tenant_column name DEFAULT ''tenant_id''::name', 'TABLE(table_name text, note text)', 'volatile', 'unsafe', 'invoker'),
	('adoption_report', '', 'TABLE(table_name text, mode text, statements bigint, role_name name, application_name text, without_context bigint, bypassing bigint, legacy bigint, foreign_rows_read bigint, foreign_rows_written bigint, rows_without_tenant bigint, unseen_scans bigint, first_seen timestamp with time zone, last_seen timestamp with time zone, first_statement text, hint text)', 'volatile', 'unsafe', 'invoker'),
	('forget_observations', 'table_name regclass DEFAULT NULL::regclass', 'void', 'volatile', 'unsafe', 'invoker'),
	-- rotating and suspending keys
	('destroy_retired_keys', 'tenant text, purpose text, class text DEFAULT ''data''::text, patience interval DEFAULT ''00:00:10''::interval', 'integer', 'volatile', 'unsafe', 'invoker'),
	('destroy_retired_keys', 'tenant uuid, purpose text, class text DEFAULT ''data''::text, patience interval DEFAULT ''00:00:10''::interval', 'integer', 'volatile', 'unsafe', 'definer'),
	('reencrypt', 'IN table_name regclass, IN column_name name, IN batch integer DEFAULT 1000, IN max_runtime interval DEFAULT NULL::interval, IN context text DEFAULT NULL::text, IN max_lag interval DEFAULT ''00:00:30''::interval', '', 'procedure', 'unsafe', 'invoker'),
	('resume_tenant_keys', 'tenant text', 'void', 'volatile', 'unsafe', 'invoker'),
	('resume_tenant_keys', 'tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('rotate_cek', 'tenant text, purpose text, class text DEFAULT ''data''::text', 'bigint', 'volatile', 'unsafe', 'invoker'),
	('rotate_cek', 'tenant uuid, purpose text, class text DEFAULT ''data''::text', 'bigint', 'volatile', 'unsafe', 'definer'),
	('rotate_kek', 'tenant text', 'bigint', 'volatile', 'unsafe', 'invoker'),
	('rotate_kek', 'tenant uuid', 'bigint', 'volatile', 'unsafe', 'definer'),
	('rotate_mek', 'IN batch integer DEFAULT 10000', '', 'procedure', 'unsafe', 'invoker'),
	('suspend_tenant_keys', 'tenant text, reason text', 'void', 'volatile', 'unsafe', 'invoker'),
	('suspend_tenant_keys', 'tenant uuid, reason text', 'void', 'volatile', 'unsafe', 'definer'),
	('verify_keys', 'OUT tenant_id uuid, OUT purpose text, OUT class text, OUT version integer, OUT problem text', 'SETOF record', 'volatile', 'unsafe', 'definer'),
	-- audit and status
	('audit', 'event text, detail jsonb DEFAULT ''{}''::jsonb', 'void', 'volatile', 'unsafe', 'invoker'),
	('status', '', 'TABLE(item text, value text, ok boolean, hint text)', 'stable', 'restricted', 'invoker'),
	-- findings
	('lint', 'schema_filter name DEFAULT NULL::name, minimum_level text DEFAULT NULL::text, with_accepted boolean DEFAULT true', 'TABLE(name text, title text, level text, facing text, categories text[], description text, detail text, remediation text, metadata jsonb, cache_key text)', 'stable', 'restricted', 'invoker'),
	('assert_isolated', 'level text DEFAULT ''high''::text, except_findings text[] DEFAULT ''{}''::text[]', 'void', 'stable', 'restricted', 'invoker'),
	('accept_finding', 'cache_key text, reason text, expires_at timestamp with time zone', 'void', 'volatile', 'unsafe', 'invoker'),
	('revoke_acceptance', 'cache_key text', 'void', 'volatile', 'unsafe', 'invoker'),
	-- encryption
	('blind_index', 'value text, purpose text DEFAULT ''default''::text, bits integer DEFAULT 128', 'bytea', 'stable', 'safe', 'invoker'),
	('confirm_backups_expired', 'tenant uuid, reason text', 'void', 'volatile', 'unsafe', 'definer'),
	('confirm_master_key_destroyed', 'master_key text, reason text', 'void', 'volatile', 'unsafe', 'invoker'),
	('confirm_share_destroyed', 'tenant uuid, reason text', 'void', 'volatile', 'unsafe', 'definer'),
	('create_key', 'tenant uuid, purpose text, class text DEFAULT ''data''::text', 'bigint', 'volatile', 'unsafe', 'definer'),
	('create_tenant_key', 'tenant uuid, share boolean DEFAULT false', 'bigint', 'volatile', 'unsafe', 'definer'),
	('decrypt_bytea', 'value multitenant.encrypted, context text DEFAULT NULL::text', 'bytea', 'stable', 'safe', 'invoker'),
	('decrypt_bytea', 'value multitenant.encrypted_det, context text DEFAULT NULL::text', 'bytea', 'stable', 'safe', 'invoker'),
	('decrypt_column', 'IN table_name regclass, IN column_name name, IN batch integer DEFAULT 5000', '', 'procedure', 'unsafe', 'invoker'),
	('decrypt_jsonb', 'value multitenant.encrypted, context text DEFAULT NULL::text', 'jsonb', 'stable', 'safe', 'invoker'),
	('decrypt_text', 'value multitenant.encrypted, context text DEFAULT NULL::text', 'text', 'stable', 'safe', 'invoker'),
	('decrypt_text', 'value multitenant.encrypted_det, context text DEFAULT NULL::text', 'text', 'stable', 'safe', 'invoker'),
	('drop_secret', 'name text', 'void', 'volatile', 'unsafe', 'definer'),
	('encrypt', 'value bytea, purpose text DEFAULT ''default''::text, context text DEFAULT NULL::text', 'multitenant.encrypted', 'volatile', 'safe', 'invoker'),
	('encrypt', 'value jsonb, purpose text DEFAULT ''default''::text, context text DEFAULT NULL::text', 'multitenant.encrypted', 'volatile', 'safe', 'invoker'),
	('encrypt', 'value text, purpose text DEFAULT ''default''::text, context text DEFAULT NULL::text', 'multitenant.encrypted', 'volatile', 'safe', 'invoker'),
	('encrypt_column', 'IN table_name regclass, IN column_name name, IN purpose text, IN context_columns name[] DEFAULT NULL::name[], IN blind_index name DEFAULT NULL::name, IN normalizer text DEFAULT NULL::text, IN batch integer DEFAULT 5000', '', 'procedure', 'unsafe', 'invoker'),
	('encrypt_deterministic', 'value bytea, purpose text DEFAULT ''default''::text, context text DEFAULT NULL::text', 'multitenant.encrypted_det', 'stable', 'safe', 'invoker'),
	('encrypt_deterministic', 'value text, purpose text DEFAULT ''default''::text, context text DEFAULT NULL::text', 'multitenant.encrypted_det', 'stable', 'safe', 'invoker'),
	('encrypted_det_cmp', 'multitenant.encrypted_det, multitenant.encrypted_det', 'integer', 'immutable', 'safe', 'invoker'),
	('encrypted_det_eq', 'multitenant.encrypted_det, multitenant.encrypted_det', 'boolean', 'immutable', 'safe', 'invoker'),
	('encrypted_det_ge', 'multitenant.encrypted_det, multitenant.encrypted_det', 'boolean', 'immutable', 'safe', 'invoker'),
	('encrypted_det_gt', 'multitenant.encrypted_det, multitenant.encrypted_det', 'boolean', 'immutable', 'safe', 'invoker'),
	('encrypted_det_hash', 'multitenant.encrypted_det', 'integer', 'immutable', 'safe', 'invoker'),
	('encrypted_det_in', 'cstring', 'multitenant.encrypted_det', 'immutable', 'safe', 'invoker'),
	('encrypted_det_le', 'multitenant.encrypted_det, multitenant.encrypted_det', 'boolean', 'immutable', 'safe', 'invoker'),
	('encrypted_det_lt', 'multitenant.encrypted_det, multitenant.encrypted_det', 'boolean', 'immutable', 'safe', 'invoker'),
	('encrypted_det_ne', 'multitenant.encrypted_det, multitenant.encrypted_det', 'boolean', 'immutable', 'safe', 'invoker'),
	('encrypted_det_out', 'multitenant.encrypted_det', 'cstring', 'immutable', 'safe', 'invoker'),
	('encrypted_det_recv', 'internal', 'multitenant.encrypted_det', 'immutable', 'safe', 'invoker'),
	('encrypted_det_send', 'multitenant.encrypted_det', 'bytea', 'immutable', 'safe', 'invoker'),
	('encrypted_in', 'cstring', 'multitenant.encrypted', 'immutable', 'safe', 'invoker'),
	('encrypted_out', 'multitenant.encrypted', 'cstring', 'immutable', 'safe', 'invoker'),
	('encrypted_recv', 'internal', 'multitenant.encrypted', 'immutable', 'safe', 'invoker'),
	('encrypted_send', 'multitenant.encrypted', 'bytea', 'immutable', 'safe', 'invoker'),
	('export_wrapped_keys', 'tenant uuid, transport_key text', 'jsonb', 'volatile', 'unsafe', 'invoker'),
	('get_secret', 'name text, version integer DEFAULT NULL::integer', 'text', 'stable', 'restricted', 'definer'),
	('import_wrapped_keys', 'bundle jsonb', 'integer', 'volatile', 'unsafe', 'invoker'),
	('is_current', 'value multitenant.encrypted', 'boolean', 'stable', 'safe', 'invoker'),
	('key_id', 'value multitenant.encrypted', 'bigint', 'immutable', 'safe', 'invoker'),
	('key_id', 'value multitenant.encrypted_det', 'bigint', 'immutable', 'safe', 'invoker'),
	('put_secret', 'name text, value text, description text DEFAULT NULL::text, keep integer DEFAULT 5', 'integer', 'volatile', 'unsafe', 'definer'),
	('repair_encryption', 'table_name regclass', 'void', 'volatile', 'unsafe', 'invoker'),
	('shred_tenant', 'tenant uuid, confirm text, dry_run boolean DEFAULT false', 'TABLE(what text, count bigint)', 'volatile', 'unsafe', 'definer'),
	('try_decrypt_bytea', 'value multitenant.encrypted, context text DEFAULT NULL::text', 'bytea', 'stable', 'safe', 'invoker'),
	('try_decrypt_jsonb', 'value multitenant.encrypted, context text DEFAULT NULL::text', 'jsonb', 'stable', 'safe', 'invoker'),
	('try_decrypt_text', 'value multitenant.encrypted, context text DEFAULT NULL::text', 'text', 'stable', 'safe', 'invoker'),
	('verify_shred_certificate', 'certificate uuid', 'text', 'volatile', 'unsafe', 'definer'),
	-- people and permissions
	('accept_invitation', 'tenant text', 'void', 'volatile', 'unsafe', 'definer'),
	('access_as_of', 'principal text, at timestamp with time zone', 'TABLE(permission text, scope_id text, via text)', 'stable', 'restricted', 'definer'),
	('across_tenants', 'query text, reason text', 'SETOF record', 'volatile', 'unsafe', 'invoker'),
	('add_group_to_group', '"group" text, subgroup text', 'void', 'volatile', 'unsafe', 'definer'),
	('add_member', 'principal text', 'void', 'volatile', 'unsafe', 'definer'),
	('add_member', 'tenant text, principal text, role text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'invoker'),
	('add_member', 'tenant uuid, principal text, role text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('add_to_group', '"group" text, member text', 'void', 'volatile', 'unsafe', 'definer'),
	('alter_principal', 'principal text, name text', 'void', 'volatile', 'unsafe', 'definer'),
	('alter_role', 'role text, name text DEFAULT NULL::text, description text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('alter_role_template', 'template text, name text DEFAULT NULL::text, description text DEFAULT NULL::text, permissions text[] DEFAULT NULL::text[], inherits text[] DEFAULT NULL::text[]', 'void', 'volatile', 'unsafe', 'definer'),
	('approve_access', 'request uuid, duration interval DEFAULT NULL::interval', 'void', 'volatile', 'unsafe', 'definer'),
	('approve_break_glass', 'id uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('assign_operator', 'master uuid, principal text, tenant text, role text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone', 'void', 'volatile', 'unsafe', 'invoker'),
	('assign_operator', 'master uuid, principal text, tenant uuid, role text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone', 'void', 'volatile', 'unsafe', 'definer'),
	('assign_role', 'principal text, role text, scope text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, reason text DEFAULT NULL::text', 'uuid', 'volatile', 'unsafe', 'definer'),
	('assign_role_to_group', 'group_name text, role text, scope text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, reason text DEFAULT NULL::text', 'uuid', 'volatile', 'unsafe', 'definer'),
	('assign_system_role', 'principal text, role text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone', 'uuid', 'volatile', 'unsafe', 'definer'),
	('begin_supervised', 'tenant text, reason text, duration interval DEFAULT NULL::interval', 'uuid', 'volatile', 'unsafe', 'definer'),
	('begin_supervised', 'tenant uuid, reason text, duration interval DEFAULT NULL::interval', 'uuid', 'volatile', 'unsafe', 'definer'),
	('close_break_glass', 'id uuid DEFAULT NULL::uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('create_group', 'name text, description text DEFAULT NULL::text', 'text', 'volatile', 'unsafe', 'definer'),
	('create_master_account', 'name text', 'uuid', 'volatile', 'unsafe', 'definer'),
	('create_permission', 'name text, description text', 'void', 'volatile', 'unsafe', 'definer'),
	('create_principal', 'id text, name text DEFAULT NULL::text, kind text DEFAULT ''person''::text', 'text', 'volatile', 'unsafe', 'definer'),
	('create_role', 'name text, description text DEFAULT NULL::text, permissions text[] DEFAULT ''{}''::text[], inherits text[] DEFAULT ''{}''::text[]', 'uuid', 'volatile', 'unsafe', 'definer'),
	('create_role_template', 'name text, description text DEFAULT NULL::text, permissions text[] DEFAULT ''{}''::text[], inherits text[] DEFAULT ''{}''::text[]', 'uuid', 'volatile', 'unsafe', 'definer'),
	('create_scope', 'id text, parent text DEFAULT NULL::text, kind text DEFAULT NULL::text, name text DEFAULT NULL::text', 'text', 'volatile', 'unsafe', 'definer'),
	('decline_invitation', 'tenant text', 'void', 'volatile', 'unsafe', 'definer'),
	('deny_access', 'request uuid, note text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('deny_break_glass', 'id uuid, note text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('disable_principal', 'principal text, reason text', 'void', 'volatile', 'unsafe', 'definer'),
	('disinherit_role', 'role text, parent text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_break_glass', '', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_exclusion', 'role text, other text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_group', 'name text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_permission', 'name text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_purpose_rule', 'purpose text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_purpose_rule_for_all', 'purpose text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_role', 'role text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_role_template', 'template text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_scope', 'id text', 'void', 'volatile', 'unsafe', 'definer'),
	('drop_template_exclusion', 'template text, other text', 'void', 'volatile', 'unsafe', 'definer'),
	('enable_principal', 'principal text', 'void', 'volatile', 'unsafe', 'definer'),
	('end_supervised', 'tenant text', 'void', 'volatile', 'unsafe', 'definer'),
	('end_supervised', 'tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('exclude_role_templates', 'template text, other text', 'void', 'volatile', 'unsafe', 'definer'),
	('exclude_roles', 'role text, other text', 'void', 'volatile', 'unsafe', 'definer'),
	('explain_permission', 'permission text, scope text DEFAULT NULL::text, principal text DEFAULT NULL::text', 'TABLE(is_granted boolean, path text, scope_id text, expires_at timestamp with time zone, reason text)', 'stable', 'restricted', 'definer'),
	('grant_permission', 'role text, permission text', 'void', 'volatile', 'unsafe', 'definer'),
	('has_permission', 'permission text, scope text DEFAULT NULL::text', 'boolean', 'stable', 'safe', 'invoker'),
	('has_permission_anywhere', 'permission text', 'boolean', 'stable', 'safe', 'invoker'),
	('has_permission_of', 'principal text, permission text, scope text DEFAULT NULL::text', 'boolean', 'stable', 'safe', 'invoker'),
	('has_system_permission', 'permission text', 'boolean', 'stable', 'safe', 'invoker'),
	('in_scope', 'scope bigint, permission text', 'boolean', 'stable', 'safe', 'invoker'),
	('in_scope', 'scope integer, permission text', 'boolean', 'stable', 'safe', 'invoker'),
	('in_scope', 'scope text, permission text', 'boolean', 'stable', 'safe', 'invoker'),
	('in_scope', 'scope uuid, permission text', 'boolean', 'stable', 'safe', 'invoker'),
	('inherit_role', 'role text, parent text', 'void', 'volatile', 'unsafe', 'definer'),
	('invite_member', 'principal text, expires_at timestamp with time zone DEFAULT (now() + ''7 days''::interval)', 'void', 'volatile', 'unsafe', 'definer'),
	('leave_tenant', '', 'void', 'volatile', 'unsafe', 'definer'),
	('link_tenant', 'master uuid, tenant text', 'void', 'volatile', 'unsafe', 'invoker'),
	('link_tenant', 'master uuid, tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('list_accessible', 'permission text', 'TABLE(scope_id text, kind text, name text)', 'stable', 'safe', 'definer'),
	('move_scope', 'id text, parent text', 'void', 'volatile', 'unsafe', 'definer'),
	('open_break_glass', 'reason text, duration interval DEFAULT NULL::interval', 'uuid', 'volatile', 'unsafe', 'definer'),
	('protect', 'table_name regclass, tenant_column name DEFAULT ''tenant_id''::name, dry_run boolean DEFAULT false, permissions text DEFAULT NULL::text, scope_column name DEFAULT NULL::name', 'TABLE(step integer, command text, lock_level text, in_transaction boolean, note text)', 'volatile', 'unsafe', 'invoker'),
	('remove_from_group', '"group" text, member text', 'void', 'volatile', 'unsafe', 'definer'),
	('remove_group_from_group', '"group" text, subgroup text', 'void', 'volatile', 'unsafe', 'definer'),
	('remove_member', 'principal text', 'void', 'volatile', 'unsafe', 'definer'),
	('request_access', 'tenant text, reason text, duration interval', 'uuid', 'volatile', 'unsafe', 'definer'),
	('request_access', 'tenant uuid, reason text, duration interval', 'uuid', 'volatile', 'unsafe', 'definer'),
	('require_permission', 'permission text, scope text DEFAULT NULL::text', 'void', 'stable', 'safe', 'invoker'),
	('resume_member', 'principal text', 'void', 'volatile', 'unsafe', 'definer'),
	('review_access', 'expiring interval DEFAULT ''30 days''::interval', 'TABLE(principal text, kind text, member_state text, role text, scope_id text, via_group text, assigned_by text, reason text, since timestamp with time zone, expires_at timestamp with time zone, is_expired boolean, is_expiring boolean, last_used date, excluded_with text[])', 'stable', 'restricted', 'definer'),
	('review_break_glass', 'id uuid, finding text', 'void', 'volatile', 'unsafe', 'definer'),
	('review_tenant_access', 'tenant text, expiring interval DEFAULT ''30 days''::interval, unused interval DEFAULT ''90 days''::interval', 'TABLE(template text, is_own boolean, members bigint, groups bigint, scoped bigint, without_end bigint, is_expiring bigint, unused_members bigint)', 'stable', 'restricted', 'invoker'),
	('review_tenant_access', 'tenant uuid, expiring interval DEFAULT ''30 days''::interval, unused interval DEFAULT ''90 days''::interval', 'TABLE(template text, is_own boolean, members bigint, groups bigint, scoped bigint, without_end bigint, is_expiring bigint, unused_members bigint)', 'stable', 'restricted', 'definer'),
	('revoke_approval', 'request uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('revoke_permission', 'role text, permission text', 'void', 'volatile', 'unsafe', 'definer'),
	('set_break_glass', 'role text, maximum interval DEFAULT ''01:00:00''::interval, needs_approval boolean DEFAULT true', 'void', 'volatile', 'unsafe', 'definer'),
	('set_membership_mode', 'mode text', 'void', 'volatile', 'unsafe', 'invoker'),
	('set_permissions', 'table_name regclass, permissions text, scope_column name DEFAULT NULL::name', 'void', 'volatile', 'unsafe', 'invoker'),
	('set_purpose_rule', 'purpose text, decrypt_permission text DEFAULT ''secret:decrypt''::text, encrypt_permission text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('set_purpose_rule_for_all', 'purpose text, decrypt_permission text DEFAULT ''secret:decrypt''::text, encrypt_permission text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('set_visibility', 'tenant text, visibility text', 'void', 'volatile', 'unsafe', 'invoker'),
	('set_visibility', 'tenant uuid, visibility text', 'void', 'volatile', 'unsafe', 'definer'),
	('set_visibility', 'visibility text', 'void', 'volatile', 'unsafe', 'definer'),
	('suspend_member', 'principal text, reason text', 'void', 'volatile', 'unsafe', 'definer'),
	('unassign_operator', 'principal text, tenant text', 'void', 'volatile', 'unsafe', 'invoker'),
	('unassign_operator', 'principal text, tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('unassign_role', 'principal text, role text, scope text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('unassign_role_from_group', 'group_name text, role text, scope text DEFAULT NULL::text', 'void', 'volatile', 'unsafe', 'definer'),
	('unassign_system_role', 'principal text, role text', 'void', 'volatile', 'unsafe', 'definer'),
	('unlink_tenant', 'master uuid, tenant text', 'void', 'volatile', 'unsafe', 'invoker'),
	('unlink_tenant', 'master uuid, tenant uuid', 'void', 'volatile', 'unsafe', 'definer'),
	('use_tenant', 'tenant bigint, principal text', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('use_tenant', 'tenant text, principal text', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('use_tenant', 'tenant uuid, principal text', 'uuid', 'volatile', 'unsafe', 'invoker'),
	('withdraw_invitation', 'principal text', 'void', 'volatile', 'unsafe', 'definer'),
	('withdraw_request', 'id uuid', 'void', 'volatile', 'unsafe', 'definer') $$,
	'the public functions are these, with these arguments, results and properties');

SELECT set_eq(
	$$ SELECT v.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) FROM relation v JOIN pg_attribute a ON a.attrelid = v.oid
		WHERE v.relkind = 'v' AND v.relname NOT IN ('tables', 'isolations') AND a.attnum > 0 $$,
	$$ VALUES ('context', 'state', 'text'), ('context', 'tenant_id', 'uuid'), ('context', 'tenant_number', 'bigint'), ('context', 'tenant_slug', 'text'),
		('context', 'principal', 'text'), ('context', 'kind', 'text'), ('context', 'scope', 'text'), ('context', 'expires_at', 'timestamp with time zone'),
		('context', 'source', 'text'),
		('tenants', 'id', 'uuid'), ('tenants', 'number', 'bigint'), ('tenants', 'slug', 'text'), ('tenants', 'name', 'text'), ('tenants', 'state', 'text'),
		('tenants', 'state_reason', 'text'), ('tenants', 'state_changed_at', 'timestamp with time zone'), ('tenants', 'purge_after', 'timestamp with time zone'),
		('tenants', 'created_at', 'timestamp with time zone'),
		('audit_log', 'id', 'uuid'), ('audit_log', 'at', 'timestamp with time zone'), ('audit_log', 'event', 'text'), ('audit_log', 'source', 'text'),
		('audit_log', 'outcome', 'text'), ('audit_log', 'tenant_id', 'uuid'), ('audit_log', 'principal', 'text'), ('audit_log', 'session_role', 'name'),
		('audit_log', 'object', 'text'), ('audit_log', 'detail', 'jsonb'),
		('mek_status', 'version', 'integer'), ('mek_status', 'id', 'text'), ('mek_status', 'is_current', 'boolean'),
		('mek_status', 'loaded_at', 'timestamp with time zone'), ('mek_status', 'provider', 'text'), ('mek_status', 'state', 'text'),
		('mek_status', 'error', 'text'), ('mek_status', 'next_try', 'timestamp with time zone'),
		('key_cache', 'entries', 'bigint'), ('key_cache', 'ready', 'bigint'), ('key_cache', 'hits', 'bigint'), ('key_cache', 'misses', 'bigint'), ('key_cache', 'evictions', 'bigint'), ('key_cache', 'uncounted_uses', 'bigint'),
		('key_status', 'tenant_id', 'uuid'), ('key_status', 'purpose', 'text'), ('key_status', 'class', 'text'), ('key_status', 'version', 'integer'), ('key_status', 'state', 'text'), ('key_status', 'state_reason', 'text'), ('key_status', 'key_id', 'bigint'), ('key_status', 'wrapped_with', 'text'), ('key_status', 'uses', 'bigint'), ('key_status', 'percent_of_limit', 'numeric'), ('key_status', 'created_at', 'timestamp with time zone'), ('key_status', 'changed_at', 'timestamp with time zone'), ('key_status', 'rotate_by', 'timestamp with time zone'),
		('reencrypt_progress', 'table_name', 'text'), ('reencrypt_progress', 'column_name', 'name'), ('reencrypt_progress', 'tenant_id', 'uuid'), ('reencrypt_progress', 'purpose', 'text'), ('reencrypt_progress', 'rows_done', 'bigint'), ('reencrypt_progress', 'state', 'text'), ('reencrypt_progress', 'error', 'text'), ('reencrypt_progress', 'started_at', 'timestamp with time zone'), ('reencrypt_progress', 'updated_at', 'timestamp with time zone'),
		('encrypted_columns', 'blind_index', 'text'), ('encrypted_columns', 'column_name', 'text'), ('encrypted_columns', 'context', 'text'), ('encrypted_columns', 'context_columns', 'text[]'), ('encrypted_columns', 'normalizer', 'text'), ('encrypted_columns', 'purpose', 'text'), ('encrypted_columns', 'schema_name', 'name'), ('encrypted_columns', 'state', 'text'), ('encrypted_columns', 'table_name', 'name'), ('encrypted_columns', 'view_name', 'name'),
		('encryption_progress', 'column_name', 'name'), ('encryption_progress', 'direction', 'text'), ('encryption_progress', 'finished_at', 'timestamp with time zone'), ('encryption_progress', 'rows_done', 'bigint'), ('encryption_progress', 'rows_estimated', 'bigint'), ('encryption_progress', 'schema_name', 'name'), ('encryption_progress', 'started_at', 'timestamp with time zone'), ('encryption_progress', 'table_name', 'name'), ('encryption_progress', 'tenants_done', 'bigint'), ('encryption_progress', 'tenants_total', 'bigint'), ('encryption_progress', 'updated_at', 'timestamp with time zone'),
		('secrets', 'changed_at', 'timestamp with time zone'), ('secrets', 'changed_by', 'name'), ('secrets', 'description', 'text'), ('secrets', 'name', 'text'), ('secrets', 'oldest_at', 'timestamp with time zone'), ('secrets', 'version', 'integer'), ('secrets', 'versions_kept', 'bigint'),
		('shred_certificates', 'content', 'jsonb'), ('shred_certificates', 'id', 'uuid'), ('shred_certificates', 'signature', 'bytea'), ('shred_certificates', 'signed_text', 'text'), ('shred_certificates', 'signed_with', 'text'), ('shred_certificates', 'signer', 'bytea'), ('shred_certificates', 'tenant_id', 'uuid'),
		('shred_status', 'certificate', 'uuid'), ('shred_status', 'is_final', 'boolean'), ('shred_status', 'master_keys', 'text[]'), ('shred_status', 'pending', 'text[]'), ('shred_status', 'shredded_at', 'timestamp with time zone'), ('shred_status', 'slug', 'text'), ('shred_status', 'tenant_id', 'uuid'),
		('access_requests', 'id', 'uuid'), ('access_requests', 'tenant_id', 'uuid'), ('access_requests', 'tenant', 'text'),
		('access_requests', 'principal', 'text'), ('access_requests', 'state', 'text'), ('access_requests', 'reason', 'text'),
		('access_requests', 'duration', 'interval'), ('access_requests', 'requested_at', 'timestamp with time zone'),
		('access_requests', 'ends_at', 'timestamp with time zone'), ('access_requests', 'decided_at', 'timestamp with time zone'),
		('access_requests', 'note', 'text'), ('access_requests', 'decided_by', 'text'), ('assignments', 'id', 'uuid'),
		('assignments', 'principal', 'text'), ('assignments', 'group_name', 'text'), ('assignments', 'role', 'text'), ('assignments', 'role_id', 'uuid'),
		('assignments', 'scope_id', 'text'), ('assignments', 'expires_at', 'timestamp with time zone'), ('assignments', 'is_expired', 'boolean'),
		('assignments', 'assigned_by', 'text'), ('assignments', 'reason', 'text'), ('assignments', 'since', 'timestamp with time zone'),
		('audit_metadata', 'tenant_id', 'uuid'), ('audit_metadata', 'event_class', 'text'), ('audit_metadata', 'hour', 'timestamp with time zone'),
		('audit_metadata', 'events', 'bigint'), ('break_glass_reviews', 'id', 'uuid'), ('break_glass_reviews', 'principal', 'text'),
		('break_glass_reviews', 'role', 'text'), ('break_glass_reviews', 'reason', 'text'), ('break_glass_reviews', 'state', 'text'),
		('break_glass_reviews', 'opened_at', 'timestamp with time zone'), ('break_glass_reviews', 'duration', 'interval'),
		('break_glass_reviews', 'holds_from', 'timestamp with time zone'), ('break_glass_reviews', 'ends_at', 'timestamp with time zone'),
		('break_glass_reviews', 'closed_at', 'timestamp with time zone'), ('break_glass_reviews', 'closed_by', 'text'),
		('break_glass_reviews', 'approved_by', 'text'), ('break_glass_reviews', 'note', 'text'), ('break_glass_reviews', 'reviewed_by', 'text'),
		('break_glass_reviews', 'reviewed_at', 'timestamp with time zone'), ('break_glass_reviews', 'review', 'text'),
		('group_members', 'group_name', 'text'), ('group_members', 'member', 'text'), ('group_members', 'is_group', 'boolean'), ('groups', 'name', 'text'),
		('groups', 'description', 'text'),
		('members', 'principal', 'text'), ('members', 'state', 'text'), ('members', 'added_at', 'timestamp with time zone'),
		('members', 'invited_by', 'text'), ('members', 'expires_at', 'timestamp with time zone'), ('memberships', 'id', 'uuid'),
		('memberships', 'slug', 'text'), ('memberships', 'name', 'text'), ('memberships', 'state', 'text'),
		('memberships', 'added_at', 'timestamp with time zone'), ('operators', 'tenant_id', 'uuid'), ('operators', 'tenant', 'text'),
		('operators', 'master', 'text'), ('operators', 'principal', 'text'), ('operators', 'role', 'text'),
		('operators', 'expires_at', 'timestamp with time zone'), ('operators', 'since', 'timestamp with time zone'),
		('operators', 'is_current', 'boolean'), ('permissions', 'name', 'text'), ('permissions', 'description', 'text'),
		('permissions', 'is_builtin', 'boolean'), ('purpose_rules', 'purpose', 'text'), ('purpose_rules', 'decrypt_permission', 'text'),
		('purpose_rules', 'encrypt_permission', 'text'), ('purpose_rules', 'has_own_rule', 'boolean'), ('purpose_rules', 'has_rule_of_all', 'boolean'),
		('role_exclusions', 'role', 'text'), ('role_exclusions', 'other', 'text'), ('role_exclusions', 'is_everywhere', 'boolean'),
		('role_exclusions', 'since', 'timestamp with time zone'), ('role_permissions', 'role_id', 'uuid'), ('role_permissions', 'role', 'text'),
		('role_permissions', 'permission', 'text'), ('role_permissions', 'inherited_from', 'text'), ('roles', 'id', 'uuid'), ('roles', 'name', 'text'),
		('roles', 'description', 'text'), ('roles', 'is_template', 'boolean'), ('roles', 'is_builtin', 'boolean'),
		('roles', 'since', 'timestamp with time zone'), ('scopes', 'id', 'text'), ('scopes', 'parent_id', 'text'), ('scopes', 'kind', 'text'),
		('scopes', 'name', 'text'), ('scopes', 'since', 'timestamp with time zone'), ('supervisions', 'id', 'uuid'), ('supervisions', 'tenant_id', 'uuid'),
		('supervisions', 'tenant', 'text'), ('supervisions', 'principal', 'text'), ('supervisions', 'reason', 'text'),
		('supervisions', 'began_at', 'timestamp with time zone'), ('supervisions', 'ends_at', 'timestamp with time zone'),
		('supervisions', 'ended_at', 'timestamp with time zone'), ('supervisions', 'is_open', 'boolean'),
		('tenant_overview', 'tenant_id', 'uuid'), ('tenant_overview', 'tenant', 'text'), ('tenant_overview', 'name', 'text'),
		('tenant_overview', 'state', 'text'), ('tenant_overview', 'since', 'timestamp with time zone'), ('tenant_overview', 'visibility', 'text'),
		('tenant_overview', 'members', 'bigint'), ('tenant_overview', 'pending_requests', 'bigint'), ('tenant_overview', 'open_supervisions', 'bigint'),
		('tenant_overview', 'keys', 'text'), ('tenant_overview', 'events_of_a_day', 'bigint')
		$$,
	'the public views have these columns');
SELECT columns_are('multitenant', 'tables',
	'{table_name,class,tenant_column,column_type,mode,is_intact,finding,permissions,scope_column}'::name[], 'the view of tables has these columns');
SELECT columns_are('multitenant', 'isolations',
	'{table_name,tenant_id,partition_name,phase,rows_copied,rows_expected,blocks_read,blocks_expected,started_at,updated_at}'::name[],
	'the view of moves has these columns');

SELECT is_empty($$ SELECT signature FROM routine WHERE is_public AND NOT is_for_all $$, 'everybody may call the public functions: they check profiles');
SELECT is_empty($$ SELECT signature FROM routine WHERE is_public AND coalesce(obj_description(oid, 'pg_proc'), '') = '' $$,
	'every public function has a comment');
SELECT is_empty($$ SELECT signature FROM routine WHERE is_public AND obj_description(oid, 'pg_proc') !~ '[.]$' $$, 'and the comment is a sentence');
SELECT is_empty($$ SELECT relname FROM relation WHERE relkind IN ('r', 'v') AND coalesce(obj_description(oid, 'pg_class'), '') = '' $$,
	'every table and view has a comment');

-- ---- what runs with the rights of the extension's owner ----

SELECT set_eq($$ SELECT signature FROM routine WHERE prosecdef $$,
	$$ VALUES
	-- each begins with multitenant._require()
	('multitenant.tenant_id(text)'), ('multitenant.tenant_id(bigint)'), ('multitenant.create_tenant(text,text,bigint,uuid)'),
	('multitenant.alter_tenant(uuid,text)'), ('multitenant.suspend_tenant(uuid,text,boolean)'), ('multitenant.resume_tenant(uuid)'),
	('multitenant.delete_tenant(uuid,text,interval)'), ('multitenant.undelete_tenant(uuid)'),
	('multitenant.remove_member(uuid,text)'),
	('multitenant._access_profiles()'), ('multitenant._accepted_findings()'),
	-- say only whether this database was copied, and how many findings are accepted
	('multitenant._is_copy()'), ('multitenant._accepted_finding_count()'),
	-- says only what happens to new tables
	('multitenant._new_tables()'),
	-- asks for the capability first
	('multitenant._mek_status()'),
	('multitenant._key_status()'), ('multitenant._note_reencryption(text,name,uuid,text,jsonb,bigint,text,text)'),
	('multitenant._older_master_keys()'), ('multitenant._reencrypt_progress()'), ('multitenant._replica_lag()'),
	('multitenant._retired_keys(text)'), ('multitenant.destroy_retired_keys(uuid,text,text,interval)'),
	('multitenant.resume_tenant_keys(uuid)'), ('multitenant.rotate_cek(uuid,text,text)'), ('multitenant.rotate_kek(uuid)'),
	('multitenant.suspend_tenant_keys(uuid,text)'), ('multitenant.verify_keys()'),
		('multitenant._note_encryption(regclass,name,text,bigint,bigint,bigint,bigint,boolean)'),
		('multitenant._shred_certificates()'),
		('multitenant._shred_status()'),
		('multitenant.confirm_backups_expired(uuid,text)'),
		('multitenant.confirm_share_destroyed(uuid,text)'),
		('multitenant.create_key(uuid,text,text)'),
		('multitenant.create_tenant_key(uuid,boolean)'),
		('multitenant.drop_secret(text)'),
		('multitenant.get_secret(text,integer)'),
		('multitenant.put_secret(text,text,text,integer)'),
		('multitenant.shred_tenant(uuid,text,boolean)'),
		('multitenant.verify_shred_certificate(uuid)'),
		('multitenant._make_column_keys(uuid,text,boolean)'),
		('multitenant._audit_metadata()'), ('multitenant._lint_break_glass()'), ('multitenant._lint_operators()'), ('multitenant._lint_orphans()'),
		('multitenant._lint_rights()'), ('multitenant._require_permission(text,text)'),
		('multitenant._tenant_of_record()'), ('multitenant._tenant_overview()'), ('multitenant._tenant_permitting(text)'),
		('multitenant._visible_tenants()'), ('multitenant.accept_invitation(text)'), ('multitenant.access_as_of(text,timestamp with time zone)'),
		('multitenant.add_group_to_group(text,text)'), ('multitenant.add_member(text)'), ('multitenant.add_member(uuid,text,text)'),
		('multitenant.add_to_group(text,text)'), ('multitenant.alter_principal(text,text)'), ('multitenant.alter_role(text,text,text)'),
		('multitenant.alter_role_template(text,text,text,text[],text[])'), ('multitenant.approve_access(uuid,interval)'),
		('multitenant.approve_break_glass(uuid)'), ('multitenant.assign_operator(uuid,text,uuid,text,timestamp with time zone)'),
		('multitenant.assign_role(text,text,text,timestamp with time zone,text)'),
		('multitenant.assign_role_to_group(text,text,text,timestamp with time zone,text)'),
		('multitenant.assign_system_role(text,text,timestamp with time zone)'), ('multitenant.begin_supervised(text,text,interval)'),
		('multitenant.begin_supervised(uuid,text,interval)'), ('multitenant.close_break_glass(uuid)'), ('multitenant.create_group(text,text)'),
		('multitenant.create_master_account(text)'), ('multitenant.create_permission(text,text)'), ('multitenant.create_principal(text,text,text)'),
		('multitenant.create_role(text,text,text[],text[])'), ('multitenant.create_role_template(text,text,text[],text[])'),
		('multitenant.create_scope(text,text,text,text)'), ('multitenant.decline_invitation(text)'), ('multitenant.deny_access(uuid,text)'),
		('multitenant.deny_break_glass(uuid,text)'), ('multitenant.disable_principal(text,text)'), ('multitenant.disinherit_role(text,text)'),
		('multitenant.drop_break_glass()'), ('multitenant.drop_exclusion(text,text)'), ('multitenant.drop_group(text)'),
		('multitenant.drop_permission(text)'), ('multitenant.drop_purpose_rule(text)'), ('multitenant.drop_purpose_rule_for_all(text)'),
		('multitenant.drop_role(text)'), ('multitenant.drop_role_template(text)'), ('multitenant.drop_scope(text)'),
		('multitenant.drop_template_exclusion(text,text)'), ('multitenant.enable_principal(text)'), ('multitenant.end_supervised(text)'),
		('multitenant.end_supervised(uuid)'), ('multitenant.exclude_role_templates(text,text)'), ('multitenant.exclude_roles(text,text)'),
		('multitenant.explain_permission(text,text,text)'), ('multitenant.grant_permission(text,text)'), ('multitenant.inherit_role(text,text)'),
		('multitenant.invite_member(text,timestamp with time zone)'), ('multitenant.leave_tenant()'), ('multitenant.link_tenant(uuid,uuid)'),
		('multitenant.list_accessible(text)'), ('multitenant.move_scope(text,text)'), ('multitenant.open_break_glass(text,interval)'),
		('multitenant.remove_from_group(text,text)'), ('multitenant.remove_group_from_group(text,text)'), ('multitenant.remove_member(text)'),
		('multitenant.request_access(text,text,interval)'), ('multitenant.request_access(uuid,text,interval)'), ('multitenant.resume_member(text)'),
		('multitenant.review_access(interval)'), ('multitenant.review_break_glass(uuid,text)'),
		('multitenant.review_tenant_access(uuid,interval,interval)'), ('multitenant.revoke_approval(uuid)'), ('multitenant.revoke_permission(text,text)'),
		('multitenant.set_break_glass(text,interval,boolean)'), ('multitenant.set_purpose_rule(text,text,text)'),
		('multitenant.set_purpose_rule_for_all(text,text,text)'), ('multitenant.set_visibility(text)'), ('multitenant.set_visibility(uuid,text)'),
		('multitenant.suspend_member(text,text)'), ('multitenant.unassign_operator(text,uuid)'), ('multitenant.unassign_role(text,text,text)'),
		('multitenant.unassign_role_from_group(text,text,text)'), ('multitenant.unassign_system_role(text,text)'),
		('multitenant.unlink_tenant(uuid,uuid)'), ('multitenant.withdraw_invitation(text)'), ('multitenant.withdraw_request(uuid)') $$,
	'definer functions are these and no others');
SELECT is_empty($$ SELECT signature FROM routine WHERE prosecdef AND lanname <> 'sql'
	AND NOT coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false) $$, 'definer functions fix their search_path');
SELECT is_empty($$ SELECT signature FROM routine WHERE prosecdef AND lanname = 'sql' AND prosrc <> '' AND proconfig IS NULL $$,
	'definer functions without one are parsed at creation');
SELECT is_empty($$ SELECT signature FROM routine WHERE prosecdef AND is_public
	AND prosrc !~ 'multitenant\._require\(''(manage_tenants|see_tenants|suspend|lint|superuser|audit)''' AND prosrc !~ 'multitenant\._change_state\(\$1, ''(suspend|manage_tenants)'''
	-- or ask for the permission of a member, or who the principal is, themselves or in what they begin with
	AND prosrc !~ 'multitenant\.(_change_rights|_require_permission|_require_held_permission|_require_own_tenant|_require_own_principal|_require_member|_change_principal|_assign|_unassign|has_permission|_govern|_pending_break_glass|request_access|begin_supervised|end_supervised|_require_outside_principal)\('
	-- written as one expression
	AND prosrc <> '' $$,
	'public definer functions name the capability that they need, or act in the caller''s own context');

-- Not even by mistake: C functions that crash or lie on NULL, or that trust their arguments.
SELECT set_eq($$ SELECT signature FROM routine WHERE lanname = 'c' AND NOT proisstrict AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) $$,
	$$ VALUES ('multitenant._audit(text,uuid,text,text,jsonb)'), ('multitenant._check_signing_key(text,text,text)'),
		('multitenant._wrap_signing_secret(text,text,bytea,timestamp with time zone)'),
		('multitenant._rows_by_key(regclass,text[],text[],text)'), ('multitenant._run_as_owner(regclass,text)'),
		('multitenant._try(name,uuid,text,boolean,boolean)'), ('multitenant.audit(text,jsonb)'), ('multitenant.system_context(text)'),
		-- a null tenant is what they look for; null means every table
		('multitenant._observe_row(internal,"any")'), ('multitenant._observe_copied("any")'), ('multitenant._forget_observations(regclass)'),
		('multitenant.authenticate(text)'), ('multitenant.use_tenant(text)'), ('multitenant.use_tenant(uuid)'), ('multitenant.use_tenant(bigint)'),
		('multitenant.switch_tenant(text)'), ('multitenant.switch_tenant(uuid)'), ('multitenant.switch_tenant(bigint)'),
		('multitenant.blind_index(text,text,integer)'),
		('multitenant.decrypt_bytea(multitenant.encrypted,text)'),
		('multitenant.decrypt_bytea(multitenant.encrypted_det,text)'),
		('multitenant.decrypt_jsonb(multitenant.encrypted,text)'),
		('multitenant.decrypt_text(multitenant.encrypted,text)'),
		('multitenant.decrypt_text(multitenant.encrypted_det,text)'),
		('multitenant.encrypt(bytea,text,text)'),
		('multitenant.encrypt(jsonb,text,text)'),
		('multitenant.encrypt(text,text,text)'),
		('multitenant.encrypt_deterministic(bytea,text,text)'),
		('multitenant.encrypt_deterministic(text,text,text)'),
		('multitenant.try_decrypt_bytea(multitenant.encrypted,text)'),
		('multitenant.try_decrypt_jsonb(multitenant.encrypted,text)'),
		('multitenant.try_decrypt_text(multitenant.encrypted,text)'),
		('multitenant._audit_durably(text,uuid,text,text,jsonb)'), ('multitenant.across_tenants(text,text)'), ('multitenant.has_permission(text,text)'),
		('multitenant.has_permission_anywhere(text)'), ('multitenant.has_permission_of(text,text,text)'), ('multitenant.has_system_permission(text)'),
		('multitenant.in_scope(bigint,text)'), ('multitenant.in_scope(integer,text)'), ('multitenant.in_scope(text,text)'),
		('multitenant.in_scope(uuid,text)'), ('multitenant.require_permission(text,text)'), ('multitenant.use_tenant(bigint,text)'),
		('multitenant.use_tenant(text,text)'), ('multitenant.use_tenant(uuid,text)') $$,
	'C functions are strict, except these');
-- A null must not look like something that was done (what only looks at a value aside).
SELECT is_empty($$ SELECT signature FROM routine WHERE is_public AND proisstrict AND arguments <> '' AND proname !~ '^encrypted_' AND proname NOT IN ('key_id', 'is_current') $$,
	'no public function with arguments is strict');
SELECT set_eq($$ SELECT signature FROM routine WHERE NOT is_for_all $$,
	$$ VALUES ('multitenant._audit(text,uuid,text,text,jsonb)'), ('multitenant._check_signing_key(text,text,text)'),
		('multitenant._end_sessions(uuid)'), ('multitenant._own_table_changed()'), ('multitenant._refuse_removal()'),
		('multitenant._protect_new_tables()'), ('multitenant._before_ddl()'), ('multitenant._after_ddl()'),
		('multitenant._wrap_signing_secret(text,text,bytea,timestamp with time zone)'),
		('multitenant._master_keys()'), ('multitenant._reload_master_keys()'),
		('multitenant._rows_by_key(regclass,text[],text[],text)'), ('multitenant._try(name,uuid,text,boolean,boolean)'),
		('multitenant._assert_wraps_nothing(bigint)'), ('multitenant._await_transaction(text)'), ('multitenant._open_transactions()'), ('multitenant._whose_transaction(text)'), ('multitenant._check_key(bigint)'), ('multitenant._check_tenant_key(bigint)'),
		('multitenant._first_tenant_key(uuid)'), ('multitenant._lock_keys(uuid)'), ('multitenant._next_key(uuid,text,text)'),
		('multitenant._next_tenant_key(uuid)'), ('multitenant._rewrap_key(bigint,bigint)'),
		('multitenant._rewrap_tenant_key(bigint)'), ('multitenant._rows_of_keys(regclass,smallint,bigint[])'),
		('multitenant._unwritten_uses(bigint)'),
		('multitenant._check_certificate(text,text,bytea,bytea)'),
		('multitenant._export_tenant_key(bigint,text)'),
		('multitenant._import_tenant_key(uuid,bigint,integer,timestamp with time zone,bytea)'),
		('multitenant._make_key(uuid,text,text)'),
		('multitenant._make_shared_tenant_key(uuid)'),
		('multitenant._make_tenant_key(uuid)'),
		('multitenant._sign_certificate(text)'),
		('multitenant._audit_durably(text,uuid,text,text,jsonb)'), ('multitenant._enter_supervised(uuid)'), ('multitenant._require_purpose(text,text)'),
		('multitenant._visible_tenants()'),
		('multitenant._end_session_of_member(uuid,text)'), ('multitenant._latest_rights_version(uuid)'), ('multitenant._take_turn(uuid,text)') $$,
	'functions that nobody but the owner may call are these');
SELECT is_empty($$ SELECT signature FROM routine WHERE proleakproof AND prosrc !~ '^(bytea(eq|ne|lt|le|ge|gt|cmp)|hashvarlena)$' $$, 'no function claims to be leakproof but those that compare bytes, as in the server itself');

-- ---- tables ----

SELECT set_eq($$ SELECT relname::text FROM relation WHERE relkind = 'r' $$,
	'{tenant,member,access,signing_key,installation,audit_event,accepted_finding,new_table_rule,pending_protection,kek,cek,reencryption,encryption_job,secret,shred_certificate,shred_confirmation,access_request,break_glass,break_glass_rule,group_member,master_account,master_tenant,member_group,membership_rule,operator,permission,principal,purpose_rule,rights_history,rights_version,role,role_assignment,role_exclusion,role_parent,role_permission,scope,supervision,access_withdrawal}'::text[], 'the tables are these');
SELECT is_empty($$ SELECT r.relname, p.privilege FROM relation r, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p (privilege)
	WHERE r.relkind = 'r' AND has_table_privilege('public', r.oid, p.privilege) $$, 'nobody has rights on tables');
SELECT is_empty($$ SELECT r.relname, a.attname FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid WHERE r.relkind = 'r' AND a.attacl IS NOT NULL $$,
	'nor on columns');
SELECT is_empty($$ SELECT relname FROM relation WHERE relkind = 'S' AND (has_sequence_privilege('public', oid, 'USAGE')
	OR has_sequence_privilege('public', oid, 'SELECT') OR has_sequence_privilege('public', oid, 'UPDATE')) $$, 'nor on sequences');
SELECT is_empty($$ SELECT relname FROM relation WHERE relkind = 'v' AND NOT has_table_privilege('public', oid, 'SELECT') $$, 'everybody may read the views');
SELECT is_empty($$ SELECT r.relname, p.privilege FROM relation r, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,TRIGGER}'::text[]) p (privilege)
	WHERE r.relkind = 'v' AND has_table_privilege('public', r.oid, p.privilege) $$, 'and only read');
SELECT is_empty($$ SELECT relname FROM relation WHERE relkind = 'v' AND NOT coalesce(reloptions && '{security_invoker=true,security_barrier=true}', false) $$,
	'views are security_invoker or security_barrier');
SELECT is_empty($$ SELECT conname FROM pg_constraint c JOIN relation r ON r.oid = c.conrelid WHERE c.contype = 'f' $$,
	'no foreign key orders them: a parallel restore follows no order');
SELECT is_empty($$ SELECT relname FROM relation WHERE relkind = 'r' AND NOT relrowsecurity $$, 'row security is enabled on every table');
SELECT is_empty($$ SELECT polname FROM pg_policy p JOIN relation r ON r.oid = p.polrelid $$, 'and no policy opens one');
SELECT is_empty($$ SELECT relname FROM relation WHERE relkind IN ('r', 'S')
	AND oid <> ALL (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'multitenant') $$, 'every table and sequence is dumped');
SELECT is_empty($$ SELECT r.relname FROM relation r WHERE r.relkind = 'r' AND r.relname NOT IN ('audit_event', 'accepted_finding', 'pending_protection', 'reencryption', 'encryption_job', 'secret', 'shred_certificate', 'shred_confirmation', 'membership_rule', 'rights_history')
	-- what is compiled into rights: the version that its changes renew says it to all sessions
	AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgfoid = 'multitenant._rights_removed'::regproc)
	AND NOT EXISTS (SELECT FROM pg_trigger t
	WHERE t.tgrelid = r.oid AND t.tgfoid = 'multitenant._own_table_changed'::regproc AND t.tgtype = 4 + 8 + 16 + 32 AND t.tgenabled = 'O') $$,
	'every change of a table that is cached reaches all sessions');
SELECT is_empty($$ SELECT r.relname, w.type FROM relation r
	-- a statement's inserts, updates, deletes; TRUNCATE, each update of a row
	CROSS JOIN (VALUES (4), (16), (8), (34), (19)) AS w(type)
	WHERE EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgfoid = 'multitenant._rights_removed'::regproc)
	AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgtype = w.type AND t.tgenabled = 'O'
		AND t.tgfoid::regproc::text ~ '^multitenant\._(rights|principals|break_glass)_') $$,
	'every change of a table of rights renews the version, and none gets past it');
SELECT is_empty($$ SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'multitenant.signing_key'::regclass AND a.attname IN ('public_key', 'secret_file', 'wrapped_secret')
	AND a.attstattarget <> 0 $$, 'no statistics are kept on keys and their places');

-- ---- the schema ----

SELECT ok(has_schema_privilege('public', 'multitenant', 'USAGE') AND NOT has_schema_privilege('public', 'multitenant', 'CREATE'),
	'everybody may look into the schema, nobody may add to it');
SELECT is_empty($$ SELECT o.name FROM (SELECT 'pg_proc'::regclass AS class, oid, signature AS name FROM routine
		UNION ALL SELECT 'pg_class', oid, relname::text FROM relation WHERE relkind IN ('r', 'v')) o
	WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e') $$,
	'all that is in the schema belongs to the extension');
SELECT is((SELECT concat_ws(' ', evtevent, evtenabled, evttags) FROM pg_event_trigger WHERE evtname = 'multitenant_removal'),
	'ddl_command_start O {"DROP EXTENSION","DROP OWNED","DROP SCHEMA","ALTER EXTENSION"}',
	'an event trigger keeps the extension from being dropped');
SELECT set_eq($$ SELECT evtname::text, evtevent::text, evtenabled::text FROM pg_event_trigger WHERE evtfoid::regproc::text ~ 'multitenant._(before|after)_ddl' $$,
	$$ VALUES ('multitenant_before_ddl', 'ddl_command_start', 'A'), ('multitenant_after_ddl', 'ddl_command_end', 'A') $$,
	'event triggers that nobody turns off for himself hear of new tables');
SELECT set_eq($$ SELECT tgname::text, tgenabled::text FROM pg_trigger WHERE tgname IN ('new_table_rule_waits', 'pending_protection_due') $$,
	$$ VALUES ('new_table_rule_waits', 'A'), ('pending_protection_due', 'A') $$, 'nor the triggers behind them');
SELECT is((SELECT e.extcondition[i] FROM pg_extension e, generate_subscripts(e.extconfig, 1) i
	WHERE e.extname = 'multitenant' AND e.extconfig[i] = 'multitenant.pending_protection'::regclass), 'WHERE false', 'what is pending is not dumped');

SELECT * FROM finish();
ROLLBACK;
