/*
 * wrap_test.c
 *	  Tests of wrapped keys and of the bytes of encrypted values. Prints TAP.
 *
 * Build and run, from the top directory:
 *
 *	cc -std=c99 -Wall -Wextra -O2 -Isrc test/crypto/wrap_test.c \
 *		src/crypto/cipher.c src/crypto/ciphertext.c src/crypto/wrap.c \
 *		-lcrypto -o wrap_test && ./wrap_test
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "crypto/ciphertext.h"
#include "crypto/wrap.h"

#include "tap.h"

#define LONGEST_KEY 1024
#define OVERHEAD (MT_WRAPPED_BYTES - MT_SECRET_BYTES)

#define PURPOSE_63 "a purpose of sixty-three bytes, the longest name a server has.."

static bool
is_hex(const unsigned char *data, size_t length, const char *hex)
{
	char		byte[3];

	if (strlen(hex) != 2 * length)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		snprintf(byte, sizeof(byte), "%02x", data[i]);
		if (strncmp(byte, hex + 2 * i, 2) != 0)
			return false;
	}
	return true;
}

static void
from_hex(const char *hex, unsigned char *out)
{
	for (size_t i = 0; hex[2 * i] != '\0'; i++)
	{
		unsigned	byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (unsigned char) byte;
	}
}

/* Counts upwards. */
static void
fill(unsigned char *data, size_t length, unsigned first)
{
	for (size_t i = 0; i < length; i++)
		data[i] = (unsigned char) (first + i);
}

static bool
is_filled_with(const unsigned char *data, size_t length, unsigned char byte)
{
	for (size_t i = 0; i < length; i++)
		if (data[i] != byte)
			return false;
	return true;
}

/* ---- wrapped keys ---- */

static unsigned char wrapping[MT_SECRET_BYTES];
static unsigned char key[LONGEST_KEY + 1];
static const uint64_t wrapping_id = UINT64_C(0x1122334455667788);

static MtWrapBinding
usual_binding(void)
{
	MtWrapBinding binding = {MT_WRAP_DATA_KEY, {0}, UINT64_C(0x0102030405060708), 3, 'd', "card", -5};

	fill(binding.tenant, MT_TENANT_BYTES, 0x10);
	return binding;
}

/* Unwraps into memory of exactly the right length; was anything left there? */
static MtWrapStatus
unwrap(const MtWrapBinding *binding, const unsigned char *wrapped, size_t length,
	   bool *is_right, bool *is_left)
{
	size_t		key_length = length > OVERHEAD ? length - OVERHEAD : 0;
	unsigned char *out = malloc(key_length + 1);
	unsigned char *copy = malloc(length + 1);
	MtWrapStatus status;

	/* exactly as long, for the address sanitizer to see */
	copy = realloc(copy, length > 0 ? length : 1);
	memcpy(copy, wrapped, length);
	memset(out, 0xA5, key_length + 1);
	status = MtUnwrap(wrapping, wrapping_id, binding, copy, length, out);
	*is_right = memcmp(out, key, key_length) == 0;
	*is_left = !is_filled_with(out, key_length, 0) || out[key_length] != 0xA5 ||
		ERR_peek_error() != 0;
	free(out);
	free(copy);
	return status;
}

static void
test_wrap_lengths(void)
{
	MtWrapBinding binding = usual_binding();
	unsigned char *wrapped = malloc(LONGEST_KEY + OVERHEAD);
	int			wrong = 0;
	bool		is_right;
	bool		is_left;
	uint64_t	id;

	for (size_t length = 1; length <= LONGEST_KEY; length++)
	{
		memset(wrapped, 0, LONGEST_KEY + OVERHEAD);
		wrong += MtWrap(wrapping, wrapping_id, &binding, key, length, wrapped) != MT_WRAP_OK ||
			!is_filled_with(wrapped + length + OVERHEAD, LONGEST_KEY - length, 0) ||
			MtWrappedUnder(wrapped, length + OVERHEAD, &id) != MT_WRAP_OK ||
			id != wrapping_id ||
			unwrap(&binding, wrapped, length + OVERHEAD, &is_right, &is_left) != MT_WRAP_OK ||
			!is_right;
	}
	ok(wrong == 0, "keys of 1 to 1024 bytes are wrapped and unwrapped");
	ok(MtWrap(wrapping, wrapping_id, &binding, key, 0, wrapped) == MT_WRAP_MALFORMED &&
	   MtWrap(wrapping, wrapping_id, &binding, key, LONGEST_KEY + 1, wrapped) == MT_WRAP_MALFORMED,
	   "no others");
	free(wrapped);
}

