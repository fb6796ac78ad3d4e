/* tests/unit/test_record_parser.c - protects what a line of tests/vectors/records.jsonl cannot say: details, memory,
 * limits, and that records do not mix. What payloads mean is in test_record_vectors.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/ingest/json_reader.h"
#include "services/ingest/record_parser.h"
#include "tests/unit/shipped_pipeline.h"

static struct pipeline pipeline;

static int pipeline_open(void **state)
{
	(void)state;
	shipped_pipeline(&pipeline);
	return 0;
}

static int pipeline_close(void **state)
{
	(void)state;
	pipeline_fini(&pipeline);
	return 0;
}

static struct record_parser *parser_open(void)
{
	struct record_parser *parser;

	assert_int_equal(record_parser_new(&parser, &pipeline, NULL), RESULT_OK);
	return parser;
}

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static bool text_is(struct bytes text, const char *expected)
{
	return bytes_equal(text, bytes_of(expected));
}

#define RECORD                                                                                                         \
	"{\"transaction_id\":\"t-1\",\"product_category\":\"home\",\"total_amount\":12.5,"                             \
	"\"transaction_date\":\"2024-01-15T10:00:00Z\"}"

static const int64_t noon_ms = INT64_C(1705320000000);

static const char *reason_of(struct record_parser *parser, struct bytes payload, struct parsed_record *parsed)
{
	record_parse(parser, payload, noon_ms, parsed);
	return parsed->reason != NULL ? parsed->reason : "accepted";
}

/* A record cut anywhere is refused: as empty where nothing is left, as broken JSON elsewhere. */
static void test_every_truncation(void **state)
{
	struct record_parser *parser = parser_open();
	static struct parsed_record parsed;

	(void)state;
	assert_string_equal(reason_of(parser, bytes_of(RECORD), &parsed), "accepted");
	assert_string_equal(reason_of(parser, (struct bytes){(const uint8_t *)RECORD, 0}, &parsed), "empty");
	for (size_t len = 1; len < strlen(RECORD); len++) {
		uint8_t *exact = malloc(len);

		assert_non_null(exact);
		memcpy(exact, RECORD, len);
		assert_string_equal(reason_of(parser, (struct bytes){exact, len}, &parsed), "invalid_json");
		free(exact);
	}
	record_parser_free(parser);
}

/* Nothing of one record shows in the next, also when names change places. */
static void test_records_do_not_mix(void **state)
{
	struct record_parser *parser = parser_open();
	static struct parsed_record parsed;
	static const char other[] =
	    "{\"product_id\":\"p\",\"transactionDate\":1705312800,\"x\":1,\"totalAmount\":\"-1\","
	    "\"productCategory\":\"\\u00e4\",\"transactionId\":\"t-2\"}";

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_string_equal(reason_of(parser, bytes_of(RECORD), &parsed), "accepted");
		assert_int_equal(parsed.unknown_fields, 0);
		assert_int_equal(parsed.values[1].kind, VALUE_NULL);
		assert_true(text_is(parsed.values[0].text, "t-1"));
		assert_int_equal(parsed.values[7].integer, 1250);
		assert_string_equal(reason_of(parser, bytes_of("{\"a\":1,\"b\":"), &parsed), "invalid_json");
		assert_int_equal(parsed.unknown_fields, 0);
		assert_string_equal(reason_of(parser, bytes_of(other), &parsed), "accepted");
		assert_int_equal(parsed.unknown_fields, 1);
		assert_true(text_is(parsed.values[0].text, "t-2"));
		assert_true(text_is(parsed.values[1].text, "p"));
		assert_true(text_is(parsed.values[3].text, "\xc3\xa4"));
		assert_int_equal(parsed.values[7].integer, -100);
		assert_int_equal(parsed.values[10].integer, INT64_C(1705312800000000));
	}
	record_parser_free(parser);
}

/* The payload may go away as soon as the call is over. */
static void test_values_outlive_the_payload(void **state)
{
	struct record_parser *parser = parser_open();
	static struct parsed_record parsed;
	char *payload = text_clone(RECORD);

	(void)state;
	assert_string_equal(reason_of(parser, bytes_of(payload), &parsed), "accepted");
	memset(payload, 'x', strlen(payload));
	free(payload);
	assert_true(text_is(parsed.values[0].text, "t-1"));
	assert_true(text_is(parsed.values[3].text, "home"));
	record_parser_free(parser);
}

