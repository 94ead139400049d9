/*
 * signature.c
 *	  Verification keys and signatures of credentials, on OpenSSL 3.
 *
 * Owns the choice of algorithms and what counts as a key of each. Keeps one
 * invariant: the algorithm belongs to the key, never to the token.
 *
 * Security: a header can name an algorithm only to be compared with the key's.
 * So "none" verifies nothing, and a public key is never used as an HMAC
 * secret, because it is held as an EVP_PKEY and a secret is not.
 *
 * Objects of OpenSSL are made, used and freed within one function; those that
 * last belong to the MtVerifyKey, whose owner calls MtVerifyKeyFree.
 */
#include "crypto/signature.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define PEM_BEGIN "-----BEGIN "
#define PEM_PUBLIC_KEY "PUBLIC KEY"

/* In the first and last line of every private key, and in no public one's. */
#define PEM_PRIVATE_KEY "PRIVATE KEY-----"

/* Bytes of r and of s in an ES256 signature. */
#define P256_SCALAR_SIZE 32

/* A DER SEQUENCE of two INTEGERs of up to 33 bytes: 2 + 2 * (2 + 33). */
#define P256_DER_SIZE 72

#define ED25519_SIGNATURE_SIZE 64
#define SHA256_SIZE 32

struct MtVerifyKey
{
	MtAlgorithm algorithm;
	EVP_PKEY   *public_key;		/* all but HS256 */
	EVP_PKEY_CTX *verifier;		/* ES256, RS256: set up to verify a hash */
	EVP_MD	   *sha256;			/* ES256, RS256 */
	EVP_MAC_CTX *mac;			/* HS256: keyed, started anew for each token */
};

static const char *const algorithm_names[] = {
	[MT_ALG_EDDSA] = "EdDSA",
	[MT_ALG_ES256] = "ES256",
	[MT_ALG_RS256] = "RS256",
	[MT_ALG_HS256] = "HS256",
};

#define ALGORITHM_COUNT \
	((int) (sizeof(algorithm_names) / sizeof(algorithm_names[0])))

bool
MtAlgorithmFromName(const char *name, MtAlgorithm *algorithm)
{
	for (int i = 0; i < ALGORITHM_COUNT; i++)
		if (strcmp(name, algorithm_names[i]) == 0)
		{
			*algorithm = (MtAlgorithm) i;
			return true;
		}
	return false;
}

const char *
MtAlgorithmName(MtAlgorithm algorithm)
{
	return algorithm_names[algorithm];
}

MtAlgorithm
MtVerifyKeyAlgorithm(const MtVerifyKey *key)
{
	return key->algorithm;
}

/* How often is the word in the text? */
static int
count_of(const char *word, const void *text, size_t length)
{
	const char *at = text;
	size_t		word_length = strlen(word);
	int			count = 0;

	for (size_t i = 0; i + word_length <= length; i++)
		if (memcmp(at + i, word, word_length) == 0)
			count++;
	return count;
}

/*
 * Decodes the one block of a PEM text; *der is the caller's to free.
 *
 * Security: both words are looked for in the text, not among what OpenSSL takes
 * for blocks. A private key that is damaged or indented is no block, but would
 * be stored all the same; and a text with more than one block is refused,
 * because which of them counts would be OpenSSL's choice and not the
 * administrator's.
 */
