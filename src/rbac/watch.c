/*
 * watch.c
 *	  Whose steps are recorded for good: break-glass and supervised contexts.
 *
 * Owns the answer for the current context, and what this transaction has recorded
 * already. Invariant: what is listed here as recorded is committed in
 * multitenant.audit_event, whatever becomes of this transaction.
 *
 * Security: an ordinary event would go with a ROLLBACK, and does not come about in a
 * transaction that is read-only. Who opens break-glass or looks in from outside
 * decides about both.
 */
#include "postgres.h"

#include "base/audit.h"
#include "base/compat.h"
#include "base/extension.h"
#include "base/leader.h"
#include "base/names.h"
#include "base/tablescan.h"
#include "base/transaction.h"
#include "crypto/ciphertext.h"
#include "lib/stringinfo.h"
#include "rbac/breakglass.h"
#include "rbac/rights.h"
#include "rbac/watch.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/json.h"
#include "utils/memutils.h"

/* ---- whose ---- */

/*
 * Has the principal of this context ever opened break-glass? Nobody does in most
 * databases, and to compile rights only to find that out would cost each context
 * dearly. So the table is asked first, and again after each change of it.
 */
typedef struct Glass
{
	bool		is_table_known;
	bool		is_empty;		/* nobody has, in the whole database */
	bool		is_known;		/* what follows */
	bool		is_opened;		/* by this principal in this tenant */
	pg_uuid_t	tenant;
	char		principal[MT_PRINCIPAL_MAX + 1];
} Glass;

static Glass glass;

static void
break_glass_changed(void)
{
	glass.is_table_known = glass.is_empty = glass.is_known = false;
}

/* Has the principal of the context opened break-glass in its tenant? */
static bool
has_opened(const MtContext *context)
{
	if (!glass.is_table_known)
	{
		/* A change while it is read makes it unknown again. */
		glass.is_table_known = true;
		glass.is_empty = MtTableIsEmpty(MT_TABLE_BREAK_GLASS) && glass.is_table_known;
	}
	if (glass.is_empty || context->principal[0] == '\0')
		return false;
	if (glass.is_known && memcmp(&glass.tenant, &context->tenant, UUID_LEN) == 0 &&
		strcmp(glass.principal, context->principal) == 0)
		return glass.is_opened;
	glass.tenant = context->tenant;
	strlcpy(glass.principal, context->principal, sizeof(glass.principal));
	glass.is_known = true;
	glass.is_opened = MtBreakGlassOf(&context->tenant, context->principal) != NIL;
	return glass.is_opened;
}

bool
MtWatchIsOn(void)
{
	return !glass.is_empty || MtContextIsSupervised();
}

bool
MtWatchApplies(void)
{
	const MtContext *context = MtContextGet();

	if (context->state != MT_STATE_TENANT)
		return false;
	/* across_tenants() records its query for each tenant itself. */
	if (context->kind == MT_KIND_SUPERVISED)
		return context->basis != MT_BASIS_OPERATOR;
	return has_opened(context) && MtRightsAreBreakGlass(MtRightsOfContext(NULL));
}

/*
 * Security: what is read under break-glass is recorded when its statement starts. So in a
 * message in which something has started that is not recorded, none counts, whatever
 * comes about meanwhile; it counts in the next one.
 */
void
MtWatchSettle(void)
{
	const MtContext *context = MtContextGet();

	if (context->state != MT_STATE_TENANT || context->kind != MT_KIND_TENANT || context->principal[0] == '\0')
		return;
	if (MtBreakGlassIsSettled())
		return;
	/* What others have opened or approved before this message counts in it. */
	MtRegistryAccept();
	if (glass.is_empty || !MtWatchApplies())
		MtBreakGlassSettle();
}

static bool
is_recorded_under_break_glass(void)
{
	return MtContextGet()->kind == MT_KIND_TENANT && MtWatchApplies();
}

void
MtWatchInit(void)
{
	MtExtensionOnTable(MT_TABLE_BREAK_GLASS, break_glass_changed);
	MtLeaderOnTell(MT_LEADER_USES_BREAK_GLASS, is_recorded_under_break_glass);
}

/* ---- what ---- */

typedef struct Recorded
{
	Oid			relid;
	bool		writes;
	char		purpose[MT_PURPOSE_MAX + 1];
} Recorded;

/* In the memory of the transaction, which has one context of a tenant at most. */
static List *recorded = NIL;
static LocalTransactionId recorded_lxid = InvalidLocalTransactionId;

static bool
is_recorded(const MtWatched *use)
{
	ListCell   *cell;

	if (recorded_lxid != MtLocalTransactionId())
	{
		recorded = NIL;
		recorded_lxid = MtLocalTransactionId();
	}
	foreach(cell, recorded)
	{
		const Recorded *entry = lfirst(cell);

		if (use->purpose != NULL ? strcmp(entry->purpose, use->purpose) == 0 :
			entry->relid == use->relid && (entry->writes || !use->writes))
			return true;
	}
	return false;
}

static void
remember(const MtWatched *use)
{
	MemoryContext memory = MemoryContextSwitchTo(TopTransactionContext);
	Recorded   *entry = palloc0(sizeof(Recorded));

	entry->relid = use->relid;
	entry->writes = use->writes;
	if (use->purpose != NULL)
		strlcpy(entry->purpose, use->purpose, sizeof(entry->purpose));
	recorded = lappend(recorded, entry);
	MemoryContextSwitchTo(memory);
}

static void
describe(const MtWatched *use, MtAuditEvent *event)
{
	StringInfoData detail;

	memset(event, 0, sizeof(*event));
	event->event = MtContextGet()->kind == MT_KIND_SUPERVISED ? "supervised.read" : "break_glass.use";
	event->outcome = "allowed";
	initStringInfo(&detail);
	if (use->purpose == NULL)
	{
		event->object = MtQualifiedName(use->relid);
		appendStringInfo(&detail, "{\"write\": %s}", use->writes ? "true" : "false");
	}
	else
	{
		appendStringInfoString(&detail, "{\"use\": \"decrypt\", \"purpose\": ");
		escape_json(&detail, use->purpose);
		appendStringInfoChar(&detail, '}');
	}
	event->detail = detail.data;
}

static bool
is_same(const MtWatched *a, const MtWatched *b)
{
	if (a->purpose != NULL || b->purpose != NULL)
		return a->purpose != NULL && b->purpose != NULL && strcmp(a->purpose, b->purpose) == 0;
	return a->relid == b->relid && a->writes == b->writes;
}

/* Is it new, also among those before it? A statement can name a table twice. */
static bool
is_news(const MtWatched *uses, int number)
{
	for (int i = 0; i < number; i++)
		if (is_same(&uses[i], &uses[number]))
			return false;
	return !is_recorded(&uses[number]);
}

void
MtWatchRecord(const MtWatched *uses, int count)
{
	MtAuditEvent *events = palloc(count * sizeof(MtAuditEvent));
	int			news = 0;

	for (int i = 0; i < count; i++)
		if (is_news(uses, i))
			describe(&uses[i], &events[news++]);
	if (news > 0)
	{
		MtAuditEmitDurable(events, news);
		/* Not before: who is refused has recorded nothing. */
		for (int i = 0; i < count; i++)
			if (!is_recorded(&uses[i]))
				remember(&uses[i]);
	}
	pfree(events);
}
