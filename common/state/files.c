#include "common/state/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mutant.h"

enum { FOLDERS_OPEN = 8 };

enum result file_failed(struct error *error, const char *what, const char *path)
{
	int reason = errno;
	/* A file system that was mounted read-only after an error comes back like one that was away. */
	bool person = reason == EACCES || reason == EPERM || reason == ENOTDIR || reason == ENAMETOOLONG;
	(void)error_set(error, person ? RESULT_CONFIG : RESULT_RETRY, "cannot %s %s: %s", what, path, strerror(reason));
	return error_way(error, STOP_FOLDER);
}

enum result file_write(int fd, struct bytes bytes, const char *path, struct error *error)
{
	while (bytes.len > 0) {
		ssize_t written = write(fd, bytes.data, bytes.len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return file_failed(error, "write", path);
		bytes.data += written;
		bytes.len -= (size_t)written;
	}
	return RESULT_OK;
}

enum result folder_sync(const char *path, struct error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum result result = RESULT_OK;
	if (fd < 0 || fsync(fd) != 0)
		result = file_failed(error, "sync folder", path);
	if (fd >= 0)
		(void)close(fd);
	return result;
}

/* Whether it was made now or by somebody else: whoever goes on relies on it. Only what nobody here can have made is left alone. */
static enum result make_one(const char *path, const char *parent, struct error *error)
{
	bool made = mkdir(path, 0777) == 0;
	if (!made && errno != EEXIST)
		return file_failed(error, "make folder", path);
	if (!made && (access(parent, W_OK) != 0 || MUTANT(folder_of_another_unsynced)))
		return RESULT_OK;
	return MUTANT(folder_unsynced) ? RESULT_OK : folder_sync(parent, error);
}

enum result folders_make(const char *path, struct error *error)
{
	char partial[PATH_MAX], parent[PATH_MAX] = "/";
	(void)snprintf(partial, sizeof partial, "%s", path);
	for (char *slash = partial + 1;; slash++) {
		if (*slash != '/' && *slash != '\0')
			continue;
		char rest = *slash;
		*slash = '\0';
		if (make_one(partial, parent, error) != RESULT_OK)
			return error->code;
		(void)snprintf(parent, sizeof parent, "%s", partial);
		*slash = rest;
		if (rest == '\0')
			return RESULT_OK;
	}
}

enum result folder_make(const char *path, struct error *error)
{
	char parent[PATH_MAX];
	(void)snprintf(parent, sizeof parent, "%s", path);
	*strrchr(parent, '/') = '\0';
	if (access(parent, F_OK) != 0)
		return folders_make(path, error);
	return make_one(path, parent, error);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	(void)remove(path);
	return 0;
}

void folder_remove(const char *path)
{
	(void)nftw(path, remove_one, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS);
}

void folder_empty(const char *path, const char *but)
{
	char inner[PATH_MAX];
	DIR *dir = opendir(path);
	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    strcmp(entry->d_name, but) == 0)
			continue;
		(void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
		folder_remove(inner);
	}
	(void)closedir(dir);
}
