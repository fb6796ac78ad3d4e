/* services/aggregator/key_table.h - the record keys that a dedup actor has accepted, whole, in memory.
 *
 * One small index per key group, so that growth moves one group's slots at a time and never stalls the stream; their
 * first sizes differ a little, so that they do not all grow in the same moment. The entries stand one behind the other
 * in chunks and are never moved.
 *
 * Ownership: keys are copied; an entry stays where it is until key_table_fini.
 * Errors:    CONFIG when the entries would exceed what a reference can name (32 GiB).
 * Limits:    KEY_BYTES_MAX bytes a key; about 77 bytes of memory for a key of 36.
 */
#ifndef KEY_TABLE_H
#define KEY_TABLE_H

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/pipeline.h"
#include "services/aggregator/slot_index.h"

enum { KEY_BYTES_MAX = 4 * PIPELINE_KEY_MAX };

/* The record that was accepted for a key: the winner of all that come with the same key. */
struct key_entry {
	int64_t timestamp_ms;
	uint64_t content_hash;
	uint32_t partition;
	uint16_t key_len;
	uint8_t key[];
};

struct key_table {
	struct slot_index *groups; /* of the key groups from first_group on */
	uint32_t first_group, groups_len;
	uint8_t **chunks;
	uint32_t chunks_len;
	size_t chunk_used; /* of the last one */
	uint64_t len;
};

/* Where a key was looked for; valid until the next key is added. */
struct key_place {
	struct slot_index *group;
	struct slot_probe probe;
};

void key_table_init(struct key_table *table, uint32_t first_group, uint32_t groups_len);
void key_table_fini(struct key_table *table);

/* NULL: the key is new; place is where key_table_add puts it. group: one of the table's. */
const struct key_entry *key_table_find(
    const struct key_table *table, uint32_t group, uint64_t hash, struct bytes key, struct key_place *place);
/* entry: all but key and key_len. */
enum result key_table_add(struct key_table *table, const struct key_place *place, struct bytes key,
    const struct key_entry *entry, struct error *error) MUST_USE;

/* Memory in use, without what malloc needs for itself. */
size_t key_table_bytes(const struct key_table *table);

#endif