/* Made by Python's cryptography: the format may not change. */
static void
test_wrap_format(void)
{
	MtWrapBinding binding = usual_binding();
	unsigned char wrapped[MT_WRAPPED_BYTES];
	unsigned char again[MT_WRAPPED_BYTES];
	unsigned char out[MT_SECRET_BYTES];
	unsigned char expected[MT_SECRET_BYTES];

	from_hex("01011122334455667788202122232425262728292a2b"
			 "927be43328dd5c49523508858d55bab68018becfd3d535b934af364915d70056"
			 "96e09f0fa3792a1e9c986073a4fe10ab", wrapped);
	fill(expected, sizeof(expected), 0x40);
	ok(MtUnwrap(wrapping, wrapping_id, &binding, wrapped, sizeof(wrapped), out) == MT_WRAP_OK &&
	   memcmp(out, expected, sizeof(out)) == 0, "a wrapped key is as it always was");
	ok(MtWrap(wrapping, wrapping_id, &binding, key, MT_SECRET_BYTES, wrapped) == MT_WRAP_OK &&
	   MtWrap(wrapping, wrapping_id, &binding, key, MT_SECRET_BYTES, again) == MT_WRAP_OK &&
	   is_hex(wrapped, 10, "01011122334455667788") && memcmp(wrapped, again, 10) == 0 &&
	   memcmp(wrapped + 10, again + 10, MT_NONCE_BYTES) != 0 &&
	   memcmp(wrapped + 22, again + 22, MT_SECRET_BYTES) != 0,
	   "wrapped again it has another nonce");
}

static void
test_wrap_bits(void)
{
	MtWrapBinding binding = usual_binding();
	unsigned char wrapped[MT_WRAPPED_BYTES];
	int			accepted = 0;
	int			left = 0;
	int			broken = 0;
	bool		is_right;
	bool		is_left;

	MtWrap(wrapping, wrapping_id, &binding, key, MT_SECRET_BYTES, wrapped);
	for (size_t bit = 0; bit < 8 * (MT_WRAPPED_BYTES + MT_SECRET_BYTES); bit++)
	{
		unsigned char *where = bit < 8 * MT_WRAPPED_BYTES ? wrapped + bit / 8 :
		wrapping + bit / 8 - MT_WRAPPED_BYTES;
		MtWrapStatus status;
		MtWrapStatus expected = bit < 16 ? MT_WRAP_MALFORMED : bit < 80 ? MT_WRAP_OTHER_KEY : MT_WRAP_FORGED;

		*where ^= (unsigned char) (1u << bit % 8);
		status = unwrap(&binding, wrapped, sizeof(wrapped), &is_right, &is_left);
		*where ^= (unsigned char) (1u << bit % 8);
		accepted += status != expected;
		left += is_left;
		broken += unwrap(&binding, wrapped, sizeof(wrapped), &is_right, &is_left) != MT_WRAP_OK || !is_right;
	}
	ok(accepted == 0, "one bit changed in a wrapped key or in the wrapping one is refused, with the right reason");
	ok(left == 0, "a refusal leaves nothing of the key");
	ok(broken == 0, "after each refusal the right one is unwrapped");

	accepted = left = 0;
	for (size_t length = 0; length < MT_WRAPPED_BYTES; length++)
	{
		accepted += unwrap(&binding, wrapped, length, &is_right, &is_left) !=
			(length <= OVERHEAD ? MT_WRAP_MALFORMED : MT_WRAP_FORGED);
		left += is_left;
	}
	ok(accepted == 0 && left == 0, "what is shorter is refused");
}

