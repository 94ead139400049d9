/*
 * credential.c
 *	  From a credential to the context it stands for.
 *
 * Owns the rules about claims and the cache of verified tokens. Invariant: a
 * context leaves here only for a token whose signature was verified with a key
 * that may vouch for it, by this backend, since the keys and the registry last
 * changed. No error, log line or cache key contains the token in clear; the
 * cache itself is wiped when it is emptied.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "base/audit.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/moment.h"
#include "base/settings.h"
#include "common/hashfn.h"
#include "commands/dbcommands.h"
#include "crypto/jws.h"
#include "crypto/keyring.h"
#include "crypto/signature.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tenant/access.h"
#include "tenant/credential.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Tokens remembered in one backend: 64 x (4 kB + 1 kB) at most. */
#define CACHE_LIMIT 64

/* Characters at the end of a token that are signature for every algorithm. */
#define SIGNATURE_TAIL 40

typedef struct VerifiedToken
{
	char	   *token;			/* NULL: free */
	size_t		length;
	uint32		hash;
	TimestampTz valid_until;	/* the token's or its key's end */
	MtContext	context;
} VerifiedToken;

/* Too large for the stack of a function that is called from hooks. */
typedef struct Workspace
{
	MtJws		jws;
	MtClaims	claims;
} Workspace;

static MemoryContext cache_context = NULL;
static VerifiedToken cache[CACHE_LIMIT];
static uint64 cache_key_generation = 0;
static uint64 cache_registry_generation = 0;
static uint64 cache_access_generation = 0;
static Oid	cache_session_user = InvalidOid;
static Oid	cache_outer_user = InvalidOid;
static char *cache_audience = NULL;

/* ---- refusals ---- */

MT_NORETURN static void refuse(int code, const char *message, const char *detail, const char *hint, const char *reason);
MT_NORETURN static void refuse_unverified(const char *reason);
MT_NORETURN static void refuse_claim(const char *detail);
MT_NORETURN static void refuse_expired(const char *detail);
MT_NORETURN static void refuse_revoked(const char *detail);

/*
 * Security: until the signature is verified there is one error for everything,
 * so that a forger does not learn how far he came. The reason goes to the
 * server's log.
 */
static void
refuse(int code, const char *message, const char *detail, const char *hint,
	   const char *reason)
{
	MtAuditEvent event = {.event = "credential.refused",.outcome = "refused"};

	event.object = reason;
	MtAuditEmit(&event);
	ereport(ERROR,
			errcode(code),
			errmsg_internal("%s", message),
			detail ? errdetail_internal("%s", detail) : 0,
			errhint("%s", hint));
}

static void
refuse_unverified(const char *reason)
{
	refuse(MT_ERRCODE_CREDENTIAL_INVALID, "the credential is not valid", NULL,
		   "Get a new credential from the issuer and pass it unchanged.", reason);
}

static void
refuse_claim(const char *detail)
{
	refuse(MT_ERRCODE_CREDENTIAL_INVALID, "the credential is not valid", detail,
		   "Correct what the issuer writes into its tokens.", detail);
}

static void
refuse_expired(const char *detail)
{
	refuse(MT_ERRCODE_CREDENTIAL_EXPIRED,
		   "the credential is expired or not yet valid", detail,
		   "Get a new credential, and compare the clocks of issuer and server.", detail);
}

static void
refuse_revoked(const char *detail)
{
	refuse(MT_ERRCODE_CREDENTIAL_REVOKED, "the credential is not accepted", detail,
		   "Ask the administrator of this database about the signing key.", detail);
}

/* ---- the cache ---- */

static void
forget_token(VerifiedToken *entry)
{
	if (entry->token == NULL)
		return;
	OPENSSL_cleanse(entry->token, entry->length);
	pfree(entry->token);
	memset(entry, 0, sizeof(*entry));
}

