/*
 * reference.c
 *	  Foreign keys of tables of tenants: which of them can cross tenants.
 *
 * A key is tied if it compares the tenant column with the tenant column of the
 * referenced table, and that is a table of tenants itself: then whoever changes
 * the referenced row is of the tenant whose rows follow. A key beside a tied one
 * over the same columns is as good, because no row refers to another tenant's;
 * protect() leaves that pair where an action cannot be translated.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "base/compat.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "lib/stringinfo.h"
#include "policy/protection.h"
#include "policy/reference.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static bool
is_validated(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_constraint) GETSTRUCT(tuple))->convalidated;
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_temporal(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = MtConstraintIsTemporal((Form_pg_constraint) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_tied(const ForeignKeyCacheInfo *key, AttrNumber tenant_column)
{
	const MtProtection *referenced = MtProtectionOf(key->confrelid);

	if (!MtClassIsFiltered(referenced->class) || referenced->column == 0)
		return false;
	for (int i = 0; i < key->nkeys; i++)
		if (key->conkey[i] == tenant_column &&
			key->confkey[i] == referenced->column)
			return true;
	return false;
}

/*
 * Does the other key hold for every row of this one? It has the same pairs of
 * columns and the tenant's, which is never null, and was validated.
 */
static bool
covers(const ForeignKeyCacheInfo *other, const ForeignKeyCacheInfo *key)
{
	if (other->confrelid != key->confrelid || other->nkeys != key->nkeys + 1 ||
		!is_validated(other->conoid))
		return false;
	for (int i = 0; i < key->nkeys; i++)
	{
		bool		is_found = false;

		for (int j = 0; j < other->nkeys; j++)
			is_found |= other->conkey[j] == key->conkey[i] &&
				other->confkey[j] == key->confkey[i];
		if (!is_found)
			return false;
	}
	return true;
}

/* A column's name as the server writes it into a foreign key's statement. */
static void
append_quoted(StringInfo out, Oid relid, AttrNumber column)
{
	appendStringInfoString(out, " \"");
	for (const char *p = get_attname(relid, column, false); *p != '\0'; p++)
	{
		if (*p == '"')
			appendStringInfoCharMacro(out, '"');
		appendStringInfoCharMacro(out, *p);
	}
	appendStringInfoCharMacro(out, '"');
}

/* Does the text name the column, quoted as the server quotes it there? */
static bool
names_column(const char *condition, Oid relid, AttrNumber column)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	append_quoted(&quoted, relid, column);
	return strstr(condition, quoted.data) != NULL;
}

static bool
may_be_at_work(const ForeignKeyCacheInfo *key, Oid relid, const char *condition)
{
	for (int i = 0; i < key->nkeys; i++)
		if (!names_column(condition, relid, key->conkey[i]))
			return false;
	return true;
}

/*
 * Would the statement take the tenant from the row? In a table of shared rows a
 * row without a tenant is everybody's.
 */
static bool
unsets_column(const char *statement, const char *condition, Oid relid, AttrNumber column)
{
	StringInfoData quoted;
	const char *at;

	initStringInfo(&quoted);
	append_quoted(&quoted, relid, column);
	appendStringInfoString(&quoted, " = ");
	at = strstr(statement, quoted.data);
	if (at == NULL || at >= condition)
		return false;
	at += quoted.len;
	return strncmp(at, "NULL", 4) == 0 || strncmp(at, "DEFAULT", 7) == 0;
}

bool
MtReferencesAreTied(Oid relid, AttrNumber tenant_column, const char *statement)
{
	const char *condition = strstr(statement, " WHERE ");
	Relation	relation = relation_open(relid, AccessShareLock);
	List	   *keys = copyObject(RelationGetFKeyList(relation));
	bool		are_tied = keys != NIL;
	ListCell   *cell;

	relation_close(relation, AccessShareLock);
	if (condition == NULL || unsets_column(statement, condition, relid, tenant_column))
		return false;
	foreach(cell, keys)
	{
		ForeignKeyCacheInfo *key = lfirst(cell);
		bool		is_safe;
		ListCell   *beside;

		if (!MtForeignKeyIsEnforced(key) || !may_be_at_work(key, relid, condition))
			continue;
		is_safe = is_tied(key, tenant_column);
		foreach(beside, keys)
			is_safe |= is_tied(lfirst(beside), tenant_column) &&
			covers(lfirst(beside), key);
		are_tied &= is_safe;
	}
	return are_tied;
}

static bool
are_columns(const AttrNumber *numbers, int count, const Bitmapset *columns)
{
	Bitmapset  *compared = NULL;

	/* 0 is an expression, which is no member of any set of columns. */
	for (int i = 0; i < count; i++)
		compared = bms_add_member(compared, Max(numbers[i], 0));
	return bms_equal(compared, columns);
}

/* Is it an index that a foreign key can refer to, over these columns? */
static bool
is_unique_over(Oid index, const Bitmapset *columns)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = form->indisunique && form->indimmediate && form->indisvalid &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
		are_columns(form->indkey.values, form->indnkeyatts, columns);
	ReleaseSysCache(tuple);
	return result;
}

bool
MtReferencesCompare(Oid relid, const Bitmapset *columns)
{
	Relation	relation = relation_open(relid, NoLock);
	List	   *keys = copyObject(RelationGetFKeyList(relation));
	List	   *indexes = RelationGetIndexList(relation);
	ListCell   *cell;
	bool		result = false;

	relation_close(relation, NoLock);
	foreach(cell, keys)
	{
		ForeignKeyCacheInfo *key = lfirst(cell);

		result |= MtForeignKeyIsEnforced(key) && are_columns(key->conkey, key->nkeys, columns);
	}
	foreach(cell, indexes)
		result |= is_unique_over(lfirst_oid(cell), columns);
	return result;
}

static bool
refers_over_periods(Oid relid, Oid other)
{
	Relation	relation = relation_open(relid, AccessShareLock);
	List	   *keys = copyObject(RelationGetFKeyList(relation));
	ListCell   *cell;

	relation_close(relation, AccessShareLock);
	foreach(cell, keys)
	{
		ForeignKeyCacheInfo *key = lfirst(cell);

		if (key->confrelid == other && is_temporal(key->conoid))
			return true;
	}
	return false;
}

bool
MtReferOverPeriods(Oid relid, Oid other)
{
	return refers_over_periods(relid, other) || refers_over_periods(other, relid);
}
