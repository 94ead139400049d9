/*
 * sharedmemory.c
 *	  Pieces of shared memory that modules own, asked for when the server starts.
 *
 * Owns the library's hooks for it, one of each kind, and the list of pieces, which is
 * filled while the library is loaded and never changes afterwards.
 */
#include "postgres.h"

#include "base/sharedmemory.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define MAX_PIECES 8			/* one per module is plenty */

static const MtSharedPiece *pieces[MAX_PIECES];
static int	piece_count = 0;
static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
request_pieces(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	for (int i = 0; i < piece_count; i++)
	{
		RequestAddinShmemSpace(pieces[i]->size());
		if (pieces[i]->locks > 0)
			RequestNamedLWLockTranche(pieces[i]->name, pieces[i]->locks);
	}
}

static void
start_pieces(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < piece_count; i++)
	{
		bool		found;
		void	   *memory = ShmemInitStruct(pieces[i]->name, pieces[i]->size(), &found);

		pieces[i]->start(memory, !found);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
MtSharedMemoryRequest(const MtSharedPiece *piece)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	if (piece_count >= MAX_PIECES)
		elog(ERROR, "too many pieces of shared memory");
	if (piece_count == 0)
	{
		previous_shmem_request = shmem_request_hook;
		shmem_request_hook = request_pieces;
		previous_shmem_startup = shmem_startup_hook;
		shmem_startup_hook = start_pieces;
	}
	pieces[piece_count++] = piece;
}
