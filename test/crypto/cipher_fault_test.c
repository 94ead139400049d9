/*
 * cipher_fault_test.c
 *	  OpenSSL fails at every single call that encryption makes. Prints TAP.
 *
 * Build and run, from the top directory:
 *
 *	cc -std=gnu99 -Wall -Wextra -O2 -Isrc test/crypto/cipher_fault_test.c \
 *		src/crypto/cipher.c src/crypto/ciphertext.c src/crypto/wrap.c \
 *		-lcrypto -o cipher_fault_test && ./cipher_fault_test
 *
 * This program has functions of its own in place of OpenSSL's, which call them
 * or fail. For every operation the first call fails, then the second, and so on;
 * without having done anything, after having done it, or with all calls behind
 * it. Then the same with allocations. Whatever fails, the operation says so,
 * leaves neither a text nor a key nor an error nor memory behind, nothing forged
 * is opened, and the object works again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* RTLD_NEXT */
#endif

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "crypto/cipher.h"
#include "crypto/wrap.h"

#include "allocator.h"
#include "tap.h"

/* ---- faults ---- */

typedef enum Fault
{
	NO_FAULT,
	CALL_FAILS,					/* and does nothing */
	CALL_FAILS_LATE,			/* but has done its work */
	CALLS_FAIL,					/* it and all behind it */
	ALLOCATION_FAILS,
	ALLOCATIONS_FAIL
} Fault;

static const char *const fault_names[] = {
	[CALL_FAILS] = "a call fails",
	[CALL_FAILS_LATE] = "a call fails late",
	[CALLS_FAIL] = "calls fail from there on",
	[ALLOCATION_FAILS] = "an allocation fails",
	[ALLOCATIONS_FAIL] = "allocations fail from there on",
};

static Fault fault = NO_FAULT;
static int	until_fault = 0;
static bool has_failed = false;
static const char *failed_call = "";
static int	depth = 0;			/* above 0: within OpenSSL */

static bool
is_due(void)
{
	if (until_fault-- > 0)
		return false;
	has_failed = true;
	if (fault == CALL_FAILS || fault == CALL_FAILS_LATE || fault == ALLOCATION_FAILS)
		fault = NO_FAULT;
	return true;
}

/* Must this call fail? Says in is_late whether it has to work first. */
static bool
must_fail(const char *name, bool *is_late)
{
	*is_late = fault == CALL_FAILS_LATE;
	if (depth > 0 || fault == NO_FAULT || fault >= ALLOCATION_FAILS || !is_due())
		return false;
	failed_call = name;
	ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR);
	return true;
}

static void *
next_function(const char *name)
{
	void	   *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		bail_out("OpenSSL is no shared library here");
	return function;
}

