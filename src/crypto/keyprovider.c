/*
 * keyprovider.c
 *	  Loading master keys from where multitenant.key_provider says.
 *
 * Owns the rules of what becomes of a version: a key that was loaded stays until
 * its version is no longer listed, whatever its provider does; it never becomes
 * another key; no two versions have the same.
 */
#include "postgres.h"

#include "base/audit.h"
#include "base/settings.h"
#include "crypto/hsm.h"
#include "crypto/keycommand.h"
#include "crypto/keyfile.h"
#include "crypto/keypage.h"
#include "crypto/keyprovider.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* The setting with the version in it; NULL with the reason. */
static char *
place_of(const char *setting, const char *name, int version, const char **reason)
{
	static char text[128];
	char	   *place;

	if (setting == NULL || setting[0] == '\0')
	{
		snprintf(text, sizeof(text), "multitenant.%s is not set.", name);
		*reason = text;
		return NULL;
	}
	place = MtReplaceVersion(setting, version);
	if (place == NULL)
	{
		snprintf(text, sizeof(text), "multitenant.%s has a %% that is neither %%v nor %%%%.", name);
		*reason = text;
	}
	return place;
}

static bool
load_from_file(int version, MtKeyWork *work, unsigned char *secret, const char **reason)
{
	char	   *path = place_of(mt_guc_key_file, "key_file", version, reason);
	int			length;

	if (path == NULL)
		return false;
	length = MtReadSecretFile(path, work->text, MT_KEY_TEXT_BYTES, reason);
	pfree(path);
	return length >= 0 && MtParseKey(work->text, length, secret, reason);
}

static bool
load_from_command(int version, MtKeyWork *work, unsigned char *secret, const char **reason)
{
	char	   *command = place_of(mt_guc_key_command, "key_command", version, reason);
	int			length;

	if (command == NULL)
		return false;
	length = MtKeyCommandRun(command, mt_guc_key_timeout, work->text,
							 MT_KEY_TEXT_BYTES, reason);
	pfree(command);
	return length >= 0 && MtParseKey(work->text, length, secret, reason);
}

static bool
load_from_hsm(int version, MtKeyWork *work, unsigned char *secret, const char **reason)
{
	char	   *file = place_of(mt_guc_key_file, "key_file", version, reason);
	char	   *label = file == NULL ? NULL :
	place_of(mt_guc_pkcs11_key_label, "pkcs11_key_label", version, reason);

	return file != NULL && label != NULL &&
		MtHsmUnwrap(file, label, mt_guc_key_timeout, work->text, secret, reason);
}

/* One version into *secret, with its id; else the reason. */
static bool
load_version(int version, bool is_keeper, MtKeyWork *work, unsigned char *secret,
			 uint64 *id, const char **reason)
{
	unsigned char kcv[MT_KCV_BYTES];
	bool		is_loaded = false;

	if (mt_guc_key_provider == MT_KEY_PROVIDER_FILE)
		is_loaded = load_from_file(version, work, secret, reason);
	else if (!is_keeper)
		*reason = "This provider needs multitenant in shared_preload_libraries.";
	else if (mt_guc_key_provider == MT_KEY_PROVIDER_COMMAND)
		is_loaded = load_from_command(version, work, secret, reason);
	else
		is_loaded = load_from_hsm(version, work, secret, reason);
	MtWipe(work->text, sizeof(work->text));
	if (is_loaded && MtKeyCheckValue(secret, kcv) != MT_CIPHER_OK)
	{
		*reason = "The cryptographic library failed.";
		is_loaded = false;
	}
	if (!is_loaded)
	{
		MtWipe(secret, MT_SECRET_BYTES);
		return false;
	}
	*id = 0;
	for (int i = 0; i < MT_KCV_BYTES; i++)
		*id = (*id << 8) | kcv[i];
	if (*id == 0)
		*reason = "The key has no id.";
	return *id != 0;
}

static const MtMasterKeyStatus *
find_version(const MtKeeperStatus *status, int version)
{
	for (int i = 0; i < status->count; i++)
		if (status->key[i].version == version)
			return &status->key[i];
	return NULL;
}

