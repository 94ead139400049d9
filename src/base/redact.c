/*
 * redact.c
 *	  Keeps credentials out of the log, of statistics and of activity.
 *
 * Owns the server's side: which texts there are and when they are first seen.
 * What a credential looks like is known to mask.c.
 */
#include "postgres.h"

#include "base/hot.h"
#include "base/mask.h"
#include "base/redact.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

static emit_log_hook_type previous_emit_log = NULL;

/*
 * Has this session been given a text with a credential? Every text is analyzed
 * or fails before it is executed, so where it has not, nothing that is executed
 * needs to be looked at. Assumed where the library came later than the session.
 */
static MT_HOT bool has_seen_credential = true;

/*
 * Masks every field of a log record.
 *
 * Security: hide_stmt alone is not enough. The text also stands in the message
 * of log_statement and log_duration, in the DETAIL of bind parameters, and in
 * the CONTEXT of functions and portals.
 */
static void
redact_log_record(ErrorData *edata)
{
	bool		found = false;

	found |= MtMaskCredentials(edata->message);
	found |= MtMaskCredentials(edata->detail);
	found |= MtMaskCredentials(edata->detail_log);
	found |= MtMaskCredentials(edata->hint);
	found |= MtMaskCredentials(edata->context);
	found |= MtMaskCredentials(edata->internalquery);
	if (MtContainsCredential(debug_query_string))
	{
		MtMaskPieces(edata->message, debug_query_string);
		MtMaskPieces(edata->detail, debug_query_string);
		MtMaskPieces(edata->context, debug_query_string);
		edata->hide_stmt = true;
		/* A statement that cannot even be parsed is seen here only. */
		has_seen_credential = true;
		if (edata->elevel >= ERROR && IsUnderPostmaster)
			MtRedactActivity();
	}
	if (found)
		edata->hide_stmt = true;

	/*
	 * Trees of debug_print_parse and its kin, which any role can switch on,
	 * spell literals and folded parameters as decimal bytes.
	 */
	if (MtContainsSpelledCredential(edata->detail))
		edata->detail[0] = '\0';

	if (previous_emit_log)
		previous_emit_log(edata);
}

/* Looks at what is shown, which is masked already for most statements of a message. */
static pg_noinline void
redact_activity(void)
{
	char	   *masked;

	if (MyBEEntry == NULL ||
		!MtContainsCredential(MyBEEntry->st_activity_raw))
		return;
	masked = pstrdup(MyBEEntry->st_activity_raw);
	MtMaskCredentials(masked);
	pgstat_report_activity(STATE_RUNNING, masked);
	pfree(masked);
}

void
MtRedactActivity(void)
{
	if (has_seen_credential)
		redact_activity();
}

bool
MtRedactIsNeeded(void)
{
	return has_seen_credential;
}

static pg_noinline bool
redact_statement(const char *text)
{
	if (!MtContainsCredential(text))
		return false;
	has_seen_credential = true;
	MtRedactActivity();
	return true;
}

/* Most texts have not even the rarest character of how a credential begins. */
bool
MtRedactStatement(const char *text)
{
	return unlikely(MtMayContainCredential(text)) && redact_statement(text);
}

/* The literals of a utility statement, which pg_stat_statements would otherwise keep. */
void
MtRedactQueryId(Query *query)
{
	if (query->commandType == CMD_UTILITY)
		query->queryId = UINT64CONST(0);
}

void
MtRedactInit(void)
{
	has_seen_credential = !process_shared_preload_libraries_in_progress;
	previous_emit_log = emit_log_hook;
	emit_log_hook = redact_log_record;
}
