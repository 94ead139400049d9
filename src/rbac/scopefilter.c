/*
 * scopefilter.c
 *	  Which rows of a table are in the principal's scopes.
 *
 * multitenant.in_scope(scope column, permission) stands in the policies of tables
 * whose rows belong to scopes, and is called for each row. Owns what one expression
 * remembers between rows. Invariant: what is remembered is an answer of rights with the
 * same stamp as those of now, so it is theirs.
 *
 * Security: not leakproof. It tells of a scope only whether the caller's own
 * principal has the permission there; but what is not leakproof is tested after the
 * tenant's own condition, and so sees no row of others.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/errors.h"
#include "fmgr.h"
#include "rbac/catalogue.h"
#include "rbac/rights.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_in_scope_uuid);
PG_FUNCTION_INFO_V1(mt_in_scope_int8);
PG_FUNCTION_INFO_V1(mt_in_scope_int4);
PG_FUNCTION_INFO_V1(mt_in_scope_text);

/* Scopes of text may be longer. */
#define REMEMBERED_SCOPE_MAX 255

/* What is remembered of one call in an expression. */
typedef struct ScopeFilter
{
	bool		is_ready;
	uint64		stamp;			/* of the rights that the rest was asked under */
	int			permission;
	bool		is_whole;		/* it is held in the whole tenant */
	bool		has_last;		/* the scope of the last row, and the answer */
	bool		last_answer;
	pg_uuid_t	last_uuid;
	int64		last_number;
	int			last_length;
	char		last_text[REMEMBERED_SCOPE_MAX];
	int			name_length;
	char		name[MT_PERMISSION_MAX];
} ScopeFilter;

/*
 * Asks everything that is the same for each row.
 *
 * Security: a permission that does not exist is an error and never "no": a misspelt
 * one would hide rows silently, or show them where somebody negates the answer.
 * Maintenance has to see all rows of the tenant: what it leaves out would stay behind,
 * encrypted with an old key or in an old partition.
 */
static pg_noinline void
prepare(ScopeFilter *filter, const MtRights *rights, uint64 stamp, const char *name, int length)
{
	bool		is_unasked = MtContextIsMaintenance();
	char	   *permission;

	filter->is_ready = false;
	if (length > MT_PERMISSION_MAX)
		MtCatalogueRaiseUnknown(name, length);
	permission = pnstrdup(name, length);
	filter->stamp = stamp;
	filter->permission = MtPermissionNumber(permission);
	if (filter->permission < 0)
		MtCatalogueRaiseUnknown(name, length);
	filter->is_whole = is_unasked || MtRightsHave(rights, filter->permission);
	filter->has_last = false;
	memcpy(filter->name, name, length);
	filter->name_length = length;

	/*
	 * The stamp does not tell maintenance from other contexts that have no
	 * principal.
	 */
	filter->is_ready = !is_unasked;
	pfree(permission);
}

/*
 * For the first row of an expression.
 *
 * Security: whoever calls it by hand, where no guard has looked, gets no answer of a
 * context that has ended, and none that others have changed since.
 */
static pg_noinline ScopeFilter *
make_filter(FunctionCallInfo fcinfo)
{
	MtDenial	denial;

	MtRegistryAccept();
	if (MtContextGet()->state == MT_STATE_TENANT && !MtContextCheck(&denial))
		MtDenialRaise(&denial);
	return MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(ScopeFilter));
}

/* What is remembered of this call, asked anew where the rights have changed; and the rights. */
static inline ScopeFilter *
filter_of(FunctionCallInfo fcinfo, const MtRights **rights)
{
	ScopeFilter *filter = fcinfo->flinfo->fn_extra;
	uint64		stamp;
	text	   *permission;
	char	   *name;
	int			length;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("no permission given"),
				errhint("Name it as resource:action."));
	if (unlikely(filter == NULL))
		filter = fcinfo->flinfo->fn_extra = make_filter(fcinfo);
	permission = PG_GETARG_TEXT_PP(1);
	name = VARDATA_ANY(permission);
	length = VARSIZE_ANY_EXHDR(permission);
	*rights = MtRightsOfContext(&stamp);
	if (unlikely(!filter->is_ready || filter->stamp != stamp ||
				 filter->name_length != length || memcmp(filter->name, name, length) != 0))
		prepare(filter, *rights, stamp, name, length);
	return filter;
}

/*
 * A row without a scope is covered by rights in the whole tenant only, as is one
 * whose scope is not in the tree; both are where the search ends.
 */
Datum
mt_in_scope_uuid(PG_FUNCTION_ARGS)
{
	const MtRights *rights;
	ScopeFilter *filter = filter_of(fcinfo, &rights);
	pg_uuid_t  *scope;

	if (filter->is_whole || PG_ARGISNULL(0))
		PG_RETURN_BOOL(filter->is_whole);
	scope = PG_GETARG_UUID_P(0);
	if (!filter->has_last || memcmp(&filter->last_uuid, scope, UUID_LEN) != 0)
	{
		filter->has_last = false;
		filter->last_answer = MtRightsHaveInUuid(rights, filter->permission, scope);
		filter->last_uuid = *scope;
		filter->has_last = true;
	}
	PG_RETURN_BOOL(filter->last_answer);
}

static Datum
in_scope_number(const MtRights *rights, ScopeFilter *filter, int64 scope)
{
	if (!filter->has_last || filter->last_number != scope)
	{
		filter->has_last = false;
		filter->last_answer = MtRightsHaveInInt8(rights, filter->permission, scope);
		filter->last_number = scope;
		filter->has_last = true;
	}
	PG_RETURN_BOOL(filter->last_answer);
}

Datum
mt_in_scope_int8(PG_FUNCTION_ARGS)
{
	const MtRights *rights;
	ScopeFilter *filter = filter_of(fcinfo, &rights);

	if (filter->is_whole || PG_ARGISNULL(0))
		PG_RETURN_BOOL(filter->is_whole);
	return in_scope_number(rights, filter, PG_GETARG_INT64(0));
}

Datum
mt_in_scope_int4(PG_FUNCTION_ARGS)
{
	const MtRights *rights;
	ScopeFilter *filter = filter_of(fcinfo, &rights);

	if (filter->is_whole || PG_ARGISNULL(0))
		PG_RETURN_BOOL(filter->is_whole);
	return in_scope_number(rights, filter, PG_GETARG_INT32(0));
}

/*
 * Security: compared byte by byte, whatever the collation of the column: to some of
 * those, different scopes are equal.
 */
Datum
mt_in_scope_text(PG_FUNCTION_ARGS)
{
	const MtRights *rights;
	ScopeFilter *filter = filter_of(fcinfo, &rights);
	text	   *scope;
	char	   *data;
	int			length;

	if (filter->is_whole || PG_ARGISNULL(0))
		PG_RETURN_BOOL(filter->is_whole);
	scope = PG_GETARG_TEXT_PP(0);
	data = VARDATA_ANY(scope);
	length = VARSIZE_ANY_EXHDR(scope);
	/* No scope has a longer id. */
	if (length > REMEMBERED_SCOPE_MAX)
		PG_RETURN_BOOL(false);
	if (!filter->has_last || filter->last_length != length ||
		memcmp(filter->last_text, data, length) != 0)
	{
		filter->has_last = false;
		filter->last_answer = MtRightsHaveIn(rights, filter->permission, data, length);
		memcpy(filter->last_text, data, length);
		filter->last_length = length;
		filter->has_last = true;
	}
	PG_FREE_IF_COPY(scope, 0);
	PG_RETURN_BOOL(filter->last_answer);
}
