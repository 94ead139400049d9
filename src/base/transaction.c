/*
 * transaction.c
 *	  The library's only callbacks for the end of (sub)transactions.
 *
 * The server calls them twice for each statement that is a transaction of its own,
 * and whether there is anything to do can be told at once for all modules. Owns
 * the lists of listeners, which are filled while the library is loaded and never
 * change afterwards, and whether anybody has noted something.
 *
 * Invariant: nothing is noted when a transaction begins.
 */
#include "postgres.h"

#include "base/hot.h"
#include "base/transaction.h"

#define MAX_LISTENERS 16		/* one per module is plenty */

static MT_HOT bool is_noted = false;
static MtTransactionListener listeners[MAX_LISTENERS];
static int	listener_count = 0;
static MtSubtransactionListener sub_listeners[MAX_LISTENERS];
static int	sub_listener_count = 0;

/* Of temporary objects nobody is told when they are made or used. */
static bool
has_something(void)
{
	return is_noted || (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0;
}

static pg_noinline void
tell(XactEvent event)
{
	for (int i = listener_count - 1; i >= 0; i--)
		listeners[i] (event);
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
		is_noted = false;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (unlikely(has_something() || event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT))
		tell(event);
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					void *arg)
{
	if (!has_something() && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (int i = sub_listener_count - 1; i >= 0; i--)
		sub_listeners[i] (event, subid, parent);
}

void
MtTransactionOnEnd(MtTransactionListener listener)
{
	if (listener_count >= MAX_LISTENERS)
		elog(ERROR, "too many transaction listeners");
	listeners[listener_count++] = listener;
}

void
MtTransactionOnSubEnd(MtSubtransactionListener listener)
{
	if (sub_listener_count >= MAX_LISTENERS)
		elog(ERROR, "too many subtransaction listeners");
	sub_listeners[sub_listener_count++] = listener;
}

void
MtTransactionNote(void)
{
	is_noted = true;
}

/* Registers the callbacks; they cannot be taken back, so this runs once. */
void
MtTransactionInit(void)
{
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
}
