/*
 * observations.h
 *	  Shared memory: what would be refused if observed tables were protected.
 *
 * Exists only with shared_preload_libraries; without it nothing is counted and
 * MtObservationsAvailable() says so. Nothing here throws for want of room.
 */
#ifndef MT_OBSERVATIONS_H
#define MT_OBSERVATIONS_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* What is counted of one table, role, application and statement. */
typedef enum MtCount
{
	MT_COUNT_STATEMENTS,		/* all of them, of the table as a whole */
	MT_COUNT_WITHOUT_CONTEXT,	/* statements */
	MT_COUNT_BYPASSING,			/* statements that row security would not
								 * filter */
	MT_COUNT_LEGACY,			/* statements of a legacy role */
	MT_COUNT_FOREIGN_READ,		/* rows */
	MT_COUNT_FOREIGN_WRITTEN,	/* rows */
	MT_COUNT_WITHOUT_TENANT,	/* rows, read or written */
	MT_COUNT_UNSEEN				/* scans whose rows do not tell their tenant */
} MtCount;
#define MT_COUNTS (MT_COUNT_UNSEEN + 1)

/* Statements are kept up to this many bytes, the end of the string included. */
#define MT_OBSERVED_TEXT 1024

/* Where one combination is counted; valid until the observations are forgotten. */
typedef struct MtObservation
{
	int			index;			/* negative: nowhere */
	uint64		generation;
} MtObservation;

/* A copy of what is counted, for reports. */
typedef struct MtObserved
{
	Oid			relid;
	Oid			role;			/* InvalidOid: the table as a whole */
	char		application[NAMEDATALEN];
	char		statement[MT_OBSERVED_TEXT];
	TimestampTz first;
	TimestampTz last;
	uint64		counts[MT_COUNTS];
} MtObserved;

extern void MtObservationsInit(void);
extern bool MtObservationsAvailable(void);

/*
 * Where this session counts for a table and a statement; text is the statement
 * as it was sent, NULL for the table as a whole. It is kept without its literals
 * and credentials. Allocates nothing that stays; index is negative if there is
 * no room.
 */
extern MtObservation MtObservationOf(Oid relid, const char *text, int length);

/* Counts. May be called while a transaction is being cleaned up; never throws. */
extern void MtObservationAdd(MtObservation observation, MtCount count, uint64 number);

/* All observations of this database, palloc'd. */
extern MtObserved *MtObservationsRead(int *number);

/* How often something found no room to be counted, in all databases. */
extern uint64 MtObservationsLost(void);

/* Forgets the observations of this database: all, or those of one table. */
extern void MtObservationsForget(Oid relid);

#endif							/* MT_OBSERVATIONS_H */
