/*
 * certificate.c
 *	  Signing and checking certificates of destroyed keys.
 *
 * The key pair is derived from a master key, so that nobody without it can make a
 * certificate; its public key stands in the certificate, so that the signature can be checked
 * when the master key has been destroyed, too. Invariant: the seed is here only between two
 * calls of crypto/ in one function, and wiped on every way out.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/tablescan.h"
#include "crypto/attestation.h"
#include "crypto/masterkey.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(mt_sign_certificate);
PG_FUNCTION_INFO_V1(mt_check_certificate);

static const unsigned char no_tenant[MT_TENANT_BYTES] = {0};

static bool
derive_seed(const unsigned char master[MT_SECRET_BYTES], unsigned char seed[MT_SECRET_BYTES])
{
	return MtDeriveSecret(master, "certificate", no_tenant, "", seed) == MT_CIPHER_OK;
}

/* _sign_certificate(text): master key's id, public key, signature. MT020 without a master key. */
Datum
mt_sign_certificate(PG_FUNCTION_ARGS)
{
	text	   *content = PG_GETARG_TEXT_PP(0);
	unsigned char master[MT_SECRET_BYTES];
	unsigned char seed[MT_SECRET_BYTES];
	unsigned char signer[MT_SIGNER_BYTES];
	unsigned char signature[MT_SIGNATURE_BYTES];
	uint64		id;
	bool		is_signed;
	MtDenial	denial;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!MtMasterKeyCurrent(&id, master, &denial))
		MtDenialRaise(&denial);
	is_signed = derive_seed(master, seed) &&
		MtAttestationSign(seed, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content), signer,
						  signature) == MT_CIPHER_OK;
	MtWipe(master, sizeof(master));
	MtWipe(seed, sizeof(seed));
	if (!is_signed)
		ereport(ERROR,
				errcode(MT_ERRCODE_KEY_UNAVAILABLE),
				errmsg("the certificate could not be signed"),
				errdetail("OpenSSL failed."),
				errhint("Look at the server log; the server may be out of memory."));
	values[0] = CStringGetTextDatum(psprintf("%016llx", (unsigned long long) id));
	values[1] = MtBytesDatum(signer, sizeof(signer));
	values[2] = MtBytesDatum(signature, sizeof(signature));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * Is it the public key of that master key? False with *is_known unset where the master key is not
 * loaded.
 */
static bool
is_signer_of(const char *id_text, const unsigned char *signer, bool *is_known)
{
	unsigned char master[MT_SECRET_BYTES];
	unsigned char seed[MT_SECRET_BYTES];
	unsigned char own[MT_SIGNER_BYTES];
	MtDenial	denial;
	bool		is_same;

	*is_known = MtMasterKeyById(strtou64(id_text, NULL, 16), master, &denial);
	if (!*is_known)
		return false;
	is_same = derive_seed(master, seed) && MtAttestationSigner(seed, own) == MT_CIPHER_OK &&
		memcmp(own, signer, sizeof(own)) == 0;
	MtWipe(master, sizeof(master));
	MtWipe(seed, sizeof(seed));
	return is_same;
}

/* _check_certificate(text, master key's id, public key, signature): valid, unconfirmed or forged. */
Datum
mt_check_certificate(PG_FUNCTION_ARGS)
{
	text	   *content = PG_GETARG_TEXT_PP(0);
	char	   *id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	bytea	   *signer = PG_GETARG_BYTEA_PP(2);
	bytea	   *signature = PG_GETARG_BYTEA_PP(3);
	const char *answer = "forged";
	bool		is_known;

	if (VARSIZE_ANY_EXHDR(signer) == MT_SIGNER_BYTES &&
		VARSIZE_ANY_EXHDR(signature) == MT_SIGNATURE_BYTES &&
		MtAttestationVerify((unsigned char *) VARDATA_ANY(signer), VARDATA_ANY(content),
							VARSIZE_ANY_EXHDR(content),
							(unsigned char *) VARDATA_ANY(signature)) == MT_CIPHER_OK)
	{
		/* Security: anybody can sign with a key of his own. */
		if (is_signer_of(id, (unsigned char *) VARDATA_ANY(signer), &is_known))
			answer = "valid";
		else if (!is_known)
			answer = "unconfirmed";
	}
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}
