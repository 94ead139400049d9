/*
 * keeper.h
 *	  The key keeper: the one process that loads master keys.
 */
#ifndef MT_KEEPER_H
#define MT_KEEPER_H

#include "postgres.h"

/* Registers the process while libraries are preloaded. */
extern void MtKeeperInit(void);

#endif							/* MT_KEEPER_H */
