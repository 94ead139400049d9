/*
 * copy.c
 *	  COPY table FROM into tables with row security.
 *
 * The server refuses COPY FROM where row security applies. Here the rows are read
 * by the server's own COPY into a tuplestore and inserted from there with one
 * INSERT, so that every policy, default, trigger and constraint applies as to any
 * INSERT, and statement triggers fire once. Owns nothing.
 *
 * Unlike INSERT, and like COPY, it writes to identity columns; rules, which COPY
 * ignores, are refused, and so is FREEZE, which could show rows too early.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "base/compat.h"
#include "base/extension.h"
#include "base/names.h"
#include "catalog/pg_authid.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "policy/protection.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

/* By this name the INSERT reads the rows; it hides any relation of that name. */
#define ROWS "multitenant_copied_rows"

/* ---- what is refused ---- */

/*
 * Is it for us? Where it is not, the server's COPY goes on, with its own checks
 * and the guard's.
 */
static bool
is_for_us(const CopyStmt *statement, Relation relation)
{
	return MtClassIsFiltered(MtProtectionOf(RelationGetRelid(relation))->class) &&
		(relation->rd_rel->relkind == RELKIND_RELATION ||
		 relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
		(statement->filename == NULL ||
		 has_privs_of_role(GetUserId(), statement->is_program ?
						   ROLE_PG_EXECUTE_SERVER_PROGRAM : ROLE_PG_READ_SERVER_FILES)) &&
		check_enable_rls(RelationGetRelid(relation), InvalidOid, true) == RLS_ENABLED;
}

static void
refuse_unsupported(const CopyStmt *statement, Relation relation)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "freeze") == 0 && defGetBoolean(option))
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("COPY FREEZE is not possible on a table with row-level security"),
					errhint("Leave FREEZE out."));
	}
	if (relation->rd_rules != NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("COPY FROM is not possible on a table with row-level security and rules"),
				errhint("Use INSERT statements instead."));
}

/*
 * Privileges and the context, before a single row is read. Also makes the
 * relation's columns known to a WHERE.
 */
static void
check_rights(ParseState *pstate, Relation relation, List *columns)
{
	ParseNamespaceItem *item = addRangeTableEntryForRelation(pstate, relation, RowExclusiveLock,
															 NULL, false, false);
	MtCopyRights *rights = MtCopyRightsOf(item);
	ListCell   *cell;

	addNSItemToQuery(pstate, item, false, true, true);
	rights->requiredPerms = ACL_INSERT;
	foreach(cell, columns)
		rights->insertedCols = bms_add_member(rights->insertedCols,
											  lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber);
	MtCopyCheckRights(pstate, rights);
}

/* ---- reading ---- */

/*
 * Has the row just read an error that ON_ERROR ignores? Counted as the server's
 * COPY does.
 */
static bool
skips_row(CopyFromState copy)
{
	if (!MtCopyHasIgnoredError(copy))
		return false;
	MtCopyForgetError(copy);
	if (MtCopyRejectLimit(copy) > 0 && MtCopyErrors(copy) > MtCopyRejectLimit(copy))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("skipped more than REJECT_LIMIT (%lld) rows due to data type incompatibility",
					   (long long) MtCopyRejectLimit(copy)));
	return true;
}

/* As the server's COPY prepares its WHERE; NULL if there is none. */
static ExprState *
prepare_where(ParseState *pstate, const CopyStmt *statement, EState *estate)
{
	Node	   *where;

	if (statement->whereClause == NULL)
		return NULL;
	where = transformExpr(pstate, copyObject(statement->whereClause), EXPR_KIND_COPY_WHERE);
	where = coerce_to_boolean(pstate, where, "WHERE");
	assign_expr_collations(pstate, where);
	where = eval_const_expressions(NULL, where);
	where = (Node *) canonicalize_qual((Expr *) where, false);
	return ExecPrepareQual(make_ands_implicit((Expr *) where), estate);
}

