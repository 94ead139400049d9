/*
 * context.c
 *	  The context of the transaction and the lock that keeps it from changing.
 *
 * Owns the GUC multitenant.context, whose extra is the parsed context, the GUC
 * multitenant.session_context, which a role may be granted, and the lock.
 *
 * Invariants: only write_context() writes the GUCs, so a value in them was decided
 * by this library; the GUC machinery undoes the context with its (sub)transaction
 * and copies it to parallel workers; the lock is a C variable keyed by the local
 * transaction id, so ROLLBACK TO, RESET and functions with SET clauses cannot
 * open a transaction to a second identity.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/audit.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/leader.h"
#include "base/moment.h"
#include "base/settings.h"
#include "base/slots.h"
#include "base/transaction.h"
#include "crypto/keyring.h"
#include "miscadmin.h"
#include "tenant/access.h"
#include "tenant/context.h"
#include "tenant/credential.h"
#include "tenant/membership.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CONTEXT_GUC			"multitenant.context"
#define SESSION_CONTEXT_GUC	"multitenant.session_context"
#define VALUE_VERSION		"1"

/* What the transaction has decided to be. Valid while lxid is the current one. */
typedef struct ContextLock
{
	LocalTransactionId lxid;
	TimestampTz since;			/* when the context came */
	MtContext	identity;
	bool		is_used;		/* protected data was touched under it */
} ContextLock;

/* This transaction enters no tenant any more. */
static LocalTransactionId outside_lxid = InvalidLocalTransactionId;

static const MtContext no_context = {.state = MT_STATE_NONE};

static MT_HOT const MtContext *current_context = &no_context;
static const MtContext *session_context = &no_context;
static char *context_value = NULL;
static char *session_context_value = NULL;
static const MtContext *being_written = NULL;	/* by write_context() */
static ContextLock lock = {.lxid = InvalidLocalTransactionId};
static MtContextListener tenant_listeners[2];
static int	tenant_listener_count = 0;
static MtContextListener change_listener = NULL;
static MtContextValidator validator = NULL;
static MtContextVisitor visitor = NULL;
static MT_HOT int planner_depth = 0;
static LocalTransactionId last_context_lxid = InvalidLocalTransactionId;

/*
 * Whoever tries to replace the session-scoped context ends it, whatever comes of
 * the attempt. The GUC cannot say so: a failed attempt is rolled back, and the
 * old value comes back with it.
 */
static bool is_session_forsaken = false;
static bool was_session_challenged = false; /* in this transaction */
static uint64 session_keys = 0; /* their fingerprint when it was set */

/*
 * What the session offered when last asked: asked again when another user or other
 * profiles may say otherwise. The token and the reason stay what they were when the
 * session began, and a session-scoped context that comes resets is_none.
 */
typedef struct Offer
{
	bool		is_none;		/* nothing at all */
	bool		is_bound;
	Oid			session_user;
	uint64		generation;		/* of profiles */
} Offer;

static MT_HOT Offer offer = {false, false, InvalidOid, 0};

/* A copy of the current tenant in TopTransactionContext, once it is asked for. */
static const pg_uuid_t *tenant_copy = NULL;

/* The context last seen valid, and the registry generation it was seen at. */
static MtContext validated;
static uint64 validated_generation = 0;
static TimestampTz validated_until = DT_NOEND;
static bool validated_membership = false;	/* the setting, then */

/* ---- the value of the GUC ---- */

/*
 * The value is there for parallel workers, which read it; whoever else sets it
 * hands the context over as it is. It carries no secret, because an error in a
 * worker would print it. Its fields are hexadecimal, so that nothing in them can
 * be taken for a separator.
 */
typedef struct ValueHead
{
	uint8		state;
	uint8		kind;
	uint8		source;
	uint8		by_membership;
	uint8		basis;
	uint8		padding[3];
	int64		number;
	TimestampTz expires;
	pg_uuid_t	tenant;
} ValueHead;

/* The longest value: each of its bytes is two digits, each field has a space. */
#define VALUE_MAX \
	(sizeof(VALUE_VERSION) + 4 + \
	 2 * (sizeof(ValueHead) + MT_SLUG_MAX + MT_PRINCIPAL_MAX + MT_SCOPE_MAX))

