/*
 * tablescan.c
 *	  Reading rows of an own table through its index.
 *
 * No SPI: these scans run inside hooks. Privileges are not checked, which is
 * the point: the tables are readable by nobody but their owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/table.h"
#include "base/tablescan.h"
#include "catalog/pg_am.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Where rows are, so that a number that is larger is further back in the table. */
typedef uint64 Place;

#define MakePlace(tid) ((uint64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid))
#define BlockOfPlace(place) ((BlockNumber) ((place) >> 16))
#define OffsetOfPlace(place) ((OffsetNumber) ((place) & 0xffff))

#define ST_SORT sort_places
#define ST_ELEMENT_TYPE Place
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Begins a scan of the table, which is open; key_count and the rest as of MtTableScan(). */
static SysScanDesc
begin_scan(Relation relation, const char *index, int key_count,
		   const int *columns, const Oid *equality, const Datum *keys)
{
	ScanKeyData scan_keys[MT_SCAN_KEYS];

	Assert(key_count >= 0 && key_count <= MT_SCAN_KEYS);
	for (int i = 0; i < key_count; i++)
		ScanKeyInit(&scan_keys[i], columns[i], BTEqualStrategyNumber,
					equality[i], keys[i]);
	return systable_beginscan(relation, index ? MtIndexOid(index) : InvalidOid,
							  index != NULL, NULL, key_count, scan_keys);
}

static Relation
open_table(MtTable table)
{
	if (!OidIsValid(MtTableOid(table)))
		elog(ERROR, "a table of extension multitenant is missing");
	return table_open(MtTableOid(table), AccessShareLock);
}

static int
read_rows(SysScanDesc scan, TupleDesc desc, MtRowReader reader, void *result)
{
	HeapTuple	tuple;
	int			rows = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (reader != NULL)
			reader(tuple, desc, result);
		rows++;
	}
	return rows;
}

/* ---- many rows ---- */

/*
 * Puts places that are on the same page beside each other, pages in the order of the
 * table. Counted where the pages are close together, as one tenant's rows mostly are: to compare
 * costs more than to read the rows.
 */
static Place *
order_places(Place *places, int64 count)
{
	BlockNumber first = MaxBlockNumber;
	BlockNumber last = 0;
	int64	   *ends;
	Place	   *ordered;

	for (int64 i = 0; i < count; i++)
	{
		first = Min(first, BlockOfPlace(places[i]));
		last = Max(last, BlockOfPlace(places[i]));
	}
	if (count < 2 || last - first > count)
	{
		sort_places(places, count);
		return places;
	}
	ends = MemoryContextAllocExtended(CurrentMemoryContext, ((Size) last - first + 1) * sizeof(int64),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	ordered = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(Place));
	for (int64 i = 0; i < count; i++)
		ends[BlockOfPlace(places[i]) - first]++;
	for (BlockNumber block = first + 1; block <= last; block++)
		ends[block - first] += ends[block - first - 1];
	for (int64 i = count - 1; i >= 0; i--)
		ordered[--ends[BlockOfPlace(places[i]) - first]] = places[i];
	pfree(ends);
	pfree(places);
	return ordered;
}

/* Where the index says that rows are, page by page. */
static Place *
find_places(IndexScanDesc scan, int64 *count)
{
	Size		room = 64;
	Place	   *places = palloc(room * sizeof(Place));
	ItemPointer tid;

	*count = 0;
	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		if (*count == room)
		{
			CHECK_FOR_INTERRUPTS();
			room *= 2;
			places = repalloc_huge(places, room * sizeof(Place));
		}
		places[(*count)++] = MakePlace(tid);
	}
	return order_places(places, *count);
}

/*
 * Reads rows of one page, as a scan of a bitmap does: which are visible is seen while the
 * page is locked; that it is pinned keeps them where they are while they are read.
 */
static int
read_page(SysScanDesc scan, const Place *places, int count, MtRowReader reader, void *result)
{
	Relation	relation = scan->heap_rel;
	Buffer		buffer = ReadBuffer(relation, BlockOfPlace(places[0]));
	HeapTupleData tuples[MaxHeapTuplesPerPage];
	int			rows = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	for (int i = 0; i < count; i++)
	{
		ItemPointerData tid;

		ItemPointerSet(&tid, BlockOfPlace(places[i]), OffsetOfPlace(places[i]));
		if (heap_hot_search_buffer(&tid, relation, buffer, scan->snapshot, &tuples[rows], NULL, true))
			rows++;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	for (int i = 0; i < rows; i++)
		reader(&tuples[i], RelationGetDescr(relation), result);
	ReleaseBuffer(buffer);
	return rows;
}

static int
read_pages(SysScanDesc scan, MtRowReader reader, void *result)
{
	int64		count;
	Place	   *places = find_places(scan->iscan, &count);
	int64		i = 0;
	int			rows = 0;

	while (i < count)
	{
		int			its = 1;

		CHECK_FOR_INTERRUPTS();
		while (i + its < count && its < MaxHeapTuplesPerPage &&
			   BlockOfPlace(places[i + its]) == BlockOfPlace(places[i]))
			its++;
		rows += read_page(scan, &places[i], its, reader, result);
		i += its;
	}
	pfree(places);
	return rows;
}

static int
scan_table(MtTable table, const char *index, int key_count,
		   const int *columns, const Oid *equality, const Datum *keys,
		   MtRowReader reader, void *result, bool are_many)
{
	Relation	relation = open_table(table);
	SysScanDesc scan = begin_scan(relation, index, key_count, columns, equality, keys);
	int			rows;

	/* Without the index where ignore_system_indexes is on. */
	if (are_many && scan->irel != NULL && relation->rd_rel->relam == HEAP_TABLE_AM_OID)
		rows = read_pages(scan, reader, result);
	else
		rows = read_rows(scan, RelationGetDescr(relation), reader, result);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return rows;
}

int
MtTableScan(MtTable table, const char *index, int key_count,
			const int *columns, const Oid *equality, const Datum *keys,
			MtRowReader reader, void *result)
{
	return scan_table(table, index, key_count, columns, equality, keys, reader, result, false);
}

int
MtTableScanMany(MtTable table, const char *index, int key_count,
				const int *columns, const Oid *equality, const Datum *keys,
				MtRowReader reader, void *result)
{
	return scan_table(table, index, key_count, columns, equality, keys, reader, result, true);
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

pg_uuid_t
MtColumnUuid(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		is_null;

	return *DatumGetUUIDP(heap_getattr(tuple, column, desc, &is_null));
}

TimestampTz
MtColumnTime(HeapTuple tuple, TupleDesc desc, int column, TimestampTz if_null)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, column, desc, &is_null);

	return is_null ? if_null : DatumGetTimestampTz(value);
}

char *
MtTextCopy(Datum value, int *length)
{
	text	   *packed = DatumGetTextPP(value);
	char	   *copy;

	*length = VARSIZE_ANY_EXHDR(packed);
	copy = palloc(*length + 1);
	memcpy(copy, VARDATA_ANY(packed), *length);
	copy[*length] = '\0';
	return copy;
}

Datum
MtBytesDatum(const unsigned char *bytes, int length)
{
	bytea	   *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	return PointerGetDatum(value);
}
