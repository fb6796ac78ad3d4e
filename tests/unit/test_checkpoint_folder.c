/* The checkpoint folder: attempt numbers are taken once, the first manifest wins, a damaged one is seen; nothing outside of
 * the folder and nothing that is named is ever removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/state/checkpoint_store.h"
#include "common/state/delta_file.h"
#include "common/state/files.h"
#include "common/state/stop_note.h"

static char dir[] = "/tmp/sluice-checkpoints-XXXXXX";

static struct checkpoint_store *open_store(void)
{
	struct checkpoint_store *store;
	struct error error = {0};
	if (checkpoint_folder_open(&store, dir, "shop/totals", &error) != RESULT_OK)
		fail_msg("%s", error.text);
	return store;
}

static uint64_t take(struct checkpoint_store *store, uint64_t at_least)
{
	struct error error;
	uint64_t attempt;
	assert_int_equal(store->ops->take_attempt(store, at_least, &attempt, &error), RESULT_OK);
	return attempt;
}

static void test_attempts(void **state)
{
	struct checkpoint_store *one = open_store(), *two = open_store();
	(void)state;
	assert_int_equal(take(one, 1), 1);
	assert_int_equal(take(two, 1), 2); /* another coordinator */
	assert_int_equal(take(one, 50), 50);
	assert_int_equal(take(two, 3), 51);
	for (uint64_t n = 52; n < 200; n++)
		assert_int_equal(take(one, 0), n); /* old numbers do not pile up, and are not taken again */
	one->ops->close(one);
	two->ops->close(two);
}

/* Between the look at what there is and the create, another coordinator takes the number. */
static struct checkpoint_store *intruder;
static uint64_t intruded;
int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode)
{
	struct checkpoint_store *other = intruder;
	if (other != NULL && strstr(path, "/attempts/") != NULL && (flags & O_CREAT) != 0) {
		intruder = NULL;
		intruded = take(other, 0);
	}
	return __real_open(path, flags, mode);
}

static void test_two_take_an_attempt_at_once(void **state)
{
	struct checkpoint_store *one = open_store(), *two = open_store();
	(void)state;
	for (int round = 0; round < 3; round++) {
		intruder = two;
		uint64_t taken = take(one, 0);
		assert_null(intruder);
		assert_true(taken > intruded);
		assert_true(take(two, 0) > taken);
	}
	one->ops->close(one);
	two->ops->close(two);
}

static void test_manifest(void **state)
{
	struct checkpoint_store *store = open_store();
	struct cut_entry offsets[] = {{0, 17}, {2, 4}}, others[] = {{0, 99}};
	struct frame_manifest first = {
	    .job = "shop/totals", .cut = {offsets, 2}, .fingerprint = "f", .key_groups = 128};
	struct frame_manifest second = {.job = "shop/totals", .cut = {others, 1}, .fingerprint = "f"}, found;
	struct arena arena = {0};
	struct error error;
	bool there, existed;
	(void)state;
	assert_int_equal(store->ops->get_manifest(store, first.epoch, &arena, &found, &there, &error), RESULT_OK);
	assert_false(there);
	assert_int_equal(store->ops->put_manifest(store, &first, &existed, &error), RESULT_OK);
	assert_false(existed);
	assert_int_equal(store->ops->put_manifest(store, &second, &existed, &error), RESULT_OK);
	assert_true(existed);
	assert_int_equal(store->ops->get_manifest(store, first.epoch, &arena, &found, &there, &error), RESULT_OK);
	assert_true(there);
	assert_true(cut_equal(&found.cut, &first.cut));
	assert_int_equal(found.key_groups, 128);
	arena_fini(&arena);
	store->ops->close(store);
}

