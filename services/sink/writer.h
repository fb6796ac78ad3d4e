/* services/sink/writer.h - aligns epochs and commits them one by one through a sink port.
 *
 * Decides by cuts, not by counting: while a replay is silent, an epoch up to the frontier's cut is discarded and
 * acknowledged; the epoch whose cut equals the frontier's is the last silent one. An epoch whose commit got no answer is
 * looked up on a new connection before anything else happens: committed, to be sent again, or not my history.
 *
 * Where the job has no checkpoints nothing is silent: every writer has a frontier of its own, the coordinator begins at the least of
 * them, and a writer that is ahead of it has its port leave out what it has written and counted before.
 */
#ifndef WRITER_H
#define WRITER_H

#include "common/base/pipeline.h"
#include "common/runtime/actor.h"
#include "services/sink/sink_port.h"

extern const struct actor_ops writer_ops; /* for tests: has it a handler for every frame that travels to it? */
/* The port stays the caller's. */
struct actor *writer_new(const struct pipeline *pipeline, const struct topology *topology, struct sink_port *port,
    uint32_t id, uint64_t attempt);

#endif
