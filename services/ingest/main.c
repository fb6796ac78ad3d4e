/* services/ingest/main.c - sluice-ingest: hosts ingest actors, which share one Kafka client. */
#include "common/runtime/service.h"
#include "services/ingest/ingest.h"
#include "services/ingest/source_kafka.h"

static const struct service_about about = {
    .program = "sluice-ingest",
    .what = "reads, parses and routes the records of a Sluice job",
    .process = PROCESS_INGEST,
};

/* The client is opened with the first actor: a standby holds no connection. */
static struct actor *create(void *context, uint32_t actor, uint64_t attempt, struct error *error)
{
	struct ingest_process *process = context;
	char name[ACTOR_NAME_MAX];
	if (actor_role(actor) != ROLE_INGEST) {
		error_set(error, RESULT_CORRUPT, "an ingest process cannot host %s", actor_name(actor, name));
		return NULL;
	}
	if (process->source == NULL &&
	    source_kafka_open(&process->source, process->pipeline, about.program, error) != RESULT_OK)
		return NULL;
	return ingest_new(process, actor, attempt, error);
}

int main(int argc, char **argv)
{
	struct service service;
	int code;
	if (!service_open(&service, &about, argc, argv, &code))
		return code;
	struct ingest_process process = {.pipeline = &service.pipeline, .topology = service.topology};
	code = service_run(&service, create, &process);
	service_close(&service);
	return code;
}
