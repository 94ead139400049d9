/*
 * keycommand.h
 *	  Master keys that a command prints.
 */
#ifndef MT_KEYCOMMAND_H
#define MT_KEYCOMMAND_H

#include "postgres.h"

/*
 * Runs a shell command and yields what it printed: its length, or -1 with the
 * reason: it failed, took longer than the timeout (milliseconds) or printed
 * more than size bytes. For the key keeper alone. The caller wipes the buffer.
 */
extern int	MtKeyCommandRun(const char *command, int timeout, unsigned char *buffer,
							size_t size, const char **reason);

#endif							/* MT_KEYCOMMAND_H */
