/*
 * cipher.c
 *	  The ciphers of envelope encryption, on OpenSSL 3.
 *
 * Owns how OpenSSL is called. What is fetched from its providers is fetched
 * once in a process and stays; what holds a key belongs to an object, whose
 * owner frees it. Keeps one invariant: after anything but MT_CIPHER_OK an
 * object has no message under way, and works again with the next one.
 *
 * Only failures clear OpenSSL's error queue: it would cost a quarter of a short
 * value, and what succeeds puts nothing there.
 */
#include "crypto/cipher.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#define BLOCK_BYTES 16			/* of AES */

/* OpenSSL counts in int; a multiple of the block. */
#define LONGEST_STEP (1 << 30)

/* Bytes of CBC that are thrown away at a time. */
#define SCRATCH_BYTES 1024

static EVP_CIPHER *gcm_cipher = NULL;
static EVP_CIPHER *cbc_cipher = NULL;
static EVP_CIPHER *ctr_cipher = NULL;
static EVP_MAC *hmac = NULL;

/* What a failing function returns; leaves no error behind. */
static MtCipherStatus
failed(MtCipherStatus status)
{
	ERR_clear_error();
	return status;
}

static bool
fetch_cipher(EVP_CIPHER **cipher, const char *name)
{
	if (*cipher == NULL)
		*cipher = EVP_CIPHER_fetch(NULL, name, NULL);
	return *cipher != NULL;
}

bool
MtCipherInit(void)
{
	if (hmac != NULL)
		return true;			/* the last one */
	if (fetch_cipher(&gcm_cipher, "AES-256-GCM") &&
		fetch_cipher(&cbc_cipher, "AES-256-CBC") &&
		fetch_cipher(&ctr_cipher, "AES-256-CTR"))
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	ERR_clear_error();
	return hmac != NULL;
}

/* A context that keeps the key, waiting for an IV; NULL where OpenSSL fails. */
static EVP_CIPHER_CTX *
keyed_context(const EVP_CIPHER *cipher, const unsigned char *secret)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx != NULL && EVP_EncryptInit_ex2(ctx, cipher, secret, NULL, NULL) != 1)
	{
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

/* Feeds any number of bytes; out is NULL for associated data of GCM. */
static bool
feed(EVP_CIPHER_CTX *ctx, const void *in, size_t length, void *out)
{
	const unsigned char *from = in;
	unsigned char *to = out;

	while (length > 0)
	{
		int			step = length < LONGEST_STEP ? (int) length : LONGEST_STEP;
		int			done = 0;

		if (EVP_CipherUpdate(ctx, to, &done, from, step) != 1 || done != step)
			return false;
		from += step;
		if (to != NULL)
			to += step;
		length -= (size_t) step;
	}
	return true;
}

/* ---- AES-256-GCM ---- */

typedef enum GcmState
{
	GCM_IDLE = 0,
	GCM_SEALING,
	GCM_OPENING
} GcmState;

/* One context serves both directions: they have one key schedule. */
struct MtGcm
{
	EVP_CIPHER_CTX *ctx;
	GcmState	state;
	unsigned char tag[MT_TAG_BYTES];
	OSSL_PARAM	tag_params[2];	/* of the tag above; cheaper than a control */
};

MtGcm *
MtGcmCreate(const unsigned char secret[MT_SECRET_BYTES])
{
	MtGcm	   *gcm = MtCipherInit() ? OPENSSL_zalloc(sizeof(MtGcm)) : NULL;

	if (gcm != NULL)
	{
		gcm->tag_params[0] =
			OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG,
											  gcm->tag, MT_TAG_BYTES);
		gcm->tag_params[1] = OSSL_PARAM_construct_end();
		gcm->ctx = keyed_context(gcm_cipher, secret);
		if (gcm->ctx != NULL)
			return gcm;
	}
	MtGcmFree(gcm);
	ERR_clear_error();
	return NULL;
}

void
MtGcmFree(MtGcm *gcm)
{
	if (gcm == NULL)
		return;
	EVP_CIPHER_CTX_free(gcm->ctx);	/* wipes the key schedule */
	OPENSSL_clear_free(gcm, sizeof(*gcm));
}

