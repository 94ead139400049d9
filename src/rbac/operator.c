/*
 * operator.c
 *	  Who looks after which tenant from outside, as it stands in the tables.
 *
 * Owns how multitenant.operator and master_tenant are read. What follows from a row is
 * not decided here.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/tablescan.h"
#include "rbac/operator.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

/* Columns of multitenant.operator and master_tenant, in msp.sql. */
enum
{
	OPERATOR_TENANT_ID = 1,
	OPERATOR_PRINCIPAL,
	OPERATOR_MASTER_ID,
	OPERATOR_ROLE_ID,
	OPERATOR_EXPIRES_AT,
	OPERATOR_SINCE = 7
};

enum
{
	LINK_TENANT_ID = 1,
	LINK_MASTER_ID
};

static void
read_operator(HeapTuple tuple, TupleDesc desc, void *result)
{
	MtOperator *out = result;

	out->master = MtColumnUuid(tuple, desc, OPERATOR_MASTER_ID);
	out->role = MtColumnUuid(tuple, desc, OPERATOR_ROLE_ID);
	out->expires = MtColumnTime(tuple, desc, OPERATOR_EXPIRES_AT, DT_NOEND);
	out->since = MtColumnTime(tuple, desc, OPERATOR_SINCE, DT_NOEND);
}

bool
MtOperatorFind(const pg_uuid_t *tenant, const char *principal, MtOperator *out)
{
	static const int columns[] = {OPERATOR_TENANT_ID, OPERATOR_PRINCIPAL};
	static const Oid equality[] = {F_UUID_EQ, F_TEXTEQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), CStringGetTextDatum(principal)};

	return MtTableScan(MT_TABLE_OPERATOR, "operator_pkey", lengthof(keys), columns, equality, keys,
					   read_operator, out) > 0;
}

bool
MtOperatorIsLinked(const pg_uuid_t *tenant, const pg_uuid_t *master)
{
	static const int columns[] = {LINK_TENANT_ID, LINK_MASTER_ID};
	static const Oid equality[] = {F_UUID_EQ, F_UUID_EQ};
	Datum		keys[] = {UUIDPGetDatum(tenant), UUIDPGetDatum(master)};

	return MtTableScan(MT_TABLE_MASTER_TENANT, "master_tenant_pkey", lengthof(keys), columns, equality, keys,
					   NULL, NULL) > 0;
}

static void
collect_tenant(HeapTuple tuple, TupleDesc desc, void *result)
{
	List	  **tenants = result;
	pg_uuid_t  *tenant = palloc(sizeof(pg_uuid_t));

	*tenant = MtColumnUuid(tuple, desc, OPERATOR_TENANT_ID);
	*tenants = lappend(*tenants, tenant);
}

List *
MtOperatorTenants(const char *principal)
{
	int			column = OPERATOR_PRINCIPAL;
	Oid			equality = F_TEXTEQ;
	Datum		key = CStringGetTextDatum(principal);
	List	   *tenants = NIL;

	(void) MtTableScan(MT_TABLE_OPERATOR, "operator_principal_idx", 1, &column, &equality, &key,
					   collect_tenant, &tenants);
	return tenants;
}
