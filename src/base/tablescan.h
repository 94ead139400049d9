/*
 * tablescan.h
 *	  Reading rows of an own table through its index.
 */
#ifndef MT_TABLESCAN_H
#define MT_TABLESCAN_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "base/extension.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* Called for each row that matches; the tuple lives for the call only. */
typedef void (*MtRowReader) (HeapTuple tuple, TupleDesc desc, void *result);

#define MT_SCAN_KEYS 3

/*
 * Calls the reader for every row of the table whose columns equal the keys
 * (at most MT_SCAN_KEYS, in the order of the index), with the latest snapshot, so that a
 * REPEATABLE READ transaction sees what has been committed since. Returns the
 * number of rows; a reader that is NULL reads none.
 */
extern int	MtTableScan(MtTable table, const char *index, int key_count,
						const int *columns, const Oid *equality,
						const Datum *keys, MtRowReader reader, void *result);

/*
 * The same where there may be thousands of rows, of which each would cost a look at its
 * page: each page is looked at once, and rows come in the order of the table.
 */
extern int	MtTableScanMany(MtTable table, const char *index, int key_count,
							const int *columns, const Oid *equality,
							const Datum *keys, MtRowReader reader, void *result);

/* Has the table no row? */
extern bool MtTableIsEmpty(MtTable table);

/* A text column as a palloc'd string, NULL for null. */
extern char *MtColumnText(HeapTuple tuple, TupleDesc desc, int column);

/* A text as a palloc'd string, and how long it is. */
extern char *MtTextCopy(Datum value, int *length);

/* A column of type uuid that is not null. */
extern pg_uuid_t MtColumnUuid(HeapTuple tuple, TupleDesc desc, int column);

/* A column of type timestamptz. */
extern TimestampTz MtColumnTime(HeapTuple tuple, TupleDesc desc, int column, TimestampTz if_null);

/* Bytes as a bytea, for a column or a result. */
extern Datum MtBytesDatum(const unsigned char *bytes, int length);

#endif							/* MT_TABLESCAN_H */
