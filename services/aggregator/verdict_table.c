#include "services/aggregator/verdict_table.h"

#include <stdlib.h>
#include <string.h>

void verdict_table_fini(struct verdict_table *table)
{
	free(table->entries);
	*table = (struct verdict_table){0};
}

void verdict_table_add(struct verdict_table *table, const struct decisions *page)
{
	if (page->len == 0)
		return;
	if (table->capacity - table->len < page->len) {
		table->capacity = (table->len + page->len) * 2;
		table->entries = memory_resize(table->entries, table->capacity, sizeof *table->entries);
	}
	memcpy(table->entries + table->len, page->entries, page->len * sizeof *page->entries);
	table->len += page->len;
	table->sorted = false;
}

static int compare(uint32_t partition, int64_t offset, const struct decision *decision)
{
	if (partition != decision->partition)
		return partition < decision->partition ? -1 : 1;
	return offset < decision->offset ? -1 : offset > decision->offset;
}

static int compare_entries(const void *a, const void *b)
{
	const struct decision *decision = a;
	return compare(decision->partition, decision->offset, b);
}

enum result verdict_table_sort(struct verdict_table *table, struct error *error)
{
	if (table->len > 0)
		qsort(table->entries, table->len, sizeof *table->entries, compare_entries);
	for (size_t i = 1; i < table->len; i++) {
		const struct decision *a = &table->entries[i - 1], *b = &table->entries[i];
		if (compare_entries(a, b) == 0 && a->verdict != b->verdict)
			return error_set(error, RESULT_CORRUPT, "record %u/%lld was handed back with two verdicts",
			    a->partition, (long long)a->offset);
	}
	table->sorted = true;
	return RESULT_OK;
}

bool verdict_table_find(const struct verdict_table *table, uint32_t partition, int64_t offset, enum verdict *verdict)
{
	if (table->len == 0)
		return false;
	CHECK(table->sorted);
	size_t low = 0, high = table->len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(partition, offset, &table->entries[middle]);
		if (order == 0) {
			*verdict = table->entries[middle].verdict;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}
