/* proto/row.c - rows as msgpack, by hand: this runs for every record in every process.
 *
 * Writing always takes the smallest form of a number, a text length or a field count, and reading refuses every other
 * form: equal values are equal bytes, which is what makes a content hash over the encoded values mean anything.
 * Only the count of rows is written at a fixed width, because it is known last.
 */
#include "proto/row.h"

#include <string.h>

/* msgpack's tags */
enum {
	TAG_FIXARRAY = 0x90,
	TAG_FIXSTR = 0xa0,
	TAG_NIL = 0xc0,
	TAG_UINT8 = 0xcc,
	TAG_UINT64 = 0xcf,
	TAG_INT8 = 0xd0,
	TAG_INT64 = 0xd3,
	TAG_STR8 = 0xd9,
	TAG_STR16 = 0xda,
	TAG_STR32 = 0xdb,
	TAG_ARRAY16 = 0xdc,
	TAG_ARRAY32 = 0xdd,
	TAG_NEGATIVE_FIXINT = 0xe0,
};

enum {
	FIXARRAY_MAX = 15,
	FIXSTR_MAX = 31,
	HEAD_MAX = 9, /* a tag and the widest number behind it */
	ROW_HEAD_MAX = (ROW_FIXED + 1) * HEAD_MAX,
	ROWS_HEAD_BYTES = 5 /* TAG_ARRAY32 and the count of rows */
};

/* ---- writing ---- */

static uint8_t *put_wide(uint8_t *at, int tag, unsigned width, uint64_t bits)
{
	*at++ = (uint8_t)tag;
	for (unsigned i = 0; i < width; i++)
		at[i] = (uint8_t)(bits >> (8 * (width - 1 - i)));
	return at + width;
}

static uint8_t *put_unsigned(uint8_t *at, uint64_t number)
{
	if (number <= INT8_MAX) {
		*at = (uint8_t)number;
		return at + 1;
	}
	if (number <= UINT8_MAX)
		return put_wide(at, TAG_UINT8, 1, number);
	if (number <= UINT16_MAX)
		return put_wide(at, TAG_UINT8 + 1, 2, number);
	if (number <= UINT32_MAX)
		return put_wide(at, TAG_UINT8 + 2, 4, number);
	return put_wide(at, TAG_UINT64, 8, number);
}

static uint8_t *put_integer(uint8_t *at, int64_t number)
{
	uint64_t bits = (uint64_t)number;

	if (number >= 0)
		return put_unsigned(at, bits);
	if (number >= -32) {
		*at = (uint8_t)bits;
		return at + 1;
	}
	if (number >= INT8_MIN)
		return put_wide(at, TAG_INT8, 1, bits);
	if (number >= INT16_MIN)
		return put_wide(at, TAG_INT8 + 1, 2, bits);
	if (number >= INT32_MIN)
		return put_wide(at, TAG_INT8 + 2, 4, bits);
	return put_wide(at, TAG_INT64, 8, bits);
}

static uint8_t *put_text(uint8_t *at, struct bytes text)
{
	CHECK(text.len <= UINT32_MAX);
	if (text.len <= FIXSTR_MAX)
		*at++ = (uint8_t)(TAG_FIXSTR | text.len);
	else if (text.len <= UINT8_MAX)
		at = put_wide(at, TAG_STR8, 1, text.len);
	else if (text.len <= UINT16_MAX)
		at = put_wide(at, TAG_STR16, 2, text.len);
	else
		at = put_wide(at, TAG_STR32, 4, text.len);
	if (text.len > 0)
		memcpy(at, text.data, text.len);
	return at + text.len;
}

static uint8_t *put_array(uint8_t *at, uint32_t len)
{
	if (len > FIXARRAY_MAX)
		return put_wide(at, TAG_ARRAY16, 2, len);
	*at = (uint8_t)(TAG_FIXARRAY | len);
	return at + 1;
}

void row_encode_values(struct buffer *out, const struct value *values, uint32_t values_len)
{
	size_t most = 0;
	uint8_t *at;

	CHECK(values_len <= ROW_VALUES_MAX);
	for (uint32_t i = 0; i < values_len; i++)
		most += HEAD_MAX + (values[i].kind == VALUE_TEXT ? values[i].text.len : 0);
	at = buffer_reserve(out, most);
	for (uint32_t i = 0; i < values_len; i++) {
		switch (values[i].kind) {
		case VALUE_NULL:
			*at++ = TAG_NIL;
			break;
		case VALUE_INTEGER:
			at = put_integer(at, values[i].integer);
			break;
		case VALUE_TEXT:
			at = put_text(at, values[i].text);
			break;
		}
	}
	out->len = (size_t)(at - out->data);
}

