/*
 * keyprovider.h
 *	  Loading master keys from where multitenant.key_provider says.
 */
#ifndef MT_KEYPROVIDER_H
#define MT_KEYPROVIDER_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * Loads the versions that multitenant.key_versions lists into the page and wipes
 * all others: every one again, or those only that are missing. True if there is
 * nothing left to try. A version that cannot be loaded again keeps its key. The
 * keeper records what has changed, and may use every provider; others the file
 * provider only.
 */
extern bool MtKeyProviderLoad(bool all, bool is_keeper, TimestampTz next_try);

#endif							/* MT_KEYPROVIDER_H */
