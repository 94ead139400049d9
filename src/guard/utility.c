/*
 * utility.c
 *	  What application roles may not do with utility statements.
 *
 * Called for every utility statement, nested ones included, and for what the
 * object access hook tells of. Owns the table from the kind of statement to its
 * check, and what is known of the innermost utility statement.
 *
 * Invariant: nothing is refused here in a database without protected tables.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/leader.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "policy/owner.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

static MtUtility current_utility = {.copied_to = InvalidOid};

/*
 * Is this session free to do what applications are denied? Asked before
 * relations are looked at, so that a database without protected tables, or a
 * role that may, pays nothing.
 */
bool
MtGuardAllows(MtAllowance allowance)
{
	return !MtProtectionAny() || MtAccessAllows(allowance);
}

void
MtGuardRequire(MtAllowance allowance)
{
	if (MtGuardAllows(allowance))
		return;
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("application roles cannot %s", MtHardeningSubject(allowance)),
			errhint("Use a role with another profile, or let a superuser allow it with "
					"multitenant.grant_access(role, profile, allow => '{%s}').",
					MtHardeningName(allowance)));
}

/* Is it data of tenants, or may it show such data under another name? */
bool
MtGuardIsTenantsData(Oid relid)
{
	MtClass		class;

	if (get_rel_relkind(relid) == RELKIND_VIEW)
		return true;
	class = MtProtectionOf(relid)->class;
	return MtClassIsFiltered(class) || class == MT_CLASS_SHARED;
}

/* ---- by kind of statement ---- */

static void
check_lock(Node *statement)
{
	ListCell   *cell;

	if (MtGuardAllows(MT_ALLOW_LOCK) ||
		(MtGuardOwnersCommand() != NULL && MtGuardOwnersCommand()->may_lock))
		return;
	foreach(cell, ((LockStmt *) statement)->relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst(cell), NoLock, true);

		if (OidIsValid(relid) && MtGuardIsTenantsData(relid))
			MtGuardRequire(MT_ALLOW_LOCK);
	}
}

static void
check_notify(Node *statement)
{
	MtGuardRequire(MT_ALLOW_NOTIFY);
}

static void
check_explain(Node *statement)
{
	MtGuardRequire(MT_ALLOW_EXPLAIN);
}

/*
 * A trigger that the library makes again is judged by who has it made: its owner
 * may be an application.
 */
static void
check_trigger(Node *statement)
{
	if (MtGuardOwnersCommand() == NULL || !MtGuardOwnersCommand()->may_trigger)
		MtGuardRequire(MT_ALLOW_TRIGGERS);
}

static void
check_role_settings(Node *statement)
{
	MtGuardRequire(MT_ALLOW_ROLE_SETTINGS);
}

/*
 * The role's own password, which locks out everybody else who uses it. What
 * CREATEROLE lets a role do to others is not of this guard.
 */
static void
check_alter_role(Node *statement)
{
	Oid			role;

	if (MtGuardAllows(MT_ALLOW_ROLE_SETTINGS))
		return;
	role = get_rolespec_oid(((AlterRoleStmt *) statement)->role, true);
	if (role == GetUserId() || role == GetSessionUserId())
		MtGuardRequire(MT_ALLOW_ROLE_SETTINGS);
}

/* PREPARE TRANSACTION in a transaction that has failed is a ROLLBACK. */
static void
check_transaction(Node *statement)
{
	switch (((TransactionStmt *) statement)->kind)
	{
		case TRANS_STMT_PREPARE:
		case TRANS_STMT_COMMIT_PREPARED:
		case TRANS_STMT_ROLLBACK_PREPARED:
			if (!IsAbortedTransactionBlockState())
				MtGuardRequire(MT_ALLOW_PREPARED_TRANSACTIONS);
			break;
		default:
			break;
	}
}

static const struct
{
	NodeTag		tag;
	void		(*check) (Node *statement);
}			checks[] = {
	{T_TransactionStmt, check_transaction},
	{T_ExplainStmt, check_explain},
	{T_LockStmt, check_lock},
	{T_ListenStmt, check_notify},
	{T_NotifyStmt, check_notify},
	{T_AlterRoleSetStmt, check_role_settings},
	{T_AlterDatabaseSetStmt, check_role_settings},
	{T_AlterRoleStmt, check_alter_role},
	{T_CreateTrigStmt, check_trigger},
	{T_RuleStmt, check_trigger},
	{T_AlterTableStmt, MtGuardCheckAlterTable},
	{T_CreatePolicyStmt, MtGuardCheckCreatePolicy},
	{T_AlterPolicyStmt, MtGuardCheckAlterPolicy},
	{T_RenameStmt, MtGuardCheckRename},
	{T_DropStmt, MtGuardCheckDropStatement},
	{T_CreateFunctionStmt, MtGuardCheckFunctionDefinition},
	{T_AlterFunctionStmt, MtGuardCheckFunctionDefinition},
};

