/*
 * people.sql
 *	  Principals, their memberships, and groups of members: the tables, and how every session learns of a change.
 *
 * C reads these tables by column position (src/tenant/membership.c, src/rbac/): new columns come last. No foreign keys:
 * a parallel restore loads the extension's tables in any order. Rows of no tenant carry the nil uuid.
 */

-- Everybody who can be somebody: global, because one person may work for several tenants.
CREATE TABLE multitenant.principal (
	-- What tokens carry in "sub".
	id text COLLATE "C" NOT NULL CONSTRAINT principal_pkey PRIMARY KEY,
	state text COLLATE "C" NOT NULL DEFAULT 'active',
	kind text COLLATE "C" NOT NULL DEFAULT 'person',
	name text,
	since timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT principal_id_check CHECK (octet_length(id) BETWEEN 1 AND 255),
	CONSTRAINT principal_state_check CHECK (state IN ('active', 'disabled')),
	CONSTRAINT principal_kind_check CHECK (kind IN ('person', 'machine'))
);
COMMENT ON TABLE multitenant.principal IS
'Who can authenticate: one row for each external id; change it through create_principal() and its companions.';

-- Teams. A group may contain groups of the same tenant.
CREATE TABLE multitenant.member_group (
	tenant_id uuid NOT NULL,
	name text COLLATE "C" NOT NULL,
	description text,
	since timestamptz NOT NULL DEFAULT now(),
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
	since timestamptz NOT NULL DEFAULT now(),
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
