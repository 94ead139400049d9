/*
 * reference.h
 *	  Foreign keys of tables of tenants.
 */
#ifndef MT_REFERENCE_H
#define MT_REFERENCE_H

#include "postgres.h"
#include "access/attnum.h"

/*
 * Can no foreign key of the table that the statement may belong to reach the
 * rows of several tenants, or take the tenant from a row? statement is the text
 * that the server made for a foreign key. The caller holds a lock on the table.
 */
extern bool MtReferencesAreTied(Oid relid, AttrNumber tenant_column,
								const char *statement);

#endif							/* MT_REFERENCE_H */
