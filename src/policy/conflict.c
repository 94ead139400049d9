/*
 * conflict.c
 *	  The condition of ON CONFLICT DO UPDATE in a statement that is about to be planned.
 *
 * INSERT .. ON CONFLICT .. DO UPDATE .. WHERE condition: the server evaluates the
 * condition on the row that is in the way, and only then asks the policies about that
 * row. Owns nothing.
 *
 * Security: so whoever wrote the condition would see rows that the policies hide:
 * another tenant's, where a unique key has not the tenant in it, and those of other
 * scopes. Here the policies come first: the condition becomes CASE WHEN policies THEN
 * condition ELSE true END, and CASE keeps that order. Where the policies say no, the
 * condition is not evaluated, and the server's own check, which comes next, raises
 * its error, so that nothing of the row is left locked either.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "policy/conflict.h"
#include "policy/protection.h"

/* What the policies ask of the row that is there already; NULL if there are none. */
static Expr *
policies_of(const Query *query)
{
	List	   *conditions = NIL;
	ListCell   *cell;

	foreach(cell, query->withCheckOptions)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, cell);

		if (check->kind == WCO_RLS_CONFLICT_CHECK && check->qual != NULL)
			conditions = lappend(conditions, copyObject(check->qual));
	}
	return conditions == NIL ? NULL : make_ands_explicit(conditions);
}

static void
order(Query *query)
{
	Oid			relid;
	Expr	   *policies;
	CaseWhen   *when;
	CaseExpr   *ordered;

	if (query->onConflict == NULL || query->onConflict->action != ONCONFLICT_UPDATE ||
		query->onConflict->onConflictWhere == NULL)
		return;
	relid = rt_fetch(query->resultRelation, query->rtable)->relid;
	if (!MtClassIsFiltered(MtProtectionOf(relid)->class) ||
		(policies = policies_of(query)) == NULL)
		return;

	when = makeNode(CaseWhen);
	when->expr = policies;
	when->result = (Expr *) query->onConflict->onConflictWhere;
	when->location = -1;
	ordered = makeNode(CaseExpr);
	ordered->casetype = BOOLOID;
	ordered->args = list_make1(when);
	ordered->defresult = (Expr *) makeBoolConst(true, false);
	ordered->location = -1;
	query->onConflict->onConflictWhere = (Node *) ordered;
}

/* Statements that write are at the top or in its WITH, nowhere else. */
void
MtConflictOrder(Query *query)
{
	ListCell   *cell;

	order(query);
	if (!query->hasModifyingCTE)
		return;
	foreach(cell, query->cteList)
		order(castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery));
}