static void test_damaged_manifest(void **state)
{
	struct checkpoint_store *store = open_store();
	struct frame_manifest found;
	struct arena arena = {0};
	struct error error;
	char path[PATH_MAX];
	bool there;
	(void)state;
	(void)snprintf(path, sizeof path, "%s/shop/totals/checkpoints/0.0/manifest", dir);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, -1, SEEK_END), 0);
	int last = fgetc(file);
	assert_int_equal(fseek(file, -1, SEEK_END), 0);
	assert_int_not_equal(fputc(last ^ 1, file), EOF);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(
	    store->ops->get_manifest(store, (struct epoch_id){0}, &arena, &found, &there, &error), RESULT_CORRUPT);
	assert_non_null(strstr(error.text, "checksum"));
	arena_fini(&arena);
	store->ops->close(store);
}

/* A file of a checkpoint, of one byte a letter of its name. */
static struct file_entry make_file(const char *name)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof path, "%s/shop/totals/%s", dir, name);
	*strrchr(path, '/') = '\0';
	assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
	path[strlen(path)] = '/';
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_not_equal(fputs(name, file), EOF);
	assert_int_equal(fclose(file), 0);
	return (struct file_entry){.name = name, .bytes = strlen(name)};
}

static bool is_there(const char *name)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof path, "%s/shop/totals/%s", dir, name);
	return access(path, F_OK) == 0;
}

static bool is_whole(struct checkpoint_store *store, struct file_entry *files, uint32_t len)
{
	struct error error;
	bool whole;
	assert_int_equal(store->ops->check_files(store, &(struct files){files, len}, &whole, &error), RESULT_OK);
	return whole;
}

static void test_files(void **state)
{
	struct checkpoint_store *store = open_store();
	struct error error;
	(void)state;
	struct file_entry files[] = {make_file("checkpoints/1.1/2.0"), make_file("checkpoints/1.2/2.0")};
	assert_true(is_whole(store, files, 2));
	files[1].bytes++;
	assert_false(is_whole(store, files, 2));
	files[1].bytes--;
	assert_int_equal(store->ops->remove_file(store, files[1].name, &error), RESULT_OK);
	assert_int_equal(store->ops->remove_file(store, files[1].name, &error), RESULT_OK); /* gone already */
	assert_false(is_there("checkpoints/1.2")); /* nothing else was in it */
	assert_false(is_whole(store, files, 2));
	assert_true(is_whole(store, files, 1));
	store->ops->close(store);
}

static bool verifies(struct checkpoint_store *store, struct file_entry *files, uint32_t len)
{
	struct error error;
	bool whole;
	assert_int_equal(store->ops->verify_files(store, &(struct files){files, len}, &whole, &error), RESULT_OK);
	return whole;
}

static void flip_a_byte(const char *path, long offset)
{
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, offset, SEEK_SET), 0);
	int was = fgetc(file);
	assert_int_equal(fseek(file, offset, SEEK_SET), 0);
	assert_int_not_equal(fputc(was ^ 1, file), EOF);
	assert_int_equal(fclose(file), 0);
}

/* Whatever byte is another one is noticed by whoever reads them all, and by nobody who looks at sizes. */
static void test_contents(void **state)
{
	static const char name[] = "checkpoints/30.1/dedup.0";
	struct checkpoint_store *store = open_store();
	struct delta_writer *writer;
	struct delta_summary summary;
	struct error error;
	char path[PATH_MAX];
	(void)state;
	(void)snprintf(path, sizeof path, "%s/shop/totals/%s", dir, name);
	assert_int_equal(delta_writer_open(&writer, path, &error), RESULT_OK);
	for (uint32_t i = 0; i < 200; i++) {
		char key[8];
		(void)snprintf(key, sizeof key, "%04u", i);
		struct delta_entry entry = {i / 10, {(const uint8_t *)key, 4}, {(const uint8_t *)key, 4}};
		assert_int_equal(delta_writer_put(writer, &entry, &error), RESULT_OK);
	}
	assert_int_equal(delta_writer_finish(writer, &summary, &error), RESULT_OK);
	struct file_entry whole = {
	    .name = name, .rows = summary.rows, .bytes = summary.bytes, .checksum = summary.checksum, .groups_len = 8};
	struct file_entry files[] = {whole, whole}; /* once for each range of key groups */
	assert_true(verifies(store, files, 2));
	for (uint64_t at = 0; at < summary.bytes; at += 7) {
		flip_a_byte(path, (long)at);
		assert_true(is_whole(store, files, 2));
		assert_false(verifies(store, files, 2));
		flip_a_byte(path, (long)at);
	}
	assert_true(verifies(store, files, 2));
	files[1].name = "checkpoints/30.1/dedup.1";
	assert_false(verifies(store, files, 2));
	store->ops->close(store);
}

