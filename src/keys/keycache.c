/*
 * keycache.c
 *	  Keys ready for use in this session, few and not for long.
 *
 * Owns every unwrapped key of this process between two calls. Two tiers: a key's
 * secret (in pages that are locked and left out of core files), and for the keys
 * used last the OpenSSL objects made of it, which are larger. Invariants: an entry is
 * used only under the generation that it was checked under; a secret is wiped when
 * its entry goes, on every way: eviction, age, invalidation, the end of the process.
 * Invalidation callbacks only count; nothing is freed but at a lookup.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "base/compat.h"
#include "base/extension.h"
#include "base/memory.h"
#include "base/settings.h"
#include "base/transaction.h"
#include "keys/decision.h"
#include "keys/keycache.h"
#include "keys/keymaker.h"
#include "keys/keyusage.h"
#include "lib/ilist.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tenant/context.h"
#include "tenant/registry.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Keys whose secret is kept for each whose OpenSSL objects are: those are ten times as large. */
#define SECRETS_PER_READY_KEY 32

/* Nonces counted from one random start: bounds what two copies of a running machine would repeat. */
#define NONCES_PER_START 65536

/*
 * How many values a key may seal: SP 800-38D allows 2^32 with nonces that are
 * random in part. The count may miss what a crash lost.
 */
#define USES_LIMIT (INT64CONST(1) << 32)

#define SECRETS_PER_PAGE 128

typedef struct SecretPage
{
	unsigned char secret[SECRETS_PER_PAGE][MT_SECRET_BYTES];
} SecretPage;

typedef struct Entry
{
	MtKey		key;			/* first: begins with the hash key */
	uint64		generation;
	TimestampTz loaded_at;
	unsigned char *secret;
	unsigned char nonce[MT_NONCE_BYTES];
	int			nonces_left;
	LocalTransactionId nonce_lxid;
	int64		uses;			/* in the table when it was read last */
	uint64		uses_written;	/* MtKeyUsageWritten() before that */
	uint32		unreported;		/* uses that keyusage.c does not know of yet */
	dlist_node	used;			/* of all entries */
	dlist_node	ready;			/* of those that are ready */
} Entry;

/* Which key is the active one. */
typedef struct ActiveName
{
	pg_uuid_t	tenant;
	char		class;
	char		purpose[MT_PURPOSE_MAX];	/* filled up with zeros */
} ActiveName;

typedef struct ActiveEntry
{
	ActiveName	name;			/* first: the hash key */
	int64		id;
	uint64		generation;
} ActiveEntry;

static MemoryContext cache_context = NULL;
static HTAB *entries = NULL;
static HTAB *actives = NULL;
static dlist_head entries_used = DLIST_STATIC_INIT(entries_used);
static dlist_head entries_ready = DLIST_STATIC_INIT(entries_ready);
static int	ready_count = 0;
static unsigned char *free_secrets = NULL;	/* each begins with a pointer to
											 * the next */
static uint64 tables_changed = 1;
static bool has_unreported = false;
static Entry *last_opened = NULL;
static Entry *last_sealing = NULL;
static MtKeyCacheStats stats = {0};

static uint64
current_generation(void)
{
	return tables_changed + MtRegistryGeneration();
}

/*
 * Also told when a row that this transaction wrote is rolled back, or waits for its second
 * phase, so that a key which is not there any more seals nothing.
 */
static void
table_changed(void)
{
	tables_changed++;
}

/* ---- secrets in locked memory ---- */

static unsigned char *
take_secret(void)
{
	unsigned char *secret;

	if (free_secrets == NULL)
	{
		bool		is_locked;
		SecretPage *page = MtMemoryMap(sizeof(SecretPage), false, &is_locked);

		if (page == NULL)
			ereport(ERROR,
					errcode(ERRCODE_OUT_OF_MEMORY),
					errmsg("out of memory"),
					errdetail("Failed to map memory for keys."));
		if (!is_locked && mt_guc_require_locked_memory)
		{
			MtMemoryUnmap(page, sizeof(SecretPage));
			ereport(ERROR,
					errcode(MT_ERRCODE_KEY_UNAVAILABLE),
					errmsg("the memory for keys cannot be locked"),
					errhint("Raise the limit of locked memory of the server, or turn multitenant.require_locked_memory off."));
		}
		for (int i = 0; i < SECRETS_PER_PAGE; i++)
		{
			memcpy(page->secret[i], &free_secrets, sizeof(free_secrets));
			free_secrets = page->secret[i];
		}
	}
	secret = free_secrets;
	memcpy(&free_secrets, secret, sizeof(free_secrets));
	return secret;
}

