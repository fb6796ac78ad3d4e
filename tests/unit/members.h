/* tests/unit/members.h - the values that a field may have and that must never be taken for each other, made from its declaration:
 * for tests that change one member of a record at a time. A field that is added to a pipeline is in all of them.
 */
#ifndef MEMBERS_H
#define MEMBERS_H

#include <stdio.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/pipeline.h"
#include "common/base/timestamp.h"
#include "proto/row.h"

enum { MEMBERS_MAX = 12 };

/* A pipeline with every kind of member: all types, all kinds of group columns, two measures of different types in either order. */
static const char members_pipeline[] =
    "job: shop\nsource: {topic: sales}\nrecord:\n  table: sales\n  key: id\n  event_time: at\n  fields:\n"
    "    - {name: id, type: string(36), required: true}\n"
    "    - {name: category, type: string(20), required: true}\n"
    "    - {name: shop, type: integer, required: true}\n"
    "    - {name: amount, type: \"decimal(10,2)\", required: true}\n"
    "    - {name: quantity, type: integer}\n"
    "    - {name: at, type: timestamp, required: true}\n"
    "    - {name: paid, type: timestamp, required: true}\n"
    "rollups:\n"
    "  - table: most\n"
    "    by: [{column: a, day: at}, {column: b, field: category}, {column: c, field: shop}, {column: d, year: paid},\n"
    "      {column: e, month: paid}]\n"
    "    measures: [{column: s, sum: amount, type: \"decimal(15,2)\"}, {column: q, sum: quantity, type: "
    "\"decimal(12,0)\"}]\n"
    "  - table: days\n    by: [{column: a, day: paid}]\n"
    "    measures: [{column: s, sum: amount, type: \"decimal(15,2)\"}]\n"
    "  - table: months\n    by: [{column: a, year: at}, {column: b, month: at}]\n"
    "    measures: [{column: q, sum: quantity, type: \"decimal(12,0)\"}, {column: s, sum: amount, type: "
    "\"decimal(15,2)\"}]\n"
    "  - table: categories\n    by: [{column: a, field: category}]\n"
    "    measures: [{column: s, sum: amount, type: \"decimal(15,2)\"}]\n"
    "  - table: shops\n    by: [{column: a, field: shop}]\n"
    "    measures: [{column: q, sum: quantity, type: \"decimal(12,0)\"}]\n"
    "checkpoint: {dir: checkpoints}\n";

static inline void member_add(struct value *values, size_t *len, struct value value)
{
	values[(*len)++] = value;
}

static inline struct value member_text(const char *text)
{
	return (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)text, strlen(text)}};
}

/* Returns how many; the first is what it has while another member is changed. */
static inline size_t members_of(const struct field *field, struct value values[MEMBERS_MAX])
{
	static const char *const texts[] = {"a", "", "A", "a ", " a", "b", "\xc3\xa4"};
	static const int64_t times[] = {1, 0, 999999, 3600000000, 86400000000 /* a day */, 2678400000000 /* a month */,
	    31622400000000 /* a year, and the day and month are the same */};
	size_t len = 0;
	int64_t most = 1;
	switch (field->type) {
	case FIELD_STRING:
		for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
			if (strlen(texts[i]) <= field->length_max)
				member_add(values, &len, member_text(texts[i]));
		break;
	case FIELD_INTEGER:
	case FIELD_DECIMAL:
		for (int i = 0; i < (field->type == FIELD_DECIMAL ? field->precision : 9); i++)
			most *= 10;
		for (int64_t number = 2; number >= -2; number--)
			member_add(values, &len, (struct value){.kind = VALUE_INTEGER, .integer = number});
		member_add(values, &len, (struct value){.kind = VALUE_INTEGER, .integer = most - 1});
		member_add(values, &len, (struct value){.kind = VALUE_INTEGER, .integer = 1 - most});
		break;
	case FIELD_TIMESTAMP:
		for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
			member_add(values, &len,
			    (struct value){.kind = VALUE_INTEGER, .integer = INT64_C(1705312800000000) + times[i]});
		break;
	}
	if (!field->required)
		member_add(values, &len, (struct value){.kind = VALUE_NULL});
	return len;
}

/* As JSON; texts above need no escapes. */
static inline void member_json(struct buffer *out, const struct field *field, const struct value *value)
{
	char text[(int)DECIMAL_TEXT_MAX + (int)TIMESTAMP_TEXT_MAX];
	if (value->kind == VALUE_NULL) {
		buffer_append_text(out, "null");
	} else if (value->kind == VALUE_TEXT) {
		buffer_printf(out, "\"%.*s\"", (int)value->text.len, (const char *)value->text.data);
	} else if (field->type == FIELD_TIMESTAMP) {
		(void)timestamp_print(value->integer, text);
		buffer_printf(out, "\"%s\"", text);
	} else {
		(void)decimal_print(value->integer, field->type == FIELD_DECIMAL ? field->scale : 0, text);
		buffer_append_text(out, text);
	}
}

/* The whole record: every field has its first value. */
static inline void members_first(const struct pipeline *pipeline, struct value *values)
{
	struct value all[MEMBERS_MAX];
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		(void)members_of(&pipeline->record.fields[i], all);
		values[i] = all[0];
	}
}

static inline void members_json(struct buffer *out, const struct pipeline *pipeline, const struct value *values)
{
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		buffer_printf(out, "%s\"%s\":", i ? "," : "{", pipeline->record.fields[i].name);
		member_json(out, &pipeline->record.fields[i], &values[i]);
	}
	buffer_append_text(out, "}");
}

#endif