/* A manifest may say anything. */
static void test_names_outside_are_refused(void **state)
{
	static const char *const names[] = {"/etc/hostname", "../totals/checkpoints/1.1/2.0",
	    "checkpoints/../attempts/1", "checkpoints/1.1/../../attempts/51", "attempts/51", "",
	    "checkpoints/0.0/manifest"};
	struct checkpoint_store *store = open_store();
	struct error error;
	(void)state;
	(void)make_file("checkpoints/1.1/2.0");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct file_entry file = {.name = names[i], .bytes = 0};
		assert_false(is_whole(store, &file, 1));
		assert_int_equal(store->ops->remove_file(store, names[i], &error), RESULT_CORRUPT);
	}
	assert_true(is_there("checkpoints/1.1/2.0"));
	assert_true(is_there("checkpoints/0.0/manifest"));
	store->ops->close(store);
}

static void put_empty_manifest(struct checkpoint_store *store, struct epoch_id epoch)
{
	struct frame_manifest manifest = {.job = "shop/totals", .epoch = epoch, .fingerprint = "f"};
	struct error error;
	bool existed;
	assert_int_equal(store->ops->put_manifest(store, &manifest, &existed, &error), RESULT_OK);
}

static void test_remove_manifest(void **state)
{
	struct checkpoint_store *store = open_store();
	struct epoch_id empty = {7, 1}, full = {7, 2};
	struct error error;
	(void)state;
	put_empty_manifest(store, empty);
	put_empty_manifest(store, full);
	(void)make_file("checkpoints/7.2/2.0");
	assert_int_equal(store->ops->remove_manifest(store, empty, &error), RESULT_OK);
	assert_int_equal(store->ops->remove_manifest(store, empty, &error), RESULT_OK);
	assert_false(is_there("checkpoints/7.1"));
	assert_int_equal(store->ops->remove_manifest(store, full, &error), RESULT_OK);
	assert_false(is_there("checkpoints/7.2/manifest"));
	assert_true(is_there("checkpoints/7.2/2.0"));
	store->ops->close(store);
}

/* What nobody names goes, but only of older attempts. */
static void test_sweep(void **state)
{
	struct checkpoint_store *store = open_store();
	struct error error;
	(void)state;
	struct file_entry named = make_file("checkpoints/20.1/2.0");
	(void)make_file("checkpoints/20.1/2.1");
	(void)make_file("checkpoints/20.1/2.1.new");
	(void)make_file("checkpoints/20.2/2.0");
	struct checkpoint_entry kept = {.epoch = {20, 3}};
	put_empty_manifest(store, kept.epoch);
	(void)make_file("checkpoints/20.3/2.0");
	put_empty_manifest(store, (struct epoch_id){20, 4}); /* retired in the database, and nobody came to remove it */
	(void)make_file("checkpoints/20.4/2.0");
	struct file_entry shared = make_file("checkpoints/20.4/2.1");
	(void)make_file("checkpoints/21.4/2.0");
	assert_int_equal(store->ops->sweep(store, 21, &(struct checkpoints){&kept, 1},
	                     &(struct files){(struct file_entry[]){named, shared}, 2}, &error),
	    RESULT_OK);
	assert_false(is_there("checkpoints/20.4/manifest"));
	assert_false(is_there("checkpoints/20.4/2.0"));
	assert_true(is_there("checkpoints/20.4/2.1"));
	assert_true(is_there("checkpoints/20.1/2.0"));
	assert_false(is_there("checkpoints/20.1/2.1"));
	assert_false(is_there("checkpoints/20.1/2.1.new"));
	assert_false(is_there("checkpoints/20.2"));
	assert_true(is_there("checkpoints/20.3/manifest"));
	assert_true(is_there("checkpoints/20.3/2.0"));
	assert_true(is_there("checkpoints/21.4/2.0"));
	store->ops->close(store);
}

