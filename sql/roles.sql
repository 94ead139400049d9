/*
 * roles.sql
 *	  Permissions, roles, scopes and who has been assigned what: the tables, their history, and how sessions learn of a
 *	  change.
 *
 * C reads these tables by column position (src/rbac/): new columns come last. Rows of no tenant - templates of roles,
 * assignments of the provider's own staff - carry the nil uuid, so that keys are composite everywhere and no grant can
 * span two tenants.
 *
 * Every change gives the tenant a new version (rights_version), under whose row lock changes of one tenant's rights take
 * turns; sessions keep what they have compiled as long as the version is the same. Old rows go to rights_history.
 *
 * since is the clock at the change, read behind that lock, and not the beginning of its transaction: a transaction that
 * began earlier would otherwise remove rights before they were given, and leave no trace of them.
 */

CREATE TABLE multitenant.permission (
	name text COLLATE "C" NOT NULL CONSTRAINT permission_pkey PRIMARY KEY,
	description text NOT NULL,
	is_builtin boolean NOT NULL DEFAULT false,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT permission_name_check CHECK (octet_length(name) <= 128 AND name ~ '^[a-z][a-z0-9_.-]*:[a-z][a-z0-9_.-]*$')
);
COMMENT ON TABLE multitenant.permission IS
'What can be permitted, as resource:action; change it through create_permission() and drop_permission().';

CREATE TABLE multitenant.role (
	id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT role_pkey PRIMARY KEY,
	-- Nil: a template, for every tenant to use and for none to change.
	tenant_id uuid NOT NULL,
	name text COLLATE "C" NOT NULL,
	description text,
	is_builtin boolean NOT NULL DEFAULT false,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT role_name_key UNIQUE (tenant_id, name),
	CONSTRAINT role_name_check CHECK (octet_length(name) BETWEEN 1 AND 128 AND name !~ '[[:cntrl:]]')
);
COMMENT ON TABLE multitenant.role IS
'Roles of tenants, and templates of roles; change them through create_role() and its companions.';

CREATE TABLE multitenant.role_parent (
	role_id uuid NOT NULL,
	parent_id uuid NOT NULL,
	-- Of the role.
	tenant_id uuid NOT NULL,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT role_parent_pkey PRIMARY KEY (role_id, parent_id)
);
COMMENT ON TABLE multitenant.role_parent IS
'Which role has everything that another has.';
CREATE INDEX role_parent_parent_idx ON multitenant.role_parent (parent_id);
CREATE INDEX role_parent_tenant_idx ON multitenant.role_parent (tenant_id);

CREATE TABLE multitenant.role_permission (
	role_id uuid NOT NULL,
	-- resource:action; either may be *.
	permission text COLLATE "C" NOT NULL,
	-- Of the role.
	tenant_id uuid NOT NULL,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT role_permission_pkey PRIMARY KEY (role_id, permission),
	CONSTRAINT role_permission_check CHECK (octet_length(permission) <= 128
		AND permission ~ '^([a-z][a-z0-9_.-]*|[*]):([a-z][a-z0-9_.-]*|[*])$')
);
CREATE INDEX role_permission_tenant_idx ON multitenant.role_permission (tenant_id);
COMMENT ON TABLE multitenant.role_permission IS
'What each role permits.';

-- Two roles that nobody may hold both.
CREATE TABLE multitenant.role_exclusion (
	role_id uuid NOT NULL,
	excluded_id uuid NOT NULL,
	tenant_id uuid NOT NULL,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT role_exclusion_pkey PRIMARY KEY (tenant_id, role_id, excluded_id)
);
COMMENT ON TABLE multitenant.role_exclusion IS
'Separation of duties: roles that exclude each other; tenant_id nil: in every tenant.';

-- A tree of any depth: site, rack, cluster ..
CREATE TABLE multitenant.scope (
	tenant_id uuid NOT NULL,
	-- What the scope column of a protected table contains, as text.
	id text COLLATE "C" NOT NULL,
	parent_id text COLLATE "C",
	kind text COLLATE "C",
	name text,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT scope_pkey PRIMARY KEY (tenant_id, id),
	CONSTRAINT scope_id_check CHECK (octet_length(id) BETWEEN 1 AND 255 AND id !~ '[[:cntrl:]]')
);
CREATE INDEX scope_parent_idx ON multitenant.scope (tenant_id, parent_id);
COMMENT ON TABLE multitenant.scope IS
'Parts of a tenant that rights can be limited to; a right on a node is one on everything below it.';

