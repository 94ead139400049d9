/*
 * reference.h
 *	  Foreign keys of tables of tenants.
 */
#ifndef MT_REFERENCE_H
#define MT_REFERENCE_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/bitmapset.h"

/*
 * Can no foreign key of the table that the statement may belong to reach the
 * rows of several tenants, or take the tenant from a row? statement is the text
 * that the server made for a foreign key. The caller holds a lock on the table.
 */
extern bool MtReferencesAreTied(Oid relid, AttrNumber tenant_column,
								const char *statement);

/*
 * Does a foreign key of the table compare exactly these columns, or could one to
 * it? The caller holds a lock on the table.
 */
extern bool MtReferencesCompare(Oid relid, const Bitmapset *columns);

/*
 * Does a foreign key over periods connect the two relations? When rows of the
 * referenced one go, its statement reads both.
 */
extern bool MtReferOverPeriods(Oid relid, Oid other);

#endif							/* MT_REFERENCE_H */
