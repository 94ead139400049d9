/*
 * noop.c
 *	  Functions that do nothing: what a call from SQL costs by itself. One copies its
 *	  argument, as what encrypts does; one only answers.
 */
#include "postgres.h"

#include "fmgr.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(bench_noop);
PG_FUNCTION_INFO_V1(bench_answer);

Datum
bench_noop(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	bytea	   *result = palloc(VARHDRSZ + VARSIZE_ANY_EXHDR(value));

	SET_VARSIZE(result, VARHDRSZ + VARSIZE_ANY_EXHDR(value));
	memcpy(VARDATA(result), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	PG_RETURN_BYTEA_P(result);
}

Datum
bench_answer(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}
