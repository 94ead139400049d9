/*
 * settings.c
 *	  Declaration of the settings, each explained to the administrator.
 *
 * Security: what a tenant's SQL could turn against isolation is SIGHUP or SUSET.
 * multitenant.context is not here: it is no setting but the transaction's
 * context, and belongs to tenant/context.c alone.
 */
#include "postgres.h"

#include <limits.h>

#include "base/settings.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/plancache.h"

char	   *mt_guc_audience = NULL;
int			mt_guc_clock_leeway = 5;
bool		mt_guc_guard_enabled = true;
bool		mt_guc_fold_plans = true;
int			mt_guc_index_exposure = MT_EXPOSURE_ALLOW;
int			mt_guc_maximum_inline_rows = 1000000;
int			mt_guc_session_hygiene = MT_HYGIENE_CLEAN;
int			mt_guc_statistics_exposure = MT_EXPOSURE_ALLOW;
int			mt_guc_superuser_access = MT_SUPERUSER_AUDIT;
char	   *mt_guc_system_reason = NULL;
bool		mt_guc_test_database = false;
char	   *mt_guc_token = NULL;

static const struct config_enum_entry session_hygiene_options[] = {
	{"off", MT_HYGIENE_OFF, false},
	{"clean", MT_HYGIENE_CLEAN, false},
	{"strict", MT_HYGIENE_STRICT, false},
	{NULL, 0, false}
};

static const struct config_enum_entry superuser_access_options[] = {
	{"allow", MT_SUPERUSER_ALLOW, false},
	{"audit", MT_SUPERUSER_AUDIT, false},
	{"deny", MT_SUPERUSER_DENY, false},
	{NULL, 0, false}
};

static const struct config_enum_entry exposure_options[] = {
	{"allow", MT_EXPOSURE_ALLOW, false},
	{"hide", MT_EXPOSURE_HIDE, false},
	{NULL, 0, false}
};

/* Plans that were made before would go on using what is hidden now. */
static void
forget_plans(int newval, void *extra)
{
	ResetPlanCache();
}

/* Whoever switches the guard off leaves a trace. */
static void
log_guard(bool newval, void *extra)
{
	if (newval != mt_guc_guard_enabled)
		ereport(LOG_SERVER_ONLY,
				errmsg("multitenant.guard_enabled is now %s", newval ? "on" : "off"));
}

void
MtSettingsInit(void)
{
	DefineCustomStringVariable("multitenant.audience",
							   "Audience that a token must name in its claim \"aud\".",
							   "Empty means the name of the database. Give every "
							   "environment its own, so that a token of one is "
							   "worthless in a copy of it.",
							   &mt_guc_audience, "", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("multitenant.clock_leeway",
							"How far the clock of a token's issuer may be off.",
							NULL,
							&mt_guc_clock_leeway, 5, 0, 30, PGC_SIGHUP,
							GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomBoolVariable("multitenant.fold_plans",
							 "Whether plans are made for one tenant.",
							 "Off, plans are made for any tenant and look up the current one.",
							 &mt_guc_fold_plans, true, PGC_SUSET,
							 GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);

	/* The break-glass of the guard: row level security stays in force. */
	DefineCustomBoolVariable("multitenant.guard_enabled",
							 "Whether the guard checks statements on protected tables.",
							 "Turning it off is logged and leaves only row level security.",
							 &mt_guc_guard_enabled, true, PGC_SUSET,
							 GUC_NOT_IN_SAMPLE, NULL, log_guard, NULL);

	/*
	 * Security: what a plan uses of other tenants' rows shows in its order of
	 * rows, its time and the server's counters.
	 */
	DefineCustomEnumVariable("multitenant.index_exposure",
							 "Whether queries on protected tables may use indexes "
							 "that do not begin with the tenant column.",
							 "allow or hide. Hidden indexes still serve unique "
							 "keys, ON CONFLICT and foreign keys.",
							 &mt_guc_index_exposure, MT_EXPOSURE_ALLOW,
							 exposure_options, PGC_SUSET, 0,
							 NULL, forget_plans, NULL);

	DefineCustomIntVariable("multitenant.maximum_inline_rows",
							"Number of rows above which protect() does not scan "
							"or index a table itself.",
							"Larger tables are protected with the script that "
							"multitenant.plan() prints.",
							&mt_guc_maximum_inline_rows, 1000000, 0, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomEnumVariable("multitenant.session_hygiene",
							 "What happens to what one tenant leaves in a session "
							 "before the next one's context begins.",
							 "off, clean (it is removed) or strict (the next "
							 "context is refused).",
							 &mt_guc_session_hygiene, MT_HYGIENE_CLEAN,
							 session_hygiene_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);

	DefineCustomEnumVariable("multitenant.statistics_exposure",
							 "Whether queries on protected tables are planned with "
							 "statistics of all tenants' values.",
							 "allow or hide. Without them the planner assumes "
							 "defaults.",
							 &mt_guc_statistics_exposure, MT_EXPOSURE_ALLOW,
							 exposure_options, PGC_SUSET, 0,
							 NULL, forget_plans, NULL);

	DefineCustomEnumVariable("multitenant.superuser_access",
							 "What a superuser may do with protected tables.",
							 "allow, audit (allow and record) or deny (only "
							 "inside multitenant.system_context()).",
							 &mt_guc_superuser_access, MT_SUPERUSER_AUDIT,
							 superuser_access_options, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.system_reason",
							   "Reason for a system context that lasts as long "
							   "as the connection.",
							   "For programs that cannot call system_context(), "
							   "such as pg_dump; given in the startup options.",
							   &mt_guc_system_reason, "", PGC_BACKEND,
							   GUC_DISALLOW_IN_FILE | GUC_NOT_IN_SAMPLE,
							   NULL, NULL, NULL);

	DefineCustomBoolVariable("multitenant.test_database",
							 "Whether this database may be used for tests.",
							 "multitenant.test_isolation() runs where it is on, "
							 "as ALTER DATABASE .. SET makes it.",
							 &mt_guc_test_database, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);

	/*
	 * Security: a show hook would still print the value in
	 * pg_settings.reset_val, and without DISALLOW_IN_FILE ALTER SYSTEM would
	 * write a token to disk.  It is verified when first needed, not in a
	 * check hook: the text of a refused value would be printed in the log.
	 */
	DefineCustomStringVariable("multitenant.token",
							   "Token that authenticates this connection.",
							   "Given in the startup options, for connections "
							   "that serve one tenant.",
							   &mt_guc_token, "", PGC_BACKEND,
							   GUC_NO_SHOW_ALL | GUC_SUPERUSER_ONLY |
							   GUC_DISALLOW_IN_FILE | GUC_NOT_IN_SAMPLE,
							   NULL, NULL, NULL);
}
