/*
 * rights.c
 *	  What a principal may do: the cache of compiled rights, and questions to them.
 *
 * Owns the cache. Invariants: rights are used only if the versions of their tenant and
 * of no tenant are those that they were compiled under, or if no change has been heard
 * of since that was seen; what is read between two looks at the versions that are the
 * same is as good as read at once. An invalidation callback only counts; memory goes
 * in MtRightsOfContext(), MtRightsOfMember(), MtRightsOfSystem(), MtRightsStamp() and
 * MtRightsCheck() alone. Where assertions are on, each of them spoils what the one
 * before has returned.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/extension.h"
#include "base/moment.h"
#include "base/settings.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "rbac/assignments.h"
#include "rbac/catalogue.h"
#include "rbac/compiling.h"
#include "rbac/permissionset.h"
#include "rbac/rights.h"
#include "tenant/membership.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A tenant of which somebody's rights are here. */
typedef struct Tenant
{
	MtTenantRights shared;		/* first: its tenant is the key */
	int64		version;
	uint64		checked;		/* changes when the version was seen last; 0:
								 * never */
	Size		size;
	dlist_head	entries;
} Tenant;

typedef struct Entry
{
	MtRights   *rights;
	Tenant	   *tenant;
	MemoryContext context;
	uint64		unversioned;	/* unversioned_changes before they were read */
	Size		size;
	dlist_node	used;			/* the most recently used first */
	dlist_node	its;			/* of the tenant */
} Entry;

/* Both tables are keyed by what a pointer points to, and so hold nothing twice. */
typedef struct EntryPlace
{
	const MtRightsOwner *owner;
	Entry	   *entry;
} EntryPlace;

typedef struct TenantPlace
{
	pg_uuid_t	id;
	Tenant	   *tenant;
} TenantPlace;

static MemoryContext cache_context = NULL;
static HTAB *entries = NULL;
static HTAB *tenants = NULL;
static dlist_head entries_used = DLIST_STATIC_INIT(entries_used);
static Size cache_size = 0;

/*
 * What invalidations say. Who is an operator, a member or disabled, and break-glass that is
 * closed, renews no version: nobody waits for the turn with which versions are renewed.
 */
static uint64 changes = 1;
static uint64 unversioned_changes = 1;

/* What is in the catalogue and the tables of no tenant. */
static const pg_uuid_t nil = {{0}};
static int64 common_version = 0;
static uint64 common_checked = 0;
static Oid	version_table = InvalidOid;

/* The answer of MtRightsOfContext() as long as nothing changes. */
static const MtRights nobody = {.from = DT_NOBEGIN,.until = DT_NOEND};
static const MtRights *current = NULL;
static uint64 current_changes = 0;
static uint64 stamp = 1;

static void
version_changed(void)
{
	changes++;
}

static void
unversioned_changed(void)
{
	unversioned_changes++;
	changes++;
}

void
MtRightsInit(void)
{
	static const MtTable unversioned[] = {
		MT_TABLE_PRINCIPAL, MT_TABLE_MEMBER, MT_TABLE_BREAK_GLASS, MT_TABLE_OPERATOR, MT_TABLE_MASTER_TENANT
	};

	MtExtensionOnTable(MT_TABLE_RIGHTS_VERSION, version_changed);
	for (int i = 0; i < lengthof(unversioned); i++)
		MtExtensionOnTable(unversioned[i], unversioned_changed);
}

/* ---- the cache ---- */

static uint32
hash_owner(const void *key, Size keysize)
{
	const MtRightsOwner *owner = *(const MtRightsOwner *const *) key;

	return hash_combine(hash_combine(hash_bytes(owner->tenant.data, UUID_LEN),
									 hash_bytes((const unsigned char *) owner->principal, strlen(owner->principal))),
						(uint32) owner->kind);
}

