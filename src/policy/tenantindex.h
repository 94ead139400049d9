/*
 * tenantindex.h
 *	  What shows the rows of one tenant only: conditions, indexes, partitions.
 */
#ifndef MT_TENANTINDEX_H
#define MT_TENANTINDEX_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/primnodes.h"
#include "utils/relcache.h"

extern void MtTenantIndexInit(void);

/* The condition by which row security filters a relation, if that is all it does. */
typedef struct MtTenantFilter
{
	Index		varno;			/* of the relation in the query or the plan */
	AttrNumber	column;			/* 0: not known, nothing is the condition */
	bool		is_folded;		/* the plan is for the current tenant alone */
	bool		has_shared_rows;	/* rows without a tenant are everybody's */
} MtTenantFilter;

/*
 * Is the node "column = accessor()", or "column = the current tenant" in a plan
 * that is for this tenant alone?
 */
extern bool MtIsTenantCondition(Node *node, const MtTenantFilter *filter);

/*
 * The tenant column of a protected relation; of a child that has no policies of its
 * own, the column of its parent's name. 0 if not known. Reads catalogs.
 */
extern AttrNumber MtTenantColumnOf(Oid relid);

/*
 * Is what runs inside of an index the server's own code: an access method of the
 * server, and operator families of the server or of btree_gin and pg_trgm?
 */
extern bool MtIsTrustedIndex(Oid method, const Oid *families, int count);

/* The same of an operator. */
extern bool MtIsTrustedOperator(Oid operator);

/* The two kinds of index in which a first column keeps the others from being seen. */
extern bool MtIsLedByFirstColumn(Oid method);

/*
 * Can the relation have rows of the current tenant only: is it, or is it below, a
 * list partition of this tenant alone, since before any snapshot in use? Only in a
 * plan that is for this tenant alone. The caller holds a lock.
 */
extern bool MtHoldsOneTenant(Oid relid, const MtTenantFilter *filter);

#endif							/* MT_TENANTINDEX_H */
