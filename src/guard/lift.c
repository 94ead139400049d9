/*
 * lift.c
 *	  Indexes for conditions that are not leakproof.
 *
 * The server tests a condition whose function it does not trust (LIKE, full text,
 * numeric, jsonb, anybody's own) after the policies, row by row, because it must not
 * see rows of others. In an index that begins with the tenant, and in a partition
 * that has one tenant only, it sees none: there such conditions are let into index
 * scans, as if row security were not there. docs/internals/lift.md says why that
 * is sound, and what of it relies on what.
 *
 * Owns what is known of the planning that goes on. Invariant: a plan for which
 * anything was lifted leaves here only after it was judged as a whole
 * (scanorder.c), by what it says and not by what was meant; else the statement is
 * planned again as the server would.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/sysattr.h"
#include "base/compat.h"
#include "base/settings.h"
#include "catalog/pg_am.h"
#include "guard/guard.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "policy/protection.h"
#include "policy/tenantindex.h"
#include "tenant/context.h"
#include "utils/lsyscache.h"

/* The hook is there from the first statement on that may need it. */
static set_rel_pathlist_hook_type previous_pathlist = NULL;
static bool is_hooked = false;

/* The planning of one statement. */
typedef struct Lift
{
	const Query *query;
	bool		is_folded;
	bool		is_used;		/* the plan may rely on it */
} Lift;

/* The innermost; NULL if nothing may be lifted. */
static Lift *current = NULL;

/* ---- which relations ---- */

/*
 * Does root belong to the statement that is being planned? Who plans another one in
 * between, past our planner hook, gets the server's plan.
 */
static bool
is_current(PlannerInfo *root)
{
	while (root->parent_root != NULL)
		root = root->parent_root;
	return root->parse == current->query;
}

static bool
is_scanned(RelOptInfo *rel, RangeTblEntry *entry)
{
	return entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_RELATION &&
		!entry->inh && entry->tablesample == NULL && rel->indexlist != NIL && !IS_DUMMY_REL(rel);
}

/* Is there a condition that has to wait for the policies? */
static bool
has_waiting(RelOptInfo *rel, List *conditions)
{
	ListCell   *cell;

	foreach(cell, conditions)
	{
		RestrictInfo *condition = lfirst_node(RestrictInfo, cell);

		if (!condition->leakproof && condition->security_level > rel->baserestrict_min_security)
			return true;
	}
	return false;
}

/*
 * The relation by whose policies the rows of this one are filtered: itself, or the
 * one above it that the query names. 0 if there is none, or more than one.
 */
static Index
filtered_by(PlannerInfo *root, Index varno)
{
	Index		result = 0;

	for (;;)
	{
		RangeTblEntry *entry = root->simple_rte_array[varno];

		if (entry->securityQuals != NIL)
		{
			if (result != 0 || entry->rtekind != RTE_RELATION)
				return 0;
			result = varno;
		}
		if (root->append_rel_array == NULL || root->append_rel_array[varno] == NULL)
			return result;
		varno = root->append_rel_array[varno]->parent_relid;
	}
}

/* Is the tenant's condition all that they say? Each level is a list of its own. */
static bool
is_alone(List *levels, const MtTenantFilter *filter)
{
	ListCell   *level;
	ListCell   *cell;

	foreach(level, levels)
	{
		List	   *conditions = lfirst_node(List, level);

		foreach(cell, conditions)
			if (!MtIsTenantCondition(lfirst(cell), filter))
			return false;
	}
	return true;
}

/*
 * Sets *filter to the tenant's condition on a relation; false if row security says
 * more, or anything else.
 *
 * Security: what the other conditions of policies and of security_barrier views
 * hide must stay hidden, and nothing says where they are tested.
 */
static bool
find_filter(PlannerInfo *root, Index varno, MtTenantFilter *filter)
{
	Index		filtering = filtered_by(root, varno);
	RangeTblEntry *entry;
	const MtProtection *protection;
	Oid			relid = root->simple_rte_array[varno]->relid;

	if (filtering == 0)
		return false;
	entry = root->simple_rte_array[filtering];
	protection = MtProtectionOf(entry->relid);
	if (protection->class != MT_CLASS_TENANT || !protection->is_intact || protection->is_paused)
		return false;
	filter->varno = filtering;
	filter->column = protection->column;
	filter->is_folded = current->is_folded;
	if (!is_alone(entry->securityQuals, filter))
		return false;

	/* A child may number the column otherwise. */
	if (relid != entry->relid)
		filter->column = get_attnum(relid, get_attname(entry->relid, filter->column, false));
	filter->varno = varno;
	return true;
}

