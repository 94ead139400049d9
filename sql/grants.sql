-- Every privilege in one place. Nothing is granted on tables: functions and
-- views decide by the caller's profile.

-- What a policy or a default calls is initialised with every statement, and a
-- function without an access list is checked the fastest: everybody may call it.
-- Only where the installing role's default privileges say otherwise a grant is
-- needed.
DO $$
DECLARE
	routine record;
BEGIN
	FOR routine IN
		SELECT p.oid::pg_catalog.regprocedure AS name, p.proacl IS NOT NULL AS has_list,
			p.proname IN ('current_tenant', 'current_tenant_number', 'current_tenant_int4', 'current_tenant_slug', 'in_scope') AS is_accessor
		FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'multitenant'::pg_catalog.regnamespace
	LOOP
		IF NOT routine.is_accessor THEN
			EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine.name);
		ELSIF routine.has_list THEN
			EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', routine.name);
		END IF;
	END LOOP;
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA multitenant FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA multitenant FROM PUBLIC;

GRANT USAGE ON SCHEMA multitenant TO PUBLIC;

-- What runs with its caller's rights and is not C can do nothing that its caller
-- could not do anyway.
DO $$
DECLARE
	routine regprocedure;
BEGIN
	FOR routine IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		JOIN pg_catalog.pg_language l ON l.oid = p.prolang
		WHERE p.pronamespace = 'multitenant'::pg_catalog.regnamespace
		AND NOT p.prosecdef AND l.lanname IN ('sql', 'plpgsql')
	LOOP
		EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', routine);
	END LOOP;
END
$$;

-- C functions read the caller's own context, or check its profile themselves.
GRANT EXECUTE ON FUNCTION
	multitenant.authenticate(text), multitenant._maintain_tenant(uuid),
	multitenant.use_tenant(text), multitenant.use_tenant(uuid), multitenant.use_tenant(bigint),
	multitenant.use_tenant(text, text), multitenant.use_tenant(uuid, text), multitenant.use_tenant(bigint, text),
	multitenant.switch_tenant(text), multitenant.switch_tenant(uuid), multitenant.switch_tenant(bigint),
	multitenant.reset_tenant(), multitenant.system_context(text),
	multitenant.current_tenant_or_null(), multitenant.current_principal(),
	multitenant._require_own_tenant(text), multitenant._require_own_principal(),
	multitenant._context(), multitenant._hardenings(), multitenant._allows(name, text),
	multitenant._has(text), multitenant._require(text, text),
	multitenant.audit(text, jsonb), multitenant._tenant_in(text),
	multitenant._protection(regclass), multitenant._library(),
	multitenant._missing_permission(regclass, text),
	multitenant._run_as_owner(regclass, text),
	multitenant._query_as_owner(regclass, text), multitenant._add_checked_reference(text),
	multitenant._blocks_of(regclass), multitenant._confirm_absence(regclass, name), multitenant._is_volatile_policy(oid),
	multitenant._observe_row(internal, "any"), multitenant._observe_copied("any"),
	multitenant._observations(), multitenant._observations_lost(),
	multitenant._require_observations(), multitenant._forget_observations(regclass)
TO PUBLIC;

