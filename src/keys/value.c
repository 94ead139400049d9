/*
 * value.c
 *	  SQL functions that encrypt and decrypt values and make blind indexes.
 *
 * Every use of a key passes MtKeyToOpen() or MtKeyToSeal(), and with them decision.c. Nothing decrypted leaves
 * a function before its tag was found right; what was written until then is wiped.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/compat.h"
#include "crypto/ciphertext.h"
#include "fmgr.h"
#include "keys/decision.h"
#include "keys/keycache.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(mt_encrypt_bytes);
PG_FUNCTION_INFO_V1(mt_encrypt_jsonb);
PG_FUNCTION_INFO_V1(mt_encrypt_deterministic);
PG_FUNCTION_INFO_V1(mt_decrypt_text);
PG_FUNCTION_INFO_V1(mt_decrypt_bytea);
PG_FUNCTION_INFO_V1(mt_decrypt_jsonb);
PG_FUNCTION_INFO_V1(mt_try_decrypt_text);
PG_FUNCTION_INFO_V1(mt_try_decrypt_bytea);
PG_FUNCTION_INFO_V1(mt_try_decrypt_jsonb);
PG_FUNCTION_INFO_V1(mt_blind_index);
PG_FUNCTION_INFO_V1(mt_is_current);

/* Bytes between two looks at whether the statement was cancelled: about a third of a millisecond. */
#define PIECE (1024 * 1024)

/* RFC 5297's S2V takes a value in one go, which cannot be cancelled. */
#define DETERMINISTIC_MAX (1024 * 1024)

/* Shorter is not worth an index, longer than the hash is not to be had. */
#define BLIND_INDEX_MIN_BITS 8
#define BLIND_INDEX_MAX_BITS (MT_MAC_BYTES * 8)

/* A context as associated data: its length and its bytes, for AES-SIV only the bytes. */
typedef struct BoundContext
{
	bool		is_bound;
	size_t		length;
	unsigned char *bytes;
	const unsigned char *bare;
	size_t		bare_length;
	unsigned char buffer[256];
} BoundContext;

/* ---- arguments ---- */

static void
read_context(FunctionCallInfo fcinfo, int argument, BoundContext *context)
{
	text	   *value;
	uint32		length;

	context->is_bound = PG_NARGS() > argument && !PG_ARGISNULL(argument);
	context->length = context->bare_length = 0;
	context->bytes = NULL;
	context->bare = NULL;
	if (!context->is_bound)
		return;
	value = PG_GETARG_TEXT_PP(argument);
	length = VARSIZE_ANY_EXHDR(value);
	context->length = MT_CONTEXT_PREFIX + length;
	context->bytes = context->length <= sizeof(context->buffer) ? context->buffer :
		palloc(context->length);
	MtContextPrefix(context->bytes, length);
	memcpy(context->bytes + MT_CONTEXT_PREFIX, VARDATA_ANY(value), length);
	context->bare = context->bytes + MT_CONTEXT_PREFIX;
	context->bare_length = length;
}

/*
 * The key for the purpose in that argument.
 *
 * Security: a standby can decrypt, but what it encrypted nobody would have counted.
 */
static MtKey *
key_to_seal(FunctionCallInfo fcinfo, int argument, char class)
{
	MtDenial	denial;
	MtKey	   *key;
	text	   *purpose;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the purpose must not be null"),
				errhint("Leave it out for purpose \"default\"."));
	purpose = PG_GETARG_TEXT_PP(argument);
	if (class != MT_CLASS_BLIND_INDEX && RecoveryInProgress())
		ereport(ERROR,
				errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				errmsg("values cannot be encrypted on a standby"),
				errhint("Encrypt on the primary; decrypting works here."));
	key = MtKeyToSeal(VARDATA_ANY(purpose), VARSIZE_ANY_EXHDR(purpose), class, &denial);
	if (key == NULL)
		MtKeysRefuse(&denial, text_to_cstring(purpose));
	return key;
}