static char *
append_hex(char *p, const void *bytes, size_t length)
{
	*p++ = ' ';
	return p + hex_encode(bytes, length, p);
}

/* The value is written into buffer, which has VALUE_MAX bytes. */
static void
encode_context(const MtContext *context, char *buffer)
{
	ValueHead	head = {.state = context->state,.kind = context->kind,
		.source = context->source,.by_membership = context->by_membership,.basis = context->basis,
	.number = context->number,.expires = context->expires,.tenant = context->tenant};
	char	   *p = buffer + strlcpy(buffer, VALUE_VERSION, VALUE_MAX);

	p = append_hex(p, &head, sizeof(head));
	p = append_hex(p, context->slug, strlen(context->slug));
	p = append_hex(p, context->principal, strlen(context->principal));
	p = append_hex(p, context->scope, strlen(context->scope));
	*p = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Reads one hexadecimal field of at most size bytes; NULL if it is wrong. */
static const char *
decode_hex(const char *p, void *out, size_t size, size_t *length)
{
	*length = 0;
	if (*p++ != ' ')
		return NULL;
	for (; *p != '\0' && *p != ' '; p += 2)
	{
		int			high = hex_digit(p[0]);
		int			low = high < 0 ? -1 : hex_digit(p[1]);

		if (low < 0 || *length >= size)
			return NULL;
		((uint8 *) out)[(*length)++] = (uint8) (high << 4 | low);
	}
	return p;
}

static bool
decode_context(const char *value, MtContext *out)
{
	ValueHead	head;
	size_t		length;
	const char *p = value + strlen(VALUE_VERSION);

	memset(out, 0, sizeof(*out));
	if (strncmp(value, VALUE_VERSION, strlen(VALUE_VERSION)) != 0)
		return false;
	p = decode_hex(p, &head, sizeof(head), &length);
	if (p == NULL || length != sizeof(head))
		return false;
	out->state = (MtState) head.state;
	out->kind = (MtKind) head.kind;
	out->source = (MtSource) head.source;
	out->by_membership = head.by_membership != 0;
	out->basis = (MtBasis) head.basis;
	out->number = head.number;
	out->expires = head.expires;
	out->tenant = head.tenant;
	p = decode_hex(p, out->slug, MT_SLUG_MAX, &length);
	if (p)
		p = decode_hex(p, out->principal, MT_PRINCIPAL_MAX, &length);
	if (p)
		p = decode_hex(p, out->scope, MT_SCOPE_MAX, &length);
	return p != NULL && *p == '\0';
}

/*
 * Security: the boundary of the whole context. SET, set_config(), startup
 * options, ALTER ROLE .. SET, function SET clauses and UPDATE pg_settings all
 * end here. A parallel worker takes over what its leader had.
 */
static bool
check_context(char **newval, void **extra, GucSource source)
{
	MtContext  *parsed;

	if (*newval == NULL || **newval == '\0')
	{
		if (source == PGC_S_DEFAULT || being_written || InitializingParallelWorker)
			return true;
	}
	else if (being_written || InitializingParallelWorker)
	{
		parsed = MtGucAlloc(sizeof(MtContext));
		if (parsed == NULL)
			return false;
		if (being_written)
			*parsed = *being_written;
		if (being_written || decode_context(*newval, parsed))
		{
			*extra = parsed;
			return true;
		}
	}
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("the context cannot be set as a setting");
	GUC_check_errhint("Call multitenant.authenticate() or multitenant.use_tenant().");
	return false;
}

/* May run at rollback: only takes note, never fails. */
static void
assign_context(const char *newval, void *extra)
{
	current_context = extra ? (const MtContext *) extra : &no_context;
	tenant_copy = NULL;
	if (!IsParallelWorker())
		MtSlotsSetTenant(current_context->state == MT_STATE_TENANT ?
						 MtSlotTenantKey(&current_context->tenant) : 0);
}

static void
assign_session_context(const char *newval, void *extra)
{
	session_context = extra ? (const MtContext *) extra : &no_context;
	offer.is_none = false;
}

/* The only writer of both GUCs. */
static void
write_context(const char *name, const MtContext *context, GucAction action)
{
	char		value[VALUE_MAX] = "";

	if (context->state != MT_STATE_NONE)
		encode_context(context, value);
	being_written = context;
	PG_TRY();
	{
		(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
								 action, true, ERROR, false);
	}
	PG_FINALLY();
	{
		being_written = NULL;
	}
	PG_END_TRY();
}

static void
set_context(const MtContext *context, GucAction action)
{
	if (change_listener)
		change_listener(context);
	write_context(CONTEXT_GUC, context, action);

	/*
	 * Security: from now on the server refuses writing by itself, also where
	 * no guard looks. The end of a subtransaction undoes it, and so can the
	 * session; guard/supervised.c sets it again.
	 */
	if (context->state == MT_STATE_TENANT && context->kind == MT_KIND_SUPERVISED)
		XactReadOnly = true;
}

/* ---- the lock ---- */

static bool
lock_is_held(void)
{
	return lock.lxid != InvalidLocalTransactionId && MyProc != NULL &&
		lock.lxid == MtLocalTransactionId();
}

static void
take_lock(const MtContext *identity)
{
	bool		was_used = lock_is_held() && lock.is_used;

	lock.lxid = MtLocalTransactionId();
	lock.since = MtMoment();
	lock.identity = *identity;
	lock.is_used = was_used;
	last_context_lxid = lock.lxid;
	MtTransactionNote();
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && was_session_challenged)
		is_session_forsaken = true;
}

