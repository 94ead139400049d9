/*
 * owner.h
 *	  Running commands as the owner of the table they are about.
 */
#ifndef MT_OWNER_H
#define MT_OWNER_H

#include "postgres.h"

#include "nodes/nodes.h"

/* Who had a command of protect(), unprotect() or a companion run for an owner. */
typedef struct MtOwnerCommand
{
	Oid			caller;
	bool		may_refer;		/* his profile allows foreign keys */
	bool		may_lock;		/* ... LOCK TABLE */
	bool		may_trigger;	/* ... triggers */
	bool		skips_check;	/* the rows of the key it adds were checked
								 * before */
} MtOwnerCommand;

/*
 * Is the utility statement that begins now such a command? Answers true once for
 * each. Not a proof of good will: whoever owns a table can have one run.
 */
extern bool MtOwnerTakeCommand(MtOwnerCommand *out);

/* Has the server add the foreign key of a statement without reading the table. */
extern void MtOwnerSkipCheck(Node *statement);

/* The relation's owner. Throws unless the current user has its rights. */
extern Oid	MtOwnerRequire(Oid relid);

#endif							/* MT_OWNER_H */
