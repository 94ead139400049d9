/*
 * rights.h
 *	  What a principal may do in a tenant: compiled from its roles, groups and scopes.
 */
#ifndef MT_RIGHTS_H
#define MT_RIGHTS_H

#include "postgres.h"
#include "base/errors.h"
#include "tenant/context.h"

/* Immutable; belongs to the cache. */
typedef struct MtRights MtRights;

extern void MtRightsInit(void);

/*
 * The rights of the principal of the current context in its tenant: of a member in
 * a context of kind tenant, of an operator in a supervised one. Never NULL: nobody,
 * and who is neither, has none.
 *
 * Lent until the next call of one of these functions, MtRightsStamp() and
 * MtRightsCheck() included, which may free it: ask what is to be asked, and keep the
 * answer with the stamp that it goes with, which is stored where stamp points unless
 * that is NULL. Numbers of permissions are those of the same stamp.
 *
 * As of this moment of the clock; what others have committed counts once its
 * invalidations have been taken in, as MtContextCheck() does. May throw what catalog
 * reads throw.
 */
extern const MtRights *MtRightsOfContext(uint64 *stamp);

/*
 * The same of a principal that is named, as a member; the caller decides who may
 * ask.
 */
extern const MtRights *MtRightsOfMember(const pg_uuid_t *tenant, const char *principal);

/*
 * The same of the current principal, in whatever state its context is, as one of the
 * provider's own staff: rights in no tenant.
 */
extern const MtRights *MtRightsOfSystem(void);

/*
 * Changes whenever MtRightsOfContext() may have another answer than before, or a
 * permission another number. For comparing with the stamp of an answer that was kept.
 */
extern uint64 MtRightsStamp(void);

/*
 * The number of a permission "resource:action", -1 if there is none of that name.
 * Answers as the last of the functions above has found the catalogue; valid as long
 * as MtRightsStamp() is the same.
 */
extern int	MtPermissionNumber(const char *name);

/* Is it held in the whole tenant? */
extern bool MtRightsHave(const MtRights *rights, int permission);

/* Is it held anywhere in the tenant: in all of it, or in one scope at least? */
extern bool MtRightsHaveSomewhere(const MtRights *rights, int permission);

/*
 * Is it held in that scope: in the whole tenant, in the scope or in one above it?
 * A scope that is not in the tenant's tree is covered by rights in the whole tenant
 * only. The id as text, or as a value of the type that a scope column has.
 */
extern bool MtRightsHaveIn(const MtRights *rights, int permission, const char *scope, size_t length);
extern bool MtRightsHaveInUuid(const MtRights *rights, int permission, const pg_uuid_t *scope);
extern bool MtRightsHaveInInt8(const MtRights *rights, int permission, int64 scope);

/*
 * May the current context do what the permission "resource:action" names, in the
 * whole tenant, or (is_anywhere) at least in some scope of it? False with 42501 if not,
 * or if there is no such permission. The stamp as of MtRightsOfContext().
 */
extern bool MtRightsCheck(const char *permission, bool is_anywhere, uint64 *stamp, MtDenial *denial);

/* The denial of a permission that these rights do not hold, in a scope or in the whole tenant. */
extern bool MtRightsDeny(const MtRights *rights, const char *permission, int number, bool is_scope,
						 MtDenial *denial);

/* Does the current principal act under break-glass that is open? */
extern bool MtRightsAreBreakGlass(const MtRights *rights);

#endif							/* MT_RIGHTS_H */
