/*
 * lookup.c
 *	  Reading rows by key past row security, for an administrator's questions.
 *
 * explain_access() has to know whether a row that an application does not see is
 * there. Invariant: no code that a user has made is called. The heap is scanned,
 * or the primary key's index, without a planner that would fold index expressions;
 * keys and operators are those of base types and enums, which only superusers
 * make, because a domain's input calls its checks.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/audit.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/names.h"
#include "base/settings.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(mt_rows_by_key);
PG_FUNCTION_INFO_V1(mt_is_volatile_policy);

/* Columns and the values they must have, as text. */
typedef struct Key
{
	int			count;
	char	   *columns[INDEX_MAX_KEYS];
	char	   *values[INDEX_MAX_KEYS];
} Key;

/* Security: the same rights as for reading the table. */
static void
require_administrator(Oid relid)
{
	MtAuditEvent event = {.event = "access.explain",.outcome = "allowed"};

	MtAccessRequireSuperuser("looking at rows of every tenant");
	if (mt_guc_superuser_access == MT_SUPERUSER_DENY &&
		MtContextGet()->state != MT_STATE_SYSTEM)
		ereport(ERROR,
				errcode(MT_ERRCODE_BYPASSES_ISOLATION),
				errmsg("superusers have no access to table %s", get_rel_name(relid)),
				errdetail("The setting multitenant.superuser_access is \"deny\"."),
				errhint("Call multitenant.system_context() with a reason first."));
	event.object = MtQualifiedName(relid);
	MtAuditEmit(&event);
}

static void
read_key(ArrayType *columns, ArrayType *values, Key *key)
{
	Datum	   *names;
	Datum	   *texts;
	bool	   *name_nulls;
	bool	   *text_nulls;
	int			text_count;

	deconstruct_array(columns, TEXTOID, -1, false, TYPALIGN_INT, &names, &name_nulls, &key->count);
	deconstruct_array(values, TEXTOID, -1, false, TYPALIGN_INT, &texts, &text_nulls, &text_count);
	if (key->count == 0 || key->count > INDEX_MAX_KEYS || key->count != text_count)
		elog(ERROR, "not a key");
	for (int i = 0; i < key->count; i++)
	{
		if (name_nulls[i] || text_nulls[i])
			elog(ERROR, "nulls in a key");
		key->columns[i] = TextDatumGetCString(names[i]);
		key->values[i] = TextDatumGetCString(texts[i]);
	}
}

/* One condition of the scan. Throws what the type's input throws. */
static void
prepare_condition(Relation relation, const char *column, const char *text, ScanKey condition)
{
	AttrNumber	number = get_attnum(RelationGetRelid(relation), column);
	Oid			type;
	Oid			collation;
	int32		modifier;
	Oid			input;
	Oid			parameter;
	TypeCacheEntry *cache;

	if (number <= 0)
		elog(ERROR, "column \"%s\" does not exist", column);
	get_atttypetypmodcoll(RelationGetRelid(relation), number, &type, &modifier, &collation);
	type = getBaseType(type);
	cache = lookup_type_cache(type, TYPECACHE_EQ_OPR_FINFO);
	if ((cache->typtype != TYPTYPE_BASE && cache->typtype != TYPTYPE_ENUM) ||
		OidIsValid(get_element_type(type)) || !OidIsValid(cache->eq_opr_finfo.fn_oid))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("rows cannot be looked up by column \"%s\" of type %s",
					   column, format_type_be(type)),
				errhint("Key columns are of base types and enums."));
	getTypeInputInfo(type, &input, &parameter);
	ScanKeyEntryInitializeWithInfo(condition, 0, number, BTEqualStrategyNumber, InvalidOid,
								   collation, &cache->eq_opr_finfo,
								   OidInputFunctionCall(input, unconstify(char *, text), parameter, -1));
}

/*
 * The primary key's index, if it contains all columns of the key. Brings the
 * conditions into its order, which a B-tree demands.
 */
