/*
 * generated.c
 *	  The policies that the extension generates, and whether a relation has them.
 *
 * Policies are compared as trees. Owns what each class of tables has; sql/table.sql
 * writes the same.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/extension.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "policy/generated.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* How the names of the policies of scopes begin. */
#define SCOPE_POLICY "multitenant_scope_"

/* OIDs of built-in operators, fixed by the server's catalogs. */
#define UUID_EQ_OPERATOR 2972
#define INT8_EQ_OPERATOR 410
#define INT4_EQ_OPERATOR 96
#define TEXT_EQ_OPERATOR 98

/* ---- the generated expressions ---- */

/*
 * Compared as a tree: text can look alike and mean something else.
 */
Var *
MtTenantComparison(Node *node, MtAccessor *accessor, Node **value)
{
	static const struct
	{
		Oid			operator;
		MtAccessor	accessor;
	}			forms[] = {
		{UUID_EQ_OPERATOR, MT_ACCESSOR_UUID},
		{INT8_EQ_OPERATOR, MT_ACCESSOR_INT8},
		{INT4_EQ_OPERATOR, MT_ACCESSOR_INT4},
		{TEXT_EQ_OPERATOR, MT_ACCESSOR_TEXT},
	};
	OpExpr	   *operation = (OpExpr *) node;
	Node	   *left;

	if (node == NULL || !IsA(node, OpExpr) || list_length(operation->args) != 2)
		return NULL;
	left = linitial(operation->args);
	/* varchar is compared as text, relabelled */
	if (IsA(left, RelabelType) && ((RelabelType *) left)->resulttype == TEXTOID)
		left = (Node *) ((RelabelType *) left)->arg;
	if (!IsA(left, Var) || ((Var *) left)->varlevelsup != 0 || ((Var *) left)->varattno <= 0)
		return NULL;

	/*
	 * Security: under a nondeterministic collation other tenants' names can
	 * be "equal".
	 */
	if (OidIsValid(operation->inputcollid) &&
		!get_collation_isdeterministic(operation->inputcollid))
		return NULL;
	for (size_t i = 0; i < lengthof(forms); i++)
		if (operation->opno == forms[i].operator)
		{
			*accessor = forms[i].accessor;
			*value = lsecond(operation->args);
			return (Var *) left;
		}
	return NULL;
}

bool
MtIsAccessor(Node *node, MtAccessor accessor)
{
	return IsA(node, FuncExpr) && OidIsValid(MtAccessorOid(accessor)) &&
		((FuncExpr *) node)->funcid == MtAccessorOid(accessor);
}

bool
MtIsTenantEquality(Node *node, AttrNumber *column)
{
	MtAccessor	accessor;
	Node	   *value;
	Var		   *compared = MtTenantComparison(node, &accessor, &value);

	if (compared == NULL || !MtIsAccessor(value, accessor))
		return false;
	*column = compared->varattno;
	return true;
}

/* Is the node "column = accessor() OR column IS NULL"? */
static bool
is_shared_rows_read(Node *node, AttrNumber *column)
{
	BoolExpr   *either = (BoolExpr *) node;
	NullTest   *test;
	AttrNumber	tested;

	if (node == NULL || !IsA(node, BoolExpr) || either->boolop != OR_EXPR ||
		list_length(either->args) != 2 ||
		!MtIsTenantEquality(linitial(either->args), column))
		return false;
	test = lsecond(either->args);
	if (!IsA(test, NullTest) || test->nulltesttype != IS_NULL ||
		!IsA(test->arg, Var))
		return false;
	tested = ((Var *) test->arg)->varattno;
	return tested == *column;
}

/* Is the constant the text "resource:action"? */
static bool
is_permission(Const *constant, const char *resource, const char *action)
{
	size_t		length = strlen(resource);
	text	   *value;
	char	   *data;

	if (!IsA(constant, Const) || constant->consttype != TEXTOID || constant->constisnull)
		return false;
	value = DatumGetTextPP(constant->constvalue);
	data = VARDATA_ANY(value);
	return VARSIZE_ANY_EXHDR(value) == length + 1 + strlen(action) &&
		memcmp(data, resource, length) == 0 && data[length] == ':' &&
		memcmp(data + length + 1, action, strlen(action)) == 0;
}

/*
 * Is the node "in_scope(column, 'resource:action')", by the function of the column's
 * type? Sets *column if so.
 */
