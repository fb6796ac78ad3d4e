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

#include "common/base/crash_point.h"
#include "common/base/mutant.h"
#include "common/state/delta_file.h"
#include "common/state/files.h"

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

static void path_of(char path[PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void path_of(char path[PATH_MAX], const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(path, PATH_MAX, format, args);
	va_end(args);
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

/* Finds the highest; remove_below 0 removes none. */
static enum result scan_attempts(const char *path, uint64_t remove_below, uint64_t *highest, struct error *error)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return file_failed(error, "read folder", path);
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

enum result checkpoint_folder_attempt(const char *root, uint64_t *attempt, struct error *error)
{
	char attempts[PATH_MAX];
	path_of(attempts, "%s/attempts", root);
	return scan_attempts(attempts, 0, attempt, error);
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
		int fd = open(path, O_WRONLY | O_CREAT | (MUTANT(attempt_shared) ? 0 : O_EXCL) | O_CLOEXEC, 0666);
		if (fd >= 0) {
			(void)close(fd);
			break;
		}
		if (errno != EEXIST)
			return file_failed(error, "create", path);
	}
	*attempt = number;
	CRASH_POINT(attempt_made);
	if (!MUTANT(attempt_unsynced) && folder_sync(attempts, error) != RESULT_OK)
		return error->code;
	if (number > ATTEMPTS_KEPT) /* the highest is all that matters: old ones do not pile up */
		return scan_attempts(attempts, number - ATTEMPTS_KEPT, &highest, error);
	return RESULT_OK;
}

/* --- manifests ----------------------------------------------------------------------------------------------------- */

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
	enum result result = folder_make(place, error);
	if (result != RESULT_OK)
		return result;
	(void)snprintf(path, sizeof path, "%s/manifest", place);
	(void)snprintf(beside, sizeof beside, "%s/manifest.%d.new", place, (int)getpid());
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return file_failed(error, "create", beside);
	frame_encode(&message, &header, manifest);
	result = file_write(fd, buffer_bytes(&message), beside, error);
	CRASH_POINT(manifest_written);
	if (result == RESULT_OK && !MUTANT(manifest_unsynced) && fsync(fd) != 0)
		result = file_failed(error, "sync", beside);
	(void)close(fd);
	CRASH_POINT(manifest_synced);
	*existed = false;
	if (result == RESULT_OK && link(beside, path) != 0) {
		*existed = errno == EEXIST;
		if (!*existed)
			result = file_failed(error, "make", path);
	}
	CRASH_POINT(manifest_linked);
	(void)unlink(beside);
	if (result == RESULT_OK && !MUTANT(manifest_name_unsynced))
		result = folder_sync(place, error);
	CRASH_POINT(manifest_durable);
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
		return errno == ENOENT ? RESULT_OK : file_failed(error, "open", path);
	if (fstat(fd, &status) != 0) {
		result = file_failed(error, "look at", path);
	} else if (status.st_size > MANIFEST_BYTES_MAX) {
		result = error_set(error, RESULT_CORRUPT, "%s is too large for a manifest", path);
	} else {
		size_t size = (size_t)status.st_size;
		uint8_t *data = arena_take(arena, size);
		ssize_t got = read(fd, data, size);
		if (got < 0)
			result = file_failed(error, "read", path);
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

/* --- files, and what is left of old checkpoints -------------------------------------------------------------------- */

/* Names come from manifests: they must lie within checkpoints/, and are no manifests. */
static bool name_is_safe(const char *name)
{
	const char *last = strrchr(name, '/');
	return strncmp(name, "checkpoints/", sizeof "checkpoints/" - 1) == 0 && strstr(name, "..") == NULL &&
	       strcmp(last, "/manifest") != 0;
}

static enum result check_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	struct folder *folder = folder_of(store);
	char path[PATH_MAX];
	struct stat status;
	*whole = true;
	for (uint32_t i = 0; i < files->len && *whole; i++) {
		const struct file_entry *file = &files->entries[i];
		*whole = false;
		if (!name_is_safe(file->name)) {
			error_set(
			    error, RESULT_CORRUPT, "a manifest names a file outside of the folder: %s", file->name);
			return RESULT_OK;
		}
		path_of(path, "%s/%s", folder->root, file->name);
		bool there = stat(path, &status) == 0;
		if (!there && errno != ENOENT)
			return file_failed(error, "look at", path);
		*whole = there && status.st_size >= 0 && (uint64_t)status.st_size == file->bytes;
		if (!*whole)
			error_set(error, RESULT_CORRUPT, "%s %s", path, there ? "has another size" : "is not there");
	}
	return RESULT_OK;
}

static enum result verify_file(const struct folder *folder, const struct file_entry *file, struct error *error)
{
	const struct delta_summary expected = {file->rows, file->bytes, file->checksum};
	struct delta_reader *reader;
	struct delta_entry ignored;
	char path[PATH_MAX];
	bool more = true;
	path_of(path, "%s/%s", folder->root, file->name);
	enum result result = delta_reader_open(&reader, path, &expected, 0, UINT32_MAX, error);
	if (result != RESULT_OK)
		return result;
	while (result == RESULT_OK && more)
		result = delta_reader_next(reader, &ignored, &more, error);
	delta_reader_close(reader);
	return result;
}

/* A file stands once for each range of key groups that it serves: read once. */
static bool stands_before(const struct files *files, uint32_t place)
{
	for (uint32_t i = 0; i < place; i++)
		if (strcmp(files->entries[i].name, files->entries[place].name) == 0)
			return true;
	return false;
}

static enum result verify_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	enum result result = check_files(store, files, whole, error);
	for (uint32_t i = 0; i < files->len && result == RESULT_OK && *whole; i++)
		if (!stands_before(files, i))
			result = verify_file(folder_of(store), &files->entries[i], error);
	*whole = *whole && result == RESULT_OK;
	return result == RESULT_CORRUPT ? RESULT_OK : result;
}

static enum result remove_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct error *error)
{
	struct folder *folder = folder_of(store);
	char place[PATH_MAX], path[PATH_MAX + 16];
	manifest_folder(folder, epoch, place);
	(void)snprintf(path, sizeof path, "%s/manifest", place);
	if (unlink(path) != 0 && errno != ENOENT)
		return file_failed(error, "remove", path);
	if (access(place, F_OK) != 0)
		return RESULT_OK;
	/* Also where it was gone: who removed it may have been killed before this. */
	enum result result = MUTANT(removal_unsynced) ? RESULT_OK : folder_sync(place, error);
	(void)rmdir(place); /* once it is empty: a checkpoint in which nothing changed has no files */
	return result;
}

