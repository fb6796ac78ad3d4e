/* services/sink/main.c - sluice-sink: hosts the writer of a job. */
#include <stdio.h>

#include "common/runtime/service.h"
#include "services/sink/sink_postgres.h"
#include "services/sink/writer.h"

static const struct service_about about = {
    .program = "sluice-sink",
    .what = "commits the epochs of a Sluice job to PostgreSQL",
    .process = PROCESS_SINK,
};

struct sink_process {
	const struct service *service;
	struct sink_port *port;
};

/* The port is opened with the writer: a standby holds no connection. */
static struct actor *create(void *context, uint32_t actor, uint64_t attempt, struct error *error)
{
	struct sink_process *process = context;
	const struct service *service = process->service;
	char name[ACTOR_NAME_MAX], application[128];
	if (actor_role(actor) != ROLE_WRITER) {
		error_set(error, RESULT_CORRUPT, "a sink process cannot host %s", actor_name(actor, name));
		return NULL;
	}
	(void)snprintf(application, sizeof application, "%s-sink-%u", service->pipeline.job, actor_index(actor));
	if (process->port == NULL &&
	    sink_postgres_open(&process->port, &service->pipeline, application, error) != RESULT_OK)
		return NULL;
	return writer_new(&service->pipeline, &service->topology, process->port, actor, attempt);
}

int main(int argc, char **argv)
{
	struct service service;
	int code;
	if (!service_open(&service, &about, argc, argv, &code))
		return code;
	struct sink_process process = {.service = &service};
	code = service_run(&service, create, &process);
	service_close(&service);
	return code;
}
