/*
 * decision.c
 *	  Who may use a tenant's keys: the one point that every use passes.
 *
 * Invariant: nothing is sealed, opened or made a blind index of unless
 * MtKeysMayBeUsed() said so for the context at that moment.
 */
#include "postgres.h"

#include "base/audit.h"
#include "crypto/ciphertext.h"
#include "keys/decision.h"
#include "tenant/context.h"
#include "utils/json.h"

bool
MtKeysMayBeUsed(MtDenial *denial)
{
	const MtContext *context = MtContextGet();

	if (context->state != MT_STATE_TENANT)
	{
		MtContextDenyMissing(denial);
		return false;
	}

	/*
	 * Security: whoever looks after a tenant from outside never reads what it
	 * has encrypted.
	 */
	if (context->kind != MT_KIND_TENANT)
		return MtDeny(denial, ERRCODE_INSUFFICIENT_PRIVILEGE,
					  "encrypted values cannot be read or written in this context", NULL,
					  "Supervised and system contexts have no access to a tenant's keys; use a context of the tenant's own.");

	return MtContextCheck(denial);
}

bool
MtKeysDenyValue(MtDenial *denial)
{
	return MtDeny(denial, MT_ERRCODE_DECRYPTION_FAILED, "the value cannot be decrypted", NULL,
				  "It was not encrypted for this tenant, purpose and context, or it was changed.");
}

void
MtKeysRefuse(const MtDenial *denial, const char *purpose)
{
	if (denial->code == ERRCODE_INSUFFICIENT_PRIVILEGE)
	{
		StringInfoData detail;
		MtAuditEvent event = {0};

		initStringInfo(&detail);
		appendStringInfoString(&detail, "{\"purpose\": ");
		/* What is no purpose is not worth a line of the log, however long. */
		escape_json(&detail, strlen(purpose) <= MT_PURPOSE_MAX ? purpose : "");
		appendStringInfoChar(&detail, '}');
		event.event = "key.use";
		event.outcome = "refused";
		event.detail = detail.data;
		MtAuditEmit(&event);
	}
	MtDenialRaise(denial);
}
