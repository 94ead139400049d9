/*
 * newtable.c
 *	  Tables that this transaction makes, and what is done about them.
 *
 * Owns the notes of the transaction: what was made, moved, or given a column.
 * Before the commit each is looked at as it is by then, so that a migration may
 * create first and decide later; what was dropped or rolled back is no matter.
 * docs/internals/new-tables.md is the design.
 *
 * Three parts act. The object access hook notes, whatever the statement. Event
 * triggers have the library loaded where it is not preloaded, and in mode auto
 * insert a row whose deferred trigger runs protect() at the end of the
 * transaction, where user code may still run. A callback before the commit
 * only reads catalogs, and warns or refuses.
 *
 * Security: protect() runs as each table's owner, never as the session that
 * happened to create it nor as the extension's owner: it changes tables that
 * foreign keys refer to.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/names.h"
#include "base/tablescan.h"
#include "base/transaction.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "policy/label.h"
#include "policy/newtable.h"
#include "policy/protection.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_before_ddl);
PG_FUNCTION_INFO_V1(mt_after_ddl);
PG_FUNCTION_INFO_V1(mt_protect_new_tables);

/* Columns of multitenant.new_table_rule that C reads. */
enum
{
	RULE_IS_ONLY = 1,
	RULE_MODE,
	RULE_TENANT_COLUMN,
	RULE_SCHEMAS,
	RULE_IS_IN_FORCE
};

typedef enum RuleMode
{
	MODE_OFF,
	MODE_WARN,
	MODE_AUTO,
	MODE_ERROR
} RuleMode;

static const char *const mode_names[] = {"off", "warn", "auto", "error"};

/* What set_new_tables() has said. */
typedef struct Rule
{
	RuleMode	mode;			/* off while it is not in force */
	NameData	tenant_column;
	bool		is_everywhere;
	List	   *schemas;		/* names, unless everywhere */
} Rule;

typedef struct Note
{
	Oid			relid;
	bool		is_new;			/* came here in some way; else one of these: */
	AttrNumber	column;			/* this column is new, or .. */
	char	   *column_before;	/* .. had this name; NULL: is new */
	Oid			schema_before;	/* may have been moved from there */
	SubTransactionId subid;
} Note;

/* In the transaction's memory, in the order of their subtransactions. */
static Note *notes = NULL;
static int	note_count = 0;
static int	note_space = 0;

/* How many of them mode auto has been told of. */
static int	told_count = 0;

/* Is protect() at work? Its own commands are no reason to call it again. */
static bool is_protecting = false;

/* ---- notes ---- */

static void
add_note(const Note *note)
{
	if (notes == NULL)
	{
		note_space = 16;
		notes = MemoryContextAlloc(TopTransactionContext, note_space * sizeof(Note));
	}
	else if (note_count == note_space)
	{
		note_space *= 2;
		notes = repalloc_huge(notes, note_space * sizeof(Note));
	}
	MtTransactionNote();
	notes[note_count] = *note;
	notes[note_count++].subid = GetCurrentSubTransactionId();
}

static void
note_new(Oid relid)
{
	Note		note = {.relid = relid,.is_new = true};

	add_note(&note);
}

void
MtNewTableNoteCreated(Oid relid)
{
	note_new(relid);
}

void
MtNewTableNoteColumn(Oid relid, AttrNumber column, bool is_new)
{
	Note		note = {.relid = relid,.column = column};
	char	   *before = is_new ? NULL : get_attname(relid, column, true);

	if (before != NULL)
		note.column_before = MemoryContextStrdup(TopTransactionContext, before);
	add_note(&note);
}

void
MtNewTableNoteAltered(Oid relid)
{
	Note		note = {.relid = relid,.schema_before = get_rel_namespace(relid)};

	/* One ALTER TABLE tells of the same relation several times. */
	if (note_count > 0 && notes[note_count - 1].relid == relid &&
		(notes[note_count - 1].is_new || OidIsValid(notes[note_count - 1].schema_before)))
		return;
	if (OidIsValid(note.schema_before))
		add_note(&note);
}

/*
 * Has anything above the relation a class? Not asked of the cache of
 * protections, which must not learn what is true only until the end of this
 * command.
 */
