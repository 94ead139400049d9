/*
 * cipher_test.c
 *	  Tests of the ciphers of envelope encryption, without a server. Prints TAP.
 *
 * Build and run, from the top directory:
 *
 *	cc -std=c99 -Wall -Wextra -O2 -Isrc test/crypto/cipher_test.c \
 *		src/crypto/cipher.c -lcrypto -o cipher_test && ./cipher_test
 *
 * Vectors are those of "The Galois/Counter Mode of Operation" (McGrew, Viega),
 * NIST's CAVP (gcmEncryptExtIV256), RFC 4231, RFC 5869 and project Wycheproof
 * (aes_siv_cmac_test). RFC 5297 has vectors for 128-bit keys only: they are kept
 * by a second SIV in this file, written as the RFC is, which then tells what ours
 * has to be for every length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "crypto/cipher.h"

#include "tap.h"

#define LONGEST 5000

/* ---- bytes ---- */

typedef struct Bytes
{
	unsigned char data[LONGEST];
	size_t		length;
} Bytes;

static const Bytes *
from_hex(const char *hex, Bytes *out)
{
	out->length = 0;
	for (; hex[0] != '\0'; hex += 2)
	{
		unsigned	byte;

		if (sscanf(hex, "%2x", &byte) != 1)
			bail_out("a vector is no hexadecimal");
		out->data[out->length++] = (unsigned char) byte;
	}
	return out;
}

static bool
is_hex(const unsigned char *data, size_t length, const char *hex)
{
	Bytes		expected;

	from_hex(hex, &expected);
	return length == expected.length && memcmp(data, expected.data, length) == 0;
}

/* Bytes that look random and are the same in every run. */
static void
fill(unsigned char *data, size_t length, unsigned seed)
{
	for (size_t i = 0; i < length; i++)
	{
		seed = seed * 1103515245u + 12345u;
		data[i] = (unsigned char) (seed >> 16);
	}
}

static bool
is_filled_with(const unsigned char *data, size_t length, unsigned char byte)
{
	for (size_t i = 0; i < length; i++)
		if (data[i] != byte)
			return false;
	return true;
}

/* ---- GCM ---- */

static MtCipherStatus
gcm_seal(MtGcm *gcm, const unsigned char *nonce, const void *aad, size_t aad_length,
		 const void *in, size_t length, void *out, unsigned char *tag)
{
	if (MtGcmSealBegin(gcm, nonce, aad, aad_length, NULL, 0) != MT_CIPHER_OK ||
		MtGcmUpdate(gcm, in, length, out) != MT_CIPHER_OK)
		return MT_CIPHER_INTERNAL;
	return MtGcmSealEnd(gcm, tag);
}

static MtCipherStatus
gcm_open(MtGcm *gcm, const unsigned char *nonce, const void *aad, size_t aad_length,
		 const void *in, size_t length, void *out, const unsigned char *tag)
{
	if (MtGcmOpenBegin(gcm, nonce, aad, aad_length, NULL, 0) != MT_CIPHER_OK ||
		MtGcmUpdate(gcm, in, length, out) != MT_CIPHER_OK)
		return MT_CIPHER_INTERNAL;
	return MtGcmOpenEnd(gcm, tag);
}

typedef struct GcmVector
{
	const char *source;
	const char *key;
	const char *nonce;
	const char *aad;
	const char *plain;
	const char *sealed;
	const char *tag;
} GcmVector;

#define ZEROS_16 "00000000000000000000000000000000"
#define GCM_KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define GCM_PLAIN "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_SEALED "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const GcmVector gcm_vectors[] = {
	{"test case 13", ZEROS_16 ZEROS_16, "000000000000000000000000", "", "", "",
	"530f8afbc74536b9a963b4f1c4cb738b"},
	{"test case 14", ZEROS_16 ZEROS_16, "000000000000000000000000", "", ZEROS_16,
	"cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{"test case 15", GCM_KEY, "cafebabefacedbaddecaf888", "", GCM_PLAIN "1aafd255",
	GCM_SEALED "898015ad", "b094dac5d93471bdec1a502270e3cc6c"},
	{"test case 16", GCM_KEY, "cafebabefacedbaddecaf888",
		"feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_PLAIN, GCM_SEALED,
	"76fc6ece0f4e1768cddf8853bb2d551b"},
	{"CAVP, nothing at all",
		"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
	"516c33929df5a3284ff463d7", "", "", "", "bdc1ac884d332457a1d2664f168c76f0"},
	{"CAVP, associated data only",
		"78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
		"d79cf22d504cc793c3fb6c8a", "b96baa8c1c75a671bfb2d08d06be5f36", "", "",
	"3e5d486aa2e30b22e040b85723a06e76"},
	{"CAVP, text only",
		"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
		"0d18e06c7c725ac9e362e1ce", "", "2db5168e932556f8089a0622981d017d",
	"fa4362189661d163fcd6a56d8bf0405a", "d636ac1bbedd5cc3ee727dc2ab4a9489"},
	{"CAVP, both",
		"92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b",
		"ac93a1a6145299bde902f21a", "1e0889016f67601c8ebea4943bc23ad6",
		"2d71bcfa914e4ac045b2aa60955fad24", "8995ae2e6df3dbf96fac7b7137bae67f",
	"eca5aa77d51d4a0a14d9c51e1da474ab"},
};

#define GCM_VECTOR_COUNT (sizeof(gcm_vectors) / sizeof(gcm_vectors[0]))

