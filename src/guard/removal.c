/*
 * removal.c
 *	  Keeps the extension where tables depend on it.
 *
 * Dropping the extension drops the accessors and with them the policies; RLS
 * then denies everything, which is safe but an outage. So it is refused while
 * any table carries a label: at the start of the command by an event trigger,
 * which needs no preloading, and at the drop itself for commands that come by
 * another way. By then the policies are gone, the labels are not.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/errors.h"
#include "base/extension.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "policy/label.h"
#include "utils/acl.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_refuse_removal);

static void
raise_if_labelled(void)
{
	if (!MtAnyLabel())
		return;
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("extension multitenant cannot be removed while tables depend on it"),
			errdetail("Without it, the policies of protected tables would go and the tables would deny every row."),
			errhint("Call multitenant.unprotect_all() first."));
}

void
MtGuardCheckDrop(Oid class, Oid object)
{
	bool		is_ours;

	if (class != ExtensionRelationId && class != ProcedureRelationId &&
		class != NamespaceRelationId)
		return;
	/* An upgrade script may replace what it likes. */
	if (creating_extension || !MtIsActive())
		return;
	is_ours = class == ExtensionRelationId && object == MtExtensionOid();
	for (int i = 0; i < MT_ACCESSOR_COUNT && class == ProcedureRelationId; i++)
		is_ours |= object == MtAccessorOid((MtAccessor) i) ||
			object == MtScopeFilterOid((MtAccessor) i);
	if (is_ours)
		raise_if_labelled();
}

static bool
names_extension(List *objects)
{
	ListCell   *cell;

	foreach(cell, objects)
		if (strcmp(strVal(lfirst(cell)), MT_EXTENSION_NAME) == 0)
		return true;
	return false;
}

static bool
owns_extension(List *roles)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACENAME, CStringGetDatum(MT_SCHEMA_NAME));
	Oid			owner;
	ListCell   *cell;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	foreach(cell, roles)
		if (get_rolespec_oid(lfirst(cell), true) == owner)
		return true;
	return false;
}

static bool
removes_extension(Node *statement)
{
	if (IsA(statement, DropStmt))
	{
		DropStmt   *drop = (DropStmt *) statement;

		return (drop->removeType == OBJECT_EXTENSION ||
				drop->removeType == OBJECT_SCHEMA) && names_extension(drop->objects);
	}
	if (IsA(statement, AlterExtensionContentsStmt))
	{
		AlterExtensionContentsStmt *alter = (AlterExtensionContentsStmt *) statement;

		return alter->action < 0 && strcmp(alter->extname, MT_EXTENSION_NAME) == 0;
	}
	if (IsA(statement, DropOwnedStmt))
		return owns_extension(((DropOwnedStmt *) statement)->roles);
	return false;
}

/* Event trigger on ddl_command_start. */
Datum
mt_refuse_removal(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "mt_refuse_removal: not called as an event trigger");
	if (data->parsetree != NULL && removes_extension(data->parsetree))
		raise_if_labelled();
	PG_RETURN_NULL();
}
