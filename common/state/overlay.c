#include "common/state/overlay.h"

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

struct overlay *overlay_new(uint32_t first_group, uint32_t groups_len)
{
	struct overlay *overlay = memory_new(sizeof *overlay);
	*overlay = (struct overlay){
	    .first_group = first_group, .groups_len = groups_len, .chunk_used = CHUNK_BYTES, .newest_ms = INT64_MIN};
	overlay->groups = memory_new(groups_len * sizeof *overlay->groups);
	/* From one capacity to the next (half as much again) in equal steps: the groups fill evenly. */
	for (uint32_t i = 0; i < groups_len; i++)
		slot_index_init(
		    &overlay->groups[i], GROUP_CAPACITY + (uint32_t)((uint64_t)GROUP_CAPACITY / 2 * i / groups_len));
	return overlay;
}

void overlay_free(struct overlay *overlay)
{
	if (overlay == NULL)
		return;
	for (uint32_t i = 0; i < overlay->groups_len; i++)
		slot_index_fini(&overlay->groups[i]);
	for (uint32_t i = 0; i < overlay->chunks_len; i++)
		memory_pages_free(overlay->chunks[i], CHUNK_BYTES);
	free(overlay->groups);
	free(overlay->chunks);
	free(overlay);
}

void overlay_prefetch(const struct overlay *overlay, uint32_t group, uint64_t hash)
{
	const struct slot_index *index = &overlay->groups[group - overlay->first_group];
	__builtin_prefetch(&index->slots[slot_probe_begin(index, hash).place]);
}

static struct overlay_entry *entry_at(const struct overlay *overlay, uint32_t reference)
{
	size_t place = (size_t)(reference & ((1U << PLACE_BITS) - 1)) * UNIT;
	return (struct overlay_entry *)(void *)(overlay->chunks[reference >> PLACE_BITS] + place);
}

struct overlay_entry *overlay_find(
    const struct overlay *overlay, uint32_t group, uint64_t hash, struct bytes key, struct overlay_place *place)
{
	CHECK(group - overlay->first_group < overlay->groups_len);
	place->group = &overlay->groups[group - overlay->first_group];
	place->probe = slot_probe_begin(place->group, hash);
	for (;;) {
		uint32_t reference = slot_probe_next(place->group, &place->probe);
		if (reference == 0)
			return NULL;
		struct overlay_entry *entry = entry_at(overlay, reference);
		if (bytes_equal(overlay_key(entry), key))
			return entry;
	}
}

/* Room for an entry; NULL: there are no more references. */
static struct overlay_entry *take(struct overlay *overlay, size_t size, uint32_t *reference)
{
	if (CHUNK_BYTES - overlay->chunk_used < size) {
		if (overlay->chunks_len == CHUNKS_MAX)
			return NULL;
		overlay->chunks = memory_resize(overlay->chunks, overlay->chunks_len + 1, sizeof *overlay->chunks);
		overlay->chunks[overlay->chunks_len++] = memory_pages_new(CHUNK_BYTES);
		overlay->chunk_used = overlay->chunks_len == 1 ? UNIT : 0; /* reference 0 is an empty slot */
	}
	*reference = (overlay->chunks_len - 1) << PLACE_BITS | (uint32_t)(overlay->chunk_used / UNIT);
	void *taken = overlay->chunks[overlay->chunks_len - 1] + overlay->chunk_used;
	overlay->chunk_used += (size + UNIT - 1) / UNIT * UNIT;
	return taken;
}

enum result overlay_add(struct overlay *overlay, const struct overlay_place *place, uint64_t hash, struct bytes key,
    struct bytes value, int64_t time_ms, struct error *error)
{
	uint32_t reference;
	CHECK(key.len <= OVERLAY_KEY_MAX && value.len <= OVERLAY_VALUE_MAX);
	struct overlay_entry *entry =
	    take(overlay, offsetof(struct overlay_entry, bytes) + value.len + key.len, &reference);
	if (entry == NULL)
		return error_stop(error, STOP_TOO_MANY_KEYS,
		    "%llu keys changed since the last checkpoint, more than one actor can hold",
		    (unsigned long long)overlay->len);
	entry->hash = hash;
	entry->key_len = (uint16_t)key.len;
	entry->value_len = (uint16_t)value.len;
	if (value.len)
		memcpy(entry->bytes, value.data, value.len);
	if (key.len)
		memcpy(entry->bytes + value.len, key.data, key.len);
	slot_index_add(place->group, place->probe, reference);
	overlay->len++;
	if (time_ms > overlay->newest_ms)
		overlay->newest_ms = time_ms;
	return RESULT_OK;
}

const struct overlay_entry *overlay_next(const struct overlay *overlay, uint32_t group, uint32_t *at)
{
	CHECK(group - overlay->first_group < overlay->groups_len);
	const struct slot_index *index = &overlay->groups[group - overlay->first_group];
	while (*at < index->capacity) {
		uint32_t reference = index->slots[(*at)++].reference;
		if (reference != 0)
			return entry_at(overlay, reference);
	}
	return NULL;
}

size_t overlay_bytes(const struct overlay *overlay)
{
	size_t bytes = (size_t)overlay->chunks_len * CHUNK_BYTES + overlay->groups_len * sizeof *overlay->groups;
	for (uint32_t i = 0; i < overlay->groups_len; i++)
		bytes += slot_index_bytes(&overlay->groups[i]);
	return bytes;
}
