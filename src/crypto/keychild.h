/*
 * keychild.h
 *	  A short-lived process that yields a few bytes.
 */
#ifndef MT_KEYCHILD_H
#define MT_KEYCHILD_H

#include "postgres.h"

#define MT_KEY_CHILD_OUTPUT 3	/* the descriptor that the child writes to */

/*
 * What the child does, in an own process group, with the signals' defaults,
 * nothing to read, stdout and stderr going where the server's stderr goes, no
 * other file open, and without the server's shared memory. Must not return.
 */
typedef void (*MtKeyChildWork) (const void *argument);

/*
 * Runs it and yields what it wrote: the length, or -1 with the reason, which
 * calls it by its name ("command"): it did not end with exit status 0, took
 * longer than the timeout (milliseconds), or wrote more than size bytes. Nothing
 * of it is left running. For the key keeper alone. The caller wipes the buffer.
 * Throws nothing.
 */
extern int	MtKeyChildRun(const char *name, MtKeyChildWork work, const void *argument,
						  int timeout, unsigned char *buffer, size_t size,
						  const char **reason);

#endif							/* MT_KEYCHILD_H */
