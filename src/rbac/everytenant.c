/*
 * everytenant.c
 *	  One query in one tenant after the other, for an operator.
 *
 * Owns the iteration of across_tenants(): which query it may be, and that each tenant
 * gets a supervised context and a subtransaction of its own, which is rolled back
 * whatever comes of it. Invariant: no statement ever runs under two tenants; what one
 * tenant's turn has changed in the session - settings, cursors, roles - is gone
 * before the next one's begins.
 *
 * Security: the query runs with its caller's rights, and nothing else does. The
 * caller is a principal without a tenant, so nothing protected has been read in this
 * transaction; each tenant's context passes every check that begin_supervised() would
 * meet (MtContextPush). The rows that it collects are the result of this one function
 * and go where its caller's statement sends them.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "base/audit.h"
#include "base/errors.h"
#include "base/wording.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "rbac/supervision.h"
#include "tenant/context.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_across_tenants);

/*
 * Bytes of a reason, of a query, and of its wording, which is recorded for each
 * tenant. Of a longer query the wording would be that of its beginning (wording.c).
 */
#define REASON_MAX 1000
#define QUERY_MAX 65536
#define WORDING_MAX 4000

/* Is it running? A query of its own never calls it again. */
static bool is_running = false;

/* The plan of the query: one that is kept, so that it is forgotten when it was made for one tenant. */
static SPIPlanPtr plan = NULL;

/* Takes a tenant's rows, and puts the tenant before each. */
typedef struct Receiver
{
	DestReceiver receiver;
	const pg_uuid_t *tenant;
	ReturnSetInfo *result;
	Datum	   *values;
	bool	   *nulls;
} Receiver;

/* ---- the query ---- */

MT_NORETURN static void refuse_query(void);

static void
refuse_query(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("the query must be one SELECT that changes and locks nothing"),
			errhint("Leave out other statements, FOR UPDATE and its kin, INTO, and INSERT, UPDATE or DELETE in WITH."));
}

/* The query prepared, if it is one that only reads; lives as long as SPI's memory. */
static SPIPlanPtr
prepare(const char *text)
{
	SPIPlanPtr	prepared = SPI_prepare(text, 0, NULL);
	CachedPlanSource *source;
	Query	   *query;

	if (prepared == NULL || list_length(SPI_plan_get_plan_sources(prepared)) != 1)
		refuse_query();
	source = linitial(SPI_plan_get_plan_sources(prepared));
	if (list_length(source->query_list) != 1)
		refuse_query();
	query = linitial_node(Query, source->query_list);
	if (query->commandType != CMD_SELECT || query->utilityStmt != NULL ||
		query->hasModifyingCTE || query->hasForUpdate || source->resultDesc == NULL)
		refuse_query();
	return prepared;
}

/* Are the columns those that the caller has named, behind the tenant? */
static void
check_columns(TupleDesc given, TupleDesc wanted)
{
	if (wanted->natts < 1 || TupleDescAttr(wanted, 0)->atttypid != UUIDOID)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("the first column is the tenant, of type uuid"),
				errhint("Write .. AS t(tenant_id uuid, ..) with the columns of the query after it."));
	if (given->natts != wanted->natts - 1)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("the query has %d columns, and %d are named after the tenant", given->natts, wanted->natts - 1),
				errhint("Name each column of the query once."));
	for (int i = 0; i < given->natts; i++)
		if (TupleDescAttr(given, i)->atttypid != TupleDescAttr(wanted, i + 1)->atttypid)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column %d of the query is of type %s, not %s", i + 1,
						   format_type_be(TupleDescAttr(given, i)->atttypid),
						   format_type_be(TupleDescAttr(wanted, i + 1)->atttypid)),
					errhint("Name that type, or cast the column in the query."));
}

/* ---- the rows ---- */

/*
 * Security: the plan is made anew for each tenant, and what a function returns may be
 * of another type by then, because nothing locks functions. A number in the place of
 * an address would be read as one.
 */
