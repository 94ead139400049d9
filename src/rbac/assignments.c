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
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* Columns of the tables of people.sql, roles.sql, msp.sql and break_glass.sql. */
enum
{
	PRINCIPAL_ID = 1,
	PRINCIPAL_STATE
};

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
	OPERATOR_TENANT_ID = 1,
	OPERATOR_PRINCIPAL,
	OPERATOR_MASTER_ID,
	OPERATOR_ROLE_ID,
	OPERATOR_EXPIRES_AT
};

enum
{
	LINK_TENANT_ID = 1,
	LINK_MASTER_ID
};

enum
{
	BREAK_GLASS_ID = 1,
	BREAK_GLASS_TENANT_ID,
	BREAK_GLASS_PRINCIPAL,
	BREAK_GLASS_ROLE_ID,
	BREAK_GLASS_HOLDS_FROM,
	BREAK_GLASS_ENDS_AT,
	BREAK_GLASS_CLOSED_AT
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

/* Is it over? A time that is null never comes. */
static bool
is_over(HeapTuple tuple, TupleDesc desc, int column, MtAssignments *out)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, column, desc, &is_null);

	if (is_null)
		return false;
	note_time(out, DatumGetTimestampTz(value));
	return DatumGetTimestampTz(value) <= out->now;
}

static void
add(MtAssignments *out, HeapTuple tuple, TupleDesc desc, int role_column, char *scope)
{
	bool		is_null;
	MtAssignment *its;

	if (out->count == out->room)
	{
		out->room = Max(16, out->room * 2);
		out->list = out->list == NULL ? palloc(out->room * sizeof(MtAssignment)) :
			repalloc_huge(out->list, out->room * sizeof(MtAssignment));
	}
	its = &out->list[out->count++];
	its->role = *DatumGetUUIDP(heap_getattr(tuple, role_column, desc, &is_null));
	its->scope = scope;
}

/* ---- who somebody is ---- */

typedef struct Standing
{
	MtAssignments *out;
	bool		is_active;
} Standing;

static bool
says_active(HeapTuple tuple, TupleDesc desc, int column)
{
	char	   *state = MtColumnText(tuple, desc, column);
	bool		is_active = strcmp(state, "active") == 0;

	pfree(state);
	return is_active;
}

static void
read_principal(HeapTuple tuple, TupleDesc desc, void *result)
{
	((Standing *) result)->is_active = says_active(tuple, desc, PRINCIPAL_STATE);
}

static void
read_member(HeapTuple tuple, TupleDesc desc, void *result)
{
	Standing   *standing = (Standing *) result;

	standing->is_active = says_active(tuple, desc, MEMBER_STATE) &&
		!is_over(tuple, desc, MEMBER_EXPIRES_AT, standing->out);
}

/* Who is not known to the provider is active. */
static bool
is_active_principal(const char *principal, MtAssignments *out)
{
	Standing	standing = {.out = out,.is_active = true};
	int			column = PRINCIPAL_ID;
	Oid			equality = F_TEXTEQ;
	Datum		key = CStringGetTextDatum(principal);

	(void) MtTableScan(MT_TABLE_PRINCIPAL, "principal_pkey", 1, &column, &equality, &key,
					   read_principal, &standing);
	return standing.is_active;
}

static bool
is_active_member(const pg_uuid_t *tenant, const char *principal, MtAssignments *out)
{
	Standing	standing = {.out = out};
	int			columns[] = {MEMBER_TENANT_ID, MEMBER_PRINCIPAL};
	Oid			equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), CStringGetTextDatum(principal)};

	(void) MtTableScan(MT_TABLE_MEMBER, "member_pkey", 2, columns, equality, keys,
					   read_member, &standing);
	return standing.is_active;
}

/* ---- what is assigned ---- */

