/*
 * keycommand.c
 *	  Master keys that a command prints.
 *
 * Security: the output is read with read(2) into the caller's locked buffer, so that no copy
 * stays in a buffer of stdio; it is never logged. What the command writes to
 * stderr goes where the server's goes.
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "crypto/cipher.h"
#include "crypto/keycommand.h"
#include "libpq/pqsignal.h"
#include "postmaster/interrupt.h"
#include "portability/instr_time.h"

static char reason_text[160];

/* In the child: becomes the command. Nothing here may allocate or throw. */
static void
become_command(const char *command, int output)
{
	sigset_t	none;
	int			null_input;

#ifdef __linux__
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
#endif
	(void) setpgid(0, 0);
	for (int signo = 1; signo < NSIG; signo++)
		(void) signal(signo, SIG_DFL);
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);

	null_input = open("/dev/null", O_RDONLY);
	if (null_input < 0 || dup2(null_input, STDIN_FILENO) < 0 ||
		dup2(output, STDOUT_FILENO) < 0)
		_exit(126);

	/* The server's files and sockets are none of its business. */
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
#endif
		for (int fd = 3; fd < 4096; fd++)
			(void) close(fd);
	execl("/bin/sh", "sh", "-c", command, (char *) NULL);
	_exit(127);
}

static int
milliseconds_left(instr_time start, int timeout)
{
	instr_time	now;
	double		left;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	left = timeout - INSTR_TIME_GET_MILLISEC(now);
	return left > 0 ? (int) left + 1 : 0;
}

/*
 * Reads until the end, or until there is more than fits or no time left. Waits
 * in short steps, so that a signal to end this process is seen.
 */
static int
read_output(int fd, unsigned char *buffer, size_t size, instr_time start,
			int timeout, const char **reason)
{
	size_t		length = 0;

	for (;;)
	{
		struct pollfd waiting = {.fd = fd, .events = POLLIN};
		unsigned char beyond;
		int			left = milliseconds_left(start, timeout);
		ssize_t		got;

		if (ShutdownRequestPending)
		{
			*reason = "The server shuts down.";
			return -1;
		}
		if (left == 0)
		{
			*reason = "The command took longer than multitenant.key_timeout.";
			return -1;
		}
		if (poll(&waiting, 1, Min(left, 100)) <= 0)
			continue;
		got = length < size ? read(fd, buffer + length, size - length) : read(fd, &beyond, 1);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
		{
			*reason = "The output of the command cannot be read.";
			return -1;
		}
		if (got == 0)
			return (int) length;
		if (length == size)
		{
			MtWipe(&beyond, sizeof(beyond));
			*reason = "The command printed more than a key.";
			return -1;
		}
		length += got;
	}
}

/* Waits for the end of the command; false with the reason unless it was success. */
static bool
await_command(pid_t child, instr_time start, int timeout, const char **reason)
{
	int			status;

	for (;;)
	{
		pid_t		ended = waitpid(child, &status, WNOHANG);

		if (ended == child)
			break;
		if (ended < 0 && errno != EINTR)
		{
			*reason = "The command was lost.";
			return false;
		}
		if (ShutdownRequestPending || milliseconds_left(start, timeout) == 0)
		{
			*reason = "The command took longer than multitenant.key_timeout.";
			return false;
		}
		pg_usleep(5000);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		snprintf(reason_text, sizeof(reason_text), "The command failed with exit status %d.",
				 WEXITSTATUS(status));
	else
		snprintf(reason_text, sizeof(reason_text), "The command was ended by signal %d.",
				 WTERMSIG(status));
	*reason = reason_text;
	return false;
}

int
MtKeyCommandRun(const char *command, int timeout, unsigned char *buffer,
				size_t size, const char **reason)
{
	int			ends[2];
	pid_t		child;
	int			length;
	bool		is_good;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	if (pipe(ends) != 0)
	{
		*reason = "There is no pipe for the command.";
		return -1;
	}
	(void) fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	child = fork();
	if (child == 0)
		become_command(command, ends[1]);
	close(ends[1]);
	if (child < 0)
	{
		close(ends[0]);
		*reason = "There is no process for the command.";
		return -1;
	}
	/* Both sides do, so that the group is there whoever comes first. */
	(void) setpgid(child, child);
	length = read_output(ends[0], buffer, size, start, timeout, reason);
	close(ends[0]);
	is_good = length >= 0 && await_command(child, start, timeout, reason);
	if (!is_good)
	{
		/* With all that it has started. It may have ended by itself. */
		(void) kill(-child, SIGKILL);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
		MtWipe(buffer, size);
		return -1;
	}
	return length;
}
