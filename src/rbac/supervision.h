/*
 * supervision.h
 *	  Who may look into a tenant from outside, and whether that still holds.
 */
#ifndef MT_SUPERVISION_H
#define MT_SUPERVISION_H

#include "postgres.h"
#include "base/errors.h"
#include "datatype/timestamp.h"
#include "tenant/registry.h"

extern void MtSupervisionInit(void);

/*
 * May the principal, an operator, look into the tenant now, and until when at most?
 * False with MT008. Read with the latest snapshot.
 */
extern bool MtSupervisionMay(const MtTenant *tenant, const char *principal,
							 TimestampTz *until, MtDenial *denial);

/*
 * The tenants of which the principal is an operator, each with MtSupervisionMay()
 * at this moment, by slug; palloc'd.
 */
extern MtTenant *MtSupervisionTenants(const char *principal, int *count);

#endif							/* MT_SUPERVISION_H */