/* Forgets the message under way. */
static MtCipherStatus
gcm_failed(MtGcm *gcm, MtCipherStatus status)
{
	gcm->state = GCM_IDLE;
	return failed(status);
}

static MtCipherStatus
gcm_begin(MtGcm *gcm, GcmState state, const unsigned char *nonce,
		  const void *aad, size_t aad_length,
		  const void *more_aad, size_t more_length)
{
	int			result;

	if (state == GCM_SEALING)
		result = EVP_EncryptInit_ex2(gcm->ctx, NULL, NULL, nonce, NULL);
	else
		result = EVP_DecryptInit_ex2(gcm->ctx, NULL, NULL, nonce, NULL);
	if (result != 1 || !feed(gcm->ctx, aad, aad_length, NULL) ||
		!feed(gcm->ctx, more_aad, more_length, NULL))
		return gcm_failed(gcm, MT_CIPHER_INTERNAL);
	gcm->state = state;
	return MT_CIPHER_OK;
}

MtCipherStatus
MtGcmSealBegin(MtGcm *gcm, const unsigned char nonce[MT_NONCE_BYTES],
			   const void *aad, size_t aad_length,
			   const void *more_aad, size_t more_length)
{
	return gcm_begin(gcm, GCM_SEALING, nonce, aad, aad_length, more_aad,
					 more_length);
}

MtCipherStatus
MtGcmOpenBegin(MtGcm *gcm, const unsigned char nonce[MT_NONCE_BYTES],
			   const void *aad, size_t aad_length,
			   const void *more_aad, size_t more_length)
{
	return gcm_begin(gcm, GCM_OPENING, nonce, aad, aad_length, more_aad,
					 more_length);
}

MtCipherStatus
MtGcmUpdate(MtGcm *gcm, const void *in, size_t length, void *out)
{
	/*
	 * Security: without a place to go, OpenSSL takes a text for associated
	 * data.
	 */
	if (gcm->state == GCM_IDLE || (out == NULL && length > 0) ||
		!feed(gcm->ctx, in, length, out))
		return gcm_failed(gcm, MT_CIPHER_INTERNAL);
	return MT_CIPHER_OK;
}

MtCipherStatus
MtGcmSealEnd(MtGcm *gcm, unsigned char tag[MT_TAG_BYTES])
{
	unsigned char none[BLOCK_BYTES];
	int			length = 0;

	if (gcm->state != GCM_SEALING ||
		EVP_EncryptFinal_ex(gcm->ctx, none, &length) != 1 ||
		EVP_CIPHER_CTX_get_params(gcm->ctx, gcm->tag_params) != 1)
		return gcm_failed(gcm, MT_CIPHER_INTERNAL);
	gcm->state = GCM_IDLE;
	memcpy(tag, gcm->tag, MT_TAG_BYTES);
	return MT_CIPHER_OK;
}

/* OpenSSL compares the tags, in constant time, and does not say why it failed. */
MtCipherStatus
MtGcmOpenEnd(MtGcm *gcm, const unsigned char tag[MT_TAG_BYTES])
{
	unsigned char none[BLOCK_BYTES];
	int			length = 0;

	if (gcm->state != GCM_OPENING)
		return gcm_failed(gcm, MT_CIPHER_INTERNAL);
	memcpy(gcm->tag, tag, MT_TAG_BYTES);
	if (EVP_CIPHER_CTX_set_params(gcm->ctx, gcm->tag_params) != 1)
		return gcm_failed(gcm, MT_CIPHER_INTERNAL);
	if (EVP_DecryptFinal_ex(gcm->ctx, none, &length) != 1)
		return gcm_failed(gcm, MT_CIPHER_FORGED);
	gcm->state = GCM_IDLE;
	return MT_CIPHER_OK;
}

/* ---- AES-256-SIV ---- */

/*
 * OpenSSL's own SIV takes ten times as long, refuses an empty text and a second
 * message. This one is RFC 5297: S2V of CMAC (NIST SP 800-38B) by CBC, and CTR.
 */
