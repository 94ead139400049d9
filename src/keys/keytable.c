/*
 * keytable.c
 *	  The tables of wrapped keys: reading and writing their rows.
 *
 * Owns the columns of multitenant.kek and multitenant.cek. Invariant: a row that is
 * not destroyed has a wrapped key of the right length, or nothing is read of it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/extension.h"
#include "base/tablescan.h"
#include "executor/executor.h"
#include "keys/keytable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Columns of multitenant.kek. */
enum
{
	KEK_ID = 1,
	KEK_TENANT_ID,
	KEK_VERSION,
	KEK_MEK_ID,
	KEK_WRAPPED,
	KEK_SHARE,
	KEK_STATE,
	KEK_CREATED_AT,
	KEK_CHANGED_AT,
	KEK_STATE_REASON,
	KEK_COLUMN_COUNT = KEK_STATE_REASON
};

/* Columns of multitenant.cek. */
enum
{
	CEK_ID = 1,
	CEK_TENANT_ID,
	CEK_PURPOSE,
	CEK_CLASS,
	CEK_VERSION,
	CEK_KEK_ID,
	CEK_WRAPPED,
	CEK_KCV,
	CEK_STATE,
	CEK_USES,
	CEK_CREATED_AT,
	CEK_CHANGED_AT,
	CEK_COLUMN_COUNT = CEK_CHANGED_AT
};

static const char *const state_names[] = {"active", "retired", "suspended", "destroyed"};

static const struct
{
	char		class;
	const char *name;
}			classes[] = {
	{MT_CLASS_DATA, "data"},
	{MT_CLASS_DETERMINISTIC, "deterministic"},
	{MT_CLASS_BLIND_INDEX, "blind_index"}
};

char
MtKeyClassFromName(const char *name)
{
	for (size_t i = 0; i < lengthof(classes); i++)
		if (strcmp(classes[i].name, name) == 0)
			return classes[i].class;
	return 0;
}

const char *
MtKeyClassName(char class)
{
	for (size_t i = 0; i < lengthof(classes); i++)
		if (classes[i].class == class)
			return classes[i].name;
	elog(ERROR, "unknown class of keys: %d", class);
}

void
MtKekBinding(const MtKekRow *row, MtWrapBinding *binding)
{
	memset(binding, 0, sizeof(*binding));
	binding->level = MT_WRAP_TENANT_KEY;
	memcpy(binding->tenant, row->tenant.data, MT_TENANT_BYTES);
	binding->key_id = row->id;
	binding->version = row->version;
	binding->class = MT_CLASS_TENANT_KEY;
	binding->purpose = "";
	binding->created_at = row->created_at;
}

void
MtCekBinding(const MtCekRow *row, MtWrapBinding *binding)
{
	memset(binding, 0, sizeof(*binding));
	binding->level = MT_WRAP_DATA_KEY;
	memcpy(binding->tenant, row->tenant.data, MT_TENANT_BYTES);
	binding->key_id = row->id;
	binding->version = row->version;
	binding->class = row->class;
	binding->purpose = row->purpose;
	binding->created_at = row->created_at;
}

/* ---- reading ---- */

static Datum
column(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, number, desc, &is_null);

	if (is_null)
		elog(ERROR, "a table of keys has a null in column %d", number);
	return value;
}

static MtKeyState
state_of(HeapTuple tuple, TupleDesc desc, int number)
{
	char	   *name = MtColumnText(tuple, desc, number);

	for (size_t i = 0; name != NULL && i < lengthof(state_names); i++)
		if (strcmp(name, state_names[i]) == 0)
			return (MtKeyState) i;
	elog(ERROR, "a table of keys has an unknown state");
}

/*
 * Security: a row whose bytes do not have the right length is not read, whoever
 * wrote it; what they are is seen when they are unwrapped.
 */
static void
read_bytes(HeapTuple tuple, TupleDesc desc, int number, unsigned char *out, int length)
{
	bytea	   *value = DatumGetByteaPP(column(tuple, desc, number));

	if (VARSIZE_ANY_EXHDR(value) != length)
		elog(ERROR, "a table of keys has %d bytes in column %d", (int) VARSIZE_ANY_EXHDR(value), number);
	memcpy(out, VARDATA_ANY(value), length);
}

