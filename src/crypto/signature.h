/*
 * signature.h
 *	  Verification keys and signatures of credentials, on OpenSSL 3.
 *
 * Needs nothing of the server. Functions return codes and never throw; the
 * OpenSSL error queue is empty after each.
 */
#ifndef MT_SIGNATURE_H
#define MT_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

/* The shortest secret: as long as the hash (RFC 7518 section 3.2). */
#define MT_KEY_MIN_SECRET 32

/* The longest secret; more only makes a wrong file look like a key. */
#define MT_KEY_MAX_SECRET 1024

/* The longest PEM text; a public key of RSA 8192 needs about 1,500 bytes. */
#define MT_KEY_MAX_PEM 16384

/* RSA sizes; the upper one bounds the time a forged signature can cost. */
#define MT_KEY_MIN_RSA_BITS 2048
#define MT_KEY_MAX_RSA_BITS 8192

typedef enum MtAlgorithm
{
	MT_ALG_EDDSA,				/* Ed25519 */
	MT_ALG_ES256,				/* ECDSA, P-256, SHA-256 */
	MT_ALG_RS256,				/* RSASSA-PKCS1-v1_5, SHA-256 */
	MT_ALG_HS256				/* HMAC, SHA-256 */
} MtAlgorithm;

typedef enum MtKeyStatus
{
	MT_KEY_INTERNAL = 0,		/* OpenSSL failed, out of memory */
	MT_KEY_OK,
	MT_KEY_NOT_PEM,				/* not exactly one PEM block PUBLIC KEY */
	MT_KEY_PRIVATE,				/* a private key, which must not come here */
	MT_KEY_WRONG_TYPE,			/* of another algorithm or curve */
	MT_KEY_TOO_SMALL,			/* RSA below 2048 bits */
	MT_KEY_TOO_LARGE,			/* RSA above 8192 bits, or the text too long */
	MT_KEY_INVALID,				/* its numbers are no key */
	MT_KEY_NEEDS_SECRET,		/* HS256 has no public key */
	MT_KEY_SECRET_TOO_SHORT,
	MT_KEY_SECRET_TOO_LONG,
	MT_KEY_SECRET_IS_PEM		/* a key pair's text is not a secret */
} MtKeyStatus;

/* Security: zero is not success, so a forgotten assignment does not verify. */
typedef enum MtVerifyStatus
{
	MT_VERIFY_INTERNAL = 0,		/* OpenSSL failed; refuse */
	MT_VERIFY_OK,
	MT_VERIFY_BAD,				/* not this key's signature of this text */
	MT_VERIFY_WRONG_ALGORITHM	/* header names another than the key's */
} MtVerifyStatus;

/* A key together with the only algorithm it may be used with. */
typedef struct MtVerifyKey MtVerifyKey;

/* Finds an algorithm by its JWA name, exactly; "none" is not one. */
extern bool MtAlgorithmFromName(const char *name, MtAlgorithm *algorithm);

/* The JWA name of an algorithm. */
extern const char *MtAlgorithmName(MtAlgorithm algorithm);

/* Makes a key from one PEM block PUBLIC KEY; free it with MtVerifyKeyFree. */
extern MtKeyStatus MtVerifyKeyFromPem(MtAlgorithm algorithm, const char *pem,
									  size_t length, MtVerifyKey **out);

/* Makes an HS256 key; the caller wipes its own copy of the secret. */
extern MtKeyStatus MtVerifyKeyFromSecret(const unsigned char *secret,
										 size_t length, MtVerifyKey **out);

/* Frees and wipes a key; NULL is allowed. */
extern void MtVerifyKeyFree(MtVerifyKey *key);

/* The algorithm that the key was made for. */
extern MtAlgorithm MtVerifyKeyAlgorithm(const MtVerifyKey *key);

/* Checks a signature; everything but MT_VERIFY_OK means refuse. */
extern MtVerifyStatus MtSignatureVerify(MtVerifyKey *key,
										const char *header_alg,
										const char *signing_input,
										size_t signing_input_length,
										const unsigned char *signature,
										size_t signature_length);

/* What is wrong with a key, a sentence in English for an error's DETAIL. */
extern const char *MtKeyStatusText(MtKeyStatus status);

#endif							/* MT_SIGNATURE_H */
