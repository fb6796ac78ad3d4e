/* common/base/buffer.h - bytes that grow, and bytes that are only looked at.
 *
 * Errors: out of memory is a panic: limits are checked before anything is allocated for outside input.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Borrowed. data may be NULL where len is 0. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

struct buffer {
	uint8_t *data;
	size_t len;
	size_t capacity;
};

/* A zeroed struct buffer is an empty one. */
void buffer_fini(struct buffer *buffer);
static inline void buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
}
/* Room for more bytes behind len; returns where they go. len is the caller's to move. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_append(struct buffer *buffer, const void *data, size_t len);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A string of JSON, quotes included. */
void buffer_append_json(struct buffer *buffer, struct bytes text);

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
	return (struct bytes){buffer->data, buffer->len};
}
bool bytes_equal(struct bytes a, struct bytes b);
/* Like memcmp, a prefix sorts first. */
int bytes_compare(struct bytes a, struct bytes b);
/* The first eight bytes as a number: where two of these differ, they sort as the bytes do. */
uint64_t bytes_prefix(struct bytes bytes);

/* malloc and friends that panic instead of returning NULL. */
void *memory_new(size_t size); /* zeroed */
void *memory_resize(void *old, size_t count, size_t size);
char *text_clone(const char *text);
/* Large blocks that come and go: not malloc's, so that the system has them back at once. Zeroed. */
void *memory_pages_new(size_t size);
void memory_pages_free(void *pages, size_t size);

/* Blocks that live as long as an epoch or a frame: all freed at once. A zeroed struct arena is an empty one. */
struct arena_block;
struct arena {
	struct arena_block *first;
	size_t bytes; /* handed out since the last clear */
};
void *arena_take(struct arena *arena, size_t size); /* zeroed, aligned for anything */
void *arena_clone(struct arena *arena, const void *data, size_t len);
void arena_clear(struct arena *arena);
void arena_fini(struct arena *arena);

#endif
