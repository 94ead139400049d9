/*
 * compiling.c
 *	  Rights of one principal in one tenant, made ready for questions.
 *
 * What holds in a scope holds below it: each node of the tree gets one set with
 * everything from its root down. Nodes without assignments of their own share the set
 * of the node above.
 */
#include "postgres.h"

#include "base/moment.h"
#include "miscadmin.h"
#include "rbac/assignments.h"
#include "rbac/catalogue.h"
#include "rbac/compiling.h"
#include "rbac/permissionset.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Sets that are being made, number 0 being the empty one. */
typedef struct Sets
{
	int			words;
	uint64	   *sets;
	int32		count;
	int32		room;
} Sets;

static int32
add_set(Sets *sets)
{
	if (sets->count == sets->room)
	{
		sets->room = Max(4, sets->room * 2);
		sets->sets = sets->sets == NULL ?
			palloc((Size) sets->room * sets->words * sizeof(uint64)) :
			repalloc_huge(sets->sets, (Size) sets->room * sets->words * sizeof(uint64));
	}
	memset(&sets->sets[(Size) sets->count * sets->words], 0, sets->words * sizeof(uint64));
	return sets->count++;
}

static uint64 *
set_at(const Sets *sets, int32 set)
{
	return &sets->sets[(Size) set * sets->words];
}

/*
 * Puts what is assigned in scopes into the sets of their nodes, and into somewhere.
 * Security: a scope that is not in the tree is no place.
 */
static void
add_scoped(MtRights *rights, const MtAssignments *assignments, MtRoleBook *roles, Sets *sets)
{
	for (int i = 0; i < assignments->count; i++)
	{
		const MtAssignment *its = &assignments->list[i];
		const uint64 *permitted;
		int			node;

		CHECK_FOR_INTERRUPTS();
		if (its->scope == NULL)
			continue;
		node = MtScopeTreeFind(rights->tree, its->scope, its->scope_length);
		permitted = node < 0 ? NULL : MtRoleBookPermissions(roles, &its->role);
		if (permitted == NULL)
			continue;
		if (rights->set_of_node[node] == 0)
			rights->set_of_node[node] = add_set(sets);
		MtSetUnite(set_at(sets, rights->set_of_node[node]), permitted, rights->words);
		MtSetUnite(rights->somewhere, permitted, rights->words);
	}
}

/* From the roots down, each node gets what the one above it has. */
static void
close_scopes(MtRights *rights, const Sets *sets)
{
	int			parent;
	int			node;

	for (int i = 0; (node = MtScopeTreeInOrder(rights->tree, i, &parent)) >= 0; i++)
	{
		int32	   *its = &rights->set_of_node[node];

		if (parent < 0)
			continue;
		if (*its == 0)
			*its = rights->set_of_node[parent];
		else
			MtSetUnite(set_at(sets, *its), set_at(sets, rights->set_of_node[parent]), rights->words);
	}
}

static void
compile_scopes(MtRights *rights, const MtAssignments *assignments, MtTenantRights *tenant)
{
	Sets		sets = {.words = rights->words};

	if (tenant->tree == NULL)
		tenant->tree = MtScopeTreeRead(tenant->context, &tenant->tenant);
	rights->tree = tenant->tree;
	rights->set_of_node = MemoryContextAllocHuge(CurrentMemoryContext,
												 Max(MtScopeTreeCount(tenant->tree), 1) * sizeof(int32));
	memset(rights->set_of_node, 0, MtScopeTreeCount(tenant->tree) * sizeof(int32));
	(void) add_set(&sets);
	add_scoped(rights, assignments, tenant->roles, &sets);
	close_scopes(rights, &sets);
	rights->sets = sets.sets;
}

/* What is assigned, in a memory context that the caller deletes. */
static void
read_assignments(const MtRightsOwner *owner, MtAssignments *out)
{
	static const pg_uuid_t nil = {{0}};

	if (owner->kind == MT_KIND_SUPERVISED)
		MtAssignmentsOfOperator(&owner->tenant, owner->principal, out);
	else if (memcmp(&owner->tenant, &nil, UUID_LEN) == 0)
		MtAssignmentsOfSystem(owner->principal, out);
	else
		MtAssignmentsOfMember(&owner->tenant, owner->principal, out);
}

MtRights *
MtRightsCompile(const MtRightsOwner *owner, MtTenantRights *tenant)
{
	MtAssignments assignments = {.now = MtMoment()};
	MemoryContext here = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(here, "multitenant assignments", ALLOCSET_DEFAULT_SIZES);
	MtRights   *rights = palloc0(sizeof(MtRights));
	bool		has_scopes = false;

	rights->owner = *owner;
	rights->owner.principal = pstrdup(owner->principal);
	rights->words = MtSetWords(MtCatalogueCount());
	rights->whole = palloc0(Max(rights->words, 1) * sizeof(uint64));
	rights->somewhere = palloc0(Max(rights->words, 1) * sizeof(uint64));

	MemoryContextSwitchTo(scratch);
	read_assignments(owner, &assignments);
	rights->from = assignments.now;
	rights->until = assignments.until;
	rights->message = assignments.message;
	rights->is_break_glass = assignments.is_break_glass;
	rights->is_member = assignments.is_member;
	for (int i = 0; i < assignments.count; i++)
	{
		const uint64 *permitted;

		CHECK_FOR_INTERRUPTS();
		has_scopes |= assignments.list[i].scope != NULL;
		if (assignments.list[i].scope != NULL)
			continue;
		permitted = MtRoleBookPermissions(tenant->roles, &assignments.list[i].role);
		if (permitted != NULL)
			MtSetUnite(rights->whole, permitted, rights->words);
	}
	MtSetUnite(rights->somewhere, rights->whole, rights->words);
	MemoryContextSwitchTo(here);
	if (has_scopes)
		compile_scopes(rights, &assignments, tenant);
	MemoryContextDelete(scratch);
	return rights;
}
