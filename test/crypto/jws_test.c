/*
 * jws_test.c
 *	  Tests of the token reader and of signatures, without a server. Prints TAP.
 *
 * Build and run, from the top directory:
 *
 *	cc -std=c99 -Wall -Wextra -O2 -Isrc test/crypto/jws_test.c \
 *		src/crypto/jws.c src/crypto/signature.c -lcrypto -o jws_test && ./jws_test
 *
 * With -g -fsanitize=address,undefined -fno-sanitize-recover=all the same
 * tests look for undefined behaviour. "jws_test --bench" measures instead.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/jws.h"
#include "crypto/signature.h"

#include "tap.h"

#define HEADER_ES256 "{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"tenant\":\"acme\",\"sub\":\"alice\",\"aud\":\"shop\"," \
	"\"iat\":1700000000,\"exp\":1700000060,\"jti\":\"6f1c\"}"

/* A key pair or secret to sign with, and the key to verify with. */
typedef struct Signer
{
	MtAlgorithm algorithm;
	EVP_PKEY   *pkey;
	unsigned char secret[32];
	char	   *public_pem;
	MtVerifyKey *key;
} Signer;

static Signer signers[4];

/* Appends base64url without padding to a string. */
static void
append_base64url(char *out, const void *data, size_t length)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *bytes = data;

	out += strlen(out);
	for (size_t i = 0; i < length; i += 3)
	{
		size_t		left = length - i;
		unsigned	bits = (unsigned) bytes[i] << 16;

		if (left > 1)
			bits |= (unsigned) bytes[i + 1] << 8;
		if (left > 2)
			bits |= bytes[i + 2];
		*out++ = digits[bits >> 18 & 63];
		*out++ = digits[bits >> 12 & 63];
		if (left > 1)
			*out++ = digits[bits >> 6 & 63];
		if (left > 2)
			*out++ = digits[bits & 63];
	}
	*out = '\0';
}

/* header.payload.signature out of their decoded parts. */
static void
assemble(char *token, const char *header, const char *payload,
		 const void *signature, size_t signature_length)
{
	token[0] = '\0';
	append_base64url(token, header, strlen(header));
	strcat(token, ".");
	append_base64url(token, payload, strlen(payload));
	strcat(token, ".");
	append_base64url(token, signature, signature_length);
}

/* r || s out of DER, both as OpenSSL's own types do it. */
static void
raw_ecdsa(const unsigned char *der, size_t length, unsigned char *raw)
{
	ECDSA_SIG  *sig = d2i_ECDSA_SIG(NULL, &der, (long) length);

	if (sig == NULL ||
		BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) != 32 ||
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) != 32)
		bail_out("cannot convert an ECDSA signature");
	ECDSA_SIG_free(sig);
}

/* Signs; ES256 as DER too, for the tests that want the wrong one. */
static size_t
sign(const Signer *signer, const char *text, unsigned char *signature,
	 bool as_der)
{
	EVP_MD_CTX *ctx;
	unsigned char buffer[1024];
	size_t		length = sizeof(buffer);
	unsigned	mac_length;

	if (signer->algorithm == MT_ALG_HS256)
	{
		HMAC(EVP_sha256(), signer->secret, sizeof(signer->secret),
			 (const unsigned char *) text, strlen(text), signature,
			 &mac_length);
		return mac_length;
	}

	ctx = EVP_MD_CTX_new();
	if (EVP_DigestSignInit_ex(ctx, NULL,
							  signer->algorithm == MT_ALG_EDDSA ? NULL : "SHA256",
							  NULL, NULL, signer->pkey, NULL) != 1 ||
		EVP_DigestSign(ctx, buffer, &length, (const unsigned char *) text,
					   strlen(text)) != 1)
		bail_out("cannot sign");
	EVP_MD_CTX_free(ctx);
	if (signer->algorithm == MT_ALG_ES256 && !as_der)
	{
		raw_ecdsa(buffer, length, signature);
		return 64;
	}
	memcpy(signature, buffer, length);
	return length;
}

static void
mint_parts(const Signer *signer, const char *header, const char *payload,
		   char *token)
{
	unsigned char signature[1024];
	char		input[8192];

	input[0] = '\0';
	append_base64url(input, header, strlen(header));
	strcat(input, ".");
	append_base64url(input, payload, strlen(payload));
	assemble(token, header, payload, signature,
			 sign(signer, input, signature, false));
}

static void
mint(const Signer *signer, char *token)
{
	char		header[128];

	sprintf(header, "{\"alg\":\"%s\",\"kid\":\"k1\",\"typ\":\"JWT\"}",
			MtAlgorithmName(signer->algorithm));
	mint_parts(signer, header, CLAIMS, token);
}

/* Parse and verify, as the server does. */
static MtVerifyStatus
verify(MtVerifyKey *key, const char *token, size_t length)
{
	static MtJws jws;
	MtVerifyStatus status;

	if (MtJwsParse(token, length, &jws) != MT_JWS_OK)
		return MT_VERIFY_BAD;
	status = MtSignatureVerify(key, jws.algorithm, jws.signing_input,
							   jws.signing_input_length, jws.signature,
							   jws.signature_length);
	if (ERR_peek_error() != 0)
		bail_out("OpenSSL's error queue is not empty");
	return status;
}

static char *
pem_of(EVP_PKEY *pkey, bool is_private)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *text;
	char	   *copy;
	long		length;

	if ((is_private ?
		 PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) :
		 PEM_write_bio_PUBKEY(bio, pkey)) != 1)
		bail_out("cannot write PEM");
	length = BIO_get_mem_data(bio, &text);
	copy = calloc(1, (size_t) length + 1);
	memcpy(copy, text, (size_t) length);
	BIO_free(bio);
	return copy;
}

static MtKeyStatus
key_status(MtAlgorithm algorithm, const char *pem)
{
	MtVerifyKey *key = NULL;
	MtKeyStatus status = MtVerifyKeyFromPem(algorithm, pem, strlen(pem), &key);

	if ((status == MT_KEY_OK) != (key != NULL) || ERR_peek_error() != 0)
		bail_out("key and status disagree, or the error queue is not empty");
	MtVerifyKeyFree(key);
	return status;
}

