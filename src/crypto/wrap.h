/*
 * wrap.h
 *	  A key under another key: AES-256-GCM, bound to what the key is for.
 *
 * Needs nothing of the server. Format, 70 bytes: 01, algorithm 01, id of the
 * wrapping key (8, big endian), nonce (12), key (32), tag (16).
 */
#ifndef MT_WRAP_H
#define MT_WRAP_H

#include "crypto/cipher.h"

#define MT_WRAPPED_BYTES 70

typedef enum MtWrapLevel
{
	MT_WRAP_TENANT_KEY = 1,		/* a KEK under a MEK */
	MT_WRAP_DATA_KEY = 2,		/* a CEK under a KEK */
	MT_WRAP_SIGNING_SECRET = 3, /* a token secret under a MEK; may be longer
								 * than 32 bytes */
	MT_WRAP_EXPORTED_KEY = 4	/* a key on its way to another installation */
} MtWrapLevel;

/*
 * Everything that a wrapped key is bound to. Unwrapping under other values fails.
 * Serialised with lengths, in this order, after "mtwrap/v1".
 */
typedef struct MtWrapBinding
{
	MtWrapLevel level;
	unsigned char tenant[MT_TENANT_BYTES];	/* zeros: of no tenant */
	uint64_t	key_id;			/* of the key that is wrapped */
	int32_t		version;
	char		class;			/* 'k' KEK; 'd' data, 's' deterministic, 'b'
								 * blind index; 't' token */
	const char *purpose;		/* "" for none */
	int64_t		created_at;		/* microseconds, as PostgreSQL counts them */
} MtWrapBinding;

typedef enum MtWrapStatus
{
	MT_WRAP_INTERNAL = 0,		/* OpenSSL failed */
	MT_WRAP_OK,
	MT_WRAP_MALFORMED,			/* not a wrapped key, or of a later format */
	MT_WRAP_OTHER_KEY,			/* wrapped under a key of another id */
	MT_WRAP_FORGED				/* not what that key wrapped for this binding */
} MtWrapStatus;

/* Wraps 1 to 1024 bytes; out has room for length + 38. */
extern MtWrapStatus MtWrap(const unsigned char wrapping[MT_SECRET_BYTES], uint64_t wrapping_id,
						   const MtWrapBinding *binding,
						   const unsigned char *key, size_t length, unsigned char *out);

/* out has room for wrapped_length - 38; it is wiped unless the answer is OK. */
extern MtWrapStatus MtUnwrap(const unsigned char wrapping[MT_SECRET_BYTES], uint64_t wrapping_id,
							 const MtWrapBinding *binding,
							 const unsigned char *wrapped, size_t wrapped_length,
							 unsigned char *out);

/* Under which key? Without any key. MALFORMED or OK. */
extern MtWrapStatus MtWrappedUnder(const unsigned char *wrapped, size_t wrapped_length,
								   uint64_t *wrapping_id);

#endif							/* MT_WRAP_H */
