/*
 * redact.h
 *	  Keeps credentials out of the log, of statistics and of activity.
 */
#ifndef MT_REDACT_H
#define MT_REDACT_H

#include "postgres.h"

#include "nodes/parsenodes.h"

extern void MtRedactInit(void);

/* Reports this backend's activity again, masked, if the running text needs it. */
extern void MtRedactActivity(void);

/* Has this session been given a credential, so that it may? */
extern bool MtRedactIsNeeded(void);

/*
 * The first moment the library sees a statement: is there a credential in its text?
 * Then it is hidden from activity. Its query id goes before and after others look.
 */
extern bool MtRedactStatement(const char *text);
extern void MtRedactQueryId(Query *query);

#endif							/* MT_REDACT_H */
