/* services/ingest/json_index.h - where the tokens of a JSON document begin: simdjson's first stage, for C.
 *
 * The first stage checks that strings are UTF-8 and closed and hold no control characters, and finds the first byte of
 * every token: of each string, of each of {}[]:, and of each run of other bytes that are not white space. The grammar
 * is json_reader.c's. Nothing more of simdjson is used: its On-Demand reader does not look at what it is not asked for,
 * and its DOM refuses long numbers.
 *
 * Threads: an index belongs to one thread at a time.
 */
#ifndef JSON_INDEX_H
#define JSON_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_index;

enum json_index_verdict {
	JSON_INDEX_OK,
	JSON_INDEX_EMPTY, /* only white space */
	JSON_INDEX_BROKEN, /* one of the above; what is met first differs between processors */
};

/* NULL: out of memory. The memory is touched only as far as documents need it. */
struct json_index *json_index_new(size_t document_max);
void json_index_free(struct json_index *index);

/* OK: starts[0] to starts[count - 1] rise, starts[count] is len; valid until the next build. Does not read behind len. */
enum json_index_verdict json_index_build(
    struct json_index *index, const uint8_t *document, size_t len, const uint32_t **starts, uint32_t *count);

/* Whether all of the document is UTF-8. */
bool json_index_utf8(const struct json_index *index, const uint8_t *document, size_t len);

#ifdef __cplusplus
}
#endif

#endif