static void
give_secret_back(unsigned char *secret)
{
	MtWipe(secret, MT_SECRET_BYTES);
	memcpy(secret, &free_secrets, sizeof(free_secrets));
	free_secrets = secret;
}

/* ---- entries ---- */

static void
report_uses(Entry *entry)
{
	if (entry->unreported > 0 && entry->key.class != MT_CLASS_BLIND_INDEX)
		MtKeyUsageAdd(entry->key.id, entry->unreported);
	entry->unreported = 0;
}

static void
free_tools(MtKeyTools *tools)
{
	MtGcmFree(tools->gcm);
	MtSivFree(tools->siv[0]);
	MtSivFree(tools->siv[1]);
	MtMacFree(tools->mac);
	pfree(tools);
}

static void
make_unready(Entry *entry)
{
	if (entry->key.tools == NULL)
		return;
	free_tools(entry->key.tools);
	entry->key.tools = NULL;
	dlist_delete(&entry->ready);
	ready_count--;

	/* What is found without a look-up is always ready. */
	if (last_opened == entry)
		last_opened = NULL;
	if (last_sealing == entry)
		last_sealing = NULL;
}

static void
remove_entry(Entry *entry)
{
	report_uses(entry);
	make_unready(entry);
	give_secret_back(entry->secret);
	dlist_delete(&entry->used);
	(void) hash_search(entries, &entry->key.id, HASH_REMOVE, NULL);
}

