/*
 * people.sql
 *	  Principals, their memberships, and groups of members: the tables; and the functions on principals.
 *
 * C reads these tables by column position (src/tenant/membership.c, src/rbac/): new columns come last. No foreign keys:
 * a parallel restore loads the extension's tables in any order. Rows of no tenant carry the nil uuid.
 */

-- What is known of people: global, because one person may work for several tenants. Who has no row is active; the rows
-- are of those whom the provider has made known, named or disabled. No tenant writes here.
CREATE TABLE multitenant.principal (
	-- What tokens carry in "sub".
	id text COLLATE "C" NOT NULL CONSTRAINT principal_pkey PRIMARY KEY,
	state text COLLATE "C" NOT NULL DEFAULT 'active',
	kind text COLLATE "C" NOT NULL DEFAULT 'person',
	name text,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT principal_id_check CHECK (octet_length(id) BETWEEN 1 AND 255),
	CONSTRAINT principal_state_check CHECK (state IN ('active', 'disabled')),
	CONSTRAINT principal_kind_check CHECK (kind IN ('person', 'machine'))
);
COMMENT ON TABLE multitenant.principal IS
'What the provider knows of those who authenticate, by external id; change it through create_principal() and its companions.';

-- Teams. A group may contain groups of the same tenant.
CREATE TABLE multitenant.member_group (
	tenant_id uuid NOT NULL,
	name text COLLATE "C" NOT NULL,
	description text,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT member_group_pkey PRIMARY KEY (tenant_id, name),
	CONSTRAINT member_group_name_check CHECK (octet_length(name) BETWEEN 1 AND 128 AND name !~ '[[:cntrl:]]')
);
COMMENT ON TABLE multitenant.member_group IS
'Groups of the members of a tenant; change them through create_group() and its companions.';

CREATE TABLE multitenant.group_member (
	tenant_id uuid NOT NULL,
	is_group boolean NOT NULL,
	-- A principal, or the name of a group.
	member text COLLATE "C" NOT NULL,
	group_name text COLLATE "C" NOT NULL,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	-- Read upwards: the groups that contain a member.
	CONSTRAINT group_member_pkey PRIMARY KEY (tenant_id, is_group, member, group_name)
);
CREATE INDEX group_member_group_idx ON multitenant.group_member (tenant_id, group_name);
COMMENT ON TABLE multitenant.group_member IS
'What each group contains.';

-- How people may be members; no row: several tenants for each.
CREATE TABLE multitenant.membership_rule (
	is_only boolean NOT NULL DEFAULT true CONSTRAINT membership_rule_pkey PRIMARY KEY,
	mode text COLLATE "C" NOT NULL,
	CONSTRAINT membership_rule_only_check CHECK (is_only),
	CONSTRAINT membership_rule_mode_check CHECK (mode IN ('single', 'multiple'))
);
COMMENT ON TABLE multitenant.membership_rule IS
'One row at most: may a principal be a member of several tenants? Change it through set_membership_mode().';

SELECT pg_catalog.pg_extension_config_dump('multitenant.principal', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.member_group', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.group_member', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.membership_rule', '');

-- ---------------------------------------------------------------------------------------------------------------
-- Principals
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._check_principal(principal text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(octet_length($1), 0) NOT BETWEEN 1 AND 255 THEN
		RAISE EXCEPTION 'a principal has 1 to 255 bytes'
			USING ERRCODE = '22023', HINT = 'Use the value that tokens carry in "sub".';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._check_principal(text) IS
'Internal: raises 22023 unless it can be a principal.';

CREATE FUNCTION multitenant.create_principal(id text, name text DEFAULT NULL, kind text DEFAULT 'person')
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $3), 'id and kind');
	PERFORM multitenant._require('manage_tenants', 'creating a principal');
	PERFORM multitenant._check_principal($1);
	IF $3 NOT IN ('person', 'machine') THEN
		RAISE EXCEPTION 'unknown kind of principal "%"', $3
			USING ERRCODE = '22023', HINT = 'The kinds are person and machine.';
	END IF;
	INSERT INTO multitenant.principal (id, kind, name) VALUES ($1, $3, $2) ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the principal exists already'
			USING ERRCODE = '42710', HINT = 'alter_principal() names it.';
	END IF;
	PERFORM multitenant._audit('access.create_principal', NULL, $1, 'done', jsonb_build_object('name', $2, 'kind', $3));
	RETURN $1;