struct MtSiv
{
	EVP_CIPHER_CTX *mac;		/* CBC, from an IV of zeros */
	EVP_CIPHER_CTX *ctr;
	unsigned char whole_mask[BLOCK_BYTES];	/* on a last block that is full */
	unsigned char padded_mask[BLOCK_BYTES]; /* on one that is not */
	unsigned char prefix[BLOCK_BYTES];	/* S2V up to the key's own data */
	unsigned char scratch[SCRATCH_BYTES];
};

static const unsigned char zeros[BLOCK_BYTES];

/* Doubles in the field of RFC 5297 section 2.3. */
static void
double_block(unsigned char *block)
{
	unsigned	carry = block[0] >> 7;

	for (int i = 0; i < BLOCK_BYTES - 1; i++)
		block[i] = (unsigned char) ((block[i] << 1 | block[i + 1] >> 7) & 0xFF);
	block[BLOCK_BYTES - 1] = (unsigned char)
		((block[BLOCK_BYTES - 1] << 1 ^ carry * 0x87) & 0xFF);
}

static void
xor_block(unsigned char *block, const unsigned char *other)
{
	for (int i = 0; i < BLOCK_BYTES; i++)
		block[i] ^= other[i];
}

/*
 * CMAC of some bytes; with a block to xor into their end ("xorend"), of which
 * there must be room then.
 *
 * CBC works on whole blocks, so that OpenSSL holds nothing back: its padding is
 * never asked for.
 */
static bool
compute_cmac(MtSiv *siv, const void *data, size_t length,
			 const unsigned char *end, unsigned char out[BLOCK_BYTES])
{
	const unsigned char *from = data;
	unsigned char tail[2 * BLOCK_BYTES];
	unsigned char *last = tail;
	size_t		tail_length = length;
	bool		is_done;

	/* the last full block belongs to the tail, for its end and for its mask */
	if (length >= BLOCK_BYTES)
		tail_length = BLOCK_BYTES + length % BLOCK_BYTES;
	length -= tail_length;
	is_done = EVP_EncryptInit_ex2(siv->mac, NULL, NULL, zeros, NULL) == 1;
	while (is_done && length > 0)
	{
		size_t		step = length < SCRATCH_BYTES ? length : SCRATCH_BYTES;

		is_done = feed(siv->mac, from, step, siv->scratch);
		from += step;
		length -= step;
	}
	if (!is_done)
		return false;

	if (tail_length > 0)
		memcpy(tail, from, tail_length);
	if (end != NULL)
		xor_block(tail + tail_length - BLOCK_BYTES, end);
	if (tail_length == BLOCK_BYTES)
		xor_block(last, siv->whole_mask);
	else
	{
		if (tail_length > BLOCK_BYTES)
			last += BLOCK_BYTES;
		tail[tail_length] = 0x80;
		memset(tail + tail_length + 1, 0,
			   (size_t) (last + BLOCK_BYTES - tail) - tail_length - 1);
		xor_block(last, siv->padded_mask);
	}
	is_done = feed(siv->mac, tail, (size_t) (last + BLOCK_BYTES - tail), tail);
	memcpy(out, last, BLOCK_BYTES);
	OPENSSL_cleanse(tail, sizeof(tail));
	return is_done;
}

/* The masks of CMAC, then S2V's first two steps: zeros and the key's own data. */
static bool
prepare_siv(MtSiv *siv, const void *aad, size_t aad_length)
{
	unsigned char block[BLOCK_BYTES];
	bool		is_done;

	if (EVP_EncryptInit_ex2(siv->mac, NULL, NULL, zeros, NULL) != 1 ||
		!feed(siv->mac, zeros, BLOCK_BYTES, siv->whole_mask))
		return false;
	double_block(siv->whole_mask);
	memcpy(siv->padded_mask, siv->whole_mask, BLOCK_BYTES);
	double_block(siv->padded_mask);

	is_done = compute_cmac(siv, zeros, BLOCK_BYTES, NULL, siv->prefix) &&
		compute_cmac(siv, aad, aad_length, NULL, block);
	double_block(siv->prefix);
	xor_block(siv->prefix, block);
	OPENSSL_cleanse(block, sizeof(block));
	return is_done;
}

