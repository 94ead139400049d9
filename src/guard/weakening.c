/*
 * weakening.c
 *	  Keeps DDL from leaving a protected table in a state that is refused anyway.
 *
 * A protected table that lost its row security or one of its policies denies
 * every statement: safe, and an outage. So nobody gets there by accident;
 * unprotect() and pause_protection() are the ways to say that it is meant, and
 * so is a system context. Owns no state.
 *
 * The commands of the library itself may take protection away, which fails
 * closed. Whoever owns the table can have such a command run, so they are
 * checked like any other for what would open something.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/extension.h"
#include "base/names.h"
#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "guard/guard.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "policy/generated.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* A system context may be the connection's. */
static bool
is_meant(void)
{
	MtContextMaterialise();
	return MtContextGet()->state == MT_STATE_SYSTEM;
}

static void
refuse(Oid relid, const char *what, const char *hint)
{
	if (is_meant())
		return;
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("%s would break the protection of table %s", what, MtQualifiedName(relid)),
			errhint("%s", hint));
}

/* The relation that is named, if it is protected; else InvalidOid. */
static Oid
protected_relation(RangeVar *name)
{
	Oid			relid;

	if (name == NULL || !MtProtectionAny())
		return InvalidOid;
	relid = RangeVarGetRelid(name, NoLock, true);
	if (OidIsValid(relid) && MtClassIsFiltered(MtProtectionOf(relid)->class))
		return relid;
	return InvalidOid;
}

/* Would the statement take protection away, and is it not the library's? */
static void
refuse_loss(Oid relid, const char *what, const char *hint)
{
	if (MtGuardOwnersCommand() == NULL)
		refuse(relid, what, hint);
}

/* ---- tables ---- */

static bool
is_named(Oid relid, AttrNumber column, const char *name)
{
	char	   *its = column == 0 ? NULL : get_attname(relid, column, true);

	return its != NULL && strcmp(its, name) == 0;
}

/* The label says it where the policies do not. */
static bool
is_tenant_column(Oid relid, const char *name)
{
	AttrNumber	column = MtProtectionOf(relid)->column;

	return is_named(relid, column != 0 ? column : MtLabelledColumn(relid), name);
}

static bool
is_scope_column(Oid relid, const char *name)
{
	AttrNumber	column = MtProtectionOf(relid)->scope_column;

	return is_named(relid, column != 0 ? column : MtLabelledScope(relid), name);
}

/* Does the parent ask for the permissions that the child's label asks for, and for no scopes besides? */
static bool
has_permissions_of(Oid child, Oid parent)
{
	MtLabel		label;
	MtProtection protection;

	MtLabelOf(child, &label);
	if (label.class != MT_CLASS_TENANT || label.is_observed || label.resource[0] == '\0')
		return true;
	protection = *MtProtectionOf(parent);
	return label.is_scoped == protection.is_scoped &&
		MtPermissionsAreCovered(&label, child, &protection);
}

/* Do both tables say, by their labels, that the same column is the tenant's? */
static bool
has_tenant_column_of(Oid child, Oid parent)
{
	AttrNumber	column = MtLabelledColumn(child);
	char	   *name = column == 0 ? NULL : get_attname(child, column, true);

	return name == NULL || is_tenant_column(parent, name);
}

/*
 * Security: a partition that is protected through its parent alone loses that
 * when it leaves, with every tenant's rows in it; and one that comes without
 * its own policies cannot be read by its name. One that comes with another
 * tenant column closes the whole tree.
 */
static void
check_member(Oid parent, RangeVar *name, bool is_coming)
{
	Oid			child = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(parent) || !OidIsValid(child))
		return;
	if (!MtProtectionIsOwn(child))
		refuse(parent, is_coming ? "adding an unprotected partition or child table" :
			   "parting with a partition or child table that has no protection of its own",
			   "Protect it first: multitenant.protect() for a table of its own, "
			   "multitenant.repair() of the parent for what is below it.");
	else if (is_coming && !has_tenant_column_of(child, parent))
		refuse(parent, "adding a partition or child table with another tenant column",
			   "Give it back with multitenant.unprotect(), and protect it by the column of the parent.");
	else if (is_coming && !has_permissions_of(child, parent))
		refuse(parent, "adding a partition or child table that asks for other permissions",
			   "Give both the same permissions first: multitenant.set_permissions().");
}

/* The same for a relation that is known. */
static Oid
if_protected(Oid relid)
{
	return MtClassIsFiltered(MtProtectionOf(relid)->class) ? relid : InvalidOid;
}

/*
 * Asks what a relation is only where the command matters: each change makes a
 * partitioned table be examined again, with all of its partitions.
 */
