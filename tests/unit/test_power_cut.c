/* tests/unit/test_power_cut.c - protects: what the checkpoint folder said is durable is there after the power went off, wherever that was;
 * and what is there is whole.
 *
 * The linker wraps the calls that change a disk. Beside the real folder stands a model of what is durable: of a file what it held when
 * it was last synced, of a folder the names that it had then. A process takes the steps of a job and dies before each of them in
 * turn; then the folder is made anew as the disk may have it, in the ways of LEFT, and restored from. Storage that keeps more than
 * it promised is as good as one that keeps just that, so a rule that is broken shows in one of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/state/checkpoint_store.h"
#include "common/state/delta_file.h"
#include "common/state/files.h"

enum {
	NODES_MAX = 256,
	NAMES_MAX = 24,
	NAME_MAX_HERE = 40,
	CONTENT_MAX = 4096,
	PROMISES_MAX = 16,
	STEPS_MAX = 1000,
	DEAD = 9
};
enum { LEFT_SYNCED, LEFT_NAMES, LEFT_CONTENTS, LEFT_ZEROS, LEFT };
static const char *const left_words[LEFT] = {"nothing that was not synced",
    "names, but not what was not synced of files", "what files hold, but no name that was not synced",
    "names, and zeros for what was not synced"};

/* --- the disk --------------------------------------------------------------------------------------------------------- */

struct node {
	ino_t inode; /* 0: it has been given to another one since */
	bool folder;
	size_t len; /* of content, or of names */
	uint8_t content[CONTENT_MAX];
	struct {
		char text[NAME_MAX_HERE];
		uint32_t node;
	} names[NAMES_MAX];
};

enum fate { FATE_NONE, FATE_THERE, FATE_GOING, FATE_GONE };

/* Shared with the processes that die. */
static struct disk {
	struct node nodes[NODES_MAX]; /* the first is the folder of all */
	uint32_t nodes_len;
	uint32_t steps, die_at;
	/* What was promised: */
	uint64_t attempt;
	struct {
		struct epoch_id epoch;
		enum fate fate;
	} manifests[PROMISES_MAX];
	uint32_t manifests_len;
	struct {
		char name[64];
		struct file_entry entry;
		bool kept; /* nobody has begun to remove it */
	} files[PROMISES_MAX];
	uint32_t files_len;
} * disk;

static bool recording;
static char root[32], after[40];

static uint32_t node_of(const struct stat *status)
{
	for (uint32_t i = 0; i < disk->nodes_len; i++)
		if (disk->nodes[i].inode == status->st_ino)
			return i;
	CHECK(disk->nodes_len < NODES_MAX);
	disk->nodes[disk->nodes_len] = (struct node){.inode = status->st_ino, .folder = S_ISDIR(status->st_mode)};
	return disk->nodes_len++;
}

/* A new file or folder, of which nothing is durable; its number may have been another's. */
static void made(const char *path)
{
	struct stat status;
	CHECK(stat(path, &status) == 0);
	for (uint32_t i = 0; i < disk->nodes_len; i++)
		if (disk->nodes[i].inode == status.st_ino)
			disk->nodes[i].inode = 0;
	(void)node_of(&status);
}

static size_t read_whole(const char *path, uint8_t content[CONTENT_MAX])
{
	FILE *file = fopen(path, "rb");
	CHECK(file != NULL);
	size_t len = fread(content, 1, CONTENT_MAX, file);
	CHECK(len < CONTENT_MAX);
	(void)fclose(file);
	return len;
}