static void
test_gcm_vectors(void)
{
	for (size_t i = 0; i < GCM_VECTOR_COUNT; i++)
	{
		const GcmVector *v = &gcm_vectors[i];
		Bytes		key,
					nonce,
					aad,
					plain,
					sealed;
		unsigned char out[LONGEST];
		unsigned char tag[MT_TAG_BYTES];
		MtGcm	   *gcm = MtGcmCreate(from_hex(v->key, &key)->data);

		from_hex(v->nonce, &nonce);
		from_hex(v->aad, &aad);
		from_hex(v->plain, &plain);
		from_hex(v->sealed, &sealed);
		ok(gcm_seal(gcm, nonce.data, aad.data, aad.length, plain.data, plain.length,
					out, tag) == MT_CIPHER_OK &&
		   is_hex(out, plain.length, v->sealed) && is_hex(tag, sizeof(tag), v->tag),
		   "GCM seals: %s", v->source);
		ok(gcm_open(gcm, nonce.data, aad.data, aad.length, sealed.data, sealed.length,
					out, tag) == MT_CIPHER_OK &&
		   memcmp(out, plain.data, plain.length) == 0, "GCM opens: %s", v->source);
		MtGcmFree(gcm);
	}
}

/* What comes before a message, ended or not, makes no difference to it. */
static void
test_gcm_messages(void)
{
	unsigned char key[MT_SECRET_BYTES];
	unsigned char nonce[2][MT_NONCE_BYTES];
	unsigned char plain[LONGEST];
	unsigned char expected[LONGEST];
	unsigned char out[LONGEST];
	unsigned char tag[MT_TAG_BYTES];
	unsigned char expected_tag[MT_TAG_BYTES];
	MtGcm	   *gcm;
	int			wrong = 0;

	fill(key, sizeof(key), 1);
	fill(nonce[0], sizeof(nonce), 2);
	fill(plain, sizeof(plain), 3);
	gcm = MtGcmCreate(key);
	gcm_seal(gcm, nonce[0], "ab", 2, plain, LONGEST, expected, expected_tag);

	for (size_t piece = 1; piece <= LONGEST; piece = piece * 3 + 1)
		for (int is_open = 0; is_open < 2; is_open++)
		{
			const unsigned char *in = is_open ? expected : plain;

			memset(out, 0, sizeof(out));
			if ((is_open ? MtGcmOpenBegin : MtGcmSealBegin)
				(gcm, nonce[0], "ab", 2, NULL, 0) != MT_CIPHER_OK)
				wrong++;
			for (size_t at = 0; at < LONGEST; at += piece)
				if (MtGcmUpdate(gcm, in + at, at + piece <= LONGEST ? piece : LONGEST - at,
								out + at) != MT_CIPHER_OK ||
					MtGcmUpdate(gcm, NULL, 0, NULL) != MT_CIPHER_OK)
					wrong++;
			if (is_open)
				wrong += MtGcmOpenEnd(gcm, expected_tag) != MT_CIPHER_OK ||
					memcmp(out, plain, LONGEST) != 0;
			else
				wrong += MtGcmSealEnd(gcm, tag) != MT_CIPHER_OK ||
					memcmp(out, expected, LONGEST) != 0 ||
					memcmp(tag, expected_tag, sizeof(tag)) != 0;
		}
	ok(wrong == 0, "GCM: a text in pieces is the text in one piece");

	wrong = 0;
	for (int first = 0; first < 2; first++)
		for (size_t fed = 0; fed < 40; fed += 13)
		{
			(first ? MtGcmOpenBegin : MtGcmSealBegin) (gcm, nonce[1], "x", 1, "yz", 2);
			MtGcmUpdate(gcm, plain, fed, out);
			wrong += gcm_seal(gcm, nonce[0], "ab", 2, plain, LONGEST, out, tag) != MT_CIPHER_OK ||
				memcmp(out, expected, LONGEST) != 0 ||
				memcmp(tag, expected_tag, sizeof(tag)) != 0;
			(first ? MtGcmOpenBegin : MtGcmSealBegin) (gcm, nonce[1], "x", 1, "yz", 2);
			MtGcmUpdate(gcm, plain, fed, out);
			wrong += gcm_open(gcm, nonce[0], "ab", 2, expected, LONGEST, out, expected_tag) != MT_CIPHER_OK ||
				memcmp(out, plain, LONGEST) != 0;
		}
	ok(wrong == 0, "GCM: a message that was not ended is forgotten");

	wrong = 0;
	for (size_t cut = 0; cut <= 2; cut++)
		wrong += MtGcmSealBegin(gcm, nonce[0], "ab", cut, &"ab"[cut], 2 - cut) != MT_CIPHER_OK ||
			MtGcmUpdate(gcm, plain, LONGEST, out) != MT_CIPHER_OK ||
			MtGcmSealEnd(gcm, tag) != MT_CIPHER_OK ||
			memcmp(out, expected, LONGEST) != 0 ||
			memcmp(tag, expected_tag, sizeof(tag)) != 0;
	ok(wrong == 0, "GCM: both parts of the associated data are one");

	memcpy(out, plain, LONGEST);
	ok(gcm_seal(gcm, nonce[0], "ab", 2, out, LONGEST, out, tag) == MT_CIPHER_OK &&
	   memcmp(out, expected, LONGEST) == 0 &&
	   gcm_open(gcm, nonce[0], "ab", 2, out, LONGEST, out, tag) == MT_CIPHER_OK &&
	   memcmp(out, plain, LONGEST) == 0, "GCM: in place");
	MtGcmFree(gcm);
	MtGcmFree(NULL);
}