static void
check_alter_command(AlterTableStmt *alter, Oid relid, AlterTableCmd *command)
{
	switch (command->subtype)
	{
		case AT_DisableRowSecurity:
		case AT_NoForceRowSecurity:
			if (MtGuardOwnersCommand() == NULL && OidIsValid(if_protected(relid)))
				refuse(relid, "taking row level security away",
					   "Call multitenant.unprotect() or multitenant.pause_protection().");
			break;
		case AT_DropColumn:
			if (OidIsValid(if_protected(relid)) && is_tenant_column(relid, command->name))
				refuse(relid, "dropping the tenant column",
					   "Call multitenant.unprotect() first.");
			else if (OidIsValid(if_protected(relid)) && is_scope_column(relid, command->name))
				refuse(relid, "dropping the scope column",
					   "Call multitenant.set_permissions() without a scope column first.");
			break;
		case AT_AttachPartition:
			check_member(if_protected(relid), ((PartitionCmd *) command->def)->name, true);
			break;
		case AT_DetachPartition:
			check_member(if_protected(relid), ((PartitionCmd *) command->def)->name, false);
			break;
		case AT_AddInherit:
			check_member(protected_relation((RangeVar *) command->def), alter->relation, true);
			break;
		case AT_DropInherit:
			check_member(protected_relation((RangeVar *) command->def), alter->relation, false);
			break;
		default:
			break;
	}
}

/* A foreign table can be a partition or a child, too. */
void
MtGuardCheckAlterTable(Node *statement)
{
	AlterTableStmt *alter = (AlterTableStmt *) statement;
	Oid			relid;
	ListCell   *cell;

	if ((alter->objtype != OBJECT_TABLE && alter->objtype != OBJECT_FOREIGN_TABLE) ||
		!MtProtectionAny())
		return;
	relid = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	foreach(cell, alter->cmds)
		check_alter_command(alter, relid, lfirst_node(AlterTableCmd, cell));
}

/* ---- policies ---- */

/*
 * A generated policy is compared with what it should be whenever the table is
 * used; so one that bears such a name can be made, as a restore does.
 *
 * Security: with ON CONFLICT DO UPDATE the server evaluates further permissive
 * policies before ours.
 */
void
MtGuardCheckCreatePolicy(Node *statement)
{
	CreatePolicyStmt *create = (CreatePolicyStmt *) statement;
	Oid			relid = protected_relation(create->table);
	MtClass		class;

	if (!OidIsValid(relid))
		return;
	class = MtProtectionOf(relid)->class;
	if (MtPolicyIsGenerated(class, create->policy_name))
		return;
	if (create->permissive)
	{
		/* A restore brings what was there before protect(); lint() knows it. */
		if (MtAccessHas(MT_IS_SUPERUSER) || MtAccessIsLent())
			return;
		refuse(relid, "a further permissive policy",
			   "Say AS RESTRICTIVE: policies on a protected table can only narrow what a tenant sees.");
	}
	else if (MtPolicyIsEarly(class, MtProtectionOf(relid)->is_scoped, create->policy_name))
		refuse(relid, "a restrictive policy that sorts before the generated ones",
			   "Give it a name that sorts after \"multitenant_scope_update\", and it sees the tenant's rows only.");
}

static void
check_change_of_policy(RangeVar *table, const char *policy)
{
	Oid			relid = protected_relation(table);

	if (OidIsValid(relid) && MtPolicyIsGenerated(MtProtectionOf(relid)->class, policy))
		refuse_loss(relid, "changing a generated policy",
					"Call multitenant.unprotect() to give the table back; add restrictive policies to narrow it.");
}

void
MtGuardCheckAlterPolicy(Node *statement)
{
	AlterPolicyStmt *alter = (AlterPolicyStmt *) statement;

	check_change_of_policy(alter->table, alter->policy_name);
}

void
MtGuardCheckRename(Node *statement)
{
	RenameStmt *rename = (RenameStmt *) statement;
	Oid			relid;

	if (rename->renameType != OBJECT_POLICY)
		return;
	check_change_of_policy(rename->relation, rename->subname);
	relid = protected_relation(rename->relation);
	if (OidIsValid(relid) && MtPolicyIsRestrictive(relid, rename->subname) &&
		MtPolicyIsEarly(MtProtectionOf(relid)->class, MtProtectionOf(relid)->is_scoped, rename->newname))
		refuse(relid, "a restrictive policy that sorts before the generated ones",
			   "Give it a name that sorts after \"multitenant_scope_update\".");
}

void
MtGuardCheckDropStatement(Node *statement)
{
	DropStmt   *drop = (DropStmt *) statement;
	ListCell   *cell;

	if (drop->removeType != OBJECT_POLICY)
		return;
	foreach(cell, drop->objects)
	{
		List	   *names = lfirst_node(List, cell);
		List	   *table = list_truncate(list_copy(names), list_length(names) - 1);

		if (table != NIL)
			check_change_of_policy(makeRangeVarFromNameList(table), strVal(llast(names)));
	}
}

/* ---- functions ---- */

/*
 * Security: a leakproof function is called with rows that the policies have not
 * seen yet. Only superusers can make one.
 */
void
MtGuardCheckFunctionDefinition(Node *statement)
{
	List	   *options = IsA(statement, CreateFunctionStmt) ?
	((CreateFunctionStmt *) statement)->options : ((AlterFunctionStmt *) statement)->actions;
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "leakproof") == 0 && defGetBoolean(option) &&
			MtProtectionAny() && !is_meant())
			ereport(ERROR,
					errcode(MT_ERRCODE_REFUSED_BY_GUARD),
					errmsg("a LEAKPROOF function would see rows of every tenant"),
					errhint("Leave LEAKPROOF out, or call multitenant.system_context() with the reason first."));
	}
}
