/*
 * mask.c
 *	  Fuzzes the search for credentials in texts of the log.
 *
 * fuzzes: src/base/mask.c
 * needs: test/fuzz/signer.c src/crypto/jws.c src/crypto/signature.c
 *
 * The input is a text and, behind its first NUL, the statement that was
 * running. What must be masked is found by regular expressions of the C
 * library; in addition a token that the parser accepts is put into the text.
 *
 * Kept for every input: the text keeps its length; every byte is as it was or
 * an asterisk; exactly what the expressions find is masked, whole; nothing that
 * looks like a credential is left; masking again changes nothing; of the token
 * that was put in, no byte is left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif

#include <regex.h>
#include <stdbool.h>
#include <string.h>

#include "base/mask.h"
#include "property.h"
#include "signer.h"

#define LONGEST_TEXT 4096

static regex_t credential;
static regex_t row;
static char token[TOKEN_SIZE];
static size_t token_length;

/* Texts that would take too long; once, since it takes a moment. */
static void
check_limit(void)
{
	static const char unit[] = "no pieceofit ";
	static char text[40000];
	static char statement[MT_MASK_MAXIMUM_WORK / 1000];

	for (size_t at = 0; at + strlen(unit) < sizeof(text); at += strlen(unit))
		memcpy(text + at, unit, strlen(unit));
	memset(statement, 'x', sizeof(statement) - 1);
	memcpy(statement, "eyJ", 3);
	MtMaskPieces(text, statement);
	PROPERTY(strncmp(text, "no ********* no ", 16) == 0 &&
			 strlen(text) % strlen(unit) == 0,
			 "what would take too long is masked unseen");
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static MtJws jws;
	static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"hs\"}";
	static const char claims[] = "{\"tenant\":\"acme\",\"iat\":1,\"exp\":2}";

	(void) argc;
	(void) argv;
	make_signers();
	token_length = write_token(&signers[MT_ALG_HS256], header, strlen(header),
							   claims, strlen(claims), token);
	PROPERTY(MtJwsParse(token, token_length, &jws) == MT_JWS_OK &&
			 regcomp(&credential, "eyJ[A-Za-z0-9_.-]{8,}", REG_EXTENDED) == 0 &&
			 regcomp(&row, "[A-Za-z0-9_.-]{8,}", REG_EXTENDED) == 0,
			 "the fuzzer is ready");
	PROPERTY(!MtContainsCredential(NULL) && !MtMaskCredentials(NULL) &&
			 !MtContainsSpelledCredential(NULL), "nothing contains nothing");
	MtMaskPieces(NULL, token);
	MtMaskPieces(token, NULL);
	check_limit();
	return 0;
}

/* Masks all that the expression finds, and says whether it found anything. */
static bool
mask_by_regex(char *text)
{
	regmatch_t	match;
	bool		found = false;

	for (char *p = text; regexec(&credential, p, 1, &match, 0) == 0; p += match.rm_eo)
	{
		memset(p + match.rm_so, '*', (size_t) (match.rm_eo - match.rm_so));
		found = true;
	}
	return found;
}

/* Is it a piece of a credential in the statement? */
static bool
is_piece(const char *piece, size_t length, const char *statement)
{
	regmatch_t	match;

	for (const char *p = statement; regexec(&credential, p, 1, &match, 0) == 0; p += match.rm_eo)
		if (memmem(p + match.rm_so, (size_t) (match.rm_eo - match.rm_so),
				   piece, length) != NULL)
			return true;
	return false;
}

static void
mask_pieces_by_regex(char *text, const char *statement)
{
	regmatch_t	match;

	for (char *p = text; regexec(&row, p, 1, &match, 0) == 0; p += match.rm_eo)
		if (is_piece(p + match.rm_so, (size_t) (match.rm_eo - match.rm_so), statement))
			memset(p + match.rm_so, '*', (size_t) (match.rm_eo - match.rm_so));
}

/* An exact copy, so that one byte too many is seen. */
static char *
copy_of(const char *text, size_t length)
{
	char	   *copy = malloc(length + 1);

	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

static void
check_credentials(const char *text)
{
	size_t		length = strlen(text);
	char	   *masked = copy_of(text, length);
	char	   *expected = copy_of(text, length);
	bool		is_found = mask_by_regex(expected);

	PROPERTY(MtContainsCredential(text) == is_found,
			 "a credential is seen exactly if there is one");
	PROPERTY(MtMaskCredentials(masked) == is_found,
			 "masking says whether there was one");
	PROPERTY(memcmp(masked, expected, length + 1) == 0,
			 "exactly the credentials are masked");
	PROPERTY(!MtContainsCredential(masked) && !MtMaskCredentials(masked) &&
			 memcmp(masked, expected, length + 1) == 0,
			 "no credential is left behind masking");
	PROPERTY(MtContainsSpelledCredential(text) ==
			 (memmem(text, length, " 101 121 74 ", 12) != NULL),
			 "a credential in decimal bytes is seen");
	free(masked);
	free(expected);
}

/* A token anywhere in any text is gone. */
static void
check_token(const char *text, size_t where)
{
	size_t		length = strlen(text);
	size_t		before = where % (length + 1);
	char	   *masked = malloc(length + token_length + 1);

	memcpy(masked, text, before);
	memcpy(masked + before, token, token_length);
	memcpy(masked + before + token_length, text + before, length - before + 1);
	MtMaskCredentials(masked);
	PROPERTY(strlen(masked) == length + token_length, "a text keeps its length");
	PROPERTY(strspn(masked + before, "*") >= token_length,
			 "of a token in the text nothing is left");
	free(masked);
}

static void
check_pieces(const char *text, const char *statement, size_t where)
{
	size_t		length = strlen(text);
	size_t		from = where % (token_length - MT_MASK_MINIMUM_RUN);
	size_t		size = MT_MASK_MINIMUM_RUN +
	where % (token_length - from - MT_MASK_MINIMUM_RUN + 1);
	char	   *masked = copy_of(text, length);
	char	   *expected = copy_of(text, length);
	char	   *quote;

	mask_pieces_by_regex(expected, statement);
	MtMaskPieces(masked, statement);
	PROPERTY(memcmp(masked, expected, length + 1) == 0,
			 "exactly the statement's pieces are masked");
	free(masked);
	free(expected);

	/* an error that quotes the token from somewhere to somewhere */
	quote = malloc(length + size + 3);
	memcpy(quote, text, length);
	quote[length] = '"';
	memcpy(quote + length + 1, token + from, size);
	memcpy(quote + length + 1 + size, "\"", 2);
	MtMaskPieces(quote, token);
	PROPERTY(strlen(quote) == length + size + 2, "a text keeps its length");
	PROPERTY(strspn(quote + length + 1, "*") == size,
			 "of a quoted piece nothing is left");
	free(quote);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	char	   *statement;
	size_t		length;
	size_t		where = size;

	if (size > LONGEST_TEXT)
		return 0;
	for (size_t i = 0; i < size; i++)
		where = (where * 31 + data[i]) & 0xFFFF;
	length = size > 0 ? strnlen((const char *) data, size) : 0;
	text = copy_of((const char *) data, length);
	/* without a NUL the text is the statement, too, as log_statement has it */
	statement = length == size ? copy_of(text, length) :
		copy_of((const char *) data + length + 1, size - length - 1);
	check_credentials(text);
	check_token(text, where);
	check_pieces(text, statement, where);
	free(text);
	free(statement);
	return 0;
}
