/*
 * wrap.c
 *	  A key under another key: AES-256-GCM, bound to what the key is for.
 *
 * Owns the layout of a wrapped key and of its associated data. Keeps one
 * invariant: two different bindings never give the same associated data, because
 * only the purpose varies in length and its length is told.
 *
 * Security: nonces are random, for a few keys only are ever wrapped under one
 * (2^32 of them would be too many, NIST SP 800-38D section 8.3).
 */
#include "crypto/wrap.h"

#include <string.h>

#include "crypto/ciphertext.h"

#define FORMAT 1
#define ALGORITHM_GCM 1

/* Format, algorithm, id of the wrapping key. */
#define HEADER_BYTES 10

/* What is not the key. */
#define OVERHEAD (HEADER_BYTES + MT_NONCE_BYTES + MT_TAG_BYTES)

#define LONGEST_KEY 1024

static const char label[] = "mtwrap/v1";	/* with its NUL */

#define BINDING_MAX (sizeof(label) + HEADER_BYTES + 1 + MT_TENANT_BYTES + 8 + \
					 4 + 1 + 2 + MT_PURPOSE_MAX + 8)

static unsigned char *
write_bytes(unsigned char *at, const void *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static unsigned char *
write_uint(unsigned char *at, int bytes, uint64_t number)
{
	for (int i = bytes - 1; i >= 0; i--, number >>= 8)
		at[i] = (unsigned char) (number & 0xFF);
	return at + bytes;
}

/* Writes the associated data; returns its length, 0: the purpose is too long. */
static size_t
write_binding(unsigned char out[BINDING_MAX],
			  const unsigned char header[HEADER_BYTES],
			  const MtWrapBinding *binding)
{
	size_t		length = strlen(binding->purpose);
	unsigned char *at = out;

	if (length > MT_PURPOSE_MAX)
		return 0;
	at = write_bytes(at, label, sizeof(label));
	at = write_bytes(at, header, HEADER_BYTES);
	at = write_uint(at, 1, (uint64_t) binding->level);
	at = write_bytes(at, binding->tenant, MT_TENANT_BYTES);
	at = write_uint(at, 8, binding->key_id);
	at = write_uint(at, 4, (uint32_t) binding->version);
	at = write_uint(at, 1, (unsigned char) binding->class);
	at = write_uint(at, 2, length);
	at = write_bytes(at, binding->purpose, length);
	at = write_uint(at, 8, (uint64_t) binding->created_at);
	return (size_t) (at - out);
}

/* Seals into nonce, key and tag behind the header that is there. */
static MtCipherStatus
seal(MtGcm *gcm, const unsigned char *aad, size_t aad_length,
	 const unsigned char *key, size_t length, unsigned char *out)
{
	unsigned char *nonce = out + HEADER_BYTES;
	unsigned char *text = nonce + MT_NONCE_BYTES;
	MtCipherStatus status;

	if (!MtRandomSecret(nonce, MT_NONCE_BYTES))
		return MT_CIPHER_INTERNAL;
	status = MtGcmSealBegin(gcm, nonce, aad, aad_length, NULL, 0);
	if (status == MT_CIPHER_OK)
		status = MtGcmUpdate(gcm, key, length, text);
	if (status == MT_CIPHER_OK)
		status = MtGcmSealEnd(gcm, text + length);
	return status;
}

MtWrapStatus
MtWrap(const unsigned char wrapping[MT_SECRET_BYTES], uint64_t wrapping_id,
	   const MtWrapBinding *binding, const unsigned char *key, size_t length,
	   unsigned char *out)
{
	unsigned char aad[BINDING_MAX];
	size_t		aad_length;
	MtGcm	   *gcm;
	MtCipherStatus status;

	if (length < 1 || length > LONGEST_KEY)
		return MT_WRAP_MALFORMED;
	out[0] = FORMAT;
	out[1] = ALGORITHM_GCM;
	write_uint(out + 2, 8, wrapping_id);
	aad_length = write_binding(aad, out, binding);
	if (aad_length == 0)
		return MT_WRAP_MALFORMED;

	gcm = MtGcmCreate(wrapping);
	status = gcm == NULL ? MT_CIPHER_INTERNAL :
		seal(gcm, aad, aad_length, key, length, out);
	MtGcmFree(gcm);
	if (status == MT_CIPHER_OK)
		return MT_WRAP_OK;
	MtWipe(out, length + OVERHEAD);
	return MT_WRAP_INTERNAL;
}

/* Opens what is behind the header. */
static MtCipherStatus
open_sealed(MtGcm *gcm, const unsigned char *aad, size_t aad_length,
			const unsigned char *wrapped, size_t length, unsigned char *out)
{
	const unsigned char *nonce = wrapped + HEADER_BYTES;
	const unsigned char *text = nonce + MT_NONCE_BYTES;
	MtCipherStatus status;

	status = MtGcmOpenBegin(gcm, nonce, aad, aad_length, NULL, 0);
	if (status == MT_CIPHER_OK)
		status = MtGcmUpdate(gcm, text, length, out);
	if (status == MT_CIPHER_OK)
		status = MtGcmOpenEnd(gcm, text + length);
	return status;
}

MtWrapStatus
MtUnwrap(const unsigned char wrapping[MT_SECRET_BYTES], uint64_t wrapping_id,
		 const MtWrapBinding *binding, const unsigned char *wrapped,
		 size_t wrapped_length, unsigned char *out)
{
	unsigned char aad[BINDING_MAX];
	size_t		aad_length;
	size_t		length;
	uint64_t	id;
	MtGcm	   *gcm;
	MtCipherStatus status;

	/* never more than a key may have, whatever claims to be a wrapped one */
	length = wrapped_length > OVERHEAD ? wrapped_length - OVERHEAD : 0;
	if (length > LONGEST_KEY)
		length = LONGEST_KEY;
	MtWipe(out, length);
	if (MtWrappedUnder(wrapped, wrapped_length, &id) != MT_WRAP_OK)
		return MT_WRAP_MALFORMED;
	if (id != wrapping_id)
		return MT_WRAP_OTHER_KEY;
	aad_length = write_binding(aad, wrapped, binding);
	if (aad_length == 0)
		return MT_WRAP_FORGED;	/* nothing was wrapped for it */

	gcm = MtGcmCreate(wrapping);
	status = gcm == NULL ? MT_CIPHER_INTERNAL :
		open_sealed(gcm, aad, aad_length, wrapped, length, out);
	MtGcmFree(gcm);
	if (status == MT_CIPHER_OK)
		return MT_WRAP_OK;
	MtWipe(out, length);
	return status == MT_CIPHER_FORGED ? MT_WRAP_FORGED : MT_WRAP_INTERNAL;
}

MtWrapStatus
MtWrappedUnder(const unsigned char *wrapped, size_t wrapped_length,
			   uint64_t *wrapping_id)
{
	uint64_t	id = 0;

	*wrapping_id = 0;
	if (wrapped_length <= OVERHEAD ||
		wrapped_length > LONGEST_KEY + OVERHEAD ||
		wrapped[0] != FORMAT || wrapped[1] != ALGORITHM_GCM)
		return MT_WRAP_MALFORMED;
	for (int i = 2; i < HEADER_BYTES; i++)
		id = id << 8 | wrapped[i];
	*wrapping_id = id;
	return MT_WRAP_OK;
}
