/* tests/unit/record_vectors.h - reads tests/vectors/records.jsonl for the tests of every reader of payloads.
 *
 * Include after cmocka.h.
 */
#ifndef RECORD_VECTORS_H
#define RECORD_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "services/ingest/json_reader.h"
#include "services/ingest/json_text.h"
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

static inline struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* ---- reading vectors ---- */

static inline bool text_is(struct bytes text, const char *expected)
{
	return bytes_equal(text, bytes_of(expected));
}

static inline void text_take(struct buffer *out, const struct json_value *value)
{
	out->len = json_unescape(value->text, buffer_reserve(out, value->text.len + 1));
}

static inline int64_t number_take(const struct json_value *value)
{
	int64_t number = 0;

	assert_int_equal(value->kind, JSON_NUMBER);
	if (decimal_parse((const char *)value->text.data, value->text.len, 18, 0, &number) != DECIMAL_OK)
		assert_true(text_is(value->text, "9223372036854775807"));
	return text_is(value->text, "9223372036854775807") ? INT64_MAX : number;
}

static inline void base64_take(struct buffer *out, struct bytes text)
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

static inline void pad(struct buffer *out, int64_t spaces)
{
	memset(buffer_reserve(out, (size_t)spaces), ' ', (size_t)spaces);
	out->len += (size_t)spaces;
}

static inline void row_take(struct vector *vector, const struct pipeline *pipeline, struct bytes text)
{
	struct json_reader reader;
	struct json_value name, value;
	size_t named = 0;

	json_reader_init(&reader, text.len);
	assert_int_equal(json_reader_open(&reader, text), JSON_FIELD);
	while (json_reader_next(&reader, &name, &value) == JSON_FIELD) {
		size_t i = 0;

		while (i < SHIPPED_FIELDS && !text_is(name.text, pipeline->record.fields[i].name))
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

static inline void vector_take(
    struct vector *vector, const struct pipeline *pipeline, struct bytes name, const struct json_value *value)
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
		row_take(vector, pipeline, value->text);
	} else if (text_is(name, "unknown_fields")) {
		buffer_printf(&vector->unknown_fields, "%d", (int)number_take(value));
	} else {
		fail_msg("a vector has an unknown part: %.*s", (int)name.len, (const char *)name.data);
	}
}

static inline void vector_read(
    struct vector *vector, const struct pipeline *pipeline, struct json_reader *reader, struct bytes line)
{
	struct json_value name, value;
	enum json_step step;

	*vector = (struct vector){0};
	assert_int_equal(json_reader_open(reader, line), JSON_FIELD);
	while ((step = json_reader_next(reader, &name, &value)) == JSON_FIELD)
		vector_take(vector, pipeline, name.text, &value);
	assert_int_equal(step, JSON_END);
	assert_true(vector->name.len > 0);
	assert_int_equal(vector->has_row, !vector->has_reason);
}

static inline void vector_fini(struct vector *vector)
{
	buffer_fini(&vector->name);
	buffer_fini(&vector->payload);
	buffer_fini(&vector->reason);
	buffer_fini(&vector->unknown_fields);
	for (size_t i = 0; i < SHIPPED_FIELDS; i++)
		buffer_fini(&vector->expected[i]);
}

/* Every line of the file: is what check says about it. The payload is handed over as a block of exactly its size, so
 * that a sanitizer sees any look behind it. */
static inline void vectors_check(const struct pipeline *pipeline,
    bool (*check)(void *context, const struct vector *vector, struct bytes payload), void *context)
{
	struct json_reader reader;
	char *line = NULL;
	size_t room = 0, count = 0, wrong = 0;
	ssize_t len;
	FILE *file = fopen(VECTORS, "r");

	assert_non_null(file);
	json_reader_init(&reader, LINE_MAX_BYTES);
	while ((len = getline(&line, &room, file)) > 0) {
		struct vector vector;
		struct bytes payload = {NULL, 0};
		uint8_t *exact = NULL;

		vector_read(&vector, pipeline, &reader, (struct bytes){(const uint8_t *)line, (size_t)len});
		if (vector.has_payload) {
			payload.len = vector.payload.len;
			exact = malloc(payload.len);
			assert_true(exact != NULL || payload.len == 0);
			if (payload.len > 0)
				memcpy(exact, vector.payload.data, payload.len);
			payload.data = exact != NULL ? exact : (const uint8_t *)"";
		}
		if (!check(context, &vector, payload)) {
			print_error("wrong: %.*s\n", (int)vector.name.len, (const char *)vector.name.data);
			wrong++;
		}
		free(exact);
		vector_fini(&vector);
		count++;
	}
	assert_true(count >= VECTORS_MIN);
	assert_int_equal(wrong, 0);
	free(line);
	fclose(file);
	json_reader_fini(&reader);
}

#endif
