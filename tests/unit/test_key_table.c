/* Protects: an accepted key is found again for ever, and nothing else is; growth loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "services/aggregator/key_table.h"
#include "services/aggregator/verdict_table.h"

enum { GROUPS = 8, MANY = 50000 };

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static const struct key_entry *find(const struct key_table *table, struct bytes key)
{
	struct key_place place;
	uint64_t hash = key_hash(key);
	return key_table_find(table, key_group(hash, GROUPS), hash, key, &place);
}

static void add(struct key_table *table, struct bytes key, const struct key_entry *entry)
{
	struct key_place place;
	struct error error;
	uint64_t hash = key_hash(key);
	assert_null(key_table_find(table, key_group(hash, GROUPS), hash, key, &place));
	assert_int_equal(key_table_add(table, &place, key, entry, &error), RESULT_OK);
}

static void test_entry_comes_back_whole(void **state)
{
	(void)state;
	struct key_table table;
	key_table_init(&table, 0, GROUPS);
	add(&table, bytes_of("a"), &(struct key_entry){.timestamp_ms = -5, .content_hash = UINT64_MAX, .partition = 3});
	add(&table, bytes_of(""), &(struct key_entry){.timestamp_ms = 9, .content_hash = 0, .partition = UINT32_MAX});
	const struct key_entry *entry = find(&table, bytes_of("a"));
	assert_non_null(entry);
	assert_int_equal(entry->timestamp_ms, -5);
	assert_true(entry->content_hash == UINT64_MAX);
	assert_int_equal(entry->partition, 3);
	assert_int_equal(entry->key_len, 1);
	assert_memory_equal(entry->key, "a", 1);
	entry = find(&table, bytes_of(""));
	assert_non_null(entry);
	assert_int_equal(entry->key_len, 0);
	assert_true(entry->partition == UINT32_MAX);
	assert_null(find(&table, bytes_of("b")));
	assert_null(find(&table, bytes_of("aa")));
	assert_int_equal(table.len, 2);
	key_table_fini(&table);
}

/* Keys of every length up to the longest, more than a chunk of them, through many growths. */
static void test_many_keys_survive_growth(void **state)
{
	(void)state;
	static char key[KEY_BYTES_MAX + 1];
	struct key_table table;
	key_table_init(&table, 0, GROUPS);
	memset(key, 'x', sizeof key);
	for (uint32_t i = 0; i < MANY; i++) {
		size_t len = i % 100 == 0 ? KEY_BYTES_MAX - i / 100 % 50 : 20 + i % 17;
		(void)snprintf(key, 16, "%010u", i);
		add(&table, (struct bytes){(uint8_t *)key, len},
		    &(struct key_entry){.content_hash = i, .partition = i % 5});
	}
	assert_int_equal(table.len, MANY);
	assert_true(table.chunks_len > 1);
	for (uint32_t i = 0; i < MANY; i++) {
		size_t len = i % 100 == 0 ? KEY_BYTES_MAX - i / 100 % 50 : 20 + i % 17;
		(void)snprintf(key, 16, "%010u", i);
		const struct key_entry *entry = find(&table, (struct bytes){(uint8_t *)key, len});
		assert_non_null(entry);
		assert_int_equal(entry->content_hash, i);
		assert_int_equal(entry->partition, i % 5);
		assert_null(find(&table, (struct bytes){(uint8_t *)key, len - 1}));
	}
	key_table_fini(&table);
}

/* Equal upper halves of the hash: only the keys tell them apart. The slots wrap around, too: the tag is the largest. */
static void test_keys_of_one_tag(void **state)
{
	(void)state;
	struct key_table table;
	struct key_place place;
	struct error error;
	char key[16];
	key_table_init(&table, 5, 1);
	for (uint32_t i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof key, "%u", i);
		uint64_t hash = UINT64_MAX - i;
		assert_null(key_table_find(&table, 5, hash, bytes_of(key), &place));
		assert_int_equal(
		    key_table_add(&table, &place, bytes_of(key), &(struct key_entry){.partition = i}, &error),
		    RESULT_OK);
	}
	for (uint32_t i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof key, "%u", i);
		const struct key_entry *entry = key_table_find(&table, 5, UINT64_MAX - i, bytes_of(key), &place);
		assert_non_null(entry);
		assert_int_equal(entry->partition, i);
	}
	key_table_fini(&table);
}

static void test_memory_per_key(void **state)
{
	(void)state;
	struct key_table table;
	char key[37];
	key_table_init(&table, 0, GROUPS);
	for (uint32_t i = 0; i < 200000; i++) {
		(void)snprintf(key, sizeof key, "%036u", i);
		add(&table, bytes_of(key), &(struct key_entry){.partition = 0});
	}
	assert_true(key_table_bytes(&table) / 200000 <= 85);
	key_table_fini(&table);
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
	    cmocka_unit_test(test_memory_per_key),
	    cmocka_unit_test(test_slots_grow_and_clear),
	    cmocka_unit_test(test_verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
