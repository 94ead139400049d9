/*
 * encryptedrow.c
 *	  The trigger that encrypts what is written through the view of a table with
 *	  encrypted columns, and what is written past it.
 *
 * The trigger's arguments are statements that multitenant._refresh_encryption() has
 * written; "new" and "old" in them are the trigger's rows. Owns the plans of
 * these statements in this session. Invariant: a plan is used only with rows whose
 * columns have the types that it was made for.
 *
 * Security: statements run with the rights of whoever writes, under the policies of the table,
 * as that person's own statements would; nothing here knows a key.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/params.h"
#include "parser/parse_node.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(mt_encrypted_row);

/* Arguments of the trigger; the first one, the registration, is for SQL. */
enum
{
	ARGUMENT_REGISTRATION,
	ARGUMENT_INSERT,
	ARGUMENT_UPDATE,
	ARGUMENT_DELETE,
	ARGUMENT_EXISTS,
	ARGUMENT_COUNT
};

/* Plans that are kept: of 64 views or so. One more, and all are made again. */
#define PLANS_MAX 256

typedef struct StatementName
{
	Oid			trigger;
	int			argument;
} StatementName;

typedef struct Statement
{
	StatementName name;			/* first: the hash key */
	MemoryContext context;		/* of everything below */
	char	   *text;
	TupleDesc	row;			/* what new and old are */
	SPIPlanPtr	plan;
} Statement;

static HTAB *plans = NULL;
static int	depth = 0;			/* triggers at work, one inside the other */

/* ---- new.column and old.column in a statement ---- */

static int
parameter_of(AttrNumber number, bool is_old)
{
	return 2 * number - (is_old ? 0 : 1);
}

static Node *
resolve_column(ParseState *state, ColumnRef *reference, Node *found)
{
	TupleDesc	row = (TupleDesc) state->p_ref_hook_state;
	const char *record;
	int			number;
	Param	   *result;
	Form_pg_attribute attribute;

	if (found != NULL || list_length(reference->fields) != 2 ||
		!IsA(linitial(reference->fields), String) || !IsA(lsecond(reference->fields), String))
		return NULL;
	record = strVal(linitial(reference->fields));
	if (strcmp(record, "new") != 0 && strcmp(record, "old") != 0)
		return NULL;
	number = SPI_fnumber(row, strVal(lsecond(reference->fields)));
	if (number <= 0)
		return NULL;
	attribute = TupleDescAttr(row, number - 1);
	result = makeNode(Param);
	result->paramkind = PARAM_EXTERN;
	result->paramid = parameter_of(number, strcmp(record, "old") == 0);
	result->paramtype = attribute->atttypid;
	result->paramtypmod = attribute->atttypmod;
	result->paramcollid = attribute->attcollation;
	result->location = reference->location;
	return (Node *) result;
}

static void
set_up_parser(ParseState *state, void *arg)
{
	state->p_post_columnref_hook = resolve_column;
	state->p_ref_hook_state = arg;
}

/* ---- plans ---- */

static bool
have_same_columns(TupleDesc one, TupleDesc other)
{
	if (one->natts != other->natts)
		return false;
	for (int i = 0; i < one->natts; i++)
	{
		Form_pg_attribute left = TupleDescAttr(one, i);
		Form_pg_attribute right = TupleDescAttr(other, i);

		if (left->atttypid != right->atttypid || left->attisdropped != right->attisdropped)
			return false;
	}
	return true;
}

static void
forget_plan(Statement *entry)
{
	MemoryContext context = entry->context;
	SPIPlanPtr	plan = entry->plan;

	(void) hash_search(plans, &entry->name, HASH_REMOVE, NULL);
	if (plan != NULL)
		SPI_freeplan(plan);
	MemoryContextDelete(context);
}

static void
prepare_table(void)
{
	HASHCTL		control = {0};

	if (plans != NULL)
		return;
	control.keysize = sizeof(StatementName);
	control.entrysize = sizeof(Statement);
	control.hcxt = CacheMemoryContext;
	plans = hash_create("multitenant encrypted rows", 32, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS sequence;
	Statement  *entry;

	hash_seq_init(&sequence, plans);
	while ((entry = hash_seq_search(&sequence)) != NULL)
		forget_plan(entry);
}

/* Parses a statement, and keeps it. SPI is connected. */
static Statement *
make_plan(const StatementName *name, const char *text, TupleDesc row)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "multitenant encrypted row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	TupleDesc	row_copy = CreateTupleDescCopy(row);
	char	   *text_copy = pstrdup(text);
	SPIPlanPtr	plan;
	Statement  *entry;

	MemoryContextSwitchTo(caller);
	plan = SPI_prepare_params(text, set_up_parser, row_copy, 0);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_params failed: %s", SPI_result_code_string(SPI_result));

	/* What runs further out needs its plan. */
	if (hash_get_num_entries(plans) >= PLANS_MAX && depth == 1)
		forget_all();
	entry = hash_search(plans, name, HASH_ENTER, NULL);
	entry->context = context;
	entry->text = text_copy;
	entry->row = row_copy;
	entry->plan = plan;
	MemoryContextSetParent(context, CacheMemoryContext);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	return entry;
}