END
$$;
COMMENT ON FUNCTION multitenant.create_principal(text, text, text) IS
'Makes a principal known and returns its id. id: the "sub" of its tokens, 1 to 255 bytes; name: for people; kind: person or machine. Members of tenants need not be made known; whoever has not been is active, and a person. For profile provisioner. Errors: 42501 profile, 22023 id or kind, 42710 exists already.';

-- Writes of somebody who is a member somewhere, and so exists, come here first.
CREATE FUNCTION multitenant._know_principal(principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO multitenant.principal (id)
		SELECT $1 WHERE EXISTS (SELECT FROM multitenant.member m WHERE m.principal = $1 AND m.state <> 'invited')
			OR EXISTS (SELECT FROM multitenant.operator o WHERE o.principal = $1)
		ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION multitenant._know_principal(text) IS
'Internal: makes a principal known that is a member or an operator.';

CREATE FUNCTION multitenant._raise_unknown_principal()
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'there is no such principal'
		USING ERRCODE = '42704', HINT = 'Call multitenant.create_principal() to make it known.';
END
$$;
COMMENT ON FUNCTION multitenant._raise_unknown_principal() IS
'Internal: raises 42704.';

CREATE FUNCTION multitenant.alter_principal(principal text, name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, $2), 'principal and name');
	PERFORM multitenant._require('manage_tenants', 'changing a principal');
	PERFORM multitenant._know_principal($1);
	UPDATE multitenant.principal p SET name = $2 WHERE p.id = $1;
	IF NOT FOUND THEN
		PERFORM multitenant._raise_unknown_principal();
	END IF;
	PERFORM multitenant._audit('access.alter_principal', NULL, $1, 'done', jsonb_build_object('name', $2));
END
$$;
COMMENT ON FUNCTION multitenant.alter_principal(text, text) IS
'Changes the name of a principal. Its id never changes: tokens name it by that. For profile provisioner. Errors: 42501 profile, 42704 unknown principal.';

-- Security: the state is an argument, so this is not for PUBLIC to call.
CREATE FUNCTION multitenant._change_principal(principal text, new_state text, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old_state text;
BEGIN
	PERFORM multitenant._require('manage_tenants', 'changing the state of a principal');
	-- Security: no turn is taken, of no tenant and of nil: locking somebody out waits for nobody.
	PERFORM multitenant._know_principal($1);
	SELECT p.state INTO old_state FROM multitenant.principal p WHERE p.id = $1 FOR UPDATE;
	IF old_state IS NULL THEN
		PERFORM multitenant._raise_unknown_principal();
	ELSIF old_state = new_state THEN
		RAISE EXCEPTION 'the principal is % already', old_state
			USING ERRCODE = '55000', HINT = 'Nothing was changed.';
	END IF;
	UPDATE multitenant.principal p SET state = new_state WHERE p.id = $1;
	PERFORM multitenant._audit('access.' || CASE new_state WHEN 'active' THEN 'enable' ELSE 'disable' END || '_principal',
		NULL, $1, 'done', jsonb_build_object('reason', reason));
END
$$;
COMMENT ON FUNCTION multitenant._change_principal(text, text, text) IS
'Internal: the one place where the state of a principal changes.';

CREATE FUNCTION multitenant.disable_principal(principal text, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1, nullif(btrim($2), '')), 'principal and reason');
	PERFORM multitenant._change_principal($1, 'disabled', $2);
END
$$;
COMMENT ON FUNCTION multitenant.disable_principal(text, text) IS
'Ends what a principal can do, in every tenant: from the commit on each new statement under its context is refused with MT008, also in transactions that are open, whatever its tokens say. Memberships and rights stay for enable_principal(). It waits for no tenant, so it does not ask whether a tenant keeps an administrator: one whose only administrator is disabled is helped by enable_principal() or by a superuser. For profile provisioner. Errors: 42501 profile, 42704 unknown principal, 55000 disabled already.';

CREATE FUNCTION multitenant.enable_principal(principal text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM multitenant._refuse_nulls(num_nulls($1), 'the principal');
	PERFORM multitenant._change_principal($1, 'active', NULL);
END
$$;
COMMENT ON FUNCTION multitenant.enable_principal(text) IS
'Takes disable_principal() back. For profile provisioner. Errors: 42501 profile, 42704 unknown principal, 55000 not disabled.';
