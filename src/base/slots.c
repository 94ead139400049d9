/*
 * slots.c
 *	  Shared memory: which backend works for which tenant, and the epoch.
 *
 * One 64-bit word for each possible backend, written by its owner alone, so no
 * lock is needed. Invariant: a word is 0 unless its backend is in a transaction
 * whose context is that tenant.
 */
#include "postgres.h"

#include <signal.h>

#include "base/compat.h"
#include "base/sharedmemory.h"
#include "base/slots.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/proc.h"

typedef struct MtSlots
{
	pg_atomic_uint64 epoch;
	uint32		count;
	pg_atomic_uint64 tenant[FLEXIBLE_ARRAY_MEMBER];
} MtSlots;

static MtSlots *slots = NULL;

static Size
slots_size(void)
{
	return add_size(offsetof(MtSlots, tenant),
					mul_size(sizeof(pg_atomic_uint64), MaxBackends));
}

static void
start(void *memory, bool is_new)
{
	slots = memory;
	if (!is_new)
		return;
	pg_atomic_init_u64(&slots->epoch, 1);
	slots->count = MaxBackends;
	for (uint32 i = 0; i < slots->count; i++)
		pg_atomic_init_u64(&slots->tenant[i], 0);
}

void
MtSlotsInit(void)
{
	static const MtSharedPiece piece = {"multitenant slots", 0, slots_size, start};

	MtSharedMemoryRequest(&piece);
}

bool
MtSlotsAvailable(void)
{
	return slots != NULL;
}

uint64
MtSlotTenantKey(const pg_uuid_t *tenant)
{
	uint64		key = hash_bytes_extended(tenant->data, UUID_LEN, MyDatabaseId);

	return key == 0 ? 1 : key;
}

void
MtSlotsSetTenant(uint64 key)
{
	if (slots == NULL || MyProc == NULL || MtProcNumber() >= slots->count)
		return;
	/* The exchange is a full barrier, which MtSlotsEpoch() relies on. */
	if (pg_atomic_read_u64(&slots->tenant[MtProcNumber()]) != key)
		pg_atomic_exchange_u64(&slots->tenant[MtProcNumber()], key);
}

uint64
MtSlotsEpoch(void)
{
	return slots == NULL ? 0 : pg_atomic_read_u64(&slots->epoch);
}

void
MtSlotsAdvanceEpoch(void)
{
	if (slots != NULL)
		pg_atomic_fetch_add_u64(&slots->epoch, 1);
}

int
MtSlotsTerminate(uint64 key)
{
	int			terminated = 0;

	if (slots == NULL)
		return 0;
	for (uint32 i = 0; i < slots->count; i++)
	{
		int			pid;

		if (i == MtProcNumber() || pg_atomic_read_u64(&slots->tenant[i]) != key)
			continue;

		/*
		 * A backend that exits in this very moment may leave its place to
		 * another: the signal then ends a session that has just begun, which
		 * its client can repeat. The other way round would be a session of
		 * the suspended tenant left running.
		 */
		pid = ProcGlobal->allProcs[i].pid;
		if (pid != 0 && kill(pid, SIGTERM) == 0)
			terminated++;
	}
	return terminated;
}
