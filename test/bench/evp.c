/*
 * evp.c
 *	  Measures what the ciphers of encryption cost against OpenSSL alone.
 *
 *	cc -std=gnu99 -O2 -Isrc test/bench/evp.c src/crypto/cipher.c \
 *		src/crypto/ciphertext.c src/crypto/wrap.c -lcrypto -o evp
 *	evp [-r ROUNDS] [-t MS] [-p CPU] [NAME ...]
 *
 * Every work has a raw one, which is what OpenSSL needs for the same if its
 * context is kept: of GCM with only a new nonce, of HMAC with the key kept; of
 * SIV it is OpenSSL's own, which cannot be kept. A round gives every work one
 * short batch, in an order that rotates, so that what the machine does meanwhile
 * meets all alike; a ratio is taken within a round. -r: rounds (41, at least 3);
 * -t: no more rounds after so many milliseconds (none); -p: the processor. NAMEs
 * are beginnings of works' names; what they are compared with comes along.
 *
 * Output, one line for each work: name, nanoseconds (the median of the rounds),
 * ratio to its raw work (the median of the rounds' ratios; 1 for those
 * themselves), separated by tabs.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/cipher.h"
#include "crypto/ciphertext.h"
#include "crypto/wrap.h"

/* One batch takes about as long as this. */
#define BATCH_NS 200000

#define LONGEST (1 << 20)
#define AAD_BYTES 48
#define ROUNDS_MAX 1001

static unsigned char secret[MT_SECRET_BYTES] = "a secret of thirty-two bytes ..";
static unsigned char siv_secret[2 * MT_SECRET_BYTES] = "two different secrets, of course";
static unsigned char aad[AAD_BYTES];
static unsigned char text[LONGEST];
static unsigned char out[LONGEST + 64];
static unsigned char nonce[MT_NONCE_BYTES];
static unsigned char tag[MT_TAG_BYTES];
static unsigned char sealed[7][LONGEST];
static unsigned char sealed_tags[7][MT_TAG_BYTES];
static unsigned char siv_sealed[7][LONGEST];
static unsigned char siv_tags[7][MT_TAG_BYTES];
static unsigned char wrapped[MT_WRAPPED_BYTES];
static unsigned char mac_out[MT_MAC_BYTES];
static const unsigned char tenant[MT_TENANT_BYTES] = "a tenant";
static const MtWrapBinding binding = {MT_WRAP_DATA_KEY, "a tenant", 5, 1, 'd', "card", 7};

static EVP_CIPHER *gcm_cipher;
static EVP_CIPHER *siv_cipher;	/* NULL: OpenSSL has none */
static EVP_MAC *hmac;
static EVP_CIPHER_CTX *gcm_ctx;
static EVP_MAC_CTX *mac_ctx;
static MtGcm *gcm;
static MtSiv *siv;
static MtMac *mac;

static const size_t sizes[] = {16, 24, 64, 256, 1024, 16384, LONGEST};
static const char *const size_names[] = {"16B", "24B", "64B", "256B", "1KB", "16KB", "1MB"};

#define SIZE_COUNT 7

/* Whatever is measured has to work. */
static void
must(bool is_done)
{
	if (!is_done)
	{
		fprintf(stderr, "evp: a work failed\n");
		exit(1);
	}
}

static void
next_nonce(void)
{
	for (int i = MT_NONCE_BYTES - 1; i >= 0 && ++nonce[i] == 0; i--)
		;
}

/* ---- works ---- */

static void
raw_gcm_seal(int size)
{
	int			n;
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, sizeof(tag)),
		OSSL_PARAM_construct_end()
	};

	next_nonce();
	must(EVP_EncryptInit_ex2(gcm_ctx, NULL, NULL, nonce, NULL) == 1 &&
		 EVP_EncryptUpdate(gcm_ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
		 EVP_EncryptUpdate(gcm_ctx, out, &n, text, (int) sizes[size]) == 1 &&
		 EVP_EncryptFinal_ex(gcm_ctx, out, &n) == 1 &&
		 EVP_CIPHER_CTX_get_params(gcm_ctx, params) == 1);
}

