/* services/ingest/ingest.h - reads its partitions, parses, routes rows to dedup actors, cuts where it is told.
 *
 * In a job of documents it routes to the writers; what it refuses are dead letters of the job that keeps totals, and it
 * counts nothing.
 *
 * Between two barriers it sends at most its epoch credit; while a replay is silent it stops at the frontier's cut until
 * the barrier that lifts the silence has been sent.
 */
#ifndef INGEST_H
#define INGEST_H

#include "common/base/pipeline.h"
#include "common/runtime/actor.h"
#include "services/ingest/source_port.h"

/* A cut names all partitions, and several of them have to fit into one frame. */
enum { TOPIC_PARTITIONS_MAX = 10000 };

/* What the ingest actors of one process share: they read through one port. */
struct ingest_process {
	const struct pipeline *pipeline;
	struct topology topology;
	struct source_port *source;
	bool assigned;
};

extern const struct actor_ops ingest_ops; /* for tests: has it a handler for every frame that travels to it? */
/* NULL with error. */
struct actor *ingest_new(struct ingest_process *process, uint32_t id, uint64_t attempt, struct error *error);

#endif
