/*
 * keyusage.c
 *	  The process that writes counted uses of keys into their rows.
 *
 * Started by keys/keyusage.c when there is enough to write, for one database; ends when
 * it has written. A key that has sealed as much as is good for it gets its next
 * version. Invariant: what could not be written is counted again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/extension.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "keys/keyusage.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PGDLLEXPORT void mt_key_usage_main(Datum argument);

/* Rows of one transaction, so that nobody waits long for a row. */
#define ROWS 1000

static MtKeyUses *taken = NULL;
static int	taken_count = 0;
static int	written_count = 0;
static bool is_connected = false;

/* A database that does not let us in, or is gone, keeps no places from others. */
static void
forget(Oid database)
{
	MtKeyUses	forgotten[256];

	while (MtKeyUsageTake(database, forgotten, lengthof(forgotten)) > 0)
		;
}

static void
give_back(int code, Datum argument)
{
	if (!is_connected)
		forget(DatumGetObjectId(argument));
	for (int i = written_count; i < taken_count; i++)
		while (taken[i].uses > 0)
		{
			uint32		uses = (uint32) Min(taken[i].uses, PG_INT32_MAX);

			MtKeyUsageAdd(taken[i].key, uses);
			taken[i].uses -= uses;
		}
}

/* In one order, so that two of us never wait for each other. */
static int
compare(const void *a, const void *b)
{
	int64		x = ((const MtKeyUses *) a)->key;
	int64		y = ((const MtKeyUses *) b)->key;

	return x < y ? -1 : x > y;
}

static void
begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Adds to rows in one transaction. Without the trigger of the table: no session has to look
 * at its keys again because they were counted.
 */
static void
write_rows(int first, int count)
{
	Oid			types[] = {INT8OID, INT8OID};

	begin("writing the use of keys");
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, ERROR, false);
	for (int i = first; MtIsActive() && i < first + count; i++)
	{
		Datum		values[] = {Int64GetDatum(taken[i].key), Int64GetDatum(taken[i].uses)};

		if (SPI_execute_with_args("UPDATE multitenant.cek SET uses = uses + $2 WHERE cek_id = $1",
								  2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "unexpected result of a command");
	}
	end();
	written_count = first + count;
}

/*
 * Makes the next version of keys that have sealed enough; the function looks for
 * them itself. What keeps one of them from it is logged by that function.
 */
static void
replace_keys(void)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(MT_KEY_USES_SOFT_LIMIT)};

	begin("replacing keys");
	if (MtIsActive() &&
		SPI_execute_with_args("SELECT multitenant._replace_used_keys($1)",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of a query");
	end();
}

void
mt_key_usage_main(Datum argument)
{
	Oid			database = DatumGetObjectId(argument);

	pqsignal(SIGTERM, die);
	before_shmem_exit(give_back, argument);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	is_connected = true;
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	/* A crash may lose it: so it may what nobody has taken yet. */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "10s", PGC_USERSET, PGC_S_OVERRIDE);

	taken = MemoryContextAllocHuge(TopMemoryContext, sizeof(MtKeyUses) * MT_KEY_USES_MAX);
	taken_count = MtKeyUsageTake(database, taken, MT_KEY_USES_MAX);
	qsort(taken, taken_count, sizeof(MtKeyUses), compare);
	for (int i = 0; i < taken_count; i += ROWS)
		write_rows(i, Min(ROWS, taken_count - i));
	MtKeyUsageNoteWritten();
	replace_keys();
	proc_exit(0);
}
