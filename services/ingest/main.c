/* services/ingest/main.c - sluice-ingest: hosts ingest actors, which share one Kafka client. */
#include <stdlib.h>
#include <string.h>

#include "common/base/output.h"
#include "common/runtime/service.h"
#include "services/ingest/ingest.h"
#include "services/ingest/source_kafka.h"

static const struct service_about about = {
    .program = "sluice-ingest",
    .what = "reads, parses and routes the records of a Sluice job",
    .process = PROCESS_INGEST,
};

/* Lag tools see each job as a group of its own: theirs are the offsets that it has committed. */
static enum result name_group(struct pipeline *pipeline, enum job_kind kind, struct error *error)
{
	struct setting *group = NULL;
	struct buffer value = {0};
	if (job_plans[kind].plain_group)
		return RESULT_OK;
	for (size_t i = 0; i < pipeline->source.kafka_len && group == NULL; i++)
		if (strcmp(pipeline->source.kafka[i].name, "group.id") == 0)
			group = &pipeline->source.kafka[i];
	if (group == NULL && pipeline->source.kafka_len == PIPELINE_KAFKA_MAX)
		return error_stop(error, STOP_PIPELINE_FILE, "source.kafka: name a group.id");
	if (group == NULL) {
		group = &pipeline->source.kafka[pipeline->source.kafka_len++];
		*group = (struct setting){text_clone("group.id"), text_clone(pipeline->job)};
	}
	buffer_printf(&value, "%s-%s", group->value, job_kind_name(kind));
	free(group->value);
	group->value = text_clone((const char *)value.data);
	buffer_fini(&value);
	return RESULT_OK;
}

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

static int run(int argc, char **argv)
{
	struct service service;
	int code;
	if (!service_open(&service, &about, argc, argv, &code))
		return code;
	struct error error;
	if (name_group(&service.pipeline, service.kind, &error) != RESULT_OK) {
		log_error("%s", error.text);
		return EXIT_CONFIG;
	}
	struct ingest_process process = {.pipeline = &service.pipeline, .topology = service.topology};
	code = service_run(&service, create, &process);
	service_close(&service);
	return code;
}

int main(int argc, char **argv)
{
	output_open();
	return output_end(about.program, run(argc, argv));
}
