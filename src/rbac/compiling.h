/*
 * compiling.h
 *	  Rights of one principal in one tenant, made ready for questions.
 */
#ifndef MT_COMPILING_H
#define MT_COMPILING_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "rbac/rights.h"
#include "rbac/rolebook.h"
#include "rbac/scopetree.h"

/* Whose rights: of a member, of an operator, or of somebody of the provider's in no tenant (nil). */
typedef struct MtRightsOwner
{
	MtKind		kind;
	pg_uuid_t	tenant;
	const char *principal;
} MtRightsOwner;

struct MtRights
{
	MtRightsOwner owner;
	TimestampTz from;			/* as of when they were read */
	TimestampTz until;			/* when that is not true any more */
	TimestampTz message;		/* not in another message of the client's than
								 * the one that began then; 0: whenever */
	bool		is_break_glass;
	bool		is_member;		/* an active one; of a tenant's own rights */

	int			words;			/* of each set */
	uint64	   *whole;			/* what holds in the whole tenant */
	uint64	   *somewhere;		/* what holds in it or in a scope */

	/* Without rights in scopes there is no tree. */
	const MtScopeTree *tree;
	int32	   *set_of_node;	/* 0: none but those in the whole tenant */
	uint64	   *sets;			/* what holds in nodes, apart from that */
};

/* What is the same for all of a tenant; the tree is read when somebody needs it. */
typedef struct MtTenantRights
{
	MemoryContext context;
	pg_uuid_t	tenant;
	MtRoleBook *roles;
	MtScopeTree *tree;
} MtTenantRights;

/*
 * Compiles in the current memory context, as of this moment; what
 * it refers to belongs to the tenant's. May throw what catalog reads throw.
 */
extern MtRights *MtRightsCompile(const MtRightsOwner *owner, MtTenantRights *tenant);

#endif							/* MT_COMPILING_H */