/* Is it refused under this binding, and under nothing but it accepted? */
static bool
binds(const MtWrapBinding *changed)
{
	MtWrapBinding binding = usual_binding();
	unsigned char wrapped[MT_WRAPPED_BYTES];
	bool		is_right;
	bool		is_left;

	return MtWrap(wrapping, wrapping_id, &binding, key, MT_SECRET_BYTES, wrapped) == MT_WRAP_OK &&
		unwrap(changed, wrapped, sizeof(wrapped), &is_right, &is_left) == MT_WRAP_FORGED && !is_left &&
		MtWrap(wrapping, wrapping_id, changed, key, MT_SECRET_BYTES, wrapped) == MT_WRAP_OK &&
		unwrap(&binding, wrapped, sizeof(wrapped), &is_right, &is_left) == MT_WRAP_FORGED && !is_left &&
		unwrap(changed, wrapped, sizeof(wrapped), &is_right, &is_left) == MT_WRAP_OK && is_right;
}

static void
test_wrap_binding(void)
{
	static const char *const purposes[] = {"", "car", "cards", "Card", "card ", "d", PURPOSE_63};
	MtWrapBinding changed;
	int			unbound = 0;
	unsigned char wrapped[MT_WRAPPED_BYTES];
	bool		is_right;
	bool		is_left;

	for (int level = 1; level <= 4; level++)
		if (level != MT_WRAP_DATA_KEY)
		{
			changed = usual_binding();
			changed.level = (MtWrapLevel) level;
			unbound += !binds(&changed);
		}
	ok(unbound == 0, "bound to the level");

	unbound = 0;
	for (int bit = 0; bit < 8 * MT_TENANT_BYTES; bit++)
	{
		changed = usual_binding();
		changed.tenant[bit / 8] ^= (unsigned char) (1u << bit % 8);
		unbound += !binds(&changed);
	}
	ok(unbound == 0, "bound to every bit of the tenant");

	unbound = 0;
	for (int bit = 0; bit < 64; bit++)
	{
		changed = usual_binding();
		changed.key_id ^= UINT64_C(1) << bit;
		unbound += !binds(&changed);
		changed = usual_binding();
		changed.created_at = (int64_t) ((uint64_t) changed.created_at ^ UINT64_C(1) << bit);
		unbound += !binds(&changed);
	}
	ok(unbound == 0, "bound to every bit of the key's id and of its time");

	unbound = 0;
	for (int bit = 0; bit < 32; bit++)
	{
		changed = usual_binding();
		changed.version = (int32_t) ((uint32_t) changed.version ^ UINT32_C(1) << bit);
		unbound += !binds(&changed);
	}
	ok(unbound == 0, "bound to every bit of the version");

	unbound = 0;
	for (const char *class = "ksbtD"; *class != '\0'; class++)
	{
		changed = usual_binding();
		changed.class = *class;
		unbound += !binds(&changed);
	}
	ok(unbound == 0, "bound to the class");

	unbound = 0;
	for (size_t i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++)
	{
		changed = usual_binding();
		changed.purpose = purposes[i];
		unbound += !binds(&changed);
	}
	ok(unbound == 0, "bound to the purpose");

	changed = usual_binding();
	changed.purpose = PURPOSE_63 "x";
	MtWrap(wrapping, wrapping_id, &changed, key, MT_SECRET_BYTES, wrapped);
	ok(MtWrap(wrapping, wrapping_id, &changed, key, MT_SECRET_BYTES, wrapped) == MT_WRAP_MALFORMED,
	   "nothing is wrapped for a purpose that is too long");
	changed.purpose = PURPOSE_63;
	MtWrap(wrapping, wrapping_id, &changed, key, MT_SECRET_BYTES, wrapped);
	changed.purpose = PURPOSE_63 "x";
	ok(unwrap(&changed, wrapped, sizeof(wrapped), &is_right, &is_left) == MT_WRAP_FORGED && !is_left,
	   "nor unwrapped");
}