static bool
is_scope_test(Node *node, const char *resource, const char *action, AttrNumber *column)
{
	FuncExpr   *call = (FuncExpr *) node;
	Node	   *scope;
	bool		is_ours = false;

	if (node == NULL || !IsA(node, FuncExpr) || list_length(call->args) != 2)
		return false;
	for (int i = 0; i < MT_ACCESSOR_COUNT; i++)
		is_ours |= OidIsValid(MtScopeFilterOid((MtAccessor) i)) &&
			call->funcid == MtScopeFilterOid((MtAccessor) i);
	scope = linitial(call->args);
	if (IsA(scope, RelabelType) && ((RelabelType *) scope)->resulttype == TEXTOID)
		scope = (Node *) ((RelabelType *) scope)->arg;
	if (!is_ours || !IsA(scope, Var) || ((Var *) scope)->varlevelsup != 0 ||
		((Var *) scope)->varattno <= 0 || !is_permission(lsecond(call->args), resource, action))
		return false;
	*column = ((Var *) scope)->varattno;
	return true;
}

/* The expressions that a generated policy may have. */
typedef enum Expression
{
	EXPRESSION_ABSENT,
	EXPRESSION_EQUAL,
	EXPRESSION_EQUAL_OR_NULL,
	EXPRESSION_IN_SCOPE
} Expression;

typedef struct GeneratedPolicy
{
	const char *name;
	bool		is_permissive;
	char		command;
	Expression	using;
	Expression	check;			/* ABSENT also matches a copy of using */
	const char *action;			/* of scoped tables only: the permission's */
} GeneratedPolicy;

static const GeneratedPolicy tenant_policies[] = {
	{"multitenant_isolation", false, '*', EXPRESSION_EQUAL, EXPRESSION_ABSENT},
	{"multitenant_access", true, '*', EXPRESSION_EQUAL, EXPRESSION_ABSENT},
	{"multitenant_scope_select", false, ACL_SELECT_CHR, EXPRESSION_IN_SCOPE, EXPRESSION_ABSENT, "read"},
	{"multitenant_scope_insert", false, ACL_INSERT_CHR, EXPRESSION_ABSENT, EXPRESSION_IN_SCOPE, "create"},
	{"multitenant_scope_update", false, ACL_UPDATE_CHR, EXPRESSION_IN_SCOPE, EXPRESSION_IN_SCOPE, "update"},
	{"multitenant_scope_delete", false, ACL_DELETE_CHR, EXPRESSION_IN_SCOPE, EXPRESSION_ABSENT, "delete"},
};

static const GeneratedPolicy shared_rows_policies[] = {
	{"multitenant_access", true, '*', EXPRESSION_EQUAL_OR_NULL, EXPRESSION_EQUAL},
	{"multitenant_isolation", false, ACL_SELECT_CHR, EXPRESSION_EQUAL_OR_NULL, EXPRESSION_ABSENT},
	{"multitenant_isolation_insert", false, ACL_INSERT_CHR, EXPRESSION_ABSENT, EXPRESSION_EQUAL},
	{"multitenant_isolation_update", false, ACL_UPDATE_CHR, EXPRESSION_EQUAL, EXPRESSION_EQUAL},
	{"multitenant_isolation_delete", false, ACL_DELETE_CHR, EXPRESSION_EQUAL, EXPRESSION_ABSENT},
};

static const GeneratedPolicy *
generated_policies(MtClass class, size_t *count)
{
	bool		is_shared_rows = class == MT_CLASS_SHARED_ROWS;

	*count = is_shared_rows ? lengthof(shared_rows_policies) : lengthof(tenant_policies);
	return is_shared_rows ? shared_rows_policies : tenant_policies;
}

/* Does the node have that form, on the same column as before? */
static bool
has_form(Node *node, Expression form, const char *action, MtPolicySubject *subject)
{
	AttrNumber *column = form == EXPRESSION_IN_SCOPE ? &subject->scope : &subject->column;
	AttrNumber	found = 0;

	switch (form)
	{
		case EXPRESSION_ABSENT:
			return node == NULL;
		case EXPRESSION_EQUAL:
			if (!MtIsTenantEquality(node, &found))
				return false;
			break;
		case EXPRESSION_EQUAL_OR_NULL:
			if (!is_shared_rows_read(node, &found))
				return false;
			break;
		case EXPRESSION_IN_SCOPE:
			if (!is_scope_test(node, subject->resource, action, &found))
				return false;
			break;
	}
	if (*column != 0 && *column != found)
		return false;
	*column = found;
	return true;
}

static bool
is_for_public(ArrayType *roles)
{
	return ARR_NDIM(roles) == 1 && ARR_DIMS(roles)[0] == 1 &&
		*(Oid *) ARR_DATA_PTR(roles) == ACL_ID_PUBLIC;
}

