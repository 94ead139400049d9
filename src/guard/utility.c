/*
 * utility.c
 *	  What application roles may not do with utility statements.
 *
 * Called for every utility statement, nested ones included, and for what the
 * object access hook tells of. Owns the table from the kind of statement to its
 * check, and whether a cursor WITH HOLD is being declared.
 *
 * Invariant: nothing is refused here in a database without protected tables.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/errors.h"
#include "base/extension.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "commands/extension.h"
#include "guard/guard.h"
#include "nodes/parsenodes.h"
#include "policy/owner.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* Set while the query of such a cursor is planned and started. */
static bool is_declaring_held_cursor = false;

void
MtGuardRequire(MtAllowance allowance)
{
	if (!MtProtectionAny() || MtAccessAllows(allowance))
		return;
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("application roles cannot %s", MtHardeningSubject(allowance)),
			errhint("Use a role with another profile, or let a superuser allow it with "
					"multitenant.grant_access(role, profile, allow => '{%s}').",
					MtHardeningName(allowance)));
}

/* Is it data of tenants, or may it show such data under another name? */
static bool
is_protected(Oid relid)
{
	MtClass		class;

	if (get_rel_relkind(relid) == RELKIND_VIEW)
		return true;
	class = MtProtectionOf(relid)->class;
	return class == MT_CLASS_TENANT || class == MT_CLASS_SHARED_ROWS || class == MT_CLASS_SHARED;
}

/* ---- by kind of statement ---- */

static void
check_lock(Node *statement)
{
	ListCell   *cell;

	foreach(cell, ((LockStmt *) statement)->relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst(cell), NoLock, true);

		if (OidIsValid(relid) && is_protected(relid))
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

static void
check_trigger(Node *statement)
{
	MtGuardRequire(MT_ALLOW_TRIGGERS);
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
				MtGuardRequire(MT_ALLOW_TWO_PHASE);
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
	{T_UnlistenStmt, check_notify},
	{T_NotifyStmt, check_notify},
	{T_CreateTrigStmt, check_trigger},
	{T_AlterTableStmt, MtGuardCheckAlterTable},
	{T_CreatePolicyStmt, MtGuardCheckCreatePolicy},
	{T_AlterPolicyStmt, MtGuardCheckAlterPolicy},
	{T_RenameStmt, MtGuardCheckRename},
	{T_DropStmt, MtGuardCheckDropStatement},
	{T_CreateFunctionStmt, MtGuardCheckFunctionDefinition},
	{T_AlterFunctionStmt, MtGuardCheckFunctionDefinition},
};

/*
 * Checks a statement that is about to be executed. Returns what
 * MtGuardLeaveUtility() must be given afterwards, also on errors.
 */
bool
MtGuardEnterUtility(Node *statement)
{
	bool		previous = is_declaring_held_cursor;

	if (MtIsActive() && MtGuardIsOn() && !creating_extension && !MtOwnerIsAtWork())
		for (size_t i = 0; i < lengthof(checks); i++)
			if (nodeTag(statement) == checks[i].tag)
				checks[i].check(statement);
	is_declaring_held_cursor = IsA(statement, DeclareCursorStmt) &&
		(((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0;
	return previous;
}

void
MtGuardLeaveUtility(bool previous)
{
	is_declaring_held_cursor = previous;
}

/* Called for every protected table that a query reads. */
void
MtGuardCheckHeldCursor(void)
{
	if (is_declaring_held_cursor)
		MtGuardRequire(MT_ALLOW_HELD_CURSORS);
}

/* ---- by object ---- */

/*
 * The server asks for every relation that a TRUNCATE empties, those that it
 * reaches by inheritance or CASCADE among them.
 */
void
MtGuardCheckTruncate(Oid relid)
{
	if (MtIsActive() && MtGuardIsOn() && !MtOwnerIsAtWork() && is_protected(relid))
		MtGuardRequire(MT_ALLOW_TRUNCATE);
}

/*
 * Security: by the constraint that was made, not by the statement, so that every
 * way to make one is covered. Its row is not visible yet.
 */
void
MtGuardCheckConstraint(Oid constraint)
{
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			referenced = InvalidOid;

	if (!MtIsActive() || !MtGuardIsOn() || creating_extension || MtOwnerIsAtWork())
		return;
	catalog = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(constraint));
	scan = systable_beginscan(catalog, ConstraintOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_FOREIGN)
		referenced = ((Form_pg_constraint) GETSTRUCT(tuple))->confrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (OidIsValid(referenced) && is_protected(referenced))
		MtGuardRequire(MT_ALLOW_REFERENCES);
}