static void
make_signers(void)
{
	signers[0].pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	signers[1].pkey = EVP_EC_gen("P-256");
	signers[2].pkey = EVP_RSA_gen(2048);
	for (int i = 0; i < 4; i++)
	{
		Signer	   *signer = &signers[i];
		MtKeyStatus status;

		signer->algorithm = (MtAlgorithm) i;
		if (i < 3)
		{
			signer->public_pem = pem_of(signer->pkey, false);
			status = MtVerifyKeyFromPem(signer->algorithm, signer->public_pem,
										strlen(signer->public_pem),
										&signer->key);
		}
		else
		{
			RAND_bytes(signer->secret, sizeof(signer->secret));
			status = MtVerifyKeyFromSecret(signer->secret,
										   sizeof(signer->secret),
										   &signer->key);
		}
		if (status != MT_KEY_OK)
			bail_out(MtKeyStatusText(status));
	}
}

static void
free_signers(void)
{
	for (int i = 0; i < 4; i++)
	{
		EVP_PKEY_free(signers[i].pkey);
		free(signers[i].public_pem);
		MtVerifyKeyFree(signers[i].key);
	}
}

/* Every algorithm verifies its own tokens and nothing near them. */
static void
test_round_trips(void)
{
	for (int i = 0; i < 4; i++)
	{
		const Signer *signer = &signers[i];
		const char *name = MtAlgorithmName(signer->algorithm);
		char		token[8192];
		size_t		length;
		int			bad = 0;
		int			internal = 0;
		MtJws		jws;
		MtClaims	claims;

		mint(signer, token);
		length = strlen(token);
		ok(verify(signer->key, token, length) == MT_VERIFY_OK,
		   "%s: a signed token verifies", name);
		ok(verify(signer->key, token, length) == MT_VERIFY_OK,
		   "%s: and once more with the same key", name);
		ok(MtJwsParse(token, length, &jws) == MT_JWS_OK &&
		   strcmp(jws.algorithm, name) == 0 && strcmp(jws.kid, "k1") == 0 &&
		   jws.signing_input == token &&
		   token[jws.signing_input_length] == '.' &&
		   strcmp(jws.payload, CLAIMS) == 0 &&
		   jws.payload_length == strlen(CLAIMS),
		   "%s: the parts are as signed", name);
		ok(MtClaimsParse(jws.payload, jws.payload_length, &claims) == MT_JWS_OK &&
		   claims.has_tenant && !claims.tenant_is_number &&
		   strcmp(claims.tenant, "acme") == 0 &&
		   strcmp(claims.sub, "alice") == 0 && claims.aud_count == 1 &&
		   strcmp(claims.aud[0], "shop") == 0 && claims.has_iat &&
		   claims.iat == 1700000000 && claims.has_exp &&
		   claims.exp == 1700000060 && !claims.has_nbf &&
		   strcmp(claims.jti, "6f1c") == 0,
		   "%s: the claims are as signed", name);

		for (size_t cut = 0; cut < length; cut++)
		{
			char	   *prefix = malloc(cut + 1);

			/* an exact allocation, so that ASan sees a read past the end */
			memcpy(prefix, token, cut);
			if (verify(signer->key, prefix, cut) == MT_VERIFY_OK)
				bad++;
			free(prefix);
		}
		ok(bad == 0, "%s: no prefix verifies", name);

		for (size_t at = 0; at < length; at++)
			for (int bit = 0; bit < 8; bit++)
			{
				MtVerifyStatus status;

				token[at] ^= (char) (1 << bit);
				status = verify(signer->key, token, length);
				if (status == MT_VERIFY_OK)
					bad++;
				if (status == MT_VERIFY_INTERNAL)
					internal++;
				token[at] ^= (char) (1 << bit);
			}
		ok(bad == 0, "%s: no flipped bit verifies", name);
		ok(internal == 0, "%s: no flipped bit is an internal error", name);

		memmove(token + 1, token, length + 1);
		token[0] = ' ';
		ok(verify(signer->key, token, length + 1) != MT_VERIFY_OK,
		   "%s: a leading space does not verify", name);
		memmove(token, token + 1, length + 1);
		strcpy(token + length, "\n");
		ok(verify(signer->key, token, length + 1) != MT_VERIFY_OK,
		   "%s: a trailing newline does not verify", name);
		strcpy(token + length, "=");
		ok(verify(signer->key, token, length + 1) != MT_VERIFY_OK,
		   "%s: padding does not verify", name);
		ok(verify(signer->key, token, length + 2) != MT_VERIFY_OK,
		   "%s: a NUL does not verify", name);
		ok(verify(signer->key, token, length) == MT_VERIFY_OK,
		   "%s: the token still verifies", name);
	}
}