static int
compare_owners(const void *a, const void *b, Size keysize)
{
	const MtRightsOwner *one = *(const MtRightsOwner *const *) a;
	const MtRightsOwner *other = *(const MtRightsOwner *const *) b;

	return one->kind != other->kind || memcmp(&one->tenant, &other->tenant, UUID_LEN) != 0 ||
		strcmp(one->principal, other->principal) != 0;
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	if (entries != NULL)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext, "multitenant rights",
											  ALLOCSET_DEFAULT_SIZES);
	control.hcxt = cache_context;
	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = sizeof(TenantPlace);
	if (tenants == NULL)
		tenants = hash_create("multitenant tenants with rights", 16, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = sizeof(MtRightsOwner *);
	control.entrysize = sizeof(EntryPlace);
	control.hash = hash_owner;
	control.match = compare_owners;
	entries = hash_create("multitenant principals with rights", 64, &control,
						  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static void
remove_entry(Entry *entry)
{
	const MtRightsOwner *owner = &entry->rights->owner;

	/* What comes next may have the same address. */
	if (entry->rights == current)
	{
		current = NULL;
		stamp++;
	}
	(void) hash_search(entries, &owner, HASH_REMOVE, NULL);
	dlist_delete(&entry->used);
	dlist_delete(&entry->its);
	cache_size -= entry->size;
	MemoryContextDelete(entry->context);
}

static void
remove_tenant(Tenant *tenant)
{
	while (!dlist_is_empty(&tenant->entries))
		remove_entry(dlist_container(Entry, its, dlist_head_node(&tenant->entries)));
	(void) hash_search(tenants, &tenant->shared.tenant, HASH_REMOVE, NULL);
	cache_size -= tenant->size;
	MemoryContextDelete(tenant->shared.context);
}

static void
forget_everything(void)
{
	HASH_SEQ_STATUS sequence;
	TenantPlace *place;

	hash_seq_init(&sequence, tenants);
	while ((place = hash_seq_search(&sequence)) != NULL)
		remove_tenant(place->tenant);
	Assert(dlist_is_empty(&entries_used) && cache_size == 0);
}

static Tenant *
add_tenant(const pg_uuid_t *id)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "multitenant rights of tenant",
												  ALLOCSET_SMALL_SIZES);
	Tenant	   *tenant = MemoryContextAllocZero(context, sizeof(Tenant));
	TenantPlace *place;

	tenant->shared.context = context;
	tenant->shared.tenant = *id;
	tenant->shared.roles = MtRoleBookMake(context, id);
	dlist_init(&tenant->entries);
	place = hash_search(tenants, id, HASH_ENTER, NULL);
	place->tenant = tenant;
	MemoryContextSetParent(context, cache_context);
	return tenant;
}

/* Counts what the tenant takes now: roles and the tree come bit by bit. */
static void
measure(Tenant *tenant)
{
	cache_size -= tenant->size;
	tenant->size = MemoryContextMemAllocated(tenant->shared.context, true);
	cache_size += tenant->size;
}

/* Tenants of which nobody's rights are here: what was to be compiled failed, or is over. */
static void
remove_empty_tenants(void)
{
	HASH_SEQ_STATUS sequence;
	TenantPlace *place;

	hash_seq_init(&sequence, tenants);
	while ((place = hash_seq_search(&sequence)) != NULL)
		if (dlist_is_empty(&place->tenant->entries))
			remove_tenant(place->tenant);
}

/*
 * Makes room, the least recently used first; neither what the current context has nor
 * the entry given.
 */
static void
evict(const Entry *kept)
{
	Size		limit = (Size) mt_guc_permission_cache_size * 1024;
	dlist_node *node = dlist_is_empty(&entries_used) ? NULL : dlist_tail_node(&entries_used);

	if (cache_size > limit)
		remove_empty_tenants();
	while (cache_size > limit && node != NULL)
	{
		Entry	   *entry = dlist_container(Entry, used, node);
		Tenant	   *tenant = entry->tenant;

		node = dlist_has_prev(&entries_used, node) ? dlist_prev_node(&entries_used, node) : NULL;
		if (entry == kept || entry->rights == current)
			continue;
		remove_entry(entry);
		if (dlist_is_empty(&tenant->entries))
			remove_tenant(tenant);
	}
}

