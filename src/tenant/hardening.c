/*
 * hardening.c
 *	  The list of what application roles are denied beyond rows.
 *
 * Owns the names, reasons and costs that hardening() shows. Row security keeps
 * rows apart; what is listed here reaches other tenants past the rows: through
 * the server's statistics, its locks, its other sessions.
 */
#include "postgres.h"

#include "base/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tenant/hardening.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(mt_hardenings);

typedef struct Hardening
{
	MtAllowance allowance;
	const char *name;
	const char *subject;		/* completes "application roles cannot" */
	const char *reason;
	const char *cost;
} Hardening;

/* In the order of their names. */
static const Hardening hardenings[] = {
	{MT_ALLOW_ACTIVITY, "activity", "look at other sessions",
		"All application sessions run as one role, so the server shows each the statements, locks and clients of all.",
	"Monitoring takes a role of profile operator or a member of pg_monitor."},
	{MT_ALLOW_ADVISORY_LOCKS, "advisory_locks", "take advisory locks",
		"Advisory locks are shared by all tenants: one can block another, learn what it holds, and fill the lock table.",
	"Job queues and migration tools that use them need it allowed. Releasing them is never denied."},
	{MT_ALLOW_EXPLAIN, "explain", "look at plans",
		"Costs, row estimates, and the number of rows that a filter removed come from every tenant's rows.",
	"EXPLAIN, and debug_print_plan sent to the client, take another role; auto_explain writes into the server's log only."},
	{MT_ALLOW_HELD_CURSORS, "held_cursors", "read protected tables through a cursor WITH HOLD",
		"A held cursor keeps its rows for whoever uses the session next, and no check is made when it is read.",
	"Large results are read inside their transaction."},
	{MT_ALLOW_LARGE_OBJECTS, "large_objects", "use large objects",
		"Large objects have an owner and no tenant: every application session may read and write all of them.",
	"Binary data goes into bytea columns."},
	{MT_ALLOW_LOCK, "lock", "lock protected tables and views",
		"A table lock stops every other tenant.",
	"Rows are locked with SELECT .. FOR UPDATE. LOCK TABLE on a view is denied whatever the view reads."},
	{MT_ALLOW_LOGICAL_MESSAGES, "logical_messages", "write messages into the log",
		"pg_logical_emit_message() reaches every subscriber, and a flood of it every tenant.",
	"Outbox patterns that use it need it allowed."},
	{MT_ALLOW_NOTIFY, "notify", "use LISTEN and NOTIFY",
		"Channels are shared by all tenants: each hears what the others say.",
	"Job queues that listen, and triggers that notify, need it allowed. UNLISTEN is never denied."},
	{MT_ALLOW_PREPARED_TRANSACTIONS, "prepared_transactions", "use prepared transactions",
		"Prepared transactions have no tenant: every application session may commit or roll back all of them.",
	"Transaction managers need it allowed."},
	{MT_ALLOW_REFERENCES, "references", "refer to protected tables with foreign keys",
		"A foreign key tells which keys other tenants have, pins their rows, and can copy their changes.",
	"Tables are made by a role of profile migrator."},
	{MT_ALLOW_ROLE_SETTINGS, "role_settings", "keep settings for roles and databases, or change their password",
		"All tenants' sessions run as one role: what it keeps for itself, such as search_path, is there in each new one of them.",
	"Settings and passwords of application roles are changed by another role. Users who change their own password need it allowed."},
	{MT_ALLOW_ROW_VERSIONS, "row_versions", "look for row versions",
		"currtid2() finds the versions of a row without asking row security.",
	"Old ODBC drivers that look for rows this way need it allowed."},
	{MT_ALLOW_SIGNALS, "signals", "end other sessions",
		"All application sessions run as one role, so each may cancel and end all.",
	"Statements are ended by their own timeouts, or by a role of profile operator."},
	{MT_ALLOW_SIZES, "sizes", "ask for the sizes of relations",
		"The size of a table moves with every tenant's rows.",
	"psql's \\dt+ and dashboards take another role."},
	{MT_ALLOW_SNAPSHOTS, "snapshots", "export snapshots",
		"Another session can import the snapshot and outlive what the exporting one was allowed to see.",
	"Parallel dumps take a role with a recorded bypass."},
	{MT_ALLOW_STATISTICS, "statistics", "read the server's counters",
		"Counters of tables and indexes count every tenant's rows; those of the transaction answer whether a value exists.",
	"Monitoring takes a role of profile operator or a member of pg_monitor."},
	{MT_ALLOW_TRIGGERS, "triggers", "create triggers or rules",
		"A trigger or rule on a table that others write to runs with their rows.",
	"They are made by a role of profile migrator."},
	{MT_ALLOW_TRUNCATE, "truncate", "truncate protected tables",
		"TRUNCATE asks no policy and empties the table for every tenant.",
	"DELETE removes the rows of the tenant."},
};

static const Hardening *
find(MtAllowance allowance)
{
	for (size_t i = 0; i < lengthof(hardenings); i++)
		if (hardenings[i].allowance == allowance)
			return &hardenings[i];
	elog(ERROR, "unknown allowance %u", (unsigned int) allowance);
}

const char *
MtHardeningName(MtAllowance allowance)
{
	return find(allowance)->name;
}

const char *
MtHardeningSubject(MtAllowance allowance)
{
	return find(allowance)->subject;
}

uint32
MtHardeningByName(const char *name)
{
	for (size_t i = 0; i < lengthof(hardenings); i++)
		if (strcmp(hardenings[i].name, name) == 0)
			return hardenings[i].allowance;
	return 0;
}

/* multitenant._hardenings(): name, subject, reason, cost. */
Datum
mt_hardenings(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < lengthof(hardenings); i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		values[0] = CStringGetTextDatum(hardenings[i].name);
		values[1] = CStringGetTextDatum(hardenings[i].subject);
		values[2] = CStringGetTextDatum(hardenings[i].reason);
		values[3] = CStringGetTextDatum(hardenings[i].cost);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
