/*
 * keyring.c
 *	  Signing keys, read from multitenant.signing_key into a small cache.
 *
 * Owns the cached keys, their OpenSSL objects included, which are freed when the
 * cache is emptied at a lookup and never in a callback. Secrets of symmetric
 * keys come from files that only the server may read, or from a column where
 * they are wrapped with the master key.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "base/extension.h"
#include "base/tablescan.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "crypto/keyfile.h"
#include "crypto/keyring.h"
#include "crypto/masterkey.h"
#include "crypto/wrap.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mt_check_signing_key);
PG_FUNCTION_INFO_V1(mt_wrap_signing_secret);

/* Columns of multitenant.signing_key that C reads. */
enum
{
	KEY_KID = 1,
	KEY_ALGORITHM,
	KEY_PUBLIC_KEY,
	KEY_SECRET_FILE,
	KEY_KINDS,
	KEY_TENANTS,
	KEY_ROLES,
	KEY_MAX_LIFETIME,
	KEY_NOT_BEFORE,
	KEY_NOT_AFTER,
	KEY_REVOKED_AT,
	KEY_REVOKED_REASON,
	KEY_CREATED_AT,
	KEY_WRAPPED_SECRET
};

/* Columns of multitenant.installation. */
enum
{
	INSTALLATION_SYSTEM = 1,
	INSTALLATION_DATABASE
};

#define SECRET_MAX (MT_KEY_MAX_SECRET + 1)	/* bytes of a secret file, newline
											 * included */
#define CACHE_LIMIT 64			/* keys in one backend */

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
MtKeyringInit(void)
{
	MtExtensionOnTable(MT_TABLE_SIGNING_KEY, table_changed);
	MtExtensionOnTable(MT_TABLE_INSTALLATION, table_changed);
}

uint64
MtKeyringGeneration(void)
{
	return generation;
}

/* ---- secrets ---- */

/* Reads a secret from its file; its length, or -1 with the reason. */
static int
read_secret(const char *path, unsigned char secret[SECRET_MAX], const char **reason)
{
	int			length = MtReadSecretFile(path, secret, SECRET_MAX, reason);

	/* Editors end a file with a newline, which is not part of the secret. */
	if (length > 0 && secret[length - 1] == '\n')
		length--;
	return length;
}

/* A secret is wrapped for this key alone: for its id, from its beginning on. */
static MtWrapBinding
binding_of(const char *kid, TimestampTz created_at)
{
	MtWrapBinding binding = {
		.level = MT_WRAP_SIGNING_SECRET,
		.class = 't',
		.purpose = kid,
		.created_at = created_at
	};

	return binding;
}

/*
 * Unwraps a secret; its length, or -1 with the reason. *denial.code is 0 unless
 * it is the master key that is missing. May wait for it, and be interrupted then.
 */
static int
unwrap_secret(const char *kid, TimestampTz created_at, const bytea *wrapped,
			  unsigned char secret[SECRET_MAX], MtDenial *denial, const char **reason)
{
	const unsigned char *bytes = (const unsigned char *) VARDATA_ANY(wrapped);
	size_t		length = VARSIZE_ANY_EXHDR(wrapped);
	MtWrapBinding binding = binding_of(kid, created_at);
	unsigned char master[MT_SECRET_BYTES];
	uint64		id;
	MtWrapStatus status;

	denial->code = 0;
	if (length <= MT_WRAPPED_BYTES - MT_SECRET_BYTES ||
		length > MT_WRAPPED_BYTES - MT_SECRET_BYTES + SECRET_MAX ||
		MtWrappedUnder(bytes, length, &id) != MT_WRAP_OK)
	{
		*reason = "The wrapped secret is damaged.";
		return -1;
	}
	if (!MtMasterKeyById(id, master, denial))
	{
		*reason = denial->message;
		return -1;
	}
	status = MtUnwrap(master, id, &binding, bytes, length, secret);
	MtWipe(master, sizeof(master));
	if (status == MT_WRAP_OK)
		return (int) (length - (MT_WRAPPED_BYTES - MT_SECRET_BYTES));
	*reason = status == MT_WRAP_INTERNAL ? "The cryptographic library failed." :
		"The wrapped secret is not this key's.";
	return -1;
}

/* ---- keys ---- */

/* What a key is made of. */
typedef struct KeySource
{
	char	   *algorithm;
	char	   *public_key;		/* NULL: none */
	char	   *secret_file;	/* NULL: none */
	bytea	   *wrapped_secret; /* NULL: none */
	TimestampTz created_at;
} KeySource;

