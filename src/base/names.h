/*
 * names.h
 *	  Names of relations for messages and commands.
 */
#ifndef MT_NAMES_H
#define MT_NAMES_H

#include "postgres.h"

/* The relation's name with its schema, quoted where that is needed; palloc'd. */
extern char *MtQualifiedName(Oid relid);

#endif							/* MT_NAMES_H */