MtSiv *
MtSivCreate(const unsigned char mac_secret[MT_SECRET_BYTES],
			const unsigned char ctr_secret[MT_SECRET_BYTES],
			const void *aad, size_t aad_length)
{
	MtSiv	   *siv = MtCipherInit() ? OPENSSL_zalloc(sizeof(MtSiv)) : NULL;

	if (siv != NULL)
	{
		siv->mac = keyed_context(cbc_cipher, mac_secret);
		siv->ctr = keyed_context(ctr_cipher, ctr_secret);
		if (siv->mac != NULL && siv->ctr != NULL &&
			prepare_siv(siv, aad, aad_length))
			return siv;
	}
	MtSivFree(siv);
	ERR_clear_error();
	return NULL;
}

void
MtSivFree(MtSiv *siv)
{
	if (siv == NULL)
		return;
	EVP_CIPHER_CTX_free(siv->mac);
	EVP_CIPHER_CTX_free(siv->ctr);
	OPENSSL_clear_free(siv, sizeof(*siv));
}

/* S2V of the key's own data, the context if there is one, and the text. */
static bool
compute_s2v(MtSiv *siv, const void *context, size_t context_length,
			const void *text, size_t length, unsigned char out[BLOCK_BYTES])
{
	unsigned char sum[BLOCK_BYTES];
	unsigned char block[BLOCK_BYTES];
	bool		is_done = true;

	memcpy(sum, siv->prefix, BLOCK_BYTES);
	if (context != NULL)
	{
		is_done = compute_cmac(siv, context, context_length, NULL, block);
		double_block(sum);
		xor_block(sum, block);
	}
	if (is_done && length >= BLOCK_BYTES)
		is_done = compute_cmac(siv, text, length, sum, out);
	else if (is_done)
	{
		double_block(sum);
		memset(block, 0, BLOCK_BYTES);
		if (length > 0)
			memcpy(block, text, length);
		block[length] = 0x80;
		xor_block(block, sum);
		is_done = compute_cmac(siv, block, BLOCK_BYTES, NULL, out);
	}
	OPENSSL_cleanse(sum, sizeof(sum));
	OPENSSL_cleanse(block, sizeof(block));
	return is_done;
}

/* En- or decrypts; the counter begins with the tag without its bits 31 and 63. */
static bool
apply_ctr(MtSiv *siv, const unsigned char *tag, const void *in, size_t length,
		  void *out)
{
	unsigned char counter[BLOCK_BYTES];

	memcpy(counter, tag, BLOCK_BYTES);
	counter[8] &= 0x7F;
	counter[12] &= 0x7F;
	return length == 0 ||
		(EVP_EncryptInit_ex2(siv->ctr, NULL, NULL, counter, NULL) == 1 &&
		 feed(siv->ctr, in, length, out));
}

MtCipherStatus
MtSivSeal(MtSiv *siv, const void *context, size_t context_length,
		  const void *in, size_t length, void *out,
		  unsigned char tag[MT_TAG_BYTES])
{
	unsigned char computed[MT_TAG_BYTES];

	if (!compute_s2v(siv, context, context_length, in, length, computed) ||
		!apply_ctr(siv, computed, in, length, out))
		return failed(MT_CIPHER_INTERNAL);
	memcpy(tag, computed, MT_TAG_BYTES);
	return MT_CIPHER_OK;
}

MtCipherStatus
MtSivOpen(MtSiv *siv, const void *context, size_t context_length,
		  const void *in, size_t length, void *out,
		  const unsigned char tag[MT_TAG_BYTES])
{
	unsigned char computed[MT_TAG_BYTES];
	MtCipherStatus status = MT_CIPHER_INTERNAL;

	if (apply_ctr(siv, tag, in, length, out) &&
		compute_s2v(siv, context, context_length, out, length, computed))
	{
		status = CRYPTO_memcmp(computed, tag, MT_TAG_BYTES) == 0 ?
			MT_CIPHER_OK : MT_CIPHER_FORGED;
		/* Security: it is the right tag of a text that was made up. */
		OPENSSL_cleanse(computed, sizeof(computed));
	}
	if (status == MT_CIPHER_OK)
		return status;
	MtWipe(out, length);
	return failed(status);
}