-- What encrypts and decrypts asks for the context of each use.
GRANT EXECUTE ON FUNCTION
	multitenant.encrypted_in(cstring), multitenant.encrypted_out(multitenant.encrypted),
	multitenant.encrypted_recv(internal), multitenant.encrypted_send(multitenant.encrypted),
	multitenant.encrypted_det_in(cstring), multitenant.encrypted_det_out(multitenant.encrypted_det),
	multitenant.encrypted_det_recv(internal), multitenant.encrypted_det_send(multitenant.encrypted_det),
	multitenant.encrypted_det_eq(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_ne(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_lt(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_le(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_ge(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_gt(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_cmp(multitenant.encrypted_det, multitenant.encrypted_det),
	multitenant.encrypted_det_hash(multitenant.encrypted_det),
	multitenant.encrypt(text, text, text), multitenant.encrypt(bytea, text, text), multitenant.encrypt(jsonb, text, text),
	multitenant.encrypt_deterministic(text, text, text), multitenant.encrypt_deterministic(bytea, text, text),
	multitenant.decrypt_text(multitenant.encrypted, text), multitenant.decrypt_text(multitenant.encrypted_det, text),
	multitenant.decrypt_bytea(multitenant.encrypted, text), multitenant.decrypt_bytea(multitenant.encrypted_det, text),
	multitenant.decrypt_jsonb(multitenant.encrypted, text), multitenant.try_decrypt_text(multitenant.encrypted, text),
	multitenant.try_decrypt_bytea(multitenant.encrypted, text), multitenant.try_decrypt_jsonb(multitenant.encrypted, text),
	multitenant.blind_index(text, text, integer),
	multitenant.key_id(multitenant.encrypted), multitenant.key_id(multitenant.encrypted_det),
	multitenant.is_current(multitenant.encrypted),
	multitenant._encrypted_row()
TO PUBLIC;

-- What the current principal may do, and with access:review what others may.
GRANT EXECUTE ON FUNCTION
	multitenant.has_permission(text, text), multitenant.has_permission_anywhere(text),
	multitenant.require_permission(text, text), multitenant.has_permission_of(text, text, text),
	multitenant.has_system_permission(text), multitenant.list_accessible(text),
	multitenant.explain_permission(text, text, text)
TO PUBLIC;

-- Definer functions: each begins with multitenant._require().
GRANT EXECUTE ON FUNCTION
	multitenant.tenant_id(text), multitenant.tenant_id(bigint),
	multitenant.create_tenant(text, text, bigint, uuid),
	multitenant.alter_tenant(uuid, text),
	multitenant.suspend_tenant(uuid, text, boolean), multitenant.resume_tenant(uuid),
	multitenant.delete_tenant(uuid, text, interval), multitenant.undelete_tenant(uuid),
	multitenant.add_member(uuid, text, text), multitenant.remove_member(uuid, text),
	multitenant.create_principal(text, text, text), multitenant.alter_principal(text, text),
	multitenant.disable_principal(text, text), multitenant.enable_principal(text),
	multitenant.create_key(uuid, text, text),
	multitenant.suspend_tenant_keys(uuid, text), multitenant.resume_tenant_keys(uuid),
	multitenant.rotate_cek(uuid, text, text), multitenant.rotate_kek(uuid),
	multitenant.destroy_retired_keys(uuid, text, text, interval), multitenant.verify_keys(),
	multitenant._retired_keys(text), multitenant._note_reencryption(text, name, uuid, text, jsonb, bigint, text, text),
	multitenant._replica_lag()
TO PUBLIC;

GRANT EXECUTE ON FUNCTION
	multitenant._note_encryption(regclass, name, text, bigint, bigint, bigint, bigint, boolean),
	multitenant._make_column_keys(uuid, text, boolean),
	multitenant.shred_tenant(uuid, text, boolean), multitenant._shred_status(), multitenant._shred_certificates(),
	multitenant.create_tenant_key(uuid, boolean), multitenant.confirm_share_destroyed(uuid, text),
	multitenant.confirm_backups_expired(uuid, text),
	multitenant.verify_shred_certificate(uuid)
TO PUBLIC;
GRANT SELECT ON multitenant.encrypted_columns, multitenant.encryption_progress, multitenant.shred_status,
	multitenant.shred_certificates, multitenant.secrets TO PUBLIC;

-- Looking after tenants: those of the provider ask for its profile, those of operators for a principal without a tenant,
-- those of a tenant for its permissions.
GRANT EXECUTE ON FUNCTION
	multitenant.create_master_account(text), multitenant.link_tenant(uuid, uuid), multitenant.unlink_tenant(uuid, uuid),
	multitenant.assign_operator(uuid, text, uuid, text, timestamptz), multitenant.unassign_operator(text, uuid),
	multitenant.set_visibility(text), multitenant.set_visibility(uuid, text),
	multitenant.request_access(uuid, text, interval), multitenant.request_access(text, text, interval),
	multitenant.withdraw_request(uuid), multitenant.approve_access(uuid, interval), multitenant.deny_access(uuid, text),
	multitenant.revoke_approval(uuid),
	multitenant.begin_supervised(uuid, text, interval), multitenant.begin_supervised(text, text, interval),
	multitenant.end_supervised(uuid), multitenant.end_supervised(text), multitenant.across_tenants(text, text)
TO PUBLIC;
-- What the views ask for the caller's own context and profile.
GRANT EXECUTE ON FUNCTION
	multitenant._outside_principal(), multitenant._tenant_permitting(text), multitenant._tenant_of_record(),
	multitenant._audit_metadata(), multitenant._tenant_overview()
TO PUBLIC;
GRANT SELECT ON multitenant.operators, multitenant.access_requests, multitenant.supervisions, multitenant.audit_metadata,
	multitenant.tenant_overview TO PUBLIC;

-- A tenant's own context is what these ask for.
GRANT EXECUTE ON FUNCTION
	multitenant.put_secret(text, text, text, integer), multitenant.get_secret(text, integer), multitenant.drop_secret(text)
TO PUBLIC;

-- Inside a tenant, and by principals for themselves: each begins with the context.
GRANT EXECUTE ON FUNCTION
	multitenant.invite_member(text, timestamptz), multitenant.withdraw_invitation(text),
	multitenant.add_member(text), multitenant.suspend_member(text, text), multitenant.resume_member(text),
	multitenant.remove_member(text),
	multitenant.accept_invitation(text), multitenant.decline_invitation(text), multitenant.leave_tenant(),
	multitenant.create_group(text, text), multitenant.drop_group(text),
	multitenant.add_to_group(text, text), multitenant.remove_from_group(text, text),
	multitenant.add_group_to_group(text, text), multitenant.remove_group_from_group(text, text)
TO PUBLIC;
GRANT SELECT ON multitenant.memberships, multitenant.members, multitenant.groups, multitenant.group_members TO PUBLIC;

-- These ask for a context of a member; those for all tenants for the profile provisioner.
GRANT EXECUTE ON FUNCTION
	multitenant.set_break_glass(text, interval, boolean), multitenant.drop_break_glass(),
	multitenant.open_break_glass(text, interval), multitenant.approve_break_glass(uuid), multitenant.deny_break_glass(uuid, text),
	multitenant.close_break_glass(uuid), multitenant.review_break_glass(uuid, text),
	multitenant.set_purpose_rule(text, text, text), multitenant.drop_purpose_rule(text),
	multitenant.set_purpose_rule_for_all(text, text, text), multitenant.drop_purpose_rule_for_all(text),
	multitenant._lint_break_glass()
TO PUBLIC;
GRANT SELECT ON multitenant.break_glass_reviews, multitenant.purpose_rules TO PUBLIC;

-- What lint() needs of the extension's own tables; they too begin with multitenant._require().
GRANT EXECUTE ON FUNCTION multitenant._access_profiles(), multitenant._accepted_findings(), multitenant._mek_status(), multitenant._key_status(),
	multitenant._older_master_keys(), multitenant._reencrypt_progress(),
	multitenant._lint_rights(), multitenant._lint_operators(), multitenant._lint_orphans() TO PUBLIC;

-- Say only whether this database was copied, and how many findings are accepted.
GRANT EXECUTE ON FUNCTION multitenant._is_copy(), multitenant._accepted_finding_count() TO PUBLIC;

-- Says only what happens to new tables.
GRANT EXECUTE ON FUNCTION multitenant._new_tables() TO PUBLIC;

GRANT EXECUTE ON FUNCTION multitenant._key_cache() TO PUBLIC;

GRANT SELECT ON multitenant.mek_status, multitenant.key_status, multitenant.key_cache, multitenant.reencrypt_progress,
	multitenant.context, multitenant.audit_log, multitenant.tenants, multitenant.tables, multitenant.isolations TO PUBLIC;

-- Asks for the right of the current principal, and for nothing else.
GRANT EXECUTE ON FUNCTION multitenant._require_permission(text, text) TO PUBLIC;

-- The catalogue and templates: each begins with multitenant._require().
GRANT EXECUTE ON FUNCTION
	multitenant.create_permission(text, text), multitenant.drop_permission(text),
	multitenant.create_role_template(text, text, text[], text[]),
	multitenant.alter_role_template(text, text, text, text[], text[]), multitenant.drop_role_template(text),
	multitenant.exclude_role_templates(text, text), multitenant.drop_template_exclusion(text, text),
	multitenant.assign_system_role(text, text, timestamptz), multitenant.unassign_system_role(text, text)
TO PUBLIC;

-- A permission in the current tenant is what these ask for: each begins with multitenant._change_rights().
GRANT EXECUTE ON FUNCTION
	multitenant.create_role(text, text, text[], text[]), multitenant.alter_role(text, text, text), multitenant.drop_role(text),
	multitenant.grant_permission(text, text), multitenant.revoke_permission(text, text),
	multitenant.inherit_role(text, text), multitenant.disinherit_role(text, text),
	multitenant.exclude_roles(text, text), multitenant.drop_exclusion(text, text),
	multitenant.create_scope(text, text, text, text), multitenant.move_scope(text, text), multitenant.drop_scope(text),
	multitenant.assign_role(text, text, text, timestamptz, text),
	multitenant.assign_role_to_group(text, text, text, timestamptz, text),
	multitenant.unassign_role(text, text, text), multitenant.unassign_role_from_group(text, text, text)
TO PUBLIC;
GRANT SELECT ON multitenant.permissions, multitenant.roles, multitenant.role_permissions, multitenant.role_exclusions,
	multitenant.scopes, multitenant.assignments TO PUBLIC;
GRANT EXECUTE ON FUNCTION multitenant.access_as_of(text, timestamptz), multitenant.review_access(interval),
	multitenant.review_tenant_access(uuid, interval, interval) TO PUBLIC;
