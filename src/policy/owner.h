/*
 * owner.h
 *	  Running commands as the owner of the table they are about.
 */
#ifndef MT_OWNER_H
#define MT_OWNER_H

#include "postgres.h"

/*
 * Is a command of protect(), unprotect() or one of their companions running? An
 * owner can bring this about; all he gains is what fails closed.
 */
extern bool MtOwnerIsAtWork(void);

#endif							/* MT_OWNER_H */
