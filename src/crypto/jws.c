/*
 * jws.c
 *	  Strict reader of JWS compact tokens and of the claims they carry.
 *
 * Owns the format: base64url, the small part of JSON that headers and claims
 * need, and their members, each in one table. Verifies nothing: everything
 * read here is a claim until signature.c has accepted the signature.
 *
 * Security: the input is the attacker's, before the signature is checked and
 * (a signer may be careless) after. There is exactly one way to read a token:
 * what two readers could understand differently (duplicate members, stray
 * bits in base64url, truncated strings, numbers rounded to integers, bytes
 * after the end) is refused, never repaired. Recursion is bounded by
 * MT_JSON_MAX_DEPTH, every buffer by its size, and nothing is allocated.
 */
#include "crypto/jws.h"

#include <string.h>

/* Longer than the name of every member in the tables below. */
#define MEMBER_NAME_SIZE 16

/* A place in the JSON text being read. */
typedef struct Reader
{
	const unsigned char *at;
	const unsigned char *end;
	int			depth;
	bool		is_unsupported; /* refused for what it asks, not for its form */
} Reader;

/* A string being read; with a NULL buffer it is checked and thrown away. */
typedef struct Text
{
	char	   *buffer;
	size_t		size;
	size_t		length;			/* also counts what found no room */
} Text;

typedef struct Member Member;

/* Reads the value at the reader into the struct that the table describes. */
typedef bool (*MemberReader) (Reader *reader, const Member *member, char *out);

struct Member
{
	const char *name;
	MemberReader read;
	size_t		offset;			/* of the value in the struct */
	size_t		size;			/* of a string's buffer */
	size_t		flag_offset;	/* of an integer's has_... flag */
};

static bool read_string_member(Reader *reader, const Member *member, char *out);
static bool read_empty_string_member(Reader *reader, const Member *member,
									 char *out);
static bool read_integer_member(Reader *reader, const Member *member,
								char *out);
static bool read_tenant_member(Reader *reader, const Member *member, char *out);
static bool read_audience_member(Reader *reader, const Member *member,
								 char *out);
static bool read_type_member(Reader *reader, const Member *member, char *out);
static bool refuse_member(Reader *reader, const Member *member, char *out);
static bool read_object(Reader *reader, const Member *members, int count,
						char *out);

