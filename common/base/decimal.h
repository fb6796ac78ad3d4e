/* common/base/decimal.h - money from text, exactly.
 *
 * A decimal of a declared precision and scale is an integer of minor units: 1627.53 of scale 2 is 162753. It is read
 * from the text of the number as it stands in the JSON (or in a string) and never goes through a double. It is
 * rounded once, half away from zero, as PostgreSQL's numeric does; then it is checked against the precision.
 *
 * Grammar: JSON's number: -?digits[.digits][(e|E)[+-]digits], no leading zeros, no plus sign, no white space.
 * Limits:  DECIMAL_PRECISION_MAX digits for a field; sums may have up to 38 (they are 128 bits wide).
 */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_PRECISION_MAX = 18, DECIMAL_SUM_PRECISION_MAX = 38, DECIMAL_TEXT_MAX = 48 };

typedef __int128 int128;

enum decimal_verdict {
	DECIMAL_OK,
	DECIMAL_SYNTAX, /* not a number */
	DECIMAL_RANGE, /* a number that the column cannot hold after rounding; 1e400 is one */
};

/* precision 1..18, 0 <= scale <= precision. Any number of digits and any exponent is read in time linear in len. */
enum decimal_verdict decimal_parse(const char *text, size_t len, int precision, int scale, int64_t *minor);

/* Writes "-12.30" (scale digits behind the point, none where scale is 0) and a terminating NUL; returns the length. */
size_t decimal_print(int128 minor, int scale, char out[DECIMAL_TEXT_MAX]);

/* 10^digits, digits 0..38: a value fits precision p when -decimal_limit(p) < value < decimal_limit(p). */
int128 decimal_limit(int digits);

#endif
