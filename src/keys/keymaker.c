/*
 * keymaker.c
 *	  Making, unwrapping and rewrapping the keys of tenants.
 *
 * The master key wraps one key per tenant (KEK), which wraps the keys for values (CEK).
 * Invariant: a secret is here only in a variable of one function that is wiped on every
 * way out; where what comes in between may throw, by PG_FINALLY.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/extension.h"
#include "common/hashfn.h"
#include "crypto/masterkey.h"
#include "fmgr.h"
#include "keys/keymaker.h"
#include "keys/share.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_make_key);
PG_FUNCTION_INFO_V1(mt_make_tenant_key);
PG_FUNCTION_INFO_V1(mt_first_tenant_key);
PG_FUNCTION_INFO_V1(mt_make_shared_tenant_key);
PG_FUNCTION_INFO_V1(mt_next_tenant_key);
PG_FUNCTION_INFO_V1(mt_next_key);
PG_FUNCTION_INFO_V1(mt_rewrap_tenant_key);
PG_FUNCTION_INFO_V1(mt_rewrap_key);
PG_FUNCTION_INFO_V1(mt_check_key);
PG_FUNCTION_INFO_V1(mt_check_tenant_key);
PG_FUNCTION_INFO_V1(mt_lock_keys);
PG_FUNCTION_INFO_V1(mt_assert_wraps_nothing);

bool
MtIsPurpose(const char *text, size_t length)
{
	if (length < 1 || length > MT_PURPOSE_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
			  text[i] == '.' || text[i] == '_' || text[i] == '-'))
			return false;
	return true;
}

static bool
deny(MtDenial *denial, const char *message, const char *detail, const char *hint)
{
	return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE, message, detail, hint);
}

/* Is a key in this state, or why not? */
static bool
check_state(MtKeyState state, MtDenial *denial)
{
	if (state == MT_KEY_SUSPENDED)
		return deny(denial, "the encryption keys of this tenant are suspended", NULL,
					"Ask whoever administers tenants to call multitenant.resume_tenant_keys().");
	if (state == MT_KEY_DESTROYED)
		return deny(denial, "the encryption key of this value was destroyed",
					"What it encrypted cannot be read any more.",
					"Look at multitenant.key_status for when and why.");
	return true;
}

static bool
deny_wrap(MtWrapStatus status, const char *what, MtDenial *denial)
{
	if (status == MT_WRAP_INTERNAL)
		return deny(denial, psprintf("%s could not be unwrapped", what), "OpenSSL failed.",
					"Look at the server log; the server may be out of memory.");
	return deny(denial, psprintf("%s could not be unwrapped", what),
				"It is not what the key above it wrapped, or its row was changed.",
				"After a restore call multitenant.verify_keys(); the server needs the master key of the backup.");
}

/*
 * What wraps a tenant's key: the master key of that id (NULL: the current one, whose id
 * is told), mixed with the tenant's share if the key has one. False with the reason. The
 * caller wipes the secret.
 */
static bool
wrapping_of(const MtKekRow *row, const uint64 *wanted, uint64 *id,
			unsigned char wrapping[MT_SECRET_BYTES], MtDenial *denial)
{
	unsigned char share[MT_SECRET_BYTES];
	volatile bool is_done = false;

	/* Waiting for a master key can be interrupted. */
	PG_TRY();
	{
		is_done = (!row->has_share || MtShareGet(&row->tenant, share, denial)) &&
			(wanted != NULL ? MtMasterKeyById(*wanted, wrapping, denial) :
			 MtMasterKeyCurrent(id, wrapping, denial));
		if (is_done && row->has_share && !MtShareMix(wrapping, &row->tenant, share))
			is_done = deny(denial, "the key of this tenant could not be unwrapped", "OpenSSL failed.",
						   "Look at the server log; the server may be out of memory.");
	}
	PG_FINALLY();
	{
		MtWipe(share, sizeof(share));
	}
	PG_END_TRY();
	return is_done;
}

/* Unwraps a tenant's key whatever its state is, unless it is destroyed. */
static bool
unwrap_kek(const MtKekRow *row, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial)
{
	unsigned char master[MT_SECRET_BYTES];
	MtWrapBinding binding;
	uint64_t	master_id;
	uint64		wanted;
	MtWrapStatus status;

	if (row->state == MT_KEY_DESTROYED)
		return check_state(row->state, denial);
	if (MtWrappedUnder(row->wrapped, MT_WRAPPED_BYTES, &master_id) != MT_WRAP_OK)
		return deny_wrap(MT_WRAP_MALFORMED, "the key of this tenant", denial);
	wanted = master_id;
	if (!wrapping_of(row, &wanted, NULL, master, denial))
		return false;
	MtKekBinding(row, &binding);
	status = MtUnwrap(master, master_id, &binding, row->wrapped, MT_WRAPPED_BYTES, secret);
	MtWipe(master, sizeof(master));
	return status == MT_WRAP_OK || deny_wrap(status, "the key of this tenant", denial);
}

