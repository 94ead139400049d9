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
#include "access/table.h"
#include "base/audit.h"
#include "base/errors.h"
#include "base/extension.h"
#include "catalog/pg_class.h"
#include "catalog/pg_seclabel.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "policy/label.h"
#include "tenant/access.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define EXEMPT_PREFIX "exempt: "

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

static bool
parse_members(const char *json, MtLabel *out, const char **reason)
{
	Jsonb	   *object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	char	   *mode;
	char	   *until;

	if (!JB_ROOT_IS_OBJECT(object))
	{
		*reason = "what follows the class must be a JSON object";
		return false;
	}
	mode = json_text_member(object, "mode");
	if (mode == NULL || strcmp(mode, "enforce") == 0)
		return true;
	if (strcmp(mode, "paused") != 0)
	{
		*reason = "the mode must be \"enforce\" or \"paused\"";
		return false;
	}
	until = json_text_member(object, "until");
	if (until == NULL)
	{
		*reason = "a pause needs \"until\"";
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
		*reason = "an exemption needs a reason";
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
	*reason = "the class must be tenant, shared, shared_rows or \"exempt: reason\"";
	return false;
}

static char *
label_text(Oid relid)
{
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, relid);
	return GetSecurityLabel(&address, MT_LABEL_PROVIDER);
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
	}
	pfree(text);
}

bool
MtAnyLabel(void)
{
	Relation	relation = table_open(SecLabelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, Anum_pg_seclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(MT_LABEL_PROVIDER));
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

static void
refuse_label(const char *message, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg_internal("%s", message),
			errhint("%s", hint));
}

/*
 * May this session write this label?
 *
 * Security: the table's owner may say "this is tenants' data" once, which only
 * adds protection and is what a restore by the owner does. Changing or removing
 * a label, or saying anything weaker, takes a superuser's or migrator's session:
 * a definer function owned by one lends nothing.
 */
static void
check_right_to_label(Oid relid, const MtLabel *label, bool is_removal)
{
	char	   *old = label_text(relid);

	if (MtIsActive() ? MtAccessHas(MT_MAY_CHANGE_ISOLATION) : superuser())
		return;
	if (old != NULL || is_removal)
		refuse_label("the owner of a table cannot change or remove its multitenant label",
					 "A role with profile migrator or a superuser can call multitenant.unprotect().");
	if (label->class != MT_CLASS_TENANT || label->is_paused)
		refuse_label("the owner of a table can only label it \"tenant\"",
					 "A role with profile migrator or a superuser can call multitenant.share() or exempt().");
}

/* Called by SECURITY LABEL after the server has checked ownership. */
static void
check_label(const ObjectAddress *object, const char *seclabel)
{
	MtLabel		label = {0};
	const char *reason = NULL;
	char		kind;
	MtAuditEvent event = {.event = "isolation.label",.outcome = "done"};

	if (object->classId != RelationRelationId || object->objectSubId != 0)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("only tables can have a multitenant label"),
				errhint("Label the table itself, not a column or another object."));
	kind = get_rel_relkind(object->objectId);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("only tables can have a multitenant label"),
				errhint("Protect the tables that this relation reads."));
	if (seclabel != NULL && !MtLabelParse(seclabel, &label, &reason))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid multitenant label"),
				errdetail("%s.", reason),
				errhint("Use multitenant.protect() and its companions instead of SECURITY LABEL."));
	check_right_to_label(object->objectId, &label, seclabel == NULL);

	/* SECURITY LABEL itself tells nobody. */
	CacheInvalidateRelcacheByRelid(object->objectId);

	event.object = quote_qualified_identifier(get_namespace_name(get_rel_namespace(object->objectId)),
											  get_rel_name(object->objectId));
	event.detail = psprintf("{\"class\": \"%s\", \"paused\": %s}",
							class_names[label.class], label.is_paused ? "true" : "false");
	MtAuditEmit(&event);
}

void
MtLabelInit(void)
{
	register_label_provider(MT_LABEL_PROVIDER, check_label);
}
