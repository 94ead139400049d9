/*
 * function.c
 *	  Functions of the server that application roles may not execute.
 *
 * REVOKE from a role does nothing where PUBLIC has the right, and taking it from
 * PUBLIC breaks monitoring; so it is refused here, by profile. Owns the table
 * from a function's OID to what allows it, made once from the names of the
 * server's own functions, so that a new server version's are in it; and the
 * names of functions of extensions that show the same.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "base/extension.h"
#include "base/leader.h"
#include "base/invalidation.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "tenant/context.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrtab.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

typedef struct DeniedFunctions
{
	const char *pattern;		/* of the C name; a last '*' stands for any
								 * end */
	MtAllowance allowance;
	Oid			exempt_role;	/* members of this predefined role may */
} DeniedFunctions;

/* The first that fits counts. */
static const DeniedFunctions denied_functions[] = {
	{"pg_stat_get_activity", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_stat_get_backend_*", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_stat_get_progress_info", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_stat_get_wal_senders", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_isolation_test_session_is_blocked", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_lock_status", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_blocking_pids", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_safe_snapshot_blocking_pids", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_prepared_xact", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_stat_get_*", MT_ALLOW_STATISTICS, ROLE_PG_READ_ALL_STATS},
	{"pg_cancel_backend", MT_ALLOW_SIGNALS, ROLE_PG_SIGNAL_BACKEND},
	{"pg_terminate_backend", MT_ALLOW_SIGNALS, ROLE_PG_SIGNAL_BACKEND},
	/* Not pg_advisory_unlock_*: pools release all locks between clients. */
	{"pg_advisory_lock_*", MT_ALLOW_ADVISORY_LOCKS, InvalidOid},
	{"pg_advisory_xact_lock_*", MT_ALLOW_ADVISORY_LOCKS, InvalidOid},
	{"pg_try_advisory_*", MT_ALLOW_ADVISORY_LOCKS, InvalidOid},
	{"be_lo*", MT_ALLOW_LARGE_OBJECTS, InvalidOid},
	{"currtid_*", MT_ALLOW_ROW_VERSIONS, InvalidOid},
	{"pg_relation_size", MT_ALLOW_SIZES, ROLE_PG_READ_ALL_STATS},
	{"pg_total_relation_size", MT_ALLOW_SIZES, ROLE_PG_READ_ALL_STATS},
	{"pg_table_size", MT_ALLOW_SIZES, ROLE_PG_READ_ALL_STATS},
	{"pg_indexes_size", MT_ALLOW_SIZES, ROLE_PG_READ_ALL_STATS},
	{"pg_database_size_*", MT_ALLOW_SIZES, ROLE_PG_READ_ALL_STATS},
	{"pg_tablespace_size_*", MT_ALLOW_SIZES, ROLE_PG_READ_ALL_STATS},
	{"pg_notify", MT_ALLOW_NOTIFY, InvalidOid},
	{"pg_notification_queue_usage", MT_ALLOW_NOTIFY, ROLE_PG_READ_ALL_STATS},
	{"pg_export_snapshot", MT_ALLOW_SNAPSHOTS, InvalidOid},
	{"pg_logical_emit_message_*", MT_ALLOW_LOGICAL_MESSAGES, InvalidOid},
};

/*
 * The same by the C names of functions that extensions bring. A superuser made
 * them, and their SQL names are his.
 */
static const DeniedFunctions denied_extension_functions[] = {
	{"pg_stat_statements*", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_stat_monitor*", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_stat_kcache*", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_qualstats*", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pg_wait_sampling*", MT_ALLOW_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{"pgrowlocks", MT_ALLOW_ACTIVITY, ROLE_PG_STAT_SCAN_TABLES},
};

/*
 * For each built-in function: 1 + its place in the list above, or that it changes a
 * setting, which may stay in the session; 0 if there is nothing to say of it. So
 * most calls are seen through with one look.
 */
#define LEAVES_SETTING PG_UINT8_MAX
static uint8 denied_by_oid[FirstGenbkiObjectId];

/*
 * Functions lately found to be none of an extension that is denied, by OID. All
 * are forgotten with the first change to any function.
 */
#define RECENT_LIMIT 64
static Oid	recent[RECENT_LIMIT];
static uint64 recent_changes = 0;
static uint64 changes = 1;

static bool
fits(const char *name, const char *pattern)
{
	size_t		length = strlen(pattern);

	if (pattern[length - 1] == '*')
		return strncmp(name, pattern, length - 1) == 0;
	return strcmp(name, pattern) == 0;
}

static void
function_changed(void)
{
	changes++;
}

void
MtGuardFunctionInit(void)
{
	StaticAssertStmt(lengthof(denied_functions) < LEAVES_SETTING, "there is a number for each");
	MtInvalidationOnCatalog(MT_CATALOG_FUNCTIONS, function_changed);
	for (int i = 0; i < fmgr_nbuiltins; i++)
		for (size_t j = 0; j < lengthof(denied_functions); j++)
			if (fmgr_builtins[i].foid < lengthof(denied_by_oid) &&
				fits(fmgr_builtins[i].funcName, denied_functions[j].pattern))
			{
				denied_by_oid[fmgr_builtins[i].foid] = (uint8) (j + 1);
				break;
			}
	denied_by_oid[F_SET_CONFIG] = denied_by_oid[F_SETSEED] = LEAVES_SETTING;
}

/*
 * Security: both the session's and the outer role must be members; a definer
 * function of a monitoring role lends nothing.
 */
static bool
is_exempt(Oid role)
{
	return OidIsValid(role) && has_privs_of_role(GetSessionUserId(), role) &&
		has_privs_of_role(GetOuterUserId(), role);
}

/* Reads from the catalog what denies the function of an extension; NULL: nothing. */
static const DeniedFunctions *
look_up(Oid function)
{
	const DeniedFunctions *result = NULL;
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));

	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		bool		is_null;
		Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
		char	   *name = is_null ? NULL : TextDatumGetCString(source);

		for (size_t i = 0; name != NULL && result == NULL && i < lengthof(denied_extension_functions); i++)
			if (fits(name, denied_extension_functions[i].pattern))
				result = &denied_extension_functions[i];
	}
	ReleaseSysCache(tuple);
	return result;
}

