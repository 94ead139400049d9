/*
 * purposerule.c
 *	  Which permissions the keys of a purpose ask for: a bounded cache over
 *	  multitenant.purpose_rule.
 *
 * Owns the cache and the generation of rules. Invariant: an entry was read at the
 * current generation; the callback only counts, and the next lookup drops what is old.
 */
#include "postgres.h"

#include "base/extension.h"
#include "base/tablescan.h"
#include "catalog/pg_type.h"
#include "crypto/ciphertext.h"
#include "keys/purposerule.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Columns of multitenant.purpose_rule that C reads. */
enum
{
	RULE_TENANT_ID = 1,
	RULE_PURPOSE,
	RULE_DECRYPT_PERMISSION,
	RULE_ENCRYPT_PERMISSION
};

/* Rules remembered in one backend: about 100 kB. A key's entry remembers its own besides. */
#define CACHE_LIMIT 256

/* Filled up with zeros: the hash key. */
typedef struct RuleName
{
	pg_uuid_t	tenant;
	char		purpose[MT_PURPOSE_MAX + 1];
} RuleName;

typedef struct CacheEntry
{
	RuleName	name;			/* first: the hash key */
	MtPurposeRule rule;
} CacheEntry;

static MemoryContext cache_context = NULL;
static HTAB *cache = NULL;
static uint64 cache_generation = 0;
static uint64 generation = 1;

static void
table_changed(void)
{
	generation++;
}

void
MtPurposeRuleInit(void)
{
	MtExtensionOnTable(MT_TABLE_PURPOSE_RULE, table_changed);
}

uint64
MtPurposeRuleGeneration(void)
{
	return generation;
}

/* What the row says goes where nothing was said yet: the tenant's own is read first. */
static void
read_rule(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtPurposeRule *rule = result;
	const int	columns[MT_USE_COUNT] = {RULE_DECRYPT_PERMISSION, RULE_ENCRYPT_PERMISSION};

	for (int use = 0; use < MT_USE_COUNT; use++)
	{
		char	   *permission = MtColumnText(tuple, desc, columns[use]);

		if (permission == NULL)
			continue;
		if (rule->permission[use][0] == '\0')
			strlcpy(rule->permission[use], permission, sizeof(rule->permission[use]));
		pfree(permission);
	}
}

static void
scan(const pg_uuid_t *tenant, const char *purpose, MtPurposeRule *rule)
{
	const int	columns[] = {RULE_TENANT_ID, RULE_PURPOSE};
	const Oid	equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), CStringGetTextDatum(purpose)};

	(void) MtTableScan(MT_TABLE_PURPOSE_RULE, "purpose_rule_pkey", 2, columns, equality, keys,
					   read_rule, rule);
	pfree(DatumGetPointer(keys[1]));
}

/* Empties or creates the cache so that it holds only the current generation, and has room. */
static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	if (cache != NULL && cache_generation == generation &&
		hash_get_num_entries(cache) < CACHE_LIMIT)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext, "multitenant purpose rules",
											  ALLOCSET_DEFAULT_SIZES);
	cache = NULL;
	MemoryContextReset(cache_context);
	control.hcxt = cache_context;
	control.keysize = sizeof(RuleName);
	control.entrysize = sizeof(CacheEntry);
	cache = hash_create("multitenant purpose rules", 32, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache_generation = generation;
}

/*
 * Security: the generation is read before the table is, so that what changes meanwhile
 * makes the entry stale and not fresh.
 */
const MtPurposeRule *
MtPurposeRuleOf(const pg_uuid_t *tenant, const char *purpose)
{
	static const pg_uuid_t everybody = {{0}};
	RuleName	name;
	MtPurposeRule rule;
	CacheEntry *entry;
	bool		found;

	prepare_cache();
	memset(&name, 0, sizeof(name));
	name.tenant = *tenant;
	strlcpy(name.purpose, purpose, sizeof(name.purpose));
	entry = hash_search(cache, &name, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->rule;

	memset(&rule, 0, sizeof(rule));
	scan(tenant, purpose, &rule);
	scan(&everybody, purpose, &rule);
	entry = hash_search(cache, &name, HASH_ENTER, &found);
	entry->rule = rule;
	return &entry->rule;
}