static void
process_ends(int code, Datum arg)
{
	MtKeyCacheWipe();
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	if (actives != NULL)
		return;
	if (!MtCipherInit())
		elog(ERROR, "OpenSSL has no ciphers");
	if (cache_context == NULL)
	{
		before_shmem_exit(process_ends, (Datum) 0);
		cache_context = AllocSetContextCreate(CacheMemoryContext, "multitenant keys",
											  ALLOCSET_DEFAULT_SIZES);
	}
	control.hcxt = cache_context;
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Entry);
	if (entries == NULL)
		entries = hash_create("multitenant keys", 64, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = sizeof(ActiveName);
	control.entrysize = sizeof(ActiveEntry);
	actives = hash_create("multitenant active keys", 64, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
MtKeyCacheRead(MtKeyCacheStats *out)
{
	*out = stats;
	out->entries = entries == NULL ? 0 : hash_get_num_entries(entries);
	out->ready = ready_count;
}

static void
forget_actives(void)
{
	HASH_SEQ_STATUS sequence;
	ActiveEntry *active;

	hash_seq_init(&sequence, actives);
	while ((active = hash_seq_search(&sequence)) != NULL)
		(void) hash_search(actives, &active->name, HASH_REMOVE, NULL);
}

void
MtKeyCacheWipe(void)
{
	while (!dlist_is_empty(&entries_used))
		remove_entry(dlist_container(Entry, used, dlist_tail_node(&entries_used)));
	if (actives != NULL)
		forget_actives();
}

/*
 * Has it been here too long? A key that is used all the time is unwrapped again, so
 * that it cannot outlive what protects it in the tables.
 */
static bool
is_old(const Entry *entry)
{
	return mt_guc_key_cache_lifetime > 0 &&
		GetCurrentStatementStartTimestamp() - entry->loaded_at >
		(TimestampTz) mt_guc_key_cache_lifetime * USECS_PER_SEC;
}

/* Removes all that are, every now and then. */
static void
remove_old(void)
{
	static TimestampTz last_sweep = 0;
	TimestampTz now = GetCurrentStatementStartTimestamp();
	dlist_mutable_iter iter;

	if (now - last_sweep < (TimestampTz) mt_guc_key_cache_lifetime * USECS_PER_SEC / 4)
		return;
	last_sweep = now;
	dlist_foreach_modify(iter, &entries_used)
	{
		Entry	   *entry = dlist_container(Entry, used, iter.cur);

		if (is_old(entry))
			remove_entry(entry);
	}
}

static void
transaction_ended(XactEvent event)
{
	dlist_iter	iter;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE &&
		event != XACT_EVENT_PARALLEL_COMMIT && event != XACT_EVENT_PARALLEL_ABORT)
		return;

	if (has_unreported)
		dlist_foreach(iter, &entries_used)
			report_uses(dlist_container(Entry, used, iter.cur));
	has_unreported = false;
}

void
MtKeyCacheInit(void)
{
	MtExtensionOnTable(MT_TABLE_KEK, table_changed);
	MtExtensionOnTable(MT_TABLE_CEK, table_changed);
	MtTransactionOnEnd(transaction_ended);
}

/* ---- making entries ---- */

/* Makes the objects of a key; NULL: OpenSSL failed, and nothing is left. */
static MtKeyTools *
make_tools(const Entry *entry, MtKeyTools *tools)
{
	const MtKey *key = &entry->key;
	MtSuite		suite = key->class == MT_CLASS_DETERMINISTIC ? MT_SUITE_SIV : MT_SUITE_GCM;
	unsigned char first[MT_SECRET_BYTES];
	unsigned char second[MT_SECRET_BYTES];
	bool		is_made = false;

	for (int is_bound = 0; is_bound <= 1; is_bound++)
	{
		unsigned char header[MT_CIPHERTEXT_HEADER];

		MtCiphertextWriteHeader(header, suite, is_bound, key->id);
		tools->aad_length = MtAadWrite(tools->aad[is_bound], header, key->tenant.data,
									   key->purpose, key->class);
	}
#define DERIVE(usage, out) \
	(MtDeriveSecret(entry->secret, usage, key->tenant.data, key->purpose, out) == MT_CIPHER_OK)
	if (key->class == MT_CLASS_DATA && DERIVE("gcm", first))
		is_made = (tools->gcm = MtGcmCreate(first)) != NULL;
	else if (key->class == MT_CLASS_BLIND_INDEX && DERIVE("bidx", first))
		is_made = (tools->mac = MtMacCreate(first)) != NULL;
	else if (key->class == MT_CLASS_DETERMINISTIC && DERIVE("siv-mac", first) &&
			 DERIVE("siv-ctr", second))
	{
		for (int i = 0; i <= 1; i++)
			tools->siv[i] = MtSivCreate(first, second, tools->aad[i], tools->aad_length);
		is_made = tools->siv[0] != NULL && tools->siv[1] != NULL;
	}
#undef DERIVE
	MtWipe(first, sizeof(first));
	MtWipe(second, sizeof(second));
	if (is_made)
		return tools;
	free_tools(tools);
	return NULL;
}

static bool
deny_openssl(MtDenial *denial)
{
	return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE, "the key could not be made ready",
				  "OpenSSL failed.", "Look at the server log; the server may be out of memory.");
}

/* The entry as something to use; false with the reason if OpenSSL fails. */
static bool
make_ready(Entry *entry, MtDenial *denial)
{
	dlist_move_head(&entries_used, &entry->used);
	if (entry->key.tools != NULL)
	{
		dlist_move_head(&entries_ready, &entry->ready);
		return true;
	}
	while (ready_count >= mt_guc_key_cache_size)
		make_unready(dlist_container(Entry, ready, dlist_tail_node(&entries_ready)));
	entry->key.tools = make_tools(entry, MemoryContextAllocZero(cache_context, sizeof(MtKeyTools)));
	if (entry->key.tools == NULL)
		return deny_openssl(denial);
	dlist_push_head(&entries_ready, &entry->ready);
	ready_count++;
	return true;
}

/*
 * Security: the generation is read before the tables are, so that what changes
 * meanwhile makes the entry stale and not fresh.
 */
