/* services/aggregator/group_table.h - measures by group key, of one rollup.
 *
 * A dedup actor keeps what one epoch adds, a rollup actor the totals that it changed. Entries stay where they are and are listed in the
 * order in which they came.
 *
 * Ownership: keys are copied; entries live until group_table_clear or group_table_fini.
 * Units:     measures are minor units, 128 bits wide; in memory as in a frame (little endian).
 */
#ifndef GROUP_TABLE_H
#define GROUP_TABLE_H

#include "common/base/buffer.h"
#include "common/base/decimal.h"
#include "proto/cut.h"
#include "common/state/slot_index.h"

struct group_entry {
	struct bytes key;
	uint64_t hash; /* key_hash of it */
	int128 measures[];
};

struct group_table {
	struct slot_index index; /* references are places in entries, from 1 */
	struct group_entry **entries;
	uint32_t len, capacity;
	uint32_t measures_len;
	struct arena arena;
};

void group_table_init(struct group_table *table, uint32_t measures_len);
void group_table_fini(struct group_table *table);
void group_table_clear(struct group_table *table);

/* NULL: there is none. */
struct group_entry *group_table_find(const struct group_table *table, struct bytes key, uint64_t hash);
/* A new group, with all measures 0. The key must not be there. */
struct group_entry *group_table_add(struct group_table *table, struct bytes key, uint64_t hash);

/* False where the sum does not fit into 128 bits. */
static inline bool measure_add(int128 *measure, int128 amount)
{
	return !__builtin_add_overflow(*measure, amount, measure);
}

/* The entry as it stands in a frame; borrowed from it. */
struct group group_of_entry(const struct group_table *table, uint32_t rollup, const struct group_entry *entry);

#endif
