/*
 * audit.c
 *	  The emission point of security events and its first sinks.
 *
 * Owns the format of the log line and the columns of multitenant.audit_event.
 * Invariant: who, when and from which source are set here, never by a caller.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/audit.h"
#include "base/extension.h"
#include "base/mask.h"
#include "catalog/indexing.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mt_audit_engine);
PG_FUNCTION_INFO_V1(mt_audit_durably);

/* Columns of multitenant.audit_event, in their order. */
enum
{
	AUDIT_ID = 1,
	AUDIT_AT,
	AUDIT_EVENT,
	AUDIT_SOURCE,
	AUDIT_OUTCOME,
	AUDIT_TENANT_ID,
	AUDIT_PRINCIPAL,
	AUDIT_SESSION_ROLE,
	AUDIT_CURRENT_ROLE,
	AUDIT_OBJECT,
	AUDIT_DETAIL,
	AUDIT_COLUMN_COUNT = AUDIT_DETAIL
};

/* First words of event names that only the engine may use. */
static const char *const reserved_prefixes[] = {
	"access", "audit", "break_glass", "context", "credential", "isolation", "key",
	"master", "member", "multitenant", "operator", "permission", "principal",
	"purpose", "role", "scope", "supervised", "supervision", "tenant"
};

static const char *const source_names[] = {"engine", "application"};

static MtAuditIdentitySource identity_source = NULL;
static MtAuditDurableWriter durable_writer = NULL;

void
MtAuditSetIdentitySource(MtAuditIdentitySource source)
{
	identity_source = source;
}

void
MtAuditSetDurableWriter(MtAuditDurableWriter writer)
{
	durable_writer = writer;
}

bool
MtAuditIsReserved(const char *event)
{
	for (size_t i = 0; i < lengthof(reserved_prefixes); i++)
	{
		size_t		length = strlen(reserved_prefixes[i]);

		if (pg_strncasecmp(event, reserved_prefixes[i], length) == 0 &&
			(event[length] == '.' || event[length] == '\0'))
			return true;
	}
	return false;
}

/*
 * Appends key="value" with everything escaped that could end the line or the
 * value.
 *
 * Security: otherwise a tenant could write lines into the server's log.
 */
static void
append_field(StringInfo line, const char *key, const char *value)
{
	appendStringInfo(line, " %s=\"", key);
	for (const unsigned char *p = (const unsigned char *) value; *p; p++)
	{
		/* U+0080 to U+009F in UTF-8: a terminal may obey them, too. */
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
		{
			appendStringInfo(line, "\\x%02x", p[1]);
			p++;
		}
		else if (*p == '"' || *p == '\\')
			appendStringInfo(line, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			appendStringInfo(line, "\\x%02x", *p);
		else
			appendStringInfoCharMacro(line, (char) *p);
	}
	appendStringInfoCharMacro(line, '"');
}

static const char *
role_name(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	return name ? name : "";
}

static const char *
uuid_text(const pg_uuid_t *uuid)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
}

static void
write_line(const MtAuditRow *row)
{
	StringInfoData line;

	initStringInfo(&line);
	append_field(&line, "event", row->event);
	append_field(&line, "source", source_names[row->source]);
	append_field(&line, "outcome", row->outcome);
	append_field(&line, "tenant", row->has_tenant ? uuid_text(&row->tenant) : "");
	append_field(&line, "principal", row->principal);
	append_field(&line, "session_role", NameStr(row->session_role));
	append_field(&line, "role", NameStr(row->current_role));
	append_field(&line, "object", row->object ? row->object : "");
	append_field(&line, "detail", row->detail);
	ereport(LOG_SERVER_ONLY,
			errmsg_internal("multitenant audit:%s", line.data),
			errhidestmt(true),
			errhidecontext(true));
	pfree(line.data);
}

/* A copy without credentials, as a datum. */
static Datum
masked_text(const char *text)
{
	char	   *copy = pstrdup(text);

	MtMaskCredentials(copy);
	return CStringGetTextDatum(copy);
}

static void
write_row(const MtAuditRow *row, Relation relation, CatalogIndexState indexes)
{
	Datum		values[AUDIT_COLUMN_COUNT];
	bool		nulls[AUDIT_COLUMN_COUNT];
	HeapTuple	tuple;
	char	   *detail = pstrdup(row->detail);

	MtMaskCredentials(detail);
	memset(nulls, false, sizeof(nulls));
	values[AUDIT_ID - 1] = DirectFunctionCall1(gen_random_uuid, (Datum) 0);
	values[AUDIT_AT - 1] = TimestampTzGetDatum(row->at);
	values[AUDIT_EVENT - 1] = CStringGetTextDatum(row->event);
	values[AUDIT_SOURCE - 1] = CStringGetTextDatum(source_names[row->source]);
	values[AUDIT_OUTCOME - 1] = CStringGetTextDatum(row->outcome);
	nulls[AUDIT_TENANT_ID - 1] = !row->has_tenant;
	values[AUDIT_TENANT_ID - 1] = UUIDPGetDatum(&row->tenant);
	nulls[AUDIT_PRINCIPAL - 1] = (row->principal[0] == '\0');
	values[AUDIT_PRINCIPAL - 1] = masked_text(row->principal);
	values[AUDIT_SESSION_ROLE - 1] = NameGetDatum(&row->session_role);
	values[AUDIT_CURRENT_ROLE - 1] = NameGetDatum(&row->current_role);
	nulls[AUDIT_OBJECT - 1] = (row->object == NULL);
	values[AUDIT_OBJECT - 1] = row->object ? masked_text(row->object) : (Datum) 0;
	values[AUDIT_DETAIL - 1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(detail));

	tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
	CatalogTupleInsertWithInfo(relation, tuple, indexes);
	heap_freetuple(tuple);
}

