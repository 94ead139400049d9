/*
 * session.c
 *	  SQL functions on the context: setting it, reading it, showing it.
 *
 * The accessors stand in every policy, so they read one pointer and nothing
 * else. The setters decide who may; context.c decides what a transaction is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/audit.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/redact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "tenant/credential.h"
#include "tenant/membership.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_authenticate);
PG_FUNCTION_INFO_V1(mt_maintain_tenant);
PG_FUNCTION_INFO_V1(mt_use_tenant_text);
PG_FUNCTION_INFO_V1(mt_use_tenant_uuid);
PG_FUNCTION_INFO_V1(mt_use_tenant_number);
PG_FUNCTION_INFO_V1(mt_switch_tenant_text);
PG_FUNCTION_INFO_V1(mt_switch_tenant_uuid);
PG_FUNCTION_INFO_V1(mt_switch_tenant_number);
PG_FUNCTION_INFO_V1(mt_require_own_tenant);
PG_FUNCTION_INFO_V1(mt_require_own_principal);
PG_FUNCTION_INFO_V1(mt_reset_tenant);
PG_FUNCTION_INFO_V1(mt_system_context);
PG_FUNCTION_INFO_V1(mt_current_tenant);
PG_FUNCTION_INFO_V1(mt_current_tenant_or_null);
PG_FUNCTION_INFO_V1(mt_current_tenant_number);
PG_FUNCTION_INFO_V1(mt_current_tenant_int4);
PG_FUNCTION_INFO_V1(mt_current_tenant_slug);
PG_FUNCTION_INFO_V1(mt_current_principal);
PG_FUNCTION_INFO_V1(mt_context);
PG_FUNCTION_INFO_V1(mt_audit);

/* Bytes of an application event's detail: a record, not a store. */
#define MAX_DETAIL 65536

/* ---- setting ---- */

static void
require_active_extension(void)
{
	if (!MtIsActive())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("extension multitenant is not ready in this database"),
				errhint("Run CREATE EXTENSION multitenant."));
}

static Datum
return_context_tenant(FunctionCallInfo fcinfo)
{
	const MtContext *context = MtContextGet();
	pg_uuid_t  *result;

	if (context->state != MT_STATE_TENANT)
		PG_RETURN_NULL();
	result = palloc(sizeof(pg_uuid_t));
	*result = context->tenant;
	PG_RETURN_UUID_P(result);
}

static void
record_system_context(const char *reason)
{
	MtAuditEvent event = {.event = "context.system",.outcome = "allowed"};

	event.object = reason;
	MtAuditEmit(&event);
}

/* multitenant.authenticate(credential text) */
Datum
mt_authenticate(PG_FUNCTION_ARGS)
{
	/* No credential is a wrong one: whoever passes it expects a context. */
	text	   *credential = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	MtContext	context;

	require_active_extension();
	MtContextForsakeSession();
	MtAccessRequire(MT_MAY_AUTHENTICATE, "presenting a credential");
	MtRedactActivity();
	if (credential == NULL)
		MtCredentialVerify("", 0, &context);
	else
		MtCredentialVerify(VARDATA_ANY(credential), VARSIZE_ANY_EXHDR(credential), &context);
	MtContextEstablish(&context);
	if (context.state == MT_STATE_SYSTEM)
		record_system_context("credential");
	return return_context_tenant(fcinfo);
}

/*
 * What two arguments say: a principal besides the tenant, which must be an active
 * member. No principal - null, or nothing - is not a context without one.
 */
static bool
take_principal(FunctionCallInfo fcinfo, MtContext *context)
{
	char	   *principal = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));

	context->by_membership = true;
	return principal[0] != '\0' &&
		strlcpy(context->principal, principal, sizeof(context->principal)) <
		sizeof(context->principal) &&
		MtMembershipIsActive(&context->tenant, principal, NULL);
}

/*
 * Security: only a caller with the right to know learns that a tenant does not
 * exist; prepare_use_tenant() requires that right before it comes here.
 */
