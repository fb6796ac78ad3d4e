/* services/sink/main.c - sluice-sink: hosts the writers of a job. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/output.h"
#include "common/runtime/service.h"
#include "services/sink/sink_elasticsearch.h"
#include "services/sink/sink_postgres.h"
#include "services/sink/writer.h"

static const struct service_about about = {
    .program = "sluice-sink",
    .what = "commits the epochs of a Sluice job to PostgreSQL or Elasticsearch",
    .process = PROCESS_SINK,
};

/* Of every host its own: the same address elsewhere is another coordinator. */
static bool is_of_this_host(const char *address)
{
	static const char *const own[] = {"tcp://127.", "tcp://localhost", "tcp://[::1]", "ipc:"};
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		if (strncmp(address, own[i], strlen(own[i])) == 0)
			return true;
	return false;
}

/* Of documents, whoever is another one waits for the silence of the one before: so a writer that goes on elsewhere is none. PostgreSQL
 * knows at once that a session is gone, so there the host tells apart what has the same name in two networks. */
static void runner_name(const struct service *service, const char *application, struct sink_runner *runner)
{
	char host[HOST_NAME_MAX + 1] = "";
	const char *address = service_coordinator(service);
	bool plain = service->kind == JOB_SEARCH && !is_of_this_host(address);
	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(runner->coordinator, sizeof runner->coordinator, "%s%s%s", address, plain ? "" : " of host ",
	    plain ? "" : host);
	(void)snprintf(runner->process, sizeof runner->process, "%s (pid %d)", application, (int)getpid());
}

static enum result open_port(
    const struct service *service, uint32_t writer, struct sink_port **port, struct error *error)
{
	char application[128];
	struct sink_runner runner;
	(void)snprintf(application, sizeof application, "%s-sink-%u", service->pipeline.job, writer);
	runner_name(service, application, &runner);
	if (service->kind == JOB_SEARCH)
		return sink_elasticsearch_open(
		    port, &service->pipeline, service->job, writer, service->topology.writers, &runner, error);
	return sink_postgres_open(port, &service->pipeline, application, &runner, error);
}

/* A port is opened with its writer: a standby holds no connection. */
static struct actor *create(void *context, uint32_t actor, uint64_t attempt, struct error *error)
{
	const struct service *service = context;
	struct sink_port *port;
	char name[ACTOR_NAME_MAX];
	if (actor_role(actor) != ROLE_WRITER) {
		error_set(error, RESULT_CORRUPT, "a sink process cannot host %s", actor_name(actor, name));
		return NULL;
	}
	if (open_port(service, actor_index(actor), &port, error) != RESULT_OK)
		return NULL;
	return writer_new(&service->pipeline, &service->topology, port, actor, attempt);
}

static int run(int argc, char **argv)
{
	struct service service;
	int code;
	if (!service_open(&service, &about, argc, argv, &code))
		return code;
	code = service_run(&service, create, &service);
	service_close(&service);
	return code;
}

int main(int argc, char **argv)
{
	output_open();
	return output_end(about.program, run(argc, argv));
}
