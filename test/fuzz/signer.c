/*
 * signer.c
 *	  Fixed keys that sign what the fuzzers make, and base64url to write it.
 *
 * The keys are the same in every run, so that an input which was found once
 * can be tried again anywhere. They protect nothing.
 */
#include "signer.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "property.h"

Signer		signers[SIGNER_COUNT] = {
	{MT_ALG_EDDSA, "ed", NULL, NULL, NULL},
	{MT_ALG_ES256, "es", NULL, NULL, NULL},
	{MT_ALG_RS256, "rs", NULL, NULL, NULL},
	{MT_ALG_HS256, "hs", NULL, NULL, NULL},
};

const unsigned char signer_secret[SIGNER_SECRET_SIZE] = {
	'a', ' ', 's', 'e', 'c', 'r', 'e', 't', ' ', 'o', 'f', ' ', 't', 'h', 'e',
	' ', 'f', 'u', 'z', 'z', 'e', 'r', 's', '.', '.', '.', '.', '.', '.', '.',
	'.', '.'
};

/* Private scalar of Ed25519 and of P-256: any number below the order does. */
static const unsigned char scalar[32] = {
	7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
};

/* The primes of an RSA key of 2048 bits. */
static const char rsa_p[] =
"D9C167E900F0BFE202A2FCA8F4E168325D3F02D404FC9CC1549269F41F343CF5"
"6AFD6F51C57DAC9BC1FA728E610C0DD910F51573B5DE2ED9F4B43A70183D458A"
"A914D410206005969A59BBD2B76AE793CC283A30A0651BB82FAAB0ECDA3AE69F"
"FDEEAEF480A09843A13186B832450037DD5C3D8BD02608A1C8C8011BD6D59A0B";
static const char rsa_q[] =
"B7722097146BDDF6CEBDAE51B6E766FABC68B3F7753482113804AA56431EF79D"
"24B632D02D963F67B1F3AB18E0330DCFE1855A9CD453CED2E70377EBF9781099"
"950E9AF9C5E20F735244DBFB88905185DB74BF34EAF4D229E4DD5249644F84D0"
"7C89259CBEF4F82CA188E730A8B0D62990706A5E1D5C0FB86D381695A7B54D37";

/* Makes a key pair of the numbers that were pushed, and frees the builder. */
static EVP_PKEY *
build_key(const char *type, OSSL_PARAM_BLD *builder)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY   *pkey = NULL;

	PROPERTY(params != NULL && ctx != NULL &&
			 EVP_PKEY_fromdata_init(ctx) == 1 &&
			 EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1,
			 "OpenSSL makes the fuzzers' key");
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *
make_p256(void)
{
	EC_GROUP   *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT   *point = EC_POINT_new(group);
	BIGNUM	   *number = BN_bin2bn(scalar, sizeof(scalar), NULL);
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	unsigned char encoded[65];
	EVP_PKEY   *pkey;

	PROPERTY(EC_POINT_mul(group, point, number, NULL, NULL, NULL) == 1 &&
			 EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED,
								encoded, sizeof(encoded), NULL) == sizeof(encoded),
			 "OpenSSL computes the fuzzers' point");
	OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
									SN_X9_62_prime256v1, 0);
	OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY,
									 encoded, sizeof(encoded));
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number);
	pkey = build_key("EC", builder);
	BN_free(number);
	EC_POINT_free(point);
	EC_GROUP_free(group);
	return pkey;
}

static EVP_PKEY *
make_rsa(void)
{
	BN_CTX	   *ctx = BN_CTX_new();
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM	   *p = NULL;
	BIGNUM	   *q = NULL;
	BIGNUM	   *n = BN_new();
	BIGNUM	   *e = BN_new();
	BIGNUM	   *d = BN_new();
	BIGNUM	   *phi = BN_new();
	BIGNUM	   *dp = BN_new();
	BIGNUM	   *dq = BN_new();
	BIGNUM	   *qinv = BN_new();
	EVP_PKEY   *pkey;

	BN_hex2bn(&p, rsa_p);
	BN_hex2bn(&q, rsa_q);
	BN_set_word(e, RSA_F4);
	BN_mul(n, p, q, ctx);
	BN_sub(dp, p, BN_value_one());
	BN_sub(dq, q, BN_value_one());
	BN_mul(phi, dp, dq, ctx);
	BN_mod_inverse(d, e, phi, ctx);
	BN_mod(dp, d, dp, ctx);
	BN_mod(dq, d, dq, ctx);
	BN_mod_inverse(qinv, q, p, ctx);

	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_D, d);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_FACTOR1, p);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_FACTOR2, q);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv);
	pkey = build_key("RSA", builder);
	BN_free(p);
	BN_free(q);
	BN_free(n);
	BN_free(e);
	BN_free(d);
	BN_free(phi);
	BN_free(dp);
	BN_free(dq);
	BN_free(qinv);
	BN_CTX_free(ctx);
	return pkey;
}

