/*
 * observe.c
 *	  Counts what would be refused if observed tables were protected.
 *
 * Statements without a context are counted where permissions are checked. Rows
 * that are read are counted where a scan returns them: the scans of a running
 * statement are watched through their own "next row" function, so plan, estimates
 * and EXPLAIN are those of a server without the library. Rows that are written
 * are counted by a check of new rows in the finished plan, the place where row
 * security will check them; EXPLAIN does not show those.
 *
 * Owns the watched scans. Invariants: nothing here refuses anything or changes a
 * row; a scan is watched as long as the memory of its statement lives.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/parallel.h"
#include "access/transam.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/observations.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_observe_row);
PG_FUNCTION_INFO_V1(mt_observe_copied);
PG_FUNCTION_INFO_V1(mt_require_observations);
PG_FUNCTION_INFO_V1(mt_observations);
PG_FUNCTION_INFO_V1(mt_observations_lost);
PG_FUNCTION_INFO_V1(mt_forget_observations);

/* ---- counting rows ---- */

/*
 * What one statement reads or writes of one table. Lives in the memory of the
 * statement; what it has counted is added up when that goes.
 */
typedef struct Tally
{
	Oid			relid;			/* the observed table */
	Oid			type;			/* of its tenant column */
	MtContext	context;		/* a copy, of a tenant */
	const char *text;			/* of the statement */
	int			length;
	bool		is_placed;
	MtObservation place;
	MtCount		foreign;		/* what rows of another tenant count as */
	uint64		foreign_rows;
	uint64		rows_without_tenant;
	MemoryContextCallback callback;
} Tally;

/* Also called after an error, when transactions are cleaned up. */
static void
add_up(void *arg)
{
	Tally	   *tally = (Tally *) arg;

	if (!tally->is_placed)
		return;
	MtObservationAdd(tally->place, tally->foreign, tally->foreign_rows);
	MtObservationAdd(tally->place, MT_COUNT_WITHOUT_TENANT, tally->rows_without_tenant);
}

static bool
is_tenant_type(Oid type)
{
	return type == UUIDOID || type == INT8OID || type == INT4OID ||
		type == TEXTOID || type == VARCHAROID;
}

/* In the current memory context, which must be that of the statement. */
static Tally *
make_tally(Oid relid, Oid type, MtCount foreign, const char *text, int length)
{
	Tally	   *tally = palloc0(sizeof(Tally));

	tally->relid = relid;
	tally->type = type;
	tally->context = *MtContextGet();
	tally->foreign = foreign;
	tally->text = text;
	tally->length = length;
	tally->callback.func = add_up;
	tally->callback.arg = tally;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &tally->callback);
	return tally;
}

/* A slug is short; a longer value is nobody's and not looked at further. */
static bool
is_slug(Datum value, const char *slug)
{
	size_t		length = strlen(slug);
	text	   *packed;
	bool		result;

	if (toast_raw_datum_size(value) - VARHDRSZ != length)
		return false;
	packed = DatumGetTextPP(value);
	result = memcmp(VARDATA_ANY(packed), slug, length) == 0;
	if ((Pointer) packed != DatumGetPointer(value))
		pfree(packed);
	return result;
}

static bool
is_own(const Tally *tally, Datum value)
{
	switch (tally->type)
	{
		case UUIDOID:
			return memcmp(DatumGetUUIDP(value)->data, tally->context.tenant.data, UUID_LEN) == 0;
		case INT8OID:
			return DatumGetInt64(value) == tally->context.number;
		case INT4OID:
			return DatumGetInt32(value) == tally->context.number;
		default:
			return is_slug(value, tally->context.slug);
	}
}

static void
count_row(Tally *tally, Datum value, bool is_null)
{
	if (likely(!is_null && is_own(tally, value)))
		return;
	if (!tally->is_placed)
	{
		tally->place = MtObservationOf(tally->relid, tally->text, tally->length);
		tally->is_placed = true;
	}
	if (is_null)
		tally->rows_without_tenant++;
	else
		tally->foreign_rows++;
}

/* ---- rows that are read ---- */