/* EXECUTE, also as the query of EXPLAIN and CREATE TABLE AS. */
static bool
is_execute(Node *statement)
{
	Node	   *query = NULL;

	if (IsA(statement, ExecuteStmt))
		return true;
	if (IsA(statement, ExplainStmt))
		query = ((ExplainStmt *) statement)->query;
	else if (IsA(statement, CreateTableAsStmt))
		query = ((CreateTableAsStmt *) statement)->query;
	if (query == NULL || !IsA(query, Query) || ((Query *) query)->utilityStmt == NULL)
		return false;
	return is_execute(((Query *) query)->utilityStmt);
}

/*
 * What a statement is executed as belongs to it and its parts, not to what it
 * calls.
 */
MtUtility
MtGuardEnterUtility(Node *statement, ProcessUtilityContext context)
{
	MtUtility	previous = current_utility;

	if (context != PROCESS_UTILITY_SUBCOMMAND)
	{
		current_utility.is_owners = MtOwnerTakeCommand(&current_utility.command);
		if (current_utility.is_owners && current_utility.command.skips_check)
			MtOwnerSkipCheck(statement);
	}
	current_utility.is_held = IsA(statement, DeclareCursorStmt) &&
		(((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0;
	current_utility.copied_to = InvalidOid;
	if (!MtGuardMayExecuteSupervised(statement))
		current_utility.under_way = MT_UTILITY_WRITING;
	else if (previous.under_way == MT_UTILITY_NONE && IsA(statement, ExecuteStmt) && MtGuardIsInClientsPortal())
		current_utility.under_way = MT_UTILITY_EXECUTE;
	else
		current_utility.under_way = Max(previous.under_way, MT_UTILITY_OTHER);
	return previous;
}

MtUtilityUnderWay
MtGuardUtilityUnderWay(void)
{
	return current_utility.under_way;
}

bool
MtGuardIsExecuting(void)
{
	return current_utility.executions > 0;
}

void
MtGuardSetCopiedTo(Oid relid)
{
	current_utility.copied_to = relid;
}

Oid
MtGuardCopiedTo(void)
{
	return current_utility.copied_to;
}

void
MtGuardLeaveUtility(MtUtility previous)
{
	current_utility = previous;
}

const MtOwnerCommand *
MtGuardOwnersCommand(void)
{
	return current_utility.is_owners ? &current_utility.command : NULL;
}

/* Checks the statement that was entered. */
void
MtGuardCheckUtility(Node *statement)
{
	/*
	 * A context that the connection brings begins before what it removes is
	 * used.
	 */
	if (is_execute(statement))
	{
		if (!IsAbortedTransactionBlockState())
			MtContextMaterialise();
		current_utility.executions++;
	}
	MtGuardKeepReadOnly();
	MtGuardCheckSupervisedUtility(statement);
	/* It may build an index with workers. */
	MtLeaderTell();
	if (!MtIsActive() || !MtGuardIsOn() || creating_extension)
		return;
	for (size_t i = 0; i < lengthof(checks); i++)
		if (nodeTag(statement) == checks[i].tag)
			checks[i].check(statement);
}

/* Called for every protected table that a query reads. */
void
MtGuardCheckHeldCursor(void)
{
	if (current_utility.is_held || MtGuardIsInHeldCursor())
		MtGuardRequire(MT_ALLOW_HELD_CURSORS);
}

/*
 * Security: the server prints the plan next, costs and estimates included, and
 * both settings are everybody's.
 */
void
MtGuardCheckPrintedPlan(void)
{
	if (Debug_print_plan && client_min_messages <= LOG && MtIsActive() && MtGuardIsOn())
		MtGuardRequire(MT_ALLOW_EXPLAIN);
}

/*
 * Is this session shown no plans? Kept for the reports of auto_explain, which
 * come when a statement ends and no catalog can be read any more. A session that
 * asks for them in the midst of a statement has not been looked at.
 */
static MT_HOT bool is_plan_hidden = true;

static pg_noinline bool
may_read_plans(void)
{
	return !MtIsActive() || !MtGuardIsOn() || MtGuardAllows(MT_ALLOW_EXPLAIN);
}

void
MtGuardNotePlanReader(void)
{
	is_plan_hidden = likely(client_min_messages > LOG) || !may_read_plans();
}

/*
 * Security: auto_explain is for the server's log. client_min_messages, which is
 * everybody's, would send its reports to the client as well.
 */
void
MtGuardHidePlan(ErrorData *edata)
{
	if (is_plan_hidden && MtGuardIsOn() && edata->elevel == LOG && edata->message_id != NULL &&
		strcmp(edata->message_id, "duration: %.3f ms  plan:\n%s") == 0)
		edata->output_to_client = false;
}

/* ---- by object ---- */

/*
 * The server asks for every relation that a TRUNCATE empties, those that it
 * reaches by inheritance or CASCADE among them.
 */
void
MtGuardCheckTruncate(Oid relid)
{
	if (MtIsActive() && MtGuardIsOn() && !MtGuardAllows(MT_ALLOW_TRUNCATE) && MtGuardIsTenantsData(relid))
		MtGuardRequire(MT_ALLOW_TRUNCATE);
}
