/* services/aggregator/group_batch.h - groups on their way into frames of the usual size.
 *
 * Ownership: what a group points to is borrowed until the batch has been flushed.
 */
#ifndef GROUP_BATCH_H
#define GROUP_BATCH_H

#include "common/runtime/actor.h"

struct group_batch {
	uint32_t channel;
	enum frame_kind kind; /* DELTAS or TOTALS */
	struct groups groups;
	uint32_t capacity;
	size_t bytes; /* that they take in a frame, at most */
};

void group_batch_init(struct group_batch *batch, uint32_t channel, enum frame_kind kind);
void group_batch_fini(struct group_batch *batch);
/* Sends first what is there when the frame would become too large. */
void group_batch_put(struct group_batch *batch, const struct group *group, struct outbox *outbox);
/* Sends what is there, if anything is. */
void group_batch_flush(struct group_batch *batch, struct outbox *outbox);

#endif
