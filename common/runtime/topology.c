#include "common/runtime/topology.h"

#include <stdio.h>

#include "common/base/error.h"

const char *actor_name(uint32_t id, char out[ACTOR_NAME_MAX])
{
	(void)snprintf(out, ACTOR_NAME_MAX, "%s.%u", frame_party_name(actor_party(id)), actor_index(id));
	return out;
}

const char *process_role_name(enum process_role process)
{
	switch (process) {
	case PROCESS_INGEST:
		return "ingest";
	case PROCESS_AGGREGATOR:
		return "aggregator";
	case PROCESS_SINK:
		return "sink";
	}
	return "unknown";
}

enum process_role role_process(enum role role)
{
	switch (role) {
	case ROLE_INGEST:
		return PROCESS_INGEST;
	case ROLE_DEDUP:
	case ROLE_ROLLUP:
		return PROCESS_AGGREGATOR;
	case ROLE_WRITER:
		return PROCESS_SINK;
	}
	panic("role %d has no process", (int)role);
}

/* How many actors have it. */
static uint32_t count_of(const struct topology *topology, enum role role)
{
	switch (role) {
	case ROLE_INGEST:
		return topology->ingest;
	case ROLE_DEDUP:
		return topology->dedup;
	case ROLE_ROLLUP:
		return topology->rollup;
	case ROLE_WRITER:
		return topology->writers;
	}
	panic("role %d is none", (int)role);
}

static bool has_role(const struct job_plan *plan, enum role role)
{
	for (size_t i = 0; i < plan->edges_len; i++)
		if (plan->edges[i].from == role || plan->edges[i].to == role)
			return true;
	return false;
}

struct topology topology_of_job(const struct pipeline *pipeline, enum job_kind kind)
{
	const struct job_plan *plan = &job_plans[kind];
	return (struct topology){
	    .ingest = pipeline->parallelism.ingest,
	    .dedup = has_role(plan, ROLE_DEDUP) ? pipeline->parallelism.dedup : 0,
	    .rollup = has_role(plan, ROLE_ROLLUP) ? pipeline->parallelism.rollup : 0,
	    .writers = plan->many_writers ? pipeline->parallelism.search : 1,
	    .plan = plan,
	};
}

bool topology_needs(const struct topology *topology, enum process_role process)
{
	for (enum role role = ROLE_INGEST; role <= ROLE_WRITER; role++)
		if (role_process(role) == process && has_role(topology->plan, role))
			return true;
	return false;
}

const char *topology_print(const struct topology *topology, char out[TOPOLOGY_TEXT_MAX])
{
	int len = 0;
	for (enum role role = ROLE_INGEST; role <= ROLE_WRITER; role++)
		if (has_role(topology->plan, role))
			len += snprintf(out + len, TOPOLOGY_TEXT_MAX - (size_t)len, "%s%u %s", len > 0 ? ", " : "",
			    count_of(topology, role), frame_party_name((enum frame_party)role));
	return out;
}

uint32_t topology_actors(const struct topology *topology)
{
	return topology->ingest + topology->dedup + topology->rollup + topology->writers;
}

uint32_t topology_routes(const struct topology *topology)
{
	return count_of(topology, topology->plan->edges[0].to);
}

uint32_t topology_route(const struct topology *topology, uint32_t number)
{
	return actor_id(topology->plan->edges[0].to, number);
}

uint32_t topology_actor(const struct topology *topology, uint32_t place)
{
	for (enum role role = ROLE_INGEST; role <= ROLE_WRITER; role++) {
		if (place < count_of(topology, role))
			return actor_id(role, place);
		place -= count_of(topology, role);
	}
	panic("a topology has no more actors");
}

static uint32_t channels_of(const struct topology *topology, const struct plan_edge *edge)
{
	return count_of(topology, edge->from) * count_of(topology, edge->to);
}

uint32_t topology_channels(const struct topology *topology)
{
	uint32_t channels = 0;
	for (size_t i = 0; i < topology->plan->edges_len; i++)
		channels += channels_of(topology, &topology->plan->edges[i]);
	return channels;
}

struct edge topology_edge(const struct topology *topology, uint32_t channel)
{
	CHECK(channel >= 1 && channel <= topology_channels(topology));
	const struct plan_edge *edge = topology->plan->edges;
	uint32_t place = channel - 1;
	for (; place >= channels_of(topology, edge); edge++)
		place -= channels_of(topology, edge);
	uint32_t receivers = count_of(topology, edge->to);
	return (struct edge){actor_id(edge->from, place / receivers), actor_id(edge->to, place % receivers)};
}

uint32_t topology_channel(const struct topology *topology, uint32_t from, uint32_t to)
{
	for (uint32_t channel = 1; channel <= topology_channels(topology); channel++) {
		struct edge edge = topology_edge(topology, channel);
		if (edge.from == from && edge.to == to)
			return channel;
	}
	return 0;
}
