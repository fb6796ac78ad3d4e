#include "proto/wire.h"

#include <string.h>

struct wire wire_open(struct bytes bytes)
{
	return (struct wire){bytes.data, bytes.data ? bytes.data + bytes.len : NULL, false};
}

static uint64_t fail(struct wire *wire)
{
	wire->bad = true;
	wire->at = wire->end;
	return 0;
}

static size_t left(const struct wire *wire)
{
	return (size_t)(wire->end - wire->at);
}

static uint8_t take_byte(struct wire *wire)
{
	if (left(wire) < 1)
		return (uint8_t)fail(wire);
	return *wire->at++;
}

static uint64_t take_big_endian(struct wire *wire, size_t size)
{
	if (left(wire) < size)
		return fail(wire);
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | wire->at[i];
	wire->at += size;
	return value;
}

static uint32_t count(struct wire *wire, uint8_t fix, uint8_t sixteen)
{
	uint8_t byte = take_byte(wire);
	uint64_t n;
	if ((byte & 0xf0) == fix)
		n = byte & 0x0f;
	else if (byte == sixteen)
		n = take_big_endian(wire, 2);
	else if (byte == sixteen + 1)
		n = take_big_endian(wire, 4);
	else
		return (uint32_t)fail(wire);
	if (n > left(wire))
		return (uint32_t)fail(wire);
	return (uint32_t)n;
}

uint32_t wire_array(struct wire *wire)
{
	return count(wire, 0x90, 0xdc);
}

uint32_t wire_map(struct wire *wire)
{
	return count(wire, 0x80, 0xde);
}

/* Any integer: its 64 bits, and whether they are to be read with a sign. */
static uint64_t integer(struct wire *wire, bool *negative)
{
	uint8_t byte = take_byte(wire);
	uint64_t value;
	*negative = false;
	if (byte < 0x80)
		return byte;
	if (byte >= 0xe0) {
		*negative = true;
		return (uint64_t)(int64_t)(int8_t)byte;
	}
	if (byte >= 0xcc && byte <= 0xcf)
		return take_big_endian(wire, (size_t)1 << (byte - 0xcc));
	switch (byte) {
	case 0xd0:
		value = (uint64_t)(int64_t)(int8_t)take_big_endian(wire, 1);
		break;
	case 0xd1:
		value = (uint64_t)(int64_t)(int16_t)take_big_endian(wire, 2);
		break;
	case 0xd2:
		value = (uint64_t)(int64_t)(int32_t)take_big_endian(wire, 4);
		break;
	case 0xd3:
		value = take_big_endian(wire, 8);
		break;
	default:
		return fail(wire);
	}
	*negative = (int64_t)value < 0;
	return value;
}

uint64_t wire_unsigned(struct wire *wire)
{
	bool negative;
	uint64_t value = integer(wire, &negative);
	return negative ? fail(wire) : value;
}

int64_t wire_signed(struct wire *wire)
{
	bool negative;
	uint64_t value = integer(wire, &negative);
	if (!negative && value > INT64_MAX)
		return (int64_t)fail(wire);
	return (int64_t)value;
}

uint32_t wire_unsigned32(struct wire *wire)
{
	uint64_t value = wire_unsigned(wire);
	return value > UINT32_MAX ? (uint32_t)fail(wire) : (uint32_t)value;
}

bool wire_flag(struct wire *wire)
{
	uint8_t byte = take_byte(wire);
	if (byte != 0xc2 && byte != 0xc3)
		return fail(wire) != 0;
	return byte == 0xc3;
}

static struct bytes take_bytes(struct wire *wire, uint64_t len)
{
	if (wire->bad || len > left(wire)) {
		fail(wire);
		return (struct bytes){0};
	}
	struct bytes bytes = {wire->at, (size_t)len};
	wire->at += len;
	return bytes;
}

struct bytes wire_text(struct wire *wire)
{
	uint8_t byte = take_byte(wire);
	if ((byte & 0xe0) == 0xa0)
		return take_bytes(wire, byte & 0x1f);
	if (byte >= 0xd9 && byte <= 0xdb)
		return take_bytes(wire, take_big_endian(wire, (size_t)1 << (byte - 0xd9)));
	fail(wire);
	return (struct bytes){0};
}

struct bytes wire_blob(struct wire *wire)
{
	uint8_t byte = take_byte(wire);
	if (byte >= 0xc4 && byte <= 0xc6)
		return take_bytes(wire, take_big_endian(wire, (size_t)1 << (byte - 0xc4)));
	fail(wire);
	return (struct bytes){0};
}

bool wire_nil(struct wire *wire)
{
	if (left(wire) < 1 || *wire->at != 0xc0)
		return false;
	wire->at++;
	return true;
}

bool wire_is_text(const struct wire *wire)
{
	if (left(wire) < 1)
		return false;
	uint8_t byte = *wire->at;
	return (byte & 0xe0) == 0xa0 || (byte >= 0xd9 && byte <= 0xdb);
}

bool wire_done(const struct wire *wire)
{
	return !wire->bad && wire->at == wire->end;
}