static bool
is_below_class(Oid relid)
{
	List	   *pending = MtParentsOf(relid);

	/* The list grows while it is walked; each relation comes once. */
	for (int i = 0; i < list_length(pending); i++)
	{
		Oid			parent = list_nth_oid(pending, i);
		MtLabel		label;

		MtLabelOf(parent, &label);
		if (label.class != MT_CLASS_NONE || MtProtectionIsOwn(parent))
			return true;
		pending = list_concat_unique_oid(pending, MtParentsOf(parent));
	}
	return false;
}

/*
 * What was decided through its parent becomes a table of its own. What nobody
 * has decided about is no newer than it was; but a partition was looked at where
 * its parent is, and comes from there.
 */
void
MtNewTableNoteParent(Oid relid)
{
	ListCell   *cell;

	if (is_below_class(relid))
		note_new(relid);
	else if (get_rel_relispartition(relid))
		foreach(cell, MtParentsOf(relid))
	{
		Note		note = {.relid = relid,.schema_before = get_rel_namespace(lfirst_oid(cell))};

		add_note(&note);
	}
}

static void
forget_notes(void)
{
	notes = NULL;
	note_count = note_space = told_count = 0;
}

/* ---- the rule ---- */

static void
read_rule(HeapTuple tuple, TupleDesc desc, void *result)
{
	Rule	   *rule = (Rule *) result;
	bool		is_null;
	char	   *mode = MtColumnText(tuple, desc, RULE_MODE);
	Datum		schemas;

	if (DatumGetBool(heap_getattr(tuple, RULE_IS_IN_FORCE, desc, &is_null)))
		for (size_t i = 0; i < lengthof(mode_names); i++)
			if (strcmp(mode, mode_names[i]) == 0)
				rule->mode = (RuleMode) i;
	rule->tenant_column = *DatumGetName(heap_getattr(tuple, RULE_TENANT_COLUMN, desc, &is_null));
	schemas = heap_getattr(tuple, RULE_SCHEMAS, desc, &rule->is_everywhere);
	if (!rule->is_everywhere)
	{
		Datum	   *names;
		int			count;

		deconstruct_array(DatumGetArrayTypeP(schemas), TEXTOID, -1, false, TYPALIGN_INT,
						  &names, NULL, &count);
		for (int i = 0; i < count; i++)
			rule->schemas = lappend(rule->schemas, TextDatumGetCString(names[i]));
	}
}

/* An older SQL side has no rule. */
static void
find_rule(Rule *rule)
{
	memset(rule, 0, sizeof(*rule));
	if (OidIsValid(MtTableOid(MT_TABLE_NEW_TABLE_RULE)))
		(void) MtTableScan(MT_TABLE_NEW_TABLE_RULE, NULL, 0, NULL, NULL, NULL, read_rule, rule);
}

static bool
is_watched(Oid relid, const Rule *rule)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	ListCell   *cell;

	if (rule->is_everywhere)
		return true;
	foreach(cell, rule->schemas)
		if (schema != NULL && strcmp(schema, lfirst(cell)) == 0)
		return true;
	return false;
}

/* ---- judging ---- */

static bool
is_of_system(Oid schema)
{
	char	   *name = get_namespace_name(schema);

	return name == NULL || strncmp(name, "pg_", 3) == 0 ||
		strcmp(name, "information_schema") == 0 || strcmp(name, MT_SCHEMA_NAME) == 0;
}

/*
 * Is it a table of its own, permanent, the application's, and without a class?
 * A partition belongs to its parent's business; so do inheritance children, as
 * long as the parent has a class.
 */
