/*
 * keychild.c
 *	  A short-lived process that yields a few bytes.
 *
 * Not a child of the postmaster: whatever it does, it cannot take the server with
 * it, and it ends in time.
 *
 * Security: what it writes is read with read(2) into the caller's locked buffer,
 * so that no copy stays in a buffer of stdio, and is never logged.
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "crypto/cipher.h"
#include "crypto/keychild.h"
#include "crypto/keypage.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "postmaster/interrupt.h"
#include "storage/pg_shmem.h"

#define LOOK_EVERY 100			/* ms until a signal to end this process is
								 * seen */

static char reason_text[160];

static const char *
reason_about(const char *name, const char *text)
{
	snprintf(reason_text, sizeof(reason_text), "The %s %s.", name, text);
	return reason_text;
}

#ifdef __linux__
#define MAPS_MAX 128

/*
 * Leaves dynamic shared memory, of which the server keeps no list that could be had.
 *
 * Security: unmapped, not detached. That would give back the parent's references, with
 * which the segments would be destroyed.
 */
static void
leave_shared_maps(void)
{
	FILE	   *maps = fopen("/proc/self/maps", "r");
	char		line[1024];
	unsigned long from[MAPS_MAX];
	unsigned long to[MAPS_MAX];
	int			count = 0;

	if (maps == NULL)
		_exit(126);
	while (count < MAPS_MAX && fgets(line, sizeof(line), maps) != NULL)
	{
		char		rights[8];

		if (sscanf(line, "%lx-%lx %7s", &from[count], &to[count], rights) == 3 &&
			strncmp(rights, "rw", 2) == 0 && rights[3] == 's')
			count++;
	}
	(void) fclose(maps);
	if (count == MAPS_MAX)
		_exit(126);
	for (int i = 0; i < count; i++)
		if (munmap((void *) from[i], to[i] - from[i]) != 0)
			_exit(126);
}
#endif

/* In the child: leaves the server behind. Nothing here may allocate or throw. */
static void
leave_server(int output)
{
	sigset_t	none;
	int			null_input;

	/* An error that nobody expects ends this process, not the keeper's work. */
	PG_exception_stack = NULL;
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
		dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
		(output == MT_KEY_CHILD_OUTPUT ? fcntl(output, F_SETFD, 0) :
		 dup2(output, MT_KEY_CHILD_OUTPUT)) < 0)
		_exit(126);

	/*
	 * The server's memory, the keys that are loaded included, its files and
	 * sockets are none of its business.
	 */
	MtKeyPageLeave();
	PGSharedMemoryDetach();
#ifdef __linux__
	leave_shared_maps();
#endif
#ifdef SYS_close_range
	if (syscall(SYS_close_range, MT_KEY_CHILD_OUTPUT + 1U, ~0U, 0U) == 0)
		return;
#endif
	for (int fd = MT_KEY_CHILD_OUTPUT + 1; fd < 65536; fd++)
		(void) close(fd);
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

static bool
time_is_over(const char *name, instr_time start, int timeout, const char **reason)
{
	if (ShutdownRequestPending)
		*reason = "The server shuts down.";
	else if (ProcDiePending || QueryCancelPending)
		*reason = reason_about(name, "was interrupted");
	else if (milliseconds_left(start, timeout) == 0)
		*reason = reason_about(name, "took longer than multitenant.key_timeout");
	else
		return false;
	return true;
}

/* Reads until the end; -1 with the reason if there is more than fits, or no time left. */
static int
read_output(const char *name, int fd, unsigned char *buffer, size_t size,
			instr_time start, int timeout, const char **reason)
{
	size_t		length = 0;

	while (!time_is_over(name, start, timeout, reason))
	{
		struct pollfd waiting = {.fd = fd,.events = POLLIN};
		unsigned char beyond;
		ssize_t		got;

		if (poll(&waiting, 1, Min(milliseconds_left(start, timeout), LOOK_EVERY)) <= 0)
			continue;
		got = length < size ? read(fd, buffer + length, size - length) : read(fd, &beyond, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
		{
			*reason = reason_about(name, "cannot be read");
			return -1;
		}
		if (got == 0)
			return (int) length;
		if (length == size)
		{
			MtWipe(&beyond, sizeof(beyond));
			*reason = reason_about(name, "printed more than a key");
			return -1;
		}
		length += got;
	}
	return -1;
}

/* Waits for the end; false with the reason unless it was success. */
static bool
await_end(const char *name, pid_t *child, instr_time start, int timeout, const char **reason)
{
	int			status;
	pid_t		ended;
	char		how[64];

	while ((ended = waitpid(*child, &status, WNOHANG)) != *child)
	{
		if (ended < 0 && errno != EINTR)
		{
			*reason = reason_about(name, "was lost");
			return false;
		}
		if (time_is_over(name, start, timeout, reason))
			return false;
		pg_usleep(2000);
	}
	*child = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		snprintf(how, sizeof(how), "failed with exit status %d", WEXITSTATUS(status));
	else
		snprintf(how, sizeof(how), "was ended by signal %d", WTERMSIG(status));
	*reason = reason_about(name, how);
	return false;
}

int
MtKeyChildRun(const char *name, MtKeyChildWork work, const void *argument,
			  int timeout, unsigned char *buffer, size_t size, const char **reason)
{
	int			ends[2];
	pid_t		child;
	pid_t		group;
	int			length;
	bool		is_good;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	if (pipe(ends) != 0)
	{
		*reason = reason_about(name, "has no pipe");
		return -1;
	}
	child = fork();
	if (child == 0)
	{
		leave_server(ends[1]);
		work(argument);
		_exit(125);
	}
	close(ends[1]);
	if (child < 0)
	{
		close(ends[0]);
		*reason = reason_about(name, "has no process");
		return -1;
	}
	/* Both sides do, so that the group is there whoever comes first. */
	(void) setpgid(child, child);
	group = child;
	length = read_output(name, ends[0], buffer, size, start, timeout, reason);
	close(ends[0]);
	is_good = length >= 0 && await_end(name, &child, start, timeout, reason);

	/* With all that it has started, which has no more to say. */
	(void) kill(-group, SIGKILL);
	while (child != 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (is_good)
		return length;
	MtWipe(buffer, size);
	return -1;
}
