/*
 * masterkey.c
 *	  Master encryption keys: which are loaded, and how to get at one.
 *
 * Owns what readers are told, and the waiting: for the keeper's first try after
 * the server's start, and for a reload. Invariant: a key that is not there is
 * refused with MT020, never replaced by another.
 */
#include "postgres.h"

#include "base/memory.h"
#include "common/hashfn.h"
#include "crypto/keypage.h"
#include "crypto/keyprovider.h"
#include "crypto/masterkey.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(mt_master_keys);
PG_FUNCTION_INFO_V1(mt_reload_master_keys);

#define FIRST_TRY_WAIT 5000		/* ms that a statement waits after the
								 * server's start */
#define STEP 10					/* ms between two looks at the page */
#define OWN_RETRY (1 * USECS_PER_SEC)	/* between two tries of a session that
										 * loads for itself */

static const char *const state_names[] = {"starting", "off", "loaded", "failing"};

void
MtMasterKeyInit(void)
{
	MtKeyPageInit();
}

/* Sleeps for a moment, interruptibly. */
static void
pause_here(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 STEP, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static bool
wait_is_over(TimestampTz since)
{
	return TimestampDifferenceExceeds(since, GetCurrentTimestamp(), FIRST_TRY_WAIT);
}

static void
await_first_try(MtKeeperStatus *status)
{
	TimestampTz since = GetCurrentTimestamp();

	for (;;)
	{
		MtKeyPageRead(status);
		if (status->state != MT_KEEPER_STARTING || wait_is_over(since))
			return;
		pause_here();
	}
}

/* ---- without the keeper ---- */

static uint64
hash_settings(void)
{
	uint64		hash = mt_guc_key_provider + 1;

	hash = hash_bytes_extended((const unsigned char *) mt_guc_key_file, strlen(mt_guc_key_file), hash);
	return hash_bytes_extended((const unsigned char *) &mt_key_versions, sizeof(mt_key_versions), hash);
}

/*
 * This session loads the keys itself, when the settings have changed or, once a
 * second, when something was missing.
 */
static bool
load_for_ourselves(MtDenial *denial)
{
	static uint64 seen_settings = 0;
	static TimestampTz tried_at = 0;
	static bool is_complete = false;
	uint64		settings = hash_settings();
	TimestampTz now = GetCurrentTimestamp();

	if (!MtKeyPageMake())
		return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
					  "there is no memory for master keys", NULL,
					  "Try again when the server has more memory.");
	if (mt_guc_require_locked_memory && !MtKeyPageIsLocked())
		return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
					  "the memory of the master keys cannot be locked", NULL,
					  "Raise the limit of locked memory of the server, or turn multitenant.require_locked_memory off.");
	if (settings != seen_settings || (!is_complete && now - tried_at > OWN_RETRY))
	{
		is_complete = MtKeyProviderLoad(settings != seen_settings, false, now + OWN_RETRY);
		seen_settings = settings;
		tried_at = now;
	}
	return true;
}

/* ---- readers ---- */

static bool
deny(const MtKeeperStatus *status, uint64 id, MtDenial *denial)
{
	const char *detail = NULL;
	bool		is_known = superuser_arg(GetSessionUserId()) && superuser_arg(GetOuterUserId());

	/*
	 * Security: what the provider said, and which key it is, is not for
	 * applications: not for a definer function that one calls, either.
	 */
	if (is_known)
		for (int i = 0; i < status->count; i++)
			if (status->key[i].error[0] != '\0')
				detail = psprintf("Version %d: %s", status->key[i].version, status->key[i].error);

	if (status->state == MT_KEEPER_OFF)
		return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
					  "there is no master key: multitenant.key_provider is off", NULL,
					  "Let the administrator of the server choose a provider of master keys.");
	if (status->state == MT_KEEPER_STARTING)
		return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
					  "the master key is not loaded yet", NULL,
					  "Try again in a moment; multitenant.mek_status shows what the key keeper does.");
	if (id != 0 && is_known)
		return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
					  psprintf("master key %016llx is not loaded", (unsigned long long) id), detail,
					  "multitenant.mek_status shows the keys that are loaded; multitenant.key_versions lists the versions.");
	return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
				  "the master key is not loaded", detail,
				  "multitenant.mek_status says why; it is tried again by itself.");
}

