/*
 * wrapped.c
 *	  Fuzzes wrapped keys.
 *
 * fuzzes: src/crypto/wrap.c src/crypto/cipher.c
 * needs: test/fuzz/sealer.c src/crypto/ciphertext.c
 *
 * An input is a byte, which names the binding, and a wrapped key. The mutator
 * unwraps the key, mutates it and wraps it again, now and then for another
 * binding or under another key.
 *
 * Kept for every input: it is a wrapped key exactly if its header and length say
 * so; it is unwrapped exactly if it is by other means, to the same key; nothing
 * is left of what is refused; then it is unwrapped for no other binding, under no
 * other key, neither with one bit changed nor cut; what is wrapped again is
 * unwrapped by other means.
 */
#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>

#include "property.h"
#include "sealer.h"

#define OVERHEAD (MT_WRAPPED_BYTES - MT_SECRET_BYTES)
#define LONGEST_KEY 1024

/* Longer than any wrapped key may be. */
#define LONGEST (LONGEST_KEY + OVERHEAD + 100)

static const unsigned char zeros[LONGEST];

/* Nothing is wrapped that should not be. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	MtWrapBinding binding = sealer_bindings[0];
	unsigned char out[OVERHEAD + 1];

	(void) argc;
	(void) argv;
	PROPERTY(MtWrap(sealer_secrets[0], 1, &binding, zeros, 0, out) == MT_WRAP_MALFORMED &&
			 MtWrap(sealer_secrets[0], 1, &binding, zeros, LONGEST_KEY + 1, out) == MT_WRAP_MALFORMED,
			 "keys have 1 to 1024 bytes");
	binding.purpose = "a purpose that is longer than a name of the server's can ever be.";
	PROPERTY(MtWrap(sealer_secrets[0], 1, &binding, zeros, 1, out) == MT_WRAP_MALFORMED,
			 "no key is wrapped for a purpose that is too long");
	return 0;
}

/* Unwraps in memory of the exact size; copies the key of at most LONGEST bytes. */
static MtWrapStatus
unwrap(int wrapping, const MtWrapBinding *binding, const unsigned char *wrapped,
	   size_t length, unsigned char *key)
{
	size_t		key_length = length > OVERHEAD ? length - OVERHEAD : 0;
	unsigned char *copy = malloc(length);
	unsigned char *out = malloc(key_length);
	MtWrapStatus status;

	if (length > 0)
		memcpy(copy, wrapped, length);
	if (key_length > 0)
		memset(out, 0xA5, key_length);
	status = MtUnwrap(sealer_secrets[wrapping], sealer_ids[wrapping], binding, copy, length, out);
	PROPERTY(status != MT_WRAP_INTERNAL, "OpenSSL works");
	PROPERTY(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
	PROPERTY(status == MT_WRAP_OK ||
			 memcmp(out, zeros, key_length < LONGEST_KEY ? key_length : LONGEST_KEY) == 0,
			 "of a refused key nothing is left");
	if (status == MT_WRAP_OK && key != NULL)
		memcpy(key, out, key_length);
	free(copy);
	free(out);
	return status;
}

/* Nothing near a key that is unwrapped is unwrapped. */
static void
check_neighbours(int wrapping, int which, const unsigned char *wrapped, size_t length, size_t where)
{
	MtWrapBinding binding = sealer_bindings[which];
	unsigned char *changed = malloc(length + 1);

	memcpy(changed, wrapped, length);
	changed[length] = 0;
	changed[where / 8 % length] ^= (unsigned char) (1U << where % 8);
	PROPERTY(unwrap(wrapping, &binding, changed, length, NULL) != MT_WRAP_OK,
			 "a wrapped key with one bit changed is refused");
	changed[where / 8 % length] ^= (unsigned char) (1U << where % 8);
	PROPERTY(unwrap(wrapping, &binding, changed, length - 1, NULL) != MT_WRAP_OK,
			 "a shorter wrapped key is refused");
	PROPERTY(unwrap(wrapping, &binding, changed, length + 1, NULL) != MT_WRAP_OK,
			 "a longer wrapped key is refused");
	free(changed);

	for (int i = 0; i < SEALER_BINDING_COUNT; i++)
		PROPERTY(i == which ||
				 unwrap(wrapping, &sealer_bindings[i], wrapped, length, NULL) == MT_WRAP_FORGED,
				 "a key is unwrapped for its binding only");
	binding.purpose = "a purpose that is longer than a name of the server's can ever be.";
	PROPERTY(unwrap(wrapping, &binding, wrapped, length, NULL) == MT_WRAP_FORGED,
			 "nothing was wrapped for a purpose that is too long");
	for (int i = 0; i < SEALER_KEY_COUNT; i++)
		PROPERTY(i == wrapping ||
				 unwrap(i, &sealer_bindings[which], wrapped, length, NULL) == MT_WRAP_OTHER_KEY,
				 "under which key it is wrapped is told");
	PROPERTY(MtUnwrap(sealer_secrets[(wrapping + 1) % SEALER_KEY_COUNT], sealer_ids[wrapping],
					  &sealer_bindings[which], wrapped, length, (unsigned char[LONGEST])
/**INDENT** Error@111: Unbalanced parens */
					  {
		0
/**INDENT** Warning@113: Extra ) */
	}) == MT_WRAP_FORGED,
/**INDENT** Warning@114: Extra ) */
		"another secret of the same id unwraps nothing");
}

/* Wrapped again, and again, it is another text of the same key. */
static void
check_wrapping(int wrapping, int which, const unsigned char *wrapped, const unsigned char *key,
			   size_t length)
{
	unsigned char *first = malloc(length + OVERHEAD);
	unsigned char *second = malloc(length + OVERHEAD);
	unsigned char again[LONGEST];
	size_t		again_length = 0;

	PROPERTY(MtWrap(sealer_secrets[wrapping], sealer_ids[wrapping], &sealer_bindings[which], key,
					length, first) == MT_WRAP_OK &&
			 MtWrap(sealer_secrets[wrapping], sealer_ids[wrapping], &sealer_bindings[which], key,
					length, second) == MT_WRAP_OK, "a key is wrapped");
	PROPERTY(memcmp(first, wrapped, 10) == 0 && memcmp(second, wrapped, 10) == 0 &&
			 memcmp(first + 10, second + 10, MT_NONCE_BYTES) != 0,
			 "wrapped again it has the header and another nonce");
	PROPERTY(unwrap_by_hand(&sealer_bindings[which], first, length + OVERHEAD, again, &again_length) &&
			 again_length == length && memcmp(again, key, length) == 0,
			 "what is wrapped is unwrapped by other means");
	free(first);
	free(second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char key[LONGEST];
	static unsigned char expected[LONGEST];
	size_t		expected_length = 0;
	size_t		where = size;
	size_t		length;
	const unsigned char *wrapped;
	unsigned char *copy;
	uint64_t	id = 7;
	int			which;
	int			wrapping;
	MtWrapStatus status;
	bool		is_wrapped;

	if (size < 1 || size > LONGEST)
		return 0;
	for (size_t i = 0; i < size; i++)
		where = (where * 31 + data[i]) & 0xFFFF;
	which = data[0] % SEALER_BINDING_COUNT;
	wrapped = data + 1;
	length = size - 1;

	copy = malloc(length);
	if (length > 0)
		memcpy(copy, wrapped, length);
	is_wrapped = length > OVERHEAD && length <= LONGEST_KEY + OVERHEAD && wrapped[0] == 1 && wrapped[1] == 1;
	status = MtWrappedUnder(copy, length, &id);
	free(copy);
	PROPERTY(status == (is_wrapped ? MT_WRAP_OK : MT_WRAP_MALFORMED) && (is_wrapped || id == 0),
			 "a wrapped key is known by its header and length");
	wrapping = find_sealer_key(id);
	if (!is_wrapped || wrapping < 0)
	{
		PROPERTY(unwrap(0, &sealer_bindings[which], wrapped, length, NULL) ==
				 (is_wrapped ? MT_WRAP_OTHER_KEY : MT_WRAP_MALFORMED), "it is said why a key is refused");
		return 0;
	}
	status = unwrap(wrapping, &sealer_bindings[which], wrapped, length, key);
	PROPERTY(status == (unwrap_by_hand(&sealer_bindings[which], wrapped, length, expected, &expected_length) ?
						MT_WRAP_OK : MT_WRAP_FORGED), "unwrapped is exactly what was wrapped");
	ERR_clear_error();
	if (status == MT_WRAP_OK)
	{
		PROPERTY(expected_length == length - OVERHEAD && memcmp(key, expected, expected_length) == 0,
				 "what was unwrapped is the key");
		check_wrapping(wrapping, which, wrapped, key, expected_length);
		check_neighbours(wrapping, which, wrapped, length, where);
	}
	return 0;
}

/* ---- mutation ---- */

static unsigned
next_random(unsigned *state)
{
	*state = (unsigned) ((uint64_t) *state * 48271 % 2147483647);
	return *state;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static unsigned char key[LONGEST];
	static unsigned char wrapped[LONGEST];
	unsigned	state = seed % 2147483646 + 1;
	unsigned char nonce[MT_NONCE_BYTES];
	size_t		length = 0;
	int			which = (int) (next_random(&state) % SEALER_BINDING_COUNT);
	int			wrapping = (int) (next_random(&state) % SEALER_KEY_COUNT);

	/* the bytes themselves: binding, header, nonce, tag */
	if (size < 1 || next_random(&state) % 4 == 0)
		return LLVMFuzzerMutate(data, size, max_size);

	if (size > LONGEST ||
		!unwrap_by_hand(&sealer_bindings[data[0] % SEALER_BINDING_COUNT], data + 1, size - 1, key, &length))
	{
		/* no key: make one of what is there */
		length = size < LONGEST_KEY ? size : LONGEST_KEY;
		memcpy(key, data, length);
	}
	for (int i = 0; i < MT_NONCE_BYTES; i++)
		nonce[i] = (unsigned char) (next_random(&state) & 0xFF);
	ERR_clear_error();
	length = LLVMFuzzerMutate(key, length, LONGEST_KEY);
	if (length < 1 || length + OVERHEAD + 1 > max_size)
		return size;
	length = wrap_by_hand(wrapping, &sealer_bindings[which], nonce, key, length, wrapped);
	data[0] = (uint8_t) which;
	memcpy(data + 1, wrapped, length);
	return length + 1;
}
