#include "services/aggregator/key_table.h"

#include <stdlib.h>
#include <string.h>

/* A reference is a chunk and a place in it, in units of eight bytes. */
enum {
	UNIT = 8,
	PLACE_BITS = 17,
	CHUNK_BYTES = UNIT << PLACE_BITS,
	CHUNKS_MAX = 1 << (32 - PLACE_BITS),
	GROUP_CAPACITY = 64,
};

void key_table_init(struct key_table *table, uint32_t first_group, uint32_t groups_len)
{
	*table = (struct key_table){.first_group = first_group, .groups_len = groups_len, .chunk_used = CHUNK_BYTES};
	table->groups = memory_new(groups_len * sizeof *table->groups);
	/* From one capacity to the next (half as much again) in equal steps: the groups fill evenly. */
	for (uint32_t i = 0; i < groups_len; i++)
		slot_index_init(
		    &table->groups[i], GROUP_CAPACITY + (uint32_t)((uint64_t)GROUP_CAPACITY / 2 * i / groups_len));
}

void key_table_fini(struct key_table *table)
{
	for (uint32_t i = 0; i < table->groups_len; i++)
		slot_index_fini(&table->groups[i]);
	for (uint32_t i = 0; i < table->chunks_len; i++)
		free(table->chunks[i]);
	free(table->groups);
	free(table->chunks);
	*table = (struct key_table){0};
}

static const struct key_entry *entry_at(const struct key_table *table, uint32_t reference)
{
	size_t place = (size_t)(reference & ((1U << PLACE_BITS) - 1)) * UNIT;
	return (const struct key_entry *)(const void *)(table->chunks[reference >> PLACE_BITS] + place);
}

const struct key_entry *key_table_find(
    const struct key_table *table, uint32_t group, uint64_t hash, struct bytes key, struct key_place *place)
{
	CHECK(group - table->first_group < table->groups_len);
	place->group = &table->groups[group - table->first_group];
	place->probe = slot_probe_begin(place->group, hash);
	for (;;) {
		uint32_t reference = slot_probe_next(place->group, &place->probe);
		if (reference == 0)
			return NULL;
		const struct key_entry *entry = entry_at(table, reference);
		if (bytes_equal((struct bytes){entry->key, entry->key_len}, key))
			return entry;
	}
}

/* Room for an entry; NULL: there are no more references. */
static struct key_entry *take(struct key_table *table, size_t size, uint32_t *reference)
{
	if (CHUNK_BYTES - table->chunk_used < size) {
		if (table->chunks_len == CHUNKS_MAX)
			return NULL;
		table->chunks = memory_resize(table->chunks, table->chunks_len + 1, sizeof *table->chunks);
		table->chunks[table->chunks_len++] = memory_resize(NULL, CHUNK_BYTES, 1);
		table->chunk_used = table->chunks_len == 1 ? UNIT : 0; /* reference 0 is an empty slot */
	}
	*reference = (table->chunks_len - 1) << PLACE_BITS | (uint32_t)(table->chunk_used / UNIT);
	void *taken = table->chunks[table->chunks_len - 1] + table->chunk_used;
	table->chunk_used += (size + UNIT - 1) / UNIT * UNIT;
	return taken;
}

enum result key_table_add(struct key_table *table, const struct key_place *place, struct bytes key,
    const struct key_entry *entry, struct error *error)
{
	uint32_t reference;
	CHECK(key.len <= KEY_BYTES_MAX);
	struct key_entry *stored = take(table, offsetof(struct key_entry, key) + key.len, &reference);
	if (stored == NULL)
		return error_set(error, RESULT_CONFIG,
		    "%llu keys take more than one dedup actor can hold: raise parallelism.dedup",
		    (unsigned long long)table->len);
	stored->timestamp_ms = entry->timestamp_ms;
	stored->content_hash = entry->content_hash;
	stored->partition = entry->partition;
	stored->key_len = (uint16_t)key.len;
	if (key.len)
		memcpy(stored->key, key.data, key.len);
	slot_index_add(place->group, place->probe, reference);
	table->len++;
	return RESULT_OK;
}

size_t key_table_bytes(const struct key_table *table)
{
	size_t bytes = (size_t)table->chunks_len * CHUNK_BYTES + table->groups_len * sizeof *table->groups;
	for (uint32_t i = 0; i < table->groups_len; i++)
		bytes += slot_index_bytes(&table->groups[i]);
	return bytes;
}
