/*
 * transaction.h
 *	  The end of a transaction: one place for everybody who waits for it.
 */
#ifndef MT_TRANSACTION_H
#define MT_TRANSACTION_H

#include "postgres.h"
#include "access/xact.h"

/* Listeners are called in the reverse of the order in which they came. */
typedef void (*MtTransactionListener) (XactEvent event);
typedef void (*MtSubtransactionListener) (SubXactEvent event, SubTransactionId subid,
										  SubTransactionId parent);

extern void MtTransactionInit(void);

/*
 * A listener hears of every abort. Of everything else it hears only in a
 * transaction in which somebody called MtTransactionNote(), or that used temporary
 * objects: most statements of an application are a transaction, with nothing to do
 * at its end. So who keeps something until then says so.
 */
extern void MtTransactionOnEnd(MtTransactionListener listener);
extern void MtTransactionOnSubEnd(MtSubtransactionListener listener);

/* There is something to be done at the end of this transaction. Never throws. */
extern void MtTransactionNote(void);

#endif							/* MT_TRANSACTION_H */
