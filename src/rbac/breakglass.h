/*
 * breakglass.h
 *	  Break-glass of a principal in a tenant, as it stands in the table.
 */
#ifndef MT_BREAKGLASS_H
#define MT_BREAKGLASS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

typedef struct MtBreakGlass
{
	pg_uuid_t	role;
	bool		may_hold;		/* it has a beginning, and nobody has closed
								 * it */
	TimestampTz from;
	TimestampTz until;
} MtBreakGlass;

/*
 * All that the principal has ever opened in the tenant, palloc'd, closed or not. With the latest
 * snapshot; may throw what catalog reads throw.
 */
extern List *MtBreakGlassOf(const pg_uuid_t *tenant, const char *principal);

/*
 * Does one that may hold now count in this message of the client's? Security: not in the
 * midst of what has started without it and is not recorded; a worker knows of that from
 * its leader only.
 */
extern bool MtBreakGlassCounts(const MtBreakGlass *its);

/* None that does not count yet will count before the client's next message. */
extern void MtBreakGlassSettle(void);
extern bool MtBreakGlassIsSettled(void);

#endif							/* MT_BREAKGLASS_H */
