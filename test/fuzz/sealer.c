/*
 * sealer.c
 *	  Encrypted values and wrapped keys, made and opened without src/crypto.
 */
#include "sealer.h"

#include <string.h>

#include <openssl/evp.h>

#include "property.h"

#define AES_BLOCK 16

const uint64_t sealer_ids[SEALER_KEY_COUNT] = {
	1, UINT64_C(0x0102030405060708), INT64_MAX
};

const unsigned char sealer_secrets[SEALER_KEY_COUNT][MT_SECRET_BYTES] = {
	"the first secret, 32 bytes long.", "the second secret of thirty-two.",
	"the third secret, and the last.."
};

const unsigned char sealer_tenant[MT_TENANT_BYTES] = "a tenant's uuid.";

#define TENANT {'a', ' ', 't', 'e', 'n', 'a', 'n', 't', '\'', 's', ' ', 'u', 'u', 'i', 'd', '.'}

const MtWrapBinding sealer_bindings[SEALER_BINDING_COUNT] = {
	{MT_WRAP_DATA_KEY, TENANT, 5, 1, 'd', "card", 1000},
	{MT_WRAP_TENANT_KEY, TENANT, 5, 1, 'd', "card", 1000},
	{MT_WRAP_DATA_KEY, {0}, 5, 1, 'd', "card", 1000},
	{MT_WRAP_DATA_KEY, TENANT, 6, 1, 'd', "card", 1000},
	{MT_WRAP_DATA_KEY, TENANT, 5, -1, 'd', "card", 1000},
	{MT_WRAP_DATA_KEY, TENANT, 5, 1, 's', "card", 1000},
	{MT_WRAP_DATA_KEY, TENANT, 5, 1, 'd', "", 1000},
	{MT_WRAP_DATA_KEY, TENANT, 5, 1, 'd', "cards", 1000},
	{MT_WRAP_DATA_KEY, TENANT, 5, 1, 'd', "card", -1000},
};

int
find_sealer_key(uint64_t id)
{
	for (int i = 0; i < SEALER_KEY_COUNT; i++)
		if (sealer_ids[i] == id)
			return i;
	return -1;
}

/* ---- bytes ---- */

typedef struct Bytes
{
	unsigned char data[256];
	size_t		length;
} Bytes;

static void
add(Bytes *bytes, const void *data, size_t length)
{
	PROPERTY(bytes->length + length <= sizeof(bytes->data), "there is room");
	if (length > 0)
		memcpy(bytes->data + bytes->length, data, length);
	bytes->length += length;
}

static void
add_number(Bytes *bytes, int width, uint64_t number)
{
	for (int shift = 8 * (width - 1); shift >= 0; shift -= 8)
	{
		unsigned char byte = (unsigned char) (number >> shift & 0xFF);

		add(bytes, &byte, 1);
	}
}

static uint64_t
number_at(const unsigned char *data)
{
	uint64_t	number = 0;

	for (int i = 0; i < 8; i++)
		number |= (uint64_t) data[i] << 8 * (7 - i);
	return number;
}

/* ---- OpenSSL ---- */

void
hmac_of(const unsigned char *secret, const void *data, size_t length,
		unsigned char out[MT_MAC_BYTES])
{
	size_t		out_length = 0;

	PROPERTY(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret, MT_SECRET_BYTES,
					   data, length, out, MT_MAC_BYTES, &out_length) != NULL &&
			 out_length == MT_MAC_BYTES, "OpenSSL has HMAC");
}

void
derive_by_hmac(int key, const char *usage, unsigned char out[MT_SECRET_BYTES])
{
	Bytes		info = {.length = 0};

	add(&info, "multitenant/v1/", 15);
	add(&info, usage, strlen(usage) + 1);
	add(&info, sealer_tenant, MT_TENANT_BYTES);
	add(&info, SEALER_PURPOSE, strlen(SEALER_PURPOSE));
	add(&info, "\001", 1);
	hmac_of(sealer_secrets[key], info.data, info.length, out);
}

static void
cmac_of(const unsigned char *secret, const void *data, size_t length,
		unsigned char *out)
{
	size_t		out_length = 0;

	PROPERTY(EVP_Q_mac(NULL, "CMAC", NULL, "AES-256-CBC", NULL, secret, MT_SECRET_BYTES,
					   data, length, out, AES_BLOCK, &out_length) != NULL &&
			 out_length == AES_BLOCK, "OpenSSL has CMAC");
}

