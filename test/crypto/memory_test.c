/*
 * memory_test.c
 *	  OpenSSL runs out of memory at every single allocation. Prints TAP.
 *
 * Build and run, from the top directory:
 *
 *	cc -std=c99 -Wall -Wextra -O2 -Isrc test/crypto/memory_test.c \
 *		src/crypto/jws.c src/crypto/signature.c -lcrypto -o memory_test && ./memory_test
 *
 * For every operation of signature.c the first allocation fails, then the
 * second, and so on until none does. Whatever fails, a key is either complete
 * or not there, no signature becomes valid by it, a key that failed once works
 * again when there is memory, and nothing is left behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/signature.h"

#include "allocator.h"
#include "tap.h"

#define TEXT "header.payload"

/* How many allocations are left before one fails. */
static long until_failure = -1; /* negative: none fails */
static bool has_failed = false;

static unsigned char secret[32] = "a secret of thirty-two bytes ...";
static EVP_PKEY *pkeys[3];
static char *pems[3];
static unsigned char signatures[4][512];
static size_t signature_lengths[4];

/* ---- OpenSSL's allocator ---- */

static bool
may_allocate(void)
{
	if (until_failure < 0)
		return true;
	if (until_failure > 0)
	{
		until_failure--;
		return true;
	}
	/* only one fails, so that what follows a failure is seen, too */
	until_failure = -1;
	has_failed = true;
	return false;
}

/* ---- keys and signatures to work with ---- */

/* r || s out of DER. */
static void
make_raw_ecdsa(unsigned char *signature, size_t *length)
{
	const unsigned char *der = signature;
	ECDSA_SIG  *sig = d2i_ECDSA_SIG(NULL, &der, (long) *length);

	if (sig == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, 32) != 32 ||
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + 32, 32) != 32)
		bail_out("cannot convert an ECDSA signature");
	*length = 64;
	ECDSA_SIG_free(sig);
}

static void
make_material(void)
{
	unsigned	mac_length;

	pkeys[0] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	pkeys[1] = EVP_EC_gen("P-256");
	pkeys[2] = EVP_RSA_gen(2048);
	for (int i = 0; i < 3; i++)
	{
		BIO		   *bio = BIO_new(BIO_s_mem());
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		char	   *text;
		long		length;

		signature_lengths[i] = sizeof(signatures[i]);
		if (PEM_write_bio_PUBKEY(bio, pkeys[i]) != 1 ||
			EVP_DigestSignInit_ex(ctx, NULL, i == 0 ? NULL : "SHA256", NULL, NULL,
								  pkeys[i], NULL) != 1 ||
			EVP_DigestSign(ctx, signatures[i], &signature_lengths[i],
						   (const unsigned char *) TEXT, strlen(TEXT)) != 1)
			bail_out("cannot make a key or a signature");
		length = BIO_get_mem_data(bio, &text);
		pems[i] = calloc(1, (size_t) length + 1);
		memcpy(pems[i], text, (size_t) length);
		BIO_free(bio);
		EVP_MD_CTX_free(ctx);
	}
	make_raw_ecdsa(signatures[1], &signature_lengths[1]);
	HMAC(EVP_sha256(), secret, sizeof(secret), (const unsigned char *) TEXT,
		 strlen(TEXT), signatures[3], &mac_length);
	signature_lengths[3] = mac_length;
}

static void
free_material(void)
{
	for (int i = 0; i < 3; i++)
	{
		EVP_PKEY_free(pkeys[i]);
		free(pems[i]);
	}
}

static MtKeyStatus
load(MtAlgorithm algorithm, MtVerifyKey **key)
{
	return algorithm == MT_ALG_HS256 ?
		MtVerifyKeyFromSecret(secret, sizeof(secret), key) :
		MtVerifyKeyFromPem(algorithm, pems[algorithm], strlen(pems[algorithm]), key);
}

static MtVerifyStatus
verify(MtAlgorithm algorithm, MtVerifyKey *key, bool is_genuine)
{
	const char *text = is_genuine ? TEXT : "header.forgery";

	return MtSignatureVerify(key, MtAlgorithmName(algorithm), text, strlen(text),
							 signatures[algorithm], signature_lengths[algorithm]);
}