/* A scan that is watched. */
typedef struct Watch
{
	PlanState  *scan;			/* the hash key */
	ExecProcNodeMtd next;		/* the scan's own */
	AttrNumber	column;			/* the tenant's, in the scan's rows */
	Tally	   *tally;
	MemoryContextCallback callback;
} Watch;

static HTAB *watches = NULL;

/* Watches found lately: a row must cost less than a hash lookup. */
#define RECENT_LIMIT 64
#define RECENT(scan) (((uintptr_t) (scan) >> 6) % RECENT_LIMIT)
static Watch *recent[RECENT_LIMIT];

static void
forget_watch(void *arg)
{
	PlanState  *scan = (PlanState *) arg;

	if (recent[RECENT(scan)] != NULL && recent[RECENT(scan)]->scan == scan)
		recent[RECENT(scan)] = NULL;
	hash_search(watches, &scan, HASH_REMOVE, NULL);
}

static Watch *
find_watch(PlanState *scan)
{
	Watch	   *watch = recent[RECENT(scan)];

	if (likely(watch != NULL && watch->scan == scan))
		return watch;
	watch = hash_search(watches, &scan, HASH_FIND, NULL);
	if (watch == NULL)
		elog(ERROR, "scan is not watched");
	recent[RECENT(scan)] = watch;
	return watch;
}

/*
 * The next row of a watched scan. Where the scan computes what it returns, the
 * row that it did that from is still there.
 */
static TupleTableSlot *
next_row(PlanState *scan)
{
	Watch	   *watch = find_watch(scan);
	TupleTableSlot *result = watch->next(scan);
	TupleTableSlot *row;
	Datum		value;
	bool		is_null;

	if (TupIsNull(result))
		return result;
	row = scan->ps_ProjInfo == NULL ? result : scan->ps_ExprContext->ecxt_scantuple;
	value = slot_getattr(row, watch->column, &is_null);
	count_row(watch->tally, value, is_null);
	return result;
}

static void
prepare_watches(void)
{
	HASHCTL		control = {.keysize = sizeof(PlanState *),.entrysize = sizeof(Watch)};

	if (watches != NULL)
		return;
	control.hcxt = AllocSetContextCreate(TopMemoryContext, "multitenant observation",
										 ALLOCSET_SMALL_SIZES);
	watches = hash_create("multitenant observation", 16, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Where a row of the scan has the column; 0 if it does not show it. */
static AttrNumber
column_in_scan(PlanState *scan, AttrNumber column)
{
	ListCell   *cell;

	if (IsA(scan, ForeignScanState) || IsA(scan, CustomScanState))
		return 0;
	if (!IsA(scan, IndexOnlyScanState))
		return column;
	foreach(cell, ((IndexOnlyScan *) scan->plan)->indextlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && IsA(entry->expr, Var) && ((Var *) entry->expr)->varattno == column)
			return entry->resno;
	}
	return 0;
}

static void
watch_scan(ScanState *scan, const QueryDesc *query)
{
	PlanState  *node = &scan->ps;
	Relation	relation = scan->ss_currentRelation;
	const MtProtection *protection;
	const char *text;
	int			length;
	Oid			type;
	AttrNumber	column;
	Watch	   *watch;
	bool		is_found;

	if (relation == NULL || RelationGetRelid(relation) < FirstNormalObjectId)
		return;
	protection = MtProtectionOf(RelationGetRelid(relation));
	if (!OidIsValid(protection->observed_as))
		return;
	MtGuardTextOf(query, &text, &length);
	type = protection->column == 0 ? InvalidOid :
		TupleDescAttr(RelationGetDescr(relation), protection->column - 1)->atttypid;
	column = is_tenant_type(type) ? column_in_scan(node, protection->column) : 0;
	if (column == 0)
	{
		if (!IsParallelWorker())
			MtObservationAdd(MtObservationOf(protection->observed_as, text, length),
							 MT_COUNT_UNSEEN, 1);
		return;
	}
	prepare_watches();
	watch = hash_search(watches, &node, HASH_ENTER, &is_found);
	if (is_found)
		return;
	watch->next = node->ExecProcNodeReal;
	watch->column = column;
	watch->tally = make_tally(protection->observed_as, type, MT_COUNT_FOREIGN_READ, text, length);
	watch->callback.func = forget_watch;
	watch->callback.arg = node;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &watch->callback);
	if (node->ExecProcNode == node->ExecProcNodeReal)
		node->ExecProcNode = next_row;
	node->ExecProcNodeReal = next_row;
}

