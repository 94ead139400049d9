/*
 * assignments.c
 *	  Which roles somebody has, and where, as it stands in the tables.
 *
 * Everything that decides whether an assignment counts is here: who somebody is in the
 * tenant, the groups above, and time. What the role permits is not.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/tablescan.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "rbac/assignments.h"
#include "rbac/breakglass.h"
#include "rbac/operator.h"
#include "tenant/membership.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* Columns of the tables of roles.sql and people.sql. */
enum
{
	GROUP_MEMBER_TENANT_ID = 1,
	GROUP_MEMBER_IS_GROUP,
	GROUP_MEMBER_MEMBER,
	GROUP_MEMBER_GROUP_NAME
};

enum
{
	ASSIGNMENT_ID = 1,
	ASSIGNMENT_TENANT_ID,
	ASSIGNMENT_IS_GROUP,
	ASSIGNMENT_ASSIGNEE,
	ASSIGNMENT_ROLE_ID,
	ASSIGNMENT_SCOPE_ID,
	ASSIGNMENT_EXPIRES_AT
};

enum
{
	VERSION_TENANT_ID = 1,
	VERSION_VERSION
};

#define GROUP_BYTES 128			/* of a name, by the table's check */

static const pg_uuid_t nil = {{0}};

/* Something is over, or begins, at that time: what is known holds until then at most. */
static void
note_time(MtAssignments *out, TimestampTz at)
{
	if (at > out->now && at < out->until)
		out->until = at;
}

/* Is it over? DT_NOEND never comes. */
static bool
is_over(TimestampTz at, MtAssignments *out)
{
	note_time(out, at);
	return at <= out->now;
}

static MtAssignment *
add(MtAssignments *out, const pg_uuid_t *role)
{
	MtAssignment *its;

	if (out->count == out->room)
	{
		out->room = Max(16, out->room * 2);
		out->list = out->list == NULL ? palloc(out->room * sizeof(MtAssignment)) :
			repalloc_huge(out->list, out->room * sizeof(MtAssignment));
	}
	its = &out->list[out->count++];
	its->role = *role;
	its->scope = NULL;
	return its;
}

/* ---- what is assigned ---- */

static void
read_assignment(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtAssignments *out = (MtAssignments *) result;
	Datum		values[MaxHeapAttributeNumber];
	bool		nulls[MaxHeapAttributeNumber];
	MtAssignment *its;

	/*
	 * At once: columns behind a text are found from the row's beginning each
	 * time.
	 */
	heap_deform_tuple(tuple, desc, values, nulls);
	if (!nulls[ASSIGNMENT_EXPIRES_AT - 1] &&
		is_over(DatumGetTimestampTz(values[ASSIGNMENT_EXPIRES_AT - 1]), out))
		return;
	its = add(out, DatumGetUUIDP(values[ASSIGNMENT_ROLE_ID - 1]));
	if (!nulls[ASSIGNMENT_SCOPE_ID - 1])
		its->scope = MtTextCopy(values[ASSIGNMENT_SCOPE_ID - 1], &its->scope_length);
}

static void
read_group(HeapTuple tuple, TupleDesc desc, void *result)
{
	List	  **groups = (List **) result;

	CHECK_FOR_INTERRUPTS();
	*groups = lappend(*groups, MtColumnText(tuple, desc, GROUP_MEMBER_GROUP_NAME));
}

/* The groups that directly contain a principal, or a group. */
static List *
groups_of(const pg_uuid_t *tenant, bool is_group, const char *member)
{
	int			columns[] = {GROUP_MEMBER_TENANT_ID, GROUP_MEMBER_IS_GROUP, GROUP_MEMBER_MEMBER};
	Oid			equality[] = {F_UUID_EQ, F_BOOLEQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), BoolGetDatum(is_group), CStringGetTextDatum(member)};
	List	   *groups = NIL;

	(void) MtTableScan(MT_TABLE_GROUP_MEMBER, "group_member_pkey", 3, columns, equality, keys,
					   read_group, &groups);
	return groups;
}

