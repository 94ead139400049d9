/*
 * hygiene.c
 *	  Keeps apart the tenants that use one session after another.
 *
 * Owns whose leftovers are in the session and which kinds there may be
 * (residue.c finds and removes them), and what a tenant's transaction must not
 * leave. docs/internals/session-hygiene.md says what is done about each kind.
 *
 * Invariant: the owner advances only at COMMIT, because removing is undone by a
 * rollback; what is not undone makes an aborted transaction's residue nobody's.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/settings.h"
#include "base/transaction.h"
#include "commands/tablecmds.h"
#include "guard/guard.h"
#include "keys/keycache.h"
#include "nodes/parsenodes.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* What earlier transactions have left. */
typedef struct Session
{
	uint32		marks;			/* MtResidue: kinds that there may be */
	bool		has_owner;		/* false: nobody's */
	pg_uuid_t	owner;
	bool		has_baseline;
	bool		is_discarded;	/* a baseline, by DISCARD ALL, at some time */
	bool		offers_context; /* when last asked: whoever uses it is the
								 * same tenant */
} Session;

/* What this transaction does. */
typedef struct Transaction
{
	bool		has_tenant;
	pg_uuid_t	tenant;
	bool		is_discarded;
	uint32		marks;			/* kinds that it may leave */
	int			cleaned_level;	/* the subtransaction that cleaned; 0: none */
	bool		is_pending;		/* something was hidden then */
	List	   *held_cursors;	/* names; in TopTransactionContext */
} Transaction;

static Session session = {.marks = MT_RESIDUE_ALL};
static MT_HOT Transaction transaction = {.has_tenant = false};

/* ---- which kinds there may be ---- */

