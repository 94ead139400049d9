/*
 * wording.c
 *	  The wording of a statement: its text without literals and comments.
 *
 * Owns nothing. Literals become "?": they are tenants' data, and whoever reads
 * reports has no right to those. A list of literals counts as one, and so does a
 * list of such lists, as of VALUES and IN. What cannot be told apart for certain counts as
 * part of a literal, up to the end of the text.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/wording.h"
#include "mb/pg_wchar.h"

/* Bytes looked at: the tail of a list of values says nothing more. */
#define MAX_TEXT 65536

/* The FNV-1a hash, 64 bits wide. */
#define HASH_START UINT64CONST(0xcbf29ce484222325)
#define HASH_PRIME UINT64CONST(0x100000001b3)

/* Where we are in a list of literals. What may be left out is held back. */
typedef enum ListState
{
	LIST_NONE,
	LIST_LITERAL,				/* ? */
	LIST_COMMA,					/* ?, */
	LIST_CLOSED,				/* ?) */
	LIST_NEXT,					/* ?), */
	LIST_OPEN,					/* ?), ( */
	LIST_REPEATED,				/* ?), (? */
	LIST_REPEATED_COMMA			/* ?), (?, */
} ListState;

/* What is held back in each state. */
static const char *const held_back[] = {"", "", ",", "", ",", ", (", ", (?", ", (?,"};

typedef struct Wording
{
	const char *at;
	const char *end;
	char	   *out;
	size_t		room;			/* the end of the string not included */
	uint64		hash;
	bool		is_space_due;
	bool		is_end_due;		/* a semicolon that something must follow */
	ListState	list;
	bool		is_after_word;	/* was the last byte part of a name or number? */
} Wording;

static void
put_byte(Wording *wording, char byte)
{
	wording->hash = (wording->hash ^ (unsigned char) byte) * HASH_PRIME;
	if (wording->room == 0)
		return;
	*wording->out++ = byte;
	wording->room--;
}

/* What a byte, '?' for a literal, makes of the list; LIST_NONE: no list goes on. */
static ListState
next_in_list(ListState list, char byte)
{
	switch (list)
	{
		case LIST_NONE:
			return byte == '?' ? LIST_LITERAL : LIST_NONE;
		case LIST_LITERAL:
			return byte == ',' ? LIST_COMMA : byte == ')' ? LIST_CLOSED : LIST_NONE;
		case LIST_COMMA:
			return byte == '?' ? LIST_LITERAL : LIST_NONE;
		case LIST_CLOSED:
			return byte == ',' ? LIST_NEXT : LIST_NONE;
		case LIST_NEXT:
			return byte == '(' ? LIST_OPEN : LIST_NONE;
		case LIST_OPEN:
			return byte == '?' ? LIST_REPEATED : LIST_NONE;
		case LIST_REPEATED:
			return byte == ',' ? LIST_REPEATED_COMMA : byte == ')' ? LIST_CLOSED : LIST_NONE;
		case LIST_REPEATED_COMMA:
			return byte == '?' ? LIST_REPEATED : LIST_NONE;
	}
	return LIST_NONE;
}

/* The end of a list shows what was held back of it. */
static void
end_list(Wording *wording)
{
	for (const char *p = held_back[wording->list]; *p != '\0'; p++)
		put_byte(wording, *p);
	wording->list = LIST_NONE;
}

static void
put(Wording *wording, char byte, bool is_literal)
{
	ListState	before = wording->list;
	ListState	list = byte == '?' && !is_literal ? LIST_NONE : next_in_list(before, byte);
	bool		is_new = list == LIST_LITERAL && before == LIST_NONE;
	bool		is_closing = list == LIST_CLOSED && before == LIST_LITERAL;

	if (wording->is_end_due)
	{
		end_list(wording);
		put_byte(wording, ';');
		wording->is_end_due = false;
		list = LIST_NONE;
	}
	if (list == LIST_NONE)
	{
		end_list(wording);
		if (is_literal)
			list = LIST_LITERAL;
	}
	if (list == LIST_NONE || is_new || is_closing || (is_literal && wording->list == LIST_NONE))
	{
		if (wording->is_space_due)
			put_byte(wording, ' ');
		put_byte(wording, byte);
	}
	wording->is_space_due = false;
	wording->list = list;
}

