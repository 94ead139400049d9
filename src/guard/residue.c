/*
 * residue.c
 *	  What one user of a session leaves to the next: finds and removes it.
 *
 * Owns the baseline: what the session had when its first context began, which is
 * what drivers and pools set up when they connect.
 *
 * Invariant: nothing that the running transaction has made or set is residue.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/settings.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "commands/prepare.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* A setting of the session, and its value in the form that it is set with. */
typedef struct Setting
{
	char	   *name;
	char	   *value;
} Setting;

/* A statement or cursor: a name that is given again is another one. */
typedef struct Named
{
	char	   *name;
	TimestampTz since;
} Named;

static MemoryContext baseline = NULL;	/* NULL: there is none */
static List *baseline_settings = NIL;
static List *baseline_objects = NIL;	/* of ObjectAddress */
static List *baseline_statements = NIL; /* of Named */
static List *baseline_cursors = NIL;

/*
 * The server reports these to the client. PgBouncer has just set them for the
 * client that it gave the session to; setting them back would change them for
 * that one, behind its back.
 *
 * Security: standard_conforming_strings is one of them, and is set back: off, it
 * turns the next client's escaping into a way to inject.
 */
static const char *const reported[] = {
	"application_name", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone"
};

/* In strict mode only settings are taken for granted. */
static bool
objects_have_baseline(void)
{
	return mt_guc_session_hygiene != MT_HYGIENE_STRICT;
}

/* ---- temporary objects ---- */

static bool
is_in_baseline(const ObjectAddress *object)
{
	ListCell   *cell;

	foreach(cell, baseline_objects)
	{
		ObjectAddress *known = lfirst(cell);

		if (known->classId == object->classId && known->objectId == object->objectId)
			return true;
	}
	return false;
}

/* The temporary objects, or those of earlier transactions: a list of ObjectAddress. */
static List *
temporary_objects(bool earlier_only)
{
	List	   *result = NIL;
	Oid			schema;
	Oid			toast_schema;
	Relation	depend;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	GetTempNamespaceState(&schema, &toast_schema);
	if (!OidIsValid(schema))
		return NIL;
	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		ObjectAddress *object;

		if (earlier_only &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			continue;
		object = palloc(sizeof(ObjectAddress));
		ObjectAddressSubSet(*object, form->classid, form->objid, form->objsubid);
		result = lappend(result, object);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return result;
}

static List *
temporary_residue(void)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, temporary_objects(true))
	{
		if (!objects_have_baseline() || !is_in_baseline(lfirst(cell)))
			result = lappend(result, lfirst(cell));
	}
	return result;
}

static void
drop_temporary_objects(void)
{
	List	   *found = temporary_residue();
	ObjectAddresses *objects;
	ListCell   *cell;

	if (found == NIL)
		return;
	objects = new_object_addresses();
	foreach(cell, found)
		add_exact_object_address(lfirst(cell), objects);
	performMultipleDeletions(objects, DROP_CASCADE, PERFORM_DELETION_INTERNAL |
							 PERFORM_DELETION_QUIETLY | PERFORM_DELETION_SKIP_EXTENSIONS);
	free_object_addresses(objects);
	CommandCounterIncrement();
}

/* Has this transaction written a row of the table that is still there? */
static bool
is_filled(Relation table)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = MtTableBeginScan(table, GetActiveSnapshot());
	bool		result = false;

	while (!result && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		is_null;
		Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &is_null);

		result = is_null ||
			TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
		CHECK_FOR_INTERRUPTS();
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return result;
}

const char *
MtResidueFilledTable(void)
{
	const char *result = NULL;
	ListCell   *cell;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return NULL;
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, temporary_objects(false))
	{
		ObjectAddress *object = lfirst(cell);
		Relation	table;

		if (object->classId != RelationRelationId ||
			get_rel_relkind(object->objectId) != RELKIND_RELATION)
			continue;
		table = table_open(object->objectId, AccessShareLock);
		if (is_filled(table))
			result = pstrdup(RelationGetRelationName(table));
		table_close(table, AccessShareLock);
		if (result != NULL)
			break;
	}
	PopActiveSnapshot();
	return result;
}

/* ---- statements and cursors ---- */

static int
column_of(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	elog(ERROR, "no column \"%s\"", name);
}

/*
 * Calls a function of the server that lists what is in this session, and gives
 * the names of those whose flag is set (NULL: of all): a list of Named.
 */
