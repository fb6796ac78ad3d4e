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

struct topology topology_of_job(const struct pipeline *pipeline, enum job_kind kind)
{
	struct topology topology = {.ingest = pipeline->parallelism.ingest, .writers = 1};
	if (kind == JOB_SEARCH) {
		topology.writers = pipeline->parallelism.search;
	} else {
		topology.dedup = pipeline->parallelism.dedup;
		topology.rollup = pipeline->parallelism.rollup;
	}
	return topology;
}

const char *topology_print(const struct topology *topology, char out[TOPOLOGY_TEXT_MAX])
{
	int len = snprintf(out, TOPOLOGY_TEXT_MAX, "%u ingest, ", topology->ingest);
	if (!topology_of_documents(topology))
		len += snprintf(out + len, TOPOLOGY_TEXT_MAX - (size_t)len, "%u dedup, %u rollup, ", topology->dedup,
		    topology->rollup);
	(void)snprintf(out + len, TOPOLOGY_TEXT_MAX - (size_t)len, "%u writer", topology->writers);
	return out;
}

uint32_t topology_actors(const struct topology *topology)
{
	return topology->ingest + topology->dedup + topology->rollup + topology->writers;
}

uint32_t topology_routes(const struct topology *topology)
{
	return topology_of_documents(topology) ? topology->writers : topology->dedup;
}

uint32_t topology_route(const struct topology *topology, uint32_t number)
{
	return actor_id(topology_of_documents(topology) ? ROLE_WRITER : ROLE_DEDUP, number);
}

uint32_t topology_actor(const struct topology *topology, uint32_t place)
{
	if (place < topology->ingest)
		return actor_id(ROLE_INGEST, place);
	place -= topology->ingest;
	if (place < topology->dedup)
		return actor_id(ROLE_DEDUP, place);
	place -= topology->dedup;
	if (place < topology->rollup)
		return actor_id(ROLE_ROLLUP, place);
	place -= topology->rollup;
	CHECK(place < topology->writers);
	return actor_id(ROLE_WRITER, place);
}

uint32_t topology_channels(const struct topology *topology)
{
	if (topology_of_documents(topology))
		return topology->ingest * topology->writers;
	return topology->ingest * topology->dedup + topology->dedup * topology->rollup + topology->dedup +
	       topology->rollup;
}

struct edge topology_edge(const struct topology *topology, uint32_t channel)
{
	CHECK(channel >= 1 && channel <= topology_channels(topology));
	uint32_t place = channel - 1, routes = topology_routes(topology);
	if (place < topology->ingest * routes)
		return (struct edge){actor_id(ROLE_INGEST, place / routes), topology_route(topology, place % routes)};
	place -= topology->ingest * topology->dedup;
	if (place < topology->dedup * topology->rollup)
		return (struct edge){
		    actor_id(ROLE_DEDUP, place / topology->rollup), actor_id(ROLE_ROLLUP, place % topology->rollup)};
	place -= topology->dedup * topology->rollup;
	if (place < topology->dedup)
		return (struct edge){actor_id(ROLE_DEDUP, place), actor_id(ROLE_WRITER, 0)};
	return (struct edge){actor_id(ROLE_ROLLUP, place - topology->dedup), actor_id(ROLE_WRITER, 0)};
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
