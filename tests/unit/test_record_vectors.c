/* tests/unit/test_record_vectors.c - protects the meaning of a payload: every line of tests/vectors/records.jsonl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "services/ingest/json_reader.h"
#include "services/ingest/json_text.h"
#include "services/ingest/record_parser.h"
#include "tests/unit/shipped_pipeline.h"

#define VECTORS SOURCE_DIR "/tests/vectors/records.jsonl"

enum { LINE_MAX_BYTES = 1024 * 1024, VECTORS_MIN = 150 };

struct vector {
	struct buffer name, payload, reason, unknown_fields;
	struct buffer expected[SHIPPED_FIELDS];
	bool is_null[SHIPPED_FIELDS]; /* of expected */
	bool has_payload, has_reason, has_row;
	int64_t timestamp_ms;
};

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

/* ---- reading vectors ---- */

static bool text_is(struct bytes text, const char *expected)
{
	return bytes_equal(text, bytes_of(expected));
}

static void text_take(struct buffer *out, const struct json_value *value)
{
	out->len = json_unescape(value->text, buffer_reserve(out, value->text.len + 1));
}

static int64_t number_take(const struct json_value *value)
{
	int64_t number = 0;

	assert_int_equal(value->kind, JSON_NUMBER);
	if (decimal_parse((const char *)value->text.data, value->text.len, 18, 0, &number) != DECIMAL_OK)
		assert_true(text_is(value->text, "9223372036854775807"));
	return text_is(value->text, "9223372036854775807") ? INT64_MAX : number;
}

static void base64_take(struct buffer *out, struct bytes text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0, count = 0;

	for (size_t i = 0; i < text.len && text.data[i] != '='; i++) {
		const char *digit = strchr(digits, text.data[i]);
		uint8_t byte;

		assert_non_null(digit);
		bits = bits << 6 | (uint32_t)(digit - digits);
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		byte = (uint8_t)(bits >> count);
		buffer_append(out, &byte, 1);
	}
}

static void pad(struct buffer *out, int64_t spaces)
{
	memset(buffer_reserve(out, (size_t)spaces), ' ', (size_t)spaces);
	out->len += (size_t)spaces;
}

static void row_take(struct vector *vector, struct bytes text)
{
	struct json_reader reader;
	struct json_value name, value;
	size_t named = 0;

	json_reader_init(&reader, text.len);
	assert_int_equal(json_reader_open(&reader, text), JSON_FIELD);
	while (json_reader_next(&reader, &name, &value) == JSON_FIELD) {
		size_t i = 0;

		while (i < SHIPPED_FIELDS && !text_is(name.text, pipeline.record.fields[i].name))
			i++;
		assert_true(i < SHIPPED_FIELDS);
		vector->is_null[i] = value.kind == JSON_NULL;
		if (value.kind == JSON_STRING)
			text_take(&vector->expected[i], &value);
		named++;
	}
	assert_int_equal(named, SHIPPED_FIELDS);
	vector->has_row = true;
	json_reader_fini(&reader);
}

static void vector_take(struct vector *vector, struct bytes name, const struct json_value *value)
{
	if (text_is(name, "name")) {
		text_take(&vector->name, value);
	} else if (text_is(name, "payload")) {
		vector->has_payload = value->kind == JSON_STRING;
		text_take(&vector->payload, value);
	} else if (text_is(name, "payload_base64")) {
		vector->has_payload = true;
		base64_take(&vector->payload, value->text);
	} else if (text_is(name, "payload_pad")) {
		pad(&vector->payload, number_take(value));
	} else if (text_is(name, "timestamp_ms")) {
		vector->timestamp_ms = number_take(value);
	} else if (text_is(name, "reason")) {
		vector->has_reason = true;
		text_take(&vector->reason, value);
	} else if (text_is(name, "row")) {
		row_take(vector, value->text);
	} else if (text_is(name, "unknown_fields")) {
		buffer_printf(&vector->unknown_fields, "%d", (int)number_take(value));
	} else {
		fail_msg("a vector has an unknown part: %.*s", (int)name.len, (const char *)name.data);
	}
}

static void vector_read(struct vector *vector, struct json_reader *reader, struct bytes line)
{
	struct json_value name, value;
	enum json_step step;

	*vector = (struct vector){0};
	assert_int_equal(json_reader_open(reader, line), JSON_FIELD);
	while ((step = json_reader_next(reader, &name, &value)) == JSON_FIELD)
		vector_take(vector, name.text, &value);
	assert_int_equal(step, JSON_END);
	assert_true(vector->name.len > 0);
	assert_int_equal(vector->has_row, !vector->has_reason);
}

static void vector_fini(struct vector *vector)
{
	buffer_fini(&vector->name);
	buffer_fini(&vector->payload);
	buffer_fini(&vector->reason);
	buffer_fini(&vector->unknown_fields);
	for (size_t i = 0; i < SHIPPED_FIELDS; i++)
		buffer_fini(&vector->expected[i]);
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

/* The payload is parsed from a block of exactly its size, so that a sanitizer sees any look behind it. */
static bool vector_check(struct record_parser *parser, const struct vector *vector)
{
	static struct parsed_record parsed;
	struct bytes payload = {NULL, vector->payload.len};
	uint8_t *exact = NULL;
	bool matches;

	if (vector->has_payload) {
		exact = malloc(payload.len);
		assert_true(exact != NULL || payload.len == 0);
		if (payload.len > 0)
			memcpy(exact, vector->payload.data, payload.len);
		payload.data = exact != NULL ? exact : (const uint8_t *)"";
	}
	record_parse(parser, payload, vector->timestamp_ms, &parsed);
	matches = vector->has_row ? accepted_matches(vector, &parsed) : refused_matches(vector, &parsed);
	free(exact);
	return matches;
}

static void test_vectors(void **state)
{
	struct record_parser *parser = parser_open();
	struct json_reader reader;
	char *line = NULL;
	size_t room = 0, count = 0, wrong = 0;
	ssize_t len;
	FILE *file = fopen(VECTORS, "r");

	(void)state;
	assert_non_null(file);
	json_reader_init(&reader, LINE_MAX_BYTES);
	while ((len = getline(&line, &room, file)) > 0) {
		struct vector vector;

		vector_read(&vector, &reader, (struct bytes){(const uint8_t *)line, (size_t)len});
		if (!vector_check(parser, &vector)) {
			print_error("wrong: %.*s\n", (int)vector.name.len, (const char *)vector.name.data);
			wrong++;
		}
		vector_fini(&vector);
		count++;
	}
	assert_true(count >= VECTORS_MIN);
	assert_int_equal(wrong, 0);
	free(line);
	fclose(file);
	json_reader_fini(&reader);
	record_parser_free(parser);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_vectors, pipeline_open, pipeline_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
