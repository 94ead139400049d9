/*
 * label.c
 *	  The SECURITY LABEL provider "multitenant".
 *
 * Owns the grammar of labels (docs/internals/architecture.md) and the rules who
 * may write which. A label follows its table through renames and dumps, so it
 * names no column.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/audit.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/extension.h"
#include "base/names.h"
#include "base/tablescan.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_seclabel.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "policy/label.h"
#include "storage/bufmgr.h"
#include "tenant/access.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define EXEMPT_PREFIX "exempt: "
#define MT_COLUMN_LABEL "tenant_column"
#define MT_SCOPE_LABEL "scope_column"
#define MAX_LABEL 65536			/* bytes; one undo entry takes about 100 */
#define MAX_PAUSE_MS (INT64CONST(7) * 24 * 60 * 60 * 1000)

static const char *const class_names[] = {
	"none", "tenant", "shared", "shared_rows", "exempt"
};

const char *
MtClassName(MtClass class)
{
	return class_names[class];
}

/* A text member of a JSON object; NULL if it has none of that name. */
static char *
json_text_member(Jsonb *object, const char *name)
{
	JsonbValue	value;
	JsonbValue *found;

	found = getKeyJsonValueFromContainer(&object->root, name, strlen(name), &value);
	if (found == NULL || found->type != jbvString)
		return NULL;
	return pnstrdup(found->val.string.val, found->val.string.len);
}

/*
 * Is the text an ISO date and time with a numeric zone?
 *
 * Security: "infinity" and "tomorrow" are times, too, and never come. A text
 * that does not begin with the year means what the reading session's DateStyle
 * says, and any role may set that.
 */
static bool
is_absolute_time(const char *text)
{
	return strlen(text) >= strlen("2000-01-01 00:00:00+0") &&
		strspn(text, "0123456789") == strlen("2000") && text[4] == '-' &&
		strspn(text, "0123456789-:. +T") == strlen(text);
}

/* Is the text the name of a resource, as "resource:action" permissions begin with? */
static bool
is_resource(const char *text)
{
	size_t		length = strlen(text);

	return length > 0 && length < MT_RESOURCE_SIZE && text[0] >= 'a' && text[0] <= 'z' &&
		strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

/* A boolean member of a JSON object; false if it has none of that name. */
static bool
json_true_member(Jsonb *object, const char *name)
{
	JsonbValue	value;
	JsonbValue *found = getKeyJsonValueFromContainer(&object->root, name, strlen(name), &value);

	return found != NULL && found->type == jbvBool && found->val.boolean;
}

static bool
has_member(Jsonb *object, const char *name)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(&object->root, name, strlen(name), &value) != NULL;
}

/*
 * Whose permissions the table asks for.
 *
 * Security: what is there and cannot be understood is an error, not "none".
 */
static bool
parse_permissions(Jsonb *object, MtLabel *out, const char **reason)
{
	char	   *resource;

	if (has_member(object, "scoped"))
	{
		*reason = "\"scoped\" can only be true, and needs \"permissions\"";
		if (!json_true_member(object, "scoped") || !has_member(object, "permissions"))
			return false;
		out->is_scoped = true;
	}
	if (!has_member(object, "permissions"))
		return true;
	*reason = "Only tables of class tenant can ask for permissions";
	if (out->class != MT_CLASS_TENANT)
		return false;
	resource = json_text_member(object, "permissions");
	*reason = "\"permissions\" must be the name of a resource: lower case letters, digits, \"_\", \".\" and \"-\", at most 63";
	if (resource == NULL || !is_resource(resource))
		return false;
	strlcpy(out->resource, resource, sizeof(out->resource));
	return true;
}

static bool
parse_members(const char *json, MtLabel *out, const char **reason)
{
	Jsonb	   *object = NULL;
	char	   *mode;
	char	   *until;

	if (MtIsJson(json))
		object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
	{
		*reason = "What follows the class must be a JSON object";
		return false;
	}
	if (!parse_permissions(object, out, reason))
		return false;
	mode = json_text_member(object, "mode");
	if (mode == NULL || strcmp(mode, "enforce") == 0)
		return true;
	if (strcmp(mode, "observe") == 0)
	{
		*reason = "Only tables of class tenant can be observed";
		out->is_observed = true;
		return out->class == MT_CLASS_TENANT;
	}
	if (strcmp(mode, "paused") != 0)
	{
		*reason = "The mode must be \"enforce\", \"observe\" or \"paused\"";
		return false;
	}
	until = json_text_member(object, "until");
	if (until == NULL || !is_absolute_time(until))
	{
		*reason = "A pause needs \"until\", an ISO date and time with a numeric zone";
		return false;
	}
	if (json_text_member(object, "reason") == NULL)
	{
		*reason = "A pause needs a reason";
		return false;
	}
	out->is_paused = true;
	out->paused_until = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
																CStringGetDatum(until),
																ObjectIdGetDatum(InvalidOid),
																Int32GetDatum(-1)));
	return true;
}