static void
raw_gcm_open(int size)
{
	static const unsigned char fixed[MT_NONCE_BYTES];
	int			n;
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, sealed_tags[size], MT_TAG_BYTES),
		OSSL_PARAM_construct_end()
	};

	must(EVP_DecryptInit_ex2(gcm_ctx, NULL, NULL, fixed, NULL) == 1 &&
		 EVP_DecryptUpdate(gcm_ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
		 EVP_DecryptUpdate(gcm_ctx, out, &n, sealed[size], (int) sizes[size]) == 1 &&
		 EVP_CIPHER_CTX_set_params(gcm_ctx, params) == 1 &&
		 EVP_DecryptFinal_ex(gcm_ctx, out, &n) == 1);
}

static void
our_gcm_seal(int size)
{
	next_nonce();
	must(MtGcmSealBegin(gcm, nonce, aad, AAD_BYTES, NULL, 0) == MT_CIPHER_OK &&
		 MtGcmUpdate(gcm, text, sizes[size], out) == MT_CIPHER_OK &&
		 MtGcmSealEnd(gcm, tag) == MT_CIPHER_OK);
}

static void
our_gcm_open(int size)
{
	static const unsigned char fixed[MT_NONCE_BYTES];

	must(MtGcmOpenBegin(gcm, fixed, aad, AAD_BYTES, NULL, 0) == MT_CIPHER_OK &&
		 MtGcmUpdate(gcm, sealed[size], sizes[size], out) == MT_CIPHER_OK &&
		 MtGcmOpenEnd(gcm, sealed_tags[size]) == MT_CIPHER_OK);
}

static void
raw_siv_seal(int size)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			n;

	must(ctx != NULL && EVP_EncryptInit_ex2(ctx, siv_cipher, siv_secret, NULL, NULL) == 1 &&
		 EVP_EncryptUpdate(ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
		 EVP_EncryptUpdate(ctx, out, &n, text, (int) sizes[size]) == 1 &&
		 EVP_EncryptFinal_ex(ctx, out, &n) == 1 &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MT_TAG_BYTES, tag) == 1);
	EVP_CIPHER_CTX_free(ctx);
}

static void
raw_siv_open(int size)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			n;

	must(ctx != NULL && EVP_DecryptInit_ex2(ctx, siv_cipher, siv_secret, NULL, NULL) == 1 &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, MT_TAG_BYTES, siv_tags[size]) == 1 &&
		 EVP_DecryptUpdate(ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
		 EVP_DecryptUpdate(ctx, out, &n, siv_sealed[size], (int) sizes[size]) == 1 &&
		 EVP_DecryptFinal_ex(ctx, out, &n) == 1);
	EVP_CIPHER_CTX_free(ctx);
}

static void
our_siv_seal(int size)
{
	must(MtSivSeal(siv, NULL, 0, text, sizes[size], out, tag) == MT_CIPHER_OK);
}

static void
our_siv_open(int size)
{
	must(MtSivOpen(siv, NULL, 0, siv_sealed[size], sizes[size], out, siv_tags[size]) == MT_CIPHER_OK);
}

static void
raw_mac(int size)
{
	size_t		n;

	must(EVP_MAC_init(mac_ctx, NULL, 0, NULL) == 1 &&
		 EVP_MAC_update(mac_ctx, text, sizes[size]) == 1 &&
		 EVP_MAC_final(mac_ctx, mac_out, &n, sizeof(mac_out)) == 1);
}

static void
our_mac(int size)
{
	must(MtMacCompute(mac, text, sizes[size], mac_out) == MT_CIPHER_OK);
}

/* A context is made for each: keys are wrapped under many. */
static void
raw_wrap(int size)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char random[MT_NONCE_BYTES];
	int			n;
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, sizeof(tag)),
		OSSL_PARAM_construct_end()
	};

	(void) size;
	must(MtRandomSecret(random, sizeof(random)) && ctx != NULL &&
		 EVP_EncryptInit_ex2(ctx, gcm_cipher, secret, random, NULL) == 1 &&
		 EVP_EncryptUpdate(ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
		 EVP_EncryptUpdate(ctx, out, &n, text, MT_SECRET_BYTES) == 1 &&
		 EVP_EncryptFinal_ex(ctx, out, &n) == 1 &&
		 EVP_CIPHER_CTX_get_params(ctx, params) == 1);
	EVP_CIPHER_CTX_free(ctx);
}

