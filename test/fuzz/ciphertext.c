/*
 * ciphertext.c
 *	  Fuzzes encrypted values: their parts, and what opens them.
 *
 * fuzzes: src/crypto/ciphertext.c src/crypto/cipher.c
 * needs: test/fuzz/sealer.c
 *
 * Random bytes are never opened, so the mutator takes the text out of a value,
 * mutates it and seals it again; now and then with another suite, key or nonce,
 * bound to the context or not.
 *
 * Kept for every input: it is a value exactly if its header and length say so,
 * and its parts cover it; a value is opened exactly if it is opened by other
 * means, and to the same text; in pieces as in one; what is refused leaves
 * nothing; then it is opened neither with one bit changed, nor cut, nor with
 * another context, tenant, purpose or class; sealed again it is the same; the
 * text has OpenSSL's HMAC.
 */
#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>

#include "property.h"
#include "sealer.h"

#define LONGEST (SEALER_LONGEST + MT_GCM_OVERHEAD)

/* What else might be around a value of the fuzzers' own. */
typedef struct Surroundings
{
	unsigned char tenant[MT_TENANT_BYTES];
	const char *purpose;
	char		class;
	const char *context;		/* of a bound value */
} Surroundings;

static Surroundings usual;
static Surroundings others[5];

static const MtCiphertext nothing;
static const unsigned char zeros[LONGEST];

static MtGcm *gcms[SEALER_KEY_COUNT];
static MtMac *macs[SEALER_KEY_COUNT];

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	unsigned char ours[MT_SECRET_BYTES];
	unsigned char expected[MT_SECRET_BYTES];
	unsigned char kcv[MT_KCV_BYTES];

	(void) argc;
	(void) argv;
	memcpy(usual.tenant, sealer_tenant, MT_TENANT_BYTES);
	usual.purpose = SEALER_PURPOSE;
	usual.class = SEALER_CLASS;
	usual.context = SEALER_CONTEXT;
	for (int i = 0; i < 5; i++)
		others[i] = usual;
	others[0].tenant[15] ^= 1;
	others[1].purpose = "cards";
	others[2].class = 's';
	others[3].context = "customers.ssn:8";
	others[4].context = "";

	for (int i = 0; i < SEALER_KEY_COUNT; i++)
	{
		derive_by_hmac(i, "gcm", expected);
		PROPERTY(MtDeriveSecret(sealer_secrets[i], "gcm", sealer_tenant, SEALER_PURPOSE, ours) == MT_CIPHER_OK &&
				 memcmp(ours, expected, sizeof(ours)) == 0, "a derived secret is that of HMAC");
		PROPERTY(MtKeyCheckValue(sealer_secrets[i], kcv) == MT_CIPHER_OK &&
				 MtDeriveSecret(sealer_secrets[i], "kcv", zeros, "", ours) == MT_CIPHER_OK &&
				 memcmp(ours, kcv, sizeof(kcv)) == 0, "a check value is derived");
		gcms[i] = MtGcmCreate(expected);
		macs[i] = MtMacCreate(sealer_secrets[i]);
		PROPERTY(gcms[i] != NULL && macs[i] != NULL, "the fuzzer is ready");
	}
	PROPERTY(MtGcmUpdate(gcms[0], "a", 1, expected) == MT_CIPHER_INTERNAL &&
			 MtGcmSealEnd(gcms[0], expected) == MT_CIPHER_INTERNAL &&
			 MtGcmOpenEnd(gcms[0], expected) == MT_CIPHER_INTERNAL &&
			 ERR_peek_error() == 0, "without a beginning there is nothing");
	PROPERTY(MtAadWrite(ours, zeros, zeros, "a purpose that is longer than a name of the server's can ever be.", 'd') == 0,
			 "a purpose that is too long has no associated data");
	MtGcmFree(NULL);
	MtSivFree(NULL);
	MtMacFree(NULL);
	return 0;
}

/* ---- opening, as the library does ---- */