/*
 * The tenant's condition among those of the relation; NULL if the planner has put
 * something in its place, such as another constant that the statement names.
 */
static RestrictInfo *
tenant_condition(RelOptInfo *rel, const MtTenantFilter *filter)
{
	ListCell   *cell;

	foreach(cell, rel->baserestrictinfo)
	{
		RestrictInfo *condition = lfirst_node(RestrictInfo, cell);

		if (MtIsTenantCondition((Node *) condition->clause, filter))
			return condition;
	}
	return NULL;
}

/* ---- which indexes ---- */

/*
 * Does every scan of the index that uses the tenant's condition show this tenant only?
 *
 * Security: GIN walks the entries of everybody's rows for a word before it
 * intersects them with the tenant's, which takes time. Where indexes must not tell
 * of others even so, it is left alone.
 */
static bool
is_led_by_tenant(IndexOptInfo *index, RestrictInfo *tenant, const MtTenantFilter *filter)
{
	OpExpr	   *equality = (OpExpr *) tenant->clause;

	return MtIsLedByFirstColumn(index->relam) &&
		(index->relam != GIN_AM_OID || mt_guc_index_exposure == MT_EXPOSURE_ALLOW) &&
		index->indexkeys[0] == filter->column &&
		index->indexcollations[0] == equality->inputcollid &&
		get_op_opfamily_strategy(equality->opno, index->opfamily[0]) == BTEqualStrategyNumber &&
		list_member_ptr(index->indrestrictinfo, tenant);
}

/* The columns of the relation that conditions other than the tenant's are about. */
static Bitmapset *
columns_in_question(RelOptInfo *rel, RestrictInfo *tenant)
{
	Bitmapset  *columns = NULL;
	ListCell   *cell;

	foreach(cell, rel->baserestrictinfo)
		if (lfirst(cell) != tenant)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &columns);
	foreach(cell, rel->joininfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &columns);
	return columns;
}

/* Can the index answer anything about them? */
static bool
is_about(IndexOptInfo *index, const Bitmapset *columns)
{
	Bitmapset  *expressions = NULL;

	for (int i = 0; i < index->nkeycolumns; i++)
		if (index->indexkeys[i] != 0 &&
			bms_is_member(index->indexkeys[i] - FirstLowInvalidHeapAttributeNumber, columns))
			return true;
	pull_varattnos((Node *) index->indexprs, index->rel->relid, &expressions);
	return bms_overlap(expressions, columns);
}

static List *
usable_indexes(PlannerInfo *root, RelOptInfo *rel, RestrictInfo *tenant, const MtTenantFilter *filter)
{
	bool		has_one_tenant = MtHoldsOneTenant(root->simple_rte_array[rel->relid]->relid, filter);
	Bitmapset  *columns = columns_in_question(rel, tenant);
	List	   *usable = NIL;
	ListCell   *cell;

	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);

		if ((has_one_tenant || is_led_by_tenant(index, tenant, filter)) && is_about(index, columns) &&
			MtIsTrustedIndex(index->relam, index->opfamily, index->nkeycolumns))
			usable = lappend(usable, index);
	}
	return usable;
}

/* The same conditions, the tenant's in front. */
static List *
with_tenant_first(List *conditions, RestrictInfo *tenant)
{
	if (!list_member_ptr(conditions, tenant))
		return conditions;
	return lcons(tenant, list_delete_ptr(list_copy(conditions), tenant));
}

/*
 * Adds what the server would have found for these indexes if the conditions had not
 * to wait. What is lent for that is taken back; conditions keep their levels, so
 * what is tested after the index is tested in the order of the policies.
 *
 * Security: conditions on one column come in their order of here, also where rows
 * of others are tested again (lossy bitmaps), so the tenant's is put in front.
 */
static void
add_index_paths(PlannerInfo *root, RelOptInfo *rel, RestrictInfo *tenant, List *usable)
{
	List	   *indexes = rel->indexlist;
	List	   *conditions = rel->baserestrictinfo;
	Index		security = rel->baserestrict_min_security;
	List	   *lent = NIL;
	ListCell   *cell;
	ListCell   *original;

	foreach(cell, usable)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);

		lent = lappend(lent, index->indrestrictinfo);
		index->indrestrictinfo = with_tenant_first(index->indrestrictinfo, tenant);
	}
	rel->indexlist = usable;
	rel->baserestrictinfo = with_tenant_first(conditions, tenant);
	rel->baserestrict_min_security = root->qual_security_level;
	create_index_paths(root, rel);
	rel->indexlist = indexes;
	rel->baserestrictinfo = conditions;
	rel->baserestrict_min_security = security;
	forboth(cell, usable, original, lent)
		lfirst_node(IndexOptInfo, cell)->indrestrictinfo = lfirst(original);
	current->is_used = true;
}

