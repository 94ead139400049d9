/*
 * protection.c
 *	  What the catalog says about the protection of one relation, cached.
 *
 * A relation is protected when it, or any partition or inheritance ancestor,
 * carries a label or one of the generated policies. Then row security must be
 * enabled and forced and the policies must be exactly the generated ones: what
 * is missing is a violation, never "unprotected", because the relcache shows no
 * policies once an owner has disabled row security.
 *
 * Owns the cache of protections, absence included. Invariant: an entry's
 * ancestors are in the cache as long as the entry is, so an invalidation of any
 * of them is noticed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "base/extension.h"
#include "base/hot.h"
#include "base/invalidation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "funcapi.h"
#include "policy/generated.h"
#include "policy/protection.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mt_protection);

/* Relations remembered in one backend: about 6 MB, then all are forgotten. */
#define CACHE_LIMIT 32768

static MemoryContext cache_context = NULL;
static HTAB *cache = NULL;
static bool must_forget_all = true;
static MT_HOT uint64 changes = 0;	/* begins with 1 */
static bool has_met_permissions = false;
static uint64 cache_extension_generation = 0;

/*
 * Entries found lately, by relid: most statements are about few relations, and
 * short. All are forgotten with the first change to any relation, or to the extension:
 * their stamp is the sum of both, which only grow.
 */
#define RECENT_LIMIT 256
static MT_HOT uint64 recent_stamp = 0;
static MtProtection *recent[RECENT_LIMIT];

/* Those of them that are nobody's. */
static Oid	nobodys[RECENT_LIMIT];

/* ---- the cache ---- */

static void
relation_changed(Oid relid)
{
	MtProtection *entry;

	changes++;
	if (!OidIsValid(relid))
		must_forget_all = true;
	if (cache == NULL || must_forget_all)
		return;
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (entry == NULL)
		return;
	entry->is_valid = false;
	if (entry->has_children)
		must_forget_all = true;
}

void
MtProtectionInit(void)
{
	changes = 1;
	MtInvalidationOnRelation(relation_changed);
}

static void
forget_recent(void)
{
	memset(recent, 0, sizeof(recent));
	memset(nobodys, 0, sizeof(nobodys));
}

