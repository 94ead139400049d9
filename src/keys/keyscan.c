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
#include "base/extension.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "crypto/ciphertext.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_rows_of_keys);
PG_FUNCTION_INFO_V1(mt_open_transactions);
PG_FUNCTION_INFO_V1(mt_await_transaction);
PG_FUNCTION_INFO_V1(mt_whose_transaction);

static int64
key_of(Datum value)
{
	bytea	   *header = DatumGetByteaPSlice(value, 0, MT_CIPHERTEXT_HEADER);
	int64		id = 0;

	if (VARSIZE_ANY_EXHDR(header) == MT_CIPHERTEXT_HEADER)
		id = (int64) MtCiphertextKeyId((const unsigned char *) VARDATA_ANY(header));
	pfree(header);
	return id;
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

static bool
is_type(Oid type, const char *name)
{
	Oid			schema = get_namespace_oid(MT_SCHEMA_NAME, false);

	return type == GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
								   ObjectIdGetDatum(schema));
}

/*
 * Security: who called has looked the column up before the table was opened, and its
 * owner may have changed it since.
 */
static bool
has_values(Relation relation, int column)
{
	Form_pg_attribute attribute;
	Oid			type;

	if (!RELKIND_HAS_TABLE_AM(relation->rd_rel->relkind) ||
		column < 1 || column > RelationGetNumberOfAttributes(relation))
		return false;
	attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);
	if (attribute->attisdropped)
		return false;
	type = getBaseType(attribute->atttypid);
	return is_type(type, "encrypted") || is_type(type, "encrypted_det");
}

/*
 * multitenant._rows_of_keys(table_name regclass, column_number smallint, keys bigint[]): 0
 * for a table or a column that is gone by now, or is another.
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
	if (has_values(relation, column))
		rows = count_rows(relation, column, keys, count);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(rows);
}

/*
 * multitenant._open_transactions() text[]: the other transactions of this database that
 * are open, prepared ones too, as pg_locks.virtualxid names them. Vacuum's are not among
 * them, they write no value that was not there.
 */
Datum
mt_open_transactions(PG_FUNCTION_ARGS)
{
	int			count;
	VirtualTransactionId *open = GetCurrentVirtualXIDs(InvalidTransactionId, false, false,
													   PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &count);
	Datum	   *names = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		names[i] = CStringGetTextDatum(psprintf("%d/%u", (int) MtVxidProc(open[i]),
												open[i].localTransactionId));
	PG_RETURN_ARRAYTYPE_P(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static VirtualTransactionId
transaction_argument(text *argument)
{
	VirtualTransactionId vxid;
	int			proc;
	unsigned int number;

	if (sscanf(text_to_cstring(argument), "%d/%u", &proc, &number) != 2)
		elog(ERROR, "not the name of a transaction");
	MtVxidProc(vxid) = proc;
	vxid.localTransactionId = number;
	return vxid;
}

/*
 * multitenant._await_transaction(virtualxid text): returns when it has ended; an error
 * after lock_timeout.
 */
Datum
mt_await_transaction(PG_FUNCTION_ARGS)
{
	VirtualTransactionId vxid = transaction_argument(PG_GETARG_TEXT_PP(0));

	(void) VirtualXactLock(vxid, true);
	PG_RETURN_VOID();
}

/*
 * multitenant._whose_transaction(virtualxid text): the process and role that are in it,
 * null if none is: it has ended, or is prepared. What pg_stat_activity knows is not for
 * everybody who asks.
 */
Datum
mt_whose_transaction(PG_FUNCTION_ARGS)
{
	VirtualTransactionId vxid = transaction_argument(PG_GETARG_TEXT_PP(0));
	PGPROC	   *proc = MtProcOfVxid(vxid);
	char	   *role;

	if (proc == NULL || MtLxidOfProc(proc) != vxid.localTransactionId)
		PG_RETURN_NULL();
	role = GetUserNameFromId(proc->roleId, true);
	PG_RETURN_TEXT_P(cstring_to_text(role == NULL ? psprintf("process %d", proc->pid) :
									 psprintf("process %d of role %s", proc->pid, role)));
}
