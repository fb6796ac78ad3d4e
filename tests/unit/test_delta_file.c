/* Protects: a file of a checkpoint comes back as it was written, for any part of the key groups; a byte that changed, a
 * file that was cut and whatever else is no such file is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/state/delta_file.h"
#include "common/state/files.h"

enum { GROUPS = 16, KEYS = 20000 };

static char folder[64], path[96];

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof folder, "/tmp/sluice-delta-XXXXXX");
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/a/b/file", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	folder_remove(folder);
	return 0;
}

static struct delta_entry entry_of(uint32_t i, char key[32], char value[32])
{
	(void)snprintf(key, 32, "key %08u", i);
	(void)snprintf(value, 32, "%u", i * 7);
	return (struct delta_entry){
	    i / (KEYS / GROUPS), {(const uint8_t *)key, strlen(key)}, {(const uint8_t *)value, strlen(value)}};
}

static struct delta_summary write_file(uint32_t keys)
{
	struct delta_writer *writer;
	struct delta_summary summary;
	struct error error;
	char key[32], value[32];
	assert_int_equal(delta_writer_open(&writer, path, &error), RESULT_OK);
	for (uint32_t i = 0; i < keys; i++) {
		struct delta_entry entry = entry_of(i, key, value);
		assert_int_equal(delta_writer_put(writer, &entry, &error), RESULT_OK);
	}
	assert_int_equal(delta_writer_finish(writer, &summary, &error), RESULT_OK);
	return summary;
}

/* How many entries come, OK or CORRUPT at the end. */
static enum result read_file(
    const struct delta_summary *expected, uint32_t first_group, uint32_t groups_len, uint32_t *read)
{
	struct delta_reader *reader;
	struct error error;
	char key[32], value[32];
	*read = 0;
	enum result result = delta_reader_open(&reader, path, expected, first_group, groups_len, &error);
	if (result != RESULT_OK)
		return result;
	for (bool more = true; result == RESULT_OK;) {
		struct delta_entry entry;
		result = delta_reader_next(reader, &entry, &more, &error);
		if (result != RESULT_OK || !more)
			break;
		struct delta_entry ought = entry_of(first_group * (KEYS / GROUPS) + (*read)++, key, value);
		assert_int_equal(entry.group, ought.group);
		assert_true(bytes_equal(entry.key, ought.key));
		assert_true(bytes_equal(entry.value, ought.value));
	}
	delta_reader_close(reader);
	return result;
}

static void test_round_trip(void **state)
{
	(void)state;
	uint32_t read;
	struct stat status;
	struct delta_summary summary = write_file(KEYS);
	assert_int_equal(summary.rows, KEYS);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, summary.bytes);
	assert_int_equal(read_file(&summary, 0, GROUPS, &read), RESULT_OK);
	assert_int_equal(read, KEYS);
	assert_int_equal(read_file(NULL, 0, GROUPS, &read), RESULT_OK);
	assert_int_equal(read_file(&summary, 3, 5, &read), RESULT_OK);
	assert_int_equal(read, KEYS / GROUPS * 5);
	assert_int_equal(read_file(&summary, GROUPS, 4, &read), RESULT_OK);
	assert_int_equal(read, 0);
}

static void test_empty_file(void **state)
{
	(void)state;
	uint32_t read;
	struct delta_summary summary = write_file(0);
	assert_int_equal(read_file(&summary, 0, GROUPS, &read), RESULT_OK);
	assert_int_equal(read, 0);
}

static void test_other_file_is_refused(void **state)
{
	(void)state;
	uint32_t read;
	struct delta_summary summary = write_file(100), other = summary;
	other.checksum ^= 1;
	assert_int_equal(read_file(&other, 0, GROUPS, &read), RESULT_CORRUPT);
	other = summary;
	other.bytes++;
	assert_int_equal(read_file(&other, 0, GROUPS, &read), RESULT_CORRUPT);
	other = summary;
	other.rows++;
	assert_int_equal(read_file(&other, 0, GROUPS, &read), RESULT_CORRUPT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(read_file(&summary, 0, GROUPS, &read), RESULT_CORRUPT);
}

static void change_byte(long at)
{
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	int byte = fgetc(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_not_equal(fputc(byte ^ 0x10, file), EOF);
	assert_int_equal(fclose(file), 0);
}

static void test_every_byte_counts(void **state)
{
	(void)state;
	uint32_t read;
	struct delta_summary summary = write_file(60);
	for (long at = 0; at < (long)summary.bytes; at++) {
		change_byte(at);
		assert_int_equal(read_file(&summary, 0, GROUPS, &read), RESULT_CORRUPT);
		change_byte(at);
	}
	assert_int_equal(read_file(&summary, 0, GROUPS, &read), RESULT_OK);
}

static void test_every_cut_is_noticed(void **state)
{
	(void)state;
	uint32_t read;
	struct delta_summary summary = write_file(60);
	for (long len = (long)summary.bytes - 1; len >= 0; len--) {
		assert_int_equal(truncate(path, len), 0);
		assert_int_equal(read_file(NULL, 0, GROUPS, &read), RESULT_CORRUPT);
	}
}

static void test_nothing_is_left_of_a_file_given_up(void **state)
{
	(void)state;
	struct delta_writer *writer;
	struct error error;
	char key[32], value[32], beside[128];
	struct delta_entry entry = entry_of(1, key, value);
	assert_int_equal(delta_writer_open(&writer, path, &error), RESULT_OK);
	assert_int_equal(delta_writer_put(writer, &entry, &error), RESULT_OK);
	delta_writer_abandon(writer);
	(void)snprintf(beside, sizeof beside, "%s.new", path);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(beside, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_round_trip, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_empty_file, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_other_file_is_refused, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_every_byte_counts, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_every_cut_is_noticed, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_nothing_is_left_of_a_file_given_up, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
