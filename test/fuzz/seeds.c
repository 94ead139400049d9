/*
 * seeds.c
 *	  Writes the inputs that the fuzzers start from: valid ones and near ones.
 *
 *	seeds token|claims|keys|mask|ciphertext|wrapped DIRECTORY
 */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "property.h"
#include "sealer.h"
#include "signer.h"

static const char *directory;
static int	count = 0;

static void
write_seed(const void *data, size_t length)
{
	char		path[4096];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%03d", directory, count++);
	file = fopen(path, "wb");
	PROPERTY(file != NULL && fwrite(data, 1, length, file) == length &&
			 fclose(file) == 0, "a seed can be written");
}

static void
write_text(const char *text)
{
	write_seed(text, strlen(text));
}

/* ---- JSON ---- */

#define S16 "0123456789abcdef"
#define S64 S16 S16 S16 S16
#define S256 S64 S64 S64 S64

/* %s stands for the algorithm, then for the key's id. */
static const char *const headers[] = {
	"{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
	"{\"typ\":\"jwt\",\"alg\":\"%s\",\"kid\":\"%s\",\"jku\":\"https://a/b\",\"x5c\":[\"AA\",{}]}",
	"{\"alg\" : \"%s\" ,\r\n\t\"kid\" : \"%s\" }",
	"{\"\\u0061lg\":\"%s\",\"ki\\u0064\":\"%s\"}",
	"{\"alg\":\"none\",\"x\":\"%s\",\"kid\":\"%s\"}",
	"{\"alg\":\"%s \",\"kid\":\"%s\"}",
	"{\"alg\":\"%s\",\"kid\":\"%s\",\"crit\":[\"b64\"],\"b64\":false}",
	"{\"alg\":\"%s\",\"kid\":\"%s\",\"b64\":true}",
	"{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}",
	"{\"alg\":\"%s\",\"kid\":\"%s\",\"alg\":\"none\"}",
	"{\"alg\":\"%s\",\"kid\":\"\",\"id\":\"%s\"}",
	"{\"alg\":\"%s\",\"id\":\"%s\"}",
	"{\"alg\":\"%s\",\"kid\":\"%s\"}{}",
	"{\"alg\":[\"%s\"],\"kid\":{\"a\":\"%s\"}}",
	"{\"alg\":\"%s\",\"kid\":\"%s" S64 "\"}",
};

static const char *const claims[] = {
	"{\"tenant\":\"acme\",\"sub\":\"alice\",\"aud\":\"shop\",\"iat\":1700000000,\"exp\":1700000060,\"nbf\":1700000000,\"jti\":\"6f1c\"}",
	"{\"tenant\":42,\"kind\":\"supervised\",\"scope\":\"\",\"aud\":[\"a\",\"b\",\"c\"],\"iat\":0,\"exp\":-0}",
	"{\"tenant\":\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"scope\":\"read write\"}",
	"{}",
	" {\t\"sub\" : \"a\\\"\\\\\\/\\u00e9\\ud83d\\ude00\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\" }\n",
	"{\"sub\":\"a\\b\\f\\n\\r\\t\"}",
	"{\"other\":\"\\b\\f\\n\\r\\t\\u0000\",\"x\":[true,false,null,-1.5e+10,0.1E-2,[],{}]}",
	"{\"sub\":\"\\u0000\"}", "{\"sub\":\"\\u001f\"}", "{\"sub\":\"\xc2\x85\"}", "{\"sub\":\"\x7f\"}",
	"{\"sub\":\"\\ud800\"}", "{\"sub\":\"\\ud800\\u0041\"}", "{\"sub\":\"\\udc00\"}", "{\"sub\":\"\\uDBFF\\uDFFF\"}",
	"{\"sub\":\"\xc0\x80\"}", "{\"sub\":\"\xe0\x80\x80\"}", "{\"sub\":\"\xed\xa0\x80\"}", "{\"sub\":\"\xf4\x90\x80\x80\"}", "{\"sub\":\"\xff\"}", "{\"sub\":\"\xe2\x82",
	"{\"exp\":9223372036854775807,\"iat\":-9223372036854775808}",
	"{\"exp\":9223372036854775808}", "{\"exp\":-9223372036854775809}", "{\"exp\":18446744073709551616}",
	"{\"exp\":1e9}", "{\"exp\":1.0}", "{\"exp\":01}", "{\"exp\":\"1\"}", "{\"exp\":-}", "{\"exp\":null}",
	"{\"x\":01}", "{\"x\":1.}", "{\"x\":1e}", "{\"x\":-}", "{\"x\":.5}", "{\"x\":1e400}",
	"{\"exp\":1,\"exp\":2}", "{\"exp\":1,\"\\u0065xp\":2}", "{\"a\":1,\"a\":2}", "{\"tenant\":\"a\",\"tenant\":\"b\"}",
	"{\"aud\":[]}", "{\"aud\":[\"\"]}", "{\"aud\":\"\"}", "{\"aud\":[\"a\",1]}", "{\"aud\":[\"a\",]}", "{\"aud\":{}}",
	"{\"aud\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"]}", "{\"aud\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}",
	"{\"tenant\":\"\"}", "{\"tenant\":1.5}", "{\"tenant\":null}", "{\"tenant\":[1]}", "{\"sub\":\"\"}", "{\"sub\":7}", "{\"kind\":\"" S64 "\"}",
	"{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":1}}}}}}}", "{\"x\":[[[[[[[0]]]]]]]}", "{\"x\":[[[[[[[[0]]]]]]]]}", "{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{}}}}}}}}",
	"{\"sub\":\"" S64 S64 S64 S16 S16 S16 "0123456789abcde\"}", "{\"sub\":\"" S256 "\"}", "{\"a" S64 "\":1}",
	"{\"a\":1,}", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":tru}", "{\"a\":nul}", "{a:1}", "{'a':1}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\n\"}", "{\"a\":1}x", "[1]", "1", "\"a\"", "", "{\"\\u0000\":1}", "{\"\x1f\":1}", "{\"x\":{\"\\u0000\":1}}",
};

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