static void
transaction_ended(XactEvent event)
{
	if (event == XACT_EVENT_ABORT && was_session_challenged)
		is_session_forsaken = true;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		lock.lxid = InvalidLocalTransactionId;
		lock.is_used = false;
		was_session_challenged = false;
	}
	/* The context went first; its memory goes soon. */
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
		tenant_copy = NULL;
}

static bool
is_same_identity(const MtContext *a, const MtContext *b)
{
	return a->state == b->state && a->kind == b->kind &&
		memcmp(&a->tenant, &b->tenant, UUID_LEN) == 0 &&
		strcmp(a->principal, b->principal) == 0 &&
		strcmp(a->scope, b->scope) == 0;
}

/* May the lock be replaced by an explicit call? */
static bool
lock_is_replaceable(void)
{
	return !lock.is_used && (lock.identity.source == MT_SOURCE_SESSION ||
							 lock.identity.source == MT_SOURCE_CONNECTION ||
							 lock.identity.source == MT_SOURCE_BINDING);
}

/* ---- reading ---- */

const MtContext *
MtContextGet(void)
{
	return current_context;
}

const pg_uuid_t *
MtContextTenant(void)
{
	pg_uuid_t  *copy;

	if (likely(tenant_copy != NULL))
		return tenant_copy;
	if (current_context->state != MT_STATE_TENANT)
		return NULL;
	copy = MemoryContextAlloc(TopTransactionContext, sizeof(pg_uuid_t));
	*copy = current_context->tenant;
	tenant_copy = copy;
	MtTransactionNote();
	return copy;
}

bool
MtContextIsUsed(void)
{
	return lock.is_used && lock_is_held();
}

void
MtContextDenyMissing(MtDenial *denial)
{
	const char *hint = "Call multitenant.authenticate() first in this transaction.";

	if (current_context->state == MT_STATE_PRINCIPAL)
		hint = "This credential names a principal only; call multitenant.switch_tenant().";
	else if (current_context->state == MT_STATE_SYSTEM)
		hint = "A system context has no tenant; enter one tenant at a time, "
			"or use a role with a recorded bypass.";
	else if (lock_is_held())
		hint = "The context of this transaction was undone by a rollback to a "
			"savepoint or a reset; authenticate again for the same tenant.";
	else if (last_context_lxid != InvalidLocalTransactionId)
		hint = "An earlier transaction of this session had a context, which ended "
			"with it; is the client in autocommit? Authenticate and query in one transaction.";
	MtDeny(denial, MT_ERRCODE_NO_CONTEXT, "no tenant context", NULL, hint);
}

void
MtContextOnValidate(MtContextValidator its_validator)
{
	Assert(validator == NULL);
	validator = its_validator;
}

void
MtContextHoldsUntil(TimestampTz until)
{
	validated_until = Min(validated_until, until);
}

