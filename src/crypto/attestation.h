/*
 * attestation.h
 *	  Signatures (Ed25519) of what this server attests, such as that keys were destroyed.
 *
 * Needs nothing of the server. Functions return codes and never throw; the
 * OpenSSL error queue is empty after each.
 */
#ifndef MT_ATTESTATION_H
#define MT_ATTESTATION_H

#include "crypto/cipher.h"

#define MT_SIGNER_BYTES 32		/* a public key */
#define MT_SIGNATURE_BYTES 64

/* Signs with the key pair of a seed, and tells its public key. */
extern MtCipherStatus MtAttestationSign(const unsigned char seed[MT_SECRET_BYTES],
										const void *text, size_t length,
										unsigned char signer[MT_SIGNER_BYTES],
										unsigned char signature[MT_SIGNATURE_BYTES]);

/* MT_CIPHER_FORGED: not what the owner of that public key signed. */
extern MtCipherStatus MtAttestationVerify(const unsigned char signer[MT_SIGNER_BYTES],
										  const void *text, size_t length,
										  const unsigned char signature[MT_SIGNATURE_BYTES]);

/* The public key of a seed's key pair. */
extern MtCipherStatus MtAttestationSigner(const unsigned char seed[MT_SECRET_BYTES],
										  unsigned char signer[MT_SIGNER_BYTES]);

#endif							/* MT_ATTESTATION_H */
