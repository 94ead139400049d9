/*
 * owner.c
 *	  Running commands and queries as the owner of the table they are about.
 *
 * protect(), unprotect() and their companions are run by superusers and
 * migrators on other people's tables. Owns the mark by which the guard knows
 * such a command.
 *
 * Security: what a table's owner has attached to it - index expressions, checks,
 * defaults, triggers - is code, and planning a SELECT is enough to run some of
 * it. So every command and query on a user's table goes through here: it runs as
 * the table's owner, in a security-restricted operation that it cannot leave,
 * one statement of a kind that only changes that table. The caller must have the
 * owner's rights, so nobody gains any.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "base/compat.h"
#include "base/extension.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "policy/owner.h"
#include "storage/bufmgr.h"
#include "tenant/access.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_run_as_owner);
PG_FUNCTION_INFO_V1(mt_add_checked_reference);
PG_FUNCTION_INFO_V1(mt_query_as_owner);
PG_FUNCTION_INFO_V1(mt_blocks_of);

/* What has to be put back after running as somebody else. */
typedef struct Caller
{
	Oid			user;
	int			context;
	int			nest_level;
	MemoryContext memory;
	ErrorContextCallback callback;
} Caller;

/* Has a command been handed to the server and not been begun by it? */
static bool is_command_pending = false;

static MtOwnerCommand pending_command;

/* The relation's owner, whose rights the caller must have. */
Oid
MtOwnerRequire(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table with OID %u does not exist", relid),
				errhint("It was dropped in the meantime; call the function again."));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of relation %s", get_rel_name(relid)),
				errhint("Run this as its owner or as a member of that role."));
	return owner;
}

/* The relation to which an object belongs: its names without the last one. */
static RangeVar *
relation_above(List *names)
{
	if (list_length(names) < 2)
		return NULL;
	return makeRangeVarFromNameList(list_truncate(list_copy(names), list_length(names) - 1));
}

/*
 * The relation that the one object of a DROP or COMMENT is, or belongs to; NULL
 * for other kinds of objects.
 */
static RangeVar *
target_of_object(ObjectType kind, Node *names)
{
	if (!IsA(names, List))
		return NULL;
	switch (kind)
	{
		case OBJECT_TABLE:
		case OBJECT_INDEX:
		case OBJECT_VIEW:
			return makeRangeVarFromNameList((List *) names);
		case OBJECT_COLUMN:
		case OBJECT_POLICY:
		case OBJECT_TABCONSTRAINT:
		case OBJECT_TRIGGER:
			return relation_above((List *) names);
		default:
			return NULL;
	}
}

static RangeVar *
target_of_drop(DropStmt *statement)
{
	if (list_length(statement->objects) != 1 || statement->removeType == OBJECT_TABLE)
		return NULL;
	return target_of_object(statement->removeType, linitial(statement->objects));
}

/* Privileges on one table or sequence, not on all of a schema. */
static RangeVar *
target_of_grant(GrantStmt *statement)
{
	if (list_length(statement->objects) != 1 || statement->targtype != ACL_TARGET_OBJECT ||
		(statement->objtype != OBJECT_TABLE && statement->objtype != OBJECT_SEQUENCE))
		return NULL;
	return linitial_node(RangeVar, statement->objects);
}

/* The relation that a statement of an allowed kind names, else NULL. */
static RangeVar *
target_of(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterTableStmt:
			switch (((AlterTableStmt *) statement)->objtype)
			{
				case OBJECT_TABLE:
				case OBJECT_INDEX:
				case OBJECT_VIEW:
					return ((AlterTableStmt *) statement)->relation;
				default:
					return NULL;
			}
		case T_RenameStmt:
			switch (((RenameStmt *) statement)->renameType)
			{
				case OBJECT_COLUMN:
				case OBJECT_INDEX:
				case OBJECT_TABLE:
				case OBJECT_TABCONSTRAINT:
					return ((RenameStmt *) statement)->relation;
				default:
					return NULL;
			}
		case T_IndexStmt:
			return ((IndexStmt *) statement)->relation;
		case T_CreatePolicyStmt:
			return ((CreatePolicyStmt *) statement)->table;
		case T_DropStmt:
			return target_of_drop((DropStmt *) statement);
		case T_CommentStmt:
			return target_of_object(((CommentStmt *) statement)->objtype, ((CommentStmt *) statement)->object);
		case T_CreateTrigStmt:
			return ((CreateTrigStmt *) statement)->relation;
		case T_ViewStmt:
			return ((ViewStmt *) statement)->view;
		case T_GrantStmt:
			return target_of_grant((GrantStmt *) statement);
		case T_AlterSeqStmt:
			return ((AlterSeqStmt *) statement)->sequence;
		case T_LockStmt:
			if (list_length(((LockStmt *) statement)->relations) != 1)
				return NULL;
			return linitial_node(RangeVar, ((LockStmt *) statement)->relations);
		case T_InsertStmt:
			return ((InsertStmt *) statement)->relation;
		case T_UpdateStmt:
			return ((UpdateStmt *) statement)->relation;
		case T_DeleteStmt:
			return ((DeleteStmt *) statement)->relation;
		default:
			return NULL;
	}
}