static void
read_kek(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtKekRow   *row = (MtKekRow *) result;

	memset(row, 0, sizeof(*row));
	row->id = DatumGetInt64(column(tuple, desc, KEK_ID));
	row->tenant = *DatumGetUUIDP(column(tuple, desc, KEK_TENANT_ID));
	row->version = DatumGetInt32(column(tuple, desc, KEK_VERSION));
	row->has_share = MtColumnText(tuple, desc, KEK_SHARE) != NULL;
	row->state = state_of(tuple, desc, KEK_STATE);
	row->created_at = DatumGetTimestampTz(column(tuple, desc, KEK_CREATED_AT));
	if (row->state != MT_KEY_DESTROYED)
		read_bytes(tuple, desc, KEK_WRAPPED, row->wrapped, MT_WRAPPED_BYTES);
}

static void
read_cek(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtCekRow   *row = (MtCekRow *) result;
	char	   *class;
	char	   *purpose;

	memset(row, 0, sizeof(*row));
	row->id = DatumGetInt64(column(tuple, desc, CEK_ID));
	row->tenant = *DatumGetUUIDP(column(tuple, desc, CEK_TENANT_ID));
	purpose = MtColumnText(tuple, desc, CEK_PURPOSE);
	class = MtColumnText(tuple, desc, CEK_CLASS);
	if (purpose == NULL || strlen(purpose) > MT_PURPOSE_MAX || class == NULL)
		elog(ERROR, "a table of keys has no purpose or class");
	strlcpy(row->purpose, purpose, sizeof(row->purpose));
	row->class = MtKeyClassFromName(class);
	row->version = DatumGetInt32(column(tuple, desc, CEK_VERSION));
	row->kek_id = DatumGetInt64(column(tuple, desc, CEK_KEK_ID));
	row->state = state_of(tuple, desc, CEK_STATE);
	row->uses = DatumGetInt64(column(tuple, desc, CEK_USES));
	row->created_at = DatumGetTimestampTz(column(tuple, desc, CEK_CREATED_AT));
	if (row->state != MT_KEY_DESTROYED)
	{
		read_bytes(tuple, desc, CEK_WRAPPED, row->wrapped, MT_WRAPPED_BYTES);
		read_bytes(tuple, desc, CEK_KCV, row->kcv, MT_KCV_BYTES);
	}
}

bool
MtKekById(int64 id, MtKekRow *row)
{
	const int	columns[] = {KEK_ID};
	const Oid	equality[] = {F_INT8EQ};
	const Datum keys[] = {Int64GetDatum(id)};

	return MtTableScan(MT_TABLE_KEK, "kek_pkey", 1, columns, equality, keys, read_kek, row) > 0;
}

bool
MtKekOfTenant(const pg_uuid_t *tenant, MtKekRow *row)
{
	const int	columns[] = {KEK_TENANT_ID};
	const Oid	equality[] = {F_UUID_EQ};
	const Datum keys[] = {UUIDPGetDatum(tenant)};

	return MtTableScan(MT_TABLE_KEK, "kek_current", 1, columns, equality, keys, read_kek, row) > 0;
}

bool
MtCekById(int64 id, MtCekRow *row)
{
	const int	columns[] = {CEK_ID};
	const Oid	equality[] = {F_INT8EQ};
	const Datum keys[] = {Int64GetDatum(id)};

	return MtTableScan(MT_TABLE_CEK, "cek_pkey", 1, columns, equality, keys, read_cek, row) > 0;
}

static void
count_cek(HeapTuple tuple, TupleDesc desc, void *result)
{
	if (state_of(tuple, desc, CEK_STATE) != MT_KEY_DESTROYED)
		(*(int *) result)++;
}

int
MtCekCountUnder(int64 kek_id)
{
	const int	columns[] = {CEK_KEK_ID};
	const Oid	equality[] = {F_INT8EQ};
	const Datum keys[] = {Int64GetDatum(kek_id)};
	int			count = 0;

	(void) MtTableScan(MT_TABLE_CEK, "cek_kek_id", 1, columns, equality, keys, count_cek, &count);
	return count;
}

static int
scan_ceks(const char *index, const pg_uuid_t *tenant, const char *purpose, char class,
		  MtRowReader reader, void *result)
{
	const int	columns[] = {CEK_TENANT_ID, CEK_PURPOSE, CEK_CLASS};
	const Oid	equality[] = {F_UUID_EQ, F_TEXTEQ, F_TEXTEQ};
	const Datum keys[] = {
		UUIDPGetDatum(tenant), CStringGetTextDatum(purpose),
		CStringGetTextDatum(MtKeyClassName(class))
	};

	return MtTableScan(MT_TABLE_CEK, index, 3, columns, equality, keys, reader, result);
}

