/*
 * redact.h
 *	  Keeps credentials out of the log, of statistics and of activity.
 */
#ifndef MT_REDACT_H
#define MT_REDACT_H

#include "postgres.h"

extern void MtRedactInit(void);

/* Reports this backend's activity again, masked, if the running text needs it. */
extern void MtRedactActivity(void);

#endif							/* MT_REDACT_H */
