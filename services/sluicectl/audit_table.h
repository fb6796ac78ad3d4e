/* services/sluicectl/audit_table.h - things of one part, found by the bytes that name them.
 *
 * Ownership: entries and their keys live until table_clear. An entry begins with a struct table_entry.
 * Limits:    as many entries as a part has items (audit_spool.h): in all at most some 100 MiB.
 */
#ifndef AUDIT_TABLE_H
#define AUDIT_TABLE_H

#include "common/base/buffer.h"

struct table_entry {
	uint64_t hash;
	struct bytes key;
};

struct table {
	struct arena arena;
	struct table_entry **slots; /* NULL: free */
	size_t slots_len, entries_len;
};

uint64_t table_hash(struct bytes key);
/* The entry of this name, made of entry_size zeros where there is none. */
void *table_get(struct table *table, uint64_t hash, struct bytes key, size_t entry_size);
/* One after the other: begin with *place 0; NULL: there are no more. */
void *table_next(const struct table *table, size_t *place);
void table_clear(struct table *table);
void table_fini(struct table *table);

#endif
