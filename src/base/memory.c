/*
 * memory.c
 *	  Memory that holds keys: hidden from other processes, never swapped out.
 *
 * Security: a superuser could otherwise read a key with
 * pg_read_binary_file('/proc/self/mem', ..), and anybody who gets a core file
 * or the swap could read it there.
 */
#include "postgres.h"

#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "base/memory.h"

bool
MtMemoryHide(void)
{
#ifdef __linux__
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
#else
	return false;
#endif
}

bool
MtMemoryIsHidden(void)
{
#ifdef __linux__
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
#else
	return false;
#endif
}

void *
MtMemoryMap(size_t size, bool is_shared, bool *is_locked)
{
	void	   *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
							  (is_shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;

	/*
	 * A lock does not pass to forked processes, but the pages of a shared map
	 * stay where they are as long as one process has them locked.
	 */
	*is_locked = mlock(memory, size) == 0;
#ifdef MADV_DONTDUMP
	(void) madvise(memory, size, MADV_DONTDUMP);
#endif
	return memory;
}

void
MtMemoryUnmap(void *memory, size_t size)
{
	(void) munmap(memory, size);
}