bool
MtLabelParse(const char *text, MtLabel *out, const char **reason)
{
	static const MtClass with_members[] = {MT_CLASS_TENANT, MT_CLASS_SHARED_ROWS};

	memset(out, 0, sizeof(*out));
	if (strncmp(text, EXEMPT_PREFIX, strlen(EXEMPT_PREFIX)) == 0)
	{
		out->class = MT_CLASS_EXEMPT;
		if (strspn(text + strlen(EXEMPT_PREFIX), " ") < strlen(text + strlen(EXEMPT_PREFIX)))
			return true;
		*reason = "An exemption needs a reason";
		return false;
	}
	if (strcmp(text, class_names[MT_CLASS_SHARED]) == 0)
	{
		out->class = MT_CLASS_SHARED;
		return true;
	}
	for (size_t i = 0; i < lengthof(with_members); i++)
	{
		const char *name = class_names[with_members[i]];
		size_t		length = strlen(name);

		if (strncmp(text, name, length) != 0)
			continue;
		out->class = with_members[i];
		if (text[length] == '\0')
			return true;
		if (text[length] == ' ')
			return parse_members(text + length + 1, out, reason);
	}
	*reason = "The class must be tenant, shared, shared_rows or \"exempt: reason\"";
	return false;
}

static char *
label_text(Oid relid)
{
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, relid);
	return GetSecurityLabel(&address, MT_LABEL_PROVIDER);
}

/* All labels of a relation and its columns, of every provider. */
static SysScanDesc
begin_scan(Relation catalog, Oid relid)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], Anum_pg_seclabel_objoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_seclabel_classoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	return systable_beginscan(catalog, SecLabelObjectIndexId, true, NULL, lengthof(keys), keys);
}

/*
 * The column with the scope's label, or with the tenant's: any other, which can only
 * have been written while the library was not there to check it.
 */
static AttrNumber
labelled_column(Oid relid, bool is_scope)
{
	Relation	catalog = table_open(SecLabelRelationId, AccessShareLock);
	SysScanDesc scan = begin_scan(catalog, relid);
	AttrNumber	column = 0;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		FormData_pg_seclabel *label = (FormData_pg_seclabel *) GETSTRUCT(tuple);
		TupleDesc	desc = RelationGetDescr(catalog);
		char	   *provider;
		char	   *text;

		if (label->objsubid == 0)
			continue;
		provider = MtColumnText(tuple, desc, Anum_pg_seclabel_provider);
		text = MtColumnText(tuple, desc, Anum_pg_seclabel_label);
		if (strcmp(provider, MT_LABEL_PROVIDER) == 0 &&
			(strcmp(text, MT_SCOPE_LABEL) == 0) == is_scope)
			column = (AttrNumber) label->objsubid;
		pfree(provider);
		pfree(text);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return column;
}

AttrNumber
MtLabelledColumn(Oid relid)
{
	return labelled_column(relid, false);
}

AttrNumber
MtLabelledScope(Oid relid)
{
	return labelled_column(relid, true);
}

TransactionId
MtLabelWriter(Oid relid)
{
	Relation	catalog = table_open(SecLabelRelationId, AccessShareLock);
	SysScanDesc scan = begin_scan(catalog, relid);
	TransactionId last = InvalidTransactionId;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TransactionId writer = HeapTupleHeaderGetXmin(tuple->t_data);

		if (((FormData_pg_seclabel *) GETSTRUCT(tuple))->objsubid == 0 &&
			TransactionIdFollowsOrEquals(writer, TransactionXmin) &&
			(last == InvalidTransactionId || TransactionIdFollows(writer, last)))
			last = writer;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return last;
}

List *
MtParentsOf(Oid relid)
{
	Relation	catalog = table_open(InheritsRelationId, AccessShareLock);
	List	   *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return parents;
}

