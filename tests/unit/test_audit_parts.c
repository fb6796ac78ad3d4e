/* tests/unit/test_audit_parts.c - protects what the audit concludes: the spool loses nothing, however it is divided; the rule
 * for repeats; totals of more groups than memory holds; numbers as PostgreSQL sends them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "services/sluicectl/audit_binary.h"
#include "services/sluicectl/audit_keys.h"
#include "services/sluicectl/audit_letters.h"
#include "services/sluicectl/audit_record.h"
#include "common/state/group_key.h"
#include "tests/unit/members.h"
#include "tests/unit/shipped_pipeline.h"

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* ---- spool ---- */

enum { ITEM_LARGE = 100000, ITEMS = 2400, HASHES = 300 };

struct spool_seen {
	struct spool *spool;
	uint32_t next[HASHES]; /* number of the next item of each hash */
	size_t parts, items;
};

/* Spread over all bits, as a hash is. */
static uint64_t hash_of(uint32_t number)
{
	struct bytes bytes = {(const uint8_t *)&number, sizeof number};
	return table_hash(bytes);
}

static void spool_seen_part(void *context, const struct spool_stream *a, const struct spool_stream *b)
{
	struct spool_seen *seen = context;
	struct spool_cursor cursor;
	struct spool_item item;
	uint32_t head[2];

	assert_true(a->bytes + b->bytes <= SPOOL_PART_BYTES);
	assert_int_equal(b->bytes, 0);
	spool_cursor_open(&cursor, seen->spool, a);
	for (; spool_next(&cursor, &item); seen->items++) {
		assert_true(item.bytes.len >= sizeof head);
		memcpy(head, item.bytes.data, sizeof head);
		assert_true(head[0] < HASHES);
		assert_int_equal(item.hash, hash_of(head[0]) & ~UINT64_C(63));
		assert_int_equal(head[1], seen->next[head[0]]);
		assert_int_equal(item.bytes.data[item.bytes.len - 1], head[1] % 251);
		seen->next[head[0]]++;
	}
	spool_cursor_close(&cursor);
	seen->parts++;
}

/* All in one bucket, 120 MiB of it: it has to be divided, and a hash's items stay together and in order. */
static void test_spool_divides(void **state)
{
	static uint8_t large[ITEM_LARGE];
	static struct spool spool;
	static struct spool_seen seen;
	struct error error;

	(void)state;
	assert_int_equal(spool_open(&spool, &error), RESULT_OK);
	for (uint32_t i = 0; i < ITEMS; i++) {
		uint32_t head[2] = {i % HASHES, i / HASHES};
		size_t len = i % 2 ? ITEM_LARGE : 9 + i % 50;

		memcpy(large, head, sizeof head);
		memset(large + sizeof head, (int)(head[1] % 251), len - sizeof head);
		spool_put(&spool, LANE_ROWS, hash_of(head[0]) & ~UINT64_C(63), (struct bytes){large, len});
	}
	seen.spool = &spool;
	spool_each_part(&spool, LANE_ROWS, LANE_RECORDS, spool_seen_part, &seen);
	assert_int_equal(spool_check(&spool, &error), RESULT_OK);
	assert_int_equal(seen.items, ITEMS);
	assert_true(seen.parts > SPOOL_BUCKETS);
	for (size_t i = 0; i < HASHES; i++)
		assert_int_equal(seen.next[i], ITEMS / HASHES);
	spool_close(&spool);
}

/* ---- the rule for repeats ---- */

struct world {
	struct pipeline pipeline;
	struct spool spool;
	struct record_reader reader;
	struct totals totals;
	struct report report;
	int64_t offset; /* of the next record, in any partition */
};

/* With the pipeline that it has. */
static void world_open(struct world *world)
{
	struct error error;

	assert_int_equal(spool_open(&world->spool, &error), RESULT_OK);
	record_reader_init(&world->reader, &world->pipeline);
	world->report.pipeline = &world->pipeline;
	totals_init(&world->totals, &world->spool, &world->report);
}

