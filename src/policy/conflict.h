/*
 * conflict.h
 *	  The condition of ON CONFLICT DO UPDATE in a statement that is about to be planned.
 */
#ifndef MT_CONFLICT_H
#define MT_CONFLICT_H

#include "postgres.h"
#include "nodes/parsenodes.h"

/*
 * Puts the policies of a protected table before the condition that the statement has
 * for the row that is there already. The query is the planner's, which may write
 * into it.
 */
extern void MtConflictOrder(Query *query);

#endif							/* MT_CONFLICT_H */