/* Seals or opens with GCM; false: the tag is another. */
static bool
run_gcm(bool is_sealing, const unsigned char *secret, const unsigned char *nonce,
		const Bytes *aad, const unsigned char *in, size_t length,
		unsigned char *out, unsigned char *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			n;
	bool		is_right;

	PROPERTY(EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, secret, nonce, is_sealing) == 1 &&
			 EVP_CipherUpdate(ctx, NULL, &n, aad->data, (int) aad->length) == 1 &&
			 (length == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int) length) == 1) &&
			 (is_sealing || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, MT_TAG_BYTES, tag) == 1),
			 "OpenSSL has GCM");
	is_right = EVP_CipherFinal_ex(ctx, out, &n) == 1;
	PROPERTY(!is_sealing ||
			 (is_right && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MT_TAG_BYTES, tag) == 1),
			 "OpenSSL seals with GCM");
	EVP_CIPHER_CTX_free(ctx);
	return is_right;
}

static void
run_ctr(const unsigned char *secret, const unsigned char *tag,
		const unsigned char *in, size_t length, unsigned char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char counter[AES_BLOCK];
	int			n;

	memcpy(counter, tag, AES_BLOCK);
	counter[8] &= 0x7F;
	counter[12] &= 0x7F;
	PROPERTY(EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, secret, counter) == 1 &&
			 (length == 0 || EVP_EncryptUpdate(ctx, out, &n, in, (int) length) == 1),
			 "OpenSSL has CTR");
	EVP_CIPHER_CTX_free(ctx);
}

/* ---- SIV ---- */

/* Doubles, then adds. */
static void
double_and_add(unsigned char *sum, const unsigned char *block)
{
	int			carry = sum[0] & 0x80;

	for (int i = 0; i < AES_BLOCK; i++)
		sum[i] = (unsigned char) ((sum[i] << 1 | (i < AES_BLOCK - 1 ? sum[i + 1] >> 7 : 0)) & 0xFF);
	if (carry != 0)
		sum[AES_BLOCK - 1] ^= 0x87;
	for (int i = 0; i < AES_BLOCK; i++)
		sum[i] ^= block[i];
}

/* S2V of the associated data, the context if bound, and the text. */
static void
make_siv(const unsigned char *secret, const Bytes *aad, bool is_bound,
		 const unsigned char *text, size_t length, unsigned char *tag)
{
	static const unsigned char zeros[AES_BLOCK];
	static unsigned char last[SEALER_LONGEST + MT_GCM_OVERHEAD];
	unsigned char sum[AES_BLOCK];
	unsigned char block[AES_BLOCK];

	cmac_of(secret, zeros, AES_BLOCK, sum);
	cmac_of(secret, aad->data, aad->length, block);
	double_and_add(sum, block);
	if (is_bound)
	{
		cmac_of(secret, SEALER_CONTEXT, strlen(SEALER_CONTEXT), block);
		double_and_add(sum, block);
	}
	if (length < AES_BLOCK)
	{
		memset(block, 0, AES_BLOCK);
		if (length > 0)
			memcpy(block, text, length);
		block[length] = 0x80;
		double_and_add(sum, block);
		cmac_of(secret, sum, AES_BLOCK, tag);
		return;
	}
	memcpy(last, text, length);
	for (size_t i = 0; i < AES_BLOCK; i++)
		last[length - AES_BLOCK + i] ^= sum[i];
	cmac_of(secret, last, length, tag);
}

/* ---- values ---- */

static void
make_aad(const unsigned char *header, MtSuite suite, bool is_bound, Bytes *aad)
{
	aad->length = 0;
	add(aad, "multitenant/v1", 15);
	add(aad, header, MT_CIPHERTEXT_HEADER);
	add(aad, sealer_tenant, MT_TENANT_BYTES);
	add_number(aad, 2, strlen(SEALER_PURPOSE));
	add(aad, SEALER_PURPOSE, strlen(SEALER_PURPOSE));
	add_number(aad, 1, SEALER_CLASS);
	if (suite == MT_SUITE_GCM && is_bound)
	{
		add_number(aad, 4, strlen(SEALER_CONTEXT));
		add(aad, SEALER_CONTEXT, strlen(SEALER_CONTEXT));
	}
}