/* Would the answer of validate() be that of the last time? */
static inline bool
is_validated(uint64 generation)
{
	return validated_generation == generation &&
		validated_membership == mt_guc_require_membership &&
		validated.number == current_context->number &&
		validated.kind == current_context->kind &&
		validated.by_membership == current_context->by_membership &&
		validated.basis == current_context->basis &&
		memcmp(&validated.tenant, &current_context->tenant, UUID_LEN) == 0 &&
		strcmp(validated.principal, current_context->principal) == 0 &&
		(validated_until == DT_NOEND || validated_until > MtMoment());
}

/* Is the tenant of the context active, and does nobody object to the context? */
static bool
validate(MtDenial *denial)
{
	MtTenant	tenant;
	uint64		generation;

	MtRegistryAccept();
	generation = MtRegistryGeneration();
	if (likely(is_validated(generation)))
		return true;

	/* Another tenant may have got the id of one that is gone. */
	if (MtRegistryById(&current_context->tenant, &tenant) &&
		tenant.state == MT_TENANT_ACTIVE &&
		tenant.number == current_context->number &&
		strcmp(tenant.slug, current_context->slug) == 0)
	{
		validated_generation = 0;
		if (!MtMembershipAllows(current_context, &validated_until, denial))
			return false;
		if (validator != NULL && !validator(current_context, denial))
			return false;
		validated = *current_context;
		validated_generation = generation;
		validated_membership = mt_guc_require_membership;
		return true;
	}
	return MtDeny(denial, MT_ERRCODE_TENANT_NOT_ACTIVE,
				  "the tenant of this context is not active", NULL,
				  "Ask the operator of this service why the tenant is suspended or deleted.");
}

/*
 * Security: a rollback to a savepoint can bring back a context that the session
 * brought along and that this transaction has replaced since.
 */
static bool
is_brought_back(void)
{
	return (lock_is_held() && !is_same_identity(current_context, &lock.identity)) ||
		MtLeaderSaid(MT_LEADER_WAS_BROUGHT_BACK);
}

bool
MtContextIsPassing(void)
{
	if (is_brought_back())
		return true;
	return mt_guc_token != NULL && mt_guc_token[0] != '\0' && lock_is_held() &&
		lock.identity.source != MT_SOURCE_CONNECTION &&
		lock.identity.source != MT_SOURCE_BINDING;
}

bool
MtContextIsAny(void)
{
	return unlikely(current_context != &no_context) || unlikely(lock.lxid != InvalidLocalTransactionId);
}

/*
 * Security: what was read in a supervised context must not be written in the rest of
 * its transaction either. The lock does not go with the context.
 */
static pg_noinline bool
is_supervised(void)
{
	return (current_context->kind == MT_KIND_SUPERVISED && current_context->state == MT_STATE_TENANT) ||
		(lock.identity.kind == MT_KIND_SUPERVISED && lock_is_held());
}

bool
MtContextIsSupervised(void)
{
	return (unlikely(MtContextIsAny()) && is_supervised()) || MtLeaderSaid(MT_LEADER_IS_SUPERVISED);
}

bool
MtContextIsReplaceable(void)
{
	return lock_is_held() && lock_is_replaceable() &&
		lock.identity.source != MT_SOURCE_BINDING;
}

/*
 * The later of when the client's message began and when this transaction got its
 * context. Security: one message can hold many transactions, each of which gets it anew
 * from what the session keeps.
 */
static TimestampTz
begun_at(void)
{
	TimestampTz at = lock_is_held() ? lock.since : GetCurrentTransactionStartTimestamp();

	return Max(at, GetCurrentStatementStartTimestamp());
}

/* Is the context that of this transaction, and has its credential not expired? */
static bool
is_still_held(MtDenial *denial)
{
	if (is_brought_back())
		return MtDeny(denial, MT_ERRCODE_CONTEXT_CONFLICT,
					  "this transaction has had another context",
					  "The context that a rollback brought back is not the one of this transaction.",
					  "End this transaction and start a new one.");

	/*
	 * Not the clock: exp ends new statements, not one that is running.
	 */
	if (current_context->expires != DT_NOEND &&
		current_context->expires + mt_guc_clock_leeway * USECS_PER_SEC <=
		begun_at())
		return MtDeny(denial, MT_ERRCODE_CREDENTIAL_EXPIRED,
					  "the credential of this context has expired", NULL,
					  "Get a new credential and start a new transaction with it.");
	return true;
}