static bool
watch_node(PlanState *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SeqScanState:
		case T_SampleScanState:
		case T_IndexScanState:
		case T_IndexOnlyScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
		case T_ForeignScanState:
		case T_CustomScanState:
			watch_scan((ScanState *) node, context);
			break;
		default:
			break;
	}
	return planstate_tree_walker(node, watch_node, context);
}

static bool
names_observed(const PlannedStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		if (entry->rtekind == RTE_RELATION && entry->relid >= FirstNormalObjectId &&
			OidIsValid(MtProtectionOf(entry->relid)->observed_as))
			return true;
	}
	return false;
}

/* Without a tenant the statement as such has been counted. */
static bool
is_observing(void)
{
	return MtContextGet()->state == MT_STATE_TENANT && MtObservationsAvailable() &&
		MtGuardIsOn() && !InNoForceRLSOperation();
}

static pg_noinline void
observe_start(QueryDesc *query, int eflags)
{
	MemoryContext caller;

	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0 || query->planstate == NULL ||
		!is_observing() || !names_observed(query->plannedstmt))
		return;
	caller = MemoryContextSwitchTo(query->estate->es_query_cxt);
	(void) watch_node(query->planstate, query);
	MemoryContextSwitchTo(caller);
}

void
MtGuardObserveStart(QueryDesc *query, int eflags)
{
	if (unlikely(MtContextIsAny()))
		observe_start(query, eflags);
}

/* ---- rows that are written ---- */

/*
 * The call that counts a new row. Its first argument is of type internal, so that
 * only the library can make it.
 */
static Node *
make_call(Oid relid, Var *column)
{
	Const	   *table = makeConst(INTERNALOID, -1, InvalidOid, SIZEOF_DATUM,
								  ObjectIdGetDatum(relid), false, true);

	return (Node *) makeFuncExpr(MtObserverOid(), BOOLOID, list_make2(table, column),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* Checks of the new rows of one result relation; NIL if it is not observed. */
static List *
checks_for(Index index, Oid relid)
{
	const MtProtection *protection = MtProtectionOf(relid);
	static const WCOKind kinds[] = {WCO_RLS_INSERT_CHECK, WCO_RLS_UPDATE_CHECK};
	Oid			observed = protection->observed_as;
	AttrNumber	column = protection->column;
	Oid			type;
	int32		typmod;
	Oid			collation;
	List	   *checks = NIL;
	char		kind;

	if (!OidIsValid(observed) || column == 0)
		return NIL;
	kind = get_rel_relkind(relid);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		return NIL;
	get_atttypetypmodcoll(relid, column, &type, &typmod, &collation);
	if (!is_tenant_type(type))
		return NIL;
	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		WithCheckOption *check = makeNode(WithCheckOption);

		check->kind = kinds[i];
		check->relname = get_rel_name(relid);
		check->qual = (Node *) list_make1(make_call(observed, makeVar(index, column, type, typmod,
																	  collation, 0)));
		checks = lappend(checks, check);
	}
	return checks;
}

static void
observe_plan(Plan *plan, List *range_table)
{
	ModifyTable *modify = (ModifyTable *) plan;
	List	   *all = NIL;
	bool		any = false;
	ListCell   *cell;
	int			i = 0;

	if (plan == NULL || !IsA(plan, ModifyTable) || modify->operation == CMD_DELETE)
		return;
	foreach(cell, modify->resultRelations)
	{
		Index		index = lfirst_int(cell);
		List	   *before = modify->withCheckOptionLists == NIL ? NIL :
		list_nth(modify->withCheckOptionLists, i);
		List	   *checks = checks_for(index, rt_fetch(index, range_table)->relid);

		any |= checks != NIL;
		all = lappend(all, list_concat(list_copy(before), checks));
		i++;
	}
	if (any)
		modify->withCheckOptionLists = all;
}

/* Does the statement write to an observed table? */
static bool
writes_observed(const PlannedStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->resultRelations)
	{
		Oid			relid = rt_fetch(lfirst_int(cell), statement->rtable)->relid;

		if (OidIsValid(MtProtectionOf(relid)->observed_as))
			return true;
	}
	return false;
}