static void
read_assignments(const pg_uuid_t *tenant, bool is_group, const char *assignee, MtAssignments *out)
{
	int			columns[] = {ASSIGNMENT_TENANT_ID, ASSIGNMENT_IS_GROUP, ASSIGNMENT_ASSIGNEE};
	Oid			equality[] = {F_UUID_EQ, F_BOOLEQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), BoolGetDatum(is_group), CStringGetTextDatum(assignee)};

	(void) MtTableScanMany(MT_TABLE_ROLE_ASSIGNMENT, "role_assignment_key", 3, columns, equality, keys,
						   read_assignment, out);
}

/* Those of the principal and of every group above, each group once. */
static void
read_all_assignments(const pg_uuid_t *tenant, const char *principal, MtAssignments *out)
{
	List	   *waiting = groups_of(tenant, false, principal);
	HASHCTL		control = {.keysize = GROUP_BYTES + 1,.entrysize = GROUP_BYTES + 1,.hcxt = CurrentMemoryContext};
	HTAB	   *seen = NULL;

	read_assignments(tenant, false, principal, out);
	while (waiting != NIL)
	{
		char	   *group = llast(waiting);
		bool		is_seen;

		waiting = list_delete_last(waiting);
		if (seen == NULL)
			seen = hash_create("multitenant groups", 16, &control,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
		(void) hash_search(seen, group, HASH_ENTER, &is_seen);
		if (is_seen)
			continue;
		read_assignments(tenant, true, group, out);
		waiting = list_concat(waiting, groups_of(tenant, true, group));
	}
	if (seen != NULL)
		hash_destroy(seen);
}

static void
add_break_glass(const MtBreakGlass *its, MtAssignments *out)
{
	if (!its->may_hold)
		return;
	note_time(out, its->from);
	if (is_over(its->until, out) || its->from > out->now)
		return;
	if (!MtBreakGlassCounts(its))
	{
		out->message = GetCurrentStatementStartTimestamp();
		return;
	}
	(void) add(out, &its->role);
	out->is_break_glass = true;
}

void
MtAssignmentsOfMember(const pg_uuid_t *tenant, const char *principal, MtAssignments *out)
{
	TimestampTz until;
	ListCell   *cell;

	out->until = DT_NOEND;

	/*
	 * Security: who is nobody in the tenant any more has nothing, whatever is
	 * left of him.
	 */
	out->is_member = MtMembershipIsActive(tenant, principal, &until);
	if (!out->is_member)
		return;
	note_time(out, until);
	read_all_assignments(tenant, principal, out);
	foreach(cell, MtBreakGlassOf(tenant, principal))
		add_break_glass(lfirst(cell), out);
}

void
MtAssignmentsOfSystem(const char *principal, MtAssignments *out)
{
	out->until = DT_NOEND;
	if (!MtPrincipalIsDisabled(principal))
		read_all_assignments(&nil, principal, out);
}

/* Security: a tenant that has left its provider is looked after by nobody. */
void
MtAssignmentsOfOperator(const pg_uuid_t *tenant, const char *principal, MtAssignments *out)
{
	MtOperator	operator;

	out->until = DT_NOEND;
	if (!MtPrincipalIsDisabled(principal) && MtOperatorFind(tenant, principal, &operator) &&
		!is_over(operator.expires, out) && MtOperatorIsLinked(tenant, &operator.master))
		(void) add(out, &operator.role);
}

/* ---- versions ---- */

static void
read_version(HeapTuple tuple, TupleDesc desc, void *result)
{
	bool		is_null;

	*(int64 *) result = DatumGetInt64(heap_getattr(tuple, VERSION_VERSION, desc, &is_null));
}

int64
MtAssignmentsVersion(const pg_uuid_t *tenant)
{
	int			column = VERSION_TENANT_ID;
	Oid			equality = F_UUID_EQ;
	Datum		key = UUIDPGetDatum(tenant);
	int64		version = 0;

	(void) MtTableScan(MT_TABLE_RIGHTS_VERSION, "rights_version_pkey", 1, &column, &equality, &key,
					   read_version, &version);
	return version;
}
