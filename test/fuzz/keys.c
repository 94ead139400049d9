/*
 * keys.c
 *	  Fuzzes what keys are made of: PEM texts and secrets.
 *
 * fuzzes: src/crypto/signature.c
 * needs: test/fuzz/signer.c test/fuzz/model.c src/crypto/jws.c
 *
 * Every input is taken as a PEM text for each algorithm and as a secret. The
 * mutator also changes the DER inside of a PEM block and the block's name.
 *
 * Kept for every input: one algorithm at most accepts a PEM text, the same
 * when asked again; what is accepted is, as OpenSSL's own reader sees it, one
 * public key of the right type, size and curve; it verifies a fixed key's
 * signature exactly if it is that key. A secret is accepted by its length
 * alone, unless it is a PEM text, and computes OpenSSL's HMAC.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "property.h"
#include "signer.h"

/* The longest input of interest: a little more than a PEM text may have. */
#define LONGEST_PEM (MT_KEY_MAX_PEM + 64)

#define BEGIN "-----BEGIN "

static const char sample[] = "eyJhbGciOiJub25lIn0.e30";

static unsigned char sample_signatures[SIGNER_COUNT][MT_JWS_MAX_SIGNATURE];
static size_t sample_lengths[SIGNER_COUNT];

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	make_signers();
	for (int i = 0; i < SIGNER_COUNT; i++)
		sample_lengths[i] = sign_text(&signers[i], sample, strlen(sample),
									  sample_signatures[i]);
	return 0;
}

/* ---- properties ---- */

/* Beginnings of PEM blocks, wherever they stand. */
static int
count_blocks(const char *text, size_t length)
{
	const char *end = text + length;
	int			count = 0;

	while ((text = memmem(text, (size_t) (end - text), BEGIN, strlen(BEGIN))) != NULL)
	{
		text += strlen(BEGIN);
		count++;
	}
	return count;
}

/* Does the point fulfil the equation of P-256? */
static bool
is_on_p256(EVP_PKEY *pkey)
{
	EC_GROUP   *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT   *point = EC_POINT_new(group);
	BIGNUM	   *x = NULL;
	BIGNUM	   *y = NULL;
	bool		is_on;

	is_on = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
		EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
		EC_POINT_set_affine_coordinates(group, point, x, y, NULL) == 1;
	BN_free(x);
	BN_free(y);
	EC_POINT_free(point);
	EC_GROUP_free(group);
	return is_on;
}

/* Is the exponent of an RSA key odd and not 1? */
static bool
is_odd_exponent(EVP_PKEY *pkey)
{
	BIGNUM	   *e = NULL;
	bool		is_odd;

	is_odd = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
		BN_is_odd(e) && !BN_is_one(e);
	BN_free(e);
	return is_odd;
}

/* Bytes of what is inside of the PEM block. */
static long
der_length_of(const char *pem, size_t length)
{
	BIO		   *bio = BIO_new_mem_buf(pem, (int) length);
	unsigned char *der = NULL;
	long		der_length = 0;

	PEM_bytes_read_bio(&der, &der_length, NULL, PEM_STRING_PUBLIC, bio, NULL,
					   NULL);
	OPENSSL_free(der);
	BIO_free(bio);
	return der_length;
}

/* Is it a key that the algorithm may use, as OpenSSL's PEM reader sees it? */
static void
check_accepted(MtAlgorithm algorithm, MtVerifyKey *key, const char *pem,
			   size_t length)
{
	static const char *const types[] = {"ED25519", "EC", "RSA"};
	BIO		   *bio = BIO_new_mem_buf(pem, (int) length);
	EVP_PKEY   *pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	Signer	   *signer = &signers[algorithm];
	char		curve[64] = "";

	PROPERTY(algorithm != MT_ALG_HS256, "HS256 has no public key");
	PROPERTY(pkey != NULL, "OpenSSL reads what was accepted");
	PROPERTY(count_blocks(pem, length) == 1, "one PEM block is accepted, not two");
	PROPERTY(memmem(pem, length, "PRIVATE KEY-----", 16) == NULL,
			 "no private key is accepted");
	PROPERTY(EVP_PKEY_is_a(pkey, types[algorithm]), "the key is of its type");
	PROPERTY(MtVerifyKeyAlgorithm(key) == algorithm, "the key has its algorithm");
	if (algorithm == MT_ALG_RS256)
		PROPERTY(EVP_PKEY_get_bits(pkey) >= MT_KEY_MIN_RSA_BITS &&
				 EVP_PKEY_get_bits(pkey) <= MT_KEY_MAX_RSA_BITS &&
				 is_odd_exponent(pkey),
				 "an RSA key has 2048 to 8192 bits and a sound exponent");
	if (algorithm == MT_ALG_ES256)
	{
		EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), NULL);
		PROPERTY(strcmp(curve, SN_X9_62_prime256v1) == 0 && is_on_p256(pkey),
				 "an EC key is a point of P-256");
		PROPERTY(der_length_of(pem, length) <= 91,
				 "its curve is named, not spelled out");
	}
	PROPERTY((MtSignatureVerify(key, MtAlgorithmName(algorithm), sample,
								strlen(sample), sample_signatures[algorithm],
								sample_lengths[algorithm]) == MT_VERIFY_OK) ==
			 (EVP_PKEY_eq(pkey, signer->pkey) == 1),
			 "the key is the one in the text");
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	ERR_clear_error();
}

