/*
 * protection.h
 *	  What the catalog says about the protection of one relation.
 */
#ifndef MT_PROTECTION_H
#define MT_PROTECTION_H

#include "postgres.h"
#include "access/attnum.h"
#include "policy/label.h"

typedef struct MtProtection
{
	Oid			relid;			/* the hash key */
	bool		is_valid;		/* cleared by invalidation */
	bool		has_children;	/* others' entries depend on this relation */
	MtClass		class;			/* its own, else what it inherits or its
								 * policies say */
	bool		is_paused;
	TimestampTz paused_until;
	AttrNumber	column;			/* the tenant column; 0 if not known */
	bool		is_scoped;		/* rows are filtered by scope, too: only with
								 * a resource */
	AttrNumber	scope_column;	/* 0 if not known */
	char		resource[MT_RESOURCE_SIZE]; /* whose permissions statements
											 * need; "" for none */
	bool		has_row_security;	/* enabled, whatever else is missing */
	Oid			observed_as;	/* the observed table that it is or is below;
								 * only of class none */
	TransactionId moved_by;		/* of a partitioned table, who moved rows
								 * between its partitions last, if that was
								 * lately */
	bool		is_intact;		/* everything that protects it is there */
	const char *finding;		/* what is not intact: a constant; NULL if
								 * intact */
} MtProtection;

extern void MtProtectionInit(void);

/*
 * The protection of a relation, valid until the next catalog access. The caller
 * holds a lock on it. Reads catalogs on the first use only.
 */
extern const MtProtection *MtProtectionOf(Oid relid);

/*
 * Is it known that nothing protects, shares, exempts or observes it? Reads nothing, so
 * only what was asked before is known.
 */
extern bool MtProtectionIsNobodys(Oid relid);

/*
 * Has this database a protected table: anything labelled that is not only
 * observed, or a policy that calls an accessor? Reads catalogs after DDL only.
 */
extern bool MtProtectionAny(void);

/* Has this backend met a relation whose statements need permissions? */
extern bool MtProtectionHasMetPermissions(void);

/*
 * Would the relation still be protected without its partition or inheritance
 * parents: by a label or policies of its own, intact or not? Reads catalogs.
 */
extern bool MtProtectionIsOwn(Oid relid);

/*
 * Does the table, which is or becomes its parent, ask for the permissions that the
 * relation's label asks for, and by the same scope column? Reads catalogs.
 */
extern bool MtPermissionsAreCovered(const MtLabel *label, Oid relid, const MtProtection *parent);

#endif							/* MT_PROTECTION_H */
