/* services/aggregator/verdict_table.h - verdicts that were handed back: what dedup is told about records to come. */
#ifndef VERDICT_TABLE_H
#define VERDICT_TABLE_H

#include "common/base/error.h"
#include "proto/cut.h"

struct verdict_table {
	struct decision *entries; /* sorted by partition and offset once looked at */
	size_t len, capacity;
	bool sorted;
};

void verdict_table_fini(struct verdict_table *table);
/* A page; pages come in any order. */
void verdict_table_add(struct verdict_table *table, const struct decisions *page);
/* Call after the last page. CORRUPT where one record was given two verdicts. */
enum result verdict_table_sort(struct verdict_table *table, struct error *error) MUST_USE;
/* False: nothing was said about this record. */
bool verdict_table_find(const struct verdict_table *table, uint32_t partition, int64_t offset, enum verdict *verdict);

#endif
