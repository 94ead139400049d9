/*
 * checks.c
 *	  The checks of new rows in a finished plan.
 *
 * Row security checks each new row against the expression of every policy: twice
 * against the same, since both generated policies have one expression, and also
 * where the row cannot have another tenant. To prepare such a check costs more
 * than a tenth of a small statement. What is certain is left out here. Owns
 * nothing.
 *
 * Security: a check may go only if what it would find is known
 *	- from an earlier check of the same row, or
 *	- because the column's value is the accessor itself, or the row was read under
 *	  the same expression and its column is not written;
 * and nobody comes between: no trigger BEFORE the row, no generated column. The
 * plan is made anew when the table gets one, since both change the relation.
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "policy/checks.h"
#include "policy/protection.h"
#include "utils/rel.h"

#define ISOLATION_POLICY "multitenant_isolation"

/* ---- checks that another has made ---- */

static bool
is_same_check(const WithCheckOption *a, const WithCheckOption *b)
{
	return a->kind == b->kind && a->cascaded == b->cascaded &&
		strcmp(a->relname, b->relname) == 0 && equal(a->qual, b->qual);
}

/*
 * Only of the restrictive policy that protect() made: the expression of somebody
 * else's may be another at every call.
 */
static bool
is_repeated(const WithCheckOption *check, List *earlier)
{
	ListCell   *cell;

	if (check->polname == NULL || strcmp(check->polname, ISOLATION_POLICY) != 0)
		return false;
	foreach(cell, earlier)
		if (is_same_check(check, lfirst_node(WithCheckOption, cell)))
		return true;
	return false;
}

/* ---- checks whose answer is known ---- */

/* Can what the statement writes be changed before it is checked? */
static bool
may_change(Relation relation, CmdType operation, AttrNumber column)
{
	TriggerDesc *triggers = relation->trigdesc;

	if (relation->rd_rel->relkind != RELKIND_RELATION ||
		TupleDescAttr(RelationGetDescr(relation), column - 1)->attgenerated != '\0')
		return true;
	return triggers != NULL &&
		(operation == CMD_INSERT ? triggers->trig_insert_before_row : triggers->trig_update_before_row);
}

/* Is this the expression that the INSERT gives the column? */
static bool
inserts(const ModifyTable *modify, AttrNumber column, Node *expression)
{
	ListCell   *cell;

	foreach(cell, outerPlan(modify)->targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resno == column)
			return equal(entry->expr, expression);
	}
	return false;
}

/* The planner has made a list of the conditions; NULL if there are several. */
static Node *
only_condition(const WithCheckOption *check)
{
	if (check->qual == NULL || !IsA(check->qual, List) || list_length((List *) check->qual) != 1)
		return NULL;
	return linitial((List *) check->qual);
}

static bool
is_known(const WithCheckOption *check, const ModifyTable *modify, Relation relation)
{
	Node	   *condition = only_condition(check);
	const MtProtection *protection;
	AttrNumber	column;

	if ((check->kind != WCO_RLS_INSERT_CHECK && check->kind != WCO_RLS_UPDATE_CHECK) ||
		!MtIsTenantEquality(condition, &column) ||
		may_change(relation, modify->operation, column))
		return false;
	if (modify->operation == CMD_INSERT)
		return inserts(modify, column, lsecond(((OpExpr *) condition)->args));

	/* Somebody else's policies may let an UPDATE see what it must not write. */
	protection = MtProtectionOf(RelationGetRelid(relation));
	return protection->is_intact && protection->column == column &&
		!list_member_int(linitial(modify->updateColnosLists), column);
}

/* ---- the plan ---- */

/*
 * The relation whose new rows may be known; NULL if the statement is not simple.
 * The planner holds its lock.
 */
static Relation
open_target(const ModifyTable *modify, List *range_table)
{
	if (list_length(modify->resultRelations) != 1 || modify->onConflictAction != ONCONFLICT_NONE ||
		(modify->operation != CMD_INSERT && modify->operation != CMD_UPDATE))
		return NULL;
	return table_open(rt_fetch(linitial_int(modify->resultRelations), range_table)->relid, NoLock);
}

static List *
without_known(List *checks, const ModifyTable *modify, Relation relation)
{
	List	   *kept = NIL;
	ListCell   *cell;

	foreach(cell, checks)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, cell);

		if (!is_repeated(check, kept) &&
			(relation == NULL || !is_known(check, modify, relation)))
			kept = lappend(kept, check);
	}
	return kept;
}

static void
simplify(Plan *plan, List *range_table)
{
	ModifyTable *modify = (ModifyTable *) plan;
	Relation	relation;
	ListCell   *cell;

	if (plan == NULL || !IsA(plan, ModifyTable) || modify->withCheckOptionLists == NIL)
		return;
	relation = open_target(modify, range_table);
	foreach(cell, modify->withCheckOptionLists)
		lfirst(cell) = without_known(lfirst_node(List, cell), modify, relation);
	if (relation != NULL)
		table_close(relation, NoLock);
}

void
MtChecksSimplify(PlannedStmt *statement)
{
	ListCell   *cell;

	if (statement->commandType == CMD_SELECT && !statement->hasModifyingCTE)
		return;
	simplify(statement->planTree, statement->rtable);
	foreach(cell, statement->subplans)
		simplify(lfirst(cell), statement->rtable);
}
