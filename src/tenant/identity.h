/*
 * identity.h
 *	  Who is asking: the parsed form of a context.
 */
#ifndef MT_IDENTITY_H
#define MT_IDENTITY_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "tenant/registry.h"
#include "utils/uuid.h"

#define MT_PRINCIPAL_MAX 255
#define MT_SCOPE_MAX 255

typedef enum MtState
{
	MT_STATE_NONE,
	MT_STATE_PRINCIPAL,			/* known principal, no tenant yet */
	MT_STATE_TENANT,
	MT_STATE_SYSTEM				/* maintenance, no tenant */
} MtState;

typedef enum MtKind
{
	MT_KIND_TENANT,
	MT_KIND_SUPERVISED,
	MT_KIND_SYSTEM
} MtKind;

typedef enum MtSource
{
	MT_SOURCE_CREDENTIAL,
	MT_SOURCE_CONNECTION,
	MT_SOURCE_BINDING,
	MT_SOURCE_NAME,
	MT_SOURCE_SESSION
} MtSource;

/* What a context rests on besides its source, a supervised one also besides the tenant's consent. */
typedef enum MtBasis
{
	MT_BASIS_TOKEN,				/* of kind supervised: a signed token says so;
								 * else nothing */
	MT_BASIS_OPERATOR,			/* the principal is an operator of the tenant */
	MT_BASIS_SUPERVISION,		/* it is, and has begun to supervise */
	MT_BASIS_MAINTENANCE		/* a procedure of the extension's goes through
								 * tables */
} MtBasis;

/* Flat, so that it can be a GUC's extra. */
typedef struct MtContext
{
	MtState		state;
	MtKind		kind;
	MtSource	source;
	bool		by_membership;	/* entered as a member, and ends with that */
	MtBasis		basis;
	pg_uuid_t	tenant;			/* these three only in MT_STATE_TENANT */
	int64		number;
	char		slug[MT_SLUG_MAX + 1];
	char		principal[MT_PRINCIPAL_MAX + 1];	/* "" for none */
	char		scope[MT_SCOPE_MAX + 1];	/* "" for none */
	TimestampTz expires;		/* DT_NOEND: never */
} MtContext;

/* Makes it a context of that tenant; the rest stays as it is. */
static inline void
MtContextSetTenant(MtContext *context, const MtTenant *tenant)
{
	context->state = MT_STATE_TENANT;
	context->tenant = tenant->id;
	context->number = tenant->number;
	strlcpy(context->slug, tenant->slug, sizeof(context->slug));
}

#endif							/* MT_IDENTITY_H */
