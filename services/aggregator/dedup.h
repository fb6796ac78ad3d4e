/* services/aggregator/dedup.h - the actor that owns the record keys of its key groups.
 *
 * A record with a new key is accepted: passed on to the writer and added to the epoch's deltas. A record whose key was
 * accepted before is a repeat: counted as a duplicate, or as a conflict (and kept as a dead letter) where its content
 * differs. Which of two records of different partitions comes first depends on the moment, so that verdict is a
 * decision: sent to the writer, handed back before a replay, and obeyed then, whatever comes first.
 *
 * The keys may depend only on the records up to the cut and on the decisions. Add nothing here that looks at a clock, at
 * the epoch, or at the order in which two channels were read. Only forgetting may: a key that comes back after it was
 * forgotten is found in the table by the writer (a late duplicate), so when a key is forgotten never matters to what the
 * database holds. It happens in live epochs only, and only to what a complete checkpoint covers.
 *
 * Ownership: the pipeline is borrowed for the life of the actor; the port is taken.
 * Errors:    CORRUPT for what ingest cannot have sent; CONFIG where the keys or a sum no longer fit.
 */
#ifndef DEDUP_H
#define DEDUP_H

#include "common/base/pipeline.h"
#include "common/runtime/actor.h"
#include "common/state/state_port.h"

extern const struct actor_ops dedup_ops; /* for tests: has it a handler for every frame that travels to it? */
struct actor *dedup_new(const struct pipeline *pipeline, const struct topology *topology, struct state_port *port,
    uint32_t id, uint64_t attempt);

#endif
