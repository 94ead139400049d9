-- The extension is not removed while tables depend on it.

CREATE FUNCTION multitenant._refuse_removal()
RETURNS event_trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER
AS 'MODULE_PATHNAME', 'mt_refuse_removal';
COMMENT ON FUNCTION multitenant._refuse_removal() IS
'Internal: refuses DROP EXTENSION and its equals while a table is labelled.';

CREATE EVENT TRIGGER multitenant_removal ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED', 'DROP SCHEMA', 'ALTER EXTENSION')
	EXECUTE FUNCTION multitenant._refuse_removal();