static void
test_no_wrapped_key(void)
{
	MtWrapBinding binding = usual_binding();
	static unsigned char long_one[5000];
	unsigned char out[LONGEST_KEY];
	uint64_t	id = 1;

	fill(long_one, sizeof(long_one), 0);
	memset(out, 0xA5, sizeof(out));
	long_one[0] = long_one[1] = 1;
	ok(MtUnwrap(wrapping, wrapping_id, &binding, long_one, sizeof(long_one), out) == MT_WRAP_MALFORMED &&
	   is_filled_with(out, sizeof(out), 0) &&
	   MtWrappedUnder(long_one, sizeof(long_one), &id) == MT_WRAP_MALFORMED && id == 0,
	   "what is too long for a wrapped key is none");
	ok(MtWrappedUnder(long_one, LONGEST_KEY + OVERHEAD, &id) == MT_WRAP_OK &&
	   id == UINT64_C(0x0203040506070809), "under which key it is wrapped is told without any");
	long_one[0] = 2;
	ok(MtWrappedUnder(long_one, MT_WRAPPED_BYTES, &id) == MT_WRAP_MALFORMED && id == 0,
	   "not in a later format");
	long_one[0] = 1;
	long_one[1] = 2;
	ok(MtWrappedUnder(long_one, MT_WRAPPED_BYTES, &id) == MT_WRAP_MALFORMED && id == 0,
	   "nor by a later algorithm");
	ok(MtWrappedUnder(NULL, 0, &id) == MT_WRAP_MALFORMED &&
	   MtUnwrap(wrapping, wrapping_id, &binding, NULL, 0, NULL) == MT_WRAP_MALFORMED,
	   "nothing is no wrapped key");
}

/* ---- encrypted values ---- */

/* Parses memory that is exactly as long. */
static MtCiphertextStatus
parse(const unsigned char *value, size_t length, MtCiphertext *out, const unsigned char **copy)
{
	static unsigned char *exact = NULL;

	free(exact);
	exact = NULL;
	if (length > 0)
	{
		exact = malloc(length);
		memcpy(exact, value, length);
	}
	*copy = exact;
	memset(out, 0xA5, sizeof(*out));
	return MtCiphertextParse(exact, length, out);
}

static void
test_values(void)
{
	static const MtCiphertext none;
	static const uint64_t ids[] = {1, 255, 256, UINT64_C(0x0102030405060708), INT64_MAX};
	unsigned char value[100];
	const unsigned char *copy;
	MtCiphertext parsed;
	int			wrong = 0;

	fill(value, sizeof(value), 1);
	for (int suite = 1; suite <= 2; suite++)
		for (int is_bound = 0; is_bound < 2; is_bound++)
			for (int i = 0; i < 5; i++)
				for (size_t length = 0; length <= sizeof(value); length++)
				{
					size_t		overhead = suite == 1 ? MT_GCM_OVERHEAD : MT_SIV_OVERHEAD;
					MtCiphertextStatus status;

					MtCiphertextWriteHeader(value, (MtSuite) suite, is_bound != 0, ids[i]);
					status = parse(value, length, &parsed, &copy);
					if (length < overhead)
						wrong += status != MT_CIPHERTEXT_MALFORMED || memcmp(&parsed, &none, sizeof(none)) != 0;
					else
						wrong += status != MT_CIPHERTEXT_OK || (int) parsed.suite != suite ||
							parsed.is_bound != (is_bound != 0) || parsed.key_id != ids[i] ||
							parsed.length != length - overhead ||
							parsed.nonce != (suite == 1 ? copy + 10 : NULL) ||
							parsed.text !=copy + (suite == 1 ? 22 : 26) ||
							parsed.tag != (suite == 1 ? copy + length - 16 : copy + 10);
				}
	ok(wrong == 0, "values of both suites, bound or not, are taken apart; shorter ones are none");

	MtCiphertextWriteHeader(value, MT_SUITE_GCM, true, UINT64_C(0x0102030405060708));
	ok(is_hex(value, 10, "e5810102030405060708"), "a header is as it always was: suite 1, bound");
	MtCiphertextWriteHeader(value, MT_SUITE_SIV, false, 1);
	ok(is_hex(value, 10, "e5020000000000000001"), "a header is as it always was: suite 2");

	wrong = 0;
	for (unsigned suite = 0; suite < 256; suite++)
	{
		MtCiphertextStatus expected = (suite & 0x7F) == 0 ? MT_CIPHERTEXT_MALFORMED :
		(suite & 0x7F) <= 2 ? MT_CIPHERTEXT_OK : MT_CIPHERTEXT_UNKNOWN_SUITE;

		value[1] = (unsigned char) suite;
		wrong += parse(value, sizeof(value), &parsed, &copy) != expected ||
			(expected != MT_CIPHERTEXT_OK && memcmp(&parsed, &none, sizeof(none)) != 0);
		wrong += parse(value, 9, &parsed, &copy) != MT_CIPHERTEXT_MALFORMED;
	}
	ok(wrong == 0, "suites of a later version are told from what is no value");

	wrong = 0;
	for (unsigned magic = 0; magic < 256; magic++)
	{
		value[0] = (unsigned char) magic;
		value[1] = 1;
		wrong += (parse(value, sizeof(value), &parsed, &copy) == MT_CIPHERTEXT_OK) != (magic == 0xE5);
	}
	ok(wrong == 0, "only E5 begins a value");

	MtCiphertextWriteHeader(value, MT_SUITE_GCM, false, 0);
	wrong = parse(value, sizeof(value), &parsed, &copy) != MT_CIPHERTEXT_MALFORMED ||
		memcmp(&parsed, &none, sizeof(none)) != 0;
	MtCiphertextWriteHeader(value, MT_SUITE_GCM, false, (uint64_t) INT64_MAX + 1);
	wrong += parse(value, sizeof(value), &parsed, &copy) != MT_CIPHERTEXT_MALFORMED ||
		memcmp(&parsed, &none, sizeof(none)) != 0;
	ok(wrong == 0, "a key's id is positive");

	/* the characters that begin with E5: U+5000 to U+5FFF */
	wrong = 0;
	for (unsigned second = 0x80; second < 0xC0; second++)
		for (unsigned third = 0x80; third < 0xC0; third++)
		{
			value[0] = 0xE5;
			value[1] = (unsigned char) second;
			value[2] = (unsigned char) third;
			wrong += parse(value, sizeof(value), &parsed, &copy) != MT_CIPHERTEXT_MALFORMED;
		}
	ok(wrong == 0, "no UTF-8 text is taken for a value, nor for one of a later version");
	parse(NULL, 0, &parsed, &copy);
}

