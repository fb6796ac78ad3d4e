/* common/state/overlay.h - keyed state that changed since a checkpoint, whole, in memory: a layer over what is stored.
 *
 * One small index per key group, so that growth moves one group's slots at a time and never stalls the stream; their
 * first sizes differ a little, so that they do not all grow in the same moment. The entries stand one behind the other
 * in chunks and are never moved. A key that is put again keeps its place: its value is written over.
 *
 * Ownership: keys and values are copied; an entry stays where it is until overlay_free.
 * Errors:    CONFIG when the entries would exceed what a reference can name (32 GiB).
 * Limits:    OVERLAY_KEY_MAX bytes a key, OVERLAY_VALUE_MAX a value; about 80 bytes of memory for a key of 36 and a value of 20.
 * Threads:   one that changes it; once frozen (nobody changes it any more) any number that read.
 */
#ifndef STATE_OVERLAY_H
#define STATE_OVERLAY_H

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/pipeline.h"
#include "common/state/slot_index.h"

enum { OVERLAY_KEY_MAX = 16 * 1024, OVERLAY_VALUE_MAX = 16 * PIPELINE_MEASURES_MAX };

struct overlay_entry {
	uint64_t hash; /* key_hash(key) */
	uint16_t key_len, value_len;
	uint8_t bytes[]; /* value, key */
};
static inline struct bytes overlay_value(const struct overlay_entry *entry)
{
	return (struct bytes){entry->bytes, entry->value_len};
}
static inline struct bytes overlay_key(const struct overlay_entry *entry)
{
	return (struct bytes){entry->bytes + entry->value_len, entry->key_len};
}

struct overlay {
	struct slot_index *groups; /* of the key groups from first_group on */
	uint32_t first_group, groups_len;
	uint8_t **chunks;
	uint32_t chunks_len;
	size_t chunk_used; /* of the last one */
	uint64_t len;
	int64_t newest_ms; /* of what was put, INT64_MIN: nothing was */
};

struct overlay *overlay_new(uint32_t first_group, uint32_t groups_len);
void overlay_free(struct overlay *overlay);

/* Has the memory fetched that overlay_find begins with. */
void overlay_prefetch(const struct overlay *overlay, uint32_t group, uint64_t hash);

/* Where a key was looked for; valid until the next put. */
struct overlay_place {
	struct slot_index *group;
	struct slot_probe probe;
};
/* NULL: it is not here; place is then where overlay_add puts it. group: one of the overlay's. */
struct overlay_entry *overlay_find(
    const struct overlay *overlay, uint32_t group, uint64_t hash, struct bytes key, struct overlay_place *place);
/* The key must not be here. time_ms: Kafka's, of the record behind it. */
enum result overlay_add(struct overlay *overlay, const struct overlay_place *place, uint64_t hash, struct bytes key,
    struct bytes value, int64_t time_ms, struct error *error) MUST_USE;

/* Every entry of a key group, in no order: begin at 0, until NULL. */
const struct overlay_entry *overlay_next(const struct overlay *overlay, uint32_t group, uint32_t *at);

/* Memory in use, without what malloc needs for itself. */
size_t overlay_bytes(const struct overlay *overlay);

#endif
