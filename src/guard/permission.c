/*
 * permission.c
 *	  The heart of the guard: may this statement touch these relations?
 *
 * Called for every statement with the relations it names and the rights it
 * needs. What the principal may do with a table that asks for permissions is decided
 * in rights.c. Owns the order of the checks on protected tables and the record of
 * bypasses. Invariant: a statement on a protected table that gets past here
 * either runs under row level security with a valid context, or is recorded.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "base/audit.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/names.h"
#include "base/settings.h"
#include "base/transaction.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext_data.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "policy/label.h"
#include "policy/protection.h"
#include "policy/reference.h"
#include "rbac/watch.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* SELECT .. FOR UPDATE and its kin need ACL_UPDATE: locking counts as writing. */
#define WRITE_RIGHTS (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

/* ---- what is recorded once for each table and transaction ---- */

/* What this transaction has recorded already; beyond 64 it records again. */
static LocalTransactionId recorded_lxid = InvalidLocalTransactionId;
static MtPermission recorded[64];
static int	recorded_count = 0;

/* Has this transaction recorded the bypass? From now on it has. */
static bool
is_recorded(const MtPermission *permission)
{
	AclMode		writes = permission->required & WRITE_RIGHTS;

	if (recorded_lxid != MtLocalTransactionId())
	{
		recorded_lxid = MtLocalTransactionId();
		recorded_count = 0;
	}
	for (int i = 0; i < recorded_count; i++)
		if (recorded[i].relid == permission->relid &&
			(writes & ~recorded[i].required) == 0)
			return true;
	if (recorded_count < (int) lengthof(recorded))
		recorded[recorded_count++] = *permission;
	return false;
}

/* A subtransaction that fails takes the rows of its records along. */
static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		recorded_count = 0;
}

void
MtGuardPermissionInit(void)
{
	MtTransactionOnSubEnd(subtransaction_ended);
}

static void
record_bypass(const MtPermission *permission)
{
	MtAuditEvent event = {.event = "access.bypass",.outcome = "allowed"};

	if (is_recorded(permission))
		return;
	event.object = MtQualifiedName(permission->relid);
	event.detail = psprintf("{\"profile\": \"%s\", \"write\": %s}",
							MtAccessProfileName(),
							(permission->required & WRITE_RIGHTS) ? "true" : "false");
	MtAuditEmit(&event);
}

static uint32
needed_to_bypass(const MtPermission *permission)
{
	return MT_MAY_BYPASS_READ |
		((permission->required & WRITE_RIGHTS) ? MT_MAY_BYPASS_WRITE : 0);
}

/*
 * May this session go past row security, as its role can?
 *
 * Security: decided by the session's and the outer role's profile. The user the
 * relation is checked as - a view's or function's owner - decides nothing.
 */
static bool
may_bypass(const MtPermission *permission, MtDenial *denial)
{
	uint32		needed = needed_to_bypass(permission);
	uint32		capabilities = MtAccessCapabilities();

	if (MtContextGet()->state == MT_STATE_TENANT)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("row security does not apply to this statement on table %s",
							   MtQualifiedName(permission->relid)),
					  "It runs with the rights of a role that row security does not filter, "
					  "under the context of one tenant.",
					  "Use a role without SUPERUSER and BYPASSRLS, and security_invoker views.");
	if ((capabilities & needed) != needed)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("row security does not apply to this statement on table %s",
							   MtQualifiedName(permission->relid)),
					  "It runs with the rights of a role that row security does not filter, "
					  "and the session has no recorded bypass that permits it.",
					  "Use security_invoker views and functions, or record the role with "
					  "multitenant.grant_access(role, 'bypass_read').");
	if ((capabilities & MT_IS_SUPERUSER) &&
		mt_guc_superuser_access == MT_SUPERUSER_DENY &&
		MtContextGet()->state != MT_STATE_SYSTEM)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("superusers have no access to table %s",
							   MtQualifiedName(permission->relid)),
					  "The setting multitenant.superuser_access is \"deny\".",
					  "Call multitenant.system_context() with a reason first.");
	if (!(capabilities & MT_IS_SUPERUSER) ||
		mt_guc_superuser_access != MT_SUPERUSER_ALLOW)
		record_bypass(permission);
	return true;
}

/* ---- the classes of tables ---- */

/*
 * Does row security filter the user that this relation is checked as? Asked of
 * an intact protection, so it is enabled, and forced on the owner; what the
 * server decides beyond that is looked up here without its catalogs.
 */