static void
raw_unwrap(int size)
{
	static const unsigned char fixed[MT_NONCE_BYTES];
	static unsigned char raw_tag[MT_TAG_BYTES];
	static unsigned char raw_text[MT_SECRET_BYTES];
	static bool is_sealed = false;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			n;
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, raw_tag, MT_TAG_BYTES),
		OSSL_PARAM_construct_end()
	};

	(void) size;
	if (!is_sealed)
		must(MtGcmSealBegin(gcm, fixed, aad, AAD_BYTES, NULL, 0) == MT_CIPHER_OK &&
			 MtGcmUpdate(gcm, text, MT_SECRET_BYTES, raw_text) == MT_CIPHER_OK &&
			 MtGcmSealEnd(gcm, raw_tag) == MT_CIPHER_OK);
	is_sealed = true;
	must(ctx != NULL && EVP_DecryptInit_ex2(ctx, gcm_cipher, secret, fixed, params) == 1 &&
		 EVP_DecryptUpdate(ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
		 EVP_DecryptUpdate(ctx, out, &n, raw_text, MT_SECRET_BYTES) == 1 &&
		 EVP_DecryptFinal_ex(ctx, out, &n) == 1);
	EVP_CIPHER_CTX_free(ctx);
}

static void
our_wrap(int size)
{
	(void) size;
	must(MtWrap(secret, 9, &binding, text, MT_SECRET_BYTES, out) == MT_WRAP_OK);
}

static void
our_unwrap(int size)
{
	(void) size;
	must(MtUnwrap(secret, 9, &binding, wrapped, sizeof(wrapped), out) == MT_WRAP_OK);
}

/* One HMAC under a key that was not there before. */
static void
raw_derive(int size)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
	char		digest[] = "SHA256";
	size_t		n;
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()
	};

	(void) size;
	must(ctx != NULL && EVP_MAC_init(ctx, secret, sizeof(secret), params) == 1 &&
		 EVP_MAC_update(ctx, text, 40) == 1 &&
		 EVP_MAC_final(ctx, mac_out, &n, sizeof(mac_out)) == 1);
	EVP_MAC_CTX_free(ctx);
}

static void
our_derive(int size)
{
	(void) size;
	must(MtDeriveSecret(secret, "gcm", tenant, "card", mac_out) == MT_CIPHER_OK);
}

typedef struct Kind
{
	const char *name;
	void		(*raw) (int size);
	void		(*ours) (int size);
	bool		has_sizes;
	bool		is_siv;
} Kind;

static const Kind kinds[] = {
	{"gcm-seal", raw_gcm_seal, our_gcm_seal, true, false},
	{"gcm-open", raw_gcm_open, our_gcm_open, true, false},
	{"siv-seal", raw_siv_seal, our_siv_seal, true, true},
	{"siv-open", raw_siv_open, our_siv_open, true, true},
	{"hmac", raw_mac, our_mac, true, false},
	{"wrap", raw_wrap, our_wrap, false, false},
	{"unwrap", raw_unwrap, our_unwrap, false, false},
	{"derive", raw_derive, our_derive, false, false},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* ---- measuring ---- */

typedef struct Work
{
	char		name[40];
	void		(*run) (int size);
	int			size;
	int			raw;			/* index of what it is compared with */
	long		batch;
	double		ns[ROUNDS_MAX];
} Work;

static Work works[2 * KIND_COUNT * SIZE_COUNT];
static int	work_count = 0;

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec * 1e9 + (double) time.tv_nsec;
}

/* Nanoseconds of one of them. */
static double
run_batch(const Work *work, long batch)
{
	double		start = now();

	for (long i = 0; i < batch; i++)
		work->run(work->size);
	return (now() - start) / (double) batch;
}

static bool
is_wanted(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			return true;
	return count == 0;
}

