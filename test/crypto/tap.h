/*
 * tap.h
 *	  What tests in C print: numbered results, counted.
 */
#ifndef MT_TEST_TAP_H
#define MT_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int	test_count = 0;
static int	failure_count = 0;

static void
ok(bool is_ok, const char *format,...)
{
	va_list args;

	test_count++;
	if (!is_ok)
		failure_count++;
	printf("%sok %d - ", is_ok ? "" : "not ", test_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static inline void
bail_out(const char *reason)
{
	printf("Bail out! %s\n", reason);
	exit(1);
}

#endif							/* MT_TEST_TAP_H */