static void
check_pem(const char *pem, size_t length)
{
	int			accepted = 0;

	for (int i = 0; i < SIGNER_COUNT; i++)
	{
		MtAlgorithm algorithm = (MtAlgorithm) i;
		MtVerifyKey *key = (MtVerifyKey *) &accepted;
		MtVerifyKey *again = NULL;
		MtKeyStatus status = MtVerifyKeyFromPem(algorithm, pem, length, &key);

		PROPERTY(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
		PROPERTY((status == MT_KEY_OK) == (key != NULL),
				 "there is a key exactly if it was accepted");
		PROPERTY(status != MT_KEY_INTERNAL, "no input is an internal error");
		PROPERTY(MtKeyStatusText(status)[0] != '\0', "every status has a text");
		/* OpenSSL takes a millisecond, so one of them is asked twice */
		if (i == (int) (length % SIGNER_COUNT))
			PROPERTY(MtVerifyKeyFromPem(algorithm, pem, length, &again) == status,
					 "the same text gives the same answer");
		MtVerifyKeyFree(again);
		if (status == MT_KEY_OK)
		{
			accepted++;
			check_accepted(algorithm, key, pem, length);
		}
		MtVerifyKeyFree(key);
	}
	PROPERTY(accepted <= 1, "a key is for one algorithm");
}

static void
check_secret(const unsigned char *secret, size_t length)
{
	MtVerifyKey *key = NULL;
	MtKeyStatus status = MtVerifyKeyFromSecret(secret, length, &key);
	MtKeyStatus expected = MT_KEY_OK;
	unsigned char mac[32];

	if (length > 0 && memmem(secret, length, BEGIN, strlen(BEGIN)) != NULL)
		expected = MT_KEY_SECRET_IS_PEM;
	else if (length < MT_KEY_MIN_SECRET)
		expected = MT_KEY_SECRET_TOO_SHORT;
	else if (length > MT_KEY_MAX_SECRET)
		expected = MT_KEY_SECRET_TOO_LONG;
	PROPERTY(status == expected && (key != NULL) == (status == MT_KEY_OK),
			 "a secret is judged by its length and by not being PEM");
	PROPERTY(MtKeyStatusText(status)[0] != '\0', "every status has a text");
	PROPERTY(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
	if (key == NULL)
		return;
	HMAC(EVP_sha256(), secret, (int) length, (const unsigned char *) sample,
		 strlen(sample), mac, NULL);
	PROPERTY(MtSignatureVerify(key, "HS256", sample, strlen(sample), mac,
							   sizeof(mac)) == MT_VERIFY_OK,
			 "the secret's own HMAC is accepted");
	mac[secret[0] % sizeof(mac)] ^= 1;
	PROPERTY(MtSignatureVerify(key, "HS256", sample, strlen(sample), mac,
							   sizeof(mac)) == MT_VERIFY_BAD,
			 "another one is not");
	MtVerifyKeyFree(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy;

	if (size > LONGEST_PEM)
		return 0;
	copy = malloc(size);
	if (size > 0)
		memcpy(copy, data, size);
	check_pem(copy, size);
	check_secret((unsigned char *) copy, size);
	free(copy);
	return 0;
}

/* ---- mutation ---- */

/* Mutates the DER of the first block and writes that block alone. */
static size_t
mutate_block(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static const char *const names[] = {
		"PUBLIC KEY", "PUBLIC KEY", "PUBLIC KEY", "PUBLIC KEY", "PUBLIC KEY",
		"RSA PUBLIC KEY", "PRIVATE KEY", "EC PARAMETERS", "CERTIFICATE"
	};
	static unsigned char der[LONGEST_PEM];
	BIO		   *in = BIO_new_mem_buf(data, (int) size);
	BIO		   *out = BIO_new(BIO_s_mem());
	char	   *name = NULL;
	char	   *header = NULL;
	unsigned char *block = NULL;
	char	   *text;
	long		length = 0;

	if (PEM_read_bio(in, &name, &header, &block, &length) == 1 &&
		(size_t) length <= sizeof(der))
	{
		memcpy(der, block, (size_t) length);
		length = (long) LLVMFuzzerMutate(der, (size_t) length,
										 sizeof(der) * 3 / 4);
		PEM_write_bio(out, names[seed % (sizeof(names) / sizeof(names[0]))],
					  "", der, length);
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(block);
	length = BIO_get_mem_data(out, &text);
	if (length > 0 && (size_t) length <= max_size)
	{
		memcpy(data, text, (size_t) length);
		size = (size_t) length;
	}
	else
		size = LLVMFuzzerMutate(data, size, max_size);
	BIO_free(in);
	BIO_free(out);
	ERR_clear_error();
	return size;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
						unsigned seed)
{
	if (seed % 4 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	return mutate_block(data, size, max_size, seed / 4);
}
