/*
 * weakening.c
 *	  Keeps DDL from leaving a protected table in a state that is refused anyway.
 *
 * A protected table that lost its row security or one of its policies denies
 * every statement: safe, and an outage. So nobody gets there by accident;
 * unprotect() and pause_protection() are the ways to say that it is meant, and
 * so is a system context. Owns no state.
 *
 * What an owner does through the library's own functions is not checked: it
 * fails closed.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/extension.h"
#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "guard/guard.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "policy/protection.h"
#include "tenant/context.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define GENERATED_POLICIES "multitenant_"

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
			errmsg("%s would break the protection of table %s", what,
				   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
											  get_rel_name(relid))),
			errhint("%s", hint));
}

static bool
has_policies(MtClass class)
{
	return class == MT_CLASS_TENANT || class == MT_CLASS_SHARED_ROWS;
}

/* The relation that is named, if it is protected; else InvalidOid. */
static Oid
protected_relation(RangeVar *name)
{
	Oid			relid = name == NULL ? InvalidOid : RangeVarGetRelid(name, NoLock, true);

	if (OidIsValid(relid) && has_policies(MtProtectionOf(relid)->class))
		return relid;
	return InvalidOid;
}

static bool
is_generated(const char *policy)
{
	return strncmp(policy, GENERATED_POLICIES, strlen(GENERATED_POLICIES)) == 0;
}

/* ---- tables ---- */

/*
 * Security: a partition that is protected through its parent alone loses that
 * when it leaves, with every tenant's rows in it; and one that comes without
 * its own policies cannot be read by its name.
 */
static void
check_member(Oid parent, Oid child, const char *what)
{
	if (OidIsValid(parent) && OidIsValid(child) && !MtProtectionStandsAlone(child))
		refuse(parent, what,
			   "Protect the partition or child table itself first: multitenant.protect(table).");
}

void
MtGuardCheckAlterTable(Node *statement)
{
	AlterTableStmt *alter = (AlterTableStmt *) statement;
	Oid			relid = InvalidOid;
	ListCell   *cell;

	if (alter->objtype == OBJECT_TABLE)
		relid = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	foreach(cell, alter->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
		Oid			self = has_policies(MtProtectionOf(relid)->class) ? relid : InvalidOid;

		switch (command->subtype)
		{
			case AT_DisableRowSecurity:
			case AT_NoForceRowSecurity:
				if (OidIsValid(self))
					refuse(self, "disabling row level security",
						   "Call multitenant.unprotect() or multitenant.pause_protection().");
				break;
			case AT_AttachPartition:
				check_member(self, RangeVarGetRelid(((PartitionCmd *) command->def)->name, NoLock, true),
							 "attaching an unprotected partition");
				break;
			case AT_DetachPartition:
				check_member(self, RangeVarGetRelid(((PartitionCmd *) command->def)->name, NoLock, true),
							 "detaching a partition that has no protection of its own");
				break;
			case AT_AddInherit:
				check_member(protected_relation((RangeVar *) command->def), relid,
							 "inheriting with an unprotected table");
				break;
			case AT_DropInherit:
				check_member(protected_relation((RangeVar *) command->def), relid,
							 "parting with a child that has no protection of its own");
				break;
			default:
				break;
		}
	}
}

/* ---- policies ---- */

void
MtGuardCheckCreatePolicy(Node *statement)
{
	CreatePolicyStmt *create = (CreatePolicyStmt *) statement;
	Oid			relid = protected_relation(create->table);

	/* What bears a generated name is compared with what was generated. */
	if (OidIsValid(relid) && create->permissive && !is_generated(create->policy_name))
		refuse(relid, "a further permissive policy",
			   "Say AS RESTRICTIVE: policies on a protected table can only narrow what a tenant sees.");
}

static void
check_change_of_policy(RangeVar *table, const char *policy)
{
	Oid			relid = is_generated(policy) ? protected_relation(table) : InvalidOid;

	if (OidIsValid(relid))
		refuse(relid, "changing a generated policy",
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

	if (rename->renameType == OBJECT_POLICY)
		check_change_of_policy(rename->relation, rename->subname);
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
		const char *policy = strVal(llast(names));

		if (list_length(names) > 1)
			check_change_of_policy(makeRangeVarFromNameList(list_truncate(list_copy(names), list_length(names) - 1)),
								   policy);
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
