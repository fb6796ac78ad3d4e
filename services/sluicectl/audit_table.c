/* services/sluicectl/audit_table.c - see audit_table.h. */
#include "services/sluicectl/audit_table.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SLOTS_LEAST = 1024 };

uint64_t table_hash(struct bytes key)
{
	return XXH3_64bits(key.data, key.len);
}

/* The place of the entry, or the free one where it belongs. The low bits of a hash chose the part already. */
static size_t slot_find(const struct table *table, uint64_t hash, struct bytes key)
{
	size_t place = (size_t)(hash >> 32) & (table->slots_len - 1);
	while (table->slots[place] != NULL &&
	       (table->slots[place]->hash != hash || !bytes_equal(table->slots[place]->key, key)))
		place = (place + 1) & (table->slots_len - 1);
	return place;
}

static void grow(struct table *table)
{
	struct table_entry **old = table->slots;
	size_t old_len = table->slots_len;
	table->slots_len = old_len ? old_len * 2 : SLOTS_LEAST;
	table->slots = memory_new(table->slots_len * sizeof(void *));
	for (size_t i = 0; i < old_len; i++)
		if (old[i] != NULL)
			table->slots[slot_find(table, old[i]->hash, old[i]->key)] = old[i];
	free(old);
}

void *table_get(struct table *table, uint64_t hash, struct bytes key, size_t entry_size)
{
	if (table->entries_len * 4 >= table->slots_len * 3)
		grow(table);
	size_t place = slot_find(table, hash, key);
	if (table->slots[place] != NULL)
		return table->slots[place];
	struct table_entry *entry = arena_take(&table->arena, entry_size);
	entry->hash = hash;
	entry->key = (struct bytes){arena_clone(&table->arena, key.data, key.len), key.len};
	table->slots[place] = entry;
	table->entries_len++;
	return entry;
}

void *table_next(const struct table *table, size_t *place)
{
	while (*place < table->slots_len) {
		struct table_entry *entry = table->slots[(*place)++];
		if (entry != NULL)
			return entry;
	}
	return NULL;
}

void table_clear(struct table *table)
{
	arena_clear(&table->arena);
	if (table->slots_len > 0)
		memset(table->slots, 0, table->slots_len * sizeof(void *));
	table->entries_len = 0;
}

void table_fini(struct table *table)
{
	arena_fini(&table->arena);
	free(table->slots);
	*table = (struct table){0};
}