static size_t
make_header(const char *format, const Signer *signer, char *out, size_t size)
{
	return (size_t) snprintf(out, size, format,
							 MtAlgorithmName(signer->algorithm), signer->kid);
}

/* ---- tokens ---- */

static void
write_tokens(void)
{
	char		token[TOKEN_SIZE];
	char		header[1200];
	char		longest[MT_JWS_MAX_LENGTH];
	size_t		length;

	for (int i = 0; i < SIGNER_COUNT; i++)
	{
		const Signer *signer = &signers[i];
		size_t		header_length = make_header(headers[0], signer, header,
												sizeof(header));

		for (size_t j = 0; j < LENGTH_OF(claims); j++)
			if (j < 6 || i == MT_ALG_HS256)
				write_seed(token, write_token(signer, header, header_length,
											  claims[j], strlen(claims[j]), token));
		for (size_t j = 1; j < LENGTH_OF(headers); j++)
			write_seed(token, write_token(signer, header,
										  make_header(headers[j], signer, header, sizeof(header)),
										  claims[0], strlen(claims[0]), token));

		/* right but for the text of the token */
		length = write_token(signer, header,
							 make_header(headers[0], signer, header, sizeof(header)),
							 claims[0], strlen(claims[0]), token);
		token[length] = '=';
		write_seed(token, length + 1);
		token[length] = '.';
		write_seed(token, length + 1);
		write_seed(token, length - 1);
		token[length - 1] = (char) (token[length - 1] + 1);
		write_seed(token, length);
		token[4] = '+';
		write_seed(token, length);

		/* another key's signature */
		length = write_token(signer, header,
							 make_header(headers[0], &signers[(i + 1) % SIGNER_COUNT], header, sizeof(header)),
							 claims[0], strlen(claims[0]), token);
		write_seed(token, length);

		/* signatures of zeros, of ones, of nothing, of too much */
		length = write_token(signer, header,
							 make_header(headers[0], signer, header, sizeof(header)),
							 claims[0], strlen(claims[0]), token);
		while (token[length - 1] != '.')
			length--;
		memset(longest, 0, sizeof(longest));
		write_seed(token, length + write_base64url(token + length, longest, 64));
		write_seed(token, length + write_base64url(token + length, longest, 32));
		memset(longest, 0xFF, sizeof(longest));
		write_seed(token, length + write_base64url(token + length, longest, 64));
		write_seed(token, length + write_base64url(token + length, longest, 256));
		write_seed(token, length + write_base64url(token + length, longest, MT_JWS_MAX_SIGNATURE + 1));
		write_seed(token, length);
	}

	/* the longest header and payload, and one byte more */
	memset(longest, ' ', sizeof(longest));
	longest[0] = '{';
	for (size_t over = 0; over < 2; over++)
	{
		memcpy(header, longest, sizeof(header));
		memcpy(header + 1, "\"alg\":\"HS256\",\"kid\":\"hs\"}", 26);
		write_seed(token, write_token(&signers[MT_ALG_HS256], header,
									  MT_JWS_MAX_HEADER + over, "{}", 2, token));
		longest[2000] = '}';
		write_seed(token, write_token(&signers[MT_ALG_HS256], header, 27,
									  longest, 2900 + 300 * over, token));
	}
	write_text("eyJ");
	write_text("eyJ.");
	write_text("eyJ..");
	write_text("eyJh.e30.A");
	write_text("none");
}

