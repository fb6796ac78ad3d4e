/* What stands in a document is exactly what the row says: to the cent, to the microsecond, to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/sink/elastic_epoch.h"
#include "services/sink/elastic_index.h"
#include "services/sink/elastic_letters.h"

static const char pipeline_text[] = "job: shop\n"
                                    "source: {topic: sales, start: earliest, kafka: {bootstrap.servers: \"none:1\"}}\n"
                                    "record:\n"
                                    "  table: sales\n"
                                    "  key: id\n"
                                    "  event_time: at\n"
                                    "  time_zone: %s\n"
                                    "  fields:\n"
                                    "    - {name: id, type: string(255), required: true}\n"
                                    "    - {name: money, type: \"decimal(18,2)\"}\n"
                                    "    - {name: whole, type: \"decimal(9,0)\"}\n"
                                    "    - {name: fine, type: \"decimal(18,18)\"}\n"
                                    "    - {name: pieces, type: integer}\n"
                                    "    - {name: at, type: timestamp, required: true}\n"
                                    "rollups:\n"
                                    "  - table: per_day\n"
                                    "    by: [{column: day, day: at}]\n"
                                    "    measures: [{column: total, sum: money, type: \"decimal(20,2)\"}]\n"
                                    "sinks: {elasticsearch: {url: \"http://h\", index: \"%s\"}}\n";
enum { ID, MONEY, WHOLE, FINE, PIECES, AT, FIELDS };

struct bed {
	struct pipeline pipeline;
	struct document_plan plan;
	struct row row;
	struct buffer out;
};

static void bed_open(struct bed *bed, const char *zone, const char *index)
{
	char text[2048];
	struct error error;

	*bed = (struct bed){0};
	(void)snprintf(text, sizeof text, pipeline_text, zone, index);
	if (pipeline_parse(&bed->pipeline, "test.yaml", (struct bytes){(const uint8_t *)text, strlen(text)}, &error) !=
	        RESULT_OK ||
	    document_plan_init(&bed->plan, &bed->pipeline, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	bed->row.values_len = FIELDS;
	bed->row.values[ID] = (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)"k", 1}};
	bed->row.values[AT] = (struct value){.kind = VALUE_INTEGER};
	bed->row.encoded.len = 1024; /* more than any text here */
}

static void bed_close(struct bed *bed)
{
	document_plan_fini(&bed->plan);
	pipeline_fini(&bed->pipeline);
	buffer_fini(&bed->out);
}

static const char *text_of(struct bed *bed)
{
	buffer_append(&bed->out, "", 1);
	return (const char *)bed->out.data;
}

static void expect(struct bed *bed, size_t field, struct value value, const char *expected)
{
	struct value before = bed->row.values[field];
	char whole[2048];

	bed->row.values[field] = value;
	buffer_clear(&bed->out);
	assert_true(document_put(&bed->plan, &bed->row, &bed->out));
	if (field == ID)
		(void)snprintf(
		    whole, sizeof whole, "{\"id\":%s,\"at\":\"1970-01-01T00:00:00.000000+00:00\"}", expected);
	else if (field == AT)
		(void)snprintf(whole, sizeof whole, "{\"id\":\"k\",\"at\":\"%s\"}", expected);
	else
		(void)snprintf(whole, sizeof whole,
		    "{\"id\":\"k\",\"%s\":%s,\"at\":\"1970-01-01T00:00:00.000000+00:00\"}",
		    bed->pipeline.record.fields[field].name, expected);
	assert_string_equal(text_of(bed), whole);
	bed->row.values[field] = before;
}

static struct value number(int64_t integer)
{
	return (struct value){.kind = VALUE_INTEGER, .integer = integer};
}

