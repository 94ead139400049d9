/*
 * folding.c
 *	  The tenant as a constant in plans.
 *
 * What row security adds to a statement compares a column with an accessor. Before
 * the planner sees it, the accessors in it become the tenant of the transaction, so
 * that the plan is the one of a literal: partitions are pruned, estimates are of
 * this tenant, nothing is called at execution. Only what policies (and conditions
 * of security_barrier views, which the server keeps with them) added is folded,
 * never what the statement says itself.
 *
 * Owns the mark that a folded plan carries: its tenant, in invalidation items of a
 * cache that does not exist, and one item of the functions' cache by which the plan
 * cache is told to forget such plans.
 *
 * Invariant: the plans that the plan cache keeps folded are of one tenant,
 * folded_for: of one id, number and slug, for another may have the id after it.
 *
 * Security: a plan must not run for another tenant. The plan cache forgets folded
 * plans when a session enters another tenant than the last; plans that it does not
 * know of are refused where they start and run. While a statement is planned no
 * context can be set, so one plan has one tenant.
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/invalidation.h"
#include "base/settings.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "partitioning/partdesc.h"
#include "policy/folding.h"
#include "policy/protection.h"
#include "tcop/pquery.h"
#include "tenant/context.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/* No syscache has these numbers; the plan cache passes over them. */
#define MARK_CACHE 0x4D540000
#define MARK_WORDS 6			/* a tenant's id and number */

/* The hash value by which all folded plans are forgotten. */
#define MARK_HASH 0x4D540001

/* The tenant of the plans folded last, and whether there have been others. */
static MtContext folded_for;
static bool has_folded = false;
static bool is_switching = false;

/* May the plan cache keep some of them? To make it forget walks all that it has. */
static bool may_be_kept = false;
static int	guesses = 0;		/* plans that it seems not to keep, and that
								 * have not started */

/*
 * What a statement must gain to be planned anew for each tenant: to plan one takes
 * as long as to start so many partitions, three times as long with each relation
 * more.
 */
#define PARTITIONS_WORTH_PLANNING 75
#define COST_OF_RELATION 3

/* The text analyzed last, if nothing has run since. Compared, never read. */
static MT_HOT const char *analyzed_text = NULL;

/* ---- folding ---- */

typedef struct Folding
{
	const MtContext *context;
	int			count;			/* of accessors that became constants */
} Folding;

static Const *
constant(MtAccessor accessor, const MtContext *context)
{
	pg_uuid_t  *tenant;

	switch (accessor)
	{
		case MT_ACCESSOR_UUID:
			tenant = palloc(sizeof(pg_uuid_t));
			*tenant = context->tenant;
			return makeConst(UUIDOID, -1, InvalidOid, UUID_LEN, UUIDPGetDatum(tenant), false, false);
		case MT_ACCESSOR_INT8:
			return makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(context->number),
							 false, FLOAT8PASSBYVAL);
		case MT_ACCESSOR_INT4:
			if (context->number > PG_INT32_MAX)
				return NULL;	/* the accessor says so */
			return makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
							 Int32GetDatum((int32) context->number), false, true);
		case MT_ACCESSOR_TEXT:
			return makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
							 CStringGetTextDatum(context->slug), false, false);
	}
	return NULL;
}

static Node *
fold_mutator(Node *node, void *context)
{
	Folding    *folding = (Folding *) context;

	if (node == NULL)
		return NULL;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->args == NIL)
		for (int i = 0; i < MT_ACCESSOR_COUNT; i++)
			if (((FuncExpr *) node)->funcid == MtAccessorOid((MtAccessor) i))
			{
				Const	   *value = constant((MtAccessor) i, folding->context);

				if (value == NULL)
					break;
				folding->count++;
				return (Node *) value;
			}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, fold_mutator, context, 0);
	return expression_tree_mutator(node, fold_mutator, context);
}

