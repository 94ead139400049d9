/*
 * rolebook.c
 *	  What the roles of a tenant, and the templates, permit.
 *
 * Roles are read when somebody has them, each once, and closed over their parents.
 * Parents that make a cycle, which only somebody who writes to the tables can make,
 * have all the same permissions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/tablescan.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "rbac/catalogue.h"
#include "rbac/permissionset.h"
#include "rbac/rolebook.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Columns of multitenant.role, role_parent and role_permission. */
enum
{
	ROLE_ID = 1,
	ROLE_TENANT_ID
};

enum
{
	PARENT_ROLE_ID = 1,
	PARENT_PARENT_ID,
	PARENT_TENANT_ID
};

enum
{
	GRANT_ROLE_ID = 1,
	GRANT_PERMISSION,
	GRANT_TENANT_ID
};

typedef struct Role
{
	pg_uuid_t	id;				/* first: the hash key */
	bool		is_read;
	bool		counts;			/* is of the tenant, or a template */
	pg_uuid_t	tenant;
	uint64	   *own;
	uint64	   *closed;			/* NULL: not needed yet */
	pg_uuid_t  *parents;
	int			parent_count;
	uint64		visit;			/* the last one of the book */
} Role;

/* A power of two. Who has thousands of assignments has few roles, again and again. */
#define RECENT_ROLES 256

struct MtRoleBook
{
	MemoryContext context;
	pg_uuid_t	tenant;
	int			words;
	uint64		visit;
	HTAB	   *roles;
	const Role *recent[RECENT_ROLES];	/* with closed, by the end of their
										 * ids */
};

/* A role that is being read. */
typedef struct Reading
{
	MtRoleBook *book;
	Role		role;
	int			parent_room;
} Reading;

static const pg_uuid_t nil = {{0}};

static bool
is_same(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, UUID_LEN) == 0;
}

