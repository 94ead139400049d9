/*
 * executor.c
 *	  Following a statement through planner and executor.
 *
 * Owns the stack of steps, whose topmost says which statement is being started and
 * whether the innermost running one is a foreign key's own: each step of a statement
 * puts one there and takes it away afterwards. An error leaves the steps of its
 * (sub)transaction to the callbacks below, which is cheaper than to catch it in
 * every step: most statements of an application are shorter than four sigsetjmp().
 *
 * Invariant: a step is on the stack if and only if it is running, except between
 * an error and the abort of its subtransaction, when no statement runs.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "base/leader.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/redact.h"
#include "base/transaction.h"
#include "executor/executor.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "policy/protection.h"
#include "policy/reference.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "rbac/watch.h"
#include "tenant/context.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

/* A statement that is being started. */
typedef struct Start
{
	QueryDesc  *query;
	int			eflags;
	bool		is_noforce;
	bool		is_below_noforce;	/* started while such a one was starting */
} Start;

/* A statement that is running, or the triggers after it. */
typedef struct Frame
{
	bool		is_noforce;
	bool		is_held;		/* in or below the query of a cursor WITH HOLD */
	int			depth;
	QueryDesc  *query;			/* NULL: none runs */
} Frame;

/* What is so during a step. */
typedef struct Step
{
	Start		start;
	Frame		frame;
	int			planner_depth;
	int			nest_level;		/* the subtransaction that it began in */
} Step;

/* The first stands for outside of all steps; more than these are in TopMemoryContext. */
static Step first_steps[32];
static MT_HOT Step *steps = first_steps;
static MT_HOT Step *last_step = &first_steps[lengthof(first_steps) - 1];
static MT_HOT Step *current = first_steps;

/* Something was planned that must not be used again; see below. */
static MT_HOT bool must_reset_plans = false;

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
	if (unlikely(current->frame.is_noforce || current->start.query != NULL || MtContextIsPlanning()) &&
		InNoForceRLSOperation())
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
static pg_noinline void
reset_plans_if_due(void)
{
	if (current->frame.is_noforce ||
		current->start.query != NULL || MtContextIsPlanning())
		return;
	must_reset_plans = false;
	ResetPlanCache();
}

/* ---- the stack of steps ---- */

static pg_noinline void
make_room(void)
{
	Size		used = (Size) (current + 1 - steps);
	Size		limit = 2 * used;
	Step	   *before = steps;
	Step	   *more = MemoryContextAlloc(TopMemoryContext, limit * sizeof(Step));

	memcpy(more, before, used * sizeof(Step));
	steps = more;
	current = &more[used - 1];
	last_step = &more[limit - 1];
	if (before != first_steps)
		pfree(before);
}

/* A step in which all is as it was before. */
static inline Step *
enter_step(void)
{
	Step	   *step;

	if (unlikely(current == last_step))
		make_room();
	step = current + 1;
	*step = *current;
	step->nest_level = GetCurrentTransactionNestLevel();
	current = step;
	return step;
}

/* What MtGuardLeave() is told of it: where it is, in bytes. */
static inline int
place_of(const Step *step)
{
	return (int) ((const char *) step - (const char *) steps);
}

/* Back to what was before the step, whatever is still on top of it. */
void
MtGuardLeave(int step)
{
	current = (Step *) ((char *) steps + step) - 1;
	MtContextSetPlannerDepth(current->planner_depth);
	if (unlikely(must_reset_plans))
		reset_plans_if_due();
}

/* Leaves the steps that an error in this subtransaction or below has ended. */
static void
leave_steps_of(int nest_level)
{
	Step	   *step = current;

	while (step > steps && step->nest_level >= nest_level)
		step--;
	if (step < current)
		MtGuardLeave(place_of(step + 1));
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		leave_steps_of(GetCurrentTransactionNestLevel());
}

static void
transaction_ended(XactEvent event)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		leave_steps_of(0);
}

void
MtGuardExecutorInit(void)
{
	MtTransactionOnEnd(transaction_ended);
	MtTransactionOnSubEnd(subtransaction_ended);
}

/* ---- the steps of a statement ---- */

bool
MtGuardFillsTable(const QueryDesc *query)
{
	return query->dest != NULL && (query->dest->mydest == DestIntoRel ||
								   query->dest->mydest == DestTransientRel);
}

/*
 * Security: a supervised context looks and writes nothing. CREATE TABLE AS asks
 * for no right to write, so it is told by where its rows go.
 */
