/*
 * hsm.c
 *	  Master keys that a key in an HSM unwraps (PKCS#11).
 *
 * A file has the wrapped master key, 60 bytes: nonce (12), key (32) and tag (16)
 * of AES-GCM with the associated data "multitenant/mek/v1"; or 40 bytes, AES key
 * wrap (RFC 3394), for tokens that have no GCM. The length tells which.
 *
 * Security: the module of the HSM's maker runs in a process that lives for one
 * key. Modules crash, hang, keep sessions logged in over fork() and clash with
 * OpenSSL when a process ends; here none of that reaches the server.
 */
#include "postgres.h"

#include "crypto/hsm.h"
#include "crypto/keychild.h"
#include "crypto/keyfile.h"

#if defined(__has_include) && __has_include(<p11-kit/pkcs11.h>)

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <unistd.h>

#include "base/settings.h"

#define GCM_BLOB_BYTES (MT_NONCE_BYTES + MT_SECRET_BYTES + MT_TAG_BYTES)
#define KEY_WRAP_BLOB_BYTES (MT_SECRET_BYTES + 8)
#define PIN_MAX 256
#define SLOTS_MAX 256

static const char associated_data[] = "multitenant/mek/v1";

/* First byte of an answer: what follows is the key, or why there is none. */
#define ANSWER_KEY 'K'
#define ANSWER_REASON 'E'

typedef struct Request
{
	const char *file;
	const char *key_label;
} Request;

static char error_text[160];

static const char *
failed_call(const char *call, CK_RV code)
{
	snprintf(error_text, sizeof(error_text), "The HSM refuses: %s, code 0x%lx.", call, code);
	return error_text;
}

static CK_FUNCTION_LIST *
load_module(const char **reason)
{
	void	   *library;
	CK_C_GetFunctionList get_functions;
	CK_FUNCTION_LIST *functions = NULL;
	CK_RV		code;

	if (mt_guc_pkcs11_module == NULL || mt_guc_pkcs11_module[0] != '/')
	{
		*reason = "multitenant.pkcs11_module is not an absolute path.";
		return NULL;
	}
	library = dlopen(mt_guc_pkcs11_module, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
	{
		*reason = "The PKCS#11 module cannot be loaded.";
		return NULL;
	}
	*(void **) &get_functions = dlsym(library, "C_GetFunctionList");
	if (get_functions == NULL || get_functions(&functions) != CKR_OK || functions == NULL)
	{
		*reason = "The library is no PKCS#11 module.";
		return NULL;
	}
	code = functions->C_Initialize(NULL);
	if (code != CKR_OK)
	{
		*reason = failed_call("C_Initialize", code);
		return NULL;
	}
	return functions;
}

/* Labels of tokens are 32 bytes, filled with blanks. */
static bool
has_label(const CK_TOKEN_INFO * info, const char *label)
{
	size_t		length = strlen(label);

	if (length > sizeof(info->label) || memcmp(info->label, label, length) != 0)
		return false;
	while (length < sizeof(info->label) && info->label[length] == ' ')
		length++;
	return length == sizeof(info->label);
}

static bool
open_session(CK_FUNCTION_LIST * functions, CK_SESSION_HANDLE * session, const char **reason)
{
	CK_SLOT_ID	slots[SLOTS_MAX];
	CK_ULONG	count = SLOTS_MAX;
	CK_RV		code = functions->C_GetSlotList(CK_TRUE, slots, &count);

	if (code != CKR_OK)
	{
		*reason = failed_call("C_GetSlotList", code);
		return false;
	}
	for (CK_ULONG i = 0; i < count; i++)
	{
		CK_TOKEN_INFO info;

		if (functions->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
			!has_label(&info, mt_guc_pkcs11_token_label))
			continue;
		code = functions->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL, session);
		if (code == CKR_OK)
			return true;
		*reason = failed_call("C_OpenSession", code);
		return false;
	}
	*reason = "The HSM has no token of that label.";
	return false;
}