MtRoleBook *
MtRoleBookMake(MemoryContext context, const pg_uuid_t *tenant)
{
	MtRoleBook *book = MemoryContextAllocZero(context, sizeof(MtRoleBook));
	HASHCTL		control = {0};

	book->context = context;
	book->tenant = *tenant;
	book->words = MtSetWords(MtCatalogueCount());
	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = sizeof(Role);
	control.hcxt = context;
	book->roles = hash_create("multitenant roles", 16, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return book;
}

static void
read_role(HeapTuple tuple, TupleDesc desc, void *result)
{
	Reading    *reading = (Reading *) result;

	reading->role.tenant = MtColumnUuid(tuple, desc, ROLE_TENANT_ID);

	/*
	 * Security: a role of another tenant permits nothing, whoever has
	 * assigned it.
	 */
	reading->role.counts = is_same(&reading->role.tenant, &reading->book->tenant) ||
		is_same(&reading->role.tenant, &nil);
}

/* Is the row one of the role's own tenant, whose version its changes renew? */
static bool
is_of_role(const Reading *reading, HeapTuple tuple, TupleDesc desc, int column)
{
	pg_uuid_t	tenant = MtColumnUuid(tuple, desc, column);

	return is_same(&tenant, &reading->role.tenant);
}

static void
read_permission(HeapTuple tuple, TupleDesc desc, void *result)
{
	Reading    *reading = (Reading *) result;
	char	   *pattern;

	if (!is_of_role(reading, tuple, desc, GRANT_TENANT_ID))
		return;
	pattern = MtColumnText(tuple, desc, GRANT_PERMISSION);
	MtCatalogueSpread(pattern, strlen(pattern), reading->role.own);
	pfree(pattern);
}

static void
read_parent(HeapTuple tuple, TupleDesc desc, void *result)
{
	Reading    *reading = (Reading *) result;
	Role	   *role = &reading->role;

	if (!is_of_role(reading, tuple, desc, PARENT_TENANT_ID))
		return;
	if (role->parent_count == reading->parent_room)
	{
		reading->parent_room = Max(4, reading->parent_room * 2);
		role->parents = role->parents == NULL ?
			MemoryContextAlloc(reading->book->context, reading->parent_room * sizeof(pg_uuid_t)) :
			repalloc(role->parents, reading->parent_room * sizeof(pg_uuid_t));
	}
	role->parents[role->parent_count++] = MtColumnUuid(tuple, desc, PARENT_PARENT_ID);
}

/* The role as it stands in the tables, or as one that permits nothing. */
static Role *
find(MtRoleBook *book, const pg_uuid_t *id)
{
	Role	   *role = hash_search(book->roles, id, HASH_FIND, NULL);
	Reading		reading = {.book = book};
	int			column = ROLE_ID;
	Oid			equality = F_UUID_EQ;
	Datum		key = UUIDPGetDatum(id);

	if (role != NULL)
		return role;
	CHECK_FOR_INTERRUPTS();
	reading.role.id = *id;
	(void) MtTableScan(MT_TABLE_ROLE, "role_pkey", 1, &column, &equality, &key, read_role, &reading);
	if (reading.role.counts)
	{
		/* One word at least: an empty catalogue has none. */
		reading.role.own = MemoryContextAllocZero(book->context, Max(book->words, 1) * sizeof(uint64));
		column = GRANT_ROLE_ID;
		(void) MtTableScan(MT_TABLE_ROLE_PERMISSION, "role_permission_pkey", 1, &column, &equality,
						   &key, read_permission, &reading);
		column = PARENT_ROLE_ID;
		(void) MtTableScan(MT_TABLE_ROLE_PARENT, "role_parent_pkey", 1, &column, &equality,
						   &key, read_parent, &reading);
	}
	role = hash_search(book->roles, id, HASH_ENTER, NULL);
	*role = reading.role;
	return role;
}

/*
 * Security: a template is the same for every tenant, so it has nothing of a role of
 * one of them.
 */
static bool
may_be_parent(const Role *parent, const Role *of)
{
	return parent->counts && (is_same(&parent->tenant, &of->tenant) || is_same(&parent->tenant, &nil));
}

/* Everything that the role has of itself and of all above it. */
static uint64 *
close_role(MtRoleBook *book, Role *start)
{
	uint64	   *closed = MemoryContextAllocZero(book->context, Max(book->words, 1) * sizeof(uint64));
	Role	  **waiting = palloc(sizeof(Role *));
	int			count = 0;
	int			room = 1;

	book->visit++;
	start->visit = book->visit;
	waiting[count++] = start;
	while (count > 0)
	{
		Role	   *role = waiting[--count];

		if (role->closed != NULL)
		{
			MtSetUnite(closed, role->closed, book->words);
			continue;
		}
		MtSetUnite(closed, role->own, book->words);
		for (int i = 0; i < role->parent_count; i++)
		{
			Role	   *parent = find(book, &role->parents[i]);

			if (parent->visit == book->visit || !may_be_parent(parent, role))
				continue;
			parent->visit = book->visit;
			if (count == room)
			{
				room *= 2;
				waiting = repalloc(waiting, room * sizeof(Role *));
			}
			waiting[count++] = parent;
		}
	}
	pfree(waiting);
	return closed;
}

const uint64 *
MtRoleBookPermissions(MtRoleBook *book, const pg_uuid_t *id)
{
	const Role **recent = &book->recent[(id->data[UUID_LEN - 1] ^ id->data[0]) % RECENT_ROLES];
	Role	   *role;

	Assert(book->words == MtSetWords(MtCatalogueCount()));
	if (*recent != NULL && is_same(&(*recent)->id, id))
		return (*recent)->closed;
	role = find(book, id);
	if (!role->counts)
		return NULL;
	if (role->closed == NULL)
		role->closed = close_role(book, role);
	*recent = role;
	return role->closed;
}