void rows_begin(struct rows_writer *writer)
{
	uint8_t *at;

	buffer_clear(&writer->body);
	writer->count = 0;
	at = buffer_reserve(&writer->body, ROWS_HEAD_BYTES);
	put_wide(at, TAG_ARRAY32, 4, 0);
	writer->body.len = ROWS_HEAD_BYTES;
}

void rows_put(struct rows_writer *writer, uint32_t partition, int64_t offset, int64_t timestamp_ms,
    uint64_t content_hash, uint32_t values_len, struct bytes values)
{
	uint8_t *at = buffer_reserve(&writer->body, ROW_HEAD_MAX + values.len);

	CHECK(values_len <= ROW_VALUES_MAX);
	at = put_array(at, ROW_FIXED + values_len);
	at = put_unsigned(at, partition);
	at = put_integer(at, offset);
	at = put_integer(at, timestamp_ms);
	at = put_unsigned(at, content_hash);
	if (values.len > 0)
		memcpy(at, values.data, values.len);
	at += values.len;
	writer->body.len = (size_t)(at - writer->body.data);
	writer->count++;
}

void rows_put_encoded(struct rows_writer *writer, struct bytes row)
{
	buffer_append(&writer->body, row.data, row.len);
	writer->count++;
}

void rows_end(struct rows_writer *writer)
{
	put_wide(writer->body.data, TAG_ARRAY32, 4, writer->count);
}

/* ---- reading: nothing is touched before it is known to lie inside the body ---- */

struct cursor {
	const uint8_t *at, *end;
};

static size_t cursor_left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* An unsigned big endian number of width bytes. */
static bool read_wide(struct cursor *cursor, unsigned width, uint64_t *bits)
{
	uint64_t sum = 0;

	if (cursor_left(cursor) < width)
		return false;
	for (unsigned i = 0; i < width; i++)
		sum = sum << 8 | cursor->at[i];
	cursor->at += width;
	*bits = sum;
	return true;
}

/* The number behind a uint tag; false also where a smaller form would have done. */
static bool read_unsigned_wide(struct cursor *cursor, unsigned tag, uint64_t *number)
{
	static const uint64_t smaller_max[] = {INT8_MAX, UINT8_MAX, UINT16_MAX, UINT32_MAX};
	unsigned power = tag - TAG_UINT8;

	return read_wide(cursor, 1U << power, number) && *number > smaller_max[power];
}

/* The number behind an int tag, which is below zero, as zero and above have uint forms. */
static bool read_negative_wide(struct cursor *cursor, unsigned tag, int64_t *number)
{
	static const int64_t smaller_min[] = {-32, INT8_MIN, INT16_MIN, INT32_MIN};
	unsigned power = tag - TAG_INT8;
	unsigned width = 1U << power;
	uint64_t bits;

	if (!read_wide(cursor, width, &bits))
		return false;
	if (width < 8 && (bits >> (8 * width - 1)) != 0)
		bits |= UINT64_MAX << (8 * width);
	*number = (int64_t)bits;
	return *number < smaller_min[power];
}

static bool read_unsigned(struct cursor *cursor, uint64_t *number)
{
	unsigned tag;

	if (cursor->at == cursor->end)
		return false;
	tag = *cursor->at++;
	if (tag <= INT8_MAX) {
		*number = tag;
		return true;
	}
	return tag >= TAG_UINT8 && tag <= TAG_UINT64 && read_unsigned_wide(cursor, tag, number);
}

/* The rest of an integer whose tag was read. */
static bool read_integer_tagged(struct cursor *cursor, unsigned tag, int64_t *number)
{
	uint64_t bits;

	if (tag <= INT8_MAX) {
		*number = (int64_t)tag;
		return true;
	}
	if (tag >= TAG_NEGATIVE_FIXINT) {
		*number = (int64_t)tag - 256;
		return true;
	}
	if (tag >= TAG_UINT8 && tag <= TAG_UINT64) {
		if (!read_unsigned_wide(cursor, tag, &bits) || bits > INT64_MAX)
			return false;
		*number = (int64_t)bits;
		return true;
	}
	return tag >= TAG_INT8 && tag <= TAG_INT64 && read_negative_wide(cursor, tag, number);
}

static bool read_integer(struct cursor *cursor, int64_t *number)
{
	return cursor->at < cursor->end && read_integer_tagged(cursor, *cursor->at++, number);
}

