/*
 * scopetree.c
 *	  The scopes of a tenant as a tree.
 *
 * Invariant: who goes from a node of the tree to its parent, and so on, comes to a
 * root.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "base/tablescan.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "rbac/hashindex.h"
#include "rbac/scopetree.h"
#include "tenant/registry.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

/* Columns of multitenant.scope. */
enum
{
	SCOPE_TENANT_ID = 1,
	SCOPE_ID,
	SCOPE_PARENT_ID
};

typedef enum NodeState
{
	NODE_NEW,
	NODE_ON_PATH,
	NODE_IN_TREE,
	NODE_IN_CYCLE
} NodeState;

typedef struct ScopeNode
{
	const char *id;
	int32		length;
	int32		parent;			/* -1: a root */
	NodeState	state;
} ScopeNode;

struct MtScopeTree
{
	ScopeNode  *nodes;
	int			count;
	int			room;
	int		   *order;			/* those in the tree, parents first */
	int			order_count;
	MtHashIndex by_text;
	MtHashIndex by_uuid;		/* of those whose id is that of a uuid */
	MtHashIndex by_int8;
	pg_uuid_t  *uuids;			/* of each node, where there is such a one */
	int64	   *numbers;
};

/* What is needed while the tree is made only. */
typedef struct ParentName
{
	const char *text;			/* NULL: none */
	int			length;
} ParentName;

typedef struct Reading
{
	MtScopeTree *tree;
	MemoryContext names;		/* of parents */
	ParentName *parents;
} Reading;

static uint32
hash_of_uuid(const pg_uuid_t *id)
{
	return hash_bytes(id->data, UUID_LEN);
}

static uint32
hash_of_int8(int64 id)
{
	return hash_bytes((const unsigned char *) &id, sizeof(id));
}

static void
read_scope(HeapTuple tuple, TupleDesc desc, void *result)
{
	Reading    *reading = (Reading *) result;
	MtScopeTree *tree = reading->tree;
	MemoryContext before;
	ScopeNode  *node;
	ParentName *parent;
	Datum		values[MaxHeapAttributeNumber];
	bool		nulls[MaxHeapAttributeNumber];

	if (tree->count == tree->room)
	{
		tree->room *= 2;
		tree->nodes = repalloc_huge(tree->nodes, tree->room * sizeof(ScopeNode));
		reading->parents = repalloc_huge(reading->parents, tree->room * sizeof(ParentName));
	}
	heap_deform_tuple(tuple, desc, values, nulls);
	node = &tree->nodes[tree->count];
	node->id = MtTextCopy(values[SCOPE_ID - 1], &node->length);
	node->parent = -1;
	node->state = NODE_NEW;
	parent = &reading->parents[tree->count++];
	parent->text = NULL;
	if (nulls[SCOPE_PARENT_ID - 1])
		return;
	before = MemoryContextSwitchTo(reading->names);
	parent->text = MtTextCopy(values[SCOPE_PARENT_ID - 1], &parent->length);
	MemoryContextSwitchTo(before);
}

/* Goes up from the node, and puts the way into the order from its upper end down. */
static void
place(MtScopeTree *tree, int start, int *path)
{
	int			length = 0;
	int			node = start;

	while (node >= 0 && tree->nodes[node].state == NODE_NEW)
	{
		tree->nodes[node].state = NODE_ON_PATH;
		path[length++] = node;
		node = tree->nodes[node].parent;
	}

	/* Back where the way has been: from there on it is a cycle. */
	if (node >= 0 && tree->nodes[node].state == NODE_ON_PATH)
		do
			tree->nodes[path[--length]].state = NODE_IN_CYCLE;
		while (path[length] != node);

	while (length > 0)
	{
		ScopeNode  *its = &tree->nodes[path[--length]];

		if (its->parent >= 0 && tree->nodes[its->parent].state == NODE_IN_CYCLE)
			its->parent = -1;
		its->state = NODE_IN_TREE;
		tree->order[tree->order_count++] = path[length];
	}
}

/* Makes the nodes a tree; node i has a parent of that name. */
static void
connect_nodes(MtScopeTree *tree, const ParentName *parents)
{
	int		   *path = MemoryContextAllocHuge(CurrentMemoryContext, Max(tree->count, 1) * sizeof(int));

	tree->order = MemoryContextAllocHuge(CurrentMemoryContext, Max(tree->count, 1) * sizeof(int));
	MtHashMake(&tree->by_text, tree->count);
	for (int i = 0; i < tree->count; i++)
	{
		const ScopeNode *node = &tree->nodes[i];

		MtHashAdd(&tree->by_text, hash_bytes((const unsigned char *) node->id, node->length), i);
	}
	for (int i = 0; i < tree->count; i++)
		if (parents[i].text != NULL)
			tree->nodes[i].parent = MtScopeTreeFind(tree, parents[i].text, parents[i].length);
	for (int i = 0; i < tree->count; i++)
		place(tree, i, path);
	pfree(path);
}