static void test_who_can_help(void **state)
{
	static const int passing[] = {EIO, ENOSPC, EROFS, ESTALE, EDQUOT, ENOENT}, persons[] = {EACCES, EPERM, ENOTDIR};
	struct error error;
	(void)state;
	for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
		errno = passing[i];
		assert_int_equal(file_failed(&error, "create", "x"), RESULT_RETRY);
	}
	for (size_t i = 0; i < sizeof persons / sizeof *persons; i++) {
		errno = persons[i];
		assert_int_equal(file_failed(&error, "create", "x"), RESULT_CONFIG);
	}
}

static void test_no_folder(void **state)
{
	struct checkpoint_store *store;
	struct error error;
	(void)state;
	assert_int_equal(checkpoint_folder_open(&store, "relative", "shop/totals", &error), RESULT_CONFIG);
	assert_int_equal(checkpoint_folder_open(&store, "/dev/null/x", "shop/totals", &error), RESULT_CONFIG);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int remove_folder(void **state)
{
	char command[PATH_MAX];
	(void)state;
	(void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command);
}

/* It speaks for the job until another attempt begins; who was overtaken says nothing. */
static void test_stop_note(void **state)
{
	struct checkpoint_store *store = open_store();
	const char *root = store->ops->root(store);
	struct stop_note note = {.since_us = 1764500000000000, .text = "12 oranges \"too\" many\nand more"}, found;
	char path[PATH_MAX];
	struct error error;
	bool written;
	(void)state;
	assert_false(stop_note_read(root, &found));
	note.attempt = take(store, 0);
	assert_int_equal(stop_note_write(root, &note, &written, &error), RESULT_OK);
	assert_true(written);
	assert_true(stop_note_read(root, &found));
	assert_true(found.attempt == note.attempt && found.since_us == note.since_us);
	assert_string_equal(found.text, "12 oranges \"too\" many");
	uint64_t next = take(store, 0);
	assert_false(stop_note_read(root, &found)); /* the job runs again */
	assert_int_equal(stop_note_write(root, &note, &written, &error), RESULT_OK);
	assert_false(written);
	assert_false(stop_note_read(root, &found));
	note.attempt = next;
	assert_int_equal(stop_note_write(root, &note, &written, &error), RESULT_OK);
	assert_true(stop_note_read(root, &found));
	stop_note_remove(root);
	stop_note_remove(root);
	assert_false(stop_note_read(root, &found));
	/* What is no note. */
	static const char *const damaged[] = {"", "\n", "12", "12 5 words", "x 5 words\n", "-1 5 words\n", "12 words\n",
	    "12 -5 words\n", "99999999999999999999999 5 words\n"};
	(void)snprintf(path, sizeof path, "%s/stopped", root);
	for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
		FILE *file = fopen(path, "w");
		assert_non_null(file);
		(void)fputs(damaged[i], file);
		(void)fclose(file);
		if (stop_note_read(root, &found))
			fail_msg("read: %s", damaged[i]);
	}
	stop_note_remove(root);
	store->ops->close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_attempts),
	    cmocka_unit_test(test_two_take_an_attempt_at_once),
	    cmocka_unit_test(test_stop_note),
	    cmocka_unit_test(test_manifest),
	    cmocka_unit_test(test_damaged_manifest),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_contents),
	    cmocka_unit_test(test_names_outside_are_refused),
	    cmocka_unit_test(test_remove_manifest),
	    cmocka_unit_test(test_sweep),
	    cmocka_unit_test(test_who_can_help),
	    cmocka_unit_test(test_no_folder),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
