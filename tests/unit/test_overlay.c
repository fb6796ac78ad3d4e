/* Protects: what was put is found again whole, and nothing else is; growth loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "common/state/overlay.h"
#include "services/aggregator/verdict_table.h"

enum { GROUPS = 8, MANY = 50000 };

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static struct overlay_entry *find(const struct overlay *overlay, struct bytes key)
{
	struct overlay_place place;
	uint64_t hash = key_hash(key);
	return overlay_find(overlay, key_group(hash, GROUPS), hash, key, &place);
}

static void add(struct overlay *overlay, struct bytes key, uint64_t number, int64_t time_ms)
{
	struct overlay_place place;
	struct error error;
	uint64_t hash = key_hash(key);
	assert_null(overlay_find(overlay, key_group(hash, GROUPS), hash, key, &place));
	struct bytes value = {(const uint8_t *)&number, sizeof number};
	assert_int_equal(overlay_add(overlay, &place, hash, key, value, time_ms, &error), RESULT_OK);
}

static uint64_t number_of(const struct overlay_entry *entry)
{
	uint64_t number;
	assert_int_equal(entry->value_len, sizeof number);
	memcpy(&number, overlay_value(entry).data, sizeof number);
	return number;
}

static void test_entry_comes_back_whole(void **state)
{
	(void)state;
	struct overlay *overlay = overlay_new(0, GROUPS);
	assert_true(overlay->newest_ms == INT64_MIN);
	add(overlay, bytes_of("a"), UINT64_MAX, -5);
	add(overlay, bytes_of(""), 7, -9);
	assert_int_equal(overlay->newest_ms, -5);
	const struct overlay_entry *entry = find(overlay, bytes_of("a"));
	assert_non_null(entry);
	assert_true(number_of(entry) == UINT64_MAX);
	assert_true(bytes_equal(overlay_key(entry), bytes_of("a")));
	assert_int_equal(find(overlay, bytes_of(""))->key_len, 0);
	assert_null(find(overlay, bytes_of("b")));
	assert_null(find(overlay, bytes_of("aa")));
	assert_int_equal(overlay->len, 2);
	overlay_free(overlay);
}

static size_t length_of(uint32_t i)
{
	return i % 1000 == 0 ? (size_t)(OVERLAY_KEY_MAX - i / 1000 % 50) : 20 + i % 17;
}

/* Keys of every length up to the longest, more than a chunk of them, through many growths. */
static void test_many_keys_survive_growth(void **state)
{
	(void)state;
	static char key[OVERLAY_KEY_MAX + 1];
	struct overlay *overlay = overlay_new(0, GROUPS);
	memset(key, 'x', sizeof key);
	for (uint32_t i = 0; i < MANY; i++) {
		(void)snprintf(key, 16, "%010u", i);
		add(overlay, (struct bytes){(uint8_t *)key, length_of(i)}, i, i);
	}
	assert_int_equal(overlay->len, MANY);
	assert_true(overlay->chunks_len > 1);
	for (uint32_t i = 0; i < MANY; i++) {
		(void)snprintf(key, 16, "%010u", i);
		const struct overlay_entry *entry = find(overlay, (struct bytes){(uint8_t *)key, length_of(i)});
		assert_non_null(entry);
		assert_int_equal(number_of(entry), i);
		assert_null(find(overlay, (struct bytes){(uint8_t *)key, length_of(i) - 1}));
	}
	uint32_t listed = 0;
	for (uint32_t group = 0; group < GROUPS; group++)
		for (uint32_t at = 0; overlay_next(overlay, group, &at) != NULL;)
			listed++;
	assert_int_equal(listed, MANY);
	overlay_free(overlay);
}

/* Equal upper halves of the hash: only the keys tell them apart. The slots wrap around, too: the tag is the largest. */
static void test_keys_of_one_tag(void **state)
{
	(void)state;
	struct overlay *overlay = overlay_new(5, 1);
	struct overlay_place place;
	struct error error;
	char key[16];
	for (uint64_t i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof key, "%u", (unsigned)i);
		assert_null(overlay_find(overlay, 5, UINT64_MAX - i, bytes_of(key), &place));
		assert_int_equal(overlay_add(overlay, &place, UINT64_MAX - i, bytes_of(key),
		                     (struct bytes){(const uint8_t *)&i, sizeof i}, 0, &error),
		    RESULT_OK);
	}
	for (uint64_t i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof key, "%u", (unsigned)i);
		const struct overlay_entry *entry = overlay_find(overlay, 5, UINT64_MAX - i, bytes_of(key), &place);
		assert_non_null(entry);
		assert_int_equal(number_of(entry), i);
	}
	overlay_free(overlay);
}