bool
MtContextCheck(MtDenial *denial)
{
	if (current_context->state != MT_STATE_TENANT)
	{
		MtContextDenyMissing(denial);
		return false;
	}

	if (!is_still_held(denial) || !validate(denial))
		return false;
	if (lock_is_held())
		lock.is_used = true;
	return true;
}

/* Security: who is disabled can do nothing, also where no tenant is concerned. */
static bool
is_principal_enabled(const MtContext *context, MtDenial *denial)
{
	MtRegistryAccept();
	return !MtPrincipalIsDisabled(context->principal) ||
		MtDeny(denial, MT_ERRCODE_NOT_A_MEMBER,
			   "the principal of this context has been disabled", NULL,
			   "Ask the operator of this service.");
}

bool
MtContextCheckPrincipal(MtDenial *denial)
{
	if (current_context->state == MT_STATE_TENANT && current_context->principal[0] != '\0')
		return MtContextCheck(denial);
	if (current_context->state != MT_STATE_PRINCIPAL)
		return MtDeny(denial, MT_ERRCODE_NO_CONTEXT, "no principal in this transaction", NULL,
					  "Call multitenant.authenticate() with a credential of the principal first.");
	if (!is_still_held(denial) || !is_principal_enabled(current_context, denial))
		return false;
	if (lock_is_held())
		lock.is_used = true;
	return true;
}

bool
MtContextCheckAny(MtDenial *denial)
{
	switch (current_context->state)
	{
		case MT_STATE_TENANT:
			return MtContextCheck(denial);
		case MT_STATE_PRINCIPAL:
			return MtContextCheckPrincipal(denial);
		case MT_STATE_SYSTEM:
			return is_still_held(denial) && is_principal_enabled(current_context, denial);
		case MT_STATE_NONE:
			break;
	}
	MtContextDenyMissing(denial);
	return false;
}

/* ---- writing ---- */

static void
refuse_where_impossible(void)
{
	if (planner_depth > 0 || IsInParallelMode())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the context cannot be set %s",
					   planner_depth > 0 ? "while a statement is planned" :
					   "during a parallel operation"),
				errhint("Set the context in a statement of its own."));
}

static void
raise_conflict(const char *detail)
{
	ereport(ERROR,
			errcode(MT_ERRCODE_CONTEXT_CONFLICT),
			errmsg("this transaction already has another context"),
			errdetail_internal("%s", detail),
			errhint("End this transaction and set the other context in a new one."));
}

/* Security: nothing moves a bound role to another tenant. */
static void
refuse_against_binding(const MtContext *context)
{
	MtBinding	binding;

	MtAccessBinding(&binding);
	if (!binding.is_bound)
		return;
	if (context->state != MT_STATE_TENANT ||
		memcmp(&binding.tenant, &context->tenant, UUID_LEN) != 0)
		raise_conflict("The role of this session is bound to one tenant.");
}

void
MtContextOnTenant(MtContextListener listener)
{
	Assert(tenant_listener_count < (int) lengthof(tenant_listeners));
	tenant_listeners[tenant_listener_count++] = listener;
}

void
MtContextOnChange(MtContextListener listener)
{
	Assert(change_listener == NULL);
	change_listener = listener;
}

static void
announce(const MtContext *context)
{
	if (context->state == MT_STATE_TENANT)
		for (int i = 0; i < tenant_listener_count; i++)
			tenant_listeners[i] (context);
}

/*
 * Sets the context and takes the lock. The tenant's state is checked after the
 * slot in shared memory names it (see MtSlotsEpoch()); if it is not active the
 * lock is what it was before, because a failed attempt does not lock.
 */
static void
adopt(const MtContext *context)
{
	ContextLock before = lock;
	MtDenial	denial;

	announce(context);
	set_context(context, GUC_ACTION_LOCAL);
	take_lock(context);
	if ((context->state == MT_STATE_TENANT && !validate(&denial)) ||
		(context->state == MT_STATE_PRINCIPAL && !is_principal_enabled(context, &denial)))
	{
		lock = before;
		MtDenialRaise(&denial);
	}
}