static bool
log_in(CK_FUNCTION_LIST * functions, CK_SESSION_HANDLE session, const char **reason)
{
	unsigned char pin[PIN_MAX];
	int			length = MtReadSecretFile(mt_guc_pkcs11_pin_file, pin, sizeof(pin), reason);
	CK_RV		code;

	if (length < 0)
	{
		snprintf(error_text, sizeof(error_text), "PIN: %s", *reason);
		*reason = error_text;
		return false;
	}
	if (length > 0 && pin[length - 1] == '\n')
		length--;
	code = functions->C_Login(session, CKU_USER, pin, length);
	MtWipe(pin, sizeof(pin));
	if (code == CKR_OK)
		return true;
	*reason = code == CKR_PIN_INCORRECT ? "The HSM refuses the PIN." :
		failed_call("C_Login", code);
	return false;
}

/* The one AES key of that label. */
static bool
find_key(CK_FUNCTION_LIST * functions, CK_SESSION_HANDLE session, const char *label,
		 CK_OBJECT_HANDLE * key, const char **reason)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ATTRIBUTE wanted[] = {
		{CKA_CLASS, &class, sizeof(class)},
		{CKA_KEY_TYPE, &type, sizeof(type)},
		{CKA_LABEL, unconstify(char *, label), strlen(label)}
	};
	CK_OBJECT_HANDLE found[2];
	CK_ULONG	count = 0;
	CK_RV		code = functions->C_FindObjectsInit(session, wanted, lengthof(wanted));

	if (code == CKR_OK)
	{
		code = functions->C_FindObjects(session, found, 2, &count);
		(void) functions->C_FindObjectsFinal(session);
	}
	if (code != CKR_OK)
		*reason = failed_call("C_FindObjects", code);
	else if (count == 0)
		*reason = "The HSM has no AES key of that label.";
	else if (count > 1)
		*reason = "The HSM has more than one AES key of that label.";
	else
	{
		*key = found[0];
		return true;
	}
	return false;
}

static bool
decrypt(CK_FUNCTION_LIST * functions, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
		unsigned char blob[GCM_BLOB_BYTES], unsigned char secret[MT_SECRET_BYTES],
		const char **reason)
{
	CK_GCM_PARAMS parameters = {
		.pIv = blob,
		.ulIvLen = MT_NONCE_BYTES,
		.ulIvBits = MT_NONCE_BYTES * 8,
		.pAAD = (CK_BYTE *) unconstify(char *, &associated_data[0]),
		.ulAADLen = sizeof(associated_data) - 1,
		.ulTagBits = MT_TAG_BYTES * 8
	};
	CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof(parameters)};

	/* Some modules decrypt in place and want room for the tag, too. */
	unsigned char out[MT_SECRET_BYTES + MT_TAG_BYTES];
	CK_ULONG	length = sizeof(out);
	CK_RV		code = functions->C_DecryptInit(session, &mechanism, key);

	if (code == CKR_OK)
		code = functions->C_Decrypt(session, blob + MT_NONCE_BYTES,
									MT_SECRET_BYTES + MT_TAG_BYTES, out, &length);
	if (code == CKR_OK && length == MT_SECRET_BYTES)
		memcpy(secret, out, MT_SECRET_BYTES);
	MtWipe(out, sizeof(out));
	if (code == CKR_OK && length == MT_SECRET_BYTES)
		return true;
	*reason = code == CKR_OK ? "The HSM yields no key of 32 bytes." :
		failed_call("AES-GCM decryption", code);
	return false;
}