static void synced(int fd)
{
	char link[64], path[PATH_MAX] = "";
	struct stat status;
	CHECK(fstat(fd, &status) == 0);
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	CHECK(readlink(link, path, sizeof path - 1) > 0);
	if (strncmp(path, root, strlen(root)) != 0)
		return; /* above the folder of all */
	struct node *node = &disk->nodes[node_of(&status)];
	if (!node->folder) {
		node->len = read_whole(path, node->content);
		return;
	}
	DIR *dir = opendir(path);
	CHECK(dir != NULL);
	node->len = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char inner[PATH_MAX + NAME_MAX + 2];
		struct stat of_entry;
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
		CHECK(stat(inner, &of_entry) == 0 && node->len < NAMES_MAX);
		(void)snprintf(node->names[node->len].text, NAME_MAX_HERE, "%.*s", NAME_MAX_HERE - 1, entry->d_name);
		node->names[node->len++].node = node_of(&of_entry);
	}
	(void)closedir(dir);
}

/* --- the calls -------------------------------------------------------------------------------------------------------- */

static void step(void)
{
	if (recording && disk->steps++ == disk->die_at)
		_exit(DEAD);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);

int __wrap_open(const char *path, int flags, ...)
{
	bool makes = (flags & O_CREAT) != 0, was = access(path, F_OK) == 0;
	if (makes)
		step();
	int fd = __real_open(path, flags, 0666);
	if (recording && makes && !was && fd >= 0)
		made(path);
	return fd;
}

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	step();
	return __real_write(fd, data, len);
}

int __wrap_fsync(int fd)
{
	step();
	if (recording)
		synced(fd);
	return 0;
}

int __wrap_rename(const char *from, const char *to)
{
	step();
	return __real_rename(from, to);
}

int __wrap_link(const char *from, const char *to)
{
	step();
	return __real_link(from, to);
}

int __wrap_unlink(const char *path)
{
	step();
	return __real_unlink(path);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	step();
	int result = __real_mkdir(path, mode);
	if (recording && result == 0)
		made(path);
	return result;
}

int __wrap_rmdir(const char *path)
{
	step();
	return __real_rmdir(path);
}

/* --- a job, as far as its folder sees it ------------------------------------------------------------------------------ */

static void must(enum result result, const struct error *error)
{
	if (result != RESULT_OK)
		panic("%s", error->text);
}

static struct checkpoint_store *store_open(const char *folder)
{
	struct checkpoint_store *store;
	struct error error = {0};
	char path[64];
	(void)snprintf(path, sizeof path, "%s/somewhere/checkpoints", folder);
	must(checkpoint_folder_open(&store, path, "shop/totals", &error), &error);
	return store;
}

static uint32_t promise_of(struct epoch_id epoch)
{
	for (uint32_t i = 0; i < disk->manifests_len; i++)
		if (epoch_equal(disk->manifests[i].epoch, epoch))
			return i;
	CHECK(disk->manifests_len < PROMISES_MAX);
	disk->manifests[disk->manifests_len].epoch = epoch;
	disk->manifests[disk->manifests_len].fate = FATE_NONE;
	return disk->manifests_len++;
}

enum { ROWS = 30 };

static struct delta_entry entry_of(const char *name, uint32_t i, char key[64])
{
	(void)snprintf(key, 64, "%02u of %s", i, name);
	return (struct delta_entry){i / 10, {(const uint8_t *)key, strlen(key)}, {(const uint8_t *)name, strlen(name)}};
}

static struct file_entry file_write_whole(struct checkpoint_store *store, const char *name)
{
	struct delta_writer *writer;
	struct delta_summary summary;
	struct error error = {0};
	char path[PATH_MAX], key[64];
	(void)snprintf(path, sizeof path, "%s/%s", store->ops->root(store), name);
	must(delta_writer_open(&writer, path, &error), &error);
	for (uint32_t i = 0; i < ROWS; i++) {
		struct delta_entry entry = entry_of(name, i, key);
		must(delta_writer_put(writer, &entry, &error), &error);
	}
	must(delta_writer_finish(writer, &summary, &error), &error);
	CHECK(disk->files_len < PROMISES_MAX);
	struct file_entry entry = {
	    .name = name, .rows = summary.rows, .bytes = summary.bytes, .checksum = summary.checksum, .groups_len = 16};
	(void)snprintf(disk->files[disk->files_len].name, 64, "%s", name);
	disk->files[disk->files_len].kept = true;
	disk->files[disk->files_len++].entry = entry;
	return entry;
}

