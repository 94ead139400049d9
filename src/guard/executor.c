/*
 * executor.c
 *	  Following a statement through planner and executor.
 *
 * Owns two pieces of state: which statement is being started, and whether the
 * innermost running one is a foreign key's own. Both are saved and restored
 * around each step, errors included, so they are right in any nesting.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "base/extension.h"
#include "base/redact.h"
#include "executor/executor.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "policy/protection.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tenant/context.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

static MtStart current_start = {NULL, 0, false, false};
static MtFrame current_frame = {false, false, 0};

/* Something was planned that must not be used again; see below. */
static bool must_reset_plans = false;

/* ---- plans that must not be kept ---- */

/*
 * Security: a statement that is analyzed below a foreign key's own gets no
 * policies, because the missing FORCE is inherited, and the plan cache would
 * hand that plan out again later, where policies apply. So all saved plans are
 * made anew once the foreign key's statement is over.
 */
void
MtGuardAfterAnalysis(void)
{
	if (InNoForceRLSOperation() &&
		(current_frame.is_noforce || current_start.query != NULL ||
		 MtContextIsPlanning()))
		must_reset_plans = true;
}

/*
 * Security: a function that is declared IMMUTABLE and reads tenants' data is
 * folded into the plan, with what it read under this tenant.
 */
void
MtGuardNoteRead(void)
{
	if (MtContextIsPlanning())
		must_reset_plans = true;
}

/* Marks plans only; cannot fail, also not after an error. */
static void
reset_plans_if_due(void)
{
	if (!must_reset_plans || current_frame.is_noforce ||
		current_start.query != NULL || MtContextIsPlanning())
		return;
	must_reset_plans = false;
	ResetPlanCache();
}

void
MtGuardAfterPlanning(void)
{
	reset_plans_if_due();
}

/* ---- the steps of a statement ---- */

/*
 * Security: a supervised context looks and writes nothing. CREATE TABLE AS asks
 * for no right to write, so it is told by where its rows go.
 */
static void
refuse_supervised_copy(QueryDesc *query)
{
	if (MtContextGet()->state == MT_STATE_TENANT &&
		MtContextGet()->kind == MT_KIND_SUPERVISED &&
		query->dest != NULL && (query->dest->mydest == DestIntoRel ||
								query->dest->mydest == DestTransientRel))
		ereport(ERROR,
				errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				errmsg("a supervised context is read-only"),
				errhint("Writing takes a credential of the tenant itself."));
}

MtStart
MtGuardEnterStart(QueryDesc *query, int eflags)
{
	MtStart		previous = current_start;

	if (!IsParallelWorker() && MtIsActive())
	{
		if (current_frame.depth == 0)
			MtRedactActivity();
		MtContextMaterialise();
	}
	current_start.query = query;
	current_start.eflags = eflags;
	current_start.is_noforce = InNoForceRLSOperation();
	current_start.is_below_noforce = previous.query != NULL &&
		(previous.is_noforce || previous.is_below_noforce);
	return previous;
}

void
MtGuardLeaveStart(MtStart previous)
{
	current_start = previous;
	reset_plans_if_due();
}

/* Does the statement read or write a table of tenants? */
static bool
touches_tenants(const PlannedStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);
		MtClass		class;

		if (entry->rtekind != RTE_RELATION || entry->relid < FirstNormalObjectId)
			continue;
		class = MtProtectionOf(entry->relid)->class;
		if (class == MT_CLASS_TENANT || class == MT_CLASS_SHARED_ROWS)
			return true;
	}
	return false;
}

/*
 * Security: a FETCH comes here only, also one inside a function. Its tenant may
 * have been suspended, and its credential may have expired, since the cursor was
 * opened.
 */
void
MtGuardBeforeRun(QueryDesc *query)
{
	MtDenial	denial;

	refuse_supervised_copy(query);

	/* A deferred foreign key's statement at COMMIT is nobody's FETCH. */
	if (IsParallelWorker() || InNoForceRLSOperation())
		return;
	if (current_frame.depth == 0)
		MtRedactActivity();
	if (MtContextIsUsed() && MtGuardIsOn() && !MtContextCheck(&denial) &&
		touches_tenants(query->plannedstmt))
		MtDenialRaise(&denial);
}

MtFrame
MtGuardEnterFrame(void)
{
	MtFrame		previous = current_frame;

	current_frame.is_noforce = InNoForceRLSOperation();
	current_frame.is_held |= ActivePortal != NULL &&
		(ActivePortal->cursorOptions & CURSOR_OPT_HOLD) != 0;
	current_frame.depth++;
	return previous;
}

/*
 * Security: what a cursor WITH HOLD has not returned by COMMIT is computed then,
 * functions that read tables included.
 */
bool
MtGuardIsInHeldCursor(void)
{
	return current_frame.is_held;
}

void
MtGuardLeaveFrame(MtFrame previous)
{
	current_frame = previous;
	reset_plans_if_due();
}

/* ---- the statements of foreign keys ---- */

