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

#define MAX_LISTENERS 8			/* one per module is plenty */

static MtRelationListener relation_listeners[MAX_LISTENERS];
static int	relation_listener_count = 0;
static MtCatalogListener schema_listeners[MAX_LISTENERS];
static int	schema_listener_count = 0;
static MtCatalogListener role_listeners[MAX_LISTENERS];
static int	role_listener_count = 0;

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < relation_listener_count; i++)
		relation_listeners[i] (relid);
}

static void
schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	for (int i = 0; i < schema_listener_count; i++)
		schema_listeners[i] ();
}

static void
role_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	for (int i = 0; i < role_listener_count; i++)
		role_listeners[i] ();
}

void
MtInvalidationOnRelation(MtRelationListener listener)
{
	if (relation_listener_count >= MAX_LISTENERS)
		elog(ERROR, "too many relation listeners");
	relation_listeners[relation_listener_count++] = listener;
}

void
MtInvalidationOnSchema(MtCatalogListener listener)
{
	if (schema_listener_count >= MAX_LISTENERS)
		elog(ERROR, "too many schema listeners");
	schema_listeners[schema_listener_count++] = listener;
}

void
MtInvalidationOnRole(MtCatalogListener listener)
{
	if (role_listener_count >= MAX_LISTENERS)
		elog(ERROR, "too many role listeners");
	role_listeners[role_listener_count++] = listener;
}

/* Registers the callbacks; they cannot be taken back, so this runs once. */
void
MtInvalidationInit(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_changed, (Datum) 0);
}
