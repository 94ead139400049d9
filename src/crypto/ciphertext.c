/*
 * ciphertext.c
 *	  The bytes of an encrypted value, and what they are bound to.
 *
 * Owns the layout of a value and of its associated data. Keeps one invariant:
 * two different values of header, tenant, purpose and class never give the same
 * associated data, because only the purpose varies in length and its length is
 * told.
 */
#include "crypto/ciphertext.h"

#include <string.h>

#define BOUND_BIT 0x80

static const char label[] = "multitenant/v1";	/* with its NUL */

static void
write_uint(unsigned char *out, int bytes, uint64_t number)
{
	for (int i = bytes - 1; i >= 0; i--, number >>= 8)
		out[i] = (unsigned char) (number & 0xFF);
}

static uint64_t
read_uint64(const unsigned char *in)
{
	uint64_t	number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | in[i];
	return number;
}

/* Points at nonce, text and tag; false: too short to have them. */
static bool
find_parts(const unsigned char *value, size_t length, MtCiphertext *out)
{
	const unsigned char *body = value + MT_CIPHERTEXT_HEADER;

	if (out->suite == MT_SUITE_GCM)
	{
		if (length < MT_GCM_OVERHEAD)
			return false;
		out->length = length - MT_GCM_OVERHEAD;
		out->nonce = body;
		out->text = body + MT_NONCE_BYTES;
		out->tag = out->text + out->length;
		return true;
	}
	if (length < MT_SIV_OVERHEAD)
		return false;
	out->length = length - MT_SIV_OVERHEAD;
	out->tag = body;
	out->text = body + MT_TAG_BYTES;
	return true;
}

uint64_t
MtCiphertextKeyId(const unsigned char header[MT_CIPHERTEXT_HEADER])
{
	return read_uint64(header + 2);
}

/*
 * The header is judged as a whole before its suite, which may be a later one:
 * the id's first byte, below 0x80, is what tells a value from UTF-8 (E5 81 to
 * E5 BF begin many characters, but then follows 0x80 to 0xBF).
 */
MtCiphertextStatus
MtCiphertextParse(const unsigned char *value, size_t length, MtCiphertext *out)
{
	unsigned	suite;
	uint64_t	key_id;

	memset(out, 0, sizeof(*out));
	if (length < MT_CIPHERTEXT_HEADER || value[0] != MT_CIPHERTEXT_MAGIC)
		return MT_CIPHERTEXT_MALFORMED;
	suite = value[1] & ~BOUND_BIT;
	key_id = MtCiphertextKeyId(value);
	if (suite == 0 || key_id == 0 || key_id > INT64_MAX)
		return MT_CIPHERTEXT_MALFORMED;
	if (suite != MT_SUITE_GCM && suite != MT_SUITE_SIV)
		return MT_CIPHERTEXT_UNKNOWN_SUITE;
	out->suite = (MtSuite) suite;
	out->is_bound = (value[1] & BOUND_BIT) != 0;
	out->key_id = key_id;
	if (!find_parts(value, length, out))
	{
		memset(out, 0, sizeof(*out));
		return MT_CIPHERTEXT_MALFORMED;
	}
	return MT_CIPHERTEXT_OK;
}

void
MtCiphertextWriteHeader(unsigned char header[MT_CIPHERTEXT_HEADER],
						MtSuite suite, bool is_bound, uint64_t key_id)
{
	header[0] = MT_CIPHERTEXT_MAGIC;
	header[1] = (unsigned char) ((unsigned) suite | (is_bound ? BOUND_BIT : 0));
	write_uint(header + 2, 8, key_id);
}

size_t
MtAadWrite(unsigned char out[MT_AAD_MAX],
		   const unsigned char header[MT_CIPHERTEXT_HEADER],
		   const unsigned char tenant[MT_TENANT_BYTES],
		   const char *purpose, char class)
{
	size_t		length = strlen(purpose);
	unsigned char *at = out;

	if (length > MT_PURPOSE_MAX)
		return 0;
	memcpy(at, label, sizeof(label));
	at += sizeof(label);
	memcpy(at, header, MT_CIPHERTEXT_HEADER);
	at += MT_CIPHERTEXT_HEADER;
	memcpy(at, tenant, MT_TENANT_BYTES);
	at += MT_TENANT_BYTES;
	write_uint(at, 2, length);
	at += 2;
	memcpy(at, purpose, length);
	at += length;
	*at++ = (unsigned char) class;
	return (size_t) (at - out);
}

void
MtContextPrefix(unsigned char out[MT_CONTEXT_PREFIX], size_t context_length)
{
	write_uint(out, MT_CONTEXT_PREFIX, context_length);
}
