/* services/aggregator/dedup.h - the actor that owns the record keys of its key groups.
 *
 * A record with a new key is accepted: passed on to the writer and added to the epoch's deltas. A record whose key was
 * accepted before is a repeat: counted as a duplicate, or as a conflict (and kept as a dead letter) where its content
 * differs. Which of two records of different partitions comes first depends on the moment, so that verdict is a
 * decision: sent to the writer, handed back before a replay, and obeyed then, whatever comes first.
 *
 * The table of keys may depend only on the records up to the cut and on the decisions. Add nothing here that looks at a
 * clock, at the epoch, or at the order in which two channels were read.
 *
 * Ownership: the pipeline is borrowed for the life of the actor.
 * Errors:    CORRUPT for what ingest cannot have sent; CONFIG where the keys or a sum no longer fit.
 */
#ifndef DEDUP_H
#define DEDUP_H

#include "common/base/pipeline.h"
#include "common/runtime/actor.h"

struct actor *dedup_new(
    const struct pipeline *pipeline, const struct topology *topology, uint32_t id, uint64_t attempt);

/* Memory held by the keys, and how many they are. */
struct dedup_size {
	uint64_t keys;
	size_t bytes;
};
struct dedup_size dedup_size(const struct actor *actor);

#endif
