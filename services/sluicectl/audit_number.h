/* services/sluicectl/audit_number.h - the audit's own reading of numbers: tests/vectors/README.md, and nothing else.
 *
 * A number is the sum of its digits, each in its place; no digit is looked at twice and none is ever a double. Rounded
 * once, half away from zero.
 *
 * Errors: a function answers NULL, or the reason why the value cannot be stored.
 */
#ifndef AUDIT_NUMBER_H
#define AUDIT_NUMBER_H

#include "common/base/buffer.h"

/* Is it a number as RFC 8259 writes one, with nothing before or behind it? */
bool number_is_json(struct bytes text);
/* text is a number by number_is_json. minor: the value times ten to the power of scale. */
const char *number_read_decimal(struct bytes text, int precision, int scale, int64_t *minor);
/* The same where nothing is rounded: false for a digit behind the scale. */
bool number_read_exact(struct bytes text, int precision, int scale, int64_t *minor);
/* Whole and within 32 bits. */
const char *number_read_integer(struct bytes text, int64_t *value);

#endif
