/*
 * scopetree.h
 *	  The scopes of a tenant as a tree.
 */
#ifndef MT_SCOPETREE_H
#define MT_SCOPETREE_H

#include "postgres.h"
#include "utils/uuid.h"

typedef struct MtScopeTree MtScopeTree;

/*
 * Reads the tree of the tenant into a memory context of its own below the one given.
 * What somebody has written into the table by hand does not harm: a scope whose
 * parent is unknown is a root, and scopes that are above themselves are in no tree.
 * May throw what catalog reads throw; nothing is left then.
 */
extern MtScopeTree *MtScopeTreeRead(MemoryContext parent, const pg_uuid_t *tenant);

/* Nodes are numbered from 0. */
extern int	MtScopeTreeCount(const MtScopeTree *tree);

/* The node of a scope, -1 if it is not in the tree. */
extern int	MtScopeTreeFind(const MtScopeTree *tree, const char *id, size_t length);

/* The same where the id is what these values look like as text. */
extern int	MtScopeTreeFindUuid(const MtScopeTree *tree, const pg_uuid_t *id);
extern int	MtScopeTreeFindInt8(const MtScopeTree *tree, int64 id);

/*
 * Node number i of those in the tree, of which each comes after its parent; -1
 * behind the last. *parent: its parent, -1 for a root.
 */
extern int	MtScopeTreeInOrder(const MtScopeTree *tree, int i, int *parent);

#endif							/* MT_SCOPETREE_H */
