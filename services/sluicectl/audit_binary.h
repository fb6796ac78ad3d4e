/* services/sluicectl/audit_binary.h - what PostgreSQL sends for COPY ... TO STDOUT (FORMAT binary), taken apart.
 *
 * Errors: BINARY_BROKEN: this is no such stream.
 * Source: PostgreSQL's manual, page COPY, section Binary Format; the types' own formats as in their send functions.
 */
#ifndef AUDIT_BINARY_H
#define AUDIT_BINARY_H

#include "services/sluicectl/audit_value.h"

/* Bytes as they come, until they are rows. */
struct binary_reader {
	struct buffer bytes;
	size_t at;
	bool begun;
};

enum binary_step { BINARY_ROW, BINARY_MORE, BINARY_END, BINARY_BROKEN };

void binary_feed(struct binary_reader *reader, struct bytes bytes);
/* The next row, of exactly columns_len columns; data NULL: a null. Borrowed until the next binary_feed. */
enum binary_step binary_next(struct binary_reader *reader, struct bytes *columns, size_t columns_len);
void binary_fini(struct binary_reader *reader);

/* bigint and boolean; 0 for what is too short. */
int64_t binary_integer(struct bytes column);
bool binary_flag(struct bytes column);
/* date: days since 1970. */
int64_t binary_day(struct bytes column);
/* timestamp: microseconds since 1970; false: infinity. */
bool binary_time(struct bytes column, int64_t *us);
/* numeric: in units of ten to the power of -scale; false: NULL, NaN, infinity, finer than that, or 10^38 units or more. */
bool binary_numeric(struct bytes column, int scale, audit_sum *units);

#endif
