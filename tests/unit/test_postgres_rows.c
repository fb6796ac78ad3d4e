/* Rows as COPY tuples: the binary form of values, and the order of the keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/sink/postgres_binary.h"
#include "services/sink/postgres_frontier.h"
#include "services/sink/postgres_rows.h"
#include "tests/unit/paper.h"

static void assert_numeric(int64_t minor, int scale, const char *hex)
{
	uint8_t out[BINARY_FIELD_MAX + 1];
	char text[2 * BINARY_FIELD_MAX + 1] = "";

	memset(out, 0xee, sizeof out);
	uint8_t *end = binary_numeric(out, minor, scale);
	assert_true(end <= out + BINARY_FIELD_MAX);
	for (const uint8_t *at = out; at < end; at++)
		snprintf(text + 2 * (at - out), 3, "%02x", *at);
	assert_string_equal(text, hex);
}

/* length, digits, weight, sign, scale, then the digits of base 10000 */
static void test_numeric(void **state)
{
	(void)state;
	assert_numeric(0, 2,
	    "00000008"
	    "0000"
	    "0000"
	    "0000"
	    "0002");
	assert_numeric(162753, 2,
	    "0000000c"
	    "0002"
	    "0000"
	    "0000"
	    "0002"
	    "065b"
	    "14b4");
	assert_numeric(-1, 2,
	    "0000000a"
	    "0001"
	    "ffff"
	    "4000"
	    "0002"
	    "0064");
	assert_numeric(1000000, 2,
	    "0000000a"
	    "0001"
	    "0001"
	    "0000"
	    "0002"
	    "0001");
	assert_numeric(100, 0,
	    "0000000a"
	    "0001"
	    "0000"
	    "0000"
	    "0000"
	    "0064");
	assert_numeric(1, 18,
	    "0000000a"
	    "0001"
	    "fffb"
	    "0000"
	    "0012"
	    "0064");
	assert_numeric(999999999999999999, 18,
	    "00000012"
	    "0005"
	    "ffff"
	    "0000"
	    "0012"
	    "270f"
	    "270f"
	    "270f"
	    "270f"
	    "26ac");
	assert_numeric(INT64_MAX, 1,
	    "00000014"
	    "0006"
	    "0004"
	    "0000"
	    "0001"
	    "005c"
	    "0921"
	    "07f4"
	    "2163"
	    "1d9c"
	    "1b58");
	assert_numeric(INT64_MIN, 0,
	    "00000012"
	    "0005"
	    "0004"
	    "4000"
	    "0000"
	    "039a"
	    "0d2c"
	    "0170"
	    "1565"
	    "16b0");
}

/* Every scale at every edge, digit by digit. */
static void test_numeric_against_paper(void **state)
{
	struct edges edges;
	(void)state;
	edges_fill(&edges);
	for (int scale = 0; scale <= 18; scale++)
		for (size_t i = 0; i < edges.len; i++) {
			uint8_t out[BINARY_FIELD_MAX + 1], expected[PAPER_NUMERIC_MAX];
			char number[PAPER_TEXT_MAX];
			paper_text(edges.values[i], scale, number);
			size_t len = paper_numeric(number, scale, expected);
			uint8_t *end = binary_numeric(out, edges.values[i], scale);
			if (end != out + 4 + len || out[3] != len || memcmp(out + 4, expected, len) != 0)
				fail_msg("%s of scale %d", number, scale);
		}
}

static const char text[] =
    "job: t\nsource:\n  topic: t\n  kafka: {bootstrap.servers: x}\nrecord:\n  table: t\n  key: k\n"
    "  event_time: at\n  fields:\n    - {name: at, type: timestamp, required: true}\n"
    "    - {name: k, type: string(200), required: true}\n    - {name: a, type: \"decimal(4,2)\", required: true}\n"
    "rollups:\n  - table: r\n    by: [{column: d, day: at}]\n"
    "    measures: [{column: s, sum: a, type: \"decimal(9,2)\"}]\n";

static void pipeline_make(struct pipeline *pipeline)
{
	struct error error = {0};
	if (pipeline_parse(pipeline, "test.yaml", (struct bytes){(const uint8_t *)text, strlen(text)}, &error) !=
	    RESULT_OK)
		fail_msg("%s", error.text);
}

static void row_put(struct rows_writer *writer, const char *key, int64_t offset)
{
	struct buffer encoded = {0};
	struct value values[] = {
	    {.kind = VALUE_INTEGER, .integer = 5},
	    {.kind = VALUE_TEXT, .text = {(const uint8_t *)key, strlen(key)}},
	    {.kind = VALUE_INTEGER, .integer = 100},
	};
	row_encode_values(&encoded, values, 3);
	rows_put(writer, 3, offset, 0, 0, 3, buffer_bytes(&encoded));
	buffer_fini(&encoded);
}

