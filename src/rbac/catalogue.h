/*
 * catalogue.h
 *	  The permissions that there are, and their numbers in this session.
 */
#ifndef MT_CATALOGUE_H
#define MT_CATALOGUE_H

#include "postgres.h"
#include "base/compat.h"

#define MT_PERMISSION_MAX 128	/* bytes of a name; the tables' CHECKs say the
								 * same */

/*
 * Reads the catalogue anew. A permission keeps its number as long as the session
 * lasts, or until MtCatalogueForget(). May throw what catalog reads throw; then
 * the catalogue is what it was.
 */
extern void MtCatalogueRead(void);

/* Has it been read, and not been forgotten since? */
extern bool MtCatalogueIsRead(void);

/* Are there more numbers of permissions that are gone than it is worth to keep? */
extern bool MtCatalogueIsWorn(void);

/* Gives every permission another number: whoever keeps numbers or sets forgets them first. */
extern void MtCatalogueForget(void);

/* Numbers given so far: sets have a bit for each. */
extern int	MtCatalogueCount(void);

/* The number of a permission; -1 if there is none of that name. */
extern int	MtCatalogueNumber(const char *name, size_t length);

/*
 * Throws 42704, with the permission that has the most similar name as a hint. Security: a
 * name that is spelled wrong must not look like a permission that is not held.
 */
MT_NORETURN extern void MtCatalogueRaiseUnknown(const char *name, size_t length);

/* Adds to the set what a pattern of a role permits: "resource:action", either may be "*". */
extern void MtCatalogueSpread(const char *pattern, size_t length, uint64 *set);

#endif							/* MT_CATALOGUE_H */
