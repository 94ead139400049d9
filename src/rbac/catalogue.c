/*
 * catalogue.c
 *	  The permissions that there are, and their numbers in this session.
 *
 * Owns the numbers. Invariant: a number means the same permission from when it is
 * given until MtCatalogueForget(), so sets that were made at different times can be
 * compared; a permission that is dropped keeps its number and has no name.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "base/tablescan.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "rbac/catalogue.h"
#include "rbac/hashindex.h"
#include "rbac/permissionset.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

/* Columns of multitenant.permission. */
enum
{
	PERMISSION_NAME = 1
};

/* Numbers of permissions that are gone, beyond as many as there are. */
#define WORN_LIMIT 1024

typedef struct Permission
{
	const char *name;
	int			length;
	int			resource;		/* length of what is before the colon */
	bool		is_there;
} Permission;

static MemoryContext catalogue_context = NULL;
static Permission *permissions = NULL;
static int	permission_count = 0;
static int	permission_room = 0;
static int	there_count = 0;
static MtHashIndex by_name;
static bool is_read = false;

/* Names as they are read, before any of them counts. */
typedef struct FoundName
{
	char	   *text;
	int			length;
} FoundName;

typedef struct Names
{
	FoundName  *names;
	int			count;
	int			room;
} Names;

static void
read_name(HeapTuple tuple, TupleDesc desc, void *result)
{
	Names	   *names = (Names *) result;

	bool		is_null;
	Datum		value = heap_getattr(tuple, PERMISSION_NAME, desc, &is_null);
	FoundName  *name;

	CHECK_FOR_INTERRUPTS();
	if (names->count == names->room)
	{
		names->room *= 2;
		names->names = repalloc(names->names, names->room * sizeof(FoundName));
	}
	name = &names->names[names->count++];
	name->text = MtTextCopy(value, &name->length);
}

static int
find(const char *name, size_t length, uint32 hash)
{
	for (const MtHashSlot *slot = MtHashFirst(&by_name, hash); slot != NULL;
		 slot = MtHashNext(&by_name, hash, slot))
	{
		const Permission *permission = &permissions[slot->number];

		if (permission->length == length && memcmp(permission->name, name, length) == 0)
			return slot->number;
	}
	return -1;
}

/* Makes room for more permissions; nothing has changed if it throws. */
static void
make_room(int more)
{
	MemoryContext before = MemoryContextSwitchTo(catalogue_context);
	int			room = permission_count + more;
	MtHashIndex index;

	if (room > permission_room)
	{
		room = Max(room, permission_room * 2);
		permissions = permissions == NULL ? palloc(room * sizeof(Permission)) :
			repalloc(permissions, room * sizeof(Permission));
		MtHashMake(&index, room);
		for (int i = 0; i < permission_count; i++)
			MtHashAdd(&index, hash_bytes((const unsigned char *) permissions[i].name,
										 permissions[i].length), i);
		if (by_name.slots != NULL)
			pfree(by_name.slots);
		by_name = index;
		permission_room = room;
	}
	MemoryContextSwitchTo(before);
}

/* Gives the name a number; there is room for it. */
static int
add(const FoundName *name, uint32 hash)
{
	Permission	permission = {0};
	const char *colon = memchr(name->text, ':', name->length);
	char	   *copy = MemoryContextAlloc(catalogue_context, name->length + 1);

	memcpy(copy, name->text, name->length + 1);
	permission.name = copy;
	permission.length = name->length;
	permission.resource = colon == NULL ? permission.length : colon - name->text;
	permissions[permission_count] = permission;
	MtHashAdd(&by_name, hash, permission_count);
	return permission_count++;
}

