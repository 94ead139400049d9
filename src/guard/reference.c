/*
 * reference.c
 *	  Foreign keys to protected tables, which application roles may not make.
 *
 * protect() makes the foreign keys of a table composite, also for an owner who
 * is an application. Owns the list of the keys that the library has dropped in
 * this transaction in order to make them again.
 *
 * Invariant: through the library an owner gets a key only with the tenant's
 * column added to one that he had.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/compat.h"
#include "base/extension.h"
#include "catalog/pg_constraint.h"
#include "commands/extension.h"
#include "guard/guard.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

typedef struct Reference
{
	Oid			child;
	Oid			parent;
	int			count;
	AttrNumber	child_columns[INDEX_MAX_KEYS];
	AttrNumber	parent_columns[INDEX_MAX_KEYS];
} Reference;

/* Of the transaction of that number, in its memory. */
static LocalTransactionId dropped_lxid = InvalidLocalTransactionId;
static List *dropped = NIL;

/* False if it is no foreign key, or one that follows its parent table's. */
static bool
read_reference(HeapTuple tuple, Reference *out)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

	if (form->contype != CONSTRAINT_FOREIGN || OidIsValid(form->conparentid))
		return false;
	out->child = form->conrelid;
	out->parent = form->confrelid;
	DeconstructFkConstraintRow(tuple, &out->count, out->child_columns, out->parent_columns,
							   NULL, NULL, NULL, NULL, NULL);
	return true;
}

static bool
has_pair(const Reference *reference, AttrNumber child_column, AttrNumber parent_column)
{
	for (int i = 0; i < reference->count; i++)
		if (reference->child_columns[i] == child_column &&
			reference->parent_columns[i] == parent_column)
			return true;
	return false;
}

/* Is the one key the other one with the tenant's column added? */
static bool
is_other_with_tenant(const Reference *reference, const Reference *other)
{
	AttrNumber	column = MtProtectionOf(reference->parent)->column;

	if (column == 0)
		column = MtLabelledColumn(reference->parent);
	if (other->child != reference->child || other->parent != reference->parent ||
		other->count + 1 != reference->count || column == 0)
		return false;
	for (int i = 0; i < reference->count; i++)
		if (reference->parent_columns[i] != column &&
			!has_pair(other, reference->child_columns[i], reference->parent_columns[i]))
			return false;
	return true;
}

/* Had the table that key without the tenant's column, or has it still? */
static bool
is_made_again(const Reference *reference)
{
	Relation	child = table_open(reference->child, AccessShareLock);
	bool		result = false;
	ListCell   *cell;

	foreach(cell, RelationGetFKeyList(child))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, cell);
		Reference	other = {key->conrelid, key->confrelid, key->nkeys};

		memcpy(other.child_columns, key->conkey, sizeof(key->conkey));
		memcpy(other.parent_columns, key->confkey, sizeof(key->confkey));
		result |= is_other_with_tenant(reference, &other);
	}
	table_close(child, AccessShareLock);
	if (dropped_lxid == MtLocalTransactionId())
		foreach(cell, dropped)
			result |= is_other_with_tenant(reference, lfirst(cell));
	return result;
}

/*
 * Does the library make this key for the owner of the table? What he may not do,
 * the caller must have the right to.
 */
static bool
is_owners(const Reference *reference)
{
	const MtOwnerCommand *command = MtGuardOwnersCommand();

	return command != NULL &&
		(command->may_refer || MtOwnsRelation(reference->parent, command->caller) ||
		 is_made_again(reference));
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
	Reference	reference;
	bool		is_reference;

	/* A restore makes the keys as the tables' owners. */
	if (!MtIsActive() || !MtGuardIsOn() || creating_extension ||
		MtAccessIsLent() || MtGuardAllows(MT_ALLOW_REFERENCES))
		return;
	catalog = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(constraint));
	scan = systable_beginscan(catalog, ConstraintOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	is_reference = HeapTupleIsValid(tuple) && read_reference(tuple, &reference);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (is_reference && MtGuardIsTenantsData(reference.parent) && !is_owners(&reference))
		MtGuardRequire(MT_ALLOW_REFERENCES);
}

void
MtGuardNoteDroppedConstraint(Oid constraint)
{
	HeapTuple	tuple;
	Reference	reference;
	MemoryContext previous;

	if (MtGuardOwnersCommand() == NULL)
		return;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		return;
	if (read_reference(tuple, &reference))
	{
		if (dropped_lxid != MtLocalTransactionId())
			dropped = NIL;
		dropped_lxid = MtLocalTransactionId();
		previous = MemoryContextSwitchTo(TopTransactionContext);
		dropped = lappend(dropped, memcpy(palloc(sizeof(reference)), &reference, sizeof(reference)));
		MemoryContextSwitchTo(previous);
	}
	ReleaseSysCache(tuple);
}
