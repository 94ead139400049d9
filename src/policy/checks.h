/*
 * checks.h
 *	  The checks of new rows in a statement that is about to be planned.
 */
#ifndef MT_CHECKS_H
#define MT_CHECKS_H

#include "postgres.h"
#include "nodes/parsenodes.h"

/*
 * Leaves out the checks of new rows whose answer is certain. The query is the
 * planner's, which may write into it.
 */
extern void MtChecksSimplify(Query *query);

#endif							/* MT_CHECKS_H */