/* A function of OpenSSL's that returns 1 when it succeeds. */
#define IN_PLACE_OF(name, parameters, arguments) \
	int \
	name parameters \
	{ \
		static int (*real) parameters = NULL; \
		bool		is_late; \
		bool		fails = must_fail(#name, &is_late); \
		int			result = 0; \
\
		if (real == NULL) \
			*(void **) &real = next_function(#name); \
		depth++; \
		if (!fails || is_late) \
			result = real arguments; \
		depth--; \
		return fails ? 0 : result; \
	}

/* One that returns a new object. */
#define IN_PLACE_OF_NEW(type, name, parameters, arguments) \
	type * \
	name parameters \
	{ \
		static type *(*real) parameters = NULL; \
		bool		is_late; \
		bool		fails = must_fail(#name, &is_late); \
		type	   *result = NULL; \
\
		if (real == NULL) \
			*(void **) &real = next_function(#name); \
		depth++; \
		if (!fails) \
			result = real arguments; \
		depth--; \
		return result; \
	}

/* *INDENT-OFF* */
IN_PLACE_OF_NEW(EVP_CIPHER, EVP_CIPHER_fetch,
				(OSSL_LIB_CTX *lib, const char *algorithm, const char *properties),
				(lib, algorithm, properties))
IN_PLACE_OF_NEW(EVP_MAC, EVP_MAC_fetch,
				(OSSL_LIB_CTX *lib, const char *algorithm, const char *properties),
				(lib, algorithm, properties))
IN_PLACE_OF_NEW(EVP_CIPHER_CTX, EVP_CIPHER_CTX_new, (void), ())
IN_PLACE_OF_NEW(EVP_MAC_CTX, EVP_MAC_CTX_new, (EVP_MAC *mac), (mac))
IN_PLACE_OF(EVP_EncryptInit_ex2,
			(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const unsigned char *key,
			 const unsigned char *iv, const OSSL_PARAM params[]),
			(ctx, cipher, key, iv, params))
IN_PLACE_OF(EVP_DecryptInit_ex2,
			(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const unsigned char *key,
			 const unsigned char *iv, const OSSL_PARAM params[]),
			(ctx, cipher, key, iv, params))
IN_PLACE_OF(EVP_CipherUpdate,
			(EVP_CIPHER_CTX *ctx, unsigned char *out, int *out_length,
			 const unsigned char *in, int length),
			(ctx, out, out_length, in, length))
IN_PLACE_OF(EVP_EncryptFinal_ex,
			(EVP_CIPHER_CTX *ctx, unsigned char *out, int *length), (ctx, out, length))
IN_PLACE_OF(EVP_DecryptFinal_ex,
			(EVP_CIPHER_CTX *ctx, unsigned char *out, int *length), (ctx, out, length))
IN_PLACE_OF(EVP_CIPHER_CTX_get_params, (EVP_CIPHER_CTX *ctx, OSSL_PARAM params[]), (ctx, params))
IN_PLACE_OF(EVP_CIPHER_CTX_set_params, (EVP_CIPHER_CTX *ctx, const OSSL_PARAM params[]),
			(ctx, params))
IN_PLACE_OF(EVP_MAC_init,
			(EVP_MAC_CTX *ctx, const unsigned char *key, size_t length, const OSSL_PARAM params[]),
			(ctx, key, length, params))
IN_PLACE_OF(EVP_MAC_update, (EVP_MAC_CTX *ctx, const unsigned char *data, size_t length),
			(ctx, data, length))
IN_PLACE_OF(EVP_MAC_final,
			(EVP_MAC_CTX *ctx, unsigned char *out, size_t *length, size_t size),
			(ctx, out, length, size))
IN_PLACE_OF(RAND_priv_bytes_ex,
			(OSSL_LIB_CTX *lib, unsigned char *out, size_t length, unsigned strength),
			(lib, out, length, strength))
/* *INDENT-ON* */

static bool
may_allocate(void)
{
	return fault < ALLOCATION_FAILS || !is_due();
}

/* ---- operations ---- */

/* Of several blocks, so that nothing is done at once. */
#define TEXT_LENGTH 2100

typedef enum Outcome
{
	FAILED,						/* and said so, and left nothing */
	DONE,						/* right */
	FORGED,						/* and left nothing */
	WRONG						/* what may not be */
} Outcome;

static unsigned char secret[MT_SECRET_BYTES] = "a secret of thirty-two bytes ..";
static unsigned char nonce[MT_NONCE_BYTES] = "a nonce 012";
static unsigned char tenant[MT_TENANT_BYTES] = "a tenant";
static unsigned char text[TEXT_LENGTH];
static unsigned char gcm_sealed[TEXT_LENGTH];
static unsigned char siv_sealed[TEXT_LENGTH];
static unsigned char gcm_tag[MT_TAG_BYTES];
static unsigned char siv_tag[MT_TAG_BYTES];
static unsigned char mac_of_text[MT_MAC_BYTES];
static unsigned char derived[MT_SECRET_BYTES];
static unsigned char kcv[MT_KCV_BYTES];
static unsigned char wrapped[MT_WRAPPED_BYTES];
static const MtWrapBinding binding = {MT_WRAP_DATA_KEY, "a tenant", 5, 1, 'd', "card", 7};

static MtGcm *gcm;
static MtSiv *siv;
static MtMac *mac;
static unsigned char out[TEXT_LENGTH];
static unsigned char out_tag[MT_TAG_BYTES];

/* What an operation filled: A5 is what was there before, 0 is wiped. */
static bool
is_left(const unsigned char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (data[i] != 0)
			return true;
	return false;
}

static Outcome
outcome(MtCipherStatus status, bool is_right)
{
	if (status == MT_CIPHER_OK)
		return is_right ? DONE : WRONG;
	return status == MT_CIPHER_FORGED ? FORGED : FAILED;
}

static Outcome
create_gcm(void)
{
	MtGcm	   *created = MtGcmCreate(secret);

	MtGcmFree(created);
	return created == NULL ? FAILED : DONE;
}

static Outcome
create_siv(void)
{
	MtSiv	   *created = MtSivCreate(secret, secret, text, 100);

	MtSivFree(created);
	return created == NULL ? FAILED : DONE;
}

static Outcome
create_mac(void)
{
	MtMac	   *created = MtMacCreate(secret);

	MtMacFree(created);
	return created == NULL ? FAILED : DONE;
}

static Outcome
seal_gcm(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtGcmSealBegin(gcm, nonce, "aad", 3, "more", 4);
	if (status == MT_CIPHER_OK)
		status = MtGcmUpdate(gcm, text, 1000, out);
	if (status == MT_CIPHER_OK)
		status = MtGcmUpdate(gcm, text + 1000, TEXT_LENGTH - 1000, out + 1000);
	if (status == MT_CIPHER_OK)
		status = MtGcmSealEnd(gcm, out_tag);
	else if (MtGcmSealEnd(gcm, out_tag) != MT_CIPHER_INTERNAL)
		return WRONG;			/* a message that failed has no end */
	return outcome(status, memcmp(out, gcm_sealed, TEXT_LENGTH) == 0 &&
				   memcmp(out_tag, gcm_tag, MT_TAG_BYTES) == 0);
}

static Outcome
open_gcm(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtGcmOpenBegin(gcm, nonce, "aad", 3, "more", 4);
	if (status == MT_CIPHER_OK)
		status = MtGcmUpdate(gcm, gcm_sealed, TEXT_LENGTH, out);
	if (status == MT_CIPHER_OK)
		status = MtGcmOpenEnd(gcm, gcm_tag);
	else if (MtGcmOpenEnd(gcm, gcm_tag) != MT_CIPHER_INTERNAL)
		return WRONG;
	return outcome(status, memcmp(out, text, TEXT_LENGTH) == 0);
}

static Outcome
seal_siv(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtSivSeal(siv, "context", 7, text, TEXT_LENGTH, out, out_tag);
	return outcome(status, memcmp(out, siv_sealed, TEXT_LENGTH) == 0 &&
				   memcmp(out_tag, siv_tag, MT_TAG_BYTES) == 0);
}

static Outcome
open_siv(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtSivOpen(siv, "context", 7, siv_sealed, TEXT_LENGTH, out, siv_tag);
	if (status != MT_CIPHER_OK && is_left(out, TEXT_LENGTH))
		return WRONG;
	return outcome(status, memcmp(out, text, TEXT_LENGTH) == 0);
}

static Outcome
compute_mac(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtMacCompute(mac, text, TEXT_LENGTH, out);
	return outcome(status, memcmp(out, mac_of_text, MT_MAC_BYTES) == 0);
}

static Outcome
derive(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtDeriveSecret(secret, "gcm", tenant, "card", out);
	if (status != MT_CIPHER_OK && is_left(out, MT_SECRET_BYTES))
		return WRONG;
	return outcome(status, memcmp(out, derived, MT_SECRET_BYTES) == 0);
}

static Outcome
compute_kcv(void)
{
	MtCipherStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtKeyCheckValue(secret, out);
	if (status != MT_CIPHER_OK && is_left(out, MT_KCV_BYTES))
		return WRONG;
	return outcome(status, memcmp(out, kcv, MT_KCV_BYTES) == 0);
}

static Outcome
draw(void)
{
	memset(out, 0xA5, 100);
	if (MtRandomSecret(out, 100))
		return DONE;
	return is_left(out, 100) ? WRONG : FAILED;
}

static Outcome
wrap(void)
{
	unsigned char key[MT_SECRET_BYTES];
	MtWrapStatus status;

	memset(out, 0xA5, sizeof(out));
	status = MtWrap(secret, 9, &binding, text, MT_SECRET_BYTES, out);
	if (status != MT_WRAP_OK)
		return status == MT_WRAP_INTERNAL && !is_left(out, MT_WRAPPED_BYTES) ? FAILED : WRONG;
	fault = NO_FAULT;
	return MtUnwrap(secret, 9, &binding, out, MT_WRAPPED_BYTES, key) == MT_WRAP_OK &&
		memcmp(key, text, MT_SECRET_BYTES) == 0 ? DONE : WRONG;
}

static Outcome
unwrap(void)
{
	MtWrapStatus status;

	memset(out, 0xA5, MT_SECRET_BYTES);
	status = MtUnwrap(secret, 9, &binding, wrapped, MT_WRAPPED_BYTES, out);
	if (status == MT_WRAP_OK)
		return memcmp(out, text, MT_SECRET_BYTES) == 0 ? DONE : WRONG;
	if (is_left(out, MT_SECRET_BYTES))
		return WRONG;
	return status == MT_WRAP_INTERNAL ? FAILED :
		status == MT_WRAP_FORGED ? FORGED : WRONG;
}

/* The same with one bit changed; nothing may make it right. */
static Outcome
with_wrong_bit(unsigned char *where, Outcome (*operation) (void))
{
	Outcome		result;

	*where ^= 1;
	result = operation();
	*where ^= 1;
	return result == DONE ? WRONG : result;
}

static Outcome
open_forged_gcm(void)
{
	return with_wrong_bit(gcm_tag, open_gcm);
}

static Outcome
open_forged_siv(void)
{
	return with_wrong_bit(siv_tag, open_siv);
}

static Outcome
unwrap_forged(void)
{
	return with_wrong_bit(wrapped + MT_WRAPPED_BYTES - 1, unwrap);
}

typedef struct Operation
{
	const char *name;
	Outcome		(*run) (void);
	Outcome		usual;			/* where nothing fails */
	bool		is_gcm_opened;	/* then OpenSSL's last word is all there is */
} Operation;

static const Operation operations[] = {
	{"MtGcmCreate", create_gcm, DONE, false},
	{"MtSivCreate", create_siv, DONE, false},
	{"MtMacCreate", create_mac, DONE, false},
	{"sealing with GCM", seal_gcm, DONE, false},
	{"opening with GCM", open_gcm, DONE, true},
	{"opening with GCM what is forged", open_forged_gcm, FORGED, true},
	{"MtSivSeal", seal_siv, DONE, false},
	{"MtSivOpen", open_siv, DONE, false},
	{"MtSivOpen of what is forged", open_forged_siv, FORGED, false},
	{"MtMacCompute", compute_mac, DONE, false},
	{"MtDeriveSecret", derive, DONE, false},
	{"MtKeyCheckValue", compute_kcv, DONE, false},
	{"MtRandomSecret", draw, DONE, false},
	{"MtWrap", wrap, DONE, false},
	{"MtUnwrap", unwrap, DONE, true},
	{"MtUnwrap of what is forged", unwrap_forged, FORGED, true},
};

#define OPERATION_COUNT (sizeof(operations) / sizeof(operations[0]))

/* Did the operation answer a failure as it has to? */
static bool
is_answer(const Operation *operation, Fault kind, Outcome result)
{
	/* a wrong tag is what OpenSSL's last call says by failing */
	if (operation->is_gcm_opened && result == FORGED && kind < ALLOCATION_FAILS)
		return strcmp(failed_call, "EVP_DecryptFinal_ex") == 0;
	/* OpenSSL can do without some memory */
	return result == FAILED || (kind >= ALLOCATION_FAILS && result == operation->usual);
}

static void
test_operation(const Operation *operation, Fault kind)
{
	int			faults = 0;
	int			wrong = 0;
	int			errors = 0;
	int			broken = 0;
	long		leaked = 0;

	for (;;)
	{
		long		before = held;
		Outcome		result;

		fault = kind;
		until_fault = faults;
		has_failed = false;
		result = operation->run();
		fault = NO_FAULT;
		if (!has_failed)
		{
			wrong += result != operation->usual;
			break;
		}
		faults++;
		if (!is_answer(operation, kind, result))
		{
			wrong++;
			printf("# %s: fault %d (%s): outcome %d\n", operation->name, faults, failed_call, (int) result);
		}
		errors += ERR_peek_error() != 0;
		ERR_clear_error();
		if (operation->run() != operation->usual)
		{
			broken++;
			printf("# %s: does not work after fault %d (%s)\n", operation->name, faults, failed_call);
		}
		leaked += held - before > 0;
	}
	ok(wrong == 0 && (faults > 0 || kind >= ALLOCATION_FAILS), "%s, where %s: %d failures are answered", operation->name, fault_names[kind], faults);
	ok(errors == 0, "%s, where %s: no error is left behind", operation->name, fault_names[kind]);
	ok(broken == 0, "%s, where %s: works again", operation->name, fault_names[kind]);
	ok(leaked == 0, "%s, where %s: no memory is left behind", operation->name, fault_names[kind]);
}

/* Nothing has been fetched yet: nothing can be made. */
static void
test_fetching(void)
{
	int			faults = 0;
	int			wrong = 0;

	for (; faults < 10; faults++)
	{
		unsigned char kcv_out[MT_KCV_BYTES];

		fault = CALLS_FAIL;
		until_fault = 0;
		wrong += MtCipherInit() || MtGcmCreate(secret) != NULL ||
			MtSivCreate(secret, secret, NULL, 0) != NULL || MtMacCreate(secret) != NULL ||
			MtKeyCheckValue(secret, kcv_out) != MT_CIPHER_INTERNAL ||
			MtWrap(secret, 1, &binding, text, 32, out) != MT_WRAP_INTERNAL ||
			MtUnwrap(secret, 1, &binding, out, MT_WRAPPED_BYTES, out + 100) != MT_WRAP_MALFORMED ||
			ERR_peek_error() != 0;
		/* what can be fetched before the next failure stays */
		fault = CALL_FAILS;
		until_fault = 1;
		has_failed = false;
		wrong += MtCipherInit() == has_failed || ERR_peek_error() != 0;
		fault = NO_FAULT;
		if (!has_failed)
			break;
	}
	ok(wrong == 0 && faults == 3, "without a cipher or HMAC there are no objects, until it can be fetched");
}

static void
make_material(void)
{
	MtWrapStatus status;

	for (int i = 0; i < TEXT_LENGTH; i++)
		text[i] = (unsigned char) (i * 7 + 1);
	status = MtWrap(secret, 9, &binding, text, MT_SECRET_BYTES, wrapped);
	gcm = MtGcmCreate(secret);
	siv = MtSivCreate(secret, secret, "aad", 3);
	mac = MtMacCreate(secret);
	if (status != MT_WRAP_OK || gcm == NULL || siv == NULL || mac == NULL ||
		MtGcmSealBegin(gcm, nonce, "aad", 3, "more", 4) != MT_CIPHER_OK ||
		MtGcmUpdate(gcm, text, TEXT_LENGTH, gcm_sealed) != MT_CIPHER_OK ||
		MtGcmSealEnd(gcm, gcm_tag) != MT_CIPHER_OK ||
		MtSivSeal(siv, "context", 7, text, TEXT_LENGTH, siv_sealed, siv_tag) != MT_CIPHER_OK ||
		MtMacCompute(mac, text, TEXT_LENGTH, mac_of_text) != MT_CIPHER_OK ||
		MtDeriveSecret(secret, "gcm", tenant, "card", derived) != MT_CIPHER_OK ||
		MtKeyCheckValue(secret, kcv) != MT_CIPHER_OK)
		bail_out("cannot seal anything");
}

int
main(void)
{
	long		before;

	if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
		bail_out("OpenSSL has allocated already");
	/* what OpenSSL allocates for a thread once */
	ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR);
	ERR_clear_error();
	test_fetching();
	make_material();
	before = held;
	for (size_t i = 0; i < OPERATION_COUNT; i++)
		for (Fault kind = CALL_FAILS; kind <= ALLOCATIONS_FAIL; kind++)
			test_operation(&operations[i], kind);
	ok(held <= before, "in all, no memory is left behind");
	MtGcmFree(gcm);
	MtSivFree(siv);
	MtMacFree(mac);
	printf("1..%d\n", test_count);
	fflush(stdout);				/* a sanitizer may end the program before */
	return failure_count > 0;
}