/* Calls in another order are refused, and the next message works. */
static void
test_gcm_misuse(void)
{
	unsigned char key[MT_SECRET_BYTES] = {1};
	unsigned char nonce[MT_NONCE_BYTES] = {2};
	unsigned char out[64];
	unsigned char tag[MT_TAG_BYTES] = {0};
	MtGcm	   *gcm = MtGcmCreate(key);

#define REFUSED(call) ((call) == MT_CIPHER_INTERNAL && ERR_peek_error() == 0)

	ok(REFUSED(MtGcmUpdate(gcm, "a", 1, out)) && REFUSED(MtGcmSealEnd(gcm, tag)) &&
	   REFUSED(MtGcmOpenEnd(gcm, tag)), "GCM: nothing without a beginning");
	ok(gcm_seal(gcm, nonce, NULL, 0, "abc", 3, out, tag) == MT_CIPHER_OK &&
	   REFUSED(MtGcmUpdate(gcm, "a", 1, out)) && REFUSED(MtGcmSealEnd(gcm, tag)),
	   "GCM: nothing after the end, a nonce serves once");
	ok(MtGcmSealBegin(gcm, nonce, NULL, 0, NULL, 0) == MT_CIPHER_OK &&
	   REFUSED(MtGcmOpenEnd(gcm, tag)) &&
	   MtGcmOpenBegin(gcm, nonce, NULL, 0, NULL, 0) == MT_CIPHER_OK &&
	   REFUSED(MtGcmSealEnd(gcm, tag)), "GCM: what is sealed is not opened, nor the reverse");
	ok(MtGcmSealBegin(gcm, nonce, NULL, 0, NULL, 0) == MT_CIPHER_OK &&
	   REFUSED(MtGcmUpdate(gcm, "secret", 6, NULL)) && REFUSED(MtGcmSealEnd(gcm, tag)),
	   "GCM: a text with no place to go is not taken for associated data");
	ok(gcm_seal(gcm, nonce, NULL, 0, "abc", 3, out, tag) == MT_CIPHER_OK &&
	   gcm_open(gcm, nonce, NULL, 0, out, 3, out, tag) == MT_CIPHER_OK &&
	   memcmp(out, "abc", 3) == 0, "GCM: works after all that");
	MtGcmFree(gcm);
}

/* Every bit of everything; after each refusal the right one opens. */
static void
test_gcm_bits(void)
{
	/* key, nonce, associated data, sealed text, tag */
	unsigned char all[MT_SECRET_BYTES + MT_NONCE_BYTES + 21 + 37 + MT_TAG_BYTES];
	unsigned char *nonce = all + MT_SECRET_BYTES;
	unsigned char *aad = nonce + MT_NONCE_BYTES;
	unsigned char *sealed = aad + 21;
	unsigned char *tag = sealed + 37;
	unsigned char plain[37];
	unsigned char out[37];
	MtGcm	   *gcm;
	int			accepted = 0;
	int			broken = 0;
	int			errors = 0;

	fill(all, sizeof(all), 4);
	fill(plain, sizeof(plain), 5);
	gcm = MtGcmCreate(all);
	gcm_seal(gcm, nonce, aad, 21, plain, 37, sealed, tag);
	for (size_t bit = 0; bit < 8 * sizeof(all); bit++)
	{
		MtGcm	   *used = gcm;

		all[bit / 8] ^= (unsigned char) (1u << bit % 8);
		if (bit < 8 * MT_SECRET_BYTES)
			used = MtGcmCreate(all);
		accepted += gcm_open(used, nonce, aad, 21, sealed, 37, out, tag) != MT_CIPHER_FORGED;
		errors += ERR_peek_error() != 0;
		all[bit / 8] ^= (unsigned char) (1u << bit % 8);
		if (used != gcm)
			MtGcmFree(used);
		broken += gcm_open(gcm, nonce, aad, 21, sealed, 37, out, tag) != MT_CIPHER_OK ||
			memcmp(out, plain, 37) != 0;
	}
	ok(accepted == 0, "GCM: one bit changed in key, nonce, associated data, text or tag is refused");
	ok(broken == 0, "GCM: after each refusal the right one opens");
	ok(errors == 0, "GCM: no refusal leaves an error behind");
	ok(gcm_open(gcm, nonce, aad, 20, sealed, 37, out, tag) == MT_CIPHER_FORGED &&
	   gcm_open(gcm, nonce, aad, 21, sealed, 36, out, tag) == MT_CIPHER_FORGED &&
	   gcm_open(gcm, nonce, aad, 21, sealed, 0, out, tag) == MT_CIPHER_FORGED,
	   "GCM: what is shorter is refused");
	MtGcmFree(gcm);
}

/* ---- SIV as RFC 5297 writes it, slowly, for keys of 16 or 32 bytes ---- */

static const EVP_CIPHER *
block_cipher(int key_bytes)
{
	return key_bytes == 16 ? EVP_aes_128_ecb() : EVP_aes_256_ecb();
}

static void
model_block(const unsigned char *key, int key_bytes, const unsigned char *in,
			unsigned char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			length;

	if (EVP_EncryptInit_ex(ctx, block_cipher(key_bytes), NULL, key, NULL) != 1 ||
		EVP_CIPHER_CTX_set_padding(ctx, 0) != 1 ||
		EVP_EncryptUpdate(ctx, out, &length, in, 16) != 1)
		bail_out("no AES");
	EVP_CIPHER_CTX_free(ctx);
}