/* The key fixes the algorithm, and signatures have one spelling. */
static void
test_confusion(void)
{
	char		token[8192];
	char		input[8192];
	unsigned char signature[1024] = {0};
	size_t		length;
	MtJws		jws;
	MtVerifyKey *key = NULL;
	int			bad = 0;
	int			wrong = 0;
	MtAlgorithm algorithm;
	Signer		forger = {0};
	unsigned	mac_length;

	for (int i = 0; i < 4; i++)
	{
		mint(&signers[i], token);
		for (int j = 0; j < 4; j++)
			if (i != j &&
				verify(signers[j].key, token, strlen(token)) == MT_VERIFY_WRONG_ALGORITHM)
				wrong++;
	}
	ok(wrong == 12, "a key refuses every other algorithm");

	for (int i = 0; i < 4; i++)
	{
		const char *others[] = {"none", "None", "", "eddsa", "HS256 ", "ES384",
		"RS512", "PS256", "ES256K"};

		for (size_t j = 0; j < sizeof(others) / sizeof(others[0]); j++)
			if (MtSignatureVerify(signers[i].key, others[j], "x", 1,
								  signature, 64) != MT_VERIFY_WRONG_ALGORITHM ||
				MtAlgorithmFromName(others[j], &algorithm))
				bad++;
	}
	ok(bad == 0, "\"none\" and unknown algorithms are nobody's");

	assemble(token, "{\"alg\":\"none\",\"kid\":\"k1\"}", CLAIMS, "", 0);
	ok(MtJwsParse(token, strlen(token), &jws) == MT_JWS_MALFORMED,
	   "a token without signature is malformed");
	assemble(token, "{\"alg\":\"none\",\"kid\":\"k1\"}", CLAIMS, "x", 1);
	ok(verify(signers[1].key, token, strlen(token)) == MT_VERIFY_WRONG_ALGORITHM,
	   "alg none with some signature is refused");

	/* The classic: HMAC keyed with the public key's text. */
	for (int i = 0; i < 3; i++)
	{
		input[0] = '\0';
		append_base64url(input, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", 26);
		strcat(input, ".");
		append_base64url(input, CLAIMS, strlen(CLAIMS));
		HMAC(EVP_sha256(), signers[i].public_pem,
			 (int) strlen(signers[i].public_pem),
			 (const unsigned char *) input, strlen(input), signature,
			 &mac_length);
		assemble(token, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", CLAIMS, signature,
				 mac_length);
		ok(verify(signers[i].key, token, strlen(token)) == MT_VERIFY_WRONG_ALGORITHM,
		   "HS256 keyed with the public key of %s is refused",
		   MtAlgorithmName((MtAlgorithm) i));
		ok(MtVerifyKeyFromSecret((unsigned char *) signers[i].public_pem,
								 strlen(signers[i].public_pem),
								 &key) == MT_KEY_SECRET_IS_PEM && key == NULL,
		   "and that public key is not accepted as a secret");
	}

	/* Other keys of the same type. */
	forger.algorithm = MT_ALG_EDDSA;
	forger.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	mint(&forger, token);
	ok(verify(signers[0].key, token, strlen(token)) == MT_VERIFY_BAD,
	   "another Ed25519 key's token is refused");
	EVP_PKEY_free(forger.pkey);
	forger.algorithm = MT_ALG_HS256;
	mint(&forger, token);
	ok(verify(signers[3].key, token, strlen(token)) == MT_VERIFY_BAD,
	   "another secret's token is refused");

	/* ES256: r || s of 64 bytes and nothing else. */
	length = sign(&signers[1], "text", signature, true);
	ok(MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 length) == MT_VERIFY_BAD, "ES256: DER is refused");
	sign(&signers[1], "text", signature, false);
	ok(MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 64) == MT_VERIFY_OK, "ES256: r || s is accepted");
	ok(MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 63) == MT_VERIFY_BAD &&
	   MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 65) == MT_VERIFY_BAD &&
	   MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 0) == MT_VERIFY_BAD, "ES256: other lengths are refused");
	memset(signature, 0, 32);
	ok(MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 64) == MT_VERIFY_BAD, "ES256: r = 0 is refused");
	memset(signature, 0, 64);
	ok(MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 64) == MT_VERIFY_BAD, "ES256: r = s = 0 is refused");
	memset(signature, 0xFF, 64);
	ok(MtSignatureVerify(signers[1].key, "ES256", "text", 4, signature,
						 64) == MT_VERIFY_BAD,
	   "ES256: r and s above the order are refused");

	/* The right bytes, one more and one fewer. */
	for (int i = 0; i < 4; i++)
	{
		const char *name = MtAlgorithmName((MtAlgorithm) i);

		memset(signature, 0, sizeof(signature));
		length = sign(&signers[i], "text", signature, false);
		ok(MtSignatureVerify(signers[i].key, name, "text", 4, signature,
							 length) == MT_VERIFY_OK &&
		   MtSignatureVerify(signers[i].key, name, "text", 4, signature,
							 length + 1) == MT_VERIFY_BAD &&
		   MtSignatureVerify(signers[i].key, name, "text", 4, signature,
							 length - 1) == MT_VERIFY_BAD &&
		   MtSignatureVerify(signers[i].key, name, "text", 3, signature,
							 length) == MT_VERIFY_BAD,
		   "%s: a signature has one length", name);
	}

	/* Constant and random signatures are bad, never an internal error. */
	for (int i = 0; i < 4; i++)
	{
		static const size_t lengths[] = {64, 64, 256, 32};
		int			count = 0;

		for (int j = 0; j < 200; j++)
		{
			if (j == 0)
				memset(signature, 0, sizeof(signature));
			else if (j == 1)
				memset(signature, 0xFF, sizeof(signature));
			else
				RAND_bytes(signature, sizeof(signature));
			if (MtSignatureVerify(signers[i].key,
								  MtAlgorithmName((MtAlgorithm) i), "text", 4,
								  signature, lengths[i]) == MT_VERIFY_BAD &&
				MtSignatureVerify(signers[i].key,
								  MtAlgorithmName((MtAlgorithm) i), "text", 4,
								  signature, lengths[i] - 1) == MT_VERIFY_BAD &&
				MtSignatureVerify(signers[i].key,
								  MtAlgorithmName((MtAlgorithm) i), "text", 4,
								  signature, lengths[i] + 1) == MT_VERIFY_BAD)
				count++;
		}
		ok(count == 200, "%s: made-up signatures are bad",
		   MtAlgorithmName((MtAlgorithm) i));
	}
}

/* The PEM of an RSA key of these numbers. */
static char *
rsa_pem_of(const BIGNUM *n, unsigned exponent)
{
	unsigned char modulus[2048];
	int			length = BN_num_bytes(n);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY   *pkey = NULL;
	OSSL_PARAM	params[3];
	char	   *pem;

	BN_bn2nativepad(n, modulus, length);
	params[0] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, modulus,
										(size_t) length);
	params[1] = OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_E, &exponent);
	params[2] = OSSL_PARAM_construct_end();
	if (EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		bail_out("cannot make an RSA key of numbers");
	pem = pem_of(pkey, false);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(ctx);
	return pem;
}

/* The same with the modulus of another one. */
static char *
rsa_pem(EVP_PKEY *other, unsigned exponent)
{
	BIGNUM	   *n = NULL;
	char	   *pem;

	if (EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_RSA_N, &n) != 1)
		bail_out("cannot read a modulus");
	pem = rsa_pem_of(n, exponent);
	BN_free(n);
	return pem;
}

/* The PEM of an RSA key of so many bits, which nobody can sign with. */
static char *
long_rsa_pem(int bits)
{
	BIGNUM	   *n = BN_new();
	char	   *pem;

	if (BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) != 1)
		bail_out("cannot make a modulus");
	pem = rsa_pem_of(n, 65537);
	BN_free(n);
	return pem;
}

/* Every status has a text of its own, and what is none has one, too. */
static void
test_texts(void)
{
	int			same = 0;

	for (int i = 0; i <= MT_KEY_SECRET_IS_PEM; i++)
		for (int j = i + 1; j <= MT_KEY_SECRET_IS_PEM + 1; j++)
			same += strcmp(MtKeyStatusText((MtKeyStatus) i),
						   MtKeyStatusText((MtKeyStatus) j)) == 0;
	for (int i = 0; i <= MT_JWS_BAD_CLAIMS; i++)
		for (int j = i + 1; j <= MT_JWS_BAD_CLAIMS + 1; j++)
			same += strcmp(MtJwsStatusText((MtJwsStatus) i),
						   MtJwsStatusText((MtJwsStatus) j)) == 0;
	ok(same == 0, "every status has a text of its own");
}

