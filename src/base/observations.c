/*
 * observations.c
 *	  Shared memory: what would be refused if observed tables were protected.
 *
 * A hash table of fixed size with open addressing. Owns its places and its lock:
 * places are taken and given back under the exclusive lock, counted in under the
 * shared one. Not transactional: a statement that was rolled back would have been
 * refused all the same. Nothing survives a restart.
 *
 * Invariant: the memory of a place is written under the exclusive lock only, its
 * counters aside.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/mask.h"
#include "base/observations.h"
#include "base/sharedmemory.h"
#include "base/wording.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* Places: 1.2 MB. A schema with 40 tables has room for 25 findings on each. */
#define PLACES 1024

/* Before a place is given to somebody new, this many are left to tables as such. */
#define PLACES_FOR_TABLES 128

#define PIECE_NAME "multitenant observations"

typedef struct Key
{
	Oid			database;
	Oid			relid;
	Oid			role;
	uint32		application;	/* hash of its name */
	uint64		statement;		/* hash of its wording */
} Key;

typedef enum PlaceState
{
	PLACE_FREE,
	PLACE_TAKEN,
	PLACE_LEFT					/* free, but what lies behind it is not lost */
} PlaceState;

typedef struct Place
{
	PlaceState	state;
	Key			key;
	char		application[NAMEDATALEN];
	char		statement[MT_OBSERVED_TEXT];
	TimestampTz first;
	pg_atomic_uint64 last;
	pg_atomic_uint64 counts[MT_COUNTS];
} Place;

typedef struct Observations
{
	uint64		generation;		/* changes when places are given back */
	int			taken;
	pg_atomic_uint64 lost;
	Place		places[PLACES];
} Observations;

static Observations *shared = NULL;
static LWLock *lock = NULL;

static Size
observations_size(void)
{
	return sizeof(Observations);
}

static void
start(void *memory, bool is_new)
{
	shared = memory;
	lock = &GetNamedLWLockTranche(PIECE_NAME)->lock;
	if (!is_new)
		return;
	memset(shared, 0, sizeof(Observations));
	shared->generation = 1;
	pg_atomic_init_u64(&shared->lost, 0);
}

void
MtObservationsInit(void)
{
	static const MtSharedPiece piece = {PIECE_NAME, 1, observations_size, start};

	MtSharedMemoryRequest(&piece);
}

bool
MtObservationsAvailable(void)
{
	return shared != NULL;
}

/* ---- places ---- */

static bool
is_same_key(const Key *a, const Key *b)
{
	return a->database == b->database && a->relid == b->relid && a->role == b->role &&
		a->application == b->application && a->statement == b->statement;
}

/* The place of a key, negative if there is none; *vacant: where it could be. */
static int
find_place(const Key *key, int *vacant)
{
	uint32		start = hash_bytes((const unsigned char *) key, sizeof(*key));

	*vacant = -1;
	for (uint32 i = 0; i < PLACES; i++)
	{
		int			index = (start + i) % PLACES;
		Place	   *place = &shared->places[index];

		if (place->state == PLACE_TAKEN)
		{
			if (is_same_key(&place->key, key))
				return index;
			continue;
		}
		if (*vacant < 0)
			*vacant = index;
		if (place->state == PLACE_FREE)
			break;
	}
	return -1;
}

static void
take_place(int index, const Key *key, const char *wording)
{
	Place	   *place = &shared->places[index];
	TimestampTz now = GetCurrentStatementStartTimestamp();

	place->state = PLACE_TAKEN;
	place->key = *key;
	strlcpy(place->application, application_name ? application_name : "", NAMEDATALEN);
	strlcpy(place->statement, wording, MT_OBSERVED_TEXT);
	/* A name that the client chose may hold what it should not. */
	(void) MtMaskCredentials(place->application);
	place->first = now;
	pg_atomic_init_u64(&place->last, (uint64) now);
	for (int i = 0; i < MT_COUNTS; i++)
		pg_atomic_init_u64(&place->counts[i], 0);
	shared->taken++;
}

MtObservation
MtObservationOf(Oid relid, const char *text, int length)
{
	MtObservation result = {-1, 0};
	char		wording[MT_OBSERVED_TEXT] = "";
	Key			key;
	int			vacant;

	if (shared == NULL)
		return result;
	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.relid = relid;
	if (text != NULL)
	{
		key.role = GetOuterUserId();
		key.application = application_name == NULL ? 0 :
			hash_bytes((const unsigned char *) application_name, strlen(application_name));
		key.statement = MtWordingOf(text, length, wording, sizeof(wording));
		(void) MtMaskCredentials(wording);
	}

	LWLockAcquire(lock, LW_SHARED);
	result.index = find_place(&key, &vacant);
	result.generation = shared->generation;
	LWLockRelease(lock);
	if (result.index >= 0)
		return result;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	result.index = find_place(&key, &vacant);
	result.generation = shared->generation;
	if (result.index < 0 && vacant >= 0 &&
		(text == NULL || shared->taken < PLACES - PLACES_FOR_TABLES))
	{
		take_place(vacant, &key, wording);
		result.index = vacant;
	}
	LWLockRelease(lock);
	return result;
}

void
MtObservationAdd(MtObservation observation, MtCount count, uint64 number)
{
	Place	   *place;

	if (shared == NULL || number == 0)
		return;
	if (observation.index < 0)
	{
		pg_atomic_fetch_add_u64(&shared->lost, number);
		return;
	}
	LWLockAcquire(lock, LW_SHARED);
	if (observation.generation == shared->generation)
	{
		place = &shared->places[observation.index];
		pg_atomic_fetch_add_u64(&place->counts[count], number);
		pg_atomic_write_u64(&place->last, (uint64) GetCurrentStatementStartTimestamp());
	}
	LWLockRelease(lock);
}

/* ---- reports ---- */

uint64
MtObservationsLost(void)
{
	return shared == NULL ? 0 : pg_atomic_read_u64(&shared->lost);
}

MtObserved *
MtObservationsRead(int *number)
{
	MtObserved *result = palloc(sizeof(MtObserved) * PLACES);

	*number = 0;
	if (shared == NULL)
		return result;
	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < PLACES; i++)
	{
		Place	   *place = &shared->places[i];
		MtObserved *out = &result[*number];

		if (place->state != PLACE_TAKEN || place->key.database != MyDatabaseId)
			continue;
		out->relid = place->key.relid;
		out->role = place->key.role;
		strlcpy(out->application, place->application, NAMEDATALEN);
		strlcpy(out->statement, place->statement, MT_OBSERVED_TEXT);
		out->first = place->first;
		out->last = (TimestampTz) pg_atomic_read_u64(&place->last);
		for (int j = 0; j < MT_COUNTS; j++)
			out->counts[j] = pg_atomic_read_u64(&place->counts[j]);
		(*number)++;
	}
	LWLockRelease(lock);
	return result;
}

void
MtObservationsForget(Oid relid)
{
	if (shared == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < PLACES; i++)
	{
		Place	   *place = &shared->places[i];

		if (place->state != PLACE_TAKEN || place->key.database != MyDatabaseId ||
			(OidIsValid(relid) && place->key.relid != relid))
			continue;
		place->state = PLACE_LEFT;
		shared->taken--;
	}

	/*
	 * What was lost may have been another database's; it starts again with
	 * all.
	 */
	if (!OidIsValid(relid))
		pg_atomic_write_u64(&shared->lost, 0);
	if (shared->taken == 0)
		for (int i = 0; i < PLACES; i++)
			shared->places[i].state = PLACE_FREE;
	shared->generation++;
	LWLockRelease(lock);
}