/* OpenSSL's CMAC. */
static void
model_cmac(const unsigned char *key, int key_bytes, const unsigned char *data,
		   size_t length, unsigned char *out)
{
	EVP_MAC    *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	char		cipher[32];
	OSSL_PARAM	params[2];
	size_t		out_length;

	snprintf(cipher, sizeof(cipher), "AES-%d-CBC", 8 * key_bytes);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (EVP_MAC_init(ctx, key, (size_t) key_bytes, params) != 1 ||
		(length > 0 && EVP_MAC_update(ctx, data, length) != 1) ||
		EVP_MAC_final(ctx, out, &out_length, 16) != 1 || out_length != 16)
		bail_out("no CMAC");
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

static void
model_double(unsigned char *block)
{
	bool		carry = (block[0] & 0x80) != 0;

	for (int i = 0; i < 16; i++)
		block[i] = (unsigned char) (block[i] << 1 | (i < 15 ? block[i + 1] >> 7 : 0));
	if (carry)
		block[15] ^= 0x87;
}

/* Seals under a key of both halves; any number of associated data. */
static void
model_siv(const unsigned char *key, int key_bytes, const Bytes *const *aads,
		  int aad_count, const unsigned char *plain, size_t length,
		  unsigned char *out, unsigned char *tag)
{
	static const unsigned char zero[16];
	static unsigned char last[LONGEST + 16];
	unsigned char sum[16];
	unsigned char block[16];
	unsigned char counter[16];

	model_cmac(key, key_bytes, zero, 16, sum);
	for (int i = 0; i < aad_count; i++)
	{
		model_cmac(key, key_bytes, aads[i]->data, aads[i]->length, block);
		model_double(sum);
		for (int j = 0; j < 16; j++)
			sum[j] ^= block[j];
	}
	memset(last, 0, 16);
	memcpy(last, plain, length);
	if (length < 16)
	{
		last[length] = 0x80;
		model_double(sum);
	}
	for (size_t j = 0; j < 16; j++)
		last[(length < 16 ? 0 : length - 16) + j] ^= sum[j];
	model_cmac(key, key_bytes, last, length < 16 ? 16 : length, tag);

	memcpy(counter, tag, 16);
	counter[8] &= 0x7F;
	counter[12] &= 0x7F;
	for (size_t i = 0; i < length; i++)
	{
		if (i % 16 == 0)
		{
			model_block(key + key_bytes, key_bytes, counter, block);
			for (int j = 15; j >= 0 && ++counter[j] == 0; j--)
				;
		}
		out[i] = plain[i] ^ block[i % 16];
	}
}

static void
test_model(void)
{
	Bytes		key,
				plain,
				aads[3];
	const Bytes *pointers[3] = {&aads[0], &aads[1], &aads[2]};
	unsigned char out[64];
	unsigned char tag[16];

	from_hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", &key);
	from_hex("101112131415161718191a1b1c1d1e1f2021222324252627", &aads[0]);
	from_hex("112233445566778899aabbccddee", &plain);
	model_siv(key.data, 16, pointers, 1, plain.data, plain.length, out, tag);
	ok(is_hex(tag, 16, "85632d07c6e8f37f950acd320a2ecc93") &&
	   is_hex(out, plain.length, "40c02b9690c4dc04daef7f6afe5c"), "the second SIV: RFC 5297 A.1");

	from_hex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f", &key);
	from_hex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100", &aads[0]);
	from_hex("102030405060708090a0", &aads[1]);
	from_hex("09f911029d74e35bd84156c5635688c0", &aads[2]);
	from_hex("7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553", &plain);
	model_siv(key.data, 16, pointers, 3, plain.data, plain.length, out, tag);
	ok(is_hex(tag, 16, "7bdb6e3b432667eb06f4d14bff2fbd0f") &&
	   is_hex(out, plain.length, "cb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"),
	   "the second SIV: RFC 5297 A.2");
}

/* ---- SIV ---- */

typedef struct SivVector
{
	int			number;			/* tcId */
	const char *key;
	const char *aad;
	const char *plain;
	const char *sealed;			/* tag, text */
} SivVector;

#define COUNTED_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" \
	"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

static const SivVector siv_vectors[] = {
	{296, "bc7635c1fd566aa8357fd103714bfaee1c9e5b3c578b3980401a981030254a54"
		"b1756a8c96e600b7252fd0aab12f39d115d256b3f3e7c2c41a7fece72ba7c3c4",
	"", "", "44b1c6fe8a8c07dee5377b161f283c31"},
	{297, "aff6388fdd2908e0c3b610e3dcd410c8146a268d6befd5c45ffdd23508b5b311"
		"cc3a9d8f838f456436b289018682151dd57d8d65d1a823c06eca8ab8ee01da01",
	"d0bb2949a411e22d32964526", "", "e288d802a0e56ed7544a2e5775459389"},
	{301, "eef6bcf16ef7ae17326a33f22d1406ec1bd3f866505f4b2e4fe8b45bd62ccbd8"
		"5032a9899facf2db0c93a2345cb8892afb74db549781211dd8881a8c8e25c171",
		"e941d15fadebaf4671e0e3d6d835f87bfb1cc7028f149930daa69c3de446c423", "",
	"b754ecb55c1e124de0c8a973d033bd7f"},
	{302, "c25cafc6018b98dfbb79a40ec89c575a4f88c4116489bba27707479800c01302"
		"35334a45dbe8d8dae3da8dcb45bbe5dce031b0f68ded544fda7eca30d6749442",
		"deeb0ccf3aef47a296ed1ca8f4ae5907", "beec61030fa3d670337196beade6aeaa",
	"5865208eab9163db85cab9f96d846234a2626aae22f5c17c9aad4b501f4416e4"},
	{303, "27faf97fb303aa4f2f364edd23997f4c77b8e51ebb8293c59dfb1d24f0fb629f"
		"6c820fc2d91bf48f0035eeec347e37ec4fb0cb36102bcdc5a248c47a2f97eab9",
		"cc94f64e14df90265f7f12a8a0386d0a",
		"6b1db0f5a43376885002dc98bd556f1dac9b66b66213a9fa6069df995a123384",
		"d0016d675b49f11ea873707412d45709"
	"b7703a028a0cfc312cf61cbe22b91e3cf20b7d4c9308ee15f18b4eba00889284"},
	{305, "e2c5662bb18fbb411d0304e4241db073fe60a4704fee290073513038a22b4cd5"
		"42580b2b4edbc37e3de01c0cb61abcad46986cdc491ce9e5ae5af223ff58b953",
	"fab912dec29a34aabfaef176", "0d", "1c6969ecb15741a9959b7a8492250e391a"},
	{319, "2a93a0c37797bee0c344b9ceed1a609813d8c5ee686d260f3aa6fc2f66dc59f4"
		"00479d1dfe04e89e6df608a3f699ff1cb4e9bf24a78fb2dfddaa0011a2e40208",
		"6ae54f41ac52baf2f89abe8e", "3fc3bf53bb485c9edcb1d25adb4ca0",
	"2d344a54038a857f47e0c77eb0834538aaf01e61a8ac82c0012f9dac6f15ef"},
	{320, "139383f3f82dc78e0b380027f9e5fcd2ed23716404be5c554452e4dc73d23702"
		"6594491820c6b8297185cc1fa84f49a5c7d7cd05c5de090ff1c3397bc2740437",
		"d39da73ffc03ad0a9213ffc7", "48604944a80fadf50d55b87727934458c8",
	"a9cf73951cb39823777f35c96c845169476e2ec2317cb6b8dd8b6172fdceabff9d"},
	{324, "72a76714e0171e8213de624f00e273bc900050e69d25c454cc42b61e8b3fbc92"
		"d4942e1ae14421e164046c1479a7b9c9f4b50b382cb62dfeaa210b98dec7d937",
		"6a8aaf2c84003e0e6f409658",
		"92d8f4dc7d41e8b180d66e8994022db79249cdc76fd7f3ea12d9925b51925250"
		"cd75a15fcfd78ea85c57fe6196f8d7545086f99ea796a0ea69170db994420043"
		"5d9d3d551943892400ce787f703c1105",
		"69f720f36b0da86ec8cc0f46d62835dc"
		"b35ac23f5b891152d861c4e0f0018f19d272ee8b12d83300bfd46aeec0124d5d"
		"23b3cb849c1cab1fdf64b70947ebf79f5442e209076dfa9a3f36ab0a6d3cf4a7"
	"5ddfcdc21837743b20885db4c803ac27"},
	{326, COUNTED_KEY, "000102030405060708090a0b0c0d0e0f",
		"bfa1733d07afa03cb3f2eeb81bbde037",
	"000000000000000000000000000000004ce637d6ca9cdf1c2feb0d140865cddb"},
	{327, COUNTED_KEY, "", "72543a9a07a3c18a280060653432c05c",
	"ffffffffffffffffffffffffffffffff3db09cc48f2780859351901d1014ae06"},
	{329, COUNTED_KEY, "", "ff4d7cdeb8f3c4e37a05a91ee26e2a84",
	"ffffffffffffffffffffffff7fffffffb0a9da80307785ecc1545966c64844de"},
	{332, COUNTED_KEY, "000102030405060708090a0b0c0d0e0f",
		"5cabb261dd19c72368c8d40c5aae007d",
	"ffffffffffffffff7fffffffffffffff134f143f559d862cd39924747e886e27"},
};

#define SIV_VECTOR_COUNT (sizeof(siv_vectors) / sizeof(siv_vectors[0]))

static void
test_siv_vectors(void)
{
	for (size_t i = 0; i < SIV_VECTOR_COUNT; i++)
	{
		const SivVector *v = &siv_vectors[i];
		Bytes		key,
					aad,
					plain,
					sealed;
		unsigned char out[MT_TAG_BYTES + LONGEST];
		MtSiv	   *siv;

		from_hex(v->key, &key);
		from_hex(v->aad, &aad);
		from_hex(v->plain, &plain);
		from_hex(v->sealed, &sealed);
		siv = MtSivCreate(key.data, key.data + MT_SECRET_BYTES, aad.data, aad.length);
		ok(MtSivSeal(siv, NULL, 0, plain.data, plain.length, out + MT_TAG_BYTES, out) == MT_CIPHER_OK &&
		   is_hex(out, MT_TAG_BYTES + plain.length, v->sealed) &&
		   MtSivOpen(siv, NULL, 0, sealed.data + MT_TAG_BYTES, plain.length, out, sealed.data) == MT_CIPHER_OK &&
		   memcmp(out, plain.data, plain.length) == 0, "SIV: Wycheproof %d", v->number);
		MtSivFree(siv);
	}
}

/* Where OpenSSL has its own SIV, what it makes of a text that is not empty. */
static bool
openssl_siv(const unsigned char *key, const Bytes *aad, const Bytes *context,
			const unsigned char *plain, size_t length, unsigned char *out,
			unsigned char *tag)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			n;
	bool		is_done;

	is_done = cipher != NULL &&
		EVP_EncryptInit_ex2(ctx, cipher, key, NULL, NULL) == 1 &&
		EVP_EncryptUpdate(ctx, NULL, &n, aad->data, (int) aad->length) == 1 &&
		(context == NULL ||
		 EVP_EncryptUpdate(ctx, NULL, &n, context->data, (int) context->length) == 1) &&
		EVP_EncryptUpdate(ctx, out, &n, plain, (int) length) == 1 &&
		EVP_EncryptFinal_ex(ctx, out + length, &n) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MT_TAG_BYTES, tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(cipher);
	ERR_clear_error();
	return is_done;
}