static void test_details(void **state)
{
	static const struct {
		const char *payload, *detail;
	} cases[] = {
	    {"{\"transaction_id\":null}", "transaction_id: null"},
	    {"{\"transaction_id\":\"t\"}", "product_category: missing"},
	    {"{\"transaction_id\":\"\"}", "transaction_id: empty"},
	    {"{\"transaction_id\":7}", "transaction_id: 7 is not a string"},
	    {"{\"transaction_id\":[1,\n2]}", "transaction_id: [1, 2] is neither text nor a number"},
	    {"{\"transaction_id\":\"t\",\"product_category\":\"c\",\"total_amount\":\"a\\u0062c\"}",
	        "total_amount: \"a\\u0062c\" is not a number"},
	    {"{\"a\":tru}", "a value expected at byte 5 of 9"},
	    {"{\"a\":", "a value expected, not the end at byte 5 of 5"},
	    {"{\"a\":1} x", "the end expected at byte 8 of 9"},
	};
	struct record_parser *parser = parser_open();
	static struct parsed_record parsed;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		reason_of(parser, bytes_of(cases[i].payload), &parsed);
		assert_string_equal(parsed.detail, cases[i].detail);
	}
	record_parser_free(parser);
}

/* A detail is cut between characters, wherever the cut falls. */
static void test_details_are_utf8(void **state)
{
	struct record_parser *parser = parser_open();
	static struct parsed_record parsed;

	(void)state;
	for (int shift = 0; shift < 4; shift++) {
		struct buffer payload = {0};
		struct json_reader reader;
		struct buffer quoted = {0};

		buffer_printf(&payload, "{\"transaction_id\":{\"%.*s", shift, "abcd");
		for (int i = 0; i < 100; i++)
			buffer_append_text(&payload, "\xf0\x9f\x98\x80");
		buffer_append_text(&payload, "\":1}}");
		assert_string_equal(reason_of(parser, buffer_bytes(&payload), &parsed), "wrong_type");
		assert_non_null(strstr(parsed.detail, "\xf0\x9f\x98\x80... is neither"));
		json_reader_init(&reader, DETAIL_MAX);
		for (const char *at = parsed.detail; *at != '\0'; at++)
			buffer_append(&quoted, *at == '"' ? "'" : at, 1);
		assert_int_not_equal(json_reader_open(&reader, buffer_bytes(&quoted)), JSON_NOT_UTF8);
		json_reader_fini(&reader);
		buffer_fini(&quoted);
		buffer_fini(&payload);
	}
	record_parser_free(parser);
}

static void test_limits_are_the_pipeline_files(void **state)
{
	struct record_parser *parser;
	static struct parsed_record parsed;

	(void)state;
	pipeline.record.max_record_bytes = (uint32_t)strlen(RECORD);
	pipeline.record.max_future_us = 0;
	assert_int_equal(record_parser_new(&parser, &pipeline, NULL), RESULT_OK);
	record_parse(parser, bytes_of(RECORD), 1, &parsed);
	assert_null(parsed.reason);
	record_parse(parser, bytes_of(RECORD " "), 1, &parsed);
	assert_string_equal(parsed.reason, "too_large");
	record_parser_free(parser);
}

/* Memory is made once for the longest document, and every record has all of it. */
static void test_escapes_fill_no_memory(void **state)
{
	static const char payload[] = "{\"\\u0074ransaction_id\":\"\\\"\\\"\",\"product_category\":\"\\t\","
	                              "\"total_amount\":1,\"transaction_date\":0,\"\\n\":1,\"\\r\":2}";
	struct record_parser *parser;
	static struct parsed_record parsed;

	(void)state;
	pipeline.record.max_record_bytes = (uint32_t)strlen(payload);
	assert_int_equal(record_parser_new(&parser, &pipeline, NULL), RESULT_OK);
	for (int i = 0; i < 100; i++) {
		assert_string_equal(reason_of(parser, bytes_of(payload), &parsed), "accepted");
		assert_true(text_is(parsed.values[0].text, "\"\""));
		assert_true(text_is(parsed.values[3].text, "\t"));
		assert_int_equal(parsed.unknown_fields, 2);
	}
	record_parser_free(parser);
}