static const DeniedFunctions *
denied_extension_function(Oid function)
{
	const DeniedFunctions *result;
	uint64		before;

	if (recent_changes != changes)
	{
		memset(recent, 0, sizeof(recent));
		recent_changes = changes;
	}
	if (recent[function % RECENT_LIMIT] == function)
		return NULL;
	before = changes;
	result = look_up(function);
	if (result == NULL && before == changes)
		recent[function % RECENT_LIMIT] = function;
	return result;
}

static inline bool
may_be_denied(Oid function)
{
	return function < lengthof(denied_by_oid) ? denied_by_oid[function] != 0 : function >= FirstNormalObjectId;
}

bool
MtGuardIsFunctionOfConcern(Oid function)
{
	return unlikely(MtContextIsAny()) || unlikely(MtContextMayCome()) ||
		unlikely(mt_leader_facts != 0) || unlikely(may_be_denied(function));
}

void
MtGuardCheckFunction(Oid function)
{
	const DeniedFunctions *denied = NULL;

	MtGuardCheckSupervisedFunction(function);
	if (!may_be_denied(function))
		return;
	if (function < lengthof(denied_by_oid) && denied_by_oid[function] == LEAVES_SETTING)
	{
		MtHygieneNote(MT_RESIDUE_SETTINGS);
		return;
	}
	if (!MtIsActive() || !MtGuardIsOn())
		return;
	if (function < lengthof(denied_by_oid))
		denied = &denied_functions[denied_by_oid[function] - 1];
	else
		denied = denied_extension_function(function);
	if (denied != NULL && !is_exempt(denied->exempt_role))
		MtGuardRequire(denied->allowance);
}

/*
 * Security: the planner calls the function of an operator for its estimates
 * without asking for the right to execute it, nor the object access hook. So
 * nobody makes an operator of what he may not execute.
 */
void
MtGuardCheckOperator(Oid operator)
{
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			function = InvalidOid;

	if (!MtIsActive() || !MtGuardIsOn() || creating_extension)
		return;
	catalog = table_open(OperatorRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_operator_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(operator));
	scan = systable_beginscan(catalog, OperatorOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		function = ((Form_pg_operator) GETSTRUCT(tuple))->oprcode;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	MtGuardCheckFunction(function);
}
