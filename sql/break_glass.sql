/*
 * break_glass.sql
 *	  More rights for a while, opened inside a tenant by its own principals. The tables; their history and versions are those
 *	  of the tables of rights (roles.sql).
 *
 * C reads break_glass by column position (src/rbac/): new columns come last.
 */

CREATE TABLE multitenant.break_glass_rule (
	tenant_id uuid NOT NULL CONSTRAINT break_glass_rule_pkey PRIMARY KEY,
	role_id uuid NOT NULL,
	needs_approval boolean NOT NULL DEFAULT true,
	maximum interval NOT NULL,
	since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE multitenant.break_glass_rule IS
'How break-glass works in a tenant; without a row it has none.';

CREATE TABLE multitenant.break_glass (
	id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT break_glass_pkey PRIMARY KEY,
	tenant_id uuid NOT NULL,
	principal text COLLATE "C" NOT NULL,
	role_id uuid NOT NULL,
	-- Null: not approved yet.
	holds_from timestamptz,
	-- Of what is not approved yet: until when it can be.
	ends_at timestamptz NOT NULL,
	closed_at timestamptz,
	reason text NOT NULL,
	opened_at timestamptz NOT NULL DEFAULT now(),
	approved_by text,
	reviewed_by text,
	reviewed_at timestamptz,
	review text,
	duration interval NOT NULL,
	closed_by text,
	-- Why it was denied.
	note text,
	since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX break_glass_principal_idx ON multitenant.break_glass (tenant_id, principal);
COMMENT ON TABLE multitenant.break_glass IS
'When break-glass was opened, by whom and why, and what came of its review.';

-- Whoever closes his own renews no version.
CREATE TRIGGER break_glass_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.break_glass
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed();

SELECT pg_catalog.pg_extension_config_dump('multitenant.break_glass_rule', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.break_glass', '');