bool
MtCekActive(const pg_uuid_t *tenant, const char *purpose, char class, MtCekRow *row)
{
	return scan_ceks("cek_active", tenant, purpose, class, read_cek, row) > 0;
}

static void
read_kek_version(HeapTuple tuple, TupleDesc desc, void *result)
{
	*(int32 *) result = Max(*(int32 *) result, DatumGetInt32(column(tuple, desc, KEK_VERSION)));
}

static void
read_cek_version(HeapTuple tuple, TupleDesc desc, void *result)
{
	*(int32 *) result = Max(*(int32 *) result, DatumGetInt32(column(tuple, desc, CEK_VERSION)));
}

int32
MtKekLastVersion(const pg_uuid_t *tenant)
{
	const int	columns[] = {KEK_TENANT_ID};
	const Oid	equality[] = {F_UUID_EQ};
	const Datum keys[] = {UUIDPGetDatum(tenant)};
	int32		version = 0;

	(void) MtTableScan(MT_TABLE_KEK, "kek_tenant_id_version_key", 1, columns, equality, keys,
					   read_kek_version, &version);
	return version;
}

static void
keep_last_kek(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtKekRow   *last = (MtKekRow *) result;
	MtKekRow	row;

	read_kek(tuple, desc, &row);
	if (row.version > last->version)
		*last = row;
}

bool
MtKekLastHasShare(const pg_uuid_t *tenant)
{
	const int	columns[] = {KEK_TENANT_ID};
	const Oid	equality[] = {F_UUID_EQ};
	const Datum keys[] = {UUIDPGetDatum(tenant)};
	MtKekRow	last = {0};

	(void) MtTableScan(MT_TABLE_KEK, "kek_tenant_id_version_key", 1, columns, equality, keys,
					   keep_last_kek, &last);
	return last.has_share;
}

int32
MtCekLastVersion(const pg_uuid_t *tenant, const char *purpose, char class)
{
	int32		version = 0;

	(void) scan_ceks("cek_version_key", tenant, purpose, class, read_cek_version, &version);
	return version;
}

/* ---- writing ---- */

/* The master key under which a tenant's key is wrapped, as people see it. */
static Datum
mek_name(const MtKekRow *row)
{
	uint64_t	id;

	if (MtWrappedUnder(row->wrapped, MT_WRAPPED_BYTES, &id) != MT_WRAP_OK)
		elog(ERROR, "a key is not wrapped");
	return CStringGetTextDatum(psprintf("%016llx", (unsigned long long) id));
}

/*
 * Writes a row, in the place of an old one or as a new one. Not as the catalog's are
 * written: these tables have partial indexes and checks.
 */
static void
write_row(Relation relation, HeapTuple tuple, ItemPointer old)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TupleTableSlot *old_slot = table_slot_create(relation, NULL);

	InitResultRelInfo(target, relation, 0, NULL, 0);
	ExecOpenIndices(target, false);
	ExecForceStoreHeapTuple(tuple, slot, false);
	if (old == NULL)
		ExecSimpleRelationInsert(target, estate, slot);
	else
	{
		old_slot->tts_tid = *old;
		ExecSimpleRelationUpdate(target, estate, NULL, old_slot, slot);
	}
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

static void
insert_row(MtTable table, Datum *values, bool *nulls)
{
	Relation	relation = table_open(MtTableOid(table), RowExclusiveLock);

	write_row(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls), NULL);
	/* Also so that this session forgets the key if the row is rolled back. */
	CacheInvalidateRelcache(relation);
	table_close(relation, RowExclusiveLock);
	CommandCounterIncrement();
}

void
MtKekInsert(const MtKekRow *row)
{
	Datum		values[KEK_COLUMN_COUNT];
	bool		nulls[KEK_COLUMN_COUNT] = {false};

	values[KEK_ID - 1] = Int64GetDatum(row->id);
	values[KEK_TENANT_ID - 1] = UUIDPGetDatum(&row->tenant);
	values[KEK_VERSION - 1] = Int32GetDatum(row->version);
	values[KEK_MEK_ID - 1] = mek_name(row);
	values[KEK_WRAPPED - 1] = MtBytesDatum(row->wrapped, MT_WRAPPED_BYTES);
	values[KEK_SHARE - 1] = row->has_share ? CStringGetTextDatum("command") : (Datum) 0;
	nulls[KEK_SHARE - 1] = !row->has_share;
	values[KEK_STATE - 1] = CStringGetTextDatum(state_names[row->state]);
	values[KEK_CREATED_AT - 1] = TimestampTzGetDatum(row->created_at);
	values[KEK_CHANGED_AT - 1] = TimestampTzGetDatum(row->created_at);
	nulls[KEK_STATE_REASON - 1] = true;
	insert_row(MT_TABLE_KEK, values, nulls);
}