static bool
is_undecided(Oid relid)
{
	const MtProtection *protection;
	HeapTuple	tuple;
	bool		is_table;
	bool		is_foreign;
	Oid			schema;

	/* Held already where this transaction made or altered it. */
	LockRelationOid(relid, AccessShareLock);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return false;
	is_foreign = ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_FOREIGN_TABLE;
	is_table = (is_foreign || ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_RELATION ||
				((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_PARTITIONED_TABLE) &&
		((Form_pg_class) GETSTRUCT(tuple))->relpersistence != RELPERSISTENCE_TEMP &&
		!((Form_pg_class) GETSTRUCT(tuple))->relispartition;
	schema = ((Form_pg_class) GETSTRUCT(tuple))->relnamespace;
	ReleaseSysCache(tuple);
	if (!is_table || is_of_system(schema) ||
		OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		return false;
	/* That it is observed has been decided. */
	protection = MtProtectionOf(relid);
	return protection->class == MT_CLASS_NONE && !OidIsValid(protection->observed_as);
}

/* Has what the note is about come about, by the rule's measure? */
static bool
concerns(const Note *note, const Rule *rule)
{
	const char *tenant_column = NameStr(rule->tenant_column);
	char	   *name;

	if (note->is_new)
		return true;
	if (note->column == 0)
		return get_rel_namespace(note->relid) != note->schema_before;
	name = get_attname(note->relid, note->column, true);
	return name != NULL && strcmp(name, tenant_column) == 0 &&
		(note->column_before == NULL || strcmp(note->column_before, tenant_column) != 0);
}

/*
 * Relations noted from "first" on about which the rule has something to say. The
 * rule is read, and locked if wanted, only if there is a table at all: temporary
 * tables must not wait for anybody.
 */
static List *
find_undecided(int first, bool lock, Rule *rule)
{
	List	   *found = NIL;
	bool		is_read = false;

	memset(rule, 0, sizeof(*rule));
	for (int i = first; i < note_count; i++)
	{
		if (list_member_oid(found, notes[i].relid) || !is_undecided(notes[i].relid))
			continue;
		if (!is_read)
		{
			if (lock && OidIsValid(MtTableOid(MT_TABLE_NEW_TABLE_RULE)))
				LockRelationOid(MtTableOid(MT_TABLE_NEW_TABLE_RULE), RowShareLock);
			find_rule(rule);
			is_read = true;
			if (rule->mode == MODE_OFF)
				return NIL;
		}
		if (concerns(&notes[i], rule) && is_watched(notes[i].relid, rule))
			found = lappend_oid(found, notes[i].relid);
	}
	return found;
}

static const char *
next_step(Oid relid, const Rule *rule)
{
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		return "Nothing can keep tenants apart in a foreign table: make it in a schema that "
			"multitenant.set_new_tables() does not watch.";
	if (get_attnum(relid, NameStr(rule->tenant_column)) == InvalidAttrNumber)
		return psprintf("Give it a column \"%s\" and call multitenant.protect() in the same transaction, or have a role of "
						"profile migrator say what it is with multitenant.share() or exempt().",
						NameStr(rule->tenant_column));
	return "Call multitenant.protect() in the same transaction, or have a role of profile migrator say what it is "
		"with multitenant.shared_rows(), share() or exempt().";
}

/*
 * Before the commit. Reads catalogs only: what user code leaves behind from here
 * on - portals, deferred triggers - nobody takes care of.
 */
static void
check_new_tables(void)
{
	Rule		rule;
	List	   *undecided;
	ListCell   *cell;

	PushActiveSnapshot(GetTransactionSnapshot());
	undecided = find_undecided(0, true, &rule);
	foreach(cell, undecided)
		ereport(rule.mode == MODE_WARN ? WARNING : ERROR,
				errcode(rule.mode == MODE_WARN ? ERRCODE_WARNING : MT_ERRCODE_REFUSED_BY_GUARD),
				errmsg("new table %s has no class", MtQualifiedName(lfirst_oid(cell))),
				errdetail("The mode for new tables is %s.", mode_names[rule.mode]),
				errhint("%s", next_step(lfirst_oid(cell), &rule)));
	PopActiveSnapshot();
}

static void
transaction_ends(XactEvent event)
{
	if (note_count == 0)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		if (MtIsActive())
			check_new_tables();
	}
	else
		forget_notes();
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId subid,
					SubTransactionId parent)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = note_count - 1; i >= 0 && notes[i].subid == subid; i--)
			notes[i].subid = parent;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (note_count > 0 && notes[note_count - 1].subid == subid)
			note_count--;
		/* The row that told of earlier ones may be gone. */
		told_count = 0;
	}
}

void
MtNewTableInit(void)
{
	MtTransactionOnEnd(transaction_ends);
	MtTransactionOnSubEnd(subtransaction_ends);
}

/* ---- event triggers ---- */

/*
 * On ddl_command_start: that it is called has loaded the library. A statement
 * that was analyzed before may be one that names our label provider.
 */
