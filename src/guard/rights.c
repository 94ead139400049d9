/*
 * rights.c
 *	  What the principal of the context may do with a table of tenants.
 *
 * Tables whose label names a resource ask for its permissions, once for each
 * statement: "vm:read" to read, and so on. Where rows belong to scopes the permission
 * has to be held somewhere, and policies say where (src/rbac/scopefilter.c). Owns what
 * was allowed lately, and which tables are recorded under break-glass and in supervised
 * contexts (src/rbac/watch.c). Invariant: nothing is allowed on the strength of rights that
 * have changed since.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/names.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "policy/protection.h"
#include "rbac/rights.h"
#include "rbac/watch.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_missing_permission);

#define WRITE_RIGHTS (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

/* ---- the permissions that a table asks for ---- */

/* The rights of the server's that a statement needs, and the action that each is. */
static const struct
{
	AclMode		rights;
	const char *name;
}			actions[] = {
	{ACL_SELECT, "read"},
	{ACL_INSERT, "create"},
	{ACL_UPDATE, "update"},
	{ACL_DELETE | ACL_TRUNCATE, "delete"},
};

/*
 * What was allowed lately, by relation: as long as the rights are the same, and the
 * table asks for the same.
 */
typedef struct Allowed
{
	Oid			relid;
	bool		is_scoped;
	uint8		actions;		/* a bit for each that is allowed */
	uint64		stamp;
	char		resource[MT_RESOURCE_SIZE];
} Allowed;

static Allowed allowed[16];

/* The statement that was checked last, and under which rights. */
static const List *checked_last = NIL;
static uint64 checked_stamp = 0;

/* The entry of the table, empty unless it holds under the rights of that stamp. */
static Allowed *
allowed_under(const MtProtection *protection, uint64 stamp)
{
	Allowed    *entry = &allowed[protection->relid % lengthof(allowed)];

	if (entry->relid == protection->relid && entry->stamp == stamp &&
		entry->is_scoped == protection->is_scoped &&
		strcmp(entry->resource, protection->resource) == 0)
		return entry;
	entry->relid = protection->relid;
	entry->is_scoped = protection->is_scoped;
	entry->actions = 0;
	entry->stamp = stamp;
	strlcpy(entry->resource, protection->resource, sizeof(entry->resource));
	return entry;
}

/*
 * Security: procedures of the extension's go through tables in nobody's name (see
 * mt_maintain_tenant()), as who looks after the table: nobody else's table is open to
 * them. test_isolation(), which asks in an application's name, is a superuser's.
 */
static bool
is_maintained(Oid relid)
{
	HeapTuple	tuple;
	Oid			owner;

	if (!MtContextIsMaintenance())
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(GetOuterUserId(), owner);
}

static bool
check_action(Oid relid, const char *name, bool is_scoped, uint64 *stamp, MtDenial *denial)
{
	if (MtContextGet()->principal[0] == '\0')
		return MtDeny(denial, ERRCODE_INSUFFICIENT_PRIVILEGE,
					  psprintf("permission %s is needed for table %s", name, MtQualifiedName(relid)),
					  "The context of this transaction names no principal, and so has no permissions.",
					  "Use a credential that says who is asking (claim \"sub\").");
	denial->detail = NULL;
	if (MtRightsCheck(name, is_scoped, stamp, denial))
		return true;
	if (denial->detail == NULL)
		denial->detail = psprintf("Table %s asks for it.", MtQualifiedName(relid));
	return false;
}

/*
 * Security: asked of the context's principal, whatever role a view or a function
 * lends to the statement.
 */
static bool
check_actions(const MtProtection *protection, AclMode required, MtDenial *denial)
{
	Allowed    *entry;

	/*
	 * Never remembered: the stamp does not tell it from other contexts
	 * without a principal.
	 */
	if (MtContextGet()->principal[0] == '\0' && is_maintained(protection->relid))
		return true;
	entry = allowed_under(protection, MtRightsStamp());
	for (size_t i = 0; i < lengthof(actions); i++)
	{
		uint64		stamp;
		char	   *name;

		if ((required & actions[i].rights) == 0 || (entry->actions & (1 << i)) != 0)
			continue;
		name = psprintf("%s:%s", protection->resource, actions[i].name);
		if (!check_action(protection->relid, name, protection->is_scoped, &stamp, denial))
			return false;
		pfree(name);
		/* Security: of the rights that have answered, not of newer ones. */
		entry = allowed_under(protection, stamp);
		entry->actions |= 1 << i;
	}
	return true;
}

