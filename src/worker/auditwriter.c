/*
 * auditwriter.c
 *	  A process for events that must outlast the transaction that reports them.
 *
 * Owns the request - a dynamic shared memory segment with rows of
 * multitenant.audit_event - the process that inserts them in one transaction of its
 * own, and the wait for it. Needs no preloading, but a free place among
 * max_worker_processes. Invariant: who asks goes on only when all rows are committed.
 *
 * Security: a request is rows and nothing else. Whatever is in it, the process can
 * be made to do no more than to insert rows into the audit record.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/audit.h"
#include "base/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/auditwriter.h"

PGDLLEXPORT void mt_audit_writer_main(Datum argument);

/* How long one who asks waits at most: far longer than a process takes to start. */
#define PATIENCE_MS 30000

/*
 * How long one who asks waits for a free place at most, and how long between two
 * looks. Sessions with parallel queries can take all places; they let them go, too.
 */
#define PLACE_PATIENCE_MS 5000
#define PLACE_INTERVAL_MS 10

/* How long the process waits for a lock on the record. */
#define LOCK_TIMEOUT "10s"

#define MAGIC 0x6d744157		/* "mtAW" */

/* The texts of a row, in their order in a request. */
#define TEXTS 5

/* A row of a request. The texts follow, each with its zero byte; its pointers are NULL. */
typedef struct Row
{
	MtAuditRow	row;
	Size		size;			/* with the texts, up to the next row */
	bool		has_object;
	char		texts[FLEXIBLE_ARRAY_MEMBER];
} Row;

/* A request. The rows follow, from FIRST_ROW on. */
typedef struct Request
{
	uint32		magic;
	Oid			database;
	pg_atomic_uint32 is_written;
	int			count;
} Request;

#define FIRST_ROW MAXALIGN(sizeof(Request))

/* ---- asking ---- */

static void
texts_of(const MtAuditRow *row, const char *texts[TEXTS])
{
	texts[0] = row->event;
	texts[1] = row->outcome;
	texts[2] = row->principal;
	texts[3] = row->object ? row->object : "";
	texts[4] = row->detail;
}

static Size
size_of(const MtAuditRow *row)
{
	const char *texts[TEXTS];
	Size		size = offsetof(Row, texts);

	texts_of(row, texts);
	for (int i = 0; i < TEXTS; i++)
		size += strlen(texts[i]) + 1;
	return MAXALIGN(size);
}

static void
put_row(const MtAuditRow *from, Row *to)
{
	const char *texts[TEXTS];
	char	   *p = to->texts;

	to->row = *from;
	to->row.event = to->row.outcome = to->row.principal = to->row.object = to->row.detail = NULL;
	to->size = size_of(from);
	to->has_object = from->object != NULL;
	texts_of(from, texts);
	for (int i = 0; i < TEXTS; i++)
	{
		strcpy(p, texts[i]);
		p += strlen(texts[i]) + 1;
	}
}

static dsm_segment *
make_request(const MtAuditRow *rows, int count)
{
	Size		size = FIRST_ROW;
	dsm_segment *segment;
	Request    *request;
	char	   *p;

	for (int i = 0; i < count; i++)
		size += size_of(&rows[i]);
	segment = dsm_create(size, 0);
	request = dsm_segment_address(segment);
	memset(request, 0, sizeof(*request));
	request->magic = MAGIC;
	request->database = MyDatabaseId;
	pg_atomic_init_u32(&request->is_written, 0);
	request->count = count;
	p = (char *) request + FIRST_ROW;
	for (int i = 0; i < count; i++)
	{
		put_row(&rows[i], (Row *) p);
		p += ((Row *) p)->size;
	}
	return segment;
}

