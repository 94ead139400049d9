/*
 * access.c
 *	  Profiles of roles, read from multitenant.access into a small cache.
 *
 * Owns the table of profiles and their capabilities. A role that is not
 * registered is an application. Invariant: capabilities are decided by the
 * session user and the outer user alone.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/invalidation.h"
#include "base/tablescan.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tenant/access.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mt_require);
PG_FUNCTION_INFO_V1(mt_has_capability);
PG_FUNCTION_INFO_V1(mt_allows);

/* Columns of multitenant.access that C reads. */
enum
{
	ACCESS_ROLE = 1,
	ACCESS_PROFILE,
	ACCESS_TENANT_ID,
	ACCESS_SESSION_CONTEXT,
	ACCESS_EXPIRES_AT,
	ACCESS_ALLOWED = 9
};

typedef struct Profile
{
	const char *name;
	uint32		capabilities;
	uint32		allowances;		/* of hardening.h; a row can add to them */
} Profile;

/* Who manages tenants but does not look into the server. */
#define ALLOW_NO_SESSIONS (MT_ALLOW_ALL & ~(MT_ALLOW_ACTIVITY | MT_ALLOW_SIGNALS | MT_ALLOW_STATISTICS))

static const Profile profiles[] = {
	{"application", MT_MAY_AUTHENTICATE, 0},
	{"trusted_application", MT_MAY_AUTHENTICATE | MT_MAY_NAME_TENANT, 0},
	{"tenant", MT_MAY_AUTHENTICATE, 0},
	{"provisioner", MT_MAY_MANAGE_TENANTS | MT_MAY_SUSPEND | MT_MAY_SEE_TENANTS,
	ALLOW_NO_SESSIONS},
	{"operator", MT_MAY_SUSPEND | MT_MAY_SEE_TENANTS | MT_MAY_LINT, MT_ALLOW_ALL},
	{"auditor", MT_MAY_READ_AUDIT | MT_MAY_SEE_TENANTS | MT_MAY_LINT, ALLOW_NO_SESSIONS},
	{"migrator", MT_MAY_AUTHENTICATE | MT_MAY_NAME_TENANT | MT_MAY_ENTER_SYSTEM |
		MT_MAY_SEE_TENANTS | MT_MAY_CHANGE_ISOLATION | MT_MAY_WRITE_SHARED | MT_MAY_LINT,
	MT_ALLOW_ALL},
	{"bypass", MT_MAY_ENTER_SYSTEM | MT_MAY_SEE_TENANTS | MT_MAY_WRITE_SHARED |
	MT_MAY_BYPASS_READ | MT_MAY_BYPASS_WRITE, MT_ALLOW_ALL},
	{"bypass_read", MT_MAY_ENTER_SYSTEM | MT_MAY_SEE_TENANTS |
	MT_MAY_BYPASS_READ, MT_ALLOW_ALL & ~MT_ALLOW_TRUNCATE},
	/* until a date: grant_access() sees to that */
	{"legacy", MT_MAY_WRITE_SHARED | MT_MAY_BYPASS_READ | MT_MAY_BYPASS_WRITE | MT_IS_LEGACY,
	MT_ALLOW_ALL},
};

/* Everything, except what is granted to a role by name. */
static const Profile superuser_profile = {
	"superuser", ~(uint32) MT_MAY_KEEP_SESSION, MT_ALLOW_ALL
};

/* Names that _require() and _has() take. */
static const struct
{
	const char *name;
	uint32		capability;
}			capability_names[] = {
	{"authenticate", MT_MAY_AUTHENTICATE},
	{"name_tenant", MT_MAY_NAME_TENANT},
	{"system", MT_MAY_ENTER_SYSTEM},
	{"manage_tenants", MT_MAY_MANAGE_TENANTS},
	{"suspend", MT_MAY_SUSPEND},
	{"see_tenants", MT_MAY_SEE_TENANTS},
	{"isolation", MT_MAY_CHANGE_ISOLATION},
	{"audit", MT_MAY_READ_AUDIT},
	{"lint", MT_MAY_LINT},
	{"write_shared", MT_MAY_WRITE_SHARED},
	{"bypass_read", MT_MAY_BYPASS_READ},
	{"superuser", MT_IS_SUPERUSER},
};

typedef struct RoleAccess
{
	Oid			role;			/* the hash key */
	const char *profile;		/* a constant above */
	uint32		capabilities;
	bool		bypasses_row_security;	/* an attribute of the role itself */
	uint32		allowances;
	MtBinding	binding;
	TimestampTz expires_at;		/* DT_NOEND: never */
} RoleAccess;

