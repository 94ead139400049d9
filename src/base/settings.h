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

extern char *mt_guc_audience;
extern int	mt_guc_clock_leeway;
extern bool mt_guc_fold_plans;
extern bool mt_guc_guard_enabled;
extern int	mt_guc_index_exposure;
extern int	mt_guc_maximum_inline_rows;
extern int	mt_guc_session_hygiene;
extern int	mt_guc_statistics_exposure;
extern int	mt_guc_superuser_access;
extern char *mt_guc_system_reason;
extern bool mt_guc_test_database;
extern char *mt_guc_token;

extern void MtSettingsInit(void);

#endif							/* MT_SETTINGS_H */