size_t
seal_value(int key, MtSuite suite, bool is_bound,
		   const unsigned char nonce[MT_NONCE_BYTES], const unsigned char *text,
		   size_t length, unsigned char *out)
{
	Bytes		header = {.length = 0};
	Bytes		aad;
	unsigned char secret[MT_SECRET_BYTES];
	unsigned char *body = out + MT_CIPHERTEXT_HEADER;

	add_number(&header, 1, 0xE5);
	add_number(&header, 1, (uint64_t) suite + (is_bound ? 128 : 0));
	add_number(&header, 8, sealer_ids[key]);
	memcpy(out, header.data, header.length);
	make_aad(header.data, suite, is_bound, &aad);
	if (suite == MT_SUITE_GCM)
	{
		derive_by_hmac(key, "gcm", secret);
		memcpy(body, nonce, MT_NONCE_BYTES);
		run_gcm(true, secret, nonce, &aad, text, length, body + MT_NONCE_BYTES,
				body + MT_NONCE_BYTES + length);
		return length + 38;
	}
	derive_by_hmac(key, "siv-mac", secret);
	make_siv(secret, &aad, is_bound, text, length, body);
	derive_by_hmac(key, "siv-ctr", secret);
	run_ctr(secret, body, text, length, body + MT_TAG_BYTES);
	return length + 26;
}

bool
open_value(const unsigned char *value, size_t length, unsigned char *text,
		   size_t *text_length)
{
	unsigned char secret[MT_SECRET_BYTES];
	unsigned char tag[MT_TAG_BYTES];
	bool		is_bound;
	int			key;
	Bytes		aad;

	if (length < 26 || value[0] != 0xE5)
		return false;
	is_bound = value[1] >= 128;
	key = find_sealer_key(number_at(value + 2));
	if (key < 0)
		return false;
	if (value[1] % 128 == 1 && length >= 38)
	{
		*text_length = length - 38;
		memcpy(tag, value + length - MT_TAG_BYTES, MT_TAG_BYTES);
		make_aad(value, MT_SUITE_GCM, is_bound, &aad);
		derive_by_hmac(key, "gcm", secret);
		return run_gcm(false, secret, value + 10, &aad, value + 22, *text_length, text, tag);
	}
	if (value[1] % 128 != 2)
		return false;
	*text_length = length - 26;
	make_aad(value, MT_SUITE_SIV, is_bound, &aad);
	derive_by_hmac(key, "siv-ctr", secret);
	run_ctr(secret, value + 10, value + 26, *text_length, text);
	derive_by_hmac(key, "siv-mac", secret);
	make_siv(secret, &aad, is_bound, text, *text_length, tag);
	return memcmp(tag, value + 10, MT_TAG_BYTES) == 0;
}

/* ---- wrapped keys ---- */

static void
make_binding(const unsigned char *header, const MtWrapBinding *binding, Bytes *aad)
{
	aad->length = 0;
	add(aad, "mtwrap/v1", 10);
	add(aad, header, 10);
	add_number(aad, 1, (uint64_t) binding->level);
	add(aad, binding->tenant, MT_TENANT_BYTES);
	add_number(aad, 8, binding->key_id);
	add_number(aad, 4, (uint64_t) (int64_t) binding->version & 0xFFFFFFFF);
	add_number(aad, 1, (uint64_t) binding->class);
	add_number(aad, 2, strlen(binding->purpose));
	add(aad, binding->purpose, strlen(binding->purpose));
	add_number(aad, 8, (uint64_t) binding->created_at);
}

size_t
wrap_by_hand(int wrapping, const MtWrapBinding *binding,
			 const unsigned char nonce[MT_NONCE_BYTES], const unsigned char *key,
			 size_t length, unsigned char *out)
{
	Bytes		header = {.length = 0};
	Bytes		aad;

	add_number(&header, 1, 1);
	add_number(&header, 1, 1);
	add_number(&header, 8, sealer_ids[wrapping]);
	memcpy(out, header.data, header.length);
	memcpy(out + 10, nonce, MT_NONCE_BYTES);
	make_binding(header.data, binding, &aad);
	run_gcm(true, sealer_secrets[wrapping], nonce, &aad, key, length, out + 22, out + 22 + length);
	return length + 38;
}

bool
unwrap_by_hand(const MtWrapBinding *binding, const unsigned char *wrapped,
			   size_t length, unsigned char *key, size_t *key_length)
{
	unsigned char tag[MT_TAG_BYTES];
	int			wrapping;
	Bytes		aad;

	if (length < 39 || length > 38 + 1024 || wrapped[0] != 1 || wrapped[1] != 1)
		return false;
	wrapping = find_sealer_key(number_at(wrapped + 2));
	if (wrapping < 0)
		return false;
	*key_length = length - 38;
	memcpy(tag, wrapped + length - MT_TAG_BYTES, MT_TAG_BYTES);
	make_binding(wrapped, binding, &aad);
	return run_gcm(false, sealer_secrets[wrapping], wrapped + 10, &aad, wrapped + 22,
				   *key_length, key, tag);
}
