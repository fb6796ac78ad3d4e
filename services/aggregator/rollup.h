/* services/aggregator/rollup.h - the actor that owns the totals of its groups.
 *
 * Adds the deltas of every dedup actor; at the end of an epoch sends the absolute total of each group touched, once.
 *
 * Ownership: the pipeline is borrowed for the life of the actor; the port is taken.
 * Limits:    in memory are the groups that one epoch touches, and what the state keeps there.
 * Errors:    CORRUPT for groups that are not its own or not of the pipeline; CONFIG where a total no longer fits its
 *            column, with table, group and column: the job stops before a wrong number is written.
 */
#ifndef ROLLUP_H
#define ROLLUP_H

#include "common/base/pipeline.h"
#include "common/runtime/actor.h"
#include "common/state/state_port.h"

extern const struct actor_ops rollup_ops; /* for tests: has it a handler for every frame that travels to it? */
struct actor *rollup_new(const struct pipeline *pipeline, const struct topology *topology, struct state_port *port,
    uint32_t id, uint64_t attempt);

#endif
