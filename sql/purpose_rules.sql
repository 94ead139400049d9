/*
 * purpose_rules.sql
 *	  Which permissions the keys of a purpose ask for. Without a rule the tenant's own context is enough.
 *
 * C reads the table by column position (src/keys/purposerule.c): new columns come last. The rule of the nil uuid is that
 * of all tenants. A tenant's own rule says which permission is asked for instead, and what it leaves out stays with the
 * rule of all: no row can take a rule away.
 */

CREATE TABLE multitenant.purpose_rule (
	tenant_id uuid NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	decrypt_permission text COLLATE "C",
	encrypt_permission text COLLATE "C",
	since timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT purpose_rule_pkey PRIMARY KEY (tenant_id, purpose),
	CONSTRAINT purpose_rule_purpose_check CHECK (purpose ~ '^[a-z0-9._-]{1,63}$'),
	CONSTRAINT purpose_rule_permission_check CHECK (num_nonnulls(decrypt_permission, encrypt_permission) > 0
		AND octet_length(decrypt_permission) BETWEEN 1 AND 128 IS NOT FALSE
		AND octet_length(encrypt_permission) BETWEEN 1 AND 128 IS NOT FALSE)
);
COMMENT ON TABLE multitenant.purpose_rule IS
'Which permission decrypting and encrypting values of a purpose takes; change it through set_purpose_rule() and its companions.';
ALTER TABLE multitenant.purpose_rule ENABLE ROW LEVEL SECURITY;
CREATE TRIGGER purpose_rule_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.purpose_rule
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();
SELECT pg_catalog.pg_extension_config_dump('multitenant.purpose_rule', '');

