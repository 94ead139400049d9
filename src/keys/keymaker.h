/*
 * keymaker.h
 *	  Making keys of tenants and keys for values, and unwrapping them.
 */
#ifndef MT_KEYMAKER_H
#define MT_KEYMAKER_H

#include "postgres.h"

#include "base/errors.h"
#include "keys/keytable.h"

/*
 * Unwraps a key for values. False with the reason (MT020): its own or the tenant's key is
 * suspended or destroyed, the master key is not loaded or not the one. The caller
 * wipes the secret. Throws only what reading a table throws.
 */
extern bool MtKeyUnwrap(const MtCekRow *row, unsigned char secret[MT_SECRET_BYTES],
						MtDenial *denial);

/* The same of a tenant's own key, suspended or not. */
extern bool MtTenantKeyUnwrap(const MtKekRow *row, unsigned char secret[MT_SECRET_BYTES],
							  MtDenial *denial);

/*
 * Makes the first key of a tenant for a purpose and class, and the tenant's own key
 * if it has none; finds them if another session was first, for which it waits. False
 * with the reason (MT020, 25006). May throw as any insert may.
 */
extern bool MtKeyMake(const pg_uuid_t *tenant, const char *purpose, char class, MtCekRow *row,
					  MtDenial *denial);

/* Is it 1 to 63 of a-z 0-9 . _ - ? */
extern bool MtIsPurpose(const char *text, size_t length);

#endif							/* MT_KEYMAKER_H */