static char *
public_pem_of(EVP_PKEY *pkey)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *text;
	char	   *copy;
	long		length;

	PROPERTY(PEM_write_bio_PUBKEY(bio, pkey) == 1, "OpenSSL writes PEM");
	length = BIO_get_mem_data(bio, &text);
	copy = calloc(1, (size_t) length + 1);
	memcpy(copy, text, (size_t) length);
	BIO_free(bio);
	return copy;
}

void
make_signers(void)
{
	if (signers[0].key != NULL)
		return;
	signers[MT_ALG_EDDSA].pkey =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, scalar,
									 sizeof(scalar));
	signers[MT_ALG_ES256].pkey = make_p256();
	signers[MT_ALG_RS256].pkey = make_rsa();
	for (int i = 0; i < SIGNER_COUNT; i++)
	{
		Signer	   *signer = &signers[i];
		MtKeyStatus status;

		if (signer->algorithm == MT_ALG_HS256)
			status = MtVerifyKeyFromSecret(signer_secret, sizeof(signer_secret),
										   &signer->key);
		else
		{
			signer->public_pem = public_pem_of(signer->pkey);
			status = MtVerifyKeyFromPem(signer->algorithm, signer->public_pem,
										strlen(signer->public_pem),
										&signer->key);
		}
		PROPERTY(status == MT_KEY_OK &&
				 MtVerifyKeyAlgorithm(signer->key) == signer->algorithm,
				 "a good key is accepted");
	}
}

Signer *
find_signer(const char *kid)
{
	for (int i = 0; i < SIGNER_COUNT; i++)
		if (strcmp(signers[i].kid, kid) == 0)
			return &signers[i];
	return NULL;
}

size_t
write_base64url(char *out, const void *data, size_t length)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *bytes = data;
	size_t		written = 0;

	for (size_t i = 0; i < length; i += 3)
	{
		size_t		left = length - i;
		uint32_t	bits = (uint32_t) bytes[i] << 16;

		if (left > 1)
			bits |= (uint32_t) bytes[i + 1] << 8;
		if (left > 2)
			bits |= bytes[i + 2];
		out[written++] = digits[bits >> 18 & 63];
		out[written++] = digits[bits >> 12 & 63];
		if (left > 1)
			out[written++] = digits[bits >> 6 & 63];
		if (left > 2)
			out[written++] = digits[bits & 63];
	}
	return written;
}

size_t
read_base64url(unsigned char *out, size_t size, const char *text, size_t length)
{
	uint32_t	bits = 0;
	int			bit_count = 0;
	size_t		written = 0;

	for (size_t i = 0; i < length && written < size; i++)
	{
		char		c = text[i];
		int			digit;

		if (c >= 'A' && c <= 'Z')
			digit = c - 'A';
		else if (c >= 'a' && c <= 'z')
			digit = c - 'a' + 26;
		else if (c >= '0' && c <= '9')
			digit = c - '0' + 52;
		else if (c == '-' || c == '+')
			digit = 62;
		else if (c == '_' || c == '/')
			digit = 63;
		else
			continue;
		bits = (bits << 6 | (uint32_t) digit) & 0xFFFF;
		bit_count += 6;
		if (bit_count >= 8)
		{
			bit_count -= 8;
			out[written++] = (unsigned char) (bits >> bit_count & 0xFF);
		}
	}
	return written;
}