/* Parses a statement for this once. */
static Statement *
make_fleeting_plan(const char *text, TupleDesc row)
{
	Statement  *statement = palloc0(sizeof(Statement));

	statement->row = row;
	statement->plan = SPI_prepare_params(text, set_up_parser, row, 0);
	if (statement->plan == NULL)
		elog(ERROR, "SPI_prepare_params failed: %s", SPI_result_code_string(SPI_result));
	return statement;
}

static Statement *
plan_of(const Trigger *trigger, int argument, TupleDesc row)
{
	StatementName name;
	Statement  *entry;

	memset(&name, 0, sizeof(name));
	name.trigger = trigger->tgoid;
	name.argument = argument;
	prepare_table();
	entry = hash_search(plans, &name, HASH_FIND, NULL);
	if (entry != NULL && strcmp(entry->text, trigger->tgargs[argument]) == 0 &&
		have_same_columns(entry->row, row))
		return entry;

	/*
	 * Security: a trigger can be replaced by what it runs, and its plan is
	 * needed further out then.
	 */
	if (entry != NULL && depth > 1)
		return make_fleeting_plan(trigger->tgargs[argument], row);
	if (entry != NULL)
		forget_plan(entry);
	return make_plan(&name, trigger->tgargs[argument], row);
}

/* ---- rows ---- */

static void
fill_parameters(ParamListInfo parameters, HeapTuple tuple, TupleDesc row, bool is_old)
{
	for (AttrNumber number = 1; number <= row->natts; number++)
	{
		ParamExternData *parameter = &parameters->params[parameter_of(number, is_old) - 1];
		Form_pg_attribute attribute = TupleDescAttr(row, number - 1);

		parameter->isnull = true;
		parameter->value = (Datum) 0;
		parameter->pflags = PARAM_FLAG_CONST;
		parameter->ptype = attribute->attisdropped ? InvalidOid : attribute->atttypid;
		if (tuple != NULL && !attribute->attisdropped)
			parameter->value = heap_getattr(tuple, number, row, &parameter->isnull);
	}
}

static void
refuse_trigger(const Trigger *trigger)
{
	ereport(ERROR,
			errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			errmsg("trigger \"%s\" was not made by multitenant.encrypt_column()", trigger->tgname),
			errhint("Call multitenant.repair_encryption() for the table."));
}

/*
 * Runs a statement of the trigger: how many rows it was. SPI is connected.
 *
 * Security: who may create a trigger may give it any statement, which then is one of the
 * writer's own. Of another kind than expected, it leaves no rows to take values from.
 */
static uint64
run(TriggerData *trigger, int argument, int expected)
{
	TupleDesc	row = RelationGetDescr(trigger->tg_relation);
	Statement  *plan = plan_of(trigger->tg_trigger, argument, row);
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	ParamListInfo parameters = makeParamList(2 * row->natts);
	int			result;

	parameters->parserSetup = set_up_parser;
	parameters->parserSetupArg = plan->row;
	fill_parameters(parameters, is_insert ? trigger->tg_trigtuple :
					is_update ? trigger->tg_newtuple : NULL, row, false);
	fill_parameters(parameters, is_insert ? NULL : trigger->tg_trigtuple, row, true);
	result = SPI_execute_plan_with_paramlist(plan->plan, parameters, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_with_paramlist failed: %s", SPI_result_code_string(result));
	if (result != expected)
		refuse_trigger(trigger->tg_trigger);
	return SPI_processed;
}

/* The row with the values that a statement gave for its columns, by name; made in the memory of the caller. */
static HeapTuple
replace_columns(HeapTuple tuple, TupleDesc row, MemoryContext caller)
{
	TupleDesc	result;
	Datum	   *values = palloc0(row->natts * sizeof(Datum));
	bool	   *nulls = palloc0(row->natts * sizeof(bool));
	bool	   *replaces = palloc0(row->natts * sizeof(bool));
	MemoryContext present;
	HeapTuple	replaced;

	if (SPI_tuptable == NULL || SPI_tuptable->numvals < 1)
		elog(ERROR, "the statement of a trigger has returned no row");
	result = SPI_tuptable->tupdesc;
	for (int i = 1; i <= result->natts; i++)
	{
		int			number = SPI_fnumber(row, SPI_fname(result, i));

		if (number <= 0 || SPI_gettypeid(row, number) != SPI_gettypeid(result, i))
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"%s\" has changed since the table was encrypted",
						   SPI_fname(result, i)),
					errhint("Call multitenant.repair_encryption() for the table."));
		values[number - 1] = SPI_getbinval(SPI_tuptable->vals[0], result, i, &nulls[number - 1]);
		replaces[number - 1] = true;
	}
	present = MemoryContextSwitchTo(caller);
	replaced = heap_modify_tuple(tuple, row, values, nulls, replaces);
	MemoryContextSwitchTo(present);
	return replaced;
}

