/* common/runtime/job_plan.h - what kind of work a job is: a row per job, with named properties.
 *
 * Whoever does one thing for one job and another for another asks for the property that it is about, never for the job. To add
 * a job: a row here, in enum job_kind and its names, and a sink that carries out its requests.
 */
#ifndef RUNTIME_JOB_PLAN_H
#define RUNTIME_JOB_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/job.h"
#include "proto/frame.h"

/* An actor's: the party that it is of the frame table. */
enum role {
	ROLE_INGEST = PARTY_INGEST,
	ROLE_DEDUP = PARTY_DEDUP,
	ROLE_ROLLUP = PARTY_ROLLUP,
	ROLE_WRITER = PARTY_WRITER,
};

enum { PLAN_EDGES_MAX = 4 };
struct plan_edge {
	enum role from, to; /* every actor of the one role sends to every actor of the other */
};

struct job_plan {
	/* Channels are numbered in this order; the first edge is the way of the rows, by key group. */
	struct plan_edge edges[PLAN_EDGES_MAX];
	size_t edges_len;
	/* There is state between log and sink: checkpoints of it, and a silent replay from the last one up to the frontier. */
	bool has_checkpoints;
	bool many_writers; /* pipeline.parallelism.search of them; otherwise one */
	/* Each writer has a frontier of its own. An attempt begins at the least of them, for the sink takes everything twice without
	 * harm, and a writer that is ahead leaves out what it has written and counted before. */
	bool own_frontiers;
	bool counts_at_sink; /* what came of the records: ingests and dedup count nothing */
	bool has_letters; /* records that were not accepted are its business */
	bool shows_next; /* the sink may write the rows of the epoch that comes next, before it is its turn */
	bool plain_group; /* its consumer group is the pipeline file's group.id; others add their name */
	uint64_t touch_us; /* an idle writer says so often that it lives, and looks whether its place is its own */
};

extern const struct job_plan job_plans[JOBS];

#endif
