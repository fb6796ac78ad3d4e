#include "proto/cut.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"

const char *const counter_names[COUNTERS] = {
    "consumed", "accepted", "duplicates", "conflicts", "dead", "unknown_fields", "digest"};

/* The place of the partition, or where it would stand. */
static uint32_t place_of(const struct cut *cut, uint32_t partition)
{
	uint32_t low = 0, high = cut->len;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (cut->entries[middle].partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool cut_names(const struct cut *cut, uint32_t partition)
{
	uint32_t place = place_of(cut, partition);
	return place < cut->len && cut->entries[place].partition == partition;
}

int64_t cut_get(const struct cut *cut, uint32_t partition, int64_t otherwise)
{
	uint32_t place = place_of(cut, partition);
	if (place < cut->len && cut->entries[place].partition == partition)
		return cut->entries[place].offset;
	return otherwise;
}

void cut_set(struct cut *cut, uint32_t partition, int64_t offset)
{
	uint32_t place = place_of(cut, partition);
	if (place == cut->len || cut->entries[place].partition != partition) {
		cut->entries = memory_resize(cut->entries, cut->len + 1, sizeof *cut->entries);
		memmove(cut->entries + place + 1, cut->entries + place, (cut->len - place) * sizeof *cut->entries);
		cut->len++;
	}
	cut->entries[place] = (struct cut_entry){partition, offset};
}

void cut_copy(struct cut *to, const struct cut *from)
{
	if (to == from)
		return;
	to->entries = memory_resize(to->entries, from->len, sizeof *to->entries);
	if (from->len)
		memcpy(to->entries, from->entries, from->len * sizeof *to->entries);
	to->len = from->len;
}

void cut_fini(struct cut *cut)
{
	free(cut->entries);
	*cut = (struct cut){0};
}

bool cut_equal(const struct cut *a, const struct cut *b)
{
	if (a->len != b->len)
		return false;
	for (uint32_t i = 0; i < a->len; i++)
		if (a->entries[i].partition != b->entries[i].partition || a->entries[i].offset != b->entries[i].offset)
			return false;
	return true;
}

bool cut_union(struct cut *into, const struct cut *from)
{
	for (uint32_t i = 0; i < from->len; i++) {
		const struct cut_entry *entry = &from->entries[i];
		if (cut_get(into, entry->partition, entry->offset) != entry->offset)
			return false;
		cut_set(into, entry->partition, entry->offset);
	}
	return true;
}

void cut_raise(struct cut *cut, const struct cut *by)
{
	for (uint32_t i = 0; i < by->len; i++)
		if (cut_get(cut, by->entries[i].partition, -1) < by->entries[i].offset)
			cut_set(cut, by->entries[i].partition, by->entries[i].offset);
}

void cut_lower(struct cut *cut, const struct cut *by)
{
	uint32_t len = 0;
	for (uint32_t i = 0; i < cut->len; i++) {
		struct cut_entry entry = cut->entries[i];
		if (!cut_names(by, entry.partition))
			continue;
		int64_t other = cut_get(by, entry.partition, 0);
		cut->entries[len++] = (struct cut_entry){entry.partition, other < entry.offset ? other : entry.offset};
	}
	cut->len = len;
}

uint64_t cut_distance(const struct cut *from, const struct cut *to)
{
	uint64_t distance = 0;
	for (uint32_t i = 0; i < to->len; i++) {
		int64_t begin = cut_get(from, to->entries[i].partition, 0);
		if (to->entries[i].offset > begin)
			distance += (uint64_t)(to->entries[i].offset - begin);
	}
	return distance;
}

void cut_print(const struct cut *cut, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (uint32_t i = 0; i < cut->len; i++)
		buffer_printf(
		    out, "%s\"%u\": %lld", i ? ", " : "", cut->entries[i].partition, (long long)cut->entries[i].offset);
	buffer_append_text(out, "}");
}

void counters_add(struct counters *into, const struct counters *from)
{
	for (int i = 0; i < COUNTERS_FOR_PEOPLE; i++)
		CHECK(!__builtin_add_overflow(into->n[i], from->n[i], &into->n[i]));
	into->n[COUNTER_DIGEST] += from->n[COUNTER_DIGEST];
}

const char *verdict_name(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_DUPLICATE:
		return "duplicates";
	case VERDICT_CONFLICT:
		return "conflicts";
	}
	panic("verdict %d has no name", (int)verdict);
}
