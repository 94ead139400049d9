/*
 * keypage.c
 *	  The page of memory where the master keys are.
 *
 * Owns the mapping, which is no part of the server's ordinary shared memory: it
 * is locked, left out of core files, and outlives the crash of a server process.
 * Invariant: readers see the state before a change or after it, by an even and
 * unchanged sequence number; there is no lock that a killed process could leave
 * behind.
 */
#include "postgres.h"

#include <unistd.h>

#include "base/memory.h"
#include "crypto/keypage.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"

StaticAssertDecl(MT_MASTER_KEY_SLOTS == MT_KEY_VERSIONS_MAX,
				 "a slot for each version that a setting can list");

typedef struct KeyPage
{
	pg_atomic_uint32 sequence;	/* odd: a change is under way */
	bool		is_locked;
	pid_t		owner;			/* of a page that is not shared */
	Latch	   *keeper;			/* NULL: none runs */
	pg_atomic_uint64 requested;
	pg_atomic_uint64 answered;
	MtKeeperStatus status;
	unsigned char secret[MT_MASTER_KEY_SLOTS][MT_SECRET_BYTES];
	MtKeyWork	work;
} KeyPage;

StaticAssertDecl(sizeof(KeyPage) <= 4096, "one page of memory");

#define READ_TRIES 1000			/* of a change that takes a microsecond */

static KeyPage *page = NULL;
static bool is_shared = false;
static shmem_startup_hook_type previous_shmem_startup = NULL;

/* After a crash the keeper's latch is gone with the old shared memory. */
static void
forget_keeper(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	page->keeper = NULL;
}

static KeyPage *
make_page(bool shared)
{
	bool		is_locked;
	KeyPage    *made = MtMemoryMap(sizeof(KeyPage), shared, &is_locked);

	if (made == NULL)
		return NULL;
	pg_atomic_init_u32(&made->sequence, 0);
	pg_atomic_init_u64(&made->requested, 0);
	pg_atomic_init_u64(&made->answered, 0);
	made->is_locked = is_locked;
	made->owner = getpid();
	made->status.state = MT_KEEPER_STARTING;
	made->status.next_try = DT_NOEND;
	return made;
}

void
MtKeyPageInit(void)
{
	/* A server of one process has no keeper; it loads for itself. */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade ||
		!IsPostmasterEnvironment)
		return;
	page = make_page(true);
	if (page == NULL)
		ereport(FATAL,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("no memory for the page of master keys: %m"));
	is_shared = true;
	if (!page->is_locked &&
		(mt_guc_require_locked_memory || mt_guc_key_provider != MT_KEY_PROVIDER_OFF))
		ereport(mt_guc_require_locked_memory ? FATAL : WARNING,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("the memory of the master keys cannot be locked"),
				errdetail("It could be written to swap space."),
				errhint("Raise the limit of locked memory (ulimit -l, LimitMEMLOCK= of systemd), or turn multitenant.require_locked_memory off."));

	/* The server adjusts the score in a file that now belongs to root. */
	if (MtMemoryIsHidden() && getenv("PG_OOM_ADJUST_FILE") != NULL)
		ereport(WARNING,
				errmsg("PG_OOM_ADJUST_FILE has no effect where the server's memory is hidden"),
				errdetail("Sessions keep the postmaster's score, and the system's out-of-memory killer spares them, too."),
				errhint("Start the server without a lowered score (OOMScoreAdjust=0 of systemd), or turn multitenant.hide_memory off."));
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = forget_keeper;
}

void
MtKeyPageLeave(void)
{
	if (page != NULL)
		MtMemoryUnmap(page, sizeof(KeyPage));
	page = NULL;
}

bool
MtKeyPageIsShared(void)
{
	return is_shared;
}

bool
MtKeyPageIsLocked(void)
{
	return page != NULL && page->is_locked;
}

bool
MtKeyPageMake(void)
{
	if (page == NULL)
		page = make_page(false);
	return page != NULL;
}

/* ---- readers ---- */

/* The sequence number once no change is under way; false if that does not end. */
static bool
begin_read(uint32 *sequence)
{
	for (int i = 0; i < READ_TRIES; i++)
	{
		*sequence = pg_atomic_read_u32(&page->sequence);
		if ((*sequence & 1) == 0)
		{
			pg_read_barrier();
			return true;
		}
		pg_usleep(100);
	}
	return false;
}

static bool
is_unchanged(uint32 sequence)
{
	pg_read_barrier();
	return pg_atomic_read_u32(&page->sequence) == sequence;
}

void
MtKeyPageRead(MtKeeperStatus *status)
{
	uint32		sequence;

	memset(status, 0, sizeof(*status));
	status->state = MT_KEEPER_STARTING;
	status->next_try = DT_NOEND;
	if (page == NULL)
		return;
	while (begin_read(&sequence))
	{
		memcpy(status, &page->status, sizeof(*status));
		if (is_unchanged(sequence))
			break;
	}
}

bool
MtKeyPageCopy(uint64 *id, unsigned char secret[MT_SECRET_BYTES])
{
	uint32		sequence;

	while (page != NULL && begin_read(&sequence))
	{
		int			count = page->status.count;
		uint64		found = 0;

		for (int i = count - 1; i >= 0 && i < MT_MASTER_KEY_SLOTS; i--)
		{
			uint64		candidate = page->status.key[i].id;

			if (candidate != 0 && (*id == 0 || *id == candidate))
			{
				memcpy(secret, page->secret[i], MT_SECRET_BYTES);
				found = candidate;
				break;
			}

			/* No older key stands in for a current one that is missing. */
			if (*id == 0)
				break;
		}
		if (!is_unchanged(sequence))
			continue;
		if (found == 0)
			break;
		*id = found;
		return true;
	}
	MtWipe(secret, MT_SECRET_BYTES);
	return false;
}

/* ---- the writer ---- */

MtKeyWork *
MtKeyPageBegin(void)
{
	MtKeyWork  *work = &page->work;

	MtWipe(work, sizeof(*work));
	work->status = page->status;
	return work;
}

void
MtKeyPagePublish(void)
{
	pg_atomic_uint32 *sequence = &page->sequence;
	uint32		before = pg_atomic_read_u32(sequence);

	/* Odd already: a writer was killed in the middle of this. */
	pg_atomic_write_u32(sequence, before | 1);
	pg_memory_barrier();
	memcpy(&page->status, &page->work.status, sizeof(page->status));
	memcpy(page->secret, page->work.secret, sizeof(page->secret));
	pg_memory_barrier();
	pg_atomic_write_u32(sequence, (before | 1) + 1);
	MtWipe(&page->work, sizeof(page->work));
}

/* ---- requests ---- */

void
MtKeyPageServe(bool is_there)
{
	page->keeper = is_there ? MyLatch : NULL;
}

bool
MtKeyPageIsServed(void)
{
	return page != NULL && page->keeper != NULL;
}

uint64
MtKeyPageRequest(void)
{
	uint64		request = pg_atomic_add_fetch_u64(&page->requested, 1);
	Latch	   *keeper = page->keeper;

	if (keeper != NULL)
		SetLatch(keeper);
	return request;
}

uint64
MtKeyPageRequested(void)
{
	return pg_atomic_read_u64(&page->requested);
}

uint64
MtKeyPageAnswered(void)
{
	return pg_atomic_read_u64(&page->answered);
}

void
MtKeyPageAnswer(uint64 request)
{
	pg_atomic_write_u64(&page->answered, request);
}
