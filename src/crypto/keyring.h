/*
 * keyring.h
 *	  Signing keys: who may vouch for whom, cached per backend.
 */
#ifndef MT_KEYRING_H
#define MT_KEYRING_H

#include "postgres.h"
#include "crypto/signature.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef struct MtSigningKey
{
	char		kid[65];
	MtVerifyKey *verify_key;	/* NULL: cannot be used, the log says why */
	bool		lacks_master_key;	/* which may come */
	char	  **kinds;
	int			kind_count;
	bool		is_for_all_tenants;
	pg_uuid_t  *tenants;
	int			tenant_count;
	bool		is_for_all_roles;
	char	  **roles;
	int			role_count;
	int64		max_lifetime;	/* seconds */
	TimestampTz not_before;
	TimestampTz not_after;
	bool		is_revoked;
} MtSigningKey;

extern void MtKeyringInit(void);

/*
 * The key of that id, NULL if there is none. Valid until the next call of this
 * function: nothing else empties the cache. Needs MtIsActive().
 */
extern const MtSigningKey *MtKeyringFind(const char *kid);

/*
 * Was this database copied from elsewhere since its keys were added? Then its
 * credentials are worth nothing until adopt_clone() is called.
 */
extern bool MtKeyringIsCopy(void);

/* Changes whenever a key may have changed: also when caches are emptied, say. */
extern uint64 MtKeyringGeneration(void);

/* Changes only when a key has changed. Needs MtIsActive(). */
extern uint64 MtKeyringFingerprint(void);

#endif							/* MT_KEYRING_H */