/* Only the event time is held against Kafka's timestamp: other times may lie ahead. */
static void test_other_times_may_lie_ahead(void **state)
{
	struct record_parser *parser;
	static struct parsed_record parsed;
	static struct pipeline two;

	(void)state;
	two.record.time_zone = pipeline.record.time_zone;
	two.record.max_record_bytes = 1000;
	two.record.max_future_us = 1000;
	two.record.fields_len = 3;
	two.record.event_time = 1;
	two.record.fields[0] = (struct field){.name = (char *)"id", .type = FIELD_STRING, .length_max = 2};
	two.record.fields[1] = (struct field){.name = (char *)"at", .type = FIELD_TIMESTAMP};
	two.record.fields[2] = (struct field){.name = (char *)"due", .type = FIELD_TIMESTAMP};
	assert_int_equal(record_parser_new(&parser, &two, NULL), RESULT_OK);
	record_parse(parser, bytes_of("{\"id\":\"1\",\"at\":0,\"due\":\"9999-12-31T23:59:59Z\"}"), 0, &parsed);
	assert_null(parsed.reason);
	record_parse(parser, bytes_of("{\"id\":\"1\",\"at\":1,\"due\":0}"), 0, &parsed);
	assert_string_equal(parsed.reason, "time_out_of_range");
	record_parse(parser, bytes_of("{\"id\":\"1\",\"at\":0,\"due\":-1}"), 0, &parsed);
	assert_string_equal(parsed.reason, "time_out_of_range");
	record_parser_free(parser);
}

static void test_unknown_zone(void **state)
{
	struct record_parser *parser;
	struct error error = {0};

	(void)state;
	free(pipeline.record.time_zone);
	pipeline.record.time_zone = text_clone("Mars/Olympus");
	assert_int_equal(record_parser_new(&parser, &pipeline, &error), RESULT_CONFIG);
	assert_null(parser);
	assert_non_null(strstr(error.text, "Mars/Olympus"));
	record_parser_free(NULL);
}

/* As many names as a pipeline file may have, each with its field. */
static void test_most_fields(void **state)
{
	static char names[PIPELINE_FIELDS_MAX][1 + PIPELINE_ALIASES_MAX][PIPELINE_NAME_MAX + 1];
	static struct parsed_record parsed;
	static struct pipeline wide;
	struct record_parser *parser;

	(void)state;
	wide.record.time_zone = pipeline.record.time_zone;
	wide.record.max_record_bytes = 65536;
	wide.record.key = wide.record.event_time = PIPELINE_FIELDS_MAX - 1;
	wide.record.fields_len = PIPELINE_FIELDS_MAX;
	for (int i = 0; i < PIPELINE_FIELDS_MAX; i++) {
		struct field *field = &wide.record.fields[i];

		*field = (struct field){.type = FIELD_INTEGER, .aliases_len = PIPELINE_ALIASES_MAX};
		for (int alias = 0; alias <= PIPELINE_ALIASES_MAX; alias++)
			snprintf(names[i][alias], sizeof names[i][alias], "field_%d_%d", i, alias);
		field->name = names[i][0];
		for (int alias = 0; alias < PIPELINE_ALIASES_MAX; alias++)
			field->aliases[alias] = names[i][alias + 1];
	}
	assert_int_equal(record_parser_new(&parser, &wide, NULL), RESULT_OK);
	for (int alias = 0; alias <= PIPELINE_ALIASES_MAX; alias++) {
		struct buffer payload = {0};

		for (int i = PIPELINE_FIELDS_MAX - 1; i >= 0; i--)
			buffer_printf(&payload, "%s\"field_%d_%d\":%d", payload.len == 0 ? "{" : ",", i, alias, i);
		buffer_append_text(&payload, "}");
		assert_string_equal(reason_of(parser, buffer_bytes(&payload), &parsed), "accepted");
		assert_int_equal(parsed.unknown_fields, 0);
		for (int i = 0; i < PIPELINE_FIELDS_MAX; i++)
			assert_int_equal(parsed.values[i].integer, i);
		buffer_fini(&payload);
	}
	record_parser_free(parser);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_every_truncation, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_records_do_not_mix, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_values_outlive_the_payload, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_details, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_details_are_utf8, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_limits_are_the_pipeline_files, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_escapes_fill_no_memory, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_other_times_may_lie_ahead, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_unknown_zone, pipeline_open, pipeline_close),
	    cmocka_unit_test_setup_teardown(test_most_fields, pipeline_open, pipeline_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
