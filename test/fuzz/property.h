/*
 * property.h
 *	  What a fuzzer promises of every input.
 */
#ifndef MT_FUZZ_PROPERTY_H
#define MT_FUZZ_PROPERTY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer keeps the input of a program that aborts. */
#define PROPERTY(is_kept, text) \
	do { \
		if (!(is_kept)) \
		{ \
			fprintf(stderr, "%s:%d: property broken: %s\n", \
					__FILE__, __LINE__, text); \
			abort(); \
		} \
	} while (0)

/* What libFuzzer calls; the last three only where a fuzzer has them. */
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
extern size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
									  size_t max_size, unsigned seed);
extern size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1,
										const uint8_t *data2, size_t size2,
										uint8_t *out, size_t max_size,
										unsigned seed);

/* What it offers: mutates bytes in place, returns their new number. */
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#endif							/* MT_FUZZ_PROPERTY_H */
