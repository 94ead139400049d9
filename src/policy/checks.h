/*
 * checks.h
 *	  The checks of new rows in a finished plan.
 */
#ifndef MT_CHECKS_H
#define MT_CHECKS_H

#include "postgres.h"
#include "nodes/plannodes.h"

/* Leaves out the checks of new rows whose answer is certain. */
extern void MtChecksSimplify(PlannedStmt *statement);

#endif							/* MT_CHECKS_H */