static bool
is_filtered(const MtPermission *permission)
{
	Oid			user = OidIsValid(permission->check_as_user) ?
	permission->check_as_user : GetUserId();

	if (InNoForceRLSOperation())
		return check_enable_rls(permission->relid, user, true) == RLS_ENABLED;
	return !MtAccessBypassesRowSecurity(user);
}

/*
 * May the foreign key's own statement change this table of tenants? Shared data
 * may refer to it, and who maintains that changes rows of every tenant.
 */
static bool
check_reference(const MtPermission *permission, const MtProtection *protection,
				MtDenial *denial)
{
	const char *statement = MtGuardReferenceText();

	if (statement == NULL || (MtAccessCapabilities() & MT_MAY_WRITE_SHARED) ||
		(protection->column != 0 &&
		 MtReferencesAreTied(permission->relid, protection->column, statement)))
		return true;
	return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
				  psprintf("a foreign key would change rows of every tenant in table %s",
						   MtQualifiedName(permission->relid)),
				  "It does not compare the tenant with that of a protected table.",
				  "Protect or share() the referenced table, or let a role of profile migrator change it.");
}

/*
 * Is a dump being restored with SET SESSION AUTHORIZATION? Labels come before
 * the data, row security and policies after it.
 *
 * Security: such a session can become superuser again whenever it likes. It only
 * adds rows.
 */
static bool
is_restore(const MtPermission *permission)
{
	return MtGuardIsCopy() && permission->required == ACL_INSERT &&
		GetAuthenticatedUserId() != GetSessionUserId() &&
		superuser_arg(GetAuthenticatedUserId());
}

/*
 * Is row security what it should be, and does it filter this statement? Sets
 * *needs_context where that is so; else the statement is let through for a
 * recorded reason, or refused.
 */
static bool
check_filter(const MtPermission *permission, const MtProtection *protection,
			 bool *needs_context, MtDenial *denial)
{
	*needs_context = false;
	if (protection->is_paused &&
		GetCurrentStatementStartTimestamp() < protection->paused_until)
		return true;
	if (!protection->is_intact && !protection->has_row_security &&
		is_restore(permission))
		return true;
	if (!protection->is_intact &&
		(MtAccessCapabilities() & MT_MAY_BYPASS_READ) == 0)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("the protection of table %s is not intact",
							   MtQualifiedName(permission->relid)),
					  psprintf("%c%s.", pg_toupper((unsigned char) protection->finding[0]),
							   protection->finding + 1),
					  "The owner of the table can call multitenant.repair().");
	if (!protection->is_intact || !is_filtered(permission))
		return may_bypass(permission, denial);
	*needs_context = true;
	return true;
}

/*
 * isolate_tenant() changes the label of the table whose rows it moves. A snapshot
 * from before sees the rows where they were, and the plan of now looks for them
 * where they are: some would be missing, or there twice. That is not only for
 * transactions of one snapshot: a function that is not volatile has the snapshot of
 * the statement that calls it, and EXECUTE waits for locks with its own.
 */
static bool
check_snapshot(const MtProtection *protection, MtDenial *denial)
{
	Snapshot	snapshot;

	if (likely(!TransactionIdIsValid(protection->moved_by)))
		return true;
	snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : GetTransactionSnapshot();
	if (TransactionIdPrecedes(protection->moved_by, snapshot->xmin) ||
		TransactionIdIsCurrentTransactionId(protection->moved_by) ||
		!XidInMVCCSnapshot(protection->moved_by, snapshot))
		return true;
	return MtDeny(denial, ERRCODE_T_R_SERIALIZATION_FAILURE,
				  psprintf("could not serialize access because rows of table %s were moved",
						   MtQualifiedName(protection->relid)),
				  "A tenant got its own partition after the snapshot of this statement was taken.",
				  "The transaction might succeed if retried.");
}