static MtCipherStatus
open_gcm(MtGcm *gcm, const MtCiphertext *parts, const unsigned char *aad,
		 size_t aad_length, const char *context, size_t piece, unsigned char *out)
{
	MtCipherStatus status;

	status = MtGcmOpenBegin(gcm, parts->nonce, aad, aad_length, context,
							context == NULL ? 0 : strlen(context));
	for (size_t at = 0; status == MT_CIPHER_OK && at < parts->length; at += piece)
		status = MtGcmUpdate(gcm, parts->text + at,
							 at + piece <= parts->length ? piece : parts->length - at, out + at);
	return status == MT_CIPHER_OK ? MtGcmOpenEnd(gcm, parts->tag) : status;
}

static MtSiv *
create_siv(int key, const unsigned char *aad, size_t length)
{
	unsigned char mac[MT_SECRET_BYTES];
	unsigned char ctr[MT_SECRET_BYTES];
	MtSiv	   *siv;

	derive_by_hmac(key, "siv-mac", mac);
	derive_by_hmac(key, "siv-ctr", ctr);
	siv = MtSivCreate(mac, ctr, aad, length);
	PROPERTY(siv != NULL, "there is a SIV");
	return siv;
}

/* The associated data of a value, for GCM with the length of its context. */
static size_t
write_aad(const unsigned char *value, const MtCiphertext *parts,
		  const Surroundings *around, unsigned char *out)
{
	size_t		length = MtAadWrite(out, value, around->tenant, around->purpose, around->class);

	PROPERTY(length > 0 && length <= MT_AAD_MAX, "associated data have their length");
	if (parts->suite == MT_SUITE_GCM && parts->is_bound)
	{
		MtContextPrefix(out + length, strlen(around->context));
		length += MT_CONTEXT_PREFIX;
	}
	return length;
}

