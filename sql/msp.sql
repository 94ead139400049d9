/*
 * msp.sql
 *	  Who looks after tenants from outside: master accounts, operators, and what they ask a tenant for. The tables.
 *
 * C reads operator, supervision, access_request and access_withdrawal by column position (src/rbac/): new columns come last.
 */

CREATE TABLE multitenant.master_account (
	id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT master_account_pkey PRIMARY KEY,
	name text COLLATE "C" NOT NULL CONSTRAINT master_account_name_key UNIQUE,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE multitenant.master_account IS
'Service providers: each looks after the tenants that are linked to it.';

CREATE TABLE multitenant.master_tenant (
	tenant_id uuid NOT NULL,
	master_id uuid NOT NULL,
	linked_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT master_tenant_pkey PRIMARY KEY (tenant_id, master_id)
);
COMMENT ON TABLE multitenant.master_tenant IS
'Which tenants a master account looks after.';

CREATE TABLE multitenant.operator (
	tenant_id uuid NOT NULL,
	principal text COLLATE "C" NOT NULL,
	master_id uuid NOT NULL,
	role_id uuid NOT NULL,
	expires_at timestamptz,
	assigned_by text,
	-- Supervisions that began before are those of an operator who was unassigned.
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT operator_pkey PRIMARY KEY (tenant_id, principal)
);
CREATE INDEX operator_principal_idx ON multitenant.operator (principal);
COMMENT ON TABLE multitenant.operator IS
'Which principal of a master account looks after which tenant, with which role, until when.';

CREATE TABLE multitenant.access_request (
	id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT access_request_pkey PRIMARY KEY,
	tenant_id uuid NOT NULL,
	principal text COLLATE "C" NOT NULL,
	state text COLLATE "C" NOT NULL DEFAULT 'pending',
	-- Of an approved one.
	ends_at timestamptz,
	reason text NOT NULL,
	duration interval NOT NULL,
	requested_at timestamptz NOT NULL DEFAULT now(),
	decided_by text,
	decided_at timestamptz,
	note text,
	CONSTRAINT access_request_state_check CHECK (state IN ('pending', 'approved', 'denied')),
	CONSTRAINT access_request_ends_check CHECK ((state = 'approved') = (ends_at IS NOT NULL))
);
CREATE INDEX access_request_principal_idx ON multitenant.access_request (tenant_id, principal);
COMMENT ON TABLE multitenant.access_request IS
'What operators have asked tenants for, and what these have answered.';

-- Rows of their own: who decides for the tenant never waits for the operator.
CREATE TABLE multitenant.access_withdrawal (
	request_id uuid NOT NULL CONSTRAINT access_withdrawal_pkey PRIMARY KEY,
	withdrawn_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE multitenant.access_withdrawal IS
'Requests that operators have taken back, whatever tenants have answered.';

CREATE TABLE multitenant.supervision (
	id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT supervision_pkey PRIMARY KEY,
	tenant_id uuid NOT NULL,
	principal text COLLATE "C" NOT NULL,
	began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	ends_at timestamptz NOT NULL,
	ended_at timestamptz,
	reason text NOT NULL,
	request_id uuid
);
CREATE INDEX supervision_principal_idx ON multitenant.supervision (tenant_id, principal);
COMMENT ON TABLE multitenant.supervision IS
'When operators look, or looked, into tenants, and why.';

DO $$
DECLARE
	t name;
BEGIN
	FOREACH t IN ARRAY '{master_account,master_tenant,operator,access_request,access_withdrawal,supervision}'::name[] LOOP
		EXECUTE format('ALTER TABLE multitenant.%I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON multitenant.%I
			FOR EACH STATEMENT EXECUTE FUNCTION multitenant._own_table_changed()', t || '_changed', t);
	END LOOP;
END
$$;

SELECT pg_catalog.pg_extension_config_dump('multitenant.master_account', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.master_tenant', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.operator', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.access_request', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.access_withdrawal', '');
SELECT pg_catalog.pg_extension_config_dump('multitenant.supervision', '');
