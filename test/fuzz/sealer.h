/*
 * sealer.h
 *	  Encrypted values and wrapped keys, made and opened without src/crypto.
 *
 * Everything is fixed but key, nonce and text: the fuzzers' tenant, purpose,
 * class and context. Slow and simple, by OpenSSL's one-shot functions.
 */
#ifndef MT_FUZZ_SEALER_H
#define MT_FUZZ_SEALER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/ciphertext.h"
#include "crypto/wrap.h"

#define SEALER_KEY_COUNT 3
#define SEALER_BINDING_COUNT 9

/* The longest text of a value; the longest value is MT_GCM_OVERHEAD longer. */
#define SEALER_LONGEST 3000

#define SEALER_PURPOSE "card"
#define SEALER_CLASS 'd'
#define SEALER_CONTEXT "customers.ssn:7"

/* Ids and secrets of keys; values' and wrapping ones alike. */
extern const uint64_t sealer_ids[SEALER_KEY_COUNT];
extern const unsigned char sealer_secrets[SEALER_KEY_COUNT][MT_SECRET_BYTES];
extern const unsigned char sealer_tenant[MT_TENANT_BYTES];

/* The first, then others, each with another value in one field. */
extern const MtWrapBinding sealer_bindings[SEALER_BINDING_COUNT];

/* The key with this id, or -1. */
extern int	find_sealer_key(uint64_t id);

/* The secret that a key has for a usage. */
extern void derive_by_hmac(int key, const char *usage,
						   unsigned char out[MT_SECRET_BYTES]);

/* HMAC-SHA256. */
extern void hmac_of(const unsigned char *secret, const void *data, size_t length,
					unsigned char out[MT_MAC_BYTES]);

/* Writes a value; returns its length. The nonce is used by suite 1. */
extern size_t seal_value(int key, MtSuite suite, bool is_bound,
						 const unsigned char nonce[MT_NONCE_BYTES],
						 const unsigned char *text, size_t length,
						 unsigned char *out);

/* Opens a value of at most SEALER_LONGEST + MT_GCM_OVERHEAD bytes. */
extern bool open_value(const unsigned char *value, size_t length,
					   unsigned char *text, size_t *text_length);

/* Wraps a key of 1 to 1024 bytes; returns the length. */
extern size_t wrap_by_hand(int wrapping, const MtWrapBinding *binding,
						   const unsigned char nonce[MT_NONCE_BYTES],
						   const unsigned char *key, size_t length,
						   unsigned char *out);

/* Unwraps it. */
extern bool unwrap_by_hand(const MtWrapBinding *binding,
						   const unsigned char *wrapped, size_t length,
						   unsigned char *key, size_t *key_length);

#endif							/* MT_FUZZ_SEALER_H */