static void world_close(struct world *world)
{
	totals_fini(&world->totals);
	report_fini(&world->report);
	record_reader_fini(&world->reader);
	spool_close(&world->spool);
	pipeline_fini(&world->pipeline);
}

/* A record of a key, told apart by its amount. */
static void record_make(struct world *world, const char *key, const char *amount, struct audit_record *record)
{
	struct buffer json = {0};

	buffer_printf(&json,
	    "{\"transaction_id\": \"%s\", \"product_category\": \"home\", \"total_amount\": %s, "
	    "\"transaction_date\": \"2024-01-15T10:00:00Z\"}",
	    key, amount);
	record_read(&world->reader, buffer_bytes(&json), -1, record);
	assert_null(record->reason);
	buffer_fini(&json);
}

static void sent(struct world *world, uint32_t partition, const char *key, const char *amount)
{
	struct audit_record record;

	record_make(world, key, amount, &record);
	const struct key_record valid = {.partition = partition,
	    .offset = world->offset,
	    .timestamp_ms = world->offset,
	    .key = record.key,
	    .content = record.content};
	keys_put_record(&world->spool, &valid);
	world->offset++;
}

static void row(struct world *world, const char *key, const char *amount)
{
	struct audit_record record;

	record_make(world, key, amount, &record);
	keys_put_row(&world->spool, record.key, record.content);
}

static void letter(struct world *world, uint32_t partition, int64_t offset, const char *key, const char *amount)
{
	struct buffer json = {0};

	buffer_printf(&json,
	    "{\"transaction_id\": \"%s\", \"product_category\": \"home\", \"total_amount\": %s, "
	    "\"transaction_date\": \"2024-01-15 10:00:00\"}",
	    key, amount);
	const struct letter found = {.partition = partition,
	    .offset = offset,
	    .key = bytes_of(key),
	    .payload = buffer_bytes(&json),
	    .reason = bytes_of("conflict")};
	letter_put_found(&world->spool, &world->reader, &found);
	buffer_fini(&json);
}

static void total(struct world *world, size_t rollup, int64_t first, const char *text, int64_t number, audit_sum sum)
{
	struct buffer group = {0};
	struct audit_value value = {.kind = AUDIT_NUMBER, .number = first};

	content_add(&group, &value);
	if (text != NULL)
		value = (struct audit_value){.kind = AUDIT_TEXT, .text = bytes_of(text)};
	else
		value.number = number;
	if (rollup != 1)
		content_add(&group, &value);
	totals_put_found(&world->totals, rollup, buffer_bytes(&group), &sum);
	buffer_fini(&group);
}

/* All totals of the one day that these tests know. */
static void totals_are(struct world *world, audit_sum sum)
{
	total(world, 0, 19737, "home", 0, sum);
	total(world, 1, 19737, NULL, 0, sum);
	total(world, 2, 2024, NULL, 1, sum);
}

static void judged(struct world *world, uint64_t accepted, uint64_t duplicates, uint64_t conflicts)
{
	struct error error;

	keys_compare(&world->spool, &world->report, &world->totals);
	totals_compare(&world->totals);
	letters_compare(&world->spool, &world->report);
	assert_int_equal(spool_check(&world->spool, &error), RESULT_OK);
	assert_int_equal(world->report.counters_due[AUDIT_ACCEPTED], accepted);
	assert_int_equal(world->report.counters_due[AUDIT_DUPLICATES], duplicates);
	assert_int_equal(world->report.counters_due[AUDIT_CONFLICTS], conflicts);
}

static struct world world;

static int world_set_up(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	shipped_pipeline(&world.pipeline);
	world_open(&world);
	return 0;
}

static int world_tear_down(void **state)
{
	(void)state;
	world_close(&world);
	return 0;
}

static void test_the_first_of_a_partition_counts(void **state)
{
	(void)state;
	sent(&world, 0, "a", "1.00");
	sent(&world, 0, "a", "1");
	sent(&world, 0, "a", "2");
	row(&world, "a", "1.00");
	letter(&world, 0, 2, "a", "2.00");
	totals_are(&world, 100);
	judged(&world, 1, 1, 1);
	assert_int_equal(world.report.differences_len, 0);
}

