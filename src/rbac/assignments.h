/*
 * assignments.h
 *	  Which roles somebody has, and where, as it stands in the tables.
 */
#ifndef MT_ASSIGNMENTS_H
#define MT_ASSIGNMENTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef struct MtAssignment
{
	pg_uuid_t	role;
	const char *scope;			/* NULL: everywhere */
	int			scope_length;
} MtAssignment;

/* What somebody has at a time. Begin with zeros but for now; memory of the current context. */
typedef struct MtAssignments
{
	TimestampTz now;
	TimestampTz until;			/* none ends or begins between now and then */
	TimestampTz message;		/* what was left out counts in the next
								 * message of the client's; 0: nothing was */
	bool		is_break_glass; /* one of them is of break-glass */
	bool		is_member;		/* an active one, of a tenant */
	MtAssignment *list;
	int			count;
	int			room;
} MtAssignments;

/*
 * Of a member of the tenant: its own, those of its groups, and break-glass. None if
 * the principal is disabled, or no active member. May throw what catalog
 * reads throw.
 */
extern void MtAssignmentsOfMember(const pg_uuid_t *tenant, const char *principal, MtAssignments *out);

/* Of the operator who looks after the tenant from outside: one role at most. */
extern void MtAssignmentsOfOperator(const pg_uuid_t *tenant, const char *principal, MtAssignments *out);

/* Of the provider's own staff, in no tenant. */
extern void MtAssignmentsOfSystem(const char *principal, MtAssignments *out);

/* The version of the rights of a tenant, or with the nil uuid of all; 0 if nothing was changed yet. */
extern int64 MtAssignmentsVersion(const pg_uuid_t *tenant);

#endif							/* MT_ASSIGNMENTS_H */