/* Loads version number i of the setting, or keeps what was there. */
static void
load_slot(int i, bool all, bool is_keeper, const MtKeeperStatus *before, MtKeyWork *work)
{
	MtMasterKeyStatus *key = &work->status.key[i];
	int			version = mt_key_versions.version[i];
	const MtMasterKeyStatus *old = find_version(before, version);
	const char *reason = NULL;

	memset(key, 0, sizeof(*key));
	key->version = version;
	if (old != NULL)
	{
		*key = *old;
		key->error[0] = '\0';
	}
	if (key->id == 0 || all || old->error[0] != '\0')
	{
		uint64		id = 0;
		bool		is_loaded = load_version(version, is_keeper, work, work->secret[i], &id, &reason);

		/*
		 * Security: a wrong file that is put in the place of a key must not
		 * make everything that the key has wrapped unreadable.
		 */
		if (is_loaded && key->id != 0 && key->id != id)
			reason = "The provider has another key for this version than the one that is loaded.";
		for (int other = 0; is_loaded && other < i; other++)
			if (work->status.key[other].id == id)
				reason = "The provider has the same key for another version.";
		if (reason == NULL && key->id == 0)
		{
			key->id = id;
			key->loaded_at = GetCurrentTimestamp();
		}
	}
	if (reason != NULL)
	{
		MtWipe(work->secret[i], MT_SECRET_BYTES);
		strlcpy(key->error, reason, sizeof(key->error));
	}

	/* What is kept comes from the page, which still has it. */
	if (old != NULL && old->id != 0 && !MtKeyPageCopy(&key->id, work->secret[i]))
		key->id = 0;
}

/* ---- what is told of it ---- */

static void
record(const char *event, const char *outcome, const MtMasterKeyStatus *key,
	   MtKeyProvider provider, const char *reason)
{
	MtAuditEvent audit = {0};
	StringInfoData detail;
	char		object[64];

	initStringInfo(&detail);
	appendStringInfo(&detail, "{\"version\": %d, \"provider\": \"%s\"", key->version,
					 MtKeyProviderName(provider));
	if (key->id != 0)
		appendStringInfo(&detail, ", \"id\": \"%016llx\"", (unsigned long long) key->id);
	if (reason != NULL)
	{
		appendStringInfoString(&detail, ", \"reason\": ");
		escape_json(&detail, reason);
	}
	appendStringInfoChar(&detail, '}');
	snprintf(object, sizeof(object), "master key version %d", key->version);
	audit.event = event;
	audit.source = MT_AUDIT_ENGINE;
	audit.outcome = outcome;
	audit.object = object;
	audit.detail = detail.data;
	MtAuditEmit(&audit);
	pfree(detail.data);
}

static void
record_changes(const MtKeeperStatus *before, const MtKeeperStatus *after)
{
	for (int i = 0; i < before->count; i++)
	{
		const MtMasterKeyStatus *key = &before->key[i];

		if (key->id != 0 && find_version(after, key->version) == NULL)
			record("key.master_remove", "done", key, before->provider, NULL);
	}
	for (int i = 0; i < after->count; i++)
	{
		const MtMasterKeyStatus *key = &after->key[i];
		const MtMasterKeyStatus *old = find_version(before, key->version);

		if (key->id != 0 && (old == NULL || old->id == 0))
			record("key.master_load", "done", key, after->provider, NULL);
		if (key->error[0] != '\0' && (old == NULL || strcmp(old->error, key->error) != 0))
			record("key.master_load", "refused", key, after->provider, key->error);
	}
}

/* A key inside the data directory goes with every base backup. */
static void
warn_of_place(void)
{
	static uint64 seen = 0;
	uint64		now;

	if (mt_guc_key_provider != MT_KEY_PROVIDER_FILE)
		return;
	now = hash_bytes_extended((const unsigned char *) mt_guc_key_file, strlen(mt_guc_key_file), 1);
	for (int i = 0; i < mt_key_versions.count && seen != now; i++)
	{
		char	   *path = MtReplaceVersion(mt_guc_key_file, mt_key_versions.version[i]);

		if (path != NULL && MtIsInDataDirectory(path))
		{
			ereport(WARNING,
					errmsg("the file of master key version %d is inside the data directory",
						   mt_key_versions.version[i]),
					errdetail("Every backup of the data then has the key that opens it."),
					errhint("Move it elsewhere and set multitenant.key_file."));
			seen = now;
		}
	}
	seen = now;
}

bool
MtKeyProviderLoad(bool all, bool is_keeper, TimestampTz next_try)
{
	MtKeyWork  *work = MtKeyPageBegin();
	MtKeeperStatus before = work->status;
	MtKeeperStatus after;

	memset(&work->status, 0, sizeof(work->status));
	work->status.provider = mt_guc_key_provider;
	work->status.next_try = DT_NOEND;
	work->status.state = MT_KEEPER_OFF;
	if (mt_guc_key_provider != MT_KEY_PROVIDER_OFF)
	{
		work->status.state = MT_KEEPER_LOADED;
		work->status.count = mt_key_versions.count;
		for (int i = 0; i < mt_key_versions.count; i++)
		{
			load_slot(i, all, is_keeper, &before, work);
			if (work->status.key[i].error[0] != '\0')
			{
				work->status.state = MT_KEEPER_FAILING;
				work->status.next_try = next_try;
			}
		}
	}
	after = work->status;
	MtKeyPagePublish();

	if (is_keeper)
	{
		record_changes(&before, &after);
		warn_of_place();
	}
	return after.state != MT_KEEPER_FAILING;
}
