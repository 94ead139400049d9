/*
 * watch.h
 *	  Whose steps are recorded for good: break-glass and supervised contexts.
 */
#ifndef MT_WATCH_H
#define MT_WATCH_H

#include "postgres.h"

/* What a context does that is recorded once for each transaction. */
typedef struct MtWatched
{
	Oid			relid;			/* a table, .. */
	bool		writes;			/* .. and whether it is written */
	const char *purpose;		/* or values of a purpose, decrypted; else
								 * NULL */
} MtWatched;

extern void MtWatchInit(void);

/* Can what this context does have to be recorded? Cheap; rarely true for nothing. */
extern bool MtWatchIsOn(void);

/* Does it have to be? */
extern bool MtWatchApplies(void);

/*
 * A statement starts or goes on. If what it does under break-glass is not recorded, none
 * counts that comes about before the client's next message. Throws what catalog reads throw.
 */
extern void MtWatchSettle(void);

/*
 * Records what this transaction has not recorded yet, all of it at once and
 * durably. Throws as MtAuditEmitDurable() does: then the context must not see a row
 * of it. Only where MtWatchApplies().
 */
extern void MtWatchRecord(const MtWatched *uses, int count);

#endif							/* MT_WATCH_H */
