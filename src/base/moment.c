/*
 * moment.c
 *	  The time that decides whether something has ended.
 *
 * Security: the clock, and not when the client's message began: a DO block, a
 * procedure, or many statements in one message go on as long as who sends them likes.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "base/moment.h"
#include "datatype/timestamp.h"
#include "utils/timestamp.h"

TimestampTz
MtCoarseTimestamp(void)
{
#ifdef CLOCK_REALTIME_COARSE
	const int64 epoch = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0)
		return (now.tv_sec - epoch) * USECS_PER_SEC + now.tv_nsec / 1000;
#endif
	return GetCurrentTimestamp();
}

TimestampTz
MtMoment(void)
{
	TimestampTz now = MtCoarseTimestamp();

	return Max(now, GetCurrentStatementStartTimestamp());
}