static void manifest_put(struct checkpoint_store *store, struct epoch_id epoch, struct file_entry *files, uint32_t len)
{
	struct cut_entry offset = {0, (int64_t)epoch.n};
	const struct frame_manifest manifest = {.job = "shop/totals",
	    .epoch = epoch,
	    .cut = {&offset, 1},
	    .fingerprint = "f",
	    .key_groups = 16,
	    .files = {files, len}};
	struct error error = {0};
	bool existed;
	uint32_t promise = promise_of(epoch);
	must(store->ops->put_manifest(store, &manifest, &existed, &error), &error);
	disk->manifests[promise].fate = FATE_THERE;
}

static void manifest_remove(struct checkpoint_store *store, struct epoch_id epoch)
{
	struct error error = {0};
	uint32_t promise = promise_of(epoch);
	disk->manifests[promise].fate = FATE_GOING;
	must(store->ops->remove_manifest(store, epoch, &error), &error);
	disk->manifests[promise].fate = FATE_GONE;
}

static uint64_t attempt_take(struct checkpoint_store *store)
{
	struct error error = {0};
	uint64_t attempt;
	must(store->ops->take_attempt(store, 0, &attempt, &error), &error);
	CHECK(attempt > disk->attempt);
	disk->attempt = attempt;
	return attempt;
}

/* Whatever a predecessor left is swept away. */
static void swept(struct epoch_id but, enum fate fate)
{
	for (uint32_t i = 0; i < disk->manifests_len; i++)
		if (!epoch_equal(disk->manifests[i].epoch, but))
			disk->manifests[i].fate = fate;
}

/* All others are removed from now on. */
static void keep_files(char (*names)[64])
{
	for (uint32_t i = 0; i < disk->files_len; i++)
		if (strcmp(disk->files[i].name, names[0]) != 0 && strcmp(disk->files[i].name, names[1]) != 0)
			disk->files[i].kept = false;
}

/* Starts, takes two checkpoints, of which the second keeps a file of the first, starts again, retires the first, sweeps. */
static void live(void)
{
	struct checkpoint_store *store = store_open(root);
	struct epoch_id start = {0}, first = {attempt_take(store), 1}, second = {first.attempt, 2};
	char names[3][64];
	struct error error = {0};
	manifest_put(store, start, NULL, 0);
	for (int i = 0; i < 3; i++)
		(void)snprintf(names[i], sizeof names[i], "checkpoints/%llu.%d/%d.0", (unsigned long long)first.attempt,
		    i < 2 ? 1 : 2, 2 + i % 2);
	struct file_entry files[3] = {file_write_whole(store, names[0]), file_write_whole(store, names[1])};
	manifest_put(store, first, files, 2);
	files[2] = file_write_whole(store, names[2]);
	manifest_put(store, second, &files[1], 2);
	(void)attempt_take(store);
	manifest_remove(store, start);
	manifest_remove(store, first);
	keep_files(&names[1]);
	must(store->ops->remove_file(store, names[0], &error), &error);
	const struct checkpoint_entry left = {.epoch = second};
	struct checkpoint_entry named[] = {left};
	const struct checkpoints checkpoints = {named, 1};
	const struct files kept = {&files[1], 2};
	swept(second, FATE_GOING);
	must(store->ops->sweep(store, disk->attempt, &checkpoints, &kept, &error), &error);
	swept(second, FATE_GONE);
	store->ops->close(store);
}