static MemoryContext cache_context = NULL;
static HTAB *cache = NULL;
static uint64 cache_generation = 0;
static MT_HOT uint64 generation = 1;

/* Entries found lately, by role: a session asks about one or two. */
#define RECENT_LIMIT 8
static const RoleAccess *recent[RECENT_LIMIT];

static void
access_changed(void)
{
	generation++;
}

void
MtAccessInit(void)
{
	MtExtensionOnTable(MT_TABLE_ACCESS, access_changed);
	MtInvalidationOnCatalog(MT_CATALOG_ROLES, access_changed);
}

uint64
MtAccessGeneration(void)
{
	return generation;
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	/* Roles are few; a flood of them just empties the cache. */
	if (cache != NULL && cache_generation == generation &&
		hash_get_num_entries(cache) < 1024)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext,
											  "multitenant access",
											  ALLOCSET_SMALL_SIZES);
	cache = NULL;
	memset(recent, 0, sizeof(recent));
	MemoryContextReset(cache_context);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RoleAccess);
	control.hcxt = cache_context;
	cache = hash_create("multitenant access", 16, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache_generation = generation;
}

/*
 * Security: a profile name this library does not know (a newer SQL version, a
 * row edited by hand) grants nothing at all.
 */
static void
apply_profile(RoleAccess *access, const char *name)
{
	access->profile = "unknown";
	access->capabilities = 0;
	access->allowances = 0;
	for (size_t i = 0; i < lengthof(profiles); i++)
		if (strcmp(profiles[i].name, name) == 0)
		{
			access->profile = profiles[i].name;
			access->capabilities = profiles[i].capabilities;
			access->allowances = profiles[i].allowances;
		}
}

/* A name that this library does not know allows nothing. */
static uint32
allowances_from_names(ArrayType *names)
{
	uint32		allowances = 0;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			allowances |= MtHardeningByName(TextDatumGetCString(elements[i]));
	return allowances;
}

static void
read_access(HeapTuple tuple, TupleDesc desc, void *result)
{
	RoleAccess *access = (RoleAccess *) result;
	bool		is_null;
	Datum		value;
	char	   *profile = MtColumnText(tuple, desc, ACCESS_PROFILE);

	apply_profile(access, profile);
	pfree(profile);

	value = heap_getattr(tuple, ACCESS_TENANT_ID, desc, &is_null);
	if (!is_null)
	{
		access->binding.is_bound = true;
		access->binding.tenant = *DatumGetUUIDP(value);
	}
	value = heap_getattr(tuple, ACCESS_SESSION_CONTEXT, desc, &is_null);
	if (!is_null && DatumGetBool(value))
		access->capabilities |= MT_MAY_KEEP_SESSION;
	value = heap_getattr(tuple, ACCESS_EXPIRES_AT, desc, &is_null);
	access->expires_at = is_null ? DT_NOEND : DatumGetTimestampTz(value);
	/* The table of an older version of the extension has no such column. */
	is_null = desc->natts < ACCESS_ALLOWED;
	if (!is_null)
		value = heap_getattr(tuple, ACCESS_ALLOWED, desc, &is_null);
	if (!is_null)
		access->allowances |= allowances_from_names(DatumGetArrayTypeP(value));
}

/* Reads what is granted to a role; valid until the next lookup. */
static void
look_up(Oid role, RoleAccess *access)
{
	NameData	name;
	char	   *role_name;
	int			column = ACCESS_ROLE;
	Oid			equality = F_NAMEEQ;
	Datum		key;

	memset(access, 0, sizeof(*access));
	access->role = role;
	access->expires_at = DT_NOEND;
	access->bypasses_row_security = has_bypassrls_privilege(role);
	if (superuser_arg(role))
	{
		access->profile = superuser_profile.name;
		access->capabilities = superuser_profile.capabilities;
		access->allowances = superuser_profile.allowances;
		return;
	}
	apply_profile(access, "application");

	role_name = GetUserNameFromId(role, true);
	if (role_name == NULL)
	{
		access->capabilities = 0;
		access->allowances = 0;
		return;
	}
	namestrcpy(&name, role_name);
	key = NameGetDatum(&name);
	MtTableScan(MT_TABLE_ACCESS, "access_pkey", 1, &column, &equality, &key,
				read_access, access);
}

/* The entry of the cache, or what could not be kept in it. */
static const RoleAccess *
find_or_look_up(Oid role)
{
	static RoleAccess unstable;
	RoleAccess	found;
	RoleAccess *entry;
	uint64		before;

	prepare_cache();
	entry = hash_search(cache, &role, HASH_FIND, NULL);
	if (entry == NULL)
	{
		before = generation;
		look_up(role, &found);
		prepare_cache();
		if (before != generation)
		{
			unstable = found;
			return &unstable;
		}
		entry = hash_search(cache, &role, HASH_ENTER, NULL);
		*entry = found;
	}
	recent[role % RECENT_LIMIT] = entry;
	return entry;
}

