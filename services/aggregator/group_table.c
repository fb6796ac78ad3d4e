#include "services/aggregator/group_table.h"

#include <stdlib.h>

#include "common/base/error.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "measures stand in memory as in a frame");
_Static_assert(sizeof(int128) == 16, "a measure takes 16 bytes in a frame");

enum { TABLE_CAPACITY = 64 };

void group_table_init(struct group_table *table, uint32_t measures_len)
{
	*table = (struct group_table){.measures_len = measures_len};
	slot_index_init(&table->index, TABLE_CAPACITY);
}

void group_table_fini(struct group_table *table)
{
	slot_index_fini(&table->index);
	free(table->entries);
	arena_fini(&table->arena);
	*table = (struct group_table){0};
}

void group_table_clear(struct group_table *table)
{
	slot_index_clear(&table->index);
	arena_clear(&table->arena);
	table->len = 0;
}

static struct group_entry *search(
    const struct group_table *table, struct bytes key, uint64_t hash, struct slot_probe *probe)
{
	*probe = slot_probe_begin(&table->index, hash);
	for (;;) {
		uint32_t reference = slot_probe_next(&table->index, probe);
		if (reference == 0)
			return NULL;
		struct group_entry *entry = table->entries[reference - 1];
		if (bytes_equal(entry->key, key))
			return entry;
	}
}

struct group_entry *group_table_find(const struct group_table *table, struct bytes key, uint64_t hash)
{
	struct slot_probe probe;
	return search(table, key, hash, &probe);
}

struct group_entry *group_table_add(struct group_table *table, struct bytes key, uint64_t hash)
{
	struct slot_probe probe;
	CHECK(search(table, key, hash, &probe) == NULL);
	if (table->len == table->capacity) {
		table->capacity = table->capacity ? table->capacity * 2 : TABLE_CAPACITY;
		table->entries = memory_resize(table->entries, table->capacity, sizeof(struct group_entry *));
	}
	struct group_entry *entry =
	    arena_take(&table->arena, sizeof *entry + table->measures_len * sizeof *entry->measures);
	*entry = (struct group_entry){.key = {arena_clone(&table->arena, key.data, key.len), key.len}, .hash = hash};
	table->entries[table->len++] = entry;
	slot_index_add(&table->index, probe, table->len);
	return entry;
}

struct group group_of_entry(const struct group_table *table, uint32_t rollup, const struct group_entry *entry)
{
	return (struct group){.rollup = rollup,
	    .key = entry->key,
	    .measures = {(const uint8_t *)entry->measures, table->measures_len * sizeof *entry->measures}};
}
