/* services/sluicectl/audit_binary.c - see audit_binary.h. */
#include "services/sluicectl/audit_binary.h"

#include <endian.h>
#include <string.h>

enum { SIGNATURE_LEN = 11, HEADER_LEN = SIGNATURE_LEN + 8, DAYS_TO_2000 = 10957, COLUMN_BYTES_MAX = 1 << 30 };
enum { NUMERIC_BASE = 10000, NUMERIC_HEAD = 8, NUMERIC_POSITIVE = 0, NUMERIC_NEGATIVE = 0x4000, POWER_MOST = 34 };

static uint16_t read_16(const uint8_t *at)
{
	uint16_t number;
	memcpy(&number, at, sizeof number);
	return be16toh(number);
}

static int32_t read_32(const uint8_t *at)
{
	uint32_t number;
	memcpy(&number, at, sizeof number);
	return (int32_t)be32toh(number);
}

static int64_t read_64(const uint8_t *at)
{
	uint64_t number;
	memcpy(&number, at, sizeof number);
	return (int64_t)be64toh(number);
}

void binary_feed(struct binary_reader *reader, struct bytes bytes)
{
	size_t left = reader->bytes.len - reader->at;
	if (left > 0)
		memmove(reader->bytes.data, reader->bytes.data + reader->at, left);
	reader->bytes.len = left;
	reader->at = 0;
	buffer_append(&reader->bytes, bytes.data, bytes.len);
}

void binary_fini(struct binary_reader *reader)
{
	buffer_fini(&reader->bytes);
}

static enum binary_step read_header(struct binary_reader *reader)
{
	static const uint8_t signature[SIGNATURE_LEN] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', '\0'};
	if (reader->bytes.len - reader->at < HEADER_LEN)
		return BINARY_MORE;
	const uint8_t *at = reader->bytes.data + reader->at;
	int32_t extension = read_32(at + SIGNATURE_LEN + 4);
	if (memcmp(at, signature, SIGNATURE_LEN) != 0 || extension != 0)
		return BINARY_BROKEN;
	reader->at += HEADER_LEN;
	reader->begun = true;
	return BINARY_ROW;
}

enum binary_step binary_next(struct binary_reader *reader, struct bytes *columns, size_t columns_len)
{
	if (!reader->begun) {
		enum binary_step step = read_header(reader);
		if (step != BINARY_ROW)
			return step;
	}
	const uint8_t *at = reader->bytes.data + reader->at, *end = reader->bytes.data + reader->bytes.len;
	if (end - at < 2)
		return BINARY_MORE;
	if (read_16(at) == UINT16_MAX)
		return BINARY_END;
	if (read_16(at) != columns_len)
		return BINARY_BROKEN;
	at += 2;
	for (size_t i = 0; i < columns_len; i++) {
		if (end - at < 4)
			return BINARY_MORE;
		int32_t len = read_32(at);
		at += 4;
		columns[i] = (struct bytes){NULL, 0};
		if (len == -1)
			continue;
		if (len < 0 || len > COLUMN_BYTES_MAX)
			return BINARY_BROKEN;
		if (end - at < len)
			return BINARY_MORE;
		columns[i] = (struct bytes){at, (size_t)len};
		at += len;
	}
	reader->at = (size_t)(at - reader->bytes.data);
	return BINARY_ROW;
}

int64_t binary_integer(struct bytes column)
{
	return column.len == 8 ? read_64(column.data) : 0;
}

bool binary_flag(struct bytes column)
{
	return column.len == 1 && column.data[0] != 0;
}

int64_t binary_day(struct bytes column)
{
	return column.len == 4 ? (int64_t)read_32(column.data) + DAYS_TO_2000 : 0;
}

bool binary_time(struct bytes column, int64_t *us)
{
	int64_t since_2000 = column.len == 8 ? read_64(column.data) : INT64_MAX;
	*us = 0;
	if (since_2000 == INT64_MAX || since_2000 == INT64_MIN)
		return false;
	return !__builtin_add_overflow(since_2000, INT64_C(86400000000) * DAYS_TO_2000, us);
}

static audit_sum ten_to(int power)
{
	audit_sum result = 1;
	while (power-- > 0)
		result *= 10;
	return result;
}

/* A digit of base 10000 that is worth `digit` times ten to the power of `power` units. */
static bool add_digit(audit_sum *units, int digit, int power)
{
	audit_sum worth;
	if (digit == 0)
		return true;
	if (digit >= NUMERIC_BASE || power < -3 || power > POWER_MOST)
		return false;
	if (power < 0) {
		int part = (int)ten_to(-power);
		if (digit % part != 0)
			return false;
		worth = digit / part;
	} else {
		worth = digit * ten_to(power);
	}
	*units += worth;
	return true;
}

bool binary_numeric(struct bytes column, int scale, audit_sum *units)
{
	*units = 0;
	if (column.data == NULL || column.len < NUMERIC_HEAD)
		return false;
	int digits = read_16(column.data), weight = (int16_t)read_16(column.data + 2), sign = read_16(column.data + 4);
	if ((sign != NUMERIC_POSITIVE && sign != NUMERIC_NEGATIVE) || column.len != NUMERIC_HEAD + (size_t)digits * 2)
		return false;
	for (int i = 0; i < digits; i++)
		if (!add_digit(units, read_16(column.data + NUMERIC_HEAD + (size_t)i * 2), (weight - i) * 4 + scale))
			return false;
	if (sign == NUMERIC_NEGATIVE)
		*units = -*units;
	return true;
}
