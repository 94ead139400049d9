/*
 * model.h
 *	  The rules of tokens and claims once more, by other means.
 *
 * base64url is OpenSSL's, JSON is jansson's; the rules stand here as src/crypto
 * documents them. What the parser answers must be what the model answers.
 */
#ifndef MT_FUZZ_MODEL_H
#define MT_FUZZ_MODEL_H

#include <stddef.h>

#include "crypto/jws.h"

typedef enum ModelAnswer
{
	MODEL_REFUSED,
	MODEL_ACCEPTED,
	MODEL_UNKNOWN				/* jansson cannot represent what is skipped */
} ModelAnswer;

/* What MtJwsParse should say; *out is filled only if it accepts. */
extern ModelAnswer model_token(const char *token, size_t length, MtJws *out);

/* What MtClaimsParse should say; *out is filled only if it accepts. */
extern ModelAnswer model_claims(const char *json, size_t length, MtClaims *out);

#endif							/* MT_FUZZ_MODEL_H */