static Entry *
load(const MtCekRow *row, uint64 generation, MtDenial *denial)
{
	/*
	 * Kept where an unwrapping that was interrupted left it; the next one
	 * overwrites it.
	 */
	static unsigned char *place = NULL;
	unsigned char kcv[MT_KCV_BYTES];
	Entry	   *entry;
	bool		found;

	while (hash_get_num_entries(entries) >=
		   (int64) mt_guc_key_cache_size * SECRETS_PER_READY_KEY)
	{
		remove_entry(dlist_container(Entry, used, dlist_tail_node(&entries_used)));
		stats.evictions++;
	}

	/*
	 * Security: there is an entry only when it has its key; all of this may
	 * be interrupted.
	 */
	if (place == NULL)
		place = take_secret();
	if (!MtKeyUnwrap(row, place, denial))
		return NULL;
	if (MtKeyCheckValue(place, kcv) != MT_CIPHER_OK || CRYPTO_memcmp(kcv, row->kcv, sizeof(kcv)) != 0)
	{
		MtWipe(place, MT_SECRET_BYTES);
		(void) MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE, "the encryption key of this value could not be unwrapped",
					  "Its check value is another key's.",
					  "Call multitenant.verify_keys(); restore the tables multitenant.kek and multitenant.cek together.");
		return NULL;
	}
	entry = hash_search(entries, &row->id, HASH_ENTER, &found);
	Assert(!found);
	memset((char *) entry + sizeof(entry->key.id), 0, sizeof(Entry) - sizeof(entry->key.id));
	entry->key.tenant = row->tenant;
	strlcpy(entry->key.purpose, row->purpose, sizeof(entry->key.purpose));
	entry->key.class = row->class;
	entry->key.is_active = row->state == MT_KEY_ACTIVE;
	entry->generation = generation;
	entry->loaded_at = GetCurrentStatementStartTimestamp();
	entry->uses = row->uses;
	entry->secret = place;
	place = NULL;
	dlist_push_head(&entries_used, &entry->used);
	return entry;
}

/* ---- looking up ---- */

/*
 * The entry of a key of the current tenant, checked against the tables in this
 * generation; NULL with the reason.
 */
static Entry *
find(int64 id, MtDenial *denial)
{
	const pg_uuid_t *tenant = &MtContextGet()->tenant;
	uint64		generation = current_generation();
	uint64		written = MtKeyUsageWritten();
	Entry	   *entry = hash_search(entries, &id, HASH_FIND, NULL);
	MtCekRow	row;

	if (entry != NULL && entry->generation == generation && !is_old(entry))
	{
		stats.hits++;
		return entry;
	}
	stats.misses++;
	if (entry != NULL)
		remove_entry(entry);
	if (!MtCekById(id, &row) || memcmp(&row.tenant, tenant, UUID_LEN) != 0)
	{
		(void) MtKeysDenyValue(denial);
		return NULL;
	}
	entry = load(&row, generation, denial);
	if (entry != NULL)
		entry->uses_written = written;
	return entry;
}

MtKey *
MtKeyToInspect(int64 id, MtDenial *denial)
{
	Entry	   *entry = last_opened;

	if (!MtKeysMayBeUsed(denial))
		return NULL;
	if (unlikely(entry == NULL || entry->key.id != id ||
				 entry->generation != current_generation() || is_old(entry)))
	{
		prepare_cache();
		remove_old();
		entry = find(id, denial);
		if (entry == NULL || !make_ready(entry, denial))
			return NULL;
		last_opened = entry;
	}
	if (memcmp(&entry->key.tenant, &MtContextGet()->tenant, UUID_LEN) != 0)
	{
		(void) MtKeysDenyValue(denial);
		return NULL;
	}
	return &entry->key;
}

MtKey *
MtKeyToOpen(int64 id, MtDenial *denial)
{
	MtKey	   *key = MtKeyToInspect(id, denial);

	if (key == NULL || !MtKeysMayBeUsedFor(key->purpose, MT_USE_OPEN, &key->decision, denial))
		return NULL;
	return key;
}

/* Finds the active key by its name, or has it made. */
static Entry *
find_active(const ActiveName *name, MtDenial *denial)
{
	uint64		generation = current_generation();
	ActiveEntry *active = hash_search(actives, name, HASH_FIND, NULL);
	char		purpose[MT_PURPOSE_MAX + 1] = {0};
	MtCekRow	row;
	Entry	   *entry;

	if (active != NULL && active->generation == generation)
		return find(active->id, denial);

	memcpy(purpose, name->purpose, MT_PURPOSE_MAX);
	if (!MtCekActive(&name->tenant, purpose, name->class, &row) &&
		!MtKeyMake(&name->tenant, purpose, name->class, &row, denial))
		return NULL;

	/* Making one has changed the table. */
	generation = current_generation();
	entry = find(row.id, denial);
	if (entry == NULL)
		return NULL;
	if (hash_get_num_entries(actives) >= (int64) mt_guc_key_cache_size * SECRETS_PER_READY_KEY)
		forget_actives();
	active = hash_search(actives, name, HASH_ENTER, NULL);
	active->id = row.id;
	active->generation = generation;
	return entry;
}

