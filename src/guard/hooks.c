/*
 * hooks.c
 *	  Installs the hooks and dispatches to the guards; decides nothing.
 *
 * Every hook asks MtIsActive(), calls its guard, and chains; that of the log reads
 * no catalogs, so its guard was told when the statement started. A guard denies
 * before the next extension sees the statement.
 *
 * Security: parallel workers are guarded like everybody. They also run
 * statements that their leader never saw - inside functions whose PARALLEL SAFE
 * mark is the caller's word.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/extension.h"
#include "base/settings.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "policy/checks.h"
#include "policy/conflict.h"
#include "policy/folding.h"
#include "policy/label.h"
#include "policy/newtable.h"
#include "tcop/utility.h"
#include "tenant/context.h"

static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_executor_start = NULL;
static ExecutorRun_hook_type previous_executor_run = NULL;
static ExecutorFinish_hook_type previous_executor_finish = NULL;
static ExecutorCheckPerms_hook_type previous_check_perms = NULL;
static object_access_hook_type previous_object_access = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;
static emit_log_hook_type previous_emit_log = NULL;
static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;

static bool are_hooks_installed = false;

bool
MtGuardIsOn(void)
{
	return are_hooks_installed && mt_guc_guard_enabled;
}

static PlannedStmt *
plan_statement(MT_PLANNER_PARAMS)
{
	planner_hook_type plan = previous_planner ? previous_planner : standard_planner;
	PlannedStmt *result;
	int			step;
	bool		is_folded;

	if (!MtIsActive())
		return plan(MT_PLANNER_ARGS);
	step = MtGuardEnterPlanning(parse);
	MtChecksSimplify(parse);
	MtConflictOrder(parse);
	is_folded = MtGuardIsOn() && MtFoldQuery(parse, query_string, boundParams);
	result = MtGuardPlanLifted(plan, is_folded, MT_PLANNER_ARGS);
	MtGuardLeave(step);
	if (is_folded)
		MtFoldMark(result);
	MtGuardObservePlan(result);
	MtGuardCheckPrintedPlan();
	return result;
}

/*
 * Security: a folded plan runs for the tenant that it was made for, and no other can
 * come between: the identity of this transaction is used from now on. The guard
 * sees to that with protected tables, but a policy of one's own on another table is
 * folded, too.
 */
static void
check_folded(const PlannedStmt *statement)
{
	MtDenial	denial;

	MtFoldNoteStart(statement);
	if (MtFoldCheck(statement) && MtGuardIsOn() && !MtContextIsUsed() &&
		!MtContextCheck(&denial))
		MtDenialRaise(&denial);
}

static void
start_executor(QueryDesc *queryDesc, int eflags)
{
	ExecutorStart_hook_type start = previous_executor_start ?
	previous_executor_start : standard_ExecutorStart;
	int			step;

	MtGuardNotePlanReader();
	if (!MtIsActive())
	{
		start(queryDesc, eflags);
		return;
	}
	step = MtGuardEnterStart(queryDesc, eflags);
	check_folded(queryDesc->plannedstmt);
	start(queryDesc, eflags);
	MtGuardObserveStart(queryDesc, eflags);
	MtGuardLeave(step);
}

static void
run_executor(MT_EXECUTOR_RUN_PARAMS)
{
	ExecutorRun_hook_type run = previous_executor_run ?
	previous_executor_run : standard_ExecutorRun;
	int			step;

	if (!MtIsActive())
	{
		run(MT_EXECUTOR_RUN_ARGS);
		return;
	}
	step = MtGuardEnterRun(queryDesc);
	(void) MtFoldCheck(queryDesc->plannedstmt);
	run(MT_EXECUTOR_RUN_ARGS);
	MtGuardLeave(step);
	MtHygieneAfterRun();
}

/* Only a statement that writes has triggers left to run. */
static void
finish_executor(QueryDesc *queryDesc)
{
	ExecutorFinish_hook_type finish = previous_executor_finish ?
	previous_executor_finish : standard_ExecutorFinish;
	int			step;

	if ((queryDesc->operation == CMD_SELECT && !queryDesc->plannedstmt->hasModifyingCTE) ||
		!MtIsActive())
	{
		finish(queryDesc);
		return;
	}
	step = MtGuardEnterFinish();
	finish(queryDesc);
	MtGuardLeave(step);
}