void
MtCatalogueRead(void)
{
	Names		names = {.room = 64};

	if (catalogue_context == NULL)
		catalogue_context = AllocSetContextCreate(CacheMemoryContext, "multitenant permissions",
												  ALLOCSET_DEFAULT_SIZES);
	names.names = palloc(names.room * sizeof(FoundName));
	(void) MtTableScan(MT_TABLE_PERMISSION, NULL, 0, NULL, NULL, NULL, read_name, &names);

	is_read = false;
	make_room(names.count);
	for (int i = 0; i < permission_count; i++)
		permissions[i].is_there = false;
	for (int i = 0; i < names.count; i++)
	{
		const FoundName *name = &names.names[i];
		uint32		hash = hash_bytes((const unsigned char *) name->text, name->length);
		int			number = find(name->text, name->length, hash);

		if (number < 0)
			number = add(name, hash);
		permissions[number].is_there = true;
		pfree(name->text);
	}
	pfree(names.names);
	there_count = names.count;
	is_read = true;
}

bool
MtCatalogueIsRead(void)
{
	return is_read;
}

bool
MtCatalogueIsWorn(void)
{
	return permission_count - there_count > there_count + WORN_LIMIT;
}

void
MtCatalogueForget(void)
{
	is_read = false;
	permissions = NULL;
	permission_count = permission_room = there_count = 0;
	memset(&by_name, 0, sizeof(by_name));
	if (catalogue_context != NULL)
		MemoryContextReset(catalogue_context);
}

int
MtCatalogueCount(void)
{
	return permission_count;
}

int
MtCatalogueNumber(const char *name, size_t length)
{
	int			number = find(name, length, hash_bytes((const unsigned char *) name, length));

	return number >= 0 && permissions[number].is_there ? number : -1;
}

/* The permission that has the most similar name, NULL if none is similar. */
static const char *
find_nearest(const char *name, int length)
{
	const char *nearest = NULL;
	int			distance = 3;	/* two letters that are wrong are a slip, more
								 * is another word */

	if (length > MT_PERMISSION_MAX)
		return NULL;
	for (int i = 0; i < permission_count; i++)
	{
		int			its;

		if (!permissions[i].is_there)
			continue;
		its = varstr_levenshtein_less_equal(name, length, permissions[i].name,
											permissions[i].length, 1, 1, 1, distance - 1, true);
		if (its < distance)
		{
			distance = its;
			nearest = permissions[i].name;
		}
	}
	return nearest;
}

void
MtCatalogueRaiseUnknown(const char *name, size_t length)
{
	const char *nearest = find_nearest(name, length);

	/* What is no permission is not worth a line of the log, however long. */
	length = pg_mbcliplen(name, length, MT_PERMISSION_MAX);
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_OBJECT),
			errmsg("there is no permission \"%s\"", pnstrdup(name, length)),
			nearest != NULL ? errhint("Did you mean \"%s\"?", nearest) :
			errhint("Create it with multitenant.create_permission()."));
}

void
MtCatalogueSpread(const char *pattern, size_t length, uint64 *set)
{
	const char *colon = memchr(pattern, ':', length);
	int			resource = colon == NULL ? 0 : colon - pattern;
	int			action = colon == NULL ? 0 : length - resource - 1;
	bool		is_any_resource = resource == 1 && pattern[0] == '*';
	bool		is_any_action = action == 1 && colon[1] == '*';

	if (colon == NULL)
		return;
	if (!is_any_resource && !is_any_action)
	{
		int			number = MtCatalogueNumber(pattern, length);

		if (number >= 0)
			MtSetAdd(set, number);
		return;
	}
	for (int i = 0; i < permission_count; i++)
	{
		const Permission *permission = &permissions[i];

		if (permission->is_there &&
			(is_any_resource ||
			 (permission->resource == resource &&
			  memcmp(permission->name, pattern, resource) == 0)) &&
			(is_any_action ||
			 (permission->length - permission->resource - 1 == action &&
			  memcmp(permission->name + permission->resource + 1, colon + 1, action) == 0)))
			MtSetAdd(set, i);
	}
}