/* Does nothing protect, share, exempt or observe it? */
static bool
is_nobodys(const MtProtection *entry)
{
	return entry->class == MT_CLASS_NONE && !OidIsValid(entry->observed_as);
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	if (cache != NULL && !must_forget_all &&
		cache_extension_generation == MtExtensionGeneration() &&
		hash_get_num_entries(cache) < CACHE_LIMIT)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(CacheMemoryContext,
											  "multitenant protection",
											  ALLOCSET_DEFAULT_SIZES);
	/* An entry being made may rely on one that goes now. */
	changes++;
	forget_recent();
	cache = NULL;
	MemoryContextReset(cache_context);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(MtProtection);
	control.hcxt = cache_context;
	cache = hash_create("multitenant protection", 256, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	must_forget_all = false;
	cache_extension_generation = MtExtensionGeneration();
}

static void examine(Oid relid, MtProtection *out);

/*
 * The entry of an ancestor: from the cache, or examined and kept, so that a
 * change to it is noticed and a tree with many paths is walked once.
 */
static const MtProtection *
ancestor(Oid relid)
{
	MtProtection examined;
	MtProtection *entry = hash_search(cache, &relid, HASH_FIND, NULL);

	if (entry == NULL || !entry->is_valid)
	{
		bool		is_found;

		examine(relid, &examined);
		entry = hash_search(cache, &relid, HASH_ENTER, &is_found);
		*entry = examined;
	}
	entry->has_children = true;
	return entry;
}

/*
 * What the ancestors make of a relation that says nothing itself: a partition of
 * a protected table is protected, one of a shared table is shared. A child of an
 * exempt table decides for itself.
 */
static MtClass
class_from_ancestors(Oid relid)
{
	MtClass		class = MT_CLASS_NONE;
	ListCell   *cell;

	foreach(cell, MtParentsOf(relid))
	{
		MtClass		parent = ancestor(lfirst_oid(cell))->class;

		if (MtClassIsFiltered(parent) ||
			(parent == MT_CLASS_SHARED && class == MT_CLASS_NONE))
			class = parent;
	}
	return class;
}

/*
 * Notes that an entry depends on a relation that has none of its own, so that a
 * change to the relation is noticed.
 */
static void
depend_on(Oid relid)
{
	bool		is_found;
	MtProtection *entry = hash_search(cache, &relid, HASH_ENTER, &is_found);

	if (!is_found)
	{
		memset(entry, 0, sizeof(*entry));
		entry->relid = relid;
	}
	entry->has_children = true;
}

/* Does the label filter rows, and not only observe them? */
static bool
protects(const MtLabel *label)
{
	return MtClassIsFiltered(label->class) && !label->is_observed;
}

static bool
is_same_column(Oid relid, AttrNumber column, Oid other, AttrNumber others)
{
	char	   *name = get_attname(relid, column, true);
	char	   *name_of_other = get_attname(other, others, true);

	return name != NULL && name_of_other != NULL && strcmp(name, name_of_other) == 0;
}

bool
MtPermissionsAreCovered(const MtLabel *label, Oid relid, const MtProtection *parent)
{
	AttrNumber	scope;
	AttrNumber	wanted;

	if (label->resource[0] != '\0' && strcmp(label->resource, parent->resource) != 0)
		return false;
	if (!label->is_scoped)
		return true;
	scope = MtLabelledScope(relid);
	/* The label says it where the policies do not. */
	wanted = parent->scope_column != 0 ? parent->scope_column : MtLabelledScope(parent->relid);
	return parent->is_scoped && scope != 0 && wanted != 0 &&
		is_same_column(relid, scope, parent->relid, wanted);
}

/*
 * What the tables below make of a relation; NULL if they leave it as it is.
 * column is the name of its tenant column, NULL if it is not protected.
 *
 * Security: a statement on the parent reads the children with the parent's
 * policies only. So a parent of a protected table that is not protected, or by
 * another column, is a hole, be it made by an attacker or by an honest migration
 * that adds partitions.
 */
static const char *
finding_below(Oid relid, const char *column, const MtProtection *protection)
{
	ListCell   *cell;

	if (!has_subclass(relid))
		return NULL;
	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
	{
		Oid			child = lfirst_oid(cell);
		AttrNumber	labelled;
		char	   *name;
		MtLabel		label;

		CHECK_FOR_INTERRUPTS();
		if (child == relid)
			continue;
		depend_on(child);
		MtLabelOf(child, &label);
		if (column == NULL &&
			(protects(&label) ||
			 ((label.class == MT_CLASS_NONE || label.is_observed) &&
			  MtPolicyClassOf(child) != MT_CLASS_NONE)))
			return "a table below it is protected, it is not";
		labelled = column == NULL ? 0 : MtLabelledColumn(child);
		name = labelled == 0 ? NULL : get_attname(child, labelled, true);
		if (name != NULL && strcmp(name, column) != 0)
			return "a table below it has another tenant column";
		if (protects(&label) && !MtPermissionsAreCovered(&label, child, protection))
			return "a table below it asks for other permissions";
	}
	return NULL;
}

/* Has a protected ancestor another tenant column than this relation? */
static bool
differs_from_ancestors(Oid relid, const char *column)
{
	ListCell   *cell;

	foreach(cell, MtParentsOf(relid))
	{
		const MtProtection *parent = ancestor(lfirst_oid(cell));
		char	   *name = parent->column == 0 ? NULL :
		get_attname(parent->relid, parent->column, true);

		if (name != NULL && strcmp(name, column) != 0)
			return true;
	}
	return false;
}

/* What a relation's own label says of permissions, and what its ancestors' do. */
static void
collect_permissions(Oid relid, const MtLabel *label, MtProtection *out)
{
	ListCell   *cell;

	if (label->class == MT_CLASS_TENANT && !label->is_observed)
	{
		strlcpy(out->resource, label->resource, sizeof(out->resource));
		out->is_scoped = label->is_scoped;
	}
	foreach(cell, MtParentsOf(relid))
	{
		const MtProtection *parent = ancestor(lfirst_oid(cell));

		if (out->resource[0] == '\0')
			strlcpy(out->resource, parent->resource, sizeof(out->resource));
		out->is_scoped |= parent->is_scoped;
	}
	has_met_permissions |= out->resource[0] != '\0';
}

/* Does a protected ancestor ask for other permissions, or by another column? */
static bool
differs_in_permissions(Oid relid, const MtProtection *protection)
{
	ListCell   *cell;

	foreach(cell, MtParentsOf(relid))
	{
		const MtProtection *parent = ancestor(lfirst_oid(cell));

		if (MtClassIsFiltered(parent->class) &&
			(strcmp(parent->resource, protection->resource) != 0 ||
			 parent->is_scoped != protection->is_scoped ||
			 (parent->is_scoped && parent->scope_column != 0 &&
			  !is_same_column(parent->relid, parent->scope_column, relid, protection->scope_column))))
			return true;
	}
	return false;
}

static void
judge(Oid relid, bool is_labelled, MtProtection *out)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	MtPolicySubject subject = {.resource = out->resource,.is_scoped = out->is_scoped};

	if (relation == NULL)
		return;
	out->has_row_security = relation->rd_rel->relrowsecurity;
	if (!relation->rd_rel->relrowsecurity)
		out->finding = "row level security is not enabled";
	else if (!relation->rd_rel->relforcerowsecurity)
		out->finding = "row level security is not forced on the owner";
	else if (!MtPolicyHasGenerated(relation, out->class, &subject))
		out->finding = "a generated policy is missing or was changed";
	else if (MtPolicyHasEarlier(relation, out->class, out->is_scoped))
		out->finding = "a restrictive policy sorts before the generated ones and would see every row";
	else if (is_labelled && MtLabelledColumn(relid) != subject.column)
		out->finding = "the policies are not on the labelled tenant column";
	else if (is_labelled && MtLabelledScope(relid) != subject.scope)
		out->finding = "the policies are not on the labelled scope column";
	else if (!out->is_scoped && MtPolicyHasScope(relation))
		out->finding = "policies filter by scope, and no label says so";
	out->column = subject.column;
	out->scope_column = subject.scope;
	if (out->finding != NULL)
		;
	else if (differs_from_ancestors(relid, get_attname(relid, out->column, false)))
		out->finding = "its tenant column is not that of its parent";
	else if (differs_in_permissions(relid, out))
		out->finding = "its permissions are not those of its parent";
	else
		out->finding = finding_below(relid, get_attname(relid, out->column, false), out);
	out->is_intact = (out->finding == NULL);
	relation_close(relation, AccessShareLock);
}

