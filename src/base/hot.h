/*
 * hot.h
 *	  What every statement reads.
 *
 * MT_HOT marks a variable that the hooks read where there is nothing to do. The linker
 * puts those side by side, so that they fill few lines of the data cache in place of a
 * line each. They must be given a value.
 */
#ifndef MT_HOT_H
#define MT_HOT_H

#if defined(__GNUC__) && defined(__ELF__)
#define MT_HOT __attribute__((section("multitenant_hot")))
#else
#define MT_HOT
#endif

#endif							/* MT_HOT_H */