void
MtContextEstablish(const MtContext *context)
{
	refuse_where_impossible();
	refuse_against_binding(context);
	if (lock_is_held() && !is_same_identity(&lock.identity, context) &&
		!lock_is_replaceable())
		raise_conflict("A context lasts until the end of its transaction, "
					   "also after a rollback to a savepoint.");

	/*
	 * The same again is a no-op, except that a later expiry counts, and that
	 * it is a member's context from now on.
	 */
	if (lock_is_held() && is_same_identity(current_context, context))
	{
		MtContext	renewed = *current_context;

		renewed.expires = Max(context->expires, current_context->expires);
		renewed.by_membership |= context->by_membership;
		if (renewed.expires != current_context->expires ||
			renewed.by_membership != current_context->by_membership)
			set_context(&renewed, GUC_ACTION_LOCAL);
	}
	else
		adopt(context);

	if (context->state == MT_STATE_TENANT && MtAccessHas(MT_MAY_KEEP_SESSION))
	{
		write_context(SESSION_CONTEXT_GUC, context, GUC_ACTION_SET);
		session_keys = MtKeyringFingerprint();
		is_session_forsaken = false;
	}
}

/*
 * Security: a pooled session whose next client fails to authenticate must not
 * go on with the context of the client before.
 */
void
MtContextForsakeSession(void)
{
	was_session_challenged = true;
	is_session_forsaken = true;
	MtTransactionNote();
}

void
MtContextOnVisit(MtContextVisitor listener)
{
	Assert(visitor == NULL);
	visitor = listener;
}

/* Security: one error for "does not exist", "is not yours" and "not any longer". */
void
MtContextRaiseNoSuchTenant(void)
{
	ereport(ERROR,
			errcode(MT_ERRCODE_NOT_A_MEMBER),
			errmsg("no such tenant, or not a member of it"),
			errhint("Name a tenant by its id, number or slug."));
}

bool
MtContextEnterTenant(const MtTenant *tenant, bool is_member)
{
	MtContext	context = *current_context;

	refuse_where_impossible();
	MtContextSetTenant(&context, tenant);
	if (is_member)
		context.by_membership = true;
	else if (visitor == NULL || !visitor(&context))
		MtContextRaiseNoSuchTenant();

	if (current_context->state == MT_STATE_TENANT)
	{
		if (memcmp(&current_context->tenant, &tenant->id, UUID_LEN) == 0 &&
			current_context->kind == context.kind)
			return false;
		raise_conflict("A context lasts until the end of its transaction.");
	}
	Assert(current_context->state == MT_STATE_PRINCIPAL);
	if (outside_lxid == MtLocalTransactionId())
		raise_conflict("It has read in several tenants; start a new transaction.");

	refuse_against_binding(&context);
	/* The lock says principal, or a tenant entered before a ROLLBACK TO. */
	if (lock_is_held() && lock.identity.state == MT_STATE_TENANT &&
		!is_same_identity(&lock.identity, &context))
		raise_conflict("A context lasts until the end of its transaction, "
					   "also after a rollback to a savepoint.");
	adopt(&context);
	return true;
}

void
MtContextStayOutside(void)
{
	outside_lxid = MtLocalTransactionId();
}

void
MtContextReset(void)
{
	refuse_where_impossible();
	if (session_context->state != MT_STATE_NONE)
		write_context(SESSION_CONTEXT_GUC, &no_context, GUC_ACTION_SET);
	if (current_context->state != MT_STATE_NONE)
		set_context(&no_context, GUC_ACTION_LOCAL);
}

/* ---- one context for a while ---- */

/*
 * Security: a cursor that was opened under this transaction's own context must not
 * go on beside another, nor may its rows be read under it. So there must not have
 * been one with a tenant or principal, and what is open around the push was not
 * filtered by one.
 */
void
MtContextRequireNone(void)
{
	refuse_where_impossible();
	if (lock_is_held() ? lock.identity.state != MT_STATE_SYSTEM :
		current_context->state != MT_STATE_NONE)
		raise_conflict("Other contexts can be tried only in a transaction that has none.");
}

