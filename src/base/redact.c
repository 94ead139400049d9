/*
 * redact.c
 *	  Keeps credentials out of the log, of statistics and of activity.
 *
 * A credential is recognised by its pattern: the base64url of '{"' that starts
 * every JWS header, followed by base64url characters and dots. credential.c
 * accepts no token that does not start so.
 */
#include "postgres.h"

#include "base/redact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

#define CREDENTIAL_PREFIX		"eyJ"
#define CREDENTIAL_PREFIX_LEN	3

#define CREDENTIAL_AS_BYTES		" 101 121 74 "	/* the prefix in node trees */

/* A run shorter than this holds no secret; eight characters are six bytes. */
#define CREDENTIAL_MINIMUM_RUN	8

static emit_log_hook_type previous_emit_log = NULL;
static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;

/*
 * Has this session been given a text with a credential? Every text is analyzed
 * or fails before it is executed, so where it has not, nothing that is executed
 * needs to be looked at. Assumed where the library came later than the session.
 */
static bool has_seen_credential = true;

static bool
is_credential_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* Finds the next credential; returns its start and sets *end, or NULL. */
static const char *
find_credential(const char *text, const char **end)
{
	const char *start = text;

	while ((start = strstr(start, CREDENTIAL_PREFIX)) != NULL)
	{
		const char *p = start + CREDENTIAL_PREFIX_LEN;

		while (is_credential_character(*p))
			p++;
		if (p - start >= CREDENTIAL_PREFIX_LEN + CREDENTIAL_MINIMUM_RUN)
		{
			*end = p;
			return start;
		}
		start = p;
	}
	return NULL;
}

bool
MtContainsCredential(const char *text)
{
	const char *end;

	return text != NULL && find_credential(text, &end) != NULL;
}

bool
MtMaskCredentials(char *text)
{
	const char *end;
	const char *start;
	bool		found = false;

	if (text == NULL)
		return false;
	while ((start = find_credential(text, &end)) != NULL)
	{
		memset(text + (start - text), '*', end - start);
		text += end - text;
		found = true;
	}
	return found;
}

/*
 * Masks pieces of the running statement's credentials: the message of a syntax
 * error quotes where it stopped, which can be in the middle of one. Eight
 * characters of a row are a piece.
 */
static void
mask_pieces(char *text, const char *statement)
{
	const char *start;
	const char *end;

	if (text == NULL || statement == NULL)
		return;
	while ((start = find_credential(statement, &end)) != NULL)
	{
		for (char *p = text; *p != '\0';)
		{
			size_t		run = 0;

			while (is_credential_character(p[run]))
				run++;
			if (run >= CREDENTIAL_MINIMUM_RUN &&
				memmem(start, end - start, p, run) != NULL)
				memset(p, '*', run);
			p += Max(run, 1);
		}
		statement = end;
	}
}

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
		mask_pieces(edata->message, debug_query_string);
		mask_pieces(edata->detail, debug_query_string);
		mask_pieces(edata->context, debug_query_string);
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
	if (edata->detail != NULL && strstr(edata->detail, CREDENTIAL_AS_BYTES) != NULL)
		edata->detail[0] = '\0';

	if (previous_emit_log)
		previous_emit_log(edata);
}

void
MtRedactActivity(void)
{
	char	   *masked;

	if (!has_seen_credential || debug_query_string == NULL ||
		!MtContainsCredential(debug_query_string))
		return;
	masked = pstrdup(debug_query_string);
	MtMaskCredentials(masked);
	pgstat_report_activity(STATE_RUNNING, masked);
	pfree(masked);
}

/*
 * The first moment the library sees a statement: hide it from activity, and
 * take away the query id of a utility statement, whose literals
 * pg_stat_statements would otherwise keep.
 */
static void
redact_analyzed_query(ParseState *pstate, Query *query, JumbleState *jstate)
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
