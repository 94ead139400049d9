/*
 * invalidation.c
 *	  The library's only relcache callback and its syscache callbacks.
 *
 * The server has few callback slots per backend, so the library takes one of
 * each kind and passes the news on. Owns the lists of listeners, which are
 * filled while the library is loaded and never change afterwards.
 */
#include "postgres.h"

#include "base/invalidation.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#define MAX_LISTENERS 16		/* one per module is plenty */

typedef struct CatalogListeners
{
	MtCatalogListener listeners[MAX_LISTENERS];
	int			count;
} CatalogListeners;

static MtRelationListener relation_listeners[MAX_LISTENERS];
static int	relation_listener_count = 0;
static CatalogListeners catalogs[MT_CATALOG_COUNT];
static bool is_forgetting_plans = false;

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < relation_listener_count; i++)
		relation_listeners[i] (relid);
}

static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	const CatalogListeners *catalog = &catalogs[DatumGetInt32(arg)];

	if (is_forgetting_plans)
		return;
	for (int i = 0; i < catalog->count; i++)
		catalog->listeners[i] ();
}

void
MtInvalidationOnRelation(MtRelationListener listener)
{
	if (relation_listener_count >= MAX_LISTENERS)
		elog(ERROR, "too many relation listeners");
	relation_listeners[relation_listener_count++] = listener;
}

void
MtInvalidationOnCatalog(MtCatalog catalog, MtCatalogListener listener)
{
	CatalogListeners *its = &catalogs[catalog];

	if (its->count >= MAX_LISTENERS)
		elog(ERROR, "too many catalog listeners");
	its->listeners[its->count++] = listener;
}

void
MtInvalidationForgetPlans(uint32 hash)
{
	is_forgetting_plans = true;
	CallSyscacheCallbacks(PROCOID, hash);
	is_forgetting_plans = false;
}

/* Registers the callbacks; they cannot be taken back, so this runs once. */
void
MtInvalidationInit(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, Int32GetDatum(MT_CATALOG_SCHEMAS));
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, Int32GetDatum(MT_CATALOG_ROLES));
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, Int32GetDatum(MT_CATALOG_ROLES));
	CacheRegisterSyscacheCallback(PROCOID, catalog_changed, Int32GetDatum(MT_CATALOG_FUNCTIONS));
	CacheRegisterSyscacheCallback(OPFAMILYOID, catalog_changed, Int32GetDatum(MT_CATALOG_FAMILIES));
}