/* Is the id the text of a uuid as the server prints it? */
static bool
is_uuid(const ScopeNode *node, pg_uuid_t *out)
{
	if (!MtUuidFromText(node->id, out))
		return false;
	for (int i = 0; i < node->length; i++)
		if (node->id[i] >= 'A' && node->id[i] <= 'F')
			return false;
	return true;
}

/* The same for an integer: no sign but that of negative ones, no zero in front. */
static bool
is_int8(const ScopeNode *node, int64 *out)
{
	char		text[MAXINT8LEN + 1];
	char	   *end;

	if (node->length == 0 || node->length > MAXINT8LEN || !strchr("-0123456789", node->id[0]))
		return false;
	errno = 0;
	*out = strtoi64(node->id, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	pg_lltoa(*out, text);
	return strcmp(text, node->id) == 0;
}

/* Whoever has ids of these types looks them up by value. */
static void
index_values(MtScopeTree *tree)
{
	pg_uuid_t	uuid;
	int64		number;
	int			uuids = 0;
	int			numbers = 0;

	for (int i = 0; i < tree->count; i++)
	{
		uuids += is_uuid(&tree->nodes[i], &uuid);
		numbers += is_int8(&tree->nodes[i], &number);
	}
	if (uuids > 0)
	{
		tree->uuids = palloc_extended(tree->count * sizeof(pg_uuid_t), MCXT_ALLOC_HUGE);
		MtHashMake(&tree->by_uuid, uuids);
		for (int i = 0; i < tree->count; i++)
			if (is_uuid(&tree->nodes[i], &tree->uuids[i]))
				MtHashAdd(&tree->by_uuid, hash_of_uuid(&tree->uuids[i]), i);
	}
	if (numbers > 0)
	{
		tree->numbers = palloc_extended(tree->count * sizeof(int64), MCXT_ALLOC_HUGE);
		MtHashMake(&tree->by_int8, numbers);
		for (int i = 0; i < tree->count; i++)
			if (is_int8(&tree->nodes[i], &tree->numbers[i]))
				MtHashAdd(&tree->by_int8, hash_of_int8(tree->numbers[i]), i);
	}
}

MtScopeTree *
MtScopeTreeRead(MemoryContext parent, const pg_uuid_t *tenant)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext names = AllocSetContextCreate(before, "multitenant scope parents", ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = AllocSetContextCreate(before, "multitenant scopes", ALLOCSET_DEFAULT_SIZES);
	Reading		reading = {.names = names};
	MtScopeTree *tree;
	int			column = SCOPE_TENANT_ID;
	Oid			equality = F_UUID_EQ;
	Datum		key = UUIDPGetDatum(tenant);

	MemoryContextSwitchTo(context);
	tree = palloc0(sizeof(MtScopeTree));
	tree->room = 64;
	tree->nodes = palloc(tree->room * sizeof(ScopeNode));
	reading.tree = tree;
	reading.parents = MemoryContextAlloc(names, tree->room * sizeof(ParentName));
	(void) MtTableScanMany(MT_TABLE_SCOPE, "scope_pkey", 1, &column, &equality, &key, read_scope, &reading);
	connect_nodes(tree, reading.parents);
	index_values(tree);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(names);
	MemoryContextSetParent(context, parent);
	return tree;
}

int
MtScopeTreeCount(const MtScopeTree *tree)
{
	return tree->count;
}

static int
if_in_tree(const MtScopeTree *tree, int node)
{
	return tree->nodes[node].state == NODE_IN_CYCLE ? -1 : node;
}

int
MtScopeTreeFind(const MtScopeTree *tree, const char *id, size_t length)
{
	uint32		hash = hash_bytes((const unsigned char *) id, length);

	for (const MtHashSlot *slot = MtHashFirst(&tree->by_text, hash); slot != NULL;
		 slot = MtHashNext(&tree->by_text, hash, slot))
	{
		const ScopeNode *node = &tree->nodes[slot->number];

		if (node->length == length && memcmp(node->id, id, length) == 0)
			return if_in_tree(tree, slot->number);
	}
	return -1;
}

int
MtScopeTreeFindUuid(const MtScopeTree *tree, const pg_uuid_t *id)
{
	uint32		hash = hash_of_uuid(id);

	for (const MtHashSlot *slot = MtHashFirst(&tree->by_uuid, hash); slot != NULL;
		 slot = MtHashNext(&tree->by_uuid, hash, slot))
		if (memcmp(&tree->uuids[slot->number], id, UUID_LEN) == 0)
			return if_in_tree(tree, slot->number);
	return -1;
}

int
MtScopeTreeFindInt8(const MtScopeTree *tree, int64 id)
{
	uint32		hash = hash_of_int8(id);

	for (const MtHashSlot *slot = MtHashFirst(&tree->by_int8, hash); slot != NULL;
		 slot = MtHashNext(&tree->by_int8, hash, slot))
		if (tree->numbers[slot->number] == id)
			return if_in_tree(tree, slot->number);
	return -1;
}

int
MtScopeTreeInOrder(const MtScopeTree *tree, int i, int *parent)
{
	if (i >= tree->order_count)
		return -1;
	*parent = tree->nodes[tree->order[i]].parent;
	return tree->order[i];
}
