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
#include "optimizer/planner.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/observations.h"
#include "policy/owner.h"
#include "policy/protection.h"
#include "tenant/hardening.h"

/* hooks.c: installs every hook, chaining to whoever was there before. */
extern void MtHooksInit(void);

/* Are the hooks installed and is the guard not switched off? */
extern bool MtGuardIsOn(void);

/*
 * permission.c: checks every relation of a statement; throws the denial, or
 * returns false where the server only asks (raise is false).
 */
extern bool MtGuardCheckPermissions(List *permissions, bool raise);

/* Is it certain that the check would say yes, because nobody's data is concerned? */
extern bool MtGuardAreNobodys(List *permissions);
extern void MtGuardPermissionInit(void);

/*
 * rights.c: may the principal of the context do what the statement does with a table
 * of tenants? False with 42501 if the table asks for a permission that it has not.
 * Notes what is to be recorded under break-glass and in supervised contexts, until
 * RecordUses; Forget before the first.
 */
extern bool MtGuardCheckUse(const MtPermission *permission, const MtProtection *protection,
							MtDenial *denial);
extern void MtGuardForgetUses(void);
extern void MtGuardRecordUses(void);

/*
 * Throws if the principal has lost a permission that the statement needs since it
 * started: a cursor goes on after other statements.
 */
extern void MtGuardCheckRightsAgain(const PlannedStmt *statement);

/* What can be said against a statement before the planner looks at statistics. */
extern void MtGuardCheckQuery(Query *query);

/* Is it certain that no row of the query is anybody's, or filtered by a policy? */
extern bool MtGuardIsNobodysQuery(const Query *query);

/*
 * executor.c: what the guard does at each step of a statement. Enter returns what
 * Leave must be given when the step is over; an error leaves by itself.
 */
extern void MtGuardExecutorInit(void);
extern void MtGuardCheckPlanning(Query *query);
extern int	MtGuardEnterPlanning(void);
extern int	MtGuardEnterStart(QueryDesc *query, int eflags);
extern int	MtGuardEnterRun(QueryDesc *query);
extern int	MtGuardEnterFinish(void);
extern void MtGuardLeave(int step);
extern void MtGuardAfterAnalysis(void);
extern void MtGuardNoteRead(void);
extern bool MtGuardIsInHeldCursor(void);

/* Does a statement run, so that what starts now is inside of it? */
extern bool MtGuardIsInStatement(void);

/* Does the test say so of one of the statements that are starting or running? */
extern bool MtGuardIsAnyStatement(bool (*test) (const QueryDesc *query));

/* Does what the client itself has sent run now, and no cursor? */
extern bool MtGuardIsInClientsPortal(void);

/*
 * The statement that the client has sent, or has prepared and executes now, and that
 * everything belongs to that is running; NULL if there may be anything else.
 */
extern const QueryDesc *MtGuardClientsStatement(void);

/* Do the rows of the statement go into a table that is being made? */
extern bool MtGuardFillsTable(const QueryDesc *query);

/* Is the statement that is being started one that a foreign key generated? */
extern bool MtGuardIsReferentialStatement(void);
extern const char *MtGuardReferenceText(void);

/* Are permissions checked for COPY table, not for a query? */
extern bool MtGuardIsCopy(void);

/*
 * The text of a statement; of NULL, of the one that is being started or is
 * running. Valid as long as the statement.
 */
extern void MtGuardTextOf(const QueryDesc *query, const char **text, int *length);

/* The tables that a statement has been counted for, by what was counted. */
typedef struct MtCounted
{
	List	   *tables[MT_COUNTS];
} MtCounted;

/*
 * observe.c: counts what would be refused if observed tables were protected.
 * Start: after the executor's own; Plan: of a finished plan; Statement: of one
 * that names an observed table, and the capabilities it would need where row
 * security does not filter it; Legacy: of a legacy role on a protected table, both
 * once for a table, however often the statement names it; Copy: a COPY FROM that
 * counts its rows if the table is observed, else the same.
 */