static List *
listed(Oid function, const char *flag, const char *time)
{
	LOCAL_FCINFO(fcinfo, 0);
	EState	   *state = CreateExecutorState();
	ReturnSetInfo set = {.type = T_ReturnSetInfo,.allowedModes = SFRM_Materialize};
	FmgrInfo	info;
	TupleTableSlot *slot;
	List	   *result = NIL;

	set.econtext = CreateExprContext(state);
	fmgr_info(function, &info);
	InitFunctionCallInfoData(*fcinfo, &info, 0, InvalidOid, NULL, (Node *) &set);
	(void) FunctionCallInvoke(fcinfo);
	slot = MakeSingleTupleTableSlot(set.setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(set.setResult, true, false, slot))
	{
		bool		is_null;
		Named	   *named;

		if (flag != NULL && !DatumGetBool(slot_getattr(slot, column_of(set.setDesc, flag), &is_null)))
			continue;
		named = palloc(sizeof(Named));
		named->name = TextDatumGetCString(slot_getattr(slot, column_of(set.setDesc, "name"), &is_null));
		named->since = DatumGetTimestampTz(slot_getattr(slot, column_of(set.setDesc, time), &is_null));
		result = lappend(result, named);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(set.setResult);
	FreeExecutorState(state);
	return result;
}

static List *
without_baseline(List *all, List *known)
{
	List	   *result = NIL;
	ListCell   *cell;
	ListCell   *other;

	foreach(cell, all)
	{
		Named	   *named = lfirst(cell);
		bool		is_known = false;

		foreach(other, known)
		{
			Named	   *of_baseline = lfirst(other);

			if (named->since == of_baseline->since && strcmp(named->name, of_baseline->name) == 0)
				is_known = true;
		}
		if (!is_known)
			result = lappend(result, named);
	}
	return result;
}

/*
 * Those of earlier transactions. The ones made with the protocol belong to
 * drivers and poolers.
 */
static List *
statements(void)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, listed(F_PG_PREPARED_STATEMENT, "from_sql", "prepare_time"))
		if (((Named *) lfirst(cell))->since < GetCurrentTransactionStartTimestamp())
		result = lappend(result, lfirst(cell));
	return result;
}

/* The cursors of earlier transactions; this one's cannot be held yet. */
static List *
cursors(void)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, listed(F_PG_CURSOR, "is_holdable", "creation_time"))
	{
		Named	   *named = lfirst(cell);
		Portal		portal = GetPortalByName(named->name);

		if (PortalIsValid(portal) && portal->createSubid == InvalidSubTransactionId &&
			portal->status != PORTAL_ACTIVE && !portal->portalPinned)
			result = lappend(result, named);
	}
	return result;
}

bool
MtResidueHasCursor(void)
{
	ListCell   *cell;

	foreach(cell, listed(F_PG_CURSOR, NULL, "creation_time"))
		if (!MtGuardIsInClientsPortal() || strcmp(((Named *) lfirst(cell))->name, ActivePortal->name) != 0)
		return true;
	return false;
}

static List *
statement_residue(void)
{
	return without_baseline(statements(), objects_have_baseline() ? baseline_statements : NIL);
}

static List *
cursor_residue(void)
{
	return without_baseline(cursors(), objects_have_baseline() ? baseline_cursors : NIL);
}

/* ---- settings ---- */

/* Where the value of a setting comes from that it had when the transaction began. */
static const GucStack *
bottom_of(const struct config_generic *setting)
{
	const GucStack *entry = setting->stack;

	while (entry != NULL && entry->prev != NULL)
		entry = entry->prev;
	return entry;
}

/* Has this transaction SET it for the session? Then that counts, not what was. */
static bool
is_set_here(const struct config_generic *setting)
{
	for (const GucStack *entry = setting->stack; entry != NULL; entry = entry->prev)
		if (entry->state == GUC_SET || entry->state == GUC_SET_LOCAL)
			return true;
	return false;
}

static char *
text_of(const struct config_generic *setting, const union config_var_val *value)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return pstrdup(value->boolval ? "on" : "off");
		case PGC_INT:
			return psprintf("%d", value->intval);
		case PGC_REAL:
			return psprintf("%g", value->realval);
		case PGC_STRING:
			return pstrdup(value->stringval ? value->stringval : "");
		case PGC_ENUM:
			return pstrdup(MtGucEnumName(setting, value->enumval));
	}
	elog(ERROR, "unknown type of setting \"%s\"", setting->name);
}

