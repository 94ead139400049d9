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
	bool		has_row_security;	/* enabled, whatever else is missing */
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

/* Is any table of this database labelled? Reads a catalog after DDL only. */
extern bool MtProtectionAny(void);

/*
 * Would the relation be protected alone, without its partition or inheritance
 * parents? Reads catalogs.
 */
extern bool MtProtectionStandsAlone(Oid relid);

#endif							/* MT_PROTECTION_H */