CREATE FUNCTION multitenant._check_purpose_rule(purpose text, permissions text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
BEGIN
	IF $1 !~ '^[a-z0-9._-]{1,63}$' THEN
		RAISE EXCEPTION 'invalid purpose'
			USING ERRCODE = '22023', HINT = 'A purpose has 1 to 63 of a-z 0-9 . _ -, such as "pii".';
	ELSIF array_remove($2, NULL) = '{}' THEN
		RAISE EXCEPTION 'a rule asks for one permission at least'
			USING ERRCODE = '22023', HINT = 'Give decrypt_permission, encrypt_permission or both.';
	END IF;
	-- Held until the commit, so that drop_permission() sees what comes to need them.
	PERFORM FROM multitenant.permission k WHERE k.name = ANY ($2) FOR KEY SHARE;
	SELECT p.name INTO unknown FROM unnest($2) AS p(name)
		WHERE p.name IS NOT NULL AND NOT EXISTS (SELECT FROM multitenant.permission k WHERE k.name = p.name) LIMIT 1;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'there is no permission "%"', unknown
			USING ERRCODE = '42704', HINT = 'Name one of the catalogue, such as "secret:decrypt".';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._check_purpose_rule(text, text[]) IS
'Internal: raises what is wrong with the arguments of a rule.';

-- Security: who takes a permission out of a rule must hold it, or the rule would not keep it from him. What is held under
-- break-glass only ends with it, and so must what it makes possible. A permission that is gone nobody can hold; who may
-- change rules replaces it.
CREATE FUNCTION multitenant._require_replaceable_rule(tenant uuid, purpose text, decrypt_permission text, encrypt_permission text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old record;
BEGIN
	SELECT max(r.decrypt_permission) FILTER (WHERE r.tenant_id = $1) AS own_decrypt, max(r.encrypt_permission) FILTER (WHERE r.tenant_id = $1) AS own_encrypt,
		   max(r.decrypt_permission) FILTER (WHERE r.tenant_id <> $1) AS all_decrypt, max(r.encrypt_permission) FILTER (WHERE r.tenant_id <> $1) AS all_encrypt
		INTO old FROM multitenant.purpose_rule r
		WHERE r.purpose = $2 AND r.tenant_id IN ($1, '00000000-0000-0000-0000-000000000000');
	PERFORM multitenant._require_held_permission(k.name)
		FROM (VALUES (coalesce(old.own_decrypt, old.all_decrypt), coalesce($3, old.all_decrypt)),
					 (coalesce(old.own_encrypt, old.all_encrypt), coalesce($4, old.all_encrypt))) AS w(asked, asked_then)
		JOIN multitenant.permission k ON k.name = w.asked
		WHERE w.asked IS DISTINCT FROM w.asked_then;
END
$$;
COMMENT ON FUNCTION multitenant._require_replaceable_rule(uuid, text, text, text) IS
'Internal: raises 42501 unless the current principal holds what its tenant''s rule would not ask for any more.';

CREATE FUNCTION multitenant.set_purpose_rule(purpose text, decrypt_permission text DEFAULT 'secret:decrypt', encrypt_permission text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._govern('role:manage', 'setting the rule of a purpose');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the purpose');
	PERFORM multitenant._check_purpose_rule($1, ARRAY[$2, $3]);
	PERFORM multitenant._require_replaceable_rule(tenant, $1, $2, $3);
	INSERT INTO multitenant.purpose_rule (tenant_id, purpose, decrypt_permission, encrypt_permission) VALUES (tenant, $1, $2, $3)
		ON CONFLICT ON CONSTRAINT purpose_rule_pkey DO UPDATE
		SET decrypt_permission = excluded.decrypt_permission, encrypt_permission = excluded.encrypt_permission, since = now();
	PERFORM multitenant._audit('key.set_purpose_rule', tenant, $1, 'done',
		jsonb_build_object('decrypt_permission', $2, 'encrypt_permission', $3));
END
$$;
COMMENT ON FUNCTION multitenant.set_purpose_rule(text, text, text) IS
'Says which permissions values of a purpose ask for in the current tenant, of everybody who has no more than the tenant''s context. decrypt_permission: for decrypt_text() and its like, and get_secret() for purpose "secret"; encrypt_permission: for encrypt(), encrypt_deterministic(), blind_index() and put_secret(). Null: what the rule of all tenants asks for, else nothing. Who may encrypt can test guesses: encrypt_deterministic() and blind_index() of a guess equal what is stored, so give encrypt_permission too where few values are possible. For permission role:manage; who replaces a permission must hold it. Errors: MT001; 42501 permission, under break-glass, or in contexts that are not of a member; 22023 purpose, or no permission; 42704 no such permission.';

CREATE FUNCTION multitenant.drop_purpose_rule(purpose text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := multitenant._govern('role:manage', 'dropping the rule of a purpose');
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the purpose');
	PERFORM multitenant._require_replaceable_rule(tenant, $1, NULL, NULL);
	DELETE FROM multitenant.purpose_rule r WHERE r.tenant_id = tenant AND r.purpose = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the tenant has no rule of its own for this purpose'
			USING ERRCODE = '42704', HINT = 'See the view multitenant.purpose_rules.';
	END IF;
	PERFORM multitenant._audit('key.drop_purpose_rule', tenant, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_purpose_rule(text) IS
'Drops the current tenant''s own rule for a purpose; that of all tenants holds then, if there is one. For permission role:manage; who drops a rule must hold what it asks for. Errors: MT001; 42501 permission, under break-glass, or in contexts that are not of a member; 42704 no rule.';

CREATE FUNCTION multitenant.set_purpose_rule_for_all(purpose text, decrypt_permission text DEFAULT 'secret:decrypt', encrypt_permission text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('manage_tenants', 'setting the rule of a purpose for all tenants');
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the purpose');
	PERFORM multitenant._check_purpose_rule($1, ARRAY[$2, $3]);
	INSERT INTO multitenant.purpose_rule (tenant_id, purpose, decrypt_permission, encrypt_permission)
		VALUES ('00000000-0000-0000-0000-000000000000', $1, $2, $3)
		ON CONFLICT ON CONSTRAINT purpose_rule_pkey DO UPDATE
		SET decrypt_permission = excluded.decrypt_permission, encrypt_permission = excluded.encrypt_permission, since = now();
	PERFORM multitenant._audit('key.set_purpose_rule_for_all', NULL, $1, 'done',
		jsonb_build_object('decrypt_permission', $2, 'encrypt_permission', $3));
END
$$;
COMMENT ON FUNCTION multitenant.set_purpose_rule_for_all(text, text, text) IS
'The same for every tenant that has no rule of its own for the purpose. It gives nobody the means to decrypt: that stays with members of the tenant. For profile provisioner. Errors: 42501 profile; 22023 purpose, or no permission; 42704 no such permission.';

CREATE FUNCTION multitenant.drop_purpose_rule_for_all(purpose text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._require('manage_tenants', 'dropping the rule of a purpose for all tenants');
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the purpose');
	DELETE FROM multitenant.purpose_rule r WHERE r.tenant_id = '00000000-0000-0000-0000-000000000000' AND r.purpose = $1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no rule of all tenants for this purpose'
			USING ERRCODE = '42704', HINT = 'Nothing was changed; check the purpose.';
	END IF;
	PERFORM multitenant._audit('key.drop_purpose_rule_for_all', NULL, $1, 'done', '{}');
END
$$;
COMMENT ON FUNCTION multitenant.drop_purpose_rule_for_all(text) IS
'Drops the rule of all tenants for a purpose; those of single tenants stay. For profile provisioner. Errors: 42501 profile, 42704 no rule.';

CREATE VIEW multitenant.purpose_rules WITH (security_barrier = true) AS
	SELECT r.purpose,
		coalesce(max(r.decrypt_permission) FILTER (WHERE r.is_own), max(r.decrypt_permission)) AS decrypt_permission,
		coalesce(max(r.encrypt_permission) FILTER (WHERE r.is_own), max(r.encrypt_permission)) AS encrypt_permission,
		bool_or(r.is_own) AS has_own_rule, bool_or(NOT r.is_own) AS has_rule_of_all
	FROM (SELECT p.*, p.tenant_id <> '00000000-0000-0000-0000-000000000000' AS is_own FROM multitenant.purpose_rule p
		  -- A sub-select: the planner would call the function for its estimates, also where nobody needs a tenant.
		  WHERE p.tenant_id IN ((SELECT multitenant._require_own_tenant('seeing rules of purposes')), '00000000-0000-0000-0000-000000000000')) r
	GROUP BY r.purpose;
COMMENT ON VIEW multitenant.purpose_rules IS
'Which permissions values of each purpose ask for in the current tenant; a purpose that is not here asks for none. Supervised and system contexts are refused with 42501.';
