/*
 * attestation.c
 *	  Signatures (Ed25519) of what this server attests.
 *
 * Owns nothing: each function makes, uses and frees its OpenSSL objects. Invariant: an answer
 * other than OK leaves no signature and no key behind.
 */
#include "crypto/attestation.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static bool
public_key(EVP_PKEY *pair, unsigned char signer[MT_SIGNER_BYTES])
{
	size_t		length = MT_SIGNER_BYTES;

	return EVP_PKEY_get_raw_public_key(pair, signer, &length) == 1 && length == MT_SIGNER_BYTES;
}

MtCipherStatus
MtAttestationSigner(const unsigned char seed[MT_SECRET_BYTES], unsigned char signer[MT_SIGNER_BYTES])
{
	EVP_PKEY   *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, MT_SECRET_BYTES);
	bool		is_done = pair != NULL && public_key(pair, signer);

	EVP_PKEY_free(pair);
	ERR_clear_error();
	return is_done ? MT_CIPHER_OK : MT_CIPHER_INTERNAL;
}

MtCipherStatus
MtAttestationSign(const unsigned char seed[MT_SECRET_BYTES], const void *text, size_t length,
				  unsigned char signer[MT_SIGNER_BYTES],
				  unsigned char signature[MT_SIGNATURE_BYTES])
{
	EVP_PKEY   *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, MT_SECRET_BYTES);
	EVP_MD_CTX *signing = EVP_MD_CTX_new();
	size_t		signature_length = MT_SIGNATURE_BYTES;
	bool		is_done;

	is_done = pair != NULL && signing != NULL && public_key(pair, signer) &&
		EVP_DigestSignInit(signing, NULL, NULL, NULL, pair) == 1 &&
		EVP_DigestSign(signing, signature, &signature_length, text, length) == 1 &&
		signature_length == MT_SIGNATURE_BYTES;
	EVP_MD_CTX_free(signing);
	EVP_PKEY_free(pair);
	ERR_clear_error();
	if (is_done)
		return MT_CIPHER_OK;
	memset(signature, 0, MT_SIGNATURE_BYTES);
	return MT_CIPHER_INTERNAL;
}

MtCipherStatus
MtAttestationVerify(const unsigned char signer[MT_SIGNER_BYTES], const void *text, size_t length,
					const unsigned char signature[MT_SIGNATURE_BYTES])
{
	EVP_PKEY   *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, signer, MT_SIGNER_BYTES);
	EVP_MD_CTX *verifying = EVP_MD_CTX_new();
	MtCipherStatus status = MT_CIPHER_INTERNAL;

	if (key != NULL && verifying != NULL &&
		EVP_DigestVerifyInit(verifying, NULL, NULL, NULL, key) == 1)
		status = EVP_DigestVerify(verifying, signature, MT_SIGNATURE_BYTES, text, length) == 1 ?
			MT_CIPHER_OK : MT_CIPHER_FORGED;
	EVP_MD_CTX_free(verifying);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return status;
}