/* The key of that id, or of *id = 0 the current one. */
static bool
get_key(uint64 *id, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial)
{
	MtKeeperStatus status;
	uint64		wanted = *id;

	if (!MtKeyPageIsShared() && !load_for_ourselves(denial))
		return false;
	if (MtKeyPageCopy(id, secret))
		return true;
	if (MtKeyPageIsShared())
	{
		await_first_try(&status);
		if (MtKeyPageCopy(id, secret))
			return true;
	}
	else
		MtKeyPageRead(&status);
	return deny(&status, wanted, denial);
}

bool
MtMasterKeyCurrent(uint64 *id, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial)
{
	*id = 0;
	return get_key(id, secret, denial);
}

bool
MtMasterKeyById(uint64 id, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial)
{
	/* 0 is nobody's id, and would mean the current key. */
	if (id == 0)
		return MtDeny(denial, MT_ERRCODE_KEY_UNAVAILABLE,
					  "master key 0000000000000000 does not exist", NULL,
					  "What names it was not wrapped by this extension.");
	return get_key(&id, secret, denial);
}

/* ---- SQL ---- */

/*
 * multitenant._master_keys(): a row for each version that is listed; one without
 * a version if none is.
 */
Datum
mt_master_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MtKeeperStatus status;
	MtDenial	denial;

	InitMaterializedSRF(fcinfo, 0);
	if (!MtKeyPageIsShared())
		(void) load_for_ourselves(&denial);
	MtKeyPageRead(&status);
	for (int i = 0; i < Max(status.count, 1); i++)
	{
		const MtMasterKeyStatus *key = &status.key[i];
		bool		is_listed = i < status.count;
		bool		is_loaded = is_listed && key->id != 0;
		char	   *path;
		char		id[17];
		Datum		values[11] = {0};
		bool		nulls[11] = {false};

		snprintf(id, sizeof(id), "%016llx", (unsigned long long) key->id);
		nulls[0] = !is_listed;
		values[0] = Int32GetDatum(key->version);
		nulls[1] = !is_loaded;
		values[1] = CStringGetTextDatum(id);
		values[2] = BoolGetDatum(is_loaded && i == status.count - 1);
		nulls[3] = !is_loaded;
		values[3] = TimestampTzGetDatum(key->loaded_at);
		values[4] = CStringGetTextDatum(MtKeyProviderName(status.provider));
		values[5] = CStringGetTextDatum(state_names[status.state]);
		nulls[6] = !is_listed || key->error[0] == '\0';
		values[6] = CStringGetTextDatum(key->error);
		nulls[7] = status.next_try == DT_NOEND;
		values[7] = TimestampTzGetDatum(status.next_try);
		values[8] = BoolGetDatum(MtKeyPageIsLocked());
		values[9] = BoolGetDatum(MtMemoryIsHidden());
		path = is_listed && status.provider == MT_KEY_PROVIDER_FILE ?
			MtReplaceVersion(mt_guc_key_file, key->version) : NULL;
		values[10] = BoolGetDatum(path != NULL && MtIsInDataDirectory(path));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* multitenant._reload_master_keys(): asks the keeper and waits for its try. */
Datum
mt_reload_master_keys(PG_FUNCTION_ARGS)
{
	MtKeeperStatus status;
	TimestampTz since = GetCurrentTimestamp();
	uint64		request;

	if (!superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("only a superuser may reload master keys"),
				errhint("Connect as a superuser to manage master keys."));
	if (!MtKeyPageIsShared())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("there is no key keeper"),
				errhint("Put multitenant into shared_preload_libraries and restart the server."));
	while (!MtKeyPageIsServed() && !wait_is_over(since))
		pause_here();
	if (!MtKeyPageIsServed())
		ereport(ERROR,
				errcode(MT_ERRCODE_KEY_UNAVAILABLE),
				errmsg("the key keeper does not run"),
				errhint("Look for its end in the server's log; it is started again by itself."));
	request = MtKeyPageRequest();
	while (MtKeyPageAnswered() < request)
		pause_here();

	MtKeyPageRead(&status);
	for (int i = 0; i < status.count; i++)
		if (status.key[i].error[0] != '\0')
			ereport(ERROR,
					errcode(MT_ERRCODE_KEY_UNAVAILABLE),
					errmsg("version %d of the master key cannot be loaded", status.key[i].version),
					errdetail_internal("%s", status.key[i].error),
					errhint("Mend it; it is tried again by itself. Keys that were loaded stay."));
	PG_RETURN_VOID();
}
