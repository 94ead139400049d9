/*
 * rolebook.h
 *	  What the roles of a tenant, and the templates, permit.
 */
#ifndef MT_ROLEBOOK_H
#define MT_ROLEBOOK_H

#include "postgres.h"
#include "utils/uuid.h"

typedef struct MtRoleBook MtRoleBook;

/* An empty one in the memory context, which keeps all of it. */
extern MtRoleBook *MtRoleBookMake(MemoryContext context, const pg_uuid_t *tenant);

/*
 * What the role permits with everything that it has of its parents, as a set of
 * MtSetWords(MtCatalogueCount()) words, which must not have grown since the book was
 * made. NULL if it is no role of the tenant and no template. The set lives as long as
 * the book. May throw what catalog reads throw; the book is then as good as before.
 */
extern const uint64 *MtRoleBookPermissions(MtRoleBook *book, const pg_uuid_t *role);

#endif							/* MT_ROLEBOOK_H */
