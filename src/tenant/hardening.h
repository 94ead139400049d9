/*
 * hardening.h
 *	  What application roles are denied beyond rows, and by which name a role
 *	  can be allowed it again.
 */
#ifndef MT_HARDENING_H
#define MT_HARDENING_H

#include "postgres.h"

/* One bit each: what is denied to application roles unless it is allowed. */
typedef enum MtAllowance
{
	MT_ALLOW_ACTIVITY = 1 << 0,
	MT_ALLOW_ADVISORY_LOCKS = 1 << 1,
	MT_ALLOW_EXPLAIN = 1 << 2,
	MT_ALLOW_HELD_CURSORS = 1 << 3,
	MT_ALLOW_LARGE_OBJECTS = 1 << 4,
	MT_ALLOW_LOCK = 1 << 5,
	MT_ALLOW_LOGICAL_MESSAGES = 1 << 6,
	MT_ALLOW_NOTIFY = 1 << 7,
	MT_ALLOW_PREPARED_TRANSACTIONS = 1 << 8,
	MT_ALLOW_REFERENCES = 1 << 9,
	MT_ALLOW_ROW_VERSIONS = 1 << 10,
	MT_ALLOW_SIGNALS = 1 << 11,
	MT_ALLOW_SIZES = 1 << 12,
	MT_ALLOW_SNAPSHOTS = 1 << 13,
	MT_ALLOW_STATISTICS = 1 << 14,
	MT_ALLOW_TRIGGERS = 1 << 15,
	MT_ALLOW_TRUNCATE = 1 << 16,
	MT_ALLOW_ROLE_SETTINGS = 1 << 17
} MtAllowance;

#define MT_ALLOW_ALL ((uint32) 0x3FFFF)

/* The name by which grant_access() allows it, and what it is, for messages. */
extern const char *MtHardeningName(MtAllowance allowance);
extern const char *MtHardeningSubject(MtAllowance allowance);

/* The bit of a name; 0 if this library does not know it. */
extern uint32 MtHardeningByName(const char *name);

#endif							/* MT_HARDENING_H */