static void test_numbers(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, "UTC", "sales");
	expect(&bed, MONEY, number(0), "0.00");
	expect(&bed, MONEY, number(5), "0.05");
	expect(&bed, MONEY, number(-5), "-0.05");
	expect(&bed, MONEY, number(-12345), "-123.45");
	expect(&bed, MONEY, number(INT64_C(999999999999999999)), "9999999999999999.99");
	expect(&bed, MONEY, number(INT64_MIN), "-92233720368547758.08");
	expect(&bed, WHOLE, number(7), "7");
	expect(&bed, WHOLE, number(-999999999), "-999999999");
	expect(&bed, FINE, number(1), "0.000000000000000001");
	expect(&bed, FINE, number(INT64_C(-999999999999999999)), "-0.999999999999999999");
	expect(&bed, PIECES, number(0), "0");
	expect(&bed, PIECES, number(INT64_MAX), "9223372036854775807");
	expect(&bed, PIECES, number(INT64_MIN), "-9223372036854775808");
	bed_close(&bed);
}

static void test_texts(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *expected;
	} cases[] = {
	    {"", 0, "\"\""},
	    {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
	    {"\n\r\t\b\f\x01\x1f\x7f", 8, "\"\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\x7f\""},
	    {"a\0b", 3, "\"a\\u0000b\""},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8", 12,
	        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\""},
	};
	struct bed bed;

	(void)state;
	bed_open(&bed, "UTC", "sales");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		expect(&bed, ID,
		    (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)cases[i].text, cases[i].len}},
		    cases[i].expected);
	/* Every letter may need all the room there is. */
	uint8_t letters[300];
	memset(letters, 1, sizeof letters);
	bed.row.values[ID].text = (struct bytes){letters, sizeof letters};
	bed.row.encoded.len = sizeof letters + 3;
	buffer_clear(&bed.out);
	assert_true(document_put(&bed.plan, &bed.row, &bed.out));
	buffer_clear(&bed.out);
	document_put_action(&bed.plan, &bed.row, &bed.out);
	assert_int_equal(bed.out.len, strlen("{\"create\":{\"_id\":\"\"}}\n") + 6 * sizeof letters);
	bed_close(&bed);
}

static int64_t wall(const char *text)
{
	struct time_zone utc;
	int64_t wall_us, instant_us;

	assert_int_equal(time_zone_open(&utc, "UTC", NULL), RESULT_OK);
	assert_int_equal(timestamp_parse(&utc, text, strlen(text), &wall_us, &instant_us), TIMESTAMP_OK);
	return wall_us;
}

static void expect_time(struct bed *bed, const char *wall_text, const char *expected)
{
	int64_t wall_us = wall(wall_text);
	struct error error;
	/* The test's own zone may not be the last one that was opened. */
	assert_int_equal(time_zone_open(&bed->plan.zone, bed->pipeline.record.time_zone, &error), RESULT_OK);
	expect(bed, AT, number(wall_us), expected);
}

static void test_times(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, "UTC", "sales");
	expect_time(&bed, "2024-01-15T10:00:00.123456", "2024-01-15T10:00:00.123456+00:00");
	expect_time(&bed, "1970-01-01T00:00:00", "1970-01-01T00:00:00.000000+00:00");
	expect_time(&bed, "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999+00:00");
	bed_close(&bed);
	bed_open(&bed, "Europe/Berlin", "sales");
	expect_time(&bed, "2024-01-15T10:00:00.000001", "2024-01-15T10:00:00.000001+01:00");
	expect_time(&bed, "2024-07-15T10:00:00", "2024-07-15T10:00:00.000000+02:00");
	expect_time(&bed, "2024-03-31T02:30:00", "2024-03-31T02:30:00.000000+01:00"); /* skipped */
	expect_time(&bed, "2024-10-27T02:30:00", "2024-10-27T02:30:00.000000+02:00"); /* repeated */
	expect_time(&bed, "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999+01:00");
	bed_close(&bed);
	bed_open(&bed, "America/St_Johns", "sales");
	expect_time(&bed, "2024-01-15T10:00:00", "2024-01-15T10:00:00.000000-03:30");
	bed_close(&bed);
	bed_open(&bed, "Africa/Monrovia", "sales");
	/* Until 1972 44 minutes and 30 seconds behind: the same instant, told with whole minutes. */
	expect_time(&bed, "1971-06-01T12:00:00", "1971-06-01T12:00:30.000000-00:44");
	bed_close(&bed);
}