static Datum
use_tenant(FunctionCallInfo fcinfo, bool is_found, const MtTenant *tenant, MtBasis basis)
{
	MtContext	context = {.kind = MT_KIND_TENANT,.source = MT_SOURCE_NAME,.basis = basis,
	.expires = DT_NOEND};

	if (!is_found)
		MtContextRaiseNoSuchTenant();
	MtContextSetTenant(&context, tenant);
	if (PG_NARGS() > 1 && !take_principal(fcinfo, &context))
		MtContextRaiseNoSuchTenant();
	MtContextEstablish(&context);
	return return_context_tenant(fcinfo);
}

static void
prepare_use_tenant(void)
{
	require_active_extension();
	MtContextForsakeSession();
	MtAccessRequire(MT_MAY_NAME_TENANT, "naming a tenant");
	MtRegistryAccept();
}

/*
 * multitenant._maintain_tenant(tenant uuid): as use_tenant(), for procedures that go
 * through the tables of a tenant.
 *
 * Security: permissions of tables are not asked in it. Who may change isolation may take
 * them off the tables, and the code of a table's owner that runs meanwhile runs in
 * the sessions of the tenant's people, too.
 */
Datum
mt_maintain_tenant(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_use_tenant();
	MtAccessRequire(MT_MAY_CHANGE_ISOLATION, "maintaining tables of a tenant");
	return use_tenant(fcinfo, MtRegistryById(PG_GETARG_UUID_P(0), &tenant), &tenant, MT_BASIS_MAINTENANCE);
}

/* multitenant.use_tenant(tenant text [, principal text]) */
Datum
mt_use_tenant_text(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_use_tenant();
	return use_tenant(fcinfo, !PG_ARGISNULL(0) &&
					  MtRegistryByText(text_to_cstring(PG_GETARG_TEXT_PP(0)), &tenant),
					  &tenant, MT_BASIS_TOKEN);
}

/* multitenant.use_tenant(tenant uuid [, principal text]) */
Datum
mt_use_tenant_uuid(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_use_tenant();
	return use_tenant(fcinfo, !PG_ARGISNULL(0) &&
					  MtRegistryById(PG_GETARG_UUID_P(0), &tenant), &tenant, MT_BASIS_TOKEN);
}

/* multitenant.use_tenant(tenant bigint [, principal text]) */
Datum
mt_use_tenant_number(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_use_tenant();
	return use_tenant(fcinfo, !PG_ARGISNULL(0) &&
					  MtRegistryByNumber(PG_GETARG_INT64(0), &tenant), &tenant, MT_BASIS_TOKEN);
}

static void
prepare_switch_tenant(void)
{
	require_active_extension();
	MtAccessRequire(MT_MAY_AUTHENTICATE, "switching to a tenant");
	MtRegistryAccept();
	if (MtContextGet()->state == MT_STATE_NONE)
		ereport(ERROR,
				errcode(MT_ERRCODE_NO_CONTEXT),
				errmsg("no principal to switch to a tenant"),
				errhint("Call multitenant.authenticate() with a credential of the principal first."));
	if (MtContextGet()->state == MT_STATE_SYSTEM ||
		MtContextGet()->principal[0] == '\0')
		ereport(ERROR,
				errcode(MT_ERRCODE_CONTEXT_CONFLICT),
				errmsg("this context has no principal that could switch to a tenant"),
				errhint("Start a new transaction with a credential that names its principal in \"sub\"."));
}

static void
record_switch(const MtTenant *tenant)
{
	MtAuditEvent event = {.event = "context.switch",.outcome = "allowed"};

	event.object = tenant->slug;
	MtAuditEmit(&event);
}

static Datum
switch_tenant(FunctionCallInfo fcinfo, bool is_found, const MtTenant *tenant)
{
	if (!is_found)
		MtContextRaiseNoSuchTenant();
	if (MtContextEnterTenant(tenant, MtMembershipIsActive(&tenant->id, MtContextGet()->principal, NULL)))
		record_switch(tenant);
	return return_context_tenant(fcinfo);
}

/* multitenant.switch_tenant(tenant text) */
Datum
mt_switch_tenant_text(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_switch_tenant();
	return switch_tenant(fcinfo, !PG_ARGISNULL(0) &&
						 MtRegistryByText(text_to_cstring(PG_GETARG_TEXT_PP(0)), &tenant),
						 &tenant);
}

