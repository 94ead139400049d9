/*
 * settings.h
 *	  The settings an administrator can see (multitenant.*), declared once.
 */
#ifndef MT_SETTINGS_H
#define MT_SETTINGS_H

#include "postgres.h"

typedef enum MtSessionHygiene
{
	MT_HYGIENE_OFF,
	MT_HYGIENE_CLEAN,
	MT_HYGIENE_STRICT
} MtSessionHygiene;

typedef enum MtSuperuserAccess
{
	MT_SUPERUSER_ALLOW,
	MT_SUPERUSER_AUDIT,
	MT_SUPERUSER_DENY
} MtSuperuserAccess;

/* May plans use what tells of other tenants' rows? */
typedef enum MtExposure
{
	MT_EXPOSURE_ALLOW,
	MT_EXPOSURE_HIDE
} MtExposure;

/* Where master keys come from. */
typedef enum MtKeyProvider
{
	MT_KEY_PROVIDER_OFF,
	MT_KEY_PROVIDER_FILE,
	MT_KEY_PROVIDER_COMMAND,
	MT_KEY_PROVIDER_PKCS11
} MtKeyProvider;

/* multitenant.key_versions, taken apart; the last one is the current one. */
#define MT_KEY_VERSIONS_MAX 4

typedef struct MtKeyVersions
{
	int			count;
	int			version[MT_KEY_VERSIONS_MAX];
} MtKeyVersions;

extern MtKeyVersions mt_key_versions;

extern char *mt_guc_audience;
extern int	mt_guc_clock_leeway;
extern bool mt_guc_fold_plans;
extern bool mt_guc_guard_enabled;
extern bool mt_guc_hide_memory;
extern int	mt_guc_index_exposure;
extern int	mt_guc_key_cache_lifetime;
extern int	mt_guc_key_cache_size;
extern char *mt_guc_key_command;
extern char *mt_guc_key_file;
extern int	mt_guc_key_provider;
extern int	mt_guc_key_timeout;
extern char *mt_guc_key_versions;
extern bool mt_guc_lift_conditions;
extern int	mt_guc_maximum_inline_rows;
extern int	mt_guc_maximum_supervision;
extern int	mt_guc_permission_cache_size;
extern char *mt_guc_pkcs11_key_label;
extern char *mt_guc_pkcs11_module;
extern char *mt_guc_pkcs11_pin_file;
extern char *mt_guc_pkcs11_token_label;
extern bool mt_guc_require_locked_memory;
extern bool mt_guc_require_membership;
extern int	mt_guc_session_hygiene;
extern char *mt_guc_share_command;
extern int	mt_guc_statistics_exposure;
extern int	mt_guc_superuser_access;
extern char *mt_guc_system_reason;
extern bool mt_guc_test_database;
extern char *mt_guc_token;

extern void MtSettingsInit(void);

/* What a setting of the kind "enum" is called in postgresql.conf. */
extern const char *MtKeyProviderName(MtKeyProvider provider);

/* Is told when index_exposure or statistics_exposure hides something from now on; must not fail. */
extern void MtSettingsOnHiding(void (*listener) (void));

#endif							/* MT_SETTINGS_H */
