/*
 * tenantindex.c
 *	  What shows the rows of one tenant only: conditions, indexes, partitions.
 *
 * By this a condition that is not leakproof is allowed to use an index
 * (guard/lift.c), and the finished plan is judged (guard/scanorder.c). Owns the
 * memory of operator families that were found trusted.
 *
 * Security: what is said here is believed. A btree compares its second column only
 * where the first is equal, and GIN runs nothing of a user's on entries of
 * others - as long as the code inside of the index is the server's. To make operator
 * classes takes a superuser, but not to replace the function of one. Other kinds of
 * index (GiST, SP-GiST, BRIN, hash, those of extensions) have no first column that
 * keeps the others from being seen.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "base/compat.h"
#include "base/invalidation.h"
#include "catalog/dependency.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/nodeFuncs.h"
#include "policy/generated.h"
#include "policy/protection.h"
#include "policy/tenantindex.h"
#include "tenant/context.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/* ---- conditions ---- */

/* Is the constant the current tenant? Of the accessor's type, or nothing is. */
static bool
is_current_tenant(const Const *value, MtAccessor accessor)
{
	const MtContext *context = MtContextGet();

	if (context->state != MT_STATE_TENANT || value->constisnull)
		return false;
	switch (accessor)
	{
		case MT_ACCESSOR_UUID:
			return value->consttype == UUIDOID &&
				memcmp(DatumGetUUIDP(value->constvalue), &context->tenant, UUID_LEN) == 0;
		case MT_ACCESSOR_INT8:
			return value->consttype == INT8OID &&
				DatumGetInt64(value->constvalue) == context->number;
		case MT_ACCESSOR_INT4:
			return value->consttype == INT4OID &&
				DatumGetInt32(value->constvalue) == context->number;
		case MT_ACCESSOR_TEXT:
			return value->consttype == TEXTOID &&
				strcmp(TextDatumGetCString(value->constvalue), context->slug) == 0;
	}
	return false;
}

bool
MtIsTenantCondition(Node *node, const MtTenantFilter *filter)
{
	MtAccessor	accessor;
	Node	   *value;
	Var		   *column = MtTenantComparison(node, &accessor, &value);

	if (column == NULL || column->varno != filter->varno || column->varattno != filter->column)
		return false;
	/* The planner gives it the collation of the comparison. */
	if (IsA(value, RelabelType) && ((RelabelType *) value)->resulttype == TEXTOID)
		value = (Node *) ((RelabelType *) value)->arg;
	if (MtIsAccessor(value, accessor))
		return true;
	return filter->is_folded && IsA(value, Const) && is_current_tenant((Const *) value, accessor);
}

AttrNumber
MtTenantColumnOf(Oid relid)
{
	AttrNumber	column = MtProtectionOf(relid)->column;
	ListCell   *cell;

	if (column != 0)
		return column;
	foreach(cell, MtParentsOf(relid))
	{
		Oid			parent = lfirst_oid(cell);

		column = MtTenantColumnOf(parent);
		if (column != 0)
			return get_attnum(relid, get_attname(parent, column, false));
	}
	return 0;
}

/* ---- indexes ---- */

/*
 * Part of the server, or of an extension whose code does nothing but compare. An
 * extension's name says what it is, because its script is a file on the server.
 */
static bool
is_trusted(Oid catalog, Oid object)
{
	Oid			extension;
	char	   *name;

	if (object < FirstNormalObjectId)
		return true;
	extension = getExtensionOfObject(catalog, object);
	name = OidIsValid(extension) ? get_extension_name(extension) : NULL;
	return name != NULL && (strcmp(name, "btree_gin") == 0 || strcmp(name, "pg_trgm") == 0);
}

/*
 * Families of extensions that are trusted; whether they belong to one is not in the
 * server's caches. Dropping the extension drops them.
 */
#define FAMILY_LIMIT 16
static Oid	families_found[FAMILY_LIMIT];
static int	families_count = 0;
static uint64 families_changes = 1;

static void
family_changed(void)
{
	families_count = 0;
	families_changes++;
}

void
MtTenantIndexInit(void)
{
	MtInvalidationOnCatalog(MT_CATALOG_FAMILIES, family_changed);
}

static bool
is_trusted_family(Oid family)
{
	uint64		before = families_changes;

	if (family < FirstNormalObjectId)
		return true;
	for (int i = 0; i < families_count; i++)
		if (families_found[i] == family)
			return true;
	if (!is_trusted(OperatorFamilyRelationId, family))
		return false;
	if (before == families_changes && families_count < FAMILY_LIMIT)
		families_found[families_count++] = family;
	return true;
}

bool
MtIsTrustedIndex(Oid method, const Oid *families, int count)
{
	if (method >= FirstNormalObjectId)
		return false;
	for (int i = 0; i < count; i++)
		if (!is_trusted_family(families[i]))
			return false;
	return true;
}

bool
MtIsTrustedOperator(Oid operator)
{
	return is_trusted(OperatorRelationId, operator);
}

bool
MtIsLedByFirstColumn(Oid method)
{
	return method == BTREE_AM_OID || method == GIN_AM_OID;
}

/* ---- partitions ---- */

/*
 * Was the relation what it is now for every snapshot that this transaction uses?
 *
 * Security: a table can have had rows of others when an older snapshot was taken,
 * have lost them, and become this tenant's partition. The snapshot still sees them.
 */
static bool
is_settled(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = TransactionIdPrecedes(HeapTupleHeaderGetXmin(tuple->t_data), TransactionXmin);
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_settled_below(Oid relid)
{
	ListCell   *cell;

	if (!is_settled(relid))
		return false;
	foreach(cell, get_partition_ancestors(relid))
		if (!is_settled(lfirst_oid(cell)))
		return false;
	return true;
}

bool
MtHoldsOneTenant(Oid relid, const MtTenantFilter *filter)
{
	MtTenantFilter own = {.varno = 1,.column = filter->column,.is_folded = true};
	bool		result = false;
	Relation	relation;
	ListCell   *cell;

	if (!filter->is_folded)
		return false;
	relation = table_open(relid, NoLock);
	if (relation->rd_rel->relispartition)
		foreach(cell, RelationGetPartitionQual(relation))
			result = result || MtIsTenantCondition(lfirst(cell), &own);
	table_close(relation, NoLock);
	return result && is_settled_below(relid);
}