static void
start_receiver(DestReceiver *self, int operation, TupleDesc desc)
{
	check_columns(desc, ((Receiver *) self)->result->setDesc);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;
	int			columns = receiver->result->setDesc->natts - 1;

	slot_getallattrs(slot);
	if (slot->tts_tupleDescriptor->natts != columns)
		elog(ERROR, "the query has other columns than before");
	receiver->values[0] = UUIDPGetDatum(receiver->tenant);
	receiver->nulls[0] = false;
	memcpy(receiver->values + 1, slot->tts_values, columns * sizeof(Datum));
	memcpy(receiver->nulls + 1, slot->tts_isnull, columns * sizeof(bool));
	tuplestore_putvalues(receiver->result->setResult, receiver->result->setDesc,
						 receiver->values, receiver->nulls);
	return true;
}

static void
end_receiver(DestReceiver *self)
{
}

static void
prepare_receiver(Receiver *receiver, ReturnSetInfo *result)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->receiver.receiveSlot = receive;
	receiver->receiver.rStartup = start_receiver;
	receiver->receiver.rShutdown = end_receiver;
	receiver->receiver.rDestroy = end_receiver;
	receiver->receiver.mydest = DestTuplestore;
	receiver->result = result;
	receiver->values = palloc(result->setDesc->natts * sizeof(Datum));
	receiver->nulls = palloc(result->setDesc->natts * sizeof(bool));
}

/* ---- the tenants ---- */

/* The steps inside the subtransaction. */
static void
run_in(const MtTenant *tenant, const MtContext *principal, Receiver *receiver,
	   MtContextStack *stack)
{
	MtContext	context = *principal;
	SPIExecuteOptions options = {0};
	Oid			user;
	int			security;
	int			outcome;

	context.kind = MT_KIND_SUPERVISED;
	context.basis = MT_BASIS_OPERATOR;
	/* No offer of the session: nothing in the query may replace it. */
	context.source = MT_SOURCE_CREDENTIAL;
	MtContextSetTenant(&context, tenant);
	MtContextPush(&context, stack);

	/* Its own user, but kept from what outlives the subtransaction. */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(user, security | SECURITY_RESTRICTED_OPERATION);
	receiver->tenant = &tenant->id;
	options.read_only = true;
	options.dest = &receiver->receiver;
	outcome = SPI_execute_plan_extended(plan, &options);
	if (outcome < 0)
		elog(ERROR, "unexpected result of a query: %s", SPI_result_code_string(outcome));
	SetUserIdAndSecContext(user, security);
	MtContextPop(stack);
}

/*
 * One tenant's turn. An error of it is thrown on when its subtransaction is over:
 * who catches it further up must find his own.
 */
static void
visit(const MtTenant *tenant, const MtContext *principal, Receiver *receiver)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MtContextStack stack = {0};

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		run_in(tenant, principal, receiver, &stack);
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MtContextPopAfterError(&stack);
		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* The query without its literals. Security: what is not recorded is not run. */
static char *
wording_of(const char *text)
{
	char	   *wording = palloc(WORDING_MAX + 2);

	(void) MtWordingOf(text, strlen(text), wording, WORDING_MAX + 2);
	if (strlen(wording) > WORDING_MAX)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the query has more than %d bytes without its literals", WORDING_MAX),
				errhint("It is recorded in each tenant as it is; make it shorter, or ask several."));
	return wording;
}

/*
 * The tables and views that the query names or reaches through views, as a list.
 *
 * Security: what the wording counts as a literal, because it cannot be told apart
 * for certain, may be a table to the server.
 */
static void
append_tables(StringInfo json, CachedPlanSource *source)
{
	const char *separator = "";
	ListCell   *cell;

	appendStringInfoChar(json, '[');
	foreach(cell, list_concat_unique_oid(NIL, source->relationOids))
	{
		Oid			relation = lfirst_oid(cell);
		char	   *name = get_rel_name(relation);

		if (relation < FirstNormalObjectId || name == NULL)
			continue;
		appendStringInfoString(json, separator);
		escape_json(json, quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name));
		separator = ", ";
	}
	appendStringInfoChar(json, ']');
}

/*
 * Once for the whole, and once for each tenant in its own record.
 *
 * Security: committed before the first tenant is read.
 */
