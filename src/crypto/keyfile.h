/*
 * keyfile.h
 *	  Secrets in files of the server.
 */
#ifndef MT_KEYFILE_H
#define MT_KEYFILE_H

#include "postgres.h"

#include "crypto/cipher.h"

/* Bytes of a master key as providers give it: 64 hexadecimal digits and the end of a line. */
#define MT_KEY_TEXT_BYTES (2 * MT_SECRET_BYTES + 2)

/*
 * Reads a whole file of at most size bytes; its length, or -1 with the reason,
 * which names no path and is valid until the next call. Throws nothing. The
 * caller wipes the buffer.
 */
extern int	MtReadSecretFile(const char *path, unsigned char *buffer, size_t size,
							 const char **reason);

/* A key of 32 bytes, or of 64 hexadecimal digits with or without the end of the line. */
extern bool MtParseKey(const unsigned char *text, size_t length,
					   unsigned char secret[MT_SECRET_BYTES], const char **reason);

/*
 * The pattern with % and that letter replaced and %% by %, palloc'd; NULL if another
 * % is in it.
 */
extern char *MtReplacePercent(const char *pattern, char letter, const char *with);

/* The same of %v, a version. */
extern char *MtReplaceVersion(const char *pattern, int version);

/* Is that file, or the directory where it would be, inside the data directory? */
extern bool MtIsInDataDirectory(const char *path);

#endif							/* MT_KEYFILE_H */