/*
 * Security: an operator's own transaction is a principal's, and such a context reads
 * nothing that is protected, so nothing open around the push was filtered by it. It
 * was never a tenant's either, also not before a rollback: the lock says so.
 */
static void
require_pushable(const MtContext *context)
{
	if (context->state != MT_STATE_TENANT || context->kind != MT_KIND_SUPERVISED ||
		current_context->state != MT_STATE_PRINCIPAL ||
		!lock_is_held() || lock.identity.state != MT_STATE_PRINCIPAL)
	{
		MtContextRequireNone();
		return;
	}
	refuse_where_impossible();
	refuse_against_binding(context);
}

void
MtContextPush(const MtContext *context, MtContextStack *stack)
{
	MtDenial	denial;

	require_pushable(context);
	stack->lock_lxid = lock.lxid;
	stack->identity = lock.identity;
	stack->is_used = lock.is_used;
	stack->last_lxid = last_context_lxid;
	stack->nest_level = NewGUCNestLevel();
	stack->is_pushed = true;

	lock.lxid = InvalidLocalTransactionId;
	set_context(context, GUC_ACTION_SAVE);
	if (context->state == MT_STATE_NONE)
		return;
	take_lock(context);
	if (context->state == MT_STATE_TENANT && !validate(&denial))
		MtDenialRaise(&denial);
}

void
MtContextPop(MtContextStack *stack)
{
	AtEOXact_GUC(false, stack->nest_level);
	MtContextPopAfterError(stack);
}

void
MtContextPopAfterError(MtContextStack *stack)
{
	if (!stack->is_pushed)
		return;
	stack->is_pushed = false;
	lock.lxid = stack->lock_lxid;
	lock.identity = stack->identity;
	lock.is_used = stack->is_used;
	last_context_lxid = stack->last_lxid;
}

/* ---- contexts that the session brings along ---- */

static bool
offer_binding(MtContext *out)
{
	MtBinding	binding;
	MtTenant	tenant;

	MtAccessBinding(&binding);
	if (!binding.is_bound || !MtRegistryById(&binding.tenant, &tenant))
		return false;
	memset(out, 0, sizeof(*out));
	MtContextSetTenant(out, &tenant);
	out->source = MT_SOURCE_BINDING;
	out->expires = DT_NOEND;
	return true;
}

static bool
offer_system(MtContext *out)
{
	MtAuditEvent event = {.event = "context.system",.outcome = "allowed"};

	if (mt_guc_system_reason == NULL || mt_guc_system_reason[0] == '\0')
		return false;
	MtAccessRequire(MT_MAY_ENTER_SYSTEM, "multitenant.system_reason");
	memset(out, 0, sizeof(*out));
	out->state = MT_STATE_SYSTEM;
	out->kind = MT_KIND_SYSTEM;
	out->source = MT_SOURCE_CONNECTION;
	out->expires = DT_NOEND;
	event.object = mt_guc_system_reason;
	MtAuditEmit(&event);
	return true;
}

/* A bound role that also brings a token must bring one of its own tenant. */
static void
refuse_foreign_token(const MtContext *binding)
{
	MtContext	context;

	if (mt_guc_token == NULL || mt_guc_token[0] == '\0')
		return;
	MtCredentialVerify(mt_guc_token, strlen(mt_guc_token), &context);
	if (memcmp(&binding->tenant, &context.tenant, UUID_LEN) != 0)
		raise_conflict("The role of this session is bound to one tenant, its token names another.");
}

/* What this session offers, the strongest claim on it first. */
static bool
offer_context(MtContext *out)
{
	if (offer_binding(out))
	{
		refuse_foreign_token(out);
		return true;
	}
	if (mt_guc_token != NULL && mt_guc_token[0] != '\0')
	{
		MtAccessRequire(MT_MAY_AUTHENTICATE, "multitenant.token");
		MtCredentialVerify(mt_guc_token, strlen(mt_guc_token), out);
		out->source = MT_SOURCE_CONNECTION;
		return true;
	}
	/* A change to any signing key ends it: it may have been this one's. */
	if (session_context->state != MT_STATE_NONE && !is_session_forsaken &&
		MtAccessHas(MT_MAY_KEEP_SESSION) &&
		session_keys == MtKeyringFingerprint())
	{
		*out = *session_context;
		out->source = MT_SOURCE_SESSION;
		return true;
	}
	return offer_system(out);
}