/*
 * Makes the key object; NULL with the reason. *denial.code is 0 unless it is the
 * master key that is missing.
 */
static MtVerifyKey *
load_verify_key(const char *kid, const KeySource *source, MtDenial *denial,
				const char **reason)
{
	MtAlgorithm algorithm;
	MtVerifyKey *key = NULL;
	MtKeyStatus status;

	denial->code = 0;
	if (!MtAlgorithmFromName(source->algorithm, &algorithm))
	{
		*reason = "The algorithm is not one of EdDSA, ES256, RS256, HS256.";
		return NULL;
	}
	if (algorithm == MT_ALG_HS256)
	{
		unsigned char secret[SECRET_MAX];
		int			length;

		if (source->secret_file == NULL && source->wrapped_secret == NULL)
		{
			*reason = "HS256 needs a secret file.";
			return NULL;
		}
		length = source->wrapped_secret != NULL ?
			unwrap_secret(kid, source->created_at, source->wrapped_secret, secret, denial, reason) :
			read_secret(source->secret_file, secret, reason);
		if (length < 0)
			return NULL;
		status = MtVerifyKeyFromSecret(secret, length, &key);
		MtWipe(secret, sizeof(secret));
	}
	else
	{
		if (source->public_key == NULL)
		{
			*reason = "This algorithm needs a public key.";
			return NULL;
		}
		status = MtVerifyKeyFromPem(algorithm, source->public_key,
									strlen(source->public_key), &key);
	}
	if (status != MT_KEY_OK)
	{
		*reason = MtKeyStatusText(status);
		return NULL;
	}
	return key;
}

/* ---- the cache ---- */

static void
empty_cache(void)
{
	HASH_SEQ_STATUS sequence;
	MtSigningKey *key;

	if (cache != NULL)
	{
		hash_seq_init(&sequence, cache);
		while ((key = hash_seq_search(&sequence)) != NULL)
			if (key->verify_key)
				MtVerifyKeyFree(key->verify_key);
	}
	cache = NULL;
	if (cache_context != NULL)
		MemoryContextReset(cache_context);
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	if (cache != NULL && cache_generation == generation &&
		hash_get_num_entries(cache) < CACHE_LIMIT)
		return;
	empty_cache();
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext,
											  "multitenant keyring",
											  ALLOCSET_SMALL_SIZES);
	control.keysize = sizeof(((MtSigningKey *) 0)->kid);
	control.entrysize = sizeof(MtSigningKey);
	control.hcxt = cache_context;
	cache = hash_create("multitenant keyring", 16, &control,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	cache_generation = generation;
}

/* A text[] column as an array of strings; -1 for null. */
static int
read_texts(HeapTuple tuple, TupleDesc desc, int column, char ***out)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, column, desc, &is_null);
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	*out = NULL;
	if (is_null)
		return -1;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	*out = palloc0(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*out)[i] = nulls[i] ? pstrdup("") : TextDatumGetCString(elements[i]);
	return count;
}

static void
read_tenants(HeapTuple tuple, TupleDesc desc, MtSigningKey *key)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, KEY_TENANTS, desc, &is_null);
	Datum	   *elements;
	bool	   *nulls;

	key->is_for_all_tenants = is_null;
	if (is_null)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), UUIDOID, UUID_LEN, false,
					  TYPALIGN_CHAR, &elements, &nulls, &key->tenant_count);
	key->tenants = palloc0(sizeof(pg_uuid_t) * Max(key->tenant_count, 1));
	for (int i = 0; i < key->tenant_count; i++)
		if (!nulls[i])
			key->tenants[i] = *DatumGetUUIDP(elements[i]);
}

static TimestampTz
read_time(HeapTuple tuple, TupleDesc desc, int column, TimestampTz missing)
{
	bool		is_null;
	Datum		value = heap_getattr(tuple, column, desc, &is_null);

	return is_null ? missing : DatumGetTimestampTz(value);
}

typedef struct KeyRow
{
	MtSigningKey key;
	KeySource	source;
} KeyRow;

