/*
 * owner.c
 *	  Running a stored piece of DDL as the owner of the table it belongs to.
 *
 * unprotect() gives back defaults, constraints and indexes from their old
 * definitions, which are kept in the table's label. Owns nothing.
 *
 * Security: a label can have been written by the table's owner, and unprotect()
 * can be run by a superuser. So a stored text is never executed with the rights
 * of the caller: it runs as the owner, in a security-restricted context that it
 * cannot leave, one statement of a kind that only changes that table.
 */
#include "postgres.h"

#include "base/compat.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_run_as_owner);

static Oid
owner_of(Oid relid)
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
	return owner;
}

/* Is the text one ALTER TABLE or CREATE INDEX on that relation? */
static bool
is_allowed(const char *command, Oid relid)
{
	List	   *statements = raw_parser(command, RAW_PARSE_DEFAULT);
	Node	   *statement;
	RangeVar   *target;

	if (list_length(statements) != 1)
		return false;
	statement = linitial_node(RawStmt, statements)->stmt;
	if (IsA(statement, AlterTableStmt) &&
		((AlterTableStmt *) statement)->objtype == OBJECT_TABLE)
		target = ((AlterTableStmt *) statement)->relation;
	else if (IsA(statement, IndexStmt))
		target = ((IndexStmt *) statement)->relation;
	else
		return false;
	return target->schemaname != NULL && RangeVarGetRelid(target, NoLock, true) == relid;
}

/* multitenant._run_as_owner(table_name regclass, command text) */
Datum
mt_run_as_owner(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			owner = owner_of(relid);
	Oid			saved_user;
	int			saved_context;
	int			nest_level;

	if (!has_privs_of_role(GetUserId(), owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	if (!is_allowed(command, relid))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the stored definition is not one ALTER TABLE or CREATE INDEX on table %s",
					   get_rel_name(relid)),
				errhint("The label of the table was changed by hand; give back the old definition by hand, too."));

	GetUserIdAndSecContext(&saved_user, &saved_context);
	nest_level = NewGUCNestLevel();
	SetUserIdAndSecContext(owner, saved_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "unexpected result of a utility statement");
	SPI_finish();
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(saved_user, saved_context);
	PG_RETURN_VOID();
}