static void
refuse_supervised_copy(QueryDesc *query)
{
	if (MtContextIsSupervised() && MtGuardFillsTable(query))
		ereport(ERROR,
				errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				errmsg("a supervised context is read-only"),
				errhint("Writing takes a credential of the tenant itself."));
}

static pg_noinline void
prepare_start(void)
{
	if (IsParallelWorker())
		return;
	if (current->frame.depth == 0)
		MtRedactActivity();
	MtContextMaterialise();
}

static pg_noinline void
settle_start(void)
{
	MtGuardKeepReadOnly();
	if (!IsParallelWorker())
		MtWatchSettle();
}

int
MtGuardEnterStart(QueryDesc *query, int eflags)
{
	Step	   *step;

	if (unlikely(MtRedactIsNeeded()) || unlikely(MtContextMayCome()))
		prepare_start();
	if (unlikely(MtContextIsAny()))
		settle_start();
	step = enter_step();
	step->start.is_below_noforce = step->start.query != NULL &&
		(step->start.is_noforce || step->start.is_below_noforce);
	step->start.is_noforce = InNoForceRLSOperation();
	step->start.query = query;
	step->start.eflags = eflags;
	return place_of(step);
}

/* Does the statement read or write a table of tenants? */
static bool
touches_tenants(const PlannedStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		if (entry->rtekind == RTE_RELATION && entry->relid >= FirstNormalObjectId &&
			MtClassIsFiltered(MtProtectionOf(entry->relid)->class))
			return true;
	}
	return false;
}

/*
 * Security: a FETCH comes here only, also one inside a function. Its tenant may
 * have been suspended, and its credential may have expired, since the cursor was
 * opened.
 */
static pg_noinline void
check_before_run(QueryDesc *query)
{
	MtDenial	denial;

	MtGuardKeepReadOnly();
	refuse_supervised_copy(query);

	/* A deferred foreign key's statement at COMMIT is nobody's FETCH. */
	if (IsParallelWorker() || InNoForceRLSOperation())
		return;
	if (current->frame.depth == 0)
		MtRedactActivity();
	MtGuardCheckSupervisedPortal();
	if (MtContextIsUsed() && MtGuardIsOn() && !MtContextCheck(&denial) &&
		touches_tenants(query->plannedstmt))
		MtDenialRaise(&denial);
	MtWatchSettle();
	if (unlikely(MtProtectionHasMetPermissions() || MtWatchIsOn()) && MtContextIsUsed() && MtGuardIsOn())
		MtGuardCheckRightsAgain(query->plannedstmt);
}

int
MtGuardEnterRun(QueryDesc *query)
{
	Step	   *step;

	if (unlikely(MtContextIsAny()) || unlikely(MtRedactIsNeeded()))
		check_before_run(query);
	if (unlikely(query->plannedstmt->parallelModeNeeded))
		MtLeaderTell();
	step = enter_step();
	step->frame.is_noforce = InNoForceRLSOperation();
	step->frame.is_held |= ActivePortal != NULL &&
		(ActivePortal->cursorOptions & CURSOR_OPT_HOLD) != 0;
	step->frame.depth++;
	step->frame.query = query;
	return place_of(step);
}

void
MtGuardTextOf(const QueryDesc *query, const char **text, int *length)
{
	const char *source;
	int			location = -1;
	int			given = 0;

	if (query == NULL)
		query = current->start.query != NULL ? current->start.query : current->frame.query;
	source = query != NULL ? query->sourceText : debug_query_string;
	if (source == NULL)
		source = "";
	if (query != NULL && query->plannedstmt != NULL)
	{
		location = query->plannedstmt->stmt_location;
		given = query->plannedstmt->stmt_len;
	}
	*text = location > 0 ? source + location : source;
	*length = location >= 0 && given > 0 ? given : (int) strlen(*text);
}

/*
 * Security: what a cursor WITH HOLD has not returned by COMMIT is computed then,
 * functions that read tables included.
 */
bool
MtGuardIsInHeldCursor(void)
{
	return current->frame.is_held;
}

bool
MtGuardIsAnyStatement(bool (*test) (const QueryDesc *query))
{
	for (Step *step = steps; step <= current; step++)
		if ((step->frame.query != NULL && test(step->frame.query)) ||
			(step->start.query != NULL && test(step->start.query)))
			return true;
	return false;
}

/*
 * Security: no portal of SPI's, and none that a statement has declared, has formats for
 * the client; and while a message is read, and at COMMIT, there is no portal.
 */
bool
MtGuardIsInClientsPortal(void)
{
	return ActivePortal != NULL && ActivePortal->formats != NULL;
}

