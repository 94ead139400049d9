/*
 * model.c
 *	  The rules of tokens and claims once more, by other means.
 *
 * Written for being plainly right, not for speed: builds the whole tree of the
 * JSON text and then looks at it.
 */
#include "model.h"

#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "property.h"

static const char *const header_names[] = {"alg", "kid", "typ", "crit", "b64", NULL};
static const char *const claim_names[] = {
	"tenant", "aud", "sub", "jti", "kind", "scope", "iat", "exp", "nbf", NULL
};

/* ---- base64url ---- */

/* Decodes with OpenSSL; false unless encoding again gives the same text. */
static bool
decode_part(const char *text, size_t length, unsigned char *out, size_t size,
			size_t *out_length)
{
	static char standard[MT_JWS_MAX_LENGTH + 4];
	static char again[MT_JWS_MAX_LENGTH + 8];
	static unsigned char decoded[MT_JWS_MAX_LENGTH];
	size_t		padding = (4 - length % 4) % 4;
	int			written;

	if (length == 0 || length > MT_JWS_MAX_LENGTH || padding == 3)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '+' || text[i] == '/')
			return false;
		standard[i] = (char) (text[i] == '-' ? '+' :
							  text[i] == '_' ? '/' : text[i]);
	}
	memset(standard + length, '=', padding);
	written = EVP_DecodeBlock(decoded, (unsigned char *) standard,
							  (int) (length + padding));
	if (written < (int) padding)
		return false;
	written -= (int) padding;
	if ((size_t) written > size ||
		EVP_EncodeBlock((unsigned char *) again, decoded, written) !=
		(int) (length + padding) ||
		memcmp(again, standard, length + padding) != 0)
		return false;
	memcpy(out, decoded, (size_t) written);
	*out_length = (size_t) written;
	return true;
}

/* ---- JSON ---- */

/* How deep objects and arrays are nested, this one included. */
static int
depth_of(json_t * value)
{
	int			deepest = 0;
	size_t		index;
	const char *key;
	json_t	   *child;

	if (json_is_object(value))
	{
		json_object_foreach(value, key, child)
		{
			int			depth = depth_of(child);

			if (depth > deepest)
				deepest = depth;
		}
	}
	else if (json_is_array(value))
	{
		json_array_foreach(value, index, child)
		{
			int			depth = depth_of(child);

			if (depth > deepest)
				deepest = depth;
		}
	}
	else
		return 0;
	return deepest + 1;
}

/* Has UTF-8 text a control character: C0, DEL, C1? */
static bool
has_control(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *) text;

	for (size_t i = 0; i < length; i++)
		if (bytes[i] < 0x20 || bytes[i] == 0x7F ||
			(bytes[i] == 0xC2 && i + 1 < length && bytes[i + 1] < 0xA0))
			return true;
	return false;
}

static int
index_of(const char *const *names, const char *name, size_t length)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
			return i;
	return -1;
}

/*
 * Looks at the names of the outermost object of a text that is valid JSON:
 * false if one of the known comes twice or any has a control character.
 */
