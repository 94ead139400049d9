/*
 * audit.h
 *	  The one point through which every security event goes.
 */
#ifndef MT_AUDIT_H
#define MT_AUDIT_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* Who reports. Set in C, so SQL cannot claim to be the engine. */
typedef enum MtAuditSource
{
	MT_AUDIT_ENGINE,
	MT_AUDIT_APPLICATION
} MtAuditSource;

typedef struct MtAuditEvent
{
	const char *event;			/* dotted name, such as "access.bypass" */
	MtAuditSource source;
	const char *object;			/* what it was done to; may be NULL */
	const char *outcome;		/* "allowed", "refused" or "done" */
	const char *detail;			/* JSON text; NULL for {} */
	const pg_uuid_t *tenant;	/* NULL: the tenant of the context, if any */
} MtAuditEvent;

/* Who the context says is asking; filled in by a higher layer. */
typedef struct MtAuditIdentity
{
	bool		has_tenant;
	pg_uuid_t	tenant;
	const char *principal;		/* "" for none */
} MtAuditIdentity;

typedef void (*MtAuditIdentitySource) (MtAuditIdentity *identity);

extern void MtAuditSetIdentitySource(MtAuditIdentitySource source);

/*
 * Records an event: always in the server log, and as a row of
 * multitenant.audit_event where this transaction can write. The row goes when
 * the transaction rolls back, the line stays. May throw only as any insert may.
 */
extern void MtAuditEmit(const MtAuditEvent *event);

/*
 * The same for what a rollback must not take away: when it returns, the rows are
 * committed, all at once, by another process. Throws 55000 where nobody can write
 * them, 25006 on a standby; the lines are in the log even then. Takes some
 * milliseconds, and one process for however many events. Also in parallel mode.
 */
extern void MtAuditEmitDurable(const MtAuditEvent *events, int count);

/* An event with everything that is known of it: one row. */
typedef struct MtAuditRow
{
	TimestampTz at;
	MtAuditSource source;
	bool		has_tenant;
	pg_uuid_t	tenant;
	NameData	session_role;
	NameData	current_role;
	const char *event;
	const char *outcome;
	const char *principal;		/* "" for none */
	const char *object;			/* NULL for none */
	const char *detail;			/* JSON text */
} MtAuditRow;

/* Writes the rows in the current transaction. For who writes them durably. */
extern void MtAuditWriteRows(const MtAuditRow *rows, int count);

/* Who can write rows that outlast this transaction registers here; throws if it cannot. */
typedef void (*MtAuditDurableWriter) (const MtAuditRow *rows, int count);
extern void MtAuditSetDurableWriter(MtAuditDurableWriter writer);

/* Event names that start so belong to the engine. */
extern bool MtAuditIsReserved(const char *event);

#endif							/* MT_AUDIT_H */
