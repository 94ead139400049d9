/*
 * newtable.h
 *	  Tables that this transaction makes, and what is done about them.
 */
#ifndef MT_NEWTABLE_H
#define MT_NEWTABLE_H

#include "postgres.h"
#include "access/attnum.h"

extern void MtNewTableInit(void);

/*
 * What the server tells of while it executes DDL; each notes something to be
 * looked at before the commit. The catalogs show the state before the change.
 * None throws beyond what catalog reads throw.
 */

/* A relation of any kind was made. */
extern void MtNewTableNoteCreated(Oid relid);

/* A column was added (is_new), or altered in some way, its name included. */
extern void MtNewTableNoteColumn(Oid relid, AttrNumber column, bool is_new);

/* Something about the relation changed, its schema perhaps. */
extern void MtNewTableNoteAltered(Oid relid);

/* The relation was attached to a parent or taken from one. */
extern void MtNewTableNoteParent(Oid relid);

#endif							/* MT_NEWTABLE_H */
