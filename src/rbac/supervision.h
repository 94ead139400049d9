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
 * The tenants of which the principal is an operator and into which it may look at this
 * moment, by slug; palloc'd.
 */
extern MtTenant *MtSupervisionTenants(const char *principal, int *count);

#endif							/* MT_SUPERVISION_H */
