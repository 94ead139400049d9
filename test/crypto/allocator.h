/*
 * allocator.h
 *	  An allocator for OpenSSL that counts what is held and fails when it is told to.
 */
#ifndef MT_TEST_ALLOCATOR_H
#define MT_TEST_ALLOCATOR_H

#include <stdbool.h>
#include <stdlib.h>

/* What OpenSSL holds. */
static long held = 0;

/* The test's: may this allocation succeed? */
static bool may_allocate(void);

static void *
allocate(size_t size, const char *file, int line)
{
	void	   *result;

	(void) file;
	(void) line;
	if (size == 0 || !may_allocate())
		return NULL;
	result = malloc(size);
	held++;
	return result;
}

static void
release(void *pointer, const char *file, int line)
{
	(void) file;
	(void) line;
	if (pointer != NULL)
		held--;
	free(pointer);
}

static void *
reallocate(void *pointer, size_t size, const char *file, int line)
{
	if (pointer == NULL)
		return allocate(size, file, line);
	if (size == 0)
	{
		release(pointer, file, line);
		return NULL;
	}
	return may_allocate() ? realloc(pointer, size) : NULL;
}

#endif							/* MT_TEST_ALLOCATOR_H */