/* Reads all rows that pass WHERE; they have the form of the relation's rows. */
static Tuplestorestate *
read_rows(CopyFromState copy, ParseState *pstate, const CopyStmt *statement, Relation relation)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	ExprState  *where = prepare_where(pstate, statement, estate);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
	MemoryContext caller = CurrentMemoryContext;
	ErrorContextCallback callback = {
		.callback = CopyFromErrorCallback,.arg = copy,.previous = error_context_stack
	};

	/* The INSERT evaluates defaults; only a WHERE can ask for them before. */
	if (where == NULL)
		copy->num_defaults = 0;
	error_context_stack = &callback;
	for (;;)
	{
		bool		is_wanted;

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(estate);
		ExecClearTuple(slot);
		MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
		if (!NextCopyFrom(copy, econtext, slot->tts_values, slot->tts_isnull))
			break;
		if (skips_row(copy))
			continue;
		ExecStoreVirtualTuple(slot);
		slot->tts_tableOid = RelationGetRelid(relation);
		econtext->ecxt_scantuple = slot;
		is_wanted = where == NULL || ExecQual(where, econtext);
		MemoryContextSwitchTo(caller);
		if (is_wanted)
			tuplestore_puttupleslot(rows, slot);
	}
	MemoryContextSwitchTo(caller);
	error_context_stack = callback.previous;
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return rows;
}

/* ---- writing ---- */

static char *
insert_command(Relation relation, List *columns)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	foreach(cell, columns)
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(relation),
																lfirst_int(cell) - 1)->attname)));
	return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
					MtQualifiedName(RelationGetRelid(relation)),
					names.data, names.data, ROWS);
}

/* Inserts the rows with the rights of the current user; returns how many. */
static uint64
insert_rows(Relation relation, List *columns, Tuplestorestate *rows)
{
	EphemeralNamedRelationData source = {
		.md = {.name = ROWS,.reliddesc = RelationGetRelid(relation),
		.enrtype = ENR_NAMED_TUPLESTORE,.enrtuples = (double) tuplestore_tuple_count(rows)},
		.reldata = rows
	};
	uint64		count;

	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_register_relation(&source) != SPI_OK_REL_REGISTER ||
		SPI_execute(insert_command(relation, columns), false, 0) != SPI_OK_INSERT)
		elog(ERROR, "rows read by COPY could not be inserted");
	count = SPI_processed;
	SPI_finish();
	return count;
}

/*
 * Executes COPY table FROM where the server would refuse it for row security;
 * false if the server should go on.
 */
bool
MtGuardCopyFrom(PlannedStmt *planned, const char *text, QueryCompletion *completion)
{
	CopyStmt   *statement = (CopyStmt *) planned->utilityStmt;
	ParseState *pstate;
	Relation	relation;
	List	   *columns;
	CopyFromState copy;
	Tuplestorestate *rows;
	uint64		count;

	if (!statement->is_from || statement->relation == NULL)
		return false;
	relation = table_openrv(statement->relation, RowExclusiveLock);
	if (!is_for_us(statement, relation))
	{
		table_close(relation, NoLock);
		return false;
	}
	if (!relation->rd_islocaltemp)
		PreventCommandIfReadOnly("COPY FROM");
	refuse_unsupported(statement, relation);
	columns = CopyGetAttnums(RelationGetDescr(relation), relation, statement->attlist);

	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = text;

	check_rights(pstate, relation, columns);

	copy = BeginCopyFrom(pstate, relation, NULL, statement->filename, statement->is_program,
						 NULL, statement->attlist, statement->options);
	rows = read_rows(copy, pstate, statement, relation);
	EndCopyFrom(copy);
	free_parsestate(pstate);

	count = insert_rows(relation, columns, rows);
	tuplestore_end(rows);
	table_close(relation, NoLock);
	if (completion != NULL)
		SetQueryCompletion(completion, CMDTAG_COPY, count);
	return true;
}
