/*
 * mask.c
 *	  Finds credentials in any text and masks them.
 *
 * Owns the pattern by which a credential is recognised: the base64url of '{"'
 * that starts every JWS header, followed by base64url characters and dots.
 * credential.c accepts no token that does not start so.
 *
 * Security: the text is whatever a client sent. Nothing here reads past its
 * NUL, writes anything but asterisks, or changes its length.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif

#include "base/mask.h"

#include <string.h>

#define CREDENTIAL_PREFIX		"eyJ"
#define CREDENTIAL_PREFIX_LEN	3

#define CREDENTIAL_AS_BYTES		" 101 121 74 "	/* the prefix in node trees */

static bool
is_credential_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* Its last character is rare in what people write, and looking for one is quicker. */
bool
MtMayContainCredential(const char *text)
{
	return text != NULL && strchr(text, CREDENTIAL_PREFIX[CREDENTIAL_PREFIX_LEN - 1]) != NULL;
}

/* The next place where a credential may begin, NULL if there is none. */
static const char *
find_prefix(const char *text)
{
	const char *last = text;

	while ((last = strchr(last, CREDENTIAL_PREFIX[CREDENTIAL_PREFIX_LEN - 1])) != NULL)
	{
		const char *start = last - (CREDENTIAL_PREFIX_LEN - 1);

		if (last - text >= CREDENTIAL_PREFIX_LEN - 1 &&
			memcmp(start, CREDENTIAL_PREFIX, CREDENTIAL_PREFIX_LEN - 1) == 0)
			return start;
		last++;
	}
	return NULL;
}

/* Finds the next credential; returns its start and sets *end, or NULL. */
static const char *
find_credential(const char *text, const char **end)
{
	const char *start = text;

	while ((start = find_prefix(start)) != NULL)
	{
		const char *p = start + CREDENTIAL_PREFIX_LEN;

		while (is_credential_character(*p))
			p++;
		if (p - start >= CREDENTIAL_PREFIX_LEN + MT_MASK_MINIMUM_RUN)
		{
			*end = p;
			return start;
		}
		start = p;
	}
	return NULL;
}

/* Asked of many a statement, so it reads no more of a credential than tells it. */
bool
MtContainsCredential(const char *text)
{
	const char *start = text;

	while (start != NULL && (start = find_prefix(start)) != NULL)
	{
		const char *p = start + CREDENTIAL_PREFIX_LEN;
		const char *enough = p + MT_MASK_MINIMUM_RUN;

		while (p < enough && is_credential_character(*p))
			p++;
		if (p == enough)
			return true;
		start = p;
	}
	return false;
}

bool
MtContainsSpelledCredential(const char *text)
{
	return text != NULL && strstr(text, CREDENTIAL_AS_BYTES) != NULL;
}

bool
MtMaskCredentials(char *text)
{
	const char *end;
	const char *start;
	bool		found = false;

	if (text == NULL)
		return false;
	while ((start = find_credential(text, &end)) != NULL)
	{
		memset(text + (start - text), '*', (size_t) (end - start));
		text += end - text;
		found = true;
	}
	return found;
}

/* Length of the row of credential characters that starts here. */
static size_t
row_length(const char *text)
{
	size_t		length = 0;

	while (is_credential_character(text[length]))
		length++;
	return length;
}

/* Masks every row that is long enough for a piece. */
static void
mask_rows(char *text)
{
	while (*text != '\0')
	{
		size_t		row = row_length(text);

		if (row >= MT_MASK_MINIMUM_RUN)
			memset(text, '*', row);
		text += row > 0 ? row : 1;
	}
}

/*
 * Masks the rows that are pieces of this credential; false if that takes more
 * than is left of the work.
 */
static bool
mask_pieces_of(const char *credential, size_t length, char *text, size_t *work)
{
	while (*text != '\0')
	{
		size_t		row = row_length(text);
		size_t		cost = row > 0 ? row : 1;

		if (row >= MT_MASK_MINIMUM_RUN && row <= length)
			cost += length;
		if (cost > *work)
			return false;
		*work -= cost;
		if (row >= MT_MASK_MINIMUM_RUN &&
			memmem(credential, length, text, row) != NULL)
			memset(text, '*', row);
		text += row > 0 ? row : 1;
	}
	return true;
}

/*
 * The message of a syntax error quotes where it stopped, which can be in the
 * middle of a credential. Eight characters of a row are a piece.
 *
 * Security: both texts can be long and the statement full of what looks like
 * credentials. Comparing all with all would keep a backend busy for hours where
 * no signal is answered, so beyond a limit every row is masked unseen.
 */
void
MtMaskPieces(char *text, const char *statement)
{
	size_t		work = MT_MASK_MAXIMUM_WORK;
	const char *start;
	const char *end;

	if (text == NULL || statement == NULL)
		return;
	while ((start = find_credential(statement, &end)) != NULL)
	{
		if (!mask_pieces_of(start, (size_t) (end - start), text, &work))
		{
			mask_rows(text);
			return;
		}
		statement = end;
	}
}