static void
refuse_too_large(void)
{
	ereport(ERROR,
			errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			errmsg("value too large to encrypt"),
			errhint("A value of the server has at most 1 GB, its encrypted form 38 bytes more; a deterministic one has at most 1 MB. Encrypt it in parts."));
}

static void
fail_encryption(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INTERNAL_ERROR),
			errmsg("the value could not be encrypted"),
			errdetail("OpenSSL failed."),
			errhint("The server may be out of memory or randomness."));
}

/* ---- encrypting ---- */

static bool
update_in_pieces(MtGcm *gcm, const unsigned char *in, size_t length, unsigned char *out)
{
	for (size_t done = 0; done < length;)
	{
		size_t		piece = Min(length - done, PIECE);

		if (MtGcmUpdate(gcm, in + done, piece, out + done) != MT_CIPHER_OK)
			return false;
		done += piece;
		if (done < length)
			CHECK_FOR_INTERRUPTS();
	}
	return true;
}

static bytea *
encrypt(MtKey *key, const BoundContext *context, const void *data, size_t length)
{
	bytea	   *result;
	unsigned char *out;
	MtGcm	   *gcm = key->tools->gcm;

	if (length > MaxAllocSize - VARHDRSZ - MT_GCM_OVERHEAD)
		refuse_too_large();
	result = palloc(VARHDRSZ + MT_GCM_OVERHEAD + length);
	SET_VARSIZE(result, VARHDRSZ + MT_GCM_OVERHEAD + length);
	out = (unsigned char *) VARDATA(result);
	MtCiphertextWriteHeader(out, MT_SUITE_GCM, context->is_bound, key->id);
	out += MT_CIPHERTEXT_HEADER;
	if (!MtKeyNonce(key, out) ||
		MtGcmSealBegin(gcm, out, key->tools->aad[context->is_bound], key->tools->aad_length,
					   context->bytes, context->length) != MT_CIPHER_OK)
		fail_encryption();
	out += MT_NONCE_BYTES;
	if (!update_in_pieces(gcm, data, length, out) ||
		MtGcmSealEnd(gcm, out + length) != MT_CIPHER_OK)
		fail_encryption();
	return result;
}

