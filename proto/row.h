/* proto/row.h - rows as they travel in ROWS frames.
 *
 * A ROWS body is one msgpack array of rows. A row is an array of ROW_FIXED + fields: partition, offset, timestamp_ms
 * (Kafka's), content hash (XXH3 of the encoded fields), then every declared field in the order of the pipeline file:
 * nil, an int (integer; decimal in minor units; timestamp as wall clock microseconds) or a str.
 * This is the hot path: written and read by hand, checked against msgpack-c in the tests.
 *
 * Errors: reading is total: anything that is not exactly this is RESULT_CORRUPT.
 */
#ifndef PROTO_ROW_H
#define PROTO_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { ROW_FIXED = 4, ROW_VALUES_MAX = 64 };

enum value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_TEXT };
struct value {
	enum value_kind kind;
	int64_t integer;
	struct bytes text;
};

struct row {
	uint32_t partition;
	int64_t offset;
	int64_t timestamp_ms;
	uint64_t content_hash;
	uint32_t values_len;
	struct value values[ROW_VALUES_MAX];
	struct bytes encoded; /* the row as it stands in the frame */
};

/* Writing: rows_begin, then rows_put for each, then rows_end patches the count. */
struct rows_writer {
	struct buffer body;
	uint32_t count;
};
void rows_begin(struct rows_writer *writer);
/* Encodes the values; returns their bytes (valid until the buffer is next used), so that they can be hashed. */
void row_encode_values(struct buffer *out, const struct value *values, uint32_t values_len);
/* values: what row_encode_values made. */
void rows_put(struct rows_writer *writer, uint32_t partition, int64_t offset, int64_t timestamp_ms,
    uint64_t content_hash, uint32_t values_len, struct bytes values);
void rows_put_encoded(struct rows_writer *writer, struct bytes row);
void rows_end(struct rows_writer *writer);

struct rows_reader {
	const uint8_t *at, *end;
	uint32_t left; /* rows */
	uint32_t values_len; /* that each row must have */
};
enum result rows_open(struct rows_reader *reader, struct bytes body, uint32_t values_len, struct error *error) MUST_USE;
/* RESULT_OK with *more false at the end; texts point into the body. */
enum result rows_next(struct rows_reader *reader, struct row *row, bool *more, struct error *error) MUST_USE;

#endif