static MtKeyStatus
decode_pem(const char *pem, size_t length, unsigned char **der,
		   long *der_length)
{
	BIO		   *bio;
	MtKeyStatus status = MT_KEY_NOT_PEM;
	char	   *name = NULL;
	char	   *header = NULL;
	unsigned char *data = NULL;

	*der = NULL;
	if (count_of(PEM_PRIVATE_KEY, pem, length) > 0)
		return MT_KEY_PRIVATE;
	if (count_of(PEM_BEGIN, pem, length) != 1)
		return MT_KEY_NOT_PEM;
	bio = BIO_new_mem_buf(pem, (int) length);
	if (bio == NULL)
		return MT_KEY_INTERNAL;

	if (PEM_read_bio(bio, &name, &header, &data, der_length) == 1 &&
		strcmp(name, PEM_PUBLIC_KEY) == 0 && header[0] == '\0')
	{
		status = MT_KEY_OK;
		*der = data;
		data = NULL;
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	BIO_free(bio);
	return status;
}

/*
 * Is it a P-256 key by the curve's name?
 *
 * Security: parameters spelled out instead (CVE-2020-0601) are refused.
 */
static bool
is_p256(const EVP_PKEY *pkey)
{
	char		group[32];
	size_t		length;
	int			is_explicit = 0;

	return EVP_PKEY_is_a(pkey, "EC") &&
		EVP_PKEY_get_group_name(pkey, group, sizeof(group), &length) == 1 &&
		strcmp(group, SN_X9_62_prime256v1) == 0 &&
		EVP_PKEY_get_int_param(pkey,
							   OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
							   &is_explicit) == 1 &&
		!is_explicit;
}

/* Is one of the numbers of an RSA key odd and at least 3? */
static bool
is_sound_rsa_number(const EVP_PKEY *pkey, const char *name)
{
	BIGNUM	   *number = NULL;
	bool		is_sound;

	is_sound = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 &&
		BN_is_odd(number) && !BN_is_one(number);
	BN_free(number);
	return is_sound;
}

/*
 * Are the numbers those of a key?
 *
 * Security: with exponent 1 every RSA text is its own signature, off the curve
 * nothing is known of ECDSA. OpenSSL's check of RSA also looks for small
 * factors and primality of the modulus; that takes 4 ms at 2048 bits, in every
 * session that meets its first token, and guards only against an issuer who
 * can sign anyway. So RSA gets our short check instead.
 */
static MtKeyStatus
check_numbers(MtAlgorithm algorithm, EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx;
	MtKeyStatus status;

	if (algorithm == MT_ALG_RS256)
		return is_sound_rsa_number(pkey, OSSL_PKEY_PARAM_RSA_N) &&
			is_sound_rsa_number(pkey, OSSL_PKEY_PARAM_RSA_E) ?
			MT_KEY_OK : MT_KEY_INVALID;

	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx == NULL)
		return MT_KEY_INTERNAL;
	status = EVP_PKEY_public_check(ctx) == 1 ? MT_KEY_OK : MT_KEY_INVALID;
	EVP_PKEY_CTX_free(ctx);
	return status;
}

/* Is it a key that the algorithm may use? */
static MtKeyStatus
check_public_key(MtAlgorithm algorithm, EVP_PKEY *pkey)
{
	switch (algorithm)
	{
		case MT_ALG_EDDSA:
			if (!EVP_PKEY_is_a(pkey, "ED25519"))
				return MT_KEY_WRONG_TYPE;
			break;
		case MT_ALG_ES256:
			if (!is_p256(pkey))
				return MT_KEY_WRONG_TYPE;
			break;
		case MT_ALG_RS256:
			if (!EVP_PKEY_is_a(pkey, "RSA"))
				return MT_KEY_WRONG_TYPE;
			if (EVP_PKEY_get_bits(pkey) < MT_KEY_MIN_RSA_BITS)
				return MT_KEY_TOO_SMALL;
			if (EVP_PKEY_get_bits(pkey) > MT_KEY_MAX_RSA_BITS)
				return MT_KEY_TOO_LARGE;
			break;
		case MT_ALG_HS256:
			return MT_KEY_NEEDS_SECRET;
	}
	return check_numbers(algorithm, pkey);
}

