/* services/sluicectl/audit_number.c - see audit_number.h. */
#include "services/sluicectl/audit_number.h"

#include "common/base/error.h"

/* Beyond it no text is long enough to come back. */
enum { EXPONENT_MOST = 1000000000, DIGITS_MOST = 18 };

static size_t count_digits(struct bytes text, size_t from)
{
	size_t at = from;
	while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9')
		at++;
	return at - from;
}

bool number_is_json(struct bytes text)
{
	size_t at = text.len > 0 && text.data[0] == '-' ? 1 : 0;
	size_t whole = count_digits(text, at);
	if (whole == 0 || (whole > 1 && text.data[at] == '0'))
		return false;
	at += whole;
	if (at < text.len && text.data[at] == '.') {
		size_t digits = count_digits(text, at + 1);
		if (digits == 0)
			return false;
		at += 1 + digits;
	}
	if (at < text.len && (text.data[at] == 'e' || text.data[at] == 'E')) {
		at++;
		if (at < text.len && (text.data[at] == '+' || text.data[at] == '-'))
			at++;
		size_t digits = count_digits(text, at);
		if (digits == 0)
			return false;
		at += digits;
	}
	return at == text.len;
}

/* What stands behind the e, and where it stands. */
static int64_t read_exponent(struct bytes text, size_t *mantissa_len)
{
	size_t at = 0;
	while (at < text.len && text.data[at] != 'e' && text.data[at] != 'E')
		at++;
	*mantissa_len = at;
	if (at == text.len)
		return 0;
	bool negative = text.data[++at] == '-';
	if (text.data[at] == '-' || text.data[at] == '+')
		at++;
	int64_t exponent = 0;
	for (; at < text.len; at++)
		if (exponent < EXPONENT_MOST)
			exponent = exponent * 10 + (text.data[at] - '0');
	return negative ? -exponent : exponent;
}

struct number_sum {
	__int128 units; /* without its sign */
	bool negative, fits; /* fits: no digit stood higher than DIGITS_MOST places */
	bool half; /* the first digit behind the units is 5 or more */
	bool rest; /* some digit behind the units is not zero */
};

/* Adds up the digits of a number in units of ten to the power of -scale. */
static struct number_sum sum_digits(struct bytes text, int scale)
{
	struct number_sum sum = {.negative = text.data[0] == '-', .fits = true};
	size_t mantissa_len, whole = 0;
	int64_t exponent = read_exponent(text, &mantissa_len);
	size_t first = sum.negative ? 1 : 0;
	while (first + whole < mantissa_len && text.data[first + whole] != '.')
		whole++;
	/* The place of the next digit: 0 is the last one of the units, -1 the first behind it. */
	int64_t place = (int64_t)whole - 1 + exponent + scale;
	for (size_t at = first; at < mantissa_len; at++) {
		if (text.data[at] == '.')
			continue;
		int digit = text.data[at] - '0';
		if (digit != 0 && place > DIGITS_MOST) {
			sum.fits = false;
		} else if (digit != 0 && place >= 0) {
			__int128 worth = digit;
			for (int64_t i = 0; i < place; i++)
				worth *= 10;
			sum.units += worth;
		} else if (digit != 0) {
			sum.rest = true;
			sum.half = sum.half || (place == -1 && digit >= 5);
		}
		place--;
	}
	return sum;
}

const char *number_read_decimal(struct bytes text, int precision, int scale, int64_t *minor)
{
	struct number_sum sum = sum_digits(text, scale);
	__int128 limit = 1;
	for (int i = 0; i < precision; i++)
		limit *= 10;
	if (sum.half)
		sum.units++;
	if (!sum.fits || sum.units >= limit)
		return "out_of_range";
	*minor = (int64_t)(sum.negative ? -sum.units : sum.units);
	return NULL;
}

bool number_read_exact(struct bytes text, int precision, int scale, int64_t *minor)
{
	return !sum_digits(text, scale).rest && number_read_decimal(text, precision, scale, minor) == NULL;
}

const char *number_read_integer(struct bytes text, int64_t *value)
{
	struct number_sum sum = sum_digits(text, 0);
	if (sum.rest)
		return "invalid_number";
	__int128 signed_value = sum.negative ? -sum.units : sum.units;
	if (!sum.fits || signed_value > INT32_MAX || signed_value < INT32_MIN)
		return "out_of_range";
	*value = (int64_t)signed_value;
	return NULL;
}