uint32
MtHygieneResidueOf(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_VariableSetStmt:
			return ((VariableSetStmt *) statement)->is_local ? 0 : MT_RESIDUE_SETTINGS;
		case T_PrepareStmt:
			return MT_RESIDUE_STATEMENTS;
		case T_DeclareCursorStmt:
			if ((((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0)
			{
				MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);

				MtTransactionNote();
				transaction.held_cursors = lappend(transaction.held_cursors,
												   pstrdup(((DeclareCursorStmt *) statement)->portalname));
				MemoryContextSwitchTo(before);
				return MT_RESIDUE_CURSORS;
			}
			return 0;
		case T_DiscardStmt:
			return ((DiscardStmt *) statement)->target == DISCARD_ALL ? MT_RESIDUE_DISCARDED : 0;
		default:
			return 0;
	}
}

/* Marks what a statement that has been executed may have left. */
void
MtHygieneNote(uint32 residue)
{
	if (residue == 0)
		return;
	MtTransactionNote();
	if (residue & MT_RESIDUE_DISCARDED)
	{
		transaction.is_discarded = true;
		transaction.marks = 0;
		MtKeyCacheWipe();
		return;
	}
	session.marks |= residue;
	transaction.marks |= residue;
}

static bool
has_temporary_objects(void)
{
	return (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0;
}

/* ---- before a tenant's context begins ---- */

/* Whoever may change isolation goes from tenant to tenant on purpose. */
static bool
is_concerned(void)
{
	return mt_guc_session_hygiene != MT_HYGIENE_OFF && MtGuardIsOn() && MtIsActive() &&
		MtProtectionAny() && !MtAccessHas(MT_MAY_CHANGE_ISOLATION);
}

static void
refuse_residue(uint32 found)
{
	static const char *const names[] = {
		"temporary objects", "prepared statements", "cursors WITH HOLD", "settings"
	};
	StringInfoData text;

	initStringInfo(&text);
	for (size_t i = 0; i < lengthof(names); i++)
		if (found & (1 << i))
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", names[i]);
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("an earlier user of this session has left something behind"),
			errdetail("There are %s.", text.data),
			errhint("Let the pooler run DISCARD ALL between clients."));
}

static void
clean(uint32 kinds)
{
	bool		is_complete = true;

	if (mt_guc_session_hygiene == MT_HYGIENE_STRICT)
	{
		uint32		found = MtResidueFind(kinds);

		if (found != 0)
			refuse_residue(found);
	}
	else
		is_complete = MtResidueRemove(kinds);
	transaction.is_pending = !is_complete;
}

static bool
is_owner(const pg_uuid_t *tenant)
{
	return session.has_owner && memcmp(&session.owner, tenant, UUID_LEN) == 0;
}

static void
before_tenant(const MtContext *context)
{
	if (!is_concerned())
		return;
	if (!session.has_baseline)
	{
		MtResidueTakeBaseline(session.is_discarded);
		session.has_baseline = true;
	}
	if (!is_owner(&context->tenant))
	{
		if (session.marks != 0)
			clean(session.marks);
		transaction.cleaned_level = GetCurrentTransactionNestLevel();
	}
	transaction.has_tenant = true;
	MtTransactionNote();
	transaction.tenant = context->tenant;
	session.offers_context = context->source == MT_SOURCE_BINDING ||
		context->source == MT_SOURCE_CONNECTION || context->source == MT_SOURCE_SESSION ||
		MtAccessHas(MT_MAY_KEEP_SESSION);
}

/* What a function's SET clause hides is there again when the function returns. */
static void
clean_pending(void)
{
	transaction.is_pending = !MtResidueRemove(MT_RESIDUE_SETTINGS);
	transaction.cleaned_level = GetCurrentTransactionNestLevel();
}

void
MtHygieneAfterRun(void)
{
	if (unlikely(transaction.is_pending) && transaction.cleaned_level != 0)
		clean_pending();
}

/* ---- the end of a transaction ---- */

/*
 * Security: the next user of the session needs no context to read these.
 */
static void
refuse_held_cursors(void)
{
	ListCell   *cell;

	foreach(cell, transaction.held_cursors)
	{
		Portal		portal = GetPortalByName(lfirst(cell));

		if (!PortalIsValid(portal) || (portal->cursorOptions & CURSOR_OPT_HOLD) == 0)
			continue;
		/* It is held already, and would survive the error. */
		PortalDrop(portal, false);
		ereport(ERROR,
				errcode(MT_ERRCODE_REFUSED_BY_GUARD),
				errmsg("cursor \"%s\" would keep a tenant's data for the next user of this session",
					   (char *) lfirst(cell)),
				errhint("Declare it without WITH HOLD, or close it before COMMIT."));
	}
}

static void
refuse_filled_tables(void)
{
	const char *name;

	/* Ours would look at what the server is about to empty or drop. */
	PreCommit_on_commit_actions();
	CommandCounterIncrement();
	name = MtResidueFilledTable();
	if (name != NULL)
		ereport(ERROR,
				errcode(MT_ERRCODE_REFUSED_BY_GUARD),
				errmsg("temporary table \"%s\" would keep a tenant's data for the next user of this session", name),
				errhint("Create it with ON COMMIT DROP or ON COMMIT DELETE ROWS, or drop it before COMMIT."));
}

static void
before_commit(void)
{
	if (has_temporary_objects())
		MtHygieneNote(MT_RESIDUE_TEMP);
	if (!transaction.has_tenant)
	{
		if (transaction.marks != 0 && MtIsActive())
			session.offers_context = MtContextIsOffered();
		return;
	}
	if (transaction.is_pending && transaction.cleaned_level != 0)
		clean_pending();
	if ((transaction.held_cursors == NIL && !has_temporary_objects()) ||
		session.offers_context || !is_concerned())
		return;
	if (!MtAccessAllows(MT_ALLOW_HELD_CURSORS))
		refuse_held_cursors();
	if (has_temporary_objects())
		refuse_filled_tables();
}

static void
settle_commit(void)
{
	if (transaction.is_discarded)
	{
		/* The seed is not discarded. */
		session.marks = transaction.marks | MT_RESIDUE_SETTINGS;
		session.is_discarded |= session.has_baseline;
		session.has_owner = session.has_baseline = false;
		MtResidueForgetBaseline();
	}
	else if (!transaction.has_tenant)
	{
		if (transaction.marks != 0 && !session.offers_context)
			session.has_owner = false;
	}
	else if (!is_owner(&transaction.tenant))
	{
		session.has_owner = transaction.cleaned_level != 0 && !transaction.is_pending;
		if (session.has_owner)
		{
			session.owner = transaction.tenant;
			session.marks = transaction.marks;
		}
	}
}

/* Some marks stand for what is not undone. */
static void
settle_abort(void)
{
	bool		is_owners = transaction.has_tenant ?
	is_owner(&transaction.tenant) : session.offers_context;

	if (transaction.marks != 0 && !is_owners)
		session.has_owner = false;
}

static void
transaction_ended(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			before_commit();
			return;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			settle_commit();
			break;
		case XACT_EVENT_ABORT:
			settle_abort();
			break;
		default:
			return;
	}
	memset(&transaction, 0, sizeof(transaction));
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent)
{
	int			level;

	if (transaction.cleaned_level == 0)
		return;
	level = GetCurrentTransactionNestLevel();
	if (event == SUBXACT_EVENT_ABORT_SUB && transaction.cleaned_level >= level)
		transaction.cleaned_level = 0;
	else if (event == SUBXACT_EVENT_COMMIT_SUB && transaction.cleaned_level == level)
		transaction.cleaned_level = level - 1;
}

void
MtHygieneInit(void)
{
	MtTransactionOnEnd(transaction_ended);
	MtTransactionOnSubEnd(subtransaction_ended);
	MtContextOnTenant(before_tenant);
}
