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
#include "base/extension.h"
#include "base/redact.h"
#include "executor/executor.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "tenant/context.h"

static MtStart current_start = {NULL, 0};
static MtFrame current_frame = {false, 0};

/* A binding or startup token must be there before accessors are estimated. */
void
MtGuardBeforePlanning(void)
{
	MtContextMaterialise();
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
	return previous;
}

void
MtGuardLeaveStart(MtStart previous)
{
	current_start = previous;
}

/*
 * Security: a FETCH comes here only. Its tenant may have been suspended, and its
 * credential may have expired, since the cursor was opened.
 */
void
MtGuardBeforeRun(void)
{
	MtDenial	denial;

	if (current_frame.depth > 0)
		return;
	MtRedactActivity();
	if (MtContextIsUsed() && MtGuardIsOn() && !MtContextCheck(&denial))
		MtDenialRaise(&denial);
}

MtFrame
MtGuardEnterFrame(void)
{
	MtFrame		previous = current_frame;

	current_frame.is_noforce = InNoForceRLSOperation();
	current_frame.depth++;
	return previous;
}

void
MtGuardLeaveFrame(MtFrame previous)
{
	current_frame = previous;
}

/* The existence probe of a foreign key: SELECT 1 FROM ONLY pk .. FOR KEY SHARE. */
static bool
is_key_share_probe(const PlannedStmt *statement)
{
	TargetEntry *entry;
	PlanRowMark *mark;

	if (statement->commandType != CMD_SELECT ||
		list_length(statement->rtable) != 1 ||
		list_length(statement->rowMarks) != 1 ||
		statement->planTree == NULL || !IsA(statement->planTree, LockRows))
		return false;
	mark = linitial(statement->rowMarks);
	entry = linitial(statement->planTree->targetlist);
	return mark->strength == LCS_FORKEYSHARE && entry != NULL &&
		((RangeTblEntry *) linitial(statement->rtable))->rtekind == RTE_RELATION;
}

/*
 * A foreign key's own statement runs as the table's owner without FORCE, and
 * without firing triggers itself. It is exempt where the statement around it is
 * not such a one.
 *
 * Security: a trigger below it inherits the missing FORCE, so what runs inside
 * is not exempt - a trigger on the child of a cascade read and wrote another
 * tenant's rows when it was. Only the probe of a further foreign key is, which
 * returns no data. Nor is what the planner evaluates: a foreign key starts its
 * statement after planning it, while an index expression of the table's owner is
 * folded in between, with the missing FORCE.
 */
bool
MtGuardIsReferentialStatement(void)
{
	if (!InNoForceRLSOperation() || current_start.query == NULL ||
		(current_start.eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0 ||
		MtContextIsPlanning())
		return false;
	if (!current_frame.is_noforce)
		return true;
	return is_key_share_probe(current_start.query->plannedstmt);
}