static bool
matches(RowSecurityPolicy *policy, const GeneratedPolicy *generated, MtPolicySubject *subject)
{
	Node	   *check = (Node *) policy->with_check_qual;

	if (policy->permissive != generated->is_permissive ||
		policy->polcmd != generated->command ||
		!is_for_public(policy->roles) ||
		!has_form((Node *) policy->qual, generated->using, generated->action, subject))
		return false;
	/* The relcache may show USING again as the check where none was given. */
	if (generated->check == EXPRESSION_ABSENT && check != NULL)
		return generated->using != EXPRESSION_ABSENT &&
			has_form(check, generated->using, generated->action, subject);
	return has_form(check, generated->check, generated->action, subject);
}

/*
 * Are all generated policies of the class there, each exactly as generated? Those of
 * scopes only where the relation is scoped.
 */
bool
MtPolicyHasGenerated(Relation relation, MtClass class, MtPolicySubject *subject)
{
	size_t		count;
	const GeneratedPolicy *wanted = generated_policies(class, &count);

	if (relation->rd_rsdesc == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		bool		is_found = false;
		ListCell   *cell;

		if (wanted[i].action != NULL && !subject->is_scoped)
			continue;
		foreach(cell, relation->rd_rsdesc->policies)
		{
			RowSecurityPolicy *policy = lfirst(cell);

			if (policy->policy_name != NULL &&
				strcmp(policy->policy_name, wanted[i].name) == 0)
				is_found = matches(policy, &wanted[i], subject);
		}
		if (!is_found)
			return false;
	}
	return true;
}

bool
MtPolicyIsGenerated(MtClass class, const char *name)
{
	size_t		count;
	const GeneratedPolicy *generated = generated_policies(class, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(name, generated[i].name) == 0)
			return true;
	return false;
}

/*
 * Security: the server evaluates restrictive policies in the order of their
 * names, each with the rows that the earlier ones let through.
 */
bool
MtPolicyIsEarly(MtClass class, bool is_scoped, const char *name)
{
	size_t		count;
	const GeneratedPolicy *generated = generated_policies(class, &count);

	if (MtPolicyIsGenerated(class, name))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!generated[i].is_permissive && (is_scoped || generated[i].action == NULL) &&
			strcmp(name, generated[i].name) < 0)
			return true;
	return false;
}

/* Is there a restrictive policy that is evaluated before ours? */
bool
MtPolicyHasEarlier(Relation relation, MtClass class, bool is_scoped)
{
	ListCell   *cell;

	foreach(cell, relation->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(cell);

		if (!policy->permissive && policy->policy_name != NULL &&
			MtPolicyIsEarly(class, is_scoped, policy->policy_name))
			return true;
	}
	return false;
}

/* Is there a policy with the name of one that filters by scope? */
bool
MtPolicyHasScope(Relation relation)
{
	ListCell   *cell;

	foreach(cell, relation->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(cell);

		if (policy->policy_name != NULL &&
			strncmp(policy->policy_name, SCOPE_POLICY, strlen(SCOPE_POLICY)) == 0)
			return true;
	}
	return false;
}

bool
MtPolicyIsRestrictive(Oid relid, const char *name)
{
	Relation	catalog = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	NameData	wanted;
	bool		result;

	namestrcpy(&wanted, name);
	ScanKeyInit(&keys[0], Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_policy_polname, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&wanted));
	scan = systable_beginscan(catalog, PolicyPolrelidPolnameIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	result = HeapTupleIsValid(tuple) && !((Form_pg_policy) GETSTRUCT(tuple))->polpermissive;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/*
 * Does the relation have a policy of a generated name? Read from the catalog,
 * because the relcache shows none while row security is disabled.
 */
MtClass
MtPolicyClassOf(Oid relid)
{
	Relation	catalog = table_open(PolicyRelationId, AccessShareLock);
	MtClass		class = MT_CLASS_NONE;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		const char *name = NameStr(((Form_pg_policy) GETSTRUCT(tuple))->polname);

		if (strncmp(name, "multitenant_isolation_", strlen("multitenant_isolation_")) == 0)
			class = MT_CLASS_SHARED_ROWS;
		else if (class == MT_CLASS_NONE &&
				 (strcmp(name, "multitenant_isolation") == 0 ||
				  strcmp(name, "multitenant_access") == 0 ||
				  strncmp(name, SCOPE_POLICY, strlen(SCOPE_POLICY)) == 0))
			class = MT_CLASS_TENANT;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return class;
}
