#include "common/state/checkpoint_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANIFEST_BYTES_MAX = FRAME_MAX, ATTEMPTS_KEPT = 64 };

struct folder {
	struct checkpoint_store store;
	char *root; /* <dir>/<job> */
	char *job;
};

static struct folder *folder_of(struct checkpoint_store *store)
{
	return (struct folder *)store;
}

static enum result failed(struct error *error, const char *what, const char *path)
{
	int reason = errno;
	bool person =
	    reason == EACCES || reason == EPERM || reason == ENOTDIR || reason == EROFS || reason == ENAMETOOLONG;
	return error_set(
	    error, person ? RESULT_CONFIG : RESULT_RETRY, "cannot %s %s: %s", what, path, strerror(reason));
}

static void path_of(char path[PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void path_of(char path[PATH_MAX], const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(path, PATH_MAX, format, args);
	va_end(args);
}

static enum result sync_folder(const char *path, struct error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum result result = RESULT_OK;
	if (fd < 0 || fsync(fd) != 0)
		result = failed(error, "sync folder", path);
	if (fd >= 0)
		(void)close(fd);
	return result;
}

/* Like mkdir -p; every folder made is durable. */
static enum result make_folders(const char *path, struct error *error)
{
	char partial[PATH_MAX], parent[PATH_MAX] = "/";
	path_of(partial, "%s", path);
	for (char *slash = partial + 1;; slash++) {
		if (*slash != '/' && *slash != '\0')
			continue;
		char rest = *slash;
		*slash = '\0';
		if (mkdir(partial, 0777) != 0 && errno != EEXIST)
			return failed(error, "make folder", partial);
		if (sync_folder(parent, error) != RESULT_OK)
			return error->code;
		path_of(parent, "%s", partial);
		*slash = rest;
		if (rest == '\0')
			return RESULT_OK;
	}
}

/* --- attempts ------------------------------------------------------------------------------------------------------ */

static bool number_of(const char *name, uint64_t *number)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(name, &end, 10);
	*number = value;
	return name[0] >= '0' && name[0] <= '9' && *end == '\0' && errno == 0;
}

/* Calls that remove nothing (most 0) only find the highest. */
static enum result scan_attempts(const char *path, uint64_t remove_below, uint64_t *highest, struct error *error)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return failed(error, "read folder", path);
	*highest = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		uint64_t number;
		if (!number_of(entry->d_name, &number))
			continue;
		if (number < remove_below)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
		else if (number > *highest)
			*highest = number;
	}
	(void)closedir(dir);
	return RESULT_OK;
}

static enum result take_attempt(
    struct checkpoint_store *store, uint64_t at_least, uint64_t *attempt, struct error *error)
{
	struct folder *folder = folder_of(store);
	char attempts[PATH_MAX], path[PATH_MAX + 24];
	uint64_t highest = 0;
	path_of(attempts, "%s/attempts", folder->root);
	if (scan_attempts(attempts, 0, &highest, error) != RESULT_OK)
		return error->code;
	uint64_t number = at_least > highest + 1 ? at_least : highest + 1;
	for (;; number++) {
		(void)snprintf(path, sizeof path, "%s/%" PRIu64, attempts, number);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0) {
			(void)close(fd);
			break;
		}
		if (errno != EEXIST)
			return failed(error, "create", path);
	}
	*attempt = number;
	if (sync_folder(attempts, error) != RESULT_OK)
		return error->code;
	if (number > ATTEMPTS_KEPT) /* the highest is all that matters: old ones do not pile up */
		return scan_attempts(attempts, number - ATTEMPTS_KEPT, &highest, error);
	return RESULT_OK;
}

/* --- manifests ----------------------------------------------------------------------------------------------------- */

