/*
 * scanorder.c
 *	  In which order a finished plan tests the tenant's condition and others.
 *
 * Judges every scan of a protected relation by what the plan says, whatever was
 * intended for it: does anything that is not leakproof come before the tenant's
 * condition? Owns nothing.
 *
 * Security: the last word on plans for which anything was lifted (lift.c). What is
 * not understood counts as a leak; the price is the plan of the server alone.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/transam.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/clauses.h"
#include "parser/parsetree.h"
#include "policy/protection.h"
#include "policy/tenantindex.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* What a condition, or several in their order, may do with rows of others. */
typedef enum Order
{
	ORDER_HARMLESS,				/* only leakproof functions see them */
	ORDER_TENANT,				/* the same, and lets no such row pass */
	ORDER_LEAK,
	ORDER_UNTRUSTED				/* code in an index that also sees dead
								 * entries */
} Order;

typedef struct Judgement
{
	PlannedStmt *statement;
	bool		is_folded;
} Judgement;

/* ---- conditions ---- */

static Order judge_condition(Node *condition, const MtTenantFilter *filter);

static Order
judge_list(List *conditions, const MtTenantFilter *filter)
{
	ListCell   *cell;

	foreach(cell, conditions)
	{
		Order		order = judge_condition(lfirst(cell), filter);

		if (order != ORDER_HARMLESS)
			return order;
	}
	return ORDER_HARMLESS;
}

/* Of alternatives, each has to keep the others' rows out. */
static Order
worst_of_alternatives(Order a, Order b)
{
	if (a >= ORDER_LEAK || b >= ORDER_LEAK)
		return Max(a, b);
	return Min(a, b);
}

static Order
judge_alternatives(List *alternatives, const MtTenantFilter *filter)
{
	Order		result = ORDER_TENANT;
	ListCell   *cell;

	foreach(cell, alternatives)
		result = worst_of_alternatives(result, judge_condition(lfirst(cell), filter));
	return result;
}

/* Does the condition let only rows pass that are everybody's? */
static bool
is_for_shared_rows(Node *condition, const MtTenantFilter *filter)
{
	NullTest   *test = (NullTest *) condition;

	return filter->has_shared_rows && IsA(condition, NullTest) &&
		test->nulltesttype == IS_NULL && IsA(test->arg, Var) &&
		((Var *) test->arg)->varno == filter->varno &&
		((Var *) test->arg)->varattno == filter->column;
}

static Order
judge_condition(Node *condition, const MtTenantFilter *filter)
{
	check_stack_depth();
	if (MtIsTenantCondition(condition, filter) || is_for_shared_rows(condition, filter))
		return ORDER_TENANT;
	if (is_andclause(condition))
		return judge_list(((BoolExpr *) condition)->args, filter);
	if (is_orclause(condition))
		return judge_alternatives(((BoolExpr *) condition)->args, filter);
	return contain_leaked_vars(condition) ? ORDER_LEAK : ORDER_HARMLESS;
}

/* ---- index scans ---- */

static bool
has_trusted_operators(List *conditions)
{
	ListCell   *cell;

	foreach(cell, conditions)
	{
		Node	   *condition = lfirst(cell);
		ListCell   *operator;

		if (IsA(condition, RowCompareExpr))
		{
			foreach(operator, ((RowCompareExpr *) condition)->opnos)
				if (!MtIsTrustedOperator(lfirst_oid(operator)))
				return false;
		}
		else if (IsA(condition, OpExpr) ? !MtIsTrustedOperator(((OpExpr *) condition)->opno) :
				 IsA(condition, ScalarArrayOpExpr) ? !MtIsTrustedOperator(((ScalarArrayOpExpr *) condition)->opno) :
				 !IsA(condition, NullTest))
			return false;
	}
	return true;
}

/* An index that somebody imagines for EXPLAIN is none. */
static bool
is_index_on_tenant(Oid relid, const MtTenantFilter *filter)
{
	Relation	index;
	bool		result;

	if (get_rel_relkind(relid) != RELKIND_INDEX)
		return false;
	index = index_open(relid, AccessShareLock);
	result = MtIsLedByFirstColumn(index->rd_rel->relam) && filter->column != 0 &&
		index->rd_index->indkey.values[0] == filter->column &&
		MtIsTrustedIndex(index->rd_rel->relam, index->rd_opfamily, index->rd_index->indnkeyatts);
	index_close(index, AccessShareLock);
	return result;
}

/*
 * Of the conditions of an index, in the form of the index, and as they are tested
 * again, on what is shown then. What is not leakproof is there only behind the tenant
 * in the first column.
 */
static Order
judge_index(Oid index, List *conditions, List *originals, const MtTenantFilter *shown,
			const MtTenantFilter *filter)
{
	MtTenantFilter first = {.varno = INDEX_VAR,.column = 1,.is_folded = filter->is_folded};

	if (!contain_leaked_vars((Node *) originals) && !contain_leaked_vars((Node *) conditions))
		return judge_list(originals, shown);
	if (!has_trusted_operators(conditions))
		return ORDER_UNTRUSTED;
	if (conditions != NIL && MtIsTenantCondition(linitial(conditions), &first) &&
		is_index_on_tenant(index, filter))
		return judge_list(originals, shown);
	return ORDER_LEAK;
}

