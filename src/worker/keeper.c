/*
 * keeper.c
 *	  The key keeper: the one process that loads master keys.
 *
 * A background worker in no database, on a primary and on a standby, from before
 * recovery on. Owns when the keys are loaded: at its start, when the
 * configuration is reloaded, when somebody asks, and after failures again and
 * again, more and more seldom. A provider that is down delays nobody but those
 * who need its keys.
 *
 * Security: it loads what the administrator's settings name and does nothing
 * else; no outside input is parsed or verified where an HSM is logged in.
 */
#include "postgres.h"

#include "crypto/keypage.h"
#include "crypto/keyprovider.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/keeper.h"

PGDLLEXPORT void mt_keeper_main(Datum argument);

#define FIRST_DELAY 1000		/* ms after the first failure, doubled each
								 * time */
#define LAST_DELAY 60000

void
MtKeeperInit(void)
{
	BackgroundWorker worker = {0};

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	strlcpy(worker.bgw_name, "multitenant key keeper", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "multitenant key keeper", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "multitenant", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "mt_keeper_main", sizeof(worker.bgw_function_name));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

static void
say_goodbye(int code, Datum argument)
{
	MtKeyPageServe(false);
}

void
mt_keeper_main(Datum argument)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "multitenant key keeper",
												  ALLOCSET_SMALL_SIZES);
	int			delay = 0;		/* 0: nothing has failed */
	bool		all = true;
	TimestampTz next_try = GetCurrentTimestamp();

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(say_goodbye, (Datum) 0);
	MtKeyPageServe(true);
	MemoryContextSwitchTo(context);

	while (!ShutdownRequestPending)
	{
		uint64		request;
		long		timeout = -1;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		request = MtKeyPageRequested();
		if (ConfigReloadPending || request != MtKeyPageAnswered())
		{
			/* Who asks may have changed the settings a moment ago. */
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			all = true;
			delay = 0;
		}
		if (all || (delay > 0 && GetCurrentTimestamp() >= next_try))
		{
			delay = delay == 0 ? FIRST_DELAY : Min(2 * delay, LAST_DELAY);
			next_try = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
			if (MtKeyProviderLoad(all, true, next_try))
				delay = 0;
			all = false;
			MtKeyPageAnswer(request);
			MemoryContextReset(context);
		}
		if (delay > 0)
			timeout = Max(1, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_try));
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout, PG_WAIT_EXTENSION);
	}

	/* Not 0, which would mean that the work is done for good. */
	proc_exit(1);
}