static enum result write_all(int fd, struct bytes bytes, const char *path, struct error *error)
{
	while (bytes.len > 0) {
		ssize_t written = write(fd, bytes.data, bytes.len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return failed(error, "write", path);
		bytes.data += written;
		bytes.len -= (size_t)written;
	}
	return fsync(fd) == 0 ? RESULT_OK : failed(error, "sync", path);
}

static void manifest_folder(const struct folder *folder, struct epoch_id epoch, char path[PATH_MAX])
{
	path_of(path, "%s/checkpoints/%" PRIu64 ".%" PRIu64, folder->root, epoch.attempt, epoch.n);
}

/* Written whole beside its place, then linked to it: link fails where there is one already. */
static enum result put_manifest(
    struct checkpoint_store *store, const struct frame_manifest *manifest, bool *existed, struct error *error)
{
	struct folder *folder = folder_of(store);
	char place[PATH_MAX], path[PATH_MAX + 16], beside[PATH_MAX + 40];
	struct frame_header header = {
	    .kind = FRAME_MANIFEST, .job = frame_job(folder->job), .attempt = manifest->epoch.attempt};
	struct buffer message = {0};
	manifest_folder(folder, manifest->epoch, place);
	enum result result = make_folders(place, error);
	if (result != RESULT_OK)
		return result;
	(void)snprintf(path, sizeof path, "%s/manifest", place);
	(void)snprintf(beside, sizeof beside, "%s/manifest.%d.new", place, (int)getpid());
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return failed(error, "create", beside);
	frame_encode(&message, &header, manifest);
	result = write_all(fd, buffer_bytes(&message), beside, error);
	(void)close(fd);
	*existed = false;
	if (result == RESULT_OK && link(beside, path) != 0) {
		*existed = errno == EEXIST;
		if (!*existed)
			result = failed(error, "make", path);
	}
	(void)unlink(beside);
	if (result == RESULT_OK)
		result = sync_folder(place, error);
	buffer_fini(&message);
	return result;
}

static enum result read_file(
    const char *path, struct arena *arena, struct bytes *content, bool *found, struct error *error)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum result result = RESULT_OK;
	*found = fd >= 0;
	if (fd < 0)
		return errno == ENOENT ? RESULT_OK : failed(error, "open", path);
	if (fstat(fd, &status) != 0) {
		result = failed(error, "look at", path);
	} else if (status.st_size > MANIFEST_BYTES_MAX) {
		result = error_set(error, RESULT_CORRUPT, "%s is too large for a manifest", path);
	} else {
		size_t size = (size_t)status.st_size;
		uint8_t *data = arena_take(arena, size);
		ssize_t got = read(fd, data, size);
		if (got < 0)
			result = failed(error, "read", path);
		*content = (struct bytes){data, got < 0 ? 0 : (size_t)got};
	}
	(void)close(fd);
	return result;
}

static enum result get_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct arena *arena,
    struct frame_manifest *manifest, bool *found, struct error *error)
{
	struct folder *folder = folder_of(store);
	char place[PATH_MAX], path[PATH_MAX + 16];
	struct bytes content = {0};
	struct frame frame;
	manifest_folder(folder, epoch, place);
	(void)snprintf(path, sizeof path, "%s/manifest", place);
	enum result result = read_file(path, arena, &content, found, error);
	if (result != RESULT_OK || !*found)
		return result;
	if (frame_decode(content, arena, &frame, NULL, error) != RESULT_OK)
		return error_wrap(error, "%s", path);
	if (frame.header.kind != FRAME_MANIFEST || strcmp(frame.body.manifest.job, folder->job) != 0 ||
	    !epoch_equal(frame.body.manifest.epoch, epoch))
		return error_set(error, RESULT_CORRUPT, "%s is not the manifest of this job's checkpoint", path);
	*manifest = frame.body.manifest;
	return RESULT_OK;
}

static void folder_close(struct checkpoint_store *store)
{
	struct folder *folder = folder_of(store);
	free(folder->root);
	free(folder->job);
	free(folder);
}

static const struct checkpoint_store_ops folder_ops = {take_attempt, put_manifest, get_manifest, folder_close};

enum result checkpoint_folder_open(
    struct checkpoint_store **store, const char *dir, const char *job, struct error *error)
{
	char path[PATH_MAX], sub[PATH_MAX + 16];
	if (dir[0] != '/')
		return error_set(error, RESULT_CONFIG, "checkpoint.dir must be an absolute path, not \"%s\"", dir);
	path_of(path, "%s/%s", dir, job);
	(void)snprintf(sub, sizeof sub, "%s/attempts", path);
	if (make_folders(sub, error) != RESULT_OK)
		return error_wrap(error, "checkpoint.dir");
	struct folder *folder = memory_new(sizeof *folder);
	folder->store.ops = &folder_ops;
	folder->root = text_clone(path);
	folder->job = text_clone(job);
	*store = &folder->store;
	return RESULT_OK;
}