/* ---- what is recorded ---- */

/* Tables of the statement that is being checked. */
static MtWatched *uses = NULL;	/* in TopMemoryContext */
static int	use_count = 0;
static int	use_limit = 0;

/*
 * A worker that runs its part of a plan does what the leader has recorded; what
 * functions do in it nobody else knows of.
 */
static bool
is_leaders(void)
{
	return IsParallelWorker() && !MtGuardIsInStatement();
}

static void
note_use(const MtPermission *permission)
{
	if (is_leaders() || !MtWatchApplies())
		return;
	if (use_count == use_limit)
	{
		int			limit = Max(16, 2 * use_limit);

		uses = uses == NULL ? MemoryContextAlloc(TopMemoryContext, limit * sizeof(MtWatched)) :
			repalloc(uses, limit * sizeof(MtWatched));
		use_limit = limit;
	}
	uses[use_count].relid = permission->relid;
	uses[use_count].writes = (permission->required & WRITE_RIGHTS) != 0;
	uses[use_count++].purpose = NULL;
}

void
MtGuardForgetUses(void)
{
	use_count = 0;
}

/*
 * Security: recorded before the first row is seen, so that no crash of the client
 * and no cancellation keeps it from the record.
 */
void
MtGuardRecordUses(void)
{
	int			count = use_count;

	use_count = 0;
	if (unlikely(count > 0))
		MtWatchRecord(uses, count);
}

bool
MtGuardCheckUse(const MtPermission *permission, const MtProtection *protection,
				MtDenial *denial)
{
	if (!MtGuardMayLookIn(denial) ||
		(protection->resource[0] != '\0' && !check_actions(protection, permission->required, denial)))
		return false;
	if (MtWatchIsOn())
		note_use(permission);
	return true;
}

void
MtGuardCheckRightsAgain(const PlannedStmt *statement)
{
	List	   *permissions = MtPermissionsOfPlan(statement);
	uint64		stamp = MtRightsStamp();
	ListCell   *cell;

	if (permissions == checked_last && checked_stamp == stamp)
		return;
	MtGuardForgetUses();
	foreach(cell, permissions)
	{
		MtPermission permission;
		const MtProtection *protection;
		MtDenial	denial;

		if (!MtPermissionOf(lfirst(cell), &permission) || permission.required == 0 ||
			permission.relid < FirstNormalObjectId)
			continue;
		protection = MtProtectionOf(permission.relid);
		if (protection->resource[0] != '\0' && !protection->is_paused &&
			MtContextGet()->state == MT_STATE_TENANT &&
			!check_actions(protection, permission.required, &denial))
			MtDenialRaise(&denial);
		/* A cursor from before break-glass was opened shows more from now on. */
		if (MtWatchIsOn() && MtClassIsFiltered(protection->class) && !protection->is_paused)
			note_use(&permission);
	}
	MtGuardRecordUses();
	if (MtContextIsMaintenance())
		return;
	/* What has changed since is looked at the next time. */
	checked_last = permissions;
	checked_stamp = stamp;
}

/* ---- SQL ---- */

/*
 * multitenant._missing_permission(table_name regclass, command text): what the guard
 * would say to the principal of this context; null if nothing.
 */
Datum
mt_missing_permission(PG_FUNCTION_ARGS)
{
	static const struct
	{
		const char *command;
		AclMode		required;
	}			commands[] = {
		{"select", ACL_SELECT},
		{"insert", ACL_INSERT},
		{"update", ACL_SELECT | ACL_UPDATE},
		{"delete", ACL_SELECT | ACL_DELETE},
	};
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const MtProtection *protection;
	MtDenial	denial;

	if (!MtIsActive())
		PG_RETURN_NULL();
	MtRegistryAccept();
	protection = MtProtectionOf(PG_GETARG_OID(0));
	if (protection->resource[0] == '\0')
		PG_RETURN_NULL();
	for (size_t i = 0; i < lengthof(commands); i++)
		if (strcmp(command, commands[i].command) == 0 &&
			!check_actions(protection, commands[i].required, &denial))
			PG_RETURN_TEXT_P(cstring_to_text(denial.message));
	PG_RETURN_NULL();
}
