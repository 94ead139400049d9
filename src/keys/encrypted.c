/*
 * encrypted.c
 *	  Types for encrypted values: their text and binary forms, and order.
 *
 * A value is the bytes of crypto/ciphertext.h in a varlena. Invariant: what is not
 * such bytes cannot become a value, so that a plaintext is never stored by mistake.
 */
#include "postgres.h"

#include "base/compat.h"
#include "crypto/ciphertext.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(mt_encrypted_in);
PG_FUNCTION_INFO_V1(mt_encrypted_out);
PG_FUNCTION_INFO_V1(mt_encrypted_recv);
PG_FUNCTION_INFO_V1(mt_encrypted_det_in);
PG_FUNCTION_INFO_V1(mt_encrypted_det_recv);
PG_FUNCTION_INFO_V1(mt_key_id);

static bool
parse(bytea *value, MtCiphertext *parts)
{
	return MtCiphertextParse((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
							 parts) == MT_CIPHERTEXT_OK;
}

/* Security: the message does not repeat what may be a plaintext. */
static bytea *
check(bytea *value, MtSuite suite, int code)
{
	MtCiphertext parts;

	if (!parse(value, &parts) || parts.suite != suite)
		ereport(ERROR,
				errcode(code),
				errmsg("not an encrypted value"),
				suite == MT_SUITE_GCM ?
				errhint("Use multitenant.encrypt() to make one; a text is never converted by itself.") :
				errhint("Use multitenant.encrypt_deterministic() to make one; a text is never converted by itself."));
	return value;
}

static bytea *
from_text(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);

	/*
	 * Only the form that is written: bytea's other form would accept any
	 * text.
	 */
	if (strncmp(text, "\\x", 2) != 0 || strspn(text + 2, "0123456789abcdefABCDEF") != strlen(text + 2))
		return (bytea *) palloc0(VARHDRSZ);
	return DatumGetByteaPP(DirectFunctionCall1(byteain, CStringGetDatum(text)));
}

static bytea *
from_bytes(PG_FUNCTION_ARGS)
{
	return DatumGetByteaPP(DirectFunctionCall1(bytearecv, PG_GETARG_DATUM(0)));
}

Datum
mt_encrypted_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(check(from_text(fcinfo), MT_SUITE_GCM, ERRCODE_INVALID_TEXT_REPRESENTATION));
}

/* One form, whatever bytea_output says: the one that is read. */
Datum
mt_encrypted_out(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	size_t		length = VARSIZE_ANY_EXHDR(value);
	char	   *text = palloc_extended(length * 2 + 3, MCXT_ALLOC_HUGE);

	text[0] = '\\';
	text[1] = 'x';
	text[2 + hex_encode(VARDATA_ANY(value), length, text + 2)] = '\0';
	PG_RETURN_CSTRING(text);
}

Datum
mt_encrypted_recv(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(check(from_bytes(fcinfo), MT_SUITE_GCM, ERRCODE_INVALID_BINARY_REPRESENTATION));
}

Datum
mt_encrypted_det_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(check(from_text(fcinfo), MT_SUITE_SIV, ERRCODE_INVALID_TEXT_REPRESENTATION));
}

Datum
mt_encrypted_det_recv(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(check(from_bytes(fcinfo), MT_SUITE_SIV, ERRCODE_INVALID_BINARY_REPRESENTATION));
}

/* key_id(value): the header needs no key. */
Datum
mt_key_id(PG_FUNCTION_ARGS)
{
	/* Only the first bytes of a large value are read. */
	bytea	   *value = PG_GETARG_BYTEA_P_SLICE(0, 0, MT_CIPHERTEXT_HEADER);

	if (VARSIZE_ANY_EXHDR(value) < MT_CIPHERTEXT_HEADER)
		elog(ERROR, "an encrypted value is too short");
	PG_RETURN_INT64((int64) MtCiphertextKeyId((const unsigned char *) VARDATA_ANY(value)));
}
