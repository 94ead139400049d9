/*
 * slots.h
 *	  Shared memory: which backend works for which tenant, and the epoch.
 *
 * Exists only with shared_preload_libraries; without it every function here is
 * a harmless no-op and MtSlotsAvailable() says so.
 */
#ifndef MT_SLOTS_H
#define MT_SLOTS_H

#include "postgres.h"
#include "utils/uuid.h"

extern void MtSlotsInit(void);
extern bool MtSlotsAvailable(void);

/* What a tenant of this database is called in a slot; never 0. */
extern uint64 MtSlotTenantKey(const pg_uuid_t *tenant);

/* Notes (0: no longer) that this backend works for a tenant. Never throws. */
extern void MtSlotsSetTenant(uint64 key);

/*
 * The epoch changes when a registry change has committed anywhere. A backend
 * that stored its tenant first and then sees an old epoch is seen by whoever
 * advances the epoch afterwards: both have a full barrier between the two.
 */
extern uint64 MtSlotsEpoch(void);
extern void MtSlotsAdvanceEpoch(void);

/* SIGTERMs every other backend working for that tenant. Never throws. */
extern int	MtSlotsTerminate(uint64 key);

#endif							/* MT_SLOTS_H */
