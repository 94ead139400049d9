/*
 * breakglass.c
 *	  Break-glass of a principal in a tenant, as it stands in the table.
 *
 * Owns how multitenant.break_glass is read, and from which message of the client's on it
 * counts. What is recorded of it is decided in watch.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/leader.h"
#include "base/tablescan.h"
#include "rbac/breakglass.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

/* Columns of multitenant.break_glass. */
enum
{
	BREAK_GLASS_TENANT_ID = 2,
	BREAK_GLASS_PRINCIPAL,
	BREAK_GLASS_ROLE_ID,
	BREAK_GLASS_HOLDS_FROM,
	BREAK_GLASS_ENDS_AT,
	BREAK_GLASS_CLOSED_AT
};

static void
read_break_glass(HeapTuple tuple, TupleDesc desc, void *result)
{
	List	  **list = result;
	MtBreakGlass *its = palloc(sizeof(MtBreakGlass));

	its->role = MtColumnUuid(tuple, desc, BREAK_GLASS_ROLE_ID);
	its->from = MtColumnTime(tuple, desc, BREAK_GLASS_HOLDS_FROM, DT_NOEND);
	its->until = MtColumnTime(tuple, desc, BREAK_GLASS_ENDS_AT, DT_NOEND);
	its->may_hold = !heap_attisnull(tuple, BREAK_GLASS_HOLDS_FROM, desc) &&
		heap_attisnull(tuple, BREAK_GLASS_CLOSED_AT, desc);
	*list = lappend(*list, its);
}

List *
MtBreakGlassOf(const pg_uuid_t *tenant, const char *principal)
{
	static const int columns[] = {BREAK_GLASS_TENANT_ID, BREAK_GLASS_PRINCIPAL};
	static const Oid equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), CStringGetTextDatum(principal)};
	List	   *list = NIL;

	(void) MtTableScan(MT_TABLE_BREAK_GLASS, "break_glass_principal_idx", lengthof(keys), columns, equality, keys,
					   read_break_glass, &list);
	return list;
}

/* ---- from when on ---- */

/* The message in which none counts any more that does not count yet; 0: none. */
static TimestampTz settled_message = 0;

void
MtBreakGlassSettle(void)
{
	settled_message = GetCurrentStatementStartTimestamp();
}

bool
MtBreakGlassIsSettled(void)
{
	return settled_message == GetCurrentStatementStartTimestamp();
}

bool
MtBreakGlassCounts(const MtBreakGlass *its)
{
	if (IsParallelWorker() && !MtLeaderSaid(MT_LEADER_USES_BREAK_GLASS))
		return false;
	return its->from <= GetCurrentStatementStartTimestamp() && !MtBreakGlassIsSettled();
}