/* Valid until the next call. */
static const RoleAccess *
role_access(Oid role)
{
	static RoleAccess expired;
	const RoleAccess *access = recent[role % RECENT_LIMIT];

	if (access == NULL || access->role != role || cache_generation != generation)
		access = find_or_look_up(role);

	/* Security: what has run out grants nothing, not the default profile. */
	if (access->expires_at != DT_NOEND &&
		access->expires_at <= GetCurrentStatementStartTimestamp())
	{
		expired = *access;
		expired.capabilities = 0;
		expired.allowances = 0;
		expired.binding.is_bound = false;
		return &expired;
	}
	return access;
}

uint32
MtAccessCapabilities(void)
{
	Oid			session = GetSessionUserId();
	Oid			outer = GetOuterUserId();
	uint32		capabilities = role_access(session)->capabilities;

	if (outer != session)
		capabilities &= role_access(outer)->capabilities;

	/*
	 * Security: maintenance by a superuser, or by autovacuum, runs functions
	 * of index expressions as the table's owner; it lends them nothing.
	 */
	if (InSecurityRestrictedOperation())
		capabilities &= role_access(GetUserId())->capabilities;
	return capabilities;
}

/*
 * Security: as capabilities, so that what a definer function does is denied to
 * the session that calls it.
 */
bool
MtAccessAllows(MtAllowance allowance)
{
	Oid			session = GetSessionUserId();
	Oid			outer = GetOuterUserId();
	uint32		allowances = role_access(session)->allowances;

	if (outer != session)
		allowances &= role_access(outer)->allowances;
	if (InSecurityRestrictedOperation())
		allowances &= role_access(GetUserId())->allowances;
	return (allowances & allowance) != 0;
}

bool
MtAccessHas(uint32 capability)
{
	return MtIsActive() && (MtAccessCapabilities() & capability) == capability;
}

bool
MtAccessIsLent(void)
{
	return GetAuthenticatedUserId() != GetSessionUserId() &&
		superuser_arg(GetAuthenticatedUserId());
}

bool
MtAccessBypassesRowSecurity(Oid role)
{
	return role_access(role)->bypasses_row_security;
}

/*
 * Security: SET ROLE to a bound role lends its binding to nobody; the outer
 * user can only fail to be the session user, never choose a tenant.
 */
void
MtAccessBinding(MtBinding *out)
{
	*out = role_access(GetSessionUserId())->binding;
}

const char *
MtAccessProfileName(void)
{
	const RoleAccess *session = role_access(GetSessionUserId());

	return (session->capabilities & MT_IS_SUPERUSER) ?
		role_access(GetOuterUserId())->profile : session->profile;
}

void
MtAccessRequire(uint32 capability, const char *what)
{
	if (MtAccessHas(capability))
		return;
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied for %s", what),
			errdetail("The profile of this session does not permit it; "
					  "it is what the session user and the current role have in common."),
			errhint("A superuser can give a role another profile with multitenant.grant_access()."));
}

void
MtAccessRequireSuperuser(const char *what)
{
	MtAccessRequire(MT_IS_SUPERUSER, what);
	if (!superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for %s", what),
				errhint("Call it as a superuser, not inside a function of somebody else."));
}

static uint32
capability_from_name(const char *name)
{
	for (size_t i = 0; i < lengthof(capability_names); i++)
		if (strcmp(capability_names[i].name, name) == 0)
			return capability_names[i].capability;
	elog(ERROR, "unknown capability \"%s\"", name);
}

/* multitenant._require(capability text, what text) */
Datum
mt_require(PG_FUNCTION_ARGS)
{
	MtAccessRequire(capability_from_name(text_to_cstring(PG_GETARG_TEXT_PP(0))),
					text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}

/* multitenant._has(capability text) */
Datum
mt_has_capability(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(MtAccessHas(capability_from_name(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/*
 * multitenant._allows(role name, hardening text). Of other roles than its own a
 * session learns this only if it may read the audit.
 */
Datum
mt_allows(PG_FUNCTION_ARGS)
{
	Oid			role = get_role_oid(NameStr(*PG_GETARG_NAME(0)), false);
	uint32		allowance = MtHardeningByName(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (!MtIsActive())
		PG_RETURN_NULL();
	if (role != GetSessionUserId())
		MtAccessRequire(MT_MAY_READ_AUDIT, "asking about another role");
	PG_RETURN_BOOL((role_access(role)->allowances & allowance) != 0);
}
