/*
 * sharedmemory.h
 *	  Pieces of shared memory that modules own, asked for when the server starts.
 */
#ifndef MT_SHAREDMEMORY_H
#define MT_SHAREDMEMORY_H

#include "postgres.h"

typedef struct MtSharedPiece
{
	const char *name;			/* also of its locks */
	int			locks;			/* lightweight ones; 0 for none */
	Size		(*size) (void); /* asked when the server knows how many
								 * processes there may be */
	void		(*start) (void *memory, bool is_new);	/* under a lock; fills
														 * in what is new */
} MtSharedPiece;

/*
 * Asks for a piece, which must live for ever. Does nothing unless the library is being
 * preloaded by the whole server: then start is never called.
 */
extern void MtSharedMemoryRequest(const MtSharedPiece *piece);

#endif							/* MT_SHAREDMEMORY_H */
