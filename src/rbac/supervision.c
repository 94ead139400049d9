/*
 * supervision.c
 *	  Who may look into a tenant from outside, and whether that still holds.
 *
 * Owns the answer, read from multitenant.operator, master_tenant, access_request,
 * access_withdrawal, supervision and the tenant's row, and what keeps a supervised context from
 * going on: it is asked when one begins, after each change of one of those tables,
 * and when a time in them has come.
 *
 * Invariant: no supervised context without the tenant's consent - visibility
 * "supervised", or a request that it has approved - whatever else it rests on. One
 * error for every reason: who is refused learns nothing about the tenant.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/extension.h"
#include "base/moment.h"
#include "base/tablescan.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "rbac/operator.h"
#include "rbac/supervision.h"
#include "tenant/context.h"
#include "tenant/membership.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_enter_supervised);
PG_FUNCTION_INFO_V1(mt_outside_principal);
PG_FUNCTION_INFO_V1(mt_tenant_in);
PG_FUNCTION_INFO_V1(mt_take_turn);

/* Columns that are read here. */
enum
{
	REQUEST_ID = 1,
	REQUEST_TENANT_ID,
	REQUEST_PRINCIPAL,
	REQUEST_STATE,
	REQUEST_ENDS_AT,
	REQUEST_DECIDED_AT = 10
};
enum
{
	SUPERVISION_TENANT_ID = 2,
	SUPERVISION_PRINCIPAL,
	SUPERVISION_BEGAN_AT,
	SUPERVISION_ENDS_AT,
	SUPERVISION_ENDED_AT,
	SUPERVISION_REQUEST_ID = 8
};
enum
{
	WITHDRAWAL_REQUEST_ID = 1
};

/* A time that has come: nothing holds. */
#define NEVER DT_NOBEGIN

static bool
deny(MtDenial *denial)
{
	return MtDeny(denial, MT_ERRCODE_NOT_A_MEMBER, "this principal may not look into this tenant", NULL,
				  "It takes an operator of a service provider that the tenant is linked to, and the tenant's "
				  "consent: visibility \"supervised\", or a request that it has approved and that has not ended.");
}

/* ---- the tables ---- */

static int
scan_by_tenant(MtTable table, const char *index, const int columns[2], const pg_uuid_t *tenant,
			   Oid equality, Datum other, MtRowReader reader, void *result)
{
	Oid			equalities[] = {F_UUID_EQ, equality};
	Datum		keys[] = {UUIDPGetDatum(tenant), other};

	return MtTableScan(table, index, 2, columns, equalities, keys, reader, result);
}

/* Until when the principal is an operator of a master account that the tenant is linked to. */
static TimestampTz
operates_until(const pg_uuid_t *tenant, const char *principal)
{
	MtOperator	row;

	if (!MtOperatorFind(tenant, principal, &row) || !MtOperatorIsLinked(tenant, &row.master))
		return NEVER;
	return row.expires;
}

/* A request that the tenant has approved. */
typedef struct Approval
{
	pg_uuid_t	request;
	TimestampTz decided;
	TimestampTz until;
} Approval;

static void
read_request(HeapTuple tuple, TupleDesc desc, void *result)
{
	List	  **approvals = result;
	Approval   *approval;

	if (strcmp(MtColumnText(tuple, desc, REQUEST_STATE), "approved") != 0)
		return;
	approval = palloc(sizeof(Approval));
	approval->request = MtColumnUuid(tuple, desc, REQUEST_ID);
	approval->decided = MtColumnTime(tuple, desc, REQUEST_DECIDED_AT, NEVER);
	approval->until = MtColumnTime(tuple, desc, REQUEST_ENDS_AT, NEVER);
	*approvals = lappend(*approvals, approval);
}

static bool
is_withdrawn(const pg_uuid_t *request)
{
	int			column = WITHDRAWAL_REQUEST_ID;
	Oid			equality = F_UUID_EQ;
	Datum		key = UUIDPGetDatum(request);

	return MtTableScan(MT_TABLE_ACCESS_WITHDRAWAL, "access_withdrawal_pkey", 1, &column, &equality, &key,
					   NULL, NULL) > 0;
}

/*
 * What the principal has asked the tenant for, was allowed, and has not taken back.
 *
 * Security: an approval is of one operator of one provider, as the tenant knew both
 * when it decided. Whoever is assigned again, by the same provider or another one, or
 * linked again, which takes assigning again, asks again; and what the tenant has
 * decided since about its visibility ends what it had approved.
 */
static List *
approvals_of(const MtTenant *tenant, const char *principal)
{
	static const int columns[] = {REQUEST_TENANT_ID, REQUEST_PRINCIPAL};
	List	   *approvals = NIL;
	MtOperator	operator;
	ListCell   *cell;

	if (!MtOperatorFind(&tenant->id, principal, &operator))
		return NIL;
	(void) scan_by_tenant(MT_TABLE_ACCESS_REQUEST, "access_request_principal_idx", columns, &tenant->id,
						  F_TEXTEQ, CStringGetTextDatum(principal), read_request, &approvals);
	foreach(cell, approvals)
	{
		const Approval *approval = lfirst(cell);

		if (approval->decided <= tenant->supervised_from || approval->decided <= operator.since ||
			is_withdrawn(&approval->request))
			approvals = foreach_delete_current(approvals, cell);
	}
	return approvals;
}

