/*
 * decision.c
 *	  Who may use a tenant's keys: the one point that every use passes.
 *
 * Invariant: nothing is sealed, opened or made a blind index of unless
 * MtKeysMayBeUsed() said so for the context at that moment, and
 * MtKeysMayBeUsedFor() for the purpose and the principal. What is opened under
 * break-glass is recorded first.
 */
#include "postgres.h"

#include "base/audit.h"
#include "crypto/ciphertext.h"
#include "fmgr.h"
#include "keys/decision.h"
#include "rbac/rights.h"
#include "rbac/watch.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "utils/builtins.h"
#include "utils/json.h"

PG_FUNCTION_INFO_V1(mt_require_purpose);

/* A denial with this text has filled in what follows. */
static const char no_permission[] = "permission denied for values of this purpose";

static struct
{
	MtKeyUse	use;
	char		purpose[MT_PURPOSE_MAX + 1];
	char		permission[MT_PERMISSION_MAX + 1];
}			refused;

static const char *const use_names[MT_USE_COUNT] = {"decrypt", "encrypt"};

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

/* ---- rules of purposes ---- */

/*
 * Security: converting a column and encrypting it again go through every tenant with
 * nobody's rights. Who may do that may take the protection off altogether, and nobody
 * else enters a tenant by its name and can change what protects it. The procedures go
 * on as the tables' owners, who need not be able to: their contexts say what they are for.
 */
static bool
is_maintenance(const MtContext *context)
{
	return MtContextIsMaintenance() ||
		(context->principal[0] == '\0' && context->source == MT_SOURCE_NAME &&
		 MtAccessHas(MT_MAY_CHANGE_ISOLATION));
}

static bool
deny_purpose(const char *purpose, MtKeyUse use, MtDenial *denial)
{
	const MtPurposeRule *rule = MtPurposeRuleOf(&MtContextGet()->tenant, purpose);

	refused.use = use;
	strlcpy(refused.purpose, purpose, sizeof(refused.purpose));
	strlcpy(refused.permission, rule->permission[use], sizeof(refused.permission));
	return MtDeny(denial, ERRCODE_INSUFFICIENT_PRIVILEGE, no_permission,
				  psprintf("To %s values of purpose \"%s\" takes the permission \"%s\" in the whole tenant.",
						   use_names[use], refused.purpose, refused.permission),
				  "Ask an administrator of the tenant for a role with it; see multitenant.purpose_rules.");
}

/* Does its principal hold what is asked for? */
static bool
holds_permission(const char *purpose, MtKeyUse use, MtPurposeDecision *known)
{
	uint64		stamp;
	const MtRights *rights = MtRightsOfContext(&stamp);

	if (known->stamp != stamp)
	{
		const MtPurposeRule *rule = MtPurposeRuleOf(&MtContextGet()->tenant, purpose);

		/* The numbers are those of the rights that are asked. */
		rights = MtRightsOfContext(&stamp);
		for (int i = 0; i < MT_USE_COUNT; i++)
			known->number[i] = rule->permission[i][0] == '\0' ? -1 :
				MtPermissionNumber(rule->permission[i]);
		known->stamp = stamp;
	}

	/* Security: a permission that was dropped is one that nobody has. */
	return known->number[use] >= 0 && MtRightsHave(rights, known->number[use]);
}

/* What the rule says, read again where it may have changed. */
static pg_noinline bool
ask_rule(const char *purpose, MtKeyUse use, MtPurposeDecision *known, MtDenial *denial)
{
	uint64		generation = MtPurposeRuleGeneration();

	if (known->generation != generation)
	{
		const MtPurposeRule *rule = MtPurposeRuleOf(&MtContextGet()->tenant, purpose);

		for (int i = 0; i < MT_USE_COUNT; i++)
			known->is_asking[i] = rule->permission[i][0] != '\0';
		known->stamp = 0;
		known->generation = generation;
	}
	if (!known->is_asking[use] || holds_permission(purpose, use, known) ||
		is_maintenance(MtContextGet()))
		return true;
	return deny_purpose(purpose, use, denial);
}

/* Security: recorded before the first value is opened, also in parallel workers. */
static pg_noinline void
record_decryption(const char *purpose)
{
	MtWatched	use = {.purpose = purpose};

	if (MtWatchApplies())
		MtWatchRecord(&use, 1);
}

bool
MtKeysMayBeUsedFor(const char *purpose, MtKeyUse use, MtPurposeDecision *known,
				   MtDenial *denial)
{
	if (unlikely(known->generation != MtPurposeRuleGeneration() || known->is_asking[use]) &&
		!ask_rule(purpose, use, known, denial))
		return false;
	if (use == MT_USE_OPEN && unlikely(MtWatchIsOn()))
		record_decryption(purpose);
	return true;
}

/*
 * multitenant._require_purpose(purpose, use): for the extension's own functions that change
 * what is encrypted without a key. Raises what using one would.
 */
Datum
mt_require_purpose(PG_FUNCTION_ARGS)
{
	const char *purpose = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *use = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MtPurposeDecision known = {0};
	MtDenial	denial;

	if (!MtKeysMayBeUsed(&denial) ||
		!MtKeysMayBeUsedFor(purpose, strcmp(use, use_names[MT_USE_OPEN]) == 0 ? MT_USE_OPEN : MT_USE_SEAL,
							&known, &denial))
		MtKeysRefuse(&denial, purpose);
	PG_RETURN_VOID();
}

/* ---- refusing ---- */

bool
MtKeysDenyValue(MtDenial *denial)
{
	return MtDeny(denial, MT_ERRCODE_DECRYPTION_FAILED, "the value cannot be decrypted", NULL,
				  "It was not encrypted for this tenant, purpose and context, or it was changed.");
}

/* Appends "name": "value", a JSON string. */
static void
append_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	escape_json(json, value);
}

static void
audit_refusal(const MtDenial *denial, const char *purpose)
{
	StringInfoData detail;
	MtAuditEvent event = {0};

	initStringInfo(&detail);
	appendStringInfoChar(&detail, '{');
	if (denial->message == no_permission)
	{
		append_member(&detail, "purpose", refused.purpose);
		append_member(&detail, "use", use_names[refused.use]);
		append_member(&detail, "permission", refused.permission);
	}
	else
		/* What is no purpose is not worth a line of the log, however long. */
		append_member(&detail, "purpose", strlen(purpose) <= MT_PURPOSE_MAX ? purpose : "");
	appendStringInfoChar(&detail, '}');
	event.event = "key.use";
	event.outcome = "refused";
	event.detail = detail.data;
	MtAuditEmit(&event);
}

void
MtKeysRefuse(const MtDenial *denial, const char *purpose)
{
	if (denial->code == ERRCODE_INSUFFICIENT_PRIVILEGE)
		audit_refusal(denial, purpose);
	MtDenialRaise(denial);
}