/* Has it sealed as much as a key may? Only random nonces wear a key out. */
static bool
check_uses(Entry *entry, MtDenial *denial)
{
	uint64		written = MtKeyUsageWritten();
	MtCekRow	row;

	if (entry->key.class != MT_CLASS_DATA)
		return true;
	if (entry->uses_written != written && MtCekById(entry->key.id, &row))
	{
		entry->uses = row.uses;
		entry->uses_written = written;
	}
	if (entry->uses + MtKeyUsageOf(entry->key.id) + entry->unreported < USES_LIMIT)
		return true;
	return MtDeny(denial, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
				  "this key has encrypted as many values as a key may",
				  "More would weaken what protects them all.",
				  "Call multitenant.rotate_cek() for this tenant and purpose.");
}

/* The entry that seals for the purpose and class, looked up or made; NULL with the reason. */
static pg_noinline Entry *
find_sealing(const char *purpose, size_t purpose_length, char class, MtDenial *denial)
{
	ActiveName	name;
	char		wanted[MT_PURPOSE_MAX + 1] = {0};
	MtPurposeDecision decision = {0};
	Entry	   *entry;

	if (!MtIsPurpose(purpose, purpose_length))
	{
		(void) MtDeny(denial, ERRCODE_INVALID_PARAMETER_VALUE, "invalid purpose", NULL,
					  "A purpose has 1 to 63 of a-z 0-9 . _ -, such as \"pii\".");
		return NULL;
	}

	/* Security: who may not use the key does not make it, either. */
	memcpy(wanted, purpose, purpose_length);
	if (!MtKeysMayBeUsedFor(wanted, MT_USE_SEAL, &decision, denial))
		return NULL;
	prepare_cache();
	remove_old();
	memset(&name, 0, sizeof(name));
	name.tenant = MtContextGet()->tenant;
	name.class = class;
	memcpy(name.purpose, purpose, purpose_length);
	entry = find_active(&name, denial);
	if (entry == NULL || !make_ready(entry, denial))
		return NULL;
	last_sealing = entry;
	return entry;
}

MtKey *
MtKeyToSeal(const char *purpose, size_t purpose_length, char class, MtDenial *denial)
{
	Entry	   *entry = last_sealing;

	if (!MtKeysMayBeUsed(denial))
		return NULL;
	if (unlikely(entry == NULL || entry->generation != current_generation() || is_old(entry) ||
				 entry->key.class != class ||
				 strncmp(entry->key.purpose, purpose, purpose_length) != 0 ||
				 entry->key.purpose[purpose_length] != '\0' ||
				 memcmp(&entry->key.tenant, &MtContextGet()->tenant, UUID_LEN) != 0))
	{
		entry = find_sealing(purpose, purpose_length, class, denial);
		if (entry == NULL)
			return NULL;
	}
	if (!MtKeysMayBeUsedFor(entry->key.purpose, MT_USE_SEAL, &entry->key.decision, denial))
		return NULL;
	if (unlikely((entry->unreported & (NONCES_PER_START - 1)) == 0) &&
		!check_uses(entry, denial))
		return NULL;
	entry->unreported++;
	if (!has_unreported)
		MtTransactionNote();
	has_unreported = true;
	return &entry->key;
}

/*
 * Security: never a counter that is kept, for a restore, a failover or a copy of the
 * machine would repeat it. The random start is drawn for this process, key and
 * transaction.
 */
bool
MtKeyNonce(MtKey *key, unsigned char nonce[MT_NONCE_BYTES])
{
	Entry	   *entry = (Entry *) key;

	if (entry->nonces_left == 0 || entry->nonce_lxid != MtLocalTransactionId())
	{
		if (!MtRandomSecret(entry->nonce, MT_NONCE_BYTES))
			return false;
		entry->nonces_left = NONCES_PER_START;
		entry->nonce_lxid = MtLocalTransactionId();
		report_uses(entry);
	}
	memcpy(nonce, entry->nonce, MT_NONCE_BYTES);
	entry->nonces_left--;
	for (int i = MT_NONCE_BYTES - 1; i >= 0 && ++entry->nonce[i] == 0; i--)
		;
	return true;
}
