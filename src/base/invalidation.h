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

/* What is listened to as a whole. */
typedef enum MtCatalog
{
	MT_CATALOG_SCHEMAS,
	MT_CATALOG_ROLES,			/* and their memberships */
	MT_CATALOG_FUNCTIONS,
} MtCatalog;

#define MT_CATALOG_COUNT (MT_CATALOG_FUNCTIONS + 1)

/* Something in the catalog changed. The same rule. */
typedef void (*MtCatalogListener) (void);

extern void MtInvalidationInit(void);
extern void MtInvalidationOnRelation(MtRelationListener listener);
extern void MtInvalidationOnCatalog(MtCatalog catalog, MtCatalogListener listener);

/*
 * Makes the plan cache forget the plans that have an invalidation item of PROCOID
 * with this hash value, without analyzing their statements again. Looks nothing up;
 * no listener of ours is told, for no function has changed.
 */
extern void MtInvalidationForgetPlans(uint32 hash);

#endif							/* MT_INVALIDATION_H */