/*
 * Class 40 though errors of this library are of other classes: here trying again is what
 * pools and drivers should do.
 *
 * Security: the view's row was computed before the row of the table was locked. What
 * another transaction wrote in between must not be written over.
 */
static void
refuse_if_changed(TriggerData *trigger)
{
	if (run(trigger, ARGUMENT_EXISTS, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not change a row of view \"%s\" due to a concurrent change",
					   RelationGetRelationName(trigger->tg_relation)),
				errdetail("Another statement has changed the row since this one read it."),
				errhint("Try the transaction again; SELECT .. FOR UPDATE beforehand avoids this."));
}

/* INSTEAD OF: the statement writes the table and returns the row as the view shows it. */
static HeapTuple
write_table(TriggerData *trigger, MemoryContext caller)
{
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	int			argument = is_insert ? ARGUMENT_INSERT : is_update ? ARGUMENT_UPDATE : ARGUMENT_DELETE;
	int			expected = is_insert ? SPI_OK_INSERT_RETURNING :
	is_update ? SPI_OK_UPDATE_RETURNING : SPI_OK_DELETE;

	if (run(trigger, argument, expected) > 0)
		return is_insert || is_update ?
			replace_columns(is_insert ? trigger->tg_trigtuple : trigger->tg_newtuple,
							RelationGetDescr(trigger->tg_relation), caller) :
			trigger->tg_trigtuple;
	if (!is_insert)
		refuse_if_changed(trigger);
	return NULL;
}

/* BEFORE, on the table itself: the statement computes what is encrypted. */
static HeapTuple
complete_row(TriggerData *trigger, MemoryContext caller)
{
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	HeapTuple	tuple = is_insert ? trigger->tg_trigtuple : trigger->tg_newtuple;
	int			argument = is_insert ? ARGUMENT_INSERT : ARGUMENT_UPDATE;

	if (trigger->tg_trigger->tgargs[argument][0] == '\0')
		return tuple;
	if (run(trigger, argument, SPI_OK_SELECT) == 0)
		return tuple;
	return replace_columns(tuple, RelationGetDescr(trigger->tg_relation), caller);
}

/*
 * The trigger "multitenant_encryption". On a view, INSTEAD OF INSERT, UPDATE, DELETE:
 * (registration, insert, update, delete, does the row still exist?). On the table, BEFORE
 * INSERT OR UPDATE: (registration, query or '', query or '').
 */
Datum
mt_encrypted_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	bool		is_instead;
	bool		is_before;
	HeapTuple volatile result;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("multitenant._encrypted_row() is a trigger function"),
				errhint("Call multitenant.encrypt_column() instead."));
	is_instead = TRIGGER_FIRED_INSTEAD(trigger->tg_event);
	is_before = TRIGGER_FIRED_BEFORE(trigger->tg_event) &&
		!TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	/* encrypt_column() takes no temporary tables. */
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || (!is_instead && !is_before) ||
		trigger->tg_relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		trigger->tg_trigger->tgnargs < (is_instead ? ARGUMENT_COUNT : ARGUMENT_UPDATE + 1))
		refuse_trigger(trigger->tg_trigger);
	depth++;
	PG_TRY();
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		result = is_instead ? write_table(trigger, caller) : complete_row(trigger, caller);
		SPI_finish();
	}
	PG_CATCH();
	{
		depth--;
		PG_RE_THROW();
	}
	PG_END_TRY();
	depth--;
	return PointerGetDatum(result);
}
