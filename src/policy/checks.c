/*
 * checks.c
 *	  The checks of new rows in a statement that is about to be planned.
 *
 * Row security checks each new row against the expression of every policy: twice
 * against the same, since both generated policies have one expression, and also
 * where the row cannot have another tenant. To prepare such a check costs more
 * than a tenth of a small statement, and to plan it as much again. What is certain
 * is left out here. Owns nothing.
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
#include "nodes/parsenodes.h"
#include "parser/parsetree.h"
#include "policy/checks.h"
#include "policy/generated.h"
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

/* The expression that the statement gives the column; NULL if none. */
static Node *
written_to(const Query *query, AttrNumber column)
{
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && entry->resno == column)
			return (Node *) entry->expr;
	}
	return NULL;
}

static bool
is_known(const WithCheckOption *check, const Query *query, Relation relation)
{
	const MtProtection *protection;
	AttrNumber	column;

	if ((check->kind != WCO_RLS_INSERT_CHECK && check->kind != WCO_RLS_UPDATE_CHECK) ||
		!MtIsTenantEquality(check->qual, &column) ||
		may_change(relation, query->commandType, column))
		return false;
	if (query->commandType == CMD_INSERT)
		return equal(written_to(query, column), lsecond(((OpExpr *) check->qual)->args));

	/* Somebody else's policies may let an UPDATE see what it must not write. */
	protection = MtProtectionOf(RelationGetRelid(relation));
	return protection->is_intact && protection->column == column &&
		written_to(query, column) == NULL;
}

/* ---- the statement ---- */

/*
 * The relation whose new rows may be known; NULL if the statement is not simple.
 * The planner holds its lock.
 */
static Relation
open_target(const Query *query)
{
	if (query->onConflict != NULL ||
		(query->commandType != CMD_INSERT && query->commandType != CMD_UPDATE))
		return NULL;
	return table_open(rt_fetch(query->resultRelation, query->rtable)->relid, NoLock);
}

/*
 * Whether a table has children is asked here once: what is attached to it before
 * the planner looks is no target of the statement.
 */
static bool
is_alone(const Query *query, Relation relation)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

	if (target->inh && relation->rd_rel->relhassubclass)
		return false;
	target->inh = false;
	return true;
}

static void
simplify(Query *query)
{
	Relation	relation;
	bool		is_simple;
	List	   *kept = NIL;
	ListCell   *cell;

	if (query->withCheckOptions == NIL)
		return;
	relation = open_target(query);
	is_simple = relation != NULL && is_alone(query, relation);
	foreach(cell, query->withCheckOptions)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, cell);

		if (!is_repeated(check, kept) && !(is_simple && is_known(check, query, relation)))
			kept = lappend(kept, check);
	}
	query->withCheckOptions = kept;
	if (relation != NULL)
		table_close(relation, NoLock);
}

/* Statements that write are at the top or in its WITH, nowhere else. */
void
MtChecksSimplify(Query *query)
{
	ListCell   *cell;

	simplify(query);
	if (!query->hasModifyingCTE)
		return;
	foreach(cell, query->cteList)
		simplify(castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery));
}