/* What a row cannot be is not made into something else. */
static void test_misfits(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, "UTC", "sales");
	bed.row.values[PIECES] = (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)"7", 1}};
	assert_false(document_put(&bed.plan, &bed.row, &bed.out));
	bed.row.values[PIECES] = (struct value){.kind = VALUE_NULL};
	bed.row.values[AT] = number(INT64_MAX);
	assert_false(document_put(&bed.plan, &bed.row, &bed.out));
	bed.row.values[AT] = number(-1);
	assert_false(document_put(&bed.plan, &bed.row, &bed.out));
	bed.row.values[AT] = number(0);
	bed.row.values_len = FIELDS - 1;
	assert_false(document_put(&bed.plan, &bed.row, &bed.out));
	bed.row.values_len = FIELDS;
	for (size_t i = 0; i < FIELDS; i++)
		bed.row.values[i].kind = VALUE_NULL;
	buffer_clear(&bed.out);
	assert_true(document_put(&bed.plan, &bed.row, &bed.out));
	assert_string_equal(text_of(&bed), "{}");
	bed_close(&bed);
}

static void test_indices(void **state)
{
	static const char *const stems[][2] = {
	    {"sales", "sales"}, {"sales-%Y.%m", "sales"}, {"a-b_%Y", "a-b"}, {"x.-%d", "x"}};
	struct bed bed;
	char text[INDEX_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof stems / sizeof stems[0]; i++) {
		index_stem(stems[i][0], text);
		assert_string_equal(text, stems[i][1]);
	}
	bed_open(&bed, "UTC", "sales-%Y.%m");
	bed.row.values[AT] = number(wall("2024-01-31T23:59:59.999999"));
	assert_string_equal(document_index(&bed.plan, &bed.row), "sales-2024.01");
	uint32_t january = document_period(&bed.plan, &bed.row);
	document_put_action(&bed.plan, &bed.row, &bed.out);
	assert_string_equal(text_of(&bed), "{\"create\":{\"_index\":\"sales-2024.01\",\"_id\":\"k\"}}\n");
	bed.row.values[AT] = number(wall("2024-01-01T00:00:00"));
	assert_int_equal(document_period(&bed.plan, &bed.row), january);
	bed.row.values[AT] = number(wall("2024-02-01T00:00:00"));
	assert_string_equal(document_index(&bed.plan, &bed.row), "sales-2024.02");
	assert_int_not_equal(document_period(&bed.plan, &bed.row), january);
	letters_index(&bed.pipeline, text);
	assert_string_equal(text, "sales-dead-letters");
	bed_close(&bed);
}

/* The day of an index is that of the record's zone: late in the evening in the west, and early in the east, UTC has another one. */
static void test_index_of_a_zone(void **state)
{
	static const struct {
		const char *zone, *wall, *index;
	} cases[] = {
	    {"America/New_York", "2023-12-31T23:30:00", "sales-2023.12.31"},
	    {"America/New_York", "2024-01-01T00:00:00", "sales-2024.01.01"},
	    {"Asia/Kathmandu", "2024-01-01T00:15:00", "sales-2024.01.01"},
	    {"Asia/Kathmandu", "2024-02-29T23:59:59.999999", "sales-2024.02.29"},
	    {"UTC", "2023-12-31T23:59:59.999999", "sales-2023.12.31"},
	};
	struct bed bed;
	(void)state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bed_open(&bed, cases[i].zone, "sales-%Y.%m.%d");
		bed.row.values[AT] = number(wall(cases[i].wall));
		assert_string_equal(document_index(&bed.plan, &bed.row), cases[i].index);
		bed_close(&bed);
	}
}

static void test_mapping(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, "UTC", "sales");
	mapping_put(&bed.pipeline, &bed.out);
	assert_string_equal(text_of(&bed),
	    "{\"properties\":{"
	    "\"id\":{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":256}}},"
	    "\"money\":{\"type\":\"scaled_float\",\"scaling_factor\":100},"
	    "\"whole\":{\"type\":\"scaled_float\",\"scaling_factor\":1},"
	    "\"fine\":{\"type\":\"scaled_float\",\"scaling_factor\":1000000000000000000},"
	    "\"pieces\":{\"type\":\"long\"},"
	    "\"at\":{\"type\":\"date\",\"format\":\"strict_date_optional_time\"}}}");
	bed_close(&bed);
}