static void
read_assignment(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtAssignments *out = (MtAssignments *) result;

	CHECK_FOR_INTERRUPTS();
	if (!is_over(tuple, desc, ASSIGNMENT_EXPIRES_AT, out))
		add(out, tuple, desc, ASSIGNMENT_ROLE_ID, MtColumnText(tuple, desc, ASSIGNMENT_SCOPE_ID));
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

	(void) MtTableScan(MT_TABLE_ROLE_ASSIGNMENT, "role_assignment_key", 3, columns, equality, keys,
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

/*
 * Security: what is read under break-glass is recorded when its statement starts. So it
 * counts for statements of messages that begin later, and not in the middle of one that
 * opens it, or during which somebody else approves it.
 */
static void
read_break_glass(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtAssignments *out = (MtAssignments *) result;
	bool		is_null;
	Datum		from = heap_getattr(tuple, BREAK_GLASS_HOLDS_FROM, desc, &is_null);

	if (is_null)
		return;
	(void) heap_getattr(tuple, BREAK_GLASS_CLOSED_AT, desc, &is_null);
	if (!is_null)
		return;
	note_time(out, DatumGetTimestampTz(from));
	if (is_over(tuple, desc, BREAK_GLASS_ENDS_AT, out) || DatumGetTimestampTz(from) > out->now)
		return;
	if (DatumGetTimestampTz(from) > GetCurrentStatementStartTimestamp())
	{
		out->message = GetCurrentStatementStartTimestamp();
		return;
	}
	add(out, tuple, desc, BREAK_GLASS_ROLE_ID, NULL);
	out->is_break_glass = true;
}

void
MtAssignmentsOfMember(const pg_uuid_t *tenant, const char *principal, MtAssignments *out)
{
	int			columns[] = {BREAK_GLASS_TENANT_ID, BREAK_GLASS_PRINCIPAL};
	Oid			equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[2];

	out->until = DT_NOEND;

	/*
	 * Security: who is nobody in the tenant any more has nothing, whatever is
	 * left of him.
	 */
	out->is_member = is_active_principal(principal, out) && is_active_member(tenant, principal, out);
	if (!out->is_member)
		return;
	read_all_assignments(tenant, principal, out);
	keys[0] = UUIDPGetDatum(tenant);
	keys[1] = CStringGetTextDatum(principal);
	(void) MtTableScan(MT_TABLE_BREAK_GLASS, "break_glass_principal_idx", 2, columns, equality, keys,
					   read_break_glass, out);
}

void
MtAssignmentsOfSystem(const char *principal, MtAssignments *out)
{
	out->until = DT_NOEND;
	if (is_active_principal(principal, out))
		read_all_assignments(&nil, principal, out);
}

/* ---- operators ---- */

typedef struct Operator
{
	MtAssignments *out;
	bool		is_found;
	pg_uuid_t	master;
} Operator;

static void
read_operator(HeapTuple tuple, TupleDesc desc, void *result)
{
	Operator   *operator = (Operator *) result;
	bool		is_null;

	if (is_over(tuple, desc, OPERATOR_EXPIRES_AT, operator->out))
		return;
	operator->is_found = true;
	operator->master = *DatumGetUUIDP(heap_getattr(tuple, OPERATOR_MASTER_ID, desc, &is_null));
	add(operator->out, tuple, desc, OPERATOR_ROLE_ID, NULL);
}

static void
count_row(HeapTuple tuple, TupleDesc desc, void *result)
{
}

/* Does the master account look after the tenant? */
static bool
is_linked(const pg_uuid_t *tenant, const pg_uuid_t *master)
{
	int			columns[] = {LINK_TENANT_ID, LINK_MASTER_ID};
	Oid			equality[] = {F_UUID_EQ, F_UUID_EQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), UUIDPGetDatum(master)};

	return MtTableScan(MT_TABLE_MASTER_TENANT, "master_tenant_pkey", 2, columns, equality, keys,
					   count_row, NULL) > 0;
}

void
MtAssignmentsOfOperator(const pg_uuid_t *tenant, const char *principal, MtAssignments *out)
{
	Operator	operator = {.out = out};
	int			columns[] = {OPERATOR_TENANT_ID, OPERATOR_PRINCIPAL};
	Oid			equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), CStringGetTextDatum(principal)};

	out->until = DT_NOEND;
	if (!is_active_principal(principal, out))
		return;
	(void) MtTableScan(MT_TABLE_OPERATOR, "operator_pkey", 2, columns, equality, keys,
					   read_operator, &operator);

	/*
	 * Security: a tenant that has left its provider is looked after by
	 * nobody.
	 */
	if (operator.is_found && !is_linked(tenant, &operator.master))
		out->count = 0;
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
