/* common/state/group_key.h - the key of a rollup's group: its columns as a msgpack array.
 *
 * A string is a str; an integer, a day (since 1970), a month (1 to 12) and a year are ints. Numbers and lengths take
 * their smallest form and no other is read: equal groups are equal bytes.
 */
#ifndef STATE_GROUP_KEY_H
#define STATE_GROUP_KEY_H

#include "common/base/pipeline.h"
#include "common/base/timestamp.h"
#include "proto/row.h"

/* The last day that was taken apart: neighbours in the log mostly share it. A zeroed one is ready. */
struct calendar {
	int32_t day;
	bool known;
	struct civil civil;
};

/* A part of a day: itself, its month, its year. */
int64_t calendar_part(struct calendar *calendar, enum group_part part, int32_t day);

/* values: of a row whose fields have their declared types. */
void group_columns_of_row(const struct rollup *rollup, const struct value *values, struct calendar *calendar,
    struct value columns[PIPELINE_COLUMNS_MAX]);

/* Replaces what the buffer holds. */
void group_key_write(struct buffer *key, const struct value *columns, size_t columns_len);
/* False where these bytes are not a key of this rollup. Texts point into the key. */
bool group_key_read(const struct rollup *rollup, const struct field *fields, struct bytes key,
    struct value columns[PIPELINE_COLUMNS_MAX]);
/* {2024-01-15, electronics}; the key must be one of this rollup's. */
void group_key_print(const struct rollup *rollup, const struct field *fields, struct bytes key, struct buffer *out);

#endif
