/* common/runtime/topology.h - who takes part in a job, and which channels join them.
 *
 * The edges are the job's (job_plan.h). Every process derives the same numbers from the pipeline's parallelism; the coordinator
 * only says which worker hosts which actor.
 */
#ifndef RUNTIME_TOPOLOGY_H
#define RUNTIME_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/runtime/job_plan.h"

enum process_role { PROCESS_INGEST = 1, PROCESS_AGGREGATOR, PROCESS_SINK };

static inline uint32_t actor_id(enum role role, uint32_t index)
{
	return (uint32_t)role << 16 | index;
}
static inline enum role actor_role(uint32_t id)
{
	return (enum role)(id >> 16);
}
static inline enum frame_party actor_party(uint32_t id)
{
	return (enum frame_party)(id >> 16);
}
static inline uint32_t actor_index(uint32_t id)
{
	return id & 0xffff;
}
enum { ACTOR_NAME_MAX = 24 };
/* "dedup.3" */
const char *actor_name(uint32_t id, char out[ACTOR_NAME_MAX]);
const char *process_role_name(enum process_role process);
/* Which kind of process hosts actors of this role. */
enum process_role role_process(enum role role);

struct topology {
	uint32_t ingest, dedup, rollup, writers;
	const struct job_plan *plan;
};
struct edge {
	uint32_t from, to; /* actors */
};

struct topology topology_of_job(const struct pipeline *pipeline, enum job_kind kind);
/* Where ingests send their rows to, by key group: so many actors, this one by number. */
uint32_t topology_routes(const struct topology *topology);
uint32_t topology_route(const struct topology *topology, uint32_t number);

/* It has actors that such a process hosts. */
bool topology_needs(const struct topology *topology, enum process_role process);

/* "2 ingest, 2 dedup, 1 rollup, 1 writer": equal for equal ones. */
enum { TOPOLOGY_TEXT_MAX = 96 };
const char *topology_print(const struct topology *topology, char out[TOPOLOGY_TEXT_MAX]);
uint32_t topology_actors(const struct topology *topology);
uint32_t topology_actor(const struct topology *topology, uint32_t place);
/* Channels are numbered 1..topology_channels. */
uint32_t topology_channels(const struct topology *topology);
struct edge topology_edge(const struct topology *topology, uint32_t channel);
/* 0: these two are not joined. */
uint32_t topology_channel(const struct topology *topology, uint32_t from, uint32_t to);

#endif
