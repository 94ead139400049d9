/*
 * registry.c
 *	  The tenants of this database: a bounded cache over multitenant.tenant.
 *
 * Owns the cache and the registry generation. Invariant: an entry was read at
 * the current generation; a callback only advances the generation and the next
 * lookup drops what is old. Also owns the trigger that tells all sessions of a
 * change to any of the extension's own tables.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/extension.h"
#include "base/slots.h"
#include "base/tablescan.h"
#include "base/transaction.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mt_own_table_changed);

/* Columns of multitenant.tenant that C reads. */
enum
{
	TENANT_ID = 1,
	TENANT_NUMBER,
	TENANT_SLUG,
	TENANT_STATE,
	TENANT_VISIBILITY = 11,
	TENANT_SUPERVISED_FROM
};

/* Tenants remembered in one backend: about 280 kB. */
#define CACHE_LIMIT 1024

typedef struct CacheEntry
{
	MtTenant	tenant;			/* first: its id is the key */
	dlist_node	used;			/* most recently used first */
} CacheEntry;

static MemoryContext cache_context = NULL;
static HTAB *cache = NULL;
static dlist_head cache_used;
static uint64 cache_generation = 0;

static uint64 generation = 1;
static bool has_changed_registry = false;

static void
table_changed(void)
{
	generation++;
}

static void
transaction_ended(XactEvent event)
{
	/*
	 * After the commit is visible and before the invalidations go out: a
	 * backend that sees the new epoch and reads, reads the new row.
	 */
	if (event == XACT_EVENT_COMMIT && has_changed_registry)
		MtSlotsAdvanceEpoch();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		has_changed_registry = false;
}

void
MtRegistryInit(void)
{
	/*
	 * What a context that is there depends on; the other tables have caches
	 * of their own.
	 */
	static const MtTable tables[] = {
		MT_TABLE_TENANT, MT_TABLE_MEMBER, MT_TABLE_PRINCIPAL, MT_TABLE_MASTER_TENANT, MT_TABLE_OPERATOR,
		MT_TABLE_ACCESS_REQUEST, MT_TABLE_ACCESS_WITHDRAWAL, MT_TABLE_SUPERVISION
	};

	for (int i = 0; i < lengthof(tables); i++)
		MtExtensionOnTable(tables[i], table_changed);
	MtTransactionOnEnd(transaction_ended);
}

uint64
MtRegistryGeneration(void)
{
	return generation;
}

void
MtRegistryAccept(void)
{
	static uint64 seen_epoch = 0;
	uint64		epoch = MtSlotsEpoch();

	AcceptInvalidationMessages();
	if (epoch != seen_epoch)
	{
		seen_epoch = epoch;
		generation++;
	}
}

/* Empties or creates the cache so that it holds only the current generation. */
static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	if (cache != NULL && cache_generation == generation)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext,
											  "multitenant registry",
											  ALLOCSET_DEFAULT_SIZES);
	cache = NULL;
	MemoryContextReset(cache_context);
	dlist_init(&cache_used);
	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = sizeof(CacheEntry);
	control.hcxt = cache_context;
	cache = hash_create("multitenant registry", 128, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache_generation = generation;
}

static void
remember(const MtTenant *tenant)
{
	CacheEntry *entry;
	bool		found;

	entry = hash_search(cache, &tenant->id, HASH_ENTER, &found);
	if (found)
		dlist_delete(&entry->used);
	entry->tenant = *tenant;
	dlist_push_head(&cache_used, &entry->used);

	if (hash_get_num_entries(cache) > CACHE_LIMIT)
	{
		CacheEntry *oldest = dlist_container(CacheEntry, used,
											 dlist_tail_node(&cache_used));

		dlist_delete(&oldest->used);
		hash_search(cache, &oldest->tenant.id, HASH_REMOVE, NULL);
	}
}

static MtTenantState
state_from_text(const char *text)
{
	if (strcmp(text, "active") == 0)
		return MT_TENANT_ACTIVE;
	if (strcmp(text, "suspended") == 0)
		return MT_TENANT_SUSPENDED;
	return MT_TENANT_DELETED;
}

/* Security: what this library does not know shows nothing. */
static MtVisibility
visibility_from_text(const char *text)
{
	if (strcmp(text, "supervised") == 0)
		return MT_VISIBILITY_SUPERVISED;
	if (strcmp(text, "metadata") == 0)
		return MT_VISIBILITY_METADATA;
	return MT_VISIBILITY_NONE;
}

