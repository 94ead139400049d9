/*
 * redact.c
 *	  Keeps credentials out of the log, of statistics and of activity.
 *
 * Owns the server's side: which texts there are and when they are first seen.
 * What a credential looks like is known to mask.c.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/mask.h"
#include "base/redact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

static emit_log_hook_type previous_emit_log = NULL;
static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;

/*
 * Has this session been given a text with a credential? Every text is analyzed
 * or fails before it is executed, so where it has not, nothing that is executed
 * needs to be looked at. Assumed where the library came later than the session.
 */
static bool has_seen_credential = true;

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

/*
 * The first moment the library sees a statement: hide it from activity, and
 * take away the query id of a utility statement, whose literals
 * pg_stat_statements would otherwise keep.
 */
static void
redact_analyzed_query(ParseState *pstate, Query *query, MtJumbleState *jstate)
{
	bool		has_credential = MtContainsCredential(pstate->p_sourcetext);

	if (has_credential)
	{
		has_seen_credential = true;
		MtRedactActivity();
		if (query->commandType == CMD_UTILITY)
			query->queryId = UINT64CONST(0);
	}
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);
	if (has_credential && query->commandType == CMD_UTILITY)
		query->queryId = UINT64CONST(0);
}

void
MtRedactInit(void)
{
	has_seen_credential = !process_shared_preload_libraries_in_progress;
	previous_emit_log = emit_log_hook;
	emit_log_hook = redact_log_record;
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = redact_analyzed_query;
}