static void
add_work(const char *whose, const Kind *kind, int size, void (*run) (int size), int raw)
{
	Work	   *work = &works[work_count];

	snprintf(work->name, sizeof(work->name), "%s%s%s%s", whose, kind->name,
			 kind->has_sizes ? "-" : "", kind->has_sizes ? size_names[size] : "");
	work->run = run;
	work->size = size;
	work->raw = raw;
	/* warm, and so many that a batch has its length */
	run_batch(work, 3);
	work->batch = (long) (BATCH_NS / run_batch(work, 3)) + 1;
	work_count++;
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *values, int count)
{
	qsort(values, (size_t) count, sizeof(*values), compare);
	return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void
report(int rounds)
{
	static double ns[ROUNDS_MAX];
	static double ratios[ROUNDS_MAX];

	for (int i = 0; i < work_count; i++)
	{
		for (int round = 0; round < rounds; round++)
		{
			ns[round] = works[i].ns[round];
			ratios[round] = works[i].ns[round] / works[works[i].raw].ns[round];
		}
		printf("%s\t%.1f\t%.3f\n", works[i].name, median(ns, rounds), median(ratios, rounds));
	}
}

static void
make_material(void)
{
	static const unsigned char fixed[MT_NONCE_BYTES];
	char		digest[] = "SHA256";
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()
	};

	must(MtRandomSecret(text, sizeof(text)) && MtRandomSecret(nonce, sizeof(nonce)));
	gcm_cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	siv_cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	gcm_ctx = EVP_CIPHER_CTX_new();
	mac_ctx = EVP_MAC_CTX_new(hmac);
	gcm = MtGcmCreate(secret);
	siv = MtSivCreate(siv_secret, siv_secret + MT_SECRET_BYTES, aad, AAD_BYTES);
	mac = MtMacCreate(secret);
	must(gcm != NULL && siv != NULL && mac != NULL &&
		 EVP_EncryptInit_ex2(gcm_ctx, gcm_cipher, secret, NULL, NULL) == 1 &&
		 EVP_MAC_init(mac_ctx, secret, sizeof(secret), params) == 1 &&
		 MtWrap(secret, 9, &binding, text, MT_SECRET_BYTES, wrapped) == MT_WRAP_OK);
	for (int i = 0; i < SIZE_COUNT; i++)
		must(MtGcmSealBegin(gcm, fixed, aad, AAD_BYTES, NULL, 0) == MT_CIPHER_OK &&
			 MtGcmUpdate(gcm, text, sizes[i], sealed[i]) == MT_CIPHER_OK &&
			 MtGcmSealEnd(gcm, sealed_tags[i]) == MT_CIPHER_OK &&
			 MtSivSeal(siv, NULL, 0, text, sizes[i], siv_sealed[i], siv_tags[i]) == MT_CIPHER_OK);
}

/* Names are compared without whose work it is. */
static void
choose_works(char **names, int count)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		for (int size = 0; size < (kinds[i].has_sizes ? SIZE_COUNT : 1); size++)
		{
			if (!is_wanted(kinds[i].name, names, count))
				continue;
			/* where OpenSSL has no SIV there is nothing to compare with */
			if (kinds[i].is_siv && siv_cipher == NULL)
			{
				add_work("mt-", &kinds[i], size, kinds[i].ours, work_count);
				continue;
			}
			add_work("evp-", &kinds[i], size, kinds[i].raw, work_count);
			add_work("mt-", &kinds[i], size, kinds[i].ours, work_count - 1);
		}
}

int
main(int argc, char **argv)
{
	int			rounds = 41;
	double		limit = 0;
	int			option;
	int			done = 0;
	double		start;

	while ((option = getopt(argc, argv, "r:t:p:")) != -1)
	{
		cpu_set_t	cpus;

		switch (option)
		{
			case 'r':
				rounds = atoi(optarg);
				break;
			case 't':
				limit = atof(optarg) * 1e6;
				break;
			case 'p':
				CPU_ZERO(&cpus);
				CPU_SET((size_t) atoi(optarg), &cpus);
				if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
				{
					fprintf(stderr, "evp: processor %s: %s\n", optarg, strerror(errno));
					return 2;
				}
				break;
			default:
				fprintf(stderr, "usage: evp [-r ROUNDS] [-t MS] [-p CPU] [NAME ...]\n");
				return 2;
		}
	}
	if (rounds < 3 || rounds > ROUNDS_MAX)
	{
		fprintf(stderr, "evp: 3 to %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	make_material();
	choose_works(argv + optind, argc - optind);
	if (work_count == 0)
	{
		fprintf(stderr, "evp: there is no such work\n");
		return 2;
	}
	start = now();
	for (; done < rounds && (done < 3 || limit == 0 || now() - start < limit); done++)
		for (int i = 0; i < work_count; i++)
		{
			/*
			 * both directions, so that a raw work is not always the first of
			 * the two
			 */
			int			at = (done % 2 == 0 ? i : work_count - 1 - i);

			at = (at + done / 2) % work_count;
			works[at].ns[done] = run_batch(&works[at], works[at].batch);
		}
	report(done);
	return 0;
}
