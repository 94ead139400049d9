/*
 * supervised.c
 *	  Whoever looks into a tenant from outside looks, and does nothing else.
 *
 * Owns what a supervised context may execute besides reading tables: which utility
 * statements, and which functions that C code or an untrusted language stands
 * behind. That it writes no rows and locks none is in permission.c and executor.c.
 *
 * Invariant: before every statement the server itself is told that the transaction
 * is read-only, whatever the session has done about that since the last one.
 *
 * Security: both lists say what is allowed. A new statement or function of a new
 * server version is refused until somebody has looked at it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/errors.h"
#include "base/extension.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "guard/guard.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "tenant/context.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

/*
 * Volatile functions of the server and of well-known extensions that a supervised
 * context may execute: they change nothing that outlives the transaction but
 * settings, which are cleaned up, and show nothing that is not shown anyway.
 */
static const char *const allowed_functions[] = {
	"clock_timestamp", "currval", "cursor_to_xml", "cursor_to_xmlschema", "database_to_xml",
	"database_to_xml_and_xmlschema", "gen_random_bytes", "gen_random_uuid", "gen_salt", "lastval",
	"pg_advisory_unlock", "pg_advisory_unlock_all", "pg_advisory_unlock_shared",
	"pg_column_size", "pg_cursor", "pg_is_in_recovery", "pg_relation_size", "pg_sleep", "pg_sleep_for", "pg_sleep_until",
	"pg_total_relation_size", "pg_table_size", "pg_indexes_size", "query_to_xml", "query_to_xml_and_xmlschema",
	"query_to_xmlschema", "random", "random_normal", "schema_to_xml", "schema_to_xml_and_xmlschema",
	"set_config", "setseed", "table_to_xml", "table_to_xml_and_xmlschema", "timeofday",
	"uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4", "uuidv4", "uuidv7"
};

MT_NORETURN static void refuse(const char *hint);

static void
refuse(const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			errmsg("a supervised context is read-only"),
			errhint("%s", hint));
}

/*
 * Security: RESET transaction_read_only and the end of a subtransaction that was
 * there before the context bring back what the server would let through.
 */
void
MtGuardKeepReadOnly(void)
{
	if (unlikely(MtContextIsSupervised()))
		XactReadOnly = true;
}

/* ---- functions ---- */

static bool
is_allowed_name(const char *name)
{
	for (size_t i = 0; i < lengthof(allowed_functions); i++)
		if (strcmp(name, allowed_functions[i]) == 0)
			return true;
	return false;
}

/* May what stands behind the language do more than SQL can? */
static bool
is_trusted(Oid language)
{
	HeapTuple	tuple = SearchSysCache1(LANGOID, ObjectIdGetDatum(language));
	bool		result = HeapTupleIsValid(tuple) && ((Form_pg_language) GETSTRUCT(tuple))->lanpltrusted;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/*
 * Functions that a supervised context may not execute: volatile ones past the guard,
 * which sees statements only. What they would do is not known here: take a number
 * of a sequence, write a file, connect to a server, start a process. Functions of
 * this extension decide for themselves.
 */
static bool
is_refused(Form_pg_proc function)
{
	if (function->provolatile != PROVOLATILE_VOLATILE || is_trusted(function->prolang))
		return false;
	return function->pronamespace != get_namespace_oid(MT_SCHEMA_NAME, true) &&
		!is_allowed_name(NameStr(function->proname));
}

void
MtGuardCheckSupervisedFunction(Oid function)
{
	HeapTuple	tuple;
	bool		result;

	if (likely(!MtContextIsSupervised()) || !MtIsActive() || !MtGuardIsOn())
		return;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return;
	result = is_refused((Form_pg_proc) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	if (result)
		refuse("This function may change something, or reach beyond this database.");
}

/* ---- the beginning ---- */

static bool
is_refused_function(Oid function, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result = HeapTupleIsValid(tuple) && is_refused((Form_pg_proc) GETSTRUCT(tuple));

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

static bool
calls_refused_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_refused_function, context) ||
		expression_tree_walker(node, calls_refused_function, context);
}

/* The functions that a SELECT of functions alone calls: in its list, or in FROM. */
static bool
calls(const Plan *plan, bool (*walker) (Node *node, void *context))
{
	return (IsA(plan, Result) && walker(((const Result *) plan)->resconstantqual, NULL)) ||
		(IsA(plan, FunctionScan) && walker((Node *) ((const FunctionScan *) plan)->functions, NULL)) ||
		walker((Node *) plan->targetlist, NULL) || walker((Node *) plan->qual, NULL);
}

/*
 * May the statement, in the middle of which a supervised context begins, do something
 * afterwards that such a context may not? Only of a SELECT of functions alone it is
 * certain that it does not.
 */
static bool
may_go_on(const QueryDesc *query)
{
	const PlannedStmt *statement = query->plannedstmt;
	const Plan *plan = statement->planTree;

	return statement->commandType != CMD_SELECT || plan == NULL || plan->lefttree != NULL ||
		!(IsA(plan, Result) || IsA(plan, FunctionScan)) ||
		statement->subplans != NIL || statement->rowMarks != NIL ||
		MtGuardFillsTable(query) || calls(plan, calls_refused_function);
}

static bool
is_own_function(Oid function, void *context)
{
	return get_func_namespace(function) == get_namespace_oid(MT_SCHEMA_NAME, true);
}

static bool
calls_own_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_own_function, context) ||
		expression_tree_walker(node, calls_own_function, context);
}