/*
 * Who is observed, if nothing protects it: itself, or the highest of its
 * ancestors that are. Sets the tenant column, found by the ancestor's name where
 * the relation has no label of its own.
 */
static void
judge_observed(Oid relid, bool is_labelled, MtProtection *out)
{
	ListCell   *cell;
	char	   *name;

	foreach(cell, MtParentsOf(relid))
	{
		const MtProtection *parent = ancestor(lfirst_oid(cell));

		if (OidIsValid(parent->observed_as))
			out->observed_as = parent->observed_as;
	}
	if (!OidIsValid(out->observed_as) && is_labelled)
		out->observed_as = relid;
	if (!OidIsValid(out->observed_as))
		return;
	out->column = MtLabelledColumn(relid);
	if (out->column != 0 || out->observed_as == relid)
		return;
	out->column = MtLabelledColumn(out->observed_as);
	name = out->column == 0 ? NULL : get_attname(out->observed_as, out->column, true);
	out->column = name == NULL ? 0 : get_attnum(relid, name);
}

/* Reads everything about one relation from the catalogs. */
static void
examine(Oid relid, MtProtection *out)
{
	MtLabel		label;
	MtClass		inherited;

	memset(out, 0, sizeof(*out));
	out->relid = relid;
	out->is_valid = true;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	MtLabelOf(relid, &label);
	/* What is observed has no class of its own: nothing is refused on it. */
	out->class = label.is_observed ? MT_CLASS_NONE : label.class;
	out->is_paused = label.is_paused;
	out->paused_until = label.paused_until;
	inherited = class_from_ancestors(relid);

	/*
	 * Security: an exempt or shared label on a partition of a protected table
	 * exempts nothing, nor does an exempt one on a partition of a shared one.
	 */
	if (inherited != MT_CLASS_NONE && !MtClassIsFiltered(out->class))
		out->class = inherited;
	if (out->class == MT_CLASS_NONE)
		out->class = MtPolicyClassOf(relid);

	if (MtClassIsFiltered(out->class))
	{
		collect_permissions(relid, &label, out);
		judge(relid, label.class == out->class, out);
		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
			out->moved_by = MtLabelWriter(relid);
	}
	else
	{
		out->finding = finding_below(relid, NULL, out);
		out->is_intact = (out->finding == NULL);
		if (!out->is_intact)
			out->class = MT_CLASS_TENANT;
		else if (out->class == MT_CLASS_NONE)
			judge_observed(relid, label.is_observed, out);
	}
}