/* What is a key of which algorithm. */
static void
test_keys(void)
{
	char	   *pem;
	char		text[MT_KEY_MAX_PEM + 2];
	EVP_PKEY   *pkey;
	MtVerifyKey *key = NULL;
	unsigned char secret[MT_KEY_MAX_SECRET + 1];
	int			count = 0;

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			if (key_status((MtAlgorithm) i, signers[j].public_pem) ==
				(i == j ? MT_KEY_OK : MT_KEY_WRONG_TYPE))
				count++;
	ok(count == 9, "a key is accepted for its own algorithm only");
	ok(key_status(MT_ALG_HS256, signers[0].public_pem) == MT_KEY_NEEDS_SECRET,
	   "HS256 takes no public key");

	for (int i = 0; i < 3; i++)
	{
		const char *name = MtAlgorithmName((MtAlgorithm) i);
		BIO		   *bio;
		char	   *data;
		long		length;

		pem = pem_of(signers[i].pkey, true);
		ok(key_status((MtAlgorithm) i, pem) == MT_KEY_PRIVATE,
		   "%s: a private key is refused", name);
		sprintf(text, "%s%s", signers[i].public_pem, pem);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_PRIVATE,
		   "%s: also behind the public one", name);
		sprintf(text, "%s%s", pem, signers[i].public_pem);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_PRIVATE,
		   "%s: also before it", name);
		/* damaged or indented it is no block, but stays a private key */
		sprintf(text, "%s%s", pem, signers[i].public_pem);
		text[strlen("-----BEGIN PRIVATE KEY--")] = ';';
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_PRIVATE,
		   "%s: also with a damaged first line", name);
		sprintf(text, "%s  -----BEGIN PRIVATE KEY-----\n  MC4CAQA\n",
				signers[i].public_pem);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_PRIVATE,
		   "%s: also indented", name);
		free(pem);

		bio = BIO_new(BIO_s_mem());
		if (PEM_write_bio_PKCS8PrivateKey(bio, signers[i].pkey,
										  EVP_aes_128_cbc(), "secret", 6, NULL,
										  NULL) != 1)
			bail_out("cannot encrypt a private key");
		length = BIO_get_mem_data(bio, &data);
		memcpy(text, data, (size_t) length);
		text[length] = '\0';
		BIO_free(bio);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_PRIVATE,
		   "%s: also encrypted", name);

		sprintf(text, "%s%s", signers[i].public_pem, signers[i].public_pem);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_NOT_PEM,
		   "%s: two keys are refused", name);
		sprintf(text, "%s-----BEGIN PUBLIC KEY-----\nMCow",
				signers[i].public_pem);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_NOT_PEM,
		   "%s: a broken second block is refused", name);
		/* OpenSSL takes a dash for the end of base64, and the first key */
		sprintf(text, "%s%s", signers[i].public_pem, signers[i].public_pem);
		memcpy(strstr(text, "-----END"), "-----End", 8);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_NOT_PEM,
		   "%s: a second block inside of the first is refused", name);
		sprintf(text, "our issuer\n%s\n", signers[i].public_pem);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_OK,
		   "%s: a remark around the key is allowed", name);

		count = 0;
		/* without its last line feed the text is complete */
		for (size_t cut = 0; cut + 1 < strlen(signers[i].public_pem); cut++)
		{
			key = NULL;
			if (MtVerifyKeyFromPem((MtAlgorithm) i, signers[i].public_pem, cut,
								   &key) != MT_KEY_NOT_PEM || key != NULL)
				count++;
		}
		ok(count == 0, "%s: no prefix of a key is one", name);

		strcpy(text, signers[i].public_pem);
		memcpy(strstr(text, "BEGIN PUBLIC") + 6, "PUBLIK", 6);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_NOT_PEM,
		   "%s: another PEM label is refused", name);
	}

	ok(key_status(MT_ALG_EDDSA, "") == MT_KEY_NOT_PEM &&
	   key_status(MT_ALG_EDDSA, "not a key") == MT_KEY_NOT_PEM,
	   "other text is not a key");
	ok(key_status(MT_ALG_ES256,
				  "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n") ==
	   MT_KEY_INVALID, "a block that holds no key is invalid");

	for (int i = 0; i < 3; i++)
	{
		unsigned char der[512] = {0};
		unsigned char *end = der;
		int			length = i2d_PUBKEY(signers[i].pkey, &end);
		BIO		   *bio = BIO_new(BIO_s_mem());

		PEM_write_bio(bio, "PUBLIC KEY", "", der, length + 1);
		length = BIO_read(bio, text, sizeof(text) - 1);
		text[length] = '\0';
		BIO_free(bio);
		ok(key_status((MtAlgorithm) i, text) == MT_KEY_INVALID,
		   "%s: a byte behind the key makes it invalid",
		   MtAlgorithmName((MtAlgorithm) i));
	}

	/* P-256 with one of the last bytes of y changed: not on the curve. */
	strcpy(text, signers[1].public_pem);
	pem = strstr(text, "\n-----END") - 6;
	*pem = *pem == 'A' ? 'B' : 'A';
	ok(key_status(MT_ALG_ES256, text) == MT_KEY_INVALID,
	   "a point off the curve is invalid");

	pkey = EVP_RSA_gen(1024);
	pem = pem_of(pkey, false);
	ok(key_status(MT_ALG_RS256, pem) == MT_KEY_TOO_SMALL,
	   "RSA of 1024 bits is too small");
	free(pem);
	EVP_PKEY_free(pkey);

	pem = rsa_pem(signers[2].pkey, 1);
	ok(key_status(MT_ALG_RS256, pem) == MT_KEY_INVALID,
	   "RSA with exponent 1 is invalid");
	free(pem);
	pem = rsa_pem(signers[2].pkey, 4);
	ok(key_status(MT_ALG_RS256, pem) == MT_KEY_INVALID,
	   "RSA with an even exponent is invalid");
	free(pem);
	pem = rsa_pem(signers[2].pkey, 3);
	ok(key_status(MT_ALG_RS256, pem) == MT_KEY_OK,
	   "RSA with exponent 3 is accepted");
	free(pem);

	pem = long_rsa_pem(MT_KEY_MAX_RSA_BITS);
	ok(key_status(MT_ALG_RS256, pem) == MT_KEY_OK,
	   "RSA of 8192 bits is accepted");
	free(pem);
	pem = long_rsa_pem(MT_KEY_MAX_RSA_BITS + 1);
	ok(key_status(MT_ALG_RS256, pem) == MT_KEY_TOO_LARGE,
	   "RSA of 8193 bits is too large");
	free(pem);
	memset(text, '\n', MT_KEY_MAX_PEM + 1);
	memcpy(text, signers[0].public_pem, strlen(signers[0].public_pem));
	text[MT_KEY_MAX_PEM] = '\0';
	ok(key_status(MT_ALG_EDDSA, text) == MT_KEY_OK,
	   "a text of just the permitted length is accepted");
	text[MT_KEY_MAX_PEM] = '\n';
	text[MT_KEY_MAX_PEM + 1] = '\0';
	ok(key_status(MT_ALG_EDDSA, text) == MT_KEY_TOO_LARGE,
	   "a longer text is too large");

	pkey = EVP_EC_gen("P-384");
	pem = pem_of(pkey, false);
	ok(key_status(MT_ALG_ES256, pem) == MT_KEY_WRONG_TYPE,
	   "P-384 is the wrong curve");
	free(pem);
	EVP_PKEY_free(pkey);

	pkey = EVP_EC_gen("secp256k1");
	pem = pem_of(pkey, false);
	ok(key_status(MT_ALG_ES256, pem) == MT_KEY_WRONG_TYPE,
	   "secp256k1 is the wrong curve");
	free(pem);
	EVP_PKEY_free(pkey);

	pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	pem = pem_of(pkey, false);
	ok(key_status(MT_ALG_EDDSA, pem) == MT_KEY_WRONG_TYPE,
	   "Ed448 is the wrong curve");
	free(pem);
	EVP_PKEY_free(pkey);

	pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	pem = pem_of(pkey, false);
	ok(key_status(MT_ALG_EDDSA, pem) == MT_KEY_WRONG_TYPE,
	   "X25519 does not sign");
	free(pem);
	EVP_PKEY_free(pkey);

	pkey = EVP_EC_gen("P-256");
	EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING,
								   OSSL_PKEY_EC_ENCODING_EXPLICIT);
	pem = pem_of(pkey, false);
	ok(strlen(pem) > 300 && key_status(MT_ALG_ES256, pem) == MT_KEY_WRONG_TYPE,
	   "P-256 with explicit parameters is refused");
	free(pem);
	EVP_PKEY_free(pkey);

	memset(secret, 'x', sizeof(secret));
	ok(MtVerifyKeyFromSecret(secret, 31, &key) == MT_KEY_SECRET_TOO_SHORT &&
	   key == NULL, "a secret of 31 bytes is too short");
	ok(MtVerifyKeyFromSecret(secret, sizeof(secret), &key) ==
	   MT_KEY_SECRET_TOO_LONG && key == NULL,
	   "a secret of 1025 bytes is too long");
	ok(MtVerifyKeyFromSecret(secret, sizeof(secret) - 1, &key) == MT_KEY_OK &&
	   MtVerifyKeyAlgorithm(key) == MT_ALG_HS256,
	   "a secret of 1024 bytes is accepted");
	MtVerifyKeyFree(key);
	MtVerifyKeyFree(NULL);
	ok(strcmp(MtKeyStatusText(MT_KEY_PRIVATE),
			  "The text contains a private key; only the public key belongs here.") == 0,
	   "a status has a text");
}

