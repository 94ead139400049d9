/*
 * function.c
 *	  Functions of the server that application roles may not execute.
 *
 * All application sessions run as the same role, so the server shows each the
 * statement text of the others - tokens included - and lets each cancel the
 * others. REVOKE from a role does nothing where PUBLIC has the right, and taking
 * it from PUBLIC breaks monitoring; so it is refused here, by profile.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/extension.h"
#include "catalog/pg_authid.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "tenant/access.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"

typedef struct DeniedFunction
{
	Oid			function;
	Oid			exempt_role;	/* members of this predefined role may */
} DeniedFunction;

static const DeniedFunction denied_functions[] = {
	{F_PG_STAT_GET_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{F_PG_STAT_GET_BACKEND_ACTIVITY, ROLE_PG_READ_ALL_STATS},
	{F_PG_CANCEL_BACKEND, ROLE_PG_SIGNAL_BACKEND},
	{F_PG_TERMINATE_BACKEND, ROLE_PG_SIGNAL_BACKEND},
};

static const DeniedFunction *
find_denied(Oid function)
{
	for (size_t i = 0; i < lengthof(denied_functions); i++)
		if (denied_functions[i].function == function)
			return &denied_functions[i];
	return NULL;
}

/*
 * Security: both the session's and the outer role must be members; a definer
 * function of a monitoring role lends nothing.
 */
static bool
is_exempt(const DeniedFunction *denied)
{
	return has_privs_of_role(GetSessionUserId(), denied->exempt_role) &&
		has_privs_of_role(GetOuterUserId(), denied->exempt_role);
}

void
MtGuardCheckFunction(Oid function)
{
	const DeniedFunction *denied = find_denied(function);

	if (denied == NULL || !MtIsActive() || !MtGuardIsOn())
		return;
	if (MtAccessHas(MT_MAY_OBSERVE_SESSIONS) || is_exempt(denied))
		return;
	ereport(ERROR,
			errcode(MT_ERRCODE_REFUSED_BY_GUARD),
			errmsg("application roles cannot look at or end other sessions"),
			errhint("Use a role of profile operator, or a member of pg_monitor or pg_signal_backend."));
}
