/*
 * keycommand.c
 *	  Master keys that a command prints.
 */
#include "postgres.h"

#include <unistd.h>

#include "crypto/keychild.h"
#include "crypto/keycommand.h"

/* In the child: becomes the command. */
static void
become_command(const void *argument)
{
	if (dup2(MT_KEY_CHILD_OUTPUT, STDOUT_FILENO) < 0)
		_exit(126);
	(void) close(MT_KEY_CHILD_OUTPUT);
	execl("/bin/sh", "sh", "-c", (const char *) argument, (char *) NULL);
	_exit(127);
}

int
MtKeyCommandRun(const char *command, int timeout, unsigned char *buffer,
				size_t size, const char **reason)
{
	return MtKeyChildRun("command", become_command, command, timeout, buffer, size, reason);
}