/* Opens into out, of exactly the text's length; piece: bytes fed at a time. */
static MtCipherStatus
open_parts(int key, const unsigned char *value, const MtCiphertext *parts,
		   const Surroundings *around, size_t piece, unsigned char *out)
{
	unsigned char aad[MT_AAD_MAX + MT_CONTEXT_PREFIX];
	size_t		aad_length = write_aad(value, parts, around, aad);
	const char *context = parts->is_bound ? around->context : NULL;
	MtCipherStatus status;
	MtSiv	   *siv;

	if (parts->suite == MT_SUITE_GCM)
		status = open_gcm(gcms[key], parts, aad, aad_length, context, piece, out);
	else
	{
		siv = create_siv(key, aad, aad_length);
		status = MtSivOpen(siv, context, context == NULL ? 0 : strlen(context), parts->text,
						   parts->length, out, parts->tag);
		PROPERTY(status == MT_CIPHER_OK || memcmp(out, zeros, parts->length) == 0,
				 "a refused value leaves nothing of its text");
		MtSivFree(siv);
	}
	PROPERTY(status != MT_CIPHER_INTERNAL, "OpenSSL works");
	PROPERTY(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
	return status;
}

/* Parses and opens some bytes, in memory of their exact size. */
static bool
is_opened(const unsigned char *value, size_t length, const Surroundings *around)
{
	unsigned char *copy = malloc(length);
	unsigned char *out;
	MtCiphertext parts;
	int			key;
	bool		is_open = false;

	if (length > 0)
		memcpy(copy, value, length);
	if (MtCiphertextParse(copy, length, &parts) == MT_CIPHERTEXT_OK)
	{
		key = find_sealer_key(parts.key_id);
		out = malloc(parts.length);
		is_open = key >= 0 && open_parts(key, copy, &parts, around, LONGEST, out) == MT_CIPHER_OK;
		free(out);
	}
	free(copy);
	return is_open;
}

/* ---- properties ---- */

/* Is it what the header's comment says? */
static void
check_parts(const unsigned char *value, size_t length, MtCiphertextStatus status,
			const MtCiphertext *parts)
{
	unsigned char header[MT_CIPHERTEXT_HEADER];
	unsigned	suite = length > 1 ? value[1] & 0x7FU : 0;
	bool		is_ours = length >= 10 && value[0] == 0xE5 && suite != 0 &&
	value[2] < 0x80 && memcmp(value + 2, zeros, 8) != 0;
	bool		is_known = is_ours && (suite == 1 || suite == 2);

	PROPERTY((status == MT_CIPHERTEXT_UNKNOWN_SUITE) == (is_ours && !is_known),
			 "a later suite is known as such");
	PROPERTY((status == MT_CIPHERTEXT_OK) == (is_known && length >= (suite == 1 ? 38 : 26)),
			 "a value is known by its header and length");
	if (status != MT_CIPHERTEXT_OK)
	{
		PROPERTY(memcmp(parts, &nothing, sizeof(nothing)) == 0, "what is no value leaves nothing");
		return;
	}
	MtCiphertextWriteHeader(header, parts->suite, parts->is_bound, parts->key_id);
	PROPERTY(memcmp(header, value, sizeof(header)) == 0, "a header has one spelling");
	if (suite == 1)
		PROPERTY(parts->nonce == value + 10 && parts->text == value + 22 &&
				 parts->tag == parts->text + parts->length && parts->tag + 16 == value + length,
				 "parts cover a value");
	else
		PROPERTY(parts->nonce == NULL && parts->tag == value + 10 && parts->text == value + 26 &&
				 parts->text + parts->length == value + length, "parts cover a value");
}

/* Sealed again with its nonce, it is the same value. */
static void
check_sealing(int key, const unsigned char *value, const MtCiphertext *parts,
			  const unsigned char *text)
{
	unsigned char aad[MT_AAD_MAX + MT_CONTEXT_PREFIX];
	size_t		aad_length = write_aad(value, parts, &usual, aad);
	const char *context = parts->is_bound ? usual.context : NULL;
	size_t		context_length = context == NULL ? 0 : strlen(context);
	unsigned char tag[MT_TAG_BYTES];
	unsigned char *out = malloc(parts->length);
	MtSiv	   *siv;

	if (parts->suite == MT_SUITE_GCM)
		PROPERTY(MtGcmSealBegin(gcms[key], parts->nonce, aad, aad_length, context, context_length) == MT_CIPHER_OK &&
				 MtGcmUpdate(gcms[key], text, parts->length, out) == MT_CIPHER_OK &&
				 MtGcmSealEnd(gcms[key], tag) == MT_CIPHER_OK, "what was opened is sealed");
	else
	{
		siv = create_siv(key, aad, aad_length);
		PROPERTY(MtSivSeal(siv, context, context_length, text, parts->length, out, tag) == MT_CIPHER_OK,
				 "what was opened is sealed");
		MtSivFree(siv);
	}
	PROPERTY(memcmp(tag, parts->tag, sizeof(tag)) == 0 &&
			 (parts->length == 0 || memcmp(out, parts->text, parts->length) == 0),
			 "what was opened is sealed to the same value");
	free(out);
}

/* Nothing near a value that is opened is opened. */
static void
check_neighbours(const unsigned char *value, size_t length, bool is_bound, size_t where)
{
	unsigned char *changed = malloc(length + 1);

	memcpy(changed, value, length);
	changed[length] = 0;
	changed[where / 8 % length] ^= (unsigned char) (1U << where % 8);
	PROPERTY(!is_opened(changed, length, &usual), "a value with one bit changed is refused");
	changed[where / 8 % length] ^= (unsigned char) (1U << where % 8);

	/*
	 * each of the last bytes of a short one: the whole tag, where there is no
	 * text
	 */
	for (size_t i = 0; i < (length <= MT_GCM_OVERHEAD + 2 ? MT_TAG_BYTES : 1); i++)
	{
		changed[length - 1 - i] ^= (unsigned char) (1U << where % 8);
		PROPERTY(!is_opened(changed, length, &usual), "a value with another end is refused");
		changed[length - 1 - i] ^= (unsigned char) (1U << where % 8);
	}
	PROPERTY(!is_opened(changed, length - 1, &usual), "a shorter value is refused");
	PROPERTY(!is_opened(changed, length + 1, &usual), "a longer value is refused");
	changed[1] ^= 0x80;
	PROPERTY(!is_opened(changed, length, &usual), "bound is not unbound");
	free(changed);
	for (int i = 0; i < (is_bound ? 5 : 3); i++)
		PROPERTY(!is_opened(value, length, &others[i]), "a value belongs where it is");
	PROPERTY(is_opened(value, length, &usual), "what was opened is opened again");
}

static void
check_value(const unsigned char *value, size_t length, const MtCiphertext *parts, size_t where)
{
	static unsigned char expected[LONGEST];
	size_t		expected_length = 0;
	int			key = find_sealer_key(parts->key_id);
	unsigned char *text;
	unsigned char mac[MT_MAC_BYTES];
	unsigned char expected_mac[MT_MAC_BYTES];
	bool		is_open;

	if (key < 0)
		return;
	text = malloc(parts->length);
	is_open = open_parts(key, value, parts, &usual, LONGEST, text) == MT_CIPHER_OK;
	PROPERTY(is_open == open_value(value, length, expected, &expected_length),
			 "opened is exactly what the key sealed");
	ERR_clear_error();
	if (is_open)
	{
		PROPERTY(expected_length == parts->length &&
				 (parts->length == 0 || memcmp(text, expected, parts->length) == 0),
				 "what was opened is the text");
		PROPERTY(open_parts(key, value, parts, &usual, where % 50 + 1, text) == MT_CIPHER_OK &&
				 (parts->length == 0 || memcmp(text, expected, parts->length) == 0),
				 "a value is opened in pieces as in one");
		PROPERTY(MtMacCompute(macs[key], text, parts->length, mac) == MT_CIPHER_OK,
				 "the text has an HMAC");
		hmac_of(sealer_secrets[key], text, parts->length, expected_mac);
		PROPERTY(memcmp(mac, expected_mac, sizeof(mac)) == 0, "the HMAC is OpenSSL's");
		check_sealing(key, value, parts, text);
		check_neighbours(value, length, parts->is_bound, where);
	}
	MtWipe(text, parts->length);
	PROPERTY(parts->length == 0 || memcmp(text, zeros, parts->length) == 0, "what is wiped is gone");
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *value;
	size_t		where = size;
	MtCiphertext parts;
	MtCiphertext again;
	MtCiphertextStatus status;

	if (size > LONGEST)
		return 0;
	value = malloc(size);
	if (size > 0)
		memcpy(value, data, size);
	for (size_t i = 0; i < size; i++)
		where = (where * 31 + data[i]) & 0xFFFF;
	memset(&parts, 0xA5, sizeof(parts));
	memset(&again, 0, sizeof(again));
	status = MtCiphertextParse(value, size, &parts);
	PROPERTY(MtCiphertextParse(value, size, &again) == status &&
			 parts.text == again.text && parts.length == again.length,
			 "the same bytes give the same answer");
	check_parts(value, size, status, &parts);
	if (status == MT_CIPHERTEXT_OK)
		check_value(value, size, &parts, where);
	free(value);
	return 0;
}

/* ---- mutation ---- */

static unsigned
next_random(unsigned *state)
{
	*state = (unsigned) ((uint64_t) *state * 48271 % 2147483647);
	return *state;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static unsigned char text[LONGEST];
	static unsigned char value[LONGEST];
	unsigned	state = seed % 2147483646 + 1;
	unsigned char nonce[MT_NONCE_BYTES];
	size_t		length = 0;
	MtCiphertext parts;
	MtSuite		suite = next_random(&state) % 2 == 0 ? MT_SUITE_GCM : MT_SUITE_SIV;
	bool		is_bound = next_random(&state) % 2 == 0;
	int			key = (int) (next_random(&state) % SEALER_KEY_COUNT);

	/* the bytes themselves: header, nonce, tag */
	if (next_random(&state) % 4 == 0)
		return LLVMFuzzerMutate(data, size, max_size);

	if (size > LONGEST || !open_value(data, size, text, &length))
	{
		/* no text: make one of what is there */
		length = size < SEALER_LONGEST ? size : SEALER_LONGEST;
		if (length > 0)
			memcpy(text, data, length);
	}
	else if (MtCiphertextParse(data, size, &parts) == MT_CIPHERTEXT_OK && next_random(&state) % 4 != 0)
	{
		suite = parts.suite;
		is_bound = parts.is_bound;
		key = find_sealer_key(parts.key_id);
	}
	for (int i = 0; i < MT_NONCE_BYTES; i++)
		nonce[i] = (unsigned char) (next_random(&state) & 0xFF);
	ERR_clear_error();
	if (length > SEALER_LONGEST)
		length = SEALER_LONGEST;
	length = LLVMFuzzerMutate(text, length, SEALER_LONGEST);
	length = seal_value(key, suite, is_bound, nonce, text, length, value);
	if (length > max_size)
		return size;
	memcpy(data, value, length);
	return length;
}
