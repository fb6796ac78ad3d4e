/* services/sink/postgres_copy.c - see postgres_copy.h. */
#include "services/sink/postgres_copy.h"

#include "services/sink/postgres_binary.h"

static void flush_above(struct copy *copy, size_t most)
{
	if (copy->chunk.len <= most)
		return;
	if (!copy->lost)
		copy->lost = !postgres_copy_put(copy->postgres, buffer_bytes(&copy->chunk));
	buffer_clear(&copy->chunk);
}

void copy_begin(struct copy *copy, struct postgres *postgres)
{
	static const char signature[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"; /* with no flags and no extension */

	copy->postgres = postgres;
	copy->lost = false;
	buffer_clear(&copy->chunk);
	buffer_append(&copy->chunk, signature, sizeof signature - 1);
}

void copy_tuple(struct copy *copy, struct bytes tuple)
{
	buffer_append(&copy->chunk, tuple.data, tuple.len);
	flush_above(copy, COPY_CHUNK_BYTES);
}

void copy_tuple_begin(struct copy *copy, uint16_t fields)
{
	flush_above(copy, COPY_CHUNK_BYTES);
	binary_put16(buffer_reserve(&copy->chunk, 2), fields);
	copy->chunk.len += 2;
}

void copy_integer(struct copy *copy, int32_t value)
{
	binary_integer(buffer_reserve(&copy->chunk, 8), value);
	copy->chunk.len += 8;
}

void copy_bigint(struct copy *copy, int64_t value)
{
	binary_put64(binary_put32(buffer_reserve(&copy->chunk, 12), 8), (uint64_t)value);
	copy->chunk.len += 12;
}

void copy_flag(struct copy *copy, bool value)
{
	uint8_t *at = binary_put32(buffer_reserve(&copy->chunk, 5), 1);
	*at = value;
	copy->chunk.len += 5;
}

void copy_bytes(struct copy *copy, struct bytes value)
{
	binary_text(buffer_reserve(&copy->chunk, 4 + value.len), value.data, value.len);
	copy->chunk.len += 4 + value.len;
}

void copy_bytes_or_null(struct copy *copy, struct bytes value)
{
	if (value.data) {
		copy_bytes(copy, value);
		return;
	}
	binary_null(buffer_reserve(&copy->chunk, 4));
	copy->chunk.len += 4;
}

bool copy_end(struct copy *copy)
{
	binary_put16(buffer_reserve(&copy->chunk, 2), UINT16_MAX); /* -1 fields: the end */
	copy->chunk.len += 2;
	flush_above(copy, 0);
	return !copy->lost && postgres_copy_end(copy->postgres);
}