static void
record(const char *text, CachedPlanSource *source, const char *reason, const MtTenant *tenants, int count)
{
	MtAuditEvent *events = MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(MtAuditEvent));
	StringInfoData json;
	const char *detail;

	initStringInfo(&json);
	appendStringInfoString(&json, "\"query\": ");
	escape_json(&json, wording_of(text));
	appendStringInfoString(&json, ", \"tables\": ");
	append_tables(&json, source);
	detail = psprintf("{%s}", json.data);

	memset(events, 0, (count + 1) * sizeof(MtAuditEvent));
	for (int i = 0; i <= count; i++)
	{
		events[i].event = "supervised.query";
		events[i].outcome = "allowed";
		events[i].object = reason;
		events[i].detail = detail;
		if (i > 0)
			events[i].tenant = &tenants[i - 1].id;
	}
	events[0].event = "supervised.across";
	events[0].detail = psprintf("{\"tenants\": %d, %s}", count, json.data);
	MtAuditEmitDurable(events, count + 1);
	pfree(events);
}

/* Security: who has nothing to look into fills no record and starts no process. */
static MtTenant *
tenants_of(const char *principal, int *count)
{
	MtTenant   *tenants = MtSupervisionTenants(principal, count);

	if (*count == 0)
		ereport(ERROR,
				errcode(MT_ERRCODE_NOT_A_MEMBER),
				errmsg("there is no tenant that this principal may look into"),
				errhint("It takes an operator of a service provider that tenants are linked to, and a tenant's consent."));
	return tenants;
}

static void
visit_all(const char *text, const char *reason, ReturnSetInfo *result)
{
	MtContext	principal = *MtContextGet();
	Receiver	receiver;
	SPIPlanPtr	prepared;
	CachedPlanSource *source;
	MtTenant   *tenants;
	int			count;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	prepared = prepare(text);
	source = linitial(SPI_plan_get_plan_sources(prepared));
	check_columns(source->resultDesc, result->setDesc);
	if (SPI_keepplan(prepared) != 0)
		elog(ERROR, "SPI_keepplan failed");
	plan = prepared;
	prepare_receiver(&receiver, result);
	tenants = tenants_of(principal.principal, &count);
	record(text, source, reason, tenants, count);

	/*
	 * Security: a cursor over the rows of all of them must not go on under
	 * the context of one.
	 */
	MtContextStayOutside();

	/* Security: as where a supervised context begins (guard/supervised.c). */
	ResetPlanCache();
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		visit(&tenants[i], &principal, &receiver);
	}
	SPI_finish();
}

/* ---- SQL ---- */

static const char *
text_argument(FunctionCallInfo fcinfo, int number, const char *what, int limit)
{
	const char *value = "";

	if (!PG_ARGISNULL(number))
		value = text_to_cstring(PG_GETARG_TEXT_PP(number));
	if (strspn(value, " \t\r\n") == strlen(value) || strlen(value) > limit)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s must not be empty, and has at most %d bytes", what, limit),
				errhint("Nothing was done; give every argument."));
	return value;
}

static void
require_principal(void)
{
	MtDenial	denial;

	MtContextMaterialise();
	if (is_running)
		ereport(ERROR,
				errcode(MT_ERRCODE_CONTEXT_CONFLICT),
				errmsg("across_tenants() cannot be called inside of itself"),
				errhint("Its query runs in one tenant at a time; join in the outer query."));
	if (MtContextGet()->state == MT_STATE_NONE)
		ereport(ERROR,
				errcode(MT_ERRCODE_NO_CONTEXT),
				errmsg("no principal that looks after tenants"),
				errhint("Call multitenant.authenticate() with a credential that names only its principal first."));
	if (MtContextGet()->state != MT_STATE_PRINCIPAL)
		ereport(ERROR,
				errcode(MT_ERRCODE_CONTEXT_CONFLICT),
				errmsg("this transaction already has another context"),
				errhint("Authenticate in a new transaction with a credential that names only its principal."));
	if (!MtContextCheckPrincipal(&denial))
		MtDenialRaise(&denial);
}

/* multitenant.across_tenants(query text, reason text) */
Datum
mt_across_tenants(PG_FUNCTION_ARGS)
{
	const char *text = text_argument(fcinfo, 0, "the query", QUERY_MAX);
	const char *reason = text_argument(fcinfo, 1, "the reason", REASON_MAX);

	require_principal();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	is_running = true;
	PG_TRY();
	{
		visit_all(text, reason, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_FINALLY();
	{
		is_running = false;
		if (plan != NULL)
			SPI_freeplan(plan);
		plan = NULL;
	}
	PG_END_TRY();
	return (Datum) 0;
}