static void
prepare_cache(void)
{
	if (cache_key_generation == MtKeyringGeneration() &&
		cache_registry_generation == MtRegistryGeneration() &&
		cache_access_generation == MtAccessGeneration() &&
		cache_session_user == GetSessionUserId() &&
		cache_outer_user == GetOuterUserId() &&
		cache_audience != NULL && mt_guc_audience != NULL &&
		strcmp(cache_audience, mt_guc_audience) == 0)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext,
											  "multitenant verified tokens",
											  ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < CACHE_LIMIT; i++)
		forget_token(&cache[i]);
	cache_key_generation = MtKeyringGeneration();
	cache_registry_generation = MtRegistryGeneration();
	cache_access_generation = MtAccessGeneration();
	cache_session_user = GetSessionUserId();
	cache_outer_user = GetOuterUserId();
	if (cache_audience != NULL)
		pfree(cache_audience);
	cache_audience = MemoryContextStrdup(cache_context,
										 mt_guc_audience ? mt_guc_audience : "");
}

/* The hash by which a token has its place: of the end of its signature. */
static uint32
hash_token(const char *token, size_t length)
{
	size_t		tail = Min(length, SIGNATURE_TAIL);

	return hash_bytes((const unsigned char *) token + length - tail, (int) tail);
}

/*
 * Security: the whole token is compared, its signature first and in constant
 * time: neither a collision nor timing helps a forger, and who has 240 bits of
 * the signature need not guess the rest.
 */
static VerifiedToken *
find_token(const char *token, size_t length, uint32 hash)
{
	VerifiedToken *entry = &cache[hash % CACHE_LIMIT];
	size_t		head = length - Min(length, SIGNATURE_TAIL);

	if (entry->token != NULL && entry->hash == hash && entry->length == length &&
		CRYPTO_memcmp(entry->token + head, token + head, length - head) == 0 &&
		memcmp(entry->token, token, head) == 0)
		return entry;
	return NULL;
}

static void
remember_token(const char *token, size_t length, uint32 hash,
			   TimestampTz valid_until, const MtContext *context)
{
	VerifiedToken *entry = &cache[hash % CACHE_LIMIT];
	char	   *copy;

	copy = MemoryContextAlloc(cache_context, length);
	memcpy(copy, token, length);
	forget_token(entry);
	entry->token = copy;
	entry->length = length;
	entry->hash = hash;
	entry->valid_until = valid_until;
	entry->context = *context;
}

/* ---- claims ---- */

/* Unix seconds to TimestampTz; what cannot be represented is refused. */
static TimestampTz
time_from_unix(int64 seconds)
{
	const int64 epoch = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;

	/* The years 1970 to about 9999: no sensible token is outside. */
	if (seconds < 0 || seconds > INT64CONST(253402300799))
		refuse_claim("A time claim is out of range.");
	return (seconds - epoch) * USECS_PER_SEC;
}

static void
check_times(const MtClaims *claims, const MtSigningKey *key, TimestampTz now)
{
	TimestampTz leeway = mt_guc_clock_leeway * USECS_PER_SEC;
	TimestampTz issued;
	TimestampTz expires;

	if (!claims->has_exp || !claims->has_iat)
		refuse_claim("The claims \"iat\" and \"exp\" are required.");
	/* Converted first: what is out of range must not overflow a difference. */
	issued = time_from_unix(claims->iat);
	expires = time_from_unix(claims->exp);
	if (expires <= issued)
		refuse_claim("The claim \"exp\" is not after \"iat\".");
	if (expires - issued > key->max_lifetime * USECS_PER_SEC)
		refuse_claim("The token lives longer than its key permits.");
	if (expires + leeway <= now)
		refuse_expired("The claim \"exp\" has passed.");
	if (issued - leeway > now)
		refuse_expired("The claim \"iat\" is in the future.");
	if (claims->has_nbf && time_from_unix(claims->nbf) - leeway > now)
		refuse_expired("The claim \"nbf\" is in the future.");
}

