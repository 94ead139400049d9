/*
 * lifecycle.c
 *	  Ending the sessions of a tenant once its suspension is committed.
 *
 * Owns the list of tenants whose sessions end at commit. The lifecycle functions
 * themselves are SQL; this is the part that SQL cannot do.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/slots.h"
#include "base/transaction.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "tenant/access.h"
#include "tenant/lifecycle.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_end_sessions);

#define MAX_PENDING 64			/* tenants suspended in one transaction */

static uint64 pending[MAX_PENDING];
static int	pending_count = 0;

/*
 * The suspension is visible to others by now. First the epoch, then the slots:
 * a session that set its context before is found in its slot, one that sets it
 * later sees the epoch and reads the new state.
 */
static void
transaction_ended(XactEvent event)
{
	if (event == XACT_EVENT_PRE_PREPARE && pending_count > 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a transaction that ends the sessions of a tenant cannot be prepared"),
				errhint("Suspend without terminate, or commit in one phase."));
	if (event == XACT_EVENT_COMMIT && pending_count > 0)
	{
		MtSlotsAdvanceEpoch();
		for (int i = 0; i < pending_count; i++)
			MtSlotsTerminate(pending[i]);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		pending_count = 0;
}

void
MtLifecycleInit(void)
{
	MtTransactionOnEnd(transaction_ended);
}

/*
 * multitenant._end_sessions(tenant uuid): at commit, ends every session that
 * works for the tenant. A subtransaction that is rolled back leaves the order
 * standing; ending sessions of an active tenant costs a reconnect.
 */
Datum
mt_end_sessions(PG_FUNCTION_ARGS)
{
	MtAccessRequire(MT_MAY_SUSPEND, "ending the sessions of a tenant");
	if (!MtSlotsAvailable())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("ending sessions needs the library in shared_preload_libraries"),
				errhint("Suspend without terminate: the next statement of every session is refused then."));
	if (pending_count >= MAX_PENDING)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("too many tenants suspended with terminate in one transaction"),
				errhint("Commit after every %d tenants.", MAX_PENDING));
	MtTransactionNote();
	pending[pending_count++] = MtSlotTenantKey(PG_GETARG_UUID_P(0));
	PG_RETURN_VOID();
}
