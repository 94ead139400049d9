/*
 * guard.h
 *	  The guards that hooks.c dispatches to.
 */
#ifndef MT_GUARD_H
#define MT_GUARD_H

#include "postgres.h"
#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "nodes/pg_list.h"
#include "tcop/cmdtag.h"

#include "base/compat.h"

/* hooks.c: installs every hook, chaining to whoever was there before. */
extern void MtHooksInit(void);

/* Are the hooks installed and is the guard not switched off? */
extern bool MtGuardIsOn(void);

/*
 * permission.c: checks every relation of a statement; throws the denial, or
 * returns false where the server only asks (raise is false).
 */
extern bool MtGuardCheckPermissions(List *permissions, bool raise);
extern void MtGuardPermissionInit(void);

/* What can be said against a statement before the planner looks at statistics. */
extern void MtGuardCheckQuery(Query *query);

/*
 * executor.c: what the guard does at each step of a statement. Enter returns what
 * Leave must be given when the step is over; an error leaves by itself.
 */
extern void MtGuardExecutorInit(void);
extern int	MtGuardEnterPlanning(Query *query);
extern int	MtGuardEnterStart(QueryDesc *query, int eflags);
extern int	MtGuardEnterRun(QueryDesc *query);
extern int	MtGuardEnterFinish(void);
extern void MtGuardLeave(int step);
extern void MtGuardAfterAnalysis(void);
extern void MtGuardNoteRead(void);

/* Is the statement that is being started one that a foreign key generated? */
extern bool MtGuardIsReferentialStatement(void);
extern const char *MtGuardReferenceText(void);

/* Are permissions checked for COPY table, not for a query? */
extern bool MtGuardIsCopy(void);

/* status.c: remembers how the library was loaded. */
extern void MtStatusInit(void);

/* function.c: throws if this session may not execute the function. */
extern void MtGuardCheckFunction(Oid function);

/* copy.c: executes COPY table FROM under row security; false: not its business. */
extern bool MtGuardCopyFrom(PlannedStmt *planned, const char *text, QueryCompletion *completion);

/* removal.c: throws if the object must not be dropped now. */
extern void MtGuardCheckDrop(Oid class, Oid object);

#endif							/* MT_GUARD_H */