#define STRING(type, field, reader) \
	{#field, reader, offsetof(type, field), sizeof(((type *) 0)->field), 0}
#define INTEGER(field) \
	{#field, read_integer_member, offsetof(MtClaims, field), 0, \
	offsetof(MtClaims, has_##field)}

/*
 * Security: crit and b64 change what the signature covers or which rules
 * apply (RFC 7515 section 4.1.11, RFC 7797); skipping them would be wrong.
 * jku, jwk, x5u and x5c are skipped like any unknown member: keys come from
 * the keyring alone.
 */
static const Member header_members[] = {
	{"alg", read_string_member, offsetof(MtJws, algorithm),
	sizeof(((MtJws *) 0)->algorithm), 0},
	STRING(MtJws, kid, read_string_member),
	{"typ", read_type_member, 0, 0, 0},
	{"crit", refuse_member, 0, 0, 0},
	{"b64", refuse_member, 0, 0, 0},
};

static const Member claim_members[] = {
	{"tenant", read_tenant_member, 0, 0, 0},
	{"aud", read_audience_member, 0, 0, 0},
	STRING(MtClaims, sub, read_string_member),
	STRING(MtClaims, jti, read_string_member),
	STRING(MtClaims, kind, read_string_member),
	STRING(MtClaims, scope, read_empty_string_member),
	INTEGER(iat),
	INTEGER(exp),
	INTEGER(nbf),
};

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* One more than the value of a base64url digit, 0 for every other byte. */
static const unsigned char base64url_digits[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6,
	['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,
	['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
	['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
	['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
	['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
	['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54,
	['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
	['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

/*
 * Decodes base64url without padding into a buffer of the given size.
 *
 * Security: bits that no byte uses must be zero, or one signature would have
 * several spellings and a token's text would not identify it.
 */
static MtJwsStatus
decode_base64url(const char *text, size_t length, unsigned char *out,
				 size_t size, size_t *out_length)
{
	uint32_t	bits = 0;
	int			bit_count = 0;
	size_t		written = 0;

	if (length == 0 || length % 4 == 1)
		return MT_JWS_MALFORMED;
	if (length / 4 * 3 + length % 4 * 3 / 4 > size)
		return MT_JWS_TOO_LONG;

	for (size_t i = 0; i < length; i++)
	{
		unsigned char digit = base64url_digits[(unsigned char) text[i]];

		if (digit == 0)
			return MT_JWS_MALFORMED;
		bits = bits << 6 | (uint32_t) (digit - 1);
		bit_count += 6;
		if (bit_count >= 8)
		{
			bit_count -= 8;
			out[written++] = (unsigned char) (bits >> bit_count);
			bits &= (1U << bit_count) - 1;
		}
	}
	if (bits != 0)
		return MT_JWS_MALFORMED;

	*out_length = written;
	return MT_JWS_OK;
}

/* Steps over white space. */
static void
skip_space(Reader *reader)
{
	while (reader->at < reader->end &&
		   (*reader->at == ' ' || *reader->at == '\t' ||
			*reader->at == '\n' || *reader->at == '\r'))
		reader->at++;
}

/* The byte at the reader, 0 at the end (a NUL byte is nowhere valid JSON). */
static unsigned char
peek(const Reader *reader)
{
	return reader->at < reader->end ? *reader->at : 0;
}

/* Steps over the byte, if it is there after white space. */
static bool
accept(Reader *reader, unsigned char byte)
{
	skip_space(reader);
	if (peek(reader) != byte)
		return false;
	reader->at++;
	return true;
}

/* Steps over the literal, if it is there. */
static bool
accept_literal(Reader *reader, const char *literal)
{
	size_t		length = strlen(literal);

	if ((size_t) (reader->end - reader->at) < length ||
		memcmp(reader->at, literal, length) != 0)
		return false;
	reader->at += length;
	return true;
}

/* Steps into an object or array, unless that is too deep. */
static bool
enter(Reader *reader, unsigned char bracket)
{
	if (!accept(reader, bracket) || reader->depth >= MT_JSON_MAX_DEPTH)
		return false;
	reader->depth++;
	return true;
}

/* Steps out of an object or array, if it ends here. */
static bool
leave(Reader *reader, unsigned char bracket)
{
	if (!accept(reader, bracket))
		return false;
	reader->depth--;
	return true;
}

/* Appends a byte, or only counts it where there is no room. */
static void
put_byte(Text *text, uint32_t byte)
{
	if (text->length < text->size)
		text->buffer[text->length] = (char) (unsigned char) byte;
	text->length++;
}

/*
 * Appends a code point as UTF-8.
 *
 * Security: a string that is kept has no control characters (C0, DEL, C1).
 * NUL would end it early for C, line feeds and escape sequences would forge
 * lines in the server log and in the audit log.
 */
static bool
put_code_point(Text *text, uint32_t code)
{
	if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
		return false;
	if (text->buffer != NULL && (code < 0x20 || (code >= 0x7F && code < 0xA0)))
		return false;

	if (code < 0x80)
		put_byte(text, code);
	else if (code < 0x800)
	{
		put_byte(text, 0xC0 | code >> 6);
		put_byte(text, 0x80 | (code & 0x3F));
	}
	else if (code < 0x10000)
	{
		put_byte(text, 0xE0 | code >> 12);
		put_byte(text, 0x80 | (code >> 6 & 0x3F));
		put_byte(text, 0x80 | (code & 0x3F));
	}
	else
	{
		put_byte(text, 0xF0 | code >> 18);
		put_byte(text, 0x80 | (code >> 12 & 0x3F));
		put_byte(text, 0x80 | (code >> 6 & 0x3F));
		put_byte(text, 0x80 | (code & 0x3F));
	}
	return true;
}

/* Reads one UTF-8 sequence; overlong forms and surrogates are refused. */
static bool
read_utf8(Reader *reader, Text *text)
{
	uint32_t	first = *reader->at++;
	uint32_t	code;
	uint32_t	least;
	int			more;

	if (first < 0x20)
		return false;
	if (first < 0x80)
		return put_code_point(text, first);

	if ((first & 0xE0) == 0xC0)
	{
		more = 1;
		least = 0x80;
		code = first & 0x1F;
	}
	else if ((first & 0xF0) == 0xE0)
	{
		more = 2;
		least = 0x800;
		code = first & 0x0F;
	}
	else if ((first & 0xF8) == 0xF0)
	{
		more = 3;
		least = 0x10000;
		code = first & 0x07;
	}
	else
		return false;

	while (more-- > 0)
	{
		if ((peek(reader) & 0xC0) != 0x80)
			return false;
		code = code << 6 | (uint32_t) (*reader->at++ & 0x3F);
	}
	return code >= least && put_code_point(text, code);
}

/* Reads the four digits of a \u escape. */
static bool
read_hex4(Reader *reader, uint32_t *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++)
	{
		unsigned char digit = peek(reader);

		if (digit >= '0' && digit <= '9')
			digit -= '0';
		else if (digit >= 'a' && digit <= 'f')
			digit -= 'a' - 10;
		else if (digit >= 'A' && digit <= 'F')
			digit -= 'A' - 10;
		else
			return false;
		*code = *code << 4 | digit;
		reader->at++;
	}
	return true;
}

/* Reads what follows a backslash. */
static bool
read_escape(Reader *reader, Text *text)
{
	unsigned char letter = peek(reader);
	uint32_t	code;
	uint32_t	low;

	reader->at++;
	switch (letter)
	{
		case '"':
		case '\\':
		case '/':
			return put_code_point(text, letter);
		case 'b':
			return put_code_point(text, '\b');
		case 'f':
			return put_code_point(text, '\f');
		case 'n':
			return put_code_point(text, '\n');
		case 'r':
			return put_code_point(text, '\r');
		case 't':
			return put_code_point(text, '\t');
		case 'u':
			break;
		default:
			return false;
	}

	if (!read_hex4(reader, &code))
		return false;
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		if (!accept_literal(reader, "\\u") || !read_hex4(reader, &low) ||
			low < 0xDC00 || low > 0xDFFF)
			return false;
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
	}
	return put_code_point(text, code);
}

/* Reads a string; the caller compares length and size. */
static bool
read_text(Reader *reader, Text *text)
{
	if (!accept(reader, '"'))
		return false;
	while (reader->at < reader->end)
	{
		if (*reader->at == '"')
		{
			reader->at++;
			return true;
		}
		if (*reader->at == '\\')
		{
			reader->at++;
			if (reader->at == reader->end || !read_escape(reader, text))
				return false;
		}
		else if (!read_utf8(reader, text))
			return false;
	}
	return false;
}

/*
 * Reads a string that must fit into the buffer with its NUL.
 *
 * Security: never truncates, or a long name would become another's.
 */
static bool
read_string(Reader *reader, char *buffer, size_t size)
{
	Text		text = {buffer, size, 0};

	if (!read_text(reader, &text) || text.length >= size)
		return false;
	buffer[text.length] = '\0';
	return true;
}

/* Reads an integer that fits; what may follow it is the caller's business. */
static bool
read_integer(Reader *reader, int64_t *value)
{
	bool		is_negative;
	uint64_t	limit;
	uint64_t	magnitude = 0;

	skip_space(reader);
	is_negative = peek(reader) == '-';
	if (is_negative)
		reader->at++;
	limit = (uint64_t) INT64_MAX + (is_negative ? 1 : 0);

	if (peek(reader) < '0' || peek(reader) > '9')
		return false;
	if (peek(reader) == '0')
		reader->at++;			/* no digit may follow; none is accepted */
	else
		while (peek(reader) >= '0' && peek(reader) <= '9')
		{
			uint64_t	digit = (uint64_t) (*reader->at++ - '0');

			if (magnitude > (limit - digit) / 10)
				return false;
			magnitude = magnitude * 10 + digit;
		}

	if (!is_negative)
		*value = (int64_t) magnitude;
	else if (magnitude > (uint64_t) INT64_MAX)
		*value = INT64_MIN;
	else
		*value = -(int64_t) magnitude;
	return true;
}

/* Steps over one digit or more. */
static bool
skip_digits(Reader *reader)
{
	const unsigned char *start = reader->at;

	while (peek(reader) >= '0' && peek(reader) <= '9')
		reader->at++;
	return reader->at > start;
}

/* Steps over any JSON number. */
static bool
skip_number(Reader *reader)
{
	if (peek(reader) == '-')
		reader->at++;
	if (peek(reader) == '0')
		reader->at++;
	else if (!skip_digits(reader))
		return false;
	if (peek(reader) == '.')
	{
		reader->at++;
		if (!skip_digits(reader))
			return false;
	}
	if (peek(reader) == 'e' || peek(reader) == 'E')
	{
		reader->at++;
		if (peek(reader) == '+' || peek(reader) == '-')
			reader->at++;
		if (!skip_digits(reader))
			return false;
	}
	return true;
}

/* Steps over any JSON value, which must still be a valid one. */
static bool
skip_value(Reader *reader)
{
	Text		nowhere = {NULL, 0, 0};

	skip_space(reader);
	switch (peek(reader))
	{
		case '"':
			return read_text(reader, &nowhere);
		case '{':
			return read_object(reader, NULL, 0, NULL);
		case '[':
			if (!enter(reader, '['))
				return false;
			if (leave(reader, ']'))
				return true;
			do
			{
				if (!skip_value(reader))
					return false;
			} while (accept(reader, ','));
			return leave(reader, ']');
		case 't':
			return accept_literal(reader, "true");
		case 'f':
			return accept_literal(reader, "false");
		case 'n':
			return accept_literal(reader, "null");
		default:
			return skip_number(reader);
	}
}

/*
 * Reads a member's name and finds it: its index, -1 if the table does not
 * know it, -2 if it is no name.
 */
static int
read_name(Reader *reader, const Member *members, int count)
{
	char		name[MEMBER_NAME_SIZE];
	Text		text = {NULL, 0, 0};

	if (count > 0)
	{
		text.buffer = name;
		text.size = sizeof(name);
	}
	if (!read_text(reader, &text))
		return -2;
	if (text.length >= text.size)
		return -1;
	name[text.length] = '\0';

	for (int i = 0; i < count; i++)
		if (strcmp(name, members[i].name) == 0)
			return i;
	return -1;
}

/*
 * Reads an object: members of the table go where the table says, once each;
 * all others are skipped. With no table the whole object is.
 */
static bool
read_object(Reader *reader, const Member *members, int count, char *out)
{
	uint32_t	seen = 0;

	if (!enter(reader, '{'))
		return false;
	if (leave(reader, '}'))
		return true;
	do
	{
		int			index = read_name(reader, members, count);

		if (index == -2 || !accept(reader, ':'))
			return false;
		if (index == -1)
		{
			if (!skip_value(reader))
				return false;
			continue;
		}
		/* Security: whoever else reads the token may take the other one. */
		if ((seen & 1U << index) != 0)
			return false;
		seen |= 1U << index;
		if (!members[index].read(reader, &members[index], out))
			return false;
	} while (accept(reader, ','));
	return leave(reader, '}');
}

/* A string that may be empty. */
static bool
read_empty_string_member(Reader *reader, const Member *member, char *out)
{
	return read_string(reader, out + member->offset, member->size);
}

/* A string that may not: absent is the only way to say nothing. */
static bool
read_string_member(Reader *reader, const Member *member, char *out)
{
	return read_empty_string_member(reader, member, out) &&
		out[member->offset] != '\0';
}

/* Seconds since 1970; fractions and exponents are refused. */
static bool
read_integer_member(Reader *reader, const Member *member, char *out)
{
	int64_t		value;
	bool		is_there = true;

	if (!read_integer(reader, &value))
		return false;
	memcpy(out + member->offset, &value, sizeof(value));
	memcpy(out + member->flag_offset, &is_there, sizeof(is_there));
	return true;
}

/* A uuid or slug in a string, or a tenant number. */
static bool
read_tenant_member(Reader *reader, const Member *member, char *out)
{
	MtClaims   *claims = (MtClaims *) out;

	(void) member;
	skip_space(reader);
	claims->has_tenant = true;
	if (peek(reader) == '"')
		return read_string(reader, claims->tenant, sizeof(claims->tenant)) &&
			claims->tenant[0] != '\0';
	claims->tenant_is_number = true;
	return read_integer(reader, &claims->tenant_number);
}

/* A string or a nonempty array of strings, none of them empty. */
static bool
read_audience_member(Reader *reader, const Member *member, char *out)
{
	MtClaims   *claims = (MtClaims *) out;
	bool		is_array;

	(void) member;
	skip_space(reader);
	is_array = peek(reader) == '[';
	if (is_array && !enter(reader, '['))
		return false;
	do
	{
		char	   *aud;

		if (claims->aud_count == MT_CLAIMS_MAX_AUDIENCES)
			return false;
		aud = claims->aud[claims->aud_count++];
		if (!read_string(reader, aud, sizeof(claims->aud[0])) ||
			aud[0] == '\0')
			return false;
	} while (is_array && accept(reader, ','));
	return !is_array || leave(reader, ']');
}

/* Says only what the token is; letter case does not matter (RFC 7515 4.1.9). */
static bool
read_type_member(Reader *reader, const Member *member, char *out)
{
	char		type[4];

	(void) member;
	(void) out;
	if (!read_string(reader, type, sizeof(type)) ||
		(type[0] | 0x20) != 'j' || (type[1] | 0x20) != 'w' ||
		(type[2] | 0x20) != 't')
	{
		reader->is_unsupported = true;
		return false;
	}
	return true;
}

/* A member whose presence alone refuses the token. */
static bool
refuse_member(Reader *reader, const Member *member, char *out)
{
	(void) member;
	(void) out;
	reader->is_unsupported = true;
	return false;
}

/* Reads a text that is one object and nothing else but white space. */
static MtJwsStatus
read_document(const void *json, size_t length, const Member *members,
			  int count, char *out, MtJwsStatus failure)
{
	Reader		reader;

	if (length == 0)
		return failure;

	reader.at = json;
	reader.end = reader.at + length;
	reader.depth = 0;
	reader.is_unsupported = false;

	if (!read_object(&reader, members, count, out))
		return reader.is_unsupported ? MT_JWS_UNSUPPORTED : failure;
	skip_space(&reader);
	return reader.at == reader.end ? MT_JWS_OK : failure;
}

/* Splits and decodes the token, then reads its header. */
static MtJwsStatus
parse_token(const char *token, size_t length, MtJws *out)
{
	unsigned char header[MT_JWS_MAX_HEADER];
	size_t		header_length = 0;
	const char *end = token + length;
	const char *payload;
	const char *signature;
	MtJwsStatus status;

	/* Every object whose first member has a name begins like this. */
	if (length < 3 || memcmp(token, "eyJ", 3) != 0)
		return MT_JWS_MALFORMED;

	payload = memchr(token, '.', length);
	if (payload == NULL)
		return MT_JWS_MALFORMED;
	payload++;
	signature = memchr(payload, '.', (size_t) (end - payload));
	if (signature == NULL)
		return MT_JWS_MALFORMED;
	signature++;

	/* A third dot is no base64url digit, so the signature's decoding says no. */
	status = decode_base64url(token, (size_t) (payload - 1 - token),
							  header, sizeof(header), &header_length);
	if (status != MT_JWS_OK)
		return status;
	status = decode_base64url(payload, (size_t) (signature - 1 - payload),
							  (unsigned char *) out->payload,
							  sizeof(out->payload) - 1, &out->payload_length);
	if (status != MT_JWS_OK)
		return status;
	status = decode_base64url(signature, (size_t) (end - signature),
							  out->signature, sizeof(out->signature),
							  &out->signature_length);
	if (status != MT_JWS_OK)
		return status;

	out->signing_input = token;
	out->signing_input_length = (size_t) (signature - 1 - token);

	status = read_document(header, header_length, header_members,
						   LENGTH_OF(header_members), (char *) out,
						   MT_JWS_BAD_HEADER);
	if (status == MT_JWS_OK &&
		(out->algorithm[0] == '\0' || out->kid[0] == '\0'))
		status = MT_JWS_BAD_HEADER;
	return status;
}

MtJwsStatus
MtJwsParse(const char *token, size_t length, MtJws *out)
{
	MtJwsStatus status;

	memset(out, 0, sizeof(*out));
	if (length > MT_JWS_MAX_LENGTH)
		return MT_JWS_TOO_LONG;

	status = parse_token(token, length, out);
	if (status != MT_JWS_OK)
		memset(out, 0, sizeof(*out));
	return status;
}

MtJwsStatus
MtClaimsParse(const char *json, size_t length, MtClaims *out)
{
	MtJwsStatus status;

	memset(out, 0, sizeof(*out));
	if (length > MT_JWS_MAX_PAYLOAD)
		return MT_JWS_TOO_LONG;

	status = read_document(json, length, claim_members,
						   LENGTH_OF(claim_members), (char *) out,
						   MT_JWS_BAD_CLAIMS);
	if (status != MT_JWS_OK)
		memset(out, 0, sizeof(*out));
	return status;
}

const char *
MtJwsStatusText(MtJwsStatus status)
{
	switch (status)
	{
		case MT_JWS_OK:
			return "well-formed";
		case MT_JWS_TOO_LONG:
			return "too long";
		case MT_JWS_MALFORMED:
			return "not three parts in base64url";
		case MT_JWS_BAD_HEADER:
			return "header is not a JSON object with alg and kid";
		case MT_JWS_UNSUPPORTED:
			return "header asks for something unsupported";
		case MT_JWS_BAD_CLAIMS:
			return "claims are not a JSON object of the expected shape";
	}
	return "unknown status";
}
