/*
 * generated.h
 *	  The policies that the extension generates, and whether a relation has them.
 */
#ifndef MT_GENERATED_H
#define MT_GENERATED_H

#include "postgres.h"
#include "access/attnum.h"
#include "base/extension.h"
#include "nodes/primnodes.h"
#include "policy/label.h"
#include "utils/relcache.h"

/* What the policies of a relation are about; columns 0: any, until one is found. */
typedef struct MtPolicySubject
{
	const char *resource;
	bool		is_scoped;
	AttrNumber	column;
	AttrNumber	scope;
} MtPolicySubject;

/*
 * The column of a node "column = value" with the equality of one of the types that
 * a tenant column may have, NULL for any other node. Sets the accessor of the type.
 */
extern Var *MtTenantComparison(Node *node, MtAccessor *accessor, Node **value);

/* Is the node a call of the accessor? */
extern bool MtIsAccessor(Node *node, MtAccessor accessor);

/*
 * Is the node "column = accessor()", with the accessor of the column's type? Sets
 * *column if so.
 */
extern bool MtIsTenantEquality(Node *node, AttrNumber *column);

/*
 * Are all generated policies of the class there, each exactly as generated? Those of
 * scopes only where the relation is scoped. Fills in the columns.
 */
extern bool MtPolicyHasGenerated(Relation relation, MtClass class, MtPolicySubject *subject);

/* Is there a restrictive policy that is evaluated before ours? Of a relation that has policies. */
extern bool MtPolicyHasEarlier(Relation relation, MtClass class, bool is_scoped);

/* Is there a policy with the name of one that filters by scope? The same. */
extern bool MtPolicyHasScope(Relation relation);

/*
 * The class of tables that have policies of such names, whatever they say; none without.
 * Reads a catalog.
 */
extern MtClass MtPolicyClassOf(Oid relid);

/* Is it the name of a generated policy of the class? */
extern bool MtPolicyIsGenerated(MtClass class, const char *name);

/* Would a restrictive policy of that name be evaluated before ours? */
extern bool MtPolicyIsEarly(MtClass class, bool is_scoped, const char *name);

/* Is it a restrictive policy? False if it does not exist. Reads a catalog. */
extern bool MtPolicyIsRestrictive(Oid relid, const char *name);

#endif							/* MT_GENERATED_H */