/* encrypt(text or bytea, purpose, context): their bytes are the same. */
Datum
mt_encrypt_bytes(PG_FUNCTION_ARGS)
{
	BoundContext context;
	bytea	   *value;
	MtKey	   *key;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_BYTEA_PP(0);
	read_context(fcinfo, 2, &context);
	key = key_to_seal(fcinfo, 1, MT_CLASS_DATA);
	PG_RETURN_BYTEA_P(encrypt(key, &context, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}

/* encrypt(jsonb, purpose, context): as text, which every server reads. */
Datum
mt_encrypt_jsonb(PG_FUNCTION_ARGS)
{
	BoundContext context;
	StringInfoData text;
	bytea	   *result;
	MtKey	   *key;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	initStringInfo(&text);
	(void) JsonbToCString(&text, &PG_GETARG_JSONB_P(0)->root, VARSIZE(PG_GETARG_JSONB_P(0)));
	read_context(fcinfo, 2, &context);
	key = key_to_seal(fcinfo, 1, MT_CLASS_DATA);
	result = encrypt(key, &context, text.data, text.len);
	MtWipe(text.data, text.len);
	PG_RETURN_BYTEA_P(result);
}

/* encrypt_deterministic(text or bytea, purpose, context) */
Datum
mt_encrypt_deterministic(PG_FUNCTION_ARGS)
{
	BoundContext context;
	bytea	   *value;
	bytea	   *result;
	unsigned char *out;
	size_t		length;
	MtKey	   *key;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_BYTEA_PP(0);
	length = VARSIZE_ANY_EXHDR(value);
	if (length > DETERMINISTIC_MAX)
		refuse_too_large();
	read_context(fcinfo, 2, &context);
	key = key_to_seal(fcinfo, 1, MT_CLASS_DETERMINISTIC);
	result = palloc(VARHDRSZ + MT_SIV_OVERHEAD + length);
	SET_VARSIZE(result, VARHDRSZ + MT_SIV_OVERHEAD + length);
	out = (unsigned char *) VARDATA(result);
	MtCiphertextWriteHeader(out, MT_SUITE_SIV, context.is_bound, key->id);
	out += MT_CIPHERTEXT_HEADER;
	if (MtSivSeal(key->tools->siv[context.is_bound], context.bare, context.bare_length,
				  VARDATA_ANY(value), length, out + MT_TAG_BYTES, out) != MT_CIPHER_OK)
		fail_encryption();
	PG_RETURN_BYTEA_P(result);
}

/* ---- decrypting ---- */

static MtCipherStatus
open_gcm(MtKey *key, const MtCiphertext *parts, const BoundContext *context, unsigned char *out)
{
	MtGcm	   *gcm = key->tools->gcm;

	if (MtGcmOpenBegin(gcm, parts->nonce, key->tools->aad[parts->is_bound],
					   key->tools->aad_length, context->bytes, context->length) != MT_CIPHER_OK ||
		!update_in_pieces(gcm, parts->text, parts->length, out))
		return MT_CIPHER_INTERNAL;
	return MtGcmOpenEnd(gcm, parts->tag);
}

/*
 * The first argument, decrypted, as a varlena; NULL with the reason. *is_forged: it names a
 * key of this tenant, which did not seal it so.
 */
static bytea *
decrypt(FunctionCallInfo fcinfo, bool *is_forged, MtDenial *denial)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	MtCiphertext parts;
	MtCipherStatus status;
	BoundContext context;
	MtKey	   *key;
	bytea	   *result;
	unsigned char *out;

	*is_forged = false;
	if (MtCiphertextParse((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
						  &parts) != MT_CIPHERTEXT_OK)
	{
		if (MtKeysMayBeUsed(denial))
			(void) MtKeysDenyValue(denial);
		return NULL;
	}
	read_context(fcinfo, 1, &context);
	key = MtKeyToOpen((int64) parts.key_id, denial);
	if (key == NULL)
		return NULL;
	*is_forged = true;
	(void) MtKeysDenyValue(denial);
	if (parts.is_bound != context.is_bound ||
		key->class != (parts.suite == MT_SUITE_SIV ? MT_CLASS_DETERMINISTIC : MT_CLASS_DATA))
		return NULL;

	result = palloc(VARHDRSZ + parts.length + 1);
	SET_VARSIZE(result, VARHDRSZ + parts.length);
	out = (unsigned char *) VARDATA(result);
	if (parts.suite == MT_SUITE_GCM)
		status = open_gcm(key, &parts, &context, out);
	else
		status = MtSivOpen(key->tools->siv[parts.is_bound], context.bare, context.bare_length,
						   parts.text, parts.length, out, parts.tag);
	if (status == MT_CIPHER_OK)
		return result;
	MtWipe(out, parts.length);
	if (status == MT_CIPHER_INTERNAL)
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("the value could not be decrypted"),
				errdetail("OpenSSL failed."),
				errhint("The server may be out of memory."));
	return NULL;
}

static bytea *
decrypt_or_refuse(FunctionCallInfo fcinfo)
{
	MtDenial	denial;
	bool		is_forged;
	bytea	   *result = decrypt(fcinfo, &is_forged, &denial);

	if (result == NULL)
		MtKeysRefuse(&denial, "");
	return result;
}

/* NULL, with a warning, for what this tenant's key did not seal; every other reason is an error. */
static bytea *
try_decrypt(FunctionCallInfo fcinfo)
{
	MtDenial	denial;
	bool		is_forged;
	bytea	   *result = decrypt(fcinfo, &is_forged, &denial);

	if (result == NULL && !is_forged)
		MtKeysRefuse(&denial, "");
	if (result == NULL)
		ereport(WARNING,
				errcode(denial.code),
				errmsg_internal("%s", denial.message),
				errhint("%s", denial.hint));
	return result;
}

/*
 * Security: what was encrypted as bytea, or in a database of another encoding, is no
 * text here; the server's own message would show its bytes in the log.
 */
static bytea *
as_text(bytea *value)
{
	if (!pg_verify_mbstr(GetDatabaseEncoding(), VARDATA(value), VARSIZE(value) - VARHDRSZ, true))
	{
		MtWipe(VARDATA(value), VARSIZE(value) - VARHDRSZ);
		ereport(ERROR,
				errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				errmsg("the decrypted value is not text of this database's encoding"),
				errhint("Use multitenant.decrypt_bytea()."));
	}
	return value;
}

/* The same of JSON: no message may show what it could not read. */
static Datum
as_jsonb(bytea *value)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *text = VARDATA(as_text(value));
	volatile Datum result = (Datum) 0;
	volatile bool is_json = true;

	text[VARSIZE(value) - VARHDRSZ] = '\0';
	PG_TRY();
	{
		result = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		is_json = false;
	}
	PG_END_TRY();
	MtWipe(text, VARSIZE(value) - VARHDRSZ);
	if (!is_json)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("the decrypted value is not JSON"),
				errhint("Use multitenant.decrypt_text() or decrypt_bytea()."));
	return result;
}