/* The rest of a text whose tag was read. */
static bool read_text_tagged(struct cursor *cursor, unsigned tag, struct bytes *text)
{
	static const uint64_t smaller_max[] = {FIXSTR_MAX, UINT8_MAX, UINT16_MAX};
	uint64_t len = tag & FIXSTR_MAX;

	if (tag >= TAG_STR8) {
		unsigned power = tag - TAG_STR8;

		if (!read_wide(cursor, 1U << power, &len) || len <= smaller_max[power])
			return false;
	}
	if (len > cursor_left(cursor))
		return false;
	*text = (struct bytes){cursor->at, (size_t)len};
	cursor->at += len;
	return true;
}

static bool read_value(struct cursor *cursor, struct value *value)
{
	unsigned tag;

	if (cursor->at == cursor->end)
		return false;
	tag = *cursor->at++;
	value->integer = 0;
	value->text = (struct bytes){NULL, 0};
	if ((tag >= TAG_FIXSTR && tag <= (TAG_FIXSTR | FIXSTR_MAX)) || (tag >= TAG_STR8 && tag <= TAG_STR32)) {
		value->kind = VALUE_TEXT;
		return read_text_tagged(cursor, tag, &value->text);
	}
	if (tag == TAG_NIL) {
		value->kind = VALUE_NULL;
		return true;
	}
	value->kind = VALUE_INTEGER;
	return read_integer_tagged(cursor, tag, &value->integer);
}

static bool read_array(struct cursor *cursor, uint64_t *len)
{
	unsigned tag;

	if (cursor->at == cursor->end)
		return false;
	tag = *cursor->at++;
	if (tag >= TAG_FIXARRAY && tag <= (TAG_FIXARRAY | FIXARRAY_MAX)) {
		*len = tag & FIXARRAY_MAX;
		return true;
	}
	if (tag == TAG_ARRAY16)
		return read_wide(cursor, 2, len);
	return tag == TAG_ARRAY32 && read_wide(cursor, 4, len);
}

static bool read_row(struct cursor *cursor, uint32_t values_len, struct row *row)
{
	const uint8_t *begin = cursor->at;
	bool wide = values_len + ROW_FIXED > FIXARRAY_MAX;
	uint64_t len, partition;

	if (!read_array(cursor, &len) || len != ROW_FIXED + values_len || cursor->at - begin != (wide ? 3 : 1))
		return false;
	if (!read_unsigned(cursor, &partition) || partition > UINT32_MAX)
		return false;
	if (!read_integer(cursor, &row->offset) || row->offset < 0)
		return false;
	if (!read_integer(cursor, &row->timestamp_ms) || !read_unsigned(cursor, &row->content_hash))
		return false;
	for (uint32_t i = 0; i < values_len; i++)
		if (!read_value(cursor, &row->values[i]))
			return false;
	row->partition = (uint32_t)partition;
	row->values_len = values_len;
	row->encoded = (struct bytes){begin, (size_t)(cursor->at - begin)};
	return true;
}

enum result rows_open(struct rows_reader *reader, struct bytes body, uint32_t values_len, struct error *error)
{
	size_t row_min = 1 + ROW_FIXED + (size_t)values_len; /* a byte for each part */
	struct cursor cursor;
	uint64_t count;

	CHECK(values_len <= ROW_VALUES_MAX);
	if (body.len == 0)
		return error_set(error, RESULT_CORRUPT, "rows: an empty body");
	cursor = (struct cursor){body.data, body.data + body.len};
	if (!read_array(&cursor, &count))
		return error_set(error, RESULT_CORRUPT, "rows: not an array");
	if (count > cursor_left(&cursor) / row_min)
		return error_set(
		    error, RESULT_CORRUPT, "rows: %llu announced in %zu bytes", (unsigned long long)count, body.len);
	*reader = (struct rows_reader){cursor.at, cursor.end, (uint32_t)count, values_len};
	return RESULT_OK;
}

enum result rows_next(struct rows_reader *reader, struct row *row, bool *more, struct error *error)
{
	struct cursor cursor = {reader->at, reader->end};

	*more = false;
	if (reader->left == 0) {
		if (reader->at != reader->end)
			return error_set(
			    error, RESULT_CORRUPT, "rows: %zu bytes behind the last row", cursor_left(&cursor));
		return RESULT_OK;
	}
	if (!read_row(&cursor, reader->values_len, row))
		return error_set(error, RESULT_CORRUPT, "rows: a broken row, %u rows and %zu bytes before the end",
		    reader->left, cursor_left(&cursor));
	reader->at = cursor.at;
	reader->left--;
	*more = true;
	return RESULT_OK;
}
