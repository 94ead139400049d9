/*
 * hsm.c
 *	  Master keys that a key in an HSM unwraps (PKCS#11).
 */
#include "postgres.h"

#include "crypto/hsm.h"

bool
MtHsmUnwrap(const char *file, const char *key_label,
			unsigned char secret[MT_SECRET_BYTES], const char **reason)
{
	*reason = "This build of the library has no PKCS#11.";
	return false;
}