void
MtLabelOf(Oid relid, MtLabel *out)
{
	const char *reason;
	char	   *text = label_text(relid);

	memset(out, 0, sizeof(*out));
	if (text == NULL)
		return;

	/*
	 * Security: what cannot be read (written while the library was not there
	 * to check it) protects like the strictest class.
	 */
	if (!MtLabelParse(text, out, &reason))
	{
		out->class = MT_CLASS_TENANT;
		out->is_paused = false;
		out->is_observed = false;
		out->is_scoped = false;
		out->resource[0] = '\0';
	}
	pfree(text);
}

/* Does one of the provider's labels fit? Reads the catalog until one does. */
static bool
any_label(bool (*fits) (HeapTuple tuple, TupleDesc desc))
{
	Relation	relation = table_open(SecLabelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_seclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(MT_LABEL_PROVIDER));
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = fits == NULL || fits(tuple, RelationGetDescr(relation));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

bool
MtAnyLabel(void)
{
	return any_label(NULL);
}

/* The label of a column says nothing without that of its table. */
static bool
is_acting(HeapTuple tuple, TupleDesc desc)
{
	MtLabel		label;
	const char *reason;
	char	   *text;
	bool		result;

	if (((FormData_pg_seclabel *) GETSTRUCT(tuple))->objsubid != 0)
		return false;
	text = MtColumnText(tuple, desc, Anum_pg_seclabel_label);
	result = !MtLabelParse(text, &label, &reason) || !label.is_observed;
	pfree(text);
	return result;
}

bool
MtAnyActingLabel(void)
{
	return any_label(is_acting);
}

static void
refuse_label(const char *message, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg_internal("%s", message),
			errhint("%s", hint));
}

static void
raise_invalid_label(const char *reason)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid multitenant label"),
			errdetail("%s.", reason),
			errhint("Use multitenant.protect() and its companions instead of SECURITY LABEL."));
}

/* A restore with SET SESSION AUTHORIZATION labels tables as their owners. */
static bool
may_change_isolation(void)
{
	if (!MtIsActive())
		return superuser();
	return MtAccessHas(MT_MAY_CHANGE_ISOLATION) || MtAccessIsLent();
}

/*
 * May this session write this label?
 *
 * Security: the table's owner may say "this is tenants' data" once, to be
 * protected or only observed, which takes nothing away and is what a restore by
 * the owner does; and that what was observed is protected now. Changing or
 * removing a label otherwise, or saying anything weaker, takes a superuser's or
 * migrator's session: a definer function owned by one lends nothing.
 */
static void
check_right_to_label(Oid relid, const MtLabel *label, bool is_removal)
{
	MtLabel		old;

	if (may_change_isolation())
		return;
	MtLabelOf(relid, &old);
	if (is_removal || (old.class != MT_CLASS_NONE && (!old.is_observed || label->is_observed)))
		refuse_label("the owner of a table cannot change or remove its multitenant label",
					 "A role with profile migrator or a superuser can call multitenant.unprotect().");
	if (label->class != MT_CLASS_TENANT || label->is_paused)
		refuse_label("the owner of a table can only label it \"tenant\"",
					 "A role with profile migrator or a superuser can call multitenant.share() or exempt().");
}

/* Are the table and everything below it without a single page? */
static bool
is_empty(Oid relid)
{
	List	   *tree = find_all_inheritors(relid, AccessShareLock, NULL);
	bool		empty = true;
	ListCell   *cell;

	foreach(cell, tree)
	{
		Relation	relation = relation_open(lfirst_oid(cell), NoLock);

		if (RELKIND_HAS_STORAGE(relation->rd_rel->relkind) &&
			RelationGetNumberOfBlocks(relation) > 0)
			empty = false;
		relation_close(relation, NoLock);
	}
	return empty;
}

/*
 * May this session say which column is the tenant's, or the scope's?
 *
 * Security: the owner says it before the table is labelled, as protect() does,
 * or while the table is empty, as a restore does. Later he could add a column
 * whose default stamps every row with one tenant, and move the policies there.
 */
