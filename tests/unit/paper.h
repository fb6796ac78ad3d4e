/* tests/unit/paper.h - numbers as one does them on paper, and the ones at which arithmetic breaks: for tests that hold every reader
 * and writer of numbers against both. Shares no arithmetic with the pipeline or the audit: texts of digits alone.
 */
#ifndef PAPER_H
#define PAPER_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { EDGES_MAX = 512, PAPER_TEXT_MAX = 64, PAPER_NUMERIC_MAX = 64, PAPER_DIGITS = 40 };

struct edges {
	int64_t values[EDGES_MAX];
	size_t len;
};

static inline void edge_add(struct edges *edges, uint64_t magnitude)
{
	if (magnitude <= INT64_MAX)
		edges->values[edges->len++] = (int64_t)magnitude;
	if (magnitude <= (uint64_t)1 << 63)
		edges->values[edges->len++] = (int64_t)(0 - magnitude);
}

/* Around every power of ten, and around 2^63 and 2^64 divided by each: whatever was multiplied in 64 bits ends there. */
static inline void edges_fill(struct edges *edges)
{
	static const uint64_t ends[] = {(uint64_t)1 << 63, UINT64_MAX};
	edges->len = 0;
	for (uint64_t power = 1, k = 0; k <= 18; power *= 10, k++) {
		for (uint64_t near = power - 1; near <= power + 1; near++)
			edge_add(edges, near);
		for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
			for (uint64_t near = ends[i] / power - 1; near <= ends[i] / power && near != 0; near++) {
				edge_add(edges, near);
				edge_add(edges, near + 2);
			}
	}
}

/* 12.30 for 1230 of scale 2; digits: at least so many before the point. */
static inline void paper_text(int64_t minor, int scale, char text[PAPER_TEXT_MAX])
{
	char digits[PAPER_DIGITS + 1];
	int len = snprintf(digits, sizeof digits, "%0*llu", scale + 1,
	    (unsigned long long)(minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor));
	(void)snprintf(text, PAPER_TEXT_MAX, "%s%.*s%s%s", minor < 0 ? "-" : "", len - scale, digits, scale ? "." : "",
	    digits + len - scale);
}

static inline uint8_t *paper_put16(uint8_t *at, int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

/* PostgreSQL's binary numeric of a text like the one above, without the length before it; returns its length. */
static inline size_t paper_numeric(const char *text, int scale, uint8_t out[PAPER_NUMERIC_MAX])
{
	char line[4 + PAPER_DIGITS + 4 + 1]; /* of groups of four digits, the point between two of them */
	int negative = text[0] == '-', whole = (int)strcspn(text + negative, ".");
	int groups_before = (whole + 3) / 4, groups = groups_before + (scale + 3) / 4, first = 0;
	memset(line, '0', sizeof line);
	memcpy(line + groups_before * 4 - whole, text + negative, (size_t)whole);
	memcpy(line + groups_before * 4, text + negative + whole + (scale > 0), (size_t)scale);
	while (first < groups && memcmp(line + first * 4, "0000", 4) == 0)
		first++;
	while (groups > first && memcmp(line + (groups - 1) * 4, "0000", 4) == 0)
		groups--;
	uint8_t *at = paper_put16(out, groups - first);
	at = paper_put16(at, groups > first ? groups_before - 1 - first : 0);
	at = paper_put16(at, negative && groups > first ? 0x4000 : 0);
	at = paper_put16(at, scale);
	for (int i = first; i < groups; i++)
		at = paper_put16(at, (line[i * 4] - '0') * 1000 + (line[i * 4 + 1] - '0') * 100 +
		                         (line[i * 4 + 2] - '0') * 10 + (line[i * 4 + 3] - '0'));
	return (size_t)(at - out);
}

/* Zero as a producer may write it. */
static const char *const paper_zeros[] = {"0", "-0", "0.0", "-0.0", "0.00", "0.000000000000000000000000000", "0e5",
    "0E5", "0e+5", "0e-5", "-0e0", "0.0E-3", "-0.000e+400", "0e99999999999999999999", "0e-99999999999999999999"};

#endif