/* EXECUTE runs its statement in a portal of its own, which nobody sees. */
static bool
is_clients_own(const QueryDesc *query)
{
	switch (MtGuardUtilityUnderWay())
	{
		case MT_UTILITY_NONE:
			return MtGuardIsInClientsPortal() && ActivePortal->queryDesc == query;
		case MT_UTILITY_EXECUTE:
			return ActivePortal != NULL && !ActivePortal->visible && ActivePortal->queryDesc == query;
		case MT_UTILITY_OTHER:
		case MT_UTILITY_WRITING:
			break;
	}
	return false;
}

const QueryDesc *
MtGuardClientsStatement(void)
{
	const QueryDesc *outermost = NULL;

	for (Step *step = steps; step <= current; step++)
	{
		if (step->start.query != NULL)
			return NULL;
		if (step->frame.depth == 1)
			outermost = step->frame.query;
	}
	return outermost != NULL && is_clients_own(outermost) ? outermost : NULL;
}

/* Triggers run here, and nothing is fetched. */
int
MtGuardEnterFinish(void)
{
	Step	   *step = enter_step();

	step->frame.is_noforce = InNoForceRLSOperation();
	step->frame.depth++;
	return place_of(step);
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

/*
 * Is each of the conditions "column = parameter", by built-in means, and are
 * these the columns that a foreign key compares?
 *
 * Security: a user's function can look like a probe. Whether a row has a value
 * is then no more than a foreign key would tell, not a question about any column
 * of other tenants' rows.
 */
static bool
are_key_comparisons(List *conditions, Oid relid)
{
	Bitmapset  *columns = NULL;
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
		if (is_key_value(left))
		{
			Node	   *value = left;

			left = right;
			right = value;
		}
		if (!IsA(left, Var) || ((Var *) left)->varattno <= 0 || !is_key_value(right))
			return false;
		columns = bms_add_member(columns, ((Var *) left)->varattno);
	}
	return columns != NULL && MtReferencesCompare(relid, columns);
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
	return IsA(entry->expr, Const) &&
		are_key_comparisons(conditions, ((RangeTblEntry *) linitial(statement->rtable))->relid);
}

/* The same before it is planned. */
static bool
is_key_share_query(const Query *query)
{
	TargetEntry *entry;

	if (query->commandType != CMD_SELECT || list_length(query->rtable) != 1 ||
		((RangeTblEntry *) linitial(query->rtable))->rtekind != RTE_RELATION ||
		list_length(query->rowMarks) != 1 || query->hasSubLinks ||
		((RowMarkClause *) linitial(query->rowMarks))->strength != LCS_FORKEYSHARE ||
		list_length(query->targetList) != 1 || query->jointree->quals == NULL)
		return false;
	entry = linitial(query->targetList);
	return IsA(entry->expr, Const) &&
		are_key_comparisons(make_ands_implicit((Expr *) query->jointree->quals),
							((RangeTblEntry *) linitial(query->rtable))->relid);
}

/*
 * A foreign key's own statement is planned before it can be known as one; the
 * probe of a further one below it calls nothing that a user has made.
 */
void
MtGuardCheckPlanning(Query *query)
{
	if (MtGuardIsOn() &&
		!(InNoForceRLSOperation() &&
		  ((!current->frame.is_noforce && current->start.query == NULL) ||
		   is_key_share_query(query))))
		MtGuardCheckQuery(query);
}

int
MtGuardEnterPlanning(void)
{
	Step	   *step = enter_step();

	step->planner_depth++;
	MtContextSetPlannerDepth(step->planner_depth);
	return place_of(step);
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
	if (!InNoForceRLSOperation() || current->start.query == NULL ||
		(current->start.eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0 ||
		MtContextIsPlanning())
		return false;
	if (!current->frame.is_noforce && !current->start.is_below_noforce)
		return true;
	return is_key_share_probe(current->start.query->plannedstmt);
}

/*
 * The text of a foreign key's own statement, NULL if it changes nothing. Only
 * asked of a statement for which MtGuardIsReferentialStatement() is true, whose
 * text the server has made.
 */
const char *
MtGuardReferenceText(void)
{
	return current->start.query->plannedstmt->commandType == CMD_SELECT ?
		NULL : current->start.query->sourceText;
}

bool
MtGuardIsInStatement(void)
{
	return current->frame.depth > 0;
}

/* Is COPY asking? It checks permissions without starting the executor. */
bool
MtGuardIsCopy(void)
{
	return current->start.query == NULL;
}
