/*
 * share.c
 *	  Shares of tenants' keys that are kept outside of the server.
 *
 * A share is asked for each time that a tenant's key is unwrapped, and kept nowhere: who
 * destroys it where it is kept has destroyed the tenant's key in every backup at once.
 * Invariant: a share is wiped before the function that got it returns, or by its caller.
 */
#include "postgres.h"

#include "base/settings.h"
#include "crypto/keycommand.h"
#include "crypto/keyfile.h"
#include "keys/share.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static bool
deny(MtDenial *denial, const char *detail, const char *hint)
{
	return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE, "the share of this tenant's key is not available",
				  detail, hint);
}

bool
MtShareGet(const pg_uuid_t *tenant, unsigned char share[MT_SECRET_BYTES], MtDenial *denial)
{
	unsigned char output[MT_KEY_TEXT_BYTES];
	const char *reason = NULL;
	char	   *command;
	int			length;
	bool		is_share;

	if (mt_guc_share_command[0] == '\0')
		return deny(denial, "multitenant.share_command is not set.",
					"Set it to a command that prints the share of tenant %t.");
	command = MtReplacePercent(mt_guc_share_command, 't',
							   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(tenant))));
	if (command == NULL)
		return deny(denial, "multitenant.share_command has a % that is neither %t nor %%.",
					"Write %t for the tenant's id and %% for a percent sign.");
	length = MtKeyCommandRun(command, mt_guc_key_timeout, output, sizeof(output), &reason);
	is_share = length >= 0 && MtParseKey(output, length, share, &reason);
	MtWipe(output, sizeof(output));
	CHECK_FOR_INTERRUPTS();
	return is_share || deny(denial, reason, "Run multitenant.share_command by hand as the server's user; a share that was destroyed does not come back.");
}

bool
MtShareMix(unsigned char master[MT_SECRET_BYTES], const pg_uuid_t *tenant,
		   const unsigned char share[MT_SECRET_BYTES])
{
	unsigned char secret[MT_SECRET_BYTES];
	MtMac	   *mac = NULL;
	bool		is_mixed;

	/* Its own derivation: no secret is used for two things. */
	is_mixed = MtDeriveSecret(master, "share", tenant->data, "", secret) == MT_CIPHER_OK &&
		(mac = MtMacCreate(secret)) != NULL &&
		MtMacCompute(mac, share, MT_SECRET_BYTES, master) == MT_CIPHER_OK;
	MtMacFree(mac);
	MtWipe(secret, sizeof(secret));
	if (!is_mixed)
		MtWipe(master, MT_SECRET_BYTES);
	return is_mixed;
}