static void
check_column_label(const ObjectAddress *object, const char *seclabel)
{
	bool		is_scope = seclabel != NULL && strcmp(seclabel, MT_SCOPE_LABEL) == 0;
	AttrNumber	present = is_scope ? MtLabelledScope(object->objectId) :
	MtLabelledColumn(object->objectId);
	AttrNumber	other = is_scope ? MtLabelledColumn(object->objectId) :
	MtLabelledScope(object->objectId);

	if (seclabel != NULL && strcmp(seclabel, MT_COLUMN_LABEL) != 0 && !is_scope)
		raise_invalid_label("The label of a column can only be \"" MT_COLUMN_LABEL "\" or \"" MT_SCOPE_LABEL "\"");
	if (seclabel != NULL && present != 0 && present != object->objectSubId)
		raise_invalid_label("Another column of the table is labelled");
	if (seclabel != NULL && other == object->objectSubId)
		raise_invalid_label("A column cannot be both the tenant's and the scope's");
	if (present == object->objectSubId && seclabel != NULL)
		return;
	if (may_change_isolation())
		return;
	if (seclabel == NULL || (label_text(object->objectId) != NULL && !is_empty(object->objectId)))
		refuse_label(is_scope || (seclabel == NULL && other == object->objectSubId) ?
					 "the scope column of a protected table cannot be changed by its owner" :
					 "the tenant column of a protected table cannot be changed by its owner",
					 "A role with profile migrator or a superuser can call multitenant.repair().");
}

/*
 * SECURITY LABEL itself tells nobody. The relations above depend on it, too: an
 * unprotected parent opens a protected child.
 */
static void
invalidate_tree(Oid relid)
{
	List	   *pending = list_make1_oid(relid);

	/* The list grows while it is walked; each relation comes once. */
	for (int i = 0; i < list_length(pending); i++)
	{
		CHECK_FOR_INTERRUPTS();
		CacheInvalidateRelcacheByRelid(list_nth_oid(pending, i));
		pending = list_concat_unique_oid(pending, MtParentsOf(list_nth_oid(pending, i)));
	}
}

static void
check_kind(Oid relid)
{
	char		kind = get_rel_relkind(relid);

	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("only permanent tables can have a multitenant label"),
				errhint("Protect the tables that this relation reads."));
}

/* Called by SECURITY LABEL after the server has checked ownership. */
static void
check_label(const ObjectAddress *object, const char *seclabel)
{
	MtLabel		label = {0};
	const char *reason = NULL;
	MtAuditEvent event = {.event = "isolation.label",.outcome = "done"};

	if (object->classId != RelationRelationId)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("only tables and their columns can have a multitenant label"),
				errhint("Use multitenant.protect() and its companions instead of SECURITY LABEL."));
	check_kind(object->objectId);
	if (object->objectSubId != 0)
	{
		check_column_label(object, seclabel);
		invalidate_tree(object->objectId);
		return;
	}
	if (seclabel != NULL && strlen(seclabel) > MAX_LABEL)
		raise_invalid_label("It is longer than 64 kB");
	if (seclabel != NULL && !MtLabelParse(seclabel, &label, &reason))
		raise_invalid_label(reason);
	if (label.is_paused && label.paused_until >
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MAX_PAUSE_MS))
		raise_invalid_label("A pause lasts at most seven days");
	check_right_to_label(object->objectId, &label, seclabel == NULL);
	invalidate_tree(object->objectId);

	event.object = MtQualifiedName(object->objectId);
	event.detail = psprintf("{\"class\": \"%s\", \"paused\": %s, \"observed\": %s%s%s%s%s}",
							class_names[label.class], label.is_paused ? "true" : "false",
							label.is_observed ? "true" : "false",
							label.resource[0] != '\0' ? ", \"permissions\": \"" : "", label.resource,
							label.resource[0] != '\0' ? "\"" : "", label.is_scoped ? ", \"scoped\": true" : "");
	MtAuditEmit(&event);
}

static void
register_provider(void)
{
	static bool is_registered = false;

	if (!is_registered)
		register_label_provider(MT_LABEL_PROVIDER, check_label);
	is_registered = true;
}

/*
 * SECURITY LABEL without FOR means the only provider there is: where the
 * extension is absent it must not come to mean us. Who names us is heard
 * everywhere; labels outlive the extension.
 */
void
MtLabelBeforeStatement(Node *statement)
{
	SecLabelStmt *label = (SecLabelStmt *) statement;

	if (statement == NULL || !IsA(statement, SecLabelStmt))
		return;
	if (label->provider != NULL ? strcmp(label->provider, MT_LABEL_PROVIDER) == 0 : MtIsActive())
		register_provider();
}

void
MtLabelInit(void)
{
	/* No hook will tell of the statements of an upgrade. */
	if (IsBinaryUpgrade)
		register_provider();
}
