/*
 * claims.c
 *	  Fuzzes the readers of claims and of headers with JSON as it stands.
 *
 * fuzzes: src/crypto/jws.c
 * needs: test/fuzz/model.c test/fuzz/signer.c src/crypto/signature.c
 *
 * The same text is read as claims and, in base64url, as the header of a token.
 * Kept for every input: the answer is the model's and the same when asked
 * again, each field of an accepted text is what the model read, a refused one
 * leaves nothing.
 */
#include <string.h>

#include "model.h"
#include "property.h"
#include "signer.h"

static const MtJws no_token;
static const MtClaims no_claims;

/* Reads an exact copy, so that one byte too many is seen. */
static MtJwsStatus
read_claims(const uint8_t *data, size_t size, MtClaims *out)
{
	char	   *copy = malloc(size);
	MtJwsStatus status;

	if (size > 0)
		memcpy(copy, data, size);
	memset(out, 0xA5, sizeof(*out));
	status = MtClaimsParse(copy, size, out);
	free(copy);
	return status;
}

static void
check_claims(const uint8_t *data, size_t size)
{
	static MtClaims claims;
	static MtClaims again;
	static MtClaims expected;
	MtJwsStatus status = read_claims(data, size, &claims);
	ModelAnswer answer = model_claims((const char *) data, size, &expected);

	PROPERTY(read_claims(data, size, &again) == status &&
			 memcmp(&claims, &again, sizeof(claims)) == 0,
			 "the same claims give the same answer");
	PROPERTY(answer == MODEL_UNKNOWN ||
			 (status == MT_JWS_OK) == (answer == MODEL_ACCEPTED),
			 "parser and model agree on claims");
	if (status != MT_JWS_OK)
		PROPERTY(memcmp(&claims, &no_claims, sizeof(claims)) == 0,
				 "refused claims leave nothing");
	else if (answer == MODEL_ACCEPTED)
		PROPERTY(memcmp(&claims, &expected, sizeof(claims)) == 0,
				 "accepted claims are what the model read");
	PROPERTY(status == MT_JWS_OK || status == MT_JWS_TOO_LONG ||
			 status == MT_JWS_BAD_CLAIMS, "claims are refused as claims");
	PROPERTY(MtJwsStatusText(status)[0] != '\0', "every status has a text");
}

static void
check_header(const uint8_t *data, size_t size)
{
	static MtJws jws;
	static MtJws again;
	static MtJws expected;
	char	   *token = malloc(size / 3 * 4 + 16);
	size_t		length = write_base64url(token, data, size);
	MtJwsStatus status;
	ModelAnswer answer;

	/* claims {}, and one byte of signature */
	memcpy(token + length, ".e30.AA", 7);
	length += 7;
	token = realloc(token, length);
	memset(&jws, 0xA5, sizeof(jws));
	status = MtJwsParse(token, length, &jws);
	answer = model_token(token, length, &expected);
	PROPERTY(MtJwsParse(token, length, &again) == status &&
			 memcmp(&jws, &again, sizeof(jws)) == 0,
			 "the same header gives the same answer");
	PROPERTY(answer == MODEL_UNKNOWN ||
			 (status == MT_JWS_OK) == (answer == MODEL_ACCEPTED),
			 "parser and model agree on a header");
	if (status != MT_JWS_OK)
		PROPERTY(memcmp(&jws, &no_token, sizeof(jws)) == 0,
				 "a refused header leaves nothing");
	else if (answer == MODEL_ACCEPTED)
		PROPERTY(memcmp(&jws, &expected, sizeof(jws)) == 0,
				 "an accepted header is what the model read");
	PROPERTY(MtJwsStatusText(status)[0] != '\0', "every status has a text");
	free(token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_claims(data, size);
	check_header(data, size);
	return 0;
}