/* Sizes around those of blocks, and of what is fed at a time. */
static const size_t sizes[] = {
	127, 128, 129, 255, 256, 257, 1008, 1023, 1024, 1025, 1039, 1040, 1041, 1055, 1056,
	1057, 2047, 2048, 2049, 2064, 2065, 4095, 4096, 4097, LONGEST
};

#define SIZE_COUNT (101 + sizeof(sizes) / sizeof(sizes[0]))

static size_t
size_of_case(size_t i)
{
	return i <= 100 ? i : sizes[i - 101];
}

/* One text, with and without a context, against the model and OpenSSL's own. */
static void
check_siv(size_t length, const Bytes *aad, const Bytes *context, int *wrong,
		  int *openssl_count)
{
	unsigned char key[2 * MT_SECRET_BYTES];

	/* exactly as long as the text, for the address sanitizer to see */
	unsigned char *plain = malloc(length + 1);
	unsigned char *out = malloc(length + 1);
	unsigned char *expected = malloc(length + 16);
	unsigned char tag[MT_TAG_BYTES];
	unsigned char expected_tag[MT_TAG_BYTES];
	const Bytes *aads[2] = {aad, context};
	MtSiv	   *siv;

	fill(key, sizeof(key), (unsigned) length);
	fill(plain, length, 7 + (unsigned) length);
	siv = MtSivCreate(key, key + MT_SECRET_BYTES, aad->data, aad->length);
	/* again and again with one object */
	for (int i = 0; i < 2; i++)
	{
		model_siv(key, MT_SECRET_BYTES, aads, context == NULL ? 1 : 2, plain, length,
				  expected, expected_tag);
		*wrong += MtSivSeal(siv, context == NULL ? NULL : context->data,
							context == NULL ? 0 : context->length, plain, length, out,
							tag) != MT_CIPHER_OK ||
			memcmp(tag, expected_tag, sizeof(tag)) != 0 ||
			memcmp(out, expected, length) != 0;
		memset(out, 0, length);
		*wrong += MtSivOpen(siv, context == NULL ? NULL : context->data,
							context == NULL ? 0 : context->length, expected, length, out,
							tag) != MT_CIPHER_OK ||
			memcmp(out, plain, length) != 0;
		*wrong += MtSivOpen(siv, context == NULL ? (const void *) "" : NULL, 0, expected,
							length, out, tag) != MT_CIPHER_FORGED ||
			!is_filled_with(out, length, 0);
	}
	/* empty texts, and empty data before 3.0.10, OpenSSL's own gets wrong */
	if (length > 0 && aad->length > 0 && (context == NULL || context->length > 0) &&
		openssl_siv(key, aad, context, plain, length, expected, expected_tag))
	{
		(*openssl_count)++;
		MtSivSeal(siv, context == NULL ? NULL : context->data,
				  context == NULL ? 0 : context->length, plain, length, out, tag);
		*wrong += memcmp(tag, expected_tag, sizeof(tag)) != 0 ||
			memcmp(out, expected, length) != 0;
	}
	MtSivFree(siv);
	free(plain);
	free(out);
	free(expected);
}

