/*
 * wording.h
 *	  The wording of a statement: its text without literals and comments.
 *
 * Needs nothing of the server but its types: no allocation, no errors.
 */
#ifndef MT_WORDING_H
#define MT_WORDING_H

#include "postgres.h"

/*
 * Writes what fits of the wording into out and returns a hash of the whole: the
 * same for statements that differ in literals, comments and white space only.
 * Never 0.
 */
extern uint64 MtWordingOf(const char *text, int length, char *out, size_t size);

#endif							/* MT_WORDING_H */
