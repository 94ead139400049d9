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

#include "base/compat.h"
#include "base/hot.h"
#include "base/memory.h"
#include "base/settings.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/plancache.h"

char	   *mt_guc_audience = NULL;
int			mt_guc_clock_leeway = 5;
MT_HOT bool mt_guc_guard_enabled = true;
bool		mt_guc_fold_plans = true;
bool		mt_guc_hide_memory = true;
int			mt_guc_index_exposure = MT_EXPOSURE_ALLOW;
int			mt_guc_key_cache_lifetime = 600;
int			mt_guc_key_cache_size = 256;
char	   *mt_guc_key_command = NULL;
char	   *mt_guc_key_file = NULL;
int			mt_guc_key_provider = MT_KEY_PROVIDER_OFF;
int			mt_guc_key_timeout = 10000;
char	   *mt_guc_key_versions = NULL;
bool		mt_guc_lift_conditions = true;
int			mt_guc_maximum_inline_rows = 1000000;
int			mt_guc_maximum_supervision = 28800;
int			mt_guc_permission_cache_size = 8192;
char	   *mt_guc_pkcs11_key_label = NULL;
char	   *mt_guc_pkcs11_module = NULL;
char	   *mt_guc_pkcs11_pin_file = NULL;
char	   *mt_guc_pkcs11_token_label = NULL;
bool		mt_guc_require_locked_memory = false;
bool		mt_guc_require_membership = false;
int			mt_guc_session_hygiene = MT_HYGIENE_CLEAN;
char	   *mt_guc_share_command = NULL;
int			mt_guc_statistics_exposure = MT_EXPOSURE_ALLOW;
int			mt_guc_superuser_access = MT_SUPERUSER_AUDIT;
char	   *mt_guc_system_reason = NULL;
bool		mt_guc_test_database = false;
char	   *mt_guc_token = NULL;

MtKeyVersions mt_key_versions = {1, {1}};

static const struct config_enum_entry session_hygiene_options[] = {
	{"off", MT_HYGIENE_OFF, false},
	{"clean", MT_HYGIENE_CLEAN, false},
	{"strict", MT_HYGIENE_STRICT, false},
	{NULL, 0, false}
};