/* The text's only statement; NULL if it is none or several. */
static Node *
only_statement(const char *text)
{
	List	   *statements = raw_parser(text, RAW_PARSE_DEFAULT);

	if (list_length(statements) != 1)
		return NULL;
	return linitial_node(RawStmt, statements)->stmt;
}

/*
 * The relation that the command changes, an index counting as its table;
 * InvalidOid if it is not one command of an allowed kind.
 */
static Oid
relation_of(const char *command)
{
	Node	   *statement = only_statement(command);
	RangeVar   *target = statement != NULL ? target_of(statement) : NULL;
	Oid			relid;

	if (target == NULL || target->schemaname == NULL)
		return InvalidOid;
	relid = RangeVarGetRelid(target, NoLock, true);
	if (OidIsValid(relid) &&
		(get_rel_relkind(relid) == RELKIND_INDEX ||
		 get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX))
		relid = IndexGetRelation(relid, true);
	return relid;
}

/* A right that the caller has and the owner lacks needs an explanation. */
static void
explain(void *arg)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("This runs as role \"%s\", the owner of the table, in a security-restricted operation. "
				"Grant that role what it lacks, for example USAGE and CREATE on the schema or "
				"REFERENCES on a referenced table.",
				(const char *) arg);
}

/*
 * From here to leave() everything runs as the owner, and SPI is connected. An
 * error puts back the user and the settings with its subtransaction.
 */