void
MtGuardObservePlan(PlannedStmt *statement)
{
	ListCell   *cell;

	if (statement->resultRelations == NIL || !MtObservationsAvailable() ||
		!OidIsValid(MtObserverOid()) || InNoForceRLSOperation() || !writes_observed(statement))
		return;
	observe_plan(statement->planTree, statement->rtable);
	foreach(cell, statement->subplans)
		observe_plan(lfirst(cell), statement->rtable);
}

/*
 * COPY FROM makes no plan. A call becomes the last condition of its WHERE, which
 * the server evaluates for each row before it is written, and always holds. The
 * server takes a Var there as it is, so no right to read the column is needed.
 */
PlannedStmt *
MtGuardObserveCopy(PlannedStmt *planned)
{
	CopyStmt   *statement = (CopyStmt *) planned->utilityStmt;
	const MtProtection *protection;
	Node	   *call;
	Oid			relid;
	Oid			type;
	int32		typmod;
	Oid			collation;
	AttrNumber	column;

	if (!IsA(statement, CopyStmt) || !statement->is_from || statement->relation == NULL ||
		!is_observing() || !OidIsValid(MtObserverOid()))
		return planned;
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (!OidIsValid(relid) || relid < FirstNormalObjectId)
		return planned;
	protection = MtProtectionOf(relid);
	if (!OidIsValid(protection->observed_as) || protection->column == 0)
		return planned;
	MtGuardSetCopiedTo(protection->observed_as);
	column = protection->column;
	get_atttypetypmodcoll(relid, column, &type, &typmod, &collation);
	if (!is_tenant_type(type))
		return planned;

	call = (Node *) makeFuncCall(list_make2(makeString(MT_SCHEMA_NAME), makeString("_observe_copied")),
								 list_make1(makeVar(1, column, type, typmod, collation, 0)),
								 COERCE_EXPLICIT_CALL, -1);
	planned = copyObject(planned);
	statement = (CopyStmt *) planned->utilityStmt;
	statement->whereClause = statement->whereClause == NULL ? call :
		(Node *) makeBoolExpr(AND_EXPR, list_make2(statement->whereClause, call), -1);
	return planned;
}

/* Counts the value of a new row's tenant column, argument number of the call. */
static void
count_written(FunctionCallInfo fcinfo, Oid relid, int argument)
{
	Tally	   *tally = (Tally *) fcinfo->flinfo->fn_extra;

	if (!OidIsValid(relid) || !is_observing())
		return;
	if (tally == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		const char *text;
		int			length;

		MtGuardTextOf(NULL, &text, &length);
		tally = make_tally(relid, get_fn_expr_argtype(fcinfo->flinfo, argument),
						   MT_COUNT_FOREIGN_WRITTEN, text, length);
		fcinfo->flinfo->fn_extra = tally;
		MemoryContextSwitchTo(caller);
	}
	if (is_tenant_type(tally->type))
		count_row(tally, PG_ARGISNULL(argument) ? (Datum) 0 : PG_GETARG_DATUM(argument),
				  PG_ARGISNULL(argument));
}

/* multitenant._observe_row(observed internal, tenant "any"): always true. */
Datum
mt_observe_row(PG_FUNCTION_ARGS)
{
	count_written(fcinfo, DatumGetObjectId(PG_GETARG_DATUM(0)), 1);
	PG_RETURN_BOOL(true);
}

/*
 * multitenant._observe_copied(tenant "any"): always true. Who calls it himself
 * can only count within his own COPY.
 */
Datum
mt_observe_copied(PG_FUNCTION_ARGS)
{
	count_written(fcinfo, MtGuardCopiedTo(), 0);
	PG_RETURN_BOOL(true);
}