/* ---- staying right ---- */

/*
 * Brings up to date what concerns all tenants. Security: changes is read before the
 * tables are, so that what changes meanwhile is looked at again.
 */
static void
check_common(void)
{
	uint64		seen = changes;
	int64		version;

	prepare_cache();
	if (common_checked == seen && MtCatalogueIsRead())
		return;
	version = MtAssignmentsVersion(&nil);

	/*
	 * A version counts for the table that it was read from: CREATE EXTENSION
	 * begins with 1 again.
	 */
	if (version != common_version || version_table != MtTableOid(MT_TABLE_RIGHTS_VERSION) ||
		!MtCatalogueIsRead())
	{
		version_table = InvalidOid;
		forget_everything();
		if (MtCatalogueIsWorn())
			MtCatalogueForget();
		do
		{
			CHECK_FOR_INTERRUPTS();
			common_version = version;
			MtCatalogueRead();
			version = MtAssignmentsVersion(&nil);
		} while (version != common_version);
		version_table = MtTableOid(MT_TABLE_RIGHTS_VERSION);
		stamp++;
	}
	common_checked = seen;
}

/* What is known of the tenant under its version, which is maybe nothing yet. */
static Tenant *
check_tenant(const pg_uuid_t *id)
{
	uint64		seen = changes;
	TenantPlace *place = hash_search(tenants, id, HASH_FIND, NULL);
	Tenant	   *tenant;
	int64		version;

	if (place != NULL && place->tenant->checked == seen)
		return place->tenant;
	version = MtAssignmentsVersion(id);
	if (place != NULL && place->tenant->version == version)
	{
		place->tenant->checked = seen;
		return place->tenant;
	}
	if (place != NULL)
		remove_tenant(place->tenant);
	tenant = add_tenant(id);
	tenant->version = version;
	tenant->checked = seen;
	return tenant;
}

/* Security: by the clock, so that no message that goes on keeps what has ended. */
static inline bool
is_in_time(const MtRights *rights)
{
	TimestampTz now;

	if (likely(rights->until == DT_NOEND))
		return true;
	now = MtMoment();
	return now >= rights->from && now < rights->until &&
		(rights->message == 0 || rights->message == GetCurrentStatementStartTimestamp());
}

static Entry *
compile(const MtRightsOwner *owner, Tenant *tenant)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "multitenant rights of principal",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	Entry	   *entry = palloc0(sizeof(Entry));
	const MtRightsOwner *key;
	EntryPlace *place;

	entry->unversioned = unversioned_changes;
	entry->context = context;
	entry->tenant = tenant;
	entry->rights = MtRightsCompile(owner, &tenant->shared);
	entry->size = MemoryContextMemAllocated(context, true);
	MemoryContextSwitchTo(before);

	key = &entry->rights->owner;
	place = hash_search(entries, &key, HASH_ENTER, NULL);
	place->entry = entry;
	MemoryContextSetParent(context, cache_context);
	dlist_push_head(&entries_used, &entry->used);
	dlist_push_head(&tenant->entries, &entry->its);
	cache_size += entry->size;
	return entry;
}

/*
 * Is it still true after what renewed no version? Security: what is unversioned is read
 * before the tables are.
 */
static bool
is_standing(Entry *entry)
{
	uint64		seen = unversioned_changes;
	const MtRights *rights = entry->rights;

	if (entry->unversioned == seen)
		return true;
	if (rights->owner.kind != MT_KIND_TENANT || rights->is_break_glass ||
		MtMembershipIsActive(&rights->owner.tenant, rights->owner.principal, NULL) != rights->is_member)
		return false;
	entry->unversioned = seen;
	return true;
}