static bool
are_names_sound(const char *json, size_t length, const char *const *names)
{
	int			depth = 0;
	unsigned	seen = 0;
	bool		is_name = false;

	for (size_t i = 0; i < length; i++)
	{
		size_t		start = i;

		if (json[i] == '{' || json[i] == '[')
		{
			depth++;
			is_name = depth == 1;
		}
		else if (json[i] == '}' || json[i] == ']')
			depth--;
		else if (json[i] == ',')
			is_name = depth == 1;
		else if (json[i] == '"')
		{
			json_t	   *name;
			int			index;
			bool		is_sound;

			for (i++; json[i] != '"'; i++)
				if (json[i] == '\\')
					i++;
			if (!is_name)
				continue;
			is_name = false;
			name = json_loadb(json + start, i + 1 - start,
							  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			PROPERTY(name != NULL, "the model reads its own names");
			index = index_of(names, json_string_value(name),
							 json_string_length(name));
			is_sound = !has_control(json_string_value(name),
									json_string_length(name)) &&
				(index < 0 || (seen & 1U << index) == 0);
			json_decref(name);
			if (!is_sound)
				return false;
			if (index >= 0)
				seen |= 1U << index;
		}
	}
	return true;
}

/* The outermost object; NULL with the answer if there is nothing to look at. */
static json_t *
load_object(const char *json, size_t length, const char *const *names,
			ModelAnswer *answer)
{
	json_error_t error;
	json_t	   *object;

	*answer = MODEL_REFUSED;
	/* nowhere valid, but jansson 2.14 overlooks a NUL behind a number */
	if (memchr(json, '\0', length) != NULL)
		return NULL;
	object = json_loadb(json, length, JSON_ALLOW_NUL, &error);
	if (object == NULL)
	{
		/* Valid JSON that jansson has no room for: numbers, names with NUL. */
		if (json_error_code(&error) == json_error_numeric_overflow ||
			json_error_code(&error) == json_error_null_byte_in_key)
			*answer = MODEL_UNKNOWN;
		return NULL;
	}
	if (json_is_object(object) && depth_of(object) <= MT_JSON_MAX_DEPTH &&
		are_names_sound(json, length, names))
		return object;
	json_decref(object);
	return NULL;
}

/* A string that fits, without control characters; absent is right, too. */
static bool
take_string(json_t * value, char *out, size_t size, bool may_be_empty)
{
	size_t		length;

	if (value == NULL)
		return true;
	if (!json_is_string(value))
		return false;
	length = json_string_length(value);
	if (length >= size || (length == 0 && !may_be_empty) ||
		has_control(json_string_value(value), length))
		return false;
	memcpy(out, json_string_value(value), length);
	return true;
}

static bool
take_integer(json_t * value, int64_t *out, bool *is_there)
{
	if (value == NULL)
		return true;
	if (!json_is_integer(value))
		return false;
	*out = json_integer_value(value);
	*is_there = true;
	return true;
}

static bool
take_tenant(json_t * value, MtClaims *out)
{
	bool		is_there;

	if (value == NULL)
		return true;
	out->has_tenant = true;
	if (json_is_string(value))
		return take_string(value, out->tenant, sizeof(out->tenant), false);
	out->tenant_is_number = true;
	return take_integer(value, &out->tenant_number, &is_there);
}

static bool
take_audience(json_t * value, MtClaims *out)
{
	size_t		count = json_array_size(value);

	if (value == NULL)
		return true;
	if (!json_is_array(value))
	{
		out->aud_count = 1;
		return take_string(value, out->aud[0], sizeof(out->aud[0]), false);
	}
	if (count == 0 || count > MT_CLAIMS_MAX_AUDIENCES)
		return false;
	out->aud_count = (int) count;
	for (size_t i = 0; i < count; i++)
		if (!take_string(json_array_get(value, i), out->aud[i],
						 sizeof(out->aud[i]), false))
			return false;
	return true;
}

ModelAnswer
model_claims(const char *json, size_t length, MtClaims *out)
{
	ModelAnswer answer;
	json_t	   *object;

	memset(out, 0, sizeof(*out));
	if (length > MT_JWS_MAX_PAYLOAD)
		return MODEL_REFUSED;
	object = load_object(json, length, claim_names, &answer);
	if (object == NULL)
		return answer;
	if (take_tenant(json_object_get(object, "tenant"), out) &&
		take_audience(json_object_get(object, "aud"), out) &&
		take_string(json_object_get(object, "sub"), out->sub, sizeof(out->sub), false) &&
		take_string(json_object_get(object, "jti"), out->jti, sizeof(out->jti), false) &&
		take_string(json_object_get(object, "kind"), out->kind, sizeof(out->kind), false) &&
		take_string(json_object_get(object, "scope"), out->scope, sizeof(out->scope), true) &&
		take_integer(json_object_get(object, "iat"), &out->iat, &out->has_iat) &&
		take_integer(json_object_get(object, "exp"), &out->exp, &out->has_exp) &&
		take_integer(json_object_get(object, "nbf"), &out->nbf, &out->has_nbf))
		answer = MODEL_ACCEPTED;
	json_decref(object);
	return answer;
}

/* Absent, or "JWT" in any case. */
static bool
is_type(json_t * value)
{
	return value == NULL || (json_is_string(value) &&
							 json_string_length(value) == 3 &&
							 strcasecmp(json_string_value(value), "JWT") == 0);
}

static ModelAnswer
model_header(const char *json, size_t length, MtJws *out)
{
	ModelAnswer answer;
	json_t	   *object = load_object(json, length, header_names, &answer);
	json_t	   *algorithm;
	json_t	   *kid;

	if (object == NULL)
		return answer;
	algorithm = json_object_get(object, "alg");
	kid = json_object_get(object, "kid");
	if (algorithm != NULL && kid != NULL &&
		take_string(algorithm, out->algorithm, sizeof(out->algorithm), false) &&
		take_string(kid, out->kid, sizeof(out->kid), false) &&
		is_type(json_object_get(object, "typ")) &&
		json_object_get(object, "crit") == NULL &&
		json_object_get(object, "b64") == NULL)
		answer = MODEL_ACCEPTED;
	json_decref(object);
	return answer;
}

ModelAnswer
model_token(const char *token, size_t length, MtJws *out)
{
	unsigned char header[MT_JWS_MAX_HEADER];
	size_t		header_length;
	size_t		dots[2];
	int			dot_count = 0;

	memset(out, 0, sizeof(*out));
	if (length > MT_JWS_MAX_LENGTH || length < 3 || memcmp(token, "eyJ", 3) != 0)
		return MODEL_REFUSED;
	for (size_t i = 0; i < length; i++)
		if (token[i] == '.')
		{
			if (dot_count == 2)
				return MODEL_REFUSED;
			dots[dot_count++] = i;
		}
	if (dot_count != 2 ||
		!decode_part(token, dots[0], header, sizeof(header), &header_length) ||
		!decode_part(token + dots[0] + 1, dots[1] - dots[0] - 1,
					 (unsigned char *) out->payload, MT_JWS_MAX_PAYLOAD,
					 &out->payload_length) ||
		!decode_part(token + dots[1] + 1, length - dots[1] - 1, out->signature,
					 sizeof(out->signature), &out->signature_length))
		return MODEL_REFUSED;
	out->signing_input = token;
	out->signing_input_length = dots[1];
	return model_header((char *) header, header_length, out);
}