static Oid
index_for(Relation relation, ScanKeyData *conditions, int count)
{
	Relation	index;
	int			placed = 0;

	list_free(RelationGetIndexList(relation));
	if (!OidIsValid(relation->rd_pkindex))
		return InvalidOid;
	index = index_open(relation->rd_pkindex, AccessShareLock);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		for (int j = placed; j < count; j++)
			if (conditions[j].sk_attno == index->rd_index->indkey.values[i])
			{
				ScanKeyData condition = conditions[j];

				conditions[j] = conditions[placed];
				conditions[placed++] = condition;
				break;
			}
	index_close(index, AccessShareLock);
	return placed == count ? relation->rd_pkindex : InvalidOid;
}

/* The row as its type's text, and the tenant's column in it. */
static void
add_row(Relation relation, HeapTuple tuple, const char *tenant_column, ReturnSetInfo *result)
{
	TupleDesc	desc = RelationGetDescr(relation);
	Datum		values[3] = {0};
	bool		nulls[3] = {false};
	AttrNumber	number = tenant_column != NULL ?
	get_attnum(RelationGetRelid(relation), tenant_column) : InvalidAttrNumber;
	FmgrInfo	output;

	values[0] = ObjectIdGetDatum(RelationGetRelid(relation));
	fmgr_info(F_RECORD_OUT, &output);
	values[1] = CStringGetTextDatum(OutputFunctionCall(&output, heap_copy_tuple_as_datum(tuple, desc)));
	nulls[2] = true;
	if (number > 0)
	{
		Datum		tenant = heap_getattr(tuple, number, desc, &nulls[2]);
		Oid			function;
		bool		is_varlena;

		if (!nulls[2])
		{
			getTypeOutputInfo(TupleDescAttr(desc, number - 1)->atttypid, &function, &is_varlena);
			values[2] = CStringGetTextDatum(OidOutputFunctionCall(function, tenant));
		}
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Adds at most "limit" rows of one table; returns how many. */
static int
scan_one(Oid relid, const Key *key, const char *tenant_column, int limit, ReturnSetInfo *result)
{
	Relation	relation = table_open(relid, AccessShareLock);
	ScanKeyData conditions[INDEX_MAX_KEYS];
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			index;
	int			found = 0;

	/* A foreign table's rows are elsewhere. */
	if (relation->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(relation, AccessShareLock);
		return 0;
	}
	for (int i = 0; i < key->count; i++)
		prepare_condition(relation, key->columns[i], key->values[i], &conditions[i]);
	index = index_for(relation, conditions, key->count);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(relation, index, OidIsValid(index), snapshot, key->count, conditions);
	while (found < limit && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		add_row(relation, tuple, tenant_column, result);
		found++;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return found;
}

/*
 * multitenant._rows_by_key(table_name regclass, key_columns text[], key_values
 * text[], tenant_column text): at most 16 rows of the table and those below it.
 * Columns: table_name, row_text, tenant.
 */
Datum
mt_rows_by_key(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Key			key;
	char	   *tenant_column;
	int			left = 16;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || !MtIsActive())
		return (Datum) 0;
	require_administrator(PG_GETARG_OID(0));
	read_key(PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_ARRAYTYPE_P(2), &key);
	tenant_column = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	foreach(cell, find_all_inheritors(PG_GETARG_OID(0), AccessShareLock, NULL))
		left -= scan_one(lfirst_oid(cell), &key, tenant_column, left, result);
	return (Datum) 0;
}

static bool
is_volatile(Datum expression, bool is_null)
{
	return !is_null &&
		contain_volatile_functions(stringToNode(TextDatumGetCString(expression)));
}

/* multitenant._is_volatile_policy(policy oid): does it call volatile functions? */
Datum
mt_is_volatile_policy(PG_FUNCTION_ARGS)
{
	Relation	catalog = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, Anum_pg_policy_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(PG_GETARG_OID(0)));
	scan = systable_beginscan(catalog, PolicyOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(catalog);
		bool		is_null;
		Datum		using = heap_getattr(tuple, Anum_pg_policy_polqual, desc, &is_null);

		result = is_volatile(using, is_null);
		using = heap_getattr(tuple, Anum_pg_policy_polwithcheck, desc, &is_null);
		result = result || is_volatile(using, is_null);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	PG_RETURN_BOOL(result);
}