/* multitenant.switch_tenant(tenant uuid) */
Datum
mt_switch_tenant_uuid(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_switch_tenant();
	return switch_tenant(fcinfo, !PG_ARGISNULL(0) &&
						 MtRegistryById(PG_GETARG_UUID_P(0), &tenant), &tenant);
}

/* multitenant.switch_tenant(tenant bigint) */
Datum
mt_switch_tenant_number(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	prepare_switch_tenant();
	return switch_tenant(fcinfo, !PG_ARGISNULL(0) &&
						 MtRegistryByNumber(PG_GETARG_INT64(0), &tenant), &tenant);
}

/*
 * multitenant._require_own_tenant(what text): the tenant, for what concerns itself
 * alone.
 *
 * Security: functions and views that work with the extension's rights rely on it; no
 * policy and no key stands in front of them. A context that has ended in the meantime
 * - expired, membership over, tenant suspended - is none, nor is one of those who look
 * into the tenant from outside or maintain the database.
 */
Datum
mt_require_own_tenant(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	const MtContext *context = MtContextGet();

	require_active_extension();
	if (context->state == MT_STATE_SYSTEM ||
		(context->state == MT_STATE_TENANT && context->kind != MT_KIND_TENANT))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("%s is for the tenant alone", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				errhint("Supervised and system contexts have no access to it; use a context of the tenant's own."));
	if (!MtContextCheck(&denial))
		MtDenialRaise(&denial);
	return return_context_tenant(fcinfo);
}

/*
 * multitenant._require_own_principal(): who asks, for what a principal does for
 * itself in whichever tenant.
 *
 * Security: a token that names a tenant may come from an issuer who is trusted with
 * that tenant alone; it must not speak for the principal in others.
 */
Datum
mt_require_own_principal(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	const MtContext *context = MtContextGet();

	require_active_extension();
	if (!MtContextCheckPrincipal(&denial))
		MtDenialRaise(&denial);
	if (context->state != MT_STATE_PRINCIPAL && !context->by_membership)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("this credential speaks for the principal in one tenant only"),
				errhint("Use a credential that names the principal in \"sub\" and no tenant."));
	PG_RETURN_TEXT_P(cstring_to_text(context->principal));
}

/* multitenant.reset_tenant() */
Datum
mt_reset_tenant(PG_FUNCTION_ARGS)
{
	MtContextForsakeSession();
	MtContextReset();
	PG_RETURN_VOID();
}

/* multitenant.system_context(reason text) */
Datum
mt_system_context(PG_FUNCTION_ARGS)
{
	MtContext	context = {.state = MT_STATE_SYSTEM,.kind = MT_KIND_SYSTEM,
	.source = MT_SOURCE_NAME,.expires = DT_NOEND};
	const char *reason = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));

	require_active_extension();
	MtAccessRequire(MT_MAY_ENTER_SYSTEM, "entering a system context");
	if (strspn(reason, " \t\r\n") == strlen(reason))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a system context needs a reason"),
				errhint("Say in a few words what is done and why; it is recorded."));
	MtContextEstablish(&context);
	record_system_context(reason);
	PG_RETURN_VOID();
}

/* ---- reading ---- */

static const MtContext *
tenant_context(void)
{
	const MtContext *context = MtContextGet();
	MtDenial	denial;

	if (likely(context->state == MT_STATE_TENANT))
		return context;
	MtContextDenyMissing(&denial);
	MtDenialRaise(&denial);
}

/*
 * multitenant.current_tenant(): not a copy for each call, because it is called
 * for every row of a scan, but one that lasts as long as the transaction.
 */
Datum
mt_current_tenant(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *tenant = MtContextTenant();

	if (unlikely(tenant == NULL))
		(void) tenant_context();
	PG_RETURN_UUID_P(tenant);
}

/* multitenant.current_tenant_or_null() */
Datum
mt_current_tenant_or_null(PG_FUNCTION_ARGS)
{
	return return_context_tenant(fcinfo);
}

