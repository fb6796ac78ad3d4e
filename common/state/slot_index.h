/* common/state/slot_index.h - finds an entry by the hash of its key; what overlay and group_table are made of.
 *
 * Open addressing with linear probing. A slot holds the upper half of the hash (the tag) and a reference, which only
 * the owner of the entries understands. Where a slot belongs follows from its tag alone and rises with it, so a table
 * that grows reads its slots in order, writes them almost in order, and touches no entry.
 *
 * Limits: a reference is never 0: that is an empty slot. Nothing is ever removed but everything at once.
 */
#ifndef SLOT_INDEX_H
#define SLOT_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct slot {
	uint32_t tag, reference;
};
struct slot_index {
	struct slot *slots;
	uint32_t capacity, len;
};
/* Where a search stands; after it found nothing more, where a new entry goes. */
struct slot_probe {
	uint32_t place, tag;
};

void slot_index_init(struct slot_index *index, uint32_t capacity);
void slot_index_fini(struct slot_index *index);
void slot_index_clear(struct slot_index *index);
/* probe: of this hash, with slot_probe_next having said 0, and nothing added since. */
void slot_index_add(struct slot_index *index, struct slot_probe probe, uint32_t reference);
size_t slot_index_bytes(const struct slot_index *index);

static inline uint32_t slot_home(uint32_t capacity, uint32_t tag)
{
	return (uint32_t)((uint64_t)tag * capacity >> 32);
}

static inline struct slot_probe slot_probe_begin(const struct slot_index *index, uint64_t hash)
{
	uint32_t tag = (uint32_t)(hash >> 32);
	return (struct slot_probe){slot_home(index->capacity, tag), tag};
}

/* The next reference whose tag fits; 0: there is none. */
static inline uint32_t slot_probe_next(const struct slot_index *index, struct slot_probe *probe)
{
	for (;;) {
		struct slot slot = index->slots[probe->place];
		if (slot.reference == 0)
			return 0;
		if (++probe->place == index->capacity)
			probe->place = 0;
		if (slot.tag == probe->tag)
			return slot.reference;
	}
}

#endif