static enum result remove_file(struct checkpoint_store *store, const char *name, struct error *error)
{
	struct folder *folder = folder_of(store);
	char path[PATH_MAX];
	if (!name_is_safe(name))
		return error_set(error, RESULT_CORRUPT, "a file outside of the folder: %s", name);
	path_of(path, "%s/%s", folder->root, name);
	if (unlink(path) != 0 && errno != ENOENT)
		return file_failed(error, "remove", path);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path); /* once it is empty */
	return RESULT_OK;
}

static bool is_named(const struct files *named, const char *checkpoint, const char *file)
{
	char name[PATH_MAX];
	path_of(name, "checkpoints/%s/%s", checkpoint, file);
	for (uint32_t i = 0; i < named->len; i++)
		if (strcmp(named->entries[i].name, name) == 0)
			return true;
	return false;
}

/* Of one that is not named: everything in it that is no file of another one goes. */
static enum result sweep_checkpoint(
    const struct folder *folder, const char *checkpoint, const struct files *files, struct error *error)
{
	char path[PATH_MAX];
	path_of(path, "%s/checkpoints/%s", folder->root, checkpoint);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? RESULT_OK : file_failed(error, "read folder", path);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		if (entry->d_name[0] != '.' && !is_named(files, checkpoint, entry->d_name))
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(path); /* once it is empty */
	return RESULT_OK;
}

static bool epoch_of(const char *name, struct epoch_id *epoch)
{
	char *end;
	epoch->attempt = strtoull(name, &end, 10);
	if (end == name || *end != '.')
		return false;
	name = end + 1;
	epoch->n = strtoull(name, &end, 10);
	return end != name && *end == '\0';
}

static bool names_epoch(const struct checkpoints *named, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < named->len; i++)
		if (epoch_equal(named->entries[i].epoch, epoch))
			return true;
	return false;
}

/* Manifest first: a file that is gone must not be named by any. */
static enum result sweep(struct checkpoint_store *store, uint64_t oldest, const struct checkpoints *named,
    const struct files *files, struct error *error)
{
	struct folder *folder = folder_of(store);
	enum result result = RESULT_OK;
	char path[PATH_MAX];
	path_of(path, "%s/checkpoints", folder->root);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? RESULT_OK : file_failed(error, "read folder", path);
	for (struct dirent *entry; result == RESULT_OK && (entry = readdir(dir)) != NULL;) {
		struct epoch_id epoch;
		if (!epoch_of(entry->d_name, &epoch) || epoch.attempt >= oldest || names_epoch(named, epoch))
			continue;
		result = remove_manifest(store, epoch, error);
		if (result == RESULT_OK)
			result = sweep_checkpoint(folder, entry->d_name, files, error);
	}
	(void)closedir(dir);
	return result;
}

static const char *folder_root(struct checkpoint_store *store)
{
	return folder_of(store)->root;
}

static void folder_close(struct checkpoint_store *store)
{
	struct folder *folder = folder_of(store);
	free(folder->root);
	free(folder->job);
	free(folder);
}

static const struct checkpoint_store_ops folder_ops = {
    .take_attempt = take_attempt,
    .put_manifest = put_manifest,
    .get_manifest = get_manifest,
    .check_files = check_files,
    .verify_files = verify_files,
    .remove_manifest = remove_manifest,
    .remove_file = remove_file,
    .sweep = sweep,
    .root = folder_root,
    .close = folder_close,
};

enum result checkpoint_folder_open(
    struct checkpoint_store **store, const char *dir, const char *job, struct error *error)
{
	static const char *const subs[] = {"attempts", "checkpoints"};
	char path[PATH_MAX], sub[PATH_MAX + 16];
	if (dir[0] != '/')
		return error_stop(
		    error, STOP_PIPELINE_FILE, "checkpoint.dir must be an absolute path, not \"%s\"", dir);
	path_of(path, "%s/%s", dir, job);
	for (size_t i = 0; i < sizeof subs / sizeof subs[0]; i++) {
		(void)snprintf(sub, sizeof sub, "%s/%s", path, subs[i]);
		if (folders_make(sub, error) != RESULT_OK)
			return error_wrap(error, "checkpoint.dir");
	}
	struct folder *folder = memory_new(sizeof *folder);
	folder->store.ops = &folder_ops;
	folder->root = text_clone(path);
	folder->job = text_clone(job);
	*store = &folder->store;
	return RESULT_OK;
}