/* Folds what was added to each of the queries in it, and nothing else of them. */
static bool
fold_query(Node *node, void *context)
{
	Query	   *query = (Query *) node;
	ListCell   *cell;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, fold_query, context);
	foreach(cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->securityQuals != NIL)
			entry->securityQuals = (List *) fold_mutator((Node *) entry->securityQuals, context);
	}
	foreach(cell, query->withCheckOptions)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, cell);

		if (check->kind != WCO_VIEW_CHECK)
			check->qual = fold_mutator(check->qual, context);
	}
	if (query->hasSubLinks || query->cteList != NIL)
		return query_tree_walker(query, fold_query, context, 0);
	foreach(cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_SUBQUERY)
			(void) fold_query((Node *) entry->subquery, context);
	}
	return false;
}

/* ---- whether it pays ---- */

void
MtFoldNoteAnalysis(const char *text)
{
	analyzed_text = text;
}

static bool
is_folded(const PlannedStmt *statement)
{
	return statement->invalItems != NIL &&
		((PlanInvalItem *) linitial(statement->invalItems))->cacheId == MARK_CACHE;
}

/* Is the statement one of the client's, made for this one time? */
static bool
is_run_once(const PlannedStmt *statement)
{
	return ActivePortal != NULL && ActivePortal->cplan == NULL &&
		list_member_ptr(ActivePortal->stmts, statement);
}

static pg_noinline void
note_start(const PlannedStmt *statement)
{
	if (!is_run_once(statement))
		may_be_kept = true;
	else if (guesses > 0)
		guesses--;
}

void
MtFoldNoteStart(const PlannedStmt *statement)
{
	analyzed_text = NULL;
	if (unlikely(is_folded(statement)))
		note_start(statement);
}

/* The partitions of a table that the tenant chooses among; 0 if it does not. */
static int
partitions_by_tenant(const RangeTblEntry *entry)
{
	Relation	relation;
	PartitionKey key;
	AttrNumber	column = MtProtectionOf(entry->relid)->column;
	int			count = 0;

	if (column == 0)
		return 0;
	relation = table_open(entry->relid, NoLock);
	key = RelationGetPartitionKey(relation);
	for (int i = 0; i < get_partition_natts(key); i++)
		if (get_partition_col_attnum(key, i) == column)
			count = RelationGetPartitionDesc(relation, true)->nparts;
	table_close(relation, NoLock);
	return count;
}

typedef struct Gain
{
	int			relations;
	double		partitions;
} Gain;

static bool
gain_walker(Node *node, void *context)
{
	Gain	   *gain = (Gain *) context;
	ListCell   *cell;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, gain_walker, context);
	foreach(cell, ((Query *) node)->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind != RTE_RELATION)
			continue;
		gain->relations++;
		if (entry->relkind == RELKIND_PARTITIONED_TABLE && entry->inh)
			gain->partitions += partitions_by_tenant(entry);
	}
	return query_tree_walker((Query *) node, gain_walker, context, 0);
}

static bool
is_worth_planning(Query *query)
{
	Gain		gain = {0, 0};

	(void) gain_walker((Node *) query, &gain);
	return gain.partitions >=
		PARTITIONS_WORTH_PLANNING * pow(COST_OF_RELATION, gain.relations - 1);
}

/*
 * Will the plan be thrown away? One with values for its parameters is, and one of a
 * text that was analyzed just before: the plan cache has texts of its own. Where
 * that analyzes one anew it looks the same; so it is a guess until the plan starts.
 */
static bool
is_for_once(const char *text, ParamListInfo parameters)
{
	return parameters != NULL || (text != NULL && text == analyzed_text);
}

/*
 * Until PostgreSQL 17 a function in SQL is planned as a whole, so it can enter
 * another tenant after that. The server tells by nothing but the name of its
 * memory; where that is missed, such a function is refused.
 */
static bool
is_planned_ahead(void)
{
	return MtContextIsReplaceable() && strcmp(CurrentMemoryContext->name, "SQL function") == 0;
}

/*
 * Security: what is kept outlives the context, and a session that brings its own
 * finds it before it is told to forget: a plan is taken from the cache before
 * anything of ours runs.
 *
 * In a session that changes tenants, a plan that is kept is cheaper left general
 * than made anew for each - except over many partitions.
 */
