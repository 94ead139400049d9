-- Security events. C writes the table by column position (src/base/audit.c).

CREATE TABLE multitenant.audit_event (
	-- Random, not counted: a restore loads old events beside those that it causes itself.
	id uuid CONSTRAINT audit_event_pkey PRIMARY KEY,
	at timestamptz NOT NULL,
	event text NOT NULL,
	source text NOT NULL,
	outcome text NOT NULL,
	tenant_id uuid,
	principal text,
	session_role name NOT NULL,
	"current_role" name NOT NULL,
	object text,
	detail jsonb NOT NULL
);
COMMENT ON TABLE multitenant.audit_event IS
'Append-only record of security events; written by the library.';
CREATE INDEX audit_event_tenant_id_idx ON multitenant.audit_event (tenant_id, at);

ALTER TABLE multitenant.audit_event ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant.audit_event', '');

-- Append-only also for superusers, unless they disable the trigger by name.
CREATE FUNCTION multitenant._refuse_change()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'the audit record is append-only'
		USING ERRCODE = 'MT010',
		HINT = 'To remove old events, disable the trigger audit_event_append_only first; that is logged as DDL.';
END
$$;
COMMENT ON FUNCTION multitenant._refuse_change() IS
'Internal: refuses UPDATE, DELETE and TRUNCATE.';

CREATE TRIGGER audit_event_append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON multitenant.audit_event
	FOR EACH STATEMENT EXECUTE FUNCTION multitenant._refuse_change();

CREATE FUNCTION multitenant.audit(event text, detail jsonb DEFAULT '{}')
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_audit';
COMMENT ON FUNCTION multitenant.audit(text, jsonb) IS
'Records an event of the application. event: a dotted name of 1 to 128 bytes such as "invoice.approved"; detail: a JSON object. Time, role, tenant and principal are set by the engine. Errors: 22023 if the name is reserved for the engine, or an argument is null or of another form; MT004, MT006, MT008 in a context that has ended.';

CREATE FUNCTION multitenant._audit(event text, tenant uuid, object text, outcome text, detail jsonb)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_audit_engine';
COMMENT ON FUNCTION multitenant._audit(text, uuid, text, text, jsonb) IS
'Internal: records an event of the engine.';

CREATE FUNCTION multitenant._audit_durably(event text, tenant uuid, object text, outcome text, detail jsonb)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_audit_durably';
COMMENT ON FUNCTION multitenant._audit_durably(text, uuid, text, text, jsonb) IS
'Internal: records an event of the engine that no rollback takes away; returns when it is committed. Errors: 55000 no process can be started for it, 25006 on a standby.';