static void test_another_partition_may_have_been_first(void **state)
{
	(void)state;
	sent(&world, 0, "a", "1");
	sent(&world, 1, "a", "2");
	sent(&world, 0, "a", "2");
	row(&world, "a", "2.00");
	letter(&world, 0, 0, "a", "1.00");
	totals_are(&world, 200);
	judged(&world, 1, 1, 1);
	assert_int_equal(world.report.differences_len, 0);
}

static void test_the_second_of_its_partition_does_not_count(void **state)
{
	(void)state;
	sent(&world, 0, "a", "1");
	sent(&world, 0, "a", "2");
	row(&world, "a", "2.00");
	letter(&world, 0, 0, "a", "1.00");
	totals_are(&world, 200);
	judged(&world, 1, 0, 1);
	assert_int_equal(world.report.differences[DIFFERENCE_ROW], 1);
	assert_int_equal(world.report.differences[DIFFERENCE_TOTAL], 3);
	assert_int_equal(world.report.differences[DIFFERENCE_LETTER_MISSING], 1);
	assert_int_equal(world.report.differences[DIFFERENCE_LETTER_EXTRA], 1);
}

static void test_a_letter_has_to_say_what_the_record_said(void **state)
{
	(void)state;
	sent(&world, 0, "a", "1");
	sent(&world, 0, "a", "2");
	row(&world, "a", "1.00");
	letter(&world, 0, 1, "a", "2.01");
	totals_are(&world, 100);
	judged(&world, 1, 0, 1);
	assert_int_equal(world.report.differences[DIFFERENCE_LETTER], 1);
	assert_int_equal(world.report.differences_len, 1);
}

static void test_rows_too_many_and_too_few(void **state)
{
	(void)state;
	sent(&world, 0, "a", "1");
	sent(&world, 0, "b", "2");
	row(&world, "a", "1.00");
	row(&world, "a", "1.00"); /* no primary key any more */
	row(&world, "c", "5.00");
	totals_are(&world, 300);
	judged(&world, 2, 0, 0);
	assert_int_equal(world.report.differences[DIFFERENCE_ROW_EXTRA], 2);
	assert_int_equal(world.report.differences[DIFFERENCE_ROW_MISSING], 1);
	assert_int_equal(world.report.differences_len, 3);
}

/* Kafka does not hold the record of a any more; the other one is a conflict with it, and both are in the totals. */
static void test_the_beginning_is_gone(void **state)
{
	(void)state;
	world.report.partial = true;
	world.offset = 10;
	sent(&world, 0, "a", "2");
	sent(&world, 0, "b", "3");
	row(&world, "a", "1.00");
	row(&world, "b", "3.00");
	row(&world, "c", "5.00");
	letter(&world, 0, 10, "a", "2.00");
	totals_are(&world, 900);
	judged(&world, 1, 0, 1);
	assert_int_equal(world.report.differences_len, 0);
	assert_int_equal(world.report.rows_unproved, 1);
}

/* ---- totals ---- */

/* Sums that leave memory in parts come together again. */
static void test_more_groups_than_memory(void **state)
{
	enum { DAYS = TOTALS_GROUPS / 2 };
	struct audit_record record;
	struct buffer content = {0};

	(void)state;
	record_make(&world, "a", "1.00", &record);
	for (int round = 0; round < 3; round++) {
		for (int64_t day = 0; day < DAYS; day++) {
			struct bytes rest = record.content;
			struct audit_value value;

			buffer_clear(&content);
			while (content_next(&rest, &value)) {
				if (value.kind == AUDIT_TIME)
					value.number = day * INT64_C(86400000000);
				content_add(&content, &value);
			}
			totals_add(&world.totals, buffer_bytes(&content));
		}
	}
	for (int64_t day = 0; day < DAYS; day++) {
		total(&world, 0, day, "home", 0, day == 7 ? 299 : 300);
		total(&world, 1, day, NULL, 0, 300);
	}
	totals_compare(&world.totals);
	assert_int_equal(world.report.differences[DIFFERENCE_TOTAL], 1);
	assert_int_equal(world.report.differences[DIFFERENCE_TOTAL_EXTRA], 0);
	assert_true(world.report.differences[DIFFERENCE_TOTAL_MISSING] >= DAYS / 31); /* the months */
	buffer_fini(&content);
}