static pg_noinline const MtProtection *
find_or_examine(Oid relid)
{
	static MtProtection unstable;
	MtProtection *entry;
	uint64		before;

	if (recent_stamp != changes + MtExtensionGeneration())
	{
		forget_recent();
		recent_stamp = changes + MtExtensionGeneration();
	}
	prepare_cache();
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->is_valid)
	{
		recent[relid % RECENT_LIMIT] = entry;
		nobodys[relid % RECENT_LIMIT] = is_nobodys(entry) ? relid : InvalidOid;
		return entry;
	}

	/* Read again if something changed while it was read; three times is rare. */
	for (int attempt = 0; attempt < 3; attempt++)
	{
		prepare_cache();
		before = changes;
		examine(relid, &unstable);
		if (before != changes || must_forget_all)
			continue;
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry == NULL)
		{
			entry = hash_search(cache, &relid, HASH_ENTER, NULL);
			*entry = unstable;
		}
		else
		{
			unstable.has_children |= entry->has_children;
			*entry = unstable;
		}
		return entry;
	}
	return &unstable;
}

const MtProtection *
MtProtectionOf(Oid relid)
{
	const MtProtection *entry = recent[relid % RECENT_LIMIT];

	if (likely(recent_stamp == changes + MtExtensionGeneration() &&
			   entry != NULL && entry->relid == relid))
		return entry;
	return find_or_examine(relid);
}

bool
MtProtectionIsNobodys(Oid relid)
{
	return likely(nobodys[relid % RECENT_LIMIT] == relid) &&
		likely(recent_stamp == changes + MtExtensionGeneration());
}

bool
MtProtectionIsOwn(Oid relid)
{
	MtLabel		label;

	MtLabelOf(relid, &label);
	return protects(&label) || MtPolicyClassOf(relid) != MT_CLASS_NONE;
}

/* Does a policy call the accessor? A table whose label was lost has those. */
static bool
is_in_policy(Oid accessor)
{
	Relation	catalog = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(accessor));
	scan = systable_beginscan(catalog, DependReferenceIndexId, true, NULL, 2, keys);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_depend) GETSTRUCT(tuple))->classid == PolicyRelationId;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

static bool
any_policy(void)
{
	for (int i = 0; i < MT_ACCESSOR_COUNT; i++)
		if ((OidIsValid(MtAccessorOid((MtAccessor) i)) && is_in_policy(MtAccessorOid((MtAccessor) i))) ||
			(OidIsValid(MtScopeFilterOid((MtAccessor) i)) && is_in_policy(MtScopeFilterOid((MtAccessor) i))))
			return true;
	return false;
}

bool
MtProtectionAny(void)
{
	static uint64 seen_changes = 0;
	static uint64 seen_generation = 0;
	static bool any = false;

	if (seen_changes != changes || seen_generation != MtExtensionGeneration())
	{
		uint64		before = changes;
		uint64		generation_before = MtExtensionGeneration();

		any = MtAnyActingLabel() || any_policy();
		seen_changes = before;
		seen_generation = generation_before;
	}
	return any;
}

bool
MtProtectionHasMetPermissions(void)
{
	return has_met_permissions;
}

/* The name of a column of the relation in *name; false if there is none. */
static bool
column_name(Oid relid, AttrNumber column, NameData *name)
{
	char	   *found = column == 0 ? NULL : get_attname(relid, column, true);

	if (found == NULL)
		return false;
	namestrcpy(name, found);
	return true;
}

/*
 * multitenant._protection(table_name regclass): what the guard knows. Columns:
 * class, tenant_column, mode, is_intact, finding, permissions, scope_column. What is
 * observed has class none, since nothing protects it.
 */
Datum
mt_protection(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	const MtProtection *protection;
	TupleDesc	desc;
	Datum		values[7] = {0};
	bool		nulls[7] = {false};
	NameData	tenant_column;
	NameData	scope_column;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!MtIsActive() || get_rel_relkind(relid) == '\0')
		PG_RETURN_NULL();
	protection = MtProtectionOf(relid);

	values[0] = CStringGetTextDatum(MtClassName(protection->class));
	nulls[1] = !column_name(relid, protection->column, &tenant_column);
	values[1] = NameGetDatum(&tenant_column);
	values[2] = CStringGetTextDatum(protection->is_paused ? "paused" :
									OidIsValid(protection->observed_as) ? "observe" : "enforce");
	values[3] = BoolGetDatum(protection->is_intact);
	nulls[4] = (protection->finding == NULL);
	if (protection->finding != NULL)
		values[4] = CStringGetTextDatum(protection->finding);
	nulls[5] = (protection->resource[0] == '\0');
	values[5] = CStringGetTextDatum(protection->resource);
	nulls[6] = !column_name(relid, protection->scope_column, &scope_column);
	values[6] = NameGetDatum(&scope_column);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