/* ---- HMAC-SHA256 ---- */

struct MtMac
{
	EVP_MAC_CTX *ctx;
};

MtMac *
MtMacCreate(const unsigned char secret[MT_SECRET_BYTES])
{
	MtMac	   *mac = MtCipherInit() ? OPENSSL_zalloc(sizeof(MtMac)) : NULL;
	char		digest[] = "SHA256";
	OSSL_PARAM	params[2];

	if (mac != NULL)
	{
		params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
													 digest, 0);
		params[1] = OSSL_PARAM_construct_end();
		mac->ctx = EVP_MAC_CTX_new(hmac);
		if (mac->ctx != NULL &&
			EVP_MAC_init(mac->ctx, secret, MT_SECRET_BYTES, params) == 1)
			return mac;
	}
	MtMacFree(mac);
	ERR_clear_error();
	return NULL;
}

void
MtMacFree(MtMac *mac)
{
	if (mac == NULL)
		return;
	EVP_MAC_CTX_free(mac->ctx); /* wipes the secret */
	OPENSSL_free(mac);
}

/* Without a key the context starts anew with the one it has. */
static bool
begin_mac(MtMac *mac)
{
	return EVP_MAC_init(mac->ctx, NULL, 0, NULL) == 1;
}

static bool
add_to_mac(MtMac *mac, const void *data, size_t length)
{
	return length == 0 || EVP_MAC_update(mac->ctx, data, length) == 1;
}

static bool
end_mac(MtMac *mac, unsigned char out[MT_MAC_BYTES])
{
	size_t		length = 0;

	return EVP_MAC_final(mac->ctx, out, &length, MT_MAC_BYTES) == 1 &&
		length == MT_MAC_BYTES;
}

MtCipherStatus
MtMacCompute(MtMac *mac, const void *data, size_t length,
			 unsigned char out[MT_MAC_BYTES])
{
	if (!begin_mac(mac) || !add_to_mac(mac, data, length) ||
		!end_mac(mac, out))
		return failed(MT_CIPHER_INTERNAL);
	return MT_CIPHER_OK;
}

/* ---- derivation, randomness ---- */

/*
 * One block of HKDF-Expand is one HMAC of the info and the byte 1. A new
 * MtMac's first message has begun.
 */
MtCipherStatus
MtDeriveSecret(const unsigned char secret[MT_SECRET_BYTES], const char *usage,
			   const unsigned char tenant[MT_TENANT_BYTES], const char *purpose,
			   unsigned char out[MT_SECRET_BYTES])
{
	static const char label[] = "multitenant/v1/";
	MtMac	   *mac = MtMacCreate(secret);
	bool		is_done;

	is_done = mac != NULL &&
		add_to_mac(mac, label, sizeof(label) - 1) &&
		add_to_mac(mac, usage, strlen(usage) + 1) &&
		add_to_mac(mac, tenant, MT_TENANT_BYTES) &&
		add_to_mac(mac, purpose, strlen(purpose)) &&
		add_to_mac(mac, "\x01", 1) &&
		end_mac(mac, out);
	MtMacFree(mac);
	if (is_done)
		return MT_CIPHER_OK;
	MtWipe(out, MT_SECRET_BYTES);
	return failed(MT_CIPHER_INTERNAL);
}

MtCipherStatus
MtKeyCheckValue(const unsigned char secret[MT_SECRET_BYTES],
				unsigned char kcv[MT_KCV_BYTES])
{
	unsigned char derived[MT_SECRET_BYTES];
	MtCipherStatus status = MtDeriveSecret(secret, "kcv", zeros, "", derived);

	memcpy(kcv, derived, MT_KCV_BYTES);
	MtWipe(derived, sizeof(derived));
	return status;
}

bool
MtRandomSecret(void *out, size_t length)
{
	if (RAND_priv_bytes_ex(NULL, out, length, 0) == 1)
		return true;
	MtWipe(out, length);
	ERR_clear_error();
	return false;
}

void
MtWipe(void *memory, size_t length)
{
	if (length > 0)
		OPENSSL_cleanse(memory, length);
}