/*
 * Security: functions are looked at when an expression is initialised. So nothing goes
 * on that was initialised before: no statement that calls more than it should, no
 * utility statement that evaluates defaults or fills a table, no cursor; and what begins
 * the context is a statement, not an expression that a procedural language evaluates by
 * itself. What such a language keeps for a transaction gets new plans.
 *
 * What the connection brings is there before its first statement is.
 */
static void
begin(const MtContext *context)
{
	const QueryDesc *query = MtGuardRunningStatement();

	if (context->kind != MT_KIND_SUPERVISED || !MtGuardIsOn())
		return;
	if (context->source != MT_SOURCE_CONNECTION && context->source != MT_SOURCE_SESSION &&
		(query == NULL || may_go_on(query) || !calls(query->plannedstmt->planTree, calls_own_function)))
		refuse("Begin it with SELECT or PERFORM, in a statement that calls the function and nothing else.");
	if (MtGuardIsInMore() || MtGuardIsAnyStatement(may_go_on))
		refuse("Begin it in a statement of its own, which calls the function and nothing else.");
	if (MtResidueHasCursor())
		refuse("Close all cursors before it begins.");
	ResetPlanCache();
}

void
MtGuardSupervisedInit(void)
{
	MtContextOnTenant(begin);
}

/* ---- utility statements ---- */

/* Is it for the client alone, and does it write nothing? */
static bool
is_copy_to_client(const CopyStmt *copy)
{
	return !copy->is_from && !copy->is_program && copy->filename == NULL;
}

bool
MtGuardMayExecuteSupervised(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
			switch (((TransactionStmt *) statement)->kind)
			{
				case TRANS_STMT_PREPARE:
				case TRANS_STMT_COMMIT_PREPARED:
				case TRANS_STMT_ROLLBACK_PREPARED:
					return IsAbortedTransactionBlockState();
				default:
					return true;
			}
		case T_DeclareCursorStmt:
			return (((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) == 0;
		case T_CopyStmt:
			return is_copy_to_client((CopyStmt *) statement);
		case T_ExplainStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_ConstraintsSetStmt:
		case T_DiscardStmt:
		case T_UnlistenStmt:
		case T_DoStmt:
		case T_CallStmt:
			return true;
		default:
			return false;
	}
}

void
MtGuardCheckSupervisedUtility(Node *statement)
{
	if (unlikely(MtContextIsSupervised()) && MtGuardIsOn() && !MtGuardMayExecuteSupervised(statement))
		refuse("Only statements that read can be executed. Changing anything takes a credential of the tenant itself.");
}