/* r || s out of DER. */
static void
write_raw_ecdsa(const unsigned char *der, size_t length, unsigned char *raw)
{
	ECDSA_SIG  *sig = d2i_ECDSA_SIG(NULL, &der, (long) length);

	PROPERTY(sig != NULL &&
			 BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
			 BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32,
			 "OpenSSL makes ECDSA signatures");
	ECDSA_SIG_free(sig);
}

size_t
sign_text(const Signer *signer, const char *text, size_t length,
		  unsigned char *signature)
{
	const unsigned char *bytes = (const unsigned char *) text;
	unsigned char buffer[MT_JWS_MAX_SIGNATURE];
	size_t		written = sizeof(buffer);
	EVP_MD_CTX *ctx;

	if (signer->algorithm == MT_ALG_HS256)
	{
		HMAC(EVP_sha256(), signer_secret, sizeof(signer_secret), bytes, length,
			 signature, NULL);
		return 32;
	}
	ctx = EVP_MD_CTX_new();
	PROPERTY(EVP_DigestSignInit_ex(ctx, NULL,
								   signer->algorithm == MT_ALG_EDDSA ? NULL : "SHA256",
								   NULL, NULL, signer->pkey, NULL) == 1 &&
			 EVP_DigestSign(ctx, buffer, &written, bytes, length) == 1,
			 "OpenSSL signs");
	EVP_MD_CTX_free(ctx);
	if (signer->algorithm == MT_ALG_ES256)
	{
		write_raw_ecdsa(buffer, written, signature);
		return 64;
	}
	memcpy(signature, buffer, written);
	return written;
}

size_t
write_token(const Signer *signer, const void *header, size_t header_length,
			const void *claims, size_t claims_length, char *out)
{
	unsigned char signature[MT_JWS_MAX_SIGNATURE];
	size_t		length;

	if ((header_length + claims_length + MT_JWS_MAX_SIGNATURE) / 3 * 4 + 16 > TOKEN_SIZE)
		return 0;
	length = write_base64url(out, header, header_length);
	out[length++] = '.';
	length += write_base64url(out + length, claims, claims_length);
	header_length = sign_text(signer, out, length, signature);
	out[length++] = '.';
	return length + write_base64url(out + length, signature, header_length);
}

/* Asks OpenSSL about r || s, written as DER by its own types. */
static bool
is_ecdsa_signature(const Signer *signer, const char *text, size_t length,
				   const unsigned char *signature)
{
	ECDSA_SIG  *sig = ECDSA_SIG_new();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	int			der_length;
	bool		is_valid;

	ECDSA_SIG_set0(sig, BN_bin2bn(signature, 32, NULL),
				   BN_bin2bn(signature + 32, 32, NULL));
	der_length = i2d_ECDSA_SIG(sig, &der);
	is_valid = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL,
									signer->pkey) == 1 &&
		EVP_DigestVerify(ctx, der, (size_t) der_length,
						 (const unsigned char *) text, length) == 1;
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	ERR_clear_error();
	return is_valid;
}

/* Undoes the signature with the public key and looks at what was signed. */
static bool
is_rsa_signature(const Signer *signer, const char *text, size_t length,
				 const unsigned char *signature, size_t signature_length)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, signer->pkey, NULL);
	unsigned char hash[32];
	unsigned char signed_hash[MT_JWS_MAX_SIGNATURE];
	size_t		size = sizeof(signed_hash);
	bool		is_valid;

	is_valid = EVP_Digest(text, length, hash, NULL, EVP_sha256(), NULL) == 1 &&
		EVP_PKEY_verify_recover_init(ctx) == 1 &&
		EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		EVP_PKEY_verify_recover(ctx, signed_hash, &size, signature,
								signature_length) == 1 &&
		size == sizeof(hash) && memcmp(hash, signed_hash, size) == 0;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return is_valid;
}

bool
is_signature(const Signer *signer, const char *text, size_t length,
			 const unsigned char *signature, size_t signature_length)
{
	unsigned char expected[MT_JWS_MAX_SIGNATURE];

	if (signer->algorithm == MT_ALG_ES256)
		return signature_length == 64 &&
			is_ecdsa_signature(signer, text, length, signature);
	if (signer->algorithm == MT_ALG_RS256)
		return is_rsa_signature(signer, text, length, signature,
								signature_length);
	return signature_length == sign_text(signer, text, length, expected) &&
		memcmp(signature, expected, signature_length) == 0;
}
