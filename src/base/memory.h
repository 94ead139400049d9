/*
 * memory.h
 *	  Memory that holds keys: hidden from other processes, never swapped out.
 */
#ifndef MT_MEMORY_H
#define MT_MEMORY_H

#include "postgres.h"

/*
 * Hides this process's memory, and that of processes forked from it, from
 * processes of the same user, and from core files. False where the system
 * cannot. It is never shown again.
 */
extern bool MtMemoryHide(void);
extern bool MtMemoryIsHidden(void);

/*
 * Zeroed whole pages left out of core files, shared with processes forked later
 * or private; NULL with errno if there are none. *is_locked: they cannot be
 * swapped out.
 */
extern void *MtMemoryMap(size_t size, bool is_shared, bool *is_locked);

/* Gives them back, in this process. */
extern void MtMemoryUnmap(void *memory, size_t size);

#endif							/* MT_MEMORY_H */
