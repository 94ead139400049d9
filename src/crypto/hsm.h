/*
 * hsm.h
 *	  Master keys that a key in an HSM unwraps (PKCS#11).
 */
#ifndef MT_HSM_H
#define MT_HSM_H

#include "postgres.h"

#include "crypto/cipher.h"

/*
 * Unwraps the file with the AES key of that label. For the key keeper alone:
 * the module of the HSM stays in the process. Throws nothing.
 */
extern bool MtHsmUnwrap(const char *file, const char *key_label,
						unsigned char secret[MT_SECRET_BYTES], const char **reason);

#endif							/* MT_HSM_H */
