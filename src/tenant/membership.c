/*
 * membership.c
 *	  Is a principal an active member of a tenant, and who has its row locked?
 *
 * Owns a bounded cache over multitenant.member and multitenant.principal.
 * Invariant: an entry counts only under the registry generation that it was read
 * under, which changes with every change to either table, here or elsewhere.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/moment.h"
#include "base/settings.h"
#include "base/tablescan.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tenant/membership.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mt_end_session_of_member);

/* Columns of multitenant.member that C reads. */
enum
{
	MEMBER_TENANT_ID = 1,
	MEMBER_PRINCIPAL,
	MEMBER_ADDED_AT,
	MEMBER_STATE,
	MEMBER_IS_SOLE,
	MEMBER_INVITED_BY,
	MEMBER_EXPIRES_AT
};

/* Columns of multitenant.principal that C reads. */
enum
{
	PRINCIPAL_ID = 1,
	PRINCIPAL_STATE
};

/* Places for pairs of tenant and principal in one backend: about 75 kB. */
#define CACHE_SIZE 256

/* What the two tables say. */
typedef struct Standing
{
	bool		is_disabled;	/* the principal; who has no row is not */
	bool		is_member;		/* the membership is active */
	bool		is_suspended;
	TimestampTz until;			/* end of the membership */
} Standing;

typedef struct CacheEntry
{
	uint64		generation;		/* 0: free */
	pg_uuid_t	tenant;
	char		principal[MT_PRINCIPAL_MAX + 1];
	Standing	standing;
} CacheEntry;

static CacheEntry *cache = NULL;

static void
read_principal(HeapTuple tuple, TupleDesc desc, void *result)
{
	Standing   *standing = (Standing *) result;
	char	   *state = MtColumnText(tuple, desc, PRINCIPAL_STATE);

	/* Security: a state that this library does not know is not an active one. */
	standing->is_disabled = strcmp(state, "active") != 0;
	pfree(state);
}

static void
read_member(HeapTuple tuple, TupleDesc desc, void *result)
{
	Standing   *standing = (Standing *) result;
	char	   *state = MtColumnText(tuple, desc, MEMBER_STATE);

	standing->is_member = strcmp(state, "active") == 0;
	standing->is_suspended = strcmp(state, "suspended") == 0;
	standing->until = MtColumnTime(tuple, desc, MEMBER_EXPIRES_AT, DT_NOEND);
	pfree(state);
}

static void
read_standing(const pg_uuid_t *tenant, const char *principal, Standing *out)
{
	int			principal_column = PRINCIPAL_ID;
	Oid			principal_equality = F_TEXTEQ;
	int			columns[] = {MEMBER_TENANT_ID, MEMBER_PRINCIPAL};
	Oid			equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[2];

	memset(out, 0, sizeof(*out));
	keys[0] = UUIDPGetDatum(tenant);
	keys[1] = CStringGetTextDatum(principal);
	MtTableScan(MT_TABLE_PRINCIPAL, "principal_pkey", 1, &principal_column,
				&principal_equality, &keys[1], read_principal, out);
	MtTableScan(MT_TABLE_MEMBER, "member_pkey", 2, columns, equality,
				keys, read_member, out);
}

/* What the tables say now, from the cache where nothing has changed. */
static void
look_up(const pg_uuid_t *tenant, const char *principal, Standing *out)
{
	uint64		before = MtRegistryGeneration();
	uint32		hash = hash_combine(hash_bytes(tenant->data, UUID_LEN),
									hash_bytes((const unsigned char *) principal, (int) strlen(principal)));
	CacheEntry *entry;

	if (cache == NULL)
		cache = MemoryContextAllocZero(CacheMemoryContext, CACHE_SIZE * sizeof(CacheEntry));
	entry = &cache[hash % CACHE_SIZE];
	if (entry->generation == before &&
		memcmp(&entry->tenant, tenant, UUID_LEN) == 0 &&
		strcmp(entry->principal, principal) == 0)
	{
		*out = entry->standing;
		return;
	}

	read_standing(tenant, principal, out);
	/* Security: what changed while it was read may have been read as it was. */
	if (before != MtRegistryGeneration() || strlen(principal) > MT_PRINCIPAL_MAX)
		return;
	entry->generation = before;
	entry->tenant = *tenant;
	strlcpy(entry->principal, principal, sizeof(entry->principal));
	entry->standing = *out;
}