/* The filter on what an index-only scan makes of the index. */
static MtTenantFilter
filter_of_index_only(IndexOnlyScan *scan, const MtTenantFilter *filter)
{
	MtTenantFilter result = {.varno = INDEX_VAR,.column = 0,.is_folded = filter->is_folded,
	.has_shared_rows = filter->has_shared_rows};
	ListCell   *cell;

	foreach(cell, scan->indextlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (IsA(entry->expr, Var) && ((Var *) entry->expr)->varattno == filter->column)
			result.column = entry->resno;
	}
	return result;
}

static Order judge_bitmap(Plan *plan, const MtTenantFilter *filter);

/* Of those that are intersected, one has to. */
static Order
judge_bitmaps(List *plans, bool is_and, const MtTenantFilter *filter)
{
	Order		result = is_and ? ORDER_HARMLESS : ORDER_TENANT;
	ListCell   *cell;

	foreach(cell, plans)
	{
		Order		order = judge_bitmap(lfirst(cell), filter);

		result = is_and ? Max(result, order) : worst_of_alternatives(result, order);
	}
	return result;
}

static Order
judge_bitmap(Plan *plan, const MtTenantFilter *filter)
{
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_BitmapIndexScan:
			return judge_index(((BitmapIndexScan *) plan)->indexid, ((BitmapIndexScan *) plan)->indexqual,
							   ((BitmapIndexScan *) plan)->indexqualorig, filter, filter);
		case T_BitmapAnd:
			return judge_bitmaps(((BitmapAnd *) plan)->bitmapplans, true, filter);
		case T_BitmapOr:
			return judge_bitmaps(((BitmapOr *) plan)->bitmapplans, false, filter);
		default:
			return ORDER_LEAK;
	}
}

/* ---- scans ---- */

/*
 * What a scan tests on the rows that its index finds, and on those that a page of a
 * lossy bitmap has, which are tested again before anything else.
 */
static Order
judge_scan(Scan *scan, const MtTenantFilter *filter)
{
	Plan	   *plan = (Plan *) scan;
	MtTenantFilter shown = *filter;
	Order		order = ORDER_HARMLESS;

	if (IsA(scan, IndexScan))
		order = judge_index(((IndexScan *) scan)->indexid, ((IndexScan *) scan)->indexqual,
							((IndexScan *) scan)->indexqualorig, filter, filter);
	else if (IsA(scan, IndexOnlyScan))
	{
		IndexOnlyScan *index_only = (IndexOnlyScan *) scan;

		shown = filter_of_index_only(index_only, filter);
		order = judge_index(index_only->indexid, index_only->indexqual, index_only->recheckqual,
							&shown, filter);
	}
	else if (IsA(scan, BitmapHeapScan))
	{
		Order		again = judge_list(((BitmapHeapScan *) scan)->bitmapqualorig, filter);

		order = worst_of_alternatives(judge_bitmap(outerPlan(plan), filter), again);
	}
	return order == ORDER_HARMLESS ? judge_list(plan->qual, &shown) : order;
}

/* Scans of unprotected tables and of foreign ones are none of our business. */
static bool
is_scan_in_order(Scan *scan, const Judgement *judgement)
{
	RangeTblEntry *entry;
	MtTenantFilter filter = {.varno = scan->scanrelid,.is_folded = judgement->is_folded};
	Order		order;

	if (scan->scanrelid == 0)
		return true;
	entry = rt_fetch(scan->scanrelid, judgement->statement->rtable);
	if (entry->rtekind != RTE_RELATION || entry->relkind == RELKIND_FOREIGN_TABLE ||
		entry->relid < FirstNormalObjectId || !MtClassIsFiltered(MtProtectionOf(entry->relid)->class))
		return true;
	filter.column = MtTenantColumnOf(entry->relid);
	filter.has_shared_rows = MtProtectionOf(entry->relid)->class == MT_CLASS_SHARED_ROWS;
	order = judge_scan(scan, &filter);
	return order < ORDER_LEAK ||
		(order == ORDER_LEAK && MtHoldsOneTenant(entry->relid, &filter));
}

static bool is_in_order(Plan *plan, const Judgement *judgement);

static bool
are_in_order(List *plans, const Judgement *judgement)
{
	ListCell   *cell;

	foreach(cell, plans)
		if (!is_in_order(lfirst(cell), judgement))
		return false;
	return true;
}

/* Plans have no walker of the server's. */
static bool
is_in_order(Plan *plan, const Judgement *judgement)
{
	if (plan == NULL)
		return true;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_BitmapHeapScan:
			return is_scan_in_order((Scan *) plan, judgement);
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_TidScan:
		case T_TidRangeScan:
			if (!is_scan_in_order((Scan *) plan, judgement))
				return false;
			break;
		case T_CustomScan:
			if (!is_scan_in_order((Scan *) plan, judgement) ||
				!are_in_order(((CustomScan *) plan)->custom_plans, judgement))
				return false;
			break;
		case T_SubqueryScan:
			if (!is_in_order(((SubqueryScan *) plan)->subplan, judgement))
				return false;
			break;
		case T_Append:
			return are_in_order(((Append *) plan)->appendplans, judgement);
		case T_MergeAppend:
			return are_in_order(((MergeAppend *) plan)->mergeplans, judgement);
		default:
			break;
	}
	return is_in_order(plan->lefttree, judgement) && is_in_order(plan->righttree, judgement);
}

bool
MtGuardIsOrdered(PlannedStmt *statement, bool is_folded)
{
	Judgement	judgement = {.statement = statement,.is_folded = is_folded};

	return is_in_order(statement->planTree, &judgement) &&
		are_in_order(statement->subplans, &judgement);
}