/* The entry if it is here and still true; what is not goes. */
static Entry *
find_entry(const MtRightsOwner *owner)
{
	EntryPlace *place = hash_search(entries, &owner, HASH_FIND, NULL);

	if (place == NULL)
		return NULL;
	if (!is_in_time(place->entry->rights) || !is_standing(place->entry))
	{
		remove_entry(place->entry);
		return NULL;
	}
	dlist_move_head(&entries_used, &place->entry->used);
	return place->entry;
}

/*
 * The owner's rights, as they stand when this is called. What is compiled counts only
 * if both versions are the same afterwards: nothing was committed meanwhile then.
 */
static Entry *
look_up(const MtRightsOwner *owner)
{
	for (;;)
	{
		uint64		seen;
		Tenant	   *tenant;
		Entry	   *entry;

		CHECK_FOR_INTERRUPTS();
		check_common();
		tenant = check_tenant(&owner->tenant);
		entry = find_entry(owner);
		if (entry != NULL)
			return entry;

		seen = tenant->checked;
		tenant->checked = 0;
		entry = compile(owner, tenant);
		measure(tenant);
		if (MtAssignmentsVersion(&nil) == common_version &&
			MtAssignmentsVersion(&owner->tenant) == tenant->version)
		{
			tenant->checked = seen;
			evict(entry);
			return entry;
		}
		common_checked = 0;
		remove_tenant(tenant);
	}
}

/* ---- whose rights ---- */

/* Who the current context is; false: nobody who could have rights in a tenant. */
static bool
owner_of_context(MtRightsOwner *owner)
{
	const MtContext *context = MtContextGet();

	if (context->state != MT_STATE_TENANT || context->kind == MT_KIND_SYSTEM ||
		context->principal[0] == '\0')
		return false;
	owner->kind = context->kind;
	owner->tenant = context->tenant;
	owner->principal = context->principal;
	return true;
}

/* Would MtRightsOfContext() have the answer that it had? */
static inline bool
is_current(void)
{
	const MtContext *context = MtContextGet();

	if (current == NULL || current_changes != changes)
		return false;
	if (current == &nobody)
		return context->state != MT_STATE_TENANT || context->principal[0] == '\0' ||
			context->kind == MT_KIND_SYSTEM;
	return context->state == MT_STATE_TENANT && context->kind == current->owner.kind &&
		memcmp(&context->tenant, &current->owner.tenant, UUID_LEN) == 0 &&
		strcmp(context->principal, current->owner.principal) == 0 &&
		is_in_time(current);
}

/* Finds the answer anew. What changes meanwhile, current_changes does not say. */
static void
find_once(void)
{
	MtRightsOwner owner;
	const MtRights *found = &nobody;
	uint64		seen = changes;

	if (!MtIsActive())
		seen = 0;
	else if (owner_of_context(&owner))
		found = look_up(&owner)->rights;
	else
		check_common();

	if (found != current)
		stamp++;
	current = found;
	current_changes = seen;
}

/* Finds it until nothing has changed meanwhile, so that who asks again gets the same. */
static pg_noinline void
find_current(void)
{
	do
	{
		CHECK_FOR_INTERRUPTS();
		find_once();
	} while (current_changes != changes && current_changes != 0);
}

/*
 * What is returned is lent. Where assertions are on it is a copy, whose pointers lead
 * nowhere from the next call on: whoever keeps it is found at once, and not only when
 * somebody else changes rights at the wrong moment.
 */
#ifdef USE_ASSERT_CHECKING
static MtRights lent[16];
static int	lent_last = 0;

static void
take_back(void)
{
	memset(&lent[lent_last], 0x7f, sizeof(MtRights));
}

static const MtRights *
lend(const MtRights *rights)
{
	lent_last = (lent_last + 1) % lengthof(lent);
	lent[lent_last] = *rights;
	return &lent[lent_last];
}
#else
#define take_back() ((void) 0)
#define lend(rights) (rights)
#endif

const MtRights *
MtRightsOfContext(uint64 *its_stamp)
{
	take_back();
	if (unlikely(!is_current()))
		find_current();
	if (its_stamp != NULL)
		*its_stamp = stamp;
	return lend(current);
}

