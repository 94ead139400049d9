/*
 * context.h
 *	  The context of the transaction: set once, read everywhere.
 */
#ifndef MT_CONTEXT_H
#define MT_CONTEXT_H

#include "postgres.h"
#include "base/errors.h"
#include "tenant/identity.h"

extern void MtContextInit(void);

/* The current context; never NULL, MT_STATE_NONE where there is none. */
extern const MtContext *MtContextGet(void);

/*
 * The current tenant, NULL if there is none. What it points to neither changes
 * nor goes before the transaction ends, also if the context does: a cursor may
 * still have it as its key.
 */
extern const pg_uuid_t *MtContextTenant(void);

/*
 * Who wants to know before a transaction enters a tenant registers here. Called
 * each time, also after a rollback to a savepoint; what it throws keeps the
 * context from beginning.
 */
typedef void (*MtContextListener) (const MtContext *context);
extern void MtContextOnTenant(MtContextListener listener);

/*
 * The same for who wants to know of every context that is set, also of none, and
 * of those that are pushed - but not of what a rollback brings back. Must not throw.
 */
extern void MtContextOnChange(MtContextListener listener);

/*
 * Who can say that a context must not be used any longer, although its tenant is
 * active and it has not expired, registers here. Asked when the context begins, and
 * again after each change of MtRegistryGeneration().
 */
typedef bool (*MtContextValidator) (const MtContext *context, MtDenial *denial);
extern void MtContextOnValidate(MtContextValidator validator);

/* Called by a validator: it must be asked again at that time at the latest. */
extern void MtContextHoldsUntil(TimestampTz until);

/*
 * Has this session a context of its own to offer - bound role, startup token,
 * session-scoped context - so that whoever uses it is the same tenant? Only in a
 * transaction that has no context.
 */
extern bool MtContextIsOffered(void);

/* May a credential that the connection or the session keeps begin a context, and has not yet? */
extern bool MtContextIsBrought(void);

/*
 * Is this a tenant's context in which a procedure of the extension's goes through
 * tables for whoever looks after them (MT_BASIS_MAINTENANCE)? Nobody's permissions are
 * asked there; which tenant's rows are seen is as in any other context.
 */
extern bool MtContextIsMaintenance(void);

/*
 * Makes *context the context of this transaction. Throws MT005 on a conflict
 * with what the transaction already is, 55000 while planning or in parallel
 * mode. The caller has decided that the session may have this context.
 */
extern void MtContextEstablish(const MtContext *context);

/*
 * The principal of the current context enters a tenant (switch_tenant): as a member,
 * or - whom a visitor lets in - as that one has made the context. True if the
 * transaction was not there already.
 */
extern bool MtContextEnterTenant(const MtTenant *tenant, bool is_member);

/* From now on MtContextEnterTenant() throws in this transaction, whatever is rolled back. */
extern void MtContextStayOutside(void);

/*
 * Who can let somebody into a tenant who is no member registers here. *context is
 * the one that would begin: the visitor sets its kind, and may shorten expires. False
 * if it does not know the principal there. What it throws must not tell more than that
 * there is no such tenant.
 */
typedef bool (*MtContextVisitor) (MtContext *context);
extern void MtContextOnVisit(MtContextVisitor visitor);

/* Raises MT008 for a tenant that is unknown or not the caller's. */
MT_NORETURN extern void MtContextRaiseNoSuchTenant(void);

/* Somebody tries to replace the session-scoped context: it ends either way. */
extern void MtContextForsakeSession(void);

/* Ends the context; the transaction's identity stays what it was. */
extern void MtContextReset(void);

/* What was before MtContextPush(); begin with zeros. */
typedef struct MtContextStack
{
	bool		is_pushed;
	int			nest_level;
	LocalTransactionId lock_lxid;
	LocalTransactionId last_lxid;
	MtContext	identity;
	bool		is_used;
} MtContextStack;

/*
 * Makes *context (or none, MT_STATE_NONE) that of what runs until the pop; settings
 * changed in between are put back with it. Throws MT005 if this transaction has had
 * a context other than a system context - for a supervised context, than one of a
 * principal without a tenant - and what keeps a context from beginning, such as
 * MT006. The caller is a superuser and runs other code only as somebody else, or it
 * pushes a supervised context that the principal may have anyway. It pushes in a
 * subtransaction of its own; after an error there, before that subtransaction is
 * rolled back, only the lock is left to pop.
 */
extern void MtContextPush(const MtContext *context, MtContextStack *stack);
extern void MtContextPop(MtContextStack *stack);
extern void MtContextPopAfterError(MtContextStack *stack);

/* Throws MT005, 55000 where no context can be pushed. */
extern void MtContextRequireNone(void);

/*
 * If there is no context but the session has one to offer - bound role, startup
 * token, session-scoped context - establishes it. Cheap if there is nothing.
 * Does nothing where settings cannot be changed. May throw what verifying a
 * token throws.
 */
extern void MtContextMaterialise(void);

/* False: MtContextMaterialise() would do nothing. */
extern bool MtContextMayCome(void);

/*
 * May a statement on protected data run under this context now? False with the
 * reason if there is no tenant, the credential has expired or the tenant is not
 * active. Takes in invalidations first. On success the transaction's identity
 * is used and can no longer be replaced.
 */
extern bool MtContextCheck(MtDenial *denial);

/*
 * The same for what a principal does for itself, with a tenant or without: false if
 * there is none, its credential has expired, or it has been disabled.
 */
extern bool MtContextCheckPrincipal(MtDenial *denial);

/* The same of a context in whatever state: false if there is none, or it cannot act now. */
extern bool MtContextCheckAny(MtDenial *denial);

/*
 * Will the session itself bring another context than this one, maybe for the next
 * statement, or is it one that a rollback has brought back, under which nothing
 * protected runs?
 */
extern bool MtContextIsPassing(void);

/*
 * Has this transaction looked into a tenant from outside, whatever its context is now:
 * also one that was reset, or undone by a rollback to a savepoint?
 */
extern bool MtContextIsSupervised(void);

/* False: this transaction has no context and has had none. */
extern bool MtContextIsAny(void);

/* Can a statement of this transaction still enter another tenant? */
extern bool MtContextIsReplaceable(void);

/* Has a statement on protected data run under the current context? */
extern bool MtContextIsUsed(void);

/* The denial for code that needs a tenant and has none. */
extern void MtContextDenyMissing(MtDenial *denial);

/* How many planners are at work, one inside the other: no context can be set then. */
extern int	MtContextPlannerDepth(void);
extern void MtContextSetPlannerDepth(int depth);
extern bool MtContextIsPlanning(void);

#endif							/* MT_CONTEXT_H */
