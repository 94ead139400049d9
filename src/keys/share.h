/*
 * share.h
 *	  Shares of tenants' keys that are kept outside of the server.
 *
 * Where a tenant's key has a share, neither the master key nor the key table nor both open it.
 */
#ifndef MT_SHARE_H
#define MT_SHARE_H

#include "postgres.h"

#include "base/errors.h"
#include "crypto/cipher.h"
#include "utils/uuid.h"

/*
 * Has the command of multitenant.share_command yield a tenant's share. False with the reason
 * (MT020). Takes as long as the command does, at most multitenant.key_timeout. The
 * caller wipes the share.
 */
extern bool MtShareGet(const pg_uuid_t *tenant, unsigned char share[MT_SECRET_BYTES],
					   MtDenial *denial);

/* Makes of a master key the one that wraps the tenant's key; false: OpenSSL failed. Never throws. */
extern bool MtShareMix(unsigned char master[MT_SECRET_BYTES], const pg_uuid_t *tenant,
					   const unsigned char share[MT_SECRET_BYTES]);

#endif							/* MT_SHARE_H */
