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
#include "access/transam.h"
#include "access/xact.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/leader.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "guard/guard.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "tcop/pquery.h"
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
is_refused(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc its;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	its = (Form_pg_proc) GETSTRUCT(tuple);
	result = its->provolatile == PROVOLATILE_VOLATILE && !is_trusted(its->prolang) &&
		its->pronamespace != get_namespace_oid(MT_SCHEMA_NAME, true) &&
		!is_allowed_name(NameStr(its->proname));
	ReleaseSysCache(tuple);
	return result;
}

void
MtGuardCheckSupervisedFunction(Oid function)
{
	if (likely(!MtContextIsBrought() && !MtContextIsSupervised()) || !MtIsActive() || !MtGuardIsOn() ||
		!is_refused(function))
		return;

	/*
	 * Security: what the connection brings begins before anything that it may
	 * not execute.
	 */
	MtContextMaterialise();
	if (MtContextIsSupervised())
		refuse("This function may change something, or reach beyond this database.");
}

/* ---- the beginning ---- */

/* What begins a context of this transaction; and set_config(), which is asked beside it. */
static const char *const beginning_functions[] = {
	"authenticate", "begin_supervised", "set_config", "switch_tenant"
};

static bool
is_other_function(Oid function, void *context)
{
	const char *name = get_func_name(function);
	Oid			schema = get_func_namespace(function);

	if (name == NULL ||
		(schema != PG_CATALOG_NAMESPACE && schema != get_namespace_oid(MT_SCHEMA_NAME, true)))
		return true;
	for (size_t i = 0; i < lengthof(beginning_functions); i++)
		if (strcmp(name, beginning_functions[i]) == 0)
			return false;
	return true;
}

/*
 * Is there anything in the expression but calls of these functions, with values? Security:
 * what is not named here could call functions that nobody sees here: the conditions of a
 * domain, a cast that belongs to a type of the user's.
 */
static bool
does_more(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Const:
		case T_Var:
			return false;
		case T_Param:
			return ((Param *) node)->paramkind != PARAM_EXTERN;
		case T_CoerceViaIO:
			if (((CoerceViaIO *) node)->resulttype >= FirstNormalObjectId ||
				exprType((Node *) ((CoerceViaIO *) node)->arg) >= FirstNormalObjectId)
				return true;
			return does_more((Node *) ((CoerceViaIO *) node)->arg, context);
		case T_List:
		case T_TargetEntry:
		case T_RangeTblFunction:
		case T_FuncExpr:
		case T_NullTest:
		case T_RelabelType:
			return check_functions_in_node(node, is_other_function, context) ||
				expression_tree_walker(node, does_more, context);
		default:
			return true;
	}
}

/* Does the statement call what begins a context, and nothing that could do more? */
static bool
is_beginning(const PlannedStmt *statement)
{
	const Plan *plan = statement->planTree;

	if (statement->commandType != CMD_SELECT || plan == NULL || plan->lefttree != NULL ||
		statement->subplans != NIL || statement->rowMarks != NIL)
		return false;
	if (IsA(plan, Result))
	{
		if (does_more(((const Result *) plan)->resconstantqual, NULL))
			return false;
	}
	else if (!IsA(plan, FunctionScan) ||
			 does_more((Node *) ((const FunctionScan *) plan)->functions, NULL))
		return false;
	return !does_more((Node *) plan->targetlist, NULL) && !does_more((Node *) plan->qual, NULL);
}

/* Would rows be written by what runs when a context begins? */
static bool
writes(const QueryDesc *query)
{
	return query->plannedstmt->commandType != CMD_SELECT || query->plannedstmt->rowMarks != NIL ||
		query->plannedstmt->hasModifyingCTE || MtGuardFillsTable(query);
}

/*
 * The message in the midst of which the context began; 0: it began in a statement of its
 * own, or none has begun.
 *
 * Security: functions and the conditions of domains are looked at when an expression is
 * initialised, and what was initialised before goes on: an expression of a procedural
 * language, a condition of a parameter, a trigger at COMMIT. None of that is to be seen
 * here. So nothing is read before all of it is over, unless it is certain that the client
 * itself executes one statement that begins the context and does nothing else.
 */
static TimestampTz begun_amidst = 0;

static bool
has_begun_now(void)
{
	return begun_amidst == GetCurrentStatementStartTimestamp();
}

/*
 * Security: what the connection brings begins before anything is initialised that a
 * supervised context may not execute.
 */
static void
begin(const MtContext *context)
{
	const QueryDesc *query;

	if (context->kind != MT_KIND_SUPERVISED || !MtGuardIsOn())
		return;
	if (context->source != MT_SOURCE_CONNECTION && context->source != MT_SOURCE_SESSION)
	{
		query = MtGuardClientsStatement();
		if (MtGuardUtilityUnderWay() == MT_UTILITY_WRITING || MtGuardIsAnyStatement(writes))
			refuse("Begin it in a statement of its own, which calls the function and nothing else.");
		begun_amidst = query != NULL && is_beginning(query->plannedstmt) ? 0 : GetCurrentStatementStartTimestamp();
	}
	if (MtResidueHasCursor())
		refuse("Close all cursors before it begins.");
	/* What procedural languages keep for a transaction is initialised anew. */
	ResetPlanCache();
}

bool
MtGuardMayLookIn(MtDenial *denial)
{
	if (likely(!MtContextIsSupervised()) ||
		(!has_begun_now() && !MtLeaderSaid(MT_LEADER_MAY_NOT_LOOK_IN)))
		return true;
	return MtDeny(denial, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				  "the supervised context has begun in the midst of what the client has sent", NULL,
				  "Begin it by a SELECT that calls the function and nothing else, or read in the next message.");
}

/* Does what the context began in the midst of go on in another message? */
void
MtGuardCheckSupervisedPortal(void)
{
	if (unlikely(MtContextIsSupervised()) && ActivePortal != NULL && begun_amidst != 0 &&
		ActivePortal->creation_time <= begun_amidst && !has_begun_now())
		refuse("What it has begun in cannot be continued. Execute the statement again.");
}

void
MtGuardSupervisedInit(void)
{
	MtContextOnTenant(begin);
	MtLeaderOnTell(MT_LEADER_MAY_NOT_LOOK_IN, has_begun_now);
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
	if (likely(!MtContextIsBrought() && !MtContextIsSupervised()) || !MtGuardIsOn() ||
		MtGuardMayExecuteSupervised(statement))
		return;
	/* Security: as with functions. */
	if (IsTransactionState())
		MtContextMaterialise();
	if (MtContextIsSupervised())
		refuse("Only statements that read can be executed. Changing anything takes a credential of the tenant itself.");
}
