#include "common/state/group_key.h"

#include <string.h>

#include "common/base/error.h"
#include "proto/wire.h"

_Static_assert(PIPELINE_COLUMNS_MAX <= 15, "a group's key is a fixarray");

enum { FIXARRAY = 0x90 };

int64_t calendar_part(struct calendar *calendar, enum group_part part, int32_t day)
{
	if (part == PART_DAY)
		return day;
	if (!calendar->known || calendar->day != day)
		*calendar = (struct calendar){.day = day, .known = true, .civil = civil_from_day(day)};
	return part == PART_MONTH ? calendar->civil.month : calendar->civil.year;
}

void group_columns_of_row(const struct rollup *rollup, const struct value *values, struct calendar *calendar,
    struct value columns[PIPELINE_COLUMNS_MAX])
{
	for (size_t i = 0; i < rollup->by_len; i++) {
		const struct value *value = &values[rollup->by[i].field];
		if (rollup->by[i].part == PART_FIELD)
			columns[i] = *value;
		else
			columns[i] = (struct value){.kind = VALUE_INTEGER,
			    .integer = calendar_part(calendar, rollup->by[i].part, day_of(value->integer))};
	}
}

void group_key_write(struct buffer *key, const struct value *columns, size_t columns_len)
{
	buffer_clear(key);
	*buffer_reserve(key, 1) = (uint8_t)(FIXARRAY | columns_len);
	key->len = 1;
	row_encode_values(key, columns, (uint32_t)columns_len);
}

static bool column_fits(enum group_part part, int64_t number)
{
	switch (part) {
	case PART_FIELD:
		return true;
	case PART_DAY:
		return number >= INT32_MIN && number <= INT32_MAX;
	case PART_MONTH:
		return number >= 1 && number <= 12;
	case PART_YEAR:
		return number >= INT32_MIN && number <= INT32_MAX;
	}
	return false;
}

static bool is_text(const struct group_column *column, const struct field *fields)
{
	return column->part == PART_FIELD && fields[column->field].type == FIELD_STRING;
}

bool group_key_read(const struct rollup *rollup, const struct field *fields, struct bytes key,
    struct value columns[PIPELINE_COLUMNS_MAX])
{
	struct wire wire = wire_open(key);
	if (wire_array(&wire) != rollup->by_len)
		return false;
	for (size_t i = 0; i < rollup->by_len; i++) {
		if (is_text(&rollup->by[i], fields))
			columns[i] = (struct value){.kind = VALUE_TEXT, .text = wire_text(&wire)};
		else
			columns[i] = (struct value){.kind = VALUE_INTEGER, .integer = wire_signed(&wire)};
		if (wire.bad || !column_fits(rollup->by[i].part, columns[i].integer))
			return false;
	}
	if (!wire_done(&wire))
		return false;
	/* The cursor takes any form of a number; a key has one. */
	struct buffer again = {0};
	group_key_write(&again, columns, rollup->by_len);
	bool same = bytes_equal(buffer_bytes(&again), key);
	buffer_fini(&again);
	return same;
}

void group_key_print(const struct rollup *rollup, const struct field *fields, struct bytes key, struct buffer *out)
{
	struct value columns[PIPELINE_COLUMNS_MAX];
	CHECK(group_key_read(rollup, fields, key, columns));
	buffer_append_text(out, "{");
	for (size_t i = 0; i < rollup->by_len; i++) {
		char day[TIMESTAMP_TEXT_MAX];
		if (i > 0)
			buffer_append_text(out, ", ");
		if (columns[i].kind == VALUE_TEXT)
			buffer_append(out, columns[i].text.data, columns[i].text.len);
		else if (rollup->by[i].part == PART_DAY)
			buffer_append(out, day, day_print((int32_t)columns[i].integer, day));
		else
			buffer_printf(out, "%lld", (long long)columns[i].integer);
	}
	buffer_append_text(out, "}");
}