/* ---- one member at a time ---- */

static void members_open(void)
{
	struct error error;

	memset(&world, 0, sizeof world);
	if (pipeline_parse(&world.pipeline, "members",
	        (struct bytes){(const uint8_t *)members_pipeline, sizeof members_pipeline - 1}, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	world_open(&world);
}

static void members_read(const struct value *values, struct audit_record *record)
{
	struct buffer json = {0};

	members_json(&json, &world.pipeline, values);
	record_read(&world.reader, buffer_bytes(&json), -1, record);
	assert_null(record->reason);
	buffer_fini(&json);
}

/* The log has one record, and so has the table, but for one member. */
static void test_every_member_of_a_row(void **state)
{
	struct value values[PIPELINE_FIELDS_MAX], members[MEMBERS_MAX];
	size_t fields_len = 1;

	(void)state;
	for (size_t i = 0; i < fields_len; i++)
		for (size_t m = 0, members_len = 1; m < members_len; m++) {
			struct audit_record record;

			members_open();
			fields_len = world.pipeline.record.fields_len;
			members_len = members_of(&world.pipeline.record.fields[i], members);
			if (i != world.pipeline.record.key) {
				members_first(&world.pipeline, values);
				members_read(values, &record);
				const struct key_record valid = {.key = record.key, .content = record.content};
				keys_put_record(&world.spool, &valid);
				values[i] = members[m];
				members_read(values, &record);
				keys_put_row(&world.spool, record.key, record.content);
				keys_compare(&world.spool, &world.report, &world.totals);
				if (world.report.differences[DIFFERENCE_ROW] != (m > 0))
					fail_msg("%s, value %zu", world.pipeline.record.fields[i].name, m);
			}
			world_close(&world);
		}
}

enum harm { HARM_NONE, HARM_MEASURE, HARM_COLUMN };

/* All totals of one row as the database would have them, but for one measure or column of one rollup. */
static void totals_judge(enum harm harm, size_t rollup, size_t place)
{
	struct value values[PIPELINE_FIELDS_MAX], columns[PIPELINE_COLUMNS_MAX];
	struct calendar calendar = {0};
	struct audit_record record;
	struct buffer group = {0};

	members_first(&world.pipeline, values);
	members_read(values, &record);
	totals_add(&world.totals, record.content);
	for (size_t i = 0; i < world.pipeline.rollups_len; i++) {
		const struct rollup *declared = &world.pipeline.rollups[i];
		audit_sum sums[PIPELINE_MEASURES_MAX] = {0};

		buffer_clear(&group);
		group_columns_of_row(declared, values, &calendar, columns);
		for (size_t j = 0; j < declared->by_len; j++) {
			bool changed = harm == HARM_COLUMN && i == rollup && j == place;
			struct audit_value value = {.kind = columns[j].kind == VALUE_TEXT ? AUDIT_TEXT : AUDIT_NUMBER,
			    .text = changed ? bytes_of("a ") : columns[j].text,
			    .number = columns[j].integer + changed};
			content_add(&group, &value);
		}
		for (size_t j = 0; j < declared->measures_len; j++)
			sums[j] = values[declared->measures[j].field].integer +
			          (harm == HARM_MEASURE && i == rollup && j == place);
		totals_put_found(&world.totals, i, buffer_bytes(&group), sums);
	}
	totals_compare(&world.totals);
	buffer_fini(&group);
}

/* A unit in any measure, and any column of a group. */
static void test_every_member_of_a_total(void **state)
{
	size_t rollups_len = 1;

	(void)state;
	for (size_t i = 0; i < rollups_len; i++)
		for (enum harm harm = HARM_NONE; harm <= HARM_COLUMN; harm++)
			for (size_t place = 0, places = 1; place < places; place++) {
				members_open();
				const struct rollup *rollup = &world.pipeline.rollups[i];
				const uint64_t *differences = world.report.differences;
				rollups_len = world.pipeline.rollups_len;
				places = harm == HARM_NONE      ? 1
				         : harm == HARM_MEASURE ? rollup->measures_len
				                                : rollup->by_len;
				totals_judge(harm, i, place);
				if (differences[DIFFERENCE_TOTAL] != (harm == HARM_MEASURE) ||
				    differences[DIFFERENCE_TOTAL_MISSING] != (harm == HARM_COLUMN) ||
				    differences[DIFFERENCE_TOTAL_EXTRA] != (harm == HARM_COLUMN))
					fail_msg("%s, harm %d at %zu", rollup->table, (int)harm, place);
				world_close(&world);
			}
}

static void test_sums_print(void **state)
{
	static const struct {
		audit_sum sum;
		int scale;
		const char *text;
	} cases[] = {{0, 2, "0.00"}, {-1, 2, "-0.01"}, {1230, 2, "12.30"}, {-5, 0, "-5"}, {0, 0, "0"},
	    {(audit_sum)1000000000000000000 * 1000, 2, "10000000000000000000.00"}};
	struct buffer out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buffer_clear(&out);
		audit_sum_print(&out, cases[i].sum, cases[i].scale);
		buffer_append(&out, "", 1);
		assert_string_equal(out.data, cases[i].text);
	}
	buffer_fini(&out);
}

/* ---- numbers of PostgreSQL ---- */

static bool numeric(const char *hex, int scale, audit_sum *units)
{
	uint8_t bytes[64];
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;
		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return binary_numeric((struct bytes){bytes, len}, scale, units);
}

/* numeric_send: count of digits, weight, sign, scale, digits of base 10000. */
static void test_numeric(void **state)
{
	audit_sum units;

	(void)state;
	assert_true(numeric("0000000000000002", 2, &units)); /* 0 */
	assert_true(units == 0);
	assert_true(numeric("000200000000000206691450", 2, &units)); /* 1641.52 */
	assert_true(units == 164152);
	assert_true(numeric("000200004000000206691450", 2, &units)); /* -1641.52 */
	assert_true(units == -164152);
	assert_true(numeric("00010001000000020001", 2, &units)); /* 10000 */
	assert_true(units == 1000000);
	assert_true(numeric("0001ffff000000020064", 2, &units)); /* 0.01 */
	assert_true(units == 1);
	assert_true(numeric("0001ffff000000040001", 4, &units)); /* 0.0001 */
	assert_true(units == 1);
	assert_true(numeric("0004000200000002000109291a851388", 2, &units)); /* 123456789.5 */
	assert_true(units == 12345678950);
	assert_false(numeric("000200000000000406691490", 2, &units)); /* 1641.5264 */
	assert_false(numeric("0001ffff00000004000a", 2, &units)); /* 0.001 */
	assert_false(numeric("0001001400000004270f", 2, &units)); /* above any sum */
	assert_false(numeric("00010007000000002710", 2, &units)); /* a digit of 10000 */
	assert_false(numeric("00000000c0000000", 2, &units)); /* NaN */
	assert_false(numeric("00000000d0000000", 2, &units)); /* infinity */
	assert_false(binary_numeric((struct bytes){NULL, 0}, 2, &units));
}

#define OF_WORLD(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spool_divides),
	    OF_WORLD(test_the_first_of_a_partition_counts),
	    OF_WORLD(test_another_partition_may_have_been_first),
	    OF_WORLD(test_the_second_of_its_partition_does_not_count),
	    OF_WORLD(test_a_letter_has_to_say_what_the_record_said),
	    OF_WORLD(test_rows_too_many_and_too_few),
	    OF_WORLD(test_the_beginning_is_gone),
	    OF_WORLD(test_more_groups_than_memory),
	    cmocka_unit_test(test_every_member_of_a_row),
	    cmocka_unit_test(test_every_member_of_a_total),
	    cmocka_unit_test(test_sums_print),
	    cmocka_unit_test(test_numeric),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
