/*
 * keyfile.c
 *	  Secrets in files of the server: of master keys, tokens and HSMs.
 *
 * Security: everything about a file is asked of the descriptor that is read, so
 * that it cannot be exchanged in between; links to files and whatever is no
 * regular file are refused. The server's user owns it and nobody else has
 * any right, or root owns it and only its group may read.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/keyfile.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

static char reason_text[160];

static const char *
reason_with_error(const char *text, int error)
{
	snprintf(reason_text, sizeof(reason_text), "%s: %s.", text, strerror(error));
	return reason_text;
}

/*
 * Opens a file by its directory. -1 with the reason.
 *
 * Security: whoever can write the directory can put another file in the place
 * of a secret one, sticky bit or not as long as there is none yet.
 */
static int
open_secret_file(const char *path, const char **reason)
{
	char		directory[MAXPGPATH];
	const char *name;
	struct stat status;
	int			parent;
	int			fd;

	name = strrchr(path, '/');
	if (path[0] != '/' || name == NULL)
	{
		*reason = "The path of the secret file is not absolute.";
		return -1;
	}
	if (name - path + 2 > sizeof(directory))
	{
		*reason = "The path of the secret file is too long.";
		return -1;
	}
	/* With the slash, so that it is a directory or nothing. */
	memcpy(directory, path, name - path + 1);
	directory[name - path + 1] = '\0';
	name++;

	parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
	{
		*reason = reason_with_error("The secret file cannot be opened", errno);
		return -1;
	}
	if (fstat(parent, &status) != 0 || (status.st_mode & S_IWOTH) != 0)
	{
		*reason = "The directory of the secret file can be written by everybody.";
		close(parent);
		return -1;
	}
	fd = openat(parent, *name != '\0' ? name : ".",
				O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		*reason = errno == ELOOP ? "The secret file is a symbolic link." :
			reason_with_error("The secret file cannot be opened", errno);
	close(parent);
	return fd;
}

int
MtReadSecretFile(const char *path, unsigned char *buffer, size_t size,
				 const char **reason)
{
	struct stat status;
	size_t		length = 0;
	int			fd = open_secret_file(path, reason);

	if (fd < 0)
		return -1;
	*reason = NULL;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		*reason = "The secret file is not a regular file.";
	else if (status.st_uid != geteuid() && status.st_uid != 0)
		*reason = "The secret file belongs neither to the server's user nor to root.";
	else if ((status.st_mode & S_IRWXO) != 0)
		*reason = "The secret file is accessible to others.";
	else if ((status.st_mode & S_IRWXG) != 0 &&
			 (status.st_uid == geteuid() || (status.st_mode & (S_IWGRP | S_IXGRP)) != 0))
		*reason = "The secret file is accessible to its group.";
	else if (status.st_size > size)
		*reason = "The secret file is too long.";
	while (*reason == NULL && length < size)
	{
		ssize_t		got = read(fd, buffer + length, size - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			*reason = reason_with_error("The secret file cannot be read", errno);
		if (got <= 0)
			break;
		length += got;
	}
	close(fd);
	return *reason == NULL ? (int) length : -1;
}

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
MtParseKey(const unsigned char *text, size_t length,
		   unsigned char secret[MT_SECRET_BYTES], const char **reason)
{
	if (length == MT_SECRET_BYTES)
	{
		memcpy(secret, text, MT_SECRET_BYTES);
		return true;
	}
	if (length == 2 * MT_SECRET_BYTES + 2 && text[length - 1] == '\n' && text[length - 2] == '\r')
		length -= 2;
	else if (length == 2 * MT_SECRET_BYTES + 1 && text[length - 1] == '\n')
		length--;
	if (length == 2 * MT_SECRET_BYTES)
	{
		bool		is_hex = true;

		for (int i = 0; i < MT_SECRET_BYTES; i++)
		{
			int			high = hex_digit(text[2 * i]);
			int			low = hex_digit(text[2 * i + 1]);

			is_hex = is_hex && high >= 0 && low >= 0;
			secret[i] = (unsigned char) ((high << 4) | low);
		}
		if (is_hex)
			return true;
		MtWipe(secret, MT_SECRET_BYTES);
	}
	*reason = "The key is neither 32 bytes nor 64 hexadecimal digits.";
	return false;
}

char *
MtReplacePercent(const char *pattern, char letter, const char *with)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const char *p = pattern; *p; p++)
	{
		if (*p != '%')
			appendStringInfoCharMacro(&text, *p);
		else if (*++p == letter)
			appendStringInfoString(&text, with);
		else if (*p == '%')
			appendStringInfoCharMacro(&text, '%');
		else
		{
			pfree(text.data);
			return NULL;
		}
	}
	return text.data;
}

char *
MtReplaceVersion(const char *pattern, int version)
{
	char		number[12];

	snprintf(number, sizeof(number), "%d", version);
	return MtReplacePercent(pattern, 'v', number);
}

bool
MtIsInDataDirectory(const char *path)
{
	char		file[PATH_MAX];
	char		data[PATH_MAX];
	char		directory[MAXPGPATH];
	size_t		length;

	if (realpath(DataDir, data) == NULL)
		return false;
	strlcpy(directory, path, sizeof(directory));
	if (realpath(path, file) == NULL)
	{
		get_parent_directory(directory);
		if (realpath(directory, file) == NULL)
			return false;
	}
	length = strlen(data);
	return strncmp(file, data, length) == 0 && (file[length] == '/' || file[length] == '\0');
}
