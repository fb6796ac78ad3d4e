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

struct opening {
	const struct service *service;
	uint32_t writer;
	const char *application; /* for people */
	const struct sink_runner *runner;
};

static enum result open_postgres(const struct opening *opening, struct sink_port **port, struct error *error)
{
	return sink_postgres_open(port, &opening->service->pipeline, opening->application, opening->runner, error);
}

static enum result open_elasticsearch(const struct opening *opening, struct sink_port **port, struct error *error)
{
	const struct service *service = opening->service;
	return sink_elasticsearch_open(
	    port, &service->pipeline, service->job, opening->writer, service->topology.writers, opening->runner, error);
}

/* Where a job writes to. */
static const struct {
	enum result (*open)(const struct opening *, struct sink_port **, struct error *);
	/* Whoever is another runner waits for the silence of the one before; so a writer that goes on elsewhere has to be the same one.
	 * Where it is known at once that a session is gone, the host tells apart what has the same name in two networks. */
	bool waits_for_silence;
} sinks[JOBS] = {
    [JOB_TOTALS] = {open_postgres, false},
    [JOB_SEARCH] = {open_elasticsearch, true},
};

static void runner_name(const struct service *service, const char *application, struct sink_runner *runner)
{
	char host[HOST_NAME_MAX + 1] = "";
	const char *address = service_coordinator(service);
	bool plain = sinks[service->kind].waits_for_silence && !is_of_this_host(address);
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
	const struct opening opening = {service, writer, application, &runner};
	(void)snprintf(application, sizeof application, "%s-sink-%u", service->pipeline.job, writer);
	runner_name(service, application, &runner);
	return sinks[service->kind].open(&opening, port, error);
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
