/*
 * membership.h
 *	  Is a principal an active member of a tenant?
 */
#ifndef MT_MEMBERSHIP_H
#define MT_MEMBERSHIP_H

#include "postgres.h"
#include "base/errors.h"
#include "datatype/timestamp.h"
#include "tenant/identity.h"

/*
 * May the principal act as a member of the tenant: is it not disabled,
 * and its membership active and not expired? *until, unless until is NULL, is when that
 * ends although nothing has changed; DT_NOEND: never. Needs MtIsActive() and, for what other
 * sessions have committed, MtRegistryAccept(). May throw what catalog reads throw.
 */
extern bool MtMembershipIsActive(const pg_uuid_t *tenant, const char *principal, TimestampTz *until);

/* Is it known and disabled? The same conditions. */
extern bool MtPrincipalIsDisabled(const char *principal);

/*
 * Does what is known of the principal of this context, and of its membership, let
 * the context go on? *until is when to ask again although nothing has changed;
 * DT_NOEND: never. The same conditions.
 */
extern bool MtMembershipAllows(const MtContext *context, TimestampTz *until,
							   MtDenial *denial);

#endif							/* MT_MEMBERSHIP_H */