/* One header, with the status it must have. */
static void
header_is(MtJwsStatus expected, const char *header, const char *what)
{
	char		token[8192];
	MtJws		jws;
	MtJwsStatus status;

	assemble(token, header, CLAIMS, "signature", 9);
	status = MtJwsParse(token, strlen(token), &jws);
	ok(status == expected, "header: %s (%s)", what, MtJwsStatusText(status));
	if (status != MT_JWS_OK &&
		(jws.algorithm[0] != '\0' || jws.kid[0] != '\0' ||
		 jws.payload_length != 0 || jws.signature_length != 0 ||
		 jws.signing_input != NULL))
		bail_out("something is left of a refused token");
}

static void
test_headers(void)
{
	char		header[2048];
	char		kid[66];

	header_is(MT_JWS_OK, HEADER_ES256, "the usual one");
	header_is(MT_JWS_OK, "{\"alg\":\"ES256\",\"kid\":\"k\"}", "without typ");
	header_is(MT_JWS_OK, "{\"typ\":\"jwt\",\"kid\":\"k\",\"alg\":\"ES256\"}",
			  "typ in lower case");
	header_is(MT_JWS_OK,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"jwk\":{\"a\":[1,2.5e3,{}]},\"x\":null}",
			  "unknown members");
	header_is(MT_JWS_OK, "{\"a\\u006cg\" : \"ES256\" ,\r\n\t\"kid\":\"k\" } ",
			  "escapes and white space");
	header_is(MT_JWS_MALFORMED, "{ \"alg\":\"ES256\",\"kid\":\"k\"}",
			  "not the recognisable beginning");
	header_is(MT_JWS_MALFORMED, " {\"alg\":\"ES256\",\"kid\":\"k\"}",
			  "a leading space");
	header_is(MT_JWS_UNSUPPORTED, "{\"alg\":\"ES256\",\"kid\":\"k\",\"crit\":[\"b64\"]}",
			  "crit");
	header_is(MT_JWS_UNSUPPORTED, "{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":true}",
			  "b64");
	header_is(MT_JWS_UNSUPPORTED,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"\\u0063rit\":[]}", "escaped crit");
	header_is(MT_JWS_UNSUPPORTED,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JOSE\"}", "another typ");
	header_is(MT_JWS_UNSUPPORTED,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JW\"}", "a shorter typ");
	header_is(MT_JWS_UNSUPPORTED,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"\"}", "an empty typ");
	header_is(MT_JWS_UNSUPPORTED,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":null}", "typ null");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\"}", "no kid");
	header_is(MT_JWS_BAD_HEADER, "{\"kid\":\"k\"}", "no alg");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\",\"kid\":\"\"}", "empty kid");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"\",\"kid\":\"k\"}", "empty alg");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\",\"kid\":1}", "kid a number");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":[\"ES256\"],\"kid\":\"k\"}",
			  "alg an array");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\",\"kid\":\"k\",\"kid\":\"k\"}",
			  "kid twice");
	header_is(MT_JWS_BAD_HEADER,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"\\u0061lg\":\"HS256\"}",
			  "alg twice, once escaped");
	header_is(MT_JWS_BAD_HEADER,
			  "{\"alg\":\"ES256\",\"kid\":\"k\",\"alg\\u0000\":\"\"}",
			  "NUL in a name");
	header_is(MT_JWS_BAD_HEADER, "{\"Alg\":\"ES256\",\"kid\":\"k\"}",
			  "names have case");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\",\"kid\":\"a\\nb\"}",
			  "line feed in kid");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\",\"kid\":\"k\"}x",
			  "text after the end");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\",\"kid\":\"k\",}",
			  "a comma too many");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256\" \"kid\":\"k\"}",
			  "a comma missing");
	header_is(MT_JWS_OK, "{\"alg\":\"ES256FORTHEREST\",\"kid\":\"k\"}",
			  "alg that just fits");
	header_is(MT_JWS_BAD_HEADER, "{\"alg\":\"ES256FORTHERESTX\",\"kid\":\"k\"}",
			  "alg too long");

	memset(kid, 'k', sizeof(kid));
	kid[64] = '\0';
	sprintf(header, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
	header_is(MT_JWS_OK, header, "kid of 64 bytes");
	kid[64] = 'k';
	kid[65] = '\0';
	sprintf(header, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
	header_is(MT_JWS_BAD_HEADER, header, "kid of 65 bytes");

	memset(header, ' ', sizeof(header));
	memcpy(header, HEADER_ES256, strlen(HEADER_ES256));
	header[MT_JWS_MAX_HEADER] = '\0';
	header_is(MT_JWS_OK, header, "1024 bytes");
	header[MT_JWS_MAX_HEADER] = ' ';
	header[MT_JWS_MAX_HEADER + 1] = '\0';
	header_is(MT_JWS_TOO_LONG, header, "1025 bytes");
}

/* One token text, with the status it must have. */
static void
token_is(MtJwsStatus expected, const char *token, const char *what)
{
	MtJws		jws;
	size_t		length = strlen(token);
	char	   *copy = malloc(length + 1);

	memcpy(copy, token, length);
	ok(MtJwsParse(copy, length, &jws) == expected, "token: %s", what);
	free(copy);
}

static void
test_tokens(void)
{
	char		header[256] = "";
	char		token[8192];
	MtJws		jws;

	append_base64url(header, HEADER_ES256, strlen(HEADER_ES256));
#define TOKEN(format) (sprintf(token, format, header), token)
	token_is(MT_JWS_OK, TOKEN("%s.e30.AA"), "the shortest kind");
	token_is(MT_JWS_OK, TOKEN("%s.e30.AAA-_w"), "both special digits");
	token_is(MT_JWS_MALFORMED, "", "empty");
	token_is(MT_JWS_MALFORMED, "ey", "two bytes");
	token_is(MT_JWS_MALFORMED, "eyJ", "the beginning alone");
	token_is(MT_JWS_MALFORMED, "..", "two dots");
	token_is(MT_JWS_MALFORMED, "eyJ..", "only a header");
	token_is(MT_JWS_MALFORMED, TOKEN("%s"), "no dot");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30"), "one dot");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30."), "no signature");
	token_is(MT_JWS_MALFORMED, TOKEN("%s..AA"), "no payload");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AA.AA"), "three dots");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AA."), "a dot at the end");
	token_is(MT_JWS_MALFORMED, TOKEN("Bearer %s.e30.AA"), "another beginning");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AA=="), "padding");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30=.AA"), "padding of the payload");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AAA+"), "plus sign");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AAA/"), "slash");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AA A"), "space");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AAAAA"), "an impossible length");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AB"), "stray bits, two digits");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.AAB"), "stray bits, three digits");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e31.AA"), "stray bits in the payload");
	token_is(MT_JWS_MALFORMED, TOKEN("%s.e30.A\xC3\xA4" "A"), "a byte above 127");

	/* the limits: signature and token */
	sprintf(token, "%s.e30.", header);
	memset(token + strlen(token), 'A', 1368);
	token[strlen(header) + 5 + 1366] = '\0';
	token_is(MT_JWS_OK, token, "signature of 1024 bytes");
	token[strlen(header) + 5 + 1366] = 'A';
	token[strlen(header) + 5 + 1367] = '\0';
	token_is(MT_JWS_TOO_LONG, token, "signature of 1025 bytes");

	sprintf(token, "%s.", header);
	memset(token + strlen(header) + 1, 'A', 4096);
	strcpy(token + 4096 - 5, ".AAAA");
	ok((4096 - 5 - strlen(header) - 1) % 4 != 1, "the long token is possible");
	token_is(MT_JWS_OK, token, "4096 bytes");
	ok(MtJwsParse(token, 4096, &jws) == MT_JWS_OK &&
	   jws.payload[jws.payload_length] == '\0', "its payload ends with a NUL");
	strcpy(token + 4096 - 5, ".AAAAA");
	token_is(MT_JWS_TOO_LONG, token, "4097 bytes");
	ok(MtJwsParse(token, SIZE_MAX, &jws) == MT_JWS_TOO_LONG,
	   "an absurd length is not read");
}