static bool
unwrap_cek(const MtCekRow *row, const MtKekRow *kek, unsigned char secret[MT_SECRET_BYTES],
		   MtDenial *denial)
{
	unsigned char kek_secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	MtWrapStatus status;

	if (row->state == MT_KEY_DESTROYED)
		return check_state(row->state, denial);
	if (!unwrap_kek(kek, kek_secret, denial))
		return false;
	MtCekBinding(row, &binding);
	status = MtUnwrap(kek_secret, kek->id, &binding, row->wrapped, MT_WRAPPED_BYTES, secret);
	MtWipe(kek_secret, sizeof(kek_secret));
	return status == MT_WRAP_OK || deny_wrap(status, "the encryption key of this value", denial);
}

/*
 * The tenant's key under which another is wrapped. Where a rotation of the tenant's key was
 * committed between reading the two rows, the first is read again.
 */
static bool
kek_of(MtCekRow *row, MtKekRow *kek)
{
	MtCekRow	again;

	for (;;)
	{
		if (!MtKekById(row->kek_id, kek) || memcmp(&kek->tenant, &row->tenant, UUID_LEN) != 0)
			return false;
		if (kek->state != MT_KEY_DESTROYED || !MtCekById(row->id, &again) ||
			again.kek_id == row->kek_id)
			return true;
		*row = again;
	}
}

bool
MtKeyUnwrap(const MtCekRow *row, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial)
{
	MtCekRow	current = *row;
	MtKekRow	kek;

	if (!check_state(row->state, denial))
		return false;
	if (!kek_of(&current, &kek))
		return deny(denial, "the key of this tenant is missing", NULL,
					"Restore the tables multitenant.kek and multitenant.cek together.");
	return check_state(current.state, denial) && check_state(kek.state, denial) &&
		unwrap_cek(&current, &kek, secret, denial);
}

bool
MtTenantKeyUnwrap(const MtKekRow *row, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial)
{
	return unwrap_kek(row, secret, denial);
}

/* ---- making ---- */

/* A random id of a key, 1 to 2^63 - 1; false: no randomness. */
static bool
draw_id(int64 *id)
{
	uint64		drawn;

	do
	{
		if (!MtRandomSecret(&drawn, sizeof(drawn)))
			return false;
		*id = (int64) (drawn & PG_INT64_MAX);
	} while (*id == 0);
	return true;
}

static bool
deny_openssl(MtDenial *denial)
{
	return deny(denial, "no key could be made", "OpenSSL failed.",
				"Look at the server log; the server may be out of memory.");
}

/* Security: what once needed a share does so for ever, or destroying that would not be enough. */
static bool
make_kek(const pg_uuid_t *tenant, bool has_share, MtKekRow *row, MtDenial *denial)
{
	unsigned char master[MT_SECRET_BYTES];
	unsigned char secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	uint64		master_id;
	MtWrapStatus status = MT_WRAP_INTERNAL;

	memset(row, 0, sizeof(*row));
	row->tenant = *tenant;
	row->version = MtKekLastVersion(tenant) + 1;
	row->has_share = has_share || MtKekLastHasShare(tenant);
	row->state = MT_KEY_ACTIVE;
	row->created_at = GetCurrentTimestamp();
	if (!draw_id(&row->id))
		return deny_openssl(denial);
	if (!wrapping_of(row, NULL, &master_id, master, denial))
		return false;
	MtKekBinding(row, &binding);
	if (MtRandomSecret(secret, sizeof(secret)))
		status = MtWrap(master, master_id, &binding, secret, sizeof(secret), row->wrapped);
	MtWipe(secret, sizeof(secret));
	MtWipe(master, sizeof(master));
	if (status != MT_WRAP_OK)
		return deny_openssl(denial);
	MtKekInsert(row);
	return true;
}