/* The value that the session has set, when the transaction began; NULL: none. */
static char *
session_value(const struct config_generic *setting)
{
	const GucStack *bottom = bottom_of(setting);
	const char *value;

	if ((bottom ? bottom->source : setting->source) != PGC_S_SESSION)
		return NULL;
	if (bottom)
		return text_of(setting, &bottom->prior.val);
	value = GetConfigOption(setting->name, true, false);
	return pstrdup(value ? value : "");
}

static bool
is_role(const struct config_generic *setting)
{
	return strcmp(setting->name, "role") == 0;
}

/* Is it a setting that a session can leave changed, and that is not left alone? */
static bool
is_watched(const struct config_generic *setting)
{
	if (setting->context != PGC_USERSET && setting->context != PGC_SUSET)
		return false;

	/*
	 * A superuser's connection is no pool's; tests and scripts use it as many
	 * roles.
	 */
	if (is_role(setting))
		return !superuser_arg(GetSessionUserId());
	if ((setting->flags & MT_GUC_KEPT) != 0 || strncmp(setting->name, "multitenant.", 12) == 0)
		return false;
	for (size_t i = 0; i < lengthof(reported); i++)
		if (pg_strcasecmp(setting->name, reported[i]) == 0)
			return false;
	return true;
}

static const char *
baseline_value(const char *name)
{
	ListCell   *cell;

	foreach(cell, baseline_settings)
	{
		Setting    *setting = lfirst(cell);

		if (strcmp(setting->name, name) == 0)
			return setting->value;
	}
	return NULL;
}

/* SET ROLE to the role that the session has anyway changes nothing. */
static bool
is_no_other_role(const char *name)
{
	return name == NULL || strcmp(name, "none") == 0 ||
		get_role_oid(name, true) == GetSessionUserId();
}

/* Was it, when the transaction began, other than in the baseline? */
static bool
is_residue(const struct config_generic *setting)
{
	const char *known = baseline_value(setting->name);
	const char *value;

	if (setting->source != PGC_S_SESSION && setting->stack == NULL && known == NULL)
		return false;
	if (!is_watched(setting) || is_set_here(setting))
		return false;
	value = session_value(setting);
	if (is_role(setting) && is_no_other_role(known) && is_no_other_role(value))
		return false;
	if (value == NULL && known != NULL)
	{
		/* RESET is a change, too, unless it comes to the same. */
		value = setting->stack ? NULL : GetConfigOption(setting->name, true, false);
		return value == NULL || strcmp(value, known) != 0;
	}
	return value != NULL && (known == NULL || strcmp(value, known) != 0);
}

static void
refuse_role(void)
{
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("an earlier user of this session has changed its role"),
			errhint("Choose a role with SET LOCAL ROLE inside the transaction; RESET ROLE or DISCARD ALL ends what is left."));
}

static void
set_back(const struct config_generic *setting)
{
	if (is_role(setting))
		refuse_role();

	/*
	 * A setting may refuse what it took once. RESET asks no check; so the
	 * next tenant is not locked out.
	 */
	if (set_config_option(setting->name, baseline_value(setting->name), PGC_SUSET,
						  PGC_S_SESSION, GUC_ACTION_SET, true, DEBUG1, false) <= 0)
		(void) set_config_option(setting->name, NULL, PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, ERROR, false);
}

/* Sets back what can be; false if something is hidden. */
static bool
set_back_settings(void)
{
	int			count;
	struct config_generic **settings = MtGucVariables(&count);
	bool		result = true;

	for (int i = 0; i < count; i++)
	{
		if (!is_residue(settings[i]))
			continue;
		if (settings[i]->stack != NULL)
			result = false;
		else
			set_back(settings[i]);
	}
	return result;
}

static bool
has_changed_settings(void)
{
	int			count;
	struct config_generic **settings = MtGucVariables(&count);

	for (int i = 0; i < count; i++)
		if (is_residue(settings[i]))
			return true;
	return false;
}

/* Security: who sowed the seed knows what random() gives the next tenant. */
static void
sow_seed(void)
{
	uint32		seed;

	if (!pg_strong_random(&seed, sizeof(seed)))
		elog(ERROR, "could not generate a random seed");
	(void) DirectFunctionCall1(setseed, Float8GetDatum(seed / (double) PG_UINT32_MAX));
}

