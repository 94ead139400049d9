/*
 * keyexport.c
 *	  A tenant's own key on its way to another installation.
 *
 * It travels wrapped under a master key that both servers have loaded, at a level of its own, so
 * that what was exported is no row of a key table and the other way round. The keys that it
 * wraps go with it as they are. Invariant: as of keymaker.c.
 */
#include "postgres.h"

#include "base/extension.h"
#include "crypto/masterkey.h"
#include "fmgr.h"
#include "keys/keymaker.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(mt_export_tenant_key);
PG_FUNCTION_INFO_V1(mt_import_tenant_key);

static void
bind_exported(const MtKekRow *row, MtWrapBinding *binding)
{
	MtKekBinding(row, binding);
	binding->level = MT_WRAP_EXPORTED_KEY;
}

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR,
			errcode(MT_ERRCODE_KEY_UNAVAILABLE),
			errmsg("%s", message),
			errhint("%s", hint));
}

/* _export_tenant_key(kek, master key's id): the key, wrapped under that master key. */
Datum
mt_export_tenant_key(PG_FUNCTION_ARGS)
{
	char	   *transport_text = text_to_cstring(PG_GETARG_TEXT_PP(1));
	uint64		transport_id = strtou64(transport_text, NULL, 16);
	unsigned char transport[MT_SECRET_BYTES];
	unsigned char secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	volatile MtWrapStatus status = MT_WRAP_INTERNAL;
	MtDenial	denial;
	MtKekRow	row;
	bytea	   *result = palloc(VARHDRSZ + MT_WRAPPED_BYTES);
	volatile bool is_unwrapped = false;

	if (!MtKekById(PG_GETARG_INT64(0), &row))
		elog(ERROR, "no tenant key " INT64_FORMAT, PG_GETARG_INT64(0));
	if (row.has_share)
		refuse("the key of this tenant needs its share", "Its share would have to move, too; give it a key without one first.");
	bind_exported(&row, &binding);
	SET_VARSIZE(result, VARHDRSZ + MT_WRAPPED_BYTES);
	PG_TRY();
	{
		is_unwrapped = MtMasterKeyById(transport_id, transport, &denial) &&
			MtTenantKeyUnwrap(&row, secret, &denial);
		if (is_unwrapped)
			status = MtWrap(transport, transport_id, &binding, secret, sizeof(secret),
							(unsigned char *) VARDATA(result));
	}
	PG_FINALLY();
	{
		MtWipe(transport, sizeof(transport));
		MtWipe(secret, sizeof(secret));
	}
	PG_END_TRY();
	if (!is_unwrapped)
		MtDenialRaise(&denial);
	if (status != MT_WRAP_OK)
		refuse("the key could not be wrapped", "Look at the server log; the server may be out of memory.");
	PG_RETURN_BYTEA_P(result);
}

/*
 * _import_tenant_key(tenant, kek, version, created_at, exported): makes its row, under the current
 * master key.
 */
Datum
mt_import_tenant_key(PG_FUNCTION_ARGS)
{
	bytea	   *exported = PG_GETARG_BYTEA_PP(4);
	unsigned char *bytes = (unsigned char *) VARDATA_ANY(exported);
	size_t		length = VARSIZE_ANY_EXHDR(exported);
	unsigned char transport[MT_SECRET_BYTES];
	unsigned char master[MT_SECRET_BYTES];
	unsigned char secret[MT_SECRET_BYTES];
	MtWrapBinding binding;
	volatile MtWrapStatus opened = MT_WRAP_INTERNAL;
	volatile MtWrapStatus status = MT_WRAP_INTERNAL;
	MtDenial	denial;
	MtKekRow	row = {0};
	uint64_t	transport_id = 0;
	uint64		master_id;
	volatile bool has_transport = false;
	volatile bool has_master = false;

	row.id = PG_GETARG_INT64(1);
	row.tenant = *PG_GETARG_UUID_P(0);
	row.version = PG_GETARG_INT32(2);
	row.state = MT_KEY_ACTIVE;
	row.created_at = PG_GETARG_TIMESTAMPTZ(3);
	bind_exported(&row, &binding);
	if (length != MT_WRAPPED_BYTES || MtWrappedUnder(bytes, length, &transport_id) != MT_WRAP_OK)
		refuse("the bundle has no wrapped key", "Use what multitenant.export_wrapped_keys() returned, unchanged.");
	PG_TRY();
	{
		has_transport = MtMasterKeyById(transport_id, transport, &denial);
		if (has_transport)
			opened = MtUnwrap(transport, transport_id, &binding, bytes, length, secret);
		has_master = opened == MT_WRAP_OK && MtMasterKeyCurrent(&master_id, master, &denial);
		if (has_master)
		{
			MtKekBinding(&row, &binding);
			status = MtWrap(master, master_id, &binding, secret, sizeof(secret), row.wrapped);
		}
	}
	PG_FINALLY();
	{
		MtWipe(transport, sizeof(transport));
		MtWipe(master, sizeof(master));
		MtWipe(secret, sizeof(secret));
	}
	PG_END_TRY();
	if (has_transport && opened != MT_WRAP_OK)
		refuse("the key of the bundle could not be unwrapped",
			   "It was changed, or is not of this tenant; use what multitenant.export_wrapped_keys() returned.");
	if (!has_master)
		MtDenialRaise(&denial);
	if (status != MT_WRAP_OK)
		refuse("the key could not be wrapped", "Look at the server log; the server may be out of memory.");
	MtKekInsert(&row);
	PG_RETURN_VOID();
}
