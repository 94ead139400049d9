/*
 * decision.h
 *	  Who may use a tenant's keys: the one point that every use passes.
 */
#ifndef MT_DECISION_H
#define MT_DECISION_H

#include "postgres.h"

#include "base/errors.h"
#include "keys/purposerule.h"

/*
 * What is remembered of the rule for a purpose, with each key; begin with zeros. Only
 * decision.c looks inside.
 */
typedef struct MtPurposeDecision
{
	uint64		generation;		/* of rules */
	bool		is_asking[MT_USE_COUNT];
	uint64		stamp;			/* of rights, under which the numbers are
								 * right; 0: none yet */
	int			number[MT_USE_COUNT];	/* of permissions */
} MtPurposeDecision;

/*
 * May the current context use keys of its tenant? False with the reason: MT001
 * without a tenant, MT003 and MT006 as for protected tables, 42501 for contexts that never
 * may. Takes in invalidations, so that a statement that runs stops when its tenant is
 * suspended. On success the transaction's identity is used and can no longer be
 * replaced.
 */
extern bool MtKeysMayBeUsed(MtDenial *denial);

/*
 * May its principal use those of this purpose so? After MtKeysMayBeUsed(). False with
 * 42501 if there is a rule whose permission it does not hold in the whole tenant. May
 * throw what catalog reads throw.
 */
extern bool MtKeysMayBeUsedFor(const char *purpose, MtKeyUse use, MtPurposeDecision *known,
							   MtDenial *denial);

/*
 * Fills in MT021 and yields false. Security: whatever is wrong with a value, also that it
 * names another tenant's key or none, is this one answer.
 */
extern bool MtKeysDenyValue(MtDenial *denial);

/*
 * Raises a denial; what was refused for lack of a right is audited first. purpose: ""
 * if it is not known; what was refused by a rule says it itself.
 */
MT_NORETURN extern void MtKeysRefuse(const MtDenial *denial, const char *purpose);

#endif							/* MT_DECISION_H */
