/*
 * names.c
 *	  Names of relations for messages and commands. Owns nothing.
 */
#include "postgres.h"

#include "base/names.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

char *
MtQualifiedName(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}
