/*
 * keyusage.h
 *	  How many values each key has sealed since that was last written to its row.
 *
 * A budget, not a safeguard: nonces do not repeat whatever is counted here.
 */
#ifndef MT_KEYUSAGE_H
#define MT_KEYUSAGE_H

#include "postgres.h"

/* Values that a key may seal before another takes its place (keys of class data). */
#define MT_KEY_USES_SOFT_LIMIT (INT64CONST(1) << 31)

extern void MtKeyUsageInit(void);

/* Adds to what all sessions have counted. Never throws; cheap, without a lock. */
extern void MtKeyUsageAdd(int64 key, uint32 uses);

/* What has been counted and is not in the key's row yet. */
extern int64 MtKeyUsageOf(int64 key);

/* Changes when counts have come into rows, of whatever key. */
extern uint64 MtKeyUsageWritten(void);

/* Uses that were not counted for want of room, since the server's start. */
extern uint64 MtKeyUsageLost(void);

/* ---- for worker/keyusage.c ---- */

typedef struct MtKeyUses
{
	int64		key;
	int64		uses;
} MtKeyUses;

#define MT_KEY_USES_MAX 65536

/* Takes the counts of a database away, at most limit; a key may be among them twice. */
extern int	MtKeyUsageTake(Oid database, MtKeyUses *uses, int limit);
extern void MtKeyUsageNoteWritten(void);

#endif							/* MT_KEYUSAGE_H */
