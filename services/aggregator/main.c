/* services/aggregator/main.c - sluice-aggregator: hosts dedup and rollup actors. */
#include "common/runtime/service.h"
#include "services/aggregator/dedup.h"
#include "services/aggregator/rollup.h"

static const struct service_about about = {
    .program = "sluice-aggregator",
    .what = "drops repeated records and keeps the totals of a Sluice job",
    .process = PROCESS_AGGREGATOR,
};

static struct actor *create(void *context, uint32_t actor, uint64_t attempt, struct error *error)
{
	const struct service *service = context;
	char name[ACTOR_NAME_MAX];
	if (actor_role(actor) == ROLE_DEDUP)
		return dedup_new(&service->pipeline, &service->topology, actor, attempt);
	if (actor_role(actor) == ROLE_ROLLUP)
		return rollup_new(&service->pipeline, &service->topology, actor, attempt);
	error_set(error, RESULT_CORRUPT, "an aggregator cannot host %s", actor_name(actor, name));
	return NULL;
}

int main(int argc, char **argv)
{
	struct service service;
	int code;
	if (!service_open(&service, &about, argc, argv, &code))
		return code;
	code = service_run(&service, create, &service);
	service_close(&service);
	return code;
}
