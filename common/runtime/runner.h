/* common/runtime/runner.h - the production host of a worker: nng channels, control link, epoll, signals, exec.
 *
 * One thread runs everything of the process (actors included); nng's threads only move messages between sockets and
 * queues and signal one eventfd. A message of a channel is received only when there is room in its actor's inbox.
 */
#ifndef RUNTIME_RUNNER_H
#define RUNTIME_RUNNER_H

#include "common/base/pipeline.h"
#include "common/runtime/worker.h"

struct runner_config {
	enum process_role process;
	const struct pipeline *pipeline;
	const char *zone_rules; /* of its time zone: time_zone_rules */
	const char *job; /* <pipeline job>/totals */
	struct topology topology; /* of the job */
	const char *name; /* of the worker; NULL: <role>-<host>-<drawn at random> */
	const char *coordinator_url; /* tcp://host:port */
	const char *advertise; /* host that peers dial; NULL: 127.0.0.1, then also the address listened on */
	char **argv; /* for exec */
	/* Makes an actor of this service. context: ports and the like. */
	struct actor *(*create)(void *context, uint32_t actor, uint64_t attempt, struct error *error);
	void *context;
};

/* Runs until the coordinator or a signal ends the process; returns the exit code. Call once, before any other thread
 * is started by the caller. SIGTERM and SIGINT: exit 0. CANCEL: exec of /proc/self/exe with argv: same pid, every
 * descriptor close-on-exec. SLUICE_TRACE=1 prints every frame sent and received at one place. */
int runner_run(const struct runner_config *config);

#endif
