/*
 * rights.c
 *	  What the principal of the context may do with a table of tenants.
 *
 * Tables whose label names a resource ask for its permissions, once for each
 * statement: "vm:read" to read, and so on. Where rows belong to scopes the permission
 * has to be held somewhere, and policies say where (src/rbac/scopefilter.c). Owns what
 * was allowed lately, and the record of what is done under break-glass and in
 * supervised contexts. Invariant: nothing is allowed on the strength of rights that
 * have changed since.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "base/audit.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/invalidation.h"
#include "base/names.h"
#include "base/tablescan.h"
#include "fmgr.h"
#include "guard/guard.h"
#include "policy/protection.h"
#include "rbac/rights.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_missing_permission);
PG_FUNCTION_INFO_V1(mt_is_permission);

#define WRITE_RIGHTS (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

/* Columns of multitenant.break_glass, by index. */
enum
{
	BREAK_GLASS_TENANT_ID = 2,
	BREAK_GLASS_PRINCIPAL
};

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
	Allowed    *entry = allowed_under(protection, MtRightsStamp());

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

void
MtGuardCheckRightsAgain(const PlannedStmt *statement)
{
	List	   *permissions = MtPermissionsOfPlan(statement);
	uint64		stamp = MtRightsStamp();
	ListCell   *cell;

	if (permissions == checked_last && checked_stamp == stamp)
		return;
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
	}
	/* What has changed since is looked at the next time. */
	checked_last = permissions;
	checked_stamp = stamp;
}

/* ---- what is recorded ---- */

/*
 * Has the principal of this context ever opened break-glass? Nobody does in most
 * databases, and to compile rights only to find that out would cost each context
 * dearly. So the table is asked first, and again after each change of rights.
 */
typedef struct Glass
{
	bool		is_table_known;
	bool		is_empty;		/* nobody has, in the whole database */
	bool		is_known;		/* what follows */
	bool		is_opened;		/* by this principal in this tenant */
	pg_uuid_t	tenant;
	char		principal[MT_PRINCIPAL_MAX + 1];
} Glass;

static Glass glass;

static void
relation_changed(Oid relid)
{
	if (!OidIsValid(relid) || relid == MtTableOid(MT_TABLE_BREAK_GLASS) ||
		relid == MtTableOid(MT_TABLE_RIGHTS_VERSION))
		glass.is_table_known = glass.is_empty = glass.is_known = false;
}

void
MtGuardRightsInit(void)
{
	MtInvalidationOnRelation(relation_changed);
}

static void
ignore_row(HeapTuple tuple, TupleDesc desc, void *result)
{
}

/* Has the principal of the context opened break-glass in its tenant? */
static bool
has_opened(const MtContext *context)
{
	static const int columns[] = {BREAK_GLASS_TENANT_ID, BREAK_GLASS_PRINCIPAL};
	static const Oid equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[2];
	pg_uuid_t	tenant = context->tenant;

	if (!glass.is_table_known)
	{
		/* A change while it is read makes it unknown again. */
		glass.is_table_known = true;
		glass.is_empty = MtTableIsEmpty(MT_TABLE_BREAK_GLASS) && glass.is_table_known;
	}
	if (glass.is_empty || context->principal[0] == '\0')
		return false;
	if (glass.is_known && memcmp(&glass.tenant, &context->tenant, UUID_LEN) == 0 &&
		strcmp(glass.principal, context->principal) == 0)
		return glass.is_opened;
	glass.tenant = context->tenant;
	strlcpy(glass.principal, context->principal, sizeof(glass.principal));
	glass.is_known = true;
	keys[0] = UUIDPGetDatum(&tenant);
	keys[1] = CStringGetTextDatum(context->principal);
	glass.is_opened = MtTableScan(MT_TABLE_BREAK_GLASS, "break_glass_principal_idx", lengthof(keys),
								  columns, equality, keys, ignore_row, NULL) > 0;
	return glass.is_opened;
}

bool
MtGuardIsWatched(void)
{
	return !glass.is_empty || MtContextGet()->kind == MT_KIND_SUPERVISED;
}

static void
record(const char *name, const MtPermission *permission)
{
	MtAuditEvent event = {.event = name,.outcome = "allowed"};

	if (MtGuardIsRecorded(name, permission))
		return;
	event.object = MtQualifiedName(permission->relid);
	event.detail = psprintf("{\"write\": %s}",
							(permission->required & WRITE_RIGHTS) ? "true" : "false");
	MtAuditEmit(&event);
}

/*
 * Security: recorded before the first row is seen, so that no crash of the client
 * and no cancellation keeps it from the log.
 */
static void
record_use(const MtPermission *permission)
{
	const MtContext *context = MtContextGet();

	if (IsParallelWorker())
		return;
	if (context->kind == MT_KIND_SUPERVISED)
	{
		record("supervised.read", permission);
		return;
	}
	if (has_opened(context) && MtRightsAreBreakGlass(MtRightsOfContext(NULL)))
		record("break_glass.use", permission);
}

bool
MtGuardCheckUse(const MtPermission *permission, const MtProtection *protection,
				MtDenial *denial)
{
	if (protection->resource[0] != '\0' &&
		!check_actions(protection, permission->required, denial))
		return false;
	if (MtGuardIsWatched())
		record_use(permission);
	return true;
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

/* multitenant._is_permission(permission text) */
Datum
mt_is_permission(PG_FUNCTION_ARGS)
{
	if (!MtIsActive())
		PG_RETURN_BOOL(false);

	/* Asking for the stamp reads the catalogue where it has changed. */
	MtRegistryAccept();
	(void) MtRightsStamp();
	PG_RETURN_BOOL(MtPermissionNumber(text_to_cstring(PG_GETARG_TEXT_PP(0))) >= 0);
}