static void
test_siv_sizes(void)
{
	static Bytes aad;
	static Bytes context;
	int			wrong = 0;
	int			openssl_count = 0;

	fill(aad.data, LONGEST, 8);
	fill(context.data, LONGEST, 9);
	for (size_t i = 0; i < SIZE_COUNT; i++)
	{
		aad.length = 48;
		context.length = 5;
		check_siv(size_of_case(i), &aad, NULL, &wrong, &openssl_count);
		check_siv(size_of_case(i), &aad, &context, &wrong, &openssl_count);
	}
	ok(wrong == 0, "SIV: texts of 0 to 100 bytes and of %d around blocks are as RFC 5297 has them",
	   (int) SIZE_COUNT - 101);

	wrong = 0;
	for (size_t i = 0; i < SIZE_COUNT; i++)
	{
		aad.length = size_of_case(i);
		context.length = 3;
		check_siv(24, &aad, NULL, &wrong, &openssl_count);
		aad.length = 48;
		context.length = size_of_case(i);
		check_siv(24, &aad, &context, &wrong, &openssl_count);
	}
	ok(wrong == 0, "SIV: so are associated data and contexts of those sizes, empty is not none");
	printf("# OpenSSL's own SIV was asked %d times\n", openssl_count);
}

static void
test_siv_bits(void)
{
	/* both keys, associated data, context, sealed text, tag */
	unsigned char all[2 * MT_SECRET_BYTES + 21 + 9 + 37 + MT_TAG_BYTES];
	unsigned char *ctr_key = all + MT_SECRET_BYTES;
	unsigned char *aad = ctr_key + MT_SECRET_BYTES;
	unsigned char *context = aad + 21;
	unsigned char *sealed = context + 9;
	unsigned char *tag = sealed + 37;
	unsigned char plain[37];
	unsigned char out[37];
	MtSiv	   *siv;
	int			accepted = 0;
	int			broken = 0;
	int			left = 0;

	fill(all, sizeof(all), 10);
	fill(plain, sizeof(plain), 11);
	siv = MtSivCreate(all, ctr_key, aad, 21);
	MtSivSeal(siv, context, 9, plain, 37, sealed, tag);
	for (size_t bit = 0; bit < 8 * sizeof(all); bit++)
	{
		MtSiv	   *used = siv;

		all[bit / 8] ^= (unsigned char) (1u << bit % 8);
		if (bit < 8 * (2 * MT_SECRET_BYTES + 21))
			used = MtSivCreate(all, ctr_key, aad, 21);
		memset(out, 0xA5, sizeof(out));
		accepted += MtSivOpen(used, context, 9, sealed, 37, out, tag) != MT_CIPHER_FORGED;
		left += !is_filled_with(out, sizeof(out), 0) || ERR_peek_error() != 0;
		all[bit / 8] ^= (unsigned char) (1u << bit % 8);
		if (used != siv)
			MtSivFree(used);
		broken += MtSivOpen(siv, context, 9, sealed, 37, out, tag) != MT_CIPHER_OK ||
			memcmp(out, plain, 37) != 0;
	}
	ok(accepted == 0, "SIV: one bit changed in keys, associated data, context, text or tag is refused");
	ok(left == 0, "SIV: a refusal leaves nothing of the text");
	ok(broken == 0, "SIV: after each refusal the right one opens");
	ok(MtSivOpen(siv, context, 8, sealed, 37, out, tag) == MT_CIPHER_FORGED &&
	   MtSivOpen(siv, NULL, 0, sealed, 37, out, tag) == MT_CIPHER_FORGED &&
	   MtSivOpen(siv, context, 9, sealed, 36, out, tag) == MT_CIPHER_FORGED &&
	   MtSivOpen(siv, context, 9, NULL, 0, NULL, tag) == MT_CIPHER_FORGED,
	   "SIV: what is shorter is refused");
	MtSivFree(siv);
	MtSivFree(NULL);
}