void
MtAuditWriteRows(const MtAuditRow *rows, int count)
{
	Relation	relation = table_open(MtTableOid(MT_TABLE_AUDIT), RowExclusiveLock);
	CatalogIndexState indexes = CatalogOpenIndexes(relation);

	for (int i = 0; i < count; i++)
		write_row(&rows[i], relation, indexes);
	CatalogCloseIndexes(indexes);
	table_close(relation, RowExclusiveLock);
}

/* Can this transaction write a row at this moment? */
static bool
may_write(void)
{
	return !XactReadOnly && !RecoveryInProgress() && !IsInParallelMode() &&
		MtIsActive() && OidIsValid(MtTableOid(MT_TABLE_AUDIT));
}

/*
 * Completes an event by what its caller cannot say: who, and when. The principal
 * lives as long as the context.
 */
static void
complete(const MtAuditEvent *event, MtAuditRow *row)
{
	MtAuditIdentity identity = {false, {{0}}, ""};

	if (identity_source)
		identity_source(&identity);
	memset(row, 0, sizeof(*row));
	row->at = GetCurrentTimestamp();
	row->source = event->source;
	row->has_tenant = event->tenant != NULL || identity.has_tenant;
	if (row->has_tenant)
		row->tenant = event->tenant != NULL ? *event->tenant : identity.tenant;
	/* A process of the server that is in no database works for no role. */
	if (OidIsValid(MyDatabaseId))
	{
		namestrcpy(&row->session_role, role_name(GetSessionUserId()));
		namestrcpy(&row->current_role, role_name(GetOuterUserId()));
	}
	row->event = event->event;
	row->outcome = event->outcome;
	row->principal = identity.principal;
	row->object = event->object;
	row->detail = event->detail ? event->detail : "{}";
}

void
MtAuditEmit(const MtAuditEvent *event)
{
	MtAuditRow	row;

	complete(event, &row);
	write_line(&row);
	if (may_write())
		MtAuditWriteRows(&row, 1);
}

/*
 * Security: fails closed. What must be recorded durably does not happen where that
 * cannot be.
 */
void
MtAuditEmitDurable(const MtAuditEvent *events, int count)
{
	MtAuditRow *rows = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(MtAuditRow));

	for (int i = 0; i < count; i++)
	{
		complete(&events[i], &rows[i]);
		write_line(&rows[i]);
	}
	if (RecoveryInProgress())
		ereport(ERROR,
				errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				errmsg("this must be recorded, and a standby can record nothing"),
				errhint("Do it on the primary server."));
	if (durable_writer == NULL || !IsUnderPostmaster || !MtIsActive())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("this must be recorded, and no process can be started for it here"),
				errhint("Do it in an ordinary session."));
	durable_writer(rows, count);
	pfree(rows);
}

static void
event_from_arguments(FunctionCallInfo fcinfo, MtAuditEvent *event)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		elog(ERROR, "an event needs a name and an outcome");
	event->event = text_to_cstring(PG_GETARG_TEXT_PP(0));
	event->source = MT_AUDIT_ENGINE;
	event->tenant = PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1);
	event->object = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	event->outcome = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!PG_ARGISNULL(4))
		event->detail = JsonbToCString(NULL, &PG_GETARG_JSONB_P(4)->root,
									   VARSIZE_ANY(PG_GETARG_JSONB_P(4)));
}

/*
 * multitenant._audit(event, tenant, object, outcome, detail): for the
 * extension's own definer functions. Not executable by PUBLIC.
 */
Datum
mt_audit_engine(PG_FUNCTION_ARGS)
{
	MtAuditEvent event = {0};

	event_from_arguments(fcinfo, &event);
	MtAuditEmit(&event);
	PG_RETURN_VOID();
}

/* multitenant._audit_durably(..): the same, past the end of this transaction. */
Datum
mt_audit_durably(PG_FUNCTION_ARGS)
{
	MtAuditEvent event = {0};

	event_from_arguments(fcinfo, &event);
	MtAuditEmitDurable(&event, 1);
	PG_RETURN_VOID();
}