/* ---- the tests ---- */

/* Is the status one that a lack of memory may have? */
static bool
is_failure_of_memory(MtKeyStatus status)
{
	/*
	 * OpenSSL does not tell a lack of memory from a broken text, and an RSA
	 * key that it cannot read has 0 bits.
	 */
	return status == MT_KEY_INTERNAL || status == MT_KEY_NOT_PEM ||
		status == MT_KEY_INVALID || status == MT_KEY_WRONG_TYPE ||
		status == MT_KEY_TOO_SMALL;
}

static void
test_loading(MtAlgorithm algorithm)
{
	const char *name = MtAlgorithmName(algorithm);
	int			failures = 0;
	int			internal = 0;
	int			wrong = 0;
	int			leaks = 0;
	bool		is_over = false;

	for (long n = 0; !is_over && n < 100000; n++)
	{
		long		before = 0;

		/* Once may fill a cache of OpenSSL's; what grows every time leaks. */
		for (int i = 0; i < 3; i++)
		{
			MtVerifyKey *key = NULL;
			MtKeyStatus status;

			before = held;
			has_failed = false;
			until_failure = n;
			status = load(algorithm, &key);
			until_failure = -1;
			is_over = !has_failed;
			if ((status == MT_KEY_OK) != (key != NULL) ||
				(status != MT_KEY_OK && (is_over || !is_failure_of_memory(status))) ||
				(key != NULL && (verify(algorithm, key, true) != MT_VERIFY_OK ||
								 verify(algorithm, key, false) != MT_VERIFY_BAD)))
				wrong++;
			failures += status != MT_KEY_OK;
			internal += status == MT_KEY_INTERNAL;
			MtVerifyKeyFree(key);
			if (ERR_peek_error() != 0)
				bail_out("OpenSSL's error queue is not empty");
		}
		leaks += held > before;
	}
	ok(is_over && failures > 0 && internal > 0,
	   "%s: a key is not loaded without memory", name);
	ok(wrong == 0, "%s: it is complete, or it is not there and the status says why", name);
	ok(leaks == 0, "%s: nothing of it is left behind", name);
}

static void
test_verifying(MtAlgorithm algorithm, bool is_genuine)
{
	const char *name = MtAlgorithmName(algorithm);
	const char *what = is_genuine ? "genuine" : "forged";
	MtVerifyKey *key = NULL;
	int			wrong = 0;
	int			broken = 0;
	int			leaks = 0;
	bool		is_over = false;

	if (load(algorithm, &key) != MT_KEY_OK)
		bail_out("cannot load a key");
	for (long n = 0; !is_over && n < 100000; n++)
	{
		long		before = 0;

		for (int i = 0; i < 3; i++)
		{
			MtVerifyStatus status;

			before = held;
			has_failed = false;
			until_failure = n;
			status = verify(algorithm, key, is_genuine);
			until_failure = -1;
			is_over = !has_failed;
			if (is_over && status != (is_genuine ? MT_VERIFY_OK : MT_VERIFY_BAD))
				wrong++;
			if (!is_genuine && status == MT_VERIFY_OK)
				wrong++;
			if (ERR_peek_error() != 0)
				bail_out("OpenSSL's error queue is not empty");
			if (verify(algorithm, key, true) != MT_VERIFY_OK ||
				verify(algorithm, key, false) != MT_VERIFY_BAD)
				broken++;
		}
		leaks += held > before;
	}
	MtVerifyKeyFree(key);
	ok(is_over && wrong == 0, "%s: a %s signature does not become another without memory", name, what);
	ok(broken == 0, "%s: the key works again after a %s one met a lack of memory", name, what);
	ok(leaks == 0, "%s: nothing is left behind by a %s one", name, what);
}

int
main(void)
{
	if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
		bail_out("OpenSSL has allocated already");
	make_material();
	for (int i = 0; i < 4; i++)
	{
		test_loading((MtAlgorithm) i);
		test_verifying((MtAlgorithm) i, true);
		test_verifying((MtAlgorithm) i, false);
	}
	free_material();
	printf("1..%d\n", test_count);
	return failure_count > 0;
}
