#include "common/base/buffer.h"

#include "common/base/error.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *memory_new(size_t size)
{
	void *memory = calloc(1, size ? size : 1);
	if (memory == NULL)
		panic("out of memory (%zu bytes)", size);
	return memory;
}

void *memory_resize(void *old, size_t count, size_t size)
{
	void *memory = reallocarray(old, count ? count : 1, size);
	if (memory == NULL)
		panic("out of memory (%zu times %zu bytes)", count, size);
	return memory;
}

void *memory_pages_new(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		panic("out of memory (%zu bytes)", size);
	return pages;
}

void memory_pages_free(void *pages, size_t size)
{
	if (munmap(pages, size) != 0)
		panic("munmap refuses %zu bytes", size);
}

char *text_clone(const char *text)
{
	char *copy = strdup(text);
	if (copy == NULL)
		panic("out of memory");
	return copy;
}

void buffer_fini(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t need = buffer->len + more;
	CHECK(need >= more);
	if (need > buffer->capacity) {
		size_t capacity = buffer->capacity ? buffer->capacity : 256;
		while (capacity < need)
			capacity += capacity / 2;
		buffer->data = memory_resize(buffer->data, capacity, 1);
		buffer->capacity = capacity;
	}
	return buffer->data + buffer->len;
}

void buffer_append(struct buffer *buffer, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(buffer_reserve(buffer, len), data, len);
	buffer->len += len;
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void buffer_append_json(struct buffer *buffer, struct bytes text)
{
	buffer_append_text(buffer, "\"");
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '"' || text.data[i] == '\\')
			buffer_printf(buffer, "\\%c", text.data[i]);
		else if (text.data[i] < 0x20)
			buffer_printf(buffer, "\\u%04x", text.data[i]);
		else
			buffer_append(buffer, text.data + i, 1);
	}
	buffer_append_text(buffer, "\"");
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	CHECK(len >= 0);
	(void)vsnprintf((char *)buffer_reserve(buffer, (size_t)len + 1), (size_t)len + 1, format, again);
	buffer->len += (size_t)len;
	va_end(again);
	va_end(args);
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.data, b.data, len) : 0;
	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

uint64_t bytes_prefix(struct bytes bytes)
{
	uint64_t prefix = 0;
	size_t len = bytes.len < sizeof prefix ? bytes.len : sizeof prefix;
	if (len > 0)
		memcpy(&prefix, bytes.data, len);
	return be64toh(prefix);
}

enum { ARENA_BLOCK = 64 * 1024 };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(16) uint8_t data[];
};

void *arena_take(struct arena *arena, size_t size)
{
	CHECK(size <= SIZE_MAX - ARENA_BLOCK);
	size = (size + 15) & ~(size_t)15;
	struct arena_block *block = arena->first;
	if (block == NULL || block->size - block->used < size) {
		size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
		block = memory_resize(NULL, sizeof *block + room, 1);
		*block = (struct arena_block){.next = arena->first, .size = room};
		arena->first = block;
	}
	void *taken = block->data + block->used;
	block->used += size;
	arena->bytes += size;
	memset(taken, 0, size);
	return taken;
}

void *arena_clone(struct arena *arena, const void *data, size_t len)
{
	void *copy = arena_take(arena, len + 1); /* a text stays terminated */
	if (len)
		memcpy(copy, data, len);
	return copy;
}

void arena_clear(struct arena *arena)
{
	struct arena_block *kept = arena->first;
	if (kept == NULL)
		return;
	while (kept->next != NULL) {
		struct arena_block *next = kept->next;
		free(kept);
		kept = next;
	}
	kept->used = 0; /* the oldest block serves the next round */
	*arena = (struct arena){.first = kept};
}

void arena_fini(struct arena *arena)
{
	arena_clear(arena);
	free(arena->first);
	*arena = (struct arena){0};
}