/* Builds the keys in two bodies and checks that they come out in order, all of them, each with its own row. */
static void assert_sorted(char (*keys)[64], size_t len)
{
	struct pipeline pipeline;
	struct epoch_rows rows = {0};
	struct rows_writer writers[2] = {0};
	struct bytes bodies[2], last = {0};
	struct error error = {0};
	uint64_t seen = 0;

	pipeline_make(&pipeline);
	for (size_t i = 0; i < 2; i++) {
		rows_begin(&writers[i]);
		for (size_t j = i * len / 2; j < (i + 1) * len / 2; j++)
			row_put(&writers[i], keys[j], (int64_t)j);
		rows_end(&writers[i]);
		bodies[i] = buffer_bytes(&writers[i].body);
	}
	assert_int_equal(epoch_rows_build(&rows, &pipeline, bodies, 2, &error), RESULT_OK);
	assert_int_equal(rows.len, len);
	for (size_t i = 0; i < len; i++) {
		struct row row;
		assert_true(epoch_rows_source(&rows, &pipeline, i, &row));
		struct bytes key = row.values[1].text;
		assert_int_equal(key.len, strlen(keys[row.offset]));
		assert_memory_equal(key.data, keys[row.offset], key.len);
		assert_true(i == 0 || bytes_compare(last, key) <= 0);
		/* int16 fields, then the timestamp with its length, then the key with its own */
		struct bytes tuple = epoch_rows_tuple(&rows, i);
		assert_true(tuple.len > 18 + key.len);
		assert_memory_equal(tuple.data + 18, key.data, key.len);
		last = key;
		seen += (uint64_t)row.offset;
	}
	assert_int_equal(seen, len * (len - 1) / 2);
	struct row row;
	assert_false(epoch_rows_source(&rows, &pipeline, len, &row));
	for (size_t i = 0; i < 2; i++)
		buffer_fini(&writers[i].body);
	epoch_rows_fini(&rows);
	pipeline_fini(&pipeline);
}

enum { KEYS = 5000 };

static void test_order(void **state)
{
	char(*keys)[64] = memory_new(KEYS * sizeof *keys);

	(void)state;
	for (size_t format = 0; format < 3; format++) {
		uint32_t random = 12345;
		/* Random in the first bytes; a common prefix and numbers of several lengths; a few values many times. */
		for (size_t i = 0; i < KEYS; i++) {
			random = random * 1664525 + 1013904223;
			if (format == 2)
				snprintf(keys[i], sizeof keys[i], "same-prefix-very-equal-%u",
				    random % 7 * 1000000 + random % 100);
			else if (format == 1)
				snprintf(keys[i], sizeof keys[i], "transaction-%u", random >> (random % 20));
			else
				snprintf(keys[i], sizeof keys[i], "%08x-4f5e-uuid", random);
		}
		assert_sorted(keys, KEYS);
		assert_sorted(keys, 2);
	}
	strcpy(keys[0], "abc");
	strcpy(keys[1], "ab");
	strcpy(keys[2], "\xc3\xa9");
	strcpy(keys[3], "abcdefghijk");
	strcpy(keys[4], "abcdefghij");
	strcpy(keys[5], "");
	assert_sorted(keys, 6);
	assert_sorted(keys, 1);
	assert_sorted(keys, 0);
	free(keys);
}

static void test_cut_parse(void **state)
{
	struct cut cut = {0};

	(void)state;
	assert_true(cut_parse("{}", &cut));
	assert_int_equal(cut.len, 0);
	assert_true(cut_parse("{\"0\": 12, \"7\": 9223372036854775807,\"11\":0}", &cut));
	assert_int_equal(cut.len, 3);
	assert_true(cut_get(&cut, 7, -1) == INT64_MAX && cut_get(&cut, 11, -1) == 0 && cut_get(&cut, 0, -1) == 12);
	cut_fini(&cut);
	static const char *const wrong[] = {"", "{", "}", "[]", "{} x", "{\"0\": 12", "{\"0\": 12,}", "{\"0\" 12}",
	    "{0: 12}", "{\"0\": -1}", "{\"-1\": 1}", "{\"4294967296\": 1}", "{\"0\": 9223372036854775808}",
	    "{\"0\": 1.5}", "{\"\": 1}", "{\"0\": null}"};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		if (cut_parse(wrong[i], &cut))
			fail_msg("%s was taken for a cut", wrong[i]);
		assert_null(cut.entries);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numeric),
	    cmocka_unit_test(test_numeric_against_paper),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_cut_parse),
	};
	return cmocka_run_group_tests_name("postgres_rows", tests, NULL, NULL);
}