static pg_noinline void
lift_relation(PlannerInfo *root, RelOptInfo *rel, Index varno, RangeTblEntry *entry)
{
	MtTenantFilter filter;
	RestrictInfo *tenant;
	List	   *usable;

	if (!is_current(root) || !is_scanned(rel, entry) ||
		(!has_waiting(rel, rel->baserestrictinfo) && !has_waiting(rel, rel->joininfo)) ||
		!find_filter(root, varno, &filter))
		return;
	tenant = tenant_condition(rel, &filter);
	if (tenant == NULL)
		return;
	usable = usable_indexes(root, rel, tenant, &filter);
	if (usable != NIL)
		add_index_paths(root, rel, tenant, usable);
}

static void
lift(PlannerInfo *root, RelOptInfo *rel, Index varno, RangeTblEntry *entry)
{
	if (previous_pathlist)
		previous_pathlist(root, rel, varno, entry);
	if (current != NULL)
		lift_relation(root, rel, varno, entry);
}

/* ---- which statements: those with a condition that is not leakproof ---- */

static bool has_leaky_condition(Node *node, void *context);

static bool
has_leaky_join(Node *join)
{
	ListCell   *cell;

	if (IsA(join, JoinExpr))
		return contain_leaked_vars(((JoinExpr *) join)->quals) ||
			has_leaky_join(((JoinExpr *) join)->larg) || has_leaky_join(((JoinExpr *) join)->rarg);
	if (!IsA(join, FromExpr))
		return false;
	foreach(cell, ((FromExpr *) join)->fromlist)
		if (has_leaky_join(lfirst(cell)))
		return true;
	return contain_leaked_vars(((FromExpr *) join)->quals);
}

/* Looks into what a statement returns only if there are queries in it. */
static bool
has_leaky_query(Query *query)
{
	ListCell   *cell;

	if (has_leaky_join((Node *) query->jointree))
		return true;
	if (query->hasSubLinks)
		return query_tree_walker(query, has_leaky_condition, NULL, 0);
	foreach(cell, query->rtable)
		if (has_leaky_condition((Node *) lfirst_node(RangeTblEntry, cell)->subquery, NULL))
		return true;
	return has_leaky_condition((Node *) query->cteList, NULL);
}

static bool
has_leaky_condition(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return has_leaky_query((Query *) node);
	return expression_tree_walker(node, has_leaky_condition, context);
}

/*
 * Only then does it pay to keep a copy of the query. The condition of MERGE is in
 * several places, by version. What is planned while another statement is planned, in
 * a function that says IMMUTABLE, is left to the server: it would be planned twice
 * as often at each level.
 */
static bool
may_lift(Query *query)
{
	return mt_guc_lift_conditions && MtGuardIsOn() &&
		MtContextPlannerDepth() == 1 &&
		(query->commandType == CMD_MERGE || has_leaky_condition((Node *) query, NULL));
}

static pg_noinline PlannedStmt *
plan_lifted(planner_hook_type plan, bool is_folded, MT_PLANNER_PARAMS)
{
	Lift	   *outer = current;
	Lift		lifted = {.query = parse,.is_folded = is_folded};
	Query	   *copy;
	PlannedStmt *volatile result;

	if (!is_hooked)
	{
		previous_pathlist = set_rel_pathlist_hook;
		set_rel_pathlist_hook = lift;
		is_hooked = true;
	}
	copy = copyObject(parse);
	current = &lifted;
	PG_TRY();
	{
		result = plan(MT_PLANNER_ARGS);
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();
	if (!lifted.is_used || MtGuardIsOrdered(result, is_folded))
		return result;
	parse = copy;
	return plan(MT_PLANNER_ARGS);
}

PlannedStmt *
MtGuardPlanLifted(planner_hook_type plan, bool is_folded, MT_PLANNER_PARAMS)
{
	if (parse->hasRowSecurity && may_lift(parse))
		return plan_lifted(plan, is_folded, MT_PLANNER_ARGS);
	return plan(MT_PLANNER_ARGS);
}
