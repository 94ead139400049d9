/*
 * moment.h
 *	  The time that decides whether something has ended.
 */
#ifndef MT_MOMENT_H
#define MT_MOMENT_H

#include "postgres.h"
#include "datatype/timestamp.h"

/*
 * The time to a few milliseconds, for a fifth of what the exact one costs where the
 * system keeps it.
 */
extern TimestampTz MtCoarseTimestamp(void);

/*
 * The same, and never before the client's message began: to be compared with the end of
 * what somebody may do. Ask only where there is an end.
 */
extern TimestampTz MtMoment(void);

#endif							/* MT_MOMENT_H */