static bool
check_tenant_table(const MtPermission *permission,
				   const MtProtection *protection, bool is_referential,
				   MtCounted *counted, MtDenial *denial)
{
	bool		needs_context;

	if (is_referential)
		return check_reference(permission, protection, denial);
	if (!check_filter(permission, protection, &needs_context, denial) ||
		!check_snapshot(protection, denial))
		return false;
	if (!needs_context)
	{
		if ((MtAccessCapabilities() & (MT_IS_LEGACY | MT_IS_SUPERUSER)) == MT_IS_LEGACY)
			MtGuardObserveLegacy(permission->relid, counted);
		return true;
	}
	MtGuardCheckHeldCursor();
	MtGuardNoteRead();
	if (!MtContextCheck(denial))
		return false;
	if (likely(protection->resource[0] == '\0' && !MtWatchIsOn()))
		return true;
	return MtGuardCheckUse(permission, protection, denial);
}

/* Shared tables are everyone's to read and nobody's to write but maintenance. */
static bool
check_shared_table(const MtPermission *permission, bool is_referential,
				   MtDenial *denial)
{
	if ((permission->required & WRITE_RIGHTS) == 0 ||
		(is_referential && MtGuardReferenceText() == NULL) ||
		(MtAccessCapabilities() & MT_MAY_WRITE_SHARED) || is_restore(permission))
		return true;
	return MtDeny(denial, MT_ERRCODE_REFUSED_BY_GUARD,
				  psprintf("shared table %s is read-only for this session",
						   MtQualifiedName(permission->relid)),
				  NULL,
				  "Change shared data with a role of profile migrator.");
}

/* Supervised contexts look, they do not touch: also not unprotected tables. */
static bool
check_supervised(const MtPermission *permission, MtDenial *denial)
{
	if ((permission->required & WRITE_RIGHTS) == 0 || !MtContextIsSupervised())
		return true;
	return MtDeny(denial, ERRCODE_READ_ONLY_SQL_TRANSACTION,
				  "a supervised context is read-only", NULL,
				  "Writing takes a credential of the tenant itself.");
}

static bool
is_statistics(Oid relid)
{
	return relid == StatisticRelationId || relid == StatisticExtDataRelationId;
}

/*
 * Values of every tenant's rows lie in the server's statistics; pg_stats hides
 * them where row security is active, and reads them as its owner.
 */
static bool
check_catalog(const MtPermission *permission, MtDenial *denial)
{
	if (!is_statistics(permission->relid) ||
		permission->required == 0 ||
		(OidIsValid(permission->check_as_user) && superuser_arg(permission->check_as_user)) ||
		(MtAccessCapabilities() & MT_MAY_BYPASS_READ))
		return true;
	return MtDeny(denial, MT_ERRCODE_REFUSED_BY_GUARD,
				  "the server's statistics hold values of every tenant's rows", NULL,
				  "Use the view pg_stats, or a role with a recorded bypass.");
}

static bool
check_relation(const MtPermission *permission, bool is_referential,
			   MtCounted *counted, MtDenial *denial)
{
	const MtProtection *protection;

	if (permission->relid < FirstNormalObjectId)
		return check_catalog(permission, denial);
	if (permission->required == 0)
		return true;
	if (!check_supervised(permission, denial))
		return false;
	protection = MtProtectionOf(permission->relid);
	switch (protection->class)
	{
		case MT_CLASS_TENANT:
		case MT_CLASS_SHARED_ROWS:
			return check_tenant_table(permission, protection, is_referential, counted, denial);
		case MT_CLASS_SHARED:
			return check_shared_table(permission, is_referential, denial);
		case MT_CLASS_NONE:
			if (OidIsValid(protection->observed_as) && !is_referential)
				MtGuardObserveStatement(protection->observed_as, is_filtered(permission),
										needed_to_bypass(permission), counted);
			break;
		case MT_CLASS_EXEMPT:
			break;
	}
	return true;
}

/*
 * Is this a relation whose rows must not be validated under row security?
 *
 * Security: the server asks without raising when it wants to validate a foreign
 * key with one query. Under row security that query misses other tenants'
 * orphans; a "no" makes the server check row by row, which does not.
 */
static bool
is_filtered_for_validation(const MtPermission *permission)
{
	if (permission->required == 0 || permission->relid < FirstNormalObjectId)
		return false;
	return MtClassIsFiltered(MtProtectionOf(permission->relid)->class);
}

/*
 * Security: the planner comes before the executor, and with it selectivity
 * functions, which call the operators of whoever wrote the statement on values
 * from the statistics. Where row security does not apply, nothing keeps those
 * values from them. So what needs no execution to be refused is refused here.
 */
static pg_noinline void
check_before_planning(const MtPermission *permission)
{
	MtDenial	denial;
	bool		needs_context;

	if (!check_filter(permission, MtProtectionOf(permission->relid), &needs_context, &denial))
		MtDenialRaise(&denial);
}

