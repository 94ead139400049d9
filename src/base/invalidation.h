/*
 * invalidation.h
 *	  One place for cache invalidation: who wants to know registers here.
 */
#ifndef MT_INVALIDATION_H
#define MT_INVALIDATION_H

/*
 * relid: the relation whose relcache entry was invalidated, InvalidOid for all.
 * Called at any moment, also in the middle of a catalog scan: a listener sets
 * flags and counters, never frees, never looks anything up.
 */
typedef void (*MtRelationListener) (Oid relid);

/* A schema, or a role or membership, changed somewhere. The same rule. */
typedef void (*MtCatalogListener) (void);

extern void MtInvalidationInit(void);
extern void MtInvalidationOnRelation(MtRelationListener listener);
extern void MtInvalidationOnSchema(MtCatalogListener listener);
extern void MtInvalidationOnRole(MtCatalogListener listener);

#endif							/* MT_INVALIDATION_H */