static void
read_tenant(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtTenant   *tenant = (MtTenant *) result;
	bool		is_null;
	Datum		since;
	char	   *text;

	tenant->id = MtColumnUuid(tuple, desc, TENANT_ID);
	tenant->number = DatumGetInt64(heap_getattr(tuple, TENANT_NUMBER, desc, &is_null));
	text = MtColumnText(tuple, desc, TENANT_SLUG);
	strlcpy(tenant->slug, text, sizeof(tenant->slug));
	pfree(text);
	text = MtColumnText(tuple, desc, TENANT_STATE);
	tenant->state = state_from_text(text);
	pfree(text);
	text = MtColumnText(tuple, desc, TENANT_VISIBILITY);
	tenant->visibility = visibility_from_text(text);
	pfree(text);
	since = heap_getattr(tuple, TENANT_SUPERVISED_FROM, desc, &is_null);
	tenant->supervised_from = is_null ? DT_NOBEGIN : DatumGetTimestampTz(since);
}

/* Reads a tenant from its table and remembers it if nothing changed meanwhile. */
static bool
look_up(const char *index, int column, Oid equality, Datum key, MtTenant *out)
{
	uint64		before;

	if (!MtIsActive())
		return false;
	before = generation;
	memset(out, 0, sizeof(*out));
	if (MtTableScan(MT_TABLE_TENANT, index, 1, &column, &equality, &key,
					read_tenant, out) == 0)
		return false;
	prepare_cache();
	if (before == generation)
		remember(out);
	return true;
}

bool
MtRegistryById(const pg_uuid_t *id, MtTenant *out)
{
	CacheEntry *entry;

	prepare_cache();
	entry = hash_search(cache, id, HASH_FIND, NULL);
	if (entry != NULL)
	{
		dlist_move_head(&cache_used, &entry->used);
		*out = entry->tenant;
		return true;
	}
	return look_up("tenant_pkey", TENANT_ID, F_UUID_EQ, UUIDPGetDatum(id), out);
}

bool
MtRegistryByNumber(int64 number, MtTenant *out)
{
	return look_up("tenant_number_key", TENANT_NUMBER, F_INT8EQ,
				   Int64GetDatum(number), out);
}

bool
MtRegistryBySlug(const char *slug, MtTenant *out)
{
	if (strlen(slug) > MT_SLUG_MAX)
		return false;
	return look_up("tenant_slug_key", TENANT_SLUG, F_TEXTEQ,
				   CStringGetTextDatum(slug), out);
}

bool
MtUuidFromText(const char *text, pg_uuid_t *out)
{
	int			digits = 0;

	/* The canonical form only: 8-4-4-4-12 hexadecimal digits. */
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		int			value;

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return false;
			continue;
		}
		if (text[i] >= '0' && text[i] <= '9')
			value = text[i] - '0';
		else if (text[i] >= 'a' && text[i] <= 'f')
			value = text[i] - 'a' + 10;
		else if (text[i] >= 'A' && text[i] <= 'F')
			value = text[i] - 'A' + 10;
		else
			return false;
		if (digits % 2 == 0)
			out->data[digits / 2] = value << 4;
		else
			out->data[digits / 2] |= value;
		digits++;
	}
	return true;
}

bool
MtRegistryByText(const char *text, MtTenant *out)
{
	pg_uuid_t	id;

	if (MtUuidFromText(text, &id))
		return MtRegistryById(&id, out);
	return MtRegistryBySlug(text, out);
}

/*
 * What rights are compiled from changes often, and has caches of its own, which the
 * invalidation reaches; it would cost every session its tenants, tokens and keys.
 */
static bool
needs_epoch(Oid relid)
{
	switch (MtTableOfOid(relid))
	{
		case MT_TABLE_RIGHTS_VERSION:
		case MT_TABLE_BREAK_GLASS:
		case MT_TABLE_PURPOSE_RULE:
			return false;
		default:
			return true;
	}
}

/*
 * Statement trigger on the extension's tables: tells every session, at commit,
 * that the table changed. Safe while a restore loads the table.
 */
Datum
mt_own_table_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "mt_own_table_changed: not called as a trigger");
	CacheInvalidateRelcache(data->tg_relation);
	if (needs_epoch(RelationGetRelid(data->tg_relation)))
	{
		has_changed_registry = true;
		MtTransactionNote();
	}
	PG_RETURN_POINTER(NULL);
}