static const struct config_enum_entry key_provider_options[] = {
	{"off", MT_KEY_PROVIDER_OFF, false},
	{"file", MT_KEY_PROVIDER_FILE, false},
	{"command", MT_KEY_PROVIDER_COMMAND, false},
	{"pkcs11", MT_KEY_PROVIDER_PKCS11, false},
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

static void (*hiding_listener) (void) = NULL;

void
MtSettingsOnHiding(void (*listener) (void))
{
	hiding_listener = listener;
}

/* Plans that were made before would go on using what is hidden now. */
static void
forget_plans(int newval, void *extra)
{
	ResetPlanCache();
	if (newval != MT_EXPOSURE_ALLOW && hiding_listener != NULL)
		hiding_listener();
}

static void
forget_lifted_plans(bool newval, void *extra)
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

const char *
MtKeyProviderName(MtKeyProvider provider)
{
	return key_provider_options[provider].name;
}

/* Once keys may come into this process, its memory stays hidden until it ends. */
static void
hide_for_keys(bool newval, void *extra)
{
	if (newval && mt_guc_key_provider != MT_KEY_PROVIDER_OFF)
		(void) MtMemoryHide();
}

static void
hide_for_provider(int newval, void *extra)
{
	if (newval != MT_KEY_PROVIDER_OFF && mt_guc_hide_memory)
		(void) MtMemoryHide();
}

/* One to four different numbers from 1 on, with commas between them. */
static bool
check_key_versions(char **newval, void **extra, GucSource source)
{
	MtKeyVersions versions = {0};
	const char *p = *newval;
	MtKeyVersions *kept;

	for (;;)
	{
		char	   *end;
		long		version;

		errno = 0;
		version = strtol(p, &end, 10);
		if (end == p || errno != 0 || version < 1 || version > INT_MAX)
			break;
		for (int i = 0; i < versions.count; i++)
			if (versions.version[i] == version)
				version = 0;
		if (version == 0 || versions.count == MT_KEY_VERSIONS_MAX)
			break;
		versions.version[versions.count++] = (int) version;
		p = end + strspn(end, " ");
		if (*p == '\0')
		{
			kept = MtGucAlloc(sizeof(*kept));
			if (kept == NULL)
				return false;
			*kept = versions;
			*extra = kept;
			return true;
		}
		if (*p++ != ',')
			break;
	}
	GUC_check_errdetail("Give one to four different numbers from 1 on, such as '1,2'; the last is the current version.");
	return false;
}

static void
assign_key_versions(const char *newval, void *extra)
{
	if (extra != NULL)
		mt_key_versions = *(MtKeyVersions *) extra;
}

/* What is decided when the server starts, or else by postgresql.conf alone. */
static GucContext
at_start(void)
{
	return process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;
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
	 * Security: otherwise SQL alone reads a key out of /proc/self/mem, and a
	 * core file has it. The default costs nobody a core file who has no keys.
	 */
	DefineCustomBoolVariable("multitenant.hide_memory",
							 "Whether the memory of the server's processes is hidden "
							 "where there are master keys.",
							 "On, no process of the same user reads it, and there are "
							 "no core files.",
							 &mt_guc_hide_memory, true, at_start(), 0,
							 NULL, hide_for_keys, NULL);

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

	/*
	 * Security: bounds how long a key outlives, in a session, what protects
	 * it in the tables.
	 */
	DefineCustomIntVariable("multitenant.key_cache_lifetime",
							"How long a session keeps an unwrapped key of a tenant.",
							"Then it is unwrapped again at its next use; 0: as long as the session.",
							&mt_guc_key_cache_lifetime, 600, 0, 86400, PGC_SUSET,
							GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("multitenant.key_cache_size",
							"How many keys of tenants a session keeps ready for use.",
							"About 2 kB each; of 32 times as many, 0.3 kB each, the secret is kept.",
							&mt_guc_key_cache_size, 256, 8, 65536, PGC_SUSET,
							0, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.key_command",
							   "Command that prints a master key.",
							   "%v is the version, %% a percent sign. Prints 64 "
							   "hexadecimal digits or 32 bytes.",
							   &mt_guc_key_command, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.key_file",
							   "File of a master key; with provider pkcs11, of a "
							   "wrapped one.",
							   "An absolute path; %v is the version, %% a percent sign.",
							   &mt_guc_key_file, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomEnumVariable("multitenant.key_provider",
							 "Where master keys come from.",
							 "off, file, command or pkcs11.",
							 &mt_guc_key_provider, MT_KEY_PROVIDER_OFF,
							 key_provider_options, PGC_SIGHUP, 0,
							 NULL, hide_for_provider, NULL);

	DefineCustomIntVariable("multitenant.key_timeout",
							"How long multitenant.key_command, or the HSM, may take for a key.",
							NULL,
							&mt_guc_key_timeout, 10000, 100, 300000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.key_versions",
							   "Versions of the master key that are loaded.",
							   "One to four numbers; new keys are wrapped with the last.",
							   &mt_guc_key_versions, "1", PGC_SIGHUP, 0,
							   check_key_versions, assign_key_versions, NULL);

	DefineCustomBoolVariable("multitenant.lift_conditions",
							 "Whether conditions that are not leakproof may use "
							 "indexes that show one tenant's rows only.",
							 "Off, they are tested row by row, as by the server alone.",
							 &mt_guc_lift_conditions, true, PGC_SUSET,
							 GUC_NOT_IN_SAMPLE, NULL, forget_lifted_plans, NULL);

	DefineCustomIntVariable("multitenant.maximum_inline_rows",
							"Number of rows above which protect() does not scan "
							"or index a table itself.",
							"Larger tables are protected with the script that "
							"multitenant.plan() prints.",
							&mt_guc_maximum_inline_rows, 1000000, 0, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);

	/* Security: an operator must not decide how long he looks in. */
	DefineCustomIntVariable("multitenant.maximum_supervision",
							"How long an operator may look into a tenant at a time.",
							"Longer durations are refused by begin_supervised().",
							&mt_guc_maximum_supervision, 28800, 1, 2592000,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("multitenant.permission_cache_size",
							"How much memory a session uses for compiled rights.",
							"Those that were used last stay; what the current "
							"context needs stays whatever its size.",
							&mt_guc_permission_cache_size, 8192, 64, MAX_KILOBYTES, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.pkcs11_key_label",
							   "Label of the AES key in the HSM that unwraps master keys.",
							   "%v is the version, %% a percent sign.",
							   &mt_guc_pkcs11_key_label, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.pkcs11_module",
							   "Library of the HSM's maker, an absolute path.",
							   "Loaded in processes of the key keeper's alone.",
							   &mt_guc_pkcs11_module, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.pkcs11_pin_file",
							   "File of the PIN of the HSM's user.",
							   NULL,
							   &mt_guc_pkcs11_pin_file, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.pkcs11_token_label",
							   "Label of the HSM's token.",
							   NULL,
							   &mt_guc_pkcs11_token_label, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomBoolVariable("multitenant.require_locked_memory",
							 "Whether master keys are only kept in memory that "
							 "cannot be swapped out.",
							 "On, the server does not start where the memory "
							 "cannot be locked.",
							 &mt_guc_require_locked_memory, false, at_start(), 0,
							 NULL, NULL, NULL);

	/* Security: SUSET, so that what is kept out by it cannot turn it off. */
	DefineCustomBoolVariable("multitenant.require_membership",
							 "Whether a token that names tenant and principal "
							 "counts only for active members.",
							 "Off, the issuer's word is enough, but for who is "
							 "suspended or disabled here.",
							 &mt_guc_require_membership, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);

	DefineCustomEnumVariable("multitenant.session_hygiene",
							 "What happens to what one tenant leaves in a session "
							 "before the next one's context begins.",
							 "off, clean (it is removed) or strict (the next "
							 "context is refused).",
							 &mt_guc_session_hygiene, MT_HYGIENE_CLEAN,
							 session_hygiene_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("multitenant.share_command",
							   "Command that prints a tenant's share of its key.",
							   "%t is the tenant's id, %% a percent sign. Prints 64 "
							   "hexadecimal digits or 32 bytes.",
							   &mt_guc_share_command, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

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
