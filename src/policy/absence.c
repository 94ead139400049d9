/*
 * absence.c
 *	  Proving by an index that a partition holds no row of a tenant.
 *
 * The server attaches the partition of a tenant only once it knows that the
 * DEFAULT partition has no row of it: from a valid CHECK, or by reading all of
 * that partition under the lock. isolate_tenant() has just taken the tenant's
 * rows away, and an index that begins with the tenant column answers the question
 * in no time. So this marks the CHECK valid, as VALIDATE CONSTRAINT does after its
 * scan.
 *
 * Security: a constraint that is valid and does not hold would make the planner
 * leave out rows. So nothing is taken on trust: what is marked is one comparison
 * of the labelled tenant column with a constant by the type's own operator, what
 * is looked for is that constant, in a whole btree, under a lock that lets nobody
 * else write, past row security. The heap is asked, not only the index.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/compat.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "fmgr.h"
#include "nodes/primnodes.h"
#include "policy/label.h"
#include "policy/owner.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mt_confirm_absence);

/* "column <> constant", taken apart. */
typedef struct Absence
{
	AttrNumber	column;
	Oid			equality;		/* the operator of which <> is the negation */
	Oid			collation;
	Const	   *value;
} Absence;

static Node *
without_relabelling(Node *expression)
{
	while (expression != NULL && IsA(expression, RelabelType))
		expression = (Node *) ((RelabelType *) expression)->arg;
	return expression;
}

/* Is the expression such a comparison, and nothing else? */
static bool
read_absence(const char *expression, Absence *out)
{
	Node	   *node = stringToNode(expression);
	OpExpr	   *comparison = (OpExpr *) node;
	Node	   *column;
	Node	   *value;

	if (node == NULL || !IsA(node, OpExpr) || list_length(comparison->args) != 2)
		return false;
	column = without_relabelling(linitial(comparison->args));
	value = without_relabelling(lsecond(comparison->args));
	if (column == NULL || !IsA(column, Var) || value == NULL || !IsA(value, Const) ||
		((Const *) value)->constisnull)
		return false;
	out->column = ((Var *) column)->varattno;
	out->equality = get_negator(comparison->opno);
	out->collation = comparison->inputcollid;
	out->value = (Const *) value;
	return OidIsValid(out->equality);
}

/*
 * A btree over all rows that begins with the column and orders it by the
 * operator's own rules, and a condition on it; InvalidOid if there is none.
 */
static Oid
index_for(Relation relation, const Absence *absence, ScanKey condition)
{
	List	   *indexes = RelationGetIndexList(relation);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;
		Oid			left;
		Oid			right;
		int			strategy = 0;

		if (op_in_opfamily(absence->equality, index->rd_opfamily[0]))
			get_op_opfamily_properties(absence->equality, index->rd_opfamily[0], false,
									   &strategy, &left, &right);
		if (index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indisready &&
			!form->indcheckxmin && form->indkey.values[0] == absence->column &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) &&
			strategy == BTEqualStrategyNumber && right == absence->value->consttype &&
			left == index->rd_opcintype[0] &&
			index->rd_indcollation[0] == absence->collation)
		{
			found = RelationGetRelid(index);
			ScanKeyEntryInitialize(condition, 0, absence->column, BTEqualStrategyNumber, right,
								   index->rd_indcollation[0], get_opcode(absence->equality),
								   absence->value->constvalue);
		}
		index_close(index, AccessShareLock);
		if (OidIsValid(found))
			break;
	}
	list_free(indexes);
	return found;
}

static bool
has_row(Relation relation, Oid index, ScanKey condition)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(relation, index, true, snapshot, 1, condition);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

static void
mark_valid(Relation relation, Relation catalog, HeapTuple constraint)
{
	HeapTuple	changed = heap_copytuple(constraint);
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(changed);

	form->convalidated = true;
	CatalogTupleUpdate(catalog, &changed->t_self, changed);
	InvokeObjectPostAlterHook(ConstraintRelationId, form->oid, 0);
	CacheInvalidateRelcache(relation);
	CommandCounterIncrement();
}

/*
 * multitenant._confirm_absence(table_name regclass, constraint_name name): marks a
 * CHECK (tenant column <> constant) valid if an index shows that it holds. False
 * if there is no such index, or a row.
 */
Datum
mt_confirm_absence(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *name = NameStr(*PG_GETARG_NAME(1));
	Relation	relation;
	Relation	catalog;
	HeapTuple	constraint;
	Absence		absence;
	ScanKeyData condition;
	Datum		expression;
	bool		is_null;
	bool		is_confirmed = false;
	Oid			index;

	(void) MtOwnerRequire(relid);
	relation = table_open(relid, AccessExclusiveLock);
	catalog = table_open(ConstraintRelationId, RowExclusiveLock);
	constraint = SearchSysCacheCopy1(CONSTROID,
									 ObjectIdGetDatum(get_relation_constraint_oid(relid, name, false)));
	if (!HeapTupleIsValid(constraint))
		elog(ERROR, "cache lookup failed for constraint \"%s\"", name);
	expression = SysCacheGetAttr(CONSTROID, constraint, Anum_pg_constraint_conbin, &is_null);
	if (((Form_pg_constraint) GETSTRUCT(constraint))->contype != CONSTRAINT_CHECK || is_null ||
		!MtConstraintIsEnforced((Form_pg_constraint) GETSTRUCT(constraint)) ||
		!read_absence(TextDatumGetCString(expression), &absence) ||
		absence.column != MtLabelledColumn(relid))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("constraint \"%s\" does not compare the tenant column with a constant", name),
				errhint("Validate it with ALTER TABLE .. VALIDATE CONSTRAINT."));
	index = index_for(relation, &absence, &condition);
	if (OidIsValid(index) && !has_row(relation, index, &condition))
	{
		mark_valid(relation, catalog, constraint);
		is_confirmed = true;
	}
	table_close(catalog, NoLock);
	table_close(relation, NoLock);
	PG_RETURN_BOOL(is_confirmed);
}