static bool
check_query_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		check_stack_depth();
		MtGuardCheckQuery((Query *) node);
		return false;
	}
	return expression_tree_walker(node, check_query_walker, context);
}

/*
 * Most queries are one level deep, and then their expressions are not walked.
 * The planner itself relies on hasSubLinks.
 */
void
MtGuardCheckQuery(Query *query)
{
	ListCell   *cell;

	foreach(cell, MtPermissionsOfQuery(query))
	{
		MtPermission permission;

		if (MtPermissionOf(lfirst(cell), &permission) && permission.required != 0 &&
			permission.relid >= FirstNormalObjectId &&
			MtClassIsFiltered(MtProtectionOf(permission.relid)->class))
			check_before_planning(&permission);
	}
	if (query->hasSubLinks)
	{
		(void) query_tree_walker(query, check_query_walker, NULL, 0);
		return;
	}
	foreach(cell, query->cteList)
		(void) check_query_walker(lfirst_node(CommonTableExpr, cell)->ctequery, NULL);
	foreach(cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_SUBQUERY)
			(void) check_query_walker((Node *) entry->subquery, NULL);
	}
}

/*
 * Only what is certain of the query itself: where there are others in it, it is not.
 * What is nobody's may have policies of its own, so these are asked for, too.
 */
bool
MtGuardIsNobodysQuery(const Query *query)
{
	ListCell   *cell;

	if (query->hasSubLinks || query->hasRowSecurity || query->cteList != NIL ||
		query->withCheckOptions != NIL)
		return false;
	foreach(cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		if (entry->rtekind == RTE_SUBQUERY || entry->securityQuals != NIL ||
			(entry->rtekind == RTE_RELATION && entry->relid >= FirstNormalObjectId &&
			 !MtProtectionIsNobodys(entry->relid)))
			return false;
	}
	return true;
}

/*
 * Is this the statement of a foreign key? Asked where FORCE is missing. It names one
 * relation, two over periods, as the current user. The relations that a rule or a
 * view brings in are checked as its owner.
 */
static pg_noinline bool
is_referential_statement(List *permissions)
{
	ListCell   *cell;
	Oid			relids[2] = {InvalidOid, InvalidOid};
	int			count = 0;

	foreach(cell, permissions)
	{
		MtPermission permission;

		if (!MtPermissionOf(lfirst(cell), &permission) || permission.required == 0)
			continue;
		if (OidIsValid(permission.check_as_user) || count == lengthof(relids))
			return false;
		relids[count++] = permission.relid;
	}
	if (!MtGuardIsReferentialStatement())
		return false;
	return count < 2 ||
		(MtGuardReferenceText() == NULL && MtReferOverPeriods(relids[0], relids[1]));
}

bool
MtGuardCheckPermissions(List *permissions, bool raise)
{
	bool		is_referential = InNoForceRLSOperation() && is_referential_statement(permissions);
	MtCounted	counted = {.tables = {NIL}};
	ListCell   *cell;

	/* COPY comes here without having been planned or started. */
	if (raise && MtGuardIsCopy())
		MtContextMaterialise();

	MtGuardForgetUses();
	foreach(cell, permissions)
	{
		MtPermission permission;
		MtDenial	denial;

		if (!MtPermissionOf(lfirst(cell), &permission))
			continue;
		if (!raise)
		{
			if (is_filtered_for_validation(&permission))
				return false;
		}
		else if (!check_relation(&permission, is_referential, &counted, &denial))
			MtDenialRaise(&denial);
	}
	MtGuardRecordUses();
	return true;
}

/*
 * Statements on nobody's data are the only ones that pay for nothing, so they are
 * seen through first. Not COPY, which has brought no context here yet.
 */
bool
MtGuardAreNobodys(List *permissions)
{
	ListCell   *cell;

	if (unlikely(MtContextIsAny()) || unlikely(MtGuardIsCopy()))
		return false;
	foreach(cell, permissions)
	{
		MtPermission permission;

		if (!MtPermissionOf(lfirst(cell), &permission))
			continue;
		if (unlikely(permission.relid < FirstNormalObjectId))
		{
			if (is_statistics(permission.relid))
				return false;
		}
		else if (permission.required != 0 && !MtProtectionIsNobodys(permission.relid))
			return false;
	}
	return true;
}
