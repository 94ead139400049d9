/*
 * ciphertext.h
 *	  The bytes of an encrypted value, and what they are bound to.
 *
 * Needs nothing of the server, and no key. Format 1, big endian:
 *	  0xE5 | suite, bit 7: bound to a context | key id (8)
 *	  suite 1 (AES-256-GCM): nonce (12) | text | tag (16)	38 bytes more than the text
 *	  suite 2 (AES-256-SIV): tag (16) | text				26 bytes more
 */
#ifndef MT_CIPHERTEXT_H
#define MT_CIPHERTEXT_H

#include "crypto/cipher.h"

#define MT_CIPHERTEXT_MAGIC 0xE5
#define MT_CIPHERTEXT_HEADER 10
#define MT_GCM_OVERHEAD (MT_CIPHERTEXT_HEADER + MT_NONCE_BYTES + MT_TAG_BYTES)
#define MT_SIV_OVERHEAD (MT_CIPHERTEXT_HEADER + MT_TAG_BYTES)

typedef enum MtSuite
{
	MT_SUITE_GCM = 1,
	MT_SUITE_SIV = 2
} MtSuite;

typedef enum MtCiphertextStatus
{
	MT_CIPHERTEXT_MALFORMED = 0,	/* no encrypted value */
	MT_CIPHERTEXT_OK,
	MT_CIPHERTEXT_UNKNOWN_SUITE /* of a later version */
} MtCiphertextStatus;

/* The parts of an encrypted value; pointers into it. */
typedef struct MtCiphertext
{
	MtSuite		suite;
	bool		is_bound;		/* to a context */
	uint64_t	key_id;			/* 1 to INT64_MAX */
	const unsigned char *nonce; /* NULL with SIV */
	const unsigned char *text;
	size_t		length;			/* of the text */
	const unsigned char *tag;
} MtCiphertext;

extern MtCiphertextStatus MtCiphertextParse(const unsigned char *value, size_t length,
											MtCiphertext *out);

/* The key's id in a header, which is not judged. */
extern uint64_t MtCiphertextKeyId(const unsigned char header[MT_CIPHERTEXT_HEADER]);

/* Writes the header; where nonce, text and tag go follows from MtCiphertextParse. */
extern void MtCiphertextWriteHeader(unsigned char header[MT_CIPHERTEXT_HEADER],
									MtSuite suite, bool is_bound, uint64_t key_id);

/* The longest purpose, as a name of the server's. */
#define MT_PURPOSE_MAX 63

#define MT_AAD_MAX (15 + MT_CIPHERTEXT_HEADER + MT_TENANT_BYTES + 2 + MT_PURPOSE_MAX + 1)

/*
 * The associated data that is the same for every value of a key: "multitenant/v1" 00,
 * header, tenant, length (2) and purpose, class. Returns its length, 0 if the purpose is
 * longer than it may be (nothing may be sealed then). A context follows it
 * as length (4) and bytes: MtContextPrefix writes the length.
 */
extern size_t MtAadWrite(unsigned char out[MT_AAD_MAX],
						 const unsigned char header[MT_CIPHERTEXT_HEADER],
						 const unsigned char tenant[MT_TENANT_BYTES],
						 const char *purpose, char class);

#define MT_CONTEXT_PREFIX 4

/* What precedes a context of suite 1; with suite 2 it is associated data of its own. */
extern void MtContextPrefix(unsigned char out[MT_CONTEXT_PREFIX], size_t context_length);

#endif							/* MT_CIPHERTEXT_H */
