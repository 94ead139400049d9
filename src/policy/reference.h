/*
 * reference.h
 *	  Foreign keys of tables of tenants.
 */
#ifndef MT_REFERENCE_H
#define MT_REFERENCE_H

#include "postgres.h"
#include "access/attnum.h"

/*
 * Does every foreign key of the table compare the tenant column, or stand beside
 * one to the same table that does? The caller holds a lock on the table.
 */
extern bool MtReferencesAreTied(Oid relid, AttrNumber tenant_column);

#endif							/* MT_REFERENCE_H */
