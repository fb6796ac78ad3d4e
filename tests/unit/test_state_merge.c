/* Protects: files that are merged give each key once, in order, and as the newest file has it; a file that fails midway is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/state/checkpoint_store.h"
#include "common/state/files.h"
#include "common/state/state_merge.h"

enum { GROUPS = 3, KEYS_OF_GROUP = 40, KEYS = GROUPS * KEYS_OF_GROUP, FILES_MAX = 9, ROUNDS = 200 };

struct key {
	uint8_t data[12];
	size_t len;
};
struct bed {
	char folder[64];
	unsigned seed;
	uint8_t newest[KEYS]; /* file that has it, 0: none */
	char names[FILES_MAX][8];
	struct file_entry files[FILES_MAX];
};
static struct bed bed;

static const char *root(struct checkpoint_store *store)
{
	(void)store;
	return bed.folder;
}
static struct checkpoint_store store = {&(const struct checkpoint_store_ops){.root = root}};
static const struct state_config config = {.store = &store, .groups_len = GROUPS};

static int open_bed(void **state)
{
	(void)state;
	bed = (struct bed){.folder = "/tmp/sluice-merge-XXXXXX", .seed = 1};
	assert_non_null(mkdtemp(bed.folder));
	return 0;
}

static int close_bed(void **state)
{
	(void)state;
	folder_remove(bed.folder);
	return 0;
}

static uint32_t below(uint32_t most)
{
	bed.seed = bed.seed * 1103515245 + 12345;
	return (bed.seed >> 16) % most;
}

/* Rising: the empty key, then of each letter keys that are each other's beginnings (with zeros, too), then some that differ behind
 * their first eight bytes only. */
static struct key key_of(uint32_t i)
{
	struct key key = {{0}, 0};
	uint32_t in_group = i % KEYS_OF_GROUP;
	if (in_group == 0)
		return key;
	memset(key.data, 'a' + (int)((in_group - 1) / 13), sizeof key.data);
	uint32_t variant = (in_group - 1) % 13;
	if (variant < 6) { /* one letter, then zeros: 1 to 6 bytes */
		memset(key.data + 1, 0, sizeof key.data - 1);
		key.len = 1 + variant;
	} else { /* nine letters or more, the last one rising */
		key.len = variant < 12 ? 9 : sizeof key.data;
		key.data[8] = (uint8_t)('a' + (int)((in_group - 1) / 13) - 20 + (int)variant);
	}
	return key;
}

/* File 1 is the oldest; value: its number. */
static void write_file(uint32_t file, uint32_t one_in)
{
	struct delta_writer *writer;
	struct delta_summary summary;
	struct error error;
	char path[96];
	uint8_t value = (uint8_t)file;
	(void)snprintf(bed.names[file - 1], sizeof *bed.names, "%u", file);
	(void)snprintf(path, sizeof path, "%s/%u", bed.folder, file);
	assert_int_equal(delta_writer_open(&writer, path, &error), RESULT_OK);
	for (uint32_t i = 0; i < KEYS; i++) {
		struct key key = key_of(i);
		if (below(one_in) != 0)
			continue;
		const struct delta_entry entry = {i / KEYS_OF_GROUP, {key.data, key.len}, {&value, 1}};
		assert_int_equal(delta_writer_put(writer, &entry, &error), RESULT_OK);
		bed.newest[i] = value;
	}
	assert_int_equal(delta_writer_finish(writer, &summary, &error), RESULT_OK);
	bed.files[file - 1] = (struct file_entry){.name = bed.names[file - 1],
	    .groups_len = GROUPS,
	    .rows = summary.rows,
	    .bytes = summary.bytes,
	    .checksum = summary.checksum};
}

static void check_merge(uint32_t files)
{
	struct file_merge *merge;
	struct delta_entry entry;
	struct error error;
	bool more;
	assert_int_equal(file_merge_open(&merge, &config, bed.files, files, &error), RESULT_OK);
	for (uint32_t i = 0; i < KEYS; i++) {
		struct key key = key_of(i);
		if (bed.newest[i] == 0)
			continue;
		assert_int_equal(file_merge_next(merge, &entry, &more, &error), RESULT_OK);
		assert_true(more);
		assert_int_equal(entry.group, i / KEYS_OF_GROUP);
		assert_true(bytes_equal(entry.key, (struct bytes){key.data, key.len}));
		assert_int_equal(entry.value.len, 1);
		assert_int_equal(entry.value.data[0], bed.newest[i]);
	}
	for (int again = 0; again < 2; again++) {
		assert_int_equal(file_merge_next(merge, &entry, &more, &error), RESULT_OK);
		assert_false(more);
	}
	file_merge_close(merge);
}

static void test_keys_rise(void **state)
{
	(void)state;
	for (uint32_t i = 0; i + 1 < KEYS; i++) {
		struct key one = key_of(i), next = key_of(i + 1);
		if ((i + 1) % KEYS_OF_GROUP != 0)
			assert_true(
			    bytes_compare((struct bytes){one.data, one.len}, (struct bytes){next.data, next.len}) < 0);
	}
}

static void test_newest_counts(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t files = below(FILES_MAX + 1), one_in = 1 + below(20);
		memset(bed.newest, 0, sizeof bed.newest);
		for (uint32_t file = 1; file <= files; file++)
			write_file(file, one_in);
		check_merge(files);
	}
}

static void test_damage_is_told(void **state)
{
	(void)state;
	struct file_merge *merge;
	struct delta_entry entry;
	struct error error;
	bool more = true;
	char path[96];
	for (uint32_t file = 1; file <= 3; file++)
		write_file(file, 1);
	(void)snprintf(path, sizeof path, "%s/2", bed.folder);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	/* In the last block: the index and the footer of 40 bytes come behind it. */
	assert_int_equal(fseek(file, -(40 + GROUPS * 32 + 1), SEEK_END), 0);
	assert_int_not_equal(fputc('#', file), EOF);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(file_merge_open(&merge, &config, bed.files, 3, &error), RESULT_OK);
	enum result result = RESULT_OK;
	while (result == RESULT_OK && more)
		result = file_merge_next(merge, &entry, &more, &error);
	assert_int_equal(result, RESULT_CORRUPT);
	file_merge_close(merge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys_rise),
	    cmocka_unit_test_setup_teardown(test_newest_counts, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_damage_is_told, open_bed, close_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