Datum
mt_before_ddl(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "mt_before_ddl: not called as an event trigger");
	MtLabelBeforeStatement(data->parsetree);
	PG_RETURN_NULL();
}

/* The tables of a schema that has just got its name are in no other way new. */
static void
note_tables_of(Oid schema)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		note_new(((Form_pg_class) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

/* What changes no relation, but brings one within reach of the rule. */
static void
note_statement(Node *statement)
{
	if (statement == NULL)
		return;
	if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_SCHEMA)
	{
		Oid			schema = get_namespace_oid(((RenameStmt *) statement)->newname, true);

		if (OidIsValid(schema))
			note_tables_of(schema);
	}
	else if (IsA(statement, AlterExtensionContentsStmt))
	{
		AlterExtensionContentsStmt *alter = (AlterExtensionContentsStmt *) statement;
		Oid			relid;

		if (alter->action > 0 ||
			(alter->objtype != OBJECT_TABLE && alter->objtype != OBJECT_FOREIGN_TABLE))
			return;
		relid = RangeVarGetRelid(makeRangeVarFromNameList(castNode(List, alter->object)), NoLock, true);
		if (OidIsValid(relid))
			note_new(relid);
	}
}

/* Runs one statement as the role; the caller's rights come back afterwards. */
static void
run_as(Oid role, const char *statement, int count, Oid *types, Datum *values)
{
	Oid			user;
	int			context;
	int			nest_level = NewGUCNestLevel();

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(role, context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(statement, count, types, values, NULL, false, 0) < 0)
		elog(ERROR, "unexpected result of a statement");
	SPI_finish();
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(user, context);
}

static Oid
owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "relation with OID %u is missing", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* On ddl_command_end. */
Datum
mt_after_ddl(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	Rule		rule;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "mt_after_ddl: not called as an event trigger");
	if (!MtIsActive())
		PG_RETURN_NULL();
	note_statement(data->parsetree);
	if (is_protecting || told_count == note_count)
		PG_RETURN_NULL();
	if (find_undecided(told_count, false, &rule) != NIL && rule.mode == MODE_AUTO)
		run_as(owner_of(MtTableOid(MT_TABLE_PENDING_PROTECTION)),
			   "INSERT INTO multitenant.pending_protection DEFAULT VALUES", 0, NULL, NULL);
	told_count = note_count;
	PG_RETURN_NULL();
}

/* ---- mode auto ---- */

static void
explain_protect(void *arg)
{
	errcontext("protecting new table %s (multitenant.set_new_tables: auto)", (const char *) arg);
}

static void
protect(Oid relid, Rule *rule)
{
	Oid			types[] = {REGCLASSOID, NAMEOID};
	Datum		values[] = {ObjectIdGetDatum(relid), NameGetDatum(&rule->tenant_column)};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = explain_protect,
		.arg = MtQualifiedName(relid),
	};

	error_context_stack = &callback;
	run_as(owner_of(relid), "SELECT count(*) FROM multitenant.protect($1, $2)", 2, types, values);
	error_context_stack = callback.previous;
}

static void
protect_all(List *tables, Rule *rule)
{
	ListCell   *cell;

	foreach(cell, tables)
	{
		Oid			relid = lfirst_oid(cell);

		/* A table above it may have taken it along. */
		if (is_undecided(relid) && get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE &&
			get_attnum(relid, NameStr(rule->tenant_column)) != InvalidAttrNumber)
			protect(relid, rule);
	}
}

/*
 * Deferred trigger of multitenant.pending_protection. One call does all there is
 * to do; what has no tenant column is left to the check before the commit.
 */
Datum
mt_protect_new_tables(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Rule		rule;
	List	   *undecided;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "mt_protect_new_tables: not called as a trigger");
	/* The row may be of this command. */
	CommandCounterIncrement();
	simple_heap_delete(data->tg_relation, &data->tg_trigtuple->t_self);
	if (!MtIsActive() || is_protecting)
		PG_RETURN_POINTER(NULL);
	undecided = find_undecided(0, false, &rule);
	if (rule.mode != MODE_AUTO)
		PG_RETURN_POINTER(NULL);
	PG_TRY();
	{
		is_protecting = true;
		protect_all(undecided, &rule);
	}
	PG_FINALLY();
	{
		is_protecting = false;
	}
	PG_END_TRY();
	PG_RETURN_POINTER(NULL);
}