static void
enter(Oid owner, Caller *caller)
{
	caller->memory = CurrentMemoryContext;
	GetUserIdAndSecContext(&caller->user, &caller->context);
	caller->nest_level = NewGUCNestLevel();
	caller->callback.callback = explain;
	caller->callback.arg = GetUserNameFromId(owner, false);
	caller->callback.previous = error_context_stack;
	error_context_stack = &caller->callback;
	SetUserIdAndSecContext(owner, caller->context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
leave(Caller *caller)
{
	SPI_finish();
	AtEOXact_GUC(false, caller->nest_level);
	SetUserIdAndSecContext(caller->user, caller->context);
	error_context_stack = caller->callback.previous;
}

/*
 * Hands a command to the server, marked for the guard if it is a utility
 * statement.
 *
 * Security: the mark is for the statement itself. What that calls - index
 * expressions, checks, triggers - is the owner's code, and so is what an UPDATE
 * calls; with a table of their own, everybody can bring that about.
 */
static uint64
execute(const char *command, bool is_utility)
{
	PG_TRY();
	{
		is_command_pending = is_utility;
		if (SPI_execute(command, false, 0) < 0)
			elog(ERROR, "unexpected result of a command");
	}

	/*
	 * Not PG_FINALLY: gcc takes the variable that it rethrows by for
	 * clobbered.
	 */
	PG_CATCH();
	{
		is_command_pending = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	is_command_pending = false;
	return SPI_processed;
}

bool
MtOwnerTakeCommand(MtOwnerCommand *out)
{
	if (!is_command_pending)
		return false;
	is_command_pending = false;
	*out = pending_command;
	return true;
}

/* CREATE TABLE of a permanent table, CREATE VIEW without OR REPLACE: it has no owner yet. */
static bool
is_new_relation(Node *statement)
{
	if (statement != NULL && IsA(statement, ViewStmt))
		return !((ViewStmt *) statement)->replace &&
			((ViewStmt *) statement)->view->schemaname != NULL &&
			((ViewStmt *) statement)->view->relpersistence != RELPERSISTENCE_TEMP;
	return statement != NULL && IsA(statement, CreateStmt) &&
		((CreateStmt *) statement)->relation->schemaname != NULL &&
		((CreateStmt *) statement)->relation->relpersistence != RELPERSISTENCE_TEMP;
}

static bool
is_change_of_rows(Node *statement)
{
	return IsA(statement, InsertStmt) || IsA(statement, UpdateStmt) || IsA(statement, DeleteStmt);
}

/* Runs the command, NULL for a table that it names itself; the rows changed. */
static uint64
run_as_owner(const Oid *table, const char *command, bool skips_check)
{
	Oid			relid;
	Oid			owner;
	Caller		caller;
	uint64		count;

	if (table != NULL && is_new_relation(only_statement(command)))
		relid = *table;
	else
		relid = relation_of(command);
	if (!OidIsValid(relid) || (table != NULL && relid != *table))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("not one command that changes only the table it is for"),
				errdetail("Command: %s", command),
				errhint("If the label of the table was changed by hand, give back the old definition by hand, too."));
	owner = MtOwnerRequire(relid);

	pending_command.caller = GetUserId();
	pending_command.may_refer = MtIsActive() && MtAccessAllows(MT_ALLOW_REFERENCES);
	pending_command.may_lock = MtIsActive() && MtAccessAllows(MT_ALLOW_LOCK);
	pending_command.may_trigger = MtIsActive() && MtAccessAllows(MT_ALLOW_TRIGGERS);
	pending_command.skips_check = skips_check;
	enter(owner, &caller);
	count = execute(command, !is_change_of_rows(only_statement(command)));
	leave(&caller);
	return count;
}

/*
 * multitenant._run_as_owner(table_name regclass, command text): the number of
 * rows changed. Without table_name it is the relation that the command names. A
 * table or view that the command creates will belong to the owner of table_name.
 */
Datum
mt_run_as_owner(PG_FUNCTION_ARGS)
{
	Oid			relid;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	PG_RETURN_INT64((int64) run_as_owner(PG_ARGISNULL(0) ? NULL : &relid,
										 text_to_cstring(PG_GETARG_TEXT_PP(1)), false));
}

/* The one foreign key that a statement adds, and nothing else; else NULL. */
static Constraint *
added_foreign_key(Node *statement)
{
	AlterTableCmd *command;

	if (statement == NULL || !IsA(statement, AlterTableStmt) ||
		list_length(((AlterTableStmt *) statement)->cmds) != 1)
		return NULL;
	command = linitial_node(AlterTableCmd, ((AlterTableStmt *) statement)->cmds);
	if (command->subtype != AT_AddConstraint || command->def == NULL ||
		!IsA(command->def, Constraint) || ((Constraint *) command->def)->contype != CONSTR_FOREIGN)
		return NULL;
	return (Constraint *) command->def;
}

/*
 * multitenant._add_checked_reference(command text): adds a foreign key in the
 * place of one that this transaction has taken away, without reading the table.
 * The server would read every row under the lock, and has no other way to say
 * that it need not.
 *
 * Security: a key that does not hold would be its owner's loss only; still it is
 * for those who may change isolation.
 */
Datum
mt_add_checked_reference(PG_FUNCTION_ARGS)
{
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(0));

	MtAccessRequire(MT_MAY_CHANGE_ISOLATION, "adding a foreign key unchecked");
	if (added_foreign_key(only_statement(command)) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("not one foreign key"),
				errhint("Pass one ALTER TABLE .. ADD CONSTRAINT .. FOREIGN KEY."));
	run_as_owner(NULL, command, true);
	PG_RETURN_VOID();
}

/* What CREATE TABLE says of the keys of a table that has no rows yet. */
void
MtOwnerSkipCheck(Node *statement)
{
	Constraint *key = added_foreign_key(statement);

	if (key != NULL)
	{
		key->skip_validation = true;
		key->initially_valid = true;
	}
}

/*
 * multitenant._query_as_owner(table_name regclass, query text): the first column
 * of the first row of one SELECT, as text.
 */
Datum
mt_query_as_owner(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Node	   *statement = only_statement(query);
	Oid			owner = MtOwnerRequire(PG_GETARG_OID(0));
	Caller		caller;
	char	   *value = NULL;

	if (statement == NULL || !IsA(statement, SelectStmt))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("not one SELECT"),
				errhint("Pass one SELECT statement."));

	enter(owner, &caller);
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of a query");
	if (SPI_processed > 0)
		value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (value != NULL)
		value = MemoryContextStrdup(caller.memory, value);
	leave(&caller);
	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

/*
 * multitenant._blocks_of(table_name regclass): the pages of one relation; NULL
 * for who does not own it. Applications may not ask the server for sizes, but
 * protect() and its companions must know them.
 */
Datum
mt_blocks_of(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation	relation = try_relation_open(relid, AccessShareLock);
	int64		blocks = 0;

	if (relation == NULL)
		PG_RETURN_NULL();
	if (!has_privs_of_role(GetUserId(), relation->rd_rel->relowner))
	{
		relation_close(relation, AccessShareLock);
		PG_RETURN_NULL();
	}
	if (RELKIND_HAS_STORAGE(relation->rd_rel->relkind))
		blocks = RelationGetNumberOfBlocks(relation);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(blocks);
}
