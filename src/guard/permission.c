/*
 * permission.c
 *	  The heart of the guard: may this statement touch these relations?
 *
 * Called for every statement with the relations it names and the rights it
 * needs. Owns the order of the checks on protected tables and the record of
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
#include "base/settings.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "policy/protection.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

/* SELECT .. FOR UPDATE and its kin need ACL_UPDATE: locking counts as writing. */
#define WRITE_RIGHTS (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* ---- recorded bypasses ---- */

/* Has this transaction recorded its bypass of that relation already? */
static bool
is_recorded(Oid relid)
{
	static LocalTransactionId seen_lxid = InvalidLocalTransactionId;
	static Oid	seen[64];
	static int	seen_count = 0;

	if (seen_lxid != MtLocalTransactionId())
	{
		seen_lxid = MtLocalTransactionId();
		seen_count = 0;
	}
	for (int i = 0; i < seen_count; i++)
		if (seen[i] == relid)
			return true;
	if (seen_count < (int) lengthof(seen))
		seen[seen_count++] = relid;
	return false;
}

static void
record_bypass(const MtPermission *permission)
{
	MtAuditEvent event = {.event = "access.bypass",.outcome = "allowed"};

	if (is_recorded(permission->relid))
		return;
	event.object = qualified_name(permission->relid);
	event.detail = psprintf("{\"profile\": \"%s\", \"write\": %s}",
							MtAccessProfileName(),
							(permission->required & WRITE_RIGHTS) ? "true" : "false");
	MtAuditEmit(&event);
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
	uint32		needed = MT_MAY_BYPASS_READ;
	uint32		capabilities = MtAccessCapabilities();

	if (permission->required & WRITE_RIGHTS)
		needed |= MT_MAY_BYPASS_WRITE;

	if (MtContextGet()->state == MT_STATE_TENANT)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("row security does not apply to this statement on table %s",
							   qualified_name(permission->relid)),
					  "It runs with the rights of a role that row security does not filter, "
					  "under the context of one tenant.",
					  "Use a role without SUPERUSER and BYPASSRLS, and security_invoker views.");
	if ((capabilities & needed) != needed)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("row security does not apply to this statement on table %s",
							   qualified_name(permission->relid)),
					  "It runs with the rights of a role that row security does not filter, "
					  "and the session has no recorded bypass that permits it.",
					  "Use security_invoker views and functions, or record the role with "
					  "multitenant.grant_access(role, 'bypass_read').");
	if ((capabilities & MT_IS_SUPERUSER) &&
		mt_guc_superuser_access == MT_SUPERUSER_DENY &&
		MtContextGet()->state != MT_STATE_SYSTEM)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("superusers have no access to table %s",
							   qualified_name(permission->relid)),
					  "The setting multitenant.superuser_access is \"deny\".",
					  "Call multitenant.system_context() with a reason first.");
	if (!(capabilities & MT_IS_SUPERUSER) ||
		mt_guc_superuser_access != MT_SUPERUSER_ALLOW)
		record_bypass(permission);
	return true;
}

/* ---- the classes of tables ---- */

/* Does row security filter the user that this relation is checked as? */
static bool
is_filtered(const MtPermission *permission)
{
	return check_enable_rls(permission->relid, permission->check_as_user, true) == RLS_ENABLED;
}

static bool
check_tenant_table(const MtPermission *permission,
				   const MtProtection *protection, MtDenial *denial)
{
	if (protection->is_paused &&
		GetCurrentStatementStartTimestamp() < protection->paused_until)
		return true;
	if (MtGuardIsReferentialStatement())
		return true;
	if (!protection->is_intact &&
		(MtAccessCapabilities() & MT_MAY_BYPASS_READ) == 0)
		return MtDeny(denial, MT_ERRCODE_BYPASSES_ISOLATION,
					  psprintf("the protection of table %s is not intact",
							   qualified_name(permission->relid)),
					  psprintf("%c%s.", pg_toupper((unsigned char) protection->finding[0]),
							   protection->finding + 1),
					  "The owner of the table can call multitenant.repair().");
	if (!protection->is_intact || !is_filtered(permission))
		return may_bypass(permission, denial);
	return MtContextCheck(denial);
}

/* Shared tables are everyone's to read and nobody's to write but maintenance. */
static bool
check_shared_table(const MtPermission *permission, MtDenial *denial)
{
	if ((permission->required & WRITE_RIGHTS) == 0 ||
		(MtAccessCapabilities() & MT_MAY_WRITE_SHARED) ||
		MtGuardIsReferentialStatement())
		return true;
	return MtDeny(denial, MT_ERRCODE_REFUSED_BY_GUARD,
				  psprintf("shared table %s is read-only for this session",
						   qualified_name(permission->relid)),
				  NULL,
				  "Change shared data with a role of profile migrator.");
}

/* Supervised contexts look, they do not touch: also not unprotected tables. */
static bool
check_supervised(const MtPermission *permission, MtDenial *denial)
{
	if (MtContextGet()->state != MT_STATE_TENANT ||
		MtContextGet()->kind != MT_KIND_SUPERVISED ||
		(permission->required & WRITE_RIGHTS) == 0)
		return true;
	return MtDeny(denial, ERRCODE_READ_ONLY_SQL_TRANSACTION,
				  "a supervised context is read-only", NULL,
				  "Writing takes a credential of the tenant itself.");
}

static bool
check_relation(const MtPermission *permission, MtDenial *denial)
{
	const MtProtection *protection;

	if (permission->required == 0 || permission->relid < FirstNormalObjectId)
		return true;
	if (!check_supervised(permission, denial))
		return false;
	protection = MtProtectionOf(permission->relid);
	switch (protection->class)
	{
		case MT_CLASS_TENANT:
		case MT_CLASS_SHARED_ROWS:
			return check_tenant_table(permission, protection, denial);
		case MT_CLASS_SHARED:
			return check_shared_table(permission, denial);
		case MT_CLASS_NONE:
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
	const MtProtection *protection;

	if (permission->required == 0 || permission->relid < FirstNormalObjectId)
		return false;
	protection = MtProtectionOf(permission->relid);
	return protection->class == MT_CLASS_TENANT ||
		protection->class == MT_CLASS_SHARED_ROWS;
}

bool
MtGuardCheckPermissions(List *permissions, bool raise)
{
	ListCell   *cell;

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
		else if (!check_relation(&permission, &denial))
			MtDenialRaise(&denial);
	}
	return true;
}
