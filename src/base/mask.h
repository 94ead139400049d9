/*
 * mask.h
 *	  Finds credentials in any text and masks them.
 *
 * Needs nothing of the server: no allocation, no errors. Every text ends with
 * a NUL and keeps its length; a NULL text contains nothing.
 */
#ifndef MT_MASK_H
#define MT_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* A row of credential characters shorter than this holds no secret. */
#define MT_MASK_MINIMUM_RUN 8

/*
 * Bytes compared in search of pieces, a second at the worst: enough for a token
 * of 1 kB and a message of 4 MB.
 */
#define MT_MASK_MAXIMUM_WORK ((size_t) 1 << 28)

/* Does the text contain something that looks like a credential? */
extern bool MtContainsCredential(const char *text);

/* False: certainly not, which is soon said of most texts. */
extern bool MtMayContainCredential(const char *text);

/* Does it contain the beginning of one as decimal bytes, as node trees do? */
extern bool MtContainsSpelledCredential(const char *text);

/* Masks every credential in place; true if there was one. */
extern bool MtMaskCredentials(char *text);

/*
 * Masks in place every row of credential characters that is a piece of one of
 * the statement's credentials; where finding out would take too long, every row.
 */
extern void MtMaskPieces(char *text, const char *statement);

#endif							/* MT_MASK_H */
