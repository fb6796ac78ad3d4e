/* services/sink/postgres_rows.c - see postgres_rows.h. */
#include "services/sink/postgres_rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "services/sink/postgres_binary.h"

enum { BASE = 10000, GROUPS_MAX = 6 };

uint8_t *binary_numeric(uint8_t *at, int64_t minor, int scale)
{
	static const uint16_t pads[4] = {1, 1000, 100, 10};
	uint64_t magnitude = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
	uint16_t pad = pads[scale % 4], digits[GROUPS_MAX];
	int len = 0, first = 0, fraction = (scale + 3) / 4;

	/* Padded so that the point lies between two digits of base 10000; lowest first. */
	if (magnitude <= UINT64_MAX / 1000 || MUTANT(numeric_narrow)) {
		for (uint64_t left = magnitude * pad; left; left /= BASE)
			digits[len++] = (uint16_t)(left % BASE);
	} else {
		for (unsigned __int128 left = (unsigned __int128)magnitude * pad; left; left /= BASE)
			digits[len++] = (uint16_t)(left % BASE);
	}
	while (first < len && digits[first] == 0)
		first++;
	at = binary_put32(at, (uint32_t)(8 + 2 * (len - first)));
	at = binary_put16(at, (uint16_t)(len - first));
	at = binary_put16(at, len ? (uint16_t)(len - 1 - fraction) : 0);
	at = binary_put16(at, minor < 0 ? 0x4000 : 0);
	at = binary_put16(at, (uint16_t)scale);
	while (len > first)
		at = binary_put16(at, digits[--len]);
	return at;
}

static enum result value_misfit(
    const struct row *row, const struct pipeline *pipeline, uint32_t column, struct error *error)
{
	return error_stop(error, STOP_OUR_FAULT, "record %s/%u/%lld: the value of \"%s\" does not fit its column",
	    pipeline->source.topic, row->partition, (long long)row->offset, pipeline->record.fields[column].name);
}

/* Appends one field; NULL when the value is not of the column's type. */
static uint8_t *field_put(uint8_t *at, const struct value *value, const struct field *field)
{
	if (value->kind == VALUE_NULL)
		return binary_null(at);
	if ((value->kind == VALUE_TEXT) != (field->type == FIELD_STRING))
		return NULL;
	switch (field->type) {
	case FIELD_STRING:
		return binary_text(at, value->text.data, value->text.len);
	case FIELD_INTEGER:
		if (value->integer < INT32_MIN || value->integer > INT32_MAX)
			return NULL;
		return binary_integer(at, (int32_t)value->integer);
	case FIELD_DECIMAL:
		return binary_numeric(at, value->integer, field->scale);
	case FIELD_TIMESTAMP:
		if (value->integer < INT64_MIN + BINARY_EPOCH_US)
			return NULL;
		return binary_timestamp(at, value->integer);
	}
	return NULL;
}

static struct row_place *place_add(struct epoch_rows *rows)
{
	if (rows->len == rows->capacity) {
		rows->capacity = rows->capacity ? 2 * rows->capacity : 4096;
		CHECK(rows->capacity <= UINT32_MAX);
		rows->places = memory_resize(rows->places, rows->capacity, sizeof rows->places[0]);
		rows->order = memory_resize(rows->order, rows->capacity, sizeof rows->order[0]);
		rows->spare = memory_resize(rows->spare, rows->capacity, sizeof rows->spare[0]);
	}
	return &rows->places[rows->len++];
}

static enum result row_add(
    struct epoch_rows *rows, const struct pipeline *pipeline, const struct row *row, struct error *error)
{
	struct row_place *place = place_add(rows);
	/* A text takes as many bytes here as in its frame, and 4 for its length. */
	uint8_t *start =
	    buffer_reserve(&rows->encoded, 2 + (size_t)row->values_len * BINARY_FIELD_MAX + row->encoded.len);
	uint8_t *at = binary_put16(start, (uint16_t)row->values_len);

	*place = (struct row_place){
	    .at = rows->encoded.len, .source = row->encoded.data, .source_len = (uint32_t)row->encoded.len};
	for (uint32_t i = 0; i < row->values_len; i++) {
		if (i == pipeline->record.key) {
			place->key_at = (uint32_t)(at + 4 - start);
			place->key_len = row->values[i].kind == VALUE_TEXT ? (uint32_t)row->values[i].text.len : 0;
		}
		if (row->values[i].kind == VALUE_INTEGER)
			rows->sums[i] += row->values[i].integer;
		at = field_put(at, &row->values[i], &pipeline->record.fields[i]);
		if (!at)
			return value_misfit(row, pipeline, i, error);
	}
	place->len = (uint32_t)(at - start);
	rows->encoded.len += place->len;
	return RESULT_OK;
}

static enum result body_add(
    struct epoch_rows *rows, const struct pipeline *pipeline, struct bytes body, struct error *error)
{
	struct rows_reader reader;
	bool more = false;
	enum result result = rows_open(&reader, body, (uint32_t)pipeline->record.fields_len, error);

	while (result == RESULT_OK) {
		result = rows_next(&reader, &rows->row, &more, error);
		if (result != RESULT_OK || !more)
			return result;
		result = row_add(rows, pipeline, &rows->row, error);
	}
	return result;
}

enum result epoch_rows_build(struct epoch_rows *rows, const struct pipeline *pipeline, const struct bytes *bodies,
    size_t bodies_len, struct error *error)
{
	buffer_clear(&rows->encoded);
	rows->len = 0;
	memset(rows->sums, 0, sizeof rows->sums);
	for (size_t i = 0; i < bodies_len; i++) {
		enum result result = body_add(rows, pipeline, bodies[i], error);
		if (result != RESULT_OK)
			return result;
	}
	epoch_rows_sort(rows);
	return RESULT_OK;
}

struct bytes epoch_rows_tuple(const struct epoch_rows *rows, size_t sorted)
{
	const struct row_place *place = &rows->places[rows->order[sorted].place];
	return (struct bytes){rows->encoded.data + place->at, place->len};
}

bool epoch_rows_source(struct epoch_rows *rows, const struct pipeline *pipeline, size_t sorted, struct row *row)
{
	struct error ignored;
	bool more = false;

	if (sorted >= rows->len)
		return false;
	const struct row_place *place = &rows->places[rows->order[sorted].place];
	struct rows_reader reader = {
	    place->source, place->source + place->source_len, 1, (uint32_t)pipeline->record.fields_len};
	return rows_next(&reader, row, &more, &ignored) == RESULT_OK && more;
}

void epoch_rows_fini(struct epoch_rows *rows)
{
	buffer_fini(&rows->encoded);
	free(rows->places);
	free(rows->order);
	free(rows->spare);
	*rows = (struct epoch_rows){0};
}