/*
 * Until when the tenant consents to being looked into by the principal.
 *
 * Security: visibility "none" ends also what was approved before.
 */
static TimestampTz
consents_until(const MtTenant *tenant, const char *principal)
{
	TimestampTz until = NEVER;
	ListCell   *cell;

	if (tenant->visibility == MT_VISIBILITY_SUPERVISED)
		return DT_NOEND;
	if (tenant->visibility == MT_VISIBILITY_METADATA && principal[0] != '\0')
		foreach(cell, approvals_of(tenant, principal))
			until = Max(until, ((Approval *) lfirst(cell))->until);
	return until;
}

/* A supervision that has not been ended in its row. */
typedef struct Supervision
{
	TimestampTz began;
	TimestampTz until;
	bool		is_by_request;
	pg_uuid_t	request;
} Supervision;

static void
read_supervision(HeapTuple tuple, TupleDesc desc, void *result)
{
	List	  **supervisions = result;
	Supervision *supervision;
	bool		is_null;
	Datum		request;

	if (!heap_attisnull(tuple, SUPERVISION_ENDED_AT, desc) ||
		MtColumnTime(tuple, desc, SUPERVISION_ENDS_AT, NEVER) <= MtMoment())
		return;
	supervision = palloc(sizeof(Supervision));
	supervision->began = MtColumnTime(tuple, desc, SUPERVISION_BEGAN_AT, NEVER);
	supervision->until = MtColumnTime(tuple, desc, SUPERVISION_ENDS_AT, NEVER);
	request = heap_getattr(tuple, SUPERVISION_REQUEST_ID, desc, &is_null);
	supervision->is_by_request = !is_null;
	if (!is_null)
		supervision->request = *DatumGetUUIDP(request);
	*supervisions = lappend(*supervisions, supervision);
}

static bool
is_approved(const Supervision *supervision, List *approvals)
{
	ListCell   *cell;

	if (!supervision->is_by_request)
		return true;
	foreach(cell, approvals)
		if (memcmp(&((Approval *) lfirst(cell))->request, &supervision->request, UUID_LEN) == 0)
		return true;
	return false;
}

/*
 * Until when the principal supervises the tenant.
 *
 * Security: whoever takes sight away does not wait for rows that the operator may
 * have locked. So what was begun before the tenant's last decision, or as the
 * operator that was unassigned since, counts no more, whatever its row says; neither
 * does one by a request that is not approved.
 */
static TimestampTz
supervises_until(const MtTenant *tenant, const char *principal)
{
	static const int columns[] = {SUPERVISION_TENANT_ID, SUPERVISION_PRINCIPAL};
	List	   *supervisions = NIL;
	List	   *approvals;
	MtOperator	operator;
	TimestampTz until = NEVER;
	ListCell   *cell;

	(void) scan_by_tenant(MT_TABLE_SUPERVISION, "supervision_principal_idx", columns, &tenant->id,
						  F_TEXTEQ, CStringGetTextDatum(principal), read_supervision, &supervisions);
	if (supervisions == NIL || !MtOperatorFind(&tenant->id, principal, &operator))
		return NEVER;
	approvals = approvals_of(tenant, principal);
	foreach(cell, supervisions)
	{
		const Supervision *supervision = lfirst(cell);

		if (supervision->began > tenant->supervised_from && supervision->began >= operator.since &&
			is_approved(supervision, approvals))
			until = Max(until, supervision->until);
	}
	return until;
}

/* ---- the answers ---- */

/*
 * May the principal, an operator, look into the tenant now, and until when at most?
 * False with MT008. Read with the latest snapshot.
 */
static bool
may_look_in(const MtTenant *tenant, const char *principal, TimestampTz *until, MtDenial *denial)
{
	if (principal[0] == '\0' || MtPrincipalIsDisabled(principal))
		return deny(denial);
	*until = operates_until(&tenant->id, principal);
	if (*until > MtMoment())
		*until = Min(*until, consents_until(tenant, principal));
	return *until > MtMoment() || deny(denial);
}

/* The same of who has a token of kind supervised, which says that he is an operator. */
static bool
may_by_token(const MtTenant *tenant, const char *principal, TimestampTz *until, MtDenial *denial)
{
	*until = consents_until(tenant, principal);
	return *until > MtMoment() || deny(denial);
}

/*
 * May this context go on?
 *
 * Security: a signing key that may vouch for operators vouches for who they are,
 * not for the tenant's consent.
 */