/* One payload, with the status it must have. */
static bool
claims_are(MtJwsStatus expected, const char *json, MtClaims *claims,
		   const char *what)
{
	size_t		length = strlen(json);
	char	   *copy = malloc(length + 1);
	MtJwsStatus status;
	static const MtClaims nothing;

	memcpy(copy, json, length);
	status = MtClaimsParse(copy, length, claims);
	free(copy);
	ok(status == expected, "claims: %s (%s)", what, MtJwsStatusText(status));
	if (status != MT_JWS_OK && memcmp(claims, &nothing, sizeof(nothing)) != 0)
		bail_out("something is left of refused claims");
	return status == MT_JWS_OK;
}

static void
test_claims(void)
{
	MtClaims	claims;
	char		json[8192];
	static const char *const integers[] = {
		"1.0", "1.5", "1e3", "1E0", "01", "-", "+1", "--1", "0x10", "1_0",
		"9223372036854775808", "-9223372036854775809", "18446744073709551616",
		"99999999999999999999999999", "\"1\"", "true", "null", "[1]", "{}", "",
		"-01", "NaN", "1 2", ".5", "1.", "00", "Infinity"
	};
	static const char *const strings[] = {
		"\"\"", "1", "null", "true", "[\"a\"]", "{}", "\"a", "a", "'a'",
		"\"a\\u0000b\"", "\"\\u0000\"", "\"a\nb\"", "\"a\\nb\"", "\"a\\tb\"",
		"\"a\\rb\"", "\"a\\bb\"", "\"a\\fb\"",
		"\"\\u001b[2J\"", "\"\x7F\"", "\"\\u007f\"", "\"\\u0085\"",
		"\"\xC2\x85\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\\"",
		"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\\ud83dx\"",
		"\"\\ud83d\\n\"", "\"\\ud83d\\u0041\"", "\"\\ude00\\ud83d\"",
		"\"\xC0\xAF\"", "\"\xE0\x80\xAF\"", "\"\xF0\x80\x80\xAF\"",
		"\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xF8\x88\x80\x80\x80\"",
		"\"\x80\"", "\"\xC3\"", "\"\xE2\x82\"", "\"\xF0\x9F\x98\"", "\"\xFF\"",
		"\"a\" \"b\""
	};

	if (claims_are(MT_JWS_OK, "{}", &claims, "none"))
		ok(!claims.has_tenant && claims.aud_count == 0 && !claims.has_exp &&
		   claims.sub[0] == '\0', "and nothing is there");
	if (claims_are(MT_JWS_OK, "{\"tenant\":42}", &claims, "tenant number"))
		ok(claims.has_tenant && claims.tenant_is_number &&
		   claims.tenant_number == 42 && claims.tenant[0] == '\0',
		   "and it is a number");
	if (claims_are(MT_JWS_OK, "{\"tenant\":\"42\"}", &claims, "tenant text"))
		ok(claims.has_tenant && !claims.tenant_is_number &&
		   claims.tenant_number == 0 && strcmp(claims.tenant, "42") == 0,
		   "and it is a text");
	if (claims_are(MT_JWS_OK, "{\"aud\":[\"a\",\"b\"],\"kind\":\"tenant\",\"scope\":\"\",\"nbf\":-5}",
				   &claims, "the optional ones"))
		ok(claims.aud_count == 2 && strcmp(claims.aud[1], "b") == 0 &&
		   strcmp(claims.kind, "tenant") == 0 && claims.has_nbf &&
		   claims.nbf == -5, "and they are read");
	if (claims_are(MT_JWS_OK,
				   "{\"iat\":9223372036854775807,\"exp\":-9223372036854775808,\"nbf\":0}",
				   &claims, "the extreme numbers"))
		ok(claims.iat == INT64_MAX && claims.exp == INT64_MIN &&
		   claims.nbf == 0 && claims.has_nbf, "and they are exact");
	if (claims_are(MT_JWS_OK,
				   "{\"sub\":\"\\u00e9\\u20AC\\uD83D\\uDE00\\\"\\\\\\/\",\"tenant\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}",
				   &claims, "UTF-8, escaped and not"))
		ok(strcmp(claims.sub, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"\\/") == 0 &&
		   strcmp(claims.tenant, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") == 0,
		   "and both are the same");
	claims_are(MT_JWS_OK,
			   "{\"x\":\"a\\nb\\r\\t\\b\\f\\u0000\",\"y\":[-0.5E-3,0,true,false,null,[],{}],\"\\u0041aaaaaaaaaaaaaaaaaaaaaa\":{\"tenant\":1}}",
			   &claims, "unknown claims of all kinds");
	ok(!claims.has_tenant, "and a nested tenant is none");

	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++)
	{
		sprintf(json, "{\"exp\":%s}", integers[i]);
		claims_are(MT_JWS_BAD_CLAIMS, json, &claims, json);
		if (integers[i][0] != '"')
		{
			sprintf(json, "{\"tenant\":%s}", integers[i]);
			claims_are(MT_JWS_BAD_CLAIMS, json, &claims, json);
		}
	}
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
	{
		char		what[64];

		sprintf(what, "bad string %d", (int) i);
		sprintf(json, "{\"sub\":%s}", strings[i]);
		claims_are(MT_JWS_BAD_CLAIMS, json, &claims, what);
		if (strcmp(strings[i], "1") != 0)
		{
			sprintf(json, "{\"tenant\":%s}", strings[i]);
			claims_are(MT_JWS_BAD_CLAIMS, json, &claims, what);
		}
		if (strcmp(strings[i], "[\"a\"]") != 0)
		{
			sprintf(json, "{\"aud\":%s}", strings[i]);
			claims_are(MT_JWS_BAD_CLAIMS, json, &claims, what);
		}
	}

	claims_are(MT_JWS_BAD_CLAIMS, "", &claims, "empty");
	claims_are(MT_JWS_BAD_CLAIMS, "[]", &claims, "an array");
	claims_are(MT_JWS_BAD_CLAIMS, "null", &claims, "null");
	claims_are(MT_JWS_BAD_CLAIMS, "\xEF\xBB\xBF{}", &claims, "a byte order mark");
	claims_are(MT_JWS_BAD_CLAIMS, "{} {}", &claims, "two objects");
	claims_are(MT_JWS_BAD_CLAIMS, "{}x", &claims, "text after the end");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"tenant\":\"a\",\"tenant\":\"b\"}", &claims,
			   "tenant twice");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"tenant\":1,\"t\\u0065nant\":1}", &claims,
			   "tenant twice, once escaped");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"exp\":1,\"exp\":1}", &claims, "exp twice");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"aud\":[]}", &claims, "no audience");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"aud\":[\"a\",]}", &claims,
			   "a comma too many");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"aud\":[\"a\",1]}", &claims,
			   "audience a number");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"aud\":[[\"a\"]]}", &claims,
			   "audience nested");
	claims_are(MT_JWS_OK,
			   "{\"aud\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"]}",
			   &claims, "eight audiences");
	claims_are(MT_JWS_BAD_CLAIMS,
			   "{\"aud\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}",
			   &claims, "nine audiences");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"x\":{\"y\":}}", &claims,
			   "an unknown claim without value");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"x\":\"\\ud800\"}", &claims,
			   "an unknown claim with half a surrogate pair");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"x\":01}", &claims,
			   "an unknown claim with a bad number");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"x\":tru}", &claims,
			   "an unknown claim with a bad literal");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"x\":\"a\nb\"}", &claims,
			   "an unknown claim with a raw line feed");
	claims_are(MT_JWS_BAD_CLAIMS, "{x:1}", &claims, "a bare name");
	claims_are(MT_JWS_BAD_CLAIMS, "{\"a\\nb\":1}", &claims,
			   "a name with a line feed");
	ok(MtClaimsParse("{\"sub\":\"a\0b\"}", 13, &claims) == MT_JWS_BAD_CLAIMS,
	   "claims: NUL in a string");
	ok(MtClaimsParse("{}\0", 3, &claims) == MT_JWS_BAD_CLAIMS,
	   "claims: NUL after the end");
}

