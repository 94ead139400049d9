/*
 * signer.h
 *	  Fixed keys that sign what the fuzzers make, and base64url to write it.
 */
#ifndef MT_FUZZ_SIGNER_H
#define MT_FUZZ_SIGNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "crypto/jws.h"
#include "crypto/signature.h"

#define SIGNER_COUNT 4
#define SIGNER_SECRET_SIZE 32

/* Room for a token that is much too long. */
#define TOKEN_SIZE (2 * MT_JWS_MAX_LENGTH)

typedef struct Signer
{
	MtAlgorithm algorithm;
	const char *kid;
	EVP_PKEY   *pkey;			/* not HS256 */
	char	   *public_pem;		/* not HS256 */
	MtVerifyKey *key;
} Signer;

/* In the order of MtAlgorithm. */
extern Signer signers[SIGNER_COUNT];
extern const unsigned char signer_secret[SIGNER_SECRET_SIZE];

/* Makes the same keys in every run; aborts where OpenSSL fails. */
extern void make_signers(void);

/* The signer whose key has this id, NULL for any other id. */
extern Signer *find_signer(const char *kid);

/* Writes base64url without a NUL; returns its length. */
extern size_t write_base64url(char *out, const void *data, size_t length);

/* Decodes base64url, also a damaged one, as far as it goes. */
extern size_t read_base64url(unsigned char *out, size_t size,
							 const char *text, size_t length);

/* Signs; the signature has at most MT_JWS_MAX_SIGNATURE bytes. */
extern size_t sign_text(const Signer *signer, const char *text, size_t length,
						unsigned char *signature);

/* A signed token of two JSON texts in TOKEN_SIZE bytes; 0: does not fit. */
extern size_t write_token(const Signer *signer,
						  const void *header, size_t header_length,
						  const void *claims, size_t claims_length, char *out);

/*
 * Is this the signer's signature? Found without src/crypto: MACs and
 * EdDSA's are made again and compared, RSA's are undone, ECDSA's are checked by
 * OpenSSL's one-shot interface.
 */
extern bool is_signature(const Signer *signer, const char *text, size_t length,
						 const unsigned char *signature,
						 size_t signature_length);

#endif							/* MT_FUZZ_SIGNER_H */
