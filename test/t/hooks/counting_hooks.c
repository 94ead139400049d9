/*
 * counting_hooks.c
 *	  Another extension with hooks, for 017_other_hooks.pl: counts its calls.
 *
 * Loaded before multitenant it is what multitenant has to call; loaded after it,
 * it calls multitenant.
 */
#include "postgres.h"

#include "base/compat.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/selfuncs.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(hook_calls);
PG_FUNCTION_INFO_V1(hook_refuses);

PGDLLEXPORT void _PG_init(void);

enum
{
	PLANNER,
	EXECUTOR_START,
	EXECUTOR_RUN,
	EXECUTOR_FINISH,
	CHECK_PERMS,
	OBJECT_ACCESS,
	ANALYZE,
	EMIT_LOG,
	RELATION_INFO,
	RELATION_STATS,
	INDEX_STATS,
	PATHLIST,
	HOOK_COUNT
};

static const char *const names[HOOK_COUNT] = {
	"planner", "start", "run", "finish", "permissions", "access", "analyze", "log",
	"relation info", "relation stats", "index stats", "paths"
};
static int64 calls[HOOK_COUNT];
static bool is_refusing = false;

static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_executor_start = NULL;
static ExecutorRun_hook_type previous_executor_run = NULL;
static ExecutorFinish_hook_type previous_executor_finish = NULL;
static ExecutorCheckPerms_hook_type previous_check_perms = NULL;
static object_access_hook_type previous_object_access = NULL;
static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static emit_log_hook_type previous_emit_log = NULL;
static get_relation_info_hook_type previous_relation_info = NULL;
static get_relation_stats_hook_type previous_relation_stats = NULL;
static get_index_stats_hook_type previous_index_stats = NULL;
static set_rel_pathlist_hook_type previous_pathlist = NULL;

static PlannedStmt *
plan(MT_PLANNER_PARAMS)
{
	calls[PLANNER]++;
	return previous_planner ? previous_planner(MT_PLANNER_ARGS) : standard_planner(MT_PLANNER_ARGS);
}

static void
start(QueryDesc *queryDesc, int eflags)
{
	calls[EXECUTOR_START]++;
	if (previous_executor_start)
		previous_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
}

static void
run(MT_EXECUTOR_RUN_PARAMS)
{
	calls[EXECUTOR_RUN]++;
	if (previous_executor_run)
		previous_executor_run(MT_EXECUTOR_RUN_ARGS);
	else
		standard_ExecutorRun(MT_EXECUTOR_RUN_ARGS);
}

static void
finish(QueryDesc *queryDesc)
{
	calls[EXECUTOR_FINISH]++;
	if (previous_executor_finish)
		previous_executor_finish(queryDesc);
	else
		standard_ExecutorFinish(queryDesc);
}

static bool
check_permissions(MT_CHECK_PERMS_PARAMS)
{
	calls[CHECK_PERMS]++;
	if (is_refusing && !ereport_on_violation)
		return false;
	return previous_check_perms ? previous_check_perms(MT_CHECK_PERMS_ARGS) : true;
}

static void
access_object(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	calls[OBJECT_ACCESS]++;
	if (previous_object_access)
		previous_object_access(access, classId, objectId, subId, arg);
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	calls[ANALYZE]++;
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);
}

static void
emit_log(ErrorData *edata)
{
	calls[EMIT_LOG]++;
	if (previous_emit_log)
		previous_emit_log(edata);
}

static void
relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	calls[RELATION_INFO]++;
	if (previous_relation_info)
		previous_relation_info(root, relid, inhparent, rel);
}

static bool
relation_stats(PlannerInfo *root, RangeTblEntry *entry, AttrNumber column,
			   VariableStatData *vardata)
{
	calls[RELATION_STATS]++;
	if (is_refusing)
		return true;
	return previous_relation_stats ?
		previous_relation_stats(root, entry, column, vardata) : false;
}

static bool
index_stats(PlannerInfo *root, Oid index, AttrNumber column, VariableStatData *vardata)
{
	calls[INDEX_STATS]++;
	if (is_refusing)
		return true;
	return previous_index_stats ? previous_index_stats(root, index, column, vardata) : false;
}

static void
pathlist(PlannerInfo *root, RelOptInfo *rel, Index varno, RangeTblEntry *entry)
{
	calls[PATHLIST]++;
	if (previous_pathlist)
		previous_pathlist(root, rel, varno, entry);
}

void
_PG_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
	previous_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish;
	previous_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_permissions;
	previous_object_access = object_access_hook;
	object_access_hook = access_object;
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
	previous_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
	previous_relation_info = get_relation_info_hook;
	get_relation_info_hook = relation_info;
	previous_relation_stats = get_relation_stats_hook;
	get_relation_stats_hook = relation_stats;
	previous_index_stats = get_index_stats_hook;
	get_index_stats_hook = index_stats;
	previous_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = pathlist;
}

/* hook_calls(name): how often the hook of that name was called in this session */
Datum
hook_calls(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int i = 0; i < HOOK_COUNT; i++)
		if (strcmp(name, names[i]) == 0)
			PG_RETURN_INT64(calls[i]);
	elog(ERROR, "no hook \"%s\"", name);
}

/*
 * hook_refuses(boolean): whether a server that asks without raising is told no,
 * and a planner that there are no statistics.
 */
Datum
hook_refuses(PG_FUNCTION_ARGS)
{
	is_refusing = PG_GETARG_BOOL(0);
	PG_RETURN_VOID();
}
