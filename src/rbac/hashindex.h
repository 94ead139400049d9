/*
 * hashindex.h
 *	  Finds numbers by hash: what an array is looked up with.
 */
#ifndef MT_HASHINDEX_H
#define MT_HASHINDEX_H

#include "postgres.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

typedef struct MtHashSlot
{
	uint32		hash;
	int32		number;			/* -1: free */
} MtHashSlot;

/* Begin with zeros. Never more than half full, so that a search ends. */
typedef struct MtHashIndex
{
	uint32		mask;
	uint32		used;
	MtHashSlot *slots;			/* NULL: empty */
} MtHashIndex;

/*
 * for (MtHashSlot *slot = MtHashFirst(index, hash); slot != NULL; slot = MtHashNext(index, hash, slot)):
 * those with the hash, of which the caller compares what they stand for.
 */
static inline const MtHashSlot *
MtHashFrom(const MtHashIndex *index, uint32 hash, uint32 place)
{
	for (;; place++)
	{
		const MtHashSlot *slot = &index->slots[place & index->mask];

		if (slot->number < 0)
			return NULL;
		if (slot->hash == hash)
			return slot;
	}
}

static inline const MtHashSlot *
MtHashFirst(const MtHashIndex *index, uint32 hash)
{
	return index->slots == NULL ? NULL : MtHashFrom(index, hash, hash);
}

static inline const MtHashSlot *
MtHashNext(const MtHashIndex *index, uint32 hash, const MtHashSlot *slot)
{
	return MtHashFrom(index, hash, (uint32) (slot - index->slots) + 1);
}

/* Makes the index one for count numbers, empty, in the current memory context. */
static inline void
MtHashMake(MtHashIndex *index, uint32 count)
{
	uint32		size = pg_nextpower2_32(Max(count, 4) * 2);

	index->slots = palloc_extended(size * sizeof(MtHashSlot), MCXT_ALLOC_HUGE);
	memset(index->slots, 0xff, size * sizeof(MtHashSlot));
	index->mask = size - 1;
	index->used = 0;
}

/* Adds a number to an index that was made for one more. */
static inline void
MtHashAdd(MtHashIndex *index, uint32 hash, int32 number)
{
	uint32		place = hash & index->mask;

	Assert(index->used * 2 <= index->mask);
	while (index->slots[place].number >= 0)
		place = (place + 1) & index->mask;
	index->slots[place].hash = hash;
	index->slots[place].number = number;
	index->used++;
}

#endif							/* MT_HASHINDEX_H */
