/*
 * trial.c
 *	  One command as a role, under the context of a tenant, undone afterwards.
 *
 * explain_access() and test_isolation() ask in the name of an application. Owns
 * the change of user, context and settings around such a command, and what came
 * of it. Invariant: whatever the command does, the user, the context and the
 * lock are afterwards what they were.
 *
 * Security: for superusers only. The command and all that it calls run as the
 * role, in a security-restricted operation that they cannot leave, so code that
 * others have attached to a table never has the superuser's rights.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_try);

/* What came of a command; texts are in the caller's memory. */
typedef struct Outcome
{
	const char *sqlstate;
	const char *message;		/* NULL without an error */
	uint64		rows;
	const char *value;			/* of the first column of the first row */
} Outcome;

/*
 * The context of an application that has named the tenant; none for NULL. With
 * is_maintenance nothing but isolation is asked in it, no permissions.
 */
static MtContext
context_of(const pg_uuid_t *tenant_id, bool is_maintenance)
{
	MtContext	context = {.state = MT_STATE_NONE};
	MtTenant	tenant;

	if (tenant_id == NULL)
		return context;
	MtRegistryAccept();
	if (!MtRegistryById(tenant_id, &tenant))
		ereport(ERROR,
				errcode(MT_ERRCODE_NOT_A_MEMBER),
				errmsg("no such tenant"),
				errhint("Name a tenant by its id, number or slug."));
	context.kind = MT_KIND_TENANT;
	context.source = MT_SOURCE_NAME;
	context.basis = is_maintenance ? MT_BASIS_MAINTENANCE : MT_BASIS_TOKEN;
	context.expires = DT_NOEND;
	MtContextSetTenant(&context, &tenant);
	return context;
}

/*
 * Security: row security cannot be switched off for the command, but the caller's
 * setting may turn its filter into an error; that would look like a refusal.
 */
static void
use_settings_of_a_session(void)
{
	const char *path = GetConfigOptionResetString("search_path");

	(void) set_config_option("search_path", path ? path : "", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	(void) set_config_option("row_security", "on", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
}

static void
execute(const char *command, MemoryContext memory, Outcome *outcome)
{
	int			result = SPI_execute(command, false, 0);

	if (result < 0)
		elog(ERROR, "unexpected result of a trial: %s", SPI_result_code_string(result));
	outcome->sqlstate = "00000";
	outcome->rows = SPI_processed;
	if (SPI_tuptable != NULL && SPI_tuptable->numvals > 0)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (value != NULL)
			outcome->value = MemoryContextStrdup(memory, value);
	}
}

/* The steps inside the subtransaction. */
static void
run_as(Oid role, const MtContext *context, const char *command,
	   MemoryContext memory, MtContextStack *stack, Outcome *outcome)
{
	Oid			user;
	int			security;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/* Deferred triggers are refused in a security-restricted operation. */
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) < 0)
		elog(ERROR, "unexpected result of SET CONSTRAINTS");

	MtContextPush(context, stack);
	use_settings_of_a_session();
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	execute(command, memory, outcome);
	SetUserIdAndSecContext(user, security);
	SPI_finish();
	MtContextPop(stack);
}

/* Notes the error that was caught; what interrupts the caller goes on. */
static void
note_error(MemoryContext memory, Outcome *outcome)
{
	ErrorData  *error;

	MemoryContextSwitchTo(memory);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_ASSERT_FAILURE)
		PG_RE_THROW();
	FlushErrorState();
	memset(outcome, 0, sizeof(*outcome));
	outcome->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
	outcome->message = error->message != NULL ? error->message : "";
}

static void
try(Oid role, const MtContext *context, const char *command, bool is_kept,
	MtContextStack *stack, Outcome *outcome)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		run_as(role, context, command, memory, stack, outcome);
		if (is_kept)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		/* First of all, because what interrupts is thrown on. */
		MtContextPopAfterError(stack);
		note_error(memory, outcome);
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
}

/*
 * multitenant._try(role name, tenant uuid, command text, keep boolean, unasked boolean):
 * runs the command; without tenant there is no context, with unasked no permissions are
 * asked. Columns: sqlstate, message, rows,
 * value.
 */
Datum
mt_try(PG_FUNCTION_ARGS)
{
	Outcome		outcome = {0};
	MtContextStack stack = {0};
	MtContext	context;
	TupleDesc	desc;
	Datum		values[4] = {0};
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	MtAccessRequireSuperuser("asking on behalf of a role");
	MtContextRequireNone();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	context = context_of(PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1),
						 !PG_ARGISNULL(4) && PG_GETARG_BOOL(4));
	try(get_role_oid(NameStr(*PG_GETARG_NAME(0)), false), &context,
		text_to_cstring(PG_GETARG_TEXT_PP(2)),
		!PG_ARGISNULL(3) && PG_GETARG_BOOL(3), &stack, &outcome);

	values[0] = CStringGetTextDatum(outcome.sqlstate);
	nulls[1] = outcome.message == NULL;
	if (outcome.message != NULL)
		values[1] = CStringGetTextDatum(outcome.message);
	values[2] = Int64GetDatum((int64) outcome.rows);
	nulls[3] = outcome.value == NULL;
	if (outcome.value != NULL)
		values[3] = CStringGetTextDatum(outcome.value);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
