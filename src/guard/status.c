/*
 * status.c
 *	  What the library says of itself.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/slots.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guard/guard.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(mt_library);

static bool is_loaded_late = false;

/* A library that comes with the first statement has missed part of it. */
void
MtStatusInit(void)
{
	is_loaded_late = debug_query_string != NULL;
}

/* multitenant._library() */
Datum
mt_library(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(MT_VERSION);
	values[1] = CStringGetTextDatum(MtSlotsAvailable() ? "shared" :
									is_loaded_late ? "late" : "session");
	values[2] = BoolGetDatum(MtGuardIsOn());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
