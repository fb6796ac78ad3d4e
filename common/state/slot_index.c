#include "common/state/slot_index.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

/* Four fifths full is where linear probing begins to cost; growing by half keeps them two thirds full on average. */
enum { FULL_NUMERATOR = 4, FULL_DENOMINATOR = 5 };

void slot_index_init(struct slot_index *index, uint32_t capacity)
{
	CHECK(capacity >= 2);
	*index = (struct slot_index){.slots = memory_new(capacity * sizeof *index->slots), .capacity = capacity};
}

void slot_index_fini(struct slot_index *index)
{
	free(index->slots);
	*index = (struct slot_index){0};
}

void slot_index_clear(struct slot_index *index)
{
	if (index->len == 0)
		return;
	memset(index->slots, 0, index->capacity * sizeof *index->slots);
	index->len = 0;
}

static uint32_t empty_place(const struct slot_index *index, uint32_t tag)
{
	uint32_t place = slot_home(index->capacity, tag);
	while (index->slots[place].reference != 0)
		if (++place == index->capacity)
			place = 0;
	return place;
}

static void grow(struct slot_index *index)
{
	CHECK(index->capacity <= UINT32_MAX / 2);
	struct slot_index larger;
	slot_index_init(&larger, index->capacity + index->capacity / 2);
	for (uint32_t i = 0; i < index->capacity; i++)
		if (index->slots[i].reference != 0)
			larger.slots[empty_place(&larger, index->slots[i].tag)] = index->slots[i];
	larger.len = index->len;
	free(index->slots);
	*index = larger;
}

void slot_index_add(struct slot_index *index, struct slot_probe probe, uint32_t reference)
{
	CHECK(reference != 0);
	if (((uint64_t)index->len + 1) * FULL_DENOMINATOR > (uint64_t)index->capacity * FULL_NUMERATOR) {
		grow(index);
		probe.place = empty_place(index, probe.tag);
	}
	index->slots[probe.place] = (struct slot){probe.tag, reference};
	index->len++;
}

size_t slot_index_bytes(const struct slot_index *index)
{
	return index->capacity * sizeof *index->slots;
}