static bool
is_word(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		(byte >= '0' && byte <= '9') || byte == '_' || byte == '$' || IS_HIGHBIT_SET(byte);
}

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* Skips to behind the closing quote; has_escapes: a backslash takes one along. */
static void
skip_quoted(Wording *wording, char quote, bool has_escapes)
{
	wording->at++;
	while (wording->at < wording->end)
	{
		char		byte = *wording->at++;

		if (byte == '\\' && has_escapes && wording->at < wording->end)
			wording->at++;
		else if (byte == quote)
		{
			if (wording->at >= wording->end || *wording->at != quote)
				return;
			wording->at++;
		}
	}
}

/* Skips $tag$ .. $tag$; false if there is no tag here. */
static bool
skip_dollar_quoted(Wording *wording)
{
	const char *tag = wording->at;
	const char *p = tag + 1;
	size_t		length;

	while (p < wording->end && *p != '$' && is_word(*p))
		p++;
	if (p >= wording->end || *p != '$' || is_digit(tag[1]))
		return false;
	length = p + 1 - tag;
	for (p++; p + length <= wording->end; p++)
		if (memcmp(p, tag, length) == 0)
		{
			wording->at = p + length;
			return true;
		}
	wording->at = wording->end;
	return true;
}

/* Skips a comment; false if there is none here. Block comments nest. */
static bool
skip_comment(Wording *wording)
{
	const char *p = wording->at;
	int			depth = 0;

	if (wording->end - p < 2)
		return false;
	if (p[0] == '-' && p[1] == '-')
	{
		while (wording->at < wording->end && *wording->at != '\n' && *wording->at != '\r')
			wording->at++;
		return true;
	}
	if (p[0] != '/' || p[1] != '*')
		return false;
	while (p < wording->end)
	{
		bool		is_pair = p + 1 < wording->end;

		if (is_pair && p[0] == '/' && p[1] == '*')
		{
			depth++;
			p += 2;
		}
		else if (is_pair && p[0] == '*' && p[1] == '/')
		{
			p += 2;
			if (--depth == 0)
				break;
		}
		else
			p++;
	}
	wording->at = p;
	return true;
}

/* Is the quote that comes next that of E'..', whose backslashes escape? */
static bool
is_escape_string(const Wording *wording, const char *text)
{
	const char *p = wording->at;

	if (!MtStringsConform())
		return true;
	return p > text && (p[-1] == 'e' || p[-1] == 'E') &&
		(p - 1 == text || !is_word(p[-2]));
}

static void
skip_number(Wording *wording)
{
	while (wording->at < wording->end &&
		   (is_word(*wording->at) || *wording->at == '.'))
		wording->at++;
}

/* A quoted name is kept: it is no data. */
static void
copy_name(Wording *wording)
{
	const char *start = wording->at;

	skip_quoted(wording, '"', false);
	for (const char *p = start; p < wording->at; p++)
		put(wording, *p, false);
}

static void
next(Wording *wording, const char *text)
{
	char		byte = *wording->at;
	bool		is_after_word = wording->is_after_word;

	wording->is_after_word = false;
	if (byte == ' ' || (byte >= '\t' && byte <= '\r'))
	{
		wording->is_space_due = true;
		wording->at++;
	}
	else if (byte == ';')
	{
		wording->is_end_due = true;
		wording->at++;
	}
	else if (skip_comment(wording))
		wording->is_space_due = true;
	else if (byte == '\'')
	{
		skip_quoted(wording, '\'', is_escape_string(wording, text));
		put(wording, '?', true);
	}
	else if (byte == '"')
		copy_name(wording);
	else if (byte == '$' && !is_after_word && skip_dollar_quoted(wording))
		put(wording, '?', true);
	else if (is_digit(byte) && !is_after_word)
	{
		skip_number(wording);
		put(wording, '?', true);
	}
	else
	{
		put(wording, byte, false);
		wording->at++;
		wording->is_after_word = is_word(byte);
	}
}

uint64
MtWordingOf(const char *text, int length, char *out, size_t size)
{
	Wording		wording = {
		.at = text,.end = text + Min(length, MAX_TEXT),.out = out,.room = size - 1,.hash = HASH_START
	};
	int			written;

	/* White space before the statement is none of it. */
	while (wording.at < wording.end)
	{
		next(&wording, text);
		if (wording.hash == HASH_START)
			wording.is_space_due = false;
	}
	end_list(&wording);
	*wording.out = '\0';
	/* Its last character may have been cut: by the room, or by MAX_TEXT. */
	written = (int) strlen(out);
	out[pg_mbcliplen(out, written, written)] = '\0';
	return wording.hash == 0 ? 1 : wording.hash;
}
