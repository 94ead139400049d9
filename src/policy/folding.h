/*
 * folding.h
 *	  The tenant as a constant in plans.
 */
#ifndef MT_FOLDING_H
#define MT_FOLDING_H

#include "postgres.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

extern void MtFoldInit(void);

/*
 * A statement of this text was analyzed, a statement starts: by these, plans that
 * run once are told from plans that are kept. A wrong guess costs time only.
 */
extern void MtFoldNoteAnalysis(const char *text);
extern void MtFoldNoteStart(const PlannedStmt *statement);

/*
 * Folds what policies added to the query, which is about to be planned, for the
 * tenant of this transaction; false if there is nothing to fold or it does not pay.
 * The finished plan must be marked.
 */
extern bool MtFoldQuery(Query *query, const char *text, ParamListInfo parameters);

/* Marks the plan of a folded query with the tenant of this transaction. */
extern void MtFoldMark(PlannedStmt *statement);

/*
 * Is the plan folded? Throws MT005 if that was for another tenant than this
 * transaction's, MT001 if there is none.
 */
extern bool MtFoldCheck(const PlannedStmt *statement);

#endif							/* MT_FOLDING_H */