/* multitenant.current_tenant_number() */
Datum
mt_current_tenant_number(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(tenant_context()->number);
}

/* multitenant.current_tenant_int4() */
Datum
mt_current_tenant_int4(PG_FUNCTION_ARGS)
{
	int64		number = tenant_context()->number;

	/* Security: a number that does not fit must not become another tenant's. */
	if (number < PG_INT32_MIN || number > PG_INT32_MAX)
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("the number of this tenant does not fit into an integer column"),
				errhint("Change the tenant column to bigint."));
	PG_RETURN_INT32((int32) number);
}

/* multitenant.current_tenant_slug() */
Datum
mt_current_tenant_slug(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(tenant_context()->slug));
}

/* multitenant.current_principal() */
Datum
mt_current_principal(PG_FUNCTION_ARGS)
{
	const MtContext *context = MtContextGet();

	if (context->principal[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(context->principal));
}

static const char *const state_names[] = {"none", "principal", "tenant", "system"};
static const char *const kind_names[] = {"tenant", "supervised", "system"};
static const char *const source_names[] = {
	"credential", "connection", "binding", "name", "session"
};

/* multitenant._context(): the row of the view multitenant.context. */
Datum
mt_context(PG_FUNCTION_ARGS)
{
	const MtContext *context = MtContextGet();
	TupleDesc	desc;
	Datum		values[9] = {0};
	bool		nulls[9];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	values[0] = CStringGetTextDatum(state_names[context->state]);
	nulls[0] = false;
	if (context->state == MT_STATE_TENANT)
	{
		values[1] = UUIDPGetDatum(&context->tenant);
		values[2] = Int64GetDatum(context->number);
		values[3] = CStringGetTextDatum(context->slug);
		nulls[1] = nulls[2] = nulls[3] = false;
	}
	if (context->principal[0] != '\0')
	{
		values[4] = CStringGetTextDatum(context->principal);
		nulls[4] = false;
	}
	if (context->state != MT_STATE_NONE)
	{
		values[5] = CStringGetTextDatum(kind_names[context->kind]);
		values[8] = CStringGetTextDatum(source_names[context->source]);
		nulls[5] = nulls[8] = false;
	}
	if (context->scope[0] != '\0')
	{
		values[6] = CStringGetTextDatum(context->scope);
		nulls[6] = false;
	}
	if (context->state != MT_STATE_NONE && context->expires != DT_NOEND)
	{
		values[7] = TimestampTzGetDatum(context->expires);
		nulls[7] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- events of applications ---- */

/* ASCII letters, digits, dots, underscores and hyphens; no other name is read. */
static bool
is_event_name(const char *name)
{
	size_t		length = strlen(name);

	return length >= 1 && length <= 128 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length;
}

/*
 * multitenant.audit(event text, detail jsonb): for applications.
 *
 * Security: who is no member any more writes nothing into the tenant's record, nor
 * under a name that was his.
 */
Datum
mt_audit(PG_FUNCTION_ARGS)
{
	MtAuditEvent event = {0};
	MtDenial	denial;

	if (MtContextGet()->state != MT_STATE_NONE && !MtContextCheckAny(&denial))
		MtDenialRaise(&denial);
	event.event = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!is_event_name(event.event))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid event name"),
				errhint("Use 1 to 128 letters, digits, dots, underscores and hyphens, such as \"invoice.approved\"."));
	if (PG_ARGISNULL(1) || !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)) ||
		VARSIZE_ANY(PG_GETARG_JSONB_P(1)) > MAX_DETAIL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the detail of an event must be a JSON object of at most %d bytes", MAX_DETAIL),
				errhint("Record what identifies the event, not its data."));
	if (MtAuditIsReserved(event.event))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("event name \"%s\" is reserved for the engine", event.event),
				errhint("Start the name with the application's own word, such as \"invoice.\"."));
	event.source = MT_AUDIT_APPLICATION;
	event.outcome = "done";
	event.detail = JsonbToCString(NULL, &PG_GETARG_JSONB_P(1)->root,
								  VARSIZE_ANY(PG_GETARG_JSONB_P(1)));
	MtAuditEmit(&event);
	PG_RETURN_VOID();
}