static void
write_claims(void)
{
	char		header[1200];
	char		longest[MT_JWS_MAX_PAYLOAD + 1];

	memset(longest, ' ', sizeof(longest));
	memcpy(longest, "{}", 2);
	write_seed(longest, sizeof(longest) - 1);
	write_seed(longest, sizeof(longest));

	for (size_t i = 0; i < LENGTH_OF(claims); i++)
		write_text(claims[i]);
	for (size_t i = 0; i < LENGTH_OF(headers); i++)
		write_seed(header, make_header(headers[i], &signers[i % SIGNER_COUNT],
									   header, sizeof(header)));
}

/* ---- keys ---- */

/* Writes a key as PEM: public, private, and as traditional forms. */
static void
write_key(EVP_PKEY *pkey)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *text;
	long		length;

	PEM_write_bio_PUBKEY(bio, pkey);
	length = BIO_get_mem_data(bio, &text);
	write_seed(text, (size_t) length);

	/* the same behind an indented and behind a damaged private key */
	if (EVP_PKEY_is_a(pkey, "ED25519"))
	{
		static const char private_key[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MC4CAQAwBQYDK2VwBCIEIAcBAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
		"-----END PRIVATE KEY-----\n";

		(void) BIO_reset(bio);
		BIO_puts(bio, "MC4CAQAw\n  -----END PRIVATE KEY-----\n");
		PEM_write_bio_PUBKEY(bio, pkey);
		length = BIO_get_mem_data(bio, &text);
		write_seed(text, (size_t) length);
		(void) BIO_reset(bio);
		BIO_puts(bio, private_key + 1);
		PEM_write_bio_PUBKEY(bio, pkey);
		length = BIO_get_mem_data(bio, &text);
		write_seed(text, (size_t) length);
		(void) BIO_reset(bio);
		PEM_write_bio_PUBKEY(bio, pkey);
	}

	/* two blocks; a text around it; without the last line; damaged */
	PEM_write_bio_PUBKEY(bio, pkey);
	length = BIO_get_mem_data(bio, &text);
	write_seed(text, (size_t) length);
	(void) BIO_reset(bio);
	BIO_puts(bio, "a comment\n");
	PEM_write_bio_PUBKEY(bio, pkey);
	BIO_puts(bio, "another\r\n-----BEGIN");
	length = BIO_get_mem_data(bio, &text);
	write_seed(text, (size_t) length);
	write_seed(text, (size_t) length - 40);
	text[60] = '!';
	write_seed(text, (size_t) length);
	(void) BIO_reset(bio);
	PEM_write_bio_PUBKEY(bio, pkey);
	BIO_puts(bio, "-----BEGIN PUBLIC KEY-----\nAAAA\n");
	length = BIO_get_mem_data(bio, &text);
	write_seed(text, (size_t) length);

	(void) BIO_reset(bio);
	PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
	length = BIO_get_mem_data(bio, &text);
	if (length > 0)
		write_seed(text, (size_t) length);
	PEM_write_bio_PUBKEY(bio, pkey);
	length = BIO_get_mem_data(bio, &text);
	write_seed(text, (size_t) length);
	BIO_free(bio);
}

/* Writes a PEM block of any bytes. */
static void
write_block(const char *name, const char *header, const void *der, size_t length)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *text;
	long		size;

	PEM_write_bio(bio, name, header, der, (long) length);
	size = BIO_get_mem_data(bio, &text);
	write_seed(text, (size_t) size);
	BIO_free(bio);
}