CREATE TABLE multitenant.role_assignment (
	id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT role_assignment_pkey PRIMARY KEY,
	-- Nil: of the system, which reaches into no tenant.
	tenant_id uuid NOT NULL,
	is_group boolean NOT NULL,
	-- A principal, or the name of a group.
	assignee text COLLATE "C" NOT NULL,
	role_id uuid NOT NULL,
	-- Null: the whole tenant.
	scope_id text COLLATE "C",
	expires_at timestamptz,
	assigned_by text,
	reason text,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT role_assignment_key UNIQUE NULLS NOT DISTINCT (tenant_id, is_group, assignee, role_id, scope_id)
);
CREATE INDEX role_assignment_role_idx ON multitenant.role_assignment (role_id);
COMMENT ON TABLE multitenant.role_assignment IS
'Who has which role, where and until when; change it through assign_role() and unassign_role().';

-- ---------------------------------------------------------------------------------------------------------------
-- Versions and history
-- ---------------------------------------------------------------------------------------------------------------

-- Versions mean something to running sessions only.
CREATE SEQUENCE multitenant.rights_version_seq;
CREATE TABLE multitenant.rights_version (
	tenant_id uuid NOT NULL CONSTRAINT rights_version_pkey PRIMARY KEY,
	version bigint NOT NULL DEFAULT nextval('multitenant.rights_version_seq')
);
COMMENT ON TABLE multitenant.rights_version IS
'Internal: another number, never used before, with every change to the rights of a tenant; nil: of all tenants.';

CREATE TABLE multitenant.rights_history (
	table_name text COLLATE "C" NOT NULL,
	tenant_id uuid NOT NULL,
	row_data jsonb NOT NULL,
	valid_from timestamptz NOT NULL,
	valid_to timestamptz NOT NULL
);
CREATE INDEX rights_history_idx ON multitenant.rights_history (tenant_id, table_name, valid_to);
-- Those of all tenants have their history in one place.
CREATE INDEX rights_history_principal_idx ON multitenant.rights_history ((row_data ->> 'id'), valid_to) WHERE table_name = 'principal';
COMMENT ON TABLE multitenant.rights_history IS
'Rows of the tables of rights that were changed or removed, each with the time in which it held.';

CREATE FUNCTION multitenant._latest_rights_version(tenant uuid)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL RESTRICTED STRICT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_latest_rights_version';
COMMENT ON FUNCTION multitenant._latest_rights_version(uuid) IS
'Internal: the version of the rights of a tenant that is committed now, whatever the transaction''s snapshot shows; 0 if there is none.';

