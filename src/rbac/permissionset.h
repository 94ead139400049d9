/*
 * permissionset.h
 *	  A set of permissions: one bit for each number of the catalogue.
 */
#ifndef MT_PERMISSIONSET_H
#define MT_PERMISSIONSET_H

#include "postgres.h"

#define MT_SET_WORD_BITS 64

/* Words of a set of the permissions that have numbers below count. */
static inline int
MtSetWords(int count)
{
	return (count + MT_SET_WORD_BITS - 1) / MT_SET_WORD_BITS;
}

/* Is the permission in the set? One that the set has no word for is not. */
static inline bool
MtSetHas(const uint64 *set, int words, int permission)
{
	int			word = permission / MT_SET_WORD_BITS;

	return permission >= 0 && word < words &&
		(set[word] & (UINT64CONST(1) << (permission % MT_SET_WORD_BITS))) != 0;
}

static inline void
MtSetAdd(uint64 *set, int permission)
{
	set[permission / MT_SET_WORD_BITS] |= UINT64CONST(1) << (permission % MT_SET_WORD_BITS);
}

/* Adds what is in the other set. */
static inline void
MtSetUnite(uint64 *set, const uint64 *other, int words)
{
	for (int i = 0; i < words; i++)
		set[i] |= other[i];
}

#endif							/* MT_PERMISSIONSET_H */