static pg_noinline bool
fold_for_tenant(Query *query, const char *text, ParamListInfo parameters)
{
	Folding		folding = {.context = MtContextGet()};
	bool		is_once = is_for_once(text, parameters);

	if (folding.context->state != MT_STATE_TENANT || !mt_guc_fold_plans ||
		MtContextIsPassing() || is_planned_ahead() ||
		(is_switching && !is_once && !is_worth_planning(query)))
		return false;
	(void) fold_query((Node *) query, &folding);
	if (folding.count == 0)
		return false;
	folded_for = *folding.context;
	has_folded = true;
	if (!is_once)
		may_be_kept = true;
	else if (parameters == NULL)
		guesses++;
	return true;
}

bool
MtFoldQuery(Query *query, const char *text, ParamListInfo parameters)
{
	return MtContextGet()->state == MT_STATE_TENANT && fold_for_tenant(query, text, parameters);
}

/* ---- the mark ---- */

static PlanInvalItem *
item(int cache, uint32 value)
{
	PlanInvalItem *result = makeNode(PlanInvalItem);

	result->cacheId = cache;
	result->hashValue = value;
	return result;
}

static void
words_of(const MtContext *context, uint32 *words)
{
	StaticAssertStmt(MARK_WORDS * sizeof(uint32) == UUID_LEN + sizeof(int64),
					 "the words of a mark are an id and a number");
	memcpy(words, &context->tenant, UUID_LEN);
	memcpy(&words[UUID_LEN / sizeof(uint32)], &context->number, sizeof(int64));
}

/* No context can be set while a statement is planned, so it is still that one. */
void
MtFoldMark(PlannedStmt *statement)
{
	uint32		words[MARK_WORDS];
	List	   *mark = NIL;

	words_of(MtContextGet(), words);
	for (int i = 0; i < MARK_WORDS; i++)
		mark = lappend(mark, item(MARK_CACHE + i, words[i]));
	mark = lappend(mark, item(PROCOID, MARK_HASH));
	statement->invalItems = list_concat(mark, statement->invalItems);
}

static bool
is_for(const PlannedStmt *statement, const MtContext *context)
{
	uint32		words[MARK_WORDS];

	words_of(context, words);
	for (int i = 0; i < MARK_WORDS; i++)
	{
		PlanInvalItem *mark = list_nth(statement->invalItems, i);

		if (mark->cacheId != MARK_CACHE + i || mark->hashValue != words[i])
			return false;
	}
	return true;
}

static pg_noinline void
check_tenant(const PlannedStmt *statement)
{
	const MtContext *context = MtContextGet();
	MtDenial	denial;

	if (context->state != MT_STATE_TENANT)
	{
		MtContextDenyMissing(&denial);
		MtDenialRaise(&denial);
	}
	if (!is_for(statement, context))
	{
		/* Kept after all. */
		MtInvalidationForgetPlans(MARK_HASH);
		ereport(ERROR,
				errcode(MT_ERRCODE_CONTEXT_CONFLICT),
				errmsg("this statement was planned for another tenant"),
				errhint("Run it again."));
	}
}

bool
MtFoldCheck(const PlannedStmt *statement)
{
	if (likely(!is_folded(statement)))
		return false;
	check_tenant(statement);
	return true;
}

static bool
is_same_tenant(const MtContext *a, const MtContext *b)
{
	return memcmp(&a->tenant, &b->tenant, UUID_LEN) == 0 && a->number == b->number &&
		strcmp(a->slug, b->slug) == 0;
}

/* Lazily: the same tenant again costs nothing, and no context at all forgets nothing. */
static void
before_context(const MtContext *context)
{
	if (context->state != MT_STATE_TENANT || !has_folded ||
		is_same_tenant(context, &folded_for))
		return;
	is_switching = true;
	has_folded = false;
	if (!may_be_kept && guesses == 0)
		return;
	may_be_kept = false;
	guesses = 0;
	MtInvalidationForgetPlans(MARK_HASH);
}

void
MtFoldInit(void)
{
	MtContextOnChange(before_context);
}