/* ---- HMAC, derivation, randomness ---- */

typedef struct MacVector
{
	const char *source;
	const char *key;			/* filled up with zeros, as HMAC does */
	const char *data;
	const char *mac;
} MacVector;

#define TWENTY(byte) byte byte byte byte byte byte byte byte byte byte \
	byte byte byte byte byte byte byte byte byte byte

static const MacVector mac_vectors[] = {
	{"RFC 4231 case 1", TWENTY("0b"), "4869205468657265",
	"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"RFC 4231 case 2", "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"RFC 4231 case 3", TWENTY("aa"), TWENTY("dd") TWENTY("dd") "dddddddddddddddddddd",
	"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"RFC 4231 case 4", "0102030405060708090a0b0c0d0e0f10111213141516171819",
		TWENTY("cd") TWENTY("cd") "cdcdcdcdcdcdcdcdcdcd",
	"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	/* of the 42 bytes of output the first 32: one block, of info and 01 */
	{"RFC 5869 case 1", "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
		"f0f1f2f3f4f5f6f7f8f901",
	"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"},
	{"RFC 5869 case 3", "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
	"01", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"},
};

#define MAC_VECTOR_COUNT (sizeof(mac_vectors) / sizeof(mac_vectors[0]))

static void
test_mac(void)
{
	unsigned char out[MT_MAC_BYTES];
	unsigned char again[MT_MAC_BYTES];
	static unsigned char data[LONGEST];
	MtMac	   *mac;
	int			wrong = 0;

	for (size_t i = 0; i < MAC_VECTOR_COUNT; i++)
	{
		const MacVector *v = &mac_vectors[i];
		Bytes		key,
					text;

		memset(&key, 0, sizeof(key));
		mac = MtMacCreate(from_hex(v->key, &key)->data);
		from_hex(v->data, &text);
		ok(MtMacCompute(mac, text.data, text.length, out) == MT_CIPHER_OK &&
		   is_hex(out, sizeof(out), v->mac) &&
		   MtMacCompute(mac, text.data, text.length, again) == MT_CIPHER_OK &&
		   memcmp(out, again, sizeof(out)) == 0, "HMAC: %s", v->source);
		MtMacFree(mac);
	}

	fill(data, sizeof(data), 12);
	mac = MtMacCreate(data);
	for (size_t length = 0; length <= LONGEST; length = length < 130 ? length + 1 : length * 2)
	{
		unsigned	expected_length;
		unsigned char expected[EVP_MAX_MD_SIZE];

		if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, data, MT_SECRET_BYTES, data, length,
					  expected, sizeof(expected), NULL) == NULL)
			bail_out("no HMAC");
		expected_length = MT_MAC_BYTES;
		wrong += MtMacCompute(mac, length == 0 ? NULL : data, length, out) != MT_CIPHER_OK ||
			memcmp(out, expected, expected_length) != 0;
	}
	ok(wrong == 0, "HMAC: of texts of every length it is OpenSSL's");
	MtMacFree(mac);
	MtMacFree(NULL);
}