/* --- an epoch's items -------------------------------------------------------------------------------------------- */

struct rows_bed {
	struct bed bed;
	struct epoch_items epoch;
	const struct epoch_items *before;
	struct rows_writer writer;
	struct bytes body;
	struct cut handled;
};

static void rows_open_bed(struct rows_bed *rows, const char *index)
{
	memset(rows, 0, sizeof *rows);
	bed_open(&rows->bed, "UTC", index);
	rows->epoch.plan = &rows->bed.plan;
	rows_begin(&rows->writer);
}

static void rows_add(struct rows_bed *rows, uint32_t partition, int64_t offset, const char *key, int64_t at)
{
	struct value values[FIELDS] = {[ID] = {.kind = VALUE_TEXT, .text = {(const uint8_t *)key, strlen(key)}},
	    [AT] = {.kind = VALUE_INTEGER, .integer = at}};
	struct buffer encoded = {0};

	row_encode_values(&encoded, values, FIELDS);
	rows_put(&rows->writer, partition, offset, 1, 1, FIELDS, buffer_bytes(&encoded));
	buffer_fini(&encoded);
}

static void rows_build(struct rows_bed *rows, uint64_t n)
{
	struct error error;

	rows_end(&rows->writer);
	rows->body = buffer_bytes(&rows->writer.body);
	if (epoch_items_build(&rows->epoch, &(struct epoch_bodies){{1, n}, &rows->body, 1}, &rows->handled,
	        rows->before, &error) != RESULT_OK)
		fail_msg("%s", error.text);
}

static void rows_close(struct rows_bed *rows)
{
	epoch_items_fini(&rows->epoch);
	buffer_fini(&rows->writer.body);
	cut_fini(&rows->handled);
	bed_close(&rows->bed);
}

static void expect_take(struct rows_bed *rows, int64_t offset)
{
	uint32_t item;

	assert_true(epoch_items_take(&rows->epoch, &item));
	assert_int_equal(epoch_items_row(&rows->epoch, item)->offset, offset);
}

static void test_repeats(void **state)
{
	static struct rows_bed rows;
	uint32_t item;

	(void)state;
	rows_open_bed(&rows, "sales");
	rows_add(&rows, 0, 10, "a", 0);
	rows_add(&rows, 0, 11, "b", 0);
	rows_add(&rows, 0, 12, "a", 0);
	rows_add(&rows, 0, 13, "a", 0);
	rows_add(&rows, 0, 14, "a", 0);
	rows_build(&rows, 1);
	expect_take(&rows, 10);
	expect_take(&rows, 11);
	assert_false(epoch_items_take(&rows.epoch, &item));
	rows.epoch.items[0].state = ITEM_DEAD;
	rows.epoch.items[1].state = ITEM_STORED;
	epoch_items_resolve(&rows.epoch);
	expect_take(&rows, 12);
	assert_false(epoch_items_take(&rows.epoch, &item));
	rows.epoch.items[2].state = ITEM_DEAD;
	epoch_items_resolve(&rows.epoch);
	expect_take(&rows, 13);
	rows.epoch.items[3].state = ITEM_STORED;
	epoch_items_resolve(&rows.epoch);
	/* There already; and yet it is asked whether it would be taken, as in a later epoch. */
	expect_take(&rows, 14);
	rows.epoch.items[4].state = ITEM_DEAD;
	epoch_items_resolve(&rows.epoch);
	assert_false(epoch_items_take(&rows.epoch, &item));
	struct counters counters = epoch_items_count(&rows.epoch);
	assert_int_equal(counters.n[COUNTER_CONSUMED], 5);
	assert_int_equal(counters.n[COUNTER_ACCEPTED], 2);
	assert_int_equal(counters.n[COUNTER_DEAD], 3);
	rows_close(&rows);
}

