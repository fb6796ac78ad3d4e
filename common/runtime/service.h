/* common/runtime/service.h - what the mains of all worker processes begin and end with.
 *
 *   struct service service;
 *   int code;
 *   if (!service_open(&service, &about, argc, argv, &code))
 *           return code;
 *   ... open ports, with service.pipeline ...
 *   code = service_run(&service, create, context);
 *   ... close ports ...
 *   service_close(&service);
 *   return code;
 */
#ifndef RUNTIME_SERVICE_H
#define RUNTIME_SERVICE_H

#include "common/base/pipeline.h"
#include "common/base/job.h"
#include "common/base/timestamp.h"
#include "common/runtime/runner.h"
#include "common/runtime/service_options.h"

struct service_about {
	const char *program; /* sluice-aggregator */
	const char *what; /* one line */
	enum process_role process;
	bool totals_only; /* there is no work for it in other jobs */
};

struct service {
	const struct service_about *about;
	char **argv;
	struct service_options options;
	struct pipeline pipeline;
	enum job_kind kind;
	struct topology topology; /* of the job */
	char job[JOB_NAME_MAX];
	char zone_rules[ZONE_RULES_MAX];
};

/* Reads arguments, opens the log, loads the pipeline file. False: all is said, exit with *code (0 after --help). */
bool service_open(
    struct service *service, const struct service_about *about, int argc, char **argv, int *code) MUST_USE;
/* The address of its control link. */
const char *service_coordinator(const struct service *service);
/* Hosts actors until the process is to end; the exit code. create and context: see runner.h. */
int service_run(struct service *service,
    struct actor *(*create)(void *context, uint32_t actor, uint64_t attempt, struct error *error), void *context);
void service_close(struct service *service);

#endif