/* Registers the process as soon as there is a place for it. */
static BackgroundWorkerHandle *
take_place(BackgroundWorker *worker)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PLACE_PATIENCE_MS);
	BackgroundWorkerHandle *handle;

	while (!RegisterDynamicBackgroundWorker(worker, &handle))
	{
		CHECK_FOR_INTERRUPTS();
		if (max_worker_processes == 0 || GetCurrentTimestamp() >= until)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("this must be recorded, and no process can be started for it"),
					errhint("Nothing was done; try again, and raise max_worker_processes above max_parallel_workers if this happens often."));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 PLACE_INTERVAL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	return handle;
}

static BackgroundWorkerHandle *
start_process(dsm_segment *segment)
{
	BackgroundWorker worker = {0};

	strlcpy(worker.bgw_name, "multitenant audit writer", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "multitenant audit writer", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "multitenant", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "mt_audit_writer_main", sizeof(worker.bgw_function_name));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	return take_place(&worker);
}

/*
 * Waits until the process has ended. Can be cancelled: then the rows may be
 * there although nothing comes of it, never the other way round.
 */
static void
wait_for(BackgroundWorkerHandle *handle)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PATIENCE_MS);

	for (;;)
	{
		pid_t		pid;
		long		left;

		CHECK_FOR_INTERRUPTS();
		if (GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
			return;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		if (left <= 0)
		{
			TerminateBackgroundWorker(handle);
			return;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

static void
write_durably(const MtAuditRow *rows, int count)
{
	dsm_segment *segment = make_request(rows, count);
	Request    *request = dsm_segment_address(segment);
	bool		is_written;

	wait_for(start_process(segment));
	is_written = pg_atomic_read_u32(&request->is_written) != 0;
	dsm_detach(segment);
	if (!is_written)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("this must be recorded, and the record could not be written"),
				errhint("Nothing was done; the server's log says why the audit writer failed."));
}

void
MtAuditWriterInit(void)
{
	MtAuditSetDurableWriter(write_durably);
}

/* ---- the process ---- */

/* A row whose texts are this process's own; the next one. */
static const Row *
copy_row(const Row *from, MtAuditRow *row)
{
	const char *texts[TEXTS];
	const char *p = from->texts;

	for (int i = 0; i < TEXTS; i++)
	{
		texts[i] = MemoryContextStrdup(TopMemoryContext, p);
		p += strlen(p) + 1;
	}
	*row = from->row;
	row->event = texts[0];
	row->outcome = texts[1];
	row->principal = texts[2];
	row->object = from->has_object ? texts[3] : NULL;
	row->detail = texts[4];
	return (const Row *) ((const char *) from + from->size);
}

static MtAuditRow *
copy_rows(const Request *request)
{
	MtAuditRow *rows = MemoryContextAllocHuge(TopMemoryContext, request->count * sizeof(MtAuditRow));
	const Row  *from = (const Row *) ((const char *) request + FIRST_ROW);

	for (int i = 0; i < request->count; i++)
		from = copy_row(from, &rows[i]);
	return rows;
}

static void
write_rows(const MtAuditRow *rows, int count)
{
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, "writing events");
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!MtIsActive() || !OidIsValid(MtTableOid(MT_TABLE_AUDIT)))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("extension multitenant is not ready in this database"),
				errhint("Run CREATE EXTENSION multitenant."));
	MtAuditWriteRows(rows, count);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
mt_audit_writer_main(Datum argument)
{
	dsm_segment *segment;
	Request    *request;
	MtAuditRow *rows;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* Who asked may have given up by now. */
	segment = dsm_attach(DatumGetUInt32(argument));
	if (segment == NULL)
		proc_exit(0);
	request = dsm_segment_address(segment);
	if (request->magic != MAGIC)
		elog(ERROR, "not a request of the audit writer");
	rows = copy_rows(request);

	BackgroundWorkerInitializeConnectionByOid(request->database, InvalidOid, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_OVERRIDE);
	/* Database and role settings may say otherwise. */
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	write_rows(rows, request->count);
	pg_atomic_write_u32(&request->is_written, 1);
	dsm_detach(segment);
	proc_exit(0);
}
