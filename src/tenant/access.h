/*
 * access.h
 *	  Profiles of roles: what a session may do, and to whom it is bound.
 */
#ifndef MT_ACCESS_H
#define MT_ACCESS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "tenant/hardening.h"
#include "utils/uuid.h"

/* What a profile permits; a set of bits. */
typedef enum MtCapability
{
	MT_MAY_AUTHENTICATE = 1 << 0,	/* present a credential */
	MT_MAY_NAME_TENANT = 1 << 1,	/* use_tenant() */
	MT_MAY_ENTER_SYSTEM = 1 << 2,	/* system_context() */
	MT_MAY_MANAGE_TENANTS = 1 << 3, /* create, alter, delete, members */
	MT_MAY_SUSPEND = 1 << 4,	/* suspend and resume */
	MT_MAY_SEE_TENANTS = 1 << 5,	/* read the registry */
	MT_MAY_CHANGE_ISOLATION = 1 << 6,	/* labels, unprotect, pause */
	MT_MAY_WRITE_SHARED = 1 << 7,	/* write shared tables */
	MT_MAY_BYPASS_READ = 1 << 8,	/* read past row security */
	MT_MAY_BYPASS_WRITE = 1 << 9,	/* write past row security */
	MT_MAY_READ_AUDIT = 1 << 10,	/* audit of every tenant */
	MT_MAY_KEEP_SESSION = 1 << 11,	/* session-scoped context */
	MT_IS_SUPERUSER = 1 << 12,
	MT_MAY_LINT = 1 << 13,		/* lint(): how the database is guarded */
	MT_IS_LEGACY = 1 << 14		/* an application not adapted yet, unless
								 * superuser */
} MtCapability;

/* The tenant a session's role is bound to. */
typedef struct MtBinding
{
	bool		is_bound;
	pg_uuid_t	tenant;
} MtBinding;

extern void MtAccessInit(void);

/*
 * What this session may do: the intersection of the session user's and the
 * outer (SET ROLE) user's profile. Never a definer's. Needs MtIsActive().
 */
extern uint32 MtAccessCapabilities(void);

/* All of the bits? */
extern bool MtAccessHas(uint32 capability);

/*
 * Is this a superuser's connection that SET SESSION AUTHORIZATION has lent to
 * another role, as a restore does? It can become superuser again at any time.
 */
extern bool MtAccessIsLent(void);

/* May this session do what application roles are denied? Needs MtIsActive(). */
extern bool MtAccessAllows(MtAllowance allowance);

/* The binding of the session user. */
extern void MtAccessBinding(MtBinding *out);

/* Is the role a superuser, or has it BYPASSRLS? */
extern bool MtAccessBypassesRowSecurity(Oid role);

/* Name of the session's weakest profile, for messages. */
extern const char *MtAccessProfileName(void);

/* Raises 42501 naming the profiles that would do. */
extern void MtAccessRequire(uint32 capability, const char *what);

/*
 * The same of a superuser's session whose current user is one, too: a definer
 * function that a superuser calls must not ask in his name.
 */
extern void MtAccessRequireSuperuser(const char *what);

/* Changes whenever a profile may have changed. */
extern uint64 MtAccessGeneration(void);

#endif							/* MT_ACCESS_H */
