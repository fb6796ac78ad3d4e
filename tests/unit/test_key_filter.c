/* Protects: a key that was added is never called new, also after the process has ended and after the filter was halved; a key
 * that was never added is rarely looked for on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "common/state/files.h"
#include "common/state/key_filter.h"

enum { KEYS = 500000 };

static char folder[64], path[96];

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof folder, "/tmp/sluice-filter-XXXXXX");
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/filter", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	folder_remove(folder);
	return 0;
}

static uint64_t hash_of(uint64_t i)
{
	return XXH3_64bits(&i, sizeof i);
}

static void fill(struct key_filter *filter, uint64_t from, uint64_t keys)
{
	uint64_t hashes[1000];
	for (uint64_t i = 0; i < keys; i += 1000) {
		for (uint64_t k = 0; k < 1000; k++)
			hashes[k] = hash_of(from + i + k);
		key_filter_add(filter, hashes, 1000);
	}
}

static uint64_t held(const struct key_filter *filter, uint64_t from, uint64_t keys)
{
	uint64_t count = 0;
	for (uint64_t i = 0; i < keys; i++) {
		const struct filter_mask mask = filter_mask_of(hash_of(from + i));
		count += key_filter_may_hold(filter, &mask);
	}
	return count;
}

static void test_what_was_added_is_held(void **state)
{
	struct key_filter filter;
	struct error error;
	(void)state;
	assert_int_equal(key_filter_make(&filter, path, (size_t)KEYS * KEY_FILTER_BYTES, &error), RESULT_OK);
	assert_int_equal(held(&filter, 0, KEYS), 0);
	fill(&filter, 0, KEYS);
	assert_int_equal(held(&filter, 0, KEYS), KEYS);
	assert_in_range(held(&filter, KEYS, KEYS), 1, KEYS / 500);
	key_filter_close(&filter);
	assert_int_equal(key_filter_open(&filter, path, &error), RESULT_OK);
	assert_int_equal(held(&filter, 0, KEYS), KEYS);
	key_filter_close(&filter);
}

static void test_half_errs_more_but_holds_all(void **state)
{
	struct key_filter filter;
	struct error error;
	(void)state;
	assert_int_equal(key_filter_make(&filter, path, 1000001, &error), RESULT_OK);
	fill(&filter, 0, KEYS);
	for (size_t bytes = filter.bytes / 2; bytes > 200000; bytes /= 2) {
		assert_true(key_filter_can_be_halved(&filter));
		assert_int_equal(key_filter_halve(&filter, path, &error), RESULT_OK);
		assert_int_equal(filter.bytes, bytes);
		assert_int_equal(held(&filter, 0, KEYS), KEYS);
	}
	assert_in_range(held(&filter, KEYS, KEYS), 1, KEYS / 2);
	fill(&filter, 2 * (uint64_t)KEYS, 1000);
	key_filter_close(&filter);
	assert_int_equal(key_filter_open(&filter, path, &error), RESULT_OK);
	assert_int_equal(held(&filter, 0, KEYS), KEYS);
	assert_int_equal(held(&filter, 2 * (uint64_t)KEYS, 1000), 1000);
	key_filter_close(&filter);
}

static void test_no_filter_holds_everything(void **state)
{
	struct key_filter filter = {0};
	uint64_t hash = 5;
	(void)state;
	key_filter_add(&filter, &hash, 1);
	assert_int_equal(held(&filter, 0, 100), 100);
	assert_false(key_filter_can_be_halved(&filter));
	key_filter_close(&filter);
}

static void test_missing_or_torn(void **state)
{
	struct key_filter filter;
	struct error error;
	(void)state;
	assert_int_equal(key_filter_open(&filter, path, &error), RESULT_CORRUPT);
	assert_int_equal(key_filter_make(&filter, path, 1000, &error), RESULT_OK);
	key_filter_close(&filter);
	assert_int_equal(truncate(path, 1001), 0);
	assert_int_equal(key_filter_open(&filter, path, &error), RESULT_CORRUPT);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(key_filter_open(&filter, path, &error), RESULT_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_what_was_added_is_held, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_half_errs_more_but_holds_all, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_no_filter_holds_everything, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_missing_or_torn, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
