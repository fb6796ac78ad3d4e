/* services/sluicectl/audit_item.h - records, and what was made of them, as items of the spool: joined by their key. */
#ifndef AUDIT_ITEM_H
#define AUDIT_ITEM_H

#include "services/sluicectl/audit_spool.h"

struct key_record {
	uint32_t kind; /* where a lane has several */
	uint32_t partition;
	int64_t offset, timestamp_ms;
	struct bytes key, content;
};

void key_record_put(struct spool *spool, enum spool_lane_name lane, const struct key_record *record);
/* False: there are no more. hash: of the key. Borrowed until the next one. */
bool key_record_next(struct spool_cursor *cursor, struct key_record *record, uint64_t *hash);

#endif
