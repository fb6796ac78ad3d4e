/* services/ingest/record_parser.c - what a JSON object means as a record. See record_parser.h.
 *
 * In two steps: the walk checks all of the document and keeps, for every declared field, the first value that was given
 * for it under any of its names; then the values are read in the order of the pipeline file, and the first that cannot
 * be one is the reason. So the reason depends neither on the order of names in the object nor on what follows.
 */
#include "services/ingest/record_parser.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/base/decimal.h"
#include "services/ingest/json_reader.h"
#include "services/ingest/json_text.h"

enum {
	NAMES_MAX = PIPELINE_FIELDS_MAX * (1 + PIPELINE_ALIASES_MAX),
	SLOTS = 2048, /* of the hash table of names; a power of two */
	EXPECTED = 128, /* places in an object for which the name is remembered */
	EXCERPT_MAX = 60,
};

_Static_assert(SLOTS > 2 * NAMES_MAX, "the table of names stays sparse");
_Static_assert((int)PIPELINE_FIELDS_MAX <= (int)ROW_VALUES_MAX && PIPELINE_FIELDS_MAX <= 64, "seen is a set of 64");

struct name {
	struct bytes text;
	uint32_t field;
};

struct record_parser {
	const struct pipeline *pipeline;
	struct time_zone zone;
	struct json_reader reader;
	struct name names[NAMES_MAX];
	uint16_t names_len;
	uint16_t slots[SLOTS]; /* place in names plus one; 0: free */
	uint16_t expected[EXPECTED]; /* the name that stood at this place of the last object */
	uint64_t seen; /* fields that have a value in given */
	struct json_value given[PIPELINE_FIELDS_MAX];
	uint8_t *unescaped; /* texts of this record without their escapes */
	size_t unescaped_len;
};

/* ---- refusing ---- */

