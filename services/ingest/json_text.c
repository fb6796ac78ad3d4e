/* services/ingest/json_text.c - see json_text.h. */
#include "services/ingest/json_text.h"

static int hex_digit(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The number in \uXXXX at text, or -1 where there is no such thing. */
static int32_t unit_read(const uint8_t *text, const uint8_t *end)
{
	int32_t unit = 0;

	if (end - text < 6 || text[0] != '\\' || text[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static bool is_high(int32_t unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int32_t unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

/* The code point of the \u escape at text and, of a pair, of its second half; -1: broken, or a lone surrogate. */
static int32_t code_point_read(const uint8_t *text, const uint8_t *end, size_t *len)
{
	int32_t unit = unit_read(text, end), second;

	*len = 6;
	if (!is_high(unit))
		return is_low(unit) ? -1 : unit;
	second = unit_read(text + 6, end);
	*len = 12;
	return is_low(second) ? 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00) : -1;
}

/* What stands for the byte behind a backslash, or 0 where that is none of the short escapes. */
static uint8_t short_escape(uint8_t byte)
{
	switch (byte) {
	case '"':
	case '\\':
	case '/':
		return byte;
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return 0;
	}
}

static size_t utf8_put(uint8_t *out, int32_t point)
{
	if (point < 0x80) {
		out[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (uint8_t)(0xc0 | point >> 6);
		out[1] = (uint8_t)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (uint8_t)(0xe0 | point >> 12);
		out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | point >> 18);
	out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (point & 0x3f));
	return 4;
}

size_t json_escape_len(const uint8_t *text, const uint8_t *end)
{
	size_t len;

	if (end - text >= 2 && short_escape(text[1]) != 0)
		return 2;
	return code_point_read(text, end, &len) < 0 ? 0 : len;
}

size_t json_unescape(struct bytes string, uint8_t *out)
{
	const uint8_t *at = string.data, *end = at + string.len;
	uint8_t *to = out;

	while (at < end) {
		size_t len;

		if (*at != '\\') {
			*to++ = *at++;
		} else if (short_escape(at[1]) != 0) {
			*to++ = short_escape(at[1]);
			at += 2;
		} else {
			to += utf8_put(to, code_point_read(at, end, &len));
			at += len;
		}
	}
	return (size_t)(to - out);
}

static const uint8_t *digits_skip(const uint8_t *at, const uint8_t *end)
{
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at;
}

bool json_number_valid(struct bytes text)
{
	const uint8_t *at = text.data, *end = at + text.len, *digits;

	if (at < end && *at == '-')
		at++;
	digits = at;
	at = digits_skip(at, end);
	if (at == digits || (*digits == '0' && at - digits > 1))
		return false;
	if (at < end && *at == '.') {
		digits = ++at;
		at = digits_skip(at, end);
		if (at == digits)
			return false;
	}
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		digits = at;
		at = digits_skip(at, end);
		if (at == digits)
			return false;
	}
	return at == end;
}

/* The exponent at text, behind its e, cut to what no text is long enough to make up for. */
static int64_t exponent_read(const uint8_t *at, const uint8_t *end)
{
	static const int64_t most = INT64_C(1) << 40;
	bool negative = at < end && *at == '-';
	int64_t exponent = 0;

	for (; at < end; at++)
		if (*at >= '0' && *at <= '9' && exponent < most)
			exponent = exponent * 10 + (*at - '0');
	return negative ? -exponent : exponent;
}

bool json_number_whole(struct bytes text)
{
	const uint8_t *at = text.data, *end = at + text.len;
	int64_t digits = 0, before_point = -1, last = 0; /* last: the number of the last digit that is not zero */

	for (; at < end && (*at | 0x20) != 'e'; at++) {
		bool digit = *at >= '0' && *at <= '9';

		digits += digit;
		if (digit && *at != '0')
			last = digits;
		if (*at == '.')
			before_point = digits;
	}
	if (before_point < 0)
		before_point = digits;
	return last == 0 || last - before_point <= (at < end ? exponent_read(at + 1, end) : 0);
}