/* A key that the epoch before has waits until that is committed, whatever became of it there. */
static void test_behind(void **state)
{
	static struct rows_bed before, rows;
	uint32_t item;

	(void)state;
	rows_open_bed(&before, "sales");
	rows_add(&before, 0, 10, "a", 0);
	rows_build(&before, 1);
	rows_open_bed(&rows, "sales");
	rows.before = &before.epoch;
	rows_add(&rows, 0, 11, "b", 0);
	rows_add(&rows, 0, 12, "a", 0);
	rows_add(&rows, 0, 13, "a", 0);
	rows_build(&rows, 2);
	expect_take(&rows, 11);
	assert_false(epoch_items_take(&rows.epoch, &item));
	epoch_items_again(&rows.epoch);
	expect_take(&rows, 11);
	assert_false(epoch_items_take(&rows.epoch, &item));
	epoch_items_release(&rows.epoch);
	expect_take(&rows, 12);
	assert_false(epoch_items_take(&rows.epoch, &item));
	rows_close(&before);
	rows_close(&rows);
}

/* The same key in another index is another document. */
static void test_repeats_by_index(void **state)
{
	static struct rows_bed rows;
	uint32_t item;

	(void)state;
	rows_open_bed(&rows, "sales-%Y");
	rows_add(&rows, 0, 1, "a", wall("2023-12-31T00:00:00"));
	rows_add(&rows, 0, 2, "a", wall("2024-01-01T00:00:00"));
	rows_add(&rows, 0, 3, "a", wall("2023-01-01T00:00:00"));
	rows_build(&rows, 1);
	expect_take(&rows, 1);
	expect_take(&rows, 2);
	assert_false(epoch_items_take(&rows.epoch, &item));
	rows_close(&rows);
}

static void test_handled(void **state)
{
	static struct rows_bed rows;
	uint32_t item;

	(void)state;
	rows_open_bed(&rows, "sales");
	cut_set(&rows.handled, 0, 5);
	cut_set(&rows.handled, 2, 1);
	rows_add(&rows, 0, 4, "a", 0);
	rows_add(&rows, 1, 0, "b", 0);
	rows_add(&rows, 0, 5, "c", 0);
	rows_add(&rows, 2, 0, "d", 0);
	rows_build(&rows, 1);
	assert_int_equal(rows.epoch.len, 2);
	expect_take(&rows, 0);
	expect_take(&rows, 5);
	assert_false(epoch_items_take(&rows.epoch, &item));
	rows_close(&rows);
}

/* The queue is a ring; what is settled is not sent again. */
static void test_queue_and_again(void **state)
{
	static struct rows_bed rows;
	enum { ROWS = 5000 };
	char key[16];
	uint32_t item;

	(void)state;
	rows_open_bed(&rows, "sales");
	for (int i = 0; i < ROWS; i++) {
		(void)snprintf(key, sizeof key, "%d", i % (ROWS - 1000));
		rows_add(&rows, 0, i, key, 0);
	}
	rows_build(&rows, 1);
	expect_take(&rows, 0);
	expect_take(&rows, 1);
	epoch_items_return(&rows.epoch, 0, false);
	epoch_items_return(&rows.epoch, 1, true);
	expect_take(&rows, 1);
	for (int i = 2; i < ROWS - 1000; i++)
		expect_take(&rows, i);
	expect_take(&rows, 0);
	assert_false(epoch_items_take(&rows.epoch, &item));
	for (int i = 0; i < ROWS - 1000; i += 2)
		rows.epoch.items[i].state = i % 4 ? ITEM_STORED : ITEM_DEAD;
	epoch_items_again(&rows.epoch);
	for (int i = 1; i < ROWS - 1000; i += 2)
		expect_take(&rows, i);
	assert_false(epoch_items_take(&rows.epoch, &item));
	rows_build(&rows, 2);
	expect_take(&rows, 0);
	rows_close(&rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_times),
	    cmocka_unit_test(test_misfits),
	    cmocka_unit_test(test_indices),
	    cmocka_unit_test(test_index_of_a_zone),
	    cmocka_unit_test(test_mapping),
	    cmocka_unit_test(test_repeats),
	    cmocka_unit_test(test_behind),
	    cmocka_unit_test(test_repeats_by_index),
	    cmocka_unit_test(test_handled),
	    cmocka_unit_test(test_queue_and_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
