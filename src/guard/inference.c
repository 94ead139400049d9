/*
 * inference.c
 *	  What the planner may use of tables whose rows are filtered by tenant.
 *
 * A condition that the server trusts (text and number comparisons) is pushed into
 * any index, before the policy: an index that does not begin with the tenant then
 * visits other tenants' entries, which shows in counters, in time and in EXPLAIN.
 * Estimates from every tenant's values show in the plan, and so in the order of
 * rows. Both can be kept from the planner, at the price of slower plans.
 *
 * Invariant: only planning changes. Unique keys, ON CONFLICT and foreign keys do
 * not ask the planner for their indexes. Decided by whether row security filters
 * the relation in this query, so that a plan depends on nothing by which the plan
 * cache does not already tell plans apart; the settings make it forget its plans.
 */
#include "postgres.h"

#include "access/transam.h"
#include "base/compat.h"
#include "base/extension.h"
#include "base/settings.h"
#include "catalog/index.h"
#include "guard/guard.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "policy/protection.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

static MtRelationInfoHook previous_relation_info = NULL;
static get_relation_stats_hook_type previous_relation_stats = NULL;
static get_index_stats_hook_type previous_index_stats = NULL;

/*
 * The table by whose policies the rows of this one are filtered: itself, or the
 * one above it that the query names. InvalidOid: none of tenants.
 */
static Oid
filtered_by(PlannerInfo *root, Index varno)
{
	for (;;)
	{
		RangeTblEntry *entry = root->simple_rte_array[varno];

		if (entry == NULL || entry->rtekind != RTE_RELATION || entry->relid < FirstNormalObjectId)
			return InvalidOid;
		if (entry->securityQuals != NIL)
			return MtClassIsFiltered(MtProtectionOf(entry->relid)->class) ?
				entry->relid : InvalidOid;
		if (root->append_rel_array == NULL || root->append_rel_array[varno] == NULL)
			return InvalidOid;
		varno = root->append_rel_array[varno]->parent_relid;
	}
}

/* ---- indexes ---- */

/* The tenant column in a table itself or in a child, which may number it otherwise. */
static AttrNumber
tenant_column(Oid relid, Oid filtering)
{
	AttrNumber	column = MtProtectionOf(filtering)->column;

	if (column == 0 || relid == filtering)
		return column;
	return get_attnum(relid, get_attname(filtering, column, false));
}

static void
hide_indexes(RelOptInfo *rel, AttrNumber tenant)
{
	List	   *shown = NIL;
	ListCell   *cell;

	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);

		if (tenant != 0 && index->indexkeys[0] == tenant)
			shown = lappend(shown, index);
	}
	rel->indexlist = shown;
}

static pg_noinline void
hide(MT_RELATION_INFO_PARAMS)
{
	Oid			filtering;

	if ((rel->indexlist == NIL && rel->statlist == NIL) || !MtIsActive())
		return;
	filtering = filtered_by(root, rel->relid);
	if (!OidIsValid(filtering))
		return;
	if (mt_guc_index_exposure == MT_EXPOSURE_HIDE)
		hide_indexes(rel, tenant_column(MT_RELATION_INFO_RELID, filtering));
	if (mt_guc_statistics_exposure == MT_EXPOSURE_HIDE)
		rel->statlist = NIL;
}

static void
relation_info(MT_RELATION_INFO_PARAMS)
{
	if (previous_relation_info)
		previous_relation_info(MT_RELATION_INFO_ARGS);
	if (unlikely(mt_guc_index_exposure != MT_EXPOSURE_ALLOW ||
				 mt_guc_statistics_exposure != MT_EXPOSURE_ALLOW))
		hide(MT_RELATION_INFO_ARGS);
}

/* ---- statistics ---- */

/*
 * "True" says that the statistics are what vardata has now. The costs of BRIN leave
 * it to the hook to say that there are none.
 */
static bool
hide_statistics(VariableStatData *vardata)
{
	vardata->statsTuple = NULL;
	vardata->freefunc = NULL;
	return true;
}

static bool
relation_stats(PlannerInfo *root, RangeTblEntry *entry, AttrNumber column,
			   VariableStatData *vardata)
{
	if (unlikely(mt_guc_statistics_exposure == MT_EXPOSURE_HIDE) &&
		entry->rtekind == RTE_RELATION && MtIsActive())
		for (int varno = 1; varno < root->simple_rel_array_size; varno++)
			if (root->simple_rte_array[varno] == entry &&
				OidIsValid(filtered_by(root, varno)))
				return hide_statistics(vardata);
	return previous_relation_stats ?
		previous_relation_stats(root, entry, column, vardata) : false;
}

static bool
index_stats(PlannerInfo *root, Oid index, AttrNumber column, VariableStatData *vardata)
{
	if (unlikely(mt_guc_statistics_exposure == MT_EXPOSURE_HIDE) && index >= FirstNormalObjectId &&
		MtIsActive())
	{
		Oid			relid = IndexGetRelation(index, true);

		for (int varno = 1; varno < root->simple_rel_array_size; varno++)
			if (root->simple_rte_array[varno] != NULL &&
				root->simple_rte_array[varno]->relid == relid &&
				OidIsValid(filtered_by(root, varno)))
				return hide_statistics(vardata);
	}
	return previous_index_stats ? previous_index_stats(root, index, column, vardata) : false;
}

/* The hooks are there from when something is hidden on: the planner calls them often. */
static void
install(void)
{
	static bool is_installed = false;

	if (is_installed)
		return;
	is_installed = true;
	previous_relation_info = MT_RELATION_INFO_HOOK;
	MT_RELATION_INFO_HOOK = relation_info;
	previous_relation_stats = get_relation_stats_hook;
	get_relation_stats_hook = relation_stats;
	previous_index_stats = get_index_stats_hook;
	get_index_stats_hook = index_stats;
}

void
MtGuardInferenceInit(void)
{
	MtSettingsOnHiding(install);
	if (mt_guc_index_exposure != MT_EXPOSURE_ALLOW || mt_guc_statistics_exposure != MT_EXPOSURE_ALLOW)
		install();
}
