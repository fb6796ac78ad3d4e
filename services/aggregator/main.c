/* services/aggregator/main.c - sluice-aggregator: hosts dedup and rollup actors. */
#include "common/base/output.h"
#include "common/runtime/service.h"
#include "common/state/state_leveldb.h"
#include "services/aggregator/actor_state.h"
#include "services/aggregator/dedup.h"
#include "services/aggregator/rollup.h"

static const struct service_about about = {
    .program = "sluice-aggregator",
    .what = "drops repeated records and keeps the totals of a Sluice job",
    .process = PROCESS_AGGREGATOR,
    .totals_only = true,
};

enum { GENERATIONS = 4 }; /* that the retention is divided into */

struct aggregator {
	const struct service *service;
	struct checkpoint_store *store;
};

static struct state_port *open_state(struct aggregator *aggregator, uint32_t actor, struct error *error)
{
	const struct service *service = aggregator->service;
	const struct pipeline *pipeline = &service->pipeline;
	bool dedup = actor_role(actor) == ROLE_DEDUP;
	struct state_port *port = NULL;
	if (aggregator->store == NULL &&
	    checkpoint_folder_open(&aggregator->store, pipeline->checkpoint.dir, service->job, error) != RESULT_OK)
		return NULL;
	struct state_config config = {
	    .store = aggregator->store,
	    .cache_dir = pipeline->state.dir,
	    .job = service->job,
	    .role = actor_role(actor),
	    .index = actor_index(actor),
	    .memory_bytes = pipeline->state.memory_bytes,
	    .generation_ms = dedup ? pipeline->duplicates.retention_us / 1000 / GENERATIONS + 1 : INT64_MAX,
	};
	config.groups_len = actor_groups(actor_index(actor), pipeline->key_groups,
	    dedup ? service->topology.dedup : service->topology.rollup, &config.first_group);
	return state_leveldb_open(&port, &config, error) == RESULT_OK ? port : NULL;
}

static struct actor *create(void *context, uint32_t actor, uint64_t attempt, struct error *error)
{
	struct aggregator *aggregator = context;
	const struct service *service = aggregator->service;
	char name[ACTOR_NAME_MAX];
	if (role_process(actor_role(actor)) != PROCESS_AGGREGATOR) {
		error_set(error, RESULT_CORRUPT, "an aggregator cannot host %s", actor_name(actor, name));
		return NULL;
	}
	struct state_port *port = open_state(aggregator, actor, error);
	if (port == NULL)
		return NULL;
	if (actor_role(actor) == ROLE_DEDUP)
		return dedup_new(&service->pipeline, &service->topology, port, actor, attempt);
	return rollup_new(&service->pipeline, &service->topology, port, actor, attempt);
}

static int run(int argc, char **argv)
{
	struct service service;
	int code;
	if (!service_open(&service, &about, argc, argv, &code))
		return code;
	struct aggregator aggregator = {.service = &service};
	code = service_run(&service, create, &aggregator);
	service_close(&service);
	return code;
}

int main(int argc, char **argv)
{
	output_open();
	return output_end(about.program, run(argc, argv));
}