static void
check_audience(const MtClaims *claims)
{
	const char *audience = mt_guc_audience;

	if (audience == NULL || audience[0] == '\0')
		audience = get_database_name(MyDatabaseId);
	for (int i = 0; i < claims->aud_count; i++)
		if (audience != NULL && strcmp(claims->aud[i], audience) == 0)
			return;
	refuse_claim("The claim \"aud\" does not name this database.");
}

static bool
is_listed(const char *name, char **list, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* Validity of the key itself: rotation overlap, revocation, presenting role. */
static void
check_key(const MtSigningKey *key, TimestampTz now)
{
	if (key->is_revoked)
		refuse_revoked("Its signing key has been revoked.");
	if (now < key->not_before || now >= key->not_after)
		refuse_revoked("Its signing key is not valid at this time.");
	if (!key->is_for_all_roles)
	{
		char	   *role = GetUserNameFromId(GetSessionUserId(), false);

		if (!is_listed(role, key->roles, key->role_count))
			refuse_revoked("Its signing key is not for the role of this session.");
	}
}

static MtKind
check_kind(const MtClaims *claims, const MtSigningKey *key)
{
	const char *kind = claims->kind[0] ? claims->kind : "tenant";

	if (!is_listed(kind, key->kinds, key->kind_count))
		refuse_revoked("Its signing key may not vouch for this kind of context.");
	if (strcmp(kind, "tenant") == 0)
		return MT_KIND_TENANT;
	if (strcmp(kind, "supervised") == 0)
		return MT_KIND_SUPERVISED;
	if (strcmp(kind, "system") == 0)
		return MT_KIND_SYSTEM;
	refuse_claim("The claim \"kind\" is not known.");
}

/*
 * Claims are UTF-8; what the database cannot represent, or only at greater
 * length, is refused rather than altered.
 */
static void
copy_claim(char *out, const char *claim, size_t size)
{
	char	   *converted = pg_any_to_server(claim, strlen(claim), PG_UTF8);

	if (strlcpy(out, converted, size) >= size)
		refuse_claim("A claim is too long in the encoding of this database.");
}

/*
 * Security: a tenant that does not exist and one the key may not vouch for get
 * the same error, so that keys cannot be used to look for tenants.
 */
static void
resolve_tenant(const MtClaims *claims, const MtSigningKey *key, MtContext *out)
{
	MtTenant	tenant;
	bool		is_found;
	bool		is_allowed = key->is_for_all_tenants;
	char		name[sizeof(claims->tenant)];

	copy_claim(name, claims->tenant, sizeof(name));
	is_found = claims->tenant_is_number ?
		MtRegistryByNumber(claims->tenant_number, &tenant) :
		MtRegistryByText(name, &tenant);
	for (int i = 0; is_found && !is_allowed && i < key->tenant_count; i++)
		is_allowed = memcmp(&key->tenants[i], &tenant.id, UUID_LEN) == 0;
	if (!is_found || !is_allowed)
		refuse(MT_ERRCODE_NOT_A_MEMBER,
			   "the credential names no tenant that it may stand for", NULL,
			   "Check the claim \"tenant\" and the tenants its signing key is for.",
			   "tenant unknown or not the key's");
	if (tenant.state != MT_TENANT_ACTIVE)
		refuse(MT_ERRCODE_TENANT_NOT_ACTIVE, "the tenant is not active", NULL,
			   "Ask the operator of this service why the tenant is suspended or deleted.",
			   "tenant not active");
	MtContextSetTenant(out, &tenant);
}

/* Everything after the signature. */
static void
accept_claims(const MtClaims *claims, const MtSigningKey *key, MtContext *out)
{
	TimestampTz now = GetCurrentTimestamp();

	check_key(key, now);
	check_audience(claims);
	check_times(claims, key, now);

	memset(out, 0, sizeof(*out));
	out->source = MT_SOURCE_CREDENTIAL;
	out->kind = check_kind(claims, key);
	out->expires = time_from_unix(claims->exp);
	copy_claim(out->principal, claims->sub, sizeof(out->principal));
	copy_claim(out->scope, claims->scope, sizeof(out->scope));

	/*
	 * Security: a key for some tenants would otherwise vouch for principals
	 * that are members of others.
	 */
	if (!claims->has_tenant && !key->is_for_all_tenants)
		refuse_revoked("Its signing key may vouch only for its tenants, and the token names none.");

	if (out->kind == MT_KIND_SYSTEM)
	{
		if (claims->has_tenant)
			refuse_claim("A system context has no tenant.");
		MtAccessRequire(MT_MAY_ENTER_SYSTEM, "a system context");
		out->state = MT_STATE_SYSTEM;
	}
	else if (claims->has_tenant)
		resolve_tenant(claims, key, out);
	else if (claims->sub[0] != '\0')
		out->state = MT_STATE_PRINCIPAL;
	else
		refuse_claim("Neither \"tenant\" nor \"sub\" is given.");
}

/* Returns until when the result may be remembered. */
static TimestampTz
verify(const char *token, size_t length, MtContext *out)
{
	TimestampTz key_ends;
	Workspace  *work = palloc(sizeof(Workspace));
	const MtSigningKey *key;
	MtJwsStatus parsed;

	parsed = MtJwsParse(token, length, &work->jws);
	if (parsed != MT_JWS_OK)
		refuse_unverified(MtJwsStatusText(parsed));
	key = MtKeyringFind(work->jws.kid);
	if (key != NULL && key->lacks_master_key)
		refuse(MT_ERRCODE_KEY_UNAVAILABLE, "the signing key of the credential is not available",
			   NULL, "Try again; multitenant.mek_status shows what is wrong with the master key.",
			   "master key not loaded");
	if (key == NULL || key->verify_key == NULL)
		refuse_unverified("signing key unknown or unusable");
	if (MtSignatureVerify(key->verify_key, work->jws.algorithm,
						  work->jws.signing_input, work->jws.signing_input_length,
						  work->jws.signature, work->jws.signature_length) != MT_VERIFY_OK)
		refuse_unverified("signature wrong");

	/* From here on the text is the issuer's. */
	key_ends = key->not_after;
	parsed = MtClaimsParse(work->jws.payload, work->jws.payload_length, &work->claims);
	if (parsed != MT_JWS_OK)
		refuse_claim("The claims cannot be read.");
	if (MtKeyringIsCopy())
		refuse(MT_ERRCODE_CREDENTIAL_REVOKED,
			   "credentials are not accepted in a copy of their database", NULL,
			   "If this copy is meant to be used, a superuser calls multitenant.adopt_clone().",
			   "database is a copy");
	accept_claims(&work->claims, key, out);
	pfree(work);
	return Min(out->expires, key_ends);
}

/*
 * What a token that this session has verified before, and that is still good, makes of it;
 * NULL for any other. Valid until anything else is called that can look at credentials.
 */
static const MtContext *
recall(const char *token, size_t length)
{
	VerifiedToken *entry;

	/*
	 * A revocation or suspension that has been committed counts at once, and
	 * nothing that follows works with a key that is about to be dropped.
	 */
	MtRegistryAccept();
	prepare_cache();

	if (length == 0 || length > MT_JWS_MAX_LENGTH)
		return NULL;
	entry = find_token(token, length, hash_token(token, length));
	if (entry == NULL || entry->valid_until <= MtCoarseTimestamp())
		return NULL;
	return &entry->context;
}

void
MtCredentialVerify(const char *token, size_t length, MtContext *out)
{
	uint32		hash;
	TimestampTz valid_until;
	const MtContext *recalled = recall(token, length);

	if (recalled != NULL)
	{
		*out = *recalled;
		return;
	}
	if (length == 0 || length > MT_JWS_MAX_LENGTH)
		refuse_unverified(length == 0 ? "empty" : "too long");
	hash = hash_token(token, length);
	valid_until = verify(token, length, out);
	remember_token(token, length, hash, valid_until, out);
}
