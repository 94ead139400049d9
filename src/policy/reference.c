/*
 * reference.c
 *	  Foreign keys of tables of tenants: which of them can cross tenants.
 *
 * A key that includes the tenant column cannot. Nor can one that stands beside
 * such a key over the same columns, because no row refers to another tenant's
 * then; protect() leaves that pair where an action cannot be translated.
 */
#include "postgres.h"

#include "access/relation.h"
#include "policy/reference.h"
#include "utils/rel.h"

static bool
has_column(const ForeignKeyCacheInfo *key, AttrNumber column)
{
	for (int i = 0; i < key->nkeys; i++)
		if (key->conkey[i] == column)
			return true;
	return false;
}

/* Does the other key refer to the same table by the same columns and more? */
static bool
covers(const ForeignKeyCacheInfo *other, const ForeignKeyCacheInfo *key)
{
	if (other->confrelid != key->confrelid)
		return false;
	for (int i = 0; i < key->nkeys; i++)
		if (!has_column(other, key->conkey[i]))
			return false;
	return true;
}

bool
MtReferencesAreTied(Oid relid, AttrNumber tenant_column)
{
	Relation	relation = relation_open(relid, AccessShareLock);
	List	   *keys = RelationGetFKeyList(relation);
	bool		are_tied = true;
	ListCell   *cell;

	foreach(cell, keys)
	{
		ForeignKeyCacheInfo *key = lfirst(cell);
		bool		is_tied = has_column(key, tenant_column);
		ListCell   *beside;

		foreach(beside, keys)
		{
			ForeignKeyCacheInfo *other = lfirst(beside);

			is_tied |= has_column(other, tenant_column) && covers(other, key);
		}
		are_tied &= is_tied;
	}
	relation_close(relation, AccessShareLock);
	return are_tied;
}