extern void MtGuardObserveStart(QueryDesc *query, int eflags);
extern void MtGuardObservePlan(PlannedStmt *statement);
extern void MtGuardObserveStatement(Oid relid, bool is_filtered, uint32 needed,
									MtCounted *counted);
extern void MtGuardObserveLegacy(Oid relid, MtCounted *counted);
extern PlannedStmt *MtGuardObserveCopy(PlannedStmt *statement);

/*
 * supervised.c: what a supervised context may execute. Before each statement the
 * transaction is read-only for the server, too; the checks throw 25006.
 */
extern void MtGuardSupervisedInit(void);
extern void MtGuardKeepReadOnly(void);
extern void MtGuardCheckSupervisedFunction(Oid function);
extern void MtGuardCheckSupervisedUtility(Node *statement);

/* May the context look at tenants' rows already? Of contexts that are not supervised: yes. */
extern bool MtGuardMayLookIn(MtDenial *denial);

/* Raises if a portal of the client's goes on whose statement a supervised context began in the midst of. */
extern void MtGuardCheckSupervisedPortal(void);

/* status.c: remembers how the library was loaded. */
extern void MtStatusInit(void);

/*
 * function.c: throws if this session may not execute the function, and tells hygiene
 * of one that changes a setting.
 */
extern void MtGuardFunctionInit(void);
extern void MtGuardCheckFunction(Oid function);

/* False: the check would do nothing, as with most functions. */
extern bool MtGuardIsFunctionOfConcern(Oid function);

/* The same of the function of an operator that was just made. */
extern void MtGuardCheckOperator(Oid operator);

/* inference.c: keeps from the planner what tells of other tenants' rows. */
extern void MtGuardInferenceInit(void);

/*
 * lift.c: plans a statement, with indexes also for conditions that are not leakproof
 * where these see one tenant's rows only. is_folded: row security's conditions have
 * the current tenant as a constant, and the plan is for this tenant alone.
 */
extern PlannedStmt *MtGuardPlanLifted(planner_hook_type plan, bool is_folded, MT_PLANNER_PARAMS);

/*
 * scanorder.c: does every scan of a protected relation test the tenant's condition
 * before anything that is not leakproof?
 */
extern bool MtGuardIsOrdered(PlannedStmt *statement, bool is_folded);

/*
 * utility.c: throws MT010 where application roles are denied something, unless
 * this session is allowed it or the database has no protected table.
 */
extern void MtGuardRequire(MtAllowance allowance);
extern bool MtGuardAllows(MtAllowance allowance);

/* Is it protected or shared, or a view, which may show such data? */
extern bool MtGuardIsTenantsData(Oid relid);

/* What is known of the innermost utility statement. */
typedef enum MtUtilityUnderWay
{
	MT_UTILITY_NONE,
	MT_UTILITY_EXECUTE,			/* one that the client has sent, of what it
								 * has prepared */
	MT_UTILITY_OTHER,
	MT_UTILITY_WRITING			/* one that a supervised context may not
								 * execute */
} MtUtilityUnderWay;

typedef struct MtUtility
{
	bool		is_held;		/* DECLARE .. WITH HOLD */
	int			executions;		/* EXECUTEs of prepared statements that it is
								 * or is below */
	bool		is_owners;		/* a command of protect() or a companion .. */
	MtOwnerCommand command;		/* .. then this one */
	Oid			copied_to;		/* the observed table that a COPY FROM fills */
	MtUtilityUnderWay under_way;
} MtUtility;

/* What the utility statements are that run now, one in the other. */
extern MtUtilityUnderWay MtGuardUtilityUnderWay(void);

/* supervised.c: may a supervised context execute the utility statement? */
extern bool MtGuardMayExecuteSupervised(Node *statement);

/* What Enter returns goes to Leave, also on errors; Enter does not throw. */
extern MtUtility MtGuardEnterUtility(Node *statement, ProcessUtilityContext context);
extern void MtGuardLeaveUtility(MtUtility previous);

