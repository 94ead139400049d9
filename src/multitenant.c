/*
 * multitenant.c
 *	  Entry point of the library: starts the modules in layer order.
 */
#include "postgres.h"

#include "base/extension.h"
#include "base/invalidation.h"
#include "base/leader.h"
#include "base/observations.h"
#include "base/redact.h"
#include "base/settings.h"
#include "base/slots.h"
#include "base/transaction.h"
#include "crypto/keyring.h"
#include "crypto/masterkey.h"
#include "fmgr.h"
#include "guard/guard.h"
#include "keys/keycache.h"
#include "keys/keyusage.h"
#include "keys/purposerule.h"
#include "miscadmin.h"
#include "policy/label.h"
#include "policy/newtable.h"
#include "policy/protection.h"
#include "policy/tenantindex.h"
#include "rbac/rights.h"
#include "rbac/supervision.h"
#include "rbac/watch.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "tenant/lifecycle.h"
#include "tenant/registry.h"
#include "utils/guc.h"
#include "worker/auditwriter.h"
#include "worker/keeper.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/*
 * Never fails for lack of preloading: pg_upgrade loads every library, and a
 * policy may load this one in the middle of a statement. The hooks are installed
 * then, too; what they could not see before is said by multitenant.status().
 */
void
_PG_init(void)
{
	MtSettingsInit();
	MtInvalidationInit();
	MtTransactionInit();
	MtLeaderInit();
	MtExtensionInit();
	MtSlotsInit();
	MtObservationsInit();
	MtRegistryInit();
	MtAccessInit();
	MtMasterKeyInit();
	MtKeyringInit();
	MtContextInit();
	MtLifecycleInit();
	MtRightsInit();
	MtSupervisionInit();
	MtWatchInit();
	MtKeyUsageInit();
	MtPurposeRuleInit();
	MtKeyCacheInit();
	MtLabelInit();
	MtProtectionInit();
	MtTenantIndexInit();
	MtNewTableInit();
	MarkGUCPrefixReserved("multitenant");

	/* A server that is being upgraded only restores; nothing is enforced. */
	if (IsBinaryUpgrade)
		return;
	MtRedactInit();
	MtStatusInit();
	MtHygieneInit();
	MtHooksInit();
	MtKeeperInit();
	MtAuditWriterInit();
}