-- Security: who may give what is read with the transaction's snapshot.
CREATE FUNCTION multitenant._refuse_old_rights(tenant uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
	   AND coalesce((SELECT v.version FROM multitenant.rights_version v WHERE v.tenant_id = $1), 0)
		   <> multitenant._latest_rights_version($1) THEN
		RAISE EXCEPTION 'could not serialize access: rights have changed since the snapshot of this transaction'
			USING ERRCODE = '40001', HINT = 'Begin a new transaction and try again.';
	END IF;
END
$$;
COMMENT ON FUNCTION multitenant._refuse_old_rights(uuid) IS
'Internal: raises 40001 if the snapshot of the transaction shows rights of the tenant (nil: of all tenants) that have changed since.';

-- Security: the number comes from a sequence, so that a version whose transaction is rolled back is never met again
-- with other rights.
CREATE FUNCTION multitenant._renew_rights(tenants uuid[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO multitenant.rights_version (tenant_id)
		SELECT DISTINCT t.id FROM unnest($1) AS t(id) ORDER BY 1
		ON CONFLICT (tenant_id) DO UPDATE SET version = nextval('multitenant.rights_version_seq');
	-- Security: the row of the tenant itself refuses an old snapshot; that of all tenants (templates, permissions,
	-- principals) is compared and not locked, or an idle transaction of a tenant would keep the provider waiting.
	PERFORM multitenant._refuse_old_rights('00000000-0000-0000-0000-000000000000');
END
$$;
COMMENT ON FUNCTION multitenant._renew_rights(uuid[]) IS
'Internal: gives the tenants a new version of their rights, and makes other changes to them wait for this transaction. 40001 if the snapshot of the transaction shows rights that have changed since.';

CREATE FUNCTION multitenant._rights_inserted()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- Sessions look at members and principals themselves: they have no version.
	IF TG_TABLE_NAME NOT IN ('principal', 'member') THEN
		PERFORM multitenant._renew_rights(ARRAY(SELECT DISTINCT coalesce((to_jsonb(n) ->> 'tenant_id')::uuid,
			'00000000-0000-0000-0000-000000000000') FROM new_rows n));
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION multitenant._rights_inserted() IS
'Internal: new rows of a table of rights.';

-- Security: does a row that was removed or replaced leave the version as it is? What is somebody's own he takes back
-- without the turn of his tenant, which he could hold up with it (membership.sql): sessions look themselves whether he is
-- still a member and whether his break-glass is closed, and what is left of who is none counts for nobody.
CREATE FUNCTION multitenant._needs_no_version(table_name text, row_data jsonb)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tenant uuid := row_data ->> 'tenant_id';
BEGIN
	RETURN CASE
		WHEN table_name IN ('principal', 'member') THEN true
		WHEN table_name = 'break_glass' THEN EXISTS (
			SELECT FROM multitenant.break_glass g WHERE g.id = (row_data ->> 'id')::uuid AND g.closed_at IS NOT NULL)
		WHEN table_name IN ('group_member', 'role_assignment') THEN
			tenant <> '00000000-0000-0000-0000-000000000000' AND NOT (row_data ->> 'is_group')::boolean
			AND NOT EXISTS (SELECT FROM multitenant.member m
							WHERE m.tenant_id = tenant AND m.principal = coalesce(row_data ->> 'assignee', row_data ->> 'member'))
		ELSE false END;
END
$$;
COMMENT ON FUNCTION multitenant._needs_no_version(text, jsonb) IS
'Internal: do the rights of the tenant stay right without a new version although this row has gone?';

CREATE FUNCTION multitenant._rights_removed()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ended timestamptz;
BEGIN
	PERFORM multitenant._renew_rights(ARRAY(SELECT DISTINCT coalesce((to_jsonb(o) ->> 'tenant_id')::uuid,
		'00000000-0000-0000-0000-000000000000') FROM old_rows o WHERE NOT multitenant._needs_no_version(TG_TABLE_NAME, to_jsonb(o))));
	-- Behind the lock. What replaces a row holds from the moment on at which that one ends.
	IF TG_OP = 'UPDATE' THEN
		SELECT max((to_jsonb(n) ->> 'since')::timestamptz) INTO ended FROM new_rows n;
	ELSE
		ended := clock_timestamp();
	END IF;
	-- Security: what was made by this very transaction, too. It held in it, and could be used.
	INSERT INTO multitenant.rights_history (table_name, tenant_id, row_data, valid_from, valid_to)
		SELECT TG_TABLE_NAME, coalesce((r.row_data ->> 'tenant_id')::uuid, '00000000-0000-0000-0000-000000000000'),
			r.row_data, (r.row_data ->> 'since')::timestamptz, greatest(ended, (r.row_data ->> 'since')::timestamptz)
		FROM (SELECT to_jsonb(o) AS row_data FROM old_rows o) r;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION multitenant._rights_removed() IS
'Internal: removed or replaced rows of a table of rights.';

CREATE FUNCTION multitenant._rights_row_replaced()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_jsonb(NEW) ->> 'tenant_id' IS DISTINCT FROM to_jsonb(OLD) ->> 'tenant_id' THEN
		RAISE EXCEPTION 'rights cannot be moved to another tenant'
			USING ERRCODE = '55000', HINT = 'Remove them from one tenant and give them in the other.';
	END IF;
	NEW.since := clock_timestamp();
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION multitenant._rights_row_replaced() IS
'Internal: a row of a table of rights holds from its last change on, and stays with its tenant.';

CREATE FUNCTION multitenant._rights_truncated()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'tables of rights cannot be truncated'
		USING ERRCODE = 'MT010', HINT = 'Delete the rows, so that their history stays.';
END
$$;
COMMENT ON FUNCTION multitenant._rights_truncated() IS
'Internal: refuses TRUNCATE.';

-- Security: whoever gives the first role, and how ever, ends that others give it from outside. In a restore the tenant
-- may come later, and brings the mark itself.
CREATE FUNCTION multitenant._role_given()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE multitenant.tenant t SET is_self_governed = true WHERE t.id = NEW.tenant_id AND NOT t.is_self_governed;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION multitenant._role_given() IS
'Internal: marks a tenant in which somebody is given a role.';
CREATE TRIGGER role_given
	AFTER INSERT ON multitenant.role_assignment
	FOR EACH ROW EXECUTE FUNCTION multitenant._role_given();

DO $$
DECLARE
	t name;
BEGIN
	FOREACH t IN ARRAY '{principal,member,member_group,group_member,permission,role,role_parent,role_permission,role_exclusion,scope,role_assignment,break_glass_rule,break_glass}'::name[] LOOP
		EXECUTE format('CREATE TRIGGER rights_inserted AFTER INSERT ON multitenant.%I REFERENCING NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION multitenant._rights_inserted()', t);
		EXECUTE format('CREATE TRIGGER rights_updated AFTER UPDATE ON multitenant.%I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION multitenant._rights_removed()', t);
		EXECUTE format('CREATE TRIGGER rights_deleted AFTER DELETE ON multitenant.%I REFERENCING OLD TABLE AS old_rows
			FOR EACH STATEMENT EXECUTE FUNCTION multitenant._rights_removed()', t);
		EXECUTE format('CREATE TRIGGER rights_row_replaced BEFORE UPDATE ON multitenant.%I
			FOR EACH ROW EXECUTE FUNCTION multitenant._rights_row_replaced()', t);
		EXECUTE format('CREATE TRIGGER rights_truncated BEFORE TRUNCATE ON multitenant.%I
			FOR EACH STATEMENT EXECUTE FUNCTION multitenant._rights_truncated()', t);
		EXECUTE format('ALTER TABLE multitenant.%I ENABLE ROW LEVEL SECURITY', t);
	END LOOP;
END
$$;
ALTER TABLE multitenant.membership_rule ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.rights_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE multitenant.rights_history ENABLE ROW LEVEL SECURITY;

-- Sessions hear of every change at commit by this one table.
CREATE TRIGGER rights_version_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.rights_version
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();
CREATE TRIGGER principal_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.principal
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();

SELECT pg_catalog.pg_extension_config_dump('multitenant.permission', 'WHERE NOT is_builtin');
SELECT pg_catalog.pg_extension_config_dump('multitenant.role', 'WHERE NOT is_builtin');
SELECT pg_catalog.pg_extension_config_dump('multitenant.role_parent', '');
-- What a template of the extension itself permits comes with it.
SELECT pg_catalog.pg_extension_config_dump('multitenant.role_permission',
	'WHERE role_id NOT IN (SELECT r.id FROM multitenant.role r WHERE r.is_builtin)');
SELECT pg_catalog.pg_extension_config_dump('multitenant.role_exclusion', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.scope', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.role_assignment', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.rights_history', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.rights_version', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('multitenant.rights_version_seq', '');

-- ---------------------------------------------------------------------------------------------------------------
-- What comes with the extension
-- ---------------------------------------------------------------------------------------------------------------

-- What the extension's own functions ask for inside a tenant. It has always been there: a database that is restored
-- later than its rights were used knows what they were.
INSERT INTO multitenant.permission (name, description, is_builtin, since)
	SELECT b.name, b.description, true, '-infinity' FROM (VALUES
	('member:read', 'See the members, invitations and groups of the tenant.'),
	('member:manage', 'Invite, add, suspend and remove members, and change groups.'),
	('role:read', 'See roles, scopes and who has been assigned what.'),
	('role:manage', 'Create and change roles of the tenant.'),
	('role:assign', 'Assign roles that one holds oneself.'),
	('scope:manage', 'Create, move and drop scopes.'),
	('access:review', 'See who has what, since when, and when it was used last.'),
	('access:approve', 'Approve and deny requests of operators to look into the tenant.'),
	('visibility:manage', 'Decide what operators see of the tenant without asking.'),
	('audit:read', 'Read the audit record of the tenant.'),
	('break_glass:manage', 'Decide how break-glass works in the tenant.'),
	('break_glass:open', 'Open break-glass.'),
	('break_glass:approve', 'Approve break-glass that somebody else opened.'),
	('break_glass:review', 'Review what was done under break-glass.'),
	('secret:encrypt', 'Encrypt values of purposes that ask for it.'),
	('secret:decrypt', 'Decrypt values of purposes that ask for it.')) AS b(name, description);

-- A fixed id, so that assignments in dumps mean the same role in the next database.
INSERT INTO multitenant.role (id, tenant_id, name, description, is_builtin, since) VALUES
	('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000000', 'administrator',
	 'Everything in the tenant.', true, '-infinity');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id, since) VALUES
	('00000000-0000-0000-0000-000000000001', '*:*', '00000000-0000-0000-0000-000000000000', '-infinity');
