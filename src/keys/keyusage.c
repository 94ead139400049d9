/*
 * keyusage.c
 *	  How many values each key has sealed since that was last written to its row.
 *
 * One table of fixed size in shared memory, for all databases, without a lock: a place is
 * a key's while its name is there. Owns the places and the decision when they are
 * written; worker/keyusage.c does that. Invariant: what was added once is in a place,
 * with the worker, or in the key's row, and is never counted less than once while the
 * server runs. A crash loses what was not written; so does a restart, at most
 * WRITE_AFTER for each key. Without shared_preload_libraries nothing is counted.
 *
 * Two databases made of one have keys in common; each counts its own.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/sharedmemory.h"
#include "common/hashfn.h"
#include "keys/keyusage.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

/* 1.5 MB. Every write empties them, so that this many keys may be used between two. */
#define PLACES 65536

/* Places that are looked at for a key, one after another. */
#define PROBES 16

/* Uses of one key that are worth a write: a 2048th of what a key may seal before it is replaced. */
#define WRITE_AFTER (1 << 20)

/* A worker that was asked for this long ago is asked for again; two at a time do no harm. */
#define ASK_AGAIN (100 * USECS_PER_SEC / 1000)

/* Nobody's name: the worker empties this place. */
#define NAME_BUSY PG_UINT64_MAX

typedef struct Place
{
	pg_atomic_uint64 name;		/* 0: free */
	pg_atomic_uint64 uses;
	pg_atomic_uint32 database;	/* 0: not written yet */
} Place;

typedef struct Usage
{
	pg_atomic_uint64 asked_at;	/* when a worker was asked for last */
	pg_atomic_uint64 written;	/* how often a worker has written */
	pg_atomic_uint64 lost;		/* uses that found no place */
	Place		place[PLACES];
} Usage;

static Usage *shared = NULL;

static Size
usage_size(void)
{
	return sizeof(Usage);
}

static void
start(void *memory, bool is_new)
{
	shared = memory;
	if (!is_new)
		return;
	pg_atomic_init_u64(&shared->asked_at, 0);
	pg_atomic_init_u64(&shared->written, 0);
	pg_atomic_init_u64(&shared->lost, 0);
	for (int i = 0; i < PLACES; i++)
	{
		pg_atomic_init_u64(&shared->place[i].name, 0);
		pg_atomic_init_u64(&shared->place[i].uses, 0);
		pg_atomic_init_u32(&shared->place[i].database, 0);
	}
}

void
MtKeyUsageInit(void)
{
	static const MtSharedPiece piece = {"multitenant key usage", 0, usage_size, start};

	MtSharedMemoryRequest(&piece);
}

/* A database's keys have names of their own; the same again gives the key. */
static uint64
salt(Oid database)
{
	return hash_bytes_uint32_extended(database, 0);
}

static uint64
name_of(int64 key, Oid database)
{
	return (uint64) key ^ salt(database);
}

static Place *
place_at(uint64 name, int probe)
{
	/* The name is random: it need not be hashed. */
	return &shared->place[(name + probe) % PLACES];
}

/* ---- asking for the worker ---- */

/*
 * Has the counts of that database written, soon. Without an effect where one was asked for a
 * moment ago, or the server has no room for another worker: the next use asks again.
 */
static void
ask_for_writing(Oid database)
{
	uint64		now = (uint64) GetCurrentTimestamp();
	uint64		asked_at = pg_atomic_read_u64(&shared->asked_at);
	BackgroundWorker worker = {0};

	if (!IsUnderPostmaster || now < asked_at + ASK_AGAIN ||
		!pg_atomic_compare_exchange_u64(&shared->asked_at, &asked_at, now))
		return;
	strlcpy(worker.bgw_name, "multitenant key usage", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "multitenant key usage", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "multitenant", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "mt_key_usage_main", sizeof(worker.bgw_function_name));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	(void) RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* ---- counting ---- */

/* Adds to a place that has the key's name; false if it has it no longer. */
static bool
add_to(Place *place, uint64 name, uint32 uses)
{
	uint64		total = pg_atomic_add_fetch_u64(&place->uses, uses);

	/*
	 * The worker takes the name away before it takes the uses: where the name
	 * is still there, it has not taken them yet. Where it is not, they may
	 * stay here for whoever comes next, and are counted once more elsewhere.
	 */
	if (pg_atomic_read_u64(&place->name) != name)
		return false;
	if (total >= WRITE_AFTER)
		ask_for_writing(MyDatabaseId);
	return true;
}

static bool
take(Place *place, uint64 name)
{
	uint64		nobody = 0;

	if (!pg_atomic_compare_exchange_u64(&place->name, &nobody, name))
		return false;
	pg_atomic_write_u32(&place->database, MyDatabaseId);
	return true;
}

void
MtKeyUsageAdd(int64 key, uint32 uses)
{
	uint64		name = name_of(key, MyDatabaseId);
	Oid			neighbour;

	/* A standby cannot write them. */
	if (shared == NULL || uses == 0 || RecoveryInProgress())
		return;
	for (int i = 0; i < PROBES; i++)
		if (pg_atomic_read_u64(&place_at(name, i)->name) == name &&
			add_to(place_at(name, i), name, uses))
			return;
	for (int i = 0; i < PROBES; i++)
		if (take(place_at(name, i), name))
		{
			/* Crowded: emptying makes room before it is too late. */
			if (i >= PROBES / 2)
				ask_for_writing(MyDatabaseId);
			if (add_to(place_at(name, i), name, uses))
				return;
		}
	pg_atomic_fetch_add_u64(&shared->lost, uses);
	neighbour = pg_atomic_read_u32(&place_at(name, 0)->database);
	if (OidIsValid(neighbour))
		ask_for_writing(neighbour);
}

int64
MtKeyUsageOf(int64 key)
{
	uint64		name = name_of(key, MyDatabaseId);
	uint64		uses = 0;

	if (shared == NULL)
		return 0;

	/* Two sessions that take a place at the same time may take two. */
	for (int i = 0; i < PROBES; i++)
		if (pg_atomic_read_u64(&place_at(name, i)->name) == name)
			uses += pg_atomic_read_u64(&place_at(name, i)->uses);
	return (int64) uses;
}

uint64
MtKeyUsageWritten(void)
{
	return shared == NULL ? 0 : pg_atomic_read_u64(&shared->written);
}

uint64
MtKeyUsageLost(void)
{
	return shared == NULL ? 0 : pg_atomic_read_u64(&shared->lost);
}

/* ---- the worker's ---- */

int
MtKeyUsageTake(Oid database, MtKeyUses *uses, int limit)
{
	int			count = 0;

	if (shared == NULL)
		return 0;
	for (int i = 0; i < PLACES && count < limit; i++)
	{
		Place	   *place = &shared->place[i];
		uint64		name = pg_atomic_read_u64(&place->name);

		if (name == 0 || name == NAME_BUSY ||
			pg_atomic_read_u32(&place->database) != database ||
			!pg_atomic_compare_exchange_u64(&place->name, &name, NAME_BUSY))
			continue;
		uses[count].key = (int64) (name ^ salt(database));
		uses[count].uses = (int64) pg_atomic_exchange_u64(&place->uses, 0);
		pg_atomic_write_u32(&place->database, InvalidOid);
		pg_write_barrier();
		pg_atomic_write_u64(&place->name, 0);
		if (uses[count].uses > 0)
			count++;
	}
	return count;
}

void
MtKeyUsageNoteWritten(void)
{
	if (shared != NULL)
		pg_atomic_fetch_add_u64(&shared->written, 1);
}
