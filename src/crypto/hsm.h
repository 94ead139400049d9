/*
 * hsm.h
 *	  Master keys that a key in an HSM unwraps (PKCS#11).
 */
#ifndef MT_HSM_H
#define MT_HSM_H

#include "postgres.h"

#include "crypto/cipher.h"

#define MT_HSM_ANSWER_BYTES 256

/*
 * Unwraps the file with the AES key of that label, in a process of its own. For
 * the key keeper alone. The caller wipes the answer, which is what that process
 * wrote. Throws nothing.
 */
extern bool MtHsmUnwrap(const char *file, const char *key_label, int timeout,
						unsigned char answer[MT_HSM_ANSWER_BYTES],
						unsigned char secret[MT_SECRET_BYTES], const char **reason);

#endif							/* MT_HSM_H */
