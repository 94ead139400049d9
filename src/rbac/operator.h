/*
 * operator.h
 *	  Who looks after which tenant from outside, as it stands in the tables.
 */
#ifndef MT_OPERATOR_H
#define MT_OPERATOR_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

typedef struct MtOperator
{
	pg_uuid_t	master;			/* its master account */
	pg_uuid_t	role;
	TimestampTz expires;		/* DT_NOEND: never */
	TimestampTz since;
} MtOperator;

/*
 * The principal's row as an operator of the tenant, whether it counts or not; false:
 * there is none. With the latest snapshot; may throw what catalog reads throw.
 */
extern bool MtOperatorFind(const pg_uuid_t *tenant, const char *principal, MtOperator *out);

/* Is the tenant linked to the master account? A tenant that has left it is looked after by nobody. The same. */
extern bool MtOperatorIsLinked(const pg_uuid_t *tenant, const pg_uuid_t *master);

/* The tenants of which the principal has such a row: pg_uuid_t *, palloc'd. The same. */
extern List *MtOperatorTenants(const char *principal);

#endif							/* MT_OPERATOR_H */
