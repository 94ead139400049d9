/*
 * keyusage.h
 *	  How many values each key has sealed since that was last written to its row.
 *
 * A budget, not a safeguard: nonces do not repeat whatever is counted here.
 */
#ifndef MT_KEYUSAGE_H
#define MT_KEYUSAGE_H

#include "postgres.h"

extern void MtKeyUsageInit(void);

/* Adds to what all sessions have counted. Never throws; cheap, without a lock. */
extern void MtKeyUsageAdd(int64 key, uint32 uses);

/* What has been counted and is not in the key's row yet. */
extern int64 MtKeyUsageOf(int64 key);

#endif							/* MT_KEYUSAGE_H */
