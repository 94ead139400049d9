/*
 * permission.c
 *	  What SQL asks about permissions of the current principal, or of another one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/audit.h"
#include "base/compat.h"
#include "base/extension.h"
#include "base/settings.h"
#include "fmgr.h"
#include "rbac/assignments.h"
#include "rbac/catalogue.h"
#include "rbac/rights.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_has_permission);
PG_FUNCTION_INFO_V1(mt_has_permission_anywhere);
PG_FUNCTION_INFO_V1(mt_has_permission_of);
PG_FUNCTION_INFO_V1(mt_has_system_permission);
PG_FUNCTION_INFO_V1(mt_is_permission);
PG_FUNCTION_INFO_V1(mt_latest_rights_version);
PG_FUNCTION_INFO_V1(mt_require_permission);

/* What a call site has asked for last; most ask for the same again. */
typedef struct Asked
{
	uint64		stamp;
	int			number;
	int			length;
	char		name[MT_PERMISSION_MAX];
} Asked;

/* The number of the permission; throws 42704. Rights have been looked up before. */
static int
find_number(const text *permission)
{
	int			number = MtCatalogueNumber(VARDATA_ANY(permission), VARSIZE_ANY_EXHDR(permission));

	if (number < 0)
		MtCatalogueRaiseUnknown(VARDATA_ANY(permission), VARSIZE_ANY_EXHDR(permission));
	return number;
}

/* The same under that stamp, remembered for the next call. */
static int
number_asked_for(FunctionCallInfo fcinfo, const text *permission, uint64 stamp)
{
	int			length = VARSIZE_ANY_EXHDR(permission);
	Asked	   *asked = fcinfo->flinfo->fn_extra;

	if (likely(asked != NULL && asked->stamp == stamp && asked->length == length &&
			   memcmp(asked->name, VARDATA_ANY(permission), length) == 0))
		return asked->number;
	if (asked == NULL)
		asked = fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Asked));
	asked->stamp = 0;
	asked->number = find_number(permission);
	asked->length = length;
	memcpy(asked->name, VARDATA_ANY(permission), length);
	asked->stamp = stamp;
	return asked->number;
}

/* Throws unless there is a tenant, whose context may be used now. */
static void
require_context(void)
{
	MtDenial	denial;

	if (!MtContextCheck(&denial))
		MtDenialRaise(&denial);
}

static text *
permission_argument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the permission must not be null"),
				errhint("Name it as resource:action."));
	return PG_GETARG_TEXT_PP(argument);
}

/* Do the rights hold the permission in the scope of that argument, null being the whole tenant? */
static bool
is_held(FunctionCallInfo fcinfo, int argument, const MtRights *rights, int number)
{
	text	   *scope;

	if (PG_ARGISNULL(argument))
		return MtRightsHave(rights, number);
	scope = PG_GETARG_TEXT_PP(argument);
	return MtRightsHaveIn(rights, number, VARDATA_ANY(scope), VARSIZE_ANY_EXHDR(scope));
}

/* multitenant.has_permission(permission text, scope text) */
Datum
mt_has_permission(PG_FUNCTION_ARGS)
{
	text	   *permission;
	const MtRights *rights;
	uint64		stamp;

	require_context();
	permission = permission_argument(fcinfo, 0);
	rights = MtRightsOfContext(&stamp);
	PG_RETURN_BOOL(is_held(fcinfo, 1, rights, number_asked_for(fcinfo, permission, stamp)));
}

/* multitenant.has_permission_anywhere(permission text) */
Datum
mt_has_permission_anywhere(PG_FUNCTION_ARGS)
{
	text	   *permission;
	const MtRights *rights;
	uint64		stamp;

	require_context();
	permission = permission_argument(fcinfo, 0);
	rights = MtRightsOfContext(&stamp);
	PG_RETURN_BOOL(MtRightsHaveSomewhere(rights, number_asked_for(fcinfo, permission, stamp)));
}

/*
 * Says that somebody was denied what the application has asked for, and records it;
 * the rights are asked first.
 */
MT_NORETURN static void refuse(const MtRights *rights, const char *permission, int number, const char *scope);

static void
refuse(const MtRights *rights, const char *permission, int number, const char *scope)
{
	MtAuditEvent event = {.event = "access.permission",.outcome = "refused",.object = permission};
	MtDenial	denial;

	if (scope != NULL)
	{
		StringInfoData detail;

		initStringInfo(&detail);
		appendStringInfoString(&detail, "{\"scope\": ");
		escape_json(&detail, scope);
		appendStringInfoChar(&detail, '}');
		event.detail = detail.data;
	}
	(void) MtRightsDeny(rights, permission, number, scope != NULL, &denial);
	MtAuditEmit(&event);
	MtDenialRaise(&denial);
}

/* multitenant.require_permission(permission text, scope text) */
Datum
mt_require_permission(PG_FUNCTION_ARGS)
{
	text	   *permission = permission_argument(fcinfo, 0);
	const MtRights *rights;
	uint64		stamp;
	int			number;

	require_context();
	rights = MtRightsOfContext(&stamp);
	number = number_asked_for(fcinfo, permission, stamp);
	if (!is_held(fcinfo, 1, rights, number))
		refuse(rights, text_to_cstring(permission), number,
			   PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}

/* multitenant.has_permission_of(principal text, permission text, scope text) */
Datum
mt_has_permission_of(PG_FUNCTION_ARGS)
{
	text	   *permission = permission_argument(fcinfo, 1);
	const MtRights *rights;
	MtDenial	denial;

	require_context();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the principal must not be null"),
				errhint("For the current principal, ask has_permission()."));

	/*
	 * Security: what others may do is told to who reviews access alone, and
	 * to nobody from outside.
	 */
	if (MtContextGet()->kind != MT_KIND_TENANT)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("people and rights of a tenant are its own affair"),
				errhint("Supervised contexts neither see nor change them."));
	if (!MtRightsCheck("access:review", false, NULL, &denial))
		MtDenialRaise(&denial);
	rights = MtRightsOfMember(&MtContextGet()->tenant, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_BOOL(is_held(fcinfo, 2, rights, find_number(permission)));
}

/* multitenant.has_system_permission(permission text) */
Datum
mt_has_system_permission(PG_FUNCTION_ARGS)
{
	text	   *permission = permission_argument(fcinfo, 0);
	const MtRights *rights;
	MtDenial	denial;

	/*
	 * Security: also takes in what others have committed, in whatever state
	 * the context is.
	 */
	if (!MtContextCheckAny(&denial))
		MtDenialRaise(&denial);
	rights = MtRightsOfSystem();
	PG_RETURN_BOOL(MtRightsHave(rights, find_number(permission)));
}

/*
 * multitenant._latest_rights_version(tenant uuid): for the extension's own
 * functions, which read with the transaction's snapshot. Not executable by
 * PUBLIC.
 */
Datum
mt_latest_rights_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(MtAssignmentsVersion(PG_GETARG_UUID_P(0)));
}

/* multitenant._is_permission(permission text) */
Datum
mt_is_permission(PG_FUNCTION_ARGS)
{
	if (!MtIsActive())
		PG_RETURN_BOOL(false);

	/* Asking for the stamp reads the catalogue where it has changed. */
	MtRegistryAccept();
	(void) MtRightsStamp();
	PG_RETURN_BOOL(MtPermissionNumber(text_to_cstring(PG_GETARG_TEXT_PP(0))) >= 0);
}