static bool
make_cek(const MtKekRow *kek, const char *purpose, char class, MtCekRow *row, MtDenial *denial)
{
	unsigned char kek_secret[MT_SECRET_BYTES];
	unsigned char secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	MtWrapStatus status = MT_WRAP_INTERNAL;

	memset(row, 0, sizeof(*row));
	row->tenant = kek->tenant;
	strlcpy(row->purpose, purpose, sizeof(row->purpose));
	row->class = class;
	row->version = MtCekLastVersion(&kek->tenant, purpose, class) + 1;
	row->kek_id = kek->id;
	row->state = MT_KEY_ACTIVE;
	row->created_at = GetCurrentTimestamp();
	if (!draw_id(&row->id))
		return deny_openssl(denial);
	if (!check_state(kek->state, denial) || !unwrap_kek(kek, kek_secret, denial))
		return false;
	MtCekBinding(row, &binding);
	if (MtRandomSecret(secret, sizeof(secret)) &&
		MtKeyCheckValue(secret, row->kcv) == MT_CIPHER_OK)
		status = MtWrap(kek_secret, kek->id, &binding, secret, sizeof(secret), row->wrapped);
	MtWipe(secret, sizeof(secret));
	MtWipe(kek_secret, sizeof(kek_secret));
	if (status != MT_WRAP_OK)
		return deny_openssl(denial);
	MtCekInsert(row);
	return true;
}

/*
 * Whoever makes or replaces keys of a tenant holds this until its transaction
 * ends, so that there are not two first keys.
 */
static void
lock_keys(const pg_uuid_t *tenant)
{
	uint64		hash = hash_bytes_extended(tenant->data, UUID_LEN, 0);

	/*
	 * As many bits as a lock has room for: what two tenants share, one can
	 * make the other wait for.
	 */
	LockDatabaseObject(MtTableOid(MT_TABLE_KEK), (uint32) hash, (uint16) (hash >> 32), ExclusiveLock);
	AcceptInvalidationMessages();
}

static bool
may_write(MtDenial *denial)
{
	if (!XactReadOnly && !RecoveryInProgress() && !IsInParallelMode())
		return true;
	return MtDeny(denial, ERRCODE_READ_ONLY_SQL_TRANSACTION,
				  "there is no key for this purpose yet, and none can be made here",
				  "The first use makes it, which writes a row.",
				  "Call multitenant.create_key() in a transaction that can write.");
}

static bool
find_or_make_kek(const pg_uuid_t *tenant, MtKekRow *kek, MtDenial *denial)
{
	return MtKekOfTenant(tenant, kek) || make_kek(tenant, false, kek, denial);
}

bool
MtKeyMake(const pg_uuid_t *tenant, const char *purpose, char class, MtCekRow *row,
		  MtDenial *denial)
{
	MtKekRow	kek;

	if (!may_write(denial))
		return false;
	lock_keys(tenant);
	if (MtCekActive(tenant, purpose, class, row))
		return true;
	return find_or_make_kek(tenant, &kek, denial) &&
		make_cek(&kek, purpose, class, row, denial);
}

/* ---- what administration needs; each is called by a function that has asked for the right ---- */

static void
raise_unless(bool is_done, const MtDenial *denial)
{
	if (!is_done)
		MtDenialRaise(denial);
}

