/*
 * verify_token.c
 *	  Reads one token from standard input, verifies it, prints its claims.
 *
 *	cc -std=c99 -Isrc test/crypto/verify_token.c src/crypto/jws.c \
 *		src/crypto/signature.c -lcrypto -o verify_token
 *	verify_token ALGORITHM KEYFILE < token
 *
 * KEYFILE is a PEM public key, for HS256 a secret file. Exits with 0 only
 * if the signature is KEYFILE's; times are printed, not judged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/jws.h"
#include "crypto/signature.h"

/* Reads a whole file, -1 if that fails or it is too long. */
static long
read_file(FILE *file, char *buffer, size_t size)
{
	size_t		length;

	if (file == NULL)
		return -1;
	length = fread(buffer, 1, size, file);
	return ferror(file) || length == size ? -1 : (long) length;
}

static MtKeyStatus
load_key(MtAlgorithm algorithm, const char *path, MtVerifyKey **key)
{
	char		text[MT_KEY_MAX_PEM];
	FILE	   *file = fopen(path, "rb");
	long		length = read_file(file, text, sizeof(text));

	if (file != NULL)
		fclose(file);
	if (length < 0)
		return MT_KEY_NOT_PEM;

	/* the server does not count the line feed at the end of a secret file */
	if (algorithm == MT_ALG_HS256 && length > 0 && text[length - 1] == '\n')
		length--;
	if (algorithm == MT_ALG_HS256)
		return MtVerifyKeyFromSecret((unsigned char *) text, (size_t) length,
									 key);
	return MtVerifyKeyFromPem(algorithm, text, (size_t) length, key);
}

static int
fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return 1;
}

int
main(int argc, char **argv)
{
	char		token[MT_JWS_MAX_LENGTH + 2];
	long		length;
	MtJws		jws;
	MtClaims	claims;
	MtAlgorithm algorithm;
	MtVerifyKey *key = NULL;
	MtKeyStatus key_status;
	MtJwsStatus status;
	MtVerifyStatus verified;

	if (argc != 3 || !MtAlgorithmFromName(argv[1], &algorithm))
		return fail("usage", "verify_token EdDSA|ES256|RS256|HS256 KEYFILE < token");
	key_status = load_key(algorithm, argv[2], &key);
	if (key_status != MT_KEY_OK)
		return fail("key", MtKeyStatusText(key_status));

	/* the one line feed is the printing program's, not the token's */
	length = read_file(stdin, token, sizeof(token));
	if (length > 0 && token[length - 1] == '\n')
		length--;
	status = length < 0 ? MT_JWS_TOO_LONG
		: MtJwsParse(token, (size_t) length, &jws);
	if (status != MT_JWS_OK)
	{
		MtVerifyKeyFree(key);
		return fail("token", MtJwsStatusText(status));
	}

	verified = MtSignatureVerify(key, jws.algorithm, jws.signing_input,
								 jws.signing_input_length, jws.signature,
								 jws.signature_length);
	MtVerifyKeyFree(key);
	if (verified != MT_VERIFY_OK)
		return fail("signature", verified == MT_VERIFY_WRONG_ALGORITHM ?
					"of another algorithm" : "does not verify");

	status = MtClaimsParse(jws.payload, jws.payload_length, &claims);
	if (status != MT_JWS_OK)
		return fail("claims", MtJwsStatusText(status));
	printf("alg=%s\nkid=%s\n", jws.algorithm, jws.kid);
	if (claims.tenant_is_number)
		printf("tenant=%" PRId64 "\n", claims.tenant_number);
	else if (claims.has_tenant)
		printf("tenant=%s\n", claims.tenant);
	for (int i = 0; i < claims.aud_count; i++)
		printf("aud=%s\n", claims.aud[i]);
	printf("sub=%s\njti=%s\nkind=%s\nscope=%s\n", claims.sub, claims.jti,
		   claims.kind, claims.scope);
	printf("iat=%" PRId64 "\nexp=%" PRId64 "\nnbf=%" PRId64 "\n", claims.iat,
		   claims.exp, claims.nbf);
	return 0;
}