/* A public RSA key of any numbers. */
static void
write_rsa(int bits, unsigned long modulus_end, unsigned long exponent)
{
	BIGNUM	   *n = BN_new();
	unsigned char der[2000];
	unsigned char number[1100];
	unsigned char *p = der;
	X509_PUBKEY *spki = X509_PUBKEY_new();
	size_t		length;
	size_t		size;
	unsigned char body[1300];

	BN_set_word(n, 1);
	BN_lshift(n, n, bits - 1);
	BN_add_word(n, modulus_end);
	size = (size_t) BN_bn2bin(n, number + 1);
	number[0] = 0;
	size++;
	/* SEQUENCE { INTEGER n, INTEGER e } */
	length = 0;
	body[length++] = 0x30;
	body[length++] = 0x82;
	body[length++] = (unsigned char) ((size + 7) >> 8);
	body[length++] = (unsigned char) ((size + 7) & 0xFF);
	body[length++] = 0x02;
	body[length++] = 0x82;
	body[length++] = (unsigned char) (size >> 8);
	body[length++] = (unsigned char) (size & 0xFF);
	memcpy(body + length, number, size);
	length += size;
	body[length++] = 0x02;
	body[length++] = 0x01;
	body[length++] = (unsigned char) exponent;
	X509_PUBKEY_set0_param(spki, OBJ_nid2obj(NID_rsaEncryption), V_ASN1_NULL,
						   NULL, OPENSSL_memdup(body, length), (int) length);
	length = (size_t) i2d_X509_PUBKEY(spki, &p);
	write_block("PUBLIC KEY", "", der, length);
	X509_PUBKEY_free(spki);
	BN_free(n);
}

static void
write_keys(void)
{
	EVP_PKEY   *pkey;
	char		pem[2 * MT_KEY_MAX_PEM];
	unsigned char *der = NULL;
	int			length;

	for (int i = 0; i < 3; i++)
		write_key(signers[i].pkey);
	pkey = EVP_EC_gen("P-384");
	write_key(pkey);
	EVP_PKEY_free(pkey);
	pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	write_key(pkey);
	EVP_PKEY_free(pkey);
	pkey = EVP_RSA_gen(1024);
	write_key(pkey);
	EVP_PKEY_free(pkey);
	/* even, one, too small, too large, exponent one or even */
	write_rsa(2048, 1, 3);
	write_rsa(2048, 0, 3);
	write_rsa(2048, 1, 1);
	write_rsa(2048, 1, 4);
	write_rsa(8192, 1, 3);
	write_rsa(8193, 1, 3);
	write_rsa(2047, 1, 3);

	/* parameters of P-256 spelled out; compressed; off the curve */
	pkey = signers[MT_ALG_ES256].pkey;
	length = i2d_PUBKEY(pkey, &der);
	write_block("PUBLIC KEY", "", der, (size_t) length - 1);
	write_block("PUBLIC KEY", "Proc-Type: 4,CLEAR\n", der, (size_t) length);
	write_block("EC PARAMETERS", "", der, (size_t) length);
	der[length - 1] ^= 1;
	write_block("PUBLIC KEY", "", der, (size_t) length);
	OPENSSL_free(der);
	pkey = EVP_PKEY_dup(signers[MT_ALG_ES256].pkey);
	EVP_PKEY_set_utf8_string_param(pkey, "encoding", "explicit");
	write_key(pkey);
	EVP_PKEY_set_utf8_string_param(pkey, "encoding", "named_curve");
	EVP_PKEY_set_utf8_string_param(pkey, "point-format", "compressed");
	write_key(pkey);
	EVP_PKEY_free(pkey);

	/* secrets: of every length that matters, and a JWK, which is none */
	memset(pem, 's', sizeof(pem));
	write_seed(pem, 0);
	write_seed(pem, MT_KEY_MIN_SECRET - 1);
	write_seed(pem, MT_KEY_MIN_SECRET);
	write_seed(pem, MT_KEY_MAX_SECRET);
	write_seed(pem, MT_KEY_MAX_SECRET + 1);
	write_seed(pem, MT_KEY_MAX_PEM + 1);
	write_text("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}");
}

/* ---- texts ---- */

