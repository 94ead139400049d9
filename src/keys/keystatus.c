/*
 * keystatus.c
 *	  SQL functions that tell how keys are used: counts, never keys.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "keys/keycache.h"
#include "keys/keyusage.h"
#include "tenant/access.h"

PG_FUNCTION_INFO_V1(mt_key_cache);
PG_FUNCTION_INFO_V1(mt_unwritten_uses);

/* _key_cache(): what this session's cache of keys holds and has done. */
Datum
mt_key_cache(PG_FUNCTION_ARGS)
{
	MtKeyCacheStats stats;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	/*
	 * Security: in a session that is shared they are those of other tenants,
	 * too.
	 */
	MtAccessRequire(MT_MAY_LINT, "reading the state of keys");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	MtKeyCacheRead(&stats);
	values[0] = Int64GetDatum(stats.entries);
	values[1] = Int64GetDatum(stats.ready);
	values[2] = Int64GetDatum(stats.hits);
	values[3] = Int64GetDatum(stats.misses);
	values[4] = Int64GetDatum(stats.evictions);
	values[5] = Int64GetDatum((int64) MtKeyUsageLost());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* _unwritten_uses(key): uses that are counted and not in the key's row yet. */
Datum
mt_unwritten_uses(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(MtKeyUsageOf(PG_GETARG_INT64(0)));
}
