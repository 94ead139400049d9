/*
 * extension.c
 *	  State of the extension in this database: absent, in transition or ready.
 *
 * The library may be preloaded in a cluster where most databases do not have
 * the extension, so every hook asks here first. Owns the cached state and the
 * OIDs of the extension's objects, and tells who listens to its tables. Invariant:
 * the state is unknown after anything that could have changed it: an invalidation of
 * any schema (CREATE and DROP EXTENSION create and drop schema multitenant, and
 * pg_extension itself has no syscache), or the abort of the transaction in which it
 * was learned.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/invalidation.h"
#include "base/transaction.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef enum ExtensionState
{
	EXTENSION_UNKNOWN,
	EXTENSION_ABSENT,
	EXTENSION_READY
} ExtensionState;

static const char *const table_names[MT_TABLE_COUNT] = {
	"tenant", "access", "signing_key", "installation", "member", "audit_event",
	"new_table_rule", "pending_protection", "kek", "cek", "principal",
	"group_member", "permission", "role", "role_parent", "role_permission",
	"scope", "role_assignment", "rights_version", "master_tenant", "operator",
	"access_request", "supervision", "break_glass", "purpose_rule",
	"access_withdrawal"
};

static const char *const accessor_names[MT_ACCESSOR_COUNT] = {
	"current_tenant", "current_tenant_number", "current_tenant_int4",
	"current_tenant_slug"
};

static MT_HOT ExtensionState state = EXTENSION_UNKNOWN;
static MT_HOT uint64 generation = 0;
static bool is_learned_here = false;	/* in this transaction */
static Oid	extension_oid = InvalidOid;
static Oid	schema_oid = InvalidOid;
static Oid	table_oids[MT_TABLE_COUNT];
static Oid	accessor_oids[MT_ACCESSOR_COUNT];
static Oid	filter_oids[MT_ACCESSOR_COUNT];
static Oid	observer_oid = InvalidOid;

/* Who listens to which tables: two a module are plenty. */
#define MAX_LISTENERS 16

typedef struct TableListener
{
	MtTableListener listener;
	uint64		tables;			/* a bit for each */
} TableListener;

StaticAssertDecl(MT_TABLE_COUNT <= 64, "a set of tables has 64 bits");
static TableListener table_listeners[MAX_LISTENERS];
static int	table_listener_count = 0;

static void
forget_state(void)
{
	state = EXTENSION_UNKNOWN;
	generation++;
}

static void
relation_changed(Oid relid)
{
	int			table;

	/* Everything at once: caches were reset. */
	if (!OidIsValid(relid))
		forget_state();
	table = MtTableOfOid(relid);
	if (table == -1)
		return;
	for (int i = 0; i < table_listener_count; i++)
		if (table == -2 || (table_listeners[i].tables & (UINT64CONST(1) << table)) != 0)
			table_listeners[i].listener();
}

void
MtExtensionOnTable(MtTable table, MtTableListener listener)
{
	int			i = 0;

	while (i < table_listener_count && table_listeners[i].listener != listener)
		i++;
	if (i >= MAX_LISTENERS)
		elog(ERROR, "too many table listeners");
	table_listeners[i].listener = listener;
	table_listeners[i].tables |= UINT64CONST(1) << table;
	table_listener_count = Max(table_listener_count, i + 1);
}

static void
transaction_ended(XactEvent event)
{
	/* What an aborted CREATE or DROP EXTENSION showed us was never true. */
	if ((event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT) &&
		is_learned_here)
		forget_state();
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
		is_learned_here = false;
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && is_learned_here)
		forget_state();
}

void
MtExtensionInit(void)
{
	MtInvalidationOnRelation(relation_changed);
	MtInvalidationOnCatalog(MT_CATALOG_SCHEMAS, forget_state);
	MtTransactionOnEnd(transaction_ended);
	MtTransactionOnSubEnd(subtransaction_ended);
}

/* Looks up the OIDs of our tables and accessors. */
static void
find_objects(void)
{
	static const Oid observer_types[] = {INTERNALOID, ANYOID};
	static const Oid scope_types[MT_ACCESSOR_COUNT] = {UUIDOID, INT8OID, INT4OID, TEXTOID};
	oidvector  *no_arguments = buildoidvector(NULL, 0);
	oidvector  *observer_arguments = buildoidvector(observer_types, lengthof(observer_types));

	for (int i = 0; i < MT_TABLE_COUNT; i++)
		table_oids[i] = get_relname_relid(table_names[i], schema_oid);
	for (int i = 0; i < MT_ACCESSOR_COUNT; i++)
		accessor_oids[i] = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										   CStringGetDatum(accessor_names[i]),
										   PointerGetDatum(no_arguments),
										   ObjectIdGetDatum(schema_oid));
	for (int i = 0; i < MT_ACCESSOR_COUNT; i++)
	{
		Oid			types[] = {scope_types[i], TEXTOID};
		oidvector  *arguments = buildoidvector(types, lengthof(types));

		filter_oids[i] = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum("in_scope"),
										 PointerGetDatum(arguments),
										 ObjectIdGetDatum(schema_oid));
		pfree(arguments);
	}
	observer_oid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
								   CStringGetDatum("_observe_row"),
								   PointerGetDatum(observer_arguments),
								   ObjectIdGetDatum(schema_oid));
	pfree(observer_arguments);
	pfree(no_arguments);
}

/* Finds out what the state is where that is unknown, unless this is no time to read catalogs. */
static pg_noinline bool
learn(void)
{
	uint64		before;

	if (state != EXTENSION_UNKNOWN)
		return state == EXTENSION_READY;
	if (!IsTransactionState() || IsAbortedTransactionBlockState() ||
		!OidIsValid(MyDatabaseId) || !IsNormalProcessingMode() ||
		IsBinaryUpgrade || InitializingParallelWorker)
		return false;

	before = generation;
	is_learned_here = true;
	MtTransactionNote();
	extension_oid = get_extension_oid(MT_EXTENSION_NAME, true);
	if (!OidIsValid(extension_oid))
	{
		if (before == generation)
			state = EXTENSION_ABSENT;
		return false;
	}

	/* While its script runs nothing is enforced and nothing is remembered. */
	if (creating_extension && CurrentExtensionObject == extension_oid)
		return false;

	schema_oid = get_namespace_oid(MT_SCHEMA_NAME, true);
	find_objects();
	if (before == generation)
		state = EXTENSION_READY;
	return true;
}

bool
MtIsActive(void)
{
	return likely(state == EXTENSION_READY) || learn();
}

Oid
MtExtensionOid(void)
{
	return extension_oid;
}

Oid
MtTableOid(MtTable table)
{
	return table_oids[table];
}

Oid
MtAccessorOid(MtAccessor accessor)
{
	return accessor_oids[accessor];
}

Oid
MtScopeFilterOid(MtAccessor type)
{
	return filter_oids[type];
}

Oid
MtObserverOid(void)
{
	return observer_oid;
}

Oid
MtIndexOid(const char *name)
{
	Oid			index = get_relname_relid(name, schema_oid);

	if (!OidIsValid(index))
		elog(ERROR, "index \"%s\" of extension multitenant is missing", name);
	return index;
}

int
MtTableOfOid(Oid relid)
{
	if (state != EXTENSION_READY)
		return -2;
	for (int i = 0; i < MT_TABLE_COUNT; i++)
		if (table_oids[i] == relid)
			return i;
	return -1;
}

uint64
MtExtensionGeneration(void)
{
	return generation;
}
