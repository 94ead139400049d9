/*
 * token.c
 *	  Fuzzes a token's whole way: parser, key, signature, claims.
 *
 * fuzzes: src/crypto/jws.c src/crypto/signature.c
 * needs: test/fuzz/model.c test/fuzz/signer.c
 *
 * Random bytes would never get behind the signature, so the mutator takes a
 * token apart, mutates the JSON of its header or claims and signs it again
 * with the key that the header names (or with another one, now and then).
 *
 * Kept for every input: the parser answers as the model does and the same when
 * asked again; what is refused leaves nothing; a signature is accepted exactly
 * if it is the key's by other means, and then neither with one bit changed, nor
 * cut, nor for another text, nor by another key; accepted claims are what the
 * model reads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif

#include <string.h>

#include <openssl/err.h>

#include "model.h"
#include "property.h"
#include "signer.h"

/* What the mutator takes a token apart into. */
typedef struct Parts
{
	unsigned char header[TOKEN_SIZE];
	size_t		header_length;
	unsigned char claims[TOKEN_SIZE];
	size_t		claims_length;
} Parts;

static const MtJws no_token;
static const MtClaims no_claims;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	make_signers();
	return 0;
}

/* ---- properties ---- */

static MtVerifyStatus
verify(MtVerifyKey *key, const char *algorithm, const char *text,
	   size_t text_length, const unsigned char *signature,
	   size_t signature_length)
{
	MtVerifyStatus status = MtSignatureVerify(key, algorithm, text, text_length,
											  signature, signature_length);

	PROPERTY(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
	return status;
}

/* Nothing near a token that was accepted is accepted. */
static void
check_neighbours(const Signer *signer, const MtJws *jws, size_t where)
{
	const char *algorithm = jws->algorithm;
	unsigned char *signature = malloc(jws->signature_length + 1);
	char	   *text = malloc(jws->signing_input_length);
	size_t		at = where / 8 % jws->signature_length;
	unsigned char bit = (unsigned char) (1U << where % 8);

	memcpy(signature, jws->signature, jws->signature_length);
	signature[jws->signature_length] = 0;
	memcpy(text, jws->signing_input, jws->signing_input_length);

	signature[at] ^= bit;
	PROPERTY(verify(signer->key, algorithm, text, jws->signing_input_length,
					signature, jws->signature_length) != MT_VERIFY_OK,
			 "a signature with one bit changed is refused");
	signature[at] ^= bit;
	PROPERTY(verify(signer->key, algorithm, text, jws->signing_input_length,
					signature, jws->signature_length - 1) != MT_VERIFY_OK,
			 "a shorter signature is refused");
	PROPERTY(verify(signer->key, algorithm, text, jws->signing_input_length,
					signature, jws->signature_length + 1) != MT_VERIFY_OK,
			 "a longer signature is refused");
	text[where / 8 % jws->signing_input_length] ^= (char) bit;
	PROPERTY(verify(signer->key, algorithm, text, jws->signing_input_length,
					signature, jws->signature_length) != MT_VERIFY_OK,
			 "a signature of another text is refused");
	for (int i = 0; i < SIGNER_COUNT; i++)
		if (&signers[i] != signer)
			PROPERTY(verify(signers[i].key, algorithm, jws->signing_input,
							jws->signing_input_length, jws->signature,
							jws->signature_length) == MT_VERIFY_WRONG_ALGORITHM,
					 "a key refuses every other algorithm");
	PROPERTY(verify(signer->key, algorithm, jws->signing_input,
					jws->signing_input_length, jws->signature,
					jws->signature_length) == MT_VERIFY_OK,
			 "what was accepted is accepted again");
	free(signature);
	free(text);
}

static void
check_claims(const MtJws *jws)
{
	static MtClaims claims;
	static MtClaims again;
	static MtClaims expected;
	char	   *copy = malloc(jws->payload_length);
	MtJwsStatus status;
	ModelAnswer answer;

	memcpy(copy, jws->payload, jws->payload_length);
	memset(&claims, 0xA5, sizeof(claims));
	status = MtClaimsParse(copy, jws->payload_length, &claims);
	PROPERTY(MtClaimsParse(copy, jws->payload_length, &again) == status &&
			 memcmp(&claims, &again, sizeof(claims)) == 0,
			 "the same claims give the same answer");
	answer = model_claims(copy, jws->payload_length, &expected);
	PROPERTY(answer == MODEL_UNKNOWN ||
			 (status == MT_JWS_OK) == (answer == MODEL_ACCEPTED),
			 "parser and model agree on claims");
	if (status != MT_JWS_OK)
		PROPERTY(memcmp(&claims, &no_claims, sizeof(claims)) == 0,
				 "refused claims leave nothing");
	else if (answer == MODEL_ACCEPTED)
		PROPERTY(memcmp(&claims, &expected, sizeof(claims)) == 0,
				 "accepted claims are what the model read");
	free(copy);
}

/* As credential.c does: the key by its id, then the signature, then claims. */
static void
check_signature(const MtJws *jws, size_t where)
{
	Signer	   *signer = find_signer(jws->kid);
	MtAlgorithm algorithm;
	MtVerifyStatus status;
	bool		is_named;

	is_named = MtAlgorithmFromName(jws->algorithm, &algorithm);
	PROPERTY(!is_named ||
			 strcmp(MtAlgorithmName(algorithm), jws->algorithm) == 0,
			 "an algorithm has one name");
	if (signer == NULL)
		return;
	status = verify(signer->key, jws->algorithm, jws->signing_input,
					jws->signing_input_length, jws->signature,
					jws->signature_length);
	if (!is_named || algorithm != signer->algorithm)
	{
		PROPERTY(status == MT_VERIFY_WRONG_ALGORITHM,
				 "the algorithm is the key's");
		return;
	}
	PROPERTY((status == MT_VERIFY_OK) ==
			 is_signature(signer, jws->signing_input, jws->signing_input_length,
						  jws->signature, jws->signature_length),
			 "accepted is exactly what the key signed");
	if (status != MT_VERIFY_OK)
		return;
	check_neighbours(signer, jws, where);
	check_claims(jws);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static MtJws jws;
	static MtJws again;
	static MtJws expected;
	char	   *token = malloc(size);
	size_t		where = size;
	MtJwsStatus status;
	ModelAnswer answer;

	if (size > 0)
		memcpy(token, data, size);
	for (size_t i = 0; i < size; i++)
		where = (where * 31 + data[i]) & 0xFFFF;
	memset(&jws, 0xA5, sizeof(jws));
	status = MtJwsParse(token, size, &jws);
	PROPERTY(MtJwsParse(token, size, &again) == status &&
			 memcmp(&jws, &again, sizeof(jws)) == 0,
			 "the same token gives the same answer");
	answer = model_token(token, size, &expected);
	PROPERTY(answer == MODEL_UNKNOWN ||
			 (status == MT_JWS_OK) == (answer == MODEL_ACCEPTED),
			 "parser and model agree on a token");
	PROPERTY(MtJwsStatusText(status)[0] != '\0', "every status has a text");
	if (status != MT_JWS_OK)
		PROPERTY(memcmp(&jws, &no_token, sizeof(jws)) == 0,
				 "a refused token leaves nothing");
	else
	{
		PROPERTY(answer == MODEL_UNKNOWN ||
				 memcmp(&jws, &expected, sizeof(jws)) == 0,
				 "an accepted token is what the model read");
		check_signature(&jws, where);
	}
	free(token);
	return 0;
}

/* ---- mutation ---- */

static unsigned
next_random(unsigned *state)
{
	*state = (unsigned) ((uint64_t) *state * 48271 % 2147483647);
	return *state;
}

/* Takes a token apart, also one that is none any more. */
static void
take_apart(const uint8_t *data, size_t size, Parts *parts)
{
	const char *text = (const char *) data;
	const char *dot = size == 0 ? NULL : memchr(text, '.', size);
	size_t		header_size = dot == NULL ? size : (size_t) (dot - text);
	size_t		rest = dot == NULL ? 0 : size - header_size - 1;
	const char *second = rest == 0 ? NULL : memchr(dot + 1, '.', rest);

	parts->header_length = read_base64url(parts->header, sizeof(parts->header),
										  text, header_size);
	parts->claims_length = rest == 0 ? 0 :
		read_base64url(parts->claims, sizeof(parts->claims), dot + 1,
					   second == NULL ? rest : (size_t) (second - dot - 1));
}

/* The signer of the key that the header seems to name, else any. */
static const Signer *
choose_signer(const Parts *parts, unsigned *state)
{
	for (int i = 0; i < SIGNER_COUNT && next_random(state) % 16 != 0; i++)
	{
		char		kid[8];

		snprintf(kid, sizeof(kid), "\"%s\"", signers[i].kid);
		if (memmem(parts->header, parts->header_length, kid, 4) != NULL)
			return &signers[i];
	}
	return &signers[next_random(state) % SIGNER_COUNT];
}

/* Puts a header for the signer in place of the one that is there. */
static void
write_header(const Signer *signer, Parts *parts)
{
	parts->header_length = (size_t)
		snprintf((char *) parts->header, sizeof(parts->header),
				 "{\"alg\":\"%s\",\"kid\":\"%s\"}",
				 MtAlgorithmName(signer->algorithm), signer->kid);
}

/* Writes the parts as a signed token; what is too long is left as it was. */
static size_t
put_together(const Signer *signer, const Parts *parts, uint8_t *out,
			 size_t size, size_t max_size)
{
	static char token[TOKEN_SIZE];
	size_t		length = write_token(signer, parts->header,
									 parts->header_length, parts->claims,
									 parts->claims_length, token);

	if (length == 0 || length > max_size)
		return size;
	memcpy(out, token, length);
	return length;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
						unsigned seed)
{
	static Parts parts;
	unsigned	state = seed % 2147483646 + 1;
	const Signer *signer;

	/* the text itself: base64url, dots, signatures */
	if (next_random(&state) % 5 == 0)
		return LLVMFuzzerMutate(data, size, max_size);

	take_apart(data, size, &parts);
	signer = choose_signer(&parts, &state);
	if (parts.header_length == 0 || next_random(&state) % 8 == 0)
		write_header(signer, &parts);
	if (next_random(&state) % 3 == 0)
		parts.header_length = LLVMFuzzerMutate(parts.header,
											   parts.header_length,
											   MT_JWS_MAX_HEADER + 8);
	else
		parts.claims_length = LLVMFuzzerMutate(parts.claims,
											   parts.claims_length,
											   MT_JWS_MAX_PAYLOAD + 8);
	return put_together(signer, &parts, data, size, max_size);
}

/* The header of the one, the claims of both, signed again. */
size_t
LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1,
						  const uint8_t *data2, size_t size2, uint8_t *out,
						  size_t max_size, unsigned seed)
{
	static Parts parts;
	static Parts others;
	unsigned	state = seed % 2147483646 + 1;
	size_t		cut;
	size_t		tail;

	take_apart(data1, size1, &parts);
	take_apart(data2, size2, &others);
	cut = next_random(&state) % (parts.claims_length + 1);
	tail = next_random(&state) % (others.claims_length + 1);
	parts.claims_length = cut;
	if (cut + others.claims_length - tail <= sizeof(parts.claims))
	{
		memcpy(parts.claims + cut, others.claims + tail,
			   others.claims_length - tail);
		parts.claims_length += others.claims_length - tail;
	}
	return put_together(choose_signer(&parts, &state), &parts, out, 0, max_size);
}
