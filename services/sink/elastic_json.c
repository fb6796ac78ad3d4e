/* services/sink/elastic_json.c - see elastic_json.h. */
#include "services/sink/elastic_json.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"

static struct json_step *top(struct json_reader *reader)
{
	return &reader->steps[reader->depth - 1];
}

/* A value has come: in a list the next one has the next place. */
static int passed(struct json_reader *reader)
{
	if (reader->depth > 0 && top(reader)->list)
		top(reader)->place++;
	return 1;
}

static int put(struct json_reader *reader, const struct json_value *value)
{
	if (!reader->on_value(reader->context, reader, value))
		return 0;
	return passed(reader);
}

static int on_null(void *context)
{
	return put(context, &(struct json_value){.kind = JSON_NULL});
}

static int on_boolean(void *context, int value)
{
	return put(context, &(struct json_value){.kind = JSON_BOOL, .integer = value != 0});
}

/* Whole numbers that fit; all others stay as they are written. */
static bool integer_parse(const char *text, size_t len, int64_t *integer)
{
	bool minus = len > 0 && text[0] == '-';

	*integer = 0;
	for (size_t i = minus; i < len; i++)
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(*integer, 10, integer) ||
		    __builtin_add_overflow(*integer, minus ? '0' - text[i] : text[i] - '0', integer))
			return false;
	return len > (size_t)minus;
}

static int on_number(void *context, const char *text, size_t len)
{
	struct json_value value = {.kind = JSON_INTEGER, .text = {(const uint8_t *)text, len}};

	if (!integer_parse(text, len, &value.integer))
		value.kind = JSON_NUMBER;
	return put(context, &value);
}

static int on_string(void *context, const unsigned char *text, size_t len)
{
	return put(context, &(struct json_value){.kind = JSON_TEXT, .text = {text, len}});
}

static int open_level(struct json_reader *reader, bool list)
{
	if (reader->depth == JSON_DEPTH_MAX)
		return 0;
	struct json_step *step = &reader->steps[reader->depth++];
	step->list = list;
	step->place = 0;
	step->key_len = 0;
	step->key[0] = '\0';
	return 1;
}

static int close_level(void *context)
{
	struct json_reader *reader = context;

	reader->depth--;
	return passed(reader);
}

static int on_map(void *context)
{
	return open_level(context, false);
}

static int on_list(void *context)
{
	return open_level(context, true);
}

static int on_key(void *context, const unsigned char *key, size_t len)
{
	struct json_step *step = top(context);

	if (len >= JSON_KEY_MAX)
		return 0;
	memcpy(step->key, key, len);
	step->key[len] = '\0';
	step->key_len = (uint16_t)len;
	return 1;
}

void json_reader_start(struct json_reader *reader,
    bool (*on_value)(void *context, const struct json_reader *reader, const struct json_value *value), void *context)
{
	static const yajl_callbacks callbacks = {
	    .yajl_null = on_null,
	    .yajl_boolean = on_boolean,
	    .yajl_number = on_number,
	    .yajl_string = on_string,
	    .yajl_start_map = on_map,
	    .yajl_map_key = on_key,
	    .yajl_end_map = close_level,
	    .yajl_start_array = on_list,
	    .yajl_end_array = close_level,
	};

	json_reader_fini(reader);
	reader->on_value = on_value;
	reader->context = context;
	reader->yajl = yajl_alloc(&callbacks, NULL, reader);
	CHECK(reader->yajl != NULL);
	reader->bytes = 0;
	reader->depth = 0;
	reader->failed = false;
}

bool json_reader_feed(struct json_reader *reader, struct bytes piece)
{
	if (reader->failed || piece.len > JSON_BYTES_MAX - reader->bytes)
		reader->failed = true;
	else if (yajl_parse(reader->yajl, piece.data, piece.len) != yajl_status_ok)
		reader->failed = true;
	reader->bytes += reader->failed ? 0 : piece.len;
	return !reader->failed;
}

bool json_reader_end(struct json_reader *reader)
{
	if (reader->failed || yajl_complete_parse(reader->yajl) != yajl_status_ok)
		reader->failed = true;
	return !reader->failed;
}

void json_reader_fini(struct json_reader *reader)
{
	if (reader->yajl != NULL)
		yajl_free(reader->yajl);
	reader->yajl = NULL;
}

bool json_scan(struct bytes text,
    bool (*on_value)(void *context, const struct json_reader *reader, const struct json_value *value), void *context)
{
	struct json_reader *reader = memory_new(sizeof *reader);

	json_reader_start(reader, on_value, context);
	bool whole = json_reader_feed(reader, text) && json_reader_end(reader);
	json_reader_fini(reader);
	free(reader);
	return whole;
}

bool json_at(const struct json_reader *reader, const char *path)
{
	for (uint32_t i = 0; i < reader->depth; i++) {
		const struct json_step *step = &reader->steps[i];
		size_t len = strcspn(path, ".");
		bool last = i + 1 == reader->depth;
		if (step->list || step->key_len != len || memcmp(step->key, path, len) != 0 ||
		    (path[len] == '\0') != last)
			return false;
		path += len + 1;
	}
	return reader->depth > 0;
}
