/*
 * reference.h
 *	  Foreign keys of tables of tenants.
 */
#ifndef MT_REFERENCE_H
#define MT_REFERENCE_H

#include "postgres.h"
#include "access/attnum.h"

/*
 * Can no foreign key of the table that the condition may belong to reach the
 * rows of several tenants? condition is the WHERE clause of a statement that the
 * server made for a foreign key. The caller holds a lock on the table.
 */
extern bool MtReferencesAreTied(Oid relid, AttrNumber tenant_column,
								const char *condition);

#endif							/* MT_REFERENCE_H */
