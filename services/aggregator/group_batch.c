#include "services/aggregator/group_batch.h"

#include <stdlib.h>

/* Around the bytes of a group: array, rollup and two lengths; around the groups: two arrays. */
enum { GROUP_HEAD_MAX = 16, GROUPS_HEAD_MAX = 6 };

void group_batch_init(struct group_batch *batch, uint32_t channel, enum frame_kind kind)
{
	CHECK(kind == FRAME_DELTAS || kind == FRAME_TOTALS);
	*batch = (struct group_batch){.channel = channel, .kind = kind, .bytes = GROUPS_HEAD_MAX};
}

void group_batch_fini(struct group_batch *batch)
{
	free(batch->groups.entries);
	*batch = (struct group_batch){0};
}

void group_batch_put(struct group_batch *batch, const struct group *group, struct outbox *outbox)
{
	size_t bytes = GROUP_HEAD_MAX + group->key.len + group->measures.len;
	if (batch->bytes + bytes > FRAME_BODY_TARGET)
		group_batch_flush(batch, outbox);
	if (batch->groups.len == batch->capacity) {
		batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
		batch->groups.entries = memory_resize(batch->groups.entries, batch->capacity, sizeof *group);
	}
	batch->groups.entries[batch->groups.len++] = *group;
	batch->bytes += bytes;
}

void group_batch_flush(struct group_batch *batch, struct outbox *outbox)
{
	if (batch->groups.len == 0)
		return;
	const struct frame_deltas deltas = {.groups = batch->groups};
	const struct frame_totals totals = {.groups = batch->groups};
	outbox_send(outbox, batch->channel, batch->kind,
	    batch->kind == FRAME_DELTAS ? (const void *)&deltas : (const void *)&totals);
	batch->groups.len = 0;
	batch->bytes = GROUPS_HEAD_MAX;
}