/* Nothing is cut to fit, nothing goes deeper than allowed. */
static void
test_limits(void)
{
	static const struct
	{
		const char *name;
		int			size;
	}			limits[] = {
		{"tenant", 256}, {"sub", 256}, {"jti", 128}, {"scope", 256},
		{"kind", 32}, {"aud", 128}
	};
	MtClaims	claims;
	char		json[8192];
	char		text[512];
	char		what[64];

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		for (int more = 0; more < 2; more++)
		{
			int			length = limits[i].size - 1 + more;

			memset(text, 'x', sizeof(text));
			text[length] = '\0';
			sprintf(json, "{\"%s\":\"%s\"}", limits[i].name, text);
			sprintf(what, "%s of %d bytes", limits[i].name, length);
			claims_are(more ? MT_JWS_BAD_CLAIMS : MT_JWS_OK, json, &claims,
					   what);

			/* the limit inside a character */
			strcpy(text + length - 1, "\xC3\xA9");
			sprintf(json, "{\"%s\":\"%s\"}", limits[i].name, text);
			claims_are(MT_JWS_BAD_CLAIMS, json, &claims,
					   "the last character does not fit");
		}

	for (int depth = 7; depth <= 9; depth++)
	{
		strcpy(json, "{\"x\":");
		for (int i = 1; i < depth; i++)
			strcat(json, i % 2 ? "[" : "{\"y\":");
		strcat(json, "1");
		for (int i = depth - 1; i >= 1; i--)
			strcat(json, i % 2 ? "]" : "}");
		strcat(json, "}");
		sprintf(what, "depth %d", depth);
		claims_are(depth > MT_JSON_MAX_DEPTH ? MT_JWS_BAD_CLAIMS : MT_JWS_OK,
				   json, &claims, what);
	}
	strcpy(json, "{\"x\":");
	memset(json + 5, '[', 3000);
	json[3005] = '\0';
	claims_are(MT_JWS_BAD_CLAIMS, json, &claims, "depth 3001");
	memset(json, ' ', 3073);
	json[0] = '{';
	json[3071] = '}';
	json[3072] = '\0';
	claims_are(MT_JWS_OK, json, &claims, "3072 bytes");
	json[3072] = ' ';
	json[3073] = '\0';
	claims_are(MT_JWS_TOO_LONG, json, &claims, "3073 bytes");

	for (size_t length = 0; length < strlen(CLAIMS); length++)
	{
		char	   *copy = malloc(length + 1);

		memcpy(copy, CLAIMS, length);
		if (MtClaimsParse(copy, length, &claims) == MT_JWS_OK)
		{
			ok(false, "claims: a prefix of %d bytes is refused", (int) length);
			free(copy);
			return;
		}
		free(copy);
	}
	ok(true, "claims: every prefix is refused");
}

