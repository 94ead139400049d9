/*
 * mask_test.c
 *	  Tests of the search for credentials in texts. Prints TAP.
 *
 *	cc -std=c99 -Wall -Wextra -O2 -Isrc test/crypto/mask_test.c \
 *		src/base/mask.c -o mask_test && ./mask_test
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mask.h"

#include "tap.h"

#define TOKEN "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLWl0"

/* Is this what becomes of the text? */
static bool
masks_to(const char *text, const char *expected)
{
	char		copy[256];

	strcpy(copy, text);
	return MtMaskCredentials(copy) == (strcmp(text, expected) != 0) &&
		MtContainsCredential(text) == (strcmp(text, expected) != 0) &&
		strcmp(copy, expected) == 0;
}

static bool
pieces_mask_to(const char *text, const char *statement, const char *expected)
{
	char		copy[256];

	strcpy(copy, text);
	MtMaskPieces(copy, statement);
	return strcmp(copy, expected) == 0;
}

/* The unit over and over. */
static char *
repeat(const char *unit, size_t times)
{
	size_t		length = strlen(unit);
	char	   *text = malloc(length * times + 1);

	for (size_t i = 0; i < times; i++)
		memcpy(text + i * length, unit, length);
	text[length * times] = '\0';
	return text;
}

static void
test_credentials(void)
{
	ok(masks_to("a eyJ12345678 b", "a *********** b"),
	   "eight characters behind the prefix are a credential");
	ok(masks_to("a eyJ1234567 b", "a eyJ1234567 b"), "seven are none");
	ok(masks_to("xeyJ12345678'", "x***********'"), "one starts anywhere");
	ok(masks_to("eyJ,eyJ12345678", "eyJ,***********"),
	   "a prefix alone does not hide the next");
	ok(masks_to("eyJ12345678,eyJ12345678", "***********,***********"),
	   "every one is masked");
	ok(masks_to("", ""), "an empty text has none");
	ok(!MtContainsCredential(NULL) && !MtMaskCredentials(NULL) &&
	   !MtContainsSpelledCredential(NULL), "nor has no text");
	ok(MtContainsSpelledCredential("[ 36 0 101 121 74 104 ]") &&
	   !MtContainsSpelledCredential("[ 36 0 101 121 75 104 ]"),
	   "one in decimal bytes is seen");
}

static void
test_pieces(void)
{
	char	   *text;
	char	   *statement;

	ok(pieces_mask_to("at or near \"IUzI1NiJ\"", TOKEN,
					  "at or near \"********\""),
	   "a piece of eight is masked");
	ok(pieces_mask_to("at or near \"IUzI1Ni\"", TOKEN,
					  "at or near \"IUzI1Ni\""), "one of seven is not");
	ok(pieces_mask_to("relation IUzI1NiK", TOKEN, "relation IUzI1NiK"),
	   "what is no piece is not");
	ok(pieces_mask_to("IUzI1NiJ abcdefgh", "eyJ12345678 abcdefgh " TOKEN,
					  "******** abcdefgh"), "each credential counts");
	MtMaskPieces(NULL, TOKEN);
	ok(pieces_mask_to("IUzI1NiJ", NULL, "IUzI1NiJ"), "no statement, no piece");

	/* 12 MB against 3 MB: hours if all were compared with all */
	text = repeat("a longest messages, ", 600000);
	statement = repeat("eyJabcdefgh ", 250000);
	MtMaskPieces(text, statement);
	ok(strncmp(text, "a longest ********, a", 21) == 0 &&
	   strcmp(text + strlen(text) - 11, " ********, ") == 0,
	   "what would take too long is masked unseen");
	free(text);

	text = repeat("a longest message IUzI1NiJ, ", 30000);
	MtMaskPieces(text, TOKEN);
	ok(strncmp(text, "a longest message ********, a", 29) == 0,
	   "a long message and one token are compared");
	free(text);
	free(statement);
}

int
main(void)
{
	test_credentials();
	test_pieces();
	printf("1..%d\n", test_count);
	return failure_count == 0 ? 0 : 1;
}