/* A process that dies before this step. How it ended: 0, it came to its end; DEAD. */
static int process(uint32_t die_at)
{
	disk->steps = 0;
	disk->die_at = die_at;
	(void)fflush(NULL);
	pid_t child = fork();
	int status;
	assert_true(child >= 0);
	if (child == 0) {
		recording = true;
		live();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- the power is off ------------------------------------------------------------------------------------------------- */

static void put_file(const char *path, const uint8_t *content, size_t len)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* Where the file of this node lies now. */
static bool find_now(const char *folder, ino_t inode, char found[PATH_MAX])
{
	DIR *dir = opendir(folder);
	bool is_found = false;
	if (dir == NULL || inode == 0)
		return dir != NULL && closedir(dir) != 0;
	for (struct dirent *entry; !is_found && (entry = readdir(dir)) != NULL;) {
		char inner[PATH_MAX];
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(inner, sizeof inner, "%s/%.200s", folder, entry->d_name);
		if (entry->d_ino == inode) {
			(void)snprintf(found, PATH_MAX, "%s", inner);
			is_found = true;
		} else if (entry->d_type == DT_DIR) {
			is_found = find_now(inner, inode, found);
		}
	}
	(void)closedir(dir);
	return is_found;
}

static void put_node(uint32_t at, const char *to, int left)
{
	const struct node *node = &disk->nodes[at];
	uint8_t content[CONTENT_MAX];
	char path[PATH_MAX];
	if (node->folder) {
		assert_int_equal(__real_mkdir(to, 0777), 0);
		for (size_t i = 0; i < node->len; i++) {
			(void)snprintf(path, sizeof path, "%s/%s", to, node->names[i].text);
			put_node(node->names[i].node, path, left);
		}
	} else if (left == LEFT_CONTENTS && find_now(root, node->inode, path)) {
		put_file(to, content, read_whole(path, content));
	} else {
		put_file(to, node->content, node->len);
	}
}

/* Every name that there is now. */
static void put_names(const char *from, const char *to, int left)
{
	DIR *dir = opendir(from);
	uint8_t content[CONTENT_MAX];
	assert_non_null(dir);
	assert_int_equal(__real_mkdir(to, 0777), 0);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char inner[PATH_MAX], path[PATH_MAX];
		struct stat status;
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(inner, sizeof inner, "%s/%.200s", from, entry->d_name);
		(void)snprintf(path, sizeof path, "%s/%.200s", to, entry->d_name);
		assert_int_equal(stat(inner, &status), 0);
		if (S_ISDIR(status.st_mode)) {
			put_names(inner, path, left);
			continue;
		}
		const struct node *node = &disk->nodes[node_of(&status)];
		size_t len = read_whole(inner, content);
		memset(content, 0, sizeof content);
		bool zeros = left == LEFT_ZEROS && node->len != len;
		put_file(path, zeros ? content : node->content, zeros ? len : node->len);
	}
	(void)closedir(dir);
}

/* NULL, or what is wrong with the files that the manifest names. */
static const char *files_wrong(struct checkpoint_store *store, const struct frame_manifest *manifest)
{
	static struct error error;
	bool whole;
	must(store->ops->check_files(store, &manifest->files, &whole, &error), &error);
	for (uint32_t i = 0; whole && i < manifest->files.len; i++) {
		const struct file_entry *file = &manifest->files.entries[i];
		const struct delta_summary summary = {file->rows, file->bytes, file->checksum};
		struct delta_reader *reader;
		struct delta_entry entry;
		char path[PATH_MAX], key[64];
		bool more = true;
		(void)snprintf(path, sizeof path, "%s/%s", store->ops->root(store), file->name);
		if (delta_reader_open(&reader, path, &summary, 0, 16, &error) != RESULT_OK)
			return error.text;
		for (uint32_t row = 0; row < ROWS; row++) {
			struct delta_entry expected = entry_of(file->name, row, key);
			if (delta_reader_next(reader, &entry, &more, &error) != RESULT_OK)
				return error.text;
			assert_true(more && bytes_equal(entry.key, expected.key));
		}
		delta_reader_close(reader);
	}
	return whole ? NULL : error.text;
}

static void check_manifest(struct checkpoint_store *store, struct epoch_id epoch, enum fate fate, const char *when)
{
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct error error = {0};
	bool found = false;
	enum result result = store->ops->get_manifest(store, epoch, &arena, &manifest, &found, &error);
	const char *wrong = result != RESULT_OK ? error.text : found ? files_wrong(store, &manifest) : NULL;
	if (wrong != NULL)
		fail_msg("%s: %s", when, wrong);
	if ((fate == FATE_THERE && !found) || (fate == FATE_GONE && found))
		fail_msg("%s: checkpoint %llu.%llu is %s", when, (unsigned long long)epoch.attempt,
		    (unsigned long long)epoch.n, found ? "there again" : "gone");
	arena_fini(&arena);
}

/* The disk in all of the states that it may be in now. */
static void power_cut(const char *before)
{
	for (int left = 0; left < LEFT; left++) {
		struct error error = {0};
		uint64_t attempt;
		char when[128];
		(void)snprintf(when, sizeof when, "%s; left: %s", before, left_words[left]);
		if (left == LEFT_SYNCED || left == LEFT_CONTENTS)
			put_node(0, after, left);
		else
			put_names(root, after, left);
		struct checkpoint_store *store = store_open(after);
		for (uint32_t i = 0; i < disk->manifests_len; i++)
			check_manifest(store, disk->manifests[i].epoch, disk->manifests[i].fate, when);
		for (uint32_t i = 0; i < disk->files_len; i++) {
			struct file_entry entry = disk->files[i].entry;
			entry.name = disk->files[i].name;
			const struct frame_manifest only = {.files = {&entry, 1}};
			const char *wrong = disk->files[i].kept ? files_wrong(store, &only) : NULL;
			if (wrong != NULL)
				fail_msg("%s: %s", when, wrong);
		}
		must(store->ops->take_attempt(store, 0, &attempt, &error), &error);
		if (attempt <= disk->attempt)
			fail_msg("%s: attempt %llu is taken again", when, (unsigned long long)attempt);
		store->ops->close(store);
		folder_remove(after);
	}
}

static void begin(void)
{
	struct stat status;
	memset(disk, 0, sizeof *disk);
	/* In memory, where there is that: what is durable is the model's to know. */
	(void)snprintf(
	    root, sizeof root, "%s/sluice-power-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(root));
	(void)snprintf(after, sizeof after, "%s.on", root);
	assert_int_equal(stat(root, &status), 0);
	(void)node_of(&status);
}

/* Also of a test that has failed. */
static int end(void **state)
{
	(void)state;
	if (access(root, F_OK) == 0)
		folder_remove(root);
	if (access(after, F_OK) == 0)
		folder_remove(after);
	return 0;
}

static uint32_t steps_of_a_life(void)
{
	begin();
	assert_int_equal(process(STEPS_MAX), 0);
	power_cut("at the end");
	folder_remove(root);
	assert_in_range(disk->steps, 60, STEPS_MAX - 1);
	return disk->steps;
}

static void test_the_power_goes_off(void **state)
{
	uint32_t steps = steps_of_a_life();
	(void)state;
	for (uint32_t i = 0; i < steps; i++) {
		char before[64];
		begin();
		assert_int_equal(process(i), DEAD);
		(void)snprintf(before, sizeof before, "before step %u", i);
		power_cut(before);
		folder_remove(root);
	}
	print_message("%u steps\n", steps);
}

/* A process is killed somewhere and another one goes on; then the power goes off. What the first one had made and not synced is
 * nobody's but the second one's to see to. */
static void test_a_successor_and_then_the_power(void **state)
{
	uint32_t steps = steps_of_a_life();
	(void)state;
	for (uint32_t i = 0; i < steps; i++) {
		char before[64];
		begin();
		assert_int_equal(process(i), DEAD);
		assert_int_equal(process(STEPS_MAX), 0);
		(void)snprintf(before, sizeof before, "killed before step %u, and another one lived", i);
		power_cut(before);
		folder_remove(root);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_the_power_goes_off, end),
	    cmocka_unit_test_teardown(test_a_successor_and_then_the_power, end),
	};
	disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(disk != MAP_FAILED);
	return cmocka_run_group_tests_name("power_cut", tests, NULL, NULL);
}