Datum
mt_decrypt_text(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(as_text(decrypt_or_refuse(fcinfo)));
}

Datum
mt_decrypt_bytea(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(decrypt_or_refuse(fcinfo));
}

Datum
mt_decrypt_jsonb(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(as_jsonb(decrypt_or_refuse(fcinfo)));
}

Datum
mt_try_decrypt_text(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_ARGISNULL(0) ? NULL : try_decrypt(fcinfo);

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(as_text(value));
}

Datum
mt_try_decrypt_bytea(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_ARGISNULL(0) ? NULL : try_decrypt(fcinfo);

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(value);
}

Datum
mt_try_decrypt_jsonb(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_ARGISNULL(0) ? NULL : try_decrypt(fcinfo);

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(as_jsonb(value));
}

/* ---- finding ---- */

/* blind_index(value, purpose, bits) */
Datum
mt_blind_index(PG_FUNCTION_ARGS)
{
	unsigned char mac[MT_MAC_BYTES];
	text	   *value;
	bytea	   *result;
	MtKey	   *key;
	int32		bits;
	int			length;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_TEXT_PP(0);
	bits = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	if (bits < BLIND_INDEX_MIN_BITS || bits > BLIND_INDEX_MAX_BITS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a blind index has %d to %d bits", BLIND_INDEX_MIN_BITS, BLIND_INDEX_MAX_BITS),
				errhint("128 bits for values that are all different, fewer where a value must not be recognised by its index."));
	key = key_to_seal(fcinfo, 1, MT_CLASS_BLIND_INDEX);
	if (MtMacCompute(key->tools->mac, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
					 mac) != MT_CIPHER_OK)
		fail_encryption();
	length = (bits + 7) / 8;
	if (bits % 8 != 0)
		mac[length - 1] &= 0xff << (8 - bits % 8);
	result = palloc(VARHDRSZ + length);
	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), mac, length);
	PG_RETURN_BYTEA_P(result);
}

/* is_current(value): is it sealed with the key that new values would get? */
Datum
mt_is_current(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	MtCiphertext parts;
	MtDenial	denial;
	MtKey	   *key;

	if (MtCiphertextParse((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
						  &parts) != MT_CIPHERTEXT_OK)
	{
		(void) MtKeysDenyValue(&denial);
		MtKeysRefuse(&denial, "");
	}
	key = MtKeyToInspect((int64) parts.key_id, &denial);
	if (key == NULL)
		MtKeysRefuse(&denial, "");
	PG_RETURN_BOOL(key->is_active);
}