/* Random damage: nothing is checked but that the sanitizers stay silent. */
static void
test_damage(void)
{
	static const char *const seeds[] = {
		CLAIMS, HEADER_ES256,
		"{\"aud\":[\"a\",\"\\ud83d\\ude00\"],\"x\":[1.5e3,{\"y\":null}],\"exp\":-12}"
	};
	static const char bytes[] = "{}[]\",:\\u0dDeE+-.19 tfn\x80\xC3\xF0";
	unsigned long long state = 1;
	MtClaims	claims;
	int			accepted = 0;

	for (int i = 0; i < 60000; i++)
	{
		const char *seed = seeds[i % 3];
		size_t		length = strlen(seed);
		char	   *copy = malloc(length);

		memcpy(copy, seed, length);
		for (int j = 0; j <= i % 4; j++)
		{
			state = (state * 1103515245U + 12345U) % (1ULL << 32);
			copy[(state >> 8) % length] = bytes[(state >> 20) % sizeof(bytes)];
		}
		if (MtClaimsParse(copy, length, &claims) == MT_JWS_OK)
			accepted++;
		free(copy);
	}
	ok(accepted > 0 && accepted < 60000, "damaged claims are survived");
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec * 1e6 + (double) time.tv_nsec / 1e3;
}

/* Microseconds of each step; the raw figure is EVP alone on the same text. */
static void
bench(void)
{
	for (int i = 0; i < 4; i++)
	{
		int			rounds = i == 3 ? 200000 : 5000;
		Signer	   *signer = &signers[i];
		char		token[8192];
		size_t		length;
		MtJws		jws;
		MtClaims	claims;
		double		start;
		double		parse;
		double		read;
		double		check;
		double		raw = 0;

		mint(signer, token);
		length = strlen(token);
		start = now();
		for (int j = 0; j < rounds; j++)
			MtJwsParse(token, length, &jws);
		parse = (now() - start) / rounds;
		start = now();
		for (int j = 0; j < rounds; j++)
			MtClaimsParse(jws.payload, jws.payload_length, &claims);
		read = (now() - start) / rounds;
		start = now();
		for (int j = 0; j < rounds; j++)
			MtSignatureVerify(signer->key, jws.algorithm, jws.signing_input,
							  jws.signing_input_length, jws.signature,
							  jws.signature_length);
		check = (now() - start) / rounds;

		if (i < 3)
		{
			unsigned char digest[32];
			unsigned char signature[1024];
			char		input[4096] = "";
			size_t		signature_length;
			EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(signer->pkey, NULL);
			EVP_MD_CTX *md = EVP_MD_CTX_new();

			memcpy(input, token, jws.signing_input_length);
			signature_length = sign(signer, input, signature, true);
			EVP_Digest(input, strlen(input), digest, NULL, EVP_sha256(), NULL);
			if (i > 0)
			{
				EVP_PKEY_verify_init(ctx);
				EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256());
			}
			start = now();
			for (int j = 0; j < rounds; j++)
			{
				if (i == 0)
				{
					EVP_DigestVerifyInit(md, NULL, NULL, NULL, signer->pkey);
					EVP_DigestVerify(md, signature, signature_length,
									 (unsigned char *) input, strlen(input));
				}
				else
					EVP_PKEY_verify(ctx, signature, signature_length, digest,
									sizeof(digest));
			}
			raw = (now() - start) / rounds;
			EVP_PKEY_CTX_free(ctx);
			EVP_MD_CTX_free(md);
		}
		else
		{
			unsigned char mac[32];
			unsigned	mac_length;

			start = now();
			for (int j = 0; j < rounds; j++)
				HMAC(EVP_sha256(), signer->secret, 32, (unsigned char *) token,
					 jws.signing_input_length, mac, &mac_length);
			raw = (now() - start) / rounds;
		}
		printf("%s: token %d bytes; parse %.2f us, claims %.2f us, verify %.2f us (%s alone %.2f us)\n",
			   MtAlgorithmName(signer->algorithm), (int) length, parse, read,
			   check, i == 3 ? "HMAC()" : "EVP", raw);
	}
}

int
main(int argc, char **argv)
{
	make_signers();
	if (argc > 1 && strcmp(argv[1], "--bench") == 0)
		bench();
	else
	{
		test_round_trips();
		test_confusion();
		test_keys();
		test_texts();
		test_headers();
		test_tokens();
		test_claims();
		test_limits();
		test_damage();
		printf("1..%d\n", test_count);
	}
	free_signers();
	return failure_count == 0 ? 0 : 1;
}
