/* services/sluicectl/audit_value.h - what the audit compares: the values of a record or of a row, as one string of bytes.
 *
 * A *content* is the declared fields in the order of the pipeline file, each a tag and its value. A record and its row are
 * the same exactly when their contents are the same bytes. It can be taken apart again, for totals and for people.
 *
 * Units: a decimal is its minor units by the declared scale; a time is microseconds since 1970 of wall clock; an instant
 *        is a point in time, in microseconds since 1970; a day is days since 1970.
 */
#ifndef AUDIT_VALUE_H
#define AUDIT_VALUE_H

#include "common/base/buffer.h"
#include "common/base/pipeline.h"

typedef __int128 audit_sum;

enum audit_kind {
	AUDIT_NULL,
	AUDIT_TEXT,
	AUDIT_NUMBER,
	AUDIT_TIME,
	AUDIT_INSTANT, /* of a document */
	AUDIT_FOREIGN, /* what no record can be: NaN, infinity, a digit behind the declared scale; as text */
};

struct audit_value {
	enum audit_kind kind;
	struct bytes text; /* borrowed */
	int64_t number;
};

/* The sum of a total that the database holds and that is none: NULL, NaN or a digit behind the declared scale. */
#define AUDIT_SUM_FOREIGN (((audit_sum)1 << 126) * -2)

void content_add(struct buffer *content, const struct audit_value *value);
/* Takes the first value off; false at the end. */
bool content_next(struct bytes *rest, struct audit_value *value);
/* The value of a field, which the content has. */
struct audit_value content_field(struct bytes content, size_t place);

/* The fields of a content that are not null; with other: those that differ from it. */
void content_print(
    struct buffer *out, const struct pipeline *pipeline, struct bytes content, const struct bytes *other);
/* As tests/vectors writes values; texts stand in quotes, a null is `nothing`. */
void audit_value_print(struct buffer *out, const struct field *field, const struct audit_value *value);
/* 12.30 for 1230 of scale 2. */
void audit_sum_print(struct buffer *out, audit_sum sum, int scale);
/* 2024-01-15 */
void audit_day_print(struct buffer *out, int64_t day);
/* Printable ASCII as it is, other bytes as \xNN; at most bytes_max of them. */
void audit_bytes_print(struct buffer *out, struct bytes bytes, size_t bytes_max);

#endif
