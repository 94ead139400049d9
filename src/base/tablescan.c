/*
 * tablescan.c
 *	  Reading rows of an own table through its index.
 *
 * No SPI: these scans run inside hooks. Privileges are not checked, which is
 * the point: the tables are readable by nobody but their owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "base/tablescan.h"
#include "utils/builtins.h"
#include "utils/rel.h"

int
MtTableScan(MtTable table, const char *index, int key_count,
			const int *columns, const Oid *equality, const Datum *keys,
			MtRowReader reader, void *result)
{
	ScanKeyData scan_keys[MT_SCAN_KEYS];
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			rows = 0;

	Assert(key_count >= 0 && key_count <= MT_SCAN_KEYS);
	if (!OidIsValid(MtTableOid(table)))
		elog(ERROR, "a table of extension multitenant is missing");
	for (int i = 0; i < key_count; i++)
		ScanKeyInit(&scan_keys[i], columns[i], BTEqualStrategyNumber,
					equality[i], keys[i]);

	relation = table_open(MtTableOid(table), AccessShareLock);
	scan = systable_beginscan(relation,
							  index ? MtIndexOid(index) : InvalidOid,
							  index != NULL, NULL, key_count, scan_keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		reader(tuple, RelationGetDescr(relation), result);
		rows++;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return rows;
}

bool
MtTableIsEmpty(MtTable table)
{
	Relation	relation = table_open(MtTableOid(table), AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	bool		is_empty = !HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return is_empty;
}

char *
MtColumnText(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, column, desc, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

Datum
MtBytesDatum(const unsigned char *bytes, int length)
{
	bytea	   *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	return PointerGetDatum(value);
}
