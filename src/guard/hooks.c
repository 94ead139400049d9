/*
 * hooks.c
 *	  Installs the hooks and dispatches to the guards; decides nothing.
 *
 * Every hook asks MtIsActive(), calls its guard, and chains; that of the log reads
 * no catalogs, so its guard was told when the statement started. A guard denies
 * before the next extension sees the statement. Where it is certain that nothing is
 * to be done, a hook says so at once, and what it does otherwise is a function of its
 * own: docs/internals/hook-cost.md.
 *
 * Security: parallel workers are guarded like everybody. They also run
 * statements that their leader never saw - inside functions whose PARALLEL SAFE
 * mark is the caller's word.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/redact.h"
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
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "tenant/context.h"

/* What comes next: the next extension, or the server itself. */
static MT_HOT planner_hook_type next_planner = NULL;
static MT_HOT ExecutorStart_hook_type next_start = NULL;
static MT_HOT ExecutorRun_hook_type next_run = NULL;
static MT_HOT ExecutorFinish_hook_type next_finish = NULL;
static ProcessUtility_hook_type next_utility = NULL;

/* The next extension; NULL: there is none. */
static MT_HOT ExecutorCheckPerms_hook_type previous_check_perms = NULL;
static MT_HOT object_access_hook_type previous_object_access = NULL;
static emit_log_hook_type previous_emit_log = NULL;
static MT_HOT post_parse_analyze_hook_type previous_post_parse_analyze = NULL;

static MT_HOT bool are_hooks_installed = false;

bool
MtGuardIsOn(void)
{
	return are_hooks_installed && mt_guc_guard_enabled;
}

static pg_noinline PlannedStmt *
plan_guarded(MT_PLANNER_PARAMS)
{
	PlannedStmt *result;
	int			step;
	bool		is_folded;

	MtGuardCheckPlanning(parse);
	step = MtGuardEnterPlanning();
	MtChecksSimplify(parse);
	MtConflictOrder(parse);
	is_folded = MtGuardIsOn() && MtFoldQuery(parse, query_string, boundParams);
	result = MtGuardPlanLifted(next_planner, is_folded, MT_PLANNER_ARGS);
	MtGuardLeave(step);
	if (is_folded)
		MtFoldMark(result);
	MtGuardObservePlan(result);
	MtGuardCheckPrintedPlan();
	return result;
}

/*
 * A binding or startup token must be there before accessors are estimated, whatever
 * the statement is about. An UPDATE or DELETE of nobody's table may reach observed
 * ones below it.
 */
static PlannedStmt *
plan_statement(MT_PLANNER_PARAMS)
{
	PlannedStmt *result;
	int			step;

	if (unlikely(!MtIsActive()))
		return next_planner(MT_PLANNER_ARGS);
	if (unlikely(MtContextMayCome()))
		MtContextMaterialise();
	if (unlikely(!MtGuardIsNobodysQuery(parse)))
		return plan_guarded(MT_PLANNER_ARGS);
	step = MtGuardEnterPlanning();
	result = next_planner(MT_PLANNER_ARGS);
	MtGuardLeave(step);
	if (result->commandType != CMD_SELECT && result->commandType != CMD_INSERT)
		MtGuardObservePlan(result);
	if (unlikely(Debug_print_plan))
		MtGuardCheckPrintedPlan();
	return result;
}

/*
 * Security: a folded plan runs for the tenant that it was made for, and no other can
 * come between: the identity of this transaction is used from now on. The guard
 * sees to that with protected tables, but a policy of one's own on another table is
 * folded, too.
 */
static pg_noinline void
use_folded(void)
{
	MtDenial	denial;

	if (MtGuardIsOn() && !MtContextIsUsed() && !MtContextCheck(&denial))
		MtDenialRaise(&denial);
}

static void
check_folded(const PlannedStmt *statement)
{
	MtFoldNoteStart(statement);
	if (unlikely(MtFoldCheck(statement)))
		use_folded();
}