/* Is it certain that this session has nothing to offer? */
static bool
nothing_to_offer(void)
{
	MtBinding	binding;

	if ((mt_guc_token != NULL && mt_guc_token[0] != '\0') ||
		(mt_guc_system_reason != NULL && mt_guc_system_reason[0] != '\0') ||
		session_context->state != MT_STATE_NONE || lock_is_held())
		return false;
	if (!MtIsActive())
		return true;
	if (offer.session_user != GetSessionUserId() ||
		offer.generation != MtAccessGeneration())
	{
		offer.is_none = false;
		MtAccessBinding(&binding);
		offer.session_user = GetSessionUserId();
		offer.generation = MtAccessGeneration();
		offer.is_bound = binding.is_bound;
	}
	offer.is_none = !offer.is_bound;
	return offer.is_none;
}

static pg_noinline void
materialise(void)
{
	MtContext	context;

	if (current_context->state != MT_STATE_NONE || nothing_to_offer())
		return;
	if (IsInParallelMode() || IsParallelWorker() || !MtIsActive())
		return;

	if (!offer_context(&context))
		return;
	if (lock_is_held() && !is_same_identity(&lock.identity, &context))
		return;
	announce(&context);
	set_context(&context, GUC_ACTION_LOCAL);
	take_lock(&context);
}

/* Also where the lock is held, which offers nothing by itself. */
bool
MtContextMayCome(void)
{
	return unlikely(!offer.is_none) || unlikely(offer.generation != MtAccessGeneration()) ||
		unlikely(offer.session_user != GetSessionUserId());
}

void
MtContextMaterialise(void)
{
	if (unlikely(MtContextMayCome()))
		materialise();
}

bool
MtContextIsMaintenance(void)
{
	return current_context->state == MT_STATE_TENANT && current_context->basis == MT_BASIS_MAINTENANCE &&
		current_context->kind == MT_KIND_TENANT && current_context->principal[0] == '\0';
}

bool
MtContextIsBrought(void)
{
	return current_context->state == MT_STATE_NONE &&
		((mt_guc_token != NULL && mt_guc_token[0] != '\0') || session_context->state != MT_STATE_NONE);
}

bool
MtContextIsOffered(void)
{
	return !nothing_to_offer() &&
		(session_context->state == MT_STATE_NONE || !is_session_forsaken);
}

int
MtContextPlannerDepth(void)
{
	return planner_depth;
}

void
MtContextSetPlannerDepth(int depth)
{
	planner_depth = depth;
}

bool
MtContextIsPlanning(void)
{
	return planner_depth > 0;
}

static void
identify_for_audit(MtAuditIdentity *identity)
{
	identity->has_tenant = current_context->state == MT_STATE_TENANT;
	identity->tenant = current_context->tenant;
	identity->principal = current_context->principal;
}

void
MtContextInit(void)
{
	/*
	 * No show hook: the flags keep the value out of SHOW ALL and of
	 * pg_settings. NO_RESET_ALL: RESET ALL must not end a context in the
	 * middle of its transaction.
	 */
	DefineCustomStringVariable(CONTEXT_GUC,
							   "Context of the current transaction (internal).",
							   NULL, &context_value, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL |
							   GUC_DISALLOW_IN_FILE | GUC_NOT_IN_SAMPLE,
							   check_context, assign_context, NULL);

	/*
	 * This one does go with RESET ALL and DISCARD ALL, so that pools clean
	 * it.
	 */
	DefineCustomStringVariable(SESSION_CONTEXT_GUC,
							   "Context that a session keeps (internal).",
							   NULL, &session_context_value, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_DISALLOW_IN_FILE |
							   GUC_NOT_IN_SAMPLE,
							   check_context, assign_session_context, NULL);
	MtTransactionOnEnd(transaction_ended);
	MtTransactionOnSubEnd(subtransaction_ended);
	MtAuditSetIdentitySource(identify_for_audit);
	MtLeaderOnTell(MT_LEADER_IS_SUPERVISED, MtContextIsSupervised);
	MtLeaderOnTell(MT_LEADER_WAS_BROUGHT_BACK, is_brought_back);
}
