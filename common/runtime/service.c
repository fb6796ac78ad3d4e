#include "common/runtime/service.h"

#include <malloc.h>
#include <stdlib.h>

static bool stop_with(int exit_code, int *code)
{
	*code = exit_code;
	return false;
}

static enum result choose_job(struct service *service, struct error *error)
{
	enum job_kind kind = service->options.kind;
	if (service->about->totals_only && kind != JOB_TOTALS)
		return error_set(error, RESULT_CONFIG, "%s has no work in the job %s: leave out --job",
		    service->about->program, job_kind_name(kind));
	if (job_check_on(&service->pipeline, kind, error) != RESULT_OK)
		return error->code;
	service->kind = kind;
	service->topology = topology_of_job(&service->pipeline, kind);
	(void)job_name(&service->pipeline, kind, service->job);
	return RESULT_OK;
}

bool service_open(struct service *service, const struct service_about *about, int argc, char **argv, int *code)
{
	struct error error;
	*service = (struct service){.about = about, .argv = argv};
	/* A heap for each of the dozen threads of nng and librdkafka would keep what only one of them needs at a time. */
	(void)mallopt(M_ARENA_MAX, 2);
	if (service_options_parse(&service->options, argc, argv, &error) != RESULT_OK) {
		(void)fprintf(stderr, "%s: %s\n", about->program, error.text);
		return stop_with(EXIT_USAGE, code);
	}
	if (service->options.help) {
		service_options_help(stdout, about->program, about->what);
		return stop_with(EXIT_SUCCESS, code);
	}
	if (service->options.version) {
		(void)printf("%s %s\n", about->program, SLUICE_VERSION);
		return stop_with(EXIT_SUCCESS, code);
	}
	log_open(process_role_name(about->process), service->options.log_format, service->options.least);
	if (pipeline_load(&service->pipeline, service->options.config, &error) != RESULT_OK ||
	    choose_job(service, &error) != RESULT_OK ||
	    time_zone_rules(service->pipeline.record.time_zone, service->zone_rules, &error) != RESULT_OK) {
		(void)error_way(&error, STOP_PIPELINE_FILE);
		log_error("%s", error.text);
		return stop_with(EXIT_CONFIG, code);
	}
	return true;
}

const char *service_coordinator(const struct service *service)
{
	return service->options.coordinator ? service->options.coordinator : service->pipeline.coordinator.listen;
}

int service_run(struct service *service,
    struct actor *(*create)(void *context, uint32_t actor, uint64_t attempt, struct error *error), void *context)
{
	const struct service_options *options = &service->options;
	const struct runner_config config = {
	    .process = service->about->process,
	    .pipeline = &service->pipeline,
	    .zone_rules = service->zone_rules,
	    .job = service->job,
	    .topology = service->topology,
	    .name = options->name,
	    .coordinator_url = service_coordinator(service),
	    .advertise = options->advertise,
	    .argv = service->argv,
	    .create = create,
	    .context = context,
	};
	return runner_run(&config);
}

void service_close(struct service *service)
{
	pipeline_fini(&service->pipeline);
}