static void
test_aad(void)
{
	static const char *const purposes[] = {"", "card", "card\001", PURPOSE_63};
	unsigned char header[MT_CIPHERTEXT_HEADER];
	unsigned char tenant[MT_TENANT_BYTES];
	unsigned char aad[4][MT_AAD_MAX];
	unsigned char prefix[MT_CONTEXT_PREFIX];
	size_t		lengths[4];
	int			same = 0;

	MtCiphertextWriteHeader(header, MT_SUITE_GCM, true, UINT64_C(0x0102030405060708));
	fill(tenant, sizeof(tenant), 0x10);
	for (int i = 0; i < 4; i++)
	{
		lengths[i] = MtAadWrite(aad[i], header, tenant, purposes[i], 'd');
		for (int j = 0; j < i; j++)
			same += lengths[i] >= lengths[j] && memcmp(aad[i], aad[j], lengths[j]) == 0;
	}
	ok(is_hex(aad[1], lengths[1],
			  "6d756c746974656e616e742f763100e5810102030405060708"
			  "101112131415161718191a1b1c1d1e1f00046361726464"),
	   "associated data are as they always were");
	ok(same == 0, "no associated data begin others");
	ok(lengths[0] == 44 && lengths[3] == MT_AAD_MAX, "with the longest purpose they are longest");
	ok(MtAadWrite(aad[0], header, tenant, PURPOSE_63 "x", 'd') == 0, "a purpose that is too long has none");
	MtContextPrefix(prefix, 0x01020304);
	ok(is_hex(prefix, sizeof(prefix), "01020304"), "a context's length is told before it");
}

int
main(void)
{
	fill(wrapping, sizeof(wrapping), 0);
	fill(key, sizeof(key), 0x33);
	test_wrap_lengths();
	test_wrap_format();
	test_wrap_bits();
	test_wrap_binding();
	test_no_wrapped_key();
	test_values();
	test_aad();
	ok(ERR_peek_error() == 0, "no error is left behind");
	printf("1..%d\n", test_count);
	fflush(stdout);				/* a sanitizer may end the program before */
	return failure_count > 0;
}
