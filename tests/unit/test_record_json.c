/* tests/unit/test_record_json.c - protects the payload of a conflict's dead letter: it says what the record said, and
 * what it says is read back as the same values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "services/aggregator/record_json.h"
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

static struct value integer(int64_t number)
{
	return (struct value){.kind = VALUE_INTEGER, .integer = number};
}

static struct value text(const char *words)
{
	return (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)words, strlen(words)}};
}

static void assert_json(const struct value *values, const char *expected)
{
	struct buffer out = {0};

	record_json(&pipeline, values, &out);
	buffer_append(&out, "", 1);
	assert_string_equal((const char *)out.data, expected);
	buffer_fini(&out);
}

static void test_all_fields(void **state)
{
	struct value values[SHIPPED_FIELDS] = {text("t-1"), text("p"), text("mobile"), text("home"), integer(54251),
	    integer(-3), text(""), integer(-5), text("USD"), text("c"), integer(INT64_C(1705312800123456)),
	    text("credit_card")};

	(void)state;
	assert_json(values,
	    "{\"transaction_id\": \"t-1\", \"product_id\": \"p\", \"product_name\": \"mobile\", "
	    "\"product_category\": \"home\", \"product_price\": 542.51, \"product_quantity\": -3, "
	    "\"product_brand\": \"\", \"total_amount\": -0.05, \"currency\": \"USD\", \"customer_id\": \"c\", "
	    "\"transaction_date\": \"2024-01-15T10:00:00.123456\", \"payment_method\": \"credit_card\"}");
}

static void test_nulls_are_left_out(void **state)
{
	struct value values[SHIPPED_FIELDS] = {{.kind = VALUE_NULL}};

	(void)state;
	assert_json(values, "{}");
	values[5] = integer(7);
	assert_json(values, "{\"product_quantity\": 7}");
	values[7] = integer(9999999999);
	assert_json(values, "{\"product_quantity\": 7, \"total_amount\": 99999999.99}");
}

static void test_escapes(void **state)
{
	struct value values[SHIPPED_FIELDS] = {text("\"\\/\b\f\n\r\t\x01\x1f\x7f \xc3\xa4\xf0\x9f\x98\x80\"")};

	(void)state;
	assert_json(values, "{\"transaction_id\": \"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0001\\u001f\x7f "
	                    "\xc3\xa4\xf0\x9f\x98\x80\\\"\"}");
}

/* What is written appends, and parses to the values it was written from. */
static void test_reads_back(void **state)
{
	static struct parsed_record parsed;
	struct record_parser *parser;
	struct value values[SHIPPED_FIELDS] = {text("t\t\"1\""), {.kind = VALUE_NULL}, text("\x02\xe5\xb0\xba"),
	    text("\\"), integer(-9999999999), integer(INT32_MIN), text("/"), integer(1), text(""), text("'"),
	    integer(INT64_C(253402300799999999)), {.kind = VALUE_NULL}};
	struct buffer out = {0};

	(void)state;
	buffer_append(&out, " ", 1);
	record_json(&pipeline, values, &out);
	assert_int_equal(out.data[0], ' ');
	assert_int_equal(record_parser_new(&parser, &pipeline, NULL), RESULT_OK);
	record_parse(parser, buffer_bytes(&out), -1, &parsed);
	assert_null(parsed.reason);
	assert_int_equal(parsed.unknown_fields, 0);
	for (size_t i = 0; i < SHIPPED_FIELDS; i++) {
		assert_int_equal(parsed.values[i].kind, values[i].kind);
		assert_true(parsed.values[i].integer == values[i].integer);
		assert_true(bytes_equal(parsed.values[i].text, values[i].text));
	}
	record_parser_free(parser);
	buffer_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_fields),
	    cmocka_unit_test(test_nulls_are_left_out),
	    cmocka_unit_test(test_escapes),
	    cmocka_unit_test(test_reads_back),
	};

	return cmocka_run_group_tests(tests, pipeline_open, pipeline_close);
}
