#include "common/base/decimal.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/error.h"
#include "common/base/mutant.h"

/* Where the parts of a number stand in its text. The digits are whole followed by fraction, and the decimal point
 * belongs behind digit number whole_len + exponent. */
struct number {
	const char *whole, *fraction;
	size_t whole_len, fraction_len;
	int64_t exponent; /* cut to +-EXPONENT_MAX, which no text is long enough to make up for */
	bool negative;
};

#define EXPONENT_MAX ((int64_t)1 << 60)

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static size_t digits_len(const char *text, const char *end)
{
	const char *at = text;
	while (at < end && is_digit(*at))
		at++;
	return (size_t)(at - text);
}

/* at stands behind the e. */
static bool exponent_scan(struct number *number, const char *at, const char *end)
{
	bool negative = at < end && *at == '-';
	if (at < end && (*at == '-' || *at == '+'))
		at++;
	if (at == end || at + digits_len(at, end) != end)
		return false;
	int64_t exponent = 0;
	for (; at < end; at++)
		if (exponent < EXPONENT_MAX / 10)
			exponent = exponent * 10 + (*at - '0');
		else
			exponent = EXPONENT_MAX;
	number->exponent = negative ? -exponent : exponent;
	return true;
}

static bool number_scan(struct number *number, const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	*number = (struct number){0};
	if (at < end && *at == '-') {
		number->negative = true;
		at++;
	}
	number->whole = at;
	number->whole_len = digits_len(at, end);
	if (number->whole_len == 0 || (number->whole_len > 1 && *at == '0'))
		return false;
	at += number->whole_len;
	number->fraction = at;
	if (at < end && *at == '.') {
		number->fraction = ++at;
		number->fraction_len = digits_len(at, end);
		if (number->fraction_len == 0)
			return false;
		at += number->fraction_len;
	}
	if (at < end && (*at == 'e' || *at == 'E'))
		return exponent_scan(number, at + 1, end);
	return at == end;
}

/* Digit number place of the number; zeros go on behind the last one. */
static int number_digit(const struct number *number, size_t place)
{
	if (place < number->whole_len)
		return number->whole[place] - '0';
	place -= number->whole_len;
	return place < number->fraction_len ? number->fraction[place] - '0' : 0;
}

enum decimal_verdict decimal_parse(const char *text, size_t len, int precision, int scale, int64_t *minor)
{
	struct number number;
	if (!number_scan(&number, text, len))
		return DECIMAL_SYNTAX;

	size_t digits = number.whole_len + number.fraction_len, first = 0;
	while (first < digits && number_digit(&number, first) == 0)
		first++;
	*minor = 0;
	if (first == digits)
		return DECIMAL_OK; /* zero, whatever its exponent */

	/* The digits before `last` make up the minor units; the one at `last` decides the rounding. */
	int64_t last = (int64_t)number.whole_len + number.exponent + scale;
	if (last < (int64_t)first)
		return DECIMAL_OK; /* the digit at last is a zero, or none: rounds to zero */
	if (last - (int64_t)first > precision)
		return DECIMAL_RANGE;

	int64_t value = 0;
	for (size_t place = first; place < (size_t)last; place++)
		value = value * 10 + number_digit(&number, place);
	bool up = number_digit(&number, (size_t)last) >= 5;
	if (MUTANT(money_rounded_twice))
		up = up || (number_digit(&number, (size_t)last) == 4 && number_digit(&number, (size_t)last + 1) >= 5);
	if (up)
		value++; /* half away from zero: the digits behind do not matter */
	if (value >= (int64_t)decimal_limit(precision))
		return DECIMAL_RANGE;
	*minor = number.negative ? -value : value;
	return DECIMAL_OK;
}

size_t decimal_print(int128 minor, int scale, char out[DECIMAL_TEXT_MAX])
{
	CHECK(scale >= 0 && scale <= DECIMAL_SUM_PRECISION_MAX);
	unsigned __int128 rest = minor < 0 ? -(unsigned __int128)minor : (unsigned __int128)minor;
	char text[DECIMAL_TEXT_MAX];
	size_t at = sizeof text;
	text[--at] = '\0';
	for (int digit = 0; digit <= scale || rest != 0; digit++) {
		if (digit == scale && scale > 0)
			text[--at] = '.';
		text[--at] = (char)('0' + (int)(rest % 10));
		rest /= 10;
	}
	if (minor < 0)
		text[--at] = '-';
	memcpy(out, text + at, sizeof text - at);
	return sizeof text - at - 1;
}

int128 decimal_limit(int digits)
{
	static const int64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
	    10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000,
	    10000000000000000, 100000000000000000, 1000000000000000000};
	CHECK(digits >= 0 && digits <= DECIMAL_SUM_PRECISION_MAX);
	if (digits <= DECIMAL_PRECISION_MAX)
		return powers[digits];
	int128 high = powers[DECIMAL_PRECISION_MAX];
	if (digits <= 2 * DECIMAL_PRECISION_MAX)
		return high * powers[digits - DECIMAL_PRECISION_MAX];
	return high * high * powers[digits - 2 * DECIMAL_PRECISION_MAX];
}