static void
read_key(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtSigningKey *key = &((KeyRow *) result)->key;
	KeySource  *source = &((KeyRow *) result)->source;
	MemoryContext caller;
	Datum		wrapped;
	bool		is_null;

	source->algorithm = MtColumnText(tuple, desc, KEY_ALGORITHM);
	source->public_key = MtColumnText(tuple, desc, KEY_PUBLIC_KEY);
	source->secret_file = MtColumnText(tuple, desc, KEY_SECRET_FILE);
	source->created_at = read_time(tuple, desc, KEY_CREATED_AT, DT_NOBEGIN);
	wrapped = heap_getattr(tuple, KEY_WRAPPED_SECRET, desc, &is_null);
	source->wrapped_secret = is_null ? NULL : DatumGetByteaPCopy(wrapped);

	caller = MemoryContextSwitchTo(cache_context);
	key->kind_count = read_texts(tuple, desc, KEY_KINDS, &key->kinds);
	read_tenants(tuple, desc, key);
	key->role_count = read_texts(tuple, desc, KEY_ROLES, &key->roles);
	key->is_for_all_roles = key->role_count < 0;
	key->max_lifetime = DatumGetInt32(heap_getattr(tuple, KEY_MAX_LIFETIME, desc, &is_null));
	key->not_before = read_time(tuple, desc, KEY_NOT_BEFORE, DT_NOBEGIN);
	key->not_after = read_time(tuple, desc, KEY_NOT_AFTER, DT_NOEND);
	key->is_revoked = read_time(tuple, desc, KEY_REVOKED_AT, DT_NOEND) != DT_NOEND;
	MemoryContextSwitchTo(caller);
}