/* ---- all kinds ---- */

static void
remember_settings(void)
{
	int			count;
	struct config_generic **settings = MtGucVariables(&count);
	MemoryContext before;

	for (int i = 0; i < count; i++)
	{
		char	   *value = is_watched(settings[i]) ? session_value(settings[i]) : NULL;
		Setting    *setting;

		if (value == NULL)
			continue;
		before = MemoryContextSwitchTo(baseline);
		setting = palloc(sizeof(Setting));
		setting->name = pstrdup(settings[i]->name);
		setting->value = pstrdup(value);
		baseline_settings = lappend(baseline_settings, setting);
		MemoryContextSwitchTo(before);
	}
}

static List *
remembered(List *all)
{
	List	   *result = NIL;
	ListCell   *cell;
	MemoryContext before = MemoryContextSwitchTo(baseline);

	foreach(cell, all)
	{
		Named	   *named = palloc(sizeof(Named));

		*named = *(Named *) lfirst(cell);
		named->name = pstrdup(named->name);
		result = lappend(result, named);
	}
	MemoryContextSwitchTo(before);
	return result;
}

static void
remember_objects(List *all)
{
	ListCell   *cell;
	MemoryContext before = MemoryContextSwitchTo(baseline);

	foreach(cell, all)
	{
		ObjectAddress *object = palloc(sizeof(ObjectAddress));

		*object = *(ObjectAddress *) lfirst(cell);
		baseline_objects = lappend(baseline_objects, object);
	}
	MemoryContextSwitchTo(before);
}

/*
 * Security: everybody can say DISCARD ALL. What comes after it is a driver's
 * settings, or those of an attacker; objects that take a table's place are no
 * driver's.
 */
void
MtResidueTakeBaseline(bool is_discarded)
{
	MtResidueForgetBaseline();
	baseline = AllocSetContextCreate(TopMemoryContext, "multitenant session baseline",
									 ALLOCSET_SMALL_SIZES);
	remember_settings();
	if (is_discarded)
		return;
	remember_objects(temporary_objects(true));
	baseline_statements = remembered(statements());
	baseline_cursors = remembered(cursors());
}

void
MtResidueForgetBaseline(void)
{
	if (baseline != NULL)
		MemoryContextDelete(baseline);
	baseline = NULL;
	baseline_settings = baseline_objects = baseline_statements = baseline_cursors = NIL;
}

uint32
MtResidueFind(uint32 kinds)
{
	uint32		found = 0;

	if ((kinds & MT_RESIDUE_TEMP) && temporary_residue() != NIL)
		found |= MT_RESIDUE_TEMP;
	if ((kinds & MT_RESIDUE_STATEMENTS) && statement_residue() != NIL)
		found |= MT_RESIDUE_STATEMENTS;
	if ((kinds & MT_RESIDUE_CURSORS) && cursor_residue() != NIL)
		found |= MT_RESIDUE_CURSORS;
	if (kinds & MT_RESIDUE_SETTINGS)
	{
		sow_seed();
		if (has_changed_settings())
			found |= MT_RESIDUE_SETTINGS;
	}
	return found;
}

/*
 * Security: EXECUTE uses the memory of its statement while it evaluates the
 * parameters and plans, where a context can begin.
 */
static void
refuse_while_executing(void)
{
	if (MtGuardIsExecuting() && statement_residue() != NIL)
		ereport(ERROR,
				errcode(MT_ERRCODE_REFUSED_BY_GUARD),
				errmsg("a context cannot begin inside EXECUTE while an earlier user's statements are to be removed"),
				errhint("Begin the context in a statement of its own."));
}

bool
MtResidueRemove(uint32 kinds)
{
	ListCell   *cell;

	if (kinds & MT_RESIDUE_STATEMENTS)
		refuse_while_executing();
	if (kinds & MT_RESIDUE_CURSORS)
		foreach(cell, cursor_residue())
			PortalDrop(GetPortalByName(((Named *) lfirst(cell))->name), false);
	if (kinds & MT_RESIDUE_STATEMENTS)
		foreach(cell, statement_residue())
			DropPreparedStatement(((Named *) lfirst(cell))->name, false);
	if (kinds & MT_RESIDUE_TEMP)
		drop_temporary_objects();
	if (kinds & MT_RESIDUE_SETTINGS)
	{
		sow_seed();
		return set_back_settings();
	}
	return true;
}
