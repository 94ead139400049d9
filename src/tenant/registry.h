/*
 * registry.h
 *	  The tenants of this database, read by id, number or slug.
 */
#ifndef MT_REGISTRY_H
#define MT_REGISTRY_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#define MT_SLUG_MAX 128			/* bytes; the table's CHECK says the same */

typedef enum MtTenantState
{
	MT_TENANT_ACTIVE,
	MT_TENANT_SUSPENDED,
	MT_TENANT_DELETED
} MtTenantState;

/* What who looks after a tenant may see of it. */
typedef enum MtVisibility
{
	MT_VISIBILITY_NONE,
	MT_VISIBILITY_METADATA,
	MT_VISIBILITY_SUPERVISED
} MtVisibility;

typedef struct MtTenant
{
	pg_uuid_t	id;				/* first: the hash key */
	int64		number;
	MtTenantState state;
	MtVisibility visibility;
	TimestampTz supervised_from;	/* what began before counts no more */
	char		slug[MT_SLUG_MAX + 1];
} MtTenant;

extern void MtRegistryInit(void);

/*
 * Finds a tenant; false if there is none. *out is a copy. Needs MtIsActive();
 * may throw only what catalog reads throw.
 */
extern bool MtRegistryById(const pg_uuid_t *id, MtTenant *out);
extern bool MtRegistryByNumber(int64 number, MtTenant *out);
extern bool MtRegistryBySlug(const char *slug, MtTenant *out);

/* A uuid in text form, otherwise a slug. */
extern bool MtRegistryByText(const char *text, MtTenant *out);

/* Parses a uuid without throwing. */
extern bool MtUuidFromText(const char *text, pg_uuid_t *out);

/*
 * Changes whenever a tenant may have changed, or who belongs to it or looks after
 * it, here or in another session.
 * Compare it after MtRegistryAccept().
 */
extern uint64 MtRegistryGeneration(void);

/* Takes in what other sessions have committed. Cheap when there is nothing. */
extern void MtRegistryAccept(void);

#endif							/* MT_REGISTRY_H */
