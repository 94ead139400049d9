/*
 * leader.h
 *	  What parallel workers must know of their leader besides its settings.
 */
#ifndef MT_LEADER_H
#define MT_LEADER_H

#include "postgres.h"
#include "access/parallel.h"

typedef enum MtLeaderFact
{
	MT_LEADER_IS_SUPERVISED = 1 << 0,	/* its transaction is a supervised
										 * one, also where the context is gone */
	MT_LEADER_WAS_BROUGHT_BACK = 1 << 1,	/* its context is not the one of
											 * its transaction */
	MT_LEADER_MAY_NOT_LOOK_IN = 1 << 2, /* its supervised context has begun
										 * amidst this message */
	MT_LEADER_USES_BREAK_GLASS = 1 << 3 /* what its statement reads under
										 * break-glass is recorded */
} MtLeaderFact;

/* The facts as they were told last; a worker has those of its leader. */
extern int	mt_leader_facts;

extern void MtLeaderInit(void);

/* Whoever knows it says whether the fact is true now. */
extern void MtLeaderOnTell(MtLeaderFact fact, bool (*is_true) (void));

/* Gathers the facts for workers that may be started next. */
extern void MtLeaderTell(void);

/* Is this a parallel worker, and is the fact true of its leader? */
static inline bool
MtLeaderSaid(MtLeaderFact fact)
{
	return unlikely((mt_leader_facts & fact) != 0) && IsParallelWorker();
}

#endif							/* MT_LEADER_H */