/* Turns a SubjectPublicKeyInfo into a checked key. */
static MtKeyStatus
decode_public_key(MtAlgorithm algorithm, const unsigned char *der,
				  long der_length, EVP_PKEY **out)
{
	const unsigned char *end = der;
	EVP_PKEY   *pkey = d2i_PUBKEY(NULL, &end, der_length);
	MtKeyStatus status;

	*out = NULL;
	if (pkey == NULL)
		return MT_KEY_INVALID;

	status = end == der + der_length ? check_public_key(algorithm, pkey)
		: MT_KEY_INVALID;
	if (status == MT_KEY_OK)
		*out = pkey;
	else
		EVP_PKEY_free(pkey);
	return status;
}

/*
 * Wraps a checked key, which it takes over; NULL where OpenSSL fails.
 *
 * What verifies a hash is made here once: setting it up for each token costs
 * a fifth of an RS256 verification.
 */
static MtVerifyKey *
make_key(MtAlgorithm algorithm, EVP_PKEY *pkey)
{
	MtVerifyKey *key = OPENSSL_zalloc(sizeof(MtVerifyKey));

	if (key == NULL)
	{
		EVP_PKEY_free(pkey);
		return NULL;
	}
	key->algorithm = algorithm;
	key->public_key = pkey;
	if (algorithm == MT_ALG_EDDSA)
		return key;

	key->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	key->verifier = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (key->sha256 == NULL || key->verifier == NULL ||
		EVP_PKEY_verify_init(key->verifier) != 1 ||
		EVP_PKEY_CTX_set_signature_md(key->verifier, key->sha256) != 1 ||
		(algorithm == MT_ALG_RS256 &&
		 EVP_PKEY_CTX_set_rsa_padding(key->verifier, RSA_PKCS1_PADDING) != 1))
	{
		MtVerifyKeyFree(key);
		return NULL;
	}
	return key;
}

MtKeyStatus
MtVerifyKeyFromPem(MtAlgorithm algorithm, const char *pem, size_t length,
				   MtVerifyKey **out)
{
	unsigned char *der = NULL;
	long		der_length = 0;
	EVP_PKEY   *pkey = NULL;
	MtKeyStatus status;

	*out = NULL;
	if (algorithm == MT_ALG_HS256)
		return MT_KEY_NEEDS_SECRET;
	if (length > MT_KEY_MAX_PEM)
		return MT_KEY_TOO_LARGE;

	ERR_clear_error();
	status = decode_pem(pem, length, &der, &der_length);
	if (status == MT_KEY_OK)
		status = decode_public_key(algorithm, der, der_length, &pkey);
	OPENSSL_free(der);

	if (status == MT_KEY_OK)
	{
		*out = make_key(algorithm, pkey);
		if (*out == NULL)
			status = MT_KEY_INTERNAL;
	}
	ERR_clear_error();
	return status;
}