/* No variable of a PG_TRY holds the hook, so that none is clobbered. */
static void
next_process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
					 ProcessUtilityContext context, ParamListInfo params,
					 QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type process = previous_process_utility ?
	previous_process_utility : standard_ProcessUtility;

	process(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	MtUtility	previous;
	uint32		residue;

	if (!MtIsActive())
	{
		next_process_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}

	/* No step of the executor: a CALL outlives its transaction. */
	previous = MtGuardEnterUtility(pstmt->utilityStmt, context);
	residue = MtHygieneResidueOf(pstmt->utilityStmt);
	PG_TRY();
	{
		MtGuardCheckUtility(pstmt->utilityStmt);
		if (!IsA(pstmt->utilityStmt, CopyStmt) || !MtGuardIsOn() ||
			!MtGuardCopyFrom(pstmt, queryString, qc))
			next_process_utility(MtGuardObserveCopy(pstmt), queryString, readOnlyTree, context,
								 params, queryEnv, dest, qc);
		MtHygieneNote(residue);
	}
	PG_FINALLY();
	{
		MtGuardLeaveUtility(previous);
	}
	PG_END_TRY();
}

static void
analyze_query(ParseState *pstate, Query *query, MtJumbleState *jstate)
{
	MtGuardAfterAnalysis();
	MtFoldNoteAnalysis(pstate->p_sourcetext);
	MtLabelBeforeStatement(query->utilityStmt);
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);
}

static bool
check_permissions(MT_CHECK_PERMS_PARAMS)
{
	if (MtIsActive() && MtGuardIsOn() &&
		!MtGuardCheckPermissions(MT_CHECK_PERMS_LIST, ereport_on_violation))
		return false;
	return previous_check_perms ? previous_check_perms(MT_CHECK_PERMS_ARGS) : true;
}

/*
 * What the library itself does to a table on behalf of its owner makes none, and
 * neither does what the server does inside of another command.
 */
static void
note_table(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	bool		is_new = access == OAT_POST_CREATE;

	if (is_new ? ((ObjectAccessPostCreate *) arg)->is_internal :
		((ObjectAccessPostAlter *) arg)->is_internal)
		return;
	if (!MtIsActive() || MtGuardOwnersCommand() != NULL)
		return;
	if (classId == InheritsRelationId)
		MtNewTableNoteParent(objectId);
	else if (subId != 0)
		MtNewTableNoteColumn(objectId, (AttrNumber) subId, is_new);
	else if (is_new)
		MtNewTableNoteCreated(objectId);
	else
		MtNewTableNoteAltered(objectId);
}

static pg_noinline void
change_object(ObjectAccessType access, Oid classId, Oid objectId, int subId,
			  void *arg)
{
	if (access == OAT_DROP && classId == ConstraintRelationId)
		MtGuardNoteDroppedConstraint(objectId);
	else if (access == OAT_DROP)
		MtGuardCheckDrop(classId, objectId);
	else if (access == OAT_TRUNCATE)
		MtGuardCheckTruncate(objectId);
	else if (access == OAT_POST_CREATE && classId == ConstraintRelationId)
		MtGuardCheckConstraint(objectId);
	else if (access == OAT_POST_CREATE && classId == OperatorRelationId)
		MtGuardCheckOperator(objectId);
	else if ((access == OAT_POST_CREATE || access == OAT_POST_ALTER) &&
			 (classId == RelationRelationId || classId == InheritsRelationId))
		note_table(access, classId, objectId, subId, arg);
}

static void
access_object(ObjectAccessType access, Oid classId, Oid objectId, int subId,
			  void *arg)
{
	if (access == OAT_FUNCTION_EXECUTE)
		MtGuardCheckFunction(objectId);
	else
		change_object(access, classId, objectId, subId, arg);
	if (previous_object_access)
		previous_object_access(access, classId, objectId, subId, arg);
}

static void
report(ErrorData *edata)
{
	MtGuardHidePlan(edata);
	if (previous_emit_log)
		previous_emit_log(edata);
}

void
MtHooksInit(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_statement;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = run_executor;
	previous_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
	previous_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_permissions;
	previous_object_access = object_access_hook;
	object_access_hook = access_object;
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_query;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_emit_log = emit_log_hook;
	emit_log_hook = report;
	MtGuardExecutorInit();
	MtFoldInit();
	MtGuardPermissionInit();
	MtGuardFunctionInit();
	MtGuardSupervisedInit();
	MtGuardInferenceInit();
	MtGuardLiftInit();
	are_hooks_installed = true;
}