/* OpenSSL's HKDF-Expand. */
static void
openssl_expand(const unsigned char *secret, const unsigned char *info, size_t info_length,
			   unsigned char *out)
{
	EVP_KDF    *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	char		digest[] = "SHA256";
	int			mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM	params[5];

	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) secret, MT_SECRET_BYTES);
	params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) info, info_length);
	params[4] = OSSL_PARAM_construct_end();
	if (EVP_KDF_derive(ctx, out, MT_SECRET_BYTES, params) != 1)
		bail_out("no HKDF");
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void
test_derivation(void)
{
	static const char *const purposes[] = {"", "card", "a purpose of sixty-three bytes, the longest name a server has.."};
	static const char *const usages[] = {"gcm", "siv-mac", "siv-ctr", "bidx", "kcv"};
	unsigned char secret[MT_SECRET_BYTES];
	unsigned char tenant[MT_TENANT_BYTES];
	unsigned char out[5][3][MT_SECRET_BYTES];
	unsigned char kcv[MT_KCV_BYTES];
	int			wrong = 0;
	int			same = 0;

	for (int i = 0; i < MT_SECRET_BYTES; i++)
		secret[i] = (unsigned char) i;
	for (int i = 0; i < MT_TENANT_BYTES; i++)
		tenant[i] = (unsigned char) (0x10 + i);
	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 3; j++)
		{
			unsigned char expected[MT_SECRET_BYTES];
			unsigned char info[256];
			int			length = snprintf((char *) info, sizeof(info), "multitenant/v1/%s", usages[i]) + 1;

			memcpy(info + length, tenant, MT_TENANT_BYTES);
			memcpy(info + length + MT_TENANT_BYTES, purposes[j], strlen(purposes[j]));
			openssl_expand(secret, info, (size_t) length + MT_TENANT_BYTES + strlen(purposes[j]), expected);
			wrong += MtDeriveSecret(secret, usages[i], tenant, purposes[j], out[i][j]) != MT_CIPHER_OK ||
				memcmp(out[i][j], expected, sizeof(expected)) != 0;
			for (int k = 0; k < 3 * i + j; k++)
				same += memcmp(out[k / 3][k % 3], out[i][j], MT_SECRET_BYTES) == 0;
		}
	ok(wrong == 0, "derived secrets are those of OpenSSL's HKDF-Expand");
	ok(same == 0, "each usage and purpose has its own");

	/* computed by Python's hmac: the format may not change */
	ok(is_hex(out[0][1], MT_SECRET_BYTES, "a2e51b2a7bae7a2d3fe638795a1a1e8a58367ea11003937bd9d6466618517f8a") &&
	   is_hex(out[1][0], MT_SECRET_BYTES, "b595ae5a9c7ed83c7669362f41150bb8b3bf625624c618074b8d5e41900d2ef2"),
	   "derived secrets are as they always were");
	ok(MtKeyCheckValue(secret, kcv) == MT_CIPHER_OK && is_hex(kcv, sizeof(kcv), "c0bdf255ee05c169"),
	   "so is the key check value");

	same = 0;
	for (size_t bit = 0; bit < 8 * MT_SECRET_BYTES; bit++)
	{
		unsigned char other[MT_KCV_BYTES];

		secret[bit / 8] ^= (unsigned char) (1u << bit % 8);
		MtKeyCheckValue(secret, other);
		same += memcmp(kcv, other, sizeof(kcv)) == 0;
		secret[bit / 8] ^= (unsigned char) (1u << bit % 8);
	}
	ok(same == 0, "a secret with one bit changed has another check value");
}

static void
test_randomness(void)
{
	unsigned char random[64][MT_SECRET_BYTES];
	int			same = 0;
	unsigned char memory[10];
	unsigned char *all;

	for (int i = 0; i < 64; i++)
	{
		if (!MtRandomSecret(random[i], MT_SECRET_BYTES))
			bail_out("no randomness");
		for (int j = 0; j < i; j++)
			same += memcmp(random[i], random[j], MT_SECRET_BYTES) == 0;
	}
	ok(same == 0, "random secrets differ");

	memset(memory, 0xA5, sizeof(memory));
	ok(MtRandomSecret(memory, 0) && is_filled_with(memory, sizeof(memory), 0xA5),
	   "no bytes are no bytes");
	MtWipe(memory + 1, 8);
	MtWipe(NULL, 0);
	ok(memory[0] == 0xA5 && memory[9] == 0xA5 && is_filled_with(memory + 1, 8, 0),
	   "what is wiped is zero, and nothing else");

	/* more than one request of the generator */
	all = malloc(100000);
	memset(all, 0, 100000);
	ok(MtRandomSecret(all, 100000) && !is_filled_with(all + 90000, 10000, 0), "many random bytes");
	free(all);
}

int
main(void)
{
	ok(MtCipherInit() && MtCipherInit(), "ready, and again");
	test_gcm_vectors();
	test_gcm_messages();
	test_gcm_misuse();
	test_gcm_bits();
	test_model();
	test_siv_vectors();
	test_siv_sizes();
	test_siv_bits();
	test_mac();
	test_derivation();
	test_randomness();
	ok(ERR_peek_error() == 0, "no error is left behind");
	printf("1..%d\n", test_count);
	fflush(stdout);				/* a sanitizer may end the program before */
	return failure_count > 0;
}
