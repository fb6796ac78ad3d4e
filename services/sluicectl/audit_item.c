/* services/sluicectl/audit_item.c - see audit_item.h. */
#include "services/sluicectl/audit_item.h"

#include <string.h>

#include "services/sluicectl/audit_table.h"

/* An item: so much, then key and content. */
struct item_head {
	int64_t offset, timestamp_ms;
	uint32_t partition, kind, key_len, unused; /* unused: 0, so that no byte is of nobody */
};

void key_record_put(struct spool *spool, enum spool_lane_name lane, const struct key_record *record)
{
	struct buffer item = {0};
	struct item_head head = {.offset = record->offset,
	    .timestamp_ms = record->timestamp_ms,
	    .partition = record->partition,
	    .kind = record->kind,
	    .key_len = (uint32_t)record->key.len};
	buffer_append(&item, &head, sizeof head);
	buffer_append(&item, record->key.data, record->key.len);
	buffer_append(&item, record->content.data, record->content.len);
	spool_put(spool, lane, table_hash(record->key), buffer_bytes(&item));
	buffer_fini(&item);
}

bool key_record_next(struct spool_cursor *cursor, struct key_record *record, uint64_t *hash)
{
	struct spool_item item;
	struct item_head head;
	if (!spool_next(cursor, &item))
		return false;
	CHECK(item.bytes.len >= sizeof head);
	memcpy(&head, item.bytes.data, sizeof head);
	const uint8_t *rest = item.bytes.data + sizeof head;
	*hash = item.hash;
	*record = (struct key_record){.kind = head.kind,
	    .partition = head.partition,
	    .offset = head.offset,
	    .timestamp_ms = head.timestamp_ms,
	    .key = {rest, head.key_len},
	    .content = {rest + head.key_len, item.bytes.len - sizeof head - head.key_len}};
	return true;
}