/* Bytes of text up to max, without half a character at the end. */
static size_t cut_len(const uint8_t *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && (text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

__attribute__((format(printf, 3, 4))) static bool refuse(
    struct parsed_record *out, const char *reason, const char *format, ...)
{
	char text[DETAIL_MAX + 4];
	size_t len;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	len = cut_len((const uint8_t *)text, strlen(text), DETAIL_MAX - 1);
	for (size_t i = 0; i < len; i++)
		out->detail[i] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
	out->detail[len] = '\0';
	out->reason = reason;
	return false;
}

/* Quotes the value as it stood in the document, or how it began. */
static bool refuse_value(struct parsed_record *out, const char *reason, const struct field *field,
    const struct json_value *given, const char *problem)
{
	const char *quote = given->kind == JSON_STRING ? "\"" : "";
	size_t len = cut_len(given->text.data, given->text.len, EXCERPT_MAX);

	return refuse(out, reason, "%s: %s%.*s%s%s %s", field->name, quote, (int)len, (const char *)given->text.data,
	    len < given->text.len ? "..." : "", quote, problem);
}

/* ---- names ---- */

static uint32_t slot_first(struct bytes name)
{
	return (uint32_t)XXH3_64bits(name.data, name.len) & (SLOTS - 1);
}

/* A name that two fields claim belongs to the first. */
static void name_add(struct record_parser *parser, const char *text, uint32_t field)
{
	struct name name = {{(const uint8_t *)text, strlen(text)}, field};
	uint32_t slot = slot_first(name.text);

	CHECK(parser->names_len < NAMES_MAX);
	while (parser->slots[slot] != 0) {
		if (bytes_equal(parser->names[parser->slots[slot] - 1].text, name.text))
			return;
		slot = (slot + 1) & (SLOTS - 1);
	}
	parser->names[parser->names_len++] = name;
	parser->slots[slot] = parser->names_len;
}

/* NULL: not a declared name. */
static const struct name *name_find(const struct record_parser *parser, struct bytes text)
{
	uint32_t slot = slot_first(text);

	while (parser->slots[slot] != 0) {
		const struct name *name = &parser->names[parser->slots[slot] - 1];

		if (bytes_equal(name->text, text))
			return name;
		slot = (slot + 1) & (SLOTS - 1);
	}
	return NULL;
}

/* Records of one producer mostly have their names in one order: most names are found with one comparison. */
static const struct name *name_expect(struct record_parser *parser, uint32_t place, struct bytes text)
{
	const struct name *name;

	if (place >= EXPECTED)
		return name_find(parser, text);
	name = &parser->names[parser->expected[place]];
	if (bytes_equal(name->text, text))
		return name;
	name = name_find(parser, text);
	if (name != NULL)
		parser->expected[place] = (uint16_t)(name - parser->names);
	return name;
}

enum result record_parser_new(struct record_parser **parser, const struct pipeline *pipeline, struct error *error)
{
	struct record_parser *self = memory_new(sizeof *self);

	*parser = NULL;
	if (time_zone_open(&self->zone, pipeline->record.time_zone, error) != RESULT_OK) {
		free(self);
		return error_wrap(error, "record.time_zone");
	}
	self->pipeline = pipeline;
	for (uint32_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];

		name_add(self, field->name, i);
		for (size_t alias = 0; alias < field->aliases_len; alias++)
			name_add(self, field->aliases[alias], i);
	}
	json_reader_init(&self->reader, pipeline->record.max_record_bytes);
	self->unescaped = memory_resize(NULL, pipeline->record.max_record_bytes, 1);
	*parser = self;
	return RESULT_OK;
}

void record_parser_free(struct record_parser *parser)
{
	if (parser == NULL)
		return;
	json_reader_fini(&parser->reader);
	free(parser->unescaped);
	free(parser);
}

/* ---- the walk ---- */

/* Every string of a document is unescaped at most once, so that there is room for all of them. */
static struct bytes text_of(struct record_parser *parser, const struct json_value *string)
{
	uint8_t *text = parser->unescaped + parser->unescaped_len;
	size_t len;

	if (!string->escaped)
		return string->text;
	len = json_unescape(string->text, text);
	parser->unescaped_len += len;
	return (struct bytes){text, len};
}

static void keep_field(struct record_parser *parser, uint32_t place, const struct json_value *name,
    const struct json_value *value, struct parsed_record *out)
{
	const struct name *known = name_expect(parser, place, text_of(parser, name));

	if (known == NULL) {
		out->unknown_fields++;
	} else if ((parser->seen >> known->field & 1) == 0) {
		parser->seen |= UINT64_C(1) << known->field;
		parser->given[known->field] = *value;
	}
}

static bool refuse_document(const struct json_reader *reader, enum json_step step, struct parsed_record *out)
{
	out->unknown_fields = 0;
	switch (step) {
	case JSON_FIELD:
	case JSON_END:
		break;
	case JSON_EMPTY:
		return refuse(out, "empty", "the payload holds nothing");
	case JSON_NOT_UTF8:
		return refuse(out, "invalid_utf8", "the payload is not UTF-8");
	case JSON_NUL:
		return refuse(out, "nul_in_text", "a string holds a NUL");
	case JSON_INVALID:
		return refuse(
		    out, "invalid_json", "%s at byte %zu of %zu", reader->problem, reader->problem_at, reader->len);
	case JSON_NOT_OBJECT:
		return refuse(out, "not_an_object", "the payload is JSON, but not an object");
	}
	panic("a document that is well cannot be refused");
}

static bool walk(struct record_parser *parser, struct bytes payload, struct parsed_record *out)
{
	struct json_value name, value;
	enum json_step step;

	parser->seen = 0;
	parser->unescaped_len = 0;
	step = json_reader_open(&parser->reader, payload);
	if (step != JSON_FIELD)
		return refuse_document(&parser->reader, step, out);
	for (uint32_t place = 0; (step = json_reader_next(&parser->reader, &name, &value)) == JSON_FIELD; place++)
		keep_field(parser, place, &name, &value, out);
	return step == JSON_END || refuse_document(&parser->reader, step, out);
}

/* ---- values ---- */

static bool longer_than(struct bytes text, size_t characters_max)
{
	size_t characters = 0;

	if (text.len <= characters_max)
		return false;
	for (size_t i = 0; i < text.len; i++)
		characters += (text.data[i] & 0xc0) != 0x80;
	return characters > characters_max;
}

static bool read_string(const struct field *field, const struct json_value *given, struct bytes text,
    struct value *value, struct parsed_record *out)
{
	if (given->kind != JSON_STRING)
		return refuse_value(out, "wrong_type", field, given, "is not a string");
	if (longer_than(text, field->length_max))
		return refuse(out, "too_long", "%s: more than %" PRIu32 " characters", field->name, field->length_max);
	*value = (struct value){.kind = VALUE_TEXT, .text = text};
	return true;
}

/* The integer in text, which is a JSON number or what a string holds. */
static bool read_integer(const struct field *field, const struct json_value *given, struct bytes text,
    struct value *value, struct parsed_record *out)
{
	int64_t number;

	if (!json_number_valid(text))
		return refuse_value(out, "invalid_number", field, given, "is not a number");
	if (!json_number_whole(text))
		return refuse_value(out, "invalid_number", field, given, "is not a whole number");
	if (decimal_parse((const char *)text.data, text.len, DECIMAL_PRECISION_MAX, 0, &number) != DECIMAL_OK ||
	    number < INT32_MIN || number > INT32_MAX)
		return refuse_value(out, "out_of_range", field, given, "does not fit an integer");
	*value = (struct value){.kind = VALUE_INTEGER, .integer = number};
	return true;
}

static bool read_decimal(const struct field *field, const struct json_value *given, struct bytes text,
    struct value *value, struct parsed_record *out)
{
	value->kind = VALUE_INTEGER;
	value->text = (struct bytes){NULL, 0};
	switch (decimal_parse((const char *)text.data, text.len, field->precision, field->scale, &value->integer)) {
	case DECIMAL_OK:
		break;
	case DECIMAL_SYNTAX:
		return refuse_value(out, "invalid_number", field, given, "is not a number");
	case DECIMAL_RANGE:
		return refuse_value(out, "out_of_range", field, given, "does not fit its decimal");
	}
	return true;
}

/* Numbers of seconds, milliseconds or microseconds have no fraction and no exponent. */
static enum timestamp_verdict time_of_number(
    struct time_zone *zone, struct bytes text, int64_t *wall_us, int64_t *instant_us)
{
	int64_t number;

	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] != '-' && (text.data[i] < '0' || text.data[i] > '9'))
			return TIMESTAMP_SYNTAX;
	if (decimal_parse((const char *)text.data, text.len, DECIMAL_PRECISION_MAX, 0, &number) != DECIMAL_OK)
		return TIMESTAMP_RANGE;
	return timestamp_from_number(zone, number, wall_us, instant_us);
}

