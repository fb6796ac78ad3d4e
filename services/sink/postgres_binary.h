/* services/sink/postgres_binary.h - values in PostgreSQL's binary format, as COPY ... (FORMAT binary) takes them.
 *
 * All numbers are big endian. A field is its length as int32 and that many bytes; -1: null.
 * Source: PostgreSQL's documentation of COPY; the form of numeric as its receive function reads it: digits of base 10000,
 *         the weight of the first one, a sign, and the scale to show.
 */
#ifndef POSTGRES_BINARY_H
#define POSTGRES_BINARY_H

#include <stdint.h>
#include <string.h>

enum {
	BINARY_FIELD_MAX = 4 + 8 + 2 * 6, /* a numeric of 64 bits with its length; the longest that is not a text */
};
#define BINARY_EPOCH_US INT64_C(946684800000000) /* 2000-01-01, from 1970 */

static inline uint8_t *binary_put16(uint8_t *at, uint16_t value)
{
	value = __builtin_bswap16(value);
	memcpy(at, &value, sizeof value);
	return at + sizeof value;
}

static inline uint8_t *binary_put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof value);
	return at + sizeof value;
}

static inline uint8_t *binary_put64(uint8_t *at, uint64_t value)
{
	value = __builtin_bswap64(value);
	memcpy(at, &value, sizeof value);
	return at + sizeof value;
}

static inline uint8_t *binary_null(uint8_t *at)
{
	return binary_put32(at, UINT32_MAX);
}

static inline uint8_t *binary_integer(uint8_t *at, int32_t value)
{
	return binary_put32(binary_put32(at, 4), (uint32_t)value);
}

static inline uint8_t *binary_timestamp(uint8_t *at, int64_t wall_us)
{
	return binary_put64(binary_put32(at, 8), (uint64_t)(wall_us - BINARY_EPOCH_US));
}

static inline uint8_t *binary_text(uint8_t *at, const uint8_t *data, size_t len)
{
	at = binary_put32(at, (uint32_t)len);
	if (len)
		memcpy(at, data, len);
	return at + len;
}

/* minor units of this scale, 0..18; at most BINARY_FIELD_MAX bytes. */
uint8_t *binary_numeric(uint8_t *at, int64_t minor, int scale);

#endif