static bool
validate(const MtContext *context, MtDenial *denial)
{
	MtTenant	tenant;
	TimestampTz until = NEVER;
	bool		may;

	if (context->state != MT_STATE_TENANT || context->kind != MT_KIND_SUPERVISED)
		return true;
	if (!MtRegistryById(&context->tenant, &tenant))
		return deny(denial);
	if (context->basis == MT_BASIS_TOKEN)
		may = may_by_token(&tenant, context->principal, &until, denial);
	else
		may = may_look_in(&tenant, context->principal, &until, denial);
	if (may && context->basis == MT_BASIS_SUPERVISION)
	{
		until = Min(until, supervises_until(&tenant, context->principal));
		may = until > MtMoment() || deny(denial);
	}
	if (may)
		MtContextHoldsUntil(until);
	return may;
}

/*
 * switch_tenant() of who is no member: goes on with a supervision that has begun.
 * What else it takes is asked when the context begins.
 */
static bool
visit(MtContext *context)
{
	MtTenant	tenant;
	TimestampTz until;

	if (!MtRegistryById(&context->tenant, &tenant))
		return false;
	until = supervises_until(&tenant, context->principal);
	if (until <= MtMoment())
		return false;
	context->kind = MT_KIND_SUPERVISED;
	context->basis = MT_BASIS_SUPERVISION;
	context->expires = Min(context->expires, until);
	return true;
}

static int
compare_slugs(const void *a, const void *b)
{
	return strcmp(((const MtTenant *) a)->slug, ((const MtTenant *) b)->slug);
}

MtTenant *
MtSupervisionTenants(const char *principal, int *count)
{
	List	   *ids = MtOperatorTenants(principal);
	MtTenant   *tenants;
	ListCell   *cell;

	tenants = MemoryContextAllocHuge(CurrentMemoryContext, Max(1, list_length(ids)) * sizeof(MtTenant));
	*count = 0;
	foreach(cell, ids)
	{
		MtTenant   *tenant = &tenants[*count];
		TimestampTz until;
		MtDenial	denial;

		CHECK_FOR_INTERRUPTS();
		if (MtRegistryById(lfirst(cell), tenant) && tenant->state == MT_TENANT_ACTIVE &&
			may_look_in(tenant, principal, &until, &denial))
			(*count)++;
	}
	qsort(tenants, *count, sizeof(MtTenant), compare_slugs);
	list_free_deep(ids);
	return tenants;
}

void
MtSupervisionInit(void)
{
	MtContextOnValidate(validate);
	MtContextOnVisit(visit);
}

/* ---- SQL ---- */

/*
 * multitenant._enter_supervised(tenant uuid): enters it by the supervision that has just
 * begun. Not executable by PUBLIC.
 */
Datum
mt_enter_supervised(PG_FUNCTION_ARGS)
{
	MtTenant	tenant;

	if (!MtRegistryById(PG_GETARG_UUID_P(0), &tenant))
		elog(ERROR, "the tenant is gone");
	/* Not as a member, whatever else the principal may be. */
	(void) MtContextEnterTenant(&tenant, false);
	PG_RETURN_VOID();
}

/*
 * multitenant._outside_principal(): the principal of a context without tenant, if it
 * can act; NULL otherwise.
 */
Datum
mt_outside_principal(PG_FUNCTION_ARGS)
{
	const MtContext *context = MtContextGet();
	MtDenial	denial;

	if (context->state != MT_STATE_PRINCIPAL || context->principal[0] == '\0' ||
		!MtContextCheckPrincipal(&denial))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(context->principal));
}

/*
 * multitenant._tenant_in(kind text): the tenant of a context of that kind that holds;
 * NULL: the context is another one.
 */
Datum
mt_tenant_in(PG_FUNCTION_ARGS)
{
	MtKind		kind = strcmp(text_to_cstring(PG_GETARG_TEXT_PP(0)), "supervised") == 0 ?
	MT_KIND_SUPERVISED : MT_KIND_TENANT;
	const MtContext *context = MtContextGet();
	MtDenial	denial;
	pg_uuid_t  *result;

	if (context->state != MT_STATE_TENANT || context->kind != kind)
		PG_RETURN_NULL();
	if (!MtContextCheck(&denial))
		MtDenialRaise(&denial);
	result = palloc(sizeof(pg_uuid_t));
	*result = context->tenant;
	PG_RETURN_UUID_P(result);
}

/*
 * multitenant._take_turn(tenant uuid, principal text): by an advisory lock, as there is no
 * row that nobody else needs. Not executable by PUBLIC. The guard keeps the server's own
 * function from applications.
 */
Datum
mt_take_turn(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *tenant = PG_GETARG_UUID_P(0);
	text	   *principal = PG_GETARG_TEXT_PP(1);
	uint64		key = hash_bytes_extended((const unsigned char *) VARDATA_ANY(principal),
										  VARSIZE_ANY_EXHDR(principal),
										  hash_bytes_extended(tenant->data, UUID_LEN, 0));

	(void) DirectFunctionCall1(pg_advisory_xact_lock_int8, Int64GetDatum((int64) key));
	PG_RETURN_VOID();
}
