/* tests/unit/test_record_vectors.c - protects the meaning of a payload: every line of tests/vectors/records.jsonl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/ingest/record_parser.h"
#include "tests/unit/record_vectors.h"

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

/* ---- checking them ---- */

/* A value as vectors write it. */
static void value_print(struct buffer *out, const struct field *field, const struct value *value)
{
	char text[DECIMAL_TEXT_MAX + TIMESTAMP_TEXT_MAX];

	assert_int_equal(value->kind, field->type == FIELD_STRING ? VALUE_TEXT : VALUE_INTEGER);
	switch (field->type) {
	case FIELD_STRING:
		buffer_append(out, value->text.data, value->text.len);
		break;
	case FIELD_INTEGER:
	case FIELD_DECIMAL:
		buffer_append(
		    out, text, decimal_print(value->integer, field->type == FIELD_DECIMAL ? field->scale : 0, text));
		break;
	case FIELD_TIMESTAMP:
		buffer_append(out, text, timestamp_print(value->integer, text));
		break;
	}
}

static bool value_matches(
    const struct field *field, const struct value *value, bool is_null, const struct buffer *expected)
{
	struct buffer text = {0};
	bool matches;

	if (is_null || value->kind == VALUE_NULL)
		return is_null && value->kind == VALUE_NULL;
	value_print(&text, field, value);
	matches = bytes_equal(buffer_bytes(&text), buffer_bytes(expected));
	if (!matches)
		print_error("%s is %.*s\n", field->name, (int)text.len, (const char *)text.data);
	buffer_fini(&text);
	return matches;
}

static bool accepted_matches(const struct vector *vector, const struct parsed_record *parsed)
{
	char unknown_fields[16];

	if (parsed->reason != NULL) {
		print_error("refused: %s, %s\n", parsed->reason, parsed->detail);
		return false;
	}
	snprintf(unknown_fields, sizeof unknown_fields, "%u", parsed->unknown_fields);
	for (size_t i = 0; i < SHIPPED_FIELDS; i++)
		if (!value_matches(
		        &pipeline.record.fields[i], &parsed->values[i], vector->is_null[i], &vector->expected[i]))
			return false;
	return bytes_equal(buffer_bytes(&vector->unknown_fields), bytes_of(unknown_fields));
}

static bool refused_matches(const struct vector *vector, const struct parsed_record *parsed)
{
	if (parsed->reason == NULL) {
		print_error("accepted\n");
		return false;
	}
	if (!bytes_equal(buffer_bytes(&vector->reason), bytes_of(parsed->reason))) {
		print_error("refused for another reason: %s, %s\n", parsed->reason, parsed->detail);
		return false;
	}
	return parsed->detail[0] != '\0' && strlen(parsed->detail) < DETAIL_MAX;
}

static bool vector_check(void *context, const struct vector *vector, struct bytes payload)
{
	static struct parsed_record parsed;

	record_parse(context, payload, vector->timestamp_ms, &parsed);
	return vector->has_row ? accepted_matches(vector, &parsed) : refused_matches(vector, &parsed);
}

static void test_vectors(void **state)
{
	struct record_parser *parser = parser_open();

	(void)state;
	vectors_check(&pipeline, vector_check, parser);
	record_parser_free(parser);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_vectors, pipeline_open, pipeline_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
