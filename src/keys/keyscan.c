/*
 * keyscan.c
 *	  Which rows hold values of certain keys: before the keys are destroyed.
 *
 * Reads a column of a table row by row, past row security and without the planner, so that
 * no code of the table's owner runs. What it returns is a number of rows.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "crypto/ciphertext.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mt_rows_of_keys);
PG_FUNCTION_INFO_V1(mt_await_writers);

static int64
key_of(Datum value)
{
	bytea	   *header = DatumGetByteaPSlice(value, 0, MT_CIPHERTEXT_HEADER);
	uint64		id = 0;

	if (VARSIZE_ANY_EXHDR(header) == MT_CIPHERTEXT_HEADER)
		for (int i = 2; i < MT_CIPHERTEXT_HEADER; i++)
			id = id << 8 | (unsigned char) VARDATA_ANY(header)[i];
	pfree(header);
	return (int64) id;
}

static bool
is_among(int64 key, const int64 *keys, int count)
{
	for (int i = 0; i < count; i++)
		if (keys[i] == key)
			return true;
	return false;
}

static int64
count_rows(Relation relation, int column, const int64 *keys, int key_count)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = MtTableBeginScan(relation, snapshot);
	int64		rows = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		is_null;
		Datum		value = slot_getattr(slot, column, &is_null);

		CHECK_FOR_INTERRUPTS();
		if (!is_null && is_among(key_of(value), keys, key_count))
			rows++;
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return rows;
}

/*
 * multitenant._rows_of_keys(table_name regclass, column_number smallint, keys bigint[]): 0
 * for a table that is gone by now.
 */
Datum
mt_rows_of_keys(PG_FUNCTION_ARGS)
{
	Relation	relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	int			column = PG_GETARG_INT16(1);
	Datum	   *elements;
	int			count;
	int64	   *keys;
	int64		rows = 0;

	if (relation == NULL)
		PG_RETURN_INT64(0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elements, NULL, &count);
	keys = palloc(sizeof(int64) * count);
	for (int i = 0; i < count; i++)
		keys[i] = DatumGetInt64(elements[i]);
	if (column >= 1 && column <= RelationGetNumberOfAttributes(relation))
		rows = count_rows(relation, column, keys, count);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(rows);
}

/*
 * multitenant._await_writers(tables oid[]): returns when every transaction that has
 * written one of the tables has ended, those that began meanwhile aside; an error after
 * lock_timeout.
 */
Datum
mt_await_writers(PG_FUNCTION_ARGS)
{
	Datum	   *elements;
	int			count;
	List	   *tags = NIL;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), OIDOID, sizeof(Oid), true, TYPALIGN_INT,
					  &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		LOCKTAG    *tag = palloc(sizeof(LOCKTAG));

		SET_LOCKTAG_RELATION(*tag, MyDatabaseId, DatumGetObjectId(elements[i]));
		tags = lappend(tags, tag);
	}
	WaitForLockersMultiple(tags, ShareLock, false);
	PG_RETURN_VOID();
}