uint64
MtRightsStamp(void)
{
	take_back();
	if (unlikely(!is_current()))
		find_current();
	return stamp;
}

/* Security: who cannot be a principal is not remembered, however often he is asked for. */
const MtRights *
MtRightsOfMember(const pg_uuid_t *tenant, const char *principal)
{
	MtRightsOwner owner = {.kind = MT_KIND_TENANT,.tenant = *tenant,.principal = principal};

	take_back();
	if (!MtIsActive())
		return lend(&nobody);
	if (strlen(principal) <= MT_PRINCIPAL_MAX)
		return lend(look_up(&owner)->rights);
	check_common();
	return lend(&nobody);
}

const MtRights *
MtRightsOfSystem(void)
{
	MtRightsOwner owner = {.kind = MT_KIND_SYSTEM,.tenant = nil,.principal = MtContextGet()->principal};

	take_back();
	if (!MtIsActive())
		return lend(&nobody);
	if (owner.principal[0] != '\0')
		return lend(look_up(&owner)->rights);
	check_common();
	return lend(&nobody);
}

/* ---- questions ---- */

int
MtPermissionNumber(const char *name)
{
	return MtCatalogueIsRead() ? MtCatalogueNumber(name, strlen(name)) : -1;
}

bool
MtRightsHave(const MtRights *rights, int permission)
{
	return MtSetHas(rights->whole, rights->words, permission);
}

bool
MtRightsHaveSomewhere(const MtRights *rights, int permission)
{
	return MtSetHas(rights->somewhere, rights->words, permission);
}

/* Is it held in the node, apart from the whole tenant? */
static bool
have_in_node(const MtRights *rights, int permission, int node)
{
	int32		set = node < 0 ? 0 : rights->set_of_node[node];

	return set != 0 &&
		MtSetHas(&rights->sets[(Size) set * rights->words], rights->words, permission);
}

bool
MtRightsHaveIn(const MtRights *rights, int permission, const char *scope, size_t length)
{
	return MtRightsHave(rights, permission) ||
		(rights->tree != NULL &&
		 have_in_node(rights, permission, MtScopeTreeFind(rights->tree, scope, length)));
}

bool
MtRightsHaveInUuid(const MtRights *rights, int permission, const pg_uuid_t *scope)
{
	return MtRightsHave(rights, permission) ||
		(rights->tree != NULL &&
		 have_in_node(rights, permission, MtScopeTreeFindUuid(rights->tree, scope)));
}

bool
MtRightsHaveInInt8(const MtRights *rights, int permission, int64 scope)
{
	return MtRightsHave(rights, permission) ||
		(rights->tree != NULL &&
		 have_in_node(rights, permission, MtScopeTreeFindInt8(rights->tree, scope)));
}

bool
MtRightsCheck(const char *permission, bool is_anywhere, uint64 *its_stamp, MtDenial *denial)
{
	const MtRights *rights = MtRightsOfContext(its_stamp);
	int			number = MtPermissionNumber(permission);

	if (is_anywhere ? MtRightsHaveSomewhere(rights, number) : MtRightsHave(rights, number))
		return true;
	return MtRightsDeny(rights, permission, number, false, denial);
}

bool
MtRightsDeny(const MtRights *rights, const char *permission, int number, bool is_scope,
			 MtDenial *denial)
{
	const char *detail = NULL;

	if (number < 0)
		detail = "There is no such permission.";
	else if (MtContextGet()->principal[0] == '\0')
		detail = "The context of this transaction has no principal.";
	else if (MtRightsHaveSomewhere(rights, number))
		detail = is_scope ? "It is held in other scopes." : "It is held in some scopes, not in the whole tenant.";
	return MtDeny(denial, ERRCODE_INSUFFICIENT_PRIVILEGE,
				  psprintf("permission denied: %s", permission), detail,
				  "Ask whoever assigns roles in this tenant; multitenant.explain_permission() says what is missing.");
}

bool
MtRightsAreBreakGlass(const MtRights *rights)
{
	return rights->is_break_glass;
}
