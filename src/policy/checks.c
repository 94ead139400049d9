/*
 * checks.c
 *	  The checks of new rows in a finished plan.
 *
 * Both generated policies have the same expression: in a scan the server merges
 * them, as checks of new rows it evaluates both. Owns nothing.
 */
#include "postgres.h"

#include "nodes/plannodes.h"
#include "policy/checks.h"

#define ISOLATION_POLICY "multitenant_isolation"

static bool
is_same_check(const WithCheckOption *a, const WithCheckOption *b)
{
	return a->kind == b->kind && a->cascaded == b->cascaded &&
		strcmp(a->relname, b->relname) == 0 && equal(a->qual, b->qual);
}

/*
 * Security: only what an earlier check of the same kind has just decided is left
 * out, and only of the restrictive policy that protect() made: the expression of
 * somebody else's may be another at every call.
 */
static List *
without_repeated(List *checks)
{
	List	   *kept = NIL;
	ListCell   *cell;

	foreach(cell, checks)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, cell);
		bool		is_repeated = false;
		ListCell   *earlier;

		if (check->polname != NULL && strcmp(check->polname, ISOLATION_POLICY) == 0)
			foreach(earlier, kept)
				is_repeated |= is_same_check(check, lfirst_node(WithCheckOption, earlier));
		if (!is_repeated)
			kept = lappend(kept, check);
	}
	return kept;
}

static void
drop_repeated(Plan *plan)
{
	ListCell   *cell;

	if (plan == NULL || !IsA(plan, ModifyTable))
		return;
	foreach(cell, ((ModifyTable *) plan)->withCheckOptionLists)
		lfirst(cell) = without_repeated(lfirst_node(List, cell));
}

void
MtChecksDropRepeated(PlannedStmt *statement)
{
	ListCell   *cell;

	if (statement->commandType == CMD_SELECT && !statement->hasModifyingCTE)
		return;
	drop_repeated(statement->planTree);
	foreach(cell, statement->subplans)
		drop_repeated(lfirst(cell));
}