static void
start_executor(QueryDesc *queryDesc, int eflags)
{
	int			step;

	MtGuardNotePlanReader();
	if (unlikely(!MtIsActive()))
	{
		next_start(queryDesc, eflags);
		return;
	}
	step = MtGuardEnterStart(queryDesc, eflags);
	check_folded(queryDesc->plannedstmt);
	next_start(queryDesc, eflags);
	MtGuardObserveStart(queryDesc, eflags);
	MtGuardLeave(step);
}

static void
run_executor(MT_EXECUTOR_RUN_PARAMS)
{
	int			step;

	if (unlikely(!MtIsActive()))
	{
		next_run(MT_EXECUTOR_RUN_ARGS);
		return;
	}
	step = MtGuardEnterRun(queryDesc);
	(void) MtFoldCheck(queryDesc->plannedstmt);
	next_run(MT_EXECUTOR_RUN_ARGS);
	MtGuardLeave(step);
	MtHygieneAfterRun();
}

static pg_noinline void
finish_guarded(QueryDesc *queryDesc)
{
	int			step = MtGuardEnterFinish();

	next_finish(queryDesc);
	MtGuardLeave(step);
}

/* Only a statement that writes has triggers left to run. */
static void
finish_executor(QueryDesc *queryDesc)
{
	if ((queryDesc->operation != CMD_SELECT || queryDesc->plannedstmt->hasModifyingCTE) &&
		MtIsActive())
		finish_guarded(queryDesc);
	else
		next_finish(queryDesc);
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
		next_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
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
			next_utility(MtGuardObserveCopy(pstmt), queryString, readOnlyTree, context,
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
	bool		has_credential = MtRedactStatement(pstate->p_sourcetext);

	if (unlikely(has_credential))
		MtRedactQueryId(query);
	MtGuardAfterAnalysis();
	MtFoldNoteAnalysis(pstate->p_sourcetext);
	if (unlikely(query->utilityStmt != NULL))
		MtLabelBeforeStatement(query->utilityStmt);
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);
	if (unlikely(has_credential))
		MtRedactQueryId(query);
}

static pg_noinline bool
check_guarded(MT_CHECK_PERMS_PARAMS)
{
	if (MtIsActive() && MtGuardIsOn() &&
		!MtGuardCheckPermissions(MT_CHECK_PERMS_LIST, ereport_on_violation))
		return false;
	return previous_check_perms ? previous_check_perms(MT_CHECK_PERMS_ARGS) : true;
}

static bool
check_permissions(MT_CHECK_PERMS_PARAMS)
{
	if (likely(previous_check_perms == NULL) && likely(MtGuardAreNobodys(MT_CHECK_PERMS_LIST)))
		return true;
	return check_guarded(MT_CHECK_PERMS_ARGS);
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

static pg_noinline void
access_guarded(ObjectAccessType access, Oid classId, Oid objectId, int subId,
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
access_object(ObjectAccessType access, Oid classId, Oid objectId, int subId,
			  void *arg)
{
	if (likely(access == OAT_FUNCTION_EXECUTE) && likely(!MtGuardIsFunctionOfConcern(objectId)) &&
		likely(previous_object_access == NULL))
		return;
	access_guarded(access, classId, objectId, subId, arg);
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
	next_planner = planner_hook ? planner_hook : standard_planner;
	planner_hook = plan_statement;
	next_start = ExecutorStart_hook ? ExecutorStart_hook : standard_ExecutorStart;
	ExecutorStart_hook = start_executor;
	next_run = ExecutorRun_hook ? ExecutorRun_hook : standard_ExecutorRun;
	ExecutorRun_hook = run_executor;
	next_finish = ExecutorFinish_hook ? ExecutorFinish_hook : standard_ExecutorFinish;
	ExecutorFinish_hook = finish_executor;
	previous_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_permissions;
	previous_object_access = object_access_hook;
	object_access_hook = access_object;
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_query;
	next_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = process_utility;
	previous_emit_log = emit_log_hook;
	emit_log_hook = report;
	MtGuardExecutorInit();
	MtFoldInit();
	MtGuardPermissionInit();
	MtGuardFunctionInit();
	MtGuardSupervisedInit();
	MtGuardInferenceInit();
	are_hooks_installed = true;
}
