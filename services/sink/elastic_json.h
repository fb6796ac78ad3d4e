/* services/sink/elastic_json.h - what Elasticsearch answers, value by value, while it comes in.
 *
 * A thin layer over yajl: the caller is told each single value and the steps that lead to it, so that a shape is one
 * comparison and no tree is built. A list or a map without values is not told.
 *
 * Ownership: the reader's memory is reused from answer to answer; a value is valid during its call.
 * Errors:    false: these bytes are no JSON, or deeper or longer than the limits below.
 * Limits:    JSON_DEPTH_MAX levels, keys of JSON_KEY_MAX bytes, JSON_BYTES_MAX in all (yajl holds a value that comes in
 *            pieces).
 */
#ifndef ELASTIC_JSON_H
#define ELASTIC_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <yajl/yajl_parse.h>

#include "common/base/buffer.h"

enum { JSON_DEPTH_MAX = 48 /* of a mapping with objects in objects */, JSON_KEY_MAX = 512, JSON_BYTES_MAX = 64 << 20 };

/* An entry of a list, or a member of a map. */
struct json_step {
	bool list;
	uint32_t place; /* in a list, from 0 */
	uint16_t key_len;
	char key[JSON_KEY_MAX]; /* in a map */
};

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_NUMBER, JSON_TEXT };
struct json_value {
	enum json_kind kind;
	int64_t integer; /* BOOL: 0 or 1 */
	struct bytes text; /* TEXT, and NUMBER as it is written */
};

struct json_reader {
	/* false: the caller does not take it; reading ends */
	bool (*on_value)(void *context, const struct json_reader *reader, const struct json_value *value);
	void *context;
	yajl_handle yajl;
	size_t bytes;
	bool failed;
	uint32_t depth;
	struct json_step steps[JSON_DEPTH_MAX];
};

/* Ready for another answer. The first time, reader is zeroed. */
void json_reader_start(struct json_reader *reader,
    bool (*on_value)(void *context, const struct json_reader *reader, const struct json_value *value), void *context);
bool json_reader_feed(struct json_reader *reader, struct bytes piece);
/* false also where the text is not complete. */
bool json_reader_end(struct json_reader *reader);
void json_reader_fini(struct json_reader *reader);
/* The whole of a text. */
bool json_scan(struct bytes text,
    bool (*on_value)(void *context, const struct json_reader *reader, const struct json_value *value), void *context);

static inline bool json_step_is(const struct json_step *step, const char *key)
{
	return !step->list && __builtin_strcmp(step->key, key) == 0;
}
/* The value stands exactly at these keys: "error.reason". Keys with a dot in them are not found. */
bool json_at(const struct json_reader *reader, const char *path);

#endif