/* The purpose and class of arguments; throws 22023. */
static char *
purpose_argument(text * argument)
{
	char	   *purpose = text_to_cstring(argument);

	if (!MtIsPurpose(purpose, strlen(purpose)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid purpose"),
				errhint("A purpose has 1 to 63 of a-z 0-9 . _ -, such as \"pii\"."));
	return purpose;
}

static char
class_argument(text * argument)
{
	char		class = MtKeyClassFromName(text_to_cstring(argument));

	if (class == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid class of keys"),
				errhint("Classes are data, deterministic and blind_index."));
	return class;
}

/* _lock_keys(tenant): waits for whoever is making keys of a tenant, and keeps others from it. */
Datum
mt_lock_keys(PG_FUNCTION_ARGS)
{
	lock_keys(PG_GETARG_UUID_P(0));
	PG_RETURN_VOID();
}

/* _make_key(tenant, purpose, class): the id of the active key, made if there is none. */
Datum
mt_make_key(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	MtCekRow	row;
	char	   *purpose = purpose_argument(PG_GETARG_TEXT_PP(1));
	char		class = class_argument(PG_GETARG_TEXT_PP(2));

	raise_unless(MtKeyMake(PG_GETARG_UUID_P(0), purpose, class, &row, &denial), &denial);
	PG_RETURN_INT64(row.id);
}

/* _make_tenant_key(tenant): the id of the tenant's key, made if there is none. */
Datum
mt_make_tenant_key(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	MtKekRow	kek;

	raise_unless(may_write(&denial), &denial);
	lock_keys(PG_GETARG_UUID_P(0));
	raise_unless(find_or_make_kek(PG_GETARG_UUID_P(0), &kek, &denial), &denial);
	PG_RETURN_INT64(kek.id);
}

/*
 * _first_tenant_key(tenant): the key of a tenant that this transaction creates. Nobody
 * else can be making it, and a lock for each would limit how many are created at once.
 */
Datum
mt_first_tenant_key(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	MtKekRow	kek;

	raise_unless(may_write(&denial), &denial);
	raise_unless(find_or_make_kek(PG_GETARG_UUID_P(0), &kek, &denial), &denial);
	PG_RETURN_INT64(kek.id);
}

/* _make_shared_tenant_key(tenant): the key of a tenant that has none, with a share. */
Datum
mt_make_shared_tenant_key(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	MtKekRow	kek;

	raise_unless(may_write(&denial), &denial);
	lock_keys(PG_GETARG_UUID_P(0));
	if (MtKekOfTenant(PG_GETARG_UUID_P(0), &kek))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the key of the tenant is in use already"),
				errhint("A share is for new keys: give it before anything is encrypted for the tenant."));
	raise_unless(make_kek(PG_GETARG_UUID_P(0), true, &kek, &denial), &denial);
	PG_RETURN_INT64(kek.id);
}

/* _next_tenant_key(tenant): another version; the caller has taken the current one's place away. */
Datum
mt_next_tenant_key(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	MtKekRow	kek;

	raise_unless(may_write(&denial), &denial);
	lock_keys(PG_GETARG_UUID_P(0));
	raise_unless(make_kek(PG_GETARG_UUID_P(0), false, &kek, &denial), &denial);
	PG_RETURN_INT64(kek.id);
}

/* _next_key(tenant, purpose, class): another version; the same. */
Datum
mt_next_key(PG_FUNCTION_ARGS)
{
	MtDenial	denial;
	MtKekRow	kek;
	MtCekRow	row;
	char	   *purpose = purpose_argument(PG_GETARG_TEXT_PP(1));
	char		class = class_argument(PG_GETARG_TEXT_PP(2));

	raise_unless(may_write(&denial), &denial);
	lock_keys(PG_GETARG_UUID_P(0));
	raise_unless(find_or_make_kek(PG_GETARG_UUID_P(0), &kek, &denial) &&
				 make_cek(&kek, purpose, class, &row, &denial), &denial);
	PG_RETURN_INT64(row.id);
}

static MtKekRow
kek_argument(int64 id)
{
	MtKekRow	row;

	if (!MtKekById(id, &row))
		elog(ERROR, "no tenant key " INT64_FORMAT, id);
	return row;
}

/*
 * Wraps a key that another key wraps now.
 *
 * Security: what is written is unwrapped again before it replaces what opens now.
 */
static bool
wrap_again(const unsigned char wrapping[MT_SECRET_BYTES], uint64 wrapping_id,
		   const MtWrapBinding *binding, const unsigned char secret[MT_SECRET_BYTES],
		   unsigned char wrapped[MT_WRAPPED_BYTES], MtDenial *denial)
{
	unsigned char again[MT_SECRET_BYTES];
	bool		is_same;

	is_same = MtWrap(wrapping, wrapping_id, binding, secret, MT_SECRET_BYTES, wrapped) == MT_WRAP_OK &&
		MtUnwrap(wrapping, wrapping_id, binding, wrapped, MT_WRAPPED_BYTES, again) == MT_WRAP_OK &&
		CRYPTO_memcmp(again, secret, MT_SECRET_BYTES) == 0;
	MtWipe(again, sizeof(again));
	return is_same || deny_openssl(denial);
}

/* _rewrap_tenant_key(kek): puts a tenant's key under the current master key. */
Datum
mt_rewrap_tenant_key(PG_FUNCTION_ARGS)
{
	MtKekRow	row = kek_argument(PG_GETARG_INT64(0));
	MtKekRow	rewrapped = row;
	unsigned char master[MT_SECRET_BYTES];
	unsigned char secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	MtDenial	denial;
	uint64		master_id;
	volatile bool is_done = false;

	PG_TRY();
	{
		MtKekBinding(&row, &binding);
		is_done = unwrap_kek(&row, secret, &denial) &&
			wrapping_of(&row, NULL, &master_id, master, &denial) &&
			wrap_again(master, master_id, &binding, secret, rewrapped.wrapped, &denial);
	}
	PG_FINALLY();
	{
		MtWipe(master, sizeof(master));
		MtWipe(secret, sizeof(secret));
	}
	PG_END_TRY();
	raise_unless(is_done, &denial);
	MtKekRewrap(&rewrapped);
	PG_RETURN_VOID();
}