const MtSigningKey *
MtKeyringFind(const char *kid)
{
	MtSigningKey *entry;
	KeyRow		loaded;
	int			column = KEY_KID;
	Oid			equality = F_TEXTEQ;
	Datum		value;
	MtDenial	denial;
	const char *reason = NULL;
	uint64		before;

	if (strlen(kid) >= sizeof(loaded.key.kid))
		return NULL;
	prepare_cache();
	entry = hash_search(cache, kid, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	memset(&loaded, 0, sizeof(loaded));
	strlcpy(loaded.key.kid, kid, sizeof(loaded.key.kid));
	value = CStringGetTextDatum(kid);
	if (MtTableScan(MT_TABLE_SIGNING_KEY, "signing_key_pkey", 1, &column,
					&equality, &value, read_key, &loaded) == 0)
		return NULL;

	/*
	 * Entered even if stale by now: then the next lookup drops it. First the
	 * entry, then the object that it owns, so that nothing throws in between.
	 */
	entry = hash_search(cache, kid, HASH_ENTER, NULL);
	*entry = loaded.key;

	/*
	 * What is not there because a master key is missing, or because waiting
	 * for it was interrupted, is looked for again the next time.
	 */
	before = cache_generation;
	cache_generation = 0;
	entry->verify_key = load_verify_key(kid, &loaded.source, &denial, &reason);
	entry->lacks_master_key = denial.code != 0;
	if (!entry->lacks_master_key)
		cache_generation = before;
	if (entry->verify_key == NULL)
		ereport(LOG_SERVER_ONLY,
				errmsg("signing key \"%s\" cannot be used", kid),
				errdetail_internal("%s", reason));
	return entry;
}

/* ---- copies ---- */

typedef struct Installation
{
	char		system[32];
	char		database[NAMEDATALEN];
} Installation;

static void
read_installation(HeapTuple tuple, TupleDesc desc, void *result)
{
	Installation *installation = (Installation *) result;
	bool		is_null;
	char	   *system = MtColumnText(tuple, desc, INSTALLATION_SYSTEM);

	strlcpy(installation->system, system, sizeof(installation->system));
	pfree(system);
	strlcpy(installation->database,
			NameStr(*DatumGetName(heap_getattr(tuple, INSTALLATION_DATABASE, desc, &is_null))),
			NAMEDATALEN);
}

bool
MtKeyringIsCopy(void)
{
	static uint64 seen_generation = 0;
	static bool seen_copy = true;
	Installation installation;
	char		system[32];
	char	   *database;
	uint64		before = generation;
	int			rows;

	if (seen_generation == generation)
		return seen_copy;
	rows = MtTableScan(MT_TABLE_INSTALLATION, NULL, 0, NULL, NULL, NULL,
					   read_installation, &installation);
	database = get_database_name(MyDatabaseId);
	snprintf(system, sizeof(system), UINT64_FORMAT, GetSystemIdentifier());
	seen_copy = rows != 1 || database == NULL ||
		strcmp(system, installation.system) != 0 ||
		strcmp(database, installation.database) != 0;
	seen_generation = before;
	return seen_copy;
}

/* ---- fingerprint ---- */

static void
add_to_fingerprint(HeapTuple tuple, TupleDesc desc, void *result)
{
	uint64	   *fingerprint = (uint64 *) result;
	HeapTupleHeader header = tuple->t_data;

	/*
	 * The raw xmin survives freezing; the rest of the header has hint bits.
	 * Rows come in any order.
	 */
	*fingerprint += hash_bytes_extended((unsigned char *) header + header->t_hoff,
										tuple->t_len - header->t_hoff,
										HeapTupleHeaderGetRawXmin(header));
}

uint64
MtKeyringFingerprint(void)
{
	static uint64 seen_generation = 0;
	static uint64 seen_fingerprint = 0;
	uint64		before = generation;

	if (seen_generation == generation)
		return seen_fingerprint;
	seen_fingerprint = 0;
	MtTableScan(MT_TABLE_SIGNING_KEY, NULL, 0, NULL, NULL, NULL,
				add_to_fingerprint, &seen_fingerprint);
	MtTableScan(MT_TABLE_INSTALLATION, NULL, 0, NULL, NULL, NULL,
				add_to_fingerprint, &seen_fingerprint);
	seen_generation = before;
	return seen_fingerprint;
}

/*
 * multitenant._check_signing_key(algorithm, public_key, secret_file): raises
 * 22023 if no key can be made of them.
 */
Datum
mt_check_signing_key(PG_FUNCTION_ARGS)
{
	const char *reason = NULL;
	KeySource	source = {0};
	MtDenial	denial;
	MtVerifyKey *key;

	if (!superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("only a superuser may check signing keys"),
				errhint("Connect as a superuser to manage signing keys."));
	source.algorithm = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	source.public_key = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	source.secret_file = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	key = load_verify_key("", &source, &denial, &reason);
	if (key == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the signing key cannot be used"),
				errdetail_internal("%s", reason),
				errhint("Give a public key in PEM form (Ed25519, P-256, RSA of 2048 bits or more), "
						"or for HS256 a file of at least 32 bytes that only the server can read."));
	MtVerifyKeyFree(key);
	PG_RETURN_VOID();
}

/*
 * multitenant._wrap_signing_secret(kid, secret_file, wrapped_secret, created_at):
 * the secret, from its file or wrapped with any master key, wrapped with the
 * current one.
 */
Datum
mt_wrap_signing_secret(PG_FUNCTION_ARGS)
{
	char	   *kid = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *secret_file = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	bytea	   *before = PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2);
	TimestampTz created_at = PG_ARGISNULL(3) ? 0 : PG_GETARG_TIMESTAMPTZ(3);
	MtWrapBinding binding = binding_of(kid, created_at);
	unsigned char secret[SECRET_MAX];
	unsigned char master[MT_SECRET_BYTES];
	bytea	   *wrapped = palloc0(VARHDRSZ + MT_WRAPPED_BYTES + SECRET_MAX);
	unsigned char *bytes = (unsigned char *) VARDATA(wrapped);
	const char *reason = NULL;
	MtDenial	denial = {0};
	uint64		id = 0;
	volatile int length = -1;
	volatile MtWrapStatus status = MT_WRAP_INTERNAL;

	if (!superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("only a superuser may wrap signing secrets"),
				errhint("Connect as a superuser to manage signing keys."));

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3) || (secret_file == NULL && before == NULL))
		elog(ERROR, "a signing key needs an id, a beginning and a secret");

	/* Getting a master key may be waited for, and interrupted. */
	PG_TRY();
	{
		if (!MtMasterKeyCurrent(&id, master, &denial))
			MtDenialRaise(&denial);
		length = before != NULL ?
			unwrap_secret(kid, created_at, before, secret, &denial, &reason) :
			read_secret(secret_file, secret, &reason);
		if (length > 0 && length <= MT_KEY_MAX_SECRET)
			status = MtWrap(master, id, &binding, secret, length, bytes);
	}
	PG_FINALLY();
	{
		MtWipe(master, sizeof(master));
		MtWipe(secret, sizeof(secret));
	}
	PG_END_TRY();
	if (length < 0 && denial.code != 0)
		MtDenialRaise(&denial);
	if (status != MT_WRAP_OK)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the secret of signing key \"%s\" cannot be wrapped", kid),
				errdetail_internal("%s", reason != NULL ? reason : "It is empty or too long, or the cryptographic library failed."),
				errhint("Mend it, or revoke the key and add another one."));
	SET_VARSIZE(wrapped, VARHDRSZ + length + MT_WRAPPED_BYTES - MT_SECRET_BYTES);
	PG_RETURN_BYTEA_P(wrapped);
}