/* ---- statements ---- */

/*
 * Once for a table: statements name it twice in joins with itself, and from 16 on
 * in ON CONFLICT DO UPDATE, whose "excluded" needs rights of its own there.
 */
static bool
is_counted(MtCounted *counted, Oid relid, MtCount count)
{
	if (list_member_oid(counted->tables[count], relid))
		return true;
	counted->tables[count] = lappend_oid(counted->tables[count], relid);
	return false;
}

static void
count_statement(Oid relid, MtCount count, MtCounted *counted)
{
	const char *text;
	int			length;

	if (is_counted(counted, relid, count))
		return;
	MtGuardTextOf(NULL, &text, &length);
	MtObservationAdd(MtObservationOf(relid, text, length), count, 1);
}

/*
 * Maintenance that runs as the table's owner is not counted, nor are the
 * statements of a foreign key, which will be exempt.
 */
void
MtGuardObserveStatement(Oid relid, bool is_filtered, uint32 needed, MtCounted *counted)
{
	bool		has_tenant = MtContextGet()->state == MT_STATE_TENANT;

	if (!MtObservationsAvailable() || IsParallelWorker() || InNoForceRLSOperation() ||
		InSecurityRestrictedOperation())
		return;
	if (!is_counted(counted, relid, MT_COUNT_STATEMENTS))
		MtObservationAdd(MtObservationOf(relid, NULL, 0), MT_COUNT_STATEMENTS, 1);
	if (is_filtered)
	{
		if (!has_tenant)
			count_statement(relid, MT_COUNT_WITHOUT_CONTEXT, counted);
		else if (MtGuardIsCopy() && (needed & MT_MAY_BYPASS_WRITE) == 0)
			count_statement(relid, MT_COUNT_UNSEEN, counted);
	}
	else if (has_tenant || (MtAccessCapabilities() & needed) != needed)
		count_statement(relid, MT_COUNT_BYPASSING, counted);
}

void
MtGuardObserveLegacy(Oid relid, MtCounted *counted)
{
	if (MtObservationsAvailable() && !IsParallelWorker())
		count_statement(relid, MT_COUNT_LEGACY, counted);
}

/* ---- reports ---- */

static void
require_observations(void)
{
	if (!MtObservationsAvailable())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("observing tables needs the library in shared_preload_libraries"),
				errhint("Add multitenant to shared_preload_libraries and restart the server."));
}

static void
require_report(void)
{
	MtAccessRequire(MT_MAY_CHANGE_ISOLATION, "what was observed");
	require_observations();
}

/* multitenant._require_observations() */
Datum
mt_require_observations(PG_FUNCTION_ARGS)
{
	require_observations();
	PG_RETURN_VOID();
}

/* multitenant._observations(): columns in the order of MtObserved. */
Datum
mt_observations(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MtObserved *observed;
	int			number;

	require_report();
	InitMaterializedSRF(fcinfo, 0);
	observed = MtObservationsRead(&number);
	for (int i = 0; i < number; i++)
	{
		Datum		values[6 + MT_COUNTS];
		bool		nulls[6 + MT_COUNTS] = {false};

		values[0] = ObjectIdGetDatum(observed[i].relid);
		values[1] = ObjectIdGetDatum(observed[i].role);
		values[2] = CStringGetTextDatum(observed[i].application);
		values[3] = CStringGetTextDatum(observed[i].statement);
		values[4] = TimestampTzGetDatum(observed[i].first);
		values[5] = TimestampTzGetDatum(observed[i].last);
		for (int j = 0; j < MT_COUNTS; j++)
			values[6 + j] = Int64GetDatum((int64) observed[i].counts[j]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* multitenant._observations_lost() */
Datum
mt_observations_lost(PG_FUNCTION_ARGS)
{
	require_report();
	PG_RETURN_INT64((int64) MtObservationsLost());
}

/* multitenant._forget_observations(table_name regclass) */
Datum
mt_forget_observations(PG_FUNCTION_ARGS)
{
	require_report();
	MtObservationsForget(PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0));
	PG_RETURN_VOID();
}