static bool
unwrap(CK_FUNCTION_LIST * functions, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
	   unsigned char blob[KEY_WRAP_BLOB_BYTES], unsigned char secret[MT_SECRET_BYTES],
	   const char **reason)
{
	CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_BBOOL	yes = CK_TRUE;
	CK_BBOOL	no = CK_FALSE;
	CK_ATTRIBUTE wanted[] = {
		{CKA_CLASS, &class, sizeof(class)},
		{CKA_KEY_TYPE, &type, sizeof(type)},
		{CKA_TOKEN, &no, sizeof(no)},
		{CKA_SENSITIVE, &no, sizeof(no)},
		{CKA_EXTRACTABLE, &yes, sizeof(yes)}
	};
	CK_ATTRIBUTE value = {CKA_VALUE, secret, MT_SECRET_BYTES};
	CK_OBJECT_HANDLE unwrapped;
	CK_RV		code = functions->C_UnwrapKey(session, &mechanism, key, blob, KEY_WRAP_BLOB_BYTES,
											  wanted, lengthof(wanted), &unwrapped);

	if (code != CKR_OK)
	{
		*reason = failed_call("AES key unwrapping", code);
		return false;
	}
	code = functions->C_GetAttributeValue(session, unwrapped, &value, 1);
	(void) functions->C_DestroyObject(session, unwrapped);
	if (code == CKR_OK && value.ulValueLen == MT_SECRET_BYTES)
		return true;
	*reason = code == CKR_OK ? "The HSM yields no key of 32 bytes." :
		failed_call("reading the unwrapped key", code);
	return false;
}

static bool
ask_hsm(const Request *request, unsigned char secret[MT_SECRET_BYTES], const char **reason)
{
	unsigned char blob[GCM_BLOB_BYTES + 1];
	int			length = MtReadSecretFile(request->file, blob, sizeof(blob), reason);
	CK_FUNCTION_LIST *functions;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	bool		is_done;

	if (length < 0)
		return false;
	if (length != GCM_BLOB_BYTES && length != KEY_WRAP_BLOB_BYTES)
	{
		*reason = "The wrapped key is neither 60 bytes (AES-GCM) nor 40 (AES key wrap).";
		return false;
	}
	functions = load_module(reason);
	if (functions == NULL || !open_session(functions, &session, reason))
		return false;
	is_done = log_in(functions, session, reason) &&
		find_key(functions, session, request->key_label, &key, reason) &&
		(length == GCM_BLOB_BYTES ?
		 decrypt(functions, session, key, blob, secret, reason) :
		 unwrap(functions, session, key, blob, secret, reason));
	(void) functions->C_Logout(session);
	(void) functions->C_CloseSession(session);
	return is_done;
}

/* In the child. It ends without what modules do at the end of a process. */
static void
answer_request(const void *argument)
{
	unsigned char answer[MT_HSM_ANSWER_BYTES];
	const char *reason = NULL;
	size_t		length = 1 + MT_SECRET_BYTES;
	ssize_t		written;

	answer[0] = ANSWER_KEY;
	if (!ask_hsm((const Request *) argument, answer + 1, &reason))
	{
		answer[0] = ANSWER_REASON;
		strlcpy((char *) answer + 1, reason, sizeof(answer) - 1);
		length = 1 + strlen((char *) answer + 1);
	}
	written = write(MT_KEY_CHILD_OUTPUT, answer, length);
	MtWipe(answer, sizeof(answer));
	_exit(written == (ssize_t) length ? 0 : 1);
}

bool
MtHsmUnwrap(const char *file, const char *key_label, int timeout,
			unsigned char answer[MT_HSM_ANSWER_BYTES],
			unsigned char secret[MT_SECRET_BYTES], const char **reason)
{
	Request		request = {.file = file,.key_label = key_label};
	int			length = MtKeyChildRun("PKCS#11 module", answer_request, &request, timeout,
									   answer, MT_HSM_ANSWER_BYTES - 1, reason);

	if (length < 0)
		return false;
	if (length == 1 + MT_SECRET_BYTES && answer[0] == ANSWER_KEY)
	{
		memcpy(secret, answer + 1, MT_SECRET_BYTES);
		return true;
	}
	if (length > 1 && answer[0] == ANSWER_REASON)
	{
		answer[length] = '\0';
		strlcpy(error_text, (const char *) answer + 1, sizeof(error_text));
		*reason = error_text;
	}
	else
		*reason = "The PKCS#11 module was not understood.";
	return false;
}

#else							/* no p11-kit/pkcs11.h */

bool
MtHsmUnwrap(const char *file, const char *key_label, int timeout,
			unsigned char answer[MT_HSM_ANSWER_BYTES],
			unsigned char secret[MT_SECRET_BYTES], const char **reason)
{
	*reason = "This build of the library has no PKCS#11: it was made without p11-kit's headers.";
	return false;
}

#endif