/* _rewrap_key(cek, kek): puts a key for values under another version of its tenant's key. */
Datum
mt_rewrap_key(PG_FUNCTION_ARGS)
{
	MtKekRow	target = kek_argument(PG_GETARG_INT64(1));
	MtKekRow	source;
	MtCekRow	row;
	unsigned char kek_secret[MT_SECRET_BYTES];
	unsigned char secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	MtDenial	denial;
	volatile bool is_done = false;

	if (!MtCekById(PG_GETARG_INT64(0), &row))
		elog(ERROR, "no key " INT64_FORMAT, PG_GETARG_INT64(0));
	source = kek_argument(row.kek_id);
	if (memcmp(&source.tenant, &row.tenant, UUID_LEN) != 0 ||
		memcmp(&target.tenant, &row.tenant, UUID_LEN) != 0)
		elog(ERROR, "keys of two tenants");
	PG_TRY();
	{
		MtCekBinding(&row, &binding);
		is_done = unwrap_cek(&row, &source, secret, &denial) &&
			unwrap_kek(&target, kek_secret, &denial) &&
			wrap_again(kek_secret, target.id, &binding, secret, row.wrapped, &denial);
	}
	PG_FINALLY();
	{
		MtWipe(kek_secret, sizeof(kek_secret));
		MtWipe(secret, sizeof(secret));
	}
	PG_END_TRY();
	raise_unless(is_done, &denial);
	row.kek_id = target.id;
	MtCekRewrap(&row);
	PG_RETURN_VOID();
}

static text *
reason_text(const MtDenial *denial)
{
	return cstring_to_text(denial->detail == NULL ? denial->message :
						   psprintf("%s: %s", denial->message, denial->detail));
}

/* _check_tenant_key(kek): null if it can be unwrapped, else why not. */
Datum
mt_check_tenant_key(PG_FUNCTION_ARGS)
{
	MtKekRow	row = kek_argument(PG_GETARG_INT64(0));
	MtDenial	denial;
	unsigned char secret[MT_SECRET_BYTES];
	bool		is_right = unwrap_kek(&row, secret, &denial);

	MtWipe(secret, sizeof(secret));
	if (!is_right)
		PG_RETURN_TEXT_P(reason_text(&denial));
	PG_RETURN_NULL();
}

/*
 * _check_key(cek): null if the key can be unwrapped and is the one that was made, else
 * why not. Suspended keys are looked at, too.
 */
Datum
mt_check_key(PG_FUNCTION_ARGS)
{
	MtCekRow	row;
	MtKekRow	kek;
	MtDenial	denial;
	unsigned char secret[MT_SECRET_BYTES];
	unsigned char kcv[MT_KCV_BYTES];
	bool		is_same;

	if (!MtCekById(PG_GETARG_INT64(0), &row) || !kek_of(&row, &kek))
		PG_RETURN_TEXT_P(cstring_to_text("the key of its tenant is missing"));
	if (!unwrap_cek(&row, &kek, secret, &denial))
		PG_RETURN_TEXT_P(reason_text(&denial));
	is_same = MtKeyCheckValue(secret, kcv) == MT_CIPHER_OK &&
		memcmp(kcv, row.kcv, sizeof(kcv)) == 0;
	MtWipe(secret, sizeof(secret));
	if (!is_same)
		PG_RETURN_TEXT_P(cstring_to_text("its check value is another key's"));
	PG_RETURN_NULL();
}

/*
 * _assert_wraps_nothing(kek): throws 55000 if a key for values is under this tenant's key.
 *
 * Security: what the caller has found with its own snapshot may not be all. Whoever holds
 * the tenant's lock asks before the key is destroyed.
 */
Datum
mt_assert_wraps_nothing(PG_FUNCTION_ARGS)
{
	int			count = MtCekCountUnder(PG_GETARG_INT64(0));

	if (count > 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the key of the tenant is still needed"),
				errdetail("It wraps %d keys that are not destroyed.", count),
				errhint("Nothing was changed: try again."));
	PG_RETURN_VOID();
}