void
MtCekInsert(const MtCekRow *row)
{
	Datum		values[CEK_COLUMN_COUNT];
	bool		nulls[CEK_COLUMN_COUNT] = {false};

	values[CEK_ID - 1] = Int64GetDatum(row->id);
	values[CEK_TENANT_ID - 1] = UUIDPGetDatum(&row->tenant);
	values[CEK_PURPOSE - 1] = CStringGetTextDatum(row->purpose);
	values[CEK_CLASS - 1] = CStringGetTextDatum(MtKeyClassName(row->class));
	values[CEK_VERSION - 1] = Int32GetDatum(row->version);
	values[CEK_KEK_ID - 1] = Int64GetDatum(row->kek_id);
	values[CEK_WRAPPED - 1] = MtBytesDatum(row->wrapped, MT_WRAPPED_BYTES);
	values[CEK_KCV - 1] = MtBytesDatum(row->kcv, MT_KCV_BYTES);
	values[CEK_STATE - 1] = CStringGetTextDatum(state_names[row->state]);
	values[CEK_USES - 1] = Int64GetDatum(row->uses);
	values[CEK_CREATED_AT - 1] = TimestampTzGetDatum(row->created_at);
	values[CEK_CHANGED_AT - 1] = TimestampTzGetDatum(row->created_at);
	insert_row(MT_TABLE_CEK, values, nulls);
}

/*
 * Changes some columns of the row with that id. No session is told: the key is the same, so
 * that what a session has of it stays right, and a million of them are rewrapped in
 * seconds.
 */
static void
update_row(MtTable table, const char *index, int64 id, int column_count, Datum *values,
		   bool *replaces)
{
	bool		nulls[CEK_COLUMN_COUNT] = {false};
	Relation	relation = table_open(MtTableOid(table), RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	old;
	HeapTuple	new;

	Assert(column_count <= CEK_COLUMN_COUNT);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(relation, MtIndexOid(index), true, NULL, 1, &key);
	old = systable_getnext(scan);
	if (!HeapTupleIsValid(old))
		elog(ERROR, "a key is gone");
	new = heap_modify_tuple(old, RelationGetDescr(relation), values, nulls, replaces);
	write_row(relation, new, &old->t_self);
	systable_endscan(scan);
	table_close(relation, RowExclusiveLock);
	CommandCounterIncrement();
}

void
MtKekRewrap(const MtKekRow *row)
{
	Datum		values[KEK_COLUMN_COUNT] = {0};
	bool		replaces[KEK_COLUMN_COUNT] = {false};

	values[KEK_MEK_ID - 1] = mek_name(row);
	values[KEK_WRAPPED - 1] = MtBytesDatum(row->wrapped, MT_WRAPPED_BYTES);
	values[KEK_SHARE - 1] = CStringGetTextDatum("command");
	values[KEK_CHANGED_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	replaces[KEK_MEK_ID - 1] = true;
	replaces[KEK_WRAPPED - 1] = true;
	replaces[KEK_SHARE - 1] = row->has_share;
	replaces[KEK_CHANGED_AT - 1] = true;
	update_row(MT_TABLE_KEK, "kek_pkey", row->id, KEK_COLUMN_COUNT, values, replaces);
}

void
MtCekRewrap(const MtCekRow *row)
{
	Datum		values[CEK_COLUMN_COUNT] = {0};
	bool		replaces[CEK_COLUMN_COUNT] = {false};

	values[CEK_KEK_ID - 1] = Int64GetDatum(row->kek_id);
	values[CEK_WRAPPED - 1] = MtBytesDatum(row->wrapped, MT_WRAPPED_BYTES);
	values[CEK_CHANGED_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	replaces[CEK_KEK_ID - 1] = true;
	replaces[CEK_WRAPPED - 1] = true;
	replaces[CEK_CHANGED_AT - 1] = true;
	update_row(MT_TABLE_CEK, "cek_pkey", row->id, CEK_COLUMN_COUNT, values, replaces);
}