static bool
is_active_member(const Standing *standing)
{
	return !standing->is_disabled && standing->is_member &&
		(standing->until == DT_NOEND || standing->until > MtMoment());
}

bool
MtMembershipIsActive(const pg_uuid_t *tenant, const char *principal, TimestampTz *until)
{
	Standing	standing;

	look_up(tenant, principal, &standing);
	if (until != NULL)
		*until = standing.is_member ? standing.until : DT_NOEND;
	return is_active_member(&standing);
}

bool
MtPrincipalIsDisabled(const char *principal)
{
	static const pg_uuid_t nil = {{0}};
	Standing	standing;

	look_up(&nil, principal, &standing);
	return standing.is_disabled;
}

/*
 * Security: a context that was entered as a member ends with the membership. What
 * the issuer of a token vouches for does not depend on it, unless the setting says
 * so; but who was disabled or suspended here is kept out whatever the token says.
 */
bool
MtMembershipAllows(const MtContext *context, TimestampTz *until, MtDenial *denial)
{
	Standing	standing;
	bool		is_allowed;

	*until = DT_NOEND;
	if (context->principal[0] == '\0' || context->kind == MT_KIND_SYSTEM)
		return true;
	look_up(&context->tenant, context->principal, &standing);
	if (context->by_membership ||
		(context->kind == MT_KIND_TENANT && mt_guc_require_membership))
	{
		is_allowed = is_active_member(&standing);
		*until = standing.until;
	}
	else if (context->kind == MT_KIND_SUPERVISED)
		is_allowed = !standing.is_disabled;
	else
		is_allowed = !standing.is_disabled && !standing.is_suspended;
	return is_allowed ||
		MtDeny(denial, MT_ERRCODE_NOT_A_MEMBER,
			   "the principal of this context is not an active member of the tenant", NULL,
			   "Ask an administrator of the tenant; the principal may have been removed, suspended or disabled.");
}

/* ---- who has locked it ---- */

/* Which process runs the transaction, or the one that it is a part of? 0: none. */
static int
process_of(TransactionId xid)
{
	if (!TransactionIdIsInProgress(xid))
		return 0;
	return BackendXidGetPid(SubTransGetTopmostTransaction(xid));
}

static void
read_holder(HeapTuple tuple, TupleDesc desc, void *result)
{
	HeapTupleHeader header = tuple->t_data;
	int		   *holder = (int *) result;
	MultiXactMember *members;
	int			count;

	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0)
		return;
	if ((header->t_infomask & HEAP_XMAX_IS_MULTI) == 0)
	{
		*holder = process_of(HeapTupleHeaderGetRawXmax(header));
		return;
	}
	count = GetMultiXactIdMembers(HeapTupleHeaderGetRawXmax(header), &members, false,
								  HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask));
	for (int i = 0; i < count && *holder == 0; i++)
		*holder = process_of(members[i].xid);
}

/*
 * multitenant._end_session_of_member(tenant uuid, principal text): ends the session whose
 * open transaction has locked or changed the member's row.
 *
 * Security: as roles that may end sessions, never those of superusers.
 */
Datum
mt_end_session_of_member(PG_FUNCTION_ARGS)
{
	int			columns[] = {MEMBER_TENANT_ID, MEMBER_PRINCIPAL};
	Oid			equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	int			holder = 0;
	PGPROC	   *process;

	(void) MtTableScan(MT_TABLE_MEMBER, "member_pkey", 2, columns, equality, keys,
					   read_holder, &holder);
	process = holder == 0 || holder == MyProcPid ? NULL : BackendPidGetProc(holder);
	PG_RETURN_BOOL(process != NULL && !superuser_arg(process->roleId) &&
				   kill(holder, SIGTERM) == 0);
}