/* Strips what the server adds to bring two types together, nothing else. */
static Node *
without_implicit_cast(Node *node)
{
	if (node != NULL && IsA(node, RelabelType))
		return (Node *) ((RelabelType *) node)->arg;
	if (node != NULL && IsA(node, FuncExpr) &&
		((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST &&
		((FuncExpr *) node)->funcid < FirstNormalObjectId &&
		list_length(((FuncExpr *) node)->args) == 1)
		return linitial(((FuncExpr *) node)->args);
	return node;
}

/* A custom plan has the parameter's value in its place. */
static bool
is_key_value(Node *node)
{
	return IsA(node, Param) || IsA(node, Const);
}

/* Is each of the conditions "column = parameter", by built-in means? */
static bool
are_key_comparisons(List *conditions)
{
	ListCell   *cell;

	foreach(cell, conditions)
	{
		OpExpr	   *operation = lfirst(cell);
		Node	   *left;
		Node	   *right;

		if (!IsA(operation, OpExpr) || list_length(operation->args) != 2 ||
			operation->opno >= FirstNormalObjectId ||
			!op_mergejoinable(operation->opno, exprType(linitial(operation->args))))
			return false;
		left = without_implicit_cast(linitial(operation->args));
		right = without_implicit_cast(lsecond(operation->args));
		if (!(IsA(left, Var) && is_key_value(right)) &&
			!(is_key_value(left) && IsA(right, Var)))
			return false;
	}
	return true;
}

/* The conditions of a scan; false if it is no scan that a probe would use. */
static bool
scan_conditions(Plan *scan, List **conditions)
{
	*conditions = list_copy(scan->qual);
	switch (nodeTag(scan))
	{
		case T_SeqScan:
			return true;
		case T_IndexScan:
			*conditions = list_concat(*conditions, ((IndexScan *) scan)->indexqualorig);
			return true;
		case T_BitmapHeapScan:
			*conditions = list_concat(*conditions, ((BitmapHeapScan *) scan)->bitmapqualorig);
			return true;
		default:
			return false;
	}
}

/*
 * The existence probe of a foreign key: SELECT 1 FROM ONLY pk WHERE column =
 * parameter AND .. FOR KEY SHARE. It returns a constant and calls nothing that a
 * user has made.
 */
static bool
is_key_share_probe(const PlannedStmt *statement)
{
	Plan	   *lock_rows = statement->planTree;
	Plan	   *scan;
	TargetEntry *entry;
	List	   *conditions;

	if (statement->commandType != CMD_SELECT ||
		list_length(statement->rtable) != 1 || statement->subplans != NIL ||
		list_length(statement->rowMarks) != 1 ||
		((PlanRowMark *) linitial(statement->rowMarks))->strength != LCS_FORKEYSHARE ||
		lock_rows == NULL || !IsA(lock_rows, LockRows) ||
		(scan = outerPlan(lock_rows)) == NULL ||
		!scan_conditions(scan, &conditions))
		return false;
	entry = linitial(scan->targetlist);
	return IsA(entry->expr, Const) && conditions != NIL && are_key_comparisons(conditions);
}

/* The same before it is planned. */
static bool
is_key_share_query(const Query *query)
{
	TargetEntry *entry;

	if (query->commandType != CMD_SELECT || list_length(query->rtable) != 1 ||
		list_length(query->rowMarks) != 1 || query->hasSubLinks ||
		((RowMarkClause *) linitial(query->rowMarks))->strength != LCS_FORKEYSHARE ||
		list_length(query->targetList) != 1 || query->jointree->quals == NULL)
		return false;
	entry = linitial(query->targetList);
	return IsA(entry->expr, Const) &&
		are_key_comparisons(make_ands_implicit((Expr *) query->jointree->quals));
}

/*
 * A binding or startup token must be there before accessors are estimated. A
 * foreign key's own statement is planned before it can be known as one; the
 * probe of a further one below it calls nothing that a user has made.
 */
void
MtGuardBeforePlanning(Query *query)
{
	MtContextMaterialise();
	if (!MtGuardIsOn())
		return;
	if (InNoForceRLSOperation() &&
		((!current_frame.is_noforce && current_start.query == NULL) ||
		 is_key_share_query(query)))
		return;
	MtGuardCheckQuery(query);
}

/*
 * A foreign key's own statement runs as the table's owner without FORCE, and
 * without firing triggers itself. It is exempt where the statement around it is
 * not such a one. The caller makes sure that the statement names one relation
 * only, checked as the current user: what a rule or a view adds is not the
 * foreign key's.
 *
 * Security: a trigger below it inherits the missing FORCE, so what runs inside
 * is not exempt - a trigger on the child of a cascade read and wrote another
 * tenant's rows when it was. Only the probe of a further foreign key is. Nor is
 * what the planner evaluates: a foreign key starts its statement after planning
 * it, while an index expression of the table's owner is folded in between. Nor
 * what is evaluated while such a statement starts, such as a cast of its value.
 */
bool
MtGuardIsReferentialStatement(void)
{
	if (!InNoForceRLSOperation() || current_start.query == NULL ||
		(current_start.eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0 ||
		MtContextIsPlanning())
		return false;
	if (!current_frame.is_noforce && !current_start.is_below_noforce)
		return true;
	return is_key_share_probe(current_start.query->plannedstmt);
}

/*
 * The text of a foreign key's own statement, NULL if it changes nothing. Only
 * asked of a statement for which MtGuardIsReferentialStatement() is true, whose
 * text the server has made.
 */
const char *
MtGuardReferenceText(void)
{
	return current_start.query->plannedstmt->commandType == CMD_SELECT ?
		NULL : current_start.query->sourceText;
}

/* Is COPY asking? It checks permissions without starting the executor. */
bool
MtGuardIsCopy(void)
{
	return current_start.query == NULL;
}