/* An HMAC-SHA-256 context that keeps its key; NULL where OpenSSL fails. */
static EVP_MAC_CTX *
make_mac(const unsigned char *secret, size_t length)
{
	char		digest[] = "SHA256";
	OSSL_PARAM	params[2];
	EVP_MAC    *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
												 digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (ctx != NULL && EVP_MAC_init(ctx, secret, length, params) != 1)
	{
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_MAC_free(mac);			/* ctx holds its own reference */
	return ctx;
}

MtKeyStatus
MtVerifyKeyFromSecret(const unsigned char *secret, size_t length,
					  MtVerifyKey **out)
{
	*out = NULL;

	/*
	 * Security: the public key of a key pair is no secret. Whoever points
	 * secret_file at it by mistake would let anybody sign.
	 */
	if (count_of(PEM_BEGIN, secret, length) > 0)
		return MT_KEY_SECRET_IS_PEM;
	if (length < MT_KEY_MIN_SECRET)
		return MT_KEY_SECRET_TOO_SHORT;
	if (length > MT_KEY_MAX_SECRET)
		return MT_KEY_SECRET_TOO_LONG;

	ERR_clear_error();
	*out = OPENSSL_zalloc(sizeof(MtVerifyKey));
	if (*out != NULL)
	{
		(*out)->algorithm = MT_ALG_HS256;
		(*out)->mac = make_mac(secret, length);
		if ((*out)->mac == NULL)
		{
			MtVerifyKeyFree(*out);
			*out = NULL;
		}
	}
	ERR_clear_error();
	return *out == NULL ? MT_KEY_INTERNAL : MT_KEY_OK;
}

void
MtVerifyKeyFree(MtVerifyKey *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_CTX_free(key->verifier);
	EVP_MD_free(key->sha256);
	EVP_PKEY_free(key->public_key);
	EVP_MAC_CTX_free(key->mac); /* wipes the secret */
	OPENSSL_clear_free(key, sizeof(*key));
}

/* Rewrites an ES256 signature r || s as the DER that OpenSSL reads; or 0. */
static size_t
encode_ecdsa(const unsigned char *signature, unsigned char *der)
{
	ECDSA_SIG  *sig = ECDSA_SIG_new();
	BIGNUM	   *r = BN_bin2bn(signature, P256_SCALAR_SIZE, NULL);
	BIGNUM	   *s = BN_bin2bn(signature + P256_SCALAR_SIZE, P256_SCALAR_SIZE,
							  NULL);
	int			length = 0;

	if (sig != NULL && r != NULL && s != NULL &&
		ECDSA_SIG_set0(sig, r, s) == 1)
	{
		r = s = NULL;			/* sig's now */
		length = i2d_ECDSA_SIG(sig, NULL);
		if (length <= 0 || length > P256_DER_SIZE ||
			i2d_ECDSA_SIG(sig, &der) != length)
			length = 0;
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return (size_t) length;
}

/* What an OpenSSL verification function said. */
static MtVerifyStatus
verify_result(int result)
{
	if (result == 1)
		return MT_VERIFY_OK;
	return result == 0 ? MT_VERIFY_BAD : MT_VERIFY_INTERNAL;
}

/* Checks an EdDSA signature. */
static MtVerifyStatus
verify_eddsa(const MtVerifyKey *key, const char *text, size_t text_length,
			 const unsigned char *signature, size_t signature_length)
{
	EVP_MD_CTX *ctx;
	MtVerifyStatus status = MT_VERIFY_INTERNAL;

	if (signature_length != ED25519_SIGNATURE_SIZE)
		return MT_VERIFY_BAD;

	ctx = EVP_MD_CTX_new();
	if (ctx != NULL &&
		EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key->public_key,
								NULL) == 1)
		status = verify_result(EVP_DigestVerify(ctx, signature,
												signature_length,
												(const unsigned char *) text,
												text_length));
	EVP_MD_CTX_free(ctx);
	return status;
}

/* Checks a signature of the text's SHA-256, in the encoding of OpenSSL. */
static MtVerifyStatus
verify_hash(const MtVerifyKey *key, const char *text, size_t text_length,
			const unsigned char *signature, size_t signature_length)
{
	unsigned char hash[SHA256_SIZE];

	if (EVP_Digest(text, text_length, hash, NULL, key->sha256, NULL) != 1)
		return MT_VERIFY_INTERNAL;
	return verify_result(EVP_PKEY_verify(key->verifier, signature,
										 signature_length, hash,
										 sizeof(hash)));
}

/* Checks an ES256 signature, which RFC 7518 section 3.4 wants as r || s. */
static MtVerifyStatus
verify_ecdsa(const MtVerifyKey *key, const char *text, size_t text_length,
			 const unsigned char *signature, size_t signature_length)
{
	unsigned char der[P256_DER_SIZE];
	size_t		der_length;

	/* Security: DER would be a second spelling of the same signature. */
	if (signature_length != 2 * P256_SCALAR_SIZE)
		return MT_VERIFY_BAD;
	der_length = encode_ecdsa(signature, der);
	if (der_length == 0)
		return MT_VERIFY_INTERNAL;
	return verify_hash(key, text, text_length, der, der_length);
}

/* Checks an RS256 signature, which is exactly as long as the modulus. */
static MtVerifyStatus
verify_rsa(const MtVerifyKey *key, const char *text, size_t text_length,
		   const unsigned char *signature, size_t signature_length)
{
	if (signature_length != (size_t) EVP_PKEY_get_size(key->public_key))
		return MT_VERIFY_BAD;
	return verify_hash(key, text, text_length, signature, signature_length);
}

/* Checks an HS256 signature in constant time. */
static MtVerifyStatus
verify_mac(const MtVerifyKey *key, const char *text, size_t text_length,
		   const unsigned char *signature, size_t signature_length)
{
	unsigned char mac[SHA256_SIZE];
	size_t		mac_length = 0;
	MtVerifyStatus status = MT_VERIFY_INTERNAL;

	if (signature_length != SHA256_SIZE)
		return MT_VERIFY_BAD;

	/* Without a key the context starts anew with the one it has. */
	if (EVP_MAC_init(key->mac, NULL, 0, NULL) == 1 &&
		EVP_MAC_update(key->mac, (const unsigned char *) text,
					   text_length) == 1 &&
		EVP_MAC_final(key->mac, mac, &mac_length, sizeof(mac)) == 1 &&
		mac_length == SHA256_SIZE)
		status = CRYPTO_memcmp(mac, signature, SHA256_SIZE) == 0 ?
			MT_VERIFY_OK : MT_VERIFY_BAD;

	/* Security: it is the right signature of a text the attacker chose. */
	OPENSSL_cleanse(mac, sizeof(mac));
	return status;
}

MtVerifyStatus
MtSignatureVerify(MtVerifyKey *key, const char *header_alg,
				  const char *signing_input, size_t signing_input_length,
				  const unsigned char *signature, size_t signature_length)
{
	MtVerifyStatus status = MT_VERIFY_INTERNAL;

	if (strcmp(header_alg, algorithm_names[key->algorithm]) != 0)
		return MT_VERIFY_WRONG_ALGORITHM;

	ERR_clear_error();
	switch (key->algorithm)
	{
		case MT_ALG_EDDSA:
			status = verify_eddsa(key, signing_input, signing_input_length,
								  signature, signature_length);
			break;
		case MT_ALG_ES256:
			status = verify_ecdsa(key, signing_input, signing_input_length,
								  signature, signature_length);
			break;
		case MT_ALG_RS256:
			status = verify_rsa(key, signing_input, signing_input_length,
								signature, signature_length);
			break;
		case MT_ALG_HS256:
			status = verify_mac(key, signing_input, signing_input_length,
								signature, signature_length);
			break;
	}
	ERR_clear_error();
	return status;
}

const char *
MtKeyStatusText(MtKeyStatus status)
{
	switch (status)
	{
		case MT_KEY_OK:
			return "The key is usable.";
		case MT_KEY_INTERNAL:
			return "OpenSSL could not load the key.";
		case MT_KEY_NOT_PEM:
			return "The text is not exactly one PEM block \"PUBLIC KEY\".";
		case MT_KEY_PRIVATE:
			return "The text contains a private key; only the public key belongs here.";
		case MT_KEY_WRONG_TYPE:
			return "The key is not of the algorithm's type: EdDSA needs Ed25519, ES256 needs P-256, RS256 needs RSA.";
		case MT_KEY_TOO_SMALL:
			return "The RSA key has fewer than 2048 bits.";
		case MT_KEY_TOO_LARGE:
			return "The RSA key has more than 8192 bits, or its text is too long.";
		case MT_KEY_INVALID:
			return "The PEM block is not a valid public key.";
		case MT_KEY_NEEDS_SECRET:
			return "HS256 needs a secret, not a public key.";
		case MT_KEY_SECRET_TOO_SHORT:
			return "The secret has fewer than 32 bytes.";
		case MT_KEY_SECRET_TOO_LONG:
			return "The secret has more than 1024 bytes.";
		case MT_KEY_SECRET_IS_PEM:
			return "The secret is a PEM text; a key pair cannot serve as an HS256 secret.";
	}
	return "Unknown status.";
}
