/* tests/bench/sample_rows.h - rows of the shipped pipeline like the producer's, for benchmarks of the sinks. */
#ifndef SAMPLE_ROWS_H
#define SAMPLE_ROWS_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/pipeline.h"
#include "proto/row.h"

enum { FIELDS = 12 };

struct source {
	struct pipeline pipeline;
	uint64_t random;
	uint64_t rows, left;
};

static inline uint64_t next(struct source *source)
{
	source->random ^= source->random << 13;
	source->random ^= source->random >> 7;
	source->random ^= source->random << 17;
	return source->random;
}

/* A record like the producer's; texts lie in text. */
static inline void row_make(struct source *source, struct value values[FIELDS], char text[FIELDS][48])
{
	static const char *const categories[] = {"electronic", "fashion", "grocery", "home", "beauty", "sports"};
	uint64_t a = next(source), b = next(source), c = next(source);
	int64_t price = (int64_t)(a % 99000 + 1000), quantity = (int64_t)(b % 10 + 1);

	snprintf(text[0], 48, "%08x-%04x-4%03x-a%03x-%012" PRIx64, (unsigned)(a & 0xffffffff), (unsigned)(b & 0xffff),
	    (unsigned)(c & 0xfff), (unsigned)(b >> 16 & 0xfff), c >> 16 & 0xffffffffffff);
	snprintf(text[1], 48, "product_%u", (unsigned)(a % 6));
	snprintf(
	    text[2], 48, "%s", (const char *[]){"laptop", "mobile", "tablet", "watch", "headphone", "speaker"}[b % 6]);
	snprintf(text[3], 48, "%s", categories[c % 6]);
	snprintf(text[6], 48, "%s", (const char *[]){"apple", "samsung", "oneplus", "mi", "boat", "sony"}[a / 7 % 6]);
	snprintf(text[8], 48, "%s", a & 1 ? "USD" : "GBP");
	snprintf(text[9], 48, "customer_name_%u", (unsigned)(b % 100000));
	snprintf(text[11], 48, "%s", (const char *[]){"credit_card", "debit_card", "online_transfer"}[c % 3]);
	for (size_t i = 0; i < FIELDS; i++)
		values[i] = (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)text[i], strlen(text[i])}};
	values[4] = (struct value){.kind = VALUE_INTEGER, .integer = price};
	values[5] = (struct value){.kind = VALUE_INTEGER, .integer = quantity};
	values[7] = (struct value){.kind = VALUE_INTEGER, .integer = price * quantity};
	values[10] = (struct value){.kind = VALUE_INTEGER,
	    .integer = INT64_C(1770595200000000) + (int64_t)(c % (INT64_C(2) * 86400 * 1000000))};
}

#endif
