/*
 * cipher.h
 *	  The ciphers of envelope encryption, on OpenSSL 3.
 *
 * Needs nothing of the server. Functions return codes and never throw; they
 * leave nothing of theirs in OpenSSL's error queue. An object keeps its key schedule, so
 * that a value costs a new nonce only; whoever makes one owns and frees it.
 */
#ifndef MT_CIPHER_H
#define MT_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MT_SECRET_BYTES 32		/* of every key: AES-256, HMAC-SHA256 */
#define MT_NONCE_BYTES 12
#define MT_TAG_BYTES 16
#define MT_MAC_BYTES 32
#define MT_KCV_BYTES 8			/* a key check value */
#define MT_TENANT_BYTES 16		/* a tenant's uuid */

/* Security: zero is not success, so a forgotten assignment does not open anything. */
typedef enum MtCipherStatus
{
	MT_CIPHER_INTERNAL = 0,		/* OpenSSL failed, out of memory */
	MT_CIPHER_OK,
	MT_CIPHER_FORGED			/* not what this key sealed with this
								 * associated data */
} MtCipherStatus;

/* Fetches what the objects below are made of; once in a process, again harmless. */
extern bool MtCipherInit(void);

/* ---- AES-256-GCM ---- */

typedef struct MtGcm MtGcm;

extern MtGcm *MtGcmCreate(const unsigned char secret[MT_SECRET_BYTES]); /* NULL: OpenSSL failed */
extern void MtGcmFree(MtGcm *gcm);	/* wipes; NULL is allowed */

/*
 * One message: begin, any number of updates (each yields as many bytes as it
 * takes, so that a long value can be fed in pieces), end. A message that was not
 * ended is forgotten by the next begin. The associated data has two parts, the
 * second may be NULL. No plaintext may be used before MtGcmOpenEnd() says OK.
 */
extern MtCipherStatus MtGcmSealBegin(MtGcm *gcm, const unsigned char nonce[MT_NONCE_BYTES],
									 const void *aad, size_t aad_length,
									 const void *more_aad, size_t more_length);
extern MtCipherStatus MtGcmOpenBegin(MtGcm *gcm, const unsigned char nonce[MT_NONCE_BYTES],
									 const void *aad, size_t aad_length,
									 const void *more_aad, size_t more_length);
extern MtCipherStatus MtGcmUpdate(MtGcm *gcm, const void *in, size_t length, void *out);
extern MtCipherStatus MtGcmSealEnd(MtGcm *gcm, unsigned char tag[MT_TAG_BYTES]);
extern MtCipherStatus MtGcmOpenEnd(MtGcm *gcm, const unsigned char tag[MT_TAG_BYTES]);

/* ---- AES-256-SIV (RFC 5297), deterministic ---- */

typedef struct MtSiv MtSiv;

/* The first associated data is the key's own and is computed once. */
extern MtSiv *MtSivCreate(const unsigned char mac_secret[MT_SECRET_BYTES],
						  const unsigned char ctr_secret[MT_SECRET_BYTES],
						  const void *aad, size_t aad_length);
extern void MtSivFree(MtSiv *siv);

/*
 * The context is a second associated data, NULL for none (none and an empty one
 * differ). out has room for length bytes and may not overlap in. MtSivOpen wipes
 * out unless the answer is OK.
 */
extern MtCipherStatus MtSivSeal(MtSiv *siv, const void *context, size_t context_length,
								const void *in, size_t length, void *out,
								unsigned char tag[MT_TAG_BYTES]);
extern MtCipherStatus MtSivOpen(MtSiv *siv, const void *context, size_t context_length,
								const void *in, size_t length, void *out,
								const unsigned char tag[MT_TAG_BYTES]);

/* ---- HMAC-SHA256 ---- */

typedef struct MtMac MtMac;

extern MtMac *MtMacCreate(const unsigned char secret[MT_SECRET_BYTES]);
extern void MtMacFree(MtMac *mac);
extern MtCipherStatus MtMacCompute(MtMac *mac, const void *data, size_t length,
								   unsigned char out[MT_MAC_BYTES]);

/* ---- derivation, randomness ---- */

/*
 * HKDF-Expand (RFC 5869, SHA-256) of a secret: info is "multitenant/v1/" usage 00
 * tenant purpose. No secret is used for two things without it.
 */
extern MtCipherStatus MtDeriveSecret(const unsigned char secret[MT_SECRET_BYTES],
									 const char *usage,
									 const unsigned char tenant[MT_TENANT_BYTES],
									 const char *purpose,
									 unsigned char out[MT_SECRET_BYTES]);

/* Recognises a secret without telling it: derived for usage "kcv", no tenant, no purpose. */
extern MtCipherStatus MtKeyCheckValue(const unsigned char secret[MT_SECRET_BYTES],
									  unsigned char kcv[MT_KCV_BYTES]);

/* Random bytes of the private generator; false: none, use nothing. */
extern bool MtRandomSecret(void *out, size_t length);

/* Wipes memory, also where nobody reads it any more. */
extern void MtWipe(void *memory, size_t length);

#endif							/* MT_CIPHER_H */