/* Is a statement made by PREPARE being executed, whose memory must stay? */
extern bool MtGuardIsExecuting(void);
extern void MtGuardCheckUtility(Node *statement);

/* The observed table that the innermost utility statement, a COPY FROM, fills. */
extern void MtGuardSetCopiedTo(Oid relid);
extern Oid	MtGuardCopiedTo(void);

/* The command that the library runs for the owner of a table; NULL: none. */
extern const MtOwnerCommand *MtGuardOwnersCommand(void);
extern void MtGuardCheckHeldCursor(void);
extern void MtGuardCheckPrintedPlan(void);

/* When a statement starts; when something is reported. */
extern void MtGuardNotePlanReader(void);
extern void MtGuardHidePlan(ErrorData *edata);

/* When a relation is emptied by TRUNCATE. */
extern void MtGuardCheckTruncate(Oid relid);

/* reference.c: foreign keys to protected tables, made and dropped. */
extern void MtGuardCheckConstraint(Oid constraint);
extern void MtGuardNoteDroppedConstraint(Oid constraint);

/* weakening.c: statements that would break the protection of a table. */
extern void MtGuardCheckAlterTable(Node *statement);
extern void MtGuardCheckCreatePolicy(Node *statement);
extern void MtGuardCheckAlterPolicy(Node *statement);
extern void MtGuardCheckRename(Node *statement);
extern void MtGuardCheckDropStatement(Node *statement);
extern void MtGuardCheckFunctionDefinition(Node *statement);

/* copy.c: executes COPY table FROM under row security; false: not its business. */
extern bool MtGuardCopyFrom(PlannedStmt *planned, const char *text, QueryCompletion *completion);

/*
 * hygiene.c: whose leftovers are in this session, and what the next tenant's
 * context does about them. A set of bits says which kinds there may be.
 */
typedef enum MtResidue
{
	MT_RESIDUE_TEMP = 1 << 0,	/* objects in the temporary schema */
	MT_RESIDUE_STATEMENTS = 1 << 1, /* made by PREPARE */
	MT_RESIDUE_CURSORS = 1 << 2,	/* held over a COMMIT */
	MT_RESIDUE_SETTINGS = 1 << 3,	/* the seed of random() is one */
	MT_RESIDUE_DISCARDED = 1 << 4	/* DISCARD ALL: there is nothing */
} MtResidue;

#define MT_RESIDUE_ALL \
	((uint32) (MT_RESIDUE_TEMP | MT_RESIDUE_STATEMENTS | MT_RESIDUE_CURSORS | MT_RESIDUE_SETTINGS))

extern void MtHygieneInit(void);

/* What may the statement leave behind once it has been executed? */
extern uint32 MtHygieneResidueOf(Node *statement);
extern void MtHygieneNote(uint32 residue);

/* Goes on with what could not be cleaned while a function had set it. */
extern void MtHygieneAfterRun(void);

/*
 * residue.c: what is in this session that was not there at its baseline, kind
 * by kind. Needs a transaction.
 */
extern void MtResidueTakeBaseline(bool is_discarded);
extern void MtResidueForgetBaseline(void);

/* Is a cursor open, besides the statement that is running? Needs a transaction. */
extern bool MtResidueHasCursor(void);

/* Which of the kinds are there? */
extern uint32 MtResidueFind(uint32 kinds);

/*
 * Removes what MtResidueFind() would find. False: a setting is
 * hidden by a SET LOCAL or a function's SET clause; try again later.
 */
extern bool MtResidueRemove(uint32 kinds);

/* The name of a temporary table with rows that this transaction wrote; NULL: none. */
extern const char *MtResidueFilledTable(void);

/* removal.c: throws if the object must not be dropped now. */
extern void MtGuardCheckDrop(Oid class, Oid object);

#endif							/* MT_GUARD_H */
