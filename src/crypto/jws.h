/*
 * jws.h
 *	  Strict reader of JWS compact tokens and of the claims they carry.
 *
 * Needs neither the server nor OpenSSL, allocates nothing and never fails
 * otherwise than by its status: what is read lies in the caller's structs.
 */
#ifndef MT_JWS_H
#define MT_JWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest token accepted, in bytes; also what the documentation promises. */
#define MT_JWS_MAX_LENGTH 4096

/* The longest decoded header: alg, kid, typ and what issuers like to add. */
#define MT_JWS_MAX_HEADER 1024

/* The longest decoded payload: base64url makes four bytes out of three. */
#define MT_JWS_MAX_PAYLOAD (MT_JWS_MAX_LENGTH / 4 * 3)

/* The longest signature: that of an RSA key of 8192 bits. */
#define MT_JWS_MAX_SIGNATURE 1024

/* Nested objects and arrays allowed, the outermost one included. */
#define MT_JSON_MAX_DEPTH 8

/* Entries allowed in the aud array. */
#define MT_CLAIMS_MAX_AUDIENCES 8

typedef enum MtJwsStatus
{
	MT_JWS_OK = 0,
	MT_JWS_TOO_LONG,			/* the token or one of its parts */
	MT_JWS_MALFORMED,			/* not three canonical base64url parts */
	MT_JWS_BAD_HEADER,			/* not a JSON object with alg and kid */
	MT_JWS_UNSUPPORTED,			/* crit, b64 or a typ other than JWT */
	MT_JWS_BAD_CLAIMS			/* not a JSON object, or a claim of wrong
								 * shape */
} MtJwsStatus;

/* A token taken apart. All strings are valid UTF-8 and end with a NUL. */
typedef struct MtJws
{
	char		algorithm[16];
	char		kid[64 + 1];
	const char *signing_input;	/* header.payload, inside the caller's token */
	size_t		signing_input_length;
	unsigned char signature[MT_JWS_MAX_SIGNATURE];
	size_t		signature_length;
	char		payload[MT_JWS_MAX_PAYLOAD + 1];	/* decoded, not yet read */
	size_t		payload_length;
} MtJws;

/*
 * What the payload says. An absent string is "", which no present one is
 * (scope apart); an absent number is 0 with its flag false.
 */
typedef struct MtClaims
{
	bool		has_tenant;
	bool		tenant_is_number;
	int64_t		tenant_number;	/* only if tenant_is_number */
	char		tenant[256];	/* only if not */
	char		sub[256];
	char		jti[128];
	char		scope[256];
	char		kind[32];
	int			aud_count;
	char		aud[MT_CLAIMS_MAX_AUDIENCES][128];
	bool		has_iat;
	bool		has_exp;
	bool		has_nbf;
	int64_t		iat;
	int64_t		exp;
	int64_t		nbf;
} MtClaims;

/* Takes a token apart; on any status but MT_JWS_OK *out is all zero. */
extern MtJwsStatus MtJwsParse(const char *token, size_t length, MtJws *out);

/* Reads a payload; on any status but MT_JWS_OK *out is all zero. */
extern MtJwsStatus MtClaimsParse(const char *json, size_t length, MtClaims *out);

/* What a status means, a phrase in English without secrets. */
extern const char *MtJwsStatusText(MtJwsStatus status);

#endif							/* MT_JWS_H */