/* As if all chunks that a reference can name were full: 32 GiB of them are too many for a test. */
static void test_more_than_references_name(void **state)
{
	(void)state;
	struct overlay *overlay = overlay_new(0, GROUPS);
	struct overlay_place place;
	struct error error;
	overlay->chunks_len = 1 << 15;
	assert_null(overlay_find(overlay, 0, 0, bytes_of("a"), &place));
	assert_int_equal(
	    overlay_add(overlay, &place, 0, bytes_of("a"), (struct bytes){NULL, 0}, 0, &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, stop_way(STOP_TOO_MANY_KEYS)));
	assert_int_equal(overlay->len, 0);
	overlay->chunks_len = 0;
	overlay_free(overlay);
}

static void test_memory_per_key(void **state)
{
	(void)state;
	struct overlay *overlay = overlay_new(0, GROUPS);
	char key[37];
	for (uint32_t i = 0; i < 200000; i++) {
		(void)snprintf(key, sizeof key, "%036u", i);
		add(overlay, bytes_of(key), i, 0);
	}
	assert_true(overlay_bytes(overlay) / 200000 <= 80);
	overlay_free(overlay);
}

static void test_slots_grow_and_clear(void **state)
{
	(void)state;
	struct slot_index index;
	slot_index_init(&index, 2);
	for (uint32_t i = 1; i <= 100; i++) {
		struct slot_probe probe = slot_probe_begin(&index, (uint64_t)i << 57);
		while (slot_probe_next(&index, &probe) != 0)
			;
		slot_index_add(&index, probe, i);
	}
	assert_int_equal(index.len, 100);
	assert_true(index.capacity >= 125 && index.capacity <= 200);
	for (uint32_t i = 1; i <= 100; i++) {
		struct slot_probe probe = slot_probe_begin(&index, (uint64_t)i << 57);
		uint32_t reference;
		while ((reference = slot_probe_next(&index, &probe)) != i)
			assert_int_not_equal(reference, 0);
	}
	slot_index_clear(&index);
	struct slot_probe probe = slot_probe_begin(&index, (uint64_t)1 << 57);
	assert_int_equal(slot_probe_next(&index, &probe), 0);
	slot_index_fini(&index);
}

static void test_verdicts(void **state)
{
	(void)state;
	struct verdict_table table = {0};
	struct error error;
	enum verdict verdict = 0;
	struct decision first[] = {{3, 10, VERDICT_CONFLICT}, {0, 7, VERDICT_DUPLICATE}, {0, 5, VERDICT_CONFLICT}};
	struct decision second[] = {{1, 7, VERDICT_CONFLICT}, {0, INT64_MAX, VERDICT_DUPLICATE}};
	assert_false(verdict_table_find(&table, 0, 7, &verdict));
	verdict_table_add(&table, &(struct decisions){first, 3});
	verdict_table_add(&table, &(struct decisions){NULL, 0});
	verdict_table_add(&table, &(struct decisions){second, 2});
	verdict_table_add(&table, &(struct decisions){second, 1}); /* the same word twice is one word */
	assert_int_equal(verdict_table_sort(&table, &error), RESULT_OK);
	assert_true(verdict_table_find(&table, 0, 7, &verdict));
	assert_int_equal(verdict, VERDICT_DUPLICATE);
	assert_true(verdict_table_find(&table, 1, 7, &verdict));
	assert_int_equal(verdict, VERDICT_CONFLICT);
	assert_true(verdict_table_find(&table, 0, INT64_MAX, &verdict));
	assert_true(verdict_table_find(&table, 0, 5, &verdict));
	assert_true(verdict_table_find(&table, 3, 10, &verdict));
	assert_false(verdict_table_find(&table, 0, 6, &verdict));
	assert_false(verdict_table_find(&table, 2, 7, &verdict));
	assert_false(verdict_table_find(&table, 4, 0, &verdict));
	struct decision other = {1, 7, VERDICT_DUPLICATE};
	verdict_table_add(&table, &(struct decisions){&other, 1});
	assert_int_equal(verdict_table_sort(&table, &error), RESULT_CORRUPT);
	assert_string_equal(error.text, "record 1/7 was handed back with two verdicts");
	verdict_table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_entry_comes_back_whole),
	    cmocka_unit_test(test_many_keys_survive_growth),
	    cmocka_unit_test(test_keys_of_one_tag),
	    cmocka_unit_test(test_more_than_references_name),
	    cmocka_unit_test(test_memory_per_key),
	    cmocka_unit_test(test_slots_grow_and_clear),
	    cmocka_unit_test(test_verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