static void
write_masks(void)
{
	static const char *const texts[] = {
		"statement: SELECT multitenant.authenticate('%s')",
		"%s", "x%s", "eyJ%s", "ey%s", "eyJ abc %s eyJabcdefg eyJabcdefgh", "%s,%s",
		"$1 = '%s', $2 = 'eyJ...'", "Authorization: Bearer %s", "%s%s",
		"syntax error at or near \"bGciOiJIUzI1NiIs\"|SELECT %s",
		"syntax error at or near \"bGciOiJ\"|SELECT %s",
		"unterminated quoted string at or near \"'%s\"|'%s",
		"COPY t, line 1, column c: \"%s\"", "bGciOiJIUzI1NiIs.bGciOiJIUzI1NiIs|%s",
		":constvalue 36 [ -112 0 0 0 101 121 74 104 98 ]", "", "|", "eyJ", "eyJ12345678", "eyJ1234567",
		"key=(acme, 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b)|SELECT 1",
	};
	char		token[TOKEN_SIZE];
	char		header[128];
	char		text[3 * TOKEN_SIZE];

	for (size_t i = 0; i < LENGTH_OF(texts); i++)
	{
		const Signer *signer = &signers[i % 2 == 0 ? MT_ALG_HS256 : MT_ALG_EDDSA];
		size_t		length = write_token(signer, header,
										 make_header(headers[0], signer, header, sizeof(header)),
										 claims[0], strlen(claims[0]), token);
		char	   *bar;

		token[length] = '\0';
		length = (size_t) snprintf(text, sizeof(text), texts[i], token, token);
		bar = strchr(text, '|');
		if (bar != NULL)
			*bar = '\0';
		write_seed(text, length);
	}
}

/* ---- encryption ---- */

/* Around the block, and around what is fed at a time. */
static const size_t text_sizes[] = {0, 1, 15, 16, 17, 31, 32, 33, 1024, 1039, 1040, 2100, SEALER_LONGEST};

static void
write_ciphertexts(void)
{
	static unsigned char text[SEALER_LONGEST];
	static unsigned char value[SEALER_LONGEST + MT_GCM_OVERHEAD];
	static const unsigned char nonce[MT_NONCE_BYTES] = "a nonce 012";
	size_t		length;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char) (i * 7 & 0xFF);
	for (size_t i = 0; i < LENGTH_OF(text_sizes); i++)
		for (int suite = 1; suite <= 2; suite++)
			for (int is_bound = 0; is_bound < 2; is_bound++)
			{
				length = seal_value((int) (i % SEALER_KEY_COUNT), (MtSuite) suite, is_bound != 0,
									nonce, text, text_sizes[i], value);
				write_seed(value, length);
				/* of an unknown suite, cut, of an unknown key, of none */
				if (i > 1)
					continue;
				write_seed(value, length - 1);
				value[1] += 2;
				write_seed(value, length);
				value[1] -= 2;
				value[9] ^= 0x40;
				write_seed(value, length);
				value[2] ^= 0x80;
				write_seed(value, length);
				memset(value + 2, 0, 8);
				write_seed(value, length);
				write_seed(value, MT_CIPHERTEXT_HEADER);
			}
	write_text("");
}

static void
write_wrapped(void)
{
	static const size_t key_sizes[] = {1, 16, 32, 33, 1024};
	static unsigned char key[1024];
	static unsigned char wrapped[1 + 1024 + 39];
	static const unsigned char nonce[MT_NONCE_BYTES] = "a nonce 012";
	size_t		length;

	for (int i = 0; i < SEALER_BINDING_COUNT; i++)
		for (size_t j = 0; j < LENGTH_OF(key_sizes); j++)
		{
			wrapped[0] = (unsigned char) i;
			length = wrap_by_hand(i % SEALER_KEY_COUNT, &sealer_bindings[i], nonce, key,
								  key_sizes[j], wrapped + 1) + 1;
			write_seed(wrapped, length);

			/*
			 * cut, longer, of a later format, by another algorithm, under
			 * another key
			 */
			write_seed(wrapped, length - 1);
			write_seed(wrapped, length + 1);
			wrapped[1] = 2;
			write_seed(wrapped, length);
			wrapped[1] = 1;
			wrapped[2] = 2;
			write_seed(wrapped, length);
			wrapped[2] = 1;
			wrapped[5] ^= 1;
			write_seed(wrapped, length);
		}
}

int
main(int argc, char **argv)
{
	if (argc != 3)
	{
		fprintf(stderr, "usage: seeds token|claims|keys|mask|ciphertext|wrapped DIRECTORY\n");
		return 2;
	}
	directory = argv[2];
	make_signers();
	if (strcmp(argv[1], "token") == 0)
		write_tokens();
	else if (strcmp(argv[1], "claims") == 0)
		write_claims();
	else if (strcmp(argv[1], "keys") == 0)
		write_keys();
	else if (strcmp(argv[1], "mask") == 0)
		write_masks();
	else if (strcmp(argv[1], "ciphertext") == 0)
		write_ciphertexts();
	else if (strcmp(argv[1], "wrapped") == 0)
		write_wrapped();
	else
		return 2;
	return 0;
}