static enum timestamp_verdict time_of(
    struct time_zone *zone, const struct json_value *given, struct bytes text, int64_t *wall_us, int64_t *instant_us)
{
	if (given->kind == JSON_NUMBER)
		return time_of_number(zone, text, wall_us, instant_us);
	return timestamp_parse(zone, (const char *)text.data, text.len, wall_us, instant_us);
}

static bool read_timestamp(struct record_parser *parser, const struct field *field, const struct json_value *given,
    struct bytes text, int64_t latest_us, struct value *value, struct parsed_record *out)
{
	int64_t instant_us = 0;

	value->kind = VALUE_INTEGER;
	value->text = (struct bytes){NULL, 0};
	switch (time_of(&parser->zone, given, text, &value->integer, &instant_us)) {
	case TIMESTAMP_OK:
		break;
	case TIMESTAMP_SYNTAX:
		return refuse_value(out, "invalid_time", field, given, "is not a point in time");
	case TIMESTAMP_RANGE:
		return refuse_value(out, "time_out_of_range", field, given, "is not in the years 1970 to 9999");
	}
	return instant_us <= latest_us || refuse_value(out, "time_out_of_range", field, given,
	                                      "is later than Kafka's timestamp and max_future allow");
}

/* Up to when an event may have happened. Never the clock: a replay has to decide as the first reading did. */
static int64_t event_latest_us(const struct pipeline *pipeline, int64_t timestamp_ms)
{
	int64_t latest_us;

	if (timestamp_ms < 0 || pipeline->record.max_future_us == 0 ||
	    __builtin_mul_overflow(timestamp_ms, 1000, &latest_us) ||
	    __builtin_add_overflow(latest_us, pipeline->record.max_future_us, &latest_us))
		return INT64_MAX;
	return latest_us;
}

static bool read_missing(const struct field *field, const char *problem, struct value *value, struct parsed_record *out)
{
	*value = (struct value){.kind = VALUE_NULL};
	return !field->required || refuse(out, "missing_field", "%s: %s", field->name, problem);
}

static bool read_value(struct record_parser *parser, uint32_t place, int64_t timestamp_ms, struct parsed_record *out)
{
	const struct pipeline *pipeline = parser->pipeline;
	const struct field *field = &pipeline->record.fields[place];
	const struct json_value *given = &parser->given[place];
	struct value *value = &out->values[place];
	struct bytes text;

	if ((parser->seen >> place & 1) == 0)
		return read_missing(field, "missing", value, out);
	if (given->kind == JSON_NULL)
		return read_missing(field, "null", value, out);
	if (given->kind != JSON_STRING && given->kind != JSON_NUMBER)
		return refuse_value(out, "wrong_type", field, given, "is neither text nor a number");
	text = text_of(parser, given);
	if (given->escaped && memchr(text.data, 0, text.len) != NULL)
		return refuse(out, "nul_in_text", "%s: holds a NUL", field->name);
	if (place == pipeline->record.key && text.len == 0)
		return read_missing(field, "empty", value, out);
	switch (field->type) {
	case FIELD_STRING:
		return read_string(field, given, text, value, out);
	case FIELD_INTEGER:
		return read_integer(field, given, text, value, out);
	case FIELD_DECIMAL:
		return read_decimal(field, given, text, value, out);
	case FIELD_TIMESTAMP:
		return read_timestamp(parser, field, given, text,
		    place == pipeline->record.event_time ? event_latest_us(pipeline, timestamp_ms) : INT64_MAX, value,
		    out);
	}
	panic("field %s has no type", field->name);
}

void record_parse(struct record_parser *parser, struct bytes payload, int64_t timestamp_ms, struct parsed_record *out)
{
	const struct pipeline *pipeline = parser->pipeline;

	out->reason = NULL;
	out->detail[0] = '\0';
	out->unknown_fields = 0;
	if (payload.data == NULL) {
		refuse(out, "tombstone", "the record has no payload");
		return;
	}
	if (payload.len > pipeline->record.max_record_bytes) {
		refuse(
		    out, "too_large", "%zu bytes, more than %" PRIu32, payload.len, pipeline->record.max_record_bytes);
		return;
	}
	if (!walk(parser, payload, out))
		return;
	for (uint32_t place = 0; place < pipeline->record.fields_len; place++)
		if (!read_value(parser, place, timestamp_ms, out))
			return;
}
